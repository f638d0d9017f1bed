//! `Search`: finds a pattern across chunk boundaries. Only the length of a partial match is kept between
//! chunks: its bytes equal the pattern, so nothing is buffered.

use bytes::Bytes;
use memchr::memmem::Finder;

/// Repeated search for one pattern.
#[derive(Debug)]
pub(super) struct Search {
    pattern: Bytes,
    /// For long contents; building it takes longer than searching a few hundred bytes.
    finder: Option<Finder<'static>>,
    /// Length of the partial match at the end of the bytes seen so far.
    matched: usize,
}

/// Result of the search in one chunk.
#[derive(Debug)]
pub(super) struct Cut {
    /// Bytes of earlier chunks that were held back as a partial match, but are not the pattern.
    pub(super) held: Bytes,
    /// Bytes of this chunk before the pattern or a partial match.
    pub(super) before: Bytes,
    /// Whether the pattern was found; the bytes after it remain in the chunk.
    pub(super) is_found: bool,
}

impl Cut {
    pub(super) fn len(&self) -> usize {
        self.held.len() + self.before.len()
    }
}

impl Search {
    /// Searches without a finder, for short distances.
    pub(super) fn new(pattern: Bytes) -> Self {
        Self {
            pattern,
            finder: None,
            matched: 0,
        }
    }

    /// Searches with a finder, for long distances.
    pub(super) fn with_finder(pattern: Bytes) -> Self {
        let finder = Finder::new(&pattern).into_owned();
        Self {
            finder: Some(finder),
            ..Self::new(pattern)
        }
    }

    pub(super) fn pattern(&self) -> &Bytes {
        &self.pattern
    }

    /// Returns the length of the partial match at the end of the bytes seen so far.
    pub(super) fn matched(&self) -> usize {
        self.matched
    }

    /// Takes from `chunk` all bytes up to the end of the pattern; the whole chunk if there is none.
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

    /// Returns where in `chunk` the first match ends. Without one, a partial match is remembered.
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
            self.matched = self.partial_match(seen);
        }
        let found = match &self.finder {
            Some(finder) => finder.find(chunk),
            None => chunk
                .windows(self.pattern.len())
                .position(|window| window == self.pattern),
        };
        if found.is_none() {
            self.matched = self.partial_match(chunk);
        }
        found.map(|at| at + self.pattern.len())
    }

    /// Returns the length of the partial match at the end of `bytes`, but never all of them.
    fn partial_match(&self, bytes: &[u8]) -> usize {
        let ends = |len: &usize| {
            let prefix = self.pattern.get(..*len).unwrap_or_default();
            bytes.ends_with(prefix)
        };
        let lens = 1..self.pattern.len().min(bytes.len());
        lens.rev().find(ends).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bytes before the first match, and those after it; `None` without a match.
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
                for make in [Search::new, Search::with_finder] {
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
        let mut search = Search::with_finder("\r\n--b".into());
        let cut = search.cut(&mut "file\r\n-".into());
        assert_eq!((&*cut.before, search.matched()), (&b"file"[..], 3));
        let cut = search.cut(&mut "x".into());
        assert_eq!((&*cut.held, &*cut.before), (&b"\r\n-"[..], &b"x"[..]));
        assert_eq!(search.matched(), 0);
    }
}
