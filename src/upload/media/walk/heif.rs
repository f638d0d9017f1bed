//! HEIC, HEIF and AVIF: pictures as items of a `meta` box (ISO/IEC 23008-12, 14496-12).

use std::ops::Range;

use super::{
    super::field::{be16, be32, be64, fourcc},
    Facts, MAX_ELEMENTS,
    input::{Input, Stop, Walked},
};

/// Largest `meta` box that is held. A picture of 200 megapixels has one of 39 KB.
const MAX_META: u64 = 4 * 1024 * 1024;

pub(super) async fn walk(input: &mut Input, facts: &mut Facts) -> Walked {
    for _ in 0..MAX_ELEMENTS {
        let Some(BoxHeader { kind, bytes }) = BoxHeader::read(input).await? else {
            return Ok(());
        };
        let outer = input.enter(bytes);
        if &kind == b"meta" && bytes <= MAX_META {
            let meta = input.take(bytes as usize).await;
            if let Some((width, height)) = primary_size(&meta) {
                facts.set_size(width, height, false);
            }
            return Ok(());
        }
        input.leave(outer).await?;
    }
    Err(Stop::Broken)
}

/// A box's type, and how many bytes follow its header.
#[derive(Clone, Copy, Debug)]
struct BoxHeader {
    kind: [u8; 4],
    bytes: u64,
}

impl BoxHeader {
    /// `None` at the end of the file.
    async fn read(input: &mut Input) -> Walked<Option<Self>> {
        if input.is_at_end().await {
            return Ok(None);
        }
        let size = u32::from_be_bytes(input.array().await?);
        let kind = input.array().await?;
        let bytes = match size {
            // To the end of the file.
            0 => u64::MAX,
            1 => u64::from_be_bytes(input.array().await?)
                .checked_sub(16)
                .ok_or(Stop::Broken)?,
            size => u64::from(size).checked_sub(8).ok_or(Stop::Broken)?,
        };
        Ok(Some(Self { kind, bytes }))
    }
}

/// The boxes in `bytes`, one after the other: their types and where their content is.
fn boxes(bytes: &[u8], within: Range<usize>) -> impl Iterator<Item = ([u8; 4], Range<usize>)> {
    let Range { start: mut at, end } = within;
    std::iter::from_fn(move || {
        let kind = fourcc(bytes, at + 4)?;
        let (header, size) = match be32(bytes, at)? {
            0 => (8, (end - at) as u64),
            1 => (16, be64(bytes, at + 8)?),
            size => (8, size.into()),
        };
        let size = usize::try_from(size).ok().filter(|size| *size >= header)?;
        let ends = at.checked_add(size).filter(|ends| *ends <= end)?;
        let content = at + header..ends;
        at = ends;
        Some((kind, content))
    })
    .take(MAX_ELEMENTS as usize)
}

/// The content of the first box of this type.
fn find(bytes: &[u8], within: Range<usize>, kind: &[u8; 4]) -> Option<Range<usize>> {
    boxes(bytes, within)
        .find(|(found, _)| found == kind)
        .map(|(_, content)| content)
}

/// Version and flags begin what `meta` and some of its boxes hold.
const VERSION_AND_FLAGS: usize = 4;

/// The displayed size of the primary item, by the content of `meta`.
fn primary_size(meta: &[u8]) -> Option<(u32, u32)> {
    let children = VERSION_AND_FLAGS..meta.len();
    let primary = primary_item(meta, find(meta, children.clone(), b"pitm")?)?;
    let properties = find(meta, children, b"iprp")?;
    let list = find(meta, properties.clone(), b"ipco")?;
    let list: Vec<_> = boxes(meta, list).collect();
    // One or two of them, by the largest number of an item.
    let associations = boxes(meta, properties).filter(|(kind, _)| kind == b"ipma");
    let of_primary = associations
        .filter_map(|(_, content)| associated(meta.get(content)?, primary))
        .flatten();
    let of_primary: Vec<_> = of_primary
        .filter_map(|number| list.get(usize::from(number).checked_sub(1)?))
        .collect();

    // The size comes first, wherever it is named: Sony's cameras name a turn before it.
    let mut size = of_primary.iter().find_map(|(kind, content)| {
        let data = meta.get(content.clone()).filter(|_| kind == b"ispe")?;
        be32(data, 4).zip(be32(data, 8))
    })?;
    for (kind, content) in of_primary {
        let data = meta.get(content.clone())?;
        match kind {
            b"clap" => size = clean_aperture(data).unwrap_or(size),
            b"irot" if data.first()? % 2 == 1 => size = (size.1, size.0),
            _ => {}
        }
    }
    Some(size)
}

fn primary_item(meta: &[u8], pitm: Range<usize>) -> Option<u32> {
    let data = meta.get(pitm)?;
    match data.first()? {
        0 => be16(data, VERSION_AND_FLAGS).map(u32::from),
        _ => be32(data, VERSION_AND_FLAGS),
    }
}

/// The numbers of an item's properties, from 1, by the content of an `ipma` box.
fn associated(ipma: &[u8], item: u32) -> Option<Vec<u16>> {
    let (version, is_wide) = (*ipma.first()?, ipma.get(3)? & 1 == 1);
    let count = be32(ipma, VERSION_AND_FLAGS)?;
    let mut at = VERSION_AND_FLAGS + 4;
    for _ in 0..count.min(MAX_ELEMENTS) {
        let id_bytes = if version == 0 { 2 } else { 4 };
        let id = if version == 0 {
            be16(ipma, at)?.into()
        } else {
            be32(ipma, at)?
        };
        at += id_bytes;
        let number = usize::from(*ipma.get(at)?);
        let each = if is_wide { 2 } else { 1 };
        let data = ipma.get(at + 1..at + 1 + number * each)?;
        at += 1 + data.len();
        if id == item {
            // The top bit says whether a reader must know the property.
            let numbers = data.chunks_exact(each).filter_map(|number| {
                if is_wide {
                    be16(number, 0).map(|number| number & 0x7FFF)
                } else {
                    number.first().map(|number| u16::from(number & 0x7F))
                }
            });
            return Some(numbers.collect());
        }
    }
    None
}

/// The size that a `clap` box cuts out: two fractions.
fn clean_aperture(data: &[u8]) -> Option<(u32, u32)> {
    let side = |at| {
        let (over, under) = (be32(data, at)?, be32(data, at + 4)?);
        let rounded = (u64::from(over) + u64::from(under) / 2).checked_div(under.into())?;
        u32::try_from(rounded).ok()
    };
    Some((side(0)?, side(8)?))
}
