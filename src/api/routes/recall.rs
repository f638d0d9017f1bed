//! `POST /api/chat/uploadRecall`: deletes a file that its sender recently uploaded.

use axum::{extract::Request, response::Response};

use crate::api::{
    Error,
    access::{caller::ReturningCaller, recall_token},
    reply,
};
use crate::store::Session;

/// Deletes the object; succeeds if it is already deleted.
pub(in crate::api) async fn recall(
    ReturningCaller(mut caller): ReturningCaller,
    request: Request,
) -> Result<Response, Error> {
    let (parts, arguments) = caller.read_arguments(request).await?;
    let key = recall_token::open(&arguments.text("recall_token")?, &caller)?;
    caller.journal.key(&key);
    let work = async |session: &Session| Ok(session.remove(&key).await?);
    caller.api.with_store(&parts, work).await?;
    reply::ok("撤回成功")
}
