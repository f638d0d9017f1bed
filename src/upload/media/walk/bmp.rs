//! BMP: dimensions from the header. There is no metadata.

use super::{
    super::field::{le16, le32},
    Facts,
    input::{Input, Walked},
};

/// The file header, and the next one up to width and height.
const HEAD: usize = 14 + 12;
/// Size of the header that OS/2 1 wrote, with sides of 16 bits.
const CORE_HEADER: u32 = 12;

pub(super) async fn walk(input: &mut Input, facts: &mut Facts) -> Walked {
    let head = input.collect(HEAD).await?;
    let (width, height) = if le32(&head, 14) == Some(CORE_HEADER) {
        let side = |at| le16(&head, at).map(u32::from);
        (side(18), side(20))
    } else {
        // A negative height means that rows are stored top-down.
        let height = le32(&head, 22).map(|height| height.cast_signed().unsigned_abs());
        (le32(&head, 18), height)
    };
    facts.set_size(width.zip(height), false);
    Ok(())
}
