//! Credentials for calls to a bucket: those of the request (Function Compute sends fresh ones in the
//! headers of every request), else those of the process.

mod container;
mod provider;

use std::{fmt, sync::Arc, time::SystemTime};

pub use self::{
    container::{Authorization, ContainerEndpoint},
    provider::CredentialsProvider,
};

/// An access key and, for temporary credentials, a session token. `Debug` hides them; cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(Arc<Fields>);

#[derive(Clone, PartialEq, Eq)]
struct Fields {
    key_id: String,
    secret: String,
    session_token: Option<String>,
    expires_at: Option<SystemTime>,
}

impl Credentials {
    /// Creates credentials; `None` when the id or the secret is empty. An empty token counts as absent.
    /// Function Compute sends empty headers when the function has no role.
    pub fn new(
        key_id: impl Into<String>,
        secret: impl Into<String>,
        session_token: Option<String>,
    ) -> Option<Self> {
        let (key_id, secret) = (key_id.into(), secret.into());
        let session_token = session_token.filter(|token| !token.is_empty());
        let is_complete = !key_id.is_empty() && !secret.is_empty();
        is_complete.then(|| {
            Self(Arc::new(Fields {
                key_id,
                secret,
                session_token,
                expires_at: None,
            }))
        })
    }

    /// Sets the expiration.
    pub fn expiring_at(self, at: SystemTime) -> Self {
        let mut fields = Arc::unwrap_or_clone(self.0);
        fields.expires_at = Some(at);
        Self(Arc::new(fields))
    }

    /// The access key id, which is public.
    pub fn key_id(&self) -> &str {
        &self.0.key_id
    }

    /// The secret access key.
    pub fn secret(&self) -> &str {
        &self.0.secret
    }

    /// The session token of temporary credentials.
    pub fn session_token(&self) -> Option<&str> {
        self.0.session_token.as_deref()
    }

    /// Expiration, if known: Function Compute does not send it.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at
    }

    fn is_expired(&self, at: SystemTime) -> bool {
        self.0.expires_at.is_some_and(|end| at >= end)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_means_absent() {
        assert_eq!(Credentials::new("", "secret", None), None);
        assert_eq!(Credentials::new("id", "", None), None);
        let plain = Credentials::new("id", "secret", None);
        assert!(plain.is_some());
        assert_eq!(Credentials::new("id", "secret", Some(String::new())), plain);
    }

    #[test]
    fn debug_shows_nothing() {
        let credentials = Credentials::new("AKIA", "s3cr3t", Some("t0ken".into()));
        assert_eq!(format!("{credentials:?}"), "Some(Credentials(hidden))");
    }

    #[test]
    fn what_was_put_in_comes_out() {
        let end = SystemTime::UNIX_EPOCH;
        let credentials = Credentials::new("id", "secret", Some("token".into()));
        let credentials = credentials.expect("both halves").expiring_at(end);
        assert_eq!(credentials.key_id(), "id");
        assert_eq!(credentials.secret(), "secret");
        assert_eq!(credentials.session_token(), Some("token"));
        assert_eq!(credentials.expires_at(), Some(end));
    }
}
