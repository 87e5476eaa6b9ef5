//! Removing entries from the index that are kept no longer. Their hashes stay in the tree's tiles.

use std::collections::HashMap;

use agentidp_shared::{Entry, OrganizationId};

use super::bundle::{self, PRUNED, Summary};
use super::index::Index;
use super::places;
use crate::store::{ReadError, Record, StoredEntry};

type Read<T> = Result<T, ReadError>;

impl Index {
    /// Puts bundle `number`, which is full now. One that is there already stays as it is: a start goes on from
    /// where the index was last marked, and what filled the bundle before may have been pruned since.
    ///
    /// # Errors
    ///
    /// When it cannot be read or written.
    pub(super) fn fill(&self, number: u64, entries: &[StoredEntry], summary: &Summary) -> Read<()> {
        let there = self.bundle(number)?;
        let known = bundle::unpack(number, &there).ok();
        let is_part = known.is_some_and(|known| {
            let mut all = entries.iter();
            known.iter().all(|it| all.any(|entry| entry == it))
        });
        if !is_part {
            return self.put_bundle(number, &bundle::pack(number, entries)?, summary);
        }
        if self.summary(number)?.is_empty() {
            // A crash came between.
            self.put_bundle(number, &there, summary)?;
        }
        Ok(())
    }

    /// Removes from the full bundles what `entry` says is removed, if it says so and can. What must stay whatever
    /// an entry says does: what is under legal hold, and what accounts for the log itself.
    ///
    /// Doing it again changes nothing, though a start goes on from where the index was last marked, and so does
    /// again what the index has long done. Then the record of an organization can be of a later entry than `entry`,
    /// and not tell what it was: whatever of the organization is there was spared then, and stays. For an index that has
    /// a later record has done `entry` before: an entry is applied whole before the next, sled keeps that
    /// order over a crash, and an image has its bundles from after its records. Where no later one is, the
    /// record is what it was, and what is decided is the same again.
    ///
    /// # Errors
    ///
    /// When a bundle cannot be read or written.
    pub(super) fn prune(&self, entry: &Entry) -> Read<()> {
        let Some(pruned) = entry.prunes() else {
            return Ok(());
        };
        // First, so that whoever finds one missing finds why.
        if let Some(noted) = &mut *self.prunings.lock() {
            noted.extend(pruned.removed());
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
        if entry.accounts_for_log() {
            return Ok(true);
        }
        let Some(id) = entry.organization_id else {
            return Ok(false);
        };
        if let Some(is_held) = held.get(&id) {
            return Ok(*is_held);
        }
        let found = self.get(&places::organization(id))?;
        let is_held = found.is_some_and(|it| {
            let is_later = it.audit_seq >= by;
            is_later || matches!(&it.record, Record::Organization(it) if it.is_held)
        });
        held.insert(id, is_held);
        Ok(is_held)
    }
}
