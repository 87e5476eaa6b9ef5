//! The daemon's health, part by part, for one who may see it.

use super::Answer;
use super::error::ApiError;
use super::request::Call;

/// `GET /health/detailed`
pub(super) async fn show(call: Call) -> Result<Answer, ApiError> {
    call.query.finish()?;
    Answer::new(&call.app.service.health().await)
}
