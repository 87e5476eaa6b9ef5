//! The words of `agentidp key`.

use clap::{Args as ClapArgs, Subcommand};

use super::{DryRun, Watch};
use crate::complete;

/// What `key` can do.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Lists signing keys, newest first, with what happens to each next
    List {
        /// Once or for ever.
        #[command(flatten)]
        watch: Watch,
    },
    /// Shows one signing key
    Show {
        /// The key's kid
        #[arg(allow_hyphen_values = true, add = complete::kids())]
        kid: String,
        /// Once or for ever.
        #[command(flatten)]
        watch: Watch,
    },
    /// Replaces the key that signs; the new one is published before it signs
    #[command(after_help = "\
The new key signs ten minutes after it was made, when no copy of the JWKS is
older than it. The one before it stays published until the last token that it
signed has expired. Asked twice, the answer is the key that is on its way
already.

In an emergency the compromised keys leave the JWKS at once, and a new key signs
at once: the tokens that they signed are dead, and copies of the JWKS may be
wrong for five minutes.

Examples:
  agentidp key rotate --reason 'yearly' --yes
  agentidp key rotate --emergency --reason 'the store was copied' --yes
  agentidp key rotate --emergency --kid KID --reason 'leaked' --yes")]
    Rotate(KeyRotateArgs),
}

/// How to replace signing keys.
#[derive(Debug, ClapArgs)]
pub struct KeyRotateArgs {
    /// Keys are compromised: withdraw them now, and sign with a new one
    #[arg(long)]
    pub emergency: bool,
    /// The one key that is compromised [default: every key in the JWKS]
    #[arg(long, requires = "emergency", allow_hyphen_values = true, add = complete::kids())]
    pub kid: Option<String>,
    /// Why, for the audit log; asked for on a terminal
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do it or not.
    #[command(flatten)]
    pub dry: DryRun,
    /// Do it without asking
    #[arg(short, long)]
    pub yes: bool,
}
