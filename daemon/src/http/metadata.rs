//! The authorization server's metadata (RFC 8414), on both paths where clients look for it.

use std::sync::Arc;

use agentidp_shared::SigningAlgorithm;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;

use super::App;
use crate::crypto::jose::JwsAlgorithm;

/// What the server offers. There is no `scopes_supported`: scopes are the agents' own, a client that
/// finds a list there asks for all of it, and an empty list must be left out (RFC 8414, section 3.2).
#[derive(Serialize)]
struct Metadata<'a> {
    issuer: &'a str,
    authorization_endpoint: String,
    token_endpoint: String,
    introspection_endpoint: String,
    revocation_endpoint: String,
    jwks_uri: String,
    response_types_supported: &'a [&'a str],
    grant_types_supported: &'a [&'a str],
    token_endpoint_auth_methods_supported: &'a [&'a str],
    token_endpoint_auth_signing_alg_values_supported: &'a [&'a str],
    introspection_endpoint_auth_methods_supported: &'a [&'a str],
    introspection_endpoint_auth_signing_alg_values_supported: &'a [&'a str],
    revocation_endpoint_auth_methods_supported: &'a [&'a str],
    revocation_endpoint_auth_signing_alg_values_supported: &'a [&'a str],
    code_challenge_methods_supported: &'a [&'a str],
    authorization_response_iss_parameter_supported: bool,
    access_token_signing_alg_values_supported: Vec<&'a str>,
    // What OpenID Connect Discovery 1.0, section 3, requires of the second document.
    subject_types_supported: &'a [&'a str],
    id_token_signing_alg_values_supported: Vec<&'a str>,
}

/// How a client can authenticate, at every endpoint that asks it to.
const METHODS: &[&str] = &[
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
];

/// The document, encoded.
pub(super) fn document(issuer: &str) -> serde_json::Result<Bytes> {
    let base = issuer.trim_end_matches('/');
    let algorithms: Vec<_> = SigningAlgorithm::ALL
        .iter()
        .map(|algorithm| algorithm.as_str())
        .collect();
    let assertions = JwsAlgorithm::ALL.map(JwsAlgorithm::as_str);
    let metadata = Metadata {
        issuer,
        authorization_endpoint: format!("{base}/oauth2/authorize"),
        token_endpoint: format!("{base}/oauth2/token"),
        introspection_endpoint: format!("{base}/oauth2/introspect"),
        revocation_endpoint: format!("{base}/oauth2/revoke"),
        jwks_uri: format!("{base}/.well-known/jwks.json"),
        response_types_supported: &["code"],
        grant_types_supported: &["client_credentials"],
        token_endpoint_auth_methods_supported: METHODS,
        token_endpoint_auth_signing_alg_values_supported: &assertions,
        introspection_endpoint_auth_methods_supported: METHODS,
        introspection_endpoint_auth_signing_alg_values_supported: &assertions,
        revocation_endpoint_auth_methods_supported: METHODS,
        revocation_endpoint_auth_signing_alg_values_supported: &assertions,
        code_challenge_methods_supported: &["S256"],
        authorization_response_iss_parameter_supported: false,
        access_token_signing_alg_values_supported: algorithms.clone(),
        subject_types_supported: &["public"],
        id_token_signing_alg_values_supported: algorithms,
    };
    Ok(serde_json::to_vec(&metadata)?.into())
}

/// Answers with the document.
pub(super) async fn metadata(State(app): State<Arc<App>>) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, app.metadata.clone()).into_response()
}
