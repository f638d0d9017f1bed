//! Limits of the machine itself: copying memory, carrying bytes over loopback, and sending the
//! benchmark's bytes as plain PUTs. No server can be faster, so read figures as multiples of these.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use hyper::Method;

use crate::{
    client::{Bounds, Load, Payload},
    process::own_cpu,
};

/// Bytes per second of copying memory that is too large for any cache.
pub(crate) fn memcpy(time: Duration) -> f64 {
    const LEN: usize = 64 * 1024 * 1024;
    let from = vec![1_u8; LEN];
    let mut to = vec![0_u8; LEN];
    to.copy_from_slice(&from);
    let started = Instant::now();
    let mut copies = 0;
    while started.elapsed() < time {
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&mut to);
        copies += 1;
    }
    (copies * LEN) as f64 / started.elapsed().as_secs_f64()
}

/// Bytes per second from one thread to another through a socket.
pub(crate) fn loopback(time: Duration) -> io::Result<f64> {
    const LEN: usize = 256 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let reader = std::thread::spawn(move || -> io::Result<u64> {
        let (mut stream, _) = listener.accept()?;
        let (mut buffer, mut total) = (vec![0; LEN], 0);
        loop {
            match stream.read(&mut buffer)? {
                0 => return Ok(total),
                len => total += len as u64,
            }
        }
    });
    let mut stream = TcpStream::connect(address)?;
    let buffer = vec![1; LEN];
    let started = Instant::now();
    while started.elapsed() < time {
        stream.write_all(&buffer)?;
    }
    drop(stream);
    let total = reader
        .join()
        .map_err(|_| io::Error::other("the reader panicked"))??;
    Ok(total as f64 / started.elapsed().as_secs_f64())
}

/// Processor time of a client that puts `size` bytes straight into the store, per request: what
/// sending them costs at least. The store's own share is not in it.
pub(crate) fn raw_put(
    sink: SocketAddr,
    size: usize,
    clients: usize,
    bounds: Bounds,
) -> io::Result<Duration> {
    let load = Load {
        to: sink,
        method: Method::PUT,
        path: "/bench/raw",
        payload: Payload::raw(size),
        clients,
        bounds,
    };
    let before = own_cpu()?;
    let done = load.run()?;
    Ok((own_cpu()? - before).div_f64(done.requests.max(1) as f64))
}
