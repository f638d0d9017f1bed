//! `POST /api/chat/uploadRecall`: takes back a file that its sender has just uploaded. Whoever holds
//! the token of a file, and is the user it was made for, may; for a while.

use std::time::Duration;

use axum::{
    extract::{Extension, Request, State},
    response::Response,
};
use serde::{Deserialize, Serialize};

use crate::api::{
    Api, Error,
    access::{
        auth,
        caller::Caller,
        signed::{self, Purpose},
    },
    access_log::Journal,
    reply,
};
use crate::{store::ObjectKey, upload::Stored};

/// What a recall token says.
#[derive(Deserialize, Serialize)]
struct Recall {
    #[serde(rename = "k")]
    key: String,
    #[serde(rename = "u")]
    user: Option<String>,
    /// Seconds since 1970.
    #[serde(rename = "x")]
    expires_at: u64,
}

/// The token with which `user` may take back the file; `None` without a secret to sign it.
pub(in crate::api) fn token(
    api: &Api,
    file: &Stored,
    user: Option<&str>,
) -> Result<Option<String>, Error> {
    let settings = &api.settings.direct;
    if settings.secrets.is_empty() {
        return Ok(None);
    }
    let recall = Recall {
        key: file.key.to_string(),
        user: user.map(str::to_owned),
        expires_at: u64::try_from(file.stored_at.timestamp())
            .unwrap_or_default()
            .saturating_add(settings.recall_life.as_secs()),
    };
    signed::seal(&settings.secrets, Purpose::Recall, &recall).map(Some)
}

/// Deletes the object, which may be gone already.
pub(in crate::api) async fn recall(
    State(api): State<Api>,
    Extension(journal): Extension<Journal>,
    request: Request,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let secrets = api.signing_secrets()?;
    let mut caller = Caller::of_more(&api, &journal, &parts)?;
    let arguments = caller.asks(body).await?;
    let token = arguments.text("recall_token")?;
    let recall: Recall =
        signed::open(secrets, Purpose::Recall, &token).ok_or(Error::TicketInvalid)?;
    let key = judge(
        &recall,
        caller.user(),
        auth::now(),
        api.settings.direct.recall_life,
    )?;
    let session = api.session(&parts)?;
    let work = async { Ok(session.remove(&key).await?) };
    api.in_time(&session, work).await?;
    reply::ok("撤回成功")
}

fn judge(
    recall: &Recall,
    user: Option<&str>,
    now: Duration,
    life: Duration,
) -> Result<ObjectKey, Error> {
    if recall.user.as_deref() != user {
        return Err(Error::TicketInvalid);
    }
    if now.as_secs() >= recall.expires_at {
        return Err(Error::RecallExpired { life });
    }
    ObjectKey::parse(recall.key.as_str()).map_err(|_| Error::TicketInvalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recall_is_its_users_until_its_time_is_up() {
        let recall = |user: Option<&str>| Recall {
            key: "images/20250417/a.png".into(),
            user: user.map(str::to_owned),
            expires_at: 1000,
        };
        let life = Duration::from_secs(300);
        let judged = |made_for, user, now| {
            judge(&recall(made_for), user, Duration::from_secs(now), life)
                .map(|key| key.to_string())
        };
        assert_eq!(
            judged(None, None, 999).expect("good"),
            "images/20250417/a.png"
        );
        assert!(judged(Some("7"), Some("7"), 0).is_ok());
        for (made_for, user) in [(None, Some("7")), (Some("7"), None), (Some("7"), Some("8"))] {
            assert!(matches!(
                judged(made_for, user, 0),
                Err(Error::TicketInvalid)
            ));
        }
        assert!(matches!(
            judged(None, None, 1000),
            Err(Error::RecallExpired { .. })
        ));
    }
}
