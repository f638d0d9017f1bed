//! Fields at an offset; `None` if the bytes end before them.

/// Returns `N` bytes.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Returns the four bytes that name a chunk or a box.
pub(super) fn fourcc(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    array(bytes, at)
}

pub(super) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

pub(super) fn le24(bytes: &[u8], at: usize) -> Option<u32> {
    let [low, middle, high] = array(bytes, at)?;
    Some(u32::from_le_bytes([low, middle, high, 0]))
}

pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub(super) fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

pub(super) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_be_bytes)
}

/// Decodes a big-endian number of any length, with `bits` bits in each byte.
pub(super) fn number(bytes: &[u8], bits: u32) -> u64 {
    let bytes = bytes.iter();
    bytes.fold(0, |number, byte| number << bits | u64::from(*byte))
}

/// Returns whether the name of a chunk or a box is plausible: printable, or with QuickTime's leading `©`.
pub(super) fn is_plain(fourcc: [u8; 4]) -> bool {
    fourcc.iter().all(|byte| matches!(byte, b' '..=b'~' | 0xA9))
}
