//! GIF, still and animated (GIF89a specification).

use super::{
    super::{field::le16, image::colour_table_bytes},
    Facts, MAX_ELEMENTS, Strip,
    input::{Input, Stop, Walked},
    xmp,
};

const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2C;
const TRAILER: u8 = 0x3B;
const GRAPHIC_CONTROL: u8 = 0xF9;
const COMMENT: u8 = 0xFE;
const APPLICATION: u8 = 0xFF;

/// Shortest delay that browsers respect, in hundredths of a second.
const SHORTEST_DELAY: u16 = 2;
/// Delay that browsers use instead of a shorter one.
const USUAL_DELAY: u16 = 10;

/// The frames of an animation.
#[derive(Debug, Default)]
struct Frames {
    count: u32,
    /// Duration of all frames, in hundredths of a second.
    duration: u64,
    /// Delay of the next frame.
    delay: u16,
}

pub(super) async fn walk(input: &mut Input, facts: &mut Facts) -> Walked {
    input.skip(6).await?;
    let screen = input.array::<7>().await?;
    facts.set_size(le16(&screen, 0).zip(le16(&screen, 2)), false);
    input.skip(colour_table_bytes(screen[4]) as u64).await?;
    let mut frames = Frames::default();
    let walked = blocks(input, facts, &mut frames).await;
    facts.animated = frames.count > 1;
    if facts.animated {
        facts.set_duration(frames.duration, 100);
    }
    walked
}

async fn blocks(input: &mut Input, facts: &mut Facts, frames: &mut Frames) -> Walked {
    for _ in 0..MAX_ELEMENTS {
        match input.array().await? {
            [IMAGE] => {
                let image = input.array::<9>().await?;
                frames.add();
                // If the screen has no size, that of the first image is used.
                if facts.width.is_none() {
                    facts.set_size(le16(&image, 4).zip(le16(&image, 6)), false);
                }
                // The colour table, and the LZW minimum code size.
                let bytes = colour_table_bytes(image[8]) + 1;
                input.skip(bytes as u64).await?;
                skip_sub_blocks(input).await?;
            }
            [EXTENSION] => {
                let [label] = input.array().await?;
                match label {
                    GRAPHIC_CONTROL => {
                        let [size] = input.array().await?;
                        let control = input.collect(size.into()).await?;
                        frames.delay = le16(&control, 1).unwrap_or_default();
                        skip_sub_blocks(input).await?;
                    }
                    APPLICATION if input.strip() != Strip::Off => application(input).await?,
                    COMMENT if input.strip() >= Strip::Device => blank_sub_blocks(input).await?,
                    _ => skip_sub_blocks(input).await?,
                }
            }
            [TRAILER] => return Ok(()),
            _ => return Err(Stop::Malformed),
        }
    }
    Err(Stop::Malformed)
}

impl Frames {
    fn add(&mut self) {
        let delay = match std::mem::take(&mut self.delay) {
            ..SHORTEST_DELAY => USUAL_DELAY,
            delay => delay,
        };
        self.count += 1;
        self.duration += u64::from(delay);
    }
}

/// Walks through an application extension. An XMP packet is not split into sub-blocks; a trailer after it
/// leads readers of sub-blocks to the end from any offset.
async fn application(input: &mut Input) -> Walked {
    let [size] = input.array().await?;
    if *input.collect(size.into()).await? != *b"XMP DataXMP" {
        return skip_sub_blocks(input).await;
    }
    let at = input.position();
    let mut data = Vec::new();
    while data.len() < xmp::MAX_PACKET {
        let [size] = input.array().await?;
        data.push(size);
        data.extend_from_slice(&input.take(size.into()).await);
        if size == 0 {
            match packet(&data) {
                Some(packet) => {
                    if let Some(cleaned) = xmp::clean(packet, input.strip()) {
                        input.replace(at, packet, cleaned.into());
                    }
                }
                None => input.note_kept(),
            }
            return Ok(());
        }
    }
    input.note_kept();
    skip_sub_blocks(input).await
}

/// Returns the packet before its trailer.
fn packet(data: &[u8]) -> Option<&[u8]> {
    const TRAILER_BYTES: usize = 258;
    let (packet, trailer) = data.split_at_checked(data.len().checked_sub(TRAILER_BYTES)?)?;
    trailer.starts_with(&[0x01, 0xFF, 0xFE]).then_some(packet)
}

async fn blank_sub_blocks(input: &mut Input) -> Walked {
    loop {
        match input.array().await? {
            [0] => return Ok(()),
            [size] => input.blank(size.into(), b' ').await?,
        }
    }
}

async fn skip_sub_blocks(input: &mut Input) -> Walked {
    loop {
        match input.array().await? {
            [0] => return Ok(()),
            [size] => input.skip(size.into()).await?,
        }
    }
}
