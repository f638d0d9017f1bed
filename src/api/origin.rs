//! Origin of a request: how the platform delivered it, the client's address, and the URL that the
//! client used.

use std::{net::IpAddr, sync::LazyLock};

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{CONTENT_ENCODING, HOST},
    request::Parts,
    uri::Authority,
};
use tokio::{sync::watch, time::Instant};

use super::Error;
use crate::{body::ReadError, store::Credentials};

/// Facts that a runtime adds to the request's extensions.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// The platform's id for the request.
    pub request_id: Option<String>,
    /// Stage of an API that clients use in their paths and the gateway has removed.
    pub stage: Option<String>,
    /// The client's address, as the platform reports it.
    pub client: Option<IpAddr>,
    /// Credentials that came with the request.
    pub credentials: Option<Credentials>,
    /// When the platform ends the request.
    pub ends_at: Option<Instant>,
    /// Becomes true when the process shuts down without waiting for the request.
    pub given_up: Option<watch::Receiver<bool>>,
    /// Whether a gateway changed the body.
    pub body_state: BodyState,
}

/// Whether a gateway passed on the client's bytes unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyState {
    /// Unchanged.
    #[default]
    Whole,
    /// The gateway decoded it as text and lost bytes.
    Mangled,
    /// The gateway announced base64 that cannot be decoded.
    Undecodable,
}

impl Arrival {
    pub(super) fn from_parts(parts: &Parts) -> &Self {
        static UNKNOWN: LazyLock<Arrival> = LazyLock::new(Arrival::default);
        parts.extensions.get().unwrap_or(&UNKNOWN)
    }
}

impl BodyState {
    /// Refuses a body that a gateway changed.
    pub(super) fn check(self) -> Result<(), Error> {
        match self {
            Self::Whole => Ok(()),
            Self::Mangled => Err(Error::BodyMangled),
            Self::Undecodable => {
                Err(ReadError::malformed("the event's base64 cannot be decoded").into())
            }
        }
    }
}

/// Refuses a compressed body, which this server does not decompress.
pub(super) fn refuse_encoded(headers: &HeaderMap) -> Result<(), Error> {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    let is_plain = |value: &HeaderValue| {
        let value = value.as_bytes().trim_ascii();
        value.is_empty() || value.eq_ignore_ascii_case(b"identity")
    };
    if encodings.all(is_plain) {
        Ok(())
    } else {
        Err(Error::EncodingRefused)
    }
}

/// Returns the client's address as the last `trusted_hops` proxies report it, else as the platform
/// does. So a client that bypasses the proxies still has an address.
pub(super) fn client_address(parts: &Parts, trusted_hops: usize) -> Option<IpAddr> {
    let hop = trusted_hops.checked_sub(1);
    hop.and_then(|hop| forwarded_for(&parts.headers, hop))
        .or(Arrival::from_parts(parts).client)
}

/// Parses the address that a proxy added to `X-Forwarded-For`; `hop` counts proxies from the last one.
fn forwarded_for(headers: &HeaderMap, hop: usize) -> Option<IpAddr> {
    const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    // Each proxy appends the address it saw; everything before comes from the client and is not
    // trusted. Invalid text counts as an entry, too: else a client could hide the proxy's line.
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let entry = entries.nth(hop)?;
    std::str::from_utf8(entry).ok()?.trim().parse().ok()
}

/// Whether a request has one host, without user information. URLs in responses repeat the host.
pub(super) fn has_plain_host(headers: &HeaderMap, uri: &Uri) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().map_or(&b""[..], HeaderValue::as_bytes);
    let target = uri.authority().map_or("", Authority::as_str);
    hosts.next().is_none() && !host.contains(&b'@') && !target.contains('@')
}

/// Returns scheme and host of the client's request, `""` if it has no host.
pub(super) fn requested_origin(parts: &Parts) -> String {
    const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    let header = |name: HeaderName| parts.headers.get(name)?.to_str().ok();
    let https = header(FORWARDED_PROTO).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    let scheme = if https { "https" } else { "http" };
    let authority = header(HOST).and_then(|host| host.parse::<Authority>().ok());
    match authority.as_ref().or(parts.uri.authority()) {
        Some(authority) => format!("{scheme}://{authority}"),
        None => String::new(),
    }
}
