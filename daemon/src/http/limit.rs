//! Rates over HTTP: what a request is counted as, and the headers that tell what is left.

use agentidp_shared::{Headroom, RequestKind};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Arrival;
use crate::service::limits::tighter;

/// How many there may be at once, how many are left, and in how many seconds all of them are there
/// again: the three headers that HTTPAPI's drafts named, and as everyone has spelled them before.
pub(super) const NAMES: [[HeaderName; 3]; 2] = [
    [
        HeaderName::from_static("ratelimit-limit"),
        HeaderName::from_static("ratelimit-remaining"),
        HeaderName::from_static("ratelimit-reset"),
    ],
    [
        HeaderName::from_static("x-ratelimit-limit"),
        HeaderName::from_static("x-ratelimit-remaining"),
        HeaderName::from_static("x-ratelimit-reset"),
    ],
];

/// What a request is counted as; `None` for what is never refused.
///
/// By the path alone, so that what no route answers is counted as well. Liveness and readiness are not:
/// whoever watches the daemon must not take a busy one for a dead one.
pub(super) fn kind(method: &Method, path: &str) -> Option<RequestKind> {
    if matches!(path, "/health/live" | "/health/ready") {
        None
    } else if path.ends_with("/oauth2/token") {
        Some(RequestKind::Token)
    } else if method.is_safe() || path.ends_with("/oauth2/introspect") {
        Some(RequestKind::Read)
    } else {
        Some(RequestKind::Write)
    }
}

/// Writes the headers, unless they are there: whoever wrote them knew more.
pub(super) fn tell(headers: &mut HeaderMap, headroom: Headroom) {
    let [[limit, ..], _] = &NAMES;
    if headers.contains_key(limit) {
        return;
    }
    let values = [headroom.limit, headroom.remaining, headroom.reset].map(HeaderValue::from);
    for family in &NAMES {
        for (name, value) in family.iter().zip(&values) {
            headers.insert(name, value.clone());
        }
    }
}

/// Writes the headers of an answer to one who is known, whose request was counted for the address that it
/// came `from` and for whoever made it: they tell of the bucket that will be empty first.
pub(super) fn tell_tighter(headers: &mut HeaderMap, from: Arrival, headroom: Option<Headroom>) {
    if let Some(headroom) = tighter(from.headroom, headroom) {
        tell(headers, headroom);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_as_what_they_do() {
        use RequestKind::{Read, Token, Write};

        for (method, path, expected) in [
            (Method::POST, "/oauth2/token", Some(Token)),
            (Method::POST, "/tenant/oauth2/token", Some(Token)),
            // Whatever asks for a token counts as that, also by a method that is refused.
            (Method::GET, "/oauth2/token", Some(Token)),
            (Method::POST, "/oauth2/introspect", Some(Read)),
            (Method::POST, "/oauth2/revoke", Some(Write)),
            (Method::GET, "/.well-known/jwks.json", Some(Read)),
            (Method::GET, "/api/v1/agents", Some(Read)),
            (Method::POST, "/api/v1/agents", Some(Write)),
            (Method::DELETE, "/api/v1/agents/1", Some(Write)),
            (Method::GET, "/nothing", Some(Read)),
            (Method::GET, "/health/ready", None),
            (Method::GET, "/health/detailed", Some(Read)),
        ] {
            assert_eq!(kind(&method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn what_a_handler_has_said_stays() {
        let headroom = |remaining| Headroom {
            limit: 10,
            remaining,
            reset: 1,
        };
        let mut headers = HeaderMap::new();
        tell(&mut headers, headroom(3));
        tell(&mut headers, headroom(9));
        for family in &NAMES {
            let values: Vec<_> = family.iter().map(|name| &headers[name]).collect();
            assert_eq!(values, ["10", "3", "1"]);
        }
    }
}
