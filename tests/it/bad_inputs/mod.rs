//! The list of bad inputs as whole requests, with each driver: each is refused as the list documents, or
//! is harmless, and leaves nothing else in the store.
//!
//! Elsewhere, because they need several requests or other settings: b29 to b35 (`events.rs`,
//! `lambda.rs`), a25 at every offset (`splits.rs`), d49 to d53 within formats (`src/upload/media`), e62
//! (`limits.rs`), h72 to h78 (`auth.rs`, `log.rs`, `bucket_failures.rs`). Section G and number 75 make
//! several calls each, to the function and to its store: `direct.rs`.

mod content;
mod direct;
mod grammar;
mod identity;
mod names;
mod parameters;

use crate::drivers::{Case, Driver, run};

/// Returns every case; they are independent and can be sent in any order.
pub(crate) fn cases() -> Vec<Case> {
    [
        grammar::cases(),
        names::cases(),
        content::cases(),
        identity::cases(),
        parameters::cases(),
    ]
    .concat()
}

#[tokio::test]
async fn every_bad_input_is_held_by_the_router_alone() {
    run(Driver::Router, &[], &cases()).await;
}

#[tokio::test]
async fn e61_no_trick_with_the_path_is_the_route_behind_a_base_path() {
    let vars = [("UPLOAD_BASE_PATH", "/prod")];
    run(Driver::Router, &vars, &identity::paths()).await;
}

#[tokio::test]
async fn every_bad_input_is_held_by_the_local_server_with_a_folder() {
    run(Driver::Local, &[], &cases()).await;
}

#[tokio::test]
async fn every_bad_input_is_held_on_function_compute_with_a_bucket() {
    run(Driver::FunctionCompute, &[], &cases()).await;
}

#[tokio::test]
async fn every_bad_input_is_held_on_lambda_with_a_bucket() {
    run(Driver::Lambda, &[], &cases()).await;
}
