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
//! - Text is UTF-8 or GBK from the first byte to the last. Its Content-Type names no charset, since
//!   both exist and the type follows from the extension alone; documents are downloads anyway.
//! - A zip that holds a program for Android or Java is refused, wherever in the file its entry is.
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

pub use format::{Media, by_extension};
pub use kind::{Kind, Kinds, UnknownKind};
pub use refusal::Refused;
pub use walk::{Edit, Facts, Geo, Overwrite, REACH, Report, Strip};
pub use watch::Watch;

use format::Format;

/// How many first bytes of a file [`judge`] wants to see; fewer only when the file is shorter.
///
/// Most formats need less than a hundred. The entries that tell a `.docx` from a `.zip` and the
/// streams that tell a `.doc` from an `.xls` stand further in, as does what follows an ID3 tag.
/// 16 KiB reaches them in most files and costs nothing to hold.
pub const HEAD_BYTES: usize = 16 * 1024;

/// Says what a file is. `head` is its first [`HEAD_BYTES`], or all of it when it is shorter; what
/// it holds beyond them is not looked at. `name` is the client's name for the file, `strip` says
/// what the watch shall overwrite.
///
/// # Errors
/// [`Refused`] when the bytes are of no accepted type.
pub fn judge(head: &[u8], name: &str, strip: Strip) -> Result<(Media, Watch), Refused> {
    let head = head.get(..HEAD_BYTES).unwrap_or(head);
    let claimed = claimed_extension(name);
    let format = format_of(head, &claimed).ok_or_else(|| refusal::describe(head))?;
    let watch = Watch::new(format, head, strip);
    // A short file is known whole already, so its refusal need not wait.
    watch::replay(format, head)?;
    Ok((format.media(&claimed), watch))
}

fn format_of(head: &[u8], claimed: &str) -> Option<Format> {
    image::detect(head)
        .or_else(|| isobmff::detect(head, claimed))
        .or_else(|| riff::detect(head))
        .or_else(|| matroska::detect(head))
        .or_else(|| ogg::detect(head))
        .or_else(|| audio::detect(head))
        .or_else(|| archive::detect(head, claimed))
        .or_else(|| compound::detect(head, claimed))
        .or_else(|| text::detect(head))
}

/// What follows the last dot of `name`, in lower case; empty when it is longer than any we know.
fn claimed_extension(name: &str) -> String {
    const LONGEST: usize = 4;
    match name.rsplit_once('.') {
        Some((_, extension)) if extension.len() <= LONGEST => extension.to_ascii_lowercase(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
