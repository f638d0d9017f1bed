//! JPEG, PNG, GIF and BMP: each by its first header, not by its magic bytes alone.
//!
//! Dimensions must be valid but have no limit: no pixel is decoded here.

use super::field::{be16, be32, le16, le32};
use super::format::Format;

/// Returns whether a head is of one format; `None` if it is too short.
type Reader = fn(&[u8]) -> Option<bool>;

const READERS: [(Reader, Format); 4] = [
    (jpeg, Format::Jpeg),
    (png, Format::Png),
    (gif, Format::Gif),
    (bmp, Format::Bmp),
];

pub(super) fn detect(head: &[u8]) -> Option<Format> {
    let mut readers = READERS.into_iter();
    readers.find_map(|(reads, format)| reads(head)?.then_some(format))
}

/// Start of image, then a marker allowed there, then a segment that ends inside the file.
fn jpeg(head: &[u8]) -> Option<bool> {
    let rest = head.strip_prefix(&[0xFF, 0xD8, 0xFF])?;
    // A marker may be preceded by any number of fill bytes (ITU T.81, B.1.1.2).
    let fill = rest.iter().take_while(|&&byte| byte == 0xFF).count();
    let marker = *rest.get(fill)?;
    // Frame headers, tables, application segments and comments; neither scans nor restarts.
    let opens = matches!(marker, 0xC0..=0xC7 | 0xC9..=0xCF | 0xDB | 0xDD | 0xE0..=0xEF | 0xFE);
    let segment_bytes = be16(rest, fill + 1)?;
    let ends = fill + 1 + usize::from(segment_bytes);
    let ends_in_file = ends < rest.len() || head.len() == super::HEAD_BYTES;
    Some(opens && segment_bytes >= 2 && ends_in_file)
}

/// The signature and a whole IHDR chunk (PNG, 11.2.1).
fn png(head: &[u8]) -> Option<bool> {
    let rest = head.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR")?;
    let checksum_ends = 13 + 4;
    let possible = |side: u32| (1..=i32::MAX as u32).contains(&side);
    let depth_and_colour = (*rest.get(8)?, *rest.get(9)?);
    let sample = matches!(
        depth_and_colour,
        (1 | 2 | 4 | 8 | 16, 0) | (8 | 16, 2 | 4 | 6) | (1 | 2 | 4 | 8, 3)
    );
    Some(
        possible(be32(rest, 0)?)
            && possible(be32(rest, 4)?)
            && sample
            && rest.len() > checksum_ends,
    )
}

/// The logical screen descriptor, the colour table it announces, and an allowed block.
fn gif(head: &[u8]) -> Option<bool> {
    let rest = head
        .strip_prefix(b"GIF87a")
        .or_else(|| head.strip_prefix(b"GIF89a"))?;
    let block = rest.get(7 + colour_table_bytes(*rest.get(4)?))?;
    Some(matches!(block, b'!' | b','))
}

/// Returns the size of the colour table that the flags of a GIF announce; 0 for none.
pub(super) fn colour_table_bytes(flags: u8) -> usize {
    match flags & 0x80 {
        0 => 0,
        _ => 3 << ((flags & 7) + 1),
    }
}

/// The file header and the start of one of the known information headers.
fn bmp(head: &[u8]) -> Option<bool> {
    const FARTHEST_PIXELS: u32 = 1 << 20;
    head.strip_prefix(b"BM")?;
    let pixels_at = le32(head, 10)?;
    let header_bytes = le32(head, 14)?;
    let (planes, depth) = match header_bytes {
        12 => (le16(head, 22)?, le16(head, 24)?),
        16 | 40 | 52 | 56 | 64 | 108 | 124 => (le16(head, 26)?, le16(head, 28)?),
        _ => return None,
    };
    let depth = matches!(depth, 0 | 1 | 2 | 4 | 8 | 16 | 24 | 32);
    Some(planes == 1 && depth && (14 + header_bytes..FARTHEST_PIXELS).contains(&pixels_at))
}
