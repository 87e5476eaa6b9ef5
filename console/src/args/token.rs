//! The words of `agentidp token`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::{Consent, DryRun};
use crate::complete;

/// What `token` can do.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Tells what an access token is, and whether it counts
    #[command(after_help = "\
A token on the command line could be read in the list of processes, so it is
read from standard input or from a file.

Examples:
  agentidp token inspect < token
  agentidp token inspect /run/user/1000/token -o json")]
    Inspect {
        /// The file with the token; - for standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Revokes one access token, or all that were issued until now
    #[command(after_help = "\
It introspects inactive at once. Resource servers that verify by JWKS alone ask
nobody: they accept it until it expires.

Examples:
  agentidp token revoke - --reason 'leaked in a log' --yes < token
  agentidp token revoke --jti 0193f2c5-1a2b-7c3d-8e4f-50617283c001 \\
      --reason 'leaked in a log'
  agentidp token revoke --agent screener-001@acme.example \\
      --reason 'its host was broken into'
  agentidp token revoke --org acme --reason 'incident 12'")]
    Revoke(RevokeTokenArgs),
}

/// Which tokens to revoke, and why.
#[derive(Debug, ClapArgs)]
pub struct RevokeTokenArgs {
    /// Which.
    #[command(flatten)]
    pub which: WhichTokens,
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

impl RevokeTokenArgs {
    /// Reason and consent.
    #[must_use]
    pub fn consent(&self) -> Consent {
        Consent {
            reason: self.reason.clone(),
            revision: super::Revision::default(),
            yes: self.yes,
        }
    }
}

/// One token, or all of somebody.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub struct WhichTokens {
    /// The file with the token; - for standard input
    pub file: Option<PathBuf>,
    /// The token of this id
    #[arg(long)]
    pub jti: Option<String>,
    /// All that were issued to this agent, by id or e-mail
    #[arg(long, add = complete::agents())]
    pub agent: Option<String>,
    /// All that were issued for this credential, by id
    #[arg(long)]
    pub credential: Option<String>,
    /// All that were issued to agents of this organization, by id or name
    #[arg(long, add = complete::organizations())]
    pub org: Option<String>,
}
