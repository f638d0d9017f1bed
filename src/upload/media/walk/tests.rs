//! Facts and edits of real and of malformed files, in chunks of every size. The tests of single
//! containers use these functions, too.

use proptest::{prelude::*, sample::Index};

use super::*;
pub(super) use crate::upload::media::tests::sample;

/// Result of a walk: the report, and the edited bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) report: Report,
    pub(super) bytes: Vec<u8>,
}

/// Walks through a file in chunks of `size` and applies the edits like a store.
pub(super) fn pass(format: Format, strip: Strip, file: &[u8], size: usize) -> Passed {
    let mut bytes = file.to_vec();
    let mut edits = Vec::new();
    let mut walker = Walker::new(format, strip).expect("a format that is walked");
    let mut seen = 0;
    let file = Bytes::copy_from_slice(file);
    for chunk in file.chunks(size) {
        walker.see(&file.slice_ref(chunk), &mut edits);
        apply(&mut bytes, &mut edits, seen, seen + chunk.len());
        seen += chunk.len();
    }
    let report = walker.end(&mut edits);
    apply(&mut bytes, &mut edits, seen, seen);
    Passed { report, bytes }
}

fn apply(bytes: &mut [u8], edits: &mut Vec<Edit>, before: usize, seen: usize) {
    for Edit { at, by } in edits.drain(..) {
        let by = match by {
            Overwrite::Fill(byte, len) => vec![byte; len].into(),
            Overwrite::Bytes(bytes) => bytes,
        };
        assert!(at + REACH >= before as u64, "{at} is out of reach");
        let at = usize::try_from(at).expect("a position");
        assert!(at + by.len() <= seen, "not seen yet");
        bytes[at..at + by.len()].copy_from_slice(&by);
    }
}

/// Walks through a file in chunks of several sizes, with equal results.
pub(super) fn pass_in_any_chunks(format: Format, strip: Strip, file: &[u8]) -> Passed {
    let whole = pass(format, strip, file, file.len().max(1));
    for size in [1, 2, 3, 7, 64, 1000, 4096] {
        let chopped = pass(format, strip, file, size);
        assert_eq!(chopped.report, whole.report, "in chunks of {size}");
        assert!(chopped.bytes == whole.bytes, "in chunks of {size}");
    }
    whole
}

/// Returns the facts of a file that is not edited.
#[track_caller]
pub(super) fn unchanged(format: Format, strip: Strip, file: &[u8]) -> Facts {
    let passed = pass_in_any_chunks(format, strip, file);
    assert!(passed.bytes == file, "nothing was to be overwritten");
    passed.report.facts
}

/// Walks through a file, then through the result, which must not change again, in any chunks.
pub(super) fn passed_twice(
    format: Format,
    strip: Strip,
    file: &[u8],
    size: usize,
) -> (Passed, Passed) {
    let whole = pass(format, strip, file, file.len().max(1));
    assert_eq!(pass(format, strip, file, size), whole);
    let again = pass(format, strip, &whole.bytes, size);
    assert!(again.bytes == whole.bytes, "a second time changes nothing");
    (whole, again)
}

pub(super) fn cases() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(256)
    }
}

/// One of the files, with some of its first `reach` bytes changed.
pub(super) fn changed(
    files: Vec<(Format, Vec<u8>)>,
    reach: usize,
) -> impl Strategy<Value = (Format, Vec<u8>)> {
    let changes = prop::collection::vec(any::<(Index, u8)>(), 0..8);
    (prop::sample::select(files), changes).prop_map(move |((format, mut bytes), changes)| {
        for (at, byte) in changes {
            let at = at.index(bytes.len().min(reach));
            bytes[at] = byte;
        }
        (format, bytes)
    })
}

pub(super) fn finds(bytes: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(bytes, text).is_some()
}

/// A box of the ISO base media file format.
pub(super) fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let payload = parts.concat();
    let size = payload.len() as u32 + 8;
    [&size.to_be_bytes(), kind.as_slice(), &payload].concat()
}

/// Numbers of 32 bits.
pub(super) fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A segment of a JPEG.
pub(super) fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    let length = data.len() as u16 + 2;
    [&[0xFF, marker], &length.to_be_bytes()[..], data].concat()
}

/// EXIF data in a segment.
pub(super) fn exif(block: &[u8]) -> Vec<u8> {
    segment(0xE1, &[b"Exif\0\0", block].concat())
}

/// A frame of 300 × 200.
pub(super) fn frame() -> Vec<u8> {
    segment(0xC0, &[8, 0, 200, 1, 44, 1, 1, 0x11, 0])
}

/// A chunk of a WebP.
pub(super) fn riff(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let padding = &[0][..data.len() % 2];
    [kind, &(data.len() as u32).to_le_bytes()[..], data, padding].concat()
}

/// A chunk of a PNG, with its checksum.
pub(super) fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let checksum = crc32fast::hash(&[kind, data].concat()).to_be_bytes();
    let length = (data.len() as u32).to_be_bytes();
    [&length[..], kind, data, &checksum].concat()
}

/// The beginning of a PNG of 300 × 200.
pub(super) fn png_start() -> Vec<u8> {
    let header = chunk(b"IHDR", &[0, 0, 1, 44, 0, 0, 0, 200, 8, 2, 0, 0, 0]);
    [b"\x89PNG\r\n\x1a\n", &header[..]].concat()
}

pub(super) fn image(width: u32, height: u32) -> Facts {
    Facts {
        width: Some(width),
        height: Some(height),
        ..Facts::default()
    }
}

fn animation(width: u32, height: u32, duration_ms: u64) -> Facts {
    Facts {
        duration_ms: Some(duration_ms),
        animated: true,
        ..image(width, height)
    }
}

#[track_caller]
fn assert_facts(format: Format, file: &[&[u8]], expected: Facts, case: &str) {
    let facts = unchanged(format, Strip::Off, &file.concat());
    assert_eq!(facts, expected, "{case}");
}

#[test]
fn facts_of_real_pictures() {
    // Its frames have no duration.
    let shown_at_once = Facts {
        animated: true,
        ..image(24, 16)
    };
    for (format, file, facts) in [
        (Format::Jpeg, "baseline.jpg", image(24, 16)),
        (Format::Jpeg, "exif.jpg", image(16, 24)),
        (Format::Jpeg, "progressive.jpeg", image(24, 16)),
        (Format::Png, "rgb.png", image(24, 16)),
        (Format::Gif, "palette.gif", image(24, 16)),
        (Format::Gif, "animated.gif", animation(24, 16, 300)),
        (Format::Webp, "lossy.webp", image(24, 16)),
        (Format::Webp, "lossless.webp", image(24, 16)),
        (Format::Webp, "animated.webp", shown_at_once),
        (Format::Bmp, "v3.bmp", image(24, 16)),
        (Format::Bmp, "mono.bmp", image(24, 16)),
        (Format::Heic, "phone.heic", image(64, 64)),
        (Format::Avif, "still.avif", image(64, 64)),
    ] {
        assert_facts(format, &[&sample(file)], facts, file);
    }
}

/// A TIFF block with one entry in its first directory.
fn tiff(is_little: bool, tag: u16, kind: u16, count: u32, value: u32) -> Vec<u8> {
    tiff::tests::block(is_little, &[&[(tag, kind, count, value)]], &[])
}

/// A JPEG with these segments, and bytes in its scan that resemble the end of the image.
pub(super) fn jpeg(segments: &[&[u8]]) -> Vec<u8> {
    let scan = segment(0xDA, &[1, 1, 0, 0, 63, 0]);
    let pixels = b"\x12\xFF\0\xD9\xFF\xD0\x34\xFF\xD9".as_slice();
    [b"\xFF\xD8", &segments.concat()[..], &scan, pixels].concat()
}

#[test]
fn a_jpeg_is_as_large_as_it_is_shown() {
    for is_little in [true, false] {
        for orientation in 0..=9 {
            let block = exif(&tiff(is_little, 0x0112, 3, 1, orientation));
            let facts = match orientation {
                5..=8 => image(200, 300),
                _ => image(300, 200),
            };
            for file in [jpeg(&[&block, &frame()]), jpeg(&[&frame(), &block])] {
                assert_facts(Format::Jpeg, &[&file], facts, &format!("{orientation}"));
            }
        }
    }
}

#[test]
fn segments_of_a_jpeg_that_deceive() {
    let [turned, upright] = [6, 1].map(|value| tiff(true, 0x0112, 3, 1, value));
    let thumbnail = jpeg(&[&segment(0xC0, &[8, 0, 7, 0, 7, 1, 1, 0x11, 0])]);
    let inside = exif(&[&turned[..], &thumbnail].concat());
    let no_number = exif(&tiff(true, 0x0112, 4, 1, 6));
    let two_numbers = exif(&tiff(true, 0x0112, 3, 2, 6));
    let cyclic = exif(b"II*\0\x08\0\0\0\xFF\xFF");
    let far = exif(b"II*\0\xFF\xFF\xFF\xFF");
    let table = segment(0xC4, &[8, 0, 1, 0, 1, 1]);
    let progressive = segment(0xC2, &[8, 0, 200, 1, 44, 1, 1, 0x11, 0]);
    let no_height = segment(0xC0, &[8, 0, 0, 1, 44, 1, 1, 0x11, 0]);
    let frame = frame();
    for (case, segments, facts) in [
        ("a thumbnail", &[&inside[..], &frame][..], image(200, 300)),
        (
            "the first of two counts",
            &[&exif(&upright), &exif(&turned), &frame],
            image(300, 200),
        ),
        ("long", &[&no_number, &frame], image(300, 200)),
        ("count", &[&two_numbers, &frame], image(300, 200)),
        ("many", &[&cyclic, &frame], image(300, 200)),
        ("far", &[&far, &frame], image(300, 200)),
        ("fill bytes", &[b"\xFF\xFF\xFF", &frame], image(300, 200)),
        ("a table", &[&table, &frame], image(300, 200)),
        ("progressive", &[&progressive], image(300, 200)),
        ("no height", &[&no_height], Facts::default()),
        ("no frame", &[], Facts::default()),
    ] {
        assert_facts(Format::Jpeg, &[&jpeg(segments)], facts, case);
    }
    let cut = &jpeg(&[&frame])[..9];
    for (case, file) in [("cut", cut), ("length 1", b"\xFF\xD8\xFF\xE0\0\x01\xFF")] {
        assert_facts(Format::Jpeg, &[file], Facts::default(), case);
    }
}

#[test]
fn chunks_of_a_png() {
    let start = png_start();
    let turned = chunk(b"eXIf", &tiff(false, 0x0112, 3, 1, 8));
    let pixels = chunk(b"IDAT", &[1, 2, 3]);
    let end = chunk(b"IEND", &[]);
    let control = chunk(b"acTL", &[0, 0, 0, 9, 0, 0, 0, 0]);
    let [third, tenth] = [(1_u16, 3_u16), (10, 0)].map(|(delay, parts)| {
        let times = [delay.to_be_bytes(), parts.to_be_bytes()].concat();
        chunk(b"fcTL", &[&[0; 20], &times[..], &[0; 2]].concat())
    });
    let more = chunk(b"fdAT", &[0; 9]);
    let animated = [&control, &third, &pixels].map(|it| &it[..]).concat();
    for (case, chunks, facts) in [
        ("turned", &[&turned[..], &pixels, &end][..], image(200, 300)),
        ("too late", &[&pixels, &turned, &end], image(300, 200)),
        (
            "an animation",
            &[&animated, &third, &more, &tenth, &more, &end],
            animation(300, 200, 767),
        ),
        ("one frame", &[&animated, &end], image(300, 200)),
        (
            "frames of nothing",
            &[&pixels, &control, &third, &third, &end],
            image(300, 200),
        ),
        ("after", &[&animated, &end, &third], image(300, 200)),
        ("cut", &[&pixels[..7]], image(300, 200)),
        ("large", &[b"\xFF\xFF\xFF\xFFeXIfII*\0"], image(300, 200)),
    ] {
        assert_facts(Format::Png, &[&start, &chunks.concat()], facts, case);
    }
}

#[test]
fn blocks_of_a_gif() {
    let screen = b"GIF89a\x09\0\x08\0\0\0\0".as_slice();
    let no_size = b"GIF89a\0\0\0\0\0\0\0";
    let delay = |delay: u8| [0x21, 0xF9, 4, 0, delay, 0, 0, 0];
    let pixels = b"\x2C\0\0\0\0\x05\0\x04\0\x80\x01\x02\x03\x04\x05\x06\x02\x01\0\0";
    let comment = b"\x21\xFE\x02\x2C;\0";
    let two = [&delay(1)[..], pixels, comment, &delay(7), pixels].concat();
    for (case, blocks, facts) in [
        ("one", &[screen, pixels, b"\x3B"][..], image(9, 8)),
        ("no size", &[no_size, pixels, b"\x3B"], image(5, 4)),
        (
            "two, the delays of one too short",
            &[screen, &two, b"\x3B", pixels],
            animation(9, 8, 170),
        ),
        ("cut", &[screen, pixels, &delay(9)], image(9, 8)),
        ("nonsense", &[screen, &[0x77; 9]], image(9, 8)),
    ] {
        assert_facts(Format::Gif, blocks, facts, case);
    }
}

#[test]
fn chunks_of_a_webp() {
    let canvas = riff(b"VP8X", &[2, 0, 0, 0, 43, 1, 0, 199, 0, 0]);
    let [first, second] = [0, 10].map(|ms| {
        let data = [&[0; 12][..], &[ms, 1, 0, 0]].concat();
        riff(b"ANMF", &data)
    });
    let lossy = riff(b"VP8 ", b"\x10\0\0\x9D\x01\x2A\x2C\x41\xC8\x80\0");
    let lossless = riff(b"VP8L", &[0x2F, 43, 0xC1, 0x31, 0, 0]);
    let turned = riff(b"EXIF", &tiff(true, 0x0112, 3, 1, 6));
    let large = b"ANMF\xFF\xFF\xFF\xFF";
    let no_code = riff(b"VP8 ", &[0; 10]);
    for (case, chunks, facts) in [
        ("lossy", &[&lossy[..]][..], image(300, 200)),
        ("lossless", &[&lossless], image(300, 200)),
        ("not turned", &[&canvas, &lossy, &turned], image(300, 200)),
        (
            "an animation",
            &[&canvas, &first, &second],
            animation(300, 200, 522),
        ),
        ("one frame", &[&canvas, &first], image(300, 200)),
        ("a large chunk", &[&canvas, large], image(300, 200)),
        ("no start code", &[&no_code], Facts::default()),
    ] {
        let file = [b"RIFF\0\0\0\0WEBP", &chunks.concat()[..]];
        assert_facts(Format::Webp, &file, facts, case);
    }
}

#[test]
fn headers_of_a_bmp() {
    let lowest = b"\x28\0\0\0\x2C\x01\0\0\0\0\0\x80".as_slice();
    let upside_down = b"\x28\0\0\0\x2C\x01\0\0\x38\xFF\xFF\xFF";
    let os_2 = b"\x0C\0\0\0\x2C\x01\xC8\0\x01\0\x01\0";
    for (case, header, facts) in [
        ("the lowest number", lowest, Facts::default()),
        ("upside down", upside_down, image(300, 200)),
        ("OS/2", os_2, image(300, 200)),
        ("cut", b"\x28\0\0", Facts::default()),
    ] {
        assert_facts(Format::Bmp, &[b"BM", &[0; 12], header], facts, case);
    }
}

/// An image whose primary item has these properties, and whose thumbnail is rotated.
fn heif(properties: &[Vec<u8>], primary: &[u8]) -> Vec<u8> {
    let count = primary.len() as u8;
    let thumbnails = [0, 0, 0, 0, 0, 0, 0, 2, 0, 7, 1, 0x81, 0, 1, count];
    let ipma = boxed(b"ipma", &[&thumbnails, primary]);
    let ipco = boxed(b"ipco", &[&properties.concat()]);
    let hdlr = boxed(b"hdlr", &[&[0; 24]]);
    let pitm = boxed(b"pitm", &[&[0, 0, 0, 0, 0, 1]]);
    let iprp = boxed(b"iprp", &[&ipco, &ipma]);
    [
        boxed(b"ftyp", &[b"heic\0\0\0\0"]),
        boxed(b"mdat", &[&[7; 70]]),
        boxed(b"meta", &[&[0; 4], &hdlr, &pitm, &iprp]),
    ]
    .concat()
}

#[test]
fn properties_of_a_heif() {
    let [large, size] = [[9000, 9000], [300, 200]].map(|[width, height]| {
        let size = words(&[0, width, height]);
        boxed(b"ispe", &[&size])
    });
    let [turn, half] = [3, 2].map(|turn| boxed(b"irot", &[&[turn]]));
    let cut = boxed(b"clap", &[&words(&[200, 2, 50, 1, 0, 1, 0, 1])]);
    let by_zero = boxed(b"clap", &[&words(&[200, 0, 50, 0, 0, 1, 0, 1])]);
    let properties = [large, size, turn, half, cut, by_zero];
    for (case, primary, facts) in [
        ("its own", &[2][..], image(300, 200)),
        ("turned", &[2, 0x83], image(200, 300)),
        ("turned before it has a size", &[3, 2], image(200, 300)),
        ("upside down", &[2, 4], image(300, 200)),
        ("cut out, then turned", &[2, 5, 3], image(50, 100)),
        ("turned, then cut out", &[2, 3, 5], image(100, 50)),
        ("divided by zero", &[2, 6], image(300, 200)),
        ("no such property", &[2, 99, 0], image(300, 200)),
        ("no size", &[3], Facts::default()),
    ] {
        assert_facts(Format::Heic, &[&heif(&properties, primary)], facts, case);
    }
    for (case, meta) in [
        ("endless", &b"\xFF\xFF\xFF\xFFmeta"[..]),
        ("too small", b"\0\0\0\x07meta"),
        ("to the end", b"\0\0\0\0meta\0\0\0\0\0\0\0\0pitm"),
    ] {
        assert_facts(Format::Avif, &[meta], Facts::default(), case);
    }
}
