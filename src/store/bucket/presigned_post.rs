//! Signed POST forms: leave to put one object under one key, which a client sends to the bucket with
//! a file behind it. Pure: the clock and the keys are arguments.
//!
//! Amazon's Signature Version 4 and OSS's own one differ in words alone:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-UsingHTTPPOST.html>,
//! <https://www.alibabacloud.com/help/en/oss/developer-reference/postobject>.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use super::sigv4::{self, SigningKey, Stamp};
use crate::store::{Credentials, ObjectKey};

/// What a form may do: put one object under one key.
pub(super) struct Terms<'a> {
    /// The bucket's name.
    pub(super) bucket: &'a str,
    /// The bucket's region, `cn-hangzhou`.
    pub(super) region: &'a str,
    /// The one key it may write.
    pub(super) key: &'a ObjectKey,
    /// Largest file, in bytes; the smallest has one.
    pub(super) max_bytes: u64,
    /// When it is signed.
    pub(super) now: DateTime<Utc>,
    /// Until when the bucket takes it, to the millisecond.
    pub(super) expires_at: DateTime<Utc>,
}

/// The words of one kind of signature.
struct Scheme {
    /// Field and value that say which signature it is.
    version: (&'static str, &'static str),
    credential: &'static str,
    date: &'static str,
    security_token: &'static str,
    signature: &'static str,
    /// Goes before the secret.
    secret_prefix: &'static str,
    service: &'static str,
    /// Ends the scope of a signing key.
    request: &'static str,
    /// Fields and values that keep what is there already, and what was sent from the public.
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
    request: "aws4_request",
    // No field of S3 forbids overwriting, and a field that the policy does not name is refused.
    guards: &[],
};

const OSS4: Scheme = Scheme {
    version: ("x-oss-signature-version", "OSS4-HMAC-SHA256"),
    credential: "x-oss-credential",
    date: "x-oss-date",
    security_token: "x-oss-security-token",
    signature: "x-oss-signature",
    secret_prefix: "aliyun_v4",
    service: "oss",
    request: "aliyun_v4_request",
    guards: &[
        ("x-oss-forbid-overwrite", "true"),
        // OSS takes fields that the policy does not name, and an object's ACL goes before the
        // bucket's: left out, a client could publish a file that nobody has looked at.
        ("x-oss-object-acl", "private"),
    ],
};

/// The fields of a form for Amazon S3 and those who speak its API, in the order to send them; the
/// file, which goes last, is not among them.
pub(super) fn s3(terms: &Terms<'_>, keys: &Credentials) -> Vec<(&'static str, String)> {
    AWS4.form(terms, keys)
}

/// The fields of a form for OSS, as [`s3`] has them for S3.
pub(super) fn oss(terms: &Terms<'_>, keys: &Credentials) -> Vec<(&'static str, String)> {
    OSS4.form(terms, keys)
}

impl Scheme {
    fn form(&self, terms: &Terms<'_>, keys: &Credentials) -> Vec<(&'static str, String)> {
        let stamp = Stamp::at(terms.now.into());
        let mut fields = self.fields(terms, keys, &stamp);
        let policy = base64_simd::STANDARD.encode_to_string(policy(terms, &fields));
        let signature = self.sign(&policy, keys.secret(), stamp.date(), terms.region);
        fields.insert(0, ("key", terms.key.to_string()));
        fields.push(("policy", policy));
        fields.push((self.signature, signature));
        fields
    }

    /// What must be in the form with exactly this value, beside the key.
    fn fields(
        &self,
        terms: &Terms<'_>,
        keys: &Credentials,
        stamp: &Stamp,
    ) -> Vec<(&'static str, String)> {
        let scope = format!(
            "{}/{}/{}/{}/{}",
            keys.key_id(),
            stamp.date(),
            terms.region,
            self.service,
            self.request
        );
        // Without it the answer is 204, which `uni.uploadFile` takes for a failure.
        let mut fields = vec![("success_action_status", "200".to_owned())];
        let words = self.guards.iter().chain([&self.version]);
        fields.extend(words.map(|&(name, value)| (name, value.to_owned())));
        fields.push((self.credential, scope));
        fields.push((self.date, stamp.as_str().to_owned()));
        let token = keys.session_token();
        fields.extend(token.map(|token| (self.security_token, token.to_owned())));
        fields
    }

    /// The signature of a policy, in lower-case hex; `date` is the day of the signing key.
    fn sign(&self, policy: &str, secret: &str, date: &str, region: &str) -> String {
        SigningKey::of(&self.signing_key(secret, date, region)).sign(policy)
    }

    fn signing_key(&self, secret: &str, date: &str, region: &str) -> [u8; 32] {
        let words = [date, region, self.service, self.request];
        sigv4::derived(self.secret_prefix, secret, words)
    }
}

/// What the bucket holds a form against, as JSON. S3 refuses one with a field that is not in here.
fn policy(terms: &Terms<'_>, fields: &[(&'static str, String)]) -> String {
    let mut conditions = vec![
        json!({"bucket": terms.bucket}),
        json!(["eq", "$key", terms.key.as_str()]),
        json!(["content-length-range", 1, terms.max_bytes]),
    ];
    conditions.extend(fields.iter().map(|&(name, ref value)| json!({name: value})));
    let expiration = terms
        .expires_at
        .to_rfc3339_opts(SecondsFormat::Millis, true);
    json!({"conditions": conditions, "expiration": expiration}).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{super::sigv4::hex, *};

    const KEY: &str = "pending/20250417/1744866732481_20f90b51544f";

    fn keys(session_token: Option<&str>) -> Credentials {
        Credentials::new("ak", "sk", session_token.map(str::to_owned)).expect("keys")
    }

    fn key() -> ObjectKey {
        ObjectKey::parse(KEY).expect("a key")
    }

    fn terms<'a>(region: &'a str, key: &'a ObjectKey) -> Terms<'a> {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        Terms {
            bucket: "my-bucket",
            region,
            key,
            max_bytes: 524_288_000,
            now: at("2025-04-17T05:12:12.999Z"),
            expires_at: at("2025-04-17T05:27:12.500Z"),
        }
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
        assert_eq!(
            AWS4.sign(
                &policy,
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                "20151229",
                "us-east-1"
            ),
            "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e"
        );
    }

    #[test]
    fn a_signing_key_follows_from_secret_day_and_region() {
        assert_eq!(
            hex(&OSS4.signing_key("sk", "20231216", "cn-hangzhou")),
            "b412a03b134ebddd720f5167b5de6db66620ebb3b01cff4d49e3ccb09f8de97f"
        );
        let other = [
            OSS4.signing_key("sk", "20231217", "cn-hangzhou"),
            OSS4.signing_key("sk", "20231216", "cn-shanghai"),
            OSS4.signing_key("s", "20231216", "cn-hangzhou"),
            AWS4.signing_key("sk", "20231216", "cn-hangzhou"),
        ];
        for key in other {
            assert_ne!(key, OSS4.signing_key("sk", "20231216", "cn-hangzhou"));
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

    /// The same conditions through botocore's `S3SigV4PostAuth` (1.44.5), its clock stopped.
    #[test]
    fn a_form_for_s3_is_the_one_botocore_makes() {
        let key = key();
        let form = s3(&terms("eu-west-1", &key), &keys(Some("token")));
        let policy = value(&form, "policy").to_owned();
        let table = [
            ("key", KEY),
            ("success_action_status", "200"),
            ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
            ("x-amz-credential", "ak/20250417/eu-west-1/s3/aws4_request"),
            ("x-amz-date", "20250417T051212Z"),
            ("x-amz-security-token", "token"),
            ("policy", &policy),
            (
                "x-amz-signature",
                "9c12ba617684b6e4bd28da31a89ae142cebaf9ba67c36c58ab4833ed6bf45df0",
            ),
        ];
        assert_eq!(form, table.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(
            policy_text(&form),
            r#"{"conditions":[{"bucket":"my-bucket"},["eq","$key","pending/20250417/1744866732481_20f90b51544f"],["content-length-range",1,524288000],{"success_action_status":"200"},{"x-amz-algorithm":"AWS4-HMAC-SHA256"},{"x-amz-credential":"ak/20250417/eu-west-1/s3/aws4_request"},{"x-amz-date":"20250417T051212Z"},{"x-amz-security-token":"token"}],"expiration":"2025-04-17T05:27:12.500Z"}"#
        );
        assert_eq!(
            value(
                &s3(&terms("eu-west-1", &key), &keys(None)),
                "x-amz-signature"
            ),
            "c11fe8fac485465263e66c993a0c4b5995685d54f9284dc702766a59fefadc48"
        );
    }

    /// The same policy through ali-oss's `signPostObjectPolicyV4` (6.23.0).
    #[test]
    fn a_form_for_oss_has_the_signature_ali_oss_makes() {
        let key = key();
        let form = oss(&terms("cn-hangzhou", &key), &keys(Some("token")));
        let policy = value(&form, "policy").to_owned();
        let table = [
            ("key", KEY),
            ("success_action_status", "200"),
            ("x-oss-forbid-overwrite", "true"),
            ("x-oss-object-acl", "private"),
            ("x-oss-signature-version", "OSS4-HMAC-SHA256"),
            (
                "x-oss-credential",
                "ak/20250417/cn-hangzhou/oss/aliyun_v4_request",
            ),
            ("x-oss-date", "20250417T051212Z"),
            ("x-oss-security-token", "token"),
            ("policy", &policy),
            (
                "x-oss-signature",
                "2eab56fbbad7a2f19ddfbe79ff9237d2e9cf003a1d73cb0a7dfae55a7d349b04",
            ),
        ];
        assert_eq!(form, table.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(
            policy_text(&form),
            r#"{"conditions":[{"bucket":"my-bucket"},["eq","$key","pending/20250417/1744866732481_20f90b51544f"],["content-length-range",1,524288000],{"success_action_status":"200"},{"x-oss-forbid-overwrite":"true"},{"x-oss-object-acl":"private"},{"x-oss-signature-version":"OSS4-HMAC-SHA256"},{"x-oss-credential":"ak/20250417/cn-hangzhou/oss/aliyun_v4_request"},{"x-oss-date":"20250417T051212Z"},{"x-oss-security-token":"token"}],"expiration":"2025-04-17T05:27:12.500Z"}"#
        );
        assert_eq!(
            value(
                &oss(&terms("cn-hangzhou", &key), &keys(None)),
                "x-oss-signature"
            ),
            "0cce9718e11e2c8128b372b574fd2b2c47d8e500984089a6f71aa84087cc57b9"
        );
    }

    /// S3 refuses a form with a field that its policy does not name: every one must be there, with
    /// its value, and nothing else.
    #[test]
    fn a_policy_names_every_field_of_its_form() {
        let key = key();
        let terms = terms("cn-hangzhou", &key);
        for session_token in [None, Some("a \"quoted\"\\ token/+=")] {
            for form in [s3, oss].map(|make| make(&terms, &keys(session_token))) {
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
        let mut terms = terms("cn-hangzhou", &key);
        terms.expires_at = DateTime::from_timestamp(1_744_867_632, 0).expect("in range");
        let policy = policy_text(&oss(&terms, &keys(None)));
        assert!(policy.contains(r#""2025-04-17T05:27:12.000Z""#), "{policy}");
    }
}
