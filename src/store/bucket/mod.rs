//! The store in a bucket: S3, OSS through its S3-compatible API, or another S3-compatible server.
//!
//! This file has the settings, the bucket and a request's session with it; `write.rs` writes objects,
//! `publish.rs` and `multipart.rs` work on existing objects and multipart uploads.

mod client_multipart;
mod endpoint;
mod memory;
mod multipart;
mod pool;
mod presigned_get;
mod presigned_post;
mod publish;
mod request;
mod retry;
mod sdk;
pub mod sigv4;
mod write;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::http::{HeaderName, HeaderValue, Method, header::IF_NONE_MATCH};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

pub use self::{
    client_multipart::ClientMultipart,
    endpoint::oss_endpoint,
    multipart::ListedPart,
    pool::{Certificates, Connections, Trusted},
    presigned_get::{Read, ReadSigner, SignedRead},
    presigned_post::{PostConditions, PresignedPost},
    write::Writer,
};
use self::{
    endpoint::Addresses,
    memory::Memory,
    request::Call,
    retry::{Attempts, RetryTokens, SkewedClock},
    sigv4::{PresignedUrl, Signer, SigningKeys, Stamp},
};
pub(super) use self::{memory::IDLE_GRACE, sigv4::hex, write::Object};
use super::{BoxError, Credentials, CredentialsProvider, Error, ObjectKey, TimeLimit};

/// Largest buffer of an object, in bytes. An object that is known to be no larger is stored in one call;
/// one whose type is not known yet is buffered up to this size.
pub const ONE_CALL_BYTES: usize = 8 * 1024 * 1024;
/// Size of the parts of a larger object except the last, in bytes: the smallest that S3 accepts. It
/// accepts at most 10,000; docs/PERFORMANCE.md compares sizes.
pub const PART_BYTES: usize = 5 * 1024 * 1024;

/// Most parts of an upload (S3 and OSS, "multipart upload limits").
pub const MAX_PARTS: i32 = 10_000;
/// Default of [`Settings::one_copy_bytes`].
pub const ONE_COPY_BYTES: u64 = 256 * 1024 * 1024;

/// Vendor whose API the bucket follows where S3 and OSS differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Amazon S3 and most S3-compatible servers.
    S3,
    /// Aliyun OSS, which answers 501 to `If-None-Match` and has its own header instead
    /// (error 0026-00000002 of OSS's list).
    Oss,
}

impl Dialect {
    /// Name in the response of `GET /healthz`.
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Oss => "oss",
        }
    }

    /// Smallest part that a client should send, in bytes. S3 refuses smaller ones except the last; OSS
    /// accepts 100 KiB, and bills each part.
    fn part_bytes(self) -> u64 {
        match self {
            Self::S3 => 5 << 20,
            Self::Oss => 1 << 20,
        }
    }

    /// Header that prevents a write from overwriting an object.
    fn create_only(self) -> (HeaderName, &'static str) {
        match self {
            Self::S3 => (IF_NONE_MATCH, "*"),
            Self::Oss => (HeaderName::from_static("x-oss-forbid-overwrite"), "true"),
        }
    }
}

/// Settings of a bucket.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `UPLOAD_STORE=s3://…` or `oss://…`
    pub dialect: Dialect,
    /// The bucket's name.
    pub bucket: String,
    /// `UPLOAD_REGION`
    pub region: String,
    /// `UPLOAD_ENDPOINT`; `None` for AWS's own.
    pub endpoint: Option<String>,
    /// `UPLOAD_PATH_STYLE`
    pub path_style: bool,
    /// `SSL_CERT_FILE`: root certificates that TLS trusts besides the public ones.
    pub certificates: Certificates,
    /// Credentials for requests without their own.
    pub credentials: Option<CredentialsProvider>,
    /// Timeouts of calls.
    pub timeouts: Timeouts,
    /// Largest object copied in one call, in bytes; a larger one is copied in parts of half that size.
    /// S3 and OSS accept 5 GiB, but slowly.
    pub one_copy_bytes: u64,
    /// `UPLOAD_MEMORY_BYTES`: memory for the parts of all uploads together, in bytes.
    pub memory_bytes: usize,
    /// `UPLOAD_CACHE_CONTROL`: `Cache-Control` of every object.
    pub cache_control: HeaderValue,
}

/// Timeouts of a call to the bucket.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Timeout of connecting.
    pub connect: Duration,
    /// Timeout of one attempt.
    pub attempt: Duration,
    /// Timeout of a call with its three attempts.
    pub operation: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            attempt: Duration::from_secs(30),
            operation: Duration::from_secs(70),
        }
    }
}

/// A bucket and the connections to it; cheap to clone.
#[derive(Clone, Debug)]
pub struct Bucket(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    connections: Connections,
    addresses: Addresses,
    signing_keys: SigningKeys,
    clock: SkewedClock,
    retry_tokens: RetryTokens,
    /// Built at the first call: most requests do not need it, and it is a large part of the memory of an
    /// idle process.
    sdk: OnceLock<sdk::Client>,
    /// Whether signatures cover payloads (`x-amz-content-sha256`): only over plain HTTP to another machine.
    /// With TLS or on loopback, hashing would be most of an upload's cost, without a benefit.
    signs_payloads: bool,
    memory: Memory,
    tasks: TaskTracker,
}

impl Inner {
    /// Presigns a URL for one request of a client.
    fn presign(
        &self,
        credentials: &Credentials,
        stamp: &Stamp,
        method: &str,
        key: &ObjectKey,
        query: &[(&str, &str)],
        expires: Duration,
    ) -> String {
        let address = &self.addresses.clients;
        let region = address.region();
        let signer = Signer {
            credentials,
            key: &self.signing_keys.key(credentials, region, stamp),
            region,
            stamp,
        };
        signer.presign(PresignedUrl {
            method,
            scheme: address.scheme(),
            host: address.host().to_str().unwrap_or_default(),
            path: &address.object_path(key.as_str()),
            query,
            expires,
        })
    }
}

impl Bucket {
    pub(super) fn new(settings: Settings) -> Result<Self, Error> {
        let trusted = match settings.endpoint.as_deref() {
            Some(endpoint) if endpoint.starts_with("http://") => Trusted::Nobody,
            _ => Trusted::Public(&settings.certificates),
        };
        let connections = Connections::new(trusted, settings.timeouts.connect);
        Self::over(settings, connections)
    }

    /// Opens a bucket over given connections.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when its address cannot be derived.
    pub fn over(settings: Settings, connections: Connections) -> Result<Self, Error> {
        let addresses = Addresses::resolve(&settings).map_err(|source| {
            Error::unavailable(
                "finding the bucket",
                "its address cannot be derived",
                source,
            )
        })?;
        Ok(Self(Arc::new(Inner {
            signs_payloads: addresses.own.is_remote_plain_http(),
            memory: Memory::new(settings.memory_bytes),
            settings,
            connections,
            addresses,
            signing_keys: SigningKeys::default(),
            clock: SkewedClock::default(),
            retry_tokens: RetryTokens::default(),
            sdk: OnceLock::new(),
            tasks: TaskTracker::new(),
        })))
    }

    /// Vendor whose API it follows.
    pub fn dialect(&self) -> Dialect {
        self.0.settings.dialect
    }

    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// Begins a request's session.
    pub(super) fn session(
        &self,
        credentials: Option<Credentials>,
        limit: Option<TimeLimit>,
    ) -> Result<Session, Error> {
        let credentials = credentials
            .map(CredentialsProvider::Static)
            .or_else(|| self.0.settings.credentials.clone())
            .ok_or(Error::NoCredentials)?;
        Ok(Session {
            bucket: self.clone(),
            credentials,
            limit,
        })
    }

    /// Sends HeadBucket in the background to open a connection. It stays open even if the role may only
    /// write and the call is refused.
    pub(super) fn warm(&self) {
        const TIMEOUT: Duration = Duration::from_secs(2);
        // A handshake takes about a millisecond of processor time, which the start of the runtime
        // needs first.
        const DELAY: Duration = Duration::from_millis(5);
        let bucket = self.clone();
        self.0.tasks.spawn(async move {
            tokio::time::sleep(DELAY).await;
            let Ok(session) = bucket.session(None, None) else {
                return;
            };
            let call = Call::new("HeadBucket", Method::HEAD, "");
            let attempts = Attempts::default();
            let response = tokio::time::timeout(TIMEOUT, session.send(&call, &attempts)).await;
            tracing::debug!(
                answered = response.is_ok(),
                "connected to the bucket in advance"
            );
        });
    }
}

/// A bucket with the credentials and the time limit of one request.
#[derive(Clone, Debug)]
pub(super) struct Session {
    bucket: Bucket,
    credentials: CredentialsProvider,
    limit: Option<TimeLimit>,
}

/// Deadline of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deadline {
    Store,
    /// No deadline: the call undoes, in a task for which the response need not wait.
    Undo,
}

impl Session {
    fn name(&self) -> &str {
        &self.bucket.0.settings.bucket
    }

    fn until(&self, deadline: Deadline) -> Option<Instant> {
        let limit = self.limit.filter(|_| deadline == Deadline::Store);
        limit.map(|limit| limit.store_until)
    }

    /// Removes an object as part of undoing. Logs a failure.
    async fn delete(&self, key: &ObjectKey) {
        let call = Call::delete(key.as_str()).undoing();
        if let Err(error) = self.send(&call, &Attempts::default()).await {
            tracing::error!(%key, error = &error as &dyn std::error::Error, "could not remove an object of a failed request");
        }
    }
}

impl Error {
    /// Converts the bucket's error response.
    fn from_response(
        operation: &'static str,
        status: u16,
        code: String,
        request_id: String,
        source: BoxError,
    ) -> Self {
        match status {
            // 3xx: the bucket is in another region.
            300..=499 => Self::Refused {
                operation,
                status,
                code,
                request_id,
                source,
            },
            _ => {
                let detail = format!("{status} {code}, request id {request_id:?}");
                Self::unavailable(operation, detail, source)
            }
        }
    }

    fn no_response(operation: &'static str, source: BoxError) -> Self {
        Self::unavailable(operation, "no response", source)
    }

    /// Creates an error for a response without something that every S3 server sends.
    fn incomplete_response(operation: &'static str, detail: &'static str) -> Self {
        Self::unavailable(operation, detail, "not a response of S3".into())
    }

    /// Whether it is a refusal to overwrite: 412 `PreconditionFailed` of S3, 409 `FileAlreadyExists` of OSS.
    pub(super) fn already_exists(&self) -> bool {
        matches!(self, Self::Refused { code, .. }
            if matches!(code.as_str(), "PreconditionFailed" | "FileAlreadyExists"))
    }
}

/// A bucket for the unit tests of this module.
#[cfg(test)]
mod fixture {
    use super::*;
    use crate::store::test_server::TestServer;

    pub(super) fn settings(endpoint: &str) -> Settings {
        Settings {
            dialect: Dialect::S3,
            bucket: "chat".to_owned(),
            region: "eu-west-1".to_owned(),
            endpoint: Some(endpoint.to_owned()),
            path_style: true,
            certificates: Certificates::default(),
            credentials: None,
            timeouts: Timeouts::default(),
            one_copy_bytes: 0,
            memory_bytes: 0,
            cache_control: HeaderValue::from_static("public, max-age=300"),
        }
    }

    pub(super) fn session(settings: Settings) -> Session {
        let bucket = Bucket::new(settings).expect("an address");
        let credentials = Credentials::new("id", "secret", Some("token".to_owned()));
        bucket.session(credentials, None).expect("credentials")
    }

    /// A bucket that returns these responses, at an endpoint with a path.
    pub(super) async fn scripted(
        responses: impl IntoIterator<Item = String>,
    ) -> (TestServer, Session) {
        let server = TestServer::start(responses).await;
        let endpoint = format!("{}/s3", server.url());
        (server, session(settings(&endpoint)))
    }

    /// Returns the status of a refusal.
    #[track_caller]
    pub(super) fn refused<T>(response: Result<T, Error>) -> u16 {
        match response.err() {
            Some(Error::Refused { status, .. }) => status,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn key(text: &str) -> ObjectKey {
        ObjectKey::parse(text).expect("a key")
    }
}
