//! What the contract says of the management interface.

use agentidp_shared::agent::Transition;
use serde_json::{Value, json};

use super::operation::{JSON, Page, content, parameter};
use super::schema::{self, reference};
use crate::http::api::limits::{
    DEFAULT_LIMIT, DEFAULT_REASON, MAX_EMAIL_PREFIX, MAX_IDEMPOTENCY_KEY, MAX_LIMIT, MAX_SEARCH,
    MAX_SEQ, ORDERS,
};
use crate::http::api::{BodyRule, Operation};

/// What the contract says of an operation.
pub(super) fn page(operation: Operation) -> Page {
    let (id, tag, summary) = name(operation);
    let (parameters, request, success) = match operation {
        Operation::RegisterAgent => (
            vec![idempotency_key()],
            Some("AgentRegistration"),
            ("201", created("Agent", "The agent.")),
        ),
        Operation::ListAgents => (agent_filters(), None, list("AgentPage")),
        Operation::ShowAgent => (
            vec![agent_id()],
            None,
            ("200", record("Agent", "The agent.")),
        ),
        Operation::UpdateAgent => (
            vec![agent_id(), if_match(), idempotency_key()],
            Some("AgentUpdate"),
            ("200", record("Agent", "The agent as it is now.")),
        ),
        Operation::Transition(_) => (
            vec![agent_id(), if_match(), idempotency_key()],
            Some(match operation.body() {
                BodyRule::Required => "Reason",
                BodyRule::Optional | BodyRule::None => "OptionalReason",
            }),
            ("200", record("Agent", "The agent as it is now.")),
        ),
        Operation::DeleteAgent => (
            vec![agent_id(), reason_query(), if_match(), idempotency_key()],
            None,
            ("200", record("Agent", "The agent as it is now.")),
        ),
        Operation::IssueCredential => (
            vec![agent_id(), idempotency_key()],
            Some("CredentialIssue"),
            (
                "201",
                created("IssuedCredential", "The credential and its secret."),
            ),
        ),
        Operation::ListCredentials => {
            let mut parameters = vec![agent_id()];
            parameters.extend(paging());
            (parameters, None, list("CredentialPage"))
        }
        Operation::ShowCredential => (
            vec![agent_id(), credential_id()],
            None,
            ("200", record("Credential", "The credential.")),
        ),
        Operation::RotateCredential => (
            vec![agent_id(), credential_id(), if_match(), idempotency_key()],
            Some("CredentialRotation"),
            (
                "201",
                created("IssuedCredential", "The new credential and its secret."),
            ),
        ),
        Operation::RevokeCredential => (
            vec![
                agent_id(),
                credential_id(),
                reason_query(),
                if_match(),
                idempotency_key(),
            ],
            None,
            ("200", record("Credential", "The credential as it is now.")),
        ),
        Operation::ListAudit => (audit_filters(), None, list("AuditPage")),
        Operation::ShowAudit => {
            let entry = content("The entry and its proof.", JSON, reference("ProvedEntry"));
            (vec![seq()], None, ("200", entry))
        }
        Operation::ShowCheckpoint => {
            let note = "The checkpoint (C2SP tlog-checkpoint).";
            let note = content(note, "text/plain", json!({ "type": "string" }));
            (Vec::new(), None, ("200", note))
        }
        Operation::ShowTile => (vec![tile_path()], None, ("200", tile())),
        Operation::ShowHealth => {
            let health = content("How each part is.", JSON, reference("Health"));
            (Vec::new(), None, ("200", health))
        }
    };
    Page {
        id,
        tag,
        summary,
        parameters,
        body: request.map(|schema| body(operation, schema)),
        responses: vec![success],
    }
}

fn seq() -> Value {
    let seq = json!({ "type": "integer", "minimum": 0, "maximum": MAX_SEQ });
    parameter("path", "seq", seq, "The entry's number.")
}

fn tile_path() -> Value {
    let path = json!({ "type": "string", "examples": ["0/x001/234", "entries/000.p/17"] });
    let says = "Its name (C2SP tlog-tiles), whose slashes are not encoded.";
    parameter("path", "path", path, says)
}

fn tile() -> Value {
    let media_type = "application/octet-stream";
    let bytes = json!({ "type": "string", "contentMediaType": media_type });
    content("The tile.", media_type, bytes)
}

const fn name(operation: Operation) -> (&'static str, &'static str, &'static str) {
    match operation {
        Operation::RegisterAgent => ("registerAgent", "agents", "Registers an agent"),
        Operation::ListAgents => ("listAgents", "agents", "Lists agents"),
        Operation::ShowAgent => ("showAgent", "agents", "Shows an agent"),
        Operation::UpdateAgent => ("updateAgent", "agents", "Changes an agent's record"),
        Operation::DeleteAgent => (
            "decommissionAgent",
            "agents",
            "Decommissions an agent, for good",
        ),
        Operation::Transition(transition) => match transition {
            Transition::Suspend => ("suspendAgent", "agents", "Suspends an agent"),
            Transition::Resume => ("resumeAgent", "agents", "Resumes a suspended agent"),
            Transition::Revoke => (
                "revokeAgent",
                "agents",
                "Revokes an agent after an incident, for good",
            ),
            Transition::Decommission => ("endAgent", "agents", "Decommissions an agent, for good"),
            Transition::Archive => ("archiveAgent", "agents", "Hides an ended agent from lists"),
        },
        Operation::IssueCredential => ("issueCredential", "credentials", "Issues a credential"),
        Operation::ListCredentials => (
            "listCredentials",
            "credentials",
            "Lists an agent's credentials",
        ),
        Operation::ShowCredential => ("showCredential", "credentials", "Shows a credential"),
        Operation::RotateCredential => (
            "rotateCredential",
            "credentials",
            "Replaces a credential, with a time of grace",
        ),
        Operation::RevokeCredential => ("revokeCredential", "credentials", "Revokes a credential"),
        Operation::ListAudit => (
            "listAudit",
            "audit",
            "Lists entries of the audit log, newest first",
        ),
        Operation::ShowAudit => (
            "showAudit",
            "audit",
            "Shows an entry of the audit log, and proves that it is in it",
        ),
        Operation::ShowCheckpoint => (
            "showCheckpoint",
            "audit",
            "Gives the newest checkpoint of the whole log, to its readers",
        ),
        Operation::ShowTile => (
            "showTile",
            "audit",
            "Gives a tile of the whole log, or a bundle of its entries, to its readers",
        ),
        Operation::ShowHealth => (
            "showHealth",
            "health",
            "Shows the daemon's health, part by part",
        ),
    }
}

fn list(schema: &str) -> (&'static str, Value) {
    (
        "200",
        content("A page of the list.", JSON, reference(schema)),
    )
}

/// A body in JSON.
fn body(operation: Operation, schema: &str) -> Value {
    let is_required = operation.body() == BodyRule::Required;
    json!({
        "required": is_required,
        "content": { JSON: { "schema": reference(schema) } },
    })
}

fn agent_filters() -> Vec<Value> {
    let words = |words: &[&str], default: &str| {
        let mut schema = schema::words(words.iter().copied());
        schema["default"] = json!(default);
        schema
    };
    let orders: Vec<_> = ORDERS.iter().map(|(name, _)| *name).collect();
    let prefix = format!("^[a-z0-9_+.@-]{{1,{MAX_EMAIL_PREFIX}}}$");
    let mut text = schema::plain_text();
    text["minLength"] = json!(1);
    text["maxLength"] = json!(MAX_SEARCH);
    let mut parameters = vec![
        query(
            "status",
            schema::agent_status(),
            "Only those; without it all but archived ones.",
        ),
        query("owner", schema::owner(), "Only this owner's."),
        query("agent_type", schema::agent_type(), "Only of this type."),
        query(
            "deployment_env",
            schema::deployment_env(),
            "Only those that run there.",
        ),
        query("capability", schema::scope(), "Only those that have it."),
        query(
            "email_prefix",
            json!({ "type": "string", "pattern": prefix }),
            "Only those whose e-mail begins so.",
        ),
        query(
            "expires_before",
            schema::asked_time(),
            "Only those of which a credential expires before then.",
        ),
        query(
            "text",
            text,
            "Only those with this text, in any case, in what people wrote about them.",
        ),
        query(
            "sort",
            words(&orders, "created_at"),
            "What they are ordered by.",
        ),
        query(
            "order",
            words(&["asc", "desc"], "desc"),
            "Which end comes first.",
        ),
    ];
    parameters.extend(paging());
    parameters
}

fn audit_filters() -> Vec<Value> {
    let mut parameters = vec![
        query("action", schema::action(), "Only this."),
        query("outcome", schema::outcome(), "Only what ended so."),
        query("agent_id", schema::id(), "Only what concerns this agent."),
        query("jti", schema::id(), "Only what concerns this token."),
    ];
    parameters.extend(paging());
    parameters
}

fn agent_id() -> Value {
    parameter("path", "agent_id", schema::id(), "The agent.")
}

fn credential_id() -> Value {
    parameter("path", "credential_id", schema::id(), "The credential.")
}

fn if_match() -> Value {
    parameter(
        "header",
        "If-Match",
        json!({
            "anyOf": [
                { "const": "*" },
                { "type": "string", "pattern": "^\"[1-9][0-9]{0,18}\"$" },
            ],
        }),
        "The ETag of the record as the caller knows it: the request fails when it has changed.",
    )
}

fn idempotency_key() -> Value {
    let pattern = format!("^[!-~]{{1,{MAX_IDEMPOTENCY_KEY}}}$");
    parameter(
        "header",
        "Idempotency-Key",
        json!({ "type": "string", "pattern": pattern }),
        "Chosen by the caller: a repetition within 24 hours is answered with what the first made.",
    )
}

fn reason_query() -> Value {
    let mut schema = schema::reason();
    schema["default"] = json!(DEFAULT_REASON);
    query("reason", schema, "Why, for the audit log.")
}

fn paging() -> [Value; 2] {
    [
        query(
            "limit",
            json!({ "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT }),
            "How many a page has at most.",
        ),
        query(
            "cursor",
            json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]+$" }),
            "The `next_cursor` of the page before, of the same list.",
        ),
    ]
}

/// An answer with a record and, in `ETag`, its revision.
fn record(schema: &str, description: &str) -> Value {
    let mut answer = content(description, JSON, reference(schema));
    answer["headers"] = json!({
        "ETag": {
            "description": "The record's revision, for `If-Match`.",
            "required": true,
            "schema": { "type": "string", "pattern": "^\"[1-9][0-9]*\"$" },
        },
    });
    answer
}

/// An answer with a new record and where it is.
fn created(schema: &str, description: &str) -> Value {
    let mut answer = record(schema, description);
    answer["headers"]["Location"] = json!({
        "description": "Where the record is.",
        "required": true,
        "schema": { "type": "string", "format": "uri-reference" },
    });
    answer
}

fn query(name: &str, schema: Value, description: &str) -> Value {
    parameter("query", name, schema, description)
}
