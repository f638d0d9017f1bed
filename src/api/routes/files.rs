//! `GET|HEAD /<key>`: a disk store that everybody may read serves what it holds, with ranges, and so
//! that it does no harm in a browser.

use std::io;

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{IntoResponse as _, Response},
};
use tower_http::services::ServeFile;

use crate::api::{Api, Error, routes::read};
use crate::{
    store::{self, ObjectKey, Store, disk::Disk},
    upload::media::{Kind, Media},
};

/// Everything that no route took.
pub(in crate::api) async fn serve(
    State(api): State<Api>,
    request: Request,
) -> Result<Response, Error> {
    let (Store::Disk(disk), read::Settings::Public) = (&api.store, api.settings.read) else {
        return Err(Error::NotFound);
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Error::NotFound);
    }
    let path = request.uri().path().trim_start_matches('/');
    let key = ObjectKey::parse(path).map_err(|_| Error::NotFound)?;
    send(disk, &key, request).await
}

/// The file with this key, or the part of it that is asked for.
pub(in crate::api) async fn send(
    disk: &Disk,
    key: &ObjectKey,
    request: Request,
) -> Result<Response, Error> {
    let media = key
        .extension()
        .map(Media::of_stored)
        .ok_or(Error::NotFound)?;

    // The service would begin an answer for a folder, too, and break off.
    let path = disk.path(key);
    let found = tokio::fs::metadata(&path).await.map_err(failure)?;
    if !found.is_file() {
        return Err(Error::NotFound);
    }
    let response = ServeFile::new(path).try_call(request).await;
    let mut response = response.map_err(failure)?.into_response();
    if is_answer(response.status()) {
        set_headers(response.headers_mut(), media, disk.cache_control());
        Ok(response)
    } else {
        Err(Error::NotFound)
    }
}

/// Only a file that does not exist is 404: a client may take that for good and forget the address.
fn failure(error: io::Error) -> Error {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    match error.kind() {
        NotFound | NotADirectory | InvalidFilename => Error::NotFound,
        _ => Error::from(store::Error::Disk {
            action: "read a file",
            source: error,
        }),
    }
}

/// The file, a part of it, "you have it", or "it has no such part".
fn is_answer(status: StatusCode) -> bool {
    status.is_success()
        || matches!(
            status,
            StatusCode::NOT_MODIFIED | StatusCode::RANGE_NOT_SATISFIABLE
        )
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
