//! A monitored connection: it records its last activity, so that the longest idle one can be closed for
//! a new one, and fails when its client does not read for too long.

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

/// Last activity of a connection, and whether one of its requests is being handled.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    opened: Instant,
    /// Time of the last read or write, in microseconds after `opened`.
    last_active: AtomicU64,
    /// Has one more strong reference for each request being handled.
    handled: Arc<()>,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Inner {
            opened: Instant::now(),
            last_active: AtomicU64::new(0),
            handled: Arc::default(),
        }))
    }

    /// Marks a request as being handled until the guard is dropped: the connection may be idle meanwhile.
    pub(super) fn handle(&self) -> Arc<()> {
        Arc::clone(&self.0.handled)
    }

    /// Orders connections; the greatest is closed first: those without a request, then by time without
    /// activity.
    pub(super) fn idleness(&self) -> (bool, Duration) {
        let is_waiting = Arc::strong_count(&self.0.handled) == 1;
        let last = Duration::from_micros(self.0.last_active.load(Ordering::Relaxed));
        (is_waiting, self.0.opened.elapsed().saturating_sub(last))
    }

    fn record(&self) {
        let now = self.0.opened.elapsed().as_micros();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        self.0.last_active.store(now, Ordering::Relaxed);
    }
}

/// A connection with a write timeout.
pub(super) struct Watched<S> {
    stream: S,
    activity: Activity,
    /// Longest time for which a write may make no progress.
    idle: Duration,
    /// Timer of a stalled write.
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

    fn check_progress<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            self.activity.record();
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
        self.activity.record();
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
        self.check_progress(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.check_progress(cx, written)
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
        // Reads a little in time, and then nothing.
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
        talking.record();
        assert!(silent.idleness() > talking.idleness());
        assert!(talking.idleness() > handled.idleness());
        drop(answer);
        assert!(handled.idleness() > talking.idleness());
    }
}
