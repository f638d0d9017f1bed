//! Stores: a folder or a bucket. An object is stored whole or not at all: dropping a [`Writer`] or a
//! [`Kept`] undoes it, until [`Session::keep`] keeps the objects of a request.
//!
//! Undoing may need the network, so it runs in a task of its own; [`Session::settle`] waits for the
//! tasks of one request (a cloud freezes the process after the answer), [`Store::settle`] for all
//! (the process is about to end).

pub mod bucket;
mod chunks;
mod credentials;
pub mod disk;
mod key;
#[cfg(test)]
mod test_server;

use std::{io, time::Duration};

use axum::http::HeaderValue;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use tokio::{sync::oneshot, time::Instant};
use tokio_util::task::TaskTracker;

pub use self::{
    bucket::{
        ClientMultipart, ListedPart, PostConditions, PresignedPost, Read, ReadSigner, SignedRead,
    },
    credentials::{Authorization, ContainerEndpoint, Credentials, CredentialsProvider},
    key::{Folder, InvalidKey, ObjectKey, Stem},
};

use crate::body::Edit;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A folder or a bucket.
#[derive(Clone, Debug)]
pub enum Settings {
    /// `disk:<folder>`
    Disk(disk::Settings),
    /// `s3://<bucket>` or `oss://<bucket>`
    Bucket(Box<bucket::Settings>),
}

/// Why an object could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket answered 4xx, or that it is elsewhere.
    #[error("{operation} was refused: {status} {code}, request id {request_id:?}")]
    Refused {
        /// S3 operation.
        operation: &'static str,
        /// HTTP status of the bucket's answer.
        status: u16,
        /// The vendor's error code.
        code: String,
        /// The vendor's request id; both clouds ask for it in a support case.
        request_id: String,
        /// Error of the SDK.
        source: BoxError,
    },
    /// The bucket answered 5xx, or could not be reached, after retries.
    #[error("{operation} failed: {detail}")]
    Unavailable {
        /// S3 operation.
        operation: &'static str,
        /// Status, code and request id where there was an answer.
        detail: String,
        /// Error of the SDK.
        source: BoxError,
    },
    /// The time for the operation or for the whole request ran out.
    #[error("{operation} took too long")]
    TimedOut {
        /// S3 operation.
        operation: &'static str,
    },
    /// Neither the request nor the environment brought credentials.
    #[error("no credentials: the function has no role and the environment holds none")]
    NoCredentials,
    /// The folder could not be written.
    #[error("cannot {action}")]
    Disk {
        /// Operation that failed, as in "cannot …".
        action: &'static str,
        /// Error of the system.
        source: io::Error,
    },
    /// Nobody wants the object any more, or the task that stored it ended without a result.
    #[error("storing was interrupted")]
    Interrupted,
}

impl Error {
    fn unavailable(operation: &'static str, detail: impl Into<String>, source: BoxError) -> Self {
        Self::Unavailable {
            operation,
            detail: detail.into(),
            source,
        }
    }

    /// Whether there is an object under the key already.
    pub fn is_taken(&self) -> bool {
        match self {
            Self::Disk { source, .. } => source.kind() == io::ErrorKind::AlreadyExists,
            error => error.is_already_there(),
        }
    }
}

/// Headers that are kept beside the bytes and sent with them to readers of the object.
#[derive(Clone, Debug)]
pub struct ContentHeaders {
    /// `Content-Type`
    pub content_type: HeaderValue,
    /// `Content-Disposition`, where the object is for saving, not for showing.
    pub disposition: Option<HeaderValue>,
}

impl ContentHeaders {
    /// Headers of a file that has not been checked yet.
    pub const UNKNOWN: Self = Self {
        content_type: HeaderValue::from_static("application/octet-stream"),
        disposition: Some(HeaderValue::from_static("attachment")),
    };
}

/// When a request's work with the store must be done.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimit {
    /// Storing stops here.
    pub store_until: Instant,
    /// Undoing is waited for until here; what is left is for the answer.
    pub undo_until: Instant,
}

impl TimeLimit {
    /// Most that is kept back for undoing and answering.
    const MAX_RESERVE: Duration = Duration::from_secs(2);

    /// Divides the time until the request ends: a quarter, at most 2 s, stays for undoing and
    /// answering.
    pub fn before(end: Instant) -> Self {
        let left = end.saturating_duration_since(Instant::now());
        let reserve = (left / 4).min(Self::MAX_RESERVE);
        Self {
            store_until: end - reserve,
            undo_until: end - reserve / 4,
        }
    }
}

/// A place for objects; cheap to clone.
#[derive(Clone, Debug)]
pub enum Store {
    /// A folder of this machine, or one mounted into it.
    Disk(disk::Disk),
    /// A bucket of S3, OSS or anything that speaks S3.
    Bucket(bucket::Bucket),
}

impl Store {
    /// Prepares the store. A folder is made when it is missing and cleaned of what a crash left; a
    /// bucket is not called.
    ///
    /// # Errors
    /// [`Error::Disk`] when the folder cannot be made.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        match settings {
            Settings::Disk(settings) => disk::Disk::open(settings).map(Self::Disk),
            Settings::Bucket(settings) => bucket::Bucket::new(*settings).map(Self::Bucket),
        }
    }

    /// `disk`, `s3` or `oss`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Disk(_) => "disk",
            Self::Bucket(bucket) => bucket.dialect().name(),
        }
    }

    /// One request's dealings with the store, signed with the request's own credentials if it
    /// brought some.
    ///
    /// # Errors
    /// [`Error::NoCredentials`]
    pub fn session(
        &self,
        credentials: Option<Credentials>,
        limit: Option<TimeLimit>,
    ) -> Result<Session, Error> {
        let tasks = Tasks {
            all: self.tasks().clone(),
            own: TaskTracker::new(),
        };
        let place = match self {
            Self::Disk(disk) => Place::Disk(disk.clone()),
            Self::Bucket(bucket) => Place::Bucket(bucket.session(credentials, limit)?),
        };
        Ok(Session {
            place,
            tasks,
            limit,
        })
    }

    /// Connects to the bucket while nobody waits for it yet, so that the first request need not
    /// shake hands. Whether that works does not matter.
    pub fn warm(&self) {
        if let Self::Bucket(bucket) = self {
            bucket.warm();
        }
    }

    /// Waits until nothing of any session is under way.
    pub async fn settle(&self) {
        self.tasks().close();
        self.tasks().wait().await;
    }

    fn tasks(&self) -> &TaskTracker {
        match self {
            Self::Disk(disk) => disk.tasks(),
            Self::Bucket(bucket) => bucket.tasks(),
        }
    }
}

/// One request's dealings with a [`Store`]; a clone is of the same request.
#[derive(Clone, Debug)]
pub struct Session {
    place: Place,
    tasks: Tasks,
    limit: Option<TimeLimit>,
}

#[derive(Clone, Debug)]
enum Place {
    Disk(disk::Disk),
    Bucket(bucket::Session),
}

impl Session {
    /// Begins an object of at most so many bytes, which gets its key by [`Writer::start`].
    pub fn writer(&self, at_most: u64) -> Writer {
        self.begin(at_most, Undo::WhenDropped)
    }

    /// Begins an object that several requests may store under one key, each of them the same: it is never
    /// undone once stored, since another request may have acknowledged it.
    pub fn publisher(&self, at_most: u64) -> Writer {
        self.begin(at_most, Undo::Never)
    }

    fn begin(&self, at_most: u64, undo: Undo) -> Writer {
        let tasks = self.tasks.clone();
        match &self.place {
            Place::Disk(disk) => Writer::Disk(disk.writer(tasks, undo)),
            Place::Bucket(bucket) => Writer::Bucket(bucket.writer(at_most, tasks, undo)),
        }
    }

    /// Begins an object. Nothing is stored before the first [`Writer::write`].
    pub fn create(&self, key: ObjectKey, content: ContentHeaders) -> Writer {
        let mut writer = self.writer(u64::MAX);
        writer.start(key, content);
        writer
    }

    /// Runs `work` to its end, also when nobody waits for its result any more.
    pub fn spawn<F>(&self, work: F) -> oneshot::Receiver<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tasks.spawn(work)
    }

    /// Looks at what a client put under `key`: its size, and its first bytes, at most `head_bytes`
    /// and at least one. `None` when nothing is there.
    ///
    /// # Errors
    /// Why the store could not tell.
    pub async fn look(&self, key: &ObjectKey, head_bytes: usize) -> Result<Option<Seen>, Error> {
        match &self.place {
            Place::Disk(disk) => disk.look(key, head_bytes, &self.tasks).await,
            Place::Bucket(bucket) => bucket.look(key, head_bytes).await,
        }
    }

    /// Whether an object can be read without a network.
    pub fn is_near(&self) -> bool {
        matches!(self.place, Place::Disk(_))
    }

    /// Reads bytes of what was seen under `key`; at least one of them must be there. `None` when the object
    /// is gone or has been replaced.
    ///
    /// # Errors
    /// Why the store could not tell.
    pub async fn read(
        &self,
        key: &ObjectKey,
        seen: &Seen,
        at: u64,
        bytes: usize,
    ) -> Result<Option<Bytes>, Error> {
        match &self.place {
            Place::Disk(disk) => disk.read(key, at, bytes, &self.tasks).await,
            Place::Bucket(bucket) => match bucket.read(key, seen, at, bytes).await {
                Ok(bytes) => Ok(Some(bytes)),
                Err(Error::Refused {
                    status: 404 | 412 | 416,
                    ..
                }) => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// Gives what was seen under `from` the key `to`, unless that is taken. Where the store is a
    /// bucket, these bytes of it are overwritten. The object at `from` may remain. The copy is never
    /// undone: another request may already have answered with it.
    ///
    /// # Errors
    /// Why the store could not, or did not say that it has.
    pub async fn publish(
        &self,
        from: &ObjectKey,
        seen: &Seen,
        to: &ObjectKey,
        content: ContentHeaders,
        edits: &[Edit],
    ) -> Result<Published, Error> {
        match &self.place {
            Place::Disk(disk) => disk.publish(from, to, &self.tasks).await,
            Place::Bucket(bucket) => bucket.copy(from, seen, to, content, edits).await,
        }
    }

    /// The object that was published with this stem, which has one of these extensions.
    ///
    /// # Errors
    /// Why the store could not tell.
    pub async fn find(
        &self,
        folder: &Folder,
        stem: &Stem,
        extensions: impl Iterator<Item = &str>,
    ) -> Result<Option<Found>, Error> {
        match &self.place {
            // A day's folder may hold too many files to be searched.
            Place::Disk(disk) => {
                let keys = extensions.map(|extension| ObjectKey::for_file(folder, stem, extension));
                disk.find(keys.collect(), &self.tasks).await
            }
            Place::Bucket(bucket) => bucket.find(&format!("{folder}/{stem}.")).await,
        }
    }

    /// Keeps the objects of a request that succeeds. Those of a disk become visible now, all of them
    /// or none.
    ///
    /// # Errors
    /// Why they are not visible; all are undone.
    pub async fn keep(&self, objects: Vec<Kept>) -> Result<(), Error> {
        let mut hidden = Vec::new();
        for mut object in objects {
            if let Some(Removal::File(file)) = object.removal.take() {
                hidden.push(file);
            }
        }
        if let Place::Disk(disk) = &self.place
            && !hidden.is_empty()
        {
            let shown = disk.show(hidden, &self.tasks).await?;
            shown.into_iter().for_each(disk::Visible::keep);
        }
        Ok(())
    }

    /// Removes an object, whether it is there or not.
    ///
    /// # Errors
    /// Why it may still be there.
    pub async fn remove(&self, key: &ObjectKey) -> Result<(), Error> {
        match &self.place {
            Place::Disk(disk) => disk.remove(key, &self.tasks).await,
            Place::Bucket(bucket) => bucket.remove(key).await,
        }
    }

    /// Removes an object that is not needed. If that fails it is logged, and the bucket's lifecycle rule
    /// removes the object.
    pub async fn discard(&self, key: &ObjectKey) {
        if let Err(error) = self.remove(key).await {
            tracing::warn!(%key, error = &error as &dyn std::error::Error, "could not remove a pending object after completion");
        }
    }

    /// Presigns a POST form with which a client puts one object into the bucket itself; `None` where
    /// the store is a folder.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there are no credentials to sign with.
    pub async fn presign_post(
        &self,
        conditions: PostConditions<'_>,
    ) -> Result<Option<PresignedPost>, Error> {
        match &self.place {
            Place::Disk(_) => Ok(None),
            Place::Bucket(bucket) => bucket.presign_post(conditions).await.map(Some),
        }
    }

    /// Signs addresses that are valid for `life`, with which their holders read objects; `None` where
    /// the store is a folder.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there are no credentials to sign with.
    pub async fn read_signer(&self, life: Duration) -> Result<Option<ReadSigner>, Error> {
        match &self.place {
            Place::Disk(_) => Ok(None),
            Place::Bucket(bucket) => bucket.read_signer(life).await.map(Some),
        }
    }

    /// Multipart uploads whose parts a client puts into the bucket itself; `None` where the store
    /// is a folder.
    pub fn client_multipart(&self) -> Option<ClientMultipart<'_>> {
        match &self.place {
            Place::Disk(_) => None,
            Place::Bucket(bucket) => Some(ClientMultipart::new(bucket, &self.tasks)),
        }
    }

    /// Waits until all that this session began is stored or undone, at most until the time limit.
    pub async fn settle(&self) {
        self.tasks.own.close();
        let settled = self.tasks.own.wait();
        match self.limit {
            // Undoing that takes longer goes on in its tasks, if the platform lets it.
            Some(limit) => drop(tokio::time::timeout_at(limit.undo_until, settled).await),
            None => settled.await,
        }
    }
}

/// An object being written. Dropped before [`Writer::finish`] it leaves nothing.
#[derive(Debug)]
pub enum Writer {
    /// To a temporary file.
    Disk(disk::Writer),
    /// To a bucket, part by part.
    Bucket(bucket::Writer),
}

impl Writer {
    /// How long a client may be silent while other uploads wait for memory.
    pub const IDLE_GRACE: Duration = bucket::IDLE_GRACE;

    /// Gives the object its key and headers. Nothing is visible before [`Writer::finish`].
    pub fn start(&mut self, key: ObjectKey, content: ContentHeaders) {
        match self {
            Self::Disk(writer) => writer.start(&key),
            Self::Bucket(writer) => writer.start(key, content),
        }
    }

    /// Has the SHA-256 of what is stored computed, to be found in [`Kept::sha256`]. Called before the
    /// first write.
    pub fn hash(&mut self) {
        match self {
            Self::Disk(writer) => writer.hash(),
            Self::Bucket(writer) => writer.hash(),
        }
    }

    /// Overwrites bytes that were written: the last [`REACH`](crate::body::REACH) at least, and all
    /// before [`Writer::start`]. `false` when some are out of reach.
    #[must_use = "bytes out of reach stay as they are"]
    pub fn edit(&mut self, edit: Edit) -> bool {
        match self {
            Self::Disk(writer) => writer.edit(edit),
            Self::Bucket(writer) => writer.edit(&edit),
        }
    }

    /// Whether so many bytes more can be written before [`Writer::start`].
    pub fn can_hold(&self, bytes: usize) -> bool {
        match self {
            Self::Disk(writer) => writer.can_hold(bytes),
            Self::Bucket(writer) => writer.can_hold(bytes),
        }
    }

    /// Resolves when this upload must give up its memory: its client has been silent for
    /// [`Writer::IDLE_GRACE`] and other uploads wait.
    pub async fn wanted_back(&self) {
        match self {
            Self::Disk(_) => std::future::pending().await,
            Self::Bucket(writer) => writer.wanted_back().await,
        }
    }

    /// Takes the next bytes; waits while the store is behind.
    ///
    /// # Errors
    /// Why the object cannot be stored; what was written is undone.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        match self {
            Self::Disk(writer) => writer.write(chunk).await,
            Self::Bucket(writer) => writer.write(chunk).await,
        }
    }

    /// Makes the object whole. In a bucket it is visible from now on.
    ///
    /// # Errors
    /// Why the object cannot be stored; what was written is undone.
    pub async fn finish(self) -> Result<Kept, Error> {
        match self {
            Self::Disk(writer) => writer.finish().await,
            Self::Bucket(writer) => writer.finish().await,
        }
    }
}

/// Result of a look at an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its first bytes.
    pub head: Bytes,
    /// Its size in bytes.
    pub size: u64,
    /// Another one when its bytes are: the bucket's ETag. Files do not change once they are there.
    version: String,
}

/// An object that was published before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub key: ObjectKey,
    /// Its size in bytes.
    pub size: u64,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// How publishing an object went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It is there.
    Now,
    /// It was there already.
    Before,
    /// The object that was seen is gone, or is another one now.
    Changed,
}

/// An object that is whole; dropping it removes it again. See [`Session::keep`].
#[must_use = "a dropped object is removed from the store"]
#[derive(Debug)]
pub struct Kept {
    removal: Option<Removal>,
    sha256: Option<String>,
}

/// When a stored object is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Undo {
    WhenDropped,
    Never,
}

/// How a stored object is taken back.
#[derive(Debug)]
enum Removal {
    /// Removes itself when it is dropped.
    File(disk::Hidden),
    Object(Box<bucket::Object>),
}

impl Kept {
    fn hidden(file: disk::Hidden) -> Self {
        Self {
            removal: Some(Removal::File(file)),
            sha256: None,
        }
    }

    fn visible(object: bucket::Object, undo: Undo) -> Self {
        let removal = Removal::Object(Box::new(object));
        Self {
            removal: (undo == Undo::WhenDropped).then_some(removal),
            sha256: None,
        }
    }

    fn hashed(mut self, hash: Option<Sha256>) -> Self {
        self.sha256 = hash.map(|hash| bucket::hex(&hash.finalize()));
        self
    }

    /// SHA-256 of the stored bytes in lower-case hex, where [`Writer::hash`] asked for it.
    pub fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(Removal::Object(object)) = self.removal.take() {
            object.remove();
        }
    }
}

/// Tasks that go on when the request that began them is dropped.
#[derive(Clone, Debug, Default)]
struct Tasks {
    all: TaskTracker,
    own: TaskTracker,
}

impl Tasks {
    /// The result comes through a channel, not a `JoinHandle`: one that nobody waits for is then
    /// dropped, and so begins to undo itself, while its task still counts as under way.
    fn spawn<F>(&self, work: F) -> oneshot::Receiver<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (done, result) = oneshot::channel();
        // Storing an object is a future of 20 KB, which each wrapping below would copy.
        let work = Box::pin(work);
        let work = async move { drop(done.send(work.await)) };
        tokio::spawn(self.all.track_future(self.own.track_future(work)));
        result
    }
}
