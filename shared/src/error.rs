//! The one list of error codes that every interface answers with, and the error of parsing.

use crate::audit::Outcome;
use crate::text::word_enum;

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

word_enum! {
    /// Why something was refused or failed. gRPC, the command line and the audit log share this
    /// list.
    ///
    /// A code is for programs; the sentence beside it is for people.
    Code, "code" {
        /// A field is missing or broke its rule.
        InvalidArgument = "INVALID_ARGUMENT",
        /// No organization of that id or name.
        OrganizationNotFound = "ORGANIZATION_NOT_FOUND",
        /// No agent of that id or e-mail.
        AgentNotFound = "AGENT_NOT_FOUND",
        /// No credential of that id.
        CredentialNotFound = "CREDENTIAL_NOT_FOUND",
        /// No signing key of that `kid`.
        KeyNotFound = "KEY_NOT_FOUND",
        /// The name or e-mail is taken.
        AlreadyExists = "ALREADY_EXISTS",
        /// The record changed since the caller read it.
        RevisionConflict = "REVISION_CONFLICT",
        /// The record's state does not allow the action.
        InvalidState = "INVALID_STATE",
        /// The caller's role does not allow the action, or the caller has none.
        PermissionDenied = "PERMISSION_DENIED",
        /// A limit on how many of something there may be is reached.
        LimitReached = "LIMIT_REACHED",
        /// The caller asks more often than it may; try again later.
        RateLimited = "RATE_LIMITED",
        /// Too much at once; try again later.
        Overloaded = "OVERLOADED",
        /// Nothing can be written durably; the daemon reads only.
        StoreUnavailable = "STORE_UNAVAILABLE",
        /// The store's disk has little room left; what is free is kept for revocations and the like.
        StorageLow = "STORAGE_LOW",
        /// The machine's clock is so far ahead of the audit log that it is not believed.
        ClockAhead = "CLOCK_AHEAD",
        /// The organization's tier allows no more of it.
        QuotaExceeded = "QUOTA_EXCEEDED",
        /// The idempotency key was used before, for another request.
        IdempotencyConflict = "IDEMPOTENCY_CONFLICT",
        /// There is no such thing for the caller: it is another organization's, or nobody's.
        AuthorizationError = "AUTHORIZATION_ERROR",
        /// The request carries no token, or not one that is good for this server now.
        InvalidToken = "INVALID_TOKEN",
        /// The token was revoked, by itself or with all that were issued until then.
        TokenRevoked = "TOKEN_REVOKED",
        /// The token, or the agent that authenticates, lacks the scope that the request takes.
        InsufficientScope = "INSUFFICIENT_SCOPE",
        /// There is nothing at the path.
        RouteNotFound = "ROUTE_NOT_FOUND",
        /// What is at the path does not answer to the method.
        MethodNotAllowed = "METHOD_NOT_ALLOWED",
        /// The body is larger than one may be.
        BodyTooLarge = "BODY_TOO_LARGE",
        /// The body did not arrive in time.
        BodyTimeout = "BODY_TIMEOUT",
        /// The body is not of a media type that is read here.
        UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE",
        /// The caller went away, or stopped waiting, before the answer; the log says whether it was done.
        Abandoned = "ABANDONED",
        /// A fault of the daemon's own.
        Internal = "INTERNAL",
        /// Client authentication: no client of that id.
        UnknownClient = "UNKNOWN_CLIENT",
        /// Client authentication: the secret is not one of the client's.
        WrongSecret = "WRONG_SECRET",
        /// Client authentication: what was sent cannot be a secret of this server.
        MalformedSecret = "MALFORMED_SECRET",
        /// Client authentication: the assertion is not one that this server accepts of the client.
        WrongAssertion = "WRONG_ASSERTION",
        /// Client authentication: the assertion was used before.
        ReplayedAssertion = "REPLAYED_ASSERTION",
        /// Client authentication: the request carries no usable client authentication.
        MissingAuthentication = "MISSING_AUTHENTICATION",
        /// Client authentication: the credential is revoked.
        CredentialRevoked = "CREDENTIAL_REVOKED",
        /// Client authentication: the credential has expired, or its grace after rotation is over.
        CredentialExpired = "CREDENTIAL_EXPIRED",
        /// The agent is suspended.
        AgentSuspended = "AGENT_SUSPENDED",
        /// The agent is revoked or decommissioned.
        AgentEnded = "AGENT_ENDED",
        /// The agent's organization is suspended.
        OrganizationSuspended = "ORGANIZATION_SUSPENDED",
        /// The request asks for a scope beyond the agent's capabilities.
        ScopeNotAllowed = "SCOPE_NOT_ALLOWED",
        /// The request names a resource that the agent may not ask tokens for.
        ResourceNotAllowed = "RESOURCE_NOT_ALLOWED",
        /// The request is not one that the endpoint's standard allows.
        InvalidRequest = "INVALID_REQUEST",
        /// The grant type is not one that the server offers.
        UnsupportedGrantType = "UNSUPPORTED_GRANT_TYPE",
    }
}

impl Code {
    /// What a request came to, by the audit log, that was let in and ended with this code, whatever it came
    /// through: [`Outcome::Denied`] when a rule keeps it from this caller, also by there being no such
    /// record for them, and [`Outcome::Failed`] otherwise.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::AuthorizationError
            | Self::OrganizationNotFound
            | Self::AgentNotFound
            | Self::CredentialNotFound
            | Self::PermissionDenied
            | Self::ScopeNotAllowed
            | Self::QuotaExceeded => Outcome::Denied,
            _ => Outcome::Failed,
        }
    }
}
