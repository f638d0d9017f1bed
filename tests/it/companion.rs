//! The S3 routes of Uppy's Companion, called as `@uppy/aws-s3` calls them: their responses, which
//! uploads a caller may use, and that the client's parts become one checked object.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, Request},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::{
    bucket_double::{BucketDouble, Contents, DENIED, Dialect, Fault, Operation},
    drivers::rows,
    lane::{COMPLETE, Lane, SIGNING, fields, lasting, target},
    support::{
        MIB, PNG, Reply, RequestExt as _, assert_has, empty, get, path_of, png_bytes, post, send,
    },
    tokens::JWT,
};

const LARGE: usize = 11 * MIB + 3;

/// A multipart upload, as its client knows it.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) id: String,
}

impl Upload {
    /// Parses the response that creates it.
    pub(crate) fn from_answer(reply: &Reply) -> Self {
        let begun = bare(reply);
        let text = |name: &str| begun[name].as_str().expect("text").to_owned();
        Self {
            key: text("key"),
            id: text("uploadId"),
        }
    }

    pub(crate) fn path(&self, more: &str) -> String {
        let encoded: String = form_urlencoded::byte_serialize(self.id.as_bytes()).collect();
        let key: String = form_urlencoded::byte_serialize(self.key.as_bytes()).collect();
        let glue = if more.contains('?') { '&' } else { '?' };
        format!("/s3/multipart/{encoded}{more}{glue}key={key}")
    }
}

/// Asserts a success without an envelope.
#[track_caller]
pub(crate) fn bare(reply: &Reply) -> Value {
    let json = reply.json();
    assert_eq!(reply.status, 200, "{json}");
    assert_eq!(json["msg"], Value::Null, "{json}");
    json
}

/// The calls of Uppy.
impl Lane {
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(get(path)).await
    }

    pub(crate) async fn begin(&self, name: &str) -> Upload {
        let file = json!({"filename": name, "type": "image/png", "metadata": {"name": name}});
        let begun = self.ask("/s3/multipart", &file).await;
        let part_bytes = if self.kind() == "oss" { MIB } else { 5 * MIB };
        assert_eq!(bare(&begun)["part_bytes"], part_bytes, "{}", self.kind());
        Upload::from_answer(&begun)
    }

    /// Sends one part to the presigned URL; returns the part as a completion lists it.
    pub(crate) async fn put_part(&self, upload: &Upload, number: usize, content: &[u8]) -> Value {
        let signed = bare(&self.get(&upload.path(&format!("/{number}"))).await);
        let reply = put(signed["url"].as_str().unwrap(), content).await;
        assert_eq!(reply.status, 200, "{}", self.kind());
        let etag = reply.header("etag").trim_matches('"').to_owned();
        json!({"PartNumber": number, "ETag": etag})
    }

    /// Sends all of it, in parts of 5 MiB.
    async fn put_parts(&self, upload: &Upload, content: &[u8]) -> Vec<Value> {
        let mut parts = Vec::new();
        for (index, part) in content.chunks(5 * MIB).enumerate() {
            parts.push(self.put_part(upload, index + 1, part).await);
        }
        parts
    }

    /// Starts the upload of a small file and sends all its parts.
    pub(crate) async fn sent(&self, content: &[u8]) -> (Upload, Vec<Value>) {
        let upload = self.begin("a.png").await;
        let parts = self.put_parts(&upload, content).await;
        (upload, parts)
    }

    /// Lists the uploaded parts.
    async fn list(&self, upload: &Upload) -> Value {
        bare(&self.get(&upload.path("")).await)
    }

    /// Completes an upload, which must succeed; returns the item.
    pub(crate) async fn done(&self, upload: &Upload, parts: &[Value]) -> Value {
        bare(&self.finish(upload, parts).await)
    }

    pub(crate) async fn finish(&self, upload: &Upload, parts: &[Value]) -> Reply {
        self.ask(&upload.path("/complete"), &json!({"parts": parts}))
            .await
    }

    pub(crate) async fn abort(&self, upload: &Upload) -> Reply {
        self.send(empty(Method::DELETE, &upload.path(""))).await
    }
}

/// Sends a `PUT` to a presigned URL, without any additional header.
pub(crate) async fn put(url: &str, content: &[u8]) -> Reply {
    let (addr, path) = target(url);
    let request = Request::put(path).body(Body::from(Bytes::copy_from_slice(content)));
    send(addr, request.unwrap()).await
}

#[tokio::test]
async fn a_file_in_parts_becomes_one_object_with_the_main_routes_item() {
    for lane in Lane::buckets(&[]).await {
        let content = png_bytes(LARGE);
        let upload = lane.begin("IMG 1.heic").await;
        assert!(upload.key.starts_with("pending/"), "{}", upload.key);
        let parts = lane.put_parts(&upload, &content).await;
        let listed = lane.list(&upload).await;
        let listed = listed.as_array().unwrap();
        assert_eq!(listed.len(), 3);
        assert_eq!(listed[0]["PartNumber"], 1);
        assert_eq!(listed[2]["Size"], LARGE - 10 * MIB);
        let etag = listed[0]["ETag"].as_str().unwrap().trim_matches('"');
        assert_eq!(parts[0]["ETag"], etag);

        let done = lane.done(&upload, &parts).await;
        let path = path_of(&done);
        let is_picture = path.starts_with("images/") && path.ends_with(".png");
        assert!(is_picture, "{path}");
        assert_eq!(done["location"], done["url"]);
        let url = format!("{}/chat-test/{path}", lane.bucket().endpoint());
        assert_eq!(done["url"], url);
        let facts = json!({
            "size": LARGE, "mime": "image/png", "name": "IMG 1.heic", "image_class_id": 0,
        });
        assert_has(&done, &facts);
        assert!(done["create_time"].is_u64() && done["recall_token"].is_string());
        lane.assert_holds(&[path]);
        assert_eq!(lane.bytes(path), content);
        let object = lane.bucket().objects()[path].clone();
        assert_eq!(object.content_type.as_deref(), Some("image/png"));
    }
}

#[tokio::test]
async fn the_shapes_are_companions() {
    for lane in Lane::buckets(&[("UPLOAD_DIRECT_SECS", "77")]).await {
        let keys =
            |json: &Value| -> Vec<String> { json.as_object().unwrap().keys().cloned().collect() };
        let asked = "/s3/params?filename=a.png&type=image%2Fpng&metadata[name]=a";
        let params = bare(&lane.get(asked).await);
        assert_eq!(params["method"], "POST");
        let is_complete = params["url"].is_string() && params["fields"]["key"].is_string();
        assert!(is_complete, "{params}");
        let expires = params["expires"].as_u64().unwrap();
        assert!((1..=77).contains(&expires), "{params}");
        let upload = lane.begin("a.png").await;
        assert_eq!(lane.list(&upload).await, json!([]));
        let signed = bare(&lane.get(&upload.path("/10000")).await);
        assert_eq!(keys(&signed), ["expires", "url"]);
        assert_eq!(signed["expires"], 77);
        let batch = bare(&lane.get(&upload.path("/batch?partNumbers=1,2,10000")).await);
        assert_eq!(keys(&batch), ["presignedUrls"]);
        assert_eq!(keys(&batch["presignedUrls"]), ["1", "10000", "2"]);
        assert_eq!(bare(&lane.abort(&upload).await), json!({}));
        lane.assert_holds(&[]);
    }
}

#[tokio::test]
async fn a_form_of_the_params_is_taken_and_completed_with_its_ticket() {
    for lane in Lane::buckets(&[]).await {
        let params = bare(&lane.get("/s3/params?filename=a.png&type=image/png").await);
        let form = fields(&json!({"formData": params["fields"]}));
        let (addr, path) = target(params["url"].as_str().unwrap());
        let reply = send(addr, form.file("file", "a.png", PNG).to(&path)).await;
        assert!(reply.status.is_success());
        let ticket = json!({"ticket": params["ticket"]});
        let item = lane.ask(COMPLETE, &ticket).await.item();
        lane.assert_holds(&[path_of(&item)]);
    }
}

#[tokio::test]
async fn a_batch_of_addresses_takes_the_parts() {
    for lane in Lane::buckets(&[]).await {
        let upload = lane.begin("a.png").await;
        let batch = bare(&lane.get(&upload.path("/batch?partNumbers=2,1")).await);
        let content = png_bytes(5 * MIB + 1);
        let mut parts = Vec::new();
        for (number, part) in [("2", &content[5 * MIB..]), ("1", &content[..5 * MIB])] {
            let reply = put(batch["presignedUrls"][number].as_str().unwrap(), part).await;
            let number: u32 = number.parse().unwrap();
            parts.push(json!({"PartNumber": number, "ETag": reply.header("etag")}));
        }
        // In the order of upload, with the quotes of the header.
        let done = lane.done(&upload, &parts).await;
        assert_eq!(lane.bytes(path_of(&done)), content);
    }
}

#[tokio::test]
async fn a_paused_upload_goes_on_with_the_parts_that_are_there() {
    for lane in Lane::buckets(&[]).await {
        let content = png_bytes(LARGE);
        let chunks: Vec<_> = content.chunks(5 * MIB).collect();
        let upload = lane.begin("a.png").await;
        lane.put_part(&upload, 1, chunks[0]).await;
        lane.put_part(&upload, 3, b"half of the last").await;
        let listed = lane.list(&upload).await;
        let numbers = [
            &listed[0]["PartNumber"],
            &listed[1]["PartNumber"],
            &listed[2],
        ];
        assert_eq!(numbers, [&json!(1), &json!(3), &Value::Null]);
        lane.put_part(&upload, 2, chunks[1]).await;
        lane.put_part(&upload, 3, chunks[2]).await;
        let listed = lane.list(&upload).await;
        let done = lane.done(&upload, listed.as_array().unwrap()).await;
        assert_eq!(lane.bytes(path_of(&done)), content);
        lane.assert_holds(&[path_of(&done)]);
    }
}

#[tokio::test]
async fn a_list_of_more_parts_than_a_page_is_whole() {
    let lane = Lane::s3(&[]).await;
    let upload = lane.begin("a.png").await;
    let numbers: Vec<_> = (1..=1000).map(|number| number.to_string()).collect();
    let batch = upload.path(&format!("/batch?partNumbers={}", numbers.join(",")));
    let urls = bare(&lane.get(&batch).await)["presignedUrls"].clone();
    let urls = numbers.iter().map(|number| urls[number].as_str().unwrap());
    let puts = futures_util::stream::iter(urls.map(|url| put(url, b"x")));
    puts.for_each_concurrent(16, async |put| drop(put.await))
        .await;
    lane.put_part(&upload, 1001, b"x").await;
    let listed = lane.list(&upload).await;
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 1001);
    assert_eq!(listed[1000]["PartNumber"], 1001);
    lane.abort(&upload).await;
    lane.assert_holds(&[]);
}

#[tokio::test]
async fn ten_thousand_parts_can_be_named() {
    let lane = Lane::s3(&[]).await;
    let upload = lane.begin("a.png").await;
    let etag = "\"0123456789abcdef0123456789abcdef\"";
    let parts: Vec<_> = (1..=10_000)
        .map(|number| json!({"PartNumber": number, "ETag": etag}))
        .collect();
    // They are missing; the bucket reported that.
    let reply = lane.finish(&upload, &parts).await;
    reply.assert_refused("upload_incomplete");
    let mut requests = lane.bucket().requests().into_iter();
    assert!(requests.any(|r| r.operation == Operation::CompleteUpload));
}

#[tokio::test]
async fn a_missing_or_changed_part_is_409_and_the_upload_goes_on() {
    for lane in Lane::buckets(&[]).await {
        let content = png_bytes(5 * MIB + 9);
        let upload = lane.begin("a.png").await;
        let first = lane.put_part(&upload, 1, &content[..5 * MIB]).await;
        let missing = json!({"PartNumber": 2, "ETag": "0123"});
        let reply = lane.finish(&upload, &[first.clone(), missing]).await;
        reply.assert_refused("upload_incomplete");
        let stale = lane.put_part(&upload, 2, b"stale").await;
        let second = lane.put_part(&upload, 2, &content[5 * MIB..]).await;
        let reply = lane.finish(&upload, &[first.clone(), stale]).await;
        reply.assert_refused("upload_incomplete");
        let done = lane.done(&upload, &[first, second]).await;
        assert_eq!(lane.bytes(path_of(&done)), content);
    }
}

#[tokio::test]
async fn completing_twice_gives_the_same_answer() {
    for lane in Lane::buckets(&[]).await {
        let (upload, parts) = lane.sent(PNG).await;
        let first = lane.done(&upload, &parts).await;
        let again = lane.done(&upload, &parts).await;
        assert_eq!(lasting(&first), lasting(&again));
        lane.assert_holds(&[path_of(&first)]);
    }
}

#[tokio::test]
async fn what_is_refused_leaves_nothing() {
    for lane in Lane::buckets(&[("UPLOAD_DIRECT_MAX_BYTES", "1000")]).await {
        for (content, code) in [
            (b"<html><script>".to_vec(), "type_refused"),
            (png_bytes(1001), "too_large"),
        ] {
            let (upload, parts) = lane.sent(&content).await;
            lane.finish(&upload, &parts).await.assert_refused(code);
            lane.assert_holds(&[]);
        }
    }
}

#[tokio::test]
async fn without_a_secret_or_a_bucket_there_are_no_parts() {
    let disk = Lane::disk(&[]);
    let unsigned = Lane::s3(&[(SIGNING.0, "")]).await;
    for lane in [disk, unsigned] {
        let upload = Upload {
            key: "pending/x".into(),
            id: "x".into(),
        };
        for path in [
            "/s3/params?filename=a".to_owned(),
            upload.path(""),
            upload.path("/1"),
            upload.path("/batch"),
        ] {
            lane.get(&path).await.assert_refused("direct_disabled");
        }
        for path in ["/s3/multipart".to_owned(), upload.path("/complete")] {
            let file = json!({"filename": "a", "type": "x"});
            let reply = lane.ask(&path, &file).await;
            reply.assert_refused("direct_disabled");
        }
        lane.abort(&upload).await.assert_refused("direct_disabled");
    }
}

#[tokio::test]
async fn a_store_that_fails_answers_with_a_message_and_can_be_tried_again() {
    let lane = Lane::s3(&[]).await;
    let bucket = lane.bucket();
    bucket.fail(Operation::CreateUpload, DENIED, 1);
    let file = json!({"filename": "a.png", "type": "image/png"});
    let reply = lane.ask("/s3/multipart", &file).await;
    reply.assert_refused("store_refused");

    let (upload, parts) = lane.sent(PNG).await;
    bucket.fail(Operation::ListParts, DENIED, 1);
    let reply = lane.get(&upload.path("")).await;
    reply.assert_refused("store_refused");
    for on in [Operation::CompleteUpload, Operation::Put] {
        bucket.fail(on, DENIED, 1);
        let reply = lane.finish(&upload, &parts).await;
        reply.assert_refused("store_refused");
    }
    let done = lane.done(&upload, &parts).await;
    lane.assert_holds(&[path_of(&done)]);

    let upload = lane.begin("a.png").await;
    bucket.fail(Operation::AbortUpload, DENIED, 1);
    lane.abort(&upload).await.assert_refused("store_refused");
    assert_eq!(bare(&lane.abort(&upload).await), json!({}));
    assert_eq!(bucket.open_uploads(), 0);
}

#[tokio::test]
async fn a_completion_whose_answer_was_lost_is_found_again() {
    let lane = Lane::s3(&[]).await;
    let (upload, parts) = lane.sent(PNG).await;
    let lost = Fault::DoneButHalfAnswer;
    lane.bucket().fail(Operation::CompleteUpload, lost, 1);
    let done = lane.done(&upload, &parts).await;
    lane.assert_holds(&[path_of(&done)]);
}

#[tokio::test]
async fn addresses_end_and_are_good_for_one_part_of_one_upload() {
    let lane = Lane::over(Dialect::S3, &[]).await;
    let upload = lane.begin("a.png").await;
    let signed = bare(&lane.get(&upload.path("/2")).await);
    let url = signed["url"].as_str().unwrap();
    for (from, to) in [
        ("partNumber=2", "partNumber=3"),
        ("uploadId=upload-1", "uploadId=upload-2"),
        ("/pending/", "/images/"),
        ("X-Amz-Expires=900", "X-Amz-Expires=90000"),
    ] {
        assert!(url.contains(from), "{url}");
        let reply = put(&url.replacen(from, to, 1), b"x").await;
        assert_eq!(reply.status, 403, "{to}");
    }
    assert_eq!(lane.bucket().part_bytes(), 0);
    assert_eq!(put(url, b"x").await.status.as_u16(), 200);
    lane.abort(&upload).await;
    lane.bucket().wait_until(Contents::is_idle).await;
    lane.assert_holds(&[]);
}

#[tokio::test]
async fn pages_may_call_these_routes() {
    let lane = Lane::s3(&[]).await;
    for (method, path) in [
        ("DELETE", "/s3/multipart/x?key=y"),
        ("GET", "/s3/params"),
        ("POST", "/s3/multipart"),
    ] {
        let request = empty(Method::OPTIONS, path)
            .header("origin", "https://chat.example.com")
            .header("access-control-request-method", method)
            .header("access-control-request-headers", "content-type,token");
        let reply = lane.send(request).await;
        let allowed = reply.header("access-control-allow-methods");
        assert!(allowed.contains(method), "{allowed}");
        let headers = reply.header("access-control-allow-headers");
        assert_eq!(headers, "content-type,token");
    }
}

#[tokio::test]
async fn class_ids_and_sizes_come_along() {
    let lane = Lane::s3(&[]).await;
    let metadata = json!({"imageClassId": 5, "name": "a"});
    let file = json!({"filename": "a.png", "type": "x", "metadata": metadata});
    let upload = Upload::from_answer(&lane.ask("/s3/multipart", &file).await);
    let parts = lane.put_parts(&upload, PNG).await;
    let done = lane.done(&upload, &parts).await;
    assert_eq!(done["image_class_id"], 5);
    for [file, code] in rows(
        r#"
        {"filename": ["a"], "type": "x"}                     | parameter_invalid
        {"filename": "a", "metadata": {"imageClassId": "x"}} | class_id_invalid
        {"filename": "a", "metadata": "x"}                   | parameter_invalid
        "#,
    ) {
        let reply = lane
            .send(post("/s3/multipart", "application/json", file))
            .await;
        reply.assert_refused(code);
    }
    assert_eq!(lane.bucket().open_uploads(), 0);
}

#[tokio::test]
async fn wrong_methods_are_405_with_a_message() {
    let lane = Lane::s3(&[]).await;
    for (method, path) in [
        (Method::POST, "/s3/params"),
        (Method::GET, "/s3/multipart"),
        (Method::PUT, "/s3/multipart/x"),
        (Method::DELETE, "/s3/multipart/x/1"),
        (Method::GET, "/s3/multipart/x/complete/y"),
    ] {
        let reply = lane.send(empty(method.clone(), path)).await;
        let status = reply.status.as_u16();
        assert!(status == 405 || status == 404, "{method} {path}: {status}");
        if status == 405 {
            reply.header("allow");
            reply.assert_refused("method_not_allowed");
        }
    }
}

#[tokio::test]
async fn without_a_token_no_body_is_read() {
    let lane = Lane::s3(&[JWT]).await;
    let more_than_is_read = "x".repeat(2 * MIB);
    for path in ["/s3/multipart", "/s3/multipart/x/complete"] {
        let file = json!({"filename": more_than_is_read});
        let reply = lane.ask(path, &file).await;
        reply.assert_refused("token_missing");
    }
}

#[tokio::test]
async fn only_a_completion_may_be_long() {
    let lane = Lane::s3(&[]).await;
    let long = json!({"filename": "x".repeat(65 * 1024)});
    let reply = lane.ask("/s3/multipart", &long).await;
    reply.assert_refused("field_too_large");
    assert_eq!(lane.bucket().open_uploads(), 0);
}

#[tokio::test]
async fn a_full_process_says_so_with_a_message() {
    let bucket = BucketDouble::start(Dialect::S3).await;
    let lane = Lane::changed(Some(bucket), &[], |config| config.api.max_in_flight = 0);
    let reply = lane.get("/s3/params?filename=a").await;
    reply.assert_refused("busy");
}

#[tokio::test]
async fn an_upload_that_was_begun_but_never_told_is_aborted() {
    for lane in Lane::buckets(&[]).await {
        let bucket = lane.bucket();
        bucket.fail(Operation::CreateUpload, Fault::DoneButHalfAnswer, 1);
        let upload = lane.begin("a.png").await;
        assert_eq!(bucket.open_uploads(), 1, "{}", lane.kind());
        bare(&lane.abort(&upload).await);
        lane.assert_holds(&[]);
    }
}

#[tokio::test]
async fn an_upload_whose_client_left_before_it_was_told_is_aborted() {
    for lane in Lane::buckets(&[]).await {
        let bucket = lane.bucket();
        let late = Fault::Slow(Duration::from_millis(200));
        bucket.fail(Operation::CreateUpload, late, 1);
        let file = json!({"filename": "a.png", "type": "image/png"});
        tokio::select! {
            reply = lane.ask("/s3/multipart", &file) => panic!("answered {}", reply.status),
            () = bucket.wait_until(|now| now.open_uploads() == 1) => {}
        }
        bucket.wait_until(|now| now.open_uploads() == 0).await;
        lane.assert_holds(&[]);
    }
}

#[tokio::test]
async fn an_abort_after_a_completion_that_failed_leaves_nothing() {
    let lane = Lane::s3(&[]).await;
    let (upload, parts) = lane.sent(PNG).await;
    lane.bucket().fail(Operation::Put, DENIED, 1);
    let reply = lane.finish(&upload, &parts).await;
    reply.assert_refused("store_refused");
    bare(&lane.abort(&upload).await);
    lane.assert_holds(&[]);
}
