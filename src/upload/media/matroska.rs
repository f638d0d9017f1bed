//! WebM and Matroska: one container (RFC 9559), told apart by the DocType in its EBML header.

use super::format::Format;

const EBML: u32 = 0x1A45_DFA3;
const DOC_TYPE: u32 = 0x4282;
const SEGMENT: u32 = 0x1853_8067;
const VOID: u32 = 0xEC;

/// An element's id, how many bytes of data it has, and where they start.
struct Element {
    id: u32,
    bytes: usize,
    data_at: usize,
}

pub(super) fn of(head: &[u8]) -> Option<Format> {
    let header = element(head, 0).filter(|header| header.id == EBML)?;
    let header_ends = header.data_at.checked_add(header.bytes)?;
    let fields = head.get(header.data_at..header_ends)?;
    let (next, _) = element_id(head, header_ends)?;
    let format = match doc_type(fields)? {
        b"webm" => Format::Webm,
        b"matroska" => Format::Mkv,
        _ => return None,
    };
    matches!(next, SEGMENT | VOID).then_some(format)
}

fn doc_type(fields: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        let field = element(fields, at)?;
        let ends = field.data_at.checked_add(field.bytes)?;
        let data = fields.get(field.data_at..ends)?;
        if field.id == DOC_TYPE {
            // A string may be padded with zeros (RFC 8794, 7.4).
            return data.split(|&byte| byte == 0).next();
        }
        at = ends;
    }
}

fn element(bytes: &[u8], at: usize) -> Option<Element> {
    let (id, size_at) = element_id(bytes, at)?;
    let length = bytes.get(size_at)?.leading_zeros() as usize + 1;
    let size = bytes
        .get(size_at..size_at.checked_add(length)?)
        .filter(|_| length <= 8)?;
    let marker = 0x80_u64 << (7 * (length - 1));
    let value = size
        .iter()
        .fold(0, |value, &byte| value << 8 | u64::from(byte))
        & (marker - 1);
    Some(Element {
        id,
        bytes: usize::try_from(value).ok()?,
        data_at: size_at + length,
    })
}

/// The id at `at`, its marker bit included as is usual, and where the size follows.
fn element_id(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let length = bytes.get(at)?.leading_zeros() as usize + 1;
    let id = bytes
        .get(at..at.checked_add(length)?)
        .filter(|_| length <= 4)?;
    Some((
        id.iter().fold(0, |id, &byte| id << 8 | u32::from(byte)),
        at + length,
    ))
}
