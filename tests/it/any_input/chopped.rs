//! Expands a short input into a long content in odd chunks: a line for any purpose, a line whose bytes are
//! chunk sizes, and the content.

use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, stream};

/// `\xFDRUN`, a count and a byte expand to that many KiB of the byte: limits are tens of KiB away.
const RUN: &[u8] = b"\xFDRUN";
const RUN_UNIT: usize = 1024;
/// Longest content that runs may make.
const MAX_CONTENT: usize = 256 * 1024;
/// Most chunks of a content, not counting some empty ones.
const MAX_CHUNKS: usize = 1024;

/// A parsed input.
pub(crate) struct Chopped<'i> {
    /// The first line, without its line break.
    pub(crate) line: &'i [u8],
    sizes: &'i [u8],
    /// The whole content.
    pub(crate) content: Bytes,
}

impl<'i> Chopped<'i> {
    pub(crate) fn new(input: &'i [u8]) -> Self {
        let mut pieces = input.splitn(3, |byte| *byte == b'\n');
        let mut next = || pieces.next().unwrap_or_default();
        Self {
            line: next(),
            sizes: next(),
            content: expanded(next()).into(),
        }
    }

    /// Returns the content in chunks of the input's sizes, repeated; some are empty.
    pub(crate) fn as_asked(&self) -> Vec<Bytes> {
        // From 128 on a byte counts in halves of a KiB.
        let size = |byte: &u8| match usize::from(*byte) {
            small @ ..128 => small,
            large => (large - 127) * 512,
        };
        let least = self.content.len() / MAX_CHUNKS;
        let sizes: Vec<_> = self.sizes.iter().map(|s| size(s).max(least)).collect();
        if sizes.iter().all(|size| *size == 0) {
            return self.whole();
        }
        let mut chunks = Vec::new();
        let mut rest = self.content.clone();
        for size in sizes.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            chunks.push(rest.split_to(size.min(rest.len())));
        }
        chunks
    }

    /// Returns the content in one chunk.
    pub(crate) fn whole(&self) -> Vec<Bytes> {
        vec![self.content.clone()]
    }

    /// Returns the content byte by byte, or nearly so when it is long.
    pub(crate) fn minced(&self) -> Vec<Bytes> {
        let size = self.content.len() / MAX_CHUNKS + 1;
        let chunks = self.content.chunks(size);
        chunks.map(|chunk| self.content.slice_ref(chunk)).collect()
    }
}

fn expanded(text: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        match rest.strip_prefix(RUN) {
            Some([count, byte, after @ ..]) if content.len() < MAX_CONTENT => {
                let run = usize::from(*count) * RUN_UNIT;
                content.resize(content.len() + run, *byte);
                rest = after;
            }
            _ => {
                content.push(*first);
                rest = after;
            }
        }
    }
    content
}

/// Returns chunks as from a network: pending between each two.
pub(crate) fn gently(chunks: Vec<Bytes>) -> impl Stream<Item = Bytes> + Send + 'static {
    let mut chunks = chunks.into_iter();
    let mut pause = true;
    stream::poll_fn(move |cx: &mut Context<'_>| {
        pause = !pause;
        if pause {
            return Poll::Ready(chunks.next());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}
