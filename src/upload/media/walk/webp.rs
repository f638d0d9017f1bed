//! WebP: RIFF chunks that contain VP8 or VP8L images (RFC 9649).

use super::{
    super::field::{fourcc, le16, le24, le32},
    Facts, MAX_ELEMENTS, Strip,
    input::{Input, Walked},
    jpeg::segments::EXIF,
    tiff, xmp,
};

/// Bytes of a chunk that include any of its headers.
const HEADER: u64 = 16;
/// Most metadata that is collected, in bytes.
const MAX_METADATA: usize = 512 * 1024;

pub(super) async fn walk(input: &mut Input, facts: &mut Facts) -> Walked {
    // RIFF, its size, WEBP.
    input.skip(12).await?;
    let mut frames = 0_u32;
    let mut duration_ms = 0_u64;
    for _ in 0..MAX_ELEMENTS {
        let Ok(head) = input.array::<8>().await else {
            break;
        };
        let size = le32(&head, 4).unwrap_or_default();
        let outer = input.enter(u64::from(size) + u64::from(size % 2));
        let header = match fourcc(&head, 0).as_ref() {
            Some(b"VP8X" | b"VP8 " | b"VP8L" | b"ANMF") => {
                input.take(input.left().min(HEADER) as usize).await
            }
            _ => bytes::Bytes::new(),
        };
        let sides = match &head[..4] {
            b"VP8X" => extended(&header),
            b"VP8 " => lossy(&header),
            b"VP8L" => lossless(&header),
            b"ANMF" => {
                frames += 1;
                duration_ms += u64::from(le24(&header, 12).unwrap_or_default());
                None
            }
            _ => None,
        };
        if matches!(&head[..4], b"EXIF" | b"XMP ") {
            metadata(input, &head[..4] == b"EXIF", size).await;
        }
        // The canvas, if there is one, comes first.
        facts.set_size(sides.filter(|_| facts.width.is_none()), false);
        if input.leave(outer).await.is_err() {
            break;
        }
    }
    facts.animated = frames > 1;
    if facts.animated {
        facts.set_duration(duration_ms, 1000);
    }
    Ok(())
}

/// Cleans EXIF data or an XMP packet.
async fn metadata(input: &mut Input, is_exif: bool, size: u32) {
    let strip = input.strip();
    if strip == Strip::Off {
        return;
    }
    let at = input.position();
    let data = input.take(MAX_METADATA.min(size as usize)).await;
    // Some writers put the prefix from JPEG before the block.
    let name = if data.starts_with(EXIF) { EXIF } else { &[] };
    let (name, block) = data.split_at(name.len());
    let cleaned = if is_exif {
        tiff::clean(block, strip)
    } else {
        xmp::clean(&data, strip)
    };
    if data.len() < size as usize {
        input.note_kept();
    } else if let Some(cleaned) = cleaned {
        input.replace(at + name.len() as u64, block, cleaned.into());
    }
}

/// Returns the canvas size of an extended file.
fn extended(header: &[u8]) -> Option<(u32, u32)> {
    Some((le24(header, 4)? + 1, le24(header, 7)? + 1))
}

fn lossy(header: &[u8]) -> Option<(u32, u32)> {
    const START_CODE: [u8; 3] = [0x9D, 0x01, 0x2A];
    header.get(3..)?.strip_prefix(&START_CODE)?;
    let side = |at| Some(u32::from(le16(header, at)? & 0x3FFF));
    Some((side(6)?, side(8)?))
}

fn lossless(header: &[u8]) -> Option<(u32, u32)> {
    let bits = le32(header.strip_prefix(&[0x2F])?, 0)?;
    Some(((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
}
