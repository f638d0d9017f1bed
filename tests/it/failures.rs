//! Every failure caused by a form, a path or a disk store:
//! status, code and text, and an empty store afterwards.
//!
//! Not here: `store_refused` and `store_timeout` of a bucket that answers, which need a bucket.

use std::{convert::Infallible, fs, io, pin::pin, time::Duration};

use axum::{body::Body, http::StatusCode};
use bytes::Bytes;
use chat_upload::api::{Arrival, BodyState};
use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;

use crate::support::{
    FOLDER, Form, PNG, RequestExt as _, TestApi, UPLOAD, get, in_chunks, metered, path_of,
    png_bytes, post, stalled, unread,
};

/// A form with two valid files and then this one.
fn after_two_files(content: impl AsRef<[u8]>) -> Form {
    let two = Form::image().file("img", "b.txt", "text");
    two.file("img", "c.png", content)
}

#[tokio::test]
async fn an_address_with_a_user_is_400() {
    let mut request = Form::image().to(UPLOAD);
    *request.uri_mut() = format!("http://user@chat.example{UPLOAD}").parse().unwrap();
    TestApi::new().assert_refuses(request, "host_invalid").await;
}

#[tokio::test]
async fn more_files_than_allowed_are_400_and_none_is_kept() {
    let api = TestApi::with(&[("UPLOAD_MAX_FILES", "1")]);
    let two = Form::image().file("img", "b.png", PNG);
    api.assert_refuses(two.to(UPLOAD), "too_many_files 1").await;
}

#[tokio::test]
async fn a_long_text_field_is_not_a_file_that_is_too_large() {
    let api = TestApi::with(&[("UPLOAD_MAX_BYTES", "1000")]);
    let form = Form::new().text("token", &"x".repeat(1001)).and_image();
    assert_eq!(api.upload(&form).await.data()[0]["size"], PNG.len());
}

#[tokio::test]
async fn a_file_may_have_the_largest_size_and_not_a_byte_more() {
    for (limit, shown) in [
        (1000, "1000 bytes"),
        (1 << 20, "1 MiB"),
        (1_000_000, "1 MB"),
        (700_000, "700000 bytes"),
    ] {
        let api = TestApi::with(&[("UPLOAD_MAX_BYTES", &limit.to_string())]);
        let failure = format!("too_large {shown}");
        let too_large = png_bytes(limit + 1);
        for form in [Form::img("a.png", &too_large), after_two_files(&too_large)] {
            api.assert_refuses(form.to(UPLOAD), &failure).await;
        }
        let fits = Form::img("a.png", png_bytes(limit)).file("img", "b.png", png_bytes(limit));
        assert_eq!(api.upload(&fits).await.data()[1]["size"], limit);
    }
}

#[tokio::test]
async fn a_body_larger_than_all_its_files_is_refused_before_it_is_read() {
    let mib = 1 << 20;
    let small = [("UPLOAD_MAX_FILES", "1"), ("UPLOAD_MAX_BYTES", "10")];
    let folder = &format!("{FOLDER}x");
    for (vars, path, len, shown) in [
        (&[][..], UPLOAD, (9 * 50 + 1) * mib + 1, "50 MiB"),
        (&small, UPLOAD, mib + 11, "10 bytes"),
        (&[], folder, 51 * mib + 1, "50 MiB"),
        (&[], UPLOAD, u64::MAX, "50 MiB"),
    ] {
        let api = TestApi::with(vars);
        let request = post(path, &Form::new().content_type(), unread(len));
        let failure = format!("too_large {shown}");
        api.assert_refuses(request, &failure).await;
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_is_read_no_further_than_the_largest_file() {
    let api = TestApi::with(&[("UPLOAD_MAX_BYTES", "1000000")]);
    let form = Form::image();
    let start = form.unclosed().slice(..form.unclosed().len() - 2);
    let endless = std::iter::once(start).chain(std::iter::repeat(vec![7; 10_000].into()));
    let (body, read) = metered(endless);
    let request = form.with_body(body);
    api.assert_refuses(request, "too_large 1 MB").await;
    assert!(read.load(std::sync::atomic::Ordering::Relaxed) < 1_200_000);
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
        reply.assert_refused(&format!("type_refused {looks_like}"));
        api.assert_nothing_stored();
    }
    assert_eq!(api.upload(&Form::image()).await.status, 200);
}

#[tokio::test]
async fn a_body_that_ends_anywhere_before_its_end_is_400() {
    let api = TestApi::new();
    let form = Form::new().text("imageClassId", "3").and_image();
    let whole = form.bytes();
    // The line break after the closing boundary may be missing.
    for end in 0..whole.len() - 2 {
        let request = form.with_body(whole.slice(..end));
        api.assert_refuses(request, "body_truncated").await;
    }
    let request = form.with_body(whole.slice(..whole.len() - 2));
    let reply = api.send(request).await;
    assert_eq!(reply.data()[0]["image_class_id"], 3);
}

#[tokio::test]
async fn a_connection_that_breaks_is_400_and_undoes_what_was_stored() {
    let api = TestApi::new();
    let large = png_bytes(3 << 20);
    for form in [Form::img("a.png", &large), after_two_files(&large)] {
        let sent = form.unclosed();
        let sent = sent.slice(..sent.len() - 100);
        let reset = Err(io::Error::from(io::ErrorKind::ConnectionReset));
        let broken = stream::iter([Ok(sent), reset]);
        let request = form.with_body(Body::from_stream(broken));
        api.assert_refuses(request, "body_truncated").await;
    }
}

#[tokio::test]
async fn a_client_that_falls_silent_is_408() {
    let api = TestApi::changed(None, &[], |config| {
        config.api.idle = Duration::from_millis(20)
    });
    let form = Form::img("a.png", png_bytes(2 << 20));
    let sent = form.unclosed();
    for len in [0, 10, 100, 500, 100_000, sent.len()] {
        let request = form.with_body(stalled(sent.slice(..len)));
        api.assert_refuses(request, "client_too_slow").await;
    }
}

#[tokio::test]
async fn a_client_that_never_falls_silent_and_never_ends_is_408() {
    let api = TestApi::changed(None, &[], |config| {
        config.api.request_limit = Duration::from_millis(100);
    });
    let form = Form::img("a.png", png_bytes(2 << 20));
    let drip = stream::repeat(Bytes::from("x")).then(async |byte| {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok::<_, Infallible>(byte)
    });
    let sent = stream::iter([Ok(form.unclosed())]).chain(drip);
    let request = form.with_body(Body::from_stream(sent));
    api.send(request).await.assert_refused("client_too_slow");
    // 19 of the 100 ms are reserved for undoing, which then continues after the response.
    api.store().settle().await;
    api.assert_nothing_stored();
}

#[tokio::test]
async fn a_request_too_many_is_503_and_told_to_come_again() {
    let api = TestApi::with(&[("UPLOAD_MAX_IN_FLIGHT", "1")]);
    let form = Form::image();
    let first = api.send(form.with_body(stalled(form.unclosed())));
    let mut first = pin!(first);
    let waiting = tokio::time::timeout(Duration::ZERO, &mut first).await;
    assert!(waiting.is_err());
    let reply = api.upload(&form).await;
    reply.assert_refused("busy");
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(api.send(get("/healthz")).await.status, 200);
}

#[tokio::test]
async fn a_client_that_pauses_less_than_the_idle_time_is_served() {
    let api = TestApi::changed(None, &[], |config| {
        config.api.idle = Duration::from_secs(60)
    });
    let form = Form::image();
    let chunks = in_chunks(&form.bytes(), 50).into_data_stream();
    let slow = chunks.then(async |chunk| {
        tokio::task::yield_now().await;
        chunk
    });
    let reply = api.send(form.with_body(Body::from_stream(slow))).await;
    assert_eq!(reply.data()[0]["size"], PNG.len());
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let api = TestApi::new();
    let form = after_two_files(png_bytes(3 << 20));
    let request = form.with_body(stalled(form.unclosed()));
    let cancelled = tokio::time::timeout(Duration::from_millis(100), api.send(request)).await;
    assert!(cancelled.is_err());
    api.store().settle().await;
    api.assert_nothing_stored();
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
    let mangled = String::from_utf8_lossy(PNG).into_owned();
    for form in [
        Form::img("a.png", mangled),
        Form::img("a.png", "<html>"),
        Form::new(),
    ] {
        let request = form.to(UPLOAD).arriving(in_state(BodyState::Mangled));
        api.assert_refuses(request, "body_mangled").await;
    }
}

#[tokio::test]
async fn an_event_whose_base64_is_broken_is_400() {
    let api = TestApi::new();
    let request = Form::image().with_body(Body::empty());
    let request = request.arriving(in_state(BodyState::Undecodable));
    api.assert_refuses(request, "body_malformed").await;
}

#[tokio::test]
async fn a_client_that_takes_the_time_that_the_platform_leaves_is_408() {
    let api = TestApi::new();
    let form = after_two_files(png_bytes(3 << 20));
    let ends_at = Instant::now() + Duration::from_secs(2);
    let arrival = Arrival {
        ends_at: Some(ends_at),
        ..Arrival::default()
    };
    let request = form.with_body(stalled(form.unclosed()));
    let reply = api.send(request.arriving(arrival)).await;
    assert!(Instant::now() < ends_at, "the answer is of no use any more");
    reply.assert_refused("client_too_slow");
    api.assert_nothing_stored();
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_502_and_says_nothing_of_itself() {
    let api = TestApi::new();
    // A file in place of the keys' first folder.
    fs::write(api.folder().join("images"), "in the way").unwrap();
    for len in [PNG.len(), 2 << 20] {
        let reply = api.upload(&Form::img("a.png", png_bytes(len))).await;
        reply.assert_refused("store_unavailable");
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
    let reply = api.upload(&Form::image()).await;
    reply.assert_refused("store_refused");
}

#[tokio::test]
async fn a_panic_is_500_and_undoes_what_was_stored() {
    let api = TestApi::new();
    let form = after_two_files(png_bytes(3 << 20));
    let sent = stream::iter([Ok::<_, Infallible>(form.unclosed())]);
    // The handler polls the body, so a body that panics is a panic in the handler.
    let bug = stream::poll_fn(|_| panic!("a bug with secret-bucket in its text"));
    let request = form.with_body(Body::from_stream(sent.chain(bug)));
    api.send(request).await.assert_refused("internal");
    api.store().settle().await;
    api.assert_nothing_stored();
    assert_eq!(api.send(get("/healthz")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn failures_of_one_request_do_not_touch_what_others_stored() {
    let api = TestApi::new();
    let kept = api.upload(&Form::image()).await.item();
    let bad = after_two_files("<html>");
    assert_eq!(api.upload(&bad).await.status, 415);
    let kept = path_of(&kept).to_owned();
    assert_eq!(api.files(), [(kept, PNG.to_vec())].into());
}
