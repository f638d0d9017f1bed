//! HEIC, HEIF and AVIF: images as items of a `meta` box (ISO/IEC 23008-12, 14496-12).

mod items;

use std::{iter::Peekable, ops::Range, vec};

use bytes::Bytes;

use self::items::Item;
use super::{
    super::{
        field::{be16, be32, be64, fourcc},
        format::Format,
    },
    Facts, MAX_ELEMENTS, Strip,
    input::{Input, Stop, Walked},
    movie::{self, Header},
    samsung,
};

/// Largest `meta` box that is held, in bytes. An image of 200 megapixels has one of 39 KB.
const MAX_META: u64 = 4 * 1024 * 1024;
/// Bytes held of media before the `meta` box. Samsung's cameras write EXIF data and XMP into the last
/// 4 KB of it.
const TAIL: u64 = 256 * 1024;
/// Most bytes of one item that are collected. EXIF data has up to 192 KB.
const MAX_ITEM: u64 = 512 * 1024;

/// Walks to `meta`, or to the end of the file if metadata is to be overwritten.
pub(super) async fn walk(input: &mut Input, facts: &mut Facts) -> Walked {
    let mut media = Held::default();
    let mut remaining = None;
    for _ in 0..MAX_ELEMENTS {
        if input.is_at_end().await {
            return Ok(());
        }
        let start = input.array().await?;
        let Header { kind, payload, .. } = Header::starting(input, start).await?;
        let strips = input.strip() != Strip::Off;
        let outer = input.enter(payload);
        match (&kind, &mut remaining) {
            (b"meta", None) if payload <= MAX_META => {
                let meta = Held::take(input, payload as usize).await;
                facts.set_size(primary_size(&meta.bytes), false);
                if strips {
                    let media = std::mem::take(&mut media);
                    remaining = Some(clean_held(input, &[media, meta]));
                }
            }
            (b"moov", _) => {
                let inside = movie::sequence(input, facts).await;
                input.note_outcome(inside);
            }
            _ if !strips => {}
            (b"meta", _) => input.note_kept(),
            (b"mdat", None) => {
                input.skip(input.left().saturating_sub(TAIL)).await?;
                media = Held::take(input, TAIL as usize).await;
            }
            (b"mdat", Some(remaining)) => clean_remaining(input, remaining).await?,
            _ => {
                let inside = other_box(input, kind).await;
                input.note_outcome(inside);
            }
        }
        input.leave(outer).await?;
    }
    Err(Stop::Malformed)
}

/// Walks through the video of a motion photo, or Samsung's records.
async fn other_box(input: &mut Input, kind: [u8; 4]) -> Walked {
    match &kind {
        b"mpvd" => movie::walk(input, &mut Facts::default(), Format::Mp4).await,
        b"sefd" => samsung::records(input).await,
        _ => Ok(()),
    }
}

/// Items that have not passed yet, in file order.
type Remaining = Peekable<vec::IntoIter<Item>>;

/// Cleans the items in the held bytes; returns those that have not passed yet.
fn clean_held(input: &mut Input, held: &[Held; 2]) -> Remaining {
    let [_, meta] = held;
    let mut remaining = items::metadata(&meta.bytes, meta.at).unwrap_or_else(|| {
        input.note_kept();
        Vec::new()
    });
    remaining.retain(|item| {
        let bytes = held.iter().find_map(|held| held.get(&item.range));
        if let Some(bytes) = &bytes {
            item.clean(input, bytes);
        }
        bytes.is_none()
    });
    remaining.into_iter().peekable()
}

/// Cleans the items that begin in the entered box.
async fn clean_remaining(input: &mut Input, remaining: &mut Remaining) -> Walked {
    let end = input.position().saturating_add(input.left());
    while let Some(item) = remaining.next_if(|item| item.range.start < end) {
        let bytes = item.range.end - item.range.start;
        let before = item.range.start.checked_sub(input.position());
        let (Some(before), 0..=MAX_ITEM) = (before, bytes) else {
            input.note_kept();
            continue;
        };
        input.skip(before).await?;
        let data = input.take(bytes as usize).await;
        if data.len() as u64 == bytes {
            item.clean(input, &data);
        } else {
            input.note_kept();
        }
    }
    Ok(())
}

/// Held bytes, and their offset in the file.
#[derive(Debug, Default)]
struct Held {
    at: u64,
    bytes: Bytes,
}

impl Held {
    async fn take(input: &mut Input, bytes: usize) -> Self {
        let at = input.position();
        let bytes = input.take(bytes).await;
        Self { at, bytes }
    }

    /// Returns the bytes of a range of the file, if they are held.
    fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        let start = usize::try_from(range.start.checked_sub(self.at)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(self.at)?).ok()?;
        (end <= self.bytes.len()).then(|| self.bytes.slice(start..end))
    }
}

/// Iterates over the boxes in `bytes`: type and range of the content.
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

/// Returns the range of the content of the first box of this type.
fn find(bytes: &[u8], within: Range<usize>, kind: &[u8; 4]) -> Option<Range<usize>> {
    boxes(bytes, within).find_map(|(found, content)| (found == *kind).then_some(content))
}

/// Bytes of version and flags, the first fields of `meta` and some of its boxes.
const VERSION_AND_FLAGS: usize = 4;

/// Returns the displayed size of the primary item, by the content of `meta`.
fn primary_size(meta: &[u8]) -> Option<(u32, u32)> {
    let children = VERSION_AND_FLAGS..meta.len();
    let primary = primary_item(meta, find(meta, children.clone(), b"pitm")?)?;
    let properties = find(meta, children, b"iprp")?;
    let list = find(meta, properties.clone(), b"ipco")?;
    let list: Vec<_> = boxes(meta, list).collect();
    // One or two boxes: the field sizes depend on the largest id.
    let associations = boxes(meta, properties).filter(|(kind, _)| kind == b"ipma");
    let primary_properties = associations
        .filter_map(|(_, content)| associated(meta.get(content)?, primary))
        .flatten();
    let primary_properties: Vec<_> = primary_properties
        .filter_map(|number| list.get(usize::from(number).checked_sub(1)?))
        .collect();

    // The size is applied first, wherever it is listed: Sony's cameras list a rotation before it.
    let mut size = primary_properties.iter().find_map(|(kind, content)| {
        let data = meta.get(content.clone()).filter(|_| kind == b"ispe")?;
        be32(data, 4).zip(be32(data, 8))
    })?;
    for (kind, content) in primary_properties {
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

/// Returns the indices of an item's properties, from 1, by the content of an `ipma` box.
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
            // The top bit means that readers must support the property.
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

/// Returns the size of a `clap` box: two fractions.
fn clean_aperture(data: &[u8]) -> Option<(u32, u32)> {
    let side = |at| {
        let (over, under) = (be32(data, at)?, be32(data, at + 4)?);
        let rounded = (u64::from(over) + u64::from(under) / 2).checked_div(under.into())?;
        u32::try_from(rounded).ok()
    };
    Some((side(0)?, side(8)?))
}
