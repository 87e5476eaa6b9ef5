//! Audit entries: what happened, who did it, to what, and how it ended.
//!
//! An entry is written once, as JSON of at most 4 KiB, and those bytes are what is hashed, stored,
//! shown and exported. There is no second form.

use serde::{Deserialize, Serialize};

use crate::error::Code;
use crate::id::{AgentId, CredentialId, OrganizationId, RequestId, StoreId, TokenId};
use crate::merkle::NodeHash;
use crate::pruned::Pruned;
use crate::text::{Reason, word_enum};
use crate::time::Timestamp;

/// The version of the entry's form that this code writes.
pub const VERSION: u8 = 1;

/// The most bytes that an entry has.
pub const MAX_ENTRY_BYTES: usize = 4_096;

word_enum! {
    /// What was done or tried.
    Action, "action" {
        /// A store was made.
        StoreInit = "store.init",
        /// A store that its head file contradicts was accepted as it is.
        StoreAccept = "store.accept",
        /// All of the store was to be verified while it is in use, or was.
        StoreCheck = "store.check",
        /// The index of the store was to be copied into a fresh one.
        StoreCompact = "store.compact",
        /// A store was restored from a backup: the log ends before this entry where the backup, or what
        /// of the journal was replayed after it, ended.
        StoreRestore = "store.restore",
        /// A backup was made.
        BackupCreate = "backup.create",
        /// A backup was removed, because newer ones are kept.
        BackupPrune = "backup.prune",
        /// The daemon started.
        DaemonStart = "daemon.start",
        /// The daemon stopped in good order.
        DaemonStop = "daemon.stop",
        /// An organization was created.
        OrganizationCreate = "organization.create",
        /// An organization was shown.
        OrganizationShow = "organization.show",
        /// Organizations were listed.
        OrganizationList = "organization.list",
        /// An organization's record was changed.
        OrganizationUpdate = "organization.update",
        /// An organization was suspended, and all its agents with it.
        OrganizationSuspend = "organization.suspend",
        /// A suspended organization was resumed.
        OrganizationResume = "organization.resume",
        /// An organization was put under legal hold: its entries stay in the log.
        OrganizationHold = "organization.hold",
        /// The legal hold of an organization was lifted.
        OrganizationRelease = "organization.release",
        /// An agent was registered.
        AgentRegister = "agent.register",
        /// An agent was shown.
        AgentShow = "agent.show",
        /// Agents were listed.
        AgentList = "agent.list",
        /// An agent's record was changed.
        AgentUpdate = "agent.update",
        /// An agent was suspended.
        AgentSuspend = "agent.suspend",
        /// A suspended agent was resumed.
        AgentResume = "agent.resume",
        /// An agent was revoked.
        AgentRevoke = "agent.revoke",
        /// An agent was decommissioned.
        AgentDecommission = "agent.decommission",
        /// An ended agent was hidden from lists that do not ask for it.
        AgentArchive = "agent.archive",
        /// Many agents' statuses were to be changed; each that was has an entry of its own.
        AgentTransitionMany = "agent.transition_many",
        /// A credential was issued.
        CredentialIssue = "credential.issue",
        /// A credential was replaced by a new one.
        CredentialRotate = "credential.rotate",
        /// A credential became older than it may be, and is accepted for its grace only.
        CredentialRetire = "credential.retire",
        /// A credential was about to expire.
        CredentialExpiring = "credential.expiring",
        /// A credential was revoked.
        CredentialRevoke = "credential.revoke",
        /// Credentials were listed.
        CredentialList = "credential.list",
        /// One credential was read.
        CredentialShow = "credential.show",
        /// A token was issued.
        TokenIssue = "token.issue",
        /// A token was introspected.
        TokenIntrospect = "token.introspect",
        /// A token was revoked, or all that were issued until a time.
        TokenRevoke = "token.revoke",
        /// A signing key was made and published.
        KeyCreate = "key.create",
        /// A signing key began to sign.
        KeyActivate = "key.activate",
        /// A signing key stopped signing and is still published.
        KeyRetire = "key.retire",
        /// A signing key left the JWKS.
        KeyWithdraw = "key.withdraw",
        /// A signing key was made because an operator asked for it; in an emergency it signs at once.
        KeyRotate = "key.rotate",
        /// A compromised signing key left the JWKS at once.
        KeyRevoke = "key.revoke",
        /// A secret of the store was sealed again, under another key-encryption key.
        KeyRewrap = "key.rewrap",
        /// Signing keys were listed.
        KeyList = "key.list",
        /// The log was read.
        AuditList = "audit.list",
        /// The log was followed.
        AuditTail = "audit.tail",
        /// The key that verifies the log's checkpoints was read.
        AuditKey = "audit.key",
        /// An entry was proved to be in the log.
        AuditProve = "audit.prove",
        /// The newest checkpoint was read.
        AuditCheckpoint = "audit.checkpoint",
        /// The log was proved to have only grown.
        AuditConsistency = "audit.consistency",
        /// The log, or a part of it, was exported.
        AuditExport = "audit.export",
        /// The changes of records were followed.
        ChangeWatch = "change.watch",
        /// Entries that are kept no longer were removed from the log.
        AuditPrune = "audit.prune",
        /// The daemon's status was read.
        StatusShow = "status.show",
        /// The health service was asked.
        HealthCheck = "health.check",
        /// The reflection service was asked.
        ReflectionRead = "reflection.read",
        /// A request over HTTP was refused before anyone looked at what it asks.
        RequestRefuse = "http.refuse",
        /// An RPC that the policy table does not list was called.
        UnknownCall = "rpc.unknown",
    }
}

word_enum! {
    /// How it ended.
    Outcome, "outcome" {
        /// It was done.
        Success = "success",
        /// It was refused.
        Denied = "denied",
        /// It was allowed and could not be done.
        Failed = "failed",
    }
}

word_enum! {
    /// What kind of actor.
    ActorKind, "actor.kind" {
        /// An agent, or someone who says to be one.
        Agent = "agent",
        /// A person on the operators' socket.
        Operator = "operator",
        /// The daemon itself.
        System = "system",
    }
}

word_enum! {
    /// Which way the actor came.
    Via, "actor.via" {
        /// The agents' interface.
        Http = "http",
        /// The operators' socket.
        Socket = "socket",
        /// From within.
        Internal = "internal",
    }
}

word_enum! {
    /// What kind of record was acted on.
    TargetKind, "target.kind" {
        /// The store.
        Store = "store",
        /// A backup, by its file's name; its digest is the file's.
        Backup = "backup",
        /// An organization.
        Organization = "organization",
        /// An agent.
        Agent = "agent",
        /// A credential.
        Credential = "credential",
        /// A signing key.
        SigningKey = "signing_key",
        /// An access token.
        Token = "token",
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// What kind of actor.
    pub kind: ActorKind,
    /// The agent's id, or the operator's user id. Absent when nobody proved to be anyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The agent's e-mail, or the operator's user name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The user who logged in, when the operator acts as another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// Which way the actor came.
    pub via: Via,
    /// The network address, or its prefix where requests are counted together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl Actor {
    /// The daemon itself.
    #[must_use]
    pub const fn system() -> Self {
        Self {
            kind: ActorKind::System,
            id: None,
            name: None,
            login: None,
            via: Via::Internal,
            address: None,
        }
    }

    /// Someone at the agents' interface who has not proved to be anyone.
    #[must_use]
    pub const fn client(address: String) -> Self {
        Self {
            kind: ActorKind::Agent,
            id: None,
            name: None,
            login: None,
            via: Via::Http,
            address: Some(address),
        }
    }
}

/// What it was done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// What kind of record.
    pub kind: TargetKind,
    /// The record's id.
    pub id: String,
    /// The record's revision after the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// SHA-256 in hex of the record's stored bytes after the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// What a head file said of a store that contradicts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedHead {
    /// The store.
    pub store_id: StoreId,
    /// How many entries its log had.
    pub entries: u64,
    /// The root of the tree over them.
    pub root: NodeHash,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The version of this form.
    pub v: u8,
    /// Its place in the log: 0 for the first, without gaps.
    pub seq: u64,
    /// When it happened by the daemon's clock. Order is by `seq`.
    pub time: Timestamp,
    /// The tenant it concerns; absent for what concerns the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<OrganizationId>,
    /// Who did it.
    pub actor: Actor,
    /// What was done or tried.
    pub action: Action,
    /// What it was done to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The fields of the target that an update changed, as the wire spells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The operator's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The request that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// The agent concerned, when it is not the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// The credential that proved the agent, or that was concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_id: Option<CredentialId>,
    /// The token issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<TokenId>,
    /// The scopes granted, or the scope asked for and refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The audience granted, or the resource asked for and refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// When what was given out expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// How many like events this entry counts, when it is more than this one. Of entries that were removed:
    /// how many. Of a start: how many entries the newest signed checkpoint was not of, if there were any or the end
    /// before was unclean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The head that was not believed, when a store was accepted that contradicts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_head: Option<RefusedHead>,
    /// The entries that were removed from the log with this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned: Option<Pruned>,
}

impl Entry {
    /// An entry of `action` by `actor` at `now` that ended with `outcome`, with nothing else said.
    /// Its `seq` is given when it is committed.
    #[must_use]
    pub const fn new(now: Timestamp, actor: Actor, action: Action, outcome: Outcome) -> Self {
        Self {
            v: VERSION,
            seq: 0,
            time: now,
            organization_id: None,
            actor,
            action,
            target: None,
            changed: Vec::new(),
            outcome,
            code: None,
            reason: None,
            request_id: None,
            agent_id: None,
            credential_id: None,
            jti: None,
            scope: None,
            audience: Vec::new(),
            expires_at: None,
            count: None,
            refused_head: None,
            pruned: None,
        }
    }

    /// What it says was removed, if it can say so: an `audit.prune` that succeeded, of entries that all come before it.
    /// Whoever reads another removes nothing, and refuses it or names it.
    #[must_use]
    pub fn prunes(&self) -> Option<&Pruned> {
        let is_prune = self.action == Action::AuditPrune && self.outcome == Outcome::Success;
        let pruned = self.pruned.as_ref().filter(|_| is_prune);
        pruned.filter(|pruned| pruned.is_before(self.seq))
    }

    /// Whether it accounts for the log itself: for what was removed from it, for when the daemon removes nothing by
    /// itself, or for why it is not what it was (`store.restore`, `store.accept`). Such an entry is never removed.
    #[must_use]
    pub fn accounts_for_log(&self) -> bool {
        let is_own = self.actor.kind == ActorKind::System;
        self.pruned.is_some()
            || match self.action {
                Action::StoreRestore | Action::StoreAccept => true,
                Action::AuditPrune => is_own,
                _ => false,
            }
    }

    /// Whether the entry concerns `agent`, as actor, as target or otherwise.
    #[must_use]
    pub fn concerns_agent(&self, agent: AgentId) -> bool {
        let id = agent.to_string();
        self.agent_id == Some(agent)
            || (self.actor.kind == ActorKind::Agent && self.actor.id.as_deref() == Some(&id))
            || self
                .target
                .as_ref()
                .is_some_and(|target| target.kind == TargetKind::Agent && target.id == id)
    }
}
