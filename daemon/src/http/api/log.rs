//! The whole log over HTTP: C2SP tlog-tiles below `/audit/log`.

use agentidp_shared::merkle::{TILE_WIDTH, Tile, TileKind};
use agentidp_shared::{Code, FieldError};

use super::Answer;
use super::error::ApiError;
use super::request::Call;

/// What never changes, as hashes do not; only for the one who asked, because it is behind authorization.
const FOR_EVER: &str = "private, max-age=31536000, immutable";
const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// `GET /audit/log/checkpoint`
pub(super) async fn checkpoint(call: Call) -> Result<Answer, ApiError> {
    call.query.finish()?;
    let note = call.app.service.log_checkpoint(&call.caller).await?;
    Ok(Answer::of_json(note.into()).content_type(TEXT))
}

/// `GET /audit/log/tile/…`
pub(super) async fn tile(call: Call) -> Result<Answer, ApiError> {
    let service = &call.app.service;
    // First: what there is, is nothing for others to know.
    service.admit_reader(&call.caller)?;
    call.query.finish()?;
    let absent = || ApiError::new(Code::RouteNotFound, "the log has no such tile");
    let Named(tile) = call.id("path").map_err(|_error| absent())?;
    let bytes = service.log_tile(&call.caller, tile).await?;
    let answer = Answer::of_json(bytes.ok_or_else(absent)?).content_type(BYTES);
    // Entries are pruned: what was fetched by then is not to be found in caches for a year.
    let is_for_ever = matches!(tile.kind(), TileKind::Hashes(_));
    Ok(if is_for_ever && u64::from(tile.width()) == TILE_WIDTH {
        answer.cached(FOR_EVER)
    } else {
        answer
    })
}

/// A tile by the part of its path that follows `tile/`.
struct Named(Tile);

impl std::str::FromStr for Named {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        format!("tile/{text}").parse().map(Self)
    }
}
