//! How a client authenticates in a request (RFC 6749, section 2.3.1): by the `Authorization`
//! header or in the form, and not by both.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap};
use zeroize::Zeroizing;

use super::error::OAuthError;
use super::form::{Form, decode};
use crate::service::authenticate::Presented;

/// What the client presents; `None` when that is no authentication that this server offers.
pub(super) fn presented(headers: &HeaderMap, form: &Form) -> Result<Option<Presented>, OAuthError> {
    let (id, secret) = (form.single("client_id"), form.single("client_secret"));
    let assertion = form
        .single("client_assertion")
        .or(form.single("client_assertion_type"));
    let mut headers = headers.get_all(AUTHORIZATION).iter();
    let header = headers.next();
    if headers.next().is_some() {
        return Err(OAuthError::invalid_request(
            "the Authorization header must not be repeated",
        ));
    }
    let methods = [header.is_some(), secret.is_some(), assertion.is_some()];
    if methods.iter().filter(|used| **used).count() > 1 {
        return Err(OAuthError::invalid_request(
            "the client must authenticate by one method, not by two",
        ));
    }
    if let Some(header) = header {
        let Some(basic) = header.to_str().ok().and_then(basic) else {
            return Ok(None);
        };
        let presented = basic?;
        if id.is_some_and(|id| id != presented.client_id) {
            return Err(OAuthError::invalid_request(
                "the client_id in the form is not the one that authenticates",
            ));
        }
        return Ok(Some(presented));
    }
    Ok(id.zip(secret).map(|(id, secret)| Presented {
        client_id: id.to_owned(),
        client_secret: Zeroizing::new(secret.to_owned()),
    }))
}

/// Reads a header of the Basic scheme (RFC 7617); `None` for another scheme.
///
/// Id and secret are form-urlencoded within it. Those of this server hold nothing that encoding
/// would change, so clients that leave it out work too.
fn basic(header: &str) -> Option<Result<Presented, OAuthError>> {
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
        Ok(Presented {
            client_id: decode(id)?.into_owned(),
            client_secret: Zeroizing::new(decode(secret)?.into_owned()),
        })
    };
    Some(parse())
}
