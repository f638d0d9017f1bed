//! `GET|HEAD /f/<signature>/<key>`: reads a file of a private store with the signed URL of its item.
//! Redirects to a presigned URL of a bucket; sends a disk store's file itself.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{
        HeaderName, HeaderValue, Method, StatusCode,
        header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY},
    },
    response::{IntoResponse as _, Response},
};

use crate::api::{
    Api, Arrival, Error,
    access::signed,
    links::{PREFIX, Settings},
    routes::files,
};
use crate::store::{ObjectKey, Read, SignedRead, Store, bucket::Dialect};

/// The route; its paths begin with [`PREFIX`].
pub(in crate::api) const ROUTE: &str = "/f/{signature}/{*key}";

/// Longest time for which a redirect is cached: the credentials that signed its target may expire at
/// any time, and neither cloud reports when.
const MAX_AGE: Duration = Duration::from_secs(300);
/// Query parameter with which OSS processes images and videos.
const PROCESS: &str = "x-oss-process";
/// Longest value of [`PROCESS`], in bytes.
const MAX_PROCESS_BYTES: usize = 256;
/// Image actions that are passed on. Not `watermark`, which could draw another object of the bucket, nor
/// `info`, which prints coordinates, nor any action that stores.
const IMAGE_ACTIONS: &str = "resize crop rotate auto-orient format quality interlace circle \
                             rounded-corners blur sharpen bright contrast";

/// Sends the file, or redirects the client to it.
pub(in crate::api) async fn read(
    State(api): State<Api>,
    request: Request,
) -> Result<Response, Error> {
    let key = api.signed_key(request.uri().path());
    let key = key.ok_or(Error::NotFound)?;
    let mut response = match &api.store {
        Store::Disk(disk) => files::send(disk, &key, request).await?,
        Store::Bucket(bucket) => {
            let process = match bucket.dialect() {
                Dialect::S3 => None,
                Dialect::Oss => process(request.uri().query())?,
            };
            api.redirect(&key, process.as_deref(), request).await?
        }
    };
    let headers = response.headers_mut();
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

impl Api {
    /// Returns the key in a path, if its signature is valid. The path is not decoded: no key needs
    /// percent-encoding, so each has exactly one URL.
    fn signed_key(&self, path: &str) -> Option<ObjectKey> {
        let (signature, key) = path.strip_prefix(PREFIX)?.split_once('/')?;
        let key = ObjectKey::parse(key).ok()?;
        let secrets = &self.settings.direct.secrets;
        signed::has_signed_key(secrets, &key, signature).then_some(key)
    }

    async fn redirect(
        &self,
        key: &ObjectKey,
        process: Option<&str>,
        request: Request,
    ) -> Result<Response, Error> {
        let (parts, _) = request.into_parts();
        let Settings::Signed { life } = self.settings.read else {
            return Err(Error::NotFound);
        };
        let credentials = Arrival::from_parts(&parts).credentials.clone();
        let session = self.store.session(credentials, None)?;
        let signer = session.read_signer(life).await?.ok_or(Error::NotFound)?;
        let SignedRead { url, same_for, .. } = signer.sign(Read {
            key,
            is_head: parts.method == Method::HEAD,
            process,
        });
        let max_age = same_for.min(MAX_AGE).as_secs();
        let headers: [(HeaderName, String); 2] = [
            (LOCATION, url),
            (CACHE_CONTROL, format!("private, max-age={max_age}")),
        ];
        Ok((StatusCode::FOUND, headers).into_response())
    }
}

/// Returns the requested OSS processing, if it is allowed.
fn process(query: Option<&str>) -> Result<Option<String>, Error> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let mut values = pairs.filter(|(name, _)| name == PROCESS);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some((_, value)), None) if is_harmless(&value) => Ok(Some(value.into_owned())),
        _ => Err(Error::ParameterInvalid { name: PROCESS }),
    }
}

/// Whether it only changes how an image looks, or takes a snapshot of a video.
fn is_harmless(process: &str) -> bool {
    let are_image_actions = |actions: &str| {
        actions.split('/').all(|action| {
            let (name, parameters) = name_and_parameters(action);
            IMAGE_ACTIONS.split(' ').any(|action| action == name) && parameters
        })
    };
    process.len() <= MAX_PROCESS_BYTES
        && match process.strip_prefix("image/") {
            Some(actions) => are_image_actions(actions),
            None => name_and_parameters(process) == ("video/snapshot", true),
        }
}

/// Returns the name of an action, and whether its parameters are plain words.
fn name_and_parameters(action: &str) -> (&str, bool) {
    let is_word = |word: &str| {
        let mut bytes = word.bytes();
        !word.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    match action.split_once(',') {
        None => (action, true),
        Some((name, parameters)) => (name, parameters.split(',').all(is_word)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_a_picture_is_passed_on() {
        for harmless in [
            "image/resize,w_200",
            "image/resize,m_lfit,w_200,h_200/quality,q_80/format,webp",
            "image/auto-orient,1/rounded-corners,r_30",
            "image/interlace,1",
            "image/resize",
            "video/snapshot,t_7000,f_jpg,w_800,h_600,m_fast",
        ] {
            assert!(is_harmless(harmless), "{harmless}");
            let encoded = harmless.replace('/', "%2F").replace(',', "%2C");
            for query in [
                format!("x-oss-process={harmless}"),
                format!("v=1&x-oss-process={encoded}&x-oss-traffic-limit=1"),
            ] {
                let passed = process(Some(&query)).expect("harmless");
                assert_eq!(passed.as_deref(), Some(harmless), "{query}");
            }
        }
        let other = Some("X-Oss-Process=image/info");
        for query in [None, Some(""), Some("v=1"), other] {
            assert_eq!(process(query).expect("nothing"), None, "{query:?}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let long = format!("image/resize,w_{}", "1".repeat(242));
        assert_eq!(long.len(), 257);
        assert!(is_harmless(&long[..256]));
        let words = "image image/ image/info image/resize,w_1/info image/watermark,image_cGFuZGEucG5n \
                     image/resize,w_1|sys/saveas,o_eA image/resize,w_1/saveas image/resize,w_1&acl \
                     image/resize, image/resize,,w_1 image/resize,w_1/ image//resize \
                     image/Resize,w_1 image/resize,w_1?x image/resize,w_-1 image/resize,w_é \
                     video/info video/snapshot,t_1/resize,w_1 video/snapshots,t_1 \
                     video/convert,f_mp4 style/small sys/saveas,o_eA";
        let with_blanks = [
            "image/resize,w_1\n",
            "image/resize,w_1\r\nx: y",
            "image/resize w_1",
        ];
        for harmful in words.split(' ').chain(with_blanks).chain(["", &long]) {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair(PROCESS, harmful)
                .finish();
            let refused = process(Some(&query));
            let is_named = matches!(refused, Err(Error::ParameterInvalid { name: PROCESS }));
            assert!(is_named, "{harmful}");
        }
        let twice = "x-oss-process=image/resize,w_1&x-oss-process=image/info";
        assert!(process(Some(twice)).is_err());
    }
}
