//! Signature Version 4 for S3, in a header or in the query of a URL (`presigned_post.rs` signs forms).
//! Uses no environment, clock or network.
//!
//! "AWS Signature Version 4 for API requests" of the IAM User Guide, and "Authenticating Requests"
//! of the S3 API Reference: paths are encoded once and not normalized.

use std::{
    fmt::{self, Write as _},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use crate::store::Credentials;

/// Name of the signing algorithm, in headers, queries and policies.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Placeholder for the hash of a body that is not signed.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// Service name in the credential scope.
const S3: &str = "s3";
/// Termination string of the credential scope.
const TERMINATOR: &str = "aws4_request";

/// Bytes to encode in a query: all except unreserved ones (RFC 3986).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
/// Bytes to encode in a path.
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// Timestamp in the format of signatures: `20130524T000000Z`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(String);

impl Stamp {
    /// Formats a time in UTC, with whole seconds.
    pub fn new(time: SystemTime) -> Self {
        let time = DateTime::<Utc>::from(time);
        Self(time.format("%Y%m%dT%H%M%SZ").to_string())
    }

    /// `20130524T000000Z`
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `20130524`
    pub fn date(&self) -> &str {
        self.0.get(..8).unwrap_or_default()
    }
}

/// Signing key for one day, region and service. `Debug` hides it.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(hidden)")
    }
}

impl SigningKey {
    /// Derives the key from a secret access key; `date` is `YYYYMMDD`.
    pub fn derive(secret: &str, date: &str, region: &str, service: &str) -> Self {
        Self::from_bytes(&derive("AWS4", secret, [date, region, service, TERMINATOR]))
    }

    /// Signs a text; returns the signature in hex.
    pub fn sign(&self, text: &str) -> String {
        hex(&self.mac(text))
    }

    pub(super) fn from_bytes(key: &[u8]) -> Self {
        // HMAC takes keys of any length.
        Self(Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default())))
    }

    fn mac(&self, text: &str) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// Derives a signing key by repeated HMAC from the prefixed secret, as both clouds do.
pub(super) fn derive(prefix: &str, secret: &str, words: [&str; 4]) -> [u8; 32] {
    let [date, scope @ ..] = words;
    let date_key = SigningKey::from_bytes(format!("{prefix}{secret}").as_bytes()).mac(date);
    scope
        .iter()
        .fold(date_key, |key, word| SigningKey::from_bytes(&key).mac(word))
}

/// Caches the latest signing key with its secret, date and region: deriving one costs more than a
/// signature, and it is valid for a day.
#[derive(Default)]
pub(super) struct SigningKeys(Mutex<Option<([String; 3], SigningKey)>>);

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKeys(hidden)")
    }
}

impl SigningKeys {
    /// Returns the key for a day and a region.
    pub(super) fn key(&self, credentials: &Credentials, region: &str, stamp: &Stamp) -> SigningKey {
        let wanted = [credentials.secret(), stamp.date(), region];
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((derived_from, key)) = &*last
            && *derived_from == wanted
        {
            return key.clone();
        }
        let [secret, date, region] = wanted;
        let key = SigningKey::derive(secret, date, region, S3);
        *last = Some((wanted.map(str::to_owned), key.clone()));
        key
    }
}

/// Signs with these credentials, for this time and region.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// Their key id is part of the credential.
    pub credentials: &'a Credentials,
    /// Derived from their secret for the day of `stamp`.
    pub key: &'a SigningKey,
    /// Region of the bucket.
    pub region: &'a str,
    /// Time of the signature.
    pub stamp: &'a Stamp,
}

/// The parts of a request that a signature covers.
#[derive(Clone, Copy, Debug)]
pub struct Signable<'a, H> {
    /// `GET`, `PUT`, …
    pub method: &'a str,
    /// Encoded path, see [`encoded_path`].
    pub path: &'a str,
    /// Encoded and sorted query, see [`encoded_query`].
    pub query: &'a str,
    /// Lower-case names and values, sorted by name, including `host`.
    pub headers: H,
    /// SHA-256 of the body in hex, or [`UNSIGNED_PAYLOAD`].
    pub payload: &'a str,
}

impl<'a> Signer<'a> {
    /// Credential scope: `20130524/us-east-1/s3/aws4_request`.
    pub fn scope(&self) -> String {
        format!("{}/{}/{S3}/{TERMINATOR}", self.stamp.date(), self.region)
    }

    /// Returns the value of the `Authorization` header.
    pub fn authorization<'h, H>(&self, request: &Signable<'_, H>) -> String
    where
        H: Iterator<Item = (&'h str, &'h [u8])> + Clone,
    {
        let scope = self.scope();
        let signature = self.signature(request, &scope);
        let mut value = String::with_capacity(400);
        let _ = write!(
            value,
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders=",
            self.credentials.key_id()
        );
        for (index, (name, _)) in request.headers.clone().enumerate() {
            if index > 0 {
                value.push(';');
            }
            value.push_str(name);
        }
        value.push_str(", Signature=");
        value.push_str(&signature);
        value
    }

    fn signature<'h, H>(&self, request: &Signable<'_, H>, scope: &str) -> String
    where
        H: Iterator<Item = (&'h str, &'h [u8])> + Clone,
    {
        let request = hex(&request.hash());
        let stamp = self.stamp.as_str();
        self.key
            .sign(&format!("{ALGORITHM}\n{stamp}\n{scope}\n{request}"))
    }
}

impl<'h, H> Signable<'_, H>
where
    H: Iterator<Item = (&'h str, &'h [u8])> + Clone,
{
    /// SHA-256 of the canonical request, without building it in memory.
    fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for line in [self.method, self.path, self.query] {
            hash.update(line);
            hash.update("\n");
        }
        for (name, value) in self.headers.clone() {
            hash.update(name);
            hash.update(":");
            hash.update(value.trim_ascii());
            hash.update("\n");
        }
        for (index, (name, _)) in self.headers.clone().enumerate() {
            hash.update(if index == 0 { "\n" } else { ";" });
            hash.update(name);
        }
        hash.update("\n");
        hash.update(self.payload);
        hash.finalize().into()
    }
}

/// Parameters of a presigned URL, which permits one kind of request.
#[derive(Clone, Copy, Debug)]
pub struct PresignedUrl<'a> {
    /// `GET`, `PUT`, …
    pub method: &'a str,
    /// `https` or `http`
    pub scheme: &'a str,
    /// Host, with the port unless it is the scheme's default.
    pub host: &'a str,
    /// Encoded path, see [`encoded_path`].
    pub path: &'a str,
    /// Names and values, not encoded.
    pub query: &'a [(&'a str, &'a str)],
    /// Validity of the URL, at most seven days.
    pub expires: Duration,
}

impl Signer<'_> {
    /// Returns the signed URL. The signature covers the `Host` header alone and not the body.
    pub fn presign(&self, request: PresignedUrl<'_>) -> String {
        let scope = self.scope();
        let credential = format!("{}/{scope}", self.credentials.key_id());
        let expires = request.expires.as_secs().to_string();
        let mut pairs = vec![
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", self.stamp.as_str()),
            ("X-Amz-Expires", &expires),
            ("X-Amz-SignedHeaders", "host"),
        ];
        let token = self.credentials.session_token();
        pairs.extend(token.map(|token| ("X-Amz-Security-Token", token)));
        pairs.extend_from_slice(request.query);
        let query = encoded_query(&pairs);
        let signable = Signable {
            method: request.method,
            path: request.path,
            query: &query,
            headers: [("host", request.host.as_bytes())].into_iter(),
            payload: UNSIGNED_PAYLOAD,
        };
        let signature = self.signature(&signable, &scope);
        let (scheme, host, path) = (request.scheme, request.host, request.path);
        format!("{scheme}://{host}{path}?{query}&X-Amz-Signature={signature}")
    }
}

/// Percent-encodes a path, except slashes.
pub fn encoded_path(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

/// Percent-encodes a query and sorts it, as signatures require.
pub fn encoded_query(pairs: &[(&str, &str)]) -> String {
    let mut encoded: Vec<_> = pairs
        .iter()
        .map(|(name, value)| {
            let name = utf8_percent_encode(name, QUERY).to_string();
            (name, utf8_percent_encode(value, QUERY).to_string())
        })
        .collect();
    encoded.sort_unstable();
    let encoded = encoded.into_iter().map(|(name, value)| name + "=" + &value);
    encoded.collect::<Vec<_>>().join("&")
}

/// Encodes bytes as lower-case hex.
pub(in crate::store) fn hex(bytes: &[u8]) -> String {
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = halves.filter_map(|half| char::from_digit(u32::from(half), 16));
    let mut text = String::with_capacity(2 * bytes.len());
    text.extend(digits);
    text
}

#[cfg(test)]
mod tests {
    use aws_sigv4::{
        http_request::{
            PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest,
            SignatureLocation, SigningSettings, UriPathNormalizationMode, sign,
        },
        sign::v4,
    };
    use proptest::prelude::*;

    use super::*;

    /// Signs at the time of AWS's examples.
    fn signed<T>(credentials: &Credentials, region: &str, sign: impl Fn(Signer<'_>) -> T) -> T {
        let stamp = &Stamp::new(example_time());
        let key = &SigningKey::derive(credentials.secret(), stamp.date(), region, S3);
        sign(Signer {
            credentials,
            key,
            region,
            stamp,
        })
    }

    /// Access key of AWS's examples.
    fn example_credentials() -> Credentials {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        Credentials::new("AKIAIOSFODNN7EXAMPLE", secret, None).expect("credentials")
    }

    /// 24 May 2013, midnight.
    fn example_time() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600)
    }

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// Signs for the region of the examples, with the headers that all of them have.
    fn authorization(request: &str, headers: &[(&str, &str)], payload: &str) -> String {
        let (method, target) = request.split_once(' ').expect("a request");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = headers.to_vec();
        headers.push(("host", "examplebucket.s3.amazonaws.com"));
        headers.push(("x-amz-content-sha256", payload));
        headers.push(("x-amz-date", "20130524T000000Z"));
        headers.sort_unstable();
        let signable = Signable {
            method,
            path,
            query,
            headers: headers.iter().map(|(n, v)| (*n, v.as_bytes())),
            payload,
        };
        signed(&example_credentials(), "us-east-1", |signer| {
            signer.authorization(&signable)
        })
    }

    #[test]
    fn the_examples_of_the_s3_api_reference_get_their_signatures() {
        let put = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        let range = &[("range", "bytes=0-9")];
        let reduced = &[
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ];
        let get_signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        let put_signature = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd";
        let rules_signature = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543";
        let list_signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
        for (request, headers, payload, signature) in [
            ("GET /test.txt", &range[..], EMPTY, get_signature),
            ("PUT /test%24file.text", reduced, put, put_signature),
            ("GET /?lifecycle=", &[], EMPTY, rules_signature),
            ("GET /?max-keys=2&prefix=J", &[], EMPTY, list_signature),
        ] {
            let value = authorization(request, headers, payload);
            let end = format!("Signature={signature}");
            assert!(value.ends_with(&end), "{value}");
        }
        assert_eq!(
            authorization("GET /test.txt", range, EMPTY),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
    }

    #[test]
    fn the_example_of_a_presigned_url_gets_its_signature() {
        let request = PresignedUrl {
            method: "GET",
            scheme: "https",
            host: "examplebucket.s3.amazonaws.com",
            path: "/test.txt",
            query: &[],
            expires: Duration::from_secs(86_400),
        };
        assert_eq!(
            signed(&example_credentials(), "us-east-1", |signer| signer
                .presign(request)),
            "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    #[test]
    fn the_example_of_the_iam_user_guide_gets_its_signature() {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let key = SigningKey::derive(secret, "20150830", "us-east-1", "iam");
        let text = "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n\
                    f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59";
        assert_eq!(
            key.sign(text),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    #[test]
    fn a_stamp_is_utc_in_whole_seconds() {
        for (secs, stamp) in [
            (0, "19700101T000000Z"),
            (1_369_353_600, "20130524T000000Z"),
            (1_744_866_732, "20250417T051212Z"),
            (4_102_444_799, "20991231T235959Z"),
        ] {
            let at = SystemTime::UNIX_EPOCH + Duration::from_millis(secs * 1000 + 999);
            assert_eq!(Stamp::new(at).as_str(), stamp);
        }
        assert_eq!(Stamp::new(example_time()).date(), "20130524");
    }

    #[test]
    fn a_key_is_derived_anew_for_another_day_or_secret_only() {
        let keys = SigningKeys::default();
        let another = Credentials::new("id", "another", None).expect("credentials");
        let day = Duration::from_secs(86_400);
        for (credentials, at) in [
            (example_credentials(), example_time()),
            (example_credentials(), example_time()),
            (example_credentials(), example_time() + day),
            (another.clone(), example_time() + day),
            (example_credentials(), example_time()),
        ] {
            let stamp = Stamp::new(at);
            let (secret, region) = (credentials.secret(), "us-east-1");
            let expected = SigningKey::derive(secret, stamp.date(), region, S3).sign("x");
            assert_eq!(keys.key(&credentials, region, &stamp).sign("x"), expected);
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let keys = SigningKeys::default();
        let stamp = Stamp::new(example_time());
        let key = keys.key(&example_credentials(), "us-east-1", &stamp);
        let shown = format!("{keys:?} {key:?}");
        assert_eq!(shown, "SigningKeys(hidden) SigningKey(hidden)");
    }

    /// Returns the SDK's `authorization` header, or the signature in its presigned URL if `expires` is set.
    fn oracle(
        credentials: &Credentials,
        (method, url, headers): (&str, &str, &[(&str, &str)]),
        expires: Option<Duration>,
    ) -> String {
        let identity = aws_credential_types::Credentials::new(
            credentials.key_id(),
            credentials.secret(),
            credentials.session_token().map(str::to_owned),
            None,
            "test",
        )
        .into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.expires_in = expires;
        let wanted = match expires {
            Some(_) => {
                settings.signature_location = SignatureLocation::QueryParams;
                settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
                "X-Amz-Signature"
            }
            None => {
                settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
                "authorization"
            }
        };
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("cn-hangzhou")
            .name(S3)
            .time(example_time())
            .settings(settings)
            .build()
            .expect("complete")
            .into();
        let body = SignableBody::UnsignedPayload;
        let request = SignableRequest::new(method, url, headers.iter().copied(), body);
        let signed = sign(request.expect("a request"), &params).expect("a signature");
        let (signed, _) = signed.into_parts();
        let (headers, query) = signed.into_parts();
        let headers = headers.iter().map(|h| (h.name(), h.value()));
        let mut all = headers.chain(query.iter().map(|(n, v)| (*n, v.as_ref())));
        let found = all.find(|(name, _)| *name == wanted);
        found.expect("signed").1.to_owned()
    }

    fn credentials() -> impl Strategy<Value = Credentials> {
        let token = prop::option::of("[A-Za-z0-9/+=]{1,200}");
        let parts = ("[A-Z0-9]{16,20}", "[A-Za-z0-9/+]{20,40}", token);
        parts.prop_map(|(id, secret, token)| {
            Credentials::new(id, secret, token).expect("credentials")
        })
    }

    fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
        prop::collection::btree_map("[a-zA-Z][a-zA-Z-]{0,11}", "\\PC{0,20}", 0..4)
            .prop_map(|pairs| pairs.into_iter().collect())
    }

    proptest! {
        #[test]
        fn presigned_urls_are_those_of_the_sdk(
            credentials in credentials(),
            key in "[ -~àé天]{1,40}",
            pairs in pairs(),
            secs in 1_u64..604_800,
        ) {
            let path = format!("/{}", encoded_path(&key));
            let query: Vec<_> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let expires = Duration::from_secs(secs);
            let host = "bucket.s3.oss-cn-hangzhou.aliyuncs.com";
            let request = PresignedUrl {
                method: "PUT", scheme: "https", host, path: &path, query: &query, expires,
            };
            let url = signed(&credentials, "cn-hangzhou", |signer| signer.presign(request));
            let plain = match encoded_query(&query) {
                query if query.is_empty() => format!("https://{host}{path}"),
                query => format!("https://{host}{path}?{query}"),
            };
            let signature = oracle(&credentials, ("PUT", &plain, &[]), Some(expires));
            prop_assert!(url.ends_with(&signature), "{url} against {signature}");
        }

        #[test]
        fn headers_are_signed_as_the_sdk_does(
            credentials in credentials(),
            key in "[ -~àé天]{1,40}",
            part in 1_u32..10_000,
            upload_id in "[A-Za-z0-9._/+=-]{1,80}",
            size in 1_u64..10_000_000,
        ) {
            let path = format!("/{}", encoded_path(&key));
            let part = part.to_string();
            let query = encoded_query(&[("partNumber", part.as_str()), ("uploadId", &upload_id)]);
            let host = "bucket.s3.cn-hangzhou.amazonaws.com.cn";
            let size = size.to_string();
            let url = format!("https://{host}{path}?{query}");
            let request = ("PUT", &*url, &[("content-length", &*size)][..]);
            let theirs = oracle(&credentials, request, None);
            let stamp = Stamp::new(example_time());
            let mut headers = vec![
                ("content-length", size.as_bytes()),
                ("host", host.as_bytes()),
                ("x-amz-content-sha256", UNSIGNED_PAYLOAD.as_bytes()),
                ("x-amz-date", stamp.as_str().as_bytes()),
            ];
            if let Some(token) = credentials.session_token() {
                headers.push(("x-amz-security-token", token.as_bytes()));
            }
            let signable = Signable {
                method: "PUT",
                path: &path,
                query: &query,
                headers: headers.iter().copied(),
                payload: UNSIGNED_PAYLOAD,
            };
            let ours = signed(&credentials, "cn-hangzhou", |signer| signer.authorization(&signable));
            prop_assert_eq!(ours, theirs);
        }
    }
}
