//! ID3v2, the tag in front of MP3, AAC and FLAC (id3.org, versions 2.2 to 2.4).

use bytes::Bytes;

use super::{super::audio, input::Input};

const HEADER: usize = 10;

/// Goes over the tags at the start, and hands back what was read of what follows: four bytes, or
/// as many as there are.
pub(super) async fn skip(input: &mut Input) -> Bytes {
    loop {
        let start = input.take(4).await;
        if !start.starts_with(b"ID3") {
            return start;
        }
        let rest = input.take(HEADER - start.len()).await;
        let Some(tag) = audio::id3_tag(&[&start[..], &rest[..]].concat()) else {
            return start;
        };
        // Behind the end of the file there is nothing to take.
        _ = input.skip((tag.ends - HEADER) as u64).await;
    }
}
