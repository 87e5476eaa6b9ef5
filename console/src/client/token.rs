//! Calls about access tokens.

use agentidp_proto::convert::to_domain_timestamp;
use agentidp_proto::v1;
use agentidp_proto::v1::token_service_client::TokenServiceClient;
use agentidp_shared::Timestamp;
use serde::Serialize;

use super::{Client, Transport, call};
use crate::error::Error;

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InspectedToken {
    /// Whether it counts.
    pub active: bool,
    /// Why it does not: a code of the reference's list.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// What it says, when it is one of this server's.
    #[serde(flatten)]
    pub claims: Option<TokenClaims>,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenClaims {
    /// Its id.
    pub jti: String,
    /// Whose it is.
    pub agent_id: String,
    /// The agent's organization.
    pub organization_id: String,
    /// What proved the agent.
    pub credential_id: String,
    /// What it may.
    pub scope: String,
    /// Where it counts.
    pub audience: Vec<String>,
    /// When it was issued.
    pub issued_at: Option<Timestamp>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

/// A revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RevokedTokens {
    /// All that were issued until then are dead; none for a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_until: Option<Timestamp>,
    /// The entry's place in the log; none for that of an earlier revocation that is not there any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_seq: Option<u64>,
}

impl RevokedTokens {
    /// Where it is in the log, to be put behind what it is told with.
    pub(crate) fn in_log(&self) -> String {
        let seq = self.audit_seq.map(|seq| format!(" (audit {seq})"));
        seq.unwrap_or_default()
    }
}

impl From<v1::TokenChange> for RevokedTokens {
    fn from(it: v1::TokenChange) -> Self {
        Self {
            revoked_until: it.revoked_until.map(to_domain_timestamp),
            // The log begins with the daemon's own entry.
            audit_seq: Some(it.audit_seq).filter(|seq| *seq > 0),
        }
    }
}

impl Client {
    fn token_service(&self) -> TokenServiceClient<Transport> {
        TokenServiceClient::with_interceptor(self.channel.clone(), self.guard)
    }

    /// Tells what a token is, and whether it counts.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn inspect_token(&self, token: String) -> Result<InspectedToken, Error> {
        let answer = self
            .token_service()
            .inspect(call(v1::InspectTokenRequest { token }))
            .await?
            .into_inner();
        let claims = TokenClaims {
            jti: answer.jti,
            agent_id: answer.agent_id,
            organization_id: answer.organization_id,
            credential_id: answer.credential_id,
            scope: answer.scope,
            audience: answer.audience,
            issued_at: answer.issued_at.map(to_domain_timestamp),
            expires_at: answer.expires_at.map(to_domain_timestamp),
        };
        Ok(InspectedToken {
            active: answer.active,
            code: answer.code,
            claims: Some(claims).filter(|it| !it.jti.is_empty()),
        })
    }

    /// Revokes one token, by itself or by its `jti`.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn revoke_token(
        &self,
        request: v1::RevokeTokenRequest,
    ) -> Result<RevokedTokens, Error> {
        let answer = self.token_service().revoke(call(request)).await?;
        Ok(answer.into_inner().into())
    }

    /// Revokes every token that was issued until now for somebody.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn revoke_issued_tokens(
        &self,
        request: v1::RevokeIssuedTokensRequest,
    ) -> Result<RevokedTokens, Error> {
        let answer = self.token_service().revoke_issued(call(request)).await?;
        Ok(answer.into_inner().into())
    }
}
