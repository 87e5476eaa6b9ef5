//! What is in the audit log of each call and route.

use Expected::{Change, Public, Read};

use super::rpc::STANDARD;

/// What is in the log of something that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// An entry that names this kind of record, made before the answer was given. The store as a whole
    /// has no record, and the entry no target.
    Change(&'static str, &'static str),
    /// A count, written by the hour and when the daemon stops: who, what, how often.
    Read(&'static str),
    /// Nothing: it tells what anyone may know.
    Public,
}

/// What is expected of the calls.
pub(super) const CALLS: &[(&str, Expected)] = &[
    (
        "OrganizationService/Create",
        Change("organization.create", "organization"),
    ),
    ("OrganizationService/Get", Read("organization.show")),
    ("OrganizationService/List", Read("organization.list")),
    (
        "OrganizationService/Update",
        Change("organization.update", "organization"),
    ),
    (
        "OrganizationService/Suspend",
        Change("organization.suspend", "organization"),
    ),
    (
        "OrganizationService/Resume",
        Change("organization.resume", "organization"),
    ),
    (
        "OrganizationService/Hold",
        Change("organization.hold", "organization"),
    ),
    (
        "OrganizationService/Release",
        Change("organization.release", "organization"),
    ),
    ("AgentService/Register", Change("agent.register", "agent")),
    (
        "AgentService/RegisterMany",
        Change("agent.register", "agent"),
    ),
    ("AgentService/Get", Read("agent.show")),
    ("AgentService/GetActivity", Read("agent.show")),
    ("AgentService/List", Read("agent.list")),
    ("AgentService/Update", Change("agent.update", "agent")),
    ("AgentService/Suspend", Change("agent.suspend", "agent")),
    ("AgentService/Resume", Change("agent.resume", "agent")),
    ("AgentService/Revoke", Change("agent.revoke", "agent")),
    (
        "AgentService/Decommission",
        Change("agent.decommission", "agent"),
    ),
    ("AgentService/Archive", Change("agent.archive", "agent")),
    (
        "AgentService/TransitionMany",
        Change("agent.suspend", "agent"),
    ),
    (
        "CredentialService/Issue",
        Change("credential.issue", "credential"),
    ),
    (
        "CredentialService/Rotate",
        Change("credential.rotate", "credential"),
    ),
    (
        "CredentialService/Revoke",
        Change("credential.revoke", "credential"),
    ),
    ("CredentialService/List", Read("credential.list")),
    ("CredentialService/Get", Read("credential.show")),
    ("CredentialService/Review", Read("credential.list")),
    ("TokenService/Inspect", Read("token.introspect")),
    ("TokenService/Revoke", Change("token.revoke", "token")),
    ("TokenService/RevokeIssued", Change("token.revoke", "")),
    ("SigningKeyService/List", Read("key.list")),
    (
        "SigningKeyService/Rotate",
        Change("key.rotate", "signing_key"),
    ),
    ("AuditService/List", Read("audit.list")),
    ("AuditService/Tail", Read("audit.tail")),
    ("AuditService/GetKey", Read("audit.key")),
    ("AuditService/Prove", Read("audit.prove")),
    ("AuditService/GetCheckpoint", Read("audit.checkpoint")),
    ("AuditService/ProveConsistency", Read("audit.consistency")),
    ("AuditService/Export", Read("audit.export")),
    ("AuditService/Prune", Change("audit.prune", "")),
    ("ChangeService/Watch", Read("change.watch")),
    ("StoreService/Check", Change("store.check", "store")),
    ("StoreService/Compact", Change("store.compact", "store")),
    ("BackupService/Create", Change("backup.create", "backup")),
    ("StatusService/Get", Read("status.show")),
    ("StatusService/Count", Read("status.show")),
    (STANDARD[0], Read("health.check")),
    (STANDARD[1], Read("health.check")),
    (STANDARD[2], Read("reflection.read")),
    (STANDARD[3], Read("reflection.read")),
];

/// What is expected of the routes.
pub(super) const ROUTES: &[(&str, &str, Expected)] = &[
    ("get", "/.well-known/jwks.json", Public),
    ("get", "/.well-known/oauth-authorization-server", Public),
    ("get", "/.well-known/openid-configuration", Public),
    ("get", "/docs", Public),
    ("get", "/docs/", Public),
    ("get", "/docs/{file}", Public),
    ("get", "/health/live", Public),
    ("get", "/health/ready", Public),
    ("get", "/oauth2/authorize", Public),
    ("get", "/openapi.json", Public),
    ("get", "/health/detailed", Read("health.check")),
    ("post", "/oauth2/token", Change("token.issue", "")),
    // The first of a minute is an entry of its own.
    ("post", "/oauth2/introspect", Change("token.introspect", "")),
    ("post", "/oauth2/revoke", Change("token.revoke", "token")),
    ("get", "/api/v1/agents", Read("agent.list")),
    ("post", "/api/v1/agents", Change("agent.register", "agent")),
    ("get", "/api/v1/agents/{agent_id}", Read("agent.show")),
    (
        "patch",
        "/api/v1/agents/{agent_id}",
        Change("agent.update", "agent"),
    ),
    (
        "delete",
        "/api/v1/agents/{agent_id}",
        Change("agent.decommission", "agent"),
    ),
    (
        "post",
        "/api/v1/agents/{agent_id}/suspend",
        Change("agent.suspend", "agent"),
    ),
    (
        "post",
        "/api/v1/agents/{agent_id}/resume",
        Change("agent.resume", "agent"),
    ),
    (
        "post",
        "/api/v1/agents/{agent_id}/revoke",
        Change("agent.revoke", "agent"),
    ),
    (
        "post",
        "/api/v1/agents/{agent_id}/decommission",
        Change("agent.decommission", "agent"),
    ),
    (
        "post",
        "/api/v1/agents/{agent_id}/archive",
        Change("agent.archive", "agent"),
    ),
    (
        "post",
        "/api/v1/agents/{agent_id}/credentials",
        Change("credential.issue", "credential"),
    ),
    (
        "get",
        "/api/v1/agents/{agent_id}/credentials",
        Read("credential.list"),
    ),
    (
        "get",
        "/api/v1/agents/{agent_id}/credentials/{credential_id}",
        Read("credential.show"),
    ),
    (
        "post",
        "/api/v1/agents/{agent_id}/credentials/{credential_id}/rotate",
        Change("credential.rotate", "credential"),
    ),
    (
        "delete",
        "/api/v1/agents/{agent_id}/credentials/{credential_id}",
        Change("credential.revoke", "credential"),
    ),
    ("get", "/api/v1/audit", Read("audit.list")),
    ("get", "/api/v1/audit/{seq}", Read("audit.list")),
    ("get", "/audit/log/checkpoint", Read("audit.checkpoint")),
    ("get", "/audit/log/tile/{path}", Read("audit.export")),
];
