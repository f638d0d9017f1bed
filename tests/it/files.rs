//! Files that a disk store serves, and files that it never serves.

use std::{fs, path::Path};

use axum::{
    body::Body,
    http::{Method, Request},
};

use crate::{
    bucket_double::Object,
    fc::ON_FC,
    lane::Lane,
    support::{Form, Local, PNG, Reply, RequestExt as _, TestApi, UPLOAD, empty, get},
};

/// Writes a file directly into a store's folder.
fn put(folder: &Path, path: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[track_caller]
fn assert_harmless(reply: &Reply) {
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("content-security-policy"), "sandbox");
}

#[tokio::test]
async fn what_was_stored_is_served_at_its_url() {
    let api = TestApi::new();
    let folder = "/api/chat/uploadStreamSingleToServerDiy/a_b";
    for to in [UPLOAD, folder] {
        let data = api.send(Form::image().to(to)).await.data();
        let item = if to == folder { &data } else { &data[0] };
        let url = item["url"].as_str().unwrap();
        let reply = api.send(get(url)).await;
        assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, PNG));
        assert_eq!(reply.header("content-type"), "image/png");
        assert_eq!(reply.header("content-length"), PNG.len().to_string());
        assert_eq!(reply.header("accept-ranges"), "bytes");
        assert_harmless(&reply);
    }
}

#[tokio::test]
async fn head_tells_all_and_sends_nothing() {
    let api = TestApi::new();
    put(api.folder(), "images/a.png", PNG);
    let reply = api.send(empty(Method::HEAD, "/images/a.png")).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
    assert_eq!(reply.header("content-length"), PNG.len().to_string());
    assert_eq!(reply.header("content-type"), "image/png");
    assert!(!reply.header("etag").is_empty());
    assert_harmless(&reply);
}

/// A program with a folder that contains `v/a.mp4`, ten bytes long.
enum Server {
    Router(TestApi),
    Process(Local),
}

impl Server {
    /// Starts the Router alone, the local server, and Function Compute with a folder.
    fn each() -> [Self; 3] {
        let router = TestApi::new();
        put(router.folder(), "v/a.mp4", b"0123456789");
        let [local, fc] = [&[][..], &[ON_FC]].map(|vars| {
            let local = Local::with(vars);
            put(local.folder.path(), "v/a.mp4", b"0123456789");
            Self::Process(local)
        });
        [Self::Router(router), local, fc]
    }

    /// Requests the file, or a range of it.
    async fn ask(&self, method: Method, headers: &[(&'static str, &str)]) -> Reply {
        let request = empty(method, "/v/a.mp4").with(headers);
        match self {
            Self::Router(api) => api.send(request).await,
            Self::Process(local) => local.send(request).await,
        }
    }

    async fn part(&self, range: &str) -> Reply {
        self.ask(Method::GET, &[("range", range)]).await
    }
}

#[tokio::test]
async fn a_part_is_served_as_a_player_asks_for_it() {
    for server in Server::each() {
        for (range, content_range, part) in [
            ("bytes=0-3", "bytes 0-3/10", "0123"),
            ("bytes=4-", "bytes 4-9/10", "456789"),
            ("bytes=-2", "bytes 8-9/10", "89"),
            ("bytes=9-9", "bytes 9-9/10", "9"),
            ("bytes=8-100", "bytes 8-9/10", "89"),
            ("bytes=8-99999999999999999999999", "bytes 8-9/10", "89"),
            ("Bytes=0-0", "bytes 0-0/10", "0"),
            // The whole file is a range, too.
            ("bytes=-10", "bytes 0-9/10", "0123456789"),
            ("bytes=-11", "bytes 0-9/10", "0123456789"),
            ("bytes=-100", "bytes 0-9/10", "0123456789"),
        ] {
            let reply = server.part(range).await;
            assert_eq!(reply.status, 206, "{range}");
            assert_eq!(&reply.body[..], part.as_bytes(), "{range}");
            assert_eq!(reply.header("content-range"), content_range);
            assert_eq!(reply.header("content-type"), "video/mp4");
            assert_harmless(&reply);
        }
        for range in ["bytes=10-", "bytes=100-200", "bytes=-0"] {
            let reply = server.part(range).await;
            reply.assert_refused("range_not_satisfiable 10");
            assert_eq!(reply.header("content-range"), "bytes */10", "{range}");
        }
    }
}

#[tokio::test]
async fn a_part_that_nobody_can_send_is_the_whole() {
    for server in Server::each() {
        for range in [
            "bytes=5-4",
            "bytes=0-1,3-4",
            "bytes=0-1,",
            "bytes=-1,-2",
            "bytes",
            "bytes=",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=-",
            "items=0-1",
            "seconds=100-",
            "pages 1",
            "bytes=1",
            "",
        ] {
            let reply = server.part(range).await;
            assert_eq!(reply.status, 200, "{range}");
            assert_eq!(&reply.body[..], b"0123456789", "{range}");
            assert_harmless(&reply);
        }
        for range in ["bytes=0-3", "bytes=10-", "bytes=-100"] {
            let reply = server.ask(Method::HEAD, &[("range", range)]).await;
            assert_eq!(reply.status, 200, "{range}");
            assert_eq!(reply.header("content-length"), "10");
        }
    }
}

#[tokio::test]
async fn a_part_of_another_version_is_not_sent() {
    for server in Server::each() {
        let head = server.ask(Method::HEAD, &[]).await;
        let (etag, modified) = (head.header("etag"), head.header("last-modified"));
        for (validator, range, expected) in [
            (etag, "bytes=0-1", 206),
            (modified, "bytes=0-1", 206),
            ("\"another\"", "bytes=0-1", 200),
            ("Tue, 01 Jan 2002 00:00:00 GMT", "bytes=0-1", 200),
            ("\"another\"", "bytes=10-", 200),
            ("\"another\"", "bytes=-100", 200),
            (etag, "bytes=10-", 416),
        ] {
            let headers = [("range", range), ("if-range", validator)];
            let reply = server.ask(Method::GET, &headers).await;
            assert_eq!(reply.status, expected, "{validator} {range}");
        }
    }
}

#[tokio::test]
async fn a_server_takes_100_headers_and_not_one_more() {
    // The Router accepts a parsed request.
    for server in &Server::each()[1..] {
        // `Host` is a header, too.
        for (more, expected) in [(98, 200), (99, 200), (100, 431), (1000, 431)] {
            let reply = server.ask(Method::GET, &vec![("x-a", "b"); more]).await;
            assert_eq!(reply.status, expected, "{more}");
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_what_is_not_there_is_404() {
    let api = TestApi::new();
    put(api.folder(), "images/a.png", PNG);
    // It exists, and cannot be opened.
    std::os::unix::fs::symlink("b.png", api.folder().join("images/b.png")).unwrap();
    let long = format!("/images/{}.png", "a".repeat(300));
    for path in ["/images/c.png", "/images/a.png/d.png", &long, "/images/"] {
        api.send(get(path)).await.assert_refused("not_found");
    }
    let head = api.send(empty(Method::HEAD, "/images/b.png")).await;
    assert_eq!(head.status, 502);
    let reply = api.send(get("/images/b.png")).await;
    reply.assert_refused("store_unavailable");
}

#[tokio::test]
async fn who_has_the_file_already_is_told_so() {
    let api = TestApi::new();
    put(api.folder(), "images/a.png", PNG);
    let reply = api.send(get("/images/a.png")).await;
    let etag = reply.header("etag");
    let several = format!("\"other\", {etag}");
    for (held, status, len) in [
        (etag, 304, 0),
        ("*", 304, 0),
        (&several, 304, 0),
        ("\"other\"", 200, PNG.len()),
    ] {
        let request = get("/images/a.png").header("if-none-match", held);
        let reply = api.send(request).await;
        assert_eq!(reply.status, status, "{held}");
        assert_eq!(reply.body.len(), len, "{held}");
        assert_eq!(reply.header("etag"), etag);
        assert_harmless(&reply);
    }
}

#[tokio::test]
async fn documents_are_saved_and_everything_else_is_shown() {
    let api = TestApi::new();
    let unknown = "application/octet-stream";
    for (name, mime, is_saved) in [
        ("a.png", "image/png", false),
        ("a.mp4", "video/mp4", false),
        ("a.amr", "audio/amr", false),
        ("a.pdf", "application/pdf", true),
        ("a.txt", "text/plain", true),
        ("a.csv", "text/csv", true),
        ("a.zip", "application/zip", true),
        ("a.html", unknown, true),
        ("a.svg", unknown, true),
        ("a.js", unknown, true),
        ("a.png.html", unknown, true),
        ("a.exe", unknown, true),
        ("a.PNG", unknown, true),
    ] {
        let path = format!("images/20250417/{name}");
        put(api.folder(), &path, b"<script>");
        let reply = api.send(get(&format!("/{path}"))).await;
        reply.assert_ok(mime);
        let disposition = reply.headers.get("content-disposition");
        let found = disposition.is_some_and(|value| value == "attachment");
        assert_eq!(found, is_saved, "{name}");
        assert_eq!(reply.header("cache-control"), "public, max-age=300");
        assert_harmless(&reply);
    }
}

#[tokio::test]
async fn hidden_and_nameless_files_are_never_served() {
    let api = TestApi::new();
    for path in [
        "images/.0123.part",
        "images/.a.png",
        ".git/a.png",
        "images/a",
    ] {
        put(api.folder(), path, b"<script>");
        let url = format!("/{path}");
        api.send(get(&url)).await.assert_refused("not_found");
        assert_eq!(api.send(empty(Method::HEAD, &url)).await.status, 404);
    }
}

#[tokio::test]
async fn no_path_leads_out_of_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(outside.path().join("store/images")).unwrap();
    for path in ["secret.png", "store/a.png"] {
        put(outside.path(), path, PNG);
    }
    let folder = format!("disk:{}/store", outside.path().display());
    let api = TestApi::with(&[("UPLOAD_STORE", &folder)]);
    assert_eq!(api.send(get("/a.png")).await.status, 200);
    let absolute = format!("/{}", outside.path().join("secret.png").display());
    for path in [
        "/../secret.png",
        "/images/../../secret.png",
        "/images/../a.png",
        "/%2e%2e/secret.png",
        "/images/%2e%2e/%2e%2e/secret.png",
        "/..%2fsecret.png",
        "/..%5csecret.png",
        "/images/..\\..\\secret.png",
        "/%252e%252e/secret.png",
        "/./a.png",
        "/images//a.png",
        "/a.png%00",
        "/a%2epng",
        "/a.png/",
        "/a.png;x",
        &absolute,
    ] {
        if let Ok(request) = Request::get(path).body(Body::empty()) {
            api.send(request).await.assert_refused("not_found");
        }
    }
}

#[tokio::test]
async fn folders_and_missing_files_are_404() {
    let api = TestApi::new();
    fs::create_dir_all(api.folder().join("images/folder.png")).unwrap();
    for path in [
        "/images",
        "/images/",
        "/images/folder.png",
        "/images/folder.png/a.png",
        "/images/none.png",
        "/favicon.ico",
    ] {
        api.send(get(path)).await.assert_refused("not_found");
    }
}

#[tokio::test]
async fn a_stored_file_takes_no_other_method() {
    let api = TestApi::new();
    put(api.folder(), "images/a.png", PNG);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let reply = api.send(empty(method, "/images/a.png")).await;
        reply.assert_refused("not_found");
    }
    assert_eq!(api.files().len(), 1);
}

#[tokio::test]
async fn a_bucket_store_serves_no_files() {
    let lane = Lane::s3(&[]).await;
    let key = "images/20250417/1_2.png";
    lane.bucket().plant(key, Object::with(PNG));
    let reply = lane.get(&format!("/{key}")).await;
    reply.assert_refused("not_found");
}
