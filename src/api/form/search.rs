//! `Search`: finds a pattern across chunk boundaries. Only the length of a partial match is kept from one
//! chunk to the next: those bytes equal the pattern, so nothing is buffered.

use bytes::Bytes;
use memchr::memmem::Finder;

/// Looks for one pattern, again and again.
#[derive(Debug)]
pub(super) struct Search {
    pattern: Bytes,
    /// For long contents; building it takes longer than a look at a few hundred bytes.
    finder: Option<Finder<'static>>,
    /// How many bytes at the end of what was seen may begin the pattern.
    matched: usize,
}

/// Result of the search in one chunk.
#[derive(Debug)]
pub(super) struct Cut {
    /// Bytes of earlier chunks that looked like the pattern's beginning and are not.
    pub(super) held: Bytes,
    /// Bytes of this chunk before the pattern or what may begin it.
    pub(super) before: Bytes,
    /// Whether the pattern was found; the rest of the chunk is left.
    pub(super) is_found: bool,
}

impl Cut {
    pub(super) fn len(&self) -> usize {
        self.held.len() + self.before.len()
    }
}

impl Search {
    /// For places where the pattern is soon found.
    pub(super) fn near(pattern: Bytes) -> Self {
        Self {
            pattern,
            finder: None,
            matched: 0,
        }
    }

    /// For long ways to the pattern.
    pub(super) fn far(pattern: Bytes) -> Self {
        let finder = Finder::new(&pattern).into_owned();
        Self {
            finder: Some(finder),
            ..Self::near(pattern)
        }
    }

    pub(super) fn pattern(&self) -> &Bytes {
        &self.pattern
    }

    /// How many bytes at the end of what was seen may begin the pattern.
    pub(super) fn matched(&self) -> usize {
        self.matched
    }

    /// Takes from `chunk` what is before the pattern, and the pattern; all of it when there is none.
    pub(super) fn cut(&mut self, chunk: &mut Bytes) -> Cut {
        let held = self.matched;
        let end = self.find(chunk);
        let mut seen = chunk.split_to(end.unwrap_or(chunk.len()));
        let tail = end.map_or(self.matched, |_| self.pattern.len());
        let before = held + seen.len() - tail;
        let held = self.pattern.slice(..held.min(before));
        seen.truncate(before - held.len());
        Cut {
            held,
            before: seen,
            is_found: end.is_some(),
        }
    }

    /// Where in `chunk` the first pattern ends. Without one, the chunk is remembered.
    pub(super) fn find(&mut self, chunk: &[u8]) -> Option<usize> {
        loop {
            let (seen, missing) = self.pattern.split_at(self.matched);
            if chunk.starts_with(missing) {
                self.matched = 0;
                return Some(missing.len());
            }
            if missing.starts_with(chunk) {
                self.matched += chunk.len();
                return None;
            }
            if seen.is_empty() {
                break;
            }
            self.matched = self.beginning_at_end_of(seen);
        }
        let found = match &self.finder {
            Some(finder) => finder.find(chunk),
            None => chunk
                .windows(self.pattern.len())
                .position(|window| window == self.pattern),
        };
        if found.is_none() {
            self.matched = self.beginning_at_end_of(chunk);
        }
        found.map(|at| at + self.pattern.len())
    }

    /// How many of the last bytes, fewer than all, begin the pattern.
    fn beginning_at_end_of(&self, bytes: &[u8]) -> usize {
        let ends = |len: &usize| {
            let beginning = self.pattern.get(..*len).unwrap_or_default();
            bytes.ends_with(beginning)
        };
        let lens = 1..self.pattern.len().min(bytes.len());
        lens.rev().find(ends).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that comes before the first pattern, and what is left after it; `None` without one.
    fn split(mut search: Search, text: &[u8], size: usize) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut before = Vec::new();
        let mut chunks = text.chunks(size).map(Bytes::copy_from_slice);
        while let Some(mut chunk) = chunks.next() {
            let cut = search.cut(&mut chunk);
            before.extend_from_slice(&cut.held);
            before.extend_from_slice(&cut.before);
            if cut.is_found {
                chunks.for_each(|rest| chunk = [&*chunk, &*rest].concat().into());
                return (before, Some(chunk.to_vec()));
            }
            assert!(chunk.is_empty(), "the whole chunk is taken");
        }
        (before, None)
    }

    #[test]
    fn a_pattern_is_found_across_any_chunks() {
        for (pattern, text) in [
            ("\r\n--b", "file\r\n--b\r\n"),
            ("\r\n--b", "\r\n--b"),
            ("\r\n--b", "\r\n--\r\n-\r\r\n\r\n--a\r\n--b--"),
            ("\r\n--b", "\r\n--\r\n-\r\r\n\r\n--a\r\n--"),
            ("----a", "---------a-"),
            ("--b--b-", "--b--b--b--b-x"),
            ("\r\n\r\n", "a: b\r\r\n\n\r\n\r\r\n\r\n\r\n"),
            ("\r\n\r\n", ""),
        ] {
            let at = text.find(pattern);
            let after = at.map(|at| text[at + pattern.len()..].into());
            for size in 1..=text.len().max(1) {
                for make in [Search::near, Search::far] {
                    let (before, rest) = split(make(pattern.into()), text.as_bytes(), size);
                    assert_eq!(rest, after, "{pattern:?} in {text:?} by {size}");
                    match at {
                        Some(at) => assert_eq!(before, &text.as_bytes()[..at]),
                        None => assert!(text.as_bytes().starts_with(&before)),
                    }
                }
            }
        }
    }

    #[test]
    fn what_may_begin_the_pattern_is_held_back_and_no_more() {
        let mut search = Search::far("\r\n--b".into());
        let cut = search.cut(&mut "file\r\n-".into());
        assert_eq!((&*cut.before, search.matched()), (&b"file"[..], 3));
        let cut = search.cut(&mut "x".into());
        assert_eq!((&*cut.held, &*cut.before), (&b"\r\n-"[..], &b"x"[..]));
        assert_eq!(search.matched(), 0);
    }
}
