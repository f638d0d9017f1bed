//! `GET|HEAD /<key>`: serves the files of a public disk store, with Range support and headers that
//! keep them from running in a browser.

use std::{io, path::Path};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method,
        header::{
            CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
            IF_RANGE, LAST_MODIFIED, RANGE, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{IntoResponse as _, Response},
};
use tower_http::services::ServeFile;

use crate::api::{Api, Error, links};
use crate::{
    store::{self, ObjectKey, Store, disk::Disk},
    upload::media::{Kind, Media},
};

/// Fallback for all paths without a route.
pub(in crate::api) async fn serve(
    State(api): State<Api>,
    request: Request,
) -> Result<Response, Error> {
    let (Store::Disk(disk), links::Settings::Public) = (&api.store, api.settings.read) else {
        return Err(Error::NotFound);
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Error::NotFound);
    }
    let path = request.uri().path().trim_start_matches('/');
    let key = ObjectKey::parse(path).map_err(|_| Error::NotFound)?;
    send(disk, &key, request).await
}

/// Sends the file with this key, or the requested range of it.
pub(in crate::api) async fn send(
    disk: &Disk,
    key: &ObjectKey,
    mut request: Request,
) -> Result<Response, Error> {
    let media = key.extension().map(Media::from_extension);
    let media = media.ok_or(Error::NotFound)?;

    // `ServeFile` would start a response for a folder, too, and then fail.
    let path = disk.path(key);
    let found = tokio::fs::metadata(&path).await.map_err(failure)?;
    if !found.is_file() {
        return Err(Error::NotFound);
    }
    let range = request.headers_mut().remove(RANGE);
    let if_range = request.headers_mut().remove(IF_RANGE);
    // Ranges apply to GET only (RFC 9110, 14.2).
    if let Some(range) = range.filter(|_| request.method() == Method::GET)
        && is_current(&path, if_range).await?
    {
        match Range::new(&range, found.len()) {
            Range::Whole => {}
            Range::Bytes(range) => drop(request.headers_mut().insert(RANGE, range)),
            Range::Unsatisfiable => return Err(Error::RangeNotSatisfiable { size: found.len() }),
        }
    }
    let response = ServeFile::new(path).try_call(request).await;
    let mut response = response.map_err(failure)?.into_response();
    // 2xx, 304 or 412.
    if matches!(response.status().as_u16(), 200..=299 | 304 | 412) {
        set_headers(response.headers_mut(), media, disk.cache_control());
        Ok(response)
    } else {
        Err(Error::NotFound)
    }
}

/// Whether the file still matches `If-Range` (RFC 9110, 13.1.5).
async fn is_current(path: &Path, if_range: Option<HeaderValue>) -> Result<bool, Error> {
    let Some(validator) = if_range else {
        return Ok(true);
    };
    let mut head = Request::new(Body::empty());
    *head.method_mut() = Method::HEAD;
    let head = ServeFile::new(path).try_call(head).await.map_err(failure)?;
    let validators = [ETAG, LAST_MODIFIED].map(|name| head.headers().get(name));
    Ok(validators.contains(&Some(&validator)))
}

/// Answer to a `Range` header.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// The header has several ranges or cannot be parsed: the whole file.
    Whole,
    /// One range, as a header with its first and last byte.
    Bytes(HeaderValue),
    /// The range starts after the end of the file.
    Unsatisfiable,
}

impl Range {
    /// Parses `range` for a file of `size` bytes (RFC 9110, 14.1.2).
    fn new(range: &HeaderValue, size: u64) -> Self {
        let range = range.to_str().unwrap_or_default();
        let spec = match range.split_once('=') {
            Some((unit, spec)) if unit.eq_ignore_ascii_case("bytes") => spec.trim(),
            _ => return Self::Whole,
        };
        let Some((first, last)) = spec.split_once('-') else {
            return Self::Whole;
        };
        let end = size.saturating_sub(1);
        let (first, last) = match (number(first), number(last)) {
            (Some(first), _) if last.is_empty() => (first, end),
            (Some(first), Some(last)) if first <= last => (first, last.min(end)),
            (None, Some(0)) if first.is_empty() => return Self::Unsatisfiable,
            (None, Some(suffix)) if first.is_empty() => (size.saturating_sub(suffix), end),
            _ => return Self::Whole,
        };
        if first >= size {
            return Self::Unsatisfiable;
        }
        let range = HeaderValue::try_from(format!("bytes={first}-{last}"));
        range.map_or(Self::Whole, Self::Bytes)
    }
}

/// Parses digits; a number that is too large counts as `u64::MAX`.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Maps only a missing file to 404: a client may treat that as permanent and forget the URL.
fn failure(source: io::Error) -> Error {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    match source.kind() {
        NotFound | NotADirectory | InvalidFilename => Error::NotFound,
        _ => {
            let action = "read a file";
            store::Error::Disk { action, source }.into()
        }
    }
}

fn set_headers(headers: &mut HeaderMap, media: Media, cache_control: &HeaderValue) {
    headers.insert(CACHE_CONTROL, cache_control.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media.mime));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    if matches!(media.kind, Kind::Document | Kind::File) {
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    }
}
