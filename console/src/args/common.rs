//! Options that several commands have.

use std::time::Duration;

use clap::Args as ClapArgs;

use crate::duration;

/// How much of a list to give.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub struct Limit {
    /// How many to give at most; any number
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
}

/// Whether to show it once or to go on.
#[derive(Debug, Clone, Copy, Default, ClapArgs)]
pub struct Watch {
    /// Look again every INTERVAL, such as 5s [default: 2s], and show what changed, until interrupted
    #[arg(
        long,
        value_name = "INTERVAL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2s",
        value_parser = interval
    )]
    pub watch: Option<Duration>,
}

fn interval(text: &str) -> Result<Duration, String> {
    match duration::parse(text).map_err(|error| error.to_string())? {
        Duration::ZERO => Err("must be at least 1s".to_owned()),
        interval => Ok(interval),
    }
}

/// Whether to do it or only to say what would be done.
#[derive(Debug, Clone, Copy, Default, ClapArgs)]
pub struct DryRun {
    /// Only tell what would be done; the exit code is that of doing it, as far as that can be known
    #[arg(long)]
    pub dry_run: bool,
}

/// What a command that is hard to undo asks for.
#[derive(Debug, ClapArgs)]
pub struct Consent {
    /// Why, for the audit log; asked for on a terminal
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Revision.
    #[command(flatten)]
    pub revision: Revision,
    /// Do it without asking
    #[arg(short, long)]
    pub yes: bool,
}

/// The revision that the caller saw.
#[derive(Debug, Clone, Copy, Default, ClapArgs)]
pub struct Revision {
    /// Only if the record still has this revision
    #[arg(long, visible_alias = "revision", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rev: Option<u64>,
}

impl Revision {
    /// The revision on the wire, where 0 is any.
    #[must_use]
    pub fn seen(self) -> u64 {
        self.rev.unwrap_or(0)
    }
}
