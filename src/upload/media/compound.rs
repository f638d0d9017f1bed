//! The compound file ([MS-CFB]) that DOC, XLS and PPT are, and Windows installers too.
//!
//! What a compound file holds is said by its directory, which mostly stands near the end. When the
//! head does not reach it, the client's extension decides among the three, and [`InstallerWatch`]
//! still looks at the directory when it passes.

use super::field::{le16, le32};
use super::format::Format;
use super::refusal::Refused;

const SIGNATURE: &[u8; 8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";
const HEADER: usize = 512;
const ENTRY: usize = 128;

pub(super) fn detect(head: &[u8], claimed: &str) -> Option<Format> {
    directory_at(head)?;
    let wanted = match claimed {
        "doc" => Some(Format::Doc),
        "xls" => Some(Format::Xls),
        "ppt" => Some(Format::Ppt),
        _ => None,
    };
    let found: Vec<Format> = head
        .get(HEADER..)?
        .chunks_exact(ENTRY)
        .filter_map(main_stream)
        .collect();
    match wanted {
        // A document embedded in another brings its stream along, so several may be found.
        Some(format) if found.is_empty() || found.contains(&format) => wanted,
        _ => found.first().copied(),
    }
}

/// Where the directory begins, when the head is that of a compound file.
fn directory_at(head: &[u8]) -> Option<u64> {
    const LITTLE_ENDIAN: u16 = 0xFFFE;
    let header = head
        .get(..HEADER)
        .filter(|header| header.starts_with(SIGNATURE))?;
    let (version, order, shift) = (le16(header, 26)?, le16(header, 28)?, le16(header, 30)?);
    let is_sane = matches!((version, shift), (3, 9) | (4, 12)) && order == LITTLE_ENDIAN;
    let sector = u64::from(le32(header, 48)?);
    is_sane.then(|| (sector + 1) << shift)
}

/// The format whose main stream this directory entry is, if it is one ([MS-CFB] 2.6.1).
fn main_stream(entry: &[u8]) -> Option<Format> {
    const STREAM: u8 = 2;
    if *entry.get(66)? != STREAM {
        return None;
    }
    // UTF-16 with its closing zero.
    let name_bytes = usize::from(le16(entry, 64)?).checked_sub(2)?;
    let name = entry.get(..name_bytes.min(64))?;
    let is = |text: &str| {
        name.iter()
            .copied()
            .eq(text.encode_utf16().flat_map(u16::to_le_bytes))
    };
    if is("WordDocument") {
        Some(Format::Doc)
    } else if is("Workbook") || is("Book") {
        Some(Format::Xls)
    } else if is("PowerPoint Document") {
        Some(Format::Ppt)
    } else {
        None
    }
}

/// Looks at the class of the root entry as it passes: an installer is a program.
pub(super) struct InstallerWatch {
    /// Offset in the file of the class id: 80 bytes into the root entry.
    class_at: u64,
    class: [u8; 16],
    seen: u64,
}

impl InstallerWatch {
    pub(super) fn new(head: &[u8]) -> Option<Self> {
        const CLASS: u64 = 80;
        let class_at = directory_at(head)? + CLASS;
        Some(Self {
            class_at,
            class: [0; 16],
            seen: 0,
        })
    }

    pub(super) fn see(&mut self, chunk: &[u8]) -> Result<(), Refused> {
        let begins = self.seen;
        self.seen += chunk.len() as u64;
        for (index, byte) in self.class.iter_mut().enumerate() {
            let offset = (self.class_at + index as u64).checked_sub(begins);
            if let Some(found) = offset.and_then(|at| chunk.get(usize::try_from(at).ok()?)) {
                *byte = *found;
            }
        }
        if self.is_installer() {
            Err(Refused {
                looks_like: "Windows installer",
            })
        } else {
            Ok(())
        }
    }

    /// {000C1084-0000-0000-C000-000000000046} of .msi, and 1082 and 1086 of transforms and patches.
    fn is_installer(&self) -> bool {
        matches!(
            self.class,
            [
                0x82 | 0x84 | 0x86,
                0x10,
                0x0C,
                0,
                0,
                0,
                0,
                0,
                0xC0,
                0,
                0,
                0,
                0,
                0,
                0,
                0x46
            ]
        )
    }
}
