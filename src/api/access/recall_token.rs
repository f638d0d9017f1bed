//! Recall tokens: the sender of a stored file may delete it with one, for a limited time.

use serde::{Deserialize, Serialize};

use crate::api::{
    Error,
    access::{
        caller::Caller,
        signed::{Purpose, Rejected},
    },
};
use crate::{store::ObjectKey, upload::Stored};

#[derive(Deserialize, Serialize)]
struct Recall<K> {
    #[serde(rename = "k")]
    key: K,
}

/// Signs the token for a file; `None` without a signing secret.
pub(in crate::api) fn sign(file: &Stored, caller: &Caller) -> Result<Option<String>, Error> {
    let expires_at = file.stored_at + caller.api.settings.direct.recall_life;
    let key = file.key.as_str();
    caller.sign(Purpose::Recall, expires_at, &Recall { key })
}

/// Returns the key of the object that the caller may delete.
pub(in crate::api) fn open(token: &str, caller: &Caller) -> Result<ObjectKey, Error> {
    let life = caller.api.settings.direct.recall_life;
    let recall: Recall<String> = match caller.open(Purpose::Recall, token) {
        Ok(recall) => recall,
        Err(Rejected::Expired) => return Err(Error::RecallExpired { life }),
        Err(Rejected::Invalid) => return Err(Error::TicketInvalid),
    };
    ObjectKey::parse(recall.key).map_err(|_| Error::TicketInvalid)
}
