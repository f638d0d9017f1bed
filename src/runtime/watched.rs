//! A connection as the server watches it: since when nothing has moved on it, so that the longest idle
//! one can be closed for another, and a write that its client does not read ends it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// When something last moved on a connection, and whether a request of it is being handled.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    opened: Instant,
    /// Milliseconds after `opened`.
    last_moved: AtomicU64,
    /// One holder more for each request that is handled.
    handled: Arc<()>,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Inner {
            opened: Instant::now(),
            last_moved: AtomicU64::new(0),
            handled: Arc::default(),
        }))
    }

    /// A request is handled until this is dropped: its connection may be silent while the store works.
    pub(super) fn handle(&self) -> Arc<()> {
        Arc::clone(&self.0.handled)
    }

    /// The connection with the most of this is the first to be closed: without a request, then by its
    /// silence.
    pub(super) fn idleness(&self) -> (bool, Duration) {
        let is_waiting = Arc::strong_count(&self.0.handled) == 1;
        let moved = Duration::from_millis(self.0.last_moved.load(Ordering::Relaxed));
        (is_waiting, self.0.opened.elapsed().saturating_sub(moved))
    }

    fn moved(&self) {
        let now = self.0.opened.elapsed().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        self.0.last_moved.store(now, Ordering::Relaxed);
    }
}

/// A connection whose client has to take what it is sent.
pub(super) struct Watched<S> {
    stream: S,
    activity: Activity,
    /// Longest time for which nothing that is sent may be taken.
    idle: Duration,
    /// Set while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Activity, idle: Duration) -> Self {
        Self {
            stream,
            activity,
            idle,
            stalled: None,
        }
    }

    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            self.activity.moved();
            return written;
        }
        let idle = self.idle;
        let stalled = &mut self.stalled;
        let stalled = stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        self.activity.moved();
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn what_a_client_does_not_take_ends_its_connection() {
        let (ours, mut clients) = tokio::io::duplex(8);
        let mut watched = Watched::new(ours, Activity::new(), IDLE);
        let writing = async {
            let start = Instant::now();
            let written = watched.write_all(&[7; 100]).await;
            let error = written.expect_err("nobody reads");
            (error.kind(), start.elapsed())
        };
        // It takes a little in time, and then nothing.
        let reading = async {
            tokio::time::sleep(IDLE / 2).await;
            clients.read_exact(&mut [0; 8]).await.expect("sent");
        };
        let ((kind, after), ()) = tokio::join!(writing, reading);
        assert_eq!(kind, io::ErrorKind::TimedOut);
        assert!(after >= IDLE + IDLE / 2, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_an_answer_is_less_idle_than_who_is_silent() {
        let [silent, handled, talking] = [(); 3].map(|()| Activity::new());
        let answer = handled.handle();
        tokio::time::advance(IDLE).await;
        talking.moved();
        assert!(silent.idleness() > talking.idleness());
        assert!(talking.idleness() > handled.idleness());
        drop(answer);
        assert!(handled.idleness() > talking.idleness());
    }
}
