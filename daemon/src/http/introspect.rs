//! `POST /oauth2/introspect`: token introspection (RFC 7662).

use std::sync::Arc;

use agentidp_shared::{Action, Code};
use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::header::HeaderMap;
use serde::Serialize;

use super::client::presents;
use super::error::{OAuthError, Started};
use super::form::Form;
use super::{App, Arrival, limit};
use crate::crypto::jose::AccessToken;
use crate::service::ServiceError;
use crate::service::bearer::Presents;

/// What a token says, when it counts (RFC 7662, section 2.2).
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "RFC 7662 names the member")]
struct Active<'a> {
    active: bool,
    iss: &'a str,
    sub: String,
    client_id: String,
    aud: &'a [String],
    exp: i64,
    iat: i64,
    jti: String,
    scope: String,
    token_type: &'static str,
    organization_id: String,
    agent_type: &'static str,
    agent_version: &'a str,
    cid: String,
}

/// All that is said of a token that does not count.
#[derive(Serialize)]
struct Inactive {
    active: bool,
}

/// Answers a request to introspect a token.
pub(super) async fn introspect(
    State(app): State<Arc<App>>,
    Extension(arrival): Extension<Arrival>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, OAuthError> {
    let started = Started::now();
    let read = TokenRequest::read_or_refuse(
        &app,
        arrival,
        Action::TokenIntrospect,
        (query, &headers, body),
    );
    let TokenRequest { presents, token } = match read.await {
        Ok(request) => request,
        Err(error) => return Err(started.even(error).await),
    };
    let found = app
        .service
        .introspect(&presents, &token, arrival.into())
        .await;
    let counted = match found {
        Ok(counted) => counted,
        Err(error) => return Err(started.even(error.into()).await),
    };
    let mut response = match &counted.value {
        Some(token) => active(&app.service.settings().issuer, token),
        None => Json(Inactive { active: false }).into_response(),
    };
    limit::tell_tighter(response.headers_mut(), arrival, counted.headroom);
    Ok(response)
}

fn active(issuer: &str, token: &AccessToken) -> Response {
    Json(Active {
        active: true,
        iss: issuer,
        sub: token.sub.to_string(),
        client_id: token.client_id.to_string(),
        aud: &token.aud,
        exp: token.exp,
        iat: token.iat,
        jti: token.jti.to_string(),
        scope: token.scope.to_string(),
        token_type: "Bearer",
        organization_id: token.organization_id.to_string(),
        agent_type: token.agent_type.as_str(),
        agent_version: &token.agent_version,
        cid: token.cid.to_string(),
    })
    .into_response()
}

/// A request about a token, by a client or the bearer of another token (RFC 7662, section 2.1;
/// RFC 7009, section 2.1).
pub(super) struct TokenRequest {
    /// Who asks.
    pub(super) presents: Presents,
    /// About which token. A `token_type_hint` changes nothing: there is one type.
    pub(super) token: String,
}

impl TokenRequest {
    /// Reads one; that it cannot be read is put into the log as `action`.
    pub(super) async fn read_or_refuse(
        app: &App,
        arrival: Arrival,
        action: Action,
        (query, headers, body): (Option<String>, &HeaderMap, Body),
    ) -> Result<Self, OAuthError> {
        Self::read(query, headers, body)
            .await
            .map_err(|(code, error)| {
                let (address, id) = (arrival.address, Some(arrival.request_id));
                app.service.deny_stranger(address, code, id, action);
                error
            })
    }

    async fn read(
        query: Option<String>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Self, (Code, OAuthError)> {
        let invalid = |error| (Code::InvalidRequest, error);
        let form = Form::read(query, headers, body).await.map_err(invalid)?;
        let presents = presents(headers, &form).map_err(invalid)?;
        let presents = presents.ok_or_else(|| {
            let code = Code::MissingAuthentication;
            let error = ServiceError::new(code, "no client authentication");
            (code, error.into())
        })?;
        let token = form.single("token").ok_or_else(|| {
            invalid(OAuthError::invalid_request(
                "the parameter token is missing",
            ))
        })?;
        Ok(Self {
            presents,
            token: token.to_owned(),
        })
    }
}
