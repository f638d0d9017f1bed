//! Stores: a folder or a bucket. Writes are atomic: dropping a [`Writer`] or a [`Kept`] undoes it, until
//! [`Session::keep`] keeps the objects of a request.
//!
//! Undoing may need the network, so it runs in its own task; [`Session::settle`] waits for the tasks of
//! one request (a cloud freezes the process after the response), [`Store::settle`] for all (before the
//! process exits).

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

/// Settings of a folder or a bucket.
#[derive(Clone, Debug)]
pub enum Settings {
    /// `disk:<folder>`
    Disk(disk::Settings),
    /// `s3://<bucket>` or `oss://<bucket>`
    Bucket(Box<bucket::Settings>),
}

/// Error of a store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket answered 4xx, or redirected to another region.
    #[error("{operation} was refused: {status} {code}, request id {request_id:?}")]
    Refused {
        /// S3 operation.
        operation: &'static str,
        /// HTTP status of the bucket's response.
        status: u16,
        /// The vendor's error code.
        code: String,
        /// The vendor's request id, which both clouds need for a support case.
        request_id: String,
        /// Error of the SDK.
        source: BoxError,
    },
    /// The bucket answered 5xx, or could not be reached, after retries.
    #[error("{operation} failed: {detail}")]
    Unavailable {
        /// S3 operation.
        operation: &'static str,
        /// Status, code and request id, if there was a response.
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
    /// Neither the request nor the environment contains credentials.
    #[error("no credentials: the function has no role and the environment contains none")]
    NoCredentials,
    /// The folder could not be written.
    #[error("cannot {action}")]
    Disk {
        /// Operation that failed, as in "cannot …".
        action: &'static str,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The object's writer was dropped, or its task ended without a result.
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

    /// Whether the key already has an object.
    pub fn is_taken(&self) -> bool {
        match self {
            Self::Disk { source, .. } => source.kind() == io::ErrorKind::AlreadyExists,
            error => error.already_exists(),
        }
    }
}

/// Headers that are stored with an object and sent to its readers.
#[derive(Clone, Debug)]
pub struct ContentHeaders {
    /// `Content-Type`
    pub content_type: HeaderValue,
    /// `Content-Disposition`, if the object is to be downloaded, not displayed.
    pub disposition: Option<HeaderValue>,
}

impl ContentHeaders {
    /// Headers of an unchecked file.
    pub const UNKNOWN: Self = Self {
        content_type: HeaderValue::from_static("application/octet-stream"),
        disposition: Some(HeaderValue::from_static("attachment")),
    };
}

/// Deadlines of a request's work with the store.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimit {
    /// End of storing.
    pub store_until: Instant,
    /// End of waiting for undoing; the rest of the time is for the response.
    pub undo_until: Instant,
}

impl TimeLimit {
    /// Longest time reserved for undoing and responding.
    const MAX_RESERVE: Duration = Duration::from_secs(2);

    /// Divides the time until `end`: a quarter, at most 2 s, is reserved for undoing and responding.
    pub fn before(end: Instant) -> Self {
        let left = end.saturating_duration_since(Instant::now());
        let reserve = (left / 4).min(Self::MAX_RESERVE);
        Self {
            store_until: end - reserve,
            undo_until: end - reserve / 4,
        }
    }
}

/// A store of objects; cheap to clone.
#[derive(Clone, Debug)]
pub enum Store {
    /// A local or mounted folder.
    Disk(disk::Disk),
    /// A bucket of S3, OSS or another S3-compatible server.
    Bucket(bucket::Bucket),
}

impl Store {
    /// Opens the store. Creates a missing folder and removes leftovers of a crash from it; sends nothing to
    /// a bucket.
    ///
    /// # Errors
    /// [`Error::Disk`] when the folder cannot be created.
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

    /// Begins one request's session, with the request's own credentials if it has some.
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
        let backend = match self {
            Self::Disk(disk) => Backend::Disk(disk.clone()),
            Self::Bucket(bucket) => Backend::Bucket(bucket.session(credentials, limit)?),
        };
        Ok(Session {
            backend,
            tasks,
            limit,
        })
    }

    /// Connects to the bucket in advance, so that the first request need not wait for a handshake.
    /// Failures are ignored.
    pub fn warm(&self) {
        if let Self::Bucket(bucket) = self {
            bucket.warm();
        }
    }

    /// Waits for the tasks of all sessions.
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

/// One request's access to a [`Store`]; clones belong to the same request.
#[derive(Clone, Debug)]
pub struct Session {
    backend: Backend,
    tasks: Tasks,
    limit: Option<TimeLimit>,
}

#[derive(Clone, Debug)]
enum Backend {
    Disk(disk::Disk),
    Bucket(bucket::Session),
}

impl Session {
    /// Begins an object of at most `at_most` bytes; [`Writer::start`] sets its key.
    pub fn writer(&self, at_most: u64) -> Writer {
        self.begin(at_most, Undo::WhenDropped)
    }

    /// Begins an object that several requests may store under one key with equal content. It is never
    /// undone once stored, since another request may have acknowledged it.
    pub fn publisher(&self, at_most: u64) -> Writer {
        self.begin(at_most, Undo::Never)
    }

    fn begin(&self, at_most: u64, undo: Undo) -> Writer {
        let tasks = self.tasks.clone();
        match &self.backend {
            Backend::Disk(disk) => Writer::Disk(disk.writer(tasks, undo)),
            Backend::Bucket(bucket) => Writer::Bucket(bucket.writer(at_most, tasks, undo)),
        }
    }

    /// Begins an object with a key. Stores nothing before the first [`Writer::write`].
    pub fn create(&self, key: ObjectKey, content: ContentHeaders) -> Writer {
        let mut writer = self.writer(u64::MAX);
        writer.start(key, content);
        writer
    }

    /// Runs `work` to completion, even if the receiver is dropped.
    pub fn spawn<F>(&self, work: F) -> oneshot::Receiver<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tasks.spawn(work)
    }

    /// Returns the size of a client's object and its first bytes, at most `head_bytes` and at least one.
    /// `None` when it does not exist.
    ///
    /// # Errors
    /// When the object cannot be read.
    pub async fn look(&self, key: &ObjectKey, head_bytes: usize) -> Result<Option<Seen>, Error> {
        match &self.backend {
            Backend::Disk(disk) => disk.look(key, head_bytes, &self.tasks).await,
            Backend::Bucket(bucket) => bucket.look(key, head_bytes).await,
        }
    }

    /// Whether objects can be read without network access.
    pub fn is_near(&self) -> bool {
        matches!(self.backend, Backend::Disk(_))
    }

    /// Reads a range of a seen object, of which at least one byte must exist. `None` when the object is
    /// gone or has been replaced.
    ///
    /// # Errors
    /// When the object cannot be read.
    pub async fn read(
        &self,
        key: &ObjectKey,
        seen: &Seen,
        at: u64,
        bytes: usize,
    ) -> Result<Option<Bytes>, Error> {
        match &self.backend {
            Backend::Disk(disk) => disk.read(key, at, bytes, &self.tasks).await,
            Backend::Bucket(bucket) => match bucket.read(key, seen, at, bytes).await {
                Ok(bytes) => Ok(Some(bytes)),
                Err(Error::Refused {
                    status: 404 | 412 | 416,
                    ..
                }) => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// Copies or moves a seen object from `from` to `to`, unless that exists; in a bucket with `edits`
    /// applied. The object at `from` may remain. The copy is never undone: another request may already
    /// have returned it.
    ///
    /// # Errors
    /// When the copy failed or its outcome is unknown.
    pub async fn publish(
        &self,
        from: &ObjectKey,
        seen: &Seen,
        to: &ObjectKey,
        content: ContentHeaders,
        edits: &[Edit],
    ) -> Result<Published, Error> {
        match &self.backend {
            Backend::Disk(disk) => disk.publish(from, to, &self.tasks).await,
            Backend::Bucket(bucket) => bucket.copy(from, seen, to, content, edits).await,
        }
    }

    /// Finds the object that was published with this stem and one of these extensions.
    ///
    /// # Errors
    /// When the store cannot be searched.
    pub async fn find(
        &self,
        folder: &Folder,
        stem: &Stem,
        extensions: impl Iterator<Item = &str>,
    ) -> Result<Option<Found>, Error> {
        match &self.backend {
            // A day's folder may contain too many files to list.
            Backend::Disk(disk) => {
                let keys = extensions.map(|extension| ObjectKey::for_file(folder, stem, extension));
                disk.find(keys.collect(), &self.tasks).await
            }
            Backend::Bucket(bucket) => bucket.find(&format!("{folder}/{stem}.")).await,
        }
    }

    /// Keeps the objects of a successful request. On a disk they become visible now, all of them or none.
    ///
    /// # Errors
    /// When they could not be made visible; all are undone.
    pub async fn keep(&self, objects: Vec<Kept>) -> Result<(), Error> {
        let mut hidden = Vec::new();
        for mut object in objects {
            if let Some(Removal::File(file)) = object.removal.take() {
                hidden.push(file);
            }
        }
        if let Backend::Disk(disk) = &self.backend
            && !hidden.is_empty()
        {
            let shown = disk.show(hidden, &self.tasks).await?;
            shown.into_iter().for_each(disk::Visible::keep);
        }
        Ok(())
    }

    /// Removes an object if it exists.
    ///
    /// # Errors
    /// When it may still exist.
    pub async fn remove(&self, key: &ObjectKey) -> Result<(), Error> {
        match &self.backend {
            Backend::Disk(disk) => disk.remove(key, &self.tasks).await,
            Backend::Bucket(bucket) => bucket.remove(key).await,
        }
    }

    /// Removes an object that is not needed any more. Logs a failure: the bucket's lifecycle rule, or the
    /// cleanup of a folder, removes the object later.
    pub async fn discard(&self, key: &ObjectKey) {
        if let Err(error) = self.remove(key).await {
            tracing::warn!(%key, error = &error as &dyn std::error::Error, "could not remove a pending object that is not needed any more");
        }
    }

    /// Presigns a POST form with which a client uploads one object directly to the bucket; `None` if
    /// the store is a folder.
    ///
    /// # Errors
    /// [`Error::Unavailable`] without valid credentials.
    pub async fn presign_post(
        &self,
        conditions: PostConditions<'_>,
    ) -> Result<Option<PresignedPost>, Error> {
        match &self.backend {
            Backend::Disk(_) => Ok(None),
            Backend::Bucket(bucket) => bucket.presign_post(conditions).await.map(Some),
        }
    }

    /// Returns a signer of URLs that are valid for `life` and give read access to one object each; `None`
    /// if the store is a folder.
    ///
    /// # Errors
    /// [`Error::Unavailable`] without valid credentials.
    pub async fn read_signer(&self, life: Duration) -> Result<Option<ReadSigner>, Error> {
        match &self.backend {
            Backend::Disk(_) => Ok(None),
            Backend::Bucket(bucket) => bucket.read_signer(life).await.map(Some),
        }
    }

    /// Multipart uploads whose parts a client uploads directly to the bucket; `None` if the store is a
    /// folder.
    pub fn client_multipart(&self) -> Option<ClientMultipart<'_>> {
        match &self.backend {
            Backend::Disk(_) => None,
            Backend::Bucket(bucket) => Some(ClientMultipart::new(bucket, &self.tasks)),
        }
    }

    /// Waits until everything this session began is stored or undone, at most until the time limit.
    pub async fn settle(&self) {
        self.tasks.own.close();
        let settled = self.tasks.own.wait();
        match self.limit {
            // Undoing that takes longer continues in its tasks, if the platform lets it.
            Some(limit) => drop(tokio::time::timeout_at(limit.undo_until, settled).await),
            None => settled.await,
        }
    }
}

/// An object being written. Dropping it before [`Writer::finish`] removes what was written.
#[derive(Debug)]
pub enum Writer {
    /// Writes to a temporary file.
    Disk(disk::Writer),
    /// Writes to a bucket, part by part.
    Bucket(bucket::Writer),
}

impl Writer {
    /// Longest time a client may send nothing while other uploads wait for memory.
    pub const IDLE_GRACE: Duration = bucket::IDLE_GRACE;

    /// Sets the object's key and headers. It is not visible before [`Writer::finish`].
    pub fn start(&mut self, key: ObjectKey, content: ContentHeaders) {
        match self {
            Self::Disk(writer) => writer.start(&key),
            Self::Bucket(writer) => writer.start(key, content),
        }
    }

    /// Computes the SHA-256 of the stored bytes for [`Kept::sha256`]. Must be called before the first
    /// write.
    pub fn hash(&mut self) {
        match self {
            Self::Disk(writer) => writer.hash(),
            Self::Bucket(writer) => writer.hash(),
        }
    }

    /// Overwrites written bytes: at least the last [`REACH`](crate::body::REACH) can be, and all of them
    /// before [`Writer::start`]. `false` when some are out of reach.
    #[must_use = "bytes out of reach are not overwritten"]
    pub fn edit(&mut self, edit: Edit) -> bool {
        match self {
            Self::Disk(writer) => writer.edit(edit),
            Self::Bucket(writer) => writer.edit(&edit),
        }
    }

    /// Whether `bytes` more can be written before [`Writer::start`].
    pub fn can_hold(&self, bytes: usize) -> bool {
        match self {
            Self::Disk(writer) => writer.can_hold(bytes),
            Self::Bucket(writer) => writer.can_hold(bytes),
        }
    }

    /// Resolves when this upload must release its memory: its client has sent nothing for
    /// [`Writer::IDLE_GRACE`] and other uploads wait.
    pub async fn wanted_back(&self) {
        match self {
            Self::Disk(_) => std::future::pending().await,
            Self::Bucket(writer) => writer.wanted_back().await,
        }
    }

    /// Writes the next bytes; waits while the store is slower than the client.
    ///
    /// # Errors
    /// When the object cannot be stored; it is undone.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        match self {
            Self::Disk(writer) => writer.write(chunk).await,
            Self::Bucket(writer) => writer.write(chunk).await,
        }
    }

    /// Completes the object. In a bucket it is visible from now on.
    ///
    /// # Errors
    /// When the object cannot be stored; it is undone.
    pub async fn finish(self) -> Result<Kept, Error> {
        match self {
            Self::Disk(writer) => writer.finish().await,
            Self::Bucket(writer) => writer.finish().await,
        }
    }
}

/// State of an object, from [`Session::look`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its first bytes.
    pub head: Bytes,
    /// Its size in bytes.
    pub size: u64,
    /// The bucket's ETag, which changes with the content; empty on a disk, where files never change.
    version: String,
}

/// A published object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its key.
    pub key: ObjectKey,
    /// Its size in bytes.
    pub size: u64,
    /// Time of its last modification.
    pub since: DateTime<Utc>,
}

/// Outcome of publishing an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// Published by this call.
    Now,
    /// Published before this call.
    Before,
    /// Not published: the source is gone or has been replaced.
    Changed,
}

/// A complete object; dropping it removes it from the store. See [`Session::keep`].
#[must_use = "a dropped object is removed from the store"]
#[derive(Debug)]
pub struct Kept {
    removal: Option<Removal>,
    sha256: Option<String>,
}

/// Whether a stored object is removed when its request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Undo {
    WhenDropped,
    Never,
}

/// Way to remove a stored object.
#[derive(Debug)]
enum Removal {
    /// Removed when dropped.
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

    /// SHA-256 of the stored bytes in lower-case hex, if [`Writer::hash`] was called.
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

/// Tasks that continue when the request that began them is dropped.
#[derive(Clone, Debug, Default)]
struct Tasks {
    all: TaskTracker,
    own: TaskTracker,
}

impl Tasks {
    /// Returns the result through a channel, not a `JoinHandle`: a result without a receiver is dropped,
    /// and so begins to undo itself, while its task still counts as running.
    fn spawn<F>(&self, work: F) -> oneshot::Receiver<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (done, result) = oneshot::channel();
        // Storing an object is a future of 20 KB, which each wrapper below would copy.
        let work = Box::pin(work);
        let work = async move { drop(done.send(work.await)) };
        tokio::spawn(self.all.track_future(self.own.track_future(work)));
        result
    }
}
