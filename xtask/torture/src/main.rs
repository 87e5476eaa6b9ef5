//! What `cargo xtask torture` runs: the real daemon, killed, cut off from power and failed by its disk, and
//! held against what it had acknowledged.
//!
//! - [`oracle`] keeps what was acknowledged, outside of the daemon, and verifies it.
//! - [`load`] asks for everything that operators and agents ask for.
//! - [`cycles`] lets the two meet, and ends the daemon again and again: by a signal, or by a cut of power.
//! - [`record`] cuts the power where no file system can be mounted, in what a scripted run has recorded.
//! - [`faults`] makes single calls of the daemon to its store fail.
//!
//! A new kind of torture is a new subcommand; a new operation belongs into [`load`], and what it is known
//! by in the log into [`oracle`].

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "findings and figures are printed to the terminal"
)]

mod base;
mod cycles;
mod disk;
mod faults;
mod http;
mod load;
mod operator;
mod oracle;
mod random;
mod record;
mod running;
mod script;
mod site;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::process::ExitCode;

use clap::{Args, Parser};
use xtask::project::Profile;

/// Torture the daemon, and find out whether it lost anything.
///
/// Exits with 0 only if nothing was lost, nothing was invented, and every store opened again. What
/// failed is kept in the target folder, and named.
#[derive(Parser)]
#[command(name = "cargo xtask torture", bin_name = "cargo xtask torture")]
enum Torture {
    /// SIGKILL at a random moment under mixed load, also while it starts; then a restart on the same store.
    ///
    /// The load: tokens, introspections and revocations over HTTP; organizations, agents, credentials and
    /// tokens changed on the operators' socket; several at once. After each restart: everything that was
    /// acknowledged is there, nothing else is, what was revoked stays revoked, each token has its audit
    /// entry, and the log has neither gap nor change.
    Kill(cycles::Arguments),
    /// A cut of power at a random moment under the same load: what was not synced is gone.
    ///
    /// The store is on an ext4 of its own, mounted from a file and shut down without flushing its journal
    /// (`EXT4_IOC_SHUTDOWN`), with mount options that differ from cut to cut. This needs root. Where it cannot
    /// be done, or with --recorded, a scripted run is recorded by strace instead, and what cuts could have
    /// left is made of that: before and after each sync, with nothing, some or all of what was not synced.
    Power(PowerArguments),
    /// EIO and ENOSPC at every call that writes to the store, and SIGKILL at every storage call of a start.
    ///
    /// strace lets one call of a scripted run fail; then the next start has to succeed, and nothing that
    /// was acknowledged may be missing. Needs strace.
    Faults(faults::Arguments),
}

/// What every kind of torture takes.
#[derive(Args)]
struct Common {
    /// Repeat the choices of an earlier run; what the machine's timing decides differs
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Torture the release build
    #[arg(long)]
    release: bool,
}

impl Common {
    /// The seed that was given, or any.
    fn seed(&self) -> u64 {
        // Short enough to be typed.
        self.seed
            .unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 32)
    }

    const fn profile(&self) -> Profile {
        if self.release {
            Profile::Release
        } else {
            Profile::Debug
        }
    }
}

/// Runs power cuts.
#[derive(Args)]
struct PowerArguments {
    /// Do not mount anything: cut the power in a recorded run
    #[arg(long)]
    recorded: bool,
    #[command(flatten)]
    cycles: cycles::Arguments,
}

async fn power(arguments: &PowerArguments) -> anyhow::Result<()> {
    let cycles = &arguments.cycles;
    if !arguments.recorded {
        match disk::try_out() {
            Ok(()) => return cycles::run(cycles::Kind::Power, cycles).await,
            Err(error) => println!("power: in a recorded run, because {error:#}"),
        }
    }
    let common = &cycles.common;
    record::run(cycles.cycles, common.profile(), common.seed()).await
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Torture::parse() {
        Torture::Kill(arguments) => cycles::run(cycles::Kind::Kill, &arguments).await,
        Torture::Power(arguments) => power(&arguments).await,
        Torture::Faults(arguments) => faults::run(&arguments).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
