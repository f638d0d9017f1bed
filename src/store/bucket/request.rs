//! Calls without the SDK: those that send or receive a file's bytes, and those whose response needs one XML
//! element at most. An SDK call costs more than everything else in a small upload, and each of its
//! operations adds about 40 KB to the program.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode,
    header::{
        AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_TYPE, DATE, ETAG, HOST, USER_AGENT,
    },
};
use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use http_body_util::{BodyExt as _, Either};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::capture_connection;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{
    Deadline, Session,
    endpoint::Address,
    pool::{RequestBody, SdkBody, poison},
    retry::{Attempts, Refusal, Taken},
    sigv4::{Signable, Signer, Stamp, UNSIGNED_PAYLOAD, encoded_query, hex},
};
use crate::store::{BoxError, ContentHeaders, Credentials, Error, chunks::Part};

/// Default of [`Call::response_bytes`]. Errors are XML of a few hundred bytes.
const RESPONSE_BYTES: usize = 64 * 1024;
/// Longest error message in the log, in bytes.
const MESSAGE_BYTES: usize = 500;
/// `User-Agent`, for the bucket's access log.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("chat-upload/", env!("CARGO_PKG_VERSION")));

const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

type Headers = Vec<(HeaderName, HeaderValue)>;

/// A call to the bucket.
#[derive(Debug)]
pub(super) struct Call<'c> {
    /// S3 operation.
    pub(super) operation: &'static str,
    pub(super) method: Method,
    /// Key of the object; empty for the bucket itself.
    pub(super) key: &'c str,
    /// Encoded and sorted query.
    pub(super) query: String,
    /// Headers besides those of every call.
    pub(super) headers: Headers,
    pub(super) body: Option<Part>,
    /// Most bytes to read of the response's body.
    pub(super) response_bytes: usize,
    deadline: Deadline,
}

impl<'c> Call<'c> {
    pub(super) fn new(operation: &'static str, method: Method, key: &'c str) -> Self {
        Self {
            operation,
            method,
            key,
            query: String::new(),
            headers: Vec::new(),
            body: None,
            response_bytes: RESPONSE_BYTES,
            deadline: Deadline::Store,
        }
    }

    /// Creates a request for an object's headers.
    pub(super) fn head(key: &'c str) -> Self {
        Self::new("HeadObject", Method::HEAD, key)
    }

    /// Creates a request to remove an object.
    pub(super) fn delete(key: &'c str) -> Self {
        Self::new("DeleteObject", Method::DELETE, key)
    }

    /// Creates a request to abort a multipart upload.
    pub(super) fn abort(key: &'c str, upload_id: &str) -> Self {
        let mut call = Self::new("AbortMultipartUpload", Method::DELETE, key);
        call.query = encoded_query(&[("uploadId", upload_id)]);
        call
    }

    /// Adds a header. Skips an invalid value, which no caller passes.
    pub(super) fn with(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        self.headers
            .extend(value.try_into().ok().map(|value| (name, value)));
        self
    }

    /// Adds the headers that are stored with an object.
    pub(super) fn with_content(self, content: &ContentHeaders, session: &Session) -> Self {
        let cache_control = &session.bucket.0.settings.cache_control;
        let call = self
            .with(CONTENT_TYPE, content.content_type.clone())
            .with(CACHE_CONTROL, cache_control.clone());
        match &content.disposition {
            Some(disposition) => call.with(CONTENT_DISPOSITION, disposition.clone()),
            None => call,
        }
    }

    /// Frees the call from the deadline of storing, because it undoes.
    pub(super) fn undoing(mut self) -> Self {
        self.deadline = Deadline::Undo;
        self
    }
}

/// A response with a 2xx status.
#[derive(Debug)]
pub(super) struct Response {
    headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Response {
    /// ETag, with its quotes.
    pub(super) fn etag(&self) -> Option<&str> {
        self.headers.get(ETAG)?.to_str().ok()
    }

    /// Whether it is an error in spite of status 200, as it may be when copying ("Response and special
    /// errors" of CopyObject in the S3 API Reference).
    fn is_error(&self) -> bool {
        self.element("Error").is_some()
    }

    /// Returns the text of the first XML element of this name.
    pub(super) fn element(&self, name: &str) -> Option<String> {
        let text = std::str::from_utf8(&self.body).ok()?;
        element(text, name).map(unescape)
    }

    /// Offset of the body in the object.
    pub(super) fn offset(&self) -> Option<u64> {
        let Some(range) = self.headers.get(CONTENT_RANGE) else {
            return Some(0);
        };
        let (start, _) = range
            .to_str()
            .ok()?
            .strip_prefix("bytes ")?
            .split_once('-')?;
        start.parse().ok()
    }

    /// Size of the whole object, in bytes, even if only a range was requested.
    pub(super) fn size(&self) -> Option<u64> {
        let range = self.headers.get(CONTENT_RANGE);
        let whole = range.and_then(|range| range.to_str().ok()?.rsplit_once('/'));
        let length = self.headers.get(CONTENT_LENGTH);
        let size = whole.map(|(_, size)| size);
        size.or(length.and_then(|length| length.to_str().ok()))?
            .parse()
            .ok()
    }
}

/// Why an attempt failed.
#[derive(Debug)]
enum AttemptError {
    /// Failed before anything was sent.
    Unsent(Error),
    TimedOut,
    NoResponse(BoxError),
    Refused(Box<Refusal>),
}

impl AttemptError {
    fn into_error(self, operation: &'static str) -> Error {
        match self {
            Self::Unsent(error) => error,
            Self::TimedOut => Error::TimedOut { operation },
            Self::NoResponse(source) => Error::no_response(operation, source),
            Self::Refused(refusal) => {
                let Refusal {
                    status,
                    code,
                    request_id,
                    message,
                    ..
                } = *refusal;
                Error::from_response(operation, status.as_u16(), code, request_id, message.into())
            }
        }
    }
}

impl Session {
    /// Sends a call, with retries, at most until its deadline.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Unavailable`] or [`Error::TimedOut`].
    pub(super) async fn send(
        &self,
        call: &Call<'_>,
        attempts: &Attempts,
    ) -> Result<Response, Error> {
        let operation = call.operation;
        let timeout = Instant::now() + self.bucket.0.settings.timeouts.operation;
        let until = self
            .until(call.deadline)
            .map_or(timeout, |limit| limit.min(timeout));
        match tokio::time::timeout_at(until, self.send_with_retries(call, attempts)).await {
            Ok(response) => response.map_err(|error| error.into_error(operation)),
            Err(_) => Err(Error::TimedOut { operation }),
        }
    }

    async fn send_with_retries(
        &self,
        call: &Call<'_>,
        attempts: &Attempts,
    ) -> Result<Response, AttemptError> {
        let tokens = &self.bucket.0.retry_tokens;
        let payload = self.payload(call);
        let mut taken = Taken::default();
        loop {
            let attempt = self.attempt(call, &payload, attempts);
            let timeout = self.bucket.0.settings.timeouts.attempt;
            let attempt = tokio::time::timeout(timeout, attempt).await;
            let error = match attempt.unwrap_or(Err(AttemptError::TimedOut)) {
                Ok(response) => {
                    tokens.release(taken);
                    return Ok(response);
                }
                Err(error) => error,
            };
            let refusal = match &error {
                // Not retryable.
                AttemptError::Unsent(_) => return Err(error),
                AttemptError::TimedOut | AttemptError::NoResponse(_) => None,
                AttemptError::Refused(refusal) => Some(&**refusal),
            };
            let Some(backoff) = tokens.take(refusal, attempts.made(), &mut taken) else {
                return Err(error);
            };
            tracing::debug!(operation = call.operation, ?error, ?backoff, "retrying");
            tokio::time::sleep(backoff).await;
        }
    }

    async fn attempt(
        &self,
        call: &Call<'_>,
        payload: &str,
        attempts: &Attempts,
    ) -> Result<Response, AttemptError> {
        let credentials = self.credentials.current().await;
        let credentials = credentials.map_err(AttemptError::Unsent)?;
        let sent_at = SystemTime::now();
        let request = self.sign(call, payload, &credentials);
        let mut request = request.map_err(|source| {
            AttemptError::Unsent(Error::unavailable(call.operation, "cannot be sent", source))
        })?;
        let used = capture_connection(&mut request);
        attempts.begin();
        let response = self.bucket.0.connections.send(request).await;
        let response = response.map_err(|error| AttemptError::NoResponse(error.into()))?;
        let (head, body) = response.into_parts();
        let (status, headers) = (head.status, head.headers);
        let mut text = BytesMut::new();
        if !status.is_success() {
            if status.is_server_error() {
                poison(&used);
            }
            // A truncated error body is still worth parsing.
            let _ = read(body, RESPONSE_BYTES, &mut text).await;
            return Err(self.refusal(status, &headers, &text, sent_at));
        }
        let whole = read(body, call.response_bytes, &mut text).await;
        whole.map_err(|error| AttemptError::NoResponse(error.into()))?;
        let body = text.freeze();
        let response = Response { headers, body };
        if call.method != Method::GET && response.is_error() {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return Err(self.refusal(status, &response.headers, &response.body, sent_at));
        }
        Ok(response)
    }

    fn sign(
        &self,
        call: &Call<'_>,
        payload: &str,
        credentials: &Credentials,
    ) -> Result<Request<RequestBody>, BoxError> {
        let bucket = &self.bucket.0;
        let address = &bucket.addresses.own;
        let stamp = Stamp::new(bucket.clock.now());
        let path = address.object_path(call.key);
        let headers = signed_headers(call, payload, address, credentials, &stamp)?;
        let region = address.region();
        let signer = Signer {
            credentials,
            key: &bucket.signing_keys.key(credentials, region, &stamp),
            region,
            stamp: &stamp,
        };
        let authorization = signer.authorization(&Signable {
            method: call.method.as_str(),
            path: &path,
            query: &call.query,
            headers: headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_bytes())),
            payload,
        });
        let body = match &call.body {
            Some(part) => Either::Left(part.body()),
            None => Either::Right(SdkBody::empty()),
        };
        let mut request = Request::new(body);
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = address.uri(&path, &call.query)?;
        request.headers_mut().extend(headers);
        let mut authorization = HeaderValue::try_from(authorization)?;
        authorization.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, authorization);
        request.headers_mut().insert(USER_AGENT, AGENT);
        Ok(request)
    }

    /// Value of `x-amz-content-sha256`.
    fn payload(&self, call: &Call<'_>) -> Cow<'static, str> {
        if !self.bucket.0.signs_payloads {
            return UNSIGNED_PAYLOAD.into();
        }
        let chunks = call.body.as_ref().map_or(&[][..], Part::chunks);
        let hash = chunks.iter().fold(Sha256::new(), Sha256::chain_update);
        hex(&hash.finalize()).into()
    }

    fn refusal(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        sent_at: SystemTime,
    ) -> AttemptError {
        let text = String::from_utf8_lossy(body);
        let skew = server_date(headers)
            .map(|server_date| self.bucket.0.clock.observe(server_date, sent_at));
        AttemptError::Refused(Box::new(Refusal {
            status,
            code: element(&text, "Code").unwrap_or("no code").to_owned(),
            request_id: request_id(headers, &text).unwrap_or("none").to_owned(),
            message: shorten(element(&text, "Message").unwrap_or("no message")),
            retry_after: retry_after(headers),
            skew: skew.unwrap_or_default(),
        }))
    }
}

/// Returns all headers that the signature covers, sorted by name.
fn signed_headers(
    call: &Call<'_>,
    payload: &str,
    address: &Address,
    credentials: &Credentials,
    stamp: &Stamp,
) -> Result<Headers, BoxError> {
    let mut headers = Vec::with_capacity(call.headers.len() + 5);
    headers.extend_from_slice(&call.headers);
    headers.push((HOST, address.host().clone()));
    if call.body.is_some() || matches!(call.method, Method::PUT | Method::POST) {
        let len = call.body.as_ref().map_or(0, Part::len);
        headers.push((CONTENT_LENGTH, HeaderValue::from(len)));
    }
    headers.push((CONTENT_SHA256, payload.parse()?));
    headers.push((AMZ_DATE, stamp.as_str().parse()?));
    if let Some(token) = credentials.session_token() {
        let mut token: HeaderValue = token.parse()?;
        token.set_sensitive(true);
        headers.push((SECURITY_TOKEN, token));
    }
    headers.sort_unstable_by(|(one, _), (another, _)| one.as_str().cmp(another.as_str()));
    Ok(headers)
}

/// Reads a body, at most `at_most` bytes of it.
async fn read(mut body: Incoming, at_most: usize, into: &mut BytesMut) -> hyper::Result<()> {
    while let Some(frame) = body.frame().await.transpose()? {
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let room = at_most - into.len();
        into.extend_from_slice(data.get(..room).unwrap_or(&data));
        if data.len() > room {
            break;
        }
    }
    Ok(())
}

/// Returns the text of the first XML element of this name.
fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(content.trim()).filter(|content| !content.is_empty())
}

/// Unescapes XML text.
fn unescape(text: &str) -> String {
    const ESCAPED: [(&str, &str); 6] = [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&apos;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ];
    let escaped = ESCAPED.iter();
    escaped.fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Request id, which both clouds need for a support case.
fn request_id<'t>(headers: &'t HeaderMap, text: &'t str) -> Option<&'t str> {
    let header = |name| headers.get(name)?.to_str().ok();
    header("x-amz-request-id")
        .or_else(|| header("x-oss-request-id"))
        .or_else(|| element(text, "RequestId"))
}

fn shorten(text: &str) -> String {
    text.char_indices()
        .take_while(|(at, _)| *at < MESSAGE_BYTES)
        .map(|(_, letter)| letter)
        .collect()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let millis = headers.get("x-amz-retry-after")?.to_str().ok()?.parse();
    millis.ok().map(Duration::from_millis)
}

/// Time of the response by the bucket's clock; `None` for a cached one.
fn server_date(headers: &HeaderMap) -> Option<SystemTime> {
    if headers.contains_key(AGE) {
        return None;
    }
    let date = headers.get(DATE)?.to_str().ok()?;
    DateTime::parse_from_rfc2822(date).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::store::{
        TimeLimit,
        bucket::fixture::{key, refused, scripted},
        chunks::PartBuilder,
        test_server::{OK, error_body, response},
    };

    /// Header that makes the next attempt immediate.
    const AT_ONCE: &str = "x-amz-retry-after: 0\r\n";
    const HOUR: Duration = Duration::from_secs(3600);

    async fn put(session: &Session) -> Result<Response, Error> {
        let mut filling = PartBuilder::default();
        filling.push(Bytes::from_static(b"content"));
        let mut call = Call::new("PutObject", Method::PUT, "images/a.png");
        call.body = Some(filling.take());
        session.send(&call, &Attempts::default()).await
    }

    fn http_date(at: SystemTime) -> String {
        let at = DateTime::<Utc>::from(at).format("%a, %d %b %Y %H:%M:%S GMT");
        format!("date: {at}\r\n")
    }

    #[test]
    fn the_text_of_an_element_is_not_escaped_any_more() {
        for (body, text) in [
            ("<R><ETag>&quot;a-1&quot;</ETag></R>", Some("\"a-1\"")),
            ("<ETag> &#34;a&#34;\n</ETag>", Some("\"a\"")),
            ("<ETag>&amp;lt;&lt;&apos;&gt;</ETag>", Some("&lt;<'>")),
            ("<ETag></ETag>", None),
            ("<ETag>a", None),
            ("<Etag>a</Etag>", None),
        ] {
            let response = Response {
                headers: HeaderMap::new(),
                body: Bytes::from_static(body.as_bytes()),
            };
            assert_eq!(response.element("ETag").as_deref(), text, "{body}");
        }
    }

    #[tokio::test]
    async fn a_request_is_signed_with_all_that_it_says() {
        let (server, session) = scripted([OK.to_owned()]).await;
        let stored = put(&session).await.expect("stored");
        assert_eq!(stored.etag(), Some("\"e\""));
        let asked = &server.requests()[0];
        assert_eq!(asked.line(), "PUT /s3/chat/images/a.png HTTP/1.1");
        for (name, value) in [
            ("content-length", "7"),
            ("x-amz-content-sha256", UNSIGNED_PAYLOAD),
            ("x-amz-security-token", "token"),
        ] {
            assert_eq!(asked.header(name), Some(value), "{asked:?}");
        }
        let authorization = asked.header("authorization").expect("signed");
        let names = "SignedHeaders=content-length;host;x-amz-content-sha256;x-amz-date;\
                     x-amz-security-token, ";
        assert!(authorization.contains(names), "{authorization}");
    }

    #[tokio::test]
    async fn clock_skew_is_corrected_by_the_answer_and_stays_corrected() {
        let date = http_date(SystemTime::now() + HOUR) + AT_ONCE;
        let skewed = response(403, &date, &error_body("RequestTimeTooSkewed"));
        let (server, session) = scripted([skewed, OK.to_owned(), OK.to_owned()]).await;
        put(&session).await.expect("stored");
        put(&session).await.expect("stored");
        let asked = server.requests();
        let stamps: Vec<_> = asked.iter().map(|a| a.header("x-amz-date")).collect();
        let soon = Stamp::new(SystemTime::now() + HOUR / 2);
        let soon = Some(soon.as_str());
        assert_eq!(stamps.len(), 3);
        assert!(stamps[0] < soon, "{stamps:?}");
        assert!(stamps[1] > soon && stamps[2] > soon, "{stamps:?}");
    }

    #[tokio::test]
    async fn a_wrong_signature_at_the_right_time_is_refused_at_once() {
        let date = http_date(SystemTime::now()) + AT_ONCE;
        let wrong = response(403, &date, &error_body("SignatureDoesNotMatch"));
        let (server, session) = scripted([wrong, OK.to_owned()]).await;
        assert_eq!(refused(put(&session).await), 403);
        assert_eq!(server.requests().len(), 1);
    }

    #[tokio::test]
    async fn a_connection_is_used_again_but_not_after_a_server_error() {
        let busy = response(503, AT_ONCE, &error_body("SlowDown"));
        let gone = response(404, "", &error_body("NoSuchBucket"));
        let responses = [OK.to_owned(), gone, busy, OK.to_owned(), OK.to_owned()];
        let (server, session) = scripted(responses).await;
        for stored in [true, false, true, true] {
            assert_eq!(put(&session).await.is_ok(), stored);
        }
        let requests = server.requests();
        let connections: Vec<_> = requests.iter().map(|it| it.connection).collect();
        assert_eq!(connections, [0, 0, 0, 1, 1]);
    }

    #[tokio::test]
    async fn a_refusal_says_code_and_request_id_wherever_they_stand() {
        let in_body = "<?xml version=\"1.0\"?>\n<Error>\n  <Code>AccessDenied</Code>\
                       <RequestId>of-body</RequestId></Error>";
        let both = "x-amz-request-id: s3\r\nx-oss-request-id: oss\r\n";
        for (headers, body, code, id) in [
            ("", "", "no code", "none"),
            ("", in_body, "AccessDenied", "of-body"),
            ("x-oss-request-id: oss\r\n", in_body, "AccessDenied", "oss"),
            (both, "<html>", "no code", "s3"),
        ] {
            let (_, session) = scripted([response(403, headers, body)]).await;
            match put(&session).await {
                Err(Error::Refused {
                    operation,
                    status,
                    code: found_code,
                    request_id,
                    ..
                }) => {
                    assert_eq!((operation, status), ("PutObject", 403));
                    assert_eq!((&*found_code, &*request_id), (code, id));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn an_endless_error_is_read_no_further_than_64_kib() {
        let start = error_body("AccessDenied") + &"x".repeat(2 * RESPONSE_BYTES);
        let endless = format!("HTTP/1.1 403 No\r\ncontent-length: 999999999\r\n\r\n{start}");
        let (_, session) = scripted([endless]).await;
        let error = put(&session).await.expect_err("refused");
        assert!(matches!(&error, Error::Refused { code, .. } if code == "AccessDenied"));
    }

    #[tokio::test]
    async fn three_attempts_that_fail_are_the_last_ones_failure() {
        let broken = response(500, AT_ONCE, &error_body("InternalError"));
        let (server, session) = scripted([broken.clone(), broken.clone(), broken]).await;
        let error = put(&session).await.expect_err("broken");
        assert!(matches!(&error, Error::Unavailable { detail, .. }
            if detail.starts_with("500 InternalError")));
        assert_eq!(server.requests().len(), 3);
    }

    #[tokio::test]
    async fn undoing_goes_on_when_storing_must_have_stopped() {
        let (_, mut session) = scripted([OK.to_owned(), OK.to_owned()]).await;
        let now = Instant::now();
        session.limit = Some(TimeLimit {
            // Earlier than now, since timers have a resolution of 1 ms.
            store_until: now - HOUR / 3600,
            undo_until: now + HOUR,
        });
        let key = key("images/a.png");
        let error = session.remove(&key).await.expect_err("too late");
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
        let exists = session.exists(&key).await;
        assert!(exists.expect("a response"));
    }
}
