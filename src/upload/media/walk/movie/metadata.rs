//! Removes location and device metadata of a movie, except its tracks, as it passes; every box keeps its
//! offset and size.

use bytes::Bytes;

use super::{
    super::{
        super::field::be32,
        Strip,
        input::{Input, Stop, Walked},
        jpeg::segments,
        words::{clean, has_device, has_location},
    },
    Header, Movie,
};

/// Longest name of a key that is read, in bytes.
const MAX_KEY: usize = 1024;
/// Most keys of one list that are removed.
const MAX_KEYS: usize = 1024;
/// Most bytes of a text that are searched.
const MAX_TEXT: usize = 64 * 1024;
/// Most bytes of an XMP packet that are searched; its header must still be within reach.
const MAX_PACKET: usize = 512 * 1024;

/// Cleans any box of the file, of `moov` or of a track that has no facts.
pub(super) async fn walk(input: &mut Input, movie: &mut Movie, header: Header) -> Walked {
    if input.strip() == Strip::Off {
        return Ok(());
    }
    match &header.kind {
        b"udta" => user_data(input, movie).await,
        b"meta" => meta(input, movie).await,
        _ => leaf(input, header).await,
    }
}

async fn user_data(input: &mut Input, movie: &mut Movie) -> Walked {
    let mut last = None;
    while let Some(header) = Header::next(input, movie, &mut last).await? {
        let inside = match &header.kind {
            b"meta" => meta(input, movie).await,
            _ => leaf(input, header).await,
        };
        input.note_outcome(inside);
    }
    Ok(())
}

async fn leaf(input: &mut Input, header: Header) -> Walked {
    match &header.kind {
        // The table of a dash-cam, whose records are among the samples.
        b"gps " => {
            take_out(input, header).await?;
            input.note_kept();
            Ok(())
        }
        kind if LOCATION_BOXES.contains(&kind)
            || DEVICE_BOXES.contains(&kind) && input.strip() >= Strip::Device =>
        {
            take_out(input, header).await
        }
        b"XMP_" => packet(input, header).await,
        b"uuid" => extension(input, header).await,
        b"free" | b"skip" => space(input).await,
        _ => Ok(()),
    }
}

/// Boxes with a location or the camera's motion: by Android, old iPhones, 3GPP, GoPro and dash-cams.
const LOCATION_BOXES: [&[u8; 4]; 10] = [
    b"\xA9xyz", b"loci", b"gps0", b"gpsa", b"gsen", b"gsea", b"gdat", b"GPMF", b"GPS ", b"udat",
];

/// Boxes with a phone or a camera, its software, its owner, or a time; some by Samsung and GoPro.
const DEVICE_BOXES: [&[u8; 4]; 22] = [
    b"\xA9mak", b"\xA9mod", b"\xA9swr", b"\xA9too", b"\xA9cmt", b"\xA9day", b"manu", b"modl",
    b"auth", b"smta", b"smrd", b"SDLN", b"FIRM", b"LENS", b"CAME", b"SETT", b"MUID", b"HMMT",
    b"BCID", b"GUMI", b"INFO", b"thum",
];

/// Renames a box to empty space; its header must be within reach.
pub(super) fn rename(input: &mut Input, header: Header) {
    input.replace(header.at + 4, &header.kind, Bytes::from_static(b"free"));
}

async fn take_out(input: &mut Input, header: Header) -> Walked {
    rename(input, header);
    input.blank(input.left(), 0).await
}

/// Cleans a box whose type is a UUID.
async fn extension(input: &mut Input, header: Header) -> Walked {
    const XMP: [u8; 16] = *b"\xbe\x7a\xcf\xcb\x97\xa9\x42\xe8\x9c\x71\x99\x94\x91\xe3\xaf\xac";
    const GARMIN: [u8; 16] = *b"\x9b\x63\x0f\x8d\x63\x74\x40\xec\x82\x04\xbc\x5f\xf5\x09\x17\x28";
    const FLY_360: [u8; 16] = *b"\xef\xe1\x58\x9a\xbb\x77\x49\xef\x80\x95\x27\x75\x9e\xb1\xdc\x6f";
    const C2PA: [u8; 16] = *b"\xd8\xfe\xc3\xd6\x1b\x0e\x48\x3c\x92\x97\x58\x28\x87\x7e\xc4\x81";
    let at = input.position();
    let id = input.array::<16>().await?;
    let is_removed = match id {
        XMP => return packet(input, header).await,
        GARMIN | FLY_360 => true,
        C2PA => input.strip() >= Strip::Device,
        _ => false,
    };
    if is_removed {
        input.replace(at, &id, Bytes::from_static(&[0; 16]));
        take_out(input, header).await?;
    }
    Ok(())
}

/// Removes a whole XMP packet if it has metadata to remove, since no player needs it.
async fn packet(input: &mut Input, header: Header) -> Walked {
    clean(input, MAX_PACKET, 0, |input| rename(input, header)).await
}

/// Cleans empty space, in which dash-cams write.
async fn space(input: &mut Input) -> Walked {
    let at = input.position();
    let start = input.take(64).await;
    let is_ligo = memchr::memmem::find(&start, b"LIGOGPSINFO").is_some();
    if is_ligo || start.starts_with(b"GPS ") {
        input.replace(at, &start, vec![0; start.len()].into());
        input.blank(input.left(), 0).await?;
    }
    Ok(())
}

/// Walks through `meta`: its children are at its start in QuickTime, and after a version in ISO files.
async fn meta(input: &mut Input, movie: &mut Movie) -> Walked {
    let [a, b, c, d, e, f, g, h] = input.array().await?;
    let (size, kind) = match [e, f, g, h] {
        kind @ [b'h', b'd', b'l', b'r'] => ([a, b, c, d], kind),
        size => (size, input.array().await?),
    };
    let payload = u64::from(u32::from_be_bytes(size)).checked_sub(8);
    let payload = payload.ok_or(Stop::Malformed)?;
    let at = input.position() - 8;
    let mut first = Some(Header { kind, at, payload });
    let mut list = List::default();
    while !input.is_at_end().await {
        let header = match first.take() {
            Some(first) => first,
            None => Header::read(input, movie).await?,
        };
        let outer = input.enter(header.payload);
        let inside = match &header.kind {
            b"keys" => list.keys(input).await,
            b"ilst" => list.values(input, movie).await,
            b"xml " => text(input).await,
            _ => leaf(input, header).await,
        };
        input.note_outcome(inside);
        input.leave(outer).await?;
    }
    Ok(())
}

/// A list of values: iTunes names them by box types, and the cameras of Apple and Android by the index
/// of their name in `keys`.
#[derive(Debug, Default)]
struct List {
    /// Indices of the keys whose values are removed.
    removed_keys: Vec<u32>,
    has_values: bool,
}

impl List {
    async fn keys(&mut self, input: &mut Input) -> Walked {
        let head = input.array::<8>().await?;
        for number in 1..=be32(&head, 4).unwrap_or_default() {
            let [a, b, c, d, ..] = input.array::<8>().await?;
            let size = u64::from(u32::from_be_bytes([a, b, c, d]));
            let outer = input.enter(size.checked_sub(8).ok_or(Stop::Malformed)?);
            let at = input.position();
            let name = input.take(MAX_KEY).await;
            if is_removed(&name, input.strip()) {
                // Values that have already passed can no longer be removed.
                if self.has_values || self.removed_keys.len() >= MAX_KEYS {
                    return Err(Stop::Malformed);
                }
                self.removed_keys.push(number);
                input.replace(at, &name, vec![b'x'; name.len()].into());
            }
            input.leave(outer).await?;
        }
        Ok(())
    }

    async fn values(&mut self, input: &mut Input, movie: &mut Movie) -> Walked {
        self.has_values = true;
        let mut last = None;
        while let Some(header) = Header::next(input, movie, &mut last).await? {
            let inside = if self.removed_keys.contains(&u32::from_be_bytes(header.kind)) {
                values(input, movie).await
            } else {
                match &header.kind {
                    b"covr" => covers(input, movie).await,
                    _ => leaf(input, header).await,
                }
            };
            input.note_outcome(inside);
        }
        Ok(())
    }
}

/// Cleans the covers, each in its own `data`.
async fn covers(input: &mut Input, movie: &mut Movie) -> Walked {
    let mut last = None;
    while Header::next(input, movie, &mut last).await?.is_some() {
        let inside = segments::cover(input).await;
        input.note_outcome(inside);
    }
    Ok(())
}

/// Overwrites every `data` of one key.
async fn values(input: &mut Input, movie: &mut Movie) -> Walked {
    const IS_TEXT: u32 = 1;
    let mut last = None;
    while let Some(header) = Header::next(input, movie, &mut last).await? {
        if &header.kind == b"data" {
            let kind = be32(&input.array::<8>().await?, 0);
            let blank = if kind == Some(IS_TEXT) { b' ' } else { 0 };
            input.blank(input.left(), blank).await?;
        }
    }
    Ok(())
}

fn is_removed(key: &[u8], strip: Strip) -> bool {
    has_location(key) || strip >= Strip::Device && has_device(key)
}

/// Cleans Sony's `xml `: camera, serial number, and sometimes a location.
async fn text(input: &mut Input) -> Walked {
    input.skip(4).await?;
    clean(input, MAX_TEXT, b' ', |_| {}).await
}
