//! Credentials: issuing, rotating with overlap, revoking.

use std::sync::Arc;
use std::time::Duration;

use agentidp_shared::credential::MAX_LIVE_CREDENTIALS;
use agentidp_shared::{
    Action, Agent, AgentId, ClientSecret, Code, Credential, CredentialId, CredentialKind,
    CredentialStatus, Outcome, Reason, Timestamp,
};

use super::agent::revoke;
use super::{ATTEMPTS, Caller, Changed, Service, ServiceError, check_done_already, check_revision};
use crate::clock::random;
use crate::store::{Commit, CredentialRecord, Record, RecordKey, Stored};

/// How long a rotated credential is still accepted when nothing else is said.
const DEFAULT_GRACE: Duration = Duration::from_hours(24);
/// The longest grace.
const MAX_GRACE: Duration = Duration::from_hours(90 * 24);
/// The longest life that a credential may be given.
const MAX_EXPIRY: Duration = Duration::from_hours(10 * 365 * 24);

/// A credential that has just been issued. The secret is in it this once.
#[derive(Debug)]
pub(crate) struct Issued {
    /// The credential.
    pub(crate) credential: Credential,
    /// The one that it replaces.
    pub(crate) retiring: Option<Credential>,
    /// Its secret.
    pub(crate) secret: ClientSecret,
    /// The audit entry.
    pub(crate) audit_seq: u64,
}

impl Service {
    /// Issues a client secret to an agent.
    ///
    /// # Errors
    ///
    /// `AGENT_NOT_FOUND`; `INVALID_STATE` when the agent has ended; `LIMIT_REACHED` when it has as
    /// many credentials as it may; `INVALID_ARGUMENT` for an expiry out of range.
    pub(crate) async fn issue_credential(
        &self,
        caller: &Caller,
        agent: &str,
        expires_in: Option<Duration>,
    ) -> Result<Issued, ServiceError> {
        if expires_in.is_some_and(|life| life < Duration::from_secs(1) || life > MAX_EXPIRY) {
            return Err(ServiceError::new(
                Code::InvalidArgument,
                "expires_in: must be between 1 s and 10 years",
            ));
        }
        let agent = self.find_agent(agent)?;
        let (mut record, secret) = self.new_credential(&agent.record).await?;
        let _set = self.credentials.lock().await;
        let agent = self.require_agent(agent.record.id)?;
        self.check_may_have_another(&agent.record)?;
        record.credential.expires_at =
            expires_in.map(|life| record.credential.created_at.plus(life));

        let mut entry = self.entry(
            caller,
            Action::CredentialIssue,
            agentidp_shared::Outcome::Success,
        );
        entry.organization_id = Some(agent.record.organization_id);
        entry.agent_id = Some(agent.record.id);
        entry.expires_at = record.credential.expires_at;
        let commit = Commit::new(entry)
            .require(RecordKey::Agent(agent.record.id), agent.record.revision)
            .put(Record::Credential(record.clone()));
        let seq = self.commit(commit).await?;
        Ok(Issued {
            credential: record.credential,
            retiring: None,
            secret,
            audit_seq: seq,
        })
    }

    /// Issues a successor to a credential. The old one is accepted for `grace` more (default 24 h;
    /// zero revokes it at once) and never longer than it would have been.
    ///
    /// # Errors
    ///
    /// `CREDENTIAL_NOT_FOUND`, `REVISION_CONFLICT`; `INVALID_STATE` when the credential is not
    /// active; `INVALID_ARGUMENT` for a grace out of range.
    pub(crate) async fn rotate_credential(
        &self,
        caller: &Caller,
        id: CredentialId,
        grace: Option<Duration>,
        seen: u64,
    ) -> Result<Issued, ServiceError> {
        let grace = grace.unwrap_or(DEFAULT_GRACE);
        if grace > MAX_GRACE {
            return Err(ServiceError::new(
                Code::InvalidArgument,
                "grace: must be at most 90 days",
            ));
        }
        let old = self.require_credential(id)?;
        check_revision(seen, old.record.credential.revision)?;
        let status = old.record.credential.status_at(self.now());
        if status != CredentialStatus::Active {
            let message = format!(
                "the credential is {status}: only an active one can be rotated, issue a new one instead"
            );
            return Err(ServiceError::new(Code::InvalidState, message));
        }
        let agent = self.require_agent(old.record.credential.agent_id)?;
        let (mut record, secret) = self.new_credential(&agent.record).await?;
        let _set = self.credentials.lock().await;
        let agent = self.require_agent(agent.record.id)?;
        self.check_may_have_another(&agent.record)?;
        let now = record.credential.created_at;
        record.credential.expires_at = renewed_expiry(&old.record.credential, now);
        let retiring = retire(&old.record, now, grace);

        let mut rotated = self.entry(caller, Action::CredentialRotate, Outcome::Success);
        rotated.organization_id = Some(agent.record.organization_id);
        rotated.agent_id = Some(agent.record.id);
        rotated.credential_id = Some(record.credential.id);
        rotated.expires_at = retiring.credential.retires_at;
        let mut issued = self.entry(caller, Action::CredentialIssue, Outcome::Success);
        issued.organization_id = Some(agent.record.organization_id);
        issued.agent_id = Some(agent.record.id);
        issued.credential_id = Some(id);
        issued.expires_at = record.credential.expires_at;
        let commit = Commit::new(rotated)
            .put(Record::Credential(retiring.clone()))
            .and(issued)
            .put(Record::Credential(record.clone()))
            .require(RecordKey::Agent(agent.record.id), agent.record.revision);
        let seq = self.commit(commit).await?;
        Ok(Issued {
            credential: record.credential,
            retiring: Some(retiring.credential),
            secret,
            audit_seq: seq,
        })
    }

    /// Cuts a credential off. One that is cut off already is answered with the first time.
    ///
    /// # Errors
    ///
    /// `CREDENTIAL_NOT_FOUND`, `REVISION_CONFLICT`, `INVALID_ARGUMENT` when the reason is missing.
    pub(crate) async fn revoke_credential(
        &self,
        caller: &Caller,
        id: CredentialId,
        reason: Option<Reason>,
        seen: u64,
    ) -> Result<Changed<Credential>, ServiceError> {
        let Some(reason) = reason else {
            return Err(ServiceError::new(
                Code::InvalidArgument,
                "reason: must be given, for the audit log",
            ));
        };
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            let current = self.require_credential(id)?;
            if current.record.credential.status == CredentialStatus::Revoked {
                check_done_already(seen, current.record.credential.revision)?;
                return Ok(Changed {
                    record: current.record.credential.clone(),
                    audit_seq: current.audit_seq,
                });
            }
            check_revision(seen, current.record.credential.revision)?;
            let mut entry = self.entry(caller, Action::CredentialRevoke, Outcome::Success);
            entry.organization_id = Some(current.record.credential.organization_id);
            entry.agent_id = Some(current.record.credential.agent_id);
            entry.reason = Some(reason.clone());
            let revoked = revoke(&current.record);
            let commit = Commit::new(entry).put(Record::Credential(revoked.clone()));
            match self.commit(commit).await {
                Ok(seq) => {
                    return Ok(Changed {
                        record: revoked.credential,
                        audit_seq: seq,
                    });
                }
                Err(error) if error.code == Code::RevisionConflict && seen == 0 && attempts > 0 => {
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// All credentials of an agent, newest first, with what time has done to them.
    ///
    /// # Errors
    ///
    /// `AGENT_NOT_FOUND`.
    pub(crate) fn list_credentials(&self, agent: &str) -> Result<Vec<Credential>, ServiceError> {
        let agent = self.find_agent(agent)?;
        let now = self.now();
        let as_of_now = |stored: Arc<Stored<CredentialRecord>>| {
            let mut credential = stored.record.credential.clone();
            credential.status = credential.status_at(now);
            credential.last_used_at = self
                .store
                .last_used(&RecordKey::Credential(credential.id))?;
            Ok(credential)
        };
        self.store
            .credentials_of(agent.record.id)?
            .into_iter()
            .map(as_of_now)
            .collect()
    }

    fn require_credential(
        &self,
        id: CredentialId,
    ) -> Result<Arc<Stored<CredentialRecord>>, ServiceError> {
        self.store
            .credential(id)?
            .ok_or_else(ServiceError::credential_not_found)
    }

    fn check_may_have_another(&self, agent: &Agent) -> Result<(), ServiceError> {
        if agent.status.is_final() {
            let message = format!(
                "the agent is {}: it can have no more credentials",
                agent.status
            );
            return Err(ServiceError::new(Code::InvalidState, message));
        }
        if self.live_credentials(agent.id)? >= MAX_LIVE_CREDENTIALS {
            let message = format!(
                "the agent has {MAX_LIVE_CREDENTIALS} credentials, the most it may: revoke one first"
            );
            return Err(ServiceError::new(Code::LimitReached, message));
        }
        Ok(())
    }

    fn live_credentials(&self, agent: AgentId) -> Result<usize, ServiceError> {
        let now = self.now();
        let all = self.store.credentials_of(agent)?;
        Ok(all
            .iter()
            .filter(|stored| stored.record.credential.check_accepted(now).is_ok())
            .count())
    }

    async fn new_credential(
        &self,
        agent: &Agent,
    ) -> Result<(CredentialRecord, ClientSecret), ServiceError> {
        let now = self.now();
        let id = CredentialId::new(now, random(self.random.as_ref()));
        let bits = zeroize::Zeroizing::new(random(self.random.as_ref()));
        let secret = ClientSecret::new(id, &bits);
        let record = CredentialRecord {
            credential: Credential {
                id,
                agent_id: agent.id,
                organization_id: agent.organization_id,
                kind: CredentialKind::ClientSecret,
                status: CredentialStatus::Active,
                created_at: now,
                expires_at: None,
                retires_at: None,
                last_used_at: None,
                revision: 1,
            },
            check: self.secrets.mac(secret.expose()).check(),
            hash: self.secrets.hash(secret.clone()).await?,
        };
        Ok((record, secret))
    }
}

/// The successor of a credential with an expiry lives as long again as that one was to live.
fn renewed_expiry(old: &Credential, now: Timestamp) -> Option<Timestamp> {
    old.expires_at
        .map(|end| now.plus(end.since(old.created_at)))
}

fn retire(old: &CredentialRecord, now: Timestamp, grace: Duration) -> CredentialRecord {
    if grace.is_zero() {
        return revoke(old);
    }
    let mut record = old.clone();
    record.credential.status = CredentialStatus::Retiring;
    record.credential.retires_at = Some(now.plus(grace));
    record.credential.revision += 1;
    record
}
