//! Section A: the grammar of multipart forms, and how a body is sent.

use bytes::Bytes;

use crate::{
    drivers::{Case, Stored, rows, unescaped_text},
    support::{Form, PNG, disposition, img, png_bytes},
};

const BROKEN: &str = "body_malformed broken boundaries";
const TOO_LONG: &str = "body_malformed a part's headers, or the bytes before them, are too long";
const BOUNDARY: &str = "------WebKitFormBoundaryabc123";

pub(super) fn cases() -> Vec<Case> {
    [
        content_types(),
        boundaries(),
        ends(),
        headers(),
        dispositions(),
        many(),
        arrivals(),
    ]
    .concat()
}

fn bounded(boundary: &str) -> Form {
    Form::with_boundary(boundary).and_image()
}

/// Sends this body as a form.
fn posted(name: impl Into<String>, body: impl Into<Bytes>) -> Case {
    Case::post(name, &Form::new().content_type(), body)
}

/// An image with these part headers.
fn part(number: &str, headers: impl AsRef<str>) -> Case {
    let headers = headers.as_ref();
    let form = Form::new().part(headers, PNG);
    Case::form(format!("{number} {headers:.60}"), &form)
}

/// A2 to A4, A6, A7, A28: the Content-Type.
fn content_types() -> Vec<Case> {
    let typed = |number: &str, content_type: &str| {
        let name = format!("{number} {content_type}");
        Case::post(name, content_type, bounded("abc").bytes())
    };
    let mut cases = vec![
        posted("a28 JSON as a form", "{\"img\":\"x\"}").refused(BROKEN),
        posted("a28 less of it", "{}").refused(BROKEN),
        typed("a02", "")
            .without("content-type")
            .refused("not_multipart"),
        typed("a04", "multipart/form-data; boundary=abc")
            .and("content-type", "multipart/form-data; boundary=def")
            .refused("body_malformed two Content-Type headers"),
        typed("a06", "multipart/form-data; boundary=\"abc\""),
        Case::form("a07 .* without quotes", &bounded(".*")),
    ];
    for [number, params, rule] in rows(
        r#"
        a03 |                            | no boundary parameter
        a03 | ;                          | no boundary parameter
        a03 | ; charset=utf-8            | no boundary parameter
        a03 | ; xboundary=abc            | no boundary parameter
        a03 | ; boundary                 | the Content-Type header cannot be read
        a03 | ; boundaryabc              | the Content-Type header cannot be read
        a03 | ; boundary="abc            | the Content-Type header cannot be read
        a04 | ; boundary=abc; boundary=abc | two boundary parameters
        a04 | ; boundary=abc; boundary=def | two boundary parameters
        a04 | ; boundary=def; BOUNDARY=abc | two boundary parameters
        a04 | ; boundary=abc; Boundary=abc | two boundary parameters
        a06 | ; boundary="abc "          | a boundary is 1 to 70 printable ASCII characters, the last one no blank
        a06 | ; boundary="a\tb"          | a boundary is 1 to 70 printable ASCII characters, the last one no blank
        a06 | ; boundary=""              | a boundary is 1 to 70 printable ASCII characters, the last one no blank
        a06 | ; boundary="abc" def       | the Content-Type header cannot be read
        "#,
    ) {
        let content_type = unescaped_text(&format!("multipart/form-data{params}"));
        cases.push(typed(number, &content_type).refused(format!("body_malformed {rule}")));
    }
    for boundary in [
        "a b", "a\"b", "a\\b", "a;b=c", " a", ".*", "(a+)+$", "[^a]", "a|b", "\\d{3}", "--", "-",
    ] {
        let escaped = boundary.replace('\\', "\\\\").replace('"', "\\\"");
        let content_type = format!("multipart/form-data; boundary=\"{escaped}\"");
        let name = format!("a06 a07 {boundary} in quotes");
        cases.push(Case::post(name, &content_type, bounded(boundary).bytes()));
    }
    for [content_type, body] in rows(
        r#"
        application/x-www-form-urlencoded | img=x
        application/x-www-form-urlencoded | img=x&imageClassId=1
        application/json                  | {"img":"x"}
        multipart/mixed; boundary=abc     | --abc--
        application/octet-stream          |
        image/png                         |
        multipart/mixed; boundary=----WebKitFormBoundaryabc123 |
        multipart/form-data-x; boundary=----WebKitFormBoundaryabc123 |
        text/plain; multipart/form-data; boundary=----WebKitFormBoundaryabc123 |
        \s                                |
        "#,
    ) {
        let body = match (body, content_type.contains("boundary=-")) {
            ("", true) => Form::image().bytes(),
            ("", false) => PNG.into(),
            (text, _) => text.into(),
        };
        let content_type = unescaped_text(content_type);
        let case = Case::post(format!("a28 {content_type}"), content_type.trim(), body);
        cases.push(case.unread().refused("not_multipart"));
    }
    cases
}

/// A5, A8, A9: boundaries, what resembles them, and bytes before and after them.
fn boundaries() -> Vec<Case> {
    let behind = |preamble: &[u8]| Form::new().raw(preamble).and_image();
    let preamble = behind(b"This is a form.\r\n");
    let epilogue = [&preamble.bytes()[..], &vec![b'e'; 1 << 20]].concat();
    // Too long to be taken for a truncated form.
    let [noise, letters] = [png_bytes(200_000), vec![b'x'; 200_000]].map(|rest| {
        Form::with_boundary("abc").file("img", "a.png", [PNG, b"\r\n--abcd\r\n", &rest].concat())
    });
    let mut cases = vec![
        Case::form("a08 a line that begins with the boundary", &noise).refused(BROKEN),
        Case::form("a08 the same line, then letters", &letters).refused(BROKEN),
        Case::form("a09 a short preamble", &preamble),
        Case::form("a09 preamble of 1 MB", &behind(&[b'p'; 1 << 20])).refused(TOO_LONG),
        posted("a09 epilogue of 1 MB", epilogue),
        Case::image("a09 epilogue without end").endless(b"epilogue"),
    ];
    for length in [1, 69, 70, 0, 71, 10_000] {
        let case = Case::form(format!("a05 {length}"), &bounded(&"b".repeat(length)));
        let rule = "a boundary is 1 to 70 printable ASCII characters, the last one no blank";
        cases.push(match length {
            1..=70 => case,
            _ => case.refused(format!("body_malformed {rule}")),
        });
    }
    for [inside] in rows(
        r"
        --abc
        \n--abc\n
        \r--abc
        \r\n-abc
        \r\n--ab\r\n
        \r\n--Abc
        --abc--
        \r\n\r\n--ab
        \n--abc\n--abc--
        ",
    ) {
        let content = [PNG, unescaped_text(inside).as_bytes(), b"rest"].concat();
        let form = Form::with_boundary("abc").file("img", "a.png", &content);
        let stored = Stored::new("image image/png png", content);
        cases.push(Case::form(format!("a08 {inside} within a file"), &form).stores([stored]));
    }
    for junk in ["p", "\r\n", "-", "--", "\r\n------WebKitFormBoundaryabc12"] {
        let case = posted(format!("a09 {junk:?} without end"), "");
        cases.push(case.endless(junk.as_bytes()).refused(TOO_LONG));
    }
    cases
}

/// A1, A10 to A13: where the form ends.
fn ends() -> Vec<Case> {
    let web = Form::image();
    let lf_only = Form::img("a.txt", "text").bytes().to_vec();
    let lf_only: Bytes = lf_only.into_iter().filter(|byte| *byte != b'\r').collect();
    let mut cases = vec![
        posted("a01 an empty body", "").refused("body_truncated"),
        posted("a13 LF only", lf_only).refused(BROKEN),
    ];
    for end in [
        "",
        "-",
        "--",
        "----FormBoundar",
        &BOUNDARY[..20],
        BOUNDARY,
        &format!("{BOUNDARY}-"),
        &format!("{BOUNDARY}\r\n"),
        &format!("{BOUNDARY}\r\nContent-Disposition: form"),
    ] {
        let body = [&web.unclosed()[..], end.as_bytes()].concat();
        let case = posted(format!("a10 a11 cut after {end:?}"), body);
        cases.push(case.refused("body_truncated"));
    }
    for between in ["\r\n\r\n", "\r\n"] {
        let body = format!("--abc\r\n{}{between}--abc--\r\n", img());
        let name = format!("a12 {between:?}");
        let case = Case::post(name, "multipart/form-data; boundary=abc", body);
        cases.push(case.refused("body_truncated"));
    }
    cases
}

/// A14 to A17, A23, A24: headers of a part. `IMG` is the disposition of an image.
fn headers() -> Vec<Case> {
    let more = |line: &str| format!("{}\r\n{line}", img());
    let mut cases = vec![
        part("a24", more("Content-Transfer-Encoding: binary")),
        part("a24", more("content-transfer-encoding: 8BIT")),
        part("a16", more("X-A: b\r\n".repeat(10_000).trim_end()))
            .refused("body_malformed part 1: its headers cannot be read"),
        part("a16", more(&format!("X-Long: {}", "a".repeat(1 << 20)))).refused(TOO_LONG),
    ];
    for [number, headers, rule] in rows(
        r#"
        a14 | \sIMG                                   | its headers cannot be read
        a14 | \tIMG                                   | its headers cannot be read
        a15 | IMG\r\n X-Other: 1                      | its headers cannot be read
        a15 | IMG\r\n\tfolded                         | its headers cannot be read
        a15 | Content-Disposition: form-data;\r\n name="img"; filename="a.png" | its headers cannot be read
        a15 | IMG\r\n: nameless                       | its headers cannot be read
        a15 | IMG\r\nno colon                         | its headers cannot be read
        a15 | no colon                                | its headers cannot be read
        a15 | IMG\r\nBad Name: x                      | its headers cannot be read
        a15 | IMG\r\nX: a\0b                          | its headers cannot be read
        a17 | Content-Type: image/png                 | it has no Content-Disposition
        a17 | X-Other: x                              | it has no Content-Disposition
        a17 | X-IMG                                   | it has no Content-Disposition
        a17 | Content-Disposition:\s                  | its Content-Disposition is not form-data and has no name
        a17 | Content-Disposition: attachment; filename=a.png   | its Content-Disposition is not form-data and has no name
        a17 | Content-Disposition: attachment; filename="a.png" | its Content-Disposition is not form-data and has no name
        a19 | Content-Disposition: form-data; name="img | its Content-Disposition cannot be read
        a23 | IMG\r\nContent-Type: multipart/mixed; boundary=inner   | a form within the form (multipart/mixed) is not supported
        a23 | IMG\r\nContent-Type: Multipart/Mixed; boundary="inner" | a form within the form (multipart/mixed) is not supported
        a24 | IMG\r\nContent-Transfer-Encoding: base64 | Content-Transfer-Encoding base64 is not supported
        a24 | IMG\r\nContent-Transfer-Encoding: BASE64 | Content-Transfer-Encoding base64 is not supported
        a24 | IMG\r\ncontent-transfer-encoding: Quoted-Printable | Content-Transfer-Encoding quoted-printable is not supported
        a24 | IMG\r\nContent-Transfer-Encoding: x-uu | this Content-Transfer-Encoding is not supported
        "#,
    ) {
        // The response names the violated rule and the part.
        let headers = unescaped_text(headers).replace("IMG", &img());
        let second = Form::new().text("a", "x").part(&headers, "x");
        let second = Case::form(format!("{number} in the second part: {headers}"), &second);
        cases.push(part(number, headers).refused(format!("body_malformed part 1: {rule}")));
        cases.push(second.refused(format!("body_malformed part 2: {rule}")));
    }
    // Headers without an end, and blanks after a boundary, which are allowed.
    for (start, endless) in [
        (format!("{BOUNDARY}\r\n{}\r\n", img()), "X-A: b\r\n"),
        (format!("{BOUNDARY}\r\nX-Long: "), "long"),
        (format!("{BOUNDARY}\r\n"), "\r\n "),
        (BOUNDARY.to_owned(), " \t"),
    ] {
        let case = posted(format!("a16 {endless:?} without end"), start);
        cases.push(case.endless(endless.as_bytes()).refused(TOO_LONG));
    }
    cases
}

/// A18, A19, A22: names of fields and of files; the failure, or the display name.
fn dispositions() -> Vec<Case> {
    let mut cases = Vec::new();
    for [number, params, failure, name] in rows(
        r#"
        a18 | filename="a.png"                      | wrong_field \s |
        a18 | name=""; filename="a.png"             | wrong_field \s |
        a18 | name=; filename="a.png"               | wrong_field \s |
        a22 | name="__proto__"; filename="a.png"    | wrong_field __proto__ |
        a19 | name="img"; name="img"; filename="a.png"      | body_malformed part 1: its Content-Disposition cannot be read |
        a19 | name="a"; name="img"; filename="a.png"        | body_malformed part 1: its Content-Disposition cannot be read |
        a19 | name="img"; filename="a.png"; filename="b.png" | body_malformed part 1: its Content-Disposition cannot be read |
        a19 | name="img"; filename*=UTF-8''a.png; filename*=UTF-8''b.png | body_malformed part 1: its Content-Disposition cannot be read |
        a19 | name="img"; filename="a.png           | body_malformed part 1: its Content-Disposition cannot be read |
        a19 | name=img; filename="a.png"; filename*=UTF-8''%e7%8c%ab.png | | 猫.png
        a19 | name=img; filename*=GBK''%c3%a8.png   | | 猫.png
        a19 | name=img; filename="a.png"; filename*=UTF-8''%zz         | | a.png
        a19 | name=img; filename="a.png"; filename*=UTF-8''%zz.png     | | a.png
        a19 | name=img; filename="a.png"; filename*=UTF-8''%ff%fe.png  | | a.png
        a19 | name=img; filename="a.png"; filename*=klingon''x         | | a.png
        a19 | name=img; filename="a.png"; filename*=klingon''x.png     | | a.png
        a19 | name=img; filename="a.png"; filename*=x.png              | | a.png
        a19 | name=img; filename="a.png"; filename*=UTF-8''%e7%8       | | a.png
        a19 | name=img; name*=UTF-8''file; filename="a.png"            | | a.png
        "#,
    ) {
        let case = part(number, disposition(params));
        let case = case.stores([Stored::png().named(name)]);
        cases.push(case.refused_if(&failure.replace(" \\s", " ")));
    }
    let nameless = Form::new().part("Content-Disposition: form-data", "x");
    let nameless = nameless.and_image();
    cases.push(Case::form("a18 a text without a name", &nameless));
    let nested = format!("a{}", "[b]".repeat(1000));
    let others = "a[999999999] __proto__ constructor.prototype img[0] imageClassId[$ne]";
    for name in others.split(' ').chain([&*nested]) {
        let form = Form::new().text(name, "1").and_image();
        let case = Case::form(format!("a22 a text field {name:.20}"), &form);
        cases.push(case.stores_image_with("image_class_id", 0));
    }
    cases
}

/// A20, A21: many parts, large fields.
fn many() -> Vec<Case> {
    let many = |count: usize, form: &dyn Fn(Form) -> Form| {
        (0..count).fold(Form::with_boundary("b"), |all, _| form(all))
    };
    let texts = |count| many(count, &|form| form.text("f", "x")).and_image();
    let files = many(10_000, &|form| form.file("img", "a.txt", "x"));
    let tiny = Form::with_boundary("b");
    let endless = |name: &str, form: Form| {
        Case::post(name, &form.content_type(), "").endless(&form.unclosed())
    };
    let field = Form::new().text("token", "").unclosed();
    let open = field.slice(..field.len() - 2);
    let parts = "body_malformed more than 100 parts";
    let inputs = tiny.clone().file("img", "", "");
    let images = tiny.clone().and_image();
    let long = |bytes| Form::new().text("x", &"y".repeat(bytes));
    vec![
        Case::form("a20 99 fields and a file", &texts(99)),
        Case::form("a20 100 fields and a file", &texts(100)).refused(parts),
        Case::form("a20 10k fields", &many(10_000, &|form| form.text("f", ""))).refused(parts),
        Case::form("a20 10k files", &files).refused("too_many_files 9"),
        endless("a20 fields without end", tiny.text("f", "")).refused(parts),
        endless("a20 empty inputs without end", inputs).refused(parts),
        endless("a20 endless images", images).refused("too_many_files 9"),
        Case::form("a21 a field of 1 MB", &long(1 << 20)).refused("field_too_large"),
        Case::form("a21 a field of 64 KiB and a byte", &long(65_537)).refused("field_too_large"),
        Case::form("a21 a field of 64 KiB", &long(65_536).and_image()),
        posted("a21 a field without end", open)
            .endless(b"ten MB of it")
            .refused("field_too_large"),
    ]
}

/// A25 to A27: how a body is sent.
fn arrivals() -> Vec<Case> {
    let web = Form::image();
    let large = Form::img("a.png", png_bytes(2 << 20));
    let (begun, whole) = (large.unclosed().slice(..1 << 20), web.bytes());
    let raw = |name: &str, lines: &str, body: &[u8], is_end: bool| {
        posted(name, [lines.as_bytes(), b"\r\n\r\n", body].concat()).raw(is_end)
    };
    let length = |bytes: usize| format!("Host: a\r\nContent-Length: {bytes}");
    let (short, long) = (length(whole.len() - 40), length(whole.len() + 40));
    let broken_off = |name: &str, chunk: &[u8], is_end: bool| {
        let case = raw(name, "Host: a\r\nTransfer-Encoding: chunked", chunk, is_end);
        case.refused("body_truncated")
    };
    let hosts = |lines: &str| format!("Content-Length: {}\r\n{lines}", whole.len());
    let (two, user) = (hosts("Host: a\r\nHost: b"), hosts("Host: u:pw@a"));
    vec![
        Case::form("a25 byte by byte", &web).bytewise(),
        posted("a25 cut, byte by byte", web.unclosed())
            .bytewise()
            .refused("body_truncated"),
        posted("a26 a client that stops", begun)
            .stopped()
            .refused("body_truncated"),
        raw("a27 a length that cuts the form", &short, &whole, false).refused("body_truncated"),
        raw("a27 a length beyond the form", &long, &whole, true),
        broken_off("a27 chunks that break off", b"8\r\n------We\r\n", true),
        broken_off("a27 a chunk without a size", b"x\r\n------We\r\n", false),
        raw("two hosts on the wire", &two, &whole, false).refused("host_invalid"),
        raw("a user at the host on the wire", &user, &whole, false).refused("host_invalid"),
    ]
}
