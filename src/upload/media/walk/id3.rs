//! ID3v2, the tag before MP3, AAC and FLAC (id3.org, versions 2.2 to 2.4): skipped, and cleaned of
//! locations in texts and covers.

use bytes::Bytes;

use super::{
    super::{audio, field::number},
    Strip,
    input::{Input, Stop, Walked},
    jpeg::segments,
    words,
};

const HEADER: usize = 10;
/// Most bytes of a frame's text that are searched.
const MAX_TEXT: usize = 64 * 1024;

/// Skips the tags at the start; returns the next four bytes, or as many as there are.
pub(super) async fn skip(input: &mut Input) -> Bytes {
    loop {
        let start = input.take(4).await;
        if !start.starts_with(b"ID3") {
            return start;
        }
        let rest = input.take(HEADER - start.len()).await;
        let header = [&start[..], &rest[..]].concat();
        let Some(tag) = audio::id3_tag(&header) else {
            return start;
        };
        let outer = input.enter((tag.ends - HEADER) as u64);
        if input.strip() != Strip::Off {
            let inside = frames(input, tag.version, tag.flags).await;
            input.note_outcome(inside);
        }
        // At the end of the file, the next read returns nothing.
        _ = input.leave(outer).await;
    }
}

/// Cleans the frames of a tag. A frame of zeros is valid and empty.
async fn frames(input: &mut Input, version: u8, flags: u8) -> Walked {
    const UNSYNCHRONISED: u8 = 0x80;
    /// In version 2.2: compressed.
    const EXTENDED: u8 = 0x40;
    if flags & EXTENDED != 0 {
        return Err(Stop::Malformed);
    }
    while !input.is_at_end().await {
        let frame = Frame::read(input, version).await?;
        match frame.name {
            // Padding.
            [0, ..] => return Ok(()),
            // The last size was wrong: some taggers write sizes of 2.4 into tags of 2.3.
            name if !name.iter().all(|byte| is_name_byte(*byte)) => return Err(Stop::Malformed),
            _ => {}
        }
        let outer = input.enter(frame.size);
        let inside = match &frame.name {
            b"APIC" | b"PIC\0" if frame.is_plain && flags & UNSYNCHRONISED == 0 => {
                segments::cover(input).await
            }
            b"APIC" | b"PIC\0" => segments::unread_cover(input).await,
            b"TXXX" | b"TXX\0" | b"PRIV" | b"GEOB" | b"GEO\0" => {
                words::clean(input, MAX_TEXT, 0, |_| {}).await
            }
            b"TSSE" | b"TSS\0" | b"TENC" | b"TEN\0" | b"TOWN" if input.strip() >= Strip::Device => {
                input.blank(input.left(), 0).await
            }
            _ => Ok(()),
        };
        input.note_outcome(inside);
        input.leave(outer).await?;
    }
    Ok(())
}

fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | 0)
}

struct Frame {
    /// In version 2.2: three letters and a zero.
    name: [u8; 4],
    size: u64,
    /// Whether it is neither compressed, encrypted nor unsynchronised.
    is_plain: bool,
}

impl Frame {
    async fn read(input: &mut Input, version: u8) -> Walked<Self> {
        if version == 2 {
            let [a, b, c, size @ ..] = input.array::<6>().await?;
            return Ok(Self {
                name: [a, b, c, 0],
                size: number(&size, 8),
                is_plain: true,
            });
        }
        let [a, b, c, d, p, q, r, s, _, format] = input.array::<10>().await?;
        let bits = if version == 4 { 7 } else { 8 };
        Ok(Self {
            name: [a, b, c, d],
            size: number(&[p, q, r, s], bits),
            is_plain: format == 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            super::format::Format,
            Geo::{self, Kept, Removed},
            tests::{exif, finds, jpeg, pass_in_any_chunks, sample, unchanged},
        },
        *,
    };

    fn synchsafe(size: usize) -> [u8; 4] {
        [size >> 21, size >> 14 & 127, size >> 7 & 127, size & 127].map(|byte| byte as u8)
    }

    fn frame(version: u8, name: &str, format: u8, data: &[u8]) -> Vec<u8> {
        let [a, b, c, d] = match version {
            4 => synchsafe(data.len()),
            _ => (data.len() as u32).to_be_bytes(),
        };
        match version {
            2 => [name.as_bytes(), &[b, c, d], data].concat(),
            _ => [name.as_bytes(), &[a, b, c, d, 0, format], data].concat(),
        }
    }

    /// An MP3 with a tag before it.
    fn tagged(version: u8, flags: u8, frames: &[Vec<u8>]) -> Vec<u8> {
        let frames = [frames.concat(), vec![0; 50]].concat();
        let size = synchsafe(frames.len());
        let header = [b"ID3", &[version, 0, flags][..], &size].concat();
        [header, frames, sample("mpeg1.mp3")].concat()
    }

    fn cover() -> Vec<u8> {
        let jpeg = jpeg(&[&exif(PLACE)]);
        [b"\0image/jpeg\0\x03\0", &jpeg[..]].concat()
    }

    /// TIFF with only a latitude.
    const PLACE: &[u8] = b"MM\0*\0\0\0\x08\0\x01\x88\x25\0\x04\0\0\0\x01\0\0\0\x1A\0\0\0\0\
        \0\x02\0\x01\0\x02\0\0\0\x02N\0\0\0\0\x02\0\x05\0\0\0\x03\0\0\0\x38\0\0\0\0\
        \0\0\0\x2F\0\0\0\x01\0\0\0\x0D\0\0\0\x01PLACE!!!";

    #[test]
    fn a_place_in_a_text_or_a_cover_goes_and_a_title_stays() {
        let place = b"\0location\0+47.2+39.6/".as_slice();
        let (packet, mood) = (b"XMP\0exif:GPSLatitude", b"\0mood\0blue");
        for (case, version, flags, name, format, data, geo) in [
            ("a text", 3, 0, "TXXX", 0, place, Removed),
            ("a text of 2.4", 4, 0, "TXXX", 0, place, Removed),
            ("a text of 2.2", 2, 0, "TXX", 0, place, Removed),
            ("a private frame", 3, 0, "PRIV", 0, packet, Removed),
            ("a cover", 3, 0, "APIC", 0, &cover(), Removed),
            ("a cover of 2.2", 2, 0, "PIC", 0, &cover(), Removed),
            ("a compressed cover", 3, 0, "APIC", 0x80, &cover(), Kept),
            ("a changed cover", 4, 0x80, "APIC", 0, &cover(), Kept),
            ("an extended header", 3, 0x40, "TXXX", 0, place, Kept),
            ("a frame of no name", 3, 0, "ab;d", 0, place, Kept),
            ("a title", 3, 0, "TIT2", 0, b"\0Location", Geo::None),
            ("a text without one", 3, 0, "TXXX", 0, mood, Geo::None),
        ] {
            let file = tagged(version, flags, &[frame(version, name, format, data)]);
            let passed = pass_in_any_chunks(Format::Mp3, Strip::Location, &file);
            assert_eq!(passed.report.geo, geo, "{case}");
            assert_eq!(passed.report.facts.duration_ms, tone_ms(), "{case}");
            let has = finds(&passed.bytes, b"+47.2") || finds(&passed.bytes, b"PLACE!!!");
            let had = finds(&file, b"+47.2") || finds(&file, b"PLACE!!!");
            assert_eq!(has, had && geo == Kept, "{case}");
            assert_eq!(passed.bytes == file, geo != Removed, "{case}");
        }
    }

    #[test]
    fn a_cover_that_breaks_off_does_not_hide_the_text_behind_it() {
        let place = frame(3, "TXXX", 0, b"\0location\0+47.2+39.6/");
        for (data, geo) in [
            (b"\0\0\x03\0\xFF\xD8\xFF\xE1\x01".as_slice(), Removed),
            (b"\0\0\x03\0\xFF\xD8\xFF\xE1\0\x02no marker", Kept),
        ] {
            let file = tagged(3, 0, &[frame(3, "APIC", 0, data), place.clone()]);
            let passed = pass_in_any_chunks(Format::Mp3, Strip::Location, &file);
            assert_eq!(passed.report.geo, geo);
            assert!(!finds(&passed.bytes, b"+47.2"));
        }
    }

    fn tone_ms() -> Option<u64> {
        unchanged(Format::Mp3, Strip::Off, &sample("mpeg1.mp3")).duration_ms
    }

    #[test]
    fn the_software_goes_with_the_device() {
        let software = frame(3, "TSSE", 0, b"\0Lavf60");
        let file = tagged(3, 0, &[software, frame(3, "TIT2", 0, b"\0Song")]);
        for strip in [Strip::Off, Strip::Location, Strip::Device] {
            let passed = pass_in_any_chunks(Format::Mp3, strip, &file);
            let is_left = strip < Strip::Device;
            assert_eq!(finds(&passed.bytes, b"Lavf60"), is_left, "{strip:?}");
            assert!(finds(&passed.bytes, b"Song"), "{strip:?}");
        }
    }
}
