//! Has sled count what it has in memory, and so let go of what is too much.
//!
//! sled counts in 256 parts of its pages, each only once it was asked 64 times for a page of that part, whatever
//! the size of those. Whoever asks for many pages once each has sixteen thousand of them in memory before sled lets
//! go of the first, and what allocations they leave behind stays scattered.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::database::{Database, Trees, failed};
use crate::store::ReadError;

/// In a walk over all records, of so many one is asked for again, which is a few times for each page.
pub(super) const ASKED_AGAIN: usize = 4;
/// After so many bytes of large values sled is made to count.
const LARGE_BYTES: usize = 4 * 1_024 * 1_024;
/// For that it is asked so often,
const REQUESTS: usize = 32 * 1_024;
/// for values of as many pages or nearly, if there are as many.
const PAGES: usize = 2_048;
/// How many values are likely to be on one page, less a few.
const ON_A_PAGE: usize = 8;

type Read<T> = Result<T, ReadError>;

/// How many bytes of large values came into memory since sled was last made to count.
pub(super) struct Uncounted(AtomicUsize);

impl Default for Uncounted {
    fn default() -> Self {
        // Whoever opens a database reads all of it.
        Self(AtomicUsize::new(LARGE_BYTES))
    }
}

impl Trees {
    /// Asks again for a record that was asked for already.
    pub(super) fn ask_again(&self, key: &[u8]) -> Read<()> {
        self.records.contains_key(key).map(drop).map_err(failed)
    }

    /// Notes that large values were read or written, of so many bytes.
    pub(super) fn note_large(&self, bytes: usize) {
        self.uncounted.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Has sled let go of what it has in memory beyond what it may, if there can be much of that. It takes a
    /// twentieth of a second.
    pub(super) fn relieve(&self) -> Read<()> {
        if self.uncounted.0.load(Ordering::Relaxed) < LARGE_BYTES {
            return Ok(());
        }
        self.uncounted.0.store(0, Ordering::Relaxed);
        // Where records are few, a long log has summaries, which are small as well.
        let mut asked = Vec::with_capacity(PAGES);
        for tree in [&self.records, &self.summaries] {
            let wanted = PAGES - asked.len();
            for key in tree.iter().keys().step_by(ON_A_PAGE).take(wanted) {
                asked.push((tree, key.map_err(failed)?));
            }
        }
        for (tree, key) in asked.iter().cycle().take(REQUESTS) {
            tree.contains_key(key).map_err(failed)?;
        }
        Ok(())
    }
}

impl Database {
    /// [`Trees::note_large`] of the database in use.
    pub(super) fn note_large(&self, bytes: usize) {
        self.trees().note_large(bytes);
    }

    /// [`Trees::relieve`] for the database in use.
    pub(super) fn relieve(&self) -> Read<()> {
        self.trees().relieve()
    }
}
