//! Signing keys over gRPC.

use std::sync::Arc;

use agentidp_proto::v1;
use agentidp_proto::v1::signing_key_service_server::SigningKeyService;
use tonic::{Request, Response, Status};

use super::error::status;
use crate::service::Service;

pub(super) struct Adapter(pub(super) Arc<Service>);

#[tonic::async_trait]
impl SigningKeyService for Adapter {
    async fn list(
        &self,
        _request: Request<v1::ListSigningKeysRequest>,
    ) -> Result<Response<v1::ListSigningKeysResponse>, Status> {
        let keys = self.0.list_signing_keys().map_err(|error| status(&error))?;
        Ok(Response::new(v1::ListSigningKeysResponse {
            keys: keys.into_iter().map(Into::into).collect(),
        }))
    }
}
