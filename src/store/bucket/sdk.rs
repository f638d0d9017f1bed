//! Our connections as the SDK wants them: the calls it makes go through the same pool as our own.

use aws_sdk_s3::{
    config::{HttpClient, RuntimeComponents, http::HttpResponse},
    primitives::SdkBody,
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
use http_body_util::Either;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use tokio::time::error::Elapsed;

use super::pool::{Connections, Failure};

impl HttpClient for Connections {
    /// The time to connect is the pool's own matter, so the SDK's settings are not needed.
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
            capture.set_connection_retriever(move || Some(dropped_on_demand(used.clone())));
        }
        let answer = self.send(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await.map_err(sorted)?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// Lets the SDK see to it that a connection which failed is not used again.
fn dropped_on_demand(used: CaptureConnection) -> ConnectionMetadata {
    ConnectionMetadata::builder()
        .proxied(false)
        .poison_fn(move || {
            if let Some(connected) = used.connection_metadata().as_ref() {
                connected.poison();
            }
        })
        .build()
}

/// What the SDK sends again: everything but a connection that took too long (which it counts
/// apart) and a request that no server could be sent.
fn sorted(failure: Failure) -> ConnectorError {
    if is_timeout(&failure) {
        ConnectorError::timeout(failure.into())
    } else {
        ConnectorError::io(failure.into())
    }
}

fn is_timeout(failure: &Failure) -> bool {
    let first: &(dyn std::error::Error + 'static) = failure;
    std::iter::successors(Some(first), |error| error.source()).any(|error| error.is::<Elapsed>())
}
