//! The floor: a process that only relays a body to the store. It reads up to [`BLOCK`] bytes and writes
//! them, over persistent connections, and answers 200 after the store has.
//!
//! The plain relay has one buffer per connection. The keeping relay keeps every block until the
//! store has answered, as a server must that retries calls.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::LocalSet,
};

/// First argument that makes this program a relay.
pub(crate) const COMMAND: &str = "relay";

/// Most bytes read before they are written.
const BLOCK: usize = 256 * 1024;
/// Most bytes of a request's or a response's head.
const HEAD: usize = 16 * 1024;

/// Whether blocks are kept until the store has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Keeping,
}

impl Kind {
    /// Returns the command line of a relay between these two addresses.
    pub(crate) fn arguments(self, listen: SocketAddr, store: SocketAddr) -> Vec<String> {
        let kind = match self {
            Self::Plain => "plain",
            Self::Keeping => "keeping",
        };
        [COMMAND, kind, &listen.to_string(), &store.to_string()]
            .map(str::to_owned)
            .into()
    }
}

/// Relays until the process is killed.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> io::Result<()> {
    let arguments: Vec<_> = arguments.collect();
    let [kind, listen, store] = &arguments[..] else {
        return Err(io::Error::other("relay plain|keeping LISTEN STORE"));
    };
    let kind = match kind.as_str() {
        "plain" => Kind::Plain,
        _ => Kind::Keeping,
    };
    let listen: SocketAddr = listen.parse().map_err(io::Error::other)?;
    let store: SocketAddr = store.parse().map_err(io::Error::other)?;
    let runtime = crate::process::runtime()?;
    LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::bind(listen).await?;
        loop {
            let (client, _) = listener.accept().await?;
            tokio::task::spawn_local(async move {
                if let Err(error) = serve(client, store, kind).await {
                    eprintln!("relay: {error}");
                }
            });
        }
    })
}

/// Relays the requests of one connection.
async fn serve(mut client: TcpStream, store: SocketAddr, kind: Kind) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut store = TcpStream::connect(store).await?;
    store.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(BLOCK);
    while let Some(request) = read_request(&mut client, &mut buffer).await? {
        if let Some(body_bytes) = request.body_bytes {
            let head = format!(
                "PUT /bench/relay HTTP/1.1\r\nhost: relay\r\ncontent-length: {body_bytes}\r\n\r\n"
            );
            store.write_all(head.as_bytes()).await?;
            buffer.drain(..request.head_bytes);
            pass_on(&mut client, &mut store, &mut buffer, body_bytes, kind).await?;
        }
        buffer.clear();
        client
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await?;
        if request.is_last {
            return Ok(());
        }
    }
    Ok(())
}

/// Relays a body that starts in `buffer`, and waits for the store's response.
async fn pass_on(
    client: &mut TcpStream,
    store: &mut TcpStream,
    buffer: &mut Vec<u8>,
    body_bytes: usize,
    kind: Kind,
) -> io::Result<()> {
    let mut kept = Vec::new();
    store.write_all(buffer).await?;
    let mut left = body_bytes - buffer.len();
    while left > 0 {
        if kind == Kind::Plain {
            buffer.clear();
        } else if buffer.len() == BLOCK {
            kept.push(std::mem::replace(buffer, Vec::with_capacity(BLOCK)));
        }
        let before = buffer.len();
        let room = (BLOCK - before).min(left) as u64;
        let read = (&mut *client).take(room).read_buf(buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        store.write_all(&buffer[before..]).await?;
        left -= read;
    }
    read_answer(store).await?;
    drop(kept);
    Ok(())
}

struct RelayedRequest {
    head_bytes: usize,
    /// `None` without a body.
    body_bytes: Option<usize>,
    /// Whether the client closes the connection after it.
    is_last: bool,
}

/// Reads a request's head; `None` when the client has closed the connection.
async fn read_request(
    client: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<RelayedRequest>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let value = |name| head.lines().find_map(|line| line.strip_prefix(name));
            let body_bytes = value("content-length: ").and_then(|bytes| bytes.parse().ok());
            return Ok(Some(RelayedRequest {
                head_bytes: end + 4,
                body_bytes,
                is_last: value("connection: ") == Some("close"),
            }));
        }
        if buffer.len() > HEAD || client.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// Reads a response without a body.
async fn read_answer(store: &mut TcpStream) -> io::Result<()> {
    let mut answer = Vec::with_capacity(1024);
    while !answer.ends_with(b"\r\n\r\n") {
        if store.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    if answer.starts_with(b"HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(io::Error::other("the store did not answer 200"))
    }
}
