//! The JWK set (RFC 7517, section 5).
//!
//! It may be cached for half as long as a new key is published before it signs: a copy that is still
//! fresh knows every key that signs. Only an emergency rotation cannot wait for the copies.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, IF_NONE_MATCH};
use http::{HeaderValue, StatusCode};

use super::App;

/// Answers with the set, or 304 for one who has it.
pub(super) async fn jwks(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let keyring = app.service.keyring();
    let known = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let is_known = known
        .flat_map(|list| list.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == keyring.etag() || tag == "*");
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, "application/jwk-set+json")], keyring.jwks()).into_response()
    };
    let max_age = app.service.settings().jwks_max_age;
    let cache = format!("public, max-age={}", max_age.as_secs());
    for (name, value) in [(CACHE_CONTROL, cache.as_str()), (ETAG, keyring.etag())] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
