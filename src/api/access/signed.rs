//! Statements that this function signs, hands to a client and gets back: what somebody may upload,
//! and what somebody may take back. They make it stateless.
//!
//! A sealed statement is `1.<statement>.<signature>`: JSON and the first 16 bytes of its HMAC-SHA256
//! (RFC 2104 §5 allows half), both base64url. The key is derived from the secret for one [`Purpose`]
//! and version, so that no statement counts as another, nor as a token of the chat's server. Pure:
//! whoever opens one compares its times with the clock.

use base64_simd::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Serialize, de::DeserializeOwned};
use sha2::Sha256;

use crate::api::{Error, access::secrets::Secrets};

/// Longest sealed statement, in bytes.
const MAX_BYTES: usize = 4096;
const SIGNATURE_BYTES: usize = 16;
const VERSION: &str = "1.";

/// What a statement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Purpose {
    /// A file that may be put into the store and completed.
    Ticket,
    /// The same in parts.
    PartUpload,
    /// A form that a disk store takes.
    Form,
    /// An object that may be taken back.
    Recall,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Ticket => b"chat-upload 1 ticket",
            Self::PartUpload => b"chat-upload 1 part upload",
            Self::Form => b"chat-upload 1 form",
            Self::Recall => b"chat-upload 1 recall",
        }
    }
}

/// Signs a statement with the first secret.
pub(in crate::api) fn seal(
    secrets: &Secrets,
    purpose: Purpose,
    statement: &impl Serialize,
) -> Result<String, Error> {
    let secret = secrets.first().ok_or(Error::DirectDisabled)?;
    let statement =
        serde_json::to_vec(statement).map_err(|error| Error::Internal(error.to_string()))?;
    let signature = signature(secret, purpose, &statement)
        .and_then(|mac| mac.get(..SIGNATURE_BYTES).map(<[u8]>::to_vec))
        .unwrap_or_default();
    let [statement, signature] =
        [statement, signature].map(|part| URL_SAFE_NO_PAD.encode_to_string(part));
    Ok(format!("{VERSION}{statement}.{signature}"))
}

/// Reads a statement back; `None` when none of the secrets signed it for this purpose.
pub(in crate::api) fn open<T: DeserializeOwned>(
    secrets: &Secrets,
    purpose: Purpose,
    sealed: &str,
) -> Option<T> {
    if sealed.len() > MAX_BYTES {
        return None;
    }
    let (statement, signature) = sealed.strip_prefix(VERSION)?.split_once('.')?;
    let statement = URL_SAFE_NO_PAD.decode_to_vec(statement).ok()?;
    let signature = URL_SAFE_NO_PAD.decode_to_vec(signature).ok()?;
    let is_ours = secrets.all().any(|secret| {
        keyed(secret, purpose).is_some_and(|mac| {
            let mac = mac.chain_update(&statement);
            signature.len() == SIGNATURE_BYTES && mac.verify_truncated_left(&signature).is_ok()
        })
    });
    is_ours
        .then(|| serde_json::from_slice(&statement).ok())
        .flatten()
}

fn signature(secret: &[u8], purpose: Purpose, statement: &[u8]) -> Option<Vec<u8>> {
    let mac = keyed(secret, purpose)?.chain_update(statement);
    Some(mac.finalize().into_bytes().to_vec())
}

/// HMAC under the key that is derived for `purpose`; it takes a key of any length.
fn keyed(secret: &[u8], purpose: Purpose) -> Option<Hmac<Sha256>> {
    let derived = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    let derived = derived.chain_update(purpose.label()).finalize();
    Hmac::new_from_slice(&derived.into_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Purpose; 4] = [
        Purpose::Ticket,
        Purpose::PartUpload,
        Purpose::Form,
        Purpose::Recall,
    ];

    fn opened(secrets: &str, purpose: Purpose, sealed: &str) -> Option<(String, u64)> {
        open(&Secrets::parse(secrets).expect("secrets"), purpose, sealed)
    }

    fn sealed(secrets: &str, purpose: Purpose) -> String {
        seal(
            &Secrets::parse(secrets).expect("secrets"),
            purpose,
            &("a name", 7),
        )
        .expect("sealed")
    }

    #[test]
    fn a_statement_is_read_back_for_its_purpose_alone() {
        for purpose in ALL {
            let text = sealed("a secret", purpose);
            for other in ALL {
                let expected = (other == purpose).then(|| ("a name".to_owned(), 7));
                assert_eq!(opened("a secret", other, &text), expected, "{other:?}");
            }
        }
    }

    #[test]
    fn the_first_secret_signs_and_each_vouches() {
        let old = sealed("old secret", Purpose::Ticket);
        assert!(opened("new secret, old secret", Purpose::Ticket, &old).is_some());
        let new = sealed("new secret, old secret", Purpose::Ticket);
        assert_eq!(opened("old secret", Purpose::Ticket, &new), None);
        assert!(opened("new secret", Purpose::Ticket, &new).is_some());
        assert!(seal(&Secrets::default(), Purpose::Ticket, &1).is_err());
        assert_eq!(opened("12345678", Purpose::Ticket, &new), None);
    }

    #[test]
    fn what_was_changed_anywhere_is_no_statement() {
        let text = sealed("a secret", Purpose::Recall);
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert_eq!(opened("a secret", Purpose::Recall, &changed), None, "{at}");
        }
        for odd in [
            "",
            ".",
            "1.",
            "1..",
            "1.e30.",
            &text[..text.len() - 2],
            &format!("{text}="),
            &format!(" {text}"),
            &format!("{text}.{text}"),
            &text[2..],
            &"a".repeat(MAX_BYTES + 1),
        ] {
            assert_eq!(opened("a secret", Purpose::Recall, odd), None, "{odd}");
        }
    }

    #[test]
    fn the_signature_has_128_bits() {
        let text = sealed("a secret", Purpose::Form);
        let signature = text.rsplit('.').next().expect("three parts");
        assert_eq!(signature.len(), 22);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}") {
            assert_eq!(opened("a secret", Purpose::Ticket, &text), None);
            assert_eq!(opened("a secret", Purpose::Ticket, &format!("1.{text}")), None);
        }
    }
}
