//! Who may do what: tokens and their users, rates, and the tokens that this function signs itself.

pub(super) mod auth;
pub(super) mod caller;
pub mod jwt;
pub(super) mod rate_limit;
pub(super) mod secrets;
pub(super) mod signed;
