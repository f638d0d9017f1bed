//! How many requests one process takes at a time. One too many is told so at once instead of making
//! all of them slow; so is one that the end of the process leaves no time for. Where uploads need a
//! token, a request has to bring it soon, and those that have not leave half of the places to others.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{Arrival, Error};
use crate::body::ReadError;

/// How long a request may go on without a token that it needs.
const STRANGER: Duration = Duration::from_secs(10);

/// The places for requests.
#[derive(Clone, Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    /// Those for requests without a token; `None` where nobody needs one.
    strangers: Option<Arc<Semaphore>>,
}

/// The place of one request, free again when the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct Place(Arc<Permits>);

#[derive(Debug)]
struct Permits {
    _place: OwnedSemaphorePermit,
    stranger: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Places {
    pub(super) fn new(most: usize, needs_token: bool) -> Self {
        let half = || Arc::new(Semaphore::new(most.div_ceil(2)));
        Self {
            all: Arc::new(Semaphore::new(most)),
            strangers: needs_token.then(half),
        }
    }

    fn take(&self) -> Option<Place> {
        let place = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned().ok();
        let stranger = match &self.strangers {
            Some(places) => Some(place(places)?),
            None => None,
        };
        Some(Place(Arc::new(Permits {
            _place: place(&self.all)?,
            stranger: Mutex::new(stranger),
        })))
    }
}

impl Place {
    /// The request has proved that it may upload.
    pub(super) fn is_authorized(&self) {
        drop(self.stranger().take());
    }

    fn stranger(&self) -> std::sync::MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        // No panic can leave it half changed.
        let stranger = self.0.stranger.lock();
        stranger.unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready when the request has not proved for too long that it may upload.
    async fn stays_a_stranger(&self) {
        if self.stranger().is_some() {
            tokio::time::sleep(STRANGER).await;
            if self.stranger().is_some() {
                return;
            }
        }
        std::future::pending().await
    }
}

/// Runs a request if there is room for it; its place is free again when its answer is there.
pub(super) async fn limit(
    State(places): State<Places>,
    mut request: Request,
    next: Next,
) -> Response {
    let arrival = request.extensions().get::<Arrival>();
    let given_up = arrival.and_then(|arrival| arrival.given_up.clone());
    let Some(place) = places.take() else {
        return Error::Busy.into_response();
    };
    request.extensions_mut().insert(place.clone());
    tokio::select! {
        biased;
        response = next.run(request) => response,
        () = given_up_by(given_up) => Error::Busy.into_response(),
        () = place.stays_a_stranger() => {
            Error::Read(ReadError::TooSlow { idle: STRANGER }).into_response()
        }
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
