//! The two upload routes: `img` files into the date folders, or one file into a folder that the
//! caller names.

use axum::{
    extract::{Extension, Path, Request, State, rejection::PathRejection},
    http::request::Parts,
    response::Response,
};
use serde::Serialize;

use super::{
    Api, Arrival, BodyState, Error,
    form::{FilePart, Form, Limits, Part},
    journal::Journal,
    reply,
};
use crate::{
    body::ReadError,
    store::Session,
    upload::{
        self, File, Stored,
        naming::{self, Folder},
    },
};

/// The field that holds the files of the main route.
const FILE_FIELD: &str = "img";
/// The two spellings of the class id; the first one found counts.
const CLASS_ID_FIELDS: [&str; 2] = ["imageClassId", "image_class_id"];
/// Largest class id: clients are JavaScript, and this is its largest whole number.
const MAX_CLASS_ID: u64 = (1 << 53) - 1;

/// One stored file, as the main route answers it.
#[derive(Serialize)]
struct Item {
    url: String,
    path: String,
    image_class_id: u64,
    create_time: i64,
    size: u64,
    mime: &'static str,
    name: String,
}

/// One stored file, as the route with a folder answers it.
#[derive(Serialize)]
struct FolderItem {
    url: String,
    path: String,
    size: u64,
    mime: &'static str,
    name: String,
}

/// `POST /api/chat/uploadAliyun`: up to `UPLOAD_MAX_FILES` files in `img` parts.
pub(super) async fn images(
    State(api): State<Api>,
    Extension(journal): Extension<Journal>,
    request: Request,
) -> Result<Response, Error> {
    let (parts, form) = open(&api, request, api.settings.max_files)?;
    let from_query = class_id_of_query(parts.uri.query())?;
    let session = api.session(&parts)?;
    let (files, class_id) = api
        .in_time(
            &session,
            take_images(&api, &session, &journal, form, from_query),
        )
        .await?;

    let base = api.base_url(&parts);
    let items: Vec<_> = files
        .into_iter()
        .map(|file| item(file, class_id, &base))
        .collect();
    reply::ok(items)
}

/// `POST /api/chat/uploadStreamSingleToServerDiy/{diydir}`: one file, whatever its field.
pub(super) async fn into_folder(
    State(api): State<Api>,
    Extension(journal): Extension<Journal>,
    folder: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Error> {
    let Path(folder) = folder.map_err(|_| Error::FolderInvalid)?;
    let folder = Folder::named(&folder).map_err(|_| Error::FolderInvalid)?;
    let (parts, form) = open(&api, request, 1)?;
    let session = api.session(&parts)?;
    let file = api
        .in_time(&session, take_one(&api, &session, &journal, form, &folder))
        .await?;
    reply::ok(folder_item(file, &api.relative_base_url(&parts)))
}

/// The same route with no folder in it.
pub(super) async fn without_folder() -> Error {
    Error::FolderInvalid
}

/// Everything that can be refused before a byte of the body is read.
fn open(api: &Api, request: Request, max_files: usize) -> Result<(Parts, Form), Error> {
    let (parts, body) = request.into_parts();
    let limits = Limits {
        max_file_bytes: api.settings.upload.max_bytes,
        max_files,
        idle: api.settings.idle,
    };
    let form = Form::open(&parts.headers, body, limits)?;
    match Arrival::of(&parts).body_state {
        BodyState::Whole => Ok((parts, form)),
        BodyState::Mangled => Err(Error::BodyMangled),
        BodyState::Undecodable => Err(ReadError::Malformed("the event's base64 is broken").into()),
    }
}

async fn take_images(
    api: &Api,
    session: &Session,
    journal: &Journal,
    mut form: Form,
    from_query: Option<u64>,
) -> Result<(Vec<Stored>, u64), Error> {
    let limit = api.settings.max_files;
    let mut files = Vec::new();
    let mut from_form = None;
    while let Some(part) = form.next().await? {
        match part {
            Part::Text { name, value } if is_class_id(&name) && from_query.is_none() => {
                from_form = from_form.or(class_id(&value)?);
            }
            Part::Text { .. } => {}
            Part::File(file) if file.field != FILE_FIELD => {
                return Err(Error::WrongField {
                    got: naming::display_name(&file.field),
                });
            }
            Part::File(_) if files.len() == limit => return Err(Error::TooManyFiles { limit }),
            Part::File(file) => {
                files.push(store(api, session, journal, &api.settings.prefix, file).await?);
            }
        }
    }
    if files.is_empty() {
        return Err(Error::FileMissing);
    }
    Ok((files, from_query.or(from_form).unwrap_or(0)))
}

async fn take_one(
    api: &Api,
    session: &Session,
    journal: &Journal,
    mut form: Form,
    folder: &Folder,
) -> Result<Stored, Error> {
    let mut stored = None;
    while let Some(part) = form.next().await? {
        match part {
            Part::Text { .. } => {}
            // Dropping a file without a word would lose it.
            Part::File(_) if stored.is_some() => return Err(Error::TooManyFiles { limit: 1 }),
            Part::File(file) => stored = Some(store(api, session, journal, folder, file).await?),
        }
    }
    stored.ok_or(Error::FileMissing)
}

async fn store(
    api: &Api,
    session: &Session,
    journal: &Journal,
    folder: &Folder,
    part: FilePart,
) -> Result<Stored, Error> {
    let file = File {
        name: part.name,
        content: part.content,
    };
    let stored = upload::receive(&api.settings.upload, session, folder, file).await?;
    journal.stored(&stored);
    Ok(stored)
}

fn item(file: Stored, image_class_id: u64, base: &str) -> Item {
    let create_time = file.created.timestamp();
    let FolderItem {
        url,
        path,
        size,
        mime,
        name,
    } = folder_item(file, base);
    Item {
        url,
        path,
        image_class_id,
        create_time,
        size,
        mime,
        name,
    }
}

/// The file stays from here on: its answer is being written.
fn folder_item(mut file: Stored, base: &str) -> FolderItem {
    let (size, mime, name) = (file.size, file.media.mime, std::mem::take(&mut file.name));
    let path = file.keep().as_str().to_owned();
    FolderItem {
        url: format!("{base}/{path}"),
        path,
        size,
        mime,
        name,
    }
}

fn is_class_id(name: &str) -> bool {
    CLASS_ID_FIELDS.contains(&name)
}

fn class_id_of_query(query: Option<&str>) -> Result<Option<u64>, Error> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let mut ids = pairs.filter(|(name, value)| is_class_id(name) && !value.is_empty());
    ids.next()
        .map_or(Ok(None), |(_, value)| class_id(value.as_bytes()))
}

/// `None` for an empty value.
fn class_id(value: &[u8]) -> Result<Option<u64>, Error> {
    if value.is_empty() {
        return Ok(None);
    }
    if !value.iter().all(u8::is_ascii_digit) {
        return Err(Error::ClassIdInvalid);
    }
    let id = std::str::from_utf8(value)
        .ok()
        .and_then(|digits| digits.parse().ok());
    match id {
        Some(id @ ..=MAX_CLASS_ID) => Ok(Some(id)),
        _ => Err(Error::ClassIdInvalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_id_is_a_whole_number() {
        for (value, id) in [
            ("", None),
            ("0", Some(0)),
            ("007", Some(7)),
            ("9007199254740991", Some(MAX_CLASS_ID)),
        ] {
            assert_eq!(class_id(value.as_bytes()).expect("valid"), id, "{value:?}");
        }
        for bad in [
            "abc",
            "-1",
            "+1",
            "1e9",
            "NaN",
            "0x10",
            "1.0",
            " 1",
            "9007199254740992",
            "12345678901234567890",
            "１",
        ] {
            assert!(
                matches!(class_id(bad.as_bytes()), Err(Error::ClassIdInvalid)),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn the_query_names_a_class_in_either_spelling() {
        for (query, id) in [
            (None, None),
            (Some("imageClassId=3"), Some(3)),
            (Some("a=b&image_class_id=4"), Some(4)),
            (Some("imageClassId=&image_class_id=4"), Some(4)),
            (Some("imageClassId="), None),
            (Some("imageClassId[]=5"), None),
        ] {
            assert_eq!(class_id_of_query(query).expect("valid"), id, "{query:?}");
        }
        assert!(class_id_of_query(Some("imageClassId=x")).is_err());
    }
}
