//! All integration tests, in one binary.

#![allow(
    clippy::unwrap_used,
    reason = "a failed unwrap reports where a test stopped"
)]

// Behaviour
mod api; // responses of every route, as documented in README
mod auth; // who may upload
mod companion; // multipart uploads, as Uppy makes them
mod direct; // direct uploads: policy, form, completion
mod direct_model; // random histories of direct uploads, in any order of effects
mod files; // files that a disk store serves
mod good_inputs; // forms and files that must be accepted
mod page; // the local server's page
mod read; // private files, read through signed URLs
mod recall; // recalled uploads
mod splits; // forms cut into chunks anywhere
mod stores; // one suite for every store
mod strip; // locations and devices removed from media

// Failures
mod bucket_failures; // a bucket that fails at every step
mod failures; // failures that depend on settings, on how a body is sent, or on the store
mod limits; // rate limits, concurrent requests, slow clients
mod log; // log lines of hostile requests
mod refusals; // the table of failures, and its assertion

// Hostile input
mod any_input; // checks that hold for any bytes, shared with the fuzz targets
mod bad_inputs; // the list of bad inputs
mod mutations; // random mutations of good requests

// Platforms
mod drivers; // one request to the router, the local server, Function Compute and Lambda
mod events; // sample events of every gateway
mod fc; // the built program on Function Compute
mod lambda; // the built program on Lambda
mod server; // the built program as local server

// Documents
mod openapi; // docs/openapi.yaml describes the responses
mod readme; // both READMEs agree with the code and each other
mod security; // tests named in SECURITY.md exist

// Doubles and tools
mod bucket_double; // an S3 or OSS bucket in the test process
#[path = "../media/builders.rs"]
mod builders; // files built in code
mod lane; // a client of direct uploads
mod runtime_double; // Lambda's runtime API in the test process
mod support; // forms, responses, the router and the process under test
mod tokens; // valid and forged tokens
mod wire; // HTTP written byte by byte
