//! Tables of real files (`tests/media/`, each written by an ordinary tool and listed in its README)
//! and of malformed ones.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use builders::*;

#[path = "../../../tests/media/builders.rs"]
mod builders;

/// Every accepted sample, with the extension that clients usually give it.
const SAMPLES: &str = "baseline.jpg exif.jpg progressive.jpeg rgb.png palette.gif animated.gif \
    lossy.webp lossless.webp animated.webp v3.bmp mono.bmp phone.heic still.avif isom.mp4 mp42-faststart.mp4 \
    fragmented.mp4 itunes.m4v qt.mov phone.3gp vp8.webm recorder-audio.weba h264.mkv xvid.avi \
    xing.mp3 id3.mp3 mpeg1.mp3 voice.m4a adts.aac amr-nb.amr amr-wb.amr pcm.wav vorbis.ogg \
    speex.ogg flac-in.ogg note.opus tone.flac page.pdf report.docx sheet.xlsx slides.pptx \
    sheet.xls utf8.txt gbk.csv bom.csv photos.zip a.7z";

/// Reads a file of `tests/media`.
pub(super) fn sample(file: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/media/");
    std::fs::read(format!("{folder}{file}")).expect(file)
}

fn samples() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    SAMPLES.split(' ').map(|file| (file, sample(file)))
}

/// Judges a file by its head, then watches it in chunks that end at `cuts`.
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
    assert_eq!(early.unwrap_or(media), media, "what is known stays");
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

#[track_caller]
fn assert_is(bytes: &[u8], name: &str, expected: Result<&str, &str>) {
    let start = bytes[..bytes.len().min(60)].escape_ascii();
    assert_eq!(extension_of(bytes, name), expected, "{start} as {name:?}");
}

#[test]
fn every_real_file_keeps_its_extension() {
    for (file, bytes) in samples() {
        let (_, extension) = file.rsplit_once('.').expect("an extension");
        assert_is(&bytes, file, Ok(extension));
    }
}

#[test]
fn a_file_without_a_helpful_name_gets_the_usual_extension() {
    let names = "blob file-1712345678901 x.html x.exe x. .htaccess";
    for (file, bytes) in samples() {
        let (_, own) = file.rsplit_once('.').expect("an extension");
        let usual = match file {
            "progressive.jpeg" => "jpg",
            "gbk.csv" | "bom.csv" => "txt",
            _ => own,
        };
        for name in names.split(' ').chain([""]) {
            assert_is(&bytes, name, Ok(usual));
        }
    }
}

#[test]
fn the_name_chooses_only_among_extensions_that_fit() {
    let heic = branded(&[b"heic", b"mif1", b"heic"]);
    let mp4 = &sample("isom.mp4");
    let png = &sample("rgb.png");
    let jpeg = &sample("baseline.jpg");
    let opus = &sample("note.opus");
    let text = &sample("utf8.txt");
    let long = format!("x.{}", "p".repeat(300));
    for (bytes, name, extension) in [
        (&png[..], "x.PnG", "png"),
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
        (&sample("report.docx"), "x.zip", "docx"),
        (&sample("photos.zip"), "x.docx", "zip"),
        (&sample("photos.zip"), "x.apk", "zip"),
        (&sample("vorbis.ogg"), "x.opus", "ogg"),
        (&sample("page.pdf"), "x.png", "pdf"),
    ] {
        assert_is(bytes, name, Ok(extension));
    }
}

#[test]
fn sound_alone_in_a_films_container_is_a_sound() {
    let mp4 = &sample("isom-sound-only.mp4")[..];
    let quicktime = with_brand(mp4, b"qt  ");
    let three_gp = with_brand(mp4, b"3gp5");
    let webm = &sample("recorder-audio.weba");
    let mkv = with_doc_type(webm, b"matroska");
    let mut endless = webm.clone();
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
        (&sample("isom.mp4"), "x.m4a", "mp4"),
        (&sample("fragmented.mp4"), "x.m4a", "mp4"),
        (&sample("phone.3gp"), "x.m4a", "3gp"),
        (&sample("vp8.webm"), "x.weba", "webm"),
    ] {
        assert_is(bytes, name, Ok(extension));
    }
}

#[test]
fn the_name_tells_a_sound_where_the_tracks_stand_behind_the_media() {
    let (audio, video) = (sample("isom-sound-only.mp4"), sample("isom.mp4"));
    for (bytes, name, extension) in [
        (&audio, "x.m4a", "m4a"),
        (&audio, "x.aac", "m4a"),
        (&audio, "x.mp4", "mp4"),
        (&audio, "", "mp4"),
        (&video, "x.mp4", "mp4"),
    ] {
        let at = memchr::memmem::find(bytes, b"mdat").expect("its media") - 4;
        let media = joined(&[&(HEAD_BYTES as u32).to_be_bytes(), b"mdat"]);
        let bytes = joined(&[&bytes[..at], &media, &[7; HEAD_BYTES - 8], &bytes[at..]]);
        assert_is(&bytes, name, Ok(extension));
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
    let start = [&file[..4], &[size], &file[5..at]].concat();
    joined(&[&start, b"\x42\x82\x88", doc_type, &file[at + 7..]])
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
        assert_is(&branded(&brands), "", expected);
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
        assert_is(&joined(&[space, brands]), "", expected);
    }
}

#[test]
fn a_box_that_contradicts_itself_is_refused() {
    let brands = b"ftypisom\0\0\0\0isom".as_slice();
    let [whole, past_the_end, size_0, size_8] =
        [b"\0\0\0\x14", b"\0\0\x01\0", &[0; 4], b"\0\0\0\x08"]
            .map(|size: &[u8; 4]| joined(&[size, brands]));
    let free = b"\0\0\0\x08free";
    let nested = b"\0\0\0\x18moov\0\0\0\x10moov\0\0\0\x08moov";
    for (case, boxes) in [
        ("ftyp alone", &[&whole[..]][..]),
        ("ftyp past the end", &[&past_the_end, free]),
        ("ftyp of size 0", &[&size_0, free]),
        ("ftyp of size 8", &[&size_8, free]),
        ("64 bits", &[&whole, b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x01"]),
        ("next box of size 2", &[&whole, b"\0\0\0\x02moov"]),
        ("no name", &[&whole, b"\0\0\0\x08\0\x01\x02\x03"]),
        ("to the end, no moov", &[b"\0\0\0\0mdat0123456789"]),
        ("mdat past the end", &[b"\0\0\x01\0mdat0123456789"]),
        ("2^63 bytes", &[b"\0\0\0\x01mdat\x80\0\0\0\0\0\0\0abcd"]),
        ("in itself", &[nested]),
    ] {
        let judged = judge(&joined(boxes), "x.mp4", rules(Kinds::ALL));
        assert!(judged.is_err(), "{case}");
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
        assert_is(bytes, "x.mov", Ok("mov"));
    }
    assert_is(b"abc mdat is what this text says", "", Ok("txt"));
}

#[test]
fn magic_bytes_alone_are_no_file() {
    for (file, bytes) in samples() {
        for length in 1..12.min(bytes.len()) {
            let answer = extension_of(&bytes[..length], file);
            let is_refused = matches!(answer, Err(_) | Ok("txt" | "csv"));
            assert!(is_refused, "{file}, {length} bytes: {answer:?}");
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
        assert_is(bytes, "", Err(looks_like));
    }
}

#[test]
fn a_header_that_no_reader_would_take_is_refused() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR";
    let table: &[(&str, &[&[u8]])] = &[
        ("JPEG segment of 0 bytes", &[b"\xFF\xD8\xFF\xE0\0\0JFIF\0"]),
        ("JPEG segment of 1 byte", &[b"\xFF\xD8\xFF\xE0\0\x01JFIF\0"]),
        ("JPEG segment too long", &[b"\xFF\xD8\xFF\xE0\0\x10JFIF\0"]),
        ("JPEG from a scan on", &[b"\xFF\xD8\xFF\xDA\0\x08abcdef"]),
        ("JPEG that ends", &[b"\xFF\xD8\xFF\xD9\0\x08abcdef"]),
        (
            "PNG of width 0",
            &[png, b"\0\0\0\0\0\0\0\x01\x08\x02\0\0\0", &[0; 8]],
        ),
        (
            "PNG of height 2^31",
            &[png, b"\0\0\0\x01\x80\0\0\0\x08\x02\0\0\0", &[0; 8]],
        ),
        (
            "PNG of depth 3",
            &[png, b"\0\0\0\x01\0\0\0\x01\x03\x02\0\0\0", &[0; 8]],
        ),
        ("GIF of a script", &[b"GIF89a/*<svg/onload=alert(1)>*/=1;"]),
        ("GIF without a picture", &[b"GIF89a\x01\0\x01\0\0\0\0;"]),
        ("RIFF of no form", &[b"RIFF\x20\0\0\0ACONLIST\0\0\0\0"]),
        ("WEBP elsewhere", &[b"MM\0*\0\0\0\0WEBPVP8 \0\0\0\0"]),
        ("MP3 tag alone", &[b"ID3\x03\0\0\0\0\0\x20", &[0; 32]]),
        (
            "MP3 tag of 1 GB",
            &[b"ID3\x03\0\0\xFF\xFF\xFF\xFF", &[0; 64]],
        ),
        (
            "MP3 tag too long",
            &[b"ID3\x03\0\0\x7F\x7F\x7F\x7FTIT2", &[0; 64]],
        ),
        ("MP3 sync word", &[b"\xFF\xFB\x90\x64", &[0x55; 900]]),
        (
            "Ogg of no codec",
            &[b"OggS\0\x02", &[0; 20], b"\x01\x08fishead\0"],
        ),
    ];
    for (case, parts) in table {
        let answer = receive(&joined(parts), "x.png", &[]);
        assert!(answer.is_err(), "{case}: {answer:?}");
    }
}

#[test]
fn odd_but_possible_headers_are_taken() {
    let (wav, mp3) = (sample("pcm.wav"), sample("xing.mp3"));
    let mut upside_down = sample("v3.bmp");
    upside_down[22..26].copy_from_slice(&(-16_i32).to_le_bytes());
    let mut of_4_gib = wav.clone();
    of_4_gib[4..8].fill(0xFF);
    let rf64 = joined(&[b"RF64\xFF\xFF\xFF\xFFWAVEds64", &wav[16..]]);
    let debris = joined(&[b"ID3\x03\0\0\0\0\0\x04\0\0\0\0debris", &mp3]);
    let one_frame = &sample("amr-nb.amr")[..38];
    // 100,000 by 100,000.
    let large =
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\x01\x86\xa0\0\x01\x86\xa0\x08\x06\0\0\0crc_\0\0\0\0";
    let fill_bytes = b"\xFF\xD8\xFF\xFF\xFF\xE0\0\x07JFIF\0\xFF\xDB";
    let blank_line = b"\r\n%PDF-1.7\n%\xE2\xE3\xCF\xD3\n1 0 obj\n<</Type/Catalog>>";
    let rar_4 = b"Rar!\x1a\x07\0\xcf\x90\x73\0\0\x0d\0\0\0\0\0\0\0";
    let rar_5 = b"Rar!\x1a\x07\x01\0\x33\x92\xb5\xe5\x0a\x01\x05\x06\0\x05\x01\x01";
    let empty_zip = joined(&[b"PK\x05\x06", &[0; 18]]);
    for (bytes, extension) in [
        (&large[..], "png"),
        (&upside_down, "bmp"),
        (&of_4_gib, "wav"),
        (&rf64, "wav"),
        (&debris, "mp3"),
        (one_frame, "amr"),
        (fill_bytes, "jpg"),
        (blank_line, "pdf"),
        (rar_5, "rar"),
        (rar_4, "rar"),
        (&empty_zip, "zip"),
    ] {
        assert_is(bytes, "", Ok(extension));
    }
}

#[test]
fn a_sound_is_found_behind_tags_of_any_length() {
    let files = ["mpeg1.mp3", "adts.aac", "tone.flac"].map(|file| (file, sample(file)));
    let frame = |name: &str, bytes: usize| joined(&[name.as_bytes(), &vec![0x55; bytes]]);
    let reach = HEAD_BYTES - 10;
    // Around the end of the head, and around that of the next window.
    let before = [9000, 500, 50, 5, 4, 1].map(|bytes| reach - bytes);
    let longer = [4, 100, reach, reach + 1, 20_000, 2 * HEAD_BYTES, 300_000];
    for bytes in before.into_iter().chain(longer) {
        let title = id3(3, 0, &frame("TIT2", bytes));
        let cover = id3(4, 0, &frame("APIC", 30_000));
        for (case, tag) in [
            ("2.3", title.clone()),
            ("2.2, of shorter names", id3(2, 0, &frame("PIC\0", bytes))),
            ("extended", id3(3, 0x40, &frame("\0\0\0\x06", bytes))),
            ("empty", id3(4, 0, &vec![0; bytes])),
            ("two tags", joined(&[&title, &cover])),
            ("zeros after it", joined(&[&title, &[0; 20_000]])),
            ("junk after it", joined(&[&title, &[0x55; 40_000]])),
        ] {
            for (file, audio) in &files {
                let (_, expected) = file.split_once('.').expect("an extension");
                if expected == "flac" && case == "junk after it" {
                    continue;
                }
                let answer = extension_of(&joined(&[&tag, audio]), "voice");
                assert_eq!(answer, Ok(expected), "{case}, {bytes} bytes");
            }
            let answer = extension_of(&tag, "x.mp3");
            assert_eq!(answer, Err("damaged MP3"), "{case}, {bytes} bytes alone");
        }
    }
}

#[test]
fn a_sound_that_is_out_of_reach_goes_by_its_name() {
    let head = joined(&[b"ID3\x03\0\0\x7F\x7F\x7F\x7FAPIC", &[0x80; HEAD_BYTES]]);
    let head = Bytes::from(head);
    for (name, expected) in [
        ("x.mp3", "mp3"),
        ("x.flac", "flac"),
        ("x.AAC", "aac"),
        ("x.png", "mp3"),
        ("", "mp3"),
    ] {
        let mut edits = Vec::new();
        let mut watch = judge(&head, name, rules(Kinds::ALL)).expect("held");
        watch.see(&head, &mut edits).expect("held");
        assert_eq!(watch.media(), None, "{name} is decided");
        let media = watch.decide(&mut edits).expect("audio");
        assert_eq!(&*media.extension, expected, "{name}");
    }
}

#[test]
fn a_sound_may_begin_in_the_middle_of_a_frame() {
    let exe = joined(&[b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xFF\xFF", &[0; 60]]);
    for (file, expected) in [("mpeg1.mp3", "mp3"), ("adts.aac", "aac")] {
        let audio = sample(file);
        for cut in [1, 2, 100, 200] {
            assert_is(&audio[cut..], "", Ok(expected));
        }
        assert_is(&joined(&[&[0; 5000], &audio]), "", Ok(expected));
        assert_is(&joined(&[&exe, &audio]), "", Err("Windows program"));
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
        let bytes = joined(&[&sample(file), script, &sample("tiny.apk")]);
        assert_is(&bytes, "x.php", Ok(extension));
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
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>";
    let ffconcat = b"ffconcat version 1.0\nfile /etc/passwd\n";
    let concat = b"concat:http://127.0.0.1/|file:///etc/passwd";
    let (apk, jar) = (sample("tiny.apk"), sample("tiny.jar"));
    let table: &[(&[u8], &str)] = &[
        (svg, "SVG"),
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
        (ffconcat, "ffmpeg playlist"),
        (concat, "ffmpeg playlist"),
        (b"%!PS-Adobe-3.0\n", "PostScript"),
        (&elf, "Linux program"),
        (&exe, "Windows program"),
        (&dex, "Android program"),
        (b"\xCF\xFA\xED\xFE\x07\0\0\x01", "macOS program"),
        (b"\xCA\xFE\xBA\xBE\0\0\0\x02", "macOS program"),
        (b"\xCA\xFE\xBA\xBE\0\0\0\x34", "Java class"),
        (b"\0asm\x01\0\0\0", "WebAssembly"),
        (&apk, "APK"),
        (&jar, "JAR"),
    ];
    for &(bytes, looks_like) in table {
        for name in ["x.png", "x.mp4", "x.txt", "x.docx", "x.zip"] {
            assert_is(bytes, name, Err(looks_like));
        }
    }
}

#[test]
fn formats_outside_the_list_are_refused_by_their_names() {
    for (file, looks_like) in [
        ("scan.tiff", "TIFF"),
        ("clip.flv", "FLV"),
        ("clip.ts", "MPEG-TS"),
        ("theora.ogv", "Ogg without a known sound"),
    ] {
        assert_is(&sample(file), "x.jpg", Err(looks_like));
    }
    let words = b"\x01\x02\x03\x04".as_slice();
    for bytes in [b"\0", words, b"\xFF", &[0; 4096], b"\0\0\0\0ftyp"] {
        assert_is(bytes, "x.jpg", Err("unknown"));
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
        assert_is(bytes, "x.txt", expected);
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
        assert_is(page, name, expected);
    }
}

#[test]
fn documents_keep_the_extension_that_fits_them() {
    let text = b"a,b\n1,2\n".as_slice();
    let archive = zip(&["mimetype", "content.xml"]);
    let package = zip(&["[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"]);
    let archives = "odt ods odp ofd xmind vsdx pages numbers key epub kmz sketch";
    for (bytes, extensions) in [
        (text, "md json log srt vcf ics lrc eml sql yaml csv tsv"),
        (&archive, archives),
        (&package, "xlsx xlsm xltx"),
    ] {
        for extension in extensions.split(' ') {
            assert_is(bytes, &format!("x.{extension}"), Ok(extension));
        }
    }
    for (bytes, name, extension) in [
        (text, "x.js", "txt"),
        (text, "x.html", "txt"),
        (&archive, "x.apk", "zip"),
        (&archive, "x.docx", "zip"),
        (&package, "x.docm", "xlsx"),
    ] {
        assert_is(bytes, name, Ok(extension));
    }
}

#[test]
fn compressed_files_and_rtf_are_documents() {
    let tar = joined(&[&[b'a'; 257], b"ustar\0", &[0; 249]]);
    let pdf = &sample("page.pdf");
    let junk = joined(&[b"\0\xFF\r\n", pdf]);
    let far = joined(&[&[1; 1100], b"\n", pdf]);
    let page = joined(&[b"<html>\n", pdf]);
    let script = joined(&[b"#!/bin/sh\n", pdf]);
    let words = joined(&[b"The header is ", pdf]);
    let gzip = joined(&[b"\x1F\x8B\x08\0\0\0\0\0\0\x03\x03", &[0; 9]]);
    let spanned = joined(&[b"PK\x07\x08", &zip(&["a"])]);
    for (bytes, name, expected) in [
        (b"{\\rtf1\\ansi x}".as_slice(), "x.doc", Ok("rtf")),
        (&gzip, "x.tgz", Ok("tgz")),
        (&gzip, "x.svgz", Ok("gz")),
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
        assert_is(bytes, name, expected);
    }
    assert_ne!(extension_of(&words, "x.pdf"), Ok("pdf"));
}

#[test]
fn a_file_of_no_known_kind_is_stored_where_the_operator_accepts_it() {
    let with_files: Kinds = "image,file".parse().expect("kinds");
    let apk = &sample("tiny.apk");
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
        // A kind that is detected but not accepted by the operator.
        (b"plain text", "a.dat", Err("txt")),
    ] {
        let judged = judge(bytes, name, rules(with_files)).map(|watch| watch.media());
        match (judged, expected) {
            (Ok(Some(media)), Ok(extension)) => {
                assert_eq!(media.kind, Kind::File);
                assert_eq!(media.mime, "application/octet-stream");
                assert_eq!(&*media.extension, extension, "{name}");
            }
            (Err(refused), Err(looks_like)) => assert_eq!(refused.looks_like, looks_like),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn office_files_are_told_by_the_folders_of_their_entries() {
    let types = "[Content_Types].xml";
    let word = &[types, "_rels/.rels", "word/document.xml"];
    let bare_word = &["word/numbering.xml", "word/document.xml"];
    let thumbnail = &[types, "docProps/thumbnail.jpeg"];
    for (names, name, extension) in [
        (&word[..], "", "docx"),
        (&["docProps/app.xml", "xl/workbook.xml"], "", "xlsx"),
        (&["_rels/.rels", "ppt/presentation.xml"], "x.docx", "pptx"),
        (bare_word, "x.docx", "docx"),
        (bare_word, "x.zip", "zip"),
        (thumbnail, "x.pptx", "pptx"),
        (thumbnail, "x.zip", "zip"),
        (&["words/list.txt", "a/word/x"], "x.docx", "zip"),
        (&["mimetype", "content.xml"], "x.odt", "odt"),
    ] {
        assert_is(&zip(names), name, Ok(extension));
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
        assert_is(&early, "x.zip", expected);
        let stuffing = "x".repeat(3 * HEAD_BYTES);
        let late = zip_with(&[("res/a", stuffing.as_bytes()), (name, b"data")]);
        assert_is(&late, "x.zip", expected);
    }
    let words = b"AndroidManifest.xml classes.dex META-INF/MANIFEST.MF";
    let archive = zip_with(&[("a", words)]);
    assert_is(&archive, "x.zip", Ok("zip"));
}

#[test]
fn a_program_within_an_archive_is_not_looked_at() {
    let apk = &sample("tiny.apk")[..];
    let jar = zip(&["META-INF/MANIFEST.MF"]);
    let stuffing = vec![b'x'; 3 * HEAD_BYTES];
    for entries in [
        [("app.apk", apk), ("readme", b"x")],
        [("readme", b"x"), ("app.apk", apk)],
        [("stuffing", &stuffing), ("app.jar", &jar)],
        [("app.jar", &jar), ("stuffing", &stuffing)],
    ] {
        assert_is(&zip_with(&entries), "x.zip", Ok("zip"));
    }
    let both = zip_with(&[("app.apk", apk), ("META-INF/MANIFEST.MF", b"x")]);
    assert_is(&both, "x.zip", Err("JAR"));
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
        let answer = extension_of(&bytes, name);
        assert_eq!(answer, expected, "{stream} in sector {sector} as {name}");
    }
}

#[test]
fn a_compound_file_of_impossible_sectors_is_refused() {
    for (at, byte) in [(26, 5), (28, 0), (30, 0), (30, 12), (30, 0xFF)] {
        let mut bytes = compound(0, [0; 16], "WordDocument");
        bytes[at] = byte;
        assert_is(&bytes, "x.doc", Err("OLE file"));
    }
}

#[test]
fn a_windows_installer_is_refused_when_its_directory_passes() {
    let class = *b"\x84\x10\x0C\0\0\0\0\0\xC0\0\0\0\0\0\0\x46";
    for sector in [0, 1, 99] {
        let bytes = compound(sector, class, "x");
        for cut in [HEAD_BYTES, 512 * (sector as usize + 1) + 88] {
            let answer = receive(&bytes, "x.doc", &[1, 2, cut]);
            let refused = Err(Refused::new("Windows installer"));
            assert_eq!(answer, refused, "{sector}, {cut}");
        }
    }
}

/// Bytes that reach deep into the parsers: a sample with some bytes changed, perhaps truncated, then padding
/// and another file.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let files: Vec<_> = samples().map(|(_, bytes)| bytes).collect();
    let index = any::<prop::sample::Index>;
    let changes = prop::collection::vec((index(), any::<u8>()), 0..6);
    let end = (index(), 0..40_000_usize, any::<bool>());
    let changed = (prop::sample::select(files), changes, end);
    let changed = changed.prop_map(|(mut bytes, changes, (cut, distance, keep))| {
        for (at, byte) in changes {
            // Headers are short: aim at them.
            let reach = bytes.len().min(96);
            bytes[at.index(reach)] = byte;
        }
        if !keep {
            bytes.truncate(cut.index(bytes.len()));
        }
        let blank = match bytes.first() {
            Some(first) if first.is_ascii_alphabetic() => b' ',
            _ => 0,
        };
        bytes.extend(vec![blank; distance]);
        bytes.extend(sample("tiny.apk"));
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
            prop_assert_eq!(Media::from_extension(&media.extension), media);
        }
    }
}
