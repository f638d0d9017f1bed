//! PNG and APNG (PNG specification, third edition). A chunk that is changed gets a new checksum.

use bytes::Bytes;
use crc32fast::Hasher;

use super::{
    super::field::{be16, be32},
    Facts, MAX_ELEMENTS, Strip,
    input::{Input, Walked},
    tiff, xmp,
};

/// Signature, length and type of the first chunk.
const BEFORE_HEADER: u64 = 8 + 8;
const CHECKSUM: u64 = 4;
/// Most data of a chunk that is collected, in bytes.
const MAX_DATA: usize = 512 * 1024;
const XMP_KEYWORD: &[u8] = b"XML:com.adobe.xmp";
/// Prefix of the keywords under which ImageMagick writes metadata of other formats.
const PROFILE_KEYWORD: &[u8] = b"Raw profile type ";

/// Facts in the chunks of an image.
#[derive(Debug, Default)]
struct Image {
    is_rotated: bool,
    is_animation: bool,
    frames: u32,
    /// Duration of all frames, in microseconds.
    duration: u64,
}

pub(super) async fn walk(input: &mut Input, facts: &mut Facts) -> Walked {
    input.skip(BEFORE_HEADER).await?;
    let header = input.collect(13).await?;
    input.skip(CHECKSUM).await?;
    let mut image = Image::default();
    let walked = chunks(input, &mut image).await;
    let size = be32(&header, 0).zip(be32(&header, 4));
    facts.set_size(size, image.is_rotated);
    facts.animated = image.frames > 1;
    if facts.animated {
        facts.set_duration(image.duration, 1_000_000);
    }
    walked
}

async fn chunks(input: &mut Input, image: &mut Image) -> Walked {
    let mut has_pixels = false;
    for _ in 0..MAX_ELEMENTS {
        let length = u32::from_be_bytes(input.array().await?);
        let kind = input.array::<4>().await?;
        let outer = input.enter(u64::from(length) + CHECKSUM);
        let strip = input.strip();
        match &kind {
            b"IDAT" => has_pixels = true,
            b"IEND" => return Ok(()),
            b"acTL" if !has_pixels => image.is_animation = true,
            b"fcTL" if image.is_animation => image.add_frame(&input.take(26).await),
            b"eXIf" if !has_pixels || strip != Strip::Off => {
                let chunk = Chunk::take(input, kind, length).await;
                // Browsers ignore an orientation after the pixels.
                image.is_rotated |= !has_pixels && tiff::is_rotated(&chunk.data);
                let cleaned = tiff::clean(&chunk.data, strip);
                chunk.become_clean(input, cleaned).await?;
            }
            b"tEXt" | b"zTXt" | b"iTXt" if strip != Strip::Off => {
                text(input, kind, length).await?;
            }
            b"tIME" | b"caBX" if strip >= Strip::Device => {
                let chunk = Chunk::take(input, kind, length).await;
                chunk.become_empty(input).await?;
            }
            _ => {}
        }
        input.leave(outer).await?;
    }
    Ok(())
}

/// Cleans a text chunk: an XMP packet, metadata of other formats in hexadecimal digits, or text by a
/// program or a person.
async fn text(input: &mut Input, kind: [u8; 4], length: u32) -> Walked {
    let chunk = Chunk::take(input, kind, length).await;
    let keyword = chunk.data.split(|byte| *byte == 0).next();
    let keyword = keyword.unwrap_or_default();
    if keyword == XMP_KEYWORD
        && let Some(start) = packet_start(kind, &chunk.data)
    {
        let (head, packet) = chunk.data.split_at(start);
        let cleaned = xmp::clean(packet, input.strip());
        let cleaned = cleaned.map(|packet| [head, &packet].concat());
        return chunk.become_clean(input, cleaned).await;
    }
    let has_location = keyword == XMP_KEYWORD
        || keyword.starts_with(PROFILE_KEYWORD)
        || xmp::is_location_name(keyword);
    if has_location || input.strip() >= Strip::Device {
        chunk.become_empty(input).await?;
    }
    Ok(())
}

/// Returns the offset of the text in an international chunk, if it is not compressed.
fn packet_start(kind: [u8; 4], data: &[u8]) -> Option<usize> {
    const UNCOMPRESSED: u8 = 0;
    let after_keyword = XMP_KEYWORD.len() + 1;
    let [UNCOMPRESSED, _method, rest @ ..] = data.get(after_keyword..)? else {
        return None;
    };
    // A language and a translated keyword, each terminated by a zero.
    let mut zeros = memchr::memchr_iter(0, rest);
    let start = after_keyword + 2 + zeros.nth(1)? + 1;
    (&kind == b"iTXt").then_some(start)
}

/// A chunk whose data may be overwritten; its checksum follows.
struct Chunk {
    kind: [u8; 4],
    length: u32,
    at: u64,
    /// The data that was collected.
    data: Bytes,
}

impl Chunk {
    async fn take(input: &mut Input, kind: [u8; 4], length: u32) -> Self {
        let at = input.position();
        let data = input.take((length as usize).min(MAX_DATA)).await;
        Self {
            kind,
            length,
            at,
            data,
        }
    }

    fn is_whole(&self) -> bool {
        self.data.len() == self.length as usize
    }

    /// Replaces the data by `cleaned`, if there is any.
    async fn become_clean(self, input: &mut Input, cleaned: Option<Vec<u8>>) -> Walked {
        if !self.is_whole() {
            // Too large to collect, or incomplete.
            input.note_kept();
            return Ok(());
        }
        if let Some(cleaned) = cleaned {
            let mut checksum = Hasher::new();
            checksum.update(&self.kind);
            checksum.update(&cleaned);
            input.replace(self.at, &self.data, cleaned.into());
            replace_checksum(input, checksum).await?;
        }
        Ok(())
    }

    /// Zeros the data, and gives the chunk an unknown name, which readers ignore.
    async fn become_empty(self, input: &mut Input) -> Walked {
        const UNKNOWN: [u8; 4] = *b"voId";
        const ZEROS: [u8; 4096] = [0; 4096];
        input.replace(self.at - 4, &self.kind, Bytes::from_static(&UNKNOWN));
        let zeros = vec![0; self.data.len()];
        let mut checksum = Hasher::new();
        checksum.update(&UNKNOWN);
        checksum.update(&zeros);
        input.replace(self.at, &self.data, zeros.into());
        let mut left = self.length as usize - self.data.len();
        while left > 0 {
            let zeros = ZEROS.get(..left).unwrap_or(&ZEROS);
            input.blank(zeros.len() as u64, 0).await?;
            checksum.update(zeros);
            left -= zeros.len();
        }
        replace_checksum(input, checksum).await
    }
}

async fn replace_checksum(input: &mut Input, checksum: Hasher) -> Walked {
    let at = input.position();
    let before = input.array::<4>().await?;
    let after = Bytes::copy_from_slice(&checksum.finalize().to_be_bytes());
    input.replace(at, &before, after);
    Ok(())
}

impl Image {
    /// Counts a frame by the data of its `fcTL` chunk.
    fn add_frame(&mut self, data: &[u8]) {
        let (Some(delay), Some(parts)) = (be16(data, 20), be16(data, 22)) else {
            return;
        };
        let parts = if parts == 0 { 100 } else { u64::from(parts) };
        self.frames += 1;
        self.duration += u64::from(delay) * 1_000_000 / parts;
    }
}
