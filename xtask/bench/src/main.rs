//! What `cargo xtask bench` runs: figures of the release build, taken from the real programs.
//!
//! The daemon runs on core 0 and the load on core 1, and CPU time is what the operating system charges
//! the daemon's process for: user and system time of all its threads. A figure that misses its goal is
//! printed as that and is no failure; only what could not be measured is.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "figures are printed to the terminal"
)]

mod client;
mod configuration;
mod console;
mod figures;
mod introspect;
mod load;
mod log;
mod operator;
mod process;
mod registry;
mod server;
mod statistics;
mod timing;
mod token;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};

/// Measure the release build.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
enum Subject {
    /// Tokens per CPU-second of the server, every one with its audit entry durable.
    ///
    /// `client_credentials` with `client_secret_basic` over keep-alive connections, with limits, policy
    /// and metrics as in production.
    Token(token::Arguments),
    /// Introspections per CPU-second of the server.
    ///
    /// A resource server's client asks about the live tokens of many agents of its organization, over
    /// keep-alive connections.
    Introspect(introspect::Arguments),
    /// A store with very many agents: how fast it fills, how large and how quick it is then.
    ///
    /// Registers the agents through the operators' socket, or uses a store that an earlier run kept.
    /// Then: memory, the time a restart takes, CPU time of lists by every indexed filter and order, free
    /// text, and tokens per CPU-second against an empty store.
    Registry(registry::Arguments),
    /// What the audit log's tree costs: CPU time for a token, for a proof, and to verify an export.
    ///
    /// In this process and on one thread, with entries as tokens have them; and the proofs again from a
    /// server that has issued tokens.
    Log(log::Arguments),
    /// The console in a real terminal, with very many agents: how quick it is and what it costs.
    ///
    /// Time to the first frame and from key to frame, bytes and CPU time while nothing happens, memory,
    /// paging and filters, sixty keys at once over a slow line of SSH, and the end after a hang-up.
    Console(console::Arguments),
    /// Whether the time of a refusal tells why: unknown client, suspended agent, wrong secret.
    ///
    /// Asks for each in random order and compares the times two by two.
    Timing(timing::Arguments),
}

/// A signing algorithm, by its name in JWS.
#[derive(Clone, Copy, ValueEnum)]
enum Algorithm {
    /// ECDSA on P-256.
    #[value(name = "ES256")]
    Es256,
    /// Ed25519.
    #[value(name = "EdDSA")]
    EdDsa,
    /// RSA, 2048 bits.
    #[value(name = "RS256")]
    Rs256,
    /// Each of them, one after the other.
    #[value(name = "all")]
    All,
}

impl Algorithm {
    /// Their names in the configuration.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Es256 => &["ES256"],
            Self::EdDsa => &["EdDSA"],
            Self::Rs256 => &["RS256"],
            Self::All => &["ES256", "EdDSA", "RS256"],
        }
    }
}

fn main() -> ExitCode {
    let outcome = match Subject::parse() {
        Subject::Token(arguments) => token::run(&arguments),
        Subject::Introspect(arguments) => introspect::run(&arguments),
        Subject::Registry(arguments) => registry::run(&arguments),
        Subject::Log(arguments) => log::run(&arguments),
        Subject::Console(arguments) => console::run(&arguments),
        Subject::Timing(arguments) => timing::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
