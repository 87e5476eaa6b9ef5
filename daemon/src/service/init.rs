//! What a new store begins with: its first entries, and the secrets of its own.

use agentidp_shared::{Action, Actor, Entry, Outcome, Timestamp};
use zeroize::Zeroizing;

use super::ServiceError;
use crate::clock::{Random, random};
use crate::crypto::Sealer;
use crate::store::{Commit, Record, ServerSecret, ServerSecretName, Store};

/// The first commit of a store.
///
/// # Errors
///
/// When the cryptographic library fails.
pub(crate) fn first_commit(
    sealer: &Sealer,
    source: &dyn Random,
    now: Timestamp,
) -> Result<Commit, ServiceError> {
    let secret = |name: ServerSecretName| -> Result<Record, ServiceError> {
        let secret = Zeroizing::new(random::<32>(source));
        Ok(Record::ServerSecret(ServerSecret {
            name,
            secret: sealer.seal(name.as_str(), secret.as_slice(), source)?,
            revision: 1,
        }))
    };
    let entry = |action| Entry::new(now, Actor::system(), action, Outcome::Success);
    Ok(Commit::new(entry(Action::StoreInit))
        .put(secret(ServerSecretName::SecretCheck)?)
        .and(entry(Action::StoreInit))
        .put(secret(ServerSecretName::LogKey)?))
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
    format!("agentidp/{}", store.status().id)
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
