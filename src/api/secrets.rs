//! The secrets that vouch for what comes from outside: a token of the chat's own server, or a
//! statement that this function made itself.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The secrets that this function signs with and expects signatures of: one, and another while it is
/// being replaced. `Debug` shows none of them.
#[derive(Clone, Default)]
pub struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// Reads a comma-separated list.
    pub fn parse(list: &str) -> Self {
        let secrets = list
            .split(',')
            .map(str::trim)
            .filter(|secret| !secret.is_empty());
        Self(secrets.map(|secret| secret.as_bytes().to_vec()).collect())
    }

    /// The one that signs; the others only vouch for what was signed before they were replaced.
    pub(super) fn first(&self) -> Option<&[u8]> {
        self.all().next()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them signed `message`; compares in constant time.
    pub(super) fn have_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.iter().any(|secret| {
            // HMAC takes a key of any length.
            Hmac::<Sha256>::new_from_slice(secret)
                .is_ok_and(|mac| mac.chain_update(message).verify_slice(signature).is_ok())
        })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets (hidden)", self.0.len())
    }
}

#[cfg(test)]
impl Secrets {
    pub(super) fn one(secret: Vec<u8>) -> Self {
        Self(vec![secret])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let secrets = Secrets::parse("old secret, new secret");
        assert_eq!(format!("{secrets:?}"), "2 secrets (hidden)");
    }
}
