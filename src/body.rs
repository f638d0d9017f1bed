//! How bytes travel from a request to a store: a stream of chunks that may fail, and how reading
//! can fail. A failed read is never the end of a file.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::Stream;

/// The content of one file, chunk by chunk, as it arrives. No chunk is empty.
pub type ByteStream<'a> = Pin<Box<dyn Stream<Item = Result<Bytes, ReadError>> + Send + 'a>>;

/// Why a request's body could not be read to its end.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum ReadError {
    /// A file is larger than allowed, or the request than all the files it may hold.
    #[error("a file is larger than {limit} bytes")]
    TooLarge {
        /// Largest file accepted, in bytes.
        limit: u64,
    },
    /// A text field is larger than any honest client sends.
    #[error("a field is larger than {limit} bytes")]
    FieldTooLarge {
        /// Largest field accepted, in bytes.
        limit: usize,
    },
    /// The body is not a multipart form.
    #[error("not a multipart form: {0}")]
    Malformed(&'static str),
    /// The body ended, or its connection did, before the form's closing boundary.
    #[error("the body ended before the form did")]
    Truncated,
    /// No byte came for too long.
    #[error("no byte came for {} s", idle.as_secs())]
    TooSlow {
        /// How long was waited.
        idle: Duration,
    },
    /// The whole request took too long.
    #[error("the request took more than {} s", limit.as_secs())]
    TooLong {
        /// Longest time accepted.
        limit: Duration,
    },
}
