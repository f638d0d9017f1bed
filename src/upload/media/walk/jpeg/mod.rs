//! JPEG (ITU-T T.81) from its first segment to the end of the file, including the data that cameras append
//! to the image.

pub(super) mod segments;

use self::segments::{END_OF_IMAGE, Image, SegmentsEnd, before_scan};
use super::{
    super::format::Format,
    Facts, Strip,
    input::{Input, Stop, Walked},
    movie, samsung,
};

/// Walks to the first scan, or to the end of the file if metadata is to be overwritten.
pub(super) async fn walk(input: &mut Input, facts: &mut Facts) -> Walked {
    let mut image = Image::default();
    // Start of image, and the first byte of the first marker.
    input.skip(3).await?;
    let walked = before_scan(input, &mut image).await;
    facts.set_size(image.sides, image.is_rotated.unwrap_or_default());
    if input.strip() == Strip::Off {
        return walked.map(drop);
    }
    trailing_data(input, walked?).await
}

/// Walks from the first scan to the end of the file. The image may be followed by further images (a gain
/// map, the other eye), a movie (a motion photo), and records of the camera.
///
/// Only the marker is used to find the end of an image. Between the scans of a progressive image, a
/// table may contain the same two bytes: then the rest of the image is searched, too, without a match.
async fn trailing_data(input: &mut Input, end: SegmentsEnd) -> Walked {
    const IMAGE: &[u8] = b"\xFF\xD8\xFF";
    const MOVIE: &[u8] = b"ftyp";
    skip_to_end_of_image(input, end).await?;
    let mut is_known = input.is_at_end().await;
    let patterns = [IMAGE, MOVIE, samsung::COUNTRY, samsung::TIME];
    while let Ok((which, before)) = input.find(&patterns).await {
        is_known = true;
        match which {
            0 => match before_scan(input, &mut Image::default()).await {
                Ok(end) => skip_to_end_of_image(input, end).await?,
                Err(Stop::Malformed) => input.note_kept(),
                Err(Stop::End) => {}
            },
            1 => trailing_movie(input, u32::from_be_bytes(before)).await?,
            which => samsung::value(input, which == 3).await?,
        }
    }
    if !is_known && input.strip() >= Strip::Device {
        input.note_kept();
    }
    Ok(())
}

async fn skip_to_end_of_image(input: &mut Input, end: SegmentsEnd) -> Walked {
    match end {
        SegmentsEnd::Scan => input.find(&[END_OF_IMAGE]).await.map(drop),
        SegmentsEnd::EndOfImage => Ok(()),
    }
}

/// Walks through a movie after the size and name of its first box, if the size is plausible.
async fn trailing_movie(input: &mut Input, size: u32) -> Walked {
    if !(16..=64).contains(&size) {
        return Ok(());
    }
    input.skip(u64::from(size) - 8).await?;
    match movie::walk(input, &mut Facts::default(), Format::Mp4).await {
        // Records of the camera follow, which are not boxes.
        Err(Stop::Malformed) => Ok(()),
        walked => walked,
    }
}
