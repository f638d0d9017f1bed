//! Completes a direct upload: the pending object is checked like a streamed file and copied from
//! `pending/` to its key. Every step may run twice or concurrently; the bytes checked are the bytes
//! copied.
//!
//! A completion runs to its end in a separate task, so a client that disconnects does not cancel it, and
//! a published copy is never undone: another request may have acknowledged it already.
//!
//! To strip or hash files of up to [`MAX_REREAD_BYTES`], the program reads them once and stores them like
//! streamed uploads, checked as a whole. For larger files it reads a few ranges, and the bucket
//! copies every part that is not overwritten: direct uploads exist to avoid reading gigabytes back.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{Stream, stream};

use super::{
    Error, Settings, Stored, Transfer, content_headers, judge,
    media::{self, Edit, Facts, Geo, HEAD_BYTES, Kind, Kinds, Media, Report, Rules, Strip, Watch},
    naming::Folder,
};
use crate::{
    body::ReadError,
    store::{self, Found, ObjectKey, Published, Seen, Session, Stem},
};

/// Largest file that is read from a bucket as a whole, in bytes.
pub const MAX_REREAD_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes read at a time. A part of at most this size does not count against the memory budget of all
/// uploads.
const PIECE_BYTES: usize = 1024 * 1024;
/// Bytes read after a skipped range: mostly the header of the next structure.
const FIRST_PIECE_BYTES: usize = 64 * 1024;
/// Most reads of a large file, its head included.
const MAX_READS: usize = 10;

/// Most attempts at a file that is replaced during its completion.
const MAX_ATTEMPTS: usize = 3;

/// A file that a client was allowed to upload to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Stem of both the pending and the final key.
    pub stem: Stem,
    /// The client's file name, made safe for display.
    pub name: String,
}

impl Pending {
    /// Returns the time in the stem; every stem made by this program has a valid one.
    fn created(&self) -> Result<DateTime<Utc>, Error> {
        self.stem.created().ok_or(Error::Incomplete)
    }
}

/// Moves a pending file to its key in `folder`; a repeated call returns the earlier result. A refused
/// file is deleted.
///
/// # Errors
/// [`Error::Incomplete`] if there is no file yet; otherwise as for a streamed file.
pub async fn complete(
    settings: Settings,
    session: &Session,
    folder: Folder,
    pending: Pending,
) -> Result<Stored, Error> {
    let own = session.clone();
    let completion = session.spawn(async move { run(&settings, &own, &folder, pending).await });
    completion.await.map_err(|_| store::Error::Interrupted)?
}

async fn run(
    settings: &Settings,
    session: &Session,
    folder: &Folder,
    pending: Pending,
) -> Result<Stored, Error> {
    let start = Instant::now();
    let from = ObjectKey::pending(&pending.stem);
    for _ in 0..MAX_ATTEMPTS {
        let (before, seen) = tokio::join!(
            find(session, folder, &pending),
            session.look(&from, HEAD_BYTES)
        );
        let Some(seen) = seen? else {
            match before? {
                Some(found) => return published_before(session, pending, found, start).await,
                // Another call may have published it in the meantime.
                None => break,
            }
        };
        if let Ok(Some(found)) = before {
            // The form was posted again: not every store can forbid it.
            session.discard(&from).await;
            return published_before(session, pending, found, start).await;
        }
        let attempt = Attempt {
            settings,
            session,
            folder,
            pending: &pending,
            from: &from,
            seen: &seen,
        };
        let taken = attempt.run().await;
        match &taken {
            // The checked file was replaced or deleted.
            Err(Error::Incomplete) => continue,
            Err(Error::Store(_)) => {}
            Ok(_) | Err(_) => session.discard(&from).await,
        }
        let Some(stored) = taken? else {
            // Another call published it first.
            break;
        };
        return Ok(Stored {
            stored_at: Utc::now(),
            store_time: start.elapsed(),
            ..stored
        });
    }
    let found = find(session, folder, &pending).await?;
    published_before(session, pending, found.ok_or(Error::Incomplete)?, start).await
}

/// One attempt to move a file to its key.
struct Attempt<'t> {
    settings: &'t Settings,
    session: &'t Session,
    folder: &'t Folder,
    pending: &'t Pending,
    from: &'t ObjectKey,
    seen: &'t Seen,
}

impl Attempt<'_> {
    /// Returns `None` if the file was already published, [`Error::Incomplete`] if it was replaced since it
    /// was seen.
    async fn run(&self) -> Result<Option<Stored>, Error> {
        let limit = self.settings.max_bytes;
        if self.seen.size > limit {
            return Err(ReadError::TooLarge { limit }.into());
        }
        let watch = judge(self.settings, &self.seen.head, &self.pending.name)?;
        if self.passes_through() {
            return self.store_again(watch).await;
        }
        let is_image = watch.media().is_some_and(|it| it.kind == Kind::Image);
        if !is_image || self.settings.strip == Strip::Off {
            return self.copy(watch, None).await;
        }
        // Only a complete read finds all metadata of an image.
        let unstripped = Settings {
            strip: Strip::Off,
            ..*self.settings
        };
        let watch = judge(&unstripped, &self.seen.head, &self.pending.name)?;
        self.copy(watch, Some(Geo::Kept)).await
    }

    fn passes_through(&self) -> bool {
        let is_wanted = self.settings.strip != Strip::Off || self.settings.sha256;
        is_wanted && (self.seen.size <= MAX_REREAD_BYTES || self.session.is_near())
    }

    fn key(&self, media: Media) -> ObjectKey {
        ObjectKey::for_file(self.folder, &self.pending.stem, &media.extension)
    }

    /// Reads the file and stores it like a streamed upload.
    async fn store_again(&self, watch: Watch) -> Result<Option<Stored>, Error> {
        let writer = self.session.publisher(self.seen.size);
        let key = |media| self.key(media);
        let (name, created) = (&self.pending.name, self.pending.created()?);
        let transfer = Transfer::new(self.settings, name, created, key, writer);
        let rest = pin!(self.rest());
        let put = async {
            let (stored, kept) = transfer.run(watch, self.seen.head.clone(), rest).await?;
            self.session.keep(vec![kept]).await?;
            Ok(stored)
        };
        match put.await {
            Err(Error::Store(error)) if error.is_taken() => Ok(None),
            // S3's answer to a concurrent completion.
            Err(Error::Store(store::Error::Refused { status: 409, .. })) => Err(Error::Incomplete),
            put => put.map(Some),
        }
    }

    /// The file after its head.
    fn rest(&self) -> impl Stream<Item = Result<Bytes, Error>> {
        let start = self.seen.head.len() as u64;
        stream::try_unfold(start, async move |at| {
            if at >= self.seen.size {
                return Ok(None);
            }
            let piece = self.read(at, PIECE_BYTES).await?;
            let next = at + piece.len() as u64;
            Ok(Some((piece, next)))
        })
    }

    async fn read(&self, at: u64, bytes: usize) -> Result<Bytes, Error> {
        let read = self.session.read(self.from, self.seen, at, bytes).await?;
        read.ok_or(Error::Incomplete)
    }

    /// Has the store copy the file, with the edits found in a few ranges.
    async fn copy(&self, watch: Watch, geo: Option<Geo>) -> Result<Option<Stored>, Error> {
        let mut edits = Vec::new();
        let (media, mut report) =
            walk_ranges(self.session, self.from, self.seen, watch, &mut edits).await?;
        report.geo = geo.unwrap_or(report.geo);
        self.settings.admit(media.kind, report.geo)?;
        let key = self.key(media);
        let content = content_headers(media, &self.pending.name);
        let (from, seen) = (self.from, self.seen);
        let published = self.session.publish(from, seen, &key, content, &edits);
        match published.await? {
            Published::Now => Ok(Some(Stored {
                key,
                media,
                facts: report.facts,
                geo: self.settings.is_searched(media.kind).then_some(report.geo),
                size: self.seen.size,
                name: self.pending.name.clone(),
                created: self.pending.created()?,
                stored_at: Utc::now(),
                store_time: Duration::ZERO,
                sha256: None,
            })),
            Published::Before => Ok(None),
            Published::Changed => Err(Error::Incomplete),
        }
    }
}

/// Walks through a file by a few range reads, skipping the bytes that the walk does not need.
async fn walk_ranges(
    session: &Session,
    key: &ObjectKey,
    seen: &Seen,
    mut watch: Watch,
    edits: &mut Vec<Edit>,
) -> Result<(Media, Report), Error> {
    watch.see(&seen.head, edits)?;
    let mut at = seen.head.len() as u64;
    for _ in 1..MAX_READS {
        let Some(skipped) = watch.skips() else {
            break;
        };
        let skipped = skipped.min(seen.size.saturating_sub(at));
        watch.leave_out(skipped, edits);
        at += skipped;
        if at >= seen.size {
            return Ok(watch.end(edits)?);
        }
        let bytes = match skipped {
            0 => PIECE_BYTES,
            _ => FIRST_PIECE_BYTES,
        };
        let piece = session.read(key, seen, at, bytes).await?;
        let piece = piece.ok_or(Error::Incomplete)?;
        watch.see(&piece, edits)?;
        at += piece.len() as u64;
    }
    Ok(watch.end_early(edits)?)
}

/// Finds the object of an earlier completion.
async fn find(
    session: &Session,
    folder: &Folder,
    pending: &Pending,
) -> Result<Option<Found>, store::Error> {
    let extensions = media::possible_extensions(&pending.name);
    session
        .find(folder, &pending.stem, extensions.iter().map(|it| &**it))
        .await
}

async fn published_before(
    session: &Session,
    pending: Pending,
    found: Found,
    start: Instant,
) -> Result<Stored, Error> {
    let extension = found.key.extension().ok_or(Error::Incomplete)?;
    Ok(Stored {
        media: Media::from_extension(extension),
        facts: facts_of_stored(session, &found.key).await,
        key: found.key,
        geo: None,
        size: found.size,
        created: pending.created()?,
        name: pending.name,
        stored_at: found.since,
        store_time: start.elapsed(),
        sha256: None,
    })
}

/// Reads the facts of a stored object from a few ranges; returns none if that fails.
async fn facts_of_stored(session: &Session, key: &ObjectKey) -> Facts {
    const RULES: Rules = Rules {
        kinds: Kinds::ALL,
        strip: Strip::Off,
    };
    let looked = async {
        let seen = session.look(key, HEAD_BYTES).await?;
        let seen = seen.ok_or(Error::Incomplete)?;
        let watch = media::judge(&seen.head, key.as_str(), RULES)?;
        walk_ranges(session, key, &seen, watch, &mut Vec::new()).await
    };
    match looked.await {
        Ok((_, report)) => report.facts,
        Err(error) => {
            tracing::debug!(%key, error = &error as &dyn std::error::Error, "could not read a stored file's facts");
            Facts::default()
        }
    }
}
