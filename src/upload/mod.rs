//! The rules of an upload: the type follows from the bytes, the name from time and random bits, metadata
//! is overwritten as configured, and the files of a request are stored all or none. HTTP and environment
//! variables are handled elsewhere.

pub mod direct;
pub mod media;
pub mod naming;

use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, FixedOffset, Utc};
use futures_util::{Stream, TryStreamExt as _};
use uuid::Uuid;

use self::{
    media::{Edit, Facts, Geo, Kind, Kinds, Media, Refused, Rules, Strip, Watch},
    naming::Folder,
};
use crate::{
    body::{ByteStream, ReadError, edited},
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
    /// `UPLOAD_STRIP`: which metadata is overwritten.
    pub strip: Strip,
    /// `UPLOAD_STRIP_STRICT`: whether a file that may keep a location is refused.
    pub is_strict: bool,
    /// `UPLOAD_SHA256`: whether the answer includes the SHA-256 of a file.
    pub sha256: bool,
}

/// One file of a request, not yet read.
pub struct File<'a> {
    /// File name from the client; untrusted.
    pub name: String,
    /// Upper bound of its size in bytes, from the client's headers.
    pub at_most: u64,
    /// The content.
    pub content: ByteStream<'a>,
}

/// A stored file.
#[derive(Debug)]
pub struct Stored {
    /// Key of the object.
    pub key: ObjectKey,
    /// Kind, Content-Type and extension.
    pub media: Media,
    /// Dimensions, duration and kind; empty if the program did not read the file.
    pub facts: Facts,
    /// Whether it contains a location; `None` if it was not searched for one.
    pub geo: Option<Geo>,
    /// Size in bytes.
    pub size: u64,
    /// The client's file name, made safe for display.
    pub name: String,
    /// When the upload began.
    pub created: DateTime<Utc>,
    /// When it was stored under its key.
    pub stored_at: DateTime<Utc>,
    /// Total time spent in the store.
    pub store_time: Duration,
    /// SHA-256 of the stored bytes in lower-case hex, if computed.
    pub sha256: Option<String>,
}

/// Why a file was not stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// The type of the file is not accepted.
    #[error("the file is of a type that is not accepted: {}", .0.looks_like)]
    Type(Refused),
    /// The file may contain a location that cannot be overwritten.
    #[error("the file may contain a location that cannot be overwritten")]
    LocationKept,
    /// The request could not be read to its end.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store failed or refused the file.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The client has not uploaded the file to the store yet.
    #[error("the file is not in the store yet")]
    Incomplete,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Type(refused)
    }
}

/// Reads `file` to its end and stores it under a new key in `folder`. After a failure, or if it is not
/// kept, nothing of it remains once the session has settled.
///
/// # Errors
/// See [`Error`].
pub async fn receive(
    settings: &Settings,
    session: &Session,
    folder: &Folder,
    mut file: File<'_>,
) -> Result<(Stored, Kept), Error> {
    let head = read_head(&mut file.content).await?;
    let name = naming::display_name(&file.name);
    let watch = judge(settings, &head, &name)?;

    let created = Utc::now();
    let stem = naming::stem(created, settings.utc_offset, Uuid::new_v4());
    let key = |media: Media| ObjectKey::for_file(folder, &stem, &media.extension);
    let writer = session.writer(file.at_most);
    let transfer = Transfer::new(settings, &name, created, key, writer);
    transfer.run(watch, head, file.content).await
}

/// The transfer of one file into the store: the type is checked and edits are applied as chunks arrive.
struct Transfer<'p, K> {
    settings: &'p Settings,
    name: &'p str,
    created: DateTime<Utc>,
    /// Makes the key, once the type is known.
    key: K,
    writer: store::Writer,
    is_started: bool,
    size: u64,
    /// Time spent in the store so far.
    store_time: Duration,
}

impl<'p, K: Fn(Media) -> ObjectKey> Transfer<'p, K> {
    fn new(
        settings: &'p Settings,
        name: &'p str,
        created: DateTime<Utc>,
        key: K,
        mut writer: store::Writer,
    ) -> Self {
        if settings.sha256 {
            writer.hash();
        }
        Self {
            settings,
            name,
            created,
            key,
            writer,
            is_started: false,
            size: 0,
            store_time: Duration::ZERO,
        }
    }

    /// Stores the whole file: `head`, then `rest`.
    async fn run<E>(
        mut self,
        mut watch: Watch,
        head: Bytes,
        mut rest: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<(Stored, Kept), Error>
    where
        Error: From<E>,
    {
        let mut edits = Vec::new();
        let mut is_edited = true;
        let mut next = Some(head);
        while let Some(chunk) = next {
            watch.see(&chunk, &mut edits)?;
            let limit = self.settings.max_bytes;
            if self.size + chunk.len() as u64 > limit {
                return Err(ReadError::TooLarge { limit }.into());
            }
            // The writer holds chunks, while it has room, until the type is known.
            let media = match watch.media() {
                None if !self.writer.can_hold(chunk.len()) => Some(watch.decide(&mut edits)?),
                media => media,
            };
            is_edited &= self.edit_written(&edits);
            if let Some(media) = media.filter(|_| !self.is_started) {
                self.settings.admit(media.kind, Geo::None)?;
                self.start(media);
            }
            let chunk = edited(chunk, self.size, &edits);
            edits.clear();
            self.size += chunk.len() as u64;
            let start = Instant::now();
            self.writer.write(chunk).await?;
            self.store_time += start.elapsed();
            next = tokio::select! {
                biased;
                chunk = rest.try_next() => chunk?,
                () = self.writer.wanted_back() => {
                    let idle = store::Writer::IDLE_GRACE;
                    return Err(ReadError::TooSlow { idle }.into());
                }
            };
        }
        let (media, mut report) = watch.end(&mut edits)?;
        is_edited &= self.edit_written(&edits);
        if !is_edited {
            report.geo = Geo::Kept;
        }
        self.settings.admit(media.kind, report.geo)?;
        if !self.is_started {
            self.start(media);
        }
        let start = Instant::now();
        let kept = self.writer.finish().await?;
        let store_time = self.store_time + start.elapsed();
        let stored = Stored {
            key: (self.key)(media),
            media,
            facts: report.facts,
            geo: self.settings.is_searched(media.kind).then_some(report.geo),
            size: self.size,
            name: self.name.to_owned(),
            created: self.created,
            stored_at: Utc::now(),
            store_time,
            sha256: kept.sha256().map(str::to_owned),
        };
        Ok((stored, kept))
    }

    fn start(&mut self, media: Media) {
        let key = (self.key)(media);
        let content = content_headers(media, self.name);
        self.writer.start(key, content);
        self.is_started = true;
    }

    /// Overwrites bytes already written; returns `false` if some can no longer be edited.
    fn edit_written(&mut self, edits: &[Edit]) -> bool {
        let mut all = true;
        for edit in edits.iter().filter(|edit| edit.at < self.size) {
            all &= self.writer.edit(edit.clone());
        }
        all
    }
}

impl Settings {
    /// Returns whether files of this kind are searched for a location.
    fn is_searched(&self, kind: Kind) -> bool {
        self.strip != Strip::Off && matches!(kind, Kind::Image | Kind::Video | Kind::Audio)
    }

    /// In strict mode, refuses a file that may contain a location.
    fn admit(&self, kind: Kind, geo: Geo) -> Result<(), Error> {
        let may_have_location = match kind {
            Kind::File => true,
            kind => self.is_searched(kind) && geo == Geo::Kept,
        };
        if self.is_strict && may_have_location {
            Err(Error::LocationKept)
        } else {
            Ok(())
        }
    }
}

/// Detects the type of a file by its first bytes.
fn judge(settings: &Settings, head: &[u8], name: &str) -> Result<Watch, Error> {
    if head.is_empty() {
        return Err(Error::Empty);
    }
    let rules = Rules {
        kinds: settings.kinds,
        strip: settings.strip,
    };
    Ok(media::judge(head, name, rules)?)
}

/// Reads at least [`media::HEAD_BYTES`] bytes, or the whole file if it is shorter.
async fn read_head(content: &mut ByteStream<'_>) -> Result<Bytes, ReadError> {
    let Some(first) = content.try_next().await? else {
        return Ok(Bytes::new());
    };
    if first.len() >= media::HEAD_BYTES {
        return Ok(first);
    }
    let mut head = BytesMut::from(first);
    while head.len() < media::HEAD_BYTES
        && let Some(chunk) = content.try_next().await?
    {
        head.extend_from_slice(&chunk);
    }
    Ok(head.freeze())
}

/// Returns the headers to store a file with. Documents are attachments, saved under the client's file name:
/// displayed inline, they could run as pages of the bucket's origin.
fn content_headers(media: Media, name: &str) -> ContentHeaders {
    let is_attachment = matches!(media.kind, Kind::Document | Kind::File);
    ContentHeaders {
        content_type: HeaderValue::from_static(media.mime),
        disposition: is_attachment.then(|| naming::attachment(name)),
    }
}
