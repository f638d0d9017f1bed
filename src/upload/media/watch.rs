//! `Watch`: examines a file as its chunks arrive.

use std::fmt;

use bytes::Bytes;

use super::{
    HEAD_BYTES, Kind, Media, Rules,
    archive::ProgramWatch,
    audio::{self, Found},
    compound::CompoundWatch,
    format::Format,
    refusal::{DAMAGED_MP3, Refused},
    walk::{Edit, Geo, Report, Walker},
};

/// Examines a file chunk by chunk, head included: detects its type, refuses disguised programs, and walks
/// through images, audio and video.
pub struct Watch {
    rules: Rules,
    claimed: String,
    /// `None` until the deciding bytes have passed.
    media: Option<Media>,
    inner: Inner,
}

enum Inner {
    Nothing,
    Walk(Walker),
    Zip(ProgramWatch),
    Compound(Box<CompoundWatch>),
    Audio(HeldAudio),
}

/// Audio whose first frame follows a tag longer than the head.
struct HeldAudio {
    /// Offset of the expected first frame.
    at: u64,
    /// Every chunk so far: the walk begins at the first byte. The store holds these chunks, too.
    chunks: Vec<Bytes>,
    seen: u64,
}

impl Watch {
    /// Watches a file whose format was detected by its head.
    pub(super) fn new(
        format: Format,
        head: &[u8],
        claimed: &str,
        rules: Rules,
    ) -> Result<Self, Refused> {
        let inner = match format {
            Format::Zip | Format::Docx | Format::Xlsx | Format::Pptx => {
                match ProgramWatch::new(head) {
                    Ok(zip) => Inner::Zip(zip),
                    Err(refused) => return Self::tolerated(refused, claimed, rules),
                }
            }
            _ => Walker::new(format, rules.strip).map_or(Inner::Nothing, Inner::Walk),
        };
        let mut watch = Self::undecided(inner, claimed, rules);
        watch.set_media(format.media(claimed))?;
        Ok(watch)
    }

    /// Watches a compound file, whose type depends on its directory.
    pub(super) fn compound(compound: CompoundWatch, claimed: &str, rules: Rules) -> Self {
        Self::undecided(Inner::Compound(Box::new(compound)), claimed, rules)
    }

    /// Watches audio whose first frame is expected at `at`.
    pub(super) fn audio_at(at: u64, claimed: &str, rules: Rules) -> Self {
        let audio = HeldAudio {
            at,
            chunks: Vec::new(),
            seen: 0,
        };
        Self::undecided(Inner::Audio(audio), claimed, rules)
    }

    /// Passes a refused file through if [`Kind::File`] is accepted.
    pub(super) fn tolerated(
        refused: Refused,
        claimed: &str,
        rules: Rules,
    ) -> Result<Self, Refused> {
        let mut watch = Self::undecided(Inner::Nothing, claimed, rules);
        watch.tolerate(refused)?;
        Ok(watch)
    }

    fn undecided(inner: Inner, claimed: &str, rules: Rules) -> Self {
        Self {
            rules,
            claimed: claimed.to_owned(),
            media: None,
            inner,
        }
    }

    /// Takes the next chunk, and adds to `edits` the bytes to overwrite in it, or in the
    /// [`REACH`](super::REACH) bytes before it.
    ///
    /// # Errors
    /// [`Refused`] if the file contradicts its head; no further chunks are needed then.
    pub fn see(&mut self, chunk: &Bytes, edits: &mut Vec<Edit>) -> Result<(), Refused> {
        match &mut self.inner {
            Inner::Nothing => {}
            Inner::Walk(walker) => walker.see(chunk, edits),
            Inner::Zip(zip) => zip.see(chunk),
            Inner::Audio(audio) => {
                if let Some(format) = audio.see(chunk)? {
                    self.walk_as(format, edits)?;
                }
            }
            Inner::Compound(compound) => match (compound.see(chunk), compound.found_in_head()) {
                (Err(refused), _) => self.tolerate(refused)?,
                (Ok(()), Some(format)) if self.media.is_none() => self.set_format(format)?,
                (Ok(()), _) => {}
            },
        }
        Ok(())
    }

    /// Returns the type of the file, once it is known.
    pub fn media(&self) -> Option<Media> {
        self.media
    }

    /// Decides an unknown type by the file name, since no more chunks can be held.
    ///
    /// # Errors
    /// [`Refused`] if its kind is not accepted.
    pub fn decide(&mut self, edits: &mut Vec<Edit>) -> Result<Media, Refused> {
        if self.media.is_none() {
            match &self.inner {
                Inner::Compound(compound) => {
                    let format = compound.by_name().unwrap_or(Format::Doc);
                    self.set_format(format)?;
                }
                Inner::Audio(_) => {
                    let by_name = [Format::Flac, Format::Aac]
                        .into_iter()
                        .find(|format| format.fits(&self.claimed));
                    self.walk_as(by_name.unwrap_or(Format::Mp3), edits)?;
                }
                Inner::Nothing | Inner::Walk(_) | Inner::Zip(_) => {}
            }
        }
        Ok(self.media.unwrap_or_else(|| Media::unknown(&self.claimed)))
    }

    /// Returns how many of the next bytes may be skipped; `None` if no few further bytes
    /// can add facts.
    pub fn skips(&self) -> Option<u64> {
        match &self.inner {
            Inner::Walk(walker) => walker.skips(),
            Inner::Nothing | Inner::Zip(_) | Inner::Compound(_) | Inner::Audio(_) => None,
        }
    }

    /// Skips bytes, at most as many as [`Watch::skips`] allows.
    pub fn leave_out(&mut self, bytes: u64, edits: &mut Vec<Edit>) {
        if let Inner::Walk(walker) = &mut self.inner {
            walker.leave_out(bytes, edits);
        }
    }

    /// Finishes before the end of the file. Facts that the rest could change are omitted.
    ///
    /// # Errors
    /// [`Refused`] if its kind is not accepted.
    pub fn end_early(mut self, edits: &mut Vec<Edit>) -> Result<(Media, Report), Refused> {
        let media = self.decide(edits)?;
        let mut report = Report::default();
        if let Inner::Walk(walker) = std::mem::replace(&mut self.inner, Inner::Nothing) {
            let is_done = walker.skips().is_none();
            report = walker.end(edits);
            if !is_done {
                report.facts.duration_ms = None;
                report.geo = Geo::Kept;
            }
        }
        self.accept(report.facts.kind.unwrap_or(media.kind), &media.extension)?;
        Ok((media, report))
    }

    /// Finishes after the last chunk. The last edits are in the [`REACH`](super::REACH) bytes before the
    /// end of the file.
    ///
    /// # Errors
    /// [`Refused`] if the file as a whole is not accepted.
    pub fn end(mut self, edits: &mut Vec<Edit>) -> Result<(Media, Report), Refused> {
        if let Inner::Audio(audio) = &mut self.inner {
            let format = audio.end()?;
            self.walk_as(format, edits)?;
        }
        let mut report = Report::default();
        match std::mem::replace(&mut self.inner, Inner::Nothing) {
            Inner::Nothing => {}
            Inner::Walk(walker) => report = walker.end(edits),
            Inner::Zip(zip) => {
                if let Err(refused) = zip.end() {
                    self.tolerate(refused)?;
                }
            }
            Inner::Compound(compound) if self.media.is_none() => {
                match compound.found().or(compound.by_name()) {
                    Some(format) => self.set_format(format)?,
                    None => self.tolerate(Refused::new("OLE file"))?,
                }
            }
            Inner::Compound(_) | Inner::Audio(_) => {}
        }
        let media = self.decide(edits)?;
        // Some containers show only at their end that they contain no video.
        self.accept(report.facts.kind.unwrap_or(media.kind), &media.extension)?;
        Ok((media, report))
    }

    /// Continues with audio of this format, and walks through the held chunks.
    fn walk_as(&mut self, format: Format, edits: &mut Vec<Edit>) -> Result<(), Refused> {
        self.set_format(format)?;
        let next = Walker::new(format, self.rules.strip).map_or(Inner::Nothing, Inner::Walk);
        if let Inner::Audio(audio) = std::mem::replace(&mut self.inner, next) {
            for chunk in &audio.chunks {
                self.see(chunk, edits)?;
            }
        }
        Ok(())
    }

    fn set_format(&mut self, format: Format) -> Result<(), Refused> {
        self.set_media(format.media(&self.claimed))
    }

    fn set_media(&mut self, media: Media) -> Result<(), Refused> {
        self.accept(media.kind, &media.extension)?;
        self.media = Some(media);
        Ok(())
    }

    fn accept(&self, kind: Kind, looks_like: &str) -> Result<(), Refused> {
        if self.rules.kinds.contains(kind) {
            Ok(())
        } else {
            Err(Refused::new(looks_like.to_owned()))
        }
    }

    /// Accepts a refused file as [`Kind::File`], if the operator accepts that kind.
    fn tolerate(&mut self, refused: Refused) -> Result<(), Refused> {
        if !self.rules.kinds.contains(Kind::File) {
            return Err(refused);
        }
        self.inner = Inner::Nothing;
        let unknown = Media::unknown(&self.claimed);
        self.media.get_or_insert(unknown);
        Ok(())
    }
}

impl HeldAudio {
    /// Takes the next chunk; returns the format once it is detected.
    fn see(&mut self, chunk: &Bytes) -> Result<Option<Format>, Refused> {
        self.chunks.push(chunk.clone());
        self.seen += chunk.len() as u64;
        while self.seen >= self.at.saturating_add(HEAD_BYTES as u64) {
            if let found @ Some(_) = self.detect(false)? {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn end(&mut self) -> Result<Format, Refused> {
        loop {
            let is_whole = self.seen < self.at.saturating_add(HEAD_BYTES as u64);
            match self.detect(is_whole)? {
                Some(format) => return Ok(format),
                None if is_whole => return Err(DAMAGED_MP3),
                None => {}
            }
        }
    }

    /// Looks for the first frame in the window, and moves the window on if it is not there.
    fn detect(&mut self, is_whole: bool) -> Result<Option<Format>, Refused> {
        match audio::detect_after_tag(&self.window(), is_whole) {
            Some(Found::Is(format)) => Ok(Some(format)),
            Some(Found::After(distance)) => {
                self.at = self.at.saturating_add(distance.max(1) as u64);
                Ok(None)
            }
            None => Err(DAMAGED_MP3),
        }
    }

    /// Returns up to [`HEAD_BYTES`] from `at` on.
    fn window(&self) -> Vec<u8> {
        let mut skip = usize::try_from(self.at).unwrap_or(usize::MAX);
        let mut window = Vec::with_capacity(HEAD_BYTES);
        for chunk in &self.chunks {
            let rest = chunk.get(skip.min(chunk.len())..).unwrap_or_default();
            skip = skip.saturating_sub(chunk.len());
            let free = HEAD_BYTES - window.len();
            window.extend_from_slice(rest.get(..free).unwrap_or(rest));
        }
        window
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("media", &self.media)
            .finish_non_exhaustive()
    }
}
