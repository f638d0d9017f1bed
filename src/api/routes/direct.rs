//! Direct uploads, for files too large for a gateway: a presigned form with which the client posts a
//! file to the bucket, and the call that completes it. A disk store's forms are posted to a route of
//! this module.

use std::time::Duration;

use axum::{
    extract::{Extension, Request, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse as _, Response},
};
use chrono::Utc;
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::api::{
    Api, Error,
    access::{
        caller::{Caller, DirectCaller, ReturningCaller},
        secrets::Secrets,
        signed::{self, Purpose},
        ticket::{DirectRequest, Ticket},
    },
    access_log::Journal,
    concurrency::Slot,
    form::{FilePart, Form, Part},
    item::Item,
    links::Links,
    reply,
};
use crate::{
    body::ReadError,
    store::{ContentHeaders, ObjectKey, PostConditions, PresignedPost, Session, Stem},
    upload::{self, direct::Pending, naming},
};

/// Route to which a disk store's forms are posted.
pub(in crate::api) const PENDING_ROUTE: &str = "/api/chat/uploadPending";
/// Form field that makes every bucket answer 200 instead of 204.
const ANSWER_200: (&str, &str) = ("success_action_status", "200");
/// The form field of the file.
const FILE_FIELD: &str = "file";

/// Settings of direct uploads and recalls.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `UPLOAD_SIGNING_SECRET`, else `UPLOAD_JWT_SECRET`; with neither, the routes are disabled.
    pub secrets: Secrets,
    /// `UPLOAD_DIRECT_SECS`: life of a signed form or URL.
    pub form_life: Duration,
    /// `UPLOAD_DIRECT_MAX_BYTES`: largest file, in bytes.
    pub max_bytes: u64,
    /// `UPLOAD_RECALL_SECS`: how long an upload can be recalled.
    pub recall_life: Duration,
}

/// Policy of an upload form for a disk store.
#[derive(Deserialize, Serialize)]
struct DiskForm {
    #[serde(rename = "s")]
    stem: String,
    #[serde(rename = "m")]
    max_bytes: u64,
}

#[derive(Serialize)]
struct Policy {
    upload: UploadForm,
    ticket: String,
    expires_at: i64,
    max_bytes: u64,
}

/// Arguments of `uni.uploadFile`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UploadForm {
    url: String,
    name: &'static str,
    #[serde(serialize_with = "as_object")]
    form_data: Vec<(&'static str, String)>,
}

/// `POST /api/chat/uploadPolicy`: returns a form that uploads one file to the store.
pub(in crate::api) async fn policy(
    DirectCaller(mut caller): DirectCaller,
    request: Request,
) -> Result<Response, Error> {
    let (parts, arguments) = caller.read_arguments(request).await?;
    let wanted = DirectRequest::parse(&arguments, "name")?;
    let (stem, ticket) = wanted.authorize(&mut caller)?;
    let form = caller.api.form(&parts, &stem, ticket.max_bytes).await?;
    reply::ok(Policy {
        ticket: ticket.sign(&caller, form.expires_at)?,
        expires_at: form.expires_at.timestamp(),
        max_bytes: ticket.max_bytes,
        upload: UploadForm {
            url: form.url,
            name: FILE_FIELD,
            form_data: form.fields,
        },
    })
}

/// `POST /api/chat/uploadComplete`: checks the file of a ticket and moves it to its key.
pub(in crate::api) async fn complete(
    ReturningCaller(mut caller): ReturningCaller,
    request: Request,
) -> Result<Response, Error> {
    let (parts, arguments) = caller.read_arguments(request).await?;
    let ticket = caller.open(Purpose::Ticket, &arguments.text("ticket")?);
    let ticket = ticket.map_err(|_| Error::TicketInvalid)?;
    // A list, as on the main route.
    reply::ok([complete_ticket(ticket, &mut caller, &parts).await?])
}

/// Checks the file of `ticket`, moves it to its key and returns the same item as the main route.
pub(in crate::api) async fn complete_ticket(
    ticket: Ticket,
    caller: &mut Caller,
    parts: &Parts,
) -> Result<Item, Error> {
    let mut rules = caller.authorize()?;
    rules.max_bytes = rules.max_bytes.min(ticket.max_bytes);
    let class_id = ticket.class_id;
    let pending = Pending {
        stem: ticket.stem()?,
        name: ticket.name,
    };
    let folder = caller.api.settings.prefix.clone();
    let api = caller.api.clone();
    let work = async |session: &Session| {
        let file = upload::direct::complete(rules, session, folder, pending).await?;
        Ok((file, Links::new(api.base_url(parts), &api, session).await?))
    };
    let (file, links) = api.with_store(parts, work).await?;
    caller.journal.stored(&file);
    Item::new(file, Some(class_id), &links, caller)
}

/// `POST /api/chat/uploadPending`: stores the file of a form, like a bucket's POST Object.
pub(in crate::api) async fn post_form(
    State(api): State<Api>,
    Extension(journal): Extension<Journal>,
    request: Request,
) -> Result<Response, Error> {
    let secrets = api.signing_secrets()?;
    let (parts, form) = api.open_form(request, api.settings.direct.max_bytes, 1)?;
    let slot = parts.extensions.get();
    let work = async |session: &Session| store_form(secrets, session, slot, form).await;
    let (key, size) = api.with_store(&parts, work).await?;
    journal.stored_bytes(&key, size);
    Ok(StatusCode::OK.into_response())
}

impl Api {
    /// Returns the rules for files that do not pass through this function.
    pub(in crate::api) fn direct_rules(&self) -> upload::Settings {
        upload::Settings {
            max_bytes: self.settings.direct.max_bytes,
            ..self.settings.upload
        }
    }

    /// Returns the secrets that sign tokens.
    pub(in crate::api) fn signing_secrets(&self) -> Result<&Secrets, Error> {
        let secrets = &self.settings.direct.secrets;
        if secrets.is_empty() {
            return Err(Error::DirectDisabled);
        }
        Ok(secrets)
    }

    /// Signs a form that stores one file of at most `max_bytes` under its pending key.
    pub(in crate::api) async fn form(
        &self,
        parts: &Parts,
        stem: &Stem,
        max_bytes: u64,
    ) -> Result<PresignedPost, Error> {
        let now = Utc::now();
        let key = ObjectKey::pending(stem);
        let terms = PostConditions {
            key: &key,
            max_bytes,
            now,
            expires_at: now + self.settings.direct.form_life,
        };
        let work = async |session: &Session| Ok(session.presign_post(terms).await?);
        match self.with_store(parts, work).await? {
            Some(form) => Ok(form),
            None => self.disk_form(parts, stem, terms),
        }
    }

    fn disk_form(
        &self,
        parts: &Parts,
        stem: &Stem,
        terms: PostConditions<'_>,
    ) -> Result<PresignedPost, Error> {
        let form = DiskForm {
            stem: stem.to_string(),
            max_bytes: terms.max_bytes,
        };
        let secrets = self.signing_secrets()?;
        // As with a bucket, the form is posted without the user's token.
        let policy = signed::sign(secrets, Purpose::Form, None, terms.expires_at, &form)?;
        let (answer, status) = ANSWER_200;
        Ok(PresignedPost {
            url: format!("{}{PENDING_ROUTE}", self.base_url(parts)),
            fields: vec![
                ("key", terms.key.to_string()),
                (answer, status.to_owned()),
                ("policy", policy.ok_or(Error::DirectDisabled)?),
            ],
            expires_at: terms.expires_at,
        })
    }
}

/// Stores the file of a form, if its fields match the signed policy.
async fn store_form(
    secrets: &Secrets,
    session: &Session,
    slot: Option<&Slot>,
    mut form: Form,
) -> Result<(ObjectKey, u64), Error> {
    let (mut key, mut policy) = (String::new(), None);
    while let Some(part) = form.next().await? {
        match part {
            Part::Text { name, value } if name == "key" => {
                key = String::from_utf8(value).map_err(|_| Error::TicketInvalid)?;
            }
            Part::Text { name, value } if name == "policy" => {
                policy = String::from_utf8(value).ok();
            }
            Part::Text { name, value }
                if (name.as_str(), value.as_slice()) == (ANSWER_200.0, ANSWER_200.1.as_bytes()) => {
            }
            // Like a bucket, refuses fields that are not in the policy.
            Part::Text { .. } => return Err(Error::TicketInvalid),
            Part::File(file) if file.field != FILE_FIELD => {
                let got = naming::display_name(&file.field);
                let wanted = FILE_FIELD;
                return Err(Error::WrongField { wanted, got });
            }
            // The file comes last: fields after it are ignored.
            Part::File(file) => {
                let policy = policy.unwrap_or_default();
                let policy = signed::open(secrets, Purpose::Form, &policy, None, Utc::now());
                let policy: DiskForm = policy.map_err(|_| Error::TicketInvalid)?;
                let key = policy.key(&key)?;
                if let Some(slot) = slot {
                    slot.mark_authorized();
                }
                let size = store_pending(session, &key, policy.max_bytes, file).await?;
                return Ok((key, size));
            }
        }
    }
    Err(Error::FileMissing)
}

impl DiskForm {
    /// Returns the signed key, if the form requests that one.
    fn key(&self, requested: &str) -> Result<ObjectKey, Error> {
        let stem = Stem::parse(&self.stem).map_err(|_| Error::TicketInvalid)?;
        let key = ObjectKey::pending(&stem);
        if requested != key.as_str() {
            return Err(Error::TicketInvalid);
        }
        Ok(key)
    }
}

async fn store_pending(
    session: &Session,
    key: &ObjectKey,
    limit: u64,
    mut file: FilePart<'_>,
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
    let stored = async { session.keep(vec![writer.finish().await?]).await };
    match stored.await {
        Ok(()) => Ok(size),
        // Another request with the same form was faster.
        Err(error) if error.is_taken() => Err(Error::AlreadyUploaded),
        Err(error) => Err(error.into()),
    }
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
    fn a_disk_form_is_for_one_key() {
        let form = DiskForm {
            stem: "20250417/1744866732481_20f90b51544f".into(),
            max_bytes: 1,
        };
        let key = "pending/20250417/1744866732481_20f90b51544f";
        assert_eq!(form.key(key).expect("good").as_str(), key);
        for other in [
            "",
            "pending/20250417/1744866732481_20f90b515440",
            "images/20250417/1744866732481_20f90b51544f",
        ] {
            assert!(matches!(form.key(other), Err(Error::TicketInvalid)));
        }
    }
}
