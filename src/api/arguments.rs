//! Arguments of the routes without a form, as JSON, urlencoded pairs or a query.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, header::CONTENT_TYPE, request::Parts},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{Arrival, BodyState, Error, origin::refuse_encoded};
use crate::body::ReadError;

type Named = BTreeMap<String, Argument>;

/// Largest body on most routes, in bytes.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;

/// The arguments of one request. Those of the body take precedence over those of the query.
pub(super) struct Arguments(Named);

/// One argument. JSON stays raw until its type is known: parsed eagerly, a body of 1 MiB can take
/// 100 MiB of objects.
enum Argument {
    Json(Box<RawValue>),
    Text(String),
}

impl Arguments {
    /// Reads the body, at most `max_bytes` of it, within `timeout`.
    pub(super) async fn read(
        parts: &Parts,
        body: Body,
        max_bytes: usize,
        timeout: Duration,
    ) -> Result<Self, Error> {
        refuse_encoded(&parts.headers)?;
        // A mangled body may still contain intact arguments.
        let state = Arrival::from_parts(parts).body_state;
        if state == BodyState::Undecodable {
            state.check()?;
        }
        let body = collect(body, max_bytes, timeout).await?;
        let mut arguments = parse_body(&parts.headers, &body)?;
        let query = parts.uri.query().unwrap_or_default();
        add_pairs(&mut arguments, query.as_bytes());
        Ok(Self(arguments))
    }

    /// Returns an argument as text; `""` when it is absent or null.
    pub(super) fn text(&self, name: &'static str) -> Result<String, Error> {
        let text = match self.0.get(name) {
            None => Some(String::new()),
            Some(Argument::Text(text)) => Some(text.clone()),
            Some(Argument::Json(json)) => json_text(json.get()),
        };
        text.ok_or(Error::ParameterInvalid { name })
    }

    /// Parses an argument as a whole number; `None` when it is absent or empty.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<u64>, Error> {
        let text = self.text(name)?;
        if text.is_empty() {
            return Ok(None);
        }
        // Languages without integers write a whole number as `123.0`.
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
        let is_whole = !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0');
        let digits = whole.bytes().all(|byte| byte.is_ascii_digit());
        let number = whole.parse().ok().filter(|_| digits && is_whole);
        number.map(Some).ok_or(Error::ParameterInvalid { name })
    }

    /// Deserializes a JSON argument.
    pub(super) fn value<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, Error> {
        let value = match self.0.get(name) {
            Some(Argument::Json(json)) => serde_json::from_str(json.get()).ok(),
            None | Some(Argument::Text(_)) => None,
        };
        value.ok_or(Error::ParameterInvalid { name })
    }

    /// Returns the members of the object `name` as arguments; none when it is absent.
    pub(super) fn nested(&self, name: &'static str) -> Result<Self, Error> {
        let nested = match self.0.get(name) {
            None => Some(Named::new()),
            Some(Argument::Json(json)) if json.get() == NULL => Some(Named::new()),
            Some(Argument::Json(json)) => parse_json(json.get().as_bytes()),
            Some(Argument::Text(_)) => None,
        };
        nested.map(Self).ok_or(Error::ParameterInvalid { name })
    }
}

const NULL: &str = "null";

/// Returns the text of a string, or a number unchanged.
fn json_text(json: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok(),
        b'-' | b'0'..=b'9' => Some(json.to_owned()),
        _ => (json == NULL).then(String::new),
    }
}

/// Parses an object into its members.
fn parse_json(text: &[u8]) -> Option<Named> {
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(text).ok()?;
    let arguments = members.into_iter();
    let arguments = arguments.map(|(name, json)| (name, Argument::Json(json)));
    Some(arguments.collect())
}

async fn collect(body: Body, max_bytes: usize, timeout: Duration) -> Result<Bytes, Error> {
    let all = Limited::new(body, max_bytes).collect();
    match tokio::time::timeout(timeout, all).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(ReadError::FieldTooLarge { limit: max_bytes }.into())
        }
        Ok(Err(_)) => Err(ReadError::Truncated.into()),
        Err(_) => Err(ReadError::TooSlow { idle: timeout }.into()),
    }
}

/// Parses JSON if the Content-Type announces it or the body looks like it: not every client sends the
/// header.
fn parse_body(headers: &HeaderMap, body: &[u8]) -> Result<Named, Error> {
    const BODY: Error = Error::ParameterInvalid { name: "body" };
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes());
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    let body = body.trim_ascii();
    if body.is_empty() {
        Ok(Named::new())
    } else if kind.starts_with(b"application/json") || body.starts_with(b"{") {
        parse_json(body).ok_or(BODY)
    } else if kind.starts_with(b"application/x-www-form-urlencoded") {
        let mut arguments = Named::new();
        add_pairs(&mut arguments, body);
        Ok(arguments)
    } else {
        Err(BODY)
    }
}

/// Adds urlencoded pairs with new names.
fn add_pairs(arguments: &mut Named, text: &[u8]) {
    for (name, value) in form_urlencoded::parse(text) {
        let value = Argument::Text(value.into_owned());
        arguments.entry(name.into_owned()).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn read(kind: &str, uri: &str, body: &str) -> Result<Arguments, Error> {
        let request = Request::post(uri).header(CONTENT_TYPE, kind);
        let request = request
            .body(Body::from(body.to_owned()))
            .expect("a request");
        let (parts, body) = request.into_parts();
        Arguments::read(&parts, body, 100, Duration::from_secs(60)).await
    }

    #[tokio::test]
    async fn the_three_ways_say_the_same() {
        const JSON: &str = "application/json";
        let both = r#"{"name":"a b","size":7}"#;
        let as_text = r#" {"name":"a b","size":"7"} "#;
        let with_null = r#"{"name":"a b","size":7,"x":null}"#;
        let form = "application/x-www-form-urlencoded";
        for (kind, uri, body) in [
            (JSON, "/", both),
            ("application/json; charset=utf-8", "/", as_text),
            ("text/plain", "/", with_null),
            (form, "/", "name=a+b&size=7"),
            (
                "Application/X-WWW-Form-Urlencoded",
                "/?size=7",
                "name=a%20b",
            ),
            ("", "/?name=a%20b&size=7", ""),
            (JSON, "/?name=other&size=7", r#"{"name":"a b"}"#),
        ] {
            let arguments = read(kind, uri, body).await.expect("arguments");
            assert_eq!(arguments.text("name").expect("text"), "a b", "{body}");
            let size = arguments.number("size").expect("a number");
            assert_eq!(size, Some(7), "{body}");
            assert_eq!(arguments.text("absent").expect("text"), "");
            assert_eq!(arguments.number("absent").expect("a number"), None);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_refused_by_name() {
        for (kind, body) in [
            ("application/json", "{"),
            ("application/json", "[1]"),
            ("application/json", "name=a"),
            ("text/plain", "name=a"),
            ("multipart/form-data; boundary=x", "--x--"),
        ] {
            let refused = read(kind, "/", body).await;
            let is_named = matches!(refused, Err(Error::ParameterInvalid { name: "body" }));
            assert!(is_named, "{body}");
        }
        let odd = r#"{"a":[1],"b":-1,"c":1.5,"d":"1e3","e":"99999999999999999999","f":true}"#;
        let arguments = read("application/json", "/", odd).await.expect("arguments");
        for name in ["a", "b", "c", "d", "e", "f"] {
            match arguments.number(name) {
                Err(Error::ParameterInvalid { name: refused }) => assert_eq!(refused, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_nested_is_not_read_before_it_is_asked_for() {
        // serde_json would stop building it at a depth of 128.
        let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let read = parse_json(format!("{{\"name\":\"a\",\"x\":{nested}}}").as_bytes());
        let arguments = Arguments(read.expect("an object"));
        assert_eq!(arguments.text("name").expect("a text"), "a");
        assert!(arguments.text("x").is_err() && arguments.value::<Vec<u8>>("x").is_err());
    }

    #[tokio::test]
    async fn a_body_has_an_end() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(100));
        let refused = read("application/json", "/", &long).await;
        let Err(Error::Read(ReadError::FieldTooLarge { limit: 100 })) = refused else {
            panic!("read too far");
        };
    }
}
