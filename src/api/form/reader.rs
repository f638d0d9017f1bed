//! `Reader`: the position in a form. It routes the body: boundary lines and headers to multer,
//! contents to the reader of the part.
//!
//! multer copies its input into a buffer and searches all of it whenever more data arrives, so it gets
//! only the headers. Contents are passed on in the chunks they arrived in.
//!
//! A content ends where multer would end it: at the first line break, two hyphens and the boundary,
//! whatever follows them. multer parses that rest: the hyphens of the last boundary, white space up
//! to the end of the line, or bytes that make the form malformed.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;

use super::{
    search::{Cut, Search},
    source::Source,
};
use crate::body::ReadError;

/// Most bytes that multer gets between two polls.
const FEED_BYTES: usize = 64 * 1024;
/// Most bytes outside of contents at a time: a preamble, or the headers of one part.
const MAX_UNPARSED: usize = 128 * 1024;

/// Section of the body that is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    /// Bytes before the first boundary.
    Preamble,
    /// The end of a boundary line, and headers; multer has the boundary already.
    Headers,
    /// The content of a part.
    Content,
}

/// A form's body and the position in it.
pub(super) struct Reader {
    source: Source,
    section: Section,
    /// The first boundary, which may follow anything, as in multer.
    opening: Search,
    /// Any other boundary, with the line break before it.
    delimiter: Search,
    headers_end: Search,
    /// Bytes outside of contents since the start of the body or of the last part.
    unparsed: usize,
    /// Whether the body does not start with its boundary.
    has_preamble: bool,
    feed: Feed,
    /// Content that was read ahead.
    peeked: Option<Cut>,
}

impl Reader {
    pub(super) fn new(source: Source, boundary: &str, feed: Feed) -> Self {
        let delimiter = Bytes::from(format!("\r\n--{boundary}"));
        Self {
            source,
            section: Section::Preamble,
            opening: Search::new(delimiter.slice(2..)),
            delimiter: Search::with_finder(delimiter),
            headers_end: Search::new(Bytes::from_static(b"\r\n\r\n")),
            unparsed: 0,
            has_preamble: false,
            feed,
            peeked: None,
        }
    }

    /// Skips to the next boundary: over the preamble, or the unread rest of a part.
    pub(super) fn poll_boundary(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        while self.section == Section::Preamble {
            ready!(self.poll_unparsed(cx))?;
            self.skip_preamble();
        }
        while ready!(self.poll_content(cx))?.is_some() {}
        Poll::Ready(Ok(()))
    }

    fn skip_preamble(&mut self) {
        let preamble = self.source.rest();
        let most = preamble.len().min(MAX_UNPARSED - self.unparsed);
        let end = self.opening.find(preamble.get(..most).unwrap_or_default());
        self.unparsed += preamble.split_to(end.unwrap_or(most)).len();
        let opening = end.map_or(self.opening.matched(), |_| self.opening.pattern().len());
        self.has_preamble = self.unparsed > opening;
        if end.is_some() {
            self.feed.push(self.opening.pattern());
            self.section = Section::Headers;
        }
    }

    /// Feeds multer the available headers, at most [`FEED_BYTES`]. A failure or the body's end is
    /// reported only after multer has seen all bytes before it: its own errors come first, however the
    /// body was cut into chunks.
    pub(super) fn poll_headers(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        let mut portion = FEED_BYTES;
        while portion > 0 {
            let ready = self.poll_unparsed(cx);
            if portion < FEED_BYTES && !matches!(ready, Poll::Ready(Ok(()))) {
                break;
            }
            ready!(ready)?;
            let headers = self.source.rest();
            let most = headers.len().min(portion).min(MAX_UNPARSED - self.unparsed);
            let end = self
                .headers_end
                .find(headers.get(..most).unwrap_or_default());
            let headers = headers.split_to(end.unwrap_or(most));
            self.feed.push(&headers);
            self.unparsed += headers.len();
            portion -= headers.len();
            if end.is_some() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for more bytes outside of contents.
    fn poll_unparsed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        Poll::Ready(match ready!(self.source.poll_refill(cx)) {
            Ok(true) if self.unparsed < MAX_UNPARSED => Ok(()),
            Ok(true) => Err(ReadError::malformed(
                "a part's headers, or the bytes before them, are too long",
            )),
            Ok(false) if self.has_preamble => Err(ReadError::malformed("broken boundaries")),
            Ok(false) => Err(ReadError::Truncated),
            Err(error) => Err(error),
        })
    }

    /// Starts the content of a part, after multer has parsed its headers.
    pub(super) fn begin_content(&mut self) {
        self.section = Section::Content;
        self.unparsed = 0;
    }

    /// Whether the part has no content; reads ahead as far as needed.
    pub(super) fn poll_is_empty(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ReadError>> {
        self.peeked = ready!(self.poll_content(cx))?;
        Poll::Ready(Ok(self.peeked.is_none()))
    }

    /// Returns an upper bound of the part's size, in bytes.
    pub(super) fn at_most(&self) -> u64 {
        self.peeked.as_ref().map_or(0, |cut| cut.len() as u64) + self.source.at_most()
    }

    /// Reads the next bytes of the part; `None` at its end.
    pub(super) fn poll_content(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Cut>, ReadError>> {
        if let Some(cut) = self.peeked.take() {
            return Poll::Ready(Ok(Some(cut)));
        }
        while self.section == Section::Content {
            if !ready!(self.source.poll_refill(cx))? {
                return Poll::Ready(Err(ReadError::Truncated));
            }
            let cut = self.delimiter.cut(self.source.rest());
            if cut.is_found {
                self.feed.push(self.delimiter.pattern());
                self.section = Section::Headers;
            }
            if cut.len() > 0 {
                return Poll::Ready(Ok(Some(cut)));
            }
        }
        Poll::Ready(Ok(None))
    }
}

/// Input of multer. It never ends: [`Reader`] decides whether the form may end.
#[derive(Clone, Debug, Default)]
pub(super) struct Feed(Arc<Mutex<BytesMut>>);

impl Feed {
    fn lock(&self) -> MutexGuard<'_, BytesMut> {
        // No panic can leave a buffer half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, bytes: &[u8]) {
        self.lock().extend_from_slice(bytes);
    }
}

impl Stream for Feed {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let fed = mem::take(&mut *self.lock());
        if fed.is_empty() {
            // Needs no waker: the caller of multer feeds it and polls again.
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(fed.freeze())))
    }
}
