//! The list of bad inputs as whole requests, through each way into the program: each is refused as the
//! list says, or is harmless, and leaves nothing else in the store.
//!
//! Elsewhere, because it takes more than one request or other settings: b29 to b35 (`events.rs`,
//! `lambda.rs`), a25 at every offset (`splits.rs`), d49 to d53 within formats (`src/upload/media`), e62
//! (`limits.rs`), h72 to h78 (`auth.rs`, `log.rs`, `bucket_failures.rs`). Section G and number 75 take
//! several calls each, to the function and to its store: `direct.rs`.

mod content;
mod direct;
mod grammar;
mod identity;
mod names;
mod parameters;

use crate::drivers::{Case, Way, run};

/// Every case; each stands for itself and can be sent in any order.
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
    run(Way::Router, &[], &cases()).await;
}

#[tokio::test]
async fn e61_no_trick_with_the_path_is_the_route_behind_a_base_path() {
    let vars = [("UPLOAD_BASE_PATH", "/prod")];
    run(Way::Router, &vars, &identity::paths()).await;
}

#[tokio::test]
async fn every_bad_input_is_held_by_the_local_server_with_a_folder() {
    run(Way::Local, &[], &cases()).await;
}

#[tokio::test]
async fn every_bad_input_is_held_on_function_compute_with_a_bucket() {
    run(Way::FunctionCompute, &[], &cases()).await;
}

#[tokio::test]
async fn every_bad_input_is_held_on_lambda_with_a_bucket() {
    run(Way::Lambda, &[], &cases()).await;
}
