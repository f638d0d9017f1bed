//! One stored file, as the routes answer it.

use serde::Serialize;

use super::{Api, Error, routes::recall};
use crate::upload::{Stored, media::Facts};

/// What a file is to whoever shows it; what is not known is left out.
#[derive(Serialize)]
struct About {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    animated: bool,
}

/// As the main route answers it, and whoever completes a file.
#[derive(Serialize)]
pub(super) struct Item {
    pub(super) url: String,
    path: String,
    image_class_id: u64,
    create_time: i64,
    size: u64,
    mime: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    recall_token: Option<String>,
    #[serde(flatten)]
    about: About,
}

/// As the route with a folder answers it.
#[derive(Serialize)]
pub(super) struct FolderItem {
    url: String,
    path: String,
    size: u64,
    mime: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    recall_token: Option<String>,
    #[serde(flatten)]
    about: About,
}

impl Item {
    /// The file stays from here on: its answer is being written.
    pub(super) fn of(
        file: Stored,
        image_class_id: u64,
        base: &str,
        user: Option<&str>,
        api: &Api,
    ) -> Result<Self, Error> {
        let create_time = file.created.timestamp();
        let FolderItem {
            url,
            path,
            size,
            mime,
            name,
            recall_token,
            about,
        } = FolderItem::of(file, base, user, api)?;
        Ok(Self {
            url,
            path,
            image_class_id,
            create_time,
            size,
            mime,
            name,
            recall_token,
            about,
        })
    }
}

impl FolderItem {
    /// The file stays from here on: its answer is being written.
    pub(super) fn of(
        mut file: Stored,
        base: &str,
        user: Option<&str>,
        api: &Api,
    ) -> Result<Self, Error> {
        let recall_token = recall::token(api, &file, user)?;
        let about = About::new(&file);
        let (size, mime, name) = (file.size, file.media.mime, std::mem::take(&mut file.name));
        let path = file.keep().as_str().to_owned();
        Ok(Self {
            url: format!("{base}/{path}"),
            path,
            size,
            mime,
            name,
            recall_token,
            about,
        })
    }
}

impl About {
    fn new(file: &Stored) -> Self {
        let Facts {
            width,
            height,
            duration_ms,
            animated,
            kind,
        } = file.facts;
        Self {
            kind: kind.unwrap_or(file.media.kind).as_str(),
            width,
            height,
            duration_ms,
            animated,
        }
    }
}
