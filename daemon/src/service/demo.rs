//! What a development store begins with: an organization and three agents to try things on.

use agentidp_shared::agent::parse_version;
use agentidp_shared::{Actor, AgentType, DeploymentEnv, FieldError, Metadata};

use super::agent::Registration;
use super::{Caller, Reach, Service, ServiceError};

/// The demonstration organization.
const ORGANIZATION: &str = "demo";

const AGENTS: [(&str, AgentType, &str); 3] = [
    (
        "screener@demo.example",
        AgentType::Screener,
        "resume:read resume:score",
    ),
    (
        "extractor@demo.example",
        AgentType::Extractor,
        "document:read field:write",
    ),
    (
        "orchestrator@demo.example",
        AgentType::Orchestrator,
        "job:read job:write",
    ),
];

impl Service {
    /// Makes the demonstration organization and its agents in a store that has no organization.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn seed_demo(&self) -> Result<(), ServiceError> {
        if !self.store.organizations(None, 1)?.is_empty() {
            return Ok(());
        }
        let caller = Caller {
            actor: Actor::system(),
            request_id: self.new_request_id(),
            reach: Reach::Installation,
            ceiling: None,
            idempotency: None,
        };
        self.create_organization(&caller, ORGANIZATION.parse()?, None)
            .await?;
        for agent in AGENTS {
            self.register_agent(&caller, ORGANIZATION, registration(agent)?)
                .await?;
        }
        Ok(())
    }
}

fn registration(
    (email, agent_type, capabilities): (&str, AgentType, &str),
) -> Result<Registration, FieldError> {
    Ok(Registration {
        email: email.parse()?,
        agent_type,
        version: parse_version("1.0.0")?,
        capabilities: capabilities.parse()?,
        owner: "demo-team".parse()?,
        deployment_env: DeploymentEnv::Development,
        audiences: Vec::new(),
        metadata: Metadata::default(),
    })
}
