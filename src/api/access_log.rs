//! One line in the log per request, one id in its answer, and the envelope of its failure: what
//! needs to know both how a request came and how it ended.

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

/// The answer's header with the id that the log line has, too.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a handler notes about its request for the log.
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
    /// Notes whose token it was.
    pub(super) fn user(&self, id: &str) {
        self.entry().user = Some(id.to_owned());
    }

    /// Notes a file that was stored.
    pub(super) fn stored(&self, file: &Stored) {
        self.took(&file.key, file.size);
        self.entry().store_time += file.store_time;
    }

    /// Notes bytes that were stored under a key.
    pub(super) fn took(&self, key: &ObjectKey, bytes: u64) {
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

/// Gives the request an id, runs it, answers its failure, and writes its line.
pub(super) async fn record(mut request: Request, next: Next) -> Response {
    let mut line = Line::begin(&request);
    request.extensions_mut().insert(line.journal.clone());
    let span = tracing::info_span!("request", request_id = line.request_id);
    let mut response = next.run(request).instrument(span).await;

    let failure = response.extensions_mut().remove::<Failure>();
    if let Some(Failure(error)) = &failure {
        // Also where the route itself was not reached, as when the process is full.
        let with_message = line.route.starts_with(reply::COMPANION);
        reply::fail(&mut response, error, &line.request_id, with_message);
    }
    if let Ok(id) = HeaderValue::from_str(&line.request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    line.end(response.status(), failure.map(|Failure(error)| error));
    response
}

/// The log line of one request; written when it is dropped, so also when the client goes away.
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

/// `tracing` wants a line's level and fields written out where the line is.
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
                match status.is_server_error() {
                    true => write_line!(Level::ERROR, self, status.as_u16(), code, cause),
                    false => write_line!(Level::WARN, self, status.as_u16(), code, cause),
                }
            }
        }
    }
}

/// An error and all that caused it, in one line.
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
