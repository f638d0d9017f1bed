//! A form as parsed by `api::form`, by multer, fed slowly, and by the reference parser: the
//! same parts in the same order with the same bytes, and the same kind of end.
//!
//! Permitted differences are listed where they are checked: [`End::LineFeeds`], names that are not UTF-8
//! or have a charset ([`Name::Unsure`]), and limits, which only `api::form` has.

use axum::http::HeaderValue;
use chat_upload::body::ReadError;
use futures_util::{StreamExt as _, stream};
use multer::Multipart;

use super::{
    chopped::{Chopped, gently},
    form::{MAX_FILE_BYTES, MAX_PARTS, MAX_TEXT_BYTES, MAX_UNPARSED, Read, Reading, read, run},
    reference_form::{End, RawForm, RawParams, RawPart},
};

/// The input is a boundary, chunk sizes and a body.
pub(crate) fn check(input: &[u8]) {
    let input = Chopped::new(input);
    let Some(boundary) = boundary(input.line) else {
        return;
    };
    let content_type = content_type(boundary);
    let ours = read(&content_type, stream::iter(input.as_asked())).expect("a boundary that may be");
    let multers = read_by_multer(boundary, &input);
    let reference = RawForm::parse(&input.content, boundary.as_bytes());

    assert_same_parts(&multers, &reference);
    if ours.found_too_long() && input.content.len() > MAX_UNPARSED {
        return;
    }
    Expected::from_form(&multers).assert(&ours);
    if reference.end != End::LineFeeds {
        Expected::from_form(&reference).assert(&ours);
    }
}

/// RFC 2046 §5.1.1, and what clients send beyond its alphabet.
fn boundary(line: &[u8]) -> Option<&str> {
    let is_one = (1..=70).contains(&line.len())
        && !line.ends_with(b" ")
        && line.iter().all(|byte| matches!(byte, b' '..=b'~'));
    is_one.then(|| std::str::from_utf8(line).expect("ASCII"))
}

/// Returns a Content-Type with this boundary. multer, which parses such headers by other rules, must find
/// the same one if it needs no quotes.
fn content_type(boundary: &str) -> HeaderValue {
    let escaped = boundary.replace('\\', r"\\").replace('"', r#"\""#);
    let text = format!(r#"multipart/form-data; boundary="{escaped}""#);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if boundary.bytes().all(is_plain) {
        let multers = multer::parse_boundary(&text).expect("a boundary");
        assert_eq!(multers, boundary);
    }
    HeaderValue::try_from(text).expect("printable")
}

fn read_by_multer(boundary: &str, input: &Chopped<'_>) -> RawForm {
    let stream = gently(input.as_asked()).map(Ok::<_, std::convert::Infallible>);
    let mut multipart = Multipart::new(stream, boundary);
    let mut form = RawForm::default();
    run(async {
        loop {
            let mut field = match multipart.next_field().await {
                Ok(Some(field)) => field,
                Ok(None) => return,
                // It has one error for an early end and for a broken boundary.
                Err(_) => return form.end = End::Unsaid,
            };
            let mut part = RawPart::default();
            let headers = field.headers().iter();
            let owned = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
            part.headers.extend(owned);
            loop {
                match field.chunk().await {
                    Ok(Some(chunk)) => part.content.extend_from_slice(&chunk),
                    Ok(None) => break form.parts.push(part),
                    Err(multer::Error::IncompleteFieldData { .. }) => {
                        form.end = match input.content.len() {
                            ..=MAX_TEXT_BYTES => End::Truncated,
                            _ => End::Uncounted,
                        };
                        return form.unfinished = Some(part);
                    }
                    Err(error) => panic!("no such error can be: {error}"),
                }
            }
        }
    });
    form
}

fn assert_same_parts(multers: &RawForm, reference: &RawForm) {
    if reference.end == End::LineFeeds {
        let both = reference.parts.len();
        assert_eq!(multers.parts.get(..both), Some(&*reference.parts));
        return;
    }
    assert_eq!(multers.parts, reference.parts);
    assert_eq!(multers.end == End::Whole, reference.end == End::Whole);
    // How much of an unfinished part multer returns depends on a possible boundary.
    match (&multers.unfinished, &reference.unfinished) {
        (Some(some), Some(all)) => {
            assert_eq!(some.headers, all.headers);
            assert!(all.content.starts_with(&some.content));
        }
        (None, None) => {}
        different => panic!("unfinished to one of the two: {different:?}"),
    }
}

/// A form as `api::form` should parse it.
struct Expected {
    parts: Vec<Part>,
    ends: Ends,
}

/// How reading ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Whole,
    Truncated,
    Malformed,
    AtLimit,
}

use Ended::{AtLimit, Malformed, Truncated, Whole};

/// The possible ends; several where multer does not distinguish them.
type Ends = &'static [Ended];

const BROKEN: Ends = &[Malformed];
/// Everything from here on depends on a name that this parser cannot read.
const UNSURE: Ends = &[];

struct Part {
    is_file: bool,
    field: Name,
    name: Name,
    content: Vec<u8>,
}

/// The name of a part.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    Absent,
    Is(String),
    /// GBK, or `name*=` in another charset than UTF-8.
    Unsure,
}

impl Expected {
    fn from_form(form: &RawForm) -> Self {
        let mut parts = Vec::new();
        for (index, raw) in form.parts.iter().enumerate() {
            match judge(index, raw, false) {
                Ok(part) => parts.extend(part),
                Err(ends) => return Self { parts, ends },
            }
        }
        let last = form.unfinished.as_ref();
        let last = last.and_then(|raw| judge(form.parts.len(), raw, true).err());
        let ends = last.unwrap_or(match form.end {
            End::Whole => &[Whole],
            End::Truncated => &[Truncated],
            End::Uncounted => &[AtLimit, Truncated],
            End::Broken => BROKEN,
            End::Unsaid | End::LineFeeds => &[Truncated, Malformed],
        });
        Self { parts, ends }
    }

    fn assert(&self, ours: &Reading) {
        if self.ends == UNSURE {
            return assert!(ours.parts.len() >= self.parts.len());
        }
        assert_eq!(ours.parts.len(), self.parts.len(), "{:?}", ours.end);
        for (expected, ours) in self.parts.iter().zip(&ours.parts) {
            expected.assert(ours);
        }
        let end = match &ours.end {
            Ok(()) => Whole,
            Err(ReadError::Truncated) => Truncated,
            Err(ReadError::Malformed(_)) => Malformed,
            Err(ReadError::TooLarge { .. } | ReadError::FieldTooLarge { .. }) => AtLimit,
            Err(other) => panic!("no such error can be: {other}"),
        };
        let ends = self.ends;
        assert!(ends.contains(&end), "{:?} is not {ends:?}", ours.end);
    }
}

impl Part {
    fn assert(&self, ours: &Read) {
        assert_eq!(ours.is_file, self.is_file, "a file or a text");
        self.field.assert(&ours.field);
        if self.is_file {
            self.name.assert(&ours.name);
        }
        assert_eq!(ours.content, self.content);
    }
}

impl Name {
    fn assert(&self, ours: &str) {
        match self {
            Self::Absent => assert_eq!(ours, ""),
            Self::Is(name) => assert_eq!(ours, name),
            Self::Unsure => {}
        }
    }
}

/// Returns a part as `api::form` should see it; `None` for an empty file input. `is_cut`: its content does
/// not end.
fn judge(index: usize, raw: &RawPart, is_cut: bool) -> Result<Option<Part>, Ends> {
    if index >= MAX_PARTS {
        return Err(BROKEN);
    }
    let disposition = raw.headers.get("content-disposition");
    let params = disposition.and_then(|header| RawParams::parse(header));
    let params = params.ok_or(BROKEN)?;
    let field = plain_name(&params, "name")?;
    let is_form_data = params.value.eq_ignore_ascii_case(b"form-data");
    if !is_form_data && field == Name::Absent || is_encoded(raw) {
        return Err(BROKEN);
    }
    let name = match extended_name(&params)? {
        Name::Absent => plain_name(&params, "filename")?,
        found => plain_name(&params, "filename").map(|_| found)?,
    };
    let has_type = has_type_of_file(raw);
    if name == Name::Unsure && !has_type && params.all("filename").is_empty() {
        return Err(UNSURE);
    }
    let is_text_field = match &field {
        Name::Is(field) => ["imageClassId", "image_class_id", "token"].contains(&field.as_str()),
        Name::Absent | Name::Unsure => false,
    };
    let is_file = !is_text_field && (name != Name::Absent || has_type);
    let limit = [MAX_TEXT_BYTES, MAX_FILE_BYTES][usize::from(is_file)];
    match is_cut {
        _ if raw.content.len() <= limit => {}
        true => return Err(&[AtLimit, Truncated]),
        false => return Err(&[AtLimit]),
    }
    let is_empty_input = is_file && raw.content.is_empty();
    match &name {
        Name::Unsure if is_empty_input => return Err(UNSURE),
        Name::Absent if is_empty_input => return Ok(None),
        Name::Is(name) if is_empty_input && name.is_empty() => return Ok(None),
        _ => {}
    }
    Ok(Some(Part {
        is_file,
        field,
        name,
        content: raw.content.clone(),
    }))
}

fn plain_name(params: &RawParams, name: &str) -> Result<Name, Ends> {
    match *params.all(name) {
        [] => Ok(Name::Absent),
        [raw] => Ok(std::str::from_utf8(raw).map_or(Name::Unsure, |text| {
            let text = text.replace("%22", "\"");
            Name::Is(text.replace("%0D", "\r").replace("%0A", "\n"))
        })),
        _ => Err(BROKEN),
    }
}

/// Decodes `filename*=UTF-8''%e7%8c%ab.png`; [`Name::Absent`] if it is missing or malformed.
fn extended_name(params: &RawParams) -> Result<Name, Ends> {
    let raw = match *params.all("filename*") {
        [] => return Ok(Name::Absent),
        [raw] => raw,
        _ => return Err(BROKEN),
    };
    let pieces: Vec<_> = raw.splitn(3, |byte| *byte == b'\'').collect();
    let [charset, _, encoded] = *pieces else {
        return Ok(Name::Absent);
    };
    let Some(bytes) = percent_decoded(encoded) else {
        return Ok(Name::Absent);
    };
    if !charset.eq_ignore_ascii_case(b"utf-8") {
        return Ok(Name::Unsure);
    }
    Ok(String::from_utf8(bytes).map_or(Name::Absent, Name::Is))
}

fn percent_decoded(encoded: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| Some(char::from(byte).to_digit(16)? as u8);
    let mut bytes = Vec::new();
    let mut rest = encoded.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => 16 * digit(rest.next()?)? + digit(rest.next()?)?,
            plain => plain,
        });
    }
    Some(bytes)
}

/// Whether a part without a file name is a file by its type.
fn has_type_of_file(raw: &RawPart) -> bool {
    let Some(value) = raw.headers.get("content-type") else {
        return false;
    };
    let value = String::from_utf8_lossy(value).to_ascii_lowercase();
    let essence = value.split(';').next().unwrap_or_default().trim_ascii();
    let is_text = essence.starts_with("text/") || essence.starts_with("multipart/");
    !is_text && !["", "application/json"].contains(&essence)
}

/// Nested forms and transfer encodings, which `api::form` refuses and the others pass on.
fn is_encoded(raw: &RawPart) -> bool {
    let of_type = raw.headers.get("content-type");
    let is_nested = of_type
        .and_then(|value| RawParams::parse(value))
        .is_some_and(|params| {
            params.value.eq_ignore_ascii_case(b"multipart/mixed")
                && !params.all("boundary").is_empty()
        });
    let encoding = raw.headers.get("content-transfer-encoding");
    let encoding = encoding.map(|value| value.to_ascii_lowercase());
    is_nested || encoding.is_some_and(|value| !matches!(&*value, b"binary" | b"8bit" | b"7bit"))
}
