//! The page of the local server, its description of the routes, and its start-up messages.

use std::{collections::BTreeSet, process::Command};

use serde_json::json;

use crate::{
    bucket_double::{BucketDouble, Dialect},
    lane::{POLICY, RECALL, post_json},
    support::{Form, Local, Reply, RequestExt as _, TestApi, UPLOAD, get, post},
};

const AT_HOME: (&str, &str) = ("UPLOAD_ADDR", "127.0.0.1:9000");
const OPEN: (&str, &str) = ("UPLOAD_ADDR", "0.0.0.0:9000");

async fn ask(api: &TestApi, host: &str, path: &str) -> Reply {
    let request = get(path).header("host", host);
    api.send(request).await
}

/// Returns all texts between `before` and the next quote.
fn named(text: &str, before: &str, quote: char) -> BTreeSet<String> {
    let rests = text.split(before).skip(1);
    rests
        .map(|rest| rest.split(quote).next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_page_and_all_that_it_loads_are_there() {
    let api = TestApi::with(&[AT_HOME]);
    let page = ask(&api, "127.0.0.1:9000", "/").await;
    page.assert_ok("text/html; charset=utf-8");
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    let mut wanted: Vec<_> = named(&html, "=\"_/", '"').into_iter().collect();
    assert!(wanted.contains(&"app.js".to_owned()), "{wanted:?}");
    let mut seen = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let reply = ask(&api, "127.0.0.1:9000", &format!("/_/{name}")).await;
        let kind = match name.rsplit('.').next().unwrap() {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(reply.status, 200, "{name}");
        assert_eq!(reply.header("content-type"), kind, "{name}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        let text = String::from_utf8(reply.body.to_vec()).unwrap();
        let folder = &name[..name.rfind('/').map_or(0, |slash| slash + 1)];
        let modules = named(&text, "from './", '\'').into_iter();
        wanted.extend(modules.map(|module| format!("{folder}{module}")));
    }
    assert!(seen.contains("client/uploader.js"), "{seen:?}");
    let nothing = ask(&api, "127.0.0.1:9000", "/_/nothing.js").await;
    nothing.assert_refused("not_found");
}

#[tokio::test]
async fn nothing_runs_on_it_but_its_own_files() {
    let policy = |page: &Reply| page.header("content-security-policy").to_owned();
    let page = ask(&TestApi::with(&[AT_HOME]), "localhost:9000", "/").await;
    assert_eq!(
        policy(&page),
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; \
         connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    );
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    for inline in ["<script>", " style=\"", "<style", " onclick="] {
        assert!(!html.contains(inline), "{inline}");
    }

    let bucket = BucketDouble::start(Dialect::S3).await;
    let cdn = ("UPLOAD_PUBLIC_URL", "https://cdn.example.com/x");
    let api = TestApi::with_bucket(&bucket, &[AT_HOME, cdn]);
    let page = ask(&api, "localhost", "/").await;
    let (policy, endpoint) = (policy(&page), bucket.endpoint());
    for source in ["img-src", "media-src", "connect-src"] {
        let mut parts = policy.split("; ").map(|part| part.split(' '));
        let sources = parts.find(|part| part.clone().next() == Some(source));
        let sources: Vec<_> = sources.unwrap().collect();
        for origin in ["https://cdn.example.com", &endpoint] {
            assert!(sources.contains(&origin), "{origin}: {sources:?}");
        }
    }
}

#[tokio::test]
async fn it_answers_nobody_who_came_by_another_name() {
    let api = TestApi::with(&[AT_HOME, ("UPLOAD_PUBLIC_URL", "https://files.example.com")]);
    for host in [
        "127.0.0.1:9000",
        "[::1]:9000",
        "localhost",
        "192.168.1.7:9000",
        "files.example.com",
    ] {
        assert_eq!(ask(&api, host, "/").await.status, 200, "{host}");
    }
    for host in [
        "rebound.example",
        "localhost.example:9000",
        "127.0.0.1.example",
    ] {
        for path in ["/", "/_/app.js"] {
            ask(&api, host, path).await.assert_refused("not_found");
        }
    }
    api.send(get("/")).await.assert_refused("not_found");
}

#[tokio::test]
async fn it_is_there_for_this_machine_unless_told_otherwise_and_never_on_a_cloud() {
    let cloud = ("FC_FUNCTION_NAME", "x");
    for (vars, is_there) in [
        (&[AT_HOME][..], true),
        (&[("UPLOAD_ADDR", "[::1]:0")], true),
        (&[AT_HOME, ("UPLOAD_PAGE", "off")], false),
        (&[OPEN], false),
        (&[OPEN, ("UPLOAD_PAGE", "on")], true),
        (&[AT_HOME, cloud, ("UPLOAD_PAGE", "on")], false),
    ] {
        let api = TestApi::with(vars);
        for path in ["/", "/_/app.js"] {
            let status = ask(&api, "localhost", path).await.status;
            assert_eq!(status == 200, is_there, "{vars:?} {path} {status}");
        }
        let description = ask(&api, "any.example", "/openapi.yaml").await;
        let is_described = description.status == 200;
        assert_eq!(is_described, !vars.contains(&cloud), "{vars:?}");
        if is_described {
            description.assert_ok("application/yaml; charset=utf-8");
            let file = include_bytes!("../../docs/openapi.yaml");
            assert_eq!(description.body, file[..]);
        }
    }
}

#[tokio::test]
async fn at_home_large_files_and_recalls_need_no_secret() {
    let call = || post_json(POLICY, &json!({"name": "a.png"}));
    let form = Form::image();
    let api = TestApi::with(&[AT_HOME]);
    api.send(call()).await.data();
    let item = api.upload(&form).await.item();
    let recall = json!({"recall_token": item["recall_token"]});
    api.send(post_json(RECALL, &recall)).await.data();
    // Each start generates another secret.
    let other = TestApi::with(&[AT_HOME]);
    let other = other.send(post_json(RECALL, &recall)).await;
    assert_eq!(other.json()["code"], "ticket_invalid");

    for vars in [&[OPEN][..], &[AT_HOME, ("FC_FUNCTION_NAME", "x")]] {
        let refused = TestApi::with(vars).send(call()).await;
        assert_eq!(refused.json()["code"], "direct_disabled", "{vars:?}");
    }
}

#[tokio::test]
async fn the_address_of_the_page_is_told_first_and_json_ends_with_its_line() {
    let server = Local::start();
    let line = server.process.lines()[0].clone();
    let end = format!("open http://{}/ in a browser", server.addr);
    assert!(line.ends_with(&end), "{line}");
    for (request, end) in [
        (get("/healthz"), "}\n"),
        (get("/nothing"), "}\n"),
        (Form::image().to(UPLOAD), "}\n"),
        (post(UPLOAD, "text/plain", "x"), "}\n"),
        (get("/"), "</html>\n"),
        (get("/openapi.yaml"), " }\n"),
    ] {
        let what = format!("{} {}", request.method(), request.uri());
        let reply = server.send(request).await;
        let text = String::from_utf8(reply.body.to_vec()).unwrap();
        let is_ended = text.ends_with(end) && !text.ends_with("\n\n");
        assert!(is_ended, "{what}: {text}");
        let length = text.len().to_string();
        assert_eq!(reply.header("content-length"), length, "{what}");
    }
}

#[test]
fn it_takes_two_arguments_and_no_others() {
    let run = |arguments: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
        let output = program.env_clear().args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (said, complaint) = (text(output.stdout), text(output.stderr));
        (output.status.code(), said, complaint)
    };
    let version = format!("chat-upload {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["--version"]), (Some(0), version, String::new()));
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    let readme = include_str!("../../README.md");
    let words = help.split_whitespace();
    for variable in words.filter(|word| word.starts_with("UPLOAD_")) {
        assert!(readme.contains(&format!("| `{variable}` |")), "{variable}");
    }
    for arguments in [&["serve"][..], &["--help", "x"], &["--port=1"], &[""]] {
        let (code, said, complaint) = run(arguments);
        assert_eq!((code, said.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(complaint.contains("--help"), "{complaint}");
    }
}
