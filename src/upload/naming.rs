//! Names of objects: `<folder>/<YYYYMMDD>/<milliseconds>_<12 hex><.ext>`. Only the folder may come
//! from the client. Pure: the clock and the random id are arguments.

use axum::http::HeaderValue;
use chrono::{DateTime, FixedOffset, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

pub use crate::store::Folder;
use crate::store::Stem;

/// Parent of the folders that callers name.
const NAMED_FOLDERS: &str = "public/uploads/Diy";
/// Deepest nesting of a folder that a caller names.
const MAX_LEVELS: usize = 5;
/// Longest name of one level, in bytes.
const MAX_LEVEL_BYTES: usize = 64;
/// Longest file name shown, in bytes.
const MAX_NAME_BYTES: usize = 255;

impl Folder {
    /// Parses the folder that a caller names; `_` separates levels: `a_b` is `a/b`. Each level is 1 to 64 of
    /// `A-Z a-z 0-9 -`, at most five levels; `None` for anything else.
    pub fn named(text: &str) -> Option<Self> {
        let levels: Vec<_> = text.split('_').take(MAX_LEVELS + 1).collect();
        if levels.len() > MAX_LEVELS || !levels.iter().copied().all(is_level) {
            return None;
        }
        Self::parse(format!("{NAMED_FOLDERS}/{}", levels.join("/"))).ok()
    }
}

fn is_level(level: &str) -> bool {
    (1..=MAX_LEVEL_BYTES).contains(&level.len())
        && level
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Returns the stem of the key of a file uploaded at `now`. `id` provides the 12 random hex digits.
pub fn stem(now: DateTime<Utc>, offset: FixedOffset, id: Uuid) -> Stem {
    // The first 48 bits of a version 4 UUID are random throughout.
    let (random, _) = id.as_u64_pair();
    Stem::new(now.with_timezone(&offset), random >> 16)
}

/// Returns the client's file name made safe for display: no path, no control or bidirectional characters,
/// at most 255 bytes.
pub fn display_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut shown = String::with_capacity(last.len().min(MAX_NAME_BYTES));
    for character in last.chars().filter(|character| is_shown(*character)) {
        if shown.len() + character.len_utf8() > MAX_NAME_BYTES {
            break;
        }
        shown.push(character);
    }
    shown.trim().to_owned()
}

/// Returns the `Content-Disposition` of an attachment with this file name (RFC 6266): `filename*`, and a
/// fallback in ASCII for older browsers. Unsafe characters of the name are encoded or replaced.
pub fn attachment(name: &str) -> HeaderValue {
    /// All characters but `attr-char` (RFC 5987, 3.2.1).
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'!')
        .remove(b'#')
        .remove(b'$')
        .remove(b'&')
        .remove(b'+')
        .remove(b'-')
        .remove(b'.')
        .remove(b'^')
        .remove(b'_')
        .remove(b'`')
        .remove(b'|')
        .remove(b'~');
    const NAMELESS: HeaderValue = HeaderValue::from_static("attachment");
    if name.is_empty() {
        return NAMELESS;
    }
    let in_ascii = |character: char| match character {
        'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '-' => character,
        _ => '_',
    };
    let fallback: String = name.chars().map(in_ascii).collect();
    let encoded = utf8_percent_encode(name, ENCODED);
    let disposition = format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{encoded}");
    HeaderValue::try_from(disposition).unwrap_or(NAMELESS)
}

/// Returns whether a character is kept: control characters are not, nor those that reorder or hide their
/// neighbours (Unicode UAX #9 §2 and the byte order mark). Joiners are kept: Persian words and many
/// emoji need them.
fn is_shown(character: char) -> bool {
    !character.is_control()
        && !matches!(character,
            '\u{061C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ObjectKey;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(millis).expect("in range")
    }

    fn offset(text: &str) -> FixedOffset {
        text.parse().expect("an offset")
    }

    #[test]
    fn a_key_is_folder_date_time_and_chance() {
        let id = Uuid::from_u128(0x20f9_0b51_544f_4abc_8def_0123_4567_89ab);
        let stem = stem(at(1_744_866_732_481), offset("+08:00"), id);
        let name = "20250417/1744866732481_20f90b51544f";
        let key = ObjectKey::for_file(&Folder::default(), &stem, "png");
        assert_eq!(key.as_str(), format!("images/{name}.png"));
        let key = ObjectKey::pending(&stem);
        assert_eq!(key.as_str(), format!("pending/{name}"));
    }

    #[test]
    fn the_date_is_that_of_the_time_zone() {
        let before_midnight_utc = at(1_744_847_999_000); // 2025-04-16T23:59:59Z
        for (zone, date) in [
            ("+08:00", "20250417"),
            ("+00:00", "20250416"),
            ("-05:00", "20250416"),
        ] {
            let stem = stem(before_midnight_utc, offset(zone), Uuid::nil());
            let expected = format!("{date}/1744847999000_000000000000");
            assert_eq!(stem.to_string(), expected);
        }
    }

    #[test]
    fn a_caller_names_a_folder_by_its_levels() {
        for (named, folder) in [
            ("chatImgs", "public/uploads/Diy/chatImgs"),
            ("a_b", "public/uploads/Diy/a/b"),
            ("A-1_2_3_4_5", "public/uploads/Diy/A-1/2/3/4/5"),
        ] {
            let found = Folder::named(named).map(|folder| folder.to_string());
            assert_eq!(found.as_deref(), Some(folder));
        }
        let (level, nested) = ("x".repeat(65), "a_b_c_d_e_f");
        for bad in [
            "", "_", "a__b", "_a", "a_", "..", ".._.._x", "a/b", "a.b", "a b", "图", "a%2fb",
            "a\0", nested, &level,
        ] {
            assert_eq!(Folder::named(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_saved_file_has_its_name_again() {
        assert_eq!(attachment(""), "attachment");
        let encoded = "%E8%B4%A6%E5%8D%95%201%22.pdf";
        for (name, fallback, encoded) in [
            ("report.pdf", "report.pdf", "report.pdf"),
            ("账单 1\".pdf", "___1_.pdf", encoded),
            ("a;b\\'*%.txt", "a_b____.txt", "a%3Bb%5C%27%2A%25.txt"),
        ] {
            let expected =
                format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{encoded}");
            assert_eq!(attachment(name), *expected, "{name}");
        }
    }

    #[test]
    fn a_shown_name_has_no_path_and_nothing_unseen() {
        let long = format!("{}.png", "图".repeat(200));
        for (name, shown) in [
            ("IMG_0001.png", "IMG_0001.png"),
            ("", ""),
            ("../../x.png", "x.png"),
            ("C:\\fakepath\\猫 1.jpg", "猫 1.jpg"),
            ("a\0b\r\nc\td", "abcd"),
            ("\u{202E}gnp.exe", "gnp.exe"),
            ("\u{FEFF}a\u{200B}.txt", "a.txt"),
            ("😀.gif", "😀.gif"),
            ("👨\u{200D}👩\u{200D}👧.gif", "👨\u{200D}👩\u{200D}👧.gif"),
            ("می\u{200C}خواهم.txt", "می\u{200C}خواهم.txt"),
            ("a\u{200E}\u{200F}\u{2066}b.txt", "ab.txt"),
            ("  x.png ", "x.png"),
            ("a/", ""),
        ] {
            assert_eq!(display_name(name), shown, "{name:?}");
        }
        assert_eq!(display_name(&long), "图".repeat(85));
    }
}
