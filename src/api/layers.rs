//! Middleware around the routes: CORS, the Host header, the base path, and responses to panics.

use std::{any::Any, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{
        HeaderValue, Method, Uri,
        header::{ACCEPT_RANGES, CONTENT_RANGE, ETAG, RETRY_AFTER},
    },
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tower::{Layer as _, util::MapRequestLayer};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::{Error, access_log::REQUEST_ID, origin};

/// Origins whose pages may call the API.
#[derive(Clone, Debug)]
pub enum CorsOrigins {
    /// `*`
    Any,
    /// A list of origins as browsers send them: `https://chat.example.com`.
    List(Vec<HeaderValue>),
}

pub(super) fn cors(origins: &CorsOrigins) -> CorsLayer {
    const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
    let origins = match origins {
        CorsOrigins::Any => AllowOrigin::any(),
        CorsOrigins::List(list) => AllowOrigin::list(list.iter().cloned()),
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        // Pages send `token`, `Authorization`, and tracing headers of their own.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([REQUEST_ID, RETRY_AFTER, ETAG, ACCEPT_RANGES, CONTENT_RANGE])
        .max_age(PREFLIGHT_MAX_AGE)
}

/// Refuses a request with an ambiguous host.
pub(super) async fn check_host(request: Request, next: Next) -> Response {
    if origin::has_plain_host(request.headers(), request.uri()) {
        next.run(request).await
    } else {
        Error::HostInvalid.into_response()
    }
}

/// Converts a panic into the response of an internal error.
pub(super) fn panic_response(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    Error::Internal(text.unwrap_or_default()).into_response()
}

/// Strips `base_path` from every request's path before routing. A path without it is routed
/// unchanged, since a gateway may have removed it already.
pub(super) fn strip_base_path(routes: Router, base_path: String) -> Router {
    if base_path.is_empty() {
        return routes;
    }
    let strip = MapRequestLayer::new(move |mut request: Request<Body>| {
        if let Some(uri) = stripped(request.uri(), &base_path) {
            *request.uri_mut() = uri;
        }
        request
    });
    Router::new().fallback_service(strip.layer(routes))
}

fn stripped(uri: &Uri, base_path: &str) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(base_path)?;
    if !rest.starts_with('/') {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(rest.parse().ok()?);
    Uri::from_parts(parts).ok()
}
