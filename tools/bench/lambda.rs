//! Stand-in for Lambda's runtime API, on a thread of its own: hands events to the function and
//! reports when it asks for one and when it answers.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, mpsc},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpListener, sync::Mutex};
use uuid::Uuid;

use crate::client::{Payload, UPLOAD};

const TIMEOUT: Duration = Duration::from_secs(30);

/// The runtime API for one function at a time.
pub(crate) struct RuntimeApi {
    pub(crate) address: SocketAddr,
    events: tokio::sync::mpsc::UnboundedSender<Bytes>,
    seen: mpsc::Receiver<(Instant, Seen)>,
}

/// A call of the function to the runtime API.
#[derive(Debug)]
enum Seen {
    /// It asked for an event.
    Asked,
    /// It answered one; `Err` holds an answer that is not a 200.
    Answered(Result<(), String>),
}

impl RuntimeApi {
    pub(crate) fn start() -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (events, queued) = tokio::sync::mpsc::unbounded_channel();
        let (tell, seen) = mpsc::channel();
        let shared = Arc::new(Shared {
            queued: Mutex::new(queued),
            tell,
        });
        let runtime = crate::process::runtime()?;
        std::thread::Builder::new()
            .name("runtime-api".to_owned())
            .spawn(move || runtime.block_on(serve(listener, shared)))?;
        Ok(Self {
            address,
            events,
            seen,
        })
    }

    /// Waits until the function asks for an event, and says when it did.
    pub(crate) fn asked(&self) -> io::Result<Instant> {
        match self.next_seen()? {
            (at, Seen::Asked) => Ok(at),
            (_, other) => Err(io::Error::other(format!("{other:?} before it was asked"))),
        }
    }

    /// Hands over an event and waits for the answer, then for the next question. The time is from
    /// the event's hand-over to the answer's last byte.
    pub(crate) fn invoke(&self, event: &Bytes) -> io::Result<Duration> {
        let handed_over = Instant::now();
        self.events
            .send(event.clone())
            .map_err(|_| io::Error::other("the runtime API is gone"))?;
        let (answered, Seen::Answered(outcome)) = self.next_seen()? else {
            return Err(io::Error::other("asked again without an answer"));
        };
        outcome.map_err(io::Error::other)?;
        self.asked()?;
        Ok(answered - handed_over)
    }

    fn next_seen(&self) -> io::Result<(Instant, Seen)> {
        self.seen.recv_timeout(TIMEOUT).map_err(io::Error::other)
    }
}

/// An upload as an HTTP API hands it over (payload format 2.0).
pub(crate) fn event(form: &Payload) -> Bytes {
    let event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": UPLOAD,
        "rawQueryString": "",
        "headers": {
            "accept": "*/*",
            "content-length": form.whole().len().to_string(),
            "content-type": form.content_type(),
            "host": "abcdef1234.execute-api.us-east-1.amazonaws.com",
            "user-agent": "bench",
            "x-forwarded-for": "203.0.113.7",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdef1234",
            "domainName": "abcdef1234.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "abcdef1234",
            "http": {
                "method": "POST",
                "path": UPLOAD,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "bench",
            },
            "requestId": "6a1f3c52-8d0e-4b7a-9c15-2e4d7f90ab31",
            "routeKey": "$default",
            "stage": "$default",
            "time": "17/Apr/2025:05:12:12 +0000",
            "timeEpoch": 1_744_866_732_481_u64,
        },
        "body": base64_simd::STANDARD.encode_to_string(form.whole()),
        "isBase64Encoded": true,
    });
    event.to_string().into()
}

struct Shared {
    queued: Mutex<tokio::sync::mpsc::UnboundedReceiver<Bytes>>,
    tell: mpsc::Sender<(Instant, Seen)>,
}

async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(shared.answer(request).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
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
        self.tell(Seen::Answered(if is_200 { Ok(()) } else { Err(text()) }));
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::ACCEPTED;
        response
    }

    async fn next(&self) -> Response<Full<Bytes>> {
        self.tell(Seen::Asked);
        let event = self.queued.lock().await.recv().await.unwrap_or_default();
        let deadline = SystemTime::now() + TIMEOUT;
        let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut response = Response::new(Full::new(event));
        for (name, value) in [
            ("content-type", "application/json".to_owned()),
            ("lambda-runtime-aws-request-id", Uuid::new_v4().to_string()),
            (
                "lambda-runtime-deadline-ms",
                deadline.as_millis().to_string(),
            ),
            (
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:us-east-1:123456789012:function:bench".to_owned(),
            ),
        ] {
            if let Ok(value) = value.parse() {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    fn tell(&self, seen: Seen) {
        // Nobody listens once the measurement is over.
        let _ = self.tell.send((Instant::now(), seen));
    }
}
