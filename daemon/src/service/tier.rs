//! Tiers: how much of everything an organization may have.

use std::collections::{BTreeMap, BTreeSet};

use agentidp_shared::{AgentStatus, Code, Organization, OrganizationId, Tier, Timestamp};

use super::{Service, ServiceError};
use crate::store::{AgentFilter, AgentQuery, OneOf, Quota};

/// What an organization of a tier may have. What is absent is without limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TierLimits {
    /// How many agents that have not ended.
    pub(crate) agents: Option<u64>,
    /// How many tokens in a calendar month (UTC).
    pub(crate) tokens_per_month: Option<u64>,
}

/// How much an organization has of what its tier allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TierUsage {
    /// How many agents it has that have not ended.
    pub(crate) agents: u64,
    /// How many tokens its agents were issued in this calendar month (UTC).
    pub(crate) tokens_this_month: u64,
    /// How many of both it may have.
    pub(crate) limits: TierLimits,
}

/// The tiers that there are.
#[derive(Debug, Clone)]
pub(crate) struct Tiers {
    /// Their limits, by name.
    pub(crate) limits: BTreeMap<Tier, TierLimits>,
    /// The tier of an organization that is given no other.
    pub(crate) default: Tier,
}

impl Tiers {
    /// The limits of an organization. One whose tier the configuration no longer has is held to
    /// those of the default one.
    pub(crate) fn of(&self, organization: &Organization) -> TierLimits {
        let known = self.limits.get(&organization.tier);
        let limits = known.or_else(|| self.limits.get(&self.default));
        limits.copied().unwrap_or_default()
    }

    /// A tier that there is.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` when there is none of the name.
    pub(crate) fn known(&self, tier: Tier) -> Result<Tier, ServiceError> {
        if self.limits.contains_key(&tier) {
            return Ok(tier);
        }
        let names: Vec<_> = self.limits.keys().map(Tier::as_str).collect();
        let message = format!(
            "tier: must be one of organizations.tiers in the configuration: {}",
            names.join(", ")
        );
        Err(ServiceError::new(Code::InvalidArgument, message).with("field", "tier"))
    }
}

impl Service {
    /// How much an organization has of what its tier allows.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) async fn tier_usage(
        &self,
        organization: &Organization,
    ) -> Result<TierUsage, ServiceError> {
        let id = organization.id;
        let living = AgentStatus::ALL.iter().filter(|it| !it.is_final());
        let query = AgentQuery {
            filter: AgentFilter {
                organizations: Some(BTreeSet::from([id])),
                status: Some(OneOf {
                    values: living.copied().collect(),
                    is_not: false,
                }),
                ..AgentFilter::default()
            },
            limit: 1,
            ..AgentQuery::default()
        };
        let agents = self.read(move |store| Ok(store.agents(&query)?.total));
        Ok(TierUsage {
            agents: agents.await?.unwrap_or_default(),
            tokens_this_month: self.tokens_this_month(id, self.now())?,
            limits: self.settings.tiers.of(organization),
        })
    }

    /// How many agents an organization may have, if that is limited.
    pub(super) fn agent_quota(&self, organization: &Organization) -> Option<Quota> {
        let limits = self.settings.tiers.of(organization);
        limits.agents.map(|agents| Quota {
            organization: organization.id,
            agents,
        })
    }

    /// Whether an organization's agents may be issued another token this month.
    ///
    /// # Errors
    ///
    /// `QUOTA_EXCEEDED` when not.
    pub(super) fn check_token_quota(
        &self,
        organization: &Organization,
        now: Timestamp,
    ) -> Result<(), ServiceError> {
        let Some(limit) = self.settings.tiers.of(organization).tokens_per_month else {
            return Ok(());
        };
        if self.tokens_this_month(organization.id, now)? < limit {
            return Ok(());
        }
        let message = format!(
            "the organization was issued the {limit} tokens of its tier this month: wait for the next, or have the tier changed"
        );
        Err(ServiceError::new(Code::QuotaExceeded, message).with("tokens_per_month", limit))
    }

    /// How many tokens an organization's agents were issued this month.
    fn tokens_this_month(
        &self,
        organization: OrganizationId,
        now: Timestamp,
    ) -> Result<u64, ServiceError> {
        Ok(self.store.tokens_issued(organization, now)?)
    }
}
