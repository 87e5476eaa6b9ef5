//! What may be committed: the one rule for every store.

use std::collections::BTreeSet;

use agentidp_shared::{AgentId, Email, OrganizationId, OrganizationName, Timestamp};

use super::ReadError;
use super::commit::{Commit, Conflict, TemporaryKey};
use super::record::{Record, RecordKey};

/// What the rule needs to know of what is stored, with the commits before this one counted in.
pub(crate) trait Current {
    /// The revision of a record; `None` when there is none.
    fn revision(&self, key: &RecordKey) -> Result<Option<u64>, ReadError>;
    /// Who has the name.
    fn organization_by_name(
        &self,
        name: &OrganizationName,
    ) -> Result<Option<OrganizationId>, ReadError>;
    /// Who has the e-mail.
    fn agent_by_email(&self, email: &Email) -> Result<Option<AgentId>, ReadError>;
    /// Until when something is kept for a time; `None` when it is not.
    fn kept_until(&self, key: &TemporaryKey) -> Result<Option<Timestamp>, ReadError>;
    /// How many agents that have not ended an organization has.
    fn living_agents(&self, organization: OrganizationId) -> Result<u64, ReadError>;
}

/// Whether `commit` fits `current`: `Ok(Ok(()))` when it does.
///
/// # Errors
///
/// [`ReadError`] when that cannot be told.
pub(crate) fn check(
    commit: &Commit,
    current: &impl Current,
) -> Result<Result<(), Conflict>, ReadError> {
    for (key, required) in commit.requirements() {
        if current.revision(key)? != Some(*required) {
            return Ok(Err(Conflict::Revision(key.target().0)));
        }
    }
    for item in commit.items() {
        for temporary in &item.kept {
            let live = |until: Timestamp| until > item.entry.time;
            if current.kept_until(&temporary.key)?.is_some_and(live) {
                return Ok(Err(Conflict::Kept(temporary.key)));
            }
        }
    }
    if let Some(quota) = commit.quota() {
        let changes = commit
            .items()
            .iter()
            .filter_map(|item| item.change.as_ref());
        let registered = changes.filter(|change| {
            matches!(change, Record::Agent(it)
                if it.revision == 1 && it.organization_id == quota.organization)
        });
        let agents = current.living_agents(quota.organization)? + registered.count() as u64;
        if agents > quota.agents {
            return Ok(Err(Conflict::Quota(quota.agents)));
        }
    }
    let mut names = BTreeSet::new();
    for change in commit
        .items()
        .iter()
        .filter_map(|item| item.change.as_ref())
    {
        let key = change.key();
        if current.revision(&key)?.unwrap_or(0) + 1 != change.revision() {
            return Ok(Err(Conflict::Revision(key.target().0)));
        }
        match change {
            Record::Organization(it) => {
                let owner = current.organization_by_name(&it.name)?;
                if !names.insert(it.name.as_str()) || owner.is_some_and(|owner| owner != it.id) {
                    return Ok(Err(Conflict::Taken("name")));
                }
                if owner.is_none() && it.revision > 1 {
                    return Ok(Err(Conflict::Renamed("name")));
                }
            }
            Record::Agent(it) => {
                let owner = current.agent_by_email(&it.email)?;
                if !names.insert(it.email.as_str()) || owner.is_some_and(|owner| owner != it.id) {
                    return Ok(Err(Conflict::Taken("email")));
                }
                if owner.is_none() && it.revision > 1 {
                    return Ok(Err(Conflict::Renamed("email")));
                }
            }
            Record::Credential(_) | Record::SigningKey(_) | Record::ServerSecret(_) => {}
        }
    }
    Ok(Ok(()))
}
