//! chat-upload: one function that accepts the images, videos, voice messages and documents of a chat and
//! stores them safely in a bucket, on AWS Lambda, Aliyun Function Compute or a laptop.
//!
//! The path of one request, top to bottom; imports point down only:
//!
//! 1. [`runtime`] converts HTTP connections, Lambda events and FC calls into an `http::Request`, and the
//!    response back. It has no rules about uploads.
//! 2. [`api`] is the only entry point: one Router, one file per route, the response envelope, the errors.
//! 3. [`upload`] has the rules: accepted types, object names, all files of a request or none.
//! 4. [`store`] writes the bytes: to a folder, or to a bucket of S3 or OSS.
//!
//! [`config`] reads the environment and fills the settings that each module owns; [`body`] has the types
//! for bytes that pass between modules.

// A request must never crash the process.
#![cfg_attr(
    not(test),
    deny(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

pub mod api;
pub mod body;
pub mod config;
pub mod runtime;
pub mod store;
pub mod upload;
