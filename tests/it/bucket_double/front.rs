//! The part between the socket and `s3s`: writes requests down, applies planned
//! faults, refuses what the dialect does not know, and cuts connections.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::Utc;
use futures_util::{StreamExt, stream};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use s3s::service::S3Service;
use s3s::{Body, S3Error, S3Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
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

impl Fault {
    fn halves_the_answer(self) -> bool {
        matches!(self, Self::HalfAnswer | Self::DoneButHalfAnswer)
    }
}

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
        let key = key_of(host(request.headers()), request.uri());
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
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
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut on purpose")
    }
}

impl std::error::Error for Cut {}

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
        line: &Line,
    ) -> Result<Response<Body>, Cut> {
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
                let stage = Stage::Arrived;
                let call = Held {
                    number,
                    operation,
                    key,
                    stage,
                };
                self.pass_the_gate(request, call).await?
            }
            None => self.perform(request, operation).await,
            Some(fault) => self.suffer(fault, request, operation, line).await?,
        };
        self.sign(&mut response, number);
        if !fault.is_some_and(Fault::halves_the_answer) {
            let status = response.status().as_u16();
            self.change(|now| now.record_status(number, status));
        }
        Ok(response)
    }

    /// Reads a body before anything is done, as an answer that comes earlier may be lost with the
    /// connection; of one that is to be cut, half and at least a chunk.
    async fn receive(
        &self,
        mut body: Incoming,
        number: usize,
        fault: Option<Fault>,
    ) -> Result<Bytes, Cut> {
        let announced = body.size_hint().lower() as usize;
        let enough = match fault {
            Some(Fault::CutMidBody) => announced / 2,
            _ => usize::MAX,
        };
        let mut bytes = BytesMut::with_capacity(announced);
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(|_| Cut)?.into_data() {
                bytes.extend_from_slice(&data);
            }
            self.change(|now| now.record_received(number, bytes.len() as u64));
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
        line: &Line,
    ) -> Result<Response<Body>, Cut> {
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
            Fault::CutMidBody => Err(Cut),
            Fault::HalfAnswer if !operation.only_reads() => {
                half(Response::new(Body::empty()), line).await
            }
            Fault::Hang => std::future::pending().await,
            Fault::SwapFirst(bytes) => {
                self.swap(request.headers(), request.uri(), bytes);
                Ok(self.perform(request, operation).await)
            }
            Fault::HalfAnswer | Fault::DoneButHalfAnswer => {
                half(self.perform(request, operation).await, line).await
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
    ) -> Result<Response<Body>, Cut> {
        let front = Arc::clone(self);
        let passing = tokio::spawn(async move {
            front.gate.pass(call.clone()).await;
            let response = front.perform(request, call.operation).await;
            call.stage = Stage::Performed;
            front.gate.pass(call).await;
            response
        });
        passing.await.map_err(|_| Cut)
    }

    /// Reads a POST form, holds it to its policy and stores its file.
    async fn take_form(&self, request: Request<Bytes>) -> S3Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let bucket = bucket_of(host(&head.headers), &head.uri);
        let form = PostForm::read(&head.headers, body).await?;
        self.change(|now| {
            form.check(self.dialect, &bucket, now, Utc::now())?;
            form.store(self.dialect, now)
        })
    }

    /// Puts other bytes in the place of the object that a request is about.
    fn swap(&self, headers: &HeaderMap, uri: &Uri, bytes: &'static [u8]) {
        let source = headers.get(COPY_SOURCE).and_then(|s| s.to_str().ok());
        let key = match source.and_then(|s| s.trim_start_matches('/').split_once('/')) {
            Some((_, key)) => percent_decode_str(key).decode_utf8_lossy().into_owned(),
            None => key_of(host(headers), uri),
        };
        self.change(|now| now.swap(&key, bytes));
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
            return Err(refusal(400, "InvalidArgument", message));
        }
        let conditional = headers.contains_key("if-none-match") || headers.contains_key("if-match");
        if conditional && !operation.only_reads() {
            // Seen in practice: `apache/arrow-rs-object-store` issue 416.
            let message = "A header you provided implies functionality that is not implemented.";
            return Err(refusal(501, "NotImplemented", message));
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
        self.front.change(|now| now.record_end(self.number));
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

/// The key in the path, after the bucket's name in path style.
fn key_of(host: &str, uri: &Uri) -> String {
    let path = percent_decode_str(uri.path()).decode_utf8_lossy();
    let path = path.strip_prefix('/').unwrap_or_default();
    match bucket_in(host) {
        Some(_) => path.to_owned(),
        None => {
            let (_, key) = path.split_once('/').unwrap_or_default();
            key.to_owned()
        }
    }
}

/// The bucket in the host, else the first segment of the path.
fn bucket_of(host: &str, uri: &Uri) -> String {
    let in_path = || uri.path().split('/').nth(1).unwrap_or_default();
    bucket_in(host).unwrap_or_else(in_path).to_owned()
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

/// The answer, and a connection that ends in its middle: in the body if there
/// is one, else in the headers.
async fn half(response: Response<Body>, line: &Line) -> Result<Response<Body>, Cut> {
    let (mut head, body) = response.into_parts();
    let bytes = BodyExt::collect(body).await.map_err(|_| Cut)?.to_bytes();
    if bytes.is_empty() {
        line.allow(HALF_A_HEAD);
        return Ok(Response::from_parts(head, Body::empty()));
    }
    head.headers.insert(CONTENT_LENGTH, bytes.len().into());
    let first = Frame::data(bytes.slice(..bytes.len() / 2));
    let end = stream::once(async {
        // Lets the connection send what it has before it ends.
        tokio::task::yield_now().await;
        Err(Cut)
    });
    let body = StreamBody::new(stream::iter([Ok(first)]).chain(end));
    Ok(Response::from_parts(head, Body::http_body_unsync(body)))
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

async fn serve_connection(stream: TcpStream, front: Arc<Front>) {
    // Small answers must not wait for the client's acknowledgements.
    let _ = stream.set_nodelay(true);
    let line = Line::unlimited();
    let io = TokioIo::new(Cuttable {
        stream,
        line: line.clone(),
    });
    let service = service_fn(move |request| {
        let (front, line) = (front.clone(), line.clone());
        async move { front.answer(request, &line).await }
    });
    // An error is a cut that was planned, or the client's own going away.
    let _ = http1::Builder::new().serve_connection(io, service).await;
}

/// How many bytes a connection may still send; shared with the answers on it.
#[derive(Clone)]
struct Line(Arc<AtomicUsize>);

impl Line {
    fn unlimited() -> Self {
        Self(Arc::new(AtomicUsize::new(usize::MAX)))
    }

    fn allow(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection that fails once its allowance is used up, which hyper cannot
/// do: it has no way to send half of a response's head.
struct Cuttable {
    stream: TcpStream,
    line: Line,
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let left = self.line.left();
        if left == 0 {
            return Poll::Ready(Err(io::Error::other(Cut)));
        }
        let allowed = &bytes[..bytes.len().min(left)];
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, allowed))?;
        if left != usize::MAX {
            self.line.allow(left - written);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
