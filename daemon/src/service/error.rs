//! Why the service refused or failed.

use std::borrow::Cow;

use agentidp_shared::{Code, FieldError};

use crate::crypto::CryptoError;
use crate::store::{CommitError, Conflict, ReadError};

/// A cause from the one list of codes, and a sentence for people. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ServiceError {
    /// The cause.
    pub(crate) code: Code,
    /// What happened and what to do, in one sentence.
    pub(crate) message: Cow<'static, str>,
}

impl ServiceError {
    /// An error of `code` with `message`.
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// `ORGANIZATION_NOT_FOUND`.
    pub(crate) fn organization_not_found() -> Self {
        Self::new(
            Code::OrganizationNotFound,
            "no organization has this id or name",
        )
    }

    /// `AGENT_NOT_FOUND`.
    pub(crate) fn agent_not_found() -> Self {
        Self::new(Code::AgentNotFound, "no agent has this id or e-mail")
    }

    /// `CREDENTIAL_NOT_FOUND`.
    pub(crate) fn credential_not_found() -> Self {
        Self::new(Code::CredentialNotFound, "no credential has this id")
    }
}

impl From<FieldError> for ServiceError {
    fn from(error: FieldError) -> Self {
        Self::new(Code::InvalidArgument, error.to_string())
    }
}

impl From<Conflict> for ServiceError {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Revision(_) => Self::new(
                Code::RevisionConflict,
                format!("{conflict}: look at it again and repeat"),
            ),
            Conflict::Taken(_) => Self::new(Code::AlreadyExists, conflict.to_string()),
        }
    }
}

impl From<CommitError> for ServiceError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict(conflict) => conflict.into(),
            CommitError::TooLarge => Self::new(Code::InvalidArgument, error.to_string()),
            CommitError::Overloaded => Self::new(
                Code::Overloaded,
                "the daemon is overloaded: try again in a second",
            ),
            CommitError::Unavailable(cause) => {
                tracing::error!(%cause, "a commit was refused");
                Self::new(
                    Code::StoreUnavailable,
                    "nothing can be written now: the daemon's log says why",
                )
            }
        }
    }
}

impl From<ReadError> for ServiceError {
    fn from(error: ReadError) -> Self {
        tracing::error!(%error, "the store could not be read");
        Self::new(
            Code::Internal,
            "the store could not be read: the daemon's log says why",
        )
    }
}

impl From<CryptoError> for ServiceError {
    fn from(error: CryptoError) -> Self {
        Self::new(Code::Internal, error.to_string())
    }
}
