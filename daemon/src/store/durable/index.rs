//! The index: what the journal says, in sled, where it is found fast. It can be deleted at any time
//! and is rebuilt from the journal.
//!
//! sled loses what it has acknowledged when power fails, unless its file is synced by us; it
//! panics on damage that it notices. So nothing here is ever the only copy, everything that is
//! applied is absolute and may be applied again, and opening is guarded.

use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use agentidp_shared::{AgentId, StoreId};
use parking_lot::{Mutex, RwLock};
use sled::{Batch, Db, IVec, Tree};

use super::bundle::Summary;
use super::kept::Kept;
use super::layout::{read_json, write_json};
use super::records::MAX_VALUE;
use super::tally::{Mark, Tally};
use super::usage::{Count, UsageKey};
use crate::store::ReadError;

/// How much memory sled may use for its pages.
const CACHE_BYTES: u64 = 12 * 1_024 * 1_024;

/// The version of the index's form, summaries of bundles included. An index of another one is made
/// anew: what it lacks would be hidden from queries.
const FORM: u32 = 1;

type Read<T> = Result<T, ReadError>;

/// The sled database and its trees.
pub(super) struct Index {
    folder: PathBuf,
    pub(super) db: Db,
    /// The records.
    pub(super) records: Tree,
    /// Records that are too large for one value, in parts: key, length of the key, number of the part.
    pub(super) parts: Tree,
    /// Held while a record in parts is written, so that nobody reads half of the old one and half of
    /// the new.
    pub(super) parts_lock: RwLock<()>,
    /// The organizations' ids by name.
    pub(super) names: Tree,
    /// How records were used.
    pub(super) usage: Tree,
    /// What is kept for a time.
    pub(super) kept: Kept,
    /// The audit entries, in bundles.
    pub(super) bundles: Tree,
    /// What the bundles can be asked for.
    pub(super) summaries: Tree,
    /// Which database it is.
    pub(super) generation: u64,
    /// What the index holds; held by whoever changes that.
    pub(super) tally: Mutex<Tally>,
}

/// sled failed.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` passes")]
pub(super) fn failed(error: sled::Error) -> ReadError {
    ReadError(format!("the index failed: {error}"))
}

/// What is in the index is not what was put there.
pub(super) fn damaged() -> ReadError {
    ReadError(
        "a record in the index is damaged: stop the daemon and delete the index to have it rebuilt"
            .to_owned(),
    )
}

impl Index {
    /// Opens the database in `folder`, or makes it.
    ///
    /// # Errors
    ///
    /// When sled cannot or panics.
    pub(super) fn open(folder: &Path) -> Read<Self> {
        let open = || -> sled::Result<Self> {
            let path = folder.join("sled");
            let db = sled::Config::new()
                .path(&path)
                .cache_capacity(CACHE_BYTES)
                .use_compression(false)
                // Flushing is ours to order.
                .flush_every_ms(None)
                .mode(sled::Mode::HighThroughput)
                .open()?;
            let meta = db.open_tree("meta")?;
            let known = meta
                .get("generation")?
                .and_then(|bytes| bytes.as_ref().try_into().ok());
            let generation = known.map_or_else(entropy, u64::from_be_bytes);
            if known.is_none() {
                meta.insert("generation", &generation.to_be_bytes())?;
            }
            Ok(Self {
                folder: folder.to_owned(),
                records: db.open_tree("records")?,
                parts: db.open_tree("parts")?,
                parts_lock: RwLock::new(()),
                names: db.open_tree("names")?,
                usage: db.open_tree("usage")?,
                kept: Kept::new(db.open_tree("kept")?),
                bundles: db.open_tree("bundles")?,
                summaries: db.open_tree("summaries")?,
                generation,
                tally: Mutex::default(),
                db,
            })
        };
        match std::panic::catch_unwind(AssertUnwindSafe(open)) {
            Ok(opened) => opened.map_err(failed),
            Err(_) => Err(ReadError(
                "the index is damaged: sled gave up on it".to_owned(),
            )),
        }
    }

    /// The mark of the index in `folder`, if it has one that is whole and of this form.
    pub(super) fn read_mark(folder: &Path) -> Option<Mark> {
        let mark = read_json(&folder.join("mark.json")).ok();
        mark.filter(|mark: &Mark| mark.form == FORM)
    }

    /// Makes everything that was applied durable, and then says so in the mark.
    ///
    /// # Errors
    ///
    /// When the disk does not take it; the mark then stays where it was.
    pub(super) fn flush(&self, store_id: StoreId, frame: u64, open_seq: u64) -> Read<()> {
        let (tally, kept_after) = {
            let mut tally = self.tally.lock();
            let kept_after = self.kept.forget(&mut tally)?;
            self.kept.release();
            tally.marked = tally.entries;
            (*tally, kept_after)
        };
        self.db.flush().map_err(failed)?;
        // On Linux sled's flush hands the pages to the kernel and does not wait for the disk.
        let path = self.folder.join("sled").join("db");
        let synced = File::open(&path).and_then(|file| file.sync_data());
        let mark = Mark {
            form: FORM,
            store_id,
            generation: self.generation,
            frame,
            open_seq,
            entries: tally.entries,
            records: tally.records.count,
            sum: tally.records.hex(),
            kept: tally.kept.count,
            kept_sum: tally.kept.hex(),
            kept_after,
        };
        synced
            .and_then(|()| write_json(&self.folder.join("mark.json"), &mark))
            .map_err(|error| ReadError(format!("the index could not be synced: {error}")))?;
        loop {
            // Commits get their turn in between.
            let tally = self.tally.lock();
            if !self.kept.sweep(&tally)? {
                return Ok(());
            }
        }
    }

    /// Puts a full bundle of audit entries.
    pub(super) fn put_bundle(&self, number: u64, packed: &[u8], summary: &Summary) -> Read<()> {
        let mut batch = Batch::default();
        for (part, chunk) in packed.chunks(MAX_VALUE).enumerate() {
            batch.insert(bundle_key(number, part), chunk);
        }
        self.bundles.apply_batch(batch).map_err(failed)?;
        self.summaries
            .insert(number.to_be_bytes(), summary.as_bytes())
            .map_err(failed)?;
        Ok(())
    }

    /// The compressed form of a bundle.
    pub(super) fn bundle(&self, number: u64) -> Read<Vec<u8>> {
        let mut packed = Vec::new();
        for part in self.bundles.scan_prefix(number.to_be_bytes()).values() {
            packed.extend_from_slice(&part.map_err(failed)?);
        }
        Ok(packed)
    }

    /// The stored summary of a bundle; empty when it is missing, which rules nothing out.
    pub(super) fn summary(&self, number: u64) -> Read<IVec> {
        Ok(self
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
        self.usage.apply_batch(batch).map_err(failed)
    }

    /// A count of uses.
    pub(super) fn usage(&self, key: UsageKey) -> Read<Count> {
        let found = self.usage.get(key.bytes()).map_err(failed)?;
        found.map_or(Ok(Count::default()), |bytes| {
            Count::read(&bytes).ok_or_else(damaged)
        })
    }

    /// When each agent last got a token, in milliseconds, as far as the index has it.
    pub(super) fn last_auths(&self) -> Read<Vec<(AgentId, i64)>> {
        let mut auths = Vec::new();
        for pair in &self.usage {
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

/// A number that another database is most unlikely to have drawn.
fn entropy() -> u64 {
    use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
    let mut bytes = [0; 8];
    // Zeros would do: the number guards against mistakes, not against people.
    let _ = SystemRandom::new().fill(&mut bytes);
    u64::from_be_bytes(bytes)
}
