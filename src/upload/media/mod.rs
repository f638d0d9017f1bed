//! The type a file has, judged by its bytes.
//!
//! [`judge`] reads the first [`HEAD_BYTES`] of a file and says what it is, or refuses it; the
//! [`Watch`] it hands back looks at all of it, for what only the whole file can tell: whether a
//! document is one, how large a picture is and how long a sound. Nothing here decodes a pixel,
//! unpacks an archive, reads a file or waits. The name a client gave chooses among
//! the extensions that fit the bytes and does nothing else.
//!
//! How far the judgement goes:
//!
//! - A file is what its beginning says: an image with a script behind it is an image, because it is
//!   served with an image's Content-Type and `nosniff`. Magic bytes alone are not enough, though;
//!   each format must show the first structure that its readers need.
//! - Text is judged by its head: UTF-8, GBK or UTF-16. Its Content-Type names no charset, since the
//!   type follows from the extension alone; documents are downloads anyway.
//! - A zip that is a program for Android or Java is refused; an archive within it is not looked at.
//! - A compound file is known once its directory has passed: see [`Watch::media`].
//! - Sound alone in a film's container (what browsers and phones record) is a sound when the tracks
//!   stand within the head as a whole.
//! - Ogg is sound: Opus, Vorbis, FLAC or Speex. Theora and unknown codecs are refused.

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

/// How many first bytes of a file [`judge`] wants to see; fewer only when the file is shorter.
///
/// Most formats need less than a hundred. The entries that tell a `.docx` from a `.zip` and the
/// streams that tell a `.doc` from an `.xls` stand further in, as does what follows an ID3 tag.
/// 16 KiB reaches them in most files and costs nothing to hold.
pub const HEAD_BYTES: usize = 16 * 1024;

/// Operator's rules for the content of files.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// `UPLOAD_TYPES`: the kinds accepted.
    pub kinds: Kinds,
    /// `UPLOAD_STRIP`: what the watch overwrites.
    pub strip: Strip,
}

/// Judges a file by its `head`: its first [`HEAD_BYTES`], or all of it when it is shorter; what it
/// holds beyond them is not looked at. `name` is the client's name for the file.
///
/// # Errors
/// [`Refused`] when the bytes are of no accepted type.
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

/// A sound that begins with something else, unless that is what a refused format begins with.
fn detect_after_junk(head: &[u8], claimed: &str) -> Result<Found, Refused> {
    let refused = refusal::describe(head, claimed);
    let may_be = refused.looks_like == "unknown" || refused == refusal::DAMAGED_MP3;
    let found = audio::after_junk(head).filter(|_| may_be);
    found.map(Found::Is).ok_or(refused)
}

/// Extensions that a file of this name may be stored under.
pub(super) fn possible_extensions(name: &str) -> Vec<Extension> {
    let other = Media::unknown(&claimed_extension(name)).extension;
    format::extensions().chain([other]).collect()
}

/// The end of `name` behind its last dot, in lower case; empty when it is longer than any we keep.
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
