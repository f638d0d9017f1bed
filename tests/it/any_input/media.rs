//! `upload::media`: no file panics, a type that was judged is one that is served, and the judgement
//! does not depend on the chunks in which a file came. A file that is stripped keeps its length, its
//! type and its facts, and stripped again it does not change.

use bytes::Bytes;
use chat_upload::upload::media::{HEAD_BYTES, Kinds, Media, Refused, Report, Rules, Strip, judge};

use super::chopped::Chopped;

const fn rules(strip: Strip) -> Rules {
    Rules {
        kinds: Kinds::ALL,
        strip,
    }
}

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
        for strip in [Strip::Location, Strip::Device] {
            let (stripped, once) = passed(&input.content, &name, input.whole(), strip);
            let (chopped, again) = passed(&input.content, &name, input.minced(), strip);
            assert_eq!((&chopped, &again), (&stripped, &once));
            let chunks = vec![Bytes::copy_from_slice(&stripped)];
            let (same, twice) = passed(&stripped, &name, chunks, strip);
            assert_eq!(same, stripped);
            assert_eq!(
                twice.map(|(_, report)| report.facts),
                once.map(|(_, report)| report.facts)
            );
        }
    }
}

fn judged(content: &[u8], name: &str, chunks: Vec<Bytes>) -> Result<Media, Refused> {
    passed(content, name, chunks, Strip::Off)
        .1
        .map(|(media, _)| media)
}

/// The file as a store would keep it, and what was found in it.
fn passed(
    content: &[u8],
    name: &str,
    chunks: Vec<Bytes>,
    strip: Strip,
) -> (Vec<u8>, Result<(Media, Report), Refused>) {
    let mut stored = content.to_vec();
    let head = &content[..content.len().min(HEAD_BYTES)];
    let mut watch = match judge(head, name, rules(strip)) {
        Ok(watch) => watch,
        Err(refused) => return (stored, Err(refused)),
    };
    let mut edits = Vec::new();
    let mut chunks = chunks.iter();
    let rest = chunks.try_for_each(|chunk| watch.see(chunk, &mut edits));
    let ended = rest.and_then(|()| watch.end(&mut edits));
    edits.iter().for_each(|edit| edit.apply(0, &mut stored));
    (stored, ended)
}

/// A name makes no bytes acceptable that are not without it, nor the other way round.
fn assert_name_only_chooses(content: &[u8], media: Media) {
    let name = format!("x.{}", &*media.extension);
    let named = judged(content, &name, vec![Bytes::copy_from_slice(content)]);
    assert_eq!(named, Ok(media));
}
