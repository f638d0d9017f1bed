//! Whose keys sign what is sent to a bucket: those of one request (Function Compute puts fresh ones
//! into every request's headers), else those the process was started with.

use std::{fmt, time::SystemTime};

use aws_sdk_s3::config::SharedCredentialsProvider;

/// An access key, with the session token of temporary ones. `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    key_id: String,
    secret: String,
    session_token: Option<String>,
    expires_at: Option<SystemTime>,
}

impl Credentials {
    /// `None` when the id or the secret is empty; an empty token counts as absent. Function Compute
    /// sends empty headers when the function has no role.
    pub fn new(
        key_id: impl Into<String>,
        secret: impl Into<String>,
        session_token: Option<String>,
    ) -> Option<Self> {
        let (key_id, secret) = (key_id.into(), secret.into());
        let session_token = session_token.filter(|token| !token.is_empty());
        (!key_id.is_empty() && !secret.is_empty()).then_some(Self {
            key_id,
            secret,
            session_token,
            expires_at: None,
        })
    }

    /// Names the key; no secret.
    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    /// What signs.
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// Goes with every request of temporary keys.
    pub(super) fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    /// When they end, where that is known.
    pub(super) fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    pub(super) fn provider(&self) -> SharedCredentialsProvider {
        SharedCredentialsProvider::new(aws_sdk_s3::config::Credentials::new(
            &self.key_id,
            &self.secret,
            self.session_token.clone(),
            None,
            "chat-upload",
        ))
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
}
