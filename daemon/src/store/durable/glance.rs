//! The front of a stored record: as much as the directory and the names need, read without the rest
//! and without asking again whether each value is well formed, which it was when it was written.
//!
//! The types follow the order of the fields of what they are the front of; a test holds them to it.

use std::fmt;

use agentidp_shared::{
    Agent, AgentId, AgentStatus, AgentType, CredentialId, CredentialKind, CredentialStatus,
    DeploymentEnv, OrganizationId, Timestamp,
};
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

/// The front of a record. The order of the variants is that of [`Record`](crate::store::Record).
#[derive(Debug, serde::Deserialize)]
pub(super) enum Glance<'a> {
    /// Of an organization.
    #[serde(borrow)]
    Organization(OrganizationGlance<'a>),
    /// Of an agent.
    #[serde(borrow)]
    Agent(AgentGlance<'a>),
    /// Of a credential.
    Credential(CredentialGlance),
}

/// The front of an organization.
#[derive(Debug, serde::Deserialize)]
pub(super) struct OrganizationGlance<'a> {
    _id: OrganizationId,
    /// Its name.
    pub(super) name: &'a str,
}

/// The front of an agent.
#[derive(Debug, serde::Deserialize)]
pub(super) struct AgentGlance<'a> {
    id: AgentId,
    organization_id: OrganizationId,
    email: &'a str,
    agent_type: AgentType,
    _version: &'a str,
    capabilities: Words,
    owner: &'a str,
    deployment_env: DeploymentEnv,
    status: AgentStatus,
}

/// The front of a credential.
#[derive(Debug, serde::Deserialize)]
pub(super) struct CredentialGlance {
    /// The credential.
    pub(super) id: CredentialId,
    /// The agent that it is for.
    pub(super) agent_id: AgentId,
    _organization_id: OrganizationId,
    _kind: CredentialKind,
    status: CredentialStatus,
    _created_at: Timestamp,
    expires_at: Option<Timestamp>,
}

impl CredentialGlance {
    /// When it expires, if it does and nothing replaces it: see
    /// [`first_expiry`](crate::store::query::first_expiry).
    pub(super) fn expiry(&self) -> Option<Timestamp> {
        self.expires_at
            .filter(|_| self.status == CredentialStatus::Active)
    }
}

/// Texts in a sequence, with a space between them.
#[derive(Debug)]
struct Words(String);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Joins;

        impl<'de> Visitor<'de> for Joins {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("texts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Words, A::Error> {
                let mut words = String::new();
                while let Some(text) = texts.next_element::<&'de str>()? {
                    if !words.is_empty() {
                        words.push(' ');
                    }
                    words.push_str(text);
                }
                Ok(Words(words))
            }
        }

        deserializer.deserialize_seq(Joins)
    }
}

/// What the directory knows of an agent's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts<'a> {
    /// The agent.
    pub(super) id: AgentId,
    /// Its tenant.
    pub(super) organization: OrganizationId,
    /// Its e-mail.
    pub(super) email: &'a str,
    /// Who answers for it.
    pub(super) owner: &'a str,
    /// Its capabilities, with a space between them.
    pub(super) capabilities: &'a str,
    /// Where it stands.
    pub(super) status: AgentStatus,
    /// What it does.
    pub(super) agent_type: AgentType,
    /// Where it runs.
    pub(super) deployment_env: DeploymentEnv,
}

impl<'a> Facts<'a> {
    /// The facts of an agent whose capabilities are written `capabilities`.
    pub(super) fn new(agent: &'a Agent, capabilities: &'a str) -> Self {
        Self {
            id: agent.id,
            organization: agent.organization_id,
            email: agent.email.as_str(),
            owner: agent.owner.as_str(),
            capabilities,
            status: agent.status,
            agent_type: agent.agent_type,
            deployment_env: agent.deployment_env,
        }
    }
}

impl AgentGlance<'_> {
    /// The facts that it shows.
    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            id: self.id,
            organization: self.organization_id,
            email: self.email,
            owner: self.owner,
            capabilities: &self.capabilities.0,
            status: self.status,
            agent_type: self.agent_type,
            deployment_env: self.deployment_env,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::query::first_expiry;
    use crate::store::suite::{agent, credential, organization};
    use crate::store::{Record, form};

    #[test]
    fn the_front_of_a_record_says_what_the_record_says() {
        let mut router = agent(7, "a@acme.example", 3);
        router.capabilities = "a:b c:d e:f".parse().unwrap();
        router.status = AgentStatus::Suspended;
        let stored = form::encode(&Record::Agent(router.clone())).unwrap();
        let Ok(Glance::Agent(front)) = form::decode_front(&stored) else {
            panic!("no agent")
        };
        let capabilities = router.capabilities.to_string();
        assert_eq!(front.facts(), Facts::new(&router, &capabilities));

        let stored = form::encode(&Record::Organization(organization(1, "acme", 1))).unwrap();
        assert!(matches!(
            form::decode_front(&stored),
            Ok(Glance::Organization(front)) if front.name == "acme"
        ));

        for status in CredentialStatus::ALL {
            let mut secret = credential(4, 7, 1);
            secret.credential.status = *status;
            let stored = form::encode(&Record::Credential(secret.clone())).unwrap();
            let Ok(Glance::Credential(front)) = form::decode_front(&stored) else {
                panic!("no credential")
            };
            assert_eq!(front.id, secret.credential.id);
            assert_eq!(front.agent_id, secret.credential.agent_id);
            assert_eq!(
                front.expiry(),
                first_expiry(std::iter::once(&secret.credential))
            );
        }
    }
}
