//! WAV, RF64 for larger files (EBU Tech 3306), and AVI: chunks of a name, a size and data, padded to an
//! even length.

use bytes::Bytes;

use super::{
    super::{
        Kind,
        field::{le16, le32, le64},
    },
    Facts, MAX_ELEMENTS, Strip,
    input::{Input, Stop, Walked},
    words,
};

/// `RIFF`, its size and the form.
const HEADER: u64 = 12;

/// The header of a chunk; its data follows.
struct Chunk {
    name: [u8; 4],
    at: u64,
    size: u32,
}

impl Chunk {
    async fn read(input: &mut Input) -> Walked<Self> {
        let at = input.position();
        let [a, b, c, d, size @ ..] = input.array::<8>().await?;
        Ok(Self {
            name: [a, b, c, d],
            at,
            size: u32::from_le_bytes(size),
        })
    }

    fn padded(&self) -> u64 {
        u64::from(self.size) + u64::from(self.size & 1)
    }
}

pub(super) async fn wav(input: &mut Input, facts: &mut Facts) -> Walked {
    let mut audio = Audio::default();
    let walked = audio.chunks(input).await;
    audio.set_facts(facts);
    walked
}

#[derive(Debug, Default)]
struct Audio {
    format: u16,
    samples_per_second: u32,
    bytes_per_second: u32,
    /// Size in `ds64`, used if 32 bits are not enough.
    large_size: Option<u64>,
    bytes: u64,
    /// Number of samples in `fact`.
    samples: u32,
}

impl Audio {
    async fn chunks(&mut self, input: &mut Input) -> Walked {
        input.skip(HEADER).await?;
        for _ in 0..MAX_ELEMENTS {
            let chunk = Chunk::read(input).await?;
            if &chunk.name == b"data" {
                self.data(input, &chunk).await?;
                continue;
            }
            let outer = input.enter(chunk.padded());
            match &chunk.name {
                b"ds64" => self.large_size = le64(&input.take(28).await, 8),
                b"fmt " => {
                    let format = input.take(16).await;
                    self.format = le16(&format, 0).unwrap_or_default();
                    self.samples_per_second = le32(&format, 4).unwrap_or_default();
                    self.bytes_per_second = le32(&format, 8).unwrap_or_default();
                }
                b"fact" => self.samples = le32(&input.take(4).await, 0).unwrap_or_default(),
                b"bext" | b"iXML" | b"LIST" | b"id3 " | b"_PMX" => clean(input, &chunk).await?,
                _ => {}
            }
            input.leave(outer).await?;
        }
        Err(Stop::Malformed)
    }

    /// Skips the samples. Interrupted recorders, and those that write to a pipe, leave no size.
    async fn data(&mut self, input: &mut Input, chunk: &Chunk) -> Walked {
        const UNKNOWN: u32 = u32::MAX;
        let size = match (chunk.size, self.large_size) {
            (UNKNOWN, Some(size)) => size,
            (0 | UNKNOWN, _) => u64::MAX,
            (size, _) => size.into(),
        };
        let start = input.position();
        let passed = input.skip(size).await;
        self.bytes = self.bytes.saturating_add(input.position() - start);
        passed?;
        input.skip(size & 1).await
    }

    fn set_facts(&self, facts: &mut Facts) {
        const PCM: u16 = 1;
        const FLOAT: u16 = 3;
        const EXTENSIBLE: u16 = 0xFFFE;
        // For compressed audio, bytes per second are an average.
        let is_compressed = !matches!(self.format, PCM | FLOAT | EXTENSIBLE);
        if is_compressed && self.samples > 0 {
            facts.set_duration(self.samples.into(), self.samples_per_second.into());
        } else {
            facts.set_duration(self.bytes, self.bytes_per_second.into());
        }
    }
}

pub(super) async fn avi(input: &mut Input, facts: &mut Facts) -> Walked {
    let mut video = Video::default();
    let walked = video.chunks(input).await;
    video.set_facts(facts);
    walked
}

#[derive(Debug, Default)]
struct Video {
    width: u32,
    height: u32,
    microseconds_per_frame: u32,
    frames: u32,
    /// Frames in all RIFF chunks of an OpenDML file.
    all_frames: u32,
    /// Length, scale and rate of the first video stream.
    video: Option<[u32; 3]>,
    /// Length, scale and rate of the first audio stream.
    audio: Option<[u32; 3]>,
    is_video: bool,
}

impl Video {
    async fn chunks(&mut self, input: &mut Input) -> Walked {
        input.skip(HEADER).await?;
        for _ in 0..MAX_ELEMENTS {
            let chunk = Chunk::read(input).await?;
            // OpenDML starts another RIFF chunk every gigabyte.
            if &chunk.name == b"RIFF" {
                input.skip(4).await?;
                continue;
            }
            let outer = input.enter(chunk.padded());
            if &chunk.name == b"LIST" {
                self.list(input, &chunk).await?;
            }
            input.leave(outer).await?;
        }
        Err(Stop::Malformed)
    }

    async fn list(&mut self, input: &mut Input, list: &Chunk) -> Walked {
        match &input.array::<4>().await? {
            b"hdrl" => self.headers(input).await.or_else(Stop::at_end),
            b"INFO" | b"exif" => clean(input, list).await,
            _ => Ok(()),
        }
    }

    async fn headers(&mut self, input: &mut Input) -> Walked {
        for _ in 0..MAX_ELEMENTS {
            let chunk = Chunk::read(input).await?;
            let outer = input.enter(chunk.padded());
            match &chunk.name {
                b"avih" => {
                    let header = input.take(40).await;
                    let field = |at| le32(&header, at).unwrap_or_default();
                    self.microseconds_per_frame = field(0);
                    self.frames = field(16);
                    (self.width, self.height) = (field(32), field(36));
                }
                b"LIST" => self.stream(input).await.or_else(Stop::at_end)?,
                _ => {}
            }
            input.leave(outer).await?;
        }
        Err(Stop::Malformed)
    }

    /// Reads the headers of a stream, or those of OpenDML.
    async fn stream(&mut self, input: &mut Input) -> Walked {
        input.skip(4).await?;
        for _ in 0..MAX_ELEMENTS {
            let chunk = Chunk::read(input).await?;
            let outer = input.enter(chunk.padded());
            match &chunk.name {
                b"strh" => {
                    let header = input.take(36).await;
                    let field = |at| le32(&header, at).unwrap_or_default();
                    self.is_video = header.starts_with(b"vids");
                    let times = [field(32), field(20), field(24)];
                    if self.is_video {
                        self.video.get_or_insert(times);
                    } else if header.starts_with(b"auds") {
                        self.audio.get_or_insert(times);
                    }
                }
                b"strf" if self.is_video => {
                    let format = input.take(12).await;
                    let side = |at| le32(&format, at).map(|side| side.cast_signed().unsigned_abs());
                    if let (true, Some(width), Some(height)) =
                        (self.width == 0 || self.height == 0, side(4), side(8))
                    {
                        (self.width, self.height) = (width, height);
                    }
                }
                b"dmlh" => self.all_frames = le32(&input.take(4).await, 0).unwrap_or_default(),
                b"strd" => clean(input, &chunk).await?,
                _ => {}
            }
            input.leave(outer).await?;
        }
        Err(Stop::Malformed)
    }

    fn set_facts(&self, facts: &mut Facts) {
        const MILLION: u64 = 1_000_000;
        facts.set_size(Some((self.width, self.height)), false);
        let Some([length, scale, rate]) = self.video else {
            if let Some([length, scale, rate]) = self.audio {
                facts.kind = Some(Kind::Audio);
                facts.set_duration(u64::from(length) * u64::from(scale), rate.into());
            }
            return;
        };
        let length = length.max(self.all_frames);
        if length > 0 && scale > 0 && rate > 0 {
            facts.set_duration(u64::from(length) * u64::from(scale), rate.into());
        } else {
            let frames = u64::from(self.frames.max(self.all_frames));
            facts.set_duration(frames * u64::from(self.microseconds_per_frame), MILLION);
        }
    }
}

/// Most bytes of a chunk that are searched.
const MAX_TEXT: usize = 64 * 1024;

/// Turns a chunk with text, or with data of a camera, into empty space if it has metadata to remove.
async fn clean(input: &mut Input, chunk: &Chunk) -> Walked {
    if input.strip() == Strip::Off {
        return Ok(());
    }
    let junk =
        |input: &mut Input| input.replace(chunk.at, &chunk.name, Bytes::from_static(b"JUNK"));
    words::clean(input, MAX_TEXT, 0, junk).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{
        super::format::Format::{self, Avi, Wav},
        Geo, Strip,
        tests::{
            cases, changed, finds, image, pass, pass_in_any_chunks, passed_twice, riff as chunk,
            sample, unchanged,
        },
    };
    use super::*;

    fn list(name: &[u8; 4], chunks: &[&[u8]]) -> Vec<u8> {
        chunk(b"LIST", &[name, &chunks.concat()[..]].concat())
    }

    fn riff(form: &[u8; 4], chunks: &[&[u8]]) -> Vec<u8> {
        chunk(b"RIFF", &[form, &chunks.concat()[..]].concat())
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// 8,000 samples per second, with `bits` bits each.
    fn fmt(format: u32, bits: u32) -> Vec<u8> {
        let sample = (bits << 16) | (bits / 8);
        let numbers = [1 << 16 | format, 8000, 1000 * bits, sample];
        chunk(b"fmt ", &words(&numbers))
    }

    fn facts_of(format: Format, file: &[u8]) -> Facts {
        unchanged(format, Strip::Location, file)
    }

    #[test]
    fn a_wav_is_as_long_as_its_samples_are() {
        const MP3: u32 = 85;
        let pcm = fmt(1, 8);
        let second = chunk(b"data", &[7; 8000]);
        let half = chunk(b"data", &[7; 4001]);
        let other = chunk(b"abcd", b"odd");
        let fact = chunk(b"fact", &words(&[20_000]));
        let ds64 = chunk(b"ds64", &words(&[0, 0, 16_000, 0, 0, 0, 0]));
        let sized = |size: u32| [b"data", &size.to_le_bytes()[..], &[7; 8000]].concat();
        let twice = [sized(u32::MAX), vec![7; 8000]].concat();
        for (case, chunks, expected) in [
            ("8 bits", &[&pcm[..], &second][..], Some(1000)),
            ("16 bits", &[&fmt(1, 16), &second], Some(500)),
            ("a chunk before", &[&other, &pcm, &second], Some(1000)),
            ("of no size", &[&pcm, &sized(0)], Some(1000)),
            ("of unknown size", &[&pcm, &sized(u32::MAX)], Some(1000)),
            ("cut off", &[&pcm, &sized(u32::MAX - 1)], Some(1000)),
            ("RF64", &[&ds64, &pcm, &twice], Some(2000)),
            ("two pieces", &[&pcm, &half, &half], Some(1000)),
            ("compressed", &[&fmt(MP3, 8), &fact, &second], Some(2500)),
            ("no sample count", &[&fmt(MP3, 8), &second], Some(1000)),
            (
                "PCM with a sample count",
                &[&pcm, &fact, &second],
                Some(1000),
            ),
            ("at no rate", &[&fmt(1, 0), &second], None),
            ("no format", &[&second], None),
        ] {
            let facts = facts_of(Wav, &riff(b"WAVE", chunks));
            assert_eq!(facts.duration_ms, expected, "{case}");
        }
        assert_eq!(facts_of(Wav, &sample("pcm.wav")).duration_ms, Some(100));
    }

    /// The header of a file with 25 frames per second.
    fn avih(frames: u32, width: u32, height: u32) -> Vec<u8> {
        let header = [40_000, 0, 0, 0, frames, 0, 0, 0, width, height, 0, 0, 0, 0];
        chunk(b"avih", &words(&header))
    }

    fn stream(kind: &[u8; 4], scale: u32, rate: u32, length: u32) -> Vec<u8> {
        let rest = words(&[0, 0, 0, 0, scale, rate, 0, length, 0, 0, 0, 0, 0]);
        let header = chunk(b"strh", &[kind.as_slice(), &rest].concat());
        let format = chunk(b"strf", &words(&[40, 100, 50_u32.wrapping_neg(), 0]));
        list(b"strl", &[&header, &format])
    }

    #[test]
    fn an_avi_tells_in_its_headers() {
        let movi = list(b"movi", &[&chunk(b"00dc", &[1; 99])]);
        let odml = list(b"odml", &[&chunk(b"dmlh", &words(&[5000]))]);
        let frames = stream(b"vids", 1, 25, 100);
        let audio = stream(b"auds", 1, 8000, 64_000);
        let [no_rate, no_length] =
            [(0, 9), (25, 0)].map(|(rate, len)| stream(b"vids", 1, rate, len));
        let [four, two] = [avih(100, 64, 48), avih(50, 64, 48)];
        let [no_size, nothing] = [avih(100, 0, 0), avih(0, 0, 0)];
        let video = |ms| Facts {
            duration_ms: Some(ms),
            ..image(64, 48)
        };
        let small = Facts {
            duration_ms: Some(4000),
            ..image(100, 50)
        };
        let audio_facts = Facts {
            duration_ms: Some(8000),
            kind: Some(Kind::Audio),
            ..Facts::default()
        };
        for (case, headers, expected) in [
            ("video", &[&four[..], &frames, &audio][..], video(4000)),
            ("audio first", &[&four, &audio, &frames], video(4000)),
            ("upside down", &[&no_size, &frames], small),
            ("no rate", &[&two, &no_rate], video(2000)),
            ("no length", &[&two, &no_length], video(2000)),
            ("OpenDML", &[&two, &frames, &odml], video(200_000)),
            ("audio alone", &[&nothing, &audio], audio_facts),
            ("nothing", &[], Facts::default()),
        ] {
            let facts = facts_of(Avi, &riff(b"AVI ", &[&list(b"hdrl", headers), &movi]));
            assert_eq!(facts, expected, "{case}");
        }
        assert_eq!(facts_of(Avi, &sample("xvid.avi")), video(800));
    }

    #[test]
    fn texts_become_empty_space_when_they_tell_what_shall_go() {
        let place = chunk(b"iXML", b"<LOCATION_GPS>27.2939, 112.6932</LOCATION_GPS>");
        let info = list(b"INFO", &[&chunk(b"ISFT", b"Recorder")]);
        let data = chunk(b"data", b"LIST iXML");
        let wav = riff(b"WAVE", &[&fmt(1, 8), &place, &data, &info]);
        let camera = chunk(b"strd", b"AVIF\0\0\0\0 GPSLatitude 27.2939");
        let strl = list(b"strl", &[&camera]);
        let avi = riff(b"AVI ", &[&list(b"hdrl", &[&avih(9, 8, 8), &strl]), &info]);
        for (format, file) in [(Wav, &wav), (Avi, &avi)] {
            for strip in [Strip::Location, Strip::Device] {
                let passed = pass_in_any_chunks(format, strip, file);
                assert_eq!(passed.report.geo, Geo::Removed);
                assert_eq!(passed.bytes.len(), file.len());
                assert!(!finds(&passed.bytes, b"27.2939"));
                let is_kept = finds(&passed.bytes, b"Recorder");
                assert_eq!(is_kept, strip == Strip::Location);
                assert_eq!(finds(&passed.bytes, &data), format == Wav);
                let again = pass(format, strip, &passed.bytes, 99);
                assert!(again.bytes == passed.bytes);
                assert_eq!(again.report.facts, passed.report.facts);
            }
        }
    }

    #[test]
    fn many_chunks_end_the_walk() {
        let many = chunk(b"abcd", b"").repeat(MAX_ELEMENTS as usize);
        let file = riff(b"WAVE", &[&fmt(1, 8), &many, &chunk(b"data", &[1; 8000])]);
        for format in [Wav, Avi] {
            let report = pass(format, Strip::Location, &file, 1 << 16).report;
            assert_eq!((report.facts, report.geo), (Facts::default(), Geo::Kept));
        }
    }

    fn hostile() -> impl Strategy<Value = (Format, Vec<u8>)> {
        let (text, data) = (chunk(b"iXML", b"gps"), chunk(b"data", &[1; 99]));
        let wav = riff(b"WAVE", &[&fmt(1, 8), &text, &data]);
        let avi = sample("xvid.avi")[..2000].to_vec();
        changed(vec![(Wav, wav), (Avi, avi)], 200)
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn any_bytes_in_any_chunks_keep_their_length_and_facts(
            (format, file) in hostile(), size in 1..400_usize,
        ) {
            let (whole, again) = passed_twice(format, Strip::Device, &file, size);
            prop_assert_eq!(again.report.facts, whole.report.facts);
        }
    }
}
