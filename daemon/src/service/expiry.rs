//! Credentials that are about to expire: said once for each of the thresholds that they pass, in the
//! audit log and in the daemon's own.

use std::time::Duration;

use agentidp_shared::{
    Action, Actor, Code, Credential, CredentialStatus, Entry, Outcome, Timestamp,
};

use super::credential::name_credential;
use super::idempotency::hash;
use super::{Service, ServiceError};
use crate::store::{AgentFilter, AgentOrder, AgentQuery, Commit, Temporary, TemporaryKey};

/// How many agents are looked at at a time. Each look goes through the whole directory, so there
/// should be few.
const BATCH: usize = 2_000;

impl Service {
    /// Warns of every credential that has come nearer to its expiry than the next of the thresholds;
    /// gives how many warnings are new.
    ///
    /// # Errors
    ///
    /// When the store fails; what is due is then said the next time.
    pub(crate) async fn warn_of_expiry(&self) -> Result<usize, ServiceError> {
        let Some(first) = self.settings.warn_before.iter().max().copied() else {
            return Ok(0);
        };
        let now = self.now();
        let mut warned = 0;
        let mut after = None;
        loop {
            let query = AgentQuery {
                filter: AgentFilter {
                    // Strictly before, so that what expires then is in it.
                    expires_before: Some(now.plus(first + Duration::from_millis(1))),
                    ..AgentFilter::default()
                },
                order: AgentOrder::Expires,
                after,
                limit: BATCH,
                ..AgentQuery::default()
            };
            let (expiring, next) = self
                .read(move |store| {
                    let page = store.agents(&query)?;
                    let mut expiring = Vec::new();
                    for agent in page.agents.iter().filter(|it| !it.record.status.is_final()) {
                        expiring.extend(store.credentials_of(agent.record.id)?);
                    }
                    Ok((expiring, page.next))
                })
                .await?;
            for stored in expiring {
                // Most have been warned of before, and then nothing here waits.
                tokio::task::coop::consume_budget().await;
                let credential = &stored.record.credential;
                if let Some((threshold, end)) = self.passed(credential, now)
                    && self.warn(credential, threshold, end).await?
                {
                    warned += 1;
                }
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(warned),
            }
        }
    }

    /// The smallest threshold that a credential has passed, and when it expires.
    fn passed(&self, credential: &Credential, now: Timestamp) -> Option<(Duration, Timestamp)> {
        let end = credential.expires_at?;
        if credential.status_at(now) != CredentialStatus::Active {
            return None;
        }
        let thresholds = self.settings.warn_before.iter().copied();
        let passed = thresholds.filter(|before| end <= now.plus(*before));
        Some((passed.min()?, end))
    }

    /// Warns of one credential, if that has not been done for this threshold.
    async fn warn(
        &self,
        credential: &Credential,
        threshold: Duration,
        end: Timestamp,
    ) -> Result<bool, ServiceError> {
        let now = self.now();
        let key = TemporaryKey::Notice(hash(&[
            credential.id.as_bytes(),
            &threshold.as_secs().to_le_bytes(),
            &end.as_millis().to_le_bytes(),
        ]));
        if self.store.temporary(&key, now)?.is_some() {
            return Ok(false);
        }
        let mut entry = Entry::new(
            now,
            Actor::system(),
            Action::CredentialExpiring,
            Outcome::Success,
        );
        name_credential(&mut entry, credential);
        entry.credential_id = Some(credential.id);
        entry.expires_at = Some(end);
        let commit = Commit::new(entry).keep(Temporary {
            key,
            expires_at: end,
            body: Vec::new(),
        });
        match self.commit(commit).await {
            Ok(_) => {
                tracing::warn!(
                    credential = %credential.id, agent = %credential.agent_id, expires_at = %end,
                    "a credential is about to expire: rotate it"
                );
                Ok(true)
            }
            Err(error) if error.code == Code::InvalidState => Ok(false),
            Err(error) => Err(error),
        }
    }
}
