//! The daemon of AgentIdP: keeps agents, credentials and the audit log, and gives agents tokens.
//!
//! [`run`] and its neighbours are what the command line offers. `daemon` puts the parts together.
//! `service` does the work; `http` and `rpc` turn requests into calls of it; `store` keeps
//! everything. `metrics` counts, and `scrape` writes out what was counted.

pub mod args;
pub mod config;
pub mod lifecycle;
pub mod store_commands;
pub mod telemetry;

mod backup;
mod busy;
mod clock;
mod closed_store;
mod commands;
mod crypto;
mod daemon;
mod http;
mod listeners;
mod metrics;
mod rpc;
mod scrape;
mod sending;
mod service;
mod shares;
mod sink;
mod store;
mod timers;
mod upkeep;
mod witness;

#[cfg(test)]
mod fuzz;

pub use backup::{create_backup, list_backups, restore_backup, verify_backup};
pub use commands::{accept_store, check, dev, init, rotate_log_key, run};
