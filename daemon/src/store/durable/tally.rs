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
const NONE: u64 = u64::MAX;

/// The entry that something in the index came with, and those that what was there before it had come with
/// at two marks: the newest that was begun, and the newest that is known to be on the disk. They are the same
/// but while a mark is being made; until that is done a crash may find either of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Past {
    /// The entry that it came with.
    pub(super) seq: u64,
    /// How many entries the newest mark was after.
    begun: u64,
    /// What that mark counted in its place.
    newer: Option<u64>,
    /// What the mark on the disk counted.
    older: Option<u64>,
}

impl Past {
    /// How many bytes [`Past::write`] writes of what no mark counted.
    pub(super) const LEAST: usize = 8 + 1;

    /// What came with entry `seq`, where nothing was.
    pub(super) const fn new(seq: u64) -> Self {
        Self {
            seq,
            begun: 0,
            newer: None,
            older: None,
        }
    }

    /// What comes with entry `seq`, in the place of this.
    pub(super) fn followed_by(&self, seq: u64, tally: &Tally) -> Self {
        Self {
            seq,
            begun: tally.begun,
            newer: self.at(tally.begun),
            older: self.at(tally.marked),
        }
    }

    /// The same, where the mark that is being made counts nothing of it.
    pub(super) fn left_out(self) -> Self {
        Self {
            newer: None,
            ..self
        }
    }

    /// What a mark after `entries` entries counts: the newest that was begun, or the one on the disk.
    fn at(&self, entries: u64) -> Option<u64> {
        if self.seq < entries {
            Some(self.seq)
        } else if entries >= self.begun {
            self.newer
        } else {
            self.older
        }
    }

    /// Writes it.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.seq.to_be_bytes());
        let all = [
            self.begun,
            self.newer.unwrap_or(NONE),
            self.older.unwrap_or(NONE),
        ];
        let numbers: &[u64] = match (self.newer, self.older) {
            (None, None) => &[],
            (Some(newer), Some(older)) if newer == older => &[newer],
            _ => &all,
        };
        bytes.push(numbers.len().to_le_bytes()[0]);
        for number in numbers {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
    }

    /// Reads it from the front of `bytes`; gives what follows it too. `None` when it is not there.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (seq, bytes) = bytes.split_first_chunk::<8>()?;
        let (count, bytes) = bytes.split_first()?;
        let (numbers, bytes) = bytes.split_at_checked(usize::from(*count) * 8)?;
        let number = |at: usize| {
            let bytes = numbers.get(at * 8..)?.first_chunk::<8>()?;
            Some(u64::from_be_bytes(*bytes))
        };
        let there = |at: usize| number(at).filter(|it| *it != NONE);
        let (begun, newer, older) = match count {
            0 => (0, None, None),
            1 => (0, there(0), there(0)),
            3 => (number(0)?, there(1), there(2)),
            _ => return None,
        };
        let seq = u64::from_be_bytes(*seq);
        let past = Self {
            seq,
            begun,
            newer,
            older,
        };
        Some((past, bytes))
    }
}

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
    /// Counts a key in, as it is and as it was at a mark after `entries` entries.
    pub(super) fn add(&mut self, key: &[u8], past: &Past, entries: u64) {
        let mut one = Sum::default();
        one.add(key, past.seq);
        self.now.add_all(one);
        match past.at(entries) {
            Some(seq) if seq == past.seq => self.then.add_all(one),
            Some(seq) => self.then.add(key, seq),
            None => {}
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
    /// How many had been when a mark was last begun.
    pub(super) begun: u64,
    /// How many had been at the mark that is known to be on the disk: the same, but while one is being made.
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
