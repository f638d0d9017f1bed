//! JPEG (ITU-T T.81), with the orientation that its EXIF data give it.

use super::{
    super::field::be16,
    Facts, MAX_ELEMENTS,
    input::{Input, Stop, Walked},
    tiff,
};

/// Begins the EXIF data in an APP1 segment; the TIFF block follows.
const EXIF: &[u8] = b"Exif\0\0";

/// The segments of a JPEG that are looked at, and those that have no length.
mod marker {
    pub(super) const TEM: u8 = 0x01;
    pub(super) const RST0: u8 = 0xD0;
    pub(super) const RST7: u8 = 0xD7;
    pub(super) const EOI: u8 = 0xD9;
    pub(super) const SOS: u8 = 0xDA;
    pub(super) const APP1: u8 = 0xE1;

    /// Whether a segment is a frame header: not one of the tables among their numbers.
    pub(super) const fn is_frame(marker: u8) -> bool {
        matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC)
    }
}

/// Of the picture itself, as its segments tell.
#[derive(Debug, Default)]
struct Picture {
    sides: Option<(u16, u16)>,
    is_turned: Option<bool>,
}

pub(super) async fn walk(input: &mut Input, facts: &mut Facts) -> Walked {
    let mut picture = Picture::default();
    let walked = before_scan(input, &mut picture).await;
    if let Some((width, height)) = picture.sides {
        let is_turned = picture.is_turned.unwrap_or_default();
        facts.set_size(width.into(), height.into(), is_turned);
    }
    walked
}

/// Goes from the start of an image to its first scan.
async fn before_scan(input: &mut Input, picture: &mut Picture) -> Walked {
    input.skip(2).await?;
    for _ in 0..MAX_ELEMENTS {
        match next_marker(input).await? {
            marker::TEM | marker::RST0..=marker::RST7 => {}
            marker::EOI | marker::SOS => return Ok(()),
            marker => segment(input, marker, picture).await?,
        }
    }
    Err(Stop::Broken)
}

/// A marker's code. Any number of fill bytes may stand before it.
async fn next_marker(input: &mut Input) -> Walked<u8> {
    let [0xFF] = input.array().await? else {
        return Err(Stop::Broken);
    };
    loop {
        match input.array().await? {
            [0xFF] => {}
            [marker] => return Ok(marker),
        }
    }
}

async fn segment(input: &mut Input, marker: u8, picture: &mut Picture) -> Walked {
    let length = u16::from_be_bytes(input.array().await?);
    let length = length.checked_sub(2).ok_or(Stop::Broken)?;
    let outer = input.enter(length.into());
    if marker::is_frame(marker) {
        let frame = input.collect(5).await?;
        picture.sides = picture.sides.or(be16(&frame, 3).zip(be16(&frame, 1)));
    } else if marker == marker::APP1 && picture.is_turned.is_none() {
        let data = input.take(length.into()).await;
        // Browsers turn by the first of several.
        picture.is_turned = data.strip_prefix(EXIF).map(tiff::is_turned);
    }
    input.leave(outer).await
}
