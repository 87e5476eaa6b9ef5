//! What operators do to the schedule of signing keys.

use std::sync::Arc;

use agentidp_shared::{Action, Code, Entry, KeyState, Outcome, Reason, ScheduledKey};

use super::{put, withdrawn};
use crate::service::idempotency::Made;
use crate::service::{Caller, Reach, Service, ServiceError, to_its_end};

/// Which rotation is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyRotation {
    /// The successor is published first.
    Planned,
    /// Compromised keys are withdrawn at once.
    Emergency {
        /// The one that is; `None`: every published one may be.
        kid: Option<String>,
    },
}

/// What a rotation led to.
#[derive(Debug, Clone)]
pub(crate) struct Rotated {
    /// The key that will sign; after an emergency, the one that signs.
    pub(crate) key: ScheduledKey,
    /// The keys that were withdrawn.
    pub(crate) revoked: Vec<ScheduledKey>,
    /// The audit entry.
    pub(crate) audit_seq: u64,
}

impl Service {
    /// Replaces the key that signs.
    ///
    /// Planned: a successor is made and published now, and signs once every copy of the JWKS knows
    /// it. While one is on its way already, the answer is that one.
    ///
    /// In an emergency: the compromised keys leave the JWKS at once, and with the one that signs
    /// among them a new one signs at once. No token that they signed is valid any more to whoever
    /// asks this server or reads the JWKS anew. A named key that was withdrawn before is answered
    /// with that time, and a request that is repeated with what it led to: a key that was made for it
    /// stays.
    ///
    /// What has begun is brought to its end when the caller goes away: a key that is withdrawn in the
    /// store must not stay in use.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED` to whoever does not reach the whole installation; `INVALID_ARGUMENT` when
    /// the reason is missing; `KEY_NOT_FOUND`; `INVALID_STATE` for a key that has retired.
    pub(crate) async fn rotate_signing_keys(
        self: &Arc<Self>,
        caller: &Caller,
        rotation: KeyRotation,
        reason: Option<Reason>,
    ) -> Result<Rotated, ServiceError> {
        if caller.reach != Reach::Installation {
            return Err(ServiceError::new(
                Code::PermissionDenied,
                "signing keys belong to the whole installation, and you reach some organizations only",
            ));
        }
        let Some(reason) = reason else {
            return Err(ServiceError::new(
                Code::InvalidArgument,
                "reason: must be given, for the audit log",
            ));
        };
        let (service, caller) = (Arc::clone(self), caller.clone());
        to_its_end(async move { service.rotate(&caller, &rotation, &reason).await }).await
    }

    async fn rotate(
        &self,
        caller: &Caller,
        rotation: &KeyRotation,
        reason: &Reason,
    ) -> Result<Rotated, ServiceError> {
        let entry = |action| {
            let mut entry = self.entry(caller, action, Outcome::Success);
            entry.reason = Some(reason.clone());
            entry
        };
        let _turn = self.signing_keys.lock().await;
        let done = match (self.rotated_before(caller)?, rotation) {
            (Some(before), _) => Ok(before),
            (None, KeyRotation::Planned) => self.publish_successor(caller, &entry).await,
            (None, KeyRotation::Emergency { kid }) => {
                self.withdraw_compromised(caller, kid.as_deref(), &entry)
                    .await
            }
        };
        // Whatever came of it: an earlier rotation may be durable and not in use.
        let renewed = self.renew_keyring();
        let done = done?;
        renewed?;
        let keys = self.key_tools().keys()?.public();
        let shown = |kid: &String| {
            let key = keys.iter().find(|key| key.kid == *kid);
            key.map(|key| self.scheduled(key, &keys))
                .ok_or_else(ServiceError::key_not_found)
        };
        Ok(Rotated {
            key: shown(&done.kid)?,
            revoked: done.revoked.iter().map(shown).collect::<Result<_, _>>()?,
            audit_seq: done.audit_seq,
        })
    }

    /// What the same request led to when it was made before.
    fn rotated_before(&self, caller: &Caller) -> Result<Option<Done>, ServiceError> {
        let Some(Made::Keys {
            kid,
            revoked,
            said_of,
        }) = self.made_before(caller)?
        else {
            return Ok(None);
        };
        let keys = self.key_tools().keys()?;
        let said = keys
            .stored(&said_of)
            .ok_or_else(ServiceError::key_not_found)?;
        Ok(Some(Done {
            audit_seq: said.audit_seq,
            kid,
            revoked,
        }))
    }

    async fn publish_successor(
        &self,
        caller: &Caller,
        entry: &impl Fn(Action) -> Entry,
    ) -> Result<Done, ServiceError> {
        let tools = self.key_tools();
        let keys = tools.keys()?;
        let schedule = self.settings.key_schedule();
        if let Some(stored) = schedule
            .successor(&keys.public())
            .and_then(|key| keys.stored(&key.kid))
        {
            return Ok(Done {
                kid: stored.record.key.kid.clone(),
                revoked: Vec::new(),
                audit_seq: stored.audit_seq,
            });
        }
        let made = tools
            .make(schedule.algorithm, KeyState::Pending, self.now())
            .await?;
        let kid = made.key.kid.clone();
        let commit = put(None, entry(Action::KeyRotate), made);
        let made = Made::Keys {
            kid: kid.clone(),
            revoked: Vec::new(),
            said_of: kid.clone(),
        };
        let audit_seq = self.commit(self.remembering(caller, commit, made)?).await?;
        Ok(Done {
            kid,
            revoked: Vec::new(),
            audit_seq,
        })
    }

    async fn withdraw_compromised(
        &self,
        caller: &Caller,
        kid: Option<&str>,
        entry: &impl Fn(Action) -> Entry,
    ) -> Result<Done, ServiceError> {
        let tools = self.key_tools();
        let keys = tools.keys()?;
        let active = keys.active()?.to_owned();
        let compromised = match kid {
            None => keys.published().collect(),
            Some(kid) => match keys.stored(kid).ok_or_else(ServiceError::key_not_found)? {
                stored if stored.record.key.state == KeyState::Revoked => {
                    return Ok(Done {
                        kid: active,
                        revoked: vec![kid.to_owned()],
                        audit_seq: stored.audit_seq,
                    });
                }
                stored if stored.record.key.state == KeyState::Retired => {
                    return Err(ServiceError::new(
                        Code::InvalidState,
                        "the key is retired: it is in the JWKS no more, and every token that it signed has expired",
                    ));
                }
                stored => vec![&stored.record],
            },
        };
        let (mut commit, mut signs) = (None, active);
        let is_exchanged = compromised.iter().any(|it| it.key.kid == signs);
        if is_exchanged {
            let algorithm = self.settings.algorithm;
            let made = tools.make(algorithm, KeyState::Active, self.now()).await?;
            signs.clone_from(&made.key.kid);
            commit = Some(put(None, entry(Action::KeyRotate), made));
        }
        let now = self.now();
        for record in &compromised {
            let revoked = withdrawn(record, |key| key.revoke(now));
            commit = Some(put(commit, entry(Action::KeyRevoke), revoked));
        }
        let commit = commit.ok_or_else(ServiceError::key_not_found)?;
        let revoked: Vec<_> = compromised.iter().map(|it| it.key.kid.clone()).collect();
        let first = revoked.first().filter(|_| !is_exchanged);
        let made = Made::Keys {
            said_of: first.unwrap_or(&signs).clone(),
            kid: signs.clone(),
            revoked: revoked.clone(),
        };
        let audit_seq = self.commit(self.remembering(caller, commit, made)?).await?;
        Ok(Done {
            kid: signs,
            revoked,
            audit_seq,
        })
    }
}

/// What was done, by the names of the keys.
struct Done {
    kid: String,
    revoked: Vec<String>,
    audit_seq: u64,
}
