//! How the daemon is: what it says of itself, and what its log brings each second.

use std::collections::{BTreeMap, VecDeque};

use agentidp_shared::{Action, Entry, Outcome, Timestamp};

use crate::client::{AgentCounts, SECONDS};

/// How many refusals are remembered by whom they concern.
const DENIALS: usize = 5_000;

/// How often the daemon is asked while its health is shown.
pub(crate) const EVERY: std::time::Duration = std::time::Duration::from_secs(2);

/// What is known.
#[derive(Debug, Default)]
pub(crate) struct Health {
    pub(crate) counts: Option<AgentCounts>,
    pub(crate) failed: Option<String>,
    /// When the daemon was last asked.
    pub(crate) asked: Option<Timestamp>,
    pub(crate) rates: Rates,
}

/// What the log brought in the last minute, by the second that it came here.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    seconds: BTreeMap<i64, Second>,
    /// Who was refused and how often, the newest last.
    denials: VecDeque<(i64, String, u64)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Second {
    entries: u64,
    issued: u64,
    denied: u64,
}

/// How many seconds an entry that counts is about: it is written when a minute is over.
const SPAN: i64 = 60;

/// A count over so many seconds, of which nobody knows which they were, as evenly as whole numbers go.
fn shares(count: u64, span: i64) -> impl Iterator<Item = u64> {
    let span = u64::try_from(span).unwrap_or(1);
    let until = move |second: u64| u128::from(count) * u128::from(second) / u128::from(span);
    (0..span).map(move |it| u64::try_from(until(it + 1) - until(it)).unwrap_or(u64::MAX))
}

fn second(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(1_000)
}

impl Rates {
    /// Takes in an entry that came now.
    pub(crate) fn note(&mut self, entry: &Entry, now: Timestamp) {
        let at = second(now);
        let count = entry.count.unwrap_or(1);
        let is_issued = entry.action == Action::TokenIssue && entry.outcome == Outcome::Success;
        let is_denied = entry.outcome == Outcome::Denied;
        self.slot(at).entries += 1;
        let span = if entry.count.is_some() { SPAN } else { 1 };
        for (back, share) in (0..span).zip(shares(count, span)) {
            let slot = self.slot(at - back);
            slot.issued += if is_issued { share } else { 0 };
            slot.denied += if is_denied { share } else { 0 };
        }
        if is_denied {
            let of_agent = entry.agent_id.map(|id| id.to_string());
            let who = of_agent.or_else(|| entry.actor.id.clone());
            let who = who
                .or_else(|| entry.actor.address.clone())
                .unwrap_or_default();
            self.denials.push_back((at, who, count));
            if self.denials.len() > DENIALS {
                self.denials.pop_front();
            }
        }
    }

    /// What came in one second, to be added to.
    fn slot(&mut self, at: i64) -> &mut Second {
        while self.seconds.len() > SECONDS {
            self.seconds.pop_first();
        }
        self.seconds.entry(at).or_default()
    }

    /// What came in each of the last sixty whole seconds, oldest first: tokens issued, and refusals.
    pub(crate) fn lines(&self, now: Timestamp) -> (Vec<u64>, Vec<u64>) {
        let end = second(now);
        let of = |at| self.seconds.get(&at).copied().unwrap_or_default();
        let span = i64::try_from(SECONDS).unwrap_or(60);
        (end - span..end)
            .map(of)
            .map(|it| (it.issued, it.denied))
            .unzip()
    }

    /// How many entries came a second, over the last ten, in tenths.
    pub(crate) fn entries_in_ten_seconds(&self, now: Timestamp) -> u64 {
        let from = second(now) - 10;
        let last = self.seconds.range(from..from + 10);
        last.map(|(_, it)| it.entries).sum()
    }

    /// Who was refused most in the last minute, and how many of a hundred of the refusals are its.
    pub(crate) fn top_denied(&self, now: Timestamp) -> Option<(&str, u64)> {
        let from = second(now) - i64::try_from(SECONDS).unwrap_or(60);
        let mut by = BTreeMap::<&str, u64>::new();
        for (at, who, count) in &self.denials {
            if *at >= from {
                *by.entry(who).or_default() += count;
            }
        }
        let all: u64 = by.values().sum();
        let (who, count) = by.into_iter().max_by_key(|(_, count)| *count)?;
        Some((who, count * 100 / all.max(1)))
    }
}
