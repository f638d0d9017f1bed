//! The HTTP API, one router for every runtime: route table, settings, and a handler's access to the store.

pub mod access;
mod access_log;
mod arguments;
mod class_id;
mod concurrency;
mod error;
pub mod form;
mod item;
mod layers;
mod links;
mod origin;
mod reply;
mod routes;
mod trace_id;

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    http::request::Parts,
    middleware,
    routing::{get, post},
};
use futures_util::FutureExt as _;
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;

use self::{
    access::rate_limit::Limiter,
    concurrency::Slots,
    routes::{companion, direct, files, health, page, qrcode, read, recall, upload},
};
pub use self::{
    access::{
        auth::Settings as AuthSettings,
        secrets::{InvalidSecrets, Secrets},
    },
    access_log::REQUEST_ID,
    error::Error,
    layers::CorsOrigins,
    links::Settings as ReadSettings,
    origin::{Arrival, BodyState},
    routes::{direct::Settings as DirectSettings, page::Settings as PageSettings},
};
use crate::{
    store::{Session, Store, TimeLimit},
    upload::naming::Folder,
};

/// Settings of the routes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The rules for every file.
    pub upload: crate::upload::Settings,
    /// `UPLOAD_PREFIX`: first folder of the main route's keys.
    pub prefix: Folder,
    /// `UPLOAD_MAX_FILES`
    pub max_files: usize,
    /// `UPLOAD_PUBLIC_URL`, without a trailing slash; `None` for the origin of the request.
    pub public_url: Option<String>,
    /// `UPLOAD_CORS_ORIGINS`
    pub cors: CorsOrigins,
    /// `UPLOAD_BASE_PATH`: starts with a slash, without a trailing one; `""` for none.
    pub base_path: String,
    /// Tokens and guests.
    pub auth: AuthSettings,
    /// Direct uploads and recalls.
    pub direct: DirectSettings,
    /// Who may read stored files.
    pub read: ReadSettings,
    /// The page of the local server; `None` in a cloud.
    pub page: Option<PageSettings>,
    /// `UPLOAD_RATE_PER_MIN`: uploads of one client per minute; `None` for no limit.
    pub rate_per_minute: Option<u32>,
    /// `UPLOAD_TRUSTED_HOPS`: number of proxies in front that append to `X-Forwarded-For`.
    pub trusted_hops: usize,
    /// `UPLOAD_MAX_IN_FLIGHT`: most concurrent requests.
    pub max_in_flight: usize,
    /// `UPLOAD_IDLE_SECS`: longest pause of a client within a body.
    pub idle: Duration,
    /// `UPLOAD_REQUEST_SECS`: longest time for a whole request.
    pub request_limit: Duration,
}

/// State that all handlers share.
#[derive(Clone)]
struct Api {
    store: Store,
    settings: Arc<Settings>,
    limiter: Option<Arc<Limiter>>,
}

/// Returns the router with all routes and middleware.
pub fn router(store: Store, settings: Settings) -> Router {
    let cors = layers::cors(&settings.cors);
    let base_path = settings.base_path.clone();
    let needs_token = !settings.auth.secrets.is_empty();
    let slots = Slots::new(settings.max_in_flight, needs_token);
    let limiter = settings
        .rate_per_minute
        .map(|rate| Arc::new(Limiter::new(rate)));
    let api = Api {
        store,
        settings: Arc::new(settings),
        limiter,
    };
    let mut routes = Router::new();
    if matches!(api.store, Store::Disk(_)) {
        // Forms for a bucket are posted to the bucket.
        routes = routes.route(direct::PENDING_ROUTE, post(direct::post_form));
    }
    if api.settings.read != ReadSettings::Public {
        routes = routes.route(read::ROUTE, get(read::read));
    }
    if let Some(page) = &api.settings.page {
        routes = routes.route("/openapi.yaml", get(page::description));
        if page.is_on {
            routes = routes.merge(page::routes());
        }
    }
    let routes = routes
        .route("/api/chat/uploadAliyun", post(upload::images))
        .route("/shop/admin/image/uploadAliyun", post(upload::images))
        // A folder is one segment; the wildcard answers more with `folder_invalid` instead of 404.
        .route(
            "/api/chat/uploadStreamSingleToServerDiy/{*diydir}",
            post(upload::into_folder),
        )
        .route(
            "/api/chat/uploadStreamSingleToServerDiy/",
            post(upload::without_folder),
        )
        .route("/api/chat/uploadPolicy", post(direct::policy))
        .route("/api/chat/uploadComplete", post(direct::complete))
        .route("/api/chat/uploadRecall", post(recall::recall))
        .route("/api/chat/qrcode", get(qrcode::show))
        .merge(companion::routes())
        .fallback(files::serve)
        .layer(middleware::from_fn_with_state(slots, concurrency::limit))
        // Not limited: a busy process is still healthy.
        .route("/healthz", get(health::health))
        // Applies to the routes above only.
        .method_not_allowed_fallback(|| async { Error::MethodNotAllowed })
        .with_state(api)
        .layer((
            middleware::from_fn(access_log::record),
            cors,
            CatchPanicLayer::custom(layers::panic_response),
            middleware::from_fn(layers::check_host),
        ));
    layers::strip_base_path(routes, base_path)
}

impl Api {
    /// Runs `work` with the request's credentials for the store, within its time limit. On failure,
    /// undoes everything that `work` stored before it returns: a cloud may freeze the process after
    /// the response.
    async fn with_store<T>(
        &self,
        parts: &Parts,
        work: impl AsyncFnOnce(&Session) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let arrival = Arrival::from_parts(parts);
        let limit = self.time_limit(parts);
        let credentials = arrival.credentials.clone();
        let session = self.store.session(credentials, Some(limit))?;

        // The layer around the routes answers a panic; stored files are undone here. The box saves
        // copying the future from layer to layer.
        let work = tokio::time::timeout_at(limit.store_until, Box::pin(work(&session)));
        let outcome = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(Ok(outcome)) => outcome,
            // The deadline of the form has already failed a slow client, so the store is slow.
            Ok(Err(_)) => Err(Error::TimedOut),
            Err(panic) => {
                session.settle().await;
                resume_unwind(panic)
            }
        };
        if outcome.is_err() {
            session.settle().await;
        }
        outcome
    }

    /// Returns a request's time limit: until the platform ends it, at most `UPLOAD_REQUEST_SECS`.
    fn time_limit(&self, parts: &Parts) -> TimeLimit {
        let ours = Instant::now() + self.settings.request_limit;
        let platforms = Arrival::from_parts(parts).ends_at;
        TimeLimit::before(platforms.map_or(ours, |platforms| platforms.min(ours)))
    }

    /// Returns the part of an absolute `url` before the key.
    fn base_url(&self, parts: &Parts) -> String {
        match &self.settings.public_url {
            Some(url) => url.clone(),
            None => origin::requested_origin(parts) + &self.base_path(parts),
        }
    }

    /// Returns the path prefix that clients use: the stage that the gateway removed, and
    /// `UPLOAD_BASE_PATH`.
    fn base_path(&self, parts: &Parts) -> String {
        let stage = Arrival::from_parts(parts).stage.as_deref();
        let stage = stage.map(|stage| format!("/{stage}"));
        format!("{}{}", stage.unwrap_or_default(), self.settings.base_path)
    }
}
