//! What operators do: the calls of their socket that change something.

use agentidp_proto::v1;
use agentidp_shared::{Action, TokenId};
use anyhow::Context as _;

use super::hand::Hand;
use crate::http::Client;
use crate::operator::{called, named};
use crate::oracle::record::Record;
use crate::oracle::{Intent, Wants};

/// Why everything is done.
const REASON: &str = "torture";

/// Whose tokens.
#[derive(Clone, Copy)]
pub(crate) enum IssuedTo<'a> {
    Agent(&'a str),
    Organization(&'a str),
}

/// An answer to a change: the number of its audit entry, and the records that it left.
pub(crate) trait Acknowledgement {
    fn seq(&self) -> u64;
    fn records(&self) -> Vec<Record>;
}

macro_rules! acknowledgement {
    ($($message:ident: $($field:ident),*;)*) => {$(
        impl Acknowledgement for v1::$message {
            fn seq(&self) -> u64 {
                self.audit_seq
            }
            fn records(&self) -> Vec<Record> {
                let records = [$(self.$field.clone().map(Record::from)),*];
                records.into_iter().flatten().collect()
            }
        }
    )*};
}

acknowledgement! {
    CreateOrganizationResponse: organization;
    OrganizationChange: organization;
    AgentChange: agent;
    IssuedCredential: credential, retiring;
    CredentialChange: credential;
}

impl Acknowledgement for v1::TokenChange {
    fn seq(&self) -> u64 {
        self.audit_seq
    }
    fn records(&self) -> Vec<Record> {
        Vec::new()
    }
}

impl Hand {
    pub(crate) async fn create_organization(
        &mut self,
        name: &str,
    ) -> anyhow::Result<Option<String>> {
        let mut client = self.operator.organizations();
        let intent = Intent {
            action: Action::OrganizationCreate,
            target: None,
            wants: Wants::Name(name.to_owned()),
        };
        let message = v1::CreateOrganizationRequest {
            name: name.to_owned(),
            tier: String::new(),
        };
        let made = self
            .change(intent, async move |id| {
                called(client.create(named(id, message)?)).await
            })
            .await?;
        made.map(|made| Ok(made.organization.context("no organization")?.id))
            .transpose()
    }

    /// Gives an organization's credentials another age that they may have.
    pub(crate) async fn update_organization(
        &mut self,
        organization: &str,
        seconds: i64,
    ) -> anyhow::Result<Option<()>> {
        let mut client = self.operator.organizations();
        let intent = Intent {
            action: Action::OrganizationUpdate,
            target: Some(organization.to_owned()),
            wants: Wants::MaxAge(seconds),
        };
        let message = v1::UpdateOrganizationRequest {
            organization: organization.to_owned(),
            max_credential_age: Some(prost_types::Duration { seconds, nanos: 0 }),
            ..v1::UpdateOrganizationRequest::default()
        };
        let done = self
            .change(intent, async move |id| {
                called(client.update(named(id, message)?)).await
            })
            .await?;
        Ok(done.map(drop))
    }

    /// Suspends or resumes an organization.
    pub(crate) async fn move_organization(
        &mut self,
        organization: &str,
        action: Action,
    ) -> anyhow::Result<Option<()>> {
        let mut client = self.operator.organizations();
        let is_suspension = action == Action::OrganizationSuspend;
        let intent = Intent {
            action,
            target: Some(organization.to_owned()),
            wants: Wants::Status(if is_suspension { "suspended" } else { "active" }),
        };
        let message = v1::OrganizationTransitionRequest {
            organization: organization.to_owned(),
            reason: REASON.to_owned(),
            revision: 0,
        };
        let done = self
            .change(intent, async move |id| {
                let request = named(id, message)?;
                if is_suspension {
                    called(client.suspend(request)).await
                } else {
                    called(client.resume(request)).await
                }
            })
            .await?;
        Ok(done.map(drop))
    }

    pub(crate) async fn register(
        &mut self,
        organization: &str,
        email: &str,
        capability: &str,
    ) -> anyhow::Result<Option<String>> {
        let mut client = self.operator.agents();
        let intent = Intent {
            action: Action::AgentRegister,
            target: None,
            wants: Wants::Email(email.to_owned()),
        };
        let message = v1::RegisterAgentRequest {
            organization: organization.to_owned(),
            email: email.to_owned(),
            agent_type: "custom".to_owned(),
            version: "1.0.0".to_owned(),
            capabilities: capability.split(' ').map(str::to_owned).collect(),
            owner: "torture".to_owned(),
            deployment_env: "production".to_owned(),
            ..v1::RegisterAgentRequest::default()
        };
        let made = self
            .change(intent, async move |id| {
                called(client.register(named(id, message)?)).await
            })
            .await?;
        made.map(|made| Ok(made.agent.context("no agent")?.id))
            .transpose()
    }

    pub(crate) async fn update(
        &mut self,
        agent: &str,
        version: String,
    ) -> anyhow::Result<Option<()>> {
        let mut client = self.operator.agents();
        let intent = Intent {
            action: Action::AgentUpdate,
            target: Some(agent.to_owned()),
            wants: Wants::Version(version.clone()),
        };
        let message = v1::UpdateAgentRequest {
            agent: agent.to_owned(),
            version: Some(version),
            ..v1::UpdateAgentRequest::default()
        };
        let done = self
            .change(intent, async move |id| {
                called(client.update(named(id, message)?)).await
            })
            .await?;
        Ok(done.map(drop))
    }

    /// Suspends, resumes, revokes or decommissions an agent.
    pub(crate) async fn move_agent(
        &mut self,
        agent: &str,
        action: Action,
    ) -> anyhow::Result<Option<()>> {
        let mut client = self.operator.agents();
        let status = match action {
            Action::AgentSuspend => "suspended",
            Action::AgentResume => "active",
            Action::AgentRevoke => "revoked",
            _ => "decommissioned",
        };
        let intent = Intent {
            action,
            target: Some(agent.to_owned()),
            wants: Wants::Status(status),
        };
        let message = v1::AgentTransitionRequest {
            agent: agent.to_owned(),
            reason: REASON.to_owned(),
            revision: 0,
        };
        let done = self
            .change(intent, async move |id| {
                let request = named(id, message)?;
                match action {
                    Action::AgentSuspend => called(client.suspend(request)).await,
                    Action::AgentResume => called(client.resume(request)).await,
                    Action::AgentRevoke => called(client.revoke(request)).await,
                    _ => called(client.decommission(request)).await,
                }
            })
            .await?;
        Ok(done.map(drop))
    }

    /// Registers an agent and issues it a secret.
    pub(crate) async fn enrol(
        &mut self,
        organization: &str,
        email: &str,
        capability: &str,
    ) -> anyhow::Result<Option<Client>> {
        match self.register(organization, email, capability).await? {
            Some(agent) => self.issue(&agent).await,
            None => Ok(None),
        }
    }

    pub(crate) async fn issue(&mut self, agent: &str) -> anyhow::Result<Option<Client>> {
        let mut client = self.operator.credentials();
        let intent = Intent {
            action: Action::CredentialIssue,
            target: None,
            wants: Wants::Of(agent.to_owned()),
        };
        let message = v1::IssueCredentialRequest {
            agent: agent.to_owned(),
            ..v1::IssueCredentialRequest::default()
        };
        let issued = self
            .change(intent, async move |id| {
                called(client.issue(named(id, message)?)).await
            })
            .await?;
        issued.map(|issued| self.secret_in(issued)).transpose()
    }

    /// Replaces a credential; without a time of grace the old one is cut off.
    pub(crate) async fn rotate(
        &mut self,
        old: &Client,
        has_grace: bool,
    ) -> anyhow::Result<Option<Client>> {
        let mut client = self.operator.credentials();
        let intent = Intent {
            action: Action::CredentialRotate,
            target: Some(old.credential.to_string()),
            wants: Wants::Of(old.id.to_string()),
        };
        let message = v1::RotateCredentialRequest {
            credential_id: old.credential.to_string(),
            grace: (!has_grace).then(prost_types::Duration::default),
            ..v1::RotateCredentialRequest::default()
        };
        let issued = self
            .change(intent, async move |id| {
                called(client.rotate(named(id, message)?)).await
            })
            .await?;
        issued.map(|issued| self.secret_in(issued)).transpose()
    }

    fn secret_in(&self, issued: v1::IssuedCredential) -> anyhow::Result<Client> {
        let client = Client {
            id: issued.client_id.parse()?,
            credential: issued.credential.context("no credential")?.id.parse()?,
            secret: issued.client_secret,
        };
        self.oracle.knows(client.clone());
        Ok(client)
    }

    pub(crate) async fn revoke_credential(
        &mut self,
        credential: &Client,
    ) -> anyhow::Result<Option<()>> {
        let mut client = self.operator.credentials();
        let credential_id = credential.credential.to_string();
        let intent = Intent {
            action: Action::CredentialRevoke,
            target: Some(credential_id.clone()),
            wants: Wants::Status("revoked"),
        };
        let message = v1::RevokeCredentialRequest {
            credential_id,
            reason: REASON.to_owned(),
            revision: 0,
        };
        let done = self
            .change(intent, async move |id| {
                called(client.revoke(named(id, message)?)).await
            })
            .await?;
        Ok(done.map(drop))
    }

    /// Revokes one token as an operator does.
    pub(crate) async fn revoke_token(&mut self, jti: TokenId) -> anyhow::Result<Option<()>> {
        let mut client = self.operator.tokens();
        let intent = Intent {
            action: Action::TokenRevoke,
            target: Some(jti.to_string()),
            wants: Wants::Nothing,
        };
        let message = v1::RevokeTokenRequest {
            jti: jti.to_string(),
            reason: REASON.to_owned(),
            ..v1::RevokeTokenRequest::default()
        };
        let done = self
            .change(intent, async move |id| {
                called(client.revoke(named(id, message)?)).await
            })
            .await?;
        if done.is_some() {
            self.oracle.revoked(jti);
        }
        Ok(done.map(drop))
    }

    /// Revokes every token that was issued until now, of an agent or an organization.
    pub(crate) async fn revoke_issued(&mut self, to: IssuedTo<'_>) -> anyhow::Result<Option<()>> {
        let mut client = self.operator.tokens();
        let mut message = v1::RevokeIssuedTokensRequest {
            reason: REASON.to_owned(),
            ..v1::RevokeIssuedTokensRequest::default()
        };
        let target = match to {
            IssuedTo::Agent(id) => {
                id.clone_into(&mut message.agent);
                id
            }
            IssuedTo::Organization(id) => {
                id.clone_into(&mut message.organization);
                id
            }
        };
        let intent = Intent {
            action: Action::TokenRevoke,
            target: Some(target.to_owned()),
            wants: Wants::RevokedUntil,
        };
        let done = self
            .change(intent, async move |id| {
                called(client.revoke_issued(named(id, message)?)).await
            })
            .await?;
        Ok(done.map(drop))
    }
}
