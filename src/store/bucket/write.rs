//! One object on its way into the bucket: a writer that fills parts, and the task that stores them.
//!
//! A file that ends within its first part is one PutObject of known length; a larger one is a
//! multipart upload with two parts under way. The task undoes what it began when it fails or when
//! its [`Writer`] is dropped.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, http::HttpRequest,
        interceptors::BeforeTransmitInterceptorContextMut,
    },
    error::BoxError,
    types::{CompletedMultipartUpload, CompletedPart},
};
use axum::http::{
    HeaderName, HeaderValue, Method,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE, IF_NONE_MATCH},
};
use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinSet,
};

use super::{Access, Dialect, PART_BYTES, request::Call, sigv4::encoded_query};
use crate::store::{
    self, ContentHeaders, Error, Kept, ObjectKey, Tasks,
    chunks::{Part, PartBuilder},
};

/// OSS's own "create only".
const FORBID_OVERWRITE: &str = "x-oss-forbid-overwrite";
/// Parts of one object under way at a time; with the one being filled they bound its memory.
const PARTS_IN_FLIGHT: usize = 2;
/// What a part may hold before it counts against the memory of all: most uploads end below.
const UNCOUNTED_BYTES: usize = 1024 * 1024;

impl Access {
    /// Begins an object; its task waits for the first part.
    pub(in crate::store) fn create(
        &self,
        key: ObjectKey,
        content: ContentHeaders,
        tasks: Tasks,
    ) -> Writer {
        let object = Object {
            access: self.clone(),
            key,
            content,
            tasks: tasks.clone(),
        };
        // One place: a part that waits here is a part under way, and those have permits.
        let (steps, receiver) = mpsc::channel(1);
        Writer {
            filling: PartBuilder::default(),
            counted: None,
            memory: Arc::clone(&self.bucket.0.memory),
            places: Arc::new(Semaphore::new(PARTS_IN_FLIGHT)),
            steps,
            storing: tasks.spawn(object.store(receiver)),
        }
    }
}

/// An object being written: parts are filled here and stored by a task.
#[derive(Debug)]
pub struct Writer {
    filling: PartBuilder,
    /// The share in the memory of all that the part being filled has.
    counted: Option<OwnedSemaphorePermit>,
    memory: Arc<Semaphore>,
    places: Arc<Semaphore>,
    steps: mpsc::Sender<Step>,
    storing: oneshot::Receiver<Result<Kept, Error>>,
}

/// What a [`Writer`] tells its task. No further step means: dropped, undo.
#[derive(Debug)]
enum Step {
    /// A full part; more bytes follow.
    Full(Part, Room),
    /// The rest of the file.
    Last(Part, Room),
}

/// What a part takes up until it is stored, and its drop gives back: a place among those of its
/// object under way, and its share in the memory of all.
#[derive(Debug)]
struct Room {
    _place: OwnedSemaphorePermit,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Writer {
    pub(in crate::store) async fn write(&mut self, mut chunk: Bytes) -> Result<(), Error> {
        while self.filling.len() + chunk.len() > PART_BYTES {
            let rest = chunk.split_off(PART_BYTES - self.filling.len());
            self.fill(chunk).await?;
            self.send_full_part().await?;
            chunk = rest;
        }
        self.fill(chunk).await
    }

    /// Waits, once a part is no longer small, until the memory of all has room for it. Whoever has
    /// its share needs no other to go on, so all get theirs in turn.
    async fn fill(&mut self, chunk: Bytes) -> Result<(), Error> {
        if chunk.is_empty() {
            return Ok(());
        }
        if self.counted.is_none() && self.filling.len() + chunk.len() > UNCOUNTED_BYTES {
            self.counted = Some(permit(&self.memory).await?);
        }
        self.filling.push(chunk);
        Ok(())
    }

    async fn send_full_part(&mut self) -> Result<(), Error> {
        let room = self.room().await?;
        let part = self.filling.take();
        match self.steps.send(Step::Full(part, room)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failure().await),
        }
    }

    /// Waits for a place among the parts under way: this is the back-pressure on the client.
    async fn room(&mut self) -> Result<Room, Error> {
        Ok(Room {
            _place: permit(&self.places).await?,
            _memory: self.counted.take(),
        })
    }

    pub(in crate::store) async fn finish(mut self) -> Result<Kept, Error> {
        let room = self.room().await?;
        let last = self.filling.take();
        match self.steps.send(Step::Last(last, room)).await {
            Ok(()) => (&mut self.storing).await.map_err(|_| Error::Interrupted)?,
            Err(_) => Err(self.failure().await),
        }
    }

    /// Why the task takes no more steps.
    async fn failure(&mut self) -> Error {
        match (&mut self.storing).await {
            Ok(Err(error)) => error,
            Ok(Ok(_)) | Err(_) => Error::Interrupted,
        }
    }
}

async fn permit(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
    let permit = Arc::clone(of).acquire_owned().await;
    permit.map_err(|_| Error::Interrupted)
}

/// All parts of a multipart upload.
#[derive(Debug)]
pub(super) struct Uploaded {
    pub(super) parts: Vec<CompletedPart>,
    pub(super) size: usize,
}

/// One object on its way into the bucket.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) access: Access,
    pub(super) key: ObjectKey,
    pub(super) content: ContentHeaders,
    pub(super) tasks: Tasks,
}

impl Object {
    /// Stores what the steps bring. Dropped results undo themselves, so it does not matter whether
    /// anybody still waits for this one.
    async fn store(self, mut steps: mpsc::Receiver<Step>) -> Result<Kept, Error> {
        match steps.recv().await {
            Some(Step::Last(part, _room)) => self.put(part).await,
            Some(Step::Full(part, room)) => self.multipart(part, room, steps).await,
            None => Err(Error::Interrupted),
        }
    }

    async fn put(self, part: Part) -> Result<Kept, Error> {
        let attempts = Attempts::default();
        let (only_create, value) = self.create_only();
        let mut call = Call::new("PutObject", Method::PUT, self.key.as_str())
            .with(CONTENT_TYPE, HeaderValue::from_static(self.content.mime))
            .with(only_create, value);
        if let Some(disposition) = self.disposition() {
            let disposition = HeaderValue::from_static(disposition);
            call = call.with(CONTENT_DISPOSITION, disposition);
        }
        call.body = Some(part);
        match self.access.send(&call, &attempts).await {
            Ok(_) => Ok(self.kept()),
            // The key is random: what stands there after a second attempt is our first.
            Err(error) if attempts.made() > 1 && is_already_there(&error) => Ok(self.kept()),
            Err(error) => {
                self.delete_if_uncertain(&error, &attempts).await;
                Err(error)
            }
        }
    }

    async fn multipart(
        self,
        first: Part,
        room: Room,
        steps: mpsc::Receiver<Step>,
    ) -> Result<Kept, Error> {
        let upload_id = self.create_upload().await?;
        let completing = Attempts::default();
        let stored = match self.upload_parts(&upload_id, first, room, steps).await {
            Ok(parts) => self.complete(&upload_id, parts, &completing).await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(()) => Ok(self.kept()),
            Err(error) => {
                // In this order: once the upload is gone, no completion that is still on its way
                // can make an object of it.
                self.abort(&upload_id).await;
                self.delete_if_uncertain(&error, &completing).await;
                Err(error)
            }
        }
    }

    pub(super) async fn create_upload(&self) -> Result<String, Error> {
        let attempts = Attempts::default();
        let call = self
            .access
            .client
            .create_multipart_upload()
            .bucket(self.access.bucket())
            .key(self.key.as_str())
            .content_type(self.content.mime)
            .set_content_disposition(self.disposition().map(str::to_owned))
            .customize()
            .interceptor(attempts.clone())
            .send();
        let created = self.access.within("CreateMultipartUpload", call).await;
        let upload_id = created.and_then(|created| {
            created.upload_id.ok_or_else(|| Error::Unavailable {
                operation: "CreateMultipartUpload",
                detail: "the answer holds no upload id".to_owned(),
                source: "no upload id".into(),
            })
        });
        if attempts.may_have_acted_unseen(upload_id.as_ref().err()) {
            self.abort_all_but(upload_id.as_deref().ok()).await;
        }
        upload_id
    }

    /// Aborts the uploads of our key whose ids were in answers that got lost.
    async fn abort_all_but(&self, ours: Option<&str>) {
        let key = self.key.as_str();
        let call = self
            .access
            .client
            .list_multipart_uploads()
            .bucket(self.access.bucket())
            .prefix(key)
            .send();
        let open = match self.access.undoing("ListMultipartUploads", call).await {
            Ok(open) => open,
            Err(error) => {
                tracing::warn!(%key, error = &error as &dyn std::error::Error, "an upload whose id was lost may stay open until the bucket's lifecycle rule ends it");
                return;
            }
        };
        let of_key = open
            .uploads()
            .iter()
            .filter(|upload| upload.key() == Some(key));
        for id in of_key.filter_map(|upload| upload.upload_id()) {
            if Some(id) != ours {
                self.abort(id).await;
            }
        }
    }

    /// Uploads parts as they come, up to [`PARTS_IN_FLIGHT`] at a time. When one fails the others
    /// have ended, too, before this returns: a part that arrives after the abort may stay.
    async fn upload_parts(
        &self,
        upload_id: &str,
        first: Part,
        room: Room,
        steps: mpsc::Receiver<Step>,
    ) -> Result<Uploaded, Error> {
        let mut under_way = JoinSet::new();
        let uploaded = self
            .upload_each(&mut under_way, upload_id, first, room, steps)
            .await;
        under_way.shutdown().await;
        uploaded
    }

    async fn upload_each(
        &self,
        under_way: &mut JoinSet<Result<CompletedPart, Error>>,
        upload_id: &str,
        first: Part,
        room: Room,
        mut steps: mpsc::Receiver<Step>,
    ) -> Result<Uploaded, Error> {
        let mut number = 1;
        let mut size = first.len();
        under_way.spawn(self.upload_part(upload_id, number, first, room));
        let mut done = Vec::new();
        let mut ended = false;
        while !ended || !under_way.is_empty() {
            tokio::select! {
                Some(part) = under_way.join_next() => {
                    done.push(part.map_err(|_| Error::Interrupted)??);
                }
                step = steps.recv(), if !ended => {
                    let (part, room) = match step {
                        Some(Step::Full(part, room)) => (part, room),
                        Some(Step::Last(part, room)) => { ended = true; (part, room) }
                        None => return Err(Error::Interrupted),
                    };
                    number += 1;
                    size += part.len();
                    under_way.spawn(self.upload_part(upload_id, number, part, room));
                }
            }
        }
        done.sort_by_key(CompletedPart::part_number);
        Ok(Uploaded { parts: done, size })
    }

    fn upload_part(
        &self,
        upload_id: &str,
        number: i32,
        part: Part,
        room: Room,
    ) -> impl Future<Output = Result<CompletedPart, Error>> + Send + 'static {
        let access = self.access.clone();
        let key = self.key.clone();
        let query = encoded_query(&[("partNumber", &number.to_string()), ("uploadId", upload_id)]);
        async move {
            let mut call = Call::new("UploadPart", Method::PUT, key.as_str());
            call.query = query;
            call.body = Some(part);
            let uploaded = access.send(&call, &Attempts::default()).await?;
            // The bytes first, then the room they took.
            drop((call, room));
            Ok(CompletedPart::builder()
                .part_number(number)
                .set_e_tag(uploaded.etag().map(str::to_owned))
                .build())
        }
    }

    pub(super) async fn complete(
        &self,
        upload_id: &str,
        Uploaded { parts, size }: Uploaded,
        attempts: &Attempts,
    ) -> Result<(), Error> {
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts))
            .build();
        let call = self
            .access
            .client
            .complete_multipart_upload()
            .bucket(self.access.bucket())
            .key(self.key.as_str())
            .upload_id(upload_id)
            .multipart_upload(parts)
            .set_if_none_match(self.if_none_match())
            .customize()
            .mutate_request(self.forbid_overwrite())
            .interceptor(attempts.clone())
            .send();
        match self.access.within("CompleteMultipartUpload", call).await {
            Ok(_) => Ok(()),
            // The answer to an earlier attempt was lost: S3 then says that the upload is gone, and
            // only the object itself can tell why.
            Err(error)
                if attempts.made() > 1
                    && (is_already_there(&error) || self.is_stored(size).await) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the whole object can be seen under its key.
    async fn is_stored(&self, size: usize) -> bool {
        let call = Call::head(self.key.as_str());
        let head = self.access.send(&call, &Attempts::default()).await;
        head.is_ok_and(|head| head.whole_size() == Some(size as u64))
    }

    pub(super) async fn abort(&self, upload_id: &str) {
        let call = Call::abort(self.key.as_str(), upload_id).undoing();
        // It may have been completed after all.
        if let Err(error) = self.access.end(call).await {
            let key = &self.key;
            tracing::error!(%key, error = &error as &dyn std::error::Error, "a multipart upload could not be aborted");
        }
    }

    /// Where a call may have stored the object all the same, it is removed. Elsewhere what stands
    /// under the key is not ours.
    async fn delete_if_uncertain(&self, error: &Error, attempts: &Attempts) {
        if attempts.may_have_acted_unseen(Some(error)) {
            self.access.delete(&self.key).await;
        }
    }

    fn kept(self) -> Kept {
        let Self {
            access, key, tasks, ..
        } = self;
        let removal = Removal { access, key, tasks };
        Kept(Some(store::Removal::Object(Box::new(removal))))
    }

    pub(super) fn disposition(&self) -> Option<&'static str> {
        self.content.attachment.then_some("attachment")
    }

    /// Create only, as the bucket's vendor says it.
    fn create_only(&self) -> (HeaderName, HeaderValue) {
        match self.access.bucket.dialect() {
            Dialect::S3 => (IF_NONE_MATCH, HeaderValue::from_static("*")),
            Dialect::Oss => (
                HeaderName::from_static(FORBID_OVERWRITE),
                HeaderValue::from_static("true"),
            ),
        }
    }

    /// Create only, as S3 says it.
    pub(super) fn if_none_match(&self) -> Option<String> {
        (self.access.bucket.dialect() == Dialect::S3).then(|| "*".to_owned())
    }

    /// Create only, as OSS says it.
    pub(super) fn forbid_overwrite(
        &self,
    ) -> impl Fn(&mut HttpRequest) + Clone + Send + Sync + 'static {
        let dialect = self.access.bucket.dialect();
        move |request| {
            if dialect == Dialect::Oss {
                request.headers_mut().insert(FORBID_OVERWRITE, "true");
            }
        }
    }
}

/// 412 `PreconditionFailed` is S3's word for it, 409 `FileAlreadyExists` OSS's.
fn is_already_there(error: &Error) -> bool {
    matches!(error, Error::Refused { code, .. }
        if matches!(code.as_str(), "PreconditionFailed" | "FileAlreadyExists"))
}

/// Counts the attempts of one call.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts(Arc<AtomicU32>);

impl Attempts {
    /// One more is about to be sent.
    pub(super) fn begin(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn made(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether an attempt whose answer never came may have done its work. A call that was never
    /// sent, or was clearly answered at once, has no such attempt.
    pub(super) fn may_have_acted_unseen(&self, error: Option<&Error>) -> bool {
        match (self.made(), error) {
            (0, _) | (1, None | Some(Error::Refused { .. })) => false,
            (_, _) => true,
        }
    }
}

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "Attempts"
    }

    fn modify_before_signing(
        &self,
        _: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.begin();
        Ok(())
    }
}

/// A stored object that may have to go again.
#[derive(Debug)]
pub(in crate::store) struct Removal {
    access: Access,
    key: ObjectKey,
    tasks: Tasks,
}

impl Removal {
    pub(in crate::store) fn run(self) {
        let Self { access, key, tasks } = self;
        tasks.spawn(async move { access.delete(&key).await });
    }
}
