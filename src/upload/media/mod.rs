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

use audio::Found;
use format::Format;

/// How many first bytes of a file [`judge`] wants to see; fewer only when the file is shorter.
///
/// Most formats need less than a hundred. The entries that tell a `.docx` from a `.zip` and the
/// streams that tell a `.doc` from an `.xls` stand further in, as does what follows an ID3 tag.
/// 16 KiB reaches them in most files and costs nothing to hold.
pub const HEAD_BYTES: usize = 16 * 1024;

/// What the bytes of a file say so far.
#[derive(Debug)]
pub enum Verdict {
    /// What it is, and what looks at all of it.
    Is(Media, Watch),
    /// Further bytes tell.
    Later(Undecided),
}

/// A file of which the head does not tell what it is: a sound behind a long tag.
#[derive(Debug)]
pub struct Undecided {
    at: u64,
    claimed: String,
    strip: Strip,
}

/// Says what a file is. `head` is its first [`HEAD_BYTES`], or all of it when it is shorter; what
/// it holds beyond them is not looked at. `name` is the client's name for the file, `strip` says
/// what the watch shall overwrite.
///
/// # Errors
/// [`Refused`] when the bytes are of no accepted type.
pub fn judge(head: &[u8], name: &str, strip: Strip) -> Result<Verdict, Refused> {
    let head = head.get(..HEAD_BYTES).unwrap_or(head);
    let claimed = claimed_extension(name);
    let format = match detect(head, &claimed)? {
        Found::Is(format) => format,
        Found::Behind(at) => {
            return Ok(Verdict::Later(Undecided {
                at: at as u64,
                claimed,
                strip,
            }));
        }
    };
    let watch = Watch::new(format, head, strip);
    // A short file is known whole already, so its refusal need not wait.
    watch::replay(format, head)?;
    Ok(Verdict::Is(format.media(&claimed), watch))
}

impl Undecided {
    /// From where on [`HEAD_BYTES`] are wanted, or as many as there are.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Goes on with these bytes. More may be wanted then, further on each time.
    ///
    /// # Errors
    /// [`Refused`] when the file ends without a frame of sound.
    pub fn decide(mut self, bytes: &[u8]) -> Result<Verdict, Refused> {
        let bytes = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
        match audio::detect_behind_tag(bytes, bytes.len() < HEAD_BYTES) {
            Some(Found::Is(format)) => {
                let (media, watch) = self.media(format);
                Ok(Verdict::Is(media, watch))
            }
            Some(Found::Behind(distance)) => {
                self.at = self.at.saturating_add(distance as u64);
                Ok(Verdict::Later(self))
            }
            None => Err(refusal::DAMAGED_MP3),
        }
    }

    /// Decides without more bytes, for a file of which no more can be held: by the client's name.
    pub fn by_name(&self) -> (Media, Watch) {
        self.media(match self.claimed.as_str() {
            "flac" => Format::Flac,
            "aac" => Format::Aac,
            _ => Format::Mp3,
        })
    }

    fn media(&self, format: Format) -> (Media, Watch) {
        let watch = Watch::new(format, &[], self.strip);
        (format.media(&self.claimed), watch)
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
        .or_else(|| compound::detect(head, claimed).map(Found::Is))
        .or_else(|| text::detect(head).map(Found::Is))
        .map_or_else(|| detect_behind_junk(head), Ok)
}

/// A sound that begins with something else, unless that is what a refused format begins with.
fn detect_behind_junk(head: &[u8]) -> Result<Found, Refused> {
    let refused = refusal::describe(head);
    let may_be = refused.looks_like == "unknown" || refused == refusal::DAMAGED_MP3;
    let found = audio::behind_junk(head).filter(|_| may_be);
    found.map(Found::Is).ok_or(refused)
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
