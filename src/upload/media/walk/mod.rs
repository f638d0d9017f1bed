//! Walks through a whole file while it passes: its size in pixels and its duration, and, where the
//! operator wants it, edits that overwrite what tells where and with what it was made.
//!
//! Each container has a file here whose `walk` reads like a program over a file: skip, collect, go
//! on. It is a future that waits for bytes; [`Walker::see`] brings them and polls it by hand, so
//! there is no executor and no thread, and nothing is held but what a walk collects.
//!
//! - A walk believes no size: a size moves a counter or is compared with a limit, and never becomes
//!   an allocation. Nested structures have a limit of their own (see [`Input::enter`]).
//! - A missing or absurd value gives no fact. A file is never refused here.
//! - An edit keeps the length. It may reach [`REACH`] bytes back, which is what the stores still
//!   hold of a file that passes.

mod bmp;
mod flac;
mod frames;
mod gif;
mod heif;
mod id3;
mod input;
mod jpeg;
mod matroska;
mod movie;
mod ogg;
mod photoshop;
mod png;
mod riff;
mod samsung;
mod tiff;
mod vorbis;
mod webp;
mod words;
mod xmp;

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use self::input::{Feed, Input};
use super::{Kind, format::Format};
pub use crate::body::{Edit, Overwrite, REACH};

/// Most elements of one file that are looked at.
const MAX_ELEMENTS: u32 = 100_000;
/// Largest side of a picture that is believed, in pixels.
const MAX_SIDE: u32 = 1 << 24;
/// Longest duration that is believed: 30 days.
const MAX_DURATION_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// Whether a file's metadata is overwritten: `UPLOAD_STRIP`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strip {
    /// Nothing is.
    #[default]
    Off,
    /// Where it was made.
    Location,
    /// And with what, and by whom.
    Device,
}

/// Whether a file still tells where it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Geo {
    /// Nothing was found.
    #[default]
    None,
    /// All that was found is overwritten.
    Removed,
    /// Something was left, or could not be read.
    Kept,
}

impl Geo {
    /// `none`, `removed` or `kept`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Removed => "removed",
            Self::Kept => "kept",
        }
    }
}

/// Facts that a viewer wants before it has the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// As displayed, in pixels.
    pub width: Option<u32>,
    /// As displayed, in pixels.
    pub height: Option<u32>,
    /// Of a sound, a film or an animation.
    pub duration_ms: Option<u64>,
    /// A picture of more than one frame.
    pub animated: bool,
    /// Another kind than the first bytes show: sound alone in a film's container.
    pub kind: Option<Kind>,
}

impl Facts {
    /// The size of a picture, where it is known; turned by a quarter, width and height change places.
    fn set_size<N: Into<u32>>(&mut self, size: Option<(N, N)>, is_rotated: bool) {
        let (width, height) = match size.map(|(width, height)| (width.into(), height.into())) {
            Some((width, height)) if is_rotated => (height, width),
            Some(size) => size,
            None => return,
        };
        let believed = |side| (1..=MAX_SIDE).contains(&side);
        if believed(width) && believed(height) {
            self.width = Some(width);
            self.height = Some(height);
        }
    }

    /// A duration of so many units, of which a second has `per_second`.
    fn set_duration(&mut self, units: u64, per_second: u64) {
        let (units, per_second) = (u128::from(units), u128::from(per_second));
        if units == 0 || per_second == 0 {
            return;
        }
        let rounded = (units * 1000 + per_second / 2) / per_second;
        self.duration_ms = u64::try_from(rounded.max(1))
            .ok()
            .filter(|duration| *duration <= MAX_DURATION_MS);
    }
}

/// Result of a walk through a whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Size, duration and kind.
    pub facts: Facts,
    /// Only of use where something was looked for.
    pub geo: Geo,
}

/// Walks through one file, chunk by chunk.
pub(super) struct Walker {
    feed: Arc<Mutex<Feed>>,
    /// `None` once it has ended.
    walk: Option<Pin<Box<dyn Future<Output = Report> + Send>>>,
    report: Report,
}

impl Walker {
    /// For a file of this format; `None` for one that has nothing to tell.
    pub(super) fn new(format: Format, strip: Strip) -> Option<Self> {
        let feed = Arc::default();
        let walk = walk(format, Input::new(Arc::clone(&feed), strip));
        (format.media("").kind != Kind::Document).then(|| Self {
            feed,
            walk: Some(Box::pin(walk)),
            report: Report::default(),
        })
    }

    /// Takes the next chunk. Edits are of bytes of this chunk, or of up to [`REACH`] before it.
    pub(super) fn see(&mut self, chunk: &Bytes, edits: &mut Vec<Edit>) {
        if self.walk.is_some() && !chunk.is_empty() {
            input::lock(&self.feed).next = Some(chunk.clone());
            self.go_on(edits);
        }
    }

    /// How many bytes from here on it need not see; `None` when it needs none at all any more.
    pub(super) fn skips(&self) -> Option<u64> {
        let walk = self.walk.as_ref();
        walk.map(|_| input::lock(&self.feed).skipping)
    }

    /// Says that so many bytes will not come, at most those it need not see.
    pub(super) fn leave_out(&mut self, bytes: u64, edits: &mut Vec<Edit>) {
        input::lock(&self.feed).leave_out(bytes);
        self.go_on(edits);
    }

    /// Says that the last chunk was seen: no walk waits for more.
    pub(super) fn end(mut self, edits: &mut Vec<Edit>) -> Report {
        input::lock(&self.feed).has_ended = true;
        self.go_on(edits);
        self.report
    }

    fn go_on(&mut self, edits: &mut Vec<Edit>) {
        let mut context = Context::from_waker(Waker::noop());
        if let Some(walk) = &mut self.walk
            && let Poll::Ready(report) = walk.as_mut().poll(&mut context)
        {
            (self.walk, self.report) = (None, report);
        }
        edits.append(&mut input::lock(&self.feed).edits);
    }
}

async fn walk(format: Format, mut input: Input) -> Report {
    let mut facts = Facts::default();
    let walked = match format {
        Format::Jpeg => jpeg::walk(&mut input, &mut facts).await,
        Format::Png => png::walk(&mut input, &mut facts).await,
        Format::Gif => gif::walk(&mut input, &mut facts).await,
        Format::Webp => webp::walk(&mut input, &mut facts).await,
        Format::Bmp => bmp::walk(&mut input, &mut facts).await,
        Format::Heic | Format::Heif | Format::Avif => heif::walk(&mut input, &mut facts).await,
        Format::Mp4
        | Format::M4v
        | Format::M4a
        | Format::Mov
        | Format::ThreeGp
        | Format::ThreeGpAudio => movie::walk(&mut input, &mut facts, format).await,
        Format::Webm | Format::WebmAudio | Format::Mkv | Format::MkvAudio => {
            matroska::walk(&mut input, &mut facts, format).await
        }
        Format::Avi => riff::avi(&mut input, &mut facts).await,
        Format::Wav => riff::wav(&mut input, &mut facts).await,
        Format::Mp3 => frames::mp3(&mut input, &mut facts).await,
        Format::Aac => frames::adts(&mut input, &mut facts).await,
        Format::Amr => frames::amr(&mut input, &mut facts).await,
        Format::Ogg | Format::Opus => ogg::walk(&mut input, &mut facts).await,
        Format::Flac => flac::walk(&mut input, &mut facts).await,
        _ => Ok(()),
    };
    input.note_outcome(walked);
    Report {
        facts,
        geo: input.geo(),
    }
}

#[cfg(test)]
mod image_tests;
#[cfg(test)]
mod tests;
