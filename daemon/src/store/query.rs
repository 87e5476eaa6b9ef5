//! Asking for agents: which, in which order, and where to go on.

use std::collections::BTreeSet;
use std::sync::Arc;

use agentidp_shared::{
    Agent, AgentId, AgentStatus, AgentType, Credential, CredentialStatus, DeploymentEnv,
    OrganizationId, Owner, Scope, Timestamp,
};

use super::Stored;

/// Values that a field may have, or may not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OneOf<T> {
    /// The values; at least one.
    pub(crate) values: Vec<T>,
    /// Whether the field must have none of them, instead of one.
    pub(crate) is_not: bool,
}

impl<T: PartialEq> OneOf<T> {
    /// Just this value.
    pub(crate) fn only(value: T) -> Self {
        Self {
            values: vec![value],
            is_not: false,
        }
    }

    /// Whether `value` is let through.
    pub(crate) fn lets(&self, value: &T) -> bool {
        self.values.contains(value) != self.is_not
    }
}

/// Which agents are wanted. What is absent lets everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AgentFilter {
    /// Only these organizations'; that is how far the caller reaches and what it asks for, in one.
    pub(crate) organizations: Option<BTreeSet<OrganizationId>>,
    /// Only those of such a status; absent: all but archived.
    pub(crate) status: Option<OneOf<AgentStatus>>,
    /// Only such owners'.
    pub(crate) owner: Option<OneOf<Owner>>,
    /// Only those of such a type.
    pub(crate) agent_type: Option<OneOf<AgentType>>,
    /// Only those that run there.
    pub(crate) deployment_env: Option<OneOf<DeploymentEnv>>,
    /// Only those that have this capability.
    pub(crate) capability: Option<Scope>,
    /// Only those whose e-mail begins so.
    pub(crate) email_prefix: Option<String>,
    /// Only those whose first credential ([`first_expiry`]) expires before then.
    pub(crate) expires_before: Option<Timestamp>,
    /// Only those with this text in their e-mail, owner, capabilities or metadata, in any case.
    pub(crate) text: Option<String>,
}

/// Whether an agent has `text`, which is in lower case, in what people write about it.
pub(crate) fn has_text(agent: &Agent, text: &str) -> bool {
    let holds = |field: &str| field.to_lowercase().contains(text);
    holds(agent.email.as_str())
        || holds(agent.owner.as_str())
        || agent.capabilities.iter().any(|it| holds(it.as_str()))
        || agent
            .metadata
            .iter()
            .any(|(name, value)| holds(name) || holds(value))
}

/// What agents are ordered by. Agents that are equal in it are ordered by when they were registered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum AgentOrder {
    /// When they were registered.
    #[default]
    Created,
    /// Their e-mail.
    Email,
    /// When they last got a token; never counts as long ago.
    LastAuth,
    /// When the first of their credentials ([`first_expiry`]) expires; never counts as far ahead.
    Expires,
}

/// Where an agent stands in an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AgentPosition {
    /// What it is ordered by, so that bytes compare as values do; empty for [`AgentOrder::Created`].
    pub(crate) value: Vec<u8>,
    /// The agent.
    pub(crate) id: AgentId,
}

/// A question for agents.
#[derive(Debug, Clone, Default)]
pub(crate) struct AgentQuery {
    /// Which.
    pub(crate) filter: AgentFilter,
    /// In which order.
    pub(crate) order: AgentOrder,
    /// Whether the last in the order come first.
    pub(crate) is_descending: bool,
    /// Only those beyond this place.
    pub(crate) after: Option<AgentPosition>,
    /// How many at most.
    pub(crate) limit: usize,
}

/// A page of agents.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AgentPage {
    /// The agents, in order; with free text, or when they are large, they may be fewer than asked for though
    /// there are more.
    pub(crate) agents: Vec<Arc<Stored<Agent>>>,
    /// Where the next page begins. `None`: there is no more.
    pub(crate) next: Option<AgentPosition>,
    /// How many there are on all pages together; `None` when the filter has free text.
    pub(crate) total: Option<u64>,
}

/// The most bytes that a page has before its last record: a page of the largest records would be a hundred times
/// as large as one of usual ones, and whoever asks may never take it.
pub(crate) const PAGE_BYTES: usize = 512 * 1_024;

/// What a page may still take. The first record always has room.
#[derive(Debug)]
pub(crate) struct PageRoom {
    records: usize,
    bytes: usize,
}

impl PageRoom {
    /// The room of a page of at most `limit` records.
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            records: limit,
            bytes: PAGE_BYTES,
        }
    }

    /// Whether nothing more goes in.
    pub(crate) const fn is_full(&self) -> bool {
        self.records == 0 || self.bytes == 0
    }

    /// Takes the room of a record of `bytes`.
    pub(crate) const fn take(&mut self, bytes: usize) {
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// About how many bytes an agent takes on a page: what its owner chooses freely, and the rest.
pub(crate) fn agent_bytes(agent: &Agent) -> usize {
    const REST: usize = 256;
    let capabilities = agent.capabilities.iter().map(|it| it.as_str().len());
    let audiences = agent.audiences.iter().map(|it| it.as_str().len());
    REST + agent.metadata.size() + capabilities.chain(audiences).sum::<usize>()
}

/// When the first of an agent's credentials expires that no other replaces: those that are stored as
/// active.
pub(crate) fn first_expiry<'a>(
    credentials: impl Iterator<Item = &'a Credential>,
) -> Option<Timestamp> {
    credentials
        .filter(|it| it.status == CredentialStatus::Active)
        .filter_map(|it| it.expires_at)
        .min()
}
