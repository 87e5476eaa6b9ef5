//! The index: what the journal says, in sled, where it is found fast. It can be deleted at any time
//! and is rebuilt from the journal.
//!
//! sled loses what it has acknowledged when power fails, unless its file is synced by us; it
//! panics on damage that it notices. So nothing here is ever the only copy, everything that is
//! applied is absolute and may be applied again, and opening is guarded.

use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use agentidp_shared::{AgentId, Email, OrganizationName, StoreId};
use parking_lot::{Mutex, RwLock};
use sled::{Batch, Db, IVec, Tree};

use super::bundle::Summary;
use super::layout::{read_json, write_json};
use super::tally::{Mark, Tally};
use super::usage::{Count, UsageKey};
use crate::store::form::hex;
use crate::store::{ReadError, Record, RecordKey, Stored, Temporary, TemporaryKey, form};

/// How much memory sled may use for its pages.
const CACHE_BYTES: u64 = 64 * 1_024 * 1_024;
/// The largest value that is put in one piece. sled writes sixteen neighbours as one, and what
/// passes 128 KiB goes to files that it never syncs.
const MAX_VALUE: usize = 6 * 1_024;

type Read<T> = Result<T, ReadError>;

/// What stands before a record: the entry of its last change, the entry that was its last when the
/// index was last marked ([`NONE`]: it was not there), and the length of its stored form. A record
/// that is too large for one value has only this; the rest is in parts.
const HEADER: usize = 8 + 8 + 4;
/// No entry.
const NONE: u64 = u64::MAX;

/// The header of a record's value.
#[derive(Debug, Clone, Copy)]
struct Header {
    seq: u64,
    settled: u64,
    length: usize,
}

impl Header {
    fn read(value: &[u8]) -> Read<(Self, &[u8])> {
        let (seq, rest) = value.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (settled, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = u32::from_be_bytes(*length) as usize;
        Ok((
            Self {
                seq: u64::from_be_bytes(*seq),
                settled: u64::from_be_bytes(*settled),
                length,
            },
            rest,
        ))
    }
}

/// The sled database and its trees.
pub(super) struct Index {
    folder: PathBuf,
    db: Db,
    records: Tree,
    /// Records that are too large for one value, in parts: key, length of the key, number of the part.
    parts: Tree,
    /// Held while a record in parts is written, so that nobody reads half of the old one and half of
    /// the new.
    parts_lock: RwLock<()>,
    names: Tree,
    agent_credentials: Tree,
    usage: Tree,
    kept: Tree,
    bundles: Tree,
    summaries: Tree,
    generation: u64,
    tally: Mutex<Tally>,
}

// The kinds of records share a tree; the first byte of a key tells them apart.
const ORGANIZATION: u8 = b'o';
const AGENT: u8 = b'a';
const CREDENTIAL: u8 = b'c';
const SIGNING_KEY: u8 = b'k';
const SERVER_SECRET: u8 = b's';
// What a name is the name of.
const NAME: u8 = b'n';
const EMAIL: u8 = b'e';

fn key_bytes(key: &RecordKey) -> Vec<u8> {
    let (kind, id): (u8, &[u8]) = match key {
        RecordKey::Organization(id) => (ORGANIZATION, id.as_bytes()),
        RecordKey::Agent(id) => (AGENT, id.as_bytes()),
        RecordKey::Credential(id) => (CREDENTIAL, id.as_bytes()),
        RecordKey::SigningKey(kid) => (SIGNING_KEY, kid.as_bytes()),
        RecordKey::ServerSecret(name) => (SERVER_SECRET, name.as_str().as_bytes()),
    };
    let mut bytes = Vec::with_capacity(1 + id.len());
    bytes.push(kind);
    bytes.extend_from_slice(id);
    bytes
}

fn tagged(tag: u8, text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + text.len());
    bytes.push(tag);
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// The key of the name that a record is found by, if it has one.
fn name_key(record: &Record) -> Option<Vec<u8>> {
    match record {
        Record::Organization(it) => Some(tagged(NAME, it.name.as_str())),
        Record::Agent(it) => Some(tagged(EMAIL, it.email.as_str())),
        Record::Credential(_) | Record::SigningKey(_) | Record::ServerSecret(_) => None,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` passes")]
fn failed(error: sled::Error) -> ReadError {
    ReadError(format!("the index failed: {error}"))
}

fn damaged() -> ReadError {
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
                agent_credentials: db.open_tree("agent_credentials")?,
                usage: db.open_tree("usage")?,
                kept: db.open_tree("kept")?,
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

    /// The mark of the index in `folder`, if it has one that is whole.
    pub(super) fn read_mark(folder: &Path) -> Option<Mark> {
        read_json(&folder.join("mark.json")).ok()
    }

    /// Whether this database is the one that `mark` belongs to, and still holds what it held then.
    /// What was changed since counts by what it was.
    pub(super) fn is_as_marked(&self, mark: &Mark) -> Read<bool> {
        let (mut now, mut then) = (Tally::default(), Tally::default());
        let (mut named, mut credentials) = (0, 0);
        for pair in &self.records {
            let (key, value) = pair.map_err(failed)?;
            let header = Header::read(&value)?.0;
            now.add(&key, header.seq);
            let seq = if header.seq < mark.entries {
                header.seq
            } else {
                header.settled
            };
            if seq != NONE {
                then.add(&key, seq);
            }
            match key.first() {
                Some(&(ORGANIZATION | AGENT)) => named += 1,
                Some(&CREDENTIAL) => credentials += 1,
                _ => {}
            }
        }
        // A record is put before its name; the one that a crash came between is put again.
        let is_found =
            self.names.len() + 1 >= named && self.agent_credentials.len() + 1 >= credentials;
        let is_marked = mark.generation == self.generation && then.is_of(mark);
        *self.tally.lock() = Tally {
            entries: mark.entries,
            marked: mark.entries,
            ..now
        };
        Ok(is_marked && is_found)
    }

    /// Counts an entry as applied that changes no record.
    pub(super) fn pass(&self, seq: u64) {
        let mut tally = self.tally.lock();
        tally.entries = tally.entries.max(seq + 1);
    }

    /// Makes everything that was applied durable, and then says so in the mark.
    ///
    /// # Errors
    ///
    /// When the disk does not take it; the mark then stays where it was.
    pub(super) fn flush(&self, store_id: StoreId, frame: u64, open_seq: u64) -> Read<()> {
        let tally = {
            let mut tally = self.tally.lock();
            tally.marked = tally.entries;
            *tally
        };
        self.db.flush().map_err(failed)?;
        // On Linux sled's flush hands the pages to the kernel and does not wait for the disk.
        let path = self.folder.join("sled").join("db");
        let synced = File::open(&path).and_then(|file| file.sync_data());
        let mark = Mark {
            store_id,
            generation: self.generation,
            frame,
            open_seq,
            entries: tally.entries,
            records: tally.records,
            sum: hex(&tally.sum.to_be_bytes()),
        };
        synced
            .and_then(|()| write_json(&self.folder.join("mark.json"), &mark))
            .map_err(|error| ReadError(format!("the index could not be synced: {error}")))
    }

    /// Puts a record, in its stored form, with the audit entry that accounts for it.
    pub(super) fn put(&self, record: &Record, stored: &[u8], audit_seq: u64) -> Read<()> {
        let key = key_bytes(&record.key());
        let mut tally = self.tally.lock();
        let before = self.records.get(&key).map_err(failed)?;
        let old = before
            .as_ref()
            .map(|before| self.whole(&key, before))
            .transpose()?;
        let mut settled = NONE;
        if let Some(before) = &before {
            let header = Header::read(before)?.0;
            settled = if header.seq < tally.marked {
                header.seq
            } else {
                header.settled
            };
            tally.remove(&key, header.seq);
        }
        let length = u32::try_from(stored.len()).unwrap_or(u32::MAX);
        let mut value = Vec::with_capacity(HEADER + stored.len());
        value.extend_from_slice(&audit_seq.to_be_bytes());
        value.extend_from_slice(&settled.to_be_bytes());
        value.extend_from_slice(&length.to_be_bytes());
        if stored.len() <= MAX_VALUE {
            value.extend_from_slice(stored);
            self.records.insert(&key, value).map_err(failed)?;
        } else {
            let mut batch = Batch::default();
            for (part, chunk) in stored.chunks(MAX_VALUE).enumerate() {
                batch.insert(part_key(&key, part), chunk);
            }
            let _writing = self.parts_lock.write();
            self.parts.apply_batch(batch).map_err(failed)?;
            self.records.insert(&key, value).map_err(failed)?;
        }
        tally.add(&key, audit_seq);
        tally.entries = tally.entries.max(audit_seq + 1);
        drop(tally);
        let id = key.get(1..).unwrap_or_default();
        if let (Some(old), Some(name)) = (old, name_key(record)) {
            let renamed = name_key(&old.record).filter(|old| *old != name);
            if let Some(old) = renamed.filter(|old| {
                self.names
                    .get(old)
                    .is_ok_and(|owner| owner.as_deref() == Some(id))
            }) {
                self.names.remove(old).map_err(failed)?;
            }
        }
        if let Some(name) = name_key(record) {
            self.names.insert(name, id).map_err(failed)?;
        }
        if let Record::Credential(it) = record {
            let mut pair = it.credential.agent_id.as_bytes().to_vec();
            pair.extend_from_slice(id);
            self.agent_credentials.insert(pair, &[]).map_err(failed)?;
        }
        Ok(())
    }

    /// A record.
    pub(super) fn get(&self, key: &RecordKey) -> Read<Option<Stored<Record>>> {
        let key = key_bytes(key);
        let value = self.records.get(&key).map_err(failed)?;
        value.map(|value| self.whole(&key, &value)).transpose()
    }

    /// The record of which `found` stands under its key.
    fn whole(&self, key: &[u8], found: &[u8]) -> Read<Stored<Record>> {
        let (header, stored) = self.stored(key, found)?;
        let record = form::decode(&stored).map_err(|_error| damaged())?;
        Ok(Stored {
            record,
            audit_seq: header.seq,
        })
    }

    /// The stored form of a record of which `found` stands under its key.
    fn stored(&self, key: &[u8], found: &[u8]) -> Read<(Header, Vec<u8>)> {
        let (header, inline) = Header::read(found)?;
        if header.length == inline.len() {
            return Ok((header, inline.to_vec()));
        }
        let _reading = self.parts_lock.read();
        // It may have been replaced since it was found.
        let found = self.records.get(key).map_err(failed)?.ok_or_else(damaged)?;
        let (header, inline) = Header::read(&found)?;
        let mut stored = inline.to_vec();
        if header.length != inline.len() {
            for part in 0..header.length.div_ceil(MAX_VALUE) {
                let part = self.parts.get(part_key(key, part)).map_err(failed)?;
                stored.extend_from_slice(&part.ok_or_else(damaged)?);
            }
            stored.truncate(header.length);
        }
        Ok((header, stored))
    }

    /// Who has the name.
    pub(super) fn organization_by_name(&self, name: &OrganizationName) -> Read<Option<[u8; 16]>> {
        self.id_of(&tagged(NAME, name.as_str()))
    }

    /// Who has the e-mail.
    pub(super) fn agent_by_email(&self, email: &Email) -> Read<Option<[u8; 16]>> {
        self.id_of(&tagged(EMAIL, email.as_str()))
    }

    fn id_of(&self, key: &[u8]) -> Read<Option<[u8; 16]>> {
        let id = self.names.get(key).map_err(failed)?;
        id.map(|id| id.as_ref().try_into().map_err(|_error| damaged()))
            .transpose()
    }

    /// At most `limit` records of the kind of `end`, in descending order, before `end`.
    pub(super) fn before(&self, end: &RecordKey, limit: usize) -> Read<Vec<Stored<Record>>> {
        self.descending(key_bytes(end), limit)
    }

    /// At most `limit` organizations, newest first.
    pub(super) fn newest_organizations(&self, limit: usize) -> Read<Vec<Stored<Record>>> {
        self.descending(vec![ORGANIZATION + 1], limit)
    }

    /// At most `limit` agents, newest first.
    pub(super) fn newest_agents(&self, limit: usize) -> Read<Vec<Stored<Record>>> {
        self.descending(vec![AGENT + 1], limit)
    }

    /// All signing keys.
    pub(super) fn signing_keys(&self) -> Read<Vec<Stored<Record>>> {
        self.descending(vec![SIGNING_KEY + 1], usize::MAX)
    }

    fn descending(&self, end: Vec<u8>, limit: usize) -> Read<Vec<Stored<Record>>> {
        // An end that is only a kind's successor still has the kind before it.
        let kind = if end.len() == 1 {
            end.first().map_or(0, |tag| tag - 1)
        } else {
            end.first().copied().unwrap_or(0)
        };
        let range = self.records.range(vec![kind]..end).rev().take(limit);
        range
            .map(|pair| {
                let (key, value) = pair.map_err(failed)?;
                self.whole(&key, &value)
            })
            .collect()
    }

    /// The credentials of an agent, newest first.
    pub(super) fn credentials_of(&self, agent: AgentId) -> Read<Vec<[u8; 16]>> {
        let ids = self
            .agent_credentials
            .scan_prefix(agent.as_bytes())
            .keys()
            .rev();
        ids.map(|key| {
            let key = key.map_err(failed)?;
            key.get(16..)
                .and_then(|id| id.try_into().ok())
                .ok_or_else(damaged)
        })
        .collect()
    }

    /// Keeps something for a time.
    pub(super) fn keep(&self, temporary: &Temporary) -> Read<()> {
        let key = form::encode(&temporary.key).map_err(|_error| damaged())?;
        let value = form::encode(temporary).map_err(|_error| damaged())?;
        self.kept.insert(key, value).map_err(failed)?;
        Ok(())
    }

    /// What is kept under `key`, expired or not.
    pub(super) fn temporary(&self, key: &TemporaryKey) -> Read<Option<Temporary>> {
        let key = form::encode(key).map_err(|_error| damaged())?;
        let found = self.kept.get(key).map_err(failed)?;
        found
            .map(|value| form::decode(&value).map_err(|_error| damaged()))
            .transpose()
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

    /// Whether `record` is found by its name, and by the agent that it belongs to.
    pub(super) fn finds(&self, record: &Record) -> Read<bool> {
        let key = key_bytes(&record.key());
        let id = key.get(1..).unwrap_or_default();
        if let Some(name) = name_key(record) {
            return Ok(self.names.get(name).map_err(failed)?.as_deref() == Some(id));
        }
        if let Record::Credential(it) = record {
            let pair = [it.credential.agent_id.as_bytes(), id].concat();
            return self.agent_credentials.contains_key(pair).map_err(failed);
        }
        Ok(true)
    }

    /// Every record with its stored form: what `store check` compares.
    pub(super) fn all_records(&self) -> impl Iterator<Item = Read<(Vec<u8>, Vec<u8>)>> {
        self.records.iter().map(|pair| {
            let (key, value) = pair.map_err(failed)?;
            let (header, stored) = self.stored(&key, &value)?;
            Ok((
                key.to_vec(),
                [&header.seq.to_be_bytes(), stored.as_slice()].concat(),
            ))
        })
    }
}

/// The form in which a record stands in the index: what [`Index::all_records`] gives for it.
pub(super) fn stored_pair(record: &Record, stored: &[u8], audit_seq: u64) -> (Vec<u8>, Vec<u8>) {
    let mut value = audit_seq.to_be_bytes().to_vec();
    value.extend_from_slice(stored);
    (key_bytes(&record.key()), value)
}

fn part_key(key: &[u8], part: usize) -> Vec<u8> {
    let mut bytes = key.to_vec();
    bytes.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(&u16::try_from(part).unwrap_or(u16::MAX).to_be_bytes());
    bytes
}

fn bundle_key(number: u64, part: usize) -> Vec<u8> {
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
