//! A model of a store: plain maps under a lock, no journal, no index, no caches. Tests of the
//! service run on it, and the suite holds the real store against it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use agentidp_shared::audit::MAX_ENTRY_BYTES;
use agentidp_shared::merkle::{Edge, NodeHash};
use agentidp_shared::{
    Action, ActorKind, Agent, AgentId, CredentialId, Email, Entry, Organization, OrganizationId,
    OrganizationName, Outcome, StoreId, Timestamp,
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::answer::page_of;
use super::check::{Current, check};
use super::query::first_expiry;
use super::{
    AgentPage, AgentQuery, Bundle, Commit, CommitError, Committed, CredentialRecord, EntryFilter,
    EntryPage, Item, PageRoom, Read, ReadError, Record, RecordKey, Room, ServerSecret,
    ServerSecretName, SigningKeyRecord, Space, Store, StoreStatus, Stored, StoredEntry, Temporary,
    TemporaryKey, Usage, form,
};
use crate::metrics::store::StoreMetrics;

/// The room that its disk would have.
const SPACE: Space = Space {
    free: 1 << 40,
    total: 1 << 41,
};

/// The model.
pub(crate) struct ModelStore {
    contents: Mutex<Contents>,
    head: watch::Sender<u64>,
    headed: watch::Sender<Arc<Edge>>,
    checkpoint: Mutex<String>,
    /// After how many more commits each fails, and why.
    failure: Mutex<Option<(usize, String)>>,
    is_low: AtomicBool,
    lists: AtomicUsize,
    /// The commits that wait, while they do.
    queue: Mutex<Option<Vec<Queued>>>,
    bundles_read: AtomicUsize,
    metrics: StoreMetrics,
}

type Queued = (Commit, oneshot::Sender<Result<Committed, CommitError>>);

#[derive(Default)]
struct Contents {
    records: BTreeMap<RecordKey, Stored<Record>>,
    entries: Vec<(Entry, StoredEntry)>,
    kept: BTreeMap<TemporaryKey, Temporary>,
    tree: Edge,
    pruned: BTreeSet<u64>,
}

impl Contents {
    /// The entries that were not pruned.
    fn there(&self) -> impl DoubleEndedIterator<Item = &(Entry, StoredEntry)> {
        let entries = self.entries.iter();
        entries.filter(|(entry, _)| !self.pruned.contains(&entry.seq))
    }
}

impl Current for Contents {
    fn revision(&self, key: &RecordKey) -> Result<Option<u64>, ReadError> {
        Ok(self.records.get(key).map(|stored| stored.record.revision()))
    }

    fn organization_by_name(
        &self,
        name: &OrganizationName,
    ) -> Result<Option<OrganizationId>, ReadError> {
        Ok(self
            .records
            .values()
            .find_map(|stored| match &stored.record {
                Record::Organization(it) if it.name == *name => Some(it.id),
                _ => None,
            }))
    }

    fn agent_by_email(&self, email: &Email) -> Result<Option<AgentId>, ReadError> {
        Ok(self
            .records
            .values()
            .find_map(|stored| match &stored.record {
                Record::Agent(it) if it.email == *email => Some(it.id),
                _ => None,
            }))
    }

    fn kept_until(&self, key: &TemporaryKey) -> Result<Option<Timestamp>, ReadError> {
        Ok(self.kept.get(key).map(|it| it.expires_at))
    }

    fn living_agents(&self, organization: OrganizationId) -> Result<u64, ReadError> {
        let is_living = |stored: &&Stored<Record>| {
            matches!(&stored.record, Record::Agent(it)
                if it.organization_id == organization && !it.status.is_final())
        };
        Ok(self.records.values().filter(is_living).count() as u64)
    }
}

fn is_issuance(entry: &Entry) -> bool {
    entry.action == Action::TokenIssue && entry.outcome == Outcome::Success
}

/// Whether an agent used a credential.
fn is_use(entry: &Entry) -> bool {
    let is_asked = [Action::TokenIntrospect, Action::TokenRevoke].contains(&entry.action);
    let is_proved = entry.actor.kind == ActorKind::Agent && entry.credential_id.is_some();
    is_issuance(entry) || (is_asked && is_proved && entry.outcome == Outcome::Success)
}

impl ModelStore {
    /// An empty store.
    pub(crate) fn new() -> Self {
        Self {
            contents: Mutex::default(),
            head: watch::Sender::new(0),
            headed: watch::Sender::default(),
            checkpoint: Mutex::default(),
            failure: Mutex::default(),
            is_low: AtomicBool::new(false),
            lists: AtomicUsize::new(0),
            queue: Mutex::default(),
            bundles_read: AtomicUsize::new(0),
            metrics: StoreMetrics::default(),
        }
    }

    /// From here on every commit fails, as when the disk is full.
    pub(crate) fn fail(&self, cause: &str) {
        self.fail_after(0, cause);
    }

    /// The same after so many more commits.
    pub(crate) fn fail_after(&self, commits: usize, cause: &str) {
        *self.failure.lock() = Some((commits, cause.to_owned()));
    }

    /// How many bundles of entries were read.
    pub(crate) fn bundles_read(&self) -> usize {
        self.bundles_read.load(Ordering::Relaxed)
    }

    /// From here on commits are made again.
    pub(crate) fn recover(&self) {
        *self.failure.lock() = None;
    }

    /// The newest checkpoint that it was given to keep.
    pub(crate) fn checkpoint(&self) -> String {
        self.checkpoint.lock().clone()
    }

    /// From here on its disk has little room left, or enough again.
    pub(crate) fn set_low(&self, is_low: bool) {
        self.is_low.store(is_low, Ordering::Relaxed);
    }

    /// How often agents were listed: each time all of them were gone through.
    pub(crate) fn lists(&self) -> usize {
        self.lists.load(Ordering::Relaxed)
    }

    /// From here on commits wait in the queue until [`Self::settle`], whatever becomes of who made them.
    pub(crate) fn queue_up(&self) {
        *self.queue.lock() = Some(Vec::new());
    }

    /// How many commits wait in the queue.
    pub(crate) fn queued(&self) -> usize {
        self.queue.lock().as_ref().map_or(0, Vec::len)
    }

    /// Makes the commits that wait, and from here on each at once.
    pub(crate) fn settle(&self) {
        let queued = self.queue.lock().take();
        for (commit, answer) in queued.into_iter().flatten() {
            // Who made it may have gone away.
            let _ = answer.send(self.commit_now(commit));
        }
    }

    fn commit_now(&self, commit: Commit) -> Result<Committed, CommitError> {
        if let Some((left, cause)) = self.failure.lock().as_mut() {
            let rest = left.checked_sub(1);
            *left = rest.ok_or_else(|| CommitError::Unavailable(cause.clone()))?;
        }
        if self.is_low_on_space() && commit.grows() {
            return Err(CommitError::LowOnSpace);
        }
        let mut contents = self.contents.lock();
        check(&commit, &*contents).unwrap()?;
        let is_large =
            |item: &Item| serde_json::to_vec(&item.entry).unwrap().len() > MAX_ENTRY_BYTES;
        if commit.items().iter().any(is_large) {
            return Err(CommitError::TooLarge);
        }
        let first = contents.entries.len() as u64;
        for (item, seq) in commit.into_items().into_iter().zip(first..) {
            let mut entry = item.entry;
            entry.seq = seq;
            let latest = contents.entries.last().map(|(last, _)| last.time);
            // Which alone is dated by the machine's clock, whatever the log has.
            let latest = latest.filter(|_| entry.action != Action::StoreAccept);
            entry.time = latest.map_or(entry.time, |latest| entry.time.max(latest));
            if let (Some(record), Some(target)) = (&item.change, &mut entry.target) {
                target.revision = Some(record.revision());
                target.digest = Some(form::digest(&form::encode(record).unwrap()));
            }
            if let Some(record) = item.change {
                contents.records.insert(
                    record.key(),
                    Stored {
                        record,
                        audit_seq: seq,
                    },
                );
            }
            for temporary in item.kept {
                contents.kept.insert(temporary.key, temporary);
            }
            let json: Bytes = serde_json::to_vec(&entry).unwrap().into();
            contents.tree.push(NodeHash::of_leaf(&json), |_, _, _| {});
            if let Some(pruned) = entry.prunes() {
                let held = contents.records.values().filter_map(|it| match &it.record {
                    Record::Organization(it) if it.is_held => Some(it.id),
                    _ => None,
                });
                let held: BTreeSet<_> = held.collect();
                let gone = contents.entries.iter().filter(|(it, _)| {
                    let is_held = it.organization_id.is_some_and(|id| held.contains(&id));
                    pruned.removes(it.seq) && !it.accounts_for_log() && !is_held
                });
                let gone: Vec<_> = gone.map(|(it, _)| it.seq).collect();
                contents.pruned.extend(gone);
            }
            contents.entries.push((entry, StoredEntry { seq, json }));
        }
        self.head.send_replace(contents.entries.len() as u64);
        self.headed.send_replace(Arc::new(contents.tree.clone()));
        Ok(Committed { seq: first })
    }

    fn of_kind<T>(&self, kind: impl Fn(Record) -> Option<T>) -> Vec<Arc<Stored<T>>> {
        let contents = self.contents.lock();
        let newest_first = contents.records.values().rev().cloned();
        newest_first
            .filter_map(|Stored { record, audit_seq }| {
                Some(Arc::new(Stored {
                    record: kind(record)?,
                    audit_seq,
                }))
            })
            .collect()
    }

    fn one<T>(
        &self,
        key: &RecordKey,
        kind: impl Fn(Record) -> Option<T>,
    ) -> Option<Arc<Stored<T>>> {
        let Stored { record, audit_seq } = self.contents.lock().records.get(key)?.clone();
        Some(Arc::new(Stored {
            record: kind(record)?,
            audit_seq,
        }))
    }
}

impl Store for ModelStore {
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        if let Some(queue) = &mut *self.queue.lock() {
            let (answer, answered) = oneshot::channel();
            queue.push((commit, answer));
            return async move { answered.await.unwrap() }.boxed();
        }
        async move {
            let committed = self.commit_now(commit);
            // As with the real one, the answer comes after others can see what was committed.
            tokio::task::yield_now().await;
            committed
        }
        .boxed()
    }

    fn commit_later(&self, commit: Commit) -> bool {
        // As with the real one, a failure is nobody's to hear of.
        let _ = self.commit_now(commit);
        true
    }

    fn organization(&self, id: OrganizationId) -> Read<Option<Arc<Stored<Organization>>>> {
        Ok(self.one(&RecordKey::Organization(id), Record::into_organization))
    }

    fn organization_by_name(&self, name: &OrganizationName) -> Read<Option<OrganizationId>> {
        self.contents.lock().organization_by_name(name)
    }

    fn organizations(
        &self,
        before: Option<OrganizationId>,
        limit: usize,
    ) -> Read<Vec<Arc<Stored<Organization>>>> {
        let all = self.of_kind(Record::into_organization).into_iter();
        Ok(all
            .filter(|it| before.is_none_or(|before| it.record.id < before))
            .take(limit)
            .collect())
    }

    fn agent(&self, id: AgentId) -> Read<Option<Arc<Stored<Agent>>>> {
        Ok(self.one(&RecordKey::Agent(id), Record::into_agent))
    }

    fn agent_by_email(&self, email: &Email) -> Read<Option<AgentId>> {
        self.contents.lock().agent_by_email(email)
    }

    fn agents(&self, query: &AgentQuery) -> Read<AgentPage> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        let mut all = Vec::new();
        for agent in self.of_kind(Record::into_agent) {
            let id = agent.record.id;
            let credentials = self.credentials_of(id)?;
            let expiry = first_expiry(credentials.iter().map(|it| &it.record.credential));
            all.push((agent, self.usage(&RecordKey::Agent(id))?.last, expiry));
        }
        Ok(page_of(all.into_iter(), query))
    }

    fn credential(&self, id: CredentialId) -> Read<Option<Arc<Stored<CredentialRecord>>>> {
        Ok(self.one(&RecordKey::Credential(id), Record::into_credential))
    }

    fn credentials_of(&self, agent: AgentId) -> Read<Vec<Arc<Stored<CredentialRecord>>>> {
        let all = self.of_kind(Record::into_credential).into_iter();
        Ok(all
            .filter(|it| it.record.credential.agent_id == agent)
            .collect())
    }

    fn last_change(&self, key: &RecordKey) -> Read<Option<u64>> {
        Ok(self.contents.lock().records.get(key).map(|it| it.audit_seq))
    }

    fn usage(&self, key: &RecordKey) -> Read<Usage> {
        let contents = self.contents.lock();
        let uses = contents.entries.iter().map(|(entry, _)| entry);
        let mut usage = Usage::default();
        for entry in uses.filter(|entry| is_use(entry)) {
            let is_used = match key {
                RecordKey::Agent(id) => entry.actor.id.as_deref() == Some(&id.to_string()),
                RecordKey::Credential(id) => entry.credential_id == Some(*id),
                _ => false,
            };
            if is_used {
                usage.last = Some(entry.time);
                usage.count += entry.count.unwrap_or(1);
            }
        }
        Ok(usage)
    }

    fn tokens_issued(&self, organization: OrganizationId, time: Timestamp) -> Read<u64> {
        let contents = self.contents.lock();
        let entries = contents.entries.iter().map(|(entry, _)| entry);
        let counts = |entry: &&Entry| {
            is_issuance(entry)
                && entry.organization_id == Some(organization)
                && entry.time.month() == time.month()
        };
        Ok(entries.filter(counts).count() as u64)
    }

    fn temporary(&self, key: &TemporaryKey, now: Timestamp) -> Read<Option<Temporary>> {
        let contents = self.contents.lock();
        let live = contents.kept.get(key).filter(|it| it.expires_at > now);
        Ok(live.cloned())
    }

    fn signing_keys(&self) -> Read<Vec<Arc<Stored<SigningKeyRecord>>>> {
        let mut keys = self.of_kind(Record::into_signing_key);
        keys.sort_by_key(|stored| std::cmp::Reverse(stored.record.key.created_at));
        Ok(keys)
    }

    fn server_secret(&self, name: ServerSecretName) -> Read<Option<Arc<Stored<ServerSecret>>>> {
        Ok(self.one(&RecordKey::ServerSecret(name), Record::into_server_secret))
    }

    fn entries_from(&self, from: u64, limit: usize) -> Read<Vec<StoredEntry>> {
        let contents = self.contents.lock();
        let entries = contents.there().map(|(_, stored)| stored);
        Ok(entries
            .filter(|stored| stored.seq >= from)
            .take(limit)
            .cloned()
            .collect())
    }

    fn bundle_entries(&self, number: u64) -> Read<Vec<StoredEntry>> {
        let contents = self.contents.lock();
        let entries = contents.there().map(|(_, stored)| stored);
        Ok(entries
            .filter(|stored| stored.seq / Bundle::ENTRIES == number)
            .cloned()
            .collect())
    }

    fn bundle(&self, number: u64) -> Read<Option<Bundle>> {
        self.bundles_read.fetch_add(1, Ordering::Relaxed);
        let entries = self.bundle_entries(number)?;
        let is_full = *self.head.borrow() / Bundle::ENTRIES > number;
        let bytes = entries.iter().map(|it| it.json.len() as u64).sum();
        Ok(is_full.then_some(Bundle { entries, bytes }))
    }

    fn bundle_bytes(&self, number: u64) -> Read<u64> {
        Ok(self.bundle(number)?.map_or(0, |it| it.bytes))
    }

    fn entries_before(
        &self,
        before: Option<u64>,
        filter: &EntryFilter,
        limit: usize,
    ) -> Read<EntryPage> {
        let contents = self.contents.lock();
        let older = contents
            .there()
            .rev()
            .filter(|(entry, _)| before.is_none_or(|before| entry.seq < before));
        let entries = older
            .filter(|(entry, _)| filter.matches(entry))
            .map(|(_, stored)| stored.clone());
        let mut room = PageRoom::new(limit);
        let entries: Vec<_> = entries
            .take_while(|stored| {
                let fits = !room.is_full();
                room.take(stored.json.len());
                fits
            })
            .collect();
        let next_before = entries
            .last()
            .filter(|last| room.is_full() && last.seq > 0)
            .map(|last| last.seq);
        Ok(EntryPage {
            entries,
            next_before,
        })
    }

    fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    fn headed(&self) -> watch::Receiver<Arc<Edge>> {
        self.headed.subscribe()
    }

    fn keep_checkpoint(&self, note: &str) -> std::io::Result<()> {
        note.clone_into(&mut self.checkpoint.lock());
        Ok(())
    }

    fn tree(&self) -> Edge {
        self.contents.lock().tree.clone()
    }

    fn tile(&self, level: u8, index: u64) -> Read<Vec<NodeHash>> {
        let (mut edge, mut found) = (Edge::default(), Vec::new());
        for (_, stored) in &self.contents.lock().entries {
            edge.push(NodeHash::of_leaf(&stored.json), |at, place, hashes| {
                if (at, place) == (level, index) {
                    found = hashes.to_vec();
                }
            });
        }
        Ok(found)
    }

    fn status(&self) -> StoreStatus {
        StoreStatus {
            id: StoreId::from_bytes([0; 16]),
            path: String::new(),
            format: 0,
            entries: *self.head.borrow(),
            journal_bytes: 0,
            journal_segments: 0,
            upkeep: crate::store::Upkeep::default(),
            failure: self.failure(),
            head_failure: None,
            troubles: Vec::new(),
            room: Room {
                space: Some(SPACE),
                reserve: 1 << 20,
                is_low: self.is_low_on_space(),
            },
        }
    }

    fn failure(&self) -> Option<String> {
        let failure = self.failure.lock();
        let failure = failure.as_ref().filter(|(left, _)| *left == 0);
        failure.map(|(_, cause)| cause.clone())
    }

    fn is_low_on_space(&self) -> bool {
        self.is_low.load(Ordering::Relaxed)
    }

    fn metrics(&self) -> &StoreMetrics {
        &self.metrics
    }
}
