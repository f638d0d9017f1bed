//! One test binary for everything that is tested from outside.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod api;
mod bucket_double;
mod failures;
mod files;
mod forms;
mod readme;
mod runtime_double;
mod splits;
mod support;
