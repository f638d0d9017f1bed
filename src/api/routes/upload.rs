//! The two upload routes: `img` files into the date folders, or one file into a folder chosen by the
//! caller.

use axum::{
    extract::{Path, Request, rejection::PathRejection},
    http::request::Parts,
    response::Response,
};

use crate::api::{
    Api, Arrival, Error,
    access::{auth, caller::Caller},
    class_id,
    form::{FilePart, Form, Limits, Part},
    item::Item,
    links::Links,
    reply,
};
use crate::{
    store::{Kept, Session, Store},
    upload::{
        self, File, Stored,
        naming::{self, Folder},
    },
};

/// The field of the main route's files.
const FILE_FIELD: &str = "img";

/// `POST /api/chat/uploadAliyun`: up to `UPLOAD_MAX_FILES` files in `img` parts.
pub(in crate::api) async fn images(
    mut caller: Caller,
    request: Request,
) -> Result<Response, Error> {
    let api = caller.api.clone();
    let (max_bytes, max_files) = (api.settings.upload.max_bytes, api.settings.max_files);
    let (parts, form) = api.open_form(request, max_bytes, max_files)?;
    let from_query = class_id::from_query(parts.uri.query())?;
    let work = async |session: &Session| {
        let (files, class_id) = receive_images(&mut caller, session, form, from_query).await?;
        let links = Links::new(api.base_url(&parts), &api, session).await?;
        let (mut items, mut kept) = (Vec::new(), Vec::new());
        for (file, object) in files {
            items.push(Item::new(file, Some(class_id), &links, &caller)?);
            kept.push(object);
        }
        session.keep(kept).await?;
        Ok(items)
    };
    reply::ok(api.with_store(&parts, work).await?)
}

/// `POST /api/chat/uploadStreamSingleToServerDiy/{diydir}`: one file in a field of any name.
pub(in crate::api) async fn into_folder(
    mut caller: Caller,
    folder: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Error> {
    let Path(folder) = folder.map_err(|_| Error::FolderInvalid)?;
    let folder = Folder::named(&folder).ok_or(Error::FolderInvalid)?;
    let api = caller.api.clone();
    let (parts, form) = api.open_form(request, api.settings.upload.max_bytes, 1)?;
    let work = async |session: &Session| {
        let (file, kept) = receive_one(&mut caller, session, form, &folder).await?;
        // The clients of this route prepend the host themselves.
        let base_url = match &api.store {
            Store::Disk(_) => api.base_path(&parts),
            Store::Bucket(_) => api.base_url(&parts),
        };
        let links = Links::new(base_url, &api, session).await?;
        let item = Item::new(file, None, &links, &caller)?;
        session.keep(vec![kept]).await?;
        Ok(item)
    };
    reply::ok(api.with_store(&parts, work).await?)
}

/// Answers the folder route without a folder in its path.
pub(in crate::api) async fn without_folder(_: Caller) -> Error {
    Error::FolderInvalid
}

impl Api {
    /// Makes all checks that do not need the body, and returns the unread form.
    pub(in crate::api) fn open_form(
        &self,
        request: Request,
        max_file_bytes: u64,
        max_files: usize,
    ) -> Result<(Parts, Form), Error> {
        let (parts, body) = request.into_parts();
        let limits = Limits {
            max_file_bytes,
            max_files,
            idle: self.settings.idle,
            until: Some(self.time_limit(&parts).store_until),
        };
        let form = Form::open(&parts.headers, body, limits)?;
        Arrival::from_parts(&parts).body_state.check()?;
        Ok((parts, form))
    }
}

impl Caller {
    async fn store(
        &mut self,
        session: &Session,
        folder: &Folder,
        part: FilePart<'_>,
    ) -> Result<(Stored, Kept), Error> {
        let rules = self.authorize()?;
        let file = File {
            name: part.name,
            at_most: part.at_most,
            content: part.content,
        };
        let (stored, kept) = upload::receive(&rules, session, folder, file).await?;
        self.journal.stored(&stored);
        Ok((stored, kept))
    }
}

async fn receive_images(
    caller: &mut Caller,
    session: &Session,
    mut form: Form,
    from_query: Option<u64>,
) -> Result<(Vec<(Stored, Kept)>, u64), Error> {
    let settings = caller.api.settings.clone();
    let limit = settings.max_files;
    let mut files = Vec::new();
    let mut from_form = None;
    while let Some(part) = form.next().await? {
        match part {
            Part::Text { name, value } if name == auth::TOKEN => caller.use_form_token(&value)?,
            Part::Text { name, value } if class_id::is_name(&name) && from_query.is_none() => {
                from_form = from_form.or(class_id::parse(&value)?);
            }
            Part::Text { .. } => {}
            Part::File(file) => {
                caller.authorize()?;
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
    caller.authorize()?;
    if files.is_empty() {
        return Err(Error::FileMissing);
    }
    Ok((files, from_query.or(from_form).unwrap_or(0)))
}

async fn receive_one(
    caller: &mut Caller,
    session: &Session,
    mut form: Form,
    folder: &Folder,
) -> Result<(Stored, Kept), Error> {
    let mut stored = None;
    while let Some(part) = form.next().await? {
        match part {
            Part::Text { name, value } if name == auth::TOKEN => caller.use_form_token(&value)?,
            Part::Text { .. } => {}
            // Ignoring a second file would lose it silently.
            Part::File(_) if stored.is_some() => return Err(Error::TooManyFiles { limit: 1 }),
            Part::File(file) => stored = Some(caller.store(session, folder, file).await?),
        }
    }
    caller.authorize()?;
    stored.ok_or(Error::FileMissing)
}
