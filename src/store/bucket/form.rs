//! A form with which a client puts one object into the bucket by itself.

use chrono::{DateTime, Utc};

use super::{Access, Dialect, presigned_post};
use crate::store::{Error, ObjectKey};

/// What a form may do: put one object under one key.
#[derive(Clone, Copy, Debug)]
pub struct FormTerms<'t> {
    /// The only key it puts.
    pub key: &'t ObjectKey,
    /// Largest file, in bytes; the smallest has one.
    pub max_bytes: u64,
    /// From when on.
    pub now: DateTime<Utc>,
    /// Until when, at the latest.
    pub expires_at: DateTime<Utc>,
}

/// A signed form.
#[derive(Clone, PartialEq, Eq)]
pub struct PostForm {
    /// Where it is sent.
    pub url: String,
    /// Its fields but for the file, which comes last.
    pub fields: Vec<(&'static str, String)>,
    /// Until when the bucket takes it.
    pub expires_at: DateTime<Utc>,
}

impl Access {
    /// A form does not outlive the keys that signed it.
    pub(in crate::store) async fn sign_form(
        &self,
        terms: FormTerms<'_>,
    ) -> Result<PostForm, Error> {
        let keys = self.keys().await?;
        let settings = &self.bucket.0.settings;
        let keys_end = keys.expires_at().map_or(terms.expires_at, Into::into);
        let expires_at = terms.expires_at.min(keys_end);
        let terms = presigned_post::Terms {
            bucket: &settings.bucket,
            region: &settings.region,
            key: terms.key,
            max_bytes: terms.max_bytes,
            now: terms.now,
            expires_at,
        };
        let fields = match settings.dialect {
            Dialect::S3 => presigned_post::s3(&terms, &keys),
            Dialect::Oss => presigned_post::oss(&terms, &keys),
        };
        Ok(PostForm {
            url: format!("{}/", settings.client_url),
            fields,
            expires_at,
        })
    }
}
