//! Entries that are not there because they were pruned, and those that only seem to be.

use agentidp_shared::merkle::NodeHash;

use super::super::bundle::{self, Summary};
use super::super::index::Index;
use super::log::{Expected, Short, tile_digest};
use super::{Check, Finding, Part};
use crate::store::{ReadError, StoredEntry};

/// The digest of the tile that a bundle's entries make. What was pruned of them counts as the tile in
/// the index has it, which is held against the log for itself.
pub(super) fn bundle_digest(
    index: &Index,
    number: u64,
    entries: &[StoredEntry],
) -> Result<Short, ReadError> {
    let (first, last) = bundle::range(number);
    let leaf = |entry: &StoredEntry| NodeHash::of_leaf(&entry.json);
    if entries.len() as u64 == bundle::ENTRIES {
        return Ok(tile_digest(&entries.iter().map(leaf).collect::<Vec<_>>()));
    }
    let mut there = entries.iter().peekable();
    let hashes = index.tile(0, number)?.into_iter().zip(first..=last);
    let leaves = hashes.map(|(hash, seq)| match there.next_if(|it| it.seq == seq) {
        Some(entry) => leaf(entry),
        None => hash,
    });
    Ok(tile_digest(&leaves.collect::<Vec<_>>()))
}

/// Whether each of `entries` is found by the summary `found`.
pub(super) fn finds(found: &[u8], entries: &[StoredEntry]) -> bool {
    let mut own = Summary::new();
    for stored in entries {
        if let Ok(entry) = serde_json::from_slice(&stored.json) {
            own.add(&entry);
        }
    }
    let mut pairs = own.as_bytes().iter().zip(found);
    entries.is_empty()
        || (found.len() == own.as_bytes().len() && pairs.all(|(own, it)| own & it == *own))
}

impl Check<'_> {
    /// What bundle `number` lacks was pruned, and what it has was not.
    pub(super) fn lacking(
        &mut self,
        index: &Index,
        expected: &Expected,
        number: u64,
        entries: &[StoredEntry],
    ) {
        let mut there = entries.iter().peekable();
        // Read before this, so it has what was pruned until then.
        let prunings = index.prunings.lock();
        let (first, last) = bundle::range(number);
        for seq in first..=last {
            let is_there = there.next_if(|entry| entry.seq == seq).is_some();
            let must_be_gone = expected.pruned.contains(seq);
            let may_be_gone = must_be_gone
                || expected.pruned_late.contains(seq)
                || prunings.as_ref().is_some_and(|it| it.contains(seq));
            let problem = match is_there {
                true if must_be_gone => {
                    "it is there, and the log says that it was pruned: it was put back, or the log was made to say so of what is under legal hold"
                }
                false if !may_be_gone => "it is not there, and no entry says that it was pruned",
                _ => {
                    self.report.pruned += u64::from(!is_there);
                    continue;
                }
            };
            let finding = Finding::entry(Part::Index, seq, problem.to_owned());
            self.report.add(finding);
        }
    }
}
