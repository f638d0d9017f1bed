//! The built program as the local server: behaviour that only a socket, a signal or the end of a process
//! shows.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use serde_json::json;

use crate::{
    bucket_double::{BucketDouble, Contents, Dialect, Fault, Operation},
    lane::{RECALL, post_json},
    support::{
        Form, Local, PNG, Process, Reply, RequestExt as _, TIMEOUT, UPLOAD, bucket_vars, disk_var,
        files_below, get, in_chunks, owned, path_of, png_bytes, send,
    },
    tokens,
    wire::{Wire, head, length},
};

/// Bytes of a file that are on disk, under a temporary name, before its end has arrived.
const BEGUN: usize = 600 * 1024;

/// Asserts that the response's only object, and nothing else, is stored with these bytes.
#[track_caller]
fn assert_stored(server: &Local, reply: &Reply, content: &[u8]) {
    let path = path_of(&reply.item()).to_owned();
    let stored = [(path.clone(), content.to_vec())].into();
    assert!(server.files() == stored, "{path}");
}

#[track_caller]
fn assert_ends_within(secs: u64, asked: Instant) {
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(secs), "{took:?}");
}

/// Polls a folder, which sends no notifications.
async fn until(folder: &Path, holds: impl Fn(&[String]) -> bool) {
    let started = Instant::now();
    loop {
        let files: Vec<_> = files_below(folder).into_keys().collect();
        if holds(&files) {
            return;
        }
        assert!(started.elapsed() < TIMEOUT, "in vain; there is {files:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns an image that is too large for socket buffers.
fn large_image() -> Vec<u8> {
    png_bytes(2 * BEGUN)
}

/// Starts an upload of the image and waits until part of it is on disk; returns the unsent rest.
async fn begin(addr: SocketAddr, folder: &Path) -> (Wire, Bytes) {
    let before = files_below(folder).len();
    let form = Form::img("a.png", large_image());
    let mut client = Wire::connect(addr).await;
    client.begin(&form, BEGUN).await;
    until(folder, |files| files.len() == before + 1).await;
    (client, form.bytes().slice(BEGUN..))
}

#[test]
fn the_start_tells_where_it_listens_where_it_stores_and_what_to_try() {
    let server = Local::start();
    let (addr, folder) = (server.addr, server.folder.path().display());
    for told in [
        format!("listening on http://{addr}, storing into the folder {folder}"),
        format!("try: curl -F img=@photo.jpg http://{addr}/api/chat/uploadAliyun"),
    ] {
        server.process.line_with(&told);
    }
}

#[test]
fn the_line_to_try_has_a_token_where_one_is_needed() {
    let server = Local::with(&[tokens::JWT]);
    let addr = server.addr;
    server.process.line_with(&format!(
        "try: curl -F img=@photo.jpg -H \"token: $(scripts/make-token)\" http://{addr}/"
    ));
}

#[tokio::test]
async fn the_log_says_what_was_asked_for_why_it_was_refused_and_what_was_taken_back() {
    let server = Local::with(&[tokens::JWT]);
    let (process, addr) = (&server.process, server.addr);
    let line = |text: &str| process.line_with(text);

    let nowhere = get("/s3x/%1B[2J?token=not-for-the-log");
    assert_eq!(send(addr, nowhere).await.status, 404);
    assert!(line("status=404").contains(r#"path="/s3x/%1B[2J""#));
    assert_eq!(send(addr, get("/f/c2lnbmF0dXJl/a.png")).await.status, 404);
    line(r#"path="/f/…""#);

    let forged = tokens::signed(tokens::HS256, r#"{"id":7}"#, "another secret of 20");
    let nameless = tokens::token(&json!({"user": 7}));
    for (token, why) in [
        (forged, "the token is not valid: signature mismatch"),
        (nameless, "the token is not valid: claim id is missing"),
    ] {
        let request = Form::image().to(UPLOAD).header("token", &token);
        assert_eq!(send(addr, request).await.status, 401);
        let line = line(why);
        assert!(!line.contains(&token), "{line}");
    }

    let token = tokens::user_jwt("7");
    let traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let upload = Form::image().to(UPLOAD).header("token", &token);
    let upload = upload.header("traceparent", traced);
    let item = send(addr, upload).await.item();
    line(r#"trace_id="4bf92f3577b34da6a3ce929d0e0e4736""#);
    let recall = post_json(RECALL, &json!({"recall_token": item["recall_token"]}));
    let recall = recall.header("token", &token);
    assert_eq!(send(addr, recall).await.status, 200);
    let line = line(r#"route="/api/chat/uploadRecall""#);
    let key = format!("key={}", item["path"]);
    assert!(line.contains(&key) && line.contains("bytes=0"), "{line}");
    assert!(!process.lines().concat().contains("not-for-the-log"));
}

#[tokio::test]
async fn an_upload_is_the_same_with_a_length_and_in_chunks() {
    let image = png_bytes(3_000_000);
    let form = Form::img("a.png", &image);
    let chunked = in_chunks(&form.bytes(), 70_001);
    for request in [form.to(UPLOAD), form.with_body(chunked)] {
        let server = Local::start();
        let reply = server.send(request).await;
        assert_stored(&server, &reply, &image);
        assert_eq!(reply.data()[0]["size"], 3_000_000);
    }
}

#[tokio::test]
async fn the_url_of_an_answer_is_the_file_whole_or_in_part() {
    let server = Local::start();
    let url = server.upload(&Form::image()).await.data()[0]["url"].clone();
    let base = format!("http://{}", server.addr);
    let path = url.as_str().unwrap().strip_prefix(&base).unwrap();

    let whole = server.send(get(path)).await;
    assert_eq!((whole.status.as_u16(), &whole.body[..]), (200, PNG));
    assert_eq!(whole.header("content-type"), "image/png");

    let request = get(path).header("range", "bytes=1-3");
    let part = server.send(request).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &PNG[1..4]));
    let range = format!("bytes 1-3/{}", PNG.len());
    assert_eq!(part.header("content-range"), range);
}

#[tokio::test]
async fn every_byte_value_survives() {
    let server = Local::start();
    let content: Vec<u8> = PNG.iter().copied().chain(0..=255).collect();
    let reply = server.upload(&Form::img("a.png", &content)).await;
    assert_stored(&server, &reply, &content);
}

#[tokio::test]
async fn what_announces_too_much_is_refused_before_it_is_asked_for() {
    let server = Local::with(&[("UPLOAD_MAX_BYTES", "1048576"), ("UPLOAD_MAX_FILES", "1")]);
    let mut client = Wire::connect(server.addr).await;
    let lines = ["Content-Length: 104857600", "Expect: 100-continue"];
    client.send(head(&Form::new(), &lines)).await;
    client.answer().await.assert_refused("too_large 1 MiB");
    server.assert_nothing_stored();
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_is_asked() {
    let server = Local::start();
    let form = Form::image();
    let mut client = Wire::asked_for(server.addr, &form).await;
    client.send(form.bytes()).await;
    assert_stored(&server, &client.answer().await, PNG);
}

#[tokio::test]
async fn a_client_that_sends_on_after_its_answer_still_reads_it() {
    let server = Local::start();
    let page = "<!DOCTYPE html><p>no picture</p>".repeat(13 * 1024 * 1024 / 32);
    let form = Form::img("a.png", page);
    let mut client = Wire::connect(server.addr).await;
    client.post(&form).await.assert_refused("type_refused HTML");
    server.assert_nothing_stored();
}

#[tokio::test]
async fn a_connection_goes_on_after_a_failure() {
    let server = Local::start();
    let mut client = Wire::connect(server.addr).await;
    let page = Form::img("a.png", "<html>".repeat(200_000));
    assert_eq!(client.post(&page).await.json()["code"], "type_refused");
    let wrong = Form::new().file("file", "a.png", PNG);
    client.post(&wrong).await.assert_refused("wrong_field file");
    server.assert_nothing_stored();

    let reply = client.post(&Form::image()).await;
    assert_stored(&server, &reply, PNG);
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let server = Local::start();
    let (mut client, _) = begin(server.addr, server.folder.path()).await;
    client.end_sending().await;
    client.answer().await.assert_refused("body_truncated");
    server.assert_nothing_stored();
}

#[tokio::test]
async fn chunks_that_break_off_leave_nothing() {
    let server = Local::start();
    let form = Form::img("a.png", large_image());
    let mut client = Wire::connect(server.addr).await;
    let head = head(&form, &["Transfer-Encoding: chunked"]);
    client.send(format!("{head}{BEGUN:x}\r\n")).await;
    client.send(&form.bytes()[..BEGUN]).await;
    client.end_sending().await;
    client.answer().await.assert_refused("body_truncated");
    server.assert_nothing_stored();
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let server = Local::start();
    let (client, _) = begin(server.addr, server.folder.path()).await;
    drop(client);
    server.process.line_with("total_ms=");
    until(server.folder.path(), <[String]>::is_empty).await;
}

#[tokio::test]
async fn a_client_that_goes_away_while_the_bucket_answers_leaves_nothing() {
    let bucket = BucketDouble::start(Dialect::S3).await;
    bucket.fail(Operation::Put, Fault::Slow(Duration::from_secs(1)), 1);
    let (process, addr) = Process::serve(&bucket_vars(&bucket));
    let form = Form::image();
    let mut client = Wire::connect(addr).await;
    client.begin(&form, form.bytes().len()).await;
    bucket.wait_until(|now| now.objects().len() == 1).await;
    drop(client);
    process.line_with("client_gone");
    let is_undone = |now: &Contents| now.objects().is_empty() && now.is_idle();
    bucket.wait_until(is_undone).await;
    bucket.assert_nothing_left();
}

/// Posts a whole form and announces another length.
async fn answer_to_length(server: &Local, form: &Form, announced: usize) -> Reply {
    let mut client = Wire::connect(server.addr).await;
    let length = format!("Content-Length: {announced}");
    client.send(head(form, &[&length])).await;
    client.send(form.bytes()).await;
    client.end_sending().await;
    client.answer().await
}

#[tokio::test]
async fn a_length_that_cuts_the_form_stores_nothing() {
    let (server, form) = (Local::start(), Form::image());
    let reply = answer_to_length(&server, &form, form.bytes().len() - 40).await;
    reply.assert_refused("body_truncated");
    server.assert_nothing_stored();
}

/// A form that reached its closing boundary is complete.
#[tokio::test]
async fn a_form_that_is_whole_is_taken_though_more_was_announced() {
    let (server, form) = (Local::start(), Form::image());
    let reply = answer_to_length(&server, &form, form.bytes().len() + 40).await;
    assert_stored(&server, &reply, PNG);
}

#[tokio::test]
async fn headers_that_come_byte_by_byte_are_headers() {
    let server = Local::start();
    let form = Form::image();
    let mut client = Wire::connect(server.addr).await;
    for byte in head(&form, &[&length(&form)]).bytes() {
        client.send([byte]).await;
    }
    client.send(form.bytes()).await;
    assert_stored(&server, &client.answer().await, PNG);
}

/// Takes a second, the shortest idle timeout.
#[tokio::test]
async fn a_client_that_falls_silent_is_not_waited_for() {
    let server = Local::with(&[("UPLOAD_IDLE_SECS", "1")]);
    let mut in_headers = Wire::connect(server.addr).await;
    in_headers.send("POST / HTTP/1.1\r\nHost: ").await;
    let (mut in_body, _) = begin(server.addr, server.folder.path()).await;
    in_body.answer().await.assert_refused("client_too_slow");
    server.assert_nothing_stored();
    in_headers.rest().await;
}

#[tokio::test]
async fn a_slow_upload_holds_nobody_up() {
    let server = Local::start();
    let (mut slow, rest) = begin(server.addr, server.folder.path()).await;
    assert_eq!(server.upload(&Form::img("b.png", PNG)).await.status, 200);
    slow.send(rest).await;
    assert_eq!(slow.answer().await.status, 200);
    assert_eq!(server.files().len(), 2);
}

#[tokio::test]
async fn a_request_in_flight_is_finished_before_the_process_ends() {
    for signal in ["-TERM", "-INT"] {
        let mut server = Local::start();
        let (mut client, rest) = begin(server.addr, server.folder.path()).await;
        server.process.signal(signal);
        server.process.line_with("stopping");
        client.send(rest).await;
        assert_stored(&server, &client.answer().await, &large_image());
        assert_eq!(server.process.wait(), Some(0), "{signal}");
    }
}

#[test]
fn a_process_that_says_it_listens_can_be_asked_to_stop() {
    for signal in ["-TERM", "-INT"] {
        let mut server = Local::start();
        server.process.signal(signal);
        assert_eq!(server.process.wait(), Some(0), "{signal}");
    }
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    for (first, second) in [("-INT", "-INT"), ("-TERM", "-INT"), ("-INT", "-TERM")] {
        let mut server = Local::start();
        let _begun = begin(server.addr, server.folder.path()).await;
        let asked = Instant::now();
        server.process.signal(first);
        server.process.line_with("stopping");
        server.process.signal(second);
        assert_eq!(server.process.wait(), Some(130), "{first} {second}");
        // Requests in flight would have 10 s.
        assert_ends_within(8, asked);
    }
}

#[tokio::test]
async fn a_connection_without_a_request_does_not_keep_the_process() {
    let mut server = Local::start();
    let mut client = Wire::connect(server.addr).await;
    assert_eq!(client.get("/healthz").await.status, 200);
    let asked = Instant::now();
    server.process.signal("-TERM");
    assert_eq!(server.process.wait(), Some(0));
    assert_ends_within(8, asked);
    assert_eq!(client.rest().await, b"");
}

/// Takes ten seconds, the limit for requests in flight.
#[tokio::test]
async fn a_client_that_is_stuck_does_not_keep_the_process() {
    let mut server = Local::start();
    let (mut stuck, _) = begin(server.addr, server.folder.path()).await;
    let bucket = BucketDouble::start(Dialect::S3).await;
    let (mut of_bucket, addr) = Process::serve(&bucket_vars(&bucket));
    let form = Form::img("a.png", png_bytes(10 << 20));
    let mut client = Wire::connect(addr).await;
    client.begin(&form, 9 << 20).await;
    bucket.wait_until(|now| now.part_bytes() > 0).await;

    let asked = Instant::now();
    for process in [&mut server.process, &mut of_bucket] {
        process.signal("-TERM");
    }
    for client in [&mut stuck, &mut client] {
        client.answer().await.assert_refused("busy");
    }
    for process in [&mut server.process, &mut of_bucket] {
        assert_eq!(process.wait(), Some(0));
    }
    assert_ends_within(15, asked);
    server.assert_nothing_stored();
    bucket.assert_nothing_left();
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (_living, addr) = Process::serve(&[disk_var(folder.path())]);
    let (mut client, rest) = begin(addr, folder.path()).await;
    let of_living = files_below(folder.path()).into_keys().next().unwrap();
    let (killed, addr) = Process::serve(&[disk_var(folder.path())]);
    let _cut = begin(addr, folder.path()).await;
    drop(killed);
    let left = files_below(folder.path()).into_keys();
    let abandoned: Vec<_> = left.filter(|path| *path != of_living).collect();
    assert_eq!(abandoned.len(), 1);

    // Older than a request can be, plus an hour.
    let then = SystemTime::now() - Duration::from_secs(900 + 3600 + 60);
    let path = folder.path().join(&abandoned[0]);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(then).unwrap();
    let (_next, _) = Process::serve(&[disk_var(folder.path())]);
    until(folder.path(), |files| files == [of_living.clone()]).await;
    client.send(rest).await;
    let path = path_of(&client.answer().await.item()).to_owned();
    let files: Vec<_> = files_below(folder.path()).into_iter().collect();
    assert!(files == [(path, large_image())], "{} files", files.len());
}

#[test]
fn private_files_without_a_signing_secret_stop_the_start() {
    let jwt = "a secret of the chat's server";
    let signed = ("UPLOAD_READ", "signed");
    for vars in [&[signed][..], &[signed, ("UPLOAD_JWT_SECRET", jwt)]] {
        let mut process = Process::start(&owned(vars));
        assert_eq!(process.wait(), Some(2));
        process.line_with(
            "UPLOAD_SIGNING_SECRET is not set: expected a secret for UPLOAD_READ=signed",
        );
        assert!(!process.lines().join("").contains(jwt));
    }
}

#[test]
fn every_variable_that_cannot_be_used_is_named_at_once() {
    let bad = [
        ("UPLOAD_STORE", "ftp://bucket"),
        ("UPLOAD_MAX_BYTES", "0"),
        ("UPLOAD_MAX_FILES", "many"),
        ("UPLOAD_TYPES", "image,program"),
        ("UPLOAD_UTC_OFFSET", "Shanghai"),
        ("UPLOAD_ADDR", "localhost"),
        ("RUST_LOG", "info=everything"),
    ];
    let mut process = Process::start(&owned(&bad));
    assert_eq!(process.wait(), Some(2));
    process.line_with("the environment cannot be used:");
    for (name, value) in bad {
        process.line_with(&format!("{name}={value:?}: expected "));
    }
    let lines = process.lines();
    assert_eq!(lines.len(), 1 + bad.len(), "{lines:?}");
}

#[test]
fn a_port_in_use_and_a_folder_that_cannot_be_made_end_the_start_with_name_and_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    fs::write(&file, b"").unwrap();
    let below = file.join("data");
    let cannot_listen = format!("cannot listen on {taken} (UPLOAD_ADDR): ");
    let cannot_store = format!(
        "cannot store into the folder {} (UPLOAD_STORE): cannot create the store's folder: \
         Not a directory",
        below.display()
    );
    let (addr, store) = ("UPLOAD_ADDR=127.0.0.1:9001", "UPLOAD_STORE=disk:<folder>");
    for (listen, folder, told) in [
        (&*taken, folder.path(), [&*cannot_listen, addr]),
        ("127.0.0.1:0", &below, [&*cannot_store, store]),
    ] {
        let listen = ("UPLOAD_ADDR", listen.to_owned());
        let mut process = Process::start(&[listen, disk_var(folder)]);
        assert_eq!(process.wait(), Some(1));
        for text in told {
            process.line_with(text);
        }
    }
}

#[tokio::test]
async fn rust_log_chooses_the_lines() {
    let server = Local::with(&[("RUST_LOG", "warn,chat_upload::runtime=info")]);
    server.upload(&Form::image()).await.data();
    let reply = server.send(get("/nothing")).await;
    reply.assert_refused("not_found");
    server.process.line_with("status=404");
    let lines = server.process.lines().concat();
    assert!(!lines.contains("status=200"), "{lines}");
}
