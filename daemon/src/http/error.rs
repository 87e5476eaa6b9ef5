//! The one mapping from errors to answers of RFC 6749, section 5.2, and the answers to what is no
//! route.

use std::sync::Arc;

use agentidp_shared::{Action, Code, Exhausted, RequestId};
use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode, Uri};
use serde::Serialize;
use tokio::time::{Duration, Instant};

use super::api::{self, ApiError};
use super::{App, Arrival, limit};
use crate::service::ServiceError;

/// An OAuth error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OAuthError {
    status: StatusCode,
    error: &'static str,
    description: String,
    retry_after: Option<u32>,
    exhausted: Option<Exhausted>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    error_description: &'a str,
}

impl OAuthError {
    /// 400 `invalid_request` (RFC 6749, section 5.2). The description names no value.
    pub(super) fn invalid_request(description: impl Into<String>) -> Self {
        Self::bad_request("invalid_request", description)
    }

    /// 400 with another error of RFC 6749 or 8707.
    pub(super) fn bad_request(error: &'static str, description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description: description.into(),
            retry_after: None,
            exhausted: None,
        }
    }

    /// `invalid_request` with a status that says more.
    pub(super) fn with_status(status: StatusCode, description: impl Into<String>) -> Self {
        Self {
            status,
            ..Self::invalid_request(description)
        }
    }

    fn unavailable(description: &'static str, retry_after: u32) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            retry_after: Some(retry_after),
            ..Self::bad_request("temporarily_unavailable", description)
        }
    }

    /// 500 `server_error`.
    pub(super) fn server_error() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..Self::bad_request(
                "server_error",
                "the server failed; its log has the request id",
            )
        }
    }
}

impl From<ServiceError> for OAuthError {
    fn from(error: ServiceError) -> Self {
        if error.code == Code::Internal {
            tracing::error!(%error, "a request failed");
        }
        match error.code {
            // One answer for all of these, to the byte: it must not tell which clients there are.
            Code::UnknownClient
            | Code::WrongSecret
            | Code::MalformedSecret
            | Code::WrongAssertion
            | Code::ReplayedAssertion
            | Code::MissingAuthentication
            | Code::CredentialRevoked
            | Code::CredentialExpired
            | Code::AgentSuspended
            | Code::AgentEnded
            | Code::OrganizationSuspended => Self {
                status: StatusCode::UNAUTHORIZED,
                ..Self::bad_request("invalid_client", "client authentication failed")
            },
            Code::InvalidToken | Code::TokenRevoked => Self {
                status: StatusCode::UNAUTHORIZED,
                ..Self::bad_request("invalid_token", error.message)
            },
            Code::InsufficientScope => Self {
                status: StatusCode::FORBIDDEN,
                ..Self::bad_request("insufficient_scope", error.message)
            },
            Code::ScopeNotAllowed => Self::bad_request("invalid_scope", error.message),
            Code::ResourceNotAllowed => Self::bad_request("invalid_target", error.message),
            Code::UnsupportedGrantType => {
                Self::bad_request("unsupported_grant_type", error.message)
            }
            Code::InvalidRequest | Code::InvalidArgument => Self::invalid_request(error.message),
            Code::QuotaExceeded => Self {
                status: StatusCode::TOO_MANY_REQUESTS,
                retry_after: Some(QUOTA_RETRY),
                ..Self::bad_request("temporarily_unavailable", error.message)
            },
            // RFC 6749 has no word of its own for it.
            Code::RateLimited => Self {
                status: StatusCode::TOO_MANY_REQUESTS,
                retry_after: error.exhausted.map(|it| it.retry_after),
                exhausted: error.exhausted,
                ..Self::bad_request("temporarily_unavailable", error.message)
            },
            Code::Overloaded => Self::unavailable("the server is overloaded", 1),
            Code::StoreUnavailable | Code::ClockAhead => {
                Self::unavailable("the server cannot do this now", 10)
            }
            // Someone has to make room first.
            Code::StorageLow => Self::unavailable("the server cannot do this now", 60),
            Code::OrganizationNotFound
            | Code::AgentNotFound
            | Code::CredentialNotFound
            | Code::KeyNotFound
            | Code::AlreadyExists
            | Code::RevisionConflict
            | Code::InvalidState
            | Code::PermissionDenied
            | Code::LimitReached
            | Code::IdempotencyConflict
            | Code::AuthorizationError
            | Code::RouteNotFound
            | Code::MethodNotAllowed
            | Code::BodyTooLarge
            | Code::BodyTimeout
            | Code::UnsupportedMediaType
            | Code::Abandoned
            | Code::Internal => Self::server_error(),
        }
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = Body {
            error: self.error,
            error_description: &self.description,
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        let challenge = match (self.status, self.error) {
            (_, "invalid_token") => Some("Bearer realm=\"agentidp\", error=\"invalid_token\""),
            (_, "insufficient_scope") => {
                Some("Bearer realm=\"agentidp\", error=\"insufficient_scope\"")
            }
            (StatusCode::UNAUTHORIZED, _) => Some("Basic realm=\"agentidp\", charset=\"UTF-8\""),
            _ => None,
        };
        if let Some(challenge) = challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(exhausted) = self.exhausted {
            limit::tell(headers, exhausted.headroom);
        }
        response
    }
}

/// How long after its request a failed authentication is answered: longer than any of the ways in which
/// it can fail takes, so that the time does not tell them apart. No failure asks argon2.
const EVEN: Duration = Duration::from_millis(5);

/// When a request began to be answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Started(Instant);

impl Started {
    /// Now.
    pub(super) fn now() -> Self {
        Self(Instant::now())
    }

    /// Gives `error` back, and if it is that authentication failed, at a time that does not tell why.
    pub(super) async fn even(self, error: OAuthError) -> OAuthError {
        if error.status == StatusCode::UNAUTHORIZED {
            tokio::time::sleep_until(self.0 + EVEN).await;
        }
        error
    }
}

/// After how many seconds it is worth asking again when a month's tokens are used up: the tier may
/// have been changed.
const QUOTA_RETRY: u32 = 3_600;

/// The answer to a request that is refused before any route has it, in the form that errors have at
/// the path.
pub(super) fn refused(
    app: &App,
    path: &str,
    request_id: RequestId,
    error: ServiceError,
) -> Response {
    if api::is_api(path, app.issuer_path()) {
        ApiError::from(error).answer(request_id)
    } else {
        OAuthError::from(error).into_response()
    }
}

/// Puts into the log, or counts, that a request was refused before anyone looked at what it asks. Nothing that
/// it says stands there: credentials may be in its query.
pub(super) fn log_refusal(app: &App, arrival: Arrival, code: Code) {
    let (address, id) = (arrival.address, Some(arrival.request_id));
    app.service
        .deny_stranger(address, code, id, Action::RequestRefuse);
}

/// 404 for what is not in the table, in the form that errors have at the path.
pub(super) async fn not_found(
    State(app): State<Arc<App>>,
    Extension(arrival): Extension<Arrival>,
    uri: Uri,
) -> Response {
    const MESSAGE: &str = "there is nothing at this path";
    if api::is_api(uri.path(), app.issuer_path()) {
        return ApiError::new(Code::RouteNotFound, MESSAGE).answer(arrival.request_id);
    }
    OAuthError::with_status(StatusCode::NOT_FOUND, MESSAGE).into_response()
}

/// 405 for a method that is not in the table with the path. Axum adds the `Allow` that RFC 9110,
/// section 15.5.6, requires.
pub(super) async fn method_not_allowed(
    State(app): State<Arc<App>>,
    Extension(arrival): Extension<Arrival>,
    uri: Uri,
) -> Response {
    const MESSAGE: &str = "what is at this path does not answer to the method";
    log_refusal(&app, arrival, Code::MethodNotAllowed);
    if api::is_api(uri.path(), app.issuer_path()) {
        return ApiError::new(Code::MethodNotAllowed, MESSAGE).answer(arrival.request_id);
    }
    OAuthError::with_status(StatusCode::METHOD_NOT_ALLOWED, MESSAGE).into_response()
}
