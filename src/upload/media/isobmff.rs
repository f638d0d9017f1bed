//! The ISO base media family (ISO/IEC 14496-12): HEIC, HEIF, AVIF, MP4, M4V, M4A, 3GP and MOV.
//!
//! The `ftyp` box lists brands; QuickTime files older than brands begin with another box.

use super::field::{be32, be64, fourcc, is_plain};
use super::format::{Format, is_audio};

/// The header of one box; `bytes` includes the header, and is `None` for a box that extends to the end
/// of the file.
struct BoxHeader {
    kind: [u8; 4],
    bytes: Option<u64>,
    header_bytes: usize,
}

impl BoxHeader {
    /// Reads the header at `at`; `None` if it is incomplete or inconsistent.
    fn at(head: &[u8], at: usize) -> Option<Self> {
        let kind = fourcc(head, at + 4)?;
        let (bytes, header_bytes) = match be32(head, at)? {
            0 => (None, 8),
            1 => (Some(be64(head, at + 8)?), 16),
            bytes => (Some(u64::from(bytes)), 8),
        };
        let sane = is_plain(kind) && bytes.is_none_or(|bytes| bytes >= header_bytes as u64);
        sane.then_some(Self {
            kind,
            bytes,
            header_bytes,
        })
    }
}

pub(super) fn detect(head: &[u8], claimed: &str) -> Option<Format> {
    let head = without_space(head);
    let first = BoxHeader::at(head, 0)?;
    match &first.kind {
        b"ftyp" => branded(head, first.bytes?, claimed),
        b"moov" | b"mdat" | b"wide" | b"free" | b"skip" | b"pnot" => {
            let format = old_quicktime(head, &first).then_some(Format::Mov)?;
            Some(with_tracks(format, Tracks::in_head(head), claimed))
        }
        _ => None,
    }
}

/// Skips empty space before `ftyp`; returns `head` unchanged if no `ftyp` follows.
fn without_space(head: &[u8]) -> &[u8] {
    let mut rest = head;
    while let Some(BoxHeader { kind, bytes, .. }) = BoxHeader::at(rest, 0) {
        let after = || rest.get(usize::try_from(bytes?).ok()?..);
        match (&kind, after()) {
            (b"ftyp", _) => return rest,
            (b"free" | b"skip" | b"wide", Some(after)) => rest = after,
            _ => break,
        }
    }
    head
}

/// Detects the format by its brands, if another box follows them.
fn branded(head: &[u8], ftyp_bytes: u64, claimed: &str) -> Option<Format> {
    let ftyp = head.get(..usize::try_from(ftyp_bytes).ok()?)?;
    BoxHeader::at(head, ftyp.len())?;
    let major = fourcc(ftyp, 8)?;
    if is_raw_photo(major) {
        return None;
    }
    let major = brand(major);
    let compatible: Vec<Format> = ftyp
        .get(16..)?
        .chunks_exact(4)
        .filter_map(|name| brand(fourcc(name, 0)?))
        .collect();
    settle(major, &compatible).map(|format| with_tracks(format, Tracks::in_head(head), claimed))
}

/// Chooses between the major brand, which may be generic or unknown, and the compatible ones.
fn settle(major: Option<Format>, compatible: &[Format]) -> Option<Format> {
    let listed = |format| compatible.contains(&format).then_some(format);
    let image = || listed(Format::Avif).or_else(|| listed(Format::Heic));
    match major {
        // `mif1` is any image format; the compatible brands are specific.
        Some(Format::Heif) => image().or(major),
        Some(_) => major,
        None => image().or_else(|| compatible.first().copied()),
    }
}

/// Corrects a video format by its tracks: recorders write audio alone under a video brand.
/// If the tracks come after the media, the client's file name decides.
fn with_tracks(format: Format, tracks: Option<Tracks>, claimed: &str) -> Format {
    let is_audio_only = match tracks {
        Some(tracks) => tracks.has_audio && !tracks.has_video,
        None => matches!(format, Format::Mp4 | Format::ThreeGp) && is_audio(claimed),
    };
    match format {
        Format::Mp4 | Format::M4v | Format::Mov if is_audio_only => Format::M4a,
        Format::ThreeGp if is_audio_only => Format::ThreeGpAudio,
        _ => format,
    }
}

/// The kinds of tracks in a movie.
#[derive(Default)]
struct Tracks {
    has_video: bool,
    has_audio: bool,
}

impl Tracks {
    /// Returns `None` if `moov` is not complete within the head.
    fn in_head(head: &[u8]) -> Option<Self> {
        let movie = child(head, *b"moov")?;
        let mut tracks = Self::default();
        for (_, track) in children(movie).filter(|(kind, _)| kind == b"trak") {
            let handler = child(track, *b"mdia").and_then(|media| child(media, *b"hdlr"));
            match handler.and_then(|handler| fourcc(handler, 8)) {
                Some([b'v', b'i', b'd', b'e']) => tracks.has_video = true,
                Some([b's', b'o', b'u', b'n']) => tracks.has_audio = true,
                _ => {}
            }
        }
        Some(tracks)
    }
}

/// Iterates over the boxes that are complete within `bytes`, up to the first that is not: kind and payload.
fn children(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let header = BoxHeader::at(bytes, 0)?;
        let (whole, rest) = bytes.split_at_checked(usize::try_from(header.bytes?).ok()?)?;
        bytes = rest;
        Some((header.kind, whole.get(header.header_bytes..)?))
    })
}

fn child(bytes: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    children(bytes).find_map(|(each, payload)| (each == kind).then_some(payload))
}

/// Returns whether this is the major brand of Canon's raw photos, which list `isom` as compatible.
fn is_raw_photo(major: [u8; 4]) -> bool {
    &major == b"crx "
}

/// Returns whether a file is a raw photo, which no browser displays.
pub(super) fn looks_like_raw_photo(head: &[u8]) -> bool {
    fourcc(head, 4) == Some(*b"ftyp") && fourcc(head, 8).is_some_and(is_raw_photo)
}

/// Returns the format of a brand (<https://mp4ra.org/registered-types/brands>). Some writers pad short
/// names with zeros instead of spaces.
fn brand(name: [u8; 4]) -> Option<Format> {
    let name = name.map(|byte| if byte == 0 { b' ' } else { byte });
    Some(match &name {
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => {
            Format::Heic
        }
        b"mif1" | b"mif2" | b"msf1" => Format::Heif,
        b"avif" | b"avis" | b"avio" => Format::Avif,
        b"qt  " => Format::Mov,
        b"M4A " | b"M4B " | b"M4P " => Format::M4a,
        b"M4V " | b"M4VH" | b"M4VP" => Format::M4v,
        [b'3', b'g', profile, _] if b"p2eghmrst".contains(profile) => Format::ThreeGp,
        b"isom" | b"avc1" | b"hvc1" | b"mp4v" | b"dash" | b"mp41" | b"mp42" | b"mp71" | b"mmp4"
        | b"MSNV" | b"F4V " | b"f4v " | b"dby1" => Format::Mp4,
        [b'i', b's', b'o', b'2'..=b'9' | b'a'..=b'c'] => Format::Mp4,
        _ => return None,
    })
}

/// Returns whether a file without `ftyp` begins like a QuickTime file from before 2001: with known boxes, as
/// far as the head reaches.
fn old_quicktime(head: &[u8], first: &BoxHeader) -> bool {
    // Larger sizes could be four letters: a text that contains "mdat".
    const LARGEST_FIRST_BOX: u64 = 0x2000_0000;
    const FIRST_IN_MOOV: [&[u8; 4]; 5] = [b"mvhd", b"cmov", b"rmra", b"iods", b"trak"];
    const SECOND: [&[u8; 4]; 7] = [
        b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"PICT",
    ];
    let is_wide = be32(head, 0) == Some(1);
    let Some(bytes) = first
        .bytes
        .filter(|bytes| is_wide || *bytes < LARGEST_FIRST_BOX)
    else {
        return false;
    };
    if &first.kind == b"moov" {
        return fourcc(head, 12).is_some_and(|child| FIRST_IN_MOOV.contains(&&child));
    }
    match usize::try_from(bytes) {
        Ok(next) if next < head.len() => {
            BoxHeader::at(head, next).is_some_and(|next| SECOND.contains(&&next.kind))
        }
        // Only the media box may be larger than the head.
        _ => &first.kind == b"mdat" && head.len() == super::HEAD_BYTES,
    }
}
