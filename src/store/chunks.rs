//! `Part`: bytes of a file as the chunks they arrived in. It is filled once, then sent as often as
//! retries need it; the chunks are reference-counted and never concatenated. Only an edited chunk is
//! copied, once.

use std::{
    convert::Infallible,
    pin::Pin,
    slice,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use sha2::{Digest as _, Sha256};

use crate::body::{Edit, edited};

/// Chunks smaller than this, in bytes, are merged: a client that sends one byte at a time would
/// otherwise cost a reference (and the buffer it pins) per byte.
const SMALL_CHUNK: usize = 8 * 1024;
/// Largest chunk merged from small ones, in bytes.
const MERGED_CHUNK: usize = 64 * 1024;

/// A part being filled.
#[derive(Debug, Default)]
pub(super) struct PartBuilder {
    chunks: Vec<Bytes>,
    merged: BytesMut,
    len: usize,
}

impl PartBuilder {
    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        self.len += chunk.len();
        if chunk.len() >= SMALL_CHUNK {
            self.flush_merged();
            self.chunks.push(chunk);
            return;
        }
        if self.merged.len() + chunk.len() > MERGED_CHUNK {
            self.flush_merged();
        }
        if self.merged.capacity() == 0 {
            // Many forms are small as a whole, so the first buffer is small.
            let first = if self.chunks.is_empty() {
                SMALL_CHUNK
            } else {
                MERGED_CHUNK
            };
            self.merged.reserve(first);
        }
        self.merged.extend_from_slice(&chunk);
    }

    /// Returns the part and starts the next one.
    pub(super) fn take(&mut self) -> Part {
        self.flush_merged();
        let chunks = std::mem::take(&mut self.chunks);
        Part {
            chunks: chunks.into(),
            len: std::mem::take(&mut self.len),
        }
    }

    /// Returns all but the last `held` bytes, with which the next part begins.
    pub(super) fn take_all_but(&mut self, held: usize) -> Part {
        self.flush_merged();
        let (mut next, mut held_len) = (Vec::new(), 0);
        while let Some(mut chunk) = self.chunks.pop() {
            if held_len + chunk.len() > held {
                let rest = chunk.split_off(chunk.len() - (held - held_len));
                self.chunks.push(chunk);
                if !rest.is_empty() {
                    next.push(rest);
                }
                held_len = held;
                break;
            }
            held_len += chunk.len();
            next.push(chunk);
        }
        next.reverse();
        self.len -= held_len;
        let part = self.take();
        (self.chunks, self.len) = (next, held_len);
        part
    }

    /// Applies an edit to the part, which is at offset `start` in the file.
    pub(super) fn edit(&mut self, start: u64, edit: &Edit) {
        let mut at = start + (self.len - self.merged.len()) as u64;
        edit.apply(at, &mut self.merged);
        for chunk in self.chunks.iter_mut().rev() {
            if edit.at >= at {
                return;
            }
            at -= chunk.len() as u64;
            *chunk = edited(std::mem::take(chunk), at, slice::from_ref(edit));
        }
    }

    fn flush_merged(&mut self) {
        if !self.merged.is_empty() {
            self.chunks.push(std::mem::take(&mut self.merged).freeze());
        }
    }
}

/// A complete part; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Part {
    chunks: Arc<[Bytes]>,
    len: usize,
}

impl From<Bytes> for Part {
    fn from(bytes: Bytes) -> Self {
        Self {
            len: bytes.len(),
            chunks: [bytes].into(),
        }
    }
}

impl Part {
    /// Size in bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// Adds all bytes to a hash. That may take some milliseconds of processor time, so it yields to other
    /// tasks in between.
    pub(super) async fn hash(&self, hash: &mut Sha256) {
        for chunk in self.chunks.iter() {
            hash.update(chunk);
            tokio::task::yield_now().await;
        }
    }

    /// Returns a body of known length that yields the chunks from the start.
    pub(super) fn body(&self) -> PartBody {
        PartBody {
            part: self.clone(),
            next: 0,
            remaining: self.len as u64,
        }
    }
}

/// Request body that sends a [`Part`].
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
    use crate::body::Overwrite;

    async fn sent(part: &Part) -> Vec<u8> {
        let body = part.body();
        assert_eq!(body.size_hint().exact(), Some(part.len() as u64));
        let all = body.collect().await.expect("infallible");
        all.to_bytes().to_vec()
    }

    #[tokio::test]
    async fn small_and_large_chunks_come_out_in_order_and_as_often_as_wanted() {
        let (mut filling, expected) =
            builder_with(&[1, 70_000, 5, 9_000, 1, 1, 8_192, 8_191, 60_000]);
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

    /// Chunks of sizes around [`SMALL_CHUNK`], both merged ones and others.
    fn filled() -> (PartBuilder, Vec<u8>) {
        builder_with(&[9_000, 1, 8_192, 70_000, 30, 20_000, 7])
    }

    fn builder_with(sizes: &[usize]) -> (PartBuilder, Vec<u8>) {
        let mut filling = PartBuilder::default();
        let mut bytes = Vec::new();
        for (index, len) in sizes.iter().enumerate() {
            let chunk = vec![index as u8; *len];
            bytes.extend_from_slice(&chunk);
            filling.push(chunk.into());
        }
        (filling, bytes)
    }

    fn fill(at: u64, len: usize) -> Edit {
        let by = Overwrite::Fill(0xFF, len);
        Edit { at, by }
    }

    #[tokio::test]
    async fn the_last_bytes_are_held_for_the_next_part() {
        for held in [0, 1, 7, 8, 20_007, 50_000, 107_229, 107_230, 200_000] {
            let (mut filling, bytes) = filled();
            let part = filling.take_all_but(held);
            let held = held.min(bytes.len());
            assert_eq!(filling.len(), held);
            filling.push(Bytes::from_static(b"more"));
            let (sent_bytes, held_bytes) = bytes.split_at(bytes.len() - held);
            assert_eq!(sent(&part).await, sent_bytes, "{held}");
            let next = sent(&filling.take()).await;
            assert_eq!(next, [held_bytes, b"more"].concat(), "{held}");
        }
    }

    #[tokio::test]
    async fn an_edit_reaches_every_byte_that_is_held_and_no_other() {
        const START: u64 = 1_000_000;
        for (at, len) in [
            (0, 107_230),
            (0, 1),
            (8_999, 2),
            (9_000, 8_193),
            (107_222, 1),
            (107_223, 100),
            (107_000, 230),
            (200_000, 1),
        ] {
            let (mut filling, mut bytes) = filled();
            // Other references to the chunk must not see the edit.
            let shared = filling.chunks[0].clone();
            filling.edit(START, &fill(START + at, len));
            let from = bytes.len().min(at as usize);
            let to = bytes.len().min(at as usize + len);
            bytes[from..to].fill(0xFF);
            assert_eq!(sent(&filling.take()).await, bytes, "{at} {len}");
            assert!(shared.iter().all(|byte| *byte == 0));
        }
        let (mut filling, mut bytes) = filled();
        filling.edit(START, &fill(START - 5, 10));
        bytes[..5].fill(0xFF);
        assert_eq!(sent(&filling.take()).await, bytes);
    }

    #[test]
    fn a_chunk_that_is_edited_again_is_not_copied_again() {
        let mut filling = PartBuilder::default();
        let chunk = Bytes::from(vec![7; SMALL_CHUNK]);
        filling.push(chunk.clone());
        filling.edit(0, &fill(3, 1));
        let first = filling.chunks[0].as_ptr();
        assert_ne!(first, chunk.as_ptr());
        filling.edit(0, &fill(5, 1));
        assert_eq!(filling.chunks[0].as_ptr(), first);
        assert_eq!(filling.take().chunks()[0][..6], [7, 7, 7, 0xFF, 7, 0xFF]);
    }

    #[test]
    fn large_chunks_are_kept_not_copied() {
        let chunk = Bytes::from(vec![7; SMALL_CHUNK]);
        let mut filling = PartBuilder::default();
        filling.push(chunk.clone());
        assert_eq!(filling.take().chunks()[0].as_ptr(), chunk.as_ptr());
    }
}
