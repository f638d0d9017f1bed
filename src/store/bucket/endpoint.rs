//! Addresses of a bucket: host, path, region and public URL. The SDK's endpoint rules are evaluated once,
//! so that all addresses agree on partitions, path style, dots in names and endpoints with a path; OSS
//! has a separate host for clients.

use std::net::IpAddr;

use axum::http::{HeaderValue, Uri, uri::PathAndQuery};

use super::{Dialect, Settings, sdk, sigv4::encoded_path};
use crate::store::BoxError;

/// Addresses of a bucket for the function and for its clients.
#[derive(Debug)]
pub(super) struct Addresses {
    /// Address for the function's own calls.
    pub(super) own: Address,
    /// Address for the calls of clients, which are not in the function's network.
    pub(super) clients: Address,
    /// Base URL for reads and POST forms of clients, without a trailing slash.
    pub(super) public_url: String,
}

impl Addresses {
    pub(super) fn resolve(settings: &Settings) -> Result<Self, BoxError> {
        let endpoint = settings.endpoint.as_deref();
        let public = endpoint.map(|endpoint| {
            if is_aliyun(endpoint) {
                endpoint.replace("-internal.", ".")
            } else {
                endpoint.to_owned()
            }
        });
        let clients = Address::resolve(settings, public.as_deref())?;
        let public_url = match settings.dialect {
            // Its S3-compatible hosts accept no OSS forms and serve no anonymous reads.
            Dialect::Oss if endpoint.is_none_or(is_aliyun) => {
                let Settings { bucket, region, .. } = settings;
                format!("https://{bucket}.oss-{region}.aliyuncs.com")
            }
            Dialect::S3 | Dialect::Oss => clients.url(),
        };
        Ok(Self {
            own: Address::resolve(settings, endpoint)?,
            clients,
            public_url,
        })
    }
}

/// Returns OSS's S3-compatible endpoint; the internal one is for functions in the same region.
pub fn oss_endpoint(region: &str, internal: bool) -> String {
    let internal = if internal { "-internal" } else { "" };
    format!("https://s3.oss-{region}{internal}.aliyuncs.com")
}

fn is_aliyun(endpoint: &str) -> bool {
    endpoint.ends_with(".aliyuncs.com")
}

impl Settings {
    /// Base URL for readers, without a trailing slash.
    ///
    /// # Errors
    /// When it cannot be derived; a directory bucket (S3 Express) has none.
    pub fn public_url(&self) -> Result<String, BoxError> {
        Addresses::resolve(self).map(|addresses| addresses.public_url)
    }

    /// Base URLs for direct uploads of clients: of POST forms and of parts.
    ///
    /// # Errors
    /// Those of [`Settings::public_url`].
    pub fn upload_urls(&self) -> Result<[String; 2], BoxError> {
        Addresses::resolve(self).map(|addresses| [addresses.public_url, addresses.clients.url()])
    }
}

/// Host and path of a bucket, and the region in its signatures.
#[derive(Debug)]
pub(super) struct Address {
    /// URL of the bucket.
    base: Uri,
    /// `Host` header: without the default port of the scheme.
    host: HeaderValue,
    /// Empty, or with a leading and without a trailing slash.
    path: String,
    region: String,
}

impl Address {
    fn resolve(settings: &Settings, endpoint: Option<&str>) -> Result<Self, BoxError> {
        let (base, region) = sdk::resolve(settings, endpoint)?;
        Ok(Self {
            host: HeaderValue::try_from(host_header(&base)?)?,
            path: base.path().trim_end_matches('/').to_owned(),
            region,
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

    /// Returns the encoded path of an object, or of the bucket for an empty key.
    pub(super) fn object_path(&self, key: &str) -> String {
        format!("{}/{}", self.path, encoded_path(key))
    }

    /// Returns the URI of a path from [`Address::object_path`].
    pub(super) fn uri(&self, path: &str, query: &str) -> Result<Uri, axum::http::Error> {
        let path_and_query = match query {
            "" => PathAndQuery::try_from(path),
            _ => PathAndQuery::try_from(format!("{path}?{query}")),
        };
        let mut parts = self.base.clone().into_parts();
        parts.path_and_query = Some(path_and_query?);
        Ok(Uri::from_parts(parts)?)
    }

    /// The bucket's URL, without a trailing slash.
    fn url(&self) -> String {
        self.base.to_string().trim_end_matches('/').to_owned()
    }

    /// Whether requests use plain HTTP to another machine.
    pub(super) fn is_remote_plain_http(&self) -> bool {
        let host = self.base.host().unwrap_or_default();
        let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let is_loopback = match ip {
            Ok(ip) => ip.is_loopback(),
            // RFC 6761: names below `localhost` are loopback, too.
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        };
        self.scheme() == "http" && !is_loopback
    }
}

fn host_header(base: &Uri) -> Result<String, BoxError> {
    let host = base.host().ok_or("the endpoint has no host")?;
    Ok(match (base.port_u16(), base.scheme_str()) {
        (Some(443), Some("https")) | (Some(80), Some("http")) | (None, _) => host.to_owned(),
        (Some(port), _) => format!("{host}:{port}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::bucket::fixture;

    fn settings(
        dialect: Dialect,
        bucket: &str,
        endpoint: Option<&str>,
        path_style: bool,
    ) -> Settings {
        let region = match (dialect, bucket.ends_with("-cn")) {
            (Dialect::Oss, _) => "cn-hangzhou",
            (_, true) => "cn-north-1",
            (_, false) => "eu-west-1",
        };
        Settings {
            dialect,
            bucket: bucket.to_owned(),
            region: region.to_owned(),
            endpoint: endpoint.map(str::to_owned),
            path_style,
            ..fixture::settings("")
        }
    }

    /// S3 has one rule for objects, `url`, presigned URLs and POST forms; the certificate for `*.s3…`
    /// covers no name with dots.
    #[test]
    fn every_address_of_a_bucket_of_s3_has_the_same_host_and_path() {
        let amazon = None;
        let ireland = "s3.eu-west-1.amazonaws.com";
        let china = "chat-cn.s3.cn-north-1.amazonaws.com.cn";
        let own = Some("https://storage.example.com");
        let port = Some("https://storage.example.com:443/s3");
        let with_path = Some("https://storage.example.com/s3/");
        let local = Some("http://127.0.0.1:8333");
        for (bucket, endpoint, path_style, host, path) in [
            ("chat", amazon, false, "chat.s3.eu-west-1.amazonaws.com", ""),
            ("chat", amazon, true, ireland, "/chat"),
            ("chat-cn", amazon, false, china, ""),
            ("my.chat", amazon, false, ireland, "/my.chat"),
            ("my.chat", own, false, "storage.example.com", "/my.chat"),
            ("chat", local, true, "127.0.0.1:8333", "/chat"),
            ("chat", port, true, "storage.example.com:443", "/s3/chat"),
            ("chat", with_path, false, "chat.storage.example.com", "/s3"),
        ] {
            let settings = settings(Dialect::S3, bucket, endpoint, path_style);
            let addresses = Addresses::resolve(&settings).expect("addresses");
            let scheme = if endpoint == local { "http" } else { "https" };
            let url = format!("{scheme}://{host}{path}");
            let host = host.trim_end_matches(":443");
            for address in [&addresses.own, &addresses.clients] {
                let path = address.object_path("images/a.png");
                let uri = address.uri(&path, "x=1").expect("a URI");
                assert_eq!(uri.to_string(), format!("{url}/images/a.png?x=1"));
                assert_eq!(address.host(), host);
            }
            assert_eq!(addresses.public_url, url);
        }
    }

    #[test]
    fn oss_has_hosts_for_the_function_for_clients_parts_and_for_everything_else() {
        for host in [
            "s3.oss-cn-hangzhou-internal.aliyuncs.com",
            "s3.oss-cn-hangzhou.aliyuncs.com",
        ] {
            let endpoint = format!("https://{host}");
            let settings = settings(Dialect::Oss, "chat", Some(&endpoint), false);
            let addresses = Addresses::resolve(&settings).expect("addresses");
            assert_eq!(addresses.own.host(), &*format!("chat.{host}"));
            let clients = "chat.s3.oss-cn-hangzhou.aliyuncs.com";
            assert_eq!(addresses.clients.host(), clients);
            let url = "https://chat.oss-cn-hangzhou.aliyuncs.com";
            assert_eq!(addresses.public_url, url);
        }
    }

    #[test]
    fn a_bucket_that_needs_sessions_has_no_address() {
        let express = settings(Dialect::S3, "chat--euw1-az1--x-s3", None, false);
        assert!(express.public_url().is_err());
    }

    #[test]
    fn payloads_are_signed_only_where_others_could_change_them() {
        for (endpoint, expected) in [
            ("https://s3.oss-cn-hangzhou.aliyuncs.com", false),
            ("http://127.0.0.1:8333", false),
            ("http://[::1]:8333/", false),
            ("http://localhost:9000", false),
            ("http://minio:9000", true),
            ("http://10.0.0.5:9000/x", true),
            ("http://127.0.0.1.example.com", true),
            ("http://localhost.example.com", true),
        ] {
            for path_style in [true, false] {
                let settings = settings(Dialect::S3, "chat", Some(endpoint), path_style);
                let address = Addresses::resolve(&settings).expect("addresses").own;
                assert_eq!(address.is_remote_plain_http(), expected, "{endpoint}");
            }
        }
    }
}
