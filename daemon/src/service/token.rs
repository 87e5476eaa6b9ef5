//! Issuing access tokens: the path that everything else is kept out of the way of.

use std::time::Duration;

use agentidp_shared::token::{Claims, TokenRequest, grant, issue_time};
use agentidp_shared::{
    Action, Actor, Code, Entry, Headroom, Outcome, RequestKind, ScopeSet, Timestamp, TokenId,
};
use zeroize::Zeroizing;

use super::authenticate::{Authenticated, Failure, Presented};
use super::bearer::{Counted, Origin};
use super::{ATTEMPTS, Service, ServiceError};
use crate::clock::random;
use crate::store::{Commit, RecordKey};

/// A request for a token, parsed. It has secrets, and so is never printed.
pub(crate) struct IssueRequest {
    /// The client authentication.
    pub(crate) client: Presented,
    /// What is asked for.
    pub(crate) token: TokenRequest,
    /// Where the request came from, and its id.
    pub(crate) origin: Origin,
}

/// A token, to be given out: its issuance is durable. It is never printed.
pub(crate) struct IssuedToken {
    /// The token.
    pub(crate) access_token: Zeroizing<String>,
    /// How long it lives.
    pub(crate) expires_in: Duration,
    /// What it grants.
    pub(crate) scope: ScopeSet,
}

impl Service {
    /// Issues an access token, once its audit entry is durable.
    ///
    /// # Errors
    ///
    /// One of the codes of client authentication, `SCOPE_NOT_ALLOWED`, `RESOURCE_NOT_ALLOWED`,
    /// `RATE_LIMITED`, `OVERLOADED`, `STORE_UNAVAILABLE`, `STORAGE_LOW`, `CLOCK_AHEAD`.
    pub(crate) async fn issue(
        &self,
        request: &IssueRequest,
    ) -> Result<Counted<IssuedToken>, ServiceError> {
        self.check_issuing(request.origin)?;
        // However often it is decided, it is one request.
        let mut counted = None;
        for _ in 0..ATTEMPTS {
            let now = self.now();
            let client = match self.authenticate(&request.client, now).await? {
                Ok(client) => client,
                Err(failure) => return Err(self.refuse_client(request, now, &failure)),
            };
            let headroom = match counted {
                Some(headroom) => headroom,
                None => *counted.insert(self.admit_to_token(request, &client, now)?),
            };
            match self.issue_to(request, &client, now).await {
                // Found out only by the commit: another request with the same assertion was before it.
                Err(error) if error.code == Code::ReplayedAssertion => {
                    let failure = Failure::replayed(client.agent, &client.credential.record);
                    return Err(self.refuse_client(request, now, &failure));
                }
                Ok(value) => return Ok(Counted { value, headroom }),
                // A record changed while the token was made: it is decided anew on what is true now.
                Err(error) if error.code == Code::RevisionConflict => {}
                Err(error) => return Err(error),
            }
        }
        Err(ServiceError::new(
            Code::Overloaded,
            "the agent's records keep changing: try again in a second",
        ))
    }

    fn admit_to_token(
        &self,
        request: &IssueRequest,
        client: &Authenticated,
        now: Timestamp,
    ) -> Result<Option<Headroom>, ServiceError> {
        let (agent, organization) = (client.agent.record.id, client.organization.record.id);
        self.admit(RequestKind::Token, agent, organization, || {
            token_entry(request, client, now, Outcome::Denied)
        })
    }

    pub(super) async fn issue_to(
        &self,
        request: &IssueRequest,
        client: &Authenticated,
        now: Timestamp,
    ) -> Result<IssuedToken, ServiceError> {
        let (agent, credential) = (&client.agent.record, &client.credential.record.credential);
        let organization = &client.organization.record;
        if let Err(error) = self.check_token_quota(organization, now) {
            self.deny_grant(request, client, now, error.code);
            return Err(error);
        }
        let grant = match grant(agent, &request.token, &self.settings.default_audience) {
            Ok(grant) => grant,
            Err(code) => {
                self.deny_grant(request, client, now, code);
                return Err(ServiceError::new(code, grant_refusal(code, &request.token)));
            }
        };
        // Only its id is dated after what ended earlier tokens: `exp` and the entry go by the daemon's time.
        let issued_at = issue_time(organization, agent, credential, now);
        self.note_issue(issued_at);
        let jti = TokenId::new(issued_at, random(self.random.as_ref()));
        let expires = now.plus(self.settings.token_lifetime);
        let (scope, version) = (grant.scope.to_string(), agent.version.to_string());
        let access_token = self.keyring().active().sign(&Claims {
            iss: &self.settings.issuer,
            sub: agent.id,
            client_id: agent.id,
            aud: &grant.audience,
            exp: expires.as_secs(),
            iat: now.as_secs(),
            jti,
            scope: &scope,
            organization_id: agent.organization_id,
            agent_type: agent.agent_type.as_str(),
            agent_version: &version,
            cid: credential.id,
        })?;

        let mut entry = token_entry(request, client, now, Outcome::Success);
        entry.jti = Some(jti);
        entry.scope = Some(scope);
        entry.audience = grant.audience;
        entry.expires_at = Some(expires);
        let commit = Commit::new(entry)
            .require(
                RecordKey::Organization(organization.id),
                organization.revision,
            )
            .require(RecordKey::Agent(agent.id), agent.revision)
            .require(RecordKey::Credential(credential.id), credential.revision);
        let commit = match &client.used {
            Some(used) => commit.keep(used.clone()),
            None => commit,
        };
        self.store.commit(commit).await?;
        self.activity.issued(agent.id, now);
        Ok(IssuedToken {
            access_token,
            expires_in: self.settings.token_lifetime,
            scope: grant.scope,
        })
    }

    fn deny_grant(
        &self,
        request: &IssueRequest,
        client: &Authenticated,
        now: Timestamp,
        code: Code,
    ) {
        let mut entry = token_entry(request, client, now, Outcome::Denied);
        entry.code = Some(code);
        match code {
            Code::ScopeNotAllowed => {
                entry.scope = request.token.scope.as_ref().map(ToString::to_string);
            }
            _ => {
                entry.audience = request
                    .token
                    .resources
                    .iter()
                    .map(ToString::to_string)
                    .collect();
            }
        }
        self.deny(entry, client.agent.record.id);
    }

    /// Puts into the log, or counts, that client authentication failed.
    pub(super) fn deny_authentication(
        &self,
        origin: Origin,
        now: Timestamp,
        failure: &Failure,
        action: Action,
    ) {
        let has_entry = self.deny_failure(origin, now, failure, action);
        // Bounded as the entries are: otherwise strangers could fill the log with it.
        if let Some(why) = failure.why.as_ref().filter(|_| has_entry) {
            tracing::info!(error = %why, "a client assertion was refused");
        }
    }

    /// Notes that a client is not authenticated; gives what it is told.
    fn refuse_client(
        &self,
        request: &IssueRequest,
        now: Timestamp,
        failure: &Failure,
    ) -> ServiceError {
        self.deny_authentication(request.origin, now, failure, Action::TokenIssue);
        ServiceError::new(failure.code, "client authentication failed")
    }

    /// Gives whether the failure has an entry of its own.
    fn deny_failure(
        &self,
        origin: Origin,
        now: Timestamp,
        failure: &Failure,
        action: Action,
    ) -> bool {
        let Some(agent) = &failure.agent else {
            let (address, id) = (origin.address, Some(origin.request_id));
            return self.deny_stranger(address, failure.code, id, action);
        };
        // Nobody proved to be the agent, so the entry concerns it and does not name it as actor.
        let actor = Actor::client(origin.address.to_string());
        let mut entry = Entry::new(now, actor, action, Outcome::Denied);
        entry.organization_id = Some(agent.record.organization_id);
        entry.agent_id = Some(agent.record.id);
        entry.credential_id = failure.credential_id;
        entry.code = Some(failure.code);
        entry.request_id = Some(origin.request_id);
        self.deny_claim(entry, agent.record.id, origin.address)
    }
}

fn token_entry(
    request: &IssueRequest,
    client: &Authenticated,
    now: Timestamp,
    outcome: Outcome,
) -> Entry {
    let agent = &client.agent.record;
    let actor = Actor {
        id: Some(agent.id.to_string()),
        name: Some(agent.email.to_string()),
        ..Actor::client(request.origin.address.to_string())
    };
    let mut entry = Entry::new(now, actor, Action::TokenIssue, outcome);
    entry.organization_id = Some(agent.organization_id);
    entry.credential_id = Some(client.credential.record.credential.id);
    entry.request_id = Some(request.origin.request_id);
    entry
}

const fn grant_refusal(code: Code, asked: &TokenRequest) -> &'static str {
    match code {
        Code::ScopeNotAllowed if asked.scope.is_none() => {
            "nothing is granted: the agent has management scopes alone, and each of those is granted only when scope names it"
        }
        Code::ScopeNotAllowed => "the scope is beyond the agent's capabilities",
        _ => {
            "the resource is not one that the agent may ask tokens for; an agent with several must name one"
        }
    }
}
