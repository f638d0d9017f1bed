//! Words by which a name or a text shows that it speaks of a place, or of a device and its owner, and
//! the removal of texts that do.

use super::{
    Strip,
    input::{Input, Walked},
};

/// Overwrites the rest of a text when its first bytes, so many of them, tell what shall go; before
/// that, `rename` is called. A longer text that stays may tell it further on.
pub(super) async fn clean(
    input: &mut Input,
    looked_at: usize,
    by: u8,
    rename: impl FnOnce(&mut Input),
) -> Walked {
    let at = input.position();
    let start = input.take(looked_at).await;
    if input.strip() >= Strip::Device || is_place(&start) {
        rename(input);
        input.replace(at, &start, vec![by; start.len()].into());
        input.blank(input.left(), by).await?;
    } else if !input.is_at_end().await {
        input.keeps_something();
    }
    Ok(())
}

/// Whether it speaks of a place. Letters of 16 bits count as those of 8.
pub(super) fn is_place(text: &[u8]) -> bool {
    const WORDS: &[&str] = &[
        "location",
        "gps",
        "latitude",
        "longitude",
        "direction",
        "photoshop:city",
        "photoshop:state",
        "photoshop:country",
        "countrycode",
    ];
    contains_any(text, WORDS)
}

/// Whether it speaks of a phone, a camera, a program, their numbers or an owner.
pub(super) fn is_device(text: &[u8]) -> bool {
    const WORDS: &[&str] = &[
        "make",
        "manufacturer",
        "model",
        "software",
        "encoder",
        "android.version",
        "author",
        "artist",
        "owner",
        "serial",
        "camera",
        "lens",
        "creationdate",
        "content.identifier",
        "xiaomi",
        "samsung",
    ];
    contains_any(text, WORDS)
}

/// Whether any of the words, which are in lower case, stands in `text` in any case.
fn contains_any(text: &[u8], words: &[&str]) -> bool {
    let letters = text.iter().filter(|byte| **byte != 0);
    let text: Vec<u8> = letters.map(u8::to_ascii_lowercase).collect();
    let mut found = words
        .iter()
        .map(|word| memchr::memmem::find(&text, word.as_bytes()));
    found.any(|at| at.is_some())
}
