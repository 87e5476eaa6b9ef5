//! End-to-end tests: the real daemon and the real console, seen from outside.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in what several tests share"
)]

mod about_token;
mod api;
mod assertion;
mod audit;
mod backup;
mod bad_api;
mod changes;
mod clients;
mod command_line;
mod console;
mod console_lines;
mod contract;
mod counted;
mod crash;
mod credential;
mod dev;
mod diagnose;
mod edge;
mod evidence;
mod faults;
mod formats;
mod hostile;
mod incident;
mod independent;
mod journey;
mod keys;
mod matrix;
mod metadata;
mod metrics;
mod operator;
mod picture;
mod pressure;
mod recovery;
mod refusal;
mod registry;
mod retention;
mod revocation;
mod rotation;
mod service;
mod shells;
mod ssh;
mod store;
mod terminal;
mod tiles;
mod tls;
mod token;
mod users;
