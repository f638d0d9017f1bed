//! The TIFF block that EXIF data are, in whichever container (EXIF 2.32, TIFF 6.0).

use super::super::field::{be16, be32, le16, le32};

const ORIENTATION: u16 = 0x0112;
const SHORT: u16 = 3;

/// Whether a picture is shown turned by a quarter, so that width and height change places.
pub(super) fn is_turned(block: &[u8]) -> bool {
    orientation(block).is_some_and(|orientation| matches!(orientation, 5..=8))
}

fn orientation(block: &[u8]) -> Option<u16> {
    let tiff = Tiff::new(block)?;
    let directory = tiff.long(4)? as usize;
    let count = usize::from(tiff.short(directory)?);
    let entries = (0..count).map(|index| directory + 2 + 12 * index);
    let mut found = entries.filter(|entry| tiff.short(*entry) == Some(ORIENTATION));
    let entry = found.next()?;
    let is_short = tiff.short(entry + 2)? == SHORT && tiff.long(entry + 4)? == 1;
    tiff.short(entry + 8).filter(|_| is_short)
}

/// A block and the order of its bytes.
#[derive(Clone, Copy, Debug)]
struct Tiff<'b> {
    block: &'b [u8],
    is_little: bool,
}

impl<'b> Tiff<'b> {
    fn new(block: &'b [u8]) -> Option<Self> {
        let is_little = match block.first_chunk()? {
            b"II*\0" => true,
            b"MM\0*" => false,
            _ => return None,
        };
        Some(Self { block, is_little })
    }

    fn short(&self, at: usize) -> Option<u16> {
        if self.is_little {
            le16(self.block, at)
        } else {
            be16(self.block, at)
        }
    }

    fn long(&self, at: usize) -> Option<u32> {
        if self.is_little {
            le32(self.block, at)
        } else {
            be32(self.block, at)
        }
    }
}
