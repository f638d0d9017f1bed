//! FLAC (RFC 9639): the first metadata block has the rate and number of samples.

use super::{
    super::field::{be32, number},
    Facts, Strip, id3,
    input::{Input, Walked},
    jpeg::segments,
    vorbis,
};

/// Length of STREAMINFO, including the block header.
const STREAM_INFO: usize = 4 + 34;

pub(super) async fn walk(input: &mut Input, facts: &mut Facts) -> Walked {
    let marker = id3::skip(input).await;
    if &marker[..] == b"fLaC" {
        let block = input.collect(STREAM_INFO).await?;
        set_duration(block.get(4..).unwrap_or_default(), facts);
        let more = block.first().is_some_and(|block| !is_last(*block));
        if more && input.strip() != Strip::Off {
            metadata(input).await?;
        }
    }
    Ok(())
}

fn is_last(block: u8) -> bool {
    block & 0x80 != 0
}

/// Cleans the blocks after STREAMINFO. No checksum covers them.
async fn metadata(input: &mut Input) -> Walked {
    const COMMENTS: u8 = 4;
    const PICTURE: u8 = 6;
    loop {
        let [block, size @ ..] = input.array::<4>().await?;
        let outer = input.enter(number(&size, 8));
        let inside = match block & 0x7F {
            COMMENTS => comments(input).await,
            PICTURE => segments::cover(input).await,
            _ => Ok(()),
        };
        input.note_outcome(inside);
        input.leave(outer).await?;
        if is_last(block) {
            return Ok(());
        }
    }
}

async fn comments(input: &mut Input) -> Walked {
    let at = input.position();
    let comments = input.take(vorbis::MAX_BYTES).await;
    for comment in vorbis::comments_to_remove(&comments, input.strip()) {
        for (range, by) in [(comment.name, b'X'), (comment.value, b' ')] {
            let (at, before) = (at + range.start as u64, comments.slice(range));
            input.replace(at, &before, vec![by; before.len()].into());
        }
    }
    if !input.is_at_end().await || vorbis::has_cover_with_metadata(&comments) {
        input.note_kept();
    }
    Ok(())
}

/// Sets the duration by the data of STREAMINFO.
fn set_duration(stream_info: &[u8], facts: &mut Facts) {
    if let (Some(rate), Some(samples)) = (rate(stream_info), be32(stream_info, 14)) {
        let high = stream_info.get(13).map_or(0, |byte| u64::from(byte & 0xF));
        // 0 means that the encoder did not know it.
        facts.set_duration(high << 32 | u64::from(samples), rate.into());
    }
}

/// Returns the samples per second: 20 bits.
pub(super) fn rate(stream_info: &[u8]) -> Option<u32> {
    be32(stream_info, 10).map(|word| word >> 12)
}

#[cfg(test)]
mod tests {
    use super::super::{
        super::format::Format,
        Geo::{self, Removed},
        Strip,
        tests::{exif, finds, jpeg, pass_in_any_chunks, sample, unchanged},
    };

    #[test]
    fn the_stream_tells_how_many_samples_it_has() {
        let real = sample("tone.flac");
        let changed = |change: fn(&mut [u8])| {
            let mut file = real.clone();
            change(&mut file);
            file
        };
        let tagged = [b"ID3\x03\0\0\0\0\x01\x00".as_slice(), &[0; 128], &real].concat();
        let unknown = changed(|file| {
            file[21] &= 0xF0;
            file[22..26].fill(0);
        });
        let long = changed(|file| file[21] |= 1);
        let no_rate = changed(|file| {
            file[18..20].fill(0);
            file[20] &= 0x0F;
        });
        for (case, file, expected) in [
            ("real", &real[..], Some(100)),
            ("after a tag", &tagged, Some(100)),
            ("unknown", &unknown, None),
            ("of 36 bits", &long, Some(268_435_556)),
            ("of 46 days", &changed(|file| file[21] |= 0x0F), None),
            ("at no rate", &no_rate, None),
            ("cut off", &real[..41], None),
        ] {
            let facts = unchanged(Format::Flac, Strip::Location, file);
            assert_eq!(facts.duration_ms, expected, "{case}");
        }
    }

    #[test]
    fn comments_are_cleaned_in_place_and_covers_looked_into() {
        let real = sample("tone.flac");
        let jpeg = jpeg(&[&exif(b"MM, and no TIFF")]);
        let comment = |text: &str| {
            let length = (text.len() as u32).to_le_bytes();
            [b"\x04\0\0\0Me!!\x01\0\0\0", &length[..], text.as_bytes()].concat()
        };
        let cut = comment("LOCATION=here")[..20].to_vec();
        for (case, kind, block, geo) in [
            ("a place", 4, comment("LOCATION=here"), Removed),
            ("in lower case", 4, comment("geo_location=here"), Removed),
            ("a title", 4, comment("TITLE=here"), Geo::None),
            ("cut off", 4, cut, Geo::None),
            ("a cover", 6, jpeg, Removed),
            ("a PNG", 6, b"\x89PNG\r\n\x1A\neXIf".to_vec(), Geo::Kept),
            ("another picture", 6, b"GIF89a".to_vec(), Geo::None),
        ] {
            let header = [kind, 0, 0, block.len() as u8];
            let file = [&real[..42], &header, &block, &real[42..]].concat();
            let passed = pass_in_any_chunks(Format::Flac, Strip::Location, &file);
            assert_eq!(passed.report.facts.duration_ms, Some(100), "{case}");
            assert_eq!(passed.report.geo, geo, "{case}");
            let (had, has) = (finds(&file, b"here"), finds(&passed.bytes, b"here"));
            assert_eq!(has, had && geo != Removed, "{case}");
        }
    }
}
