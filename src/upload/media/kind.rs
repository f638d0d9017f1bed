//! `Kind`: image, video, audio, document or file; `Kinds`: the set that an operator accepts.

use std::str::FromStr;

/// Kind of a file, in the terms of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Image,
    Video,
    Audio,
    Document,
    /// Any other file.
    File,
}

/// A word that is not the name of a [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one of image, video, audio, document, file")]
pub struct UnknownKind;

impl Kind {
    const EACH: [Self; 5] = [
        Self::Image,
        Self::Video,
        Self::Audio,
        Self::Document,
        Self::File,
    ];

    /// Returns `image`, `video`, `audio`, `document` or `file`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Document => "document",
            Self::File => "file",
        }
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(word: &str) -> Result<Self, UnknownKind> {
        Self::EACH
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(word))
            .ok_or(UnknownKind)
    }
}

/// A set of [`Kind`], written as a comma list: `image,video`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// Every kind that can be detected; [`Kind::File`] is only accepted if it is listed.
    pub const ALL: Self = Self(0b1111);

    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    /// Returns the names of its kinds.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let kinds = Kind::EACH.into_iter();
        kinds
            .filter(move |kind| self.contains(*kind))
            .map(Kind::as_str)
    }

    /// Returns the kinds that are in both sets.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    const fn bit(kind: Kind) -> u8 {
        1 << kind as u8
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | Self::bit(kind)))
    }
}

impl FromStr for Kinds {
    type Err = UnknownKind;

    /// Parses a comma list; case and surrounding spaces are ignored. An empty word is an error, and so
    /// is an empty list.
    fn from_str(list: &str) -> Result<Self, UnknownKind> {
        list.split(',')
            .map(|word| word.trim().parse::<Kind>())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_list_is_a_set_and_prints_in_one_order() {
        for (list, printed) in [
            ("image", "image"),
            ("video,image", "image,video"),
            (" Audio , document ", "audio,document"),
            ("image,image", "image"),
            ("image,video,audio,document", "image,video,audio,document"),
        ] {
            let kinds: Kinds = list.parse().expect(list);
            assert_eq!(kinds.names().collect::<Vec<_>>().join(","), printed);
        }
        assert_eq!("document,audio,video,image".parse(), Ok(Kinds::ALL));
    }

    #[test]
    fn a_set_contains_what_was_listed_and_no_more() {
        let kinds: Kinds = "image,audio".parse().expect("a list");
        let contained = Kind::EACH.map(|kind| kinds.contains(kind));
        assert_eq!(contained, [true, false, true, false, false]);
    }

    #[test]
    fn a_list_with_a_word_that_is_no_kind_is_refused() {
        for list in ["image,pictures", "", "image,", "image;video"] {
            assert_eq!(list.parse::<Kinds>(), Err(UnknownKind), "{list:?}");
        }
    }
}
