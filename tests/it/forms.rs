//! Odd and hostile forms, by their numbers in the list of bad inputs: the grammar (`a01` to `a28`),
//! names and folders (`c36` to `c42`), content (`d43` to `d55`), parameters (`f63`, `f64`) and what
//! the log must not show (`h78`).
//!
//! Numbers without a test here: a25 (any split of a form) is `splits.rs`; a27 (Content-Length other
//! than the body) is the HTTP server's affair, a Router sees a body that ends early (a26) or one
//! that says how long it is (`failures.rs`); c41 (folders) is `failures.rs`; d49 to d53 are inside
//! of formats that nothing here decodes: `upload/media` tests their first structure; f65 and f66
//! (idempotency key, claimed digest) are parameters that no route takes.

use std::{
    cell::RefCell,
    io::{self, Write},
    iter,
    sync::{Once, atomic::Ordering},
};

use axum::{
    body::Body,
    http::{
        HeaderValue, Request,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;

use crate::support::{Form, PNG, Reply, TestApi, UPLOAD, get, metered, picture_of, post};

const TRUNCATED: &str = "上传失败: 请求内容不完整，上传中途断开";
const MALFORMED: &str = "上传失败: 请求内容不是有效的 multipart 表单";
const NOT_MULTIPART: &str = "上传失败: 请求类型必须是 multipart/form-data";
const FILE_MISSING: &str = "上传失败: 请选择要上传的文件";
const CLASS_ID_INVALID: &str = "上传失败: imageClassId 必须是非负整数";
/// More than any refusal may read of a body that goes wrong at its start.
const A_LITTLE: usize = 300_000;

/// Asserts a failure of the whole route: its answer, and a store with nothing in it.
#[track_caller]
fn assert_refused(api: &TestApi, reply: &Reply, status: u16, code: &str, text: &str) {
    reply.assert_failed(status, code, text);
    api.assert_nothing_stored();
}

async fn assert_malformed(content_type: &str, body: impl Into<Body>) {
    let api = TestApi::new();
    let reply = api.send(post(UPLOAD, content_type, body)).await;
    assert_refused(&api, &reply, 400, "body_malformed", MALFORMED);
}

async fn assert_malformed_form(form: &Form) {
    assert_malformed(&form.content_type(), form.bytes()).await;
}

/// Asserts that the form is taken and that its one picture is stored whole.
async fn assert_taken(content_type: &str, body: impl Into<Body>) -> serde_json::Value {
    let api = TestApi::new();
    let data = api.send(post(UPLOAD, content_type, body)).await.data();
    let stored: Vec<_> = api.files().into_iter().collect();
    assert_eq!(
        stored,
        [(data[0]["path"].as_str().unwrap().to_owned(), PNG.to_vec())]
    );
    data[0].clone()
}

/// Sends a body that may be endless; asserts the refusal and that little of it was read.
async fn assert_malformed_early(form: &Form, chunks: impl Iterator<Item = Bytes> + Send + 'static) {
    let api = TestApi::new();
    let (body, read) = metered(chunks);
    let reply = api.send(post(UPLOAD, &form.content_type(), body)).await;
    assert_refused(&api, &reply, 400, "body_malformed", MALFORMED);
    let read = read.load(Ordering::Relaxed);
    assert!(read < A_LITTLE, "{read} bytes were read");
}

fn endless(bytes: &'static [u8]) -> impl Iterator<Item = Bytes> + Send {
    iter::repeat(Bytes::from(bytes.repeat(16 * 1024 / bytes.len())))
}

fn disposition(params: &str) -> String {
    format!("Content-Disposition: form-data; {params}")
}

// A. Multipart grammar

#[tokio::test]
async fn a01_an_empty_body_ends_before_its_form() {
    let api = TestApi::new();
    let reply = api
        .send(post(UPLOAD, &Form::new().content_type(), Body::empty()))
        .await;
    assert_refused(&api, &reply, 400, "body_truncated", TRUNCATED);
}

#[tokio::test]
async fn a02_a_request_without_content_type_is_no_form() {
    let api = TestApi::new();
    let body = Body::from(Form::img("a.png", PNG).bytes());
    let reply = api.send(Request::post(UPLOAD).body(body).unwrap()).await;
    assert_refused(&api, &reply, 415, "not_multipart", NOT_MULTIPART);
}

#[tokio::test]
async fn a03_a_form_must_name_its_boundary() {
    let body = Form::with_boundary("abc").file("img", "a.png", PNG).bytes();
    for content_type in [
        "multipart/form-data",
        "multipart/form-data;",
        "multipart/form-data; charset=utf-8",
        "multipart/form-data; boundary",
        "multipart/form-data; boundaryabc",
        "multipart/form-data; boundary=\"abc",
        "multipart/form-data; xboundary=abc",
    ] {
        assert_malformed(content_type, body.clone()).await;
    }
}

#[tokio::test]
async fn a_malformed_form_is_told_which_rule_it_breaks_in_which_part() {
    let of_part = |headers: &str| Form::new().text("a", "x").part(headers, "x");
    for (headers, rule) in [
        ("X-Other: x", "part 2: it has no Content-Disposition"),
        (
            "Content-Disposition: form-data; name=\"img",
            "part 2: its Content-Disposition cannot be read",
        ),
        (
            "Content-Disposition: attachment; filename=a.png",
            "part 2: its Content-Disposition is not form-data and has no name",
        ),
        (
            "Content-Disposition: form-data; name=img\r\nContent-Transfer-Encoding: BASE64",
            "part 2: Content-Transfer-Encoding base64 is not supported",
        ),
        (
            "Content-Disposition: form-data; name=img\r\nContent-Transfer-Encoding: x-uu",
            "part 2: this Content-Transfer-Encoding is not supported",
        ),
        (
            "Content-Disposition: form-data; name=img\r\nContent-Type: multipart/mixed; boundary=b",
            "part 2: a form within the form (multipart/mixed) is not supported",
        ),
        ("no colon", "part 2: its headers cannot be read"),
    ] {
        let reply = TestApi::new().upload(&of_part(headers)).await;
        assert_message(&reply, rule);
    }
    for (content_type, rule) in [
        ("multipart/form-data", "no boundary parameter"),
        (
            "multipart/form-data; boundary=a; boundary=b",
            "two boundary parameters",
        ),
        (
            "multipart/form-data; boundary=\"\"",
            "a boundary is 1 to 70 printable ASCII characters, the last one no blank",
        ),
    ] {
        let request = post(UPLOAD, content_type, Form::img("a.png", PNG).bytes());
        assert_message(&TestApi::new().send(request).await, rule);
    }
}

#[track_caller]
fn assert_message(reply: &Reply, rule: &str) {
    let message = format!("Upload failed: not a valid multipart form: {rule}");
    assert_eq!(reply.json()["message"], message);
    reply.assert_failed(400, "body_malformed", MALFORMED);
}

#[tokio::test]
async fn a_compressed_body_is_refused_and_told_so() {
    let text = "上传失败: 请求内容不能压缩，请去掉 Content-Encoding";
    for encoding in ["gzip", "br", "identity, gzip"] {
        let api = TestApi::new();
        let mut request = Form::img("a.png", PNG).to(UPLOAD);
        let value = HeaderValue::from_static(encoding);
        request.headers_mut().insert(CONTENT_ENCODING, value);
        let reply = api.send(request).await;
        assert_refused(&api, &reply, 415, "encoding_refused", text);
    }
    let mut request = Form::img("a.png", PNG).to(UPLOAD);
    let value = HeaderValue::from_static("Identity");
    request.headers_mut().insert(CONTENT_ENCODING, value);
    assert_eq!(TestApi::new().send(request).await.status, 200);
}

#[tokio::test]
async fn a04_two_boundaries_are_refused_at_once() {
    let body = Form::with_boundary("abc").file("img", "a.png", PNG).bytes();
    for content_type in [
        "multipart/form-data; boundary=abc; boundary=abc",
        "multipart/form-data; boundary=abc; boundary=def",
        "multipart/form-data; boundary=def; BOUNDARY=abc",
    ] {
        assert_malformed(content_type, body.clone()).await;
    }
    let api = TestApi::new();
    let mut request = post(UPLOAD, "multipart/form-data; boundary=abc", body);
    let second = HeaderValue::from_static("multipart/form-data; boundary=def");
    request.headers_mut().append(CONTENT_TYPE, second);
    assert_refused(
        &api,
        &api.send(request).await,
        400,
        "body_malformed",
        MALFORMED,
    );
}

#[tokio::test]
async fn a05_a_boundary_has_1_to_70_characters() {
    for len in [1, 69, 70] {
        let form = Form::with_boundary(&"b".repeat(len)).file("img", "a.png", PNG);
        assert_taken(&form.content_type(), form.bytes()).await;
    }
    for len in [0, 71, 10_000] {
        assert_malformed_form(&Form::with_boundary(&"b".repeat(len)).file("img", "a.png", PNG))
            .await;
    }
}

// A line end cannot stand in a header's value: the http crate refuses to make one.
#[tokio::test]
async fn a06_a_quoted_boundary_may_hold_spaces_and_quotes() {
    for (boundary, quoted) in [
        ("a b", "\"a b\""),
        ("a\"b", "\"a\\\"b\""),
        ("a\\b", "\"a\\\\b\""),
        ("a;b=c", "\"a;b=c\""),
        (" a", "\" a\""),
    ] {
        let form = Form::with_boundary(boundary).file("img", "a.png", PNG);
        assert_taken(
            &format!("multipart/form-data; boundary={quoted}"),
            form.bytes(),
        )
        .await;
    }
    for refused in ["\"abc \"", "\"a\tb\"", "\"\"", "\"abc\" def"] {
        let form = Form::with_boundary("abc").file("img", "a.png", PNG);
        assert_malformed(
            &format!("multipart/form-data; boundary={refused}"),
            form.bytes(),
        )
        .await;
    }
}

#[tokio::test]
async fn a07_a_boundary_of_pattern_characters_is_only_text() {
    for boundary in [".*", "(a+)+$", "[^a]", "a|b", "\\d{3}", "--", "-"] {
        let form = Form::with_boundary(boundary).file("img", "a.png", PNG);
        let quoted = boundary.replace('\\', "\\\\");
        assert_taken(
            &format!("multipart/form-data; boundary=\"{quoted}\""),
            form.bytes(),
        )
        .await;
    }
}

#[tokio::test]
async fn a08_what_resembles_the_boundary_inside_a_file_is_the_file() {
    for inside in [
        "--abc",
        "\n--abc\n",
        "\r--abc",
        "\r\n-abc",
        "\r\n--ab\r\n",
        "\r\n--Abc",
        "--abc--",
        "\r\n\r\n--ab",
    ] {
        let api = TestApi::new();
        let content = [PNG, inside.as_bytes(), b"rest"].concat();
        let form = Form::with_boundary("abc").file("img", "a.png", &content);
        let data = api.upload(&form).await.data();
        assert_eq!(data[0]["size"], content.len(), "{inside:?}");
        assert_eq!(api.files().into_values().collect::<Vec<_>>(), [content]);
    }
}

#[tokio::test]
async fn a08_a_line_that_begins_with_the_boundary_and_goes_on_is_refused() {
    // Long enough that it cannot be taken for a form that was cut off there.
    let content = [PNG, b"\r\n--abcd\r\n", &picture_of(200_000)].concat();
    assert_malformed_form(&Form::with_boundary("abc").file("img", "a.png", content)).await;
}

#[tokio::test]
async fn a09_a_short_preamble_and_any_epilogue_are_passed_over() {
    let form = Form::new()
        .raw("This is a form.\r\n")
        .file("img", "a.png", PNG);
    let closed = [&form.bytes()[..], &vec![b'e'; 1 << 20]].concat();
    assert_taken(&form.content_type(), closed).await;
    let (body, read) = metered(iter::once(form.bytes()).chain(endless(b"epilogue")));
    assert_taken(&form.content_type(), body).await;
    assert!(read.load(Ordering::Relaxed) < A_LITTLE);
}

#[tokio::test]
async fn a09_a_long_preamble_is_refused_before_it_is_read() {
    let form = Form::new()
        .raw(vec![b'p'; 1 << 20])
        .file("img", "a.png", PNG);
    assert_malformed_form(&form).await;
    for junk in [
        b"p".as_slice(),
        b"\r\n",
        b"-",
        b"--",
        b"\r\n------WebKitFormBoundaryabc12",
    ] {
        assert_malformed_early(&Form::new(), endless(junk)).await;
    }
}

#[tokio::test]
async fn a10_a11_a_form_without_its_closing_boundary_is_cut_off() {
    let api = TestApi::new();
    let form = Form::img("a.png", PNG);
    let boundary = "------WebKitFormBoundaryabc123";
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
        let body = [&form.unclosed()[..], end.as_bytes()].concat();
        let reply = api.send(post(UPLOAD, &form.content_type(), body)).await;
        assert_refused(&api, &reply, 400, "body_truncated", TRUNCATED);
    }
}

#[tokio::test]
async fn a12_headers_directly_before_the_closing_boundary_hold_no_file() {
    let api = TestApi::new();
    let form = Form::with_boundary("abc");
    let headers = disposition("name=\"img\"; filename=\"a.png\"");
    for between in ["\r\n\r\n", "\r\n"] {
        let body = format!("--abc\r\n{headers}{between}--abc--\r\n");
        let reply = api.send(post(UPLOAD, &form.content_type(), body)).await;
        assert_refused(&api, &reply, 400, "body_truncated", TRUNCATED);
    }
}

#[tokio::test]
async fn a13_lines_that_end_without_cr_are_refused() {
    let lf_only = Form::img("a.txt", "text").bytes().to_vec();
    let lf_only: Vec<_> = lf_only.into_iter().filter(|byte| *byte != b'\r').collect();
    assert_malformed(&Form::new().content_type(), lf_only).await;
}

#[tokio::test]
async fn a14_a15_part_headers_are_neither_indented_nor_folded() {
    let good = disposition("name=\"img\"; filename=\"a.png\"");
    for headers in [
        format!(" {good}"),
        format!("\t{good}"),
        format!("{good}\r\n X-Other: 1"),
        format!("{good}\r\n\tfolded"),
        "Content-Disposition: form-data;\r\n name=\"img\"; filename=\"a.png\"".to_owned(),
        format!("{good}\r\n: nameless"),
        format!("{good}\r\nno colon"),
        format!("{good}\r\nBad Name: x"),
        format!("{good}\r\nX: a\0b"),
    ] {
        assert_malformed_form(&Form::new().part(&headers, PNG)).await;
    }
}

#[tokio::test]
async fn a16_a_part_with_too_many_or_too_long_headers_is_refused_early() {
    let form = Form::new();
    let start = |text: &str| Bytes::from(format!("------WebKitFormBoundaryabc123\r\n{text}"));
    let good = disposition("name=\"img\"; filename=\"a.png\"\r\n");
    assert_malformed_early(
        &form,
        iter::once(start(&good)).chain(endless(b"X-A: b\r\n")),
    )
    .await;
    assert_malformed_early(&form, iter::once(start("X-Long: ")).chain(endless(b"long"))).await;
    assert_malformed_early(&form, iter::once(start("")).chain(endless(b"\r\n "))).await;
    // Blanks behind a boundary are allowed, but not without end.
    let padding = iter::once(Bytes::from("------WebKitFormBoundaryabc123")).chain(endless(b" \t"));
    assert_malformed_early(&form, padding).await;
    for headers in [
        format!("{good}{}", "X-A: b\r\n".repeat(10_000).trim_end()),
        format!("{good}X-Long: {}", "a".repeat(1 << 20)),
    ] {
        assert_malformed_form(&Form::new().part(headers, PNG)).await;
    }
}

#[tokio::test]
async fn a17_a18_a_part_without_disposition_is_refused_and_one_without_name_is_no_img() {
    for headers in [
        "Content-Type: image/png",
        "X-Content-Disposition: form-data; name=\"img\"; filename=\"a.png\"",
        "Content-Disposition: attachment; filename=\"a.png\"",
        "Content-Disposition: ",
    ] {
        assert_malformed_form(&Form::new().part(headers, PNG)).await;
    }
    let api = TestApi::new();
    for params in [
        "filename=\"a.png\"",
        "name=\"\"; filename=\"a.png\"",
        "name=; filename=\"a.png\"",
    ] {
        let reply = api
            .upload(&Form::new().part(disposition(params), PNG))
            .await;
        assert_refused(
            &api,
            &reply,
            400,
            "wrong_field",
            "上传失败: Expected field 'img', but got ''",
        );
    }
    let form = Form::new()
        .part("Content-Disposition: form-data", "x")
        .file("img", "a.png", PNG);
    assert_taken(&form.content_type(), form.bytes()).await;
}

#[tokio::test]
async fn a19_what_stands_twice_in_a_disposition_is_refused() {
    for params in [
        "name=\"img\"; name=\"img\"; filename=\"a.png\"",
        "name=\"a\"; name=\"img\"; filename=\"a.png\"",
        "name=\"img\"; filename=\"a.png\"; filename=\"b.png\"",
        "name=\"img\"; filename*=UTF-8''a.png; filename*=UTF-8''b.png",
        "name=\"img\"; filename=\"a.png",
    ] {
        assert_malformed_form(&Form::new().part(disposition(params), PNG)).await;
    }
}

#[tokio::test]
async fn a19_a_broken_extended_name_falls_back_to_the_plain_one() {
    for (params, name) in [
        (
            "name=img; filename=\"a.png\"; filename*=UTF-8''%e7%8c%ab.png",
            "猫.png",
        ),
        ("name=img; filename*=GBK''%c3%a8.png", "猫.png"),
        (
            "name=img; filename=\"a.png\"; filename*=UTF-8''%zz.png",
            "a.png",
        ),
        (
            "name=img; filename=\"a.png\"; filename*=UTF-8''%ff%fe.png",
            "a.png",
        ),
        (
            "name=img; filename=\"a.png\"; filename*=klingon''x.png",
            "a.png",
        ),
        ("name=img; filename=\"a.png\"; filename*=x.png", "a.png"),
        (
            "name=img; filename=\"a.png\"; filename*=UTF-8''%e7%8",
            "a.png",
        ),
        ("name=img; name*=UTF-8''file; filename=\"a.png\"", "a.png"),
    ] {
        let form = Form::new().part(disposition(params), PNG);
        assert_eq!(
            assert_taken(&form.content_type(), form.bytes()).await["name"],
            name,
            "{params}"
        );
    }
}

#[tokio::test]
async fn a20_a_form_has_at_most_100_parts() {
    let texts = |count| {
        (0..count).fold(Form::new(), |form, index| {
            form.text(&format!("f{index}"), "x")
        })
    };
    let taken = texts(99).file("img", "a.png", PNG);
    assert_taken(&taken.content_type(), taken.bytes()).await;
    assert_malformed_form(&texts(100).file("img", "a.png", PNG)).await;

    let tiny = Form::with_boundary("b").text("f", "").unclosed();
    assert_malformed_early(&Form::with_boundary("b"), iter::repeat_n(tiny, 10_000)).await;
    let empty_input = Form::with_boundary("b").file("img", "", "").unclosed();
    assert_malformed_early(
        &Form::with_boundary("b"),
        iter::repeat_n(empty_input, 10_000),
    )
    .await;
}

#[tokio::test]
async fn a20_of_ten_thousand_files_none_is_kept() {
    let api = TestApi::new();
    let file = Form::with_boundary("b")
        .file("img", "a.png", PNG)
        .unclosed();
    let (body, read) = metered(iter::repeat_n(file, 10_000));
    let reply = api
        .send(post(UPLOAD, "multipart/form-data; boundary=b", body))
        .await;
    assert_refused(
        &api,
        &reply,
        400,
        "too_many_files",
        "上传失败: 一次最多上传 9 个文件",
    );
    assert!(read.load(Ordering::Relaxed) < A_LITTLE);
}

#[tokio::test]
async fn a21_a_field_without_end_is_refused_early() {
    let api = TestApi::new();
    let form = Form::new().text("token", "");
    let start = form.unclosed().slice(..form.unclosed().len() - 2);
    let (body, read) = metered(iter::once(start).chain(endless(b"ten MB of it")));
    let reply = api.send(post(UPLOAD, &form.content_type(), body)).await;
    assert_refused(
        &api,
        &reply,
        400,
        "field_too_large",
        "上传失败: 表单字段不能超过 65536 字节",
    );
    assert!(read.load(Ordering::Relaxed) < A_LITTLE);
}

#[tokio::test]
async fn a22_field_names_are_only_text() {
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
        let item = assert_taken(&form.content_type(), form.bytes()).await;
        assert_eq!(item["image_class_id"], 0);
    }
    let api = TestApi::new();
    let text = "上传失败: Expected field 'img', but got '__proto__'";
    let reply = api
        .upload(&Form::new().file("__proto__", "a.png", PNG))
        .await;
    assert_refused(&api, &reply, 400, "wrong_field", text);
}

#[tokio::test]
async fn a23_a24_forms_inside_forms_and_encodings_of_mail_are_refused() {
    let img = disposition("name=\"img\"; filename=\"a.png\"");
    for header in [
        "Content-Type: multipart/mixed; boundary=inner",
        "Content-Type: Multipart/Mixed; boundary=\"inner\"",
        "Content-Transfer-Encoding: base64",
        "content-transfer-encoding: Quoted-Printable",
    ] {
        assert_malformed_form(&Form::new().part(format!("{img}\r\n{header}"), PNG)).await;
    }
    for header in [
        "Content-Transfer-Encoding: binary",
        "Content-Transfer-Encoding: 8BIT",
    ] {
        let form = Form::new().part(format!("{img}\r\n{header}"), PNG);
        assert_taken(&form.content_type(), form.bytes()).await;
    }
}

#[tokio::test]
async fn a26_a_client_that_stops_within_a_file_leaves_nothing() {
    let api = TestApi::new();
    let form = Form::img("a.png", picture_of(2 << 20));
    let sent = form.unclosed().slice(..1 << 20);
    let stops = stream::iter([Ok(sent), Err(io::Error::from(io::ErrorKind::UnexpectedEof))]);
    let reply = api
        .send(post(UPLOAD, &form.content_type(), Body::from_stream(stops)))
        .await;
    assert_refused(&api, &reply, 400, "body_truncated", TRUNCATED);
}

#[tokio::test]
async fn a28_a_body_of_another_type_is_no_form() {
    let api = TestApi::new();
    let form = Form::img("a.png", PNG).bytes();
    for (content_type, body) in [
        (
            "application/x-www-form-urlencoded",
            Bytes::from("img=x&imageClassId=1"),
        ),
        ("application/json", Bytes::from("{\"img\":\"x\"}")),
        ("application/octet-stream", Bytes::from(PNG)),
        ("image/png", Bytes::from(PNG)),
        (
            "multipart/mixed; boundary=----WebKitFormBoundaryabc123",
            form.clone(),
        ),
        (
            "multipart/form-data-x; boundary=----WebKitFormBoundaryabc123",
            form.clone(),
        ),
        (
            "text/plain; multipart/form-data; boundary=----WebKitFormBoundaryabc123",
            form.clone(),
        ),
        ("", form),
    ] {
        let reply = api.send(post(UPLOAD, content_type, body)).await;
        assert_refused(&api, &reply, 415, "not_multipart", NOT_MULTIPART);
    }
    assert_malformed(&Form::new().content_type(), "{\"img\":\"x\"}").await;
}

// C. Names and folders

/// Uploads a picture under a name, given as it stands between the quotes; asserts that the key has
/// nothing of it, and returns the name that is shown.
async fn shown(name: impl AsRef<[u8]>) -> String {
    let headers = [
        b"Content-Disposition: form-data; name=\"img\"; filename=\"",
        name.as_ref(),
        b"\"",
    ]
    .concat();
    let form = Form::new().part(headers, PNG);
    let item = assert_taken(&form.content_type(), form.bytes()).await;
    let path = item["path"].as_str().unwrap();
    let (folder, rest) = path.split_at("images/20250417/".len());
    assert!(
        folder.starts_with("images/") && folder.ends_with('/'),
        "{path}"
    );
    let allowed = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f' | b'_');
    assert!(
        rest.strip_suffix(".png").unwrap().bytes().all(allowed),
        "{path}"
    );
    assert_eq!(item["mime"], "image/png");
    item["name"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn c36_a_path_in_a_name_leads_nowhere() {
    for (name, expected) in [
        ("../../x.png", "x.png"),
        ("..\\\\..\\\\x.png", "x.png"),
        ("..\\x.png", "x.png"),
        ("/etc/passwd", "passwd"),
        ("C:\\fakepath\\x.png", "x.png"),
        ("%2e%2e%2fx.png", "%2e%2e%2fx.png"),
        ("%252e%252e%252fx.png", "%252e%252e%252fx.png"),
        ("..", ".."),
        ("x/", ""),
    ] {
        assert_eq!(shown(name).await, expected, "{name}");
    }
}

#[tokio::test]
async fn c37_a_name_is_shown_without_what_cannot_be_seen() {
    for (name, expected) in [
        ("a\tb.png".as_bytes(), "ab.png"),
        ("%0D%0Aa%22.png".as_bytes(), "a\".png"),
        ("\u{202E}gnp.exe".as_bytes(), "gnp.exe"),
        ("\u{2066}a\u{2069}.png".as_bytes(), "a.png"),
        ("\u{FEFF}a.png".as_bytes(), "a.png"),
        ("😀猫.png".as_bytes(), "😀猫.png"),
        (b"\xC3\xA8.png", "è.png"),
        (b"\xD5\xD5\xC6\xAC.png", "照片.png"),
        (b"\xFF\xFE.png", "\u{FFFD}\u{FFFD}.png"),
    ] {
        assert_eq!(shown(name).await, expected, "{name:?}");
    }
    assert_eq!(shown("x".repeat(4096)).await, "x".repeat(255));
    assert_eq!(shown("图".repeat(1400)).await, "图".repeat(85));
}

#[tokio::test]
async fn c37_a_raw_nul_or_line_end_in_a_name_breaks_the_header() {
    for name in [
        "a\0b.png",
        "a\nb.png",
        "a\r\nb.png",
        "a\rb.png",
        "a\x7fb.png",
    ] {
        let headers = disposition(&format!("name=\"img\"; filename=\"{name}\""));
        assert_malformed_form(&Form::new().part(headers, PNG)).await;
    }
}

#[tokio::test]
async fn c38_c39_c40_no_name_changes_what_a_picture_is() {
    for name in [
        "x.png.html",
        "x.html.png",
        "x.png%00.html",
        "x.",
        ".htaccess",
        "x.PnG",
        "x.png ",
        "x.png::$DATA",
        "CON.png",
        "blob",
        "file-1712345678901",
        "x",
        ".png",
        "x.svg",
        "x.php;.png",
        "",
        "x.jpg",
    ] {
        assert_eq!(shown(name).await, name.trim(), "{name}");
    }
    let long = format!("x.{}", "e".repeat(300));
    assert_eq!(shown(&long).await, long[..255]);
}

#[tokio::test]
async fn c42_a_name_cannot_bring_a_header_into_an_answer() {
    let api = TestApi::new();
    let form = Form::img(
        "a%0D%0ASet-Cookie: x=1%0D%0A.pdf",
        include_bytes!("../media/page.pdf"),
    );
    let reply = api.upload(&form).await;
    assert!(!reply.headers.contains_key("set-cookie"));
    let item = reply.data()[0].clone();
    assert_eq!(item["name"], "aSet-Cookie: x=1.pdf");
    let served = api
        .send(get(&format!("/{}", item["path"].as_str().unwrap())))
        .await;
    assert_eq!(served.header("content-disposition"), "attachment");
    assert!(!served.headers.contains_key("set-cookie"));
}

// D. Content

async fn assert_content_refused(content: &[u8], looks_like: &str) {
    let api = TestApi::new();
    for name in ["x.png", "x.jpg", "x.mp4", "x.txt", ""] {
        let reply = api.upload(&Form::img(name, content)).await;
        reply.assert_type_refused(looks_like);
        api.assert_nothing_stored();
    }
}

#[tokio::test]
async fn d43_d45_pages_and_drawings_are_refused_under_any_name() {
    for (content, looks_like) in [
        (
            b"<!DOCTYPE html><script>alert(1)</script>".as_slice(),
            "HTML",
        ),
        (b"\xEF\xBB\xBF \n<html>", "HTML"),
        (b"<svg onload=alert(1)>", "SVG"),
        (b"<?xml version=\"1.0\"?><svg><foreignObject/></svg>", "SVG"),
        (
            b"<!DOCTYPE svg [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><svg>&a;</svg>",
            "SVG",
        ),
        (
            b"<!DOCTYPE svg [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><svg>&b;</svg>",
            "SVG",
        ),
        (
            b"<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\"/>",
            "XHTML",
        ),
        (b"<?xml version=\"1.0\"?><feed/>", "XML"),
        (
            b"MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=x\r\n",
            "MHTML",
        ),
        (b"FWS\x0a\x10\0\0\0abcd", "SWF"),
    ] {
        assert_content_refused(content, looks_like).await;
    }
}

#[tokio::test]
async fn d43_a_script_without_marks_of_its_own_is_a_text_to_save() {
    let api = TestApi::new();
    let data = api
        .upload(&Form::img("x.png", "alert(document.cookie)"))
        .await
        .data();
    let path = data[0]["path"].as_str().unwrap();
    assert!(path.ends_with(".txt"), "{path}");
    let served = api.send(get(&format!("/{path}"))).await;
    assert_eq!(served.header("content-type"), "text/plain");
    assert_eq!(served.header("content-disposition"), "attachment");
    assert_eq!(served.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn d44_a_picture_with_something_behind_it_is_served_as_a_picture() {
    let gif = b"GIF89a/*\0\0\0\0\0!\xFE*/=1;alert(1)//".as_slice();
    let jpeg = [
        include_bytes!("../media/baseline.jpg").as_slice(),
        b"<html><script>",
    ]
    .concat();
    let png = [PNG, include_bytes!("../media/photos.zip")].concat();
    for (content, name, mime) in [
        (gif, "x.js", "image/gif"),
        (&jpeg, "x.html", "image/jpeg"),
        (&png, "x.zip", "image/png"),
    ] {
        let api = TestApi::new();
        let data = api.upload(&Form::img(name, content)).await.data();
        assert_eq!(data[0]["mime"], mime);
        let served = api
            .send(get(&format!("/{}", data[0]["path"].as_str().unwrap())))
            .await;
        assert_eq!(
            (
                served.header("content-type"),
                served.header("x-content-type-options")
            ),
            (mime, "nosniff")
        );
    }
}

#[tokio::test]
async fn d46_programs_are_refused_under_any_name() {
    let elf = [b"\x7FELF\x02\x01\x01".as_slice(), &[0; 60]].concat();
    for (content, looks_like) in [
        (b"<?php system($_GET['x']);".as_slice(), "PHP"),
        (b"#!/bin/sh\nid\n", "script"),
        (b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xFF\xFF", "Windows program"),
        (&elf, "Linux program"),
        (include_bytes!("../media/tiny.apk"), "APK"),
        (include_bytes!("../media/tiny.jar"), "JAR"),
    ] {
        assert_content_refused(content, looks_like).await;
    }
}

#[tokio::test]
async fn d47_magic_bytes_alone_are_no_file() {
    for (content, looks_like) in [
        (b"\x89PNG\r\n\x1a\n".as_slice(), "damaged PNG"),
        (b"\xFF\xD8\xFF", "damaged JPEG"),
        (b"\0", "unknown"),
        (b"\xFF", "unknown"),
    ] {
        assert_content_refused(content, looks_like).await;
    }
}

#[tokio::test]
async fn d48_a_pictures_claims_about_its_size_cost_nothing() {
    let sized = |width: u32, height: u32| {
        let (width, height) = (width.to_be_bytes(), height.to_be_bytes());
        [&PNG[..16], &width, &height, &PNG[24..]].concat()
    };
    let api = TestApi::new();
    let huge = Form::img("x.png", sized(100_000, 100_000));
    assert_eq!(api.upload(&huge).await.data()[0]["mime"], "image/png");
    assert_content_refused(&sized(0, 10), "damaged PNG").await;
    assert_content_refused(&sized(10, u32::MAX), "damaged PNG").await;
}

#[tokio::test]
async fn d54_an_archive_is_stored_as_it_is_and_never_unpacked() {
    // Its one entry says that it unpacks to 4 GB.
    let mut bomb =
        b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\x10\0\0\0\xFF\xFF\xFF\xFF\x05\0\0\0bomb1"
            .to_vec();
    bomb.extend_from_slice(&[0; 16]);
    let api = TestApi::new();
    let data = api.upload(&Form::img("x.zip", &bomb)).await.data();
    assert_eq!(
        (&data[0]["size"], &data[0]["mime"]),
        (&json!(bomb.len()), &json!("application/zip"))
    );
}

#[tokio::test]
async fn d55_playlists_are_no_videos() {
    for (content, looks_like) in [
        (
            b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n".as_slice(),
            "HLS playlist",
        ),
        (
            b"concat:http://127.0.0.1/|file:///etc/passwd",
            "ffmpeg playlist",
        ),
        (
            b"ffconcat version 1.0\nfile /etc/passwd\n",
            "ffmpeg playlist",
        ),
    ] {
        assert_content_refused(content, looks_like).await;
    }
}

// F. Parameters

#[tokio::test]
async fn f63_a_class_id_is_a_whole_number_wherever_it_stands() {
    for bad in [
        "abc",
        "-1",
        "1e9",
        "nan",
        "0x10",
        "1.0",
        "None",
        "[1]",
        "1,2",
        "99999999999999999999",
        "9007199254740992",
        "１",
        "0 ",
        "\"1\"",
    ] {
        let api = TestApi::new();
        let query: String = form_urlencoded::byte_serialize(bad.as_bytes()).collect();
        for request in [
            Form::img("a.png", PNG).to(&format!("{UPLOAD}?imageClassId={query}")),
            Form::new()
                .text("imageClassId", bad)
                .file("img", "a.png", PNG)
                .to(UPLOAD),
            Form::img("a.png", PNG)
                .text("image_class_id", bad)
                .to(UPLOAD),
        ] {
            let reply = api.send(request).await;
            assert_refused(&api, &reply, 400, "class_id_invalid", CLASS_ID_INVALID);
        }
    }
}

#[tokio::test]
async fn a_class_id_that_a_page_does_not_have_is_none() {
    for absent in ["undefined", "null", "NaN", ""] {
        let api = TestApi::new();
        for request in [
            Form::img("a.png", PNG).to(&format!("{UPLOAD}?imageClassId={absent}")),
            Form::img("a.png", PNG)
                .text("imageClassId", absent)
                .to(UPLOAD),
        ] {
            let item = api.send(request).await.data()[0].clone();
            assert_eq!(item["image_class_id"], 0, "{absent}");
        }
        let both = Form::img("a.png", PNG).text("image_class_id", "4");
        let request = both.to(&format!("{UPLOAD}?imageClassId={absent}"));
        assert_eq!(api.send(request).await.data()[0]["image_class_id"], 4);
    }
}

/// Headers of a part that some client sends for a text or for a file, and whether it is a file.
const CLAIMS: [(&str, bool); 12] = [
    (
        "name=\"x\"\r\nContent-Type: text/plain; charset=utf-8",
        false,
    ),
    ("name=\"x\"\r\nContent-Type: Text/Html", false),
    ("name=\"x\"\r\nContent-Type: application/json", false),
    ("name=\"x\"\r\nContent-Type: multipart/form-data", false),
    ("name=\"x\"\r\nContent-Type: ", false),
    ("name=\"imageClassId\"\r\nContent-Type: image/png", false),
    ("name=\"x\"\r\nContent-Type: application/octet-stream", true),
    ("name=\"x\"\r\nContent-Type: image/png", true),
    ("name=\"x\"\r\nContent-Type: application/json-seq", true),
    (
        "name=\"x\"; filename=\"a\"\r\nContent-Type: text/plain",
        true,
    ),
    ("name=\"x\"; filename*=UTF-8''a", true),
    (
        "name=\"x\"; filename=\"a\"\r\nContent-Type: multipart/form-data; boundary=b",
        true,
    ),
];

#[tokio::test]
async fn a_part_is_a_file_by_its_name_or_its_type() {
    for (params, is_file) in CLAIMS {
        let value = if params.contains("imageClassId") {
            "3"
        } else {
            "a text"
        };
        let part = |form: Form| form.part(disposition(params), value);
        let folder = "/api/chat/uploadStreamSingleToServerDiy/a";
        for (route, form, expected) in [
            (
                UPLOAD,
                part(Form::new()).file("img", "a.png", PNG),
                (400, "wrong_field"),
            ),
            (UPLOAD, part(Form::img("a.png", PNG)), (400, "wrong_field")),
            (
                folder,
                part(Form::img("a.png", PNG)),
                (400, "too_many_files"),
            ),
        ] {
            let api = TestApi::new();
            let reply = api.send(form.to(route)).await;
            if is_file {
                let found = (reply.status.as_u16(), reply.json()["code"].clone());
                assert_eq!(found, (expected.0, expected.1.into()), "{params}");
                api.assert_nothing_stored();
            } else {
                assert_eq!(reply.status.as_u16(), 200, "{params}");
            }
        }
    }
}

#[tokio::test]
async fn a_file_is_one_whatever_its_part_claims() {
    for headers in [
        "Content-Disposition: form-data; name=\"img\"; filename=\"a.png\"\r\nContent-Type: multipart/form-data",
        "Content-Disposition: form-data; name=\"img\"; filename=\"a.png\"\r\nContent-Type: multipart/mixed",
        "Content-Disposition: form-data; name=\"img\"; filename=\"a.png\"\r\nContent-Type: text/html",
        "Content-Disposition: attachment; name=\"img\"; filename=\"a.png\"",
        "Content-Disposition: file; name=img; filename=a.png",
        "Content-Disposition: form-data; name=\"img\"; filename=\"\"Offer\"_ x.png\"",
        "Content-Disposition: form-data; name=\"img\"; filename=\"a\"b.png\"; size=3",
    ] {
        let form = Form::new().part(headers, PNG);
        assert_taken(&form.content_type(), form.bytes()).await;
    }
}

#[tokio::test]
async fn behind_the_closing_delimiter_there_is_no_form() {
    let form = Form::img("a.png", PNG);
    let closed = form.bytes();
    let closed = closed.strip_suffix(b"\r\n").unwrap_or(&closed);
    for behind in [
        "",
        "\r",
        "\n",
        "\r\n",
        " \r",
        "--",
        "-",
        "oops",
        "\r\n\r\n--x",
    ] {
        let body = [closed, behind.as_bytes()].concat();
        assert_taken(&form.content_type(), body).await;
    }
}

#[tokio::test]
async fn f63_of_two_class_ids_the_querys_or_else_the_first_counts() {
    let api = TestApi::new();
    let two = Form::new()
        .text("imageClassId", "2")
        .file("img", "a.png", PNG)
        .text("image_class_id", "3");
    for (query, expected) in [
        ("", 2),
        ("?imageClassId=1", 1),
        ("?imageClassId=1&image_class_id=9", 1),
        ("?imageClassId[]=1", 2),
    ] {
        let data = api.send(two.to(&format!("{UPLOAD}{query}"))).await.data();
        assert_eq!(data[0]["image_class_id"], expected, "{query}");
    }
}

#[tokio::test]
async fn f64_only_files_in_img_count() {
    let api = TestApi::new();
    let reply = api.upload(&Form::new().text("img", "a text")).await;
    assert_refused(&api, &reply, 400, "file_missing", FILE_MISSING);
    for field in ["img[]", "IMG", "img ", "imgs", "img\\\"", "file"] {
        let got = field.trim().replace('\\', "");
        let text = format!("上传失败: Expected field 'img', but got '{got}'");
        let reply = api
            .upload(&Form::img("a.png", PNG).file(field, "b.png", PNG))
            .await;
        assert_refused(&api, &reply, 400, "wrong_field", &text);
    }
    let text_and_file = Form::new().text("img", "a text").file("img", "a.png", PNG);
    assert_taken(&text_and_file.content_type(), text_and_file.bytes()).await;
}

#[tokio::test]
async fn f64_a_part_with_a_type_of_its_own_is_a_file_without_a_name() {
    let headers = format!("{}\r\nContent-Type: image/png", disposition("name=\"img\""));
    let form = Form::new().part(headers, PNG);
    assert_eq!(
        assert_taken(&form.content_type(), form.bytes()).await["name"],
        ""
    );
}

// H. Other

thread_local! {
    /// What this thread has logged, once it wants to know.
    static LOG: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Where the log of the whole test binary goes: to the thread that wrote it, or nowhere.
struct ToThread;

impl Write for ToThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.iter_mut().for_each(|log| log.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to collect what this thread logs, written as the program writes it on a laptop.
///
/// One subscriber for the process: with one per test, a line that another thread reached first is
/// remembered as unwanted by all.
fn collect_log() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let format = tracing_subscriber::fmt().with_ansi(false);
        format.with_writer(|| ToThread).init();
        tracing::callsite::rebuild_interest_cache();
    });
    LOG.set(Some(Vec::new()));
}

fn collected_log() -> String {
    String::from_utf8(LOG.take().unwrap()).unwrap()
}

#[tokio::test]
async fn h78_no_name_makes_a_line_of_the_log() {
    collect_log();
    let api = TestApi::new();
    let forged = "x%0D%0A2026-01-01T00:00:00Z  INFO request: forged\u{1b}[31m\u{2028}";
    let requests = [
        Form::img(forged, PNG).to(UPLOAD),
        Form::img(forged, "<html>").to(UPLOAD),
        Form::new().file(forged, "a.png", PNG).to(UPLOAD),
        Form::new().text("imageClassId", forged).to(UPLOAD),
        get("/x%0A2026-01-01T00:00:00Z%20INFO"),
    ];
    let count = requests.len();
    for request in requests {
        api.send(request).await;
    }
    let text = collected_log();
    assert_eq!(text.lines().count(), count, "{text}");
    assert!(!text.contains(['\u{1b}', '\u{2028}', '\r']), "{text}");
}

#[tokio::test]
async fn h78_no_secret_of_a_request_is_in_the_log_or_in_the_answer() {
    const SECRET: &str = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0";
    collect_log();
    let api = TestApi::new();
    let form = Form::new().text("token", SECRET).file("img", "a.png", PNG);
    let bad = Form::new()
        .text("token", SECRET)
        .text("imageClassId", SECRET)
        .file("img", "a.png", PNG);
    for form in [form, bad] {
        for path in [UPLOAD, "/none"] {
            let mut request = form.to(&format!("{path}?token={SECRET}"));
            for name in ["token", "authorization", "cookie"] {
                request
                    .headers_mut()
                    .insert(name, format!("Bearer {SECRET}").parse().unwrap());
            }
            let reply = api.send(request).await;
            assert!(!String::from_utf8_lossy(&reply.body).contains(SECRET));
        }
    }
    let text = collected_log();
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(!text.contains(SECRET), "{text}");
}
