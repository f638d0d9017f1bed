//! Presigned POST: a signed form with which a client uploads one object directly to the bucket, under a
//! fixed key.
//!
//! Amazon's Signature Version 4 and that of OSS differ only in names and constants:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-UsingHTTPPOST.html>,
//! <https://www.alibabacloud.com/help/en/oss/developer-reference/postobject>.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use super::{
    Dialect, Session,
    sigv4::{self, SigningKey, Stamp},
};
use crate::store::{Credentials, Error, ObjectKey};

/// Conditions of a presigned POST.
#[derive(Clone, Copy, Debug)]
pub struct PostConditions<'a> {
    /// Key of the object.
    pub key: &'a ObjectKey,
    /// Largest file accepted, in bytes; the smallest has 1 byte.
    pub max_bytes: u64,
    /// Time of signing.
    pub now: DateTime<Utc>,
    /// Time of expiration, to the millisecond.
    pub expires_at: DateTime<Utc>,
}

/// A signed form.
#[derive(Clone, PartialEq, Eq)]
pub struct PresignedPost {
    /// URL to post it to.
    pub url: String,
    /// Fields in the order to send them, before the file.
    pub fields: Vec<(&'static str, String)>,
    /// Time of expiration.
    pub expires_at: DateTime<Utc>,
}

impl Session {
    /// Signs a form, which expires no later than the credentials.
    pub(in crate::store) async fn presign_post(
        &self,
        mut conditions: PostConditions<'_>,
    ) -> Result<PresignedPost, Error> {
        let bucket = &self.bucket.0;
        let credentials = self.credentials.current().await?;
        if let Some(end) = credentials.expires_at() {
            conditions.expires_at = conditions.expires_at.min(end.into());
        }
        let scheme = match bucket.settings.dialect {
            Dialect::S3 => &AWS4,
            Dialect::Oss => &OSS4,
        };
        let region = bucket.addresses.clients.region();
        Ok(PresignedPost {
            url: format!("{}/", bucket.addresses.public_url),
            fields: scheme.form(self.name(), region, &conditions, &credentials),
            expires_at: conditions.expires_at,
        })
    }
}

/// Field names and constants of a vendor's signature.
pub(super) struct Scheme {
    /// Field and value of the signature version.
    pub(super) version: (&'static str, &'static str),
    pub(super) credential: &'static str,
    pub(super) date: &'static str,
    pub(super) security_token: &'static str,
    pub(super) signature: &'static str,
    /// Prefix of the secret.
    secret_prefix: &'static str,
    service: &'static str,
    /// Termination string of the credential scope.
    terminator: &'static str,
    /// Fields and values that prevent overwriting and public access.
    guards: &'static [(&'static str, &'static str)],
}

const AWS4: Scheme = Scheme {
    version: ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
    credential: "x-amz-credential",
    date: "x-amz-date",
    security_token: "x-amz-security-token",
    signature: "x-amz-signature",
    secret_prefix: "AWS4",
    service: "s3",
    terminator: "aws4_request",
    // S3 has no field that prevents overwriting, and refuses fields that the policy does not contain.
    guards: &[],
};

pub(super) const OSS4: Scheme = Scheme {
    version: ("x-oss-signature-version", "OSS4-HMAC-SHA256"),
    credential: "x-oss-credential",
    date: "x-oss-date",
    security_token: "x-oss-security-token",
    signature: "x-oss-signature",
    secret_prefix: "aliyun_v4",
    service: "oss",
    terminator: "aliyun_v4_request",
    guards: &[
        ("x-oss-forbid-overwrite", "true"),
        // OSS accepts fields that the policy does not contain, and an object's ACL overrides the bucket's:
        // without this condition a client could make an unchecked file public.
        ("x-oss-object-acl", "private"),
    ],
};

impl Scheme {
    fn form(
        &self,
        bucket: &str,
        region: &str,
        conditions: &PostConditions<'_>,
        credentials: &Credentials,
    ) -> Vec<(&'static str, String)> {
        let stamp = Stamp::new(conditions.now.into());
        let mut fields = self.fields(region, credentials, &stamp);
        let policy = policy(bucket, conditions, &fields);
        let policy = base64_simd::STANDARD.encode_to_string(policy);
        let signature = self.sign(&policy, credentials.secret(), stamp.date(), region);
        fields.insert(0, ("key", conditions.key.to_string()));
        fields.push(("policy", policy));
        fields.push((self.signature, signature));
        fields
    }

    /// Fields with fixed values, except the key.
    fn fields(
        &self,
        region: &str,
        credentials: &Credentials,
        stamp: &Stamp,
    ) -> Vec<(&'static str, String)> {
        // Without it the response is 204, which `uni.uploadFile` takes for a failure.
        let mut fields = vec![("success_action_status", "200".to_owned())];
        let fixed = self.guards.iter().chain([&self.version]);
        fields.extend(fixed.map(|&(name, value)| (name, value.to_owned())));
        let scope = self.credential_scope(region, credentials, stamp);
        fields.push((self.credential, scope));
        fields.push((self.date, stamp.as_str().to_owned()));
        let token = credentials.session_token();
        fields.extend(token.map(|token| (self.security_token, token.to_owned())));
        fields
    }

    /// Access key id and credential scope: `ak/20231216/cn-hangzhou/oss/aliyun_v4_request`.
    pub(super) fn credential_scope(
        &self,
        region: &str,
        credentials: &Credentials,
        stamp: &Stamp,
    ) -> String {
        let (id, date) = (credentials.key_id(), stamp.date());
        format!("{id}/{date}/{region}/{}/{}", self.service, self.terminator)
    }

    /// Signs a policy, in lower-case hex; `date` is the day of the signing key.
    fn sign(&self, policy: &str, secret: &str, date: &str, region: &str) -> String {
        SigningKey::from_bytes(&self.signing_key(secret, date, region)).sign(policy)
    }

    pub(super) fn signing_key(&self, secret: &str, date: &str, region: &str) -> [u8; 32] {
        let words = [date, region, self.service, self.terminator];
        sigv4::derive(self.secret_prefix, secret, words)
    }
}

/// Builds the policy document, as JSON. S3 refuses a form with a field that it does not contain.
fn policy(bucket: &str, given: &PostConditions<'_>, fields: &[(&'static str, String)]) -> String {
    let mut conditions = vec![
        json!({"bucket": bucket}),
        json!(["eq", "$key", given.key.as_str()]),
        json!(["content-length-range", 1, given.max_bytes]),
    ];
    conditions.extend(fields.iter().map(|&(name, ref value)| json!({name: value})));
    let expiration = given
        .expires_at
        .to_rfc3339_opts(SecondsFormat::Millis, true);
    json!({"conditions": conditions, "expiration": expiration}).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{super::sigv4::hex, *};

    const KEY: &str = "pending/20250417/1744866732481_20f90b51544f";

    fn credentials(session_token: Option<&str>) -> Credentials {
        Credentials::new("ak", "sk", session_token.map(str::to_owned)).expect("credentials")
    }

    fn key() -> ObjectKey {
        ObjectKey::parse(KEY).expect("a key")
    }

    fn conditions(key: &ObjectKey) -> PostConditions<'_> {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        PostConditions {
            key,
            max_bytes: 524_288_000,
            now: at("2025-04-17T05:12:12.999Z"),
            expires_at: at("2025-04-17T05:27:12.500Z"),
        }
    }

    type Form = Vec<(&'static str, String)>;

    fn s3(conditions: &PostConditions<'_>, token: Option<&str>) -> Form {
        AWS4.form("my-bucket", "eu-west-1", conditions, &credentials(token))
    }

    fn oss(conditions: &PostConditions<'_>, token: Option<&str>) -> Form {
        OSS4.form("my-bucket", "cn-hangzhou", conditions, &credentials(token))
    }

    fn value<'a>(form: &'a [(&'static str, String)], field: &str) -> &'a str {
        let found = form.iter().find(|(name, _)| *name == field);
        &found.expect("a field of that name").1
    }

    fn policy_text(form: &[(&'static str, String)]) -> String {
        let policy = base64_simd::STANDARD.decode_to_vec(value(form, "policy"));
        String::from_utf8(policy.expect("base64")).expect("UTF-8")
    }

    /// Amazon's example, "Browser-Based Upload using HTTP POST": the page's lines end in CR LF.
    #[test]
    fn the_example_of_the_s3_documentation_has_its_signature() {
        let policy = [
            r#"{ "expiration": "2015-12-30T12:00:00.000Z","#,
            r#"  "conditions": ["#,
            r#"    {"bucket": "sigv4examplebucket"},"#,
            r#"    ["starts-with", "$key", "user/user1/"],"#,
            r#"    {"acl": "public-read"},"#,
            r#"    {"success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"},"#,
            r#"    ["starts-with", "$Content-Type", "image/"],"#,
            r#"    {"x-amz-meta-uuid": "14365123651274"},"#,
            r#"    {"x-amz-server-side-encryption": "AES256"},"#,
            r#"    ["starts-with", "$x-amz-meta-tag", ""],"#,
            "",
            r#"    {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"},"#,
            r#"    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},"#,
            r#"    {"x-amz-date": "20151229T000000Z" }"#,
            r#"  ]"#,
            r#"}"#,
        ]
        .join("\r\n");
        let policy = base64_simd::STANDARD.encode_to_string(policy);
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        assert_eq!(
            AWS4.sign(&policy, secret, "20151229", "us-east-1"),
            "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e"
        );
    }

    #[test]
    fn a_signing_key_follows_from_secret_day_and_region() {
        let key = OSS4.signing_key("sk", "20231216", "cn-hangzhou");
        let expected = "b412a03b134ebddd720f5167b5de6db66620ebb3b01cff4d49e3ccb09f8de97f";
        assert_eq!(hex(&key), expected);
        for other in [
            OSS4.signing_key("sk", "20231217", "cn-hangzhou"),
            OSS4.signing_key("sk", "20231216", "cn-shanghai"),
            OSS4.signing_key("s", "20231216", "cn-hangzhou"),
            AWS4.signing_key("sk", "20231216", "cn-hangzhou"),
        ] {
            assert_ne!(other, key);
        }
    }

    #[test]
    fn a_policy_has_one_signature_in_each_scheme() {
        let table = [
            (
                &OSS4,
                r#"{"expiration":"2023-12-16T17:20:57.000Z","conditions":[{"bucket":"examplebucket"},{"x-oss-signature-version":"OSS4-HMAC-SHA256"},{"x-oss-credential":"ak/20231216/cn-hangzhou/oss/aliyun_v4_request"},{"x-oss-date":"20231216T162057Z"},{"x-oss-security-token":"token"},["content-length-range",1,1048576],["starts-with","$key","images/20231216/"],["in","$content-type",["image/jpeg","image/png"]],["eq","$success_action_status","200"]]}"#,
                "6d108e7726c2a57643495d09d2bd775e8764509c13613c1fafde751bc851e409",
            ),
            (
                &AWS4,
                r#"{"expiration":"2023-12-16T17:20:57.000Z","conditions":[{"bucket":"examplebucket"},{"x-amz-algorithm":"AWS4-HMAC-SHA256"},{"x-amz-credential":"ak/20231216/cn-hangzhou/s3/aws4_request"},{"x-amz-date":"20231216T162057Z"},{"x-amz-security-token":"token"},["content-length-range",1,1048576],["starts-with","$key","images/20231216/"]]}"#,
                "fbb3b188cff645226bfeb7cc601ba97f6492f0960c7418205f9782819eeb4d01",
            ),
        ];
        for (scheme, policy, signature) in table {
            let policy = base64_simd::STANDARD.encode_to_string(policy);
            let signed = scheme.sign(&policy, "sk", "20231216", "cn-hangzhou");
            assert_eq!(signed, signature);
        }
    }

    /// Expected: these conditions through botocore's `S3SigV4PostAuth` (1.44.5), its clock stopped.
    #[test]
    fn a_form_for_s3_is_the_one_botocore_makes() {
        let key = key();
        let form = s3(&conditions(&key), Some("token"));
        let policy = value(&form, "policy").to_owned();
        let signature = "9c12ba617684b6e4bd28da31a89ae142cebaf9ba67c36c58ab4833ed6bf45df0";
        let table = [
            ("key", KEY),
            ("success_action_status", "200"),
            ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
            ("x-amz-credential", "ak/20250417/eu-west-1/s3/aws4_request"),
            ("x-amz-date", "20250417T051212Z"),
            ("x-amz-security-token", "token"),
            ("policy", &policy),
            ("x-amz-signature", signature),
        ];
        assert_eq!(form, table.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(
            policy_text(&form),
            r#"{"conditions":[{"bucket":"my-bucket"},["eq","$key","pending/20250417/1744866732481_20f90b51544f"],["content-length-range",1,524288000],{"success_action_status":"200"},{"x-amz-algorithm":"AWS4-HMAC-SHA256"},{"x-amz-credential":"ak/20250417/eu-west-1/s3/aws4_request"},{"x-amz-date":"20250417T051212Z"},{"x-amz-security-token":"token"}],"expiration":"2025-04-17T05:27:12.500Z"}"#
        );
        let signature = "c11fe8fac485465263e66c993a0c4b5995685d54f9284dc702766a59fefadc48";
        let form = s3(&conditions(&key), None);
        assert_eq!(value(&form, "x-amz-signature"), signature);
    }

    /// Expected: this policy through ali-oss's `signPostObjectPolicyV4` (6.23.0).
    #[test]
    fn a_form_for_oss_has_the_signature_ali_oss_makes() {
        let key = key();
        let form = oss(&conditions(&key), Some("token"));
        let policy = value(&form, "policy").to_owned();
        let signature = "2eab56fbbad7a2f19ddfbe79ff9237d2e9cf003a1d73cb0a7dfae55a7d349b04";
        let credential = "ak/20250417/cn-hangzhou/oss/aliyun_v4_request";
        let table = [
            ("key", KEY),
            ("success_action_status", "200"),
            ("x-oss-forbid-overwrite", "true"),
            ("x-oss-object-acl", "private"),
            ("x-oss-signature-version", "OSS4-HMAC-SHA256"),
            ("x-oss-credential", credential),
            ("x-oss-date", "20250417T051212Z"),
            ("x-oss-security-token", "token"),
            ("policy", &policy),
            ("x-oss-signature", signature),
        ];
        assert_eq!(form, table.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(
            policy_text(&form),
            r#"{"conditions":[{"bucket":"my-bucket"},["eq","$key","pending/20250417/1744866732481_20f90b51544f"],["content-length-range",1,524288000],{"success_action_status":"200"},{"x-oss-forbid-overwrite":"true"},{"x-oss-object-acl":"private"},{"x-oss-signature-version":"OSS4-HMAC-SHA256"},{"x-oss-credential":"ak/20250417/cn-hangzhou/oss/aliyun_v4_request"},{"x-oss-date":"20250417T051212Z"},{"x-oss-security-token":"token"}],"expiration":"2025-04-17T05:27:12.500Z"}"#
        );
        let signature = "0cce9718e11e2c8128b372b574fd2b2c47d8e500984089a6f71aa84087cc57b9";
        let form = oss(&conditions(&key), None);
        assert_eq!(value(&form, "x-oss-signature"), signature);
    }

    /// S3 refuses a form with a field that its policy does not contain: every field must be in it, with its
    /// value, and nothing else.
    #[test]
    fn a_policy_names_every_field_of_its_form() {
        let key = key();
        let conditions = conditions(&key);
        for session_token in [None, Some("a \"quoted\"\\ token/+=")] {
            for form in [s3, oss].map(|make| make(&conditions, session_token)) {
                let policy: Value = serde_json::from_str(&policy_text(&form)).expect("JSON");
                assert_eq!(policy["expiration"], "2025-04-17T05:27:12.500Z");
                let mut expected = vec![
                    json!({"bucket": "my-bucket"}),
                    json!(["eq", "$key", KEY]),
                    json!(["content-length-range", 1, 524_288_000]),
                ];
                let unnamed = ["key", "policy", "x-amz-signature", "x-oss-signature"];
                let named = form.iter().filter(|(name, _)| !unnamed.contains(name));
                expected.extend(named.map(|&(name, ref value)| json!({name: value})));
                assert_eq!(policy["conditions"], Value::from(expected));
            }
        }
    }

    #[test]
    fn a_form_that_ends_on_the_second_still_says_its_milliseconds() {
        let key = key();
        let mut conditions = conditions(&key);
        conditions.expires_at = DateTime::from_timestamp(1_744_867_632, 0).expect("in range");
        let policy = policy_text(&oss(&conditions, None));
        assert!(policy.contains(r#""2025-04-17T05:27:12.000Z""#), "{policy}");
    }
}
