//! The entries that an export has only the hashes of, and what it says about them.

use crate::pruned::{Places, Pruned};

/// What of a complete export is missing.
#[derive(Debug, Clone, Default)]
pub(super) struct Holes {
    /// Where entries are missing.
    missing: Places,
    /// Where entries say that one was pruned.
    gone: Places,
}

impl Holes {
    /// The entry at `seq` is missing.
    pub(super) fn add(&mut self, seq: u64) {
        self.missing.extend([seq]);
    }

    /// An entry of an export that begins with the entry `from` says what was pruned.
    pub(super) fn said(&mut self, from: u64, pruned: &Pruned) {
        self.gone.extend(pruned.removed().filter(|it| *it >= from));
    }

    /// How many entries are missing.
    pub(super) fn count(&self) -> u64 {
        self.missing.count()
    }

    /// How many of them no entry of the export says to have been pruned.
    pub(super) fn unexplained(&self) -> u64 {
        self.missing.without(&self.gone)
    }

    /// How many are there though an entry says that they were pruned.
    pub(super) fn put_back(&self) -> u64 {
        self.gone.without(&self.missing)
    }
}
