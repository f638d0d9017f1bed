//! The answers of a cloud that refuses a request, and the words it has for it.

use std::borrow::Cow;

use hyper::header::CONTENT_TYPE;
use hyper::{Response, StatusCode};
use s3s::{Body, S3Error, S3ErrorCode};

/// An answer with an S3 error in it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: Cow<'static, str>,
    /// OSS's own number of the error.
    pub(super) ec: Option<&'static str>,
}

impl Refusal {
    pub(super) fn new(
        status: u16,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            ec: None,
        }
    }

    pub(super) fn into_response(self, request_id: &str) -> Response<Body> {
        let ec = self.ec.map(|ec| format!("<EC>{ec}</EC>"));
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>\
             <RequestId>{request_id}</RequestId>{}</Error>",
            self.code,
            escaped(&self.message),
            ec.unwrap_or_default(),
        );
        Response::builder()
            .status(self.status)
            .header(CONTENT_TYPE, "application/xml")
            .body(Body::from(body))
            .expect("planned statuses are valid")
    }
}

impl From<Refusal> for S3Error {
    fn from(refusal: Refusal) -> Self {
        let code = S3ErrorCode::Custom(refusal.code.into());
        let mut error = Self::with_message(code, refusal.message);
        let status = StatusCode::from_u16(refusal.status);
        error.set_status_code(status.expect("refusals have valid statuses"));
        error
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// "Access OSS with an AWS SDK": virtual-hosted style only.
pub(super) fn second_level_domain_forbidden() -> Refusal {
    let message = "Please use virtual hosted style to access.";
    Refusal::new(403, "SecondLevelDomainForbidden", message)
}

/// OSS's error page 0017-00000804.
pub(super) fn chunked_not_supported() -> Refusal {
    let message =
        "aws-chunked encoding is not supported with the specified x-amz-content-sha256 value.";
    Refusal {
        ec: Some("0017-00000804"),
        ..Refusal::new(400, "InvalidArgument", message)
    }
}

/// Seen in practice: `apache/arrow-rs-object-store` issue 416.
pub(super) fn condition_not_implemented() -> Refusal {
    let message = "A header you provided implies functionality that is not implemented.";
    Refusal::new(501, "NotImplemented", message)
}

/// OSS's answer to `x-oss-forbid-overwrite: true` on a key that is taken.
pub(super) fn file_already_exists() -> Refusal {
    let message = "The object you specified already exists and can not be overwritten.";
    Refusal::new(409, "FileAlreadyExists", message)
}
