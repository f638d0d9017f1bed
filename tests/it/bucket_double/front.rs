//! HTTP server in front of `s3s`: records requests, injects planned faults,
//! refuses features that the dialect does not support, and cuts connections.

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

/// Bytes sent of a cut response without a body: it ends within the headers.
const HALF_HEAD: usize = 30;

/// Header with the source of a copy: `<bucket>/<key>`, percent-encoded.
const COPY_SOURCE: &str = "x-amz-copy-source";

/// Operation of a request; `Any` plans a fault for every operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Any,
    Put,
    /// POST Object, a form as browsers send it.
    PostForm,
    CreateUpload,
    UploadPart,
    /// UploadPartCopy
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
    /// A request about the bucket, or an unknown one.
    Other,
}

impl Operation {
    /// Detects the operation by method, query and headers: faults precede parsing.
    fn detect(method: &Method, uri: &Uri, headers: &HeaderMap, key: &str) -> Self {
        let has = |name: &str| {
            let mut pairs = uri.query().unwrap_or_default().split('&');
            pairs.any(|pair| pair.split('=').next() == Some(name))
        };
        let is_copy = headers.contains_key(COPY_SOURCE);
        match *method {
            Method::POST if has("uploads") => Self::CreateUpload,
            Method::POST if has("uploadId") => Self::CompleteUpload,
            Method::POST if key.is_empty() => Self::PostForm,
            Method::GET if key.is_empty() && has("list-type") => Self::List,
            _ if key.is_empty() => Self::Other,
            Method::PUT if has("uploadId") && is_copy => Self::CopyPart,
            Method::PUT if has("uploadId") => Self::UploadPart,
            Method::PUT if is_copy => Self::Copy,
            Method::PUT => Self::Put,
            Method::DELETE if has("uploadId") => Self::AbortUpload,
            Method::DELETE => Self::Delete,
            Method::GET if has("uploadId") => Self::ListParts,
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            _ => Self::Other,
        }
    }

    /// Whether it changes nothing.
    fn only_reads(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::ListParts | Self::List)
    }
}

/// Failure of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The request is read and answered with this status and S3 error code;
    /// nothing is performed.
    Status(u16, &'static str),
    /// The request is performed at once and answered after this time. A client
    /// that gives up earlier does not know that it has stored.
    Slow(Duration),
    /// The connection closes after half of the request's body, at least one
    /// chunk; nothing is performed.
    CutMidBody,
    /// The request is read, and half of a response with status 200 is sent. Only
    /// reads (get, head) are performed.
    HalfAnswer,
    /// The request is read and never answered.
    Hang,
    /// The request is performed, then half of its response is sent: stored
    /// without the client's knowledge.
    DoneButHalfAnswer,
    /// The request's object (of a copy, its source) is replaced by these bytes
    /// just before the request is performed.
    SwapFirst(&'static [u8]),
}

/// A refusal that is not retried.
pub(crate) const DENIED: Fault = Fault::Status(403, "AccessDenied");

/// One recorded request.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) operation: Operation,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    /// The object's key; empty for a request about the bucket.
    pub(crate) key: String,
    pub(crate) headers: HeaderMap,
    /// The access key id of the signature, valid or not.
    pub(crate) key_id: Option<String>,
    /// `None` without a complete response so far. The client may have
    /// disconnected before reading it.
    pub(crate) status: Option<u16>,
    /// Whether the request is still in progress.
    pub(crate) in_progress: bool,
    pub(super) received: u64,
}

impl Recorded {
    fn new(request: &Request<Incoming>) -> Self {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let path = s3_path(headers, uri);
        let key = path.get_object_key().unwrap_or_default().to_owned();
        Self {
            operation: Operation::detect(method, uri, headers, &key),
            method: method.clone(),
            uri: uri.clone(),
            key,
            headers: headers.clone(),
            key_id: key_id(headers, uri),
            status: None,
            in_progress: true,
            received: 0,
        }
    }

    /// Returns the bytes received of the body.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Returns a header as text; `None` when it was not sent.
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

/// A planned fault.
pub(super) struct Planned {
    pub(super) on: Operation,
    pub(super) fault: Fault,
    pub(super) times: usize,
}

/// Returns the error that cuts a connection before or within a response.
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

    /// Takes the first fault planned for this operation.
    fn take_fault(&self, operation: Operation) -> Option<Fault> {
        let applies = |plan: &&mut Planned| plan.on == operation || plan.on == Operation::Any;
        self.change(|now| {
            now.planned.retain(|plan| plan.times > 0);
            let plan = now.planned.iter_mut().find(applies)?;
            if plan.times != usize::MAX {
                plan.times -= 1;
            }
            Some(plan.fault)
        })
    }

    /// Answers a request, or fails to cut its connection.
    async fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        line: &StdStream,
    ) -> io::Result<Response<Body>> {
        let recorded = Recorded::new(&request);
        let (operation, key) = (recorded.operation, recorded.key.clone());
        let number = self.change(|now| now.record(recorded));
        let _in_progress = InProgress {
            front: self,
            number,
        };
        let fault = self.take_fault(operation);
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
                self.perform_gated(request, call).await?
            }
            None => self.perform(request, operation).await,
            Some(fault) => self.inject(fault, request, operation, line).await?,
        };
        self.add_id(&mut response, number);
        let status = response.status().as_u16();
        self.change(|now| now.requests[number].status = Some(status));
        Ok(response)
    }

    /// Reads a body before the request is performed, as an earlier response may be lost with the
    /// connection; reads only half, but at least a chunk, for [`Fault::CutMidBody`].
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

    async fn inject(
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
                let key = swap_key(request.headers(), request.uri());
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

    /// Performs a form here, and all other requests with `s3s`.
    async fn performed(
        &self,
        request: Request<Bytes>,
        operation: Operation,
    ) -> S3Result<Response<Body>> {
        self.check_dialect(operation, request.headers())?;
        if operation == Operation::PostForm {
            return self.store_form(request).await;
        }
        let answer = self.service.call(request.map(Body::from)).await;
        Ok(answer.expect("s3s turns errors into answers"))
    }

    /// Performs a request once the test releases it, and answers after a second release. The request is
    /// performed even if its client has disconnected.
    async fn perform_gated(
        self: &Arc<Self>,
        request: Request<Bytes>,
        mut call: Held,
    ) -> io::Result<Response<Body>> {
        let front = Arc::clone(self);
        let task = tokio::spawn(async move {
            front.gate.pass(call.clone()).await;
            let response = front.perform(request, call.operation).await;
            call.stage = Stage::Performed;
            front.gate.pass(call).await;
            response
        });
        Ok(task.await?)
    }

    /// Reads a POST form, checks it against its policy and stores its file.
    async fn store_form(&self, request: Request<Bytes>) -> S3Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let path = s3_path(&head.headers, &head.uri);
        let bucket = path.get_bucket_name().unwrap_or_default();
        let form = PostForm::read(&head.headers, body).await?;
        self.change(|now| {
            form.check(self.dialect, bucket, now)?;
            form.store(self.dialect, now)
        })
    }

    /// Refuses features that OSS's S3-compatible API does not support.
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
        if is_unsupported_chunking(headers) {
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

    /// Adds a request id, as clouds do.
    fn add_id(&self, response: &mut Response<Body>, number: usize) {
        let id = HeaderValue::from_str(&format!("{number:016X}")).expect("hexadecimal");
        let headers = response.headers_mut();
        if self.dialect == Dialect::Oss {
            headers.insert("x-oss-request-id", id.clone());
        }
        headers.insert("x-amz-request-id", id);
    }
}

/// Guard of a request in progress; also dropped when its client disconnects or it is cut.
struct InProgress<'a> {
    front: &'a Front,
    number: usize,
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        let number = self.number;
        self.front
            .change(|now| now.requests[number].in_progress = false);
    }
}

/// Whether the body has a framing that OSS does not support: anything but signed
/// chunks without a trailer.
fn is_unsupported_chunking(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let payload = text("x-amz-content-sha256").unwrap_or_default();
    let encoding = text(CONTENT_ENCODING.as_str()).unwrap_or_default();
    let framed = payload.starts_with("STREAMING-") || encoding.contains("aws-chunked");
    framed && payload != "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
}

/// Returns the `Host` without its port.
fn host(headers: &HeaderMap) -> &str {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or_default();
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// Returns the bucket and the key of a request, in either style.
fn s3_path(headers: &HeaderMap, uri: &Uri) -> S3Path {
    let path = percent_decode_str(uri.path()).decode_utf8_lossy();
    parse_virtual_hosted_style(bucket_in(host(headers)), &path).unwrap_or(S3Path::Root)
}

/// Returns the key of the object to swap: of a copy, its source.
fn swap_key(headers: &HeaderMap, uri: &Uri) -> String {
    let source = headers.get(COPY_SOURCE).and_then(|s| s.to_str().ok());
    match source.and_then(|source| CopySource::parse(source).ok()) {
        Some(CopySource::Bucket { key, .. }) => key.into(),
        _ => s3_path(headers, uri)
            .get_object_key()
            .unwrap_or_default()
            .to_owned(),
    }
}

/// Returns the key id in the `Authorization` header or in a presigned query.
fn key_id(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let authorization = headers.get("authorization");
    let credential = match authorization.and_then(|value| value.to_str().ok()) {
        Some(authorization) => authorization.split_once("Credential=")?.1,
        None => uri.query()?.split_once("X-Amz-Credential=")?.1,
    };
    let end = credential.find(['/', '%', '&'])?;
    Some(credential[..end].to_owned())
}

/// Writes half of a response: up to the middle of its body if it has one, else of its headers.
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
        bytes.truncate(HALF_HEAD);
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
    // Small responses must not wait for the client's acknowledgements.
    stream.set_nodelay(true)?;
    let line = stream.into_std()?;
    let io = TokioIo::new(TcpStream::from_std(line.try_clone()?)?);
    let line = Arc::new(line);
    let service = service_fn(move |request| {
        let (front, line) = (front.clone(), line.clone());
        async move { front.answer(request, &line).await }
    });
    // An error is a planned cut, or a client that disconnected.
    let _ = http1::Builder::new().serve_connection(io, service).await;
    Ok(())
}
