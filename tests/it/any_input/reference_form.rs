//! Reference parser for forms and their headers after RFC 2046 and RFC 7578: slow and simple, on one
//! buffer. `api::form` and multer are compared with it.

use std::collections::BTreeMap;

/// Most headers of a part, as in multer.
const MAX_HEADERS: usize = 32;
/// Longest name of a header, as in the crate `http`.
const MAX_HEADER_NAME_BYTES: usize = u16::MAX as usize;
/// Most parameters of a header, as in `api::form::header_params`.
const MAX_PARAMS: usize = 16;

/// A part as it is in the form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawPart {
    /// By name in lower case. The last of a name counts: multer shows no other.
    pub(crate) headers: BTreeMap<String, Vec<u8>>,
    pub(crate) content: Vec<u8>,
}

/// How a form ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// With its closing boundary.
    #[default]
    Whole,
    /// Too early.
    Truncated,
    /// Too early, and perhaps after more than a limit allows: only for multer, which does not return the
    /// whole start of the last part.
    Uncounted,
    /// At a syntax error.
    Broken,
    /// One of the last two: multer does not distinguish them, and after a preamble `api::form` reports an
    /// early end as a malformed form.
    Unsaid,
    /// In headers with line feeds alone, which RFC 2046 forbids and multer's parser accepts as line breaks.
    /// This parser does not decide what is header and what is content then.
    LineFeeds,
}

/// A parsed form.
#[derive(Debug, Default)]
pub(crate) struct RawForm {
    pub(crate) parts: Vec<RawPart>,
    /// The part whose content does not end.
    pub(crate) unfinished: Option<RawPart>,
    pub(crate) end: End,
}

impl RawForm {
    pub(crate) fn parse(body: &[u8], boundary: &[u8]) -> Self {
        let mut form = Self::default();
        form.end = form.read(body, boundary);
        form
    }

    fn read(&mut self, body: &[u8], boundary: &[u8]) -> End {
        let delimiter = [b"--", boundary].concat();
        let Some(at) = find(body, &delimiter) else {
            return if delimiter.starts_with(body) {
                End::Truncated
            } else {
                End::Broken
            };
        };
        let cut = if at == 0 { End::Truncated } else { End::Unsaid };
        let mut rest = &body[at + delimiter.len()..];
        loop {
            if rest.starts_with(b"--") {
                return End::Whole;
            }
            if rest.len() < 2 {
                return cut;
            }
            while let [b' ' | b'\t', after @ ..] = rest {
                rest = after;
            }
            if rest.len() < 2 {
                return cut;
            }
            let Some(after) = rest.strip_prefix(b"\r\n") else {
                return End::Broken;
            };
            let Some(length) = find(after, b"\r\n\r\n") else {
                return cut;
            };
            let headers = match headers(&after[..length]) {
                Ok(headers) => headers,
                Err(end) => return end,
            };
            rest = &after[length + 4..];
            let next = [b"\r\n", &*delimiter].concat();
            let Some(length) = find(rest, &next) else {
                let content = rest.to_vec();
                self.unfinished = Some(RawPart { headers, content });
                return End::Truncated;
            };
            let content = rest[..length].to_vec();
            self.parts.push(RawPart { headers, content });
            rest = &rest[length + next.len()..];
        }
    }
}

/// Returns the first position of `needle` in `hay`.
fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    (0..hay.len()).find(|at| hay[*at..].starts_with(needle))
}

/// Header lines; the last one without its line break.
fn headers(block: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, End> {
    let mut headers = BTreeMap::new();
    // A part without headers: the empty line that was found is in its content, or in the next
    // part.
    if block.is_empty() || block.starts_with(b"\r\n") {
        return Ok(headers);
    }
    let mut count = 0;
    let mut rest = block;
    loop {
        let length = find(rest, b"\r\n").unwrap_or(rest.len());
        let (name, value) = header(&rest[..length])?;
        count += 1;
        if count > MAX_HEADERS {
            return Err(End::Broken);
        }
        headers.insert(name, value);
        match rest.get(length + 2..) {
            Some(after) => rest = after,
            None => return Ok(headers),
        }
    }
}

fn header(line: &[u8]) -> Result<(String, Vec<u8>), End> {
    if line.contains(&b'\n') {
        return Err(End::LineFeeds);
    }
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = line.split_at(colon.ok_or(End::Broken)?);
    let value = value[1..].trim_ascii();
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_control = |byte: &u8| *byte != b'\t' && byte.is_ascii_control();
    let is_name = (1..=MAX_HEADER_NAME_BYTES).contains(&name.len()) && name.iter().all(is_token);
    if !is_name || line.iter().any(is_control) {
        return Err(End::Broken);
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    Ok((name, value.to_vec()))
}

/// A header `value; name=value; name="value"`, names unchanged.
#[derive(Debug)]
pub(crate) struct RawParams {
    pub(crate) value: Vec<u8>,
    pub(crate) params: Vec<(Vec<u8>, Vec<u8>)>,
}

impl RawParams {
    /// `None` if it is malformed.
    pub(crate) fn parse(header: &[u8]) -> Option<Self> {
        let mut pieces = split_outside_quotes(header)?.into_iter();
        let value = pieces.next().unwrap_or_default().trim_ascii().to_vec();
        let mut params = Vec::new();
        for piece in pieces {
            let piece = piece.trim_ascii();
            if !piece.is_empty() {
                params.push(param(piece)?);
            }
        }
        (params.len() <= MAX_PARAMS).then_some(Self { value, params })
    }

    /// Returns all values of a parameter.
    pub(crate) fn all(&self, name: &str) -> Vec<&[u8]> {
        let of_name =
            |(param, _): &&(Vec<u8>, Vec<u8>)| param.eq_ignore_ascii_case(name.as_bytes());
        let found = self.params.iter().filter(of_name);
        found.map(|(_, value)| &**value).collect()
    }
}

/// Splits at semicolons outside quotes. A quote opens only as the first character of a parameter's
/// value.
fn split_outside_quotes(header: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut pieces = vec![Vec::new()];
    let mut bytes = header.iter();
    while let Some(&byte) = bytes.next() {
        if byte == b';' {
            pieces.push(Vec::new());
            continue;
        }
        let is_param = pieces.len() > 1;
        let piece = pieces.last_mut()?;
        let opens = byte == b'"'
            && is_param
            && piece.trim_ascii_end().ends_with(b"=")
            && piece.iter().filter(|byte| **byte == b'=').count() == 1;
        piece.push(byte);
        if opens {
            let may_hold_quotes = is_file_name(piece);
            loop {
                let byte = *bytes.next()?;
                piece.push(byte);
                match byte {
                    b'"' if !may_hold_quotes || ends(bytes.as_slice()) => break,
                    b'\\' => {
                        // A backslash before another byte is literal.
                        let next = bytes.clone().next().copied();
                        if let Some(escaped @ (b'"' | b'\\')) = next {
                            bytes.next();
                            piece.push(escaped);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    Some(pieces)
}

fn param(piece: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let equals = piece.iter().position(|byte| *byte == b'=')?;
    let name = piece[..equals].trim_ascii().to_vec();
    let value = piece[equals + 1..].trim_ascii();
    if name.is_empty() || name.contains(&b'"') {
        return None;
    }
    match value.strip_prefix(b"\"") {
        Some(quoted) => {
            let value = unquoted(quoted, is_file_name(piece))?;
            Some((name, value))
        }
        None => Some((name, value.to_vec())),
    }
}

/// Whether quotes may be unescaped in the value of a parameter.
fn is_file_name(piece: &[u8]) -> bool {
    let mut sides = piece.splitn(2, |byte| *byte == b'=');
    let name = sides.next().unwrap_or_default().trim_ascii();
    name.eq_ignore_ascii_case(b"filename")
}

/// Whether a parameter ends here.
fn ends(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii_start();
    rest.is_empty() || rest.starts_with(b";")
}

/// Returns everything before the closing quote, after which nothing may follow.
fn unquoted(quoted: &[u8], may_hold_quotes: bool) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    let mut rest = quoted;
    loop {
        match rest {
            [b'"'] => return Some(value),
            [] => return None,
            [b'"', ..] if !may_hold_quotes => return None,
            [b'\\', escaped @ (b'"' | b'\\'), after @ ..] => {
                value.push(*escaped);
                rest = after;
            }
            [byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
        }
    }
}
