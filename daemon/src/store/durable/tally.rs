//! How it is told that the index still holds what it held when it was last known to be durable.

use agentidp_shared::StoreId;
use serde::{Deserialize, Serialize};

use super::frame::sha256;
use crate::store::form::hex;

/// How far the index is known to be on the disk, and so from where it is to be brought up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The store that the index belongs to.
    pub(super) store_id: StoreId,
    /// The sled database that the mark belongs to.
    pub(super) generation: u64,
    /// Every frame before this one is in the index.
    pub(super) frame: u64,
    /// The first entry of the bundle that is not full yet.
    pub(super) open_seq: u64,
    /// How many entries were applied.
    pub(super) entries: u64,
    /// How many records there were then, and the sum that their keys and last entries make.
    pub(super) records: u64,
    /// See [`Mark::records`].
    pub(super) sum: String,
}

/// What the index holds, as a number that any change of it changes: sled drops what it finds
/// damaged, and so may silently go back to an earlier state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// How many records there are.
    pub(super) records: u64,
    /// The sum that their keys and last entries make, in whatever order.
    pub(super) sum: u128,
    /// How many entries were applied.
    pub(super) entries: u64,
    /// How many had been when the index was last marked.
    pub(super) marked: u64,
}

impl Tally {
    /// Counts a record in.
    pub(super) fn add(&mut self, key: &[u8], seq: u64) {
        self.records = self.records.wrapping_add(1);
        self.sum = self.sum.wrapping_add(weight(key, seq));
    }

    /// Counts a record out.
    pub(super) fn remove(&mut self, key: &[u8], seq: u64) {
        self.records = self.records.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(weight(key, seq));
    }

    /// Whether it is what `mark` remembers.
    pub(super) fn is_of(&self, mark: &Mark) -> bool {
        self.records == mark.records && hex(&self.sum.to_be_bytes()) == mark.sum
    }
}

/// What one record adds to the sum.
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
        let (mut one, mut other) = (Tally::default(), Tally::default());
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
