//! What a new store begins with: its first entries, and the secrets of its own.

use agentidp_shared::merkle::LogKey;
use agentidp_shared::{Action, Actor, Entry, Outcome, StoreId, Timestamp};
use zeroize::Zeroizing;

use super::ServiceError;
use crate::clock::{Random, random};
use crate::crypto::Sealer;
use crate::store::{Commit, Record, ServerSecret, ServerSecretName, Store};

/// The first commit of the store `id`, and the key that signs the log which begins with it.
///
/// # Errors
///
/// When the cryptographic library fails.
pub(crate) fn first_commit(
    id: StoreId,
    sealer: &Sealer,
    source: &dyn Random,
    now: Timestamp,
) -> Result<(Commit, LogKey), ServiceError> {
    let record = |name: ServerSecretName, secret: &[u8]| -> Result<Record, ServiceError> {
        Ok(Record::ServerSecret(ServerSecret {
            name,
            secret: sealer.seal(name.as_str(), secret, source)?,
            revision: 1,
        }))
    };
    let [check, seed] = [(); 2].map(|()| Zeroizing::new(random::<32>(source)));
    let entry = |action| Entry::new(now, Actor::system(), action, Outcome::Success);
    let first = Commit::new(entry(Action::StoreInit))
        .put(record(ServerSecretName::SecretCheck, check.as_slice())?)
        .and(entry(Action::StoreInit))
        .put(record(ServerSecretName::LogKey, seed.as_slice())?);
    Ok((first, LogKey::from_seed(origin(id), seed.as_slice())?))
}

/// The key that the checks of client secrets are made with.
pub(super) fn secret_check_key(
    store: &dyn Store,
    sealer: &Sealer,
) -> Result<Zeroizing<Vec<u8>>, ServiceError> {
    own_secret(store, sealer, ServerSecretName::SecretCheck)
}

/// The log's name. It is that of the store, because whatever the configuration says may change, and the log
/// stays the same.
pub(super) fn log_origin(store: &dyn Store) -> String {
    origin(store.status().id)
}

fn origin(id: StoreId) -> String {
    format!("agentidp/{id}")
}

/// A secret of the server's own.
pub(super) fn own_secret(
    store: &dyn Store,
    sealer: &Sealer,
    name: ServerSecretName,
) -> Result<Zeroizing<Vec<u8>>, ServiceError> {
    let name_text = name.as_str();
    let stored = store.server_secret(name)?.ok_or_else(|| {
        ServiceError::new(
            agentidp_shared::Code::Internal,
            format!(
                "the store has no {name_text}: it was not made by this version of `agentidpd init`; make a new one"
            ),
        )
    })?;
    Ok(sealer.open(name_text, &stored.record.secret)?)
}
