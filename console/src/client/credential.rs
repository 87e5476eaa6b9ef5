//! Calls about credentials.

use std::time::Duration;

use agentidp_proto::v1::credential_service_client::CredentialServiceClient;
use agentidp_proto::{REQUEST_ID_METADATA, v1};
use agentidp_shared::{Credential, FieldError};
use serde::Serialize;
use tonic::Response;
use zeroize::Zeroizing;

use super::{
    Changed, Client, MAX_ANSWER, Page, Transport, call, changed, page, records, wire_duration,
};
use crate::error::Error;

/// A credential that has just been issued; its secret is shown this once.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The new credential.
    pub credential: Credential,
    /// The one that it replaces, after a rotation.
    pub retiring: Option<Credential>,
    /// What the agent names itself with.
    pub client_id: String,
    /// What the agent proves itself with; empty for a public key.
    pub client_secret: Zeroizing<String>,
    /// The entry's place in the log.
    pub audit_seq: u64,
    /// What the request was named, in the log and in the daemon's own.
    pub request_id: String,
}

/// A credential with whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReviewedCredential {
    /// The record.
    #[serde(flatten)]
    pub credential: Credential,
    /// Its agent's.
    pub agent_email: String,
    /// Its agent's.
    pub owner: String,
}

impl TryFrom<v1::ReviewedCredential> for ReviewedCredential {
    type Error = FieldError;

    fn try_from(it: v1::ReviewedCredential) -> Result<Self, FieldError> {
        let credential = it
            .credential
            .ok_or(FieldError::new("credential", "must be present"))?;
        Ok(Self {
            credential: credential.try_into()?,
            agent_email: it.agent_email,
            owner: it.owner,
        })
    }
}

impl Client {
    fn credential_service(&self) -> CredentialServiceClient<Transport> {
        CredentialServiceClient::with_interceptor(self.channel.clone(), self.guard)
            .max_decoding_message_size(MAX_ANSWER)
    }

    /// Issues a client secret, or a credential for the public key that `public_key_jwk` is.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn issue_credential(
        &self,
        agent: String,
        expires_in: Option<Duration>,
        public_key_jwk: String,
    ) -> Result<Issued, Error> {
        let answer = self
            .credential_service()
            .issue(call(v1::IssueCredentialRequest {
                agent,
                expires_in: expires_in.map(wire_duration),
                public_key_jwk,
            }))
            .await?;
        issued(answer)
    }

    /// Issues a successor of a credential; that of a public key is one that is given.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn rotate_credential(
        &self,
        credential_id: String,
        grace: Option<Duration>,
        public_key_jwk: String,
        revision: u64,
    ) -> Result<Issued, Error> {
        let answer = self
            .credential_service()
            .rotate(call(v1::RotateCredentialRequest {
                credential_id,
                grace: grace.map(wire_duration),
                public_key_jwk,
                revision,
            }))
            .await?;
        issued(answer)
    }

    /// Cuts a credential off.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn revoke_credential(
        &self,
        credential_id: String,
        reason: String,
        revision: u64,
    ) -> Result<Changed<Credential>, Error> {
        let answer = self
            .credential_service()
            .revoke(call(v1::RevokeCredentialRequest {
                credential_id,
                reason,
                revision,
            }))
            .await?
            .into_inner();
        changed(answer.credential, "credential", answer.audit_seq)
    }

    /// Lists an agent's credentials, newest first.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn credentials(&self, agent: String) -> Result<Vec<Credential>, Error> {
        let answer = self
            .credential_service()
            .list(call(v1::ListCredentialsRequest { agent }))
            .await?
            .into_inner();
        records(answer.credentials)
    }

    /// Lists credentials of all agents that somebody should look after: `expiring`,
    /// `retiring_used` or `never_used`. An expiring one ends `within` that time, or 7 days.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn review_credentials(
        &self,
        kind: &str,
        within: Option<Duration>,
        limit: u32,
        page_token: String,
    ) -> Result<Page<ReviewedCredential>, Error> {
        let answer = self
            .credential_service()
            .review(call(v1::ReviewCredentialsRequest {
                kind: kind.to_owned(),
                within: within.map(wire_duration),
                limit,
                page_token,
            }))
            .await?
            .into_inner();
        page(answer.credentials, answer.next_page_token)
    }

    /// Shows one credential.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn credential(&self, credential_id: String) -> Result<Credential, Error> {
        let answer = self
            .credential_service()
            .get(call(v1::GetCredentialRequest { credential_id }))
            .await?
            .into_inner();
        answer.try_into().map_err(Error::Answer)
    }
}

fn issued(answer: Response<v1::IssuedCredential>) -> Result<Issued, Error> {
    let named = answer.metadata().get(REQUEST_ID_METADATA);
    let named = named.and_then(|id| id.to_str().ok()).unwrap_or_default();
    let request_id = named.to_owned();
    let answer = answer.into_inner();
    // Taken first, so that the secret is wiped whatever happens to the rest.
    let client_secret = Zeroizing::new(answer.client_secret);
    let credential = answer
        .credential
        .ok_or(FieldError::new("credential", "must be present"))?;
    Ok(Issued {
        credential: credential.try_into()?,
        retiring: answer.retiring.map(TryInto::try_into).transpose()?,
        client_id: answer.client_id,
        client_secret,
        audit_seq: answer.audit_seq,
        request_id,
    })
}
