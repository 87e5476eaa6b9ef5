//! A request at the management interface, taken apart.

use std::sync::Arc;

use agentidp_shared::{Code, FieldError};
use axum::body::Bytes;
use axum::extract::{FromRequestParts as _, RawPathParams};
use http::header::{CONTENT_TYPE, HeaderMap, IF_MATCH};
use http::request::Parts;
use http::{HeaderName, HeaderValue};

use super::error::ApiError;
use super::json::Members;
use super::{App, BodyRule};
use crate::http::body::is_utf_8;
use crate::http::form::decode;
use crate::service::{Caller, IdempotencyKey};

/// The header that makes a request one that may be repeated.
pub(in crate::http) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest idempotency key, in characters.
pub(in crate::http) const MAX_IDEMPOTENCY_KEY: usize = 255;

/// A request whose caller has been let in.
pub(super) struct Call {
    pub(super) app: Arc<App>,
    pub(super) caller: Caller,
    pub(super) query: Query,
    /// What the body says; nothing where it may be left out and is.
    pub(super) body: Members,
    path: String,
    parameters: Vec<(String, String)>,
    if_match: Option<u64>,
}

impl Call {
    /// Takes a request apart.
    pub(super) async fn read(
        app: Arc<App>,
        mut caller: Caller,
        rule: BodyRule,
        mut parts: Parts,
        body: Bytes,
    ) -> Result<Self, ApiError> {
        let path = parts.uri.path().to_owned();
        if !is_percent_encoded(&path) {
            return Err(ApiError::invalid("path", "must be percent-encoded UTF-8"));
        }
        let parameters = RawPathParams::from_request_parts(&mut parts, &()).await;
        let parameters = parameters
            .map_err(|_error| ApiError::invalid("path", "must be percent-encoded UTF-8"))?;
        let parameters = parameters
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let if_match = single(&parts.headers, &IF_MATCH)?.map(revision);
        caller.idempotency = single(&parts.headers, &IDEMPOTENCY_KEY)?
            .map(|key| {
                let key = idempotency_key(key)?;
                let query = parts.uri.query().unwrap_or_default();
                let method = parts.method.as_str();
                let request = [method.as_bytes(), path.as_bytes(), query.as_bytes(), &body];
                let caller = caller.actor.id.as_deref().unwrap_or_default();
                Ok::<_, ApiError>(IdempotencyKey::new(caller, key, &request))
            })
            .transpose()?;
        Ok(Self {
            app,
            caller,
            query: Query::parse(parts.uri.query().unwrap_or_default())?,
            body: read_body(rule, &parts.headers, &body)?,
            path,
            parameters,
            if_match: if_match.transpose()?,
        })
    }

    /// An id in the path.
    pub(super) fn id<T>(&self, name: &'static str) -> Result<T, ApiError>
    where
        T: std::str::FromStr<Err = FieldError>,
    {
        let known = self.parameters.iter().find(|(it, _)| it == name);
        let text = known.map_or("", |(_, value)| value.as_str());
        text.parse()
            .map_err(|error: FieldError| ApiError::invalid(error.field, error.rule))
    }

    /// Whether the request is to fail when a record has changed.
    pub(super) const fn is_conditional(&self) -> bool {
        self.if_match.is_some()
    }

    /// The revision that the caller takes for the current one; 0: any.
    pub(super) fn seen(&self) -> u64 {
        self.if_match.unwrap_or(0)
    }

    /// Where a record is that the request made below its own path.
    pub(super) fn location(&self, id: &impl ToString) -> String {
        format!("{}/{}", self.path, id.to_string())
    }

    /// Where a record is that the request made beside the one that it names, `levels` above.
    pub(super) fn location_beside(&self, levels: usize, id: &impl ToString) -> String {
        let above = self.path.rsplitn(levels + 1, '/').last();
        format!("{}/{}", above.unwrap_or_default(), id.to_string())
    }
}

/// The value of a header that may stand once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    let mut all = headers.get_all(name).iter();
    let Some(first) = all.next() else {
        return Ok(None);
    };
    if all.next().is_some() {
        return Err(ApiError::invalid(name.as_str(), "must not be repeated"));
    }
    let text = HeaderValue::to_str(first)
        .map_err(|_error| ApiError::invalid(name.as_str(), "must be visible ASCII characters"))?;
    Ok(Some(text.trim()))
}

/// The revision of an `If-Match`: one strong entity tag of ours, or `*` for any.
fn revision(text: &str) -> Result<u64, ApiError> {
    if text == "*" {
        return Ok(0);
    }
    let digits = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .filter(|digits| digits.len() < 20 && !digits.starts_with('0'))
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| {
            ApiError::invalid(
                "if-match",
                "must be * or one ETag of the record, such as \"3\"",
            )
        })
}

fn idempotency_key(text: &str) -> Result<&str, ApiError> {
    let is_key = (1..=MAX_IDEMPOTENCY_KEY).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_key.then_some(text).ok_or_else(|| {
        ApiError::invalid(
            "idempotency-key",
            "must be 1 to 255 visible ASCII characters without spaces",
        )
    })
}

/// Whether every `%` stands before two hex digits.
fn is_percent_encoded(path: &str) -> bool {
    path.split('%').skip(1).all(|after| {
        let mut bytes = after.bytes();
        let mut is_digit = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        is_digit() && is_digit()
    })
}

fn read_body(rule: BodyRule, headers: &HeaderMap, body: &[u8]) -> Result<Members, ApiError> {
    match rule {
        BodyRule::None | BodyRule::Optional if body.is_empty() => return Ok(Members::default()),
        BodyRule::None => return Err(ApiError::invalid("body", "must be empty")),
        BodyRule::Optional | BodyRule::Required => {}
    }
    let media_type = single(headers, &CONTENT_TYPE)?.unwrap_or_default();
    if !is_utf_8(media_type, "application/json") {
        return Err(ApiError::new(
            Code::UnsupportedMediaType,
            "the body must be application/json in UTF-8, and its Content-Type must say so",
        ));
    }
    Members::parse(body)
}

/// The parameters of a query that have not been taken yet; none stands twice.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query.
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|_| !text.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text: &str| {
                let decoded = decode(text.as_bytes()).map_err(|_error| {
                    ApiError::invalid(
                        "query",
                        "must be percent-encoded UTF-8 without control characters",
                    )
                })?;
                Ok::<_, ApiError>(decoded.into_owned())
            };
            let (name, value) = (decoded(name)?, decoded(value)?);
            if parameters.iter().any(|(known, _)| *known == name) {
                let name: String = name.chars().take(64).collect();
                return Err(ApiError::invalid(&name, "must not be repeated"));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// Takes a parameter.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Takes a parameter that `parse` reads.
    pub(super) fn take_by<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, FieldError>,
    ) -> Result<Option<T>, ApiError> {
        let value = self.take(name);
        let parsed = value.as_deref().map(parse).transpose();
        parsed.map_err(|error| ApiError::invalid(name, error.rule))
    }

    /// The parameters that are left, in one text that differs when they do.
    pub(super) fn canonical(&self) -> String {
        let mut pairs: Vec<_> = self.0.iter().collect();
        pairs.sort_unstable();
        format!("{pairs:?}")
    }

    /// Refuses what has not been taken.
    pub(super) fn finish(&self) -> Result<(), ApiError> {
        match self.0.first() {
            Some((name, _)) => {
                let name: String = name.chars().take(64).collect();
                Err(ApiError::invalid(
                    &name,
                    "is not a parameter of this request",
                ))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_unambiguous_or_refused() {
        for bad in [
            "a=1&a=1",
            "a=%",
            "a=%zz",
            "a=%00",
            "a=%ff",
            "a=1&%61=2",
            "%0a=1",
        ] {
            assert!(Query::parse(bad).is_err(), "{bad}");
        }
        let mut query = Query::parse("owner=team+a%2B&limit=5").unwrap();
        assert_eq!(query.take("owner").as_deref(), Some("team a+"));
        assert_eq!(query.finish().unwrap_err().field(), Some("limit"));
        assert!(Query::parse("").unwrap().finish().is_ok());
        assert!(Query::parse("a=1&").unwrap().finish().is_err());
    }

    #[test]
    fn the_order_of_filters_makes_no_other_list() {
        let canonical = |text| Query::parse(text).unwrap().canonical();
        assert_eq!(canonical("a=1&b=2"), canonical("b=2&a=1"));
        assert_ne!(canonical("a=1&b=2"), canonical("a=1%22%2C&b=2"));
    }

    #[test]
    fn if_match_takes_one_strong_tag_or_any() {
        for (text, expected) in [
            ("\"41\"", Some(41)),
            ("*", Some(0)),
            ("41", None),
            ("W/\"41\"", None),
            ("\"0\"", None),
            ("\"041\"", None),
            ("\"+41\"", None),
            ("\"\"", None),
            ("\"1\", \"2\"", None),
            ("\"99999999999999999999\"", None),
        ] {
            assert_eq!(revision(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn json_is_utf_8() {
        for good in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert!(is_utf_8(good, "application/json"), "{good}");
        }
        for bad in [
            "",
            "text/json",
            "application/json; charset=latin1",
            "application/json;",
            "application/json; x=y",
            "application/merge-patch+json",
        ] {
            assert!(!is_utf_8(bad, "application/json"), "{bad}");
        }
    }

    #[test]
    fn a_path_is_percent_encoded_or_refused() {
        for (path, expected) in [
            ("/a%20b", true),
            ("/a", true),
            ("/%", false),
            ("/%2", false),
            ("/%zz", false),
        ] {
            assert_eq!(is_percent_encoded(path), expected, "{path}");
        }
    }
}
