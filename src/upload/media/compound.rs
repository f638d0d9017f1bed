//! Compound files ([MS-CFB]): DOC, XLS and PPT, password-protected office files, and Windows
//! installers.
//!
//! The directory lists the contents, and is mostly near the end: LibreOffice and WPS write it
//! last. [`CompoundWatch`] reads it as it passes.

use super::field::{le16, le32};
use super::format::Format;
use super::refusal::Refused;

const SIGNATURE: &[u8; 8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";
const HEADER: u64 = 512;
const ENTRY: usize = 128;

/// Reads the entries of a compound file's directory as they pass, from the file's first byte on.
pub(super) struct CompoundWatch {
    claimed: String,
    directory_at: u64,
    head_bytes: u64,
    seen: u64,
    /// The current entry.
    entry: [u8; ENTRY],
    found: Vec<Format>,
}

impl CompoundWatch {
    /// Returns `None` if the head is not that of a compound file.
    pub(super) fn new(head: &[u8], claimed: &str) -> Option<Self> {
        Some(Self {
            claimed: claimed.to_owned(),
            directory_at: directory_at(head)?,
            head_bytes: head.len() as u64,
            seen: 0,
            entry: [0; ENTRY],
            found: Vec::new(),
        })
    }

    pub(super) fn see(&mut self, mut chunk: &[u8]) -> Result<(), Refused> {
        while !chunk.is_empty() {
            let offset = (self.seen % ENTRY as u64) as usize;
            let (piece, rest) = chunk.split_at(chunk.len().min(ENTRY - offset));
            if let Some(passing) = self.entry.get_mut(offset..offset + piece.len()) {
                passing.copy_from_slice(piece);
            }
            self.seen += piece.len() as u64;
            if self.seen.is_multiple_of(ENTRY as u64) {
                self.see_entry()?;
            }
            chunk = rest;
        }
        Ok(())
    }

    /// Examines 128 bytes at every place where an entry may be: the directory is a chain of sectors, and
    /// the table that links them may not have passed yet.
    fn see_entry(&mut self) -> Result<(), Refused> {
        // Bounds the memory for a file of any size.
        const MOST_FOUND: usize = 64;
        let at = self.seen - ENTRY as u64;
        if at == self.directory_at && is_installer(&self.entry) {
            return Err(Refused::new("Windows installer"));
        }
        if at >= HEADER
            && self.found.len() < MOST_FOUND
            && let Some(format) = main_stream(&self.entry)
        {
            self.found.push(format);
        }
        Ok(())
    }

    /// Returns the format by the streams seen so far. An embedded document has streams, too, so several
    /// may be found.
    pub(super) fn found(&self) -> Option<Format> {
        let by_name = self.by_name().filter(|it| self.found.contains(it));
        by_name.or(self.found.first().copied())
    }

    /// Returns the format, if the directory begins within the head and the head has passed.
    pub(super) fn found_in_head(&self) -> Option<Format> {
        let has_passed = self.directory_at < self.head_bytes && self.seen >= self.head_bytes;
        has_passed.then(|| self.found()).flatten()
    }

    /// Returns the format of the client's extension.
    pub(super) fn by_name(&self) -> Option<Format> {
        [Format::Doc, Format::Xls, Format::Ppt, Format::Encrypted]
            .into_iter()
            .find(|format| format.fits(&self.claimed))
    }
}

/// Returns the offset of the directory, if the head is that of a compound file.
fn directory_at(head: &[u8]) -> Option<u64> {
    const LITTLE_ENDIAN: u16 = 0xFFFE;
    let header = head
        .get(..HEADER as usize)
        .filter(|header| header.starts_with(SIGNATURE))?;
    let (version, order, shift) = (le16(header, 26)?, le16(header, 28)?, le16(header, 30)?);
    let is_sane = matches!((version, shift), (3, 9) | (4, 12)) && order == LITTLE_ENDIAN;
    let sector = u64::from(le32(header, 48)?);
    is_sane.then(|| (sector + 1) << shift)
}

/// Returns the format whose main stream this directory entry is, if any ([MS-CFB] 2.6.1).
fn main_stream(entry: &[u8]) -> Option<Format> {
    const STREAM: u8 = 2;
    const NAMES: [(&str, Format); 5] = [
        ("WordDocument", Format::Doc),
        ("Workbook", Format::Xls),
        ("Book", Format::Xls),
        ("PowerPoint Document", Format::Ppt),
        ("EncryptedPackage", Format::Encrypted),
    ];
    if *entry.get(66)? != STREAM {
        return None;
    }
    // UTF-16 with a terminating zero.
    let name_bytes = usize::from(le16(entry, 64)?).checked_sub(2)?;
    let name = entry.get(..name_bytes.min(64))?;
    let is_it = |text: &str| {
        let wanted = text.encode_utf16().flat_map(u16::to_le_bytes);
        name.iter().copied().eq(wanted)
    };
    let mut names = NAMES.into_iter();
    names.find_map(|(text, format)| is_it(text).then_some(format))
}

/// Returns whether the root entry has the class {000C1084-0000-0000-C000-000000000046} of .msi, or 1082
/// or 1086 of transforms and patches.
fn is_installer(root: &[u8; ENTRY]) -> bool {
    const CLASS: usize = 80;
    const REST: [u8; 15] = [0x10, 0x0C, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46];
    let class = root.get(CLASS..).and_then(<[u8]>::split_first);
    class
        .is_some_and(|(first, rest)| matches!(first, 0x82 | 0x84 | 0x86) && rest.starts_with(&REST))
}
