//! Credentials over gRPC.

use std::sync::Arc;

use agentidp_proto::v1;
use agentidp_proto::v1::credential_service_server::CredentialService;
use agentidp_shared::PublicKey;
use tonic::{Request, Response, Status};

use super::error::{invalid, status};
use super::{agent_query, caller, duration, page_size, present, reason};
use crate::service::credential::{Issued, Proof, Rotation, public_key};
use crate::service::review::Concern;
use crate::service::{Service, ServiceError};

pub(super) struct Adapter(pub(super) Arc<Service>);

fn answer(issued: Issued) -> Response<v1::IssuedCredential> {
    Response::new(v1::IssuedCredential {
        client_id: issued.credential.agent_id.to_string(),
        credential: Some(issued.credential.into()),
        retiring: issued.retiring.map(Into::into),
        client_secret: issued
            .secret
            .map(|secret| secret.expose().to_owned())
            .unwrap_or_default(),
        audit_seq: issued.audit_seq,
    })
}

/// The public key that a request brings, if it does.
fn key(jwk: String) -> Result<Option<PublicKey>, ServiceError> {
    present(jwk)
        .map(|jwk| public_key(jwk.as_bytes()))
        .transpose()
}

#[tonic::async_trait]
impl CredentialService for Adapter {
    async fn issue(
        &self,
        request: Request<v1::IssueCredentialRequest>,
    ) -> Result<Response<v1::IssuedCredential>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let expires_in = duration(request.expires_in, "expires_in").map_err(invalid)?;
        let key = key(request.public_key_jwk).map_err(|error| status(&error))?;
        let proof = key.map_or(Proof::ClientSecret, Proof::PublicKey);
        let issued = self
            .0
            .issue_credential(&caller, &request.agent, proof, expires_in)
            .await;
        issued.map(answer).map_err(|error| status(&error))
    }

    async fn rotate(
        &self,
        request: Request<v1::RotateCredentialRequest>,
    ) -> Result<Response<v1::IssuedCredential>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let id = request.credential_id.parse().map_err(invalid)?;
        let rotation = Rotation {
            grace: duration(request.grace, "grace").map_err(invalid)?,
            public_key: key(request.public_key_jwk).map_err(|error| status(&error))?,
            seen: request.revision,
        };
        let issued = self.0.rotate_credential(&caller, id, rotation).await;
        issued.map(answer).map_err(|error| status(&error))
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeCredentialRequest>,
    ) -> Result<Response<v1::CredentialChange>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let id = request.credential_id.parse().map_err(invalid)?;
        let reason = reason(request.reason).map_err(invalid)?;
        let changed = self
            .0
            .revoke_credential(&caller, id, reason, request.revision)
            .await;
        let changed = changed.map_err(|error| status(&error))?;
        Ok(Response::new(v1::CredentialChange {
            credential: Some(changed.record.into()),
            audit_seq: changed.audit_seq,
        }))
    }

    async fn list(
        &self,
        request: Request<v1::ListCredentialsRequest>,
    ) -> Result<Response<v1::ListCredentialsResponse>, Status> {
        let caller = caller(&request)?;
        let credentials = self
            .0
            .list_credentials(&caller, &request.into_inner().agent)
            .map_err(|error| status(&error))?;
        Ok(Response::new(v1::ListCredentialsResponse {
            credentials: credentials.into_iter().map(Into::into).collect(),
        }))
    }

    async fn review(
        &self,
        request: Request<v1::ReviewCredentialsRequest>,
    ) -> Result<Response<v1::ReviewCredentialsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let within = duration(request.within, "within").map_err(invalid)?;
        let concern = Concern::parse(&request.kind, within).map_err(invalid)?;
        let limit = page_size(request.limit);
        let query = concern.query(self.0.now(), limit);
        let after = present(request.page_token)
            .map(|token| agent_query::position(&token, query.order, query.is_descending))
            .transpose()
            .map_err(invalid)?;
        let page = self.0.review_credentials(&caller, concern, after, limit);
        let page = page.await.map_err(|error| status(&error))?;
        let next = page.next.map(|next| agent_query::token(&query, &next));
        let credentials = page
            .credentials
            .into_iter()
            .map(|it| v1::ReviewedCredential {
                credential: Some(it.credential.into()),
                agent_email: it.email.to_string(),
                owner: it.owner.to_string(),
            });
        Ok(Response::new(v1::ReviewCredentialsResponse {
            credentials: credentials.collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn get(
        &self,
        request: Request<v1::GetCredentialRequest>,
    ) -> Result<Response<v1::Credential>, Status> {
        let caller = caller(&request)?;
        let id = request
            .into_inner()
            .credential_id
            .parse()
            .map_err(invalid)?;
        let credential = self.0.find_credential(&caller, id);
        let credential = credential.map_err(|error| status(&error))?;
        Ok(Response::new(credential.into()))
    }
}
