//! PNG and APNG (PNG specification, third edition).

use super::{
    super::field::{be16, be32},
    Facts, MAX_ELEMENTS,
    input::{Input, Walked},
    tiff,
};

/// Signature, length and type of the first chunk.
const BEFORE_HEADER: u64 = 8 + 8;
const CHECKSUM: u64 = 4;
/// Largest EXIF chunk that is looked at.
const MAX_EXIF: u64 = 1024 * 1024;

/// Of the picture itself, as its chunks tell.
#[derive(Debug, Default)]
struct Picture {
    is_turned: bool,
    is_animation: bool,
    frames: u32,
    /// In millionths of a second.
    duration: u64,
}

pub(super) async fn walk(input: &mut Input, facts: &mut Facts) -> Walked {
    input.skip(BEFORE_HEADER).await?;
    let header = input.collect(13).await?;
    input.skip(CHECKSUM).await?;
    let mut picture = Picture::default();
    let walked = chunks(input, &mut picture).await;
    if let (Some(width), Some(height)) = (be32(&header, 0), be32(&header, 4)) {
        facts.set_size(width, height, picture.is_turned);
    }
    facts.animated = picture.frames > 1;
    if facts.animated {
        facts.set_duration(picture.duration, 1_000_000);
    }
    walked
}

async fn chunks(input: &mut Input, picture: &mut Picture) -> Walked {
    let mut has_pixels = false;
    for _ in 0..MAX_ELEMENTS {
        let length = u32::from_be_bytes(input.array().await?);
        let kind = input.array::<4>().await?;
        let outer = input.enter(u64::from(length) + CHECKSUM);
        match &kind {
            b"IDAT" => has_pixels = true,
            b"IEND" => return Ok(()),
            b"acTL" if !has_pixels => picture.is_animation = true,
            b"fcTL" if picture.is_animation => picture.add_frame(&input.take(26).await),
            // Browsers do not turn by what comes behind the pixels.
            b"eXIf" if !has_pixels => {
                let length = MAX_EXIF.min(length.into()) as usize;
                picture.is_turned = tiff::is_turned(&input.take(length).await);
            }
            _ => {}
        }
        input.leave(outer).await?;
    }
    Ok(())
}

impl Picture {
    /// By the data of an `fcTL` chunk.
    fn add_frame(&mut self, data: &[u8]) {
        let (Some(delay), Some(parts)) = (be16(data, 20), be16(data, 22)) else {
            return;
        };
        let parts = if parts == 0 { 100 } else { u64::from(parts) };
        self.frames += 1;
        self.duration += u64::from(delay) * 1_000_000 / parts;
    }
}
