//! Agents: registering, listing, and the transitions of their lifecycle.

use std::sync::Arc;

use agentidp_shared::agent::Transition;
use agentidp_shared::{
    Action, Agent, AgentId, AgentStatus, AgentType, Code, CredentialStatus, DeploymentEnv, Email,
    Metadata, OrganizationId, Outcome, Owner, Reason, Resource, ScopeSet,
};

use super::{ATTEMPTS, Caller, Changed, Service, ServiceError, check_done_already, check_revision};
use crate::clock::random;
use crate::store::{Commit, CredentialRecord, Record, RecordKey, Store, Stored};

/// How many agents are read at a time.
const BATCH: usize = 100;
/// The size of the metadata from which on a page takes no more agents.
const PAGE_BYTES: usize = 2 * 1_024 * 1_024;
/// How many agents one page looks at when a filter lets few of them through.
const SCANNED_PER_PAGE: usize = 10_000;

/// What an agent is registered with.
#[derive(Debug, Clone)]
pub(crate) struct Registration {
    /// See [`Agent::email`].
    pub(crate) email: Email,
    /// See [`Agent::agent_type`].
    pub(crate) agent_type: AgentType,
    /// See [`Agent::version`].
    pub(crate) version: semver::Version,
    /// See [`Agent::capabilities`].
    pub(crate) capabilities: ScopeSet,
    /// See [`Agent::owner`].
    pub(crate) owner: Owner,
    /// See [`Agent::deployment_env`].
    pub(crate) deployment_env: DeploymentEnv,
    /// See [`Agent::audiences`].
    pub(crate) audiences: Vec<Resource>,
    /// See [`Agent::metadata`].
    pub(crate) metadata: Metadata,
}

/// Which agents to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct AgentFilter {
    /// Only this organization's.
    pub(crate) organization: Option<OrganizationId>,
    /// Only those of this status; none: all but archived.
    pub(crate) status: Option<AgentStatus>,
    /// Only this owner's.
    pub(crate) owner: Option<String>,
}

impl AgentFilter {
    fn matches(&self, agent: &Agent) -> bool {
        self.organization
            .is_none_or(|id| agent.organization_id == id)
            && self
                .status
                .map_or(agent.status != AgentStatus::Archived, |status| {
                    agent.status == status
                })
            && self
                .owner
                .as_ref()
                .is_none_or(|owner| agent.owner.as_str() == owner)
    }
}

/// A page of agents.
#[derive(Debug, Default)]
pub(crate) struct AgentPage {
    /// The agents, newest first; may be fewer than asked for though there are more.
    pub(crate) agents: Vec<Arc<Stored<Agent>>>,
    /// Where the next page begins: only agents older than this one. `None`: there is no more.
    pub(crate) next_before: Option<AgentId>,
}

impl Service {
    /// Registers an agent in `organization`.
    ///
    /// # Errors
    ///
    /// `ORGANIZATION_NOT_FOUND`; `ALREADY_EXISTS` when the e-mail is taken.
    pub(crate) async fn register_agent(
        &self,
        caller: &Caller,
        organization: &str,
        registration: Registration,
    ) -> Result<Changed<Agent>, ServiceError> {
        let organization = self.find_organization(organization)?;
        let mut entry = self.entry(caller, Action::AgentRegister, Outcome::Success);
        let agent = Agent {
            id: AgentId::new(entry.time, random(self.random.as_ref())),
            organization_id: organization.record.id,
            email: registration.email,
            agent_type: registration.agent_type,
            version: registration.version,
            capabilities: registration.capabilities,
            owner: registration.owner,
            deployment_env: registration.deployment_env,
            status: AgentStatus::Active,
            audiences: registration.audiences,
            metadata: registration.metadata,
            created_at: entry.time,
            updated_at: entry.time,
            last_auth_at: None,
            revision: 1,
        };
        entry.organization_id = Some(agent.organization_id);
        let commit = Commit::new(entry)
            .require(
                RecordKey::Organization(organization.record.id),
                organization.record.revision,
            )
            .put(Record::Agent(agent.clone()));
        let seq = self.commit(commit).await?;
        Ok(Changed {
            record: agent,
            audit_seq: seq,
        })
    }

    /// A page of agents.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) async fn list_agents(
        &self,
        filter: AgentFilter,
        before: Option<AgentId>,
        limit: usize,
    ) -> Result<AgentPage, ServiceError> {
        self.read(move |store| page_of_agents(store, &filter, before, limit))
            .await
    }

    /// An agent's record as it is shown: with when the agent last got a token.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) fn shown_agent(&self, agent: &Agent) -> Result<Agent, ServiceError> {
        let last_auth_at = self.store.last_used(&RecordKey::Agent(agent.id))?;
        Ok(Agent {
            last_auth_at,
            ..agent.clone()
        })
    }

    /// Moves an agent through its lifecycle. What has happened already is not done again: the
    /// answer is the record and the entry of the first time. Ending an agent revokes all its
    /// credentials in the same commit.
    ///
    /// # Errors
    ///
    /// `AGENT_NOT_FOUND`, `REVISION_CONFLICT`, `INVALID_STATE` when the agent has ended otherwise,
    /// `INVALID_ARGUMENT` when a reason is missing.
    pub(crate) async fn transition_agent(
        &self,
        caller: &Caller,
        agent: &str,
        transition: Transition,
        reason: Option<Reason>,
        seen: u64,
    ) -> Result<Changed<Agent>, ServiceError> {
        if reason.is_none() && transition != Transition::Resume {
            return Err(ServiceError::new(
                Code::InvalidArgument,
                "reason: must be given, for the audit log",
            ));
        }
        let _set = self.credentials.lock().await;
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            let current = self.find_agent(agent)?;
            let status = current
                .record
                .status
                .after(transition)
                .map_err(|error| ServiceError::new(Code::InvalidState, error.to_string()))?;
            if status == current.record.status {
                check_done_already(seen, current.record.revision)?;
                return Ok(Changed {
                    record: current.record.clone(),
                    audit_seq: current.audit_seq,
                });
            }
            check_revision(seen, current.record.revision)?;
            match self
                .transition_once(
                    caller,
                    &current.record,
                    (transition, status),
                    reason.clone(),
                )
                .await
            {
                // Someone else was faster. What they did decides what is left to do.
                Err(error) if error.code == Code::RevisionConflict && seen == 0 && attempts > 0 => {
                }
                other => return other,
            }
        }
    }

    async fn transition_once(
        &self,
        caller: &Caller,
        current: &Agent,
        (transition, status): (Transition, AgentStatus),
        reason: Option<Reason>,
    ) -> Result<Changed<Agent>, ServiceError> {
        let action = match transition {
            Transition::Suspend => Action::AgentSuspend,
            Transition::Resume => Action::AgentResume,
            Transition::Revoke => Action::AgentRevoke,
            Transition::Decommission => Action::AgentDecommission,
        };
        let mut entry = self.entry(caller, action, Outcome::Success);
        entry.organization_id = Some(current.organization_id);
        entry.reason = reason;
        let mut agent = current.clone();
        agent.status = status;
        agent.updated_at = entry.time;
        agent.revision += 1;
        let time = entry.time;
        let mut commit = Commit::new(entry.clone()).put(Record::Agent(agent.clone()));
        if status.is_final() {
            for credential in self.store.credentials_of(agent.id)? {
                if credential.record.credential.check_accepted(time).is_ok() {
                    let mut revoked = entry.clone();
                    revoked.action = Action::CredentialRevoke;
                    revoked.agent_id = Some(agent.id);
                    commit = commit
                        .and(revoked)
                        .put(Record::Credential(revoke(&credential.record)));
                }
            }
        }
        let seq = self.commit(commit).await?;
        Ok(Changed {
            record: agent,
            audit_seq: seq,
        })
    }
}

/// The credential, revoked.
pub(super) fn revoke(record: &CredentialRecord) -> CredentialRecord {
    let mut record = record.clone();
    record.credential.status = CredentialStatus::Revoked;
    record.credential.revision += 1;
    record
}

fn page_of_agents(
    store: &dyn Store,
    filter: &AgentFilter,
    before: Option<AgentId>,
    limit: usize,
) -> Result<AgentPage, ServiceError> {
    let mut page = AgentPage {
        agents: Vec::new(),
        next_before: before,
    };
    let (mut scanned, mut bytes) = (0, 0);
    while scanned < SCANNED_PER_PAGE {
        let batch = store.agents(page.next_before, BATCH)?;
        let is_last = batch.len() < BATCH;
        scanned += batch.len();
        for agent in batch {
            if page.agents.len() == limit || bytes > PAGE_BYTES {
                return Ok(page);
            }
            page.next_before = Some(agent.record.id);
            if filter.matches(&agent.record) {
                bytes += agent.record.metadata.size();
                page.agents.push(agent);
            }
        }
        if is_last {
            page.next_before = None;
            return Ok(page);
        }
    }
    Ok(page)
}
