//! Rate limits (`f62`), limits of concurrent requests, and timeouts for clients: with the Router where
//! that is enough, else over a real socket. The plain cases of the last two are in
//! `failures.rs`.

use std::{future::pending, iter, net::SocketAddr, sync::atomic::Ordering, time::Duration};

use axum::{
    body::Body,
    http::{Method, Request},
};
use bytes::Bytes;
use chat_upload::{
    api::Arrival,
    runtime::{self, Limits},
};
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    drivers::rows,
    fc,
    support::{
        Form, Local, Reply, RequestExt as _, TIMEOUT, TestApi, UPLOAD, empty, get, metered,
        stalled, unread,
    },
    tokens::{JWT, guest_jwt, user_jwt},
    wire::{self, Wire},
};

// Rate limits

/// Returns an upload of one image.
fn upload() -> Request<Body> {
    Form::image().to(UPLOAD)
}

/// Adds the client's address, as a runtime does.
fn from(client: &str, request: Request<Body>) -> Request<Body> {
    request.arriving(Arrival {
        client: Some(client.parse().unwrap()),
        ..Arrival::default()
    })
}

/// Returns an upload that came through proxies, or claims so.
fn forwarded(client: &str, by: impl AsRef<[u8]>) -> Request<Body> {
    from(client, upload()).and("x-forwarded-for", by)
}

#[track_caller]
fn assert_too_many(reply: &Reply) {
    reply.assert_refused("too_many_requests");
    let seconds: u64 = reply.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
}

/// Allows one upload per minute and client, so that a second one shows which clients are the same.
fn once_a_minute(vars: &[(&str, &str)]) -> TestApi {
    TestApi::with(&[&[("UPLOAD_RATE_PER_MIN", "1")], vars].concat())
}

/// Likewise, with this many trusted proxies.
fn behind(hops: &str) -> TestApi {
    once_a_minute(&[("UPLOAD_TRUSTED_HOPS", hops)])
}

/// Asserts that these uploads count for one client: only the first is stored.
async fn assert_one_client(api: &TestApi, uploads: impl IntoIterator<Item = Request<Body>>) {
    for (count, request) in uploads.into_iter().enumerate() {
        let reply = api.send(request).await;
        match count {
            0 => assert_eq!(reply.status, 200, "{:?}", reply.body),
            _ => assert_too_many(&reply),
        }
        assert_eq!(api.files().len(), 1);
    }
}

/// Asserts that each of these uploads counts for another client, or for none.
async fn assert_different_clients(api: &TestApi, uploads: impl IntoIterator<Item = Request<Body>>) {
    for (count, request) in uploads.into_iter().enumerate() {
        assert_eq!(api.send(request).await.status, 200, "{count}");
        assert_eq!(api.files().len(), count + 1);
    }
}

#[tokio::test]
async fn f62_a_user_is_counted_by_id_wherever_the_calls_come_from() {
    let sent = |token: &str, address: &str| from(address, upload()).and("token", token);
    for token in [user_jwt("7"), guest_jwt("7")] {
        let addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];
        let uploads = addresses.map(|address| sent(&token, address));
        assert_one_client(&once_a_minute(&[JWT]), uploads).await;
    }
    let ids = ["7", "8", "", "192.0.2.1", "address 192.0.2.1"].map(|id| format!("u{id}"));
    let uploads = ids.map(|id| sent(&user_jwt(&id), "192.0.2.1"));
    assert_different_clients(&once_a_minute(&[JWT]), uploads).await;
}

#[tokio::test]
async fn f62_a_user_whose_token_is_in_the_form_is_counted_too() {
    let form = Form::new().text("token", &user_jwt("7")).and_image();
    let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|client| from(client, form.to(UPLOAD)));
    let in_header = upload().and("token", user_jwt("7"));
    assert_one_client(&once_a_minute(&[JWT]), [one, other, in_header]).await;
}

#[tokio::test]
async fn f62_without_users_the_address_is_counted_as_the_platform_saw_it() {
    let uploads = ["192.0.2.1"; 3].map(|address| from(address, upload()));
    assert_one_client(&once_a_minute(&[]), uploads).await;
    let addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:1::1"];
    let uploads = addresses.map(|address| from(address, upload()));
    assert_different_clients(&once_a_minute(&[]), uploads).await;
}

#[tokio::test]
async fn f62_a_client_that_nobody_saw_is_not_counted() {
    assert_different_clients(&once_a_minute(&[]), [(); 3].map(|()| upload())).await;
}

#[tokio::test]
async fn f62_without_trusted_proxies_x_forwarded_for_is_only_the_clients_word() {
    for api in [once_a_minute(&[]), behind("0")] {
        let [one, two, list] = ["198.51.100.1", "198.51.100.2", "198.51.100.3, 198.51.100.4"];
        let uploads = [one, two, list, "x"].map(|text| forwarded("192.0.2.1", text));
        assert_one_client(&api, uploads).await;
    }
}

#[tokio::test]
async fn f62_the_entry_of_the_first_trusted_proxy_counts() {
    for [hops, one, two, three] in rows(
        "
        1 | 192.0.2.1            | 198.51.100.9, 192.0.2.1 | 192.0.2.7,198.51.100.9 , 192.0.2.1
        2 | 192.0.2.1, 10.0.0.1  | x, 192.0.2.1,10.0.0.2   | 192.0.2.7, 192.0.2.1, 10.0.0.3
        3 | 192.0.2.1,a,b        | 192.0.2.1,c,d           | 192.0.2.7,192.0.2.1,e,f
        ",
    ) {
        // A trailing blank is not part of the entry.
        let end = ["", " "][usize::from(hops == "1")];
        let entries = [one.to_owned(), two.to_owned(), format!("{three}{end}")];
        let uploads = entries.map(|list| forwarded("10.9.9.9", list));
        assert_one_client(&behind(hops), uploads).await;
    }
    for (hops, entries) in [
        ("1", ["198.51.100.9, 192.0.2.1", "198.51.100.9, 192.0.2.2"]),
        ("2", ["192.0.2.1, 10.0.0.1", "192.0.2.2, 10.0.0.1"]),
    ] {
        let uploads = entries.map(|entries| forwarded("10.9.9.9", entries));
        assert_different_clients(&behind(hops), uploads).await;
    }
}

#[tokio::test]
async fn f62_x_forwarded_for_on_several_lines_is_one_list() {
    let spoofs = ["198.51.100.1", "198.51.100.2, 198.51.100.3"];
    let uploads = spoofs.map(|spoofed| {
        let upload = forwarded("10.9.9.9", spoofed).and("x-forwarded-for", "192.0.2.1");
        upload.and("x-forwarded-for", "10.0.0.1")
    });
    assert_one_client(&behind("2"), uploads).await;
}

#[tokio::test]
async fn f62_an_entry_that_is_no_text_is_still_an_entry() {
    for last in [
        &b"\x80, 192.0.2.7"[..],
        b"\x80,192.0.2.8",
        b"192.0.2.9, \xFF",
    ] {
        let uploads = ["198.51.100.1", "198.51.100.2"]
            .map(|spoofed| forwarded("192.0.2.1", spoofed).and("x-forwarded-for", last));
        assert_one_client(&behind("1"), uploads).await;
    }
}

#[tokio::test]
async fn f62_a_client_with_ipv6_has_one_share_for_its_64_bits() {
    let uploads = |addresses: [&'static str; 2]| addresses.map(|address| from(address, upload()));
    for same in [
        ["2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"],
        ["::ffff:192.0.2.1", "192.0.2.1"],
    ] {
        assert_one_client(&once_a_minute(&[]), uploads(same)).await;
    }
    for different in [
        ["2001:db8:1:2::1", "2001:db8:1:3::1"],
        ["::ffff:192.0.2.1", "::ffff:192.0.2.2"],
    ] {
        assert_different_clients(&once_a_minute(&[]), uploads(different)).await;
    }
}

#[tokio::test]
async fn f62_where_the_proxies_left_no_address_the_platforms_counts() {
    for entries in ["", "unknown", "192.0.2.1:4711", "_hidden", "é", ", ,"] {
        let uploads = [entries; 2].map(|list| forwarded("192.0.2.1", list));
        assert_one_client(&behind("1"), uploads).await;
    }
    let uploads = ["198.51.100.1", "198.51.100.2"].map(|single| forwarded("192.0.2.1", single));
    assert_one_client(&behind("2"), uploads).await;
}

#[tokio::test]
async fn f62_of_parallel_uploads_no_more_than_allowed_are_stored() {
    let api = TestApi::with(&[("UPLOAD_RATE_PER_MIN", "5")]);
    let uploads = (0..30).map(|_| api.send(from("192.0.2.1", upload())));
    let replies = join_all(uploads).await;
    let (stored, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|r| r.status == 200);
    assert_eq!((stored.len(), api.files().len()), (5, 5));
    refused.into_iter().for_each(assert_too_many);
}

#[tokio::test]
async fn f62_one_request_counts_once_however_many_files_it_has() {
    let api = TestApi::with(&[("UPLOAD_RATE_PER_MIN", "2")]);
    let three = (0..3).fold(Form::new(), |form, _| form.and_image());
    let send = async || api.send(from("192.0.2.1", three.to(UPLOAD))).await;
    for _ in 0..2 {
        assert_eq!(send().await.status, 200);
    }
    assert_too_many(&send().await);
    assert_eq!(api.files().len(), 6);
}

#[tokio::test]
async fn f62_who_is_refused_is_refused_before_the_body() {
    let api = once_a_minute(&[]);
    assert_eq!(api.send(from("192.0.2.1", upload())).await.status, 200);
    let (body, read) = metered(iter::repeat(Bytes::from_static(b"x")));
    let request = Form::new().with_body(body);
    assert_too_many(&api.send(from("192.0.2.1", request)).await);
    assert_eq!(read.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn f62_a_token_that_is_refused_takes_nothing_of_its_users_share() {
    let api = once_a_minute(&[JWT]);
    let good = user_jwt("7");
    let forged = format!("{}A", &good[..good.len() - 1]);
    for token in [forged.as_str(), ""] {
        let request = from("192.0.2.1", upload()).and("token", token);
        assert_eq!(api.send(request).await.status, 401);
    }
    assert_one_client(&api, [(); 2].map(|()| upload().and("token", &good))).await;
}

#[tokio::test]
async fn f62_what_is_no_upload_is_not_counted() {
    let api = once_a_minute(&[]);
    for (method, path, status) in [
        (Method::GET, "/healthz", 200),
        (Method::GET, "/images/a.png", 404),
        (Method::OPTIONS, UPLOAD, 200),
    ] {
        for _ in 0..3 {
            let request = from("192.0.2.1", empty(method.clone(), path));
            assert_eq!(api.send(request).await.status, status);
        }
    }
    assert_eq!(api.send(from("192.0.2.1", upload())).await.status, 200);
}

// Concurrent requests

/// Polls until the condition is true.
async fn until(is_so: impl AsyncFn() -> bool) {
    let trying = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, trying).await.unwrap();
}

#[tokio::test]
async fn one_request_too_many_is_busy_until_one_of_the_others_ends() {
    let server = Local::with(&[("UPLOAD_MAX_IN_FLIGHT", "2")]);
    let form = Form::image();
    let mut first = Wire::asked_for(server.addr, &form).await;
    let second = Wire::asked_for(server.addr, &form).await;
    let others = ["/api/chat/qrcode?url=x", "/images/a.png"].map(get);
    for request in others.into_iter().chain([form.to(UPLOAD)]) {
        let reply = server.send(request).await;
        reply.assert_refused("busy");
        assert_eq!(reply.header("retry-after"), "1");
    }
    assert_eq!(server.send(get("/healthz")).await.status, 200);
    assert!(server.files().is_empty());

    first.send(form.bytes()).await;
    assert_eq!(first.answer().await.status, 200);
    assert_eq!(server.send(form.to(UPLOAD)).await.status, 200);
    drop(second);
    assert_eq!(server.files().len(), 2);
}

#[tokio::test]
async fn a_client_that_goes_away_makes_room() {
    let server = Local::with(&[("UPLOAD_MAX_IN_FLIGHT", "1")]);
    let form = Form::image();
    drop(Wire::asked_for(server.addr, &form).await);
    until(async || server.send(form.to(UPLOAD)).await.status == 200).await;
    assert_eq!(server.files().len(), 1);
}

#[tokio::test]
async fn failures_and_panics_give_their_places_back() {
    let api = TestApi::with(&[("UPLOAD_MAX_IN_FLIGHT", "1")]);
    let form = Form::image();
    for _ in 0..3 {
        assert_eq!(api.upload(&Form::img("a.png", "<html>")).await.status, 415);
        // Reading it panics.
        let request = form.with_body(unread(form.bytes().len() as u64));
        assert_eq!(api.send(request).await.status, 500);
        let given_up = api.send(form.with_body(stalled(form.unclosed())));
        let waited = tokio::time::timeout(Duration::ZERO, given_up).await;
        assert!(waited.is_err());
    }
    assert_eq!(api.upload(&form).await.status, 200);
}

// Slow clients

/// A Router on a real socket, in this process.
struct Slow {
    api: TestApi,
    addr: SocketAddr,
}

impl Slow {
    /// Sets the timeouts for a byte of a body and for all headers; `limit` is for a whole request.
    async fn with(idle: Duration, limit: Duration) -> Self {
        let api = TestApi::changed(None, &[], |config| {
            config.api.idle = idle;
            config.api.request_limit = limit;
        });
        let (router, never) = (api.router(), pending::<()>());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let limits = Limits {
            idle,
            request: limit,
            max_in_flight: 200,
        };
        tokio::spawn(runtime::serve(router, listener, limits, never));
        Self { api, addr }
    }
}

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_client_that_falls_silent_is_told_so_and_its_connection_closed() {
    let slow = Slow::with(SHORT, TIMEOUT).await;
    let form = Form::image();
    for sent in [0, 20, form.unclosed().len() - 30] {
        let mut wire = Wire::connect(slow.addr).await;
        wire.begin(&form, sent).await;
        let reply = wire.answer().await;
        reply.assert_refused("client_too_slow");
        assert_eq!(reply.header("connection"), "close");
        assert_eq!(wire.rest().await, b"");
        slow.api.assert_nothing_stored();
    }
}

#[tokio::test]
async fn a_body_that_trickles_for_ever_is_ended_by_the_limit_of_the_request() {
    let slow = Slow::with(TIMEOUT, SHORT).await;
    let form = Form::image();
    let head = wire::head(&form, &["Transfer-Encoding: chunked"]);
    let body = form.unclosed();
    let body = body.into_iter().chain(iter::repeat(b'x'));
    let chunks = body.map(|byte| [b"1\r\n".as_slice(), &[byte], b"\r\n"].concat());
    let answer = answer_to_trickle(slow.addr, iter::once(head.into_bytes()).chain(chunks)).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.contains("\"code\":\"client_too_slow\""), "{answer}");
    slow.api.assert_nothing_stored();
}

#[tokio::test]
async fn headers_that_trickle_for_ever_end_the_connection() {
    let slow = Slow::with(SHORT, TIMEOUT).await;
    let lines = iter::once("GET /healthz HTTP/1.1\r\n").chain(iter::repeat("a: b\r\n"));
    let lines = lines.map(|line| line.as_bytes().to_vec());
    assert_eq!(answer_to_trickle(slow.addr, lines).await, "");
}

/// Sends a piece every 5 ms until the connection is closed; returns the response.
async fn answer_to_trickle(
    addr: SocketAddr,
    pieces: impl Iterator<Item = Vec<u8>> + Send + 'static,
) -> String {
    let (mut read, mut write) = TcpStream::connect(addr).await.unwrap().into_split();
    let trickle = tokio::spawn(async move {
        let mut clock = tokio::time::interval(Duration::from_millis(5));
        for piece in pieces {
            clock.tick().await;
            if write.write_all(&piece).await.is_err() {
                break;
            }
        }
    });
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(TIMEOUT, read.read_to_end(&mut answer)).await;
    // Data still in flight may turn the close into a reset.
    let _ = closed.expect("the connection is closed");
    trickle.abort();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn headers_that_do_not_come_to_an_end_end_the_connection() {
    let slow = Slow::with(SHORT, TIMEOUT).await;
    let headers = "POST /api HTTP/1.1\r\nHost: a\r\n";
    for len in [0, 1, 20, headers.len()] {
        let mut wire = Wire::connect(slow.addr).await;
        wire.send(&headers[..len]).await;
        assert_eq!(wire.rest().await, b"", "{len}");
    }
    slow.api.assert_nothing_stored();
}

#[tokio::test]
async fn qr_codes_count_for_their_address() {
    let api = once_a_minute(&[]);
    let code = |client: &str| from(client, get("/api/chat/qrcode?url=x"));
    assert_eq!(api.send(code("192.0.2.1")).await.status, 200);
    assert_too_many(&api.send(code("192.0.2.1")).await);
    assert_eq!(api.send(code("192.0.2.2")).await.status, 200);
    let unlimited = TestApi::new();
    for _ in 0..3 {
        assert_eq!(unlimited.send(code("192.0.2.1")).await.status, 200);
    }
}

// Connections

#[tokio::test]
async fn one_connection_too_many_closes_the_longest_idle_one() {
    let server = Local::with(&[("UPLOAD_MAX_IN_FLIGHT", "1")]);
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut wire = Wire::connect(server.addr).await;
        assert_eq!(wire.get("/healthz").await.status, 200);
        open.push(wire);
    }
    // The first one is busy from now on, so the second has been idle longest.
    let form = Form::image();
    assert_eq!(open[0].ask_first(&form).await.status, 100);

    let mut fifth = Wire::connect(server.addr).await;
    assert_eq!(fifth.get("/healthz").await.status, 200);
    assert_eq!(open[1].rest().await, b"");
    open[0].send(form.bytes()).await;
    assert_eq!(open[0].answer().await.status, 200);
    assert_eq!(open[3].get("/healthz").await.status, 200);
}

/// Whether this process has the file open.
#[cfg(target_os = "linux")]
fn is_open(file: &std::path::Path) -> bool {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let mut targets = descriptors
        .flatten()
        .map(|it| std::fs::read_link(it.path()));
    targets.any(|target| target.is_ok_and(|target| target == file))
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_does_not_read_loses_its_connection() {
    let slow = Slow::with(SHORT, TIMEOUT).await;
    let file = slow.api.folder().join("images/20250417/large.mp4");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let created = std::fs::File::create(&file).unwrap();
    created.set_len(64 * 1024 * 1024).unwrap();
    drop(created);
    let file = file.canonicalize().unwrap();
    let mut wire = Wire::connect(slow.addr).await;
    wire.send("GET /images/20250417/large.mp4 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    for wanted in [true, false] {
        until(async || is_open(&file) == wanted).await;
    }
}

// Requests without a token

#[tokio::test]
async fn requests_without_a_token_leave_half_of_the_places_to_others() {
    let server = Local::with(&[JWT, ("UPLOAD_MAX_IN_FLIGHT", "4")]);
    let form = Form::new().text("token", &user_jwt("8")).and_image();
    let begun = async || {
        let mut wire = Wire::connect(server.addr).await;
        (wire.ask_first(&form).await, wire)
    };
    let begun_when_there_is_room = async || {
        let begun = async {
            loop {
                match begun().await {
                    (reply, wire) if reply.status == 100 => break wire,
                    (reply, _) => reply.assert_refused("busy"),
                }
            }
        };
        tokio::time::timeout(TIMEOUT, begun).await.unwrap()
    };
    let mut first = Wire::asked_for(server.addr, &form).await;
    let second = Wire::asked_for(server.addr, &form).await;
    begun().await.0.assert_refused("busy");
    let with_token = form.to(UPLOAD).header("token", user_jwt("7"));
    assert_eq!(server.send(with_token).await.status, 200);

    // A token in the form frees a slot for another request, as does a disconnect.
    let (token, image) = (form.bytes(), form.bytes());
    let (token, image) = (&token[..token.len() - 60], &image[image.len() - 60..]);
    first.send(token).await;
    let _third = begun_when_there_is_room().await;
    drop(second);
    let _fourth = begun_when_there_is_room().await;
    first.send(image).await;
    assert_eq!(first.answer().await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_request_has_ten_seconds_to_bring_the_token_that_it_needs() {
    let api = TestApi::with(&[JWT]);
    let form = Form::new().text("token", &user_jwt("7")).and_image();
    let no_token_yet = Form::new().text("remark", "later");
    let start = tokio::time::Instant::now();
    let request = form.with_body(stalled(no_token_yet.unclosed()));
    api.send(request).await.assert_refused("client_too_slow");
    assert_eq!(start.elapsed(), Duration::from_secs(10));

    // With its token only the idle timeout applies.
    let start = tokio::time::Instant::now();
    let request = form.with_body(stalled(form.unclosed()));
    api.send(request).await.assert_refused("client_too_slow");
    assert!(start.elapsed() >= Duration::from_secs(30));
    api.assert_nothing_stored();
}

// Events

#[tokio::test(start_paused = true)]
async fn events_are_read_within_the_limits_of_requests() {
    use tower::ServiceExt as _;
    let api = TestApi::new();
    let limits = Limits {
        idle: TIMEOUT,
        request: Duration::from_secs(3),
        max_in_flight: 1,
    };
    let service = runtime::fc_service(api.router(), limits);
    let event = |body: Body| service.clone().oneshot(fc::event(body));
    let start = tokio::time::Instant::now();
    let mut slow = Box::pin(event(stalled("{".into())));
    assert!(futures_util::poll!(&mut slow).is_pending());
    let busy = event(Body::from("{}")).await.unwrap();
    assert_eq!(busy.status(), 503);
    assert_eq!(busy.headers()["x-fc-status"], "404");
    assert_eq!(slow.await.unwrap().status(), 408);
    assert_eq!(start.elapsed(), limits.request);
    assert_eq!(event(Body::from("{")).await.unwrap().status(), 400);
}
