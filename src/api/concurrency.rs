//! How many requests one process takes at a time. One too many is told so at once instead of making
//! all of them slow; so is one that the end of the process leaves no time for.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::sync::{Semaphore, watch};

use super::{Arrival, Error};

/// Runs a request if there is room for it; its place is free again when its answer is there.
pub(super) async fn limit(
    State(places): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Response {
    let arrival = request.extensions().get::<Arrival>();
    let given_up = arrival.and_then(|arrival| arrival.given_up.clone());
    match places.try_acquire() {
        Ok(_place) => tokio::select! {
            biased;
            response = next.run(request) => response,
            () = given_up_by(given_up) => Error::Busy.into_response(),
        },
        Err(_) => Error::Busy.into_response(),
    }
}

/// Ready when the process gives the request up, which is never where it cannot.
async fn given_up_by(given_up: Option<watch::Receiver<bool>>) {
    if let Some(mut given_up) = given_up
        && given_up.wait_for(|given_up| *given_up).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
