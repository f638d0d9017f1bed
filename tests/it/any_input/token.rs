//! `api::access::jwt`: only tokens signed with one of the secrets are accepted, and their claims equal a
//! plain reading of their JSON.

use base64_simd::URL_SAFE_NO_PAD;
use chat_upload::api::{
    Secrets,
    access::jwt::{self, User},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

/// Of which `SECRETS` knows the second.
const SECRET: &str = "a secret of ours";
const SECRETS: &str = "another one,a secret of ours";
const NOW: f64 = 1_744_866_732.0;
/// Longest token, in bytes; a copy of the constant in `src/api/access/jwt.rs`.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
const MAX_ID_BYTES: usize = 128;

/// Why a token is refused, as far as a plain reading shows.
#[derive(Debug, PartialEq)]
enum Verdict {
    Expired,
    Invalid,
}

fn verify(token: &[u8], secrets: &Secrets, now: f64) -> Result<User, Verdict> {
    jwt::verify(token, secrets, now).map_err(|why| match why {
        jwt::Rejected::Expired => Verdict::Expired,
        _ => Verdict::Invalid,
    })
}

/// Checks an input as a token, and also as a header, a line feed and claims, which are then signed.
pub(crate) fn check(input: &[u8]) {
    let secrets = Secrets::parse(SECRETS).unwrap();
    if verify(input, &secrets, NOW) != Err(Verdict::Invalid) {
        assert!(is_signed(input), "accepted without a signature");
    }
    let mut pieces = input.splitn(2, |byte| *byte == b'\n');
    let mut next = || pieces.next().unwrap_or_default();
    let (header, claims) = (next(), next());

    let token = signed(header, claims);
    let user = verify(token.as_bytes(), &secrets, NOW);
    // Unused claims may contain values that `Value` refuses: bytes that are not UTF-8, numbers out of
    // range.
    let (Ok(header_once), Ok(claims_once)) = (once(header), once(claims)) else {
        return;
    };
    // `Value` also accepts repeated keys, so it may accept more, but not less.
    if user != Err(Verdict::Invalid) {
        assert_eq!(user, expected(header, claims, &token));
    }
    let (header, claims) = (header_once, claims_once);
    let token = signed(&header, &claims);
    let user = verify(token.as_bytes(), &secrets, NOW);
    assert_eq!(user, expected(&header, &claims, &token));
    assert_no_other_counts(&token, &secrets);
}

/// JSON with each key once.
fn once(json: &[u8]) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&serde_json::from_slice::<Value>(json)?)
}

fn signed(header: &[u8], claims: &[u8]) -> String {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode_to_string(bytes);
    let message = format!("{}.{}", part(header), part(claims));
    format!("{message}.{}", part(&signature(message.as_bytes())))
}

fn signature(message: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

fn is_signed(token: &[u8]) -> bool {
    let dot = token.iter().rposition(|byte| *byte == b'.').expect("a dot");
    let by = URL_SAFE_NO_PAD.decode_to_vec(&token[dot + 1..]);
    by.is_ok_and(|by| by == signature(&token[..dot]))
}

fn assert_no_other_counts(token: &str, secrets: &Secrets) {
    let (message, signature) = token.rsplit_once('.').expect("three parts");
    let others = [
        format!("{message}."),
        format!("{message}.{}", &signature[1..]),
        format!("A{token}"),
        format!("{token}A"),
        token.replacen('.', "..", 1),
        message.to_owned(),
    ];
    for other in others {
        let user = verify(other.as_bytes(), secrets, NOW);
        assert_eq!(user, Err(Verdict::Invalid), "{other}");
    }
}

fn expected(header: &[u8], claims: &[u8], token: &str) -> Result<User, Verdict> {
    let judged = || {
        let header: Value = serde_json::from_slice(header).ok()?;
        let claims: Value = serde_json::from_slice(claims).ok()?;
        let is_plain = header.get("alg")?.as_str()? == "HS256" && is_absent(&header, "crit");
        let (id, is_guest) = (id(claims.get("id")?)?, is_guest(&claims)?);
        let (exp, nbf) = (time(&claims, "exp")?, time(&claims, "nbf")?);
        let is_good =
            is_plain && token.len() <= MAX_TOKEN_BYTES && nbf.is_none_or(|nbf| nbf <= NOW);
        is_good.then_some((User { id, is_guest }, exp))
    };
    match judged() {
        Some((_, Some(exp))) if exp <= NOW => Err(Verdict::Expired),
        Some((user, _)) => Ok(user),
        None => Err(Verdict::Invalid),
    }
}

fn is_absent(json: &Value, key: &str) -> bool {
    json.get(key).is_none_or(Value::is_null)
}

fn id(id: &Value) -> Option<String> {
    match id {
        Value::String(id) => (1..=MAX_ID_BYTES).contains(&id.len()).then(|| id.clone()),
        _ if id.is_u64() || id.is_i64() => Some(id.to_string()),
        _ => None,
    }
}

fn is_guest(claims: &Value) -> Option<bool> {
    if is_absent(claims, "role") {
        return Some(false);
    }
    let role = claims.get("role")?.as_str()?;
    Some(role.eq_ignore_ascii_case("visitor"))
}

/// `None`: present, and not a time.
fn time(claims: &Value, key: &str) -> Option<Option<f64>> {
    if is_absent(claims, key) {
        return Some(None);
    }
    claims.get(key)?.as_f64().map(Some)
}
