//! Resumable multipart uploads: the S3 routes of Uppy's Companion, so that its clients work
//! unchanged. A client's upload id is a signed token that contains the bucket's upload id.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{Method, request::Parts},
    response::Response,
    routing::{get, post},
};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::{
    Api, Error,
    access::{
        caller::{Caller, DirectCaller, ReturningCaller},
        signed::Purpose,
        ticket::{DirectRequest, Ticket},
    },
    arguments::{Arguments, MAX_BODY_BYTES},
    item::Item,
    reply,
    routes::direct,
};
use crate::{
    store::{self, ClientMultipart, ListedPart, ObjectKey, Session, Store, bucket::MAX_PARTS},
    upload,
};

/// Largest body of a completion, in bytes: 10,000 parts with their ETags.
const MAX_PARTS_BYTES: usize = 1024 * 1024;
/// Most URLs signed at once.
const MAX_BATCH: usize = 1000;
/// How long an upload may be resumed; the bucket's lifecycle rule aborts it after a day, too.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Content of an upload id.
#[derive(Deserialize, Serialize)]
struct PartUpload {
    #[serde(flatten)]
    ticket: Ticket,
    /// The bucket's upload id.
    #[serde(rename = "i")]
    id: String,
}

/// The routes.
pub(in crate::api) fn routes() -> Router<Api> {
    Router::new()
        .route("/s3/params", get(params))
        .route("/s3/multipart", post(begin))
        .route("/s3/multipart/{id}", get(list).delete(abort))
        .route("/s3/multipart/{id}/batch", get(sign_batch))
        .route("/s3/multipart/{id}/complete", post(complete))
        .route("/s3/multipart/{id}/{number}", get(sign))
        .method_not_allowed_fallback(|| async { Error::MethodNotAllowed })
}

/// `GET /s3/params?filename&type`: a form for a file in one piece, and its ticket. Uppy itself makes
/// no call to complete it.
async fn params(NewUpload(mut caller, parts, arguments): NewUpload) -> Result<Response, Error> {
    let wanted = DirectRequest::parse(&arguments, "filename")?;
    let (stem, ticket) = wanted.authorize(&mut caller)?;
    let form = caller.api.form(&parts, &stem, ticket.max_bytes).await?;
    let expires = form.expires_at.signed_duration_since(Utc::now());
    let ticket = ticket.sign(&caller, form.expires_at)?;
    let fields: Value = form.fields.into_iter().collect();
    reply::bare(json!({
        "method": "POST",
        "url": form.url,
        "fields": fields,
        "expires": expires.num_seconds().max(0),
        "ticket": ticket,
    }))
}

/// `POST /s3/multipart {filename, type, metadata}`
async fn begin(NewUpload(mut caller, parts, arguments): NewUpload) -> Result<Response, Error> {
    let metadata = arguments.nested("metadata")?;
    let wanted = DirectRequest::parse(&arguments, "filename")?.with_metadata(&metadata)?;
    let (stem, ticket) = wanted.authorize(&mut caller)?;
    let key = ObjectKey::pending(&stem);
    let work = async |session: &Session| {
        let uploads = part_uploads(session)?;
        Ok((uploads.create(&key).await?, uploads.part_bytes()))
    };
    let (id, part_bytes) = caller.api.with_store(&parts, work).await?;
    let upload = PartUpload { ticket, id };
    let id = caller.sign(Purpose::PartUpload, Utc::now() + LIFE, &upload)?;
    let id = id.ok_or(Error::DirectDisabled)?;
    reply::bare(json!({"key": key.as_str(), "uploadId": id, "part_bytes": part_bytes}))
}

/// `GET /s3/multipart/{uploadId}?key`
async fn list(upload: OwnedUpload) -> Result<Response, Error> {
    let work = async |session: &Session| {
        let parts = part_uploads(session)?.list(&upload.key, &upload.id);
        parts.await.map_err(incomplete_if_missing)
    };
    let parts = upload.caller.api.with_store(&upload.parts, work).await?;
    reply::bare(parts.into_iter().map(listed).collect::<Vec<_>>())
}

/// `GET /s3/multipart/{uploadId}/{partNumber}?key`
async fn sign(upload: OwnedUpload) -> Result<Response, Error> {
    let number = part_number("partNumber", &upload.number)?;
    let urls = upload.sign_urls(&[number]).await?;
    let url = urls.into_iter().next().map(|(_, url)| url);
    let life = upload.caller.api.settings.direct.form_life;
    reply::bare(json!({"url": url, "expires": life.as_secs()}))
}

/// `GET /s3/multipart/{uploadId}/batch?key&partNumbers=1,2`
async fn sign_batch(upload: OwnedUpload) -> Result<Response, Error> {
    const NAME: &str = "partNumbers";
    let numbers = upload.arguments.text(NAME)?;
    let numbers: Vec<_> = numbers
        .split(',')
        .take(MAX_BATCH + 1)
        .map(|number| part_number(NAME, number.trim()))
        .collect::<Result<_, _>>()?;
    if numbers.len() > MAX_BATCH {
        return Err(Error::ParameterInvalid { name: NAME });
    }
    let urls = upload.sign_urls(&numbers).await?;
    let urls = urls.into_iter();
    let urls: Value = urls
        .map(|(number, url)| (number.to_string(), url))
        .collect();
    reply::bare(json!({"presignedUrls": urls}))
}

/// `POST /s3/multipart/{uploadId}/complete?key {parts: [{PartNumber, ETag}]}`
async fn complete(upload: OwnedUpload) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Completed {
        location: String,
        #[serde(flatten)]
        item: Item,
    }
    let parts = parse_parts(&upload.arguments)?;
    let work = async |session: &Session| {
        let completed = part_uploads(session)?.complete(&upload.key, &upload.id, parts);
        completed_or_missing(completed.await)
    };
    upload.caller.api.with_store(&upload.parts, work).await?;
    let mut caller = upload.caller;
    let item = direct::complete_ticket(upload.ticket, &mut caller, &upload.parts).await?;
    reply::bare(Completed {
        location: item.url.clone(),
        item,
    })
}

/// `DELETE /s3/multipart/{uploadId}?key`: removes the parts, and the pending object of an unfinished
/// completion.
async fn abort(upload: OwnedUpload) -> Result<Response, Error> {
    let work = async |session: &Session| {
        let uploads = part_uploads(session)?;
        uploads.abort(&upload.key, &upload.id).await?;
        Ok(session.remove(&upload.key).await?)
    };
    upload.caller.api.with_store(&upload.parts, work).await?;
    reply::bare(json!({}))
}

/// A request that starts an upload.
struct NewUpload(Caller, Parts, Arguments);

impl FromRequest<Api> for NewUpload {
    type Rejection = Error;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Error> {
        let (mut parts, body) = request.into_parts();
        let DirectCaller(mut caller) = DirectCaller::from_request_parts(&mut parts, api).await?;
        let arguments = read_arguments(&mut caller, &parts, body, MAX_BODY_BYTES).await?;
        Ok(Self(caller, parts, arguments))
    }
}

/// A request about an upload that its caller started.
struct OwnedUpload {
    caller: Caller,
    parts: Parts,
    arguments: Arguments,
    ticket: Ticket,
    key: ObjectKey,
    /// The bucket's upload id.
    id: String,
    /// The part number in the path, if the route has one.
    number: String,
}

impl FromRequest<Api> for OwnedUpload {
    type Rejection = Error;

    /// Verifies the upload id; the argument `key` must be the one that was issued with it.
    async fn from_request(request: Request, api: &Api) -> Result<Self, Error> {
        let (mut parts, body) = request.into_parts();
        let ReturningCaller(mut caller) =
            ReturningCaller::from_request_parts(&mut parts, api).await?;
        // The only POST among these routes is the completion.
        let max_bytes = match parts.method {
            Method::POST => MAX_PARTS_BYTES,
            _ => MAX_BODY_BYTES,
        };
        let arguments = read_arguments(&mut caller, &parts, body, max_bytes).await?;
        let path = Path::<BTreeMap<String, String>>::from_request_parts(&mut parts, api).await;
        let Path(mut path) = path.map_err(|_| Error::TicketInvalid)?;
        let mut take = |name| path.remove(name).unwrap_or_default();
        let upload = caller.open(Purpose::PartUpload, &take("id"));
        let PartUpload { ticket, id } = upload.map_err(|_| Error::TicketInvalid)?;
        let key = ObjectKey::pending(&ticket.stem()?);
        if arguments.text("key")? != key.as_str() {
            return Err(Error::TicketInvalid);
        }
        Ok(Self {
            caller,
            parts,
            arguments,
            ticket,
            key,
            id,
            number: take("number"),
        })
    }
}

impl OwnedUpload {
    async fn sign_urls(&self, numbers: &[i32]) -> Result<Vec<(i32, String)>, Error> {
        let life = self.caller.api.settings.direct.form_life;
        let work = async |session: &Session| {
            let uploads = part_uploads(session)?;
            let mut urls = Vec::with_capacity(numbers.len());
            for number in numbers {
                let url = uploads
                    .presign_part(&self.key, &self.id, *number, life)
                    .await?;
                urls.push((*number, url));
            }
            Ok(urls)
        };
        self.caller.api.with_store(&self.parts, work).await
    }
}

/// Authorises the caller before reading the body, which contains no token on these routes.
async fn read_arguments(
    caller: &mut Caller,
    parts: &Parts,
    body: Body,
    max_bytes: usize,
) -> Result<Arguments, Error> {
    if matches!(caller.api.store, Store::Disk(_)) {
        return Err(Error::DirectDisabled);
    }
    caller.authorize()?;
    Arguments::read(parts, body, max_bytes, caller.api.settings.idle).await
}

fn part_uploads(session: &Session) -> Result<ClientMultipart<'_>, Error> {
    session.client_multipart().ok_or(Error::DirectDisabled)
}

fn listed(part: ListedPart) -> Value {
    json!({"PartNumber": part.number, "Size": part.size, "ETag": part.etag})
}

fn part_number(name: &'static str, text: &str) -> Result<i32, Error> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number
        .filter(|number| (1..=MAX_PARTS).contains(number))
        .ok_or(Error::ParameterInvalid { name })
}

/// Parses the parts of a completion; sorts them and refuses repeated numbers.
fn parse_parts(arguments: &Arguments) -> Result<Vec<(i32, String)>, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Part {
        part_number: i32,
        #[serde(rename = "ETag")]
        etag: String,
    }
    let parts: Vec<Part> = arguments.value("parts")?;
    let parts = parts.into_iter();
    let mut parts: Vec<_> = parts.map(|part| (part.part_number, part.etag)).collect();
    parts.sort();
    let are_in_range = parts.iter().all(|part| (1..=MAX_PARTS).contains(&part.0));
    let each_once = parts.is_sorted_by(|part, next| part.0 < next.0);
    if are_in_range && each_once && !parts.is_empty() {
        Ok(parts)
    } else {
        Err(Error::ParameterInvalid { name: "parts" })
    }
}

/// Maps 404, a bucket's answer for an upload that has ended or was never started.
fn incomplete_if_missing(error: store::Error) -> Error {
    match error {
        store::Error::Refused { status: 404, .. } => Error::Upload(upload::Error::Incomplete),
        error => error.into(),
    }
}

/// Takes a missing upload as success, since it may have been completed before.
fn completed_or_missing(completed: Result<(), store::Error>) -> Result<(), Error> {
    match completed {
        Ok(()) | Err(store::Error::Refused { status: 404, .. }) => Ok(()),
        Err(store::Error::Refused { code, .. }) if code == "EntityTooSmall" => {
            Err(Error::PartTooSmall)
        }
        // A part is missing, or has another ETag.
        Err(store::Error::Refused { status: 400, .. }) => {
            Err(Error::Upload(upload::Error::Incomplete))
        }
        Err(error) => Err(error.into()),
    }
}
