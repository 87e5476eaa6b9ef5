//! The schemas of the contract: what the server takes, exactly, and what it gives.

use agentidp_shared::agent::MAX_AUDIENCES;
use agentidp_shared::audit::{ActorKind, TargetKind, Via};
use agentidp_shared::{Code, CredentialKind, CredentialStatus};
use serde_json::{Map, Value, json};

use super::schema::{
    action, agent_status, agent_type, answer, audiences, body, capabilities, closed,
    deployment_env, email, form, id, metadata, nullable, outcome, owner, page, plain_text, reason,
    reference, revision, seconds, time, version, words,
};
use crate::crypto::jose::JwsAlgorithm;
use crate::service::credential::{MAX_EXPIRY, MAX_GRACE};
use crate::service::health::Condition;

/// All schemas, by name.
pub(super) fn all() -> Map<String, Value> {
    let schemas = [
        ("Agent", agent()),
        ("AgentPage", page("Agent")),
        ("AgentRegistration", registration()),
        ("AgentUpdate", update()),
        ("AuditEntry", entry()),
        ("AuditPage", page("AuditEntry")),
        ("Credential", credential()),
        ("CredentialIssue", credential_issue()),
        ("CredentialPage", page("Credential")),
        ("CredentialRotation", credential_rotation()),
        ("Error", error()),
        ("Health", health()),
        ("Introspection", introspection()),
        ("IssuedCredential", issued()),
        ("Jwk", jwk()),
        ("OAuthError", oauth_error()),
        (
            "OptionalReason",
            body("Why it is done.", &[], json!({ "reason": reason() })),
        ),
        ("ProvedEntry", proved_entry()),
        (
            "Reason",
            body(
                "Why it is done.",
                &["reason"],
                json!({ "reason": reason() }),
            ),
        ),
        ("TokenAnswer", token_answer()),
        ("TokenQuestion", token_question()),
        ("TokenRequest", token_request()),
    ];
    let named = schemas.map(|(name, schema)| (name.to_owned(), schema));
    named.into_iter().collect()
}

fn agent() -> Value {
    answer(
        "A first-class, non-human identity.",
        json!({
            "id": id(),
            "organization_id": id(),
            "email": email(),
            "agent_type": agent_type(),
            "version": { "type": "string", "maxLength": 64 },
            "capabilities": capabilities(),
            "owner": { "type": "string" },
            "deployment_env": deployment_env(),
            "status": agent_status(),
            "audiences": { "type": "array", "items": { "type": "string" }, "maxItems": MAX_AUDIENCES },
            "metadata": metadata(),
            "created_at": time(),
            "updated_at": time(),
            "last_auth_at": nullable(&time()),
            "revision": revision(),
        }),
    )
}

fn registration() -> Value {
    body(
        "What an agent is registered with. Capabilities are at most 1024 bytes in all.",
        &["email", "agent_type", "version", "owner", "deployment_env"],
        json!({
            "email": email(),
            "agent_type": agent_type(),
            "version": version(),
            "capabilities": capabilities(),
            "owner": owner(),
            "deployment_env": deployment_env(),
            "audiences": audiences(),
            "metadata": metadata(),
        }),
    )
}

fn update() -> Value {
    body(
        "What is to change; what is absent stays.",
        &[],
        json!({
            "agent_type": agent_type(),
            "version": version(),
            "capabilities": capabilities(),
            "owner": owner(),
            "deployment_env": deployment_env(),
            "audiences": audiences(),
            "metadata": metadata(),
        }),
    )
}

fn credential() -> Value {
    let public_key = answer(
        "A public key.",
        json!({
            "thumbprint": { "type": "string", "description": "With SHA-256 (RFC 7638)." },
            "jwk": { "type": "object", "required": ["kty"] },
        }),
    );
    answer(
        "A credential, without what proves it.",
        json!({
            "id": id(),
            "agent_id": id(),
            "organization_id": id(),
            "kind": words(CredentialKind::ALL.iter().map(|it| it.as_str())),
            "status": words(CredentialStatus::ALL.iter().map(|it| it.as_str())),
            "created_at": time(),
            "expires_at": nullable(&time()),
            "retires_at": nullable(&time()),
            "last_used_at": nullable(&time()),
            "use_count": { "type": "integer", "minimum": 0 },
            "public_key": nullable(&public_key),
            "revision": revision(),
        }),
    )
}

fn credential_issue() -> Value {
    body(
        "A client secret, or with `public_key` a key of the agent's own.",
        &[],
        json!({
            "public_key": reference("Jwk"),
            "expires_in": seconds(1, MAX_EXPIRY.as_secs(), "For how many seconds it is to be accepted."),
        }),
    )
}

fn credential_rotation() -> Value {
    body(
        "How to replace a credential.",
        &[],
        json!({
            "public_key": reference("Jwk"),
            "grace": seconds(0, MAX_GRACE.as_secs(), "For how many seconds the old one is still accepted; a day when nothing is said."),
        }),
    )
}

fn issued() -> Value {
    answer(
        "A credential that has just been issued. Its secret is shown this once.",
        json!({
            "client_id": id(),
            "client_secret": {
                "type": ["string", "null"],
                "description": "Null for a public key.",
            },
            "credential": reference("Credential"),
            "retiring": nullable(&reference("Credential")),
        }),
    )
}

fn jwk() -> Value {
    let number = |least: usize, most: usize| {
        let pattern = format!("^[A-Za-z0-9_-]{{{least},{most}}}$");
        json!({ "type": "string", "pattern": pattern })
    };
    let key = |kty: &str, crv: Option<&str>, alg: &[JwsAlgorithm], numbers: &[(&str, Value)]| {
        let mut properties = json!({
            "kty": { "const": kty },
            "alg": words(alg.iter().map(|it| it.as_str())),
            "use": { "const": "sig" },
            "kid": { "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[ -~]+$" },
        });
        let mut required = vec!["kty"];
        if let Some(crv) = crv {
            properties["crv"] = json!({ "const": crv });
            required.push("crv");
        }
        for (name, number) in numbers {
            properties[*name] = number.clone();
            required.push(name);
        }
        json!({ "type": "object", "required": required, "properties": properties })
    };
    let rsa = [
        JwsAlgorithm::Rs256,
        JwsAlgorithm::Rs384,
        JwsAlgorithm::Rs512,
        JwsAlgorithm::Ps256,
    ];
    json!({
        "description": "A public key (RFC 7517) with which signatures are verified, at most 4 KiB. \
                        Its numbers must be a key; a private member is refused.",
        "oneOf": [
            key(
                "EC",
                Some("P-256"),
                &[JwsAlgorithm::Es256],
                &[("x", number(43, 43)), ("y", number(43, 43))],
            ),
            key(
                "EC",
                Some("P-384"),
                &[JwsAlgorithm::Es384],
                &[("x", number(64, 64)), ("y", number(64, 64))],
            ),
            key("OKP", Some("Ed25519"), &[JwsAlgorithm::EdDsa], &[("x", number(43, 43))]),
            // 2048 to 4096 bits, and an exponent of 3 to 4 bytes.
            key("RSA", None, &rsa, &[("n", number(342, 683)), ("e", number(4, 6))]),
        ],
    })
}

fn error() -> Value {
    answer(
        "Why a request was refused.",
        json!({
            "code": words(Code::ALL.iter().map(|it| it.as_str())),
            "message": { "type": "string" },
            "details": { "type": "object", "additionalProperties": { "type": "string" } },
            "request_id": id(),
        }),
    )
}

fn oauth_error() -> Value {
    answer(
        "An error of RFC 6749, section 5.2.",
        json!({ "error": { "type": "string" }, "error_description": { "type": "string" } }),
    )
}

fn token_request() -> Value {
    let list = || json!({ "type": "array", "items": plain_text(), "maxItems": 4 });
    form(
        "What is asked for, and who asks.",
        &["grant_type"],
        json!({
            "grant_type": { "const": "client_credentials" },
            "scope": plain_text(),
            "resource": list(),
            "audience": list(),
            "client_id": plain_text(),
            "client_secret": plain_text(),
            "client_assertion_type": plain_text(),
            "client_assertion": plain_text(),
        }),
    )
}

fn token_answer() -> Value {
    answer(
        "A token (RFC 6749, section 5.1).",
        json!({
            "access_token": { "type": "string" },
            "token_type": { "const": "Bearer" },
            "expires_in": { "type": "integer", "minimum": 1 },
            "scope": { "type": "string" },
        }),
    )
}

fn token_question() -> Value {
    let mut token = plain_text();
    token["minLength"] = json!(1);
    form(
        "A token, and who asks about it.",
        &["token"],
        json!({
            "token": token,
            "token_type_hint": plain_text(),
            "client_id": plain_text(),
            "client_secret": plain_text(),
            "client_assertion_type": plain_text(),
            "client_assertion": plain_text(),
        }),
    )
}

fn introspection() -> Value {
    let text = || json!({ "type": "string" });
    let seconds = || json!({ "type": "integer", "minimum": 0 });
    let active = answer(
        "A token that counts.",
        json!({
            "active": { "const": true },
            "iss": text(),
            "sub": id(),
            "client_id": id(),
            "aud": { "type": "array", "items": text(), "minItems": 1 },
            "exp": seconds(),
            "iat": seconds(),
            "jti": id(),
            "scope": text(),
            "token_type": { "const": "Bearer" },
            "organization_id": id(),
            "agent_type": agent_type(),
            "agent_version": text(),
            "cid": id(),
        }),
    );
    let inactive = answer(
        "All that is said of a token that does not count.",
        json!({ "active": { "const": false } }),
    );
    json!({ "oneOf": [active, inactive] })
}

fn health() -> Value {
    let state = || words(Condition::ALL.iter().map(|it| it.as_str()));
    let part = closed(
        "A part of the daemon.",
        &["name", "state", "detail"],
        json!({
            "name": { "type": "string" },
            "state": state(),
            "latency_ms": { "type": "number", "minimum": 0 },
            "detail": { "type": "string" },
        }),
    );
    answer(
        "The daemon, part by part; its state is that of the worst.",
        json!({ "state": state(), "parts": { "type": "array", "items": part } }),
    )
}

fn proved_entry() -> Value {
    let hash = json!({ "type": "string", "pattern": "^[A-Za-z0-9+/]{43}=$" });
    answer(
        "An entry, and the proof that it is in the log.",
        json!({
            "entry": reference("AuditEntry"),
            "index": { "type": "integer", "minimum": 0 },
            "proof": { "type": "array", "items": hash, "maxItems": 64 },
            "checkpoint": { "type": "string" },
        }),
    )
}

fn entry() -> Value {
    let text = || json!({ "type": "string" });
    let actor = closed(
        "Who did it.",
        &["kind", "via"],
        json!({
            "kind": words(ActorKind::ALL.iter().map(|it| it.as_str())),
            "id": text(),
            "name": text(),
            "login": text(),
            "via": words(Via::ALL.iter().map(|it| it.as_str())),
            "address": text(),
        }),
    );
    let target = closed(
        "What it was done to.",
        &["kind", "id"],
        json!({
            "kind": words(TargetKind::ALL.iter().map(|it| it.as_str())),
            "id": text(),
            "revision": { "type": "integer", "minimum": 1 },
            "digest": { "type": "string", "pattern": "^[0-9a-f]{64}$" },
        }),
    );
    // Open: the log keeps entries of every version for ever.
    json!({
        "type": "object",
        "description": "One thing that happened, as it stands in the log.",
        "required": ["v", "seq", "time", "actor", "action", "outcome"],
        "properties": {
            "v": { "type": "integer", "minimum": 1 },
            "seq": { "type": "integer", "minimum": 0 },
            "time": time(),
            "organization_id": id(),
            "actor": actor,
            "action": action(),
            "target": target,
            "changed": { "type": "array", "items": text() },
            "outcome": outcome(),
            "code": words(Code::ALL.iter().map(|it| it.as_str())),
            "reason": text(),
            "request_id": id(),
            "agent_id": id(),
            "credential_id": id(),
            "jti": id(),
            "scope": text(),
            "audience": { "type": "array", "items": text() },
            "expires_at": time(),
            "count": { "type": "integer", "minimum": 1 },
        },
    })
}
