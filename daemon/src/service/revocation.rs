//! Revoking access tokens: one by itself (RFC 7009), or all that were issued until now for a
//! credential, an agent or an organization.
//!
//! A revoked token is kept by its `jti` until it would have expired. "Until now" stands in the record
//! that the tokens hang on, so nothing has to be kept for each of them.

use agentidp_shared::token::MAX_LIFETIME;
use agentidp_shared::{
    Action, AgentId, Code, CredentialId, Entry, OrganizationId, Outcome, Reason, Target,
    TargetKind, Timestamp, TokenId,
};

use super::bearer::{Counted, Identified, Origin, Presents};
use super::credential::name_credential;
use super::{Caller, Changed, Decided, Service, ServiceError};
use crate::crypto::jose::AccessToken;
use crate::store::{Commit, EntryFilter, Record, Temporary};

/// The scope that revoking other agents' tokens takes.
const SCOPE: &str = "tokens:write";

/// Names one access token. It may be the token, and so is never printed.
pub(crate) enum TokenRef {
    /// By itself.
    Token(String),
    /// By its id.
    Jti(TokenId),
}

/// Whose tokens are meant.
#[derive(Debug, Clone)]
pub(crate) enum IssuedTo {
    /// An agent's, by id or e-mail.
    Agent(String),
    /// Those issued for a credential.
    Credential(CredentialId),
    /// Those of all agents of an organization, by id or name.
    Organization(String),
}

/// A token that is to be revoked.
struct Doomed {
    jti: TokenId,
    agent: AgentId,
    organization: OrganizationId,
    expires_at: Timestamp,
}

impl From<&AccessToken> for Doomed {
    fn from(token: &AccessToken) -> Self {
        Self {
            jti: token.jti,
            agent: token.sub,
            organization: token.organization_id,
            expires_at: Timestamp::from_millis(token.exp.saturating_mul(1_000)),
        }
    }
}

impl Doomed {
    /// The commit, which also revokes the token.
    fn revoked_by(&self, commit: Commit) -> Commit {
        commit.keep(Temporary::revoked_token(self.jti, self.expires_at))
    }
}

fn to_client(code: Code) -> ServiceError {
    ServiceError::new(code, "the token belongs to another client")
}

impl Service {
    /// Revokes a token for a client: its own, or with `tokens:write` any of its organization. What is
    /// no token, or not one of the organization's, is answered as if it had been revoked
    /// (RFC 7009, section 2.2).
    ///
    /// # Errors
    ///
    /// The codes of client authentication; `INVALID_TOKEN`; `INSUFFICIENT_SCOPE` for the token of
    /// another agent of the organization.
    pub(crate) async fn revoke_for_client(
        &self,
        presents: &Presents,
        token: &str,
        origin: Origin,
    ) -> Result<Counted<()>, ServiceError> {
        let action = Action::TokenRevoke;
        let identified = self.identify(presents, SCOPE, action, origin).await?;
        self.revoke_for(&identified, token).await?;
        Ok(identified.counted(()))
    }

    async fn revoke_for(&self, identified: &Identified, token: &str) -> Result<(), ServiceError> {
        let action = Action::TokenRevoke;
        let token = self.verified(token, self.now());
        let own = token.filter(|it| it.organization_id == identified.organization);
        let Some(token) = own else {
            return self.refuse(identified, action, Code::InvalidToken).await;
        };
        if token.sub != identified.agent && !identified.is_allowed {
            let code = Code::InsufficientScope;
            self.refuse(identified, action, code).await?;
            return Err(to_client(code));
        }
        let doomed = Doomed::from(token.as_ref());
        let entry = self.revocation(&identified.caller, &doomed, None);
        let commit = doomed.revoked_by(identified.commit_of(entry.clone()));
        let revoked = self.commit_identified(identified, commit, action).await;
        match revoked {
            Err(error) if error.code == Code::InvalidState => {}
            done => return done.map(drop),
        }
        // It was revoked before, and that is what was asked for: only the assertion is left to be used up.
        if identified.uses_assertion() {
            let commit = identified.commit_of(entry);
            self.commit_identified(identified, commit, action).await?;
        }
        Ok(())
    }

    /// Revokes one token for an operator; gives the entry that says so.
    ///
    /// # Errors
    ///
    /// `INVALID_TOKEN` when it is none of this server's, has expired, or was never issued;
    /// `INVALID_ARGUMENT` when the reason is missing.
    pub(crate) async fn revoke_token(
        &self,
        caller: &Caller,
        token: TokenRef,
        reason: Option<Reason>,
    ) -> Result<u64, ServiceError> {
        let reason = required(reason)?;
        let doomed = match token {
            TokenRef::Token(token) => {
                let token = self.verified(&token, self.now());
                token.map(|token| Doomed::from(token.as_ref()))
            }
            TokenRef::Jti(jti) => self.issued(jti).await?,
        };
        let doomed = doomed.filter(|it| caller.reach.has(it.organization));
        let doomed = doomed.ok_or_else(|| {
            ServiceError::new(
                Code::InvalidToken,
                "the token is not one of this server's, or has expired",
            )
        })?;
        self.revoke_doomed(caller, &doomed, Some(reason)).await
    }

    /// Revokes every token that was issued until now for a credential, an agent or an organization;
    /// gives the moment and the entry that says so.
    ///
    /// # Errors
    ///
    /// What it is to be found by is not; `INVALID_ARGUMENT` when the reason is missing.
    pub(crate) async fn revoke_issued(
        &self,
        caller: &Caller,
        issued_to: IssuedTo,
        reason: Option<Reason>,
    ) -> Result<(Timestamp, u64), ServiceError> {
        let reason = required(reason)?;
        let revoked = self.decided_anew(|| {
            let mut entry = self.entry(caller, Action::TokenRevoke, Outcome::Success);
            entry.reason = Some(reason.clone());
            let (until, commit) = self.revoking_issued(caller, &issued_to, entry)?;
            Ok(Decided::Now(until, commit))
        });
        let Changed { record, audit_seq } = revoked.await?;
        Ok((record, audit_seq))
    }

    fn revoking_issued(
        &self,
        caller: &Caller,
        issued_to: &IssuedTo,
        mut entry: Entry,
    ) -> Result<(Timestamp, Commit), ServiceError> {
        let until = |said: Option<Timestamp>| self.after_every_token(said);
        let (time, record) = match issued_to {
            IssuedTo::Agent(agent) => {
                let mut agent = self.find_agent(caller, agent)?.record.clone();
                let time = until(agent.tokens_revoked_until);
                entry.organization_id = Some(agent.organization_id);
                agent.tokens_revoked_until = Some(time);
                agent.updated_at = entry.time;
                agent.revision += 1;
                (time, Record::Agent(agent))
            }
            IssuedTo::Credential(id) => {
                let mut record = self.require_credential(caller, *id)?.record.clone();
                let time = until(record.credential.tokens_revoked_until);
                name_credential(&mut entry, &record.credential);
                record.credential.tokens_revoked_until = Some(time);
                record.credential.revision += 1;
                (time, Record::Credential(record))
            }
            IssuedTo::Organization(organization) => {
                let found = self.find_organization(caller, organization)?;
                let mut organization = found.record.clone();
                let time = until(organization.tokens_revoked_until);
                entry.organization_id = Some(organization.id);
                organization.tokens_revoked_until = Some(time);
                organization.updated_at = entry.time;
                organization.revision += 1;
                (time, Record::Organization(organization))
            }
        };
        Ok((time, Commit::new(entry).put(record)))
    }

    /// Revokes one token. One that is revoked already is answered with the newest entry of it.
    async fn revoke_doomed(
        &self,
        caller: &Caller,
        doomed: &Doomed,
        reason: Option<Reason>,
    ) -> Result<u64, ServiceError> {
        let commit = doomed.revoked_by(Commit::new(self.revocation(caller, doomed, reason)));
        match self.commit(commit).await {
            Err(error) if error.code == Code::InvalidState => {
                let found = self.entry_of(doomed.jti, Action::TokenRevoke).await?;
                Ok(found.map_or(0, |entry| entry.seq))
            }
            other => other,
        }
    }

    /// The entry of the revocation of one token.
    fn revocation(&self, caller: &Caller, doomed: &Doomed, reason: Option<Reason>) -> Entry {
        let mut entry = self.entry(caller, Action::TokenRevoke, Outcome::Success);
        entry.organization_id = Some(doomed.organization);
        entry.agent_id = Some(doomed.agent);
        entry.jti = Some(doomed.jti);
        entry.expires_at = Some(doomed.expires_at);
        entry.reason = reason;
        entry.target = Some(Target {
            kind: TargetKind::Token,
            id: doomed.jti.to_string(),
            revision: None,
            digest: None,
        });
        entry
    }

    /// A token by the entry of its issuance, if it has not expired.
    async fn issued(&self, jti: TokenId) -> Result<Option<Doomed>, ServiceError> {
        if jti.made_at().plus(MAX_LIFETIME) <= self.now() {
            return Ok(None);
        }
        let entry = self.entry_of(jti, Action::TokenIssue).await?;
        let doomed = entry.and_then(|entry| {
            Some(Doomed {
                jti,
                agent: entry.actor.id?.parse().ok()?,
                organization: entry.organization_id?,
                expires_at: entry.expires_at?,
            })
        });
        Ok(doomed.filter(|it| it.expires_at > self.now()))
    }

    /// The newest successful entry of `action` about a token.
    async fn entry_of(&self, jti: TokenId, action: Action) -> Result<Option<Entry>, ServiceError> {
        let filter = EntryFilter {
            action: Some(action),
            outcome: Some(Outcome::Success),
            jti: Some(jti),
            ..EntryFilter::default()
        };
        let mut before = None;
        loop {
            let page = self.list_entries(before, filter.clone(), 1).await?;
            if let Some(found) = page.entries.first() {
                return Ok(serde_json::from_slice(&found.json).ok());
            }
            match page.next_before {
                Some(next) => before = Some(next),
                None => return Ok(None),
            }
        }
    }
}

fn required(reason: Option<Reason>) -> Result<Reason, ServiceError> {
    reason.ok_or_else(|| {
        ServiceError::new(
            Code::InvalidArgument,
            "reason: must be given, for the audit log",
        )
    })
}
