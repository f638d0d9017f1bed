//! Tokens as the chat's backend issues them, and as nobody should.

use base64_simd::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// The secret that signs the tests' tokens.
pub(crate) const SECRET: &str = "a secret that only tests know";
/// With it uploads need a token.
pub(crate) const JWT: (&str, &str) = ("UPLOAD_JWT_SECRET", SECRET);
/// The header of an honest token.
pub(crate) const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// `header.claims.signature`, whatever the two hold.
pub(crate) fn signed(header: &str, claims: &str, secret: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode_to_string(text);
    let message = format!("{}.{}", part(header), part(claims));
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let mac = mac.chain_update(&message).finalize().into_bytes();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode_to_string(mac))
}

/// A token of these claims that is signed as it should be.
pub(crate) fn token(claims: &Value) -> String {
    signed(HS256, &claims.to_string(), SECRET)
}

/// The token of a registered user.
pub(crate) fn of_user(id: &str) -> String {
    token(&json!({"id": id, "role": "user"}))
}

/// The token of somebody who has not registered.
pub(crate) fn of_guest(id: &str) -> String {
    token(&json!({"id": id, "role": "visitor"}))
}
