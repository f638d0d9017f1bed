//! Health check: answers without a request to the store, and reports the limits of this process.

use axum::{extract::State, response::Response};
use serde::Serialize;

use crate::api::{Api, Error, reply};

#[derive(Serialize)]
struct Health {
    version: &'static str,
    store: &'static str,
    limits: Limits,
}

/// Lets a page check a file before it sends it.
#[derive(Serialize)]
struct Limits {
    /// Largest file through this process, in bytes.
    max_bytes: u64,
    max_files: usize,
    types: Vec<&'static str>,
    /// Whether direct uploads are enabled.
    direct: bool,
    /// Largest file of a direct upload, in bytes.
    direct_max_bytes: u64,
    recall_secs: u64,
    /// Whether an upload needs a token.
    token: bool,
}

/// `GET /healthz`
pub(in crate::api) async fn health(State(api): State<Api>) -> Result<Response, Error> {
    let settings = &api.settings;
    let limits = Limits {
        max_bytes: settings.upload.max_bytes,
        max_files: settings.max_files,
        types: settings.upload.kinds.names().collect(),
        direct: !settings.direct.secrets.is_empty(),
        direct_max_bytes: settings.direct.max_bytes,
        recall_secs: settings.direct.recall_life.as_secs(),
        token: !settings.auth.secrets.is_empty(),
    };
    reply::ok(Health {
        version: env!("CARGO_PKG_VERSION"),
        store: api.store.kind(),
        limits,
    })
}
