//! The index: what the journal says, in sled, where it is found fast. It can be deleted at any time
//! and is rebuilt from the journal.
//!
//! sled loses what it has acknowledged when power fails, unless its file is synced by us; it
//! panics on damage that it notices. So nothing here is ever the only copy, everything that is
//! applied is absolute and may be applied again, and opening is guarded.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agentidp_shared::{AgentId, Places, StoreId};
use parking_lot::{Mutex, RwLock};
use sled::{Batch, IVec};

use super::bundle::Summary;
use super::database::{Database, NAMES, Trees};
pub(super) use super::database::{damaged, failed};
use super::kept::Kept;
use super::layout::{read_json, write_json};
use super::memory::ask_again;
use super::progress::Progress;
use super::records::MAX_VALUE;
use super::room::Disk;
use super::tally::{Mark, Tally};
use super::usage::{Count, UsageKey};
use crate::store::ReadError;

/// The version of the index's form, summaries of bundles included. An index of another one is made
/// anew: what it lacks would be hidden from queries.
const FORM: u32 = 3;

type Read<T> = Result<T, ReadError>;

/// The newest mark, which the next one comes after.
#[derive(Default)]
pub(super) struct Marking {
    mark: Option<Mark>,
    /// Whether it is known to be on the disk; else the one before it may be there.
    is_on_disk: bool,
}

impl Marking {
    /// With the mark that was found on the disk.
    pub(super) const fn on_disk(mark: Mark) -> Self {
        Self {
            mark: Some(mark),
            is_on_disk: true,
        }
    }
}

/// The sled database, and what is known of it.
pub(super) struct Index {
    /// The database.
    pub(super) database: Arc<Database>,
    /// Held while a record or a bundle in parts is put, so that nobody reads half of the old one and half
    /// of the new.
    pub(super) parts_lock: RwLock<()>,
    /// What is kept for a time.
    pub(super) kept: Kept,
    /// What the index holds; held by whoever changes that.
    pub(super) tally: Mutex<Tally>,
    /// What is pruned while a check is under way, which cannot know of it otherwise.
    pub(super) prunings: Mutex<Option<Places>>,
    /// The newest mark; held while one is made.
    pub(super) marking: Mutex<Marking>,
    /// Whether no mark is to be made any more.
    is_distrusted: AtomicBool,
}

impl Index {
    /// Opens the index in `folder`, or makes it.
    ///
    /// # Errors
    ///
    /// When sled cannot or panics.
    pub(super) fn open(folder: &Path) -> Read<Self> {
        let name = Self::read_mark(folder).and_then(|mark| mark.name());
        let name = name.unwrap_or(NAMES[0]);
        let database = Arc::new(Database::open(folder, name)?);
        Ok(Self {
            kept: Kept::new(Arc::clone(&database)),
            database,
            parts_lock: RwLock::new(()),
            tally: Mutex::default(),
            prunings: Mutex::default(),
            marking: Mutex::default(),
            is_distrusted: AtomicBool::new(false),
        })
    }

    /// What is to be read from.
    pub(super) fn trees(&self) -> Arc<Trees> {
        self.database.trees()
    }

    /// Claims room on `disk` behind the end of the database's file.
    pub(super) fn claim(&self, disk: &Disk) {
        if disk.claim() == 0 {
            return;
        }
        let path = self.trees().file(self.database.folder());
        let file = File::options().write(true).open(path);
        let Ok((file, length)) = file.and_then(|it| it.metadata().map(|found| (it, found.len())))
        else {
            return;
        };
        let _ = disk.claim_in(&file, length, length.saturating_add(disk.claim()));
    }

    /// The mark of the index in `folder`, if it has one that is whole and of this form.
    pub(super) fn read_mark(folder: &Path) -> Option<Mark> {
        let mark = read_json(&mark_file(folder)).ok();
        mark.filter(|mark: &Mark| mark.form == FORM)
    }

    /// Makes everything that was applied durable, and then says so in the mark.
    ///
    /// # Errors
    ///
    /// When the disk does not take it; the mark then stays where it was.
    pub(super) fn flush(&self, store_id: StoreId, frame: u64, open_seq: u64) -> Read<()> {
        let mut marking = self.marking.lock();
        self.settle(&mut marking, &self.trees(), (store_id, frame, open_seq))
    }

    /// Puts the copy that [`Index::copy`] has made into use, once it is durable.
    ///
    /// # Errors
    ///
    /// When the disk does not take it, or the copy lacks something; then all stays as it was.
    pub(super) fn put_copy_into_use(
        &self,
        store_id: StoreId,
        frame: u64,
        open_seq: u64,
    ) -> Read<()> {
        let mut marking = self.marking.lock();
        let Some(next) = self.database.hold().clone() else {
            return Ok(());
        };
        let place = (store_id, frame, open_seq);
        self.settle(&mut marking, &next, place)?;
        if self.database.next_is_whole() {
            return self.database.switch();
        }
        // The mark must not name what is about to go.
        self.settle(&mut marking, &self.trees(), place)?;
        self.database.abandon_next();
        Err(ReadError("the new index did not take a write".to_owned()))
    }

    /// Makes what was applied durable in `trees`, and then says so in the mark.
    fn settle(&self, marking: &mut Marking, trees: &Trees, place: (StoreId, u64, u64)) -> Read<()> {
        // One that could not be written comes first: of two and no more it is kept what they count, and a crash
        // may find either.
        self.finish(marking, trees)?;
        self.begin(marking, place)?;
        self.finish(marking, trees)?;
        loop {
            // Commits get their turn in between.
            let tally = self.tally.lock();
            if !self.kept.sweep(&tally)? {
                return Ok(());
            }
        }
    }

    /// Begins a mark of what is applied now.
    fn begin(&self, marking: &mut Marking, place: (StoreId, u64, u64)) -> Read<()> {
        let (store_id, frame, open_seq) = place;
        let mut tally = self.tally.lock();
        let mark = match &marking.mark {
            // After as many entries there is one mark only.
            Some(mark) if mark.entries == tally.entries => Mark {
                frame,
                open_seq,
                ..mark.clone()
            },
            _ => {
                let kept_after = self.kept.forget(&mut tally)?;
                self.kept.leave();
                tally.begun = tally.entries;
                Mark {
                    form: FORM,
                    store_id,
                    database: String::new(),
                    generation: 0,
                    frame,
                    open_seq,
                    entries: tally.entries,
                    bytes: tally.bytes,
                    records: tally.records.count,
                    sum: tally.records.hex(),
                    kept: tally.kept.count,
                    kept_sum: tally.kept.hex(),
                    kept_after,
                }
            }
        };
        *marking = Marking {
            mark: Some(mark),
            is_on_disk: false,
        };
        Ok(())
    }

    /// Brings the mark that was begun to the disk, after what it is of in `trees`.
    fn finish(&self, marking: &mut Marking, trees: &Trees) -> Read<()> {
        let Some(mark) = marking.mark.as_mut().filter(|_| !marking.is_on_disk) else {
            return Ok(());
        };
        trees.name.clone_into(&mut mark.database);
        mark.generation = trees.generation;
        let folder = self.database.folder();
        trees.sync(folder)?;
        if !self.is_distrusted.load(Ordering::Relaxed) {
            write_json(&mark_file(folder), mark)
                .map_err(|error| ReadError(format!("the index could not be marked: {error}")))?;
        }
        marking.is_on_disk = true;
        let mut tally = self.tally.lock();
        tally.marked = mark.entries;
        self.kept.release();
        Ok(())
    }

    /// Has the next opening make the index anew, whatever is written until then.
    ///
    /// # Errors
    ///
    /// When the mark cannot be removed.
    pub(super) fn distrust(&self) -> Read<()> {
        let _marking = self.marking.lock();
        self.is_distrusted.store(true, Ordering::Relaxed);
        let path = mark_file(self.database.folder());
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ReadError(format!("{}: {error}", path.display())))
            }
            _ => Ok(()),
        }
    }

    /// Copies everything into a fresh database, to which all writes go as well from here on. The one
    /// in use stays as it is.
    ///
    /// # Errors
    ///
    /// When one of the two fails, or `disk` has no room to spare; the copy is then gone.
    pub(super) fn copy(&self, progress: &Progress, disk: &Disk) -> Read<()> {
        let copied = self.copy_all(progress, disk);
        if copied.is_err() {
            self.database.abandon_next();
        }
        copied
    }

    /// Puts a full bundle of audit entries.
    pub(super) fn put_bundle(&self, number: u64, packed: &[u8], summary: &Summary) -> Read<()> {
        self.replace_bundle(number, packed, summary.as_bytes())
    }

    /// Puts a bundle, with what finds its entries, in the place of whatever is there.
    pub(super) fn replace_bundle(&self, number: u64, packed: &[u8], summary: &[u8]) -> Read<()> {
        let before = self.bundle(number)?.len();
        let found = self.summary(number)?.len();
        let mut batch = Batch::default();
        for part in packed.len().div_ceil(MAX_VALUE)..before.div_ceil(MAX_VALUE) {
            batch.remove(bundle_key(number, part));
        }
        for (part, chunk) in packed.chunks(MAX_VALUE).enumerate() {
            batch.insert(bundle_key(number, part), chunk);
        }
        {
            let _nobody_reads = self.parts_lock.write();
            self.database.write(|trees| {
                trees.bundles.apply_batch(batch.clone())?;
                trees.summaries.insert(number.to_be_bytes(), summary)?;
                Ok(())
            })?;
        }
        let now = packed.len() + summary.len();
        self.tally.lock().resize(before + found, now);
        ask_again(&self.trees().bundles, bundle_key(number, 0), packed.len())
    }

    /// The compressed form of a bundle.
    pub(super) fn bundle(&self, number: u64) -> Read<Vec<u8>> {
        let (trees, mut packed) = (self.trees(), Vec::new());
        {
            let _nobody_writes = self.parts_lock.read();
            for part in trees.bundles.scan_prefix(number.to_be_bytes()).values() {
                packed.extend_from_slice(&part.map_err(failed)?);
            }
        }
        ask_again(&trees.bundles, bundle_key(number, 0), packed.len())?;
        Ok(packed)
    }

    /// The stored summary of a bundle; empty when it is missing, which rules nothing out.
    pub(super) fn summary(&self, number: u64) -> Read<IVec> {
        Ok(self
            .trees()
            .summaries
            .get(number.to_be_bytes())
            .map_err(failed)?
            .unwrap_or_default())
    }

    /// Puts counts of uses.
    pub(super) fn put_usage(&self, uses: impl Iterator<Item = (UsageKey, Count)>) -> Read<()> {
        let mut batch = Batch::default();
        for (key, count) in uses {
            batch.insert(key.bytes(), &count.bytes());
        }
        self.database
            .write(|trees| trees.usage.apply_batch(batch.clone()))
    }

    /// A count of uses.
    pub(super) fn usage(&self, key: UsageKey) -> Read<Count> {
        let found = self.trees().usage.get(key.bytes()).map_err(failed)?;
        found.map_or(Ok(Count::default()), |bytes| {
            Count::read(&bytes).ok_or_else(damaged)
        })
    }

    /// Every count of uses, with its key unless that is none.
    pub(super) fn all_uses(&self) -> impl Iterator<Item = Read<(Option<UsageKey>, Count)>> + use<> {
        self.trees().usage.iter().map(|pair| {
            let (key, value) = pair.map_err(failed)?;
            let count = Count::read(&value).ok_or_else(damaged)?;
            Ok((UsageKey::read(&key), count))
        })
    }

    /// When each agent last got a token, in milliseconds, as far as the index has it.
    pub(super) fn last_auths(&self) -> Read<Vec<(AgentId, i64)>> {
        let mut auths = Vec::new();
        for pair in &self.trees().usage {
            let (key, value) = pair.map_err(failed)?;
            if let Some(id) = UsageKey::agent_of(&key) {
                let count = Count::read(&value).ok_or_else(damaged)?;
                auths.push((id, count.last()));
            }
        }
        Ok(auths)
    }
}

pub(super) fn bundle_key(number: u64, part: usize) -> Vec<u8> {
    let mut key = number.to_be_bytes().to_vec();
    key.extend_from_slice(&u16::try_from(part).unwrap_or(u16::MAX).to_be_bytes());
    key
}

fn mark_file(folder: &Path) -> PathBuf {
    folder.join("mark.json")
}

#[cfg(test)]
mod tests;
