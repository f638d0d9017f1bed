//! Audio frames without a container: MP3, AAC (ADTS) and AMR. Every frame header is read, since none
//! has the frame count; the next frame begins where the last one ends.

use super::{
    super::audio::{self, Frame},
    Facts, id3,
    input::{Input, Walked},
};

/// Walks through an MP3, with tags before it and between its frames.
pub(super) async fn mp3(input: &mut Input, facts: &mut Facts) -> Walked {
    let mut sum = Sum::default();
    let mut carry = Carry::<4>::new(&id3::skip(input).await);
    // The first frame of many encoders is an index without audio.
    let header = carry.whole();
    if let Some((header, frame)) = header.zip(header.as_ref().and_then(audio::mpeg_layer_3)) {
        carry.clear();
        let body = input.take(frame.bytes - header.len()).await;
        if !is_index(&header, &body) {
            sum.step(Some(frame));
        }
    }
    let walked = frames(input, carry, audio::mpeg_layer_3, &mut sum).await;
    sum.set_duration(facts);
    walked
}

/// Walks through AAC in ADTS, with tags before it.
pub(super) async fn adts(input: &mut Input, facts: &mut Facts) -> Walked {
    let mut sum = Sum::default();
    let carry = Carry::<7>::new(&id3::skip(input).await);
    let walked = frames(input, carry, audio::adts, &mut sum).await;
    sum.set_duration(facts);
    walked
}

/// Walks through AMR of either band, up to a frame of a reserved type, whose length is unknown.
pub(super) async fn amr(input: &mut Input, facts: &mut Facts) -> Walked {
    const MILLISECONDS: u64 = 20;
    let mut count = 0;
    let walked = amr_frames(input, &mut count).await;
    facts.set_duration(count * MILLISECONDS, 1000);
    walked
}

async fn amr_frames(input: &mut Input, count: &mut u64) -> Walked {
    let frame_bytes: fn(&[u8]) -> Option<usize> = match &input.array::<6>().await? {
        b"#!AMR\n" => audio::amr_bytes,
        b"#!AMR-" => match &input.array::<3>().await? {
            b"WB\n" => audio::amr_wb_bytes,
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    loop {
        input.fill().await?;
        let ready = input.ready();
        let mut at = 0;
        while let Some(frame) = ready.get(at..).filter(|frame| !frame.is_empty()) {
            let Some(bytes) = frame_bytes(frame) else {
                return Ok(());
            };
            at += bytes;
            *count += 1;
        }
        pass(input, at).await?;
    }
}

/// Skips `bytes` bytes, some of which may not be available yet.
async fn pass(input: &mut Input, bytes: usize) -> Walked {
    let ready = input.ready().len().min(bytes);
    input.advance(ready);
    input.skip((bytes - ready) as u64).await
}

/// Returns whether the first frame is an index: `Xing`, `Info` or `VBRI`.
fn is_index(header: &[u8; 4], body: &[u8]) -> bool {
    const VBRI_AT: usize = 32;
    let is_version_1 = header[1] & 0x08 != 0;
    let is_mono = header[3] >> 6 == 0b11;
    let side_information = match (is_version_1, is_mono) {
        (true, false) => 32,
        (true, true) | (false, false) => 17,
        (false, true) => 9,
    };
    let has = |at: usize, name: &[u8]| body.get(at..).is_some_and(|body| body.starts_with(name));
    has(VBRI_AT, b"VBRI") || has(side_information, b"Xing") || has(side_information, b"Info")
}

/// The last bytes of a chunk, which may be the beginning of a header.
struct Carry<const H: usize> {
    bytes: [u8; H],
    count: usize,
}

impl<const H: usize> Carry<H> {
    fn new(start: &[u8]) -> Self {
        let mut carry = Self {
            bytes: [0; H],
            count: 0,
        };
        carry.put(start);
        carry
    }

    /// Adds as many bytes as fit; returns their number.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let room = self.bytes.get_mut(self.count..).unwrap_or_default();
        let put = room.len().min(bytes.len());
        room.iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = *from);
        self.count += put;
        put
    }

    fn whole(&self) -> Option<[u8; H]> {
        (self.count == H).then_some(self.bytes)
    }

    fn clear(&mut self) {
        self.count = 0;
    }

    fn drop_first(&mut self) {
        self.bytes.rotate_left(1);
        self.count = self.count.saturating_sub(1);
    }
}

/// Walks from frame to frame. After other bytes it searches for the next sync word.
async fn frames<const H: usize>(
    input: &mut Input,
    mut carry: Carry<H>,
    read: fn(&[u8; H]) -> Option<Frame>,
    sum: &mut Sum,
) -> Walked {
    loop {
        // A header that begins in one chunk and ends in the next.
        while carry.count > 0 {
            if carry.whole().is_none() {
                input.fill().await?;
                let put = carry.put(input.ready());
                input.advance(put);
            } else if let Some(header) = carry.whole() {
                match sum.step(read(&header)) {
                    Some(bytes) => {
                        carry.clear();
                        input.skip(bytes.saturating_sub(H) as u64).await?;
                    }
                    None => carry.drop_first(),
                }
            }
        }
        input.fill().await?;
        let ready = input.ready();
        let mut at = 0;
        while let Some(header) = ready.get(at..).and_then(<[u8]>::first_chunk) {
            at += match sum.step(read(header)) {
                Some(bytes) => bytes,
                None => to_next_sync(ready.get(at + 1..).unwrap_or_default()) + 1,
            };
        }
        let rest = ready.get(at..).unwrap_or_default();
        carry.put(rest);
        pass(input, at.max(ready.len())).await?;
    }
}

fn to_next_sync(bytes: &[u8]) -> usize {
    memchr::memchr(0xFF, bytes).unwrap_or(bytes.len())
}

/// Sum of the frames so far. A frame counts if another of the same kind follows: two-byte sync words also
/// occur in images and in noise.
#[derive(Debug, Default)]
struct Sum {
    last: Option<Frame>,
    /// A frame that is not confirmed by another yet.
    first: Option<Frame>,
    rate: u32,
    /// Samples at the current rate.
    samples: u64,
    /// Duration at the earlier rates.
    nanoseconds: u64,
}

impl Sum {
    /// Adds the frame at the next offset, if there is one; returns its length.
    #[inline]
    fn step(&mut self, frame: Option<Frame>) -> Option<usize> {
        match (frame, self.last) {
            (Some(frame), Some(last)) if frame.kind == last.kind => {
                if let Some(first) = self.first.take() {
                    self.add(first);
                }
                self.add(frame);
            }
            _ => self.first = frame,
        }
        self.last = frame;
        frame.map(|frame| frame.bytes)
    }

    #[inline]
    fn add(&mut self, frame: Frame) {
        if frame.rate != self.rate {
            self.flush();
            self.rate = frame.rate;
        }
        self.samples += u64::from(frame.samples);
    }

    fn flush(&mut self) {
        const A_SECOND: u128 = 1_000_000_000;
        let nanoseconds = u128::from(self.samples) * A_SECOND / u128::from(self.rate.max(1));
        self.nanoseconds += u64::try_from(nanoseconds).unwrap_or_default();
        self.samples = 0;
    }

    fn set_duration(mut self, facts: &mut Facts) {
        if self.samples == 0 && self.nanoseconds == 0 {
            // A file of one frame.
            if let Some(only) = self.first.take() {
                self.add(only);
            }
        }
        self.flush();
        facts.set_duration(self.nanoseconds, 1_000_000_000);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{
        super::format::Format::{self, Aac, Amr, Mp3},
        Strip,
        tests::{cases, passed_twice, sample, unchanged},
    };

    fn duration_of(format: Format, pieces: &[&[u8]]) -> Option<u64> {
        unchanged(format, Strip::Location, &pieces.concat()).duration_ms
    }

    /// Stereo of version 1 at 44.1 kHz and 128 kbit/s: 417 bytes, 1,152 samples.
    fn stereo() -> Vec<u8> {
        [b"\xFF\xFB\x90\x00".as_slice(), &[0x55; 413]].concat()
    }

    /// Mono of version 2 at 24 kHz and 160 kbit/s: 480 bytes, 576 samples.
    fn mono() -> Vec<u8> {
        [b"\xFF\xF3\xE4\xC0".as_slice(), &[0x55; 476]].concat()
    }

    /// The first frame of many encoders, with its tag at this offset.
    fn index(frame: &[u8], at: usize, tag: &[u8]) -> Vec<u8> {
        let mut frame = frame.to_vec();
        frame[4 + at..4 + at + tag.len()].copy_from_slice(tag);
        frame
    }

    /// AAC at 48 kHz: length with header, and number of blocks.
    fn adts(bytes: usize, blocks: u8) -> Vec<u8> {
        // The last bits are not part of the length.
        let [.., a, b, c] = ((bytes as u32) << 5 | 0x80_001F).to_be_bytes();
        let header = [0xFF, 0xF1, 0x4C, a, b, c, 0xFC | (blocks - 1)];
        [&header[..], &vec![0x55; bytes - 7]].concat()
    }

    #[test]
    fn real_sounds_are_as_long_as_ffprobe_says() {
        for (format, file, expected) in [
            (Mp3, "xing.mp3", 396),
            (Mp3, "id3.mp3", 396),
            (Mp3, "mpeg1.mp3", 340),
            (Aac, "adts.aac", 384),
            (Amr, "amr-nb.amr", 100),
            (Amr, "amr-wb.amr", 100),
        ] {
            let duration = duration_of(format, &[&sample(file)]).expect("a duration");
            assert!(duration.abs_diff(expected) <= 1, "{file}: {duration}");
        }
    }

    #[test]
    fn every_frame_counts_and_nothing_else_does() {
        let (one, ten, other) = (stereo(), stereo().repeat(10), mono().repeat(10));
        let tag = [b"ID3\x03\0\0\0\0\x02\x00".as_slice(), &[0xFF; 256]].concat();
        let cover = b"\xFF\xD8\xFF\xE0\xFF\xFB\x90\x00\xFF\xFB\x90\x00".repeat(30);
        let [xing, info, vbri] = [
            b"Xing\0\0\0\x01\xFF\xFF\xFF\xFF".as_slice(),
            b"Info",
            b"VBRI",
        ]
        .map(|tag| index(&one, 32, tag));
        let mono_info = index(&mono(), 9, b"Info");
        let frame = 1152.0 / 44.1;
        for (case, pieces, expected) in [
            ("frames", &[&ten[..]][..], 10.0 * frame),
            ("one", &[&one], frame),
            ("a tag", &[&tag, &ten], 10.0 * frame),
            ("two tags", &[&tag, &tag, &ten], 10.0 * frame),
            ("wrong Xing", &[&xing, &ten], 10.0 * frame),
            ("Info", &[&info, &ten], 10.0 * frame),
            ("Info, mono", &[&mono_info, &mono().repeat(9)], 9.0 * 24.0),
            ("VBRI", &[&vbri, &ten], 10.0 * frame),
            ("ID3v1", &[&ten, b"TAG", &[b' '; 125]], 10.0 * frame),
            ("APE", &[&ten, b"APETAGEX", &cover], 10.0 * frame),
            ("junk before", &[&[0x55; 99], &ten], 10.0 * frame),
            ("junk between", &[&ten, &[0xFF; 99], &ten], 20.0 * frame),
            ("a tag between", &[&ten, &tag, &ten], 20.0 * frame),
            // A false sync word hides the first frame after the image.
            ("a picture between", &[&ten, &cover, &ten], 19.0 * frame),
            ("another rate", &[&ten, &other], 10.0 * frame + 240.0),
            ("cut off", &[&ten[..ten.len() - 200]], 10.0 * frame),
        ] {
            let duration = duration_of(Mp3, pieces).expect(case);
            assert_eq!(duration, f64::round(expected) as u64, "{case}");
        }
    }

    #[test]
    fn blocks_of_aac_count() {
        let frames = [adts(300, 1), adts(8000, 1), adts(7, 2)].concat().repeat(3);
        let noise = &[0x55; 5000];
        let reserved_rate = b"\xFF\xF1\x7C\x80\x0C\x9F\xFC".repeat(9);
        for (case, pieces, expected) in [
            ("frames", &[&frames[..]][..], Some(256)),
            ("one", &[&adts(100, 4)], Some(85)),
            ("noise between", &[&frames, noise, &frames], Some(512)),
            ("reserved rate", &[&reserved_rate], None),
        ] {
            assert_eq!(duration_of(Aac, pieces), expected, "{case}");
        }
    }

    #[test]
    fn frames_of_amr_are_twenty_milliseconds_whatever_their_rate() {
        let each: Vec<u8> = [12, 13, 15, 17, 19, 20, 26, 31, 5]
            .iter()
            .enumerate()
            .flat_map(|(kind, bytes)| [vec![(kind as u8) << 3 | 4], vec![0xFF; *bytes]].concat())
            .collect();
        let start: &[u8] = b"#!AMR\n";
        for (case, pieces, expected) in [
            ("each kind", &[start, &each][..], Some(180)),
            ("nothing sent", &[start, &each, b"\x7C"], Some(200)),
            ("reserved", &[start, &each, b"\x4C", &each], Some(180)),
            ("wide", &[b"#!AMR-WB\n\x04", &[0; 17]], Some(20)),
            ("several channels", &[b"#!AMR_MC1.0\n", &each], None),
            ("none", &[start], None),
        ] {
            assert_eq!(duration_of(Amr, pieces), expected, "{case}");
        }
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn chunks_do_not_matter(
            pieces in prop::collection::vec(prop_oneof![
                Just(stereo()),
                Just(mono()),
                Just(adts(9, 1)),
                Just(b"ID3\x03\0\0\0\0\0\x09".to_vec()),
                prop::collection::vec(prop_oneof![Just(0xFF), Just(0xFB), Just(0x90), any::<u8>()], 0..40),
            ], 0..20),
            size in 1..900_usize,
        ) {
            let file = pieces.concat();
            for format in [Mp3, Aac, Amr] {
                passed_twice(format, Strip::Off, &file, size);
            }
        }
    }
}
