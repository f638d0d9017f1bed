//! Tests the double with the real SDK, so that other tests can rely on it.

use std::error::Error;
use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation,
    ResponseChecksumValidation,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder;
use aws_sdk_s3::operation::copy_object::builders::CopyObjectFluentBuilder;
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::operation::head_object::builders::HeadObjectFluentBuilder;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::operation::list_parts::ListPartsOutput;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, MetadataDirective};
use bytes::Bytes;
use chat_upload::store::bucket::{Connections, Trusted};
use hyper::{Request, Uri};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{BUCKET, BucketDouble, Contents, Dialect, Fault, KEY_ID, Object, Operation, SECRET};
use crate::support::send;

const MIB: usize = 1024 * 1024;
const KEY: &str = "images/20260102/é 1.png";

/// The settings of the program, but without retries.
fn settings(endpoint: &str, key_id: &str, secret: &str, token: Option<&str>) -> Builder {
    let credentials = Credentials::new(key_id, secret, token.map(str::to_owned), None, "test");
    Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .http_client(Connections::new(Trusted::Nobody, Duration::from_secs(3)))
        .endpoint_url(endpoint)
        .region(Region::new("cn-hangzhou"))
        .credentials_provider(credentials)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .force_path_style(true)
}

/// A bucket and its client.
async fn started(dialect: Dialect) -> (BucketDouble, Client) {
    let bucket = BucketDouble::start(dialect).await;
    let settings = settings(&bucket.endpoint(), KEY_ID, SECRET, None);
    (bucket, Client::from_conf(settings.build()))
}

/// Returns status and error code of a response, `None` without a readable one.
fn answered<T, E>(result: Result<T, SdkError<E>>) -> Option<(u16, String)>
where
    T: Debug,
    E: ProvideErrorMetadata + Error + 'static,
{
    let error = result.expect_err("this request fails");
    let status = error.raw_response()?.status().as_u16();
    Some((status, error.code().unwrap_or_default().to_owned()))
}

#[track_caller]
fn assert_s3_error<T, E>(result: Result<T, SdkError<E>>, status: u16, code: &str)
where
    T: Debug,
    E: ProvideErrorMetadata + Error + 'static,
{
    assert_eq!(answered(result), Some((status, code.to_owned())));
}

fn put(client: &Client, body: impl Into<Bytes>) -> PutObjectFluentBuilder {
    let request = client.put_object().bucket(BUCKET).key(KEY);
    request.body(body.into().into())
}

fn get(client: &Client) -> GetObjectFluentBuilder {
    client.get_object().bucket(BUCKET).key(KEY)
}

fn head(client: &Client) -> HeadObjectFluentBuilder {
    client.head_object().bucket(BUCKET).key(KEY)
}

async fn bytes(body: ByteStream) -> Bytes {
    body.collect().await.expect("a whole body").into_bytes()
}

async fn create(client: &Client, key: &str) -> String {
    let request = client.create_multipart_upload().bucket(BUCKET).key(key);
    let request = request
        .content_type("image/png")
        .content_disposition("inline");
    let created = request.send().await.expect("an upload");
    created.upload_id.expect("an id")
}

async fn upload_part(client: &Client, id: &str, number: i32, bytes: Bytes) -> CompletedPart {
    let request = client.upload_part().bucket(BUCKET).key(KEY).upload_id(id);
    let request = request.part_number(number).body(ByteStream::from(bytes));
    let part = request.send().await.expect("a part");
    CompletedPart::builder()
        .part_number(number)
        .set_e_tag(part.e_tag)
        .build()
}

fn complete(
    client: &Client,
    id: &str,
    parts: Vec<CompletedPart>,
) -> CompleteMultipartUploadFluentBuilder {
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts));
    let request = client.complete_multipart_upload().bucket(BUCKET).key(KEY);
    request.upload_id(id).multipart_upload(parts.build())
}

#[tokio::test]
async fn what_is_put_is_got_byte_for_byte() {
    let (bucket, client) = started(Dialect::S3).await;
    let all: Bytes = (0..=255).cycle().take(200_000).collect();

    let request = put(&client, all.clone()).content_type("image/png");
    let put = request.send().await.expect("stored");

    let got = get(&client).send().await.expect("got");
    assert_eq!(got.content_type.as_deref(), Some("image/png"));
    assert_eq!(got.e_tag, put.e_tag);
    assert_eq!(bytes(got.body).await, all);

    let range = get(&client).range("bytes=10-19").send().await;
    let range = range.expect("a range");
    assert_eq!(range.content_range.as_deref(), Some("bytes 10-19/200000"));
    assert_eq!(bytes(range.body).await, all.slice(10..20));

    let head = head(&client).send().await.expect("described");
    assert_eq!(head.content_length, Some(200_000));
    assert_eq!(bucket.objects()[KEY].bytes, all);

    let first = &bucket.requests()[0];
    assert_eq!((first.operation, first.status), (Operation::Put, Some(200)));
    assert_eq!(first.method, "PUT");
    assert_eq!((first.key.as_str(), first.received()), (KEY, 200_000));
    assert_eq!(first.key_id.as_deref(), Some(KEY_ID));
    assert_eq!(first.header("content-length"), Some("200000"));

    let delete = client.delete_object().bucket(BUCKET).key(KEY);
    delete.send().await.expect("deleted");
    bucket.assert_nothing_left();
}

#[tokio::test]
async fn a_wrong_secret_key_or_session_token_is_403() {
    let bucket = BucketDouble::start(Dialect::S3).await;
    bucket.allow("STS.key", "its-secret", Some("its+token/="));
    let client = |key_id: &str, secret: &str, token: Option<&str>| {
        Client::from_conf(settings(&bucket.endpoint(), key_id, secret, token).build())
    };
    let table = [
        (KEY_ID, "wrong", None, "SignatureDoesNotMatch"),
        ("NOBODY", SECRET, None, "InvalidAccessKeyId"),
        (KEY_ID, SECRET, Some("stray"), "InvalidToken"),
        ("STS.key", "its-secret", None, "AccessDenied"),
        ("STS.key", "its-secret", Some("other"), "InvalidToken"),
    ];
    for (key_id, secret, token, code) in table {
        let client = client(key_id, secret, token);
        // More than the connection's buffers take.
        assert_s3_error(put(&client, vec![1; 4 * MIB]).send().await, 403, code);
    }
    bucket.assert_nothing_left();

    let client = client("STS.key", "its-secret", Some("its+token/="));
    put(&client, "x").send().await.expect("stored");
}

#[tokio::test]
async fn an_upload_in_parts_becomes_one_object() {
    let (bucket, client) = started(Dialect::S3).await;
    let id = create(&client, KEY).await;
    let (first, second) = (Bytes::from(vec![1; 5 * MIB]), Bytes::from_static(b"end"));

    // Out of order, as parallel parts arrive.
    let part2 = upload_part(&client, &id, 2, second.clone()).await;
    let part1 = upload_part(&client, &id, 1, first.clone()).await;
    let held = (bucket.open_uploads(), bucket.part_bytes());
    assert_eq!(held, (1, 5 * MIB + 3));
    let list = client.list_parts().bucket(BUCKET).key(KEY).upload_id(&id);
    let list = list.send().await.expect("listed");
    assert_eq!(list.parts().len(), 2);

    let turned = vec![part2.clone(), part1.clone()];
    let result = complete(&client, &id, turned).send().await;
    assert_s3_error(result, 400, "InvalidPartOrder");
    let result = complete(&client, &id, vec![part1, part2]).send().await;
    result.expect("completed");

    let object = bucket.objects()[KEY].clone();
    assert_eq!(object.bytes, [first, second].concat());
    assert_eq!(object.content_type.as_deref(), Some("image/png"));
    assert_eq!(object.content_disposition.as_deref(), Some("inline"));
    assert!(object.etag.ends_with("-2"));
    assert_eq!(bucket.open_uploads(), 0);
}

#[tokio::test]
async fn small_parts_are_refused_but_for_the_last() {
    let (bucket, client) = started(Dialect::S3).await;
    let id = create(&client, KEY).await;
    let small = Bytes::from(vec![1; 5 * MIB - 1]);
    let parts = vec![
        upload_part(&client, &id, 1, small.clone()).await,
        upload_part(&client, &id, 2, small).await,
    ];
    let result = complete(&client, &id, parts).send().await;
    assert_s3_error(result, 400, "EntityTooSmall");
    assert_eq!(bucket.open_uploads(), 1);
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing() {
    let (bucket, client) = started(Dialect::Oss).await;
    let id = create(&client, KEY).await;
    upload_part(&client, &id, 1, Bytes::from_static(b"x")).await;
    let abort = client.abort_multipart_upload().bucket(BUCKET).key(KEY);
    let aborted = abort.upload_id(&id).send();
    let (aborted, ()) = tokio::join!(
        aborted,
        bucket.wait_until(|now| now.open_uploads() == 0 && now.part_bytes() == 0)
    );
    aborted.expect("aborted");
    bucket.assert_nothing_left();
    let result = complete(&client, &id, Vec::new()).send().await;
    assert_s3_error(result, 404, "NoSuchUpload");
}

#[tokio::test]
async fn s3_writes_once_with_if_none_match() {
    let (bucket, client) = started(Dialect::S3).await;
    let once = |body| put(&client, body).if_none_match("*");
    once("first").send().await.expect("stored");
    assert_s3_error(once("second").send().await, 412, "PreconditionFailed");
    assert_eq!(bucket.objects()[KEY].bytes, "first");

    let id = create(&client, KEY).await;
    let part = upload_part(&client, &id, 1, Bytes::from_static(b"x")).await;
    let request = complete(&client, &id, vec![part]);
    let result = request.if_none_match("*").send().await;
    assert_s3_error(result, 412, "PreconditionFailed");
}

#[tokio::test]
async fn oss_writes_once_with_its_own_header_only() {
    let (bucket, client) = started(Dialect::Oss).await;
    let result = put(&client, "").if_none_match("*").send().await;
    assert_s3_error(result, 501, "NotImplemented");

    let once = |body| {
        let request = put(&client, body).customize();
        request.mutate_request(|request| {
            let headers = request.headers_mut();
            headers.insert("x-oss-forbid-overwrite", "true");
        })
    };
    once("first").send().await.expect("stored");
    assert_s3_error(once("second").send().await, 409, "FileAlreadyExists");
    assert_eq!(bucket.objects()[KEY].bytes, "first");
}

#[tokio::test]
async fn oss_refuses_bodies_with_trailers() {
    let bucket = BucketDouble::start(Dialect::Oss).await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), vec![1; MIB]).expect("written");
    // A streamed body gets a trailer by default.
    let settings = settings(&bucket.endpoint(), KEY_ID, SECRET, None)
        .request_checksum_calculation(RequestChecksumCalculation::WhenSupported);
    let client = Client::from_conf(settings.build());
    let body = ByteStream::read_from().path(file.path()).build().await;
    let request = client.put_object().bucket(BUCKET).key(KEY);
    let result = request.body(body.expect("a body")).send().await;
    assert_s3_error(result, 400, "InvalidArgument");
    bucket.assert_nothing_left();
}

fn copy(client: &Client) -> CopyObjectFluentBuilder {
    let request = client.copy_object().bucket(BUCKET).key("copy");
    request.copy_source("chat-test/images/20260102/%C3%A9%201.png")
}

fn etag(bucket: &BucketDouble, key: &str) -> String {
    format!("\"{}\"", bucket.objects()[key].etag)
}

#[tokio::test]
async fn a_copy_can_depend_on_its_source() {
    let (bucket, client) = started(Dialect::S3).await;
    put(&client, "x").send().await.expect("stored");
    let etag = etag(&bucket, KEY);
    let result = copy(&client).copy_source_if_match("\"other\"").send().await;
    assert_s3_error(result, 412, "PreconditionFailed");
    let result = copy(&client).copy_source_if_match(&etag).send().await;
    result.expect("copied");
    assert_eq!(bucket.objects()["copy"].bytes, "x");
}

#[tokio::test]
async fn a_copy_is_described_anew_and_never_inherits_an_acl() {
    let (bucket, client) = started(Dialect::S3).await;
    let object = Object {
        bytes: "x".into(),
        content_type: Some("text/html".into()),
        acl: Some("public-read".into()),
        ..Object::default()
    };
    bucket.plant(KEY, object);
    copy(&client).send().await.expect("copied");
    let plain = bucket.objects()["copy"].clone();
    assert_eq!(plain.content_type.as_deref(), Some("text/html"));
    assert_eq!(plain.acl, None);

    let request = copy(&client).metadata_directive(MetadataDirective::Replace);
    let request = request.content_type("application/pdf");
    let request = request.content_disposition("attachment");
    request.send().await.expect("copied");
    let described = bucket.objects()["copy"].clone();
    assert_eq!(described.content_type.as_deref(), Some("application/pdf"));
    assert_eq!(described.content_disposition.as_deref(), Some("attachment"));
    assert_eq!(described.bytes, "x");
}

#[tokio::test]
async fn a_copy_has_a_largest_size_but_a_copied_part_has_not() {
    let (bucket, client) = started(Dialect::S3).await;
    let large = put(&client, vec![1; 5 * MIB + 3]).send().await;
    large.expect("stored");
    bucket.limit_copies(5 * MIB);
    assert_s3_error(copy(&client).send().await, 400, "InvalidRequest");

    let id = create(&client, "copy").await;
    let etag = etag(&bucket, KEY);
    let part = |number: i32, range: &str, etag: &str| {
        let request = client.upload_part_copy().bucket(BUCKET).key("copy");
        let source = "chat-test/images/20260102/%C3%A9%201.png";
        let request = request.copy_source(source).copy_source_range(range);
        let request = request.copy_source_if_match(etag);
        request.upload_id(&id).part_number(number).send()
    };
    let last = format!("bytes={}-{}", 5 * MIB, 5 * MIB + 2);
    for (range, etag, status, code) in [
        ("bytes=0-5242883", etag.as_str(), 400, "InvalidArgument"),
        ("bytes=3-2", &etag, 400, "InvalidArgument"),
        ("bytes=0-", &etag, 400, "InvalidArgument"),
        ("0-1", &etag, 400, "InvalidArgument"),
        (&last, "\"other\"", 412, "PreconditionFailed"),
    ] {
        let result = part(1, range, etag).await;
        assert_eq!(answered(result), Some((status, code.to_owned())), "{range}");
    }
    let mut parts = Vec::new();
    for (number, range) in [(1, "bytes=0-5242879"), (2, last.as_str())] {
        let copied = part(number, range, &etag).await.expect("copied");
        let etag = copied.copy_part_result.expect("a result").e_tag;
        let part = CompletedPart::builder().part_number(number).set_e_tag(etag);
        parts.push(part.build());
    }
    let request = complete(&client, &id, parts).key("copy");
    request.send().await.expect("completed");
    let objects = bucket.objects();
    assert_eq!(objects["copy"].bytes, objects[KEY].bytes);
    let kinds = bucket.requests();
    let copies = kinds.iter().filter(|r| r.operation == Operation::CopyPart);
    assert_eq!(copies.count(), 7);
}

#[tokio::test]
async fn reading_can_depend_on_what_is_read() {
    let (bucket, client) = started(Dialect::Oss).await;
    put(&client, "0123456789").send().await.expect("stored");
    let etag = etag(&bucket, KEY);
    let get = get(&client).range("bytes=0-3");
    let got = get.clone().if_match(&etag).send().await.expect("got");
    assert_eq!(bytes(got.body).await, "0123");
    let result = get.if_match("\"other\"").send().await;
    assert_s3_error(result, 412, "PreconditionFailed");
    let there = head(&client).if_match(&etag).send().await;
    there.expect("there");
    let result = head(&client).if_match("\"other\"").send().await;
    let refusal = answered(result).expect("an answer");
    assert_eq!(refusal.0, 412);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let (bucket, client) = started(Dialect::S3).await;
    for key in ["a/1", "a/2", "a/3", "b/1"] {
        bucket.plant(key, Object::with(key));
    }
    let list = client.list_objects_v2().bucket(BUCKET);
    let list = list.prefix("a/").max_keys(2);
    let first = list.clone().send().await.expect("listed");
    let keys = |page: &ListObjectsV2Output| {
        let keys = page.contents().iter().filter_map(|object| object.key());
        (keys.collect::<Vec<_>>().join(" "), page.is_truncated)
    };
    assert_eq!(keys(&first), ("a/1 a/2".to_owned(), Some(true)));
    assert_eq!(first.contents()[0].size, Some(3));
    let token = first.next_continuation_token.expect("a token");
    let second = list.continuation_token(token).send().await;
    assert_eq!(
        keys(&second.expect("listed")),
        ("a/3".to_owned(), Some(false))
    );

    let id = create(&client, KEY).await;
    for number in [1, 2, 10_000] {
        upload_part(&client, &id, number, Bytes::from_static(b"x")).await;
    }
    let list = client.list_parts().bucket(BUCKET).key(KEY);
    let list = list.upload_id(&id).max_parts(2);
    let numbers = |page: &ListPartsOutput| {
        let numbers = page.parts().iter().filter_map(|part| part.part_number);
        (numbers.collect::<Vec<_>>(), page.is_truncated)
    };
    let first = list.clone().send().await.expect("listed");
    assert_eq!(numbers(&first), (vec![1, 2], Some(true)));
    let marker = first.next_part_number_marker.expect("a marker");
    let second = list.part_number_marker(marker).send().await;
    assert_eq!(
        numbers(&second.expect("listed")),
        (vec![10_000], Some(false))
    );
}

#[tokio::test]
async fn who_may_not_list_is_not_told_what_is_missing() {
    let (bucket, client) = started(Dialect::S3).await;
    let status_of_missing = async || {
        let head = head(&client).key("no").send().await;
        let get = get(&client).key("no").send().await;
        let copied = copy(&client).send().await;
        let answers = [answered(head), answered(get), answered(copied)];
        let [head, get, copied] = answers.map(|answer| answer.expect("an answer"));
        (head.0, get.1, copied.0)
    };
    let list = |prefix: &str| {
        let list = client.list_objects_v2().bucket(BUCKET);
        list.prefix(prefix).send()
    };
    let missing = (404, "NoSuchKey".to_owned(), 404);
    assert_eq!(status_of_missing().await, missing);
    list("other/").await.expect("listed");

    bucket.list_only(&["images/", "pending/"]);
    let hidden = (403, "AccessDenied".to_owned(), 403);
    assert_eq!(status_of_missing().await, hidden);
    list("images/2026").await.expect("listed");
    for prefix in ["other/", "", "image"] {
        assert_s3_error(list(prefix).await, 403, "AccessDenied");
    }
    put(&client, "x").send().await.expect("stored");
    head(&client).send().await.expect("there");

    bucket.list_only(&[]);
    assert_s3_error(list("images/").await, 403, "AccessDenied");
}

#[tokio::test]
async fn an_object_is_swapped_just_before_a_request() {
    let (bucket, client) = started(Dialect::S3).await;
    put(&client, "first").send().await.expect("stored");
    let before = etag(&bucket, KEY);
    bucket.fail(Operation::Copy, Fault::SwapFirst(b"other"), 1);
    let result = copy(&client).copy_source_if_match(&before).send().await;
    assert_s3_error(result, 412, "PreconditionFailed");
    assert_eq!(bucket.objects()[KEY].bytes, "other");
    bucket.fail(Operation::Get, Fault::SwapFirst(b"third"), 1);
    let got = get(&client).send().await.expect("got");
    assert_eq!(bytes(got.body).await, "third");
}

#[tokio::test]
async fn a_presigned_part_is_taken_until_its_url_expires() {
    let (bucket, client) = started(Dialect::S3).await;
    let id = create(&client, KEY).await;
    let presigned = async |signed_ago: u64| {
        let expiry = PresigningConfig::builder()
            .start_time(SystemTime::now() - Duration::from_secs(signed_ago))
            .expires_in(Duration::from_secs(60));
        let part = client.upload_part().bucket(BUCKET).key(KEY).upload_id(&id);
        let signed = part
            .part_number(3)
            .presigned(expiry.build().expect("a minute"));
        signed.await.expect("signed").uri().to_owned()
    };
    let put = async |uri: String| {
        let request = Request::put(uri).body("part".into()).expect("a request");
        send(bucket.addr(), request).await
    };
    let good = presigned(30).await;
    let late = put(presigned(61).await).await;
    assert_eq!(late.status, 403);
    let text = String::from_utf8_lossy(&late.body).into_owned();
    assert!(text.contains("Request has expired"), "{text}");
    let another = put(good.replace("partNumber=3", "partNumber=4")).await;
    assert_eq!(another.status, 403);
    assert_eq!(bucket.part_bytes(), 0);
    let stored = put(good).await;
    assert_eq!(stored.status, 200);
    assert!(stored.headers.contains_key("etag"));
    assert_eq!(bucket.part_bytes(), 4);
}

/// Presigns a PUT for this endpoint.
async fn presigned_put(endpoint: &str, path_style: bool) -> Uri {
    let settings = settings(endpoint, KEY_ID, SECRET, None).force_path_style(path_style);
    let client = Client::from_conf(settings.build());
    let expiry = PresigningConfig::expires_in(Duration::from_secs(60)).expect("a minute");
    let request = client.put_object().bucket(BUCKET).key(KEY);
    let presigned = request.presigned(expiry).await.expect("signed");
    presigned.uri().parse().expect("a URI")
}

/// Sends a presigned PUT to the double under the host it was signed for, with
/// the bytes of `body` instead of all ten.
async fn send_put(bucket: &BucketDouble, uri: &Uri, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(bucket.addr()).await.expect("connected");
    let target = uri.path_and_query().expect("a path");
    let host = uri.authority().expect("a host");
    let request =
        format!("PUT {target} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 10\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

#[tokio::test]
async fn presigned_urls_work_under_the_clouds_own_hosts() {
    let bucket = BucketDouble::start(Dialect::Oss).await;
    let table = [
        ("https://s3.oss-cn-hangzhou.aliyuncs.com", false, 200),
        ("https://s3.oss-cn-hangzhou.aliyuncs.com", true, 403),
        ("https://s3.us-east-1.amazonaws.com", false, 200),
        ("https://cdn.example", false, 200),
        ("https://cdn.example", true, 200),
    ];
    for (number, (endpoint, path_style, expected)) in table.into_iter().enumerate() {
        let uri = presigned_put(endpoint, path_style).await;
        let _connection = send_put(&bucket, &uri, "ten bytes.").await;
        bucket
            .wait_until(|now| now.requests().len() > number && now.is_idle())
            .await;
        let last = bucket.requests().pop().expect("a request");
        let name = format!("{endpoint}, path style {path_style}");
        assert_eq!(last.status, Some(expected), "{name}");
        let query = last.uri.query().expect("signed");
        assert!(query.contains("X-Amz-Signature="), "{name}");
        assert_eq!(last.key, KEY, "{name}");
        assert_eq!(last.key_id.as_deref(), Some(KEY_ID), "{name}");
    }
    assert_eq!(bucket.objects().keys().collect::<Vec<_>>(), [KEY]);
}

#[tokio::test]
async fn a_client_that_leaves_within_its_body_stores_nothing() {
    let bucket = BucketDouble::start(Dialect::S3).await;
    let uri = presigned_put(&bucket.endpoint(), true).await;
    let connection = send_put(&bucket, &uri, "half.").await;
    let half_is_there = |now: &Contents| now.requests().iter().any(|r| r.received() == 5);
    bucket.wait_until(half_is_there).await;
    drop(connection);
    bucket.wait_until(Contents::is_idle).await;
    bucket.assert_nothing_left();
}

#[tokio::test]
async fn a_planned_status_strikes_as_often_as_told() {
    let (bucket, client) = started(Dialect::S3).await;
    bucket.fail(Operation::Get, Fault::Status(500, "InternalError"), 1);
    bucket.fail(Operation::Put, Fault::Status(503, "SlowDown"), 2);
    for _ in 0..2 {
        assert_s3_error(put(&client, "x").send().await, 503, "SlowDown");
    }
    bucket.assert_nothing_left();
    put(&client, "x").send().await.expect("stored");
    let statuses: Vec<_> = bucket.requests().iter().map(|r| r.status).collect();
    assert_eq!(statuses, [Some(503), Some(503), Some(200)]);
}

#[tokio::test]
async fn cut_requests_and_answers_leave_the_client_without_an_answer() {
    for (fault, stored, megabytes) in [
        (Fault::CutMidBody, false, 4),
        (Fault::HalfAnswer, false, 8),
        (Fault::DoneButHalfAnswer, true, 8),
    ] {
        let (bucket, client) = started(Dialect::S3).await;
        bucket.fail(Operation::Any, fault, 1);
        let result = put(&client, vec![1; 8 * MIB]).send().await;
        assert_eq!(answered(result), None, "{fault:?}");
        assert_eq!(bucket.objects().contains_key(KEY), stored, "{fault:?}");
        let first = bucket.requests().remove(0);
        assert_eq!(first.status, None, "{fault:?}");
        assert_eq!(first.received() / MIB as u64, megabytes, "{fault:?}");
        let next = put(&client, "x").send().await;
        next.expect("the next one is healthy");
    }
}

#[tokio::test]
async fn a_half_answer_with_a_body_ends_within_it() {
    let (bucket, client) = started(Dialect::S3).await;
    put(&client, vec![1; 1000]).send().await.expect("stored");
    bucket.fail(Operation::Get, Fault::HalfAnswer, 1);
    let got = get(&client).send().await;
    let mut body = got.expect("a head").body;
    let first = body.try_next().await.expect("half");
    assert_eq!(first.expect("half").len(), 500);
    body.try_next().await.expect_err("the other half");
}

#[tokio::test]
async fn a_slow_answer_is_right_and_a_hanging_one_never_comes() {
    let (bucket, client) = started(Dialect::S3).await;
    let delay = Duration::from_millis(100);
    bucket.fail(Operation::Put, Fault::Slow(delay), 1);
    let start = Instant::now();
    put(&client, "x").send().await.expect("stored");
    assert!(start.elapsed() >= delay);

    bucket.fail(Operation::Put, Fault::Hang, usize::MAX);
    let hanging = tokio::spawn(async move { answered(put(&client, "y").send().await) });
    bucket
        .wait_until(|now| now.requests().len() == 2 && now.requests()[1].received() == 1)
        .await;
    assert!(!hanging.is_finished());
    drop(bucket);
    assert_eq!(hanging.await.expect("no panic"), None);
}
