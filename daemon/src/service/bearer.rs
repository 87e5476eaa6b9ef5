//! Who may use the management interface: by an access token of this server, or by client
//! authentication where a standard lets clients have it.

use std::net::IpAddr;

use agentidp_shared::{
    Action, Actor, Agent, AgentId, Code, Entry, OrganizationId, Outcome, RequestId, RequestKind,
    Timestamp,
};

use super::authenticate::Presented;
use super::{Caller, Reach, Service, ServiceError};
use crate::store::{Commit, Temporary};

/// A request at the agents' interface.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    /// Where it came from.
    pub(crate) address: IpAddr,
    /// Its id.
    pub(crate) request_id: RequestId,
}

/// What a request presents to say who it is from.
#[derive(Debug)]
pub(crate) enum Presents {
    /// Client authentication.
    Client(Presented),
    /// An access token (RFC 6750).
    Bearer(String),
}

/// A caller who has proved to be an agent.
pub(crate) struct Identified {
    /// The caller.
    pub(crate) caller: Caller,
    /// The agent.
    pub(crate) agent: AgentId,
    /// The agent's organization.
    pub(crate) organization: OrganizationId,
    /// Whether it may do what the scope that was asked for governs.
    pub(crate) is_allowed: bool,
    /// Whether an access token said so, and not client authentication.
    is_by_token: bool,
}

impl Service {
    /// Lets a request through that carries an access token with `scope` for this server.
    ///
    /// # Errors
    ///
    /// `INVALID_TOKEN`, `INSUFFICIENT_SCOPE`, `RATE_LIMITED`.
    pub(crate) fn authorize(
        &self,
        bearer: &str,
        scope: &str,
        action: Action,
        origin: Origin,
    ) -> Result<Caller, ServiceError> {
        let identified = self.identify_bearer(bearer, scope, action, origin)?;
        if identified.is_allowed {
            return Ok(identified.caller);
        }
        Err(self.refuse_scope(&identified, scope, action))
    }

    /// Says that a caller lacks `scope`, to them and to the log.
    pub(super) fn refuse_scope(
        &self,
        identified: &Identified,
        scope: &str,
        action: Action,
    ) -> ServiceError {
        let code = Code::InsufficientScope;
        let mut entry = self.entry(&identified.caller, action, Outcome::Denied);
        entry.organization_id = Some(identified.organization);
        entry.code = Some(code);
        self.deny(entry, identified.agent);
        let message = if identified.is_by_token {
            format!(
                "the token lacks the scope {scope}, or its agent the capability: ask for one with scope={scope}"
            )
        } else {
            format!("the agent lacks the capability {scope}: an operator can give it")
        };
        ServiceError::new(code, message).with("scope", scope)
    }

    /// Finds out who a request is from, and whether it has `scope`. An assertion that was used is
    /// durably used when this returns.
    ///
    /// # Errors
    ///
    /// The codes of client authentication; `INVALID_TOKEN`, `RATE_LIMITED`.
    pub(super) async fn identify(
        &self,
        presents: &Presents,
        scope: &str,
        action: Action,
        origin: Origin,
    ) -> Result<Identified, ServiceError> {
        match presents {
            Presents::Bearer(bearer) => self.identify_bearer(bearer, scope, action, origin),
            Presents::Client(client) => self.identify_client(client, scope, action, origin).await,
        }
    }

    fn identify_bearer(
        &self,
        bearer: &str,
        scope: &str,
        action: Action,
        origin: Origin,
    ) -> Result<Identified, ServiceError> {
        let now = self.now();
        let refused = || {
            ServiceError::new(
                Code::InvalidToken,
                "the token is not one of this server's, has expired, is revoked, or its agent is not served now",
            )
        };
        let Some(token) = self.verified(bearer, now) else {
            self.deny_stranger(
                origin.address,
                Code::InvalidToken,
                Some(origin.request_id),
                action,
            );
            return Err(refused());
        };
        // Its bearer can read in the token whom it is for, so that may be said.
        let issuer = &self.settings.issuer;
        let live = if token.aud.iter().any(|audience| audience == issuer) {
            self.check_live(&token, now)?
        } else {
            Err(Code::ResourceNotAllowed)
        };
        let agent = self.store.agent(token.sub)?;
        let (Ok(()), Some(agent)) = (live, agent) else {
            let actor = Actor::client(origin.address.to_string());
            let mut entry = Entry::new(now, actor, action, Outcome::Denied);
            entry.organization_id = Some(token.organization_id);
            entry.agent_id = Some(token.sub);
            entry.jti = Some(token.jti);
            entry.code = Some(live.err().unwrap_or(Code::InvalidToken));
            entry.request_id = Some(origin.request_id);
            self.deny_claim(entry, token.sub, origin.address);
            return Err(match live {
                Err(Code::ResourceNotAllowed) => for_another_audience(issuer),
                _ => refused(),
            });
        };
        // A token is worth what it says and the agent still has, not what its agent could ask for.
        let power = token.scope.common_with(&agent.record.capabilities);
        let mut identified = Identified {
            is_by_token: true,
            is_allowed: power.iter().any(|has| has.as_str() == scope),
            ..identified(&agent.record, origin)
        };
        identified.caller.ceiling = Some(power);
        self.count(&identified, scope, action)?;
        Ok(identified)
    }

    /// Counts a request of a caller who is known, by the scope that it takes: whoever may only read
    /// changes nothing.
    fn count(
        &self,
        identified: &Identified,
        scope: &str,
        action: Action,
    ) -> Result<(), ServiceError> {
        let kind = if scope.ends_with(":read") {
            RequestKind::Read
        } else {
            RequestKind::Write
        };
        self.admit(kind, identified.agent, identified.organization, || {
            let mut entry = self.entry(&identified.caller, action, Outcome::Denied);
            entry.organization_id = Some(identified.organization);
            entry
        })?;
        Ok(())
    }

    async fn identify_client(
        &self,
        client: &Presented,
        scope: &str,
        action: Action,
        origin: Origin,
    ) -> Result<Identified, ServiceError> {
        let now = self.now();
        let authenticated = match self.authenticate(client, now).await? {
            Ok(authenticated) => authenticated,
            Err(failure) => {
                self.deny_authentication(origin, now, &failure, action);
                return Err(ServiceError::new(
                    failure.code,
                    "client authentication failed",
                ));
            }
        };
        let agent = &authenticated.agent.record;
        let identified = Identified {
            is_allowed: agent.capabilities.iter().any(|has| has.as_str() == scope),
            ..identified(agent, origin)
        };
        // Before the assertion is used up: it is still good for another try.
        self.count(&identified, scope, action)?;
        if let Some(used) = authenticated.used {
            let mut entry = self.entry(&identified.caller, action, Outcome::Success);
            entry.organization_id = Some(agent.organization_id);
            entry.credential_id = Some(authenticated.credential.record.credential.id);
            self.use_assertion(entry, used, origin, now).await?;
        }
        Ok(identified)
    }

    /// Makes it durable that an assertion has been used.
    async fn use_assertion(
        &self,
        entry: Entry,
        used: Temporary,
        origin: Origin,
        now: Timestamp,
    ) -> Result<(), ServiceError> {
        let (action, agent) = (entry.action, entry.actor.id.clone());
        let Err(error) = self.commit(Commit::new(entry).keep(used)).await else {
            return Ok(());
        };
        if error.code == Code::ReplayedAssertion {
            let actor = Actor::client(origin.address.to_string());
            let mut entry = Entry::new(now, actor, action, Outcome::Denied);
            entry.code = Some(error.code);
            entry.request_id = Some(origin.request_id);
            if let Some(agent) = agent.and_then(|id| id.parse().ok()) {
                entry.agent_id = Some(agent);
                self.deny_claim(entry, agent, origin.address);
            }
        }
        Err(error)
    }
}

fn for_another_audience(issuer: &str) -> ServiceError {
    let message = format!(
        "the token is for another audience: ask for one with resource={issuer}, which an agent with audiences of its own needs among them"
    );
    ServiceError::new(Code::InvalidToken, message)
}

/// The agent as a caller.
fn identified(agent: &Agent, origin: Origin) -> Identified {
    let actor = Actor {
        id: Some(agent.id.to_string()),
        name: Some(agent.email.to_string()),
        ..Actor::client(origin.address.to_string())
    };
    Identified {
        caller: Caller {
            actor,
            request_id: origin.request_id,
            reach: Reach::only(agent.organization_id),
            ceiling: Some(agent.capabilities.clone()),
            idempotency: None,
        },
        agent: agent.id,
        organization: agent.organization_id,
        is_allowed: false,
        is_by_token: false,
    }
}
