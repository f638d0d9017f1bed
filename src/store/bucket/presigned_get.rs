//! Presigned GET: a URL that lets its holder read one object of a private bucket for a limited time.
//!
//! The time of signing is rounded down to a *window* of half the URL's lifetime: all URLs of an object that
//! are signed within a window are equal, so a browser can use its cache, and each is valid for at least
//! half its lifetime.
//!
//! S3 uses Signature Version 4 in the query. OSS has its own version, which also covers `x-oss-process`:
//! <https://www.alibabacloud.com/help/en/oss/developer-reference/add-signatures-to-urls>.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use super::{
    Bucket, Dialect, Session,
    presigned_post::OSS4,
    sigv4::{SigningKey, Stamp, UNSIGNED_PAYLOAD, encoded_path, encoded_query, hex},
};
use crate::store::{Credentials, Error, ObjectKey};

/// Request to read one object.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    /// Key of the object.
    pub key: &'a ObjectKey,
    /// Whether the method is `HEAD`; a signature is for one method.
    pub is_head: bool,
    /// Processing of an image or a video by OSS (`x-oss-process`); other buckets ignore it.
    pub process: Option<&'a str>,
}

/// A presigned URL of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRead {
    /// The URL.
    pub url: String,
    /// Time of its expiration.
    pub expires_at: DateTime<Utc>,
    /// Time for which signing again returns an equal URL.
    pub same_for: Duration,
}

/// Signs URLs with the credentials of one request.
#[derive(Clone, Debug)]
pub struct ReadSigner {
    bucket: Bucket,
    credentials: Credentials,
    life: Duration,
}

impl Session {
    pub(in crate::store) async fn read_signer(&self, life: Duration) -> Result<ReadSigner, Error> {
        Ok(ReadSigner {
            bucket: self.bucket.clone(),
            credentials: self.credentials.current().await?,
            life,
        })
    }
}

impl ReadSigner {
    /// Signs a URL, which expires no later than the credentials.
    pub fn sign(&self, read: Read<'_>) -> SignedRead {
        let bucket = &self.bucket.0;
        let now = bucket.clock.now();
        let times = Times::new(now, self.life, self.credentials.expires_at());
        let stamp = Stamp::new(times.signed_at.into());
        let url = match bucket.settings.dialect {
            Dialect::S3 => {
                let (method, key) = (read.method(), read.key);
                bucket.presign(&self.credentials, &stamp, method, key, &[], times.life())
            }
            Dialect::Oss => {
                let name = &bucket.settings.bucket;
                let region = bucket.addresses.clients.region();
                let query = oss_query(name, region, &self.credentials, read, &stamp, times.life());
                let (base, path) = (&bucket.addresses.public_url, read.key.as_str());
                format!("{base}/{}?{query}", encoded_path(path))
            }
        };
        SignedRead {
            url,
            expires_at: times.expires_at,
            same_for: times.same_for,
        }
    }
}

impl Read<'_> {
    fn method(&self) -> &'static str {
        if self.is_head { "HEAD" } else { "GET" }
    }
}

/// Builds the query of an OSS URL, with the signature last. Signs no header, not even `Host`.
fn oss_query(
    bucket: &str,
    region: &str,
    credentials: &Credentials,
    read: Read<'_>,
    stamp: &Stamp,
    expires: Duration,
) -> String {
    let (version, algorithm) = OSS4.version;
    let credential = OSS4.credential_scope(region, credentials, stamp);
    let expires = expires.as_secs().to_string();
    let mut pairs = vec![
        (version, algorithm),
        (OSS4.credential, &credential),
        (OSS4.date, stamp.as_str()),
        ("x-oss-expires", &expires),
    ];
    let token = credentials.session_token();
    pairs.extend(token.map(|token| (OSS4.security_token, token)));
    pairs.extend(read.process.map(|process| ("x-oss-process", process)));
    let query = encoded_query(&pairs);

    let (method, path) = (read.method(), encoded_path(read.key.as_str()));
    let no_headers = "\n";
    let request = format!("{method}\n/{bucket}/{path}\n{query}\n{no_headers}\n{UNSIGNED_PAYLOAD}");
    let request = hex(&Sha256::digest(request));
    let (_, scope) = credential.split_once('/').unwrap_or_default();
    let text = format!("{algorithm}\n{}\n{scope}\n{request}", stamp.as_str());
    let key = OSS4.signing_key(credentials.secret(), stamp.date(), region);
    let signature = SigningKey::from_bytes(&key).sign(&text);
    format!("{query}&{}={signature}", OSS4.signature)
}

/// Times of signing and expiration of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    signed_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    same_for: Duration,
}

impl Times {
    /// Computes the times in whole seconds, the resolution of signatures.
    fn new(now: SystemTime, life: Duration, credentials_end: Option<SystemTime>) -> Self {
        let seconds = |moment: SystemTime| DateTime::<Utc>::from(moment).timestamp();
        let now = seconds(now);
        let life = i64::try_from(life.as_secs()).unwrap_or(i64::MAX);
        let window = (life / 2).max(1);
        let signed_at = now - now.rem_euclid(window);
        let end = credentials_end.map_or(i64::MAX, seconds);
        let expires_at = signed_at.saturating_add(life).min(end).max(signed_at + 1);
        let same_until = (signed_at + window).min(expires_at);
        let moment = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or_default();
        Self {
            signed_at: moment(signed_at),
            expires_at: moment(expires_at),
            same_for: Duration::from_secs(u64::try_from(same_until - now).unwrap_or(0)),
        }
    }

    fn life(self) -> Duration {
        let life = self.expires_at - self.signed_at;
        life.to_std().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::bucket::{Settings, fixture};

    const KEY: &str = "images/20250417/1744866732481_20f90b51544f.png";
    const LIFE: Duration = Duration::from_secs(7200);

    fn read<'a>(key: &'a ObjectKey, method: &str, process: Option<&'a str>) -> Read<'a> {
        Read {
            key,
            is_head: method == "HEAD",
            process,
        }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn credentials(token: Option<&str>) -> Credentials {
        Credentials::new("ak", "sk", token.map(str::to_owned)).expect("credentials")
    }

    /// 16 December 2023, 16:20:57.
    fn example_stamp() -> Stamp {
        Stamp::new(at(1_702_743_657))
    }

    #[test]
    fn an_address_of_oss_has_the_signature_alibabacloud_oss_v2_makes() {
        let (token, process) = (Some("token+/="), Some("image/resize,w_200/format,webp"));
        let get_signature = "33d5b79491fd374372f0f5ceb8cba7ba29d622f958e9729e7809966b458719b6";
        let head_signature = "bd19663da5c1752426cdc77d2c6f701f5cef64ff9b118efa29e81a336de0b222";
        let with_token = "5787c991ceea4b0cd06976d7a61648b4146771ca851893a9344337e1c59bed04";
        let processed = "a820e5f5652e57cebd6c7970c1b13746b39a84b99c8bbe593afbeb83b8658ca1";
        for (method, token, process, signature) in [
            ("GET", None, None, get_signature),
            ("HEAD", None, None, head_signature),
            ("GET", token, None, with_token),
            ("GET", token, process, processed),
        ] {
            let key = fixture::key(KEY);
            let (read, credentials) = (read(&key, method, process), credentials(token));
            let (region, stamp) = ("cn-hangzhou", example_stamp());
            let query = oss_query("my-bucket", region, &credentials, read, &stamp, LIFE);
            let process = "&x-oss-process=image%2Fresize%2Cw_200%2Fformat%2Cwebp";
            let process = read.process.map_or("", |_| process);
            let token = token.map_or("", |_| "&x-oss-security-token=token%2B%2F%3D");
            let expected = format!(
                "x-oss-credential=ak%2F20231216%2Fcn-hangzhou%2Foss%2Faliyun_v4_request\
                 &x-oss-date=20231216T162057Z&x-oss-expires=7200{process}{token}\
                 &x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-signature={signature}"
            );
            assert_eq!(query, expected);
        }
    }

    async fn signer(dialect: Dialect, endpoint: Option<&str>, token: Option<&str>) -> ReadSigner {
        let bucket = Bucket::new(Settings {
            dialect,
            bucket: "my-bucket".to_owned(),
            endpoint: endpoint.map(str::to_owned),
            path_style: false,
            ..fixture::settings("")
        });
        let session = bucket
            .expect("an address")
            .session(Some(credentials(token)), None)
            .expect("credentials");
        session.read_signer(LIFE).await.expect("credentials")
    }

    #[tokio::test]
    async fn an_address_of_s3_is_the_one_botocore_makes() {
        let get_signature = "1a61020e6ed904e1b8e659d5ad4f4b44d17e4cdfdc5750bdd6042b625344ad45";
        let head_signature = "fed25144c594363a9023ce9e650b243447eecf7d3f1b4fb00edcf7d83ede8ede";
        let with_token = "272ceb2957bc2e2a0654a8527a1970ced83a39fbbcc2e1042dae76df952ef862";
        for (method, token, signature) in [
            ("GET", None, get_signature),
            ("HEAD", None, head_signature),
            ("GET", Some("token+/="), with_token),
        ] {
            let signer = signer(Dialect::S3, None, token).await;
            let key = fixture::key(KEY);
            let (bucket, stamp) = (&signer.bucket.0, example_stamp());
            let url = bucket.presign(&signer.credentials, &stamp, method, &key, &[], LIFE);
            let token = token.map_or("", |_| "X-Amz-Security-Token=token%2B%2F%3D&");
            // botocore puts the token after the other names; S3 sorts them anyway.
            assert_eq!(
                url,
                format!(
                    "https://my-bucket.s3.eu-west-1.amazonaws.com/{KEY}?X-Amz-Algorithm=\
                     AWS4-HMAC-SHA256&X-Amz-Credential=ak%2F20231216%2Feu-west-1%2Fs3%2F\
                     aws4_request&X-Amz-Date=20231216T162057Z&X-Amz-Expires=7200&{token}\
                     X-Amz-SignedHeaders=host&X-Amz-Signature={signature}"
                )
            );
        }
    }

    #[tokio::test]
    async fn readers_of_oss_are_sent_to_its_own_public_host() {
        let internal = "https://s3.oss-cn-hangzhou-internal.aliyuncs.com";
        let signer = signer(Dialect::Oss, Some(internal), None).await;
        let key = fixture::key(KEY);
        let SignedRead { url, .. } = signer.sign(read(&key, "GET", None));
        let start = format!("https://my-bucket.oss-eu-west-1.aliyuncs.com/{KEY}?x-oss-credential=");
        assert!(url.starts_with(&start), "{url}");
    }

    #[test]
    fn within_a_window_everything_is_signed_at_its_start() {
        let start = 1_744_866_000;
        assert_eq!(start % 3600, 0);
        let moments = |times: Times| {
            let [signed_at, expires_at] =
                [times.signed_at, times.expires_at].map(|moment| moment.timestamp());
            (signed_at, expires_at, times.same_for.as_secs())
        };
        for (after, signed_at, same_for) in [
            (0, start, 3600),
            (1, start, 3599),
            (3599, start, 1),
            (3600, start + 3600, 3600),
        ] {
            let times = Times::new(at(start + after), LIFE, None);
            let signed_at = i64::try_from(signed_at).expect("in range");
            assert_eq!(moments(times), (signed_at, signed_at + 7200, same_for));
            assert_eq!(times.life(), LIFE);
        }
        for (life, now, expected) in [
            (2, 1000, (1000, 1002, 1)),
            (3, 1000, (1000, 1003, 1)),
            (5, 1001, (1000, 1005, 1)),
            (604_800, 302_399, (0, 604_800, 1)),
        ] {
            let times = Times::new(at(now), Duration::from_secs(life), None);
            assert_eq!(moments(times), expected, "{life}");
        }
    }

    #[test]
    fn an_address_ends_with_the_credentials_that_signed_it() {
        let start = 1_744_866_000;
        for (end, life, same_for) in [
            (start + 9000, 7200, 3500),
            (start + 5000, 5000, 3500),
            (start + 300, 300, 200),
            (start + 100, 100, 0),
            // Does not happen, since such credentials are refreshed.
            (start + 10, 10, 0),
            (start - 10, 1, 0),
        ] {
            let times = Times::new(at(start + 100), LIFE, Some(at(end)));
            assert_eq!(times.life(), Duration::from_secs(life), "{end}");
            assert_eq!(times.same_for, Duration::from_secs(same_for), "{end}");
        }
    }
}
