//! The project's own chores, started through cargo: `cargo dev`, `cargo ci`, `cargo xtask bench`.
//!
//! Everything here calls the programs a person would call by hand and adds nothing to what they
//! do, so that a chore can always be repeated without this package.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these commands exist to print to the terminal"
)]

mod bench;
mod ci;
mod dev;
mod torture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{daemon, project, signals};

/// Chores of the AgentIdP workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build, start a development daemon and open the console on it.
    Dev(dev::Arguments),
    /// Run every check that a change must pass.
    Ci,
    /// Install the third-party clients that the end-to-end tests run.
    Clients,
    /// Measure the release build.
    #[command(disable_help_flag = true)]
    Bench(bench::Arguments),
    /// Kill the daemon, cut its power and fail its disk, and find out whether anything was lost.
    #[command(disable_help_flag = true)]
    Torture(torture::Arguments),
}

fn main() -> ExitCode {
    match run(&Arguments::parse().chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: &Chore) -> anyhow::Result<()> {
    match chore {
        Chore::Dev(arguments) => dev::run(arguments),
        Chore::Ci => ci::run(),
        Chore::Clients => ci::clients(),
        Chore::Bench(arguments) => bench::run(arguments),
        Chore::Torture(arguments) => torture::run(arguments),
    }
}
