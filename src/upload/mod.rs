//! What an upload is: the bytes decide its type, the clock and chance its name, and a request's
//! files are stored all or none. No HTTP and no environment here.

pub mod direct;
pub mod media;
pub mod naming;

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, FixedOffset, Utc};
use futures_util::TryStreamExt as _;
use uuid::Uuid;

use self::{
    media::{Facts, Kind, Kinds, Media, Refused, Strip, Verdict, Watch},
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
    /// What it holds.
    pub content: ByteStream<'a>,
}

/// A file that is stored; dropping it removes it from the store again.
#[derive(Debug)]
pub struct Stored {
    /// Where it is.
    pub key: ObjectKey,
    /// What it is.
    pub media: Media,
    /// What a viewer wants to know of it; of a file that did not pass through here, nothing.
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
        /// What the bytes look like.
        looks_like: &'static str,
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
    let (media, mut watch) = judge(settings, &head, &name)?;

    let created = Utc::now();
    let stem = naming::stem(created, settings.utc_offset, Uuid::new_v4());
    let key = ObjectKey::of_file(folder, &stem, media.extension);
    let mut writer = Timed::new(session.create(key.clone(), content_headers(media)));
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
        writer.write(chunk).await?;
        next = file.content.try_next().await?;
    }
    let facts = watch.end(&mut edits)?.facts;
    // Some containers show only at their end that they hold no picture.
    accept(settings, media, facts.kind.unwrap_or(media.kind))?;
    let (kept, store_time) = writer.finish().await?;
    Ok(Stored {
        key,
        media,
        facts,
        size,
        name,
        created,
        stored_at: Utc::now(),
        store_time,
        kept,
    })
}

/// What a file is by its first bytes, if it is of an accepted kind.
fn judge(settings: &Settings, head: &[u8], name: &str) -> Result<(Media, Watch), Error> {
    if head.is_empty() {
        return Err(Error::Empty);
    }
    let (media, watch) = match media::judge(head, name, Strip::Off)? {
        Verdict::Is(media, watch) => (media, watch),
        Verdict::Later(undecided) => undecided.by_name(),
    };
    accept(settings, media, media.kind)?;
    Ok((media, watch))
}

fn accept(settings: &Settings, media: Media, kind: Kind) -> Result<(), Error> {
    if settings.kinds.contains(kind) {
        Ok(())
    } else {
        Err(Error::Type {
            looks_like: media.extension,
        })
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

/// Documents are for saving: shown from the bucket's address they could run as its pages.
fn content_headers(media: Media) -> ContentHeaders {
    ContentHeaders {
        mime: media.mime,
        attachment: media.kind == Kind::Document,
    }
}

/// A writer that knows how long its store took.
struct Timed {
    writer: store::Writer,
    spent: Duration,
}

impl Timed {
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
