//! Files of a private store: who can read them, where readers are redirected, and what is never signed.

use axum::http::Method;
use serde_json::Value;

use crate::{
    bucket_double::{BUCKET, Dialect},
    lane::{Lane, RECALL, SIGNING, post_json, target},
    support::{Form, PNG, Reply, RequestExt as _, UPLOAD, empty, get, send},
};

const SIGNED: (&str, &str) = ("UPLOAD_READ", "signed");
const HOST: &str = "http://chat.example.com";

impl Lane {
    async fn read(&self, method: Method, path: &str) -> Reply {
        self.send(empty(method, path)).await
    }
}

fn text<'v>(item: &'v Value, name: &str) -> &'v str {
    let value = &item[name];
    value.as_str().unwrap_or_else(|| panic!("{name} in {item}"))
}

/// Returns the path of an item's `url`, and its signature.
fn path_and_signature(item: &Value) -> (&str, &str) {
    let url = text(item, "url");
    let path = url.strip_prefix(HOST).unwrap_or(url);
    let (signature, key) = path
        .strip_prefix("/f/")
        .and_then(|rest| rest.split_once('/'))
        .unwrap_or_else(|| panic!("{url}"));
    assert_eq!(key, text(item, "path"));
    assert_eq!(signature.len(), 22);
    (path, signature)
}

#[tokio::test]
async fn every_item_names_an_address_that_reads_its_file() {
    for lane in Lane::each(&[SIGNED]).await {
        let [main, folder, direct] = lane.items().await;
        assert!(text(&main, "url").starts_with(HOST), "{main}");
        assert!(text(&direct, "url").starts_with(HOST), "{direct}");
        let is_relative = text(&folder, "url").starts_with('/');
        assert_eq!(is_relative, lane.bucket.is_none(), "{folder}");
        for item in [main, folder, direct] {
            let (path, _) = path_and_signature(&item);
            let reply = lane.get(path).await;
            assert_eq!(reply.header("referrer-policy"), "no-referrer");
            assert_eq!(reply.header("access-control-allow-origin"), "*");
            if lane.bucket.is_none() {
                assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, PNG));
                assert_eq!(reply.header("cache-control"), "private, max-age=300");
                assert_eq!(reply.header("x-content-type-options"), "nosniff");
                assert_eq!(item.get("signed_url"), None);
                assert_eq!(item.get("signed_expires_at"), None);
                continue;
            }
            assert_eq!((reply.status.as_u16(), reply.body.len()), (302, 0));
            let max_age = reply.header("cache-control");
            let max_age = max_age.strip_prefix("private, max-age=").unwrap();
            assert!((1..=300).contains(&max_age.parse::<u64>().unwrap()));
            let key = text(&item, "path");
            let at = format!("{}/{BUCKET}/{key}?", lane.bucket().endpoint());
            for url in [reply.header("location"), text(&item, "signed_url")] {
                assert!(url.starts_with(&at), "{url}");
            }
            assert!(item["signed_expires_at"].as_i64().unwrap() > 1_700_000_000);
        }
    }
}

#[tokio::test]
async fn a_bucket_takes_what_its_readers_are_sent_with() {
    let lane = Lane::s3(&[SIGNED]).await;
    for item in lane.items().await {
        let (path, _) = path_and_signature(&item);
        let location = |reply: Reply| target(reply.header("location"));
        let (addr, whole) = location(lane.get(path).await);
        let reply = send(addr, get(&whole)).await;
        assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, PNG));
        let part = get(&whole).header("range", "bytes=1-3");
        let reply = send(addr, part).await;
        assert_eq!((reply.status.as_u16(), &reply.body[..]), (206, &b"PNG"[..]));
        let (addr, signed) = target(text(&item, "signed_url"));
        assert_eq!(send(addr, get(&signed)).await.status, 200);

        let (addr, head) = location(lane.read(Method::HEAD, path).await);
        let reply = send(addr, empty(Method::HEAD, &head)).await;
        assert_eq!(reply.status, 200);
        // A signature is valid for one method.
        assert_eq!(send(addr, get(&head)).await.status, 403);
        let bare = whole.split('?').next().unwrap();
        assert_eq!(send(addr, get(bare)).await.status, 403);
    }
}

#[tokio::test]
async fn a_folder_sends_parts_and_knows_what_a_reader_has() {
    let lane = Lane::disk(&[SIGNED]);
    let [item, ..] = lane.items().await;
    let (path, _) = path_and_signature(&item);
    let part = get(path).header("range", "bytes=1-3");
    let reply = lane.send(part).await;
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (206, &b"PNG"[..]));
    let etag = reply.header("etag").to_owned();
    let again = get(path).header("if-none-match", etag);
    let reply = lane.send(again).await;
    assert_eq!(reply.status, 304);
    let reply = lane.read(Method::HEAD, path).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
    assert_eq!(reply.header("content-length"), PNG.len().to_string());
    // The query parameter applies to a bucket of OSS.
    let processed = format!("{path}?x-oss-process=image/info");
    assert_eq!(&lane.get(&processed).await.body[..], PNG);
}

#[tokio::test]
async fn a_key_alone_reads_nothing() {
    for lane in Lane::each(&[SIGNED]).await {
        for item in lane.items().await {
            let key = text(&item, "path");
            for path in [format!("/{key}"), format!("/f/{key}")] {
                for method in [Method::GET, Method::HEAD] {
                    let reply = lane.read(method.clone(), &path).await;
                    assert_eq!(reply.status, 404, "{method} {path}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_exactly_an_address_of_ours_is_404_and_signs_nothing() {
    for lane in Lane::each(&[SIGNED]).await {
        let [item, other, _] = lane.items().await;
        let (path, signature) = path_and_signature(&item);
        let (_, of_other) = path_and_signature(&other);
        let key = text(&item, "path");
        let recall = text(&item, "recall_token");
        let of_recall = recall.rsplit('.').next().unwrap();
        assert_eq!(of_recall.len(), signature.len());
        let another = |c| if c == 'A' { 'B' } else { 'A' };
        let changed: String = signature.chars().map(another).collect();
        let file = key.rsplit('/').next().unwrap();
        let long = "a".repeat(10 * 1024);
        for bad in [
            format!("/f/{changed}/{key}"),
            format!("/f/{}/{key}", &signature[..21]),
            format!("/f/{}/{key}", &signature[..11]),
            format!("/f//{key}"),
            format!("/f/{signature}A/{key}"),
            format!("/f/{signature}==/{key}"),
            format!("/f/{of_other}/{key}"),
            format!("/f/{of_recall}/{key}"),
            format!("/f/{recall}/{key}"),
            format!("/f/{signature}"),
            format!("/f/{signature}/"),
            format!("/f/{signature}//{key}"),
            format!("/f/{signature}/{key}/"),
            format!("/f/{signature}/{key}/.."),
            format!("/f/{signature}/./{key}"),
            format!("/f/{signature}/x/../{key}"),
            format!("/f/{signature}/x/%2e%2e/{key}"),
            format!("/f/{signature}/{}", key.replace('/', "%2F")),
            format!("/f/{signature}/{}", key.replace('.', "%2e")),
            format!("/f/{signature}%2F{key}"),
            format!("/f%2F{signature}/{key}"),
            format!("/F/{signature}/{key}"),
            format!("//f/{signature}/{key}"),
            format!("/f/{signature}/{key}%00"),
            format!("/f/{signature}/{key}%0A"),
            format!("/f/{signature}/{key}.png"),
            format!("/f/{signature}/pending/20250417/{file}"),
            format!("/f/{signature}/pending/20250417/1744866732481_20f90b51544f"),
            format!("/f/{signature}/{long}"),
            format!("/f/{long}/{key}"),
            format!("/f/{signature}/{key}{long}"),
        ] {
            for method in [Method::GET, Method::HEAD] {
                let reply = lane.read(method.clone(), &bad).await;
                let start: String = bad.chars().take(100).collect();
                assert_eq!(reply.status, 404, "{method} {start}");
                assert_eq!(reply.headers.get("location"), None, "{start}");
                if method == Method::GET {
                    reply.assert_refused("not_found");
                }
            }
        }
        let reply = lane.read(Method::POST, path).await;
        reply.assert_refused("method_not_allowed");
        assert_eq!(reply.header("allow"), "GET,HEAD");
    }
}

#[tokio::test]
async fn what_oss_makes_of_a_picture_is_signed_or_refused() {
    let lane = Lane::oss(&[SIGNED]).await;
    let [item, ..] = lane.items().await;
    let (path, _) = path_and_signature(&item);
    let plain = lane.get(path).await;
    let processed = async |lane: &Lane, path: &str, process: &str| {
        lane.get(&format!("{path}?x-oss-process={process}")).await
    };
    let reply = processed(&lane, path, "image/resize,m_lfit,w_200/quality,q_80").await;
    let url = reply.header("location");
    let signed = "&x-oss-process=image%2Fresize%2Cm_lfit%2Cw_200%2Fquality%2Cq_80&";
    assert!(url.contains(signed), "{url}");
    let signature = |url: &str| url.rsplit('=').next().unwrap().to_owned();
    assert_ne!(signature(url), signature(plain.header("location")));
    // Parameters that are not for OSS are not passed on.
    let asked = format!("{path}?v=1&x-oss-acl=x&acl");
    let reply = lane.get(&asked).await;
    assert_eq!(reply.header("location"), plain.header("location"));

    let long = format!("image/resize,w_{}", "1".repeat(242));
    for bad in [
        "",
        "image/resize,w_1%26acl",
        "image/resize,w_1%7Csys/saveas,o_eA",
        "image/resize,w_1|sys/saveas,o_eA",
        "image/resize,w_1%0Ax",
        "image/watermark,image_cGFuZGEucG5n",
        "image/info",
        "image/resize,w_1/saveas,o_eA",
        "image/resize,w_1&x-oss-process=image/info",
        "style/small",
        &long,
    ] {
        let reply = processed(&lane, path, bad).await;
        reply.assert_refused("parameter_invalid");
        assert_eq!(reply.headers.get("location"), None, "{bad}");
    }
    // Without a valid signature, the allowed parameters are not revealed.
    let wrong = path.replace("/f/", "/f/A");
    let reply = processed(&lane, &wrong, "image/info").await;
    reply.assert_refused("not_found");

    let lane = Lane::s3(&[SIGNED]).await;
    let [item, ..] = lane.items().await;
    let (path, _) = path_and_signature(&item);
    let reply = processed(&lane, path, "image/info").await;
    assert_eq!(reply.status, 302);
    assert!(!reply.header("location").contains("process"));
}

#[tokio::test]
async fn what_was_taken_back_cannot_be_read() {
    for lane in Lane::each(&[SIGNED]).await {
        for item in lane.items().await {
            let (path, _) = path_and_signature(&item);
            let token = serde_json::json!({"recall_token": item["recall_token"]});
            lane.send(post_json(RECALL, &token)).await.data();
            let reply = lane.get(path).await;
            if lane.bucket.is_none() {
                reply.assert_refused("not_found");
            } else if lane.bucket().dialect() == Dialect::S3 {
                let (addr, path) = target(reply.header("location"));
                // 403 where the role may not list the folder, as on S3.
                let status = send(addr, get(&path)).await.status.as_u16();
                assert!(matches!(status, 403 | 404), "{status}");
            }
        }
    }
}

#[tokio::test]
async fn a_secret_in_the_list_reads_what_it_signed() {
    const NEW: &str = "a secret that came later";
    let both = format!("{NEW},{}", SIGNING.1);
    let old = Lane::disk(&[SIGNED]);
    let [item, ..] = old.items().await;
    let (path, _) = path_and_signature(&item);
    let store = format!("disk:{}", old.api().folder().display());
    for (secrets, status) in [(both.as_str(), 200), (NEW, 404)] {
        let vars = [SIGNED, (SIGNING.0, secrets), ("UPLOAD_STORE", &store)];
        let reply = Lane::disk(&vars).get(path).await;
        assert_eq!(reply.status, status, "{secrets}");
    }
}

#[tokio::test]
async fn an_address_of_ones_own_is_the_base_of_every_url() {
    let base = "https://chat.example.com/files";
    for lane in Lane::each(&[SIGNED, ("UPLOAD_PUBLIC_URL", base)]).await {
        let item = lane.send(Form::image().to(UPLOAD)).await.item();
        let url = text(&item, "url");
        assert!(url.starts_with(&format!("{base}/f/")), "{url}");
    }
}

#[tokio::test]
async fn in_public_there_is_no_such_route() {
    for lane in Lane::each(&[]).await {
        let item = lane.send(Form::image().to(UPLOAD)).await.item();
        let path = format!("/f/{}/{}", "A".repeat(22), text(&item, "path"));
        lane.get(&path).await.assert_refused("not_found");
        assert_eq!(item.get("signed_url"), None);
    }
}
