//! `Watch`: what only the whole file can tell, judged while it passes.

use std::fmt;

use bytes::Bytes;
use memchr::memmem;

use super::HEAD_BYTES;
use super::archive::{LOCAL_HEADER, LOCAL_NAME_AT, LOCAL_NAME_BYTES_AT};
use super::compound::InstallerWatch;
use super::field::le16;
use super::format::Format;
use super::refusal::Refused;
use super::text::TextWatch;
use super::walk::{Edit, Report, Strip, Walker};

/// Is fed every chunk of a file in order, its head included. It refuses a document that turns out to
/// be something else, and walks through images, sounds and videos.
pub struct Watch(Inner);

enum Inner {
    Nothing,
    Walk(Walker),
    Text(Box<TextWatch>),
    Zip(ProgramWatch),
    Compound(InstallerWatch),
}

impl Watch {
    pub(super) fn new(format: Format, head: &[u8], strip: Strip) -> Self {
        Self(match format {
            Format::Text => Inner::Text(Box::new(TextWatch::new(head))),
            Format::Zip | Format::Docx | Format::Xlsx | Format::Pptx => {
                Inner::Zip(ProgramWatch::new())
            }
            Format::Doc | Format::Xls | Format::Ppt => {
                InstallerWatch::new(head).map_or(Inner::Nothing, Inner::Compound)
            }
            _ => Walker::new(format, strip).map_or(Inner::Nothing, Inner::Walk),
        })
    }

    /// Takes the next chunk, and adds to `edits` what is to be overwritten of it, or of up to
    /// [`REACH`](super::REACH) bytes before it.
    ///
    /// # Errors
    /// [`Refused`] when the file is not what its head promised; nothing more need be fed then.
    pub fn see(&mut self, chunk: &Bytes, edits: &mut Vec<Edit>) -> Result<(), Refused> {
        match &mut self.0 {
            Inner::Nothing => Ok(()),
            Inner::Walk(walker) => {
                walker.see(chunk, edits);
                Ok(())
            }
            Inner::Text(text) => text.see(chunk),
            Inner::Zip(zip) => zip.see(chunk),
            Inner::Compound(compound) => compound.see(chunk),
        }
    }

    /// Says that the last chunk was seen, when the file is whole. The last edits are of up to
    /// [`REACH`](super::REACH) bytes before its end.
    ///
    /// # Errors
    /// [`Refused`] when the file ends where one of its kind cannot end.
    pub fn end(self, edits: &mut Vec<Edit>) -> Result<Report, Refused> {
        match self.0 {
            Inner::Text(mut text) => text.end().map(|()| Report::default()),
            Inner::Walk(walker) => Ok(walker.end(edits)),
            Inner::Nothing | Inner::Zip(_) | Inner::Compound(_) => Ok(Report::default()),
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Inner::Nothing => "Watch(nothing)",
            Inner::Walk(_) => "Watch(walk)",
            Inner::Text(_) => "Watch(text)",
            Inner::Zip(_) => "Watch(zip)",
            Inner::Compound(_) => "Watch(compound)",
        })
    }
}

/// Judges the head by a watch of its own, so that what it can tell is told before a byte is stored.
pub(super) fn replay(format: Format, head: &[u8]) -> Result<(), Refused> {
    match Watch::new(format, head, Strip::Off).0 {
        Inner::Nothing | Inner::Walk(_) => Ok(()),
        Inner::Text(mut text) => {
            text.see(head)?;
            if head.len() < HEAD_BYTES {
                text.end()
            } else {
                Ok(())
            }
        }
        Inner::Zip(mut zip) => zip.see(head),
        Inner::Compound(mut compound) => compound.see(head),
    }
}

/// Looks for the entries that make a zip a program, by their headers: in their place or in the
/// directory at the end. An archive stored uncompressed inside another is found as well.
struct ProgramWatch {
    /// The last bytes seen, too few for a header with a name: it may go on in the next chunk.
    tail: Vec<u8>,
}

/// How an entry is listed at the end of the file (APPNOTE 4.3.12).
const CENTRAL_HEADER: &[u8; 4] = b"PK\x01\x02";
const CENTRAL_NAME_AT: usize = 46;
const CENTRAL_NAME_BYTES_AT: usize = 28;

const PROGRAM_ENTRIES: [(&[u8], Refused); 3] = [
    (b"AndroidManifest.xml", Refused { looks_like: "APK" }),
    (b"classes.dex", Refused { looks_like: "APK" }),
    (LONGEST_NAME, Refused { looks_like: "JAR" }),
];
const LONGEST_NAME: &[u8] = b"META-INF/MANIFEST.MF";
const TAIL: usize = CENTRAL_NAME_AT + LONGEST_NAME.len() - 1;

impl ProgramWatch {
    fn new() -> Self {
        Self {
            tail: Vec::with_capacity(2 * TAIL),
        }
    }

    fn see(&mut self, chunk: &[u8]) -> Result<(), Refused> {
        let border = chunk
            .first_chunk::<TAIL>()
            .map_or(chunk, <[u8; TAIL]>::as_slice);
        self.tail.extend_from_slice(border);
        search(&self.tail)?;
        search(chunk)?;
        if let Some(end) = chunk.last_chunk::<TAIL>() {
            self.tail.clear();
            self.tail.extend_from_slice(end);
        }
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        Ok(())
    }
}

/// Refuses bytes in which the whole header of a program's entry stands.
fn search(bytes: &[u8]) -> Result<(), Refused> {
    let headers = memmem::find_iter(bytes, b"PK").filter_map(|at| bytes.get(at..));
    let mut refusals = headers.filter_map(program_entry);
    refusals.next().map_or(Ok(()), Err)
}

fn program_entry(header: &[u8]) -> Option<Refused> {
    let (name_at, name_bytes_at) = match header.first_chunk()? {
        LOCAL_HEADER => (LOCAL_NAME_AT, LOCAL_NAME_BYTES_AT),
        CENTRAL_HEADER => (CENTRAL_NAME_AT, CENTRAL_NAME_BYTES_AT),
        _ => return None,
    };
    let name = header.get(name_at..name_at + usize::from(le16(header, name_bytes_at)?))?;
    // Java finds its manifest in any case of letters.
    PROGRAM_ENTRIES
        .into_iter()
        .find(|(entry, _)| name.eq_ignore_ascii_case(entry))
        .map(|(_, refused)| refused)
}
