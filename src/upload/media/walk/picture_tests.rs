//! Metadata of pictures that are overwritten: what tells a place is gone, every other byte is where
//! it was, and a second walk finds nothing.

use proptest::prelude::*;

use super::{
    tests::{pass, pass_in_any_chunks},
    *,
};

const PACKET: &str = "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF \
    xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description \
    xmlns:exif='http://ns.adobe.com/exif/1.0/' exif:GPSLatitude='47,13.6N'/></rdf:RDF></x:xmpmeta>";
const LATITUDE: &str = "exif:GPSLatitude='47,13.6N'";
/// 47° 13' 38", as EXIF writes it.
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

/// The block as it is to be stored.
fn cleaned_block() -> Vec<u8> {
    let head = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut cleaned = head.to_vec();
    cleaned.resize(block().len(), 0);
    cleaned
}

fn cleaned_packet() -> String {
    PACKET.replace(LATITUDE, &" ".repeat(LATITUDE.len()))
}

fn sized(size: u32, kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    concat(&[&size.to_be_bytes(), kind, content])
}

fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    sized(content.len() as u32 + 8, kind, content)
}

/// A movie with a place, or what is to be stored of it.
fn movie(is_cleaned: bool) -> Vec<u8> {
    let place: &[u8] = b"\0\x04\x15\xC7+27/";
    let place = match is_cleaned {
        true => boxed(b"free", &[0; 8]),
        false => boxed(b"\xA9xyz", place),
    };
    concat(&[
        &boxed(b"ftyp", b"isom\0\0\0\0isom"),
        &boxed(b"mdat", &[7; 50]),
        &boxed(b"moov", &boxed(b"udta", &place)),
    ])
}

fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    let length = data.len() as u16 + 2;
    concat(&[&[0xFF, marker], &length.to_be_bytes(), data])
}

/// A picture of 300 × 200 with these segments, and bytes in its scan that resemble its end.
fn jpeg(segments: &[Vec<u8>]) -> Vec<u8> {
    let frame = segment(0xC0, &[8, 0, 200, 1, 44, 1, 1, 0x11, 0]);
    let scan = segment(0xDA, &[1, 1, 0, 0, 63, 0]);
    concat(&[
        b"\xFF\xD8",
        &segments.concat(),
        &frame,
        &scan,
        b"\x12\xFF\0\xD9\xFF\xD0\x34\xFF\xD9",
    ])
}

fn exif(block: &[u8]) -> Vec<u8> {
    segment(0xE1, &concat(&[b"Exif\0\0", block]))
}

fn xmp(packet: &[u8]) -> Vec<u8> {
    segment(0xE1, &concat(&[b"http://ns.adobe.com/xap/1.0/\0", packet]))
}

fn extended(piece: &[u8]) -> Vec<u8> {
    let name = b"http://ns.adobe.com/xmp/extension/\0";
    segment(0xE1, &concat(&[name, &[b'A'; 32], &[0; 8], piece]))
}

fn resources(city: &[u8]) -> Vec<u8> {
    let record = concat(&[&[0x1C, 2], city, &[0, 2], b"Rm\0"]);
    segment(
        0xED,
        &concat(&[b"Photoshop 3.0\08BIM\x04\x04\0\0\0\0\0\x07", &record]),
    )
}

fn zeros(segment: &[u8]) -> Vec<u8> {
    let (head, data) = segment.split_at(4);
    concat(&[head, &vec![0; data.len()]])
}

/// Checks what must hold for a picture, and that it becomes what it should.
#[track_caller]
fn assert_becomes(format: Format, strip: Strip, before: &[u8], after: &[u8], geo: Geo, case: &str) {
    let passed = pass_in_any_chunks(format, strip, before);
    let differs = passed
        .bytes
        .iter()
        .zip(after)
        .position(|(one, two)| one != two);
    assert_eq!((passed.bytes.len(), differs), (after.len(), None), "{case}");
    assert_eq!(passed.report.geo, geo, "{case}");
    let facts = pass(format, Strip::Off, before, 999).report.facts;
    assert_eq!(passed.report.facts, facts, "{case}");
    let again = pass(format, strip, after, 999);
    assert!(again.bytes == after, "{case}: not at once");
}

#[test]
fn segments_of_a_jpeg_and_what_is_behind_it() {
    let gps = exif(&block());
    let (packet, clean_packet) = (xmp(PACKET.as_bytes()), xmp(cleaned_packet().as_bytes()));
    let (named, unnamed) = (extended(b"<a GPSLatitude='"), extended(b"47,13N'/>"));
    let (city, title) = (resources(&[90]), resources(&[5]));
    let gopro = segment(0xE6, b"GoPro\0GPS5");
    let profile = segment(0xE2, b"ICC_PROFILE\0\x01\x01");
    let (before, after) = (jpeg(&[gps]), jpeg(&[exif(&cleaned_block())]));
    let both = |bytes: Vec<u8>| (bytes.clone(), bytes);
    let behind = |inner: (&[u8], &[u8])| {
        let plain = jpeg(&[]);
        (concat(&[&plain, inner.0]), concat(&[&plain, inner.1]))
    };
    let (film, clean_film) = (movie(false), movie(true));
    let records = |film: &[u8], country: &[u8]| {
        concat(&[
            b"\0\0\x30\x0A\x10\0\0\0MotionPhoto_Data",
            film,
            b"\0\0\xA1\x0A\x08\0\0\0MCC_Data",
            country,
            b"SEFT",
        ])
    };
    let fine = Geo::Removed;
    for (case, (before, after), geo) in [
        ("nothing", both(jpeg(&[profile.clone(), title])), Geo::None),
        ("EXIF", (before.clone(), after.clone()), fine),
        ("XMP", (jpeg(&[packet]), jpeg(&[clean_packet])), fine),
        (
            "a packet in pieces",
            (
                jpeg(&[unnamed.clone(), named.clone(), unnamed.clone()]),
                jpeg(&[unnamed.clone(), zeros(&named), zeros(&unnamed)]),
            ),
            fine,
        ),
        (
            "IPTC",
            (jpeg(std::slice::from_ref(&city)), jpeg(&[zeros(&city)])),
            fine,
        ),
        (
            "GoPro",
            (jpeg(std::slice::from_ref(&gopro)), jpeg(&[zeros(&gopro)])),
            fine,
        ),
        (
            "the rest of a block in another segment",
            (
                jpeg(&[exif(&cleaned_block()), exif(DEGREES)]),
                jpeg(&[exif(&cleaned_block()), exif(&[0; 24])]),
            ),
            fine,
        ),
        ("another image", behind((&before, &after)), fine),
        (
            "padding and another image",
            behind((&concat(&[&[0; 9], &before]), &concat(&[&[0; 9], &after]))),
            fine,
        ),
        ("a movie", behind((&film, &clean_film)), fine),
        (
            "a movie behind another image",
            behind((&concat(&[&before, &film]), &concat(&[&after, &clean_film]))),
            fine,
        ),
        (
            "Samsung's records",
            behind((&records(&film, b"460"), &records(&clean_film, b"000"))),
            fine,
        ),
        (
            "the name of a movie's box in a text",
            both(concat(&[&jpeg(&[]), b"a ftyp b"])),
            Geo::None,
        ),
        (
            "an image that is none",
            both(concat(&[&jpeg(&[]), b"\xFF\xD8\xFF\xE1\0\x01"])),
            Geo::Kept,
        ),
        ("zeros", both(concat(&[&jpeg(&[]), &[0; 99]])), Geo::None),
        (
            "cut off in its scan",
            both(jpeg(&[])[..30].to_vec()),
            Geo::None,
        ),
        (
            "a segment without a length",
            both(b"\xFF\xD8\xFF\xE1\0\0".to_vec()),
            Geo::Kept,
        ),
    ] {
        assert_becomes(Format::Jpeg, Strip::Location, &before, &after, geo, case);
    }
}

#[test]
fn a_jpeg_without_its_device() {
    let note = segment(0xFE, b"a camera");
    let makers = segment(0xE5, b"a maker");
    let profile = segment(0xE2, b"ICC_PROFILE\0\x01\x01");
    let adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0\0");
    let before = [&note, &makers, &profile, &adobe, &exif(&block())].map(Clone::clone);
    let mut kept = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    kept.resize(block().len(), 0);
    let after = [zeros(&note), zeros(&makers), profile, adobe, exif(&kept)];
    let (before, after) = (jpeg(&before), jpeg(&after));
    assert_becomes(
        Format::Jpeg,
        Strip::Device,
        &before,
        &after,
        Geo::Removed,
        "segments",
    );
    let unknown = concat(&[&jpeg(&[]), b"unknown"]);
    assert_becomes(
        Format::Jpeg,
        Strip::Device,
        &unknown,
        &unknown,
        Geo::Kept,
        "behind it",
    );
}

/// A chunk with its checksum.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(kind);
    checksum.update(data);
    let checksum = checksum.finalize().to_be_bytes();
    concat(&[&sized(data.len() as u32, kind, data), &checksum])
}

fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
    let header = chunk(b"IHDR", &[0, 0, 1, 44, 0, 0, 0, 200, 8, 2, 0, 0, 0]);
    let pixels = chunk(b"IDAT", &[1, 2, 3]);
    concat(&[
        b"\x89PNG\r\n\x1a\n",
        &header,
        &chunks.concat(),
        &pixels,
        &chunk(b"IEND", &[]),
    ])
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
    for (case, before, after, geo) in [
        ("a text", keep.clone(), keep.clone(), Geo::None),
        (
            "EXIF",
            chunk(b"eXIf", &block()),
            chunk(b"eXIf", &cleaned_block()),
            Geo::Removed,
        ),
        (
            "XMP",
            chunk(b"iTXt", &text(PACKET.as_bytes())),
            chunk(b"iTXt", &text(cleaned_packet().as_bytes())),
            Geo::Removed,
        ),
        (
            "packed XMP",
            chunk(b"iTXt", &packed),
            void(&packed),
            Geo::Removed,
        ),
        (
            "a profile",
            chunk(b"tEXt", &profile),
            void(&profile),
            Geo::Removed,
        ),
        (
            "a large one",
            chunk(b"zTXt", &large),
            void(&large),
            Geo::Removed,
        ),
        ("a field", chunk(b"tEXt", field), void(field), Geo::Removed),
    ] {
        let (before, after) = (png(&[before]), png(&[after]));
        let passed = pass(Format::Png, Strip::Location, &before, 1000);
        assert!(passed.bytes == after, "{case}");
        assert_eq!(passed.report.geo, geo, "{case}");
        if before.len() < 9999 {
            assert_becomes(Format::Png, Strip::Location, &before, &after, geo, case);
        }
    }
    let time = chunk(b"tIME", &[7; 7]);
    let (before, after) = (png(&[keep, time]), png(&[void(comment), void(&[7; 7])]));
    assert_becomes(
        Format::Png,
        Strip::Device,
        &before,
        &after,
        Geo::Removed,
        "device",
    );
    // Too large to be collected: said to be kept, and never held.
    let endless = concat(&[
        &png(&[])[..33],
        b"\x7F\xFF\xFF\xFFeXIf",
        &vec![1; 600 * 1024],
    ]);
    let passed = pass(Format::Png, Strip::Location, &endless, 4096);
    assert_eq!(passed.report.geo, Geo::Kept);
    assert!(passed.bytes == endless);
}

#[test]
fn metadata_of_a_webp() {
    let riff = |kind: &[u8; 4], data: &[u8]| {
        let padding = &[0][..data.len() % 2];
        concat(&[kind, &(data.len() as u32).to_le_bytes(), data, padding])
    };
    let canvas = riff(b"VP8X", &[0x0C, 0, 0, 0, 43, 1, 0, 199, 0, 0]);
    let webp = |name: &[u8], block: &[u8], packet: &[u8]| {
        let exif = riff(b"EXIF", &concat(&[name, block]));
        concat(&[b"RIFF\0\0\0\0WEBP", &canvas, &exif, &riff(b"XMP ", packet)])
    };
    for name in [b"".as_slice(), b"Exif\0\0"] {
        let before = webp(name, &block(), PACKET.as_bytes());
        let after = webp(name, &cleaned_block(), cleaned_packet().as_bytes());
        assert_becomes(
            Format::Webp,
            Strip::Location,
            &before,
            &after,
            Geo::Removed,
            "both",
        );
        assert_becomes(
            Format::Webp,
            Strip::Location,
            &after,
            &after,
            Geo::None,
            "none",
        );
    }
}

#[test]
fn extensions_of_a_gif() {
    let gif = |packet: &[u8], comment: &[u8]| {
        let trailer: Vec<u8> = [1].into_iter().chain((0..=255).rev()).chain([0]).collect();
        concat(&[
            b"GIF89a\x09\0\x08\0\0\0\0",
            b"\x21\xFF\x0BXMP DataXMP",
            packet,
            &trailer,
            &[0x21, 0xFE, comment.len() as u8],
            comment,
            b"\0\x2C\0\0\0\0\x05\0\x04\0\0\x02\x01\0\0\x3B",
        ])
    };
    let before = gif(PACKET.as_bytes(), b"a phone");
    let after = gif(cleaned_packet().as_bytes(), b"a phone");
    assert_becomes(
        Format::Gif,
        Strip::Location,
        &before,
        &after,
        Geo::Removed,
        "XMP",
    );
    assert_becomes(
        Format::Gif,
        Strip::Location,
        &after,
        &after,
        Geo::None,
        "nothing",
    );
    let passed = pass_in_any_chunks(Format::Gif, Strip::Device, &before);
    assert!(passed.bytes == gif(cleaned_packet().as_bytes(), b"       "));
    let no_trailer = concat(&[&before[..27], b"\x05GPSLa\0\x3B"]);
    assert_becomes(
        Format::Gif,
        Strip::Location,
        &no_trailer,
        &no_trailer,
        Geo::Kept,
        "no trailer",
    );
}

/// EXIF data of an item: where its block begins, a name, the block.
fn item(block: &[u8]) -> Vec<u8> {
    concat(&[&[0, 0, 0, 6], b"Exif\0\0", block])
}

/// An item's number, and the offset and length of each of its pieces.
type Place = (u8, Vec<(u32, u32)>);

/// Pieces of a HEIC: items 1 and 2 are EXIF data and XMP, 3 are the pixels.
struct Heic {
    is_media_first: bool,
    /// EXIF data and XMP stand in `idat`, within `meta`.
    is_inside: bool,
    /// By the offsets of the three.
    places: fn(u32, u32, u32) -> Vec<Place>,
    behind: Vec<u8>,
}

impl Heic {
    fn usual() -> Self {
        Self {
            is_media_first: false,
            is_inside: false,
            places: |exif, xmp, pixels| {
                let (exif_len, xmp_len) = (item(&block()).len() as u32, PACKET.len() as u32);
                vec![
                    (1, vec![(exif, exif_len)]),
                    (2, vec![(xmp, xmp_len)]),
                    (3, vec![(pixels, 40)]),
                ]
            },
            behind: Vec::new(),
        }
    }

    fn file(&self, block: &[u8], packet: &[u8]) -> Vec<u8> {
        let brand = boxed(b"ftyp", b"heic\0\0\0\0");
        let metadata = concat(&[&item(block), packet]);
        let pixels = [9; 40];
        let mdat = match self.is_inside {
            true => boxed(b"mdat", &pixels),
            false => boxed(b"mdat", &concat(&[&pixels, &metadata])),
        };
        let meta_len = self.meta(0, 0, &metadata).len();
        let media_at = brand.len() + if self.is_media_first { 0 } else { meta_len } + 8;
        let exif_at = if self.is_inside {
            0
        } else {
            media_at + pixels.len()
        };
        let meta = self.meta(media_at as u32, exif_at as u32, &metadata);
        match self.is_media_first {
            true => concat(&[&brand, &mdat, &meta, &self.behind]),
            false => concat(&[&brand, &meta, &mdat, &self.behind]),
        }
    }

    fn meta(&self, media_at: u32, exif_at: u32, metadata: &[u8]) -> Vec<u8> {
        let entry =
            |id: u8, kind: &[u8]| boxed(b"infe", &concat(&[&[2, 0, 0, 0, 0, id, 0, 0], kind]));
        let entries = [
            entry(1, b"Exif\0"),
            entry(2, b"mime\0application/rdf+xml\0"),
            entry(3, b"hvc1\0"),
        ];
        let xmp_at = exif_at + item(&block()).len() as u32;
        let places = (self.places)(exif_at, xmp_at, media_at);
        // Offsets and lengths of four bytes, no base, no index.
        let mut iloc = vec![1, 0, 0, 0, 0x44, 0x00, 0, places.len() as u8];
        for (id, pieces) in places {
            let method = u8::from(self.is_inside && id != 3);
            iloc.extend([0, id, 0, method, 0, 0, 0, pieces.len() as u8]);
            for (at, len) in pieces {
                iloc.extend(concat(&[&at.to_be_bytes(), &len.to_be_bytes()]));
            }
        }
        let idat = match self.is_inside {
            true => boxed(b"idat", metadata),
            false => Vec::new(),
        };
        boxed(
            b"meta",
            &concat(&[
                &[0; 4],
                &boxed(b"iinf", &concat(&[&[0, 0, 0, 0, 0, 3], &entries.concat()])),
                &boxed(b"iloc", &iloc),
                &idat,
            ]),
        )
    }
}

#[test]
fn items_of_a_heic() {
    let usual = Heic::usual;
    let samsung = |country: &[u8]| {
        boxed(
            b"sefd",
            &concat(&[b"\0\0\xA1\x0A\x08\0\0\0MCC_Data", country, b"SEFT"]),
        )
    };
    for (case, heic, geo) in [
        ("usual", usual(), Geo::Removed),
        (
            "media first",
            Heic {
                is_media_first: true,
                ..usual()
            },
            Geo::Removed,
        ),
        (
            "inside",
            Heic {
                is_inside: true,
                ..usual()
            },
            Geo::Removed,
        ),
        (
            "the pixels lie over it",
            Heic {
                places: |exif, xmp, pixels| {
                    vec![
                        (1, vec![(exif, 9)]),
                        (2, vec![(xmp, 9)]),
                        (3, vec![(pixels, 50)]),
                    ]
                },
                ..usual()
            },
            Geo::Kept,
        ),
        (
            "in two pieces",
            Heic {
                places: |exif, xmp, pixels| {
                    vec![
                        (1, vec![(exif, 9), (exif + 9, 9)]),
                        (2, vec![(xmp, 9)]),
                        (3, vec![(pixels, 40)]),
                    ]
                },
                ..usual()
            },
            Geo::Kept,
        ),
        (
            "nowhere",
            Heic {
                places: |_, xmp, _| vec![(2, vec![(xmp, 9)])],
                ..usual()
            },
            Geo::Kept,
        ),
        (
            "too early",
            Heic {
                places: |_, _, _| vec![(1, vec![(0, 9)]), (2, vec![(4, 5)])],
                ..usual()
            },
            Geo::Kept,
        ),
    ] {
        let before = heic.file(&block(), PACKET.as_bytes());
        let after = match geo {
            Geo::Removed => heic.file(&cleaned_block(), cleaned_packet().as_bytes()),
            _ => before.clone(),
        };
        assert_becomes(Format::Heic, Strip::Location, &before, &after, geo, case);
    }
    let behind = |is_cleaned, country: &[u8]| {
        let behind = concat(&[&boxed(b"mpvd", &movie(is_cleaned)), &samsung(country)]);
        Heic { behind, ..usual() }.file(&cleaned_block(), cleaned_packet().as_bytes())
    };
    let (before, after) = (behind(false, b"460"), behind(true, b"000"));
    assert_becomes(
        Format::Heic,
        Strip::Location,
        &before,
        &after,
        Geo::Removed,
        "behind",
    );
}

/// Pictures with everything in them, some bytes of which lie.
fn hostile() -> impl Strategy<Value = (Format, Vec<u8>)> {
    let packet = PACKET.as_bytes();
    let behind = concat(&[&jpeg(&[exif(&block())]), &movie(false), b"MCC_Data460"]);
    let segments = [
        exif(&block()),
        xmp(packet),
        resources(&[90]),
        extended(packet),
    ];
    let text = concat(&[b"XML:com.adobe.xmp\0\0\0\0\0", packet]);
    let field = chunk(b"tEXt", b"exif:GPSLatitude\x0047");
    let samples = [
        (Format::Jpeg, concat(&[&jpeg(&segments), &behind])),
        (
            Format::Png,
            png(&[chunk(b"eXIf", &block()), chunk(b"iTXt", &text), field]),
        ),
        (Format::Heic, Heic::usual().file(&block(), packet)),
        (
            Format::Heic,
            Heic {
                is_media_first: true,
                ..Heic::usual()
            }
            .file(&block(), packet),
        ),
        (
            Format::Heic,
            Heic {
                is_inside: true,
                ..Heic::usual()
            }
            .file(&block(), packet),
        ),
    ];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (0..samples.len(), changes).prop_map(move |(sample, changes)| {
        let (format, mut bytes) = samples[sample].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        (format, bytes)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn a_picture_that_lies_keeps_its_length_and_its_facts((format, bytes) in hostile(), size in 1..400_usize) {
        let facts = pass(format, Strip::Off, &bytes, 999).report.facts;
        for strip in [Strip::Location, Strip::Device] {
            let whole = pass(format, strip, &bytes, bytes.len());
            let chopped = pass(format, strip, &bytes, size);
            prop_assert_eq!(&chopped, &whole);
            prop_assert_eq!(whole.report.facts, facts);
            let again = pass(format, strip, &whole.bytes, size);
            prop_assert!(again.bytes == whole.bytes);
        }
    }
}
