//! Who may use the management interface: by an access token of this server, or by client
//! authentication where a standard lets clients have it.

use std::net::IpAddr;

use agentidp_shared::{
    Action, Actor, Agent, AgentId, Code, CredentialId, Entry, Headroom, OrganizationId, Outcome,
    RequestId, RequestKind,
};

use zeroize::Zeroizing;

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

/// What came of a request that was counted for whoever made it.
#[derive(Debug)]
pub(crate) struct Counted<T> {
    /// What came of it.
    pub(crate) value: T,
    /// What the agent may still ask, or its organization where that is less.
    pub(crate) headroom: Option<Headroom>,
}

/// What a request presents to say who it is from: a secret, which is never printed.
pub(crate) enum Presents {
    /// Client authentication.
    Client(Presented),
    /// An access token (RFC 6750).
    Bearer(Zeroizing<String>),
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
    address: IpAddr,
    /// What is left since the request was counted.
    headroom: Option<Headroom>,
    /// What proved it in client authentication.
    pub(super) credential: Option<CredentialId>,
    /// The client assertion that did, which is used up by the request that it came with.
    used: Option<Temporary>,
}

impl Identified {
    /// A commit of `entry`, which says what the request came to and by which credential it was made, and with
    /// it that the caller's assertion is used up.
    pub(super) fn commit_of(&self, mut entry: Entry) -> Commit {
        entry.credential_id = self.credential;
        let commit = Commit::new(entry);
        match &self.used {
            Some(assertion) => commit.keep(assertion.clone()),
            None => commit,
        }
    }

    /// What came of the caller's request, with what may still be asked.
    pub(super) const fn counted<T>(&self, value: T) -> Counted<T> {
        Counted {
            value,
            headroom: self.headroom,
        }
    }

    /// Whether the caller's request is to be durable whatever it comes to.
    pub(super) const fn uses_assertion(&self) -> bool {
        self.used.is_some()
    }
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
    ) -> Result<Counted<Caller>, ServiceError> {
        let identified = self.identify_bearer(bearer, scope, action, origin)?;
        if identified.is_allowed {
            return Ok(Counted {
                value: identified.caller,
                headroom: identified.headroom,
            });
        }
        let code = Code::InsufficientScope;
        self.deny(self.refusal(&identified, action, code), identified.agent);
        Err(lacks_scope(&identified, scope))
    }

    /// The entry that says that an identified caller was refused.
    fn refusal(&self, identified: &Identified, action: Action, code: Code) -> Entry {
        let mut entry = self.entry(&identified.caller, action, Outcome::Denied);
        entry.organization_id = Some(identified.organization);
        entry.code = Some(code);
        entry
    }

    /// Says to the log that a caller lacks `scope`; gives what is said to them.
    ///
    /// # Errors
    ///
    /// As [`refuse`](Self::refuse).
    pub(super) async fn refuse_scope(
        &self,
        identified: &Identified,
        scope: &str,
        action: Action,
    ) -> Result<ServiceError, ServiceError> {
        self.refuse(identified, action, Code::InsufficientScope)
            .await?;
        Ok(lacks_scope(identified, scope))
    }

    /// Puts into the log that an identified caller was refused; with it, durably, that their assertion is
    /// used up.
    ///
    /// # Errors
    ///
    /// `REPLAYED_ASSERTION`; when the store cannot be written.
    pub(super) async fn refuse(
        &self,
        identified: &Identified,
        action: Action,
        code: Code,
    ) -> Result<(), ServiceError> {
        let entry = self.refusal(identified, action, code);
        if !identified.uses_assertion() {
            self.deny(entry, identified.agent);
            return Ok(());
        }
        self.metrics.denials.agent(code);
        self.commit_identified(identified, identified.commit_of(entry), action)
            .await?;
        Ok(())
    }

    /// Makes a commit that came [from](Identified::commit_of) an identified caller; gives the place of its
    /// first entry. That the caller's assertion was used before is put into the log.
    ///
    /// # Errors
    ///
    /// `REPLAYED_ASSERTION`; whatever else the commit comes to.
    pub(super) async fn commit_identified(
        &self,
        identified: &Identified,
        commit: Commit,
        action: Action,
    ) -> Result<u64, ServiceError> {
        let committed = self.commit(commit).await;
        if let Err(error) = &committed
            && error.code == Code::ReplayedAssertion
        {
            // Whoever sends it a second time has not proved to be the agent.
            let mut entry = self.refusal(identified, action, error.code);
            entry.actor.id = None;
            entry.actor.name = None;
            entry.organization_id = None;
            entry.agent_id = Some(identified.agent);
            self.deny_claim(entry, identified.agent, identified.address);
        }
        committed
    }
}

/// What is said to a caller who lacks `scope`.
fn lacks_scope(identified: &Identified, scope: &str) -> ServiceError {
    let message = if identified.is_by_token {
        format!(
            "the token lacks the scope {scope}, or its agent the capability: ask for one with scope={scope}"
        )
    } else {
        format!("the agent lacks the capability {scope}: an operator can give it")
    };
    ServiceError::new(Code::InsufficientScope, message).with("scope", scope)
}

impl Service {
    /// Finds out who a request is from, and whether it has `scope`. An assertion is used up by the
    /// [commit](Identified::commit_of) of what becomes of the request.
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
        identified.headroom = self.count(&identified, scope, action)?;
        Ok(identified)
    }

    /// Counts a request of a caller who is known, by the scope that it takes: whoever may only read
    /// changes nothing. Gives what is left.
    fn count(
        &self,
        identified: &Identified,
        scope: &str,
        action: Action,
    ) -> Result<Option<Headroom>, ServiceError> {
        let kind = if scope.ends_with(":read") {
            RequestKind::Read
        } else {
            RequestKind::Write
        };
        self.admit(kind, identified.agent, identified.organization, || {
            let mut entry = self.entry(&identified.caller, action, Outcome::Denied);
            entry.organization_id = Some(identified.organization);
            entry
        })
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
        let mut identified = Identified {
            is_allowed: agent.capabilities.iter().any(|has| has.as_str() == scope),
            credential: Some(authenticated.credential.record.credential.id),
            used: authenticated.used,
            ..identified(agent, origin)
        };
        // Before the assertion is used up: it is still good for another try.
        identified.headroom = self.count(&identified, scope, action)?;
        Ok(identified)
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
        address: origin.address,
        headroom: None,
        credential: None,
        used: None,
    }
}
