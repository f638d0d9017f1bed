//! Limits concurrent requests. An excess request gets 503 at once, as does one that is still running when
//! the time for a shutdown is over. Where uploads need a token, requests without one get half of the
//! slots, for 10 s each.

use std::{future::pending, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::sync::{Notify, Semaphore, watch};

use super::{Arrival, Error};
use crate::body::ReadError;

/// How long a request may run without the token it needs.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// The slots for requests.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    all: Arc<Semaphore>,
    /// Slots for requests without a token; `None` where none is needed.
    anonymous: Option<Arc<Semaphore>>,
}

/// The slot of one request; notified once the caller is authorised.
#[derive(Clone, Debug)]
pub(super) struct Slot(Arc<Notify>);

impl Slots {
    pub(super) fn new(most: usize, needs_token: bool) -> Self {
        let half = || Arc::new(Semaphore::new((most / 2).max(1)));
        Self {
            all: Arc::new(Semaphore::new(most)),
            anonymous: needs_token.then(half),
        }
    }

    /// Resolves with a failure if no token arrives in time, or no slot is free without one.
    async fn token_timeout(&self, slot: Slot) -> Error {
        let Some(anonymous) = &self.anonymous else {
            return pending().await;
        };
        let waiting = async {
            match anonymous.try_acquire() {
                Ok(_slot) => {
                    tokio::time::sleep(TOKEN_TIMEOUT).await;
                    Error::Read(ReadError::TooSlow {
                        idle: TOKEN_TIMEOUT,
                    })
                }
                Err(_) => Error::Busy,
            }
        };
        tokio::select! {
            biased;
            () = slot.0.notified() => pending().await,
            error = waiting => error,
        }
    }
}

impl Slot {
    /// Marks the request as authorised to upload.
    pub(super) fn mark_authorized(&self) {
        self.0.notify_one();
    }
}

/// Runs a request if a slot is free; releases it when the response is ready.
pub(super) async fn limit(
    State(slots): State<Slots>,
    mut request: Request,
    next: Next,
) -> Response {
    let Ok(_slot) = slots.all.try_acquire() else {
        return Error::Busy.into_response();
    };
    let arrival = request.extensions().get::<Arrival>();
    let given_up = arrival.and_then(|arrival| arrival.given_up.clone());
    let slot = Slot(Arc::default());
    request.extensions_mut().insert(slot.clone());
    tokio::select! {
        biased;
        response = next.run(request) => response,
        () = abandoned(given_up) => Error::Busy.into_response(),
        error = slots.token_timeout(slot) => error.into_response(),
    }
}

/// Resolves when the process abandons the request; never otherwise.
async fn abandoned(given_up: Option<watch::Receiver<bool>>) {
    if let Some(mut given_up) = given_up
        && given_up.wait_for(|given_up| *given_up).await.is_ok()
    {
        return;
    }
    pending().await
}
