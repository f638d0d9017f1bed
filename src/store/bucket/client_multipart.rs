//! Uploads in parts that a client puts into the bucket by itself: the function begins and ends them
//! and signs an address for each part.

use std::time::Duration;

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};

use super::{
    Access, MAX_PARTS,
    request::Call,
    sigv4::{self, Presigned},
    write::Object,
};
use crate::store::{ContentHeaders, Error, ObjectKey, Tasks};

/// A part that the bucket has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPart {
    /// 1 to 10,000.
    pub number: i32,
    /// In bytes.
    pub size: u64,
    /// As the bucket names its content.
    pub etag: String,
}

/// Uploads whose parts clients put into the bucket.
#[derive(Clone, Copy, Debug)]
pub struct PartUploads<'s> {
    access: &'s Access,
    tasks: &'s Tasks,
}

impl<'s> PartUploads<'s> {
    pub(in crate::store) fn new(access: &'s Access, tasks: &'s Tasks) -> Self {
        Self { access, tasks }
    }

    /// Begins an upload; returns the bucket's id for it. One whose id got lost is aborted.
    ///
    /// # Errors
    /// Why the bucket did not.
    pub async fn begin(self, key: &ObjectKey) -> Result<String, Error> {
        let Self { access, tasks } = self;
        let object = Object {
            access: access.clone(),
            key: key.clone(),
            content: ContentHeaders::UNKNOWN,
            tasks: tasks.clone(),
        };
        object.create_upload().await
    }

    /// The parts that the bucket has, in order.
    ///
    /// # Errors
    /// Why the bucket does not tell; [`Error::Refused`] with 404 when the upload has ended.
    pub async fn list(self, key: &ObjectKey, id: &str) -> Result<Vec<ListedPart>, Error> {
        let Self { access, .. } = self;
        let mut parts = Vec::new();
        let mut after = None;
        loop {
            let call = access
                .client
                .list_parts()
                .bucket(access.bucket())
                .key(key.as_str())
                .upload_id(id)
                .set_part_number_marker(after.take())
                .send();
            let page = access.within("ListParts", call).await?;
            parts.extend(page.parts().iter().filter_map(|part| {
                Some(ListedPart {
                    number: part.part_number()?,
                    size: part.size()?.try_into().ok()?,
                    etag: part.e_tag()?.to_owned(),
                })
            }));
            after = page.next_part_number_marker;
            let is_last =
                page.is_truncated != Some(true) || page.parts.is_none_or(|page| page.is_empty());
            if is_last || parts.len() >= MAX_PARTS as usize {
                return Ok(parts);
            }
        }
    }

    /// An address that takes one part, by `PUT`, for as long as `life`.
    ///
    /// # Errors
    /// [`Error::NoCredentials`], or why a container's agent gave none.
    pub async fn address(
        self,
        key: &ObjectKey,
        id: &str,
        number: i32,
        life: Duration,
    ) -> Result<String, Error> {
        let Self { access, .. } = self;
        let keys = access.keys().await?;
        let address = access.bucket.client_address().await?;
        let request = Presigned {
            method: "PUT",
            scheme: address.scheme(),
            host: address.host().to_str().unwrap_or_default(),
            path: &address.path_of(key.as_str()),
            query: &[("partNumber", &number.to_string()), ("uploadId", id)],
            expires: life,
        };
        let now = access.bucket.0.clock.now();
        Ok(sigv4::presigned(request, &keys, address.region(), now))
    }

    /// Makes an object of the parts named, each with its ETag.
    ///
    /// # Errors
    /// Why the bucket did not; [`Error::Refused`] with 400 for parts it does not have, with 404 when
    /// the upload has ended.
    pub async fn complete(
        self,
        key: &ObjectKey,
        id: &str,
        parts: Vec<(i32, String)>,
    ) -> Result<(), Error> {
        let Self { access, .. } = self;
        let parts = parts.into_iter().map(|(number, etag)| {
            CompletedPart::builder()
                .part_number(number)
                .e_tag(etag)
                .build()
        });
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts.collect()))
            .build();
        let call = access
            .client
            .complete_multipart_upload()
            .bucket(access.bucket())
            .key(key.as_str())
            .upload_id(id)
            .multipart_upload(parts)
            .send();
        let completed = access.within("CompleteMultipartUpload", call).await;
        completed.map(|_| ())
    }

    /// Ends an upload without an object, also when it has ended already.
    ///
    /// # Errors
    /// Why it may still be open.
    pub async fn abort(self, key: &ObjectKey, id: &str) -> Result<(), Error> {
        let Self { access, .. } = self;
        access.end(Call::abort(key.as_str(), id)).await
    }
}
