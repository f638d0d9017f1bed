//! The store that is a bucket: S3, OSS through its S3-compatible API, or any server that speaks S3.
//!
//! This file knows the bucket, its connections and its errors; `object.rs` knows how one object gets
//! there.

mod client_multipart;
mod endpoint;
mod form;
mod pool;
mod presigned_post;
mod publish;
mod request;
mod retry;
mod sdk;
pub mod sigv4;
mod write;

use std::{
    net::IpAddr,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, IdentityCache, Region, RequestChecksumCalculation,
        ResponseChecksumValidation, StalledStreamProtectionConfig, http::HttpResponse,
        retry::RetryConfig, timeout::TimeoutConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId as _,
};
use axum::http::Method;
use tokio::{
    sync::{OnceCell, Semaphore},
    time::Instant,
};
use tokio_util::task::TaskTracker;

pub(super) use self::write::Removal;
pub use self::{
    client_multipart::{ListedPart, PartUploads},
    form::{FormTerms, PostForm},
    pool::{Certificates, Connections, Trusted},
    write::Writer,
};
use self::{
    endpoint::Address,
    request::Call,
    retry::{Clock, Quota},
    sigv4::SigningKeys,
    write::Attempts,
};
use super::credentials::provider::Keys;
use super::{Agent, Credentials, Error, ObjectKey, TimeLimit};

/// Size of every part but the last, in bytes. S3 wants at least 5 MiB and at most 10,000 parts.
pub const PART_BYTES: usize = 8 * 1024 * 1024;

/// Most parts of an upload (S3 and OSS, "multipart upload limits").
pub const MAX_PARTS: i32 = 10_000;
/// Largest object that is copied in one call, where nothing else is set, in bytes.
pub const ONE_COPY_BYTES: u64 = 256 * 1024 * 1024;

/// Whose rules the bucket follows where S3 and OSS differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Amazon S3 and most servers that speak its API.
    S3,
    /// Aliyun OSS, which answers 501 to `If-None-Match` and has a header of its own instead
    /// (error 0026-00000002 of OSS's list).
    Oss,
}

impl Dialect {
    /// As `GET /healthz` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Oss => "oss",
        }
    }
}

/// Which bucket, where, and how patient to be.
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
    /// Where clients put files into the bucket by themselves, without a slash at its end.
    pub client_url: String,
    /// Endpoint that clients put parts to; `None` for AWS's own.
    pub client_endpoint: Option<String>,
    /// `SSL_CERT_FILE`: whom TLS trusts beside the public authorities.
    pub certificates: Certificates,
    /// Whose keys sign when a request brings none of its own.
    pub signer: Option<Signer>,
    /// How long calls may take.
    pub patience: Patience,
    /// Largest object that is copied in one call, in bytes; a larger one in parts of half that
    /// size. S3 and OSS take 5 GiB, but would take their time.
    pub one_copy_bytes: u64,
    /// `UPLOAD_MEMORY_BYTES`: what the parts of all uploads may hold together, in bytes.
    pub memory_bytes: usize,
}

/// How long a call to the bucket may take, retries included or not.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To connect.
    pub connect: Duration,
    /// One attempt.
    pub attempt: Duration,
    /// A call with its three attempts.
    pub operation: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            attempt: Duration::from_secs(30),
            operation: Duration::from_secs(70),
        }
    }
}

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The environment, or the headers of a request.
    Keys(Credentials),
    /// The agent of a container, ever anew.
    Agent(Agent),
}

/// A bucket and the connections to it; cheap to clone.
#[derive(Clone, Debug)]
pub struct Bucket(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    connections: Connections,
    address: OnceCell<Address>,
    /// The same for clients.
    client_address: OnceCell<Address>,
    signing_keys: SigningKeys,
    clock: Clock,
    quota: Quota,
    /// Whose keys sign when a request brings none of its own.
    keys: Option<Keys>,
    /// The client of the keys seen last: they change every few hours, if ever.
    client: Mutex<Option<(Keys, SdkClient)>>,
    payload: Payload,
    /// One permit for each part that fits into the memory for parts.
    memory: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// The SDK's client, made when it is first called: most requests need none, and it is a good part of
/// what the process holds when idle.
type SdkClient = Arc<LazyLock<Client, Box<dyn FnOnce() -> Client + Send>>>;

/// What vouches for the bytes on their way to the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Payload {
    /// Plain HTTP across a network: the signature covers the SHA-256 of the body.
    Signed,
    /// TLS, or no network at all: hashing would be most of the upload's cost for nothing.
    Unsigned,
}

impl Bucket {
    pub(super) fn new(settings: Settings) -> Self {
        let trusted = match settings.endpoint.as_deref() {
            Some(endpoint) if endpoint.starts_with("http://") => Trusted::Nobody,
            _ => Trusted::Public(&settings.certificates),
        };
        let connections = Connections::new(trusted, settings.patience.connect);
        Self::over(settings, connections)
    }

    /// Like opening the store with these settings, but over connections of the caller's making.
    pub fn over(settings: Settings, connections: Connections) -> Self {
        let payload = match settings.endpoint.as_deref() {
            Some(endpoint) if crosses_a_network_in_clear(endpoint) => Payload::Signed,
            _ => Payload::Unsigned,
        };
        let tasks = TaskTracker::new();
        let memory = Arc::new(Semaphore::new((settings.memory_bytes / PART_BYTES).max(1)));
        let keys = settings.signer.clone().map(Keys::from);
        Self(Arc::new(Inner {
            settings: Arc::new(settings),
            connections,
            address: OnceCell::new(),
            client_address: OnceCell::new(),
            signing_keys: SigningKeys::default(),
            clock: Clock::default(),
            quota: Quota::default(),
            keys,
            client: Mutex::new(None),
            payload,
            memory,
            tasks,
        }))
    }

    /// S3 or OSS.
    pub fn dialect(&self) -> Dialect {
        self.0.settings.dialect
    }

    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// The bucket as one request may use it.
    pub(super) fn access(
        &self,
        credentials: Option<Credentials>,
        limit: Option<TimeLimit>,
    ) -> Result<Access, Error> {
        let keys = credentials
            .map(Keys::Fixed)
            .or_else(|| self.0.keys.clone())
            .ok_or(Error::NoCredentials)?;
        Ok(Access {
            bucket: self.clone(),
            client: self.client(&keys),
            keys,
            limit,
        })
    }

    /// Asks for the bucket's head in the background. A role that may only write is refused, over a
    /// connection that is then there.
    pub(super) fn warm(&self) {
        const PATIENCE: Duration = Duration::from_secs(2);
        // Shaking hands takes a millisecond or so of the processor, which belongs to the start of
        // the runtime first.
        const START: Duration = Duration::from_millis(5);
        let bucket = self.clone();
        self.0.tasks.spawn(async move {
            tokio::time::sleep(START).await;
            let Ok(access) = bucket.access(None, None) else {
                return;
            };
            let call = Call::new("HeadBucket", Method::HEAD, "");
            let attempts = Attempts::default();
            let outcome = tokio::time::timeout(PATIENCE, access.send(&call, &attempts)).await;
            tracing::debug!(answered = outcome.is_ok(), "the bucket was called ahead");
        });
    }

    async fn address(&self) -> Result<&Address, Error> {
        let Inner {
            settings, address, ..
        } = &*self.0;
        let endpoint = settings.endpoint.as_deref();
        made_out(address, Address::of(settings, endpoint)).await
    }

    /// Where clients put parts, who are not in the function's network.
    async fn client_address(&self) -> Result<&Address, Error> {
        let Inner {
            settings,
            client_address,
            ..
        } = &*self.0;
        let endpoint = settings.client_endpoint.as_deref();
        made_out(client_address, Address::of(settings, endpoint)).await
    }

    fn client(&self, keys: &Keys) -> SdkClient {
        let mut last = self.0.client.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((used, client)) if used.are(keys) => Arc::clone(client),
            _ => {
                let client = self.client_of(keys.clone());
                *last = Some((keys.clone(), Arc::clone(&client)));
                client
            }
        }
    }

    fn client_of(&self, keys: Keys) -> SdkClient {
        let settings = Arc::clone(&self.0.settings);
        let connections = self.0.connections.clone();
        Arc::new(LazyLock::new(Box::new(move || {
            Client::from_conf(sdk_config(&settings, connections, keys))
        })))
    }
}

async fn made_out(
    cell: &OnceCell<Address>,
    finding: impl Future<Output = Result<Address, endpoint::BoxError>>,
) -> Result<&Address, Error> {
    let found = cell.get_or_try_init(|| finding).await;
    found.map_err(|source| Error::Unavailable {
        operation: "finding the bucket",
        detail: "its address cannot be made out".to_owned(),
        source,
    })
}

fn sdk_config(settings: &Settings, connections: Connections, keys: Keys) -> aws_sdk_s3::Config {
    let patience = settings.patience;
    let mut config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .force_path_style(settings.path_style)
        .http_client(connections)
        .credentials_provider(keys)
        // The keys are remembered where they come from.
        .identity_cache(IdentityCache::no_cache())
        // OSS and many others refuse the aws-chunked trailers that the default adds
        // (OSS error 0017-00000804).
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        // A part is in memory before it is sent, so a stall is the network's; the attempt's time
        // limit is for that, without this check's false alarms.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(patience.attempt)
                .operation_timeout(patience.operation)
                .build(),
        );
    config.set_endpoint_url(settings.endpoint.as_deref().map(endpoint::as_a_folder));
    config.build()
}

/// Whether `endpoint` is plain HTTP to another machine.
fn crosses_a_network_in_clear(endpoint: &str) -> bool {
    let Some(authority) = endpoint.strip_prefix("http://") else {
        return false;
    };
    let authority = authority.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let loopback = host.parse().map(|ip: IpAddr| ip.is_loopback());
    !loopback.unwrap_or(host.eq_ignore_ascii_case("localhost"))
}

/// A bucket with the credentials and the time of one request.
#[derive(Clone, Debug)]
pub(super) struct Access {
    bucket: Bucket,
    client: SdkClient,
    keys: Keys,
    limit: Option<TimeLimit>,
}

impl Access {
    fn bucket(&self) -> &str {
        &self.bucket.0.settings.bucket
    }

    /// The keys that sign this request: its own, the environment's, or what the container's agent
    /// gave.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the agent gives none.
    pub(super) async fn keys(&self) -> Result<Credentials, Error> {
        self.keys.now().await
    }

    /// Waits for a call, at most until storing must stop.
    async fn within<T, E>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Error>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        bounded(self.limit.map(|limit| limit.store_until), operation, call).await
    }

    /// Waits for a call that undoes something, at most until undoing must stop.
    async fn undoing<T, E>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Error>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        bounded(self.limit.map(|limit| limit.undo_until), operation, call).await
    }

    /// Removes an object, whether it is there or not. What cannot be removed is logged.
    async fn delete(&self, key: &ObjectKey) {
        let call = Call::delete(key.as_str()).undoing();
        if let Err(error) = self.send(&call, &Attempts::default()).await {
            tracing::error!(%key, error = &error as &dyn std::error::Error, "an object that is not wanted could not be removed");
        }
    }
}

async fn bounded<T, E>(
    until: Option<Instant>,
    operation: &'static str,
    call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, Error>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let outcome = match until {
        Some(until) => match tokio::time::timeout_at(until, call).await {
            Ok(outcome) => outcome,
            Err(_) => return Err(Error::TimedOut { operation }),
        },
        None => call.await,
    };
    outcome.map_err(|error| failed(operation, error))
}

/// Sorts an SDK error by what it means for the client; vendor's words go along for the log.
fn failed<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    if matches!(error, SdkError::TimeoutError(_)) {
        return Error::TimedOut { operation };
    }
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    let code = error.code().unwrap_or("no code").to_owned();
    let request_id = error
        .as_service_error()
        .and_then(|service| service.meta().request_id())
        .or_else(|| error.raw_response()?.headers().get("x-oss-request-id"))
        .unwrap_or("none")
        .to_owned();
    match status {
        // 3xx: the bucket is in another region.
        Some(status @ 300..=499) => Error::Refused {
            operation,
            status,
            code,
            request_id,
            source: Box::new(error),
        },
        Some(status) => Error::Unavailable {
            operation,
            detail: format!("{status} {code}, request id {request_id:?}"),
            source: Box::new(error),
        },
        None => Error::Unavailable {
            operation,
            detail: "no answer".to_owned(),
            source: Box::new(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_signed_only_where_others_could_change_them() {
        for (endpoint, expected) in [
            ("https://s3.oss-cn-hangzhou.aliyuncs.com", false),
            ("http://127.0.0.1:8333", false),
            ("http://[::1]:8333/", false),
            ("http://localhost:9000", false),
            ("http://minio:9000", true),
            ("http://10.0.0.5:9000/x", true),
            ("http://127.0.0.1.example.com", true),
            ("http://localhost.example.com", true),
        ] {
            assert_eq!(crosses_a_network_in_clear(endpoint), expected, "{endpoint}");
        }
    }
}
