//! Facts and edits of real files and of bytes made to deceive, in chunks of every size.

use super::*;

/// A file that has passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) report: Report,
    pub(super) bytes: Vec<u8>,
}

/// Takes a file through a walk in chunks of `size` and applies the edits as a store would.
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

/// As above, for any chunks.
pub(super) fn pass_in_any_chunks(format: Format, strip: Strip, file: &[u8]) -> Passed {
    let whole = pass(format, strip, file, file.len().max(1));
    for size in [1, 2, 3, 7, 64, 1000, 4096] {
        let chopped = pass(format, strip, file, size);
        assert_eq!(chopped.report, whole.report, "in chunks of {size}");
        assert!(chopped.bytes == whole.bytes, "in chunks of {size}");
    }
    whole
}

macro_rules! sample {
    ($file:literal) => {
        include_bytes!(concat!("../../../../tests/media/", $file)).as_slice()
    };
}

fn picture(width: u32, height: u32) -> Facts {
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
        ..picture(width, height)
    }
}

#[track_caller]
fn assert_facts(format: Format, file: &[u8], expected: &Facts, case: &str) {
    let passed = pass_in_any_chunks(format, Strip::Off, file);
    assert_eq!(&passed.report.facts, expected, "{case}");
    assert!(
        passed.bytes == file,
        "{case}: nothing was to be overwritten"
    );
}

#[test]
fn facts_of_real_pictures() {
    // Its frames have no duration.
    let shown_at_once = Facts {
        animated: true,
        ..picture(24, 16)
    };
    for (format, file, facts) in [
        (Format::Jpeg, sample!("baseline.jpg"), picture(24, 16)),
        (Format::Jpeg, sample!("exif.jpg"), picture(16, 24)),
        (Format::Jpeg, sample!("progressive.jpeg"), picture(24, 16)),
        (Format::Png, sample!("rgb.png"), picture(24, 16)),
        (Format::Gif, sample!("palette.gif"), picture(24, 16)),
        (Format::Gif, sample!("animated.gif"), animation(24, 16, 300)),
        (Format::Webp, sample!("lossy.webp"), picture(24, 16)),
        (Format::Webp, sample!("lossless.webp"), picture(24, 16)),
        (Format::Webp, sample!("animated.webp"), shown_at_once),
        (Format::Bmp, sample!("v3.bmp"), picture(24, 16)),
        (Format::Bmp, sample!("mono.bmp"), picture(24, 16)),
        (Format::Heic, sample!("phone.heic"), picture(64, 64)),
        (Format::Avif, sample!("still.avif"), picture(64, 64)),
    ] {
        assert_facts(format, file, &facts, &format!("{format:?}"));
    }
}

/// A TIFF block with one entry in its first directory.
fn tiff(is_little: bool, tag: u16, kind: u16, count: u32, value: u16) -> Vec<u8> {
    let short = |value: u16| match is_little {
        true => value.to_le_bytes(),
        false => value.to_be_bytes(),
    };
    let long = |value: u32| match is_little {
        true => value.to_le_bytes(),
        false => value.to_be_bytes(),
    };
    let magic: &[u8] = if is_little { b"II*\0" } else { b"MM\0*" };
    let entry = [
        &short(tag)[..],
        &short(kind),
        &long(count),
        &short(value),
        &[0, 0],
    ]
    .concat();
    [magic, &long(8), &short(1), &entry, &long(0)].concat()
}

fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len() + 2).expect("a segment");
    [&[0xFF, marker], &length.to_be_bytes()[..], data].concat()
}

fn exif(block: &[u8]) -> Vec<u8> {
    segment(0xE1, &[b"Exif\0\0", block].concat())
}

/// A frame of 300 × 200.
fn frame() -> Vec<u8> {
    segment(0xC0, &[8, 0, 200, 1, 44, 1, 1, 0x11, 0])
}

fn jpeg(segments: &[&[u8]]) -> Vec<u8> {
    let scan = segment(0xDA, &[1, 1, 0, 0, 63, 0]);
    let parts = [
        &[&b"\xFF\xD8"[..]][..],
        segments,
        &[&scan, b"\x12\x34\xFF\xD9"],
    ];
    parts.concat().concat()
}

#[test]
fn a_jpeg_is_as_large_as_it_is_shown() {
    for is_little in [true, false] {
        for orientation in 0..=9 {
            let block = tiff(is_little, 0x0112, 3, 1, orientation);
            let facts = match orientation {
                5..=8 => picture(200, 300),
                _ => picture(300, 200),
            };
            for file in [
                jpeg(&[&exif(&block), &frame()]),
                jpeg(&[&frame(), &exif(&block)]),
            ] {
                assert_facts(Format::Jpeg, &file, &facts, &format!("{orientation}"));
            }
        }
    }
}

#[test]
fn segments_of_a_jpeg_that_deceive() {
    let [turned, upright] = [6, 1].map(|value| tiff(true, 0x0112, 3, 1, value));
    let thumbnail = jpeg(&[&segment(0xC0, &[8, 0, 7, 0, 7, 1, 1, 0x11, 0])]);
    let inside = exif(&[&turned[..], &thumbnail].concat());
    let first_counts = [exif(&upright), exif(&turned)].concat();
    let no_number = exif(&tiff(true, 0x0112, 4, 1, 6));
    let two_numbers = exif(&tiff(true, 0x0112, 3, 2, 6));
    let cyclic = exif(b"II*\0\x08\0\0\0\xFF\xFF");
    let far = exif(b"II*\0\xFF\xFF\xFF\xFF");
    let filled = [b"\xFF\xFF\xFF", &frame()[..]].concat();
    let table = segment(0xC4, &[8, 0, 1, 0, 1, 1]);
    let progressive = segment(0xC2, &[8, 0, 200, 1, 44, 1, 1, 0x11, 0]);
    let no_height = segment(0xC0, &[8, 0, 0, 1, 44, 1, 1, 0x11, 0]);
    for (case, file, facts) in [
        ("a thumbnail", jpeg(&[&inside, &frame()]), picture(200, 300)),
        ("two", jpeg(&[&first_counts, &frame()]), picture(300, 200)),
        ("long", jpeg(&[&no_number, &frame()]), picture(300, 200)),
        ("count", jpeg(&[&two_numbers, &frame()]), picture(300, 200)),
        ("many", jpeg(&[&cyclic, &frame()]), picture(300, 200)),
        ("far", jpeg(&[&far, &frame()]), picture(300, 200)),
        ("fill bytes", jpeg(&[&filled]), picture(300, 200)),
        ("a table", jpeg(&[&table, &frame()]), picture(300, 200)),
        ("progressive", jpeg(&[&progressive]), picture(300, 200)),
        ("no height", jpeg(&[&no_height]), Facts::default()),
        ("no frame", jpeg(&[]), Facts::default()),
        ("cut", jpeg(&[&frame()])[..9].to_vec(), Facts::default()),
        (
            "length 1",
            b"\xFF\xD8\xFF\xE0\0\x01\xFF".to_vec(),
            Facts::default(),
        ),
    ] {
        assert_facts(Format::Jpeg, &file, &facts, case);
    }
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("a chunk");
    [&length.to_be_bytes()[..], kind, data, &[0; 4]].concat()
}

fn png(chunks: &[&[u8]]) -> Vec<u8> {
    let header = chunk(b"IHDR", &[0, 0, 1, 44, 0, 0, 0, 200, 8, 2, 0, 0, 0]);
    [&[b"\x89PNG\r\n\x1a\n", &header[..]], chunks]
        .concat()
        .concat()
}

#[test]
fn chunks_of_a_png() {
    let turned = chunk(b"eXIf", &tiff(false, 0x0112, 3, 1, 8));
    let pixels = chunk(b"IDAT", &[1, 2, 3]);
    let end = chunk(b"IEND", &[]);
    let control = chunk(b"acTL", &[0, 0, 0, 9, 0, 0, 0, 0]);
    let shown = |delay: u16, parts: u16| {
        let times = [delay.to_be_bytes(), parts.to_be_bytes()].concat();
        chunk(b"fcTL", &[&[0; 20], &times[..], &[0; 2]].concat())
    };
    let [third, tenth] = [shown(1, 3), shown(10, 0)];
    let more = chunk(b"fdAT", &[0; 9]);
    for (case, file, facts) in [
        ("turned", png(&[&turned, &pixels, &end]), picture(200, 300)),
        (
            "too late",
            png(&[&pixels, &turned, &end]),
            picture(300, 200),
        ),
        (
            "an animation",
            png(&[
                &control, &third, &pixels, &third, &more, &tenth, &more, &end,
            ]),
            animation(300, 200, 767),
        ),
        (
            "one frame",
            png(&[&control, &third, &pixels, &end]),
            picture(300, 200),
        ),
        (
            "frames of nothing",
            png(&[&pixels, &control, &third, &third, &end]),
            picture(300, 200),
        ),
        (
            "behind the end",
            png(&[&control, &third, &pixels, &end, &third]),
            picture(300, 200),
        ),
        ("cut", png(&[&pixels])[..40].to_vec(), picture(300, 200)),
        (
            "a large chunk",
            png(&[b"\xFF\xFF\xFF\xFFeXIfII*\0"]),
            picture(300, 200),
        ),
    ] {
        assert_facts(Format::Png, &file, &facts, case);
    }
}

#[test]
fn blocks_of_a_gif() {
    let screen = |width: u8, height: u8| [b"GIF89a", &[width, 0, height, 0, 0, 0, 0][..]].concat();
    let delay = |delay: u8| vec![0x21, 0xF9, 4, 0, delay, 0, 0, 0];
    let image = vec![
        0x2C, 0, 0, 0, 0, 5, 0, 4, 0, 0x80, 1, 2, 3, 4, 5, 6, 2, 1, 0, 0,
    ];
    let comment = [&[0x21, 0xFE, 2][..], b"\x2C;", &[0]].concat();
    for (case, file, facts) in [
        (
            "one",
            [screen(9, 8), image.clone(), vec![0x3B]].concat(),
            picture(9, 8),
        ),
        (
            "no size",
            [screen(0, 0), image.clone(), vec![0x3B]].concat(),
            picture(5, 4),
        ),
        (
            "two, the delays of one too short",
            [
                screen(9, 8),
                delay(1),
                image.clone(),
                comment.clone(),
                delay(7),
                image.clone(),
                vec![0x3B],
                image.clone(),
            ]
            .concat(),
            animation(9, 8, 170),
        ),
        (
            "cut",
            [screen(9, 8), image.clone(), delay(9)].concat(),
            picture(9, 8),
        ),
        (
            "nonsense",
            [screen(9, 8), vec![0x77; 9]].concat(),
            picture(9, 8),
        ),
    ] {
        assert_facts(Format::Gif, &file, &facts, case);
    }
}

fn riff(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let size = u32::try_from(data.len()).expect("a chunk");
    let padding = &[0][..data.len() % 2];
    [kind, &size.to_le_bytes()[..], data, padding].concat()
}

#[test]
fn chunks_of_a_webp() {
    let webp = |chunks: &[Vec<u8>]| [&b"RIFF\0\0\0\0WEBP"[..], &chunks.concat()].concat();
    let canvas = riff(b"VP8X", &[2, 0, 0, 0, 43, 1, 0, 199, 0, 0]);
    let frame = |ms: u8| riff(b"ANMF", &[&[0; 12][..], &[ms, 1, 0, 0]].concat());
    let lossy = riff(b"VP8 ", b"\x10\0\0\x9D\x01\x2A\x2C\x41\xC8\x80\0");
    let lossless = riff(b"VP8L", &[0x2F, 43, 0xC1, 0x31, 0, 0]);
    let turned = riff(b"EXIF", &tiff(true, 0x0112, 3, 1, 6));
    for (case, file, facts) in [
        (
            "lossy",
            webp(std::slice::from_ref(&lossy)),
            picture(300, 200),
        ),
        ("lossless", webp(&[lossless]), picture(300, 200)),
        (
            "not turned",
            webp(&[canvas.clone(), lossy, turned]),
            picture(300, 200),
        ),
        (
            "an animation",
            webp(&[canvas.clone(), frame(0), frame(10)]),
            animation(300, 200, 522),
        ),
        (
            "one frame",
            webp(&[canvas.clone(), frame(0)]),
            picture(300, 200),
        ),
        (
            "a large chunk",
            webp(&[canvas, b"ANMF\xFF\xFF\xFF\xFF".to_vec()]),
            picture(300, 200),
        ),
        (
            "no start code",
            webp(&[riff(b"VP8 ", &[0; 10])]),
            Facts::default(),
        ),
    ] {
        assert_facts(Format::Webp, &file, &facts, case);
    }
}

#[test]
fn headers_of_a_bmp() {
    let bmp = |header: &[u8]| [&b"BM"[..], &[0; 12], header].concat();
    for (case, file, facts) in [
        (
            "upside down",
            bmp(&[40, 0, 0, 0, 44, 1, 0, 0, 0x38, 0xFF, 0xFF, 0xFF]),
            picture(300, 200),
        ),
        (
            "OS/2",
            bmp(&[12, 0, 0, 0, 44, 1, 200, 0, 1, 0, 1, 0]),
            picture(300, 200),
        ),
        (
            "the lowest number",
            bmp(&[40, 0, 0, 0, 44, 1, 0, 0, 0, 0, 0, 0x80]),
            Facts::default(),
        ),
        ("cut", bmp(&[40, 0, 0]), Facts::default()),
    ] {
        assert_facts(Format::Bmp, &file, &facts, case);
    }
}

fn boxed(kind: &[u8; 4], content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let size = u32::try_from(content.len() + 8).expect("a box");
    [&size.to_be_bytes()[..], kind, &content].concat()
}

/// A picture whose primary item has these properties, and whose thumbnail has a turn.
fn heif(properties: &[Vec<u8>], primary: &[u8]) -> Vec<u8> {
    let count = u8::try_from(primary.len()).expect("a count");
    let both = [
        &[0, 0, 0, 0, 0, 0, 0, 2, 0, 7, 1, 0x81, 0, 1, count][..],
        primary,
    ]
    .concat();
    let meta = boxed(
        b"meta",
        &[
            &[0; 4],
            &boxed(b"hdlr", &[&[0; 24]]),
            &boxed(b"pitm", &[&[0, 0, 0, 0, 0, 1]]),
            &boxed(
                b"iprp",
                &[
                    &boxed(b"ipco", &[&properties.concat()]),
                    &boxed(b"ipma", &[&both]),
                ],
            ),
        ],
    );
    [
        boxed(b"ftyp", &[b"heic\0\0\0\0"]),
        boxed(b"mdat", &[&[7; 70]]),
        meta,
    ]
    .concat()
}

#[test]
fn properties_of_a_heif() {
    let words =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_be_bytes()).collect() };
    let large = boxed(b"ispe", &[&words(&[0, 9000, 9000])]);
    let size = boxed(b"ispe", &[&words(&[0, 300, 200])]);
    let [turn, half] = [3, 2].map(|turn| boxed(b"irot", &[&[turn]]));
    let cut = boxed(b"clap", &[&words(&[200, 2, 50, 1, 0, 1, 0, 1])]);
    let by_zero = boxed(b"clap", &[&words(&[200, 0, 50, 0, 0, 1, 0, 1])]);
    let properties = [large, size, turn, half, cut, by_zero];
    for (case, primary, facts) in [
        ("its own", &[2][..], picture(300, 200)),
        ("turned", &[2, 0x83], picture(200, 300)),
        ("turned before it has a size", &[3, 2], picture(200, 300)),
        ("upside down", &[2, 4], picture(300, 200)),
        ("cut out, then turned", &[2, 5, 3], picture(50, 100)),
        ("turned, then cut out", &[2, 3, 5], picture(100, 50)),
        ("divided by zero", &[2, 6], picture(300, 200)),
        ("no such property", &[2, 99, 0], picture(300, 200)),
        ("no size", &[3], Facts::default()),
    ] {
        assert_facts(Format::Heic, &heif(&properties, primary), &facts, case);
    }
    for (case, meta) in [
        ("endless", &b"\xFF\xFF\xFF\xFFmeta"[..]),
        ("too small", b"\0\0\0\x07meta"),
        ("to the end", b"\0\0\0\0meta\0\0\0\0\0\0\0\0pitm"),
    ] {
        assert_facts(Format::Avif, meta, &Facts::default(), case);
    }
}
