//! JSON Web Tokens: compact, HS256, with a claim `id`. Pure: the clock is an argument.
//!
//! Implements only the needed parts of RFC 7515 and RFC 7519. The crate `jsonwebtoken` 11 builds
//! only with aws-lc or with rsa, p256, p384 and ed25519, and confusing those algorithms is the
//! classic vulnerability of token checks.

use base64_simd::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use crate::api::Secrets;

/// Longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Longest user id, in bytes.
const MAX_ID_BYTES: usize = 128;
/// Role of users who have not registered.
const GUEST_ROLE: &str = "visitor";

/// Subject of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The issuer's number or name for the user.
    pub id: String,
    /// Whether the user has not registered.
    pub is_guest: bool,
}

/// Why a token is rejected, for the log; never quotes the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// `exp` is in the past.
    #[error("it has expired")]
    Expired,
    /// Too long, not three parts in base64url, or a header that is not JSON.
    #[error("not a JWT")]
    Malformed,
    /// The algorithm is not HS256, or there are critical extensions.
    #[error("its header is not that of a plain HS256 token")]
    Header,
    /// Signed with another secret, or changed afterwards.
    #[error("signature mismatch")]
    Signature,
    /// `id` is missing or neither an integer nor a short text; or a claim has the wrong type.
    #[error("claim id is missing, or a claim has the wrong type")]
    Claims,
    /// `nbf` is in the future.
    #[error("it is not valid yet")]
    TooEarly,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Critical extensions (RFC 7515 §4.1.11); none is supported.
    crit: Option<Value>,
}

/// The claims that are read. Numbers are seconds since 1970 and may have a fraction (RFC 7519 §2).
#[derive(Deserialize)]
struct Claims {
    id: Value,
    role: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
}

/// Verifies a token and returns its user. `now` is in seconds since 1970.
pub fn verify(token: &[u8], secrets: &Secrets, now: f64) -> Result<User, Rejected> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Rejected::Malformed);
    }
    let (signed, signature) = split_last_dot(token).ok_or(Rejected::Malformed)?;
    let (header, claims) = split_last_dot(signed).ok_or(Rejected::Malformed)?;
    let header: Header = decode(header).ok_or(Rejected::Malformed)?;
    if header.alg != "HS256" || header.crit.is_some() {
        return Err(Rejected::Header);
    }
    let signature = decode_bytes(signature).ok_or(Rejected::Malformed)?;
    if !secrets.have_signed(signed, &signature) {
        return Err(Rejected::Signature);
    }
    let claims: Claims = decode(claims).ok_or(Rejected::Claims)?;
    claims.user(now)
}

impl Claims {
    fn user(self, now: f64) -> Result<User, Rejected> {
        let id = match self.id {
            Value::String(id) if !id.is_empty() && id.len() <= MAX_ID_BYTES => id,
            Value::Number(id) if !id.is_f64() => id.to_string(),
            _ => return Err(Rejected::Claims),
        };
        if self.nbf.is_some_and(|from| now < from) {
            return Err(Rejected::TooEarly);
        }
        if self.exp.is_some_and(|until| now >= until) {
            return Err(Rejected::Expired);
        }
        let is_guest = self
            .role
            .is_some_and(|role| role.eq_ignore_ascii_case(GUEST_ROLE));
        Ok(User { id, is_guest })
    }
}

fn split_last_dot(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = memchr::memrchr(b'.', text)?;
    Some((text.get(..dot)?, text.get(dot + 1..)?))
}

fn decode<T: for<'de> Deserialize<'de>>(part: &[u8]) -> Option<T> {
    serde_json::from_slice(&decode_bytes(part)?).ok()
}

fn decode_bytes(part: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(part).ok()
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use serde_json::json;
    use sha2::Sha256;

    use super::*;

    const NOW: f64 = 1_744_866_732.0;

    fn secrets() -> Secrets {
        Secrets::parse("old secret, new secret").expect("secrets")
    }

    fn signed(header: &str, claims: &str, secret: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode_to_string(text);
        let message = format!("{}.{}", part(header), part(claims));
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
        let mac = mac.chain_update(&message).finalize().into_bytes();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode_to_string(mac))
    }

    fn token(claims: impl ToString) -> String {
        let header = r#"{"alg":"HS256","typ":"JWT"}"#;
        signed(header, &claims.to_string(), "new secret")
    }

    fn judged(token: &str) -> Result<User, Rejected> {
        verify(token.as_bytes(), &secrets(), NOW)
    }

    fn user(id: &str) -> Result<User, Rejected> {
        Ok(User {
            id: id.to_owned(),
            is_guest: false,
        })
    }

    #[test]
    fn the_example_of_rfc_7515_appendix_a1_is_signed_right() {
        let key = URL_SAFE_NO_PAD
            .decode_to_vec("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .expect("base64");
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
            dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let (signed, signature) = split_last_dot(token.as_bytes()).expect("three parts");
        let signature = decode_bytes(signature).expect("base64");
        assert!(Secrets::one(key).have_signed(signed, &signature));
        assert!(!secrets().have_signed(signed, &signature));
    }

    #[test]
    fn e56_what_is_no_token_is_invalid() {
        let long = "a".repeat(100_000);
        for text in ["", " ", ".", "..", "...", "a.b", "a.b.c", "é.é.é", &long] {
            assert_eq!(judged(text), Err(Rejected::Malformed), "{text:.20}");
        }
        let padded = token(json!({"id": 1, "x": "y".repeat(MAX_TOKEN_BYTES)}));
        assert_eq!(judged(&padded), Err(Rejected::Malformed));
    }

    #[test]
    fn either_secret_counts_and_no_other() {
        let header = r#"{"alg":"HS256"}"#;
        for (secret, expected) in [
            ("old secret", user("1")),
            ("new secret", user("1")),
            ("old secret, new secret", Err(Rejected::Signature)),
            ("", Err(Rejected::Signature)),
        ] {
            let token = signed(header, r#"{"id":1}"#, secret);
            assert_eq!(judged(&token), expected, "{secret:?}");
        }
    }

    #[test]
    fn e57_only_hs256_in_its_plain_form_counts() {
        let critical = r#"{"alg":"HS256","crit":["b64"],"b64":false}"#;
        for (header, why) in [
            (r#"{"alg":"none"}"#, Rejected::Header),
            (r#"{"alg":"None"}"#, Rejected::Header),
            (r#"{"alg":"hs256"}"#, Rejected::Header),
            (r#"{"alg":"RS256"}"#, Rejected::Header),
            (r#"{"alg":"HS512"}"#, Rejected::Header),
            (r#"{"typ":"JWT"}"#, Rejected::Malformed),
            (r#"{"alg":5}"#, Rejected::Malformed),
            (r#"{"alg":["HS256"]}"#, Rejected::Malformed),
            ("[]", Rejected::Malformed),
            ("{", Rejected::Malformed),
            (critical, Rejected::Header),
            (r#"{"alg":"none","alg":"HS256"}"#, Rejected::Malformed),
        ] {
            let token = signed(header, r#"{"id":1}"#, "new secret");
            assert_eq!(judged(&token), Err(why), "{header}");
        }
        for header in [
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"HS256","typ":5}"#,
            r#"{"alg":"HS256","kid":"../../etc/passwd"}"#,
        ] {
            let token = signed(header, r#"{"id":1}"#, "new secret");
            assert_eq!(judged(&token), user("1"), "{header}");
        }
        let good = token(json!({"id": 1}));
        let (message, _) = good.rsplit_once('.').expect("three parts");
        let two_signatures = format!("{good}.{}", good.rsplit('.').next().expect("one"));
        let standard = good.replace('-', "+").replace('_', "/");
        assert_eq!(judged(&format!("{message}.")), Err(Rejected::Signature));
        for odd in [
            message.to_owned(),
            two_signatures,
            format!("{good}="),
            format!(" {good}"),
            format!("{good}\n"),
        ] {
            assert_eq!(judged(&odd), Err(Rejected::Malformed), "{odd}");
        }
        assert!(standard == good || judged(&standard) == Err(Rejected::Malformed));
    }

    #[test]
    fn e58_claims_odd_in_every_way_are_invalid_or_expired() {
        for (claims, expected) in [
            (r#"{"id":7,"exp":1744866733}"#, user("7")),
            (r#"{"id":7,"exp":1744866732}"#, Err(Rejected::Expired)),
            (r#"{"id":7,"exp":1744866731.5}"#, Err(Rejected::Expired)),
            (r#"{"id":7,"exp":-1}"#, Err(Rejected::Expired)),
            (r#"{"id":7,"exp":null}"#, user("7")),
            (r#"{"id":7,"exp":"1944866733"}"#, Err(Rejected::Claims)),
            (r#"{"id":7,"exp":1e400}"#, Err(Rejected::Claims)),
            (r#"{"id":7,"exp":[1944866733]}"#, Err(Rejected::Claims)),
            (r#"{"id":7,"nbf":1744866732}"#, user("7")),
            (r#"{"id":7,"nbf":1744866733}"#, Err(Rejected::TooEarly)),
            (r#"{"id":7,"nbf":"0"}"#, Err(Rejected::Claims)),
            (r#"{"exp":1944866733}"#, Err(Rejected::Claims)),
            (r#"{"id":null}"#, Err(Rejected::Claims)),
            (r#"{"id":""}"#, Err(Rejected::Claims)),
            (r#"{"id":"u-7"}"#, user("u-7")),
            (r#"{"id":1.5}"#, Err(Rejected::Claims)),
            (r#"{"id":[7]}"#, Err(Rejected::Claims)),
            (r#"{"id":true}"#, Err(Rejected::Claims)),
            (r#"{"id":{}}"#, Err(Rejected::Claims)),
            (r#"{"id":7,"id":8}"#, Err(Rejected::Claims)),
            (r#"{"id":7,"role":5}"#, Err(Rejected::Claims)),
            (r#"{"id":7,"role":"user","password":"x"}"#, user("7")),
            (r#"[7]"#, Err(Rejected::Claims)),
            (r#""7""#, Err(Rejected::Claims)),
            ("", Err(Rejected::Claims)),
        ] {
            assert_eq!(judged(&token(claims)), expected, "{claims}");
        }
        let long_id = json!({"id": "x".repeat(MAX_ID_BYTES + 1)});
        assert_eq!(judged(&token(long_id)), Err(Rejected::Claims));
    }

    #[test]
    fn visitors_are_guests_however_the_word_is_written() {
        for (role, is_guest) in [
            ("visitor", true),
            ("Visitor", true),
            ("user", false),
            ("", false),
        ] {
            let user = judged(&token(json!({"id": 1, "role": role}))).expect("a user");
            assert_eq!(user.is_guest, is_guest, "{role}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_token_panics(token: Vec<u8>) {
            let _ = verify(&token, &secrets(), NOW);
        }
    }
}
