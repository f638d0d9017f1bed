//! Section G of the list, and number 75: misuse of forms, tickets, parts and recall tokens. Forms and
//! parts are sent to the store, like a client does: to the bucket's double, which is as strict as a
//! cloud, or to the function if the store is a folder.
//!
//! Not here, because they need a clock: expired forms, tickets and recall tokens
//! (`tests/it/direct.rs`, `tests/it/recall.rs`, and the unit tests of each).

use std::fmt::Display;

use axum::http::Method;
use serde_json::{Value, json};

use crate::{
    companion::{Upload, bare, put},
    direct::GIF,
    drivers::{Driver, rows},
    lane::{COMPLETE, Lane, POLICY, RECALL, fields, lasting, pending_key, post_json},
    support::{
        Form, PNG, Reply, RequestExt as _, UPLOAD, disposition, empty, get, path_of, png_bytes,
        post,
    },
    tokens::{guest_jwt, user_jwt},
};

const HTML: &[u8] = b"<!DOCTYPE html><script>alert(1)</script>";
const MAX_BYTES: usize = 100_000;

impl Lane {
    /// Asserts that a response has this failure or status, and that only these keys are stored.
    #[track_caller]
    fn expect(&self, name: impl Display, reply: &Reply, expected: &str, kept: &[String]) {
        match expected.parse::<u16>() {
            Ok(status) => assert_eq!(reply.status, status, "{name}: {reply:?}"),
            Err(_) => assert_eq!(reply.refused(expected), Ok(()), "{name}"),
        }
        assert_eq!(self.keys(), kept, "{name}");
        assert_eq!(self.open_uploads(), 0, "{name}");
    }

    /// Sends each of these values of an argument, which must be refused with this failure and change nothing.
    async fn expect_each<const N: usize>(
        &self,
        (path, argument): (&str, &str),
        code: &str,
        values: [(&str, Value); N],
    ) {
        let kept = self.keys();
        for (name, value) in values {
            let reply = self.ask(path, &json!({argument: value})).await;
            self.expect(format!("{argument}: {name}"), &reply, code, &kept);
        }
    }
}

/// G67: a form used for other content than it was signed for.
async fn a_form_brings_nothing_that_it_was_not_signed_for(lane: &Lane) {
    let kept = lane.keys();
    let (policy, other) = (lane.policy("a.png").await, lane.policy("a.png").await);
    let own_key = pending_key(&policy);
    let foreign = other["upload"]["formData"]["policy"].as_str().unwrap();
    let empty = r#"{"expiration":"2099-01-01T00:00:00Z","conditions":[]}"#;
    let empty = base64_simd::STANDARD.encode_to_string(empty);
    for (name, value) in [
        ("key", pending_key(&other)),
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
        let mut changed = policy.clone();
        changed["upload"]["formData"][name] = value.into();
        let reply = lane.put(&changed, PNG).await;
        let expected = lane.by_store(["403", "403", "401"]);
        lane.expect(format!("g67 {name} {value:.30}"), &reply, expected, &kept);
    }
    for name in policy["upload"]["formData"].as_object().unwrap().keys() {
        // A disk store needs neither the status nor a signature besides the policy.
        if lane.bucket.is_some() || name != "success_action_status" {
            let mut without = policy.clone();
            let all = without["upload"]["formData"].as_object_mut();
            all.unwrap().remove(name);
            let status = lane.put(&without, PNG).await.status.as_u16();
            assert!((400..=403).contains(&status), "{name}: {status}");
            assert_eq!(lane.keys(), kept, "g67 without {name}");
        }
    }
    for (name, size, on_disk) in [
        ("a byte too many", MAX_BYTES + 1, "413"),
        ("a megabyte too many", 1 << 20, "413"),
        ("no byte", 0, "400"),
    ] {
        let reply = lane.put(&policy, png_bytes(size)).await;
        let expected = lane.by_store(["400", "400", on_disk]);
        lane.expect(format!("g67 {name}"), &reply, expected, &kept);
    }
    let upload = &policy["upload"];
    let reply = lane.post_form(upload, &fields(upload)).await;
    lane.expect("g67 no file", &reply, "400", &kept);
    let reply = lane.complete(&policy).await;
    lane.expect("g67 nothing taken", &reply, "upload_incomplete", &kept);
}

/// Arguments and forms in variants of some clients.
async fn arguments_and_forms_come_as_some_clients_write_them(lane: &Lane) {
    let kept = lane.keys();
    for [arguments, expected] in rows(
        r#"
        {"name": "a.png", "size": 123.0}    | 200
        {"name": "a.png", "size": "123.0"}  | 200
        {"name": "a.png", "size": 1000.0}   | 200
        {"name": "a.png", "size": 7}        | 200
        {"name": "a.png", "size": "7"}      | 200
        {"name": "a.png", "size": 1.5}      | parameter_invalid size
        {"name": "a.png", "size": "1.5"}    | parameter_invalid size
        {"name": "a.png", "size": -1}       | parameter_invalid size
        {"name": "a.png", "size": "many"}   | parameter_invalid size
        {"name": "a.png", "size": 100001}   | too_large 100000 bytes
        {"name": "a.png", "size": 100001.0} | too_large 100000 bytes
        {"name": ["a"]}                     | parameter_invalid
        {"name": {"a": 1}}                  | parameter_invalid
        {"name": "a", "imageClassId": "abc"} | class_id_invalid
        {"name": "a", "image_class_id": -1} | class_id_invalid
        ["a"]                               | parameter_invalid
        {                                   | parameter_invalid
        name=a                              | parameter_invalid
        null                                | parameter_invalid
        "#,
    ) {
        let reply = lane.send(post(POLICY, "application/json", arguments)).await;
        lane.expect(format!("g67 {arguments}"), &reply, expected, &kept);
    }
    let long = format!("name={}", "x".repeat(70_000));
    let long = post(POLICY, "application/x-www-form-urlencoded", long);
    let reply = lane.send(long).await;
    lane.expect("g67 70 KB", &reply, "field_too_large", &kept);
    if lane.bucket.is_some() {
        return;
    }
    // The function accepts the form itself. Its text fields have a type.
    for content_type in [
        "text/plain",
        "text/plain; charset=utf-8",
        "application/json",
    ] {
        let policy = lane.policy("a.png").await;
        let upload = &policy["upload"];
        let fields = upload["formData"].as_object().unwrap().iter();
        let form = fields.fold(Form::new(), |form, (name, value)| {
            let headers = disposition(&format!("name=\"{name}\"\r\nContent-Type: {content_type}"));
            form.part(headers, value.as_str().unwrap())
        });
        let form = form.file("file", "a.png", PNG);
        let reply = lane.post_form(upload, &form).await;
        assert_eq!(reply.status, 200, "g67 fields of {content_type}: {reply:?}");
        let item = lane.complete(&policy).await.item();
        assert_eq!(lane.bytes(path_of(&item)), PNG, "{content_type}");
    }
}

/// A document is served under the name in its policy request.
async fn a_document_is_handed_out_under_the_name_it_was_announced_with(lane: &Lane) {
    for [name, content, saved_as, encoded] in rows(
        r#"
        账单 1.md | # Rent | ___1.md | %E8%B4%A6%E5%8D%95%201.md
        a.csv     | a,b    | a.csv   | a.csv
        x"y.txt   | text   | x_y.txt | x%22y.txt
        "#,
    ) {
        let item = lane.upload(name, content).await;
        assert_eq!(item["name"], name);
        let key = path_of(&item);
        assert_eq!(lane.bytes(key), content, "g67 {name}");
        if let Some(bucket) = &lane.bucket {
            let saved_as =
                format!("attachment; filename=\"{saved_as}\"; filename*=UTF-8''{encoded}");
            assert_eq!(bucket.objects()[key].content_disposition, Some(saved_as));
        }
    }
}

/// G67: what a form permits and completion refuses.
async fn what_a_form_lets_through_is_judged_at_completion(lane: &Lane) {
    let kept = lane.keys();
    for (name, content) in [
        ("HTML", HTML),
        ("SVG", b"<svg onload=alert(1)>"),
        ("EXE", b"MZ\x90\0\x03"),
        ("shell", b"#!/bin/sh\n"),
    ] {
        let policy = lane.waiting(content).await;
        for code in ["type_refused", "upload_incomplete"] {
            let reply = lane.complete(&policy).await;
            lane.expect(format!("g67 {name} as an image"), &reply, code, &kept);
        }
    }
}

/// G67: the same form twice, before completion.
async fn a_form_cannot_be_used_twice_where_the_store_can_forbid_it(lane: &Lane) {
    let policy = lane.waiting(PNG).await;
    let (kept, second) = (lane.keys(), png_bytes(5000));
    let reply = lane.put(&policy, &second).await;
    let status = lane.by_store(["200", "409", "409"]);
    lane.expect("g67 twice", &reply, status, &kept);
    let item = lane.complete(&policy).await.item();
    let stays = lane.by_store([&second[..], PNG, PNG]);
    assert_eq!(lane.bytes(path_of(&item)), stays);
}

/// G67: the same form twice, after completion.
async fn a_form_posted_again_after_completion_changes_nothing(lane: &Lane) {
    let mut kept = lane.keys();
    let policy = lane.waiting(PNG).await;
    let item = lane.complete(&policy).await.item();
    kept.push(path_of(&item).to_owned());
    kept.sort();
    for (name, again) in [
        ("image", &png_bytes(6000)[..]),
        ("GIF", GIF),
        ("page", HTML),
    ] {
        // If the store cannot forbid it: the key is free again.
        lane.put(&policy, again).await;
        let reply = lane.complete(&policy).await;
        lane.expect(format!("g67 {name} after completion"), &reply, "200", &kept);
        assert_eq!(lasting(&reply.item()), lasting(&item), "g67 {name}");
        assert_eq!(lane.bytes(path_of(&item)), PNG, "g67 {name}");
    }
}

/// G70: tickets of other users.
async fn a_ticket_is_good_for_its_user_alone(lane: &Lane) {
    let policy = lane.waiting(PNG).await;
    let kept = lane.keys();
    let good = policy["ticket"].as_str().unwrap();
    for (name, token, code) in [
        ("another user", user_jwt("8"), "ticket_invalid"),
        ("a guest", guest_jwt("8"), "ticket_invalid"),
        ("nobody", String::new(), "token_missing"),
        ("a bad token", "x".to_owned(), "token_invalid"),
        ("its ticket for a token", good.to_owned(), "token_invalid"),
    ] {
        let reply = lane
            .ask_as(&token, COMPLETE, &json!({"ticket": good}))
            .await;
        lane.expect(format!("g70 completed by {name}"), &reply, code, &kept);
    }
    lane.complete(&policy).await.data();
}

/// G70: invalid tickets.
async fn tickets_that_are_not_ours_are_401(lane: &Lane) {
    let foreign = Lane::disk(&[]).policy("a.png").await;
    let recallable = lane.upload("b.png", PNG).await;
    let policy = lane.waiting(PNG).await;
    let good = policy["ticket"].as_str().unwrap();
    let middle = good.len() / 2;
    let flipped = ["B", "A"][usize::from(good.as_bytes()[middle] != b'A')];
    let changed = format!("{}{flipped}{}", &good[..middle], &good[middle + 1..]);
    let (statement, signature) = good.rsplit_once('.').unwrap();
    let other = signature.to_uppercase();
    let forged = [
        ("null", json!(null)),
        ("empty", json!("")),
        ("a letter", json!("x")),
        ("a number", json!(7)),
        ("a JWT", json!(user_jwt("7"))),
        ("under another secret", foreign["ticket"].clone()),
        ("to recall", recallable["recall_token"].clone()),
        ("changed", json!(changed)),
        ("longer", json!(format!("{good}x"))),
        ("shorter", json!(&good[1..])),
        ("in capitals", json!(good.to_uppercase())),
        ("unsigned", json!(format!("{statement}."))),
        ("another's signature", json!(format!("{statement}.{other}"))),
        ("doubled", json!(format!("{good}{good}"))),
        ("two", json!(format!("{good}.{good}"))),
        ("a key", policy["upload"]["formData"]["key"].clone()),
        ("a policy", policy["upload"]["formData"]["policy"].clone()),
        ("60 KB", json!("x".repeat(60_000))),
    ];
    let shapes = [
        ("a list", json!([good])),
        ("an object", json!({"ticket": good})),
        ("a boolean", json!(true)),
    ];
    let ticket = (COMPLETE, "ticket");
    lane.expect_each(ticket, "ticket_invalid", forged).await;
    lane.expect_each(ticket, "parameter_invalid", shapes).await;
    lane.complete(&policy).await.data();
    let kept = lane.keys();
    let unused = lane.policy("a.png").await;
    let reply = lane.complete(&unused).await;
    lane.expect("g70 never uploaded", &reply, "upload_incomplete", &kept);
}

/// G68: additional fields in a form.
async fn no_field_counts_that_a_form_does_not_have(lane: &Lane) {
    let kept = lane.keys();
    let policy = lane.policy("a.png").await;
    let upload = &policy["upload"];
    if lane.bucket.is_some() {
        let signed = upload["formData"]["policy"].as_str().unwrap();
        let signed = base64_simd::STANDARD.decode_to_vec(signed).unwrap();
        let signed: Value = serde_json::from_slice(&signed).unwrap();
        let mut conditions = signed["conditions"].as_array().unwrap().iter();
        let open = conditions.find(|condition| condition[0] == "starts-with");
        assert_eq!(open, None, "g68 no condition is open");
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
        if lane.kind() == "oss" {
            taken_without(lane, name, value).await;
            continue;
        }
        let form = fields(upload).text(name, value);
        let reply = lane
            .post_form(upload, &form.file("file", "a.html", PNG))
            .await;
        let by_bucket = match name {
            "success_action_status" | "key" => "400",
            _ => "403",
        };
        let expected = lane.by_store([by_bucket, by_bucket, "401"]);
        lane.expect(format!("g68 {name}"), &reply, expected, &kept);
    }
    let behind = fields(upload).file("file", "a.png", PNG);
    let behind = behind.text("key", "images/x.html");
    let reply = lane.post_form(upload, &behind).await;
    assert_eq!(reply.status, 200, "g68 a field behind the file");
    assert!(lane.contents().contains_key(pending_key(&policy)));
    lane.complete(&policy).await.data();
}

/// OSS may accept a field that its policy does not name: it must not affect the final object.
async fn taken_without(lane: &Lane, name: &str, value: &str) {
    let policy = lane.policy("a.png").await;
    let form = fields(&policy["upload"]).text(name, value);
    let form = form.file("file", "a.html", PNG);
    let reply = lane.post_form(&policy["upload"], &form).await;
    if reply.status.as_u16() >= 400 {
        return;
    }
    let item = lane.complete(&policy).await.item();
    let object = lane.bucket().objects()[path_of(&item)].clone();
    let mime = Some("image/png".to_owned());
    let found = (object.content_type, object.acl, object.content_disposition);
    assert_eq!(found, (mime, None, None), "g68 {name}");
    assert!(object.metadata.is_empty(), "g68 {name}");
}

/// G69: callbacks, which the program never uses.
async fn nobody_is_called_back(lane: &Lane) {
    let kept = lane.keys();
    let policy = lane.policy("a.png").await;
    let body = json!({"bucket": "chat-test", "object": "images/x.png", "size": 1, "mimeType": "image/png"});
    for path in [
        "/api/chat/uploadCallback",
        "/api/chat/callback",
        "/callback",
        "/api/chat/uploadComplete/callback",
    ] {
        let reply = lane.ask(path, &body).await;
        lane.expect(format!("g69 {path}"), &reply, "not_found", &kept);
    }
    let key_url = base64_simd::STANDARD.encode_to_string("https://evil.example/key.pem");
    for (ticket, code) in [
        (&json!(null), "ticket_invalid"),
        (&policy["ticket"], "upload_incomplete"),
    ] {
        let mut body = body.clone();
        body["ticket"] = ticket.clone();
        let request = post_json(COMPLETE, &body).header("x-oss-pub-key-url", &key_url);
        let reply = lane.send(request.header("authorization", "Zm9yZ2Vk")).await;
        lane.expect("g69 a forged callback", &reply, code, &kept);
    }
}

/// G70: an object replaced after it was checked.
async fn what_is_swapped_behind_the_look_is_refused(lane: &Lane) {
    let kept = lane.keys();
    for (name, content, code) in [
        ("a page", HTML, "type_refused"),
        ("nothing", b"", "file_empty"),
    ] {
        let policy = lane.waiting(png_bytes(50_000)).await;
        lane.swap_behind_the_look(content);
        let reply = lane.complete(&policy).await;
        lane.expect(format!("g70 swapped for {name}"), &reply, code, &kept);
    }
}

/// G71: multipart uploads.
async fn part_numbers_are_1_to_10000(lane: &Lane) {
    let kept = lane.keys();
    let upload = lane.begin("a.png").await;
    let mut asked = ["/batch", "/batch?partNumbers=", "/batch?partNumbers=1,,2"]
        .map(str::to_owned)
        .to_vec();
    for number in "0 10001 -1 abc 1.5 1e3 0x1 4294967297 99999999999 %00".split(' ') {
        asked.push(format!("/{number}"));
        asked.push(format!("/batch?partNumbers=1,{number}"));
    }
    for asked in asked {
        let reply = lane.get(&upload.path(&asked)).await;
        assert_eq!(reply.refused("parameter_invalid"), Ok(()), "g71 {asked}");
    }
    let complete = upload.path("/complete");
    for [parts, code] in rows(
        r#"
        []                                   | parameter_invalid
        [1]                                  | parameter_invalid
        "x"                                  | parameter_invalid
        null                                 | parameter_invalid
        [{"PartNumber": 0, "ETag": "x"}]     | parameter_invalid
        [{"PartNumber": 10001, "ETag": "x"}] | parameter_invalid
        [{"PartNumber": "abc", "ETag": "x"}] | parameter_invalid
        [{"PartNumber": 1}]                  | parameter_invalid
        [{"ETag": "x"}]                      | parameter_invalid
        [{"PartNumber": 1, "ETag": "x"}, {"PartNumber": 1, "ETag": "y"}] | parameter_invalid
        [{"PartNumber": 1, "ETag": "x"}]     | upload_incomplete
        "#,
    ) {
        let body = format!("{{\"parts\":{parts}}}");
        let reply = lane.send(post(&complete, "application/json", body)).await;
        assert_eq!(reply.refused(code), Ok(()), "g71 parts: {parts}");
    }
    let huge = format!("{{\"parts\":[{}]}}", vec!["{}"; 600_000].join(","));
    let reply = lane.send(post(&complete, "application/json", huge)).await;
    assert!(reply.status.is_client_error(), "g71 600,000 parts");
    for path in [
        "/s3/multipart/%FF?key=x",
        "/s3/multipart/%FF/1?key=x",
        "/s3/multipart/x/%FF?key=x",
        "/s3/multipart/%FF/batch?key=x&partNumbers=1",
    ] {
        let reply = lane.get(path).await;
        assert_eq!(reply.refused("ticket_invalid"), Ok(()), "g71 {path}");
    }
    let mut parts = Vec::new();
    // Parts before the last are smaller than a bucket accepts.
    for (number, bytes) in [(1, PNG), (2, PNG), (3, b"x"), (4, PNG)] {
        parts.push(lane.put_part(&upload, number, bytes).await);
        if number > 1 {
            let reply = lane.finish(&upload, &parts).await;
            assert_eq!(reply.refused("part_too_small"), Ok(()), "g71 {number}");
        }
    }
    let reply = lane.abort(&upload).await;
    lane.expect("g71 aborted", &reply, "200", &kept);
}

/// G71: an abort, and then a part, a completion and a list.
async fn an_aborted_upload_cannot_be_completed_and_leaves_nothing(lane: &Lane) {
    let kept = lane.keys();
    let (upload, parts) = lane.sent(PNG).await;
    let signed = bare(&lane.get(&upload.path("/1")).await);
    assert_eq!(bare(&lane.abort(&upload).await), json!({}));
    let late = put(signed["url"].as_str().unwrap(), PNG).await;
    lane.expect("g71 a part after the abort", &late, "404", &kept);
    let reply = lane.finish(&upload, &parts).await;
    lane.expect("g71 then complete", &reply, "upload_incomplete", &kept);
    let reply = lane.get(&upload.path("")).await;
    lane.expect("g71 then list", &reply, "upload_incomplete", &kept);
    // As often as the client likes.
    let reply = lane.abort(&upload).await;
    assert_eq!(bare(&reply), json!({}));
    lane.expect("g71 aborted again", &reply, "200", &kept);
}

/// G71: a multipart upload belongs to its user only.
async fn an_upload_is_its_users_alone(lane: &Lane) {
    let (upload, parts) = lane.sent(PNG).await;
    let file = json!({"filename": "b", "type": "x"});
    let begun = lane.ask_as(&user_jwt("8"), "/s3/multipart", &file).await;
    let theirs = Upload::from_answer(&begun);
    // Another user's, with the right key and id; then the caller's own, with a wrong key.
    let Upload { key, id } = &upload;
    for (token, id, key, code) in [
        (user_jwt("8"), &**id, &**key, "ticket_invalid"),
        (guest_jwt("8"), id, key, "ticket_invalid"),
        (String::new(), id, key, "token_missing"),
        ("bad".to_owned(), id, key, "token_invalid"),
        (user_jwt("7"), id, &theirs.key, "ticket_invalid"),
        (user_jwt("7"), &theirs.id, key, "ticket_invalid"),
        (user_jwt("7"), id, "images/20260102/x.png", "ticket_invalid"),
        (user_jwt("7"), id, &format!("{key}x"), "ticket_invalid"),
        (user_jwt("7"), id, "", "ticket_invalid"),
        (user_jwt("7"), "upload-1", key, "ticket_invalid"),
        (user_jwt("7"), &format!("{id}x"), key, "ticket_invalid"),
    ] {
        let (key, id) = (key.to_owned(), id.to_owned());
        let upload = Upload { key, id };
        for request in [
            get(&upload.path("")),
            get(&upload.path("/1")),
            get(&upload.path("/batch?partNumbers=1")),
            post_json(&upload.path("/complete"), &json!({"parts": parts})),
            empty(Method::DELETE, &upload.path("")),
        ] {
            let reply = lane.send(request.header("token", &token)).await;
            assert_eq!(reply.refused(code), Ok(()), "g71 {upload:?} {token}");
        }
    }
    assert_eq!(lane.open_uploads(), 2);
    lane.done(&upload, &parts).await;
    let abort = empty(Method::DELETE, &theirs.path(""));
    bare(&lane.send(abort.header("token", user_jwt("8"))).await);
    assert_eq!(lane.open_uploads(), 0);
}

/// 75: recalling another user's upload, and then the caller's own.
async fn a_token_is_its_users_alone(lane: &Lane) {
    let items = lane.items().await;
    let mut kept = lane.keys();
    for item in &items {
        let asked = json!({"recall_token": item["recall_token"]});
        for (name, who, code) in [
            ("another user", user_jwt("8"), "ticket_invalid"),
            ("a guest", guest_jwt("8"), "ticket_invalid"),
            ("a guest of a longer id", guest_jwt("7x"), "ticket_invalid"),
            ("nobody", String::new(), "token_missing"),
            ("a bad token", "bad".to_owned(), "token_invalid"),
        ] {
            let reply = lane.ask_as(&who, RECALL, &asked).await;
            lane.expect(format!("h75 {name}"), &reply, code, &kept);
        }
        kept.retain(|key| key != path_of(item));
        let reply = lane.ask(RECALL, &asked).await;
        lane.expect("h75 its user", &reply, "200", &kept);
    }
}

/// 75: recalling with an invalid token, and then with a valid one.
async fn what_is_no_recall_token_takes_nothing_back(lane: &Lane) {
    let [streamed, other, direct] = lane.items().await;
    let mut kept = lane.keys();
    let good = direct["recall_token"].as_str().unwrap();
    let (statement, signature) = good.rsplit_once('.').unwrap();
    let other = other["recall_token"].as_str().unwrap();
    let (_, other) = other.rsplit_once('.').unwrap();
    let policy = lane.policy("a.png").await;
    let forged = [
        ("another's signature", json!(format!("{statement}.{other}"))),
        ("statement alone", json!(statement)),
        ("unsigned", json!(format!("{statement}."))),
        ("signature alone", json!(signature)),
        ("signature first", json!(format!("{signature}.{statement}"))),
        ("signed twice", json!(format!("{good}.{signature}"))),
        ("padded", json!(format!("{good}="))),
        ("in capitals", json!(good.to_uppercase())),
        ("a ticket", policy["ticket"].clone()),
        ("a policy", policy["upload"]["formData"]["policy"].clone()),
        ("a JWT", json!(user_jwt("7"))),
        ("a path", direct["path"].clone()),
        ("an address", direct["url"].clone()),
        ("nothing", json!("")),
        ("60 KB", json!("x".repeat(60_000))),
    ];
    let shapes = [("a list", json!(["x"])), ("an object", json!({"x": 1}))];
    let recall = (RECALL, "recall_token");
    lane.expect_each(recall, "ticket_invalid", forged).await;
    lane.expect_each(recall, "parameter_invalid", shapes).await;
    let reply = lane.ask(COMPLETE, &json!({"ticket": good})).await;
    lane.expect("h75 for a ticket", &reply, "ticket_invalid", &kept);
    let upload = Form::image().to(UPLOAD).header("token", good);
    let reply = lane.send(upload).await;
    lane.expect("h75 for a token", &reply, "token_invalid", &kept);
    for (name, item) in [("direct", &direct), ("streamed", &streamed)] {
        kept.retain(|key| key != path_of(item));
        let asked = json!({"recall_token": item["recall_token"]});
        for time in ["once", "again"] {
            let reply = lane.ask(RECALL, &asked).await;
            lane.expect(format!("h75 {name}, {time}"), &reply, "200", &kept);
        }
    }
}

/// Runs all tests with one driver.
async fn all(driver: Driver) {
    let vars = [("UPLOAD_DIRECT_MAX_BYTES", &*MAX_BYTES.to_string())];
    let lane = Lane::start(driver, &vars).await.signed_in(user_jwt("7"));
    arguments_and_forms_come_as_some_clients_write_them(&lane).await;
    a_document_is_handed_out_under_the_name_it_was_announced_with(&lane).await;
    a_form_brings_nothing_that_it_was_not_signed_for(&lane).await;
    what_a_form_lets_through_is_judged_at_completion(&lane).await;
    a_form_cannot_be_used_twice_where_the_store_can_forbid_it(&lane).await;
    a_form_posted_again_after_completion_changes_nothing(&lane).await;
    a_ticket_is_good_for_its_user_alone(&lane).await;
    tickets_that_are_not_ours_are_401(&lane).await;
    no_field_counts_that_a_form_does_not_have(&lane).await;
    nobody_is_called_back(&lane).await;
    a_token_is_its_users_alone(&lane).await;
    what_is_no_recall_token_takes_nothing_back(&lane).await;
    if lane.bucket.is_some() {
        what_is_swapped_behind_the_look_is_refused(&lane).await;
        part_numbers_are_1_to_10000(&lane).await;
        an_aborted_upload_cannot_be_completed_and_leaves_nothing(&lane).await;
        an_upload_is_its_users_alone(&lane).await;
    } else {
        let kept = lane.keys();
        let file = json!({"filename": "a.png", "type": "image/png"});
        let begun = lane.ask("/s3/multipart", &file).await;
        lane.expect("g71 a folder", &begun, "direct_disabled", &kept);
    }
}

#[tokio::test]
async fn every_misuse_of_the_direct_lane_is_held_by_the_router_alone() {
    all(Driver::Router).await;
}

#[tokio::test]
async fn every_misuse_of_the_direct_lane_is_held_by_the_local_server_with_a_folder() {
    all(Driver::Local).await;
}

#[tokio::test]
async fn every_misuse_of_the_direct_lane_is_held_on_function_compute_with_a_bucket() {
    all(Driver::FunctionCompute).await;
}

#[tokio::test]
async fn every_misuse_of_the_direct_lane_is_held_on_lambda_with_a_bucket() {
    all(Driver::Lambda).await;
}
