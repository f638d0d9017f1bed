//! The list of bad inputs as whole requests, sent through each of the three runtimes: a socket with a
//! disk store, Function Compute's guise with a bucket, and Lambda behind a load balancer. Every case
//! asserts status, code and what is stored. The same numbers stand in `forms.rs`, `splits.rs` and
//! `auth.rs` with their exact texts and many more variants, through the Router alone.
//!
//! Left out, because a whole and valid HTTP request cannot show it: a25 to a27 (how a body arrives:
//! `splits.rs`, `server.rs`), line ends in a header (a06), d49 to d53 beyond the first structure (no
//! format's inside is read), f65 and f66 (parameters that no route takes), e62 (`limits.rs`).
//!
//! Section G and number 75 take several calls each, to the function and to its store: `direct.rs`.

mod direct;

use std::fmt::Write as _;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request},
};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    bucket_double::{BucketDouble, Dialect},
    runtime_double::RuntimeDouble,
    support::{Form, PNG, Process, UPLOAD, bucket_vars, files_below, send},
    tokens::{HS256, SECRET, of_guest, of_user, signed, token},
};

const ADMIN: &str = "/shop/admin/image/uploadAliyun";
const FOLDER: &str = "/api/chat/uploadStreamSingleToServerDiy/";

/// One bad input and what comes of it.
struct Case {
    /// Its number in the list, and what it is.
    name: String,
    method: Method,
    /// With its query.
    target: String,
    headers: HeaderMap,
    body: Bytes,
    expected: Expected,
}

/// What a case is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// It is harmless, and stored as so many files.
    Stored(usize),
    /// This status and code, and nothing is stored.
    Refused(u16, &'static str),
}

use Expected::{Refused, Stored};

const MALFORMED: Expected = Refused(400, "body_malformed");
const TRUNCATED: Expected = Refused(400, "body_truncated");
const NOT_MULTIPART: Expected = Refused(415, "not_multipart");
const WRONG_FIELD: Expected = Refused(400, "wrong_field");
const TYPE_REFUSED: Expected = Refused(415, "type_refused");
const CLASS_ID_INVALID: Expected = Refused(400, "class_id_invalid");
const FOLDER_INVALID: Expected = Refused(400, "folder_invalid");
const TOKEN_MISSING: Expected = Refused(401, "token_missing");
const TOKEN_INVALID: Expected = Refused(401, "token_invalid");
const TOKEN_EXPIRED: Expected = Refused(401, "token_expired");
const NOT_FOUND: Expected = Refused(404, "not_found");

impl Case {
    /// Posts `body`, with a good token in its header.
    fn post(name: impl Into<String>, content_type: &str, body: impl Into<Bytes>) -> Self {
        let case = Self {
            name: name.into(),
            method: Method::POST,
            target: UPLOAD.to_owned(),
            headers: HeaderMap::new(),
            body: body.into(),
            expected: MALFORMED,
        };
        case.header("content-type", content_type)
            .header("token", &of_user("7"))
    }

    fn form(name: impl Into<String>, form: &Form) -> Self {
        Self::post(name, &form.content_type(), form.bytes())
    }

    /// A picture, sent as it should be.
    fn picture(name: impl Into<String>) -> Self {
        Self::form(name, &Form::img("a.png", PNG))
    }

    fn to(mut self, target: impl Into<String>) -> Self {
        self.target = target.into();
        self
    }

    /// With a header more.
    fn and(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        self.headers.append(name, value);
        self
    }

    /// With a header of this value alone.
    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.remove(name);
        self.and(name, value)
    }

    fn without(mut self, name: &'static str) -> Self {
        self.headers.remove(name);
        self
    }

    fn is(mut self, expected: Expected) -> Self {
        self.expected = expected;
        self
    }

    fn request(&self) -> Request<Body> {
        let mut request = Request::new(Body::from(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.parse().unwrap();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// As a load balancer hands it over, which keeps paths, queries and repeated headers as they came.
    fn event(&self) -> Value {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let mut headers = Map::new();
        for name in self.headers.keys() {
            headers.insert(name.to_string(), json!(self.header_texts(name)));
        }
        let mut parameters = Map::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let values = parameters.entry(name).or_insert_with(|| json!([]));
            values.as_array_mut().unwrap().push(json!(value));
        }
        json!({
            "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:x:1:targetgroup/x/1"}},
            "httpMethod": self.method.as_str(),
            "path": path,
            "multiValueQueryStringParameters": parameters,
            "multiValueHeaders": headers,
            "body": base64_simd::STANDARD.encode_to_string(&self.body),
            "isBase64Encoded": true,
        })
    }

    fn header_texts(&self, name: &HeaderName) -> Vec<&str> {
        let values = self.headers.get_all(name).iter();
        values
            .map(|value| std::str::from_utf8(value.as_bytes()).unwrap())
            .collect()
    }

    /// What the answer is, in the terms of `expected`; `Err` for what is no answer of the contract.
    fn judge(status: u16, body: &[u8]) -> Result<Answer, String> {
        let json: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        match (status, json["msg"].as_str(), &json["data"]) {
            (200, Some("ok"), Value::Array(files)) => Ok(Answer::Stored(files.len())),
            (200, Some("ok"), Value::Object(_)) => Ok(Answer::Stored(1)),
            (400.., Some("fail"), Value::String(_)) if json["request_id"].is_string() => Ok(
                Answer::Refused(status, json["code"].as_str().unwrap_or_default().to_owned()),
            ),
            _ => Err(format!("{status} {json}")),
        }
    }
}

/// What came of a case.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Stored(usize),
    Refused(u16, String),
}

impl PartialEq<Expected> for Answer {
    fn eq(&self, expected: &Expected) -> bool {
        match (self, expected) {
            (Self::Stored(files), Stored(expected)) => files == expected,
            (Self::Refused(status, code), Refused(expected, its_code)) => {
                (status, code.as_str()) == (expected, its_code)
            }
            _ => false,
        }
    }
}

/// Every case; each stands for itself and can be sent in any order.
fn cases() -> Vec<Case> {
    [
        grammar(),
        parts(),
        names(),
        folders(),
        content(),
        tokens(),
        identity(),
        parameters(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn disposition(params: &str) -> String {
    format!("Content-Disposition: form-data; {params}")
}

fn img() -> String {
    disposition("name=\"img\"; filename=\"a.png\"")
}

/// A1 to A13, A28: Content-Type, boundaries, and where the body ends.
fn grammar() -> Vec<Case> {
    let abc = Form::with_boundary("abc").file("img", "a.png", PNG);
    let typed = |name: &str, content_type: &str| Case::post(name, content_type, abc.bytes());
    let bounded = |name: &str, boundary: &str| {
        Case::form(
            name,
            &Form::with_boundary(boundary).file("img", "a.png", PNG),
        )
    };
    let web = Form::img("a.png", PNG);
    let cut = |name: &str, end: &str| {
        let body = [&web.unclosed()[..], end.as_bytes()].concat();
        Case::post(name, &web.content_type(), body).is(TRUNCATED)
    };
    let lf_only: Vec<u8> = Form::img("a.txt", "text")
        .bytes()
        .iter()
        .copied()
        .filter(|b| *b != b'\r')
        .collect();
    let mut cases = vec![
        Case::post("a01 empty body", &web.content_type(), "").is(TRUNCATED),
        typed("a02 no Content-Type", "")
            .without("content-type")
            .is(NOT_MULTIPART),
        typed("a03 no boundary", "multipart/form-data"),
        typed(
            "a03 boundary without value",
            "multipart/form-data; boundary",
        ),
        typed(
            "a03 boundary unclosed",
            "multipart/form-data; boundary=\"abc",
        ),
        typed(
            "a04 two boundaries",
            "multipart/form-data; boundary=abc; boundary=def",
        ),
        typed(
            "a04 twice the same boundary",
            "multipart/form-data; boundary=abc; Boundary=abc",
        ),
        typed("a04 two headers", "multipart/form-data; boundary=abc")
            .and("content-type", "multipart/form-data; boundary=def"),
        bounded("a05 boundary of 0", ""),
        bounded("a05 boundary of 70", &"b".repeat(70)).is(Stored(1)),
        bounded("a05 boundary of 71", &"b".repeat(71)),
        bounded("a05 boundary of 10k", &"b".repeat(10_000)),
        typed(
            "a06 quoted boundary",
            "multipart/form-data; boundary=\"abc\"",
        )
        .is(Stored(1)),
        typed(
            "a06 blank at its end",
            "multipart/form-data; boundary=\"abc \"",
        ),
        typed(
            "a06 text behind the quote",
            "multipart/form-data; boundary=\"abc\" def",
        ),
        bounded("a07 pattern characters", ".*").is(Stored(1)),
        Case::post(
            "a07 more pattern characters",
            "multipart/form-data; boundary=\"(a+)+$\"",
            Form::with_boundary("(a+)+$")
                .file("img", "a.png", PNG)
                .bytes(),
        )
        .is(Stored(1)),
        Case::form(
            "a08 boundary inside the file",
            &Form::with_boundary("abc").file("img", "a.png", [PNG, b"\n--abc\n--abc--"].concat()),
        )
        .is(Stored(1)),
        Case::form(
            "a08 a line that begins with the boundary",
            &Form::with_boundary("abc").file(
                "img",
                "a.png",
                [PNG, b"\r\n--abcd\r\n", &[b'x'; 200_000]].concat(),
            ),
        ),
        Case::form(
            "a09 preamble of 1 MB",
            &Form::new()
                .raw(vec![b'p'; 1 << 20])
                .file("img", "a.png", PNG),
        ),
        Case::post(
            "a09 epilogue of 1 MB",
            &web.content_type(),
            [&web.bytes()[..], &vec![b'e'; 1 << 20]].concat(),
        )
        .is(Stored(1)),
        cut("a10 no closing boundary", ""),
        cut(
            "a10 closing boundary without --",
            "------WebKitFormBoundaryabc123",
        ),
        cut("a11 closing boundary cut", "----FormBoundar"),
        Case::post(
            "a12 headers, then the end",
            "multipart/form-data; boundary=abc",
            format!("--abc\r\n{}\r\n\r\n--abc--\r\n", img()),
        )
        .is(TRUNCATED),
        Case::post("a13 LF only", &web.content_type(), lf_only),
    ];
    for (content_type, body) in [
        ("application/x-www-form-urlencoded", &b"img=x"[..]),
        ("application/json", b"{\"img\":\"x\"}"),
        ("image/png", PNG),
        ("multipart/mixed; boundary=abc", b"--abc--"),
    ] {
        cases.push(Case::post(format!("a28 {content_type}"), content_type, body).is(NOT_MULTIPART));
    }
    cases.push(Case::post(
        "a28 JSON that says it is a form",
        &web.content_type(),
        "{}",
    ));
    cases
}

/// A14 to A24: what stands in a part.
fn parts() -> Vec<Case> {
    let with = |name: &str, headers: String| Case::form(name, &Form::new().part(headers, PNG));
    let many = |count: usize, form: &dyn Fn(Form) -> Form| {
        (0..count).fold(Form::with_boundary("b"), |all, _| form(all))
    };
    let more = |line: &str| format!("{}\r\n{line}", img());
    let nested = format!("a{}", "[b]".repeat(1000));
    let mut cases = vec![
        with("a14 header begins with a blank", format!(" {}", img())),
        with("a14 header begins with a tab", format!("\t{}", img())),
        with("a15 folded header", more(" X: y")),
        with(
            "a16 10k headers",
            more(&"X-A: b\r\n".repeat(10_000)).trim_end().to_owned(),
        ),
        with(
            "a16 header of 1 MB",
            more(&format!("X: {}", "y".repeat(1 << 20))),
        ),
        with(
            "a17 no Content-Disposition",
            "Content-Type: image/png".to_owned(),
        ),
        with(
            "a17 attachment",
            "Content-Disposition: attachment; filename=\"a\"".to_owned(),
        ),
        with("a18 no name", disposition("filename=\"a.png\"")).is(WRONG_FIELD),
        with(
            "a18 empty name",
            disposition("name=\"\"; filename=\"a.png\""),
        )
        .is(WRONG_FIELD),
        with(
            "a19 name twice",
            disposition("name=\"img\"; name=\"img\"; filename=\"a.png\""),
        ),
        with(
            "a19 bad percent",
            disposition("name=img; filename=\"a.png\"; filename*=UTF-8''%zz"),
        )
        .is(Stored(1)),
        with(
            "a19 bad charset",
            disposition("name=img; filename=\"a.png\"; filename*=klingon''x"),
        )
        .is(Stored(1)),
        Case::form("a20 10k fields", &many(10_000, &|form| form.text("f", ""))),
        Case::form(
            "a20 10k files",
            &many(10_000, &|form| form.file("img", "a.txt", "x")),
        )
        .is(Refused(400, "too_many_files")),
        Case::form(
            "a21 field of 1 MB",
            &Form::new().text("note", &"x".repeat(1 << 20)),
        )
        .is(Refused(400, "field_too_large")),
        with(
            "a23 nested multipart",
            more("Content-Type: multipart/mixed; boundary=inner"),
        ),
        with("a24 base64", more("Content-Transfer-Encoding: base64")),
    ];
    for name in [&nested, "a[999999999]", "__proto__"] {
        let form = Form::new().text(name, "1").file("img", "a.png", PNG);
        cases.push(Case::form(format!("a22 field {name:.20}"), &form).is(Stored(1)));
    }
    cases
}

/// C36 to C42: file names, none of which is part of a key.
fn names() -> Vec<Case> {
    let harmless: [(&str, &[u8]); 26] = [
        ("c36", b"../../x.png"),
        ("c36", b"..\\x.png"),
        ("c36", b"%2e%2e%2fx.png"),
        ("c36", b"%252e%252e%252fx.png"),
        ("c37", b"a\tb.png"),
        ("c37", "\u{202E}gnp.exe".as_bytes()),
        ("c37", "\u{FEFF}😀.png".as_bytes()),
        ("c37", &[b'x'; 4096]),
        ("c37", b"\xFF\xFE.png"),
        ("c37", b"\xD5\xD5\xC6\xAC.png"),
        ("c38", b"x.png.html"),
        ("c38", b"x.html.png"),
        ("c38", b"x.png%00.html"),
        ("c38", b"x."),
        ("c38", b".htaccess"),
        ("c38", b"x.PnG"),
        ("c38", b"x.png "),
        ("c38", b"x.png::$DATA"),
        ("c38", b"CON.png"),
        ("c39", b"x"),
        ("c39", b"blob"),
        ("c39", b"file-1712345678901"),
        ("c39", b""),
        ("c40", &[b'.'; 300]),
        ("c42", b"a%0D%0ASet-Cookie: x=1"),
        ("c42", b"a;filename=b"),
    ];
    let named = |number: &str, name: &[u8]| {
        let headers = [
            b"Content-Disposition: form-data; name=\"img\"; filename=\"",
            name,
            b"\"",
        ]
        .concat();
        let shown = String::from_utf8_lossy(name);
        Case::form(
            format!("{number} {shown:.30}"),
            &Form::new().part(headers, PNG),
        )
    };
    let harmless = harmless.map(|(number, name)| named(number, name).is(Stored(1)));
    let broken = [b"a\0b", b"a\nb", b"a\rb"].map(|name| named("c37", name));
    harmless.into_iter().chain(broken).collect()
}

/// C41: folders that a caller names.
fn folders() -> Vec<Case> {
    let form = Form::new().file("file", "a.png", PNG);
    let to = |folder: &str| {
        Case::form(format!("c41 folder {folder:.30}"), &form).to(format!("{FOLDER}{folder}"))
    };
    let (kilobyte, deep) = ("x".repeat(1024), "a_b_c_d_e_f");
    let bad = [
        "..",
        ".._.._x",
        "_",
        "a__b",
        "_a",
        "",
        &kilobyte,
        "/",
        "a/b",
        "%2F",
        "a%2Fb",
        "..%2F..%2Fx",
        "%2e%2e",
        "a%00b",
        "a.b",
        "a%20b",
        "%E5%9B%BE",
        "%FF",
        deep,
        "a;x",
        "%5C..",
    ];
    let good = ["chatImgs", "a_b", "A-1_2_3_4_5", "%63hat"];
    let bad = bad.into_iter().map(|folder| to(folder).is(FOLDER_INVALID));
    bad.chain(good.map(|folder| to(folder).is(Stored(1))))
        .collect()
}

/// D43 to D55: bytes that are not what their name says.
fn content() -> Vec<Case> {
    let elf = [b"\x7FELF\x02\x01\x01".as_slice(), &[0; 60]].concat();
    let sized = |width: u32, height: u32| {
        [
            &PNG[..16],
            &width.to_be_bytes(),
            &height.to_be_bytes(),
            &PNG[24..],
        ]
        .concat()
    };
    let (zero, wide, huge) = (sized(0, 10), sized(10, u32::MAX), sized(100_000, 100_000));
    let refused: [(&str, &[u8]); 27] = [
        ("d43 HTML", b"<!DOCTYPE html><script>alert(1)</script>"),
        ("d43 HTML behind a BOM", b"\xEF\xBB\xBF \n<html>"),
        (
            "d43 XHTML",
            b"<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\"/>",
        ),
        ("d43 XML", b"<?xml version=\"1.0\"?><feed/>"),
        (
            "d43 MHTML",
            b"MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=x\r\n",
        ),
        ("d43 SWF", b"FWS\x0a\x10\0\0\0abcd"),
        (
            "d45 SVG with a script",
            b"<svg onload=alert(1)><script>alert(1)</script></svg>",
        ),
        (
            "d45 SVG, foreign object",
            b"<?xml version=\"1.0\"?><svg><foreignObject/></svg>",
        ),
        (
            "d45 SVG, external entity",
            b"<!DOCTYPE svg [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><svg>&a;</svg>",
        ),
        (
            "d45 billion laughs",
            b"<!DOCTYPE svg [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><svg>&b;</svg>",
        ),
        ("d46 PHP", b"<?php system($_GET['x']);"),
        ("d46 EXE", b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xFF\xFF"),
        ("d46 ELF", &elf),
        ("d46 shell script", b"#!/bin/sh\nid\n"),
        ("d46 APK", include_bytes!("../../media/tiny.apk")),
        ("d46 JAR", include_bytes!("../../media/tiny.jar")),
        ("d47 one byte", b"\0"),
        ("d47 magic of PNG", b"\x89PNG\r\n\x1a\n"),
        ("d47 magic of JPEG", b"\xFF\xD8\xFF"),
        ("d48 PNG of 0 x 10", &zero),
        ("d48 PNG, height over 2^31", &wide),
        ("d49 PNG without its chunk", &PNG[..12]),
        (
            "d51 HEIC box beyond the end",
            b"\xFF\xFF\xFF\xF0ftypheic\0\0\0\0mif1heic",
        ),
        ("d52 MP4 box of size 4", b"\0\0\0\x04ftypisom\0\0\0\0isom"),
        ("d53 ID3 tag of 256 MB", b"ID3\x04\0\0\x7F\x7F\x7F\x7FTIT2"),
        (
            "d55 HLS playlist",
            b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        ),
        ("d55 concat", b"concat:http://127.0.0.1/|file:///etc/passwd"),
    ];
    let harmless: [(&str, &[u8]); 5] = [
        ("d43 a script is a text to save", b"alert(document.cookie)"),
        (
            "d44 GIF and JavaScript",
            b"GIF89a/*\0\0\0\0\0!\xFE*/=1;alert(1)//",
        ),
        (
            "d44 PNG and ZIP",
            &[PNG, include_bytes!("../../media/photos.zip")].concat(),
        ),
        ("d48 PNG of 100,000 x 100,000", &huge),
        ("d54 DOCX", include_bytes!("../../media/report.docx")),
    ];
    let mut cases = Vec::new();
    for name in ["x.png", "x.mp4"] {
        let case = |number: &str, content: &[u8]| {
            Case::form(format!("{number} as {name}"), &Form::img(name, content))
        };
        cases.extend(refused.map(|(number, content)| case(number, content).is(TYPE_REFUSED)));
        cases.extend(harmless.map(|(number, content)| case(number, content).is(Stored(1))));
        cases.push(case("d47 zero bytes", b"").is(Refused(400, "file_empty")));
    }
    cases
}

/// E56 to E58: what is in a token.
fn tokens() -> Vec<Case> {
    let in_header = |name: String, token: &str| Case::picture(name).header("token", token);
    let good = of_user("7");
    let (message, signature) = good.rsplit_once('.').unwrap();
    let headed = |header| signed(header, r#"{"id":7}"#, SECRET);
    let long = token(&json!({"id": 7, "x": "x".repeat(10_000)}));
    let mut cases = vec![
        Case::picture("e56 no token")
            .without("token")
            .is(TOKEN_MISSING),
        in_header("e56 an empty token".to_owned(), "").is(TOKEN_MISSING),
        in_header("e56 blanks".to_owned(), "   ").is(TOKEN_MISSING),
        in_header("e56 100 KB".to_owned(), &"x".repeat(100_000)).is(TOKEN_INVALID),
        in_header("e56 more than 8 KiB, signed".to_owned(), &long).is(TOKEN_INVALID),
        in_header(
            "e57 kid is a path".to_owned(),
            &headed(r#"{"alg":"HS256","kid":"../../x"}"#),
        )
        .is(Stored(1)),
        in_header(
            "e57 odd typ".to_owned(),
            &headed(r#"{"alg":"HS256","typ":5}"#),
        )
        .is(Stored(1)),
    ];
    for (name, token) in [
        ("alg none", headed(r#"{"alg":"none"}"#)),
        (
            "alg none, unsigned",
            format!(
                "{}.",
                headed(r#"{"alg":"none"}"#).rsplit_once('.').unwrap().0
            ),
        ),
        ("alg None", headed(r#"{"alg":"None"}"#)),
        ("RS256 with the HMAC key", headed(r#"{"alg":"RS256"}"#)),
        ("no alg", headed(r#"{"typ":"JWT"}"#)),
        ("crit", headed(r#"{"alg":"HS256","crit":["b64"]}"#)),
        ("two signatures", format!("{good}.{signature}")),
        ("no signature", message.to_owned()),
        ("empty signature", format!("{message}.")),
        ("padded base64", format!("{good}=")),
        ("standard base64", format!("{message}.+{}", &signature[1..])),
        (
            "another secret",
            signed(HS256, r#"{"id":7}"#, "another secret"),
        ),
    ] {
        cases.push(in_header(format!("e57 {name}"), &token).is(TOKEN_INVALID));
    }
    for (claims, expected) in [
        (r#"{"id":7,"exp":1}"#, TOKEN_EXPIRED),
        (r#"{"id":7,"exp":-1.5}"#, TOKEN_EXPIRED),
        (r#"{"id":7,"nbf":99999999999}"#, TOKEN_INVALID),
        (r#"{"id":7,"exp":"99999999999"}"#, TOKEN_INVALID),
        (r#"{"id":7,"exp":1e400}"#, TOKEN_INVALID),
        (r#"{"id":7}"#, Stored(1)),
        (r#"{"exp":99999999999}"#, TOKEN_INVALID),
        (r#"{"id":"u-7"}"#, Stored(1)),
        (r#"{"id":7.5}"#, TOKEN_INVALID),
        (r#"{"id":[7]}"#, TOKEN_INVALID),
        (r#"{"id":null}"#, TOKEN_INVALID),
        (r#"{"id":""}"#, TOKEN_INVALID),
        (r#"{"id":7,"id":8}"#, TOKEN_INVALID),
        (r#"{"id":7,"role":"Visitor"}"#, Stored(1)),
        (r#"{"id":7,"role":5}"#, TOKEN_INVALID),
        ("[]", TOKEN_INVALID),
        ("", TOKEN_INVALID),
    ] {
        let token = signed(HS256, claims, SECRET);
        cases.push(in_header(format!("e58 {claims}"), &token).is(expected));
    }
    cases
}

/// E59 to E61: where a token stands, and tricks with the path.
fn identity() -> Vec<Case> {
    let good = of_user("7");
    let with_form = |name: &str, form: &Form| Case::form(name, form).without("token");
    let bad_in_form = Form::new().text("token", "bad").file("img", "a.png", PNG);
    let good_in_form = Form::new().text("token", &good).file("img", "a.png", PNG);
    let after = Form::img("a.png", PNG).text("token", &good);
    let mut cases = vec![
        Case::form("e59 good header, bad form", &bad_in_form).is(Stored(1)),
        Case::form("e59 bad header, good form", &good_in_form)
            .header("token", "bad")
            .is(TOKEN_INVALID),
        Case::picture("e59 good header, bad query")
            .to(format!("{UPLOAD}?token=bad"))
            .is(Stored(1)),
        Case::picture("e59 bad header, good query")
            .header("token", "bad")
            .to(format!("{UPLOAD}?token={good}"))
            .is(TOKEN_INVALID),
        with_form("e59 good query, bad form", &bad_in_form)
            .to(format!("{UPLOAD}?token={good}"))
            .is(Stored(1)),
        with_form("e59 bearer before the query", &Form::img("a.png", PNG))
            .header("authorization", &format!("Bearer {good}"))
            .to(format!("{UPLOAD}?token=bad"))
            .is(Stored(1)),
        with_form("e59 form alone", &good_in_form).is(Stored(1)),
        with_form("e60 behind the file", &after).is(TOKEN_MISSING),
        with_form("e60 behind the file, folder", &after)
            .to(format!("{FOLDER}x"))
            .is(TOKEN_MISSING),
        Case::picture("e61 visitor on the admin route")
            .header("token", &of_guest("g"))
            .to(ADMIN)
            .is(Stored(1)),
        Case::picture("e61 admin route")
            .without("token")
            .to(ADMIN)
            .is(TOKEN_MISSING),
    ];
    for path in [
        "/api/chat/uploadAliyunX",
        "/api/chat/uploadAliyun/",
        "//api/chat/uploadAliyun",
        "/api//chat/uploadAliyun",
        "/./api/chat/uploadAliyun",
        "/x/../api/chat/uploadAliyun",
        "/api/chat/uploadAliyun;x",
        "/api/chat/uploadAliyun%00",
        "/api/chat/%75ploadAliyun",
        "/API/CHAT/UPLOADALIYUN",
        "/",
    ] {
        for (sent, token) in [("without", ""), ("with", good.as_str())] {
            let name = format!("e61 {path} {sent} a token");
            cases.push(
                Case::picture(name)
                    .header("token", token)
                    .to(path)
                    .is(NOT_FOUND),
            );
        }
    }
    cases
}

/// F63 and F64: class ids and fields.
fn parameters() -> Vec<Case> {
    let mut cases = Vec::new();
    for id in [
        "abc",
        "-1",
        "1e9",
        "nan",
        "0x10",
        "99999999999999999999",
        "[1]",
        "1,2",
        "1.0",
        "１",
    ] {
        let query: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
        let before = Form::new()
            .text("imageClassId", id)
            .file("img", "a.png", PNG);
        let after = Form::img("a.png", PNG).text("image_class_id", id);
        cases.extend([
            Case::picture(format!("f63 {id} in the query"))
                .to(format!("{UPLOAD}?imageClassId={query}")),
            Case::form(format!("f63 {id} before the file"), &before),
            Case::form(format!("f63 {id} after the file"), &after),
        ]);
    }
    cases = cases
        .into_iter()
        .map(|case| case.is(CLASS_ID_INVALID))
        .collect();
    let both = Form::new()
        .text("imageClassId", "abc")
        .file("img", "a.png", PNG);
    cases.extend([
        Case::form("f63 query and form", &both)
            .to(format!("{UPLOAD}?imageClassId=1"))
            .is(Stored(1)),
        Case::picture("f63 array in the query")
            .to(format!("{UPLOAD}?imageClassId[]=x"))
            .is(Stored(1)),
        Case::form(
            "f64 two img",
            &Form::img("a.png", PNG).file("img", "b.png", PNG),
        )
        .is(Stored(2)),
        Case::form(
            "f64 ten img",
            &(0..10).fold(Form::new(), |form, _| form.file("img", "a.png", PNG)),
        )
        .is(Refused(400, "too_many_files")),
        Case::form("f64 text called img", &Form::new().text("img", "x"))
            .is(Refused(400, "file_missing")),
        Case::form("f64 empty file input", &Form::img("", "")).is(Refused(400, "file_missing")),
        Case::form(
            "f64 good file, then a wrong field",
            &Form::img("a.png", PNG).file("file", "b.png", PNG),
        )
        .is(WRONG_FIELD),
        Case::form(
            "f64 good file, then HTML",
            &Form::img("a.png", PNG).file("img", "b.png", "<html>"),
        )
        .is(TYPE_REFUSED),
    ]);
    for field in ["file", "img[]", "IMG", "img ", ""] {
        let form = Form::new().file(field, "a.png", PNG);
        cases.push(Case::form(format!("f64 field {field:?}"), &form).is(WRONG_FIELD));
    }
    cases
}

/// Counts what held, and says so.
struct Tally {
    runtime: &'static str,
    cases: usize,
    held: usize,
    failures: String,
}

impl Tally {
    fn new(runtime: &'static str) -> Self {
        Self {
            runtime,
            cases: 0,
            held: 0,
            failures: String::new(),
        }
    }

    /// `stored` is how many objects are there since the case before.
    fn add(&mut self, case: &Case, answer: Result<Answer, String>, stored: usize) {
        let wanted = match case.expected {
            Stored(files) => files,
            Refused(..) => 0,
        };
        let held = answer.as_ref().is_ok_and(|answer| *answer == case.expected) && stored == wanted;
        let expected = case.expected;
        let what = || format!("{answer:?} and {stored} stored, not {expected:?}");
        self.note(&case.name, held, what);
    }

    /// `what` says what happened instead.
    fn note(&mut self, name: &str, held: bool, what: impl FnOnce() -> String) {
        self.cases += 1;
        if held {
            self.held += 1;
        } else {
            let _ = writeln!(self.failures, "{name}: {}", what());
        }
    }

    #[track_caller]
    fn assert_all(&self) {
        let Self {
            runtime,
            cases,
            held,
            failures,
        } = self;
        println!("{runtime}: {cases} cases, {held} held");
        assert_eq!(held, cases, "{runtime}\n{failures}");
    }
}

fn secret() -> (&'static str, String) {
    ("UPLOAD_JWT_SECRET", SECRET.to_owned())
}

#[tokio::test]
async fn every_bad_input_is_held_by_the_local_server_with_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = ("UPLOAD_STORE", format!("disk:{}", folder.path().display()));
    // Without the page, which is not there on a cloud.
    let page = ("UPLOAD_PAGE", "off".to_owned());
    let (_process, addr) = Process::serve(&[store, secret(), page]);
    let (mut tally, cases, mut before) = (Tally::new("local"), cases(), 0);
    for case in &cases {
        let reply = send(addr, case.request()).await;
        let now = files_below(folder.path()).len();
        tally.add(
            case,
            Case::judge(reply.status.as_u16(), &reply.body),
            now - before,
        );
        before = now;
    }
    tally.assert_all();
}

#[tokio::test]
async fn every_bad_input_is_held_on_function_compute_with_a_bucket() {
    let bucket = BucketDouble::start(Dialect::Oss).await;
    let on_fc = [("FC_FUNCTION_NAME", "chat-upload".to_owned()), secret()];
    let (_process, addr) = Process::serve(&[bucket_vars(&bucket), on_fc.to_vec()].concat());
    let (mut tally, cases, mut before) = (Tally::new("Function Compute"), cases(), 0);
    for case in &cases {
        let reply = send(addr, case.request()).await;
        assert_eq!(bucket.open_uploads(), 0, "{}", case.name);
        let now = bucket.objects().len();
        tally.add(
            case,
            Case::judge(reply.status.as_u16(), &reply.body),
            now - before,
        );
        before = now;
    }
    tally.assert_all();
}

#[tokio::test]
async fn every_bad_input_is_held_on_lambda_with_a_bucket() {
    let (lambda, bucket) = (
        RuntimeDouble::start().await,
        BucketDouble::start(Dialect::S3).await,
    );
    let vars = [lambda.env(), bucket_vars(&bucket), vec![secret()]].concat();
    let _process = Process::start(&vars);
    let (mut tally, cases, mut before) = (Tally::new("Lambda"), cases(), 0);
    for case in &cases {
        let answer = lambda
            .invoke(case.event().to_string())
            .await
            .into_response();
        assert_eq!(bucket.open_uploads(), 0, "{}", case.name);
        let now = bucket.objects().len();
        tally.add(case, Case::judge(answer.status, &answer.body), now - before);
        before = now;
    }
    tally.assert_all();
}
