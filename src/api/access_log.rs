//! Access log: one line per request. The middleware also adds the request id to each response and
//! writes the envelope of a failure, which contains it.

use std::{
    error::Error as _,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri},
    middleware::Next,
    response::Response,
};
use tracing::{Instrument as _, Level};
use uuid::Uuid;

use super::{Arrival, Error, error::Failure, reply, trace_id};
use crate::{
    store::ObjectKey,
    upload::{Stored, media::Geo},
};

/// Response header with the request id of the log line.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Fields of the log line that handlers fill in.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal(Arc<Mutex<Entry>>);

#[derive(Debug, Default)]
struct Entry {
    user: Option<String>,
    bytes: u64,
    keys: String,
    /// Worst case among the files of the request.
    geo: Option<Geo>,
    store_time: Duration,
}

impl Journal {
    /// Records the user of the token.
    pub(super) fn user(&self, id: &str) {
        self.entry().user = Some(id.to_owned());
    }

    /// Records a stored file.
    pub(super) fn stored(&self, file: &Stored) {
        self.stored_bytes(&file.key, file.size);
        let mut entry = self.entry();
        entry.store_time += file.store_time;
        entry.geo = entry.geo.max(file.geo);
    }

    /// Records the key and size of a stored object.
    pub(super) fn stored_bytes(&self, key: &ObjectKey, bytes: u64) {
        self.entry().bytes += bytes;
        self.key(key);
    }

    /// Records the key of an object.
    pub(super) fn key(&self, key: &ObjectKey) {
        let mut entry = self.entry();
        if !entry.keys.is_empty() {
            entry.keys.push(' ');
        }
        entry.keys.push_str(key.as_str());
    }

    fn entry(&self) -> std::sync::MutexGuard<'_, Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Assigns a request id, runs the request, and writes a failure's envelope and the log line.
pub(super) async fn record(mut request: Request, next: Next) -> Response {
    let mut line = Line::begin(&request);
    request.extensions_mut().insert(line.journal.clone());
    let span = tracing::info_span!("request", request_id = line.request_id);
    let mut response = next.run(request).instrument(span).await;

    let failure = response.extensions_mut().remove::<Failure>();
    if let Some(Failure(error)) = &failure {
        reply::fail(&mut response, error, &line.request_id);
    }
    if let Ok(id) = HeaderValue::from_str(&line.request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    line.end = Some((response.status(), failure.map(|Failure(error)| error)));
    response
}

/// The log line of one request; written on drop, so that it is not lost when the client disconnects.
struct Line {
    request_id: String,
    trace_id: Option<String>,
    method: Method,
    route: String,
    uri: Uri,
    started: Instant,
    journal: Journal,
    end: Option<(StatusCode, Option<Arc<Error>>)>,
}

impl Line {
    fn begin(request: &Request) -> Self {
        let arrival = request.extensions().get::<Arrival>();
        let given = arrival.and_then(|arrival| arrival.request_id.clone());
        let route = request.extensions().get::<MatchedPath>();
        Self {
            request_id: given.unwrap_or_else(|| Uuid::new_v4().to_string()),
            trace_id: trace_id::from_headers(request.headers()),
            method: request.method().clone(),
            uri: request.uri().clone(),
            route: route.map_or("-", MatchedPath::as_str).to_owned(),
            started: Instant::now(),
            journal: Journal::default(),
            end: None,
        }
    }

    /// Returns the requested path, for 404 only.
    fn path(&self, status: u16) -> Option<String> {
        (status == 404).then(|| loggable_path(self.uri.path()))
    }
}

/// Writes the line. A macro, since `tracing` accepts only literal levels and fields.
macro_rules! write_line {
    ($level:expr, $line:expr, $status:expr, $code:expr, $cause:expr) => {{
        let entry = $line.journal.entry();
        tracing::event!(
            $level,
            request_id = $line.request_id,
            trace_id = $line.trace_id,
            method = %$line.method,
            route = $line.route,
            path = $line.path($status),
            status = $status,
            code = $code,
            cause = $cause,
            user = entry.user,
            bytes = entry.bytes,
            key = entry.keys,
            geo = entry.geo.map(Geo::as_str),
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

/// Formats an error and its chain of causes in one line.
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

/// Formats a path for the log, without secrets and without control characters.
fn loggable_path(path: &str) -> String {
    /// Prefixes followed by signatures and upload ids. A gateway may leave a stage in front.
    const BEFORE_SECRETS: [&str; 2] = ["/f/", "/s3/"];
    const MAX_BYTES: usize = 200;
    const ELLIPSIS: &str = "…";

    let ends = BEFORE_SECRETS.map(|prefix| path.find(prefix).map(|at| at + prefix.len()));
    let end = ends.into_iter().flatten().min().unwrap_or(path.len());
    let mut text = String::new();
    for character in path[..end].chars() {
        let before = text.len();
        match character {
            ' '..='~' => text.push(character),
            _ => text.extend(character.escape_unicode()),
        }
        if text.len() > MAX_BYTES - ELLIPSIS.len() {
            text.truncate(before);
            return text + ELLIPSIS;
        }
    }
    if end < path.len() {
        text.push_str(ELLIPSIS);
    }
    text
}

/// Converts to milliseconds with three decimals.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_the_log_holds_no_secret_and_nothing_a_terminal_obeys() {
        let long = format!("/{}", "a".repeat(300));
        for (path, expected) in [
            ("/", "/"),
            ("/api/chat/uplaodAliyun", "/api/chat/uplaodAliyun"),
            ("/f/c2lnbmF0dXJlLWhlcmUtMg/images/a.png", "/f/…"),
            ("/v1/f/c2lnbmF0dXJlLWhlcmUtMg/images/a.png", "/v1/f/…"),
            ("/s3/multipart/id", "/s3/…"),
            ("/s3/f/id", "/s3/…"),
            ("/s3/", "/s3/"),
            ("/elf/x", "/elf/x"),
            ("/a%0A%1B[2J", "/a%0A%1B[2J"),
            ("/\u{1b}[2J\n\u{85}", "/\\u{1b}[2J\\u{a}\\u{85}"),
            ("/\u{202e}gnp", "/\\u{202e}gnp"),
            (&long, &format!("{}…", &long[..197])),
            (&"/é".repeat(100), &format!("{}/…", "/\\u{e9}".repeat(28))),
        ] {
            let text = loggable_path(path);
            assert_eq!(text, expected, "{path:?}");
            assert!(text.len() <= 200, "{} bytes", text.len());
        }
    }
}
