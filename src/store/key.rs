//! `ObjectKey`: a relative path that is safe in every store. Other paths (`..`, absolute paths, hidden
//! files, bytes special in URLs) cannot be represented, and so cannot be requested.

use std::fmt;

use chrono::{DateTime, FixedOffset, Utc};

/// Name of an object, for example `images/20250417/1744866732481_20f90b51544f.png`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(String);

/// The text is not a key in the format of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an object key")]
pub struct InvalidKey;

/// Longest key accepted, in bytes; both clouds take 1,023 or more.
const MAX_BYTES: usize = 512;
/// First folder of unchecked files.
pub(super) const PENDING: &str = "pending";

impl ObjectKey {
    /// Checks that `text` consists of `/`-separated segments of `A-Z a-z 0-9 - _ .`, none empty and
    /// none beginning with a dot.
    ///
    /// # Errors
    /// [`InvalidKey`] for anything else.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let text = text.into();
        let is_key = text.len() <= MAX_BYTES && text.split('/').all(is_segment);
        is_key.then_some(Self(text)).ok_or(InvalidKey)
    }

    /// Creates the key of a file: `<folder>/<YYYYMMDD>/<milliseconds>_<12 hex>.<ext>`. `extension` must
    /// be one of this program's.
    pub fn for_file(folder: &Folder, stem: &Stem, extension: &str) -> Self {
        Self(format!("{folder}/{stem}.{extension}"))
    }

    /// Creates the pending key of a direct upload, used until it has been checked:
    /// `pending/<YYYYMMDD>/<milliseconds>_<12 hex>`.
    pub fn pending(stem: &Stem) -> Self {
        Self(format!("{PENDING}/{stem}"))
    }

    /// The key as text, without a leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text after the last dot of the last segment.
    pub fn extension(&self) -> Option<&str> {
        let name = self.0.rsplit('/').next()?;
        name.rsplit_once('.').map(|(_, extension)| extension)
    }
}

/// Date, time and random part of a key: `20250417/1744866732481_20f90b51544f`. The pending and
/// the final key have the same stem, but not the same folder and extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stem(String);

impl Stem {
    /// Creates a stem; `random` has 48 bits.
    pub fn new(at: DateTime<FixedOffset>, random: u64) -> Self {
        let (date, millis) = (at.format("%Y%m%d"), at.timestamp_millis());
        Self(format!("{date}/{millis}_{random:012x}"))
    }

    /// Parses the text of a stem.
    ///
    /// # Errors
    /// [`InvalidKey`] for text that [`Stem::new`] cannot create.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let stem = Self(text.to_owned());
        let (date, name) = text.split_once('/').ok_or(InvalidKey)?;
        let (_, random) = name.split_once('_').ok_or(InvalidKey)?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_valid = date.len() == 8
            && digits(date)
            && random.len() == 12
            && random.bytes().all(hex)
            && stem.created().is_some();
        is_valid.then_some(stem).ok_or(InvalidKey)
    }

    /// Time of its creation; `None` beyond the range of the calendar.
    pub fn created(&self) -> Option<DateTime<Utc>> {
        let (_, name) = self.0.split_once('/')?;
        let (millis, _) = name.split_once('_')?;
        DateTime::from_timestamp_millis(millis.parse().ok()?)
    }
}

impl fmt::Display for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Folder of objects, without the date: `images`, `public/uploads/Diy/chatImgs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(String);

/// First segments of the routes' paths, besides those that begin with `_`.
const ROUTES: [&str; 4] = ["api", "shop", "s3", "f"];
/// Longest folder, in bytes; leaves room in a key for a date and a name.
const MAX_FOLDER_BYTES: usize = 400;

impl Folder {
    /// Checks that `text` consists of the same segments as a key and leaves room for the rest of one. Refuses
    /// `pending`, which is reserved for unchecked files, and first segments of routes.
    ///
    /// # Errors
    /// [`InvalidKey`] for anything else.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let ObjectKey(text) = ObjectKey::parse(text)?;
        let first = text.split('/').next().unwrap_or_default();
        let is_reserved = first == PENDING || ROUTES.contains(&first) || first.starts_with('_');
        let is_folder = text.len() <= MAX_FOLDER_BYTES && !is_reserved;
        is_folder.then_some(Self(text)).ok_or(InvalidKey)
    }
}

impl Default for Folder {
    /// `images`
    fn default() -> Self {
        Self("images".to_owned())
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_segment(segment: &str) -> bool {
    !segment.is_empty()
        && !segment.starts_with('.')
        && segment
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_relative_path_of_plain_segments() {
        let good = "a a.png images/20250417/1_2.png public/uploads/Diy/a-b/x.y.z";
        for good in good.split(' ') {
            assert_eq!(ObjectKey::parse(good).map(|key| key.0), Ok(good.to_owned()));
        }
        for bad in [
            "", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/.b", "a b", "a?b", "a%2fb",
            "a\\b", "图.png", "a\0b", "a\nb",
        ] {
            assert_eq!(ObjectKey::parse(bad), Err(InvalidKey), "{bad:?}");
        }
        assert_eq!(ObjectKey::parse("x".repeat(MAX_BYTES + 1)), Err(InvalidKey));
    }

    #[test]
    fn a_file_in_the_longest_folder_has_a_key() {
        let at = DateTime::from_timestamp_millis(1_744_866_732_481).expect("in range");
        let longest = Folder::parse("x".repeat(MAX_FOLDER_BYTES)).expect("a folder");
        let key = ObjectKey::for_file(&longest, &Stem::new(at.into(), (1 << 48) - 1), "webm");
        assert_eq!(ObjectKey::parse(key.as_str()), Ok(key));
        let longer = Folder::parse("x".repeat(MAX_FOLDER_BYTES + 1));
        assert_eq!(longer, Err(InvalidKey));
        let default = Folder::default();
        assert_eq!(Folder::parse(default.to_string()), Ok(default));
    }

    #[test]
    fn no_folder_lies_among_what_was_not_looked_at_or_behind_a_route() {
        for bad in "pending pending/20250417 api shop/x s3 f/x _ _x/y".split(' ') {
            assert_eq!(Folder::parse(bad), Err(InvalidKey), "{bad}");
        }
        for good in ["pendings", "images/pending", "apis", "x/api", "images/_"] {
            assert!(Folder::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_stem_is_read_back_and_nothing_else_is_one() {
        let at = DateTime::from_timestamp_millis(1_744_866_732_481).expect("in range");
        let stem = Stem::new(at.into(), 0x20f9_0b51_544f);
        assert_eq!(stem.to_string(), "20250417/1744866732481_20f90b51544f");
        assert_eq!(stem.created(), Some(at));
        assert_eq!(Stem::parse(&stem.to_string()), Ok(stem));
        for bad in [
            "",
            "20250417",
            "20250417/",
            "20250417/1744866732481",
            "20250417/1744866732481_20F90B51544F",
            "20250417/1744866732481_20f90b51544",
            "20250417/1744866732481_20f90b51544f.png",
            "20250417/x_20f90b51544f",
            "2025/1744866732481_20f90b51544f",
            "pending/20250417/1744866732481_20f90b51544f",
            "20250417/99999999999999999_20f90b51544f",
            "../1744866732481_20f90b51544f",
        ] {
            assert_eq!(Stem::parse(bad), Err(InvalidKey), "{bad:?}");
        }
    }

    #[test]
    fn the_extension_follows_the_last_dot_of_the_name() {
        for (text, extension) in [
            ("a/b.png", Some("png")),
            ("a/b.tar.gz", Some("gz")),
            ("a.b/c", None),
        ] {
            let key = ObjectKey::parse(text).expect("a key");
            assert_eq!(key.extension(), extension);
        }
    }
}
