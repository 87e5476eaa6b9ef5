//! The operators' program of `AgentIdP`: a full-screen console when called without a subcommand,
//! and a command line for scripts with one. Both drive the same [`client`].
//!
//! A new subcommand stands in [`args`], in the file of its noun under [`cli`], and in the client;
//! a new screen in `tui`, whose module says how.

pub mod args;
pub mod cli;
pub mod client;
pub mod error;
pub mod socket;

mod agent_filter;
mod audit_text;
mod backoff;
mod clock;
mod command_line;
mod complete;
mod login;
mod manual;
mod secret_file;
mod text;
mod tui;
mod typed;
mod when;

use std::process::ExitCode;

use agentidp_shared::duration;
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, setrlimit};

use crate::args::Args;
use crate::error::Error;

/// Runs the program with the arguments of the process, and gives its exit code.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = complete::respond() {
        return code;
    }
    let args = login::resolve(Args::of_process());
    let result = args.and_then(|args| {
        forbid_core_dumps().map_err(|it| Error::io("cannot start")(it.into()))?;
        Ok((args, runtime()?))
    });
    let result = result.and_then(|(args, runtime)| {
        let result = runtime.block_on(run(args));
        // A prompt or a terminal that hangs must not keep the program from ending.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let words = login::words(std::env::args_os());
            error::report(&typed::retold(error, words))
        }
    }
}

async fn run(args: Args) -> Result<(), Error> {
    let socket = args.socket();
    match args.command {
        Some(command) => cli::run(command, args.output, &socket).await,
        None => tui::run(socket, args.screen).await,
    }
}

/// Keeps secrets out of core dumps, both of those that are files and of those that are piped to a
/// program: neither way does alone (`core(5)`).
fn forbid_core_dumps() -> nix::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    set_dumpable(false)
}

/// Three threads: one that draws, one that reads the keyboard, and one that can still act when a
/// terminal takes no more bytes, or, once it is gone, holds the one that reads it.
fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Error::io("cannot start"))
}
