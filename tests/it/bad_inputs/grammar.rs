//! Section A: the grammar of multipart forms, and how a body comes.

use crate::{
    drivers::{Case, Stored},
    support::{Form, PNG, UPLOAD, disposition, img, picture_of},
};

const UNREADABLE: &str = "body_malformed the Content-Type header cannot be read";
const BOUNDARY_RULE: &str =
    "body_malformed a boundary is 1 to 70 printable ASCII characters, the last one no blank";
const BROKEN: &str = "body_malformed broken boundaries";
const TOO_LONG: &str = "body_malformed a part's headers, or what stands before them, are too long";
const HEADERS: &str = "body_malformed part 1: its headers cannot be read";
const DISPOSITION: &str = "body_malformed part 1: its Content-Disposition cannot be read";
const NO_DISPOSITION: &str = "body_malformed part 1: it has no Content-Disposition";
const NO_NAME: &str =
    "body_malformed part 1: its Content-Disposition is not form-data and has no name";
const MIXED: &str =
    "body_malformed part 1: a form within the form (multipart/mixed) is not supported";

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
    Form::with_boundary(boundary).file("img", "a.png", PNG)
}

/// A picture under part headers of the case's making.
fn part(number: &str, headers: impl AsRef<str>) -> Case {
    let headers = headers.as_ref();
    Case::form(
        format!("{number} {headers:.60}"),
        &Form::new().part(headers, PNG),
    )
}

/// A2 to A4, A6, A7, A28: the Content-Type.
fn content_types() -> Vec<Case> {
    let web = Form::img("a.png", PNG);
    let typed = |number: &str, content_type: &str| {
        Case::post(
            format!("{number} {content_type}"),
            content_type,
            bounded("abc").bytes(),
        )
    };
    let mut cases = vec![
        typed("a02", "")
            .without("content-type")
            .refused("not_multipart"),
        typed("a04", "multipart/form-data; boundary=abc")
            .and("content-type", "multipart/form-data; boundary=def")
            .refused("body_malformed two Content-Type headers"),
        Case::post(
            "a28 JSON that says it is a form",
            &web.content_type(),
            "{\"img\":\"x\"}",
        )
        .refused(BROKEN),
        Case::post("a28 less of it", &web.content_type(), "{}").refused(BROKEN),
    ];
    for (number, params, failure) in [
        ("a03", "", "body_malformed no boundary parameter"),
        ("a03", ";", "body_malformed no boundary parameter"),
        (
            "a03",
            "; charset=utf-8",
            "body_malformed no boundary parameter",
        ),
        (
            "a03",
            "; xboundary=abc",
            "body_malformed no boundary parameter",
        ),
        ("a03", "; boundary", UNREADABLE),
        ("a03", "; boundaryabc", UNREADABLE),
        ("a03", "; boundary=\"abc", UNREADABLE),
        (
            "a04",
            "; boundary=abc; boundary=abc",
            "body_malformed two boundary parameters",
        ),
        (
            "a04",
            "; boundary=abc; boundary=def",
            "body_malformed two boundary parameters",
        ),
        (
            "a04",
            "; boundary=def; BOUNDARY=abc",
            "body_malformed two boundary parameters",
        ),
        (
            "a04",
            "; boundary=abc; Boundary=abc",
            "body_malformed two boundary parameters",
        ),
        ("a06", "; boundary=\"abc \"", BOUNDARY_RULE),
        ("a06", "; boundary=\"a\tb\"", BOUNDARY_RULE),
        ("a06", "; boundary=\"\"", BOUNDARY_RULE),
        ("a06", "; boundary=\"abc\" def", UNREADABLE),
    ] {
        cases.push(typed(number, &format!("multipart/form-data{params}")).refused(failure));
    }
    cases.push(typed("a06", "multipart/form-data; boundary=\"abc\""));
    for boundary in ["a b", "a\"b", "a\\b", "a;b=c", " a"] {
        cases.push(quoted("a06", boundary));
    }
    for boundary in [".*", "(a+)+$", "[^a]", "a|b", "\\d{3}", "--", "-"] {
        cases.push(quoted("a07", boundary));
    }
    cases.push(Case::form("a07 .* without quotes", &bounded(".*")));
    let boundary = "boundary=----WebKitFormBoundaryabc123";
    for (content_type, body) in [
        ("application/x-www-form-urlencoded", b"img=x".to_vec()),
        (
            "application/x-www-form-urlencoded",
            b"img=x&imageClassId=1".to_vec(),
        ),
        ("application/json", b"{\"img\":\"x\"}".to_vec()),
        ("application/octet-stream", PNG.to_vec()),
        ("image/png", PNG.to_vec()),
        ("multipart/mixed; boundary=abc", b"--abc--".to_vec()),
        (
            &format!("multipart/mixed; {boundary}"),
            web.bytes().to_vec(),
        ),
        (
            &format!("multipart/form-data-x; {boundary}"),
            web.bytes().to_vec(),
        ),
        (
            &format!("text/plain; multipart/form-data; {boundary}"),
            web.bytes().to_vec(),
        ),
        ("", web.bytes().to_vec()),
    ] {
        let name = format!("a28 {content_type}, {} bytes", body.len());
        cases.push(
            Case::post(name, content_type, body)
                .unread()
                .refused("not_multipart"),
        );
    }
    cases
}

fn quoted(number: &str, boundary: &str) -> Case {
    let escaped = boundary.replace('\\', "\\\\").replace('"', "\\\"");
    let content_type = format!("multipart/form-data; boundary=\"{escaped}\"");
    Case::post(
        format!("{number} {boundary} in quotes"),
        &content_type,
        bounded(boundary).bytes(),
    )
}

/// A5, A8, A9: boundaries, and what resembles them or stands before and behind them.
fn boundaries() -> Vec<Case> {
    let web = Form::img("a.png", PNG);
    let preamble = Form::new()
        .raw("This is a form.\r\n")
        .file("img", "a.png", PNG);
    let long_preamble = Form::new()
        .raw(vec![b'p'; 1 << 20])
        .file("img", "a.png", PNG);
    let epilogue = [&preamble.bytes()[..], &vec![b'e'; 1 << 20]].concat();
    // Long enough that it cannot be taken for a form that was cut off there.
    let [noise, letters] = [picture_of(200_000), vec![b'x'; 200_000]].map(|rest| {
        Form::with_boundary("abc").file("img", "a.png", [PNG, b"\r\n--abcd\r\n", &rest].concat())
    });
    let mut cases = vec![
        Case::form("a08 a line that begins with the boundary", &noise).refused(BROKEN),
        Case::form("a08 the same line, then letters", &letters).refused(BROKEN),
        Case::form("a09 a short preamble", &preamble),
        Case::form("a09 preamble of 1 MB", &long_preamble).refused(TOO_LONG),
        Case::post("a09 epilogue of 1 MB", &web.content_type(), epilogue),
        Case::form("a09 epilogue without end", &web).endless(b"epilogue"),
    ];
    for length in [1, 69, 70] {
        cases.push(Case::form(
            format!("a05 {length}"),
            &bounded(&"b".repeat(length)),
        ));
    }
    for length in [0, 71, 10_000] {
        let form = bounded(&"b".repeat(length));
        cases.push(Case::form(format!("a05 {length}"), &form).refused(BOUNDARY_RULE));
    }
    for inside in [
        "--abc",
        "\n--abc\n",
        "\r--abc",
        "\r\n-abc",
        "\r\n--ab\r\n",
        "\r\n--Abc",
        "--abc--",
        "\r\n\r\n--ab",
        "\n--abc\n--abc--",
    ] {
        let content = [PNG, inside.as_bytes(), b"rest"].concat();
        let form = Form::with_boundary("abc").file("img", "a.png", &content);
        let stored = Stored::new("image image/png png", content);
        cases.push(Case::form(format!("a08 {inside:?} within a file"), &form).stores([stored]));
    }
    for junk in ["p", "\r\n", "-", "--", "\r\n------WebKitFormBoundaryabc12"] {
        let case = Case::post(format!("a09 {junk:?} without end"), &web.content_type(), "");
        cases.push(case.endless(junk.as_bytes()).refused(TOO_LONG));
    }
    cases
}

/// A1, A10 to A13: where the form ends.
fn ends() -> Vec<Case> {
    let web = Form::img("a.png", PNG);
    let boundary = "------WebKitFormBoundaryabc123";
    let mut cases =
        vec![Case::post("a01 an empty body", &web.content_type(), "").refused("body_truncated")];
    for end in [
        "",
        "-",
        "--",
        "----FormBoundar",
        &boundary[..20],
        boundary,
        &format!("{boundary}-"),
        &format!("{boundary}\r\n"),
        &format!("{boundary}\r\nContent-Disposition: form"),
    ] {
        let body = [&web.unclosed()[..], end.as_bytes()].concat();
        let case = Case::post(
            format!("a10 a11 cut after {end:?}"),
            &web.content_type(),
            body,
        );
        cases.push(case.refused("body_truncated"));
    }
    for between in ["\r\n\r\n", "\r\n"] {
        let body = format!("--abc\r\n{}{between}--abc--\r\n", img());
        let case = Case::post(
            format!("a12 {between:?}"),
            "multipart/form-data; boundary=abc",
            body,
        );
        cases.push(case.refused("body_truncated"));
    }
    let lf_only = Form::img("a.txt", "text").bytes().to_vec();
    let lf_only: Vec<_> = lf_only.into_iter().filter(|byte| *byte != b'\r').collect();
    cases.push(Case::post("a13 LF only", &web.content_type(), lf_only).refused(BROKEN));
    cases
}

/// A14 to A17, A23, A24: headers of a part.
fn headers() -> Vec<Case> {
    let more = |line: &str| format!("{}\r\n{line}", img());
    let mut cases = Vec::new();
    for (number, headers, failure) in [
        ("a14", format!(" {}", img()), HEADERS),
        ("a14", format!("\t{}", img()), HEADERS),
        ("a15", more(" X-Other: 1"), HEADERS),
        ("a15", more("\tfolded"), HEADERS),
        ("a15", img().replace("; name", ";\r\n name"), HEADERS),
        ("a15", more(": nameless"), HEADERS),
        ("a15", more("no colon"), HEADERS),
        ("a15", more("Bad Name: x"), HEADERS),
        ("a15", more("X: a\0b"), HEADERS),
        ("a16", more("X-A: b\r\n".repeat(10_000).trim_end()), HEADERS),
        (
            "a16",
            more(&format!("X-Long: {}", "a".repeat(1 << 20))),
            TOO_LONG,
        ),
        ("a17", "Content-Type: image/png".to_owned(), NO_DISPOSITION),
        ("a17", format!("X-{}", img()), NO_DISPOSITION),
        (
            "a17",
            "Content-Disposition: attachment; filename=\"a.png\"".to_owned(),
            NO_NAME,
        ),
        ("a17", "Content-Disposition: ".to_owned(), NO_NAME),
        (
            "a23",
            more("Content-Type: multipart/mixed; boundary=inner"),
            MIXED,
        ),
        (
            "a23",
            more("Content-Type: Multipart/Mixed; boundary=\"inner\""),
            MIXED,
        ),
    ] {
        cases.push(part(number, headers).refused(failure));
    }
    for (encoding, told) in [
        (
            "base64",
            "Content-Transfer-Encoding base64 is not supported",
        ),
        (
            "BASE64",
            "Content-Transfer-Encoding base64 is not supported",
        ),
        (
            "Quoted-Printable",
            "Content-Transfer-Encoding quoted-printable is not supported",
        ),
        ("x-uu", "this Content-Transfer-Encoding is not supported"),
    ] {
        let case = part(
            "a24",
            more(&format!("Content-Transfer-Encoding: {encoding}")),
        );
        cases.push(case.refused(format!("body_malformed part 1: {told}")));
    }
    for encoding in ["binary", "8BIT"] {
        cases.push(part(
            "a24",
            more(&format!("content-transfer-encoding: {encoding}")),
        ));
    }
    // Headers without end, and blanks behind a boundary, which are allowed.
    let boundary = "------WebKitFormBoundaryabc123";
    for (start, endless) in [
        (format!("{boundary}\r\n{}\r\n", img()), "X-A: b\r\n"),
        (format!("{boundary}\r\nX-Long: "), "long"),
        (format!("{boundary}\r\n"), "\r\n "),
        (boundary.to_owned(), " \t"),
    ] {
        let name = format!("a16 {endless:?} without end");
        let case = Case::post(name, &Form::new().content_type(), start);
        cases.push(case.endless(endless.as_bytes()).refused(TOO_LONG));
    }
    // The rule that is broken is told, and the part that breaks it.
    for (headers, told) in [
        ("X-Other: x", "it has no Content-Disposition"),
        (
            "Content-Disposition: form-data; name=\"img",
            "its Content-Disposition cannot be read",
        ),
        (
            "Content-Disposition: attachment; filename=a.png",
            "its Content-Disposition is not form-data and has no name",
        ),
        ("no colon", "its headers cannot be read"),
    ] {
        let form = Form::new().text("a", "x").part(headers, "x");
        let case = Case::form(format!("a17 in the second part: {headers}"), &form);
        cases.push(case.refused(format!("body_malformed part 2: {told}")));
    }
    cases
}

/// A17 to A19, A22: names of fields and of files.
fn dispositions() -> Vec<Case> {
    let of = |number: &str, params: &str| part(number, disposition(params));
    let mut cases = Vec::new();
    for params in [
        "filename=\"a.png\"",
        "name=\"\"; filename=\"a.png\"",
        "name=; filename=\"a.png\"",
    ] {
        cases.push(of("a18", params).refused("wrong_field "));
    }
    let nameless = Form::new().part("Content-Disposition: form-data", "x");
    cases.push(Case::form(
        "a18 a text without a name",
        &nameless.file("img", "a.png", PNG),
    ));
    for params in [
        "name=\"img\"; name=\"img\"; filename=\"a.png\"",
        "name=\"a\"; name=\"img\"; filename=\"a.png\"",
        "name=\"img\"; filename=\"a.png\"; filename=\"b.png\"",
        "name=\"img\"; filename*=UTF-8''a.png; filename*=UTF-8''b.png",
        "name=\"img\"; filename=\"a.png",
    ] {
        cases.push(of("a19", params).refused(DISPOSITION));
    }
    for (params, name) in [
        (
            "filename=\"a.png\"; filename*=UTF-8''%e7%8c%ab.png",
            "猫.png",
        ),
        ("filename*=GBK''%c3%a8.png", "猫.png"),
        ("filename=\"a.png\"; filename*=UTF-8''%zz", "a.png"),
        ("filename=\"a.png\"; filename*=UTF-8''%zz.png", "a.png"),
        ("filename=\"a.png\"; filename*=UTF-8''%ff%fe.png", "a.png"),
        ("filename=\"a.png\"; filename*=klingon''x", "a.png"),
        ("filename=\"a.png\"; filename*=klingon''x.png", "a.png"),
        ("filename=\"a.png\"; filename*=x.png", "a.png"),
        ("filename=\"a.png\"; filename*=UTF-8''%e7%8", "a.png"),
        ("name*=UTF-8''file; filename=\"a.png\"", "a.png"),
    ] {
        let case = of("a19", &format!("name=img; {params}"));
        cases.push(case.stores([Stored::png().named(name)]));
    }
    let nested = format!("a{}", "[b]".repeat(1000));
    for name in [
        &nested,
        "a[999999999]",
        "__proto__",
        "constructor.prototype",
        "img[0]",
        "imageClassId[$ne]",
    ] {
        let form = Form::new().text(name, "1").file("img", "a.png", PNG);
        let case = Case::form(format!("a22 a text field {name:.20}"), &form);
        cases.push(case.stores_picture_with("image_class_id", 0));
    }
    let proto = Form::new().file("__proto__", "a.png", PNG);
    cases.push(Case::form("a22 a file in __proto__", &proto).refused("wrong_field __proto__"));
    cases
}

/// A20, A21: many parts, large fields.
fn many() -> Vec<Case> {
    let many = |count: usize, form: &dyn Fn(Form) -> Form| {
        (0..count).fold(Form::with_boundary("b"), |all, _| form(all))
    };
    let texts = |count| many(count, &|form| form.text("f", "x")).file("img", "a.png", PNG);
    let tiny = Form::with_boundary("b");
    let endless = |name: &str, form: Form| {
        Case::post(name, &form.content_type(), "").endless(&form.unclosed())
    };
    let field = Form::new().text("token", "");
    let open = field.unclosed().slice(..field.unclosed().len() - 2);
    let parts = "body_malformed more than 100 parts";
    vec![
        Case::form("a20 99 fields and a file", &texts(99)),
        Case::form("a20 100 fields and a file", &texts(100)).refused(parts),
        Case::form("a20 10k fields", &many(10_000, &|form| form.text("f", ""))).refused(parts),
        Case::form(
            "a20 10k files",
            &many(10_000, &|form| form.file("img", "a.txt", "x")),
        )
        .refused("too_many_files 9"),
        endless("a20 fields without end", tiny.clone().text("f", "")).refused(parts),
        endless(
            "a20 empty inputs without end",
            tiny.clone().file("img", "", ""),
        )
        .refused(parts),
        endless("a20 pictures without end", tiny.file("img", "a.png", PNG))
            .refused("too_many_files 9"),
        Case::form(
            "a21 a field of 1 MB",
            &Form::new().text("note", &"x".repeat(1 << 20)),
        )
        .refused("field_too_large"),
        Case::form(
            "a21 a field of 64 KiB and a byte",
            &Form::new().text("x", &"y".repeat(65_537)),
        )
        .refused("field_too_large"),
        Case::form(
            "a21 a field of 64 KiB",
            &Form::new()
                .text("x", &"y".repeat(65_536))
                .file("img", "a.png", PNG),
        ),
        Case::post("a21 a field without end", &field.content_type(), open)
            .endless(b"ten MB of it")
            .refused("field_too_large"),
    ]
}

/// A25 to A27: how a body comes.
fn arrivals() -> Vec<Case> {
    let web = Form::img("a.png", PNG);
    let large = Form::img("a.png", picture_of(2 << 20));
    let (begun, whole) = (large.unclosed().slice(..1 << 20), web.bytes());
    let raw = |name: &str, lines: &str, body: &[u8]| {
        let rest = [lines.as_bytes(), b"\r\n\r\n", body].concat();
        Case::form(name, &web).raw(&format!("POST {UPLOAD} HTTP/1.1"), rest)
    };
    let with_length = |name: &str, length: usize| {
        raw(
            name,
            &format!("Host: a\r\nContent-Length: {length}"),
            &whole,
        )
    };
    let chunked =
        |name: &str, chunks: &[u8]| raw(name, "Host: a\r\nTransfer-Encoding: chunked", chunks);
    let with_hosts = |name: &str, hosts: &str| {
        raw(
            name,
            &format!("Content-Length: {}\r\n{hosts}", whole.len()),
            &whole,
        )
    };
    vec![
        Case::form("a25 byte by byte", &web).bytewise(),
        Case::post(
            "a25 a cut form byte by byte",
            &web.content_type(),
            web.unclosed(),
        )
        .bytewise()
        .refused("body_truncated"),
        Case::post("a26 a client that stops", &large.content_type(), begun)
            .stopped()
            .refused("body_truncated"),
        with_length("a27 a length that cuts the form", whole.len() - 40).refused("body_truncated"),
        with_length("a27 a length beyond the form", whole.len() + 40),
        chunked("a27 chunks that break off", b"8\r\n------We\r\n").refused("body_truncated"),
        chunked("a27 a chunk without a size", b"x\r\n------We\r\n").refused("body_truncated"),
        with_hosts("two hosts on the wire", "Host: a\r\nHost: b").refused("host_invalid"),
        with_hosts("a user at the host on the wire", "Host: u:pw@a").refused("host_invalid"),
    ]
}
