//! `agentidp audit prune`.

use std::io::Write;

use agentidp_proto::convert::{duration, to_domain_timestamp};
use agentidp_proto::v1;
use agentidp_shared::Timestamp;
use serde::Serialize;

use crate::args::{Consent, Format, PruneArgs, Revision};
use crate::client::Client;
use crate::error::Error;
use crate::text::{inert, thousands};

use super::output::{Output, Record};
use super::{consent, tell};

/// After this many entries, how far it is is told.
const TOLD_EVERY: u64 = 1 << 18;

/// What is printed.
#[derive(Debug, Serialize)]
struct Pruned {
    is_dry_run: bool,
    entries: u64,
    bytes: u64,
    held: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<Timestamp>,
    audit_seq: u64,
}

impl Record for Pruned {
    const HEADINGS: &'static [&'static str] = &["ENTRIES", "BYTES", "HELD", "AUDIT"];

    fn cells(&self) -> Vec<String> {
        let cells = [self.entries, self.bytes, self.held, self.audit_seq];
        cells.iter().map(u64::to_string).collect()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let removed = if self.is_dry_run {
            "would be removed"
        } else {
            "removed"
        };
        let mut fields = vec![(removed, self.entries.to_string())];
        if let (Some(oldest), Some(newest)) = (self.oldest, self.newest) {
            fields.push(("of", ages(oldest, newest)));
        }
        fields.extend([
            ("bytes of the index", self.bytes.to_string()),
            ("under legal hold", self.held.to_string()),
            ("audit", self.audit_seq.to_string()),
        ]);
        fields
    }
}

pub(super) async fn run(
    client: &Client,
    args: PruneArgs,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let consent = Consent {
        reason: args.reason,
        revision: Revision::default(),
        yes: args.yes,
    };
    let is_dry = args.dry.dry_run;
    if !is_dry {
        consent::check_can_be_had(&consent, true)?;
    }
    let request = v1::PruneAuditRequest {
        older_than: args.older_than.map(duration),
        larger_than: args.larger_than.map(|mebibytes| mebibytes << 20),
        reason: String::new(),
        dry_run: true,
    };
    let mut found = follow(client, request.clone(), "looked at").await?;
    if !is_dry && found.entries > 0 {
        if let (Some(oldest), Some(newest)) = (found.oldest, found.newest) {
            let (oldest, newest) = (to_domain_timestamp(oldest), to_domain_timestamp(newest));
            tell(&format!("entries of {}", ages(oldest, newest)));
        }
        let waits = client.status().await?.retention.waits;
        if !waits.is_empty() {
            // Such as for legal holds that a restored backup lacks.
            tell(&format!(
                "the daemon by itself removes nothing: {}",
                inert(&waits)
            ));
        }
        tell("what is removed cannot be brought back");
        let request = v1::PruneAuditRequest {
            reason: consent::obtain_count(&consent, true, found.entries, "removed")?,
            dry_run: false,
            ..request
        };
        found = follow(client, request, "removed to").await?;
    }
    if found.entries == 0 {
        tell(&nothing(&found));
        // A program gets the record; a person has read all that is in it.
        if output.format() == Format::Table {
            return Ok(());
        }
    }
    output.one(&Pruned {
        is_dry_run: is_dry,
        entries: found.entries,
        bytes: found.bytes,
        held: found.held,
        oldest: found.oldest.map(to_domain_timestamp),
        newest: found.newest.map(to_domain_timestamp),
        audit_seq: found.audit_seq,
    })
}

/// That there was nothing to remove, and how much of what is due stays because of a legal hold.
fn nothing(found: &v1::PruneAuditResponse) -> String {
    let held = match found.held {
        0 => String::new(),
        1 => "; 1 entry of that is under legal hold".to_owned(),
        held => format!("; {} entries of that are under legal hold", thousands(held)),
    };
    format!(
        "there is nothing to remove: nothing is due but what is gone already or is kept for another \
         reason{held} (audit {})",
        found.audit_seq
    )
}

fn ages(oldest: Timestamp, newest: Timestamp) -> String {
    format!("{oldest} to {newest}")
}

async fn follow(
    client: &Client,
    request: v1::PruneAuditRequest,
    verb: &str,
) -> Result<v1::PruneAuditResponse, Error> {
    let mut steps = client.audit_prune(request).await?;
    let (mut last, mut told) = (v1::PruneAuditResponse::default(), TOLD_EVERY);
    while let Some(step) = steps.message().await? {
        if step.next >= told {
            told = step.next.saturating_add(TOLD_EVERY);
            tell(&format!("{verb} entry {} of {}", step.next, step.to));
        }
        last = step;
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_remove_is_a_sentence() {
        let told = |held| {
            nothing(&v1::PruneAuditResponse {
                held,
                audit_seq: 7,
                ..v1::PruneAuditResponse::default()
            })
        };
        assert_eq!(
            told(0),
            "there is nothing to remove: nothing is due but what is gone already or is kept for another \
             reason (audit 7)"
        );
        assert_eq!(
            told(1_204),
            "there is nothing to remove: nothing is due but what is gone already or is kept for another \
             reason; 1,204 entries of that are under legal hold (audit 7)"
        );
    }
}
