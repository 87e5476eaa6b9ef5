//! Removing entries from the index that are kept no longer. Their hashes stay in the tree's tiles.

use agentidp_shared::{Entry, Pruned};
use sled::Batch;

use super::bundle::{self, PRUNED};
use super::index::{Index, bundle_key};
use super::records::MAX_VALUE;
use crate::store::{ReadError, StoredEntry};

type Read<T> = Result<T, ReadError>;

/// Whether `entry` is one of those that are removed.
fn is_covered(pruned: &Pruned, entry: &StoredEntry) -> bool {
    // Of what cannot be read it cannot be told that nobody has a legal hold on it.
    serde_json::from_slice::<Entry>(&entry.json).is_ok_and(|it| pruned.removes(&it))
}

impl Index {
    /// Removes entries from the full bundles. Doing it again changes nothing.
    ///
    /// # Errors
    ///
    /// When a bundle cannot be read or written.
    pub(super) fn prune(&self, pruned: &Pruned) -> Read<()> {
        // First, so that whoever finds one missing finds why.
        self.prunings.lock().push(pruned.clone());
        for number in pruned.from / bundle::ENTRIES..pruned.to.div_ceil(bundle::ENTRIES) {
            let packed = self.bundle(number)?;
            if packed.is_empty() {
                // It is not full yet.
                break;
            }
            let before = bundle::unpack(number, &packed)?;
            let mut after = before.clone();
            after.retain(|entry| !is_covered(pruned, entry));
            if after.len() < before.len() {
                self.replace_bundle(number, &packed, &after)?;
            }
        }
        Ok(())
    }

    fn replace_bundle(&self, number: u64, before: &[u8], entries: &[StoredEntry]) -> Read<()> {
        let packed = bundle::pack(number, entries)?;
        let mut batch = Batch::default();
        for part in 0..before.len().div_ceil(MAX_VALUE) {
            batch.remove(bundle_key(number, part));
        }
        for (part, chunk) in packed.chunks(MAX_VALUE).enumerate() {
            batch.insert(bundle_key(number, part), chunk);
        }
        let summary = self.summary(number)?.len();
        let is_empty = entries.is_empty();
        {
            let _nobody_reads = self.parts_lock.write();
            self.database.write(|trees| {
                trees.bundles.apply_batch(batch.clone())?;
                if is_empty {
                    trees.summaries.insert(number.to_be_bytes(), PRUNED)?;
                }
                Ok(())
            })?;
        }
        let after = if is_empty { PRUNED.len() } else { summary };
        self.tally
            .lock()
            .resize(before.len() + summary, packed.len() + after);
        Ok(())
    }
}
