//! One test binary for everything that is tested from outside.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod any_input;
mod api;
mod auth;
mod bad_inputs;
mod bucket_double;
mod bucket_failures;
mod companion;
mod direct;
mod direct_model;
mod documents;
mod events;
mod failures;
mod fc;
mod files;
mod forms;
mod lambda;
mod lane;
mod limits;
mod mutations;
mod openapi;
mod page;
mod read;
mod readme;
mod recall;
mod runtime_double;
mod security;
mod server;
mod splits;
mod stores;
mod strip;
mod support;
mod tokens;
mod wire;
