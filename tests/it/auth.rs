//! Who may upload: users, guests and callers without a token on every route, with tokens in every place,
//! and section E of the list of bad inputs (`e56` to `e61`) as clients see it. `api/access/jwt.rs` verifies
//! claims and tests each of them.

use axum::{
    body::Body,
    http::{Method, Request},
};
use serde_json::json;

use crate::{
    bucket_double::{BucketDouble, Dialect, Operation},
    support::{ADMIN, Form, Local, PNG, RequestExt as _, TestApi, UPLOAD, empty, get, path_of},
    tokens::{HS256, JWT, SECRET, guest_jwt, signed, token, user_jwt},
};

const FOLDER: &str = "/api/chat/uploadStreamSingleToServerDiy/chatImgs";
const ROUTES: [&str; 3] = [UPLOAD, ADMIN, FOLDER];

const MISSING: &str = "token_missing";
const INVALID: &str = "token_invalid";
const DENIED: &str = "guest_denied";

/// Where a client may send its token.
#[derive(Clone, Copy, Debug)]
enum Place {
    Header,
    Bearer,
    Query,
    FormBeforeFile,
}

use Place::{Bearer, FormBeforeFile, Header, Query};

const PLACES: [Place; 4] = [Header, Bearer, Query, FormBeforeFile];
/// A place where the token is known before the form is read, and one within the form.
const TWO_PLACES: [Place; 2] = [Header, FormBeforeFile];

/// Returns an upload of one image to `route` with `token` in `place`.
fn upload(route: &str, place: Place, token: &str) -> Request<Body> {
    upload_of("a.png", PNG, route, place, token)
}

fn upload_of(name: &str, content: &[u8], route: &str, place: Place, token: &str) -> Request<Body> {
    let form = Form::img(name, content);
    match place {
        Header => form.to(route).and("token", token),
        Bearer => form
            .to(route)
            .and("authorization", format!("Bearer {token}")),
        Query => form.to(&format!("{route}?token={token}")),
        FormBeforeFile => {
            let form = Form::new().text("token", token);
            form.file("img", name, content).to(route)
        }
    }
}

/// Starts an API with a secret and these additional variables.
fn guarded(vars: &[(&str, &str)]) -> TestApi {
    TestApi::with(&[&[JWT], vars].concat())
}

// Users, guests and callers without a token

#[tokio::test]
async fn without_a_secret_everybody_may_upload_and_no_token_is_judged() {
    let api = TestApi::new();
    for route in ROUTES {
        assert_eq!(api.send(Form::image().to(route)).await.status, 200);
        for place in PLACES {
            let reply = api.send(upload(route, place, "no-token")).await;
            assert_eq!(reply.status, 200, "{route} {place:?}");
        }
    }
}

#[tokio::test]
async fn guests_may_upload_unless_they_are_denied() {
    let denying = guarded(&[("UPLOAD_GUESTS", "deny")]);
    for route in ROUTES {
        let api = guarded(&[]);
        for (count, place) in PLACES.into_iter().enumerate() {
            let request = || upload(route, place, &guest_jwt("g"));
            let reply = api.send(request()).await;
            assert_eq!(reply.status, 200, "{:?}", reply.body);
            assert_eq!(api.files().len(), count + 1);
            denying.assert_refuses(request(), DENIED).await;
        }
    }
    let user = denying.send(upload(UPLOAD, Header, &user_jwt("7")));
    assert_eq!(user.await.status, 200);
}

#[tokio::test]
async fn a_token_that_says_more_than_one_thing_against_itself_is_judged_by_signature_first() {
    let old_guest = json!({"id": 7, "role": "visitor", "exp": 1}).to_string();
    let api = guarded(&[("UPLOAD_GUESTS", "deny")]);
    for (token, row) in [
        (signed(HS256, &old_guest, "another secret"), INVALID),
        (signed(HS256, &old_guest, SECRET), "token_expired"),
    ] {
        let request = upload(UPLOAD, Header, &token);
        api.assert_refuses(request, row).await;
    }
}

#[tokio::test]
async fn both_secrets_count_while_one_replaces_the_other() {
    let requests = |secret| {
        let token = signed(HS256, r#"{"id":7}"#, secret);
        PLACES.map(|place| upload(UPLOAD, place, &token))
    };
    let rotating = TestApi::with(&[("UPLOAD_JWT_SECRET", " new secret ,old secret,")]);
    for secret in ["new secret", "old secret"] {
        for request in requests(secret) {
            assert_eq!(rotating.send(request).await.status, 200, "{secret}");
        }
    }
    let rotated = TestApi::with(&[("UPLOAD_JWT_SECRET", "new secret")]);
    for request in requests("old secret").into_iter().chain(requests("")) {
        rotated.assert_refuses(request, INVALID).await;
    }
}

#[tokio::test]
async fn what_is_no_upload_needs_no_token() {
    let api = guarded(&[]);
    let reply = api.send(upload(UPLOAD, Header, &user_jwt("7")));
    let path = format!("/{}", path_of(&reply.await.item()));
    for path in ["/healthz", "/api/chat/qrcode?url=x", &path] {
        for token in ["", "no-token"] {
            let reply = api.send(get(path).and("token", token)).await;
            assert_eq!(reply.status, 200, "{path}");
        }
    }
    for route in ROUTES {
        assert_eq!(api.send(empty(Method::OPTIONS, route)).await.status, 200);
        let reply = api.send(get(route)).await;
        reply.assert_refused("method_not_allowed");
    }
}

// Guests' limits

/// Returns a guest's upload of `content`, with its token in `place`.
fn guest_upload(place: Place, name: &str, content: &[u8]) -> Request<Body> {
    upload_of(name, content, UPLOAD, place, &guest_jwt("g"))
}

#[tokio::test]
async fn a_guests_file_has_a_limit_of_its_own() {
    let of_guests = ("UPLOAD_GUEST_MAX_BYTES", "2000");
    let api = guarded(&[of_guests, ("UPLOAD_MAX_BYTES", "5000")]);
    for place in TWO_PLACES {
        let request = guest_upload(place, "a.txt", &[b'x'; 2001]);
        api.assert_refuses(request, "too_large 2000 bytes").await;
    }
    for place in TWO_PLACES {
        let reply = api.send(guest_upload(place, "a.txt", &[b'x'; 2000])).await;
        assert_eq!(reply.data()[0]["size"], 2000);
    }
    let user = upload_of("a.txt", &[b'x'; 5000], UPLOAD, Header, &user_jwt("7"));
    assert_eq!(api.send(user).await.data()[0]["size"], 5000);
}

#[tokio::test]
async fn a_guests_limit_never_exceeds_everybodys() {
    let api = guarded(&[
        ("UPLOAD_GUEST_MAX_BYTES", "5000"),
        ("UPLOAD_MAX_BYTES", "2000"),
        ("UPLOAD_TYPES", "image"),
        ("UPLOAD_GUEST_TYPES", "image,document"),
    ]);
    for place in TWO_PLACES {
        let large = guest_upload(place, "a.png", &[PNG, &[0; 2000]].concat());
        api.assert_refuses(large, "too_large 2000 bytes").await;
        let request = guest_upload(place, "a.txt", b"text");
        api.assert_refuses(request, "type_refused txt").await;
    }
}

#[tokio::test]
async fn a_guests_files_are_of_the_kinds_that_guests_may_send() {
    let api = guarded(&[("UPLOAD_GUEST_TYPES", "image,audio")]);
    for place in TWO_PLACES {
        let request = guest_upload(place, "a.png", b"a text");
        api.assert_refuses(request, "type_refused txt").await;
    }
    for place in TWO_PLACES {
        assert_eq!(api.send(guest_upload(place, "a", PNG)).await.status, 200);
    }
    let user = upload_of("a.txt", b"a text", UPLOAD, Header, &user_jwt("7"));
    assert_eq!(api.send(user).await.data()[0]["mime"], "text/plain");
}

// E. Identity

#[tokio::test]
async fn e58_a_visitor_in_capitals_is_a_guest() {
    let api = guarded(&[("UPLOAD_GUESTS", "deny")]);
    for role in ["visitor", "Visitor", "VISITOR"] {
        let guest = token(&json!({"id": 7, "role": role}));
        let request = upload(UPLOAD, Header, &guest);
        api.assert_refuses(request, DENIED).await;
    }
}

/// Returns an upload of one image with a token in the header, in `Authorization`, in the query and in
/// the form; an empty one is not sent.
fn with_tokens([header, bearer, query, form]: [&str; 4]) -> Request<Body> {
    let form = Form::new().text("token", form).and_image();
    let request = form.to(&format!("{UPLOAD}?token={query}"));
    let request = request.and("token", header);
    request.and("authorization", format!("Bearer {bearer}"))
}

#[tokio::test]
async fn e59_a_guest_does_not_become_a_user_by_a_second_token() {
    let api = guarded(&[("UPLOAD_GUESTS", "deny")]);
    let (guest, user) = (guest_jwt("g"), user_jwt("7"));
    let two_in_form = Form::new().text("token", &guest).text("token", &user);
    for request in [
        with_tokens([&guest, &user, &user, &user]),
        with_tokens(["", "", &guest, &user]),
        two_in_form.and_image().to(UPLOAD),
    ] {
        api.assert_refuses(request, DENIED).await;
    }
}

#[tokio::test]
async fn e60_nothing_goes_to_a_bucket_before_the_token_is_accepted() {
    let bucket = BucketDouble::start(Dialect::S3).await;
    let api = TestApi::with_bucket(&bucket, &[JWT]);
    let after = Form::image().text("token", &user_jwt("7"));
    for (request, failure) in [
        (after.to(UPLOAD), MISSING),
        (upload(UPLOAD, FormBeforeFile, "bad"), INVALID),
    ] {
        api.send(request).await.assert_refused(failure);
    }
    let mut written = bucket.requests();
    written.retain(|r| !matches!(r.operation, Operation::Head | Operation::Other));
    assert!(written.is_empty(), "{written:?}");
    bucket.assert_nothing_left();
}

#[tokio::test]
async fn e61_a_base_path_in_front_needs_a_token_too() {
    let api = guarded(&[("UPLOAD_BASE_PATH", "/prod")]);
    let form = Form::image();
    for path in [format!("/prod{UPLOAD}"), UPLOAD.to_owned()] {
        api.assert_refuses(form.to(&path), MISSING).await;
    }
    for path in [format!("/prod/prod{UPLOAD}"), format!("/prodx{UPLOAD}")] {
        api.assert_refuses(form.to(&path), "not_found").await;
    }
}

// H. Origins, and the content of the log

#[tokio::test]
async fn h72_no_origin_is_allowed_credentials_and_no_preflight_needs_a_token() {
    let listed = [("UPLOAD_CORS_ORIGINS", "https://chat.example.com")];
    for vars in [&[][..], &listed] {
        let api = guarded(vars);
        let evil = ["https://evil.example", "https://chat.example.com.evil"];
        for origin in ["null", "", "é"].into_iter().chain(evil) {
            let preflight = || empty(Method::OPTIONS, UPLOAD).and("origin", origin);
            let asked = preflight().and("access-control-request-method", "POST");
            let upload = Form::image().to(UPLOAD).and("origin", origin);
            for (request, status) in [(preflight(), 200), (asked, 200), (upload, 401)] {
                let reply = api.send(request).await;
                assert_eq!(reply.status, status, "{origin}");
                let allowed = |name: &str| reply.headers.get(name).map(|value| value.as_bytes());
                assert_eq!(allowed("access-control-allow-credentials"), None);
                let everybody = vars.is_empty().then_some(&b"*"[..]);
                let found = allowed("access-control-allow-origin");
                assert_eq!(found, everybody, "{origin}");
            }
        }
        api.assert_nothing_stored();
    }
}

#[tokio::test]
async fn h78_the_log_names_the_user_and_never_a_token_or_a_secret() {
    let secrets = format!("{SECRET},another of ours");
    let server = Local::with(&[("UPLOAD_JWT_SECRET", &secrets), ("RUST_LOG", "trace")]);
    let good = user_jwt("user-77");
    let bad = signed(HS256, r#"{"id":"user-88"}"#, "a wrong one");
    for place in PLACES {
        for (token, status) in [(&good, 200), (&bad, 401)] {
            let reply = server.send(upload(UPLOAD, place, token)).await;
            assert_eq!(reply.status, status, "{place:?}");
            assert!(!String::from_utf8_lossy(&reply.body).contains(&**token));
            let line = server.process.line_with(reply.header("x-request-id"));
            assert_eq!(line.contains("user-77"), status == 200, "{line}");
        }
    }
    assert_eq!(server.files().len(), PLACES.len());
    let log = server.process.lines().join("\n");
    let parts = [good.split('.'), bad.split('.')].into_iter().flatten();
    for hidden in parts.chain([SECRET, "another of ours", "user-88"]) {
        assert!(!log.contains(hidden), "{hidden} in {log}");
    }
}
