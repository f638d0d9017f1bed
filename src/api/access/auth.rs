//! Who may upload: finds the token in a request, judges it, and says what its user may do.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION, request::Parts};

use crate::api::{
    Error,
    access::{
        jwt::{self, Rejected, User},
        secrets::Secrets,
    },
};
use crate::upload::{self, media::Kinds};

/// The header, the query parameter and the form field that hold a token.
pub(in crate::api) const TOKEN: &str = "token";
const TOKEN_HEADER: HeaderName = HeaderName::from_static(TOKEN);

/// Who may upload what.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `UPLOAD_JWT_SECRET`; with none, everybody may.
    pub secrets: Secrets,
    /// `UPLOAD_GUESTS`: whether users of role `visitor` may.
    pub guests_may_upload: bool,
    /// `UPLOAD_GUEST_MAX_BYTES`: a guest's largest file, in bytes.
    pub guest_max_bytes: u64,
    /// `UPLOAD_GUEST_TYPES`: the kinds a guest may upload.
    pub guest_kinds: Kinds,
}

/// Whether a request may store something, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) enum Access {
    /// No secret is set.
    Open,
    /// A good token was there.
    User(User),
    /// None was there yet; the form may bring one before its file.
    Unknown,
}

impl Settings {
    /// Looks for a token in the header `token`, then in `Authorization`, then in the query. The
    /// first one found is the one that counts.
    pub(in crate::api) fn of_request(&self, parts: &Parts) -> Result<Access, Error> {
        if self.secrets.is_empty() {
            return Ok(Access::Open);
        }
        let from_header = of_headers(&parts.headers);
        match from_header.or_else(|| of_query(parts.uri.query())) {
            Some(token) => self.of_token(&token),
            None => Ok(Access::Unknown),
        }
    }

    /// Judges a token, wherever it stood.
    pub(in crate::api) fn of_token(&self, token: &[u8]) -> Result<Access, Error> {
        let user = jwt::verify(token, &self.secrets, now().as_secs_f64());
        match user {
            Ok(user) if user.is_guest && !self.guests_may_upload => Err(Error::GuestDenied),
            Ok(user) => Ok(Access::User(user)),
            Err(Rejected::Expired) => Err(Error::TokenExpired),
            Err(Rejected::Invalid) => Err(Error::TokenInvalid),
        }
    }
}

impl Access {
    /// What this access may upload, or that it may nothing.
    pub(in crate::api) fn rules(
        &self,
        everybody: &upload::Settings,
        settings: &Settings,
    ) -> Result<upload::Settings, Error> {
        match self {
            Self::Unknown => Err(Error::TokenMissing),
            Self::User(User { is_guest: true, .. }) => Ok(upload::Settings {
                max_bytes: everybody.max_bytes.min(settings.guest_max_bytes),
                kinds: everybody.kinds.and(settings.guest_kinds),
                ..*everybody
            }),
            Self::User(_) | Self::Open => Ok(*everybody),
        }
    }

    /// Whose token it is.
    pub(in crate::api) fn user(&self) -> Option<&str> {
        match self {
            Self::User(user) => Some(&user.id),
            Self::Open | Self::Unknown => None,
        }
    }
}

/// The time since 1970.
pub(in crate::api) fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn of_headers(headers: &HeaderMap) -> Option<Vec<u8>> {
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

fn of_query(query: Option<&str>) -> Option<Vec<u8>> {
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
            let token = of_headers(&parts.headers).or_else(|| of_query(parts.uri.query()));
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
