//! Between `s3s`, which parses requests and checks signatures, and the contents:
//! one method per S3 operation, the keys that may sign, and which bucket a host names.

use std::collections::BTreeMap;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use hyper::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::crypto::{Checksum, Md5};
use s3s::dto::*;
use s3s::host::{S3Host, VirtualHost};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::contents::{Contents, Object, Shared, change};
use super::refusal::{file_already_exists, refusal};
use super::{BUCKET, Dialect};

type Answer<T> = S3Result<S3Response<T>>;

/// The S3 operations over [`Contents`], and the keys that may call them.
#[derive(Clone)]
pub(super) struct Backend {
    dialect: Dialect,
    contents: Shared,
}

impl Backend {
    /// Everything behind the front: parsing, signatures, tokens, operations.
    pub(super) fn service(dialect: Dialect, contents: Shared) -> S3Service {
        let backend = Self { dialect, contents };
        let mut builder = S3ServiceBuilder::new(backend.clone());
        builder.set_auth(backend.clone());
        builder.set_access(backend);
        builder.set_host(AnyHost);
        builder.build()
    }

    fn change<T>(&self, what: impl FnOnce(&mut Contents) -> S3Result<T>) -> S3Result<T> {
        change(&self.contents, what)
    }

    /// The object a copy reads, where it may be read and is still the one that was meant.
    /// `is_whole`: all of it is copied, however large.
    fn source<'a>(
        now: &'a Contents,
        source: &CopySource,
        if_match: Option<&ETagCondition>,
        is_whole: bool,
    ) -> S3Result<&'a Object> {
        let CopySource::Bucket { bucket, key, .. } = source else {
            return Err(s3_error!(NotImplemented, "only bucket/key is a source"));
        };
        check_bucket(bucket)?;
        let source = now.object(key)?;
        check_etag(&source.etag, if_match)?;
        if is_whole && !now.role.may_copy(source.bytes.len()) {
            let message = "The specified copy source is larger than the maximum allowable size \
                           for a copy source";
            return Err(s3_error!(InvalidRequest, "{message}"));
        }
        Ok(source)
    }

    /// The smallest part that need not be the last, in bytes.
    fn smallest_part(&self) -> usize {
        match self.dialect {
            Dialect::S3 => 5 * 1024 * 1024,
            Dialect::Oss => 100 * 1024,
        }
    }

    /// Refuses to replace an object where the request forbids it, in the words
    /// of the dialect.
    fn check_overwrite(&self, now: &Contents, key: &str, headers: &HeaderMap) -> S3Result<()> {
        let exists = now.objects().contains_key(key);
        match self.dialect {
            Dialect::S3 if headers.contains_key("if-match") => Err(s3_error!(
                NotImplemented,
                "the double does not know If-Match"
            )),
            Dialect::S3 if exists && has(headers, "if-none-match", "*") => {
                Err(s3_error!(PreconditionFailed))
            }
            Dialect::Oss if exists && has(headers, "x-oss-forbid-overwrite", "true") => {
                Err(file_already_exists())
            }
            Dialect::S3 | Dialect::Oss => Ok(()),
        }
    }
}

#[async_trait]
impl S3 for Backend {
    async fn head_bucket(&self, _request: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        let (input, headers) = (request.input, request.headers);
        let bytes = collect(input.body, input.content_length, input.content_md5).await?;
        let object = Object {
            bytes,
            content_type: input.content_type,
            content_disposition: input.content_disposition,
            cache_control: input.cache_control,
            metadata: sorted(input.metadata),
            acl: input.acl.map(|acl| acl.as_str().to_owned()),
            etag: String::new(),
        };
        let etag = self.change(|now| {
            self.check_overwrite(now, &input.key, &headers)?;
            Ok(now.put(input.key, object))
        })?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(etag)),
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        let (input, headers) = (request.input, request.headers);
        let blank = Object {
            content_type: input.content_type,
            content_disposition: input.content_disposition,
            cache_control: input.cache_control,
            metadata: sorted(input.metadata),
            acl: input.acl.map(|acl| acl.as_str().to_owned()),
            ..Default::default()
        };
        let id = self.change(|now| {
            self.check_overwrite(now, &input.key, &headers)?;
            Ok(now.create_upload(input.key.clone(), blank))
        })?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..Default::default()
        }))
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        let input = request.input;
        let bytes = collect(input.body, input.content_length, input.content_md5).await?;
        let etag = self
            .change(|now| now.put_part(&input.key, &input.upload_id, input.part_number, bytes))?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(etag)),
            ..Default::default()
        }))
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> Answer<UploadPartCopyOutput> {
        let input = request.input;
        let etag = self.change(|now| {
            let is_whole = input.copy_source_range.is_none();
            let if_match = input.copy_source_if_match.as_ref();
            let source = Self::source(now, &input.copy_source, if_match, is_whole)?;
            let bytes = range_of(source, input.copy_source_range.as_deref())?;
            now.put_part(&input.key, &input.upload_id, input.part_number, bytes)
        })?;
        let result = CopyPartResult {
            e_tag: Some(ETag::Strong(etag)),
            last_modified: Some(Timestamp::from(SystemTime::now())),
            ..Default::default()
        };
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result: Some(result),
            ..Default::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let (input, headers) = (request.input, request.headers);
        let wanted = wanted_parts(input.multipart_upload)?;
        let etag = self.change(|now| {
            self.check_overwrite(now, &input.key, &headers)?;
            now.complete(&input.key, &input.upload_id, &wanted, self.smallest_part())
        })?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(etag)),
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        let input = request.input;
        self.change(|now| now.abort(&input.key, &input.upload_id))?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> Answer<ListMultipartUploadsOutput> {
        let prefix = request.input.prefix.unwrap_or_default();
        let open = self.contents.borrow().uploads_below(&prefix).into_iter();
        let uploads = open.map(|(id, key)| MultipartUpload {
            upload_id: Some(id),
            key: Some(key),
            ..Default::default()
        });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            uploads: Some(uploads.collect()),
            is_truncated: Some(false),
            ..Default::default()
        }))
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        let input = request.input;
        let after = input.part_number_marker.unwrap_or(0);
        let mut parts = listed(&self.contents.borrow(), &input.key, &input.upload_id, after)?;
        let most = page(input.max_parts)?;
        let is_truncated = parts.len() > most;
        parts.truncate(most);
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            is_truncated: Some(is_truncated),
            next_part_number_marker: parts.last().and_then(|part| part.part_number),
            part_number_marker: Some(after),
            max_parts: input.max_parts,
            parts: Some(parts),
            ..Default::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> Answer<ListObjectsV2Output> {
        let input = request.input;
        let prefix = input.prefix.unwrap_or_default();
        if !self.contents.borrow().role.may_list(&prefix) {
            return Err(s3_error!(AccessDenied));
        }
        if input.delimiter.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "the double does not know delimiters"
            ));
        }
        let after = input.continuation_token.or(input.start_after);
        let after = after.unwrap_or_default();
        let mut found = below(&self.contents.borrow(), &prefix, &after);
        let most = page(input.max_keys)?;
        let is_truncated = found.len() > most;
        found.truncate(most);
        let last = found.last().and_then(|object| object.key.clone());
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(prefix),
            max_keys: input.max_keys,
            key_count: i32::try_from(found.len()).ok(),
            is_truncated: Some(is_truncated),
            next_continuation_token: last.filter(|_| is_truncated),
            contents: Some(found),
            ..Default::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        let input = request.input;
        let object = self.contents.borrow().object(&input.key)?.clone();
        check_etag(&object.etag, input.if_match.as_ref())?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(length(&object.bytes)),
            content_type: object.content_type,
            content_disposition: object.content_disposition,
            cache_control: object.cache_control,
            metadata: Some(object.metadata.into_iter().collect()),
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(self.contents.borrow().stored_at(&input.key).into()),
            ..Default::default()
        }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        let input = request.input;
        let object = self.contents.borrow().object(&input.key)?.clone();
        check_etag(&object.etag, input.if_match.as_ref())?;
        let (bytes, content_range) = slice(object.bytes, input.range)?;
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".into()),
            content_length: Some(length(&bytes)),
            content_range,
            body: Some(StreamingBlob::from(Body::from(bytes))),
            content_type: object.content_type,
            content_disposition: object.content_disposition,
            cache_control: object.cache_control,
            metadata: Some(object.metadata.into_iter().collect()),
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(self.contents.borrow().stored_at(&input.key).into()),
            ..Default::default()
        }))
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        let (input, headers) = (request.input, request.headers);
        let etag = self.change(|now| {
            self.check_overwrite(now, &input.key, &headers)?;
            let if_match = input.copy_source_if_match.as_ref();
            let source = Self::source(now, &input.copy_source, if_match, true)?;
            Ok(now.put(input.key.clone(), copied(source, &input)))
        })?;
        let result = CopyObjectResult {
            e_tag: Some(ETag::Strong(etag)),
            last_modified: Some(Timestamp::from(SystemTime::now())),
            ..Default::default()
        };
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(result),
            ..Default::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> Answer<DeleteObjectOutput> {
        change(&self.contents, |now| now.delete(&request.input.key));
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }
}

fn check_bucket(bucket: &str) -> S3Result<()> {
    if bucket == BUCKET {
        return Ok(());
    }
    Err(s3_error!(NoSuchBucket, "there is only {BUCKET}"))
}

fn has(headers: &HeaderMap, name: &str, value: &str) -> bool {
    headers.get(name).is_some_and(|held| held == value)
}

/// The whole body, whose length and `Content-MD5` must be as announced.
async fn collect(
    body: Option<StreamingBlob>,
    announced: Option<i64>,
    md5: Option<String>,
) -> S3Result<Bytes> {
    let mut bytes = BytesMut::with_capacity(announced.unwrap_or(0).try_into().unwrap_or(0));
    if let Some(mut body) = body {
        // Also the end of a body whose SHA-256 is not the signed one.
        let incomplete = |error| S3Error::with_source(S3ErrorCode::IncompleteBody, error);
        while let Some(chunk) = body.try_next().await.map_err(incomplete)? {
            bytes.extend_from_slice(&chunk);
        }
    }
    if announced.is_some_and(|announced| announced != length(&bytes)) {
        return Err(s3_error!(IncompleteBody));
    }
    if md5.is_some_and(|md5| md5 != base64_simd::STANDARD.encode_to_string(Md5::checksum(&bytes))) {
        return Err(s3_error!(BadDigest));
    }
    Ok(bytes.freeze())
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).expect("memory ends before")
}

fn sorted(metadata: Option<Metadata>) -> BTreeMap<String, String> {
    metadata.into_iter().flatten().collect()
}

/// The part numbers and ETags a completion lists.
fn wanted_parts(list: Option<CompletedMultipartUpload>) -> S3Result<Vec<(i32, Option<String>)>> {
    let parts = list.and_then(|list| list.parts).unwrap_or_default();
    let pair = |part: CompletedPart| {
        let number = part.part_number.ok_or_else(|| s3_error!(MalformedXML))?;
        Ok((number, part.e_tag.map(ETag::into_value)))
    };
    parts.into_iter().map(pair).collect()
}

/// The parts of an upload, from the one behind `after`.
fn listed(now: &Contents, key: &str, id: &str, after: i32) -> S3Result<Parts> {
    let parts = now.parts(key, id)?.iter();
    let parts = parts.filter(|(number, _)| **number > after);
    let parts = parts.map(|(number, part)| Part {
        part_number: Some(*number),
        size: Some(length(&part.bytes)),
        e_tag: Some(ETag::Strong(part.etag.clone())),
        last_modified: Some(Timestamp::from(SystemTime::now())),
        ..Default::default()
    });
    Ok(parts.collect())
}

/// The objects whose keys begin with `prefix`, from the one behind `after`.
fn below(now: &Contents, prefix: &str, after: &str) -> ObjectList {
    let objects = now.objects().iter();
    let objects = objects.filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
    let objects = objects.map(|(key, object)| s3s::dto::Object {
        key: Some(key.clone()),
        size: Some(length(&object.bytes)),
        e_tag: Some(ETag::Strong(object.etag.clone())),
        last_modified: Some(Timestamp::from(now.stored_at(key))),
        ..Default::default()
    });
    objects.collect()
}

/// How many entries a page of a list has.
fn page(asked: Option<i32>) -> S3Result<usize> {
    const MOST: usize = 1000;
    let asked = asked.map_or(Ok(MOST), usize::try_from);
    let asked = asked.map_err(|_| s3_error!(InvalidArgument, "a page has 0 to 1000 entries"))?;
    Ok(asked.min(MOST))
}

/// The bytes a `Range` asks for, and the `Content-Range` that says so.
fn slice(bytes: Bytes, range: Option<Range>) -> S3Result<(Bytes, Option<String>)> {
    let Some(range) = range else {
        return Ok((bytes, None));
    };
    let total = bytes.len();
    let asked = range.check(total as u64)?;
    let (start, end) = (asked.start as usize, asked.end as usize);
    let said = format!("bytes {start}-{}/{total}", end - 1);
    Ok((bytes.slice(start..end), Some(said)))
}

/// The object a copy makes of `source`, described anew if the request replaces
/// the description. The ACL is never copied.
fn copied(source: &Object, input: &CopyObjectInput) -> Object {
    let acl = input.acl.as_ref().map(|acl| acl.as_str().to_owned());
    let replaces = input.metadata_directive.as_ref();
    if replaces.map(MetadataDirective::as_str) != Some(MetadataDirective::REPLACE) {
        return Object {
            acl,
            ..source.clone()
        };
    }
    Object {
        bytes: source.bytes.clone(),
        content_type: input.content_type.clone(),
        content_disposition: input.content_disposition.clone(),
        cache_control: input.cache_control.clone(),
        metadata: sorted(input.metadata.clone()),
        acl,
        etag: source.etag.clone(),
    }
}

fn check_etag(etag: &str, wanted: Option<&ETagCondition>) -> S3Result<()> {
    match wanted {
        Some(ETagCondition::ETag(wanted)) if wanted.value() != etag => {
            Err(s3_error!(PreconditionFailed))
        }
        Some(_) | None => Ok(()),
    }
}

/// The bytes of a source that a copied part is made of.
fn range_of(source: &Object, range: Option<&str>) -> S3Result<Bytes> {
    let Some(range) = range else {
        return Ok(source.bytes.clone());
    };
    let strange = || s3_error!(InvalidArgument, "the range must be bytes=first-last");
    let (first, last) = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
        .ok_or_else(strange)?;
    let first: usize = first.parse().map_err(|_| strange())?;
    let last: usize = last.parse().map_err(|_| strange())?;
    if first > last || last >= source.bytes.len() {
        return Err(s3_error!(
            InvalidArgument,
            "Range specified is not valid for source object"
        ));
    }
    Ok(source.bytes.slice(first..=last))
}

/// Gives `s3s` the secrets it checks signatures with.
#[async_trait]
impl S3Auth for Backend {
    async fn get_secret_key(&self, key_id: &str) -> S3Result<SecretKey> {
        let now = self.contents.borrow();
        Ok(SecretKey::from(now.key(key_id)?.secret.clone()))
    }
}

/// Refuses unsigned requests, those whose session token is not the key's, and those to other buckets.
#[async_trait]
impl S3Access for Backend {
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(signer) = request.credentials() else {
            return Err(s3_error!(AccessDenied, "Signature is required"));
        };
        let now = self.contents.borrow();
        let expected = &now.key(&signer.access_key)?.session_token;
        match session_token(request.headers(), request.uri()) {
            sent if sent == *expected => request
                .s3_path()
                .get_bucket_name()
                .map_or(Ok(()), check_bucket),
            None => Err(s3_error!(AccessDenied, "the session token is missing")),
            Some(_) => {
                let message = "the session token is not this key's";
                Err(refusal(403, "InvalidToken", message))
            }
        }
    }
}

/// The session token of a request, in its headers or in a presigned query.
fn session_token(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    if let Some(token) = headers.get("x-amz-security-token") {
        return Some(String::from_utf8_lossy(token.as_bytes()).into_owned());
    }
    let mut pairs = uri.query()?.split('&');
    let token = pairs.find_map(|pair| pair.strip_prefix("X-Amz-Security-Token="))?;
    Some(percent_decode_str(token).decode_utf8_lossy().into_owned())
}

/// The bucket a `Host` names in virtual-hosted style, `None` in path style.
pub(super) fn bucket_in(host: &str) -> Option<&str> {
    let (label, domain) = host.split_once('.')?;
    let is_endpoint = ["s3.", "s3-", "oss-"].iter().any(|p| domain.starts_with(p));
    (label == BUCKET || (is_endpoint && label != "s3")).then_some(label)
}

/// Takes every host for ours, as tests connect under the clouds' names.
struct AnyHost;

impl S3Host for AnyHost {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        Ok(match bucket_in(host) {
            Some(bucket) => VirtualHost::new(host).with_bucket(bucket),
            None => VirtualHost::new(host),
        })
    }
}
