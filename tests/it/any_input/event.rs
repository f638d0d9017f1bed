//! `runtime::gateway`: an event's body reaches the Router unchanged, and a gateway can parse the
//! response.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, Uri, header::CONTENT_TYPE},
};
use base64_simd::STANDARD;
use chat_upload::{
    api::Arrival,
    runtime::gateway::{self, GatewayEvent},
};
use serde_json::Value;

use super::form::run;

/// Checks an event.
pub(crate) fn check(input: &[u8]) {
    let Ok(event) = serde_json::from_slice::<GatewayEvent>(input) else {
        return;
    };
    // Unused fields of an event may contain values that `Value` refuses: bytes that are not UTF-8, numbers
    // out of range.
    let as_json = serde_json::from_slice::<Value>(input).ok();
    let (router, seen) = echo();
    let answer = run(gateway::answer(router, event, Arrival::default())).expect("an answer");
    let answer = serde_json::to_value(answer).expect("an answer is JSON");

    let seen = seen.lock().expect("no panic").take();
    let (uri, body) = seen.expect("a request");
    assert!(uri.path().starts_with('/'), "{uri}");
    if let Some(expected) = as_json.as_ref().and_then(body_of) {
        assert_eq!(body, expected);
    }
    assert_eq!(answer["statusCode"], 200);
    assert_eq!(body_of(&answer), Some(body.to_vec()));
}

/// The last request that a Router received.
type Seen = Arc<Mutex<Option<(Uri, Bytes)>>>;

/// Answers every request with its own body and type.
fn echo() -> (Router, Seen) {
    let seen = Seen::default();
    let keep = Arc::clone(&seen);
    let router = Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
        *keep.lock().expect("no panic") = Some((uri, body.clone()));
        let mime = headers.get(CONTENT_TYPE).cloned();
        let headers: HeaderMap = mime.map(|mime| (CONTENT_TYPE, mime)).into_iter().collect();
        std::future::ready((headers, body))
    });
    (router, seen)
}

/// Decodes the body of an event or a response; `None` when its base64 is broken.
fn body_of(json: &Value) -> Option<Vec<u8>> {
    let text = json["body"].as_str().unwrap_or_default();
    let is_base64 = match &json["isBase64Encoded"] {
        Value::String(word) => word.eq_ignore_ascii_case("true"),
        flag => flag.as_bool().unwrap_or_default(),
    };
    if is_base64 {
        return STANDARD.decode_to_vec(text).ok();
    }
    Some(text.as_bytes().to_vec())
}
