//! What the contract says of what is not the management interface: OAuth, discovery, health, itself.

use serde_json::{Value, json};

use super::management;
use super::operation::{JSON, Page, content, parameter};
use super::refusal::challenge;
use super::schema::{self, reference};
use crate::http::docs;
use crate::http::route::Endpoint;

/// What the contract says of an endpoint at `path`.
pub(super) fn page(endpoint: Endpoint, path: &'static str) -> Page {
    match endpoint {
        Endpoint::Api(operation) => management::page(operation),
        Endpoint::Token => token(),
        Endpoint::Introspect => about_token(
            "introspect",
            "Says what a token is worth (RFC 7662); takes `tokens:read`",
            content(
                "What it says, or that it does not count.",
                JSON,
                reference("Introspection"),
            ),
        ),
        Endpoint::Revoke => about_token(
            "revoke",
            "Revokes a token (RFC 7009); takes `tokens:write` for one of another client",
            json!({ "description": "The token does not count, whether it ever did or not." }),
        ),
        Endpoint::Authorize => plain(
            (
                "authorize",
                "oauth",
                "Says that this server has no authorization endpoint",
            ),
            "400",
            "text/html",
            json!({ "type": "string" }),
        ),
        Endpoint::Metadata => plain(
            match path {
                "/.well-known/openid-configuration" => (
                    "openidConfiguration",
                    "discovery",
                    "The server's metadata, where OpenID Connect clients look",
                ),
                _ => ("metadata", "discovery", "The server's metadata (RFC 8414)"),
            },
            "200",
            JSON,
            json!({
                "type": "object",
                "required": ["issuer", "token_endpoint", "jwks_uri", "response_types_supported"],
                "properties": {
                    "issuer": { "type": "string" },
                    "token_endpoint": { "type": "string" },
                    "jwks_uri": { "type": "string" },
                    "response_types_supported": { "type": "array", "items": { "type": "string" } },
                },
            }),
        ),
        Endpoint::Jwks => jwks(),
        Endpoint::Live => plain(
            ("live", "health", "Whether the daemon answers"),
            "200",
            "text/plain",
            json!({ "const": "live\n" }),
        ),
        Endpoint::Ready => {
            let mut page = plain(
                ("ready", "health", "Whether the daemon can serve"),
                "200",
                "text/plain",
                json!({ "const": "ready\n" }),
            );
            let not = content("It cannot.", "text/plain", json!({ "const": "unready\n" }));
            page.responses.push(("503", not));
            page
        }
        Endpoint::Contract => plain(
            ("contract", "contract", "This document"),
            "200",
            JSON,
            json!({ "type": "object", "required": ["openapi"] }),
        ),
        Endpoint::Docs => plain(
            ("docs", "contract", "A page for this document"),
            "200",
            "text/html",
            json!({ "type": "string" }),
        ),
        Endpoint::DocsFolder => docs_folder(),
        Endpoint::DocsFile => docs_file(),
    }
}

/// An operation that takes nothing and has one answer.
fn plain(
    (id, tag, summary): (&'static str, &'static str, &'static str),
    status: &'static str,
    media_type: &str,
    schema: Value,
) -> Page {
    Page {
        id,
        tag,
        summary,
        parameters: Vec::new(),
        body: None,
        responses: vec![(status, content(summary, media_type, schema))],
    }
}

fn docs_folder() -> Page {
    let there = json!({
        "description": "At `/docs`.",
        "headers": { "Location": { "schema": { "type": "string" } } },
    });
    Page {
        id: "docsFolder",
        tag: "contract",
        summary: "Where the page is",
        parameters: Vec::new(),
        body: None,
        responses: vec![("308", there)],
    }
}

fn docs_file() -> Page {
    let files = schema::words(docs::FILES.iter().map(|(name, _)| *name));
    let mut page = plain(
        ("docsFile", "contract", "A part of the page"),
        "200",
        "*/*",
        json!({}),
    );
    page.parameters
        .push(parameter("path", "file", files, "Which."));
    let missing = content("There is no such part.", JSON, reference("Error"));
    page.responses.push(("404", missing));
    page
}

fn jwks() -> Page {
    let key = json!({ "type": "object", "required": ["kty", "kid", "alg", "use"] });
    let set = json!({
        "type": "object",
        "required": ["keys"],
        "properties": { "keys": { "type": "array", "items": key } },
    });
    let mut page = plain(
        (
            "jwks",
            "discovery",
            "The keys that tokens are verified with (RFC 7517)",
        ),
        "200",
        "application/jwk-set+json",
        set,
    );
    page.responses.push((
        "304",
        json!({ "description": "The set is the one in `If-None-Match`." }),
    ));
    page
}

fn token() -> Page {
    let answer = content("A token.", JSON, reference("TokenAnswer"));
    Page {
        id: "token",
        tag: "oauth",
        summary: "Issues an access token (client credentials, RFC 6749, section 4.4)",
        parameters: Vec::new(),
        body: Some(form("TokenRequest")),
        responses: form_responses(answer),
    }
}

/// A request about a token.
fn about_token(id: &'static str, summary: &'static str, answer: Value) -> Page {
    let mut responses = form_responses(answer);
    responses.push((
        "403",
        content("The caller may not.", JSON, reference("OAuthError")),
    ));
    Page {
        id,
        tag: "oauth",
        summary,
        parameters: Vec::new(),
        body: Some(form("TokenQuestion")),
        responses,
    }
}

fn form(schema: &str) -> Value {
    json!({
        "required": true,
        "content": { "application/x-www-form-urlencoded": { "schema": reference(schema) } },
    })
}

/// The answers of an endpoint that takes a form.
fn form_responses(answer: Value) -> Vec<(&'static str, Value)> {
    let error = |description: &str| content(description, JSON, reference("OAuthError"));
    let mut refused = error("Client authentication failed.");
    refused["headers"] = json!({ "WWW-Authenticate": challenge() });
    vec![
        ("200", answer),
        (
            "400",
            error("The request is not one that the standard allows."),
        ),
        ("401", refused),
        ("408", error("The body did not arrive in time.")),
        ("413", error("The body is larger than 64 KiB.")),
    ]
}
