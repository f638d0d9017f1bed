//! The segments of a JPEG before its first scan: dimensions, orientation in the EXIF data, and other
//! metadata. Also the covers in tags.

use bytes::Bytes;

use super::super::{
    super::field::be16,
    MAX_ELEMENTS, Strip,
    input::{Input, Stop, Walked},
    photoshop, tiff, xmp,
};

/// Prefix of EXIF data in an APP1 segment; the TIFF block follows.
pub(in super::super) const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// Prefix of a fragment of a packet that is too large for a segment.
const EXTENDED_XMP: &[u8] = b"http://ns.adobe.com/xmp/extension/\0";
const PHOTOSHOP: &[u8] = b"Photoshop 3.0\0";
const GOPRO: &[u8] = b"GoPro\0";

/// Marker of the end of an image.
pub(super) const END_OF_IMAGE: &[u8] = &[0xFF, marker::EOI];

/// Markers of the segments that are read, and of those without a length.
mod marker {
    pub(super) const TEM: u8 = 0x01;
    pub(super) const RST0: u8 = 0xD0;
    pub(super) const RST7: u8 = 0xD7;
    pub(super) const EOI: u8 = 0xD9;
    pub(super) const SOS: u8 = 0xDA;
    pub(super) const APP1: u8 = 0xE1;
    pub(super) const APP2: u8 = 0xE2;
    pub(super) const APP6: u8 = 0xE6;
    pub(super) const APP13: u8 = 0xED;
    pub(super) const APP14: u8 = 0xEE;
    pub(super) const APP15: u8 = 0xEF;
    pub(super) const COM: u8 = 0xFE;

    /// Returns whether a segment is a frame header, and not one of the tables in the same range.
    pub(super) const fn is_frame(marker: u8) -> bool {
        matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC)
    }
}

/// Facts in the segments of an image.
#[derive(Debug, Default)]
pub(super) struct Image {
    pub(super) sides: Option<(u16, u16)>,
    pub(super) is_rotated: Option<bool>,
    /// Whether a fragment of its XMP packet was removed.
    is_packet_cut: bool,
}

/// Walks through the cover in a tag. A PNG is searched for metadata but not edited.
pub(in super::super) async fn cover(input: &mut Input) -> Walked {
    const START: &[u8] = b"\xFF\xD8\xFF";
    const PNG: &[u8] = b"\x89PNG\r\n\x1A\n";
    match input.find(&[START, PNG]).await {
        Ok((0, _)) => before_scan(input, &mut Image::default()).await.map(drop),
        Ok(_) => unread_cover(input).await,
        Err(stop) => stop.at_end(),
    }
}

/// Prefixes of the metadata of any image.
pub(in super::super) const METADATA: [&[u8]; 3] = [b"Exif", b"eXIf", b"ns.adobe.com/xap"];

/// Searches a cover that cannot be parsed for metadata, which is kept.
pub(in super::super) async fn unread_cover(input: &mut Input) -> Walked {
    match input.find(&METADATA).await {
        Ok(_) => input.note_kept(),
        Err(stop) => stop.at_end()?,
    }
    Ok(())
}

/// End of the segments of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentsEnd {
    Scan,
    EndOfImage,
}

/// Walks through the segments of an image, from the second byte of the first marker on.
pub(super) async fn before_scan(input: &mut Input, image: &mut Image) -> Walked<SegmentsEnd> {
    for _ in 0..MAX_ELEMENTS {
        match marker_code(input).await? {
            marker::TEM | marker::RST0..=marker::RST7 => {}
            marker::EOI => return Ok(SegmentsEnd::EndOfImage),
            marker::SOS => return Ok(SegmentsEnd::Scan),
            marker => segment(input, marker, image).await?,
        }
        let [0xFF] = input.array().await? else {
            return Err(Stop::Malformed);
        };
    }
    Err(Stop::Malformed)
}

/// Reads the second byte of a marker, after any number of fill bytes.
async fn marker_code(input: &mut Input) -> Walked<u8> {
    loop {
        match input.array().await? {
            [0xFF] => {}
            [code] => return Ok(code),
        }
    }
}

async fn segment(input: &mut Input, marker: u8, image: &mut Image) -> Walked {
    let length = u16::from_be_bytes(input.array().await?);
    let length = length.checked_sub(2).ok_or(Stop::Malformed)?;
    let outer = input.enter(length.into());
    let strips = input.strip() != Strip::Off;
    if marker::is_frame(marker) {
        let frame = input.collect(5).await?;
        image.sides = image.sides.or(be16(&frame, 3).zip(be16(&frame, 1)));
    } else if marker == marker::APP1 && (strips || image.is_rotated.is_none()) {
        let at = input.position();
        let data = input.take(length.into()).await;
        // Browsers apply the first of several orientations.
        let is_rotated = || data.strip_prefix(EXIF).map(tiff::is_rotated);
        image.is_rotated = image.is_rotated.or_else(is_rotated);
        if let Some(cleaned) = application_data(&data, input.strip(), image) {
            input.replace(at, &data, cleaned);
        }
    } else if strips {
        other_segment(input, marker).await?;
    }
    input.leave(outer).await
}

/// Cleans the data of an APP1 segment; `None` if nothing is to be removed.
fn application_data(data: &[u8], strip: Strip, image: &mut Image) -> Option<Bytes> {
    let with_name = |name: &[u8], cleaned: Option<Vec<u8>>| Some([name, &cleaned?].concat().into());
    if let Some(block) = data.strip_prefix(EXIF) {
        return with_name(EXIF, tiff::clean(block, strip));
    }
    if let Some(packet) = data.strip_prefix(XMP) {
        return with_name(XMP, xmp::clean(packet, strip));
    }
    let is_removed = match data.strip_prefix(EXTENDED_XMP) {
        // A fragment may contain the name of a property, and the next one its value.
        Some(fragment) => {
            image.is_packet_cut |= strip >= Strip::Device || xmp::fragment_has_location(fragment);
            image.is_packet_cut
        }
        None => strip >= Strip::Device,
    };
    is_removed.then(|| vec![0; data.len()].into())
}

/// Overwrites any other segment as a whole, or keeps it. Viewers ignore one without a name.
async fn other_segment(input: &mut Input, marker: u8) -> Walked {
    let is_device = input.strip() >= Strip::Device;
    let is_read = match marker {
        marker::APP6 | marker::APP13 => true,
        marker::APP1..=marker::APP15 | marker::COM => is_device,
        _ => false,
    };
    if !is_read {
        return Ok(());
    }
    let at = input.position();
    let data = input.take(usize::from(u16::MAX)).await;
    let resources = data.strip_prefix(PHOTOSHOP);
    let has_location = match marker {
        marker::APP6 => data.starts_with(GOPRO),
        marker::APP13 => {
            resources.is_some_and(|it| photoshop::has_location(it, tiff::has_location))
        }
        _ => false,
    };
    if has_location || is_device && !is_shown(marker, &data) {
        input.replace(at, &data, vec![0; data.len()].into());
    }
    Ok(())
}

/// Returns whether a segment affects how the image is displayed: a colour profile, the list of the
/// images in this file, a gain map, and the colour transform.
fn is_shown(marker: u8, data: &[u8]) -> bool {
    const NAMES: [(u8, &[u8]); 4] = [
        (marker::APP2, b"ICC_PROFILE\0"),
        (marker::APP2, b"MPF\0"),
        (marker::APP2, b"urn:iso:std:iso:ts:21496:-1\0"),
        (marker::APP14, b"Adobe"),
    ];
    let mut names = NAMES.iter();
    names.any(|(its, name)| *its == marker && data.starts_with(name))
}
