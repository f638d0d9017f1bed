//! Reads variables, and gathers a sentence for each that cannot be used.

use std::str::FromStr;

use axum::http::Uri;

/// The variables, and what there is to say about them.
pub(super) struct Vars<'v> {
    get: &'v dyn Fn(&str) -> Option<String>,
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl<'v> Vars<'v> {
    pub(super) fn new(get: &'v dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            get,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The value of a variable; an empty one counts as absent.
    pub(super) fn get(&self, variable: &str) -> Option<String> {
        (self.get)(variable).filter(|value| !value.is_empty())
    }

    pub(super) fn first_of(&self, variables: &[&str]) -> Option<String> {
        variables.iter().find_map(|variable| self.get(variable))
    }

    pub(super) fn refuse(
        &mut self,
        variable: &'static str,
        held: Option<String>,
        expected: &'static str,
    ) {
        self.problems.push(match held.map(without_password) {
            Some(held) => format!("{variable}={held:?}: expected {expected}"),
            None => format!("{variable} is not set: expected {expected}"),
        });
    }

    /// Parses a variable with `read`; absent or unusable it is `default`, and the latter is noted.
    pub(super) fn read<T>(
        &mut self,
        variable: &'static str,
        expected: &'static str,
        default: T,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> T {
        let Some(held) = self.get(variable) else {
            return default;
        };
        match read(&held) {
            Some(value) => value,
            None => {
                self.refuse(variable, Some(held), expected);
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
}

/// Hides the user information of a URL, which may hold a password.
fn without_password(held: String) -> String {
    match (held.split_once("://"), held.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => held,
    }
}

pub(super) fn on_or_off(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

pub(super) fn positive(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number| *number > 0)
}

/// Scheme, host and perhaps a path, without a slash at the end.
pub(super) fn base_url(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    if !is_http || !has_host || text.contains(['?', '#', '@']) {
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}
