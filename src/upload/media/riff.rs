//! RIFF with an accepted form: WEBP, WAVE or AVI; and RF64, a WAVE of more than 4 GiB. The size in the
//! header is ignored: interrupted recorders leave 0 or 0xFFFFFFFF there.

use super::field::{fourcc, is_plain};
use super::format::Format;

pub(super) fn detect(head: &[u8]) -> Option<Format> {
    let first_chunk = fourcc(head, 12).filter(|_| head.len() >= 20)?;
    let form = fourcc(head, 8)?;
    match &fourcc(head, 0)? {
        b"RIFF" => {}
        b"RF64" | b"BW64" => return (&form == b"WAVE").then_some(Format::Wav),
        _ => return None,
    }
    match (&form, &first_chunk) {
        (b"WEBP", b"VP8 " | b"VP8L" | b"VP8X") => Some(Format::Webp),
        (b"AVI ", b"LIST" | b"JUNK") => Some(Format::Avi),
        (b"WAVE", _) if is_plain(first_chunk) => Some(Format::Wav),
        _ => None,
    }
}
