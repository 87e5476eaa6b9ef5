//! The harness of the end-to-end tests: the real binaries, started, driven and watched from
//! outside as an operator, an agent or a service manager would.
//!
//! - [`Installation`] is a directory with a configuration and a store; [`TestDaemon`] is `agentidpd`
//!   running on it.
//! - [`Cli`] runs `agentidp` as a command; [`TestConsole`] runs it in a real pseudo-terminal.
//! - [`Client`] is an agent that asks for tokens, [`Http`] a browser-like nobody.
//! - [`picture()`] draws what a terminal shows.
//! - [`Process`] is what they all stand on. Whatever a process does arrives as an event, so tests
//!   wait for what they expect, up to [`DEADLINE`], and never sleep.
//!
//! To add a test: put it into the module of `e2e/` that its behaviour belongs to, name it after the
//! behaviour, and start from `TestDaemon::start()`.

#![expect(
    clippy::missing_panics_doc,
    clippy::expect_used,
    reason = "a harness reports what goes wrong by failing the test that uses it"
)]
#![expect(
    clippy::must_use_candidate,
    reason = "an operator's action answers with the record, and is often done for its effect alone"
)]

mod binaries;
mod cli;
mod client;
mod config;
mod console;
mod daemon;
mod http;
mod link;
mod meddler;
mod memory;
mod multiplexer;
mod namespace;
mod picture;
mod process;
mod tree;
pub mod users;

use std::time::Duration;

pub use binaries::{agentidp, agentidpd, project_root};
pub use cli::{Cli, Output};
pub use client::Client;
pub use config::{Config, Role, free_address};
pub use console::{Restored, Terminal, TestConsole};
pub use daemon::{
    DevDaemon, Installation, Registration, StoppedDev, TestDaemon, one_line_of_refusal,
};
pub use http::{Connection, Http, Request, Response};
pub use link::Link;
pub use meddler::meddle;
pub use memory::{forms, traces_in_memory};
pub use multiplexer::{Multiplexed, Multiplexer};
pub use namespace::MountNamespace;
pub use picture::picture;
pub use process::{Finished, Process};
pub use tree::{Tree, find_in_files};

/// How long a test waits for something that must happen before it fails.
///
/// Generous, because a machine may be busy; nothing waits this long when all is well.
pub const DEADLINE: Duration = Duration::from_secs(30);
