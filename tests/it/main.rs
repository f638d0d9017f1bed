//! One test binary for everything that is tested from outside.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

// Behaviour
mod api; // answers of every route, as README has them
mod auth; // who may upload
mod companion; // uploads in parts, as Uppy's clients make them
mod direct; // uploads that go straight into the store
mod direct_model; // random histories of direct uploads, in any order of effects
mod files; // files that a disk store serves
mod good_inputs; // forms and files that must be taken
mod page; // the local server's page
mod read; // private files, read through signed addresses
mod recall; // uploads taken back
mod splits; // forms cut into chunks anywhere
mod stores; // one suite for every store
mod strip; // locations and devices removed from media

// Failures
mod bucket_failures; // a bucket that fails at every step
mod failures; // failures that depend on settings, on how a body comes, or on the store
mod limits; // rates, requests at a time, slow clients
mod log; // lines of the log that hostile requests make
mod refusals; // the table of failures, and the assertion for it

// Hostile input
mod any_input; // checks that hold for any bytes; the fuzz targets share them
mod bad_inputs; // the list of bad inputs
mod mutations; // random changes of good requests

// Platforms
mod drivers; // one request through the router, the local server, Function Compute and Lambda
mod events; // sample events of every gateway
mod fc; // the built program on Function Compute
mod lambda; // the built program on Lambda
mod server; // the built program as local server

// Documents
mod openapi; // docs/openapi.yaml describes the answers
mod readme; // both READMEs equal the code, and each other
mod security; // tests that SECURITY.md names exist

// Doubles and tools
mod bucket_double; // an S3 or OSS bucket in the test process
#[path = "../media/builders.rs"]
mod builders; // files that are built in code
mod lane; // a client of direct uploads
mod runtime_double; // Lambda's runtime API in the test process
mod support; // forms, answers, the router and the process under test
mod tokens; // tokens, honest and forged
mod wire; // HTTP written byte by byte
