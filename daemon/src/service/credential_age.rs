//! Credentials that have become older than their organization lets them: they are retired, as if they
//! had been rotated, so that an agent which has no newer one still has a day to get it.

use std::time::Duration;

use agentidp_shared::{
    Action, Actor, Code, CredentialStatus, Entry, Organization, OrganizationId, Outcome, Timestamp,
};

use super::credential::{DEFAULT_GRACE, name_credential, retire};
use super::{Service, ServiceError};
use crate::store::{AgentFilter, AgentQuery, Commit, CredentialRecord, Record};

/// How many organizations or agents are looked at at a time.
const BATCH: usize = 100;

impl Service {
    /// Retires every credential that is older than its organization lets it become; gives how many.
    ///
    /// # Errors
    ///
    /// When the store fails; what is due is then done the next time.
    pub(crate) async fn retire_old_credentials(&self) -> Result<usize, ServiceError> {
        let mut retired = 0;
        let mut before = None;
        loop {
            let page = self
                .read(move |store| Ok(store.organizations(before, BATCH)?))
                .await?;
            for organization in &page {
                if let Some(age) = organization.record.max_credential_age {
                    retired += self.retire_older(&organization.record, age).await?;
                }
            }
            match page.last() {
                Some(last) if page.len() == BATCH => before = Some(last.record.id),
                _ => return Ok(retired),
            }
        }
    }

    async fn retire_older(
        &self,
        organization: &Organization,
        age: Duration,
    ) -> Result<usize, ServiceError> {
        let now = self.now();
        let id = organization.id;
        let mut retired = 0;
        let mut after = None;
        loop {
            let query = AgentQuery {
                filter: AgentFilter {
                    organizations: Some([id].into()),
                    ..AgentFilter::default()
                },
                after,
                limit: BATCH,
                ..AgentQuery::default()
            };
            let (due, next) = self
                .read(move |store| {
                    let page = store.agents(&query)?;
                    let mut due = Vec::new();
                    for agent in &page.agents {
                        let all = store.credentials_of(agent.record.id)?;
                        due.extend(all.into_iter().filter(|it| is_due(&it.record, age, now)));
                    }
                    Ok((due, page.next))
                })
                .await?;
            for credential in due {
                match self.retire_for_age(&credential.record, id, age).await {
                    Ok(()) => retired += 1,
                    // Someone rotated or revoked it meanwhile.
                    Err(error) if error.code == Code::RevisionConflict => {}
                    Err(error) => return Err(error),
                }
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(retired),
            }
        }
    }

    async fn retire_for_age(
        &self,
        record: &CredentialRecord,
        organization: OrganizationId,
        age: Duration,
    ) -> Result<(), ServiceError> {
        let now = self.now();
        let record = retire(record, now, DEFAULT_GRACE);
        let mut entry = Entry::new(
            now,
            Actor::system(),
            Action::CredentialRetire,
            Outcome::Success,
        );
        name_credential(&mut entry, &record.credential);
        entry.expires_at = record.credential.retires_at;
        let reason = format!(
            "older than organization {organization} lets credentials become: {} h",
            age.as_secs() / 3_600
        );
        entry.reason = Some(reason.try_into()?);
        self.commit(Commit::new(entry).put(Record::Credential(record)))
            .await?;
        Ok(())
    }
}

fn is_due(record: &CredentialRecord, age: Duration, now: Timestamp) -> bool {
    let credential = &record.credential;
    credential.status_at(now) == CredentialStatus::Active && credential.created_at.plus(age) <= now
}
