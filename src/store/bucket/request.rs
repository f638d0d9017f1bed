//! The calls without XML, those with a file's bytes above all: signed, sent, judged and repeated
//! here and not by the SDK, whose way from a builder to an answer costs more than everything else
//! that a small upload does, and whose every operation is some 20 KB of the program.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat, SdkBody};
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{AGE, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, HOST, USER_AGENT},
};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Either};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{
    Access, Payload,
    endpoint::Address,
    pool::Sent,
    retry::{Failed, Spent},
    sigv4::{Signable, Signer, Stamp, UNSIGNED_PAYLOAD, encoded_query, hex},
    write::Attempts,
};
use crate::store::{Credentials, Error, chunks::Part};

/// Most of an answer that is read where no more is asked for, in bytes. Errors are XML of some
/// hundred.
const ANSWER_BYTES: usize = 64 * 1024;
/// Most of the bucket's own words that go into the log, in bytes.
const MESSAGE_BYTES: usize = 500;
/// What the bucket's own log calls us.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("chat-upload/", env!("CARGO_PKG_VERSION")));

const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Headers = Vec<(HeaderName, HeaderValue)>;

/// What is asked of the bucket.
#[derive(Debug)]
pub(super) struct Call<'c> {
    /// S3's name for it.
    pub(super) operation: &'static str,
    pub(super) method: Method,
    /// The object's; empty for the bucket.
    pub(super) key: &'c str,
    /// Encoded and sorted.
    pub(super) query: String,
    /// Beside those that every call has.
    pub(super) headers: Headers,
    pub(super) body: Option<Part>,
    /// Most of the answer's body that is wanted, in bytes.
    pub(super) wanted: usize,
    /// Whether it undoes something, for which there is time when storing must have stopped.
    undoes: bool,
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
            wanted: ANSWER_BYTES,
            undoes: false,
        }
    }

    /// What is known of an object.
    pub(super) fn head(key: &'c str) -> Self {
        Self::new("HeadObject", Method::HEAD, key)
    }

    /// Removes an object, whether it is there or not.
    pub(super) fn delete(key: &'c str) -> Self {
        Self::new("DeleteObject", Method::DELETE, key)
    }

    /// Ends a multipart upload without an object.
    pub(super) fn abort(key: &'c str, upload_id: &str) -> Self {
        let mut call = Self::new("AbortMultipartUpload", Method::DELETE, key);
        call.query = encoded_query(&[("uploadId", upload_id)]);
        call
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same as part of undoing.
    pub(super) fn undoing(mut self) -> Self {
        self.undoes = true;
        self
    }
}

/// What a bucket said when all went well.
#[derive(Debug)]
pub(super) struct Answer {
    headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// The mark of these bytes, in its quotes.
    pub(super) fn etag(&self) -> Option<&str> {
        self.headers.get(ETAG)?.to_str().ok()
    }

    /// Size of the whole object, in bytes, whether all of it was asked for or not.
    pub(super) fn whole_size(&self) -> Option<u64> {
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
enum Failure {
    /// Before anything was sent.
    Unsent(Error),
    TimedOut,
    Unanswered(BoxError),
    Answered(Box<Refusal>),
}

/// An answer that is an error.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: String,
    request_id: String,
    message: String,
    pause: Option<Duration>,
    skew: Duration,
}

impl Failure {
    fn unsent(operation: &'static str, source: BoxError) -> Self {
        Self::Unsent(Error::Unavailable {
            operation,
            detail: "cannot be sent".to_owned(),
            source,
        })
    }

    /// `None`: nothing that another attempt could change.
    fn seen(&self) -> Option<Failed<'_>> {
        match self {
            Self::Unsent(_) => None,
            Self::TimedOut | Self::Unanswered(_) => Some(Failed::Unanswered),
            Self::Answered(refusal) => Some(Failed::Answered {
                status: refusal.status,
                code: &refusal.code,
                pause: refusal.pause,
                skew: refusal.skew,
            }),
        }
    }

    fn of(self, operation: &'static str) -> Error {
        match self {
            Self::Unsent(error) => error,
            Self::TimedOut => Error::TimedOut { operation },
            Self::Unanswered(source) => Error::Unavailable {
                operation,
                detail: "no answer".to_owned(),
                source,
            },
            Self::Answered(refusal) => refusal.of(operation),
        }
    }
}

impl Refusal {
    fn of(self, operation: &'static str) -> Error {
        let Self {
            status,
            code,
            request_id,
            message,
            ..
        } = self;
        match status.as_u16() {
            // 3xx: the bucket is in another region.
            status @ 300..=499 => Error::Refused {
                operation,
                status,
                code,
                request_id,
                source: message.into(),
            },
            status => Error::Unavailable {
                operation,
                detail: format!("{status} {code}, request id {request_id:?}"),
                source: message.into(),
            },
        }
    }
}

impl Access {
    /// Makes a call, with repetitions, at most until storing must stop, or undoing for a call that
    /// undoes something.
    ///
    /// # Errors
    /// As every call to the bucket: refused, unavailable or timed out.
    pub(super) async fn send(&self, call: &Call<'_>, attempts: &Attempts) -> Result<Answer, Error> {
        let operation = call.operation;
        let patience = Instant::now() + self.bucket.0.settings.patience.operation;
        let limit = self.limit.map(|limit| match call.undoes {
            true => limit.undo_until,
            false => limit.store_until,
        });
        let until = limit.map_or(patience, |limit| limit.min(patience));
        match tokio::time::timeout_at(until, self.persist(call, attempts)).await {
            Ok(outcome) => outcome.map_err(|failure| failure.of(operation)),
            Err(_) => Err(Error::TimedOut { operation }),
        }
    }

    async fn persist(&self, call: &Call<'_>, attempts: &Attempts) -> Result<Answer, Failure> {
        let quota = &self.bucket.0.quota;
        let payload = self.payload(call);
        let mut spent = Spent::default();
        loop {
            let attempt = self.attempt(call, &payload, attempts);
            let patience = self.bucket.0.settings.patience.attempt;
            let attempt = tokio::time::timeout(patience, attempt).await;
            let failure = match attempt.unwrap_or(Err(Failure::TimedOut)) {
                Ok(answer) => {
                    quota.earn(spent);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let seen = failure.seen();
            let pause = seen.and_then(|seen| quota.pause(seen, attempts.made(), &mut spent));
            let Some(pause) = pause else {
                return Err(failure);
            };
            tracing::debug!(operation = call.operation, ?failure, ?pause, "again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        call: &Call<'_>,
        payload: &str,
        attempts: &Attempts,
    ) -> Result<Answer, Failure> {
        let keys = self.keys().await.map_err(Failure::Unsent)?;
        let address = self.bucket.address().await.map_err(Failure::Unsent)?;
        let sent_at = SystemTime::now();
        let request = self.signed(call, payload, address, &keys);
        let mut request = request.map_err(|source| Failure::unsent(call.operation, source))?;
        let used = capture_connection(&mut request);
        attempts.begin();
        let answer = self.bucket.0.connections.send(request).await;
        let answer = answer.map_err(|error| Failure::Unanswered(error.into()))?;
        if answer.status().is_success() {
            return whole(answer, call.wanted).await;
        }
        Err(self.refused(answer, &used, sent_at).await)
    }

    fn signed(
        &self,
        call: &Call<'_>,
        payload: &str,
        address: &Address,
        keys: &Credentials,
    ) -> Result<Request<Sent>, BoxError> {
        let stamp = Stamp::at(self.bucket.0.clock.now());
        let path = address.path_of(call.key);
        let headers = headers_of(call, payload, address, keys, &stamp)?;
        let region = address.region();
        let signer = Signer {
            credentials: keys,
            key: &self.bucket.0.signing_keys.key(keys, region, &stamp),
            region,
            stamp,
        };
        let authorization = signer.authorization(&Signable {
            method: call.method.as_str(),
            path: &path,
            query: &call.query,
            headers: headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())),
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

    /// What the signature says of the body.
    fn payload(&self, call: &Call<'_>) -> Cow<'static, str> {
        match self.bucket.0.payload {
            Payload::Unsigned => UNSIGNED_PAYLOAD.into(),
            Payload::Signed => {
                let chunks = call.body.as_ref().map_or(&[][..], Part::chunks);
                let hash = chunks.iter().fold(Sha256::new(), Sha256::chain_update);
                hex(&hash.finalize()).into()
            }
        }
    }

    /// Reads an answer that is an error.
    async fn refused(
        &self,
        answer: Response<Incoming>,
        used: &CaptureConnection,
        sent_at: SystemTime,
    ) -> Failure {
        let (head, body) = answer.into_parts();
        if head.status.is_server_error()
            && let Some(connected) = used.connection_metadata().as_ref()
        {
            // Behind the same connection stands the same server.
            connected.poison();
        }
        let mut text = BytesMut::new();
        // What came of it has to do.
        let _ = read(body, ANSWER_BYTES, &mut text).await;
        let text = String::from_utf8_lossy(&text);
        let skew = theirs(&head.headers).map(|theirs| self.bucket.0.clock.compare(theirs, sent_at));
        Failure::Answered(Box::new(Refusal {
            status: head.status,
            code: element(&text, "Code").unwrap_or("no code").to_owned(),
            request_id: request_id(&head.headers, &text)
                .unwrap_or("none")
                .to_owned(),
            message: shortened(element(&text, "Message").unwrap_or("no message")),
            pause: pause(&head.headers),
            skew: skew.unwrap_or_default(),
        }))
    }
}

/// All headers that the signature covers, sorted by name.
fn headers_of(
    call: &Call<'_>,
    payload: &str,
    address: &Address,
    keys: &Credentials,
    stamp: &Stamp,
) -> Result<Headers, BoxError> {
    let mut headers = Vec::with_capacity(call.headers.len() + 5);
    headers.extend_from_slice(&call.headers);
    headers.push((HOST, address.host().clone()));
    if let Some(body) = &call.body {
        headers.push((CONTENT_LENGTH, HeaderValue::from(body.len())));
    }
    headers.push((CONTENT_SHA256, payload.parse()?));
    headers.push((AMZ_DATE, stamp.as_str().parse()?));
    if let Some(token) = keys.session_token() {
        let mut token: HeaderValue = token.parse()?;
        token.set_sensitive(true);
        headers.push((SECURITY_TOKEN, token));
    }
    headers.sort_unstable_by(|(one, _), (another, _)| one.as_str().cmp(another.as_str()));
    Ok(headers)
}

async fn whole(answer: Response<Incoming>, wanted: usize) -> Result<Answer, Failure> {
    let (head, body) = answer.into_parts();
    let mut text = BytesMut::new();
    match read(body, wanted, &mut text).await {
        Ok(()) => Ok(Answer {
            headers: head.headers,
            body: text.freeze(),
        }),
        Err(error) => Err(Failure::Unanswered(error.into())),
    }
}

/// Reads a body to its end, or as much of it as is wanted.
async fn read(mut body: Incoming, wanted: usize, into: &mut BytesMut) -> hyper::Result<()> {
    while let Some(frame) = body.frame().await.transpose()? {
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let room = wanted - into.len();
        into.extend_from_slice(data.get(..room).unwrap_or(&data));
        if data.len() > room {
            break;
        }
    }
    Ok(())
}

/// The text of the first element of this name.
fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(content.trim()).filter(|content| !content.is_empty())
}

/// Both clouds ask for it in a support case.
fn request_id<'t>(headers: &'t HeaderMap, text: &'t str) -> Option<&'t str> {
    let header = |name| headers.get(name)?.to_str().ok();
    header("x-amz-request-id")
        .or_else(|| header("x-oss-request-id"))
        .or_else(|| element(text, "RequestId"))
}

fn shortened(text: &str) -> String {
    text.char_indices()
        .take_while(|(at, _)| *at < MESSAGE_BYTES)
        .map(|(_, letter)| letter)
        .collect()
}

/// What the answer asks to wait, in milliseconds.
fn pause(headers: &HeaderMap) -> Option<Duration> {
    let millis = headers.get("x-amz-retry-after")?.to_str().ok()?.parse();
    millis.ok().map(Duration::from_millis)
}

/// When the answer was made, by the bucket's own clock.
fn theirs(headers: &HeaderMap) -> Option<SystemTime> {
    if headers.contains_key(AGE) {
        // Out of a cache.
        return None;
    }
    let date = headers.get(DATE)?.to_str().ok()?;
    let date = DateTime::from_str(date, DateTimeFormat::HttpDate).ok()?;
    SystemTime::try_from(date).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::store::{
        ObjectKey, PartUploads, Seen, Tasks, TimeLimit,
        bucket::{self, Bucket, Certificates, Dialect, Patience},
        chunks::PartBuilder,
    };

    /// Asks for the next attempt at once.
    const AT_ONCE: &str = "x-amz-retry-after: 0\r\n";
    const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\netag: \"e\"\r\n\r\n";

    /// A bucket that gives these answers, in this order, and then none.
    struct Script {
        access: Access,
        asked: Arc<Mutex<Vec<Asked>>>,
    }

    /// One request, and the number of the connection it came by.
    #[derive(Clone, Debug)]
    struct Asked {
        connection: usize,
        head: String,
    }

    impl Asked {
        fn header(&self, name: &str) -> Option<&str> {
            let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
            lines
                .find(|(found, _)| *found == name)
                .map(|(_, value)| value)
        }
    }

    impl Script {
        async fn of(answers: &[String]) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let endpoint = format!("http://{}/s3", listener.local_addr().expect("an address"));
            let asked = Arc::default();
            tokio::spawn(serve(listener, answers.to_vec(), Arc::clone(&asked)));
            Self {
                access: access(endpoint),
                asked,
            }
        }

        async fn put(&self) -> Result<Answer, Error> {
            let mut filling = PartBuilder::default();
            filling.push(Bytes::from_static(b"content"));
            let mut call = Call::new("PutObject", Method::PUT, "images/a.png");
            call.body = Some(filling.take());
            self.access.send(&call, &Attempts::default()).await
        }

        async fn look(&self) -> Result<Option<Seen>, Error> {
            self.access.look(&key("images/a.png"), 4).await
        }

        fn asked(&self) -> Vec<Asked> {
            self.asked.lock().expect("no panic while held").clone()
        }

        fn connections(&self) -> Vec<usize> {
            self.asked().iter().map(|asked| asked.connection).collect()
        }
    }

    fn access(endpoint: String) -> Access {
        let bucket = Bucket::new(bucket::Settings {
            dialect: Dialect::S3,
            bucket: "chat".to_owned(),
            region: "eu-west-1".to_owned(),
            endpoint: Some(endpoint),
            path_style: true,
            client_url: String::new(),
            client_endpoint: Some("https://storage.example.com:9000/s3".to_owned()),
            certificates: Certificates::default(),
            signer: None,
            patience: Patience::default(),
            one_copy_bytes: 0,
            memory_bytes: 0,
        });
        let keys = Credentials::new("id", "secret", Some("token".to_owned()));
        bucket.access(keys, None).expect("keys")
    }

    async fn serve(listener: TcpListener, answers: Vec<String>, asked: Arc<Mutex<Vec<Asked>>>) {
        let answers = Arc::new(Mutex::new(answers.into_iter()));
        let mut connection = 0;
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(answer(stream, connection, answers.clone(), asked.clone()));
            connection += 1;
        }
    }

    /// Reads requests, of which each has come whole with what is read at once.
    async fn answer(
        mut stream: TcpStream,
        connection: usize,
        answers: Arc<Mutex<std::vec::IntoIter<String>>>,
        asked: Arc<Mutex<Vec<Asked>>>,
    ) {
        let mut request = Vec::new();
        while stream
            .read_buf(&mut request)
            .await
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&request).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let announced = if head.starts_with("PUT") { 7 } else { 0 };
            if body.len() < announced {
                continue;
            }
            request.clear();
            asked.lock().expect("no panic while held").push(Asked {
                connection,
                head: head.to_owned(),
            });
            let answer = answers.lock().expect("no panic while held").next();
            let Some(answer) = answer else { return };
            stream.write_all(answer.as_bytes()).await.expect("sent");
            if answer.contains("connection: close") {
                return;
            }
        }
    }

    fn refusal(status: u16, headers: &str, body: &str) -> String {
        let len = body.len();
        format!("HTTP/1.1 {status} No\r\ncontent-length: {len}\r\n{headers}\r\n{body}")
    }

    fn error_of(code: &str) -> String {
        format!("<Error><Code>{code}</Code><Message>says why</Message></Error>")
    }

    fn http_date(at: SystemTime) -> String {
        let date = DateTime::from(at).fmt(DateTimeFormat::HttpDate);
        format!("date: {}\r\n", date.expect("a date"))
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_request_is_signed_with_all_that_it_says() {
        let script = Script::of(&[FINE.to_owned()]).await;
        let answer = script.put().await.expect("stored");
        assert_eq!(answer.etag(), Some("\"e\""));
        let asked = &script.asked()[0];
        assert!(
            asked.head.starts_with("PUT /s3/chat/images/a.png HTTP/1.1"),
            "{asked:?}"
        );
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
    async fn a_clock_that_is_off_is_put_right_by_the_answer_and_stays_so() {
        let date = http_date(SystemTime::now() + HOUR) + AT_ONCE;
        let skewed = refusal(403, &date, &error_of("RequestTimeTooSkewed"));
        let script = Script::of(&[skewed, FINE.to_owned(), FINE.to_owned()]).await;
        script.put().await.expect("stored");
        script.put().await.expect("stored");
        let asked = script.asked();
        let stamps: Vec<_> = asked.iter().map(|a| a.header("x-amz-date")).collect();
        let soon = Stamp::at(SystemTime::now() + HOUR / 2);
        let soon = Some(soon.as_str());
        assert_eq!(stamps.len(), 3);
        assert!(stamps[0] < soon, "{stamps:?}");
        assert!(stamps[1] > soon && stamps[2] > soon, "{stamps:?}");
    }

    #[tokio::test]
    async fn a_wrong_signature_at_the_right_time_is_refused_at_once() {
        let date = http_date(SystemTime::now()) + AT_ONCE;
        let wrong = refusal(403, &date, &error_of("SignatureDoesNotMatch"));
        let script = Script::of(&[wrong, FINE.to_owned()]).await;
        let error = script.put().await.expect_err("refused");
        assert!(
            matches!(error, Error::Refused { status: 403, .. }),
            "{error}"
        );
        assert_eq!(script.asked().len(), 1);
    }

    #[tokio::test]
    async fn a_connection_is_used_again_but_not_after_a_server_error() {
        let busy = refusal(503, AT_ONCE, &error_of("SlowDown"));
        let gone = refusal(404, "", &error_of("NoSuchBucket"));
        let answers = [
            FINE.to_owned(),
            gone,
            busy,
            FINE.to_owned(),
            FINE.to_owned(),
        ];
        let script = Script::of(&answers).await;
        for stored in [true, false, true, true] {
            assert_eq!(script.put().await.is_ok(), stored);
        }
        assert_eq!(script.connections(), [0, 0, 0, 1, 1]);
    }

    #[tokio::test]
    async fn a_refusal_says_code_and_request_id_wherever_they_stand() {
        let in_body = "<?xml version=\"1.0\"?>\n<Error>\n  <Code>AccessDenied</Code>\
                       <RequestId>of-body</RequestId></Error>";
        for (headers, body, code, id) in [
            ("", "", "no code", "none"),
            ("", in_body, "AccessDenied", "of-body"),
            ("x-oss-request-id: oss\r\n", in_body, "AccessDenied", "oss"),
            (
                "x-amz-request-id: s3\r\nx-oss-request-id: oss\r\n",
                "<html>",
                "no code",
                "s3",
            ),
        ] {
            let script = Script::of(&[refusal(403, headers, body)]).await;
            match script.put().await {
                Err(Error::Refused {
                    operation,
                    status,
                    code: said,
                    request_id,
                    ..
                }) => {
                    assert_eq!((operation, status), ("PutObject", 403));
                    assert_eq!((&*said, &*request_id), (code, id));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn an_endless_error_is_read_no_further_than_64_kib() {
        let start = error_of("AccessDenied") + &"x".repeat(2 * ANSWER_BYTES);
        let endless = format!("HTTP/1.1 403 No\r\ncontent-length: 999999999\r\n\r\n{start}");
        let script = Script::of(&[endless]).await;
        let error = script.put().await.expect_err("refused");
        assert!(matches!(&error, Error::Refused { code, .. } if code == "AccessDenied"));
    }

    #[tokio::test]
    async fn three_attempts_that_fail_are_the_last_ones_failure() {
        let broken = refusal(500, AT_ONCE, &error_of("InternalError"));
        let script = Script::of(&[broken.clone(), broken.clone(), broken]).await;
        let error = script.put().await.expect_err("broken");
        assert!(matches!(&error, Error::Unavailable { detail, .. }
            if detail.starts_with("500 InternalError")));
        assert_eq!(script.asked().len(), 3);
    }

    fn key(text: &str) -> ObjectKey {
        ObjectKey::parse(text).expect("a key")
    }

    #[tokio::test]
    async fn first_bytes_are_asked_for_and_no_more_are_taken() {
        let ranged = "content-range: bytes 0-3/9\r\ncontent-length: 4\r\n\r\n1234";
        for (status, rest) in [
            ("200 OK", "content-length: 9\r\n\r\n123456789"),
            ("206 Some", ranged),
        ] {
            let answer = format!("HTTP/1.1 {status}\r\netag: \"e\"\r\n{rest}");
            let script = Script::of(&[answer]).await;
            let seen = script.look().await.expect("an answer").expect("an object");
            assert_eq!((&*seen.head, seen.size), (&b"1234"[..], 9), "{status}");
            assert_eq!(script.asked()[0].header("range"), Some("bytes=0-3"));
        }
    }

    #[tokio::test]
    async fn what_tells_no_size_or_no_etag_is_not_judged() {
        for headers in [
            "content-length: 4\r\n",
            "etag: \"e\"\r\ncontent-range: bytes 0-3/*\r\ncontent-length: 4\r\n",
            "etag: \"e\"\r\nconnection: close\r\n",
        ] {
            let answer = format!("HTTP/1.1 206 Some\r\n{headers}\r\n1234");
            let script = Script::of(&[answer]).await;
            let error = script
                .look()
                .await
                .expect_err("an answer that says too little");
            assert!(
                matches!(&error, Error::Unavailable { detail, .. } if detail.contains("no size")),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn nothing_is_not_there_and_an_empty_object_is() {
        for status in [403, 404] {
            let script = Script::of(&[refusal(status, "", "")]).await;
            assert_eq!(script.look().await.expect("an answer"), None, "{status}");
        }
        let script = Script::of(&[refusal(416, "", "")]).await;
        let empty = script.look().await.expect("an answer").expect("an object");
        assert_eq!((empty.head.len(), empty.size), (0, 0));
        let script = Script::of(&[refusal(400, "", "")]).await;
        let error = script.look().await.expect_err("refused");
        assert!(
            matches!(error, Error::Refused { status: 400, .. }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_is_removed_need_not_be_there_and_what_cannot_be_is_an_error() {
        let gone = || "HTTP/1.1 204 Gone\r\n\r\n".to_owned();
        let answers = [gone(), refusal(404, "", ""), gone(), refusal(404, "", "")];
        let script = Script::of(&answers).await;
        let (key, access, tasks) = (key("pending/a"), &script.access, Tasks::default());
        for _ in 0..2 {
            access.remove(&key).await.expect("removed");
        }
        for _ in 0..2 {
            let uploads = PartUploads::new(access, &tasks);
            uploads.abort(&key, "a+b/=").await.expect("ended");
        }
        let asked = script.asked();
        let lines: Vec<_> = asked.iter().filter_map(|a| a.head.lines().next()).collect();
        let delete = "DELETE /s3/chat/pending/a HTTP/1.1";
        let abort = "DELETE /s3/chat/pending/a?uploadId=a%2Bb%2F%3D HTTP/1.1";
        assert_eq!(lines, [delete, delete, abort, abort]);

        let denied = refusal(403, "", &error_of("AccessDenied"));
        let script = Script::of(&[denied.clone(), denied]).await;
        let removed = script.access.remove(&key).await;
        let aborted = PartUploads::new(&script.access, &tasks).abort(&key, "id");
        let aborted = aborted.await;
        for outcome in [removed, aborted] {
            let error = outcome.expect_err("refused");
            assert!(
                matches!(error, Error::Refused { status: 403, .. }),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn an_objects_head_says_whether_it_is_there() {
        let there = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n".to_owned();
        let missing = |status| format!("HTTP/1.1 {status} No\r\ncontent-length: 9\r\n\r\n");
        let answers = [there, missing(404), missing(403), missing(400)];
        let script = Script::of(&answers).await;
        let key = key("images/a.png");
        for expected in [true, false, false] {
            let is_there = script.access.is_there(&key).await;
            assert_eq!(is_there.expect("an answer"), expected);
        }
        let error = script.access.is_there(&key).await.expect_err("refused");
        assert!(
            matches!(error, Error::Refused { status: 400, .. }),
            "{error}"
        );
        let asked = script.asked();
        let line = "HEAD /s3/chat/images/a.png HTTP/1.1";
        assert!(asked.iter().all(|asked| asked.head.starts_with(line)));
    }

    #[tokio::test]
    async fn undoing_goes_on_when_storing_must_have_stopped() {
        let mut script = Script::of(&[FINE.to_owned(), FINE.to_owned()]).await;
        let now = Instant::now();
        script.access.limit = Some(TimeLimit {
            // Not now: timers go by whole milliseconds.
            store_until: now - HOUR / 3600,
            undo_until: now + HOUR,
        });
        let key = key("images/a.png");
        let error = script.access.remove(&key).await.expect_err("too late");
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
        let is_there = script.access.is_there(&key).await;
        assert!(is_there.expect("an answer"));
    }

    #[tokio::test]
    async fn a_parts_address_is_where_clients_reach_the_bucket() {
        let access = access("https://internal.example.com".to_owned());
        let tasks = Tasks::default();
        let uploads = PartUploads::new(&access, &tasks);
        let life = Duration::from_secs(900);
        let url = uploads.address(&key("pending/a"), "a+b/=", 7, life).await;
        let url = url.expect("a URL");
        let start = "https://storage.example.com:9000/s3/chat/pending/a?X-Amz-Algorithm=";
        assert!(url.starts_with(start), "{url}");
        for part in [
            "&X-Amz-Expires=900&X-Amz-Security-Token=token&X-Amz-SignedHeaders=host&",
            "&partNumber=7&uploadId=a%2Bb%2F%3D&X-Amz-Signature=",
        ] {
            assert!(url.contains(part), "{url}");
        }
    }
}
