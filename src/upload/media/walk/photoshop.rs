//! Photoshop's image resources and the IPTC record in them, as in press photos (Adobe Photoshop File
//! Formats Specification; IPTC-IIM 4.2).

use super::super::field::{be16, be32};
use super::{Strip, xmp};

/// Returns whether image resources contain a location, or cannot be read. TIFF blocks in them, which may
/// contain image resources again, are passed to `block_has_location`.
pub(super) fn has_location(mut resources: &[u8], block_has_location: fn(&[u8]) -> bool) -> bool {
    while !resources.iter().all(|byte| *byte == 0) {
        let Some((id, data, rest)) = resource(resources) else {
            return true;
        };
        let found = match id {
            0x0404 => iptc_has_location(data),
            0x0422 | 0x0423 => block_has_location(data),
            0x0424 => xmp::clean(data, Strip::Location).is_some(),
            _ => false,
        };
        if found {
            return true;
        }
        resources = rest;
    }
    false
}

/// Returns the id and data of the first resource, and the rest. The last one may be incomplete: its
/// end is in the next segment.
fn resource(resources: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let header = resources.strip_prefix(b"8BIM")?;
    let id = be16(header, 0)?;
    // A name, preceded by its length.
    let name = 1 + usize::from(*header.get(2)?);
    let name = name + name % 2;
    let data = header.get(2 + name + 4..)?;
    let size = be32(header, 2 + name)? as usize;
    let padded = size.saturating_add(size % 2).min(data.len());
    let (_, rest) = data.split_at(padded);
    Some((id, data.get(..size).unwrap_or(data), rest))
}

/// Returns whether an IPTC record has a dataset for a location.
pub(super) fn iptc_has_location(mut record: &[u8]) -> bool {
    while let [0x1C, kind, dataset, high, low, rest @ ..] = record {
        let is_location = matches!(dataset, 26 | 27 | 90 | 92 | 95 | 100 | 101);
        if *kind == 2 && is_location {
            return true;
        }
        let size = usize::from(u16::from_be_bytes([*high, *low]));
        // An extended dataset: these bits are the length of its length.
        if size >= 0x8000 {
            return true;
        }
        record = rest.get(size..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(id: u16, name: &[u8], data: &[u8]) -> Vec<u8> {
        let start = [b"8BIM", &id.to_be_bytes()[..], &[name.len() as u8], name].concat();
        let padding = &[0][..(name.len() + 1) % 2];
        let len = (data.len() as u32).to_be_bytes();
        [&start, padding, &len, data, &[0][..data.len() % 2]].concat()
    }

    #[test]
    fn resources_that_contain_a_location() {
        let title = [&[0x1C, 2, 5, 0, 1][..], b"a"].concat();
        let city = [&title[..], &[0x1C, 2, 90, 0, 2], b"Rm"].concat();
        let envelope = [0x1C, 1, 90, 0, 3, 0x1B, 0x25, 0x47];
        let place = br#"<a exif:GPSLatitude="1"/>"#;
        let iptc = |record: &[u8]| resource(0x0404, b"", record);
        let after = [resource(0x03ED, b"abc", &[0; 15]), iptc(&city)].concat();
        let large = iptc(&[0x1C, 2, 5, 0x80, 4, 0, 0, 0, 1]);
        for (case, resources, expected) in [
            ("none", vec![], false),
            ("a title", iptc(&title), false),
            ("a city", iptc(&city), true),
            ("another record", resource(0x0404, b"ab", &envelope), false),
            ("a city after another", after, true),
            ("padding", [iptc(&title), vec![0; 5]].concat(), false),
            ("XMP", resource(0x0424, b"", place), true),
            ("a block", resource(0x0422, b"", b"a place"), true),
            ("a block without one", resource(0x0422, b"", b"none"), false),
            ("XMP elsewhere", resource(0x0425, b"", place), false),
            ("cut off", iptc(&title)[..16].to_vec(), false),
            ("the rest of another segment", b"abcdef".to_vec(), true),
            ("a large dataset", large, true),
            ("no name", b"8BIM\x04\x04".to_vec(), true),
        ] {
            assert_eq!(
                has_location(&resources, |block| block == b"a place"),
                expected,
                "{case}"
            );
        }
    }
}
