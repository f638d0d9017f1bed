//! PNG and APNG (PNG specification, third edition).

use super::{
    super::field::{be16, be32},
    Facts, MAX_ELEMENTS,
    input::{Input, Walked},
};

/// Signature, length and type of the first chunk.
const BEFORE_HEADER: u64 = 8 + 8;

pub(super) async fn walk(input: &mut Input, facts: &mut Facts) -> Walked {
    input.skip(BEFORE_HEADER).await?;
    let header = input.collect(13 + 4).await?;
    if let (Some(width), Some(height)) = (be32(&header, 0), be32(&header, 4)) {
        facts.set_size(width, height, false);
    }
    let mut frames = Frames::default();
    for _ in 0..MAX_ELEMENTS {
        let Ok([a, b, c, d, kind @ ..]) = input.array::<8>().await else {
            break;
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        let outer = input.enter(u64::from(length) + 4);
        match &kind {
            b"acTL" => facts.animated = true,
            b"fcTL" if facts.animated => frames.add(&input.take(26).await),
            _ => {}
        }
        if input.leave(outer).await.is_err() {
            break;
        }
    }
    frames.tell(facts);
    Ok(())
}

/// The frames of an animation.
#[derive(Debug, Default)]
struct Frames {
    count: u32,
    millionths: u64,
}

impl Frames {
    /// By the data of an `fcTL` chunk.
    fn add(&mut self, data: &[u8]) {
        let (Some(delay), Some(parts)) = (be16(data, 20), be16(data, 22)) else {
            return;
        };
        let parts = if parts == 0 { 100 } else { u64::from(parts) };
        self.count += 1;
        self.millionths += u64::from(delay) * 1_000_000 / parts;
    }

    fn tell(&self, facts: &mut Facts) {
        facts.animated = self.count > 1;
        if facts.animated {
            facts.set_duration(self.millionths, 1_000_000);
        }
    }
}
