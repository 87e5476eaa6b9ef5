//! Which web pages may read the answers (the Fetch standard, section 3.3): those of the origins that
//! the configuration lists, and no others.
//!
//! The authorization endpoint is for whole windows and not for pages (RFC 9700, section 2.6). Never are
//! cookies or other ambient credentials allowed: there are none.

use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};

use crate::config::Origin;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, if-match, if-none-match",
);
const ANSWER_HEADERS: HeaderValue = HeaderValue::from_static(
    "etag, location, retry-after, www-authenticate, x-request-id, ratelimit-limit, \
     ratelimit-remaining, ratelimit-reset, x-ratelimit-limit, x-ratelimit-remaining, \
     x-ratelimit-reset",
);
/// For how many seconds a browser may remember what it may send.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The origins that are listed.
#[derive(Debug)]
pub(super) struct Cors(Vec<HeaderValue>);

/// What there is to say about one request.
#[derive(Debug)]
pub(super) struct Verdict {
    /// The origin that asks, when it is listed.
    allowed: Option<HeaderValue>,
    is_preflight: bool,
}

impl Cors {
    /// Lets pages of `origins` read the answers.
    pub(super) fn new(origins: &[Origin]) -> Self {
        // An origin is ASCII, so every one becomes a header.
        let header = |origin: &Origin| HeaderValue::from_str(origin.as_str()).ok();
        Self(origins.iter().filter_map(header).collect())
    }

    /// Looks at a request; `None` when there is nothing to say.
    pub(super) fn look_at<B>(&self, request: &Request<B>) -> Option<Verdict> {
        if self.0.is_empty() || !is_for_pages(request.uri().path()) {
            return None;
        }
        let headers = request.headers();
        let origin = headers.get(ORIGIN);
        let allowed = origin.filter(|origin| self.0.contains(origin)).cloned();
        Some(Verdict {
            is_preflight: allowed.is_some()
                && request.method() == Method::OPTIONS
                && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD),
            allowed,
        })
    }
}

impl Verdict {
    /// The answer to a browser that asks before it asks.
    pub(super) fn preflight(&self) -> Option<Response> {
        let headers = [
            (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
            (ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ];
        self.is_preflight
            .then(|| (StatusCode::NO_CONTENT, headers).into_response())
    }

    /// Says in an answer who may read it.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        // Also where the origin is not listed: a cache must not give one the answer to another.
        headers.append(VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = self.allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            if !self.is_preflight {
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
            }
        }
    }
}

/// Whether pages have any business with what is at `path`. The issuer's path may stand before it.
fn is_for_pages(path: &str) -> bool {
    ["/oauth2/", "/.well-known/", "/api/"]
        .iter()
        .any(|part| path.contains(part))
        && !path.ends_with("/oauth2/authorize")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::limit;

    const LISTED: &str = "https://app.example";

    fn look_at(
        origins: &[&str],
        method: Method,
        path: &str,
        origin: Option<&str>,
    ) -> Option<Verdict> {
        let origins: Vec<_> = origins
            .iter()
            .map(|it| Origin::try_from((*it).to_owned()).unwrap())
            .collect();
        let mut request = Request::builder().method(method).uri(path);
        if let Some(origin) = origin {
            request = request
                .header(ORIGIN, origin)
                .header(ACCESS_CONTROL_REQUEST_METHOD, "POST");
        }
        Cors::new(&origins).look_at(&request.body(()).unwrap())
    }

    #[test]
    fn without_origins_nothing_is_said() {
        assert!(look_at(&[], Method::POST, "/oauth2/token", Some(LISTED)).is_none());
    }

    #[test]
    fn only_listed_origins_may_read_to_the_letter() {
        for (origin, allowed) in [
            (LISTED, true),
            ("https://app.example:8443", false),
            ("http://app.example", false),
            ("https://app.example.evil", false),
            ("https://APP.example", false),
            ("https://app.example/", false),
            ("null", false),
            ("*", false),
        ] {
            let verdict = look_at(&[LISTED], Method::POST, "/oauth2/token", Some(origin));
            let mut headers = HeaderMap::new();
            verdict.unwrap().tell(&mut headers);
            assert_eq!(headers[VARY], "origin");
            let told = headers.get(ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(
                told.map(HeaderValue::as_bytes),
                allowed.then_some(origin.as_bytes())
            );
            assert!(!headers.contains_key("access-control-allow-credentials"));
        }
    }

    #[test]
    fn a_page_may_read_what_is_left_by_every_name_that_tells_it() {
        let answer_headers = ANSWER_HEADERS;
        let listed: Vec<_> = answer_headers.to_str().unwrap().split(", ").collect();
        for name in limit::NAMES.iter().flatten() {
            assert!(listed.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn a_preflight_of_a_listed_origin_is_answered_with_what_may_be_sent() {
        let preflight = |method, origin| {
            let verdict = look_at(&[LISTED], method, "/api/v1/agents", origin);
            verdict.unwrap().preflight()
        };
        let answer = preflight(Method::OPTIONS, Some(LISTED)).unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_METHODS], METHODS);
        assert!(preflight(Method::POST, Some(LISTED)).is_none());
        assert!(preflight(Method::OPTIONS, Some("https://evil.example")).is_none());
        assert!(preflight(Method::OPTIONS, None).is_none());
    }

    #[test]
    fn the_authorization_endpoint_and_health_are_not_for_pages() {
        for (path, expected) in [
            ("/oauth2/token", true),
            ("/tenant/oauth2/token", true),
            ("/.well-known/jwks.json", true),
            ("/api/v1/agents", true),
            ("/oauth2/authorize", false),
            ("/health/ready", false),
            ("/", false),
        ] {
            let verdict = look_at(&[LISTED], Method::GET, path, Some(LISTED));
            assert_eq!(verdict.is_some(), expected, "{path}");
        }
    }
}
