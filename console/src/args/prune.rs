//! `agentidp audit prune`: what goes.

use std::time::Duration;

use clap::Args as ClapArgs;

use crate::duration;

use super::DryRun;

/// What of the audit log goes, and why.
#[derive(Debug, ClapArgs)]
pub struct PruneArgs {
    /// Only entries that are older, such as 90d
    #[arg(long, value_name = "AGE", value_parser = duration::parse)]
    pub older_than: Option<Duration>,
    /// The oldest, until the others take no more than so many MiB of the index
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..1 << 40))]
    pub larger_than: Option<u64>,
    /// Why, for the audit log; asked for on a terminal
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do it without asking
    #[arg(short, long)]
    pub yes: bool,
    /// Do it or not.
    #[command(flatten)]
    pub dry: DryRun,
}
