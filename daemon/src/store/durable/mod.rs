//! The daemon's store: a journal that is the truth, and sled as its index.
//!
//! A commit goes through the one [`sequencer`] into a frame of the [`journal`], is synced, applied
//! to the [`state`] (the [`index`] and what is in memory), and only then answered. The [`keeper`]
//! makes the index durable from time to time, and writes the head file, which lives outside both
//! and contradicts a store that is put back from yesterday. docs/decisions/0001 says why.

mod builder;
mod bundle;
mod cache;
mod care;
mod catch_up;
mod check;
mod closed;
mod compact;
mod create;
mod database;
mod directory;
mod flip;
mod frame;
mod glance;
mod head;
mod image;
mod index;
mod intern;
mod journal;
mod keeper;
mod kept;
mod layout;
mod listing;
mod memory;
mod open;
mod open_error;
mod output;
mod places;
mod progress;
mod prune;
mod records;
mod restore;
mod room;
mod segments;
mod sequencer;
mod state;
mod table;
mod tally;
mod tiles;
mod upkeep;
mod usage;
mod verify;
mod window;

#[cfg(test)]
pub(crate) mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use agentidp_shared::merkle::{Edge, NodeHash};
use agentidp_shared::{
    Agent, AgentId, CredentialId, Email, Organization, OrganizationId, OrganizationName, StoreId,
    Timestamp,
};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    AgentPage, AgentQuery, Bundle, Commit, CommitError, Committed, CredentialRecord, EntryFilter,
    EntryPage, PageRoom, Read, Record, RecordKey, ServerSecret, ServerSecretName, SigningKeyRecord,
    Store, StoreStatus, Stored, StoredEntry, Temporary, TemporaryKey, Usage,
};
use crate::metrics::store::StoreMetrics;
pub(crate) use care::{Trial, try_index};
pub(crate) use check::{Report, check};
pub(crate) use image::{Cut, ImageError, Inspector, Sink};
use keeper::Keeper;
use layout::Layout;
pub(crate) use open_error::OpenError;
pub(crate) use progress::{Progress, Step};
pub(crate) use restore::{Rebuilder, Restorer, Until};
use sequencer::Waiting;
use state::State;
use upkeep::Care;
pub(crate) use upkeep::{CheckStatus, Upkeep};

/// How many commits may wait for the sequencer.
const QUEUE: usize = 4_096;
/// How many bundles one page opens when a filter lets little through.
const BUNDLES_PER_PAGE: usize = 64;
/// How many summaries one page looks at.
const SUMMARIES_PER_PAGE: usize = 4_096;

/// Where a store is.
#[derive(Debug, Clone)]
pub(crate) struct StoreOptions {
    /// Its folder.
    pub(crate) path: PathBuf,
    /// Its head file.
    pub(crate) head_file: PathBuf,
    /// When it is opened: an index that is set aside is named for it.
    pub(crate) opened_at: Timestamp,
    /// What tries in a process of its own whether the index opens, when the store was not closed in
    /// good order; `None`: it is opened at once.
    pub(crate) trial: Option<Trial>,
    /// Shows how far opening, checking or compacting it is.
    pub(crate) progress: Arc<Progress>,
    /// How many bytes are kept for what must be written when the disk is nearly full; 0: none.
    pub(crate) reserve: u64,
}

impl StoreOptions {
    /// The store in `path`, opened at `opened_at`, with nothing else asked for.
    pub(crate) fn new(path: PathBuf, head_file: PathBuf, opened_at: Timestamp) -> Self {
        Self {
            path,
            head_file,
            opened_at,
            trial: None,
            progress: Arc::default(),
            reserve: 0,
        }
    }
}

/// The store. Dropping it without [`finish`](Self::finish) is what a crash is: nothing that
/// was acknowledged is lost.
pub(crate) struct JournaledStore {
    id: StoreId,
    path: String,
    layout: Layout,
    state: Arc<State>,
    /// Whether it was not closed in good order when it was last used.
    was_unclean: bool,
    /// How many entries its log had when it was opened.
    opened_with: u64,
    /// Whether all of it is durable, once it is finished.
    is_durable: AtomicBool,
    care: Care,
    /// `None` once the store is being shut down.
    queue: Mutex<Option<mpsc::Sender<Waiting>>>,
    threads: Mutex<Option<(JoinHandle<()>, Keeper)>>,
    /// Held for as long as the store is open.
    _lock: nix::fcntl::Flock<std::fs::File>,
}

impl JournaledStore {
    /// Its name for itself.
    pub(crate) const fn id(&self) -> StoreId {
        self.id
    }

    /// Takes no more commits, finishes those that it has taken, and leaves everything durable.
    pub(crate) fn finish(&self) {
        self.care.stop();
        if let Some(keeper) = self.end_sequencer() {
            self.is_durable.store(keeper.finish(), Ordering::Relaxed);
        }
    }

    /// Notes that a store that is [finished](Self::finish) was closed in good order: everything is durable, and the
    /// newest checkpoint is of all that the log has. Otherwise it counts as one that was not.
    pub(crate) fn end(&self) {
        if !self.is_durable.load(Ordering::Relaxed) || !self.is_signed() {
            return;
        }
        if let Err(error) = self.layout.end() {
            tracing::warn!(%error, "it could not be noted that the store was closed in good order");
        }
    }

    /// Whether the newest checkpoint is of all that the log has.
    fn is_signed(&self) -> bool {
        let newest = self.layout.read_checkpoint().ok().flatten();
        let tree = self.state.tree.lock();
        newest.is_some_and(|it| (it.size, it.root) == (tree.size(), tree.root()))
    }

    /// Closes a store that is served no longer, or was not: by whoever does not sign what was added to its log, and
    /// leaves what is unsigned, or did not end in good order, to be looked into at the next start.
    pub(crate) fn give_back(&self) {
        self.finish();
        if !self.was_unclean {
            self.end();
        }
    }

    /// The same, for a command that then says that what it was to do is done.
    ///
    /// # Errors
    ///
    /// Why the head file does not have what was committed: the next start would refuse the store.
    pub(crate) fn close(&self) -> Result<(), String> {
        self.give_back();
        let failure = self.state.troubles.lock().get(keeper::HEAD).cloned();
        failure.map_or(Ok(()), |cause| {
            Err(format!(
                "{cause}; the store has the change, and its head file does not: put that right, and do this again"
            ))
        })
    }

    fn end_sequencer(&self) -> Option<Keeper> {
        drop(self.queue.lock().take());
        let (sequencer, keeper) = self.threads.lock().take()?;
        if sequencer.join().is_err() {
            tracing::error!("the sequencer panicked");
        }
        Some(keeper)
    }

    fn hand_in(&self, waiting: Waiting) -> Result<(), CommitError> {
        if self.state.disk.is_low() && waiting.commit.grows() {
            return Err(CommitError::LowOnSpace);
        }
        let queue = self.queue.lock();
        let queue = queue
            .as_ref()
            .ok_or_else(|| CommitError::Unavailable("the store is shut down".to_owned()))?;
        queue.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommitError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => {
                CommitError::Unavailable("the sequencer has ended".to_owned())
            }
        })
    }
}

impl Drop for JournaledStore {
    fn drop(&mut self) {
        self.care.stop();
        // The threads must not outlive the lock.
        if let Some(keeper) = self.end_sequencer() {
            keeper.abandon();
        }
    }
}

impl Store for JournaledStore {
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        let (answer, answered) = oneshot::channel();
        let handed_in = self.hand_in(Waiting {
            commit,
            answer: Some(answer),
        });
        Box::pin(async move {
            handed_in?;
            answered.await.unwrap_or_else(|_| {
                Err(CommitError::Unavailable(
                    "the sequencer has ended".to_owned(),
                ))
            })
        })
    }

    fn commit_later(&self, commit: Commit) -> bool {
        self.hand_in(Waiting {
            commit,
            answer: None,
        })
        .is_ok()
    }

    fn organization(&self, id: OrganizationId) -> Read<Option<Arc<Stored<Organization>>>> {
        self.state.organization(id)
    }

    fn organization_by_name(&self, name: &OrganizationName) -> Read<Option<OrganizationId>> {
        self.state.index.organization_by_name(name)
    }

    fn organizations(
        &self,
        before: Option<OrganizationId>,
        limit: usize,
    ) -> Read<Vec<Arc<Stored<Organization>>>> {
        let records = self.state.index.organizations(before, limit)?;
        Ok(of_kind(records, Record::into_organization))
    }

    fn agent(&self, id: AgentId) -> Read<Option<Arc<Stored<Agent>>>> {
        self.state.agent(id)
    }

    fn agent_by_email(&self, email: &Email) -> Read<Option<AgentId>> {
        Ok(self.state.directory.agent_by_email(email))
    }

    fn agents(&self, query: &AgentQuery) -> Read<AgentPage> {
        self.state.agents(query)
    }

    fn credential(&self, id: CredentialId) -> Read<Option<Arc<Stored<CredentialRecord>>>> {
        self.state.credential(id)
    }

    fn credentials_of(&self, agent: AgentId) -> Read<Vec<Arc<Stored<CredentialRecord>>>> {
        let found = self.state.credentials_of(agent)?;
        Ok(of_kind(found, Record::into_credential))
    }

    fn last_change(&self, key: &RecordKey) -> Read<Option<u64>> {
        Ok(self.state.record(key)?.map(|stored| stored.audit_seq))
    }

    fn usage(&self, key: &RecordKey) -> Read<Usage> {
        self.state.usage(key)
    }

    fn tokens_issued(&self, organization: OrganizationId, time: Timestamp) -> Read<u64> {
        self.state.tokens_issued(organization, time.month())
    }

    fn temporary(&self, key: &TemporaryKey, now: Timestamp) -> Read<Option<Temporary>> {
        self.state.index.kept.get(key, now)
    }

    fn signing_keys(&self) -> Read<Vec<Arc<Stored<SigningKeyRecord>>>> {
        let mut keys = of_kind(self.state.index.signing_keys()?, Record::into_signing_key);
        keys.sort_by_key(|stored| std::cmp::Reverse(stored.record.key.created_at));
        Ok(keys)
    }

    fn server_secret(&self, name: ServerSecretName) -> Read<Option<Arc<Stored<ServerSecret>>>> {
        let found = self.state.record(&RecordKey::ServerSecret(name))?;
        Ok(of_kind(found.into_iter().collect(), Record::into_server_secret).pop())
    }

    fn bundle_entries(&self, number: u64) -> Read<Vec<StoredEntry>> {
        let end = *self.state.head.borrow();
        if number > end / bundle::ENTRIES {
            return Ok(Vec::new());
        }
        let mut entries = self.state.bundle_of(number * bundle::ENTRIES)?;
        entries.retain(|entry| entry.seq < end);
        Ok(entries)
    }

    fn entries_from(&self, from: u64, limit: usize) -> Read<Vec<StoredEntry>> {
        let end = *self.state.head.borrow();
        let mut entries = Vec::new();
        let mut next = from;
        while next < end && entries.len() < limit {
            if self.may_match(next, &EntryFilter::default())? {
                let bundle = self.state.bundle_of(next)?;
                let fresh = bundle
                    .into_iter()
                    .filter(|entry| (next..end).contains(&entry.seq));
                entries.extend(fresh.take(limit - entries.len()));
            }
            // Of a bundle some entries may have been pruned, or all.
            next = (next / bundle::ENTRIES + 1) * bundle::ENTRIES;
        }
        Ok(entries)
    }

    fn entries_before(
        &self,
        before: Option<u64>,
        filter: &EntryFilter,
        limit: usize,
    ) -> Read<EntryPage> {
        let end = *self.state.head.borrow();
        let mut end = before.map_or(end, |before| before.min(end));
        let (mut page, mut room) = (EntryPage::default(), PageRoom::new(limit));
        let (mut opened, mut looked_at) = (0, 0);
        while end > 0 {
            if opened == BUNDLES_PER_PAGE || looked_at == SUMMARIES_PER_PAGE || room.is_full() {
                page.next_before = Some(end);
                break;
            }
            let start = (end - 1) / bundle::ENTRIES * bundle::ENTRIES;
            looked_at += 1;
            if self.may_match(start, filter)? {
                opened += 1;
                for entry in self
                    .state
                    .bundle_of(start)?
                    .into_iter()
                    .rev()
                    .filter(|entry| entry.seq < end)
                {
                    if room.is_full() {
                        page.next_before = Some(entry.seq + 1);
                        return Ok(page);
                    }
                    if filter.matches_stored(&entry) {
                        room.take(entry.json.len());
                        page.entries.push(entry);
                    }
                }
            }
            end = start;
        }
        Ok(page)
    }

    fn bundle(&self, number: u64) -> Read<Option<Bundle>> {
        if number >= self.state.open.read().first_seq / bundle::ENTRIES {
            return Ok(None);
        }
        if self.is_pruned(number)? {
            return Ok(Some(Bundle::default()));
        }
        let packed = self.state.index.bundle(number)?;
        Ok(Some(Bundle {
            entries: bundle::unpack(number, &packed)?,
            bytes: packed.len() as u64,
        }))
    }

    fn bundle_bytes(&self, number: u64) -> Read<u64> {
        if self.is_pruned(number)? {
            return Ok(0);
        }
        Ok(self.state.index.bundle(number)?.len() as u64)
    }

    fn head(&self) -> watch::Receiver<u64> {
        self.state.head.subscribe()
    }

    fn status(&self) -> StoreStatus {
        let (position, (journal_bytes, journal_segments)) = *self.state.journal.lock();
        let troubles = self.state.troubles.lock().clone();
        let (trimmed_bytes, trimmed_segments) = *self.state.trimmed.lock();
        StoreStatus {
            id: self.id,
            path: self.path.clone(),
            format: layout::FORMAT,
            entries: position.entries,
            journal_bytes: journal_bytes.saturating_sub(trimmed_bytes),
            journal_segments: journal_segments.saturating_sub(trimmed_segments),
            upkeep: self.upkeep(),
            failure: self.failure(),
            head_failure: troubles.get(keeper::HEAD).cloned(),
            troubles: troubles.into_values().collect(),
            room: self.state.disk.room(),
        }
    }

    fn failure(&self) -> Option<String> {
        self.state.failure.read().clone()
    }

    fn is_low_on_space(&self) -> bool {
        self.state.disk.is_low()
    }

    fn headed(&self) -> watch::Receiver<Arc<Edge>> {
        self.state.headed.subscribe()
    }

    fn keep_checkpoint(&self, note: &str) -> std::io::Result<()> {
        self.layout.write_note(note)
    }

    #[cfg(test)]
    fn tree(&self) -> Edge {
        self.state.tree.lock().clone()
    }

    fn tile(&self, level: u8, index: u64) -> Read<Vec<NodeHash>> {
        self.state.index.tile(level, index)
    }

    fn metrics(&self) -> &StoreMetrics {
        &self.state.metrics
    }
}

impl JournaledStore {
    /// Whether bundle `number` is full, and has no entry any more.
    fn is_pruned(&self, number: u64) -> Read<bool> {
        let seq = number.saturating_mul(bundle::ENTRIES);
        Ok(!self.may_match(seq, &EntryFilter::default())?)
    }

    /// Whether the bundle that the entry `seq` is in can hold what `filter` lets through.
    fn may_match(&self, seq: u64, filter: &EntryFilter) -> Read<bool> {
        if seq >= self.state.open.read().first_seq {
            return Ok(true);
        }
        let summary = self.state.index.summary(seq / bundle::ENTRIES)?;
        Ok(bundle::may_match(&summary, filter))
    }
}

fn of_kind<T>(
    records: Vec<Stored<Record>>,
    kind: impl Fn(Record) -> Option<T>,
) -> Vec<Arc<Stored<T>>> {
    let of_kind = |stored: Stored<Record>| {
        let audit_seq = stored.audit_seq;
        kind(stored.record).map(|record| Arc::new(Stored { record, audit_seq }))
    };
    records.into_iter().filter_map(of_kind).collect()
}
