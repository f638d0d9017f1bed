//! Multipart uploads: created, completed, aborted and listed, for our own writes (`write.rs`), copies
//! in parts (`publish.rs`) and clients that upload their parts themselves (`client_multipart.rs`).

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use axum::http::Method;

use super::{Deadline, MAX_PARTS, Session, request::Call, retry::Attempts, sigv4::encoded_query};
use crate::store::{ContentHeaders, Error, ObjectKey, chunks::Part};

/// A part in the list that completes an upload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CompletePart {
    pub(super) number: i32,
    pub(super) etag: String,
}

/// All parts of this program's own upload.
#[derive(Debug)]
pub(super) struct Uploaded {
    pub(super) parts: Vec<CompletePart>,
    pub(super) size: u64,
}

/// Whether completing an upload may replace an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overwrite {
    Allowed,
    Forbidden,
}

/// An uploaded part, from ListParts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPart {
    /// Part number, 1 to 10,000.
    pub number: i32,
    /// Size in bytes.
    pub size: u64,
    /// ETag.
    pub etag: String,
}

impl CompletePart {
    pub(super) fn new(
        operation: &'static str,
        number: i32,
        etag: Option<String>,
    ) -> Result<Self, Error> {
        let missing = || Error::incomplete_response(operation, "the response has no ETag");
        let etag = etag.ok_or_else(missing)?;
        Ok(Self { number, etag })
    }
}

/// Builds the query of a call about one part.
pub(super) fn part_query(upload_id: &str, number: i32) -> String {
    encoded_query(&[("partNumber", &number.to_string()), ("uploadId", upload_id)])
}

impl Session {
    /// Creates an upload and returns its id. Aborts one whose id was lost with a response.
    pub(super) async fn create_multipart(
        &self,
        key: &ObjectKey,
        content: &ContentHeaders,
    ) -> Result<String, Error> {
        let attempts = Attempts::default();
        let mut call = Call::new("CreateMultipartUpload", Method::POST, key.as_str())
            .with_content(content, self);
        call.query = encoded_query(&[("uploads", "")]);
        let created = self.send(&call, &attempts).await;
        let upload_id = created.and_then(|created| {
            let missing =
                || Error::incomplete_response(call.operation, "the response has no upload id");
            created.element("UploadId").ok_or_else(missing)
        });
        if attempts.outcome_is_unknown(upload_id.as_ref().err()) {
            self.abort_lost(key, upload_id.as_deref().ok()).await;
        }
        upload_id
    }

    /// Uploads a part of this program's own upload.
    pub(super) async fn upload_part(
        &self,
        key: &ObjectKey,
        upload_id: &str,
        number: i32,
        part: Part,
    ) -> Result<CompletePart, Error> {
        let mut call = Call::new("UploadPart", Method::PUT, key.as_str());
        call.query = part_query(upload_id, number);
        call.body = Some(part);
        let uploaded = self.send(&call, &Attempts::default()).await?;
        CompletePart::new(call.operation, number, uploaded.etag().map(str::to_owned))
    }

    /// Aborts uploads of a key whose ids were in lost responses.
    async fn abort_lost(&self, key: &ObjectKey, ours: Option<&str>) {
        let call = self
            .sdk()
            .list_multipart_uploads()
            .bucket(self.name())
            .prefix(key.as_str())
            .customize()
            .config_override(self.call_config(&Attempts::default()))
            .send();
        let open = match self
            .wait("ListMultipartUploads", Deadline::Undo, call)
            .await
        {
            Ok(open) => open,
            Err(error) => {
                tracing::warn!(%key, error = &error as &dyn std::error::Error, "could not list multipart uploads; one whose id was lost may remain until the bucket's lifecycle rule aborts it");
                return;
            }
        };
        for upload in open.uploads() {
            if let (Some(upload_key), Some(id)) = (upload.key(), upload.upload_id())
                && upload_key == key.as_str()
                && Some(id) != ours
            {
                self.abort_or_log(key, id).await;
            }
        }
    }

    /// Completes an upload, which creates the object.
    pub(super) async fn complete_multipart(
        &self,
        key: &ObjectKey,
        upload_id: &str,
        parts: Vec<CompletePart>,
        overwrite: Overwrite,
        attempts: &Attempts,
    ) -> Result<(), Error> {
        let parts = parts.into_iter().map(|CompletePart { number, etag }| {
            let part = CompletedPart::builder().part_number(number).e_tag(etag);
            part.build()
        });
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts.collect()))
            .build();
        let call = self
            .sdk()
            .complete_multipart_upload()
            .bucket(self.name())
            .key(key.as_str())
            .upload_id(upload_id)
            .multipart_upload(parts)
            .customize()
            .config_override(self.call_config(attempts));
        let call = match overwrite {
            Overwrite::Allowed => call,
            Overwrite::Forbidden => call.mutate_request(self.create_only()),
        };
        let completed = self.wait("CompleteMultipartUpload", Deadline::Store, call.send());
        completed.await.map(|_| ())
    }

    /// Completes this program's own upload into an object that must not exist yet, or aborts it.
    pub(super) async fn complete_or_abort(
        &self,
        key: &ObjectKey,
        upload_id: &str,
        uploaded: Result<Uploaded, Error>,
        attempts: &Attempts,
    ) -> Result<(), Error> {
        let completed = match uploaded {
            Ok(uploaded) => self.complete_new(key, upload_id, uploaded, attempts).await,
            Err(error) => Err(error),
        };
        if completed.is_err() {
            self.abort_or_log(key, upload_id).await;
        }
        completed
    }

    async fn complete_new(
        &self,
        key: &ObjectKey,
        upload_id: &str,
        Uploaded { parts, size }: Uploaded,
        attempts: &Attempts,
    ) -> Result<(), Error> {
        let overwrite = Overwrite::Forbidden;
        let completed = self.complete_multipart(key, upload_id, parts, overwrite, attempts);
        match completed.await {
            // The response to an earlier attempt was lost: S3 then answers that the upload does not exist,
            // and only the object shows whether it was completed.
            Err(error)
                if attempts.made() > 1
                    && (error.already_exists() || self.has_size(key, size).await) =>
            {
                Ok(())
            }
            completed => completed,
        }
    }

    async fn has_size(&self, key: &ObjectKey, size: u64) -> bool {
        let call = Call::head(key.as_str());
        let head = self.send(&call, &Attempts::default()).await;
        head.is_ok_and(|head| head.size() == Some(size))
    }

    /// Aborts an upload as part of undoing. Logs a failure.
    pub(super) async fn abort_or_log(&self, key: &ObjectKey, upload_id: &str) {
        let call = Call::abort(key.as_str(), upload_id).undoing();
        // 404: it may have been completed after all.
        if let Err(error) = self.send_removal(call).await {
            tracing::error!(%key, error = &error as &dyn std::error::Error, "could not abort a multipart upload");
        }
    }

    /// Lists the uploaded parts, in order.
    pub(super) async fn list_parts(
        &self,
        key: &ObjectKey,
        upload_id: &str,
    ) -> Result<Vec<ListedPart>, Error> {
        let mut parts = Vec::new();
        let mut after = None;
        loop {
            let call = self
                .sdk()
                .list_parts()
                .bucket(self.name())
                .key(key.as_str())
                .upload_id(upload_id)
                .set_part_number_marker(after.take())
                .customize()
                .config_override(self.call_config(&Attempts::default()))
                .send();
            let page = self.wait("ListParts", Deadline::Store, call).await?;
            parts.extend(page.parts().iter().filter_map(|part| {
                Some(ListedPart {
                    number: part.part_number()?,
                    size: part.size()?.try_into().ok()?,
                    etag: part.e_tag()?.to_owned(),
                })
            }));
            let is_last = page.is_truncated != Some(true) || page.parts().is_empty();
            if is_last || parts.len() >= MAX_PARTS as usize {
                return Ok(parts);
            }
            after = page.next_part_number_marker;
        }
    }
}
