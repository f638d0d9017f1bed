//! Text, detected by its beginning: UTF-8, GBK, or UTF-16 with a byte order mark, without bytes that
//! only binary files have. Markup, scripts, and playlists that make a player fetch other files are not
//! text. The rest is not read: text is served as text, as an attachment, with `nosniff`.

use std::borrow::Cow;

use encoding_rs::{DecoderResult, Encoding, GBK, UTF_8};

use super::format::Format;

const BOM: &[u8] = b"\xEF\xBB\xBF";
const BLANKS: [u8; 5] = *b" \t\n\x0c\r";

pub(super) fn detect(head: &[u8], claimed: &str) -> Option<Format> {
    let is_other = known_beginning(head, claimed).is_some();
    (!head.is_empty() && !is_other && is_text(head)).then_some(Format::Text)
}

/// Skips a byte order mark and the whitespace that browsers ignore before markup.
pub(super) fn without_blank_start(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes.strip_prefix(BOM).unwrap_or(bytes);
    while let Some((first, after)) = rest.split_first()
        && BLANKS.contains(first)
    {
        rest = after;
    }
    rest
}

/// Names a format that may begin like text but is not accepted as text. MIME parts are accepted as mail
/// (`.eml`); under any other name they are a saved web page.
pub(super) fn known_beginning(head: &[u8], claimed: &str) -> Option<&'static str> {
    let head = match utf_16(head) {
        Some((encoding, text)) => Cow::Owned(decode(encoding, text)?.into_bytes()),
        None => Cow::Borrowed(head),
    };
    let start = without_blank_start(&head);
    let begins = |with: &[u8]| {
        start
            .get(..with.len())
            .is_some_and(|s| s.eq_ignore_ascii_case(with))
    };
    BEGINNINGS
        .iter()
        .find(|(beginning, _)| begins(beginning))
        .map(|&(_, name)| match name {
            "XML" => xml_dialect(start),
            _ => name,
        })
        .or_else(|| is_markup(start).then_some("markup"))
        .or_else(|| (claimed != "eml" && is_mhtml(start)).then_some("MHTML"))
        .or_else(|| is_flash(&head).then_some("SWF"))
}

/// Returns whether a tag, a declaration or an instruction comes first; `<3` is none.
fn is_markup(start: &[u8]) -> bool {
    matches!(start, [b'<', next, ..] if next.is_ascii_alphabetic() || b"!/?%".contains(next))
}

/// Case-insensitive; the first match wins.
const BEGINNINGS: &[(&[u8], &str)] = &[
    (b"<?php", "PHP"),
    (b"<?=", "PHP"),
    (b"<?xml", "XML"),
    (b"<!doctype svg", "SVG"),
    (b"<svg", "SVG"),
    (b"<!doctype html", "HTML"),
    (b"<html", "HTML"),
    (b"<head", "HTML"),
    (b"<body", "HTML"),
    (b"<script", "HTML"),
    (b"<%", "server page"),
    (b"#!AMR", "damaged AMR"),
    (b"#!", "script"),
    (b"#EXTM3U", "HLS playlist"),
    (b"ffconcat", "ffmpeg playlist"),
    (b"concat:", "ffmpeg playlist"),
    (b"%!PS", "PostScript"),
    (b"%PDF", "damaged PDF"),
    // A file cut after its magic bytes can read as text.
    (b"GIF8", "damaged GIF"),
    (b"\x89PNG", "damaged PNG"),
    (b"RIFF", "damaged RIFF"),
    (b"OggS", "damaged Ogg"),
    (b"fLaC", "damaged FLAC"),
    (b"Rar!", "damaged RAR"),
    (b"7z\xBC\xAF", "damaged 7z"),
];

/// Names an XML file by its first known element.
fn xml_dialect(start: &[u8]) -> &'static str {
    let lower = start.to_ascii_lowercase();
    let at = |element: &[u8]| memchr::memmem::find(&lower, element).unwrap_or(usize::MAX);
    match (at(b"<svg"), at(b"<html")) {
        (usize::MAX, usize::MAX) => "XML",
        (svg, html) if svg < html => "SVG",
        _ => "XHTML",
    }
}

/// Returns whether the file has the mail-like headers of a saved web page (RFC 2557).
fn is_mhtml(start: &[u8]) -> bool {
    let lower = start.to_ascii_lowercase();
    let first_line = lower
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    let is_header = first_line
        .split(|&byte| byte == b':')
        .next()
        .is_some_and(|name| name.len() < first_line.len() && name.iter().all(is_header_byte));
    let has = |text: &[u8]| memchr::memmem::find(&lower, text).is_some();
    is_header && has(b"mime-version:") && has(b"multipart/related")
}

fn is_header_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'-'
}

/// Returns whether a Flash signature and version come first; text has no control character there.
fn is_flash(head: &[u8]) -> bool {
    matches!(head, [b'F' | b'C' | b'Z', b'W', b'S', 1..=0x1F, ..])
}

/// Returns whether the head is valid in one of the encodings, without bytes that only binary files have.
/// An incomplete last character is fine.
fn is_text(head: &[u8]) -> bool {
    if let Some((encoding, text)) = utf_16(head) {
        let decoded = decode(encoding, text);
        return decoded.is_some_and(|text| !text.bytes().any(is_binary));
    }
    // No text begins with DOS's end of file; Matroska does.
    head.first() != Some(&0x1A)
        && !head.iter().copied().any(is_binary)
        && [UTF_8, GBK]
            .into_iter()
            .any(|encoding| decode(encoding, head).is_some())
}

/// Returns the encoding of a byte order mark, and the text after it.
fn utf_16(head: &[u8]) -> Option<(&'static Encoding, &[u8])> {
    let (encoding, mark_bytes) = Encoding::for_bom(head)?;
    (encoding != UTF_8).then_some((encoding, head.get(mark_bytes..)?))
}

/// Decodes the text; `None` if a character is malformed.
fn decode(encoding: &'static Encoding, bytes: &[u8]) -> Option<String> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let most_bytes = decoder.max_utf8_buffer_length_without_replacement(bytes.len())?;
    let mut text = String::with_capacity(most_bytes);
    let (result, _) = decoder.decode_to_string_without_replacement(bytes, &mut text, false);
    (result == DecoderResult::InputEmpty).then_some(text)
}

/// Returns whether this is a "binary data byte" (WHATWG MIME Sniffing, 3), except those that old text
/// editors write: vertical tab, and the end of file of DOS, 0x1A.
const fn is_binary(byte: u8) -> bool {
    matches!(byte, 0..=0x08 | 0x0E..=0x19 | 0x1C..=0x1F)
}
