//! The class id that clients send with a file: a whole number, under one of two names.

use super::{Error, arguments::Arguments};

/// Names of the field, in order of precedence.
const NAMES: [&str; 2] = ["imageClassId", "image_class_id"];
/// Largest class id: JavaScript's largest safe integer.
const MAX: u64 = (1 << 53) - 1;

pub(super) fn is_name(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Values that count as absent: the empty one, and those JavaScript writes for a missing value.
const ABSENT: [&[u8]; 4] = [b"", b"undefined", b"null", b"NaN"];

/// Parses a value; `None` for the values in [`ABSENT`].
pub(super) fn parse(value: &[u8]) -> Result<Option<u64>, Error> {
    if ABSENT.contains(&value) {
        return Ok(None);
    }
    let is_number = value.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(value).ok().filter(|_| is_number);
    let id = digits.and_then(|digits| digits.parse().ok());
    let id = id.filter(|id| *id <= MAX);
    id.map(Some).ok_or(Error::ClassIdInvalid)
}

pub(super) fn from_query(query: Option<&str>) -> Result<Option<u64>, Error> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let ids = pairs.filter(|(name, _)| is_name(name));
    let mut ids = ids.map(|(_, value)| parse(value.as_bytes()));
    ids.find_map(Result::transpose).transpose()
}

pub(super) fn from_arguments(arguments: &Arguments) -> Result<Option<u64>, Error> {
    for name in NAMES {
        let text = arguments.text(name).map_err(|_| Error::ClassIdInvalid)?;
        if let Some(id) = parse(text.as_bytes())? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_id_is_a_whole_number() {
        for (value, id) in [
            ("", None),
            ("undefined", None),
            ("null", None),
            ("NaN", None),
            ("0", Some(0)),
            ("007", Some(7)),
            ("9007199254740991", Some(MAX)),
        ] {
            assert_eq!(parse(value.as_bytes()).expect("valid"), id, "{value:?}");
        }
        let words = "abc -1 +1 1e9 nan None 0x10 1.0 9007199254740992 12345678901234567890 １";
        for bad in words.split(' ').chain([" 1"]) {
            let refused = matches!(parse(bad.as_bytes()), Err(Error::ClassIdInvalid));
            assert!(refused, "{bad:?}");
        }
    }

    #[test]
    fn the_query_names_a_class_in_either_spelling() {
        for (query, id) in [
            (None, None),
            (Some("imageClassId=3"), Some(3)),
            (Some("a=b&image_class_id=4"), Some(4)),
            (Some("imageClassId=&image_class_id=4"), Some(4)),
            (Some("imageClassId=undefined&image_class_id=4"), Some(4)),
            (Some("imageClassId=NaN"), None),
            (Some("imageClassId="), None),
            (Some("imageClassId[]=5"), None),
        ] {
            assert_eq!(from_query(query).expect("valid"), id, "{query:?}");
        }
        assert!(from_query(Some("imageClassId=x")).is_err());
    }
}
