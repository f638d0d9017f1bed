//! Section E: tokens, their places, and tricks with the path.

use serde_json::json;

use crate::{
    drivers::{Case, Driver::Lambda, rows, unescaped_text},
    support::{ADMIN, FOLDER, Form, PNG, UPLOAD},
    tokens::{HS256, SECRET, guest_jwt, signed, token, user_jwt},
};

pub(super) fn cases() -> Vec<Case> {
    [absent(), routes(), headers(), claims(), places(), paths()].concat()
}

/// An image with a token in one place.
type AtPlace = fn(name: String, token: &str) -> Case;

const PLACES: [(&str, AtPlace); 4] = [
    ("header", |name, token| in_header(name, "token", token)),
    ("bearer", |name, token| {
        in_header(name, "authorization", &format!("Bearer {token}"))
    }),
    ("query", |name, token| {
        in_query(name, &format!("token={token}"))
    }),
    ("form", |name, token| {
        in_form(name, Form::new().text("token", token))
    }),
];

/// These fields, followed by an image.
fn in_form(name: impl Into<String>, fields: Form) -> Case {
    Case::form(name, &fields.and_image()).without("token")
}

fn in_header(name: impl Into<String>, header: &'static str, value: &str) -> Case {
    Case::image(name).without("token").header(header, value)
}

fn in_query(name: impl Into<String>, query: &str) -> Case {
    let case = Case::image(name).without("token");
    case.to(format!("{UPLOAD}?{query}"))
}

/// Builds a case for each place.
fn at_places(name: &str, token: &str) -> Vec<Case> {
    let at_each = |(place, at): (&str, AtPlace)| at(format!("{name} in the {place}"), token);
    PLACES.map(at_each).into()
}

pub(super) fn refused(cases: Vec<Case>, failure: &str) -> Vec<Case> {
    let cases = cases.into_iter();
    cases.map(|case| case.refused(failure)).collect()
}

/// E56: no token, in all its forms, and one that is too long.
fn absent() -> Vec<Case> {
    let good = user_jwt("7");
    let mut cases = vec![Case::image("e56 none").without("token")];
    for (header, value) in [
        ("token", ""),
        ("token", "   "),
        ("token", " \t "),
        ("token", "undefined"),
        ("authorization", "Bearer "),
        ("authorization", "Bearer"),
        ("authorization", "Basic dXNlcjpwYXNz"),
        ("authorization", "null"),
        ("cookie", &format!("token={good}")),
        ("x-token", &good),
    ] {
        let name = format!("e56 {header}: {value:.20}");
        cases.push(in_header(name, header, value));
    }
    for value in ["", " \r\n", "null"] {
        let form = Form::new().text("token", value);
        cases.push(in_form(format!("e56 {value:?} in the form"), form));
    }
    let form = Form::new().text("Token", &good);
    cases.push(in_form("e56 Token in the form", form));
    let query = format!("token=&token=%20&Token={good}");
    cases.push(in_query("e56 the query", &query));
    cases = refused(cases, "token_missing");

    let of_bytes = |bytes: usize| {
        let padded = |filler| token(&json!({"id": 7, "x": "x".repeat(filler)}));
        let near = (bytes - padded(0).len()) * 3 / 4 - 3;
        let mut longer = (near..).map(padded);
        longer.find(|token| token.len() >= bytes).unwrap()
    };
    let longest = of_bytes(8190);
    assert!((8190..=8192).contains(&longest.len()), "{}", longest.len());
    cases.extend(at_places("e56 a token of 8 KiB", &longest));
    for bytes in [8193, 10_000, 20_000, 60_000] {
        let long = at_places(&format!("e56 a token of {bytes} bytes"), &of_bytes(bytes));
        cases.extend(refused(long, "token_invalid"));
    }
    let huge = "x".repeat(100_000);
    cases.push(in_header("e56 100 KB", "token", &huge).refused("token_invalid"));
    let form = Form::new().text("token", &huge);
    cases.push(in_form("e56 100 KB in the form", form).refused("field_too_large"));
    cases
}

/// E56 to E58 on every route: each sort of token in each place, and the order of checks.
fn routes() -> Vec<Case> {
    let good = user_jwt("7");
    let old = token(&json!({"id": 7, "exp": 1_700_000_000}));
    let foreign = signed(HS256, r#"{"id":7}"#, "another secret");
    let folder = format!("{FOLDER}chatImgs");
    let mut cases = Vec::new();
    for route in [UPLOAD, ADMIN, &folder] {
        let on_route = |name: &str, token: &str| {
            let cases = at_places(&format!("{name} at {route}"), token).into_iter();
            cases.map(|case| case.on(route)).collect::<Vec<_>>()
        };
        cases.extend(on_route("e58 a user", &good));
        cases.extend(on_route("e58 a guest", &guest_jwt("g")));
        cases.extend(refused(on_route("e58 an old token", &old), "token_expired"));
        let foreign = on_route("e57 another secret", &foreign);
        cases.extend(refused(foreign, "token_invalid"));
        let none = Case::image(format!("e56 none at {route}")).without("token");
        cases.push(none.on(route).refused("token_missing"));
    }
    let wrong = Form::new().file("file", "a.html", "<html>");
    for (name, form) in [
        ("a wrong field", &wrong),
        ("no file", &Form::new().text("imageClassId", "1")),
        ("no part", &Form::new()),
    ] {
        let case = Case::form(format!("e56 none, and {name}"), form).without("token");
        cases.push(case.refused("token_missing"));
    }
    let form = Form::image();
    let begun = form.unclosed().slice(..300);
    let cut = Case::post("e56 none, and cut", &form.content_type(), begun);
    cases.push(cut.without("token").refused("token_missing"));
    let (class_id, above) = (format!("{UPLOAD}?imageClassId=x"), format!("{FOLDER}.."));
    for path in [&class_id, &above, FOLDER] {
        let case = Case::form(format!("e57 a bad one, and {path}"), &wrong).to(path);
        let case = case.header("token", "bad").unread();
        cases.push(case.refused("token_invalid"));
    }
    let text = Case::post("e57 a bad one, and no form", "text/plain", "x");
    let text = text.header("token", "bad").unread();
    cases.push(text.refused("token_invalid"));
    let query = format!("imageClassId=3&token=%20{good}");
    let query = in_query("e58 behind a class id", &query);
    cases.push(query.stores_image_with("image_class_id", 3));
    let blanks = format!("bearer   {good} ");
    cases.push(in_header("e58 bearer and blanks", "authorization", &blanks));
    cases
}

/// E57: only plain HS256 is accepted.
fn headers() -> Vec<Case> {
    let good = user_jwt("7");
    let (message, signature) = good.rsplit_once('.').unwrap();
    let headed = |header| signed(header, r#"{"id":7}"#, SECRET);
    let none = headed(r#"{"alg":"none"}"#);
    let (unsigned, _) = none.rsplit_once('.').unwrap();
    let mut cases = Vec::new();
    for odd in [
        none.clone(),
        unsigned.to_owned(),
        format!("{unsigned}."),
        headed(r#"{"alg":"None"}"#),
        headed(r#"{"alg":"RS256"}"#),
        headed(r#"{"alg":"HS384"}"#),
        headed(r#"{"typ":"JWT"}"#),
        headed(r#"{"alg":"HS256","crit":["b64"]}"#),
        headed(r#"{"alg":"HS256","crit":["exp"]}"#),
        headed("null"),
        message.to_owned(),
        format!("{message}."),
        format!("{good}.{signature}"),
        format!("{good}="),
        format!("{message}.+{}", &signature[1..]),
        format!("{message}.{}", signature.to_uppercase()),
        format!("{message}.{}", &signature[1..]),
        format!(".{good}"),
        "..".to_owned(),
        "NaN".to_owned(),
        signed(HS256, r#"{"id":7}"#, "another secret"),
    ] {
        // A plus sign would be a blank in a query, which is a different token.
        let at = at_places(&format!("e57 {odd}"), &odd.replace('+', "%2B"));
        let counts = |case: &Case| !odd.contains('+') || case.name.ends_with("query");
        let at = at.into_iter().filter(counts);
        cases.extend(refused(at.collect(), "token_invalid"));
        if odd.contains('+') {
            let header = in_header(format!("e57 {odd} in the header"), "token", &odd);
            cases.push(header.refused("token_invalid"));
        }
    }
    let letters = "é".repeat(20);
    for (place, at) in PLACES.iter().filter(|(place, _)| *place != "query") {
        cases.push(at(format!("e57 é in the {place}"), &letters).refused("token_invalid"));
    }
    for header in [
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":5}"#,
        r#"{"alg":"HS256","kid":"../../x"}"#,
        r#"{"alg":"HS256","typ":5,"kid":"../../x"}"#,
    ] {
        cases.push(in_header(format!("e57 {header}"), "token", &headed(header)));
    }
    cases
}

/// E58: claims, and the failure, if any.
fn claims() -> Vec<Case> {
    let mut cases = Vec::new();
    for [claims, failure] in rows(
        r#"
        {"id":7,"exp":0}                | token_expired
        {"id":7,"exp":1}                | token_expired
        {"id":7,"exp":-1.5}             | token_expired
        {"id":7,"exp":1.5}              | token_expired
        {"id":7,"exp":-1e300}           | token_expired
        {"id":7,"nbf":99999999999}      | token_invalid
        {"id":7,"exp":"99999999999"}    | token_invalid
        {"id":7,"exp":1e400}            | token_invalid
        {"id":7,"exp":{}}               | token_invalid
        {"exp":99999999999}             | token_invalid
        {"id":7.5}                      | token_invalid
        {"id":[7]}                      | token_invalid
        {"id":null}                     | token_invalid
        {"id":""}                       | token_invalid
        {"id":7,"id":8}                 | token_invalid
        {"id":7,"role":5}               | token_invalid
        {"id":7,"role":["visitor"]}     | token_invalid
        [{"id":7}]                      | token_invalid
        []                              | token_invalid
        7                               | token_invalid
        {"id":"\0                       | token_invalid
                                        | token_invalid
        {"id":7}                        |
        {"id":"u-7"}                    |
        {"id":18446744073709551615,"exp":1e12,"nbf":-5} |
        {"id":7,"role":null,"exp":null,"password":"x"}  |
        {"id":7,"role":"Visitor"}       |
        "#,
    ) {
        let token = signed(HS256, &unescaped_text(claims), SECRET);
        let at = at_places(&format!("e58 {claims}"), &token).into_iter();
        cases.extend(at.map(|case| case.refused_if(failure)));
    }
    cases
}

/// E59, E60: different tokens in different places, and one after the file.
fn places() -> Vec<Case> {
    let (good, bad) = (&*user_jwt("7"), "bad");
    // In the header, in `Authorization`, in the query and in the form.
    let with = |[header, bearer, query, form]: [&str; 4]| {
        let name = [header, bearer, query, form].map(|token| &token[..token.len().min(4)]);
        let case = in_form(format!("e59 {name:?}"), Form::new().text("token", form));
        let case = case.to(format!("{UPLOAD}?token={query}"));
        let case = case.header("token", header);
        case.header("authorization", format!("Bearer {bearer}"))
    };
    let twice = |name: &str, first: &str, second: &str| {
        let form = Form::new().text("token", first).text("token", second);
        let query = format!("token={first}&token={second}");
        [
            in_form(format!("e59 {name} twice in the form"), form),
            in_query(format!("e59 {name} twice in the query"), &query),
            in_header(format!("e59 {name} in two headers"), "token", first).and("token", second),
        ]
    };
    let mut taken = vec![
        with([good, bad, bad, bad]),
        with(["", good, bad, bad]),
        with([" ", "", good, bad]),
        with(["", "", "", good]),
        with(["", good, "", ""]),
        with(["", "", good, ""]),
        with([good, "", bad, ""]),
        with([good, "", "", bad]),
    ];
    taken.extend(twice("a good one first", good, bad));
    let mut refused = vec![
        with([bad, good, good, good]),
        with([bad, "", good, ""]),
        with([bad, "", "", good]),
        with(["", bad, good, good]),
        with(["", "", bad, good]),
        with(["", "", "", bad]),
    ];
    refused.extend(twice("a bad one first", bad, good));
    taken.extend(self::refused(refused, "token_invalid"));

    let after = Form::image().text("token", good);
    let wrong = Form::new().file("file", "a.png", PNG).text("token", good);
    let html = Form::img("a.png", "<html>").text("token", good);
    for (name, form, route) in [
        ("behind the file", &after, UPLOAD),
        ("behind the file, admin", &after, ADMIN),
        ("behind the file, folder", &after, &format!("{FOLDER}x")),
        ("behind a wrong field", &wrong, UPLOAD),
        ("behind a page", &html, UPLOAD),
    ] {
        let case = Case::form(format!("e60 {name}"), form).to(route);
        taken.push(case.without("token").refused("token_missing"));
    }
    let endless = |name: &str| {
        let form = Form::image();
        Case::post(name, &form.content_type(), form.unclosed()).endless(b"x")
    };
    let none = endless("e60 without end, no token").without("token");
    taken.push(none.refused("token_missing"));
    let invalid = endless("e60 without end, a bad token").header("token", bad);
    taken.push(invalid.refused("token_invalid"));
    taken
}

/// E61: guests, and paths that are not the route.
pub(super) fn paths() -> Vec<Case> {
    let good = user_jwt("7");
    let guest = Case::image("e61 a guest on the admin route").to(ADMIN);
    let nobody = Case::image("e61 nobody on the admin route").to(ADMIN);
    let mut cases = vec![
        guest.header("token", guest_jwt("g")),
        nobody.without("token").refused("token_missing"),
    ];
    for path in [
        "/api/chat/uploadAliyunX",
        "/api/chat/uploadAliyun/",
        "/api/chat/uploadAliyun//",
        "//api/chat/uploadAliyun",
        "/api//chat/uploadAliyun",
        "/./api/chat/uploadAliyun",
        "/api/./chat/uploadAliyun",
        "/x/../api/chat/uploadAliyun",
        "/api/chat/uploadAliyun;x",
        "/api/chat/uploadAliyun;token=x",
        "/api/chat/uploadAliyun%00",
        "/api/chat/uploadAliyun%2F",
        "/api/chat/%75ploadAliyun",
        "/api%2Fchat%2FuploadAliyun",
        "/API/CHAT/UPLOADALIYUN",
        "/api/chat/uploadaliyun",
        "/shop/admin/image/uploadAliyun.png",
        "/api/chat/uploadStreamSingleToServerDiy",
        "/",
        "*",
    ] {
        for (sent, token) in [("without", ""), ("with", good.as_str())] {
            let case = Case::image(format!("e61 {path} {sent} a token"));
            let case = case.header("token", token).to(path).refused("not_found");
            cases.push(match path {
                "*" => case.not_on(Lambda, "a load balancer passes paths"),
                _ => case,
            });
        }
    }
    cases
}
