//! Signing keys: made, published, activated, retired.
//!
//! A key is published before it signs, for twice as long as the JWKS may be cached, so that a
//! resource server knows it before it meets it; and it stays published until the last token that
//! it signed has expired.

use std::sync::Arc;
use std::time::Duration;

use agentidp_shared::token::MAX_LIFETIME;
use agentidp_shared::{
    Action, Actor, Code, Entry, KeyState, Outcome, SigningAlgorithm, SigningKey, Timestamp,
};

use super::{Service, ServiceError, Settings};
use crate::clock::Random;
use crate::crypto::{CryptoError, Keyring, Sealer, Signer};
use crate::store::{Commit, Record, SigningKeyRecord, Store};

/// How long the JWKS may be cached.
pub(crate) const JWKS_MAX_AGE: Duration = Duration::from_mins(5);

/// How long a key is published before it signs.
const PUBLISHED_BEFORE: Duration = Duration::from_secs(2 * JWKS_MAX_AGE.as_secs());

fn purpose(kid: &str) -> String {
    format!("signing-key {kid}")
}

/// Sees to it that there is a key to sign with, and gives the keyring.
pub(super) async fn prepare(
    store: &dyn Store,
    sealer: &Sealer,
    source: &dyn Random,
    settings: &Settings,
    now: Timestamp,
) -> Result<Keyring, ServiceError> {
    let keys = store.signing_keys()?;
    let has =
        |wanted: &dyn Fn(&SigningKey) -> bool| keys.iter().any(|stored| wanted(&stored.record.key));
    let coming = |key: &SigningKey| {
        key.algorithm == settings.algorithm
            && matches!(key.state, KeyState::Active | KeyState::Pending)
    };
    if !has(&|key| key.state == KeyState::Active) {
        // Nobody holds a token of this issuer's yet, so the first key need not wait.
        create(
            store,
            sealer,
            source,
            settings.algorithm,
            (KeyState::Active, now),
        )
        .await?;
    } else if !has(&coming) {
        create(
            store,
            sealer,
            source,
            settings.algorithm,
            (KeyState::Pending, now),
        )
        .await?;
    }
    keyring(store, sealer)
}

async fn create(
    store: &dyn Store,
    sealer: &Sealer,
    source: &dyn Random,
    algorithm: SigningAlgorithm,
    (state, now): (KeyState, Timestamp),
) -> Result<(), ServiceError> {
    // An RSA key takes a good part of a second to make.
    let (pkcs8, signer) = tokio::task::spawn_blocking(move || Signer::generate(algorithm))
        .await
        .map_err(|_error| CryptoError::Library("make a signing key"))??;
    let record = SigningKeyRecord {
        key: SigningKey {
            kid: signer.kid().to_owned(),
            algorithm,
            state,
            created_at: now,
            activated_at: (state == KeyState::Active).then_some(now),
            retires_at: None,
            revision: 1,
        },
        private: sealer.seal(&purpose(signer.kid()), &pkcs8, source)?,
    };
    let entry = Entry::new(now, Actor::system(), Action::KeyCreate, Outcome::Success);
    store
        .commit(Commit::new(entry).put(Record::SigningKey(record)))
        .await?;
    Ok(())
}

fn keyring(store: &dyn Store, sealer: &Sealer) -> Result<Keyring, ServiceError> {
    let mut active = None;
    let mut published = Vec::new();
    for stored in store.signing_keys()? {
        let SigningKeyRecord { key, private } = &stored.record;
        if key.state == KeyState::Retired {
            continue;
        }
        let signer = Arc::new(Signer::from_pkcs8(
            key.algorithm,
            &sealer.open(&purpose(&key.kid), private)?,
        )?);
        if signer.kid() != key.kid {
            return Err(CryptoError::InvalidKey.into());
        }
        if key.state == KeyState::Active {
            active = Some(Arc::clone(&signer));
        }
        published.push(signer);
    }
    let active = active
        .ok_or_else(|| ServiceError::new(Code::Internal, "the store has no active signing key"))?;
    Ok(Keyring::new(active, &published)?)
}

impl Service {
    /// All signing keys, newest first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) fn list_signing_keys(&self) -> Result<Vec<SigningKey>, ServiceError> {
        Ok(self
            .store
            .signing_keys()?
            .iter()
            .map(|stored| stored.record.key.clone())
            .collect())
    }

    /// Moves every key on whose time has come.
    ///
    /// # Errors
    ///
    /// When the store fails; what is due is then done the next time.
    pub(crate) async fn advance_signing_keys(&self) -> Result<(), ServiceError> {
        let now = self.now();
        let mut keys: Vec<_> = self
            .store
            .signing_keys()?
            .iter()
            .map(|stored| stored.record.clone())
            .collect();
        while let Some(commit) = next_step(&keys, self.settings.algorithm, now) {
            self.commit(commit).await?;
            self.keyring
                .store(Arc::new(keyring(self.store.as_ref(), &self.sealer)?));
            keys = self
                .store
                .signing_keys()?
                .iter()
                .map(|stored| stored.record.clone())
                .collect();
        }
        Ok(())
    }
}

/// When the next key is to be moved on, if one waits for its time. It may be past.
pub(crate) fn next_change(keys: &[SigningKey]) -> Option<Timestamp> {
    let change = |key: &SigningKey| match key.state {
        KeyState::Pending => Some(key.created_at.plus(PUBLISHED_BEFORE)),
        KeyState::Retiring => key.retires_at,
        KeyState::Active | KeyState::Retired => None,
    };
    keys.iter().filter_map(change).min()
}

/// What is due first, if anything is. `keys` are newest first.
fn next_step(
    keys: &[SigningKeyRecord],
    algorithm: SigningAlgorithm,
    now: Timestamp,
) -> Option<Commit> {
    let is_over = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
    let retired = keys
        .iter()
        .find(|it| it.key.state == KeyState::Retiring && is_over(it.key.retires_at));
    if let Some(retired) = retired {
        return Some(step(None, retired, now, Action::KeyWithdraw, |key| {
            key.state = KeyState::Retired;
        }));
    }
    // Only the newest of the algorithm that is configured comes to sign; the configuration may
    // have changed twice while a key waited.
    let active = keys.iter().find(|it| it.key.state == KeyState::Active);
    let is_served = active.is_some_and(|it| it.key.algorithm == algorithm);
    let pending = |it: &&SigningKeyRecord| it.key.state == KeyState::Pending;
    let next = keys
        .iter()
        .filter(pending)
        .find(|it| it.key.algorithm == algorithm && !is_served);
    let unwanted = keys
        .iter()
        .filter(pending)
        .find(|it| next.is_none_or(|next| next.key.kid != it.key.kid));
    if let Some(unwanted) = unwanted {
        return Some(step(None, unwanted, now, Action::KeyWithdraw, |key| {
            key.state = KeyState::Retired;
        }));
    }
    next.filter(|it| it.key.created_at.plus(PUBLISHED_BEFORE) <= now)
        .map(|next| activate(next, active, now))
}

fn activate(next: &SigningKeyRecord, old: Option<&SigningKeyRecord>, now: Timestamp) -> Commit {
    let commit = step(None, next, now, Action::KeyActivate, |key| {
        key.state = KeyState::Active;
        key.activated_at = Some(now);
    });
    let Some(old) = old else { return commit };
    step(Some(commit), old, now, Action::KeyRetire, |key| {
        key.state = KeyState::Retiring;
        // The longest life there can be, not the configured one: that may have been longer before.
        key.retires_at = Some(now.plus(MAX_LIFETIME));
    })
}

/// Adds a change of one key, and its entry, to a commit.
fn step(
    commit: Option<Commit>,
    record: &SigningKeyRecord,
    now: Timestamp,
    action: Action,
    change: impl FnOnce(&mut SigningKey),
) -> Commit {
    let mut record = record.clone();
    change(&mut record.key);
    record.key.revision += 1;
    let entry = Entry::new(now, Actor::system(), action, Outcome::Success);
    let commit = match commit {
        Some(commit) => commit.and(entry),
        None => Commit::new(entry),
    };
    commit.put(Record::SigningKey(record))
}
