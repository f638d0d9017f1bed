//! Who may read stored files, and their addresses as items name them.

use std::time::Duration;

use super::{Api, Error, access::signed};
use crate::store::{ObjectKey, Read, ReadSigner, Session, SignedRead};

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

impl Links {
    /// Addresses that begin with `base_url`.
    pub(super) async fn new(base_url: String, api: &Api, session: &Session) -> Result<Self, Error> {
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

    /// The address of the file with this key, which lasts as long as the file, and one that leads to the
    /// bucket itself for a while.
    pub(super) fn to(&self, key: &ObjectKey) -> Result<(String, Option<SignedRead>), Error> {
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
        Ok((url, signed))
    }
}
