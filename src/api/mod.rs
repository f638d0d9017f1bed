//! The only door in: one Router for every runtime, with the journal, CORS and panics around it.

pub mod access;
mod access_log;
mod arguments;
mod concurrency;
mod error;
pub mod form;
mod item;
mod reply;
mod routes;

use std::{
    any::Any,
    net::IpAddr,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Uri,
        header::{ACCEPT_RANGES, CONTENT_RANGE, ETAG, HOST, RETRY_AFTER},
        request::Parts,
        uri::{Authority, PathAndQuery},
    },
    middleware,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use futures_util::FutureExt as _;
use serde::Serialize;
use tokio::{sync::Semaphore, time::Instant};
use tower::{Layer as _, util::MapRequestLayer};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowHeaders, AllowOrigin, CorsLayer},
};

use self::{
    access::rate_limit::Limiter,
    routes::{companion, direct, files, qrcode, recall, upload},
};
pub use self::{
    access::{
        auth::Settings as AuthSettings,
        secrets::{InvalidSecrets, Secrets},
    },
    access_log::REQUEST_ID,
    error::Error,
    routes::direct::Settings as DirectSettings,
};
use crate::{
    body::ReadError,
    store::{Credentials, Session, Store, TimeLimit},
    upload::naming::Folder,
};

/// What the routes need to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The rules for every file.
    pub upload: crate::upload::Settings,
    /// `UPLOAD_PREFIX`: first folder of the main route's keys.
    pub prefix: Folder,
    /// `UPLOAD_MAX_FILES`
    pub max_files: usize,
    /// `UPLOAD_PUBLIC_URL`, without a slash at its end; `None`: where the request was sent to.
    pub public_url: Option<String>,
    /// `UPLOAD_CORS_ORIGINS`
    pub cors: CorsOrigins,
    /// `UPLOAD_BASE_PATH`: begins with a slash, does not end with one; `""` for none.
    pub base_path: String,
    /// Who may upload what.
    pub auth: AuthSettings,
    /// How files may go past this function, and come back out.
    pub direct: DirectSettings,
    /// `UPLOAD_RATE_PER_MIN`: uploads of one client per minute; `None` for as many as it likes.
    pub rate_per_minute: Option<u32>,
    /// `UPLOAD_TRUSTED_HOPS`: how many proxies in front wrote the end of `X-Forwarded-For`.
    pub trusted_hops: usize,
    /// `UPLOAD_MAX_IN_FLIGHT`: most requests at a time.
    pub max_in_flight: usize,
    /// `UPLOAD_IDLE_SECS`: longest pause of a client within a body.
    pub idle: Duration,
    /// `UPLOAD_REQUEST_SECS`: longest time for a whole request.
    pub request_limit: Duration,
}

/// Whose pages may call.
#[derive(Clone, Debug)]
pub enum CorsOrigins {
    /// `*`
    Any,
    /// These, as browsers write them: `https://chat.example.com`.
    List(Vec<HeaderValue>),
}

/// What a runtime knows of a request beside its HTTP; it puts this into the request's extensions.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// The platform's id for the request.
    pub request_id: Option<String>,
    /// Where the client calls from, as the platform saw it.
    pub client: Option<IpAddr>,
    /// Keys that came with the request.
    pub credentials: Option<Credentials>,
    /// When the platform ends the request.
    pub ends_at: Option<Instant>,
    /// Whether the body is what the client sent.
    pub body_state: BodyState,
}

/// What a gateway did to a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyState {
    /// Nothing: these are the client's bytes.
    #[default]
    Whole,
    /// It passed them as text, and not all of them were.
    Mangled,
    /// It said base64, and this is none.
    Undecodable,
}

impl Arrival {
    fn of(parts: &Parts) -> &Self {
        static NOTHING: Arrival = Arrival {
            request_id: None,
            client: None,
            credentials: None,
            ends_at: None,
            body_state: BodyState::Whole,
        };
        parts.extensions.get().unwrap_or(&NOTHING)
    }
}

/// Everything a handler shares with the others.
#[derive(Clone)]
struct Api {
    store: Store,
    settings: Arc<Settings>,
    limiter: Option<Arc<Limiter>>,
}

/// The route table.
pub fn router(store: Store, settings: Settings) -> Router {
    let cors = cors(&settings.cors);
    let base_path = settings.base_path.clone();
    let places = Arc::new(Semaphore::new(settings.max_in_flight));
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
        // A bucket takes its forms itself.
        routes = routes.route(direct::PENDING_ROUTE, post(direct::take));
    }
    let routes = routes
        .route("/api/chat/uploadAliyun", post(upload::images))
        .route("/shop/admin/image/uploadAliyun", post(upload::images))
        // The folder is one segment; what has more is told so, not "no such route".
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
        .layer(middleware::from_fn_with_state(places, concurrency::limit))
        // A full process is still a healthy one.
        .route("/healthz", get(health))
        // Holds for the routes above it only.
        .method_not_allowed_fallback(|| async { Error::MethodNotAllowed })
        .with_state(api)
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(cors)
        .layer(middleware::from_fn(access_log::record));
    without_base_path(routes, base_path)
}

/// `GET /healthz`: this process answers; the store is not asked.
async fn health(State(api): State<Api>) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Health {
        version: &'static str,
        store: &'static str,
    }
    reply::ok(Health {
        version: env!("CARGO_PKG_VERSION"),
        store: api.store.kind(),
    })
}

fn answer_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Error::Internal(text).into_response()
}

fn cors(origins: &CorsOrigins) -> CorsLayer {
    const PREFLIGHT_SECS: u64 = 24 * 60 * 60;
    let origins = match origins {
        CorsOrigins::Any => AllowOrigin::any(),
        CorsOrigins::List(list) => AllowOrigin::list(list.iter().cloned()),
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        // Whatever the page asks for: `token`, `Authorization`, a tracing header of its own.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([REQUEST_ID, RETRY_AFTER, ETAG, ACCEPT_RANGES, CONTENT_RANGE])
        .max_age(Duration::from_secs(PREFLIGHT_SECS))
}

/// Takes `base_path` off every request's path before it is routed; a gateway may leave it there or
/// not, so a path without it is routed as it is.
fn without_base_path(routes: Router, base_path: String) -> Router {
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
    let rest = uri.path().strip_prefix(base_path)?;
    if !rest.starts_with('/') {
        return None;
    }
    let query = uri
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{rest}{query}")).ok()?);
    Uri::from_parts(parts).ok()
}

impl Api {
    /// The store as this request may use it.
    fn session(&self, parts: &Parts) -> Result<Session, Error> {
        let arrival = Arrival::of(parts);
        let limit = arrival.ends_at.map(TimeLimit::before);
        Ok(self.store.session(arrival.credentials.clone(), limit)?)
    }

    /// Takes one upload of the client's share, if uploads are counted and the client is known.
    fn count(&self, user: Option<&str>, parts: &Parts) -> Result<(), Error> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        let client = match user {
            Some(id) => format!("user {id}"),
            None => match self.address(parts) {
                Some(address) => format!("address {address}"),
                None => return Ok(()),
            },
        };
        let taken = limiter.take(&client, std::time::Instant::now());
        taken.map_err(|after| Error::TooManyRequests { after })
    }

    /// Where the client calls from: as trusted proxies say; where they name no address, as the
    /// platform does. Whoever finds a way around the proxies is counted all the same.
    fn address(&self, parts: &Parts) -> Option<IpAddr> {
        let hop = self.settings.trusted_hops.checked_sub(1);
        hop.and_then(|hop| forwarded_for(&parts.headers, hop))
            .or(Arrival::of(parts).client)
    }

    /// Does `work` within the session's time. When it fails, what it began is undone before this
    /// returns: after the answer a cloud may freeze the process.
    async fn in_time<T>(
        &self,
        session: &Session,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let limit = self.settings.request_limit;
        let ours = Instant::now() + limit;
        let (until, too_late) = match session.store_until() {
            Some(platforms) if platforms < ours => (platforms, Error::TimedOut),
            _ => (ours, ReadError::TooLong { limit }.into()),
        };
        // A panic is answered elsewhere, after what it leaves was undone here.
        let outcome = AssertUnwindSafe(tokio::time::timeout_at(until, work))
            .catch_unwind()
            .await;
        let outcome = match outcome {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(too_late),
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

    /// What stands before a key in an absolute `url`.
    fn base_url(&self, parts: &Parts) -> String {
        match &self.settings.public_url {
            Some(url) => url.clone(),
            None => format!("{}{}", asked_at(parts), self.settings.base_path),
        }
    }

    /// The same for the route whose clients put the host in front themselves.
    fn relative_base_url(&self, parts: &Parts) -> String {
        match &self.store {
            Store::Disk(_) => self.settings.base_path.clone(),
            Store::Bucket(_) => self.base_url(parts),
        }
    }
}

/// The address that a proxy wrote into `X-Forwarded-For`; `hop` counts proxies from the last one.
fn forwarded_for(headers: &HeaderMap, hop: usize) -> Option<IpAddr> {
    const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    let values = headers.get_all(FORWARDED_FOR).iter();
    let texts: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    // Each proxy adds at the end what it saw; everything before is the client's own word.
    let mut entries = texts.iter().rev().flat_map(|text| text.rsplit(','));
    entries.nth(hop)?.trim().parse().ok()
}

/// Scheme and host that the client used, as far as it said them.
fn asked_at(parts: &Parts) -> String {
    const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    let header = |name| {
        parts
            .headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let https = header(FORWARDED_PROTO).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    let scheme = if https { "https" } else { "http" };
    let authority = header(HOST).and_then(|host| host.parse::<Authority>().ok());
    match authority.as_ref().or(parts.uri.authority()) {
        Some(authority) => format!("{scheme}://{authority}"),
        None => String::new(),
    }
}
