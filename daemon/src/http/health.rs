//! Whether the daemon lives, and whether it can serve; one word each.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;

use super::App;

/// 200 as long as the daemon answers at all.
pub(super) async fn live() -> &'static str {
    "live\n"
}

/// 200 when the store can be written and the keys are loaded, else 503.
pub(super) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    if app.service.not_ready_reason().is_none() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unready\n")
    }
}
