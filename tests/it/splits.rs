//! However a form is cut into chunks, the result is the same: the same objects and the same response. The
//! bytes of a file are stored unchanged.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{future::join_all, stream};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::Value;

use crate::support::{Form, PNG, TestApi, UPLOAD, path_of, post};

const BOUNDARY: &str = "----Bound-ary";
/// Most uploads in flight.
const CONCURRENCY: usize = 32;

/// Results that are the same for every upload of a form.
#[derive(Debug, PartialEq)]
struct Outcome {
    status: u16,
    /// The whole response, without the key, the time and the request id.
    answer: Value,
    /// The stored files, in the response's order.
    contents: Vec<Vec<u8>>,
}

/// Sends `body` in chunks that end at `cuts`; returns the result and deletes what it stored.
async fn upload(api: &TestApi, body: &Bytes, cuts: impl IntoIterator<Item = usize>) -> Outcome {
    let mut pieces = Vec::new();
    let mut rest = body.clone();
    for cut in cuts {
        let done = body.len() - rest.len();
        pieces.push(rest.split_to(cut.clamp(done, body.len()) - done));
    }
    pieces.push(rest);
    let pieces = stream::iter(pieces.into_iter().map(Ok::<_, Infallible>));
    let content_type = format!("multipart/form-data; boundary=\"{BOUNDARY}\"");
    let request = post(UPLOAD, &content_type, Body::from_stream(pieces));
    let reply = api.send(request).await;
    let mut answer = reply.json();
    answer.as_object_mut().unwrap().remove("request_id");
    let mut files = api.files();
    let mut contents = Vec::new();
    for item in answer["data"].as_array_mut().into_iter().flatten() {
        let path = path_of(item).to_owned();
        let item = item.as_object_mut().unwrap();
        item.retain(|name, _| !["url", "create_time", "path"].contains(&name.as_str()));
        contents.push(files.remove(&path).unwrap());
        std::fs::remove_file(api.folder().join(path)).unwrap();
    }
    let left = files.keys().collect::<Vec<_>>();
    assert!(left.is_empty(), "stored and not answered: {left:?}");
    Outcome {
        status: reply.status.as_u16(),
        answer,
        contents,
    }
}

/// Returns an image followed by everything that resembles a delimiter and is none.
fn tricky_image() -> Vec<u8> {
    let almost = [
        "\r",
        "\n",
        "\r\n",
        "\r\n-",
        "\r\n--",
        "\r\r\n--",
        "\r\n----Bound-ar",
        "------Bound-ary",
        "\n------Bound-ary",
        "\r\n\r\n",
        "\r\n------bound-ary",
        "\r",
    ];
    [PNG[..100].to_vec(), almost.concat().into_bytes()].concat()
}

fn tricky_form() -> Bytes {
    Form::with_boundary(BOUNDARY)
        .raw("preamble\r\n")
        .text("imageClassId", "42")
        .file("img", "a.png", tricky_image())
        .file("img", "b.txt", "\r\n--\r\n")
        .text("note", "\r\n------Bound-ar\r")
        .bytes()
}

#[tokio::test]
async fn a25_a_form_may_be_cut_at_any_offset() {
    let api = TestApi::new();
    let form = tricky_form();
    let whole = upload(&api, &form, []).await;
    assert_eq!(whole.status, 200);
    assert_eq!(whole.answer["data"][1]["image_class_id"], 42);
    assert_eq!(whole.contents, [tricky_image(), b"\r\n--\r\n".to_vec()]);
    // Concurrently, since each waits for a disk; each with its own store.
    let lanes = (0..CONCURRENCY).map(async |first| {
        let api = TestApi::new();
        for cut in (first..=form.len()).step_by(CONCURRENCY) {
            assert_eq!(upload(&api, &form, [cut]).await, whole, "cut at {cut}");
        }
    });
    join_all(lanes).await;
}

#[tokio::test]
async fn a25_a_form_may_come_byte_by_byte() {
    let api = TestApi::new();
    let form = tricky_form();
    let whole = upload(&api, &form, []).await;
    assert_eq!(upload(&api, &form, 0..=form.len()).await, whole);
    for step in 2..20 {
        let cuts = (0..form.len()).step_by(step);
        let stepwise = upload(&api, &form, cuts).await;
        assert_eq!(stepwise, whole, "{step} bytes at a time");
    }
}

#[tokio::test]
async fn a25_empty_chunks_change_nothing() {
    let api = TestApi::new();
    let form = tricky_form();
    let whole = upload(&api, &form, []).await;
    let thrice = (0..form.len()).step_by(7).flat_map(|cut| [cut; 3]);
    assert_eq!(upload(&api, &form, thrice).await, whole);
}

#[tokio::test]
async fn every_byte_and_every_pair_of_bytes_survives() {
    let api = TestApi::new();
    let mut content = PNG.to_vec();
    content.extend(0..=u8::MAX);
    content.extend((0..=u16::MAX).flat_map(u16::to_be_bytes));
    let form = Form::with_boundary(BOUNDARY).file("img", "a.png", &content);
    let form = form.bytes();
    for piece in [form.len(), 64 * 1024, 1000, 257] {
        let stored = upload(&api, &form, (0..form.len()).step_by(piece)).await;
        assert_eq!(stored.status, 200);
        let is_same = stored.contents == [content.clone()];
        assert!(is_same, "in pieces of {piece} bytes");
    }
}

/// Generates bytes that often resemble the tokens of a form parser.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => vec(any::<u8>(), 0..40),
        4 => select(vec!["\r\n", "\r", "\n", "--", "-", "\r\n--", "\r\n------Bound-ar", "------Bound-ary", "\0"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..30_000),
    ];
    vec(piece, 0..12)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("holds the boundary", |bytes| {
            let border = format!("\r\n--{BOUNDARY}");
            let within = [b"\r\n", &**bytes].concat();
            memchr::memmem::find(&within, border.as_bytes()).is_none()
        })
}

/// A well-formed form: its fields and files, and the expected result.
fn form() -> impl Strategy<Value = (Form, Vec<Vec<u8>>)> {
    let is_picture = any::<bool>();
    vec((is_picture, content()), 0..6).prop_map(|parts| {
        let mut contents = Vec::new();
        let mut form = Form::with_boundary(BOUNDARY);
        for (is_picture, mut bytes) in parts {
            form = if is_picture {
                let content = [PNG, &bytes].concat();
                contents.push(content.clone());
                form.file("img", "a.png", content)
            } else {
                // Within the limit of a text field.
                bytes.truncate(64 * 1024);
                form.part("Content-Disposition: form-data; name=\"note\"", bytes)
            };
        }
        (form, contents)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48,
        max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_split_of_a_form_changes_what_comes_of_it(
        (form, contents) in form(),
        cuts in vec(0_usize..100_000, 0..60),
        borders in vec(0_usize..400, 0..20),
    ) {
        let body = form.bytes();
        // Many cuts near the end, where the last delimiter is.
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut % (body.len() + 1)).collect();
        cuts.extend(borders.into_iter().map(|back| body.len().saturating_sub(back)));
        cuts.sort_unstable();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let api = TestApi::new();
            let whole = upload(&api, &body, []).await;
            let expected = if contents.is_empty() { 400 } else { 200 };
            assert_eq!(whole.status, expected, "{}", whole.answer);
            assert!(whole.contents == contents);
            assert!(upload(&api, &body, cuts).await == whole);
        });
    }
}
