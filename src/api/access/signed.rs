//! Signed tokens (HMAC-SHA256, one derived key per purpose) that a client receives and sends back:
//! what it may upload, complete or recall. They carry all state, so the server is stateless.
//!
//! A token is `1.<claims>.<signature>`: JSON and the first 16 bytes of its HMAC (RFC 2104 §5 allows
//! half), both base64url. The key is derived from the secret for one [`Purpose`] and version, so a
//! token is not valid for another purpose, nor as a JWT of the chat server. User and expiry are part
//! of every token and are checked only in [`open`]. Pure: the clock is an argument.

use base64_simd::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;

use crate::{
    api::{Error, access::secrets::Secrets},
    store::ObjectKey,
};

/// Longest token, in bytes.
const MAX_BYTES: usize = 4096;
const SIGNATURE_BYTES: usize = 16;
const VERSION: &str = "1.";

/// Why a token is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Rejected {
    /// Its expiry is in the past.
    Expired,
    /// Anything else.
    Invalid,
}

/// Purpose that a token is signed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Purpose {
    /// Completes a direct upload.
    Ticket,
    /// Identifies a client's multipart upload.
    PartUpload,
    /// Policy of an upload form for a disk store.
    Form,
    /// Deletes a recently uploaded object.
    Recall,
    /// Reads an object of a private store.
    Read,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Ticket => b"chat-upload 1 ticket",
            Self::PartUpload => b"chat-upload 1 part upload",
            Self::Form => b"chat-upload 1 form",
            Self::Recall => b"chat-upload 1 recall",
            Self::Read => b"chat-upload 1 read",
        }
    }
}

/// Signed part of a token.
#[derive(Deserialize, Serialize)]
struct Claims<U, T> {
    #[serde(rename = "u")]
    user: Option<U>,
    /// Seconds since 1970.
    #[serde(rename = "x")]
    expires_at: i64,
    #[serde(rename = "c")]
    content: T,
}

/// Signs a token for `user` with the first secret; `None` when there is no secret.
pub(in crate::api) fn sign(
    secrets: &Secrets,
    purpose: Purpose,
    user: Option<&str>,
    expires_at: DateTime<Utc>,
    content: &impl Serialize,
) -> Result<Option<String>, Error> {
    let claims = Claims {
        user,
        expires_at: expires_at.timestamp(),
        content,
    };
    let claims = serde_json::to_vec(&claims).map_err(Error::internal)?;
    let signature = signature(secrets, purpose, &claims);
    let claims = URL_SAFE_NO_PAD.encode_to_string(claims);
    Ok(signature.map(|signature| format!("{VERSION}{claims}.{signature}")))
}

/// Verifies that one of the secrets signed a token for this purpose and user, and returns its content.
pub(in crate::api) fn open<T: DeserializeOwned>(
    secrets: &Secrets,
    purpose: Purpose,
    token: &str,
    user: Option<&str>,
    now: DateTime<Utc>,
) -> Result<T, Rejected> {
    let claims = verified(secrets, purpose, token).ok_or(Rejected::Invalid)?;
    let claims: Claims<String, T> =
        serde_json::from_slice(&claims).map_err(|_| Rejected::Invalid)?;
    if claims.user.as_deref() != user {
        return Err(Rejected::Invalid);
    }
    if now.timestamp() >= claims.expires_at {
        return Err(Rejected::Expired);
    }
    Ok(claims.content)
}

/// Signs `key` for reading, without an expiry; the signature is as long as a token's. `None` when there
/// is no secret.
pub(in crate::api) fn sign_key(secrets: &Secrets, key: &ObjectKey) -> Option<String> {
    signature(secrets, Purpose::Read, key.as_str().as_bytes())
}

/// Whether one of the secrets signed `key` for reading; compares in constant time.
pub(in crate::api) fn has_signed_key(secrets: &Secrets, key: &ObjectKey, signature: &str) -> bool {
    is_signed(secrets, Purpose::Read, key.as_str().as_bytes(), signature)
}

/// Returns the claims, if the signature is valid.
fn verified(secrets: &Secrets, purpose: Purpose, token: &str) -> Option<Vec<u8>> {
    if token.len() > MAX_BYTES {
        return None;
    }
    let (claims, signature) = token.strip_prefix(VERSION)?.split_once('.')?;
    let claims = URL_SAFE_NO_PAD.decode_to_vec(claims).ok()?;
    is_signed(secrets, purpose, &claims, signature).then_some(claims)
}

/// Signs with the first secret, in base64url; `None` when there is no secret.
fn signature(secrets: &Secrets, purpose: Purpose, message: &[u8]) -> Option<String> {
    let mac = keyed(secrets.first()?, purpose)?.chain_update(message);
    let signature = mac.finalize().into_bytes();
    Some(URL_SAFE_NO_PAD.encode_to_string(signature.get(..SIGNATURE_BYTES)?))
}

fn is_signed(secrets: &Secrets, purpose: Purpose, message: &[u8], signature: &str) -> bool {
    // Saves decoding a long one.
    if signature.len() != URL_SAFE_NO_PAD.encoded_length(SIGNATURE_BYTES) {
        return false;
    }
    let Ok(signature) = URL_SAFE_NO_PAD.decode_to_vec(signature) else {
        return false;
    };
    secrets.all().any(|secret| {
        let mac = keyed(secret, purpose).map(|mac| mac.chain_update(message));
        mac.is_some_and(|mac| mac.verify_truncated_left(&signature).is_ok())
    })
}

/// Returns an HMAC under the key derived for `purpose`; HMAC takes a key of any length.
fn keyed(secret: &[u8], purpose: Purpose) -> Option<Hmac<Sha256>> {
    let derived = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    let derived = derived.chain_update(purpose.label()).finalize();
    Hmac::new_from_slice(&derived.into_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Purpose; 5] = [
        Purpose::Ticket,
        Purpose::PartUpload,
        Purpose::Form,
        Purpose::Recall,
        Purpose::Read,
    ];
    const EXPIRY: i64 = 1_744_866_732;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("in range")
    }

    fn opened(secrets: &str, purpose: Purpose, token: &str) -> Option<(String, u64)> {
        let secrets = Secrets::parse(secrets).expect("secrets");
        open(&secrets, purpose, token, Some("7"), at(0)).ok()
    }

    fn signed(secrets: &str, purpose: Purpose) -> String {
        signed_for(secrets, purpose, Some("7"))
    }

    fn signed_for(secrets: &str, purpose: Purpose, user: Option<&str>) -> String {
        let secrets = Secrets::parse(secrets).expect("secrets");
        let token = sign(&secrets, purpose, user, at(EXPIRY), &("a name", 7));
        token.expect("signed").expect("a secret")
    }

    #[test]
    fn a_token_is_read_back_for_its_purpose_alone() {
        for purpose in ALL {
            let text = signed("a secret", purpose);
            for other in ALL {
                let expected = (other == purpose).then(|| ("a name".to_owned(), 7));
                assert_eq!(opened("a secret", other, &text), expected, "{other:?}");
            }
        }
    }

    #[test]
    fn a_token_is_its_users_until_its_time_is_up() {
        let secrets = Secrets::parse("a secret").expect("secrets");
        let judged = |made_for, user, now| {
            let token = signed_for("a secret", Purpose::Ticket, made_for);
            open::<(String, u64)>(&secrets, Purpose::Ticket, &token, user, at(now)).map(drop)
        };
        assert_eq!(judged(None, None, EXPIRY - 1), Ok(()));
        assert_eq!(judged(Some("7"), Some("7"), 0), Ok(()));
        assert_eq!(judged(None, None, EXPIRY), Err(Rejected::Expired));
        assert_eq!(judged(Some("7"), Some("7"), EXPIRY), Err(Rejected::Expired));
        for (made_for, user, now) in [
            (Some("7"), Some("8"), 0),
            (Some("7"), Some("8"), EXPIRY),
            (Some("7"), None, 0),
            (None, Some("7"), 0),
            (None, Some(""), 0),
        ] {
            let judged = judged(made_for, user, now);
            assert_eq!(judged, Err(Rejected::Invalid), "{made_for:?} {user:?}");
        }
    }

    #[test]
    fn the_first_secret_signs_and_each_vouches() {
        let old = signed("old secret", Purpose::Ticket);
        assert!(opened("new secret, old secret", Purpose::Ticket, &old).is_some());
        let new = signed("new secret, old secret", Purpose::Ticket);
        assert_eq!(opened("old secret", Purpose::Ticket, &new), None);
        assert!(opened("new secret", Purpose::Ticket, &new).is_some());
        let unsigned = sign(&Secrets::default(), Purpose::Ticket, None, at(0), &1);
        assert_eq!(unsigned.expect("no failure"), None);
        assert_eq!(opened("12345678", Purpose::Ticket, &new), None);
    }

    #[test]
    fn what_was_changed_anywhere_is_no_token() {
        let text = signed("a secret", Purpose::Recall);
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
    fn a_key_is_read_with_its_own_signature_alone() {
        let key = |text: &str| ObjectKey::parse(text).expect("a key");
        let secrets = |list| Secrets::parse(list).expect("secrets");
        let image = key("images/20250417/1744866732481_20f90b51544f.png");
        let signature = sign_key(&secrets("a secret"), &image).expect("a secret");
        assert_eq!(signature.len(), 22);
        let reads = |list, key: &ObjectKey, text: &str| has_signed_key(&secrets(list), key, text);
        assert!(reads("a secret", &image, &signature));
        assert!(reads("new secret,a secret", &image, &signature));
        assert!(!reads("new secret", &image, &signature));
        let other = key("images/20250417/1744866732481_20f90b51544f.jpg");
        assert!(!reads("a secret", &other, &signature));
        assert_eq!(sign_key(&Secrets::default(), &image), None);

        for at in 0..signature.len() {
            // All 64 digits: the last one has unused bits.
            for other in b'+'..=b'z' {
                let mut changed = signature.clone().into_bytes();
                changed[at] = other;
                let changed = String::from_utf8(changed).expect("ASCII");
                let is_same = changed == signature;
                assert_eq!(reads("a secret", &image, &changed), is_same, "{changed}");
            }
        }
        let token = signed("a secret", Purpose::Read);
        let token_signature = token.rsplit('.').next().expect("three parts");
        for odd in [
            "",
            &signature[..21],
            &signature[..2],
            &format!("{signature}A"),
            &format!("{signature}=="),
            &format!("{signature}{signature}"),
            &"A".repeat(22),
            token_signature,
        ] {
            assert!(!reads("a secret", &image, odd), "{odd}");
        }
    }

    #[test]
    fn the_signature_has_128_bits() {
        let text = signed("a secret", Purpose::Form);
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
