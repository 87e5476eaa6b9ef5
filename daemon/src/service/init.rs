//! What a new store begins with: its first entry, and the secret that checks are made with.

use agentidp_shared::{Action, Actor, Entry, Outcome, Timestamp};
use zeroize::Zeroizing;

use super::ServiceError;
use crate::clock::{Random, random};
use crate::crypto::Sealer;
use crate::store::{Commit, Record, ServerSecret, ServerSecretName, Store};

const SECRET_CHECK: ServerSecretName = ServerSecretName::SecretCheck;

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
    let key = Zeroizing::new(random::<32>(source));
    let secret = ServerSecret {
        name: SECRET_CHECK,
        secret: sealer.seal(SECRET_CHECK.as_str(), key.as_slice(), source)?,
        revision: 1,
    };
    let entry = Entry::new(now, Actor::system(), Action::StoreInit, Outcome::Success);
    Ok(Commit::new(entry).put(Record::ServerSecret(secret)))
}

/// The key that the checks of client secrets are made with.
pub(super) fn secret_check_key(
    store: &dyn Store,
    sealer: &Sealer,
) -> Result<Zeroizing<Vec<u8>>, ServiceError> {
    let stored = store.server_secret(SECRET_CHECK)?.ok_or_else(|| {
        ServiceError::new(
            agentidp_shared::Code::Internal,
            "the store has no secret-check key: it was not made by `agentidpd init`",
        )
    })?;
    Ok(sealer.open(SECRET_CHECK.as_str(), &stored.record.secret)?)
}
