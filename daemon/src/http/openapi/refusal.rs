//! What the contract says of refusals: the same everywhere, so they are said once.

use serde_json::{Map, Value, json};

use super::operation::JSON;
use super::schema;

/// What any request may be refused with.
pub(super) const ALWAYS: [&str; 2] = ["429", "503"];

/// Every refusal.
const ALL: [(&str, &str); 10] = [
    (
        "400",
        "A field is missing or broke its rule; `details.field` names it.",
    ),
    ("401", "Nobody proved to be anyone who counts here now."),
    (
        "403",
        "The token lacks the scope, or there is no such thing for it.",
    ),
    ("408", "The body did not arrive in time."),
    (
        "409",
        "The state does not allow it: something is taken, has ended, or a limit is reached.",
    ),
    (
        "412",
        "The record changed since the revision in `If-Match`.",
    ),
    ("413", "The body is larger than 64 KiB."),
    ("415", "The body is not application/json."),
    ("429", "Too many requests."),
    (
        "503",
        "The server is overloaded, or nothing can be written.",
    ),
];

/// With what a request of the management interface may be refused.
pub(super) fn of_api(has_body: bool, writes: bool) -> Vec<&'static str> {
    let may_be = |status: &str| match status {
        "415" => has_body,
        "409" | "412" => writes,
        _ => true,
    };
    let all = ALL.iter().map(|(status, _)| *status);
    all.filter(|status| may_be(status)).collect()
}

/// A reference to a refusal with `status`, in a body of this shape.
pub(super) fn reference(shape: &str, status: &str) -> Value {
    json!({ "$ref": format!("#/components/responses/{shape}{status}") })
}

/// All refusals, by name.
pub(super) fn all() -> Map<String, Value> {
    let of_api = ALL.iter().map(|refusal| ("Error", refusal));
    let of_oauth = ALL
        .iter()
        .filter(|(status, _)| ALWAYS.contains(status))
        .map(|refusal| ("OAuthError", refusal));
    of_api
        .chain(of_oauth)
        .map(|(shape, (status, description))| {
            let response = json!({
                "description": description,
                "headers": headers(status),
                "content": { JSON: { "schema": schema::reference(shape) } },
            });
            (format!("{shape}{status}"), response)
        })
        .collect()
}

fn headers(status: &str) -> Value {
    let mut headers = json!({ "X-Request-Id": request_id() });
    match status {
        "401" => headers["WWW-Authenticate"] = challenge(),
        "429" | "503" => {
            headers["Retry-After"] = json!({
                "description": "After how many seconds to ask again.",
                "required": true,
                "schema": { "type": "integer", "minimum": 0 },
            });
        }
        _ => {}
    }
    headers
}

/// The header that says how to authenticate.
pub(super) fn challenge() -> Value {
    json!({
        "description": "How to authenticate (RFC 9110, section 11.6.1).",
        "required": true,
        "schema": { "type": "string" },
    })
}

/// The header that every answer has.
pub(super) fn request_id() -> Value {
    json!({
        "description": "Names the request, in the logs too.",
        "required": true,
        "schema": schema::id(),
    })
}
