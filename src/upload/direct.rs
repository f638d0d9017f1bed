//! A file that its client put into the store by itself: looked at, judged as a streamed one is, and
//! copied from `pending/` to its key. Every step may be taken twice and by two at a time; what is
//! judged is what is copied.
//!
//! A completion runs to its end in a task of its own, so a client that leaves breaks nothing off, and
//! a published copy is never undone: another request may have answered for it already.
//!
//! Only the first bytes are looked at: reading a file of gigabytes back is what the direct way is
//! there to spare.

use std::time::{Duration, Instant};

use chrono::Utc;

use super::{
    Error, Settings, Stored, content_headers, judge,
    media::{Facts, HEAD_BYTES, Media},
    naming::Folder,
};
use crate::{
    body::ReadError,
    store::{self, Found, Kept, ObjectKey, Published, Seen, Session, Stem},
};

/// How often a file that changes under our eyes is looked at.
const MAX_LOOKS: usize = 3;

/// A file that a client was allowed to put into the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its key is this, before and after.
    pub stem: Stem,
    /// The client's name for it, fit for display.
    pub name: String,
}

/// Takes a file from where its client put it to its key in `folder`; when that was done before, says
/// so again. What is not accepted is removed.
///
/// # Errors
/// [`Error::Incomplete`] when there is no file yet; else as for a streamed one.
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
    for _ in 0..MAX_LOOKS {
        let (before, seen) = tokio::join!(
            session.find(folder, &pending.stem),
            session.look(&from, HEAD_BYTES)
        );
        let Some(seen) = seen? else {
            match before? {
                Some(found) => return published_before(pending, found, start),
                // Or another call has published it just now.
                None => break,
            }
        };
        if let Ok(Some(found)) = before {
            // A form may be posted again where the store cannot forbid it.
            session.discard(&from).await;
            return published_before(pending, found, start);
        }
        let media = match accepted(settings, &seen, &pending.name) {
            Ok(media) => media,
            Err(error) => {
                session.discard(&from).await;
                return Err(error);
            }
        };
        let key = ObjectKey::of_file(folder, &pending.stem, &media.extension);
        let content = content_headers(media, &pending.name);
        match session.publish(&from, &seen, &key, content).await? {
            Published::Now => {}
            Published::Before => {
                session.discard(&from).await;
                break;
            }
            // Another file than the one judged stands there now.
            Published::Changed => continue,
        }
        session.discard(&from).await;
        let found = Found {
            key,
            size: seen.size,
            since: Utc::now(),
        };
        return stored(pending, found, media, start.elapsed());
    }
    completed_before(session, folder, pending, start).await
}

/// Judges the file as a streamed one is judged.
fn accepted(settings: &Settings, seen: &Seen, name: &str) -> Result<Media, Error> {
    let limit = settings.max_bytes;
    if seen.size > limit {
        return Err(ReadError::TooLarge { limit }.into());
    }
    let mut watch = judge(settings, &seen.head, name)?;
    let mut edits = Vec::new();
    watch.see(&seen.head, &mut edits)?;
    Ok(watch.decide(&mut edits)?)
}

async fn completed_before(
    session: &Session,
    folder: &Folder,
    pending: Pending,
    start: Instant,
) -> Result<Stored, Error> {
    let found = session.find(folder, &pending.stem).await?;
    published_before(pending, found.ok_or(Error::Incomplete)?, start)
}

fn published_before(pending: Pending, found: Found, start: Instant) -> Result<Stored, Error> {
    let extension = found.key.extension().ok_or(Error::Incomplete)?;
    let media = Media::of_stored(extension);
    stored(pending, found, media, start.elapsed())
}

fn stored(
    Pending { stem, name }: Pending,
    Found { key, size, since }: Found,
    media: Media,
    store_time: Duration,
) -> Result<Stored, Error> {
    // A stem is only made of a time that the calendar knows.
    let created = stem.created().ok_or(Error::Incomplete)?;
    Ok(Stored {
        key,
        media,
        facts: Facts::default(),
        geo: None,
        size,
        name,
        created,
        stored_at: since,
        store_time,
        kept: Kept::for_good(),
    })
}
