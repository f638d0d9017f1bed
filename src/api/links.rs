//! Who may read stored files, and their URLs in responses.

use std::time::Duration;

use super::{Api, Error, access::signed};
use crate::store::{ObjectKey, Read, ReadSigner, Session, SignedRead};

/// Path prefix of signed URLs.
pub(super) const PREFIX: &str = "/f/";

/// `UPLOAD_READ`: who may read what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settings {
    /// Everybody who knows a file's key.
    Public,
    /// Everybody who has the signed URL of its item.
    Signed {
        /// `UPLOAD_READ_SECS`: life of a presigned URL of the bucket.
        life: Duration,
    },
}

/// Makes the URLs for the items of one response.
pub(super) struct Links {
    api: Api,
    base_url: String,
    /// Signs presigned URLs of a private bucket.
    signer: Option<ReadSigner>,
}

impl Links {
    /// Makes URLs that start with `base_url`.
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

    /// Returns the URL of the file with this key, which is valid as long as the file exists, and a
    /// presigned URL of the bucket.
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
