//! Movies made of boxes, true and lying, and real ones.

use proptest::prelude::*;

use super::super::{
    Geo, Strip,
    tests::{pass, pass_in_any_chunks},
};
use super::*;

macro_rules! sample {
    ($file:literal) => {
        include_bytes!(concat!("../../../../../tests/media/", $file)).as_slice()
    };
}

fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let payload = parts.concat();
    let size = payload.len() as u32 + 8;
    [&size.to_be_bytes(), kind.as_slice(), &payload].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn mvhd(timescale: u32, duration: u32) -> Vec<u8> {
    boxed(
        b"mvhd",
        &[&words(&[0, 0, 0, timescale, duration]), &[0; 80]],
    )
}

const UPRIGHT: [u32; 5] = [1 << 16, 0, 0, 0, 1 << 16];

/// A track to be: its boxes are made of these.
#[derive(Clone)]
struct Made {
    id: u32,
    flags: u32,
    handler: &'static [u8; 4],
    matrix: [u32; 5],
    sides: (u32, u32),
    coding: &'static [u8; 4],
    coded: (u16, u16),
    timescale: u32,
    times: Vec<u32>,
    edits: Vec<u8>,
}

/// Ten seconds of pictures.
fn picture() -> Made {
    Made {
        id: 1,
        flags: 1,
        handler: b"vide",
        matrix: UPRIGHT,
        sides: (64 << 16, 48 << 16),
        coding: b"avc1",
        coded: (640, 480),
        timescale: 1000,
        times: vec![100, 100],
        edits: Vec::new(),
    }
}

/// Ten seconds of sound.
fn sound() -> Made {
    Made {
        id: 2,
        handler: b"soun",
        coding: b"mp4a",
        sides: (0, 0),
        coded: (0, 0),
        ..picture()
    }
}

impl Made {
    fn boxes(&self) -> Vec<u8> {
        self.boxes_with(&[])
    }

    fn boxes_with(&self, more: &[u8]) -> Vec<u8> {
        let tkhd = boxed(
            b"tkhd",
            &[
                &words(&[self.flags, 0, 0, self.id]),
                &[0; 24],
                &words(&self.matrix),
                &[0; 16],
                &words(&[self.sides.0, self.sides.1]),
            ],
        );
        let mdhd = boxed(b"mdhd", &[&words(&[0, 0, 0, self.timescale, 7, 0])]);
        let hdlr = boxed(b"hdlr", &[&[0; 8], self.handler, &[0; 12]]);
        let coded = words(&[u32::from(self.coded.0) << 16 | u32::from(self.coded.1)]);
        let entry: [&[u8]; 3] = [&[0; 24], &coded, &[0; 50]];
        let stsd = boxed(b"stsd", &[&words(&[0, 1]), &boxed(self.coding, &entry)]);
        let stts = boxed(
            b"stts",
            &[
                &words(&[0, self.times.len() as u32 / 2]),
                &words(&self.times),
            ],
        );
        let stbl = boxed(b"stbl", &[&stsd, &stts]);
        let mdia = boxed(b"mdia", &[&mdhd, &hdlr, &boxed(b"minf", &[&stbl])]);
        boxed(b"trak", &[&tkhd, &self.edits, &mdia, more])
    }
}

/// A file of `moov` with these boxes, behind its media.
fn film(boxes: &[&[u8]]) -> Vec<u8> {
    let start = boxed(b"ftyp", &[b"isom\0\0\0\0"]);
    let media = boxed(b"mdat", &[b"free moov trak \xA9xyz loci"]);
    [start, media, boxed(b"moov", boxes)].concat()
}

fn facts_of(format: Format, file: &[u8]) -> Facts {
    pass_in_any_chunks(format, Strip::Off, file).report.facts
}

fn duration_of(file: &[u8]) -> Option<u64> {
    facts_of(Format::Mp4, file).duration_ms
}

#[test]
fn facts_of_real_movies_are_those_that_ffprobe_finds() {
    let film = |width, height, duration_ms| Facts {
        width: Some(width),
        height: Some(height),
        duration_ms: Some(duration_ms),
        ..Facts::default()
    };
    let sound = |duration_ms, kind| Facts {
        duration_ms: Some(duration_ms),
        kind,
        ..Facts::default()
    };
    for (format, file, expected) in [
        (Format::Mp4, sample!("isom.mp4"), film(64, 48, 600)),
        (
            Format::Mp4,
            sample!("mp42-faststart.mp4"),
            film(64, 48, 600),
        ),
        (Format::Mp4, sample!("fragmented.mp4"), film(64, 48, 600)),
        (Format::M4v, sample!("itunes.m4v"), film(64, 48, 600)),
        (Format::Mov, sample!("qt.mov"), film(64, 48, 600)),
        (Format::ThreeGp, sample!("phone.3gp"), film(192, 144, 600)),
        (Format::M4a, sample!("voice.m4a"), sound(300, None)),
        (
            Format::Mp4,
            sample!("isom-sound-only.mp4"),
            sound(300, Some(Kind::Audio)),
        ),
    ] {
        assert_eq!(facts_of(format, file), expected, "{format:?}");
    }
}

#[test]
fn a_film_is_as_large_as_it_is_shown() {
    let quarter = [0, 1 << 16, 0, u32::MAX << 16, 0];
    let back = [0, u32::MAX << 16, 0, 1 << 16, 0];
    let half = [u32::MAX << 16, 0, 0, 0, u32::MAX << 16];
    let turned = |matrix| {
        vec![Made {
            matrix,
            ..picture()
        }]
    };
    let large = Made {
        sides: (640 << 16, 480 << 16),
        ..picture()
    };
    let disabled = Made {
        flags: 0,
        ..large.clone()
    };
    let unsized_track = Made {
        sides: (0, 0),
        ..picture()
    };
    let fractional = Made {
        sides: ((427 << 16) - 100, (180 << 16) + 100),
        ..picture()
    };
    let absurd = Made {
        sides: (u32::MAX, 0),
        coded: (0, 9),
        ..picture()
    };
    for (case, tracks, expected) in [
        ("upright", turned(UPRIGHT), Some((64, 48))),
        ("a quarter", turned(quarter), Some((48, 64))),
        ("half", turned(half), Some((64, 48))),
        ("three quarters", turned(back), Some((48, 64))),
        ("no matrix", turned([0; 5]), Some((64, 48))),
        (
            "two sizes",
            vec![picture(), large.clone()],
            Some((640, 480)),
        ),
        (
            "the larger one disabled",
            vec![picture(), disabled.clone()],
            Some((64, 48)),
        ),
        ("none enabled", vec![disabled], Some((640, 480))),
        ("by what is coded", vec![unsized_track], Some((640, 480))),
        ("between two pixels", vec![fractional], Some((427, 180))),
        ("no size", vec![absurd], None),
        ("sound", vec![sound()], None),
    ] {
        let tracks: Vec<u8> = tracks.iter().flat_map(Made::boxes).collect();
        let facts = facts_of(Format::Mp4, &film(&[&mvhd(1000, 10_000), &tracks]));
        assert_eq!(facts.width.zip(facts.height), expected, "{case}");
    }
}

#[test]
fn sound_without_a_picture_is_a_sound_whatever_the_brand_says() {
    let cover = Made {
        coding: b"jpeg",
        ..picture()
    };
    let text = Made {
        handler: b"text",
        ..picture()
    };
    for (case, format, tracks, expected) in [
        ("a film", Format::Mp4, vec![picture(), sound()], None),
        ("a silent film", Format::Mp4, vec![picture()], None),
        ("sound", Format::Mp4, vec![sound()], Some(Kind::Audio)),
        (
            "sound in MOV",
            Format::Mov,
            vec![sound()],
            Some(Kind::Audio),
        ),
        (
            "sound in 3GP",
            Format::ThreeGp,
            vec![text.clone(), sound()],
            Some(Kind::Audio),
        ),
        ("a sound's sound", Format::M4a, vec![sound()], None),
        (
            "a sound's cover",
            Format::M4a,
            vec![sound(), cover.clone()],
            None,
        ),
        (
            "a sound's film",
            Format::M4a,
            vec![sound(), picture()],
            Some(Kind::Video),
        ),
        ("motion JPEG", Format::Mov, vec![sound(), cover], None),
        ("neither", Format::Mp4, vec![text], None),
        ("nothing", Format::Mp4, vec![], None),
    ] {
        let tracks: Vec<u8> = tracks.iter().flat_map(Made::boxes).collect();
        let facts = facts_of(format, &film(&[&mvhd(1000, 10_000), &tracks]));
        assert_eq!(facts.kind, expected, "{case}");
    }
}

#[test]
fn the_movie_tells_its_duration_unless_its_samples_contradict() {
    let ten_seconds = |mvhd: Vec<u8>| film(&[&mvhd, &picture().boxes(), &sound().boxes()]);
    let cut = Made {
        edits: boxed(
            b"edts",
            &[&boxed(b"elst", &[&words(&[0, 1, 2000, 500, 1 << 16])])],
        ),
        ..picture()
    };
    let long = words(&[1 << 24, 0, 0, 0, 0, 1000, 1, 0]);
    let unknown = words(&[1 << 24, 0, 0, 0, 0, 1000, u32::MAX, u32::MAX]);
    let without_time = Made {
        timescale: 0,
        ..picture()
    };
    let endless = Made {
        times: vec![u32::MAX; 8],
        ..picture()
    };
    for (case, file, expected) in [
        ("mvhd", ten_seconds(mvhd(600, 5400)), Some(9000)),
        ("rounded", ten_seconds(mvhd(90_000, 720_045)), Some(8001)),
        (
            "mvhd of all ones",
            ten_seconds(mvhd(600, u32::MAX)),
            Some(10_000),
        ),
        ("mvhd of zero", ten_seconds(mvhd(600, 0)), Some(10_000)),
        ("no units", ten_seconds(mvhd(0, 600)), Some(10_000)),
        (
            "far too short",
            ten_seconds(mvhd(30_000, 10_000)),
            Some(10_000),
        ),
        ("far too long", ten_seconds(mvhd(1, 10_000)), Some(10_000)),
        ("no mvhd", ten_seconds(Vec::new()), Some(10_000)),
        (
            "64 bits",
            ten_seconds(boxed(b"mvhd", &[&long])),
            Some(10_000),
        ),
        (
            "64 bits of ones",
            ten_seconds(boxed(b"mvhd", &[&unknown])),
            Some(10_000),
        ),
        ("mvhd alone", film(&[&mvhd(600, 5400)]), Some(9000)),
        ("cut", film(&[&mvhd(1000, 2000), &cut.boxes()]), Some(2000)),
        (
            "track without units",
            film(&[&mvhd(0, 1), &without_time.boxes()]),
            None,
        ),
        ("samples without end", film(&[&endless.boxes()]), None),
        ("nothing", film(&[]), None),
    ] {
        assert_eq!(duration_of(&file), expected, "{case}");
    }
}

/// A fragmented file: `moov` with `mvex`, then the fragments.
fn fragmented(mehd: &[u8], fragments: &[Vec<u8>]) -> Vec<u8> {
    let none = Made {
        times: Vec::new(),
        ..picture()
    };
    let trex = boxed(b"trex", &[&words(&[0, 1, 1, 40, 0, 0])]);
    let mvex = boxed(b"mvex", &[mehd, &trex]);
    let moov = boxed(b"moov", &[&mvhd(1000, 0), &none.boxes(), &mvex]);
    [boxed(b"ftyp", &[b"isom\0\0\0\0"]), moov, fragments.concat()].concat()
}

fn moof(traf: &[&[u8]]) -> Vec<u8> {
    let moof = boxed(
        b"moof",
        &[&boxed(b"mfhd", &[&[0; 8]]), &boxed(b"traf", traf)],
    );
    [moof, boxed(b"mdat", &[b"samples"])].concat()
}

#[test]
fn fragments_are_added_up() {
    let tfhd = boxed(b"tfhd", &[&words(&[0, 1])]);
    let tfhd_30 = boxed(b"tfhd", &[&words(&[0x2B, 1, 0, 0, 7, 30, 9])]);
    let other = boxed(b"tfhd", &[&words(&[0, 9])]);
    let tfdt = |time| boxed(b"tfdt", &[&words(&[0, time])]);
    let tfdt_64 = boxed(b"tfdt", &[&words(&[1 << 24, 0, 5000])]);
    let ten = boxed(b"trun", &[&words(&[0, 10])]);
    let two = boxed(b"trun", &[&words(&[0x105, 2, 0, 0, 100, 200])]);
    let three = boxed(
        b"trun",
        &[&words(&[
            0xF01, 3, 0, 10, 1, 1, 1, 20, 2, 2, 2, 30, 3, 3, 3,
        ])],
    );
    let lying = boxed(b"trun", &[&words(&[0x100, u32::MAX, 100])]);
    let mehd = |duration| boxed(b"mehd", &[&words(&[0, duration])]);
    for (case, mehd, fragments, expected) in [
        ("trex", Vec::new(), vec![moof(&[&tfhd, &ten])], Some(400)),
        ("tfhd", Vec::new(), vec![moof(&[&tfhd_30, &ten])], Some(300)),
        (
            "each its own",
            Vec::new(),
            vec![moof(&[&tfhd, &two, &three])],
            Some(360),
        ),
        (
            "one after the other",
            Vec::new(),
            vec![moof(&[&tfhd, &ten]), moof(&[&tfhd, &ten])],
            Some(800),
        ),
        (
            "with a gap",
            Vec::new(),
            vec![
                moof(&[&tfhd, &tfdt(0), &ten]),
                moof(&[&tfhd, &tfdt(2000), &ten]),
            ],
            Some(2400),
        ),
        (
            "64 bits",
            Vec::new(),
            vec![moof(&[&tfhd, &tfdt_64, &ten])],
            Some(5400),
        ),
        ("mehd", mehd(1234), vec![moof(&[&tfhd, &ten])], Some(1234)),
        (
            "mehd of zero",
            mehd(0),
            vec![moof(&[&tfhd, &ten])],
            Some(400),
        ),
        (
            "a track that is not",
            Vec::new(),
            vec![moof(&[&other, &ten])],
            None,
        ),
        (
            "a count that lies",
            Vec::new(),
            vec![moof(&[&tfhd, &lying])],
            Some(100),
        ),
        ("no fragments", Vec::new(), vec![], None),
    ] {
        assert_eq!(
            duration_of(&fragmented(&mehd, &fragments)),
            expected,
            "{case}"
        );
    }
}

#[test]
fn sizes_that_lie_cost_nothing() {
    let track = picture().boxes();
    let moov = boxed(b"moov", &[&mvhd(1000, 10_000), &track]);
    let with_start = |start: &[u8]| [start, &moov].concat();
    let mut endless_table = picture().boxes();
    let at = memchr::memmem::find(&endless_table, b"stts").expect("a table");
    endless_table[at + 8..at + 12].fill(0xFF);
    for (case, file, expected) in [
        ("2^31", with_start(b"\x80\0\0\0mdat"), None),
        (
            "2^63",
            with_start(b"\0\0\0\x01mdat\x80\0\0\0\0\0\0\0"),
            None,
        ),
        (
            "2^64 - 1",
            with_start(b"\0\0\0\x01mdat\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
            None,
        ),
        (
            "64 bits, but small",
            with_start(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x10"),
            Some(10_000),
        ),
        ("to the end", with_start(b"\0\0\0\0mdat"), None),
        ("smaller than itself", with_start(b"\0\0\0\x07mdat"), None),
        (
            "64 bits, smaller",
            with_start(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x0F"),
            None,
        ),
        (
            "a table without end",
            film(&[&mvhd(1000, 10_000), &endless_table]),
            Some(10_000),
        ),
        (
            "a child past its parent",
            film(&[&mvhd(1000, 10_000), b"\x7F\0\0\0trak"]),
            Some(10_000),
        ),
        (
            "a child of size 3",
            film(&[&mvhd(1000, 10_000), b"\0\0\0\x03trak", &track]),
            Some(10_000),
        ),
        (
            "four bytes behind",
            [moov.as_slice(), b"\0\0\0\0"].concat(),
            Some(10_000),
        ),
        (
            "noise behind",
            [moov.as_slice(), &[0xFE; 99]].concat(),
            Some(10_000),
        ),
    ] {
        assert_eq!(duration_of(&file), expected, "{case}");
    }
}

#[test]
fn a_million_boxes_end_the_walk() {
    let start = film(&[&mvhd(1000, 10_000)]);
    let many = boxed(b"free", &[]).repeat(MAX_BOXES as usize);
    let behind = boxed(b"moov", &[&mvhd(1000, 20_000)]);
    let report = pass(
        Format::Mp4,
        Strip::Location,
        &[start, many, behind].concat(),
        1 << 16,
    )
    .report;
    assert_eq!(report.facts.duration_ms, Some(10_000));
    assert_eq!(report.geo, Geo::Kept);
}

#[test]
fn nested_boxes_are_no_stack() {
    let mut file = Vec::new();
    for _ in 0..100_000 {
        file.extend(b"\x7F\0\0\0moov\x7F\0\0\0trak\x7F\0\0\0udta\x7F\0\0\0meta");
    }
    assert_eq!(
        pass(Format::Mov, Strip::Device, &file, 4096).report.facts,
        Facts::default()
    );
}

const PLACE: &[u8] = b"+27.2939+112.6932/";

fn keys(names: &[&str]) -> Vec<u8> {
    let names = names.iter().map(|name| boxed(b"mdta", &[name.as_bytes()]));
    let count = words(&[0, names.len() as u32]);
    boxed(b"keys", &[&count, &names.collect::<Vec<_>>().concat()])
}

fn values(kind: u32, values: &[&[u8]]) -> Vec<u8> {
    let item = |(index, value): (usize, &&[u8])| {
        let data = boxed(b"data", &[&words(&[kind, 0]), value]);
        boxed(&(index as u32 + 1).to_be_bytes(), &[&data])
    };
    let items: Vec<u8> = values.iter().enumerate().flat_map(item).collect();
    boxed(b"ilst", &[&items])
}

/// Takes a film through, checks what must hold for each, and says what is left of it.
fn cleaned(strip: Strip, file: &[u8]) -> (Geo, Vec<u8>) {
    let passed = pass_in_any_chunks(Format::Mp4, strip, file);
    assert_eq!(passed.report.facts, facts_of(Format::Mp4, file));
    assert_eq!(passed.bytes.len(), file.len());
    let again = pass(Format::Mp4, strip, &passed.bytes, 999);
    assert!(again.bytes == passed.bytes, "a second time changes nothing");
    (passed.report.geo, passed.bytes)
}

#[test]
fn boxes_with_a_place_become_empty_space() {
    let android = boxed(b"\xA9xyz", &[b"\0\x12\x15\xC7", PLACE]);
    let loci = boxed(b"loci", &[&[0; 6], b"\0", PLACE, b"\0\0"]);
    let google = boxed(b"\xA9xyz", &[&boxed(b"data", &[&words(&[1, 0]), PLACE])]);
    let list = boxed(
        b"meta",
        &[
            &[0; 4],
            &boxed(b"hdlr", &[&[0; 25]]),
            &boxed(b"ilst", &[&google]),
        ],
    );
    let name = boxed(b"name", &[b"kept"]);
    let udta = |inner: &[u8]| boxed(b"udta", &[&name, inner, b"\0\0\0\0"]);
    let garmin = b"\x9b\x63\x0f\x8d\x63\x74\x40\xec\x82\x04\xbc\x5f\xf5\x09\x17\x28";
    let xmp = b"\xbe\x7a\xcf\xcb\x97\xa9\x42\xe8\x9c\x71\x99\x94\x91\xe3\xaf\xac";
    let packet = b"<x:xmpmeta exif:GPSLatitude='+27.2939+112.6932/'/>";
    let quicktime_keys = boxed(
        b"meta",
        &[
            &boxed(b"hdlr", &[&[0; 24]]),
            &keys(&["com.apple.quicktime.location.ISO6709"]),
            &values(1, &[PLACE]),
        ],
    );
    let track = |udta: &[u8]| picture().boxes_with(udta);
    for (case, inside, at_top) in [
        ("Android", udta(&android), vec![]),
        ("in a track", track(&udta(&android)), vec![]),
        ("3GPP", udta(&loci), vec![]),
        ("Google Photos", udta(&list), vec![]),
        ("Apple's keys", quicktime_keys.clone(), vec![]),
        ("Apple's keys in udta", udta(&quicktime_keys), vec![]),
        ("dash-cam", boxed(b"gps0", &[PLACE]), vec![]),
        ("Garmin", boxed(b"uuid", &[garmin, PLACE]), vec![]),
        ("Garmin's own box", vec![], boxed(b"uuid", &[garmin, PLACE])),
        ("XMP", vec![], boxed(b"uuid", &[xmp, packet])),
        ("XMP in udta", udta(&boxed(b"XMP_", &[packet])), vec![]),
        ("GoPro's own box", vec![], boxed(b"GPS ", &[PLACE])),
        (
            "in empty space",
            vec![],
            boxed(b"skip", &[b"\0\0LIGOGPSINFO\0", PLACE]),
        ),
        ("Novatek's", vec![], boxed(b"free", &[b"GPS ", PLACE])),
        (
            "Sony's text",
            vec![],
            boxed(
                b"meta",
                &[
                    &[0; 4],
                    &boxed(b"hdlr", &[&[0; 25]]),
                    &boxed(b"xml ", &[&[0; 4], b"<Latitude>", PLACE]),
                ],
            ),
        ),
    ] {
        let file = [film(&[&mvhd(1000, 10_000), &track(b""), &inside]), at_top].concat();
        assert!(memchr::memmem::find(&file, PLACE).is_some(), "{case}");
        let (geo, bytes) = cleaned(Strip::Location, &file);
        assert_eq!(geo, Geo::Removed, "{case}");
        assert!(memchr::memmem::find(&bytes, PLACE).is_none(), "{case}");
        let kept = memchr::memmem::find(&bytes, b"kept").is_some();
        assert_eq!(
            kept,
            memchr::memmem::find(&file, b"kept").is_some(),
            "{case}"
        );
        let media = b"free moov trak \xA9xyz loci";
        assert!(memchr::memmem::find(&bytes, media).is_some(), "{case}");
    }
}

#[test]
fn what_tells_no_place_stays_byte_for_byte() {
    let title = boxed(
        b"\xA9nam",
        &[&boxed(b"data", &[&words(&[1, 0]), b"a title"])],
    );
    let list = boxed(
        b"meta",
        &[
            &[0; 4],
            &boxed(b"hdlr", &[&[0; 25]]),
            &boxed(b"ilst", &[&title]),
        ],
    );
    let model = boxed(b"\xA9mod", &[b"\0\x05\x15\xC7Phone"]);
    let udta = boxed(b"udta", &[&model, &list]);
    let keyed = boxed(
        b"meta",
        &[
            &[0; 4],
            &boxed(b"hdlr", &[&[0; 25]]),
            &keys(&["com.apple.quicktime.make"]),
            &values(1, &[b"Apple"]),
        ],
    );
    let faces = Made {
        coding: b"mebx",
        handler: b"meta",
        ..picture()
    };
    let film = film(&[
        &mvhd(1000, 10_000),
        &picture().boxes(),
        &faces.boxes(),
        &udta,
        &keyed,
    ]);
    let packet = boxed(b"XMP_", &[b"<x:xmpmeta/>"]);
    let file = [film, packet, boxed(b"free", &[&[7; 99]])].concat();
    let (geo, bytes) = cleaned(Strip::Location, &file);
    assert_eq!(geo, Geo::None);
    assert!(bytes == file);

    let (geo, bytes) = cleaned(Strip::Device, &file);
    assert_eq!(geo, Geo::Removed);
    for device in ["Phone", "Apple", "quicktime.make", "xmpmeta"] {
        assert!(
            memchr::memmem::find(&bytes, device.as_bytes()).is_none(),
            "{device}"
        );
    }
    assert!(memchr::memmem::find(&bytes, b"a title").is_some());
}

#[test]
fn a_key_goes_with_its_value_and_leaves_the_others() {
    let names = [
        "com.apple.quicktime.make",
        "com.apple.quicktime.location.name",
        "com.android.capture.fps",
    ];
    let meta = |kind, order: fn(Vec<u8>, Vec<u8>) -> Vec<u8>| {
        let lists = order(
            keys(&names),
            values(kind, &[b"Apple", b"Some Town", b"60.0"]),
        );
        film(&[
            &mvhd(1000, 10_000),
            &boxed(b"meta", &[&boxed(b"hdlr", &[&[0; 24]]), &lists]),
        ])
    };
    let keys_first = |keys: Vec<u8>, values: Vec<u8>| [keys, values].concat();
    let (geo, bytes) = cleaned(Strip::Location, &meta(1, keys_first));
    assert_eq!(geo, Geo::Removed);
    let find = |text: &[u8]| memchr::memmem::find(&bytes, text).is_some();
    assert!(find(b"Apple") && find(b"60.0") && find(b"capture.fps"));
    assert!(!find(b"Some Town") && !find(b"location"));
    assert!(find(b"data\0\0\0\x01\0\0\0\0         \0"));
    let (_, bytes) = cleaned(Strip::Location, &meta(23, keys_first));
    assert!(memchr::memmem::find(&bytes, b"data\0\0\0\x17\0\0\0\0\0\0\0\0\0\0\0\0\0").is_some());

    let values_first = |keys: Vec<u8>, values: Vec<u8>| [values, keys].concat();
    let (geo, _) = cleaned(Strip::Location, &meta(1, values_first));
    assert_eq!(geo, Geo::Kept);
}

#[test]
fn a_telemetry_track_is_hidden_and_said_to_be_kept() {
    let telemetry = |coding| Made {
        coding,
        handler: b"meta",
        times: vec![1, 1],
        ..picture()
    };
    let mut places = telemetry(b"mebx").boxes();
    let stsd = memchr::memmem::find(&places, b"mebx").expect("an entry");
    places[stsd + 20..stsd + 40].copy_from_slice(b"quicktime.location.x");
    for track in [
        telemetry(b"gpmd").boxes(),
        telemetry(b"camm").boxes(),
        places,
    ] {
        let file = film(&[&mvhd(1000, 10_000), &picture().boxes(), &track]);
        let (geo, bytes) = cleaned(Strip::Location, &file);
        assert_eq!(geo, Geo::Kept);
        let track_at = file.len() - track.len();
        let mut expected = file.clone();
        expected[track_at + 4..track_at + 8].copy_from_slice(b"free");
        assert!(bytes == expected);
    }
}

#[test]
fn what_cannot_be_read_is_said_to_be_kept() {
    let film = film(&[&mvhd(1000, 10_000), &picture().boxes()]);
    for (case, behind) in [
        ("noise", vec![0xFE; 40]),
        (
            "a trailer like a box",
            b"8db42d694ccc418790edff439fe026bf".to_vec(),
        ),
        (
            "a box that is cut off",
            b"\0\0\x10\0udta\0\0\0\x20name".to_vec(),
        ),
        (
            "offsets of a dash-cam",
            boxed(b"moov", &[&boxed(b"gps ", &[&[1; 16]])]),
        ),
        (
            "a list in a list of size 2",
            boxed(b"moov", &[&boxed(b"udta", &[b"\0\0\0\x02loci"])]),
        ),
    ] {
        let (geo, _) = cleaned(Strip::Location, &[film.as_slice(), &behind].concat());
        assert_eq!(geo, Geo::Kept, "{case}");
    }
}

/// A film with everything in it, some bytes of which lie.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let samples = [
        sample!("isom.mp4").to_vec(),
        sample!("fragmented.mp4").to_vec(),
        sample!("qt.mov").to_vec(),
        film(&[
            &mvhd(1000, 10_000),
            &picture().boxes(),
            &boxed(
                b"udta",
                &[
                    &boxed(b"loci", &[&[1; 20]]),
                    &boxed(
                        b"meta",
                        &[&[0; 4], &keys(&["gps", "make"]), &values(1, &[b"a", b"b"])],
                    ),
                ],
            ),
            &boxed(b"uuid", &[&[0x9b; 40]]),
        ]),
    ];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    (
        0..samples.len(),
        changes,
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(move |(sample, changes, cut, is_cut)| {
            let mut bytes = samples[sample].clone();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if is_cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn any_bytes_in_any_chunks_keep_their_length_and_facts(bytes in hostile(), size in 1..400_usize) {
        for strip in [Strip::Location, Strip::Device] {
            let whole = pass(Format::Mp4, strip, &bytes, bytes.len().max(1));
            let chopped = pass(Format::Mp4, strip, &bytes, size);
            prop_assert_eq!(&chopped, &whole);
            let again = pass(Format::Mp4, strip, &whole.bytes, size);
            prop_assert!(again.bytes == whole.bytes);
            prop_assert_eq!(again.report.facts, whole.report.facts);
        }
    }
}
