//! chat-upload: one function that takes the pictures, videos, voice and documents of a chat and
//! puts them safely into a bucket, on AWS Lambda, on Aliyun Function Compute and on a laptop.
//!
//! The path of one request, top to bottom; imports point down only:
//!
//! 1. [`runtime`] converts sockets, Lambda events and FC calls into an
//!    `http::Request` and the answer back again. It decides nothing about uploads.
//! 2. [`api`] is the only door in: one Router, one file per route, the envelope, the failures.
//! 3. [`upload`] holds the rules: which bytes are accepted, what the object is called, all or none.
//! 4. [`store`] holds the bytes: a folder, or a bucket of S3 or OSS.
//!
//! [`config`] reads the environment and fills the settings each module owns; [`body`] is how bytes
//! travel between them.

// No request may be able to stop the process.
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
