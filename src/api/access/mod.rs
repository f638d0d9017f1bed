//! Authorisation: the chat server's tokens and their users, rate limits, and this server's signed tokens.

pub(super) mod auth;
pub(super) mod caller;
pub mod jwt;
pub(super) mod rate_limit;
pub(super) mod recall_token;
pub(super) mod secrets;
pub(super) mod signed;
pub(super) mod ticket;
