//! Pages of lists: how many, from where on.

use agentidp_shared::FieldError;
use serde::Serialize;

use super::error::ApiError;
use super::request::{Call, Query};

/// How many a page has when nothing is said.
pub(in crate::http) const DEFAULT_LIMIT: usize = 50;
/// How many a page has at most.
pub(in crate::http) const MAX_LIMIT: usize = 100;

/// A page of a list.
#[derive(Debug, Serialize)]
pub(super) struct Page<T> {
    /// What is on it.
    pub(super) items: Vec<T>,
    /// Where the next page begins; absent: there is none.
    pub(super) next_cursor: Option<String>,
    /// How many there are on all pages; absent where to count them would be to read them all.
    pub(super) total: Option<u64>,
}

/// Which page is asked for.
pub(super) struct PageRequest {
    /// How many.
    pub(super) limit: usize,
    /// The position after which it begins, as it was sealed.
    pub(super) after: Option<Vec<u8>>,
    /// The list: which it is, its filters and its order.
    list: String,
}

impl PageRequest {
    /// Takes `limit` and `cursor` from the query of a list of `things`. All that is left of the
    /// query makes it another list.
    pub(super) fn take(call: &mut Call, things: &str) -> Result<Self, ApiError> {
        let limit = take_limit(&mut call.query)?;
        let cursor = call.query.take("cursor");
        let list = format!("{things} {}", call.query.canonical());
        let service = &call.app.service;
        let after = cursor.map(|cursor| {
            let opened = service.open_cursor(&call.caller, &list, &cursor);
            opened.ok_or_else(bad_cursor)
        });
        Ok(Self {
            limit,
            after: after.transpose()?,
            list,
        })
    }

    /// The cursor of the page that begins after `position`.
    pub(super) fn cursor(&self, call: &Call, position: &[u8]) -> String {
        let service = &call.app.service;
        service.seal_cursor(&call.caller, &self.list, position)
    }
}

/// A cursor that is not one of this list.
pub(super) fn bad_cursor() -> ApiError {
    ApiError::invalid(
        "cursor",
        "must be the next_cursor of a page of the same list, with the same filters and order",
    )
}

fn take_limit(query: &mut Query) -> Result<usize, ApiError> {
    let limit = query.take_by("limit", |text| {
        text.parse()
            .ok()
            .filter(|limit| (1..=MAX_LIMIT).contains(limit) && limit.to_string() == text)
            .ok_or(FieldError::new("limit", "must be a number from 1 to 100"))
    })?;
    Ok(limit.unwrap_or(DEFAULT_LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_from_1_to_100() {
        let limit = |text: &str| take_limit(&mut Query::parse(text).unwrap()).ok();
        assert_eq!(limit(""), Some(DEFAULT_LIMIT));
        assert_eq!(limit("limit=1"), Some(1));
        assert_eq!(limit("limit=100"), Some(100));
        for bad in [
            "",
            "0",
            "101",
            "-1",
            "1.0",
            "01",
            "%2B1",
            "abc",
            "18446744073709551616",
        ] {
            assert_eq!(limit(&format!("limit={bad}")), None, "{bad}");
        }
    }
}
