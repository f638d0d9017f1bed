//! Items that are EXIF data or XMP packets, and their ranges in the file (ISO/IEC 14496-12, 8.11).

use std::ops::Range;

use super::{
    super::{
        super::field::{self, be16, be32, fourcc},
        MAX_ELEMENTS,
        input::Input,
        jpeg::segments::EXIF,
        tiff::{self, overlap},
        xmp,
    },
    VERSION_AND_FLAGS, boxes, find,
};

/// Most items of metadata. Every image in a file may have its own, and depth and gain maps, too.
const MAX_ITEMS: usize = 64;

/// An item that is EXIF data or an XMP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    is_exif: bool,
    /// Range in the file.
    pub(super) range: Range<u64>,
}

impl Item {
    /// Overwrites the metadata to remove; `data` is the content of the item.
    pub(super) fn clean(&self, input: &mut Input, data: &[u8]) {
        let strip = input.strip();
        let start = if self.is_exif { block_start(data) } else { 0 };
        let block = data.get(start..).unwrap_or_default();
        let cleaned = if self.is_exif {
            tiff::clean(block, strip)
        } else {
            xmp::clean(block, strip)
        };
        if let Some(cleaned) = cleaned {
            input.replace(self.range.start + start as u64, block, cleaned.into());
        }
    }
}

/// Returns the offset of the TIFF block in EXIF data, by the offset field at its start.
fn block_start(data: &[u8]) -> usize {
    let named = be32(data, 0).unwrap_or_default() as usize;
    let start = named.saturating_add(4);
    let block = data.get(start..).filter(|block| !block.is_empty());
    match block {
        Some(block) if block.starts_with(EXIF) => start + EXIF.len(),
        Some(_) => start,
        // Out of bounds: the block follows the field.
        None => 4,
    }
}

/// Returns the items of metadata in file order, by the content of `meta` and its offset in the file; `None`
/// if one cannot be found, or cannot be overwritten.
pub(super) fn metadata(meta: &[u8], at: u64) -> Option<Vec<Item>> {
    let children = VERSION_AND_FLAGS..meta.len();
    let kinds = kinds(meta, find(meta, children.clone(), b"iinf"))?;
    if kinds.is_empty() {
        return Some(Vec::new());
    }
    let inside = find(meta, children.clone(), b"idat");
    let inside = inside.map(|content| at + content.start as u64..at + content.end as u64);
    let extents = extents(meta.get(find(meta, children, b"iloc")?)?, inside)?;

    let mut items = Vec::new();
    for (id, is_exif) in &kinds {
        let each = extents.iter().find(|each| each.id == *id)?;
        let [range] = each.ranges.as_slice() else {
            return None;
        };
        items.push(Item {
            is_exif: *is_exif,
            range: range.clone(),
        });
    }
    items.sort_by_key(|item| (item.range.start, item.range.end));
    items.dedup();
    // Overlapping data of other items must not be destroyed.
    let is_metadata = |id: u32| kinds.iter().any(|(its, _)| *its == id);
    let others = extents.iter().filter(|each| !is_metadata(each.id));
    let mut others = others.flat_map(|each| &each.ranges);
    let is_shared = others.any(|other| items.iter().any(|item| overlap(&item.range, other)))
        || !items.is_sorted_by(|one, next| !overlap(&one.range, &next.range));
    (!is_shared).then_some(items)
}

/// Returns the id of each item of metadata, and whether it is EXIF data; `None` if there are too many,
/// or one is compressed.
fn kinds(meta: &[u8], iinf: Option<Range<usize>>) -> Option<Vec<(u32, bool)>> {
    let Some(list) = iinf else {
        return Some(Vec::new());
    };
    let count_bytes = match meta.get(list.start) {
        Some(0) => 2,
        _ => 4,
    };
    let entries = (list.start + VERSION_AND_FLAGS + count_bytes).min(list.end)..list.end;
    let mut found = Vec::new();
    for (kind, content) in boxes(meta, entries) {
        let entry = meta.get(content)?;
        if &kind != b"infe" {
            continue;
        }
        let (id, rest) = match entry.first() {
            Some(2) => (be16(entry, VERSION_AND_FLAGS).map(u32::from), 6),
            Some(3) => (be32(entry, VERSION_AND_FLAGS), 8),
            // The first versions have no type.
            _ => continue,
        };
        // The index of its protection comes before the type.
        let is_exif = match fourcc(entry, rest + 2).as_ref() {
            Some(b"Exif") => true,
            Some(b"mime") => {
                let texts = entry.get(rest + 6..)?;
                let mut texts = texts.split(|byte| *byte == 0).skip(1);
                if texts.next() != Some(b"application/rdf+xml") {
                    continue;
                }
                let is_encoded = texts.next().is_some_and(|encoding| !encoding.is_empty());
                if is_encoded {
                    return None;
                }
                false
            }
            _ => continue,
        };
        found.push((id?, is_exif));
        if found.len() > MAX_ITEMS {
            return None;
        }
    }
    Some(found)
}

/// The extents of an item.
#[derive(Debug)]
struct Extents {
    id: u32,
    /// Ranges in the file; empty if the item is elsewhere.
    ranges: Vec<Range<u64>>,
}

/// Parses `iloc`, with the range of the content of `idat`; `None` if it is malformed.
fn extents(iloc: &[u8], idat: Option<Range<u64>>) -> Option<Vec<Extents>> {
    let mut rest = iloc;
    // Reads a number of up to eight bytes.
    let mut next = |bytes: usize| {
        let number = rest.split_off(..bytes).filter(|_| bytes <= 8);
        number.map(|number| field::number(number, 8))
    };
    let version = next(1)?;
    next(3)?;
    let sizes = next(2)?;
    let size = |shift: u32| (sizes >> shift & 0xF) as usize;
    let (offset_size, length_size, base_size) = (size(12), size(8), size(4));
    let index_size = if version == 0 { 0 } else { size(0) };
    let id_size = if version < 2 { 2 } else { 4 };
    let count = next(id_size)?;
    let mut extents = Vec::new();
    let mut left = MAX_ELEMENTS;
    for _ in 0..count {
        let id = u32::try_from(next(id_size)?).ok()?;
        let method = if version == 0 { 0 } else { next(2)? & 0xF };
        let other_file = next(2)?;
        let base = next(base_size)?;
        let mut ranges = Vec::new();
        for _ in 0..next(2)? {
            left = left.checked_sub(1)?;
            next(index_size)?;
            let start = base.checked_add(next(offset_size)?)?;
            let end = start.checked_add(next(length_size)?)?;
            match (method, &idat) {
                (0, _) if other_file == 0 => ranges.push(start..end),
                (1, Some(idat)) => {
                    let end = idat.start.checked_add(end)?.min(idat.end);
                    ranges.push((idat.start + start).min(end)..end);
                }
                _ => {}
            }
        }
        left = left.checked_sub(1)?;
        extents.push(Extents { id, ranges });
    }
    Some(extents)
}
