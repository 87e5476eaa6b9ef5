//! `POST /oauth2/token`: the token endpoint (RFC 6749, section 3.2), with the client credentials
//! grant (section 4.4) and resource indicators (RFC 8707).

use std::sync::Arc;

use agentidp_shared::resource::MAX_RESOURCES;
use agentidp_shared::token::TokenRequest;
use agentidp_shared::{Action, Code, Resource};
use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, PRAGMA};
use serde::Serialize;

use super::client::presented;
use super::error::{OAuthError, Started};
use super::form::Form;
use super::{App, Arrival, limit};
use crate::service::ServiceError;
use crate::service::bearer::Counted;
use crate::service::token::{IssueRequest, IssuedToken};

#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
}

/// Answers a request for a token.
pub(super) async fn token(
    State(app): State<Arc<App>>,
    Extension(arrival): Extension<Arrival>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, OAuthError> {
    let started = Started::now();
    let measured = app.service.metrics().tokens.begin();
    let request = match parse(arrival, query, &headers, body).await {
        Ok(request) => request,
        Err((code, error)) => {
            let Arrival {
                address,
                request_id,
                ..
            } = arrival;
            let action = Action::TokenIssue;
            app.service
                .deny_stranger(address, code, Some(request_id), action);
            measured.refused(code);
            return Err(started.even(error).await);
        }
    };
    match app.service.issue(&request).await {
        Ok(issued) => {
            measured.issued();
            answer(&issued, arrival)
        }
        Err(error) => {
            measured.refused(error.code);
            Err(started.even(error.into()).await)
        }
    }
}

fn answer(counted: &Counted<IssuedToken>, arrival: Arrival) -> Result<Response, OAuthError> {
    let issued = &counted.value;
    let scope = issued.scope.to_string();
    // As long as it will be: growing would copy the token three times.
    let mut json = Vec::with_capacity(issued.access_token.len() + scope.len() + 128);
    let body = Answer {
        access_token: &issued.access_token,
        token_type: "Bearer",
        expires_in: issued.expires_in.as_secs(),
        scope,
    };
    serde_json::to_writer(&mut json, &body).map_err(|_error| OAuthError::server_error())?;
    let mut response = Response::new(Body::from(json));
    let headers = response.headers_mut();
    // Those here, of the rates, and of every answer.
    headers.reserve(24);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // RFC 6749, section 5.1. `Cache-Control: no-store` has every answer that does not say otherwise.
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    limit::tell_tighter(headers, arrival, counted.headroom);
    Ok(response)
}

async fn parse(
    arrival: Arrival,
    query: Option<String>,
    headers: &HeaderMap,
    body: Body,
) -> Result<IssueRequest, (Code, OAuthError)> {
    let invalid = |error| (Code::InvalidRequest, error);
    let form = Form::read(query, headers, body).await.map_err(invalid)?;
    match form.single("grant_type") {
        Some("client_credentials") => {}
        Some(_) => {
            let error = OAuthError::bad_request(
                "unsupported_grant_type",
                "the grant type must be client_credentials",
            );
            return Err((Code::UnsupportedGrantType, error));
        }
        None => {
            return Err(invalid(OAuthError::invalid_request(
                "the parameter grant_type is missing",
            )));
        }
    }
    let client = presented(headers, &form).map_err(invalid)?.ok_or_else(|| {
        let error = ServiceError::new(Code::MissingAuthentication, "no client authentication");
        (Code::MissingAuthentication, error.into())
    })?;
    let token = wanted(&form).map_err(invalid)?;
    Ok(IssueRequest {
        client,
        token,
        origin: arrival.into(),
    })
}

/// What the form asks for.
fn wanted(form: &Form) -> Result<TokenRequest, OAuthError> {
    let scope = form.single("scope").map(str::parse).transpose();
    let scope = scope.map_err(|error: agentidp_shared::FieldError| {
        OAuthError::bad_request("invalid_scope", error.to_string())
    })?;
    // `audience` is what some clients call `resource`.
    let resources = form
        .all("resource")
        .chain(form.all("audience"))
        .map(str::parse);
    let resources: Vec<Resource> = resources
        .take(MAX_RESOURCES + 1)
        .collect::<Result<_, _>>()
        .map_err(|error: agentidp_shared::FieldError| {
            OAuthError::bad_request("invalid_target", error.to_string())
        })?;
    if resources.len() > MAX_RESOURCES {
        return Err(OAuthError::bad_request(
            "invalid_target",
            "at most 4 resources can be asked for at once",
        ));
    }
    Ok(TokenRequest { scope, resources })
}
