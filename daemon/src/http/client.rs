//! How a client authenticates in a request: by the `Authorization` header or in the form
//! (RFC 6749, section 2.3.1), by an assertion in the form (RFC 7523, section 2.2), or where an
//! endpoint takes it by an access token (RFC 6750, section 2.1); and not by two of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use super::error::OAuthError;
use super::form::{Form, decode};
use crate::service::authenticate::Presented;
use crate::service::bearer::Presents;

/// The `client_assertion_type` of a JWT (RFC 7523, section 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The one `Authorization` header of a request, if it has one.
pub(super) fn authorization(headers: &HeaderMap) -> Result<Option<&HeaderValue>, OAuthError> {
    let mut headers = headers.get_all(AUTHORIZATION).iter();
    let header = headers.next();
    if headers.next().is_some() {
        return Err(OAuthError::invalid_request(
            "the Authorization header must not be repeated",
        ));
    }
    Ok(header)
}

/// The access token in the one `Authorization` header of a request, if that is of the Bearer scheme
/// (RFC 6750, section 2.1); `None` for another scheme, for what cannot be a token, and for several headers.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let header = authorization(headers).ok().flatten()?;
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    // More spaces than one may stand between the two (RFC 9110, section 11.4).
    let token = token.trim_matches(' ');
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("bearer") && is_token).then_some(token)
}

/// What the request presents, where an access token will do as well.
pub(super) fn presents(headers: &HeaderMap, form: &Form) -> Result<Option<Presents>, OAuthError> {
    authorization(headers)?;
    if let Some(token) = bearer(headers) {
        if has_client_authentication(form) {
            return Err(two_methods());
        }
        return Ok(Some(Presents::Bearer(Zeroizing::new(token.to_owned()))));
    }
    Ok(presented(headers, form)?.map(Presents::Client))
}

fn has_client_authentication(form: &Form) -> bool {
    ["client_secret", "client_assertion", "client_assertion_type"]
        .iter()
        .any(|name| form.single(name).is_some())
}

fn two_methods() -> OAuthError {
    OAuthError::invalid_request("the client must authenticate by one method, not by two")
}

/// What the client presents; `None` when that is no authentication that this server offers.
pub(super) fn presented(headers: &HeaderMap, form: &Form) -> Result<Option<Presented>, OAuthError> {
    let (id, secret) = (form.single("client_id"), form.single("client_secret"));
    let assertion = form.single("client_assertion");
    let assertion_type = form.single("client_assertion_type");
    let header = authorization(headers)?;
    let methods = [
        header.is_some(),
        secret.is_some(),
        assertion.or(assertion_type).is_some(),
    ];
    if methods.iter().filter(|used| **used).count() > 1 {
        return Err(two_methods());
    }
    if let Some(header) = header {
        let Some(basic) = header.to_str().ok().and_then(basic) else {
            return Ok(None);
        };
        let (client_id, client_secret) = basic?;
        if id.is_some_and(|id| id != client_id) {
            return Err(OAuthError::invalid_request(
                "the client_id in the form is not the one that authenticates",
            ));
        }
        return Ok(Some(Presented::Secret {
            client_id,
            client_secret,
        }));
    }
    match (assertion, assertion_type) {
        (Some(assertion), Some(JWT_BEARER)) => Ok(Some(Presented::Assertion {
            client_id: id.map(str::to_owned),
            client_assertion: Zeroizing::new(assertion.to_owned()),
        })),
        (None, None) => Ok(id.zip(secret).map(|(id, secret)| Presented::Secret {
            client_id: id.to_owned(),
            client_secret: Zeroizing::new(secret.to_owned()),
        })),
        _ => Err(OAuthError::invalid_request(
            "client_assertion and client_assertion_type belong together, and the type is that of a JWT",
        )),
    }
}

/// Reads a header of the Basic scheme (RFC 7617); `None` for another scheme.
///
/// Id and secret are form-urlencoded within it. Those of this server hold nothing that encoding
/// would change, so clients that leave it out work too.
fn basic(header: &str) -> Option<Result<(String, Zeroizing<String>), OAuthError>> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let malformed = || {
        OAuthError::invalid_request("the Authorization header is not of the Basic scheme's form")
    };
    let parse = || {
        let bytes = Zeroizing::new(
            STANDARD
                .decode(encoded.trim())
                .map_err(|_error| malformed())?,
        );
        let mut halves = bytes.splitn(2, |byte| *byte == b':');
        let (id, secret) = (
            halves.next().unwrap_or_default(),
            halves.next().ok_or_else(malformed)?,
        );
        let secret = Zeroizing::new(decode(secret)?.into_owned());
        Ok((decode(id)?.into_owned(), secret))
    };
    Some(parse())
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;
    use http::HeaderValue;

    use super::*;

    fn read(header: &[u8]) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(header).ok()?);
        let form = Form::parse(b"").unwrap();
        match presented(&headers, &form).ok()?? {
            Presented::Secret {
                client_id,
                client_secret,
            } => Some((client_id, client_secret.to_string())),
            Presented::Assertion { .. } => panic!("an assertion from an empty form"),
        }
    }

    #[test]
    fn an_access_token_is_read_by_one_rule_wherever_it_is_shown() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            bearer(&headers).map(str::to_owned)
        };
        for good in ["Bearer a.b.c", "bearer  a.b.c", "BEARER a.b.c "] {
            assert_eq!(read(&[good]).as_deref(), Some("a.b.c"), "{good}");
        }
        for bad in [
            "Bearer",
            "Bearer ",
            "Bearer a b",
            "Basic a.b.c",
            "a.b.c",
            "Bearer\ta",
        ] {
            assert_eq!(read(&[bad]), None, "{bad}");
        }
        assert_eq!(read(&["Bearer a", "Bearer a"]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn whatever_bytes_the_header_has_it_names_one_client_or_is_refused() {
        let encode =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        crate::fuzz::throw("basic-header", Vec::new(), |bytes| {
            let Some((id, secret)) = read(bytes) else {
                return;
            };
            assert!(!id.chars().chain(secret.chars()).any(char::is_control));
            let pair = format!("{}:{}", encode(&id), encode(&secret));
            let again = format!("Basic {}", BASE64_STANDARD.encode(pair));
            assert_eq!(read(again.as_bytes()), Some((id, secret)));
        });
    }
}
