//! Tickets of direct uploads: the client's request, and the token with which it completes the file
//! after storing it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::{
    Error,
    access::{caller::Caller, signed::Purpose},
    arguments::Arguments,
    class_id,
};
use crate::{body::ReadError, store::Stem, upload::naming};

/// How much longer than its form a ticket is valid, for uploads that start just before the form
/// expires.
const GRACE: Duration = Duration::from_secs(60 * 60);

/// A file that a client asks to upload.
pub(in crate::api) struct DirectRequest {
    name: String,
    class_id: u64,
    size: Option<u64>,
}

/// Permission to store one file and complete it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(in crate::api) struct Ticket {
    #[serde(rename = "s")]
    stem: String,
    /// The client's file name, fit for display.
    #[serde(rename = "n")]
    pub(in crate::api) name: String,
    #[serde(rename = "c")]
    pub(in crate::api) class_id: u64,
    #[serde(rename = "m")]
    pub(in crate::api) max_bytes: u64,
}

impl DirectRequest {
    /// Reads the arguments; the file name is in `name_argument`.
    pub(in crate::api) fn parse(
        arguments: &Arguments,
        name_argument: &'static str,
    ) -> Result<Self, Error> {
        Ok(Self {
            name: naming::display_name(&arguments.text(name_argument)?),
            class_id: class_id::from_arguments(arguments)?.unwrap_or(0),
            size: arguments.number("size")?,
        })
    }

    /// Takes the class id from the file's metadata, if it contains one.
    pub(in crate::api) fn with_metadata(mut self, metadata: &Arguments) -> Result<Self, Error> {
        self.class_id = class_id::from_arguments(metadata)?.unwrap_or(self.class_id);
        Ok(self)
    }

    /// Issues a ticket if this caller may upload the file; the expiry is set when it is signed.
    pub(in crate::api) fn authorize(self, caller: &mut Caller) -> Result<(Stem, Ticket), Error> {
        let limit = caller.authorize()?.max_bytes;
        if self.size.is_some_and(|size| size > limit) {
            return Err(ReadError::TooLarge { limit }.into());
        }
        let offset = caller.api.settings.upload.utc_offset;
        let stem = naming::stem(Utc::now(), offset, Uuid::new_v4());
        let ticket = Ticket {
            stem: stem.to_string(),
            name: self.name,
            class_id: self.class_id,
            max_bytes: limit,
        };
        Ok((stem, ticket))
    }
}

impl Ticket {
    /// Signs the ticket; it expires [`GRACE`] after its form.
    pub(in crate::api) fn sign(
        &self,
        caller: &Caller,
        form_expires_at: DateTime<Utc>,
    ) -> Result<String, Error> {
        let token = caller.sign(Purpose::Ticket, form_expires_at + GRACE, self)?;
        token.ok_or(Error::DirectDisabled)
    }

    pub(in crate::api) fn stem(&self) -> Result<Stem, Error> {
        Stem::parse(&self.stem).map_err(|_| Error::TicketInvalid)
    }
}
