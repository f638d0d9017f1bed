//! Errors of clouds that `s3s` lacks, or has with another status.

use std::borrow::Cow;

use hyper::StatusCode;
use s3s::{S3Error, S3ErrorCode};

/// Builds a cloud's error.
pub(super) fn refusal(
    status: u16,
    code: &'static str,
    message: impl Into<Cow<'static, str>>,
) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(StatusCode::from_u16(status).expect("a valid status"));
    error
}

/// Builds OSS's answer to `x-oss-forbid-overwrite: true` on an existing key.
pub(super) fn file_already_exists() -> S3Error {
    let message = "The object you specified already exists and can not be overwritten.";
    refusal(409, "FileAlreadyExists", message)
}
