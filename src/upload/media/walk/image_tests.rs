//! Metadata of images is overwritten: locations are gone, every other byte is unchanged, and a second
//! walk finds nothing.

use proptest::prelude::*;

use super::{
    tests::{
        boxed, cases, changed, chunk, exif, frame, pass, pass_in_any_chunks, passed_twice,
        png_start, riff, segment,
    },
    *,
};
use Format::{Gif, Heic as HeicFile, Jpeg, Png, Webp};
use Geo::Removed;

const PACKET: &str = "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF \
    xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description \
    xmlns:exif='http://ns.adobe.com/exif/1.0/' exif:GPSLatitude='47,13.6N'/></rdf:RDF></x:xmpmeta>";
/// Samsung's record of a country, up to its code.
const MCC: &[u8] = b"\0\0\xA1\x0A\x08\0\0\0MCC_Data";
const LATITUDE: &str = "exif:GPSLatitude='47,13.6N'";
/// 47° 13' 38" in EXIF.
const DEGREES: &[u8] = b"\x2F\0\0\0\x01\0\0\0\x0D\0\0\0\x01\0\0\0\x26\0\0\0\x01\0\0\0";

fn concat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A block with an orientation and a latitude.
fn block() -> Vec<u8> {
    let head = b"II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x25\x88\x04\0\x01\0\0\0\x26\0\0\0\0\0\0\0";
    let gps = b"\x01\0\x02\0\x05\0\x03\0\0\0\x38\0\0\0\0\0\0\0";
    concat(&[head, gps, DEGREES])
}

/// The block as it must be stored.
fn cleaned_block() -> Vec<u8> {
    let head = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut cleaned = head.to_vec();
    cleaned.resize(block().len(), 0);
    cleaned
}

fn cleaned_packet() -> String {
    PACKET.replace(LATITUDE, &" ".repeat(LATITUDE.len()))
}

/// A movie with a location, or the movie as it must be stored.
fn movie(is_cleaned: bool) -> Vec<u8> {
    let location: &[u8] = b"\0\x04\x15\xC7+27/";
    let location = if is_cleaned {
        boxed(b"free", &[&[0; 8]])
    } else {
        boxed(b"\xA9xyz", &[location])
    };
    concat(&[
        &boxed(b"ftyp", &[b"isom\0\0\0\0isom"]),
        &boxed(b"mdat", &[&[7; 50]]),
        &boxed(b"moov", &[&boxed(b"udta", &[&location])]),
    ])
}

/// An image of 300 × 200 with these segments.
fn jpeg(segments: &[&[u8]]) -> Vec<u8> {
    tests::jpeg(&[&segments.concat(), &frame()])
}

fn xmp(packet: &[u8]) -> Vec<u8> {
    segment(0xE1, &concat(&[b"http://ns.adobe.com/xap/1.0/\0", packet]))
}

fn extended(piece: &[u8]) -> Vec<u8> {
    let name = b"http://ns.adobe.com/xmp/extension/\0";
    segment(0xE1, &concat(&[name, &[b'A'; 32], &[0; 8], piece]))
}

fn resources(city: &[u8]) -> Vec<u8> {
    let resource = b"Photoshop 3.0\08BIM\x04\x04\0\0\0\0\0\x07\x1C\x02";
    segment(0xED, &concat(&[resource, city, &[0, 2], b"Rm\0"]))
}

fn zeros(segment: &[u8]) -> Vec<u8> {
    let (head, data) = segment.split_at(4);
    concat(&[head, &vec![0; data.len()]])
}

/// Checks the invariants of an image, and that its result is as expected.
#[track_caller]
fn assert_becomes(format: Format, strip: Strip, before: &[u8], after: &[u8], geo: Geo, case: &str) {
    let passed = pass_in_any_chunks(format, strip, before);
    let mut pairs = passed.bytes.iter().zip(after);
    let differs = pairs.position(|(one, two)| one != two);
    assert_eq!((passed.bytes.len(), differs), (after.len(), None), "{case}");
    assert_eq!(passed.report.geo, geo, "{case}");
    let facts = pass(format, Strip::Off, before, 999).report.facts;
    assert_eq!(passed.report.facts, facts, "{case}");
    let again = pass(format, strip, after, 999);
    assert!(again.bytes == after, "{case}: not idempotent");
}

/// Makes trailing data from another image, a movie, and a country code.
type Trailing = fn(&[u8], &[u8], &[u8]) -> Vec<u8>;

#[test]
fn segments_of_a_jpeg_and_what_is_behind_it() {
    let (packet, clean_packet) = (xmp(PACKET.as_bytes()), xmp(cleaned_packet().as_bytes()));
    let (named, unnamed) = (extended(b"<a GPSLatitude='"), extended(b"47,13N'/>"));
    let (city, title) = (resources(&[90]), resources(&[5]));
    let gopro = segment(0xE6, b"GoPro\0GPS5");
    let profile = segment(0xE2, b"ICC_PROFILE\0\x01\x01");
    let (gps, clean) = (exif(&block()), exif(&cleaned_block()));
    let [none, gone] = [zeros(&named), zeros(&unnamed)];
    let pieces = concat(&[&unnamed, &named, &unnamed]);
    let clean_pieces = concat(&[&unnamed, &none, &gone]);
    let rest = concat(&[&clean, &exif(DEGREES)]);
    let clean_rest = concat(&[&clean, &exif(&[0; 24])]);
    for (case, before, after) in [
        ("EXIF", &gps, &clean),
        ("XMP", &packet, &clean_packet),
        ("a packet in pieces", &pieces, &clean_pieces),
        ("IPTC", &city, &zeros(&city)),
        ("GoPro", &gopro, &zeros(&gopro)),
        ("the rest of a block in another segment", &rest, &clean_rest),
    ] {
        let [before, after] = [before, after].map(|segments| jpeg(&[segments]));
        assert_becomes(Jpeg, Strip::Location, &before, &after, Geo::Removed, case);
    }
    let plain = jpeg(&[]);
    let stays = |case, file: &[u8], geo| {
        assert_becomes(Jpeg, Strip::Location, file, file, geo, case);
    };
    stays("nothing", &jpeg(&[&profile, &title]), Geo::None);
    stays("a text", &concat(&[&plain, b"a ftyp b"]), Geo::None);
    let no_image = concat(&[&plain, b"\xFF\xD8\xFF\xE1\0\x01"]);
    stays("an image that is none", &no_image, Geo::Kept);
    stays("zeros", &concat(&[&plain, &[0; 99]]), Geo::None);
    stays("cut off in its scan", &plain[..30], Geo::None);
    stays("no length", b"\xFF\xD8\xFF\xE1\0\0", Geo::Kept);

    let trailing: [(_, Trailing); 5] = [
        ("another image", |image, _, _| image.to_vec()),
        ("padding and another image", |image, _, _| {
            concat(&[&[0; 9], image])
        }),
        ("a movie", |_, movie, _| movie.to_vec()),
        ("a movie after another image", |image, movie, _| {
            concat(&[image, movie])
        }),
        ("Samsung's records", |_, movie, country| {
            let name = b"\0\0\x30\x0A\x10\0\0\0MotionPhoto_Data";
            concat(&[name, movie, MCC, country, b"SEFT"])
        }),
    ];
    for (case, trailing) in trailing {
        let before = trailing(&jpeg(&[&gps]), &movie(false), b"460");
        let after = trailing(&jpeg(&[&clean]), &movie(true), b"000");
        let [before, after] = [before, after].map(|data| concat(&[&plain, &data]));
        assert_becomes(Jpeg, Strip::Location, &before, &after, Geo::Removed, case);
    }
}

#[test]
fn a_jpeg_without_its_device() {
    let note = segment(0xFE, b"a camera");
    let makers = segment(0xE5, b"a maker");
    let profile = segment(0xE2, b"ICC_PROFILE\0\x01\x01");
    let adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0\0");
    let before = jpeg(&[&note, &makers, &profile, &adobe, &exif(&block())]);
    let (note, makers, clean) = (zeros(&note), zeros(&makers), exif(&cleaned_block()));
    let after = jpeg(&[&note, &makers, &profile, &adobe, &clean]);
    let (device, removed) = (Strip::Device, Geo::Removed);
    assert_becomes(Jpeg, device, &before, &after, removed, "segments");
    let unknown = concat(&[&jpeg(&[]), b"unknown"]);
    assert_becomes(Jpeg, device, &unknown, &unknown, Geo::Kept, "trailing data");
}

fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
    let (pixels, end) = (chunk(b"IDAT", &[1, 2, 3]), chunk(b"IEND", &[]));
    concat(&[&png_start(), &chunks.concat(), &pixels, &end])
}

#[test]
fn metadata_of_a_png() {
    let void = |data: &[u8]| chunk(b"voId", &vec![0; data.len()]);
    let text = |packet: &[u8]| concat(&[b"XML:com.adobe.xmp\0\0\0en\0x\0", packet]);
    let packed = concat(&[b"XML:com.adobe.xmp\0\x01\0\0\0", &[1, 2, 3]]);
    let profile = concat(&[b"Raw profile type exif\0\nexif\n  4\n", b"45786966\n"]);
    let large = concat(&[b"Raw profile type APP1\0", &vec![b'0'; 600 * 1024]]);
    let field = b"exif:GPSLatitude\x0047/1, 13/1, 38/1";
    let comment = b"Comment\0made on a phone";
    let keep = chunk(b"tEXt", comment);
    let [gps, clean] = [block(), cleaned_block()].map(|block| chunk(b"eXIf", &block));
    let [xmp, clean_xmp] = [PACKET.to_owned(), cleaned_packet()]
        .map(|packet| chunk(b"iTXt", &text(packet.as_bytes())));
    for (case, before, after, geo) in [
        ("a text", keep.clone(), keep.clone(), Geo::None),
        ("EXIF", gps, clean, Removed),
        ("XMP", xmp, clean_xmp, Removed),
        ("packed", chunk(b"iTXt", &packed), void(&packed), Removed),
        ("profile", chunk(b"tEXt", &profile), void(&profile), Removed),
        ("a large one", chunk(b"zTXt", &large), void(&large), Removed),
        ("a field", chunk(b"tEXt", field), void(field), Removed),
    ] {
        let (before, after) = (png(&[before]), png(&[after]));
        let passed = pass(Png, Strip::Location, &before, 1000);
        assert!(passed.bytes == after, "{case}");
        assert_eq!(passed.report.geo, geo, "{case}");
        if before.len() < 9999 {
            assert_becomes(Png, Strip::Location, &before, &after, geo, case);
        }
    }
    let time = chunk(b"tIME", &[7; 7]);
    let (before, after) = (png(&[keep, time]), png(&[void(comment), void(&[7; 7])]));
    assert_becomes(Png, Strip::Device, &before, &after, Geo::Removed, "device");
    // Too large to collect: reported as kept, and never held.
    let start = b"\x7F\xFF\xFF\xFFeXIf";
    let endless = concat(&[&png_start(), start, &vec![1; 600 * 1024]]);
    let passed = pass(Png, Strip::Location, &endless, 4096);
    assert_eq!(passed.report.geo, Geo::Kept);
    assert!(passed.bytes == endless);
}

#[test]
fn metadata_of_a_webp() {
    let canvas = riff(b"VP8X", &[0x0C, 0, 0, 0, 43, 1, 0, 199, 0, 0]);
    let webp = |name: &[u8], block: &[u8], packet: &str| {
        let exif = riff(b"EXIF", &concat(&[name, block]));
        let xmp = riff(b"XMP ", packet.as_bytes());
        concat(&[b"RIFF\0\0\0\0WEBP", &canvas, &exif, &xmp])
    };
    for name in [b"".as_slice(), b"Exif\0\0"] {
        let before = webp(name, &block(), PACKET);
        let after = webp(name, &cleaned_block(), &cleaned_packet());
        assert_becomes(Webp, Strip::Location, &before, &after, Geo::Removed, "both");
        assert_becomes(Webp, Strip::Location, &after, &after, Geo::None, "none");
    }
}

#[test]
fn extensions_of_a_gif() {
    let gif = |packet: &str, comment: &[u8; 7]| {
        let trailer: Vec<u8> = [1].into_iter().chain((0..=255).rev()).chain([0]).collect();
        concat(&[
            b"GIF89a\x09\0\x08\0\0\0\0\x21\xFF\x0BXMP DataXMP",
            packet.as_bytes(),
            &trailer,
            &[0x21, 0xFE, 7],
            comment,
            b"\0\x2C\0\0\0\0\x05\0\x04\0\0\x02\x01\0\0\x3B",
        ])
    };
    let before = gif(PACKET, b"a phone");
    let after = gif(&cleaned_packet(), b"a phone");
    assert_becomes(Gif, Strip::Location, &before, &after, Geo::Removed, "XMP");
    assert_becomes(Gif, Strip::Location, &after, &after, Geo::None, "nothing");
    let passed = pass_in_any_chunks(Gif, Strip::Device, &before);
    assert!(passed.bytes == gif(&cleaned_packet(), b"       "));
    let cut = &concat(&[&before[..27], b"\x05GPSLa\0\x3B"]);
    assert_becomes(Gif, Strip::Location, cut, cut, Geo::Kept, "no trailer");
}

/// EXIF data of an item: the offset of the block, a name, the block.
fn item(block: &[u8]) -> Vec<u8> {
    concat(&[&[0, 0, 0, 6], b"Exif\0\0", block])
}

/// The id of an item, and the offset and length of each extent.
type Extents = (u8, Vec<(u32, u32)>);

/// Items 1, 2 and so on, each with one extent.
fn whole<const N: usize>(pieces: [(u32, u32); N]) -> Vec<Extents> {
    let pieces = pieces.map(|piece| vec![piece]);
    (1..).zip(pieces).collect()
}

/// Parameters of a HEIC: items 1 and 2 are EXIF data and XMP, item 3 is the pixels.
struct Heic {
    is_media_first: bool,
    /// EXIF data and XMP are in `idat`, within `meta`.
    is_inside: bool,
    /// Makes the extents by the offsets of the three items.
    extents: fn(u32, u32, u32) -> Vec<Extents>,
    trailing: Vec<u8>,
}

impl Heic {
    fn usual() -> Self {
        Self {
            is_media_first: false,
            is_inside: false,
            extents: |exif, xmp, pixels| {
                let (exif_len, xmp_len) = (item(&block()).len() as u32, PACKET.len() as u32);
                whole([(exif, exif_len), (xmp, xmp_len), (pixels, 40)])
            },
            trailing: Vec::new(),
        }
    }

    fn but(change: impl FnOnce(&mut Self)) -> Self {
        let mut heic = Self::usual();
        change(&mut heic);
        heic
    }

    fn file(&self, block: &[u8], packet: &[u8]) -> Vec<u8> {
        let brand = boxed(b"ftyp", &[b"heic\0\0\0\0"]);
        let metadata = concat(&[&item(block), packet]);
        let pixels = [9; 40];
        let mdat = if self.is_inside {
            boxed(b"mdat", &[&pixels])
        } else {
            boxed(b"mdat", &[&pixels, &metadata])
        };
        let meta_len = self.meta(0, 0, &metadata).len();
        let media_at = brand.len() + if self.is_media_first { 0 } else { meta_len } + 8;
        let exif_at = if self.is_inside {
            0
        } else {
            media_at + pixels.len()
        };
        let meta = self.meta(media_at as u32, exif_at as u32, &metadata);
        if self.is_media_first {
            concat(&[&brand, &mdat, &meta, &self.trailing])
        } else {
            concat(&[&brand, &meta, &mdat, &self.trailing])
        }
    }

    fn meta(&self, media_at: u32, exif_at: u32, metadata: &[u8]) -> Vec<u8> {
        let kinds = ["Exif\0", "mime\0application/rdf+xml\0", "hvc1\0"];
        let entries = (1..)
            .zip(kinds)
            .flat_map(|(id, kind)| boxed(b"infe", &[&[2, 0, 0, 0, 0, id, 0, 0], kind.as_bytes()]));
        let entries: Vec<u8> = entries.collect();
        let xmp_at = exif_at + item(&block()).len() as u32;
        let extents = (self.extents)(exif_at, xmp_at, media_at);
        // Offsets and lengths of four bytes, no base, no index.
        let mut iloc = vec![1, 0, 0, 0, 0x44, 0x00, 0, extents.len() as u8];
        for (id, pieces) in extents {
            let method = u8::from(self.is_inside && id != 3);
            iloc.extend([0, id, 0, method, 0, 0, 0, pieces.len() as u8]);
            for (at, len) in pieces {
                iloc.extend(concat(&[&at.to_be_bytes(), &len.to_be_bytes()]));
            }
        }
        let idat = if self.is_inside {
            boxed(b"idat", &[metadata])
        } else {
            Vec::new()
        };
        let iinf = boxed(b"iinf", &[&[0, 0, 0, 0, 0, 3], &entries]);
        let iloc = boxed(b"iloc", &[&iloc]);
        boxed(b"meta", &[&[0; 4], &iinf, &iloc, &idat])
    }
}

#[test]
fn items_of_a_heic() {
    let pixels_over = Heic::but(|it| {
        it.extents = |exif, xmp, pixels| whole([(exif, 9), (xmp, 9), (pixels, 50)]);
    });
    let in_pieces = Heic::but(|it| {
        it.extents = |exif, xmp, pixels| {
            let mut extents = whole([(exif, 9), (xmp, 9), (pixels, 40)]);
            extents[0].1.push((exif + 9, 9));
            extents
        };
    });
    let nowhere = Heic::but(|it| it.extents = |_, xmp, _| vec![(2, vec![(xmp, 9)])]);
    let too_early = Heic::but(|it| it.extents = |_, _, _| whole([(0, 9), (4, 5)]));
    let media_first = Heic::but(|it| it.is_media_first = true);
    let inside = Heic::but(|it| it.is_inside = true);
    for (case, heic, geo) in [
        ("usual", Heic::usual(), Geo::Removed),
        ("media first", media_first, Geo::Removed),
        ("inside", inside, Geo::Removed),
        ("overlapped by the pixels", pixels_over, Geo::Kept),
        ("in two pieces", in_pieces, Geo::Kept),
        ("nowhere", nowhere, Geo::Kept),
        ("too early", too_early, Geo::Kept),
    ] {
        let before = heic.file(&block(), PACKET.as_bytes());
        let after = match geo {
            Geo::Removed => heic.file(&cleaned_block(), cleaned_packet().as_bytes()),
            _ => before.clone(),
        };
        assert_becomes(HeicFile, Strip::Location, &before, &after, geo, case);
    }
    let with_trailer = |is_cleaned, country: &[u8]| {
        let record = boxed(b"sefd", &[MCC, country, b"SEFT"]);
        let video = boxed(b"mpvd", &[&movie(is_cleaned)]);
        let heic = Heic::but(|it| it.trailing = concat(&[&video, &record]));
        heic.file(&cleaned_block(), cleaned_packet().as_bytes())
    };
    let (before, after) = (with_trailer(false, b"460"), with_trailer(true, b"000"));
    let (location, removed) = (Strip::Location, Geo::Removed);
    assert_becomes(HeicFile, location, &before, &after, removed, "trailing");
}

/// Images with metadata of all kinds, some bytes changed.
fn hostile() -> impl Strategy<Value = (Format, Vec<u8>)> {
    let packet = PACKET.as_bytes();
    let trailing = concat(&[&jpeg(&[&exif(&block())]), &movie(false), b"MCC_Data460"]);
    let city = resources(&[90]);
    let segments = concat(&[&exif(&block()), &xmp(packet), &city, &extended(packet)]);
    let text = chunk(b"iTXt", &concat(&[b"XML:com.adobe.xmp\0\0\0\0\0", packet]));
    let field = chunk(b"tEXt", b"exif:GPSLatitude\x0047");
    let mut files = vec![
        (Jpeg, concat(&[&jpeg(&[&segments]), &trailing])),
        (Png, png(&[chunk(b"eXIf", &block()), text, field])),
    ];
    let media_first = Heic::but(|it| it.is_media_first = true);
    let inside = Heic::but(|it| it.is_inside = true);
    let heics = [Heic::usual(), media_first, inside];
    files.extend(heics.map(|heic| (HeicFile, heic.file(&block(), packet))));
    changed(files, usize::MAX)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_picture_that_lies_keeps_its_length_and_its_facts((format, bytes) in hostile(), size in 1..400_usize) {
        let facts = pass(format, Strip::Off, &bytes, 999).report.facts;
        for strip in [Strip::Location, Strip::Device] {
            let (whole, _) = passed_twice(format, strip, &bytes, size);
            prop_assert_eq!(whole.report.facts, facts);
        }
    }
}
