//! End-to-end tests: the real daemon and the real console, seen from outside.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in what several tests share"
)]

mod audit;
mod clients;
mod console;
mod crash;
mod credential;
mod dev;
mod keys;
mod metadata;
mod metrics;
mod operator;
mod refusal;
mod service;
mod store;
mod token;
mod users;
