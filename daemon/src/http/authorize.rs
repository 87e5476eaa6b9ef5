//! The authorization endpoint (RFC 6749, section 3.1), which this server has only to say that it
//! grants nothing there.
//!
//! Clients demand it of the metadata, whatever grant they use. There are no redirect URIs, so the
//! error goes to whoever sits at the browser (section 4.1.2.1) and nowhere else.

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName};

const PAGE: &str = "<!doctype html>
<html lang=\"en\">
<title>unauthorized_client</title>
<h1>unauthorized_client</h1>
<p>This server grants tokens to agents, not to browsers. An agent asks for its token at the token
endpoint, with the client credentials grant.</p>
</html>
";

/// Answers with a page for people.
pub(super) async fn authorize() -> (StatusCode, [(HeaderName, &'static str); 1], &'static str) {
    (
        StatusCode::BAD_REQUEST,
        [(CONTENT_TYPE, "text/html; charset=utf-8")],
        PAGE,
    )
}
