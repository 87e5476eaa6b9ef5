//! Reading `application/x-www-form-urlencoded` strictly: what is ambiguous is refused.

use std::borrow::Cow;

use axum::body::Body;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap};
use zeroize::Zeroizing;

use super::body::{self, BodyError};
use super::error::OAuthError;

/// The most parameters of a form.
const MAX_PARAMETERS: usize = 64;

/// Parameters that may stand once (RFC 6749, section 3.2). Only extensions such as RFC 8707 have ones
/// that may be repeated.
const SINGLE: &[&str] = &[
    "grant_type",
    "scope",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "token",
    "token_type_hint",
];

/// The parameters of a form, decoded, in order; none of [`SINGLE`] stands twice. Wiped when dropped:
/// one of them may be a secret.
pub(super) struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// Reads a form from a request, whose query must be empty: a query ends up in logs, and a secret in
    /// it is a secret no more.
    pub(super) async fn read(
        query: Option<String>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Self, OAuthError> {
        // Read first, whatever is wrong: one who is still writing may never see the answer.
        let bytes = body::read(body).await;
        if query.is_some_and(|query| !query.is_empty()) {
            return Err(OAuthError::invalid_request(
                "parameters must be in the body, not in the query",
            ));
        }
        if !is_form(headers) {
            return Err(OAuthError::invalid_request(
                "the body must be application/x-www-form-urlencoded, in UTF-8",
            ));
        }
        let bytes = bytes.map_err(|error| match error {
            BodyError::TooLarge => OAuthError::with_status(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body must be at most 64 KiB",
            ),
            BodyError::TooSlow => OAuthError::with_status(
                StatusCode::REQUEST_TIMEOUT,
                "the body did not arrive within 10 s",
            ),
            BodyError::Broken => OAuthError::invalid_request("the body did not arrive"),
        })?;
        Self::parse(&bytes)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, OAuthError> {
        let mut parameters: Vec<(String, Zeroizing<String>)> = Vec::new();
        for pair in bytes
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty())
        {
            if parameters.len() == MAX_PARAMETERS {
                return Err(OAuthError::invalid_request(
                    "the form has too many parameters",
                ));
            }
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            parameters.push((name.into_owned(), Zeroizing::new(value.into_owned())));
        }
        // With a value or without: what means one thing to us and another to a proxy is refused.
        let repeated = SINGLE
            .iter()
            .find(|name| parameters.iter().filter(|(it, _)| it == *name).count() > 1);
        match repeated {
            Some(name) => Err(OAuthError::invalid_request(format!(
                "the parameter {name} must not be repeated"
            ))),
            None => Ok(Self(parameters)),
        }
    }

    /// The value of a parameter that may stand once. One without a value counts as absent
    /// (RFC 6749, section 3.2).
    pub(super) fn single(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of a parameter that may be repeated.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }
}

/// Decodes one name or value: `+` is a space, `%` stands before two hex digits and before nothing
/// else, and the outcome is UTF-8 without control characters.
pub(super) fn decode(text: &[u8]) -> Result<Cow<'_, str>, OAuthError> {
    let bad = || OAuthError::invalid_request("a parameter is not form-urlencoded UTF-8 text");
    let is_plain = !text.iter().any(|byte| matches!(byte, b'%' | b'+'));
    let decoded = if is_plain {
        Cow::Borrowed(str::from_utf8(text).map_err(|_error| bad())?)
    } else {
        let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
        let mut rest = text.iter();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let mut digit = || {
                        rest.next()
                            .and_then(|digit| char::from(*digit).to_digit(16))
                    };
                    let (high, low) = (digit().ok_or_else(bad)?, digit().ok_or_else(bad)?);
                    u8::try_from(high * 16 + low).map_err(|_error| bad())?
                }
                byte => *byte,
            });
        }
        Cow::Owned(str::from_utf8(&bytes).map_err(|_error| bad())?.to_owned())
    };
    if decoded.chars().any(char::is_control) {
        return Err(OAuthError::invalid_request(
            "a parameter has a control character, such as the end of a line",
        ));
    }
    Ok(decoded)
}

/// Whether the headers announce a form in UTF-8 (RFC 6749, appendix B), and nothing besides.
fn is_form(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(Ok(media_type)), None) = (types.next().map(|it| it.to_str()), types.next()) else {
        return false;
    };
    body::is_utf_8(media_type, "application/x-www-form-urlencoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ambiguous_is_refused() {
        for bad in [
            "a=%", "a=%2", "a=%zz", "a=%00", "a=%0a", "a=\u{0}", "a=%ff", "a=%c3%28", "%=a",
        ] {
            assert!(Form::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_end_of_a_line_after_a_token_is_called_that() {
        // As `curl --data-urlencode token@file` sends it.
        let refused = Form::parse(b"token=eyJ.e.s%0A").err().unwrap();
        assert!(
            format!("{refused:?}").contains("the end of a line"),
            "{refused:?}"
        );
    }

    #[test]
    fn a_body_is_taken_for_a_form_only_when_it_is_announced_as_one_and_as_utf_8() {
        const FORM: &str = "application/x-www-form-urlencoded";
        let with = |parameter: &str| format!("{FORM}; {parameter}");
        for (types, is_one) in [
            (vec![FORM.to_owned()], true),
            (vec![with("charset=UTF-8")], true),
            (vec![with("charset=\"utf-8\"")], true),
            (vec![with("charset=utf-16")], false),
            (vec![FORM.to_owned(), FORM.to_owned()], false),
            (vec!["application/json".to_owned()], false),
            (vec![], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in &types {
                headers.append(CONTENT_TYPE, value.parse().unwrap());
            }
            assert_eq!(is_form(&headers), is_one, "{types:?}");
        }
    }

    #[test]
    fn a_parameter_without_a_value_is_absent_and_a_doubled_one_an_error() {
        let form = Form::parse(b"scope=&grant_type=a+b%20c&x=1&x=2").unwrap();
        assert_eq!(form.single("scope"), None);
        assert_eq!(form.single("grant_type"), Some("a b c"));
        assert_eq!(form.all("x").collect::<Vec<_>>(), ["1", "2"]);
        for name in SINGLE {
            let doubled = format!("{name}=&x=1&{name}=a");
            assert!(Form::parse(doubled.as_bytes()).is_err(), "{name}");
        }
    }

    #[test]
    fn whatever_bytes_are_sent_a_form_means_one_thing_or_is_refused() {
        crate::fuzz::throw("token-form", Vec::new(), |bytes| {
            let Ok(form) = Form::parse(bytes) else {
                return;
            };
            for name in SINGLE {
                assert!(form.all(name).count() <= 1, "{name}");
            }
            let texts = form.0.iter().flat_map(|(name, value)| [name, &**value]);
            assert!(!texts.flat_map(|text| text.chars()).any(char::is_control));
            // Others that write it anew, such as a proxy, do not make something else of it.
            let mut written = form_urlencoded::Serializer::new(String::new());
            written.extend_pairs(form.0.iter().map(|(name, value)| (name, &**value)));
            // An empty name without a value is written as `=`, and so is read again.
            let again = Form::parse(written.finish().as_bytes()).unwrap();
            assert_eq!(again.0, form.0);
        });
    }
}
