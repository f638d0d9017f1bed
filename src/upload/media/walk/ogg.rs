//! Ogg (RFC 3533) with Opus, Vorbis, Speex or FLAC. A page has the number of samples up to its end; that
//! of the last page, less the pre-skip of Opus, is the length of a stream.

use super::{
    super::field::{le16, le32, le64},
    Facts, Strip, flac,
    input::{Input, Walked},
    vorbis,
};

/// Most concurrent streams that are remembered.
const MAX_STREAMS: usize = 32;
/// Bytes of a stream's first packet that include its sample rate.
const PACKET_HEAD: usize = 64;
const CAPTURE: &[u8; 4] = b"OggS";
const A_SECOND: u64 = 1_000_000_000;

pub(super) async fn walk(input: &mut Input, facts: &mut Facts) -> Walked {
    let mut audio = Audio::default();
    let walked = audio.pages(input).await;
    audio.chain();
    facts.set_duration(audio.nanoseconds, A_SECOND);
    walked
}

#[derive(Debug, Default)]
struct Audio {
    /// Duration of the chained groups of streams that have ended.
    nanoseconds: u64,
    /// The concurrent streams of the current group.
    streams: Vec<Stream>,
    has_begun: bool,
}

#[derive(Debug)]
struct Stream {
    serial: u32,
    rate: u32,
    skipped: u64,
    samples: u64,
    has_comments: bool,
}

impl Audio {
    async fn pages(&mut self, input: &mut Input) -> Walked {
        const BEGINS_A_STREAM: u8 = 0x02;
        const NO_PACKET_ENDS: u64 = u64::MAX;
        loop {
            find_page(input).await?;
            let header = input.array::<23>().await?;
            let [version, flags, .., lacing_values] = header;
            if version != 0 {
                // The capture pattern occurred in the audio data.
                continue;
            }
            let lacing = input.take(lacing_values.into()).await;
            let outer = input.enter(lacing.iter().map(|length| u64::from(*length)).sum());
            let serial = le32(&header, 10).unwrap_or_default();
            let samples = le64(&header, 2).filter(|samples| *samples != NO_PACKET_ENDS);
            if flags & BEGINS_A_STREAM != 0 {
                if self.has_begun {
                    self.chain();
                }
                let packet = input.take(PACKET_HEAD).await;
                if self.streams.len() < MAX_STREAMS {
                    self.streams.extend(Stream::new(serial, &packet));
                }
            } else {
                self.has_begun = true;
                let mut streams = self.streams.iter_mut();
                if let Some(stream) = streams.find(|stream| stream.serial == serial) {
                    stream.page(input, samples).await;
                }
            }
            input.leave(outer).await?;
        }
    }

    /// Ends the current streams; others may follow.
    fn chain(&mut self) {
        let longest = self
            .streams
            .drain(..)
            .map(|stream| stream.nanoseconds())
            .max();
        self.nanoseconds = self.nanoseconds.saturating_add(longest.unwrap_or_default());
        self.has_begun = false;
    }
}

impl Stream {
    /// Reads the beginning of its first packet.
    fn new(serial: u32, packet: &[u8]) -> Option<Self> {
        const OPUS_RATE: u32 = 48_000;
        let (rate, skipped) = if packet.starts_with(b"OpusHead") {
            (OPUS_RATE, le16(packet, 10)?.into())
        } else if packet.starts_with(b"\x01vorbis") {
            (le32(packet, 12)?, 0)
        } else if packet.starts_with(b"Speex   ") {
            (le32(packet, 36)?, 0)
        } else if packet.starts_with(b"\x7FFLAC") {
            (flac::rate(packet.get(17..)?)?, 0)
        } else {
            return None;
        };
        Some(Self {
            serial,
            rate,
            skipped,
            samples: 0,
            has_comments: false,
        })
    }

    /// Reads any page but the first.
    async fn page(&mut self, input: &mut Input, samples: Option<u64>) {
        if !self.has_comments && input.strip() != Strip::Off {
            comments(input).await;
        }
        self.has_comments = true;
        if let Some(samples) = samples {
            // A negative number is within the pre-skip.
            self.samples = u64::try_from(samples.cast_signed()).unwrap_or_default();
        }
    }

    fn nanoseconds(&self) -> u64 {
        let samples = u128::from(self.samples.saturating_sub(self.skipped));
        let nanoseconds = samples * u128::from(A_SECOND) / u128::from(self.rate.max(1));
        u64::try_from(nanoseconds).unwrap_or(u64::MAX)
    }
}

/// Searches the comments of a stream in its second packet. They are kept, since the checksum of the whole
/// page covers them.
async fn comments(input: &mut Input) {
    const NAMES: [&[u8]; 2] = [b"OpusTags", b"\x03vorbis"];
    let packet = input.take(vorbis::MAX_BYTES).await;
    // FLAC uses its own block format here, and Speex has no prefix.
    let flac = packet
        .first()
        .filter(|kind| **kind & 0x7F == 4)
        .and(packet.get(4..));
    let named = NAMES.iter().find_map(|name| packet.strip_prefix(*name));
    let comments = named.or(flac).unwrap_or(&packet);
    if !vorbis::comments_to_remove(comments, input.strip()).is_empty()
        || vorbis::has_cover_with_metadata(comments)
    {
        input.note_kept();
    }
}

/// Skips to the end of the next capture pattern, which follows at once unless the file is damaged.
async fn find_page(input: &mut Input) -> Walked {
    let mut matched = 0;
    while let Some(wanted) = CAPTURE.get(matched) {
        input.fill().await?;
        let ready = input.ready();
        if matched == 0 {
            let at = memchr::memchr(*wanted, ready);
            let passed = at.map_or(ready.len(), |at| at + 1);
            matched = usize::from(at.is_some());
            input.advance(passed);
        } else if ready.first() == Some(wanted) {
            matched += 1;
            input.advance(1);
        } else {
            // Not skipped: this byte may begin the pattern.
            matched = 0;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{
        super::format::Format,
        Geo::{self, Kept},
        Strip,
        tests::{cases, pass_in_any_chunks, passed_twice, sample, unchanged},
    };

    fn duration_of(pieces: &[&[u8]]) -> Option<u64> {
        unchanged(Format::Ogg, Strip::Device, &pieces.concat()).duration_ms
    }

    fn page(flags: u8, samples: i64, serial: u32, body: &[u8]) -> Vec<u8> {
        let lacing: Vec<u8> = body.chunks(255).map(|part| part.len() as u8).collect();
        let start = [b'O', b'g', b'g', b'S', 0, flags];
        let (samples, serial) = (samples.to_le_bytes(), serial.to_le_bytes());
        let count = [0, 0, 0, 0, 0, 0, 0, 0, lacing.len() as u8];
        [&start, &samples[..], &serial, &count, &lacing, body].concat()
    }

    /// The first page of Opus with a pre-skip of 312 samples.
    fn opus(serial: u32) -> Vec<u8> {
        page(2, 0, serial, b"OpusHead\x01\x01\x38\x01\0\0\0\0\0\0\0")
    }

    fn vorbis(rate: u32, serial: u32) -> Vec<u8> {
        let start = b"\x01vorbis\0\0\0\0\x01".as_slice();
        let head = [start, &rate.to_le_bytes(), &[0; 14]].concat();
        page(2, 0, serial, &head)
    }

    #[test]
    fn real_sounds_are_as_long_as_ffprobe_says() {
        for (file, expected) in [
            ("note.opus", 300),
            ("vorbis.ogg", 100),
            ("speex.ogg", 291),
            ("flac-in.ogg", 100),
        ] {
            assert_eq!(duration_of(&[&sample(file)]), Some(expected), "{file}");
        }
    }

    #[test]
    fn the_last_page_of_each_stream_tells() {
        let [first, second] = [1, 2].map(|at| page(0, 312 + at * 48_000, 7, &[1; 600]));
        let two = [opus(7), first.clone(), second.clone()].concat();
        let (speech, its_end) = (vorbis(8000, 9), page(0, 24_000, 9, b"sound"));
        let end = |samples| page(0, samples, 7, b"x");
        let other = page(0, 1 << 40, 8, b"x");
        let noise = [b"OOggOggSOgg".as_slice(), &[0; 500]].concat();
        let unknown = page(2, 0, 1, b"fishead\0");
        for (case, pieces, expected) in [
            ("Opus", &[&two[..]][..], Some(2000)),
            ("Vorbis", &[&speech, &its_end], Some(3000)),
            ("a page on which none ends", &[&two, &end(-1)], Some(2000)),
            ("below zero", &[&opus(7), &end(-500)], None),
            ("less than is skipped", &[&opus(7), &end(311)], None),
            ("another stream's page", &[&two, &other], Some(2000)),
            ("in a chain", &[&two, &speech, &its_end], Some(5000)),
            (
                "at a time",
                &[&opus(7), &speech, &second, &its_end],
                Some(3000),
            ),
            ("at no rate", &[&vorbis(0, 9), &its_end], Some(24_000_000)),
            ("noise", &[&opus(7), &first, &noise, &second], Some(2000)),
            ("cut off", &[&two[..two.len() - 9]], Some(2000)),
            ("an unknown stream", &[&unknown], None),
            ("the largest number", &[&opus(7), &end(i64::MAX)], None),
        ] {
            assert_eq!(duration_of(pieces), expected, "{case}");
        }
    }

    #[test]
    fn a_place_in_a_comment_stays_and_is_told() {
        const COVER: &str = "METADATA_BLOCK_PICTURE";
        for (case, name, value, geo) in [
            ("a place", "LOCATION", "here", Kept),
            ("a title", "TITLE", "here", Geo::None),
            ("a cover with EXIF data", COVER, "RXhpZkV4aWZFeGlm", Kept),
            ("a cover without", COVER, "AAAAAAAAAAAAAAAA", Geo::None),
            ("a cover that cannot be read", COVER, "!!!!", Kept),
        ] {
            let text = format!("{name}={value}");
            let length = (text.len() as u32).to_le_bytes();
            let comments = [b"\x02\0\0\0Me\x01\0\0\0", &length[..], text.as_bytes()].concat();
            for start in ["OpusTags", "\x03vorbis", "\x04\0\0\0", ""] {
                let body = [start.as_bytes(), &comments].concat();
                let file = [opus(7), page(0, 0, 7, &body), page(0, 48_312, 7, b"x")].concat();
                let passed = pass_in_any_chunks(Format::Ogg, Strip::Location, &file);
                assert_eq!(passed.report.geo, geo, "{case} {start}");
                assert!(passed.bytes == file, "{case} {start}");
            }
        }
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn chunks_do_not_matter(
            pieces in prop::collection::vec(prop_oneof![
                Just(opus(7)),
                Just(vorbis(8000, 7)),
                (any::<u8>(), any::<i64>()).prop_map(|(flags, samples)| page(flags, samples, 7, &[1; 300])),
                prop::collection::vec(prop_oneof![Just(b'O'), Just(b'g'), Just(b'S'), any::<u8>()], 0..40),
            ], 0..12),
            size in 1..400_usize,
        ) {
            passed_twice(Format::Ogg, Strip::Off, &pieces.concat(), size);
        }
    }
}
