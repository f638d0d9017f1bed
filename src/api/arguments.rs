//! What the routes without a form take: JSON, urlencoded pairs or a query, under the same names.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, header::CONTENT_TYPE, request::Parts},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Arrival, BodyState, Error};
use crate::body::ReadError;

/// The arguments of one request. Those of the body come before those of the query.
#[derive(Debug)]
pub(super) struct Arguments(Map<String, Value>);

impl Arguments {
    /// Reads the body, at most `max_bytes` of it, for as long as `patience`.
    pub(super) async fn read(
        parts: &Parts,
        body: Body,
        max_bytes: usize,
        patience: Duration,
    ) -> Result<Self, Error> {
        if Arrival::of(parts).body_state == BodyState::Undecodable {
            return Err(ReadError::Malformed("the event's base64 is broken").into());
        }
        let body = collected(body, max_bytes, patience).await?;
        let mut arguments = of_body(&parts.headers, &body)?;
        for (name, value) in pairs(parts.uri.query().unwrap_or_default().as_bytes()) {
            arguments.entry(name).or_insert(value);
        }
        Ok(Self(arguments))
    }

    /// An argument as text; `""` when it is absent or null.
    pub(super) fn text(&self, name: &'static str) -> Result<String, Error> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            Some(_) => Err(Error::ParameterInvalid { name }),
        }
    }

    /// An argument as a whole number; `None` when it is absent or empty.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<u64>, Error> {
        let text = self.text(name)?;
        if text.is_empty() {
            return Ok(None);
        }
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number.map(Some).ok_or(Error::ParameterInvalid { name })
    }

    /// An argument of JSON's own shape.
    pub(super) fn value<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, Error> {
        let value = self.0.get(name).cloned().unwrap_or_default();
        serde_json::from_value(value).map_err(|_| Error::ParameterInvalid { name })
    }

    /// The object under `name` as arguments of their own; none when it is absent.
    pub(super) fn nested(&self, name: &'static str) -> Result<Self, Error> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(Self(Map::new())),
            Some(Value::Object(nested)) => Ok(Self(nested.clone())),
            Some(_) => Err(Error::ParameterInvalid { name }),
        }
    }
}

async fn collected(body: Body, max_bytes: usize, patience: Duration) -> Result<Bytes, Error> {
    let all = Limited::new(body, max_bytes).collect();
    match tokio::time::timeout(patience, all).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(ReadError::FieldTooLarge { limit: max_bytes }.into())
        }
        Ok(Err(_)) => Err(ReadError::Truncated.into()),
        Err(_) => Err(ReadError::TooSlow { idle: patience }.into()),
    }
}

/// JSON where the headers say so or the body looks so: not every client names the type.
fn of_body(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, Error> {
    const BODY: Error = Error::ParameterInvalid { name: "body" };
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes());
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    let body = body.trim_ascii();
    if body.is_empty() {
        Ok(Map::new())
    } else if kind.starts_with(b"application/json") || body.starts_with(b"{") {
        serde_json::from_slice(body).map_err(|_| BODY)
    } else if kind.starts_with(b"application/x-www-form-urlencoded") {
        let mut arguments = Map::new();
        for (name, value) in pairs(body) {
            arguments.entry(name).or_insert(value);
        }
        Ok(arguments)
    } else {
        Err(BODY)
    }
}

fn pairs(text: &[u8]) -> impl Iterator<Item = (String, Value)> {
    form_urlencoded::parse(text)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
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
        for (kind, uri, body) in [
            ("application/json", "/", r#"{"name":"a b","size":7}"#),
            (
                "application/json; charset=utf-8",
                "/",
                r#" {"name":"a b","size":"7"} "#,
            ),
            ("text/plain", "/", r#"{"name":"a b","size":7,"x":null}"#),
            ("application/x-www-form-urlencoded", "/", "name=a+b&size=7"),
            (
                "Application/X-WWW-Form-Urlencoded",
                "/?size=7",
                "name=a%20b",
            ),
            ("", "/?name=a%20b&size=7", ""),
            (
                "application/json",
                "/?name=other&size=7",
                r#"{"name":"a b"}"#,
            ),
        ] {
            let arguments = read(kind, uri, body).await.expect("arguments");
            assert_eq!(arguments.text("name").expect("text"), "a b", "{body}");
            assert_eq!(
                arguments.number("size").expect("a number"),
                Some(7),
                "{body}"
            );
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
            assert!(
                matches!(refused, Err(Error::ParameterInvalid { name: "body" })),
                "{body}"
            );
        }
        let odd = r#"{"a":[1],"b":-1,"c":1.5,"d":"1e3","e":"99999999999999999999","f":true}"#;
        let arguments = read("application/json", "/", odd).await.expect("arguments");
        for name in ["a", "b", "c", "d", "e", "f"] {
            assert!(
                matches!(arguments.number(name), Err(Error::ParameterInvalid { name: refused }) if refused == name),
                "{name}"
            );
        }
    }

    #[tokio::test]
    async fn a_body_has_an_end() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(100));
        let refused = read("application/json", "/", &long).await;
        assert!(matches!(
            refused,
            Err(Error::Read(ReadError::FieldTooLarge { limit: 100 }))
        ));
    }
}
