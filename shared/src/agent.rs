//! Agents and their lifecycle.

use serde::{Deserialize, Serialize};

use crate::email::Email;
use crate::error::{Code, FieldError};
use crate::id::{AgentId, OrganizationId};
use crate::metadata::Metadata;
use crate::resource::Resource;
use crate::scope::ScopeSet;
use crate::text::{Owner, word_enum};
use crate::time::Timestamp;

word_enum! {
    /// What an agent does.
    AgentType, "agent_type" {
        /// Screens what comes in.
        Screener = "screener",
        /// Sorts into classes.
        Classifier = "classifier",
        /// Directs other agents.
        Orchestrator = "orchestrator",
        /// Takes data out of documents.
        Extractor = "extractor",
        /// Summarizes.
        Summarizer = "summarizer",
        /// Passes work on to others.
        Router = "router",
        /// Watches.
        Monitor = "monitor",
        /// Anything else.
        Custom = "custom",
    }
}

word_enum! {
    /// Where an agent runs.
    DeploymentEnv, "deployment_env" {
        /// On developers' machines.
        Development = "development",
        /// Before production.
        Staging = "staging",
        /// For real.
        Production = "production",
    }
}

word_enum! {
    /// Where an agent stands in its life.
    AgentStatus, "status" {
        /// Gets tokens.
        Active = "active",
        /// Gets none until it is resumed; its earlier tokens stay dead.
        Suspended = "suspended",
        /// Ended after an incident, for good.
        Revoked = "revoked",
        /// Ended at the end of its life, for good.
        Decommissioned = "decommissioned",
        /// Ended, and hidden from lists that do not ask for it.
        Archived = "archived",
    }
}

/// A change of an agent's status that an operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// `active → suspended`
    Suspend,
    /// `suspended → active`
    Resume,
    /// `active | suspended → revoked`
    Revoke,
    /// `active | suspended → decommissioned`
    Decommission,
    /// `revoked | decommissioned → archived`
    Archive,
}

impl Transition {
    /// The status that the transition leads to.
    #[must_use]
    pub const fn target(self) -> AgentStatus {
        match self {
            Self::Suspend => AgentStatus::Suspended,
            Self::Resume => AgentStatus::Active,
            Self::Revoke => AgentStatus::Revoked,
            Self::Decommission => AgentStatus::Decommissioned,
            Self::Archive => AgentStatus::Archived,
        }
    }
}

/// The agent's status does not allow the transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// It has ended.
    #[error("the agent is {0}, which is for good")]
    Ended(AgentStatus),
    /// It has not ended.
    #[error("the agent is {0}: revoke or decommission it before it is archived")]
    NotEnded(AgentStatus),
}

impl AgentStatus {
    /// Whether the status is one that nothing leads out of but archiving.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Revoked | Self::Decommissioned | Self::Archived)
    }

    /// The status after `transition`. One that is reached already is reached again.
    ///
    /// # Errors
    ///
    /// [`TransitionError`] when the status is final and another than the transition's target, or
    /// not final and to be archived.
    pub fn after(self, transition: Transition) -> Result<Self, TransitionError> {
        let target = transition.target();
        match (transition, self.is_final()) {
            (Transition::Archive, false) => Err(TransitionError::NotEnded(self)),
            (Transition::Archive, true) | (_, false) => Ok(target),
            (_, true) if self == target => Ok(target),
            (_, true) => Err(TransitionError::Ended(self)),
        }
    }
}

/// How many audiences an agent may have.
pub const MAX_AUDIENCES: usize = 32;

/// A first-class, non-human identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Immutable; the agent's `client_id`.
    pub id: AgentId,
    /// The tenant it belongs to.
    pub organization_id: OrganizationId,
    /// Unique in the installation.
    pub email: Email,
    /// What it does.
    pub agent_type: AgentType,
    /// Its version, as `SemVer` 2.0 has it.
    pub version: semver::Version,
    /// The ceiling of the scopes that it can be granted.
    pub capabilities: ScopeSet,
    /// Who answers for it.
    pub owner: Owner,
    /// Where it runs.
    pub deployment_env: DeploymentEnv,
    /// Where it stands in its life.
    pub status: AgentStatus,
    /// The resources it may ask tokens for; empty: the issuer's default only.
    pub audiences: Vec<Resource>,
    /// What the organization notes about it.
    pub metadata: Metadata,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When its record last changed.
    pub updated_at: Timestamp,
    /// When it last got a token. The store fills it in from the log; a record leaves it empty.
    pub last_auth_at: Option<Timestamp>,
    /// Tokens issued until then are dead.
    pub tokens_revoked_until: Option<Timestamp>,
    /// 1 when registered, one more with every change.
    pub revision: u64,
}

/// What is to change of an agent; what is absent stays. Its id, e-mail and organization never
/// change: the log names it by them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentUpdate {
    /// See [`Agent::agent_type`].
    pub agent_type: Option<AgentType>,
    /// See [`Agent::version`].
    pub version: Option<semver::Version>,
    /// See [`Agent::capabilities`].
    pub capabilities: Option<ScopeSet>,
    /// See [`Agent::owner`].
    pub owner: Option<Owner>,
    /// See [`Agent::deployment_env`].
    pub deployment_env: Option<DeploymentEnv>,
    /// See [`Agent::audiences`].
    pub audiences: Option<Vec<Resource>>,
    /// See [`Agent::metadata`].
    pub metadata: Option<Metadata>,
}

impl AgentUpdate {
    /// The agent with the changes; its revision and times are as they were.
    #[must_use]
    pub fn apply(self, agent: &Agent) -> Agent {
        let mut agent = agent.clone();
        if let Some(it) = self.agent_type {
            agent.agent_type = it;
        }
        if let Some(it) = self.version {
            agent.version = it;
        }
        if let Some(it) = self.capabilities {
            agent.capabilities = it;
        }
        if let Some(it) = self.owner {
            agent.owner = it;
        }
        if let Some(it) = self.deployment_env {
            agent.deployment_env = it;
        }
        if let Some(it) = self.audiences {
            agent.audiences = it;
        }
        if let Some(it) = self.metadata {
            agent.metadata = it;
        }
        agent
    }
}

impl Agent {
    /// The names of the fields in which the two differ, as the wire spells them, without what every
    /// change changes.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let fields = [
            ("agent_type", self.agent_type == other.agent_type),
            ("version", self.version == other.version),
            ("capabilities", self.capabilities == other.capabilities),
            ("owner", self.owner == other.owner),
            (
                "deployment_env",
                self.deployment_env == other.deployment_env,
            ),
            ("status", self.status == other.status),
            ("audiences", self.audiences == other.audiences),
            ("metadata", self.metadata == other.metadata),
        ];
        let differs = fields.into_iter().filter(|(_, is_same)| !is_same);
        differs.map(|(name, _)| name.to_owned()).collect()
    }

    /// Whether the agent's status lets it have tokens.
    ///
    /// # Errors
    ///
    /// The code for the audit log when it does not.
    pub fn check_served(&self) -> Result<(), Code> {
        match self.status {
            AgentStatus::Active => Ok(()),
            AgentStatus::Suspended => Err(Code::AgentSuspended),
            AgentStatus::Revoked | AgentStatus::Decommissioned | AgentStatus::Archived => {
                Err(Code::AgentEnded)
            }
        }
    }
}

/// Parses an agent's version: `SemVer` 2.0 of at most 64 bytes.
///
/// # Errors
///
/// [`FieldError`] for anything else.
pub fn parse_version(text: &str) -> Result<semver::Version, FieldError> {
    const RULE: FieldError = FieldError::new(
        "version",
        "must be a SemVer 2.0 version such as 1.0.0, at most 64 bytes",
    );
    if text.len() > 64 {
        return Err(RULE);
    }
    semver::Version::parse(text).map_err(|_error| RULE)
}

/// Holds a list of audiences to [`MAX_AUDIENCES`] and drops what is named twice.
///
/// # Errors
///
/// [`FieldError`] when there are too many.
pub fn audiences(list: Vec<Resource>) -> Result<Vec<Resource>, FieldError> {
    let mut kept: Vec<Resource> = Vec::with_capacity(list.len());
    for resource in list {
        if !kept.iter().any(|other| other.is_same(&resource)) {
            kept.push(resource);
        }
    }
    if kept.len() > MAX_AUDIENCES {
        return Err(FieldError::new("audiences", "must be at most 32 resources"));
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_stays_ended() {
        use AgentStatus::{Active, Archived, Decommissioned, Revoked, Suspended};
        use Transition::{Archive, Decommission, Resume, Revoke, Suspend};
        for (from, transition, to) in [
            (Active, Suspend, Some(Suspended)),
            (Suspended, Suspend, Some(Suspended)),
            (Suspended, Resume, Some(Active)),
            (Active, Resume, Some(Active)),
            (Active, Revoke, Some(Revoked)),
            (Suspended, Decommission, Some(Decommissioned)),
            (Revoked, Revoke, Some(Revoked)),
            (Revoked, Resume, None),
            (Revoked, Decommission, None),
            (Decommissioned, Suspend, None),
            (Archived, Resume, None),
            (Revoked, Archive, Some(Archived)),
            (Decommissioned, Archive, Some(Archived)),
            (Archived, Archive, Some(Archived)),
            (Active, Archive, None),
            (Suspended, Archive, None),
        ] {
            assert_eq!(from.after(transition).ok(), to, "{from} {transition:?}");
        }
    }
}
