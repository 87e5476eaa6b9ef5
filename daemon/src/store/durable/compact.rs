//! Compaction: sled frees little of what it has written and no longer needs, so now and then
//! everything is copied into a fresh database, while the one in use is read and written.

use std::ops::Bound;
use std::panic::AssertUnwindSafe;

use sled::{Batch, Tree};

use super::database::{Trees, failed, gave_up};
use super::index::Index;
use super::memory::ask_again;
use super::progress::Progress;
use super::room::Disk;
use crate::store::ReadError;

/// How many values are copied while writers wait.
const AT_ONCE: usize = 128;

/// How many bytes a fresh database has for one of its contents, rounded up.
const FRESH: u64 = 3;

/// The copy would take what is kept for revocations and the like.
fn no_room(disk: &Disk) -> ReadError {
    let room = disk.room();
    let free = room.space.unwrap_or_default().free >> 20;
    let reserve = room.reserve >> 20;
    ReadError(format!(
        "there is no room for a copy of it: {free} MiB are free, of which {reserve} are kept for revocations and the like: make room on the disk"
    ))
}

impl Index {
    /// Copies every tree into the next database.
    pub(super) fn copy_all(&self, progress: &Progress, disk: &Disk) -> Result<(), ReadError> {
        if !disk.has_room_for(self.tally.lock().bytes.saturating_mul(FRESH)) {
            return Err(no_room(disk));
        }
        let (now, next) = (self.trees(), self.database.begin_next()?);
        let records = self.tally.lock().records.count;
        progress.begin("copying the index", records);
        // sled panics on damage that it meets on its way.
        let copied = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let trees = now.all().into_iter().zip(next.all());
            for (number, (from, to)) in trees.enumerate() {
                // The first tree is that of the records, which are nearly all.
                self.copy_tree(from, to, (progress, number == 0), disk)?;
            }
            Ok(())
        }));
        copied.map_err(gave_up)??;
        next.sync(self.database.folder())
    }

    fn copy_tree(
        &self,
        from: &Tree,
        to: &Tree,
        (progress, is_counted): (&Progress, bool),
        disk: &Disk,
    ) -> Result<(), ReadError> {
        let mut after: Option<Vec<u8>> = None;
        let mut done = 0;
        loop {
            let held = self.database.hold();
            let start = after
                .as_ref()
                .map_or(Bound::Unbounded, |key| Bound::Excluded(key.clone()));
            let mut batch = Batch::default();
            let (mut count, mut bytes, mut last) = (0, 0, None);
            for pair in from.range((start, Bound::Unbounded)).take(AT_ONCE) {
                let (key, value) = pair.map_err(failed)?;
                last = Some(key.to_vec());
                bytes += value.len();
                batch.insert(key, value);
                count += 1;
            }
            to.apply_batch(batch).map_err(failed)?;
            drop(held);
            if let Some(last) = &last {
                ask_again(from, last, bytes)?;
                ask_again(to, last, bytes)?;
            }
            done += count;
            if is_counted {
                progress.reach(done);
            }
            if last.is_none() {
                return Ok(());
            }
            after = last;
            if disk.is_low() {
                return Err(no_room(disk));
            }
            if !progress.rest() {
                return Err(ReadError("it was not copied to its end".to_owned()));
            }
        }
    }

    /// How many bytes the index has on the disk, and about how many of them its contents need.
    pub(super) fn sizes(&self) -> (u64, u64) {
        let trees: &Trees = &self.trees();
        (trees.size(), self.tally.lock().bytes)
    }
}
