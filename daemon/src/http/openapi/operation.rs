//! What the contract says of a route, whatever it is.

use serde_json::{Map, Value, json};

use super::{management, public, refusal};
use crate::http::route::{Access, Endpoint, Route};

/// The media type of most of what is said.
pub(super) const JSON: &str = "application/json";

/// The groups of operations.
pub(super) fn tags() -> Value {
    json!([
        { "name": "agents", "description": "An organization's agents." },
        { "name": "credentials", "description": "What agents prove themselves with." },
        { "name": "audit", "description": "What happened." },
        { "name": "oauth", "description": "Tokens (RFC 6749)." },
        { "name": "discovery", "description": "What clients and resource servers look up." },
        { "name": "health", "description": "Whether the daemon can serve." },
        { "name": "contract", "description": "This document, and a page for it." },
    ])
}

/// One operation, before what all operations have in common joins it.
pub(super) struct Page {
    /// Its name, for programs that are made from the contract.
    pub(super) id: &'static str,
    /// Its group.
    pub(super) tag: &'static str,
    /// What it does.
    pub(super) summary: &'static str,
    /// What its path, query and headers say.
    pub(super) parameters: Vec<Value>,
    /// Its body.
    pub(super) body: Option<Value>,
    /// Its answers, by status.
    pub(super) responses: Vec<(&'static str, Value)>,
}

/// The operation of a route.
pub(super) fn describe(route: &Route) -> Value {
    let page = match route.endpoint {
        Endpoint::Api(operation) => management::page(operation),
        endpoint => public::page(endpoint, route.path),
    };
    let mut responses: Map<String, Value> = page
        .responses
        .into_iter()
        .map(|(status, mut response)| {
            response["headers"]["X-Request-Id"] = refusal::request_id();
            (status.to_owned(), response)
        })
        .collect();
    let writes = route.method_name() != "get";
    let (refused, shape) = match (route.access, route.endpoint) {
        (Access::Scope { .. }, _) => (refusal::of_api(page.body.is_some(), writes), "Error"),
        (_, Endpoint::Contract | Endpoint::Docs | Endpoint::DocsFolder | Endpoint::DocsFile) => {
            (refusal::ALWAYS.to_vec(), "Error")
        }
        _ => (refusal::ALWAYS.to_vec(), "OAuthError"),
    };
    for status in refused {
        responses
            .entry(status)
            .or_insert_with(|| refusal::reference(shape, status));
    }
    let mut operation = json!({
        "operationId": page.id,
        "tags": [page.tag],
        "summary": page.summary,
        "parameters": page.parameters,
        "responses": responses,
        "security": security(route),
    });
    if let Access::Scope { scope, .. } = route.access {
        operation["description"] = json!(format!("Takes the scope `{scope}`."));
    }
    if let Some(body) = page.body {
        operation["requestBody"] = body;
    }
    operation
}

/// What a route takes to be used.
fn security(route: &Route) -> Value {
    match route.access {
        Access::Anyone => json!([]),
        Access::Client => json!([{ "client": [] }, {}]),
        Access::Scope { scope, .. } => json!([{ "token": [scope] }]),
    }
}

/// An answer with a body.
pub(super) fn content(description: &str, media_type: &str, schema: Value) -> Value {
    let mut content = json!({ "description": description });
    content["content"][media_type]["schema"] = schema;
    content
}

/// A parameter in a path, a query or a header.
pub(super) fn parameter(place: &str, name: &str, schema: Value, description: &str) -> Value {
    let mut parameter = json!({
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
    });
    parameter["schema"] = schema;
    parameter
}
