//! Every failure a client can see: its status, its stable code, and its text in two languages. Client
//! errors are described precisely, server errors vaguely.

use std::{sync::Arc, time::Duration};

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CONNECTION, CONTENT_RANGE, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};

use super::access::jwt::Rejected;
use crate::{body::ReadError, store, upload};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such route or file.
    #[error("no such route or file")]
    NotFound,
    /// The Host header is repeated, or it or the request target contains user information.
    #[error("the Host header is repeated, or it or the request target contains user information")]
    HostInvalid,
    /// The route exists, but not for this method.
    #[error("the route does not accept this method")]
    MethodNotAllowed,
    /// No token on a route that needs one.
    #[error("no token was sent")]
    TokenMissing,
    /// An expired token.
    #[error("the token has expired")]
    TokenExpired,
    /// A token that is rejected for any other reason.
    #[error("the token is not valid")]
    TokenInvalid(#[source] Rejected),
    /// The caller is a guest, and guests may not upload.
    #[error("guests may not upload")]
    GuestDenied,
    /// The Content-Type is not `multipart/form-data`.
    #[error("the request is not a multipart form")]
    NotMultipart,
    /// A body with a Content-Encoding.
    #[error("the body has a Content-Encoding")]
    EncodingRefused,
    /// A gateway decoded the binary body as text.
    #[error("a gateway turned the binary body into text")]
    BodyMangled,
    /// The body could not be read to its end.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No file in the form.
    #[error("the form contains no file")]
    FileMissing,
    /// A file in a field that the route does not accept.
    #[error("a file was sent in field {got:?}")]
    WrongField {
        /// Name of the field that the route accepts.
        wanted: &'static str,
        /// The field's name, fit for display.
        got: String,
    },
    /// More files than one request may contain.
    #[error("more than {limit} files")]
    TooManyFiles {
        /// Most files accepted.
        limit: usize,
    },
    /// The class id is not a whole number.
    #[error("the class id is not a whole number")]
    ClassIdInvalid,
    /// The folder in the path is not a valid name.
    #[error("the folder is not a valid name")]
    FolderInvalid,
    /// The text for a QR code is too long.
    #[error("the text is longer than {limit} bytes")]
    TextTooLong {
        /// Longest text, in bytes.
        limit: usize,
    },
    /// Direct uploads and recalls need a signing secret and, for some routes, a bucket.
    #[error("no signing secret is set, or the store has no such route")]
    DirectDisabled,
    /// A ticket, upload id, form or recall token with a wrong signature, for another user, or expired.
    #[error("the ticket is not valid")]
    TicketInvalid,
    /// A file was uploaded too long ago to be recalled.
    #[error("the upload is too old to be recalled")]
    RecallExpired {
        /// How long a file can be recalled.
        life: Duration,
    },
    /// A parameter is missing or invalid.
    #[error("parameter {name} is missing or invalid")]
    ParameterInvalid {
        /// Its name.
        name: &'static str,
    },
    /// A form was used twice.
    #[error("the form was used before")]
    AlreadyUploaded,
    /// A part before the last is smaller than the bucket accepts.
    #[error("a part before the last is smaller than the bucket accepts")]
    PartTooSmall,
    /// The requested range starts after the end of the file.
    #[error("the file has only {size} bytes")]
    RangeNotSatisfiable {
        /// Size of the file, in bytes.
        size: u64,
    },
    /// A file was not stored.
    #[error(transparent)]
    Upload(upload::Error),
    /// The client exceeded its rate limit.
    #[error("too many uploads of this client")]
    TooManyRequests {
        /// Time until the next upload is allowed.
        after: Duration,
    },
    /// The process has reached its limit of concurrent requests.
    #[error("too many requests in flight")]
    Busy,
    /// The request's time limit passed while waiting for the store.
    #[error("the request timed out while waiting for the store")]
    TimedOut,
    /// A bug.
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<upload::Error> for Error {
    fn from(error: upload::Error) -> Self {
        match error {
            upload::Error::Read(error) => Self::Read(error),
            error => Self::Upload(error),
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Upload(error.into())
    }
}

/// One row of the table.
pub(super) struct Row {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    /// For the user who sends the file.
    pub(super) chinese: String,
    /// For the client's developer.
    pub(super) english: String,
}

impl Error {
    /// Reports a bug by the failure it caused.
    pub(super) fn internal(cause: impl ToString) -> Self {
        Self::Internal(cause.to_string())
    }

    /// Returns status, code and texts for the client.
    pub(super) fn row(&self) -> Row {
        use upload::Error::Store;
        match self {
            Self::NotFound => row(404, "not_found")
                .chinese("请求的地址不存在")
                .english("Nothing is at this address"),
            Self::MethodNotAllowed => row(405, "method_not_allowed")
                .chinese("不支持的请求方法")
                .english("The method is not allowed at this address"),
            Self::HostInvalid => row(400, "host_invalid")
                .chinese("请求的 Host 不合法")
                .english("The Host header is sent twice or names a user"),
            // Clients compare the Chinese texts of these four literally.
            Self::TokenMissing => row(401, "token_missing")
                .chinese("您没有权限访问即时通讯接口")
                .english("A token is needed and none was sent"),
            Self::TokenExpired => row(401, "token_expired")
                .chinese("Token已过期！请重新获取令牌")
                .english("The token has expired"),
            Self::TokenInvalid(_) => row(401, "token_invalid")
                .chinese("Token 令牌不合法！")
                .english("The token is not valid"),
            Self::GuestDenied => row(403, "guest_denied")
                .chinese("您没有权限访问，请先注册或登录")
                .english("Guests may not upload: register or log in first"),
            Self::NotMultipart => upload_row(415, "not_multipart")
                .chinese("请求类型必须是 multipart/form-data")
                .english("the Content-Type must be multipart/form-data"),
            Self::EncodingRefused => upload_row(415, "encoding_refused")
                .chinese("请求内容不能压缩，请去掉 Content-Encoding")
                .english("a body with a Content-Encoding (such as gzip) is not accepted"),
            Self::BodyMangled => upload_row(422, "body_mangled")
                .chinese(
                    "网关把二进制内容转成了文本，请在网关的二进制媒体类型 \
                 (binaryMediaTypes) 中加入 multipart/form-data 并重新部署",
                )
                .english(
                    "a gateway turned the binary body into text; add \
                 multipart/form-data to its binary media types (binaryMediaTypes) and deploy it \
                 again",
                ),
            Self::Read(error) | Self::Upload(upload::Error::Read(error)) => read_row(error),
            Self::FileMissing => upload_row(400, "file_missing")
                .chinese("请选择要上传的文件")
                .english("the form holds no file"),
            Self::WrongField { wanted, got } => upload_row(400, "wrong_field")
                .chinese(format!("Expected field '{wanted}', but got '{got}'"))
                .english(format!("Expected field '{wanted}', but got '{got}'")),
            Self::TooManyFiles { limit } => upload_row(400, "too_many_files")
                .chinese(format!("一次最多上传 {limit} 个文件"))
                .english(format!("at most {limit} files at a time")),
            Self::ClassIdInvalid => upload_row(400, "class_id_invalid")
                .chinese("imageClassId 必须是非负整数")
                .english("imageClassId must be a whole number, 0 or more"),
            Self::FolderInvalid => upload_row(400, "folder_invalid")
                .chinese("目录名不合法")
                .english("the folder's name is not allowed"),
            Self::TextTooLong { limit } => row(400, "text_too_long")
                .chinese(format!("文本不能超过 {limit} 字节"))
                .english(format!("The text may have at most {limit} bytes")),
            Self::DirectDisabled => upload_row(404, "direct_disabled")
                .chinese("没有开启大文件直传")
                .english("direct uploads are not switched on"),
            Self::TicketInvalid => upload_row(401, "ticket_invalid")
                .chinese("上传凭证不合法或已过期")
                .english("the ticket is not valid or has expired"),
            Self::RecallExpired { life } => recall_expired(*life),
            Self::ParameterInvalid { name } => upload_row(400, "parameter_invalid")
                .chinese(format!("参数 {name} 不正确"))
                .english(format!("parameter {name} is missing or not valid")),
            Self::AlreadyUploaded => upload_row(409, "already_uploaded")
                .chinese("文件已经上传过")
                .english("the file was uploaded before"),
            Self::PartTooSmall => upload_row(400, "part_too_small")
                .chinese("除最后一块外，每块不能小于存储桶的下限（S3 为 5 MiB，OSS 为 100 KiB）")
                .english(
                    "a part other than the last is smaller than the bucket takes \
                     (S3: 5 MiB, OSS: 100 KiB)",
                ),
            Self::RangeNotSatisfiable { size } => row(416, "range_not_satisfiable")
                .chinese("请求的范围超出了文件的长度")
                .english(format!(
                    "The range begins beyond the end of the file, which has {size} bytes"
                )),
            Self::Upload(upload::Error::Empty) => upload_row(400, "file_empty")
                .chinese("文件是空的")
                .english("the file is empty"),
            Self::Upload(upload::Error::Type(refused)) => upload_row(415, "type_refused")
                .chinese(format!("不支持的文件类型 ({})", refused.chinese()))
                .english(format!(
                    "this type of file is not accepted ({})",
                    refused.looks_like
                )),
            Self::Upload(upload::Error::LocationKept) => upload_row(415, "location_kept")
                .chinese("文件可能含有无法清除的位置信息")
                .english("the file may hold a location that cannot be removed"),
            Self::Upload(upload::Error::Incomplete) => upload_row(409, "upload_incomplete")
                .chinese("文件还没有上传完成")
                .english("the file has not been uploaded yet"),
            Self::Upload(Store(store::Error::Refused { .. } | store::Error::NoCredentials)) => {
                upload_row(502, "store_refused")
                    .chinese("存储服务拒绝了请求")
                    .english("the storage service refused the request")
            }
            Self::Upload(Store(store::Error::Unavailable { .. } | store::Error::Disk { .. })) => {
                upload_row(502, "store_unavailable")
                    .chinese("存储服务暂时不可用，请稍后重试")
                    .english("the storage service is not available now, try again later")
            }
            Self::Upload(Store(store::Error::TimedOut { .. })) | Self::TimedOut => {
                upload_row(504, "store_timeout")
                    .chinese("存储超时，请稍后重试")
                    .english("the storage service took too long, try again later")
            }
            Self::TooManyRequests { .. } => upload_row(429, "too_many_requests")
                .chinese("上传太频繁，请稍后再试")
                .english("too many uploads, try again later"),
            Self::Busy => upload_row(503, "busy")
                .chinese("服务器繁忙，请稍后再试")
                .english("the server is busy, try again later"),
            Self::Upload(Store(store::Error::Interrupted)) | Self::Internal(_) => {
                upload_row(500, "internal")
                    .chinese("服务器内部错误")
                    .english("an error inside the server")
            }
        }
    }

    /// Returns the delay for `Retry-After`.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyRequests { after } => Some(*after),
            Self::Busy => Some(BUSY_RETRY_AFTER),
            _ => None,
        }
    }
}

/// How long a client should wait when the process is busy.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

fn read_row(error: &ReadError) -> Row {
    match error {
        ReadError::TooLarge { limit } => upload_row(413, "too_large")
            .chinese(format!("文件不能超过 {}", size(*limit, "字节")))
            .english(format!("a file may have at most {}", size(*limit, "bytes"))),
        ReadError::FieldTooLarge { limit } => upload_row(400, "field_too_large")
            .chinese(format!("表单字段不能超过 {limit} 字节"))
            .english(format!("a field may have at most {limit} bytes")),
        ReadError::Malformed(fault) => upload_row(400, "body_malformed")
            .chinese("请求内容不是有效的 multipart 表单")
            .english(format!("not a valid multipart form: {fault}")),
        ReadError::Truncated => upload_row(400, "body_truncated")
            .chinese("请求内容不完整，上传中途断开")
            .english("the body ended before the form's closing boundary"),
        ReadError::TooSlow { .. } | ReadError::TooLong => upload_row(408, "client_too_slow")
            .chinese("上传太慢，连接已关闭")
            .english("the body came too slowly, the connection is closed"),
    }
}

/// Writes the limit in minutes if they are whole, else in seconds.
fn recall_expired(life: Duration) -> Row {
    let (count, chinese, english) = match life.as_secs() {
        seconds if seconds >= 60 && seconds.is_multiple_of(60) => (seconds / 60, "分钟", "minute"),
        seconds => (seconds, "秒", "second"),
    };
    let s = if count == 1 { "" } else { "s" };
    row(400, "recall_expired")
        .chinese(format!("消息超过{count}{chinese}，不能撤回"))
        .english(format!(
            "The file was sent more than {count} {english}{s} ago and cannot be recalled"
        ))
}

fn row(status: u16, code: &'static str) -> Row {
    Row {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        code,
        chinese: String::new(),
        english: String::new(),
    }
}

/// Returns a row whose texts begin with "Upload failed".
fn upload_row(status: u16, code: &'static str) -> Row {
    row(status, code)
        .chinese("上传失败: ")
        .english("Upload failed: ")
}

impl Row {
    fn chinese(mut self, text: impl AsRef<str>) -> Self {
        self.chinese += text.as_ref();
        self
    }

    fn english(mut self, text: impl AsRef<str>) -> Self {
        self.english += text.as_ref();
        self
    }
}

/// Formats a size for people; `unit` is the word for bytes.
fn size(bytes: u64, unit: &str) -> String {
    const MIB: u64 = 1 << 20;
    const MB: u64 = 1_000_000;
    match bytes {
        bytes if bytes >= MIB && bytes % MIB == 0 => format!("{} MiB", bytes / MIB),
        bytes if bytes >= MB && bytes % MB == 0 => format!("{} MB", bytes / MB),
        bytes => format!("{bytes} {unit}"),
    }
}

impl IntoResponse for Error {
    /// Sets status and headers only: the envelope needs the request id, so the access log writes it.
    fn into_response(self) -> Response {
        let mut response = self.row().status.into_response();
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after() {
            let seconds = after.as_secs_f64().ceil().max(1.0) as u64;
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Self::RangeNotSatisfiable { size } = &self
            && let Ok(range) = HeaderValue::try_from(format!("bytes */{size}"))
        {
            headers.insert(CONTENT_RANGE, range);
        }
        if let Self::Read(ReadError::TooSlow { .. } | ReadError::TooLong) = self {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(Failure(Arc::new(self)));
        response
    }
}

/// The failure behind a response, in its extensions.
#[derive(Clone, Debug)]
pub(super) struct Failure(pub(super) Arc<Error>);
