//! Sounds that are a row of frames without a container: MP3, AAC (ADTS), AMR; and FLAC.
//!
//! A sync word is two bytes and proves little, so a frame must also be followed by another of its
//! kind, or by the end of what we see.

use super::field::be16;
use super::format::Format;

pub(super) fn detect(head: &[u8]) -> Option<Format> {
    match id3_tag(head) {
        Some(tag) => tagged(head, &tag),
        None => bare(head),
    }
}

fn bare(head: &[u8]) -> Option<Format> {
    if flac(head) {
        return Some(Format::Flac);
    }
    if frames_follow(head, mpeg_layer_3_bytes) {
        return Some(Format::Mp3);
    }
    if frames_follow(head, adts_bytes) {
        return Some(Format::Aac);
    }
    let narrow = head
        .strip_prefix(b"#!AMR\n")
        .map(|frames| frames_follow(frames, amr_bytes));
    let wide = || {
        head.strip_prefix(b"#!AMR-WB\n")
            .map(|frames| frames_follow(frames, amr_wb_bytes))
    };
    narrow.or_else(wide)?.then_some(Format::Amr)
}

/// Whether `bytes` begin with a whole frame, and with several of them where they are long
/// enough. `bytes_of` tells the length of the frame at the start of a slice.
fn frames_follow(bytes: &[u8], bytes_of: fn(&[u8]) -> Option<usize>) -> bool {
    const FRAMES: usize = 4;
    const LONGEST_HEADER: usize = 7;
    let Some(mut rest) = bytes_of(bytes).and_then(|first| bytes.get(first..)) else {
        return false;
    };
    for _ in 1..FRAMES {
        let Some(next) = bytes_of(rest) else {
            return rest.len() < LONGEST_HEADER || has_trailing_tag(rest);
        };
        let Some(after) = rest.get(next..) else {
            return true;
        };
        rest = after;
    }
    true
}

/// What taggers append: ID3v1, APEv2, or zeros.
fn has_trailing_tag(rest: &[u8]) -> bool {
    rest.starts_with(b"TAG") || rest.starts_with(b"APETAGEX") || rest.starts_with(&[0; 4])
}

/// Length of an MPEG audio frame of layer III, header included (ISO/IEC 11172-3, 2.4.1.3).
fn mpeg_layer_3_bytes(frame: &[u8]) -> Option<usize> {
    const LAYER_3: u8 = 0b01;
    let [sync, second, third, _] = *frame.first_chunk()?;
    let (version, layer) = (second >> 3 & 3, second >> 1 & 3);
    let (bitrate, rate) = (usize::from(third >> 4), usize::from(third >> 2 & 3));
    if sync != 0xFF || second < 0xE0 || layer != LAYER_3 {
        return None;
    }
    let (kilobits, samples, divisor) = match version {
        0b11 => (&MPEG_1_KILOBITS, 144_000, 1),
        0b10 => (&MPEG_2_KILOBITS, 72_000, 2),
        0b00 => (&MPEG_2_KILOBITS, 72_000, 4),
        _ => return None,
    };
    let kilobits = kilobits.get(bitrate).filter(|&&kilobits| kilobits > 0)?;
    let hertz = [44_100, 48_000, 32_000].get(rate)? / divisor;
    let padding = usize::from(third >> 1 & 1);
    Some(samples * kilobits / hertz + padding)
}

/// By the bitrate index; 0 is "free", whose frames nobody can measure.
const MPEG_1_KILOBITS: [usize; 15] = [
    0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
];
const MPEG_2_KILOBITS: [usize; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

/// Length of an ADTS frame, header included (ISO/IEC 13818-7, 6.2).
fn adts_bytes(frame: &[u8]) -> Option<usize> {
    const HEADER: usize = 7;
    let header: [u8; HEADER] = *frame.first_chunk()?;
    let is_sync = header[0] == 0xFF && header[1] & 0xF6 == 0xF0;
    let has_known_rate = header[2] >> 2 & 0xF < 13;
    // 13 bits that begin and end inside a byte.
    let bytes = usize::from(be16(&header, 3)? & 0x3FF) << 3 | usize::from(header[5] >> 5);
    (is_sync && has_known_rate && bytes >= HEADER).then_some(bytes)
}

/// Length of a narrow-band AMR frame by its frame type (RFC 4867, 5.3).
fn amr_bytes(frame: &[u8]) -> Option<usize> {
    amr_frame_bytes(frame, &[12, 13, 15, 17, 19, 20, 26, 31, 5])
}

/// Length of a wide-band AMR frame by its frame type (RFC 4867, 5.3).
fn amr_wb_bytes(frame: &[u8]) -> Option<usize> {
    amr_frame_bytes(frame, &[17, 23, 32, 36, 40, 46, 50, 58, 60, 5])
}

fn amr_frame_bytes(frame: &[u8], speech_bytes: &[usize]) -> Option<usize> {
    const PADDING: u8 = 0b1000_0011;
    let header = *frame.first()?;
    let speech = match usize::from(header >> 3 & 0xF) {
        // Lost speech and no data.
        14 | 15 => 0,
        kind => *speech_bytes.get(kind)?,
    };
    (header & PADDING == 0).then_some(1 + speech)
}

/// The marker and a whole STREAMINFO block, which must come first (RFC 9639, 8.2).
fn flac(head: &[u8]) -> bool {
    const STREAMINFO_ENDS: usize = 4 + 4 + 34;
    const IS_LAST: u8 = 0x80;
    let [marker @ .., kind, high, middle, low] =
        head.first_chunk::<8>().copied().unwrap_or_default();
    marker == *b"fLaC"
        && kind & !IS_LAST == 0
        && [high, middle, low] == [0, 0, 34]
        && head.len() >= STREAMINFO_ENDS
}

/// An ID3v2 header (ID3v2.4, 3.1) and where it claims that its tag ends.
struct Id3Tag {
    ends: usize,
}

fn id3_tag(head: &[u8]) -> Option<Id3Tag> {
    const HEADER: usize = 10;
    const HAS_FOOTER: u8 = 0x10;
    let header: [u8; HEADER] = *head.first_chunk()?;
    let [b'I', b'D', b'3', 2..=4, revision, flags, size @ ..] = header else {
        return None;
    };
    if revision == 0xFF || size.iter().any(|&byte| byte >= 0x80) {
        return None;
    }
    let size = size
        .iter()
        .fold(0, |size, &byte| size << 7 | usize::from(byte));
    let footer = if flags & HAS_FOOTER != 0 { HEADER } else { 0 };
    Some(Id3Tag {
        ends: HEADER + size + footer,
    })
}

/// What follows a tag; when that is further than we see, the tag's first frame must do.
fn tagged(head: &[u8], tag: &Id3Tag) -> Option<Format> {
    if let Some(mut rest) = head.get(tag.ends..) {
        while let [0, after @ ..] = rest {
            rest = after;
        }
        return after_tag(rest);
    }
    let first_frame = head.get(10..14)?;
    let is_frame = first_frame
        .iter()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let is_padding = first_frame == [0; 4];
    let ends_beyond_head = head.len() == super::HEAD_BYTES;
    (ends_beyond_head && (is_frame || is_padding)).then_some(Format::Mp3)
}

/// Sound behind a tag; taggers leave a little debris, so the first frame may be searched for.
fn after_tag(rest: &[u8]) -> Option<Format> {
    const DEBRIS: usize = 1024;
    if let found @ Some(_) = bare(rest) {
        return found;
    }
    (0..DEBRIS)
        .map_while(|start| rest.get(start..))
        .any(|rest| frames_follow(rest, mpeg_layer_3_bytes))
        .then_some(Format::Mp3)
}
