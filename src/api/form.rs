//! A multipart form, part by part: text fields with a limit, files as streams. multer finds the
//! boundaries; what it leaves to others is here: how fast it is fed, every limit, how many parts,
//! and what Content-Disposition says.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, HttpBody as _},
    http::{
        HeaderMap,
        header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName},
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, future, stream};
use multer::{Constraints, Field, Multipart, SizeLimit};
use tokio::time::{Instant, Sleep};

use super::{
    Error,
    params::{Broken, Params},
};
use crate::body::{ByteStream, ReadError};

/// Most that multer gets at a time: it copies all that is ready into one buffer before it looks.
const FEED_BYTES: usize = 64 * 1024;
/// Most that may be fed without the parser having anything to show for it: a preamble, or the
/// headers of one part. multer itself would gather them without limit.
const MAX_UNPARSED: usize = 2 * FEED_BYTES;
/// Largest text field, in bytes; a token is the longest honest one.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Most parts of a form, files and text fields together.
const MAX_PARTS: usize = 100;
/// What a form may be larger than its files: boundaries, headers, text fields.
const OVERHEAD_BYTES: u64 = 1024 * 1024;
/// Longest boundary (RFC 2046 §5.1.1).
const MAX_BOUNDARY_BYTES: usize = 70;

/// How much a form may hold and how long a client may pause.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest file, in bytes.
    pub max_file_bytes: u64,
    /// Most files.
    pub max_files: usize,
    /// Longest pause between two chunks of the body.
    pub idle: Duration,
}

impl Limits {
    /// Largest whole body, in bytes.
    fn max_body_bytes(&self) -> u64 {
        let files = self.max_file_bytes.saturating_mul(self.max_files as u64);
        files.saturating_add(OVERHEAD_BYTES)
    }
}

/// A form that is being read. A part must be dropped before the next one is asked for.
pub struct Form {
    multipart: Multipart<'static>,
    progress: Arc<Progress>,
    parts: usize,
}

/// One part of a form.
pub enum Part {
    /// A text field, read whole.
    Text {
        /// The field's name.
        name: String,
        /// Its value.
        value: Vec<u8>,
    },
    /// A part with a file name or a content type of its own, not yet read.
    File(FilePart),
}

/// A file of a form, not yet read.
pub struct FilePart {
    /// The field's name.
    pub field: String,
    /// As the client called it; `""` when it did not.
    pub name: String,
    /// Its bytes.
    pub content: ByteStream<'static>,
}

impl Form {
    /// Looks at the headers and the announced length; reads nothing yet.
    ///
    /// # Errors
    /// Not a multipart form, no or two boundaries, or larger than all files it may hold.
    pub fn open(headers: &HeaderMap, body: Body, limits: Limits) -> Result<Self, Error> {
        let boundary = boundary(headers)?;
        if body.size_hint().lower() > limits.max_body_bytes() {
            return Err(ReadError::TooLarge {
                limit: limits.max_file_bytes,
            }
            .into());
        }
        let progress = Arc::new(Progress::new(limits.max_file_bytes));
        let feed = Feed::new(body, &boundary, limits.idle, Arc::clone(&progress));
        // Not multer's limit per field: a token may be longer than the largest file. Text and
        // files have limits of their own below.
        let sizes = SizeLimit::new().whole_stream(limits.max_body_bytes());
        let constraints = Constraints::new().size_limit(sizes);
        let multipart = Multipart::with_constraints(feed, boundary, constraints);
        Ok(Self {
            multipart,
            progress,
            parts: 0,
        })
    }

    /// The next part, `None` after the closing boundary. An empty file input (no name, no bytes)
    /// is no part.
    pub async fn next(&mut self) -> Result<Option<Part>, ReadError> {
        loop {
            let field = self.multipart.next_field().await;
            self.progress.something_was_parsed();
            let Some(field) = field.map_err(|error| self.progress.judge(error))? else {
                return Ok(None);
            };
            self.parts += 1;
            if self.parts > MAX_PARTS {
                return Err(ReadError::Malformed("too many parts"));
            }
            let about = About::read(field.headers())
                .map_err(|Broken| ReadError::Malformed("broken part headers"))?;
            let chunks = chunks(field, Arc::clone(&self.progress));
            let Some(name) = about.file_name else {
                return Ok(Some(Part::Text {
                    name: about.field,
                    value: text(chunks).await?,
                }));
            };
            let chunks = limited(chunks, self.progress.max_file_bytes);
            if let Some(content) = content(chunks, &name).await? {
                return Ok(Some(Part::File(FilePart {
                    field: about.field,
                    name,
                    content,
                })));
            }
        }
    }
}

/// The chunks of one part, none of them empty.
fn chunks(
    field: Field<'static>,
    progress: Arc<Progress>,
) -> impl Stream<Item = Result<Bytes, ReadError>> + Send + 'static {
    field
        .map(move |chunk| {
            progress.something_was_parsed();
            chunk.map_err(|error| progress.judge(error))
        })
        .try_filter(|chunk| future::ready(!chunk.is_empty()))
}

/// The chunks of a file, as long as it is not too large.
fn limited(
    chunks: impl Stream<Item = Result<Bytes, ReadError>> + Send + 'static,
    limit: u64,
) -> impl Stream<Item = Result<Bytes, ReadError>> + Send + 'static {
    let mut size = 0;
    chunks.map(move |chunk| {
        let chunk = chunk?;
        size += chunk.len() as u64;
        if size > limit {
            return Err(ReadError::TooLarge { limit });
        }
        Ok(chunk)
    })
}

async fn text(chunks: impl Stream<Item = Result<Bytes, ReadError>>) -> Result<Vec<u8>, ReadError> {
    let mut chunks = pin!(chunks);
    let mut value = Vec::new();
    while let Some(chunk) = chunks.try_next().await? {
        if value.len() + chunk.len() > MAX_TEXT_BYTES {
            return Err(ReadError::FieldTooLarge {
                limit: MAX_TEXT_BYTES,
            });
        }
        value.extend_from_slice(&chunk);
    }
    Ok(value)
}

/// A file's content; `None` for an empty file input.
async fn content(
    chunks: impl Stream<Item = Result<Bytes, ReadError>> + Send + 'static,
    name: &str,
) -> Result<Option<ByteStream<'static>>, ReadError> {
    let mut content = chunks.boxed();
    if !name.is_empty() {
        return Ok(Some(content));
    }
    let Some(first) = content.try_next().await? else {
        return Ok(None);
    };
    Ok(Some(stream::iter([Ok(first)]).chain(content).boxed()))
}

/// The boundary that Content-Type names.
fn boundary(headers: &HeaderMap) -> Result<String, Error> {
    const MALFORMED: ReadError = ReadError::Malformed("the Content-Type header names no boundary");
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), second) = (values.next(), values.next()) else {
        return Err(Error::NotMultipart);
    };
    let value = value.as_bytes();
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
    if !essence
        .trim_ascii()
        .eq_ignore_ascii_case(b"multipart/form-data")
    {
        return Err(Error::NotMultipart);
    }
    if second.is_some() {
        return Err(MALFORMED.into());
    }
    let params = Params::parse(value).map_err(|Broken| MALFORMED)?;
    let boundary = params
        .get("boundary")
        .map_err(|Broken| MALFORMED)?
        .unwrap_or_default();
    let printable = |byte: &u8| matches!(byte, b' '..=b'~');
    match boundary {
        [.., last]
            if *last != b' '
                && boundary.len() <= MAX_BOUNDARY_BYTES
                && boundary.iter().all(printable) =>
        {
            Ok(boundary.iter().copied().map(char::from).collect())
        }
        _ => Err(MALFORMED.into()),
    }
}

/// What the headers of a part say about it.
struct About {
    field: String,
    /// `Some` when the part is a file, `""` when the client gave it no name.
    file_name: Option<String>,
}

impl About {
    fn read(headers: &HeaderMap) -> Result<Self, Broken> {
        let disposition = headers.get(CONTENT_DISPOSITION).ok_or(Broken)?;
        let params = Params::parse(disposition.as_bytes())?;
        if !params.value.eq_ignore_ascii_case(b"form-data") || is_encoded(headers) {
            return Err(Broken);
        }
        let field = params.text("name")?.unwrap_or_default();
        let file_name = params.extended_text("filename")?;
        let is_file = file_name.is_some() || headers.contains_key(CONTENT_TYPE);
        Ok(Self {
            field,
            file_name: is_file.then(|| file_name.unwrap_or_default()),
        })
    }
}

/// Whether the part's bytes are not the file's bytes: forms inside forms, and the transfer
/// encodings of mail, which RFC 7578 §4.7 deprecates. Nobody would decode them after us.
fn is_encoded(headers: &HeaderMap) -> bool {
    const TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");
    let nested = headers.get(CONTENT_TYPE).is_some_and(|value| {
        let start = value.as_bytes().get(..10).unwrap_or_default();
        start.eq_ignore_ascii_case(b"multipart/")
    });
    let encoded = headers.get(TRANSFER_ENCODING).is_some_and(|value| {
        let value = value.as_bytes().trim_ascii();
        !["binary", "8bit", "7bit"]
            .iter()
            .any(|plain| value.eq_ignore_ascii_case(plain.as_bytes()))
    });
    nested || encoded
}

/// How far the body was fed to the parser, shared between the two.
#[derive(Debug)]
struct Progress {
    max_file_bytes: u64,
    /// Bytes fed since the parser last had something to show for them.
    unparsed: AtomicUsize,
    /// The parser got or showed something since it was last told to wait, so it may have more to
    /// show before it needs more.
    news: AtomicBool,
    /// The body was read to its end.
    ended: AtomicBool,
    /// The body begins otherwise than with its boundary.
    begins_otherwise: AtomicBool,
}

impl Progress {
    fn new(max_file_bytes: u64) -> Self {
        Self {
            max_file_bytes,
            unparsed: AtomicUsize::new(0),
            news: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            begins_otherwise: AtomicBool::new(false),
        }
    }

    fn something_was_parsed(&self) {
        self.unparsed.store(0, Ordering::Relaxed);
        self.news.store(true, Ordering::Relaxed);
    }

    fn take_news(&self) -> bool {
        self.news.swap(false, Ordering::Relaxed)
    }

    fn feed(&self, len: usize) -> Result<(), ReadError> {
        self.news.store(true, Ordering::Relaxed);
        if self.unparsed.fetch_add(len, Ordering::Relaxed) + len > MAX_UNPARSED {
            return Err(ReadError::Malformed(
                "a part's headers, or what stands before them, are too long",
            ));
        }
        Ok(())
    }

    /// What an error of the parser means.
    fn judge(&self, error: multer::Error) -> ReadError {
        match error {
            multer::Error::StreamReadFailed(source) => {
                source.downcast().map_or(ReadError::Truncated, |ours| *ours)
            }
            multer::Error::StreamSizeExceeded { .. } => ReadError::TooLarge {
                limit: self.max_file_bytes,
            },
            multer::Error::IncompleteFieldData { .. } => ReadError::Truncated,
            multer::Error::IncompleteStream | multer::Error::IncompleteHeaders
                if self.ended.load(Ordering::Relaxed)
                    && !self.begins_otherwise.load(Ordering::Relaxed) =>
            {
                ReadError::Truncated
            }
            multer::Error::IncompleteStream => ReadError::Malformed("broken boundaries"),
            _ => ReadError::Malformed("broken part headers"),
        }
    }
}

/// The body as multer gets it: a portion at a time, with pauses until it has parsed what it can, and
/// with an end when the client falls silent.
///
/// The pauses matter. Fed whenever it asks, multer would hold more with every small part; told of
/// the body's end or failure while it holds something, it judges that otherwise: a broken boundary
/// or a field over its limit becomes a body cut short. Nor is every chunk a portion: multer searches
/// all it holds each time, and chunks may be of one byte.
struct Feed {
    body: BodyDataStream,
    /// What came and was not fed yet.
    rest: Bytes,
    /// How the body failed, until that is told.
    failure: Option<ReadError>,
    /// What is left of the portion.
    portion: usize,
    idle: Duration,
    silence: Pin<Box<Sleep>>,
    is_silent: bool,
    /// What is left of the first boundary to compare with the body's beginning.
    opening: Bytes,
    progress: Arc<Progress>,
}

impl Feed {
    fn new(body: Body, boundary: &str, idle: Duration, progress: Arc<Progress>) -> Self {
        Self {
            body: body.into_data_stream(),
            rest: Bytes::new(),
            failure: None,
            portion: FEED_BYTES,
            idle,
            silence: Box::pin(tokio::time::sleep(idle)),
            is_silent: false,
            opening: format!("--{boundary}").into(),
            progress,
        }
    }

    /// Lets the parser look at what it has.
    fn pause<T>(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        self.portion = FEED_BYTES;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes the next chunk of the body into `rest`; `Ok(false)` at the end.
    fn poll_refill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ReadError>> {
        if let Some(error) = self.failure.take() {
            return Poll::Ready(Err(error));
        }
        while self.rest.is_empty() {
            match self.body.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    self.is_silent = false;
                    self.rest = chunk;
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(ReadError::Truncated)),
                Poll::Ready(None) => return Poll::Ready(Ok(false)),
                Poll::Pending => return self.poll_silence(cx).map(Err),
            }
        }
        Poll::Ready(Ok(true))
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<ReadError> {
        if !self.is_silent {
            self.is_silent = true;
            self.silence.as_mut().reset(Instant::now() + self.idle);
        }
        let idle = self.idle;
        self.silence
            .as_mut()
            .poll(cx)
            .map(|()| ReadError::TooSlow { idle })
    }

    fn compare_opening(&mut self, chunk: &[u8]) {
        let len = self.opening.len().min(chunk.len());
        if !chunk.starts_with(&self.opening.split_to(len)) {
            self.progress
                .begins_otherwise
                .store(true, Ordering::Relaxed);
            self.opening.clear();
        }
    }
}

impl Stream for Feed {
    type Item = Result<Bytes, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let is_begun = self.portion < FEED_BYTES;
        if self.portion == 0 || !is_begun && self.progress.take_news() {
            return self.pause(cx);
        }
        let Poll::Ready(refilled) = self.poll_refill(cx) else {
            self.portion = FEED_BYTES;
            return Poll::Pending;
        };
        match refilled {
            Ok(true) => {}
            Ok(false) if is_begun => return self.pause(cx),
            Ok(false) => {
                self.progress.ended.store(true, Ordering::Relaxed);
                return Poll::Ready(None);
            }
            Err(error) if is_begun => {
                self.failure = Some(error);
                return self.pause(cx);
            }
            Err(error) => return Poll::Ready(Some(Err(error))),
        }
        let len = self.rest.len().min(self.portion);
        let chunk = self.rest.split_to(len);
        self.portion -= len;
        self.compare_opening(&chunk);
        Poll::Ready(Some(self.progress.feed(len).map(|()| chunk)))
    }
}
