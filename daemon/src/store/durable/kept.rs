//! What is kept for a time: in the index, and of what has not expired, in memory, that it is there.
//! Whether a token was revoked is asked for every token that is shown, and nearly always it was not.
//!
//! What has expired goes in two steps, because the mark tells what the index holds: first out of
//! memory and of what the next mark counts, and out of the index once that mark is on the disk.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use agentidp_shared::Timestamp;
use parking_lot::{Mutex, RwLock};
use sled::Batch;

use super::database::{Database, damaged, failed};
use super::tally::{Mark, NowAndThen, Past, Tally};
use crate::store::{ReadError, Temporary, TemporaryKey, form};

/// For how long something is kept after it has expired, in milliseconds: entries carry the time at
/// which they were made, and are not committed in quite that order.
pub(super) const MARGIN: i64 = 60_000;
/// How many may be in memory before what has expired is looked for between two marks.
const MANY: usize = 65_536;
/// How many are removed from the index while commits wait.
const SWEPT_AT_ONCE: usize = 256;
type Read<T> = Result<T, ReadError>;

#[derive(Debug, Clone, Copy)]
struct Live {
    expires_at: i64,
    seq: u64,
    /// Whether more is remembered than that it is there.
    has_body: bool,
}

/// What has been forgotten, and is still in the index.
#[derive(Debug, Default)]
struct Expired {
    /// What every mark so far may count.
    counted: HashSet<TemporaryKey>,
    /// What the mark that is being made does not count, and the one on the disk may.
    leaving: HashSet<TemporaryKey>,
    /// What none that a crash may find counts.
    uncounted: Vec<TemporaryKey>,
}

/// What is kept.
pub(super) struct Kept {
    database: Arc<Database>,
    live: RwLock<HashMap<TemporaryKey, Live>>,
    expired: Mutex<Expired>,
    /// The time of the newest entry, in milliseconds.
    newest: AtomicI64,
    /// How many in memory make it time to look for what has expired.
    forget_at: AtomicUsize,
}

/// The stored form of a key.
fn key_bytes(key: &TemporaryKey) -> Read<Vec<u8>> {
    form::encode(key).map_err(|_error| damaged())
}

/// Takes a value apart: its entries, and the stored form.
fn parts(value: &[u8]) -> Read<(Past, &[u8])> {
    Past::read(value).ok_or_else(damaged)
}

impl Kept {
    /// What `database` keeps, none of it in memory yet.
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self {
            database,
            live: RwLock::default(),
            expired: Mutex::default(),
            newest: AtomicI64::new(0),
            forget_at: AtomicUsize::new(MANY),
        }
    }

    /// Brings what has not expired into memory; gives the sums of it as it is and as it was when the
    /// index was marked.
    pub(super) fn load(&self, mark: &Mark) -> Read<NowAndThen> {
        let mut sums = NowAndThen::default();
        let (mut live, mut expired) = (self.live.write(), self.expired.lock());
        for pair in &self.database.trees().kept {
            let (key, value) = pair.map_err(failed)?;
            let (past, stored) = parts(&value)?;
            let it: Temporary = form::decode(stored).map_err(|_error| damaged())?;
            if it.expires_at.as_millis() <= mark.kept_after {
                expired.uncounted.push(it.key);
                continue;
            }
            sums.add(&key, &past, mark.entries);
            let entry = Live {
                expires_at: it.expires_at.as_millis(),
                seq: past.seq,
                has_body: !it.body.is_empty(),
            };
            live.insert(it.key, entry);
        }
        Ok(sums)
    }

    /// Notes the time of an entry.
    pub(super) fn note_time(&self, time: Timestamp) {
        self.newest.store(time.as_millis(), Ordering::Relaxed);
    }

    /// Keeps something with entry `seq`.
    pub(super) fn put(&self, tally: &mut Tally, it: &Temporary, seq: u64) -> Read<()> {
        let key = key_bytes(&it.key)?;
        let before = self.live.read().get(&it.key).copied();
        if let Some(before) = before {
            // Read again, as by a start: a later entry has put it here.
            if before.seq > seq {
                return Ok(());
            }
            tally.kept.remove(&key, before.seq);
        }
        // What was forgotten since a mark is counted by that mark nevertheless.
        let (is_counted, is_leaving) = {
            let expired = self.expired.lock();
            let is_counted = before.is_some() || expired.counted.contains(&it.key);
            (is_counted, expired.leaving.contains(&it.key))
        };
        let past = match self.past(&key)? {
            Some(past) if is_counted => past.followed_by(seq, tally),
            Some(past) if is_leaving => past.followed_by(seq, tally).left_out(),
            _ => Past::new(seq),
        };
        let stored = form::encode(it).map_err(|_error| damaged())?;
        let mut value = Vec::with_capacity(Past::LEAST + stored.len());
        past.write(&mut value);
        value.extend_from_slice(&stored);
        self.database.write(|trees| {
            trees.kept.insert(&key, value.as_slice())?;
            Ok(())
        })?;
        tally.kept.add(&key, seq);
        let entry = Live {
            expires_at: it.expires_at.as_millis(),
            seq,
            has_body: !it.body.is_empty(),
        };
        let count = {
            let mut live = self.live.write();
            live.insert(it.key, entry);
            live.len()
        };
        if count >= self.forget_at.load(Ordering::Relaxed) {
            self.forget(tally)?;
            if tally.begun == 0 {
                // There is no mark, as when a long journal is read anew.
                self.leave();
                self.release();
                while self.sweep(tally)? {}
            }
        }
        Ok(())
    }

    /// The entries of what is in the index under `key`.
    fn past(&self, key: &[u8]) -> Read<Option<Past>> {
        let stored = self.database.trees().kept.get(key).map_err(failed)?;
        let parts = stored.as_deref().map(parts).transpose()?;
        Ok(parts.map(|(past, _)| past))
    }

    /// Forgets what has expired. Gives the time until which it did; what the index still has of it is
    /// not counted from here on.
    pub(super) fn forget(&self, tally: &mut Tally) -> Read<i64> {
        let limit = self.newest.load(Ordering::Relaxed) - MARGIN;
        let over: Vec<_> = {
            let live = self.live.read();
            let over = live.iter().filter(|(_, it)| it.expires_at <= limit);
            over.map(|(key, it)| (*key, it.seq)).collect()
        };
        for (key, seq) in &over {
            tally.kept.remove(&key_bytes(key)?, *seq);
        }
        let mut live = self.live.write();
        for (key, _) in &over {
            live.remove(key);
        }
        let forget_at = live.len().saturating_mul(2).max(MANY);
        if live.capacity() > forget_at.saturating_mul(4) {
            live.shrink_to(forget_at);
        }
        drop(live);
        self.forget_at.store(forget_at, Ordering::Relaxed);
        let mut expired = self.expired.lock();
        expired.counted.extend(over.iter().map(|(key, _)| *key));
        Ok(limit)
    }

    /// What was forgotten is not counted by the mark that is begun now.
    pub(super) fn leave(&self) {
        let mut expired = self.expired.lock();
        let counted = std::mem::take(&mut expired.counted);
        expired.leaving.extend(counted);
    }

    /// The mark that was begun is on the disk: what it does not count may go.
    pub(super) fn release(&self) {
        let mut expired = self.expired.lock();
        let leaving = std::mem::take(&mut expired.leaving);
        expired.uncounted.extend(leaving);
    }

    /// Removes a few of those that were let go of from the index; `false` when there were none. Call
    /// it only once the mark that does not count them is on the disk.
    pub(super) fn sweep(&self, _locked: &Tally) -> Read<bool> {
        let mut expired = self.expired.lock();
        let rest = expired.uncounted.len().saturating_sub(SWEPT_AT_ONCE);
        let over = expired.uncounted.split_off(rest);
        expired.uncounted.shrink_to(MANY);
        drop(expired);
        if over.is_empty() {
            return Ok(false);
        }
        let mut batch = Batch::default();
        {
            let live = self.live.read();
            // Some may be kept anew.
            for key in over.iter().filter(|key| !live.contains_key(*key)) {
                batch.remove(key_bytes(key)?);
            }
        }
        self.database
            .write(|trees| trees.kept.apply_batch(batch.clone()))?;
        Ok(true)
    }

    /// Until when something is kept, expired or not; `None` when it is not.
    pub(super) fn until(&self, key: &TemporaryKey) -> Option<Timestamp> {
        let live = self.live.read();
        live.get(key)
            .map(|it| Timestamp::from_millis(it.expires_at))
    }

    /// What is kept under `key` and has not expired at `now`.
    pub(super) fn get(&self, key: &TemporaryKey, now: Timestamp) -> Read<Option<Temporary>> {
        let found = self.live.read().get(key).copied();
        let Some(found) = found.filter(|it| it.expires_at > now.as_millis()) else {
            return Ok(None);
        };
        if !found.has_body {
            return Ok(Some(Temporary {
                key: *key,
                expires_at: Timestamp::from_millis(found.expires_at),
                body: Vec::new(),
            }));
        }
        let Some(value) = self
            .database
            .trees()
            .kept
            .get(key_bytes(key)?)
            .map_err(failed)?
        else {
            return Ok(None);
        };
        let it: Temporary = form::decode(parts(&value)?.1).map_err(|_error| damaged())?;
        Ok(Some(it).filter(|it| it.expires_at > now))
    }

    /// Everything in the index, expired or not, as a backup has it: by key, the entry that it was kept
    /// with and its stored form.
    pub(super) fn pairs(&self) -> impl Iterator<Item = Read<(Vec<u8>, Vec<u8>)>> + use<> {
        self.database.trees().kept.iter().map(|pair| {
            let (key, value) = pair.map_err(failed)?;
            let (past, stored) = parts(&value)?;
            Ok((
                key.to_vec(),
                [past.seq.to_be_bytes().as_slice(), stored].concat(),
            ))
        })
    }

    /// Puts what [`pairs`](Self::pairs) gave into an index that is being made.
    pub(super) fn put_pair(&self, tally: &mut Tally, key: &[u8], value: &[u8]) -> Read<()> {
        let (seq, stored) = value.split_first_chunk::<8>().ok_or_else(damaged)?;
        let seq = u64::from_be_bytes(*seq);
        let mut whole = Vec::with_capacity(Past::LEAST + stored.len());
        Past::new(seq).write(&mut whole);
        whole.extend_from_slice(stored);
        tally.kept.add(key, seq);
        self.database.write(|trees| {
            trees.kept.insert(key, whole.as_slice())?;
            Ok(())
        })
    }

    /// Everything in the index, expired or not, with the entry that it was kept with.
    pub(super) fn all(&self) -> impl Iterator<Item = Read<(u64, Temporary)>> + use<> {
        self.database.trees().kept.iter().map(|pair| {
            let (_, value) = pair.map_err(failed)?;
            let (past, stored) = parts(&value)?;
            let it = form::decode(stored).map_err(|_error| damaged())?;
            Ok((past.seq, it))
        })
    }
}

#[cfg(test)]
mod tests {
    use agentidp_shared::StoreId;

    use super::super::index::Index;
    use super::*;

    fn temporary(number: u8, expires_at: i64) -> Temporary {
        Temporary {
            key: TemporaryKey::Idempotency([number; 32]),
            expires_at: Timestamp::from_millis(expires_at),
            body: Vec::new(),
        }
    }

    #[test]
    fn what_was_forgotten_and_is_kept_anew_before_the_next_mark_leaves_the_index_sound() {
        let root = tempfile::tempdir().unwrap();
        let index = Index::open(root.path()).unwrap();
        let store_id = StoreId::from_bytes([7; 16]);
        let keep = |number, expires_at, seq| {
            let it = temporary(number, expires_at);
            index.apply(None, &[it], seq).unwrap();
        };
        for seq in 0..4 {
            keep(u8::try_from(seq).unwrap(), 1_000, seq);
        }
        index.flush(store_id, 1, 0).unwrap();
        // What has expired is looked for with the next that is kept, long before the next mark.
        index.kept.note_time(Timestamp::from_millis(2 * MARGIN));
        index.kept.forget_at.store(1, Ordering::Relaxed);
        keep(9, 10 * MARGIN, 4);
        assert_eq!(index.kept.live.read().len(), 1);
        keep(1, 10 * MARGIN, 5);
        keep(1, 11 * MARGIN, 6);
        let mark = Index::read_mark(root.path()).unwrap();
        drop(index);
        // A crash: the mark is that of before.
        let index = Index::open(root.path()).unwrap();
        assert!(index.verify(&mark).unwrap().is_some());
    }

    #[test]
    fn what_a_mark_has_let_go_of_is_no_part_of_it_when_it_is_kept_anew() {
        let root = tempfile::tempdir().unwrap();
        let index = Index::open(root.path()).unwrap();
        index.apply(None, &[temporary(1, 1_000)], 0).unwrap();
        index.flush(StoreId::from_bytes([7; 16]), 1, 0).unwrap();
        index.kept.note_time(Timestamp::from_millis(2 * MARGIN));
        index.flush(StoreId::from_bytes([7; 16]), 1, 0).unwrap();
        index.apply(None, &[temporary(1, 10 * MARGIN)], 1).unwrap();
        let mark = Index::read_mark(root.path()).unwrap();
        drop(index);
        let index = Index::open(root.path()).unwrap();
        assert!(index.verify(&mark).unwrap().is_some());
    }
}
