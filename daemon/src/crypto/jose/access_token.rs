//! Access tokens of this server, come back (RFC 9068, section 4).

use agentidp_shared::{
    AgentId, AgentType, CredentialId, OrganizationId, ScopeSet, Timestamp, TokenId,
};
use serde::{Deserialize, Deserializer};

use super::JwtError;
use super::jwt::{JsonError, Types, UnverifiedJwt};
use crate::crypto::Keyring;

const TYPES: Types = Types {
    names: &["at+jwt"],
    may_be_absent: false,
};

/// An access token of this server that is signed and has not expired. Whether it has been revoked
/// is not known here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct AccessToken {
    iss: String,
    /// Its id.
    pub(crate) jti: TokenId,
    /// The agent.
    pub(crate) sub: AgentId,
    /// The agent again: it is its own client.
    pub(crate) client_id: AgentId,
    /// The agent's tenant.
    pub(crate) organization_id: OrganizationId,
    /// The credential that proved the agent.
    pub(crate) cid: CredentialId,
    /// The scopes granted.
    #[serde(deserialize_with = "scope")]
    pub(crate) scope: ScopeSet,
    /// What the token is for; never empty.
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) aud: Vec<String>,
    /// Seconds since 1970 at which the token expires.
    pub(crate) exp: i64,
    /// Seconds since 1970 at which it was issued.
    pub(crate) iat: i64,
    /// The agent's type when the token was issued.
    pub(crate) agent_type: AgentType,
    /// The agent's version when the token was issued.
    pub(crate) agent_version: String,
}

/// Verifies that `token` is an access token that the server `issuer` signed with one of the keys it
/// publishes, and that it has not expired.
///
/// There is no leeway: the clock that set `exp` is the one that reads it.
pub(crate) fn verify_access_token(
    token: &str,
    keyring: &Keyring,
    issuer: &str,
    now: Timestamp,
) -> Result<AccessToken, JwtError> {
    let jwt = UnverifiedJwt::parse(token, TYPES)?;
    let key = jwt
        .kid()
        .and_then(|kid| keyring.verifier(kid))
        .ok_or(JwtError::UnknownKey)?;
    let token: AccessToken = jwt.verified_claims(key)?;
    if token.iss != issuer {
        return Err(JwtError::Issuer);
    }
    if token.client_id != token.sub {
        return Err(JwtError::Claims(JsonError::Member));
    }
    if token.exp <= now.as_secs() {
        return Err(JwtError::Expired);
    }
    Ok(token)
}

/// A `scope` claim; an agent without capabilities has an empty one.
fn scope<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ScopeSet, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(ScopeSet::default());
    }
    text.parse().map_err(serde::de::Error::custom)
}

/// An `aud` claim: a string or an array of strings (RFC 7519, section 4.1.3).
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(deserializer)? {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    })
}
