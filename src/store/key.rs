//! `ObjectKey`: a relative path that every store accepts. What it cannot hold (`..`, an absolute
//! path, a hidden file, a byte that means something to a URL) cannot be asked for.

use std::fmt;

use chrono::{DateTime, FixedOffset};

/// Name of an object, for example `images/20250417/1744866732481_20f90b51544f.png`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(String);

/// The text is not a key that this program could have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an object key")]
pub struct InvalidKey;

/// Longest key accepted, in bytes; both clouds take 1,023 or more.
const MAX_BYTES: usize = 512;

impl ObjectKey {
    /// Checks that `text` is made of `/`-separated segments of `A-Z a-z 0-9 - _ .`, none empty and
    /// none beginning with a dot.
    ///
    /// # Errors
    /// [`InvalidKey`] for anything else.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let text = text.into();
        if text.len() <= MAX_BYTES && text.split('/').all(is_segment) {
            Ok(Self(text))
        } else {
            Err(InvalidKey)
        }
    }

    /// The key of a file in `folder`: `<folder>/<YYYYMMDD>/<milliseconds>_<12 hex><.ext>`.
    /// `random` has 48 bits; `extension` stands in a table of ours.
    pub fn of_file(
        folder: &Folder,
        at: DateTime<FixedOffset>,
        random: u64,
        extension: &'static str,
    ) -> Self {
        let (date, millis) = (at.format("%Y%m%d"), at.timestamp_millis());
        Self(format!(
            "{folder}/{date}/{millis}_{random:012x}.{extension}"
        ))
    }

    /// The key as text, without a leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the last dot of the last segment.
    pub fn extension(&self) -> Option<&str> {
        let name = self.0.rsplit('/').next()?;
        name.rsplit_once('.').map(|(_, extension)| extension)
    }
}

/// Where objects lie, without the date: `images`, `public/uploads/Diy/chatImgs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(String);

/// Longest folder, in bytes: a key has room for a date and a name behind it.
const MAX_FOLDER_BYTES: usize = 400;

impl Folder {
    /// Checks that `text` is made of the same segments as a key, and leaves room for the rest of
    /// one.
    ///
    /// # Errors
    /// [`InvalidKey`] for anything else.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let ObjectKey(text) = ObjectKey::parse(text)?;
        if text.len() <= MAX_FOLDER_BYTES {
            Ok(Self(text))
        } else {
            Err(InvalidKey)
        }
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
        for good in [
            "a",
            "a.png",
            "images/20250417/1_2.png",
            "public/uploads/Diy/a-b/x.y.z",
        ] {
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
        let key = ObjectKey::of_file(&longest, at.into(), (1 << 48) - 1, "webm");
        assert_eq!(ObjectKey::parse(key.as_str()), Ok(key));
        let longer = Folder::parse("x".repeat(MAX_FOLDER_BYTES + 1));
        assert_eq!(longer, Err(InvalidKey));
        let default = Folder::default();
        assert_eq!(Folder::parse(default.to_string()), Ok(default));
    }

    #[test]
    fn the_extension_follows_the_last_dot_of_the_name() {
        let extension = |text: &str| {
            ObjectKey::parse(text)
                .expect("a key")
                .extension()
                .map(str::to_owned)
        };
        assert_eq!(extension("a/b.png").as_deref(), Some("png"));
        assert_eq!(extension("a/b.tar.gz").as_deref(), Some("gz"));
        assert_eq!(extension("a.b/c"), None);
    }
}
