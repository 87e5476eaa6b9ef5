//! Organizations: creating and listing them.

use std::sync::Arc;

use agentidp_shared::organization::DEFAULT_TIER;
use agentidp_shared::{
    Action, Organization, OrganizationId, OrganizationName, OrganizationStatus, Outcome,
};

use super::{Caller, Changed, Service, ServiceError};
use crate::clock::random;
use crate::store::{Commit, Record, Stored};

impl Service {
    /// Creates an organization.
    ///
    /// # Errors
    ///
    /// `ALREADY_EXISTS` when the name is taken.
    pub(crate) async fn create_organization(
        &self,
        caller: &Caller,
        name: OrganizationName,
    ) -> Result<Changed<Organization>, ServiceError> {
        let mut entry = self.entry(caller, Action::OrganizationCreate, Outcome::Success);
        let organization = Organization {
            id: OrganizationId::new(entry.time, random(self.random.as_ref())),
            name,
            status: OrganizationStatus::Active,
            tier: DEFAULT_TIER.to_owned(),
            created_at: entry.time,
            revision: 1,
        };
        entry.organization_id = Some(organization.id);
        let commit = Commit::new(entry).put(Record::Organization(organization.clone()));
        let seq = self.commit(commit).await?;
        Ok(Changed {
            record: organization,
            audit_seq: seq,
        })
    }

    /// At most `limit` organizations, newest first, older than `before`.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) fn list_organizations(
        &self,
        before: Option<OrganizationId>,
        limit: usize,
    ) -> Result<Vec<Arc<Stored<Organization>>>, ServiceError> {
        Ok(self.store.organizations(before, limit)?)
    }
}
