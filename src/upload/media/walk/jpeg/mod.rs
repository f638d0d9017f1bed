//! JPEG (ITU-T T.81) from its first segment to the end of the file, with all that cameras put after the
//! end of the image.

pub(super) mod segments;

use self::segments::{END_OF_IMAGE, Ended, Picture, before_scan};
use super::{
    super::format::Format,
    Facts, Strip,
    input::{Input, Stop, Walked},
    movie, samsung,
};

/// Goes to the first scan, and to the end of the file where metadata are looked for.
pub(super) async fn walk(input: &mut Input, facts: &mut Facts) -> Walked {
    let mut picture = Picture::default();
    // The start of the image, and of its first marker.
    input.skip(3).await?;
    let walked = before_scan(input, &mut picture).await;
    facts.set_size(picture.sides, picture.is_turned.unwrap_or_default());
    if input.strip() == Strip::Off {
        return walked.map(drop);
    }
    behind(input, walked?).await
}

/// Goes on to the end of the file. Behind the end of the image there may be further images (a gain
/// map, the other eye), a movie (a motion photo), and a camera's own records.
///
/// The end of an image is found by its marker alone. Between the scans of a progressive image a
/// table may hold the same two bytes: then the rest of the image is searched for trailing data, and yields none.
async fn behind(input: &mut Input, ended: Ended) -> Walked {
    const IMAGE: &[u8] = b"\xFF\xD8\xFF";
    const MOVIE: &[u8] = b"ftyp";
    end_of_image(input, ended).await?;
    let mut is_known = input.is_at_end().await;
    let patterns = [IMAGE, MOVIE, samsung::COUNTRY, samsung::TIME];
    while let Ok((which, before)) = input.find(&patterns).await {
        is_known = true;
        match which {
            0 => match before_scan(input, &mut Picture::default()).await {
                Ok(ended) => end_of_image(input, ended).await?,
                Err(Stop::Broken) => input.keeps_something(),
                Err(Stop::End) => {}
            },
            1 => movie_behind(input, u32::from_be_bytes(before)).await?,
            which => samsung::value(input, which == 3).await?,
        }
    }
    if !is_known && input.strip() >= Strip::Device {
        input.keeps_something();
    }
    Ok(())
}

async fn end_of_image(input: &mut Input, ended: Ended) -> Walked {
    match ended {
        Ended::BeforeScan => input.find(&[END_OF_IMAGE]).await.map(drop),
        Ended::ByEndOfImage => Ok(()),
    }
}

/// A movie whose first box is of this size, unless that is no such box; its name has passed.
async fn movie_behind(input: &mut Input, size: u32) -> Walked {
    if !(16..=64).contains(&size) {
        return Ok(());
    }
    input.skip(u64::from(size) - 8).await?;
    match movie::walk(input, &mut Facts::default(), Format::Mp4).await {
        // A camera's records follow, which are no boxes.
        Err(Stop::Broken) => Ok(()),
        walked => walked,
    }
}
