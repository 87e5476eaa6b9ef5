//! The words of `agentidp org`.

use std::time::Duration;

use clap::{ArgGroup, Args as ClapArgs, Subcommand};

use super::{Consent, DryRun, Limit, Revision, Watch};
use crate::{complete, duration};

/// What `org` can do.
#[derive(Debug, Subcommand)]
pub enum OrgCommand {
    /// Creates an organization
    Create {
        /// Its name: lower-case letters, digits and hyphens
        name: String,
        /// What it may have, by the name that the configuration gives it [default: as configured]
        #[arg(long)]
        tier: Option<String>,
        /// Do it or not.
        #[command(flatten)]
        dry: DryRun,
    },
    /// Lists organizations, newest first
    List {
        /// How many.
        #[command(flatten)]
        limit: Limit,
        /// Once or for ever.
        #[command(flatten)]
        watch: Watch,
    },
    /// Shows one organization
    Show {
        /// The organization's id or name
        #[arg(add = complete::organizations())]
        organization: String,
        /// Once or for ever.
        #[command(flatten)]
        watch: Watch,
    },
    /// Changes what an organization may have, or how old its credentials may become
    #[command(after_help = "\
Examples:
  agentidp org update acme --tier unlimited
  agentidp org update acme --max-credential-age 90d
  agentidp org update acme --max-credential-age none")]
    #[command(group(
        ArgGroup::new("limits").args(["tier", "max_credential_age"]).required(true).multiple(true)
    ))]
    Update {
        /// The organization's id or name
        #[arg(add = complete::organizations())]
        organization: String,
        /// What it may have, by the name that the configuration gives it
        #[arg(long)]
        tier: Option<String>,
        /// How old a credential may become before it is retired, such as 90d; none: any age
        #[arg(long, value_name = "DURATION", value_parser = age_limit)]
        max_credential_age: Option<AgeLimit>,
        /// Revision.
        #[command(flatten)]
        revision: Revision,
        /// Do it or not.
        #[command(flatten)]
        dry: DryRun,
    },
    /// Suspends an organization: none of its agents gets a token, and those they have are dead
    #[command(after_help = "\
Example:
  agentidp org suspend acme --reason 'contract ended' --yes")]
    Suspend {
        /// The organization's id or name
        #[arg(add = complete::organizations())]
        organization: String,
        /// Reason and consent.
        #[command(flatten)]
        consent: Consent,
        /// Do it or not.
        #[command(flatten)]
        dry: DryRun,
    },
    /// Lets the agents of a suspended organization ask for tokens again
    Resume {
        /// The organization's id or name
        #[arg(add = complete::organizations())]
        organization: String,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Revision.
        #[command(flatten)]
        revision: Revision,
        /// Do it or not.
        #[command(flatten)]
        dry: DryRun,
        /// Accepted for symmetry: resuming never asks
        #[arg(short, long)]
        yes: bool,
    },
    /// Puts an organization under legal hold: its entries stay in the audit log, however old
    Hold(HoldArgs),
    /// Lifts the legal hold of an organization
    #[command(after_help = "\
From then on its entries are removed when they are old, which cannot be undone.")]
    Release(HoldArgs),
}

/// An organization whose entries are to stay, or need not any more.
#[derive(Debug, ClapArgs)]
pub struct HoldArgs {
    /// The organization's id or name
    #[arg(add = complete::organizations())]
    pub organization: String,
    /// Reason and consent.
    #[command(flatten)]
    pub consent: Consent,
    /// Do it or not.
    #[command(flatten)]
    pub dry: DryRun,
}

/// How old a credential may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgeLimit {
    /// So old.
    Of(Duration),
    /// As old as it likes.
    None,
}

fn age_limit(text: &str) -> Result<AgeLimit, String> {
    match text {
        "none" => Ok(AgeLimit::None),
        text => duration::parse(text)
            .map(AgeLimit::Of)
            .map_err(|rule| format!("{rule}, or none")),
    }
}
