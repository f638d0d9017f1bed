//! Tests POST forms that are signed by hand: a valid one is stored, and any
//! violation of its policy is refused with the cloud's error.

use aws_sigv4::sign::v4;
use base64_simd::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::post_form::sign;
use super::{BUCKET, BucketDouble, Dialect, KEY_ID, Object, SECRET};
use crate::support::{Form, Reply, post, send};

const KEY: &str = "pending/20260102/1_0f";
const BOTH: [Dialect; 2] = [Dialect::S3, Dialect::Oss];

const DENIED: (u16, &str) = (403, "AccessDenied");
const INVALID: (u16, &str) = (400, "InvalidArgument");
const NOT_THE_KEYS: (u16, &str) = (403, "SignatureDoesNotMatch");

/// A form before it is signed.
#[derive(Clone)]
struct Draft {
    dialect: Dialect,
    key_id: String,
    secret: String,
    at: DateTime<Utc>,
    conditions: Vec<Value>,
    fields: Vec<(String, String)>,
    /// The policy, if it is not built from the conditions.
    policy: Option<&'static str>,
}

impl Draft {
    /// Allows one to ten bytes for a minute, answered with 200.
    fn new(dialect: Dialect) -> Self {
        Self::unanswered(dialect).pinned("success_action_status", "200")
    }

    /// Does not ask for a status.
    fn unanswered(dialect: Dialect) -> Self {
        let size = json!(["content-length-range", 1, 10]);
        let draft = Self {
            dialect,
            key_id: KEY_ID.to_owned(),
            secret: SECRET.to_owned(),
            at: Utc::now(),
            conditions: vec![json!({"bucket": BUCKET}), size],
            fields: Vec::new(),
            policy: None,
        };
        draft.pinned("key", KEY)
    }

    fn signed_by(mut self, key_id: &str, secret: &str) -> Self {
        self.key_id = key_id.to_owned();
        self.secret = secret.to_owned();
        self
    }

    /// Dates the form back by this time.
    fn aged(mut self, age: TimeDelta) -> Self {
        self.at -= age;
        self
    }

    fn condition(mut self, condition: Value) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Adds a field without a condition.
    fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a field with a condition that requires its value.
    fn pinned(self, name: &str, value: &str) -> Self {
        self.condition(json!({name: value})).field(name, value)
    }

    /// Adds the fields of a signature.
    fn sign(self) -> Signed {
        let (day, date) = (self.at.format("%Y%m%d"), self.at.format("%Y%m%dT%H%M%SZ"));
        let (field, version, scope) = match self.dialect {
            Dialect::S3 => ("algorithm", "AWS4", "s3/aws4_request"),
            Dialect::Oss => ("signature-version", "OSS4", "oss/aliyun_v4_request"),
        };
        let version = format!("{version}-HMAC-SHA256");
        let credential = format!("{}/{day}/cn-hangzhou/{scope}", self.key_id);
        let dialect = self.dialect;
        let named = |name: &str| named(dialect, name);
        let draft = self
            .pinned(&named(field), &version)
            .pinned(&named("credential"), &credential)
            .pinned(&named("date"), &date.to_string());
        let expiration = draft.at + TimeDelta::minutes(1);
        let expiration = expiration.format("%Y-%m-%dT%H:%M:%S.000Z").to_string();
        let policy = json!({"expiration": expiration, "conditions": draft.conditions});
        let policy = draft.policy.map_or(policy.to_string(), str::to_owned);
        let policy = STANDARD.encode_to_string(policy);
        let signature = match dialect {
            Dialect::S3 => {
                let at = draft.at.into();
                let key = v4::generate_signing_key(&draft.secret, at, "cn-hangzhou", "s3");
                v4::calculate_signature(key, policy.as_bytes())
            }
            Dialect::Oss => sign(Dialect::Oss, &credential, &draft.secret, &policy),
        };
        let draft = draft.field("policy", &policy);
        Signed(draft.field(&named("signature"), &signature).fields)
    }
}

/// Returns the name of a dialect-specific field.
fn named(dialect: Dialect, name: &str) -> String {
    match dialect {
        Dialect::S3 => format!("x-amz-{name}"),
        Dialect::Oss => format!("x-oss-{name}"),
    }
}

/// The fields of a signed form.
#[derive(Clone)]
struct Signed(Vec<(String, String)>);

impl Signed {
    /// Changes the value of a field.
    fn with(&self, name: &str, value: &str) -> Self {
        let mut changed = self.clone();
        let field = changed.0.iter_mut().find(|(held, _)| held == name);
        field.expect("a field").1 = value.to_owned();
        changed
    }

    fn without(&self, name: &str) -> Self {
        let others = self.0.iter().filter(|(held, _)| held != name);
        Self(others.cloned().collect())
    }

    fn and(&self, name: &str, value: &str) -> Self {
        Self([&*self.0, &[(name.to_owned(), value.to_owned())]].concat())
    }

    fn form(&self) -> Form {
        let fields = self.0.iter();
        fields.fold(Form::new(), |form, (name, value)| form.text(name, value))
    }

    /// Posts it with one byte, which must be refused with this error.
    async fn assert_s3_error(&self, bucket: &BucketDouble, refusal: (u16, &str), words: &str) {
        assert_s3_error(&self.post(bucket, "x").await, refusal, words);
    }

    async fn post(&self, bucket: &BucketDouble, file: &str) -> Reply {
        let form = self.form().file("file", "a.html", file);
        send(bucket.addr(), form.to(&format!("/{BUCKET}/"))).await
    }
}

#[track_caller]
fn assert_s3_error(reply: &Reply, (status, code): (u16, &str), message: &str) {
    let body = String::from_utf8_lossy(&reply.body).replace("&quot;", "\"");
    assert_eq!(reply.status, status, "{body}");
    assert!(body.contains(&format!("<Code>{code}</Code>")), "{body}");
    assert!(body.contains(message), "{message} is not in {body}");
}

#[tokio::test]
async fn a_form_as_signed_is_stored_and_answered_as_it_asks() {
    for dialect in BOTH {
        let bucket = BucketDouble::start(dialect).await;
        let reply = Draft::new(dialect).sign().post(&bucket, "0123456789").await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
        let objects = bucket.objects();
        let object = &objects[KEY];
        assert_eq!(object.bytes, "0123456789");
        assert_eq!(reply.header("etag"), format!("\"{}\"", object.etag));
        let expected = match dialect {
            Dialect::S3 => "binary/octet-stream",
            Dialect::Oss => "application/octet-stream",
        };
        assert_eq!(object.content_type.as_deref(), Some(expected));

        let ways = [("201", 201), ("204", 204), ("404", 204)];
        for (asked, answered) in ways {
            let draft = Draft::unanswered(dialect).pinned("success_action_status", asked);
            let reply = draft.sign().post(&bucket, "x").await;
            assert_eq!(reply.status, answered, "{asked}");
        }
        let page = "https://example.com/done";
        let draft = Draft::new(dialect).pinned("success_action_redirect", page);
        let reply = draft.sign().post(&bucket, "x").await;
        assert_eq!(reply.status, 303);
        assert!(reply.header("location").starts_with(page));
    }
}

#[tokio::test]
async fn a_form_must_be_as_its_policy_says() {
    for dialect in BOTH {
        let bucket = BucketDouble::start(dialect).await;
        let good = Draft::new(dialect).sign();
        let failed = "Invalid according to Policy: Policy Condition failed: ";
        let prefixed = Draft::new(dialect)
            .condition(json!(["starts-with", "$Content-Type", "image/"]))
            .field("Content-Type", "text/html");
        let empty = Draft::new(dialect).condition(json!(["starts-with", "$Cache-Control", ""]));
        let other_bucket = Draft::new(dialect).condition(json!(["eq", "$bucket", "other"]));
        let pinned = format!("{failed}{{\"key\":\"{KEY}\"}}");
        let begins = format!("{failed}[\"starts-with\",\"$Content-Type\",\"image/\"]");
        let expired = Draft::new(dialect).aged(TimeDelta::minutes(2));
        let expiry = "Invalid according to Policy: Policy expired.";
        for (signed, message) in [
            (good.with("key", "images/x"), &*pinned),
            (good.with("success_action_status", "201"), failed),
            (good.without("success_action_status"), failed),
            (prefixed.sign(), &begins),
            (empty.sign(), failed),
            (other_bucket.sign(), failed),
            (expired.sign(), expiry),
        ] {
            signed.assert_s3_error(&bucket, DENIED, message).await;
        }
        let reply = good.post(&bucket, "01234567890").await;
        assert_s3_error(&reply, (400, "EntityTooLarge"), "");
        let reply = good.post(&bucket, "").await;
        assert_s3_error(&reply, (400, "EntityTooSmall"), "");
        bucket.assert_nothing_left();
    }
}

#[tokio::test]
async fn aws_takes_no_field_that_its_policy_does_not_name() {
    let bucket = BucketDouble::start(Dialect::S3).await;
    let good = Draft::new(Dialect::S3).sign();
    for name in [
        "acl",
        "x-amz-acl",
        "Content-Type",
        "success_action_redirect",
        "x-amz-meta-a",
    ] {
        let more = good.and(name, "public-read-write");
        let field = name.to_ascii_lowercase();
        let message = format!("Invalid according to Policy: Extra input fields: {field}");
        more.assert_s3_error(&bucket, DENIED, &message).await;
    }
    bucket.assert_nothing_left();
    let ignored = good.and("x-ignore-me", "x").and("submit", "Send");
    assert_eq!(ignored.post(&bucket, "x").await.status, 200);
}

#[tokio::test]
async fn oss_takes_what_its_policy_does_not_name_but_for_its_signature() {
    let bucket = BucketDouble::start(Dialect::Oss).await;
    let good = Draft::new(Dialect::Oss).sign();
    let more = good.and("x-oss-object-acl", "public-read").and("name", "x");
    assert_eq!(more.post(&bucket, "x").await.status, 200);
    assert_eq!(bucket.objects()[KEY].acl.as_deref(), Some("public-read"));

    bucket.allow("STS.key", "its-secret", Some("its-token"));
    let draft = Draft::new(Dialect::Oss).signed_by("STS.key", "its-secret");
    let signed = draft.sign().and("x-oss-security-token", "its-token");
    let message = "Extra input fields: x-oss-security-token";
    signed.assert_s3_error(&bucket, DENIED, message).await;
}

#[tokio::test]
async fn oss_gives_the_type_that_its_own_field_names() {
    let bucket = BucketDouble::start(Dialect::Oss).await;
    let form = |signed: Signed| {
        let headers = "Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\
                       Content-Type: text/html";
        signed.form().part(headers, "x").to(&format!("/{BUCKET}"))
    };
    let draft = Draft::new(Dialect::Oss);
    let type_of = || bucket.objects()[KEY].content_type.clone();
    send(bucket.addr(), form(draft.clone().sign())).await;
    assert_eq!(type_of().as_deref(), Some("text/html"));
    let pinned = draft.pinned("x-oss-content-type", "image/png");
    send(bucket.addr(), form(pinned.sign())).await;
    assert_eq!(type_of().as_deref(), Some("image/png"));
}

#[tokio::test]
async fn only_who_knows_a_secret_can_sign() {
    for dialect in BOTH {
        let bucket = BucketDouble::start(dialect).await;
        bucket.allow("STS.key", "its-secret", Some("its+token/="));
        let no_token = match dialect {
            Dialect::S3 => "InvalidToken",
            Dialect::Oss => "InvalidAccessKeyId",
        };
        let named = |name: &str| named(dialect, name);
        let draft = Draft::new(dialect);
        let sts = draft.clone().signed_by("STS.key", "its-secret");
        let with_token = |token: &str| sts.clone().pinned(&named("security-token"), token);
        let good = draft.clone().sign();
        let forged =
            STANDARD.encode_to_string(r#"{"expiration":"2099-01-01T00:00:00Z","conditions":[]}"#);
        let signed_by = |key_id, secret| draft.clone().signed_by(key_id, secret).sign();
        let early = draft.clone().aged(TimeDelta::minutes(-16));
        for (signed, refusal) in [
            (signed_by(KEY_ID, "wrong"), NOT_THE_KEYS),
            (signed_by("NOBODY", SECRET), (403, "InvalidAccessKeyId")),
            (good.with("policy", &forged), NOT_THE_KEYS),
            (good.with(&named("credential"), "x"), INVALID),
            (good.with(&named("date"), "20200101T000000Z"), INVALID),
            (good.without(&named("signature")), INVALID),
            (good.without("policy"), INVALID),
            (good.without("key"), INVALID),
            (good.and("key", "again"), INVALID),
            (early.sign(), (403, "RequestTimeTooSkewed")),
            (sts.clone().sign(), (403, no_token)),
            (with_token("other").sign(), (403, no_token)),
        ] {
            signed.assert_s3_error(&bucket, refusal, "").await;
        }
        bucket.assert_nothing_left();
        let reply = with_token("its+token/=").sign().post(&bucket, "x").await;
        assert_eq!(reply.status, 200);
    }
}

#[tokio::test]
async fn each_cloud_takes_its_own_form_only() {
    for (ours, other) in [(Dialect::S3, Dialect::Oss), (Dialect::Oss, Dialect::S3)] {
        let bucket = BucketDouble::start(ours).await;
        let (signed, words) = (Draft::new(other).sign(), "must contain a field named");
        signed.assert_s3_error(&bucket, INVALID, words).await;
        bucket.assert_nothing_left();
    }
}

#[tokio::test]
async fn broken_policies_and_forms_are_refused() {
    for dialect in BOTH {
        let bucket = BucketDouble::start(dialect).await;
        for policy in [
            "{",
            "{}",
            r#"{"conditions":[]}"#,
            r#"{"expiration":"tomorrow","conditions":[]}"#,
            r#"{"expiration":"2099-01-01T00:00:00Z"}"#,
            r#"{"expiration":"2099-01-01T00:00:00Z","conditions":[["eq","key","x"]]}"#,
            r#"{"expiration":"2099-01-01T00:00:00Z","conditions":[["like","$key","x"]]}"#,
            r#"{"expiration":"2099-01-01T00:00:00Z","conditions":[{"a":"1","b":"2"}]}"#,
            r#"{"expiration":"2099-01-01T00:00:00Z","conditions":[["content-length-range","1",2]]}"#,
            r#"{"expiration":"2099-01-01T00:00:00Z","conditions":[["in","$key","x"]]}"#,
        ] {
            let mut draft = Draft::new(dialect);
            draft.policy = Some(policy);
            let refusal = (400, "InvalidPolicyDocument");
            let signed = draft.sign();
            signed
                .assert_s3_error(&bucket, refusal, "Invalid Policy: ")
                .await;
        }
        let good = Draft::new(dialect).sign();
        let path = format!("/{BUCKET}/");
        let file = |form: Form| form.file("file", "a", "x");
        let long = good.form().text("x-ignore-a", &"x".repeat(20 * 1024));
        let cut = post(&path, &good.form().content_type(), good.form().unclosed());
        for (request, refusal) in [
            (good.form().to(&path), INVALID),
            (post(&path, "text/plain", "x"), (412, "PreconditionFailed")),
            (cut, (400, "MalformedPOSTRequest")),
            (file(good.form()).to("/other/"), (404, "NoSuchBucket")),
            (file(long).to(&path), (400, "MaxPostPreDataLengthExceeded")),
        ] {
            assert_s3_error(&send(bucket.addr(), request).await, refusal, "");
        }
        bucket.assert_nothing_left();
        // Fields after the file are ignored.
        let form = good.form().file("file", "a", "x").text("key", "other");
        assert_eq!(send(bucket.addr(), form.to(&path)).await.status, 200);
        assert_eq!(bucket.objects().keys().collect::<Vec<_>>(), [KEY]);
    }
}

#[tokio::test]
async fn oss_forbids_overwriting_where_the_form_says_so() {
    let bucket = BucketDouble::start(Dialect::Oss).await;
    let forbidding = |value| Draft::new(Dialect::Oss).pinned("x-oss-forbid-overwrite", value);
    let once = forbidding("true").sign();
    assert_eq!(once.post(&bucket, "first").await.status, 200);
    let reply = once.post(&bucket, "second").await;
    assert_s3_error(&reply, (409, "FileAlreadyExists"), "");
    assert_eq!(bucket.objects()[KEY].bytes, "first");
    let strange = forbidding("abc").sign();
    strange.assert_s3_error(&bucket, INVALID, "").await;
    let again = Draft::new(Dialect::Oss).sign();
    assert_eq!(again.post(&bucket, "third").await.status, 200);
    bucket.plant("planted", Object::with("planted"));
    assert_eq!(bucket.objects()["planted"].bytes, "planted");
}
