//! The two upload routes: `img` files into the date folders, or one file into a folder that the
//! caller names.

use axum::{
    body::Body,
    extract::{Extension, Path, Request, State, rejection::PathRejection},
    http::request::Parts,
    response::Response,
};

use crate::api::{
    Api, Arrival, BodyState, Error,
    access::{auth, caller::Caller},
    access_log::Journal,
    form::{FilePart, Form, Limits, Part},
    item::{FolderItem, Item},
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
pub(in crate::api) const CLASS_ID_FIELDS: [&str; 2] = ["imageClassId", "image_class_id"];
/// Largest class id: clients are JavaScript, and this is its largest whole number.
const MAX_CLASS_ID: u64 = (1 << 53) - 1;

/// `POST /api/chat/uploadAliyun`: up to `UPLOAD_MAX_FILES` files in `img` parts.
pub(in crate::api) async fn images(
    State(api): State<Api>,
    Extension(journal): Extension<Journal>,
    request: Request,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let mut caller = Caller::of(&api, &journal, &parts)?;
    let form = open(&api, &parts, body, api.settings.max_files)?;
    let from_query = class_id_of_query(parts.uri.query())?;
    let session = api.session(&parts)?;
    let work = take_images(&mut caller, &session, form, from_query);
    let (files, class_id) = api.in_time(&session, work).await?;

    let (base, user) = (api.base_url(&parts), caller.user());
    let items: Result<Vec<_>, _> = files
        .into_iter()
        .map(|file| Item::of(file, class_id, &base, user, &api))
        .collect();
    reply::ok(items?)
}

/// `POST /api/chat/uploadStreamSingleToServerDiy/{diydir}`: one file, whatever its field.
pub(in crate::api) async fn into_folder(
    State(api): State<Api>,
    Extension(journal): Extension<Journal>,
    folder: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let mut caller = Caller::of(&api, &journal, &parts)?;
    let Path(folder) = folder.map_err(|_| Error::FolderInvalid)?;
    let folder = Folder::named(&folder).map_err(|_| Error::FolderInvalid)?;
    let form = open(&api, &parts, body, 1)?;
    let session = api.session(&parts)?;
    let work = take_one(&mut caller, &session, form, &folder);
    let file = api.in_time(&session, work).await?;
    let base = api.relative_base_url(&parts);
    reply::ok(FolderItem::of(file, &base, caller.user(), &api)?)
}

/// The same route with no folder in it.
pub(in crate::api) async fn without_folder(
    State(api): State<Api>,
    Extension(journal): Extension<Journal>,
    request: Request,
) -> Error {
    let (parts, _) = request.into_parts();
    match Caller::of(&api, &journal, &parts) {
        Ok(_) => Error::FolderInvalid,
        Err(error) => error,
    }
}

/// Everything about the body that can be refused before a byte of it is read.
fn open(api: &Api, parts: &Parts, body: Body, max_files: usize) -> Result<Form, Error> {
    let limits = Limits {
        max_file_bytes: api.settings.upload.max_bytes,
        max_files,
        idle: api.settings.idle,
    };
    let form = Form::open(&parts.headers, body, limits)?;
    check_body(parts).map(|()| form)
}

/// Whether the body is what the client sent.
pub(in crate::api) fn check_body(parts: &Parts) -> Result<(), Error> {
    match Arrival::of(parts).body_state {
        BodyState::Whole => Ok(()),
        BodyState::Mangled => Err(Error::BodyMangled),
        BodyState::Undecodable => Err(ReadError::Malformed("the event's base64 is broken").into()),
    }
}

impl Caller<'_> {
    async fn store(
        &mut self,
        session: &Session,
        folder: &Folder,
        part: FilePart,
    ) -> Result<Stored, Error> {
        let rules = self.admitted()?;
        let file = File {
            name: part.name,
            content: part.content,
        };
        let stored = upload::receive(&rules, session, folder, file).await?;
        self.journal.stored(&stored);
        Ok(stored)
    }
}

async fn take_images(
    caller: &mut Caller<'_>,
    session: &Session,
    mut form: Form,
    from_query: Option<u64>,
) -> Result<(Vec<Stored>, u64), Error> {
    let settings = &caller.api.settings;
    let limit = settings.max_files;
    let mut files = Vec::new();
    let mut from_form = None;
    while let Some(part) = form.next().await? {
        match part {
            Part::Text { name, value } if name == auth::TOKEN => caller.presents(&value)?,
            Part::Text { name, value } if is_class_id(&name) && from_query.is_none() => {
                from_form = from_form.or(class_id(&value)?);
            }
            Part::Text { .. } => {}
            Part::File(file) => {
                caller.admitted()?;
                if file.field != FILE_FIELD {
                    let got = naming::display_name(&file.field);
                    let wanted = FILE_FIELD;
                    return Err(Error::WrongField { wanted, got });
                }
                if files.len() == limit {
                    return Err(Error::TooManyFiles { limit });
                }
                files.push(caller.store(session, &settings.prefix, file).await?);
            }
        }
    }
    caller.admitted()?;
    if files.is_empty() {
        return Err(Error::FileMissing);
    }
    Ok((files, from_query.or(from_form).unwrap_or(0)))
}

async fn take_one(
    caller: &mut Caller<'_>,
    session: &Session,
    mut form: Form,
    folder: &Folder,
) -> Result<Stored, Error> {
    let mut stored = None;
    while let Some(part) = form.next().await? {
        match part {
            Part::Text { name, value } if name == auth::TOKEN => caller.presents(&value)?,
            Part::Text { .. } => {}
            // Dropping a file without a word would lose it.
            Part::File(_) if stored.is_some() => return Err(Error::TooManyFiles { limit: 1 }),
            Part::File(file) => stored = Some(caller.store(session, folder, file).await?),
        }
    }
    caller.admitted()?;
    stored.ok_or(Error::FileMissing)
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
pub(in crate::api) fn class_id(value: &[u8]) -> Result<Option<u64>, Error> {
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
