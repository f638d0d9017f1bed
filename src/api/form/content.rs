//! `Content`: the bytes of one file of a form, up to its limit. Large chunks pass unchanged; small
//! ones are coalesced, since each chunk costs a pass through the whole program and may pin a buffer
//! many times its size.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;

use super::reader::Reader;
use crate::body::ReadError;

/// Smaller chunks, in bytes, are coalesced up to this size, or until no more data is ready.
const SMALL_CHUNK: usize = 8 * 1024;

/// A file being read.
pub(super) struct Content<'f> {
    reader: &'f mut Reader,
    /// Largest file, in bytes.
    limit: u64,
    /// Rest of the limit, in bytes.
    left: u64,
    coalesced: BytesMut,
    /// A large chunk that follows `coalesced`.
    large: Bytes,
    /// Whether the file was read to its end, or reading failed.
    is_read: bool,
}

impl<'f> Content<'f> {
    pub(super) fn new(reader: &'f mut Reader, limit: u64) -> Self {
        Self {
            reader,
            limit,
            left: limit,
            coalesced: BytesMut::new(),
            large: Bytes::new(),
            is_read: false,
        }
    }

    fn has_bytes(&self) -> bool {
        !self.coalesced.is_empty() || !self.large.is_empty()
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        let Some(cut) = ready!(self.reader.poll_content(cx))? else {
            self.is_read = true;
            return Poll::Ready(Ok(()));
        };
        let limit = self.limit;
        let left = self.left.checked_sub(cut.len() as u64);
        self.left = left.ok_or(ReadError::TooLarge { limit })?;
        self.coalesced.extend_from_slice(&cut.held);
        if cut.before.len() < SMALL_CHUNK {
            self.coalesced.extend_from_slice(&cut.before);
        } else {
            self.large = cut.before;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes the next chunk that is large enough to pass on.
    fn chunk(&mut self) -> Option<Bytes> {
        let is_enough =
            self.is_read || !self.large.is_empty() || self.coalesced.len() >= SMALL_CHUNK;
        if is_enough && !self.coalesced.is_empty() {
            return Some(mem::take(&mut self.coalesced).freeze());
        }
        (!self.large.is_empty()).then(|| mem::take(&mut self.large))
    }
}

impl Stream for Content<'_> {
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
                    self.coalesced.clear();
                    return Poll::Ready(Some(Err(error)));
                }
                // While the client pauses, the bytes received so far are passed on.
                Poll::Pending if self.has_bytes() => {
                    return Poll::Ready(Some(Ok(mem::take(&mut self.coalesced).freeze())));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
