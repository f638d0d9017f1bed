//! Writes the JSON event that a gateway hands to the function for one upload, so that a real file
//! can be tried without a cloud: `cargo make-event photo.jpg --gateway alb`.
//!
//! Everything but the file and the options is fixed (ids, times, boundary), so the same command
//! always gives the same event; the samples in `events/` are made this way. It is not a gateway:
//! it knows what events look like, not which requests a gateway would refuse.

use std::{collections::BTreeMap, io::Write as _, path::Path, process::ExitCode};

use base64_simd::{STANDARD, URL_SAFE};
use memchr::memmem;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

const HELP: &str = "\
Writes the event a gateway hands to the function for one upload, as JSON on stdout.

Usage: cargo make-event [OPTIONS] [FILE]

The request
  FILE                     file to upload; without it the form has no file
  --field NAME             form field of the file [default: img]
  --name NAME              file name the client sends [default: that of FILE]
  --form NAME=VALUE        text field, before or after the file as it stands here; repeatable
  --method METHOD          [default: POST; GET when there is no form]
  --path PATH              percent-encoded [default: /api/chat/uploadAliyun]
  --query NAME=VALUE       not percent-encoded; repeatable
  --header 'NAME: VALUE'   replaces a header or adds one, without a value removes it; repeatable

The gateway
  --gateway NAME           apigw-v1, apigw-v2, function-url, alb, alb-multi (multi-value headers)
                           or aliyun-api-gateway [default: apigw-v2]
  --base-path PATH         what a custom domain's mapping leaves in front of the path

Faults and rare shapes
  --body-as FORM           base64           as gateways send binary bodies [default]
                           text             as gateways send text; the body has to be UTF-8
                           mangled          binary taken for text: invalid bytes became U+FFFD
                           empty, null      the body got lost
                           illegal-base64   one character is outside the alphabet
                           url-safe-base64  the alphabet with - and _
                           wrapped-base64   lines of 76 characters
  --mangled                short for --body-as mangled
  --upper-case-headers     the client wrote its header names in capitals
  --sorted                 keys in alphabetical order, as `sam local` writes them
  --escaped-slashes        every / written as \\/, as some JSON writers do
  --flag-as-text           isBase64Encoded is \"true\", a string
  --help                   this text
";

const ACCOUNT: &str = "123456789012";
const API_ID: &str = "abcdef1234";
const CLIENT_ADDRESS: &str = "203.0.113.7";
const CUSTOM_DOMAIN: &str = "upload.example.com";
const REQUEST_ID: &str = "6a1f3c52-8d0e-4b7a-9c15-2e4d7f90ab31";
const REQUEST_TIME: &str = "17/Apr/2025:05:12:12 +0000";
const REQUEST_TIME_MS: u64 = 1_744_866_732_481;
const TRACE_ID: &str = "Root=1-68008dac-0123456789abcdef01234567";
const USER_AGENT: &str = "curl/8.5.0";

fn main() -> ExitCode {
    match answer(std::env::args().skip(1)) {
        // A reader that closed the pipe early must not cause a panic.
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(mistake) => {
            eprintln!("make_event: {mistake}\ntry --help");
            ExitCode::from(2)
        }
    }
}

/// Returns the event as JSON text with a final newline, or the help.
fn answer(arguments: impl IntoIterator<Item = String>) -> Result<String, Failure> {
    match Args::parse(arguments)? {
        Some(args) => args.event(),
        None => Ok(HELP.to_owned()),
    }
}

/// Error in a command line.
type Failure = String;

// ---------------------------------------------------------------------------------------------
// The command line

/// The parsed command line.
#[derive(Default)]
struct Args {
    method: Option<String>,
    path: String,
    base_path: String,
    query: Vec<Pair>,
    header_changes: Vec<Pair>,
    upper_case_headers: bool,
    field: String,
    file_name: Option<String>,
    form: Vec<Input>,
    gateway: Option<Gateway>,
    body_form: Option<BodyForm>,
    sorted: bool,
    escaped_slashes: bool,
    flag_as_text: bool,
}

type Pair = (String, String);

/// One part of the form on the command line.
enum Input {
    File(String),
    Text(Pair),
}

impl Args {
    /// Parses the arguments; `None` if help was requested.
    fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Option<Self>, Failure> {
        let mut args = Self {
            path: "/api/chat/uploadAliyun".into(),
            field: "img".into(),
            ..Self::default()
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let missing = || format!("{argument} needs a value");
                arguments.next().ok_or_else(missing)
            };
            let is_file = |input: &Input| matches!(input, Input::File(_));
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--field" => args.field = value()?,
                "--name" => args.file_name = Some(value()?),
                "--form" => args.form.push(Input::Text(split(&value()?, '=')?)),
                "--method" => args.method = Some(value()?),
                "--path" => args.path = rooted(value()?)?,
                "--query" => args.query.push(split(&value()?, '=')?),
                "--header" => args.header_changes.push(split(&value()?, ':')?),
                "--gateway" => args.gateway = Some(choose("gateway", &value()?, &GATEWAYS)?),
                "--base-path" => args.base_path = rooted(value()?)?,
                "--body-as" => args.body_form = Some(choose("body form", &value()?, &BODY_FORMS)?),
                "--mangled" => args.body_form = Some(mangled),
                "--upper-case-headers" => args.upper_case_headers = true,
                "--sorted" => args.sorted = true,
                "--escaped-slashes" => args.escaped_slashes = true,
                "--flag-as-text" => args.flag_as_text = true,
                option if option.starts_with('-') => {
                    return Err(format!("unknown option {option}"));
                }
                file if args.form.iter().any(is_file) => {
                    return Err(format!("one file at a time, {file} is the second"));
                }
                file => args.form.push(Input::File(file.to_owned())),
            }
        }
        Ok(Some(args))
    }

    /// Returns the event as JSON text, with a final newline.
    fn event(&self) -> Result<String, Failure> {
        let form = self.multipart()?;
        let body_form = self.body_form.unwrap_or(base64);
        let body = form.as_ref().map(|form| body_form(&form.bytes));
        let default_method = if form.is_some() { "POST" } else { "GET" };
        let gateway = self.gateway.unwrap_or(apigw_v2);
        let mut event = gateway(&Request {
            args: self,
            method: self.method.as_deref().unwrap_or(default_method),
            path: format!("{}{}", self.base_path, self.path),
            body: body.transpose()?,
            form,
        });
        if self.sorted {
            event.0.sort_by_key(|(name, _)| *name);
        }
        let json = serde_json::to_string_pretty(&event);
        let mut json = json.map_err(|error| error.to_string())?;
        if self.escaped_slashes {
            // A slash in JSON occurs only in strings.
            json = json.replace('/', "\\/");
        }
        Ok(json + "\n")
    }

    /// Returns the client's form, `None` without any part.
    fn multipart(&self) -> Result<Option<Multipart>, Failure> {
        let parts = self.form.iter().map(|input| match input {
            Input::File(path) => Part::file(path, &self.field, self.file_name.as_deref()),
            Input::Text((name, value)) => Ok(Part::text(name, value)),
        });
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        Ok((!parts.is_empty()).then(|| Multipart::new(&parts)))
    }
}

fn split(text: &str, separator: char) -> Result<Pair, Failure> {
    let missing = || format!("`{text}` has no `{separator}`");
    let (name, value) = text.split_once(separator).ok_or_else(missing)?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn rooted(path: String) -> Result<String, Failure> {
    if path.starts_with('/') {
        Ok(path)
    } else {
        Err(format!("the path `{path}` does not begin with /"))
    }
}

// ---------------------------------------------------------------------------------------------
// The client's request

/// A client's HTTP request, and its body as the gateway sends it.
struct Request<'w> {
    args: &'w Args,
    method: &'w str,
    /// Percent-encoded, with the base path of a custom domain.
    path: String,
    form: Option<Multipart>,
    /// `None` without a body, which each gateway encodes in its own way.
    body: Option<EventBody>,
}

impl Request<'_> {
    /// The client's headers and the gateway's, in the client's spelling, with the changes from the
    /// command line.
    fn headers(&self, from_gateway: &[(&str, &str)]) -> Vec<Pair> {
        let mut headers = vec![("Accept", "*/*".to_owned())];
        headers.push(("User-Agent", USER_AGENT.to_owned()));
        if let Some(form) = &self.form {
            let content_type = format!("multipart/form-data; boundary={}", form.boundary);
            headers.push(("Content-Length", self.content_length(form).to_string()));
            headers.push(("Content-Type", content_type));
        }
        let from_gateway = from_gateway.iter();
        headers.extend(from_gateway.map(|&(name, value)| (name, value.to_owned())));
        let changes = &self.args.header_changes;
        let is_changed = |header: &str| {
            let mut changed = changes.iter().map(|(name, _)| name);
            changed.any(|name| name.eq_ignore_ascii_case(header))
        };
        headers.retain(|(name, _)| !is_changed(name));
        let headers = headers.into_iter();
        let headers = headers.map(|(name, value)| (name.into(), value));
        let added = changes.iter().filter(|(_, value)| !value.is_empty());
        let mut headers: Vec<Pair> = headers.chain(added.cloned()).collect();
        for (name, _) in headers.iter_mut().filter(|_| self.args.upper_case_headers) {
            name.make_ascii_uppercase();
        }
        headers
    }

    /// Returns the length announced by the client: the original one, even if the gateway mangles the body,
    /// and 0 for a lost body.
    fn content_length(&self, form: &Multipart) -> usize {
        match &self.body {
            Some((Value::String(text), _)) if !text.is_empty() => form.bytes.len(),
            _ => 0,
        }
    }

    /// Returns `body` and `isBase64Encoded`; `absent` replaces a missing body.
    fn body_or(&self, absent: EventBody) -> [(&'static str, Value); 2] {
        let (body, is_base64) = self.body.clone().unwrap_or(absent);
        let flag = if self.args.flag_as_text {
            json!(is_base64.to_string())
        } else {
            json!(is_base64)
        };
        [("body", body), ("isBase64Encoded", flag)]
    }

    fn is_on_custom_domain(&self) -> bool {
        !self.args.base_path.is_empty()
    }

    /// Returns the query of the request line, without `?`.
    fn raw_query(&self) -> String {
        let pairs = self.encoded_query().into_iter();
        let pairs = pairs.map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("&")
    }

    fn encoded_query(&self) -> Vec<Pair> {
        let encode = |(name, value): &Pair| (encoded(name), encoded(value));
        self.args.query.iter().map(encode).collect()
    }
}

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// A `multipart/form-data` body (RFC 7578).
struct Multipart {
    boundary: String,
    bytes: Vec<u8>,
}

struct Part {
    headers: String,
    content: Vec<u8>,
}

impl Part {
    fn file(path: &str, field: &str, file_name: Option<&str>) -> Result<Self, Failure> {
        let content = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
        let path = Path::new(path);
        let own_name = path.file_name().unwrap_or_default().to_string_lossy();
        let headers = format!(
            "Content-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\nContent-Type: {}\r\n",
            quoted(field),
            quoted(file_name.unwrap_or(&own_name)),
            media_type(path),
        );
        Ok(Self { headers, content })
    }

    fn text(name: &str, value: &str) -> Self {
        let name = quoted(name);
        Self {
            headers: format!("Content-Disposition: form-data; name=\"{name}\"\r\n"),
            content: value.as_bytes().to_vec(),
        }
    }
}

/// Escapes a name as browsers do (WHATWG HTML, "multipart/form-data encoding algorithm").
fn quoted(name: &str) -> String {
    name.replace('\r', "%0D")
        .replace('\n', "%0A")
        .replace('"', "%22")
}

fn media_type(path: &Path) -> &'static str {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    match extension.to_str().unwrap_or_default() {
        "gif" => "image/gif",
        "jpg" | "jpeg" => "image/jpeg",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "txt" => "text/plain",
        "webp" => "image/webp",
        _ => "application/octet-stream",
    }
}

impl Multipart {
    fn new(parts: &[Part]) -> Self {
        let is_absent = |boundary: &String| {
            let mut contents = parts.iter().map(|part| &part.content);
            contents.all(|content| memmem::find(content, boundary.as_bytes()).is_none())
        };
        // The first of a fixed sequence of boundaries that no part contains.
        let mut all = (0..).map(|number| format!("------------------------sample{number:06}"));
        let boundary = all.find(is_absent).expect("no file holds every number");
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(format!("--{boundary}\r\n{}\r\n", part.headers).as_bytes());
            bytes.extend_from_slice(&part.content);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        Self { boundary, bytes }
    }
}

// ---------------------------------------------------------------------------------------------
// The body inside the event

/// `body` of an event, and whether it is base64.
type EventBody = (Value, bool);

/// Encoding of the request's body in JSON.
type BodyForm = fn(&[u8]) -> Result<EventBody, Failure>;

const BODY_FORMS: [(&str, BodyForm); 8] = [
    ("base64", base64),
    ("text", |bytes| match std::str::from_utf8(bytes) {
        Ok(text) => Ok((text.into(), false)),
        Err(_) => Err("the body is not UTF-8, so not text".into()),
    }),
    ("mangled", mangled),
    ("empty", |_| Ok(("".into(), true))),
    ("null", |_| Ok((Value::Null, false))),
    ("illegal-base64", |bytes| {
        let mut base64 = STANDARD.encode_to_string(bytes);
        let middle = base64.len() / 2;
        base64.replace_range(middle..=middle, "*");
        Ok((base64.into(), true))
    }),
    ("url-safe-base64", |bytes| {
        Ok((URL_SAFE.encode_to_string(bytes).into(), true))
    }),
    ("wrapped-base64", |bytes| {
        let base64 = STANDARD.encode_to_string(bytes);
        let lines = base64.as_bytes().chunks(76).map(String::from_utf8_lossy);
        Ok((lines.collect::<Vec<_>>().join("\n").into(), true))
    }),
];

fn base64(bytes: &[u8]) -> Result<EventBody, Failure> {
    Ok((STANDARD.encode_to_string(bytes).into(), true))
}

fn mangled(bytes: &[u8]) -> Result<EventBody, Failure> {
    Ok((String::from_utf8_lossy(bytes).into(), false))
}

fn choose<T: Copy>(what: &str, name: &str, all: &[(&str, T)]) -> Result<T, Failure> {
    if let Some((_, found)) = all.iter().find(|(known, _)| *known == name) {
        return Ok(*found);
    }
    let known = all.iter().map(|(known, _)| *known).collect::<Vec<_>>();
    let known = known.join(", ");
    Err(format!("no {what} `{name}`; there are {known}"))
}

// ---------------------------------------------------------------------------------------------
// The gateways

/// Conversion of a request into an event.
type Gateway = fn(&Request<'_>) -> Event;

const GATEWAYS: [(&str, Gateway); 6] = [
    ("apigw-v1", apigw_v1),
    ("apigw-v2", apigw_v2),
    ("function-url", function_url),
    ("alb", alb),
    ("alb-multi", alb_multi),
    ("aliyun-api-gateway", aliyun_api_gateway),
];

/// An event with its keys in the gateway's order: readers may depend on what precedes
/// the body.
struct Event(Vec<(&'static str, Value)>);

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// API Gateway REST API, Lambda proxy integration. The names of headers keep the client's case and
/// the path and the query arrive decoded.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>
fn apigw_v1(request: &Request<'_>) -> Event {
    let host = amazon_host(request);
    let mut headers = request.headers(&forwarded(&host));
    // REST APIs omit the length.
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
    let path = percent_decode_str(&request.path).decode_utf8_lossy();
    // The path includes the stage here and nowhere else; a custom domain hides it.
    let stage = ["/prod", ""][usize::from(request.is_on_custom_domain())];
    let unknown = "accessKey accountId caller cognitoAuthenticationProvider \
                   cognitoAuthenticationType cognitoIdentityId cognitoIdentityPoolId \
                   principalOrgId user userArn";
    let unknown = unknown.split(' ').map(|name| (name, Value::Null));
    let mut identity: Value = unknown.collect();
    identity["sourceIp"] = json!(CLIENT_ADDRESS);
    identity["userAgent"] = json!(USER_AGENT);
    let context = json!({
        "accountId": ACCOUNT,
        "apiId": API_ID,
        "domainName": host,
        "domainPrefix": host.split('.').next(),
        "extendedRequestId": "JKJaXmPLvHcESHA=",
        "httpMethod": request.method,
        "identity": identity,
        "path": format!("{stage}{path}"),
        "protocol": "HTTP/1.1",
        "requestId": REQUEST_ID,
        "requestTime": REQUEST_TIME,
        "requestTimeEpoch": REQUEST_TIME_MS,
        "resourceId": "a1b2c3",
        "resourcePath": "/{proxy+}",
        "stage": "prod",
    });
    let query = (!request.args.query.is_empty()).then_some(&request.args.query[..]);
    let [body, flag] = request.body_or((Value::Null, false));
    Event(vec![
        ("resource", json!("/{proxy+}")),
        ("path", json!(path)),
        ("httpMethod", json!(request.method)),
        ("headers", last_values(&headers)),
        ("multiValueHeaders", all_values(&headers)),
        ("queryStringParameters", json!(query.map(last_values))),
        (
            "multiValueQueryStringParameters",
            json!(query.map(all_values)),
        ),
        (
            "pathParameters",
            json!({ "proxy": path.trim_start_matches('/') }),
        ),
        ("stageVariables", Value::Null),
        ("requestContext", context),
        body,
        flag,
    ])
}

/// API Gateway HTTP API, payload format 2.0.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
fn apigw_v2(request: &Request<'_>) -> Event {
    payload_format_2(request, &amazon_host(request), API_ID)
}

/// Lambda function URL: payload format 2.0 under another domain.
/// <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html>
fn function_url(request: &Request<'_>) -> Event {
    let id = "abcdefghijklmnopqrstuvwxyz012345";
    payload_format_2(request, &format!("{id}.lambda-url.us-east-1.on.aws"), id)
}

/// Header names in lower case, repeated values joined by commas, no `body` key without a body.
fn payload_format_2(request: &Request<'_>, host: &str, api_id: &str) -> Event {
    let headers = lower_cased(request.headers(&forwarded(host)));
    let context = json!({
        "accountId": ACCOUNT,
        "apiId": api_id,
        "domainName": host,
        "domainPrefix": host.split('.').next(),
        "http": {
            "method": request.method,
            "path": request.path,
            "protocol": "HTTP/1.1",
            "sourceIp": CLIENT_ADDRESS,
            "userAgent": USER_AGENT,
        },
        "requestId": REQUEST_ID,
        "routeKey": "$default",
        "stage": "$default",
        "time": REQUEST_TIME,
        "timeEpoch": REQUEST_TIME_MS,
    });
    let mut event = vec![
        ("version", json!("2.0")),
        ("routeKey", json!("$default")),
        ("rawPath", json!(request.path)),
        ("rawQueryString", json!(request.raw_query())),
        ("headers", joined_values(&headers)),
    ];
    if !request.args.query.is_empty() {
        let query = joined_values(&request.args.query);
        event.push(("queryStringParameters", query));
    }
    event.push(("requestContext", context));
    let [body, flag] = request.body_or((Value::Null, false));
    event.extend(request.body.is_some().then_some(body));
    event.push(flag);
    Event(event)
}

/// Application Load Balancer. Header names are in lower case; the query arrives as the client
/// encoded it.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>
fn alb(request: &Request<'_>) -> Event {
    alb_with(request, "queryStringParameters", "headers", last_values)
}

/// The other setting of a target group for headers and query.
fn alb_multi(request: &Request<'_>) -> Event {
    let query = "multiValueQueryStringParameters";
    alb_with(request, query, "multiValueHeaders", all_values)
}

fn alb_with(
    request: &Request<'_>,
    query: &'static str,
    headers: &'static str,
    values: fn(&[Pair]) -> Value,
) -> Event {
    let target_group = "arn:aws:elasticloadbalancing:us-east-1:123456789012:\
                        targetgroup/upload/6d0ecf831eec9f09";
    let host = "upload-1234567890.us-east-1.elb.amazonaws.com";
    let given = lower_cased(request.headers(&forwarded(host)));
    let [body, flag] = request.body_or((json!(""), false));
    Event(vec![
        (
            "requestContext",
            json!({ "elb": { "targetGroupArn": target_group } }),
        ),
        ("httpMethod", json!(request.method)),
        ("path", json!(request.path)),
        (query, values(&request.encoded_query())),
        (headers, values(&given)),
        body,
        flag,
    ])
}

/// Aliyun's classic API Gateway in front of an event function. Captured events have their keys in
/// alphabetical order, the client's header names beside the gateway's, and no `Host`.
/// <https://www.alibabacloud.com/help/doc-detail/74794.htm>
fn aliyun_api_gateway(request: &Request<'_>) -> Event {
    let request_id = REQUEST_ID.to_ascii_uppercase();
    let mut headers = request.headers(&[
        ("CA-Host", CUSTOM_DOMAIN),
        ("X-Ca-Api-Gateway", &request_id),
        ("X-Forwarded-For", CLIENT_ADDRESS),
        ("X-Forwarded-Proto", "https"),
        ("X-Real-IP", CLIENT_ADDRESS),
    ]);
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
    // The flag is set even without a body.
    let [body, flag] = request.body_or((json!(""), true));
    Event(vec![
        body,
        ("headers", last_values(&headers)),
        ("httpMethod", json!(request.method)),
        flag,
        ("path", json!(request.path)),
        ("pathParameters", json!({})),
        ("queryParameters", last_values(&request.args.query)),
    ])
}

/// Returns the host of an API; one with a base path has a custom domain.
fn amazon_host(request: &Request<'_>) -> String {
    if request.is_on_custom_domain() {
        CUSTOM_DOMAIN.to_owned()
    } else {
        format!("{API_ID}.execute-api.us-east-1.amazonaws.com")
    }
}

/// Headers that every AWS gateway adds.
fn forwarded(host: &str) -> [(&str, &str); 5] {
    [
        ("Host", host),
        ("X-Amzn-Trace-Id", TRACE_ID),
        ("X-Forwarded-For", CLIENT_ADDRESS),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Proto", "https"),
    ]
}

fn lower_cased(mut headers: Vec<Pair>) -> Vec<Pair> {
    for (name, _) in &mut headers {
        name.make_ascii_lowercase();
    }
    headers
}

/// `{"name": "last value"}`
fn last_values(pairs: &[Pair]) -> Value {
    pairs.iter().cloned().collect()
}

/// `{"name": ["first value", "second value"]}`
fn all_values(pairs: &[Pair]) -> Value {
    json!(by_name(pairs))
}

/// `{"name": "first value,second value"}`
fn joined_values(pairs: &[Pair]) -> Value {
    let all = by_name(pairs).into_iter();
    all.map(|(name, values)| (name, values.join(","))).collect()
}

fn by_name(pairs: &[Pair]) -> BTreeMap<&str, Vec<&str>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in pairs {
        all.entry(&**name).or_default().push(&**value);
    }
    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn event(arguments: &[&str]) -> Result<String, Failure> {
        answer(arguments.iter().map(|&argument| argument.to_owned()))
    }

    fn read(name: &str) -> String {
        std::fs::read_to_string(format!("events/{name}")).unwrap()
    }

    #[test]
    fn every_sample_is_what_its_arguments_make() {
        let expected: Vec<Value> = serde_json::from_str(&read("expected.json")).unwrap();
        for sample in expected {
            let arguments = sample["made_with"].as_array().unwrap().iter();
            let arguments = arguments.map(|argument| argument.as_str().unwrap());
            let made = event(&arguments.collect::<Vec<_>>()).unwrap();
            let name = sample["event"].as_str().unwrap();
            assert_eq!(made, read(name), "{name}");
        }
    }

    #[test]
    fn every_gateway_carries_the_file_unchanged() {
        let picture = std::fs::read("events/picture.png").unwrap();
        for (gateway, _) in GATEWAYS {
            let event = event(&["events/picture.png", "--gateway", gateway]).unwrap();
            let event: Value = serde_json::from_str(&event).unwrap();
            let body = event["body"].as_str().unwrap();
            let body = STANDARD.decode_to_vec(body).unwrap();
            let found = memmem::find(&body, &picture);
            assert!(found.is_some(), "{gateway} lost the picture");
        }
    }

    #[test]
    fn boundary_is_one_that_the_file_does_not_contain() {
        let taken = Part::text("note", "------------------------sample000000");
        let boundary = Multipart::new(&[taken]).boundary;
        assert_eq!(boundary, "------------------------sample000001");
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        for (arguments, text) in [
            (
                "--gateway nginx",
                "no gateway `nginx`; there are apigw-v1, apigw-v2",
            ),
            ("--field", "--field needs a value"),
            ("--what", "unknown option --what"),
            ("--query x", "`x` has no `=`"),
            ("events/none.png", "events/none.png: No such file"),
            ("events/picture.png --body-as text", "the body is not UTF-8"),
        ] {
            let mistake = event(&arguments.split(' ').collect::<Vec<_>>()).unwrap_err();
            assert!(mistake.starts_with(text), "{mistake}");
        }
    }
}
