//! Objects that are in the bucket already: looked at, copied to another key, found, removed.
//!
//! A copy is made of the very bytes that were seen (`x-amz-copy-source-if-match`), never writes over
//! another object, and describes the object anew: what the client said about it stays behind.

use aws_sdk_s3::types::{CompletedPart, MetadataDirective};
use axum::http::{HeaderValue, Method, header::RANGE};
use chrono::DateTime;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    Access, MAX_PARTS,
    request::{Answer, Call},
    write::{Attempts, Object, Uploaded},
};
use crate::store::{ContentHeaders, Error, Found, ObjectKey, Published, Seen, Tasks};

/// Parts of one object that are copied at a time: the bucket does the work.
const COPIES_IN_FLIGHT: usize = 8;

impl Access {
    /// One request, so that size, bytes and ETag are of the same object.
    pub(in crate::store) async fn look(
        &self,
        key: &ObjectKey,
        head_bytes: usize,
    ) -> Result<Option<Seen>, Error> {
        let last = head_bytes.saturating_sub(1);
        let range = HeaderValue::try_from(format!("bytes=0-{last}"));
        let mut call = Call::new("GetObject", Method::GET, key.as_str());
        call.wanted = head_bytes;
        call.headers.extend(range.ok().map(|range| (RANGE, range)));
        match self.send(&call, &Attempts::default()).await {
            Ok(answer) => seen(call.operation, answer).map(Some),
            // 403: nothing is there, and the function may not list the bucket.
            Err(Error::Refused {
                status: 403 | 404, ..
            }) => Ok(None),
            // No byte to begin with.
            Err(Error::Refused { status: 416, .. }) => Ok(Some(Seen::nothing())),
            Err(error) => Err(error),
        }
    }

    /// Copies what was seen.
    pub(in crate::store) async fn copy(
        &self,
        from: &ObjectKey,
        seen: &Seen,
        to: &ObjectKey,
        content: ContentHeaders,
        tasks: &Tasks,
    ) -> Result<Published, Error> {
        Copy {
            object: Object {
                access: self.clone(),
                key: to.clone(),
                content,
                tasks: tasks.clone(),
            },
            from: from.clone(),
            size: seen.size,
            version: seen.version.clone(),
        }
        .run()
        .await
    }

    /// The first object whose key begins so.
    pub(in crate::store) async fn find(&self, beginning: &str) -> Result<Option<Found>, Error> {
        let call = self
            .client
            .list_objects_v2()
            .bucket(self.bucket())
            .prefix(beginning)
            .max_keys(1)
            .send();
        let listed = self.within("ListObjectsV2", call).await?;
        let found = listed.contents().iter().find_map(|object| {
            let key = ObjectKey::parse(object.key()?).ok()?;
            let size = object.size()?.try_into().ok()?;
            let since = DateTime::from_timestamp(object.last_modified()?.secs(), 0)?;
            let is_it = key.as_str().starts_with(beginning);
            is_it.then_some(Found { key, size, since })
        });
        Ok(found)
    }

    /// Removes an object, whether it is there or not.
    pub(in crate::store) async fn remove(&self, key: &ObjectKey) -> Result<(), Error> {
        self.end(Call::delete(key.as_str())).await
    }

    /// Makes a call that ends something, which may have ended already.
    pub(super) async fn end(&self, call: Call<'_>) -> Result<(), Error> {
        match self.send(&call, &Attempts::default()).await {
            Ok(_) | Err(Error::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether something stands under the key, as far as the bucket tells.
    pub(super) async fn is_there(&self, key: &ObjectKey) -> Result<bool, Error> {
        let call = Call::head(key.as_str()).undoing();
        match self.send(&call, &Attempts::default()).await {
            Ok(_) => Ok(true),
            Err(Error::Refused {
                status: 403 | 404, ..
            }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Without its size an object could be too large, and without its ETag another one than is copied.
fn seen(operation: &'static str, answer: Answer) -> Result<Seen, Error> {
    let told = answer.whole_size().zip(answer.etag().map(str::to_owned));
    let (size, version) = told.ok_or_else(|| Error::Unavailable {
        operation,
        detail: "the answer holds no size or no ETag".to_owned(),
        source: "an answer that is not S3's".into(),
    })?;
    Ok(Seen {
        head: answer.body,
        size,
        version,
    })
}

/// One copy within the bucket.
struct Copy {
    object: Object,
    from: ObjectKey,
    size: u64,
    version: String,
}

impl Copy {
    async fn run(self) -> Result<Published, Error> {
        let attempts = Attempts::default();
        let copied = match self.size <= self.settings().one_copy_bytes {
            true => self.at_once(&attempts).await,
            false => self.in_parts(&attempts).await,
        };
        match copied {
            Ok(()) => Ok(Published::Now),
            Err(Error::Refused {
                status: 404 | 409 | 412,
                ..
            }) => self.what_stands_there().await,
            // It may have been made all the same.
            Err(error) if attempts.may_have_acted_unseen(Some(&error)) => {
                match self.object.access.is_there(&self.object.key).await {
                    Ok(true) => Ok(Published::Now),
                    Ok(false) | Err(_) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Either the source is not what was seen any more, or there is a copy already.
    async fn what_stands_there(&self) -> Result<Published, Error> {
        match self.object.access.is_there(&self.object.key).await? {
            true => Ok(Published::Before),
            false => Ok(Published::Changed),
        }
    }

    async fn at_once(&self, attempts: &Attempts) -> Result<(), Error> {
        let object = &self.object;
        let call = object
            .access
            .client
            .copy_object()
            .bucket(object.access.bucket())
            .key(object.key.as_str())
            .copy_source(self.source())
            .copy_source_if_match(&self.version)
            .metadata_directive(MetadataDirective::Replace)
            .content_type(object.content.mime)
            .set_content_disposition(object.disposition().map(str::to_owned))
            .set_if_none_match(object.if_none_match())
            .customize()
            .mutate_request(object.forbid_overwrite())
            .interceptor(attempts.clone())
            .send();
        object.access.within("CopyObject", call).await.map(|_| ())
    }

    async fn in_parts(&self, attempts: &Attempts) -> Result<(), Error> {
        let object = &self.object;
        let upload_id = object.create_upload().await?;
        let copied = match self.copy_parts(&upload_id).await {
            Ok(parts) => object.complete(&upload_id, parts, attempts).await,
            Err(error) => Err(error),
        };
        if copied.is_err() {
            object.abort(&upload_id).await;
        }
        copied
    }

    async fn copy_parts(&self, upload_id: &str) -> Result<Uploaded, Error> {
        let part_bytes = self
            .settings()
            .one_copy_bytes
            .div_ceil(2)
            .max(self.size.div_ceil(MAX_PARTS as u64));
        let copies = (0..self.size.div_ceil(part_bytes)).map(|index| {
            let start = index * part_bytes;
            let end = self.size.min(start + part_bytes);
            self.copy_part(upload_id, index as i32 + 1, start, end)
        });
        let parts = stream::iter(copies)
            .buffered(COPIES_IN_FLIGHT)
            .try_collect()
            .await?;
        Ok(Uploaded {
            parts,
            size: self.size as usize,
        })
    }

    async fn copy_part(
        &self,
        upload_id: &str,
        number: i32,
        start: u64,
        end: u64,
    ) -> Result<CompletedPart, Error> {
        let object = &self.object;
        let call = object
            .access
            .client
            .upload_part_copy()
            .bucket(object.access.bucket())
            .key(object.key.as_str())
            .upload_id(upload_id)
            .part_number(number)
            .copy_source(self.source())
            .copy_source_if_match(&self.version)
            .copy_source_range(format!("bytes={start}-{}", end - 1))
            .send();
        let copied = object.access.within("UploadPartCopy", call).await?;
        let e_tag = copied.copy_part_result.and_then(|part| part.e_tag);
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(e_tag)
            .build())
    }

    fn settings(&self) -> &super::Settings {
        &self.object.access.bucket.0.settings
    }

    /// A key has no byte that would have to be encoded here.
    fn source(&self) -> String {
        format!("{}/{}", self.object.access.bucket(), self.from)
    }
}

impl Seen {
    fn nothing() -> Self {
        Self {
            head: bytes::Bytes::new(),
            size: 0,
            version: String::new(),
        }
    }
}
