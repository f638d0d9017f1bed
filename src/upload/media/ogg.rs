//! Ogg (RFC 3533), detected by the codec of its first page.

use memchr::memmem;

use super::format::Format;

pub(super) fn detect(head: &[u8]) -> Option<Format> {
    const BEGINS_A_STREAM: u8 = 0x02;
    head.strip_prefix(b"OggS\0")?;
    if head.get(5)? & BEGINS_A_STREAM == 0 || has_video(head) {
        return None;
    }
    let segments = usize::from(*head.get(26)?);
    let packet = head.get(27 + segments..)?;
    if packet.starts_with(b"OpusHead") {
        return Some(Format::Opus);
    }
    let codecs: [&[u8]; 3] = [b"\x01vorbis", b"\x7fFLAC", b"Speex   "];
    codecs
        .iter()
        .any(|codec| packet.starts_with(codec))
        .then_some(Format::Ogg)
}

/// Returns whether another stream is video: the first pages of all streams come first.
fn has_video(head: &[u8]) -> bool {
    memmem::find(head, b"\x80theora").is_some()
}
