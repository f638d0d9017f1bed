//! FLAC (RFC 9639): the first block of metadata tells rate and number of samples.

use super::{
    super::field::be32,
    Facts, id3,
    input::{Input, Walked},
};

/// Of STREAMINFO, the header of its block included.
const STREAM_INFO: usize = 4 + 34;

pub(super) async fn walk(input: &mut Input, facts: &mut Facts) -> Walked {
    let marker = id3::skip(input).await;
    if &marker[..] == b"fLaC" {
        let block = input.collect(STREAM_INFO).await?;
        tell(block.get(4..).unwrap_or_default(), facts);
    }
    Ok(())
}

/// By the data of STREAMINFO.
fn tell(stream_info: &[u8], facts: &mut Facts) {
    if let (Some(rate), Some(samples)) = (rate(stream_info), be32(stream_info, 14)) {
        let high = stream_info.get(13).map_or(0, |byte| u64::from(byte & 0xF));
        // 0 says that an encoder did not know yet.
        facts.set_duration(high << 32 | u64::from(samples), rate.into());
    }
}

/// Samples per second: 20 bits.
pub(super) fn rate(stream_info: &[u8]) -> Option<u32> {
    be32(stream_info, 10).map(|word| word >> 12)
}

#[cfg(test)]
mod tests {
    use super::super::{
        super::format::Format,
        Strip,
        tests::{sample, unchanged},
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
        let no_rate = changed(|file| {
            file[18..20].fill(0);
            file[20] &= 0x0F;
        });
        for (case, file, expected) in [
            ("real", &real[..], Some(100)),
            ("behind a tag", &tagged, Some(100)),
            ("unknown", &unknown, None),
            (
                "of 36 bits",
                &changed(|file| file[21] |= 1),
                Some(268_435_556),
            ),
            ("of 46 days", &changed(|file| file[21] |= 0x0F), None),
            ("at no rate", &no_rate, None),
            ("cut off", &real[..41], None),
        ] {
            let facts = unchanged(Format::Flac, Strip::Device, file);
            assert_eq!(facts.duration_ms, expected, "{case}");
        }
    }
}
