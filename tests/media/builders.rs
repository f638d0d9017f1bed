//! Builds files in code, with just enough structure for type detection.

pub(crate) fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Builds an `ftyp` box with these brands, the first of them the major one, and an empty box after it.
pub(crate) fn branded(brands: &[&[u8; 4]]) -> Vec<u8> {
    let size = (12 + 4 * brands.len() as u32).to_be_bytes();
    let start = joined(&[&size, b"ftyp", brands[0], &[0; 4]]);
    let compatible: Vec<u8> = brands[1..].iter().flat_map(|brand| **brand).collect();
    joined(&[&start, &compatible, b"\0\0\0\x08free"])
}

/// Builds a compound file: its header, empty space, and a directory of a root with this class id and one
/// stream.
pub(crate) fn compound(directory_sector: u32, class: [u8; 16], stream: &str) -> Vec<u8> {
    let mut bytes = vec![0; 512 * (directory_sector as usize + 2)];
    bytes[..8].copy_from_slice(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1");
    bytes[24..32].copy_from_slice(&[0x3E, 0, 3, 0, 0xFE, 0xFF, 9, 0]);
    bytes[48..52].copy_from_slice(&directory_sector.to_le_bytes());
    let directory = 512 * (directory_sector as usize + 1);
    put_entry(&mut bytes[directory..], "Root Entry", 5);
    bytes[directory + 80..directory + 96].copy_from_slice(&class);
    put_entry(&mut bytes[directory + 128..], stream, 2);
    bytes
}

fn put_entry(entry: &mut [u8], name: &str, kind: u8) {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    entry[..name.len()].copy_from_slice(&name);
    entry[64] = name.len() as u8 + 2;
    entry[66] = kind;
}

/// Builds a local header of a zip entry with this name, and some bytes.
fn zip_entry(name: &str, data: &[u8]) -> Vec<u8> {
    let [length, size] = [name.len(), data.len()].map(|bytes| (bytes as u32).to_le_bytes());
    let start = joined(&[b"PK\x03\x04\x14\0\0\0\0\0", &[0; 8], &size, &size]);
    joined(&[&start, &length[..2], b"\0\0", name.as_bytes(), data])
}

/// Builds an archive of these entries, stored, with its directory.
pub(crate) fn zip_with(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let files = entries.iter().map(|(name, data)| zip_entry(name, data));
    let mut bytes = files.collect::<Vec<_>>().concat();
    for (name, _) in entries {
        let length = (name.len() as u16).to_le_bytes();
        bytes.extend(joined(&[b"PK\x01\x02", &[0; 24], &length, &[0; 16]]));
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes.extend(joined(&[b"PK\x05\x06", &[0; 18]]));
    bytes
}

pub(crate) fn zip(names: &[&str]) -> Vec<u8> {
    let entries = names.iter().map(|name| (*name, b"data".as_slice()));
    zip_with(&entries.collect::<Vec<_>>())
}

/// Builds an ID3 tag of this version and flags, with `content` after its header.
pub(crate) fn id3(version: u8, flags: u8, content: &[u8]) -> Vec<u8> {
    let digit = |place: u32| (content.len() >> (7 * place)) as u8 & 0x7F;
    let size = [digit(3), digit(2), digit(1), digit(0)];
    joined(&[b"ID3", &[version, 0, flags], &size, content])
}
