//! Where everything is kept: the [`Store`] trait, and what implements it.
//!
//! The one way to write is [`Store::commit`]: records and the audit entries that account for them,
//! atomic and durable before it returns. [`durable`] is the store of the daemon (a journal as the
//! truth, sled as its index); `model` is a plain model of the same behaviour for tests.
//! `suite` is what both, and any that comes after them, must pass.
//!
//! To add a store: implement [`Store`], call the suite in `suite` from a test of yours, and
//! build it in `Daemon::build`. What may be committed is decided in one place for all of them,
//! [`check`].

pub(crate) mod check;
pub(crate) mod commit;
pub(crate) mod durable;
pub(crate) mod form;
pub(crate) mod query;
pub(crate) mod record;

#[cfg(test)]
pub(crate) mod answer;
#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
pub(crate) mod suite;

use std::collections::BTreeSet;
use std::sync::Arc;

use agentidp_shared::merkle::{Edge, NodeHash, TileSource};
use agentidp_shared::{
    Action, Agent, AgentId, CredentialId, Email, Entry, Organization, OrganizationId,
    OrganizationName, Outcome, StoreId, Timestamp, TokenId,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::metrics::store::StoreMetrics;
pub(crate) use commit::{
    Commit, CommitError, Committed, Conflict, Item, Quota, Temporary, TemporaryKey,
};
pub(crate) use durable::{CheckStatus, Step, Upkeep};
pub(crate) use query::{
    AgentFilter, AgentOrder, AgentPage, AgentPosition, AgentQuery, OneOf, PageRoom, agent_bytes,
    first_expiry,
};
pub(crate) use record::{
    CredentialRecord, Record, RecordKey, Sealed, SecretVerifier, ServerSecret, ServerSecretName,
    SigningKeyRecord, Stored,
};

/// Reading failed: the index is damaged or its disk is. The daemon's fault, never the caller's.
#[derive(Debug, thiserror::Error)]
#[error("reading the store failed: {0}")]
pub(crate) struct ReadError(pub(crate) String);

type Read<T> = Result<T, ReadError>;

/// An audit entry as it is stored: the bytes that were hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredEntry {
    /// Its place in the log.
    pub(crate) seq: u64,
    /// The JSON object.
    pub(crate) json: Bytes,
}

/// Which audit entries to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct EntryFilter {
    /// Only this action.
    pub(crate) action: Option<Action>,
    /// Only this outcome.
    pub(crate) outcome: Option<Outcome>,
    /// Only what concerns this agent.
    pub(crate) agent: Option<AgentId>,
    /// Only what concerns this token.
    pub(crate) jti: Option<TokenId>,
    /// Only what concerns these organizations: that is how far the caller reaches and what it asks
    /// for, in one.
    pub(crate) organizations: Option<BTreeSet<OrganizationId>>,
}

impl EntryFilter {
    /// Whether it lets everything through.
    pub(crate) fn is_empty(&self) -> bool {
        self.action.is_none()
            && self.outcome.is_none()
            && self.agent.is_none()
            && self.jti.is_none()
            && self.organizations.is_none()
    }

    /// Whether it lets a stored entry through.
    pub(crate) fn matches_stored(&self, entry: &StoredEntry) -> bool {
        self.is_empty()
            || serde_json::from_slice::<Entry>(&entry.json).is_ok_and(|entry| self.matches(&entry))
    }

    /// Whether it lets `entry` through.
    pub(crate) fn matches(&self, entry: &Entry) -> bool {
        self.action.is_none_or(|action| entry.action == action)
            && self.outcome.is_none_or(|outcome| entry.outcome == outcome)
            && self.agent.is_none_or(|agent| entry.concerns_agent(agent))
            && self.jti.is_none_or(|jti| entry.jti == Some(jti))
            && self.organizations.as_ref().is_none_or(|organizations| {
                entry
                    .organization_id
                    .is_some_and(|id| organizations.contains(&id))
            })
    }
}

/// Audit entries that are kept together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Bundle {
    /// Those that were not pruned, in order.
    pub(crate) entries: Vec<StoredEntry>,
    /// How many bytes of the index they take; 0 when all were pruned.
    pub(crate) bytes: u64,
}

impl Bundle {
    /// How many entries a bundle was made of.
    pub(crate) const ENTRIES: u64 = 256;
}

/// A page of audit entries, newest first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct EntryPage {
    /// The entries; may be fewer than asked for though there are more.
    pub(crate) entries: Vec<StoredEntry>,
    /// Where the next page begins: only entries before this one. `None`: there is no more.
    pub(crate) next_before: Option<u64>,
}

/// What `status` says of the store.
#[derive(Debug, Clone)]
pub(crate) struct StoreStatus {
    /// The store's name for itself.
    pub(crate) id: StoreId,
    /// Where it is.
    pub(crate) path: String,
    /// The version of its form.
    pub(crate) format: u32,
    /// How many audit entries the log has.
    pub(crate) entries: u64,
    /// Size of the journal.
    pub(crate) journal_bytes: u64,
    /// How many segments the journal has.
    pub(crate) journal_segments: u64,
    /// How it is looked after.
    pub(crate) upkeep: Upkeep,
    /// Why nothing can be written any more; `None`: it can.
    pub(crate) failure: Option<String>,
    /// Why the head file cannot be written, without which no checkpoint is signed; `None`: it can.
    pub(crate) head_failure: Option<String>,
    /// What needs looking at though everything is written and read; each says what to do.
    pub(crate) troubles: Vec<String>,
    /// The room on its disk, as it was looked at last, a second ago at the most.
    pub(crate) room: Room,
}

/// How an agent or a credential was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// When it last got a token, or proved who it is to introspect or revoke one; `None`: never.
    pub(crate) last: Option<Timestamp>,
    /// How often that was.
    pub(crate) count: u64,
}

/// The room on the disk that a store is on, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Space {
    /// What the daemon may still fill.
    pub(crate) free: u64,
    /// All that there is.
    pub(crate) total: u64,
}

/// The room on a store's disk, and how much of it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// What there is, as it was looked at last, which is each second; `None`: the disk does not tell.
    pub(crate) space: Option<Space>,
    /// What is kept for revocations and the like, in bytes.
    pub(crate) reserve: u64,
    /// Whether less than that is free: nothing that grows the store is taken on.
    pub(crate) is_low: bool,
}

/// A durable store of records and of the audit log that accounts for them.
///
/// Reads see everything that was acknowledged. When an agent or credential was last used is not
/// part of its record: [`Store::usage`] draws it from the log.
pub(crate) trait Store: Send + Sync + 'static {
    /// Makes `commit` durable, all of it or nothing.
    ///
    /// # Errors
    ///
    /// [`CommitError`]; then nothing of it is acknowledged to anyone. When the disk failed, it may
    /// still be there at the next start; otherwise nothing has changed.
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>>;

    /// Hands in `commit` without waiting until it is durable: for the entries of refusals, which
    /// give nothing out. `false` when there is no room for it; its conflicts and failures are only
    /// logged.
    fn commit_later(&self, commit: Commit) -> bool;

    /// An organization by id.
    fn organization(&self, id: OrganizationId) -> Read<Option<Arc<Stored<Organization>>>>;

    /// An organization's id by name.
    fn organization_by_name(&self, name: &OrganizationName) -> Read<Option<OrganizationId>>;

    /// At most `limit` organizations, newest first, older than `before`.
    fn organizations(
        &self,
        before: Option<OrganizationId>,
        limit: usize,
    ) -> Read<Vec<Arc<Stored<Organization>>>>;

    /// An agent by id.
    fn agent(&self, id: AgentId) -> Read<Option<Arc<Stored<Agent>>>>;

    /// An agent's id by e-mail.
    fn agent_by_email(&self, email: &Email) -> Read<Option<AgentId>>;

    /// A page of agents.
    fn agents(&self, query: &AgentQuery) -> Read<AgentPage>;

    /// A credential by id.
    fn credential(&self, id: CredentialId) -> Read<Option<Arc<Stored<CredentialRecord>>>>;

    /// All credentials of an agent, newest first.
    fn credentials_of(&self, agent: AgentId) -> Read<Vec<Arc<Stored<CredentialRecord>>>>;

    /// The entry of a record's last change; `None` when there is no such record.
    fn last_change(&self, key: &RecordKey) -> Read<Option<u64>>;

    /// Whether `entry` accounts for a record as it is now.
    fn is_last_change(&self, entry: &Entry) -> Read<bool> {
        let target = entry.target.as_ref().filter(|it| it.digest.is_some());
        let key = target.and_then(|it| RecordKey::of_target(it.kind, &it.id));
        key.map_or(Ok(false), |key| {
            Ok(self.last_change(&key)? == Some(entry.seq))
        })
    }

    /// How an agent or a credential was used: drawn from the successful entries of `token.issue`, and
    /// of `token.introspect` and `token.revoke` that an agent's credential stands in.
    fn usage(&self, key: &RecordKey) -> Read<Usage>;

    /// How many tokens an organization's agents were issued in the calendar month of `time`.
    fn tokens_issued(&self, organization: OrganizationId, time: Timestamp) -> Read<u64>;

    /// What is kept under `key` and has not expired at `now`.
    fn temporary(&self, key: &TemporaryKey, now: Timestamp) -> Read<Option<Temporary>>;

    /// All signing keys, newest first.
    fn signing_keys(&self) -> Read<Vec<Arc<Stored<SigningKeyRecord>>>>;

    /// A secret of the server's own.
    fn server_secret(&self, name: ServerSecretName) -> Read<Option<Arc<Stored<ServerSecret>>>>;

    /// The entries of bundle `number` that are durable and were not pruned, in order. Those of one that is not
    /// full yet too.
    fn bundle_entries(&self, number: u64) -> Read<Vec<StoredEntry>>;

    /// The entry at a place in the log; `None` when it was pruned, or the log is not that long.
    fn entry(&self, seq: u64) -> Read<Option<StoredEntry>> {
        let bundle = self.bundle_entries(seq / Bundle::ENTRIES)?;
        Ok(bundle.into_iter().find(|stored| stored.seq == seq))
    }

    /// At most `limit` entries from `from` on, in order. What was pruned is passed over, however much it is:
    /// one who means the entry at a place asks for [`entry`](Self::entry).
    fn entries_from(&self, from: u64, limit: usize) -> Read<Vec<StoredEntry>>;

    /// At most `limit` entries that `filter` lets through, newest first, before `before`.
    fn entries_before(
        &self,
        before: Option<u64>,
        filter: &EntryFilter,
        limit: usize,
    ) -> Read<EntryPage>;

    /// The entries from 256 · `number` on that are kept together; `None`: there are not as many yet.
    fn bundle(&self, number: u64) -> Read<Option<Bundle>>;

    /// How many bytes of the index the entries of bundle `number` take; 0: all were pruned, or there are not as
    /// many yet.
    fn bundle_bytes(&self, number: u64) -> Read<u64>;

    /// How many entries are durable, now and whenever that changes.
    fn head(&self) -> watch::Receiver<u64>;

    /// The right edge of the tree over the log as far as the store will insist on it at its next
    /// start, now and whenever that grows: about each second, and when it is shut down. No
    /// checkpoint may be of more.
    fn headed(&self) -> watch::Receiver<Arc<Edge>>;

    /// Keeps the newest checkpoint, a signed note, where a copy of the store has it too. One at a time: what is
    /// kept last stays.
    ///
    /// # Errors
    ///
    /// When the disk does not take it.
    fn keep_checkpoint(&self, note: &str) -> std::io::Result<()>;

    /// The right edge of the tree over the log, as far as it is durable.
    #[cfg(test)]
    fn tree(&self) -> Edge;

    /// The hashes of a full tile of that tree; none of one that is not full.
    fn tile(&self, level: u8, index: u64) -> Read<Vec<NodeHash>>;

    /// The store's state. Sizes are read from the disk.
    fn status(&self) -> StoreStatus;

    /// Why nothing can be written any more. Asked by anyone and at any time: it costs nothing.
    fn failure(&self) -> Option<String>;

    /// Whether its disk has less room than is kept for revocations and the like, so that nothing which
    /// grows the store is taken on. Asked before each token: it costs nothing.
    fn is_low_on_space(&self) -> bool;

    /// What it counts.
    fn metrics(&self) -> &StoreMetrics;
}

/// The full tiles of the tree over its log.
impl TileSource for dyn Store {
    type Error = ReadError;

    fn hashes(&self, level: u8, index: u64) -> Read<Vec<NodeHash>> {
        self.tile(level, index)
    }
}
