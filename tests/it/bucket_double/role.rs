//! The rights of those who ask: by default everything, as an owner.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// AWS's limit of one CopyObject, in bytes.
const LARGEST_COPY: usize = 5 * 1024 * 1024 * 1024;

/// The rights of every key alike.
pub(super) struct Role {
    /// The prefixes that may be listed; `None` for all.
    listed: Mutex<Option<Vec<String>>>,
    largest_copy: AtomicUsize,
}

impl Default for Role {
    fn default() -> Self {
        Self {
            listed: Mutex::new(None),
            largest_copy: AtomicUsize::new(LARGEST_COPY),
        }
    }
}

impl Role {
    pub(super) fn list_only(&self, prefixes: &[&str]) {
        let prefixes = prefixes.iter().map(|&prefix| prefix.to_owned());
        let mut listed = self.listed.lock().expect("no panic while held");
        *listed = Some(prefixes.collect());
    }

    /// Whether keys with this prefix may be listed.
    pub(super) fn may_list(&self, prefix: &str) -> bool {
        let listed = self.listed.lock().expect("no panic while held");
        let below = |prefixes: &Vec<String>| prefixes.iter().any(|p| prefix.starts_with(p));
        listed.as_ref().is_none_or(below)
    }

    /// Whether every key may be listed. A condition on prefixes is not met by a
    /// request for one object.
    pub(super) fn may_list_all(&self) -> bool {
        self.listed.lock().expect("no panic while held").is_none()
    }

    pub(super) fn limit_copies(&self, bytes: usize) {
        self.largest_copy.store(bytes, Ordering::Relaxed);
    }

    /// The largest source of a CopyObject, in bytes.
    pub(super) fn largest_copy(&self) -> usize {
        self.largest_copy.load(Ordering::Relaxed)
    }
}
