//! Load generator: sends forms and raw objects over persistent connections, with a given concurrency, for
//! a given number of requests or a given time, whichever ends first.

use std::{
    cell::Cell,
    convert::Infallible,
    io,
    net::SocketAddr,
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    Method, Request,
    client::conn::http1::{SendRequest, handshake},
    header::{CONTENT_LENGTH, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::LocalSet};

const UPLOAD: &str = "/api/chat/uploadAliyun";
const BOUNDARY: &str = "------------------------bench0123456789";
/// Largest chunk that a client writes to its socket.
const CHUNK: usize = 1024 * 1024;
/// Longer than any response takes, however busy the machine is.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A request: an upload of a file in a form, or a request without a body.
#[derive(Clone)]
pub(crate) struct Payload {
    method: Method,
    path: Rc<str>,
    pub(crate) content_type: String,
    chunks: Rc<[Bytes]>,
    len: u64,
    /// Size of the file.
    pub(crate) file_bytes: usize,
}

impl Payload {
    /// Builds an image of `size` bytes.
    pub(crate) fn with_size(size: usize) -> Self {
        Self::form("photo.png", image(size), size)
    }

    /// Builds a request without a body.
    pub(crate) fn get(path: &str) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            content_type: "application/octet-stream".to_owned(),
            chunks: Rc::new([]),
            len: 0,
            file_bytes: 0,
        }
    }

    /// Reads an existing file.
    pub(crate) fn read_file(path: &Path) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let content = Bytes::from(std::fs::read(path)?);
        let chunks = (0..content.len()).step_by(CHUNK);
        let chunks = chunks.map(|at| content.slice(at..content.len().min(at + CHUNK)));
        Ok(Self::form(&name, chunks.collect(), content.len()))
    }

    /// Builds a form with a file, as browsers and apps send it.
    fn form(name: &str, file: Vec<Bytes>, file_bytes: usize) -> Self {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"img\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let tail = format!("\r\n--{BOUNDARY}--\r\n");
        let mut chunks = vec![head.into()];
        chunks.extend(file);
        chunks.push(tail.into());
        Self {
            method: Method::POST,
            path: UPLOAD.into(),
            content_type: format!("multipart/form-data; boundary={BOUNDARY}"),
            len: chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            chunks: chunks.into(),
            file_bytes,
        }
    }

    /// Returns all of it in one piece.
    pub(crate) fn whole(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    fn body(&self) -> Chunks {
        let frames = self.chunks.iter().map(|chunk| Frame::data(chunk.clone()));
        let frames: Vec<_> = frames.map(Ok).collect();
        StreamBody::new(stream::iter(frames))
    }
}

/// One transmission of a [`Payload`].
type Chunks = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

/// Returns a PNG header, then bytes without a pattern. A large one shares its chunks.
fn image(size: usize) -> Vec<Bytes> {
    const PNG: &[u8] = include_bytes!("../../tests/media/rgb.png");
    let mut noise = vec![0; CHUNK.min(size)];
    fastrand::Rng::with_seed(1).fill(&mut noise);
    let noise = Bytes::from(noise);
    let mut first = noise.to_vec();
    for (byte, png) in first.iter_mut().zip(PNG) {
        *byte = *png;
    }
    let rest = (first.len()..size).step_by(CHUNK);
    let rest = rest.map(|at| noise.slice(..CHUNK.min(size - at)));
    let mut chunks = vec![first.into()];
    chunks.extend(rest);
    chunks
}

/// Limits of a load: a number of requests or a time, whichever comes first.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) requests: u64,
    pub(crate) time: Duration,
}

impl Bounds {
    /// Divides the limits by a number of turns.
    pub(crate) fn split(self, turns: u64) -> Self {
        Self {
            requests: self.requests.div_ceil(turns),
            time: self.time.div_f64(turns as f64),
        }
    }
}

/// Result of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) requests: u64,
    pub(crate) wall: Duration,
}

impl Done {
    /// Returns requests per second.
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.wall.as_secs_f64()
    }
}

/// Sends `payload` over `clients` connections until a limit is reached, all on the calling
/// thread.
pub(crate) fn send(
    to: SocketAddr,
    payload: &Payload,
    clients: usize,
    bounds: Bounds,
) -> io::Result<Done> {
    let runtime = crate::process::runtime()?;
    LocalSet::new().block_on(&runtime, async {
        let started = Instant::now();
        let begun = Rc::new(Cell::new(0));
        let clients: Vec<_> = (0..clients)
            .map(|_| {
                let (payload, begun) = (payload.clone(), Rc::clone(&begun));
                let client = async move { payload.send_in_turn(to, bounds, started, &begun).await };
                tokio::task::spawn_local(client)
            })
            .collect();
        let mut requests = 0;
        for client in clients {
            requests += client.await??;
        }
        Ok(Done {
            requests,
            wall: started.elapsed(),
        })
    })
}

impl Payload {
    /// Runs one client: sends the next request after the last response.
    async fn send_in_turn(
        &self,
        to: SocketAddr,
        bounds: Bounds,
        started: Instant,
        begun: &Cell<u64>,
    ) -> io::Result<u64> {
        let mut connection = connect(to).await?;
        let mut done = 0;
        while begun.get() < bounds.requests && started.elapsed() < bounds.time {
            begun.set(begun.get() + 1);
            let answered = tokio::time::timeout(TIMEOUT, self.send(to, &mut connection)).await;
            answered.map_err(|_| io::Error::other("no answer for 60 s"))??;
            done += 1;
        }
        Ok(done)
    }

    async fn send(&self, to: SocketAddr, connection: &mut SendRequest<Chunks>) -> io::Result<()> {
        let request = Request::builder()
            .method(self.method.clone())
            .uri(&*self.path)
            .header(HOST, to.to_string())
            .header(CONTENT_TYPE, &self.content_type)
            .header(CONTENT_LENGTH, self.len)
            // Function Compute adds these to every request.
            .header("x-fc-request-id", "1-6800902c-12345678-0123456789ab")
            .header("x-fc-function-timeout", "60")
            .body(self.body())
            .map_err(io::Error::other)?;
        connection.ready().await.map_err(io::Error::other)?;
        let response = connection.send_request(request).await;
        let response = response.map_err(io::Error::other)?;
        let status = response.status();
        let body = response.into_body().collect().await;
        let body = body.map_err(io::Error::other)?.to_bytes();
        match status.as_u16() {
            200 | 302 => Ok(()),
            status => {
                let body = String::from_utf8_lossy(&body);
                Err(io::Error::other(format!("{status}: {body}")))
            }
        }
    }
}

async fn connect(to: SocketAddr) -> io::Result<SendRequest<Chunks>> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let connected = handshake(TokioIo::new(stream)).await;
    let (connection, driver) = connected.map_err(io::Error::other)?;
    tokio::task::spawn_local(driver);
    Ok(connection)
}

/// Polls `/healthz` until it answers 200; `check` decides whether to go
/// on.
pub(crate) fn first_answer(
    to: SocketAddr,
    mut check: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    use std::io::{Read as _, Write as _};
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n");
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        if let Ok(mut stream) = std::net::TcpStream::connect(to) {
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.write_all(request.as_bytes())?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            if answer.starts_with(b"HTTP/1.1 200 ") {
                return Ok(());
            }
            let answer = String::from_utf8_lossy(&answer).into_owned();
            return Err(io::Error::other(answer));
        }
        check()?;
        if Instant::now() > until {
            return Err(io::Error::other("nobody listens after 10 s"));
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}
