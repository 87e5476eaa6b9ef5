//! Access tokens: what is granted, and the claims that say so.

use std::time::Duration;

use serde::Serialize;

use crate::agent::Agent;
use crate::credential::{Credential, CredentialStatus};
use crate::error::Code;
use crate::id::{AgentId, CredentialId, OrganizationId, TokenId};
use crate::organization::{Organization, OrganizationStatus};
use crate::resource::Resource;
use crate::scope::ScopeSet;
use crate::time::Timestamp;

/// The longest life that a token may be configured to have.
pub const MAX_LIFETIME: Duration = Duration::from_hours(24);

/// What an authenticated agent asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenRequest {
    /// The `scope` parameter; absent: everything but the management scopes.
    pub scope: Option<ScopeSet>,
    /// The `resource` parameters (RFC 8707), in the order asked.
    pub resources: Vec<Resource>,
}

/// What the agent gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The scopes granted.
    pub scope: ScopeSet,
    /// The `aud` of the token; never empty.
    pub audience: Vec<String>,
}

/// Decides what `agent` gets for `request`. Its credential has been verified before.
///
/// # Errors
///
/// [`Code::ScopeNotAllowed`] for a scope beyond the capabilities, and when none is asked for and there are only
/// management scopes, which are granted by name; [`Code::ResourceNotAllowed`] for
/// a resource that is not one of the agent's audiences, or when it has several and names none.
pub fn grant(agent: &Agent, request: &TokenRequest, default_audience: &str) -> Result<Grant, Code> {
    let scope = match &request.scope {
        Some(asked) if asked.is_within(&agent.capabilities) => asked.clone(),
        Some(_) => return Err(Code::ScopeNotAllowed),
        None => {
            let scope = agent.capabilities.without_management();
            // There is no empty scope (RFC 6749, section 3.3), and a token for nothing hides why.
            if scope.is_empty() && !agent.capabilities.is_empty() {
                return Err(Code::ScopeNotAllowed);
            }
            scope
        }
    };
    Ok(Grant {
        scope,
        audience: audience(agent, &request.resources, default_audience)?,
    })
}

fn is_same(resource: &Resource, audience: &str) -> bool {
    resource.as_str() == audience
        || audience
            .parse()
            .is_ok_and(|audience| resource.is_same(&audience))
}

fn audience(
    agent: &Agent,
    asked: &[Resource],
    default_audience: &str,
) -> Result<Vec<String>, Code> {
    let may_ask = |resource: &Resource| {
        agent
            .audiences
            .iter()
            .any(|allowed| allowed.is_same(resource))
            || (agent.audiences.is_empty() && is_same(resource, default_audience))
    };
    match (asked, agent.audiences.as_slice()) {
        ([], []) => Ok(vec![default_audience.to_owned()]),
        ([], [only]) => Ok(vec![only.as_str().to_owned()]),
        // A token for every resource at once would be worth more to a thief than the agent needs.
        ([], _) => Err(Code::ResourceNotAllowed),
        (asked, _) if asked.iter().all(may_ask) => {
            let mut audience: Vec<String> = Vec::with_capacity(asked.len());
            for resource in asked {
                if !audience.iter().any(|other| other == resource.as_str()) {
                    audience.push(resource.as_str().to_owned());
                }
            }
            Ok(audience)
        }
        _ => Err(Code::ResourceNotAllowed),
    }
}

/// Whether the three records together let a token be issued at `now`.
///
/// # Errors
///
/// The code for the audit log when they do not. The caller is told only that authentication failed.
pub fn check_served(
    organization: &Organization,
    agent: &Agent,
    credential: &Credential,
    now: Timestamp,
) -> Result<(), Code> {
    if organization.status == OrganizationStatus::Suspended {
        return Err(Code::OrganizationSuspended);
    }
    agent.check_served()?;
    credential.check_accepted(now)
}

/// Whether a token that was issued to `agent` at `issued_at` still counts, as far as the three records
/// say. That it has not expired and is not revoked by itself is for the caller to see.
///
/// # Errors
///
/// The code for the audit log when it does not.
pub fn check_live(
    organization: &Organization,
    agent: &Agent,
    credential: &Credential,
    issued_at: Timestamp,
) -> Result<(), Code> {
    if organization.status == OrganizationStatus::Suspended {
        return Err(Code::OrganizationSuspended);
    }
    agent.check_served()?;
    // A credential that has merely expired was good when it proved the agent.
    if credential.status == CredentialStatus::Revoked {
        return Err(Code::CredentialRevoked);
    }
    match revoked_until(organization, agent, credential) {
        Some(until) if issued_at <= until => Err(Code::TokenRevoked),
        _ => Ok(()),
    }
}

/// The moment at which a token is issued that is asked for at `now`: after the last revocation of
/// earlier ones, even when the clock went back since.
#[must_use]
pub fn issue_time(
    organization: &Organization,
    agent: &Agent,
    credential: &Credential,
    now: Timestamp,
) -> Timestamp {
    revoked_until(organization, agent, credential)
        .map_or(now, |until| now.max(until.plus(Duration::from_millis(1))))
}

/// Until when tokens are dead, by the latest of the three.
fn revoked_until(
    organization: &Organization,
    agent: &Agent,
    credential: &Credential,
) -> Option<Timestamp> {
    organization
        .tokens_revoked_until
        .max(agent.tokens_revoked_until)
        .max(credential.tokens_revoked_until)
}

/// The claims of an access token (RFC 9068, section 2.2).
#[derive(Debug, Clone, Serialize)]
pub struct Claims<'a> {
    /// The issuer, exactly as the metadata spells it.
    pub iss: &'a str,
    /// The agent.
    pub sub: AgentId,
    /// The agent again: it is its own client.
    pub client_id: AgentId,
    /// What the token is for: a string when there is one, an array when there are more.
    #[serde(serialize_with = "one_or_many")]
    pub aud: &'a [String],
    /// Seconds since 1970 at which the token expires.
    pub exp: i64,
    /// Seconds since 1970 at which it was issued.
    pub iat: i64,
    /// Its id.
    pub jti: TokenId,
    /// The scopes granted, with a space between them.
    pub scope: &'a str,
    /// The agent's tenant.
    pub organization_id: OrganizationId,
    /// The agent's type.
    pub agent_type: &'static str,
    /// The agent's version.
    pub agent_version: &'a str,
    /// The credential that proved the agent.
    pub cid: CredentialId,
}

fn one_or_many<S: serde::Serializer>(list: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match list {
        [one] => serializer.serialize_str(one),
        many => many.serialize(serializer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{AgentStatus, AgentType, DeploymentEnv};

    fn agent(capabilities: &str, audiences: &[&str]) -> Agent {
        Agent {
            id: AgentId::from_bytes([1; 16]),
            organization_id: OrganizationId::from_bytes([2; 16]),
            email: "a@acme.example".parse().unwrap(),
            agent_type: AgentType::Screener,
            version: semver::Version::new(1, 0, 0),
            capabilities: capabilities.parse().unwrap(),
            owner: "team-a".parse().unwrap(),
            deployment_env: DeploymentEnv::Production,
            status: AgentStatus::Active,
            audiences: audiences.iter().map(|text| text.parse().unwrap()).collect(),
            metadata: crate::Metadata::default(),
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
            last_auth_at: None,
            tokens_revoked_until: None,
            revision: 1,
        }
    }

    fn request(scope: Option<&str>, resources: &[&str]) -> TokenRequest {
        TokenRequest {
            scope: scope.map(|text| text.parse().unwrap()),
            resources: resources.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    const ISSUER: &str = "https://id.example";

    #[test]
    fn a_scope_beyond_the_capabilities_is_refused_and_never_trimmed() {
        let agent = agent("resume:read resume:write", &[]);
        let grant = |scope| {
            grant(&agent, &request(Some(scope), &[]), ISSUER).map(|grant| grant.scope.to_string())
        };
        assert_eq!(grant("resume:read").as_deref(), Ok("resume:read"));
        assert_eq!(
            grant("resume:read ledger:write"),
            Err(Code::ScopeNotAllowed)
        );
    }

    #[test]
    fn management_scopes_are_granted_only_by_name() {
        let agent = agent("resume:read agents:read", &[]);
        let grant = |scope| {
            grant(&agent, &request(scope, &[]), ISSUER)
                .unwrap()
                .scope
                .to_string()
        };
        assert_eq!(grant(None), "resume:read");
        assert_eq!(grant(Some("agents:read")), "agents:read");
    }

    #[test]
    fn who_has_only_management_scopes_and_names_none_gets_no_token_for_nothing() {
        let agent = agent("agents:read tokens:read", &[]);
        let grant = |scope| grant(&agent, &request(scope, &[]), ISSUER);
        assert_eq!(grant(None), Err(Code::ScopeNotAllowed));
        assert!(grant(Some("tokens:read")).is_ok());
    }

    #[test]
    fn the_audience_is_what_was_asked_and_allowed() {
        let none = agent("resume:read", &[]);
        let one = agent("resume:read", &["https://mcp.example/"]);
        let two = agent(
            "resume:read",
            &["https://mcp.example/", "https://b.example/x"],
        );
        let mcp = ["https://mcp.example"];
        let audience = |agent: &Agent, asked: &[&str]| {
            grant(agent, &request(None, asked), ISSUER).map(|grant| grant.audience.join(" "))
        };
        assert_eq!(audience(&none, &[]).as_deref(), Ok(ISSUER));
        assert_eq!(audience(&none, &[ISSUER]).as_deref(), Ok(ISSUER));
        assert_eq!(audience(&none, &mcp), Err(Code::ResourceNotAllowed));
        assert_eq!(audience(&one, &[]).as_deref(), Ok("https://mcp.example/"));
        assert_eq!(audience(&one, &mcp).as_deref(), Ok("https://mcp.example"));
        assert_eq!(audience(&one, &[ISSUER]), Err(Code::ResourceNotAllowed));
        assert_eq!(audience(&two, &[]), Err(Code::ResourceNotAllowed));
        assert_eq!(
            audience(&two, &["https://b.example/x", "https://mcp.example/"]).as_deref(),
            Ok("https://b.example/x https://mcp.example/")
        );
    }
}
