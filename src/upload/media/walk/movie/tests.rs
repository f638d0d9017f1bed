//! Movies made of valid and of malformed boxes, and real ones.

use bytes::Bytes;
use proptest::prelude::*;

use super::super::{
    Geo, Report, Strip, Walker,
    tests::{
        boxed, cases, changed, finds, image, pass, pass_in_any_chunks, passed_twice, sample, words,
    },
};
use super::*;
use Format::{M4a, M4v, Mov, Mp4, ThreeGp};

fn mvhd(timescale: u32, duration: u32) -> Vec<u8> {
    let start = words(&[0, 0, 0, timescale, duration]);
    boxed(b"mvhd", &[&start, &[0; 80]])
}

const UPRIGHT: [u32; 5] = [1 << 16, 0, 0, 0, 1 << 16];

/// Parameters of a track.
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

/// Ten seconds of video.
fn video() -> Made {
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

/// Ten seconds of audio.
fn audio() -> Made {
    Made {
        id: 2,
        handler: b"soun",
        coding: b"mp4a",
        sides: (0, 0),
        coded: (0, 0),
        ..video()
    }
}

impl Made {
    fn but(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn boxes(&self) -> Vec<u8> {
        self.boxes_with(&[])
    }

    fn boxes_with(&self, more: &[u8]) -> Vec<u8> {
        let tkhd = [
            &words(&[self.flags, 0, 0, self.id])[..],
            &[0; 24],
            &words(&self.matrix),
            &[0; 16],
            &words(&[self.sides.0, self.sides.1]),
        ];
        let tkhd = boxed(b"tkhd", &tkhd);
        let mdhd = boxed(b"mdhd", &[&words(&[0, 0, 0, self.timescale, 7, 0])]);
        let hdlr = boxed(b"hdlr", &[&[0; 8], self.handler, &[0; 12]]);
        let coded = words(&[u32::from(self.coded.0) << 16 | u32::from(self.coded.1)]);
        let entry = boxed(self.coding, &[&[0; 24], &coded, &[0; 50]]);
        let stsd = boxed(b"stsd", &[&words(&[0, 1]), &entry]);
        let count = words(&[0, self.times.len() as u32 / 2]);
        let stts = boxed(b"stts", &[&count, &words(&self.times)]);
        let stbl = boxed(b"stbl", &[&stsd, &stts]);
        let mdia = boxed(b"mdia", &[&mdhd, &hdlr, &boxed(b"minf", &[&stbl])]);
        boxed(b"trak", &[&tkhd, &self.edits, &mdia, more])
    }
}

/// A file with these boxes in `moov`, after the media.
fn movie(boxes: &[&[u8]]) -> Vec<u8> {
    let start = boxed(b"ftyp", &[b"isom\0\0\0\0"]);
    let media = boxed(b"mdat", &[b"free moov trak \xA9xyz loci"]);
    [start, media, boxed(b"moov", boxes)].concat()
}

/// A movie of ten seconds by its header, with these boxes.
fn ten_seconds(boxes: &[u8]) -> Vec<u8> {
    movie(&[&mvhd(1000, 10_000), boxes])
}

fn facts_of(format: Format, file: &[u8]) -> Facts {
    pass_in_any_chunks(format, Strip::Off, file).report.facts
}

fn duration_of(file: &[u8]) -> Option<u64> {
    facts_of(Mp4, file).duration_ms
}

#[test]
fn facts_of_real_movies_are_those_that_ffprobe_finds() {
    let size = Some((64, 48));
    for (format, file, size, duration_ms, kind) in [
        (Mp4, "isom.mp4", size, 600, None),
        (Mp4, "mp42-faststart.mp4", size, 600, None),
        (Mp4, "fragmented.mp4", size, 600, None),
        (M4v, "itunes.m4v", size, 600, None),
        (Mov, "qt.mov", size, 600, None),
        (ThreeGp, "phone.3gp", Some((192, 144)), 600, None),
        (M4a, "voice.m4a", None, 300, None),
        (Mp4, "isom-sound-only.mp4", None, 300, Some(Kind::Audio)),
    ] {
        let expected = Facts {
            duration_ms: Some(duration_ms),
            kind,
            ..size.map_or_else(Facts::default, |(width, height)| image(width, height))
        };
        assert_eq!(facts_of(format, &sample(file)), expected, "{file}");
    }
}

#[test]
fn a_film_is_as_large_as_it_is_shown() {
    const ONE: u32 = 1 << 16;
    const MINUS_ONE: u32 = u32::MAX << 16;
    let turned = |matrix| vec![video().but(|it| it.matrix = matrix)];
    let sized = |width, height| video().but(|it| it.sides = (width, height));
    let large = sized(640 << 16, 480 << 16);
    let disabled = large.clone().but(|it| it.flags = 0);
    let fractional = sized((427 << 16) - 100, (180 << 16) + 100);
    let (wide, high) = (Some((64, 48)), Some((48, 64)));
    let absurd = sized(u32::MAX, 0).but(|it| it.coded = (0, 9));
    for (case, tracks, expected) in [
        ("upright", turned(UPRIGHT), wide),
        ("a quarter", turned([0, ONE, 0, MINUS_ONE, 0]), high),
        ("half", turned([MINUS_ONE, 0, 0, 0, MINUS_ONE]), wide),
        ("back", turned([0, MINUS_ONE, 0, ONE, 0]), high),
        ("no matrix", turned([0; 5]), wide),
        ("two sizes", vec![video(), large], Some((640, 480))),
        ("disabled", vec![video(), disabled.clone()], wide),
        ("none enabled", vec![disabled], Some((640, 480))),
        ("by what is coded", vec![sized(0, 0)], Some((640, 480))),
        ("between two pixels", vec![fractional], Some((427, 180))),
        ("no size", vec![absurd], None),
        ("audio", vec![audio()], None),
    ] {
        let tracks: Vec<u8> = tracks.iter().flat_map(Made::boxes).collect();
        let facts = facts_of(Mp4, &ten_seconds(&tracks));
        assert_eq!(facts.width.zip(facts.height), expected, "{case}");
    }
}

#[test]
fn sound_without_a_picture_is_a_sound_whatever_the_brand_says() {
    let cover = &video().but(|it| it.coding = b"jpeg");
    let text = &video().but(|it| it.handler = b"text");
    let (video, audio) = (&video(), &audio());
    let (to_video, to_audio) = (Some(Kind::Video), Some(Kind::Audio));
    for (case, format, tracks, expected) in [
        ("a video", Mp4, &[video, audio][..], None),
        ("a silent video", Mp4, &[video], None),
        ("audio", Mp4, &[audio], to_audio),
        ("audio in MOV", Mov, &[audio], to_audio),
        ("audio in 3GP", ThreeGp, &[text, audio], to_audio),
        ("audio in M4A", M4a, &[audio], None),
        ("a cover in M4A", M4a, &[audio, cover], None),
        ("video in M4A", M4a, &[audio, video], to_video),
        ("motion JPEG", Mov, &[audio, cover], None),
        ("neither", Mp4, &[text], None),
        ("nothing", Mp4, &[], None),
    ] {
        let tracks: Vec<u8> = tracks.iter().flat_map(|track| track.boxes()).collect();
        let facts = facts_of(format, &ten_seconds(&tracks));
        assert_eq!(facts.kind, expected, "{case}");
    }
}

#[test]
fn the_movie_tells_its_duration_unless_its_samples_contradict() {
    let tracks = [video().boxes(), audio().boxes()].concat();
    let with = |header: &[u8]| movie(&[header, &tracks]);
    let told = |timescale, duration| with(&mvhd(timescale, duration));
    let large = |a, b| {
        let header = words(&[1 << 24, 0, 0, 0, 0, 1000, a, b]);
        with(&boxed(b"mvhd", &[&header]))
    };
    let list = boxed(b"elst", &[&words(&[0, 1, 2000, 500, 1 << 16])]);
    let cut = video().but(|it| it.edits = boxed(b"edts", &[&list]));
    let without_time = video().but(|it| it.timescale = 0);
    let endless = video().but(|it| it.times = vec![u32::MAX; 8]);
    let cut = movie(&[&mvhd(1000, 2000), &cut.boxes()]);
    let without_time = movie(&[&mvhd(0, 1), &without_time.boxes()]);
    for (case, file, expected) in [
        ("mvhd", told(600, 5400), Some(9000)),
        ("rounded", told(90_000, 720_045), Some(8001)),
        ("mvhd of all ones", told(600, u32::MAX), Some(10_000)),
        ("mvhd of zero", told(600, 0), Some(10_000)),
        ("no units", told(0, 600), Some(10_000)),
        ("far too short", told(30_000, 10_000), Some(10_000)),
        ("far too long", told(1, 10_000), Some(10_000)),
        ("no mvhd", with(&[]), Some(10_000)),
        ("64 bits", large(1, 0), Some(10_000)),
        ("64 bits of ones", large(u32::MAX, u32::MAX), Some(10_000)),
        ("mvhd alone", movie(&[&mvhd(600, 5400)]), Some(9000)),
        ("cut", cut, Some(2000)),
        ("track without units", without_time, None),
        ("samples without end", movie(&[&endless.boxes()]), None),
        ("nothing", movie(&[]), None),
    ] {
        assert_eq!(duration_of(&file), expected, "{case}");
    }
}

/// A fragmented file: `moov` with `mvex`, then the fragments.
fn fragmented(mehd: &[u8], fragments: &[&[u8]]) -> Vec<u8> {
    let none = video().but(|it| it.times.clear());
    let trex = boxed(b"trex", &[&words(&[0, 1, 1, 40, 0, 0])]);
    let mvex = boxed(b"mvex", &[mehd, &trex]);
    let moov = boxed(b"moov", &[&mvhd(1000, 0), &none.boxes(), &mvex]);
    [boxed(b"ftyp", &[b"isom\0\0\0\0"]), moov, fragments.concat()].concat()
}

fn moof(traf: &[&[u8]]) -> Vec<u8> {
    let mfhd = boxed(b"mfhd", &[&[0; 8]]);
    let moof = boxed(b"moof", &[&mfhd, &boxed(b"traf", traf)]);
    [moof, boxed(b"mdat", &[b"samples"])].concat()
}

#[test]
fn fragments_are_added_up() {
    let made = |kind, numbers: &[u32]| boxed(kind, &[&words(numbers)]);
    let tfhd = made(b"tfhd", &[0, 1]);
    let tfhd_30 = made(b"tfhd", &[0x2B, 1, 0, 0, 7, 30, 9]);
    let other = made(b"tfhd", &[0, 9]);
    let [tfdt_0, tfdt_2000] = [0, 2000].map(|time| made(b"tfdt", &[0, time]));
    let tfdt_64 = made(b"tfdt", &[1 << 24, 0, 5000]);
    let ten = made(b"trun", &[0, 10]);
    let two = made(b"trun", &[0x105, 2, 0, 0, 100, 200]);
    let three = [0xF01, 3, 0, 10, 1, 1, 1, 20, 2, 2, 2, 30, 3, 3, 3];
    let three = made(b"trun", &three);
    let lying = made(b"trun", &[0x100, u32::MAX, 100]);
    let mehd = |duration| made(b"mehd", &[0, duration]);
    let usual = &moof(&[&tfhd, &ten])[..];
    let with_64_bits = moof(&[&tfhd, &tfdt_64, &ten]);
    let [early, late] = [tfdt_0, tfdt_2000].map(|time| moof(&[&tfhd, &time, &ten]));
    for (case, mehd, fragments, expected) in [
        ("trex", vec![], &[usual][..], Some(400)),
        ("tfhd", vec![], &[&moof(&[&tfhd_30, &ten])], Some(300)),
        ("own", vec![], &[&moof(&[&tfhd, &two, &three])], Some(360)),
        ("one after the other", vec![], &[usual, usual], Some(800)),
        ("with a gap", vec![], &[&early, &late], Some(2400)),
        ("64 bits", vec![], &[&with_64_bits], Some(5400)),
        ("mehd", mehd(1234), &[usual], Some(1234)),
        ("mehd of zero", mehd(0), &[usual], Some(400)),
        ("no such track", vec![], &[&moof(&[&other, &ten])], None),
        ("a lie", vec![], &[&moof(&[&tfhd, &lying])], Some(100)),
        ("no fragments", vec![], &[], None),
    ] {
        let duration = duration_of(&fragmented(&mehd, fragments));
        assert_eq!(duration, expected, "{case}");
    }
}

#[test]
fn sizes_that_lie_cost_nothing() {
    let track = video().boxes();
    let moov = boxed(b"moov", &[&mvhd(1000, 10_000), &track]);
    let mut endless_table = video().boxes();
    let at = memchr::memmem::find(&endless_table, b"stts").expect("a table");
    endless_table[at + 8..at + 12].fill(0xFF);
    let large = |size: u64| [b"\0\0\0\x01mdat", &size.to_be_bytes()[..]].concat();
    for (case, start, duration) in [
        ("2^31", b"\x80\0\0\0mdat".to_vec(), None),
        ("2^63", large(1 << 63), None),
        ("2^64 - 1", large(u64::MAX), None),
        ("64 bits, but small", large(16), Some(10_000)),
        ("to the end", b"\0\0\0\0mdat".to_vec(), None),
        ("smaller than itself", b"\0\0\0\x07mdat".to_vec(), None),
        ("64 bits, smaller", large(15), None),
    ] {
        let file = [&start[..], &moov].concat();
        assert_eq!(duration_of(&file), duration, "{case}");
    }
    let small_child = [b"\0\0\0\x03trak", &track[..]].concat();
    for (case, file) in [
        ("a table without end", ten_seconds(&endless_table)),
        ("a child past its parent", ten_seconds(b"\x7F\0\0\0trak")),
        ("a child of size 3", ten_seconds(&small_child)),
        ("four bytes after", [&moov[..], b"\0\0\0\0"].concat()),
        ("noise after", [&moov[..], &[0xFE; 99]].concat()),
    ] {
        assert_eq!(duration_of(&file), Some(10_000), "{case}");
    }
}

/// Returns the report of a file too long for memory, and whether any of it was overwritten.
fn long(start: &[u8], chunk: &[u8], times: usize, end: &[u8]) -> (Report, bool) {
    let mut walker = Walker::new(Mp4, Strip::Location).expect("a format that is walked");
    let mut edits = Vec::new();
    let chunk = Bytes::copy_from_slice(chunk);
    walker.see(&Bytes::copy_from_slice(start), &mut edits);
    for _ in 0..times {
        walker.see(&chunk, &mut edits);
    }
    walker.see(&Bytes::copy_from_slice(end), &mut edits);
    let report = walker.end(&mut edits);
    (report, !edits.is_empty())
}

#[test]
fn a_gigabyte_before_the_index_is_passed_over() {
    let moov = boxed(b"moov", &[&mvhd(1000, 10_000), &video().boxes()]);
    let mdat = [&((1_u32 << 30) + 8).to_be_bytes()[..], b"mdat"].concat();
    let (report, is_edited) = long(&mdat, &[7; 1 << 20], 1024, &moov);
    assert_eq!(report.facts.duration_ms, Some(10_000));
    assert_eq!((report.geo, is_edited), (Geo::None, false));
}

#[test]
fn a_packet_of_64_mib_is_kept() {
    const XMP: &[u8] = b"\xbe\x7a\xcf\xcb\x97\xa9\x42\xe8\x9c\x71\x99\x94\x91\xe3\xaf\xac";
    let moov = boxed(b"moov", &[&mvhd(1000, 10_000), &video().boxes()]);
    let uuid = [&((64_u32 << 20) + 24).to_be_bytes()[..], b"uuid", XMP].concat();
    let (report, is_edited) = long(&uuid, &[b' '; 1 << 20], 64, &moov);
    assert_eq!(report.facts.duration_ms, Some(10_000));
    assert_eq!((report.geo, is_edited), (Geo::Kept, false));
}

#[test]
fn a_million_boxes_end_the_walk() {
    let start = movie(&[&mvhd(1000, 10_000)]);
    let many = boxed(b"free", &[]).repeat(MAX_BOXES as usize);
    let trailing = boxed(b"moov", &[&mvhd(1000, 20_000)]);
    let file = [start, many, trailing].concat();
    let report = pass(Mp4, Strip::Location, &file, 1 << 16).report;
    assert_eq!(report.facts.duration_ms, Some(10_000));
    assert_eq!(report.geo, Geo::Kept);
}

#[test]
fn nested_boxes_are_no_stack() {
    let mut file = Vec::new();
    for _ in 0..100_000 {
        file.extend(b"\x7F\0\0\0moov\x7F\0\0\0trak\x7F\0\0\0udta\x7F\0\0\0meta");
    }
    let report = pass(Mov, Strip::Device, &file, 4096).report;
    assert_eq!(report.facts, Facts::default());
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

/// Walks through a movie twice, checks the invariants, and returns the result.
fn cleaned(strip: Strip, file: &[u8]) -> (Geo, Vec<u8>) {
    let passed = pass_in_any_chunks(Mp4, strip, file);
    assert_eq!(passed.report.facts, facts_of(Mp4, file));
    assert_eq!(passed.bytes.len(), file.len());
    let again = pass(Mp4, strip, &passed.bytes, 999);
    assert!(again.bytes == passed.bytes, "a second time changes nothing");
    (passed.report.geo, passed.bytes)
}

/// `meta` as in ISO files.
fn meta(parts: &[&[u8]]) -> Vec<u8> {
    let hdlr = boxed(b"hdlr", &[&[0; 25]]);
    boxed(b"meta", &[&[0; 4], &hdlr, &parts.concat()])
}

/// `meta` as in QuickTime files.
fn quicktime_meta(parts: &[&[u8]]) -> Vec<u8> {
    boxed(b"meta", &[&boxed(b"hdlr", &[&[0; 24]]), &parts.concat()])
}

#[test]
fn boxes_with_a_place_become_empty_space() {
    let android = boxed(b"\xA9xyz", &[b"\0\x12\x15\xC7", PLACE]);
    let loci = boxed(b"loci", &[&[0; 6], b"\0", PLACE, b"\0\0"]);
    let google = boxed(b"\xA9xyz", &[&boxed(b"data", &[&words(&[1, 0]), PLACE])]);
    let list = meta(&[&boxed(b"ilst", &[&google])]);
    let name = boxed(b"name", &[b"kept"]);
    let udta = |inner: &[u8]| boxed(b"udta", &[&name, inner, b"\0\0\0\0"]);
    let garmin = b"\x9b\x63\x0f\x8d\x63\x74\x40\xec\x82\x04\xbc\x5f\xf5\x09\x17\x28";
    let garmin = &boxed(b"uuid", &[garmin, PLACE]);
    let xmp = b"\xbe\x7a\xcf\xcb\x97\xa9\x42\xe8\x9c\x71\x99\x94\x91\xe3\xaf\xac";
    let packet = b"<x:xmpmeta exif:GPSLatitude='+27.2939+112.6932/'/>";
    let key = keys(&["com.apple.quicktime.location.ISO6709"]);
    let apple = &quicktime_meta(&[&key, &values(1, &[PLACE])]);
    let sony = boxed(b"xml ", &[&[0; 4], b"<Latitude>", PLACE]);
    let ligo = boxed(b"skip", &[b"\0\0LIGOGPSINFO\0", PLACE]);
    let track = |udta: &[u8]| video().boxes_with(udta);
    for (case, inside, at_top) in [
        ("Android", &udta(&android)[..], &[][..]),
        ("in a track", &track(&udta(&android)), &[]),
        ("3GPP", &udta(&loci), &[]),
        ("Google Photos", &udta(&list), &[]),
        ("Apple's keys", apple, &[]),
        ("Apple's keys in udta", &udta(apple), &[]),
        ("dash-cam", &boxed(b"gps0", &[PLACE]), &[]),
        ("Garmin", garmin, &[]),
        ("Garmin's own box", &[], garmin),
        ("XMP", &[], &boxed(b"uuid", &[xmp, packet])),
        ("XMP in udta", &udta(&boxed(b"XMP_", &[packet])), &[]),
        ("GoPro's own box", &[], &boxed(b"GPS ", &[PLACE])),
        ("in empty space", &[], &ligo),
        ("Novatek's", &[], &boxed(b"free", &[b"GPS ", PLACE])),
        ("Sony's text", &[], &meta(&[&sony])),
    ] {
        let boxes = [&track(b""), inside].concat();
        let file = [&ten_seconds(&boxes), at_top].concat();
        assert!(finds(&file, PLACE), "{case}");
        let (geo, bytes) = cleaned(Strip::Location, &file);
        assert_eq!(geo, Geo::Removed, "{case}");
        assert!(!finds(&bytes, PLACE), "{case}");
        assert_eq!(finds(&bytes, b"kept"), finds(&file, b"kept"), "{case}");
        assert!(finds(&bytes, b"free moov trak \xA9xyz loci"), "{case}");
    }
}

#[test]
fn what_tells_no_place_stays_byte_for_byte() {
    let title = boxed(b"data", &[&words(&[1, 0]), b"a title"]);
    let list = meta(&[&boxed(b"ilst", &[&boxed(b"\xA9nam", &[&title])])]);
    let model = boxed(b"\xA9mod", &[b"\0\x05\x15\xC7Phone"]);
    let udta = boxed(b"udta", &[&model, &list]);
    let key = keys(&["com.apple.quicktime.make"]);
    let keyed = meta(&[&key, &values(1, &[b"Apple"])]);
    let faces = video().but(|it| (it.coding, it.handler) = (b"mebx", b"meta"));
    let tracks = [video().boxes(), faces.boxes()].concat();
    let movie = ten_seconds(&[tracks, udta, keyed].concat());
    let packet = boxed(b"XMP_", &[b"<x:xmpmeta/>"]);
    let file = [movie, packet, boxed(b"free", &[&[7; 99]])].concat();
    let (geo, bytes) = cleaned(Strip::Location, &file);
    assert_eq!(geo, Geo::None);
    assert!(bytes == file);

    let (geo, bytes) = cleaned(Strip::Device, &file);
    assert_eq!(geo, Geo::Removed);
    for device in ["Phone", "Apple", "quicktime.make", "xmpmeta"] {
        assert!(!finds(&bytes, device.as_bytes()), "{device}");
    }
    assert!(finds(&bytes, b"a title"));
}

#[test]
fn a_key_goes_with_its_value_and_leaves_the_others() {
    let names = [
        "com.apple.quicktime.make",
        "com.apple.quicktime.location.name",
        "com.android.capture.fps",
    ];
    let keys = keys(&names);
    let values = |kind| values(kind, &[b"Apple", b"Some Town", b"60.0"]);
    let keys_first = |kind| ten_seconds(&quicktime_meta(&[&keys, &values(kind)]));
    let (geo, bytes) = cleaned(Strip::Location, &keys_first(1));
    assert_eq!(geo, Geo::Removed);
    for kept in ["Apple", "60.0", "capture.fps"] {
        assert!(finds(&bytes, kept.as_bytes()), "{kept}");
    }
    assert!(!finds(&bytes, b"Some Town") && !finds(&bytes, b"location"));
    assert!(finds(&bytes, b"data\0\0\0\x01\0\0\0\0         \0"));
    let (_, bytes) = cleaned(Strip::Location, &keys_first(23));
    let zeros = b"data\0\0\0\x17\0\0\0\0\0\0\0\0\0\0\0\0\0";
    assert!(finds(&bytes, zeros));

    let values_first = ten_seconds(&quicktime_meta(&[&values(1), &keys]));
    let (geo, _) = cleaned(Strip::Location, &values_first);
    assert_eq!(geo, Geo::Kept);
}

#[test]
fn a_telemetry_track_is_hidden_and_said_to_be_kept() {
    let telemetry = |coding| {
        let track = video().but(|it| (it.coding, it.handler) = (coding, b"meta"));
        track.but(|it| it.times = vec![1, 1])
    };
    let mut places = telemetry(b"mebx").boxes();
    let stsd = memchr::memmem::find(&places, b"mebx").expect("an entry");
    places[stsd + 20..stsd + 40].copy_from_slice(b"quicktime.location.x");
    let [gopro, google] = [b"gpmd", b"camm"].map(|coding| telemetry(coding).boxes());
    for track in [gopro, google, places] {
        let file = ten_seconds(&[&video().boxes()[..], &track].concat());
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
    let movie = ten_seconds(&video().boxes());
    let offsets = boxed(b"gps ", &[&[1; 16]]);
    let list = boxed(b"udta", &[b"\0\0\0\x02loci"]);
    for (case, trailing) in [
        ("noise", &[0xFE; 40][..]),
        ("a trailer like a box", b"8db42d694ccc418790edff439fe026bf"),
        ("a box that is cut off", b"\0\0\x10\0udta\0\0\0\x20name"),
        ("offsets of a dash-cam", &boxed(b"moov", &[&offsets])),
        ("a list in a list of size 2", &boxed(b"moov", &[&list])),
    ] {
        let (geo, _) = cleaned(Strip::Location, &[&movie, trailing].concat());
        assert_eq!(geo, Geo::Kept, "{case}");
    }
}

/// Movies with metadata of all kinds, some bytes changed, perhaps truncated.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let gps = [keys(&["gps", "make"]), values(1, &[b"a", b"b"])].concat();
    let [loci, meta] = [
        boxed(b"loci", &[&[1; 20]]),
        boxed(b"meta", &[&[0; 4], &gps]),
    ];
    let udta = boxed(b"udta", &[&loci, &meta]);
    let uuid = boxed(b"uuid", &[&[0x9b; 40]]);
    let mut files = ["isom.mp4", "fragmented.mp4", "qt.mov"]
        .map(sample)
        .to_vec();
    files.push(ten_seconds(&[video().boxes(), udta, uuid].concat()));
    let files = files.into_iter().map(|file| (Mp4, file)).collect();
    let cut = prop::option::of(any::<prop::sample::Index>());
    (changed(files, usize::MAX), cut).prop_map(|((_, mut bytes), cut)| {
        bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
        bytes
    })
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_bytes_in_any_chunks_keep_their_length_and_facts(bytes in hostile(), size in 1..400_usize) {
        for strip in [Strip::Location, Strip::Device] {
            let (whole, again) = passed_twice(Mp4, strip, &bytes, size);
            prop_assert_eq!(again.report.facts, whole.report.facts);
        }
    }
}
