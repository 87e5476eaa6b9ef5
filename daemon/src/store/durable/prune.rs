//! Removing entries from the index that are kept no longer. Their hashes stay in the tree's tiles.

use std::collections::BTreeMap;

use agentidp_shared::{Entry, Pruned};

use super::bundle::{self, PRUNED};
use super::index::Index;
use crate::store::{ReadError, StoredEntry};

type Read<T> = Result<T, ReadError>;

/// Whether `stored` is one of those that are removed.
fn is_removed(pruned: &Pruned, stored: &StoredEntry) -> bool {
    // Of what cannot be read it cannot be told that nobody has a legal hold on it.
    serde_json::from_slice::<Entry>(&stored.json).is_ok_and(|it| pruned.removes(&it))
}

/// What entries of the log say was pruned, found by the places that they say it of.
#[derive(Debug, Default)]
pub(super) struct Prunings {
    /// By the first of these places, and by the place of the entry that says so; with how many it removed.
    found: BTreeMap<(u64, u64), (Pruned, u64)>,
    /// How many places the longest is of.
    longest: u64,
}

impl Prunings {
    /// Takes in what the entry at `seq` says, if it says so.
    pub(super) fn add(&mut self, seq: u64, entry: &Entry) {
        if let Some(pruned) = entry.pruned.clone() {
            self.longest = self.longest.max(pruned.to.saturating_sub(pruned.from));
            let count = entry.count.unwrap_or(0);
            self.found.insert((pruned.from, seq), (pruned, count));
        }
    }

    /// Those that can be of a place from `first` to `last`: however many there are, only few begin near by.
    pub(super) fn near(&self, first: u64, last: u64) -> impl Iterator<Item = &Pruned> {
        let begin = first.saturating_sub(self.longest);
        let near = self.found.range((begin, 0)..=(last, u64::MAX));
        near.map(|(_, (pruned, _))| pruned)
    }

    /// How many entries were removed, by what the entries from `seq` on say.
    pub(super) fn removed_from(&self, seq: u64) -> u64 {
        let found = self.found.iter();
        let since = found.filter(|((_, by), _)| *by >= seq);
        since.map(|(_, (_, count))| count).sum()
    }
}

/// While it is there, what is pruned is told to one who checks the index meanwhile.
pub(super) struct Telling<'a>(&'a Index);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        *self.0.prunings.lock() = None;
    }
}

impl Index {
    /// Has what is pruned from here on told in [`Index::prunings`].
    pub(super) fn tell_prunings(&self) -> Telling<'_> {
        *self.prunings.lock() = Some(Prunings::default());
        Telling(self)
    }

    /// Removes from the full bundles what `entry` says is removed, if it says so. Doing it again changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// When a bundle cannot be read or written.
    pub(super) fn prune(&self, entry: &Entry) -> Read<()> {
        let Some(pruned) = &entry.pruned else {
            return Ok(());
        };
        // First, so that whoever finds one missing finds why.
        if let Some(told) = &mut *self.prunings.lock() {
            told.add(entry.seq, entry);
        }
        for number in pruned.from / bundle::ENTRIES..pruned.to.div_ceil(bundle::ENTRIES) {
            let packed = self.bundle(number)?;
            if packed.is_empty() {
                // It is not full yet.
                break;
            }
            let mut entries = bundle::unpack(number, &packed)?;
            let before = entries.len();
            entries.retain(|stored| !is_removed(pruned, stored));
            let summary = self.summary(number)?;
            let hides = entries.is_empty() && *summary != *PRUNED;
            if entries.len() < before || hides {
                let summary = if hides { PRUNED } else { &*summary };
                self.replace_bundle(number, &bundle::pack(number, &entries)?, summary)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use agentidp_shared::{Action, Actor, Outcome, Timestamp};

    use super::*;

    #[test]
    fn of_many_prunings_only_the_few_near_a_place_are_looked_at() {
        const STEP: u64 = 16 * bundle::ENTRIES;
        let mut prunings = Prunings::default();
        let mut entry = Entry::new(
            Timestamp::from_millis(0),
            Actor::system(),
            Action::AuditPrune,
            Outcome::Success,
        );
        entry.count = Some(STEP);
        // Ten million entries, and the last step twice, as when a hold was lifted.
        let steps = 2_442;
        for step in (0..steps).chain([steps - 1]) {
            entry.pruned = Some(Pruned {
                from: step * STEP,
                to: (step + 1) * STEP,
                held: Vec::new(),
            });
            entry.seq += 1;
            prunings.add(entry.seq, &entry);
        }
        let mut looked_at = 0;
        for number in 0..steps * 16 {
            let (first, last) = bundle::range(number);
            let near: Vec<_> = prunings.near(first, last).collect();
            looked_at += near.len();
            for seq in [first, last] {
                assert!(near.iter().any(|it| it.covers(seq, None)), "{seq}");
            }
        }
        assert!(looked_at < 3 * 16 * 2_442, "{looked_at}");
        let (first, last) = bundle::range(steps * 16);
        assert!(!prunings.near(first, last).any(|it| it.covers(first, None)));
        assert_eq!(prunings.removed_from(0), (steps + 1) * STEP);
        assert_eq!(prunings.removed_from(entry.seq), STEP);
    }
}
