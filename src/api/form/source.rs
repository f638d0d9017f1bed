//! `Source`: the body of a request, chunk by chunk; fails when it grows too large or the client
//! pauses too long.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Body, BodyDataStream, HttpBody as _};
use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    stream::{Fuse, FusedStream as _},
};
use tokio::time::{Instant, Sleep};

use super::Limits;
use crate::body::ReadError;

/// A body being read.
pub(super) struct Source {
    body: Fuse<BodyDataStream>,
    /// Bytes received and not taken yet.
    rest: Bytes,
    /// Why nothing follows `rest`.
    failure: Option<ReadError>,
    /// Rest of the limit, in bytes.
    left: u64,
    limits: Limits,
    timer: Pin<Box<Sleep>>,
    is_idle: bool,
}

impl Source {
    pub(super) fn new(body: Body, limits: Limits) -> Self {
        let announced = body.size_hint().upper().unwrap_or(u64::MAX);
        Self {
            body: body.into_data_stream().fuse(),
            rest: Bytes::new(),
            failure: None,
            left: limits.max_body_bytes().min(announced),
            limits,
            timer: Box::pin(tokio::time::sleep(limits.idle)),
            is_idle: false,
        }
    }

    /// Returns an upper bound of the bytes still to be taken.
    pub(super) fn at_most(&self) -> u64 {
        self.rest.len() as u64 + self.left
    }

    /// Returns the bytes received and not taken yet; call [`Self::poll_refill`] first.
    pub(super) fn rest(&mut self) -> &mut Bytes {
        &mut self.rest
    }

    /// Waits until [`Self::rest`] is not empty; `Ok(false)` at the body's end. A failure is returned
    /// again each time.
    pub(super) fn poll_refill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ReadError>> {
        while self.rest.is_empty() {
            if let Some(failure) = self.failure {
                return Poll::Ready(Err(failure));
            }
            if self.body.is_terminated() {
                return Poll::Ready(Ok(false));
            }
            match self.body.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(chunk))) => self.accept(chunk),
                Poll::Ready(Some(Err(_))) => self.failure = Some(ReadError::Truncated),
                Poll::Ready(None) => {}
                // Needs no timer: the request's time limit polls this once more at the deadline.
                Poll::Pending if self.limits.until.is_some_and(|it| it <= Instant::now()) => {
                    self.failure = Some(ReadError::TooLong);
                }
                Poll::Pending => std::task::ready!(self.poll_idle(cx)),
            }
        }
        Poll::Ready(Ok(true))
    }

    /// Accepts a chunk, truncated at the limit: how much of a body is read must not depend on its
    /// chunks.
    fn accept(&mut self, mut chunk: Bytes) {
        self.is_idle = false;
        if chunk.len() as u64 > self.left {
            self.failure = Some(ReadError::TooLarge {
                limit: self.limits.max_file_bytes,
            });
            chunk.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        }
        self.left -= chunk.len() as u64;
        self.rest = chunk;
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle = self.limits.idle;
        if !self.is_idle {
            self.is_idle = true;
            self.timer.as_mut().reset(Instant::now() + idle);
        }
        self.timer
            .as_mut()
            .poll(cx)
            .map(|()| self.failure = Some(ReadError::TooSlow { idle }))
    }
}
