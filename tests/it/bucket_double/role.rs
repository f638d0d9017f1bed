//! Permissions of the access keys: by default everything, as for an owner.

/// AWS's size limit of CopyObject, in bytes.
const MAX_COPY_BYTES: usize = 5 * 1024 * 1024 * 1024;

/// The permissions that all access keys share.
#[derive(Default)]
pub(super) struct Role {
    /// The prefixes that may be listed; `None` for all.
    pub(super) listed: Option<Vec<String>>,
    /// Size limit of CopyObject in bytes; `None` for AWS's.
    pub(super) max_copy_bytes: Option<usize>,
}

impl Role {
    /// Whether keys with this prefix may be listed.
    pub(super) fn may_list(&self, prefix: &str) -> bool {
        let below = |prefixes: &Vec<String>| prefixes.iter().any(|p| prefix.starts_with(p));
        self.listed.as_ref().is_none_or(below)
    }

    /// Whether every key may be listed. A request for one object never meets a
    /// condition on prefixes.
    pub(super) fn may_list_all(&self) -> bool {
        self.listed.is_none()
    }

    /// Whether CopyObject accepts a source of this many bytes.
    pub(super) fn may_copy(&self, bytes: usize) -> bool {
        bytes <= self.max_copy_bytes.unwrap_or(MAX_COPY_BYTES)
    }
}
