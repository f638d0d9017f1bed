//! Handlers, one file per subject; each authorises, reads its input, calls `upload` or `store`, and replies.

pub(super) mod companion;
pub(super) mod direct;
pub(super) mod files;
pub(super) mod health;
pub(super) mod page;
pub(super) mod qrcode;
pub(super) mod read;
pub(super) mod recall;
pub(super) mod upload;
