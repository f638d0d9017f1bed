//! `api::form`: however a body is cut into chunks, the result is the same, within its limits, and reading
//! ends.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header::CONTENT_TYPE},
};
use bytes::Bytes;
use chat_upload::{
    api::form::{Form, Limits, Part},
    body::ReadError,
};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::runtime::{Builder, Runtime};

use super::chopped::{Chopped, gently};

/// Largest text field, in bytes; a copy of the constant in `src/api/form/mod.rs`.
pub(crate) const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Most parts; likewise.
pub(crate) const MAX_PARTS: usize = 100;
/// Largest file here: far above the limit of text fields, so that a text reaches its own limit first.
pub(crate) const MAX_FILE_BYTES: usize = 200_000;
/// Longest headers, with the rest of the boundary line before them; for the first part they include
/// the preamble.
pub(crate) const MAX_UNPARSED: usize = 128 * 1024;

pub(crate) const LIMITS: Limits = Limits {
    max_file_bytes: MAX_FILE_BYTES as u64,
    max_files: 9,
    idle: Duration::from_secs(60),
    until: None,
};

/// Checks an input of a Content-Type, chunk sizes and a body.
pub(crate) fn check(input: &[u8]) {
    let input = Chopped::new(input);
    let Ok(content_type) = HeaderValue::from_bytes(input.line) else {
        return;
    };
    let first = read(&content_type, stream::iter(input.whole()));
    if let Ok(reading) = &first {
        assert!(reading.parts.len() <= MAX_PARTS, "too many parts");
    }
    let others = [
        read(&content_type, stream::iter(input.as_asked())),
        read(&content_type, gently(input.as_asked())),
        read(&content_type, gently(input.minced())),
    ];
    for other in others {
        match (&first, &other) {
            (Ok(first), Ok(other)) => first.assert_same(other),
            _ => assert_eq!(first.is_err(), other.is_err()),
        }
    }
}

/// A part that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) is_file: bool,
    pub(crate) field: String,
    /// Of a file.
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
}

/// The outcome of a form.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) parts: Vec<Read>,
    /// Content of the file in which reading failed; empty otherwise.
    begun: Vec<u8>,
    pub(crate) end: Result<(), ReadError>,
}

impl Reading {
    fn assert_same(&self, other: &Self) {
        let ends = (format!("{:?}", self.end), format!("{:?}", other.end));
        assert_eq!(self.parts, other.parts, "{ends:?}");
        assert_eq!(ends.0, ends.1);
        // The length of a broken file may depend on the chunks, its bytes may not.
        let both = self.begun.len().min(other.begun.len());
        assert_eq!(self.begun[..both], other.begun[..both]);
    }

    pub(crate) fn found_too_long(&self) -> bool {
        matches!(&self.end, Err(ReadError::Malformed(why)) if why.rule.ends_with("are too long"))
    }
}

/// Reads a form to its end; `Err` if it could not be opened.
pub(crate) fn read(
    content_type: &HeaderValue,
    chunks: impl Stream<Item = Bytes> + Send + 'static,
) -> Result<Reading, ()> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, content_type.clone());
    let body = Body::from_stream(chunks.map(Ok::<_, Infallible>));
    run(async {
        let form = Form::open(&headers, body, LIMITS).map_err(drop)?;
        Ok(read_parts(form).await)
    })
}

async fn read_parts(mut form: Form) -> Reading {
    let (mut parts, mut begun) = (Vec::new(), Vec::new());
    let end = loop {
        let part = match form.next().await {
            Ok(Some(part)) => part,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        match part {
            Part::Text { name, value } => {
                assert!(value.len() <= MAX_TEXT_BYTES, "a text over its limit");
                parts.push(Read {
                    is_file: false,
                    field: name,
                    name: String::new(),
                    content: value,
                });
            }
            Part::File(file) => {
                if let Err(error) = read_content(file.content, &mut begun).await {
                    break Err(error);
                }
                parts.push(Read {
                    is_file: true,
                    field: file.field,
                    name: file.name,
                    content: std::mem::take(&mut begun),
                });
            }
        }
    };
    if end.is_ok() {
        let again = form.next().await;
        assert!(matches!(again, Ok(None)), "something after the end");
    }
    Reading { parts, begun, end }
}

async fn read_content(
    mut chunks: impl Stream<Item = Result<Bytes, ReadError>> + Unpin,
    content: &mut Vec<u8>,
) -> Result<(), ReadError> {
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        assert!(!chunk.is_empty(), "an empty chunk");
        content.extend_from_slice(&chunk);
        assert!(content.len() <= MAX_FILE_BYTES, "a file over its limit");
    }
    Ok(())
}

/// Runs `work`. Everything it waits for is ready, so it must wake itself whenever it waits.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    thread_local! {
        // For the timers, which never fire: nothing drives them.
        static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("one");
    }
    RUNTIME.with(|runtime| {
        let _entered = runtime.enter();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut work = pin!(work);
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
                return done;
            }
            assert!(woken.0.swap(false, Ordering::Relaxed), "waits for nothing");
        }
    })
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
