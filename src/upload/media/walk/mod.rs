//! Walks through a whole file as its chunks arrive: finds dimensions and duration and, if configured,
//! returns edits that overwrite the location, the device and the owner in its metadata.
//!
//! Each container has a module here whose `walk` reads like a sequential parser: skip, collect,
//! continue. It is a future that waits for bytes; [`Walker::see`] provides them and polls it directly,
//! without executor or thread, and only the bytes that a walk collects are held.
//!
//! - No size in a file is trusted: it moves a counter or is compared with a limit, and never becomes
//!   an allocation. Nested structures cannot exceed their parent (see [`Input::enter`]).
//! - A missing or absurd value yields no fact. A file is never refused here.
//! - An edit keeps the length. It may reach [`REACH`] bytes back, which is how much of a file the
//!   stores still hold.

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

/// Most elements of one file that are examined.
const MAX_ELEMENTS: u32 = 100_000;
/// Largest plausible side of an image, in pixels.
const MAX_SIDE: u32 = 1 << 24;
/// Longest plausible duration: 30 days.
const MAX_DURATION_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// Which metadata is overwritten: `UPLOAD_STRIP`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strip {
    /// None.
    #[default]
    Off,
    /// The location.
    Location,
    /// Also the device, its software and the owner.
    Device,
}

/// Whether a file contains a location.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Geo {
    /// None was found.
    #[default]
    None,
    /// Every one found is overwritten.
    Removed,
    /// One was left, or some metadata could not be read.
    Kept,
}

impl Geo {
    /// Returns `none`, `removed` or `kept`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Removed => "removed",
            Self::Kept => "kept",
        }
    }
}

/// Facts that a client needs before it downloads the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Displayed width, in pixels.
    pub width: Option<u32>,
    /// Displayed height, in pixels.
    pub height: Option<u32>,
    /// Duration of audio, a video or an animation.
    pub duration_ms: Option<u64>,
    /// Whether an image has more than one frame.
    pub animated: bool,
    /// The kind, if it differs from that of the format: audio alone in a video container.
    pub kind: Option<Kind>,
}

impl Facts {
    /// Sets the dimensions, if they are known; a rotation by 90° swaps width and height.
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

    /// Sets a duration in units of which a second has `per_second`.
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
    /// Dimensions, duration and kind.
    pub facts: Facts,
    /// Only meaningful if metadata was searched.
    pub geo: Geo,
}

/// Walks through one file, chunk by chunk.
pub(super) struct Walker {
    feed: Arc<Mutex<Feed>>,
    /// `None` once it has finished.
    walk: Option<Pin<Box<dyn Future<Output = Report> + Send>>>,
    report: Report,
}

impl Walker {
    /// Walks through a file of this format; `None` for a format without facts.
    pub(super) fn new(format: Format, strip: Strip) -> Option<Self> {
        let feed = Arc::default();
        let walk = walk(format, Input::new(Arc::clone(&feed), strip));
        (format.media("").kind != Kind::Document).then(|| Self {
            feed,
            walk: Some(Box::pin(walk)),
            report: Report::default(),
        })
    }

    /// Takes the next chunk. Edits are in this chunk, or in the [`REACH`] bytes before it.
    pub(super) fn see(&mut self, chunk: &Bytes, edits: &mut Vec<Edit>) {
        if self.walk.is_some() && !chunk.is_empty() {
            input::lock(&self.feed).next = Some(chunk.clone());
            self.go_on(edits);
        }
    }

    /// Returns how many of the next bytes may be skipped; `None` if the walk has finished.
    pub(super) fn skips(&self) -> Option<u64> {
        let walk = self.walk.as_ref();
        walk.map(|_| input::lock(&self.feed).skipping)
    }

    /// Skips bytes, at most as many as [`Walker::skips`] allows.
    pub(super) fn leave_out(&mut self, bytes: u64, edits: &mut Vec<Edit>) {
        input::lock(&self.feed).leave_out(bytes);
        self.go_on(edits);
    }

    /// Finishes after the last chunk.
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
