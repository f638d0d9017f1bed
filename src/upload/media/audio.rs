//! Audio frames without a container: MP3, AAC (ADTS), AMR; and FLAC.
//!
//! A sync word is two bytes and proves little, so a frame must also be followed by another of the same
//! kind, or by the end of the bytes.

use super::field::number;
use super::format::Format;

/// Result of the detection in the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Is(Format),
    /// The first frame is at this offset or after it.
    After(usize),
}

/// Looks for a first frame at the start of `bytes`, or after a tag there. `is_whole` means that the
/// file ends with `bytes`.
pub(super) fn detect(bytes: &[u8], is_whole: bool) -> Option<Found> {
    match id3_tag(bytes) {
        Some(_) => tagged(bytes, is_whole),
        None => bare(bytes).map(Found::Is),
    }
}

/// Looks for a first frame anywhere in `bytes`, which follow a tag: taggers leave debris, and write
/// wrong lengths.
pub(super) fn detect_after_tag(bytes: &[u8], is_whole: bool) -> Option<Found> {
    // A frame in the last bytes is verified by frames in the next ones.
    const OVERLAP: usize = 8 * 1024;
    match tagged(bytes, is_whole) {
        Some(Found::After(0)) => Some(Found::After(bytes.len().saturating_sub(OVERLAP).max(1))),
        found => found,
    }
}

/// Detects audio that begins in the middle of a frame, as recordings of a broadcast do.
pub(super) fn after_junk(bytes: &[u8]) -> Option<Format> {
    let starts = memchr::memchr_iter(0xFF, bytes).filter_map(|at| bytes.get(at..));
    starts.filter_map(frames).next()
}

fn bare(head: &[u8]) -> Option<Format> {
    if flac(head) {
        return Some(Format::Flac);
    }
    let is_amr = |start: &[u8], frame_bytes| {
        let frames = head.strip_prefix(start);
        frames.is_some_and(|frames| frames_follow(frames, frame_bytes))
    };
    let is_either = || is_amr(b"#!AMR\n", amr_bytes) || is_amr(b"#!AMR-WB\n", amr_wb_bytes);
    frames(head).or_else(|| is_either().then_some(Format::Amr))
}

/// Detects MP3 or AAC by the frames at the start of `bytes`.
fn frames(bytes: &[u8]) -> Option<Format> {
    if frames_follow(bytes, mpeg_layer_3_bytes) {
        return Some(Format::Mp3);
    }
    frames_follow(bytes, adts_bytes).then_some(Format::Aac)
}

/// Returns whether `bytes` begin with a whole frame, or with several if they are long enough.
/// `frame_bytes` returns the length of the frame at the start of a slice.
fn frames_follow(bytes: &[u8], frame_bytes: fn(&[u8]) -> Option<usize>) -> bool {
    const FRAMES: usize = 4;
    const LONGEST_HEADER: usize = 7;
    let Some(mut rest) = frame_bytes(bytes).and_then(|first| bytes.get(first..)) else {
        return false;
    };
    for _ in 1..FRAMES {
        let Some(next) = frame_bytes(rest) else {
            return rest.len() < LONGEST_HEADER || has_trailing_tag(rest);
        };
        let Some(after) = rest.get(next..) else {
            return true;
        };
        rest = after;
    }
    true
}

/// Returns whether a trailing tag follows: ID3v1, APEv2, or zeros.
fn has_trailing_tag(rest: &[u8]) -> bool {
    rest.starts_with(b"TAG") || rest.starts_with(b"APETAGEX") || rest.starts_with(&[0; 4])
}

/// An audio frame, by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Length in bytes, header included.
    pub(super) bytes: usize,
    pub(super) samples: u32,
    /// Samples per second.
    pub(super) rate: u32,
    /// The header bits that all frames of a file share.
    pub(super) kind: u32,
}

/// Parses an MPEG audio frame of layer III (ISO/IEC 11172-3, 2.4.1.3).
#[inline]
pub(super) fn mpeg_layer_3(header: &[u8; 4]) -> Option<Frame> {
    const LAYER_3: u8 = 0b01;
    const KIND: u32 = 0xFFFE_0C00;
    let [sync, second, third, _] = *header;
    let (version, layer) = (second >> 3 & 3, second >> 1 & 3);
    if sync != 0xFF || second < 0xE0 || layer != LAYER_3 {
        return None;
    }
    let (bitrate, rate) = (usize::from(third >> 4), usize::from(third >> 2 & 3));
    let (kilobits, samples, divisor) = match version {
        0b11 => (&MPEG_1_KILOBITS, 1152, 1),
        0b10 => (&MPEG_2_KILOBITS, 576, 2),
        0b00 => (&MPEG_2_KILOBITS, 576, 4),
        _ => return None,
    };
    let kilobits = *kilobits.get(bitrate).filter(|&&kilobits| kilobits > 0)?;
    let rate = [44_100, 48_000, 32_000].get(rate)? / divisor;
    let padding = u32::from(third >> 1 & 1);
    // Kilobits per second, in bytes.
    Some(Frame {
        bytes: (samples * 125 * kilobits / rate + padding) as usize,
        samples,
        rate,
        kind: u32::from_be_bytes(*header) & KIND,
    })
}

fn mpeg_layer_3_bytes(frame: &[u8]) -> Option<usize> {
    mpeg_layer_3(frame.first_chunk()?).map(|frame| frame.bytes)
}

/// Bitrates by index; 0 is "free", whose frames have no computable length.
const MPEG_1_KILOBITS: [u32; 15] = [
    0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
];
const MPEG_2_KILOBITS: [u32; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

/// Parses an ADTS frame (ISO/IEC 13818-7, 6.2).
#[inline]
pub(super) fn adts(header: &[u8; 7]) -> Option<Frame> {
    const RATES: [u32; 13] = [
        96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025,
        8_000, 7_350,
    ];
    const SAMPLES: u32 = 1024;
    const KIND: u32 = 0xFFFE_FC00;
    let [first @ .., fifth, sixth, blocks] = *header;
    let [sync, second, third, fourth] = first;
    let is_sync = sync == 0xFF && second & 0xF6 == 0xF0;
    let rate = *RATES.get(usize::from(third >> 2 & 0xF))?;
    // 13 bits that begin and end inside a byte.
    let bytes = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
    (is_sync && bytes >= header.len()).then_some(Frame {
        bytes,
        samples: SAMPLES * (u32::from(blocks & 3) + 1),
        rate,
        kind: u32::from_be_bytes(first) & KIND,
    })
}

fn adts_bytes(frame: &[u8]) -> Option<usize> {
    adts(frame.first_chunk()?).map(|frame| frame.bytes)
}

/// Returns the length of a narrow-band AMR frame by its frame type (RFC 4867, 5.3).
pub(super) fn amr_bytes(frame: &[u8]) -> Option<usize> {
    amr_frame_bytes(frame, &[12, 13, 15, 17, 19, 20, 26, 31, 5])
}

/// Returns the length of a wide-band AMR frame by its frame type (RFC 4867, 5.3).
pub(super) fn amr_wb_bytes(frame: &[u8]) -> Option<usize> {
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

/// Returns whether the marker and a whole STREAMINFO block come first (RFC 9639, 8.2).
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

/// An ID3v2 header (ID3v2.4, 3.1), and the end of the tag according to it.
pub(super) struct Id3Tag {
    pub(super) ends: usize,
    pub(super) version: u8,
    pub(super) flags: u8,
}

pub(super) fn id3_tag(head: &[u8]) -> Option<Id3Tag> {
    const HEADER: usize = 10;
    const HAS_FOOTER: u8 = 0x10;
    let [version, revision, flags, size @ ..] = *head.strip_prefix(b"ID3")?.first_chunk::<7>()?;
    let is_size = size.iter().all(|&byte| byte < 0x80);
    if !matches!(version, 2..=4) || revision == 0xFF || !is_size {
        return None;
    }
    let size = number(&size, 7) as usize;
    let footer = if flags & HAS_FOOTER != 0 { HEADER } else { 0 };
    Some(Id3Tag {
        ends: HEADER + size + footer,
        version,
        flags,
    })
}

/// Detects audio after any number of tags; its first frame may come after `bytes`.
fn tagged(bytes: &[u8], is_whole: bool) -> Option<Found> {
    let mut at = 0;
    while let Some(tag) = bytes.get(at..).and_then(id3_tag) {
        at += tag.ends;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    // The rest of a longer tag.
    let zeros = rest.iter().take_while(|byte| **byte == 0).count();
    let rest = rest.get(zeros..).unwrap_or_default();
    bare(rest)
        .or_else(|| after_junk(rest))
        .map(Found::Is)
        .or_else(|| (!is_whole).then_some(Found::After(at + zeros)))
}
