//! Has sled count what it has in memory, and so let go of what is too much.
//!
//! sled counts in 256 parts of its pages, each only once it was asked 64 times for a page of that part, whatever
//! the size of those. Whoever asks for many pages once each has sixteen thousand of them in memory before sled lets
//! go of the first, and what allocations they leave behind stays scattered.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::database::{Trees, failed};
use crate::store::ReadError;

/// In a walk over all records, of so many one is asked for again, which is a few times for each page.
pub(super) const ASKED_AGAIN: usize = 4;
/// After so many bytes that came into memory sled is made to count.
const MUCH: usize = 4 * 1_024 * 1_024;
/// For that it is asked so often,
const REQUESTS: usize = 32 * 1_024;
/// for values of as many pages or nearly, if there are as many.
const PAGES: usize = 2_048;
/// How many values are likely to be on one page, less a few.
const ON_A_PAGE: usize = 8;

type Read<T> = Result<T, ReadError>;

/// How many bytes may have come into memory since sled was last made to count.
pub(super) struct Uncounted(AtomicUsize);

impl Default for Uncounted {
    fn default() -> Self {
        // Whoever opens a database that is not empty reads all of it.
        Self(AtomicUsize::new(MUCH))
    }
}

impl Trees {
    /// Asks again for a record that was asked for already.
    pub(super) fn ask_again(&self, key: &[u8]) -> Read<()> {
        self.records.contains_key(key).map(drop).map_err(failed)
    }

    /// Notes that values of so many bytes, one after the other in their tree, were read or written.
    pub(super) fn note_many(&self, bytes: usize) {
        self.uncounted.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that one value of so many bytes was read or written, and with it its page.
    pub(super) fn note_one(&self, bytes: usize) {
        self.note_many(bytes.saturating_mul(ON_A_PAGE));
    }

    /// Has sled let go of what it has in memory beyond what it may, if there can be much of that. It takes a
    /// twentieth of a second.
    pub(super) fn relieve(&self) -> Read<()> {
        let noted = self.uncounted.0.load(Ordering::Relaxed);
        if noted < MUCH {
            return Ok(());
        }
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
        // Not before: what failed is to be tried again.
        self.uncounted.0.fetch_sub(noted, Ordering::Relaxed);
        Ok(())
    }
}
