//! State of the double: objects, multipart uploads, recorded requests, access keys, permissions and
//! faults; and the rules of storing. No HTTP.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::time::SystemTime;

use bytes::Bytes;
use s3s::dto::{CompletedPart, ETag};
use s3s::{S3Result, s3_error};
use tokio::sync::watch;

use super::front::{Planned, Recorded};
use super::role::Role;

/// One stored object, or the metadata of one that is being uploaded in parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) bytes: Bytes,
    pub(crate) content_type: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) cache_control: Option<String>,
    /// `x-amz-meta-*`, without the prefix.
    pub(crate) metadata: BTreeMap<String, String>,
    /// The canned ACL it was stored with.
    pub(crate) acl: Option<String>,
    /// Without quotes.
    pub(crate) etag: String,
}

impl Object {
    /// Returns an object of these bytes, without metadata.
    pub(crate) fn with(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            ..Self::default()
        }
    }
}

/// A valid access key.
pub(super) struct Key {
    pub(super) secret: String,
    pub(super) session_token: Option<String>,
}

/// A multipart upload, neither completed nor aborted.
pub(super) struct Upload {
    pub(super) key: String,
    /// The later object without its bytes; only CreateMultipartUpload sends its metadata.
    blank: Object,
    /// By number; they have no metadata.
    pub(super) parts: BTreeMap<i32, Object>,
}

/// The whole state of the double; tests wait for changes and inspect it.
#[derive(Default)]
pub(crate) struct Contents {
    objects: BTreeMap<String, Object>,
    /// Time at which each object was stored.
    times: BTreeMap<String, SystemTime>,
    /// Open uploads, by id.
    pub(super) uploads: BTreeMap<String, Upload>,
    uploads_created: usize,
    pub(super) requests: Vec<Recorded>,
    /// The valid access keys, by id.
    pub(super) keys: BTreeMap<String, Key>,
    pub(super) role: Role,
    /// Planned faults, oldest first.
    pub(super) planned: Vec<Planned>,
}

/// The contents, shared by connections and waiting tests.
pub(super) type Shared = watch::Sender<Contents>;

/// Changes the contents and wakes waiting tests.
pub(super) fn change<T>(contents: &Shared, change: impl FnOnce(&mut Contents) -> T) -> T {
    let mut result = None;
    contents.send_modify(|now| result = Some(change(now)));
    result.expect("send_modify calls its closure")
}

impl Contents {
    pub(crate) fn objects(&self) -> &BTreeMap<String, Object> {
        &self.objects
    }

    /// Counts open uploads.
    pub(crate) fn open_uploads(&self) -> usize {
        self.uploads.len()
    }

    /// Returns the bytes in parts of open uploads.
    pub(crate) fn part_bytes(&self) -> usize {
        let uploads = self.uploads.values();
        let parts = uploads.flat_map(|upload| upload.parts.values());
        parts.map(|part| part.bytes.len()).sum()
    }

    pub(crate) fn requests(&self) -> &[Recorded] {
        &self.requests
    }

    /// Whether no request is in progress, so that nothing changes without a new
    /// one. Also true before the first request: check `requests` as well.
    pub(crate) fn is_idle(&self) -> bool {
        !self.requests.iter().any(|request| request.in_progress)
    }

    /// Records a request and returns its number.
    pub(super) fn record(&mut self, request: Recorded) -> usize {
        self.requests.push(request);
        self.requests.len() - 1
    }

    /// Returns an object. A missing one is `AccessDenied` without permission to list.
    pub(super) fn object(&self, key: &str) -> S3Result<&Object> {
        let missing = || {
            if self.role.may_list_all() {
                s3_error!(NoSuchKey)
            } else {
                s3_error!(AccessDenied)
            }
        };
        self.objects.get(key).ok_or_else(missing)
    }

    pub(super) fn key(&self, id: &str) -> S3Result<&Key> {
        self.keys.get(id).ok_or_else(|| {
            let message = "The access key id you provided does not exist in our records.";
            s3_error!(InvalidAccessKeyId, "{message}")
        })
    }

    /// Returns the time at which an object was stored.
    pub(super) fn stored_at(&self, key: &str) -> SystemTime {
        self.times[key]
    }

    /// Stores an object and returns its ETag.
    pub(super) fn put(&mut self, key: String, mut object: Object) -> String {
        if object.etag.is_empty() {
            object.etag = etag(&object.bytes);
        }
        let etag = object.etag.clone();
        self.times.insert(key.clone(), SystemTime::now());
        self.objects.insert(key, object);
        etag
    }

    /// Replaces the bytes of an object, if it exists.
    pub(super) fn swap(&mut self, key: &str, bytes: &'static [u8]) {
        if let Some(object) = self.objects.get_mut(key) {
            object.bytes = Bytes::from_static(bytes);
            object.etag = etag(bytes);
        }
    }

    /// Deletes an object; a missing one is no error, as with S3.
    pub(super) fn delete(&mut self, key: &str) {
        self.objects.remove(key);
    }

    /// Creates a multipart upload and returns its id.
    pub(super) fn create_upload(&mut self, key: String, blank: Object) -> String {
        self.uploads_created += 1;
        let id = format!("upload-{}", self.uploads_created);
        let parts = BTreeMap::new();
        self.uploads
            .insert(id.clone(), Upload { key, blank, parts });
        id
    }

    /// Stores a part, replacing an earlier one of this number, and returns its ETag.
    pub(super) fn put_part(
        &mut self,
        key: &str,
        id: &str,
        number: i32,
        bytes: Bytes,
    ) -> S3Result<String> {
        if !(1..=10_000).contains(&number) {
            return Err(s3_error!(InvalidArgument, "part numbers are 1 to 10000"));
        }
        let etag = etag(&bytes);
        let part = Object {
            etag: etag.clone(),
            ..Object::with(bytes)
        };
        self.upload(key, id)?;
        let upload = self.uploads.get_mut(id).expect("just looked up");
        upload.parts.insert(number, part);
        Ok(etag)
    }

    /// Deletes an upload and its parts.
    pub(super) fn abort(&mut self, key: &str, id: &str) -> S3Result<()> {
        self.upload(key, id)?;
        self.uploads.remove(id);
        Ok(())
    }

    /// Assembles an object from the listed parts and returns its ETag; a refused
    /// completion leaves the upload open.
    pub(super) fn complete(
        &mut self,
        key: &str,
        id: &str,
        wanted: &[CompletedPart],
        smallest_part: usize,
    ) -> S3Result<String> {
        let upload = self.upload(key, id)?;
        let parts = chosen(&upload.parts, wanted)?;
        let object = joined(&upload.blank, &parts, smallest_part)?;
        self.uploads.remove(id);
        Ok(self.put(key.to_owned(), object))
    }

    pub(super) fn upload(&self, key: &str, id: &str) -> S3Result<&Upload> {
        let upload = self.uploads.get(id).filter(|upload| upload.key == key);
        upload.ok_or_else(|| s3_error!(NoSuchUpload))
    }
}

/// Prints keys and sizes without bytes, for failed assertions.
impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} object(s)", self.objects.len())?;
        for (key, object) in &self.objects {
            writeln!(f, "  object {key}: {} bytes", object.bytes.len())?;
        }
        for (id, upload) in &self.uploads {
            let sizes: Vec<_> = upload.parts.values().map(|p| p.bytes.len()).collect();
            writeln!(f, "  open {id} of {}: parts of {sizes:?} bytes", upload.key)?;
        }
        writeln!(f, "after {} request(s)", self.requests.len())?;
        for request in &self.requests {
            writeln!(f, "  {request}")?;
        }
        Ok(())
    }
}

/// Returns the parts listed by a completion, which must exist, unchanged and in order.
fn chosen<'a>(
    parts: &'a BTreeMap<i32, Object>,
    wanted: &[CompletedPart],
) -> S3Result<Vec<&'a Object>> {
    if wanted.is_empty() {
        return Err(s3_error!(MalformedXML, "a completion names its parts"));
    }
    if !wanted.is_sorted_by(|a, b| a.part_number < b.part_number) {
        return Err(s3_error!(InvalidPartOrder));
    }
    let find = |wanted: &CompletedPart| {
        let part = wanted.part_number.and_then(|number| parts.get(&number));
        let etag = wanted.e_tag.as_ref().map(ETag::value);
        part.filter(|part| etag == Some(&part.etag))
            .ok_or_else(|| s3_error!(InvalidPart))
    };
    wanted.iter().map(find).collect()
}

/// Joins parts into one object; only the last may be small.
fn joined(blank: &Object, parts: &[&Object], smallest_part: usize) -> S3Result<Object> {
    let all_but_last = &parts[..parts.len() - 1];
    if all_but_last.iter().any(|p| p.bytes.len() < smallest_part) {
        return Err(s3_error!(EntityTooSmall));
    }
    let bytes: Vec<_> = parts.iter().map(|part| &*part.bytes).collect();
    let bytes = Bytes::from(bytes.concat());
    Ok(Object {
        etag: format!("{}-{}", etag(&bytes), parts.len()),
        bytes,
        ..blank.clone()
    })
}

/// Hashes the bytes. Not MD5, as clients must not rely on that, and MD5 of
/// 100 MB takes seconds in an unoptimised build.
fn etag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("{:016x}{:016x}", hasher.finish(), bytes.len())
}
