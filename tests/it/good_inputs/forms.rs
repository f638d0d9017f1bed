//! Forms of real clients: Retrofit, .NET, dio, Spring and Apifox, old browsers, and pages with missing
//! values.

use crate::{
    drivers::{Case, Stored, rows},
    support::{ADMIN, Form, PNG, UPLOAD, disposition},
    tokens::user_jwt,
};

const FOLDER: &str = "/api/chat/uploadStreamSingleToServerDiy/a";

pub(super) fn cases() -> Vec<Case> {
    [
        text_fields(),
        claims(),
        names(),
        class_ids(),
        tokens(),
        ends(),
    ]
    .concat()
}

/// Builds a text field with these parameters and a Content-Type.
fn typed(form: Form, params: &str, content_type: &str, value: &str) -> Form {
    let headers = format!("{}\r\nContent-Type: {content_type}", disposition(params));
    form.part(headers, value)
}

/// Parts that are text fields by their Content-Type, on every route, before and after the file.
fn text_fields() -> Vec<Case> {
    let mut cases = Vec::new();
    for [params, content_type, value] in rows(
        r#"
        name="imageClassId"                  | text/plain                      | 3
        name="imageClassId"                  | application/json; charset=UTF-8 | 3
        name="image_class_id"                | text/plain; charset=utf-8       | 3
        name="imageClassId"                  | image/png                       | 3
        name="imageClassId"; filename="blob" | application/octet-stream        | 3
        name="x"                             | text/plain; charset=utf-8       | a text
        name="x"                             | Text/Html                       | <p>
        name="x"                             | application/json                | {}
        name="x"                             | multipart/form-data             | a text
        name="x"                             | multipart/mixed                 | a text
        name="x"                             |                                 | a text
        name="备注"                          | text/plain; charset=utf-8       | 你好
        "#,
    ) {
        let field = |form| typed(form, params, content_type, value);
        let before = field(Form::new()).and_image();
        let behind = field(Form::image());
        for (place, form) in [("before", before), ("behind", behind)] {
            for route in [UPLOAD, ADMIN, FOLDER] {
                let name = format!("text field {params} {content_type} {place} at {route}");
                let case = Case::form(name, &form).to(route);
                let class_id = if value == "3" { 3 } else { 0 };
                cases.push(match route {
                    FOLDER => case,
                    _ => case.stores_image_with("image_class_id", class_id),
                });
            }
        }
    }
    cases
}

/// Parts with wrong claims: the file is in `img`, and it is an image.
fn claims() -> Vec<Case> {
    let named = disposition("name=\"img\"; filename=\"a.png\"");
    let plain = disposition("name=img");
    let mut cases = Vec::new();
    for headers in [
        format!("{named}\r\nContent-Type: multipart/form-data"),
        format!("{named}\r\nContent-Type: multipart/form-data; boundary=x"),
        format!("{named}\r\nContent-Type: multipart/mixed"),
        format!("{named}\r\nContent-Type: text/html"),
        format!("{named}\r\nContent-Type: nonsense"),
        format!("{}\r\nContent-Type: image/png", disposition("name=\"img\"")),
        format!("{plain}\r\nContent-Type: application/octet-stream"),
        "Content-Disposition: attachment; name=\"img\"; filename=\"a.png\"".to_owned(),
        "Content-Disposition: file; name=img; filename=a.png".to_owned(),
        "Content-Disposition: inline; name=\"img\"; filename=\"a.png\"".to_owned(),
    ] {
        let name = ["", "a.png"][usize::from(headers.contains("filename"))];
        let case = Case::form(format!("claim {headers}"), &Form::new().part(&headers, PNG));
        cases.push(case.stores([Stored::png().named(name)]));
    }
    cases
}

/// Names with quotes, and with characters that are separators elsewhere.
fn names() -> Vec<Case> {
    let mut cases = Vec::new();
    for (written, shown) in [
        ("\"Offer\"_ x.png", "\"Offer\"_ x.png"),
        ("a\"b.png\"; size=3; x=\"", "a\"b.png"),
        ("say \"hi\".png", "say \"hi\".png"),
        ("می‌خواهم.png", "می\u{200C}خواهم.png"),
        ("👨‍👩‍👧.png", "👨\u{200D}👩\u{200D}👧.png"),
        ("क्‍ष.png", "क्\u{200D}ष.png"),
        ("a\u{200B}\u{200E}\u{202E}b\u{FEFF}.png", "ab.png"),
    ] {
        let headers = disposition(&format!("name=\"img\"; filename=\"{written}\""));
        let case = Case::form(format!("name {written}"), &Form::new().part(headers, PNG));
        cases.push(case.stores([Stored::png().named(shown)]));
    }
    cases
}

/// Class ids that a page left undefined.
fn class_ids() -> Vec<Case> {
    let mut cases = Vec::new();
    for absent in ["undefined", "null", "NaN", ""] {
        let before = Form::new().text("imageClassId", absent).and_image();
        let behind = Form::image().text("image_class_id", absent);
        let other = Form::image().text("image_class_id", "4");
        let query = format!("{UPLOAD}?imageClassId={absent}");
        for (place, form, target, counts) in [
            ("in the query", &Form::image(), &*query, 0),
            ("before the file", &before, UPLOAD, 0),
            ("behind the file", &behind, UPLOAD, 0),
            ("in the query, and one in the form", &other, &query, 4),
        ] {
            let case = Case::form(format!("class id {absent:?} {place}"), form).to(target);
            cases.push(case.stores_image_with("image_class_id", counts));
        }
    }
    cases
}

/// Tokens as clients write them.
fn tokens() -> Vec<Case> {
    let token = user_jwt("7");
    let bearer = format!("Bearer {token}");
    let in_form = |fields: Form| fields.and_image();
    let good = in_form(Form::new().text("token", &token));
    let mut cases = Vec::new();
    for (name, value) in [
        ("token", bearer.clone()),
        ("token", format!("bearer  {token}")),
        ("token", format!("  {token}\t")),
        ("authorization", token.clone()),
        ("authorization", format!("bearer  {token}")),
        ("authorization", format!("BEARER {token}")),
    ] {
        let case = Case::image(format!("token, {name}: {value:.12}")).without("token");
        cases.push(case.header(name, value));
    }
    // The page has no token for the header, and one in the form.
    for (name, value) in [
        ("token", "undefined"),
        ("token", "null"),
        ("token", ""),
        ("authorization", "Bearer undefined"),
        ("authorization", "Bearer null"),
        ("authorization", "Basic dXNlcjpwYXNz"),
    ] {
        let number = format!("token, {name}: {value}, and one in the form");
        let case = Case::form(number, &good).without("token");
        cases.push(case.header(name, value));
    }
    let typed = |content_type| typed(Form::new(), "name=\"token\"", content_type, &token);
    let file = Form::new().file("token", "token.txt", &token);
    for (name, fields) in [
        ("with Bearer", Form::new().text("token", &bearer)),
        ("with a type", typed("text/plain")),
        ("with a type of files", typed("image/png")),
        ("as a file", file),
    ] {
        cases.push(Case::form(format!("token {name}"), &in_form(fields)).without("token"));
    }
    cases
}

/// Everything after the closing delimiter is epilogue.
fn ends() -> Vec<Case> {
    let form = Form::image();
    let closed = form.bytes();
    let closed = closed.strip_suffix(b"\r\n").unwrap();
    let ends = [
        "",
        "\r",
        "\n",
        "\r\n",
        " \r",
        "--",
        "-",
        "oops",
        "\r\n\r\n--x",
    ];
    let case = |end: &str| {
        let body = [closed, end.as_bytes()].concat();
        Case::post(format!("end {end:?}"), &form.content_type(), body)
    };
    ends.map(case).to_vec()
}
