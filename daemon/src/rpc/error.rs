//! The one mapping from the service's errors to gRPC statuses.

use agentidp_proto::CODE_METADATA;
use agentidp_shared::{Code, FieldError};
use tonic::metadata::MetadataValue;
use tonic::{Code as Grpc, Status};

use crate::service::ServiceError;

/// The status of an error, with its code in the metadata.
pub(super) fn status(error: &ServiceError) -> Status {
    if error.code == Code::Internal {
        tracing::error!(%error, "a call failed");
    }
    let mut status = Status::new(grpc_code(error.code), error.message.clone());
    status.metadata_mut().insert(
        CODE_METADATA,
        MetadataValue::from_static(error.code.as_str()),
    );
    status
}

/// The status of a field that broke a rule.
pub(super) fn invalid(error: FieldError) -> Status {
    status(&error.into())
}

const fn grpc_code(code: Code) -> Grpc {
    match code {
        Code::RouteNotFound | Code::MethodNotAllowed => Grpc::Unimplemented,
        Code::InvalidArgument
        | Code::InvalidRequest
        | Code::BodyTooLarge
        | Code::BodyTimeout
        | Code::UnsupportedMediaType
        | Code::UnsupportedGrantType => Grpc::InvalidArgument,
        Code::OrganizationNotFound
        | Code::AgentNotFound
        | Code::CredentialNotFound
        | Code::KeyNotFound => Grpc::NotFound,
        Code::AlreadyExists => Grpc::AlreadyExists,
        Code::RevisionConflict | Code::IdempotencyConflict => Grpc::Aborted,
        Code::InvalidState => Grpc::FailedPrecondition,
        Code::PermissionDenied
        | Code::AuthorizationError
        | Code::InsufficientScope
        | Code::ScopeNotAllowed
        | Code::ResourceNotAllowed => Grpc::PermissionDenied,
        Code::LimitReached | Code::QuotaExceeded | Code::RateLimited | Code::StorageLow => {
            Grpc::ResourceExhausted
        }
        Code::Overloaded | Code::StoreUnavailable | Code::ClockAhead => Grpc::Unavailable,
        Code::Abandoned => Grpc::Cancelled,
        Code::Internal => Grpc::Internal,
        Code::UnknownClient
        | Code::WrongSecret
        | Code::MalformedSecret
        | Code::WrongAssertion
        | Code::ReplayedAssertion
        | Code::InvalidToken
        | Code::TokenRevoked
        | Code::MissingAuthentication
        | Code::CredentialRevoked
        | Code::CredentialExpired
        | Code::AgentSuspended
        | Code::AgentEnded
        | Code::OrganizationSuspended => Grpc::Unauthenticated,
    }
}
