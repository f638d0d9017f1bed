//! `upload::media`: no file panics, every detected type is one that is served, and type and facts do not
//! depend on the chunks of a file. A stripped file keeps its length, its type and its facts, and does not
//! change when it is stripped again.
//!
//! [`check`] accepts any file; [`check_family`] only files that one walker parses.

use bytes::Bytes;
use chat_upload::upload::media::{HEAD_BYTES, Kinds, Media, Refused, Report, Rules, Strip, judge};

use super::chopped::Chopped;

/// First bytes of the files that one walker parses: their family, an extension and the bytes.
pub(crate) const BEGINNINGS: [(&str, &str, &[u8]); 22] = [
    ("jpeg_tiff", "jpg", b"\xFF\xD8\xFF"),
    ("jpeg_tiff", "tiff", b"II*\0\x08\0\0\0"),
    ("jpeg_tiff", "tiff", b"MM\0*\0\0\0\x08"),
    ("png", "png", b"\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR"),
    ("gif_riff_bmp", "gif", b"GIF89a"),
    ("gif_riff_bmp", "webp", b"RIFF\xFF\0\0\0WEBPVP8X"),
    ("gif_riff_bmp", "avi", b"RIFF\xFF\0\0\0AVI LIST"),
    ("gif_riff_bmp", "wav", b"RIFF\xFF\0\0\0WAVEfmt "),
    ("gif_riff_bmp", "bmp", b"BM"),
    ("boxes", "heic", b"\0\0\0\x10ftypheic\0\0\0\0"),
    ("boxes", "avif", b"\0\0\0\x10ftypavif\0\0\0\0"),
    ("boxes", "mp4", b"\0\0\0\x10ftypisom\0\0\0\0"),
    ("boxes", "mov", b"\0\0\0\x10ftypqt  \0\0\0\0"),
    ("matroska", "webm", b"\x1A\x45\xDF\xA3\x87\x42\x82\x84webm"),
    (
        "matroska",
        "mkv",
        b"\x1A\x45\xDF\xA3\x8B\x42\x82\x88matroska",
    ),
    ("ogg_flac", "ogg", b"OggS\0\x02"),
    ("ogg_flac", "flac", b"fLaC\0\0\0\x22"),
    ("frames", "mp3", b"ID3\x03\0\0\0\0\0"),
    ("frames", "mp3", b"\xFF\xFB\x90"),
    ("frames", "aac", b"\xFF\xF1\x50\x80"),
    ("frames", "amr", b"#!AMR\n"),
    ("xmp", "jpg", b""),
];

/// Checks an input that selects a file signature, chunk sizes, and a content whose first bytes it
/// replaces. The content of family `xmp` is a packet in an image.
pub(crate) fn check_family(name: &str, input: &[u8]) {
    let of_family = BEGINNINGS.iter().filter(|(family, ..)| *family == name);
    let beginnings: Vec<_> = of_family.collect();
    let mut pieces = input.splitn(3, |byte| *byte == b'\n');
    let mut next = || pieces.next().unwrap_or_default();
    let (choice, sizes, content) = (next(), next(), next());
    let choice = choice.first().map_or(0, |byte| usize::from(*byte));
    let &&(_, extension, beginning) = &beginnings[choice % beginnings.len()];
    let file = match name {
        "xmp" => with_packet(content),
        _ => {
            let rest = content.get(beginning.len()..).unwrap_or_default();
            [beginning, rest].concat()
        }
    };
    let name = format!("a.{extension}");
    check(&[name.as_bytes(), sizes, &file].join(&b'\n'));
}

/// Builds an image with this XMP packet, as far as a segment can contain it.
fn with_packet(packet: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
    let packet = &packet[..packet.len().min(60_000)];
    let len = u16::try_from(2 + NAME.len() + packet.len()).expect("within a segment");
    let (start, rest) = include_bytes!("../../media/baseline.jpg").split_at(2);
    let segment = [b"\xFF\xE1", &len.to_be_bytes()[..], NAME, packet].concat();
    [start, &segment, rest].concat()
}

/// Checks an input of a file name, chunk sizes and content.
pub(crate) fn check(input: &[u8]) {
    let input = Chopped::new(input);
    let name = String::from_utf8_lossy(input.line);
    let whole = judged(&input.content, &name, input.whole());
    for chunks in [input.as_asked(), input.minced()] {
        let other = judged(&input.content, &name, chunks);
        // If a file is refused for two reasons, the chunks decide which is found first.
        assert_eq!(whole.as_ref().ok(), other.as_ref().ok());
    }
    if let Ok(media) = whole {
        assert_eq!(Media::from_extension(&media.extension), media);
        assert_name_only_chooses(&input.content, media);
        for strip in [Strip::Off, Strip::Location, Strip::Device] {
            let (stripped, once) = passed(&input.content, &name, input.whole(), strip);
            assert_eq!(stripped.len(), input.content.len());
            for chunks in [input.as_asked(), input.minced()] {
                let (chopped, again) = passed(&input.content, &name, chunks, strip);
                assert_eq!((&chopped, &again), (&stripped, &once));
            }
            let chunks = vec![Bytes::copy_from_slice(&stripped)];
            let (same, twice) = passed(&stripped, &name, chunks, strip);
            assert_eq!(same, stripped);
            let [twice, once] = [twice, once].map(|found| found.map(|(_, report)| report.facts));
            assert_eq!(twice, once);
        }
    }
}

fn judged(content: &[u8], name: &str, chunks: Vec<Bytes>) -> Result<Media, Refused> {
    let (_, judged) = passed(content, name, chunks, Strip::Off);
    judged.map(|(media, _)| media)
}

/// Returns the file as a store would keep it, and the findings in it.
fn passed(
    content: &[u8],
    name: &str,
    chunks: Vec<Bytes>,
    strip: Strip,
) -> (Vec<u8>, Result<(Media, Report), Refused>) {
    let mut stored = content.to_vec();
    let head = &content[..content.len().min(HEAD_BYTES)];
    let kinds = Kinds::ALL;
    let mut watch = match judge(head, name, Rules { kinds, strip }) {
        Ok(watch) => watch,
        Err(refused) => return (stored, Err(refused)),
    };
    let mut edits = Vec::new();
    let mut chunks = chunks.iter();
    let rest = chunks.try_for_each(|chunk| watch.see(chunk, &mut edits));
    let ended = rest.and_then(|()| watch.end(&mut edits));
    edits.iter().for_each(|edit| edit.apply(0, &mut stored));
    (stored, ended)
}

/// A name makes no unacceptable bytes acceptable, and vice versa.
fn assert_name_only_chooses(content: &[u8], media: Media) {
    let name = format!("x.{}", &*media.extension);
    let named = judged(content, &name, vec![Bytes::copy_from_slice(content)]);
    assert_eq!(named, Ok(media));
}
