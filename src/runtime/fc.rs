//! Function Compute's additions to HTTP: request id, credentials and timeout in `x-fc-*` headers,
//! events of the classic API gateway at `/invoke`, lifecycle hooks of the instance, and `x-fc-status`.
//!
//! `x-fc-control-path` identifies them, not the path: a browser may request `/invoke`, too.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderName, HeaderValue, Method, Request, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use http_body_util::{BodyExt as _, Limited};
use tokio::{sync::Semaphore, time::Instant};
use tower::{Service, ServiceExt as _, service_fn};

use super::{
    Limits,
    gateway::{self, GatewayEvent},
};
use crate::{api::Arrival, store::Credentials};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-fc-request-id");
const CONTROL_PATH: HeaderName = HeaderName::from_static("x-fc-control-path");
const KEY_ID: HeaderName = HeaderName::from_static("x-fc-access-key-id");
const KEY_SECRET: HeaderName = HeaderName::from_static("x-fc-access-key-secret");
const SESSION_TOKEN: HeaderName = HeaderName::from_static("x-fc-security-token");
const CLIENT_IP: HeaderName = HeaderName::from_static("x-fc-client-ip");
const TIMEOUT: HeaderName = HeaderName::from_static("x-fc-function-timeout");
/// Set to `404` for a failed call; FC's metrics count it as a success otherwise.
const STATUS: HeaderName = HeaderName::from_static("x-fc-status");

/// Largest event accepted, in bytes; FC itself accepts 32 MB.
const MAX_EVENT_BYTES: usize = 34 * 1024 * 1024;

/// Wraps the router for Function Compute.
pub fn service(
    router: Router,
    limits: Limits,
) -> impl Service<Request<Body>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let platform = Platform {
        router,
        permits: Arc::new(Semaphore::new(limits.max_in_flight)),
        timeout: limits.request,
    };
    service_fn(move |request| {
        let platform = platform.clone();
        async move { Ok(platform.call(request).await) }
    })
}

/// The router, with limits for events: their bodies are read before the router can limit a request.
#[derive(Clone)]
struct Platform {
    router: Router,
    /// One for each concurrent event.
    permits: Arc<Semaphore>,
    /// Longest wait for the whole body of an event.
    timeout: Duration,
}

impl Platform {
    async fn call(self, mut request: Request<Body>) -> Response {
        let arrival = arrival(&request);
        let mut response = match Call::from_request(&request) {
            Call::Http => {
                request.extensions_mut().insert(arrival);
                let Ok(response) = self.router.oneshot(request).await;
                response
            }
            Call::Event => self.invoke(request, arrival).await,
            Call::Hook => StatusCode::OK.into_response(),
        };
        if response.status().is_server_error() {
            let failed = HeaderValue::from_static("404");
            response.headers_mut().insert(STATUS, failed);
        }
        response
    }

    async fn invoke(self, request: Request<Body>, arrival: Arrival) -> Response {
        let Ok(_permit) = self.permits.try_acquire() else {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "too many events at a time");
        };
        let body = Limited::new(request.into_body(), MAX_EVENT_BYTES).collect();
        let limit = Instant::now() + self.timeout;
        let deadline = arrival.ends_at.map_or(limit, |end| end.min(limit));
        let body = match tokio::time::timeout_at(deadline, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return refused(StatusCode::BAD_REQUEST, "the event could not be read"),
            Err(_) => return refused(StatusCode::REQUEST_TIMEOUT, "the event came too slowly"),
        };
        let event: GatewayEvent = match serde_json::from_slice(&body) {
            Ok(event) => event,
            Err(error) => {
                let reason = format!("not a gateway event: {error}");
                return refused(StatusCode::BAD_REQUEST, &reason);
            }
        };
        let answer = gateway::answer(self.router, event, arrival).await;
        let answer = answer.map_err(|error| error.to_string());
        match answer.and_then(|it| serde_json::to_vec(&it).map_err(|error| error.to_string())) {
            Ok(json) => {
                let kind = HeaderValue::from_static("application/json");
                ([(CONTENT_TYPE, kind)], json).into_response()
            }
            Err(error) => {
                tracing::error!(error, "could not answer an event");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

/// Purpose of a request from Function Compute.
enum Call {
    /// An HTTP request of a client.
    Http,
    /// An event of a gateway, in the body.
    Event,
    /// A lifecycle hook: the instance starts or stops. Neither needs any work.
    Hook,
}

impl Call {
    fn from_request(request: &Request<Body>) -> Self {
        let control = request.headers().get(CONTROL_PATH);
        let control = control.map(HeaderValue::as_bytes);
        match (control, request.method(), request.uri().path()) {
            // `s local invoke` sends no control path.
            (Some(b"/invoke"), ..) | (None, &Method::POST, "/invoke") => Self::Event,
            (Some(b"/initialize" | b"/pre-stop"), ..) => Self::Hook,
            _ => Self::Http,
        }
    }
}

/// Answers in plain text: most of these events come from a developer who tests, not from a gateway.
fn refused(status: StatusCode, reason: &str) -> Response {
    tracing::warn!(reason, "refused an event");
    (status, reason.to_owned()).into_response()
}

fn arrival(request: &Request<Body>) -> Arrival {
    let text = |name: HeaderName| request.headers().get(name)?.to_str().ok();
    let text_or_empty = |name| text(name).unwrap_or_default();
    let id = text(REQUEST_ID).filter(|id| !id.is_empty());
    let seconds = text(TIMEOUT).and_then(|seconds| seconds.parse().ok());
    let timeout = seconds.map(Duration::from_secs);
    let server_arrival: Option<&Arrival> = request.extensions().get();
    Arrival {
        request_id: id.map(str::to_owned),
        client: text(CLIENT_IP).and_then(|address| address.parse().ok()),
        credentials: Credentials::new(
            text_or_empty(KEY_ID),
            text_or_empty(KEY_SECRET),
            text(SESSION_TOKEN).map(str::to_owned),
        ),
        ends_at: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
        // Keeps the shutdown signal that the server set.
        given_up: server_arrival.and_then(|arrival| arrival.given_up.clone()),
        ..Arrival::default()
    }
}
