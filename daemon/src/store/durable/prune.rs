//! Removing entries from the index that are kept no longer. Their hashes stay in the tree's tiles.

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

impl Index {
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
        self.prunings.lock().push(entry.clone());
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
