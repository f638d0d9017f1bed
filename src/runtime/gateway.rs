//! JSON events of five gateways ⇄ http types: API Gateway REST (v1) and HTTP (v2), Lambda Function
//! URLs, ALB, and Aliyun's classic API gateway. One type deserializes them all, in one pass, and decodes
//! the body's base64 once.
//!
//! Formats: AWS "Working with Lambda proxy integrations", ELB "Lambda functions as targets", Aliyun
//! document 74794.

use std::{borrow::Cow, collections::BTreeMap, fmt, net::IpAddr};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri,
        header::{CONTENT_ENCODING, CONTENT_TYPE, COOKIE, SET_COOKIE},
    },
};
use http_body_util::BodyExt as _;
use memchr::memmem;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor,
        value::MapAccessDeserializer,
    },
};
use serde_json::value::RawValue;
use tower::ServiceExt as _;

use crate::api::{Arrival, BodyState};

/// U+FFFD in UTF-8, which decoders substitute for invalid bytes.
const REPLACEMENT: &[u8] = "\u{FFFD}".as_bytes();

/// Bytes to percent-encode in a request's path; not `%`, which begins an escape already.
const NOT_IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

const NOT_IN_QUERY: &AsciiSet = &NOT_IN_PATH.remove(b'?');

/// A client's request, extracted from a gateway's event.
#[derive(Debug)]
pub struct GatewayEvent {
    gateway: Gateway,
    request: Request<Bytes>,
    body_state: BodyState,
    client: Option<IpAddr>,
    stage: Option<String>,
}

/// Gateway, by the format of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gateway {
    /// API Gateway REST API.
    ApiV1,
    /// API Gateway HTTP API, and Function URLs, which have the same format.
    ApiV2,
    /// Application Load Balancer.
    Alb,
    /// Aliyun API gateway, classic.
    Aliyun,
}

/// Routes an event's request and returns the response in its gateway's format.
///
/// # Errors
/// When the response's body cannot be read: a bug, or a disk failure.
pub async fn answer(
    router: Router,
    event: GatewayEvent,
    mut arrival: Arrival,
) -> Result<Answer, axum::Error> {
    let gateway = event.gateway;
    arrival.body_state = event.body_state;
    arrival.client = event.client;
    arrival.stage = event.stage;
    let mut request = event.request.map(Body::from);
    request.extensions_mut().insert(arrival);
    let Ok(response) = router.oneshot(request).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer::new(gateway, parts.status, &parts.headers, &body))
}

/// An invocation of the function.
#[derive(Debug)]
pub enum Invocation {
    /// A gateway passes on a request.
    Request(Box<GatewayEvent>),
    /// A schedule, a plugin or the console keeps the instance warm, without a request.
    KeepWarm,
}

impl<'de> Deserialize<'de> for Invocation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InvocationVisitor;
        impl<'de> Visitor<'de> for InvocationVisitor {
            type Value = Invocation;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Invocation, A::Error> {
                let mut is_empty = true;
                let keys = Keys {
                    map,
                    is_empty: &mut is_empty,
                };
                let event = RawEvent::deserialize(MapAccessDeserializer::new(keys))?;
                if is_empty || event.is_keep_warm() {
                    return Ok(Invocation::KeepWarm);
                }
                let event = event.into_event().map_err(de::Error::custom)?;
                Ok(Invocation::Request(Box::new(event)))
            }
        }
        deserializer.deserialize_map(InvocationVisitor)
    }
}

/// Records whether a map is empty.
struct Keys<'k, A> {
    map: A,
    is_empty: &'k mut bool,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Keys<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let key = self.map.next_key_seed(seed)?;
        *self.is_empty &= key.is_none();
        Ok(key)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

impl<'de> Deserialize<'de> for GatewayEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RawEvent::deserialize(deserializer)?
            .into_event()
            .map_err(de::Error::custom)
    }
}

/// Fields of all five formats; the body is borrowed from the event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEvent<'a> {
    request_context: Option<RawContext>,
    // v1, ALB, Aliyun
    http_method: Option<String>,
    path: Option<String>,
    multi_value_headers: Option<Pairs>,
    query_string_parameters: Option<Pairs>,
    multi_value_query_string_parameters: Option<Pairs>,
    // v2
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    cookies: Option<Vec<String>>,
    // Aliyun
    query_parameters: Option<Pairs>,
    // all
    headers: Option<Pairs>,
    #[serde(borrow)]
    body: Option<Text<'a>>,
    #[serde(default)]
    is_base64_encoded: Flag,
    // events of other services
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(rename = "Records")]
    records: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawContext {
    http: Option<RawHttp>,
    elb: Option<IgnoredAny>,
    stage: Option<String>,
    path: Option<String>,
    identity: Option<RawClient>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawHttp {
    method: String,
    source_ip: Option<String>,
}

/// The client, as the gateway saw it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawClient {
    source_ip: Option<String>,
}

impl RawEvent<'_> {
    fn into_event(self) -> Result<GatewayEvent, &'static str> {
        let gateway = self.gateway();
        let method = self.method().ok_or(
            "not an event of API Gateway, a Function URL, an ALB or Aliyun's API gateway: no method",
        )?;
        let uri = self
            .uri(gateway)
            .ok_or("the event's path or query is not one")?;
        let headers = self.header_map();
        let client = self.client();
        let stage = self.stage(gateway).map(str::to_owned);
        let (body, body_state) = self.body.unwrap_or_default().decode(self.is_base64_encoded);
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(GatewayEvent {
            gateway,
            request,
            body_state,
            client,
            stage,
        })
    }

    fn is_keep_warm(&self) -> bool {
        let source = self.source.map(RawValue::get);
        let is_request =
            self.request_context.is_some() || self.http_method.is_some() || self.records.is_some();
        !is_request
            && matches!(
                source,
                Some(r#""aws.events""# | r#""serverless-plugin-warmup""#)
            )
    }

    fn gateway(&self) -> Gateway {
        match &self.request_context {
            Some(RawContext { http: Some(_), .. }) => Gateway::ApiV2,
            Some(RawContext { elb: Some(_), .. }) => Gateway::Alb,
            Some(_) => Gateway::ApiV1,
            None if self.multi_value_headers.is_some() => Gateway::ApiV1,
            None => Gateway::Aliyun,
        }
    }

    fn client(&self) -> Option<IpAddr> {
        let RawContext { http, identity, .. } = self.request_context.as_ref()?;
        let address = match http {
            Some(http) => &http.source_ip,
            None => &identity.as_ref()?.source_ip,
        };
        address.as_ref()?.parse().ok()
    }

    fn method(&self) -> Option<Method> {
        let context = self.request_context.as_ref();
        let http = context.and_then(|context| context.http.as_ref());
        let method = http
            .map(|http| &http.method)
            .or(self.http_method.as_ref())?;
        Method::from_bytes(method.as_bytes()).ok()
    }

    fn uri(&self, gateway: Gateway) -> Option<Uri> {
        let path = match gateway {
            Gateway::ApiV2 => {
                let path = self.raw_path.as_deref()?;
                match self.stage(gateway) {
                    Some(stage) => path.get(stage.len() + 1..)?,
                    None => path,
                }
            }
            _ => self.path.as_deref()?,
        };
        let mut text = String::with_capacity(path.len());
        if !path.starts_with('/') {
            text.push('/');
        }
        text.extend(utf8_percent_encode(path, NOT_IN_PATH));
        let query = self.query(gateway);
        if !query.is_empty() {
            text.push('?');
            text.extend(utf8_percent_encode(&query, NOT_IN_QUERY));
        }
        text.parse().ok()
    }

    /// Returns the stage if it is part of the client's path. HTTP APIs keep it in the event's path, unless it is
    /// `$default`; REST APIs remove it and give the full path separately. A custom domain has none.
    fn stage(&self, gateway: Gateway) -> Option<&str> {
        let context = self.request_context.as_ref()?;
        let full_path = match gateway {
            Gateway::ApiV2 => self.raw_path.as_deref()?,
            Gateway::ApiV1 => context.path.as_deref()?,
            Gateway::Alb | Gateway::Aliyun => return None,
        };
        let stage = context.stage.as_deref()?;
        let rest = full_path.strip_prefix('/')?.strip_prefix(stage)?;
        let is_in_path = match gateway {
            Gateway::ApiV1 => self.path.as_deref() == Some(rest),
            _ => stage != "$default" && rest.starts_with('/'),
        };
        is_in_path.then_some(stage)
    }

    fn query(&self, gateway: Gateway) -> Cow<'_, str> {
        let multiple = &self.multi_value_query_string_parameters;
        let pairs = pick_pairs(multiple, &self.query_string_parameters);
        let query = match gateway {
            Gateway::ApiV2 => return self.raw_query_string.as_deref().unwrap_or_default().into(),
            // An ALB passes names and values as the client encoded them.
            Gateway::Alb => pairs.map(Pairs::joined),
            Gateway::ApiV1 => pairs.map(Pairs::encoded),
            Gateway::Aliyun => self.query_parameters.as_ref().map(Pairs::encoded),
        };
        query.unwrap_or_default().into()
    }

    /// Converts the headers; skips invalid ones, which the gateway should not have passed on.
    fn header_map(&self) -> HeaderMap {
        let pairs = pick_pairs(&self.multi_value_headers, &self.headers);
        let pairs = pairs.map_or(&[][..], |pairs| &pairs.0);
        let mut headers = HeaderMap::with_capacity(pairs.len());
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
                headers.append(name, value);
            }
        }
        let cookies = self.cookies.as_ref().map(|cookies| cookies.join("; "));
        if let Some(Ok(cookies)) = cookies.map(HeaderValue::try_from) {
            headers.insert(COOKIE, cookies);
        }
        headers
    }
}

/// A string that is borrowed if its JSON has no escapes, as that of base64.
#[derive(Default, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    fn decode(self, is_base64: Flag) -> (Bytes, BodyState) {
        if is_base64.0 {
            return match base64_simd::STANDARD.decode_to_vec(self.0.as_bytes()) {
                Ok(bytes) => (bytes.into(), BodyState::Whole),
                Err(_) => (Bytes::new(), BodyState::Undecodable),
            };
        }
        let state = match memmem::find(self.0.as_bytes(), REPLACEMENT) {
            Some(_) => BodyState::Mangled,
            None => BodyState::Whole,
        };
        (self.0.into_owned().into(), state)
    }
}

/// A boolean, or a string in place of one, as in Aliyun's documentation.
#[derive(Clone, Copy, Default)]
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Bool(bool),
            Text(String),
            Null,
        }
        Ok(Self(match Either::deserialize(deserializer)? {
            Either::Bool(flag) => flag,
            Either::Text(text) => text.eq_ignore_ascii_case("true"),
            Either::Null => false,
        }))
    }
}

/// A map of names to one or several values, in the event's order.
struct Pairs(Vec<(String, String)>);

/// Returns the map of multiple values unless it is empty, else that of single values.
fn pick_pairs<'e>(multiple: &'e Option<Pairs>, single: &'e Option<Pairs>) -> Option<&'e Pairs> {
    let multiple = multiple.as_ref().filter(|pairs| !pairs.0.is_empty());
    multiple.or(single.as_ref())
}

impl Pairs {
    /// Encodes decoded names and values as `name=value&…`.
    fn encoded(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.0)
            .finish()
    }

    /// Joins names and values that are already encoded, as `name=value&…`.
    fn joined(&self) -> String {
        let pairs = self.0.iter();
        let pairs = pairs.map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("&")
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings or of lists of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, Values(values))) = map.next_entry::<String, Values>()? {
                    pairs.extend(values.into_iter().map(|value| (name.clone(), value)));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

/// No value, one, or several. Other values are rejected at their first byte: parsed first, an event of
/// objects would take a hundred times its size.
struct Values(Vec<String>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValuesVisitor;
        impl<'de> Visitor<'de> for ValuesVisitor {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a list of strings or null")
            }

            fn visit_str<E>(self, text: &str) -> Result<Values, E> {
                Ok(Values(vec![text.to_owned()]))
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Values, E> {
                Ok(Values(vec![flag.to_string()]))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Values, E> {
                Ok(Values(vec![number.to_string()]))
            }

            fn visit_unit<E>(self) -> Result<Values, E> {
                Ok(Values(Vec::new()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Values, A::Error> {
                let mut values = Vec::new();
                while let Some(Values(mut value)) = seq.next_element()? {
                    values.append(&mut value);
                }
                Ok(Values(values))
            }
        }
        deserializer.deserialize_any(ValuesVisitor)
    }
}

/// A response in a gateway's format.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    multi_value_headers: BTreeMap<String, Vec<String>>,
    /// Present, even if empty, for the gateway that has the field: `cargo lambda watch` requires it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<Vec<String>>,
    body: String,
    is_base64_encoded: bool,
}

impl Answer {
    fn new(gateway: Gateway, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let (body, is_base64_encoded) = match as_text(headers, body) {
            Some(text) => (text.to_owned(), false),
            None => (base64_simd::STANDARD.encode_to_string(body), true),
        };
        let mut answer = Self {
            status_code: status.as_u16(),
            status_description: (gateway == Gateway::Alb).then(|| status.to_string()),
            cookies: (gateway == Gateway::ApiV2).then(Vec::new),
            body,
            is_base64_encoded,
            ..Self::default()
        };
        answer.set_headers(gateway, headers);
        answer
    }

    fn set_headers(&mut self, gateway: Gateway, headers: &HeaderMap) {
        for (name, value) in headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            if let Some(cookies) = &mut self.cookies
                && name == SET_COOKIE
            {
                cookies.push(value);
                continue;
            }
            // An ALB reads one map or the other, by an attribute of its target group.
            if matches!(gateway, Gateway::ApiV1 | Gateway::Alb) {
                self.multi_value_headers
                    .entry(name.to_string())
                    .or_default()
                    .push(value.clone());
            }
            if gateway != Gateway::ApiV1 {
                let joined = self.headers.entry(name.to_string()).or_default();
                if !joined.is_empty() {
                    joined.push_str(", ");
                }
                joined.push_str(&value);
            }
        }
    }
}

/// Returns the body as text if it can be sent without base64.
fn as_text<'b>(headers: &HeaderMap, body: &'b [u8]) -> Option<&'b str> {
    let mime = headers.get(CONTENT_TYPE);
    let mime = mime.map_or(&b"text/"[..], HeaderValue::as_bytes);
    let is_text = mime.starts_with(b"text/") || mime.starts_with(b"application/json");
    if !is_text || headers.contains_key(CONTENT_ENCODING) {
        return None;
    }
    std::str::from_utf8(body).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(json: Value) -> GatewayEvent {
        serde_json::from_value(json).expect("an event")
    }

    fn v2(path: &str, query: &str, stage: &str) -> GatewayEvent {
        event(json!({
            "version": "2.0", "rawPath": path, "rawQueryString": query,
            "requestContext": {"http": {"method": "POST"}, "stage": stage},
        }))
    }

    #[test]
    fn every_gateway_is_told_from_the_others_by_its_own_fields() {
        let elb = json!({"elb": {"targetGroupArn": "arn"}});
        let get =
            |name: &str, value: &Value| json!({"httpMethod": "GET", "path": "/", name: value});
        let v2 = json!({"rawPath": "/", "requestContext": {"http": {"method": "GET"}}});
        for (json, gateway) in [
            (get("requestContext", &json!({})), Gateway::ApiV1),
            (v2, Gateway::ApiV2),
            (get("requestContext", &elb), Gateway::Alb),
            (get("queryParameters", &json!({})), Gateway::Aliyun),
        ] {
            assert_eq!(event(json).gateway, gateway);
        }
        for not_ours in [
            json!({}),
            json!({"Records": []}),
            json!({"httpMethod": "G T", "path": "/"}),
            json!([]),
        ] {
            assert!(serde_json::from_value::<GatewayEvent>(not_ours).is_err());
        }
    }

    #[test]
    fn a_stage_that_clients_name_is_told() {
        let v1 = |whole: Option<&str>| {
            event(json!({
                "httpMethod": "GET", "path": "/healthz", "multiValueHeaders": {},
                "requestContext": {"path": whole, "stage": "prod"},
            }))
        };
        assert_eq!(v1(Some("/prod/healthz")).stage.as_deref(), Some("prod"));
        for custom_domain in [Some("/healthz"), Some("/v1/healthz"), None] {
            assert_eq!(v1(custom_domain).stage, None);
        }
        assert_eq!(v2("/prod/a", "", "prod").stage.as_deref(), Some("prod"));
        for (path, stage) in [("/a", "$default"), ("/a", "prod"), ("/production", "prod")] {
            assert_eq!(v2(path, "", stage).stage, None);
        }
    }

    #[test]
    fn the_path_loses_the_stage_and_keeps_its_encoding() {
        for (path, stage, expected) in [
            ("/healthz", "$default", "/healthz"),
            ("/prod/healthz", "prod", "/healthz"),
            ("/production", "prod", "/production"),
            ("/a%2Fb", "$default", "/a%2Fb"),
            ("/图 a?b", "$default", "/%E5%9B%BE%20a%3Fb"),
            ("", "$default", "/"),
        ] {
            assert_eq!(v2(path, "", stage).request.uri().to_string(), expected);
        }
    }

    #[test]
    fn queries_reach_the_router_encoded() {
        let v2 = v2("/", "a=1&b=%E5", "$default");
        assert_eq!(v2.request.uri().query(), Some("a=1&b=%E5"));
        let v1 = event(json!({
            "httpMethod": "GET", "path": "/", "requestContext": {},
            "queryStringParameters": {"a": "2"},
            "multiValueQueryStringParameters": {"a": ["1 &", "2"]},
        }));
        assert_eq!(v1.request.uri().query(), Some("a=1+%26&a=2"));
        let alb = event(json!({
            "httpMethod": "GET", "path": "/", "requestContext": {"elb": {}},
            "queryStringParameters": {"a": "1%20x", "b": null},
        }));
        assert_eq!(alb.request.uri().query(), Some("a=1%20x"));
        let aliyun =
            event(json!({"httpMethod": "GET", "path": "/", "queryParameters": {"a": "猫"}}));
        assert_eq!(aliyun.request.uri().query(), Some("a=%E7%8C%AB"));
    }

    #[test]
    fn headers_are_found_in_any_case_and_in_either_map() {
        let json = json!({
            "httpMethod": "GET", "path": "/", "requestContext": {},
            "headers": {"CONTENT-TYPE": "a/b", "bad name": "x", "X-N": 5, "x-null": null},
        });
        let single = event(json);
        let headers = single.request.headers();
        assert_eq!(headers[CONTENT_TYPE], "a/b");
        assert_eq!(headers["x-n"], "5");
        assert_eq!(headers.len(), 2);
        let json = json!({
            "httpMethod": "GET", "path": "/", "requestContext": {"elb": {}},
            "headers": null, "multiValueHeaders": {"x-a": ["1", "2"]},
        });
        let several = event(json);
        let values = several.request.headers().get_all("x-a");
        assert_eq!(values.iter().count(), 2);
    }

    #[test]
    fn a_body_is_decoded_once_or_known_to_be_broken() {
        use BodyState::{Mangled, Undecodable, Whole};
        let decoded = [0, 255, 128];
        for (text, flag, bytes, state) in [
            (json!("AP+A"), json!(true), &decoded[..], Whole),
            (json!("AP+A"), json!("true"), &decoded, Whole),
            (json!("AP+A"), json!("false"), b"AP+A", Whole),
            (json!("a\u{FFFD}"), Value::Null, b"a\xEF\xBF\xBD", Mangled),
            (Value::Null, json!(false), b"", Whole),
            (json!("AP-A"), json!(true), b"", Undecodable),
            (json!("AP+"), json!(true), b"", Undecodable),
            (json!("AP+A\n"), json!(true), b"", Undecodable),
            (json!("*"), json!(true), b"", Undecodable),
        ] {
            let event = event(json!({
                "httpMethod": "POST", "path": "/", "body": text, "isBase64Encoded": flag,
            }));
            let found = (&**event.request.body(), event.body_state);
            assert_eq!(found, (bytes, state), "{text} {flag}");
        }
    }

    #[test]
    fn the_body_is_borrowed_from_the_event() {
        let raw: RawEvent<'_> = serde_json::from_str(r#"{"body":"AP+A"}"#).expect("an event");
        assert!(matches!(raw.body, Some(Text(Cow::Borrowed("AP+A")))));
        let escaped: RawEvent<'_> = serde_json::from_str(r#"{"body":"AP\/A"}"#).expect("an event");
        assert_eq!(escaped.body.unwrap_or_default().0, "AP/A");
    }

    #[test]
    fn each_gateway_gets_its_own_shape() {
        let mut headers = HeaderMap::new();
        let mime = "application/json; charset=utf-8";
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(mime));
        headers.append(SET_COOKIE, HeaderValue::from_static("a=1"));
        headers.append(SET_COOKIE, HeaderValue::from_static("b=2"));
        let joined = json!({"content-type": mime, "set-cookie": "a=1, b=2"});
        let multiple = json!({"content-type": [mime], "set-cookie": ["a=1", "b=2"]});
        for (gateway, mut expected) in [
            (Gateway::ApiV1, json!({"multiValueHeaders": multiple})),
            (
                Gateway::ApiV2,
                json!({"headers": {"content-type": mime}, "cookies": ["a=1", "b=2"]}),
            ),
            (
                Gateway::Alb,
                json!({
                    "statusDescription": "200 OK", "headers": joined, "multiValueHeaders": multiple,
                }),
            ),
            (Gateway::Aliyun, json!({"headers": joined})),
        ] {
            expected["statusCode"] = json!(200);
            expected["body"] = json!("{}");
            expected["isBase64Encoded"] = json!(false);
            let answer = Answer::new(gateway, StatusCode::OK, &headers, b"{}");
            let shape = serde_json::to_value(answer).expect("JSON");
            assert_eq!(shape, expected);
        }
    }

    #[test]
    fn an_http_api_is_told_that_there_are_no_cookies() {
        let answer = Answer::new(Gateway::ApiV2, StatusCode::OK, &HeaderMap::new(), b"");
        let json = serde_json::to_value(answer).expect("JSON");
        assert_eq!(json["cookies"], json!([]));
    }

    #[test]
    fn what_is_not_text_leaves_as_base64() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("image/png"));
        let answer = Answer::new(Gateway::ApiV2, StatusCode::OK, &headers, &[0, 255, 128]);
        assert!(answer.is_base64_encoded);
        assert_eq!(answer.body, "AP+A");
    }
}
