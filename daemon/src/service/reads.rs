//! Reads that succeeded, in the audit log: counted, because a console reads every few seconds what
//! nobody wants to find in front of every change. docs/decisions/0016 is the rule.
//!
//! One entry for each who and what, with how often, an hour after the first and when the daemon stops.

use std::collections::HashMap;
use std::time::Duration;

use agentidp_shared::{Action, Entry, Outcome, Timestamp};
use parking_lot::Mutex;

use super::{Caller, Service};
use crate::store::Commit;

/// For how long reads are counted together.
const PERIOD: Duration = Duration::from_hours(1);
/// How many who and what are told apart; the rest is counted by what alone.
const KINDS: usize = 4_096;

#[derive(Debug)]
struct Counted {
    first: Timestamp,
    count: u64,
    /// The newest, without what is of this one alone.
    last: Entry,
}

/// The reads that have no entry yet.
#[derive(Debug, Default)]
pub(super) struct Reads(Mutex<HashMap<(Option<String>, Action), Counted>>);

impl Reads {
    /// Counts what was read once.
    fn count(&self, entry: Entry) {
        let first = entry.time;
        self.add(entry, 1, first);
    }

    /// Counts what `entry` says, for which there was no room, so that it is written as soon as there is.
    fn put_back(&self, entry: Entry) {
        let (count, first) = (entry.count.unwrap_or(1), entry.time.minus(PERIOD));
        self.add(entry, count, first);
    }

    fn add(&self, mut entry: Entry, count: u64, first: Timestamp) {
        let mut reads = self.0.lock();
        let mut kind = (entry.actor.id.clone(), entry.action);
        if reads.len() >= KINDS && !reads.contains_key(&kind) {
            kind.0 = None;
            (entry.actor.id, entry.actor.name) = (None, None);
            (entry.actor.login, entry.actor.address) = (None, None);
            entry.organization_id = None;
        }
        let counted = reads.entry(kind).or_insert_with(|| Counted {
            first,
            count: 0,
            last: entry.clone(),
        });
        counted.count += count;
        counted.last = entry;
    }

    /// What is to be written: what began an hour before `now`, or everything.
    fn take(&self, now: Timestamp, all: bool) -> Vec<Entry> {
        let is_over = |it: &Counted| all || it.first.plus(PERIOD) <= now;
        let mut reads = self.0.lock();
        let over = reads.extract_if(|_, counted| is_over(counted));
        let entries = over.map(|(_, counted)| Entry {
            request_id: None,
            count: Some(counted.count),
            ..counted.last
        });
        entries.collect()
    }
}

impl Service {
    /// Counts that `caller` was shown what it asked for.
    pub(crate) fn note_read(&self, caller: &Caller, action: Action) {
        let mut entry = self.entry(caller, action, Outcome::Success);
        entry.organization_id = caller.reach.single();
        self.reads.count(entry);
    }

    /// Writes the counts whose hour is over; with `all`, all of them.
    pub(crate) fn flush_reads(&self, all: bool) {
        for entry in self.reads.take(self.now(), all) {
            if !self.store.commit_later(Commit::new(entry.clone())) {
                self.reads.put_back(entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use agentidp_shared::Actor;

    use super::*;

    fn read(id: u32, minutes: i64) -> Entry {
        let actor = Actor {
            id: Some(id.to_string()),
            name: Some("alice".to_owned()),
            ..Actor::system()
        };
        let now = Timestamp::from_millis(minutes * 60_000);
        Entry::new(now, actor, Action::AgentList, Outcome::Success)
    }

    #[test]
    fn reads_are_one_entry_an_hour_for_each_who_and_what() {
        let reads = Reads::default();
        for minute in 0..60 {
            reads.count(read(1, minute));
            assert_eq!(reads.take(read(1, minute).time, false), []);
        }
        reads.count(read(2, 59));
        let entries = reads.take(Timestamp::from_millis(60 * 60_000), false);
        let [entry] = entries.as_slice() else {
            panic!("{entries:?}");
        };
        assert_eq!(
            (entry.count, entry.actor.id.as_deref()),
            (Some(60), Some("1"))
        );
        assert_eq!(reads.take(entry.time, true).len(), 1, "at the end, all");
    }

    #[test]
    fn reads_for_which_there_was_no_room_are_written_next_and_still_say_whose_they_are() {
        let reads = Reads::default();
        for _ in 0..3 {
            reads.count(read(1, 0));
        }
        let now = Timestamp::from_millis(60 * 60_000);
        let entries = reads.take(now, false);
        reads.put_back(entries[0].clone());
        assert_eq!(reads.take(now, false), entries);
        assert_eq!(entries[0].count, Some(3));
        assert_eq!(entries[0].actor.id.as_deref(), Some("1"));
    }

    #[test]
    fn a_flood_of_readers_stays_bounded_and_is_counted_whole() {
        let reads = Reads::default();
        for id in 0..10_000 {
            reads.count(read(id, 0));
        }
        let entries = reads.take(Timestamp::from_millis(0), true);
        assert_eq!(entries.len(), KINDS + 1);
        let sum: u64 = entries.iter().filter_map(|entry| entry.count).sum();
        assert_eq!(sum, 10_000);
        let nobody = entries.iter().find(|entry| entry.actor.id.is_none());
        assert_eq!(nobody.map(|entry| entry.actor.name.clone()), Some(None));
    }
}
