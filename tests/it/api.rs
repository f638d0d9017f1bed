//! Responses of the upload routes and of the others in normal operation, CORS,
//! and the set of routes.

use std::{collections::BTreeSet, ops::RangeInclusive};

use axum::http::{Method, Request};
use chat_upload::{api::Arrival, upload::naming::Folder};
use chrono::{DateTime, FixedOffset, Utc};
use serde_json::json;

use crate::{
    openapi::routes_of_the_program,
    support::{
        ADMIN, FOLDER, Form, Key, PNG, Reply, RequestExt as _, TestApi, UPLOAD, assert_has,
        assert_same, empty, get, path_of, post,
    },
};

const ORIGIN: &str = "https://chat.example.com";

/// Asserts that `path` is `<folder>/<YYYYMMDD>/<milliseconds>_<12 lower-case hex><.ext>` of a
/// moment within `when`, and returns that moment's seconds.
#[track_caller]
fn assert_key(path: &str, folder: &str, ext: &str, zone: &str, when: &RangeInclusive<i64>) -> i64 {
    let key = Key::parse(path).expect(path);
    assert_eq!((key.folder, key.extension), (folder, ext), "{path}");
    assert!(when.contains(&key.millis), "{path} {when:?}");
    let moment = DateTime::from_timestamp_millis(key.millis).unwrap();
    let zone: FixedOffset = zone.parse().unwrap();
    let expected = moment.with_timezone(&zone).format("%Y%m%d").to_string();
    assert_eq!(key.date, expected, "{path}");
    moment.timestamp()
}

fn now() -> i64 {
    Utc::now().timestamp_millis()
}

#[tokio::test]
async fn one_picture_is_answered_in_an_array_of_exactly_these_keys() {
    let (api, start) = (TestApi::new(), now());
    let request = Form::img("IMG_0001.png", PNG).to(UPLOAD);
    let request = request.header("host", "127.0.0.1:9000");
    let data = api.send(request).await.data();

    let path = path_of(&data[0]);
    let created = assert_key(path, "images", "png", "+08:00", &(start..=now()));
    let expected = json!([{
        "url": format!("http://127.0.0.1:9000/{path}"), "path": path, "image_class_id": 0,
        "create_time": created, "size": PNG.len(), "mime": "image/png", "name": "IMG_0001.png",
        "kind": "image", "width": 24, "height": 24, "geo": "none",
    }]);
    assert_eq!(data, expected);
    assert_eq!(api.files(), [(path.to_owned(), PNG.to_vec())].into());
}

#[tokio::test]
async fn several_files_are_answered_in_their_order() {
    let api = TestApi::new();
    let form = Form::new()
        .file("img", "c.png", PNG)
        .text("note", "between")
        .file("img", "a.txt", "first")
        .file("img", "b.csv", "x,y");
    let data = api.upload(&form).await.data();
    let items = data.as_array().unwrap();
    let column = |key: &str| -> Vec<_> { items.iter().map(|item| &item[key]).collect() };
    assert_eq!(column("name"), ["c.png", "a.txt", "b.csv"]);
    assert_eq!(column("mime"), ["image/png", "text/plain", "text/csv"]);
    assert_eq!(column("size"), [PNG.len(), 5, 3]);
    let files = api.files();
    let stored: Vec<_> = items.iter().map(|item| &files[path_of(item)][..]).collect();
    assert_eq!(stored, [PNG, b"first", b"x,y"]);
}

#[tokio::test]
async fn as_many_files_as_allowed_are_taken() {
    let api = TestApi::with(&[("UPLOAD_MAX_FILES", "3")]);
    let form = (0..3).fold(Form::new(), |form, _| form.and_image());
    assert_eq!(api.upload(&form).await.data().as_array().unwrap().len(), 3);
    assert_eq!(api.files().len(), 3);
}

#[tokio::test]
async fn the_class_id_comes_from_the_query_or_from_before_or_after_the_file() {
    let api = TestApi::new();
    let plain = Form::image;
    let before = |field: &str, id: &str| Form::new().text(field, id).and_image();
    let behind = |field: &str, id: &str| plain().text(field, id);
    let around = before("imageClassId", "").text("image_class_id", "5");
    let largest = 9_007_199_254_740_991_u64;
    for (query, form, expected) in [
        ("", plain(), 0),
        ("?imageClassId=7", plain(), 7),
        ("?image_class_id=7", plain(), 7),
        ("?imageClassId=", plain(), 0),
        ("?imageClassId=&image_class_id=8", plain(), 8),
        ("?imageClassId=9007199254740991", plain(), largest),
        ("", before("imageClassId", "3"), 3),
        ("", before("image_class_id", "3"), 3),
        ("", behind("imageClassId", "4"), 4),
        ("", behind("image_class_id", "4"), 4),
        ("", behind("imageClassId", ""), 0),
        ("", around, 5),
        ("?imageClassId=1", before("imageClassId", "2"), 1),
        ("?imageClassId=", behind("imageClassId", "2"), 2),
    ] {
        let data = api.send(form.to(&format!("{UPLOAD}{query}"))).await.data();
        assert_eq!(data[0]["image_class_id"], expected, "{query} {form:?}");
    }
}

#[tokio::test]
async fn the_admin_page_gets_the_same_answer() {
    let api = TestApi::new();
    let form = Form::image().file("img", "b.png", PNG);
    let request = form.to(&format!("{ADMIN}?imageClassId=12"));
    let data = api.send(request).await.data();
    for (index, name) in ["a.png", "b.png"].into_iter().enumerate() {
        let item = &data[index];
        assert_has(item, &json!({"name": name, "image_class_id": 12}));
        assert!(path_of(item).starts_with("images/"));
    }
    assert_eq!(api.files().len(), 2);
}

#[tokio::test]
async fn a_file_for_a_folder_is_answered_as_an_object_with_a_url_without_host() {
    for (named, levels) in [
        ("chatImgs", "chatImgs"),
        ("a_b", "a/b"),
        ("A-1_2_3_4_5", "A-1/2/3/4/5"),
        ("chat%49mgs", "chatImgs"),
    ] {
        let (api, start) = (TestApi::new(), now());
        let form = Form::new().text("token", "x").file("file", "a.png", PNG);
        let data = api.send(form.to(&format!("{FOLDER}{named}"))).await.data();
        let path = path_of(&data);
        let folder = format!("public/uploads/Diy/{levels}");
        assert_key(path, &folder, "png", "+08:00", &(start..=now()));
        let expected = json!({
            "url": format!("/{path}"), "path": path, "size": PNG.len(), "mime": "image/png", "name": "a.png",
            "kind": "image", "width": 24, "height": 24, "geo": "none",
        });
        assert_eq!(data, expected);
        assert_eq!(api.files(), [(path.to_owned(), PNG.to_vec())].into());
    }
}

#[tokio::test]
async fn a_file_for_a_folder_may_come_in_any_field() {
    let api = TestApi::new();
    for field in ["file", "img", "上传", ""] {
        let form = Form::new().file(field, "a.png", PNG);
        let item = api.send(form.to(&format!("{FOLDER}x"))).await.data();
        assert_eq!(item["size"], PNG.len());
    }
}

#[tokio::test]
async fn the_extension_is_the_clients_in_lower_case_when_it_fits_the_bytes() {
    let api = TestApi::new();
    let jpeg = include_bytes!("../media/baseline.jpg").as_slice();
    for (name, content, ext, mime) in [
        ("photo.JPEG", jpeg, "jpeg", "image/jpeg"),
        ("photo.jpg", jpeg, "jpg", "image/jpeg"),
        ("photo.png", jpeg, "jpg", "image/jpeg"),
        ("photo", jpeg, "jpg", "image/jpeg"),
        ("photo.jpg", PNG, "png", "image/png"),
        ("list.CSV", b"a,b", "csv", "text/csv"),
        ("list.md", b"a,b", "md", "text/plain"),
        ("list.js", b"a,b", "txt", "text/plain"),
    ] {
        let data = api.upload(&Form::img(name, content)).await.data();
        let path = path_of(&data[0]);
        assert!(path.ends_with(&format!(".{ext}")), "{name}: {path}");
        assert_eq!(data[0]["mime"], mime, "{name}");
    }
}

#[tokio::test]
async fn the_prefix_and_the_time_zone_of_the_key_are_configured() {
    for (prefix, zone) in [
        ("a/b-c", "+00:00"),
        ("chat_1", "-11:30"),
        ("images", "+14:00"),
    ] {
        let start = now();
        let api = TestApi::with(&[("UPLOAD_PREFIX", prefix), ("UPLOAD_UTC_OFFSET", zone)]);
        let data = api.upload(&Form::image()).await.data();
        assert_key(path_of(&data[0]), prefix, "png", zone, &(start..=now()));
    }
}

#[tokio::test]
async fn the_url_is_where_the_client_asked_unless_an_address_is_configured() {
    let cdn = [("UPLOAD_PUBLIC_URL", "https://cdn.example.com/chat/")];
    let (own, http, https) = ("chat.example.com", "http", "https");
    for (vars, host, scheme, base) in [
        (&[][..], own, http, "http://chat.example.com/"),
        (&[], "[::1]:9000", http, "http://[::1]:9000/"),
        (&[], own, https, "https://chat.example.com/"),
        (&[], "evil/?x", http, "/"),
        (&[], "a b", http, "/"),
        (&cdn, "10.0.0.1", http, "https://cdn.example.com/chat/"),
    ] {
        let api = TestApi::with(vars);
        let headers = [("host", host), ("x-forwarded-proto", scheme)];
        let request = Form::image().to(UPLOAD).with(&headers);
        let item = &api.send(request).await.data()[0];
        let (url, path) = (item["url"].as_str().unwrap(), path_of(item));
        assert_eq!(url, format!("{base}{path}"), "{host}");
        assert!(!url.contains('?'));
    }
}

#[tokio::test]
async fn a_qr_code_is_a_png_of_whole_modules() {
    // 14 bytes is the capacity of the smallest code of level M: 21 modules and a margin of 4.
    for (text, modules) in [("abcdefghijklmn", 29), ("abcdefghijklmno", 33)] {
        let request = get(&format!("/api/chat/qrcode?url={text}"));
        let reply = TestApi::new().send(request).await;
        reply.assert_ok("image/png");
        assert_eq!(reply.body[..16], *b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR");
        let side = |at: usize| u32::from_be_bytes(reply.body[at..at + 4].try_into().unwrap());
        assert_eq!((side(16), side(20)), (modules * 10, modules * 10));
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn a_qr_code_is_an_svg_when_asked_for() {
    let api = TestApi::new();
    for path in [
        "/api/chat/qrcode?url=hello&type=svg",
        "/api/chat/qrcode?type=SVG&url=hello",
    ] {
        let reply = api.send(get(path)).await;
        reply.assert_ok("image/svg+xml");
        let text = std::str::from_utf8(&reply.body).unwrap();
        assert!(text.starts_with("<?xml"), "{text}");
        assert!(text.contains("<svg") && text.ends_with("</svg>"), "{text}");
        assert_eq!(reply.header("content-security-policy"), "sandbox");
    }
}

#[tokio::test]
async fn a_qr_code_holds_1024_bytes_and_no_more() {
    let api = TestApi::new();
    let fits = format!("/api/chat/qrcode?url={}", "a".repeat(1024));
    assert_eq!(api.send(get(&fits)).await.status, 200);
    // 342 characters of three bytes each are 1,026 bytes.
    for text in [
        "a".repeat(1025),
        "%E5%9B%BE".repeat(342),
        "a".repeat(20_000),
    ] {
        let reply = api.send(get(&format!("/api/chat/qrcode?url={text}"))).await;
        reply.assert_refused("text_too_long");
    }
}

#[tokio::test]
async fn health_names_the_version_the_store_and_the_limits() {
    let standard = json!({
        "max_bytes": 52_428_800, "max_files": 9, "types": ["image", "video", "audio", "document"],
        "direct": false, "direct_max_bytes": 524_288_000, "recall_secs": 300, "token": false,
    });
    let changed = json!({
        "max_bytes": 1000, "max_files": 2, "types": ["image", "file"],
        "direct": true, "direct_max_bytes": 2000, "recall_secs": 60, "token": true,
    });
    let variables = [
        ("UPLOAD_MAX_BYTES", "1000"),
        ("UPLOAD_MAX_FILES", "2"),
        ("UPLOAD_TYPES", "file,image"),
        ("UPLOAD_DIRECT_MAX_BYTES", "2000"),
        ("UPLOAD_RECALL_SECS", "60"),
        ("UPLOAD_JWT_SECRET", "0123456789abcdef"),
    ];
    for (variables, limits) in [(&[][..], standard), (&variables, changed)] {
        let reply = TestApi::with(variables).send(get("/healthz")).await;
        let version = env!("CARGO_PKG_VERSION");
        let expected = json!({"version": version, "store": "disk", "limits": limits});
        assert_eq!(reply.data(), expected);
    }
    for scheme in ["s3", "oss"] {
        // No server listens there: the health check does not use the store.
        let api = TestApi::with(&[
            ("UPLOAD_STORE", &format!("{scheme}://a-bucket")),
            ("UPLOAD_ENDPOINT", "http://127.0.0.1:1"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ]);
        assert_eq!(api.send(get("/healthz")).await.data()["store"], scheme);
    }
}

/// Every route, with its methods.
fn routes() -> impl Iterator<Item = (String, BTreeSet<String>)> {
    let routes = routes_of_the_program().into_iter();
    routes.map(|(path, methods)| {
        let methods = methods.iter().map(|method| method.to_uppercase());
        (path.replace("{}", "x"), methods.collect())
    })
}

/// Enables every route that depends on settings.
fn with_all_routes() -> TestApi {
    TestApi::with(&[
        ("UPLOAD_PAGE", "on"),
        ("UPLOAD_READ", "signed"),
        ("UPLOAD_SIGNING_SECRET", "0123456789abcdef"),
    ])
}

fn from_origin(method: Method, path: &str, origin: &str) -> Request<axum::body::Body> {
    empty(method, path).header("origin", origin)
}

fn preflight(path: &str, origin: &str) -> Request<axum::body::Body> {
    from_origin(Method::OPTIONS, path, origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "token,x-trace")
}

fn allowed_origin(reply: &Reply) -> Option<&str> {
    let credentials = reply.headers.get("access-control-allow-credentials");
    assert_eq!(credentials, None);
    let value = reply.headers.get("access-control-allow-origin")?;
    Some(value.to_str().unwrap())
}

#[tokio::test]
async fn a_preflight_is_answered_on_every_path() {
    let api = with_all_routes();
    let paths = routes().map(|(path, _)| path);
    for path in paths.chain(["/images/x".to_owned(), "/no/such/route".to_owned()]) {
        let reply = api.send(preflight(&path, ORIGIN)).await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(allowed_origin(&reply), Some("*"), "{path}");
        for (name, value) in [
            ("access-control-allow-headers", "token,x-trace"),
            ("access-control-allow-methods", "GET,HEAD,POST,DELETE"),
            ("access-control-max-age", "86400"),
        ] {
            assert_eq!(reply.header(name), value, "{path}");
        }
        assert!(reply.body.is_empty());
    }
}

#[tokio::test]
async fn every_answer_can_be_read_by_a_page_and_has_an_id() {
    let api = with_all_routes();
    let mut ids = Vec::new();
    let failing = [
        ("GET", UPLOAD),
        ("GET", "/images/20250417/none.png"),
        ("DELETE", "/healthz"),
    ];
    let failing = failing.map(|(method, path)| (path.to_owned(), [method.to_owned()].into()));
    for (path, methods) in routes().chain(failing) {
        let method = methods.first().unwrap().parse().unwrap();
        let reply = api.send(from_origin(method, &path, ORIGIN)).await;
        assert_eq!(allowed_origin(&reply), Some("*"), "{path} {}", reply.status);
        let exposed = reply.header("access-control-expose-headers");
        assert!(exposed.contains("x-request-id"), "{exposed}");
        ids.push(reply.header("x-request-id").to_owned());
    }
    let asked = api.send(preflight(UPLOAD, ORIGIN)).await;
    ids.push(asked.header("x-request-id").to_owned());
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "{ids:?}");
}

#[tokio::test]
async fn only_listed_origins_may_read_when_there_is_a_list() {
    let list = "https://a.example.com, http://localhost:8080";
    let api = TestApi::with(&[("UPLOAD_CORS_ORIGINS", list)]);
    for (origin, allowed) in [
        ("https://a.example.com", true),
        ("http://localhost:8080", true),
        ("http://a.example.com", false),
        ("https://a.example.com.evil.com", false),
        ("https://a.example.com:444", false),
        ("https://A.example.com/", false),
        ("null", false),
        ("*", false),
        ("", false),
        ("\t,;é", false),
    ] {
        for request in [
            preflight(UPLOAD, origin),
            from_origin(Method::GET, "/healthz", origin),
            from_origin(Method::GET, "/none", origin),
        ] {
            let reply = api.send(request).await;
            let expected = allowed.then_some(origin);
            assert_eq!(allowed_origin(&reply), expected, "{origin}");
            assert!(reply.header("vary").to_lowercase().contains("origin"));
        }
    }
}

#[tokio::test]
async fn an_origin_that_is_null_or_missing_does_no_harm() {
    let api = TestApi::new();
    let simple = from_origin(Method::GET, "/healthz", "null");
    for request in [preflight(UPLOAD, "null"), simple] {
        assert_eq!(allowed_origin(&api.send(request).await), Some("*"));
    }
    let bare = api.send(empty(Method::OPTIONS, UPLOAD)).await;
    assert_eq!((bare.status.as_u16(), bare.body.len()), (200, 0));
    assert_eq!(api.send(get("/healthz")).await.status, 200);
}

#[tokio::test]
async fn the_platforms_request_id_is_the_answers() {
    let api = TestApi::new();
    for path in ["/healthz", "/none", UPLOAD] {
        let request = get(path).arriving(Arrival {
            request_id: Some("1-abc-def".to_owned()),
            ..Arrival::default()
        });
        let reply = api.send(request).await;
        assert_eq!(reply.header("x-request-id"), "1-abc-def");
        if !reply.status.is_success() {
            assert_eq!(reply.json()["request_id"], "1-abc-def");
        }
    }
}

#[tokio::test]
async fn a_base_path_is_taken_off_and_stands_in_the_url() {
    for held in ["/prod/v1", "prod/v1/"] {
        let api = TestApi::with(&[("UPLOAD_BASE_PATH", held)]);
        assert_eq!(api.send(get("/prod/v1/healthz")).await.status, 200);
        let request = Form::image().to(&format!("/prod/v1{UPLOAD}?imageClassId=5"));
        let request = request.header("host", "gw.example.com");
        let item = api.send(request).await.item();
        let path = path_of(&item);
        assert_eq!(item["image_class_id"], 5);
        assert_eq!(item["url"], format!("http://gw.example.com/prod/v1/{path}"));
        assert_eq!(api.send(get(&format!("/prod/v1/{path}"))).await.body, PNG);
    }
}

#[tokio::test]
async fn only_the_base_path_itself_is_taken_off() {
    let api = TestApi::with(&[("UPLOAD_BASE_PATH", "/prod")]);
    // A gateway may have removed it already.
    assert_eq!(api.send(get("/healthz")).await.status, 200);
    for path in [
        "/production/healthz",
        "/prod",
        "/prodhealthz",
        "/prod/prod/healthz",
        "/PROD/healthz",
    ] {
        api.send(get(path)).await.assert_refused("not_found");
    }
}

#[tokio::test]
async fn another_method_is_405_and_the_answer_says_which_are_taken() {
    let api = with_all_routes();
    for (path, mut taken) in routes() {
        if taken.contains("GET") {
            taken.insert("HEAD".to_owned());
        }
        let all = ["GET", "POST", "PUT", "DELETE", "PATCH"];
        for method in all.into_iter().filter(|method| !taken.contains(*method)) {
            let reply = api.send(empty(method.parse().unwrap(), &path)).await;
            let refused = reply.refused("method_not_allowed");
            assert_eq!(refused, Ok(()), "{method} {path}");
            let allowed = reply.header("allow").split(',').map(str::to_owned);
            let allow = format!("Allow of {method} {path}");
            assert_same((&allow, &allowed.collect()), ("its route", &taken));
        }
    }
}

#[test]
fn no_prefix_hides_files_behind_a_route() {
    for (path, _) in routes() {
        let mut levels = path.trim_start_matches('/').split('/');
        let (first, second) = (levels.next().unwrap(), levels.next());
        let is_safe = second.is_none() || Folder::parse(first).is_err();
        assert!(is_safe, "{first} is missing in ROUTES of src/store/key.rs");
    }
}

#[tokio::test]
async fn what_only_looks_like_a_route_is_none() {
    let api = TestApi::new();
    for path in [
        "/",
        "/api/chat/uploadAliyunX",
        "/api/chat/uploadAliyun/",
        "/api/chat/uploadAliyun;x",
        "/api/chat/uploadAliyun/x",
        "/api/chat/UPLOADALIYUN",
        "/API/chat/uploadAliyun",
        "//api/chat/uploadAliyun",
        "/api//chat/uploadAliyun",
        "/api/./chat/uploadAliyun",
        "/api/chat/../chat/uploadAliyun",
        "/api/chat/%2e%2e/chat/uploadAliyun",
        "/api/chat%2FuploadAliyun",
        "/api/chat/uploadAliyun%20",
        "/api/chat/uploadStreamSingleToServerDiy",
        "/shop/admin/image/",
    ] {
        for request in [Form::image().to(path), get(path)] {
            api.send(request).await.assert_refused("not_found");
        }
    }
    api.assert_nothing_stored();
}

#[tokio::test]
async fn a_query_of_any_shape_does_not_move_a_route() {
    let api = TestApi::new();
    for query in ["?", "?a", "?=&&=", "?x=/../..", "?%ff=%00", "?token=%zz"] {
        let request = Form::image().to(&format!("{UPLOAD}{query}"));
        assert_eq!(api.send(request).await.status, 200, "{query}");
    }
}

#[tokio::test]
async fn the_forms_content_type_may_be_written_in_many_ways() {
    let api = TestApi::new();
    let form = Form::with_boundary("abc").and_image();
    for content_type in [
        "multipart/form-data; boundary=abc",
        "multipart/form-data;boundary=abc",
        "Multipart/Form-Data; Boundary=\"abc\"",
        "multipart/form-data; charset=utf-8; boundary=abc",
        "multipart/form-data; boundary=abc; charset=utf-8",
        "multipart/form-data ; boundary=abc ;",
    ] {
        let reply = api.send(post(UPLOAD, content_type, form.bytes())).await;
        assert_eq!(reply.data()[0]["size"], PNG.len(), "{content_type}");
    }
}
