//! Direct uploads: policy, form, completion, for every kind of store; mistakes of clients, and failures
//! of a bucket.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, Request},
};
use chat_upload::{api::Secrets, config::Config, store};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    bucket_double::{BucketDouble, DENIED, Dialect, Fault, Object, Operation},
    builders::zip_with,
    drivers::Driver,
    lane::{COMPLETE, Lane, PENDING, POLICY, SIGNING, fields, lasting, pending_key, post_json},
    support::{
        Form, Key, MIB, PNG, UPLOAD, assert_has, disposition, empty, get, path_of, png_bytes, post,
    },
    tokens::{JWT, guest_jwt, user_jwt},
};

const REPORT: &[u8] = include_bytes!("../media/report.docx");
/// Another real image, of another type.
pub(crate) const GIF: &[u8] = b"GIF89a\x01\0\x01\0\0\0\0!\xFE\0;";
const ALWAYS: usize = usize::MAX;

/// With it a completion copies.
const STRIP_OFF: (&str, &str) = ("UPLOAD_STRIP", "off");

/// `pending/<date>/<ms>_<12 hex>` without its first folder.
fn stem(policy: &Value) -> &str {
    pending_key(policy).strip_prefix("pending/").unwrap()
}

impl Lane {
    /// Sends a file as its policy allows, but with the type of a page.
    async fn post_as_page(&self, policy: &Value, name: &str, content: &[u8]) {
        let file = format!("name=\"file\"; filename=\"{name}\"\r\nContent-Type: text/html");
        let form = fields(&policy["upload"]).part(disposition(&file), content);
        let reply = self.post_form(&policy["upload"], &form).await;
        assert_eq!(reply.status, 200);
    }

    /// Completes an upload that must be refused with this failure.
    async fn assert_refuses(&self, policy: &Value, code: &str) {
        let refused = self.complete(policy).await.refused(code);
        assert_eq!(refused, Ok(()), "{}", self.kind());
    }

    /// Completes an upload that must be refused with this failure, and leaves nothing.
    async fn assert_removes(&self, policy: &Value, code: &str) {
        self.assert_refuses(policy, code).await;
        self.assert_holds(&[]);
    }

    /// Completes an upload that must become the only object; returns its item.
    async fn completed(&self, policy: &Value) -> Value {
        let item = self.complete(policy).await.item();
        self.assert_holds(&[path_of(&item)]);
        item
    }

    /// Swaps the next object after its head was read, before the rest of it is read.
    pub(crate) fn swap_behind_the_look(&self, content: &'static [u8]) {
        let looks = Fault::Slow(Duration::ZERO);
        self.bucket().fail(Operation::Get, looks, 1);
        let swapped = Fault::SwapFirst(content);
        self.bucket().fail(Operation::Get, swapped, 1);
    }
}

#[tokio::test]
async fn a_file_takes_three_calls_over_every_store() {
    for lane in Lane::each(&[]).await {
        let asked = json!({"name": "C:\\DCIM\\IMG_1.png", "size": PNG.len(), "imageClassId": 7});
        let policy = lane.ask(POLICY, &asked).await.data();
        assert_eq!(policy["upload"]["name"], "file");
        assert_eq!(policy["max_bytes"], 524_288_000);
        lane.put_ok(&policy, PNG).await;
        lane.assert_holds(&[pending_key(&policy)]);

        let reply = lane.complete(&policy).await.data();
        let key = format!("images/{}.png", stem(&policy));
        lane.assert_holds(&[&key]);
        assert_eq!(lane.bytes(&key), PNG);
        let base = match &lane.bucket {
            Some(bucket) => format!("{}/chat-test", bucket.endpoint()),
            None => "http://chat.example.com".to_owned(),
        };
        let millis: i64 = stem(&policy)[9..22].parse().unwrap();
        let expected = json!([{
            "url": format!("{base}/{key}"), "path": key, "image_class_id": 7,
            "create_time": millis / 1000, "size": PNG.len(), "mime": "image/png",
            "name": "IMG_1.png", "kind": "image", "width": 24, "height": 24,
        }]);
        assert_eq!(json!([lasting(&reply[0])]), expected, "{}", lane.kind());
        assert_eq!(reply.as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn the_key_waits_apart_and_has_the_form_of_every_key() {
    for lane in Lane::each(&[("UPLOAD_PREFIX", "img/chat")]).await {
        if let Some(bucket) = &lane.bucket {
            bucket.list_only(&["img/chat/", "pending/"]);
        }
        let policy = lane.policy("a.jpeg").await;
        let key = pending_key(&policy);
        let parsed = Key::parse(key).expect(key);
        assert_eq!((parsed.folder, parsed.extension), ("pending", ""), "{key}");
        assert_eq!(parsed.millis.to_string().len(), 13, "{key}");
        lane.put_ok(&policy, PNG).await;
        lane.complete(&policy).await.data();
        lane.assert_holds(&[&format!("img/chat/{}.png", stem(&policy))]);
    }
}

#[tokio::test]
async fn the_answer_says_until_when_and_what_the_form_does() {
    for lane in Lane::each(&[("UPLOAD_DIRECT_SECS", "60")]).await {
        let before = chrono::Utc::now().timestamp();
        let policy = lane.policy("a.png").await;
        let end = policy["expires_at"].as_i64().unwrap();
        assert!((before + 59..=before + 90).contains(&end), "{policy}");
        let form = &policy["upload"]["formData"];
        assert_eq!(form["success_action_status"], "200", "{}", lane.kind());
        match lane.kind() {
            "s3" => assert_eq!(form["x-amz-algorithm"], "AWS4-HMAC-SHA256"),
            "oss" => {
                assert_eq!(form["x-oss-signature-version"], "OSS4-HMAC-SHA256");
                assert_eq!(form["x-oss-forbid-overwrite"], "true");
            }
            _ => {}
        }
    }
}

fn urlencoded(path: &str, body: String) -> Request<Body> {
    post(path, "application/x-www-form-urlencoded", body)
}

#[tokio::test]
async fn arguments_come_as_json_urlencoded_or_in_the_query() {
    let text_id = json!({"name": "a b.png", "size": 9, "imageClassId": "3"});
    let text_size = json!({"name": "a b.png", "size": "9", "image_class_id": 3});
    for lane in Lane::each(&[]).await {
        let ways = [
            post_json(POLICY, &text_id),
            post_json(POLICY, &text_size),
            urlencoded(POLICY, "name=a+b.png&size=9&imageClassId=3".into()),
            empty(
                Method::POST,
                &format!("{POLICY}?name=a%20b.png&size=9&image_class_id=3"),
            ),
        ];
        let mut tickets = Vec::new();
        for request in ways {
            let policy = lane.send(request).await.data();
            lane.put_ok(&policy, PNG).await;
            tickets.push(policy["ticket"].as_str().unwrap().to_owned());
        }
        tickets.truncate(3);
        let ways = [
            post_json(COMPLETE, &json!({"ticket": tickets[0]})),
            urlencoded(COMPLETE, format!("ticket={}", tickets[1])),
            empty(Method::POST, &format!("{COMPLETE}?ticket={}", tickets[2])),
        ];
        for request in ways {
            let item = lane.send(request).await.item();
            assert_has(&item, &json!({"name": "a b.png", "image_class_id": 3}));
        }
    }
}

#[tokio::test]
async fn no_argument_is_needed_to_get_leave() {
    let lane = Lane::disk(&[]);
    let request = empty(Method::POST, POLICY);
    let policy = lane.send(request).await.data();
    lane.put_ok(&policy, PNG).await;
    let item = lane.complete(&policy).await.item();
    assert_has(&item, &json!({"name": "", "image_class_id": 0}));
}

#[tokio::test]
async fn the_type_is_what_the_bytes_are_and_never_what_the_client_says() {
    for lane in Lane::each(&[]).await {
        let word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
        for (name, content, extension, mime, is_saved) in [
            ("x.html", PNG, "png", "image/png", false),
            ("blob", PNG, "png", "image/png", false),
            ("x.png", REPORT, "docx", word, true),
        ] {
            let policy = lane.policy(name).await;
            lane.post_as_page(&policy, name, content).await;
            let item = lane.complete(&policy).await.item();
            assert_has(&item, &json!({"mime": mime, "name": name}));
            let key = format!("images/{}.{extension}", stem(&policy));
            assert_eq!(item["path"], key);
            assert_eq!(lane.bytes(&key), content);
            if let Some(bucket) = &lane.bucket {
                let object = bucket.objects()[&key].clone();
                assert_eq!(object.content_type.as_deref(), Some(mime));
                let saved_as = format!("attachment; filename=\"{name}\"; filename*=UTF-8''{name}");
                assert_eq!(object.content_disposition, is_saved.then_some(saved_as));
                assert_eq!(object.acl, None);
                assert!(object.metadata.is_empty());
            } else {
                let reply = lane.send(get(&format!("/{key}"))).await;
                assert_eq!(reply.header("content-type"), mime);
                assert_eq!(reply.body, content);
            }
        }
    }
}

#[tokio::test]
async fn what_waits_is_never_shown_as_what_its_client_says() {
    // Readers of the bucket could be shown a client's page.
    for lane in Lane::buckets(&[]).await {
        let policy = lane.policy("a.png").await;
        lane.post_as_page(&policy, "a.html", b"<script>").await;
        let object = lane.bucket().objects()[pending_key(&policy)].clone();
        let is_private = object.acl.as_deref() == Some("private");
        let is_page = object.content_type.as_deref() == Some("text/html");
        assert!(is_private || !is_page, "{}: {object:?}", lane.kind());
        let policy = lane.policy("a.png").await;
        let with_acl = fields(&policy["upload"])
            .text("x-oss-object-acl", "public-read-write")
            .file("file", "a", PNG);
        lane.post_form(&policy["upload"], &with_acl).await;
        let object = lane.bucket().objects().remove(pending_key(&policy));
        let acl = object.and_then(|object| object.acl).unwrap_or_default();
        assert!(!acl.starts_with("public"), "{}: {acl}", lane.kind());
    }
}

#[tokio::test]
async fn a_folder_keeps_to_itself_what_waits() {
    let lane = Lane::disk(&[]);
    let policy = lane.waiting(PNG).await;
    let key = pending_key(&policy);
    let doubled = key.replace('/', "//");
    let encoded = key.replacen("pending", "%70ending", 1);
    let (here, beside) = (format!("./{key}"), format!("images/../{key}"));
    for path in [key, &doubled, &encoded, &here, &beside] {
        for method in [Method::GET, Method::HEAD] {
            let reply = lane.send(empty(method, &format!("/{path}"))).await;
            assert_eq!(reply.status, 404, "{path}");
        }
    }
}

#[tokio::test]
async fn completing_twice_gives_the_same_answer() {
    for lane in Lane::each(&[]).await {
        let policy = lane.waiting(PNG).await;
        let first = lane.complete(&policy).await.data();
        for _ in 0..2 {
            let again = lane.complete(&policy).await.data();
            assert_eq!(lasting(&again[0]), lasting(&first[0]), "{}", lane.kind());
        }
        lane.assert_holds(&[path_of(&first[0])]);
    }
}

#[tokio::test]
async fn several_completions_at_once_give_one_object_and_the_same_answer() {
    for lane in Lane::each(&[]).await {
        let policy = lane.waiting(PNG).await;
        let all = join_all((0..8).map(|_| lane.complete(&policy))).await;
        let items: Vec<_> = all.iter().map(|reply| lasting(&reply.data()[0])).collect();
        assert_eq!(items, vec![items[0].clone(); 8], "{}", lane.kind());
        lane.assert_holds(&[path_of(&items[0])]);
    }
}

#[tokio::test]
async fn completing_before_the_upload_is_409_and_may_be_tried_again() {
    for lane in Lane::each(&[]).await {
        let policy = lane.policy("a.png").await;
        for _ in 0..2 {
            lane.assert_refuses(&policy, "upload_incomplete").await;
        }
        lane.put_ok(&policy, PNG).await;
        lane.complete(&policy).await.data();
    }
}

#[tokio::test]
async fn a_kind_that_is_not_taken_is_refused_as_when_it_is_streamed() {
    for lane in Lane::each(&[("UPLOAD_TYPES", "video,audio")]).await {
        let streamed = lane.send(Form::image().to(UPLOAD)).await;
        let policy = lane.waiting(PNG).await;
        let direct = lane.complete(&policy).await;
        direct.assert_refused("type_refused");
        assert_eq!(direct.json()["data"], streamed.json()["data"]);
        lane.assert_holds(&[]);
    }
}

#[tokio::test]
async fn a_file_of_the_largest_size_goes_and_a_byte_more_does_not() {
    let limit = 100_000;
    let vars = [
        ("UPLOAD_DIRECT_MAX_BYTES", "100000"),
        ("UPLOAD_MAX_BYTES", "10"),
    ];
    for lane in Lane::each(&vars).await {
        let sized = |size: usize| json!({"name": "a.png", "size": size});
        let policy = lane.ask(POLICY, &sized(limit)).await.data();
        assert_eq!(policy["max_bytes"], limit);
        let over = lane.put(&policy, png_bytes(limit + 1)).await;
        assert_eq!(over.status, lane.by_store([400, 400, 413]));
        lane.assert_holds(&[]);
        lane.put_ok(&policy, png_bytes(limit)).await;
        assert_eq!(lane.complete(&policy).await.data()[0]["size"], limit);

        let reply = lane.ask(POLICY, &sized(limit + 1)).await;
        reply.assert_refused("too_large");
        let text = reply.json()["data"].as_str().unwrap().to_owned();
        assert!(text.starts_with("上传失败: "), "{text}");
    }
}

#[tokio::test]
async fn more_bytes_than_the_ticket_allows_are_removed_at_completion() {
    // Other tools may add them: the form does not allow them.
    let lane = Lane::s3(&[("UPLOAD_DIRECT_MAX_BYTES", "1000")]).await;
    let policy = lane.policy("a.png").await;
    for (len, code) in [(1001, "too_large"), (0, "file_empty")] {
        lane.bucket()
            .plant(pending_key(&policy), Object::with(png_bytes(len)));
        lane.assert_removes(&policy, code).await;
    }
}

#[tokio::test]
async fn without_a_secret_there_is_no_direct_lane() {
    for lane in Lane::each(&[(SIGNING.0, "")]).await {
        for path in [POLICY, COMPLETE] {
            let reply = lane.ask(path, &json!({"ticket": "x"})).await;
            reply.assert_refused("direct_disabled");
        }
        if lane.bucket.is_none() {
            let reply = lane.send(Form::image().to(PENDING)).await;
            reply.assert_refused("direct_disabled");
        }
        lane.assert_holds(&[]);
    }
}

#[tokio::test]
async fn the_secret_of_the_tokens_signs_where_there_is_no_other() {
    for lane in Lane::each(&[JWT, (SIGNING.0, "")]).await {
        let lane = lane.signed_in(user_jwt("7"));
        lane.upload("a.png", PNG).await;
    }
}

#[tokio::test]
async fn tickets_outlive_a_change_of_secrets_and_no_more() {
    let under = |secrets| {
        Lane::changed(None, &[], move |config| {
            config.api.direct.secrets = Secrets::parse(secrets).unwrap();
        })
    };
    let old = under("old secret").policy("a.png").await;
    let new = under("new secret, old secret").policy("a.png").await;
    for (secrets, policy, code) in [
        // A valid ticket of a missing file.
        ("new secret,old secret", &old, "upload_incomplete"),
        ("new secret", &old, "ticket_invalid"),
        ("new secret", &new, "upload_incomplete"),
        ("old secret", &new, "ticket_invalid"),
    ] {
        under(secrets).assert_refuses(policy, code).await;
    }
}

#[tokio::test]
async fn tokens_are_wanted_where_the_other_uploads_want_them() {
    for lane in Lane::each(&[JWT]).await {
        for path in [POLICY, COMPLETE] {
            let mut arguments = json!({"name": "a.png", "ticket": "x"});
            let reply = lane.ask(path, &arguments).await;
            reply.assert_refused("token_missing");
            arguments["token"] = "bad".into();
            let reply = lane.ask(path, &arguments).await;
            reply.assert_refused("token_invalid");
        }
        // In the body, like a form field.
        let good = json!({"name": "a.png", "token": user_jwt("7")});
        let policy = lane.ask(POLICY, &good).await.data();
        lane.put_ok(&policy, PNG).await;
        let good = json!({"ticket": policy["ticket"], "token": user_jwt("7")});
        lane.ask(COMPLETE, &good).await.data();
    }
}

#[tokio::test]
async fn what_guests_may_is_less_on_this_way_too() {
    let most = ("UPLOAD_GUEST_MAX_BYTES", "1000");
    let vars = [JWT, most, ("UPLOAD_GUEST_TYPES", "audio")];
    for lane in Lane::each(&vars).await {
        let lane = lane.signed_in(guest_jwt("g"));
        let policy = lane.policy("a.png").await;
        assert_eq!(policy["max_bytes"], 1000);
        let asked = json!({"name": "a.png", "size": 1001});
        lane.ask(POLICY, &asked).await.assert_refused("too_large");
        assert_ne!(lane.put(&policy, png_bytes(1001)).await.status, 200);
        lane.put_ok(&policy, PNG).await;
        lane.assert_removes(&policy, "type_refused").await;
    }
    for lane in Lane::each(&[JWT, ("UPLOAD_GUESTS", "deny")]).await {
        let lane = lane.signed_in(guest_jwt("g"));
        for path in [POLICY, COMPLETE] {
            let reply = lane.ask(path, &json!({"name": "a", "ticket": "x"})).await;
            reply.assert_refused("guest_denied");
        }
    }
}

#[tokio::test]
async fn each_leave_counts_as_an_upload_and_its_completion_does_not() {
    for lane in Lane::each(&[JWT, ("UPLOAD_RATE_PER_MIN", "2")]).await {
        let lane = lane.signed_in(user_jwt("7"));
        lane.upload("a.png", PNG).await;
        lane.upload("b.png", PNG).await;
        let reply = lane.ask(POLICY, &json!({"name": "c.png"})).await;
        reply.assert_refused("too_many_requests");
        reply.header("retry-after");
    }
}

#[tokio::test]
async fn no_form_is_taken_after_its_time() {
    let no_life = |config: &mut Config| config.api.direct.form_life = Duration::ZERO;
    for lane in Lane::each(&[]).await {
        let lane = Lane::changed(lane.bucket, &[], no_life);
        let policy = lane.policy("a.png").await;
        let reply = lane.put(&policy, PNG).await;
        assert_eq!(reply.status, lane.by_store([403, 403, 401]));
        lane.assert_holds(&[]);
    }
}

#[tokio::test]
async fn what_is_swapped_between_look_and_copy_is_judged_again() {
    for lane in Lane::buckets(&[STRIP_OFF]).await {
        let bucket = lane.bucket();
        let policy = lane.waiting(PNG).await;
        bucket.fail(Operation::Copy, Fault::SwapFirst(b"<html><script>"), 1);
        lane.assert_removes(&policy, "type_refused").await;

        lane.put_ok(&policy, PNG).await;
        bucket.fail(Operation::Copy, Fault::SwapFirst(GIF), 1);
        let item = lane.complete(&policy).await.item();
        assert_eq!(item["mime"], "image/gif");
        assert!(lane.bytes(path_of(&item)).starts_with(b"GIF89a"));

        // A file that keeps changing is never published.
        let policy = lane.waiting(PNG).await;
        for content in [b"GIF89a1", b"GIF89a2", b"GIF89a3", b"GIF89a4", b"GIF89a5"] {
            bucket.fail(Operation::Copy, Fault::SwapFirst(content), 1);
        }
        let reply = lane.complete(&policy).await;
        assert!(reply.status.is_client_error(), "{}", reply.status);
        let published = |key: &String| key.contains(stem(&policy)) && key.starts_with("images/");
        assert!(!lane.keys().iter().any(published));
    }
}

#[tokio::test]
async fn what_is_swapped_while_it_is_read_is_judged_again() {
    for lane in Lane::buckets(&[]).await {
        let policy = lane.waiting(png_bytes(5 * MIB)).await;
        lane.swap_behind_the_look(GIF);
        let item = lane.completed(&policy).await;
        assert_eq!(item["mime"], "image/gif");
        assert_eq!(lane.bytes(path_of(&item)), GIF);
    }
}

#[tokio::test]
async fn a_file_that_is_read_again_is_judged_as_a_whole() {
    for lane in Lane::each(&[]).await {
        // The type of an archive is in its directory, far after its head.
        let padding = vec![b'x'; 100_000];
        let with = |name: &str| {
            let mut archive = zip_with(&[("a", &padding), (name, b"")]);
            let entry = 30 + "a".len() + padding.len();
            archive.drain(entry..entry + 30 + name.len());
            archive
        };
        let policy = lane.policy("a.zip").await;
        lane.put_ok(&policy, with("classes.dex")).await;
        lane.assert_removes(&policy, "type_refused").await;
        lane.upload("a.zip", with("b")).await;
    }
}

#[tokio::test]
async fn of_four_uses_of_a_form_at_once_one_is_taken() {
    let lane = Lane::disk(&[]);
    let policy = lane.policy("a.png").await;
    let content = png_bytes(MIB);
    let uses = (0..4).map(|_| lane.put(&policy, &content));
    let replies = join_all(uses).await;
    let (taken, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|it| it.status == 200);
    assert_eq!((taken.len(), refused.len()), (1, 3));
    for reply in refused {
        assert_eq!(reply.json()["code"], "already_uploaded");
    }
    lane.assert_holds(&[pending_key(&policy)]);
}

/// Starts a lane whose bucket times out after two seconds.
async fn impatient(dialect: Dialect, vars: &[(&str, &str)]) -> Lane {
    let bucket = BucketDouble::start(dialect).await;
    Lane::changed(Some(bucket), vars, |config| {
        if let store::Settings::Bucket(settings) = &mut config.store {
            settings.timeouts.operation = Duration::from_secs(2);
        }
    })
}

/// Completes while the bucket keeps failing, and once more after it has recovered.
async fn fails_and_is_repeated(lane: Lane, on: Operation, fault: Fault, code: &str) {
    let policy = lane.waiting(PNG).await;
    lane.bucket().fail(on, fault, ALWAYS);
    lane.assert_refuses(&policy, code).await;
    lane.assert_holds(&[pending_key(&policy)]);
    lane.bucket().heal();
    lane.completed(&policy).await;
}

#[tokio::test]
async fn a_completion_that_the_bucket_fails_can_be_repeated() {
    let broken = Fault::Status(500, "InternalError");
    let table = [
        (Operation::Get, broken, "store_unavailable"),
        (Operation::Get, Fault::Hang, "store_timeout"),
        (Operation::Get, Fault::HalfAnswer, "store_unavailable"),
        (Operation::Copy, DENIED, "store_refused"),
        (Operation::Copy, broken, "store_unavailable"),
        (Operation::Copy, Fault::Hang, "store_timeout"),
        (Operation::Copy, Fault::CutMidBody, "store_unavailable"),
        (Operation::Put, DENIED, "store_refused"),
        (Operation::Put, broken, "store_unavailable"),
        (Operation::Put, Fault::Hang, "store_timeout"),
        (Operation::Put, Fault::CutMidBody, "store_unavailable"),
    ];
    let mut all = Vec::new();
    for (on, fault, code) in table {
        for dialect in [Dialect::S3, Dialect::Oss] {
            let vars = match on {
                Operation::Copy => &[STRIP_OFF][..],
                _ => &[],
            };
            let lane = match fault {
                Fault::Hang => impatient(dialect, vars).await,
                _ => Lane::over(dialect, vars).await,
            };
            all.push(fails_and_is_repeated(lane, on, fault, code));
        }
    }
    // Each waits for the SDK's retries.
    join_all(all).await;
}

#[tokio::test]
async fn a_file_is_published_once_when_the_answer_to_that_is_lost() {
    for (on, vars) in [(Operation::Copy, &[STRIP_OFF][..]), (Operation::Put, &[])] {
        for lane in Lane::buckets(vars).await {
            let policy = lane.waiting(PNG).await;
            lane.bucket().fail(on, Fault::DoneButHalfAnswer, 1);
            let item = lane.completed(&policy).await;
            assert_eq!(lane.bytes(path_of(&item)), PNG);
        }
    }
}

#[tokio::test]
async fn a_pending_object_that_cannot_be_removed_spoils_no_answer() {
    for lane in Lane::buckets(&[]).await {
        let policy = lane.waiting(PNG).await;
        lane.bucket().fail(Operation::Delete, DENIED, 1);
        let first = lane.complete(&policy).await.item();
        // The next one finishes the work.
        let again = lane.complete(&policy).await.item();
        assert_eq!(lasting(&again), lasting(&first));
        lane.assert_holds(&[path_of(&first)]);
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_no_published_file_back() {
    for dialect in [Dialect::S3, Dialect::Oss] {
        let lane = impatient(dialect, &[]).await;
        let policy = lane.waiting(PNG).await;
        // The copy is made, and its source not yet deleted, when the first client disconnects.
        lane.bucket().fail(Operation::Delete, Fault::Hang, 1);
        let mut first = Box::pin(lane.complete(&policy));
        let copied = lane
            .bucket()
            .wait_until(|contents| contents.objects().len() == 2);
        tokio::select! {
            reply = &mut first => panic!("answered {}", reply.status),
            () = copied => {}
        }
        // The second one gets the result.
        let second = lane.complete(&policy).await.item();
        drop(first);
        lane.api().store().settle().await;
        let key = path_of(&second);
        assert!(lane.keys().iter().any(|held| held == key), "{dialect:?}");
        assert_eq!(lane.bytes(key), PNG);
        assert_eq!(
            lasting(&lane.complete(&policy).await.data()[0]),
            lasting(&second)
        );
    }
}

#[tokio::test]
async fn a_search_that_fails_is_the_stores_failure_and_not_a_missing_file() {
    for (fault, code) in [
        (DENIED, "store_refused"),
        (Fault::Status(500, "InternalError"), "store_unavailable"),
    ] {
        let lane = Lane::s3(&[]).await;
        let policy = lane.policy("a.png").await;
        lane.bucket().fail(Operation::List, fault, ALWAYS);
        lane.assert_refuses(&policy, code).await;
    }
}

#[tokio::test]
async fn large_objects_are_copied_in_parts_bound_to_what_was_seen() {
    for dialect in [Dialect::S3, Dialect::Oss] {
        let bucket = BucketDouble::start(dialect).await;
        bucket.limit_copies(10 * MIB);
        let lane = Lane::changed(Some(bucket), &[STRIP_OFF], |config| {
            if let store::Settings::Bucket(settings) = &mut config.store {
                settings.one_copy_bytes = 10 * MIB as u64;
            }
        });
        for size in [10 * MIB, 10 * MIB + 1, 15 * MIB + 7] {
            let content = png_bytes(size);
            let item = lane.upload("a.png", &content).await;
            let key = path_of(&item);
            assert_eq!(lane.bytes(key), content, "{size}");
            let object = &lane.bucket().objects()[key];
            assert_eq!(object.content_type.as_deref(), Some("image/png"));
        }
        let mut parts = lane.bucket().requests();
        parts.retain(|request| request.operation == Operation::CopyPart);
        assert!(parts.len() >= 5, "{}", parts.len());
        for part in parts {
            assert!(part.header("x-amz-copy-source-if-match").is_some());
        }

        let policy = lane.waiting(png_bytes(10 * MIB + 1)).await;
        lane.bucket()
            .fail(Operation::CopyPart, Fault::SwapFirst(b"<html><script>"), 1);
        lane.assert_refuses(&policy, "type_refused").await;
        assert_eq!(lane.bucket().open_uploads(), 0);
        assert_eq!(lane.keys().len(), 3);

        lane.put_ok(&policy, png_bytes(10 * MIB + 1)).await;
        lane.bucket().fail(Operation::CopyPart, DENIED, 1);
        lane.assert_refuses(&policy, "store_refused").await;
        assert_eq!(lane.bucket().open_uploads(), 0);
        lane.complete(&policy).await.data();
        assert_eq!(lane.keys().len(), 4);
    }
}

#[tokio::test]
async fn other_methods_are_405_and_a_bucket_needs_no_route_for_forms() {
    let lane = Lane::disk(&[]);
    for path in [POLICY, COMPLETE, PENDING] {
        let reply = lane.send(get(path)).await;
        reply.assert_refused("method_not_allowed");
        assert_eq!(reply.header("allow"), "POST");
    }
    // Forms for a bucket are posted to the bucket.
    let lane = Lane::s3(&[]).await;
    let reply = lane.send(Form::image().to(PENDING)).await;
    reply.assert_refused("not_found");
}

#[tokio::test]
async fn temporary_keys_sign_forms_with_their_token() {
    for (dialect, field) in [
        (Dialect::S3, "x-amz-security-token"),
        (Dialect::Oss, "x-oss-security-token"),
    ] {
        let bucket = BucketDouble::start(dialect).await;
        bucket.allow("STS.role", "secret-of-the-role", Some("its+token/="));
        let vars = [
            ("AWS_ACCESS_KEY_ID", "STS.role"),
            ("AWS_SECRET_ACCESS_KEY", "secret-of-the-role"),
            ("AWS_SESSION_TOKEN", "its+token/="),
        ];
        let lane = Lane::changed(Some(bucket), &vars, |_| {});
        let policy = lane.policy("a.png").await;
        assert_eq!(policy["upload"]["formData"][field], "its+token/=");
        lane.put_ok(&policy, PNG).await;
        lane.complete(&policy).await.data();
    }
}

#[tokio::test]
async fn the_three_calls_work_over_sockets_alone() {
    for on in [Driver::Local, Driver::FunctionCompute] {
        let lane = Lane::start(on, &[SIGNING]).await.signed_in(user_jwt("7"));
        let content = png_bytes(3 * MIB);
        let item = lane.upload("a.png", &content).await;
        assert_eq!(item["size"], content.len());
        lane.assert_holds(&[path_of(&item)]);
    }
}
