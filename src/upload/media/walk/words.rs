//! Words in names and texts that indicate a location, or a device and its owner; removal of such
//! texts.

use super::{
    Strip,
    input::{Input, Walked},
};

/// Calls `rename` and overwrites a text if its first `searched` bytes contain such words, or in any case
/// where device metadata is removed. The rest of a longer text may contain a location.
pub(super) async fn clean(
    input: &mut Input,
    searched: usize,
    by: u8,
    rename: impl FnOnce(&mut Input),
) -> Walked {
    let at = input.position();
    let start = input.take(searched).await;
    if input.strip() >= Strip::Device || has_location(&start) {
        rename(input);
        input.replace(at, &start, vec![by; start.len()].into());
        input.blank(input.left(), by).await?;
    } else if !input.is_at_end().await {
        input.note_kept();
    }
    Ok(())
}

/// Returns whether a text indicates a location, in ASCII or UTF-16.
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

/// Returns whether a text indicates a phone, a camera, a program, a serial number or an owner.
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

/// Returns the text in lower case, without the zeros of UTF-16.
fn letters(text: &[u8]) -> Vec<u8> {
    let letters = text.iter().filter(|byte| **byte != 0);
    letters.map(u8::to_ascii_lowercase).collect()
}

/// Returns whether `text` contains any of the words.
pub(super) fn contains_any(text: &[u8], words: &[&[u8]]) -> bool {
    let mut words = words.iter();
    words.any(|word| memchr::memmem::find(text, word).is_some())
}
