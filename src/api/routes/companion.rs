//! Uploads in parts, resumable: the S3 routes of Uppy's Companion, so that its clients work as they
//! are. The id of an upload that a client gets holds the bucket's own and says whose it is.

use std::time::Duration;

use axum::{
    Router,
    extract::{Extension, FromRequestParts, Path, Request, State},
    http::request::Parts,
    response::Response,
    routing::{get, post},
};
use chrono::Utc;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, json};

use crate::api::{
    Api, Error,
    access::{
        auth::{self, Access},
        caller::Caller,
        signed::{self, Purpose},
    },
    access_log::Journal,
    arguments::{Arguments, MAX_BODY_BYTES},
    item::Item,
    reply,
    routes::direct::{Asked, TICKET_GRACE, Ticket},
};
use crate::{
    store::{self, ListedPart, ObjectKey, PartUploads, Session, bucket::MAX_PARTS},
    upload,
};

/// Largest body of a completion, in bytes: 10,000 parts with their ETags.
const MAX_PARTS_BYTES: usize = 1024 * 1024;
/// Most addresses signed at once.
const MAX_BATCH: usize = 1000;
/// How long an upload may be resumed; the bucket ends it after a day, too.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// What the id of an upload says.
#[derive(Deserialize, Serialize)]
struct PartUpload {
    #[serde(flatten)]
    ticket: Ticket,
    /// The bucket's id.
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

/// `GET /s3/params?filename&type`: a form for a file in one piece. Uppy makes no call at its end, so
/// the ticket goes along.
async fn params(
    State(api): State<Api>,
    Extension(journal): Extension<Journal>,
    request: Request,
) -> Result<Response, Error> {
    let asked = Call::read(&api, request, MAX_BODY_BYTES).await?;
    let mut caller = Caller::of_direct(&api, &journal, &asked.parts)?;
    let (stem, mut ticket) = Asked::of(&asked.arguments, "filename")?.granted(&mut caller)?;
    let form = api.form(&asked.parts, &stem, ticket.max_bytes).await?;
    ticket.lasts_until(form.expires_at, TICKET_GRACE);
    let ticket = signed::seal(api.signing_secrets()?, Purpose::Ticket, &ticket)?;
    let expires = form.expires_at.signed_duration_since(Utc::now());
    let fields: Map<_, _> = form
        .fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    reply::bare(json!({
        "method": "POST",
        "url": form.url,
        "fields": fields,
        "expires": expires.num_seconds().max(0),
        "ticket": ticket,
    }))
}

/// `POST /s3/multipart {filename, type, metadata}`
async fn begin(
    State(api): State<Api>,
    Extension(journal): Extension<Journal>,
    request: Request,
) -> Result<Response, Error> {
    let asked = Call::read(&api, request, MAX_BODY_BYTES).await?;
    let mut caller = Caller::of_direct(&api, &journal, &asked.parts)?;
    let metadata = asked.arguments.nested("metadata")?;
    let wanted = Asked::of(&asked.arguments, "filename")?.with_class_id_of(&metadata)?;
    let (stem, mut ticket) = wanted.granted(&mut caller)?;
    ticket.lasts_until(Utc::now(), LIFE);
    let key = ObjectKey::pending(&stem);
    let session = api.session(&asked.parts)?;
    let work = async { Ok(part_uploads(&session)?.begin(&key).await?) };
    let id = api.in_time(&session, work).await?;
    let upload = PartUpload { ticket, id };
    let id = signed::seal(api.signing_secrets()?, Purpose::PartUpload, &upload)?;
    reply::bare(json!({"key": key.as_str(), "uploadId": id}))
}

/// `GET /s3/multipart/{uploadId}?key`
async fn list(
    State(api): State<Api>,
    Extension(journal): Extension<Journal>,
    InPath(id): InPath<String>,
    request: Request,
) -> Result<Response, Error> {
    let (_, of) = Ours::find(&api, &journal, &id, request, MAX_BODY_BYTES).await?;
    let session = api.session(&of.parts)?;
    let work = async {
        let parts = part_uploads(&session)?.list(&of.key, &of.id);
        parts.await.map_err(gone)
    };
    let parts = api.in_time(&session, work).await?;
    reply::bare(parts.into_iter().map(listed).collect::<Vec<_>>())
}

/// `GET /s3/multipart/{uploadId}/{partNumber}?key`
async fn sign(
    State(api): State<Api>,
    Extension(journal): Extension<Journal>,
    InPath((id, number)): InPath<(String, String)>,
    request: Request,
) -> Result<Response, Error> {
    let (_, of) = Ours::find(&api, &journal, &id, request, MAX_BODY_BYTES).await?;
    let number = part_number("partNumber", &number)?;
    let addresses = of.addresses(&api, &[number]).await?;
    let url = addresses.into_iter().next().map(|(_, url)| url);
    reply::bare(json!({"url": url, "expires": api.settings.direct.form_life.as_secs()}))
}

/// `GET /s3/multipart/{uploadId}/batch?key&partNumbers=1,2`
async fn sign_batch(
    State(api): State<Api>,
    Extension(journal): Extension<Journal>,
    InPath(id): InPath<String>,
    request: Request,
) -> Result<Response, Error> {
    const NAME: &str = "partNumbers";
    let (arguments, of) = Ours::find(&api, &journal, &id, request, MAX_BODY_BYTES).await?;
    let numbers = arguments.text(NAME)?;
    let numbers: Vec<_> = numbers
        .split(',')
        .take(MAX_BATCH + 1)
        .map(|number| part_number(NAME, number.trim()))
        .collect::<Result<_, _>>()?;
    if numbers.len() > MAX_BATCH {
        return Err(Error::ParameterInvalid { name: NAME });
    }
    let addresses = of.addresses(&api, &numbers).await?;
    let urls: Map<_, _> = addresses
        .into_iter()
        .map(|(number, url)| (number.to_string(), url.into()))
        .collect();
    reply::bare(json!({"presignedUrls": urls}))
}

/// `POST /s3/multipart/{uploadId}/complete?key {parts: [{PartNumber, ETag}]}`
async fn complete(
    State(api): State<Api>,
    Extension(journal): Extension<Journal>,
    InPath(id): InPath<String>,
    request: Request,
) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Completed {
        location: String,
        #[serde(flatten)]
        item: Item,
    }
    let (arguments, of) = Ours::find(&api, &journal, &id, request, MAX_PARTS_BYTES).await?;
    let parts = named_parts(&arguments)?;
    let session = api.session(&of.parts)?;
    let work = async {
        let completed = part_uploads(&session)?.complete(&of.key, &of.id, parts);
        ended(completed.await)
    };
    api.in_time(&session, work).await?;
    let mut caller = Caller::of_more(&api, &journal, &of.parts)?;
    let item = of.ticket.complete(&mut caller, &of.parts).await?;
    reply::bare(Completed {
        location: item.url.clone(),
        item,
    })
}

/// `DELETE /s3/multipart/{uploadId}?key`: the parts go, and what a completion made of them that went
/// no further.
async fn abort(
    State(api): State<Api>,
    Extension(journal): Extension<Journal>,
    InPath(id): InPath<String>,
    request: Request,
) -> Result<Response, Error> {
    let (_, of) = Ours::find(&api, &journal, &id, request, MAX_BODY_BYTES).await?;
    let session = api.session(&of.parts)?;
    let work = async {
        part_uploads(&session)?.abort(&of.key, &of.id).await?;
        Ok(session.remove(&of.key).await?)
    };
    api.in_time(&session, work).await?;
    reply::bare(json!({}))
}

/// What stands in a path. What is no text there was not given out by us.
struct InPath<T>(T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let found = Path::from_request_parts(parts, state).await;
        found
            .map(|Path(text)| Self(text))
            .map_err(|_| Error::TicketInvalid)
    }
}

/// A request to one of these routes, read whole.
struct Call {
    parts: Parts,
    arguments: Arguments,
}

impl Call {
    /// Reads at most `max_bytes` of a body, and none without a token: none of these bodies holds one.
    async fn read(api: &Api, request: Request, max_bytes: usize) -> Result<Self, Error> {
        api.signing_secrets()?;
        if matches!(api.store, store::Store::Disk(_)) {
            return Err(Error::DirectDisabled);
        }
        let (parts, body) = request.into_parts();
        if api.settings.auth.of_request(&parts)? == Access::Unknown {
            return Err(Error::TokenMissing);
        }
        let arguments = Arguments::read(&parts, body, max_bytes, api.settings.idle).await?;
        Ok(Self { parts, arguments })
    }
}

/// An upload of the caller's own.
struct Ours {
    parts: Parts,
    ticket: Ticket,
    key: ObjectKey,
    id: String,
}

impl Ours {
    /// Reads the id; the key must be the one that was given out with it.
    async fn find(
        api: &Api,
        journal: &Journal,
        id: &str,
        request: Request,
        max_bytes: usize,
    ) -> Result<(Arguments, Self), Error> {
        let Call { parts, arguments } = Call::read(api, request, max_bytes).await?;
        let mut caller = Caller::of_more(api, journal, &parts)?;
        caller.admitted()?;
        let upload: Option<PartUpload> =
            signed::open(api.signing_secrets()?, Purpose::PartUpload, id);
        let PartUpload { ticket, id } = upload.ok_or(Error::TicketInvalid)?;
        ticket.judge(caller.user(), auth::now())?;
        let key = ObjectKey::pending(&ticket.stem()?);
        if arguments.text("key")? != key.as_str() {
            return Err(Error::TicketInvalid);
        }
        let ours = Self {
            parts,
            ticket,
            key,
            id,
        };
        Ok((arguments, ours))
    }

    async fn addresses(&self, api: &Api, numbers: &[i32]) -> Result<Vec<(i32, String)>, Error> {
        let life = api.settings.direct.form_life;
        let session = api.session(&self.parts)?;
        let work = async {
            let uploads = part_uploads(&session)?;
            let mut addresses = Vec::with_capacity(numbers.len());
            for number in numbers {
                let address = uploads.address(&self.key, &self.id, *number, life).await?;
                addresses.push((*number, address));
            }
            Ok(addresses)
        };
        api.in_time(&session, work).await
    }
}

fn part_uploads(session: &Session) -> Result<PartUploads<'_>, Error> {
    session.part_uploads().ok_or(Error::DirectDisabled)
}

fn listed(part: ListedPart) -> serde_json::Value {
    json!({"PartNumber": part.number, "Size": part.size, "ETag": part.etag})
}

fn part_number(name: &'static str, text: &str) -> Result<i32, Error> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number
        .filter(|number| (1..=MAX_PARTS).contains(number))
        .ok_or(Error::ParameterInvalid { name })
}

/// The parts of a completion, in order; each number once.
fn named_parts(arguments: &Arguments) -> Result<Vec<(i32, String)>, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Named {
        part_number: i32,
        #[serde(rename = "ETag")]
        etag: String,
    }
    const INVALID: Error = Error::ParameterInvalid { name: "parts" };
    let named: Vec<Named> = arguments.value("parts")?;
    let mut parts: Vec<_> = named
        .into_iter()
        .map(|part| (part.part_number, part.etag))
        .collect();
    parts.sort();
    let in_range = |(number, _): &(i32, String)| (1..=MAX_PARTS).contains(number);
    let once = parts
        .iter()
        .zip(parts.iter().skip(1))
        .all(|(part, next)| part.0 != next.0);
    match !parts.is_empty() && once && parts.iter().all(in_range) {
        true => Ok(parts),
        false => Err(INVALID),
    }
}

/// What the bucket says about an upload that has ended, or was never begun.
fn gone(error: store::Error) -> Error {
    match error {
        store::Error::Refused { status: 404, .. } => Error::Upload(upload::Error::Incomplete),
        error => error.into(),
    }
}

/// Whether the parts are an object now, or may have become one before.
fn ended(completed: Result<(), store::Error>) -> Result<(), Error> {
    match completed {
        Ok(()) | Err(store::Error::Refused { status: 404, .. }) => Ok(()),
        // A part is missing, or too small, or another one than named.
        Err(store::Error::Refused { status: 400, .. }) => {
            Err(Error::Upload(upload::Error::Incomplete))
        }
        Err(error) => Err(error.into()),
    }
}
