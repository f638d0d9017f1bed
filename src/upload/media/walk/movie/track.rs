//! One track of a movie, in `moov` or in a fragment: its dimensions and duration.

use super::{
    super::{
        super::field::{be16, be32, be64, fourcc},
        Facts, Strip,
        input::{Input, Stop, Walked},
        words,
    },
    Header, MAX_TRACKS, Movie, metadata, number, times,
};

#[derive(Debug, Default)]
pub(super) struct Track {
    id: u32,
    pub(super) is_enabled: bool,
    pub(super) handler: [u8; 4],
    /// Displayed size before rotation, as 16.16 fixed-point numbers.
    width: u32,
    height: u32,
    is_rotated: bool,
    /// Format of the samples, and their coded size.
    coding: [u8; 4],
    coded: (u16, u16),
    /// Units per second of the fields below.
    pub(super) timescale: u32,
    pub(super) samples: u64,
    pub(super) samples_duration: u64,
    pub(super) fragments_end: u64,
    /// Duration of the edit list, in the units of the movie.
    pub(super) edited_duration: u64,
    is_telemetry: bool,
}

impl Track {
    /// Returns whether its samples are still images.
    pub(super) fn is_still(&self) -> bool {
        matches!(&self.coding, b"jpeg" | b"png ")
    }

    pub(super) fn area(&self) -> u64 {
        let (width, height) = self.sides();
        u64::from(width) * u64::from(height)
    }

    pub(super) fn set_size(&self, facts: &mut Facts) {
        facts.set_size(Some(self.sides()), self.is_rotated);
    }

    fn sides(&self) -> (u32, u32) {
        let rounded = |side: u32| (side >> 16) + (side >> 15 & 1);
        match (rounded(self.width), rounded(self.height)) {
            (0, _) | (_, 0) => (self.coded.0.into(), self.coded.1.into()),
            sides => sides,
        }
    }
}

/// Walks through `trak`.
pub(super) async fn walk(input: &mut Input, movie: &mut Movie, trak: Header) -> Walked {
    let mut track = Track::default();
    let walked = boxes(input, movie, &mut track).await;
    if track.is_telemetry && input.strip() >= Strip::Location {
        // Its samples are interleaved with others, and may have passed already.
        metadata::rename(input, trak);
        input.note_kept();
    }
    if movie.tracks.len() < MAX_TRACKS {
        movie.tracks.push(track);
    }
    walked
}

async fn boxes(input: &mut Input, movie: &mut Movie, track: &mut Track) -> Walked {
    let mut last = None;
    while let Some(header) = Header::next(input, movie, &mut last).await? {
        let inside = match &header.kind {
            b"tkhd" => track_header(input, track).await,
            b"edts" => edits(input, movie, track).await,
            b"mdia" => media(input, movie, track).await,
            _ => metadata::walk(input, movie, header).await,
        };
        input.note_outcome(inside);
    }
    Ok(())
}

async fn track_header(input: &mut Input, track: &mut Track) -> Walked {
    const IS_ENABLED: u8 = 1;
    let header = input.take(96).await;
    let (id_at, matrix_at) = match header.first() {
        Some(1) => (20, 52),
        _ => (12, 40),
    };
    let field = |at| be32(&header, at).ok_or(Stop::Malformed);
    track.is_enabled = header.get(3).is_some_and(|flags| flags & IS_ENABLED != 0);
    track.id = field(id_at)?;
    // Rotated by 90°: x depends on y alone.
    let [a, b, d] = [
        field(matrix_at)?,
        field(matrix_at + 4)?,
        field(matrix_at + 16)?,
    ];
    track.is_rotated = a == 0 && d == 0 && b != 0;
    track.width = field(matrix_at + 36)?;
    track.height = field(matrix_at + 40)?;
    Ok(())
}

async fn edits(input: &mut Input, movie: &mut Movie, track: &mut Track) -> Walked {
    let mut last = None;
    while let Some(header) = Header::next(input, movie, &mut last).await? {
        if &header.kind == b"elst" {
            let list = input.array::<8>().await?;
            let count = be32(&list, 4).unwrap_or_default();
            let mut sum = 0_u64;
            if list[0] == 1 {
                let add = |edit: &[u8; 20]| {
                    sum = sum.saturating_add(be64(edit, 0).unwrap_or_default());
                };
                entries(input, count, add).await?;
            } else {
                let add = |edit: &[u8; 12]| {
                    sum = sum.saturating_add(be32(edit, 0).unwrap_or_default().into());
                };
                entries(input, count, add).await?;
            }
            track.edited_duration = sum;
        }
    }
    Ok(())
}

async fn media(input: &mut Input, movie: &mut Movie, track: &mut Track) -> Walked {
    let mut last = None;
    while let Some(header) = Header::next(input, movie, &mut last).await? {
        match &header.kind {
            b"mdhd" => (track.timescale, _) = times(&input.take(32).await).unwrap_or_default(),
            b"hdlr" => track.handler = fourcc(&input.take(12).await, 8).unwrap_or_default(),
            b"minf" => {
                let inside = media_information(input, movie, track).await;
                input.note_outcome(inside);
            }
            _ => {}
        }
    }
    Ok(())
}

async fn media_information(input: &mut Input, movie: &mut Movie, track: &mut Track) -> Walked {
    let mut last = None;
    while let Some(header) = Header::next(input, movie, &mut last).await? {
        if &header.kind == b"stbl" {
            let inside = samples(input, movie, track).await;
            input.note_outcome(inside);
        }
    }
    Ok(())
}

async fn samples(input: &mut Input, movie: &mut Movie, track: &mut Track) -> Walked {
    let mut last = None;
    while let Some(header) = Header::next(input, movie, &mut last).await? {
        match &header.kind {
            b"stsd" => sample_description(input, track).await,
            b"stts" => {
                let list = input.array::<8>().await?;
                let add = |entry: &[u8; 8]| {
                    let [count, delta] = pair(entry);
                    let duration = u64::from(count) * u64::from(delta);
                    track.samples_duration = track.samples_duration.saturating_add(duration);
                    track.samples = track.samples.saturating_add(count.into());
                };
                // A table that ends early is summed up to its end.
                let count = be32(&list, 4).unwrap_or_default();
                entries(input, count, add).await.or_else(Stop::at_end)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads the first entry of `stsd`.
async fn sample_description(input: &mut Input, track: &mut Track) {
    // The longest content that matters is the keys of timed metadata.
    const LONGEST: usize = 64 * 1024;
    let entry = 8;
    let head = input.take(entry + 36).await;
    track.coding = fourcc(&head, entry + 4).unwrap_or_default();
    if let (Some(width), Some(height)) = (be16(&head, entry + 32), be16(&head, entry + 34)) {
        track.coded = (width, height);
    }
    track.is_telemetry = match &track.coding {
        b"gpmd" | b"djmd" | b"dbgi" | b"camm" | b"rtmd" | b"CTMD" | b"marl" => true,
        // Apple's keys have names, mostly for faces and the orientation of the phone.
        b"mebx" => {
            let keys = input.take(LONGEST).await;
            words::has_location(&[&head[..], &keys[..]].concat())
        }
        _ => false,
    };
}

/// Walks through `traf`.
pub(super) async fn fragment(input: &mut Input, movie: &mut Movie) -> Walked {
    let mut run = Run::default();
    let mut last = None;
    while let Some(header) = Header::next(input, movie, &mut last).await? {
        match &header.kind {
            b"tfhd" => run.begin(&input.take(32).await, movie),
            b"tfdt" => run.start = number(&input.take(12).await, 0, 4),
            b"trun" => run.add(input).await.or_else(Stop::at_end)?,
            _ => {}
        }
    }
    if let Some(track) = movie.tracks.iter_mut().find(|track| track.id == run.track) {
        let start = run.start.unwrap_or(track.fragments_end);
        let end = start.saturating_add(run.duration);
        track.fragments_end = track.fragments_end.max(end);
    }
    Ok(())
}

/// The samples of one track in one fragment.
#[derive(Debug, Default)]
struct Run {
    track: u32,
    default_duration: u32,
    start: Option<u64>,
    duration: u64,
}

impl Run {
    fn begin(&mut self, tfhd: &[u8], movie: &Movie) {
        const HAS_DURATION: u32 = 0x08;
        let (Some(flags), Some(track)) = (be32(tfhd, 0), be32(tfhd, 4)) else {
            return;
        };
        // The fields before it are optional.
        let before = [(0x01, 8), (0x02, 4)];
        let skipped = before.iter().filter(|(flag, _)| flags & flag != 0);
        let at = 8 + skipped.map(|(_, bytes)| bytes).sum::<usize>();
        let own = be32(tfhd, at).filter(|_| flags & HAS_DURATION != 0);
        let track_default = || movie.defaults.iter().find(|(id, _)| *id == track);
        self.track = track;
        self.default_duration = own
            .or_else(|| track_default().map(|(_, duration)| *duration))
            .unwrap_or_default();
    }

    async fn add(&mut self, input: &mut Input) -> Walked {
        const HAS_DURATIONS: u32 = 0x100;
        let head = input.array::<8>().await?;
        let [flags, count] = pair(&head);
        let before = [0x01, 0x04]
            .iter()
            .filter(|flag| flags & **flag != 0)
            .count();
        input.skip(4 * before as u64).await?;
        if flags & HAS_DURATIONS == 0 {
            let duration = u64::from(count) * u64::from(self.default_duration);
            self.duration = self.duration.saturating_add(duration);
            return Ok(());
        }
        // The duration is the first field of each sample.
        match (flags & 0xE00).count_ones() {
            0 => self.add_each::<4>(input, count).await,
            1 => self.add_each::<8>(input, count).await,
            2 => self.add_each::<12>(input, count).await,
            _ => self.add_each::<16>(input, count).await,
        }
    }

    async fn add_each<const N: usize>(&mut self, input: &mut Input, count: u32) -> Walked {
        let add = |sample: &[u8; N]| {
            let duration = be32(sample, 0).unwrap_or_default();
            self.duration = self.duration.saturating_add(duration.into());
        };
        entries(input, count, add).await
    }
}

fn pair(bytes: &[u8; 8]) -> [u32; 2] {
    [0, 4].map(|at| be32(bytes, at).unwrap_or_default())
}

/// Passes each entry of a table to `add`, the complete ones of a chunk at once.
async fn entries<const N: usize>(
    input: &mut Input,
    count: u32,
    mut add: impl FnMut(&[u8; N]),
) -> Walked {
    let mut left = count as usize;
    while left > 0 {
        input.fill().await?;
        let (whole, _) = input.ready().as_chunks::<N>();
        let whole = whole.get(..left).unwrap_or(whole);
        let passed = whole.len();
        whole.iter().for_each(&mut add);
        if passed == 0 {
            add(&input.array().await?);
            left -= 1;
        }
        input.advance(passed * N);
        left -= passed;
    }
    Ok(())
}
