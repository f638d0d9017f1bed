//! One stored file, as it appears in responses.

use serde::Serialize;

use super::{
    Error,
    access::{caller::Caller, recall_token},
    links::Links,
};
use crate::upload::{
    Stored,
    media::{Facts, Geo},
};

/// A stored file. The class id and the time are absent on the folder route only.
#[derive(Serialize)]
pub(super) struct Item {
    pub(super) url: String,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_class_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    create_time: Option<i64>,
    size: u64,
    mime: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    recall_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_expires_at: Option<i64>,
    // Facts for displaying the file; unknown ones are omitted.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    animated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    geo: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

impl Item {
    pub(super) fn new(
        file: Stored,
        class_id: Option<u64>,
        links: &Links,
        caller: &Caller,
    ) -> Result<Self, Error> {
        let recall_token = recall_token::sign(&file, caller)?;
        let (url, signed) = links.to(&file.key)?;
        let signed_expires_at = signed.as_ref().map(|signed| signed.expires_at.timestamp());
        let create_time = class_id.map(|_| file.created.timestamp());
        let Facts {
            width,
            height,
            duration_ms,
            animated,
            kind,
        } = file.facts;
        Ok(Self {
            url,
            path: file.key.to_string(),
            image_class_id: class_id,
            create_time,
            size: file.size,
            mime: file.media.mime,
            name: file.name,
            recall_token,
            signed_url: signed.map(|signed| signed.url),
            signed_expires_at,
            kind: kind.unwrap_or(file.media.kind).as_str(),
            width,
            height,
            duration_ms,
            animated,
            geo: file.geo.map(Geo::as_str),
            sha256: file.sha256,
        })
    }
}
