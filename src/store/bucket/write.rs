//! Writes an object to the bucket: a writer fills parts, and a task uploads them.
//!
//! A small file is one PutObject of known length; a larger one is a multipart upload with two parts in
//! flight. The last [`REACH`] bytes of a full part move to the next one, so that they can still be
//! edited. The task undoes the upload when it fails or when its [`Writer`] is dropped.

use std::sync::Arc;

use axum::http::Method;
use bytes::Bytes;
use sha2::Sha256;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinSet,
};

use super::{
    ONE_CALL_BYTES, PART_BYTES, Session,
    memory::Share,
    multipart::{CompletePart, Uploaded},
    request::Call,
    retry::Attempts,
};
use crate::{
    body::{Edit, REACH},
    store::{
        ContentHeaders, Error, Kept, ObjectKey, Tasks, Undo,
        chunks::{Part, PartBuilder},
    },
};

/// Parts of one object in flight; with the one being filled they bound its memory.
const PARTS_IN_FLIGHT: usize = 2;
/// Largest part that does not count against the memory budget, in bytes: most uploads are smaller.
const UNCOUNTED_BYTES: usize = 1024 * 1024;

impl Session {
    /// Begins an object of at most `at_most` bytes, without a key.
    pub(in crate::store) fn writer(&self, at_most: u64, tasks: Tasks, undo: Undo) -> Writer {
        Writer {
            at_most,
            undo,
            session: self.clone(),
            tasks,
            sent: 0,
            filling: PartBuilder::default(),
            hash: None,
            share: None,
            slots: Arc::new(Semaphore::new(PARTS_IN_FLIGHT)),
            task: None,
        }
    }
}

/// An object being written: this fills parts, and a task uploads them.
#[derive(Debug)]
pub struct Writer {
    undo: Undo,
    session: Session,
    tasks: Tasks,
    /// Largest size of the object, in bytes.
    at_most: u64,
    /// Offset of `filling` in the file.
    sent: u64,
    filling: PartBuilder,
    /// Hash of the bytes handed to the task, if requested.
    hash: Option<Sha256>,
    /// Share of `filling` in the memory budget.
    share: Option<Share>,
    slots: Arc<Semaphore>,
    /// `None` until the object has a key.
    task: Option<Task>,
}

/// Handle of the task that stores an object.
#[derive(Debug)]
struct Task {
    queue: mpsc::Sender<Queued>,
    result: oneshot::Receiver<Result<Kept, Error>>,
}

/// A part that a [`Writer`] sends to its task. If the channel closes before the last one, the writer was
/// dropped and the task undoes the upload.
#[derive(Debug)]
struct Queued {
    part: Part,
    permits: Permits,
    /// Whether it ends the file.
    is_last: bool,
}

/// Permits of a part, released once it is uploaded: a slot among its object's parts in flight, and a
/// share in the memory budget.
#[derive(Debug)]
struct Permits {
    _slot: OwnedSemaphorePermit,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Writer {
    /// Sets the object's key and starts its task, which waits for the first part.
    pub(in crate::store) fn start(&mut self, key: ObjectKey, content: ContentHeaders) {
        let object = Object {
            undo: self.undo,
            session: self.session.clone(),
            key,
            content,
            tasks: self.tasks.clone(),
        };
        // Capacity 1: a queued part counts as in flight, and its permits limit those.
        let (queue, receiver) = mpsc::channel(1);
        let result = self.tasks.spawn(object.store(receiver));
        self.task = Some(Task { queue, result });
    }

    pub(in crate::store) fn hash(&mut self) {
        self.hash = Some(Sha256::default());
    }

    /// Whether `bytes` more fit before the object needs its key.
    pub(in crate::store) fn can_hold(&self, bytes: usize) -> bool {
        self.filling.len() + bytes <= ONE_CALL_BYTES
    }

    /// Resolves when this upload must release its memory.
    pub(in crate::store) async fn wanted_back(&self) {
        match &self.share {
            // An object of several requests is read from the store, not from a client.
            Some(share) if self.undo == Undo::WhenDropped => share.wanted_back().await,
            _ => std::future::pending().await,
        }
    }

    /// Overwrites buffered bytes; `false` when some are not buffered any more.
    pub(in crate::store) fn edit(&mut self, edit: &Edit) -> bool {
        self.filling.edit(self.sent, edit);
        edit.at >= self.sent
    }

    pub(in crate::store) async fn write(&mut self, mut chunk: Bytes) -> Result<(), Error> {
        while self.filling.len() + chunk.len() > self.limit() {
            let rest = chunk.split_off(self.limit().saturating_sub(self.filling.len()));
            self.fill(chunk).await?;
            self.send_full_part().await?;
            chunk = rest;
        }
        self.fill(chunk).await
    }

    /// Most bytes to buffer; nothing is sent before the object has its key.
    fn limit(&self) -> usize {
        let is_small = self.at_most <= ONE_CALL_BYTES as u64;
        if is_small || self.task.is_none() {
            ONE_CALL_BYTES
        } else {
            PART_BYTES + REACH as usize
        }
    }

    /// Adds bytes to the part; once it is not small any more, first claims memory for its largest size.
    async fn fill(&mut self, chunk: Bytes) -> Result<(), Error> {
        if chunk.is_empty() {
            return Ok(());
        }
        if self.share.is_none() && self.filling.len() + chunk.len() > UNCOUNTED_BYTES {
            let remaining = usize::try_from(self.at_most.saturating_sub(self.sent));
            let bytes = remaining.map_or(self.limit(), |remaining| remaining.min(self.limit()));
            self.share = Some(self.session.bucket.0.memory.claim(bytes).await?);
        }
        self.filling.push(chunk);
        Ok(())
    }

    async fn send_full_part(&mut self) -> Result<(), Error> {
        let permits = self.permits().await?;
        let part = self.filling.take_all_but(REACH as usize);
        self.finalize(&part).await;
        let task = self.task.as_mut().ok_or(Error::Interrupted)?;
        task.send(part, permits, false).await
    }

    /// Hashes bytes that cannot be edited any more.
    async fn finalize(&mut self, part: &Part) {
        self.sent += part.len() as u64;
        if let Some(hash) = &mut self.hash {
            part.hash(hash).await;
        }
    }

    /// Waits for a slot among the parts in flight: this is the backpressure on the client.
    async fn permits(&mut self) -> Result<Permits, Error> {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        Ok(Permits {
            _slot: slot.map_err(|_| Error::Interrupted)?,
            _memory: self.share.take().map(Share::full),
        })
    }

    pub(in crate::store) async fn finish(mut self) -> Result<Kept, Error> {
        let permits = self.permits().await?;
        let last = self.filling.take();
        self.finalize(&last).await;
        let mut task = self.task.take().ok_or(Error::Interrupted)?;
        task.send(last, permits, true).await?;
        let kept = task.result.await.map_err(|_| Error::Interrupted)??;
        Ok(kept.hashed(self.hash))
    }
}

impl Task {
    /// Sends a part to the task. If it has ended, returns its error.
    async fn send(&mut self, part: Part, permits: Permits, is_last: bool) -> Result<(), Error> {
        let part = Queued {
            part,
            permits,
            is_last,
        };
        if self.queue.send(part).await.is_ok() {
            return Ok(());
        }
        match (&mut self.result).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) | Err(_) => Err(Error::Interrupted),
        }
    }
}

/// One object while it is stored, and afterwards to remove it.
#[derive(Debug)]
pub(in crate::store) struct Object {
    undo: Undo,
    session: Session,
    key: ObjectKey,
    content: ContentHeaders,
    tasks: Tasks,
}

impl Object {
    /// Uploads the queued parts. The result undoes itself when dropped, so the receiver may be gone.
    async fn store(self, mut queue: mpsc::Receiver<Queued>) -> Result<Kept, Error> {
        let first = queue.recv().await.ok_or(Error::Interrupted)?;
        if first.is_last {
            self.put(first).await
        } else {
            self.multipart(first, queue).await
        }
    }

    async fn put(self, all: Queued) -> Result<Kept, Error> {
        let attempts = Attempts::default();
        let (create_only, value) = self.session.bucket.dialect().create_only();
        let mut call = Call::new("PutObject", Method::PUT, self.key.as_str())
            .with_content(&self.content, &self.session)
            .with(create_only, value);
        call.body = Some(all.part);
        match self.session.send(&call, &attempts).await {
            Ok(_) => Ok(self.kept()),
            // The key is random: an object found by the second attempt was created by the first.
            Err(error) if attempts.made() > 1 && error.already_exists() => Ok(self.kept()),
            Err(error) => self.failed(error, &attempts).await,
        }
    }

    async fn multipart(self, first: Queued, queue: mpsc::Receiver<Queued>) -> Result<Kept, Error> {
        let session = &self.session;
        let upload_id = session.create_multipart(&self.key, &self.content).await?;
        let completing = Attempts::default();
        let uploaded = self.upload_parts(&upload_id, first, queue).await;
        let stored = session.complete_or_abort(&self.key, &upload_id, uploaded, &completing);
        match stored.await {
            Ok(()) => Ok(self.kept()),
            // Once the upload is aborted, no completion still in flight can create the object.
            Err(error) => self.failed(error, &completing).await,
        }
    }

    /// Uploads parts as they arrive, up to [`PARTS_IN_FLIGHT`] at a time. When one fails, stops the others
    /// before it returns: a part that arrives after the abort may remain.
    async fn upload_parts(
        &self,
        upload_id: &str,
        first: Queued,
        queue: mpsc::Receiver<Queued>,
    ) -> Result<Uploaded, Error> {
        let mut in_flight = JoinSet::new();
        let uploaded = self.upload_each(&mut in_flight, upload_id, first, queue);
        let uploaded = uploaded.await;
        in_flight.shutdown().await;
        uploaded
    }

    async fn upload_each(
        &self,
        in_flight: &mut JoinSet<Result<CompletePart, Error>>,
        upload_id: &str,
        first: Queued,
        mut queue: mpsc::Receiver<Queued>,
    ) -> Result<Uploaded, Error> {
        let mut size = first.part.len();
        let mut number = 1;
        in_flight.spawn(self.upload_part(upload_id, number, first));
        let mut done = Vec::new();
        let mut ended = false;
        while !ended || !in_flight.is_empty() {
            tokio::select! {
                Some(part) = in_flight.join_next() => {
                    done.push(part.map_err(|_| Error::Interrupted)??);
                }
                next = queue.recv(), if !ended => {
                    let next = next.ok_or(Error::Interrupted)?;
                    ended = next.is_last;
                    size += next.part.len();
                    number += 1;
                    in_flight.spawn(self.upload_part(upload_id, number, next));
                }
            }
        }
        done.sort();
        Ok(Uploaded {
            parts: done,
            size: size as u64,
        })
    }

    fn upload_part(
        &self,
        upload_id: &str,
        number: i32,
        Queued { part, permits, .. }: Queued,
    ) -> impl Future<Output = Result<CompletePart, Error>> + Send + 'static {
        let session = self.session.clone();
        let key = self.key.clone();
        let upload_id = upload_id.to_owned();
        async move {
            let uploaded = session.upload_part(&key, &upload_id, number, part).await;
            // The bytes are freed first, then their permits.
            drop(permits);
            uploaded
        }
    }

    /// Handles a failure after which the object may exist: removes it, or checks whether it was stored. After
    /// any other failure an object under the key belongs to another request.
    async fn failed(self, error: Error, attempts: &Attempts) -> Result<Kept, Error> {
        if attempts.outcome_is_unknown(Some(&error)) {
            match self.undo {
                Undo::WhenDropped => self.session.delete(&self.key).await,
                Undo::Never => {
                    if let Ok(true) = self.session.exists(&self.key).await {
                        return Ok(self.kept());
                    }
                }
            }
        }
        Err(error)
    }

    fn kept(self) -> Kept {
        let undo = self.undo;
        Kept::visible(self, undo)
    }

    /// Removes the object in a task, since its request failed.
    pub(in crate::store) fn remove(self) {
        let tasks = self.tasks.clone();
        tasks.spawn(async move { self.session.delete(&self.key).await });
    }
}
