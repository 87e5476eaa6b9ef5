//! The parts of schemas: texts, words, times, and how objects are made of them.

use agentidp_shared::agent::MAX_AUDIENCES;
use agentidp_shared::scope::MAX_SCOPES;
use agentidp_shared::{Action, AgentStatus, AgentType, DeploymentEnv, Outcome};
use serde_json::{Value, json};

use crate::http::api::json::IGNORED;

/// A UUID as this server writes it.
const UUID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
/// A time as this server writes it.
const TIME: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$";
/// A time as this server reads it in a query.
const ASKED_TIME: &str = concat!(
    "^(19[7-9][0-9]|2[0-9]{3})-",
    "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)",
    "|02-(0[1-9]|1[0-9]|2[0-8]))",
    "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,3})?Z$"
);
const EMAIL: &str = concat!(
    "^[a-z0-9_+-]{1,64}(\\.[a-z0-9_+-]{1,64})*",
    "@[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$"
);
/// Semantic Versioning 2.0; the three numbers are held to what 64 bits hold.
const VERSION: &str = concat!(
    "^(0|[1-9][0-9]{0,17})\\.(0|[1-9][0-9]{0,17})\\.(0|[1-9][0-9]{0,17})",
    "(-(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)",
    "(\\.(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*)?",
    "(\\+[0-9a-zA-Z-]+(\\.[0-9a-zA-Z-]+)*)?$"
);
const SCOPE: &str = "^[a-z0-9_.-]{1,64}:[a-z0-9_.-]{1,64}$";
const RESOURCE: &str =
    "^https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,4})?(/[!$-;=?-Z_a-z~]*)?$";
/// The characters that could deceive on a screen, for a class in a pattern. Those beyond the first
/// plane stand for themselves: no escape for them means the same everywhere.
const DECEPTIVE: &str = concat!(
    "\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5",
    "\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufe00-\\ufe0f\\ufeff",
    "\\uffa0\\ufff0-\\ufffb\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}"
);

/// Text without control characters, all of it or nothing.
const PLAIN: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// Text without control characters.
pub(super) fn plain_text() -> Value {
    json!({ "type": "string", "pattern": PLAIN })
}

/// A form: these parameters, and others that are ignored (RFC 6749, section 3.2). No text in it may
/// have control characters.
pub(super) fn form(description: &str, required: &[&str], properties: Value) -> Value {
    let several = json!({ "type": "array", "items": plain_text() });
    let mut schema = json!({
        "type": "object",
        "description": description,
        "required": required,
        "propertyNames": { "pattern": PLAIN },
        "additionalProperties": { "anyOf": [plain_text(), several] },
    });
    schema["properties"] = properties;
    schema
}

/// A line of text with something in it.
fn line(most: usize) -> Value {
    let pattern = format!("^[^{DECEPTIVE}]*[^\\s{DECEPTIVE}][^{DECEPTIVE}]*$");
    json!({ "type": "string", "minLength": 1, "maxLength": most, "pattern": pattern })
}

/// A reference to a schema of the list of them.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Text of one of these words.
pub(super) fn words<'a>(words: impl Iterator<Item = &'a str>) -> Value {
    json!({ "type": "string", "enum": words.collect::<Vec<_>>() })
}

/// The name of an agent, a credential, a request.
pub(super) fn id() -> Value {
    json!({ "type": "string", "format": "uuid", "pattern": UUID })
}

/// A time as this server writes it.
pub(super) fn time() -> Value {
    json!({ "type": "string", "format": "date-time", "pattern": TIME })
}

/// A time in a query.
pub(super) fn asked_time() -> Value {
    json!({ "type": "string", "pattern": ASKED_TIME })
}

/// Such a value, or null.
pub(super) fn nullable(schema: &Value) -> Value {
    json!({ "oneOf": [schema, { "type": "null" }] })
}

/// The team or person that answers for an agent.
pub(super) fn owner() -> Value {
    line(128)
}

/// Why something was done.
pub(super) fn reason() -> Value {
    line(512)
}

/// One scope.
pub(super) fn scope() -> Value {
    json!({ "type": "string", "pattern": SCOPE })
}

/// What an agent does.
pub(super) fn agent_type() -> Value {
    words(AgentType::ALL.iter().map(|it| it.as_str()))
}

/// Where an agent runs.
pub(super) fn deployment_env() -> Value {
    words(DeploymentEnv::ALL.iter().map(|it| it.as_str()))
}

/// Where an agent stands in its life.
pub(super) fn agent_status() -> Value {
    words(AgentStatus::ALL.iter().map(|it| it.as_str()))
}

/// What was done.
pub(super) fn action() -> Value {
    words(Action::ALL.iter().map(|it| it.as_str()))
}

/// How it ended.
pub(super) fn outcome() -> Value {
    words(Outcome::ALL.iter().map(|it| it.as_str()))
}

/// An agent's e-mail.
pub(super) fn email() -> Value {
    json!({ "type": "string", "maxLength": 254, "pattern": EMAIL })
}

/// An agent's version.
pub(super) fn version() -> Value {
    json!({ "type": "string", "maxLength": 64, "pattern": VERSION })
}

/// The ceiling of the scopes that an agent can be granted.
pub(super) fn capabilities() -> Value {
    json!({ "type": "array", "items": scope(), "maxItems": MAX_SCOPES })
}

/// The resources that an agent may ask tokens for.
pub(super) fn audiences() -> Value {
    let resource =
        json!({ "type": "string", "format": "uri", "maxLength": 256, "pattern": RESOURCE });
    json!({ "type": "array", "items": resource, "maxItems": MAX_AUDIENCES })
}

/// What an organization notes about an agent.
pub(super) fn metadata() -> Value {
    json!({
        "type": "object",
        "maxProperties": 100,
        "propertyNames": { "pattern": "^[A-Za-z0-9._/-]{1,64}$" },
        "additionalProperties": { "type": "string", "maxLength": 2048 },
    })
}

/// How often a record has changed.
pub(super) fn revision() -> Value {
    json!({ "type": "integer", "minimum": 1, "description": "One more with every change; the ETag." })
}

/// A count of seconds.
pub(super) fn seconds(least: u64, most: u64, description: &str) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most, "description": description })
}

/// An object with these members and no others.
pub(super) fn closed(description: &str, required: &[&str], properties: Value) -> Value {
    let mut object = json!({
        "type": "object",
        "description": description,
        "required": required,
        "additionalProperties": false,
    });
    object["properties"] = properties;
    object
}

/// A body of a request: [`closed`], but for what is ignored.
pub(super) fn body(description: &str, required: &[&str], properties: Value) -> Value {
    let mut schema = closed(description, required, properties);
    for name in IGNORED {
        schema["properties"][name] =
            json!({ "description": "Ignored: the organization is the token's." });
    }
    schema
}

/// An answer: [`closed`], and all of it is always there.
pub(super) fn answer(description: &str, properties: Value) -> Value {
    let names: Vec<String> = properties
        .as_object()
        .map(|all| all.keys().cloned().collect())
        .unwrap_or_default();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    closed(description, &names, properties)
}

pub(super) fn page(of: &str) -> Value {
    answer(
        "A page of a list.",
        json!({
            "items": { "type": "array", "items": reference(of), "maxItems": 100 },
            "next_cursor": {
                "type": ["string", "null"],
                "description": "Where the next page begins; null on the last.",
            },
            "total": {
                "type": ["integer", "null"],
                "minimum": 0,
                "description": "How many there are on all pages; null where they are not counted.",
            },
        }),
    )
}
