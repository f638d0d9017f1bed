//! A failing bucket as the client sees it: what is answered and logged, and that a failed request leaves
//! nothing in the bucket.

use std::{io, sync::LazyLock, time::Duration};

use axum::{body::Body, http::Request};
use bytes::Bytes;
use chat_upload::{
    api::Arrival,
    store::{
        Credentials, CredentialsProvider,
        bucket::{self, ONE_CALL_BYTES, PART_BYTES},
    },
};
use futures_util::{
    StreamExt as _,
    future::{join_all, select_all},
    stream,
};
use tokio::time::Instant;

use crate::{
    bucket_double::{
        BUCKET, BucketDouble, Contents, DENIED, Dialect, Fault, KEY_ID, Operation, SECRET,
    },
    log::Log,
    support::{
        Form, MIB, PNG, Reply, RequestExt as _, TestApi, UPLOAD, announced, bucket_settings,
        path_of, png_bytes, stalled,
    },
};

use Operation::{AbortUpload, CompleteUpload, CreateUpload, Delete, Head, Put, UploadPart};

/// Size of an image stored by one PutObject.
const SMALL: usize = PNG.len();
/// Size of an image in two parts, a full one and a rest.
const LARGE: usize = ONE_CALL_BYTES + 5;
/// Size of an image in three parts.
const LARGER: usize = ONE_CALL_BYTES + 3 * MIB + 5;
const ALWAYS: usize = usize::MAX;

// Failures of the bucket, and of a slow client.
const REFUSED: &str = "store_refused";
const UNAVAILABLE: &str = "store_unavailable";
const TOO_SLOW: &str = "client_too_slow";
const TIMED_OUT: &str = "store_timeout";

const LATE: Fault = Fault::Slow(Duration::from_secs(60));
const ERROR_500: Fault = Fault::Status(500, "InternalError");

/// The calls that store a small and a large file, with a size that causes each of them.
const STEPS: [(Operation, usize); 4] = [
    (Put, MIB),
    (CreateUpload, LARGE),
    (UploadPart, LARGE),
    (CompleteUpload, LARGE),
];

/// Combines each step with each of these failures.
fn at_each_step<T: Copy, const N: usize>(
    faults: [T; N],
) -> impl Iterator<Item = ((Operation, usize), T)> {
    let steps = STEPS.into_iter();
    steps.flat_map(move |step| faults.map(|fault| (step, fault)))
}

/// Returns an image of one of the usual sizes, made once.
fn image(size: usize) -> Bytes {
    static LARGE_ONE: LazyLock<Bytes> = LazyLock::new(|| png_bytes(LARGE).into());
    match size {
        LARGE => LARGE_ONE.clone(),
        _ => png_bytes(size).into(),
    }
}

/// The Router with a bucket that can fail.
struct Scene {
    bucket: BucketDouble,
    api: TestApi,
}

impl Scene {
    async fn new() -> Self {
        Self::over(Dialect::S3, |_| {}).await
    }

    async fn over(dialect: Dialect, change: impl FnOnce(&mut bucket::Settings)) -> Self {
        let bucket = BucketDouble::start(dialect).await;
        let api = TestApi::changed(Some(&bucket), &[], |config| change(bucket_settings(config)));
        Self { bucket, api }
    }

    /// Plans this fault for the next `times` calls.
    fn failing(self, on: Operation, fault: Fault, times: usize) -> Self {
        println!("{fault:?} at {on:?}");
        self.bucket.fail(on, fault, times);
        self
    }

    /// Starts a scene with this fault for the next `times` calls.
    async fn with(on: Operation, fault: Fault, times: usize) -> Self {
        Self::new().await.failing(on, fault, times)
    }

    /// Starts a scene that signs with these keys.
    async fn signing(dialect: Dialect, key_id: &str, secret: &str, token: Option<&str>) -> Self {
        let keys = Credentials::new(key_id, secret, token.map(str::to_owned));
        let keys = keys.map(CredentialsProvider::Static);
        Self::over(dialect, |settings| settings.credentials = keys).await
    }

    /// Returns a request with its own credentials, which the bucket accepts.
    fn with_keys(&self, form: &Form, key_id: &str, token: Option<&str>) -> Request<Body> {
        let secret = format!("secret of {key_id}");
        self.bucket.allow(key_id, &secret, token);
        form.to(UPLOAD).arriving(Arrival {
            credentials: Credentials::new(key_id, secret, token.map(str::to_owned)),
            ..Arrival::default()
        })
    }

    async fn upload(&self, size: usize) -> Reply {
        self.api.upload(&Form::img("a.png", image(size))).await
    }

    #[track_caller]
    fn assert_refused(&self, reply: &Reply, failure: &str) {
        reply.assert_refused(failure);
        self.assert_opaque(reply);
        self.bucket.assert_nothing_left();
    }

    /// 5xx responses reveal nothing about the bucket, including in headers.
    #[track_caller]
    fn assert_opaque(&self, reply: &Reply) {
        let body = String::from_utf8_lossy(&reply.body);
        let answer = format!("{:?} {body}", reply.headers);
        let addr = self.bucket.addr().to_string();
        for secret in [BUCKET, &addr, KEY_ID, SECRET, "AccessDenied", "Error>"] {
            assert!(!answer.contains(secret), "{secret} in {answer}");
        }
    }

    /// Uploads an image of this size, which must be refused with this failure.
    async fn assert_refuses(&self, size: usize, failure: &str) -> Reply {
        let reply = self.upload(size).await;
        self.assert_refused(&reply, failure);
        reply
    }

    /// Uploads an image of this size, which must be stored then, and nothing else.
    async fn assert_stores(&self, size: usize) {
        let item = self.upload(size).await.item();
        let objects = self.bucket.objects();
        assert_eq!(objects.keys().collect::<Vec<_>>(), [path_of(&item)]);
        let stored = &objects[path_of(&item)].bytes;
        assert!(*stored == image(size), "other bytes");
        assert_eq!(self.bucket.open_uploads(), 0);
    }

    /// Sends a request whose client disconnects once the bucket satisfies `holds`; everything is undone then.
    async fn cancel(&self, request: Request<Body>, holds: impl Fn(&Contents) -> bool) {
        let is_time = self.bucket.wait_until(holds);
        tokio::select! {
            _ = self.api.send(request) => panic!("answered before the client went away"),
            () = is_time => {}
        }
        let is_empty = |now: &Contents| now.objects().is_empty() && now.open_uploads() == 0;
        let is_undone = |now: &Contents| is_empty(now) && now.is_idle();
        self.bucket.wait_until(is_undone).await;
    }

    fn operations(&self) -> Vec<Operation> {
        let requests = self.bucket.requests();
        requests.iter().map(|r| r.operation).collect()
    }

    fn count(&self, operation: Operation) -> usize {
        let operations = self.operations();
        operations.iter().filter(|o| **o == operation).count()
    }
}

#[tokio::test]
async fn a_failure_that_passes_is_not_noticed_by_the_client() {
    let cases = at_each_step([
        (ERROR_500, 2),
        (Fault::Slow(Duration::from_millis(50)), 1),
        (Fault::CutMidBody, 1),
        (Fault::HalfAnswer, 1),
        (Fault::DoneButHalfAnswer, 1),
    ]);
    let cases = cases.map(async |((operation, size), (fault, times))| {
        let scene = Scene::with(operation, fault, times).await;
        scene.assert_stores(size).await;
    });
    join_all(cases).await;
}

#[tokio::test]
async fn an_answer_that_never_comes_or_too_late_is_asked_for_again() {
    let cases = at_each_step([Fault::Hang, LATE]).map(async |((operation, size), fault)| {
        let scene = Scene::over(Dialect::S3, |settings| {
            settings.timeouts.attempt = Duration::from_secs(3);
        })
        .await;
        scene.failing(operation, fault, 1).assert_stores(size).await;
    });
    join_all(cases).await;
}

#[tokio::test]
async fn a_failure_that_lasts_is_told_and_leaves_nothing() {
    let cases = at_each_step([
        (DENIED, REFUSED),
        (ERROR_500, UNAVAILABLE),
        (Fault::CutMidBody, UNAVAILABLE),
        (Fault::HalfAnswer, UNAVAILABLE),
    ]);
    let cases = cases.map(async |((operation, size), (fault, failure))| {
        let scene = Scene::with(operation, fault, ALWAYS).await;
        scene.assert_refuses(size, failure).await;
    });
    join_all(cases).await;
}

#[tokio::test]
async fn a_bucket_that_answers_never_or_too_late_is_504_and_leaves_nothing() {
    // Performed at once: the unknown object must be deleted, too.
    let cases = at_each_step([Fault::Hang, LATE]).map(async |((operation, size), fault)| {
        let scene = Scene::over(Dialect::S3, |settings| {
            settings.timeouts.operation = Duration::from_secs(2);
        })
        .await
        .failing(operation, fault, ALWAYS);
        scene.assert_refuses(size, TIMED_OUT).await;
        if operation == CompleteUpload {
            // In reverse order, a late completion would create an object after its deletion.
            let sent = scene.operations();
            let undone = &sent[sent.len() - 2..];
            assert_eq!(undone, [AbortUpload, Delete]);
        }
    });
    join_all(cases).await;
}

#[tokio::test]
async fn a_bucket_that_cannot_be_reached_is_502() {
    let free_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", free_port.local_addr().unwrap());
    drop(free_port);
    for size in [SMALL, LARGE] {
        let endpoint = Some(endpoint.clone());
        let scene = Scene::over(Dialect::S3, |settings| settings.endpoint = endpoint).await;
        scene.assert_refuses(size, UNAVAILABLE).await;
    }
}

#[tokio::test]
async fn a_put_that_was_done_but_never_told_is_taken_back() {
    // The first attempt stores; every response is lost.
    let scene = Scene::with(Put, Fault::DoneButHalfAnswer, ALWAYS).await;
    scene.assert_refuses(3 * MIB, REFUSED).await;
    assert_eq!(scene.count(Delete), 1);
}

#[tokio::test]
async fn uploads_that_were_begun_but_never_told_are_aborted() {
    let scene = Scene::with(CreateUpload, Fault::DoneButHalfAnswer, ALWAYS).await;
    scene.assert_refuses(LARGE, UNAVAILABLE).await;
    assert_eq!(scene.count(AbortUpload), 3);
}

#[tokio::test]
async fn a_completion_that_was_done_but_never_told_is_a_success() {
    for dialect in [Dialect::S3, Dialect::Oss] {
        let scene = Scene::over(dialect, |_| {}).await;
        let lost = Fault::DoneButHalfAnswer;
        scene.bucket.fail(CompleteUpload, lost, ALWAYS);
        scene.assert_stores(LARGE).await;
        assert_eq!(scene.count(Delete), 0);
    }
}

#[tokio::test]
async fn a_completion_whose_object_cannot_be_seen_is_taken_back() {
    let scene = Scene::with(CompleteUpload, Fault::DoneButHalfAnswer, 1).await;
    let gone = Fault::Status(404, "NoSuchUpload");
    scene.bucket.fail(CompleteUpload, gone, ALWAYS);
    // Keys that permit writing but not reading.
    scene.bucket.fail(Head, DENIED, ALWAYS);
    scene.assert_refuses(LARGE, REFUSED).await;
}

#[tokio::test]
async fn an_error_inside_a_200_is_an_error() {
    // S3 starts to answer a completion before it is done.
    let inside_200 = Fault::Status(200, "InternalError");
    let scene = Scene::with(CompleteUpload, inside_200, 1).await;
    scene.assert_stores(LARGE).await;

    let scene = Scene::with(CompleteUpload, inside_200, ALWAYS).await;
    scene.assert_refuses(LARGE, UNAVAILABLE).await;
}

#[tokio::test]
async fn what_was_there_before_us_is_never_deleted() {
    for (dialect, taken) in [
        (Dialect::S3, Fault::Status(412, "PreconditionFailed")),
        (Dialect::Oss, Fault::Status(409, "FileAlreadyExists")),
    ] {
        for (operation, size, aborts) in [(Put, SMALL, 0), (CompleteUpload, LARGE, 1)] {
            let scene = Scene::over(dialect, |_| {}).await;
            scene.bucket.fail(operation, taken, 1);
            scene.assert_refuses(size, REFUSED).await;
            assert_eq!(scene.count(operation), 1);
            assert_eq!(scene.count(Delete), 0);
            assert_eq!(scene.count(AbortUpload), aborts);
        }
    }
}

#[tokio::test]
async fn the_second_of_three_parts_fails_and_the_others_go() {
    for (fault, failure) in [(DENIED, REFUSED), (ERROR_500, UNAVAILABLE)] {
        let scene = Scene::new().await;
        let slow = Fault::Slow(Duration::from_millis(20));
        scene.bucket.fail(UploadPart, slow, 1);
        scene.bucket.fail(UploadPart, fault, ALWAYS);
        scene.assert_refuses(LARGER, failure).await;
        assert_eq!(scene.count(CompleteUpload), 0);
        assert_eq!(scene.count(AbortUpload), 1);
    }
}

#[tokio::test]
async fn an_abort_that_fails_is_logged_and_the_answer_is_right_all_the_same() {
    let log = Log::new();
    let scene = Scene::with(UploadPart, DENIED, 1).await;
    scene.bucket.fail(AbortUpload, DENIED, ALWAYS);
    scene.upload(LARGE).await.assert_refused(REFUSED);
    // Unavoidable: the bucket never answers.
    assert_eq!(scene.bucket.open_uploads(), 1);
    assert_eq!(scene.bucket.objects().len(), 0);
    log.assert_line_with(&["could not abort a multipart upload", "AccessDenied"]);
}

#[tokio::test]
async fn a_delete_that_fails_is_logged_and_the_answer_is_right_all_the_same() {
    let log = Log::new();
    let scene = Scene::with(Delete, DENIED, ALWAYS).await;
    let form = Form::image().text("imageClassId", "x");
    let reply = scene.api.upload(&form).await;
    reply.assert_refused("class_id_invalid");
    let key = scene.bucket.objects().into_keys().next().unwrap();
    let said = "could not remove an object of a failed request";
    log.assert_line_with(&[said, "AccessDenied", &key]);
}

#[tokio::test]
async fn when_the_second_of_three_files_fails_the_first_goes_and_the_third_is_not_sent() {
    for first in [SMALL, LARGE] {
        let scene = Scene::new().await;
        let form = Form::img("1.png", image(first))
            .file("img", "2.png", png_bytes(3 * MIB))
            .file("img", "3.png", png_bytes(10 * MIB));
        // A large first file needs no put, so the put of the second fails.
        let puts_before = usize::from(first <= ONE_CALL_BYTES);
        let fine = Fault::Slow(Duration::ZERO);
        scene.bucket.fail(Put, fine, puts_before);
        scene.bucket.fail(Put, DENIED, 1);
        let reply = scene.api.upload(&form).await;
        scene.assert_refused(&reply, REFUSED);
        assert_eq!(scene.count(Put), puts_before + 1);
        assert_eq!(scene.count(Delete), 1);
    }
}

#[tokio::test]
async fn a_bad_class_id_after_a_large_file_deletes_it() {
    let scene = Scene::new().await;
    let form = Form::img("a.png", png_bytes(20 * MIB)).text("image_class_id", "-1");
    let reply = scene.api.upload(&form).await;
    reply.assert_refused("class_id_invalid");
    assert_eq!(scene.count(CompleteUpload), 1);
    scene.bucket.assert_nothing_left();
}

/// Returns a request whose body is a form without its end, in chunks, then `end`.
fn unfinished(
    form: &Form,
    end: impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Request<Body> {
    let body = form.unclosed();
    let chunks = body.chunks(64 * 1024);
    let chunks: Vec<_> = chunks.map(|chunk| Ok(body.slice_ref(chunk))).collect();
    form.with_body(Body::from_stream(stream::iter(chunks).chain(end)))
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_part_behind() {
    for size in [LARGE, LARGER] {
        let request = unfinished(&Form::img("a.mp4", image(size)), stream::pending());
        let are_parts_there = |now: &Contents| now.part_bytes() >= PART_BYTES;
        Scene::new().await.cancel(request, are_parts_there).await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_while_its_file_is_put_leaves_no_object() {
    let slow = Fault::Slow(Duration::from_millis(50));
    let scene = Scene::with(Put, slow, 1).await;
    let request = Form::img("a.png", png_bytes(MIB)).to(UPLOAD);
    scene.cancel(request, |now| !now.objects().is_empty()).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_400_and_leaves_nothing() {
    for size in [SMALL, MIB, ONE_CALL_BYTES, LARGE] {
        let scene = Scene::new().await;
        let form = Form::img("a.png", image(size));
        let broken = stream::iter([Err(io::ErrorKind::ConnectionReset.into())]);
        let cut = unfinished(&form, stream::empty());
        for request in [unfinished(&form, broken), cut] {
            let reply = scene.api.send(request).await;
            reply.assert_refused("body_truncated");
            scene.bucket.assert_nothing_left();
        }
    }
}

/// Sends a request with a deadline in `seconds` and returns its response, which must meet it.
async fn in_time(scene: &Scene, request: Request<Body>, secs: u64) -> Reply {
    let ends_at = Instant::now() + Duration::from_secs(secs);
    let arrival = Arrival {
        ends_at: Some(ends_at),
        ..Arrival::default()
    };
    let reply = scene.api.send(request.arriving(arrival)).await;
    assert!(Instant::now() < ends_at, "too late");
    reply
}

#[tokio::test]
async fn the_requests_time_limit_is_kept_whatever_the_bucket_does() {
    let cases = at_each_step([Fault::Hang, LATE]).map(async |((operation, size), fault)| {
        let scene = Scene::with(operation, fault, ALWAYS).await;
        let form = Form::img("a.png", image(size));
        let reply = in_time(&scene, form.to(UPLOAD), 4).await;
        scene.assert_refused(&reply, TIMED_OUT);
    });
    join_all(cases).await;
}

#[tokio::test]
async fn the_requests_time_limit_ends_a_client_that_never_ends() {
    let cases = [MIB, LARGE].map(async |size| {
        let scene = Scene::new().await;
        let form = Form::img("a.mp4", image(size));
        let request = unfinished(&form, stream::pending());
        let reply = in_time(&scene, request, 3).await;
        scene.assert_refused(&reply, TOO_SLOW);
    });
    join_all(cases).await;
}

#[tokio::test]
async fn a_bucket_that_hangs_is_504_within_our_own_limit_though_undoing_hangs_too() {
    let undoing = [Delete, AbortUpload];
    let cases = STEPS.map(async |(operation, size)| {
        let bucket = BucketDouble::start(Dialect::S3).await;
        let api = TestApi::with_bucket(&bucket, &[("UPLOAD_REQUEST_SECS", "3")]);
        for operation in undoing.into_iter().chain([operation]) {
            bucket.fail(operation, Fault::Hang, ALWAYS);
        }
        let ends_at = Instant::now() + Duration::from_secs(3);
        let form = Form::img("a.png", image(size));
        let reply = api.upload(&form).await;
        assert!(Instant::now() < ends_at, "too late at {operation:?}");
        reply.assert_refused(TIMED_OUT);
    });
    join_all(cases).await;
}

#[tokio::test]
async fn without_keys_nothing_is_sent() {
    let scene = Scene::over(Dialect::Oss, |settings| settings.credentials = None).await;
    for size in [SMALL, LARGE] {
        scene.assert_refuses(size, REFUSED).await;
    }
    assert_eq!(scene.operations(), []);
}

#[tokio::test]
async fn wrong_keys_are_502_and_the_log_knows_why() {
    const TOKEN: &str = "FwoGZXIvYXdzEXAMPLE+/==";
    let log = Log::new();
    for (key_id, secret, token, code) in [
        (KEY_ID, "not-the-secret", None, "SignatureDoesNotMatch"),
        ("AKIDNOBODY", SECRET, None, "InvalidAccessKeyId"),
        ("STS.expired", "its-secret", Some(TOKEN), "InvalidToken"),
    ] {
        for size in [SMALL, LARGE] {
            let scene = Scene::signing(Dialect::Oss, key_id, secret, token).await;
            let another = "another-token";
            let bucket = &scene.bucket;
            bucket.allow("STS.expired", "its-secret", Some(another));
            let reply = scene.assert_refuses(size, REFUSED).await;
            log.assert_line_with(&[reply.header("x-request-id"), "store_refused", code]);
            log.assert_holds_none_of(&[secret, TOKEN, another], &bucket.requests());
        }
    }
}

#[tokio::test]
async fn the_keys_of_a_request_sign_what_it_stores_and_no_others_do() {
    let scene = Scene::over(Dialect::Oss, |_| {}).await;
    let table = [("STS.first", Some("token+1/=")), ("STS.second", None)];
    // Back to the first: nothing cached of the previous keys may be used.
    for (key_id, token) in [table[0], table[1], table[0]] {
        let before = scene.bucket.requests().len();
        let form = Form::img("a.png", image(LARGE)).file("img", "b.png", PNG);
        let request = scene.with_keys(&form, key_id, token);
        scene.api.send(request).await.data();
        for request in &scene.bucket.requests()[before..] {
            assert_eq!(request.key_id.as_deref(), Some(key_id), "{request}");
            assert_eq!(request.header("x-amz-security-token"), token, "{request}");
        }
    }
    scene.upload(SMALL).await.data();
    let last = scene.bucket.requests().pop().unwrap();
    assert_eq!(last.key_id.as_deref(), Some(KEY_ID));
}

#[tokio::test]
async fn requests_at_the_same_time_sign_each_with_their_own_keys() {
    let scene = Scene::over(Dialect::Oss, |_| {}).await;
    let requests = (0..6).map(async |number| {
        let key_id = format!("STS.{number}");
        let form = Form::img("a.png", png_bytes(ONE_CALL_BYTES + number));
        let request = scene.with_keys(&form, &key_id, Some(&key_id));
        let reply = scene.api.send(request).await;
        (key_id, path_of(&reply.item()).to_owned())
    });
    for (key_id, path) in join_all(requests).await {
        let requests = scene.bucket.requests();
        for request in requests.iter().filter(|request| request.key == path) {
            assert_eq!(request.key_id.as_deref(), Some(&*key_id), "{request}");
        }
    }
    assert_eq!(scene.bucket.objects().len(), 6);
}

#[tokio::test]
async fn the_log_has_what_a_support_case_asks_for_and_no_secret() {
    let log = Log::new();
    for (dialect, operation, size, status, code) in [
        (Dialect::S3, Put, SMALL, 403, "AccessDenied"),
        (Dialect::Oss, Put, SMALL, 403, "AccessDenied"),
        (Dialect::S3, CompleteUpload, LARGE, 500, "InternalError"),
        (Dialect::Oss, CreateUpload, LARGE, 500, "InternalError"),
    ] {
        let scene = Scene::signing(dialect, "STS.k", SECRET, Some("its-token")).await;
        scene.bucket.allow("STS.k", SECRET, Some("its-token"));
        let fault = Fault::Status(status, code);
        scene.bucket.fail(operation, fault, ALWAYS);
        let reply = scene.upload(size).await;
        assert_eq!(reply.status, 502);
        // The double numbers its requests, as clouds do; the last one is logged.
        let requests = scene.bucket.requests();
        let last = requests.iter().rposition(|r| r.operation == operation);
        let vendors_id = format!("{:016X}", last.unwrap());
        log.assert_line_with(&[reply.header("x-request-id"), code, &vendors_id]);
        log.assert_holds_none_of(&[SECRET, "its-token"], &requests);
    }
}

/// Sends an image of `size` bytes that stops after `sent` bytes of its form, to a Router with 16 MiB for parts.
async fn send_and_stall(api: &TestApi, size: usize, sent: usize) -> Reply {
    let form = Form::img("a.png", image(size));
    let body = form.bytes();
    let body = announced(body.len() as u64, stalled(body.slice(..sent)));
    api.send(form.with_body(body)).await
}

async fn with_little_memory() -> Scene {
    Scene::over(Dialect::S3, |settings| settings.memory_bytes = 16 * MIB).await
}

#[tokio::test]
async fn small_uploads_that_are_sent_slowly_hold_no_more_memory_than_they_need() {
    let scene = with_little_memory().await;
    let slow = (0..8).map(|_| send_and_stall(&scene.api, MIB + MIB / 8, MIB + MIB / 9));
    let slow = join_all(slow);
    tokio::select! {
        _ = slow => panic!("they were answered without an end"),
        reply = scene.upload(3 * MIB) => assert_eq!(reply.data().as_array().map(Vec::len), Some(1)),
    }
}

#[tokio::test]
async fn a_client_that_is_silent_for_5_s_gives_its_memory_to_one_that_waits() {
    let scene = with_little_memory().await;
    let silent = || Box::pin(send_and_stall(&scene.api, 20 * MIB, 2 * MIB));
    let mut upload = Box::pin(scene.upload(LARGER));
    let _still_silent = tokio::select! {
        biased;
        (reply, _, others) = select_all([silent(), silent()]) => {
            reply.assert_refused(TOO_SLOW);
            others
        }
        _ = &mut upload => panic!("none of the silent ones had to make room"),
    };
    assert_eq!(upload.await.status, 200);
}
