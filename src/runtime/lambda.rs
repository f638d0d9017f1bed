//! AWS Lambda: the invocation loop. Converts an event into a request, and the response into the format
//! of the gateway that sent it.

use std::{io, time::SystemTime};

use axum::Router;
use lambda_http::{
    Error, LambdaEvent,
    lambda_runtime::{self, Context},
    service_fn,
};
use serde::Serialize;
use tokio::time::Instant;

use super::gateway::{self, Answer, Invocation};
use crate::api::Arrival;

/// Polls Lambda for events and answers them, up to `AWS_LAMBDA_MAX_CONCURRENCY` at a time (one, when
/// it is not set).
pub(super) async fn run(router: Router) -> io::Result<()> {
    let handler = service_fn(move |event: LambdaEvent<Invocation>| {
        let router = router.clone();
        async move { invoke(router, event).await }
    });
    lambda_runtime::run_concurrent(handler)
        .await
        .map_err(io::Error::other)
}

/// Answer to an invocation.
#[derive(Serialize)]
#[serde(untagged)]
enum Reply {
    Request(Answer),
    KeptWarm { msg: &'static str },
}

async fn invoke(router: Router, event: LambdaEvent<Invocation>) -> Result<Reply, Error> {
    let (invocation, context) = event.into_parts();
    let event = match invocation {
        Invocation::Request(event) => event,
        Invocation::KeepWarm => return Ok(Reply::KeptWarm { msg: "ok" }),
    };
    let arrival = Arrival {
        ends_at: deadline(&context),
        request_id: Some(context.request_id),
        ..Arrival::default()
    };
    Ok(Reply::Request(
        gateway::answer(router, *event, arrival).await?,
    ))
}

/// Converts the context's deadline to the monotonic clock. `None` for one already in the past, as
/// `cargo lambda watch` sends it.
fn deadline(context: &Context) -> Option<Instant> {
    let left = context.deadline().duration_since(SystemTime::now()).ok()?;
    Some(Instant::now() + left)
}
