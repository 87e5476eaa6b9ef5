//! Access tokens over gRPC.

use std::sync::Arc;

use agentidp_proto::convert::timestamp;
use agentidp_proto::v1;
use agentidp_proto::v1::token_service_server::TokenService;
use agentidp_shared::{Code, Timestamp};
use tonic::{Request, Response, Status};

use super::error::{invalid, status};
use super::{caller, present, reason};
use crate::service::revocation::{IssuedTo, TokenRef};
use crate::service::{Service, ServiceError};

pub(super) struct Adapter(pub(super) Arc<Service>);

/// The moment that a claim names in seconds (RFC 7519, section 2).
fn numeric_date(seconds: i64) -> prost_types::Timestamp {
    timestamp(Timestamp::from_millis(seconds.saturating_mul(1_000)))
}

/// The one that is given of several.
fn one_of<T>(given: Vec<T>, rule: &'static str) -> Result<T, ServiceError> {
    let mut given = given.into_iter();
    match (given.next(), given.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(ServiceError::new(Code::InvalidArgument, rule)),
    }
}

fn token_ref(token: String, jti: String) -> Result<TokenRef, ServiceError> {
    let jti = present(jti).map(|jti| jti.parse()).transpose()?;
    let token = present(token).map(TokenRef::Token);
    let given = token.into_iter().chain(jti.map(TokenRef::Jti));
    one_of(given.collect(), "token or jti: must be given, one of them")
}

fn issued_to(request: v1::RevokeIssuedTokensRequest) -> Result<IssuedTo, ServiceError> {
    let credential = present(request.credential_id)
        .map(|id| id.parse())
        .transpose()?;
    let agent = present(request.agent).map(IssuedTo::Agent);
    let organization = present(request.organization).map(IssuedTo::Organization);
    let given = agent
        .into_iter()
        .chain(credential.map(IssuedTo::Credential))
        .chain(organization);
    one_of(
        given.collect(),
        "agent, credential_id or organization: must be given, one of them",
    )
}

#[tonic::async_trait]
impl TokenService for Adapter {
    async fn inspect(
        &self,
        request: Request<v1::InspectTokenRequest>,
    ) -> Result<Response<v1::InspectTokenResponse>, Status> {
        let caller = caller(&request)?;
        let inspected = self.0.inspect_token(&caller, &request.into_inner().token);
        let inspected = inspected.map_err(|error| status(&error))?;
        let claims = inspected.token.map(|token| v1::InspectTokenResponse {
            jti: token.jti.to_string(),
            agent_id: token.sub.to_string(),
            organization_id: token.organization_id.to_string(),
            credential_id: token.cid.to_string(),
            scope: token.scope.to_string(),
            audience: token.aud.clone(),
            issued_at: Some(numeric_date(token.iat)),
            expires_at: Some(numeric_date(token.exp)),
            ..v1::InspectTokenResponse::default()
        });
        Ok(Response::new(v1::InspectTokenResponse {
            active: inspected.state.is_ok(),
            code: inspected
                .state
                .err()
                .map(|code| code.to_string())
                .unwrap_or_default(),
            ..claims.unwrap_or_default()
        }))
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::TokenChange>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let reason = reason(request.reason).map_err(invalid)?;
        let token = token_ref(request.token, request.jti).map_err(|error| status(&error))?;
        let audit_seq = self.0.revoke_token(&caller, token, reason).await;
        Ok(Response::new(v1::TokenChange {
            revoked_until: None,
            audit_seq: audit_seq.map_err(|error| status(&error))?,
        }))
    }

    async fn revoke_issued(
        &self,
        request: Request<v1::RevokeIssuedTokensRequest>,
    ) -> Result<Response<v1::TokenChange>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let reason = reason(request.reason.clone()).map_err(invalid)?;
        let issued_to = issued_to(request).map_err(|error| status(&error))?;
        let revoked = self.0.revoke_issued(&caller, issued_to, reason).await;
        let (until, audit_seq) = revoked.map_err(|error| status(&error))?;
        Ok(Response::new(v1::TokenChange {
            revoked_until: Some(timestamp(until)),
            audit_seq,
        }))
    }
}
