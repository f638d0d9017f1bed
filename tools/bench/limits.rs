//! Limits of the machine: copying memory, sending bytes over loopback, encrypting them.

use std::{
    hint::black_box,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use ring::aead::{Aad, Algorithm, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::process::own_cpu;

/// Measures bytes per second of copying memory that is too large for any cache.
pub(crate) fn memcpy(time: Duration) -> f64 {
    const LEN: usize = 64 * 1024 * 1024;
    let from = vec![1_u8; LEN];
    let mut to = vec![0_u8; LEN];
    to.copy_from_slice(&from);
    let started = Instant::now();
    let mut copies = 0;
    while started.elapsed() < time {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
        copies += 1;
    }
    (copies * LEN) as f64 / started.elapsed().as_secs_f64()
}

/// Measures bytes per second from one thread to another through a socket.
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

/// Measures the processor time of encrypting `size` bytes in TLS records of 16 KiB with this cipher,
/// alone.
pub(crate) fn aes_gcm(cipher: &'static Algorithm, size: usize) -> io::Result<Duration> {
    const RECORD: usize = 16 * 1024;
    /// Repeated until it is far above the clock's tick.
    const LEAST: usize = 200_000_000;
    let failed = |_| io::Error::other("the cipher failed");
    let key = UnboundKey::new(cipher, &vec![1; cipher.key_len()]).map_err(failed)?;
    let key = LessSafeKey::new(key);
    // A megabyte, as data to be sent is not in the nearest cache either.
    let mut records = vec![vec![1_u8; RECORD]; 64];
    let mut encrypted = 0;
    let before = own_cpu()?;
    while encrypted < LEAST {
        for record in &mut records {
            let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
            let sealed = key.seal_in_place_separate_tag(nonce, Aad::empty(), record);
            _ = sealed.map_err(failed)?;
            encrypted += record.len();
        }
    }
    Ok((own_cpu()? - before).mul_f64(size as f64 / encrypted as f64))
}
