//! Looking after what all agents have: credentials that somebody should do something about, and how
//! many agents there are of each status.

use std::collections::BTreeMap;
use std::time::Duration;

use agentidp_shared::{
    AgentStatus, Credential, CredentialStatus, Email, FieldError, Owner, Timestamp,
};

use super::{Caller, Service, ServiceError};
use crate::store::{AgentFilter, AgentOrder, AgentPosition, AgentQuery, OneOf, RecordKey, Store};

/// How soon a credential expires that is about to.
const SOON: Duration = Duration::from_hours(7 * 24);
/// How many agents are looked at for one answer. Each look goes through the whole directory, so that
/// there should be few, and reads the credentials of so many agents.
const LOOKED_AT: usize = 10_000;

/// Why a credential should be looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Concern {
    /// It is active and expires within this time.
    Expiring(Duration),
    /// Another took its place, and it was used after that.
    RetiringUsed,
    /// It is active, and was never used: neither to get a token nor to introspect or revoke one.
    NeverUsed,
}

impl Concern {
    /// Reads a concern; `within` is for those that expire.
    ///
    /// # Errors
    ///
    /// When there is none of that name.
    pub(crate) fn parse(kind: &str, within: Option<Duration>) -> Result<Self, FieldError> {
        Ok(match kind {
            "expiring" => Self::Expiring(within.unwrap_or(SOON)),
            "retiring_used" => Self::RetiringUsed,
            "never_used" => Self::NeverUsed,
            _ => {
                return Err(FieldError::new(
                    "kind",
                    "must be one of expiring, retiring_used, never_used",
                ));
            }
        })
    }

    /// The agents to look at, without how far the caller reaches.
    pub(crate) fn query(self, now: Timestamp, limit: usize) -> AgentQuery {
        match self {
            Self::Expiring(within) => AgentQuery {
                filter: AgentFilter {
                    expires_before: Some(now.plus(within)),
                    ..AgentFilter::default()
                },
                order: AgentOrder::Expires,
                // Each of these agents has one.
                limit,
                ..AgentQuery::default()
            },
            Self::RetiringUsed | Self::NeverUsed => AgentQuery {
                is_descending: true,
                limit: LOOKED_AT,
                ..AgentQuery::default()
            },
        }
    }

    /// Whether a credential, among all of its agent, is one to look after.
    fn is_about(self, credential: &Credential, all: &[Credential], now: Timestamp) -> bool {
        match self {
            Self::Expiring(within) => {
                credential.status == CredentialStatus::Active
                    && credential
                        .expires_at
                        .is_some_and(|end| end < now.plus(within))
            }
            Self::RetiringUsed => {
                let newer = all.iter().map(|it| it.created_at);
                let replaced = newer.filter(|it| *it > credential.created_at).min();
                credential.status == CredentialStatus::Retiring
                    && credential.last_used_at > replaced
                    && replaced.is_some()
            }
            Self::NeverUsed => {
                credential.status == CredentialStatus::Active && credential.last_used_at.is_none()
            }
        }
    }
}

/// A credential with whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reviewed {
    /// The credential, with what time has done to it and how it was used.
    pub(crate) credential: Credential,
    /// Its agent's.
    pub(crate) email: Email,
    /// Its agent's.
    pub(crate) owner: Owner,
}

/// Some of them, and where the next begin.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ReviewPage {
    /// The credentials.
    pub(crate) credentials: Vec<Reviewed>,
    /// The agent after which to go on. `None`: there is no more.
    pub(crate) next: Option<AgentPosition>,
}

impl Service {
    /// Credentials that `concern` is about, of the agents that there are for the caller, from
    /// `after` on, up to the agent that brings them to `limit`.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) async fn review_credentials(
        &self,
        caller: &Caller,
        concern: Concern,
        after: Option<AgentPosition>,
        limit: usize,
    ) -> Result<ReviewPage, ServiceError> {
        let now = self.now();
        let mut query = concern.query(now, limit);
        query.filter.organizations = caller.reach.narrowed(None);
        query.after = after;
        self.read(move |store| {
            let agents = store.agents(&query)?;
            let mut page = ReviewPage {
                next: agents.next,
                ..ReviewPage::default()
            };
            for agent in &agents.agents {
                let agent = &agent.record;
                let all = credentials(store, agent.id, now)?;
                let found = all.iter().filter(|it| concern.is_about(it, &all, now));
                page.credentials.extend(found.map(|credential| Reviewed {
                    credential: credential.clone(),
                    email: agent.email.clone(),
                    owner: agent.owner.clone(),
                }));
                // An agent's place in the order of registration is its id.
                if page.credentials.len() >= limit && query.order == AgentOrder::Created {
                    page.next = Some(AgentPosition {
                        value: Vec::new(),
                        id: agent.id,
                    });
                    break;
                }
            }
            Ok(page)
        })
        .await
    }

    /// How many agents there are for the caller of each status, and how many of them have a
    /// credential that is about to expire.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) async fn count_agents(
        &self,
        caller: &Caller,
    ) -> Result<(BTreeMap<AgentStatus, u64>, u64), ServiceError> {
        let reached = caller.reach.narrowed(None);
        let soon = self.now().plus(SOON);
        self.read(move |store| {
            let count = |filter: AgentFilter| {
                let page = store.agents(&AgentQuery {
                    filter: AgentFilter {
                        organizations: reached.clone(),
                        ..filter
                    },
                    limit: 1,
                    ..AgentQuery::default()
                })?;
                Ok::<_, ServiceError>(page.total.unwrap_or_default())
            };
            let mut counts = BTreeMap::new();
            for status in AgentStatus::ALL {
                let filter = AgentFilter {
                    status: Some(OneOf::only(*status)),
                    ..AgentFilter::default()
                };
                counts.insert(*status, count(filter)?);
            }
            let expiring = count(AgentFilter {
                expires_before: Some(soon),
                ..AgentFilter::default()
            })?;
            Ok((counts, expiring))
        })
        .await
    }
}

/// An agent's credentials, with what time has done to them and how they were used.
fn credentials(
    store: &dyn Store,
    agent: agentidp_shared::AgentId,
    now: Timestamp,
) -> Result<Vec<Credential>, ServiceError> {
    let all = store.credentials_of(agent)?;
    let shown = all.iter().map(|stored| {
        let credential = &stored.record.credential;
        let usage = store.usage(&RecordKey::Credential(credential.id))?;
        Ok(Credential {
            status: credential.status_at(now),
            last_used_at: usage.last,
            use_count: usage.count,
            ..credential.clone()
        })
    });
    shown.collect()
}
