//! `cargo xtask bench`: figures of the release build, taken from the real programs.

mod client;
mod load;
mod process;
mod report;
mod server;
mod token;

use clap::{Subcommand, ValueEnum};

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Subject {
    /// Tokens per CPU-second of the server, every one with its audit entry durable.
    ///
    /// The server runs on core 0 and the load on core 1: `client_credentials` with
    /// `client_secret_basic` over keep-alive connections. CPU time is what the operating system
    /// charges the server's process for.
    Token(token::Arguments),
}

/// A signing algorithm, by its name in JWS.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Algorithm {
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

/// Runs a benchmark.
pub(crate) fn run(subject: &Subject) -> anyhow::Result<()> {
    match subject {
        Subject::Token(arguments) => token::run(arguments),
    }
}
