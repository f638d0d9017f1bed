//! Bytes between a request and a store: a fallible stream of chunks, its errors, and edits of bytes
//! before they are stored. A read error is never taken for the end of a file.

use std::{fmt, pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;

/// The content of one file, chunk by chunk, as it arrives. No chunk is empty.
pub type ByteStream<'a> = Pin<Box<dyn Stream<Item = Result<Bytes, ReadError>> + Send + 'a>>;

/// Error while reading a request's body.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum ReadError {
    /// A file is larger than allowed, or the request larger than its files may be together.
    #[error("a file is larger than {limit} bytes")]
    TooLarge {
        /// Largest file accepted, in bytes.
        limit: u64,
    },
    /// A text field is larger than allowed.
    #[error("a field is larger than {limit} bytes")]
    FieldTooLarge {
        /// Largest field accepted, in bytes.
        limit: usize,
    },
    /// The body is not a multipart form.
    #[error("not a multipart form: {0}")]
    Malformed(Fault),
    /// The body or its connection ended before the form's closing boundary.
    #[error("the body ended before the form did")]
    Truncated,
    /// No data for too long.
    #[error("no data received for {} s", idle.as_secs())]
    TooSlow {
        /// Length of the wait.
        idle: Duration,
    },
    /// The whole request took too long.
    #[error("the time for this request ran out while its client was waited for")]
    TooLong,
}

/// Violation of a rule of multipart forms, for the client's developer. Never contains client data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Number of the part, from 1; `None` for the form as a whole.
    pub part: Option<usize>,
    /// The rule in words.
    pub rule: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            Some(part) => write!(f, "part {part}: {}", self.rule),
            None => f.write_str(self.rule),
        }
    }
}

impl ReadError {
    /// Creates an error for the form as a whole.
    pub fn malformed(rule: &'static str) -> Self {
        Self::Malformed(Fault { part: None, rule })
    }

    /// Creates an error for one part, counted from 1.
    pub fn malformed_part(part: usize, rule: &'static str) -> Self {
        let part = Some(part);
        Self::Malformed(Fault { part, rule })
    }
}

/// How far before the next chunk of a file an edit may begin, in bytes: the stores buffer as much.
pub const REACH: u64 = 1024 * 1024;

/// Overwrites a range of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Offset in the file.
    pub at: u64,
    /// Replacement.
    pub by: Overwrite,
}

/// Replacement bytes of an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// One byte, repeated this many times.
    Fill(u8, usize),
    /// These bytes.
    Bytes(Bytes),
}

impl Edit {
    /// Offset in the file after the last overwritten byte.
    pub fn end(&self) -> u64 {
        let len = match &self.by {
            Overwrite::Fill(_, len) => *len,
            Overwrite::Bytes(bytes) => bytes.len(),
        };
        self.at.saturating_add(len as u64)
    }

    /// Whether it overwrites any of the `len` bytes at offset `start`.
    pub fn touches(&self, start: u64, len: usize) -> bool {
        self.at < start.saturating_add(len as u64) && self.end() > start
    }

    /// Applies the edit to `bytes`, which are at offset `start` in the file; the rest of it is ignored.
    pub fn apply(&self, start: u64, bytes: &mut [u8]) {
        if !self.touches(start, bytes.len()) {
            return;
        }
        let distance = |from: u64, to: u64| usize::try_from(to - from).unwrap_or(usize::MAX);
        let from = distance(start, self.at.max(start));
        let to = distance(start, self.end()).min(bytes.len());
        let Some(target) = bytes.get_mut(from..to) else {
            return;
        };
        match &self.by {
            Overwrite::Fill(byte, _) => target.fill(*byte),
            Overwrite::Bytes(by) => {
                let skip = distance(self.at, self.at.max(start));
                let by = by.get(skip..).unwrap_or_default();
                target.iter_mut().zip(by).for_each(|(to, by)| *to = *by);
            }
        }
    }
}

/// Applies edits to a chunk at offset `start` of its file; copies the chunk only if it must.
pub fn edited(chunk: Bytes, start: u64, edits: &[Edit]) -> Bytes {
    if !edits.iter().any(|edit| edit.touches(start, chunk.len())) {
        return chunk;
    }
    let mut bytes = BytesMut::from(chunk);
    edits.iter().for_each(|edit| edit.apply(start, &mut bytes));
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_overwrites_as_much_as_lies_in_the_bytes() {
        let bytes = |text: &'static str| Overwrite::Bytes(Bytes::from_static(text.as_bytes()));
        for (at, by, expected) in [
            (0, bytes("abc"), "........"),
            (8, bytes("abc"), "c......."),
            (10, bytes("abc"), "abc....."),
            (16, bytes("abcd"), "......ab"),
            (18, bytes("abc"), "........"),
            (5, bytes("0123456789abcdef"), "56789abc"),
            (12, Overwrite::Fill(b'-', 3), "..---..."),
            (0, Overwrite::Fill(b'-', 11), "-......."),
            (17, Overwrite::Fill(b'-', usize::MAX), ".......-"),
            (12, Overwrite::Fill(b'-', 0), "........"),
        ] {
            let mut file = *b"........";
            Edit { at, by }.apply(10, &mut file);
            assert_eq!(str::from_utf8(&file), Ok(expected), "{at}");
        }
    }
}
