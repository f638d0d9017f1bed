//! Shared helpers: forms as clients write them, the Router with its own store, the built binary as a
//! process, and the responses of both.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt::Debug,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode},
};
use bytes::Bytes;
use chat_upload::{
    api::{self, Arrival},
    config::Config,
    store::{self, Store, bucket},
};
use futures_util::{StreamExt as _, stream};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::bucket_double::{BUCKET, BucketDouble, Dialect, KEY_ID, SECRET};

/// Asserts that two lists are equal, and names what is missing in either.
#[track_caller]
pub(crate) fn assert_same<T: Ord + Debug>(
    (place, listed): (&str, &BTreeSet<T>),
    (other_place, listed_there): (&str, &BTreeSet<T>),
) {
    let missing: Vec<_> = listed_there.difference(listed).collect();
    assert!(missing.is_empty(), "missing in {place}: {missing:?}");
    let missing: Vec<_> = listed.difference(listed_there).collect();
    assert!(missing.is_empty(), "missing in {other_place}: {missing:?}");
}

/// The main route.
pub(crate) const UPLOAD: &str = "/api/chat/uploadAliyun";
/// The admin page's route.
pub(crate) const ADMIN: &str = "/shop/admin/image/uploadAliyun";
/// The folder route; the folder's name follows.
pub(crate) const FOLDER: &str = "/api/chat/uploadStreamSingleToServerDiy/";
pub(crate) const MIB: usize = 1024 * 1024;
/// A small real image.
pub(crate) const PNG: &[u8] = include_bytes!("../../events/picture.png");
/// How long a test waits for another process before it fails.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// A multipart form, byte for byte as on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    boundary: String,
    body: Vec<u8>,
}

impl Form {
    pub(crate) fn new() -> Self {
        Self::with_boundary("----WebKitFormBoundaryabc123")
    }

    pub(crate) fn with_boundary(boundary: &str) -> Self {
        Self {
            boundary: boundary.to_owned(),
            body: Vec::new(),
        }
    }

    /// Builds a form with one file in `img`.
    pub(crate) fn img(name: &str, content: impl AsRef<[u8]>) -> Self {
        Self::new().file("img", name, content)
    }

    /// Builds a form with one image.
    pub(crate) fn image() -> Self {
        Self::new().and_image()
    }

    pub(crate) fn and_image(self) -> Self {
        self.file("img", "a.png", PNG)
    }

    pub(crate) fn text(self, name: &str, value: &str) -> Self {
        self.part(disposition(&format!("name=\"{name}\"")), value)
    }

    pub(crate) fn file(self, field: &str, name: &str, content: impl AsRef<[u8]>) -> Self {
        let headers = format!(
            "Content-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream"
        );
        self.part(headers, content)
    }

    /// Adds a part with these headers, lines joined by CRLF.
    pub(crate) fn part(self, headers: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        let border = format!("--{}\r\n", self.boundary);
        let form = self.raw(border).raw(headers).raw("\r\n\r\n");
        form.raw(content).raw("\r\n")
    }

    /// Adds bytes unchanged.
    pub(crate) fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.body.extend_from_slice(bytes.as_ref());
        self
    }

    pub(crate) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// Returns the body with its closing boundary.
    pub(crate) fn bytes(&self) -> Bytes {
        let end = format!("--{}--\r\n", self.boundary);
        [&self.body, end.as_bytes()].concat().into()
    }

    /// Returns the body without its closing boundary.
    pub(crate) fn unclosed(&self) -> Bytes {
        self.body.clone().into()
    }

    /// Returns a request that posts this body, under the form's Content-Type, to the main route.
    pub(crate) fn with_body(&self, body: impl Into<Body>) -> Request<Body> {
        post(UPLOAD, &self.content_type(), body)
    }

    /// Returns a request that posts the form to `path`.
    pub(crate) fn to(&self, path: &str) -> Request<Body> {
        post(path, &self.content_type(), self.bytes())
    }
}

/// Returns a part's Content-Disposition with these parameters.
pub(crate) fn disposition(params: &str) -> String {
    format!("Content-Disposition: form-data; {params}")
}

/// Returns the headers of an image part.
pub(crate) fn img() -> String {
    disposition("name=\"img\"; filename=\"a.png\"")
}

pub(crate) fn post(path: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(path).body(body.into()).unwrap();
    request.header("content-type", content_type)
}

/// Returns a body of these chunks, which may be infinite, and a counter of the bytes read from it.
pub(crate) fn metered<I>(chunks: I) -> (Body, Arc<AtomicUsize>)
where
    I: IntoIterator<Item = Bytes>,
    I::IntoIter: Send + 'static,
{
    let read = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&read);
    let chunks = chunks.into_iter().map(move |chunk| {
        counter.fetch_add(chunk.len(), Ordering::Relaxed);
        Ok::<_, Infallible>(chunk)
    });
    (Body::from_stream(stream::iter(chunks)), read)
}

/// Returns a body in chunks of `size` bytes, without a length.
pub(crate) fn in_chunks(bytes: &[u8], size: usize) -> Body {
    let chunks: Vec<_> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
    metered(chunks).0
}

/// A body that announces a length, right or wrong.
struct Announced {
    body: Body,
    len: u64,
}

impl HttpBody for Announced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len)
    }
}

pub(crate) fn announced(len: u64, body: Body) -> Body {
    Body::new(Announced { body, len })
}

/// Returns a body that must not be read.
pub(crate) fn unread(len: u64) -> Body {
    let chunks = stream::poll_fn(|_| -> Poll<Option<Result<Bytes, Infallible>>> {
        panic!("the body was read")
    });
    announced(len, Body::from_stream(chunks))
}

/// Returns a body that stalls after these bytes, without an end.
pub(crate) fn stalled(bytes: Bytes) -> Body {
    let chunks = stream::iter([Ok::<_, Infallible>(bytes)]);
    Body::from_stream(chunks.chain(stream::pending()))
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

/// A response with its whole body.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    async fn read<B: HttpBody<Error: Debug>>(response: Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self
            .headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.headers));
        value.to_str().unwrap()
    }

    /// Asserts that this is a success with a body of this type.
    #[track_caller]
    pub(crate) fn assert_ok(&self, content_type: &str) {
        assert_eq!(self.status, 200);
        assert_eq!(self.header("content-type"), content_type);
    }

    /// Returns the first item of a success.
    #[track_caller]
    pub(crate) fn item(&self) -> serde_json::Value {
        self.data()[0].clone()
    }

    /// Returns `data` of a success.
    #[track_caller]
    pub(crate) fn data(&self) -> serde_json::Value {
        let json = self.json();
        assert_eq!(json["msg"], "ok", "{json}");
        self.assert_ok("application/json; charset=utf-8");
        json["data"].clone()
    }
}

/// Returns the path of an item.
#[track_caller]
pub(crate) fn path_of(item: &serde_json::Value) -> &str {
    item["path"]
        .as_str()
        .unwrap_or_else(|| panic!("no path in {item}"))
}

/// The fields of a key: `<folder>/<YYYYMMDD>/<milliseconds>_<12 lower-case hex><.ext>`.
pub(crate) struct Key<'k> {
    pub(crate) folder: &'k str,
    pub(crate) date: &'k str,
    pub(crate) millis: i64,
    /// Empty before completion.
    pub(crate) extension: &'k str,
}

impl<'k> Key<'k> {
    pub(crate) fn parse(key: &'k str) -> Option<Self> {
        let (folders, name) = key.rsplit_once('/')?;
        let (folder, date) = folders.rsplit_once('/')?;
        let (millis, random) = name.split_once('_')?;
        let (random, extension) = random.split_once('.').unwrap_or((random, ""));
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_random = random.len() == 12 && random.bytes().all(is_hex);
        let is_date = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
        let millis = millis.parse().ok()?;
        (is_date && is_random).then_some(Self {
            folder,
            date,
            millis,
            extension,
        })
    }
}

/// Asserts that a JSON object contains these values, among others.
#[track_caller]
pub(crate) fn assert_has(object: &serde_json::Value, expected: &serde_json::Value) {
    let names = expected.as_object().unwrap().keys();
    let found = names.map(|name| (name.clone(), object[name].clone()));
    let found = serde_json::Value::Object(found.collect());
    assert_eq!(found, *expected, "{object}");
}

/// The Router with its own store, without a socket.
pub(crate) struct TestApi {
    router: Router,
    store: Store,
    folder: TempDir,
}

impl TestApi {
    /// Starts one with a disk store in a temporary folder.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// Starts one with these environment variables.
    pub(crate) fn with(vars: &[(&str, &str)]) -> Self {
        Self::changed(None, vars, |_| {})
    }

    /// Starts one with a bucket double.
    pub(crate) fn with_bucket(bucket: &BucketDouble, vars: &[(&str, &str)]) -> Self {
        Self::changed(Some(bucket), vars, |_| {})
    }

    /// Starts one with a bucket or a folder, and settings that no variable sets.
    pub(crate) fn changed(
        bucket: Option<&BucketDouble>,
        vars: &[(&str, &str)],
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Not on loopback, where the program would generate a secret.
        let addr = ("UPLOAD_ADDR", "0.0.0.0:9000".to_owned());
        let mut all = BTreeMap::from([disk_var(folder.path()), addr]);
        all.extend(bucket.map(bucket_vars).into_iter().flatten());
        all.extend(owned(vars));
        let mut config = Config::from_vars(all).unwrap();
        if let store::Settings::Bucket(settings) = &mut config.store {
            // The SDK shares one retry quota per region in a process.
            settings.region = format!("r-{}", Uuid::new_v4());
        }
        change(&mut config);
        let store = Store::open(config.store).unwrap();
        let router = api::router(store.clone(), config.api);
        Self {
            router,
            store,
            folder,
        }
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        Reply::read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    /// Returns the folder of the disk store.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Posts to the main route.
    pub(crate) async fn upload(&self, form: &Form) -> Reply {
        self.send(form.to(UPLOAD)).await
    }

    /// Returns every file in the disk store, including hidden ones: path → content.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files_below(self.folder.path())
    }

    /// Sends a request; asserts this refusal, and that nothing is stored.
    pub(crate) async fn assert_refuses(&self, request: Request<Body>, failure: &str) -> Reply {
        let reply = self.send(request).await;
        reply.assert_refused(failure);
        self.assert_nothing_stored();
        reply
    }

    #[track_caller]
    pub(crate) fn assert_nothing_stored(&self) {
        assert_eq!(self.files(), BTreeMap::new());
    }
}

/// Returns every file below a folder, including hidden ones: path → content.
pub(crate) fn files_below(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(content) = std::fs::read(&path) {
                let relative: PathBuf = path.strip_prefix(root).unwrap().into();
                found.insert(relative.to_str().unwrap().to_owned(), content);
            }
        }
    }
    found
}

/// Converts variables for [`Process::start`].
pub(crate) fn owned<'n>(vars: &[(&'n str, &str)]) -> Vec<(&'n str, String)> {
    let vars = vars.iter();
    vars.map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

/// Returns the variable for a disk store.
pub(crate) fn disk_var(folder: &Path) -> (&'static str, String) {
    ("UPLOAD_STORE", format!("disk:{}", folder.display()))
}

/// Returns the variables for the double's bucket.
pub(crate) fn bucket_vars(bucket: &BucketDouble) -> Vec<(&'static str, String)> {
    let scheme = match bucket.dialect() {
        Dialect::S3 => "s3",
        Dialect::Oss => "oss",
    };
    vec![
        ("UPLOAD_STORE", format!("{scheme}://{BUCKET}")),
        ("UPLOAD_ENDPOINT", bucket.endpoint()),
        ("UPLOAD_PATH_STYLE", "true".to_owned()),
        ("UPLOAD_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
    ]
}

/// Returns the bucket settings of a configuration.
pub(crate) fn bucket_settings(config: &mut Config) -> &mut bucket::Settings {
    match &mut config.store {
        store::Settings::Bucket(settings) => settings,
        store::Settings::Disk(_) => panic!("a disk store is configured"),
    }
}

/// The built binary, running; killed when dropped.
pub(crate) struct Process {
    child: Child,
    output: Arc<Output>,
}

/// Output lines of the process so far.
#[derive(Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Process {
    /// Starts the binary with these variables and no others.
    pub(crate) fn start(vars: &[(&str, String)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bootstrap"))
            .env_clear()
            .envs(vars.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Arc::new(Output::default());
        collect_lines(child.stdout.take().unwrap(), &output);
        collect_lines(child.stderr.take().unwrap(), &output);
        Self { child, output }
    }

    /// Starts a server on a free port of 127.0.0.1 and waits until it listens.
    pub(crate) fn serve(vars: &[(&str, String)]) -> (Self, SocketAddr) {
        let addr = [("UPLOAD_ADDR", "127.0.0.1:0".to_owned())];
        let process = Self::start(&[&addr[..], vars].concat());
        let line = process.line_with("listening on http://");
        let (_, rest) = line.split_once("http://").unwrap();
        let end = rest.find(|c: char| !c.is_ascii_digit() && !".:".contains(c));
        let addr = rest[..end.unwrap_or(rest.len())].parse().unwrap();
        (process, addr)
    }

    /// Waits for an output line that contains `text`.
    #[track_caller]
    pub(crate) fn line_with(&self, text: &str) -> String {
        let find = |lines: &[String]| lines.iter().find(|line| line.contains(text)).cloned();
        let Output { lines, changed } = &*self.output;
        let lines = lines.lock().unwrap();
        let waited = changed.wait_timeout_while(lines, TIMEOUT, |lines| find(lines).is_none());
        let (lines, _) = waited.unwrap();
        find(&lines).unwrap_or_else(|| panic!("no line with {text:?} in {lines:#?}"))
    }

    /// Waits for the JSON log line of the request with this id.
    #[track_caller]
    pub(crate) fn log_line(&self, request_id: &str) -> serde_json::Value {
        let line = self.line_with(&format!("\"request_id\":\"{request_id}\""));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"))
    }

    /// Returns its output so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.output.lines.lock().unwrap().clone()
    }

    /// Asserts that its output is JSON lines that contain none of these texts.
    #[track_caller]
    pub(crate) fn assert_logs_none_of(&self, secrets: &[&str]) {
        for line in self.lines() {
            let json: Result<serde_json::Value, _> = serde_json::from_str(&line);
            assert!(json.is_ok_and(|json| json["level"].is_string()), "{line}");
            for secret in secrets {
                assert!(!line.contains(secret), "{secret:?} in {line}");
            }
        }
    }

    /// Sends it a signal, named as for `kill`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let kill = Command::new("kill").args([signal, &pid]).status();
        assert!(kill.unwrap().success());
    }

    /// Waits until it exits; returns its exit code, `None` if a signal killed it.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Returns its resident memory, in KiB.
    pub(crate) fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let mut lines = status.lines();
        let line = lines.find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect_lines(stream: impl std::io::Read + Send + 'static, output: &Arc<Output>) {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            output.lines.lock().unwrap().push(line);
            output.changed.notify_all();
        }
    });
}

/// The built program as local server, with its own folder.
pub(crate) struct Local {
    pub(crate) process: Process,
    pub(crate) addr: SocketAddr,
    pub(crate) folder: TempDir,
}

impl Local {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(vars: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let all = [owned(vars), vec![disk_var(folder.path())]].concat();
        let (process, addr) = Process::serve(&all);
        Self {
            process,
            addr,
            folder,
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        send(self.addr, request).await
    }

    pub(crate) async fn upload(&self, form: &Form) -> Reply {
        self.send(form.to(UPLOAD)).await
    }

    /// Returns every file in the folder, including temporary ones: path → content.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files_below(self.folder.path())
    }

    #[track_caller]
    pub(crate) fn assert_nothing_stored(&self) {
        assert_eq!(self.files(), BTreeMap::new());
    }
}

/// Sends a request over a new connection.
pub(crate) async fn send(addr: SocketAddr, mut request: Request<Body>) -> Reply {
    let host = addr.to_string().parse().unwrap();
    request.headers_mut().entry("host").or_insert(host);
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let reply = Reply::read(sender.send_request(request).await.unwrap()).await;
    connection.abort();
    reply
}

/// Changes to a request.
pub(crate) trait RequestExt {
    /// Sets a header.
    fn header(self, name: &'static str, value: impl AsRef<[u8]>) -> Self;
    /// Appends a header.
    fn and(self, name: &'static str, value: impl AsRef<[u8]>) -> Self;
    /// Appends these headers.
    fn with(self, headers: &[(&'static str, &str)]) -> Self;
    /// Adds the facts that a runtime knows.
    fn arriving(self, arrival: Arrival) -> Self;
}

impl RequestExt for Request<Body> {
    fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.headers_mut().remove(name);
        self.and(name, value)
    }

    fn and(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        self.headers_mut().append(name, value);
        self
    }

    fn with(self, headers: &[(&'static str, &str)]) -> Self {
        let and = |request: Self, (name, value): &(&'static str, _)| request.and(name, value);
        headers.iter().fold(self, and)
    }

    fn arriving(mut self, arrival: Arrival) -> Self {
        self.extensions_mut().insert(arrival);
        self
    }
}

/// Returns a request without a body.
pub(crate) fn empty(method: Method, path: &str) -> Request<Body> {
    let mut request = get(path);
    *request.method_mut() = method;
    request
}

/// Returns an image of `len` incompressible bytes without a repeating pattern: a PNG header, then noise
/// from a fixed seed.
pub(crate) fn png_bytes(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(len as u64).fill(&mut bytes);
    let head = PNG.len().min(len);
    bytes[..head].copy_from_slice(&PNG[..head]);
    bytes
}
