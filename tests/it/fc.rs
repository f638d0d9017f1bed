//! The built program on Function Compute: the `x-fc-*` headers, events at `/invoke`, and its log in
//! JSON.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{Method, Request},
};
use serde_json::{Value, json};

use crate::{
    bucket_double::{BucketDouble, DENIED, Dialect, Fault, KEY_ID, Operation, SECRET},
    support::{
        Form, PNG, Process, Reply, RequestExt as _, UPLOAD, assert_has, bucket_vars, empty, get,
        in_chunks, owned, path_of, png_bytes, post, send,
    },
};

const EVENT: &[u8] = include_bytes!("../../events/aliyun-api-gateway-upload.json");

/// Credentials as Function Compute adds them to every request: id, secret and token.
type Keys = [&'static str; 3];

const MORNING: Keys = [
    "STS.morning",
    "secret-of-the-morning",
    "token-of-the-morning",
];
const EVENING: Keys = [
    "STS.evening",
    "secret-of-the-evening",
    "token-of-the-evening",
];
/// The credentials of a function without a role.
const NONE: Keys = [""; 3];
/// Variable by which the program detects Function Compute.
pub(crate) const ON_FC: (&str, &str) = ("FC_FUNCTION_NAME", "chat-upload");

/// A function with an OSS bucket.
struct Function {
    bucket: BucketDouble,
    process: Process,
    addr: SocketAddr,
}

impl Function {
    /// Starts one with credentials in its environment, too.
    async fn start() -> Self {
        Self::with(&[ON_FC], |_| true).await
    }

    /// Starts one with the credentials of requests only.
    async fn without_keys() -> Self {
        Self::with(&[ON_FC], |name| !name.starts_with("AWS_")).await
    }

    async fn with(vars: &[(&'static str, &str)], wanted: impl Fn(&str) -> bool) -> Self {
        let bucket = BucketDouble::start(Dialect::Oss).await;
        for [id, secret, token] in [MORNING, EVENING] {
            bucket.allow(id, secret, Some(token));
        }
        let mut all = bucket_vars(&bucket);
        all.retain(|(name, _)| wanted(name));
        all.extend(owned(vars));
        let (process, addr) = Process::serve(&all);
        Self {
            bucket,
            process,
            addr,
        }
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        send(self.addr, request).await
    }

    async fn upload(&self, headers: &[(&'static str, &str)]) -> Reply {
        self.send(Form::image().to(UPLOAD).with(headers)).await
    }

    async fn upload_with(&self, keys: Keys) -> Reply {
        self.upload(&headers_of(keys)).await
    }

    /// Returns the key ids that signed the objects, in order, without the start's own call to the bucket.
    fn signers(&self) -> Vec<String> {
        let mut requests = self.bucket.requests();
        requests.retain(|request| request.operation == Operation::Put);
        requests.into_iter().filter_map(|it| it.key_id).collect()
    }
}

fn headers_of([id, secret, token]: Keys) -> [(&'static str, &'static str); 3] {
    [
        ("x-fc-access-key-id", id),
        ("x-fc-access-key-secret", secret),
        ("x-fc-security-token", token),
    ]
}

/// Returns an event as the platform sends it.
pub(crate) fn event(body: impl Into<Body>) -> Request<Body> {
    let request = post("/invoke", "application/octet-stream", body);
    request.header("x-fc-control-path", "/invoke")
}

#[tokio::test]
async fn the_request_id_is_the_platforms() {
    let function = Function::start().await;
    let good = [("x-fc-request-id", "1-6800902c-good")];
    let reply = function.upload(&good).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-request-id"), "1-6800902c-good");
    let nothing = get("/nothing").header("x-fc-request-id", "1-6800902c-bad");
    let reply = function.send(nothing).await;
    reply.assert_refused("not_found");
    assert_eq!(reply.header("x-request-id"), "1-6800902c-bad");
}

#[tokio::test]
async fn keys_of_a_request_sign_that_request() {
    let function = Function::without_keys().await;
    for keys in [MORNING, EVENING, MORNING] {
        function.upload_with(keys).await.data();
    }
    assert_eq!(function.signers(), [MORNING[0], EVENING[0], MORNING[0]]);
    assert_eq!(function.bucket.objects().len(), 3);
}

#[tokio::test]
async fn without_keys_in_the_request_those_of_the_environment_sign() {
    let function = Function::start().await;
    function.upload_with(NONE).await.data();
    function.upload(&[]).await.data();
    assert_eq!(function.signers(), [KEY_ID, KEY_ID]);
}

#[tokio::test]
async fn without_any_keys_nothing_is_tried() {
    let function = Function::without_keys().await;
    let reply = function.upload_with(NONE).await;
    reply.assert_refused("store_refused");
    assert!(function.bucket.requests().is_empty());
}

#[tokio::test]
async fn elsewhere_the_platforms_headers_mean_nothing() {
    let function = Function::with(&[], |_| true).await;
    let id = [("x-fc-request-id", "from-a-stranger")];
    let headers = [&headers_of(MORNING)[..], &id].concat();
    let reply = function.upload(&headers).await;
    reply.data();
    assert_ne!(reply.header("x-request-id"), "from-a-stranger");
    assert_eq!(function.signers(), [KEY_ID]);
    let reply = function.send(event(EVENT)).await;
    reply.assert_refused("not_found");
}

#[tokio::test]
async fn only_a_failure_of_ours_counts_as_one_for_the_platform() {
    let function = Function::start().await;
    function.bucket.fail(Operation::Put, DENIED, 1);
    let failed = function.upload(&[]).await;
    failed.assert_refused("store_refused");
    assert_eq!(failed.header("x-fc-status"), "404");
    function.bucket.assert_nothing_left();

    let good = function.upload(&[]).await;
    let wrong = function.send(get("/nothing")).await;
    for (reply, status) in [(good, 200), (wrong, 404)] {
        assert_eq!(reply.status, status);
        assert_eq!(reply.headers.get("x-fc-status"), None);
    }
}

#[tokio::test]
async fn an_event_is_answered_in_the_gateways_shape() {
    let function = Function::start().await;
    let request = event(EVENT).header("x-fc-request-id", "1-event");
    let reply = function.send(request).await;
    reply.assert_ok("application/json");
    let answer = reply.json();
    let expected = json!({"statusCode": 200, "isBase64Encoded": false});
    assert_has(&answer, &expected);
    assert_eq!(answer["headers"]["x-request-id"], "1-event");
    let content_type = &answer["headers"]["content-type"];
    assert_eq!(content_type, "application/json; charset=utf-8");
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    let path = path_of(&body["data"][0]);
    assert_eq!(function.bucket.objects()[path].bytes, PNG);
}

#[tokio::test]
async fn keys_of_an_events_request_sign_too() {
    let function = Function::without_keys().await;
    let request = event(EVENT).with(&headers_of(EVENING));
    let reply = function.send(request).await;
    assert_eq!(reply.json()["statusCode"], 200);
    assert_eq!(function.signers(), [EVENING[0]]);
}

#[tokio::test]
async fn an_event_of_nobody_we_know_is_refused() {
    let function = Function::start().await;
    for body in ["", "hello", "{}", r#"{"events": []}"#] {
        let reply = function.send(event(body)).await;
        assert_eq!(reply.status, 400, "{body:?}");
        let text = String::from_utf8_lossy(&reply.body);
        assert!(text.starts_with("not a gateway event: "), "{text:?}");
    }
    function.bucket.assert_nothing_left();
}

#[tokio::test]
async fn a_browser_that_asks_for_invoke_finds_nothing() {
    let function = Function::start().await;
    let request = event(EVENT).header("x-fc-control-path", "/http-invoke");
    let reply = function.send(request).await;
    reply.assert_refused("not_found");
    function.bucket.assert_nothing_left();
}

#[tokio::test]
async fn the_instances_hooks_are_answered() {
    let function = Function::start().await;
    for hook in ["/initialize", "/pre-stop"] {
        let request = empty(Method::POST, hook).header("x-fc-control-path", hook);
        let reply = function.send(request).await;
        assert_eq!(reply.status, 200, "{hook}");
        let reply = function.send(empty(Method::POST, hook)).await;
        assert_eq!(reply.status, 404, "{hook} of a stranger");
    }
}

#[tokio::test]
async fn the_functions_time_bounds_the_stores() {
    let function = Function::start().await;
    let bucket = &function.bucket;
    bucket.fail(Operation::Put, Fault::Hang, usize::MAX);
    let started = Instant::now();
    let reply = function.upload(&[("x-fc-function-timeout", "2")]).await;
    let took = started.elapsed();
    reply.assert_refused("store_timeout");
    assert_eq!(reply.header("x-fc-status"), "404");
    assert!(took < Duration::from_secs(2), "{took:?}");
    function.bucket.assert_nothing_left();
}

#[tokio::test]
async fn a_request_is_one_line_of_json() {
    let function = Function::start().await;
    let reply = function.upload(&[("x-fc-request-id", "1-good")]).await;
    let line = function.process.log_line("1-good");
    let expected = json!({
        "level": "INFO", "method": "POST", "status": 200, "code": "ok", "route": UPLOAD,
        "bytes": PNG.len(), "key": reply.item()["path"],
    });
    assert_has(&line, &expected);
    let time = |field: &str| line[field].as_f64().expect(field);
    let (store, total) = (time("store_ms"), time("total_ms"));
    assert!(store > 0.0 && total >= store, "{line}");
    let lines = function.process.lines();
    let of_request = lines.iter().filter(|line| line.contains("1-good"));
    assert_eq!(of_request.count(), 1);
}

#[tokio::test]
async fn a_failure_is_logged_with_its_cause() {
    let function = Function::start().await;
    function.bucket.fail(Operation::Put, DENIED, 1);
    function.upload(&[("x-fc-request-id", "1-refused")]).await;
    let line = function.process.log_line("1-refused");
    let expected = json!({"level": "ERROR", "status": 502, "code": "store_refused", "key": ""});
    assert_has(&line, &expected);
    let cause = line["cause"].as_str().unwrap();
    assert!(cause.contains("403 AccessDenied, request id"), "{cause}");
}

#[tokio::test]
async fn every_line_is_json_and_none_tells_a_secret() {
    let function = Function::with(&[ON_FC, ("RUST_LOG", "debug")], |_| true).await;
    function.bucket.fail(Operation::Put, DENIED, 1);
    function.upload_with(MORNING).await;
    function.upload_with(EVENING).await;
    function.upload(&[]).await;
    function.send(get("/nothing?the-end")).await;
    function.process.line_with("\"status\":404");
    let secrets = [&MORNING[1..], &EVENING[1..], &[SECRET, "Signature="]].concat();
    function.process.assert_logs_none_of(&secrets);
}

#[tokio::test]
async fn forty_megabytes_in_chunks_reach_the_bucket_as_they_are() {
    let function = Function::start().await;
    let image = png_bytes(40 << 20);
    let form = Form::img("a.png", &image);
    let body = form.bytes();
    let chunked = in_chunks(&body, 300_007);
    let reply = function.send(form.with_body(chunked)).await;
    let path = path_of(&reply.item()).to_owned();
    assert!(function.bucket.objects()[&path].bytes == image, "{path}");
    assert_eq!(function.bucket.open_uploads(), 0);
}
