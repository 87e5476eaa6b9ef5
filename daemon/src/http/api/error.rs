//! The one mapping from codes to the answers of the management interface.
//!
//! Every error there is `{"code", "message", "details", "request_id"}`. What does not exist and what
//! is another organization's are one answer, to the byte, apart from the request id.

use std::borrow::Cow;
use std::collections::BTreeMap;

use agentidp_shared::{Code, Exhausted, RequestId};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::http::body::BodyError;
use crate::http::limit;
use crate::service::ServiceError;

/// An error of the management interface. The request's id joins it when it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct ApiError {
    status: StatusCode,
    code: Code,
    message: Cow<'static, str>,
    details: BTreeMap<&'static str, String>,
    retry_after: Option<u32>,
    exhausted: Option<Exhausted>,
    challenge: Option<HeaderValue>,
}

/// The body of an error.
#[derive(Serialize)]
struct Body<'a> {
    code: Code,
    message: &'a str,
    details: &'a BTreeMap<&'static str, String>,
    request_id: RequestId,
}

impl ApiError {
    /// An error of `code` with `message`.
    pub(in crate::http) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: status(code),
            code,
            message: message.into(),
            details: BTreeMap::new(),
            retry_after: None,
            exhausted: None,
            challenge: None,
        }
    }

    /// `INVALID_ARGUMENT`: `field` broke `rule`. The value is not repeated.
    pub(super) fn invalid(field: &str, rule: &str) -> Self {
        let mut error = Self::new(Code::InvalidArgument, format!("{field}: {rule}"));
        error.details.insert("field", field.to_owned());
        error
    }

    /// `INVALID_TOKEN` for a request without any: it is told how to authenticate, and of no error
    /// (RFC 6750, section 3.1).
    pub(super) fn no_token() -> Self {
        let message = "the request takes an access token in its Authorization header";
        Self {
            challenge: Some(HeaderValue::from_static("Bearer realm=\"agentidp\"")),
            ..Self::new(Code::InvalidToken, message)
        }
    }

    /// The error of a request that named the revision it takes for the current one: a stale one is
    /// a precondition that failed (RFC 9110, section 13.1.1).
    pub(super) fn of_precondition(mut self) -> Self {
        if self.code == Code::RevisionConflict {
            self.status = StatusCode::PRECONDITION_FAILED;
        }
        self
    }

    /// The code, for the one who looks after the answer.
    pub(super) const fn code(&self) -> Code {
        self.code
    }

    /// The field that broke a rule.
    #[cfg(test)]
    pub(super) fn field(&self) -> Option<&str> {
        self.details.get("field").map(String::as_str)
    }

    /// The answer to the request `request_id`.
    pub(in crate::http) fn answer(&self, request_id: RequestId) -> Response {
        let body = Body {
            code: self.code,
            message: &self.message,
            details: &self.details,
            request_id,
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(challenge) = &self.challenge {
            headers.insert(WWW_AUTHENTICATE, challenge.clone());
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

/// The status of a code.
const fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument
        | Code::InvalidRequest
        | Code::ResourceNotAllowed
        | Code::UnsupportedGrantType => StatusCode::BAD_REQUEST,
        Code::InvalidToken
        | Code::TokenRevoked
        | Code::UnknownClient
        | Code::WrongSecret
        | Code::MalformedSecret
        | Code::WrongAssertion
        | Code::ReplayedAssertion
        | Code::MissingAuthentication
        | Code::CredentialRevoked
        | Code::CredentialExpired
        | Code::AgentSuspended
        | Code::AgentEnded
        | Code::OrganizationSuspended => StatusCode::UNAUTHORIZED,
        Code::AuthorizationError
        | Code::OrganizationNotFound
        | Code::AgentNotFound
        | Code::CredentialNotFound
        | Code::KeyNotFound
        | Code::InsufficientScope
        | Code::ScopeNotAllowed
        | Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::RouteNotFound => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::BodyTimeout | Code::Abandoned => StatusCode::REQUEST_TIMEOUT,
        // What a quota of the tier forbids stays forbidden until something ends: to wait is no help.
        Code::AlreadyExists
        | Code::RevisionConflict
        | Code::InvalidState
        | Code::LimitReached
        | Code::QuotaExceeded
        | Code::IdempotencyConflict => StatusCode::CONFLICT,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Overloaded | Code::StoreUnavailable | Code::StorageLow | Code::ClockAhead => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        match error.code {
            // One answer for all of these, to the byte: it must not tell what others have.
            Code::OrganizationNotFound
            | Code::AgentNotFound
            | Code::CredentialNotFound
            | Code::KeyNotFound
            | Code::AuthorizationError => Self::new(
                Code::AuthorizationError,
                "there is no such thing for this token",
            ),
            Code::Internal => {
                tracing::error!(%error, "a request failed");
                Self::server_error()
            }
            Code::InvalidToken => Self {
                challenge: Some(HeaderValue::from_static(
                    "Bearer realm=\"agentidp\", error=\"invalid_token\"",
                )),
                ..Self::new(error.code, error.message)
            },
            Code::InsufficientScope => {
                let scope = error.details.get("scope").map_or("", String::as_str);
                let challenge = format!(
                    "Bearer realm=\"agentidp\", error=\"insufficient_scope\", scope=\"{scope}\""
                );
                Self {
                    challenge: HeaderValue::try_from(challenge).ok(),
                    details: error.details,
                    ..Self::new(error.code, error.message)
                }
            }
            code => Self {
                details: error.details,
                exhausted: error.exhausted,
                retry_after: match code {
                    Code::RateLimited => error.exhausted.map(|it| it.retry_after),
                    Code::Overloaded => Some(1),
                    Code::StoreUnavailable | Code::ClockAhead => Some(10),
                    Code::StorageLow => Some(60),
                    _ => None,
                },
                ..Self::new(code, error.message)
            },
        }
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::new(Code::BodyTooLarge, "the body must be at most 64 KiB"),
            BodyError::TooSlow => {
                Self::new(Code::BodyTimeout, "the body did not arrive within 10 s")
            }
            BodyError::Broken => Self::new(Code::InvalidArgument, "the body did not arrive"),
        }
    }
}

impl ApiError {
    /// 500, of which the log has more.
    pub(in crate::http) fn server_error() -> Self {
        Self::new(
            Code::Internal,
            "the server failed; its log has the request id",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_and_what_is_another_s_are_one_answer() {
        let one: ApiError = ServiceError::agent_not_found().into();
        for other in [
            ServiceError::credential_not_found(),
            ServiceError::organization_not_found(),
            ServiceError::new(Code::AuthorizationError, "whatever").with("id", "x"),
        ] {
            assert_eq!(ApiError::from(other), one);
        }
        assert_eq!(one.status, StatusCode::FORBIDDEN);
    }

    #[test]
    fn only_faults_of_the_server_are_answered_as_such() {
        for code in Code::ALL {
            let status = status(*code);
            let is_fault = matches!(
                code,
                Code::Internal
                    | Code::Overloaded
                    | Code::StoreUnavailable
                    | Code::StorageLow
                    | Code::ClockAhead
            );
            assert_eq!(status.is_server_error(), is_fault, "{code}");
            assert!(status.is_client_error() || is_fault, "{code}");
        }
    }
}
