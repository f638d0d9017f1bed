//! `upload::media`: no file panics, a type that was judged is one that is served, and the judgement
//! does not depend on the chunks in which a file came.

use bytes::Bytes;
use chat_upload::upload::media::{HEAD_BYTES, Kinds, Media, Refused, Rules, Strip, judge};

use super::chopped::Chopped;

const RULES: Rules = Rules {
    kinds: Kinds::ALL,
    strip: Strip::Off,
};

/// The input is a file's name, chunk sizes and its content.
pub(crate) fn check(input: &[u8]) {
    let input = Chopped::new(input);
    let name = String::from_utf8_lossy(input.line);
    let whole = judged(&input.content, &name, input.whole());
    for chunks in [input.as_asked(), input.minced()] {
        let other = judged(&input.content, &name, chunks);
        // Of two reasons to refuse a file, the chunks decide which is found first.
        assert_eq!(whole.as_ref().ok(), other.as_ref().ok());
    }
    if let Ok(media) = whole {
        assert_eq!(Media::of_stored(&media.extension), media);
        assert_name_only_chooses(&input.content, media);
    }
}

fn judged(content: &[u8], name: &str, chunks: Vec<Bytes>) -> Result<Media, Refused> {
    let head = &content[..content.len().min(HEAD_BYTES)];
    let mut watch = judge(head, name, RULES)?;
    let mut edits = Vec::new();
    let mut chunks = chunks.iter();
    let rest = chunks.try_for_each(|chunk| watch.see(chunk, &mut edits));
    rest.and_then(|()| watch.end(&mut edits).map(|(media, _)| media))
}

/// A name makes no bytes acceptable that are not without it, nor the other way round.
fn assert_name_only_chooses(content: &[u8], media: Media) {
    let name = format!("x.{}", &*media.extension);
    let named = judged(content, &name, vec![Bytes::copy_from_slice(content)]);
    assert_eq!(named, Ok(media));
}
