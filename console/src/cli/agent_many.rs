//! What `agentidp agent` does to all agents that a filter lets through.

use std::io::{self, IsTerminal as _, Write};

use agentidp_proto::v1;
use agentidp_shared::agent::Transition;
use serde::Serialize;

use crate::args::Consent;
use crate::client::{Bulk, Client, Refused};
use crate::error::Error;
use crate::text::{counted, inert, thousands};

use super::output::{Output, Record};
use super::{consent, tell};

/// How many of those that cannot be moved are named before one is asked.
const NAMED: usize = 10;

/// Something that is to be done to every agent that a filter lets through.
pub(super) struct Many {
    pub(super) filter: v1::AgentFilter,
    pub(super) transition: Transition,
    pub(super) consent: Consent,
    pub(super) takes_reason: bool,
    pub(super) is_dry_run: bool,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// How many agents the filter lets through.
    matched: u64,
    /// How many have been moved, or would be.
    done: u64,
    /// How many were there already.
    unchanged: u64,
    /// Those that could not be moved.
    refused: Vec<Refused>,
    /// Whether nothing was done.
    dry_run: bool,
}

impl Many {
    /// Tells what would be done, asks, and does it to as many agents as were told of.
    pub(super) async fn make(
        self,
        client: &Client,
        output: &mut Output<impl Write>,
    ) -> Result<(), Error> {
        if !self.is_dry_run {
            consent::check_can_be_had(&self.consent, self.takes_reason)?;
        }
        let would = self.run(client, None, String::new()).await?;
        if would.matched == 0 {
            tell("the filter lets no agent through: nothing is there to be done");
        }
        if self.is_dry_run || would.matched == 0 {
            return output.one(&would);
        }
        let verb = self.verb();
        let question = format!(
            "the filter lets {} through: {} to be {verb}, {} {verb} already, {} that cannot be",
            counted(would.matched, "agent"),
            thousands(would.done),
            thousands(would.unchanged),
            thousands(would.refused.len() as u64)
        );
        tell(&question);
        for refused in would.refused.iter().take(NAMED) {
            tell(&format!("  {}", why(refused)));
        }
        if would.refused.len() > NAMED {
            tell("  and more: --dry-run names them all");
        }
        let reason = consent::obtain_count(&self.consent, self.takes_reason, would.matched, verb)?;
        let done = self.run(client, Some(would.matched), reason).await?;
        output.one(&done)?;
        tell(&format!("{verb}: {}", counted(done.done, "agent")));
        if done.refused.is_empty() {
            return Ok(());
        }
        Err(Error::Partly {
            what: format!(
                "{} of {} could not be {verb}",
                thousands(done.refused.len() as u64),
                counted(done.matched, "agent")
            ),
        })
    }

    const fn verb(&self) -> &'static str {
        match self.transition {
            Transition::Suspend => "suspended",
            Transition::Resume => "resumed",
            Transition::Revoke => "revoked",
            Transition::Decommission => "decommissioned",
            Transition::Archive => "archived",
        }
    }

    /// Runs it for real when it is known how many agents are meant, and otherwise dry.
    async fn run(
        &self,
        client: &Client,
        expected: Option<u64>,
        reason: String,
    ) -> Result<Summary, Error> {
        let is_dry_run = expected.is_none();
        let bulk = Bulk {
            filter: self.filter.clone(),
            transition: self.transition,
            reason,
            is_dry_run,
            expected,
        };
        let mut progress = client.transition_many(bulk).await?;
        let mut summary = Summary {
            dry_run: is_dry_run,
            ..Summary::default()
        };
        let shows = !is_dry_run && io::stderr().is_terminal();
        while let Some((so_far, refused)) = progress.next().await? {
            summary.matched = so_far.matched;
            summary.done = so_far.done;
            summary.unchanged = so_far.unchanged;
            summary.refused.extend(refused);
            if shows {
                let gone = so_far.done + so_far.unchanged + summary.refused.len() as u64;
                let line = format!("\r{} of {}", thousands(gone), thousands(so_far.matched));
                // Only for the eye.
                let _ = io::stderr().write_all(line.as_bytes());
            }
        }
        if shows {
            tell("");
        }
        Ok(summary)
    }
}

/// Which agent cannot be moved, and why not.
fn why(refused: &Refused) -> String {
    let who = if refused.email.is_empty() {
        &refused.agent_id
    } else {
        &refused.email
    };
    format!("{}: {} ({})", inert(who), refused.message, refused.code)
}

impl Record for Summary {
    const HEADINGS: &'static [&'static str] = &[];

    fn cells(&self) -> Vec<String> {
        Vec::new()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let done = if self.dry_run {
            "would be done"
        } else {
            "done"
        };
        let mut fields = vec![
            ("matched", self.matched.to_string()),
            (done, self.done.to_string()),
            ("unchanged", self.unchanged.to_string()),
        ];
        for refused in &self.refused {
            fields.push(("refused", why(refused)));
        }
        fields
    }
}
