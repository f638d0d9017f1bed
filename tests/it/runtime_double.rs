//! A Lambda Runtime API in the test process: the function under test polls it like Lambda, and tests
//! send it events and get the function's responses.
//!
//! Imitates only what a runtime client sees. Nothing is throttled, frozen or billed, no size is
//! refused, and a function past its deadline is not killed: the caller gets no response.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::collections::HashMap;
use std::convert::{Infallible, identity};
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::HeaderName;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::support::{Reply, owned};

const FUNCTION_ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:chat-upload";
const TRACE_ID: &str = "Root=1-6800902c-0123456789abcdef01234567;Sampled=0";
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
/// Longer than any response should take, short enough to report the hanging test.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The Runtime API on a port of 127.0.0.1. Stops when dropped, with all its connections.
pub(crate) struct RuntimeDouble {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: AbortOnDropHandle<()>,
}

/// The state shared by tests and connections.
struct Shared {
    queue: mpsc::UnboundedSender<Invocation>,
    /// Each request to `/next` holds or waits for this lock.
    queued: Mutex<mpsc::UnboundedReceiver<Invocation>>,
    /// Whether the function has requested an event.
    asked: watch::Sender<bool>,
    /// Events sent to a function and not answered yet, by request id.
    unanswered: std::sync::Mutex<HashMap<String, oneshot::Sender<Outcome>>>,
    init_errors: std::sync::Mutex<Vec<Value>>,
    /// Request ids of all events sent, in order.
    request_ids: std::sync::Mutex<Vec<String>>,
}

/// An event for the function.
#[derive(Debug)]
struct Invocation {
    event: Bytes,
    deadline_ms: String,
    answer: oneshot::Sender<Outcome>,
}

/// The function's response to an event, or the error that it reported: `{"errorType",
/// "errorMessage"}`.
type Outcome = Result<Value, Value>;

impl RuntimeDouble {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (queue, queued) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            queue,
            queued: Mutex::new(queued),
            asked: watch::Sender::default(),
            unanswered: std::sync::Mutex::default(),
            init_errors: std::sync::Mutex::default(),
            request_ids: std::sync::Mutex::default(),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            _server: AbortOnDropHandle::new(server),
        }
    }

    /// Returns the variables that Lambda sets for every function and a runtime client requires.
    pub(crate) fn env(&self) -> Vec<(&'static str, String)> {
        let mut vars = owned(&[
            ("AWS_EXECUTION_ENV", "AWS_Lambda_Image"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("AWS_LAMBDA_FUNCTION_NAME", "chat-upload"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/chat-upload"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "2025/04/17/[$LATEST]0123"),
            ("AWS_REGION", "us-east-1"),
        ]);
        vars.push(("AWS_LAMBDA_RUNTIME_API", self.address.to_string()));
        vars
    }

    /// Waits until the function requests an event, that is, until it has started.
    pub(crate) async fn asked(&self) {
        let mut asked = self.shared.asked.subscribe();
        let asked = tokio::time::timeout(TIMEOUT, asked.wait_for(|asked| *asked)).await;
        asked.expect("the function requests an event").unwrap();
    }

    /// Sends one event with a deadline of 30 s, and waits for the outcome.
    pub(crate) async fn invoke(&self, event: impl Into<Bytes>) -> Outcome {
        self.invoke_within(event, DEFAULT_DEADLINE).await
    }

    /// Like [`invoke`](Self::invoke), for events on which the function must not fail.
    pub(crate) async fn answer(&self, event: impl Into<Bytes>) -> GatewayAnswer {
        self.answer_within(event, DEFAULT_DEADLINE).await
    }

    /// Like [`answer`](Self::answer), with another deadline. A response after it is still
    /// returned.
    pub(crate) async fn answer_within(
        &self,
        event: impl Into<Bytes>,
        deadline: Duration,
    ) -> GatewayAnswer {
        let outcome = self.invoke_within(event, deadline).await;
        GatewayAnswer::new(outcome.unwrap_or_else(|error| panic!("the function failed: {error}")))
    }

    async fn invoke_within(&self, event: impl Into<Bytes>, deadline: Duration) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let deadline = (SystemTime::now() + deadline).duration_since(UNIX_EPOCH);
        let invocation = Invocation {
            event: event.into(),
            deadline_ms: deadline.unwrap().as_millis().to_string(),
            answer,
        };
        let queued = self.shared.queue.send(invocation);
        queued.expect("the receiver lives as long as the double");
        match tokio::time::timeout(TIMEOUT, answered).await {
            Ok(outcome) => outcome.expect("the function disconnected while receiving the event"),
            Err(_) => panic!(
                "no response within {TIMEOUT:?}; asked: {}, unanswered: {}, init errors: {:?}",
                *self.shared.asked.borrow(),
                self.shared.unanswered.lock().unwrap().len(),
                self.init_errors(),
            ),
        }
    }

    /// Returns the initialization errors that the function reported.
    pub(crate) fn init_errors(&self) -> Vec<Value> {
        self.shared.init_errors.lock().unwrap().clone()
    }

    /// Returns the request ids of the events sent so far, in order.
    pub(crate) fn request_ids(&self) -> Vec<String> {
        self.shared.request_ids.lock().unwrap().clone()
    }
}

/// The HTTP response that a gateway makes of the function's JSON. A header in two of `headers`,
/// `multiValueHeaders` and `cookies` is sent once, as by API Gateway.
#[derive(Debug)]
pub(crate) struct GatewayAnswer {
    pub(crate) reply: Reply,
    /// The function's JSON, unchanged.
    pub(crate) raw: Value,
}

impl Deref for GatewayAnswer {
    type Target = Reply;

    fn deref(&self) -> &Reply {
        &self.reply
    }
}

impl GatewayAnswer {
    /// Converts the function's JSON into the response that a client sees.
    ///
    /// # Panics
    ///
    /// When a gateway would not accept the JSON.
    pub(crate) fn new(raw: Value) -> Self {
        let status = raw["statusCode"].as_u64().and_then(|it| it.try_into().ok());
        let status: u16 = status.unwrap_or_else(|| panic!("no numeric statusCode in {raw}"));
        let body = match &raw["body"] {
            Value::Null => Vec::new(),
            Value::String(body) if raw["isBase64Encoded"] == true => base64_simd::STANDARD
                .decode_to_vec(body)
                .expect("isBase64Encoded, but it is not"),
            Value::String(body) => body.clone().into_bytes(),
            body => panic!("the body has to be a string, not {body}"),
        };
        let reply = Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: gateway_headers(&raw),
            body: body.into(),
        };
        Self { reply, raw }
    }
}

fn gateway_headers(raw: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut add = |name: &str, value: &Value| {
        let text = value.as_str();
        let value = text.unwrap_or_else(|| panic!("{name} is not a string: {value}"));
        let name: HeaderName = name.parse().unwrap();
        if !headers.get_all(&name).iter().any(|known| known == value) {
            headers.append(name, value.parse().unwrap());
        }
    };
    for (name, value) in raw["headers"].as_object().into_iter().flatten() {
        add(name, value);
    }
    for (name, values) in raw["multiValueHeaders"].as_object().into_iter().flatten() {
        for value in values.as_array().into_iter().flatten() {
            add(name, value);
        }
    }
    for cookie in raw["cookies"].as_array().into_iter().flatten() {
        add("set-cookie", cookie);
    }
    headers
}

/// Accepts connections until aborted, which also closes them.
async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a listening socket accepts");
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(shared.answer(request).await) }
        });
        let http = hyper::server::conn::http1::Builder::new();
        connections.spawn(http.serve_connection(TokioIo::new(stream), service));
        while connections.try_join_next().is_some() {}
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response {
        let path = request.uri().path().to_owned();
        let Some(call) = path.strip_prefix("/2018-06-01/runtime/") else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let post = request.method() == Method::POST;
        match *call.split('/').collect::<Vec<_>>() {
            ["invocation", "next"] if request.method() == Method::GET => self.next().await,
            ["invocation", id, "response"] if post => self.settle(id, json_body(request).await),
            ["invocation", id, "error"] if post => {
                self.settle(id, json_body(request).await.and_then(Err))
            }
            ["init", "error"] if post => {
                let error = json_body(request).await.unwrap_or_else(identity);
                self.init_errors.lock().unwrap().push(error);
                StatusCode::ACCEPTED.into_response()
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }

    /// Answers with the next event, once there is one. Several requests may wait, first come first served.
    async fn next(&self) -> Response {
        self.asked.send_replace(true);
        let next = self.queued.lock().await.recv().await;
        let invocation = next.expect("the sender lives beside the receiver");
        let id = Uuid::new_v4().to_string();
        self.request_ids.lock().unwrap().push(id.clone());
        let headers = [
            ("content-type", "application/json"),
            ("lambda-runtime-aws-request-id", &id),
            ("lambda-runtime-deadline-ms", &invocation.deadline_ms),
            ("lambda-runtime-invoked-function-arn", FUNCTION_ARN),
            ("lambda-runtime-trace-id", TRACE_ID),
        ];
        let response = (headers, invocation.event).into_response();
        let mut unanswered = self.unanswered.lock().unwrap();
        unanswered.insert(id, invocation.answer);
        response
    }

    /// Passes the outcome to the waiting test. As on Lambda, an event is answered once.
    fn settle(&self, id: &str, outcome: Outcome) -> Response {
        let Some(answer) = self.unanswered.lock().unwrap().remove(id) else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        // The response is accepted even if the test has given up waiting.
        _ = answer.send(outcome);
        StatusCode::ACCEPTED.into_response()
    }
}

/// Parses the function's JSON; invalid JSON becomes an error of the double.
async fn json_body(request: Request<Incoming>) -> Outcome {
    let error = |reason| json!({ "errorType": "RuntimeDouble", "errorMessage": reason });
    let body = request.into_body().collect().await;
    let body = body
        .map_err(|cause| error(format!("the response was cut off: {cause}")))?
        .to_bytes();
    let text = String::from_utf8_lossy(&body);
    serde_json::from_slice(&body).map_err(|cause| error(format!("not JSON ({cause}): {text}")))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tokio::sync::Barrier;

    use super::*;
    use crate::support::{get, post, send};

    /// An event as the function receives it.
    struct Given {
        id: String,
        remaining: Duration,
        event: Bytes,
    }

    /// Requests an event.
    async fn next(double: SocketAddr) -> Given {
        let given = send(double, get("/2018-06-01/runtime/invocation/next")).await;
        let deadline_ms = given.header("lambda-runtime-deadline-ms");
        let deadline = UNIX_EPOCH + Duration::from_millis(deadline_ms.parse().unwrap());
        let function = given.header("lambda-runtime-invoked-function-arn");
        assert_eq!(function, FUNCTION_ARN);
        assert!(given.header("lambda-runtime-trace-id").starts_with("Root="));
        Given {
            id: given.header("lambda-runtime-aws-request-id").to_owned(),
            remaining: deadline.duration_since(SystemTime::now()).unwrap(),
            event: given.body,
        }
    }

    /// Posts the outcome of an invocation.
    async fn report(double: SocketAddr, call: &str, body: impl Into<Body>) -> StatusCode {
        let path = format!("/2018-06-01/runtime/{call}");
        let request = post(&path, "application/json", body);
        send(double, request).await.status
    }

    /// Answers each event with itself, whenever the barrier opens.
    fn echo(double: &RuntimeDouble, barrier: Arc<Barrier>) {
        let address = double.address;
        tokio::spawn(async move {
            loop {
                let given = next(address).await;
                barrier.wait().await;
                let call = format!("invocation/{}/response", given.id);
                assert_eq!(report(address, &call, given.event).await, 202);
            }
        });
    }

    #[tokio::test]
    async fn runtime_double_carries_an_event_of_6_mb_there_and_back() {
        let double = RuntimeDouble::start().await;
        echo(&double, Arc::new(Barrier::new(1)));
        double.asked().await;
        let event = json!({ "statusCode": 200, "body": "x".repeat(6 * 1024 * 1024) });
        let answer = double.invoke(event.to_string()).await;
        assert!(answer == Ok(event), "the event comes back unchanged");
    }

    #[tokio::test]
    async fn runtime_double_feeds_several_waiting_pollers_at_once() {
        let double = RuntimeDouble::start().await;
        // Opens only when all three have an event.
        let barrier = Arc::new(Barrier::new(3));
        for _ in 0..3 {
            echo(&double, Arc::clone(&barrier));
        }
        let outcomes = tokio::join!(double.invoke("1"), double.invoke("2"), double.invoke("3"));
        assert_eq!(outcomes, (Ok(json!(1)), Ok(json!(2)), Ok(json!(3))));
    }

    #[tokio::test]
    async fn runtime_double_tells_the_deadline_and_takes_errors_once() {
        let double = RuntimeDouble::start().await;
        let function = async {
            let given = next(double.address).await;
            let remaining = given.remaining;
            assert!(remaining <= Duration::from_secs(5), "{remaining:?}");
            let call = format!("invocation/{}/error", given.id);
            let error = r#"{"errorType":"Oops","errorMessage":"out of pictures"}"#;
            assert_eq!(report(double.address, &call, error).await, 202);
            assert_eq!(report(double.address, &call, error).await, 400);
            assert_eq!(report(double.address, "init/error", error).await, 202);
        };
        let outcome = double.invoke_within("{}", Duration::from_secs(5));
        let (outcome, ()) = tokio::join!(outcome, function);
        assert_eq!(outcome.unwrap_err()["errorType"], "Oops");
        assert_eq!(double.init_errors()[0]["errorMessage"], "out of pictures");
        let api = ("AWS_LAMBDA_RUNTIME_API", double.address.to_string());
        assert!(double.env().contains(&api));
    }

    #[tokio::test]
    async fn runtime_double_gives_an_event_to_the_next_poller_when_one_went_away() {
        let double = RuntimeDouble::start().await;
        tokio::select! {
            _ = next(double.address) => panic!("there is no event yet"),
            () = double.asked() => {}
        }
        // Its poller holds the queue until it is gone.
        drop(double.shared.queued.lock().await);
        echo(&double, Arc::new(Barrier::new(1)));
        assert_eq!(double.invoke("7").await, Ok(json!(7)));
    }

    #[test]
    fn gateway_answer_reads_headers_of_every_shape_and_decodes_the_body() {
        let answer = GatewayAnswer::new(json!({
            "statusCode": 200,
            "headers": { "X-Request-Id": "1", "vary": "origin" },
            "multiValueHeaders": { "Vary": ["origin", "accept"] },
            "cookies": ["a=b"],
            "isBase64Encoded": true,
            "body": "eyJtc2ciOiJvayJ9",
        }));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-request-id"), "1");
        let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["origin", "accept"]);
        assert_eq!(answer.header("set-cookie"), "a=b");
        assert_eq!(answer.json(), json!({ "msg": "ok" }));
        assert_eq!(answer.raw["isBase64Encoded"], true);
    }
}
