//! Accept loops of the [`crate::sink`] and of [`crate::lambda`]'s runtime API: HTTP on loopback, on their
//! own threads, for the life of the process.

use std::{convert::Infallible, io, net::SocketAddr};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// Runs `connection` for each connection to the returned address.
pub(crate) fn listen<F>(
    thread: &str,
    connection: impl Fn(TcpStream) -> F + Send + 'static,
) -> io::Result<SocketAddr>
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = crate::process::runtime()?;
    let serve = async move {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(connection(stream));
        }
    };
    std::thread::Builder::new()
        .name(thread.to_owned())
        .spawn(move || -> io::Result<()> { runtime.block_on(serve) })?;
    Ok(address)
}

/// Answers the requests of one connection.
pub(crate) async fn speak<F>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    F: Future<Output = Response<Full<Bytes>>>,
{
    let service = service_fn(|request| answer(request).map(Ok::<_, Infallible>));
    // A broken connection only affects its client.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
