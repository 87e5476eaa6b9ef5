//! Organizations over gRPC.

use std::sync::Arc;

use agentidp_proto::v1;
use agentidp_proto::v1::organization_service_server::OrganizationService;
use agentidp_shared::{Organization, OrganizationUpdate};
use tonic::{Request, Response, Status};

use super::error::{invalid, status};
use super::{caller, duration, page_size, present, reason};
use crate::service::{Changed, Service, ServiceError, TierUsage};

pub(super) struct Adapter(pub(super) Arc<Service>);

fn answer(
    changed: Result<Changed<Organization>, ServiceError>,
) -> Result<Response<v1::OrganizationChange>, Status> {
    let changed = changed.map_err(|error| status(&error))?;
    Ok(Response::new(v1::OrganizationChange {
        organization: Some(changed.record.into()),
        audit_seq: changed.audit_seq,
    }))
}

fn wire_usage(usage: TierUsage) -> v1::OrganizationUsage {
    v1::OrganizationUsage {
        agents: usage.agents,
        agents_limit: usage.limits.agents,
        tokens_this_month: usage.tokens_this_month,
        tokens_per_month: usage.limits.tokens_per_month,
    }
}

#[tonic::async_trait]
impl OrganizationService for Adapter {
    async fn create(
        &self,
        request: Request<v1::CreateOrganizationRequest>,
    ) -> Result<Response<v1::CreateOrganizationResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let name = request.name.try_into().map_err(invalid)?;
        let tier = present(request.tier)
            .map(TryInto::try_into)
            .transpose()
            .map_err(invalid)?;
        let changed = self
            .0
            .create_organization(&caller, name, tier)
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(v1::CreateOrganizationResponse {
            organization: Some(changed.record.into()),
            audit_seq: changed.audit_seq,
        }))
    }

    async fn list(
        &self,
        request: Request<v1::ListOrganizationsRequest>,
    ) -> Result<Response<v1::ListOrganizationsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let before = present(request.page_token)
            .map(|token| token.parse())
            .transpose()
            .map_err(invalid)?;
        let limit = page_size(request.limit);
        let page = self
            .0
            .list_organizations(&caller, before, limit)
            .map_err(|error| status(&error))?;
        let next = page
            .last()
            .filter(|_| page.len() == limit)
            .map(|last| last.record.id.to_string());
        Ok(Response::new(v1::ListOrganizationsResponse {
            organizations: page
                .iter()
                .map(|stored| stored.record.clone().into())
                .collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn get(
        &self,
        request: Request<v1::GetOrganizationRequest>,
    ) -> Result<Response<v1::Organization>, Status> {
        let caller = caller(&request)?;
        let found = self
            .0
            .find_organization(&caller, &request.into_inner().organization)
            .map_err(|error| status(&error))?;
        let usage = self.0.tier_usage(&found.record).await;
        Ok(Response::new(v1::Organization {
            usage: Some(wire_usage(usage.map_err(|error| status(&error))?)),
            ..found.record.clone().into()
        }))
    }

    async fn update(
        &self,
        request: Request<v1::UpdateOrganizationRequest>,
    ) -> Result<Response<v1::OrganizationChange>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let age = duration(request.max_credential_age, "max_credential_age").map_err(invalid)?;
        let update = OrganizationUpdate {
            tier: request
                .tier
                .map(TryInto::try_into)
                .transpose()
                .map_err(invalid)?,
            max_credential_age: age.map(|age| Some(age).filter(|age| !age.is_zero())),
        };
        let changed = self
            .0
            .update_organization(&caller, &request.organization, update, request.revision)
            .await;
        answer(changed)
    }

    async fn suspend(
        &self,
        request: Request<v1::OrganizationTransitionRequest>,
    ) -> Result<Response<v1::OrganizationChange>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let reason = reason(request.reason).map_err(invalid)?;
        let changed = self
            .0
            .suspend_organization(&caller, &request.organization, reason, request.revision)
            .await;
        answer(changed)
    }

    async fn resume(
        &self,
        request: Request<v1::OrganizationTransitionRequest>,
    ) -> Result<Response<v1::OrganizationChange>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let reason = reason(request.reason).map_err(invalid)?;
        let changed = self
            .0
            .resume_organization(&caller, &request.organization, reason, request.revision)
            .await;
        answer(changed)
    }

    async fn hold(
        &self,
        request: Request<v1::OrganizationTransitionRequest>,
    ) -> Result<Response<v1::OrganizationChange>, Status> {
        self.set_held(request, true).await
    }

    async fn release(
        &self,
        request: Request<v1::OrganizationTransitionRequest>,
    ) -> Result<Response<v1::OrganizationChange>, Status> {
        self.set_held(request, false).await
    }
}

impl Adapter {
    async fn set_held(
        &self,
        request: Request<v1::OrganizationTransitionRequest>,
        is_held: bool,
    ) -> Result<Response<v1::OrganizationChange>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let reason = reason(request.reason).map_err(invalid)?;
        let changed = self.0.hold_organization(
            &caller,
            &request.organization,
            is_held,
            reason,
            request.revision,
        );
        answer(changed.await)
    }
}
