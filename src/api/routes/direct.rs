//! Files that do not fit through a gateway: a signed form with which the client puts one into the
//! bucket by itself, and the call that completes it. A disk store's forms come back here.

use std::time::Duration;

use axum::{
    extract::{Extension, Request, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use crate::api::{
    Api, Error,
    access::{
        auth,
        caller::Caller,
        secrets::Secrets,
        signed::{self, Purpose},
    },
    access_log::Journal,
    arguments::Arguments,
    form::{FilePart, Form, Limits, Part},
    item::Item,
    reply,
    routes::upload::{CLASS_ID_FIELDS, check_body, class_id},
};
use crate::{
    body::ReadError,
    store::{ContentHeaders, FormTerms, ObjectKey, PostForm, Session, Stem},
    upload::{self, direct::Pending, naming},
};

/// Route of the forms that a disk store takes.
pub(in crate::api) const PENDING_ROUTE: &str = "/api/chat/uploadPending";
/// How much longer than its form a ticket counts: what is begun in time may take its time.
pub(in crate::api) const TICKET_GRACE: Duration = Duration::from_secs(60 * 60);
/// Form field that every bucket answers 200 for, where it would answer 204.
const ANSWER_200: (&str, &str) = ("success_action_status", "200");
/// The form field that holds the file.
const FILE_FIELD: &str = "file";

/// How files may go past this function.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `UPLOAD_SIGNING_SECRET`, else `UPLOAD_JWT_SECRET`; with none, no file may.
    pub secrets: Secrets,
    /// `UPLOAD_DIRECT_SECS`: how long a signed form or address counts.
    pub form_life: Duration,
    /// `UPLOAD_DIRECT_MAX_BYTES`: largest file, in bytes.
    pub max_bytes: u64,
    /// `UPLOAD_RECALL_SECS`: how long an upload can be taken back.
    pub recall_life: Duration,
}

/// What somebody may put into the store and complete.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(in crate::api) struct Ticket {
    #[serde(rename = "s")]
    stem: String,
    #[serde(rename = "u")]
    user: Option<String>,
    /// The client's name for the file, fit for display.
    #[serde(rename = "n")]
    name: String,
    #[serde(rename = "c")]
    class_id: u64,
    #[serde(rename = "m")]
    pub(in crate::api) max_bytes: u64,
    /// Seconds since 1970.
    #[serde(rename = "x")]
    expires_at: u64,
}

/// What a form says that a disk store takes.
#[derive(Deserialize, Serialize)]
struct DiskForm {
    #[serde(rename = "s")]
    stem: String,
    #[serde(rename = "m")]
    max_bytes: u64,
    /// Seconds since 1970.
    #[serde(rename = "x")]
    expires_at: u64,
}

#[derive(Serialize)]
struct Policy {
    upload: UploadForm,
    ticket: String,
    expires_at: i64,
    max_bytes: u64,
}

/// As `uni.uploadFile` takes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UploadForm {
    url: String,
    name: &'static str,
    #[serde(serialize_with = "as_object")]
    form_data: Vec<(&'static str, String)>,
}

/// `POST /api/chat/uploadPolicy`: leave to put one file into the store.
pub(in crate::api) async fn policy(
    State(api): State<Api>,
    Extension(journal): Extension<Journal>,
    request: Request,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let secrets = api.signing_secrets()?;
    let mut caller = Caller::of_direct(&api, &journal, &parts)?;
    let arguments = caller.asks(body).await?;
    let asked = Asked::of(&arguments, "name")?;
    let (stem, mut ticket) = asked.granted(&mut caller)?;
    let form = api.form(&parts, &stem, ticket.max_bytes).await?;
    ticket.lasts_until(form.expires_at, TICKET_GRACE);
    reply::ok(Policy {
        ticket: signed::seal(secrets, Purpose::Ticket, &ticket)?,
        expires_at: form.expires_at.timestamp(),
        max_bytes: ticket.max_bytes,
        upload: UploadForm {
            url: form.url,
            name: FILE_FIELD,
            form_data: form.fields,
        },
    })
}

/// `POST /api/chat/uploadComplete`: the file that a ticket was for is looked at and taken to its
/// key.
pub(in crate::api) async fn complete(
    State(api): State<Api>,
    Extension(journal): Extension<Journal>,
    request: Request,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let secrets = api.signing_secrets()?;
    let mut caller = Caller::of_more(&api, &journal, &parts)?;
    let arguments = caller.asks(body).await?;
    let ticket = arguments.text("ticket")?;
    let ticket: Ticket =
        signed::open(secrets, Purpose::Ticket, &ticket).ok_or(Error::TicketInvalid)?;
    ticket.judge(caller.user(), auth::now())?;
    // A list, as for the main route.
    reply::ok([ticket.complete(&mut caller, &parts).await?])
}

/// `POST /api/chat/uploadPending`: what a bucket would take by itself.
pub(in crate::api) async fn take(
    State(api): State<Api>,
    Extension(journal): Extension<Journal>,
    request: Request,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let secrets = api.signing_secrets()?;
    let limits = Limits {
        max_file_bytes: api.settings.direct.max_bytes,
        max_files: 1,
        idle: api.settings.idle,
    };
    let form = Form::open(&parts.headers, body, limits)?;
    check_body(&parts)?;
    let session = api.session(&parts)?;
    let work = take_form(secrets, &session, form);
    let (key, size) = api.in_time(&session, work).await?;
    journal.took(&key, size);
    Ok(StatusCode::OK.into_response())
}

/// What a client asks leave for.
pub(in crate::api) struct Asked {
    name: String,
    class_id: u64,
    size: Option<u64>,
}

impl Asked {
    /// The class id may stand in either spelling; the name is under `name`.
    pub(in crate::api) fn of(arguments: &Arguments, name: &'static str) -> Result<Self, Error> {
        Ok(Self {
            name: naming::display_name(&arguments.text(name)?),
            class_id: asked_class_id(arguments)?.unwrap_or(0),
            size: arguments.number("size")?,
        })
    }

    /// The same for a client that gives the class id among the file's metadata.
    pub(in crate::api) fn with_class_id_of(mut self, metadata: &Arguments) -> Result<Self, Error> {
        self.class_id = asked_class_id(metadata)?.unwrap_or(self.class_id);
        Ok(self)
    }

    /// Leave for the caller, if it may upload this; until when is not said yet.
    pub(in crate::api) fn granted(self, caller: &mut Caller<'_>) -> Result<(Stem, Ticket), Error> {
        let limit = caller.admitted()?.max_bytes;
        if self.size.is_some_and(|size| size > limit) {
            return Err(ReadError::TooLarge { limit }.into());
        }
        let offset = caller.api.settings.upload.utc_offset;
        let stem = naming::stem(Utc::now(), offset, Uuid::new_v4());
        let ticket = Ticket {
            stem: stem.to_string(),
            user: caller.user().map(str::to_owned),
            name: self.name,
            class_id: self.class_id,
            max_bytes: limit,
            expires_at: 0,
        };
        Ok((stem, ticket))
    }
}

fn asked_class_id(arguments: &Arguments) -> Result<Option<u64>, Error> {
    for name in CLASS_ID_FIELDS {
        let text = arguments.text(name).map_err(|_| Error::ClassIdInvalid)?;
        if let Some(id) = class_id(text.as_bytes())? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

impl Ticket {
    pub(in crate::api) fn lasts_until(&mut self, end: DateTime<Utc>, grace: Duration) {
        let end = u64::try_from(end.timestamp()).unwrap_or_default();
        self.expires_at = end.saturating_add(grace.as_secs());
    }

    /// Whether it is this user's, and still counts.
    pub(in crate::api) fn judge(&self, user: Option<&str>, now: Duration) -> Result<(), Error> {
        match self.user.as_deref() == user && now.as_secs() < self.expires_at {
            true => Ok(()),
            false => Err(Error::TicketInvalid),
        }
    }

    pub(in crate::api) fn stem(&self) -> Result<Stem, Error> {
        Stem::parse(&self.stem).map_err(|_| Error::TicketInvalid)
    }

    /// Takes the file to its key; the answer is that of the main route.
    pub(in crate::api) async fn complete(
        self,
        caller: &mut Caller<'_>,
        parts: &Parts,
    ) -> Result<Item, Error> {
        let mut rules = caller.admitted()?;
        rules.max_bytes = rules.max_bytes.min(self.max_bytes);
        let pending = Pending {
            stem: self.stem()?,
            name: self.name,
        };
        let api = caller.api;
        let session = api.session(parts)?;
        let folder = api.settings.prefix.clone();
        let work = async { Ok(upload::direct::complete(rules, &session, folder, pending).await?) };
        let file = api.in_time(&session, work).await?;
        caller.journal.stored(&file);
        Item::of(
            file,
            self.class_id,
            &api.base_url(parts),
            caller.user(),
            api,
        )
    }
}

impl Api {
    /// The rules for files that do not come through this function.
    pub(in crate::api) fn direct_rules(&self) -> upload::Settings {
        upload::Settings {
            max_bytes: self.settings.direct.max_bytes,
            ..self.settings.upload
        }
    }

    /// The secrets that sign tickets.
    pub(in crate::api) fn signing_secrets(&self) -> Result<&Secrets, Error> {
        let secrets = &self.settings.direct.secrets;
        match secrets.is_empty() {
            true => Err(Error::DirectDisabled),
            false => Ok(secrets),
        }
    }

    /// A form that puts one file of at most `max_bytes` where it waits to be completed.
    pub(in crate::api) async fn form(
        &self,
        parts: &Parts,
        stem: &Stem,
        max_bytes: u64,
    ) -> Result<PostForm, Error> {
        let now = Utc::now();
        let key = ObjectKey::pending(stem);
        let terms = FormTerms {
            key: &key,
            max_bytes,
            now,
            expires_at: now + self.settings.direct.form_life,
        };
        let session = self.session(parts)?;
        let work = async { Ok(session.sign_form(terms).await?) };
        match self.in_time(&session, work).await? {
            Some(form) => Ok(form),
            None => self.disk_form(parts, stem, terms),
        }
    }

    fn disk_form(
        &self,
        parts: &Parts,
        stem: &Stem,
        terms: FormTerms<'_>,
    ) -> Result<PostForm, Error> {
        let form = DiskForm {
            stem: stem.to_string(),
            max_bytes: terms.max_bytes,
            expires_at: u64::try_from(terms.expires_at.timestamp()).unwrap_or_default(),
        };
        let policy = signed::seal(self.signing_secrets()?, Purpose::Form, &form)?;
        let (answer, status) = ANSWER_200;
        Ok(PostForm {
            url: format!("{}{PENDING_ROUTE}", self.base_url(parts)),
            fields: vec![
                ("key", terms.key.to_string()),
                (answer, status.to_owned()),
                ("policy", policy),
            ],
            expires_at: terms.expires_at,
        })
    }
}

/// Stores the file of a form that a disk store signed, if the form is as it was signed.
async fn take_form(
    secrets: &Secrets,
    session: &Session,
    mut form: Form,
) -> Result<(ObjectKey, u64), Error> {
    let (mut key, mut policy) = (String::new(), None);
    while let Some(part) = form.next().await? {
        match part {
            Part::Text { name, value } if name == "key" => {
                key = String::from_utf8(value).map_err(|_| Error::TicketInvalid)?;
            }
            Part::Text { name, value } if name == "policy" => {
                let sealed = String::from_utf8(value).map_err(|_| Error::TicketInvalid)?;
                policy = signed::open(secrets, Purpose::Form, &sealed);
            }
            Part::Text { name, value }
                if (name.as_str(), value.as_slice()) == (ANSWER_200.0, ANSWER_200.1.as_bytes()) => {
            }
            // As a bucket does: nothing is asked of it but what was signed.
            Part::Text { .. } => return Err(Error::TicketInvalid),
            Part::File(file) if file.field != FILE_FIELD => {
                let got = naming::display_name(&file.field);
                let wanted = FILE_FIELD;
                return Err(Error::WrongField { wanted, got });
            }
            // The file is last: what comes after it does not count.
            Part::File(file) => {
                let policy: DiskForm = policy.ok_or(Error::TicketInvalid)?;
                let key = policy.key(&key, auth::now())?;
                let size = store_pending(session, &key, policy.max_bytes, file).await?;
                return Ok((key, size));
            }
        }
    }
    Err(Error::FileMissing)
}

impl DiskForm {
    /// The key it was signed for, if that is the one asked for and there is still time.
    fn key(&self, asked: &str, now: Duration) -> Result<ObjectKey, Error> {
        let stem = Stem::parse(&self.stem).map_err(|_| Error::TicketInvalid)?;
        let key = ObjectKey::pending(&stem);
        match asked == key.as_str() && now.as_secs() < self.expires_at {
            true => Ok(key),
            false => Err(Error::TicketInvalid),
        }
    }
}

async fn store_pending(
    session: &Session,
    key: &ObjectKey,
    limit: u64,
    mut file: FilePart,
) -> Result<u64, Error> {
    if session.look(key, 1).await?.is_some() {
        return Err(Error::AlreadyUploaded);
    }
    let mut writer = session.create(key.clone(), ContentHeaders::UNKNOWN);
    let mut size = 0;
    while let Some(chunk) = file.content.try_next().await? {
        size += chunk.len() as u64;
        if size > limit {
            return Err(ReadError::TooLarge { limit }.into());
        }
        writer.write(chunk).await?;
    }
    if size == 0 {
        return Err(upload::Error::Empty.into());
    }
    writer.finish().await?.keep();
    Ok(size)
}

fn as_object<S: Serializer>(
    fields: &[(&'static str, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fields.iter().map(|(name, value)| (name, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_its_users_until_its_time_is_up() {
        let ticket = |user: Option<&str>| Ticket {
            stem: "20250417/1744866732481_20f90b51544f".into(),
            user: user.map(str::to_owned),
            name: String::new(),
            class_id: 0,
            max_bytes: 1,
            expires_at: 1000,
        };
        let judged = |made_for, user, now| {
            let judged = ticket(made_for).judge(user, Duration::from_secs(now));
            judged.is_ok()
        };
        assert!(judged(None, None, 999) && judged(Some("7"), Some("7"), 0));
        for (made_for, user, now) in [
            (None, None, 1000),
            (Some("7"), Some("8"), 0),
            (Some("7"), None, 0),
            (None, Some("7"), 0),
        ] {
            assert!(!judged(made_for, user, now), "{made_for:?} {user:?} {now}");
        }
    }

    #[test]
    fn a_disk_form_is_for_one_key_and_for_a_while() {
        let form = DiskForm {
            stem: "20250417/1744866732481_20f90b51544f".into(),
            max_bytes: 1,
            expires_at: 1000,
        };
        let key = "pending/20250417/1744866732481_20f90b51544f";
        let judged = |asked, now| form.key(asked, Duration::from_secs(now));
        assert_eq!(judged(key, 999).expect("good").as_str(), key);
        for (asked, now) in [
            (key, 1000),
            ("", 0),
            ("pending/20250417/1744866732481_20f90b515440", 0),
            ("images/20250417/1744866732481_20f90b51544f", 0),
        ] {
            assert!(matches!(judged(asked, now), Err(Error::TicketInvalid)));
        }
    }
}
