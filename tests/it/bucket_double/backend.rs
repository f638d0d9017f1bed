//! S3 operations on the contents, called by `s3s`, which parses requests and verifies signatures; access
//! keys, session tokens, and the bucket in a Host header.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::*;
use s3s::host::{S3Host, VirtualHost};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::contents::{Contents, Object, Shared, Upload, change};
use super::refusal::{file_already_exists, refusal};
use super::{BUCKET, Dialect};

type Answer<T> = S3Result<S3Response<T>>;

/// The S3 operations on [`Contents`], and their access keys.
#[derive(Clone)]
pub(super) struct Backend {
    dialect: Dialect,
    contents: Shared,
}

impl Backend {
    /// Builds the service that `front` calls: parsing, signatures, tokens, operations.
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

    /// Returns the source of a copy, if the copy is permitted and its precondition is met.
    /// `is_whole`: the copy has no range, so the size limit applies.
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

    /// Refuses to overwrite an object if the request forbids it, with the
    /// dialect's error.
    fn check_overwrite(&self, now: &Contents, key: &str, headers: &HeaderMap) -> S3Result<()> {
        let exists = now.objects().contains_key(key);
        match self.dialect {
            Dialect::S3 if headers.contains_key("if-match") => {
                let message = "the double does not know If-Match";
                Err(s3_error!(NotImplemented, "{message}"))
            }
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
        let object = Object {
            bytes: collect(input.body).await?,
            ..described(&headers)
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
        let id = self.change(|now| {
            self.check_overwrite(now, &input.key, &headers)?;
            Ok(now.create_upload(input.key, described(&headers)))
        })?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            upload_id: Some(id),
            ..Default::default()
        }))
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        let input = request.input;
        let bytes = collect(input.body).await?;
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
            let bytes = copied_range(source, input.copy_source_range.as_deref())?;
            now.put_part(&input.key, &input.upload_id, input.part_number, bytes)
        })?;
        let result = CopyPartResult {
            e_tag: Some(ETag::Strong(etag)),
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
        let list = input.multipart_upload.and_then(|list| list.parts);
        let wanted = list.unwrap_or_default();
        // In bytes; the last part may be smaller.
        let smallest_part = match self.dialect {
            Dialect::S3 => 5 * 1024 * 1024,
            Dialect::Oss => 100 * 1024,
        };
        let etag = self.change(|now| {
            self.check_overwrite(now, &input.key, &headers)?;
            now.complete(&input.key, &input.upload_id, &wanted, smallest_part)
        })?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
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
        let now = self.contents.borrow();
        let below = |(_, upload): &(&String, &Upload)| upload.key.starts_with(&prefix);
        let uploads = now.uploads.iter().filter(below);
        let uploads = uploads.map(|(id, upload)| MultipartUpload {
            upload_id: Some(id.clone()),
            key: Some(upload.key.clone()),
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
        let now = self.contents.borrow();
        let parts = now.upload(&input.key, &input.upload_id)?.parts.iter();
        let parts = parts.filter(|(number, _)| **number > after);
        let parts = parts.map(|(number, part)| Part {
            part_number: Some(*number),
            size: Some(part.bytes.len() as i64),
            e_tag: Some(ETag::Strong(part.etag.clone())),
            ..Default::default()
        });
        let (page, is_truncated) = page(parts, input.max_parts)?;
        Ok(S3Response::new(ListPartsOutput {
            is_truncated: Some(is_truncated),
            next_part_number_marker: page.last().and_then(|part| part.part_number),
            parts: Some(page),
            ..Default::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> Answer<ListObjectsV2Output> {
        let input = request.input;
        let prefix = input.prefix.unwrap_or_default();
        let now = self.contents.borrow();
        if !now.role.may_list(&prefix) {
            return Err(s3_error!(AccessDenied));
        }
        if input.delimiter.is_some() {
            let message = "the double does not know delimiters";
            return Err(s3_error!(NotImplemented, "{message}"));
        }
        let after = input.continuation_token.or(input.start_after);
        let after = after.unwrap_or_default();
        let objects = now.objects().iter();
        let objects = objects.filter(|(key, _)| key.starts_with(&prefix) && **key > after);
        let objects = objects.map(|(key, object)| s3s::dto::Object {
            key: Some(key.clone()),
            size: Some(object.bytes.len() as i64),
            e_tag: Some(ETag::Strong(object.etag.clone())),
            last_modified: Some(Timestamp::from(now.stored_at(key))),
            ..Default::default()
        });
        let (page, is_truncated) = page(objects, input.max_keys)?;
        let last = page.last().and_then(|object| object.key.clone());
        Ok(S3Response::new(ListObjectsV2Output {
            is_truncated: Some(is_truncated),
            next_continuation_token: last.filter(|_| is_truncated),
            contents: Some(page),
            ..Default::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        let input = request.input;
        let object = self.contents.borrow().object(&input.key)?.clone();
        check_etag(&object.etag, input.if_match.as_ref())?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(object.bytes.len() as i64),
            content_type: object.content_type,
            content_disposition: object.content_disposition,
            e_tag: Some(ETag::Strong(object.etag)),
            ..Default::default()
        }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        let input = request.input;
        let object = self.contents.borrow().object(&input.key)?.clone();
        check_etag(&object.etag, input.if_match.as_ref())?;
        let (bytes, content_range) = slice(object.bytes, input.range)?;
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(bytes.len() as i64),
            content_range,
            body: Some(StreamingBlob::from(Body::from(bytes))),
            content_type: object.content_type,
            content_disposition: object.content_disposition,
            e_tag: Some(ETag::Strong(object.etag)),
            ..Default::default()
        }))
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        let (input, headers) = (request.input, request.headers);
        let etag = self.change(|now| {
            self.check_overwrite(now, &input.key, &headers)?;
            let if_match = input.copy_source_if_match.as_ref();
            let source = Self::source(now, &input.copy_source, if_match, true)?;
            let object = copied(source, &input, &headers);
            Ok(now.put(input.key, object))
        })?;
        let result = CopyObjectResult {
            e_tag: Some(ETag::Strong(etag)),
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

async fn collect(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(body) = body else {
        return Ok(Bytes::new());
    };
    // Reading also fails if the SHA-256 is not the signed one.
    let incomplete = |error| S3Error::with_source(S3ErrorCode::IncompleteBody, error);
    let bytes: BytesMut = body.try_collect().await.map_err(incomplete)?;
    Ok(bytes.freeze())
}

/// Returns an object without bytes, with the metadata in a request's headers.
fn described(headers: &HeaderMap) -> Object {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let header = |name: &str| headers.get(name).and_then(text);
    let metadata = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix("x-amz-meta-")?;
        Some((name.to_owned(), text(value)?))
    });
    Object {
        content_type: header("content-type"),
        content_disposition: header("content-disposition"),
        cache_control: header("cache-control"),
        metadata: metadata.collect(),
        acl: header("x-amz-acl"),
        ..Object::default()
    }
}

/// Returns one page of a list, and whether another follows.
fn page<T>(mut all: impl Iterator<Item = T>, asked: Option<i32>) -> S3Result<(Vec<T>, bool)> {
    const MAX: usize = 1000;
    let asked = asked.map_or(Ok(MAX), usize::try_from);
    let max = asked.map_err(|_| s3_error!(InvalidArgument, "a page has 0 to 1000 entries"))?;
    let page = all.by_ref().take(max.min(MAX)).collect();
    Ok((page, all.next().is_some()))
}

/// Returns the requested range, and its `Content-Range`.
fn slice(bytes: Bytes, range: Option<Range>) -> S3Result<(Bytes, Option<String>)> {
    let Some(range) = range else {
        return Ok((bytes, None));
    };
    let total = bytes.len();
    let asked = range.check(total as u64)?;
    let (start, end) = (asked.start as usize, asked.end as usize);
    let range = format!("bytes {start}-{}/{total}", end - 1);
    Ok((bytes.slice(start..end), Some(range)))
}

/// Copies `source`, with new metadata if the request replaces it. The ACL is
/// never copied.
fn copied(source: &Object, input: &CopyObjectInput, headers: &HeaderMap) -> Object {
    let described = described(headers);
    let replaces = input.metadata_directive.as_ref();
    if replaces.map(MetadataDirective::as_str) == Some(MetadataDirective::REPLACE) {
        return Object {
            bytes: source.bytes.clone(),
            etag: source.etag.clone(),
            ..described
        };
    }
    Object {
        acl: described.acl,
        ..source.clone()
    }
}

fn check_etag(etag: &str, wanted: Option<&ETagCondition>) -> S3Result<()> {
    match wanted.and_then(ETagCondition::as_etag) {
        Some(wanted) if wanted.value() != etag => Err(s3_error!(PreconditionFailed)),
        _ => Ok(()),
    }
}

/// Returns the bytes of a source for a copied part.
fn copied_range(source: &Object, range: Option<&str>) -> S3Result<Bytes> {
    let Some(range) = range else {
        return Ok(source.bytes.clone());
    };
    match Range::parse(range) {
        Ok(Range::Int {
            first,
            last: Some(last),
        }) if last < source.bytes.len() as u64 => {
            Ok(source.bytes.slice(first as usize..=last as usize))
        }
        _ => {
            let message = "Range specified is not valid for source object";
            Err(s3_error!(InvalidArgument, "{message}"))
        }
    }
}

/// Looks up the secret keys with which `s3s` verifies signatures.
#[async_trait]
impl S3Auth for Backend {
    async fn get_secret_key(&self, key_id: &str) -> S3Result<SecretKey> {
        let now = self.contents.borrow();
        Ok(SecretKey::from(now.key(key_id)?.secret.clone()))
    }
}

/// Refuses unsigned requests, requests with a wrong session token, and requests to other buckets.
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

/// Returns the session token in a request's headers or presigned query.
fn session_token(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    if let Some(token) = headers.get("x-amz-security-token") {
        return Some(String::from_utf8_lossy(token.as_bytes()).into_owned());
    }
    let mut pairs = uri.query()?.split('&');
    let token = pairs.find_map(|pair| pair.strip_prefix("X-Amz-Security-Token="))?;
    Some(percent_decode_str(token).decode_utf8_lossy().into_owned())
}

/// Returns the bucket in a virtual-hosted `Host`; `None` in path style.
pub(super) fn bucket_in(host: &str) -> Option<&str> {
    let (label, domain) = host.split_once('.')?;
    let is_endpoint = ["s3.", "s3-", "oss-"].iter().any(|p| domain.starts_with(p));
    (label == BUCKET || (is_endpoint && label != "s3")).then_some(label)
}

/// Accepts every host, since tests use the clouds' host names.
struct AnyHost;

impl S3Host for AnyHost {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        Ok(match bucket_in(host) {
            Some(bucket) => VirtualHost::new(host).with_bucket(bucket),
            None => VirtualHost::new(host),
        })
    }
}
