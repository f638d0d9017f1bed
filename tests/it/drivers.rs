//! Sends one request and checks its response, with each of four drivers: the Router alone, the built
//! program as local server, on Function Compute, and on Lambda behind a load balancer. The lists of bad
//! and of good inputs run with all of them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io, iter,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use serde_json::{Map, Value, json};

use crate::{
    bucket_double::{BucketDouble, Dialect, Object},
    lane::Lane,
    runtime_double::RuntimeDouble,
    support::{
        Form, Key, Local, PNG, Process, Reply, TestApi, UPLOAD, bucket_vars, get, in_chunks,
        metered, owned, post, send, unread,
    },
    tokens::{JWT, user_jwt},
    wire::Wire,
};

/// More bytes than may be read of an invalid body before it is refused.
const EARLY_READ: usize = 300_000;
/// Most cases in flight.
const CONCURRENCY: usize = 8;

/// How a request reaches the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// The Router alone, with a separate folder for each case.
    Router,
    /// The built program as local server, with a folder.
    Local,
    /// The built program on Function Compute, with an OSS bucket and the credentials of each request.
    FunctionCompute,
    /// The built program on Lambda, with an S3 bucket.
    Lambda,
}

use Driver::{Lambda, Router};

/// A request and its expected outcome.
#[derive(Clone)]
pub(crate) struct Case {
    /// Its number in the list, and a description.
    pub(crate) name: String,
    request: Request<Bytes>,
    sent: Sent,
    expected: Expected,
    /// Drivers that cannot send it, and why.
    excluded: Vec<(Driver, &'static str)>,
}

/// How a body is sent.
#[derive(Clone)]
enum Sent {
    Whole,
    /// The Router must not read it.
    Unread,
    /// One byte per chunk.
    Bytewise,
    /// The body, then these bytes repeated. The Router may read less than [`EARLY_READ`].
    Endless(Bytes),
    /// The start of a longer body, then the connection closes.
    Stopped,
    /// Written by hand, with the end of the request's head; whether the client then closes its side.
    Raw(bool),
}

#[derive(Clone)]
enum Expected {
    /// A failure, in the words of [`Reply::assert_refused`], and nothing is stored.
    Refused(String),
    /// Files are stored.
    Taken(Vec<Stored>),
}

/// An expected file, with its item.
#[derive(Clone)]
pub(crate) struct Stored {
    content: Bytes,
    extension: String,
    /// Expected fields of its item.
    item: Map<String, Value>,
    /// Its Content-Disposition in a bucket, if the case names one.
    disposition: Option<String>,
}

impl Stored {
    /// `about` is kind, Content-Type and extension: `image image/png png`.
    pub(crate) fn new(about: &str, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        let [kind, mime, extension] = *about.split(' ').collect::<Vec<_>>() else {
            panic!("{about} is not kind, type and extension");
        };
        let item = json!({"kind": kind, "mime": mime, "size": content.len()});
        Self {
            content,
            extension: extension.to_owned(),
            item: item.as_object().unwrap().clone(),
            disposition: None,
        }
    }

    pub(crate) fn png() -> Self {
        Self::new("image image/png png", PNG)
    }

    /// Expects this value in its item.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.item.insert(key.to_owned(), value.into());
        self
    }

    /// Expects this display name.
    pub(crate) fn named(self, name: &str) -> Self {
        self.with("name", name)
    }

    /// Expects this Content-Disposition in a bucket.
    pub(crate) fn saved_as(mut self, disposition: &str) -> Self {
        self.disposition = Some(disposition.to_owned());
        self
    }

    fn is_saved(&self) -> bool {
        self.item["kind"] == "document" || self.item["kind"] == "file"
    }

    /// Checks the item of a response and returns its key.
    fn key(&self, item: &Value) -> Result<String, String> {
        for (name, value) in &self.item {
            if item[name] != *value {
                return Err(format!("{name} is {}, not {value}", item[name]));
            }
        }
        let path = item["path"].as_str().unwrap_or_default();
        let is_ours = Key::parse(path).is_some_and(|key| {
            let folder = format!("{}/", key.folder);
            let tops = ["images/", "public/uploads/Diy/"];
            key.extension == self.extension && tops.iter().any(|top| folder.starts_with(top))
        });
        let wrong = || format!("the key is {path}, not one of a .{}", self.extension);
        is_ours.then(|| path.to_owned()).ok_or_else(wrong)
    }

    /// Checks a stored object, or one that a disk store serves.
    fn compare(&self, object: &Object, is_served: bool) -> Result<(), String> {
        if object.bytes != self.content {
            return Err(format!("{} other bytes are stored", object.bytes.len()));
        }
        if object.content_type.as_deref() != self.item["mime"].as_str() {
            return Err(format!("it is stored as {:?}", object.content_type));
        }
        let disposition = object.content_disposition.as_deref();
        let is_right = match disposition {
            None => !self.is_saved(),
            Some(found) if is_served => self.is_saved() && found == "attachment",
            Some(found) => match &self.disposition {
                Some(expected) => found == expected,
                None => self.is_saved() && found.starts_with("attachment"),
            },
        };
        let wrong = || format!("its disposition is {disposition:?}");
        is_right.then_some(()).ok_or_else(wrong)
    }
}

impl Case {
    /// Builds a case that posts `body`, with a valid token in the header.
    pub(crate) fn post(
        name: impl Into<String>,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Self {
        let case = Self {
            name: name.into(),
            request: post(UPLOAD, content_type, Body::empty()).map(|_| body.into()),
            sent: Sent::Whole,
            expected: Expected::Taken(vec![Stored::png()]),
            excluded: Vec::new(),
        };
        case.header("token", user_jwt("7"))
    }

    pub(crate) fn form(name: impl Into<String>, form: &Form) -> Self {
        Self::post(name, &form.content_type(), form.bytes())
    }

    /// Builds a case that sends a valid image.
    pub(crate) fn image(name: impl Into<String>) -> Self {
        Self::form(name, &Form::image())
    }

    pub(crate) fn method(mut self, method: Method) -> Self {
        *self.request.method_mut() = method;
        self
    }

    pub(crate) fn to(mut self, target: impl AsRef<str>) -> Self {
        *self.request.uri_mut() = target.as_ref().parse().unwrap();
        self
    }

    /// Sends it to another route, with the same query.
    pub(crate) fn on(self, route: &str) -> Self {
        let target = self.request.uri().to_string();
        self.to(target.replacen(UPLOAD, route, 1))
    }

    /// Appends a header.
    pub(crate) fn and(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        self.request.headers_mut().append(name, value);
        self
    }

    /// Sets a header.
    pub(crate) fn header(self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).and(name, value)
    }

    pub(crate) fn without(mut self, name: &'static str) -> Self {
        self.request.headers_mut().remove(name);
        self
    }

    fn sent(mut self, sent: Sent) -> Self {
        self.sent = sent;
        self
    }

    /// Must be refused without reading the body.
    pub(crate) fn unread(self) -> Self {
        self.sent(Sent::Unread)
    }

    /// Sends the body byte by byte.
    pub(crate) fn bytewise(self) -> Self {
        let case = self.sent(Sent::Bytewise);
        case.not_on(Lambda, "an event contains its whole body")
    }

    /// Sends an endless body: these bytes follow, repeated.
    pub(crate) fn endless(self, more: &[u8]) -> Self {
        let more = more.repeat(16 * 1024_usize.div_ceil(more.len()));
        let case = self.sent(Sent::Endless(more.into()));
        case.not_on(Lambda, "an event ends")
    }

    /// Stops before the announced length.
    pub(crate) fn stopped(self) -> Self {
        let case = self.sent(Sent::Stopped);
        case.not_on(Lambda, "a gateway waits for the whole body")
    }

    /// Sends a request that no HTTP library would send: its body starts with the last lines of its head.
    /// `is_end`: the client then closes its side.
    pub(crate) fn raw(self, is_end: bool) -> Self {
        let case = self.sent(Sent::Raw(is_end));
        let case = case.not_on(Router, "it takes parsed requests");
        case.not_on(Lambda, "a gateway makes an event of a parsed request")
    }

    /// Excludes a driver, for a reason.
    pub(crate) fn not_on(mut self, driver: Driver, reason: &'static str) -> Self {
        self.excluded.push((driver, reason));
        self
    }

    /// Expects a refusal, in the words of [`Reply::assert_refused`].
    pub(crate) fn refused(mut self, failure: impl Into<String>) -> Self {
        self.expected = Expected::Refused(failure.into());
        self
    }

    /// Expects this refusal, or success if it is empty.
    pub(crate) fn refused_if(self, failure: &str) -> Self {
        match failure {
            "" => self,
            _ => self.refused(failure),
        }
    }

    pub(crate) fn stores(mut self, files: impl IntoIterator<Item = Stored>) -> Self {
        self.expected = Expected::Taken(files.into_iter().collect());
        self
    }

    /// Expects one stored image, with this value in its item.
    pub(crate) fn stores_image_with(self, key: &str, value: impl Into<Value>) -> Self {
        self.stores([Stored::png().with(key, value)])
    }

    /// Writes its request line and headers.
    fn head(&self) -> String {
        let (method, uri) = (self.request.method(), self.request.uri());
        let mut head = format!("{method} {uri} HTTP/1.1\r\n");
        for (name, value) in self.request.headers() {
            let _ = write!(head, "{name}: {}\r\n", value.to_str().unwrap());
        }
        head
    }

    /// Checks a response and returns its files, by their keys.
    fn judge(&self, reply: &Reply) -> Result<Vec<(String, &Stored)>, String> {
        if reply.headers.contains_key("set-cookie") {
            let headers = &reply.headers;
            return Err(format!("a client's header was returned: {headers:?}"));
        }
        let expected = match &self.expected {
            Expected::Refused(failure) => return reply.refused(failure).map(|()| Vec::new()),
            Expected::Taken(files) => files,
        };
        let text = String::from_utf8_lossy(&reply.body);
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let items = match &answer["data"] {
            Value::Array(items) => &items[..],
            item => std::slice::from_ref(item),
        };
        if (reply.status.as_u16(), answer["msg"].as_str()) != (200, Some("ok")) {
            return Err(format!("{} {text}", reply.status));
        }
        if items.len() != expected.len() {
            return Err(format!("{} files: {text}", items.len()));
        }
        let pairs = expected.iter().zip(items);
        let files = pairs.map(|(file, item)| Ok((file.key(item)?, file)));
        files.collect()
    }
}

/// The running program behind a [`Driver`].
pub(crate) enum Program {
    Router(Box<TestApi>),
    Local(Local),
    FunctionCompute {
        addr: SocketAddr,
        _process: Process,
    },
    Lambda {
        double: RuntimeDouble,
        _process: Process,
    },
}

/// Headers that Function Compute adds to every request.
const FC_HEADERS: [(&str, &str); 4] = [
    ("x-fc-access-key-id", "STS.of-the-request"),
    ("x-fc-access-key-secret", "secret-of-the-request"),
    ("x-fc-security-token", "token-of-the-request"),
    ("x-fc-request-id", "1-of-the-request"),
];

impl Program {
    /// Starts the program and its bucket; without one, files are stored in a folder.
    pub(crate) async fn open(
        driver: Driver,
        vars: &[(&'static str, &str)],
    ) -> (Self, Option<BucketDouble>) {
        // The local server would serve a page.
        let common = [JWT, ("UPLOAD_PAGE", "off")];
        let vars = [&common, vars].concat();
        match driver {
            Driver::Router => (Self::Router(Box::new(TestApi::with(&vars))), None),
            Driver::Local => (Self::Local(Local::with(&vars)), None),
            Driver::FunctionCompute => {
                let bucket = BucketDouble::start(Dialect::Oss).await;
                bucket.allow(FC_HEADERS[0].1, FC_HEADERS[1].1, Some(FC_HEADERS[2].1));
                let on_fc = owned(&[("FC_FUNCTION_NAME", "chat-upload")]);
                let mut all = [bucket_vars(&bucket), owned(&vars), on_fc].concat();
                all.retain(|(name, _)| !name.starts_with("AWS_"));
                let (_process, addr) = Process::serve(&all);
                (Self::FunctionCompute { addr, _process }, Some(bucket))
            }
            Driver::Lambda => {
                let bucket = BucketDouble::start(Dialect::S3).await;
                let double = RuntimeDouble::start().await;
                let several = owned(&[("AWS_LAMBDA_MAX_CONCURRENCY", "4")]);
                let all = [bucket_vars(&bucket), owned(&vars), double.env(), several];
                let _process = Process::start(&all.concat());
                (Self::Lambda { double, _process }, Some(bucket))
            }
        }
    }

    /// Sends a request like a client.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Result<Reply, String> {
        self.add_headers(request.headers_mut());
        let reply = match self {
            Self::Router(api) => api.send(request).await,
            Self::Local(local) => local.send(request).await,
            Self::FunctionCompute { addr, .. } => send(*addr, request).await,
            Self::Lambda { double, .. } => {
                double.answer(event(request).await.to_string()).await.reply
            }
        };
        self.check_id(reply)
    }

    /// Adds the headers of the platform.
    fn add_headers(&self, headers: &mut HeaderMap) {
        if let Self::FunctionCompute { .. } = self {
            headers.extend(FC_HEADERS.map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            }));
        }
    }

    /// Checks that a response has the platform's request id.
    fn check_id(&self, reply: Reply) -> Result<Reply, String> {
        match self {
            Self::FunctionCompute { .. } if reply.header("x-request-id") != FC_HEADERS[3].1 => Err(
                format!("the request id is not the platform's: {:?}", reply.headers),
            ),
            _ => Ok(reply),
        }
    }

    /// Writes the head of a case, then these bytes, to a socket.
    async fn write(&self, case: &Case, rest: &[u8], is_end: bool) -> Result<Reply, String> {
        let addr = match self {
            Self::Local(local) => local.addr,
            Self::FunctionCompute { addr, .. } => *addr,
            Self::Router(_) | Self::Lambda { .. } => unreachable!("excluded"),
        };
        let mut case = case.clone();
        self.add_headers(case.request.headers_mut());
        let mut wire = Wire::connect(addr).await;
        wire.send(case.head()).await;
        wire.send(rest).await;
        if is_end {
            wire.end_sending().await;
        }
        self.check_id(wire.answer().await)
    }
}

/// Converts a request into a load balancer's event, which keeps paths, queries and repeated headers
/// unchanged.
async fn event(request: Request<Body>) -> Value {
    let (head, body) = request.into_parts();
    let mut headers = Map::new();
    for name in head.headers.keys() {
        let values = head.headers.get_all(name).iter();
        let texts = values.map(|value| std::str::from_utf8(value.as_bytes()).unwrap());
        headers.insert(name.to_string(), texts.collect());
    }
    let mut parameters = Map::new();
    let pairs = head.uri.query().unwrap_or_default().split('&');
    for pair in pairs.filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let values = parameters.entry(name).or_insert_with(|| json!([]));
        values.as_array_mut().unwrap().push(json!(value));
    }
    let body = body.collect().await.unwrap().to_bytes();
    json!({
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:x:1:targetgroup/x/1"}},
        "httpMethod": head.method.as_str(),
        "path": head.uri.path(),
        "multiValueQueryStringParameters": parameters,
        "multiValueHeaders": headers,
        "body": base64_simd::STANDARD.encode_to_string(body),
        "isBase64Encoded": true,
    })
}

impl Lane {
    /// Sends the request of a case.
    async fn send_case(&self, case: &Case) -> Result<Reply, String> {
        let bytes = case.request.body();
        let is_router = matches!(self.program, Program::Router(_));
        let mut read = Arc::default();
        let body = match &case.sent {
            Sent::Unread if is_router => unread(bytes.len() as u64),
            Sent::Whole | Sent::Unread => bytes.clone().into(),
            Sent::Bytewise => in_chunks(bytes, 1),
            Sent::Endless(more) => {
                let start = iter::once(bytes.clone());
                let (body, counter) = metered(start.chain(iter::repeat(more.clone())));
                read = counter;
                body
            }
            Sent::Stopped if is_router => {
                let end = Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                Body::from_stream(stream::iter([Ok(bytes.clone()), end]))
            }
            Sent::Stopped => {
                let head = format!("host: a\r\ncontent-length: {}\r\n\r\n", bytes.len() + 1000);
                let rest = [head.as_bytes(), bytes].concat();
                return self.program.write(case, &rest, true).await;
            }
            Sent::Raw(is_end) => return self.program.write(case, bytes, *is_end).await,
        };
        let reply = self.program.send(case.request.clone().map(|_| body)).await;
        match read.load(Ordering::Relaxed) {
            read if is_router && read >= bytes.len() + EARLY_READ => {
                Err(format!("{read} bytes were read"))
            }
            _ => reply,
        }
    }

    /// Returns an object as the bucket has it, or as the disk store serves it.
    async fn object(&self, key: &str, objects: &BTreeMap<String, Object>) -> Object {
        if self.bucket.is_some() {
            return objects.get(key).cloned().unwrap_or_default();
        }
        let reply = self.program.send(get(&format!("/{key}"))).await.unwrap();
        let header = |name: &str| {
            let value = reply.headers.get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        // A browser must not guess another type.
        let is_safe = header("x-content-type-options").as_deref() == Some("nosniff");
        Object {
            content_type: header("content-type").filter(|_| is_safe),
            content_disposition: header("content-disposition"),
            ..Object::with(reply.body.clone())
        }
    }

    /// Sends these cases concurrently; returns the name of each that failed, and why.
    async fn failures(&self, cases: &[&Case]) -> Vec<(String, String)> {
        let answers = stream::iter(cases).map(async |case| {
            let reply = self.send_case(case).await;
            (case, reply.and_then(|reply| case.judge(&reply)))
        });
        let answers: Vec<_> = answers.buffer_unordered(CONCURRENCY).collect().await;
        let mut failures = Vec::new();
        let objects = self.bucket.as_ref().map(BucketDouble::objects);
        let objects = objects.unwrap_or_default();
        let mut left = self.contents();
        for (case, answer) in answers {
            let files = answer.unwrap_or_else(|reason| {
                failures.push((case.name.clone(), reason));
                Vec::new()
            });
            for (key, stored) in files {
                let is_there = left.remove(&key).as_ref() == Some(&stored.content);
                let object = self.object(&key, &objects).await;
                let found = stored.compare(&object, self.bucket.is_none());
                let found = found.and_then(|()| is_there.then_some(()).ok_or("not stored".into()));
                failures.extend(found.err().map(|reason| (case.name.clone(), reason)));
            }
        }
        failures.extend(left.into_iter().map(|(key, bytes)| {
            let sent = |case: &&&Case| {
                let part = &bytes[..bytes.len().min(64)];
                memchr::memmem::find(case.request.body(), part).is_some()
            };
            let by: Vec<_> = cases.iter().filter(sent).map(|case| &*case.name).collect();
            let some = &by[..by.len().min(3)];
            (
                key,
                format!("was left behind, perhaps by one of {}: {some:?}", by.len()),
            )
        }));
        let open = self.open_uploads();
        if open > 0 {
            failures.push(("multipart uploads".to_owned(), format!("{open} are open")));
        }
        failures
    }
}

/// Sends every case with one driver, to a program with these additional variables.
pub(crate) async fn run(driver: Driver, vars: &[(&'static str, &str)], cases: &[Case]) {
    let (excluded, sent): (Vec<_>, Vec<_>) = cases
        .iter()
        .partition(|case| case.excluded.iter().any(|(other, _)| *other == driver));
    let mut failures = Vec::new();
    if driver == Driver::Router {
        let each = stream::iter(&sent).map(async |case| {
            let lane = Lane::start(driver, vars).await;
            lane.failures(&[case]).await
        });
        failures.extend(each.buffered(CONCURRENCY).concat().await);
    } else {
        failures.extend(Lane::start(driver, vars).await.failures(&sent).await);
    }
    let (all, out) = (sent.len(), excluded.len());
    // A case may fail in several ways.
    let failed = failures.len();
    println!("{driver:?}: {all} cases, {failed} failures, {out} excluded");
    let lines = failures
        .iter()
        .map(|(name, reason)| format!("{name}: {reason}\n"));
    assert!(
        failures.is_empty(),
        "{driver:?}\n{}",
        lines.collect::<String>()
    );
}

/// Parses the rows of a table: one per line, cells separated by `|`.
pub(crate) fn rows<const CELLS: usize>(
    table: &'static str,
) -> impl Iterator<Item = [&'static str; CELLS]> {
    let lines = table.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        cells
            .try_into()
            .unwrap_or_else(|_| panic!("not {CELLS} cells: {line}"))
    })
}

/// Decodes the escapes of a cell: `\r`, `\n`, `\t`, `\0`, `\xFF`, `\\`, and `\s` for a blank.
pub(crate) fn unescaped(cell: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), cell);
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (letter, after) = after.split_at(1);
        let (digits, after) = after.split_at(if letter == "x" { 2 } else { 0 });
        bytes.push(match letter {
            "r" => b'\r',
            "n" => b'\n',
            "t" => b'\t',
            "0" => 0,
            "s" => b' ',
            "\\" => b'\\',
            _ => u8::from_str_radix(digits, 16).expect("an escape of the list above"),
        });
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Decodes a cell like [`unescaped`], as text.
pub(crate) fn unescaped_text(cell: &str) -> String {
    String::from_utf8(unescaped(cell)).unwrap()
}
