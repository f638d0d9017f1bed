//! GIF, still and animated (GIF89a specification).

use super::{
    super::field::le16,
    Facts, MAX_ELEMENTS,
    input::{Input, Stop, Walked},
};

const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2C;
const TRAILER: u8 = 0x3B;
const GRAPHIC_CONTROL: u8 = 0xF9;

/// Shorter delays than this, in hundredths of a second, are taken for mistakes by browsers.
const SHORTEST_DELAY: u16 = 2;
/// How long browsers show a frame instead.
const USUAL_DELAY: u16 = 10;

/// The frames of an animation.
#[derive(Debug, Default)]
struct Frames {
    count: u32,
    /// In hundredths of a second.
    duration: u64,
    /// Of the next frame.
    delay: u16,
}

pub(super) async fn walk(input: &mut Input, facts: &mut Facts) -> Walked {
    input.skip(6).await?;
    let screen = input.array::<7>().await?;
    if let (Some(width), Some(height)) = (le16(&screen, 0), le16(&screen, 2)) {
        facts.set_size(width.into(), height.into(), false);
    }
    skip_colours(input, screen[4]).await?;
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
                // Where the screen has no size, the first image has it.
                if facts.width.is_none()
                    && let (Some(width), Some(height)) = (le16(&image, 4), le16(&image, 6))
                {
                    facts.set_size(width.into(), height.into(), false);
                }
                skip_colours(input, image[8]).await?;
                // The smallest code of the compression.
                input.skip(1).await?;
                skip_sub_blocks(input).await?;
            }
            [EXTENSION] => {
                let [label] = input.array().await?;
                if label == GRAPHIC_CONTROL {
                    let [size] = input.array().await?;
                    let control = input.collect(size.into()).await?;
                    frames.delay = le16(&control, 1).unwrap_or_default();
                }
                skip_sub_blocks(input).await?;
            }
            [TRAILER] => return Ok(()),
            _ => return Err(Stop::Broken),
        }
    }
    Err(Stop::Broken)
}

impl Frames {
    fn add(&mut self) {
        let delay = std::mem::take(&mut self.delay);
        let delay = if delay < SHORTEST_DELAY {
            USUAL_DELAY
        } else {
            delay
        };
        self.count += 1;
        self.duration += u64::from(delay);
    }
}

/// Goes over a colour table, if the flags announce one.
async fn skip_colours(input: &mut Input, flags: u8) -> Walked {
    match flags & 0x80 {
        0 => Ok(()),
        _ => input.skip(3 << ((flags & 7) + 1)).await,
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
