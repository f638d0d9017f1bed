//! Authentication: finds a request's token, verifies it, and returns the rules for its user's files.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION, request::Parts};

use crate::api::{
    Error,
    access::{
        jwt::{self, Rejected, User},
        secrets::Secrets,
    },
};
use crate::upload::{self, media::Kinds};

/// Name of the header, query parameter and form field that hold a token.
pub(in crate::api) const TOKEN: &str = "token";
const TOKEN_HEADER: HeaderName = HeaderName::from_static(TOKEN);

/// Tokens and guests.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `UPLOAD_JWT_SECRET`; without one, everybody may upload.
    pub secrets: Secrets,
    /// `UPLOAD_GUESTS`: whether users of role `visitor` may upload.
    pub guests_may_upload: bool,
    /// `UPLOAD_GUEST_MAX_BYTES`: a guest's largest file, in bytes.
    pub guest_max_bytes: u64,
    /// `UPLOAD_GUEST_TYPES`: the kinds a guest may upload.
    pub guest_kinds: Kinds,
}

/// Identity of a request's sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) enum Identity {
    /// No secret is set: no token is needed.
    Anyone,
    /// The user of a valid token.
    User(User),
    /// No token yet; the form may contain one before its file.
    Unknown,
}

impl Settings {
    /// Verifies the first token found in the header `token`, `Authorization` or the query, in this
    /// order.
    pub(in crate::api) fn identify(&self, parts: &Parts) -> Result<Identity, Error> {
        if self.secrets.is_empty() {
            return Ok(Identity::Anyone);
        }
        let from_header = header_token(&parts.headers);
        match from_header.or_else(|| query_token(parts.uri.query())) {
            Some(token) => self.verify(&token),
            None => Ok(Identity::Unknown),
        }
    }

    /// Verifies a token from a header, the query or the form.
    pub(in crate::api) fn verify(&self, token: &[u8]) -> Result<Identity, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let user = jwt::verify(token, &self.secrets, now.unwrap_or_default().as_secs_f64());
        match user {
            Ok(user) if user.is_guest && !self.guests_may_upload => Err(Error::GuestDenied),
            Ok(user) => Ok(Identity::User(user)),
            Err(Rejected::Expired) => Err(Error::TokenExpired),
            Err(why) => Err(Error::TokenInvalid(why)),
        }
    }
}

impl Identity {
    /// Returns the rules for this sender's files: the general ones, or narrower ones for a guest.
    pub(in crate::api) fn rules(
        &self,
        general: &upload::Settings,
        settings: &Settings,
    ) -> Result<upload::Settings, Error> {
        match self {
            Self::Unknown => Err(Error::TokenMissing),
            Self::User(User { is_guest: true, .. }) => Ok(upload::Settings {
                max_bytes: general.max_bytes.min(settings.guest_max_bytes),
                kinds: general.kinds.and(settings.guest_kinds),
                ..*general
            }),
            Self::User(_) | Self::Anyone => Ok(*general),
        }
    }

    /// Returns the user id in the token.
    pub(in crate::api) fn user(&self) -> Option<&str> {
        match self {
            Self::User(user) => Some(&user.id),
            Self::Anyone | Self::Unknown => None,
        }
    }
}

fn header_token(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = |name| headers.get(name).map(HeaderValue::as_bytes);
    let authorization = || {
        let value = value(AUTHORIZATION)?.trim_ascii();
        let is_token = strip_bearer(value).is_some() || looks_like_jwt(value);
        extract_token(value).filter(|_| is_token)
    };
    let token = value(TOKEN_HEADER).and_then(extract_token);
    token.or_else(authorization).map(<[u8]>::to_vec)
}

fn query_token(query: Option<&str>) -> Option<Vec<u8>> {
    let mut pairs = form_urlencoded::parse(query?.as_bytes());
    pairs.find_map(|(name, value)| {
        let token = extract_token(value.as_bytes()).filter(|_| name == TOKEN)?;
        Some(token.to_vec())
    })
}

/// Returns the token in a header, parameter or field, without a `Bearer` prefix; `None` for an empty
/// value and for the text JavaScript writes for a missing one.
pub(in crate::api) fn extract_token(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let token = strip_bearer(value).unwrap_or(value);
    (!matches!(token, b"" | b"undefined" | b"null")).then_some(token)
}

fn strip_bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"Bearer";
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    let is_scheme = scheme.eq_ignore_ascii_case(SCHEME);
    let is_apart = token.first().is_none_or(u8::is_ascii_whitespace);
    (is_scheme && is_apart).then(|| token.trim_ascii())
}

/// Whether a value is three parts in base64url, separated by dots (RFC 7515, 3.1).
fn looks_like_jwt(value: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut pieces = value.split(|byte| *byte == b'.');
    let are_pieces = pieces.all(|piece| !piece.is_empty() && piece.iter().all(is_digit));
    are_pieces && value.iter().filter(|byte| **byte == b'.').count() == 2
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn e59_the_header_comes_before_bearer_and_bearer_before_the_query() {
        let found = |uri: &str, headers: &[(&str, &str)]| {
            let parts = parts(uri, headers);
            let token = header_token(&parts.headers).or_else(|| query_token(parts.uri.query()));
            token.map(|token| String::from_utf8(token).expect("UTF-8"))
        };
        let all = [("token", "a"), ("authorization", "Bearer b")];
        assert_eq!(found("/?token=c", &all).as_deref(), Some("a"));
        assert_eq!(found("/?token=c", &all[1..]).as_deref(), Some("b"));
        assert_eq!(found("/?x=y&token=c", &[]).as_deref(), Some("c"));
        assert_eq!(found("/?token=", &[("token", " ")]), None);
        assert_eq!(found("/?token=c", &[("token", "")]).as_deref(), Some("c"));
        let blanks = [("authorization", "bearer  b ")];
        assert_eq!(found("/", &blanks).as_deref(), Some("b"));
        for absent in ["undefined", "null", "Bearer", "Bearer ", "bearer null"] {
            let headers = [("token", absent), ("authorization", absent)];
            assert_eq!(found("/?token=c", &headers).as_deref(), Some("c"));
            let query = format!("/?token={}", absent.replace(' ', "%20"));
            assert_eq!(found(&query, &headers), None, "{absent}");
        }
        assert_eq!(found("/", &[("token", "Bearer b")]).as_deref(), Some("b"));
        let bare = [("authorization", "a.b-_.c")];
        assert_eq!(found("/", &bare).as_deref(), Some("a.b-_.c"));
        let words = "b ééé a.b a..c a.b.c.d a.b.c=".split(' ');
        for other in words.chain(["Basic YTpi", "a b.c.d", "Basic a.b.c"]) {
            assert_eq!(found("/", &[("authorization", other)]), None, "{other}");
        }
    }
}
