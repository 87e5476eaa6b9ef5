//! Signing keys: made, published, used, withdrawn.
//!
//! When what is due is decided by `agentidp_shared::key_schedule`. Here it is done: each step is one
//! commit, after which the keyring is made anew from the store. A step that was made durable without
//! that, as when what came after it failed, takes effect with the next look. [`rotate`] is what operators do to
//! the schedule, [`rewrap`] what a start does when the key-encryption key has changed.

mod rewrap;
mod rotate;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use agentidp_shared::key_schedule::Due;
use agentidp_shared::{
    Action, Actor, Code, Entry, KeySchedule, KeyState, Outcome, ScheduledKey, SigningAlgorithm,
    SigningKey, Timestamp,
};

use super::{Service, ServiceError, Settings};
use crate::clock::Random;
use crate::crypto::{CryptoError, Keyring, Sealer, Signer};
use crate::store::{Commit, Record, Sealed, SigningKeyRecord, Store, Stored};

pub(crate) use rotate::KeyRotation;

/// What a signing key is sealed for.
fn purpose(kid: &str) -> String {
    format!("signing-key {kid}")
}

/// What keys are made, kept and opened with.
#[derive(Clone, Copy)]
struct Tools<'a> {
    store: &'a dyn Store,
    sealer: &'a Sealer,
    source: &'a dyn Random,
}

/// Sees to it that everything is sealed under the present key-encryption key and that there is a
/// key to sign with, and gives the keyring.
pub(super) async fn prepare(
    store: &dyn Store,
    sealer: &Sealer,
    source: &dyn Random,
    settings: &Settings,
    now: Timestamp,
) -> Result<Keyring, ServiceError> {
    let tools = Tools {
        store,
        sealer,
        source,
    };
    tools.rewrap(now).await?;
    tools.advance(&settings.key_schedule(), now).await?;
    tools.keyring()
}

impl Settings {
    /// What the configuration says of the keys' schedule.
    pub(crate) const fn key_schedule(&self) -> KeySchedule {
        KeySchedule {
            algorithm: self.algorithm,
            rotation_period: self.rotation_period,
            jwks_max_age: self.jwks_max_age,
        }
    }
}

impl Tools<'_> {
    fn keys(self) -> Result<Keys, ServiceError> {
        Ok(Keys(self.store.signing_keys()?))
    }

    /// Does everything that is due. What was done before an error stays done.
    async fn advance(self, schedule: &KeySchedule, now: Timestamp) -> Result<(), ServiceError> {
        loop {
            let keys = self.keys()?;
            let Some(due) = schedule.due(&keys.public(), now) else {
                return Ok(());
            };
            let commit = match due {
                Due::CreateActive => {
                    let made = self.make(schedule.algorithm, KeyState::Active, now).await?;
                    put(None, system_entry(Action::KeyCreate, now), made)
                }
                Due::CreatePending => {
                    let made = self
                        .make(schedule.algorithm, KeyState::Pending, now)
                        .await?;
                    put(None, system_entry(Action::KeyCreate, now), made)
                }
                Due::Activate(kid) => {
                    let next = changed(keys.find(&kid)?, |key| key.activate(now));
                    let commit = put(None, system_entry(Action::KeyActivate, now), next);
                    match keys.of_state(KeyState::Active).next() {
                        Some(old) => {
                            let old = changed(old, |key| key.retire(now));
                            put(Some(commit), system_entry(Action::KeyRetire, now), old)
                        }
                        None => commit,
                    }
                }
                Due::Withdraw(kid) => {
                    let gone = withdrawn(keys.find(&kid)?, |key| key.withdraw(now));
                    put(None, system_entry(Action::KeyWithdraw, now), gone)
                }
            };
            self.store.commit(commit).await?;
        }
    }

    /// Makes a key, which is not stored yet.
    async fn make(
        self,
        algorithm: SigningAlgorithm,
        state: KeyState,
        now: Timestamp,
    ) -> Result<SigningKeyRecord, ServiceError> {
        // An RSA key takes a good part of a second to make.
        let (pkcs8, signer) = tokio::task::spawn_blocking(move || Signer::generate(algorithm))
            .await
            .map_err(|_error| CryptoError::Library("make a signing key"))??;
        Ok(SigningKeyRecord {
            key: SigningKey {
                kid: signer.kid().to_owned(),
                algorithm,
                state,
                created_at: now,
                activated_at: (state == KeyState::Active).then_some(now),
                retires_at: None,
                revision: 1,
            },
            private: self
                .sealer
                .seal(&purpose(signer.kid()), &pkcs8, self.source)?,
        })
    }

    /// The published keys, opened.
    fn keyring(self) -> Result<Keyring, ServiceError> {
        let mut active = None;
        let mut published = Vec::new();
        for stored in self.store.signing_keys()? {
            let SigningKeyRecord { key, private } = &stored.record;
            if !key.state.is_published() {
                continue;
            }
            let signer = Arc::new(Signer::from_pkcs8(
                key.algorithm,
                &self.sealer.open(&purpose(&key.kid), private)?,
            )?);
            if signer.kid() != key.kid {
                return Err(CryptoError::InvalidKey.into());
            }
            if key.state == KeyState::Active {
                active = Some(Arc::clone(&signer));
            }
            published.push(signer);
        }
        let active = active.ok_or_else(no_active_key)?;
        Ok(Keyring::new(active, &published)?)
    }
}

/// The signing keys of the store, newest first.
struct Keys(Vec<Arc<Stored<SigningKeyRecord>>>);

impl Keys {
    fn public(&self) -> Vec<SigningKey> {
        self.0.iter().map(|it| it.record.key.clone()).collect()
    }

    fn of_state(&self, state: KeyState) -> impl Iterator<Item = &SigningKeyRecord> {
        self.0
            .iter()
            .map(|stored| &stored.record)
            .filter(move |record| record.key.state == state)
    }

    fn published(&self) -> impl Iterator<Item = &SigningKeyRecord> {
        self.0
            .iter()
            .map(|stored| &stored.record)
            .filter(|record| record.key.state.is_published())
    }

    fn stored(&self, kid: &str) -> Option<&Stored<SigningKeyRecord>> {
        let stored = self.0.iter().find(|stored| stored.record.key.kid == kid);
        stored.map(AsRef::as_ref)
    }

    /// The name of the key that signs.
    fn active(&self) -> Result<&str, ServiceError> {
        let active = self.of_state(KeyState::Active).next();
        active
            .map(|record| record.key.kid.as_str())
            .ok_or_else(no_active_key)
    }

    fn find(&self, kid: &str) -> Result<&SigningKeyRecord, ServiceError> {
        let stored = self.stored(kid).ok_or_else(ServiceError::key_not_found)?;
        Ok(&stored.record)
    }
}

impl Service {
    /// All signing keys, newest first, with what happens to them next.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) fn list_signing_keys(&self) -> Result<Vec<ScheduledKey>, ServiceError> {
        let keys = self.key_tools().keys()?.public();
        Ok(keys.iter().map(|key| self.scheduled(key, &keys)).collect())
    }

    /// Moves every key on whose time has come, and sees to it that the keys in use are those of the
    /// store.
    ///
    /// # Errors
    ///
    /// When the store fails; what is due is then done the next time.
    pub(crate) async fn advance_signing_keys(&self) -> Result<(), ServiceError> {
        let _turn = self.signing_keys.lock().await;
        let schedule = self.settings.key_schedule();
        let advanced = self.key_tools().advance(&schedule, self.now()).await;
        // Also after an error: what was done before it is durable.
        let renewed = self.renew_keyring();
        advanced.and(renewed)
    }

    fn key_tools(&self) -> Tools<'_> {
        Tools {
            store: self.store.as_ref(),
            sealer: &self.sealer,
            source: self.random.as_ref(),
        }
    }

    /// Makes the keyring anew when the store's keys are not those in use.
    fn renew_keyring(&self) -> Result<(), ServiceError> {
        let tools = self.key_tools();
        let keys = tools.keys()?;
        let published = keys.published().map(|record| record.key.kid.as_str());
        if !self.keyring().is_of(keys.active()?, published) {
            self.keyring.store(Arc::new(tools.keyring()?));
        }
        Ok(())
    }

    fn scheduled(&self, key: &SigningKey, keys: &[SigningKey]) -> ScheduledKey {
        self.settings
            .key_schedule()
            .scheduled(key, keys, self.now())
    }
}

fn no_active_key() -> ServiceError {
    ServiceError::new(Code::Internal, "the store has no active signing key")
}

fn system_entry(action: Action, now: Timestamp) -> Entry {
    Entry::new(now, Actor::system(), action, Outcome::Success)
}

/// A record after a change of its key.
fn changed(record: &SigningKeyRecord, change: impl FnOnce(&mut SigningKey)) -> SigningKeyRecord {
    let mut record = record.clone();
    change(&mut record.key);
    record
}

/// A record after a change that takes its key out of the JWKS for good: nothing will be signed with
/// it, so its private half goes too.
fn withdrawn(record: &SigningKeyRecord, change: impl FnOnce(&mut SigningKey)) -> SigningKeyRecord {
    SigningKeyRecord {
        private: Sealed::wiped(),
        ..changed(record, change)
    }
}

/// Adds a record, and the entry that accounts for it, to a commit.
fn put(commit: Option<Commit>, entry: Entry, record: SigningKeyRecord) -> Commit {
    let commit = match commit {
        Some(commit) => commit.and(entry),
        None => Commit::new(entry),
    };
    commit.put(Record::SigningKey(record))
}
