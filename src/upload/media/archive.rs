//! PDF and RTF, and archives: zip with the documents based on it, RAR, 7z, tar, and compressed single
//! files.
//!
//! A zip is classified by the entries in its head and, for programs, by its central directory. Only the
//! names of entries are read, so archives inside it are not examined.

use memchr::memmem;

use super::field::{le16, le32};
use super::format::Format;
use super::refusal::Refused;
use super::text;

/// Signature of a local file header (APPNOTE 4.3.7).
const LOCAL_HEADER: &[u8; 4] = b"PK\x03\x04";
/// Offset of the name after a local header, and that of its length.
const LOCAL_NAME_AT: usize = 30;
const LOCAL_NAME_BYTES_AT: usize = 26;
/// Signature of a central directory header (APPNOTE 4.3.12).
const CENTRAL_HEADER: &[u8; 4] = b"PK\x01\x02";
const CENTRAL_NAME_AT: usize = 46;
const CENTRAL_NAME_BYTES_AT: usize = 28;
/// Signature of the end of the central directory (APPNOTE 4.3.16).
const END_RECORD: &[u8; 4] = b"PK\x05\x06";

pub(super) fn detect(head: &[u8], claimed: &str) -> Option<Format> {
    if is_pdf(head, claimed) {
        return Some(Format::Pdf);
    }
    let signed = [
        (is_rar(head), Format::Rar),
        (is_7z(head), Format::SevenZip),
        (head.starts_with(b"{\\rtf"), Format::Rtf),
        (is_gzip(head), Format::Gzip),
        (is_tar(head), Format::Tar),
        (head.starts_with(b"\xFD7zXZ\0\0"), Format::Xz),
        (is_bzip2(head), Format::Bzip2),
        (is_zstandard(head), Format::Zstandard),
    ];
    let signed = signed.into_iter().find(|(is_it, _)| *is_it);
    let zip = || is_zip(head).then(|| office(head, claimed).unwrap_or(Format::Zip));
    signed.map(|(_, format)| format).or_else(zip)
}

/// The header with its version, at the start of a line within the first 1,024 bytes (ISO 32000-1,
/// annex H.3.4.1), unless the file begins as one for a browser or a shell.
fn is_pdf(head: &[u8], claimed: &str) -> bool {
    const MARK: &[u8] = b"%PDF-";
    const MOST_BEFORE: usize = 1024;
    // The smallest file with a page is several times as long.
    const SMALLEST: usize = 32;
    let start = text::without_blank_start(head);
    let reach = start.get(..MOST_BEFORE + MARK.len()).unwrap_or(start);
    let Some(at) = memmem::find(reach, MARK) else {
        return false;
    };
    let (before, pdf) = start.split_at(at);
    let version = pdf.get(MARK.len()..).unwrap_or_default();
    let has_version = matches!(version, [b'1'..=b'2', b'.', b'0'..=b'9', ..]);
    let is_at_line_start = before
        .last()
        .is_none_or(|byte| !matches!(byte, b' '..=b'~'));
    let follows_other = !before.is_empty() && text::known_beginning(head, claimed).is_some();
    has_version && is_at_line_start && !follows_other && pdf.len() >= SMALLEST
}

/// The signature of version 4 or 5, followed by a first header.
fn is_rar(head: &[u8]) -> bool {
    const SMALLEST: usize = 20;
    let version = head.strip_prefix(b"Rar!\x1a\x07");
    version.is_some_and(|rest| rest.starts_with(b"\0") || rest.starts_with(b"\x01\0"))
        && head.len() >= SMALLEST
}

/// The signature, major version 0 and the whole start header (7zFormat.txt).
fn is_7z(head: &[u8]) -> bool {
    const START_HEADER_ENDS: usize = 32;
    head.starts_with(b"7z\xBC\xAF\x27\x1C\0") && head.len() >= START_HEADER_ENDS
}

/// The header of RFC 1952 with deflate and no reserved flag, and the trailer.
fn is_gzip(head: &[u8]) -> bool {
    const SMALLEST: usize = 18;
    matches!(head, [0x1F, 0x8B, 8, 0..=0x1F, ..]) && head.len() >= SMALLEST
}

/// POSIX's magic in a first header of a whole block (IEEE 1003.1, ustar).
fn is_tar(head: &[u8]) -> bool {
    const BLOCK: usize = 512;
    head.get(257..262) == Some(b"ustar") && head.len() >= BLOCK
}

/// The header, and the magic of a first block or of the end.
fn is_bzip2(head: &[u8]) -> bool {
    matches!(head, [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..]
        if rest.starts_with(b"1AY&SY") || rest.starts_with(b"\x17\x72\x45\x38\x50\x90"))
}

/// The magic of RFC 8878 and a first block.
fn is_zstandard(head: &[u8]) -> bool {
    const SMALLEST: usize = 9;
    head.starts_with(b"\x28\xB5\x2F\xFD") && head.len() >= SMALLEST
}

/// A local header with a name, or an empty archive, which is only an end record.
fn is_zip(head: &[u8]) -> bool {
    const END_RECORD_BYTES: usize = 22;
    let is_empty =
        head.starts_with(b"PK\x05\x06\0\0\0\0\0\0\0\0") && head.len() >= END_RECORD_BYTES;
    let first = entry_name(without_spanning_marker(head));
    is_empty || first.is_some_and(|name| !name.is_empty() && !name.contains(&0))
}

/// Skips the spanning marker at the start of a split archive, also of one that fitted in a single piece
/// (APPNOTE 8.5.4).
fn without_spanning_marker(head: &[u8]) -> &[u8] {
    let marked = head.strip_prefix(b"PK\x07\x08");
    marked.or(head.strip_prefix(b"PK00")).unwrap_or(head)
}

/// Returns the name of the entry whose local header is at the start of `bytes`.
fn entry_name(bytes: &[u8]) -> Option<&[u8]> {
    bytes.strip_prefix(LOCAL_HEADER)?;
    let length = usize::from(le16(bytes, LOCAL_NAME_BYTES_AT)?);
    bytes.get(LOCAL_NAME_AT..LOCAL_NAME_AT + length)
}

/// Iterates over the names of the entries in the head.
fn entry_names(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(without_spanning_marker(head));
    std::iter::from_fn(move || {
        let entry = rest.take()?;
        let name = entry_name(entry)?;
        rest = next_entry(entry, name.len());
        Some(name)
    })
}

/// Returns the bytes from the next entry on. If the sizes follow the data, it is found by its signature.
fn next_entry(entry: &[u8], name_bytes: usize) -> Option<&[u8]> {
    const SIZES_FOLLOW: u16 = 0x08;
    let extra_bytes = usize::from(le16(entry, 28)?);
    let data = entry.get(LOCAL_NAME_AT + name_bytes + extra_bytes..)?;
    match le32(entry, 18)? {
        0 if le16(entry, 6)? & SIZES_FOLLOW != 0 => data.get(memmem::find(data, LOCAL_HEADER)?..),
        size => data.get(usize::try_from(size).ok()?..),
    }
}

/// Detects Word, Excel or PowerPoint by the folder of the entries in the head.
///
/// The parts of every such file (ECMA-376-2) may be at its end, so the client's extension replaces
/// them as evidence; it also replaces the folder if that comes after the head.
fn office(head: &[u8], claimed: &str) -> Option<Format> {
    const PARTS: [&[u8]; 4] = [
        b"[Content_Types].xml",
        b"_rels/.rels",
        b"docProps/",
        b"customXml/",
    ];
    let wanted = [Format::Docx, Format::Xlsx, Format::Pptx]
        .into_iter()
        .find(|format| format.fits(claimed));
    let is_package =
        entry_names(head).any(|name| PARTS.into_iter().any(|part| name.starts_with(part)));
    match entry_names(head).find_map(office_folder) {
        Some(format) if is_package || wanted.is_some() => Some(format),
        None if is_package => wanted,
        _ => None,
    }
}

fn office_folder(name: &[u8]) -> Option<Format> {
    const FOLDERS: [(&[u8], Format); 3] = [
        (b"word/", Format::Docx),
        (b"xl/", Format::Xlsx),
        (b"ppt/", Format::Pptx),
    ];
    let mut folders = FOLDERS.into_iter();
    folders.find_map(|(folder, format)| name.starts_with(folder).then_some(format))
}

/// Returns the kind of program that an entry of this name indicates.
fn program(name: &[u8]) -> Option<&'static str> {
    const ENTRIES: [(&[u8], &str); 3] = [
        (b"AndroidManifest.xml", "APK"),
        (b"classes.dex", "APK"),
        (LONGEST_ENTRY, "JAR"),
    ];
    // Java finds its manifest case-insensitively.
    let looks_like = |(entry, it): (&[u8], _)| name.eq_ignore_ascii_case(entry).then_some(it);
    ENTRIES.into_iter().find_map(looks_like)
}
const LONGEST_ENTRY: &[u8] = b"META-INF/MANIFEST.MF";

/// Looks for entries of programs, in the head and in the central directory. The directories of stored
/// inner archives pass, too; only the last directory counts.
pub(super) struct ProgramWatch {
    /// Unexamined bytes, too few for a header with a name: it may continue in the next chunk.
    carry: Vec<u8>,
    /// Program found in the current directory.
    passing: Option<&'static str>,
    /// Program found in the last directory, if nothing has followed it.
    ended: Option<&'static str>,
}

/// Longest header of interest, name included, less one byte.
const CARRY: usize = CENTRAL_NAME_AT + LONGEST_ENTRY.len() - 1;

impl ProgramWatch {
    /// # Errors
    /// [`Refused`] if the head shows that the archive is a program.
    pub(super) fn new(head: &[u8]) -> Result<Self, Refused> {
        match entry_names(head).find_map(program) {
            Some(looks_like) => Err(Refused::new(looks_like)),
            None => Ok(Self {
                carry: Vec::with_capacity(2 * CARRY),
                passing: None,
                ended: None,
            }),
        }
    }

    pub(super) fn see(&mut self, chunk: &[u8]) {
        let (border, _) = chunk.split_at(chunk.len().min(CARRY));
        let mut joined = std::mem::take(&mut self.carry);
        let carried = joined.len();
        joined.extend_from_slice(border);
        if border.len() < CARRY {
            // The chunk ends within the border.
            let ends = joined.len().saturating_sub(CARRY);
            self.look(&joined, ends);
            joined.drain(..ends);
        } else {
            self.look(&joined, carried);
            let ends = chunk.len() - CARRY;
            self.look(chunk, ends);
            joined.clear();
            joined.extend_from_slice(chunk.get(ends..).unwrap_or_default());
        }
        self.carry = joined;
    }

    /// # Errors
    /// [`Refused`] if the archive's own directory lists an entry of a program.
    pub(super) fn end(mut self) -> Result<(), Refused> {
        let last = std::mem::take(&mut self.carry);
        self.look(&last, last.len());
        match self.passing.or(self.ended) {
            Some(looks_like) => Err(Refused::new(looks_like)),
            None => Ok(()),
        }
    }

    /// Examines the headers that begin before `ends`.
    fn look(&mut self, bytes: &[u8], ends: usize) {
        for at in memmem::find_iter(bytes, b"PK").take_while(|at| *at < ends) {
            let header = bytes.get(at..).unwrap_or_default();
            match header.first_chunk() {
                Some(LOCAL_HEADER) => (self.passing, self.ended) = (None, None),
                Some(CENTRAL_HEADER) => {
                    self.ended = None;
                    self.passing = self.passing.or_else(|| program(central_name(header)?));
                }
                Some(END_RECORD) => self.ended = self.passing.take(),
                _ => {}
            }
        }
    }
}

fn central_name(header: &[u8]) -> Option<&[u8]> {
    let length = usize::from(le16(header, CENTRAL_NAME_BYTES_AT)?);
    header.get(CENTRAL_NAME_AT..CENTRAL_NAME_AT + length)
}
