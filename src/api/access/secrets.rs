//! Secrets that sign tokens: the chat server's, and this server's own.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

/// One secret, or several during a rotation. `Debug` shows none of them.
#[derive(Clone, Default)]
pub struct Secrets(Vec<Vec<u8>>);

/// Why a list of secrets cannot be used; never quotes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecrets {
    /// All entries are empty.
    #[error("it contains no secret")]
    Empty,
    /// One is short enough to be guessed.
    #[error(
        "entry {entry} has fewer than {} bytes; a comma separates entries",
        Secrets::MIN_BYTES
    )]
    TooShort {
        /// Position in the list, from 1.
        entry: usize,
    },
}

impl Secrets {
    /// Shortest secret accepted.
    const MIN_BYTES: usize = 8;
    /// Shortest secret accepted without a warning.
    const ADVISED_BYTES: usize = 16;

    /// Parses a comma-separated list; empty entries are skipped.
    ///
    /// # Errors
    /// [`InvalidSecrets`]
    pub fn parse(list: &str) -> Result<Self, InvalidSecrets> {
        let entries = list.split(',').map(str::trim).enumerate();
        let mut secrets = Vec::new();
        for (index, secret) in entries.filter(|(_, secret)| !secret.is_empty()) {
            if secret.len() < Self::MIN_BYTES {
                return Err(InvalidSecrets::TooShort { entry: index + 1 });
            }
            secrets.push(secret.as_bytes().to_vec());
        }
        if secrets.is_empty() {
            return Err(InvalidSecrets::Empty);
        }
        Ok(Self(secrets))
    }

    /// Generates a random secret, which lasts as long as this process.
    pub fn random() -> Self {
        let halves = [Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes);
        Self(vec![halves.concat()])
    }

    /// Whether one is short enough to deserve a warning.
    pub fn any_is_short(&self) -> bool {
        self.all().any(|secret| secret.len() < Self::ADVISED_BYTES)
    }

    /// Returns the one that signs; the others only verify older signatures.
    pub(in crate::api) fn first(&self) -> Option<&[u8]> {
        self.all().next()
    }

    pub(in crate::api) fn all(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the secrets signed `message`; compares in constant time.
    pub(in crate::api) fn have_signed(&self, message: &[u8], signature: &[u8]) -> bool {
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
    pub(in crate::api) fn one(secret: Vec<u8>) -> Self {
        Self(vec![secret])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let secrets = Secrets::parse("old secret, new secret").expect("secrets");
        assert_eq!(format!("{secrets:?}"), "2 secrets (hidden)");
    }

    #[test]
    fn a_list_without_a_usable_secret_is_refused_by_its_place() {
        for empty in ["", ",", " ", ",,", "\t"] {
            assert_eq!(Secrets::parse(empty).err(), Some(InvalidSecrets::Empty));
        }
        for (list, entry) in [("1234567", 1), ("vSx9Yq2LkT8w,7", 2), (",,12345678, x ", 4)] {
            let refused = InvalidSecrets::TooShort { entry };
            assert_eq!(Secrets::parse(list).err(), Some(refused), "{list}");
        }
    }

    #[test]
    fn short_secrets_are_told_apart() {
        for (list, is_short) in [
            ("12345678", true),
            ("0123456789abcdef,0123456789abcde", true),
            ("0123456789abcdef", false),
        ] {
            let secrets = Secrets::parse(list).expect("secrets");
            assert_eq!(secrets.any_is_short(), is_short, "{list}");
        }
    }
}
