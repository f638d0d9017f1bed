//! One request and the answer it must get, through each of the four ways into the program: the Router
//! alone, the built program as local server, as Function Compute runs it, and as Lambda runs it behind
//! a load balancer. The list of bad inputs and that of good ones are sent through all of them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io, iter,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value, json};

use crate::{
    bucket_double::{BucketDouble, Dialect, Object},
    lane::target,
    runtime_double::RuntimeDouble,
    support::{
        Form, Key, Local, PNG, Process, Reply, TestApi, UPLOAD, bucket_vars, get, in_chunks,
        metered, owned, send, unread,
    },
    tokens::{JWT, of_user},
    wire::Wire,
};

/// More than any refusal may read of a body that goes wrong at its start.
const A_LITTLE: usize = 300_000;
/// How many cases are under way at a time.
const SIDE_BY_SIDE: usize = 8;

/// A way into the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The Router alone, with a folder; each case has one of its own.
    Router,
    /// The built program as local server, with a folder.
    Local,
    /// The built program on Function Compute, with an OSS bucket and the keys of each request.
    FunctionCompute,
    /// The built program on Lambda, with an S3 bucket.
    Lambda,
}

use Way::{Lambda, Router};

/// A request and what comes of it.
#[derive(Clone)]
pub(crate) struct Case {
    /// Its number in the list, and what it is.
    pub(crate) name: String,
    method: Method,
    /// With its query.
    target: String,
    headers: HeaderMap,
    body: Sent,
    expected: Expected,
    /// Ways that cannot carry it, and why.
    left_out: Vec<(Way, &'static str)>,
}

/// A body, and how it comes.
#[derive(Clone)]
enum Sent {
    Whole(Bytes),
    /// In the Router's case it must not even be asked for.
    Unread(Bytes),
    /// One byte per chunk.
    Bytewise(Bytes),
    /// The first bytes, then the others over and over. The Router may read only a little of it.
    Endless(Bytes, Bytes),
    /// These bytes of a longer body, then nothing more.
    Stopped(Bytes),
    /// A whole request, as it goes over the wire, and whether the client then says that it is the end.
    Raw(Bytes, bool),
}

#[derive(Clone)]
enum Expected {
    /// A failure, as [`Reply::assert_refused`] names it, and nothing is stored.
    Refused(String),
    /// Files are stored.
    Taken(Vec<Stored>),
}

/// A file that is stored, and what is said of it.
#[derive(Clone)]
pub(crate) struct Stored {
    content: Bytes,
    extension: String,
    /// Keys of its item.
    item: Map<String, Value>,
    /// Its Content-Disposition in a bucket, where the case names one.
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

    /// With this value in its item.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.item.insert(key.to_owned(), value.into());
        self
    }

    /// With a name that is shown so.
    pub(crate) fn named(self, name: &str) -> Self {
        self.with("name", name)
    }

    /// Which a bucket hands out with this Content-Disposition.
    pub(crate) fn saved_as(mut self, disposition: &str) -> Self {
        self.disposition = Some(disposition.to_owned());
        self
    }

    fn is_saved(&self) -> bool {
        self.item["kind"] == "document" || self.item["kind"] == "file"
    }

    /// Compares the item of an answer; the key that it names.
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

    /// Compares a stored object.
    fn compare(&self, object: &Held) -> Result<(), String> {
        if object.content != self.content {
            return Err(format!("{} other bytes are stored", object.content.len()));
        }
        if object.mime.as_deref() != self.item["mime"].as_str() {
            return Err(format!("it is stored as {:?}", object.mime));
        }
        let disposition = object.disposition.as_deref();
        let is_right = match disposition {
            None => !self.is_saved(),
            Some(found) if object.is_served => self.is_saved() && found == "attachment",
            Some(found) => match &self.disposition {
                Some(expected) => found == expected,
                None => self.is_saved() && found.starts_with("attachment"),
            },
        };
        let wrong = || format!("its disposition is {disposition:?}");
        is_right.then_some(()).ok_or_else(wrong)
    }
}

/// An object as it is in the store, or as a disk store serves it.
struct Held {
    content: Bytes,
    mime: Option<String>,
    disposition: Option<String>,
    is_served: bool,
}

impl Case {
    /// Posts `body`, with a good token in its header.
    pub(crate) fn post(
        name: impl Into<String>,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Self {
        let case = Self {
            name: name.into(),
            method: Method::POST,
            target: UPLOAD.to_owned(),
            headers: HeaderMap::new(),
            body: Sent::Whole(body.into()),
            expected: Expected::Taken(vec![Stored::png()]),
            left_out: Vec::new(),
        };
        case.header("content-type", content_type)
            .header("token", of_user("7"))
    }

    pub(crate) fn form(name: impl Into<String>, form: &Form) -> Self {
        Self::post(name, &form.content_type(), form.bytes())
    }

    /// A picture, sent as it should be.
    pub(crate) fn picture(name: impl Into<String>) -> Self {
        Self::form(name, &Form::picture())
    }

    pub(crate) fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub(crate) fn to(mut self, target: impl Into<String>) -> Self {
        self.target = target.into();
        self
    }

    /// On another route than the usual one, with its query.
    pub(crate) fn on(mut self, route: &str) -> Self {
        self.target = self.target.replacen(UPLOAD, route, 1);
        self
    }

    /// With a header more.
    pub(crate) fn and(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        self.headers.append(name, value);
        self
    }

    /// With a header of this value alone.
    pub(crate) fn header(self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).and(name, value)
    }

    pub(crate) fn without(mut self, name: &'static str) -> Self {
        self.headers.remove(name);
        self
    }

    /// Must be refused without a look at the body.
    pub(crate) fn unread(mut self) -> Self {
        self.body = Sent::Unread(self.bytes().clone());
        self
    }

    /// Comes byte by byte.
    pub(crate) fn bytewise(mut self) -> Self {
        self.body = Sent::Bytewise(self.bytes().clone());
        self.not_on(Lambda, "an event holds its body as a whole")
    }

    /// Never ends: these bytes follow, over and over.
    pub(crate) fn endless(mut self, more: &[u8]) -> Self {
        let more = more.repeat(16 * 1024_usize.div_ceil(more.len()));
        self.body = Sent::Endless(self.bytes().clone(), more.into());
        self.not_on(Lambda, "an event ends")
    }

    /// Stops before the end that it announces.
    pub(crate) fn stopped(mut self) -> Self {
        self.body = Sent::Stopped(self.bytes().clone());
        self.not_on(Lambda, "a gateway waits for the whole body")
    }

    /// A request that no HTTP library would send: its first line, and what follows the headers that the
    /// case has. `is_end`: the client closes its side then.
    pub(crate) fn raw(mut self, line: &str, rest: impl AsRef<[u8]>, is_end: bool) -> Self {
        let bytes = [line.as_bytes(), b"\r\n", rest.as_ref()].concat();
        self.body = Sent::Raw(bytes.into(), is_end);
        let case = self.not_on(Router, "it takes requests that were read already");
        case.not_on(Lambda, "a gateway makes an event of what it has read")
    }

    /// Left out of one way, for a reason.
    pub(crate) fn not_on(mut self, way: Way, reason: &'static str) -> Self {
        self.left_out.push((way, reason));
        self
    }

    /// Refused, as [`Reply::assert_refused`] names it.
    pub(crate) fn refused(mut self, failure: impl Into<String>) -> Self {
        self.expected = Expected::Refused(failure.into());
        self
    }

    pub(crate) fn stores(mut self, files: impl IntoIterator<Item = Stored>) -> Self {
        self.expected = Expected::Taken(files.into_iter().collect());
        self
    }

    /// Stores its one picture, whose item has this value.
    pub(crate) fn stores_picture_with(self, key: &str, value: impl Into<Value>) -> Self {
        self.stores([Stored::png().with(key, value)])
    }

    fn bytes(&self) -> &Bytes {
        match &self.body {
            Sent::Whole(bytes)
            | Sent::Unread(bytes)
            | Sent::Bytewise(bytes)
            | Sent::Endless(bytes, _)
            | Sent::Stopped(bytes)
            | Sent::Raw(bytes, _) => bytes,
        }
    }

    fn request(&self, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.parse().unwrap();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// As a client streams it.
    fn streamed(&self) -> Request<Body> {
        self.request(match &self.body {
            Sent::Bytewise(bytes) => in_chunks(bytes, 1),
            Sent::Endless(start, more) => endless(start, more).0,
            _ => self.bytes().clone().into(),
        })
    }

    /// As a load balancer hands it over, which keeps paths, queries and repeated headers as they came.
    fn event(&self) -> Value {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let mut headers = Map::new();
        for name in self.headers.keys() {
            headers.insert(name.to_string(), json!(self.header_texts(name)));
        }
        let mut parameters = Map::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let values = parameters.entry(name).or_insert_with(|| json!([]));
            values.as_array_mut().unwrap().push(json!(value));
        }
        json!({
            "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:x:1:targetgroup/x/1"}},
            "httpMethod": self.method.as_str(),
            "path": path,
            "multiValueQueryStringParameters": parameters,
            "multiValueHeaders": headers,
            "body": base64_simd::STANDARD.encode_to_string(self.bytes()),
            "isBase64Encoded": true,
        })
    }

    fn header_texts(&self, name: &HeaderName) -> Vec<&str> {
        let values = self.headers.get_all(name).iter();
        values
            .map(|value| std::str::from_utf8(value.as_bytes()).unwrap())
            .collect()
    }

    /// Compares an answer; the files that it names, by their keys.
    fn judge(&self, reply: &Reply) -> Result<Vec<(String, &Stored)>, String> {
        if reply.headers.contains_key("set-cookie") {
            let headers = &reply.headers;
            return Err(format!("a header of the client's came back: {headers:?}"));
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

/// One way into the program, open, and its store.
pub(crate) struct Driver {
    door: Door,
    /// `None` for a folder.
    bucket: Option<BucketDouble>,
}

enum Door {
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

/// Headers that Function Compute puts into every request.
const OF_FC: [(&str, &str); 4] = [
    ("x-fc-access-key-id", "STS.of-the-request"),
    ("x-fc-access-key-secret", "secret-of-the-request"),
    ("x-fc-security-token", "token-of-the-request"),
    ("x-fc-request-id", "1-of-the-request"),
];

impl Driver {
    pub(crate) async fn start(way: Way, vars: &[(&'static str, &str)]) -> Self {
        // At home there would be a page.
        let common = [JWT, ("UPLOAD_PAGE", "off")];
        let vars = [&common, vars].concat();
        let bucket = match way {
            Way::Router | Way::Local => None,
            Way::FunctionCompute => {
                let bucket = BucketDouble::start(Dialect::Oss).await;
                bucket.allow(OF_FC[0].1, OF_FC[1].1, Some(OF_FC[2].1));
                Some(bucket)
            }
            Way::Lambda => Some(BucketDouble::start(Dialect::S3).await),
        };
        let mut all = bucket.as_ref().map(bucket_vars).unwrap_or_default();
        all.extend(owned(&vars));
        let door = match way {
            Way::Router => Door::Router(Box::new(TestApi::with(&vars))),
            Way::Local => Door::Local(Local::with(&vars)),
            Way::FunctionCompute => {
                all.retain(|(name, _)| !name.starts_with("AWS_"));
                all.extend(owned(&[("FC_FUNCTION_NAME", "chat-upload")]));
                let (_process, addr) = Process::serve(&all);
                Door::FunctionCompute { addr, _process }
            }
            Way::Lambda => {
                let double = RuntimeDouble::start().await;
                all.extend(double.env());
                all.extend(owned(&[("AWS_LAMBDA_MAX_CONCURRENCY", "4")]));
                let _process = Process::start(&all);
                Door::Lambda { double, _process }
            }
        };
        Self { door, bucket }
    }

    pub(crate) fn bucket(&self) -> Option<&BucketDouble> {
        self.bucket.as_ref()
    }

    /// Where its socket is, if it has one.
    fn addr(&self) -> Option<SocketAddr> {
        match &self.door {
            Door::Router(_) | Door::Lambda { .. } => None,
            Door::Local(local) => Some(local.addr),
            Door::FunctionCompute { addr, .. } => Some(*addr),
        }
    }

    /// Everything in the store, hidden files included: key → bytes.
    pub(crate) fn contents(&self) -> BTreeMap<String, Bytes> {
        if let Some(bucket) = &self.bucket {
            let objects = bucket.objects().into_iter();
            return objects.map(|(key, object)| (key, object.bytes)).collect();
        }
        let files = match &self.door {
            Door::Router(api) => api.files(),
            Door::Local(local) => local.files(),
            Door::FunctionCompute { .. } | Door::Lambda { .. } => {
                unreachable!("they have a bucket")
            }
        };
        let files = files.into_iter();
        files.map(|(key, bytes)| (key, bytes.into())).collect()
    }

    /// Sends a case as its client does.
    pub(crate) async fn send(&self, case: &Case) -> Result<Reply, String> {
        let addr = match &self.door {
            Door::Router(api) => return send_to_router(api, case).await,
            Door::Lambda { double, .. } => {
                let answer = double.invoke(case.event().to_string()).await;
                return Ok(answer.into_response().reply);
            }
            Door::Local(local) => local.addr,
            Door::FunctionCompute { addr, .. } => *addr,
        };
        let mut case = case.clone();
        if let Door::FunctionCompute { .. } = self.door {
            for (name, value) in OF_FC {
                case = case.header(name, value);
            }
        }
        let reply = match &case.body {
            Sent::Raw(request, is_end) => {
                let line_end = memchr::memchr(b'\n', request).unwrap() + 1;
                let mut wire = Wire::connect(addr).await;
                wire.send(&request[..line_end]).await;
                for (name, value) in &case.headers {
                    let value = value.to_str().unwrap();
                    wire.send(format!("{name}: {value}\r\n")).await;
                }
                wire.send(&request[line_end..]).await;
                if *is_end {
                    wire.say_no_more().await;
                }
                wire.answer().await
            }
            Sent::Stopped(body) => {
                let mut wire = Wire::connect(addr).await;
                let length = format!("content-length: {}\r\n", body.len() + 1000);
                wire.send(case.head(&length)).await;
                wire.send(body).await;
                wire.say_no_more().await;
                wire.answer().await
            }
            _ => send(addr, case.streamed()).await,
        };
        let (name, id) = OF_FC[3];
        match case.headers.get(name).is_some() && reply.header("x-request-id") != id {
            true => Err(format!(
                "the request id is not the platform's: {:?}",
                reply.headers
            )),
            false => Ok(reply),
        }
    }

    /// Posts a form to the address that it is for: a bucket's, or the function's own.
    pub(crate) async fn post_form(&self, url: &str, form: &Form) -> Reply {
        match &self.door {
            Door::Router(api) => {
                let path = url.find("/api/").map_or(url, |at| &url[at..]);
                api.send(form.to(path)).await
            }
            _ => {
                let (addr, path) = target(url);
                send(addr, form.to(&path)).await
            }
        }
    }

    /// An object as it is stored, or served where the store is a folder.
    async fn held(&self, key: &str, objects: &BTreeMap<String, Object>) -> Held {
        if self.bucket.is_some() {
            let object = objects.get(key).cloned().unwrap_or_default();
            return Held {
                content: object.bytes,
                mime: object.content_type,
                disposition: object.content_disposition,
                is_served: false,
            };
        }
        let request = get(&format!("/{key}"));
        let reply = match (&self.door, self.addr()) {
            (Door::Router(api), _) => api.send(request).await,
            (_, addr) => send(addr.expect("Lambda has a bucket"), request).await,
        };
        let header = |name: &str| {
            let value = reply.headers.get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        // A browser must not guess another type.
        let is_safe = header("x-content-type-options").as_deref() == Some("nosniff");
        Held {
            mime: header("content-type").filter(|_| is_safe),
            disposition: header("content-disposition"),
            content: reply.body,
            is_served: true,
        }
    }

    /// Sends these cases side by side; the name of each that went otherwise, and how.
    async fn failures(&self, cases: &[&Case]) -> Vec<(String, String)> {
        let answers = stream::iter(cases).map(async |case| {
            let reply = self.send(case).await;
            (case, reply.and_then(|reply| case.judge(&reply)))
        });
        let answers: Vec<_> = answers.buffer_unordered(SIDE_BY_SIDE).collect().await;
        let mut failures = Vec::new();
        let objects = self.bucket().map(BucketDouble::objects).unwrap_or_default();
        let mut left = self.contents();
        for (case, answer) in answers {
            let files = answer.unwrap_or_else(|reason| {
                failures.push((case.name.clone(), reason));
                Vec::new()
            });
            for (key, stored) in files {
                let is_there = left
                    .remove(&key)
                    .is_some_and(|bytes| bytes == stored.content);
                let found = stored.compare(&self.held(&key, &objects).await);
                let found = found.and_then(|()| is_there.then_some(()).ok_or("not stored".into()));
                failures.extend(found.err().map(|reason| (case.name.clone(), reason)));
            }
        }
        failures.extend(left.into_iter().map(|(key, bytes)| {
            let is_of = |case: &&&Case| {
                let part = &bytes[..bytes.len().min(64)];
                memchr::memmem::find(case.bytes(), part).is_some()
            };
            let of: Vec<_> = cases.iter().filter(is_of).map(|case| &*case.name).collect();
            (key, format!("was left behind, perhaps by {of:?}"))
        }));
        if let Some(open) = self.bucket().map(BucketDouble::open_uploads)
            && open > 0
        {
            failures.push(("uploads in parts".to_owned(), format!("{open} are open")));
        }
        failures
    }
}

impl Case {
    /// The head of its request by hand, with a line more.
    fn head(&self, line: &str) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: a\r\n{line}",
            self.method, self.target
        );
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {}\r\n", value.to_str().unwrap());
        }
        (head + "\r\n").into_bytes()
    }
}

/// These bytes, then the others over and over; and how many were asked for.
fn endless(start: &Bytes, more: &Bytes) -> (Body, Arc<AtomicUsize>) {
    metered(iter::once(start.clone()).chain(iter::repeat(more.clone())))
}

async fn send_to_router(api: &TestApi, case: &Case) -> Result<Reply, String> {
    match &case.body {
        Sent::Unread(bytes) => {
            let body = unread(bytes.len() as u64);
            Ok(api.send(case.request(body)).await)
        }
        Sent::Endless(start, more) => {
            let (body, read) = endless(start, more);
            let reply = api.send(case.request(body)).await;
            let read = read.load(Ordering::Relaxed);
            let is_little = read < start.len() + A_LITTLE;
            is_little
                .then_some(reply)
                .ok_or(format!("{read} bytes were read"))
        }
        Sent::Stopped(bytes) => {
            let end = Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            let body = Body::from_stream(stream::iter([Ok(bytes.clone()), end]));
            Ok(api.send(case.request(body)).await)
        }
        _ => Ok(api.send(case.streamed()).await),
    }
}

/// Sends every case through one way, of a program with these variables more.
pub(crate) async fn run(way: Way, vars: &[(&'static str, &str)], cases: &[Case]) {
    let (left_out, carried): (Vec<_>, Vec<_>) = cases
        .iter()
        .partition(|case| case.left_out.iter().any(|(other, _)| *other == way));
    let mut failures = Vec::new();
    if way == Way::Router {
        let each = stream::iter(&carried).map(async |case| {
            let driver = Driver::start(way, vars).await;
            driver.failures(&[case]).await
        });
        failures.extend(each.buffered(SIDE_BY_SIDE).concat().await);
    } else {
        failures.extend(Driver::start(way, vars).await.failures(&carried).await);
    }
    let (all, out) = (carried.len(), left_out.len());
    println!(
        "{way:?}: {all} cases, {} held, {out} left out",
        all - failures.len()
    );
    let lines = failures
        .iter()
        .map(|(name, reason)| format!("{name}: {reason}\n"));
    assert!(
        failures.is_empty(),
        "{way:?}\n{}",
        lines.collect::<String>()
    );
}

/// The rows of a table: cells between bars, in lines of their own.
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

/// The bytes that a cell stands for: `\r`, `\n`, `\t`, `\0`, `\xFF`, `\\`, and `\s` for a blank.
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

/// [`unescaped`], where that is a text.
pub(crate) fn unescaped_text(cell: &str) -> String {
    String::from_utf8(unescaped(cell)).unwrap()
}
