//! Detects the type of a file by its bytes.
//!
//! [`judge`] reads the first [`HEAD_BYTES`] of a file and detects its format, or refuses it; the
//! [`Watch`] it returns examines the whole file, for facts that the head does not show: whether a
//! document is genuine, the dimensions of an image and the duration of audio. Nothing here decodes a
//! pixel, unpacks an archive, reads a file or waits. The client's file name only chooses among the
//! extensions that fit the bytes.
//!
//! Limits of the detection:
//!
//! - The beginning of a file decides: an image followed by a script is an image, because it is
//!   served with an image's Content-Type and `nosniff`. Magic bytes alone are not enough, though;
//!   each format must show the first structure that its readers need.
//! - Text is detected by its head: UTF-8, GBK or UTF-16. Its Content-Type names no charset, since the
//!   type follows from the extension alone; documents are downloads anyway.
//! - A zip that is a program for Android or Java is refused; archives inside it are not opened.
//! - The type of a compound file is known once its directory has passed: see [`Watch::media`].
//! - Audio alone in a video container (as recorded by browsers and phones) is audio if the track list is
//!   complete within the head.
//! - Ogg is audio: Opus, Vorbis, FLAC or Speex. Theora and unknown codecs are refused.

mod archive;
mod audio;
mod compound;
mod field;
mod format;
mod image;
mod isobmff;
mod kind;
mod matroska;
mod ogg;
mod refusal;
mod riff;
mod text;
mod walk;
mod watch;

pub use format::{Extension, Media};
pub use kind::{Kind, Kinds, UnknownKind};
pub use refusal::Refused;
pub use walk::{Edit, Facts, Geo, Overwrite, REACH, Report, Strip};
pub use watch::Watch;

use audio::Found;
use compound::CompoundWatch;

/// Bytes at the start of a file that [`judge`] needs; fewer only if the file is shorter.
///
/// Most formats need less than a hundred. The entries that distinguish a `.docx` from a `.zip`, the
/// streams that distinguish a `.doc` from an `.xls`, and audio after an ID3 tag come later.
/// 16 KiB reaches them in most files and costs nothing to hold.
pub const HEAD_BYTES: usize = 16 * 1024;

/// The operator's rules for the content of files.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// `UPLOAD_TYPES`: the kinds accepted.
    pub kinds: Kinds,
    /// `UPLOAD_STRIP`: which metadata the watch overwrites.
    pub strip: Strip,
}

/// Detects the type of a file by its `head`: its first [`HEAD_BYTES`], or the whole file if it is
/// shorter; further bytes are ignored. `name` is the client's file name.
///
/// # Errors
/// [`Refused`] if the type is not accepted.
pub fn judge(head: &[u8], name: &str, rules: Rules) -> Result<Watch, Refused> {
    let head = head.get(..HEAD_BYTES).unwrap_or(head);
    let claimed = claimed_extension(name);
    if let Some(compound) = CompoundWatch::new(head, &claimed) {
        return Ok(Watch::compound(compound, &claimed, rules));
    }
    match detect(head, &claimed) {
        Ok(Found::Is(format)) => Watch::new(format, head, &claimed, rules),
        Ok(Found::After(at)) => Ok(Watch::audio_at(at as u64, &claimed, rules)),
        Err(refused) => Watch::tolerated(refused, &claimed, rules),
    }
}

fn detect(head: &[u8], claimed: &str) -> Result<Found, Refused> {
    let is_whole = head.len() < HEAD_BYTES;
    image::detect(head)
        .or_else(|| isobmff::detect(head, claimed))
        .or_else(|| riff::detect(head))
        .or_else(|| matroska::detect(head))
        .or_else(|| ogg::detect(head))
        .map(Found::Is)
        .or_else(|| audio::detect(head, is_whole))
        .or_else(|| archive::detect(head, claimed).map(Found::Is))
        .or_else(|| text::detect(head, claimed).map(Found::Is))
        .map_or_else(|| detect_after_junk(head, claimed), Ok)
}

/// Detects audio after other bytes, unless those begin a format that is refused.
fn detect_after_junk(head: &[u8], claimed: &str) -> Result<Found, Refused> {
    let refused = refusal::describe(head, claimed);
    let may_be = refused.looks_like == "unknown" || refused == refusal::DAMAGED_MP3;
    let found = audio::after_junk(head).filter(|_| may_be);
    found.map(Found::Is).ok_or(refused)
}

/// Returns the extensions that a file of this name may be stored under.
pub(super) fn possible_extensions(name: &str) -> Vec<Extension> {
    let other = Media::unknown(&claimed_extension(name)).extension;
    format::extensions().chain([other]).collect()
}

/// Returns the extension of `name` in lower case; empty if it is longer than any that is kept.
fn claimed_extension(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((_, extension)) if extension.len() <= Extension::MAX_BYTES => {
            extension.to_ascii_lowercase()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
