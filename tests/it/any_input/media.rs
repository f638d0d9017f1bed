//! `upload::media`: no file panics, a type that was judged is one that is served, and the judgement
//! does not depend on the chunks in which a file came.

use bytes::Bytes;
use chat_upload::upload::media::{
    HEAD_BYTES, Media, Refused, Strip, Verdict, Watch, by_extension, judge,
};

use super::chopped::Chopped;

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
        assert_eq!(by_extension(media.extension), Some(media));
        assert_name_only_chooses(&input.content, media);
    }
}

fn judged(content: &[u8], name: &str, chunks: Vec<Bytes>) -> Result<Media, Refused> {
    let (media, mut watch) = decided(content, name)?;
    let mut edits = Vec::new();
    let mut chunks = chunks.iter();
    let rest = chunks.try_for_each(|chunk| watch.see(chunk, &mut edits));
    let seen = rest.and_then(|()| watch.end(&mut edits).map(|_| ()));
    if content.len() < HEAD_BYTES {
        assert_eq!(seen, Ok(()), "a short file is known whole by its head");
    }
    seen.map(|()| media)
}

/// What the file is by its head and, where that does not tell, by what follows.
fn decided(content: &[u8], name: &str) -> Result<(Media, Watch), Refused> {
    let mut verdict = judge(&content[..content.len().min(HEAD_BYTES)], name, Strip::Off)?;
    loop {
        match verdict {
            Verdict::Is(media, watch) => return Ok((media, watch)),
            Verdict::Later(undecided) => {
                let from = content.len().min(undecided.at() as usize);
                verdict = undecided.decide(&content[from..])?;
            }
        }
    }
}

/// A name makes no bytes acceptable that are not without it, nor the other way round.
fn assert_name_only_chooses(content: &[u8], media: Media) {
    let named = decided(content, &format!("x.{}", media.extension)).expect("its own name fits");
    assert_eq!(named.0, media);
}
