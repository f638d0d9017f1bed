//! WebM and Matroska (RFC 9559, RFC 8794).
//!
//! Browsers do not know the length of a recording in advance: they write no duration, and a segment
//! and clusters without a size. Then the duration follows from the times of the blocks.

use bytes::Bytes;

use super::{
    super::{
        Kind,
        field::{self, be16},
        format::Format,
        matroska::{EBML, SEGMENT, TRACK_ENTRY, TRACK_TYPE, TRACKS, length},
    },
    Facts, Strip,
    input::{Input, Outer, Stop, Walked},
    words::has_location,
};

/// Most elements of one file that are examined: mostly blocks, some 100 per second.
const MAX_ELEMENTS: u32 = 1 << 22;
/// Most tracks that are remembered.
const MAX_TRACKS: usize = 128;
/// Most bytes of a list of tags, or of attached files, that are searched.
const MAX_LIST: usize = 64 * 1024;

const MAX_ID_LENGTH: u32 = 0x42F2;
const INFO: u32 = 0x1549_A966;
const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
const DURATION: u32 = 0x4489;
const MUXING_APP: u32 = 0x4D80;
const WRITING_APP: u32 = 0x5741;
const TRACK_NUMBER: u32 = 0xD7;
const CODEC: u32 = 0x86;
const DEFAULT_DURATION: u32 = 0x23_E383;
const VIDEO: u32 = 0xE0;
const PIXEL_WIDTH: u32 = 0xB0;
const PIXEL_HEIGHT: u32 = 0xBA;
const CROP_BOTTOM: u32 = 0x54AA;
const CROP_TOP: u32 = 0x54BB;
const CROP_LEFT: u32 = 0x54CC;
const CROP_RIGHT: u32 = 0x54DD;
const DISPLAY_WIDTH: u32 = 0x54B0;
const DISPLAY_HEIGHT: u32 = 0x54BA;
const DISPLAY_UNIT: u32 = 0x54B2;
const PROJECTION: u32 = 0x7670;
const PROJECTION_ROLL: u32 = 0x7675;
const CLUSTER: u32 = 0x1F43_B675;
const CLUSTER_TIME: u32 = 0xE7;
const SIMPLE_BLOCK: u32 = 0xA3;
const BLOCK_GROUP: u32 = 0xA0;
const BLOCK: u32 = 0xA1;
const BLOCK_DURATION: u32 = 0x9B;
const TAGS: u32 = 0x1254_C367;
const TAG_NAME: [u8; 2] = [0x45, 0xA3];
const ATTACHMENTS: u32 = 0x1941_A469;
const CRC: u32 = 0xBF;
const VOID: u8 = 0xEC;

pub(super) async fn walk(input: &mut Input, facts: &mut Facts, format: Format) -> Walked {
    let mut segment = Segment::default();
    let walked = segment.elements(input).await;
    segment.set_facts(facts, format);
    walked
}

/// State gathered from the elements seen so far.
#[derive(Debug, Default)]
struct Segment {
    elements: u32,
    /// Unit of time, in nanoseconds.
    scale: Option<u64>,
    duration: f64,
    tracks: Vec<Track>,
    cluster_time: u64,
    /// End of the last block, in nanoseconds.
    end: u64,
}

#[derive(Debug, Default)]
struct Track {
    number: u64,
    kind: u64,
    is_opus: bool,
    /// Duration of a block, in nanoseconds.
    default_duration: u64,
    pixels: Sides,
    crop: Sides,
    display: Sides,
    display_unit: u64,
    is_rotated: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sides {
    width: u64,
    height: u64,
}

/// The header of an element; its data follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Element {
    id: u32,
    /// `None` if it ends with its parent, or before an element of a higher level.
    size: Option<u64>,
    header_bytes: usize,
}

/// Longest header: an id of four bytes and a size of eight.
const LONGEST_HEADER: usize = 12;

impl Element {
    /// Parses the header at the start of `bytes`; `Ok(None)` if it is incomplete.
    fn parse(bytes: &[u8]) -> Walked<Option<Self>> {
        let Some(id_bytes) = bytes.first().map(|first| length(*first)) else {
            return Ok(None);
        };
        if id_bytes > 4 {
            return Err(Stop::Malformed);
        }
        let Some(size_bytes) = bytes.get(id_bytes).map(|first| length(*first)) else {
            return Ok(None);
        };
        if size_bytes > 8 {
            return Err(Stop::Malformed);
        }
        let header_bytes = id_bytes + size_bytes;
        let Some(size) = bytes.get(id_bytes..header_bytes) else {
            return Ok(None);
        };
        // The length marker is part of an id, but not of a size.
        let mask = (1_u64 << (7 * size_bytes)) - 1;
        let size = field::number(size, 8) & mask;
        Ok(bytes.get(..id_bytes).map(|id| Self {
            id: field::number(id, 8) as u32,
            size: (size != mask).then_some(size),
            header_bytes,
        }))
    }
}

impl Segment {
    async fn next(&mut self, input: &mut Input) -> Walked<Element> {
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(Stop::Malformed);
        }
        input.fill().await?;
        if let Some(element) = Element::parse(input.ready())? {
            input.advance(element.header_bytes);
            return Ok(element);
        }
        let mut header = [0; LONGEST_HEADER];
        for count in 1..=LONGEST_HEADER {
            let [byte] = input.array().await?;
            if let Some(last) = header.get_mut(count - 1) {
                *last = byte;
            }
            if let Some(element) = Element::parse(header.get(..count).unwrap_or_default())? {
                return Ok(element);
            }
        }
        Err(Stop::Malformed)
    }

    /// Enters the next element, which must have a size.
    async fn enter(&mut self, input: &mut Input) -> Walked<(Element, Outer)> {
        let element = self.next(input).await?;
        let size = element.size.ok_or(Stop::Malformed)?;
        Ok((element, input.enter(size)))
    }

    /// Walks through the elements of the file and of the segment. An element without a size ends at the
    /// first id that cannot be its child.
    async fn elements(&mut self, input: &mut Input) -> Walked {
        while !input.is_at_end().await {
            let at = input.position();
            let element = self.next(input).await?;
            match (element.id, element.size) {
                (SEGMENT, _) | (CLUSTER, None) => continue,
                // Clusters are not needed if the duration is known.
                (CLUSTER, Some(size)) if self.duration > 0.0 => {
                    input.skip(size).await?;
                    continue;
                }
                _ => {}
            }
            let outer = input.enter(element.size.ok_or(Stop::Malformed)?);
            let inside = match element.id {
                EBML => self.header(input).await,
                INFO => self.info(input).await,
                TRACKS => self.tracks(input).await,
                CLUSTER => self.blocks(input).await,
                TAGS => list(input, element, at, has_location_tag).await,
                ATTACHMENTS => list(input, element, at, |_| false).await,
                _ => self.block(input, element).await,
            };
            // For example an element without a size inside another: its end is unknown.
            input.note_outcome(inside);
            input.leave(outer).await?;
        }
        Ok(())
    }

    async fn header(&mut self, input: &mut Input) -> Walked {
        while !input.is_at_end().await {
            let (element, outer) = self.enter(input).await?;
            if element.id == MAX_ID_LENGTH && number(input).await? != 4 {
                self.elements = MAX_ELEMENTS;
            }
            input.leave(outer).await?;
        }
        Ok(())
    }

    async fn info(&mut self, input: &mut Input) -> Walked {
        let mut crc = None;
        while !input.is_at_end().await {
            let at = input.position();
            let (element, outer) = self.enter(input).await?;
            match element.id {
                CRC => crc = Some((at, input.take(4).await)),
                TIMESTAMP_SCALE => self.scale = Some(number(input).await?),
                DURATION => self.duration = float(input).await?,
                MUXING_APP | WRITING_APP if input.strip() >= Strip::Device => {
                    input.blank(input.left(), b' ').await?;
                    if let Some((at, sum)) = crc.take() {
                        void_checksum(input, at, &sum);
                    }
                }
                _ => {}
            }
            input.leave(outer).await?;
        }
        Ok(())
    }

    async fn tracks(&mut self, input: &mut Input) -> Walked {
        while !input.is_at_end().await {
            let (element, outer) = self.enter(input).await?;
            if element.id == TRACK_ENTRY && self.tracks.len() < MAX_TRACKS {
                let mut track = Track::default();
                let inside = self.track(input, &mut track).await;
                self.tracks.push(track);
                if inside == Err(Stop::Malformed) {
                    return inside;
                }
            }
            input.leave(outer).await?;
        }
        Ok(())
    }

    async fn track(&mut self, input: &mut Input, track: &mut Track) -> Walked {
        while !input.is_at_end().await {
            let (element, outer) = self.enter(input).await?;
            match element.id {
                TRACK_NUMBER => track.number = number(input).await?,
                TRACK_TYPE => track.kind = number(input).await?,
                CODEC => track.is_opus = &input.take(6).await[..] == b"A_OPUS",
                DEFAULT_DURATION => track.default_duration = number(input).await?,
                VIDEO => self.video(input, track).await?,
                _ => {}
            }
            input.leave(outer).await?;
        }
        Ok(())
    }

    async fn video(&mut self, input: &mut Input, track: &mut Track) -> Walked {
        while !input.is_at_end().await {
            let (element, outer) = self.enter(input).await?;
            match element.id {
                PIXEL_WIDTH => track.pixels.width = number(input).await?,
                PIXEL_HEIGHT => track.pixels.height = number(input).await?,
                CROP_LEFT | CROP_RIGHT => {
                    track.crop.width = track.crop.width.saturating_add(number(input).await?);
                }
                CROP_TOP | CROP_BOTTOM => {
                    track.crop.height = track.crop.height.saturating_add(number(input).await?);
                }
                DISPLAY_WIDTH => track.display.width = number(input).await?,
                DISPLAY_HEIGHT => track.display.height = number(input).await?,
                DISPLAY_UNIT => track.display_unit = number(input).await?,
                PROJECTION => self.projection(input, track).await?,
                _ => {}
            }
            input.leave(outer).await?;
        }
        Ok(())
    }

    async fn projection(&mut self, input: &mut Input, track: &mut Track) -> Walked {
        while !input.is_at_end().await {
            let (element, outer) = self.enter(input).await?;
            if element.id == PROJECTION_ROLL {
                track.is_rotated = float(input).await?.abs().rem_euclid(180.0) == 90.0;
            }
            input.leave(outer).await?;
        }
        Ok(())
    }

    /// Walks through the children of a cluster.
    async fn blocks(&mut self, input: &mut Input) -> Walked {
        while !input.is_at_end().await {
            let (element, outer) = self.enter(input).await?;
            self.block(input, element).await?;
            input.leave(outer).await?;
        }
        Ok(())
    }

    /// Reads a child of a cluster.
    async fn block(&mut self, input: &mut Input, element: Element) -> Walked {
        match element.id {
            CLUSTER_TIME => self.cluster_time = number(input).await?,
            SIMPLE_BLOCK => self.time(&input.take(BLOCK_HEAD).await, None),
            BLOCK_GROUP => self.group(input).await?,
            _ => {}
        }
        Ok(())
    }

    async fn group(&mut self, input: &mut Input) -> Walked {
        let mut block = Bytes::new();
        let mut duration = None;
        while !input.is_at_end().await {
            let (element, outer) = self.enter(input).await?;
            match element.id {
                BLOCK => block = input.take(BLOCK_HEAD).await,
                BLOCK_DURATION => duration = Some(number(input).await?),
                _ => {}
            }
            input.leave(outer).await?;
        }
        self.time(&block, duration);
        Ok(())
    }

    /// Updates the end by a block: its first bytes, and its duration in units of time.
    fn time(&mut self, block: &[u8], duration: Option<u64>) {
        let Some(number_bytes) = block.first().map(|first| length(*first)) else {
            return;
        };
        let (Some(number), Some(time)) = (block.get(..number_bytes), be16(block, number_bytes))
        else {
            return;
        };
        let number = field::number(number, 8) & !(1 << (7 * number_bytes));
        let scale = self.scale();
        let start = self
            .cluster_time
            .saturating_add_signed(i64::from(time.cast_signed()));
        let start = start.saturating_mul(scale);
        let own = duration.map(|duration| duration.saturating_mul(scale));
        let track = self.tracks.iter().find(|track| track.number == number);
        let track_default = |track: &Track| {
            if track.default_duration > 0 || !track.is_opus {
                track.default_duration
            } else {
                opus_duration(block.get(number_bytes + 3..).unwrap_or_default())
            }
        };
        let duration = own.or_else(|| track.map(track_default)).unwrap_or_default();
        self.end = self.end.max(start.saturating_add(duration));
    }

    fn scale(&self) -> u64 {
        self.scale.unwrap_or(1_000_000)
    }

    fn set_facts(self, facts: &mut Facts, format: Format) {
        const VIDEO_TRACK: u64 = 1;
        const AUDIO_TRACK: u64 = 2;
        const A_SECOND: u64 = 1_000_000_000;
        let videos = self.tracks.iter().filter(|track| track.kind == VIDEO_TRACK);
        let largest = videos.max_by_key(|track| track.sides().area());
        if let Some(video) = largest {
            let Sides { width, height } = video.sides();
            let [width, height] = [width, height].map(|side| u32::try_from(side).ok());
            facts.set_size(width.zip(height), video.is_rotated);
        } else if self.tracks.iter().any(|track| track.kind == AUDIO_TRACK) {
            let is_known = format.media("").kind == Kind::Audio;
            facts.kind = (!is_known).then_some(Kind::Audio);
        }
        // The cast saturates; the largest number is no plausible duration.
        let told = (self.duration * self.scale() as f64) as u64;
        facts.set_duration(if told > 0 { told } else { self.end }, A_SECOND);
    }
}

impl Track {
    /// Returns the displayed size before rotation.
    fn sides(&self) -> Sides {
        const PIXELS: u64 = 0;
        const UNKNOWN: u64 = 4;
        let shown = Sides {
            width: self.pixels.width.saturating_sub(self.crop.width),
            height: self.pixels.height.saturating_sub(self.crop.height),
        };
        let display = self.display;
        match self.display_unit {
            _ if display.area() == 0 => shown,
            PIXELS => display,
            UNKNOWN => shown,
            // Centimetres, inches, or an aspect ratio.
            _ => Sides {
                width: shown
                    .height
                    .saturating_mul(display.width)
                    .saturating_add(display.height / 2)
                    / display.height.max(1),
                ..shown
            },
        }
    }
}

impl Sides {
    fn area(self) -> u64 {
        self.width.saturating_mul(self.height)
    }
}

/// Bytes of a block with its track, its time and the duration of an Opus packet.
const BLOCK_HEAD: usize = 8 + 2 + 1 + 2;

/// Returns the duration of an Opus packet (RFC 6716, 3.1 and 3.2), in nanoseconds.
fn opus_duration(packet: &[u8]) -> u64 {
    let Some(first) = packet.first() else {
        return 0;
    };
    let config = first >> 3;
    let size = usize::from(config & 3);
    let microseconds = match config {
        0..12 => [10_000, 20_000, 40_000, 60_000].get(size),
        12..16 => [10_000, 20_000].get(size & 1),
        _ => [2_500, 5_000, 10_000, 20_000].get(size),
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(0, |second| second & 63),
    };
    microseconds.map_or(0, |frame| frame * 1000 * u64::from(frames))
}

/// Reads the data of the entered element as an unsigned number.
async fn number(input: &mut Input) -> Walked<u64> {
    if input.left() > 8 {
        return Err(Stop::Malformed);
    }
    Ok(field::number(&input.take(8).await, 8))
}

/// Reads the data of the entered element as a float.
async fn float(input: &mut Input) -> Walked<f64> {
    let data = input.take(9).await;
    let number = match (data.first_chunk(), data.first_chunk()) {
        (_, Some(eight)) if data.len() == 8 => f64::from_be_bytes(*eight),
        (Some(four), _) if data.len() == 4 => f32::from_be_bytes(*four).into(),
        _ => 0.0,
    };
    Ok(number)
}

/// Turns a list of tags or of attached files into empty space if it has metadata to remove.
async fn list(
    input: &mut Input,
    element: Element,
    at: u64,
    has_location: fn(&[u8]) -> bool,
) -> Walked {
    if input.strip() == Strip::Off {
        return Ok(());
    }
    let data_at = input.position();
    let start = input.take(MAX_LIST).await;
    if input.strip() < Strip::Device && !has_location(&start) {
        // A photo may be attached, or the list may be longer.
        if !input.is_at_end().await || memchr::memmem::find(&start, b"image/jpeg").is_some() {
            input.note_kept();
        }
        return Ok(());
    }
    let mut header = element.id.to_be_bytes().to_vec();
    header.extend(encoded(
        element.size.unwrap_or_default(),
        element.header_bytes.saturating_sub(header.len()),
    ));
    input.replace(at, &header, void(element).into());
    input.replace(data_at, &start, vec![0; start.len()].into());
    input.blank(input.left(), 0).await
}

/// Returns whether a list has a tag whose name indicates a location.
fn has_location_tag(tags: &[u8]) -> bool {
    const LONGEST: usize = 256;
    let name = |at: usize| {
        let element = Element::parse(tags.get(at..)?).ok()??;
        let size = usize::try_from(element.size?).ok()?.min(LONGEST);
        let starts = at + element.header_bytes;
        tags.get(starts..starts + size)
    };
    memchr::memmem::find_iter(tags, &TAG_NAME)
        .filter_map(name)
        .any(has_location)
}

/// Returns a header of empty space to replace another one: a size of up to eight bytes; spare bytes count
/// as data.
fn void(element: Element) -> Vec<u8> {
    let size_bytes = element.header_bytes.saturating_sub(1).min(8);
    let spare = element.header_bytes.saturating_sub(1 + size_bytes);
    let size = element
        .size
        .unwrap_or_default()
        .saturating_add(spare as u64);
    let mut header = vec![VOID];
    header.extend(encoded(size, size_bytes));
    header.resize(element.header_bytes, 0);
    header
}

/// Encodes a size in `bytes` bytes, up to eight.
fn encoded(size: u64, bytes: usize) -> impl Iterator<Item = u8> {
    let marked = 1_u64 << (7 * bytes) | size;
    marked.to_be_bytes().into_iter().skip(8 - bytes)
}

/// Turns the checksum of a changed list into empty space.
fn void_checksum(input: &mut Input, at: u64, sum: &[u8]) {
    const SUM_BYTES: u8 = 0x84;
    let before = [&[CRC as u8, SUM_BYTES], sum].concat();
    let mut after = vec![0; before.len()];
    after.splice(..2, [VOID, SUM_BYTES]);
    input.replace(at, &before, after.into());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{
        Geo,
        tests::{
            Passed, cases, changed, finds, image, pass, pass_in_any_chunks, passed_twice, sample,
            unchanged,
        },
    };
    use super::*;

    fn id(id: u32) -> Vec<u8> {
        let bytes = id.to_be_bytes().into_iter();
        bytes.skip_while(|byte| *byte == 0).collect()
    }

    fn element(id_: u32, data: &[&[u8]]) -> Vec<u8> {
        let data = data.concat();
        let size: Vec<u8> = encoded(data.len() as u64, 3).collect();
        [id(id_), size, data].concat()
    }

    fn endless(id_: u32, data: &[&[u8]]) -> Vec<u8> {
        let size = b"\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF".to_vec();
        [id(id_), size, data.concat()].concat()
    }

    fn number(id: u32, value: u32) -> Vec<u8> {
        element(id, &[&value.to_be_bytes()])
    }

    fn float(id: u32, value: f32) -> Vec<u8> {
        element(id, &[&value.to_be_bytes()])
    }

    /// A track whose number equals its type.
    fn track(kind: u32, more: &[&[u8]]) -> Vec<u8> {
        let start = [number(TRACK_NUMBER, kind), number(TRACK_TYPE, kind)].concat();
        element(TRACK_ENTRY, &[&start, &more.concat()])
    }

    fn video(more: &[u8]) -> Vec<u8> {
        let sides = [number(PIXEL_WIDTH, 64), number(PIXEL_HEIGHT, 48)].concat();
        let track = track(1, &[&element(VIDEO, &[&sides, more])]);
        element(TRACKS, &[&track])
    }

    fn audio(codec: &[u8], more: &[u8]) -> Vec<u8> {
        element(TRACKS, &[&track(2, &[&element(CODEC, &[codec]), more])])
    }

    fn block(track: u8, time: i16, packet: &[u8]) -> Vec<u8> {
        let data: [&[u8]; 4] = [&[0x80 | track], &time.to_be_bytes(), &[0], packet];
        element(SIMPLE_BLOCK, &data)
    }

    fn file(segment: &[&[u8]]) -> Vec<u8> {
        let [longest, webm] = [number(MAX_ID_LENGTH, 4), element(0x4282, &[b"webm"])];
        [element(EBML, &[&longest, &webm]), endless(SEGMENT, segment)].concat()
    }

    fn facts_of(format: Format, file: &[u8]) -> Facts {
        unchanged(format, Strip::Location, file)
    }

    #[test]
    fn facts_of_real_files_are_those_that_ffprobe_finds() {
        let video = Facts {
            duration_ms: Some(600),
            ..image(64, 48)
        };
        let [audio, told] = [None, Some(Kind::Audio)].map(|kind| Facts {
            duration_ms: Some(308),
            kind,
            ..Facts::default()
        });
        for (format, file, facts) in [
            (Format::Webm, "vp8.webm", video),
            (Format::Mkv, "h264.mkv", video),
            (Format::WebmAudio, "recorder-audio.weba", audio),
            (Format::Webm, "recorder-audio.weba", told),
        ] {
            assert_eq!(facts_of(format, &sample(file)), facts, "{file}");
        }
    }

    #[test]
    fn a_film_is_as_large_as_it_is_shown() {
        let display = |width, height, unit| {
            let sides = [number(DISPLAY_WIDTH, width), number(DISPLAY_HEIGHT, height)];
            [sides.concat(), number(DISPLAY_UNIT, unit)].concat()
        };
        let crop = [(CROP_LEFT, 2), (CROP_RIGHT, 2), (CROP_TOP, 8)];
        let crop = crop.map(|(side, pixels)| number(side, pixels)).concat();
        let roll = |degrees| element(PROJECTION, &[&float(PROJECTION_ROLL, degrees)]);
        for (case, more, expected) in [
            ("pixels", vec![], Some((64, 48))),
            ("another size", display(128, 96, 0), Some((128, 96))),
            ("a ratio", display(16, 9, 3), Some((85, 48))),
            ("an unknown unit", display(16, 9, 4), Some((64, 48))),
            ("no height", display(128, 0, 0), Some((64, 48))),
            ("cropped", crop, Some((60, 40))),
            ("cropped away", number(CROP_LEFT, u32::MAX), None),
            ("turned", roll(90.0), Some((48, 64))),
            ("turned back", roll(-90.0), Some((48, 64))),
            ("upside down", roll(180.0), Some((64, 48))),
            ("turned by nothing", roll(f32::NAN), Some((64, 48))),
        ] {
            let facts = facts_of(Format::Mkv, &file(&[&video(&more)]));
            assert_eq!(facts.width.zip(facts.height), expected, "{case}");
        }
    }

    #[test]
    fn the_blocks_tell_what_the_header_does_not() {
        // 20 ms, 60 ms, and three frames of 10 ms.
        let [short, long, three] = [b"\x08..", b"\x18..", b"\x03\x03."];
        let told = |milliseconds| element(INFO, &[&float(DURATION, milliseconds)]);
        let units = number(TIMESTAMP_SCALE, 1000);
        let in_microseconds = element(INFO, &[&units, &float(DURATION, 5e6)]);
        let opus = &audio(b"A_OPUS", b"")[..];
        let vorbis = audio(b"A_VORBIS", &number(DEFAULT_DURATION, 25_000_000));
        let own = element(BLOCK, &[b"\x82\x00\x05\x00", short]);
        let group = element(BLOCK_GROUP, &[&own, &number(BLOCK_DURATION, 33)]);
        let time = |time| number(CLUSTER_TIME, time);
        let cluster = |begins, block: &[u8]| endless(CLUSTER, &[&time(begins), block]);
        let at_100 = |block: &[u8]| cluster(100, block);
        let packet = block(2, 0, short);
        let early = &cluster(9, &packet);
        let [first, second] = [0, 500].map(|at| element(CLUSTER, &[&time(at), &packet]));
        let falling = [500, 0].map(|at| cluster(at, &packet)).concat();
        let latest = element(CLUSTER_TIME, &[&[0xFF; 8]]);
        let latest = element(CLUSTER, &[&latest, &packet]);
        for (case, segment, expected) in [
            ("told", &[&told(5000.0)[..], opus, early][..], Some(5000)),
            ("in other units", &[&in_microseconds, opus], Some(5000)),
            ("zero", &[&told(0.0), opus, early], Some(29)),
            ("no number", &[&told(f32::NAN), opus, early], Some(29)),
            ("infinite", &[&told(f32::INFINITY), opus], None),
            ("below zero", &[&told(-5.0), opus, early], Some(29)),
            ("longer", &[opus, &at_100(&block(2, 7, long))], Some(167)),
            ("three", &[opus, &at_100(&block(2, -7, three))], Some(123)),
            ("its own duration", &[opus, &at_100(&group)], Some(138)),
            ("the track's", &[&vorbis, &at_100(&packet)], Some(125)),
            ("no track", &[opus, &at_100(&block(9, 0, long))], Some(100)),
            ("clusters of a size", &[opus, &first, &second], Some(520)),
            ("the last is not the latest", &[opus, &falling], Some(520)),
            ("none", &[opus], None),
            ("last", &[opus, &latest], None),
        ] {
            let facts = facts_of(Format::WebmAudio, &file(segment));
            assert_eq!(facts.duration_ms, expected, "{case}");
        }
    }

    #[test]
    fn elements_that_lie_cost_nothing() {
        let tracks = &video(b"");
        let after = |start: &[u8]| file(&[start, tracks]);
        let long_ids = element(EBML, &[&number(MAX_ID_LENGTH, 8)]);
        let long_number = element(TRACK_ENTRY, &[&element(TRACK_NUMBER, &[&[1; 9]])]);
        let long_number = element(TRACKS, &[&long_number]);
        let large = after(b"\xEC\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFE");
        let long_child = element(INFO, &[b"\x44\x89\x1F\xFF"]);
        let twice = endless(SEGMENT, &[&endless(SEGMENT, &[tracks])]);
        for (case, file, expected) in [
            ("2^56 bytes", large, None),
            ("no size", after(b"\xEC\xFF"), None),
            ("no id", after(b"\0\0\0\0"), None),
            ("ids of eight bytes", [&long_ids[..], tracks].concat(), None),
            ("nine bytes", after(&long_number), Some(64)),
            ("a child past its parent", after(&long_child), Some(64)),
            ("segments in segments", twice, Some(64)),
        ] {
            let report = pass_in_any_chunks(Format::Webm, Strip::Location, &file).report;
            assert_eq!(report.facts.width, expected, "{case}");
        }
        let many = after(&b"\xEC\x80".repeat(MAX_ELEMENTS as usize));
        let report = pass(Format::Webm, Strip::Location, &many, 1 << 16).report;
        assert_eq!((report.facts, report.geo), (Facts::default(), Geo::Kept));
    }

    const PLACE: &[u8] = b"+27.2939+112.6932/";

    fn tag(name: &[u8], value: &[u8]) -> Vec<u8> {
        let (name, value) = (element(0x45A3, &[name]), element(0x4487, &[value]));
        let simple = element(0x67C8, &[&name, &value]);
        element(TAGS, &[&element(0x7373, &[&simple])])
    }

    #[test]
    fn tags_with_a_place_become_empty_space() {
        let title = tag(b"TITLE", b"where the location is");
        for name in [
            b"LOCATION".as_slice(),
            b"RECORDING_LOCATION",
            b"com.apple.quicktime.location.ISO6709",
        ] {
            for strip in [Strip::Location, Strip::Device] {
                let before = file(&[&video(b""), &title, &tag(name, PLACE)]);
                let Passed { report, bytes } = pass_in_any_chunks(Format::Mkv, strip, &before);
                assert_eq!(report.geo, Geo::Removed);
                let facts = pass(Format::Mkv, Strip::Off, &before, 99).report.facts;
                assert_eq!(report.facts, facts);
                assert!(!finds(&bytes, PLACE) && !finds(&bytes, name));
                assert_eq!(finds(&bytes, b"TITLE"), strip == Strip::Location);
                assert!(pass(Format::Mkv, strip, &bytes, 99).bytes == bytes);
            }
        }
    }

    #[test]
    fn empty_space_is_as_long_as_what_it_replaces() {
        for size_bytes in 1..=8 {
            let header_bytes = 4 + size_bytes;
            let old = Element {
                id: TAGS,
                size: Some(100),
                header_bytes,
            };
            let header = void(old);
            assert_eq!(header.len(), header_bytes);
            let new = Element::parse(&header).expect("valid").expect("whole");
            assert_eq!(new.id, u32::from(VOID));
            let end = new.header_bytes as u64 + new.size.expect("a size");
            assert_eq!(end, header_bytes as u64 + 100);
        }
    }

    #[test]
    fn a_programs_name_goes_with_the_device() {
        let crc = element(CRC, &[b"\x11\x22\x33\x44"]);
        let duration = float(DURATION, 5000.0);
        let [muxer, writer] = [(MUXING_APP, "Lavf59"), (WRITING_APP, "Recorder 3")]
            .map(|(id, name)| element(id, &[name.as_bytes()]));
        let before = file(&[&element(INFO, &[&crc, &duration, &muxer, &writer])]);
        assert_eq!(facts_of(Format::Mkv, &before).duration_ms, Some(5000));
        let passed = pass_in_any_chunks(Format::Mkv, Strip::Device, &before);
        assert_eq!(passed.report.facts.duration_ms, Some(5000));
        for gone in [b"Lavf59".as_slice(), b"Recorder", b"\x11\x22\x33\x44"] {
            assert!(!finds(&passed.bytes, gone));
        }
    }

    #[test]
    fn an_attached_photo_is_said_to_be_kept() {
        let photo = element(ATTACHMENTS, &[b"image/jpeg \xFF\xD8\xFF\xE1 Exif"]);
        let font = element(ATTACHMENTS, &[b"font/ttf"]);
        for (attached, geo) in [(photo, Geo::Kept), (font, Geo::None)] {
            let before = file(&[&attached]);
            let passed = pass_in_any_chunks(Format::Mkv, Strip::Location, &before);
            assert_eq!(passed.report.geo, geo);
            assert!(passed.bytes == before);
        }
    }

    fn hostile() -> impl Strategy<Value = (Format, Vec<u8>)> {
        let blocks = [block(2, 9, b"\x08"), block(1, 9, b"x")].concat();
        let made = file(&[
            &video(b""),
            &audio(b"A_OPUS", b""),
            &tag(b"LOCATION", PLACE),
            &endless(CLUSTER, &[&number(CLUSTER_TIME, 7), &blocks]),
            &tag(b"TITLE", b"x"),
        ]);
        let files = [made, sample("recorder-audio.weba")];
        changed(files.map(|file| (Format::Webm, file)).to_vec(), usize::MAX)
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn any_bytes_in_any_chunks_keep_their_length_and_facts(
            (format, file) in hostile(), size in 1..400_usize,
        ) {
            let (whole, again) = passed_twice(format, Strip::Location, &file, size);
            prop_assert_eq!(again.report.facts, whole.report.facts);
        }
    }
}
