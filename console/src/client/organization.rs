//! Calls about organizations.

use std::time::Duration;

use agentidp_proto::v1;
use agentidp_proto::v1::organization_service_client::OrganizationServiceClient;
use agentidp_shared::Organization;
use serde::Serialize;

use super::{Changed, Client, MAX_ANSWER, Page, Transport, call, changed, page, wire_duration};
use crate::error::Error;

/// How much an organization has of what its tier allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrganizationUsage {
    /// How many agents it has that have not ended.
    pub agents: u64,
    /// How many it may have; none: no limit.
    pub agents_limit: Option<u64>,
    /// How many tokens its agents were issued in this calendar month (UTC).
    pub tokens_this_month: u64,
    /// How many they may be issued in one; none: no limit.
    pub tokens_per_month: Option<u64>,
}

impl From<v1::OrganizationUsage> for OrganizationUsage {
    fn from(it: v1::OrganizationUsage) -> Self {
        Self {
            agents: it.agents,
            agents_limit: it.agents_limit,
            tokens_this_month: it.tokens_this_month,
            tokens_per_month: it.tokens_per_month,
        }
    }
}

/// An organization shown alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownOrganization {
    /// The record.
    #[serde(flatten)]
    pub organization: Organization,
    /// How much it has of what its tier allows; none: the daemon is of a version that does not tell.
    pub usage: Option<OrganizationUsage>,
}

impl Client {
    fn organization_service(&self) -> OrganizationServiceClient<Transport> {
        OrganizationServiceClient::with_interceptor(self.channel.clone(), self.guard)
            .max_decoding_message_size(MAX_ANSWER)
    }

    /// Creates an organization, of the default tier when `tier` is empty.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn create_organization(
        &self,
        name: String,
        tier: String,
    ) -> Result<Changed<Organization>, Error> {
        let answer = self
            .organization_service()
            .create(call(v1::CreateOrganizationRequest { name, tier }))
            .await?
            .into_inner();
        changed(answer.organization, "organization", answer.audit_seq)
    }

    /// Lists organizations, newest first.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn organizations(
        &self,
        limit: u32,
        page_token: String,
    ) -> Result<Page<Organization>, Error> {
        let answer = self
            .organization_service()
            .list(call(v1::ListOrganizationsRequest { limit, page_token }))
            .await?
            .into_inner();
        page(answer.organizations, answer.next_page_token)
    }

    /// The organization of an id or name.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn organization(&self, organization: String) -> Result<Organization, Error> {
        Ok(self.show_organization(organization).await?.organization)
    }

    /// Shows the organization of an id or name, with what it has of what its tier allows.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn show_organization(
        &self,
        organization: String,
    ) -> Result<ShownOrganization, Error> {
        let mut answer = self
            .organization_service()
            .get(call(v1::GetOrganizationRequest { organization }))
            .await?
            .into_inner();
        Ok(ShownOrganization {
            usage: answer.usage.take().map(Into::into),
            organization: answer.try_into()?,
        })
    }

    /// Changes what is given of an organization; an age of zero takes that limit away. `revision`
    /// is the one that the caller saw; 0 is any.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn update_organization(
        &self,
        organization: String,
        tier: Option<String>,
        max_credential_age: Option<Duration>,
        revision: u64,
    ) -> Result<Changed<Organization>, Error> {
        let answer = self
            .organization_service()
            .update(call(v1::UpdateOrganizationRequest {
                organization,
                tier,
                max_credential_age: max_credential_age.map(wire_duration),
                revision,
            }))
            .await?
            .into_inner();
        changed(answer.organization, "organization", answer.audit_seq)
    }

    /// Puts an organization under legal hold, or lifts that.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn set_organization_held(
        &self,
        is_held: bool,
        organization: String,
        reason: String,
        revision: u64,
    ) -> Result<Changed<Organization>, Error> {
        let request = call(v1::OrganizationTransitionRequest {
            organization,
            reason,
            revision,
        });
        let mut service = self.organization_service();
        let answer = if is_held {
            service.hold(request).await?
        } else {
            service.release(request).await?
        }
        .into_inner();
        changed(answer.organization, "organization", answer.audit_seq)
    }

    /// Suspends an organization, or resumes it.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn set_organization_suspended(
        &self,
        is_suspended: bool,
        organization: String,
        reason: String,
        revision: u64,
    ) -> Result<Changed<Organization>, Error> {
        let request = call(v1::OrganizationTransitionRequest {
            organization,
            reason,
            revision,
        });
        let mut service = self.organization_service();
        let answer = if is_suspended {
            service.suspend(request).await?
        } else {
            service.resume(request).await?
        }
        .into_inner();
        changed(answer.organization, "organization", answer.audit_seq)
    }
}
