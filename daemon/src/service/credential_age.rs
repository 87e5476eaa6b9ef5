//! Credentials that have become older than their organization lets them: they are retired, as if they
//! had been rotated, so that an agent which has no newer one still has a day to get it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agentidp_shared::{
    Action, Actor, Code, CredentialStatus, Entry, OrganizationId, Outcome, Timestamp,
};

use super::credential::{DEFAULT_GRACE, name_credential, retire};
use super::{Service, ServiceError};
use crate::store::{AgentFilter, AgentQuery, Commit, CredentialRecord, Record};

/// How many organizations or agents are looked at at a time. Each look at agents goes through the
/// whole directory, so there should be few.
const BATCH: usize = 2_000;

/// How old credentials may become, of the organizations that say so.
type Ages = BTreeMap<OrganizationId, Duration>;

impl Service {
    /// Retires every credential that is older than its organization lets it become; gives how many.
    ///
    /// # Errors
    ///
    /// When the store fails; what is due is then done the next time.
    pub(crate) async fn retire_old_credentials(&self) -> Result<usize, ServiceError> {
        let now = self.now();
        let ages = Arc::new(self.ages().await?);
        if ages.is_empty() {
            return Ok(0);
        }
        let mut retired = 0;
        let mut after = None;
        loop {
            let query = AgentQuery {
                filter: AgentFilter {
                    organizations: Some(ages.keys().copied().collect()),
                    ..AgentFilter::default()
                },
                after,
                limit: BATCH,
                ..AgentQuery::default()
            };
            let of = Arc::clone(&ages);
            let (due, next) = self
                .read(move |store| {
                    let page = store.agents(&query)?;
                    let mut due = Vec::new();
                    for agent in &page.agents {
                        let organization = agent.record.organization_id;
                        let Some(age) = of.get(&organization).copied() else {
                            continue;
                        };
                        let all = store.credentials_of(agent.record.id)?;
                        let old = all.into_iter().filter(|it| is_due(&it.record, age, now));
                        due.extend(old.map(|it| (it, organization, age)));
                    }
                    Ok((due, page.next))
                })
                .await?;
            for (credential, organization, age) in due {
                let done = self.retire_for_age(&credential.record, organization, age);
                match done.await {
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

    async fn ages(&self) -> Result<Ages, ServiceError> {
        self.read(|store| {
            let mut ages = Ages::new();
            let mut before = None;
            loop {
                let page = store.organizations(before, BATCH)?;
                let limited = page.iter().map(|it| &it.record);
                ages.extend(limited.filter_map(|it| Some((it.id, it.max_credential_age?))));
                match page.last() {
                    Some(last) if page.len() == BATCH => before = Some(last.record.id),
                    _ => return Ok(ages),
                }
            }
        })
        .await
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
