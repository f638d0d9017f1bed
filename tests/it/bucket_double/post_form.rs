//! POST Object: parses a form that browsers and apps post to the bucket, verifies
//! its signature and enforces its policy.
//!
//! Not taken from `s3s`, since OSS's native form is needed as well as AWS's, and a
//! policy is only as good as the bucket that enforces it. Both clouds follow the
//! same rules, with two differences:
//!
//! - AWS refuses every field that no condition covers. OSS documents that only for
//!   the fields of its signature (error page 0006-00000228), so here it accepts
//!   all others, the worst case for the program under test.
//! - AWS takes the object's type from the field `Content-Type`. OSS prefers
//!   `x-oss-content-type`, then the Content-Type of the file's part.
//!
//! Not supported: signatures of version 2, `${filename}` in a key, OSS's callbacks and its conditions
//! `in` and `not-in`.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use futures_util::{TryStreamExt, stream};
use hmac::{Hmac, KeyInit, Mac};
use hyper::header::{CONTENT_TYPE, ETAG, LOCATION};
use hyper::{HeaderMap, Response};
use multer::Multipart;
use s3s::{Body, S3Error, S3Result, s3_error};
use serde_json::Value;
use sha2::Sha256;

use super::contents::{Contents, Object};
use super::refusal::{file_already_exists, refusal};
use super::{BUCKET, Dialect};

/// Most bytes in the fields before the file; AWS's limit.
const MAX_FIELDS_BYTES: usize = 20 * 1024;

/// How far in the future a form may have been signed.
const MAX_SKEW: TimeDelta = TimeDelta::minutes(15);

/// Lifetime of a signing key.
const MAX_AGE: TimeDelta = TimeDelta::days(7);

/// A parsed form; fields after the file are ignored.
#[derive(Default)]
pub(super) struct PostForm {
    /// By lower-case name, without `file`.
    fields: BTreeMap<String, String>,
    file: Bytes,
    file_type: Option<String>,
}

impl PostForm {
    pub(super) async fn read(headers: &HeaderMap, body: Bytes) -> S3Result<Self> {
        let content_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let boundary = multer::parse_boundary(content_type.unwrap_or_default());
        let boundary = boundary.map_err(|_| {
            let message = "Bucket POST must be of the enclosure-type multipart/form-data";
            s3_error!(PreconditionFailed, "{message}")
        })?;
        let mut parts = Multipart::new(stream::iter([Ok::<_, Infallible>(body)]), boundary);
        let mut form = Self::default();
        let mut size = 0;
        while let Some(part) = parts.next_field().await.map_err(malformed)? {
            let name = part.name().unwrap_or_default().to_ascii_lowercase();
            if name == "file" {
                form.file_type = part.content_type().map(ToString::to_string);
                let bytes: BytesMut = part.try_collect().await.map_err(malformed)?;
                form.file = bytes.freeze();
                return Ok(form);
            }
            let value = part.text().await.map_err(malformed)?;
            size += name.len() + value.len();
            if size > MAX_FIELDS_BYTES {
                let message = "Your POST request fields preceding the upload file were too large.";
                return Err(refusal(400, "MaxPostPreDataLengthExceeded", message));
            }
            if form.fields.insert(name.clone(), value).is_some() {
                return Err(s3_error!(InvalidArgument, "{name} is sent twice"));
            }
        }
        let message = "POST requires exactly one file upload per request.";
        Err(s3_error!(InvalidArgument, "{message}"))
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    fn required(&self, name: &str) -> S3Result<&str> {
        self.field(name).ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "Bucket POST must contain a field named '{name}'.  If it is specified, please \
                 check the order of the fields."
            )
        })
    }

    /// Checks whether the form may be stored in `bucket`.
    pub(super) fn check(&self, dialect: Dialect, bucket: &str, contents: &Contents) -> S3Result {
        if bucket != BUCKET {
            return Err(s3_error!(
                NoSuchBucket,
                "The specified bucket does not exist"
            ));
        }
        self.required("key")?;
        self.check_signature(dialect, contents)?;
        self.check_policy(dialect, bucket)
    }

    fn check_signature(&self, dialect: Dialect, contents: &Contents) -> S3Result {
        let terms = Terms::new(dialect);
        let named = |name: &str| format!("{}{name}", terms.prefix);
        if self.required(terms.version_field)? != terms.version {
            let (field, version) = (terms.version_field, terms.version);
            return Err(s3_error!(InvalidArgument, "{field} must be {version}"));
        }
        let credential = self.required(&named("credential"))?;
        let (key_id, day) = key_and_day(credential, &terms)?;
        check_date(self.required(&named("date"))?, day)?;
        let key = contents.key(key_id)?;
        if self.field(&named("security-token")) != key.session_token.as_deref() {
            let message = "The provided token is malformed or otherwise invalid.";
            return Err(refusal(403, terms.invalid_token, message));
        }
        let signed = sign(dialect, credential, &key.secret, self.required("policy")?);
        if self.required(&named("signature"))? != signed {
            let message = "The request signature we calculated does not match the signature you \
                           provided.";
            return Err(s3_error!(SignatureDoesNotMatch, "{message}"));
        }
        Ok(())
    }

    /// Checks the form against its signed policy.
    fn check_policy(&self, dialect: Dialect, bucket: &str) -> S3Result {
        let json = base64_simd::STANDARD.decode_to_vec(self.required("policy")?);
        let policy: Option<Value> = json.ok().and_then(|j| serde_json::from_slice(&j).ok());
        let policy = policy.ok_or_else(|| invalid_policy("Invalid JSON."))?;
        let expiration = policy["expiration"].as_str();
        let expiration = expiration.and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        let expiration = expiration.ok_or_else(|| invalid_policy("Invalid 'expiration' value."))?;
        let conditions = policy["conditions"].as_array();
        let conditions = conditions.ok_or_else(|| invalid_policy("Policy missing conditions."))?;
        let rules: Option<Vec<_>> = conditions.iter().map(Rule::parse).collect();
        let rules = rules.ok_or_else(|| invalid_policy("Invalid Condition."))?;
        if Utc::now() >= expiration {
            let message = "Invalid according to Policy: Policy expired.";
            return Err(s3_error!(AccessDenied, "{message}"));
        }
        let is_covered = |name: &str| rules.iter().any(|rule| rule.field() == Some(name));
        // The bucket counts as a field of the form.
        let names = self.fields.keys().map(String::as_str).chain(["bucket"]);
        let extra = names.filter(|name| needs_condition(dialect, name) && !is_covered(name));
        let extra: Vec<_> = extra.collect();
        if !extra.is_empty() {
            let names = extra.join(", ");
            let message = "Invalid according to Policy: Extra input fields";
            return Err(s3_error!(AccessDenied, "{message}: {names}"));
        }
        let mut rules = rules.iter().zip(conditions);
        rules.try_for_each(|(rule, text)| self.check_rule(rule, text, bucket))
    }

    fn check_rule(&self, rule: &Rule, text: &Value, bucket: &str) -> S3Result {
        let size = self.file.len() as u64;
        let sent = |field: &str| match field {
            "bucket" => Some(bucket),
            field => self.field(field),
        };
        let is_kept = match rule {
            Rule::SizeWithin(_, most) if size > *most => {
                let message = "Your proposed upload exceeds the maximum allowed size";
                return Err(s3_error!(EntityTooLarge, "{message}"));
            }
            Rule::SizeWithin(least, _) if size < *least => {
                let message = "Your proposed upload is smaller than the minimum allowed size";
                return Err(s3_error!(EntityTooSmall, "{message}"));
            }
            Rule::SizeWithin(..) => true,
            Rule::Is(field, wanted) => sent(field) == Some(wanted),
            Rule::Begins(field, prefix) => sent(field).is_some_and(|it| it.starts_with(prefix)),
        };
        let message = "Invalid according to Policy: Policy Condition failed";
        let failed = || s3_error!(AccessDenied, "{message}: {text}");
        is_kept.then_some(()).ok_or_else(failed)
    }

    /// Stores the form's file; call [`Self::check`] first.
    pub(super) fn store(
        &self,
        dialect: Dialect,
        contents: &mut Contents,
    ) -> S3Result<Response<Body>> {
        let key = self.required("key")?;
        match self.field("x-oss-forbid-overwrite") {
            Some("true") if dialect == Dialect::Oss && contents.objects().contains_key(key) => {
                return Err(file_already_exists());
            }
            Some("true" | "false") | None => {}
            Some(_) => return Err(s3_error!(InvalidArgument, "x-oss-forbid-overwrite")),
        }
        let etag = contents.put(key.to_owned(), self.object(dialect));
        Ok(self.response(key, &etag))
    }

    fn object(&self, dialect: Dialect) -> Object {
        let owned = |name: &str| self.field(name).map(str::to_owned);
        let (acl, content_type, meta) = match dialect {
            Dialect::S3 => (owned("acl"), owned("content-type"), "x-amz-meta-"),
            Dialect::Oss => {
                let declared = owned("x-oss-content-type").or(self.file_type.clone());
                let declared = declared.or(owned("content-type"));
                (owned("x-oss-object-acl"), declared, "x-oss-meta-")
            }
        };
        let unknown = || "binary/octet-stream".to_owned();
        let metadata = self.fields.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix(meta)?;
            Some((name.to_owned(), value.clone()))
        });
        Object {
            bytes: self.file.clone(),
            content_type: Some(content_type.unwrap_or_else(unknown)),
            content_disposition: owned("content-disposition"),
            cache_control: owned("cache-control"),
            metadata: metadata.collect(),
            acl,
            etag: String::new(),
        }
    }

    /// Builds the response to a stored form.
    fn response(&self, key: &str, etag: &str) -> Response<Body> {
        let response = Response::builder().header(ETAG, format!("\"{etag}\""));
        let redirect = self.field("success_action_redirect");
        let response = match (redirect, self.field("success_action_status")) {
            (Some(page), _) => {
                let page = format!("{page}?bucket={BUCKET}&key={key}");
                response.status(303).header(LOCATION, page)
            }
            (None, Some("200")) => response.status(200),
            (None, Some("201")) => response.status(201),
            (None, _) => response.status(204),
        };
        let response = response.body(Body::empty());
        response.expect("tests redirect to valid addresses")
    }
}

/// A dialect's names for the parts of its signature.
struct Terms {
    prefix: &'static str,
    version_field: &'static str,
    version: &'static str,
    secret_prefix: &'static str,
    /// The end of a credential: service and terminator.
    scope: &'static str,
    invalid_token: &'static str,
}

impl Terms {
    fn new(dialect: Dialect) -> Self {
        match dialect {
            Dialect::S3 => Self {
                prefix: "x-amz-",
                version_field: "x-amz-algorithm",
                version: "AWS4-HMAC-SHA256",
                secret_prefix: "AWS4",
                scope: "s3/aws4_request",
                invalid_token: "InvalidToken",
            },
            Dialect::Oss => Self {
                prefix: "x-oss-",
                version_field: "x-oss-signature-version",
                version: "OSS4-HMAC-SHA256",
                secret_prefix: "aliyun_v4",
                scope: "oss/aliyun_v4_request",
                // Also for a temporary key without its token, which is then unknown.
                invalid_token: "InvalidAccessKeyId",
            },
        }
    }
}

/// Returns key id and day of a credential.
fn key_and_day<'c>(credential: &'c str, terms: &Terms) -> S3Result<(&'c str, &'c str)> {
    let parts: Vec<_> = credential.splitn(4, '/').collect();
    match *parts {
        // OSS: `cn-hangzhou`, unlike its host names.
        [key_id, day, region, scope]
            if scope == terms.scope && !region.is_empty() && !region.starts_with("oss-") =>
        {
            Ok((key_id, day))
        }
        _ => Err(s3_error!(InvalidArgument, "the credential {credential}")),
    }
}

/// Signs a policy; the signing key is derived from all parts of the credential but the key id.
pub(super) fn sign(dialect: Dialect, credential: &str, secret: &str, policy: &str) -> String {
    let secret = format!("{}{secret}", Terms::new(dialect).secret_prefix);
    let steps = credential.split('/').skip(1);
    let key = steps.fold(secret.into_bytes(), |key, step| mac(&key, step));
    let signature = mac(&key, policy);
    signature.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn check_date(date: &str, day: &str) -> S3Result {
    let at = NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ");
    let at = at.map_err(|_| s3_error!(InvalidArgument, "the date {date}"))?;
    if at.format("%Y%m%d").to_string() != day {
        return Err(s3_error!(InvalidArgument, "{date} is not {day}"));
    }
    let age = Utc::now() - at.and_utc();
    if age < -MAX_SKEW || age > MAX_AGE {
        let message = "The difference between the request time and the current time is too large.";
        return Err(s3_error!(RequestTimeTooSkewed, "{message}"));
    }
    Ok(())
}

/// A condition of a policy; fields are in lower case.
enum Rule {
    Is(String, String),
    Begins(String, String),
    SizeWithin(u64, u64),
}

fn needs_condition(dialect: Dialect, field: &str) -> bool {
    match dialect {
        Dialect::S3 => {
            !matches!(field, "policy" | "x-amz-signature" | "submit")
                && !field.starts_with("x-ignore-")
        }
        Dialect::Oss => matches!(
            field,
            "bucket"
                | "x-oss-signature-version"
                | "x-oss-credential"
                | "x-oss-date"
                | "x-oss-security-token"
        ),
    }
}

impl Rule {
    fn parse(condition: &Value) -> Option<Self> {
        let words = match condition {
            Value::Object(pair) if pair.len() == 1 => {
                let (field, wanted) = pair.iter().next()?;
                let wanted = wanted.as_str()?.to_owned();
                return Some(Self::Is(field.to_ascii_lowercase(), wanted));
            }
            condition => condition.as_array()?,
        };
        let [kind, first, second] = words.as_slice() else {
            return None;
        };
        let kind = kind.as_str()?.to_ascii_lowercase();
        if kind == "content-length-range" {
            return Some(Self::SizeWithin(first.as_u64()?, second.as_u64()?));
        }
        let field = first.as_str()?.strip_prefix('$')?.to_ascii_lowercase();
        let wanted = second.as_str()?.to_owned();
        match kind.as_str() {
            "eq" => Some(Self::Is(field, wanted)),
            "starts-with" => Some(Self::Begins(field, wanted)),
            _ => None,
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::Is(field, _) | Self::Begins(field, _) => Some(field),
            Self::SizeWithin(..) => None,
        }
    }
}

fn malformed(_: multer::Error) -> S3Error {
    let message = "The body of your POST request is not well-formed multipart/form-data.";
    s3_error!(MalformedPOSTRequest, "{message}")
}

fn invalid_policy(what: &str) -> S3Error {
    s3_error!(InvalidPolicyDocument, "Invalid Policy: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks against the clouds' samples for id `ak`, secret `sk`, token `token`.
    #[test]
    fn signatures_are_those_of_the_clouds_samples() {
        let oss = r#"{"expiration":"2023-12-16T17:20:57.000Z","conditions":[{"bucket":"examplebucket"},{"x-oss-signature-version":"OSS4-HMAC-SHA256"},{"x-oss-credential":"ak/20231216/cn-hangzhou/oss/aliyun_v4_request"},{"x-oss-date":"20231216T162057Z"},{"x-oss-security-token":"token"},["content-length-range",1,1048576],["starts-with","$key","images/20231216/"],["in","$content-type",["image/jpeg","image/png"]],["eq","$success_action_status","200"]]}"#;
        let s3 = r#"{"expiration":"2023-12-16T17:20:57.000Z","conditions":[{"bucket":"examplebucket"},{"x-amz-algorithm":"AWS4-HMAC-SHA256"},{"x-amz-credential":"ak/20231216/cn-hangzhou/s3/aws4_request"},{"x-amz-date":"20231216T162057Z"},{"x-amz-security-token":"token"},["content-length-range",1,1048576],["starts-with","$key","images/20231216/"]]}"#;
        let signed_oss = "6d108e7726c2a57643495d09d2bd775e8764509c13613c1fafde751bc851e409";
        let signed_s3 = "fbb3b188cff645226bfeb7cc601ba97f6492f0960c7418205f9782819eeb4d01";
        for (dialect, credential, policy, expected) in [
            (Dialect::Oss, "oss/aliyun_v4_request", oss, signed_oss),
            (Dialect::S3, "s3/aws4_request", s3, signed_s3),
        ] {
            let credential = format!("ak/20231216/cn-hangzhou/{credential}");
            let policy = base64_simd::STANDARD.encode_to_string(policy);
            assert_eq!(sign(dialect, &credential, "sk", &policy), expected);
        }
    }
}
