//! Movies of the ISO base media family (ISO/IEC 14496-12, 3GPP TS 26.244, QuickTime File Format):
//! MP4, M4V, M4A, 3GP and MOV, with `moov` before or after the media, or in fragments.
//!
//! Only small boxes are held; tables are summed up as they pass. A box is removed by renaming it to
//! `free` and zeroing its payload, so that no offset changes.

mod metadata;
mod track;

use self::track::Track;
use super::{
    super::{
        Kind,
        field::{be32, be64, is_plain},
        format::Format,
    },
    Facts,
    input::{Input, Outer, Stop, Walked},
};

/// Most boxes of one file that are examined. A recording of hours in fragments of a second has some
/// 100,000.
const MAX_BOXES: u32 = 1 << 20;
/// Most tracks that are remembered.
const MAX_TRACKS: usize = 128;

/// Walks to the end of the file, or of the entered structure: a photo may be followed by a movie.
pub(super) async fn walk(input: &mut Input, facts: &mut Facts, format: Format) -> Walked {
    let mut movie = Movie::default();
    let walked = boxes(input, &mut movie).await;
    movie.set_facts(facts, format);
    walked
}

/// Walks through the entered `moov` box of an image sequence.
pub(super) async fn sequence(input: &mut Input, facts: &mut Facts) -> Walked {
    let mut movie = Movie::default();
    let walked = moov(input, &mut movie).await;
    facts.animated = movie.tracks.iter().any(|track| track.samples > 1);
    if facts.animated
        && let Some((duration, timescale)) = movie.duration()
    {
        facts.set_duration(duration, timescale.into());
    }
    walked
}

/// State gathered from the boxes seen so far.
#[derive(Debug, Default)]
struct Movie {
    boxes: u32,
    /// Units per second of `duration` and of edit lists.
    timescale: u32,
    duration: u64,
    is_fragmented: bool,
    fragments_duration: u64,
    tracks: Vec<Track>,
    /// Track id and default duration of its samples in fragments.
    defaults: Vec<(u32, u32)>,
}

/// The header of a box; its payload follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: [u8; 4],
    at: u64,
    pub(super) payload: u64,
}

impl Header {
    async fn read(input: &mut Input, movie: &mut Movie) -> Walked<Self> {
        let start = input.array().await?;
        movie.boxes += 1;
        if movie.boxes > MAX_BOXES {
            input.note_kept();
            return Err(Stop::Malformed);
        }
        Self::starting(input, start).await
    }

    /// Reads the rest of a header after its first bytes.
    pub(super) async fn starting(input: &mut Input, start: [u8; 8]) -> Walked<Self> {
        let at = input.position() - 8;
        let [a, b, c, d, kind @ ..] = start;
        let payload = match u32::from_be_bytes([a, b, c, d]) {
            // Up to the end of the file, or the end of a list in QuickTime.
            0 => Some(input.left()),
            1 => u64::from_be_bytes(input.array().await?).checked_sub(16),
            size => u64::from(size).checked_sub(8),
        };
        let payload = payload.ok_or(Stop::Malformed)?;
        Ok(Self { kind, at, payload })
    }

    /// Leaves the `last` child box, and enters the next one, if there is one.
    async fn next(
        input: &mut Input,
        movie: &mut Movie,
        last: &mut Option<Outer>,
    ) -> Walked<Option<Self>> {
        if let Some(last) = last.take() {
            input.leave(last).await?;
        }
        if input.is_at_end().await {
            return Ok(None);
        }
        let header = Self::read(input, movie).await?;
        *last = Some(input.enter(header.payload));
        Ok(Some(header))
    }
}

/// Walks through the top-level boxes.
async fn boxes(input: &mut Input, movie: &mut Movie) -> Walked {
    while !input.is_at_end().await {
        let header = Header::read(input, movie).await?;
        if !is_plain(header.kind) {
            return Err(Stop::Malformed);
        }
        let outer = input.enter(header.payload);
        let inside = match &header.kind {
            b"moov" => moov(input, movie).await,
            b"moof" => fragment(input, movie).await,
            _ => metadata::walk(input, movie, header).await,
        };
        input.note_outcome(inside);
        if input.leave(outer).await.is_err() {
            // A truncated box, or other data appended by a camera.
            if &header.kind != b"mdat" {
                input.note_kept();
            }
            break;
        }
    }
    Ok(())
}

async fn moov(input: &mut Input, movie: &mut Movie) -> Walked {
    let mut last = None;
    while let Some(header) = Header::next(input, movie, &mut last).await? {
        let inside = match &header.kind {
            b"mvhd" => movie_header(input, movie).await,
            b"mvex" => fragments_follow(input, movie).await,
            b"trak" => track::walk(input, movie, header).await,
            _ => metadata::walk(input, movie, header).await,
        };
        input.note_outcome(inside);
    }
    Ok(())
}

async fn movie_header(input: &mut Input, movie: &mut Movie) -> Walked {
    (movie.timescale, movie.duration) = times(&input.take(32).await).ok_or(Stop::Malformed)?;
    Ok(())
}

/// Returns units per second and duration in `mvhd` or `mdhd`; 0 if unknown.
fn times(header: &[u8]) -> Option<(u32, u64)> {
    let timescale_at = if *header.first()? == 1 { 20 } else { 12 };
    Some((
        be32(header, timescale_at)?,
        number(header, 0, timescale_at + 4)?,
    ))
}

/// Reads a number of 64 bits in boxes of version 1, else of 32; 0 for all ones, which means unknown.
fn number(payload: &[u8], version_at: usize, at: usize) -> Option<u64> {
    if *payload.get(version_at)? == 1 {
        return be64(payload, at).map(|number| if number == u64::MAX { 0 } else { number });
    }
    be32(payload, at).map(|number| if number == u32::MAX { 0 } else { number.into() })
}

async fn fragments_follow(input: &mut Input, movie: &mut Movie) -> Walked {
    movie.is_fragmented = true;
    let mut last = None;
    while let Some(header) = Header::next(input, movie, &mut last).await? {
        let payload = match &header.kind {
            b"mehd" | b"trex" => input.take(24).await,
            _ => Default::default(),
        };
        match &header.kind {
            b"mehd" => movie.fragments_duration = number(&payload, 0, 4).unwrap_or_default(),
            b"trex" if movie.defaults.len() < MAX_TRACKS => {
                movie
                    .defaults
                    .extend(be32(&payload, 4).zip(be32(&payload, 12)));
            }
            _ => {}
        }
    }
    Ok(())
}

async fn fragment(input: &mut Input, movie: &mut Movie) -> Walked {
    let mut last = None;
    while let Some(header) = Header::next(input, movie, &mut last).await? {
        if &header.kind == b"traf" {
            let inside = track::fragment(input, movie).await;
            input.note_outcome(inside);
        }
    }
    Ok(())
}

impl Movie {
    fn set_facts(mut self, facts: &mut Facts, format: Format) {
        // Some writers enable no track; players play all of them.
        if self.tracks.iter().any(|track| track.is_enabled) {
            self.tracks.retain(|track| track.is_enabled);
        }
        let is_audio = format.media("").kind == Kind::Audio;
        // An audio book may have a track of chapter images.
        let is_video =
            |track: &&Track| &track.handler == b"vide" && !(is_audio && track.is_still());
        let videos = self.tracks.iter().filter(is_video);
        let largest = videos.max_by_key(|track| track.area());
        let has_audio = self.tracks.iter().any(|track| &track.handler == b"soun");
        match largest {
            Some(video) => {
                video.set_size(facts);
                facts.kind = is_audio.then_some(Kind::Video);
            }
            None if has_audio => facts.kind = (!is_audio).then_some(Kind::Audio),
            None => {}
        }
        if let Some((duration, timescale)) = self.duration() {
            facts.set_duration(duration, timescale.into());
        }
    }

    /// Returns the duration, and its units per second.
    fn duration(&self) -> Option<(u64, u32)> {
        let fragments = || {
            let whole = (self.fragments_duration, self.timescale);
            known(whole).or_else(|| self.longest(|track| track.fragments_end))
        };
        if let Some(found) = self.is_fragmented.then(fragments).flatten() {
            return Some(found);
        }
        let samples = self.longest(|track| track.samples_duration);
        match (known((self.duration, self.timescale)), samples) {
            (Some(movie), Some(samples)) if self.is_edited() || !differ(movie, samples) => {
                Some(movie)
            }
            (movie, samples) => samples.or(movie),
        }
    }

    fn longest(&self, duration: impl Fn(&Track) -> u64) -> Option<(u64, u32)> {
        let durations = self
            .tracks
            .iter()
            .map(|track| (duration(track), track.timescale));
        durations
            .filter_map(known)
            .max_by(|one, other| product(*one, *other).cmp(&product(*other, *one)))
    }

    /// Returns whether an edit list has the duration of the movie: a trimmed video keeps hidden samples.
    fn is_edited(&self) -> bool {
        let edited = |track: &Track| {
            track.edited_duration > 0 && track.edited_duration.abs_diff(self.duration) <= 1
        };
        self.tracks.iter().any(edited)
    }
}

fn known((duration, timescale): (u64, u32)) -> Option<(u64, u32)> {
    (duration > 0 && timescale > 0).then_some((duration, timescale))
}

/// Returns units times the other's units per second, to compare durations.
fn product(one: (u64, u32), other: (u64, u32)) -> u128 {
    u128::from(one.0) * u128::from(other.1)
}

/// Returns whether one duration is less than half of the other.
fn differ(one: (u64, u32), other: (u64, u32)) -> bool {
    let (one, other) = (product(one, other), product(other, one));
    one.min(other) * 2 < one.max(other)
}

#[cfg(test)]
mod tests;
