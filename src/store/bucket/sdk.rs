//! Integration of the AWS SDK: its client, with this program's connections, credentials and counter of
//! attempts; its errors and endpoint rules. `multipart.rs` and `publish.rs` call its operations; all other
//! calls do without it (`request.rs`).

use aws_credential_types::provider::{error::CredentialsError, future};
use aws_sdk_s3::{
    config::{
        BehaviorVersion, Builder, ConfigBag, HttpClient, IdentityCache, Intercept,
        ProvideCredentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        RuntimeComponents, StalledStreamProtectionConfig,
        endpoint::{DefaultResolver, Endpoint, Params, ResolveEndpoint as _},
        http::HttpResponse,
        interceptors::BeforeTransmitInterceptorContextMut,
        retry::RetryConfig,
        timeout::TimeoutConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId as _,
};
use aws_smithy_runtime_api::{
    client::{
        connection::{CaptureSmithyConnection, ConnectionMetadata},
        http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
        orchestrator::HttpRequest,
        result::ConnectorError,
    },
    shared::IntoShared as _,
};
use axum::http::Uri;
use futures_util::FutureExt as _;
use http_body_util::Either;
use hyper_util::client::legacy::connect::capture_connection;
use tokio::time::error::Elapsed;

pub(super) use aws_sdk_s3::Client;

use super::{
    Deadline, Session, Settings,
    pool::{self, Connections, SdkBody},
    retry::{Attempts, MAX_ATTEMPTS},
};
use crate::store::{BoxError, CredentialsProvider, Error};

/// Creates a client without credentials: each call has those of its request.
pub(super) fn client(settings: &Settings, connections: Connections) -> Client {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(settings.timeouts.attempt)
        .operation_timeout(settings.timeouts.operation)
        .build();
    let mut config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .force_path_style(settings.path_style)
        .http_client(connections)
        // OSS and many others refuse the aws-chunked trailers that the default adds
        // (OSS error 0017-00000804).
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        // A part is in memory before it is sent, so only the network can stall it; the timeout of an
        // attempt detects that, without the false alarms of this check.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .timeout_config(timeouts);
    config.set_endpoint_url(settings.endpoint.as_deref().map(with_slash));
    Client::from_conf(config.build())
}

/// Applies the SDK's endpoint rules to `endpoint`, or AWS's own one: returns the bucket's URL, and the
/// region for signatures.
pub(super) fn resolve(
    settings: &Settings,
    endpoint: Option<&str>,
) -> Result<(Uri, String), BoxError> {
    let params = Params::builder()
        .bucket(&settings.bucket)
        .region(&settings.region)
        .set_endpoint(endpoint.map(with_slash))
        .force_path_style(settings.path_style)
        .build()?;
    let resolver = DefaultResolver::new();
    let endpoint = resolver
        .resolve_endpoint(&params)
        .now_or_never()
        .ok_or("the SDK's endpoint rules did not return at once")??;
    let region = signing_region(&endpoint)
        .ok_or("buckets of this kind need signatures that this program does not support")?;
    Ok((endpoint.url().parse()?, region.to_owned()))
}

/// Adds a trailing slash: the SDK's rules append the bucket's name to the path.
fn with_slash(endpoint: &str) -> String {
    format!("{}/", endpoint.trim_end_matches('/'))
}

/// `None` when the bucket does not accept Signature Version 4: a directory bucket (S3 Express) needs a
/// session first.
fn signing_region(endpoint: &Endpoint) -> Option<&str> {
    let mut schemes = endpoint.auth_schemes().iter();
    let sigv4 = schemes.find(|scheme| scheme.name() == "sigv4")?;
    sigv4.get("signingRegion")?.as_string()
}

impl Session {
    pub(super) fn sdk(&self) -> &Client {
        let bucket = &self.bucket.0;
        bucket
            .sdk
            .get_or_init(|| client(&bucket.settings, bucket.connections.clone()))
    }

    /// Configures one call: sets this request's credentials and counts attempts.
    pub(super) fn call_config(&self, attempts: &Attempts) -> Builder {
        Builder::new()
            .credentials_provider(self.credentials.clone())
            // The provider caches what it fetches.
            .identity_cache(IdentityCache::no_cache())
            .interceptor(attempts.clone())
    }

    /// Adds the header that prevents a call of the SDK from overwriting an object.
    pub(super) fn create_only(
        &self,
    ) -> impl Fn(&mut HttpRequest) + Clone + Send + Sync + 'static + use<> {
        let (name, value) = self.bucket.dialect().create_only();
        move |request| {
            request
                .headers_mut()
                .insert(name.as_str().to_owned(), value);
        }
    }

    /// Waits for a call, at most until its deadline.
    pub(super) async fn wait<T, E>(
        &self,
        operation: &'static str,
        deadline: Deadline,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Error>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let response = match self.until(deadline) {
            Some(until) => match tokio::time::timeout_at(until, call).await {
                Ok(response) => response,
                Err(_) => return Err(Error::TimedOut { operation }),
            },
            None => call.await,
        };
        response.map_err(|error| into_error(operation, error))
    }
}

/// Converts an SDK error; its source has the vendor's message for the log.
fn into_error<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    if matches!(error, SdkError::TimeoutError(_)) {
        return Error::TimedOut { operation };
    }
    let Some(response) = error.raw_response() else {
        return Error::no_response(operation, error.into());
    };
    let status = response.status().as_u16();
    let request_id = error
        .as_service_error()
        .and_then(|service| service.meta().request_id())
        .or_else(|| response.headers().get("x-oss-request-id"))
        .unwrap_or("none")
        .to_owned();
    let code = error.code().unwrap_or("no code").to_owned();
    Error::from_response(operation, status, code, request_id, error.into())
}

impl ProvideCredentials for CredentialsProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let current = self.current().await;
            let credentials = current.map_err(CredentialsError::provider_error)?;
            Ok(aws_sdk_s3::config::Credentials::new(
                credentials.key_id(),
                credentials.secret(),
                credentials.session_token().map(str::to_owned),
                credentials.expires_at(),
                "chat-upload",
            ))
        })
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

impl HttpClient for Connections {
    /// Ignores the SDK's settings: the pool has its own connect timeout.
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.clone().into_shared()
    }
}

impl HttpConnector for Connections {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request.map(Either::Right),
            Err(error) => {
                return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into())));
            }
        };
        let used = capture_connection(&mut request);
        if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || {
                let used = used.clone();
                let connection = ConnectionMetadata::builder().proxied(false);
                Some(connection.poison_fn(move || pool::poison(&used)).build())
            });
        }
        let response = self.send(request);
        HttpConnectorFuture::new(async move {
            let response = response.await.map_err(to_connector_error)?;
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// Everything except a connect timeout is classified as I/O; the SDK retries both.
fn to_connector_error(error: pool::SendError) -> ConnectorError {
    if is_timeout(&error) {
        ConnectorError::timeout(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}

fn is_timeout(error: &pool::SendError) -> bool {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source()).any(|error| error.is::<Elapsed>())
}
