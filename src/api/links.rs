//! Who may read stored files, and their addresses as items name them.

use std::time::Duration;

use axum::http::request::Parts;

use super::{Api, Error, access::signed};
use crate::store::{ObjectKey, Read, ReadSigner, Session, SignedRead, Store};

/// How the paths begin of files that are read with a signed address.
pub(super) const PREFIX: &str = "/f/";

/// `UPLOAD_READ`: who may read what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settings {
    /// Everybody who knows a file's key.
    Public,
    /// Holders of the address that an item named.
    Signed {
        /// `UPLOAD_READ_SECS`: life of a presigned address of the bucket.
        life: Duration,
    },
}

/// Makes the addresses for the items of one answer.
pub(super) struct Links {
    api: Api,
    base_url: String,
    /// Where files are read with a signed address of the bucket.
    signer: Option<ReadSigner>,
}

/// The addresses of one file.
pub(super) struct Addresses {
    /// Lasts as long as the file.
    pub(super) url: String,
    /// Leads to the bucket itself, for a while.
    pub(super) signed: Option<SignedRead>,
}

impl Links {
    /// Absolute addresses.
    pub(super) async fn new(api: &Api, parts: &Parts, session: &Session) -> Result<Self, Error> {
        Self::at(api.base_url(parts), api, session).await
    }

    /// For the route whose clients prepend the host themselves.
    pub(super) async fn relative(
        api: &Api,
        parts: &Parts,
        session: &Session,
    ) -> Result<Self, Error> {
        let base_url = match &api.store {
            Store::Disk(_) => api.base_path(parts),
            Store::Bucket(_) => api.base_url(parts),
        };
        Self::at(base_url, api, session).await
    }

    async fn at(base_url: String, api: &Api, session: &Session) -> Result<Self, Error> {
        let signer = match api.settings.read {
            Settings::Public => None,
            Settings::Signed { life } => session.read_signer(life).await?,
        };
        Ok(Self {
            api: api.clone(),
            base_url,
            signer,
        })
    }

    /// The addresses of the file with this key.
    pub(super) fn to(&self, key: &ObjectKey) -> Result<Addresses, Error> {
        let url = match self.api.settings.read {
            Settings::Public => format!("{}/{key}", self.base_url),
            Settings::Signed { .. } => {
                let secrets = self.api.signing_secrets()?;
                let signature = signed::sign_key(secrets, key).ok_or(Error::DirectDisabled)?;
                format!("{}{}{signature}/{key}", self.base_url, PREFIX)
            }
        };
        let read = Read {
            key,
            is_head: false,
            process: None,
        };
        let signed = self.signer.as_ref().map(|signer| signer.sign(read));
        Ok(Addresses { url, signed })
    }
}
