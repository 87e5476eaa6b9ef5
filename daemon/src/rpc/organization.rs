//! Organizations over gRPC.

use std::sync::Arc;

use agentidp_proto::v1;
use agentidp_proto::v1::organization_service_server::OrganizationService;
use tonic::{Request, Response, Status};

use super::error::{invalid, status};
use super::{caller, page_size, present};
use crate::service::Service;

pub(super) struct Adapter(pub(super) Arc<Service>);

#[tonic::async_trait]
impl OrganizationService for Adapter {
    async fn create(
        &self,
        request: Request<v1::CreateOrganizationRequest>,
    ) -> Result<Response<v1::CreateOrganizationResponse>, Status> {
        let caller = caller(&request)?;
        let name = request.into_inner().name.try_into().map_err(invalid)?;
        let changed = self
            .0
            .create_organization(&caller, name, None)
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
}
