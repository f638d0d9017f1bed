//! Audio whose first frame is far inside the file; videos and images by their brands.

use crate::{
    builders::{branded, id3, joined},
    drivers::{Case, Driver::Lambda, Stored},
};

use super::file;

/// An audio file, and its expected type.
type Audio = (&'static [u8], &'static str);

const MP3: Audio = (
    include_bytes!("../../media/mpeg1.mp3"),
    "audio audio/mpeg mp3",
);
const AAC: Audio = (
    include_bytes!("../../media/adts.aac"),
    "audio audio/aac aac",
);
const FLAC: Audio = (
    include_bytes!("../../media/tone.flac"),
    "audio audio/flac flac",
);

pub(super) fn cases() -> Vec<Case> {
    [audio_files(), brands()].concat()
}

fn taken(number: &str, name: &str, content: &[u8], about: &str) -> Case {
    let case = file(format!("{number} as {name:?}"), name, content);
    case.stores([Stored::new(about, content.to_vec()).named(name)])
}

/// Audio after tags of any length and version, and after junk; none of these is damaged.
fn audio_files() -> Vec<Case> {
    let frame = |name: &str, bytes: usize| joined(&[name.as_bytes(), &vec![0x55; bytes]]);
    let cover = |bytes: usize| id3(2, 0, &frame("PIC\0", bytes));
    let title = |bytes: usize| id3(3, 0, &frame("TIT2", bytes));
    let extended = |bytes: usize| id3(3, 0x40, &frame("\0\0\0\x06", bytes));
    // Around the end of the 16 KiB head that is read first.
    let reach = 16 * 1024 - 10;
    let second = id3(4, 0, &frame("APIC", 30_000));
    let mut cases = Vec::new();
    for bytes in [reach - 500, reach - 4, reach, reach + 1, 20_000, 300_000] {
        for (tag_name, tag) in [
            ("2.2 with a cover", cover(bytes)),
            ("2.3", title(bytes)),
            ("an extended header", extended(bytes)),
            ("two tags", joined(&[&title(bytes), &second])),
            ("zeros behind it", joined(&[&title(bytes), &[0; 20_000]])),
        ] {
            for (name, (audio, about)) in [("x.mp3", MP3), ("x.aac", AAC), ("x.flac", FLAC)] {
                let number = format!("audio after {tag_name} of {bytes}");
                cases.push(taken(&number, name, &joined(&[&tag, audio]), about));
            }
        }
    }
    // By content, regardless of the name.
    for (name, (audio, about)) in [("x.mp3", FLAC), ("x.mp3", AAC), ("voice", MP3), ("", FLAC)] {
        let content = joined(&[&title(300_000), audio]);
        cases.push(taken("audio after a large tag", name, &content, about));
    }
    for (name, (audio, about)) in [("x.mp3", MP3), ("x.aac", AAC)] {
        for junk in [1, 100, 200] {
            let number = format!("audio cut at {junk}");
            cases.push(taken(&number, name, &audio[junk..], about));
        }
        let zeros = joined(&[&[0; 5000], audio]);
        cases.push(taken("audio after zeros", name, &zeros, about));
        let debris = joined(&[&title(100), &[0x55; 40_000], audio]);
        cases.push(taken("audio after a tag and junk", name, &debris, about));
    }
    // Too long to be buffered: by name, else MP3.
    let huge = id3(3, 0, &frame("APIC", 9_000_000));
    for (name, (audio, about)) in [
        ("x.mp3", MP3),
        ("x.flac", FLAC),
        ("x.aac", AAC),
        ("x.png", MP3),
        ("", MP3),
    ] {
        let case = taken("audio after 9 MB", name, &joined(&[&huge, audio]), about);
        cases.push(case.not_on(Lambda, "an event has at most 6 MB"));
    }
    for bytes in [100, 20_000, 300_000] {
        let case = file(format!("a tag of {bytes} alone"), "x.mp3", title(bytes));
        cases.push(case.refused("type_refused damaged MP3"));
    }
    cases
}

/// A known major brand decides; compatible brands count only if it is unknown.
fn brands() -> Vec<Case> {
    let (mp4, m4a) = ("video video/mp4 mp4", "audio audio/mp4 m4a");
    let heic = branded(&[b"heic", b"mif1", b"heic"]);
    let mut cases = Vec::new();
    for (brands, about) in [
        ([b"f4v ", b"f4v "], mp4),
        ([b"F4V ", b"F4V "], mp4),
        ([b"hvc1", b"hvc1"], mp4),
        ([b"dby1", b"dby1"], mp4),
        ([b"mp4v", b"mp4v"], mp4),
        ([b"M4A\0", b"3gp5"], m4a),
        ([b"M4A ", b"3gp5"], m4a),
        ([b"M4B ", b"mp42"], m4a),
        ([b"3gp5", b"M4A "], "video video/3gpp 3gp"),
        ([b"qt\0\0", b"mp42"], "video video/quicktime mov"),
        ([b"mif1", b"heic"], "image image/heic heic"),
    ] {
        let both = joined(&[brands[0], b" ", brands[1]]);
        let name = format!("brands {}", both.escape_ascii());
        cases.push(taken(&name, "", &branded(&brands), about));
    }
    for (name, about) in [
        ("DSC00001.HIF", "image image/heif hif"),
        ("a.heif", "image image/heif heif"),
        ("a.jpg", "image image/heic heic"),
    ] {
        cases.push(taken("brands of HEIC", name, &heic, about));
    }
    for space in [
        b"\0\0\0\x08free".to_vec(),
        b"\0\0\0\x08wide\0\0\0\x0Cskipabcd".to_vec(),
        joined(&[b"\0\0\x10\0free", &[0; 4096 - 8]]),
    ] {
        let video = joined(&[&space, &branded(&[b"isom", b"mp41"])]);
        let number = format!("free space of {} bytes", space.len());
        cases.push(taken(&number, "x.mp4", &video, mp4));
    }
    for (brands, looks_like) in [
        ([b"crx ", b"isom"], "Canon raw"),
        ([b"crx ", b"heic"], "Canon raw"),
        ([b"jp2 ", b"jp2 "], "unknown"),
    ] {
        let name = format!("brand {}", brands[0].escape_ascii());
        let case = file(name, "x.mp4", branded(&brands));
        cases.push(case.refused(format!("type_refused {looks_like}")));
    }
    cases
}
