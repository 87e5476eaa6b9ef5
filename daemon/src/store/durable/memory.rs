//! Has sled count what it has in memory, and so let go of what is too much.
//!
//! sled counts in 256 parts of its pages, each only once it was asked 64 times for a page of that part, whatever
//! the size of those. Whoever asks for many pages once each has sixteen thousand of them in memory before sled lets
//! go of the first, and what allocations they leave behind stays scattered. So whoever asks for values asks again, once
//! for each KiB of the pages that they are on: then it is sixteen MiB at most, however large or small the pages are.

use sled::Tree;

use super::database::{Trees, failed};
use crate::store::ReadError;

/// For so many bytes a page is asked for once more.
const BYTES: usize = 1_024;
/// How many values are likely to be on one page, less a few.
const ON_A_PAGE: usize = 8;
/// In a walk over all records, of so many one is asked for again: records are small.
pub(super) const ASKED_AGAIN: usize = 4;
/// To have all parts counted, so many pages are asked for, and each so often.
const COUNTED_BY: (usize, usize) = (2_048, 16);

type Read<T> = Result<T, ReadError>;

/// Asks again for `key`, after so many bytes of values beside each other in `tree` were read or written.
pub(super) fn ask_again(tree: &Tree, key: impl AsRef<[u8]>, bytes: usize) -> Read<()> {
    (0..bytes.div_ceil(BYTES)).try_for_each(|_| tree.contains_key(&key).map(drop).map_err(failed))
}

/// Asks again for `key`, whose value of so many bytes was read by itself: its page was read for it.
pub(super) fn ask_for_page(tree: &Tree, key: impl AsRef<[u8]>, bytes: usize) -> Read<()> {
    ask_again(tree, key, bytes.saturating_mul(ON_A_PAGE))
}

impl Trees {
    /// Has sled count all that a walk over the records has left in memory. It takes a twentieth of a second.
    pub(super) fn let_go(&self) -> Read<()> {
        let (pages, times) = COUNTED_BY;
        for key in self.records.iter().keys().step_by(ON_A_PAGE).take(pages) {
            ask_again(&self.records, key.map_err(failed)?, times * BYTES)?;
        }
        Ok(())
    }
}
