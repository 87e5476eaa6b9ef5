//! Records as the management interface writes them. Their schemas stand in `http/openapi/schema`,
//! and a test holds the two together.

use agentidp_shared::{
    Agent, AgentId, AgentStatus, AgentType, Credential, CredentialId, CredentialKind,
    CredentialStatus, DeploymentEnv, Metadata, OrganizationId, Resource, ScopeSet, Timestamp,
};
use serde::Serialize;
use serde_json::Value;

use crate::service::credential::Issued;

/// An agent.
#[derive(Debug, Serialize)]
pub(super) struct AgentView<'a> {
    id: AgentId,
    organization_id: OrganizationId,
    email: &'a str,
    agent_type: AgentType,
    version: String,
    capabilities: &'a ScopeSet,
    owner: &'a str,
    deployment_env: DeploymentEnv,
    status: AgentStatus,
    audiences: &'a [Resource],
    metadata: &'a Metadata,
    created_at: Timestamp,
    updated_at: Timestamp,
    last_auth_at: Option<Timestamp>,
    revision: u64,
}

impl<'a> From<&'a Agent> for AgentView<'a> {
    fn from(agent: &'a Agent) -> Self {
        Self {
            id: agent.id,
            organization_id: agent.organization_id,
            email: agent.email.as_str(),
            agent_type: agent.agent_type,
            version: agent.version.to_string(),
            capabilities: &agent.capabilities,
            owner: agent.owner.as_str(),
            deployment_env: agent.deployment_env,
            status: agent.status,
            audiences: &agent.audiences,
            metadata: &agent.metadata,
            created_at: agent.created_at,
            updated_at: agent.updated_at,
            last_auth_at: agent.last_auth_at,
            revision: agent.revision,
        }
    }
}

/// The public key of a credential.
#[derive(Debug, Serialize)]
pub(super) struct PublicKeyView<'a> {
    thumbprint: &'a str,
    jwk: Value,
}

/// A credential, without what proves it.
#[derive(Debug, Serialize)]
pub(super) struct CredentialView<'a> {
    id: CredentialId,
    agent_id: AgentId,
    organization_id: OrganizationId,
    kind: CredentialKind,
    status: CredentialStatus,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    retires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    use_count: u64,
    public_key: Option<PublicKeyView<'a>>,
    revision: u64,
}

impl<'a> From<&'a Credential> for CredentialView<'a> {
    fn from(credential: &'a Credential) -> Self {
        let public_key = credential.public_key.as_ref().map(|key| PublicKeyView {
            thumbprint: &key.thumbprint,
            // It was written here as an object.
            jwk: serde_json::from_str(&key.jwk).unwrap_or_default(),
        });
        Self {
            id: credential.id,
            agent_id: credential.agent_id,
            organization_id: credential.organization_id,
            kind: credential.kind,
            status: credential.status,
            created_at: credential.created_at,
            expires_at: credential.expires_at,
            retires_at: credential.retires_at,
            last_used_at: credential.last_used_at,
            use_count: credential.use_count,
            public_key,
            revision: credential.revision,
        }
    }
}

/// A credential that has just been issued, with its secret, which is shown this once.
#[derive(Serialize)]
pub(super) struct IssuedView<'a> {
    client_id: AgentId,
    client_secret: Option<&'a str>,
    credential: CredentialView<'a>,
    retiring: Option<CredentialView<'a>>,
}

impl<'a> From<&'a Issued> for IssuedView<'a> {
    fn from(issued: &'a Issued) -> Self {
        Self {
            client_id: issued.credential.agent_id,
            client_secret: issued
                .secret
                .as_ref()
                .map(agentidp_shared::ClientSecret::expose),
            credential: (&issued.credential).into(),
            retiring: issued.retiring.as_ref().map(Into::into),
        }
    }
}

/// One of each view by the name of its schema, with every member that it can have.
#[cfg(test)]
pub(in crate::http) fn samples() -> Vec<(&'static str, Value)> {
    use agentidp_shared::{ClientSecret, PublicKey};

    let at = Timestamp::from_millis(1_800_000_000_000);
    let agent = Agent {
        id: AgentId::from_bytes([1; 16]),
        organization_id: OrganizationId::from_bytes([2; 16]),
        email: "screener-001@acme.example".parse().unwrap(),
        agent_type: AgentType::Screener,
        version: "1.0.0".parse().unwrap(),
        capabilities: "resume:read".parse().unwrap(),
        owner: "team-a".parse().unwrap(),
        deployment_env: DeploymentEnv::Production,
        status: AgentStatus::Active,
        audiences: vec!["https://api.example/".parse().unwrap()],
        metadata: Metadata::default(),
        created_at: at,
        updated_at: at,
        last_auth_at: Some(at),
        tokens_revoked_until: None,
        revision: 1,
    };
    let credential = Credential {
        id: CredentialId::from_bytes([3; 16]),
        agent_id: agent.id,
        organization_id: agent.organization_id,
        kind: CredentialKind::PublicKey,
        status: CredentialStatus::Active,
        created_at: at,
        expires_at: Some(at),
        retires_at: Some(at),
        last_used_at: Some(at),
        use_count: 1,
        public_key: Some(PublicKey {
            thumbprint: "t".to_owned(),
            jwk: r#"{"kty":"OKP"}"#.to_owned(),
        }),
        tokens_revoked_until: None,
        revision: 1,
    };
    let issued = Issued {
        credential: credential.clone(),
        retiring: Some(credential.clone()),
        secret: Some(ClientSecret::new(credential.id, &[7; 32])),
        audit_seq: 1,
    };
    let page = super::page::Page {
        items: vec![AgentView::from(&agent)],
        next_cursor: Some("c".to_owned()),
        total: Some(1),
    };
    vec![
        (
            "Agent",
            serde_json::to_value(AgentView::from(&agent)).unwrap(),
        ),
        ("AgentPage", serde_json::to_value(page).unwrap()),
        (
            "Credential",
            serde_json::to_value(CredentialView::from(&credential)).unwrap(),
        ),
        (
            "IssuedCredential",
            serde_json::to_value(IssuedView::from(&issued)).unwrap(),
        ),
    ]
}
