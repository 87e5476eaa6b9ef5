//! The one list of error codes that every interface answers with, and the error of parsing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value from outside that broke a rule: which field, and which rule.
///
/// The value itself is not repeated: it may be a secret, or megabytes long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct FieldError {
    /// The field's name as the records and the wire spell it.
    pub field: &'static str,
    /// The rule that the value broke, as a sentence without a full stop.
    pub rule: &'static str,
}

impl FieldError {
    /// An error for `field`, which broke `rule`.
    #[must_use]
    pub const fn new(field: &'static str, rule: &'static str) -> Self {
        Self { field, rule }
    }
}

/// Why something was refused or failed. gRPC, the command line and the audit log share this list.
///
/// A code is for programs; the sentence beside it is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// A field is missing or broke its rule.
    InvalidArgument,
    /// No organization of that id or name.
    OrganizationNotFound,
    /// No agent of that id or e-mail.
    AgentNotFound,
    /// No credential of that id.
    CredentialNotFound,
    /// The name or e-mail is taken.
    AlreadyExists,
    /// The record changed since the caller read it.
    RevisionConflict,
    /// The record's state does not allow the action.
    InvalidState,
    /// The caller's role does not allow the action, or the caller has none.
    PermissionDenied,
    /// A limit on how many of something there may be is reached.
    LimitReached,
    /// Too much at once; try again later.
    Overloaded,
    /// Nothing can be written durably; the daemon reads only.
    StoreUnavailable,
    /// A fault of the daemon's own.
    Internal,
    /// Client authentication: no client of that id.
    UnknownClient,
    /// Client authentication: the secret is not one of the client's.
    WrongSecret,
    /// Client authentication: what was sent cannot be a secret of this server.
    MalformedSecret,
    /// Client authentication: the request carries no usable client authentication.
    MissingAuthentication,
    /// Client authentication: the credential is revoked.
    CredentialRevoked,
    /// Client authentication: the credential has expired, or its grace after rotation is over.
    CredentialExpired,
    /// The agent is suspended.
    AgentSuspended,
    /// The agent is revoked or decommissioned.
    AgentEnded,
    /// The agent's organization is suspended.
    OrganizationSuspended,
    /// The request asks for a scope beyond the agent's capabilities.
    ScopeNotAllowed,
    /// The request names a resource that the agent may not ask tokens for.
    ResourceNotAllowed,
    /// The request is not one that the endpoint's standard allows.
    InvalidRequest,
    /// The grant type is not one that the server offers.
    UnsupportedGrantType,
}

impl Code {
    /// The code as it stands on the wire and in the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::OrganizationNotFound => "ORGANIZATION_NOT_FOUND",
            Self::AgentNotFound => "AGENT_NOT_FOUND",
            Self::CredentialNotFound => "CREDENTIAL_NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::RevisionConflict => "REVISION_CONFLICT",
            Self::InvalidState => "INVALID_STATE",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::LimitReached => "LIMIT_REACHED",
            Self::Overloaded => "OVERLOADED",
            Self::StoreUnavailable => "STORE_UNAVAILABLE",
            Self::Internal => "INTERNAL",
            Self::UnknownClient => "UNKNOWN_CLIENT",
            Self::WrongSecret => "WRONG_SECRET",
            Self::MalformedSecret => "MALFORMED_SECRET",
            Self::MissingAuthentication => "MISSING_AUTHENTICATION",
            Self::CredentialRevoked => "CREDENTIAL_REVOKED",
            Self::CredentialExpired => "CREDENTIAL_EXPIRED",
            Self::AgentSuspended => "AGENT_SUSPENDED",
            Self::AgentEnded => "AGENT_ENDED",
            Self::OrganizationSuspended => "ORGANIZATION_SUSPENDED",
            Self::ScopeNotAllowed => "SCOPE_NOT_ALLOWED",
            Self::ResourceNotAllowed => "RESOURCE_NOT_ALLOWED",
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::UnsupportedGrantType => "UNSUPPORTED_GRANT_TYPE",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn a_code_is_spelled_alike_by_serde_and_as_str() {
        for code in [
            Code::InvalidArgument,
            Code::AgentEnded,
            Code::UnsupportedGrantType,
        ] {
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(json, format!("\"{code}\""));
        }
    }
}
