//! A page for the contract, from the binary itself: nothing is fetched from elsewhere.

use axum::extract::{Extension, Path};
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION,
};
use http::{HeaderName, HeaderValue, StatusCode};
use utoipa_swagger_ui::Config;

use agentidp_shared::Code;

use super::Arrival;
use super::api::ApiError;

/// What the page may do: run what this server serves, and ask this server. Styles on single elements
/// are the library's.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
     form-action 'none'",
);
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// The page. Its addresses are relative, because the issuer may have a path.
const PAGE: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>AgentIdP: the contract</title>
<link rel=\"icon\" href=\"docs/favicon-32x32.png\">
<link rel=\"stylesheet\" href=\"docs/swagger-ui.css\">
<div id=\"page\"></div>
<script src=\"docs/swagger-ui-bundle.js\"></script>
<script src=\"docs/start.js\"></script>
</html>
";

/// What starts the page. It asks nobody whether the document is valid: that is tested.
const START: &str = "SwaggerUIBundle({
  url: \"openapi.json\",
  dom_id: \"#page\",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false
});
";

/// The parts of the page, with their media types.
pub(super) const FILES: [(&str, &str); 4] = [
    ("favicon-32x32.png", "image/png"),
    ("start.js", "text/javascript; charset=utf-8"),
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    ("swagger-ui.css", "text/css; charset=utf-8"),
];

/// Answers with the page.
pub(super) async fn page() -> Response {
    let headers: [(HeaderName, HeaderValue); 3] = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, CACHED),
    ];
    (headers, PAGE).into_response()
}

/// Leads to the page: its relative addresses are wrong from here. Relative too, as what stands before it
/// is known to a proxy alone.
pub(super) async fn folder() -> Response {
    let there = [(LOCATION, HeaderValue::from_static("../docs"))];
    (StatusCode::PERMANENT_REDIRECT, there).into_response()
}

/// Answers with a part of the page.
pub(super) async fn file(
    Extension(arrival): Extension<Arrival>,
    Path(name): Path<String>,
) -> Response {
    match part(&name) {
        Some(response) => response,
        None => ApiError::new(Code::RouteNotFound, "the page has no such part")
            .answer(arrival.request_id),
    }
}

fn part(name: &str) -> Option<Response> {
    let (name, media_type) = FILES.iter().find(|(known, _)| *known == name)?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (CACHE_CONTROL, CACHED),
    ];
    if *name == "start.js" {
        return Some((headers, START).into_response());
    }
    let file = utoipa_swagger_ui::serve(name, Config::default().into()).ok()??;
    let mut response = (headers, file.bytes.into_owned()).into_response();
    if file.gzpipped {
        // Every browser reads it, and who does not is told.
        let gzip = HeaderValue::from_static("gzip");
        response.headers_mut().insert(CONTENT_ENCODING, gzip);
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_that_the_page_names_is_in_the_binary() {
        for name in PAGE.split("\"docs/").skip(1) {
            let name = name.split('"').next().unwrap();
            assert!(FILES.iter().any(|(known, _)| *known == name), "{name}");
        }
        for (name, media_type) in FILES {
            let part = part(name).unwrap_or_else(|| panic!("no {name}"));
            assert_eq!(part.headers()[CONTENT_TYPE], media_type);
        }
        assert!(part("index.html").is_none());
        assert!(part("../../etc/passwd").is_none());
    }

    #[tokio::test]
    async fn the_page_brings_its_own_policy_and_runs_nothing_inline() {
        let response = page().await;
        assert_eq!(response.headers()[CONTENT_SECURITY_POLICY], POLICY);
        assert!(!PAGE.contains("<script>") && !PAGE.contains("<style"));
        assert!(!PAGE.contains("//"), "the page names another server");
    }
}
