//! Limits concurrent requests. An excess request is answered 503 at once, as is one still running at
//! shutdown. Where uploads need a token, requests without one get half of the places, and 10 s.

use std::{future::pending, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::sync::{Notify, Semaphore, watch};

use super::{Arrival, Error};
use crate::body::ReadError;

/// How long a request may go on without a token that it needs.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// The places for requests.
#[derive(Clone, Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    /// Those for requests without a token; `None` where nobody needs one.
    strangers: Option<Arc<Semaphore>>,
}

/// The place of one request.
#[derive(Clone, Debug)]
pub(super) struct Place(Arc<Notify>);

impl Places {
    pub(super) fn new(most: usize, needs_token: bool) -> Self {
        let half = || Arc::new(Semaphore::new((most / 2).max(1)));
        Self {
            all: Arc::new(Semaphore::new(most)),
            strangers: needs_token.then(half),
        }
    }

    /// Resolves with a failure if no token arrives in time.
    async fn stranger(&self, place: Place) -> Error {
        let Some(strangers) = &self.strangers else {
            return pending().await;
        };
        let waiting = async {
            match strangers.try_acquire() {
                Ok(_place) => {
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
            () = place.0.notified() => pending().await,
            error = waiting => error,
        }
    }
}

impl Place {
    /// The request has proved that it may upload.
    pub(super) fn is_authorized(&self) {
        self.0.notify_one();
    }
}

/// Runs a request if there is room for it; its place is free again when its answer is there.
pub(super) async fn limit(
    State(places): State<Places>,
    mut request: Request,
    next: Next,
) -> Response {
    let Ok(_place) = places.all.try_acquire() else {
        return Error::Busy.into_response();
    };
    let arrival = request.extensions().get::<Arrival>();
    let given_up = arrival.and_then(|arrival| arrival.given_up.clone());
    let place = Place(Arc::default());
    request.extensions_mut().insert(place.clone());
    tokio::select! {
        biased;
        response = next.run(request) => response,
        () = given_up_by(given_up) => Error::Busy.into_response(),
        error = places.stranger(place) => error.into_response(),
    }
}

/// Resolves when the process abandons the request; otherwise never.
async fn given_up_by(given_up: Option<watch::Receiver<bool>>) {
    if let Some(mut given_up) = given_up
        && given_up.wait_for(|given_up| *given_up).await.is_ok()
    {
        return;
    }
    pending().await
}
