//! The entries that an export has only the hashes of, and what it says about them.

use std::ops::Range;

use crate::audit::Pruned;

/// What of a complete export is missing.
#[derive(Debug, Clone, Default)]
pub(super) struct Holes {
    /// Where entries are missing, in order.
    runs: Vec<Range<u64>>,
    /// Where entries say that some were pruned.
    said: Vec<Range<u64>>,
    /// How many they say.
    counted: u64,
}

impl Holes {
    /// The entry at `seq`, which is behind all before it, is missing.
    pub(super) fn add(&mut self, seq: u64) {
        match self.runs.last_mut() {
            Some(last) if last.end == seq => last.end += 1,
            _ => self.runs.push(seq..seq + 1),
        }
    }

    /// An entry says that `count` others were pruned.
    pub(super) fn said(&mut self, pruned: &Pruned, count: Option<u64>) {
        self.said.push(pruned.from..pruned.to);
        self.counted = self.counted.saturating_add(count.unwrap_or_default());
    }

    /// How many entries are missing.
    pub(super) fn count(&self) -> u64 {
        self.runs.iter().map(|it| it.end - it.start).sum()
    }

    /// How many of them at least no entry of the export says to have been pruned.
    pub(super) fn unexplained(&self) -> u64 {
        let said = merged(self.said.clone());
        let explained = self.runs.iter().flat_map(|run| {
            let overlap =
                |it: &Range<u64>| it.end.min(run.end).saturating_sub(it.start.max(run.start));
            said.iter().map(overlap)
        });
        self.count() - explained.sum::<u64>().min(self.counted)
    }
}

/// The same places, each once. The daemon prunes from the front on, so these are few.
fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|it| it.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}
