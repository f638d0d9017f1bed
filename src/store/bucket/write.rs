//! One object on its way into the bucket: a writer that fills parts, and the task that stores them.
//!
//! A small file is one PutObject of known length; a larger one is a multipart upload with two parts
//! under way. The last [`REACH`] bytes of a full part begin the next one, so that an edit still finds
//! them here. The task undoes what it began when it fails or when its [`Writer`] is dropped.

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

/// Parts of one object under way at a time; with the one being filled they bound its memory.
const PARTS_IN_FLIGHT: usize = 2;
/// A part that holds no more does not count against the memory of all: most uploads end below.
const UNCOUNTED_BYTES: usize = 1024 * 1024;

impl Session {
    /// Begins an object of at most so many bytes that has no key yet.
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
            places: Arc::new(Semaphore::new(PARTS_IN_FLIGHT)),
            task: None,
        }
    }
}

/// An object being written: parts are filled here and stored by a task.
#[derive(Debug)]
pub struct Writer {
    undo: Undo,
    session: Session,
    tasks: Tasks,
    /// How many bytes the object can have.
    at_most: u64,
    /// Position of `filling` in the file.
    sent: u64,
    filling: PartBuilder,
    /// Hash of all that was sent, if wanted.
    hash: Option<Sha256>,
    /// The share of the part being filled in the memory of all.
    share: Option<Share>,
    places: Arc<Semaphore>,
    /// `None` until the object has a key.
    task: Option<Task>,
}

/// The task that stores an object, as its [`Writer`] sees it.
#[derive(Debug)]
struct Task {
    steps: mpsc::Sender<Step>,
    storing: oneshot::Receiver<Result<Kept, Error>>,
}

/// A part, from a [`Writer`] to its task. A channel that closes before the last one means: dropped,
/// undo.
#[derive(Debug)]
struct Step {
    part: Part,
    room: Room,
    /// It is the rest of the file.
    is_last: bool,
}

/// Held by a part until it is stored: a place among the parts of its object under way, and its
/// share in the memory of all.
#[derive(Debug)]
struct Room {
    _place: OwnedSemaphorePermit,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Writer {
    /// Gives the object its key; its task waits for the first part.
    pub(in crate::store) fn start(&mut self, key: ObjectKey, content: ContentHeaders) {
        let object = Object {
            undo: self.undo,
            session: self.session.clone(),
            key,
            content,
            tasks: self.tasks.clone(),
        };
        // One place: a part that waits here is a part under way, and those have permits.
        let (steps, receiver) = mpsc::channel(1);
        let storing = self.tasks.spawn(object.store(receiver));
        self.task = Some(Task { steps, storing });
    }

    pub(in crate::store) fn hash(&mut self) {
        self.hash = Some(Sha256::default());
    }

    /// Whether so many bytes more fit before the object needs its key.
    pub(in crate::store) fn can_hold(&self, bytes: usize) -> bool {
        self.filling.len() + bytes <= ONE_CALL_BYTES
    }

    /// Resolves when this upload must give up its memory.
    pub(in crate::store) async fn wanted_back(&self) {
        match &self.share {
            // An object of several requests is read from the store: no client is waited for.
            Some(share) if self.undo == Undo::WhenDropped => share.wanted_back().await,
            _ => std::future::pending().await,
        }
    }

    /// Overwrites what is still here; `false` when not all of it is.
    pub(in crate::store) fn edit(&mut self, edit: &Edit) -> bool {
        self.filling.edit(self.sent, edit);
        edit.at >= self.sent
    }

    pub(in crate::store) async fn write(&mut self, mut chunk: Bytes) -> Result<(), Error> {
        while self.filling.len() + chunk.len() > self.most() {
            let rest = chunk.split_off(self.most().saturating_sub(self.filling.len()));
            self.fill(chunk).await?;
            self.send_full_part().await?;
            chunk = rest;
        }
        self.fill(chunk).await
    }

    /// How many bytes may be gathered; nothing is sent before the object has its key.
    fn most(&self) -> usize {
        let is_small = self.at_most <= ONE_CALL_BYTES as u64;
        if is_small || self.task.is_none() {
            ONE_CALL_BYTES
        } else {
            PART_BYTES + REACH as usize
        }
    }

    /// Waits, once a part is no longer small, until the memory of all has room for what it may become.
    async fn fill(&mut self, chunk: Bytes) -> Result<(), Error> {
        if chunk.is_empty() {
            return Ok(());
        }
        if self.share.is_none() && self.filling.len() + chunk.len() > UNCOUNTED_BYTES {
            let can_come = usize::try_from(self.at_most.saturating_sub(self.sent));
            let bytes = can_come.map_or(self.most(), |can_come| can_come.min(self.most()));
            self.share = Some(self.session.bucket.0.memory.claim(bytes).await?);
        }
        self.filling.push(chunk);
        Ok(())
    }

    async fn send_full_part(&mut self) -> Result<(), Error> {
        let room = self.room().await?;
        let part = self.filling.take_all_but(REACH as usize);
        self.finalize(&part).await;
        let task = self.task.as_mut().ok_or(Error::Interrupted)?;
        task.send(part, room, false).await
    }

    /// Hashes bytes that no edit can reach any more.
    async fn finalize(&mut self, part: &Part) {
        self.sent += part.len() as u64;
        if let Some(hash) = &mut self.hash {
            part.hash(hash).await;
        }
    }

    /// Waits for a place among the parts under way: this is the back-pressure on the client.
    async fn room(&mut self) -> Result<Room, Error> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        Ok(Room {
            _place: place.map_err(|_| Error::Interrupted)?,
            _memory: self.share.take().map(Share::full),
        })
    }

    pub(in crate::store) async fn finish(mut self) -> Result<Kept, Error> {
        let room = self.room().await?;
        let last = self.filling.take();
        self.finalize(&last).await;
        let mut task = self.task.take().ok_or(Error::Interrupted)?;
        task.send(last, room, true).await?;
        let kept = task.storing.await.map_err(|_| Error::Interrupted)??;
        Ok(kept.hashed(self.hash))
    }
}

impl Task {
    /// Hands over a part. A task that takes no more says why.
    async fn send(&mut self, part: Part, room: Room, is_last: bool) -> Result<(), Error> {
        let step = Step {
            part,
            room,
            is_last,
        };
        if self.steps.send(step).await.is_ok() {
            return Ok(());
        }
        match (&mut self.storing).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) | Err(_) => Err(Error::Interrupted),
        }
    }
}

/// One object on its way into the bucket, and once it is there.
#[derive(Debug)]
pub(in crate::store) struct Object {
    undo: Undo,
    session: Session,
    key: ObjectKey,
    content: ContentHeaders,
    tasks: Tasks,
}

impl Object {
    /// Stores the parts that arrive. A dropped result undoes itself, so it does not matter whether
    /// anybody still waits for this one.
    async fn store(self, mut steps: mpsc::Receiver<Step>) -> Result<Kept, Error> {
        let first = steps.recv().await.ok_or(Error::Interrupted)?;
        if first.is_last {
            self.put(first).await
        } else {
            self.multipart(first, steps).await
        }
    }

    async fn put(self, all: Step) -> Result<Kept, Error> {
        let attempts = Attempts::default();
        let (create_only, value) = self.session.bucket.dialect().create_only();
        let mut call = Call::new("PutObject", Method::PUT, self.key.as_str())
            .with_content(&self.content, &self.session)
            .with(create_only, value);
        call.body = Some(all.part);
        match self.session.send(&call, &attempts).await {
            Ok(_) => Ok(self.kept()),
            // The key is random: an object found by the second attempt is of the first.
            Err(error) if attempts.made() > 1 && error.already_exists() => Ok(self.kept()),
            Err(error) => self.failed(error, &attempts).await,
        }
    }

    async fn multipart(self, first: Step, steps: mpsc::Receiver<Step>) -> Result<Kept, Error> {
        let session = &self.session;
        let upload_id = session.create_multipart(&self.key, &self.content).await?;
        let completing = Attempts::default();
        let uploaded = self.upload_parts(&upload_id, first, steps).await;
        let stored = session.complete_or_abort(&self.key, &upload_id, uploaded, &completing);
        match stored.await {
            Ok(()) => Ok(self.kept()),
            // Once the upload is gone, no completion that is still under way can make an object of it.
            Err(error) => self.failed(error, &completing).await,
        }
    }

    /// Uploads parts as they come, up to [`PARTS_IN_FLIGHT`] at a time. When one fails the others
    /// have ended, too, before this returns: a part that arrives after the abort may stay.
    async fn upload_parts(
        &self,
        upload_id: &str,
        first: Step,
        steps: mpsc::Receiver<Step>,
    ) -> Result<Uploaded, Error> {
        let mut under_way = JoinSet::new();
        let uploaded = self.upload_each(&mut under_way, upload_id, first, steps);
        let uploaded = uploaded.await;
        under_way.shutdown().await;
        uploaded
    }

    async fn upload_each(
        &self,
        under_way: &mut JoinSet<Result<CompletePart, Error>>,
        upload_id: &str,
        first: Step,
        mut steps: mpsc::Receiver<Step>,
    ) -> Result<Uploaded, Error> {
        let mut size = first.part.len();
        let mut number = 1;
        under_way.spawn(self.upload_part(upload_id, number, first));
        let mut done = Vec::new();
        let mut ended = false;
        while !ended || !under_way.is_empty() {
            tokio::select! {
                Some(part) = under_way.join_next() => {
                    done.push(part.map_err(|_| Error::Interrupted)??);
                }
                step = steps.recv(), if !ended => {
                    let step = step.ok_or(Error::Interrupted)?;
                    ended = step.is_last;
                    size += step.part.len();
                    number += 1;
                    under_way.spawn(self.upload_part(upload_id, number, step));
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
        Step { part, room, .. }: Step,
    ) -> impl Future<Output = Result<CompletePart, Error>> + Send + 'static {
        let session = self.session.clone();
        let key = self.key.clone();
        let upload_id = upload_id.to_owned();
        async move {
            let uploaded = session.upload_part(&key, &upload_id, number, part).await;
            // The bytes first, then the room they took.
            drop(room);
            uploaded
        }
    }

    /// Handles a failure after which the object may exist: deletes it, or checks whether it was stored. Elsewhere an object under the key is not ours.
    async fn failed(self, error: Error, attempts: &Attempts) -> Result<Kept, Error> {
        if attempts.outcome_is_unknown(Some(&error)) {
            match self.undo {
                Undo::WhenDropped => self.session.delete(&self.key).await,
                Undo::Never => {
                    if let Ok(true) = self.session.is_there(&self.key).await {
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

    /// Removes it from the bucket: its request failed.
    pub(in crate::store) fn remove(self) {
        let tasks = self.tasks.clone();
        tasks.spawn(async move { self.session.delete(&self.key).await });
    }
}
