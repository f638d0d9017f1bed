//! A Lambda Runtime API in the test process: the function under test polls it as it would poll
//! Lambda, tests hand it events and get what the function answered.
//!
//! Only what a runtime client sees is imitated. Nothing is throttled, frozen or billed, no size is
//! refused, and a function past its deadline is not killed: the caller sees that no answer came.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::HeaderName;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use crate::support::{Reply, owned};

const FUNCTION_ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:chat-upload";
const TRACE_ID: &str = "Root=1-6800902c-0123456789abcdef01234567;Sampled=0";
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
/// Longer than any answer should take, short enough to name the hanging test.
const PATIENCE: Duration = Duration::from_secs(60);

/// The Runtime API on a port of 127.0.0.1. Stops when dropped, with all its connections.
pub(crate) struct RuntimeDouble {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// The state that tests and connections have in common.
struct Shared {
    queue: mpsc::UnboundedSender<Invocation>,
    /// Each call that waits in `/next` holds or queues for this lock.
    queued: Mutex<mpsc::UnboundedReceiver<Invocation>>,
    /// How many `/next` are being held open.
    waiting: watch::Sender<usize>,
    /// Events handed to a function and not answered yet, by request id.
    unanswered: std::sync::Mutex<HashMap<String, oneshot::Sender<Outcome>>>,
    init_errors: std::sync::Mutex<Vec<Value>>,
    /// Of every event handed over, in order.
    request_ids: std::sync::Mutex<Vec<String>>,
}

/// One event on its way to the function.
#[derive(Debug)]
struct Invocation {
    event: Bytes,
    deadline_ms: u128,
    answer: oneshot::Sender<Outcome>,
}

/// The function's outcome for an event.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It answered.
    Response(Value),
    /// It reported an error of its own: `{"errorType", "errorMessage"}`.
    Error(Value),
}

impl RuntimeDouble {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (queue, queued) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            queue,
            queued: Mutex::new(queued),
            waiting: watch::Sender::new(0),
            unanswered: std::sync::Mutex::default(),
            init_errors: std::sync::Mutex::default(),
            request_ids: std::sync::Mutex::default(),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            server,
        }
    }

    /// `host:port`, the value of `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The variables that Lambda sets for every function and a runtime client insists on.
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
        vars.push(("AWS_LAMBDA_RUNTIME_API", self.address()));
        vars
    }

    /// Waits until the function asks for an event, that is, until it has started.
    pub(crate) async fn asked(&self) {
        let mut waiting = self.shared.waiting.subscribe();
        let asked = tokio::time::timeout(PATIENCE, waiting.wait_for(|count| *count > 0)).await;
        match asked {
            Ok(asked) => drop(asked.unwrap()),
            Err(_) => panic!("nobody asked for an event; {}", self.shared.state()),
        }
    }

    /// Hands over one event, to be answered within 30 s, and waits for the answer.
    pub(crate) async fn invoke(&self, event: impl Into<Bytes>) -> Outcome {
        self.invoke_within(event, DEFAULT_DEADLINE).await
    }

    /// Like [`invoke`](Self::invoke), but the function is told that it has only this long. A late
    /// answer is still an answer.
    pub(crate) async fn invoke_within(
        &self,
        event: impl Into<Bytes>,
        deadline: Duration,
    ) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let deadline = SystemTime::now() + deadline;
        let invocation = Invocation {
            event: event.into(),
            deadline_ms: deadline.duration_since(UNIX_EPOCH).unwrap().as_millis(),
            answer,
        };
        let queued = self.shared.queue.send(invocation);
        queued.expect("the receiver lives as long as the double");
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(outcome) => outcome.expect("the function went away while it was given the event"),
            Err(_) => panic!("no answer within {PATIENCE:?}; {}", self.shared.state()),
        }
    }

    /// All that the function reported as failures of its start.
    pub(crate) fn init_errors(&self) -> Vec<Value> {
        self.shared.init_errors.lock().unwrap().clone()
    }

    /// The request ids of the events handed over so far, in their order.
    pub(crate) fn request_ids(&self) -> Vec<String> {
        self.shared.request_ids.lock().unwrap().clone()
    }
}

impl Drop for RuntimeDouble {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Outcome {
    /// The answer as the gateway's client would see it.
    ///
    /// # Panics
    ///
    /// When the function reported an error or its answer is not one a gateway understands.
    pub(crate) fn into_response(self) -> GatewayAnswer {
        match self {
            Self::Response(raw) => GatewayAnswer::new(raw),
            Self::Error(error) => panic!("the function failed: {error}"),
        }
    }
}

/// The HTTP answer that a gateway makes of the function's JSON. A header that stands in two of
/// `headers`, `multiValueHeaders` and `cookies` counts once, as API Gateway has it.
#[derive(Debug)]
pub(crate) struct GatewayAnswer {
    pub(crate) reply: Reply,
    /// The function's JSON as it came.
    pub(crate) raw: Value,
}

impl Deref for GatewayAnswer {
    type Target = Reply;

    fn deref(&self) -> &Reply {
        &self.reply
    }
}

impl GatewayAnswer {
    fn new(raw: Value) -> Self {
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

/// Accepts connections until aborted; the set of connections goes with it.
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
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let Some(call) = path.strip_prefix("/2018-06-01/runtime/") else {
            return status(StatusCode::NOT_FOUND);
        };
        let post = request.method() == Method::POST;
        match *call.split('/').collect::<Vec<_>>() {
            ["invocation", "next"] if request.method() == Method::GET => self.next().await,
            ["invocation", id, "response"] if post => {
                let outcome = json_body(request).await.map(Outcome::Response);
                self.settle(id, outcome)
            }
            ["invocation", id, "error"] if post => {
                let outcome = json_body(request).await.map(Outcome::Error);
                self.settle(id, outcome)
            }
            ["init", "error"] if post => {
                let error = json_body(request).await.unwrap_or_else(Value::String);
                self.init_errors.lock().unwrap().push(error);
                status(StatusCode::ACCEPTED)
            }
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    /// Holds the request until there is an event. Several may wait; the first is served first.
    async fn next(&self) -> Response<Full<Bytes>> {
        let invocation = {
            let _waiting = Waiting::new(&self.waiting);
            let next = self.queued.lock().await.recv().await;
            next.expect("the sender lives beside the receiver")
        };
        let id = Uuid::new_v4().to_string();
        self.request_ids.lock().unwrap().push(id.clone());
        let response = Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", &id)
            .header("lambda-runtime-deadline-ms", invocation.deadline_ms as u64)
            .header("lambda-runtime-invoked-function-arn", FUNCTION_ARN)
            .header("lambda-runtime-trace-id", TRACE_ID)
            .body(Full::new(invocation.event))
            .expect("fixed headers and a uuid are a response");
        let mut unanswered = self.unanswered.lock().unwrap();
        unanswered.insert(id, invocation.answer);
        response
    }

    /// Wakes the test that waits for this event. As on Lambda, an event is answered once.
    fn settle(&self, id: &str, outcome: Result<Outcome, String>) -> Response<Full<Bytes>> {
        let Some(answer) = self.unanswered.lock().unwrap().remove(id) else {
            return status(StatusCode::BAD_REQUEST);
        };
        let outcome = outcome.unwrap_or_else(|reason| {
            Outcome::Error(json!({ "errorType": "RuntimeDouble", "errorMessage": reason }))
        });
        // A test that gave up waiting is no reason to refuse the answer.
        _ = answer.send(outcome);
        status(StatusCode::ACCEPTED)
    }

    /// Where things stand, for a test that waited in vain.
    fn state(&self) -> String {
        format!(
            "{} in /next, {} events with the function, init errors: {:?}",
            *self.waiting.borrow(),
            self.unanswered.lock().unwrap().len(),
            self.init_errors.lock().unwrap(),
        )
    }
}

async fn json_body(request: Request<Incoming>) -> Result<Value, String> {
    let body = request.into_body().collect().await;
    let body = body
        .map_err(|error| format!("the answer broke off: {error}"))?
        .to_bytes();
    serde_json::from_slice(&body)
        .map_err(|error| format!("not JSON ({error}): {}", String::from_utf8_lossy(&body)))
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// Counts one open `/next`, also when its connection goes away.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use hyper::client::conn::http1::{SendRequest, handshake};
    use hyper::header::HOST;
    use tokio::net::TcpStream;

    use super::*;

    /// A function's side of the Runtime API on one connection.
    struct Function {
        connection: SendRequest<Full<Bytes>>,
        address: String,
    }

    /// An event as the function gets it.
    struct Given {
        id: String,
        remaining: Duration,
        event: Bytes,
    }

    impl Function {
        async fn connect(double: &RuntimeDouble) -> Self {
            let address = double.address();
            let stream = TcpStream::connect(&address).await.unwrap();
            let (connection, driver) = handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(driver);
            Self {
                connection,
                address,
            }
        }

        async fn send(
            &mut self,
            method: Method,
            call: &str,
            body: impl Into<Bytes>,
        ) -> Response<Incoming> {
            let request = Request::builder()
                .method(method)
                .uri(format!("/2018-06-01/runtime/{call}"))
                .header(HOST, &self.address)
                .body(Full::new(body.into()))
                .unwrap();
            self.connection.ready().await.unwrap();
            self.connection.send_request(request).await.unwrap()
        }

        async fn next(&mut self) -> Given {
            let response = self.send(Method::GET, "invocation/next", "").await;
            let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
            let deadline_ms = header("lambda-runtime-deadline-ms").parse().unwrap();
            let deadline = UNIX_EPOCH + Duration::from_millis(deadline_ms);
            assert_eq!(header("lambda-runtime-invoked-function-arn"), FUNCTION_ARN);
            assert!(header("lambda-runtime-trace-id").starts_with("Root="));
            Given {
                id: header("lambda-runtime-aws-request-id"),
                remaining: deadline.duration_since(SystemTime::now()).unwrap(),
                event: response.into_body().collect().await.unwrap().to_bytes(),
            }
        }

        async fn post(&mut self, call: &str, body: impl Into<Bytes>) -> StatusCode {
            self.send(Method::POST, call, body).await.status()
        }
    }

    /// Answers one event after the other with what `handler` makes of it.
    async fn answer_with<F>(double: &RuntimeDouble, handler: impl Fn(Bytes) -> F + Send + 'static)
    where
        F: Future<Output = Vec<u8>> + Send,
    {
        let mut function = Function::connect(double).await;
        tokio::spawn(async move {
            loop {
                let given = function.next().await;
                let answer = handler(given.event).await;
                let call = format!("invocation/{}/response", given.id);
                assert_eq!(function.post(&call, answer).await, StatusCode::ACCEPTED);
            }
        });
    }

    #[tokio::test]
    async fn runtime_double_carries_an_event_of_6_mb_there_and_back() {
        let double = RuntimeDouble::start().await;
        answer_with(&double, async |event| event.to_vec()).await;
        double.asked().await;
        let event = json!({ "statusCode": 200, "body": "x".repeat(6 * 1024 * 1024) });
        let Outcome::Response(answer) = double.invoke(event.to_string()).await else {
            panic!("the function answered");
        };
        assert!(answer == event, "the event comes back unchanged");
    }

    #[tokio::test]
    async fn runtime_double_feeds_several_waiting_pollers_at_once() {
        let double = RuntimeDouble::start().await;
        let barrier = Arc::new(tokio::sync::Barrier::new(3));
        for _ in 0..3 {
            let barrier = Arc::clone(&barrier);
            let handler = move |event: Bytes| {
                let barrier = Arc::clone(&barrier);
                // Opens only when all three hold an event.
                async move {
                    barrier.wait().await;
                    event.to_vec()
                }
            };
            answer_with(&double, handler).await;
        }
        let outcomes = tokio::join!(double.invoke("1"), double.invoke("2"), double.invoke("3"));
        for (outcome, expected) in [(outcomes.0, 1), (outcomes.1, 2), (outcomes.2, 3)] {
            assert!(matches!(outcome, Outcome::Response(answer) if answer == expected));
        }
    }

    #[tokio::test]
    async fn runtime_double_tells_the_deadline_and_takes_errors_once() {
        let double = RuntimeDouble::start().await;
        let mut function = Function::connect(&double).await;
        let function = async {
            let given = function.next().await;
            let remaining = given.remaining;
            assert!(remaining <= Duration::from_secs(5), "{remaining:?}");
            let call = format!("invocation/{}/error", given.id);
            let error = r#"{"errorType":"Oops","errorMessage":"out of pictures"}"#;
            assert_eq!(function.post(&call, error).await, StatusCode::ACCEPTED);
            assert_eq!(function.post(&call, error).await, StatusCode::BAD_REQUEST);
            let accepted = function.post("init/error", error).await;
            assert_eq!(accepted, StatusCode::ACCEPTED);
        };
        let outcome = double.invoke_within("{}", Duration::from_secs(5));
        let (outcome, ()) = tokio::join!(outcome, function);
        assert!(matches!(outcome, Outcome::Error(error) if error["errorType"] == "Oops"));
        assert_eq!(double.init_errors()[0]["errorMessage"], "out of pictures");
        let api = ("AWS_LAMBDA_RUNTIME_API", double.address());
        assert!(double.env().contains(&api));
    }

    #[tokio::test]
    async fn runtime_double_gives_an_event_to_the_next_poller_when_one_went_away() {
        let double = RuntimeDouble::start().await;
        let mut gone = Function::connect(&double).await;
        tokio::select! {
            _ = gone.next() => panic!("there is no event yet"),
            () = double.asked() => {}
        }
        drop(gone);
        let mut waiting = double.shared.waiting.subscribe();
        waiting.wait_for(|count| *count == 0).await.unwrap();
        answer_with(&double, async |event| event.to_vec()).await;
        assert!(matches!(double.invoke("7").await, Outcome::Response(answer) if answer == 7));
    }

    #[test]
    fn gateway_answer_reads_headers_of_every_shape_and_decodes_the_body() {
        let answer = Outcome::Response(json!({
            "statusCode": 200,
            "headers": { "X-Request-Id": "1", "vary": "origin" },
            "multiValueHeaders": { "Vary": ["origin", "accept"] },
            "cookies": ["a=b"],
            "isBase64Encoded": true,
            "body": "eyJtc2ciOiJvayJ9",
        }));
        let answer = answer.into_response();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-request-id"), "1");
        let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["origin", "accept"]);
        assert_eq!(answer.header("set-cookie"), "a=b");
        assert_eq!(answer.json(), json!({ "msg": "ok" }));
        assert_eq!(answer.raw["isBase64Encoded"], true);
    }
}
