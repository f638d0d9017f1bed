//! Writes the JSON event that a gateway hands to the function for one upload, so that a real file
//! can be tried without a cloud: `cargo make-event photo.jpg --gateway alb`.
//!
//! Everything but the file and the options is fixed (ids, times, boundary), so the same command
//! always gives the same event; the samples in `events/` are made this way. It is not a gateway:
//! it knows what events look like, not which requests a gateway would refuse.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

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
    let wish = match Wish::parse(std::env::args().skip(1)) {
        Ok(Some(wish)) => wish,
        Ok(None) => return print(HELP),
        Err(mistake) => return refuse(&mistake),
    };
    match wish.event() {
        Ok(event) => print(&event),
        Err(mistake) => refuse(&mistake),
    }
}

/// Prints to stdout; a reader that closed the pipe early is no reason to panic.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn refuse(mistake: &Mistake) -> ExitCode {
    eprintln!("make_event: {mistake}\ntry --help");
    ExitCode::from(2)
}

/// Why a command line cannot be carried out.
type Mistake = String;

// ---------------------------------------------------------------------------------------------
// The command line

/// The parsed command line.
struct Wish {
    method: Option<String>,
    path: String,
    base_path: String,
    query: Vec<Pair>,
    header_changes: Vec<Pair>,
    upper_case_headers: bool,
    field: String,
    file_name: Option<String>,
    form: Vec<Input>,
    gateway: Gateway,
    body_form: BodyForm,
    layout: Layout,
}

type Pair = (String, String);

/// One part of the form as the command line names it.
enum Input {
    File(String),
    Text(Pair),
}

/// How the finished event is written down.
#[derive(Default)]
struct Layout {
    sorted: bool,
    escaped_slashes: bool,
    flag_as_text: bool,
}

impl Wish {
    /// Reads the arguments; `None` means that help was asked for.
    fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Option<Self>, Mistake> {
        let mut wish = Self {
            method: None,
            path: "/api/chat/uploadAliyun".into(),
            base_path: String::new(),
            query: Vec::new(),
            header_changes: Vec::new(),
            upper_case_headers: false,
            field: "img".into(),
            file_name: None,
            form: Vec::new(),
            gateway: Gateway::ApigwV2,
            body_form: BodyForm::Base64,
            layout: Layout::default(),
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let missing = || format!("{argument} needs a value");
                arguments.next().ok_or_else(missing)
            };
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--field" => wish.field = value()?,
                "--name" => wish.file_name = Some(value()?),
                "--form" => wish.form.push(Input::Text(split(&value()?, '=')?)),
                "--method" => wish.method = Some(value()?),
                "--path" => wish.path = rooted(value()?)?,
                "--query" => wish.query.push(split(&value()?, '=')?),
                "--header" => wish.header_changes.push(split(&value()?, ':')?),
                "--gateway" => wish.gateway = choose("gateway", &value()?, &Gateway::ALL)?,
                "--base-path" => wish.base_path = rooted(value()?)?,
                "--body-as" => wish.body_form = choose("body form", &value()?, &BodyForm::ALL)?,
                "--mangled" => wish.body_form = BodyForm::Mangled,
                "--upper-case-headers" => wish.upper_case_headers = true,
                "--sorted" => wish.layout.sorted = true,
                "--escaped-slashes" => wish.layout.escaped_slashes = true,
                "--flag-as-text" => wish.layout.flag_as_text = true,
                option if option.starts_with('-') => {
                    return Err(format!("unknown option {option}"));
                }
                file => wish.add_file(file)?,
            }
        }
        Ok(Some(wish))
    }

    fn add_file(&mut self, path: &str) -> Result<(), Mistake> {
        let is_file = |input: &Input| matches!(input, Input::File(_));
        if self.form.iter().any(is_file) {
            return Err(format!("one file at a time, {path} is the second"));
        }
        self.form.push(Input::File(path.to_owned()));
        Ok(())
    }

    /// The event as JSON text, with a final newline.
    fn event(&self) -> Result<String, Mistake> {
        let request = self.request()?;
        let body = EventBody::new(self.body_form, request.body.as_deref())?;
        self.layout.write(self.gateway.event(&request, body))
    }

    fn request(&self) -> Result<Request, Mistake> {
        let body = self.multipart()?;
        let default_method = if body.is_some() { "POST" } else { "GET" };
        Ok(Request {
            method: self.method.clone().unwrap_or_else(|| default_method.into()),
            path: format!("{}{}", self.base_path, self.path),
            on_custom_domain: !self.base_path.is_empty(),
            query: self.query.clone(),
            content_length: self.body_form.content_length(body.as_ref()),
            boundary: body.as_ref().map(|body| body.boundary.clone()),
            body: body.map(|body| body.bytes),
            header_changes: self.header_changes.clone(),
            upper_case_headers: self.upper_case_headers,
        })
    }

    /// The form as the client sends it, `None` without any part.
    fn multipart(&self) -> Result<Option<Multipart>, Mistake> {
        let parts = self.form.iter().map(|input| match input {
            Input::File(path) => Part::file(path, &self.field, self.file_name.as_deref()),
            Input::Text((name, value)) => Ok(Part::text(name, value)),
        });
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        Ok((!parts.is_empty()).then(|| Multipart::new(&parts)))
    }
}

fn split(text: &str, separator: char) -> Result<Pair, Mistake> {
    let missing = || format!("`{text}` has no `{separator}`");
    let (name, value) = text.split_once(separator).ok_or_else(missing)?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn rooted(path: String) -> Result<String, Mistake> {
    match path.starts_with('/') {
        true => Ok(path),
        false => Err(format!("the path `{path}` does not begin with /")),
    }
}

// ---------------------------------------------------------------------------------------------
// The client's request

/// The HTTP request a client sent, before a gateway turned it into an event.
struct Request {
    method: String,
    /// Percent-encoded, with the base path of a custom domain.
    path: String,
    on_custom_domain: bool,
    /// Not percent-encoded.
    query: Vec<Pair>,
    content_length: usize,
    boundary: Option<String>,
    body: Option<Vec<u8>>,
    header_changes: Vec<Pair>,
    upper_case_headers: bool,
}

impl Request {
    /// The client's headers and the gateway's, in the client's spelling, after the changes asked
    /// for on the command line.
    fn headers(&self, from_gateway: &[(&str, &str)]) -> Vec<Pair> {
        let mut headers = vec![
            ("Accept".to_owned(), "*/*".to_owned()),
            ("User-Agent".to_owned(), USER_AGENT.to_owned()),
        ];
        if let Some(boundary) = &self.boundary {
            let content_type = format!("multipart/form-data; boundary={boundary}");
            headers.push(("Content-Length".into(), self.content_length.to_string()));
            headers.push(("Content-Type".into(), content_type));
        }
        let from_gateway = from_gateway.iter();
        headers.extend(from_gateway.map(|&(name, value)| (name.into(), value.into())));
        headers.retain(|(name, _)| !self.changes(name));
        let added = self
            .header_changes
            .iter()
            .filter(|(_, value)| !value.is_empty());
        headers.extend(added.cloned());
        for (name, _) in headers.iter_mut().filter(|_| self.upper_case_headers) {
            name.make_ascii_uppercase();
        }
        headers
    }

    fn changes(&self, header: &str) -> bool {
        let mut changed = self.header_changes.iter();
        changed.any(|(name, _)| name.eq_ignore_ascii_case(header))
    }

    /// The query as it stands in the request line, without `?`.
    fn raw_query(&self) -> String {
        let pairs = self.encoded_query().into_iter();
        let pairs = pairs.map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("&")
    }

    fn encoded_query(&self) -> Vec<Pair> {
        let encode = |(name, value): &Pair| (encoded(name), encoded(value));
        self.query.iter().map(encode).collect()
    }

    fn decoded_path(&self) -> String {
        let path = percent_decode_str(&self.path);
        path.decode_utf8_lossy().into_owned()
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
    fn file(path: &str, field: &str, file_name: Option<&str>) -> Result<Self, Mistake> {
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
        let boundary = Self::boundary(parts);
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(format!("--{boundary}\r\n{}\r\n", part.headers).as_bytes());
            bytes.extend_from_slice(&part.content);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        Self { boundary, bytes }
    }

    /// The first of a fixed row of boundaries that no part contains.
    fn boundary(parts: &[Part]) -> String {
        let absent = |boundary: &String| {
            let finder = memchr::memmem::Finder::new(boundary.as_bytes());
            let mut parts = parts.iter();
            parts.all(|part| finder.find(&part.content).is_none())
        };
        let mut all = (0..).map(|number| format!("------------------------sample{number:06}"));
        all.find(absent).expect("no file holds every number")
    }
}

// ---------------------------------------------------------------------------------------------
// The body inside the event

/// How the request's body gets into the JSON.
#[derive(Clone, Copy, Debug, PartialEq)]
enum BodyForm {
    Base64,
    Text,
    Mangled,
    Empty,
    Null,
    IllegalBase64,
    UrlSafeBase64,
    WrappedBase64,
}

impl BodyForm {
    const ALL: [(&str, Self); 8] = [
        ("base64", Self::Base64),
        ("text", Self::Text),
        ("mangled", Self::Mangled),
        ("empty", Self::Empty),
        ("null", Self::Null),
        ("illegal-base64", Self::IllegalBase64),
        ("url-safe-base64", Self::UrlSafeBase64),
        ("wrapped-base64", Self::WrappedBase64),
    ];

    /// Length that the client announced: the real one, also when the gateway mangles the body later.
    fn content_length(self, body: Option<&Multipart>) -> usize {
        match self {
            Self::Empty | Self::Null => 0,
            _ => body.map_or(0, |body| body.bytes.len()),
        }
    }
}

fn choose<T: Copy>(what: &str, name: &str, all: &[(&str, T)]) -> Result<T, Mistake> {
    if let Some((_, found)) = all.iter().find(|(known, _)| *known == name) {
        return Ok(*found);
    }
    let known = all.iter().map(|(known, _)| *known).collect::<Vec<_>>();
    Err(format!(
        "no {what} `{name}`; there are {}",
        known.join(", ")
    ))
}

/// `body` and `isBase64Encoded` of an event.
struct EventBody {
    /// `None` when the request had no body: each gateway has its own way to say so.
    body: Option<Value>,
    is_base64: bool,
}

impl EventBody {
    fn new(form: BodyForm, bytes: Option<&[u8]>) -> Result<Self, Mistake> {
        let Some(bytes) = bytes else {
            let (body, is_base64) = (None, false);
            return Ok(Self { body, is_base64 });
        };
        let (body, is_base64): (Value, _) = match form {
            BodyForm::Base64 => (base64(bytes).into(), true),
            BodyForm::Text => (utf8(bytes)?.into(), false),
            BodyForm::Mangled => (String::from_utf8_lossy(bytes).into(), false),
            BodyForm::Empty => ("".into(), true),
            BodyForm::Null => (Value::Null, false),
            BodyForm::IllegalBase64 => (with_illegal_character(base64(bytes)).into(), true),
            BodyForm::UrlSafeBase64 => (url_safe(&base64(bytes)).into(), true),
            BodyForm::WrappedBase64 => (wrapped(&base64(bytes)).into(), true),
        };
        let body = Some(body);
        Ok(Self { body, is_base64 })
    }
}

fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

fn utf8(bytes: &[u8]) -> Result<&str, Mistake> {
    std::str::from_utf8(bytes).map_err(|_| "the body is not UTF-8, so not text".into())
}

fn with_illegal_character(mut base64: String) -> String {
    let middle = base64.len() / 2;
    base64.replace_range(middle..=middle, "*");
    base64
}

fn url_safe(base64: &str) -> String {
    base64.replace('+', "-").replace('/', "_")
}

fn wrapped(base64: &str) -> String {
    let lines = base64.as_bytes().chunks(76).map(String::from_utf8_lossy);
    lines.collect::<Vec<_>>().join("\n")
}

// ---------------------------------------------------------------------------------------------
// The gateways

#[derive(Clone, Copy, Debug, PartialEq)]
enum Gateway {
    ApigwV1,
    ApigwV2,
    FunctionUrl,
    Alb,
    AlbMulti,
    Aliyun,
}

impl Gateway {
    const ALL: [(&str, Self); 6] = [
        ("apigw-v1", Self::ApigwV1),
        ("apigw-v2", Self::ApigwV2),
        ("function-url", Self::FunctionUrl),
        ("alb", Self::Alb),
        ("alb-multi", Self::AlbMulti),
        ("aliyun-api-gateway", Self::Aliyun),
    ];

    fn event(self, request: &Request, body: EventBody) -> Event {
        match self {
            Self::ApigwV1 => apigw_v1(request, body),
            Self::ApigwV2 => apigw_v2(request, body),
            Self::FunctionUrl => function_url(request, body),
            Self::Alb => alb(request, body, AlbHeaders::Single),
            Self::AlbMulti => alb(request, body, AlbHeaders::Multi),
            Self::Aliyun => aliyun_api_gateway(request, body),
        }
    }
}

/// API Gateway REST API, Lambda proxy integration. The names of headers keep the client's case and
/// the path and the query arrive decoded.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>
fn apigw_v1(request: &Request, body: EventBody) -> Event {
    let (host, prefix) = amazon_host(request);
    let mut headers = request.headers(&forwarded(&host));
    // REST APIs keep the length to themselves.
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
    let path = request.decoded_path();
    // The stage stands in front of the path here and nowhere else; a custom domain hides it.
    let staged_path = match request.on_custom_domain {
        true => path.clone(),
        false => format!("/prod{path}"),
    };
    let context = json!({
        "accountId": ACCOUNT,
        "apiId": API_ID,
        "domainName": host,
        "domainPrefix": prefix,
        "extendedRequestId": "JKJaXmPLvHcESHA=",
        "httpMethod": request.method,
        "identity": {
            "accessKey": null,
            "accountId": null,
            "caller": null,
            "cognitoAuthenticationProvider": null,
            "cognitoAuthenticationType": null,
            "cognitoIdentityId": null,
            "cognitoIdentityPoolId": null,
            "principalOrgId": null,
            "sourceIp": CLIENT_ADDRESS,
            "user": null,
            "userAgent": USER_AGENT,
            "userArn": null,
        },
        "path": staged_path,
        "protocol": "HTTP/1.1",
        "requestId": REQUEST_ID,
        "requestTime": REQUEST_TIME,
        "requestTimeEpoch": REQUEST_TIME_MS,
        "resourceId": "a1b2c3",
        "resourcePath": "/{proxy+}",
        "stage": "prod",
    });
    let (query, proxy) = (&request.query, path.trim_start_matches('/'));
    Event(vec![
        ("resource", json!("/{proxy+}")),
        ("path", json!(path)),
        ("httpMethod", json!(request.method)),
        ("headers", last_values(&headers)),
        ("multiValueHeaders", all_values(&headers)),
        ("queryStringParameters", null_if_empty(last_values(query))),
        (
            "multiValueQueryStringParameters",
            null_if_empty(all_values(query)),
        ),
        ("pathParameters", json!({ "proxy": proxy })),
        ("stageVariables", Value::Null),
        ("requestContext", context),
        ("body", body.body.unwrap_or(Value::Null)),
        ("isBase64Encoded", body.is_base64.into()),
    ])
}

/// API Gateway HTTP API, payload format 2.0.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
fn apigw_v2(request: &Request, body: EventBody) -> Event {
    let (host, prefix) = amazon_host(request);
    payload_format_2(request, body, &host, &prefix, API_ID)
}

/// Lambda function URL: payload format 2.0 under another domain.
/// <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html>
fn function_url(request: &Request, body: EventBody) -> Event {
    let id = "abcdefghijklmnopqrstuvwxyz012345";
    let host = format!("{id}.lambda-url.us-east-1.on.aws");
    payload_format_2(request, body, &host, id, id)
}

/// Header names in lower case, repeated values joined by commas, no `body` key without a body.
fn payload_format_2(
    request: &Request,
    body: EventBody,
    host: &str,
    prefix: &str,
    api_id: &str,
) -> Event {
    let headers = lower_cased(request.headers(&forwarded(host)));
    let context = json!({
        "accountId": ACCOUNT,
        "apiId": api_id,
        "domainName": host,
        "domainPrefix": prefix,
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
    if !request.query.is_empty() {
        event.push(("queryStringParameters", joined_values(&request.query)));
    }
    event.push(("requestContext", context));
    event.extend(body.body.map(|body| ("body", body)));
    event.push(("isBase64Encoded", body.is_base64.into()));
    Event(event)
}

/// The two ways a target group can be set to hand over headers and query.
#[derive(Clone, Copy, PartialEq)]
enum AlbHeaders {
    Single,
    Multi,
}

/// Application Load Balancer. Header names are in lower case; the query arrives as the client
/// encoded it.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>
fn alb(request: &Request, body: EventBody, style: AlbHeaders) -> Event {
    let target_group = "arn:aws:elasticloadbalancing:us-east-1:123456789012:\
                        targetgroup/upload/6d0ecf831eec9f09";
    let host = "upload-1234567890.us-east-1.elb.amazonaws.com";
    let headers = lower_cased(request.headers(&forwarded(host)));
    let query = request.encoded_query();
    let context = json!({ "elb": { "targetGroupArn": target_group } });
    let (query, headers) = match style {
        AlbHeaders::Single => (
            ("queryStringParameters", last_values(&query)),
            ("headers", last_values(&headers)),
        ),
        AlbHeaders::Multi => (
            ("multiValueQueryStringParameters", all_values(&query)),
            ("multiValueHeaders", all_values(&headers)),
        ),
    };
    Event(vec![
        ("requestContext", context),
        ("httpMethod", json!(request.method)),
        ("path", json!(request.path)),
        query,
        headers,
        ("body", body.body.unwrap_or_else(|| json!(""))),
        ("isBase64Encoded", body.is_base64.into()),
    ])
}

/// Aliyun's classic API Gateway in front of an event function. Captured events have their keys in
/// alphabetical order, the client's header names beside the gateway's, and no `Host`.
/// <https://www.alibabacloud.com/help/doc-detail/74794.htm>
fn aliyun_api_gateway(request: &Request, body: EventBody) -> Event {
    let request_id = REQUEST_ID.to_ascii_uppercase();
    let mut headers = request.headers(&[
        ("CA-Host", CUSTOM_DOMAIN),
        ("X-Ca-Api-Gateway", &request_id),
        ("X-Forwarded-For", CLIENT_ADDRESS),
        ("X-Forwarded-Proto", "https"),
        ("X-Real-IP", CLIENT_ADDRESS),
    ]);
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
    // Without a body the flag is set all the same.
    let is_base64 = body.is_base64 || body.body.is_none();
    Event(vec![
        ("body", body.body.unwrap_or_else(|| json!(""))),
        ("headers", last_values(&headers)),
        ("httpMethod", json!(request.method)),
        ("isBase64Encoded", is_base64.into()),
        ("path", json!(request.path)),
        ("pathParameters", json!({})),
        ("queryParameters", last_values(&request.query)),
    ])
}

/// Host and domain prefix of an API; one with a base path lies under a custom domain.
fn amazon_host(request: &Request) -> (String, String) {
    let host = match request.on_custom_domain {
        true => CUSTOM_DOMAIN.to_owned(),
        false => format!("{API_ID}.execute-api.us-east-1.amazonaws.com"),
    };
    let prefix = host.split('.').next().unwrap_or_default().to_owned();
    (host, prefix)
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
    let pairs = pairs.iter();
    let pairs = pairs.map(|(name, value)| (name.clone(), json!(value)));
    pairs.collect::<Map<_, _>>().into()
}

/// `{"name": ["first value", "second value"]}`
fn all_values(pairs: &[Pair]) -> Value {
    let values = |name: &str| {
        let same = pairs.iter().filter(|(other, _)| other == name);
        same.map(|(_, value)| json!(value)).collect::<Vec<_>>()
    };
    let names = pairs.iter().map(|(name, _)| name);
    let pairs = names.map(|name| (name.clone(), values(name).into()));
    pairs.collect::<Map<_, _>>().into()
}

/// `{"name": "first value,second value"}`
fn joined_values(pairs: &[Pair]) -> Value {
    let mut joined = Map::new();
    for (name, value) in pairs {
        match joined.get_mut(name) {
            Some(Value::String(before)) => *before = format!("{before},{value}"),
            _ => _ = joined.insert(name.clone(), json!(value)),
        }
    }
    joined.into()
}

fn null_if_empty(value: Value) -> Value {
    match value {
        Value::Object(map) if map.is_empty() => Value::Null,
        value => value,
    }
}

// ---------------------------------------------------------------------------------------------
// The JSON text

/// An event whose keys keep the order in which its gateway writes them: readers may depend on what
/// stands before the body.
struct Event(Vec<(&'static str, Value)>);

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Layout {
    fn write(&self, mut event: Event) -> Result<String, Mistake> {
        if self.sorted {
            event.0.sort_by_key(|(name, _)| *name);
        }
        if self.flag_as_text {
            let flags = event.0.iter_mut();
            for (_, flag) in flags.filter(|(name, _)| *name == "isBase64Encoded") {
                *flag = flag.to_string().into();
            }
        }
        let json = serde_json::to_string_pretty(&event);
        let mut json = json.map_err(|error| error.to_string())?;
        if self.escaped_slashes {
            // A slash means nothing in JSON outside of strings.
            json = json.replace('/', "\\/");
        }
        json.push('\n');
        Ok(json)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn event(arguments: &[&str]) -> Result<String, Mistake> {
        let arguments = arguments.iter().map(|&argument| argument.to_owned());
        Wish::parse(arguments)?
            .expect("no help was asked for")
            .event()
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
        for (gateway, _) in Gateway::ALL {
            let event = event(&["events/picture.png", "--gateway", gateway]).unwrap();
            let event: Value = serde_json::from_str(&event).unwrap();
            let body = event["body"].as_str().unwrap();
            let body = base64_simd::STANDARD.decode_to_vec(body).unwrap();
            let found = memchr::memmem::find(&body, &picture);
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
