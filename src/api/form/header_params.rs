//! Parses headers like `value; name=value; name="value"`: Content-Type and Content-Disposition as
//! phones and browsers really send them (RFC 7578, RFC 5987, WHATWG HTML "multipart/form-data").

use std::borrow::Cow;

use encoding_rs::{Encoding, GB18030};
use percent_encoding::percent_decode;

/// The header is malformed, or has a parameter twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// A header split into its parameters, which are not decoded yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Params<'h> {
    /// The bytes before the first semicolon.
    pub value: &'h [u8],
    params: Vec<Param<'h>>,
}

/// Most parameters accepted; no client sends as many.
const MAX_PARAMS: usize = 16;

impl<'h> Params<'h> {
    pub fn parse(header: &'h [u8]) -> Result<Self, Broken> {
        let (value, mut rest) = take_token(header);
        let mut params = Vec::new();
        while let Some((b';', after)) = rest.split_first() {
            rest = after.trim_ascii_start();
            if rest.is_empty() || rest.starts_with(b";") {
                continue;
            }
            let (param, after) = take_param(rest)?;
            if params.len() == MAX_PARAMS {
                return Err(Broken);
            }
            params.push(param);
            rest = after.trim_ascii_start();
        }
        match rest {
            [] => Ok(Self { value, params }),
            _ => Err(Broken),
        }
    }

    /// Returns the raw value of a parameter; its name is case-insensitive.
    ///
    /// # Errors
    /// [`Broken`] when it is repeated: parsers disagree about which one to use.
    pub fn get(&self, name: &str) -> Result<Option<&[u8]>, Broken> {
        let is_named = |(param, _): &&Param<'_>| param.eq_ignore_ascii_case(name.as_bytes());
        let mut found = self.params.iter().filter(is_named);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(Broken),
            (first, None) => Ok(first.map(|(_, value)| &**value)),
        }
    }

    /// Decodes a parameter: as UTF-8, else as GBK, else with replacement characters.
    pub fn text(&self, name: &str) -> Result<Option<String>, Broken> {
        let raw = self.get(name)?;
        Ok(raw.map(|raw| unescape_form(&decode_guessed(raw))))
    }

    /// Decodes a parameter, or its extended form `name*=charset'language'percent-encoded` (RFC 5987),
    /// which takes precedence if it is valid.
    pub fn extended_text(&self, name: &str) -> Result<Option<String>, Broken> {
        let extended = self.get(&format!("{name}*"))?.and_then(decode_extended);
        let plain = self.text(name)?;
        Ok(extended.or(plain))
    }
}

type Param<'h> = (&'h [u8], Cow<'h, [u8]>);

/// Splits `name=value` off the start of `input`.
fn take_param(input: &[u8]) -> Result<(Param<'_>, &[u8]), Broken> {
    let (name, value) = split_at_byte(input, b'=').ok_or(Broken)?;
    let name = name.trim_ascii();
    if name.is_empty() || name.iter().any(|byte| matches!(byte, b';' | b'"')) {
        return Err(Broken);
    }
    let value = value.trim_ascii_start();
    let may_contain_quotes = name.eq_ignore_ascii_case(b"filename");
    let (value, rest) = match value.strip_prefix(b"\"") {
        Some(quoted) => take_quoted(quoted, may_contain_quotes)?,
        None => {
            let (token, rest) = take_token(value);
            (Cow::Borrowed(token), rest)
        }
    };
    Ok(((name, value), rest))
}

/// Splits at the first `byte`, which is dropped.
fn split_at_byte(input: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let (before, rest) = input.split_at_checked(memchr::memchr(byte, input)?)?;
    Some((before, rest.get(1..)?))
}

/// Splits before the next semicolon.
fn take_token(input: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b';', input).unwrap_or(input.len());
    let (token, rest) = input.split_at_checked(end).unwrap_or((input, &[]));
    (token.trim_ascii(), rest)
}

/// Splits after the closing quote. Only `\"` and `\\` are escapes: old browsers send whole Windows
/// paths with single backslashes. Many clients do not escape quotes in a file name: there the closing
/// quote is the one followed by a semicolon or the end of the header.
fn take_quoted(input: &[u8], may_contain_quotes: bool) -> Result<(Cow<'_, [u8]>, &[u8]), Broken> {
    let closes = |rest: &[u8]| {
        !may_contain_quotes || matches!(rest.trim_ascii_start().first(), None | Some(b';'))
    };
    let mut value = Vec::new();
    let mut rest = input;
    loop {
        rest = match rest {
            [b'"', rest @ ..] if closes(rest) => return Ok((Cow::Owned(value), rest)),
            [b'\\', byte @ (b'"' | b'\\'), rest @ ..] | [byte, rest @ ..] => {
                value.push(*byte);
                rest
            }
            [] => return Err(Broken),
        }
    }
}

fn decode_guessed(raw: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(raw) {
        Ok(text) => Cow::Borrowed(text),
        // Chinese Windows programs send file names in GBK.
        Err(_) => GB18030
            .decode_without_bom_handling_and_without_replacement(raw)
            .unwrap_or_else(|| String::from_utf8_lossy(raw)),
    }
}

/// Undoes the escapes of browsers, which are these three only (WHATWG HTML, "escape").
fn unescape_form(text: &str) -> String {
    text.replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}

fn decode_extended(raw: &[u8]) -> Option<String> {
    let mut pieces = raw.splitn(3, |byte| *byte == b'\'');
    let (charset, _language, encoded) = (pieces.next()?, pieces.next()?, pieces.next()?);
    if !is_percent_encoded(encoded) {
        return None;
    }
    let decoded: Cow<'_, [u8]> = percent_decode(encoded).into();
    let encoding = Encoding::for_label(charset)?;
    encoding
        .decode_without_bom_handling_and_without_replacement(&decoded)
        .map(Cow::into_owned)
}

/// Whether every `%` is followed by two hex digits.
fn is_percent_encoded(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'%').skip(1).all(|after| {
        matches!(after, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_and_file(header: &[u8]) -> Result<(Option<String>, Option<String>), Broken> {
        let params = Params::parse(header)?;
        Ok((params.text("name")?, params.extended_text("filename")?))
    }

    /// Checks parameters that follow `form-data`, with a file name.
    #[track_caller]
    fn reads(params: &str, name: &str, file: &str) {
        let expected = Ok((Some(name.to_owned()), Some(file.to_owned())));
        let header = format!("form-data{params}");
        assert_eq!(name_and_file(header.as_bytes()), expected);
    }

    #[test]
    fn names_are_read_as_phones_and_browsers_send_them() {
        for (header, name) in [
            (r#"form-data; name="img""#, "img"),
            (r#"form-data; name="a; filename=evil""#, "a; filename=evil"),
        ] {
            let found = name_and_file(header.as_bytes());
            assert_eq!(found, Ok((Some(name.to_owned()), None)));
        }
        let upper = name_and_file(br#"FORM-DATA; NAME="img"; FileName="a.png""#);
        assert_eq!(upper, Ok((Some("img".into()), Some("a.png".into()))));
        reads("; name=img; filename=a.png", "img", "a.png");
        reads(r#";name="img";filename="a.png""#, "img", "a.png");
        reads(r#"; name="img"; filename="""#, "img", "");
        let encoded = r#"; name="a%22b"; filename="%0D%0A%25.png""#;
        reads(encoded, "a\"b", "\r\n%25.png");
        let escaped = r#"; name="a\"b"; filename="C:\fakepath\猫.png""#;
        reads(escaped, "a\"b", "C:\\fakepath\\猫.png");
        let quoted = r#"; name="img"; filename=""Offer"_ x.png""#;
        reads(quoted, "img", "\"Offer\"_ x.png");
        let in_front = r#"; filename="a"b".png" ; name="img""#;
        reads(in_front, "img", "a\"b\".png");
        reads(r#"; filename="a.png"; name="img";"#, "img", "a.png");
    }

    #[test]
    fn the_extended_file_name_wins_wherever_it_stands_unless_it_is_broken() {
        let utf8 = "; filename*=UTF-8''%e7%8c%ab%20.png";
        let (name, plain) = (r#"; name="img""#, r#"; filename="x.png""#);
        for params in [[name, utf8, plain], [name, plain, utf8], [name, utf8, ""]] {
            reads(&params.concat(), "img", "猫 .png");
        }
        reads("; name=img; filename*=gbk'zh'%C3%A8.png", "img", "猫.png");
        for broken in [
            "UTF-8''%e7%8",
            "UTF-8''%zz",
            "x-none''a",
            "UTF-8''%ff",
            "plain",
        ] {
            let params = format!("{name}; filename*={broken}{plain}");
            reads(&params, "img", "x.png");
        }
    }

    #[test]
    fn gbk_bytes_are_read_and_other_bytes_do_no_harm() {
        for (bytes, file) in [
            (&b"\xd5\xd5\xc6\xac.png"[..], "照片.png"),
            (b"\xff\xff.png", "\u{fffd}\u{fffd}.png"),
        ] {
            let header = [b"form-data; name=img; filename=\"", bytes, b"\""].concat();
            let expected = Ok((Some("img".into()), Some(file.into())));
            assert_eq!(name_and_file(&header), expected);
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_broken() {
        for broken in [
            r#"form-data; name="img"#,
            r#"form-data; name"#,
            r#"form-data; name="a"; name="b""#,
            r#"form-data; name="a"; filename="x"; FILENAME="y""#,
            r#"form-data; name="a" b"#,
            r#"form-data; name="a"b""#,
            r#"form-data; name="img"; filename="a"; b.png""#,
            r#"form-data; ="a""#,
        ] {
            assert_eq!(name_and_file(broken.as_bytes()), Err(Broken), "{broken}");
        }
        let many = format!("form-data{}", "; a=b".repeat(MAX_PARAMS + 1));
        assert_eq!(Params::parse(many.as_bytes()), Err(Broken));
    }

    proptest::proptest! {
        #[test]
        fn no_header_panics(header: Vec<u8>) {
            let _ = name_and_file(&header);
        }
    }
}
