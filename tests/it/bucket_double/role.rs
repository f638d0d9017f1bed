//! The rights of those who ask: by default everything, as an owner.

/// AWS's limit of one CopyObject, in bytes.
const LARGEST_COPY: usize = 5 * 1024 * 1024 * 1024;

/// The rights of every key alike.
#[derive(Default)]
pub(super) struct Role {
    /// The prefixes that may be listed; `None` for all.
    pub(super) listed: Option<Vec<String>>,
    /// The largest source of a CopyObject in bytes, where it is not AWS's.
    pub(super) largest_copy: Option<usize>,
}

impl Role {
    /// Whether keys with this prefix may be listed.
    pub(super) fn may_list(&self, prefix: &str) -> bool {
        let below = |prefixes: &Vec<String>| prefixes.iter().any(|p| prefix.starts_with(p));
        self.listed.as_ref().is_none_or(below)
    }

    /// Whether every key may be listed. A condition on prefixes is not met by a
    /// request for one object.
    pub(super) fn may_list_all(&self) -> bool {
        self.listed.is_none()
    }

    /// Whether one CopyObject may copy so many bytes.
    pub(super) fn may_copy(&self, bytes: usize) -> bool {
        bytes <= self.largest_copy.unwrap_or(LARGEST_COPY)
    }
}
