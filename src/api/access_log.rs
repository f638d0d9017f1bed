//! Access log: one line per request. The same middleware gives the answer its request id and a
//! failure its envelope, since both need the id.

use std::{
    error::Error as _,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue, Method, StatusCode},
    middleware::Next,
    response::Response,
};
use tracing::{Instrument as _, Level};
use uuid::Uuid;

use super::{Arrival, Error, error::Failure, reply};
use crate::{store::ObjectKey, upload::Stored};

/// Response header with the request id, which is in the log line, too.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Facts for the log line, noted by handlers.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal(Arc<Mutex<Entry>>);

#[derive(Debug, Default)]
struct Entry {
    user: Option<String>,
    bytes: u64,
    keys: String,
    store_time: Duration,
}

impl Journal {
    /// Notes the user of the token.
    pub(super) fn user(&self, id: &str) {
        self.entry().user = Some(id.to_owned());
    }

    /// Notes a file that was stored.
    pub(super) fn stored(&self, file: &Stored) {
        self.stored_bytes(&file.key, file.size);
        self.entry().store_time += file.store_time;
    }

    /// Notes bytes that were stored under a key.
    pub(super) fn stored_bytes(&self, key: &ObjectKey, bytes: u64) {
        let mut entry = self.entry();
        entry.bytes += bytes;
        if !entry.keys.is_empty() {
            entry.keys.push(' ');
        }
        entry.keys.push_str(key.as_str());
    }

    fn entry(&self) -> std::sync::MutexGuard<'_, Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the request an id, runs it, writes its failure's envelope and its log line.
pub(super) async fn record(mut request: Request, next: Next) -> Response {
    let mut line = Line::begin(&request);
    request.extensions_mut().insert(line.journal.clone());
    let span = tracing::info_span!("request", request_id = line.request_id);
    let mut response = next.run(request).instrument(span).await;

    let failure = response.extensions_mut().remove::<Failure>();
    if let Some(Failure(error)) = &failure {
        // By path: a full process refuses before the route is reached.
        let with_message = line.route.starts_with(reply::COMPANION);
        reply::fail(&mut response, error, &line.request_id, with_message);
    }
    if let Ok(id) = HeaderValue::from_str(&line.request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    line.end(response.status(), failure.map(|Failure(error)| error));
    response
}

/// The log line of one request, written on drop, so also when the client disconnects.
struct Line {
    request_id: String,
    method: Method,
    route: String,
    started: Instant,
    journal: Journal,
    end: Option<(StatusCode, Option<Arc<Error>>)>,
}

impl Line {
    fn begin(request: &Request) -> Self {
        let given = request
            .extensions()
            .get::<Arrival>()
            .and_then(|a| a.request_id.clone());
        let route = request.extensions().get::<MatchedPath>();
        Self {
            request_id: given.unwrap_or_else(|| Uuid::new_v4().to_string()),
            method: request.method().clone(),
            route: route.map_or("-", MatchedPath::as_str).to_owned(),
            started: Instant::now(),
            journal: Journal::default(),
            end: None,
        }
    }

    fn end(&mut self, status: StatusCode, error: Option<Arc<Error>>) {
        self.end = Some((status, error));
    }
}

/// `tracing` takes level and fields as literals only.
macro_rules! write_line {
    ($level:expr, $line:expr, $status:expr, $code:expr, $cause:expr) => {{
        let entry = $line.journal.entry();
        tracing::event!(
            $level,
            request_id = $line.request_id,
            method = %$line.method,
            route = $line.route,
            status = $status,
            code = $code,
            cause = $cause,
            user = entry.user,
            bytes = entry.bytes,
            key = entry.keys,
            store_ms = millis(entry.store_time),
            total_ms = millis($line.started.elapsed()),
            "request"
        );
    }};
}

impl Drop for Line {
    fn drop(&mut self) {
        match self.end.take() {
            None => write_line!(Level::WARN, self, 0, "client_gone", None::<&str>),
            Some((status, None)) => {
                write_line!(Level::INFO, self, status.as_u16(), "ok", None::<&str>)
            }
            Some((status, Some(error))) => {
                let (code, cause) = (error.row().code, causes(&error));
                if status.is_server_error() {
                    write_line!(Level::ERROR, self, status.as_u16(), code, cause);
                } else {
                    write_line!(Level::WARN, self, status.as_u16(), code, cause);
                }
            }
        }
    }
}

/// The error and its chain of causes, in one line.
fn causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

/// Milliseconds with three decimals.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
