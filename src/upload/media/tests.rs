//! Tables over real files (`tests/media/`, each written by an ordinary tool and listed in its
//! README) and over bytes made to deceive.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use builders::*;

#[path = "../../../tests/media/builders.rs"]
mod builders;

macro_rules! sample {
    ($file:literal) => {
        (
            $file,
            include_bytes!(concat!("../../../tests/media/", $file)).as_slice(),
        )
    };
}

type Sample = (&'static str, &'static [u8]);

/// Every accepted sample; its own extension is the one that a client's file of that kind has.
const SAMPLES: &[Sample] = &[
    sample!("baseline.jpg"),
    sample!("exif.jpg"),
    sample!("progressive.jpeg"),
    sample!("rgb.png"),
    sample!("palette.gif"),
    sample!("animated.gif"),
    sample!("lossy.webp"),
    sample!("lossless.webp"),
    sample!("animated.webp"),
    sample!("v3.bmp"),
    sample!("mono.bmp"),
    sample!("phone.heic"),
    sample!("still.avif"),
    sample!("isom.mp4"),
    sample!("mp42-faststart.mp4"),
    sample!("fragmented.mp4"),
    sample!("itunes.m4v"),
    sample!("qt.mov"),
    sample!("phone.3gp"),
    sample!("vp8.webm"),
    sample!("recorder-audio.weba"),
    sample!("h264.mkv"),
    sample!("xvid.avi"),
    sample!("xing.mp3"),
    sample!("id3.mp3"),
    sample!("mpeg1.mp3"),
    sample!("voice.m4a"),
    sample!("adts.aac"),
    sample!("amr-nb.amr"),
    sample!("amr-wb.amr"),
    sample!("pcm.wav"),
    sample!("vorbis.ogg"),
    sample!("speex.ogg"),
    sample!("flac-in.ogg"),
    sample!("note.opus"),
    sample!("tone.flac"),
    sample!("page.pdf"),
    sample!("report.docx"),
    sample!("sheet.xlsx"),
    sample!("slides.pptx"),
    sample!("sheet.xls"),
    sample!("utf8.txt"),
    sample!("gbk.csv"),
    sample!("bom.csv"),
    sample!("photos.zip"),
    sample!("a.7z"),
];

fn bytes_of(file: &str) -> &'static [u8] {
    SAMPLES
        .iter()
        .find(|(name, _)| *name == file)
        .expect("a sample of that name")
        .1
}

/// The whole way of a file: judged by its head, then watched in pieces that end at `cuts`.
fn receive(bytes: &[u8], name: &str, cuts: &[usize]) -> Result<Media, Refused> {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    let mut watch = judge(head, name, rules(Kinds::ALL))?;
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut edits = Vec::new();
    let mut begins = 0;
    for &cut in cuts {
        let ends = cut.clamp(begins, bytes.len());
        watch.see(&rest.split_to(ends - begins), &mut edits)?;
        begins = ends;
    }
    watch.see(&rest, &mut edits)?;
    let early = watch.media();
    let (media, _) = watch.end(&mut edits)?;
    assert_eq!(edits, [], "nothing was asked for");
    assert!(
        early.is_none_or(|early| early == media),
        "what is known stays"
    );
    Ok(media)
}

fn rules(kinds: Kinds) -> Rules {
    Rules {
        kinds,
        strip: Strip::Off,
    }
}

fn extension_of(bytes: &[u8], name: &str) -> Result<&'static str, &'static str> {
    match receive(bytes, name, &[]) {
        Ok(media) => Ok(Box::leak(Box::<str>::from(&*media.extension))),
        Err(refused) => Err(Box::leak(refused.looks_like.into_owned().into_boxed_str())),
    }
}

#[test]
fn every_real_file_keeps_its_extension() {
    for (file, bytes) in SAMPLES {
        let extension = file.rsplit_once('.').expect("an extension").1;
        assert_eq!(extension_of(bytes, file), Ok(extension), "{file}");
    }
}

#[test]
fn a_file_without_a_helpful_name_gets_the_usual_extension() {
    for (file, bytes) in SAMPLES {
        let own = file.rsplit_once('.').expect("an extension").1;
        let usual = match *file {
            "progressive.jpeg" => "jpg",
            "gbk.csv" | "bom.csv" => "txt",
            _ => own,
        };
        for name in [
            "",
            "blob",
            "file-1712345678901",
            "x.html",
            "x.exe",
            "x.",
            ".htaccess",
        ] {
            assert_eq!(extension_of(bytes, name), Ok(usual), "{file} as {name:?}");
        }
    }
}

#[test]
fn the_name_chooses_only_among_extensions_that_fit() {
    let heic = branded(&[b"heic", b"mif1", b"heic"]);
    let mp4 = bytes_of("isom.mp4");
    let png = bytes_of("rgb.png");
    let jpeg = bytes_of("baseline.jpg");
    let opus = bytes_of("note.opus");
    let text = bytes_of("utf8.txt");
    let long = format!("x.{}", "p".repeat(300));
    for (bytes, name, extension) in [
        (png, "x.PnG", "png"),
        (png, "x.png.html", "png"),
        (png, "x.png ", "png"),
        (png, "x.png::$DATA", "png"),
        (png, "CON.png", "png"),
        (png, "x.jpg", "png"),
        (png, "x.png\0.html", "png"),
        (png, "../../x.svg", "png"),
        (png, long.as_str(), "png"),
        (jpeg, "x.JPEG", "jpeg"),
        (jpeg, "x.jpe", "jpg"),
        (&heic, "IMG_0001.HEIC", "heic"),
        (&heic, "IMG_0001.heif", "heif"),
        (&heic, "DSC00001.HIF", "hif"),
        (&heic, "IMG_0001.jpg", "heic"),
        (mp4, "x.m4v", "m4v"),
        (mp4, "x.3gp", "3gp"),
        (mp4, "x.mov", "mp4"),
        (mp4, "x.avi", "mp4"),
        (opus, "voice.ogg", "ogg"),
        (opus, "voice.oga", "oga"),
        (opus, "voice.webm", "opus"),
        (text, "x.csv", "csv"),
        (text, "x.js", "txt"),
        (text, "x.png", "txt"),
        (bytes_of("report.docx"), "x.zip", "docx"),
        (bytes_of("photos.zip"), "x.docx", "zip"),
        (bytes_of("photos.zip"), "x.apk", "zip"),
        (bytes_of("vorbis.ogg"), "x.opus", "ogg"),
        (bytes_of("page.pdf"), "x.png", "pdf"),
    ] {
        assert_eq!(extension_of(bytes, name), Ok(extension), "{name}");
    }
}

#[test]
fn sound_alone_in_a_films_container_is_a_sound() {
    let (_, mp4) = sample!("isom-sound-only.mp4");
    let quicktime = with_brand(mp4, b"qt  ");
    let three_gp = with_brand(mp4, b"3gp5");
    let (_, webm) = sample!("recorder-audio.weba");
    let mkv = with_doc_type(webm, b"matroska");
    let mut endless = webm.to_vec();
    let segment = memchr::memmem::find(webm, b"\x18\x53\x80\x67").expect("a segment");
    endless[segment + 5..segment + 12].fill(0xFF);
    for (bytes, name, extension) in [
        (mp4, "x.m4a", "m4a"),
        (mp4, "x.mp4", "m4a"),
        (mp4, "", "m4a"),
        (&quicktime, "x.mov", "m4a"),
        (&three_gp, "x.3gp", "3ga"),
        (&three_gp, "x.m4a", "m4a"),
        (webm, "voice.webm", "weba"),
        (&endless, "voice.webm", "weba"),
        (&mkv, "voice.mkv", "mka"),
        (bytes_of("isom.mp4"), "x.m4a", "mp4"),
        (bytes_of("fragmented.mp4"), "x.m4a", "mp4"),
        (bytes_of("phone.3gp"), "x.m4a", "3gp"),
        (bytes_of("vp8.webm"), "x.weba", "webm"),
    ] {
        assert_eq!(extension_of(bytes, name), Ok(extension), "{name}");
    }
}

#[test]
fn the_name_tells_a_sound_where_the_tracks_stand_behind_the_media() {
    let (_, sound) = sample!("isom-sound-only.mp4");
    let film = bytes_of("isom.mp4");
    for (bytes, name, extension) in [
        (sound, "x.m4a", "m4a"),
        (sound, "x.aac", "m4a"),
        (sound, "x.mp4", "mp4"),
        (sound, "", "mp4"),
        (film, "x.mp4", "mp4"),
    ] {
        let at = memchr::memmem::find(bytes, b"mdat").expect("its media") - 4;
        let media = joined(&[&(HEAD_BYTES as u32).to_be_bytes(), b"mdat"]);
        let bytes = joined(&[&bytes[..at], &media, &[7; HEAD_BYTES - 8], &bytes[at..]]);
        assert_eq!(extension_of(&bytes, name), Ok(extension), "{name}");
    }
}

/// A base media file under another major brand.
fn with_brand(file: &[u8], brand: &[u8; 4]) -> Vec<u8> {
    joined(&[&file[..8], brand, &file[12..]])
}

/// A WebM file under another DocType, which begins with `webm`'s length.
fn with_doc_type(file: &[u8], doc_type: &[u8; 8]) -> Vec<u8> {
    let at = memchr::memmem::find(file, b"\x42\x82\x84webm").expect("a DocType");
    let size = file[4] + 4;
    joined(&[
        &file[..4],
        &[size],
        &file[5..at],
        b"\x42\x82\x88",
        doc_type,
        &file[at + 7..],
    ])
}

#[test]
fn brands_decide_what_a_base_media_file_is() {
    for (brands, expected) in [
        ([b"heic", b"mif1", b"heic"], Ok("heic")),
        ([b"heix", b"mif1", b"mif1"], Ok("heic")),
        ([b"hevc", b"msf1", b"iso8"], Ok("heic")),
        ([b"mif1", b"mif1", b"heic"], Ok("heic")),
        ([b"msf1", b"msf1", b"hevc"], Ok("heic")),
        ([b"mif1", b"mif1", b"jpeg"], Ok("heif")),
        ([b"mif1", b"avif", b"miaf"], Ok("avif")),
        ([b"avif", b"mif1", b"miaf"], Ok("avif")),
        ([b"avis", b"msf1", b"iso8"], Ok("avif")),
        ([b"MiHE", b"mif1", b"heic"], Ok("heic")),
        ([b"qt  ", b"qt  ", b"qt  "], Ok("mov")),
        ([b"M4A ", b"mp42", b"isom"], Ok("m4a")),
        ([b"M4B ", b"mp42", b"isom"], Ok("m4a")),
        ([b"M4V ", b"M4A ", b"mp42"], Ok("m4v")),
        ([b"3gp4", b"isom", b"3gp4"], Ok("3gp")),
        ([b"3g2a", b"isom", b"3g2a"], Ok("3gp")),
        ([b"isom", b"iso2", b"mp41"], Ok("mp4")),
        ([b"MSNV", b"isom", b"mp42"], Ok("mp4")),
        ([b"XAVC", b"XAVC", b"mp42"], Ok("mp4")),
        ([b"f4v ", b"f4v ", b"f4v "], Ok("mp4")),
        ([b"F4V ", b"F4V ", b"F4V "], Ok("mp4")),
        ([b"hvc1", b"hvc1", b"hvc1"], Ok("mp4")),
        ([b"dby1", b"dby1", b"dby1"], Ok("mp4")),
        ([b"mp4v", b"mp4v", b"mp4v"], Ok("mp4")),
        ([b"M4A\0", b"3gp5", b"isom"], Ok("m4a")),
        ([b"M4A ", b"3gp5", b"isom"], Ok("m4a")),
        ([b"3gp5", b"M4A ", b"isom"], Ok("3gp")),
        ([b"qt\0\0", b"mp42", b"isom"], Ok("mov")),
        ([b"crx ", b"crx ", b"isom"], Err("Canon raw")),
        ([b"crx ", b"mp42", b"heic"], Err("Canon raw")),
        ([b"jp2 ", b"jp2 ", b"jp2 "], Err("unknown")),
    ] {
        assert_eq!(extension_of(&branded(&brands), ""), expected, "{brands:?}");
    }
}

#[test]
fn empty_space_may_stand_before_the_brands() {
    let mp4 = branded(&[b"isom", b"mp41"]);
    let heic = branded(&[b"heic", b"mif1"]);
    let large = joined(&[b"\0\0\x10\0free", &[0; 4096 - 8]]);
    for (space, brands, expected) in [
        (b"\0\0\0\x08free".as_slice(), &mp4, Ok("mp4")),
        (b"\0\0\0\x08wide\0\0\0\x0Cskipabcd", &mp4, Ok("mp4")),
        (b"\0\0\0\x08free", &heic, Ok("heic")),
        (&large, &mp4, Ok("mp4")),
        (b"\0\0\0\x08mdat", &mp4, Err("damaged MP4")),
        (b"\0\0\0\x04free", &mp4, Err("unknown")),
    ] {
        let bytes = joined(&[space, brands]);
        assert_eq!(
            extension_of(&bytes, ""),
            expected,
            "{}",
            space.escape_ascii()
        );
    }
}

#[test]
fn a_box_that_contradicts_itself_is_refused() {
    let cases: &[(&str, &[u8])] = &[
        ("ftyp alone", b"\0\0\0\x14ftypisom\0\0\0\0isom"),
        (
            "ftyp past the end",
            b"\0\0\x01\0ftypisom\0\0\0\0isom\0\0\0\x08free",
        ),
        (
            "ftyp of size 0",
            b"\0\0\0\0ftypisom\0\0\0\0isom\0\0\0\x08free",
        ),
        (
            "ftyp of size 8",
            b"\0\0\0\x08ftypisom\0\0\0\0isom\0\0\0\x08free",
        ),
        (
            "64-bit size too small",
            b"\0\0\0\x14ftypisom\0\0\0\0isom\0\0\0\x01mdat\0\0\0\0\0\0\0\x01",
        ),
        (
            "next box of size 2",
            b"\0\0\0\x14ftypisom\0\0\0\0isom\0\0\0\x02moov",
        ),
        (
            "next box without a name",
            b"\0\0\0\x14ftypisom\0\0\0\0isom\0\0\0\x08\0\x01\x02\x03",
        ),
        ("mdat to the end, no moov", b"\0\0\0\0mdat0123456789"),
        ("mdat past the end", b"\0\0\x01\0mdat0123456789"),
        (
            "mdat of 2^63 bytes",
            b"\0\0\0\x01mdat\x80\0\0\0\0\0\0\0abcd",
        ),
        (
            "moov in moov",
            b"\0\0\0\x18moov\0\0\0\x10moov\0\0\0\x08moov",
        ),
    ];
    for (case, bytes) in cases {
        assert!(judge(bytes, "x.mp4", rules(Kinds::ALL)).is_err(), "{case}");
    }
}

#[test]
fn quicktime_without_brands_is_a_movie() {
    let mut camera = joined(&[b"\0\x10\0\0mdat", &[7; HEAD_BYTES]]);
    camera.truncate(HEAD_BYTES);
    let wide = b"\0\0\0\x08wide\0\0\x10\0mdat\x01\x02\x03".as_slice();
    let short = b"\0\0\0\x0Cmdat\x01\x02\x03\x04\0\0\0\x10moov\0\0\0\x08mvhd".as_slice();
    let first = b"\0\0\0\x18moov\0\0\0\x10mvhd\0\0\0\0\0\0\0\0".as_slice();
    let large = joined(&[b"\0\0\0\x01mdat\0\0\0\x02\0\0\0\0", &[7; HEAD_BYTES]]);
    for bytes in [camera.as_slice(), wide, short, first, &large] {
        assert_eq!(extension_of(bytes, "x.mov"), Ok("mov"));
    }
    assert_eq!(
        extension_of(b"abc mdat is what this text says", ""),
        Ok("txt")
    );
}

#[test]
fn magic_bytes_alone_are_no_file() {
    for (file, bytes) in SAMPLES {
        for length in 1..12.min(bytes.len()) {
            let answer = extension_of(&bytes[..length], file);
            let is_letters = matches!(answer, Ok("txt" | "csv"));
            assert!(
                answer.is_err() || is_letters,
                "{file}, {length} bytes: {answer:?}"
            );
        }
    }
    for (bytes, looks_like) in [
        (b"".as_slice(), "empty file"),
        (b"\xFF\xD8\xFF", "damaged JPEG"),
        (b"\x89PNG", "damaged PNG"),
        (b"\x89PNG\r\n\x1a\n", "damaged PNG"),
        (b"GIF89a", "damaged GIF"),
        (b"BM\x01", "damaged BMP"),
        (b"RIFF\x04\0\0\0WEBP", "damaged RIFF"),
        (b"%PDF-", "damaged PDF"),
        (b"PK\x03\x04", "damaged ZIP"),
        (b"\x1A\x45\xDF\xA3", "damaged WebM"),
        (b"OggS", "damaged Ogg"),
        (b"fLaC", "damaged FLAC"),
        (b"#!AMR\n", "damaged AMR"),
        (b"ID3\x04\0\0\0\0\0\0", "damaged MP3"),
        (b"Rar!\x1a\x07\0", "damaged RAR"),
        (b"7z\xBC\xAF\x27\x1C", "damaged 7z"),
        (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "OLE file"),
    ] {
        assert_eq!(extension_of(bytes, ""), Err(looks_like), "{bytes:?}");
    }
}

#[test]
fn a_header_that_no_reader_would_take_is_refused() {
    let ihdr =
        |data: &[u8; 13]| joined(&[b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", data, b"crc_\0\0\0\0"]);
    for (case, bytes) in [
        (
            "JPEG segment of 0 bytes",
            b"\xFF\xD8\xFF\xE0\0\0JFIF\0".to_vec(),
        ),
        (
            "JPEG segment of 1 byte",
            b"\xFF\xD8\xFF\xE0\0\x01JFIF\0".to_vec(),
        ),
        (
            "JPEG segment past the end",
            b"\xFF\xD8\xFF\xE0\0\x10JFIF\0".to_vec(),
        ),
        (
            "JPEG that starts with a scan",
            b"\xFF\xD8\xFF\xDA\0\x08abcdef".to_vec(),
        ),
        (
            "JPEG that ends at once",
            b"\xFF\xD8\xFF\xD9\0\x08abcdef".to_vec(),
        ),
        ("PNG of width 0", ihdr(b"\0\0\0\0\0\0\0\x01\x08\x02\0\0\0")),
        (
            "PNG of height 2^31",
            ihdr(b"\0\0\0\x01\x80\0\0\0\x08\x02\0\0\0"),
        ),
        (
            "PNG of depth 3",
            ihdr(b"\0\0\0\x01\0\0\0\x01\x03\x02\0\0\0"),
        ),
        (
            "GIF with a script for a screen",
            b"GIF89a/*<svg/onload=alert(1)>*/=1;".to_vec(),
        ),
        (
            "GIF without a picture",
            b"GIF89a\x01\0\x01\0\0\0\0;".to_vec(),
        ),
        (
            "RIFF of an unknown form",
            b"RIFF\x20\0\0\0ACONLIST\0\0\0\0".to_vec(),
        ),
        (
            "WEBP in something else",
            b"MM\0*\0\0\0\0WEBPVP8 \0\0\0\0".to_vec(),
        ),
        (
            "MP3 tag that is the whole file",
            joined(&[b"ID3\x03\0\0\0\0\0\x20", &[0; 32]]),
        ),
        (
            "MP3 tag with 1 GB in it",
            joined(&[b"ID3\x03\0\0\xFF\xFF\xFF\xFF", &[0; 64]]),
        ),
        (
            "MP3 tag longer than the file",
            joined(&[b"ID3\x03\0\0\x7F\x7F\x7F\x7FTIT2", &[0; 64]]),
        ),
        (
            "MP3 sync word and noise",
            joined(&[b"\xFF\xFB\x90\x64", &[0x55; 900]]),
        ),
        (
            "Ogg of an unknown codec",
            joined(&[b"OggS\0\x02", &[0; 20], b"\x01\x08fishead\0"]),
        ),
    ] {
        let answer = receive(&bytes, "x.png", &[]);
        assert!(answer.is_err(), "{case}: {answer:?}");
    }
}

#[test]
fn odd_but_possible_headers_are_taken() {
    let big =
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\x01\x86\xa0\0\x01\x86\xa0\x08\x06\0\0\0crc_\0\0\0\0";
    let mut upside_down = bytes_of("v3.bmp").to_vec();
    upside_down[22..26].copy_from_slice(&(-16_i32).to_le_bytes());
    let rf64 = joined(&[b"RF64\xFF\xFF\xFF\xFFWAVEds64", &bytes_of("pcm.wav")[16..]]);
    let mut endless = bytes_of("pcm.wav").to_vec();
    endless[4..8].fill(0xFF);
    let debris = joined(&[
        b"ID3\x03\0\0\0\0\0\x04\0\0\0\0",
        b"debris",
        bytes_of("xing.mp3"),
    ]);
    let one_frame = &bytes_of("amr-nb.amr")[..38];
    for (case, bytes, extension) in [
        ("PNG of 100,000 by 100,000", big.as_slice(), "png"),
        ("BMP of negative height", &upside_down, "bmp"),
        ("WAV of 4 GiB", &endless, "wav"),
        ("WAV of more", &rf64, "wav"),
        ("MP3 with debris behind its tag", &debris, "mp3"),
        ("AMR of one frame", one_frame, "amr"),
        (
            "JPEG with fill bytes",
            b"\xFF\xD8\xFF\xFF\xFF\xE0\0\x07JFIF\0\xFF\xDB",
            "jpg",
        ),
        (
            "PDF behind a blank line",
            b"\r\n%PDF-1.7\n%\xE2\xE3\xCF\xD3\n1 0 obj\n<</Type/Catalog>>",
            "pdf",
        ),
        (
            "RAR 5",
            b"Rar!\x1a\x07\x01\0\x33\x92\xb5\xe5\x0a\x01\x05\x06\0\x05\x01\x01",
            "rar",
        ),
        (
            "RAR 4",
            b"Rar!\x1a\x07\0\xcf\x90\x73\0\0\x0d\0\0\0\0\0\0\0",
            "rar",
        ),
        (
            "zip of nothing",
            b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            "zip",
        ),
    ] {
        assert_eq!(extension_of(bytes, ""), Ok(extension), "{case}");
    }
}

#[test]
fn a_sound_is_found_behind_tags_of_any_length() {
    let (mp3, aac, flac) = (
        bytes_of("mpeg1.mp3"),
        bytes_of("adts.aac"),
        bytes_of("tone.flac"),
    );
    let frame = |name: &str, bytes: usize| joined(&[name.as_bytes(), &vec![0x55; bytes]]);
    let reach = HEAD_BYTES - 10;
    // Around the end of the head, and around that of the bytes looked at next.
    let lengths = [
        4,
        100,
        reach - 9000,
        reach - 500,
        reach - 50,
        reach - 5,
        reach - 4,
    ];
    let longer = [reach - 1, reach, reach + 1, 20_000, 2 * HEAD_BYTES, 300_000];
    for bytes in lengths.into_iter().chain(longer) {
        for (case, tag) in [
            ("2.3", id3(3, 0, &frame("TIT2", bytes))),
            (
                "2.2, whose names are shorter",
                id3(2, 0, &frame("PIC\0", bytes)),
            ),
            (
                "an extended header",
                id3(3, 0x40, &frame("\0\0\0\x06", bytes)),
            ),
            ("empty", id3(4, 0, &vec![0; bytes])),
            (
                "two tags",
                joined(&[
                    &id3(3, 0, &frame("TIT2", bytes)),
                    &id3(4, 0, &frame("APIC", 30_000)),
                ]),
            ),
            (
                "zeros behind it",
                joined(&[&id3(3, 0, &frame("TIT2", bytes)), &[0; 20_000]]),
            ),
            (
                "junk behind it",
                joined(&[&id3(3, 0, &frame("TIT2", bytes)), &[0x55; 40_000]]),
            ),
        ] {
            for (sound, expected) in [(mp3, "mp3"), (aac, "aac"), (flac, "flac")] {
                if expected == "flac" && case == "junk behind it" {
                    continue;
                }
                let answer = extension_of(&joined(&[&tag, sound]), "voice");
                assert_eq!(answer, Ok(expected), "{case}, {bytes} bytes");
            }
            let answer = extension_of(&tag, "x.mp3");
            assert_eq!(
                answer,
                Err("damaged MP3"),
                "{case}, {bytes} bytes and no sound"
            );
        }
    }
}

#[test]
fn a_sound_that_is_out_of_reach_goes_by_its_name() {
    let head = joined(&[b"ID3\x03\0\0\x7F\x7F\x7F\x7FAPIC", &[0x80; HEAD_BYTES]]);
    for (name, expected) in [
        ("x.mp3", "mp3"),
        ("x.flac", "flac"),
        ("x.AAC", "aac"),
        ("x.png", "mp3"),
        ("", "mp3"),
    ] {
        let mut edits = Vec::new();
        let mut watch = judge(&head, name, rules(Kinds::ALL)).expect("held");
        watch
            .see(&Bytes::from(head.clone()), &mut edits)
            .expect("held");
        assert_eq!(watch.media(), None, "{name} is decided");
        let media = watch.decide(&mut edits).expect("a sound");
        assert_eq!(&*media.extension, expected, "{name}");
    }
}

#[test]
fn a_sound_may_begin_in_the_middle_of_a_frame() {
    for (sound, expected) in [
        (bytes_of("mpeg1.mp3"), "mp3"),
        (bytes_of("adts.aac"), "aac"),
    ] {
        for cut in [1, 2, 100, 200] {
            assert_eq!(extension_of(&sound[cut..], ""), Ok(expected), "{cut}");
        }
        let zeros = joined(&[&[0; 5000], sound]);
        assert_eq!(extension_of(&zeros, ""), Ok(expected));
        let exe = joined(&[b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xFF\xFF", &[0; 60], sound]);
        assert_eq!(extension_of(&exe, ""), Err("Windows program"));
    }
}

#[test]
fn an_image_with_something_behind_it_is_an_image() {
    let script = b"<script>alert(1)</script><?php system('id'); ?>";
    for (file, extension) in [
        ("palette.gif", "gif"),
        ("baseline.jpg", "jpg"),
        ("rgb.png", "png"),
    ] {
        let (_, apk) = sample!("tiny.apk");
        let bytes = joined(&[bytes_of(file), script, apk]);
        assert_eq!(extension_of(&bytes, "x.php"), Ok(extension));
    }
}

#[test]
fn active_content_and_programs_are_refused_whatever_their_name() {
    let elf = joined(&[b"\x7FELF\x02\x01\x01", &[0; 60]]);
    let exe = joined(&[b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xFF\xFF", &[0; 60]]);
    let dex = joined(&[b"dex\n035\0", &[0x70; 60]]);
    let svg_in_xml =
        b"<?xml version=\"1.0\"?>\n<!-- x --><SVG xmlns=\"http://www.w3.org/2000/svg\"/>";
    let xhtml =
        b"<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\"><svg/></html>";
    let bomb = b"<!DOCTYPE svg [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><svg>&b;</svg>";
    let mhtml =
        b"From: <Saved by Blink>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related;\r\n";
    let (_, apk) = sample!("tiny.apk");
    let (_, jar) = sample!("tiny.jar");
    let table: &[(&[u8], &str)] = &[
        (
            b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>",
            "SVG",
        ),
        (b"\xEF\xBB\xBF \n\t<svg/>", "SVG"),
        (svg_in_xml, "SVG"),
        (bomb, "SVG"),
        (xhtml, "XHTML"),
        (b"<?xml version=\"1.0\"?><feed/>", "XML"),
        (b"<!DOCTYPE html><title>x</title>", "HTML"),
        (b"   <HTML>", "HTML"),
        (b"<script>alert(1)</script>", "HTML"),
        (b"<img src=x onerror=alert(1)>", "markup"),
        (b"<!-- x --><p>", "markup"),
        (b"<%@ page import=\"java.io.*\" %>", "server page"),
        (b"<?php system($_GET['x']);", "PHP"),
        (b"<?= `id` ?>", "PHP"),
        (mhtml, "MHTML"),
        (b"#!/bin/sh\nid\n", "script"),
        (b"FWS\x0a\x10\0\0\0abcd", "SWF"),
        (b"CWS\x0a\n\n\n\nabcd", "SWF"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "HLS playlist"),
        (b"\xEF\xBB\xBF#EXTM3U\n", "HLS playlist"),
        (
            b"ffconcat version 1.0\nfile /etc/passwd\n",
            "ffmpeg playlist",
        ),
        (
            b"concat:http://127.0.0.1/|file:///etc/passwd",
            "ffmpeg playlist",
        ),
        (b"%!PS-Adobe-3.0\n", "PostScript"),
        (&elf, "Linux program"),
        (&exe, "Windows program"),
        (&dex, "Android program"),
        (b"\xCF\xFA\xED\xFE\x07\0\0\x01", "macOS program"),
        (b"\xCA\xFE\xBA\xBE\0\0\0\x02", "macOS program"),
        (b"\xCA\xFE\xBA\xBE\0\0\0\x34", "Java class"),
        (b"\0asm\x01\0\0\0", "WebAssembly"),
        (apk, "APK"),
        (jar, "JAR"),
    ];
    for &(bytes, looks_like) in table {
        for name in ["x.png", "x.mp4", "x.txt", "x.docx", "x.zip"] {
            assert_eq!(
                extension_of(bytes, name),
                Err(looks_like),
                "{looks_like} as {name}"
            );
        }
    }
}

#[test]
fn formats_outside_the_list_are_refused_by_their_names() {
    for ((file, bytes), looks_like) in [
        (sample!("scan.tiff"), "TIFF"),
        (sample!("clip.flv"), "FLV"),
        (sample!("clip.ts"), "MPEG-TS"),
        (sample!("theora.ogv"), "Ogg without a known sound"),
    ] {
        assert_eq!(extension_of(bytes, "x.jpg"), Err(looks_like), "{file}");
    }
    for bytes in [
        b"\0".as_slice(),
        b"\x01\x02\x03\x04",
        b"\xFF",
        &[0; 4096],
        b"\x00\x00\x00\x00ftyp",
    ] {
        assert_eq!(extension_of(bytes, "x.jpg"), Err("unknown"), "{bytes:?}");
    }
}

#[test]
fn text_begins_as_utf8_gbk_or_utf16_without_binary_bytes() {
    let gbk = b"\xC4\xE3\xBA\xC3".as_slice();
    let late_gbk = joined(&[&[b'a'; 40_000], gbk]);
    let late_zero = joined(&[&[b'a'; 40_000], b"\0"]);
    let mixed = joined(&["你好".as_bytes(), &[b' '; 40_000], b"\xFF"]);
    let cut_character = &"你好".as_bytes()[..5];
    for (bytes, expected) in [
        ("plain words".as_bytes(), Ok("txt")),
        ("你好，世界".as_bytes(), Ok("txt")),
        (gbk, Ok("txt")),
        (b"\n", Ok("txt")),
        (b"\x1b[31mred\x1b[0m\r\n\x0c", Ok("txt")),
        (b"a < b", Ok("txt")),
        (b"Subject: hello\n\nmime-version is a header", Ok("txt")),
        (b"MZ is how this text begins", Ok("txt")),
        (b"BMW,3\nAudi,4\n", Ok("txt")),
        (&late_gbk, Ok("txt")),
        // Only the beginning is read.
        (&late_zero, Ok("txt")),
        (&mixed, Ok("txt")),
        (cut_character, Ok("txt")),
        (b"\x0b\x0c\r\n\x1a", Ok("txt")),
        (b"<3 and <- and <", Ok("txt")),
        (b"a\0b", Err("unknown")),
        (b"bell \x07", Err("unknown")),
        (b"\xFF\xFEh\0i\0", Ok("txt")),
        (b"\xFE\xFF\0h\0i", Ok("txt")),
        (b"\xFF\xFEh\0i\0\x07\0", Err("unknown")),
        (b"\xFF\xFE \0<\0h\0t\0m\0l\0>\0", Err("HTML")),
        (b"\xFE\xFF\0#\0!\0/", Err("script")),
        (b"\xFF\xFEh\0\x00\xDC", Err("unknown")),
        (b"h\0i\0", Err("unknown")),
    ] {
        assert_eq!(
            extension_of(bytes, "x.txt"),
            expected,
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn mail_keeps_its_parts_and_a_saved_page_is_none() {
    let page = b"MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=x\r\n\r\n";
    for (name, expected) in [
        ("letter.eml", Ok("eml")),
        ("page.mht", Err("MHTML")),
        ("", Err("MHTML")),
    ] {
        assert_eq!(extension_of(page, name), expected, "{name}");
    }
}

#[test]
fn documents_keep_the_extension_that_fits_them() {
    let text = b"a,b\n1,2\n".as_slice();
    let archive = zip(&["mimetype", "content.xml"]);
    let package = zip(&["[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"]);
    let texts = [
        "md", "json", "log", "srt", "vcf", "ics", "lrc", "eml", "sql", "yaml", "csv", "tsv",
    ];
    let zips = [
        "odt", "ods", "odp", "ofd", "xmind", "vsdx", "pages", "numbers", "key", "epub", "kmz",
        "sketch",
    ];
    for (bytes, extensions) in [
        (text, &texts[..]),
        (&archive, &zips),
        (&package, &["xlsx", "xlsm", "xltx"]),
    ] {
        for extension in extensions {
            let name = format!("x.{extension}");
            assert_eq!(extension_of(bytes, &name), Ok(*extension), "{name}");
        }
    }
    for (bytes, name, extension) in [
        (text, "x.js", "txt"),
        (text, "x.html", "txt"),
        (&archive, "x.apk", "zip"),
        (&archive, "x.docx", "zip"),
        (&package, "x.docm", "xlsx"),
    ] {
        assert_eq!(extension_of(bytes, name), Ok(extension), "{name}");
    }
}

#[test]
fn compressed_files_and_rtf_are_documents() {
    let tar = joined(&[&[b'a'; 257], b"ustar\0", &[0; 249]]);
    let (_, pdf) = sample!("page.pdf");
    let junk = joined(&[b"\0\xFF\r\n", pdf]);
    let far = joined(&[&[1; 1100], b"\n", pdf]);
    let page = joined(&[b"<html>\n", pdf]);
    let script = joined(&[b"#!/bin/sh\n", pdf]);
    let words = joined(&[b"The header is ", pdf]);
    let spanned = joined(&[b"PK\x07\x08", &zip(&["a"])]);
    for (bytes, name, expected) in [
        (b"{\\rtf1\\ansi x}".as_slice(), "x.doc", Ok("rtf")),
        (
            b"\x1F\x8B\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0",
            "x.tgz",
            Ok("tgz"),
        ),
        (
            b"\x1F\x8B\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0",
            "x.svgz",
            Ok("gz"),
        ),
        (&tar, "x", Ok("tar")),
        (b"\xFD7zXZ\0\0\x04\xE6\xD6\xB4\x46", "", Ok("xz")),
        (b"BZh91AY&SY\0\0", "", Ok("bz2")),
        (b"\x28\xB5\x2F\xFD\x24\0\x01\0\0\x99", "", Ok("zst")),
        (&spanned, "", Ok("zip")),
        (&junk, "x", Ok("pdf")),
        (&far, "x", Err("unknown")),
        (&page, "x.pdf", Err("HTML")),
        (&script, "x.pdf", Err("script")),
        (b"BZh9", "", Ok("txt")),
        (b"\x1F\x8B\x08\0", "", Err("damaged GZIP")),
    ] {
        assert_eq!(
            extension_of(bytes, name),
            expected,
            "{}",
            bytes[..16.min(bytes.len())].escape_ascii()
        );
    }
    assert_ne!(extension_of(&words, "x.pdf"), Ok("pdf"));
}

#[test]
fn a_file_of_no_known_kind_is_stored_where_the_operator_accepts_it() {
    let with_files: Kinds = "image,file".parse().expect("kinds");
    let (_, apk) = sample!("tiny.apk");
    for (bytes, name, expected) in [
        (b"MZ\x90\0\x03\0\0\0".as_slice(), "setup.exe", Ok("exe")),
        (b"<html><script>", "page.html", Ok("bin")),
        (b"<svg onload=x>", "a.svg", Ok("bin")),
        (b"\0\x01\x02", "a.png", Ok("bin")),
        (b"\0\x01\x02", "a.dat", Ok("dat")),
        (b"\0\x01\x02", "a.toolongextension", Ok("bin")),
        (b"\0\x01\x02", "a.d!t", Ok("bin")),
        (b"\0\x01\x02", "", Ok("bin")),
        (apk, "app.apk", Ok("apk")),
        // A kind that the bytes show and the operator does not accept.
        (b"plain text", "a.dat", Err("txt")),
    ] {
        let judged = judge(bytes, name, rules(with_files)).map(|watch| watch.media());
        match (judged, expected) {
            (Ok(Some(media)), Ok(extension)) => {
                assert_eq!(
                    (media.kind, media.mime),
                    (Kind::File, "application/octet-stream")
                );
                assert_eq!(&*media.extension, extension, "{name}");
            }
            (Err(refused), Err(looks_like)) => assert_eq!(refused.looks_like, looks_like),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn office_files_are_told_by_the_folders_of_their_entries() {
    for (names, name, extension) in [
        (
            &["[Content_Types].xml", "_rels/.rels", "word/document.xml"][..],
            "",
            "docx",
        ),
        (&["docProps/app.xml", "xl/workbook.xml"], "", "xlsx"),
        (&["_rels/.rels", "ppt/presentation.xml"], "x.docx", "pptx"),
        (
            &["word/numbering.xml", "word/document.xml"],
            "x.docx",
            "docx",
        ),
        (&["word/numbering.xml", "word/document.xml"], "x.zip", "zip"),
        (
            &["[Content_Types].xml", "docProps/thumbnail.jpeg"],
            "x.pptx",
            "pptx",
        ),
        (
            &["[Content_Types].xml", "docProps/thumbnail.jpeg"],
            "x.zip",
            "zip",
        ),
        (&["words/list.txt", "a/word/x"], "x.docx", "zip"),
        (&["mimetype", "content.xml"], "x.odt", "odt"),
    ] {
        assert_eq!(
            extension_of(&zip(names), name),
            Ok(extension),
            "{names:?} as {name}"
        );
    }
}

#[test]
fn a_program_is_found_by_its_own_entries_and_only_by_their_whole_names() {
    for (name, expected) in [
        ("AndroidManifest.xml", Err("APK")),
        ("classes.dex", Err("APK")),
        ("META-INF/MANIFEST.MF", Err("JAR")),
        ("meta-inf/manifest.mf", Err("JAR")),
        ("app/AndroidManifest.xml", Ok("zip")),
        ("AndroidManifest.xml.txt", Ok("zip")),
        ("META-INF/manifest.xml", Ok("zip")),
        ("classes2.dex", Ok("zip")),
    ] {
        let early = zip(&["res/a", name]);
        assert_eq!(extension_of(&early, "x.zip"), expected, "{name}");
        let stuffing = "x".repeat(3 * HEAD_BYTES);
        let late = zip_with(&[("res/a", stuffing.as_bytes()), (name, b"data")]);
        assert_eq!(extension_of(&late, "x.zip"), expected, "{name}, late");
    }
    let words = b"AndroidManifest.xml classes.dex META-INF/MANIFEST.MF";
    let archive = zip_with(&[("a", words)]);
    assert_eq!(extension_of(&archive, "x.zip"), Ok("zip"));
}

#[test]
fn a_program_within_an_archive_is_not_looked_at() {
    let (_, apk) = sample!("tiny.apk");
    let jar = zip(&["META-INF/MANIFEST.MF"]);
    let stuffing = vec![b'x'; 3 * HEAD_BYTES];
    for entries in [
        [("app.apk", apk), ("readme", b"x")],
        [("readme", b"x"), ("app.apk", apk)],
        [("stuffing", &stuffing), ("app.jar", &jar)],
        [("app.jar", &jar), ("stuffing", &stuffing)],
    ] {
        let archive = zip_with(&entries);
        assert_eq!(
            extension_of(&archive, "x.zip"),
            Ok("zip"),
            "{}",
            entries[0].0
        );
    }
    let both = zip_with(&[("app.apk", apk), ("META-INF/MANIFEST.MF", b"x")]);
    assert_eq!(extension_of(&both, "x.zip"), Err("JAR"));
}

#[test]
fn every_border_between_two_chunks_shows_the_program() {
    let stuffing = vec![b'x'; HEAD_BYTES];
    let archive = zip_with(&[("a", &stuffing), ("META-INF/MANIFEST.MF", b"x"), ("b", b"")]);
    let refused = Err(Refused::new("JAR"));
    for cut in HEAD_BYTES..archive.len() {
        assert_eq!(receive(&archive, "x.zip", &[cut]), refused, "cut at {cut}");
    }
    let every: Vec<_> = (0..archive.len()).collect();
    assert_eq!(receive(&archive, "x.zip", &every), refused);
}

#[test]
fn compound_files_are_told_by_their_streams_then_by_name() {
    for (sector, stream, name, expected) in [
        (0, "WordDocument", "", Ok("doc")),
        (0, "WordDocument", "x.xls", Ok("doc")),
        (0, "Workbook", "x", Ok("xls")),
        (0, "Book", "x", Ok("xls")),
        (0, "PowerPoint Document", "x.doc", Ok("ppt")),
        (99, "WordDocument", "x.doc", Ok("doc")),
        (99, "WordDocument", "x.PPT", Ok("doc")),
        (99, "WordDocument", "", Ok("doc")),
        (99, "Workbook", "x.et", Ok("et")),
        (99, "WordDocument", "x.wps", Ok("wps")),
        (99, "PowerPoint Document", "x.pps", Ok("pps")),
        (99, "EncryptedPackage", "secret.xlsx", Ok("xlsx")),
        (99, "EncryptedPackage", "", Ok("docx")),
        (99, "something else", "x.dot", Ok("dot")),
        (99, "something else", "x", Err("OLE file")),
        (0, "__properties_version1.0", "mail.msg", Err("OLE file")),
    ] {
        let bytes = compound(sector, [0; 16], stream);
        assert_eq!(
            extension_of(&bytes, name),
            expected,
            "{stream} in sector {sector} as {name}"
        );
    }
}

#[test]
fn a_compound_file_of_impossible_sectors_is_refused() {
    for (at, byte) in [(26, 5), (28, 0), (30, 0), (30, 12), (30, 0xFF)] {
        let mut bytes = compound(0, [0; 16], "WordDocument");
        bytes[at] = byte;
        assert_eq!(
            extension_of(&bytes, "x.doc"),
            Err("OLE file"),
            "{byte} at {at}"
        );
    }
}

#[test]
fn a_windows_installer_is_refused_when_its_directory_passes() {
    let class = *b"\x84\x10\x0C\0\0\0\0\0\xC0\0\0\0\0\0\0\x46";
    for sector in [0, 1, 99] {
        let bytes = compound(sector, class, "x");
        for cut in [HEAD_BYTES, 512 * (sector as usize + 1) + 88] {
            let answer = receive(&bytes, "x.doc", &[1, 2, cut]);
            assert_eq!(
                answer,
                Err(Refused::new("Windows installer")),
                "{sector}, {cut}"
            );
        }
    }
}

/// Bytes that reach deep: a sample with some of its bytes changed, cut somewhere, with another
/// file behind it at a distance.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let sample = (0..SAMPLES.len()).prop_map(|index| SAMPLES[index].1.to_vec());
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let changed = (
        sample,
        changes,
        any::<prop::sample::Index>(),
        0..40_000_usize,
        any::<bool>(),
    );
    let changed = changed.prop_map(|(mut bytes, changes, cut, distance, keep)| {
        for (at, byte) in changes {
            // Headers are short: aim at them.
            let reach = bytes.len().min(96);
            bytes[at.index(reach)] = byte;
        }
        if !keep {
            bytes.truncate(cut.index(bytes.len()));
        }
        let blank = if bytes.first().is_some_and(u8::is_ascii_alphabetic) {
            b' '
        } else {
            0
        };
        bytes.extend(vec![blank; distance]);
        bytes.extend(sample!("tiny.apk").1);
        bytes
    });
    prop_oneof![prop::collection::vec(any::<u8>(), 0..200), changed]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn no_bytes_panic_and_no_chunking_changes_the_verdict(
        bytes in hostile(),
        name in "[a-z]{0,3}\\.(png|mp4|docx|doc|txt|m4a|.{0,5})",
        mut cuts in prop::collection::vec(0..50_000_usize, 0..12),
    ) {
        cuts.sort_unstable();
        let whole = receive(&bytes, &name, &[]).ok();
        prop_assert_eq!(receive(&bytes, &name, &cuts).ok(), whole);
        if let Some(media) = whole {
            prop_assert_eq!(Media::of_stored(&media.extension), media);
        }
    }
}
