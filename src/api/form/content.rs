//! `Content`: the bytes of one file of a form, as long as it is not too large. Large chunks are
//! handed on as they came; small ones are put together, since each costs its way through the whole
//! program, and may hold a buffer many times its size.

use std::{
    future::poll_fn,
    mem,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;

use super::reader::{Reader, locked};
use crate::body::ReadError;

/// Chunks below this many bytes are put together until there are as many, or no more for now.
const SMALL_CHUNK: usize = 8 * 1024;

/// A file being read.
pub(super) struct Content {
    reader: Arc<Mutex<Reader>>,
    /// Largest file, in bytes.
    limit: u64,
    /// How much may still come, in bytes.
    left: u64,
    gathered: BytesMut,
    /// A large chunk that came after what is gathered.
    large: Bytes,
    /// Nothing more comes: the file was read to its end, or reading failed.
    is_read: bool,
}

impl Content {
    pub(super) fn new(reader: Arc<Mutex<Reader>>, limit: u64) -> Self {
        Self {
            reader,
            limit,
            left: limit,
            gathered: BytesMut::new(),
            large: Bytes::new(),
            is_read: false,
        }
    }

    /// Whether the file has no bytes.
    pub(super) async fn is_empty(&mut self) -> Result<bool, ReadError> {
        poll_fn(|cx| {
            while !self.is_read && !self.has_bytes() {
                ready!(self.poll_more(cx))?;
            }
            Poll::Ready(Ok(!self.has_bytes()))
        })
        .await
    }

    fn has_bytes(&self) -> bool {
        !self.gathered.is_empty() || !self.large.is_empty()
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        let Some(cut) = ready!(locked(&self.reader).poll_content(cx))? else {
            self.is_read = true;
            return Poll::Ready(Ok(()));
        };
        let limit = self.limit;
        let left = self.left.checked_sub(cut.len() as u64);
        self.left = left.ok_or(ReadError::TooLarge { limit })?;
        self.gathered.extend_from_slice(&cut.held);
        if cut.before.len() < SMALL_CHUNK {
            self.gathered.extend_from_slice(&cut.before);
        } else {
            self.large = cut.before;
        }
        Poll::Ready(Ok(()))
    }

    /// What is worth handing on.
    fn chunk(&mut self) -> Option<Bytes> {
        let is_enough =
            self.is_read || !self.large.is_empty() || self.gathered.len() >= SMALL_CHUNK;
        if is_enough && !self.gathered.is_empty() {
            return Some(mem::take(&mut self.gathered).freeze());
        }
        (!self.large.is_empty()).then(|| mem::take(&mut self.large))
    }
}

impl Stream for Content {
    type Item = Result<Bytes, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(chunk) = self.chunk() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            if self.is_read {
                return Poll::Ready(None);
            }
            match self.poll_more(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    self.is_read = true;
                    self.gathered.clear();
                    return Poll::Ready(Some(Err(error)));
                }
                // A client that pauses need not wait for what it has sent to go on.
                Poll::Pending if self.has_bytes() => {
                    return Poll::Ready(Some(Ok(mem::take(&mut self.gathered).freeze())));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
