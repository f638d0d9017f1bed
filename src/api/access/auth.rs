//! Authentication: finds the token of a request, verifies it, and says what its user may store.

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
    /// `UPLOAD_JWT_SECRET`; with none, everybody may upload.
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
    /// No secret is set, so nobody is asked.
    Anyone,
    /// The user of a valid token.
    User(User),
    /// No token yet; the form may bring one before its file.
    Unknown,
}

impl Settings {
    /// Looks for a token in the header `token`, then in `Authorization`, then in the query. The
    /// first one found counts.
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

    /// Verifies a token from any place.
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
    /// The rules for this sender's files: the general ones, or narrower ones for a guest.
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

    /// The user id in the token.
    pub(in crate::api) fn user(&self) -> Option<&str> {
        match self {
            Self::User(user) => Some(&user.id),
            Self::Anyone | Self::Unknown => None,
        }
    }
}

fn header_token(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = |name| {
        headers
            .get(name)
            .map(|value: &HeaderValue| value.as_bytes().trim_ascii())
    };
    let bearer = || {
        let (scheme, token) = value(AUTHORIZATION)?.split_at_checked("Bearer ".len())?;
        scheme
            .eq_ignore_ascii_case(b"Bearer ")
            .then(|| token.trim_ascii())
    };
    let token = value(TOKEN_HEADER)
        .filter(|token| !token.is_empty())
        .or_else(bearer)?;
    (!token.is_empty()).then(|| token.to_vec())
}

fn query_token(query: Option<&str>) -> Option<Vec<u8>> {
    let mut pairs = form_urlencoded::parse(query?.as_bytes());
    let (_, token) = pairs.find(|(name, value)| name == TOKEN && !value.trim().is_empty())?;
    Some(token.trim().as_bytes().to_vec())
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
        assert_eq!(
            found("/", &[("authorization", "bearer  b ")]).as_deref(),
            Some("b")
        );
        for other in ["Basic YTpi", "Bearer", "Bearer ", "b", "ééé"] {
            assert_eq!(found("/", &[("authorization", other)]), None, "{other}");
        }
    }
}
