//! `Input`: a file as seen by a walk, which skips, collects and edits, and waits for the next chunk when
//! it needs bytes.

use std::{
    future::poll_fn,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memmem;

use super::{Edit, Geo, Overwrite, REACH, Strip};

/// Why a walk stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// End of the file, or of the entered structure.
    End,
    /// Inconsistent sizes: the start of the next structure is unknown.
    Malformed,
}

impl Stop {
    /// Ignores the early end of a list.
    pub(super) fn at_end(self) -> Walked {
        match self {
            Self::End => Ok(()),
            Self::Malformed => Err(self),
        }
    }
}

/// How a walk, or a piece of one, ended.
pub(super) type Walked<T = ()> = Result<T, Stop>;

/// Channel between a walk and its source of bytes.
#[derive(Debug, Default)]
pub(super) struct Feed {
    pub(super) next: Option<Bytes>,
    pub(super) has_ended: bool,
    /// How many of the next bytes the walk skips.
    pub(super) skipping: u64,
    /// How many of those the source leaves out.
    left_out: u64,
    /// Edits not yet returned.
    pub(super) edits: Vec<Edit>,
}

impl Feed {
    /// Leaves out bytes, at most those that the walk skips.
    pub(super) fn leave_out(&mut self, bytes: u64) {
        self.left_out = bytes.min(self.skipping);
    }
}

/// Ignores poisoning: a panic of a walk ends its upload, and the feed is consistent at any time.
pub(super) fn lock(feed: &Mutex<Feed>) -> MutexGuard<'_, Feed> {
    feed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rest of the file, from the walk's position on.
#[derive(Debug)]
pub(super) struct Input {
    feed: Arc<Mutex<Feed>>,
    /// Available bytes from `position` on.
    chunk: Bytes,
    position: u64,
    /// End of the entered structure.
    limit: u64,
    strip: Strip,
    geo: Geo,
}

/// The end of the outer structure, and that of the entered one.
#[derive(Debug)]
#[must_use = "an entered structure must be left"]
pub(super) struct Outer {
    limit: u64,
    inner: u64,
}

impl Input {
    pub(super) fn new(feed: Arc<Mutex<Feed>>, strip: Strip) -> Self {
        Self {
            feed,
            chunk: Bytes::new(),
            position: 0,
            limit: u64::MAX,
            strip,
            geo: Geo::None,
        }
    }

    /// Returns the current offset in the file.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Returns the bytes left in the entered structure; about `u64::MAX` at the top level.
    pub(super) fn left(&self) -> u64 {
        self.limit - self.position
    }

    /// Returns which metadata is overwritten.
    pub(super) fn strip(&self) -> Strip {
        self.strip
    }

    /// Enters a structure of `bytes` bytes: until [`Input::leave`], the file appears to end with it.
    pub(super) fn enter(&mut self, bytes: u64) -> Outer {
        let limit = self.limit;
        let inner = self.position.saturating_add(bytes).min(limit);
        self.limit = inner;
        Outer { limit, inner }
    }

    /// Skips to the end of the entered structure, and leaves it.
    pub(super) async fn leave(&mut self, outer: Outer) -> Walked {
        let skipped = self.skip(outer.inner - self.position).await;
        self.limit = outer.limit;
        skipped
    }

    /// Waits until bytes are available.
    pub(super) async fn fill(&mut self) -> Walked {
        if self.position >= self.limit {
            return Err(Stop::End);
        }
        if self.chunk.is_empty() {
            self.chunk = poll_fn(|_| {
                let mut feed = lock(&self.feed);
                match feed.next.take() {
                    Some(chunk) => Poll::Ready(Ok(chunk)),
                    None if feed.left_out > 0 => Poll::Ready(Ok(Bytes::new())),
                    None if feed.has_ended => Poll::Ready(Err(Stop::End)),
                    None => Poll::Pending,
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Returns whether the end is reached.
    pub(super) async fn is_at_end(&mut self) -> bool {
        self.fill().await.is_err()
    }

    /// Returns the available bytes; at least one after [`Input::fill`]. For loops that examine every
    /// byte.
    pub(super) fn ready(&self) -> &[u8] {
        let left = usize::try_from(self.left()).unwrap_or(usize::MAX);
        self.chunk.get(..left).unwrap_or(&self.chunk)
    }

    /// Skips bytes that are [`ready`](Self::ready).
    pub(super) fn advance(&mut self, bytes: usize) {
        let bytes = bytes.min(self.ready().len());
        self.chunk.advance(bytes);
        self.position += bytes as u64;
    }

    /// Skips `bytes` bytes.
    pub(super) async fn skip(&mut self, mut bytes: u64) -> Walked {
        while bytes > 0 {
            if self.chunk.is_empty() {
                bytes -= self.wait_for_any(bytes).await?;
                continue;
            }
            self.fill().await?;
            let here = self.ready_of(bytes);
            self.advance(here);
            bytes -= here as u64;
        }
        Ok(())
    }

    /// Waits for bytes, or for up to `bytes` to be left out; returns how many were left out.
    async fn wait_for_any(&mut self, bytes: u64) -> Walked<u64> {
        lock(&self.feed).skipping = bytes.min(self.left());
        let filled = self.fill().await;
        let mut feed = lock(&self.feed);
        feed.skipping = 0;
        let left_out = std::mem::take(&mut feed.left_out);
        self.position += left_out;
        filled.map(|()| left_out)
    }

    /// Returns how many of the next `bytes` bytes are available.
    fn ready_of(&self, bytes: u64) -> usize {
        let ready = self.ready().len();
        usize::try_from(bytes).map_or(ready, |bytes| bytes.min(ready))
    }

    /// Skips to the end of the first match; returns the index of the pattern and the four bytes before it.
    pub(super) async fn find(&mut self, patterns: &[&[u8]]) -> Walked<(usize, [u8; 4])> {
        const BEFORE: usize = 4;
        let longest = patterns.iter().map(|pattern| pattern.len()).max();
        let held = longest.unwrap_or_default() + BEFORE - 1;
        // The last bytes of one chunk and the first of the next: a match may span both.
        let mut border = Vec::with_capacity(2 * held);
        loop {
            self.fill().await?;
            let passed = border.len();
            let ready = self.ready();
            border.extend_from_slice(ready.get(..held).unwrap_or(ready));
            let crossing = first_of(patterns, &border, passed);
            let found = crossing.map(|found| (found, &border[..], passed));
            let found = found.or_else(|| Some((first_of(patterns, ready, 0)?, ready, 0)));
            if let Some((Found { which, range }, bytes, passed)) = found {
                let before = bytes
                    .get(..range.start)
                    .and_then(|before| before.last_chunk());
                let before = before.copied().unwrap_or_default();
                self.advance(range.end - passed);
                return Ok((which, before));
            }
            if ready.len() > held {
                border.clear();
                border.extend_from_slice(ready.get(ready.len() - held..).unwrap_or_default());
            }
            let excess = border.len().saturating_sub(held);
            border.drain(..excess);
            let passed = ready.len();
            self.advance(passed);
        }
    }

    /// Reads the next `N` bytes.
    pub(super) async fn array<const N: usize>(&mut self) -> Walked<[u8; N]> {
        if let Some(array) = self.ready().first_chunk().copied() {
            self.advance(N);
            return Ok(array);
        }
        let mut array = [0; N];
        for byte in &mut array {
            self.fill().await?;
            *byte = self.chunk.first().copied().unwrap_or_default();
            self.advance(1);
        }
        Ok(array)
    }

    /// Reads up to `bytes` bytes, less at the end. They are held in memory, so callers bound `bytes`.
    pub(super) async fn take(&mut self, bytes: usize) -> Bytes {
        if self.fill().await.is_err() {
            return Bytes::new();
        }
        let here = self.ready().len();
        if bytes <= here {
            let taken = self.chunk.slice(..bytes);
            self.advance(bytes);
            return taken;
        }
        let mut taken = BytesMut::new();
        while taken.len() < bytes && self.fill().await.is_ok() {
            let here = self.ready_of((bytes - taken.len()) as u64);
            taken.extend_from_slice(self.chunk.get(..here).unwrap_or_default());
            self.advance(here);
        }
        taken.freeze()
    }

    /// Reads exactly `bytes` bytes.
    pub(super) async fn collect(&mut self, bytes: usize) -> Walked<Bytes> {
        let taken = self.take(bytes).await;
        if taken.len() < bytes {
            return Err(Stop::End);
        }
        Ok(taken)
    }

    /// Overwrites the next `bytes` bytes.
    pub(super) async fn blank(&mut self, mut bytes: u64, by: u8) -> Walked {
        while bytes > 0 {
            self.fill().await?;
            let here = self.ready_of(bytes);
            let is_blank = |bytes: &[u8]| bytes.iter().all(|byte| *byte == by);
            if !self.chunk.get(..here).is_none_or(is_blank) {
                self.push(Edit {
                    at: self.position,
                    by: Overwrite::Fill(by, here),
                });
            }
            self.advance(here);
            bytes -= here as u64;
        }
        Ok(())
    }

    /// Replaces `before`, at offset `at`, by `after` of equal length. Bytes beyond [`REACH`] are kept.
    pub(super) fn replace(&mut self, at: u64, before: &[u8], mut after: Bytes) {
        let differs = |(one, other): (&u8, &u8)| one != other;
        let mut pairs = before.iter().zip(&after);
        let Some(first) = pairs.position(differs) else {
            return;
        };
        let last = before
            .iter()
            .zip(&after)
            .rposition(differs)
            .unwrap_or(first);
        let at = at + first as u64;
        if at.saturating_add(REACH) < self.position {
            self.note_kept();
            return;
        }
        after.truncate(last + 1);
        after.advance(first);
        self.push(Edit {
            at,
            by: Overwrite::Bytes(after),
        });
    }

    fn push(&mut self, edit: Edit) {
        self.geo = self.geo.max(Geo::Removed);
        lock(&self.feed).edits.push(edit);
    }

    /// Notes whether a structure was malformed: its metadata is kept, but the walk continues after it, since
    /// its size is known.
    pub(super) fn note_outcome(&mut self, inside: Walked) {
        if inside == Err(Stop::Malformed) {
            self.note_kept();
        }
    }

    /// Notes that a possible location was kept.
    pub(super) fn note_kept(&mut self) {
        self.geo = Geo::Kept;
    }

    pub(super) fn geo(&self) -> Geo {
        self.geo
    }
}

/// A match: the index of the pattern, and its range.
struct Found {
    which: usize,
    range: Range<usize>,
}

/// Returns the match that ends first in `bytes`, but not within the first `passed` of them.
fn first_of(patterns: &[&[u8]], bytes: &[u8], passed: usize) -> Option<Found> {
    let ends = patterns.iter().enumerate().filter_map(|(which, pattern)| {
        let mut starts = memmem::find_iter(bytes, pattern);
        let start = starts.find(|start| start + pattern.len() > passed)?;
        let range = start..start + pattern.len();
        Some(Found { which, range })
    });
    ends.min_by_key(|found| found.range.end)
}
