//! Words by which a name or a text shows that it speaks of a place, or of a device and its owner, and
//! the removal of texts that do.

use super::{
    Strip,
    input::{Input, Walked},
};

/// Calls `rename` and overwrites a text if its first `looked_at` bytes contain something to remove. A longer
/// text that is kept counts as possibly telling more.
pub(super) async fn clean(
    input: &mut Input,
    looked_at: usize,
    by: u8,
    rename: impl FnOnce(&mut Input),
) -> Walked {
    let at = input.position();
    let start = input.take(looked_at).await;
    if input.strip() >= Strip::Device || has_location(&start) {
        rename(input);
        input.replace(at, &start, vec![by; start.len()].into());
        input.blank(input.left(), by).await?;
    } else if !input.is_at_end().await {
        input.note_kept();
    }
    Ok(())
}

/// Whether it speaks of a place. Letters of 16 bits count as those of 8.
pub(super) fn has_location(text: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"location",
        b"gps",
        b"latitude",
        b"longitude",
        b"direction",
        b"photoshop:city",
        b"photoshop:state",
        b"photoshop:country",
        b"countrycode",
    ];
    contains_any(&letters(text), WORDS)
}

/// Whether it speaks of a phone, a camera, a program, their numbers or an owner.
pub(super) fn has_device(text: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"make",
        b"manufacturer",
        b"model",
        b"software",
        b"encoder",
        b"android.version",
        b"author",
        b"artist",
        b"owner",
        b"serial",
        b"camera",
        b"lens",
        b"creationdate",
        b"content.identifier",
        b"xiaomi",
        b"samsung",
    ];
    contains_any(&letters(text), WORDS)
}

/// The text in lower case, in letters of 8 bits.
fn letters(text: &[u8]) -> Vec<u8> {
    let letters = text.iter().filter(|byte| **byte != 0);
    letters.map(u8::to_ascii_lowercase).collect()
}

/// Whether any of the words stands in `text`.
pub(super) fn contains_any(text: &[u8], words: &[&[u8]]) -> bool {
    let mut words = words.iter();
    words.any(|word| memchr::memmem::find(text, word).is_some())
}
