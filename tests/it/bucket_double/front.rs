//! The part between the socket and `s3s`: writes requests down, applies planned
//! faults, refuses what the dialect does not know, and cuts connections.

use std::fmt;
use std::io;
use std::net::TcpStream as StdStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use s3s::dto::CopySource;
use s3s::path::{S3Path, parse_virtual_hosted_style};
use s3s::service::S3Service;
use s3s::{Body, S3Error, S3Result, s3_error};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::Dialect;
use super::backend::{Backend, bucket_in};
use super::contents::{Contents, Shared, change};
use super::gate::{Gate, Held, Stage};
use super::post_form::PostForm;
use super::refusal::refusal;

/// How many bytes of an answer without a body are still sent by a cut: it ends
/// within the headers.
const HALF_A_HEAD: usize = 30;

/// Where a copy comes from: `<bucket>/<key>`, percent-encoded.
const COPY_SOURCE: &str = "x-amz-copy-source";

/// The purpose of a request; `Any` stands for all of them when planning a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Any,
    Put,
    /// A POST form, as browsers send it.
    PostForm,
    CreateUpload,
    UploadPart,
    /// A part that is copied from another object.
    CopyPart,
    CompleteUpload,
    AbortUpload,
    ListParts,
    Delete,
    Head,
    Get,
    Copy,
    /// `ListObjectsV2`
    List,
    /// About the bucket, or nothing the double knows.
    Other,
}

impl Operation {
    /// Told by method, query and headers alone: a fault strikes before parsing.
    fn detect(method: &Method, uri: &Uri, headers: &HeaderMap, key: &str) -> Self {
        let asks = |name: &str| {
            let mut pairs = uri.query().unwrap_or_default().split('&');
            pairs.any(|pair| pair.split('=').next() == Some(name))
        };
        let is_copy = headers.contains_key(COPY_SOURCE);
        match *method {
            Method::POST if asks("uploads") => Self::CreateUpload,
            Method::POST if asks("uploadId") => Self::CompleteUpload,
            Method::POST if key.is_empty() => Self::PostForm,
            Method::GET if key.is_empty() && asks("list-type") => Self::List,
            _ if key.is_empty() => Self::Other,
            Method::PUT if asks("uploadId") && is_copy => Self::CopyPart,
            Method::PUT if asks("uploadId") => Self::UploadPart,
            Method::PUT if is_copy => Self::Copy,
            Method::PUT => Self::Put,
            Method::DELETE if asks("uploadId") => Self::AbortUpload,
            Method::DELETE => Self::Delete,
            Method::GET if asks("uploadId") => Self::ListParts,
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            _ => Self::Other,
        }
    }

    /// Whether performing it changes nothing.
    fn only_reads(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::ListParts | Self::List)
    }
}

/// A way for a request to go wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The request is read and answered with this status and S3 error code;
    /// nothing is performed.
    Status(u16, &'static str),
    /// The request is performed at once and answered after this time. A client
    /// that gives up earlier has stored without knowing.
    Slow(Duration),
    /// The connection closes when half of the request's body was read, at
    /// least one chunk; nothing is performed.
    CutMidBody,
    /// The request is read, and half of an answer with status 200 is sent. Only
    /// what changes nothing (get, head) is performed.
    HalfAnswer,
    /// The request is read and never answered, until the double is dropped.
    Hang,
    /// The request is performed, then half of its answer is sent: stored, but
    /// the client was not told.
    DoneButHalfAnswer,
    /// Somebody replaces the object that the request is about (of a copy, its
    /// source) by these bytes just before the request is performed.
    SwapFirst(&'static [u8]),
}

/// A refusal that no second attempt changes.
pub(crate) const DENIED: Fault = Fault::Status(403, "AccessDenied");

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) operation: Operation,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    /// The object's key; empty when the request is about the bucket.
    pub(crate) key: String,
    pub(crate) headers: HeaderMap,
    /// Who claims to have signed, right or wrong.
    pub(crate) key_id: Option<String>,
    /// `None`: no whole answer was given, or not yet. That the client was still
    /// there to read it is not known.
    pub(crate) status: Option<u16>,
    /// Whether the double still works on it.
    pub(crate) under_way: bool,
    pub(super) received: u64,
}

impl Recorded {
    fn new(request: &Request<Incoming>) -> Self {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let path = path_of(headers, uri);
        let key = path.get_object_key().unwrap_or_default().to_owned();
        Self {
            operation: Operation::detect(method, uri, headers, &key),
            method: method.clone(),
            uri: uri.clone(),
            key,
            headers: headers.clone(),
            key_id: key_id(headers, uri),
            status: None,
            under_way: true,
            received: 0,
        }
    }

    /// Bytes of the body that had arrived by then.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// The header as text, `None` when it was not sent.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (operation, key, received) = (self.operation, &self.key, self.received());
        write!(f, "{operation:?} {key:?}, {received} bytes received: ")?;
        match self.status {
            Some(status) => write!(f, "{status}"),
            None => write!(f, "no answer"),
        }
    }
}

/// A fault that waits for its requests.
pub(super) struct Planned {
    pub(super) on: Operation,
    pub(super) fault: Fault,
    pub(super) times: usize,
}

/// The reason a connection ends without (the rest of) an answer.
fn cut() -> io::Error {
    io::Error::other("cut on purpose")
}

/// The state that all connections share.
pub(super) struct Front {
    pub(super) dialect: Dialect,
    pub(super) contents: Shared,
    pub(super) gate: Gate,
    service: S3Service,
}

impl Front {
    pub(super) fn new(dialect: Dialect, gate: Gate) -> Self {
        let contents = Shared::new(Contents::default());
        Self {
            dialect,
            contents: contents.clone(),
            gate,
            service: Backend::service(dialect, contents),
        }
    }

    pub(super) fn change<T>(&self, what: impl FnOnce(&mut Contents) -> T) -> T {
        change(&self.contents, what)
    }

    /// The first fault planned for this operation, used up by one.
    fn strike(&self, operation: Operation) -> Option<Fault> {
        let meant = |plan: &&mut Planned| plan.on == operation || plan.on == Operation::Any;
        self.change(|now| {
            now.planned.retain(|plan| plan.times > 0);
            let plan = now.planned.iter_mut().find(meant)?;
            if plan.times != usize::MAX {
                plan.times -= 1;
            }
            Some(plan.fault)
        })
    }

    /// From a request's head to its answer, or to the end of its connection.
    async fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        line: &StdStream,
    ) -> io::Result<Response<Body>> {
        let recorded = Recorded::new(&request);
        let (operation, key) = (recorded.operation, recorded.key.clone());
        let number = self.change(|now| now.record(recorded));
        let _under_way = UnderWay {
            front: self,
            number,
        };
        let fault = self.strike(operation);
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, self.receive(body, number, fault).await?);
        let mut response = match fault {
            None if self.gate.is_closed && operation != Operation::PostForm => {
                let call = Held {
                    number,
                    operation,
                    key,
                    stage: Stage::Arrived,
                };
                self.pass_the_gate(request, call).await?
            }
            None => self.perform(request, operation).await,
            Some(fault) => self.suffer(fault, request, operation, line).await?,
        };
        self.sign(&mut response, number);
        let status = response.status().as_u16();
        self.change(|now| now.requests[number].status = Some(status));
        Ok(response)
    }

    /// Reads a body before anything is done, as an answer that comes earlier may be lost with the
    /// connection; of one that is to be cut, half and at least a chunk.
    async fn receive(
        &self,
        mut body: Incoming,
        number: usize,
        fault: Option<Fault>,
    ) -> io::Result<Bytes> {
        let announced = body.size_hint().lower() as usize;
        let enough = match fault {
            Some(Fault::CutMidBody) => announced / 2,
            _ => usize::MAX,
        };
        let mut bytes = BytesMut::with_capacity(announced);
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
                bytes.extend_from_slice(&data);
            }
            self.change(|now| now.requests[number].received = bytes.len() as u64);
            if bytes.len() >= enough {
                break;
            }
        }
        Ok(bytes.freeze())
    }

    async fn suffer(
        &self,
        fault: Fault,
        request: Request<Bytes>,
        operation: Operation,
        line: &StdStream,
    ) -> io::Result<Response<Body>> {
        match fault {
            Fault::Status(status, code) => {
                let planned = refusal(status, code, "A fault the test has planned.");
                Ok(planned.to_http_response().expect("an error is XML"))
            }
            Fault::Slow(time) => {
                let response = self.perform(request, operation).await;
                tokio::time::sleep(time).await;
                Ok(response)
            }
            Fault::CutMidBody => Err(cut()),
            Fault::Hang => std::future::pending().await,
            Fault::SwapFirst(bytes) => {
                let key = swapped(request.headers(), request.uri());
                self.change(|now| now.swap(&key, bytes));
                Ok(self.perform(request, operation).await)
            }
            Fault::HalfAnswer | Fault::DoneButHalfAnswer => {
                let is_performed =
                    matches!(fault, Fault::DoneButHalfAnswer) || operation.only_reads();
                let answer = if is_performed {
                    self.perform(request, operation).await
                } else {
                    Response::default()
                };
                send_half(answer, line).await?;
                Err(cut())
            }
        }
    }

    async fn perform(&self, request: Request<Bytes>, operation: Operation) -> Response<Body> {
        let answer = self.performed(request, operation).await;
        let answer = answer.or_else(S3Error::to_http_response);
        answer.expect("an error is XML")
    }

    /// The answer to a form by itself, to all others by `s3s`.
    async fn performed(
        &self,
        request: Request<Bytes>,
        operation: Operation,
    ) -> S3Result<Response<Body>> {
        self.check_dialect(operation, request.headers())?;
        if operation == Operation::PostForm {
            return self.take_form(request).await;
        }
        let answer = self.service.call(request.map(Body::from)).await;
        Ok(answer.expect("s3s turns errors into answers"))
    }

    /// Performs a request once the test lets it, and answers once the test lets it, too. That it has
    /// arrived is enough: nobody need wait for its answer any more.
    async fn pass_the_gate(
        self: &Arc<Self>,
        request: Request<Bytes>,
        mut call: Held,
    ) -> io::Result<Response<Body>> {
        let front = Arc::clone(self);
        let passing = tokio::spawn(async move {
            front.gate.pass(call.clone()).await;
            let response = front.perform(request, call.operation).await;
            call.stage = Stage::Performed;
            front.gate.pass(call).await;
            response
        });
        Ok(passing.await?)
    }

    /// Reads a POST form, holds it to its policy and stores its file.
    async fn take_form(&self, request: Request<Bytes>) -> S3Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let path = path_of(&head.headers, &head.uri);
        let bucket = path.get_bucket_name().unwrap_or_default();
        let form = PostForm::read(&head.headers, body).await?;
        self.change(|now| {
            form.check(self.dialect, bucket, now)?;
            form.store(self.dialect, now)
        })
    }

    /// Refuses all that OSS's S3-compatible API does not take.
    fn check_dialect(&self, operation: Operation, headers: &HeaderMap) -> S3Result<()> {
        if self.dialect == Dialect::S3 {
            return Ok(());
        }
        let host = host(headers);
        if host.ends_with(".aliyuncs.com") && bucket_in(host).is_none() {
            // "Access OSS with an AWS SDK": virtual-hosted style only.
            let message = "Please use virtual hosted style to access.";
            return Err(refusal(403, "SecondLevelDomainForbidden", message));
        }
        if is_unknown_chunking(headers) {
            // OSS's error page 0017-00000804.
            let message = "aws-chunked encoding is not supported with the specified \
                           x-amz-content-sha256 value.";
            return Err(s3_error!(InvalidArgument, "{message}"));
        }
        let conditional = headers.contains_key("if-none-match") || headers.contains_key("if-match");
        if conditional && !operation.only_reads() {
            // Seen in practice: `apache/arrow-rs-object-store` issue 416.
            let message = "A header you provided implies functionality that is not implemented.";
            return Err(s3_error!(NotImplemented, "{message}"));
        }
        Ok(())
    }

    /// Adds the request's number, as clouds do.
    fn sign(&self, response: &mut Response<Body>, number: usize) {
        let id = HeaderValue::from_str(&format!("{number:016X}")).expect("hexadecimal");
        let headers = response.headers_mut();
        if self.dialect == Dialect::Oss {
            headers.insert("x-oss-request-id", id.clone());
        }
        headers.insert("x-amz-request-id", id);
    }
}

/// A request being answered; also dropped when its client leaves or it is cut.
struct UnderWay<'a> {
    front: &'a Front,
    number: usize,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let number = self.number;
        self.front
            .change(|now| now.requests[number].under_way = false);
    }
}

/// Whether the body is framed in a way OSS does not read: anything but signed
/// chunks without a trailer.
fn is_unknown_chunking(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let payload = text("x-amz-content-sha256").unwrap_or_default();
    let encoding = text(CONTENT_ENCODING.as_str()).unwrap_or_default();
    let framed = payload.starts_with("STREAMING-") || encoding.contains("aws-chunked");
    framed && payload != "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
}

/// The `Host` without its port.
fn host(headers: &HeaderMap) -> &str {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or_default();
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// The bucket and the key that a request is about, in either style.
fn path_of(headers: &HeaderMap, uri: &Uri) -> S3Path {
    let path = percent_decode_str(uri.path()).decode_utf8_lossy();
    parse_virtual_hosted_style(bucket_in(host(headers)), &path).unwrap_or(S3Path::Root)
}

/// The key of the object to swap: of a copy, its source.
fn swapped(headers: &HeaderMap, uri: &Uri) -> String {
    let source = headers.get(COPY_SOURCE).and_then(|s| s.to_str().ok());
    match source.and_then(|source| CopySource::parse(source).ok()) {
        Some(CopySource::Bucket { key, .. }) => key.into(),
        _ => path_of(headers, uri)
            .get_object_key()
            .unwrap_or_default()
            .to_owned(),
    }
}

/// The key id in the `Authorization` header or in a presigned query.
fn key_id(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let authorization = headers.get("authorization");
    let credential = match authorization.and_then(|value| value.to_str().ok()) {
        Some(authorization) => authorization.split_once("Credential=")?.1,
        None => uri.query()?.split_once("X-Amz-Credential=")?.1,
    };
    let end = credential.find(['/', '%', '&'])?;
    Some(credential[..end].to_owned())
}

/// Sends half of an answer by hand: up to the middle of its body if it has one, else of its headers.
async fn send_half(answer: Response<Body>, line: &StdStream) -> io::Result<()> {
    let (mut head, body) = answer.into_parts();
    let body = BodyExt::collect(body)
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    head.headers.insert(CONTENT_LENGTH, body.len().into());
    let mut bytes = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
    for (name, value) in &head.headers {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    if body.is_empty() {
        bytes.truncate(HALF_A_HEAD);
    } else {
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&body[..body.len() / 2]);
    }
    let mut line = TcpStream::from_std(line.try_clone()?)?;
    line.write_all(&bytes).await
}

/// Answers connections until the listener's runtime ends.
pub(super) async fn serve(listener: std::net::TcpListener, front: Arc<Front>) {
    listener.set_nonblocking(true).expect("an idle listener");
    let listener = TcpListener::from_std(listener).expect("a non-blocking listener");
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_connection(stream, front.clone()));
        }
    }
}

async fn serve_connection(stream: TcpStream, front: Arc<Front>) -> io::Result<()> {
    // Small answers must not wait for the client's acknowledgements.
    stream.set_nodelay(true)?;
    let line = stream.into_std()?;
    let io = TokioIo::new(TcpStream::from_std(line.try_clone()?)?);
    let line = Arc::new(line);
    let service = service_fn(move |request| {
        let (front, line) = (front.clone(), line.clone());
        async move { front.answer(request, &line).await }
    });
    // An error is a cut that was planned, or the client's own going away.
    let _ = http1::Builder::new().serve_connection(io, service).await;
    Ok(())
}
