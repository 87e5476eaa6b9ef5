//! How it is told that the index still holds what it held when it was last known to be durable.

use std::ops::Range;

use agentidp_shared::StoreId;
use serde::{Deserialize, Serialize};

use super::bundle;
use super::database::NAMES;
use super::kept::MARGIN;
use crate::crypto::sha256;
use crate::store::form::hex;

/// How far the index is known to be on the disk, and so from where it is to be brought up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The version of the index's form.
    pub(super) form: u32,
    /// The store that the index belongs to.
    pub(super) store_id: StoreId,
    /// The folder of the sled database that the mark belongs to.
    pub(super) database: String,
    /// The sled database that the mark belongs to.
    pub(super) generation: u64,
    /// Every frame before this one is in the index.
    pub(super) frame: u64,
    /// The first entry of the bundle that is not full yet.
    pub(super) open_seq: u64,
    /// How many entries were applied.
    pub(super) entries: u64,
    /// About how many bytes the records, bundles and summaries had.
    pub(super) bytes: u64,
    /// How many records there were then, and the sum that their keys and last entries make.
    pub(super) records: u64,
    /// See [`Mark::records`].
    pub(super) sum: String,
    /// The same of what was kept for a time and would expire after `kept_after`.
    pub(super) kept: u64,
    /// See [`Mark::kept`].
    pub(super) kept_sum: String,
    /// A time in milliseconds: what expired until then may be gone.
    pub(super) kept_after: i64,
}

/// No entry.
pub(super) const NONE: u64 = u64::MAX;

/// Some keys with an entry each, as a number that any change of them changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// How many there are.
    pub(super) count: u64,
    /// What they add up to, in whatever order.
    sum: u128,
}

impl Sum {
    /// Counts a key in.
    pub(super) fn add(&mut self, key: &[u8], seq: u64) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(weight(key, seq));
    }

    /// Counts a key out.
    pub(super) fn remove(&mut self, key: &[u8], seq: u64) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(weight(key, seq));
    }

    /// Counts in what another sum has.
    pub(super) fn add_all(&mut self, other: Self) {
        self.count = self.count.wrapping_add(other.count);
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// The sum in hex.
    pub(super) fn hex(&self) -> String {
        hex(&self.sum.to_be_bytes())
    }
}

/// Sums of what there is now and of what there was at a mark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct NowAndThen {
    /// Now.
    pub(super) now: Sum,
    /// Then.
    pub(super) then: Sum,
}

impl NowAndThen {
    /// Counts a key in whose last entry is `seq`, and was `settled` at a mark after `entries` entries
    /// if it has changed since.
    pub(super) fn add(&mut self, key: &[u8], seq: u64, settled: u64, entries: u64) {
        let mut one = Sum::default();
        one.add(key, seq);
        self.now.add_all(one);
        if seq < entries {
            self.then.add_all(one);
        } else if settled != NONE {
            self.then.add(key, settled);
        }
    }

    /// Counts in what others have.
    pub(super) fn add_all(&mut self, other: Self) {
        self.now.add_all(other.now);
        self.then.add_all(other.then);
    }
}

/// What the index holds: sled drops what it finds damaged, and so may silently go back to an earlier
/// state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// The records.
    pub(super) records: Sum,
    /// What is kept for a time and has not expired.
    pub(super) kept: Sum,
    /// How many entries were applied.
    pub(super) entries: u64,
    /// How many had been when the index was last marked.
    pub(super) marked: u64,
    /// About how many bytes the records, bundles and summaries have.
    pub(super) bytes: u64,
}

impl Tally {
    /// Something of `before` bytes has `now` bytes.
    pub(super) fn resize(&mut self, before: usize, now: usize) {
        let (before, now) = (before as u64, now as u64);
        self.bytes = self.bytes.saturating_add(now).saturating_sub(before);
    }
}

impl Mark {
    /// The folder of its database, if it is one of those that there can be.
    pub(super) fn name(&self) -> Option<&'static str> {
        NAMES.into_iter().find(|name| *name == self.database)
    }

    /// Whether the index held these records and kept these when it was marked.
    pub(super) fn is_of(&self, records: Sum, kept: Sum) -> bool {
        (records.count, kept.count) == (self.records, self.kept)
            && (records.hex(), kept.hex()) == (self.sum.clone(), self.kept_sum.clone())
    }
}

/// What a mark says is a file's word. What of it the log tells too must be so: what the mark says that the index has
/// is not looked for in the journal again.
impl Mark {
    /// What is wrong with it for a log of `entries` entries, in which its frame has those at `places`; `None` for a
    /// frame that the journal has not.
    pub(super) fn misfit(&self, places: Option<&Range<u64>>, entries: u64) -> Option<String> {
        let Self {
            frame, open_seq, ..
        } = *self;
        if self.name().is_none() {
            return Some("its mark names no database".to_owned());
        }
        let Some(places) = places else {
            return Some(format!(
                "it goes on with frame {frame}, says its mark, which the journal has not: it is of another journal, or has what never happened"
            ));
        };
        // The frame of the first entry that is in no full bundle, or of the last that is.
        let is_there = places.start <= open_seq && open_seq <= places.end;
        if !is_there || !open_seq.is_multiple_of(bundle::ENTRIES) {
            return Some(format!(
                "it has bundles of the entries before {open_seq}, says its mark, and goes on with frame {frame}, which has the entries {} to {}: the mark was changed, or is of another log",
                places.start,
                places.end.saturating_sub(1)
            ));
        }
        (self.entries < open_seq || self.entries > entries).then(|| {
            format!(
                "it has what the first {} entries changed, says its mark, with bundles of the entries before {open_seq} of {entries}: the mark was changed, or is of another log",
                self.entries
            )
        })
    }

    /// What is wrong with it where `latest` is the latest time, in milliseconds, of the entries from its frame on: with
    /// one of them it was made, and only what had expired by then is not counted.
    pub(super) fn forgets_too_much(&self, latest: i64) -> Option<String> {
        (self.kept_after > latest.saturating_sub(MARGIN)).then(|| {
            format!(
                "it need not have what expired by {} ms, says its mark, which is later than the log: the mark was changed, or is of another log",
                self.kept_after
            )
        })
    }
}

/// What one key adds to the sum.
fn weight(key: &[u8], seq: u64) -> u128 {
    let digest = sha256(&[key, &seq.to_be_bytes()].concat());
    digest
        .first_chunk()
        .map_or(0, |bytes| u128::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_out_and_in_again_in_any_order_is_the_same() {
        let (mut one, mut other) = (Sum::default(), Sum::default());
        one.add(b"a", 1);
        one.add(b"b", 2);
        other.add(b"b", 2);
        other.add(b"a", 9);
        assert_ne!(one, other);
        other.remove(b"a", 9);
        other.add(b"a", 1);
        assert_eq!(one, other);
    }
}
