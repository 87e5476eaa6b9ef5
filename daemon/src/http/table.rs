//! The table of routes: what there is, and who may use it. What is not here is refused.

use agentidp_shared::Action;
use agentidp_shared::agent::Transition;
use axum::routing::MethodFilter;

use super::api::Operation;
use super::route::{Access, Endpoint, Place, Route};

const fn route(
    method: MethodFilter,
    path: &'static str,
    place: Place,
    access: Access,
    endpoint: Endpoint,
) -> Route {
    Route {
        method,
        path,
        place,
        access,
        endpoint,
    }
}

/// A route of the management interface.
const fn api(
    method: MethodFilter,
    path: &'static str,
    scope: &'static str,
    action: Action,
    operation: Operation,
) -> Route {
    let access = Access::Scope { scope, action };
    route(
        method,
        path,
        Place::Issuer,
        access,
        Endpoint::Api(operation),
    )
}

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;
const PATCH: MethodFilter = MethodFilter::PATCH;
const DELETE: MethodFilter = MethodFilter::DELETE;

const AGENTS: &str = "/api/v1/agents";
const AGENT: &str = "/api/v1/agents/{agent_id}";
const CREDENTIALS: &str = "/api/v1/agents/{agent_id}/credentials";
const CREDENTIAL: &str = "/api/v1/agents/{agent_id}/credentials/{credential_id}";

/// Every route.
pub(super) const ROUTES: &[Route] = &[
    route(
        POST,
        "/oauth2/token",
        Place::Issuer,
        Access::Client,
        Endpoint::Token,
    ),
    route(
        POST,
        "/oauth2/introspect",
        Place::Issuer,
        Access::Client,
        Endpoint::Introspect,
    ),
    route(
        POST,
        "/oauth2/revoke",
        Place::Issuer,
        Access::Client,
        Endpoint::Revoke,
    ),
    route(
        GET,
        "/oauth2/authorize",
        Place::Issuer,
        Access::Anyone,
        Endpoint::Authorize,
    ),
    route(
        GET,
        "/.well-known/oauth-authorization-server",
        Place::WellKnown,
        Access::Anyone,
        Endpoint::Metadata,
    ),
    route(
        GET,
        "/.well-known/openid-configuration",
        Place::WellKnown,
        Access::Anyone,
        Endpoint::Metadata,
    ),
    route(
        GET,
        "/.well-known/jwks.json",
        Place::Issuer,
        Access::Anyone,
        Endpoint::Jwks,
    ),
    route(
        GET,
        "/health/live",
        Place::Root,
        Access::Anyone,
        Endpoint::Live,
    ),
    route(
        GET,
        "/health/ready",
        Place::Root,
        Access::Anyone,
        Endpoint::Ready,
    ),
    route(
        GET,
        "/openapi.json",
        Place::Issuer,
        Access::Anyone,
        Endpoint::Contract,
    ),
    route(GET, "/docs", Place::Issuer, Access::Anyone, Endpoint::Docs),
    route(
        GET,
        "/docs/",
        Place::Issuer,
        Access::Anyone,
        Endpoint::DocsFolder,
    ),
    route(
        GET,
        "/docs/{file}",
        Place::Issuer,
        Access::Anyone,
        Endpoint::DocsFile,
    ),
    route(
        GET,
        "/health/detailed",
        Place::Root,
        Access::Scope {
            scope: "health:read",
            action: Action::HealthCheck,
        },
        Endpoint::Api(Operation::ShowHealth),
    ),
    api(
        POST,
        AGENTS,
        "agents:write",
        Action::AgentRegister,
        Operation::RegisterAgent,
    ),
    api(
        GET,
        AGENTS,
        "agents:read",
        Action::AgentList,
        Operation::ListAgents,
    ),
    api(
        GET,
        AGENT,
        "agents:read",
        Action::AgentShow,
        Operation::ShowAgent,
    ),
    api(
        PATCH,
        AGENT,
        "agents:write",
        Action::AgentUpdate,
        Operation::UpdateAgent,
    ),
    api(
        DELETE,
        AGENT,
        "agents:write",
        Action::AgentDecommission,
        Operation::DeleteAgent,
    ),
    api(
        POST,
        "/api/v1/agents/{agent_id}/suspend",
        "agents:write",
        Action::AgentSuspend,
        Operation::Transition(Transition::Suspend),
    ),
    api(
        POST,
        "/api/v1/agents/{agent_id}/resume",
        "agents:write",
        Action::AgentResume,
        Operation::Transition(Transition::Resume),
    ),
    api(
        POST,
        "/api/v1/agents/{agent_id}/revoke",
        "agents:write",
        Action::AgentRevoke,
        Operation::Transition(Transition::Revoke),
    ),
    api(
        POST,
        "/api/v1/agents/{agent_id}/decommission",
        "agents:write",
        Action::AgentDecommission,
        Operation::Transition(Transition::Decommission),
    ),
    api(
        POST,
        "/api/v1/agents/{agent_id}/archive",
        "agents:write",
        Action::AgentArchive,
        Operation::Transition(Transition::Archive),
    ),
    api(
        POST,
        CREDENTIALS,
        "credentials:write",
        Action::CredentialIssue,
        Operation::IssueCredential,
    ),
    api(
        GET,
        CREDENTIALS,
        "agents:read",
        Action::CredentialList,
        Operation::ListCredentials,
    ),
    api(
        GET,
        CREDENTIAL,
        "agents:read",
        Action::CredentialShow,
        Operation::ShowCredential,
    ),
    api(
        POST,
        "/api/v1/agents/{agent_id}/credentials/{credential_id}/rotate",
        "credentials:write",
        Action::CredentialRotate,
        Operation::RotateCredential,
    ),
    api(
        DELETE,
        CREDENTIAL,
        "credentials:write",
        Action::CredentialRevoke,
        Operation::RevokeCredential,
    ),
    api(
        GET,
        "/api/v1/audit",
        "audit:read",
        Action::AuditList,
        Operation::ListAudit,
    ),
    api(
        GET,
        "/api/v1/audit/{seq}",
        "audit:read",
        Action::AuditList,
        Operation::ShowAudit,
    ),
    api(
        GET,
        "/audit/log/checkpoint",
        "audit:read",
        Action::AuditCheckpoint,
        Operation::ShowCheckpoint,
    ),
    api(
        GET,
        "/audit/log/tile/{*path}",
        "audit:read",
        Action::AuditExport,
        Operation::ShowTile,
    ),
];
