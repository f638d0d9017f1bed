//! Section G of the list, and number 75: misuse of forms, tickets, parts and recall tokens. Forms and
//! parts go to the store, as a client sends them: to the bucket's double, which is as strict as a
//! cloud, or to the function where the store is a folder.
//!
//! Left out, because it takes a clock: forms, tickets and recall tokens after their time
//! (`tests/it/direct.rs`, `tests/it/recall.rs`, and the unit tests beside each).

use std::{
    fmt::{Display, Write as _},
    time::Duration,
};

use axum::http::Method;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    bucket_double::{BucketDouble, Dialect, Fault, Operation},
    drivers::{Case, Driver, Way, rows},
    lane::{COMPLETE, POLICY, RECALL, fields, target, uni_form},
    support::{Form, PNG, Reply, UPLOAD, disposition, path_of, picture_of, send},
    tokens::{of_guest, of_user},
};

const HTML: &[u8] = b"<!DOCTYPE html><script>alert(1)</script>";
const MAX_BYTES: usize = 100_000;

/// A way into the program with its store, and a client of both.
struct Place {
    driver: Driver,
    /// The keys that must be there, and no others.
    kept: Vec<String>,
    cases: usize,
    failures: String,
}

impl Place {
    /// The answer of this store: S3, OSS, a folder.
    fn by_store(&self, answers: &'static str) -> &'static str {
        answers.split(' ').nth(self.kind()).unwrap()
    }

    fn kind(&self) -> usize {
        match self.bucket().map(BucketDouble::dialect) {
            Some(Dialect::S3) => 0,
            Some(Dialect::Oss) => 1,
            None => 2,
        }
    }

    fn bucket(&self) -> Option<&BucketDouble> {
        self.driver.bucket()
    }

    fn keys(&self) -> Vec<String> {
        self.driver.contents().into_keys().collect()
    }

    fn bytes(&self, key: &str) -> Bytes {
        self.driver.contents().remove(key).unwrap_or_default()
    }

    /// Sends a request to the function.
    async fn send(&self, case: Case) -> Reply {
        self.driver.send(&case).await.unwrap()
    }

    /// Posts JSON with this user's token.
    async fn ask_as(&self, token: &str, path: &str, arguments: &Value) -> Reply {
        let case = Case::post("", "application/json", arguments.to_string());
        self.send(case.to(path).header("token", token)).await
    }

    async fn ask(&self, path: &str, arguments: &Value) -> Reply {
        self.ask_as(&of_user("7"), path, arguments).await
    }

    async fn get(&self, path: &str) -> Reply {
        let case = Case::post("", "", "").to(path).without("content-type");
        self.send(case.method(Method::GET)).await
    }

    async fn policy(&self) -> Value {
        self.ask(POLICY, &json!({"name": "a.png"})).await.data()
    }

    /// Sends a form to whoever takes it.
    async fn post(&self, policy: &Value, form: &Form) -> Reply {
        let url = policy["upload"]["url"].as_str().unwrap();
        self.driver.post_form(url, form).await
    }

    async fn put(&self, policy: &Value, content: &[u8]) -> Reply {
        self.post(policy, &uni_form(&policy["upload"], "a.png", content))
            .await
    }

    async fn complete(&self, policy: &Value) -> Reply {
        self.ask(COMPLETE, &json!({"ticket": policy["ticket"]}))
            .await
    }

    /// The item of a picture that is sent as it should be.
    async fn upload(&self) -> Value {
        let policy = self.policy().await;
        self.put(&policy, PNG).await;
        self.complete(&policy).await.item()
    }

    /// From now on these keys must be there, and no others.
    fn keep(&mut self) {
        self.kept = self.keys();
    }

    /// Notes whether an answer is this failure, or has this status, and that nothing else is stored.
    fn expect(&mut self, name: impl Display, reply: &Reply, expected: &str) {
        let answered = match expected.parse::<u16>() {
            Ok(status) if reply.status.as_u16() == status => Ok(()),
            Ok(_) => Err(format!("{reply:?}")),
            Err(_) => reply.refused(expected),
        };
        let now = self.keys();
        let open = self.bucket().map_or(0, BucketDouble::open_uploads);
        let held = answered.is_ok() && now == self.kept && open == 0;
        let kept = self.kept.clone();
        let found = || format!("{answered:?}, {now:?} and {open} open, not {expected}, {kept:?}");
        self.note(name, held, found);
    }

    /// `found` says how it went instead.
    fn note(&mut self, name: impl Display, held: bool, found: impl FnOnce() -> String) {
        self.cases += 1;
        if !held {
            let _ = writeln!(self.failures, "{name}: {}", found());
        }
    }
}

/// The fields of a form with one of them changed, and a picture.
fn changed(policy: &Value, name: &str, value: &str) -> Form {
    let mut upload = policy["upload"].clone();
    upload["formData"][name] = value.into();
    uni_form(&upload, "a.png", PNG)
}

fn without(policy: &Value, name: &str) -> Form {
    let mut upload = policy["upload"].clone();
    upload["formData"].as_object_mut().unwrap().remove(name);
    uni_form(&upload, "a.png", PNG)
}

/// G67: a form used for what it was not signed for.
async fn forms(place: &mut Place) {
    place.keep();
    let (policy, other) = (place.policy().await, place.policy().await);
    let other_key = other["upload"]["formData"]["key"].as_str().unwrap();
    let own_key = policy["upload"]["formData"]["key"].as_str().unwrap();
    let foreign = other["upload"]["formData"]["policy"].as_str().unwrap();
    let empty = r#"{"expiration":"2099-01-01T00:00:00Z","conditions":[]}"#;
    let empty = base64_simd::STANDARD.encode_to_string(empty);
    for (name, value) in [
        ("key", other_key),
        ("key", "images/20260102/1_0.png"),
        ("key", "pending/../images/x.png"),
        ("key", ""),
        ("key", "${filename}"),
        ("key", &format!("{own_key}.html")),
        ("key", &own_key.to_uppercase()),
        ("key", &format!("/{own_key}")),
        ("policy", foreign),
        ("policy", &empty),
        ("policy", "x"),
        ("policy", ""),
    ] {
        let reply = place.post(&policy, &changed(&policy, name, value)).await;
        let expected = place.by_store("403 403 401");
        place.expect(format!("g67 {name} {value:.30}"), &reply, expected);
    }
    for name in policy["upload"]["formData"].as_object().unwrap().keys() {
        // A folder needs neither the status nor a signature beside the policy.
        if place.bucket().is_some() || name != "success_action_status" {
            let reply = place.post(&policy, &without(&policy, name)).await;
            let status = reply.status.as_u16();
            let held = (400..=403).contains(&status) && place.keys() == place.kept;
            place.note(format!("g67 without {name}"), held, || format!("{status}"));
        }
    }
    let sized = |size: usize| uni_form(&policy["upload"], "a.png", picture_of(size));
    for (name, form, answers) in [
        ("a byte too many", sized(MAX_BYTES + 1), "400 400 413"),
        ("a megabyte too many", sized(1 << 20), "400 400 413"),
        ("no byte", sized(0), "400 400 400"),
        ("no file", fields(&policy["upload"]), "400 400 400"),
    ] {
        let reply = place.post(&policy, &form).await;
        let expected = place.by_store(answers);
        place.expect(format!("g67 {name}"), &reply, expected);
    }
}

/// Numbers and forms as some clients write them.
async fn clients(place: &mut Place) {
    place.keep();
    for (size, expected) in [
        (json!(123.0), "200"),
        (json!("123.0"), "200"),
        (json!(1e3), "200"),
        (json!(7), "200"),
        (json!("7"), "200"),
        (json!(1.5), "parameter_invalid size"),
        (json!("1.5"), "parameter_invalid size"),
        (json!(-1), "parameter_invalid size"),
        (json!("many"), "parameter_invalid size"),
        (json!(100_001), "too_large 100000 bytes"),
        (json!(100_001.0), "too_large 100000 bytes"),
    ] {
        let asked = json!({"name": "a.png", "size": size});
        let reply = place.ask(POLICY, &asked).await;
        place.expect(format!("g67 size {size}"), &reply, expected);
    }
    if place.bucket().is_some() {
        return;
    }
    // The function takes the form itself. Text fields have a type of their own.
    for content_type in [
        "text/plain",
        "text/plain; charset=utf-8",
        "application/json",
    ] {
        let policy = place.policy().await;
        let upload = policy["upload"].clone();
        let fields = upload["formData"].as_object().unwrap().iter();
        let form = fields.fold(Form::new(), |form, (name, value)| {
            let headers = disposition(&format!("name=\"{name}\"\r\nContent-Type: {content_type}"));
            form.part(headers, value.as_str().unwrap())
        });
        let reply = place.post(&policy, &form.file("file", "a.png", PNG)).await;
        let (name, held) = (format!("g67 fields of {content_type}"), reply.status == 200);
        place.note(name, held, || format!("{reply:?}"));
        let item = place.complete(&policy).await.item();
        let held = place.bytes(path_of(&item)) == PNG;
        let name = format!("g67 stored from fields of {content_type}");
        place.note(name, held, String::new);
    }
}

/// A document is handed out under the name that it was announced with.
async fn documents(place: &mut Place) {
    for [name, content, saved_as, encoded] in rows(
        r#"
        账单 1.md | # Rent | ___1.md | %E8%B4%A6%E5%8D%95%201.md
        a.csv     | a,b    | a.csv   | a.csv
        x"y.txt   | text   | x_y.txt | x%22y.txt
        "#,
    ) {
        let expected = format!("attachment; filename=\"{saved_as}\"; filename*=UTF-8''{encoded}");
        let policy = place.ask(POLICY, &json!({"name": name})).await.data();
        place.put(&policy, content.as_bytes()).await;
        let item = place.complete(&policy).await.item();
        let key = path_of(&item);
        let objects = place.bucket().map(BucketDouble::objects);
        let found = objects.map(|mut objects| objects.remove(key).unwrap().content_disposition);
        let is_named = found.as_ref().is_none_or(|found| *found == Some(expected));
        let held = is_named && item["name"] == name && place.bytes(key) == content.as_bytes();
        let name = format!("g67 {name} is saved under its name");
        place.note(name, held, || format!("{found:?} {item}"));
    }
}

/// G67: what a form lets through and completion does not.
async fn contents(place: &mut Place) {
    place.keep();
    for (name, content) in [
        ("HTML", HTML),
        ("SVG", b"<svg onload=alert(1)>"),
        ("EXE", b"MZ\x90\0\x03"),
        ("shell", b"#!/bin/sh\n"),
    ] {
        let policy = place.policy().await;
        place.put(&policy, content).await;
        let reply = place.complete(&policy).await;
        place.expect(format!("g67 {name} as a picture"), &reply, "type_refused");
        let reply = place.complete(&policy).await;
        place.expect(format!("g67 {name} once more"), &reply, "upload_incomplete");
    }
}

/// G67: the same form twice, before and after completion.
async fn twice(place: &mut Place) {
    let policy = place.policy().await;
    place.put(&policy, PNG).await;
    place.keep();
    let reply = place.put(&policy, &picture_of(5000)).await;
    let status = place.by_store("200 409 409");
    place.expect("g67 twice before completion", &reply, status);
    let item = place.complete(&policy).await.item();
    place.keep();
    let key = path_of(&item).to_owned();
    let content = place.bytes(&key);
    for (name, again) in [("picture", picture_of(6000)), ("page", HTML.to_vec())] {
        place.put(&policy, &again).await;
        let reply = place.complete(&policy).await;
        let after = format!("g67 another {name} after completion");
        place.expect(after, &reply, "200");
        let same = place.bytes(&key) == content && reply.data()[0]["path"] == key;
        let stays = format!("g67 the first stays, {name}");
        place.note(stays, same, || "it was replaced".into());
    }
}

/// G67 and G70: tickets of other users, and what is no ticket.
async fn tickets(place: &mut Place) {
    let policy = place.policy().await;
    place.put(&policy, PNG).await;
    place.keep();
    let good = policy["ticket"].as_str().unwrap().to_owned();
    let arguments = json!({"ticket": good});
    for (name, token, code) in [
        ("another user", of_user("8"), "ticket_invalid"),
        ("a guest", of_guest("8"), "ticket_invalid"),
        ("nobody", String::new(), "token_missing"),
        ("a bad token", "x".to_owned(), "token_invalid"),
        ("its ticket for a token", good.clone(), "token_invalid"),
    ] {
        let reply = place.ask_as(&token, COMPLETE, &arguments).await;
        place.expect(format!("g70 completed by {name}"), &reply, code);
    }
    let middle = good.len() / 2;
    let flipped = ["B", "A"][usize::from(good.as_bytes()[middle] != b'A')];
    let changed = format!("{}{flipped}{}", &good[..middle], &good[middle + 1..]);
    let (statement, signature) = good.rsplit_once('.').unwrap();
    let other = signature.to_uppercase();
    for (name, ticket) in [
        ("empty", json!("")),
        ("a JWT", json!(of_user("7"))),
        ("changed", json!(changed)),
        ("unsigned", json!(format!("{statement}."))),
        ("another's signature", json!(format!("{statement}.{other}"))),
        ("doubled", json!(format!("{good}{good}"))),
        ("a key", policy["upload"]["formData"]["key"].clone()),
        ("a policy", policy["upload"]["formData"]["policy"].clone()),
        ("60 KB", json!("x".repeat(60_000))),
    ] {
        let reply = place.ask(COMPLETE, &json!({"ticket": ticket})).await;
        place.expect(format!("g70 ticket: {name}"), &reply, "ticket_invalid");
    }
    for (name, ticket) in [
        ("a list", json!([good])),
        ("an object", json!({"ticket": good})),
        ("a boolean", json!(true)),
    ] {
        let reply = place.ask(COMPLETE, &json!({"ticket": ticket})).await;
        place.expect(format!("g70 ticket: {name}"), &reply, "parameter_invalid");
    }
    place.complete(&policy).await.data();
    place.keep();
    let unused = place.policy().await;
    let reply = place.complete(&unused).await;
    place.expect("g70 never uploaded", &reply, "upload_incomplete");
}

/// G68: fields that a form does not have.
async fn extra_fields(place: &mut Place) {
    place.keep();
    let policy = place.policy().await;
    if place.bucket().is_some() {
        let signed = policy["upload"]["formData"]["policy"].as_str().unwrap();
        let signed = base64_simd::STANDARD.decode_to_vec(signed).unwrap();
        let signed: Value = serde_json::from_slice(&signed).unwrap();
        let conditions = signed["conditions"].as_array().unwrap();
        let is_open = |condition: &&Value| condition[0] == "starts-with";
        let open: Vec<_> = conditions.iter().filter(is_open).collect();
        let (name, is_closed) = ("g68 no condition is open", open.is_empty());
        place.note(name, is_closed, || format!("{open:?}"));
    }
    let callback = json!({"callbackUrl": "http://evil.example"}).to_string();
    let callback = base64_simd::STANDARD.encode_to_string(callback);
    for (name, value) in [
        ("acl", "public-read-write"),
        ("x-amz-acl", "public-read-write"),
        ("x-oss-object-acl", "public-read-write"),
        ("success_action_redirect", "https://evil.example/"),
        ("Content-Type", "text/html"),
        ("x-oss-content-type", "text/html"),
        ("Content-Disposition", "inline"),
        ("x-amz-meta-a", "b"),
        ("x-oss-meta-a", "b"),
        ("x-amz-website-redirect-location", "https://evil.example/"),
        ("callback", &callback),
        ("success_action_status", "201"),
        ("key", "images/x.html"),
    ] {
        if place.kind() == 1 {
            taken_without(place, name, value).await;
            continue;
        }
        let form = fields(&policy["upload"]).text(name, value);
        let reply = place.post(&policy, &form.file("file", "a.html", PNG)).await;
        let expected = place.by_store(match name {
            "success_action_status" | "key" => "400 400 401",
            _ => "403 403 401",
        });
        place.expect(format!("g68 {name}"), &reply, expected);
    }
    let behind = fields(&policy["upload"])
        .file("file", "a.png", PNG)
        .text("key", "images/x.html");
    let reply = place.post(&policy, &behind).await;
    let waiting = policy["upload"]["formData"]["key"].as_str().unwrap();
    let held = reply.status.as_u16() == 200 && place.keys().iter().any(|key| key == waiting);
    let name = "g68 a field behind the file";
    place.note(name, held, || reply.status.to_string());
    place.complete(&policy).await.data();
}

/// OSS may take a field that its policy does not name: nothing of it may be left in the end.
async fn taken_without(place: &mut Place, name: &str, value: &str) {
    let policy = place.policy().await;
    let form = fields(&policy["upload"]).text(name, value);
    let reply = place.post(&policy, &form.file("file", "a.html", PNG)).await;
    if reply.status.as_u16() >= 400 {
        return place.note(format!("g68 {name}"), true, String::new);
    }
    let item = place.complete(&policy).await.item();
    let objects = place.bucket().map(BucketDouble::objects);
    let object = objects.and_then(|mut objects| objects.remove(path_of(&item)));
    let object = object.unwrap_or_default();
    let held = object.acl.is_none()
        && object.content_type.as_deref() == Some("image/png")
        && object.content_disposition.is_none()
        && object.metadata.is_empty();
    place.note(format!("g68 {name}"), held, || format!("{object:?}"));
}

/// G69: callbacks, which nobody sends here.
async fn callbacks(place: &mut Place) {
    place.keep();
    let policy = place.policy().await;
    let body = json!({"bucket": "chat-test", "object": "images/x.png", "size": 1, "mimeType": "image/png"});
    for path in [
        "/api/chat/uploadCallback",
        "/api/chat/callback",
        "/callback",
        "/api/chat/uploadComplete/callback",
    ] {
        let reply = place.ask(path, &body).await;
        place.expect(format!("g69 {path}"), &reply, "not_found");
    }
    let key_url = base64_simd::STANDARD.encode_to_string("https://evil.example/key.pem");
    let ticket = policy["ticket"].clone();
    for (name, ticket, code) in [
        ("without a ticket", json!(null), "ticket_invalid"),
        ("before the upload", ticket, "upload_incomplete"),
    ] {
        let mut body = body.clone();
        body["ticket"] = ticket;
        let case = Case::post("", "application/json", body.to_string()).to(COMPLETE);
        let case = case.header("x-oss-pub-key-url", &key_url);
        let reply = place.send(case.header("authorization", "Zm9yZ2Vk")).await;
        place.expect(format!("g69 a forged callback {name}"), &reply, code);
    }
}

/// G70: another object in the place of the one that was looked at.
async fn swaps(place: &mut Place) {
    if place.bucket().is_none() {
        return;
    }
    place.keep();
    for (name, content, code) in [
        ("a page", HTML, "type_refused"),
        ("nothing", b"".as_slice(), "file_empty"),
    ] {
        let policy = place.policy().await;
        place.put(&policy, &picture_of(50_000)).await;
        let bucket = place.bucket().expect("checked above");
        // Its head is looked at, and then the rest of it read.
        let fine = Fault::Slow(Duration::ZERO);
        bucket.fail(Operation::Get, fine, 1);
        bucket.fail(Operation::Get, Fault::SwapFirst(content), 1);
        let reply = place.complete(&policy).await;
        place.expect(format!("g70 swapped for {name}"), &reply, code);
    }
}

/// G71: uploads in parts.
async fn parts(place: &mut Place) {
    place.keep();
    let file = json!({"filename": "a.png", "type": "image/png"});
    let begun = place.ask("/s3/multipart", &file).await;
    if place.bucket().is_none() {
        return place.expect("g71 a folder takes no parts", &begun, "direct_disabled");
    }
    let begun = begun.json();
    let [id, key] = ["uploadId", "key"].map(|name| begun[name].as_str().unwrap());
    let path = |more: &str| {
        let glue = if more.contains('?') { '&' } else { '?' };
        format!("/s3/multipart/{id}{more}{glue}key={key}")
    };
    let mut answers = Vec::new();
    for number in ["0", "10001", "-1", "abc", "1.5", "1e3", "4294967297", "%00"] {
        for asked in [
            format!("/{number}"),
            format!("/batch?partNumbers=1,{number}"),
        ] {
            let reply = place.get(&path(&asked)).await;
            answers.push((format!("g71 part {asked}"), reply, "parameter_invalid"));
        }
    }
    let complete = path("/complete");
    let missing = json!({"parts": [{"PartNumber": 1, "ETag": "x"}]});
    for [name, parts, code] in rows(
        r#"
        no parts            | []                                   | parameter_invalid
        part 0              | [{"PartNumber": 0, "ETag": "x"}]     | parameter_invalid
        part 10001          | [{"PartNumber": 10001, "ETag": "x"}] | parameter_invalid
        a part without ETag | [{"PartNumber": 1}]                  | parameter_invalid
        a missing part      | [{"PartNumber": 1, "ETag": "x"}]     | upload_incomplete
        "#,
    ) {
        let parts: Value = serde_json::from_str(parts).unwrap();
        let reply = place.ask(&complete, &json!({"parts": parts})).await;
        answers.push((format!("g71 {name}"), reply, code));
    }
    for (name, path) in [
        (
            "another key",
            format!("/s3/multipart/{id}?key=images/20260102/x.png"),
        ),
        (
            "the bucket's id",
            format!("/s3/multipart/upload-1?key={key}"),
        ),
    ] {
        let reply = place.get(&path).await;
        answers.push((format!("g71 {name}"), reply, "ticket_invalid"));
    }
    let reply = place.ask_as(&of_user("8"), &complete, &missing).await;
    answers.push(("g71 another user".to_owned(), reply, "ticket_invalid"));

    let signed = place.get(&path("/1")).await.json();
    let (addr, part) = target(signed["url"].as_str().unwrap());
    let put = async |path: &str, bytes: &'static [u8]| {
        let put = axum::http::Request::put(path).body(bytes.into());
        send(addr, put.unwrap()).await
    };
    let mut etags = Vec::new();
    // Parts before the last are smaller than a bucket takes.
    for (number, bytes) in [(1, PNG), (2, PNG), (3, b"x"), (4, PNG)] {
        let signed = place.get(&path(&format!("/{number}"))).await.json();
        let (_, part) = target(signed["url"].as_str().unwrap());
        let etag = put(&part, bytes).await.header("etag").to_owned();
        etags.push(json!({"PartNumber": number, "ETag": etag}));
        if number > 1 {
            let reply = place.ask(&complete, &json!({"parts": etags})).await;
            answers.push((format!("g71 {number} small parts"), reply, "part_too_small"));
        }
    }
    let abort = Case::post("", "", "").to(path("")).without("content-type");
    let abort = abort.method(Method::DELETE);
    let aborted = place.send(abort).await;
    place.expect("g71 aborted", &aborted, "200");
    for (name, reply, code) in answers {
        place.expect(name, &reply, code);
    }
    let late = put(&part, PNG).await;
    place.expect("g71 a part after the abort", &late, "404");
    let parts = json!({"parts": etags[..1]});
    let reply = place.ask(&complete, &parts).await;
    place.expect("g71 abort, then complete", &reply, "upload_incomplete");
}

/// 75: taking back what is not one's own.
async fn recalls(place: &mut Place) {
    let (first, second) = (place.upload().await, place.upload().await);
    let streamed = place.send(Case::picture("").to(UPLOAD)).await.item();
    place.keep();
    let text = |item: &Value| item["recall_token"].as_str().unwrap().to_owned();
    let (token, other) = (text(&first), text(&second));
    for (name, who, code) in [
        ("another user", of_user("8"), "ticket_invalid"),
        ("a guest", of_guest("7x"), "ticket_invalid"),
        ("nobody", String::new(), "token_missing"),
    ] {
        let asked = json!({"recall_token": token});
        let reply = place.ask_as(&who, RECALL, &asked).await;
        place.expect(format!("h75 {name}"), &reply, code);
    }
    let (statement, signature) = token.rsplit_once('.').unwrap();
    let (_, other_signature) = other.rsplit_once('.').unwrap();
    let mixed = format!("{statement}.{other_signature}");
    let policy = place.policy().await;
    for (name, forged) in [
        ("signature of another object", mixed),
        ("statement alone", statement.to_owned()),
        ("signature alone", signature.to_owned()),
        ("a ticket", policy["ticket"].as_str().unwrap().to_owned()),
        ("a JWT", of_user("7")),
        ("a path", path_of(&first).to_owned()),
        ("nothing", String::new()),
    ] {
        let reply = place.ask(RECALL, &json!({"recall_token": forged})).await;
        place.expect(format!("h75 {name}"), &reply, "ticket_invalid");
    }
    let reply = place.ask(COMPLETE, &json!({"ticket": token})).await;
    place.expect("h75 for a ticket", &reply, "ticket_invalid");
    for (name, item) in [("direct", &first), ("streamed", &streamed)] {
        place.kept.retain(|key| key != path_of(item));
        for time in ["once", "again"] {
            let reply = place
                .ask(RECALL, &json!({"recall_token": text(item)}))
                .await;
            place.expect(format!("h75 {name}, {time}"), &reply, "200");
        }
    }
}

/// Sends all of it through one way.
async fn all(way: Way) {
    let vars = [("UPLOAD_DIRECT_MAX_BYTES", &*MAX_BYTES.to_string())];
    let mut place = Place {
        driver: Driver::start(way, &vars).await,
        kept: Vec::new(),
        cases: 0,
        failures: String::new(),
    };
    clients(&mut place).await;
    documents(&mut place).await;
    forms(&mut place).await;
    contents(&mut place).await;
    twice(&mut place).await;
    tickets(&mut place).await;
    extra_fields(&mut place).await;
    callbacks(&mut place).await;
    swaps(&mut place).await;
    parts(&mut place).await;
    recalls(&mut place).await;
    println!("{way:?}, direct: {} cases", place.cases);
    assert!(place.failures.is_empty(), "{way:?}\n{}", place.failures);
}

#[tokio::test]
async fn every_misuse_of_the_direct_lane_is_held_by_the_router_alone() {
    all(Way::Router).await;
}

#[tokio::test]
async fn every_misuse_of_the_direct_lane_is_held_by_the_local_server_with_a_folder() {
    all(Way::Local).await;
}

#[tokio::test]
async fn every_misuse_of_the_direct_lane_is_held_on_function_compute_with_a_bucket() {
    all(Way::FunctionCompute).await;
}

#[tokio::test]
async fn every_misuse_of_the_direct_lane_is_held_on_lambda_with_a_bucket() {
    all(Way::Lambda).await;
}
