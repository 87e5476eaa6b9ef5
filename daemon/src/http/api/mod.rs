//! The management interface `/api/v1`: an organization's own automation, over REST.
//!
//! A request comes here only by way of the table of routes, which names the scope that it takes.
//! [`answer`] lets it in, reads it ([`request`], [`json`]) and hands it to its operation as a
//! [`Call`], the one place where a handler finds its caller; [`view`] writes records, [`error`]
//! refusals. A new operation is a row in the table, a variant of [`Operation`] and a page in the
//! contract (`http/openapi`); the compiler and a test ask for what is forgotten.

mod agent;
mod audit;
mod credential;
mod error;
mod health;
pub(super) mod json;
mod log;
mod page;
mod request;
mod view;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use agentidp_shared::agent::Transition;
use agentidp_shared::{Action, Code};
use axum::body::Bytes;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

use super::body::BodyError;
use super::client::bearer;
use super::{App, Arrival, body, limit};
use crate::service::Caller;
use crate::service::bearer::Origin;
pub(super) use error::ApiError;
use request::Call;
#[cfg(test)]
pub(super) use view::samples;

/// The limits that requests are held to, for the contract.
pub(super) mod limits {
    pub(in crate::http) use super::agent::{DEFAULT_REASON, MAX_EMAIL_PREFIX, MAX_SEARCH, ORDERS};
    pub(in crate::http) use super::audit::MAX_SEQ;
    pub(in crate::http) use super::page::{DEFAULT_LIMIT, MAX_LIMIT};
    pub(in crate::http) use super::request::MAX_IDEMPOTENCY_KEY;
}

/// What can be asked of the management interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// Registers an agent.
    RegisterAgent,
    /// Lists agents.
    ListAgents,
    /// Shows an agent.
    ShowAgent,
    /// Changes an agent's record.
    UpdateAgent,
    /// Moves an agent through its lifecycle.
    Transition(Transition),
    /// Ends an agent at the end of its life.
    DeleteAgent,
    /// Issues a credential.
    IssueCredential,
    /// Lists an agent's credentials.
    ListCredentials,
    /// Shows a credential.
    ShowCredential,
    /// Replaces a credential.
    RotateCredential,
    /// Revokes a credential.
    RevokeCredential,
    /// Lists entries of the audit log.
    ListAudit,
    /// Shows an entry of the audit log.
    ShowAudit,
    /// Gives the newest checkpoint of the whole log.
    ShowCheckpoint,
    /// Gives a tile of the whole log.
    ShowTile,
    /// Shows the daemon's health, part by part.
    ShowHealth,
}

/// Whether a request has a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyRule {
    /// It has none.
    None,
    /// One may be left out, and then stands for `{}`.
    Optional,
    /// It has one.
    Required,
}

impl Operation {
    /// Whether its requests have a body.
    pub(super) const fn body(self) -> BodyRule {
        match self {
            Self::RegisterAgent | Self::UpdateAgent => BodyRule::Required,
            Self::Transition(transition) => match transition {
                Transition::Resume | Transition::Archive => BodyRule::Optional,
                Transition::Suspend | Transition::Revoke | Transition::Decommission => {
                    BodyRule::Required
                }
            },
            Self::IssueCredential | Self::RotateCredential => BodyRule::Optional,
            Self::ListAgents
            | Self::ShowAgent
            | Self::DeleteAgent
            | Self::ListCredentials
            | Self::ShowCredential
            | Self::RevokeCredential
            | Self::ListAudit
            | Self::ShowAudit
            | Self::ShowCheckpoint
            | Self::ShowTile
            | Self::ShowHealth => BodyRule::None,
        }
    }

    /// Whether it changes nothing.
    const fn is_read(self) -> bool {
        match self {
            Self::ListAgents
            | Self::ShowAgent
            | Self::ListCredentials
            | Self::ShowCredential
            | Self::ListAudit
            | Self::ShowAudit
            | Self::ShowCheckpoint
            | Self::ShowTile
            | Self::ShowHealth => true,
            Self::RegisterAgent
            | Self::UpdateAgent
            | Self::Transition(_)
            | Self::DeleteAgent
            | Self::IssueCredential
            | Self::RotateCredential
            | Self::RevokeCredential => false,
        }
    }

    async fn run(self, call: Call) -> Result<Answer, ApiError> {
        match self {
            Self::RegisterAgent => agent::register(call).await,
            Self::ListAgents => agent::list(call).await,
            Self::ShowAgent => agent::show(&call),
            Self::UpdateAgent => agent::update(call).await,
            Self::Transition(transition) => agent::transition(call, transition).await,
            Self::DeleteAgent => agent::delete(call).await,
            Self::IssueCredential => credential::issue(call).await,
            Self::ListCredentials => credential::list(call),
            Self::ShowCredential => credential::show(&call),
            Self::RotateCredential => credential::rotate(call).await,
            Self::RevokeCredential => credential::revoke(call).await,
            Self::ListAudit => audit::list(call).await,
            Self::ShowAudit => audit::show(call).await,
            Self::ShowCheckpoint => log::checkpoint(call).await,
            Self::ShowTile => log::tile(call).await,
            Self::ShowHealth => health::show(call).await,
        }
    }
}

/// Answers a request for `operation`, which takes `scope` and is `action` in the audit log.
pub(super) async fn answer(
    app: Arc<App>,
    arrival: Arrival,
    operation: Operation,
    (scope, action): (&'static str, Action),
    request: Request,
) -> Response {
    let working = AssertUnwindSafe(work(app, arrival, operation, (scope, action), request));
    let answer = match working.catch_unwind().await {
        Ok(answer) => answer,
        // The panic hook has logged it.
        Err(_) => Err(ApiError::server_error()),
    };
    match answer {
        Ok(answer) => answer.into_response(),
        Err(error) => error.answer(arrival.request_id),
    }
}

async fn work(
    app: Arc<App>,
    arrival: Arrival,
    operation: Operation,
    (scope, action): (&'static str, Action),
    request: Request,
) -> Result<Answer, ApiError> {
    let (parts, body) = request.into_parts();
    // Read first, whoever sends it: one who is still writing may never see an answer.
    let body = body::read(body).await;
    let origin = Origin {
        address: arrival.address,
        request_id: arrival.request_id,
    };
    let token = bearer(&parts.headers);
    // What is no token is refused, and counted, like one that is none of ours.
    let authorized = app
        .service
        .authorize(token.unwrap_or_default(), scope, action, origin);
    let counted = authorized.map_err(|error| match (token, error.code) {
        (None, Code::InvalidToken) => ApiError::no_token(),
        _ => error.into(),
    })?;
    let (caller, headroom) = (counted.value, counted.headroom);
    let (service, asking) = (Arc::clone(&app.service), caller.clone());
    let organization = caller.reach.single();
    let answer = match app.unsent.check(organization) {
        Ok(()) => run(Arc::clone(&app), caller, operation, parts, body).await,
        Err(error) => Err(error.into()),
    };
    let answer = answer.and_then(|mut answer| {
        limit::tell_tighter(&mut answer.headers, arrival, headroom);
        let body = answer.body.clone();
        let body = if operation.is_read() {
            app.unsent.told(organization, body)?
        } else {
            app.unsent.done(organization, body)
        };
        Ok(Answer { body, ..answer })
    });
    // Whatever was attempted is part of the log, whatever came of it. What changes something has its
    // entry from whoever changed it.
    match &answer {
        Ok(_) if operation.is_read() => service.note_read(&asking, action),
        Ok(_) => {}
        Err(error) => service.deny_automation(&asking, action, error.code()),
    }
    answer
}

async fn run(
    app: Arc<App>,
    caller: Caller,
    operation: Operation,
    parts: http::request::Parts,
    body: Result<Bytes, BodyError>,
) -> Result<Answer, ApiError> {
    let call = Call::read(app, caller, operation.body(), parts, body?).await?;
    let is_conditional = call.is_conditional();
    let answer = operation.run(call).await;
    answer.map_err(|error| {
        if is_conditional {
            error.of_precondition()
        } else {
            error
        }
    })
}

/// Whether errors at a path are written as here, or else as RFC 6749 has them.
pub(super) fn is_api(path: &str, issuer_path: &str) -> bool {
    let below = path.strip_prefix(issuer_path).unwrap_or(path);
    below == "/api"
        || ["/api/", "/audit/", "/docs"]
            .iter()
            .any(|it| below.starts_with(it))
        || ["/openapi.json", "/health/detailed"].contains(&below)
}

/// An answer of the management interface.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// 200 with a document.
    fn new(document: &impl Serialize) -> Result<Self, ApiError> {
        let json = serde_json::to_vec(document).map_err(|error| {
            tracing::error!(%error, "an answer cannot be written");
            ApiError::server_error()
        })?;
        Ok(Self::of_json(json.into()))
    }

    /// 200 with JSON.
    fn of_json(json: Bytes) -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: json,
        }
    }

    /// With another media type than JSON.
    fn content_type(mut self, media_type: &'static str) -> Self {
        let media_type = HeaderValue::from_static(media_type);
        self.headers.insert(CONTENT_TYPE, media_type);
        self
    }

    /// With how it may be kept.
    fn cached(mut self, how: &'static str) -> Self {
        let how = HeaderValue::from_static(how);
        self.headers.insert(CACHE_CONTROL, how);
        self
    }

    /// With the revision of the record, to be sent back in `If-Match`.
    fn revision(mut self, revision: u64) -> Self {
        if let Ok(tag) = HeaderValue::try_from(format!("\"{revision}\"")) {
            self.headers.insert(ETAG, tag);
        }
        self
    }

    /// 201, with where the new record is.
    fn created(mut self, location: String) -> Self {
        self.status = StatusCode::CREATED;
        if let Ok(location) = HeaderValue::try_from(location) {
            self.headers.insert(LOCATION, location);
        }
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        let mut response = (self.status, self.body).into_response();
        response.headers_mut().insert(CONTENT_TYPE, json);
        response.headers_mut().extend(self.headers);
        response
    }
}
