//! What readers see: the index, and in memory what is not in it yet or is wanted often.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;

use agentidp_shared::merkle::Edge;
use agentidp_shared::{
    Agent, AgentId, CredentialId, Entry, Organization, OrganizationId, StoreId, Timestamp,
};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::bundle::{self, Summary};
use super::cache::Cache;
use super::directory::Directory;
use super::glance::Facts;
use super::index::Index;
use super::journal::Position;
use super::places;
use super::progress::Progress;
use super::room::Disk;
use super::usage::{UsageKey, Use, Uses};
use crate::metrics::store::StoreMetrics;
use crate::store::query::first_expiry;
use crate::store::{
    CredentialRecord, ReadError, Record, RecordKey, Stored, StoredEntry, Temporary, Usage,
};

type Read<T> = Result<T, ReadError>;

/// The size of an agent's metadata from which on the agent is not kept in memory.
const LARGE: usize = 8 * 1_024;

fn is_large(agent: &Agent) -> bool {
    agent.metadata.size() > LARGE
}

/// The bundle that is not full yet.
pub(super) struct OpenBundle {
    /// The `seq` of its first entry; a multiple of a bundle's size.
    pub(super) first_seq: u64,
    /// The frame that its first entry came with, or will.
    pub(super) frame: u64,
    /// Its entries.
    pub(super) entries: Vec<StoredEntry>,
    summary: Summary,
}

impl OpenBundle {
    /// An empty bundle whose first entry will be `first_seq` and come with `frame`.
    pub(super) fn new(first_seq: u64, frame: u64) -> Self {
        Self {
            first_seq,
            frame,
            entries: Vec::new(),
            summary: Summary::new(),
        }
    }

    /// The entry after its last.
    pub(super) fn end(&self) -> u64 {
        self.first_seq + self.entries.len() as u64
    }
}

/// The state that the sequencer writes and everyone reads.
pub(super) struct State {
    /// The index.
    pub(super) index: Index,
    /// Of every agent, what lists need.
    pub(super) directory: Directory,
    /// The bundle that is not full yet.
    pub(super) open: RwLock<OpenBundle>,
    /// The right edge of the tree over the log. Held while a frame is applied, so that others see it
    /// with whole frames only, as they see `head`.
    pub(super) tree: Mutex<Edge>,
    /// Organizations in use.
    pub(super) organizations: Mutex<Cache<OrganizationId, Organization>>,
    /// Agents in use.
    pub(super) agents: Mutex<Cache<AgentId, Agent>>,
    /// Credentials in use.
    pub(super) credentials: Mutex<Cache<CredentialId, CredentialRecord>>,
    /// How records were used, where the index does not have it yet.
    pub(super) uses: Uses,
    /// How many entries are durable.
    pub(super) head: watch::Sender<u64>,
    /// The edge of the tree as far as the head file has it.
    pub(super) headed: watch::Sender<Arc<Edge>>,
    /// Held from the look at how far the index has got until the mark says so, or a later mark could be
    /// followed by an earlier one. What marks has a lock of its own beneath it, for the file.
    flushing: Mutex<()>,
    /// Why nothing can be written any more.
    pub(super) failure: RwLock<Option<String>>,
    /// What needs looking at though everything is written and read, by what it is about.
    pub(super) troubles: Mutex<BTreeMap<&'static str, String>>,
    /// The room on the disk.
    pub(super) disk: Arc<Disk>,
    /// Where the journal stands, and how many bytes and segments it has.
    pub(super) journal: Mutex<(Position, (u64, u64))>,
    /// How many bytes and segments of it have been removed since.
    pub(super) trimmed: Mutex<(u64, u64)>,
    /// What is counted.
    pub(super) metrics: StoreMetrics,
}

/// An item of a frame, with its entry read.
pub(super) struct Applied<'a> {
    /// The entry.
    pub(super) entry: &'a Entry,
    /// Its stored bytes.
    pub(super) json: bytes::Bytes,
    /// The record, and its stored form.
    pub(super) change: Option<(&'a Record, &'a [u8])>,
    /// What is kept for a time.
    pub(super) kept: &'a [Temporary],
}

impl State {
    /// The state of `index`, which is up to date to the entry `open_seq` and the frame `frame`, and of
    /// its `directory`.
    ///
    /// # Errors
    ///
    /// When the index lacks something of the log's tree.
    pub(super) fn new(index: Index, directory: Directory, open_seq: u64, frame: u64) -> Read<Self> {
        let metrics = StoreMetrics::default();
        Ok(Self {
            tree: Mutex::new(index.edge(open_seq)?),
            index,
            directory,
            open: RwLock::new(OpenBundle::new(open_seq, frame)),
            organizations: Cache::new(&metrics.organizations),
            agents: Cache::new(&metrics.agents),
            credentials: Cache::new(&metrics.credentials),
            uses: Uses::default(),
            head: watch::Sender::new(open_seq),
            headed: watch::Sender::default(),
            flushing: Mutex::default(),
            failure: RwLock::default(),
            troubles: Mutex::default(),
            disk: Arc::new(Disk::new(0)),
            journal: Mutex::new((Position::START, (0, 0))),
            trimmed: Mutex::default(),
            metrics,
        })
    }

    /// Where the journal stood after the last frame all of which is applied.
    pub(super) fn applied(&self) -> Position {
        // One that is being applied comes to its end first.
        let _tree = self.tree.lock();
        self.journal.lock().0
    }

    /// Applies one item of frame `frame`, and appends its entry to `tree`, which is [`State::tree`].
    /// Applying it again changes nothing.
    pub(super) fn apply(&self, frame: u64, item: Applied<'_>, tree: &mut Edge) -> Read<()> {
        let seq = item.entry.seq;
        self.index.kept.note_time(item.entry.time);
        // Before it counts as applied, which is what a mark goes by.
        self.index.prune(item.entry)?;
        let is_new = self.index.apply(item.change, item.kept, seq)?;
        if let Some((record, _)) = item.change {
            self.note(record, is_new, seq)?;
        }
        if let Some(used) = Use::of(item.entry) {
            self.uses.note(&used, item.entry, &self.index)?;
            if let Some(agent) = used.agent {
                self.directory.note_auth(agent, item.entry.time);
            }
        }
        let mut open = self.open.write();
        // Replay begins with the frame that the bundle begins in, and so with entries before it.
        if seq < open.end() {
            return Ok(());
        }
        if seq > open.end() {
            return Err(ReadError(format!(
                "the index lacks the entries {} to {}",
                open.end(),
                seq - 1
            )));
        }
        self.grow(tree, &item.json)?;
        open.summary.add(item.entry);
        open.entries.push(StoredEntry {
            seq,
            json: item.json,
        });
        if open.entries.len() as u64 == bundle::ENTRIES {
            let number = open.first_seq / bundle::ENTRIES;
            self.index.fill(number, &open.entries, &open.summary)?;
            *open = OpenBundle::new(open.end(), frame);
        } else if open.entries.len() == 1 {
            open.frame = frame;
        }
        Ok(())
    }

    /// Notes in memory what a record has become that is in the index already.
    fn note(&self, record: &Record, is_new: bool, seq: u64) -> Read<()> {
        match record {
            Record::Organization(it) => {
                Cache::put(&self.organizations, it.id, it.clone(), seq, false);
            }
            Record::Agent(it) => {
                let capabilities = it.capabilities.to_string();
                self.directory.put(&Facts::new(it, &capabilities), || {
                    let usage = self.uses.of(UsageKey::Agent(it.id), &self.index)?;
                    Ok(usage.last.map_or(0, Timestamp::as_millis))
                })?;
                Cache::put(&self.agents, it.id, it.clone(), seq, is_large(it));
            }
            Record::Credential(it) => {
                let one = &it.credential;
                if is_new {
                    let expiry = first_expiry(std::iter::once(one));
                    self.directory.add_credential(one.id, one.agent_id, expiry);
                } else {
                    let home = places::home(one.organization_id, one.agent_id);
                    let expiry = self.index.first_expiry(&home)?;
                    self.directory
                        .change_credential(one.id, one.agent_id, expiry);
                }
                Cache::put(&self.credentials, one.id, it.clone(), seq, false);
            }
            Record::SigningKey(_) | Record::ServerSecret(_) => {}
        }
        Ok(())
    }

    /// How a record was used.
    pub(super) fn usage(&self, key: &RecordKey) -> Read<Usage> {
        match key {
            RecordKey::Agent(id) => self.uses.of(UsageKey::Agent(*id), &self.index),
            RecordKey::Credential(id) => self.uses.of(UsageKey::Credential(*id), &self.index),
            RecordKey::Organization(_) | RecordKey::SigningKey(_) | RecordKey::ServerSecret(_) => {
                Ok(Usage::default())
            }
        }
    }

    /// How many tokens an organization's agents were issued in a month.
    pub(super) fn tokens_issued(&self, organization: OrganizationId, month: u32) -> Read<u64> {
        let usage = self
            .uses
            .of(UsageKey::Month(organization, month), &self.index)?;
        Ok(usage.count)
    }

    /// Takes out of memory what the index and the disk can have as well, when there is much of it.
    pub(super) fn relieve(&self) -> Read<()> {
        if self.uses.are_many() {
            self.uses.write(&self.index)?;
        }
        Ok(())
    }

    /// Notes what is the trouble with `what`, or that there is none any more.
    pub(super) fn trouble(&self, what: &'static str, trouble: Option<String>) {
        let mut troubles = self.troubles.lock();
        match trouble {
            Some(trouble) => {
                if troubles.get(what) != Some(&trouble) {
                    tracing::error!("{trouble}");
                }
                drop(troubles.insert(what, trouble));
            }
            None => {
                if troubles.remove(what).is_some() {
                    tracing::info!("the {what} is as it should be again");
                }
            }
        }
    }

    /// Claims room on the disk for what the index writes next.
    pub(super) fn claim_for_index(&self) {
        self.index.claim(&self.disk);
    }

    /// The time of the newest entry; `None` when there is none.
    pub(super) fn newest_time(&self) -> Read<Option<Timestamp>> {
        let Some(last) = self.head.borrow().checked_sub(1) else {
            return Ok(None);
        };
        let entries = self.bundle_of(last)?;
        let newest = entries.last();
        let newest = newest.map(|it| serde_json::from_slice::<Entry>(&it.json));
        let newest = newest
            .transpose()
            .map_err(|error| ReadError(format!("the newest entry cannot be read: {error}")))?;
        Ok(newest.map(|entry| entry.time))
    }

    /// Makes the index durable as far as it has got.
    pub(super) fn flush(&self, store_id: StoreId) -> Read<()> {
        self.settle(|frame, open_seq| self.index.flush(store_id, frame, open_seq))
    }

    /// Brings everything into the index as far as it has got, and has `mark` say so.
    fn settle(&self, mark: impl FnOnce(u64, u64) -> Read<()>) -> Read<()> {
        let _alone = self.flushing.lock();
        // Everything that was applied before this moment is in what sled flushes after it.
        let (frame, open_seq) = {
            let open = self.open.read();
            (open.frame, open.first_seq)
        };
        self.uses.write(&self.index)?;
        mark(frame, open_seq)
    }

    /// Copies the index into a fresh database and puts that into use, while commits and reads go on.
    pub(super) fn compact(&self, store_id: StoreId, progress: &Progress) -> Read<()> {
        self.index.copy(progress, &self.disk)?;
        let done =
            self.settle(|frame, open_seq| self.index.put_copy_into_use(store_id, frame, open_seq));
        self.claim_for_index();
        progress.end();
        done
    }

    /// A record that is cached by kind.
    pub(super) fn cached<K: Hash + Eq + Copy, V>(
        &self,
        cache: &Mutex<Cache<K, V>>,
        id: K,
        key: impl FnOnce(K) -> RecordKey,
        of_kind: impl FnOnce(Record) -> Option<V>,
        keep: impl FnOnce(&V) -> bool,
    ) -> Read<Option<Arc<Stored<V>>>> {
        let epoch = {
            let mut cache = cache.lock();
            if let Some(found) = cache.records.get(&id).map(Arc::clone) {
                cache.lookups.hit();
                return Ok(Some(found));
            }
            cache.lookups.miss();
            cache.epoch
        };
        let Some(Stored { record, audit_seq }) = self.record(&key(id))? else {
            return Ok(None);
        };
        let Some(record) = of_kind(record) else {
            return Ok(None);
        };
        let found = Arc::new(Stored { record, audit_seq });
        let mut cache = cache.lock();
        if cache.epoch == epoch && keep(&found.record) {
            cache.records.put(id, Arc::clone(&found));
        }
        Ok(Some(found))
    }

    /// The entries of the bundle that `seq` is in, as far as they are durable.
    pub(super) fn bundle_of(&self, seq: u64) -> Read<Vec<StoredEntry>> {
        {
            let open = self.open.read();
            if seq >= open.first_seq {
                return Ok(open.entries.clone());
            }
        }
        let number = seq / bundle::ENTRIES;
        bundle::unpack(number, &self.index.bundle(number)?)
    }
}

impl State {
    /// A record, read from the index.
    pub(super) fn record(&self, key: &RecordKey) -> Read<Option<Stored<Record>>> {
        let place = match key {
            RecordKey::Organization(id) => Some(places::organization(*id)),
            RecordKey::Agent(id) => {
                let organization = self.directory.organization_of(*id);
                organization.map(|organization| places::agent(organization, *id))
            }
            RecordKey::Credential(id) => {
                let home = self.directory.home_of(*id);
                home.map(|home| places::credential(&home, *id))
            }
            RecordKey::SigningKey(kid) => Some(places::signing_key(kid)),
            RecordKey::ServerSecret(name) => Some(places::server_secret(*name)),
        };
        place.map_or(Ok(None), |place| self.index.get(&place))
    }

    /// All credentials of an agent, newest first.
    pub(super) fn credentials_of(&self, agent: AgentId) -> Read<Vec<Stored<Record>>> {
        match self.directory.organization_of(agent) {
            Some(organization) => self
                .index
                .credentials_of(&places::home(organization, agent)),
            None => Ok(Vec::new()),
        }
    }

    /// An agent, for a list: who reads a list must not drive those in use out of memory.
    pub(super) fn agent_once(&self, id: AgentId) -> Read<Option<Arc<Stored<Agent>>>> {
        if let Some(found) = self.agents.lock().records.peek(&id) {
            return Ok(Some(Arc::clone(found)));
        }
        let found = self.record(&RecordKey::Agent(id))?;
        Ok(found.and_then(|Stored { record, audit_seq }| {
            let record = record.into_agent()?;
            Some(Arc::new(Stored { record, audit_seq }))
        }))
    }

    /// The revision of a record; `None` when there is none.
    pub(super) fn revision(&self, key: &RecordKey) -> Read<Option<u64>> {
        Ok(match key {
            RecordKey::Organization(id) => {
                self.organization(*id)?.map(|stored| stored.record.revision)
            }
            RecordKey::Agent(id) => self.agent(*id)?.map(|stored| stored.record.revision),
            RecordKey::Credential(id) => self
                .credential(*id)?
                .map(|stored| stored.record.credential.revision),
            RecordKey::SigningKey(_) | RecordKey::ServerSecret(_) => {
                self.record(key)?.map(|stored| stored.record.revision())
            }
        })
    }

    /// An organization.
    pub(super) fn organization(
        &self,
        id: OrganizationId,
    ) -> Read<Option<Arc<Stored<Organization>>>> {
        self.cached(
            &self.organizations,
            id,
            RecordKey::Organization,
            Record::into_organization,
            |_| true,
        )
    }

    /// An agent.
    pub(super) fn agent(&self, id: AgentId) -> Read<Option<Arc<Stored<Agent>>>> {
        self.cached(
            &self.agents,
            id,
            RecordKey::Agent,
            Record::into_agent,
            |agent| !is_large(agent),
        )
    }

    /// A credential.
    pub(super) fn credential(
        &self,
        id: CredentialId,
    ) -> Read<Option<Arc<Stored<CredentialRecord>>>> {
        self.cached(
            &self.credentials,
            id,
            RecordKey::Credential,
            Record::into_credential,
            |_| true,
        )
    }
}
