//! Test double of Lambda's runtime API, on its own thread: sends events to the function and
//! reports when it requests one and when it answers.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, mpsc},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    client::Payload,
    listener::{listen, speak},
};

const TIMEOUT: Duration = Duration::from_secs(30);

/// The runtime API for one function at a time.
pub(crate) struct RuntimeApi {
    pub(crate) address: SocketAddr,
    events: tokio::sync::mpsc::UnboundedSender<Bytes>,
    calls: mpsc::Receiver<(Instant, Call)>,
}

/// A request of the function to the runtime API.
#[derive(Debug)]
enum Call {
    /// The function requested an event.
    Asked,
    /// The function answered one; `Err` contains a response other than 200.
    Answered(Result<(), String>),
}

impl RuntimeApi {
    pub(crate) fn start() -> io::Result<Self> {
        let (events, queued) = tokio::sync::mpsc::unbounded_channel();
        let (sender, calls) = mpsc::channel();
        let shared = Arc::new(Shared {
            queued: Mutex::new(queued),
            sender,
        });
        let address = listen("runtime-api", move |stream| {
            let shared = Arc::clone(&shared);
            async move { speak(stream, |request| shared.answer(request)).await }
        })?;
        Ok(Self {
            address,
            events,
            calls,
        })
    }

    /// Waits until the function requests an event, and returns the time.
    pub(crate) fn asked(&self) -> io::Result<Instant> {
        match self.next_call()? {
            (at, Call::Asked) => Ok(at),
            (_, other) => Err(io::Error::other(format!("{other:?} before it was asked"))),
        }
    }

    /// Sends an event and waits for the response, then for the next request. The time is measured from
    /// sending the event to the response's last byte.
    pub(crate) fn invoke(&self, event: &Bytes) -> io::Result<Duration> {
        let handed_over = Instant::now();
        self.events
            .send(event.clone())
            .map_err(|_| io::Error::other("the runtime API is gone"))?;
        let (answered, Call::Answered(outcome)) = self.next_call()? else {
            return Err(io::Error::other("asked again without an answer"));
        };
        outcome.map_err(io::Error::other)?;
        self.asked()?;
        Ok(answered - handed_over)
    }

    fn next_call(&self) -> io::Result<(Instant, Call)> {
        self.calls.recv_timeout(TIMEOUT).map_err(io::Error::other)
    }
}

/// Returns an upload as an HTTP API's event: the sample event, with this form.
pub(crate) fn event(form: &Payload) -> io::Result<Bytes> {
    const SAMPLE: &str = include_str!("../../events/apigw-v2-upload.json");
    let whole = form.whole();
    let mut event: Value = serde_json::from_str(SAMPLE)?;
    event["headers"]["content-length"] = json!(whole.len().to_string());
    event["headers"]["content-type"] = json!(form.content_type);
    event["body"] = json!(base64_simd::STANDARD.encode_to_string(whole));
    Ok(event.to_string().into())
}

struct Shared {
    queued: Mutex<tokio::sync::mpsc::UnboundedReceiver<Bytes>>,
    sender: mpsc::Sender<(Instant, Call)>,
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() == Method::GET {
            return self.next().await;
        }
        let succeeded = request.uri().path().ends_with("/response");
        let body = match request.into_body().collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => Bytes::new(),
        };
        let text = || String::from_utf8_lossy(&body).into_owned();
        let is_200 = succeeded && text().contains(r#""statusCode":200"#);
        self.report(Call::Answered(if is_200 { Ok(()) } else { Err(text()) }));
        let response = Response::builder().status(StatusCode::ACCEPTED);
        response.body(Full::default()).expect("a response")
    }

    async fn next(&self) -> Response<Full<Bytes>> {
        self.report(Call::Asked);
        let event = self.queued.lock().await.recv().await.unwrap_or_default();
        let deadline = SystemTime::now() + TIMEOUT;
        let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default();
        let deadline = deadline.as_millis().to_string();
        let arn = "arn:aws:lambda:us-east-1:123456789012:function:bench";
        Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", Uuid::new_v4().to_string())
            .header("lambda-runtime-deadline-ms", deadline)
            .header("lambda-runtime-invoked-function-arn", arn)
            .body(Full::new(event))
            .expect("a response")
    }

    fn report(&self, call: Call) {
        // The receiver is dropped once the measurement is over.
        let _ = self.sender.send((Instant::now(), call));
    }
}
