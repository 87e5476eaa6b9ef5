//! Agents: registering, listing, and the transitions of their lifecycle.

use std::collections::BTreeSet;
use std::sync::Arc;

use agentidp_shared::agent::Transition;
use agentidp_shared::{
    Action, Agent, AgentId, AgentStatus, AgentType, AgentUpdate, Code, CredentialStatus,
    DeploymentEnv, Email, Entry, Metadata, OrganizationId, Outcome, Owner, Reason, Resource,
    ScopeSet, Timestamp,
};

use super::idempotency::Made;
use super::{Caller, Changed, Decided, Service, ServiceError};
use crate::clock::random;
use crate::store::{AgentPage, AgentQuery, Commit, CredentialRecord, Record, RecordKey};

/// How many agents can be registered at once.
pub(crate) const MAX_AT_ONCE: usize = 100;

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

impl Service {
    /// Registers an agent in `organization`.
    ///
    /// # Errors
    ///
    /// `ORGANIZATION_NOT_FOUND`; `ALREADY_EXISTS` when the e-mail is taken; `QUOTA_EXCEEDED` when the
    /// organization has as many agents as its tier allows.
    pub(crate) async fn register_agent(
        &self,
        caller: &Caller,
        organization: &str,
        registration: Registration,
    ) -> Result<Changed<Agent>, ServiceError> {
        let organization = self.find_organization(caller, organization)?;
        Self::check_power(caller, &registration.capabilities, None)?;
        if let Some(Made::Agent(id)) = self.made_before(caller)? {
            return self.as_changed(caller, id);
        }
        let random = random(self.random.as_ref());
        let (entry, agent) = self.new_agent(caller, organization.record.id, registration, random);
        let commit = Commit::new(entry)
            .require(
                RecordKey::Organization(organization.record.id),
                organization.record.revision,
            )
            .put(Record::Agent(agent.clone()));
        let commit = match self.agent_quota(&organization.record) {
            Some(quota) => commit.within(quota),
            None => commit,
        };
        let commit = self.remembering(caller, commit, Made::Agent(agent.id))?;
        let seq = self.commit(commit).await?;
        Ok(Changed {
            record: agent,
            audit_seq: seq,
        })
    }

    /// Registers many agents in `organization` at once: all of them or none.
    ///
    /// # Errors
    ///
    /// As [`Self::register_agent`]; `INVALID_ARGUMENT` for none, or more than [`MAX_AT_ONCE`].
    pub(crate) async fn register_agents(
        &self,
        caller: &Caller,
        organization: &str,
        registrations: Vec<Registration>,
    ) -> Result<Vec<Changed<Agent>>, ServiceError> {
        if registrations.is_empty() || registrations.len() > MAX_AT_ONCE {
            let message = format!("agents: must be 1 to {MAX_AT_ONCE}");
            return Err(ServiceError::new(Code::InvalidArgument, message));
        }
        let organization = self.find_organization(caller, organization)?;
        for registration in &registrations {
            Self::check_power(caller, &registration.capabilities, None)?;
        }
        if let Some(Made::Agents(ids)) = self.made_before(caller)? {
            let changed = ids.into_iter().map(|id| self.as_changed(caller, id));
            return changed.collect();
        }
        let mut agents = Vec::with_capacity(registrations.len());
        let mut commit: Option<Commit> = None;
        let ids = self.ascending(registrations.len());
        for (registration, random) in registrations.into_iter().zip(ids) {
            let id = organization.record.id;
            let (entry, agent) = self.new_agent(caller, id, registration, random);
            let grown = match commit {
                Some(commit) => commit.and(entry),
                None => Commit::new(entry).require(
                    RecordKey::Organization(organization.record.id),
                    organization.record.revision,
                ),
            };
            commit = Some(grown.put(Record::Agent(agent.clone())));
            agents.push(agent);
        }
        let Some(mut commit) = commit else {
            return Ok(Vec::new());
        };
        if let Some(quota) = self.agent_quota(&organization.record) {
            commit = commit.within(quota);
        }
        let made = Made::Agents(agents.iter().map(|agent: &Agent| agent.id).collect());
        let commit = self.remembering(caller, commit, made)?;
        let first = match self.commit(commit).await {
            Err(error) if error.code == Code::AlreadyExists => {
                return Err(self.name_taken(&agents)?.unwrap_or(error));
            }
            done => done?,
        };
        let numbered = agents.into_iter().zip(first..);
        Ok(numbered
            .map(|(record, audit_seq)| Changed { record, audit_seq })
            .collect())
    }

    /// `ALREADY_EXISTS` with the first e-mail of `agents` that is taken, or stands twice among them.
    fn name_taken(&self, agents: &[Agent]) -> Result<Option<ServiceError>, ServiceError> {
        let mut emails = BTreeSet::new();
        for agent in agents {
            let email = &agent.email;
            if !emails.insert(email.as_str()) || self.store.agent_by_email(email)?.is_some() {
                let error =
                    ServiceError::new(Code::AlreadyExists, format!("the e-mail {email} is taken"));
                return Ok(Some(error.with("field", "email").with("email", email)));
            }
        }
        Ok(None)
    }

    /// An agent as it is now, and the entry of its last change.
    fn as_changed(&self, caller: &Caller, id: AgentId) -> Result<Changed<Agent>, ServiceError> {
        let stored = self.require_agent(caller, id)?;
        Ok(Changed {
            record: stored.record.clone(),
            audit_seq: stored.audit_seq,
        })
    }

    /// The random bytes of `count` ids that stand in this order though they are made in one millisecond, as
    /// agents that are registered together are listed.
    fn ascending(&self, count: usize) -> Vec<[u8; 10]> {
        let mut all: Vec<_> = (0..count).map(|_| random(self.random.as_ref())).collect();
        // Some of the bits give way to the version and the variant.
        all.sort_unstable_by_key(|random| AgentId::new(Timestamp::from_millis(0), *random));
        all
    }

    fn new_agent(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        registration: Registration,
        random: [u8; 10],
    ) -> (Entry, Agent) {
        let mut entry = self.entry(caller, Action::AgentRegister, Outcome::Success);
        let agent = Agent {
            id: AgentId::new(entry.time, random),
            organization_id: organization,
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
            tokens_revoked_until: None,
            revision: 1,
        };
        entry.organization_id = Some(agent.organization_id);
        (entry, agent)
    }

    /// A page of the agents that there are for the caller.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) async fn list_agents(
        &self,
        caller: &Caller,
        mut query: AgentQuery,
        organization: Option<OrganizationId>,
    ) -> Result<AgentPage, ServiceError> {
        query.filter.organizations = caller.reach.narrowed(organization);
        self.read(move |store| Ok(store.agents(&query)?)).await
    }

    /// Changes an agent's record. A change that changes nothing is answered with the last one.
    ///
    /// # Errors
    ///
    /// `AGENT_NOT_FOUND`, `REVISION_CONFLICT`; `INVALID_STATE` when the agent has ended.
    pub(crate) async fn update_agent(
        &self,
        caller: &Caller,
        agent: &str,
        update: AgentUpdate,
        seen: u64,
    ) -> Result<Changed<Agent>, ServiceError> {
        if let Some(Made::Agent(id)) = self.made_before(caller)? {
            return self.as_changed(caller, id);
        }
        self.decided_anew(|| {
            let current = self.find_agent(caller, agent)?;
            self.check_revision(seen, current.record.revision, current.audit_seq)?;
            if current.record.status.is_final() {
                let message = format!(
                    "the agent is {}: its record stays as it is",
                    current.record.status
                );
                return Err(ServiceError::new(Code::InvalidState, message));
            }
            let mut changed = update.clone().apply(&current.record);
            let held = &current.record.capabilities;
            Self::check_power(caller, &changed.capabilities, Some(held))?;
            let differences = changed.differences(&current.record);
            if differences.is_empty() {
                return Ok(Decided::Already(changed, current.audit_seq));
            }
            let mut entry = self.entry(caller, Action::AgentUpdate, Outcome::Success);
            entry.organization_id = Some(changed.organization_id);
            entry.changed = differences;
            changed.updated_at = entry.time;
            changed.revision += 1;
            let commit = Commit::new(entry).put(Record::Agent(changed.clone()));
            let commit = self.remembering(caller, commit, Made::Agent(changed.id))?;
            Ok(Decided::Now(changed, commit))
        })
        .await
    }

    /// An agent's record as it is shown: with when the agent last got a token.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) fn shown_agent(&self, agent: &Agent) -> Result<Agent, ServiceError> {
        let last_auth_at = self.store.usage(&RecordKey::Agent(agent.id))?.last;
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
        self: &Arc<Self>,
        caller: &Caller,
        agent: &str,
        transition: Transition,
        reason: Option<Reason>,
        seen: u64,
    ) -> Result<Changed<Agent>, ServiceError> {
        Self::check_reason(transition, reason.as_ref())?;
        let known = self.find_agent(caller, agent)?;
        if let Some(Made::Agent(id)) = self.made_before(caller)?
            && id == known.record.id
        {
            return self.as_changed(caller, id);
        }
        let (service, caller, id) = (Arc::clone(self), caller.clone(), known.record.id);
        self.change_credentials(async move {
            service
                .move_agent(&caller, id, transition, reason, seen)
                .await
        })
        .await
    }

    async fn move_agent(
        &self,
        caller: &Caller,
        agent: AgentId,
        transition: Transition,
        reason: Option<Reason>,
        seen: u64,
    ) -> Result<Changed<Agent>, ServiceError> {
        self.decided_anew(|| {
            let current = self.require_agent(caller, agent)?;
            let status = current
                .record
                .status
                .after(transition)
                .map_err(|error| ServiceError::new(Code::InvalidState, error.to_string()))?;
            if status == current.record.status {
                self.check_done_already(seen, current.record.revision, current.audit_seq)?;
                return Ok(Decided::Already(current.record.clone(), current.audit_seq));
            }
            self.check_revision(seen, current.record.revision, current.audit_seq)?;
            let to = (transition, status);
            self.decide_transition(caller, &current.record, to, reason.clone())
        })
        .await
    }

    /// Whether there is a reason where a transition takes one.
    pub(super) fn check_reason(
        transition: Transition,
        reason: Option<&Reason>,
    ) -> Result<(), ServiceError> {
        if reason.is_some() || matches!(transition, Transition::Resume | Transition::Archive) {
            return Ok(());
        }
        Err(ServiceError::new(
            Code::InvalidArgument,
            "reason: must be given, for the audit log",
        ))
    }

    fn decide_transition(
        &self,
        caller: &Caller,
        current: &Agent,
        (transition, status): (Transition, AgentStatus),
        reason: Option<Reason>,
    ) -> Result<Decided<Agent>, ServiceError> {
        let action = match transition {
            Transition::Suspend => Action::AgentSuspend,
            Transition::Resume => Action::AgentResume,
            Transition::Revoke => Action::AgentRevoke,
            Transition::Decommission => Action::AgentDecommission,
            Transition::Archive => Action::AgentArchive,
        };
        let mut entry = self.entry(caller, action, Outcome::Success);
        entry.organization_id = Some(current.organization_id);
        entry.reason = reason;
        let mut agent = current.clone();
        agent.status = status;
        agent.updated_at = entry.time;
        agent.revision += 1;
        if transition == Transition::Resume {
            // Read after the record, so no token from before the suspension is later.
            let said = agent.tokens_revoked_until;
            agent.tokens_revoked_until = Some(self.after_every_token(said));
        }
        let time = entry.time;
        let commit = Commit::new(entry.clone()).put(Record::Agent(agent.clone()));
        let mut commit = self.remembering(caller, commit, Made::Agent(agent.id))?;
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
        Ok(Decided::Now(agent, commit))
    }
}

/// The credential, revoked.
pub(super) fn revoke(record: &CredentialRecord) -> CredentialRecord {
    let mut record = record.clone();
    record.credential.status = CredentialStatus::Revoked;
    record.credential.revision += 1;
    record
}
