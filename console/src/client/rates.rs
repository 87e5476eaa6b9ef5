//! What came of requests for tokens lately.

use std::time::Duration;

use agentidp_proto::convert::{to_domain_duration, to_domain_timestamp};
use agentidp_proto::v1;
use agentidp_shared::{FieldError, Timestamp};
use serde::Serialize;

/// How many hours an agent's go back, the one under way included.
pub const HOURS: usize = 24;

/// How many whole seconds the installation's go back.
pub const SECONDS: usize = 60;

/// What one agent got and was refused, by the hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentActivity {
    /// What was before is not known.
    pub since: Timestamp,
    /// How many tokens it got in each of the last [`HOURS`] whole hours of UTC, the one under way last.
    pub issued: Vec<u64>,
    /// How many requests for one were refused.
    pub denied: Vec<u64>,
}

/// What the installation issued and refused in the last minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenRates {
    /// How many tokens were issued in each of the last [`SECONDS`] whole seconds, oldest first.
    pub issued: Vec<u64>,
    /// How many requests were refused.
    pub denied: Vec<u64>,
    /// The time within which 99 of 100 of them were issued; none: none was issued.
    pub p99: Option<Duration>,
}

impl TryFrom<v1::AgentActivity> for AgentActivity {
    type Error = FieldError;

    fn try_from(it: v1::AgentActivity) -> Result<Self, FieldError> {
        let since = it
            .since
            .ok_or(FieldError::new("since", "must be present"))?;
        Ok(Self {
            since: to_domain_timestamp(since),
            issued: newest(&it.issued, HOURS),
            denied: newest(&it.denied, HOURS),
        })
    }
}

impl TryFrom<v1::TokenRates> for TokenRates {
    type Error = FieldError;

    fn try_from(it: v1::TokenRates) -> Result<Self, FieldError> {
        let p99 = it.p99.map(|it| to_domain_duration(it, "tokens.p99"));
        Ok(Self {
            issued: newest(&it.issued, SECONDS),
            denied: newest(&it.denied, SECONDS),
            p99: p99.transpose()?,
        })
    }
}

/// The last `count` of them, however many came.
fn newest(counts: &[u32], count: usize) -> Vec<u64> {
    let missing = count.saturating_sub(counts.len());
    let known = counts.iter().skip(counts.len().saturating_sub(count));
    std::iter::repeat_n(0, missing)
        .chain(known.map(|it| u64::from(*it)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn however_many_counts_come_so_many_are_taken() {
        assert_eq!(newest(&[1, 2, 3], 2), [2, 3]);
        assert_eq!(newest(&[1], 3), [0, 0, 1]);
    }
}
