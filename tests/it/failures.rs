//! Every failure of the contract's section 5 that a form, a path or a store in a folder can show:
//! status, code and text, and a store in which nothing is left.
//!
//! Not here: `store_refused` and `store_timeout` of a bucket that answers, which need one.

use std::{
    convert::Infallible,
    fs, io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    http::{Request, StatusCode},
};
use bytes::Bytes;
use chat_upload::{
    api::{Arrival, BodyState},
    store::Store,
};
use futures_util::{StreamExt as _, stream};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use crate::support::{Form, PNG, Reply, TestApi, UPLOAD, get, metered, picture_of, post, stalled};

const FOLDER: &str = "/api/chat/uploadStreamSingleToServerDiy/";
const TRUNCATED: &str = "上传失败: 请求内容不完整，上传中途断开";
const MALFORMED: &str = "上传失败: 请求内容不是有效的 multipart 表单";
const FILE_MISSING: &str = "上传失败: 请选择要上传的文件";
const FILE_EMPTY: &str = "上传失败: 文件是空的";
const CLASS_ID_INVALID: &str = "上传失败: imageClassId 必须是非负整数";
const FOLDER_INVALID: &str = "上传失败: 目录名不合法";
const TOO_SLOW: &str = "上传失败: 上传太慢，连接已关闭";
const UNAVAILABLE: &str = "上传失败: 存储服务暂时不可用，请稍后重试";

/// A body that says how long it is and must not be read.
struct Announced(u64);

impl HttpBody for Announced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("the body was read")
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

/// A form with two good files and then `last`.
fn after_two_files(last: impl FnOnce(Form) -> Form) -> Form {
    last(Form::img("a.png", PNG).file("img", "b.txt", "text"))
}

#[track_caller]
fn assert_refused(api: &TestApi, reply: &Reply, status: u16, code: &str, text: &str) {
    reply.assert_failed(status, code, text);
    api.assert_nothing_stored();
}

#[tokio::test]
async fn a_form_without_a_file_is_400() {
    let api = TestApi::new();
    for form in [
        Form::new(),
        Form::new().text("token", "x").text("imageClassId", "3"),
        // What a browser sends for a file input that was left empty.
        Form::new().file("img", "", ""),
        Form::new().text("img", "not a file"),
    ] {
        for path in [UPLOAD, &format!("{FOLDER}x")] {
            let reply = api.send(form.to(path)).await;
            assert_refused(&api, &reply, 400, "file_missing", FILE_MISSING);
        }
    }
}

#[tokio::test]
async fn a_host_with_a_user_or_two_hosts_are_400() {
    let api = TestApi::new();
    let hosts: [&[&str]; 4] = [
        &["user:pw@evil.example"],
        &["@chat.example"],
        &["chat.example", "evil.example"],
        &["chat.example", "chat.example"],
    ];
    for hosts in hosts {
        for mut request in [Form::img("a.png", PNG).to(UPLOAD), get("/images/a.png")] {
            request.headers_mut().remove("host");
            for host in hosts {
                request.headers_mut().append("host", host.parse().unwrap());
            }
            let reply = api.send(request).await;
            assert_refused(&api, &reply, 400, "host_invalid", "请求的 Host 不合法");
        }
    }
    let mut request = Form::img("a.png", PNG).to(UPLOAD);
    *request.uri_mut() = format!("http://user@chat.example{UPLOAD}").parse().unwrap();
    let reply = api.send(request).await;
    assert_refused(&api, &reply, 400, "host_invalid", "请求的 Host 不合法");
}

#[tokio::test]
async fn a_file_in_another_field_is_400_and_named() {
    let api = TestApi::new();
    for (field, shown) in [
        ("file", "file"),
        ("IMG", "IMG"),
        ("img[]", "img[]"),
        ("", ""),
        ("图片", "图片"),
        ("a%22b", "a\"b"),
    ] {
        let text = format!("上传失败: Expected field 'img', but got '{shown}'");
        let reply = api.upload(&Form::new().file(field, "a.png", PNG)).await;
        assert_refused(&api, &reply, 400, "wrong_field", &text);
        let reply = api
            .upload(&after_two_files(|form| form.file(field, "a.png", PNG)))
            .await;
        assert_refused(&api, &reply, 400, "wrong_field", &text);
    }
}

#[tokio::test]
async fn a_file_of_no_bytes_is_400() {
    let api = TestApi::new();
    let nameless = "Content-Disposition: form-data; name=\"img\"; filename=\"a.png\"";
    for form in [
        Form::img("a.png", ""),
        Form::new().part(nameless, ""),
        after_two_files(|form| form.file("img", "c.png", "")),
    ] {
        let reply = api.upload(&form).await;
        assert_refused(&api, &reply, 400, "file_empty", FILE_EMPTY);
    }
    let reply = api
        .send(Form::img("a.png", "").to(&format!("{FOLDER}x")))
        .await;
    assert_refused(&api, &reply, 400, "file_empty", FILE_EMPTY);
}

#[tokio::test]
async fn more_files_than_allowed_are_400_and_none_is_kept() {
    let of = |count| (0..count).fold(Form::new(), |form, _| form.file("img", "a.png", PNG));
    for (vars, count, limit) in [(&[][..], 10, 9), (&[("UPLOAD_MAX_FILES", "1")], 2, 1)] {
        let api = TestApi::with(vars);
        let text = format!("上传失败: 一次最多上传 {limit} 个文件");
        let reply = api.upload(&of(count)).await;
        assert_refused(&api, &reply, 400, "too_many_files", &text);
    }
}

#[tokio::test]
async fn a_second_file_for_a_folder_is_refused_rather_than_lost() {
    let api = TestApi::new();
    let form = Form::img("a.png", PNG).file("file", "b.png", PNG);
    let reply = api.send(form.to(&format!("{FOLDER}x"))).await;
    assert_refused(
        &api,
        &reply,
        400,
        "too_many_files",
        "上传失败: 一次最多上传 1 个文件",
    );
}

#[tokio::test]
async fn a_bad_class_id_after_the_file_undoes_it() {
    let api = TestApi::new();
    for bad in ["abc", "-1", "9007199254740992"] {
        for form in [
            Form::img("a.png", PNG).text("imageClassId", bad),
            after_two_files(|form| form.text("image_class_id", bad)),
            Form::new()
                .text("imageClassId", bad)
                .file("img", "a.png", PNG),
            Form::img("a.png", PNG)
                .text("imageClassId", "1")
                .text("image_class_id", bad),
        ] {
            let reply = api.upload(&form).await;
            assert_refused(&api, &reply, 400, "class_id_invalid", CLASS_ID_INVALID);
        }
    }
}

#[tokio::test]
async fn a_bad_class_id_in_the_query_is_told_before_a_byte_is_read() {
    let api = TestApi::new();
    for query in [
        "imageClassId=x",
        "image_class_id=1.5",
        "a=b&imageClassId=%2B1",
    ] {
        let content_type = Form::new().content_type();
        let body = Body::new(Announced(1));
        let request = post(&format!("{UPLOAD}?{query}"), &content_type, body);
        let reply = api.send(request).await;
        assert_refused(&api, &reply, 400, "class_id_invalid", CLASS_ID_INVALID);
    }
}

#[tokio::test]
async fn a_bad_folder_is_told_before_a_byte_is_read() {
    let (level, long) = ("x".repeat(65), "x".repeat(1024));
    let many = "_".repeat(1024);
    for folder in [
        "",
        "_",
        "a__b",
        "_a",
        "a_",
        "..",
        ".._.._x",
        ".",
        "a.b",
        "a/b",
        "a/",
        "/",
        "a%2Fb",
        "%2f",
        "%5c",
        "%2e%2e",
        "a%20b",
        "a%00",
        "%ff",
        "%E5%9B%BE",
        "a_b_c_d_e_f",
        "a;x",
        "a+b",
        &level,
        &long,
        &many,
    ] {
        let api = TestApi::new();
        let body = Body::new(Announced(1));
        let request = post(
            &format!("{FOLDER}{folder}"),
            &Form::new().content_type(),
            body,
        );
        let reply = api.send(request).await;
        assert_refused(&api, &reply, 400, "folder_invalid", FOLDER_INVALID);
    }
}

#[tokio::test]
async fn a_text_field_may_hold_64_kib_and_not_a_byte_more() {
    let api = TestApi::new();
    let form = |len| {
        Form::new()
            .text("token", &"x".repeat(len))
            .file("img", "a.png", PNG)
    };
    let reply = api.upload(&form(64 * 1024 + 1)).await;
    let text = "上传失败: 表单字段不能超过 65536 字节";
    assert_refused(&api, &reply, 400, "field_too_large", text);
    let late = after_two_files(|form| form.text("x", &"y".repeat(70_000)));
    assert_refused(&api, &api.upload(&late).await, 400, "field_too_large", text);
    assert_eq!(api.upload(&form(64 * 1024)).await.status, 200);
}

#[tokio::test]
async fn a_long_text_field_is_not_a_file_that_is_too_large() {
    let api = TestApi::with(&[("UPLOAD_MAX_BYTES", "1000")]);
    let form = Form::new()
        .text("token", &"x".repeat(1001))
        .file("img", "a.png", PNG);
    assert_eq!(api.upload(&form).await.data()[0]["size"], PNG.len());
}

#[tokio::test]
async fn a_file_may_have_the_largest_size_and_not_a_byte_more() {
    for (limit, shown) in [
        (1000, "1000 字节"),
        (1 << 20, "1 MiB"),
        (1_000_000, "1 MB"),
        (700_000, "700000 字节"),
    ] {
        let api = TestApi::with(&[("UPLOAD_MAX_BYTES", &limit.to_string())]);
        let text = format!("上传失败: 文件不能超过 {shown}");
        let too_large = picture_of(limit + 1);
        for form in [
            Form::img("a.png", &too_large),
            after_two_files(|form| form.file("img", "c.png", &too_large)),
        ] {
            let reply = api.upload(&form).await;
            assert_refused(&api, &reply, 413, "too_large", &text);
        }
        let fits = Form::img("a.png", picture_of(limit)).file("img", "b.png", picture_of(limit));
        assert_eq!(api.upload(&fits).await.data()[1]["size"], limit);
    }
}

#[tokio::test]
async fn a_body_larger_than_all_its_files_is_refused_before_it_is_read() {
    let mib = 1 << 20;
    for (vars, path, len, shown) in [
        (&[][..], UPLOAD, (9 * 50 + 1) * mib + 1, "50 MiB"),
        (
            &[("UPLOAD_MAX_FILES", "1"), ("UPLOAD_MAX_BYTES", "10")],
            UPLOAD,
            mib + 11,
            "10 字节",
        ),
        (
            &[],
            "/api/chat/uploadStreamSingleToServerDiy/x",
            51 * mib + 1,
            "50 MiB",
        ),
        (&[], UPLOAD, u64::MAX, "50 MiB"),
    ] {
        let api = TestApi::with(vars);
        let request = post(path, &Form::new().content_type(), Body::new(Announced(len)));
        let reply = api.send(request).await;
        assert_refused(
            &api,
            &reply,
            413,
            "too_large",
            &format!("上传失败: 文件不能超过 {shown}"),
        );
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_is_read_no_further_than_the_largest_file() {
    let api = TestApi::with(&[("UPLOAD_MAX_BYTES", "1000000")]);
    let form = Form::img("a.png", PNG);
    let start = form.unclosed().slice(..form.unclosed().len() - 2);
    let endless = std::iter::once(start).chain(std::iter::repeat(vec![7; 10_000].into()));
    let (body, read) = metered(endless);
    let reply = api.send(post(UPLOAD, &form.content_type(), body)).await;
    assert_refused(
        &api,
        &reply,
        413,
        "too_large",
        "上传失败: 文件不能超过 1 MB",
    );
    assert!(read.load(std::sync::atomic::Ordering::Relaxed) < 1_200_000);
}

#[tokio::test]
async fn bytes_of_no_accepted_type_are_415_and_named() {
    let api = TestApi::new();
    for (content, looks_like) in [
        (b"<html><script>alert(1)</script>".as_slice(), "HTML"),
        (b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "SVG"),
        (b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xFF\xFF", "Windows program"),
        (b"\x01\x02\x03\x04", "unknown"),
    ] {
        for form in [
            Form::img("a.png", content),
            after_two_files(|form| form.file("img", "c.png", content)),
        ] {
            let reply = api.upload(&form).await;
            reply.assert_type_refused(looks_like);
            api.assert_nothing_stored();
        }
    }
}

#[tokio::test]
async fn a_file_that_turns_out_late_to_be_something_else_is_undone() {
    let api = TestApi::new();
    // The last entry of a directory is a Java archive's.
    let entry = [b"PK\x03\x04".as_slice(), &[0; 22], b"\x01\0\0\0a"].concat();
    let directory = [
        b"PK\x01\x02".as_slice(),
        &[0; 24],
        b"\x14\0",
        &[0; 16],
        b"META-INF/MANIFEST.MF",
    ];
    let archive = [entry, vec![b'x'; 2_200_000], directory.concat()].concat();
    let reply = api.upload(&Form::img("a.zip", archive)).await;
    assert_refused(
        &api,
        &reply,
        415,
        "type_refused",
        "上传失败: 不支持的文件类型 (JAR)",
    );
}

#[tokio::test]
async fn kinds_that_are_not_configured_are_415() {
    let api = TestApi::with(&[("UPLOAD_TYPES", "image,video")]);
    for (name, content, looks_like) in [
        ("a.txt", b"text".as_slice(), "txt"),
        ("a.amr", include_bytes!("../media/amr-nb.amr"), "amr"),
        ("a.pdf", include_bytes!("../media/page.pdf"), "pdf"),
    ] {
        let reply = api.upload(&Form::img(name, content)).await;
        reply.assert_type_refused(looks_like);
        api.assert_nothing_stored();
    }
    assert_eq!(api.upload(&Form::img("a.png", PNG)).await.status, 200);
}

#[tokio::test]
async fn a_body_that_ends_anywhere_before_its_end_is_400() {
    let api = TestApi::new();
    let form = Form::new()
        .text("imageClassId", "3")
        .file("img", "a.png", PNG);
    let whole = form.bytes();
    // The line end behind the closing boundary may be missing.
    for end in 0..whole.len() - 2 {
        let reply = api
            .send(post(UPLOAD, &form.content_type(), whole.slice(..end)))
            .await;
        assert_refused(&api, &reply, 400, "body_truncated", TRUNCATED);
    }
    let reply = api
        .send(post(
            UPLOAD,
            &form.content_type(),
            whole.slice(..whole.len() - 2),
        ))
        .await;
    assert_eq!(reply.data()[0]["image_class_id"], 3);
}

#[tokio::test]
async fn a_connection_that_breaks_is_400_and_undoes_what_was_stored() {
    let api = TestApi::new();
    let large = picture_of(3 << 20);
    for form in [
        Form::img("a.png", &large),
        after_two_files(|form| form.file("img", "c.png", &large)),
    ] {
        let sent = form.unclosed();
        let sent = sent.slice(..sent.len() - 100);
        let broken = stream::iter([
            Ok(sent),
            Err(io::Error::from(io::ErrorKind::ConnectionReset)),
        ]);
        let request = post(UPLOAD, &form.content_type(), Body::from_stream(broken));
        assert_refused(
            &api,
            &api.send(request).await,
            400,
            "body_truncated",
            TRUNCATED,
        );
    }
}

#[tokio::test]
async fn a_client_that_falls_silent_is_408() {
    let api = TestApi::changed(&[], |config| config.api.idle = Duration::from_millis(20));
    let form = Form::img("a.png", picture_of(2 << 20));
    let sent = form.unclosed();
    for len in [0, 10, 100, 500, 100_000, sent.len()] {
        let request = post(UPLOAD, &form.content_type(), stalled(sent.slice(..len)));
        let reply = api.send(request).await;
        assert_refused(&api, &reply, 408, "client_too_slow", TOO_SLOW);
    }
}

#[tokio::test]
async fn a_client_that_never_falls_silent_and_never_ends_is_408() {
    let api = TestApi::changed(&[], |config| {
        config.api.request_limit = Duration::from_millis(100);
    });
    let form = Form::img("a.png", picture_of(2 << 20));
    let drip = stream::repeat(Bytes::from("x")).then(async |byte| {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok::<_, Infallible>(byte)
    });
    let sent = stream::iter([Ok(form.unclosed())]).chain(drip);
    let request = post(UPLOAD, &form.content_type(), Body::from_stream(sent));
    let reply = api.send(request).await;
    assert_refused(&api, &reply, 408, "client_too_slow", TOO_SLOW);
}

#[tokio::test]
async fn a_client_over_its_rate_is_429_and_told_when_to_come_again() {
    let api = TestApi::with(&[("UPLOAD_RATE_PER_MIN", "2")]);
    let upload = async |client: &str| {
        let arrival = Arrival {
            client: Some(client.parse().unwrap()),
            ..Arrival::default()
        };
        let form = Form::img("a.png", PNG);
        api.send(arriving(&form, form.bytes().into(), arrival))
            .await
    };
    for _ in 0..2 {
        assert_eq!(upload("192.0.2.1").await.status, 200);
    }
    let reply = upload("192.0.2.1").await;
    reply.assert_failed(429, "too_many_requests", "上传失败: 上传太频繁，请稍后再试");
    let seconds: u64 = reply.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(upload("192.0.2.2").await.status, 200);
    assert_eq!(api.files().len(), 3);
}

#[tokio::test]
async fn a_request_too_many_is_503_and_told_to_come_again() {
    let api = TestApi::with(&[("UPLOAD_MAX_IN_FLIGHT", "1")]);
    let form = Form::img("a.png", PNG);
    let first = api.send(post(UPLOAD, &form.content_type(), stalled(form.unclosed())));
    let mut first = pin!(first);
    let waiting = tokio::time::timeout(Duration::ZERO, &mut first).await;
    assert!(waiting.is_err());
    let reply = api.upload(&form).await;
    reply.assert_failed(503, "busy", "上传失败: 服务器繁忙，请稍后再试");
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(api.send(get("/healthz")).await.status, 200);
}

#[tokio::test]
async fn a_client_that_pauses_less_than_the_idle_time_is_served() {
    let api = TestApi::changed(&[], |config| config.api.idle = Duration::from_secs(60));
    let form = Form::img("a.png", PNG);
    let chunks: Vec<_> = form
        .bytes()
        .chunks(50)
        .map(Bytes::copy_from_slice)
        .collect();
    let slow = stream::iter(chunks).then(async |chunk| {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(chunk)
    });
    let reply = api
        .send(post(UPLOAD, &form.content_type(), Body::from_stream(slow)))
        .await;
    assert_eq!(reply.data()[0]["size"], PNG.len());
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let api = TestApi::new();
    let form = after_two_files(|form| form.file("img", "c.png", picture_of(3 << 20)));
    let request = post(UPLOAD, &form.content_type(), stalled(form.unclosed()));
    let cancelled = tokio::time::timeout(Duration::from_millis(100), api.send(request)).await;
    assert!(cancelled.is_err());
    api.store().settle().await;
    api.assert_nothing_stored();
}

fn arriving(form: &Form, body: Body, arrival: Arrival) -> Request<Body> {
    let mut request = post(UPLOAD, &form.content_type(), body);
    request.extensions_mut().insert(arrival);
    request
}

fn in_state(body_state: BodyState) -> Arrival {
    Arrival {
        body_state,
        ..Arrival::default()
    }
}

#[tokio::test]
async fn a_body_that_a_gateway_turned_into_text_is_422_whatever_it_holds() {
    let api = TestApi::new();
    let text = "上传失败: 网关把二进制内容转成了文本，请在网关的二进制媒体类型 (binaryMediaTypes) 中加入 \
                multipart/form-data 并重新部署";
    let mangled = String::from_utf8_lossy(PNG).into_owned();
    for form in [
        Form::img("a.png", mangled),
        Form::img("a.png", "<html>"),
        Form::new(),
    ] {
        let request = arriving(&form, form.bytes().into(), in_state(BodyState::Mangled));
        assert_refused(&api, &api.send(request).await, 422, "body_mangled", text);
    }
}

#[tokio::test]
async fn an_event_whose_base64_is_broken_is_400() {
    let api = TestApi::new();
    let form = Form::img("a.png", PNG);
    let request = arriving(&form, Body::empty(), in_state(BodyState::Undecodable));
    assert_refused(
        &api,
        &api.send(request).await,
        400,
        "body_malformed",
        MALFORMED,
    );
}

#[tokio::test]
async fn a_client_that_takes_the_time_that_the_platform_leaves_is_408() {
    let api = TestApi::new();
    let form = after_two_files(|form| form.file("img", "c.png", picture_of(3 << 20)));
    let arrival = Arrival {
        ends_at: Some(Instant::now() + Duration::from_secs(2)),
        ..Arrival::default()
    };
    let ends_at = arrival.ends_at.unwrap();
    let reply = api
        .send(arriving(&form, stalled(form.unclosed()), arrival))
        .await;
    assert!(Instant::now() < ends_at, "the answer is of no use any more");
    assert_refused(&api, &reply, 408, "client_too_slow", TOO_SLOW);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_502_and_says_nothing_of_itself() {
    let api = TestApi::new();
    let Store::Disk(disk) = api.store() else {
        panic!("a folder was asked for")
    };
    // A file where the first folder of the keys should be.
    fs::write(disk.root().join("images"), "in the way").unwrap();
    for len in [PNG.len(), 2 << 20] {
        let reply = api.upload(&Form::img("a.png", picture_of(len))).await;
        reply.assert_failed(502, "store_unavailable", UNAVAILABLE);
    }
    assert_eq!(api.files().into_keys().collect::<Vec<_>>(), ["images"]);
}

#[tokio::test]
async fn a_bucket_without_keys_to_sign_with_is_502() {
    let api = TestApi::with(&[
        ("FC_FUNCTION_NAME", "f"),
        ("UPLOAD_STORE", "oss://a-bucket"),
        ("UPLOAD_REGION", "cn-hangzhou"),
    ]);
    let reply = api.upload(&Form::img("a.png", PNG)).await;
    reply.assert_failed(502, "store_refused", "上传失败: 存储服务拒绝了请求");
}

#[tokio::test]
async fn a_panic_is_500_and_undoes_what_was_stored() {
    let api = TestApi::new();
    let form = after_two_files(|form| form.file("img", "c.png", picture_of(3 << 20)));
    let sent = stream::iter([Ok::<_, Infallible>(form.unclosed())]);
    // The handler polls the body, so a body that panics is a panic in the handler.
    let bug = stream::poll_fn(|_| panic!("a bug with secret-bucket in its text"));
    let request = post(
        UPLOAD,
        &form.content_type(),
        Body::from_stream(sent.chain(bug)),
    );
    let reply = api.send(request).await;
    reply.assert_failed(500, "internal", "上传失败: 服务器内部错误");
    api.store().settle().await;
    api.assert_nothing_stored();
    assert_eq!(api.send(get("/healthz")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn failures_of_one_request_do_not_touch_what_others_stored() {
    let api = TestApi::new();
    let kept = api.upload(&Form::img("a.png", PNG)).await.data()[0]["path"].clone();
    let bad = after_two_files(|form| form.file("img", "c.png", "<html>"));
    assert_eq!(api.upload(&bad).await.status, 415);
    assert_eq!(
        api.files(),
        [(kept.as_str().unwrap().to_owned(), PNG.to_vec())].into()
    );
}
