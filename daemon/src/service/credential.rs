//! Credentials: issuing, rotating with overlap, revoking.

use std::sync::Arc;
use std::time::Duration;

pub(crate) use agentidp_shared::credential::MAX_GRACE;
use agentidp_shared::credential::{MAX_LIVE_CREDENTIALS, check_grace};
use agentidp_shared::{
    Action, ActorKind, Agent, AgentId, ClientSecret, Code, Credential, CredentialId,
    CredentialKind, CredentialStatus, Entry, Outcome, PublicKey, Reason, Timestamp,
};

use super::agent::revoke;
use super::idempotency::Made;
use super::{Caller, Changed, Decided, Service, ServiceError, to_its_end};
use crate::clock::random;
use crate::crypto::jose::PublicJwk;
use crate::crypto::secret::For;
use crate::store::{Commit, CredentialRecord, Record, RecordKey, SecretVerifier, Stored};

/// How long a rotated credential is still accepted when nothing else is said.
pub(super) const DEFAULT_GRACE: Duration = Duration::from_hours(24);
/// The longest life that a credential may be given.
pub(crate) const MAX_EXPIRY: Duration = Duration::from_hours(10 * 365 * 24);

/// What a new credential is to be.
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    /// A client secret, which is made here.
    ClientSecret,
    /// The agent's own key.
    PublicKey(PublicKey),
}

/// The public key that a JWK of someone's own is (RFC 7517).
///
/// # Errors
///
/// `INVALID_ARGUMENT` when it is none that assertions can be verified with.
pub(crate) fn public_key(jwk: &[u8]) -> Result<PublicKey, ServiceError> {
    let key = PublicJwk::parse(jwk).map_err(|error| {
        ServiceError::new(Code::InvalidArgument, format!("public_key: {error}"))
            .with("field", "public_key")
    })?;
    Ok(PublicKey {
        thumbprint: key.thumbprint(),
        jwk: key.to_json(),
    })
}

/// A credential that has just been issued. Its secret is in it this once.
#[derive(Debug)]
pub(crate) struct Issued {
    /// The credential.
    pub(crate) credential: Credential,
    /// The one that it replaces, with how that was used.
    pub(crate) retiring: Option<Credential>,
    /// Its secret, if that is what it is.
    pub(crate) secret: Option<ClientSecret>,
    /// The audit entry.
    pub(crate) audit_seq: u64,
}

/// How to rotate a credential.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rotation {
    /// How long the old one is still accepted; absent: 24 h; zero: it is revoked at once.
    pub(crate) grace: Option<Duration>,
    /// The new key, when it is a public key.
    pub(crate) public_key: Option<PublicKey>,
    /// The revision that the caller saw; 0: any.
    pub(crate) seen: u64,
}

impl Service {
    /// Issues a credential to an agent.
    ///
    /// # Errors
    ///
    /// `AGENT_NOT_FOUND`; `INVALID_STATE` when the agent has ended; `LIMIT_REACHED` when it has as
    /// many credentials as it may; `ALREADY_EXISTS` when it has the key already;
    /// `INVALID_ARGUMENT` for an expiry out of range.
    pub(crate) async fn issue_credential(
        self: &Arc<Self>,
        caller: &Caller,
        agent: &str,
        proof: Proof,
        expires_in: Option<Duration>,
    ) -> Result<Issued, ServiceError> {
        if expires_in.is_some_and(|life| life < Duration::from_secs(1) || life > MAX_EXPIRY) {
            return Err(ServiceError::new(
                Code::InvalidArgument,
                "expires_in: must be between 1 s and 10 years",
            ));
        }
        let agent = self.find_agent(caller, agent)?;
        Self::check_power(caller, &agent.record.capabilities, None)?;
        if let Some(issued) = self.issued_before(caller)? {
            return Ok(issued);
        }
        // Before argon2 too: whoever may have no more must not cost thirty milliseconds.
        self.check_may_have_another(&agent.record, &proof)?;
        let (mut record, secret) = self.new_credential(caller, &agent.record, &proof).await?;
        record.credential.expires_at =
            expires_in.map(|life| record.credential.created_at.plus(life));
        let (service, caller) = (Arc::clone(self), caller.clone());
        self.change_credentials(async move { service.add(&caller, record, &proof, secret).await })
            .await
    }

    /// Adds a credential to its agent's.
    async fn add(
        &self,
        caller: &Caller,
        record: CredentialRecord,
        proof: &Proof,
        secret: Option<ClientSecret>,
    ) -> Result<Issued, ServiceError> {
        let agent = self.require_agent(caller, record.credential.agent_id)?;
        self.check_may_have_another(&agent.record, proof)?;
        let mut entry = self.entry(caller, Action::CredentialIssue, Outcome::Success);
        name_credential(&mut entry, &record.credential);
        entry.expires_at = record.credential.expires_at;
        let commit = Commit::new(entry)
            .require(RecordKey::Agent(agent.record.id), agent.record.revision)
            .put(Record::Credential(record.clone()));
        let made = self.made_credential(caller, &record.credential, None, secret.as_ref())?;
        let seq = self.commit(self.remembering(caller, commit, made)?).await?;
        Ok(Issued {
            credential: record.credential,
            retiring: None,
            secret,
            audit_seq: seq,
        })
    }

    /// Issues a successor to a credential. The old one is accepted for a grace, and never longer
    /// than it would have been.
    ///
    /// # Errors
    ///
    /// `CREDENTIAL_NOT_FOUND`, `REVISION_CONFLICT`; `INVALID_STATE` when the credential is not
    /// active; `INVALID_ARGUMENT` for a grace out of range, or a key that is missing or not asked
    /// for.
    pub(crate) async fn rotate_credential(
        self: &Arc<Self>,
        caller: &Caller,
        id: CredentialId,
        rotation: Rotation,
    ) -> Result<Issued, ServiceError> {
        let grace = rotation.grace.unwrap_or(DEFAULT_GRACE);
        check_grace(grace)?;
        let old = self.require_credential(caller, id)?;
        let agent = self.require_agent(caller, old.record.credential.agent_id)?;
        Self::check_power(caller, &agent.record.capabilities, None)?;
        if let Some(issued) = self.issued_before(caller)? {
            return Ok(issued);
        }
        self.check_revision(rotation.seen, old.record.credential.revision, old.audit_seq)?;
        let status = old.record.credential.status_at(self.now());
        if status != CredentialStatus::Active {
            let message = format!(
                "the credential is {status}: only an active one can be rotated, issue a new one instead"
            );
            return Err(ServiceError::new(Code::InvalidState, message));
        }
        let proof = successor_of(&old.record.credential, rotation.public_key)?;
        // Before argon2 too: whoever may have no more must not cost thirty milliseconds.
        self.check_may_have_another(&agent.record, &proof)?;
        let (mut record, secret) = self.new_credential(caller, &agent.record, &proof).await?;
        let now = record.credential.created_at;
        record.credential.expires_at = renewed_expiry(&old.record.credential, now);
        let retiring = retire(&old.record, now, grace);
        let (service, caller) = (Arc::clone(self), caller.clone());
        self.change_credentials(async move {
            let made = (record, secret);
            service.replace(&caller, retiring, made, &proof).await
        })
        .await
    }

    /// Adds a credential to its agent's, and lets that one retire which it follows.
    async fn replace(
        &self,
        caller: &Caller,
        retiring: CredentialRecord,
        (record, secret): (CredentialRecord, Option<ClientSecret>),
        proof: &Proof,
    ) -> Result<Issued, ServiceError> {
        let id = retiring.credential.id;
        let agent = self.require_agent(caller, record.credential.agent_id)?;
        self.check_may_have_another(&agent.record, proof)?;
        let mut rotated = self.entry(caller, Action::CredentialRotate, Outcome::Success);
        name_credential(&mut rotated, &record.credential);
        rotated.credential_id = Some(record.credential.id);
        rotated.expires_at = retiring.credential.retires_at;
        let mut issued = self.entry(caller, Action::CredentialIssue, Outcome::Success);
        name_credential(&mut issued, &record.credential);
        issued.credential_id = Some(id);
        issued.expires_at = record.credential.expires_at;
        let commit = Commit::new(rotated)
            .put(Record::Credential(retiring.clone()))
            .and(issued)
            .put(Record::Credential(record.clone()))
            .require(RecordKey::Agent(agent.record.id), agent.record.revision);
        // Its use is no part of the record. Read first: what is committed must not fail afterwards.
        let retiring = self.shown_credential(&retiring.credential)?;
        let made = self.made_credential(caller, &record.credential, Some(id), secret.as_ref())?;
        let seq = self.commit(self.remembering(caller, commit, made)?).await?;
        Ok(Issued {
            credential: record.credential,
            retiring: Some(retiring),
            secret,
            audit_seq: seq,
        })
    }

    /// Changes an agent's set of credentials by `change`: alone, and once that is its turn, to the end though
    /// the caller goes away. Otherwise what is committed then would not be seen by whoever is next.
    pub(super) async fn change_credentials<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let turn = Arc::clone(&self.credentials).lock_owned().await;
        to_its_end(async move {
            let changed = change.await;
            drop(turn);
            changed
        })
        .await
    }

    /// Cuts a credential off, and the tokens that were issued for it, and gives it as it is shown. One that is
    /// cut off already is answered with the first time.
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
        let known = self.require_credential(caller, id)?;
        if let Some(Made::Credential { id: made, .. }) = self.made_before(caller)?
            && made == id
        {
            return Ok(Changed {
                record: self.shown_credential(&known.record.credential)?,
                audit_seq: known.audit_seq,
            });
        }
        self.decided_anew(|| {
            let current = self.require_credential(caller, id)?;
            let revision = current.record.credential.revision;
            if current.record.credential.status == CredentialStatus::Revoked {
                self.check_done_already(seen, revision, current.audit_seq)?;
                let shown = self.shown_credential(&current.record.credential)?;
                return Ok(Decided::Already(shown, current.audit_seq));
            }
            self.check_revision(seen, revision, current.audit_seq)?;
            let mut entry = self.entry(caller, Action::CredentialRevoke, Outcome::Success);
            name_credential(&mut entry, &current.record.credential);
            entry.reason = Some(reason.clone());
            let revoked = revoke(&current.record);
            let commit = Commit::new(entry).put(Record::Credential(revoked.clone()));
            let made = self.made_credential(caller, &revoked.credential, None, None)?;
            let commit = self.remembering(caller, commit, made)?;
            // As in a rotation: what is committed must not fail afterwards.
            let shown = self.shown_credential(&revoked.credential)?;
            Ok(Decided::Now(shown, commit))
        })
        .await
    }

    /// All credentials of an agent, newest first, with what time has done to them.
    ///
    /// # Errors
    ///
    /// `AGENT_NOT_FOUND`.
    pub(crate) fn list_credentials(
        &self,
        caller: &Caller,
        agent: &str,
    ) -> Result<Vec<Credential>, ServiceError> {
        let agent = self.find_agent(caller, agent)?;
        let all = self.store.credentials_of(agent.record.id)?;
        all.into_iter()
            .map(|stored| self.shown_credential(&stored.record.credential))
            .collect()
    }

    /// One credential, with what time has done to it.
    ///
    /// # Errors
    ///
    /// `CREDENTIAL_NOT_FOUND`.
    pub(crate) fn find_credential(
        &self,
        caller: &Caller,
        id: CredentialId,
    ) -> Result<Credential, ServiceError> {
        let stored = self.require_credential(caller, id)?;
        self.shown_credential(&stored.record.credential)
    }

    /// A credential as it is shown: with what time has done to it, and how it was used.
    pub(crate) fn shown_credential(
        &self,
        credential: &Credential,
    ) -> Result<Credential, ServiceError> {
        let usage = self.store.usage(&RecordKey::Credential(credential.id))?;
        Ok(Credential {
            status: credential.status_at(self.now()),
            last_used_at: usage.last,
            use_count: usage.count,
            ..credential.clone()
        })
    }

    pub(super) fn require_credential(
        &self,
        caller: &Caller,
        id: CredentialId,
    ) -> Result<Arc<Stored<CredentialRecord>>, ServiceError> {
        self.store
            .credential(id)?
            .filter(|it| caller.reach.has(it.record.credential.organization_id))
            .ok_or_else(ServiceError::credential_not_found)
    }

    /// The answer to a request that issued a credential when it was made before.
    fn issued_before(&self, caller: &Caller) -> Result<Option<Issued>, ServiceError> {
        let Some(Made::Credential {
            id,
            retiring,
            secret,
        }) = self.made_before(caller)?
        else {
            return Ok(None);
        };
        let stored = self.require_credential(caller, id)?;
        let retiring = retiring.map(|id| self.find_credential(caller, id));
        let secret = match stored.record.credential.kind {
            CredentialKind::ClientSecret => Some(self.secret_again(id, secret.as_ref())?),
            CredentialKind::PublicKey => None,
        };
        Ok(Some(Issued {
            credential: self.shown_credential(&stored.record.credential)?,
            retiring: retiring.transpose()?,
            secret,
            audit_seq: stored.audit_seq,
        }))
    }

    fn made_credential(
        &self,
        caller: &Caller,
        credential: &Credential,
        retiring: Option<CredentialId>,
        secret: Option<&ClientSecret>,
    ) -> Result<Made, ServiceError> {
        let secret = match secret {
            Some(secret) => self.remembered_secret(caller, credential.id, secret)?,
            None => None,
        };
        Ok(Made::Credential {
            id: credential.id,
            retiring,
            secret,
        })
    }

    fn check_may_have_another(&self, agent: &Agent, new: &Proof) -> Result<(), ServiceError> {
        if agent.status.is_final() {
            let message = format!(
                "the agent is {}: it can have no more credentials",
                agent.status
            );
            return Err(ServiceError::new(Code::InvalidState, message));
        }
        let live = self.live_credentials(agent.id)?;
        if live.len() >= MAX_LIVE_CREDENTIALS {
            let message = format!(
                "the agent has {MAX_LIVE_CREDENTIALS} credentials, the most it may: revoke one first"
            );
            return Err(ServiceError::new(Code::LimitReached, message));
        }
        let is_same = |key: &PublicKey| matches!(new, Proof::PublicKey(new) if new.thumbprint == key.thumbprint);
        let mut keys = live
            .iter()
            .filter_map(|it| it.record.credential.public_key.as_ref());
        if keys.any(is_same) {
            return Err(ServiceError::new(
                Code::AlreadyExists,
                "the agent has a credential with this key already",
            ));
        }
        Ok(())
    }

    /// The credentials of an agent that are accepted now.
    pub(super) fn live_credentials(
        &self,
        agent: AgentId,
    ) -> Result<Vec<Arc<Stored<CredentialRecord>>>, ServiceError> {
        let now = self.now();
        let mut live = self.store.credentials_of(agent)?;
        live.retain(|stored| stored.record.credential.check_accepted(now).is_ok());
        Ok(live)
    }

    async fn new_credential(
        &self,
        caller: &Caller,
        agent: &Agent,
        proof: &Proof,
    ) -> Result<(CredentialRecord, Option<ClientSecret>), ServiceError> {
        let now = self.now();
        let mut credential = Credential {
            id: CredentialId::new(now, random(self.random.as_ref())),
            agent_id: agent.id,
            organization_id: agent.organization_id,
            kind: CredentialKind::ClientSecret,
            status: CredentialStatus::Active,
            created_at: now,
            expires_at: None,
            retires_at: None,
            last_used_at: None,
            use_count: 0,
            public_key: None,
            tokens_revoked_until: None,
            revision: 1,
        };
        match proof {
            Proof::ClientSecret => {
                let bits = zeroize::Zeroizing::new(random(self.random.as_ref()));
                let secret = ClientSecret::new(credential.id, &bits);
                let whose = match caller.actor.kind {
                    ActorKind::Agent => For::Automation(agent.organization_id),
                    _ => For::Operator,
                };
                let verifier = SecretVerifier {
                    check: self.secrets.mac(secret.expose()).check(),
                    hash: self.secrets.hash(secret.clone(), whose).await?,
                };
                let record = CredentialRecord {
                    credential,
                    verifier: Some(verifier),
                };
                Ok((record, Some(secret)))
            }
            Proof::PublicKey(key) => {
                credential.kind = CredentialKind::PublicKey;
                credential.public_key = Some(key.clone());
                let record = CredentialRecord {
                    credential,
                    verifier: None,
                };
                Ok((record, None))
            }
        }
    }
}

/// Names the agent and tenant of a credential in an entry about it.
pub(super) fn name_credential(entry: &mut Entry, credential: &Credential) {
    entry.organization_id = Some(credential.organization_id);
    entry.agent_id = Some(credential.agent_id);
}

/// What the successor of a credential is to be.
fn successor_of(old: &Credential, key: Option<PublicKey>) -> Result<Proof, ServiceError> {
    match (old.kind, key) {
        (CredentialKind::ClientSecret, None) => Ok(Proof::ClientSecret),
        (CredentialKind::PublicKey, Some(key)) => Ok(Proof::PublicKey(key)),
        (CredentialKind::ClientSecret, Some(_)) => Err(ServiceError::new(
            Code::InvalidArgument,
            "public_key: the credential is a client secret, whose successor is made here",
        )),
        (CredentialKind::PublicKey, None) => Err(ServiceError::new(
            Code::InvalidArgument,
            "public_key: the credential is a public key, so its successor must be given",
        )),
    }
}

/// The successor of a credential with an expiry lives as long again as that one was to live.
fn renewed_expiry(old: &Credential, now: Timestamp) -> Option<Timestamp> {
    old.expires_at
        .map(|end| now.plus(end.since(old.created_at)))
}

/// A credential that is accepted for `grace` more.
pub(super) fn retire(old: &CredentialRecord, now: Timestamp, grace: Duration) -> CredentialRecord {
    if grace.is_zero() {
        return revoke(old);
    }
    let mut record = old.clone();
    record.credential.status = CredentialStatus::Retiring;
    record.credential.retires_at = Some(now.plus(grace));
    record.credential.revision += 1;
    record
}
