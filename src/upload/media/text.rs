//! Text: UTF-8 or GBK to its last byte, without the bytes that only binary files have, and not
//! beginning as markup, a script, or a playlist that makes a player fetch other files.

use encoding_rs::{Decoder, DecoderResult, GBK, UTF_8};

use super::format::Format;
use super::refusal::Refused;

const BOM: &[u8] = b"\xEF\xBB\xBF";
const BLANKS: [u8; 5] = *b" \t\n\x0c\r";

pub(super) fn detect(head: &[u8]) -> Option<Format> {
    let begins_otherwise = known_beginning(head).is_some();
    (!head.is_empty() && !begins_otherwise && TextWatch::new(head).see(head).is_ok())
        .then_some(Format::Text)
}

/// `bytes` without a byte order mark and the blanks a browser skips before it looks for markup.
pub(super) fn without_blank_start(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes.strip_prefix(BOM).unwrap_or(bytes);
    while let Some((first, after)) = rest.split_first()
        && BLANKS.contains(first)
    {
        rest = after;
    }
    rest
}

/// What a head is that may be made of plain letters and yet is no text to us.
pub(super) fn known_beginning(head: &[u8]) -> Option<&'static str> {
    let start = without_blank_start(head);
    let begins = |with: &[u8]| {
        start
            .get(..with.len())
            .is_some_and(|s| s.eq_ignore_ascii_case(with))
    };
    BEGINNINGS
        .iter()
        .find(|(beginning, _)| begins(beginning))
        .map(|&(_, name)| {
            if name == "XML" {
                xml_dialect(start)
            } else {
                name
            }
        })
        .or_else(|| is_mhtml(start).then_some("MHTML"))
        .or_else(|| is_flash(head).then_some("SWF"))
}

/// In any case of letters; an earlier row wins.
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
    (b"<", "markup"),
    (b"#!AMR", "damaged AMR"),
    (b"#!", "script"),
    (b"#EXTM3U", "HLS playlist"),
    (b"ffconcat", "ffmpeg playlist"),
    (b"concat:", "ffmpeg playlist"),
    (b"{\\rtf", "RTF"),
    (b"%!PS", "PostScript"),
    (b"%PDF", "damaged PDF"),
    // What is left of a file that was cut after its magic bytes can read as text.
    (b"GIF8", "damaged GIF"),
    (b"\x89PNG", "damaged PNG"),
    (b"RIFF", "damaged RIFF"),
    (b"OggS", "damaged Ogg"),
    (b"fLaC", "damaged FLAC"),
    (b"Rar!", "damaged RAR"),
    (b"7z\xBC\xAF", "damaged 7z"),
];

/// What an XML file is, by the first element that we know.
fn xml_dialect(start: &[u8]) -> &'static str {
    let lower = start.to_ascii_lowercase();
    let at = |element: &[u8]| memchr::memmem::find(&lower, element).unwrap_or(usize::MAX);
    match (at(b"<svg"), at(b"<html")) {
        (usize::MAX, usize::MAX) => "XML",
        (svg, html) if svg < html => "SVG",
        _ => "XHTML",
    }
}

/// Mail-like headers of a saved web page (RFC 2557).
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

/// A Flash film's version stands where a text has a letter or a blank.
fn is_flash(head: &[u8]) -> bool {
    matches!(head, [b'F' | b'C' | b'Z', b'W', b'S', 1..=0x1F, ..])
}

/// Judges a text as it passes.
pub(super) struct TextWatch {
    utf8: Validity,
    gbk: Validity,
    /// Nothing but blanks was seen so far, so markup may still be the beginning.
    is_blank: bool,
}

impl TextWatch {
    /// A watch for the file that begins with `head`.
    pub(super) fn new(head: &[u8]) -> Self {
        Self {
            utf8: Validity::new(UTF_8.new_decoder_without_bom_handling()),
            gbk: Validity::new(GBK.new_decoder_without_bom_handling()),
            is_blank: without_blank_start(head).is_empty(),
        }
    }

    pub(super) fn see(&mut self, chunk: &[u8]) -> Result<(), Refused> {
        if self.is_blank {
            self.see_beginning(chunk)?;
        }
        if chunk.iter().any(|&byte| is_binary(byte)) {
            return Err(BINARY);
        }
        self.decode(chunk, false)
    }

    /// A character must not be cut off by the end of the file.
    pub(super) fn end(&mut self) -> Result<(), Refused> {
        self.decode(&[], true)
    }

    fn see_beginning(&mut self, chunk: &[u8]) -> Result<(), Refused> {
        let first = chunk
            .iter()
            .find(|byte| !BLANKS.contains(byte) && !BOM.contains(byte));
        self.is_blank = first.is_none();
        if first == Some(&b'<') {
            Err(Refused {
                looks_like: "markup",
            })
        } else {
            Ok(())
        }
    }

    fn decode(&mut self, chunk: &[u8], is_last: bool) -> Result<(), Refused> {
        // Both, always: letters of ASCII are valid in both, and which it is may show late.
        let is_utf8 = self.utf8.see(chunk, is_last);
        let is_gbk = self.gbk.see(chunk, is_last);
        if is_utf8 || is_gbk {
            Ok(())
        } else {
            Err(BINARY)
        }
    }
}

const BINARY: Refused = Refused {
    looks_like: "binary data",
};

/// The WHATWG's "binary data byte" (MIME Sniffing, 3): escape is not one, a zero is.
const fn is_binary(byte: u8) -> bool {
    matches!(byte, 0..=0x08 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F)
}

/// Whether all bytes so far are of one encoding; the decoder is dropped at the first that is not.
struct Validity(Option<Decoder>);

impl Validity {
    fn new(decoder: Decoder) -> Self {
        Self(Some(decoder))
    }

    fn see(&mut self, bytes: &[u8], is_last: bool) -> bool {
        let Some(decoder) = &mut self.0 else {
            return false;
        };
        let is_valid = decodes(decoder, bytes, is_last);
        if !is_valid || is_last {
            self.0 = None;
        }
        is_valid
    }
}

/// Decodes into a scratch that is thrown away: only errors count.
fn decodes(decoder: &mut Decoder, mut bytes: &[u8], is_last: bool) -> bool {
    let mut scratch = [0; 2048];
    loop {
        let (result, read, _) =
            decoder.decode_to_utf8_without_replacement(bytes, &mut scratch, is_last);
        match result {
            DecoderResult::InputEmpty => return true,
            DecoderResult::OutputFull => bytes = bytes.get(read..).unwrap_or_default(),
            DecoderResult::Malformed(..) => return false,
        }
    }
}
