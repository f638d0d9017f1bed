//! Reads variables, and collects a message for each invalid one.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use axum::http::Uri;

/// Prefix of this program's own variables.
const PREFIX: &str = "UPLOAD_";

/// All variables with that prefix, of every configuration.
pub const VARIABLES: &[&str] = &[
    "UPLOAD_ADDR",
    "UPLOAD_BASE_PATH",
    "UPLOAD_CACHE_CONTROL",
    "UPLOAD_CORS_ORIGINS",
    "UPLOAD_DIRECT_MAX_BYTES",
    "UPLOAD_DIRECT_SECS",
    "UPLOAD_ENDPOINT",
    "UPLOAD_GUESTS",
    "UPLOAD_GUEST_MAX_BYTES",
    "UPLOAD_GUEST_TYPES",
    "UPLOAD_IDLE_SECS",
    "UPLOAD_JWT_SECRET",
    "UPLOAD_MAX_BYTES",
    "UPLOAD_MAX_FILES",
    "UPLOAD_MAX_IN_FLIGHT",
    "UPLOAD_MEMORY_BYTES",
    "UPLOAD_PAGE",
    "UPLOAD_PATH_STYLE",
    "UPLOAD_PREFIX",
    "UPLOAD_PUBLIC_URL",
    "UPLOAD_RATE_PER_MIN",
    "UPLOAD_READ",
    "UPLOAD_READ_SECS",
    "UPLOAD_RECALL_SECS",
    "UPLOAD_REGION",
    "UPLOAD_REQUEST_SECS",
    "UPLOAD_SHA256",
    "UPLOAD_SIGNING_SECRET",
    "UPLOAD_STORE",
    "UPLOAD_STRIP",
    "UPLOAD_STRIP_STRICT",
    "UPLOAD_TRUSTED_HOPS",
    "UPLOAD_TYPES",
    "UPLOAD_UTC_OFFSET",
    "UPLOAD_WARM",
];

/// The variables, with problems and warnings found so far.
#[derive(Default)]
pub(super) struct Vars {
    values: BTreeMap<String, String>,
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Vars {
    /// Takes all variables that are not empty.
    pub(super) fn new(vars: impl Iterator<Item = (String, String)>) -> Self {
        Self {
            values: vars.filter(|(_, value)| !value.is_empty()).collect(),
            ..Self::default()
        }
    }

    pub(super) fn get(&self, variable: &str) -> Option<String> {
        self.values.get(variable).cloned()
    }

    /// Unknown variables that begin with `UPLOAD_`, probably misspelt.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &str> {
        let names = self.values.keys().map(String::as_str);
        names.filter(|name| name.starts_with(PREFIX) && !VARIABLES.contains(name))
    }

    pub(super) fn first_of(&self, variables: &[&str]) -> Option<String> {
        variables.iter().find_map(|variable| self.get(variable))
    }

    pub(super) fn refuse(
        &mut self,
        variable: &'static str,
        value: Option<String>,
        expected: impl Display,
    ) {
        self.problems.push(match value.map(without_password) {
            Some(value) => format!("{variable}={value:?}: expected {expected}"),
            None => format!("{variable} is not set: expected {expected}"),
        });
    }

    /// Parses a variable with `read`. Returns `default` if it is absent or, with a problem noted, invalid.
    pub(super) fn read<T>(
        &mut self,
        variable: &'static str,
        expected: impl Display,
        default: T,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> T {
        let Some(value) = self.get(variable) else {
            return default;
        };
        match read(&value) {
            Some(parsed) => parsed,
            None => {
                self.refuse(variable, Some(value), expected);
                default
            }
        }
    }

    pub(super) fn parse<T: FromStr>(
        &mut self,
        variable: &'static str,
        expected: &'static str,
        default: T,
    ) -> T {
        self.read(variable, expected, default, |text| text.parse().ok())
    }

    /// Reads a number; `unit` is "a number" or names its unit.
    pub(super) fn number<T: FromStr + PartialOrd + Display>(
        &mut self,
        variable: &'static str,
        unit: &str,
        default: T,
        range: RangeInclusive<T>,
    ) -> T {
        let expected = format!("{unit}, {} to {}", range.start(), range.end());
        let within = |number: &T| range.contains(number);
        self.read(variable, expected, default, |text| {
            text.parse().ok().filter(within)
        })
    }

    pub(super) fn seconds(
        &mut self,
        variable: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Duration {
        Duration::from_secs(self.number(variable, "a number of seconds", default, range))
    }

    pub(super) fn on_or_off(&mut self, variable: &'static str, default: bool) -> bool {
        self.read(variable, "on or off", default, on_or_off)
    }

    /// Reads one of these words.
    pub(super) fn word<T: Copy>(
        &mut self,
        variable: &'static str,
        expected: &'static str,
        default: T,
        words: &[(&str, T)],
    ) -> T {
        let known = |text: &str| words.iter().find(|(word, _)| *word == text);
        self.read(variable, expected, default, |text| Some(known(text)?.1))
    }
}

/// Hides the user information of a URL, which may contain a password.
fn without_password(value: String) -> String {
    match (value.split_once("://"), value.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => value,
    }
}

pub(super) fn on_or_off(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

/// Parses a number of bytes above 0: `52428800`, `50MB` (10⁶ each) or `50MiB` (2²⁰ each).
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (_, unit) = text.split_at(digits.len());
    let unit: u64 = match unit {
        "" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(unit).filter(|bytes| *bytes > 0)
}

/// Parses a URL of scheme, host and optional path; removes trailing slashes.
pub(super) fn base_url(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    if !is_http || !has_host || text.contains(['?', '#', '@']) {
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1000_and_of_1024() {
        for (text, bytes) in [
            ("1", Some(1)),
            ("52428800", Some(50 << 20)),
            ("50MiB", Some(50 << 20)),
            ("50MB", Some(50_000_000)),
            ("5GiB", Some(5 << 30)),
            ("5GB", Some(5_000_000_000)),
            ("64KiB", Some(65_536)),
            ("64KB", Some(64_000)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("17179869184GiB", None),
            ("0", None),
            ("0MB", None),
            ("", None),
            ("MB", None),
            ("50mb", None),
            ("50M", None),
            ("50 MB", None),
            ("-1", None),
            ("1.5MB", None),
            ("1e6", None),
            ("50MBé", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
    }
}
