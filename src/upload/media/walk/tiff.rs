//! The TIFF block of EXIF data, in any container (EXIF 2.32, TIFF 6.0).

use std::ops::Range;

use super::{super::field::array, Strip, photoshop, xmp};

const ORIENTATION: u16 = 0x0112;
const XMP: u16 = 0x02BC;
const IPTC: u16 = 0x83BB;
const PHOTOSHOP: u16 = 0x8649;
const EXIF: u16 = 0x8769;
const GPS: u16 = 0x8825;
const COLOR_SPACE: u16 = 0xA001;
const INTEROPERABILITY: u16 = 0xA005;
/// In an interoperability directory: `R98` is sRGB, `R03` with an uncalibrated colour space Adobe RGB.
const INTEROPERABILITY_INDEX: u16 = 0x0001;
const RESOLUTION_UNIT: u16 = 0x0128;
/// In a GPS directory; some cameras write only this if they have no position.
const GPS_VERSION: u16 = 0;

const ASCII: u16 = 2;
const SHORT: u16 = 3;
const LONG: u16 = 4;

/// Byte order, magic number, offset of the first directory.
const HEADER: usize = 8;
const ENTRY: usize = 12;
/// Most directories that are read: those of the image and of its thumbnail, and the EXIF
/// directory of each, with room for more.
const MAX_DIRECTORIES: usize = 8;
/// Most entries of a GPS directory. EXIF defines 32.
const MAX_GPS: usize = 64;
/// Most entries that are removed.
const MAX_REMOVED: usize = 16;

/// Returns whether the image is displayed rotated by 90°, so that width and height are swapped.
pub(super) fn is_rotated(block: &[u8]) -> bool {
    let orientation = Tiff::new(block).and_then(|tiff| tiff.orientation());
    orientation.is_some_and(|orientation| matches!(orientation, 5..=8))
}

/// Returns whether a block in image resources contains a location. A nested block counts as one: otherwise
/// deeply nested blocks would overflow the stack.
pub(super) fn has_location(block: &[u8]) -> bool {
    without_location(block, |_| true) != block
}

/// Cleans a block, keeping every other value at its offset; `None` if nothing is to be removed.
///
/// [`Strip::Device`] leaves a block of the same length that only contains what viewers need: the
/// orientation and the colour space.
pub(super) fn clean(block: &[u8], strip: Strip) -> Option<Vec<u8>> {
    let cleaned = match strip {
        Strip::Off => return None,
        Strip::Location => without_location(block, has_location),
        Strip::Device => minimal(block),
    };
    (cleaned != block).then_some(cleaned)
}

/// Returns the block without locations; a malformed one keeps only its orientation and colour space.
fn without_location(block: &[u8], inner_has_location: fn(&[u8]) -> bool) -> Vec<u8> {
    strip_location(block, inner_has_location).unwrap_or_else(|| minimal(block))
}

/// Returns `None` if directories or values overlap or are out of bounds.
fn strip_location(block: &[u8], inner_has_location: fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let tiff = Tiff::new(block)?;
    let directories = tiff.directories()?;
    let mut cleaner = Cleaner {
        tiff,
        cleaned: block.to_vec(),
        inner_has_location,
        claimed: Vec::new(),
        removed: 0,
    };
    let directory_ranges = directories.iter().map(Directory::range);
    let structure: Vec<_> = std::iter::once(0..HEADER).chain(directory_ranges).collect();
    let is_apart = structure.iter().enumerate().all(|(index, range)| {
        let mut others = structure.iter().take(index);
        !others.any(|other| overlap(range, other))
    });
    cleaner.claimed = structure;
    for directory in directories {
        // From the last on, so that earlier entries keep their offsets.
        for index in (0..directory.count).rev() {
            let entry = directory.entry(index);
            let is_removed = match tiff.short(entry)? {
                GPS => cleaner.blank_gps(tiff.long(entry + 8)? as usize)?,
                tag @ (XMP | IPTC | PHOTOSHOP) => cleaner.clean_value(tag, entry)?,
                _ => false,
            };
            if is_removed {
                is_apart.then_some(())?;
                cleaner.remove(directory, index)?;
            }
        }
    }
    Some(cleaner.cleaned)
}

pub(super) fn overlap<N: Copy + Ord>(one: &Range<N>, other: &Range<N>) -> bool {
    one.start.max(other.start) < one.end.min(other.end)
}

/// A copy of a block, in which locations are blanked.
#[derive(Debug)]
struct Cleaner<'b> {
    tiff: Tiff<'b>,
    cleaned: Vec<u8>,
    inner_has_location: fn(&[u8]) -> bool,
    /// Ranges already processed: a block whose values overlap one is malformed.
    claimed: Vec<Range<usize>>,
    removed: usize,
}

impl Cleaner<'_> {
    /// Claims ranges, which may overlap each other, as they are all blanked; `None` if one overlaps a range
    /// that was claimed before.
    fn claim(&mut self, ranges: Vec<Range<usize>>) -> Option<()> {
        let is_free = |range| !self.claimed.iter().any(|claimed| overlap(range, claimed));
        let are_free = ranges.iter().all(is_free);
        self.claimed.extend(ranges);
        are_free.then_some(())
    }

    fn blank(&mut self, range: Range<usize>) -> Option<()> {
        self.cleaned.get_mut(range)?.fill(0);
        Some(())
    }

    /// Blanks the GPS directory at `at` and all its values; returns `false` if it has no location.
    fn blank_gps(&mut self, at: usize) -> Option<bool> {
        let Some(directory) = self.tiff.directory(at) else {
            // Out of bounds: there is nothing to blank.
            return Some(true);
        };
        if directory.count > MAX_GPS {
            return None;
        }
        let mut tags = (0..directory.count).map(|index| self.tiff.short(directory.entry(index)));
        if tags.all(|tag| tag == Some(GPS_VERSION)) {
            return Some(false);
        }
        let mut ranges = vec![self.tiff.clamped(directory.range())];
        for index in 0..directory.count {
            ranges.push(self.tiff.value(directory.entry(index))?);
        }
        self.claim(ranges.clone())?;
        for range in ranges {
            self.blank(range)?;
        }
        Some(true)
    }

    /// Removes a location from a value that is a packet or a record; returns whether to remove its entry,
    /// too.
    fn clean_value(&mut self, tag: u16, entry: usize) -> Option<bool> {
        let range = self.tiff.value(entry)?;
        self.claim(vec![range.clone()])?;
        let value = self.cleaned.get_mut(range.clone())?;
        let has_location = match tag {
            XMP => {
                if let Some(packet) = xmp::clean(value, Strip::Location) {
                    value.copy_from_slice(&packet);
                }
                false
            }
            IPTC => photoshop::iptc_has_location(value),
            _ => photoshop::has_location(value, self.inner_has_location),
        };
        if has_location {
            self.blank(range)?;
        }
        Some(has_location)
    }

    /// Removes an entry from its directory. Later entries move up, and so does the offset of the next
    /// directory.
    fn remove(&mut self, directory: Directory, index: usize) -> Option<()> {
        let is_whole = usize::from(self.tiff.short(directory.at)?) == directory.count;
        self.removed += 1;
        if !is_whole || self.removed > MAX_REMOVED {
            return None;
        }
        let Range { start, end } = self.tiff.clamped(directory.range());
        let entry = directory.entry(index) - start;
        let directory = self.cleaned.get_mut(start..end)?;
        directory.copy_within(entry + ENTRY.., entry);
        let len = directory.len();
        directory.get_mut(len - ENTRY..)?.fill(0);
        let count = directory.first_chunk_mut()?;
        let left = u16::from_be_bytes(self.tiff.ordered(*count)).checked_sub(1)?;
        *count = self.tiff.short_bytes(left);
        Some(())
    }
}

/// Returns a block of the same length with only the orientation and the colour space; zeros if the block
/// is malformed, or has no room for them.
fn minimal(block: &[u8]) -> Vec<u8> {
    let mut rebuilt = Tiff::new(block).map(Tiff::minimal).unwrap_or_default();
    if rebuilt.len() > block.len() {
        rebuilt.clear();
    }
    rebuilt.resize(block.len(), 0);
    rebuilt
}

/// A directory of a block: its offset, and the number of its entries.
#[derive(Clone, Copy, Debug)]
struct Directory {
    at: usize,
    count: usize,
}

impl Directory {
    /// Returns the offset of an entry.
    fn entry(&self, index: usize) -> usize {
        self.at + 2 + ENTRY * index
    }

    /// Returns the range of its count, its entries, and the offset of the next directory.
    fn range(&self) -> Range<usize> {
        self.at..self.entry(self.count) + 4
    }
}

/// A block and its byte order.
#[derive(Clone, Copy, Debug)]
struct Tiff<'b> {
    block: &'b [u8],
    is_little: bool,
}

impl<'b> Tiff<'b> {
    fn new(block: &'b [u8]) -> Option<Self> {
        let is_little = match block.first_chunk()? {
            b"II*\0" => true,
            b"MM\0*" => false,
            _ => return None,
        };
        Some(Self { block, is_little })
    }

    fn orientation(self) -> Option<u16> {
        let directory = self.directory(self.long(4)? as usize)?;
        self.only_short(directory, ORIENTATION)
    }

    /// Returns the value of an entry that is a single SHORT.
    fn only_short(self, directory: Directory, tag: u16) -> Option<u16> {
        let entry = self.find(directory, tag)?;
        let is_short = self.short(entry + 2)? == SHORT && self.long(entry + 4)? == 1;
        self.short(entry + 8).filter(|_| is_short)
    }

    /// Returns the offset of the first entry with this tag.
    fn find(self, directory: Directory, tag: u16) -> Option<usize> {
        let mut entries = (0..directory.count).map(|index| directory.entry(index));
        entries.find(|entry| self.short(*entry) == Some(tag))
    }

    /// Reads the directory at `at`, with the entries that are in bounds; `None` if `at` is not.
    fn directory(self, at: usize) -> Option<Directory> {
        let count = usize::from(self.short(at)?);
        let room = (self.block.len() - at - 2) / ENTRY;
        let count = count.min(room);
        Some(Directory { at, count })
    }

    /// Returns the directories of the image, of its thumbnail, and those of EXIF; `None` if the first is
    /// missing, or there are too many.
    fn directories(self) -> Option<Vec<Directory>> {
        let mut found: Vec<Directory> = Vec::new();
        let mut offsets = vec![self.long(4)? as usize];
        while let Some(at) = offsets.pop() {
            let is_known = found.iter().any(|known| known.at == at);
            if is_known || at == 0 && !found.is_empty() {
                continue;
            }
            let directory = match self.directory(at) {
                Some(directory) if found.len() < MAX_DIRECTORIES => directory,
                None if !found.is_empty() => continue,
                _ => return None,
            };
            found.push(directory);
            let next = self.long(directory.entry(directory.count));
            let exif = self.find(directory, EXIF);
            let exif = exif.and_then(|entry| self.long(entry + 8));
            offsets.extend([next, exif].into_iter().flatten().map(|at| at as usize));
        }
        Some(found)
    }

    /// Returns the range of an entry's value, clamped to the block; empty if the value is in the entry
    /// itself.
    fn value(self, entry: usize) -> Option<Range<usize>> {
        let unit: usize = match self.short(entry + 2)? {
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => 1,
        };
        let size = unit.saturating_mul(self.long(entry + 4)? as usize);
        if size <= 4 {
            return Some(0..0);
        }
        let at = self.long(entry + 8)? as usize;
        Some(self.clamped(at..at.saturating_add(size)))
    }

    /// Returns the part of a range that is in bounds.
    fn clamped(self, range: Range<usize>) -> Range<usize> {
        let len = self.block.len();
        range.start.min(len)..range.end.min(len)
    }

    /// Returns a new block with only the orientation and the colour space.
    fn minimal(self) -> Vec<u8> {
        let orientation = self.orientation().filter(|it| (1..=8).contains(it));
        let exif = self.exif();
        let color_space = exif.and_then(|exif| self.only_short(exif, COLOR_SPACE));
        let mut entries = Vec::new();
        entries.extend(orientation.map(|it| self.short_entry(ORIENTATION, it)));
        if entries.is_empty() && color_space.is_none() {
            // A directory needs an entry. This one is the default: inches.
            entries.push(self.short_entry(RESOLUTION_UNIT, 2));
        }
        let count = entries.len() + usize::from(color_space.is_some());
        let end = Directory { at: HEADER, count }.range().end;
        if color_space.is_some() {
            entries.push(self.entry(EXIF, LONG, 1, self.long_bytes(end as u32)));
        }
        let magic = self.block.get(..4).unwrap_or_default();
        let mut rebuilt = [magic, &self.long_bytes(HEADER as u32)].concat();
        rebuilt.extend(self.directory_bytes(&entries));
        if let Some(color_space) = color_space {
            let mut entries = vec![self.short_entry(COLOR_SPACE, color_space)];
            let index = exif.and_then(|exif| self.interoperability(exif));
            let next = Directory { at: end, count: 2 }.range().end;
            if index.is_some() {
                entries.push(self.entry(INTEROPERABILITY, LONG, 1, self.long_bytes(next as u32)));
            }
            rebuilt.extend(self.directory_bytes(&entries));
            if let Some(index) = index {
                let entry = self.entry(INTEROPERABILITY_INDEX, ASCII, 4, index);
                rebuilt.extend(self.directory_bytes(&[entry]));
            }
        }
        rebuilt
    }

    /// Returns the EXIF directory of the image.
    fn exif(self) -> Option<Directory> {
        let directory = self.directory(self.long(4)? as usize)?;
        let exif = self.long(self.find(directory, EXIF)? + 8)?;
        self.directory(exif as usize)
    }

    /// Returns the interoperability index, if it identifies the colour space.
    fn interoperability(self, exif: Directory) -> Option<[u8; 4]> {
        let at = self.long(self.find(exif, INTEROPERABILITY)? + 8)?;
        let directory = self.directory(at as usize)?;
        let entry = self.find(directory, INTEROPERABILITY_INDEX)?;
        let is_text = self.short(entry + 2)? == ASCII && self.long(entry + 4)? == 4;
        let index = array(self.block, entry + 8)?;
        (is_text && matches!(&index, b"R98\0" | b"R03\0")).then_some(index)
    }

    fn directory_bytes(self, entries: &[[u8; ENTRY]]) -> Vec<u8> {
        let count = self.short_bytes(entries.len() as u16);
        [&count[..], &entries.concat(), &[0; 4]].concat()
    }

    /// Encodes an entry, with a value of four bytes or its offset.
    fn entry(self, tag: u16, kind: u16, count: u32, value: [u8; 4]) -> [u8; ENTRY] {
        let ([a, b], [c, d]) = (self.short_bytes(tag), self.short_bytes(kind));
        let ([e, f, g, h], [i, j, k, l]) = (self.long_bytes(count), value);
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }

    /// Encodes an entry that is a single SHORT.
    fn short_entry(self, tag: u16, short: u16) -> [u8; ENTRY] {
        let [a, b] = self.short_bytes(short);
        self.entry(tag, SHORT, 1, [a, b, 0, 0])
    }

    /// Converts between the byte order of the block and network order.
    fn ordered<const N: usize>(self, mut bytes: [u8; N]) -> [u8; N] {
        if self.is_little {
            bytes.reverse();
        }
        bytes
    }

    fn short_bytes(self, short: u16) -> [u8; 2] {
        self.ordered(short.to_be_bytes())
    }

    fn long_bytes(self, long: u32) -> [u8; 4] {
        self.ordered(long.to_be_bytes())
    }

    fn short(self, at: usize) -> Option<u16> {
        let bytes = array(self.block, at)?;
        Some(u16::from_be_bytes(self.ordered(bytes)))
    }

    fn long(self, at: usize) -> Option<u32> {
        let bytes = array(self.block, at)?;
        Some(u32::from_be_bytes(self.ordered(bytes)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::tests::finds, *};

    /// Consecutive directories, from offset 8 on: entries of tag, type, count and value.
    pub(in super::super) fn block(
        is_little: bool,
        directories: &[&[(u16, u16, u32, u32)]],
        data: &[u8],
    ) -> Vec<u8> {
        let magic: &[u8] = if is_little { b"II*\0" } else { b"MM\0*" };
        let tiff = Tiff {
            block: &[],
            is_little,
        };
        let mut block = [magic, &tiff.long_bytes(8)].concat();
        for directory in directories {
            let entries = directory
                .iter()
                .map(|&(tag, kind, count, value)| match (kind, count) {
                    (SHORT, 1) => tiff.short_entry(tag, value as u16),
                    _ => tiff.entry(tag, kind, count, tiff.long_bytes(value)),
                });
            block.extend(tiff.directory_bytes(&entries.collect::<Vec<_>>()));
        }
        [&block, data].concat()
    }

    const LATITUDE: &[u8] = b"\0\0\0\x2F\0\0\0\x01\0\0\0\x0D\0\0\0\x01\0\0\0\x26\0\0\0\x01";

    /// A photo's block: orientation 6, a maker, a GPS directory with a latitude, an EXIF directory.
    /// The value of the latitude and the name of the maker follow the directories.
    fn photo(is_little: bool) -> Vec<u8> {
        // 8 + (2 + 4 × 12 + 4) = 62, + (2 + 2 × 12 + 4) = 92, + (2 + 12 + 4) = 110.
        let directories: [&[_]; 3] = [
            &[
                (0x010F, 2, 6, 110 + 24),
                (ORIENTATION, SHORT, 1, 6),
                (EXIF, LONG, 1, 92),
                (GPS, LONG, 1, 62),
            ],
            &[(1, 2, 2, 0x4E00_0000), (2, 5, 3, 110)],
            &[(COLOR_SPACE, SHORT, 1, 1)],
        ];
        block(is_little, &directories, &[LATITUDE, b"Maker\0"].concat())
    }

    #[track_caller]
    fn cleaned(block: &[u8], strip: Strip) -> Vec<u8> {
        let cleaned = clean(block, strip).expect("something to remove");
        assert_eq!(cleaned.len(), block.len());
        assert_eq!(clean(&cleaned, strip), None, "not idempotent");
        cleaned
    }

    #[test]
    fn the_gps_directory_and_its_values_go() {
        for is_little in [true, false] {
            let before = photo(is_little);
            let after = cleaned(&before, Strip::Location);
            let tiff = Tiff::new(&after).expect("a block");
            let directory = tiff.directory(8).expect("a directory");
            assert_eq!(directory.count, 3);
            assert_eq!(tiff.find(directory, GPS), None);
            assert_eq!(tiff.orientation(), Some(6));
            assert_eq!(tiff.long(directory.entry(3)), Some(0), "no next directory");
            assert_eq!(after[46..92], [0; 46], "the last entry and the directory");
            assert_eq!(after[92..110], before[92..110]);
            assert_eq!(after[110..], *[&[0; 24], &b"Maker\0"[..]].concat());
        }
    }

    #[test]
    fn what_says_how_to_show_it_is_all_that_stays_of_a_device() {
        for is_little in [true, false] {
            let after = cleaned(&photo(is_little), Strip::Device);
            let tiff = Tiff::new(&after).expect("a block");
            let exif = tiff.find(tiff.directory(8).expect("a directory"), EXIF);
            let exif = tiff.long(exif.expect("an entry") + 8).expect("an offset");
            let exif = tiff.directory(exif as usize).expect("a directory");
            assert_eq!(tiff.orientation(), Some(6));
            assert_eq!(tiff.only_short(exif, COLOR_SPACE), Some(1));
            assert!(after[56..].iter().all(|byte| *byte == 0));
        }
        let plain = block(true, &[&[(0x010F, 2, 4, 0x41)]], &[]);
        let inches = block(true, &[&[(RESOLUTION_UNIT, SHORT, 1, 2)]], &[]);
        assert_eq!(cleaned(&plain, Strip::Device), inches);
    }

    #[test]
    fn packets_and_records_in_a_block() {
        let packet: &[u8] = br#"<a exif:GPSLatitude="1"/>"#;
        let city = [0x1C, 2, 90, 0, 2, b'R', b'm'];
        let title = [0x1C, 2, 5, 0, 2, b'R', b'm'];
        let cleaned: &[u8] = b"<a                     />";
        for (case, tag, value, after) in [
            ("a packet", XMP, packet, Some(cleaned)),
            ("a record", IPTC, &city, Some(&[0; 7])),
            ("a record without a place", IPTC, &title, None),
        ] {
            let len = u32::try_from(value.len()).expect("a length");
            let before = block(true, &[&[(tag, 1, len, 26)]], value);
            let found = clean(&before, Strip::Location);
            let value = found.as_ref().map(|found| &found[26..]);
            assert_eq!(value, after, "{case}");
        }
    }

    #[test]
    fn blocks_within_blocks_are_opened_once() {
        let within = |inner: &[u8]| {
            let len = u32::try_from(inner.len()).expect("a length");
            let resources = [b"8BIM\x04\x22\0\0", &len.to_be_bytes()[..], inner].concat();
            block(true, &[&[(PHOTOSHOP, 1, len + 12, 26)]], &resources)
        };
        let orientation = block(true, &[&[(ORIENTATION, SHORT, 1, 6)]], &[]);
        for inner in [&orientation[..], &[], &[0; 40]] {
            assert_eq!(clean(&within(inner), Strip::Location), None);
        }
        let once = within(&orientation);
        let mut nested = within(&once);
        for _ in 0..4000 {
            nested = within(&nested);
        }
        let after = clean(&nested, Strip::Location).expect("no end of it");
        assert!(after.iter().skip(26).all(|byte| *byte == 0));
    }

    #[test]
    fn blocks_that_deceive() {
        let orientation = (ORIENTATION, SHORT, 1, 8);
        let gps = |at| block(true, &[&[orientation, (GPS, LONG, 1, at)]], &[0xFF; 40]);
        // Inserts a directory of these bytes.
        let with = |directory: &[u8]| {
            let mut block = gps(38);
            let end = (38 + directory.len()).min(78);
            block.splice(38..end, directory.iter().copied());
            block
        };
        let rebuilt = |len| {
            let mut kept = block(true, &[&[orientation]], &[]);
            kept.resize(len, 0);
            kept
        };
        let over_a_directory = with(b"\x01\0\x02\0\x05\0\x03\0\0\0\x0A\0\0\0");
        for (case, before, after) in [
            ("a directory over the first", gps(8), rebuilt(78)),
            ("one over a part of it", gps(18), rebuilt(78)),
            ("0xFFFF entries", with(&[0xFF; 40 + 840]), rebuilt(78 + 840)),
            ("a value over a directory", over_a_directory, rebuilt(78)),
            ("no block", b"JJ*\0".repeat(8), vec![0; 32]),
            ("its header", b"II*\0\xFF\0\0\0".to_vec(), vec![0; 8]),
        ] {
            let found = cleaned(&before, Strip::Location);
            assert_eq!(found, after, "{case}");
        }
        let mut cyclic = block(true, &[&[(1, 3, 1, 1)]], &[]);
        cyclic[22] = 8;
        let version = with(b"\x01\0\0\0\x01\0\x04\0\0\0\x02\x03\0\0");
        for (case, before) in [
            ("a directory that is its own next", cyclic),
            ("zeros", vec![0; 40]),
            ("a version alone", version),
        ] {
            assert_eq!(clean(&before, Strip::Location), None, "{case}");
        }
        let outside = cleaned(&gps(0xFFFF), Strip::Location);
        assert_eq!(outside[8..10], [1, 0], "an offset outside of the block");
    }

    #[test]
    fn what_tells_adobe_rgb_stays_without_the_device() {
        for is_little in [true, false] {
            let block_order = Tiff {
                block: &[],
                is_little,
            };
            let order = |text| u32::from_be_bytes(block_order.ordered(text));
            // A model, then EXIF with its colour space, then its interoperability.
            let (exif, interop) = (8 + 2 + 2 * 12 + 4, 8 + 2 + 2 * 12 + 4 + 2 + 2 * 12 + 4);
            let with_index = |index: [u8; 4]| {
                let directories: [&[_]; 3] = [
                    &[(0x0110, 2, 4, order(*b"Mod\0")), (EXIF, 4, 1, exif)],
                    &[
                        (COLOR_SPACE, 3, 1, 0xFFFF),
                        (INTEROPERABILITY, 4, 1, interop),
                    ],
                    &[(INTEROPERABILITY_INDEX, 2, 4, order(index))],
                ];
                block(is_little, &directories, &[])
            };
            let cleaned = clean(&with_index(*b"R03\0"), Strip::Device).expect("a model is removed");
            assert!(finds(&cleaned, b"R03\0") && !finds(&cleaned, b"Mod"));
            let tiff = Tiff::new(&cleaned).expect("a block");
            let exif = tiff.exif().expect("a directory");
            assert_eq!(tiff.only_short(exif, COLOR_SPACE), Some(0xFFFF));
            assert_eq!(tiff.interoperability(exif), Some(*b"R03\0"));
            assert_eq!(clean(&cleaned, Strip::Device), None);
            let other = clean(&with_index(*b"Joe\0"), Strip::Device).expect("a name is removed");
            assert!(!finds(&other, b"Joe"));
        }
    }
}
