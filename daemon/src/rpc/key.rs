//! Signing keys over gRPC.

use std::sync::Arc;

use agentidp_proto::v1::signing_key_service_server::SigningKeyService;
use agentidp_proto::{convert, v1};
use agentidp_shared::FieldError;
use tonic::{Request, Response, Status};

use super::error::{invalid, status};
use super::{caller, present};
use crate::service::Service;
use crate::service::key::KeyRotation;

pub(super) struct Adapter(pub(super) Arc<Service>);

fn rotation(emergency: bool, kid: Option<String>) -> Result<KeyRotation, FieldError> {
    match (emergency, kid) {
        (true, kid) => Ok(KeyRotation::Emergency { kid }),
        (false, None) => Ok(KeyRotation::Planned),
        (false, Some(_)) => Err(FieldError::new(
            "kid",
            "must be absent unless it is an emergency: a planned rotation replaces the key that signs",
        )),
    }
}

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

    async fn rotate(
        &self,
        request: Request<v1::RotateSigningKeyRequest>,
    ) -> Result<Response<v1::RotateSigningKeyResponse>, Status> {
        let caller = caller(&request)?;
        let v1::RotateSigningKeyRequest {
            reason,
            emergency,
            kid,
        } = request.into_inner();
        let reason = present(reason)
            .map(TryInto::try_into)
            .transpose()
            .map_err(invalid)?;
        let rotation = rotation(emergency, present(kid)).map_err(invalid)?;
        let rotated = self
            .0
            .rotate_signing_keys(&caller, rotation, reason)
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(v1::RotateSigningKeyResponse {
            key: Some(rotated.key.into()),
            revoked: rotated.revoked.into_iter().map(Into::into).collect(),
            audit_seq: rotated.audit_seq,
            jwks_max_age: Some(convert::duration(self.0.settings().jwks_max_age)),
        }))
    }
}
