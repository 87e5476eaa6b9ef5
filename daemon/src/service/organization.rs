//! Organizations: creating, listing, changing and suspending them.

use std::sync::Arc;
use std::time::Duration;

use agentidp_shared::{
    Action, Code, Organization, OrganizationId, OrganizationName, OrganizationStatus,
    OrganizationUpdate, Outcome, Reason, Tier,
};

use super::idempotency::Made;
use super::{Caller, Changed, Decided, Service, ServiceError};
use crate::clock::random;
use crate::store::{Commit, Record, Stored};

/// The least that a credential may be allowed to age: less would retire them before they are used.
const MIN_CREDENTIAL_AGE: Duration = Duration::from_hours(1);

impl Service {
    /// Creates an organization, of the default tier when none is given.
    ///
    /// # Errors
    ///
    /// `ALREADY_EXISTS` when the name is taken; `INVALID_ARGUMENT` for a tier that there is not.
    pub(crate) async fn create_organization(
        &self,
        caller: &Caller,
        name: OrganizationName,
        tier: Option<Tier>,
    ) -> Result<Changed<Organization>, ServiceError> {
        if let Some(Made::Organization(id)) = self.made_before(caller)? {
            let stored = self.require_organization(caller, id)?;
            return Ok(Changed {
                record: stored.record.clone(),
                audit_seq: stored.audit_seq,
            });
        }
        let tiers = &self.settings.tiers;
        let tier = match tier {
            Some(tier) => tiers.known(tier)?,
            None => tiers.default.clone(),
        };
        let mut entry = self.entry(caller, Action::OrganizationCreate, Outcome::Success);
        let organization = Organization {
            id: OrganizationId::new(entry.time, random(self.random.as_ref())),
            name,
            status: OrganizationStatus::Active,
            tier,
            created_at: entry.time,
            updated_at: entry.time,
            max_credential_age: None,
            tokens_revoked_until: None,
            is_held: false,
            revision: 1,
        };
        entry.organization_id = Some(organization.id);
        let commit = Commit::new(entry).put(Record::Organization(organization.clone()));
        let made = Made::Organization(organization.id);
        let seq = self.commit(self.remembering(caller, commit, made)?).await?;
        Ok(Changed {
            record: organization,
            audit_seq: seq,
        })
    }

    /// At most `limit` of the organizations that there are for the caller, newest first, older than
    /// `before`.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) fn list_organizations(
        &self,
        caller: &Caller,
        before: Option<OrganizationId>,
        limit: usize,
    ) -> Result<Vec<Arc<Stored<Organization>>>, ServiceError> {
        let Some(reached) = caller.reach.narrowed(None) else {
            return Ok(self.store.organizations(before, limit)?);
        };
        let older = reached
            .into_iter()
            .rev()
            .filter(|id| before.is_none_or(|before| *id < before));
        let mut organizations = Vec::new();
        for id in older.take(limit) {
            organizations.extend(self.store.organization(id)?);
        }
        Ok(organizations)
    }

    /// Changes an organization's record.
    ///
    /// # Errors
    ///
    /// `ORGANIZATION_NOT_FOUND`, `REVISION_CONFLICT`; `INVALID_ARGUMENT` for a tier that there is
    /// not, or an age below an hour.
    pub(crate) async fn update_organization(
        &self,
        caller: &Caller,
        organization: &str,
        update: OrganizationUpdate,
        seen: u64,
    ) -> Result<Changed<Organization>, ServiceError> {
        if let Some(tier) = update.tier.clone() {
            self.settings.tiers.known(tier)?;
        }
        if let Some(Some(age)) = update.max_credential_age
            && age < MIN_CREDENTIAL_AGE
        {
            return Err(ServiceError::new(
                Code::InvalidArgument,
                "max_credential_age: must be at least an hour",
            ));
        }
        self.change_organization(
            caller,
            organization,
            (Action::OrganizationUpdate, None),
            seen,
            |current| update.clone().apply(current),
        )
        .await
    }

    /// Suspends an organization: none of its agents gets a token, and those they have are dead.
    ///
    /// # Errors
    ///
    /// `ORGANIZATION_NOT_FOUND`, `REVISION_CONFLICT`; `INVALID_ARGUMENT` when the reason is missing.
    pub(crate) async fn suspend_organization(
        &self,
        caller: &Caller,
        organization: &str,
        reason: Option<Reason>,
        seen: u64,
    ) -> Result<Changed<Organization>, ServiceError> {
        if reason.is_none() {
            return Err(ServiceError::new(
                Code::InvalidArgument,
                "reason: must be given, for the audit log",
            ));
        }
        self.change_organization(
            caller,
            organization,
            (Action::OrganizationSuspend, reason),
            seen,
            |current| Organization {
                status: OrganizationStatus::Suspended,
                ..current.clone()
            },
        )
        .await
    }

    /// Lets the agents of a suspended organization ask for tokens again. Those from before stay dead.
    ///
    /// # Errors
    ///
    /// `ORGANIZATION_NOT_FOUND`, `REVISION_CONFLICT`.
    pub(crate) async fn resume_organization(
        &self,
        caller: &Caller,
        organization: &str,
        reason: Option<Reason>,
        seen: u64,
    ) -> Result<Changed<Organization>, ServiceError> {
        let resumed = |current: &Organization| match current.status {
            OrganizationStatus::Active => current.clone(),
            OrganizationStatus::Suspended => Organization {
                status: OrganizationStatus::Active,
                // Read after the record, so no token from before the suspension is later.
                tokens_revoked_until: Some(self.after_every_token(current.tokens_revoked_until)),
                ..current.clone()
            },
        };
        let action = (Action::OrganizationResume, reason);
        self.change_organization(caller, organization, action, seen, resumed)
            .await
    }

    /// Changes an organization by `change`. What changes nothing is answered with the last change, unless it is a
    /// legal hold or the end of one: each has its reason, which the log must have.
    pub(super) async fn change_organization(
        &self,
        caller: &Caller,
        organization: &str,
        (action, reason): (Action, Option<Reason>),
        seen: u64,
        change: impl Fn(&Organization) -> Organization,
    ) -> Result<Changed<Organization>, ServiceError> {
        self.decided_anew(|| {
            let current = self.find_organization(caller, organization)?;
            let mut changed = change(&current.record);
            let revision = current.record.revision;
            let is_of_hold = matches!(
                action,
                Action::OrganizationHold | Action::OrganizationRelease
            );
            if changed == current.record && !is_of_hold {
                self.check_done_already(seen, revision, current.audit_seq)?;
                return Ok(Decided::Already(changed, current.audit_seq));
            }
            self.check_revision(seen, revision, current.audit_seq)?;
            let mut entry = self.entry(caller, action, Outcome::Success);
            entry.organization_id = Some(changed.id);
            entry.reason.clone_from(&reason);
            entry.changed = changed.differences(&current.record);
            changed.updated_at = entry.time;
            changed.revision += 1;
            let commit = Commit::new(entry).put(Record::Organization(changed.clone()));
            Ok(Decided::Now(changed, commit))
        })
        .await
    }
}
