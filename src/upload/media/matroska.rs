//! WebM and Matroska: one container (RFC 9559), told apart by the DocType in its EBML header.

use super::format::Format;

const EBML: u32 = 0x1A45_DFA3;
const DOC_TYPE: u32 = 0x4282;
const SEGMENT: u32 = 0x1853_8067;
const VOID: u32 = 0xEC;
const TRACKS: u32 = 0x1654_AE6B;
const TRACK_ENTRY: u32 = 0xAE;
const TRACK_TYPE: u32 = 0x83;

/// An element's id, how many bytes of data it has, and where they start.
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
    let is_sound = is_sound_alone(head, header_ends).unwrap_or(false);
    match (doc_type(header.data(head)?)?, is_sound) {
        (b"webm", false) => Some(Format::Webm),
        (b"webm", true) => Some(Format::WebmSound),
        (b"matroska", false) => Some(Format::Mkv),
        (b"matroska", true) => Some(Format::MkvSound),
        _ => None,
    }
}

fn doc_type(fields: &[u8]) -> Option<&[u8]> {
    let data = child(fields, 0, DOC_TYPE)?;
    // A string may be padded with zeros (RFC 8794, 7.4).
    data.split(|&byte| byte == 0).next()
}

/// Whether the file has tracks and none of them is a picture; `None` when they are not within the
/// head as a whole.
fn is_sound_alone(head: &[u8], mut at: usize) -> Option<bool> {
    const PICTURE: &[u8] = &[1];
    const SOUND: &[u8] = &[2];
    let (mut id, mut size_at) = element_id(head, at)?;
    while id == VOID {
        let void = element(head, at)?;
        at = void.data_at.checked_add(void.bytes)?;
        (id, size_at) = element_id(head, at)?;
    }
    // A recorder does not know how long its segment will be, so the size does not count.
    let size_bytes = head.get(size_at)?.leading_zeros() as usize + 1;
    let tracks = child(head, size_at + size_bytes, TRACKS).filter(|_| id == SEGMENT)?;
    let types: Vec<&[u8]> = children(tracks, 0)
        .filter(|(id, _)| *id == TRACK_ENTRY)
        .filter_map(|(_, entry)| child(entry, 0, TRACK_TYPE))
        .collect();
    Some(types.contains(&SOUND) && !types.contains(&PICTURE))
}

/// The elements from `at` on that are whole, up to the first that is not: each id and its data.
fn children(bytes: &[u8], mut at: usize) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let element = element(bytes, at)?;
        let data = element.data(bytes)?;
        at = element.data_at + element.bytes;
        Some((element.id, data))
    })
}

fn child(bytes: &[u8], at: usize, id: u32) -> Option<&[u8]> {
    children(bytes, at)
        .find(|(each, _)| *each == id)
        .map(|(_, data)| data)
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
