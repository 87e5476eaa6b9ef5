//! `POST /oauth2/revoke`: token revocation (RFC 7009).

use std::sync::Arc;

use agentidp_shared::Action;
use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::HeaderMap;

use super::error::{OAuthError, Started};
use super::introspect::TokenRequest;
use super::{App, Arrival, limit};

/// Answers a request to revoke a token.
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Extension(arrival): Extension<Arrival>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, OAuthError> {
    let started = Started::now();
    let read =
        TokenRequest::read_or_refuse(&app, arrival, Action::TokenRevoke, (query, &headers, body));
    let TokenRequest { presents, token } = match read.await {
        Ok(request) => request,
        Err(error) => return Err(started.even(error).await),
    };
    let revoked = app
        .service
        .revoke_for_client(&presents, &token, arrival.into())
        .await;
    let counted = match revoked {
        Ok(counted) => counted,
        Err(error) => return Err(started.even(error.into()).await),
    };
    let mut response = StatusCode::OK.into_response();
    limit::tell_tighter(response.headers_mut(), arrival, counted.headroom);
    Ok(response)
}
