//! WAV, its larger sibling RF64 (EBU Tech 3306), and AVI: chunks of a name, a size and data, padded
//! to an even length.

use super::{
    super::{
        Kind,
        field::{le16, le32, le64},
    },
    Facts, MAX_ELEMENTS, Strip,
    input::{Input, Stop, Walked},
    words::is_place,
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
    let mut sound = Sound::default();
    let walked = sound.chunks(input).await;
    sound.tell(facts);
    walked
}

#[derive(Debug, Default)]
struct Sound {
    format: u16,
    samples_per_second: u32,
    bytes_per_second: u32,
    /// As `ds64` has it, where 32 bits are too few.
    large_size: Option<u64>,
    bytes: u64,
    /// As `fact` has it.
    samples: u32,
}

impl Sound {
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
        Err(Stop::Broken)
    }

    /// The samples. A recorder that was stopped, or that writes into a pipe, leaves no size behind.
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

    fn tell(&self, facts: &mut Facts) {
        const PCM: u16 = 1;
        const FLOAT: u16 = 3;
        const EXTENSIBLE: u16 = 0xFFFE;
        // A compressed sound's bytes per second are an average.
        let is_compressed = !matches!(self.format, PCM | FLOAT | EXTENSIBLE);
        if is_compressed && self.samples > 0 {
            facts.set_duration(self.samples.into(), self.samples_per_second.into());
        } else {
            facts.set_duration(self.bytes, self.bytes_per_second.into());
        }
    }
}

pub(super) async fn avi(input: &mut Input, facts: &mut Facts) -> Walked {
    let mut film = Film::default();
    let walked = film.chunks(input).await;
    film.tell(facts);
    walked
}

#[derive(Debug, Default)]
struct Film {
    width: u32,
    height: u32,
    microseconds_per_frame: u32,
    frames: u32,
    /// Of all the files that OpenDML joins to one.
    all_frames: u32,
    /// Length, scale and rate of the pictures' stream.
    pictures: Option<[u32; 3]>,
    has_sound: bool,
    is_picture: bool,
}

impl Film {
    async fn chunks(&mut self, input: &mut Input) -> Walked {
        input.skip(HEADER).await?;
        for _ in 0..MAX_ELEMENTS {
            let chunk = Chunk::read(input).await?;
            // Each gigabyte is a file of its own, whose chunks are these.
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
        Err(Stop::Broken)
    }

    async fn list(&mut self, input: &mut Input, list: &Chunk) -> Walked {
        match &input.array::<4>().await? {
            b"hdrl" => self.headers(input).await.or_else(at_end),
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
                b"LIST" => self.stream(input).await.or_else(at_end)?,
                _ => {}
            }
            input.leave(outer).await?;
        }
        Err(Stop::Broken)
    }

    /// A stream's headers, or OpenDML's.
    async fn stream(&mut self, input: &mut Input) -> Walked {
        input.skip(4).await?;
        for _ in 0..MAX_ELEMENTS {
            let chunk = Chunk::read(input).await?;
            let outer = input.enter(chunk.padded());
            match &chunk.name {
                b"strh" => {
                    let header = input.take(36).await;
                    let field = |at| le32(&header, at).unwrap_or_default();
                    self.is_picture = header.starts_with(b"vids");
                    self.has_sound |= header.starts_with(b"auds");
                    if self.is_picture && self.pictures.is_none() {
                        self.pictures = Some([field(32), field(20), field(24)]);
                    }
                }
                b"strf" if self.is_picture => {
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
        Err(Stop::Broken)
    }

    fn tell(&self, facts: &mut Facts) {
        const MILLION: u64 = 1_000_000;
        facts.set_size(self.width, self.height, false);
        let Some([length, scale, rate]) = self.pictures else {
            facts.kind = self.has_sound.then_some(Kind::Audio);
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

/// A list that ends is no reason to doubt what follows it.
fn at_end(stop: Stop) -> Walked {
    match stop {
        Stop::End => Ok(()),
        Stop::Broken => Err(stop),
    }
}

/// Most of a chunk that is looked at before it is taken out.
const MAX_TEXT: usize = 64 * 1024;

/// Texts about a sound or a film, or a camera's own data: empty space when they tell what shall go.
async fn clean(input: &mut Input, chunk: &Chunk) -> Walked {
    if input.strip() == Strip::Off {
        return Ok(());
    }
    let at = input.position();
    let start = input.take(MAX_TEXT).await;
    if input.strip() >= Strip::Device || is_place(&start) {
        input.replace(chunk.at, &chunk.name, bytes::Bytes::from_static(b"JUNK"));
        input.replace(at, &start, vec![0; start.len()].into());
        input.blank(input.left(), 0).await?;
    } else if !input.is_at_end().await {
        input.keeps_something();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{
        super::format::Format,
        Geo, Strip,
        tests::{pass, pass_in_any_chunks},
    };
    use super::*;

    macro_rules! sample {
        ($file:literal) => {
            include_bytes!(concat!("../../../../tests/media/", $file)).as_slice()
        };
    }

    fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let padding = vec![0; data.len() & 1];
        [name, &(data.len() as u32).to_le_bytes()[..], data, &padding].concat()
    }

    fn list(name: &[u8; 4], chunks: &[&[u8]]) -> Vec<u8> {
        chunk(b"LIST", &[name, &chunks.concat()[..]].concat())
    }

    fn riff(form: &[u8; 4], chunks: &[&[u8]]) -> Vec<u8> {
        let start = [form, &chunks.concat()[..]].concat();
        chunk(b"RIFF", &start)
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// 8,000 samples per second of so many bits.
    fn fmt(format: u16, bits: u16) -> Vec<u8> {
        let [format, bits] = [u32::from(format), u32::from(bits)];
        chunk(
            b"fmt ",
            &words(&[
                1 << 16 | format,
                8000,
                1000 * bits,
                (bits << 16) | (bits / 8),
            ]),
        )
    }

    fn sized(name: &[u8; 4], size: u32) -> Vec<u8> {
        [name.as_slice(), &size.to_le_bytes()].concat()
    }

    fn facts_of(format: Format, file: &[u8]) -> Facts {
        let passed = pass_in_any_chunks(format, Strip::Location, file);
        assert!(passed.bytes == file);
        passed.report.facts
    }

    #[test]
    fn a_wav_is_as_long_as_its_samples_are() {
        const PCM: u16 = 1;
        const MP3: u16 = 85;
        let second = [7; 8000];
        let odd = [7; 4001];
        let fact = chunk(b"fact", &words(&[20_000]));
        let ds64 = chunk(b"ds64", &words(&[0, 0, 16_000, 0, 0, 0, 0]));
        let endless = |size| [sized(b"data", size), second.to_vec()].concat();
        let rf64 = [
            riff(b"WAVE", &[&ds64, &fmt(PCM, 8), &endless(u32::MAX)]),
            second.to_vec(),
        ]
        .concat();
        for (case, file, expected) in [
            ("real", sample!("pcm.wav").to_vec(), Some(100)),
            (
                "8 bits",
                riff(b"WAVE", &[&fmt(PCM, 8), &chunk(b"data", &second)]),
                Some(1000),
            ),
            (
                "16 bits",
                riff(b"WAVE", &[&fmt(PCM, 16), &chunk(b"data", &second)]),
                Some(500),
            ),
            (
                "a chunk before",
                riff(
                    b"WAVE",
                    &[
                        &chunk(b"abcd", b"odd"),
                        &fmt(PCM, 8),
                        &chunk(b"data", &second),
                    ],
                ),
                Some(1000),
            ),
            (
                "of no size",
                riff(b"WAVE", &[&fmt(PCM, 8), &endless(0)]),
                Some(1000),
            ),
            (
                "of unknown size",
                riff(b"WAVE", &[&fmt(PCM, 8), &endless(u32::MAX)]),
                Some(1000),
            ),
            (
                "cut off",
                riff(b"WAVE", &[&fmt(PCM, 8), &endless(u32::MAX - 1)]),
                Some(1000),
            ),
            ("RF64", rf64, Some(2000)),
            (
                "two pieces",
                riff(
                    b"WAVE",
                    &[&fmt(PCM, 8), &chunk(b"data", &odd), &chunk(b"data", &odd)],
                ),
                Some(1000),
            ),
            (
                "compressed",
                riff(b"WAVE", &[&fmt(MP3, 8), &fact, &chunk(b"data", &second)]),
                Some(2500),
            ),
            (
                "compressed, no samples told",
                riff(b"WAVE", &[&fmt(MP3, 8), &chunk(b"data", &second)]),
                Some(1000),
            ),
            (
                "PCM with samples told",
                riff(b"WAVE", &[&fmt(PCM, 8), &fact, &chunk(b"data", &second)]),
                Some(1000),
            ),
            (
                "at no rate",
                riff(b"WAVE", &[&fmt(PCM, 0), &chunk(b"data", &second)]),
                None,
            ),
            (
                "no format",
                riff(b"WAVE", &[&chunk(b"data", &second)]),
                None,
            ),
        ] {
            assert_eq!(facts_of(Format::Wav, &file).duration_ms, expected, "{case}");
        }
    }

    /// The header of a file of 25 pictures a second.
    fn avih(frames: u32, width: u32, height: u32) -> Vec<u8> {
        chunk(
            b"avih",
            &words(&[40_000, 0, 0, 0, frames, 0, 0, 0, width, height, 0, 0, 0, 0]),
        )
    }

    fn stream(kind: &[u8; 4], scale: u32, rate: u32, length: u32) -> Vec<u8> {
        let rest = words(&[0, 0, 0, 0, scale, rate, 0, length, 0, 0, 0, 0, 0]);
        let header = chunk(b"strh", &[kind.as_slice(), &rest].concat());
        let format = chunk(b"strf", &words(&[40, 100, 50_u32.wrapping_neg(), 0]));
        list(b"strl", &[&header, &format])
    }

    #[test]
    fn an_avi_tells_in_its_headers() {
        let film = |headers: &[&[u8]]| {
            riff(
                b"AVI ",
                &[
                    &list(b"hdrl", headers),
                    &list(b"movi", &[&chunk(b"00dc", &[1; 99])]),
                ],
            )
        };
        let odml = list(b"odml", &[&chunk(b"dmlh", &words(&[5000]))]);
        let (pictures, sound) = (
            stream(b"vids", 1, 25, 100),
            stream(b"auds", 1, 8000, 64_000),
        );
        let size = |width, height| Some((width, height));
        let audio = Some(Kind::Audio);
        for (case, file, expected) in [
            (
                "real",
                sample!("xvid.avi").to_vec(),
                (size(64, 48), Some(800), None),
            ),
            (
                "film",
                film(&[&avih(100, 64, 48), &pictures, &sound]),
                (size(64, 48), Some(4000), None),
            ),
            (
                "sound first",
                film(&[&avih(100, 64, 48), &sound, &pictures]),
                (size(64, 48), Some(4000), None),
            ),
            (
                "upside down",
                film(&[&avih(100, 0, 0), &pictures]),
                (size(100, 50), Some(4000), None),
            ),
            (
                "no rate",
                film(&[&avih(50, 64, 48), &stream(b"vids", 1, 0, 9)]),
                (size(64, 48), Some(2000), None),
            ),
            (
                "no length",
                film(&[&avih(50, 64, 48), &stream(b"vids", 1, 25, 0)]),
                (size(64, 48), Some(2000), None),
            ),
            (
                "OpenDML",
                film(&[&avih(50, 64, 48), &pictures, &odml]),
                (size(64, 48), Some(200_000), None),
            ),
            (
                "sound alone",
                film(&[&avih(0, 0, 0), &sound]),
                (None, None, audio),
            ),
            ("nothing", film(&[]), (None, None, None)),
        ] {
            let facts = facts_of(Format::Avi, &file);
            let told = (facts.width.zip(facts.height), facts.duration_ms, facts.kind);
            assert_eq!(told, expected, "{case}");
        }
    }

    #[test]
    fn texts_become_empty_space_when_they_tell_what_shall_go() {
        let place = chunk(b"iXML", b"<LOCATION_GPS>27.2939, 112.6932</LOCATION_GPS>");
        let info = list(b"INFO", &[&chunk(b"ISFT", b"Recorder")]);
        let data = chunk(b"data", b"LIST iXML");
        let file = riff(b"WAVE", &[&fmt(1, 8), &place, &data, &info]);
        let find = |bytes: &[u8], text: &[u8]| memchr::memmem::find(bytes, text).is_some();

        let passed = pass_in_any_chunks(Format::Wav, Strip::Location, &file);
        assert_eq!(passed.report.geo, Geo::Removed);
        assert!(!find(&passed.bytes, b"27.2939") && find(&passed.bytes, b"Recorder"));
        assert!(find(&passed.bytes, &data));

        let passed = pass_in_any_chunks(Format::Wav, Strip::Device, &file);
        assert!(!find(&passed.bytes, b"27.2939") && !find(&passed.bytes, b"Recorder"));
        assert_eq!(passed.bytes.len(), file.len());
        let again = pass(Format::Wav, Strip::Device, &passed.bytes, 99);
        assert!(again.bytes == passed.bytes);
        assert_eq!(again.report.facts, passed.report.facts);

        let camera = chunk(b"strd", b"AVIF\0\0\0\0 GPSLatitude 27.2939");
        let strl = list(b"strl", &[&camera]);
        let film = riff(b"AVI ", &[&list(b"hdrl", &[&avih(9, 8, 8), &strl]), &info]);
        let passed = pass_in_any_chunks(Format::Avi, Strip::Location, &film);
        assert!(!find(&passed.bytes, b"27.2939") && find(&passed.bytes, b"Recorder"));
        let passed = pass_in_any_chunks(Format::Avi, Strip::Device, &film);
        assert!(!find(&passed.bytes, b"Recorder"));
    }

    #[test]
    fn many_chunks_end_the_walk() {
        let many = chunk(b"abcd", b"").repeat(MAX_ELEMENTS as usize);
        let file = riff(b"WAVE", &[&fmt(1, 8), &many, &chunk(b"data", &[1; 8000])]);
        for format in [Format::Wav, Format::Avi] {
            let report = pass(format, Strip::Location, &file, 1 << 16).report;
            assert_eq!((report.facts, report.geo), (Facts::default(), Geo::Kept));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn any_bytes_in_any_chunks_keep_their_length_and_facts(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            size in 1..400_usize,
        ) {
            let wav = riff(b"WAVE", &[&fmt(1, 8), &chunk(b"iXML", b"gps"), &chunk(b"data", &[1; 99])]);
            for (format, mut file) in [(Format::Wav, wav), (Format::Avi, sample!("xvid.avi")[..2000].to_vec())] {
                for (at, byte) in &changes {
                    let at = at.index(file.len().min(200));
                    file[at] = *byte;
                }
                let whole = pass(format, Strip::Device, &file, file.len());
                prop_assert_eq!(&pass(format, Strip::Device, &file, size), &whole);
                let again = pass(format, Strip::Device, &whole.bytes, size);
                prop_assert!(again.bytes == whole.bytes);
                prop_assert_eq!(again.report.facts, whole.report.facts);
            }
        }
    }
}
