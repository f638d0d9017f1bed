//! The response envelope: `{msg, data}`, with `message`, `code` and `request_id` on failure.

use axum::{
    body::Body,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::Error;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

#[derive(Serialize)]
struct Success<T> {
    msg: &'static str,
    data: T,
}

#[derive(Serialize)]
struct Failed<'a> {
    msg: &'static str,
    /// In Chinese.
    data: &'a str,
    /// In English.
    message: &'a str,
    code: &'static str,
    request_id: &'a str,
}

/// Returns 200 with `{"msg":"ok","data":…}`.
pub(super) fn ok(data: impl Serialize) -> Result<Response, Error> {
    bare(Success { msg: "ok", data })
}

/// Returns 200 with `data` alone.
pub(super) fn bare(data: impl Serialize) -> Result<Response, Error> {
    let body = serde_json::to_vec(&data).map_err(Error::internal)?;
    Ok(([(CONTENT_TYPE, JSON)], body).into_response())
}

/// Puts the envelope of `error` into a response that already has its status.
pub(super) fn fail(response: &mut Response, error: &Error, request_id: &str) {
    let row = error.row();
    let failed = Failed {
        msg: "fail",
        data: &row.chinese,
        message: &row.english,
        code: row.code,
        request_id,
    };
    // A struct of strings always serializes.
    let body = serde_json::to_vec(&failed).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    *response.body_mut() = Body::from(body);
}
