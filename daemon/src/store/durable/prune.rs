//! Removing entries from the index that are kept no longer. Their hashes stay in the tree's tiles.

use std::collections::HashMap;

use agentidp_shared::{Entry, OrganizationId, Pruned};

use super::bundle::{self, PRUNED};
use super::index::Index;
use super::places;
use crate::store::{ReadError, Record, StoredEntry};

type Read<T> = Result<T, ReadError>;

impl Index {
    /// Removes from the full bundles what `entry` says is removed, if it says so. Doing it again changes
    /// nothing. What must stay whatever an entry says does: what is under legal hold, and what says that
    /// others were removed.
    ///
    /// # Errors
    ///
    /// When a bundle cannot be read or written.
    pub(super) fn prune(&self, entry: &Entry) -> Read<()> {
        let Some(pruned) = &entry.pruned else {
            return Ok(());
        };
        // First, so that whoever finds one missing finds why.
        if let Some(noted) = &mut *self.prunings.lock() {
            noted.extend(removed_by(entry, pruned));
        }
        let (places, mut held) = (pruned.places(), HashMap::new());
        for number in places.start / bundle::ENTRIES..places.end.div_ceil(bundle::ENTRIES) {
            let packed = self.bundle(number)?;
            if packed.is_empty() {
                // It is not full yet.
                break;
            }
            let entries = bundle::unpack(number, &packed)?;
            let before = entries.len();
            let mut left = Vec::with_capacity(before);
            for stored in entries {
                if !pruned.removes(stored.seq) || self.must_stay(&stored, entry.seq, &mut held)? {
                    left.push(stored);
                }
            }
            let summary = self.summary(number)?;
            let hides = left.is_empty() && *summary != *PRUNED;
            if left.len() < before || hides {
                let summary = if hides { PRUNED } else { &*summary };
                self.replace_bundle(number, &bundle::pack(number, &left)?, summary)?;
            }
        }
        Ok(())
    }

    /// Whether `stored` stays though the entry `by` says that it is removed.
    fn must_stay(
        &self,
        stored: &StoredEntry,
        by: u64,
        held: &mut HashMap<OrganizationId, bool>,
    ) -> Read<bool> {
        let Ok(entry) = serde_json::from_slice::<Entry>(&stored.json) else {
            // Of what cannot be read it cannot be told that nobody has a legal hold on it.
            return Ok(true);
        };
        if entry.pruned.is_some() || stored.seq >= by {
            return Ok(true);
        }
        let Some(id) = entry.organization_id else {
            return Ok(false);
        };
        if let Some(is_held) = held.get(&id) {
            return Ok(*is_held);
        }
        let found = self.get(&places::organization(id))?;
        // At a replay the record may be as a later entry left it: then this was done before, and rightly.
        let found = found.filter(|it| it.audit_seq < by);
        let is_held =
            found.is_some_and(|it| matches!(&it.record, Record::Organization(it) if it.is_held));
        held.insert(id, is_held);
        Ok(is_held)
    }
}

/// The places of the entries that `entry`, which says so with `pruned`, removes: none of them comes after it.
pub(super) fn removed_by(entry: &Entry, pruned: &Pruned) -> impl Iterator<Item = u64> {
    let by = entry.seq;
    pruned.removed().filter(move |seq| *seq < by)
}
