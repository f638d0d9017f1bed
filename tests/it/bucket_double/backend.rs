//! Between `s3s`, which parses requests and checks signatures, and the contents:
//! one method per S3 operation, the keys that may sign, and which bucket a host names.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use hyper::{HeaderMap, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::crypto::{Checksum, Md5};
use s3s::dto::*;
use s3s::host::{S3Host, VirtualHost};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use tokio::sync::watch;

use super::contents::{Contents, Object};
use super::{BUCKET, Dialect};

/// The S3 operations over [`Contents`].
pub(super) struct Backend {
    dialect: Dialect,
    contents: Arc<watch::Sender<Contents>>,
}

/// Everything behind the front: parsing, signatures, tokens, operations.
pub(super) fn service(backend: Backend, keys: Arc<Keys>) -> S3Service {
    let mut builder = S3ServiceBuilder::new(backend);
    builder.set_auth(Signatures(keys.clone()));
    builder.set_access(SessionTokens(keys));
    builder.set_host(AnyHost);
    builder.build()
}

impl Backend {
    pub(super) fn new(dialect: Dialect, contents: Arc<watch::Sender<Contents>>) -> Self {
        Self { dialect, contents }
    }

    /// Looks at the contents.
    fn read<T>(&self, look: impl FnOnce(&Contents) -> T) -> T {
        look(&self.contents.borrow())
    }

    /// Changes the contents and wakes whoever waits for a change.
    fn change<T>(&self, change: impl FnOnce(&mut Contents) -> S3Result<T>) -> S3Result<T> {
        let mut result = None;
        self.contents.send_modify(|now| result = Some(change(now)));
        result.expect("send_modify calls its closure")
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
    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        check_bucket(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let (input, headers) = (request.input, request.headers);
        check_bucket(&input.bucket)?;
        let bytes = collect(input.body, input.content_length, input.content_md5).await?;
        let object = Object {
            bytes,
            content_type: input.content_type,
            content_disposition: input.content_disposition,
            cache_control: input.cache_control,
            metadata: sorted(input.metadata),
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
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let (input, headers) = (request.input, request.headers);
        check_bucket(&input.bucket)?;
        let blank = Object {
            content_type: input.content_type,
            content_disposition: input.content_disposition,
            cache_control: input.cache_control,
            metadata: sorted(input.metadata),
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

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        let bytes = collect(input.body, input.content_length, input.content_md5).await?;
        let etag = self
            .change(|now| now.put_part(&input.key, &input.upload_id, input.part_number, bytes))?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(etag)),
            ..Default::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let (input, headers) = (request.input, request.headers);
        check_bucket(&input.bucket)?;
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
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        self.change(|now| now.abort(&input.key, &input.upload_id))?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        check_bucket(&request.input.bucket)?;
        let prefix = request.input.prefix.unwrap_or_default();
        let open = self.read(|now| now.uploads_below(&prefix)).into_iter();
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

    async fn list_parts(
        &self,
        request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        let parts = self.read(|now| listed(now, &input.key, &input.upload_id))?;
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            is_truncated: Some(false),
            parts: Some(parts),
            ..Default::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        let object = self.read(|now| now.object(&input.key).cloned())?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(length(&object.bytes)),
            content_type: object.content_type,
            content_disposition: object.content_disposition,
            cache_control: object.cache_control,
            metadata: Some(object.metadata.into_iter().collect()),
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(Timestamp::from(SystemTime::now())),
            ..Default::default()
        }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        let object = self.read(|now| now.object(&input.key).cloned())?;
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
            last_modified: Some(Timestamp::from(SystemTime::now())),
            ..Default::default()
        }))
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let (input, headers) = (request.input, request.headers);
        check_bucket(&input.bucket)?;
        let etag = self.change(|now| {
            self.check_overwrite(now, &input.key, &headers)?;
            let object = copied(now, &input)?;
            Ok(now.put(input.key, object))
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
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        check_bucket(&request.input.bucket)?;
        self.change(|now| {
            now.delete(&request.input.key);
            Ok(())
        })?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }
}

fn check_bucket(bucket: &str) -> S3Result<()> {
    if bucket == BUCKET {
        return Ok(());
    }
    Err(s3_error!(NoSuchBucket, "there is only {BUCKET}"))
}

/// OSS's answer to `x-oss-forbid-overwrite: true` on a key that is taken.
fn file_already_exists() -> S3Error {
    let code = S3ErrorCode::Custom("FileAlreadyExists".into());
    let mut error = S3Error::with_message(
        code,
        "The object you specified already exists and can not be overwritten.",
    );
    error.set_status_code(StatusCode::CONFLICT);
    error
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

fn listed(now: &Contents, key: &str, id: &str) -> S3Result<Parts> {
    let parts = now.parts(key, id)?.iter().map(|(number, part)| Part {
        part_number: Some(*number),
        size: Some(length(&part.bytes)),
        e_tag: Some(ETag::Strong(part.etag.clone())),
        ..Default::default()
    });
    Ok(parts.collect())
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

/// The object a copy makes: its source, described anew if the request replaces
/// the description.
fn copied(now: &Contents, input: &CopyObjectInput) -> S3Result<Object> {
    let CopySource::Bucket { bucket, key, .. } = &input.copy_source else {
        return Err(s3_error!(NotImplemented, "only bucket/key is a source"));
    };
    check_bucket(bucket)?;
    let source = now.object(key)?;
    check_source_etag(&source.etag, input.copy_source_if_match.as_ref())?;
    let replaces = input.metadata_directive.as_ref();
    if replaces.map(MetadataDirective::as_str) != Some(MetadataDirective::REPLACE) {
        return Ok(source.clone());
    }
    Ok(Object {
        bytes: source.bytes.clone(),
        content_type: input.content_type.clone(),
        content_disposition: input.content_disposition.clone(),
        cache_control: input.cache_control.clone(),
        metadata: sorted(input.metadata.clone()),
        etag: source.etag.clone(),
    })
}

fn check_source_etag(etag: &str, wanted: Option<&ETagCondition>) -> S3Result<()> {
    match wanted {
        Some(ETagCondition::ETag(wanted)) if wanted.value() != etag => {
            Err(s3_error!(PreconditionFailed))
        }
        Some(_) | None => Ok(()),
    }
}

/// The keys that may sign, with their secrets and session tokens.
#[derive(Default)]
pub(super) struct Keys(Mutex<HashMap<String, Key>>);

struct Key {
    secret: String,
    session_token: Option<String>,
}

impl Keys {
    pub(super) fn allow(&self, key_id: &str, secret: &str, session_token: Option<&str>) {
        let key = Key {
            secret: secret.to_owned(),
            session_token: session_token.map(str::to_owned),
        };
        let mut keys = self.0.lock().expect("no panic while held");
        keys.insert(key_id.to_owned(), key);
    }

    fn look_up<T>(&self, key_id: &str, look: impl FnOnce(&Key) -> T) -> S3Result<T> {
        let keys = self.0.lock().expect("no panic while held");
        let key = keys.get(key_id);
        key.map(look).ok_or_else(|| s3_error!(InvalidAccessKeyId))
    }
}

/// Gives `s3s` the secrets it checks signatures with.
struct Signatures(Arc<Keys>);

#[async_trait]
impl S3Auth for Signatures {
    async fn get_secret_key(&self, key_id: &str) -> S3Result<SecretKey> {
        self.0
            .look_up(key_id, |key| SecretKey::from(key.secret.clone()))
    }
}

/// Refuses unsigned requests, and those whose session token is not the key's.
struct SessionTokens(Arc<Keys>);

#[async_trait]
impl S3Access for SessionTokens {
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(signer) = request.credentials() else {
            return Err(s3_error!(AccessDenied, "Signature is required"));
        };
        let expected = self
            .0
            .look_up(&signer.access_key, |key| key.session_token.clone())?;
        // A POST form carries its token as a field, which is not visible here.
        if request.s3_op().name() == "PostObject" {
            return Ok(());
        }
        match (session_token(request.headers(), request.uri()), expected) {
            (sent, expected) if sent == expected => Ok(()),
            (None, _) => Err(s3_error!(AccessDenied, "the session token is missing")),
            (Some(_), _) => Err(invalid_token()),
        }
    }
}

fn invalid_token() -> S3Error {
    let mut error = s3_error!(InvalidToken, "the session token is not this key's");
    error.set_status_code(StatusCode::FORBIDDEN);
    error
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
