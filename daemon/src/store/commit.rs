//! The unit of writing: what changes, and the audit entries that account for it.

use agentidp_shared::token::MAX_LIFETIME;
use agentidp_shared::{
    Action, Entry, OrganizationId, Outcome, Target, TargetKind, Timestamp, TokenId,
};
use serde::{Deserialize, Serialize};

use super::record::{Record, RecordKey};

/// What names something that is kept for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum TemporaryKey {
    /// An access token that was revoked before it expired.
    RevokedToken(TokenId),
    /// A client assertion that was used (RFC 7523, section 3, item 7): SHA-256 of client and `jti`.
    UsedAssertion([u8; 32]),
    /// A request that was made under an idempotency key: SHA-256 of caller and key.
    Idempotency([u8; 32]),
    /// Something that is said once: SHA-256 of what it is about.
    Notice([u8; 32]),
}

/// Something that is kept until it expires, and then goes by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Temporary {
    /// What names it.
    pub(crate) key: TemporaryKey,
    /// Until when it is kept.
    pub(crate) expires_at: Timestamp,
    /// What is remembered, if it is more than that it is there.
    pub(crate) body: Vec<u8>,
}

impl Temporary {
    /// What is kept of a token that was revoked, and would have expired by itself at `expires_at`: longer than it
    /// could count, so that a clock which was ahead for a while revives nothing.
    pub(crate) fn revoked_token(jti: TokenId, expires_at: Timestamp) -> Self {
        Self {
            key: TemporaryKey::RevokedToken(jti),
            expires_at: expires_at.plus(MAX_LIFETIME),
            body: Vec::new(),
        }
    }

    /// What is kept with an entry, as far as the entry itself says so: that a token was revoked.
    pub(crate) fn said_by(entry: &Entry) -> Option<Self> {
        let is_revocation = entry.action == Action::TokenRevoke
            && entry.outcome == Outcome::Success
            && entry.target.as_ref()?.kind == TargetKind::Token;
        is_revocation.then_some(Self::revoked_token(entry.jti?, entry.expires_at?))
    }
}

/// An audit entry, and the record that is put with it, if one is.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// The entry.
    pub(crate) entry: Entry,
    /// The record that the entry accounts for.
    pub(crate) change: Option<Record>,
    /// What is kept for a time beside it.
    pub(crate) kept: Vec<Temporary>,
}

/// Audit entries and the records that they account for, to be made durable together.
///
/// A record is put with the entry before it, so nothing can change without one. Records are
/// absolute: each is put whole, with a revision one higher than the stored one (1 for a new
/// record), and a commit whose revisions do not fit is refused as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    items: Vec<Item>,
    requirements: Vec<(RecordKey, u64)>,
    quota: Option<Quota>,
}

/// How many agents that have not ended an organization may have after a commit that registers some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    /// The organization.
    pub(crate) organization: OrganizationId,
    /// The most.
    pub(crate) agents: u64,
}

impl Commit {
    /// A commit of one entry. Its `seq` is filled in when it is committed.
    pub(crate) fn new(entry: Entry) -> Self {
        Self {
            items: vec![Item {
                entry,
                change: None,
                kept: Vec::new(),
            }],
            requirements: Vec::new(),
            quota: None,
        }
    }

    /// Adds another entry, after those before it.
    pub(crate) fn and(mut self, entry: Entry) -> Self {
        self.items.push(Item {
            entry,
            change: None,
            kept: Vec::new(),
        });
        self
    }

    /// Puts a record with the last entry, and makes it that entry's target. The target's revision
    /// and digest are filled in when it is committed.
    pub(crate) fn put(mut self, record: Record) -> Self {
        if let Some(last) = self.items.last_mut() {
            let (kind, id) = record.key().target();
            last.entry.target = Some(Target {
                kind,
                id,
                revision: None,
                digest: None,
            });
            last.change = Some(record);
        }
        self
    }

    /// Keeps something for a time with the last entry. The commit is refused when something live of
    /// the same key is kept already.
    pub(crate) fn keep(mut self, temporary: Temporary) -> Self {
        if let Some(last) = self.items.last_mut() {
            last.kept.push(temporary);
        }
        self
    }

    /// Makes the commit conditional on the number of agents that an organization then has.
    pub(crate) fn within(mut self, quota: Quota) -> Self {
        self.quota = Some(quota);
        self
    }

    /// Makes the commit conditional on the stored revision of a record that it does not change.
    pub(crate) fn require(mut self, key: RecordKey, revision: u64) -> Self {
        self.requirements.push((key, revision));
        self
    }

    /// Whether it makes the store grow: hands out a token or a secret, or makes or fills a record. What
    /// takes power away, keys, and the daemon's own words are let through as long as anything is.
    pub(crate) fn grows(&self) -> bool {
        self.items.iter().any(|item| match item.entry.outcome {
            Outcome::Success => is_growth(item.entry.action),
            // A refusal keeps nothing but that an assertion was used.
            Outcome::Denied | Outcome::Failed => !item.kept.is_empty(),
        })
    }

    /// The entries with their records, in order; at least one.
    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    /// The entries with their records, taken out of the commit.
    pub(crate) fn into_items(self) -> Vec<Item> {
        self.items
    }

    /// How many agents an organization may then have.
    pub(crate) fn quota(&self) -> Option<Quota> {
        self.quota
    }

    /// The revisions that other records must have.
    pub(crate) fn requirements(&self) -> &[(RecordKey, u64)] {
        &self.requirements
    }
}

const fn is_growth(action: Action) -> bool {
    match action {
        Action::OrganizationCreate
        | Action::OrganizationUpdate
        | Action::AgentRegister
        | Action::AgentUpdate
        | Action::CredentialIssue
        | Action::CredentialRotate
        | Action::TokenIssue
        // It makes a second index before the first one goes.
        | Action::StoreCompact
        // It is written only to note that an assertion was used.
        | Action::TokenIntrospect => true,
        Action::StoreInit
        | Action::StoreAccept
        | Action::StoreCheck
        | Action::StoreRestore
        // It is what lets the journal become shorter.
        | Action::BackupCreate
        | Action::BackupPrune
        | Action::DaemonStart
        | Action::DaemonStop
        | Action::OrganizationShow
        | Action::OrganizationList
        | Action::OrganizationSuspend
        | Action::OrganizationResume
        // A legal hold does not wait for room, and what is pruned makes some.
        | Action::OrganizationHold
        | Action::OrganizationRelease
        | Action::AuditPrune
        | Action::AgentShow
        | Action::AgentList
        | Action::AgentSuspend
        | Action::AgentResume
        | Action::AgentRevoke
        | Action::AgentDecommission
        | Action::AgentArchive
        | Action::AgentTransitionMany
        | Action::CredentialRetire
        | Action::CredentialExpiring
        | Action::CredentialRevoke
        | Action::CredentialList
        | Action::CredentialShow
        | Action::TokenRevoke
        | Action::KeyCreate
        | Action::KeyActivate
        | Action::KeyRetire
        | Action::KeyWithdraw
        | Action::KeyRotate
        | Action::KeyRevoke
        | Action::KeyRewrap
        | Action::KeyList
        | Action::AuditList
        | Action::AuditTail
        | Action::AuditKey
        | Action::AuditProve
        | Action::AuditCheckpoint
        | Action::AuditConsistency
        | Action::AuditExport
        | Action::ChangeWatch
        | Action::StatusShow
        | Action::HealthCheck
        | Action::ReflectionRead
        | Action::RequestRefuse
        | Action::UnknownCall => false,
    }
}

/// What a commit became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The place of its first entry in the log.
    pub(crate) seq: u64,
}

/// Why a commit does not fit what is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Conflict {
    /// A record has another revision than the commit was made for: it changed in between.
    #[error("the {} has changed since it was read", .0.as_str())]
    Revision(TargetKind),
    /// The organization's name or the agent's e-mail belongs to another.
    #[error("the {0} is taken")]
    Taken(&'static str),
    /// The organization's name or the agent's e-mail would be another: both stay for good.
    #[error("the {0} stays as it is")]
    Renamed(&'static str),
    /// What was to be kept for a time is kept already.
    #[error("it has been used before")]
    Kept(TemporaryKey),
    /// The organization would have more agents than it may.
    #[error("the organization has as many agents as its tier allows: {0}")]
    Quota(u64),
}

/// Why a commit was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommitError {
    /// It does not fit what is stored. Reading again and deciding anew may help.
    #[error("{0}")]
    Conflict(#[from] Conflict),
    /// An entry is larger than one may be.
    #[error("an audit entry would be larger than 4 KiB")]
    TooLarge,
    /// More commits are waiting than the queue holds. Later it may have room.
    #[error("too many commits are waiting")]
    Overloaded,
    /// It would make the store grow, and its disk has little room left.
    #[error("the store is low on space")]
    LowOnSpace,
    /// Nothing can be made durable any more.
    #[error("nothing can be written: {0}")]
    Unavailable(String),
}
