//! Why the service refused or failed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use agentidp_shared::{Code, Entry, Exhausted, FieldError};

use crate::crypto::CryptoError;
use crate::store::{CommitError, Conflict, ReadError, TemporaryKey};

/// A cause from the one list of codes, and a sentence for people. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ServiceError {
    /// The cause.
    pub(crate) code: Code,
    /// What happened and what to do, in one sentence.
    pub(crate) message: Cow<'static, str>,
    /// What a program may want to know beside the code, by name.
    pub(crate) details: BTreeMap<&'static str, String>,
    /// The bucket that was found empty, for `RATE_LIMITED`.
    pub(crate) exhausted: Option<Exhausted>,
}

impl ServiceError {
    /// An error of `code` with `message`.
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            details: BTreeMap::new(),
            exhausted: None,
        }
    }

    /// The error, with something that a program may want to know.
    pub(crate) fn with(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.details.insert(name, value.to_string());
        self
    }

    /// `RATE_LIMITED`.
    pub(crate) fn rate_limited(exhausted: Exhausted) -> Self {
        let seconds = exhausted.retry_after;
        let message = format!("too many requests: try again in {seconds} s");
        Self {
            exhausted: Some(exhausted),
            ..Self::new(Code::RateLimited, message)
        }
    }

    /// `REVISION_CONFLICT`: the caller saw revision `seen` of a record whose last change is `entry`. Which fields an
    /// update changed is told too, and how many changes there were if it was not the only one.
    pub(crate) fn revision_conflict(seen: u64, current: u64, entry: Option<&Entry>) -> Self {
        let change = entry.map_or_else(String::new, |entry| {
            let name = entry.actor.name.as_deref().or(entry.actor.id.as_deref());
            let actor = name.unwrap_or(entry.actor.kind.as_str());
            let fields = match entry.changed.as_slice() {
                [] => String::new(),
                fields => format!(" of {}", fields.join(", ")),
            };
            let which = match current.saturating_sub(seen) {
                0 | 1 => "the last change".to_owned(),
                many => format!("the last of {many} changes since then"),
            };
            format!(
                "; {which} is {}{fields} by {actor} at {} (audit {})",
                entry.action, entry.time, entry.seq
            )
        });
        let message = format!(
            "the record has revision {current} now, not {seen}{change}: look at it again and repeat"
        );
        let error = Self::new(Code::RevisionConflict, message).with("revision", current);
        let Some(entry) = entry else { return error };
        let error = error
            .with("action", entry.action)
            .with("time", entry.time)
            .with("audit_seq", entry.seq);
        match entry.changed.as_slice() {
            [] => error,
            fields => error.with("changed", fields.join(" ")),
        }
    }

    /// `STORAGE_LOW`.
    pub(crate) fn low_on_space() -> Self {
        Self::new(
            Code::StorageLow,
            "the store is low on space, and what is left is kept for revocations and suspensions: an administrator has to make room on its disk; nothing has to be restarted then",
        )
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

    /// `KEY_NOT_FOUND`.
    pub(crate) fn key_not_found() -> Self {
        Self::new(Code::KeyNotFound, "no signing key has this kid")
    }
}

impl From<FieldError> for ServiceError {
    fn from(error: FieldError) -> Self {
        Self::new(Code::InvalidArgument, error.to_string()).with("field", error.field)
    }
}

impl From<Conflict> for ServiceError {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Revision(_) => Self::new(
                Code::RevisionConflict,
                format!("{conflict}: look at it again and repeat"),
            ),
            Conflict::Taken(what) => {
                Self::new(Code::AlreadyExists, conflict.to_string()).with("field", what)
            }
            Conflict::Renamed(what) => {
                Self::new(Code::InvalidArgument, conflict.to_string()).with("field", what)
            }
            Conflict::Quota(agents) => Self::new(
                Code::QuotaExceeded,
                format!("{conflict}: end one first, or have the organization's tier changed"),
            )
            .with("agents", agents),
            Conflict::Kept(TemporaryKey::UsedAssertion(_)) => Self::new(
                Code::ReplayedAssertion,
                "the assertion was used before: make a new one for each request",
            ),
            Conflict::Kept(TemporaryKey::Idempotency(_)) => Self::new(
                Code::IdempotencyConflict,
                "another request under this idempotency key was made meanwhile: repeat to have its answer",
            ),
            Conflict::Kept(TemporaryKey::RevokedToken(_)) => {
                Self::new(Code::InvalidState, "the token is revoked already")
            }
            Conflict::Kept(TemporaryKey::Notice(_)) => {
                Self::new(Code::InvalidState, "it has been said already")
            }
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
            CommitError::LowOnSpace => Self::low_on_space(),
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
        let code = match error {
            CryptoError::Overloaded => Code::Overloaded,
            _ => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}
