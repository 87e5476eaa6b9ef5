//! The words of `agentidp credential`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};

use super::{Consent, DryRun, Limit, Revision, Watch};
use crate::{complete, duration};

/// Why a credential should be looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Review {
    /// It expires soon
    Expiring,
    /// It was replaced, and somebody still uses it
    RetiringUsed,
    /// No token was ever asked for with it
    NeverUsed,
}

impl Review {
    /// The word that the daemon knows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Expiring => "expiring",
            Self::RetiringUsed => "retiring_used",
            Self::NeverUsed => "never_used",
        }
    }
}

/// What `credential` can do.
#[derive(Debug, Subcommand)]
pub enum CredentialCommand {
    /// Issues a client secret, which is shown once, or a credential for a public key
    #[command(after_help = "\
A public key is a JWK (RFC 7517): EC P-256 or P-384, Ed25519, or RSA. The agent
signs assertions with its private half (private_key_jwt, RFC 7523), which never
leaves it.

Examples:
  agentidp credential issue screener-001@acme.example --expires-in 90d \\
      --secret-out s.secret
  agentidp credential issue screener-001@acme.example -o json |
      jq -r .client_secret
  agentidp credential issue screener-001@acme.example --public-key screener.jwk")]
    Issue {
        /// The agent's id or e-mail
        #[arg(add = complete::agents())]
        agent: String,
        /// How long it is accepted, such as 90d or 1h30m [default: until it is revoked; the console proposes 90d]
        #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
        expires_in: Option<Duration>,
        /// Accept this public key instead of making a secret: a file with a JWK, or - for standard input
        #[arg(long, value_name = "FILE")]
        public_key: Option<PathBuf>,
        /// Write the secret to this new file (mode 0600) and do not show it
        #[arg(long, value_name = "FILE", conflicts_with = "public_key")]
        secret_out: Option<PathBuf>,
        /// Do it or not.
        #[command(flatten)]
        dry: DryRun,
    },
    /// Issues a successor; the old credential is accepted until its grace is over
    #[command(after_help = "\
Examples:
  agentidp credential rotate 0193f2c5-1a2b-7c3d-8e4f-50617283c001 --grace 2h \\
      --secret-out s.secret
  agentidp credential rotate 0193f2c5-1a2b-7c3d-8e4f-50617283c001 \\
      --public-key new.jwk")]
    Rotate {
        /// The credential's id
        credential: String,
        /// How long the old one is still accepted; 0s: not at all [default: 24h]
        #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
        grace: Option<Duration>,
        /// The successor of a public key: a file with a JWK, or - for standard input
        #[arg(long, value_name = "FILE")]
        public_key: Option<PathBuf>,
        /// Revision.
        #[command(flatten)]
        revision: Revision,
        /// Write the secret to this new file (mode 0600) and do not show it
        #[arg(long, value_name = "FILE", conflicts_with = "public_key")]
        secret_out: Option<PathBuf>,
        /// Do it or not.
        #[command(flatten)]
        dry: DryRun,
    },
    /// Cuts a credential off, and the tokens it got, for good
    #[command(after_help = "\
Example:
  agentidp credential revoke 0193f2c5-1a2b-7c3d-8e4f-50617283c001 \\
      --reason 'leaked in a log' --yes")]
    Revoke {
        /// The credential's id
        credential: String,
        /// Reason and consent.
        #[command(flatten)]
        consent: Consent,
        /// Do it or not.
        #[command(flatten)]
        dry: DryRun,
    },
    /// Lists an agent's credentials, newest first, with when and how often each was used
    List {
        /// The agent's id or e-mail
        #[arg(add = complete::agents())]
        agent: String,
        /// Once or for ever.
        #[command(flatten)]
        watch: Watch,
    },
    /// Lists credentials of all agents that somebody should look after
    #[command(after_help = "\
Examples:
  agentidp credential review expiring --within 30d
  agentidp credential review retiring-used -o ndjson")]
    Review {
        /// Which ones
        #[arg(value_enum)]
        kind: Review,
        /// How near the end of one that expires is [default: 7d]
        #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
        within: Option<Duration>,
        /// How many.
        #[command(flatten)]
        limit: Limit,
    },
    /// Shows one credential
    Show {
        /// The credential's id
        credential: String,
        /// Once or for ever.
        #[command(flatten)]
        watch: Watch,
    },
}
