//! The rules of an upload: the bytes decide its type, the clock and chance its name, and a request's
//! files are stored all or none. No HTTP and no environment here.

pub mod direct;
pub mod media;
pub mod naming;

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use axum::http::HeaderValue;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, FixedOffset, Utc};
use futures_util::TryStreamExt as _;
use uuid::Uuid;

use self::{
    media::{Edit, Facts, Kind, Kinds, Media, Refused, Rules, Strip, Watch},
    naming::Folder,
};
use crate::{
    body::{ByteStream, ReadError},
    store::{self, ContentHeaders, Kept, ObjectKey, Session},
};

/// The rules for every file.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `UPLOAD_MAX_BYTES`: largest file, in bytes.
    pub max_bytes: u64,
    /// `UPLOAD_TYPES`: the kinds accepted.
    pub kinds: Kinds,
    /// `UPLOAD_UTC_OFFSET`: time zone of the date in a key.
    pub utc_offset: FixedOffset,
}

/// One file of a request, not yet read.
pub struct File<'a> {
    /// As the client called it; never trusted.
    pub name: String,
    /// Its content.
    pub content: ByteStream<'a>,
}

/// A file that is stored; dropping it removes it from the store again.
#[derive(Debug)]
pub struct Stored {
    /// Where it is.
    pub key: ObjectKey,
    /// Its type.
    pub media: Media,
    /// Size in pixels, duration and kind; empty for a file that did not pass through here.
    pub facts: Facts,
    /// Its size in bytes.
    pub size: u64,
    /// The client's name for it, fit for display.
    pub name: String,
    /// When it came.
    pub created: DateTime<Utc>,
    /// Since when it is in its place.
    pub stored_at: DateTime<Utc>,
    /// How long the store took, in all.
    pub store_time: Duration,
    kept: Kept,
}

impl Stored {
    /// The request succeeded: the file stays.
    pub fn keep(self) -> ObjectKey {
        self.kept.keep();
        self.key
    }
}

/// Why a file was not stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Zero bytes.
    #[error("the file is empty")]
    Empty,
    /// The bytes are of no type that is accepted here.
    #[error("the file is of a type that is not accepted: {looks_like}")]
    Type {
        /// Name of the format that the bytes look like.
        looks_like: Cow<'static, str>,
    },
    /// The request could not be read to its end.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The client has not put the file into the store yet.
    #[error("the file is not in the store yet")]
    Incomplete,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Type {
            looks_like: refused.looks_like,
        }
    }
}

/// Reads `file` to its end and stores it under a new key in `folder`. On failure nothing of it
/// remains once the session has settled.
///
/// # Errors
/// See [`Error`].
pub async fn receive(
    settings: &Settings,
    session: &Session,
    folder: &Folder,
    mut file: File<'_>,
) -> Result<Stored, Error> {
    let head = read_head(&mut file.content).await?;
    let name = naming::display_name(&file.name);
    let mut watch = judge(settings, &head, &name)?;

    let created = Utc::now();
    let stem = naming::stem(created, settings.utc_offset, Uuid::new_v4());
    let key = |media: Media| ObjectKey::of_file(folder, &stem, &media.extension);
    let mut writer = Timed::new(session.writer());
    let mut is_started = false;
    let mut size = 0;
    let mut edits = Vec::new();
    let mut next = Some(head);
    while let Some(chunk) = next {
        watch.see(&chunk, &mut edits)?;
        size += chunk.len() as u64;
        if size > settings.max_bytes {
            let limit = settings.max_bytes;
            return Err(ReadError::TooLarge { limit }.into());
        }
        if !is_started
            && let Some(media) = known(&mut watch, &writer.writer, chunk.len(), &mut edits)?
        {
            writer.start(key(media), content_headers(media, &name));
            is_started = true;
        }
        writer.write(chunk).await?;
        next = file.content.try_next().await?;
    }
    let (media, report) = watch.end(&mut edits)?;
    let key = key(media);
    if !is_started {
        writer.start(key.clone(), content_headers(media, &name));
    }
    let (kept, store_time) = writer.finish().await?;
    Ok(Stored {
        key,
        media,
        facts: report.facts,
        size,
        name,
        created,
        stored_at: Utc::now(),
        store_time,
        kept,
    })
}

/// Judges a file by its first bytes.
fn judge(settings: &Settings, head: &[u8], name: &str) -> Result<Watch, Error> {
    if head.is_empty() {
        return Err(Error::Empty);
    }
    let rules = Rules {
        kinds: settings.kinds,
        strip: Strip::Off,
    };
    Ok(media::judge(head, name, rules)?)
}

/// The type of a file whose next chunk has so many bytes; `None` while it can be held until more of it
/// tells.
fn known(
    watch: &mut Watch,
    writer: &store::Writer,
    chunk_bytes: usize,
    edits: &mut Vec<Edit>,
) -> Result<Option<Media>, Refused> {
    match watch.media() {
        None if !writer.can_hold(chunk_bytes) => watch.decide(edits).map(Some),
        media => Ok(media),
    }
}

/// The first bytes, as many as judging the type takes; fewer only when the file is shorter.
async fn read_head(content: &mut ByteStream<'_>) -> Result<Bytes, ReadError> {
    let Some(first) = content.try_next().await? else {
        return Ok(Bytes::new());
    };
    if first.len() >= media::HEAD_BYTES {
        return Ok(first);
    }
    let mut head = BytesMut::from(first);
    while head.len() < media::HEAD_BYTES {
        let Some(chunk) = content.try_next().await? else {
            break;
        };
        head.extend_from_slice(&chunk);
    }
    Ok(head.freeze())
}

/// Documents are for saving, under the client's name for them: shown from the bucket's address they
/// could run as its pages.
fn content_headers(media: Media, name: &str) -> ContentHeaders {
    let is_for_saving = matches!(media.kind, Kind::Document | Kind::File);
    ContentHeaders {
        content_type: HeaderValue::from_static(media.mime),
        disposition: is_for_saving.then(|| naming::attachment(name)),
    }
}

/// A writer that knows how long its store took.
struct Timed {
    writer: store::Writer,
    spent: Duration,
}

impl Timed {
    fn start(&mut self, key: ObjectKey, content: ContentHeaders) {
        self.writer.start(key, content);
    }

    fn new(writer: store::Writer) -> Self {
        Self {
            writer,
            spent: Duration::ZERO,
        }
    }

    async fn write(&mut self, chunk: Bytes) -> Result<(), store::Error> {
        let start = Instant::now();
        let written = self.writer.write(chunk).await;
        self.spent += start.elapsed();
        written
    }

    async fn finish(self) -> Result<(Kept, Duration), store::Error> {
        let start = Instant::now();
        let kept = self.writer.finish().await?;
        Ok((kept, self.spent + start.elapsed()))
    }
}
