//! WebM and Matroska: one container (RFC 9559), distinguished by the DocType in its EBML header.

use super::field::number;
use super::format::Format;

pub(super) const EBML: u32 = 0x1A45_DFA3;
const DOC_TYPE: u32 = 0x4282;
pub(super) const SEGMENT: u32 = 0x1853_8067;
const VOID: u32 = 0xEC;
pub(super) const TRACKS: u32 = 0x1654_AE6B;
pub(super) const TRACK_ENTRY: u32 = 0xAE;
pub(super) const TRACK_TYPE: u32 = 0x83;

/// The id of an element, and the length and offset of its data.
struct Element {
    id: u32,
    bytes: usize,
    data_at: usize,
}

impl Element {
    fn data<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        bytes.get(self.data_at..self.data_at.checked_add(self.bytes)?)
    }
}

pub(super) fn detect(head: &[u8]) -> Option<Format> {
    let header = element(head, 0).filter(|header| header.id == EBML)?;
    let header_ends = header.data_at.checked_add(header.bytes)?;
    let (next, _) = element_id(head, header_ends)?;
    if !matches!(next, SEGMENT | VOID) {
        return None;
    }
    let is_audio = is_audio_only(head, header_ends).unwrap_or(false);
    match (doc_type(header.data(head)?)?, is_audio) {
        (b"webm", false) => Some(Format::Webm),
        (b"webm", true) => Some(Format::WebmAudio),
        (b"matroska", false) => Some(Format::Mkv),
        (b"matroska", true) => Some(Format::MkvAudio),
        _ => None,
    }
}

fn doc_type(fields: &[u8]) -> Option<&[u8]> {
    let data = child(fields, 0, DOC_TYPE)?;
    // A string may be padded with zeros (RFC 8794, 7.4).
    data.split(|&byte| byte == 0).next()
}

/// Returns whether the file has audio tracks and no video; `None` if the tracks are not complete
/// within the head.
fn is_audio_only(head: &[u8], mut at: usize) -> Option<bool> {
    const VIDEO: &[u8] = &[1];
    const AUDIO: &[u8] = &[2];
    let (mut id, mut size_at) = element_id(head, at)?;
    while id == VOID {
        let void = element(head, at)?;
        at = void.data_at.checked_add(void.bytes)?;
        (id, size_at) = element_id(head, at)?;
    }
    // Recorders do not know the size of a segment in advance, so it is ignored.
    let size_bytes = length(*head.get(size_at)?);
    let tracks = child(head, size_at + size_bytes, TRACKS).filter(|_| id == SEGMENT)?;
    let types: Vec<&[u8]> = children(tracks, 0)
        .filter(|(id, _)| *id == TRACK_ENTRY)
        .filter_map(|(_, entry)| child(entry, 0, TRACK_TYPE))
        .collect();
    Some(types.contains(&AUDIO) && !types.contains(&VIDEO))
}

/// Iterates over the complete elements from `at` on, up to the first that is not: id and data.
fn children(bytes: &[u8], mut at: usize) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let element = element(bytes, at)?;
        let data = element.data(bytes)?;
        at = element.data_at + element.bytes;
        Some((element.id, data))
    })
}

fn child(bytes: &[u8], at: usize, id: u32) -> Option<&[u8]> {
    children(bytes, at).find_map(|(each, data)| (each == id).then_some(data))
}

fn element(bytes: &[u8], at: usize) -> Option<Element> {
    let (id, size_at) = element_id(bytes, at)?;
    let length = length(*bytes.get(size_at)?);
    let size = bytes
        .get(size_at..size_at.checked_add(length)?)
        .filter(|_| length <= 8)?;
    let marker = 0x80_u64 << (7 * (length - 1));
    let value = number(size, 8) & (marker - 1);
    Some(Element {
        id,
        bytes: usize::try_from(value).ok()?,
        data_at: size_at + length,
    })
}

/// Returns the id at `at`, with its marker bit as usual, and the offset of the size after it.
fn element_id(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let length = length(*bytes.get(at)?);
    let id = bytes
        .get(at..at.checked_add(length)?)
        .filter(|_| length <= 4)?;
    Some((number(id, 8) as u32, at + length))
}

/// Returns the length of a number by its first byte; above 8 if the byte is invalid.
pub(super) fn length(first: u8) -> usize {
    first.leading_zeros() as usize + 1
}
