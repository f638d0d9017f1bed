//! Vorbis comments, the tags of FLAC and Ogg: a vendor, then `NAME=value` (xiph.org, "Ogg Vorbis I format
//! specification: comment field and header specification"; numbers are little-endian).

use std::ops::Range;

use base64_simd::STANDARD_NO_PAD;

use super::{
    super::field::le32,
    MAX_ELEMENTS, Strip,
    jpeg::segments::METADATA,
    words::{contains_any, has_device, has_location},
};

/// Most bytes of the comments that are searched.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// Ranges of the name and the value of a comment.
pub(super) struct Comment {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
}

/// Returns the comments to remove.
pub(super) fn comments_to_remove(comments: &[u8], strip: Strip) -> Vec<Comment> {
    let is_removed = |name: &[u8]| has_location(name) || strip >= Strip::Device && has_device(name);
    let has_name = |comment: &Comment| comments.get(comment.name.clone()).is_some_and(is_removed);
    each(comments).filter(has_name).collect()
}

/// Returns whether a cover has metadata of its own, which is in its first bytes.
pub(super) fn has_cover_with_metadata(comments: &[u8]) -> bool {
    const COVERS: [&[u8]; 2] = [b"METADATA_BLOCK_PICTURE", b"COVERART"];
    let mut covers = each(comments).filter(|comment| {
        let name = comments.get(comment.name.clone()).unwrap_or_default();
        COVERS.iter().any(|cover| name.eq_ignore_ascii_case(cover))
    });
    covers.any(|Comment { value, .. }| {
        let text = comments.get(value).unwrap_or_default();
        let whole = text.len() - text.len() % 4;
        let text = text.get(..whole).unwrap_or_default().trim_ascii_end();
        let text = text.split(|byte| *byte == b'=').next().unwrap_or_default();
        let cover = STANDARD_NO_PAD.decode_to_vec(text);
        cover.map_or(true, |cover| contains_any(&cover, &METADATA))
    })
}

/// Iterates over all comments. The last one may be incomplete.
fn each(comments: &[u8]) -> impl Iterator<Item = Comment> {
    let vendor = le32(comments, 0).unwrap_or_default() as usize;
    let mut at = vendor.saturating_add(8);
    std::iter::from_fn(move || {
        let start = at.checked_add(4)?;
        let len = le32(comments, at)? as usize;
        let end = start.checked_add(len)?;
        at = end;
        let end = end.min(comments.len());
        let comment = comments.get(start..end)?;
        let name = comment
            .split(|byte| *byte == b'=')
            .next()
            .unwrap_or_default();
        Some(Comment {
            name: start..start + name.len(),
            value: (start + name.len() + 1).min(end)..end,
        })
    })
    .take(MAX_ELEMENTS as usize)
}
