//! Client authentication (RFC 6749, section 2.3), in one place for every endpoint that needs it.
//!
//! The caller of a failed authentication learns that it failed and nothing else; the audit log
//! learns why. What is looked up and computed is the same whether the client exists or not.

use std::sync::Arc;

use agentidp_shared::{
    Agent, AgentId, ClientSecret, Code, CredentialId, Organization, Timestamp, token,
};
use zeroize::Zeroizing;

use super::{Service, ServiceError};
use crate::crypto::secret::Verdict;
use crate::store::{CredentialRecord, SecretVerifier, Stored};

/// What a client presented.
#[derive(Debug)]
pub(crate) struct Presented {
    /// The `client_id`.
    pub(crate) client_id: String,
    /// The `client_secret`.
    pub(crate) client_secret: Zeroizing<String>,
}

/// A client that proved to be an agent, with the records that said so.
pub(crate) struct Authenticated {
    /// The agent's tenant.
    pub(crate) organization: Arc<Stored<Organization>>,
    /// The agent.
    pub(crate) agent: Arc<Stored<Agent>>,
    /// The credential that proved it.
    pub(crate) credential: Arc<Stored<CredentialRecord>>,
}

/// Why authentication failed, for the audit log.
pub(crate) struct Failure {
    /// Why.
    pub(crate) code: Code,
    /// The agent whose id was given, if there is one.
    pub(crate) agent: Option<Arc<Stored<Agent>>>,
    /// Its credential that was tried, if that much was right.
    pub(crate) credential_id: Option<CredentialId>,
}

impl Service {
    /// Authenticates a client by its secret, and checks that it may have tokens at `now`.
    ///
    /// # Errors
    ///
    /// The outer error when the store failed; the inner one when authentication did.
    pub(super) async fn authenticate(
        &self,
        presented: &Presented,
        now: Timestamp,
    ) -> Result<Result<Authenticated, Failure>, ServiceError> {
        let mac = self.secrets.mac(&presented.client_secret);
        let secret = ClientSecret::parse(&presented.client_secret);
        let agent = match presented.client_id.parse::<AgentId>() {
            Ok(id) => self.store.agent(id)?,
            Err(_) => None,
        };
        let credential = match &secret {
            Ok(secret) => self.store.credential(secret.credential_id())?,
            Err(_) => None,
        };
        let fail = |code, agent, credential_id| {
            Ok(Err(Failure {
                code,
                agent,
                credential_id,
            }))
        };
        let Some(agent) = agent else {
            return fail(Code::UnknownClient, None, None);
        };
        let Ok(secret) = secret else {
            return fail(Code::MalformedSecret, Some(agent), None);
        };
        let Some(credential) =
            credential.filter(|it| it.record.credential.agent_id == agent.record.id)
        else {
            return fail(Code::WrongSecret, Some(agent), None);
        };
        let Some(organization) = self.store.organization(agent.record.organization_id)? else {
            return fail(Code::UnknownClient, Some(agent), None);
        };
        let public = &credential.record.credential;
        let Some(SecretVerifier { check, hash }) = &credential.record.verifier else {
            return fail(Code::WrongSecret, Some(agent), Some(public.id));
        };
        if mac.check() != *check {
            return fail(Code::WrongSecret, Some(agent), Some(public.id));
        }
        // Before argon2: whoever is not served must not cost thirty milliseconds.
        if let Err(code) = token::check_served(&organization.record, &agent.record, public, now) {
            return fail(code, Some(agent), Some(public.id));
        }
        match self
            .secrets
            .verify(&secret, &mac, (check, hash, public.revision), now)
            .await
        {
            Verdict::Right => Ok(Ok(Authenticated {
                organization,
                agent,
                credential,
            })),
            Verdict::Wrong => fail(Code::WrongSecret, Some(agent), Some(public.id)),
            Verdict::Overloaded => Err(ServiceError::new(
                Code::Overloaded,
                "too many secrets are being verified: try again in a second",
            )),
        }
    }
}
