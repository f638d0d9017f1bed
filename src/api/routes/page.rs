//! `GET /` and `GET /_/<file>`: a page for trying out the server, and `GET /openapi.yaml`, the description of the routes.
//! Only on the local server: a cloud deployment should not advertise itself.

use std::net::IpAddr;

use axum::{
    Router,
    extract::{Path, State},
    http::{
        HeaderMap, HeaderName, HeaderValue,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
        uri::Authority,
    },
    response::{IntoResponse as _, Response},
    routing::get,
};

use crate::api::{Api, Error};

/// Settings of the page.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `UPLOAD_PAGE`: whether the page is served; the description always is.
    pub is_on: bool,
    /// Host of `UPLOAD_PUBLIC_URL`, if that is set: the page is served under it, too.
    pub public_host: Option<String>,
    /// Other origins that the page uploads files to and shows them from.
    pub origins: Vec<String>,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const YAML: &str = "application/yaml; charset=utf-8";

/// A file of the page, or of the client package, by its path.
macro_rules! file {
    ($path:literal) => {
        file!($path, "page/")
    };
    ($path:literal, $folder:literal) => {
        ($path, include_str!(concat!("../../../", $folder, $path)))
    };
}

/// Path and content of each file of the page. It uses the client package as it is published.
const FILES: [(&str, &str); 17] = [
    ("", include_str!("../../../page/index.html")),
    file!("page.css"),
    file!("icon.svg"),
    file!("app.js"),
    file!("row.js"),
    file!("bubble.js"),
    file!("curve.js"),
    file!("recorder.js"),
    file!("words.js"),
    file!("client/index.js", ""),
    file!("client/browser.js", ""),
    file!("client/errors.js", ""),
    file!("client/exchange.js", ""),
    file!("client/lanes.js", ""),
    file!("client/media.js", ""),
    file!("client/records.js", ""),
    file!("client/uploader.js", ""),
];

/// Returns a file's content type, by its extension.
fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.') {
        Some((_, "css")) => CSS,
        Some((_, "js")) => JAVASCRIPT,
        Some((_, "svg")) => SVG,
        _ => HTML,
    }
}

/// The routes of the page.
pub(in crate::api) fn routes() -> Router<Api> {
    Router::new()
        .route("/", get(file))
        .route("/_/{*file}", get(file))
        .method_not_allowed_fallback(|| async { Error::MethodNotAllowed })
}

/// `GET /openapi.yaml`
pub(in crate::api) async fn description() -> Response {
    let headers = [(CONTENT_TYPE, YAML), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, include_str!("../../../docs/openapi.yaml")).into_response()
}

/// Serves one of [`FILES`], or the page itself.
async fn file(
    State(api): State<Api>,
    name: Option<Path<String>>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let settings = api.settings.page.as_ref().ok_or(Error::NotFound)?;
    if !is_trusted_host(&headers, settings.public_host.as_deref()) {
        return Err(Error::NotFound);
    }
    let found = FILES.iter().find(|(path, _)| *path == name);
    let (path, text) = found.ok_or(Error::NotFound)?;
    let kind = kind(path);
    let policy = HeaderValue::from_str(&content_security_policy(&settings.origins))
        .map_err(Error::internal)?;
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-cache"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (OPENER_POLICY, "same-origin"),
        (PERMISSIONS_POLICY, "camera=(self), microphone=(self)"),
    ];
    let body = match kind {
        JAVASCRIPT | CSS => strip_comments(text).into_response(),
        _ => text.into_response(),
    };
    Ok((headers, [(CONTENT_SECURITY_POLICY, policy)], body).into_response())
}

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// Allows scripts of the page only; files may come from, and be sent to, the store.
fn content_security_policy(origins: &[String]) -> String {
    let store: String = origins.iter().map(|origin| format!(" {origin}")).collect();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:{store}; \
         media-src 'self' blob:{store}; connect-src 'self'{store}; form-action 'none'; \
         base-uri 'none'; frame-ancestors 'none'"
    )
}

/// Whether the Host header is an IP address, `localhost` or the public host. Any other name may point at this machine
/// for an attack (DNS rebinding).
fn is_trusted_host(headers: &HeaderMap, public_host: Option<&str>) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.filter(|host| !host.contains('@'));
    let Some(authority) = host.and_then(|host| host.parse::<Authority>().ok()) else {
        return false;
    };
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || public_host.is_some_and(|public| host.eq_ignore_ascii_case(public))
}

/// Drops comment lines and indentation, a third of the bytes on the wire. None of the files has a string that spans
/// lines.
fn strip_comments(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut is_comment = false;
    for line in source.lines().map(str::trim) {
        is_comment |= line.starts_with("/*");
        if !is_comment && !line.is_empty() && !line.starts_with("//") {
            kept.push_str(line);
            kept.push('\n');
        }
        is_comment &= !line.ends_with("*/");
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_answers_under_addresses_and_its_own_names() {
        let answers = |host: &str| {
            let host = HeaderValue::from_str(host).expect("a header");
            let headers = HeaderMap::from_iter([(HOST, host)]);
            is_trusted_host(&headers, Some("files.example.com"))
        };
        let ours = "127.0.0.1:9000 localhost:9000 LocalHost 192.168.1.7:9000 [::1]:9000 [::1] \
                    files.example.com Files.Example.com:443";
        for host in ours.split(' ') {
            assert!(answers(host), "{host}");
        }
        for host in [
            "evil.example:9000",
            "localhost.evil.example",
            "127.0.0.1.evil.example:9000",
            "example.com",
            "1.2.3",
            "files.example.com.",
            "",
            "a b",
            "evil@127.0.0.1",
        ] {
            assert!(!answers(host), "{host}");
        }
        assert!(!is_trusted_host(&HeaderMap::new(), None));
    }

    #[test]
    fn what_a_browser_loads_fits_into_60_kib() {
        let sizes = FILES.map(|(path, text)| match kind(path) {
            JAVASCRIPT | CSS => (path, strip_comments(text).len()),
            _ => (path, text.len()),
        });
        let all: usize = sizes.iter().map(|(_, size)| size).sum();
        assert!(all <= 60 * 1024, "{all} bytes: {sizes:?}");
    }

    #[test]
    fn nothing_but_comments_and_indentation_is_dropped() {
        let source = "// a\n/** b */\n/*\n * c\n */\n* {\n  d: 'e // f', /* g */\n}\n";
        assert_eq!(strip_comments(source), "* {\nd: 'e // f', /* g */\n}\n");
        for (path, text) in FILES.iter().filter(|(path, _)| kind(path) == JAVASCRIPT) {
            for line in strip_comments(text).lines() {
                let is_whole = line.matches('`').count() % 2 == 0;
                assert!(is_whole, "a string that spans lines in {path}: {line}");
            }
        }
    }
}
