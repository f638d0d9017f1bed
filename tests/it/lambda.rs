//! The built program on Lambda: responses to each gateway, the context's id and deadline, large events,
//! and invalid events.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    bucket_double::{BucketDouble, Contents, DENIED, Dialect, Fault, Operation, Recorded, SECRET},
    events,
    runtime_double::{GatewayAnswer, RuntimeDouble},
    support::{Form, PNG, Process, bucket_vars, owned, path_of, png_bytes},
};

/// Every gateway that has a sample upload in `events/`.
const GATEWAYS: [&str; 6] = [
    "apigw-v1",
    "apigw-v2",
    "function-url",
    "alb",
    "alb-multi",
    "aliyun-api-gateway",
];

/// A function with a bucket.
struct Function {
    lambda: RuntimeDouble,
    bucket: BucketDouble,
    process: Process,
}

impl Function {
    async fn start() -> Self {
        Self::with(&[]).await
    }

    async fn with(vars: &[(&'static str, &str)]) -> Self {
        let lambda = RuntimeDouble::start().await;
        let bucket = BucketDouble::start(Dialect::S3).await;
        let vars = [lambda.env(), bucket_vars(&bucket), owned(vars)].concat();
        Self {
            process: Process::start(&vars),
            lambda,
            bucket,
        }
    }

    async fn answer(&self, event: &Value) -> GatewayAnswer {
        self.lambda.answer(event.to_string()).await
    }

    /// Sends an event and asserts that the object in its response has these bytes.
    async fn assert_stores(&self, event: &Value, content: &[u8]) {
        let item = self.answer(event).await.item();
        let path = path_of(&item);
        assert!(self.bucket.objects()[path].bytes == content, "{path}");
    }
}

/// Reads the sample upload of a gateway.
fn sample(gateway: &str) -> Value {
    let path = events::folder().join(format!("{gateway}-upload.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Reads the sample upload of a gateway and replaces its file's content.
fn with_file(gateway: &str, content: &[u8]) -> Value {
    let mut event = sample(gateway);
    let form = boundary_of(&event).file("img", "a.png", content).bytes();
    event["body"] = base64_simd::STANDARD.encode_to_string(form).into();
    event
}

/// An empty form with the boundary of an event.
fn boundary_of(event: &Value) -> Form {
    let body = event["body"].as_str().unwrap();
    let body = base64_simd::STANDARD.decode_to_vec(body).unwrap();
    let line = body.split(|byte| *byte == b'\r').next().unwrap();
    Form::with_boundary(std::str::from_utf8(&line[2..]).unwrap())
}

/// Returns the names of a response's keys, and the types of its values.
fn shape(answer: &Value) -> Vec<String> {
    let kind = |value: &Value| match value {
        Value::Object(map) if map.values().all(Value::is_string) => "strings",
        Value::Object(map) if map.values().all(Value::is_array) => "lists",
        Value::Array(list) if list.is_empty() => "empty list",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Bool(false) => "false",
        _ => "something else",
    };
    let fields = answer.as_object().unwrap().iter();
    let fields = fields.map(|(name, value)| format!("{name}: {}", kind(value)));
    fields.collect()
}

#[tokio::test]
async fn every_gateway_is_answered_in_its_own_shape() {
    let function = Function::start().await;
    let common = [
        "body: string",
        "isBase64Encoded: false",
        "statusCode: number",
    ];
    for gateway in GATEWAYS {
        let answer = function.answer(&sample(gateway)).await;
        let own = match gateway {
            "apigw-v1" => &["multiValueHeaders: lists"][..],
            "alb" | "alb-multi" => &[
                "headers: strings",
                "multiValueHeaders: lists",
                "statusDescription: string",
            ],
            "apigw-v2" | "function-url" => &["cookies: empty list", "headers: strings"],
            _ => &["headers: strings"],
        };
        let mut expected = [&common, own].concat();
        let mut shape = shape(&answer.raw);
        shape.sort();
        expected.sort_unstable();
        assert_eq!(shape, expected, "{gateway}");
        let content_type = answer.header("content-type");
        assert_eq!(content_type, "application/json; charset=utf-8");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        if gateway.starts_with("alb") {
            assert_eq!(answer.raw["statusDescription"], "200 OK");
        }
    }
}

#[tokio::test]
async fn the_request_id_is_lambdas() {
    let function = Function::start().await;
    let good = function.answer(&sample("apigw-v2")).await;
    let nothing = json!({"httpMethod": "GET", "path": "/nothing"});
    let bad = function.answer(&nothing).await;
    let ids = function.lambda.request_ids();
    assert_eq!(good.header("x-request-id"), ids[0].as_str());
    assert_eq!(bad.header("x-request-id"), ids[1].as_str());
    bad.assert_refused("not_found");
    let line = function.process.log_line(&ids[0]);
    assert_eq!(line["key"], good.json()["data"][0]["path"]);
}

#[tokio::test]
async fn every_byte_value_survives_every_gateway() {
    let function = Function::start().await;
    let content: Vec<u8> = PNG.iter().copied().chain(0..=255).collect();
    for gateway in GATEWAYS {
        let event = with_file(gateway, &content);
        function.assert_stores(&event, &content).await;
    }
    assert_eq!(function.bucket.objects().len(), GATEWAYS.len());
}

#[tokio::test]
async fn an_event_as_large_as_lambda_takes_is_stored_whole() {
    let function = Function::start().await;
    // A file of 4.4 MB makes an event of 5.9 MB; the limit is 6 MB.
    for (gateway, len) in [("apigw-v2", 3_300_000), ("apigw-v1", 4_424_000)] {
        let image = png_bytes(len);
        let event = with_file(gateway, &image);
        let megabytes = event.to_string().len() as f64 / 1e6;
        assert!((4.4..6.0).contains(&megabytes), "{megabytes}");
        function.assert_stores(&event, &image).await;
    }
}

#[tokio::test]
async fn what_is_no_text_leaves_as_base64() {
    let function = Function::start().await;
    for (gateway, query) in [
        ("apigw-v1", "queryStringParameters"),
        ("aliyun-api-gateway", "queryParameters"),
    ] {
        let mut event = sample(gateway);
        event["httpMethod"] = "GET".into();
        event["path"] = "/api/chat/qrcode".into();
        event[query] = json!({"url": "https://chat.example.com"});
        event["body"] = "".into();
        let answer = function.answer(&event).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.raw["isBase64Encoded"], true);
        assert_eq!(answer.header("content-type"), "image/png");
        let is_png = answer.body.starts_with(b"\x89PNG\r\n\x1a\n");
        assert!(is_png, "{:?}", answer.body);
    }
}

#[tokio::test]
async fn what_a_gateway_mangled_is_told_before_what_it_is() {
    let function = Function::start().await;
    let mut event = sample("apigw-v1");
    let form = boundary_of(&event);
    event["isBase64Encoded"] = false.into();
    for content in ["\u{FFFD}PNG\r\n\u{1a}", "<html>\u{FFFD}", "MZ\u{FFFD}"] {
        let body = form.clone().file("img", "a.png", content).bytes();
        event["body"] = std::str::from_utf8(&body).unwrap().into();
        let answer = function.answer(&event).await;
        answer.assert_refused("body_mangled");
    }
    function.bucket.assert_nothing_left();
}

#[tokio::test]
async fn an_event_of_no_gateway_is_an_error_and_the_next_one_is_answered() {
    let function = Function::start().await;
    for event in [
        "{\"key\": \"value\"}",
        "{\"source\": \"aws.s3\"}",
        "{\"source\": \"aws.events\", \"Records\": []}",
        "{\"source\": \"aws.events\", \"requestContext\": {}}",
        "[]",
        "null",
        "\"text\"",
        "{\"Records\": []}",
        "{\"httpMethod\": \"GET\"}",
    ] {
        let error = function.lambda.invoke(event).await.expect_err(event);
        assert!(error["errorType"].is_string(), "{event}: {error}");
    }
    function.assert_stores(&sample("apigw-v2"), PNG).await;
    assert_eq!(function.lambda.init_errors(), Vec::<Value>::new());
}

#[tokio::test]
async fn an_event_that_keeps_the_instance_warm_is_no_request() {
    let function = Function::start().await;
    for event in [
        "{}",
        " { } ",
        "{\"source\": \"aws.events\", \"detail-type\": \"Scheduled Event\", \"resources\": [\"r\"]}",
        "{\"source\": \"serverless-plugin-warmup\"}",
        "{\"source\": \"serverless-plugin-warmup\", \"requestContext\": null}",
    ] {
        let answer = function.lambda.invoke(event).await;
        assert_eq!(answer, Ok(json!({"msg": "ok"})), "{event}");
    }
    function.assert_stores(&sample("apigw-v2"), PNG).await;
    let lines = function.process.lines();
    let is_trouble = |line: &&String| line.contains("ERROR") || line.contains("\"request\"");
    let requests = lines.iter().filter(is_trouble).count();
    assert!(requests <= 1, "{lines:?}");
}

/// Asserts that a function with this bucket fault answers before its deadline and leaves nothing.
async fn assert_answers_in_time(on: Operation, fault: Fault, times: usize) {
    let function = Function::start().await;
    function.lambda.asked().await;
    function.bucket.fail(on, fault, times);
    let (started, deadline) = (Instant::now(), Duration::from_secs(2));
    let event = sample("apigw-v2").to_string();
    let answer = function.lambda.answer_within(event, deadline).await;
    let took = started.elapsed();
    answer.assert_refused("store_timeout");
    assert!(took < deadline, "{took:?}");
    function.bucket.assert_nothing_left();
}

#[tokio::test]
async fn a_bucket_that_hangs_is_told_before_the_deadline() {
    assert_answers_in_time(Operation::Any, Fault::Hang, usize::MAX).await;
}

#[tokio::test]
async fn a_deadline_that_has_passed_already_is_none() {
    let function = Function::start().await;
    let event = sample("apigw-v2").to_string();
    let answer = function.lambda.answer_within(event, Duration::ZERO).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn what_was_stored_too_late_is_deleted_before_the_deadline() {
    let late = Fault::Slow(Duration::from_secs(60));
    assert_answers_in_time(Operation::Put, late, 1).await;
}

#[tokio::test]
async fn as_many_events_run_at_once_as_lambda_says() {
    let function = Function::with(&[("AWS_LAMBDA_MAX_CONCURRENCY", "4")]).await;
    let slow = Fault::Slow(Duration::from_secs(2));
    function.bucket.fail(Operation::Put, slow, 4);
    let event = sample("apigw-v2");
    let is_being_stored = |it: &&Recorded| it.operation == Operation::Put && it.in_progress;
    let are_four = |now: &Contents| now.requests().iter().filter(is_being_stored).count() == 4;
    let four_at_once = function.bucket.wait_until(are_four);
    let answers = join_all((0..4).map(|_| function.answer(&event)));
    for answer in tokio::join!(answers, four_at_once).0 {
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
    assert_eq!(function.bucket.objects().len(), 4);
}

#[tokio::test]
async fn every_line_is_json_and_none_tells_a_secret() {
    let function = Function::with(&[("RUST_LOG", "debug")]).await;
    function.bucket.fail(Operation::Put, DENIED, 1);
    for status in [502, 200] {
        assert_eq!(function.answer(&sample("apigw-v2")).await.status, status);
    }
    function.process.line_with("\"status\":200");
    let secrets = [SECRET, "Signature="];
    function.process.assert_logs_none_of(&secrets);
}

#[tokio::test]
async fn every_gateway_passes_the_calls_of_a_large_file() {
    let function = Function::with(&[("UPLOAD_SIGNING_SECRET", "a secret")]).await;
    let call = |gateway: &str, route: &str, body: Value, is_base64: bool| {
        let mut event = sample(gateway);
        for path in ["path", "rawPath"] {
            if event.get(path).is_some() {
                event[path] = format!("/api/chat/{route}").into();
            }
        }
        let body = body.to_string();
        event["body"] = if is_base64 {
            base64_simd::STANDARD.encode_to_string(body).into()
        } else {
            body.into()
        };
        event["isBase64Encoded"] = is_base64.into();
        event
    };
    for gateway in GATEWAYS {
        for is_base64 in [true, false] {
            let name = json!({"name": "猫.mp4"});
            let asked = call(gateway, "uploadPolicy", name, is_base64);
            let policy = function.answer(&asked).await;
            let data = &policy.json()["data"];
            assert_eq!(policy.status, 200, "{gateway}: {data}");
            let key = data["upload"]["formData"]["key"].as_str().unwrap();
            assert!(key.starts_with("pending/"), "{gateway}: {key}");
            let ticket = json!({"ticket": data["ticket"]});
            let early = call(gateway, "uploadComplete", ticket, is_base64);
            let answer = function.answer(&early).await;
            answer.assert_refused("upload_incomplete");
        }
    }
}
