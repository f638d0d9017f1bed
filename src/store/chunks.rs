//! `Part`: a run of bytes kept as the chunks they came in. It is filled once, then sent as often as
//! a retry wants it; the bytes are counted by reference and never put together.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

/// Chunks below this many bytes are gathered before they are kept: a client that sends one byte at
/// a time would otherwise cost a reference (and the buffer it pins) per byte.
const SMALL_CHUNK: usize = 8 * 1024;
/// How many bytes of small chunks are gathered into one.
const GATHER: usize = 64 * 1024;

/// The part of a file that is being filled.
#[derive(Debug, Default)]
pub(super) struct PartBuilder {
    chunks: Vec<Bytes>,
    gathered: BytesMut,
    len: usize,
}

impl PartBuilder {
    /// Bytes held so far.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        self.len += chunk.len();
        if chunk.len() >= SMALL_CHUNK {
            self.keep_gathered();
            self.chunks.push(chunk);
            return;
        }
        if self.gathered.len() + chunk.len() > GATHER {
            self.keep_gathered();
        }
        if self.gathered.capacity() == 0 {
            // A form's first few bytes are often all of it, so start at what there is.
            let first = if self.chunks.is_empty() {
                SMALL_CHUNK
            } else {
                GATHER
            };
            self.gathered.reserve(first);
        }
        self.gathered.extend_from_slice(&chunk);
    }

    /// Hands over what was filled and starts anew.
    pub(super) fn take(&mut self) -> Part {
        self.keep_gathered();
        let chunks = std::mem::take(&mut self.chunks);
        Part {
            chunks: chunks.into(),
            len: std::mem::take(&mut self.len),
        }
    }

    fn keep_gathered(&mut self) {
        if !self.gathered.is_empty() {
            self.chunks
                .push(std::mem::take(&mut self.gathered).freeze());
        }
    }
}

/// A finished part; cloning it copies no byte.
#[derive(Clone, Debug)]
pub(super) struct Part {
    chunks: Arc<[Bytes]>,
    len: usize,
}

impl Part {
    /// Size in bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// A body of known length that yields the chunks from the start.
    pub(super) fn body(&self) -> PartBody {
        PartBody {
            part: self.clone(),
            next: 0,
            remaining: self.len as u64,
        }
    }
}

/// One sending of a [`Part`].
#[derive(Debug)]
pub(super) struct PartBody {
    part: Part,
    next: usize,
    remaining: u64,
}

impl Body for PartBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(chunk) = self.part.chunks.get(self.next).cloned() else {
            return Poll::Ready(None);
        };
        self.next += 1;
        self.remaining -= chunk.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn sent(part: &Part) -> Vec<u8> {
        let body = part.body();
        assert_eq!(body.size_hint().exact(), Some(part.len() as u64));
        body.collect()
            .await
            .expect("infallible")
            .to_bytes()
            .to_vec()
    }

    #[tokio::test]
    async fn small_and_large_chunks_come_out_in_order_and_as_often_as_wanted() {
        let mut filling = PartBuilder::default();
        let mut expected = Vec::new();
        for (index, len) in [1, 70_000, 5, 9_000, 1, 1, 8_192, 8_191, 60_000]
            .into_iter()
            .enumerate()
        {
            let chunk = vec![index as u8; len];
            expected.extend_from_slice(&chunk);
            filling.push(chunk.into());
        }
        assert_eq!(filling.len(), expected.len());
        let part = filling.take();
        assert_eq!(filling.len(), 0);
        assert_eq!(sent(&part).await, expected);
        assert_eq!(sent(&part).await, expected);
    }

    #[test]
    fn one_byte_chunks_are_gathered() {
        let mut filling = PartBuilder::default();
        for _ in 0..200_000 {
            filling.push(Bytes::from_static(b"x"));
        }
        let part = filling.take();
        assert_eq!(part.len(), 200_000);
        assert!(part.chunks().len() < 8, "{} chunks", part.chunks().len());
    }

    #[test]
    fn large_chunks_are_kept_not_copied() {
        let chunk = Bytes::from(vec![7; SMALL_CHUNK]);
        let mut filling = PartBuilder::default();
        filling.push(chunk.clone());
        assert_eq!(filling.take().chunks()[0].as_ptr(), chunk.as_ptr());
    }
}
