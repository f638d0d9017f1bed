//! One test suite for every store, and the requests that a bucket receives: the same calls to a folder, a
//! bucket of S3 and one of OSS.

use std::{
    iter,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use axum::http::HeaderValue;
use bytes::Bytes;
use chat_upload::{
    config::Config,
    store::{
        self, ContentHeaders, Error, Kept, ObjectKey, Session, Store,
        bucket::{Bucket, Connections, ONE_CALL_BYTES, PART_BYTES, Trusted},
    },
};
use sha2::{Digest as _, Sha256};

use crate::{
    bucket_double::{BucketDouble, Contents, Dialect, Fault, Operation, Recorded},
    lane::Lane,
    support::{Form, MIB, TestApi, bucket_settings, bucket_vars, path_of, png_bytes},
};

const KIB: usize = 1024;
/// Sizes around every limit, in bytes.
const SIZES: [usize; 10] = [
    1,
    64 * KIB - 1,
    64 * KIB,
    64 * KIB + 1,
    8 * MIB - 1,
    8 * MIB,
    8 * MIB + 1,
    16 * MIB,
    16 * MIB + 1,
    24 * MIB + 5,
];
/// Divides no limit, so that parts end within chunks.
const CHUNK: usize = 64 * KIB - 7;

const PICTURE: ContentHeaders = ContentHeaders {
    content_type: HeaderValue::from_static("image/png"),
    disposition: None,
};
const DOCUMENT: ContentHeaders = ContentHeaders {
    content_type: HeaderValue::from_static("application/pdf"),
    disposition: Some(HeaderValue::from_static("attachment; filename=\"a.pdf\"")),
};

impl Lane {
    fn session(&self) -> Session {
        self.api().store().session(None, None).unwrap()
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::parse(format!("images/20260102/{name}")).unwrap()
}

async fn write(session: &Session, name: &str, content: &Bytes) -> Result<store::Writer, Error> {
    let is_document = name.ends_with(".pdf");
    let mut writer = session.writer(content.len() as u64);
    writer.start(key(name), if is_document { DOCUMENT } else { PICTURE });
    for chunk in content.chunks(CHUNK) {
        writer.write(content.slice_ref(chunk)).await?;
    }
    Ok(writer)
}

async fn put(session: &Session, name: &str, content: &Bytes) -> Result<Kept, Error> {
    write(session, name, content).await?.finish().await
}

/// Stores one object permanently.
async fn keep(session: Session, name: &str, content: &Bytes) {
    let object = put(&session, name, content).await.unwrap();
    session.keep(vec![object]).await.unwrap();
}

#[tokio::test]
async fn every_store_holds_what_it_was_given_at_sizes_around_every_limit() {
    let all = Bytes::from(png_bytes(24 * MIB + 5));
    for lane in Lane::each(&[]).await {
        for size in SIZES {
            let content = all.slice(all.len() - size..);
            keep(lane.session(), &format!("{size}.png"), &content).await;
            let stored = lane.bytes(key(&format!("{size}.png")).as_str());
            // Not `assert_eq!`, which would print megabytes.
            assert!(stored == content, "{}: {size} bytes", lane.kind());
        }
        assert_eq!(lane.keys().len(), SIZES.len(), "{}", lane.kind());
    }
}

#[tokio::test]
async fn up_to_8_mib_is_one_put_of_known_length_and_more_is_parts_of_5_mib() {
    let all = Bytes::from(png_bytes(24 * MIB + 5));
    for size in SIZES {
        let lane = Lane::s3(&[]).await;
        keep(lane.session(), "a.png", &all.slice(..size)).await;
        let mut sent = lane.bucket().requests();
        sent.sort_by_key(part_number);
        let sent: Vec<_> = sent.iter().map(|r| (r.operation, length(r))).collect();
        assert_eq!(sent, expected_calls(size), "{size} bytes");
    }
}

/// Returns the calls that store an object of `size` bytes and their Content-Length, 0 for calls without
/// content: ordered by part, with calls without a part around them.
fn expected_calls(size: usize) -> Vec<(Operation, usize)> {
    if size <= ONE_CALL_BYTES {
        return vec![(Operation::Put, size)];
    }
    // The last mebibyte is held back when a part is sent.
    let count = (size - MIB).div_ceil(PART_BYTES) - 1;
    let full = iter::repeat_n(PART_BYTES, count);
    let parts = full.chain([size - count * PART_BYTES]);
    iter::once((Operation::CreateUpload, 0))
        .chain(parts.map(|size| (Operation::UploadPart, size)))
        .chain([(Operation::CompleteUpload, 0)])
        .collect()
}

fn length(request: &Recorded) -> usize {
    let announced = request.header("content-length").unwrap_or("0");
    match request.operation {
        Operation::Put | Operation::UploadPart => {
            let length = announced.parse().unwrap();
            assert_eq!(request.received(), length as u64);
            length
        }
        _ => 0,
    }
}

fn part_number(request: &Recorded) -> u32 {
    let mut pairs = request.uri.query().unwrap_or_default().split('&');
    let number = pairs.find_map(|pair| pair.strip_prefix("partNumber="));
    match (request.operation, number) {
        (_, Some(number)) => number.parse().unwrap(),
        (Operation::CompleteUpload, None) => u32::MAX,
        (_, None) => 0,
    }
}

#[tokio::test]
async fn an_object_knows_its_type_and_a_document_is_for_saving() {
    for lane in Lane::buckets(&[]).await {
        let saved_as = Some("attachment; filename=\"a.pdf\"");
        for (name, mime, size, disposition) in [
            ("a.png", "image/png", 10, None),
            ("b.png", "image/png", ONE_CALL_BYTES + 1, None),
            ("a.pdf", "application/pdf", 10, saved_as),
            ("b.pdf", "application/pdf", ONE_CALL_BYTES + 1, saved_as),
        ] {
            keep(lane.session(), name, &vec![7; size].into()).await;
            let object = &lane.bucket().objects()[key(name).as_str()];
            assert_eq!(object.content_type.as_deref(), Some(mime), "{name}");
            assert_eq!(object.content_disposition.as_deref(), disposition, "{name}");
        }
    }
}

/// Returns all requests that store one small and one large object.
async fn requests_of_both_ways(bucket: &BucketDouble, store: &Store) -> Vec<Recorded> {
    for size in [10, ONE_CALL_BYTES + 1] {
        let name = format!("{size}.png");
        let (session, content) = (store.session(None, None).unwrap(), png_bytes(size).into());
        keep(session, &name, &content).await;
        assert!(bucket.objects()[key(&name).as_str()].bytes == content);
    }
    bucket.requests()
}

async fn requests_to(dialect: Dialect) -> Vec<Recorded> {
    let lane = Lane::over(dialect, &[]).await;
    requests_of_both_ways(lane.bucket(), lane.api().store()).await
}

#[tokio::test]
async fn a_bucket_is_told_in_its_own_words_to_create_only() {
    const S3: &str = "if-none-match";
    const OSS: &str = "x-oss-forbid-overwrite";
    for (dialect, said, unsaid) in [
        (Dialect::S3, (S3, "*"), OSS),
        (Dialect::Oss, (OSS, "true"), S3),
    ] {
        for request in requests_to(dialect).await {
            let writes = [Operation::Put, Operation::CompleteUpload];
            let expected = writes.contains(&request.operation).then_some(said.1);
            assert_eq!(request.header(unsaid), None, "{request}");
            assert_eq!(request.header(said.0), expected, "{request}");
        }
    }
}

#[tokio::test]
async fn bodies_go_out_plain_and_unsigned_to_this_machine() {
    for dialect in [Dialect::S3, Dialect::Oss] {
        for request in requests_to(dialect).await {
            assert_plain(&request);
            if matches!(request.operation, Operation::Put | Operation::UploadPart) {
                let payload = request.header("x-amz-content-sha256");
                assert_eq!(payload, Some("UNSIGNED-PAYLOAD"), "{request}");
            }
        }
    }
}

/// Asserts no chunked framing and no checksum of AWS.
#[track_caller]
fn assert_plain(request: &Recorded) {
    for name in request.headers.keys().map(|name| name.as_str()) {
        let own = ["x-amz-checksum", "x-amz-sdk-checksum"];
        let framing = [
            "content-encoding",
            "transfer-encoding",
            "x-amz-trailer",
            "expect",
        ];
        let is_plain = !own.iter().any(|own| name.starts_with(own)) && !framing.contains(&name);
        assert!(is_plain, "{name} of {request}: {:?}", request.headers);
    }
}

#[tokio::test]
async fn oss_is_called_by_the_buckets_host_with_a_signed_payload_where_others_could_change_it() {
    let bucket = BucketDouble::start(Dialect::Oss).await;
    let mut config = Config::from_vars(bucket_vars(&bucket)).unwrap();
    let settings = bucket_settings(&mut config);
    settings.endpoint = Some("http://s3.oss-cn-hangzhou.aliyuncs.com".to_owned());
    settings.path_style = false;
    let patience = settings.timeouts.connect;
    let connections = Connections::to_address(bucket.addr(), Trusted::Nobody, patience);
    let store = Store::Bucket(Bucket::over(settings.clone(), connections).unwrap());
    let content = png_bytes(ONE_CALL_BYTES + 1);
    let (first, last) = content.split_at(PART_BYTES);
    for request in requests_of_both_ways(&bucket, &store).await {
        let host = "chat-test.s3.oss-cn-hangzhou.aliyuncs.com";
        assert_eq!(request.header("host"), Some(host), "{request}");
        assert!(request.uri.path().starts_with("/images/"), "{request}");
        assert_plain(&request);
        let payload = match (request.operation, part_number(&request)) {
            (Operation::Put, _) => sha256_hex(&png_bytes(10)),
            (Operation::UploadPart, 1) => sha256_hex(first),
            (Operation::UploadPart, _) => sha256_hex(last),
            _ => continue,
        };
        assert_eq!(request.header("x-amz-content-sha256"), Some(&*payload));
    }
}

/// In hex, as in items and signatures.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parts_in_progress(now: &Contents) -> usize {
    let is_part = |it: &&Recorded| it.in_progress && it.operation == Operation::UploadPart;
    now.requests().iter().filter(is_part).count()
}

#[tokio::test]
async fn two_parts_of_an_object_are_under_way_and_never_three() {
    let lane = Lane::s3(&[]).await;
    let bucket = lane.bucket();
    let slow = Fault::Slow(Duration::from_millis(100));
    bucket.fail(Operation::UploadPart, slow, usize::MAX);
    let content = vec![7; 5 * ONE_CALL_BYTES].into();

    let peak = AtomicUsize::new(0);
    let watch = bucket.wait_until(|now| {
        peak.fetch_max(parts_in_progress(now), Ordering::Relaxed);
        !now.objects().is_empty()
    });
    tokio::join!(keep(lane.session(), "a.mp4", &content), watch);
    assert_eq!(peak.into_inner(), 2);
}

#[tokio::test]
async fn a_writer_takes_no_more_than_three_parts_while_the_bucket_takes_none() {
    let bucket = BucketDouble::start(Dialect::S3).await;
    bucket.fail(Operation::UploadPart, Fault::Hang, usize::MAX);
    let lane = Lane::changed(Some(bucket), &[], |config| {
        bucket_settings(config).timeouts.operation = Duration::from_secs(1);
    });
    let session = lane.session();

    let mut writer = session.create(key("a.mp4"), PICTURE);
    let mut taken = 0;
    let error = loop {
        match writer.write(Bytes::from(vec![7; CHUNK])).await {
            Ok(()) => taken += CHUNK,
            Err(error) => break error,
        }
        assert!(taken <= MIB + 3 * PART_BYTES, "{taken} bytes are in memory");
    };
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    drop(writer);
    session.settle().await;
    lane.assert_holds(&[]);
}

/// Sizes at which an object is stored by one put, or in parts of which some are done.
const BOTH_WAYS: [usize; 4] = [1, 700 * KIB, 2 * ONE_CALL_BYTES, 2 * ONE_CALL_BYTES + 1];

/// Asserts that an unfinished object leaves nothing, in every store and both ways.
async fn assert_leaves_nothing(begin: impl AsyncFn(&Lane, &Session, &Bytes)) {
    for lane in Lane::each(&[]).await {
        for size in BOTH_WAYS {
            let (session, content) = (lane.session(), vec![7; size].into());
            begin(&lane, &session, &content).await;
            session.settle().await;
            lane.assert_holds(&[]);
        }
    }
}

#[tokio::test]
async fn a_dropped_writer_leaves_nothing() {
    assert_leaves_nothing(async |_, session, content| {
        drop(write(session, "a.png", content).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_writer_dropped_while_it_finishes_leaves_nothing() {
    assert_leaves_nothing(async |_, session, content| {
        let writer = write(session, "a.png", content).await.unwrap();
        let mut finishing = Box::pin(writer.finish());
        // Far enough that the work is handed over.
        assert!(futures_util::poll!(&mut finishing).is_pending());
    })
    .await;
}

#[tokio::test]
async fn an_object_stays_only_when_it_is_kept() {
    assert_leaves_nothing(async |lane, session, content| {
        let _dropped = put(session, "a.png", content).await.unwrap();
        assert_eq!(lane.keys().len(), 1, "{}", lane.kind());
    })
    .await;
}

#[tokio::test]
async fn a_store_settles_only_when_all_is_undone() {
    assert_leaves_nothing(async |lane, session, content| {
        drop(write(session, "a.png", content).await.unwrap());
        drop(put(session, "b.png", content).await.unwrap());
        lane.api().store().settle().await;
        lane.assert_holds(&[]);
    })
    .await;
}

#[tokio::test]
async fn the_files_of_a_request_become_visible_together_or_not_at_all() {
    let lane = Lane::disk(&[]);
    let session = lane.session();
    let is_visible = |name: &str| lane.keys().contains(&key(name).as_str().to_owned());
    let names = ["1.png", "2.png"];
    let content = Bytes::from_static(b"content");
    let mut whole = Vec::new();
    for name in names {
        whole.push(put(&session, name, &content).await.unwrap());
    }
    assert!(!names.into_iter().any(is_visible));
    session.keep(whole).await.unwrap();
    assert!(names.into_iter().all(is_visible));

    let mut whole = Vec::new();
    for name in ["3.png", "2.png", "4.png"] {
        whole.push(put(&session, name, &content).await.unwrap());
    }
    let error = session.keep(whole).await.expect_err("2.png is taken");
    assert!(error.is_taken());
    session.settle().await;
    assert_eq!(lane.keys().len(), 2);
    assert!(names.into_iter().all(is_visible));
}

#[tokio::test]
async fn several_objects_go_together_and_those_of_others_stay() {
    for lane in Lane::each(&[]).await {
        keep(lane.session(), "other.png", &"other".into()).await;
        let session = lane.session();
        let mut kept = Vec::new();
        for (name, size) in [("1.png", 5), ("2.mp4", ONE_CALL_BYTES + 1), ("3.png", 5)] {
            let content = vec![7; size].into();
            kept.push(put(&session, name, &content).await.unwrap());
        }
        assert_eq!(lane.keys().len(), 4, "{}", lane.kind());
        drop(kept);
        session.settle().await;
        lane.assert_holds(&[key("other.png").as_str()]);
    }
}

#[tokio::test]
async fn what_another_has_stored_under_a_key_is_neither_replaced_nor_removed() {
    for lane in Lane::each(&[]).await {
        keep(lane.session(), "a.png", &"first".into()).await;
        for size in BOTH_WAYS {
            let session = lane.session();
            let content = vec![7; size].into();
            let put = async {
                let object = put(&session, "a.png", &content).await?;
                session.keep(vec![object]).await
            };
            let error = put.await.expect_err("the key is taken");
            let expected = match lane.bucket {
                None => matches!(error, Error::Disk { .. }),
                Some(_) => matches!(error, Error::Refused { .. }),
            };
            assert!(expected, "{}: {error}", lane.kind());
            session.settle().await;
            let taken = key("a.png");
            lane.assert_holds(&[taken.as_str()]);
            assert_eq!(lane.bytes(taken.as_str()), "first", "{}", lane.kind());
        }
    }
}

#[tokio::test]
async fn a_document_is_saved_under_its_name() {
    let bucket = BucketDouble::start(Dialect::Oss).await;
    let api = TestApi::with_bucket(&bucket, &[("UPLOAD_CACHE_CONTROL", "private, no-store")]);
    let reply = api.upload(&Form::img("账单 1.md", "# Rent")).await;
    let object = &bucket.objects()[path_of(&reply.item())];
    assert_eq!(object.content_type.as_deref(), Some("text/plain"));
    let saved_as = "attachment; filename=\"___1.md\"; \
                    filename*=UTF-8''%E8%B4%A6%E5%8D%95%201.md";
    assert_eq!(object.content_disposition.as_deref(), Some(saved_as));
    assert_eq!(object.cache_control.as_deref(), Some("private, no-store"));
}
