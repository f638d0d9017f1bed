//! Where the bucket is. The SDK's own rules are asked once, so that its calls and ours agree on
//! partitions, path style, dots in names and endpoints with a path.

use aws_sdk_s3::config::endpoint::{DefaultResolver, Endpoint, Params, ResolveEndpoint as _};
use axum::http::{HeaderValue, Uri, uri::PathAndQuery};

use super::{Settings, sigv4::encoded_path};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Host and path of a bucket, and the region its signatures name.
#[derive(Debug)]
pub(super) struct Address {
    /// Scheme and authority; its path is that of the bucket.
    base: Uri,
    /// The host as requests name it: without the port where that is the scheme's own.
    host: HeaderValue,
    /// Empty, or with a slash in front and none behind.
    path: String,
    region: String,
}

impl Address {
    /// Of the bucket behind `endpoint`, or behind AWS's own.
    pub(super) async fn of(settings: &Settings, endpoint: Option<&str>) -> Result<Self, BoxError> {
        let params = Params::builder()
            .bucket(&settings.bucket)
            .region(&settings.region)
            .set_endpoint(endpoint.map(as_a_folder))
            .force_path_style(settings.path_style)
            .build()?;
        let endpoint = DefaultResolver::new().resolve_endpoint(&params).await?;
        let region = signing_region(&endpoint)
            .ok_or("buckets of this kind want signatures that this program does not make")?;
        let base: Uri = endpoint.url().parse()?;
        Ok(Self {
            host: HeaderValue::try_from(host_of(&base)?)?,
            path: base.path().trim_end_matches('/').to_owned(),
            region: region.to_owned(),
            base,
        })
    }

    /// `https` or `http`
    pub(super) fn scheme(&self) -> &str {
        self.base.scheme_str().unwrap_or("https")
    }

    pub(super) fn host(&self) -> &HeaderValue {
        &self.host
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }

    /// The path of an object, encoded; of the bucket, when the key is empty.
    pub(super) fn path_of(&self, key: &str) -> String {
        format!("{}/{}", self.path, encoded_path(key))
    }

    /// What is asked for at a path of [`Address::path_of`].
    pub(super) fn uri(&self, path: &str, query: &str) -> Result<Uri, axum::http::Error> {
        let path_and_query = match query {
            "" => PathAndQuery::try_from(path),
            _ => PathAndQuery::try_from(format!("{path}?{query}")),
        };
        let mut parts = self.base.clone().into_parts();
        parts.path_and_query = Some(path_and_query?);
        Ok(Uri::from_parts(parts)?)
    }
}

/// The endpoint as the SDK's rules need it: they put a bucket's name right behind the path.
pub(super) fn as_a_folder(endpoint: &str) -> String {
    format!("{}/", endpoint.trim_end_matches('/'))
}

fn host_of(base: &Uri) -> Result<String, BoxError> {
    let host = base.host().ok_or("the endpoint has no host")?;
    Ok(match (base.port_u16(), base.scheme_str()) {
        (Some(443), Some("https")) | (Some(80), Some("http")) | (None, _) => host.to_owned(),
        (Some(port), _) => format!("{host}:{port}"),
    })
}

/// The region that signatures of Version 4 name. `None` when the bucket wants something else: a
/// directory bucket (S3 Express) wants a session first.
fn signing_region(endpoint: &Endpoint) -> Option<&str> {
    let mut schemes = endpoint.auth_schemes().iter();
    let sigv4 = schemes.find(|scheme| scheme.name() == "sigv4")?;
    sigv4.get("signingRegion")?.as_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::bucket::{Certificates, Dialect, Patience};

    async fn address(bucket: &str, endpoint: Option<&str>, path_style: bool) -> Option<Address> {
        let region = if bucket.ends_with("-cn") {
            "cn-north-1"
        } else {
            "eu-west-1"
        };
        let settings = Settings {
            dialect: Dialect::S3,
            bucket: bucket.to_owned(),
            region: region.to_owned(),
            endpoint: None,
            path_style,
            client_url: String::new(),
            client_endpoint: None,
            certificates: Certificates::default(),
            signer: None,
            patience: Patience::default(),
            one_copy_bytes: 0,
            memory_bytes: 0,
        };
        Address::of(&settings, endpoint).await.ok()
    }

    #[tokio::test]
    async fn an_object_is_where_the_sdk_would_look_for_it() {
        for (bucket, endpoint, path_style, host, uri) in [
            (
                "chat",
                None,
                false,
                "chat.s3.eu-west-1.amazonaws.com",
                "https://chat.s3.eu-west-1.amazonaws.com/images/a.png?x=1",
            ),
            (
                "chat",
                None,
                true,
                "s3.eu-west-1.amazonaws.com",
                "https://s3.eu-west-1.amazonaws.com/chat/images/a.png?x=1",
            ),
            (
                "chat-cn",
                None,
                false,
                "chat-cn.s3.cn-north-1.amazonaws.com.cn",
                "https://chat-cn.s3.cn-north-1.amazonaws.com.cn/images/a.png?x=1",
            ),
            // A certificate for *.s3… does not cover a name with dots.
            (
                "my.chat",
                None,
                false,
                "s3.eu-west-1.amazonaws.com",
                "https://s3.eu-west-1.amazonaws.com/my.chat/images/a.png?x=1",
            ),
            (
                "chat",
                Some("https://s3.oss-cn-hangzhou.aliyuncs.com"),
                false,
                "chat.s3.oss-cn-hangzhou.aliyuncs.com",
                "https://chat.s3.oss-cn-hangzhou.aliyuncs.com/images/a.png?x=1",
            ),
            (
                "chat",
                Some("http://127.0.0.1:8333"),
                true,
                "127.0.0.1:8333",
                "http://127.0.0.1:8333/chat/images/a.png?x=1",
            ),
            (
                "chat",
                Some("https://storage.example.com:443/s3"),
                true,
                "storage.example.com",
                "https://storage.example.com:443/s3/chat/images/a.png?x=1",
            ),
            (
                "chat",
                Some("https://storage.example.com/s3"),
                false,
                "chat.storage.example.com",
                "https://chat.storage.example.com/s3/images/a.png?x=1",
            ),
        ] {
            let address = address(bucket, endpoint, path_style).await;
            let address = address.expect("an address");
            assert_eq!(address.host(), host);
            let path = address.path_of("images/a.png");
            let there = address.uri(&path, "x=1").expect("a URI");
            assert_eq!(there.to_string(), uri);
        }
    }

    #[tokio::test]
    async fn a_bucket_that_wants_sessions_is_refused() {
        assert!(address("chat--euw1-az1--x-s3", None, false).await.is_none());
    }
}
