//! Tokens as the chat's backend issues them, and forged ones.

use base64_simd::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// The secret that signs the tests' tokens.
pub(crate) const SECRET: &str = "a secret that only tests know";
/// With it uploads need a token.
pub(crate) const JWT: (&str, &str) = ("UPLOAD_JWT_SECRET", SECRET);
/// The header of a valid token.
pub(crate) const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// Builds `header.claims.signature` of any header and claims.
pub(crate) fn signed(header: &str, claims: &str, secret: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode_to_string(text);
    let message = format!("{}.{}", part(header), part(claims));
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let mac = mac.chain_update(&message).finalize().into_bytes();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode_to_string(mac))
}

/// Signs a valid token with these claims.
pub(crate) fn token(claims: &Value) -> String {
    signed(HS256, &claims.to_string(), SECRET)
}

/// Returns the token of a registered user.
pub(crate) fn user_jwt(id: &str) -> String {
    token(&json!({"id": id, "role": "user"}))
}

/// Returns the token of an unregistered user.
pub(crate) fn guest_jwt(id: &str) -> String {
    token(&json!({"id": id, "role": "visitor"}))
}
