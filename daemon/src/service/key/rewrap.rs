//! A change of the key-encryption key: what is sealed under the one of before is sealed again.
//!
//! Everything that is needed is opened first, at every start: with a wrong key nothing is changed.
//! Each record is a commit of its own, and whoever has both keys can open any mixture. So a start
//! that is cut off in between is finished by the next one.

use agentidp_shared::{Action, Timestamp};

use super::{Tools, purpose, system_entry};
use crate::service::ServiceError;
use crate::store::{Commit, Record, ServerSecretName};

impl Tools<'_> {
    /// Seals everything under the present key-encryption key.
    pub(super) async fn rewrap(self, now: Timestamp) -> Result<(), ServiceError> {
        let records = self.outdated()?;
        let count = records.len();
        for record in records {
            let entry = system_entry(Action::KeyRewrap, now);
            self.store.commit(Commit::new(entry).put(record)).await?;
        }
        if self.sealer.has_previous() {
            tracing::info!(
                sealed_again = count,
                "everything is sealed under the key-encryption key; the previous one can leave the configuration"
            );
        }
        Ok(())
    }

    /// What is sealed under the key of before, sealed under the present one.
    pub(super) fn outdated(self) -> Result<Vec<Record>, ServiceError> {
        let mut records = Vec::new();
        for stored in self.store.signing_keys()? {
            let mut record = stored.record.clone();
            if !record.key.state.is_published() {
                continue;
            }
            let purpose = purpose(&record.key.kid);
            if let Some(sealed) = self.sealer.rewrap(&purpose, &record.private, self.source)? {
                record.private = sealed;
                record.key.revision += 1;
                records.push(Record::SigningKey(record));
            }
        }
        for name in ServerSecretName::ALL {
            let Some(stored) = self.store.server_secret(*name)? else {
                continue;
            };
            let mut record = stored.record.clone();
            let purpose = name.as_str();
            if let Some(sealed) = self.sealer.rewrap(purpose, &record.secret, self.source)? {
                record.secret = sealed;
                record.revision += 1;
                records.push(Record::ServerSecret(record));
            }
        }
        Ok(records)
    }
}
