//! How long the audit log keeps its entries, as the daemon's status says it.

use std::fmt;
use std::time::Duration;

use agentidp_proto::convert::{to_domain_duration, to_domain_timestamp};
use agentidp_proto::v1;
use agentidp_shared::{FieldError, Timestamp};
use serde::Serialize;

use crate::duration;
use crate::text::{mebibytes, thousands};

/// What the audit log keeps, and how the last look for the rest went.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RetentionStatus {
    /// How old entries become, in seconds; none: as old as they like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_for_seconds: Option<u64>,
    /// How many bytes of the index they may take; 0: as many as there are.
    pub keep_bytes: u64,
    /// When it was last looked; none: not since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ran_at: Option<Timestamp>,
    /// How many entries were removed then.
    pub entries: u64,
    /// How many old ones were kept then because of a legal hold.
    pub held: u64,
    /// Why they could not be removed then.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub failure: String,
    /// Why nothing is removed unasked for a time.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub waits: String,
    /// Until when, if the daemon goes on serving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<Timestamp>,
    /// The time of the oldest entry that would have been removed but for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overdue: Option<Timestamp>,
}

impl TryFrom<v1::status::Retention> for RetentionStatus {
    type Error = FieldError;

    fn try_from(it: v1::status::Retention) -> Result<Self, FieldError> {
        let keep_for = it.keep_for.map(|it| to_domain_duration(it, "keep_for"));
        Ok(Self {
            keep_for_seconds: keep_for.transpose()?.map(|it| it.as_secs()),
            keep_bytes: it.keep_bytes,
            ran_at: it.ran_at.map(to_domain_timestamp),
            entries: it.entries,
            held: it.held,
            failure: it.failure,
            waits: it.waits,
            waits_until: it.waits_until.map(to_domain_timestamp),
            overdue: it.overdue.map(to_domain_timestamp),
        })
    }
}

impl fmt::Display for RetentionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.keep_for_seconds, self.keep_bytes) {
            (None, 0) => return f.write_str("everything is kept"),
            (Some(seconds), 0) => {
                let age = duration::exact(Duration::from_secs(seconds));
                write!(f, "entries are kept for {age}")?;
            }
            (None, size) => write!(f, "{} of entries are kept", mebibytes(size))?,
            (Some(seconds), size) => {
                let (age, size) = (
                    duration::exact(Duration::from_secs(seconds)),
                    mebibytes(size),
                );
                write!(f, "entries are kept for {age}, and {size} of them")?;
            }
        }
        let Some(ran_at) = self.ran_at else {
            return Ok(());
        };
        if !self.failure.is_empty() {
            return write!(f, "; nothing pruned at {ran_at}: {}", self.failure);
        }
        if let Some(until) = self.waits_until {
            write!(
                f,
                "; nothing is pruned unasked until {until}: {}",
                self.waits
            )?;
            return match self.overdue {
                Some(overdue) => write!(f, "; the oldest that waits is of {overdue}"),
                None => Ok(()),
            };
        }
        // Whoever prunes by hand does that beside it.
        write!(f, "; it pruned {} at {ran_at}", thousands(self.entries))?;
        if self.held > 0 {
            write!(f, ", {} under legal hold", thousands(self.held))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nothing_is_pruned_for_a_time_is_said_as_planned_and_not_as_a_failure() {
        let at = |millis| Some(Timestamp::from_millis(millis));
        let waiting = RetentionStatus {
            keep_for_seconds: Some(90 * 86_400),
            ran_at: at(1_800_000_000_000),
            waits: "the store was restored".to_owned(),
            waits_until: at(1_800_086_400_000),
            overdue: at(1_700_000_000_000),
            ..RetentionStatus::default()
        };
        assert_eq!(
            waiting.to_string(),
            "entries are kept for 90d; nothing is pruned unasked until 2027-01-16T08:00:00.000Z: the store was restored; the oldest that waits is of 2023-11-14T22:13:20.000Z"
        );
    }
}
