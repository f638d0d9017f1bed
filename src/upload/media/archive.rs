//! PDF, and archives: zip with the office files that are built on it, RAR and 7z.
//!
//! A zip entry is read no further than its name.

use memchr::memmem;

use super::field::le16;
use super::format::Format;

/// What a zip entry begins with in its place (APPNOTE 4.3.7).
pub(super) const LOCAL_HEADER: &[u8; 4] = b"PK\x03\x04";
/// Where the name follows a local header, and where its length stands.
pub(super) const LOCAL_NAME_AT: usize = 30;
pub(super) const LOCAL_NAME_BYTES_AT: usize = 26;

pub(super) fn detect(head: &[u8], claimed: &str) -> Option<Format> {
    if is_pdf(head) {
        return Some(Format::Pdf);
    }
    if is_rar(head) {
        return Some(Format::Rar);
    }
    if is_7z(head) {
        return Some(Format::SevenZip);
    }
    is_zip(head).then(|| office(head, claimed).unwrap_or(Format::Zip))
}

/// The header with its version at the very start: a viewer that finds it 1,000 bytes later finds it
/// in HTML too.
fn is_pdf(head: &[u8]) -> bool {
    let Some(rest) = super::text::without_blank_start(head).strip_prefix(b"%PDF-") else {
        return false;
    };
    // The smallest file that shows a page is several times as long.
    const SMALLEST: usize = 32;
    matches!(rest, [b'1'..=b'2', b'.', b'0'..=b'9', ..]) && head.len() >= SMALLEST
}

/// The signature of version 4 or 5, with a first header behind it.
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

/// A local header with a name, or an archive of nothing, which is an end record alone.
fn is_zip(head: &[u8]) -> bool {
    const END_RECORD: usize = 22;
    let is_empty = head.starts_with(b"PK\x05\x06\0\0\0\0\0\0\0\0") && head.len() >= END_RECORD;
    is_empty || entry_name(head).is_some_and(|name| !name.is_empty() && !name.contains(&0))
}

/// The name of the entry whose local header `bytes` begin with.
fn entry_name(bytes: &[u8]) -> Option<&[u8]> {
    bytes.strip_prefix(LOCAL_HEADER)?;
    let length = usize::from(le16(bytes, LOCAL_NAME_BYTES_AT)?);
    bytes.get(LOCAL_NAME_AT..LOCAL_NAME_AT + length)
}

/// Word, Excel or PowerPoint by the folder that the entries in the head are in.
///
/// The parts every such file has (ECMA-376-2) may stand at its end, so the client's extension
/// stands in for them; and for the folder, when it is the folder that stands further in.
fn office(head: &[u8], claimed: &str) -> Option<Format> {
    let wanted = match claimed {
        "docx" => Some(Format::Docx),
        "xlsx" => Some(Format::Xlsx),
        "pptx" => Some(Format::Pptx),
        _ => None,
    };
    let headers = || memmem::find_iter(head, LOCAL_HEADER).filter_map(|at| head.get(at..));
    let names = || headers().filter_map(entry_name);
    let is_package = names().any(|name| {
        name == b"[Content_Types].xml" || name == b"_rels/.rels" || name.starts_with(b"docProps/")
    });
    match names().find_map(office_folder) {
        Some(format) if is_package || wanted == Some(format) => Some(format),
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
    FOLDERS
        .into_iter()
        .find(|(folder, _)| name.starts_with(folder))
        .map(|(_, format)| format)
}
