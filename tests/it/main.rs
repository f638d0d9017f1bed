//! One test binary for everything that is tested from outside.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod bucket_double;
mod runtime_double;
mod support;
