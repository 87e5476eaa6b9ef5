//! Signed tokens in the compact form (RFC 7515, section 7.1), taken apart strictly.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::json::{self, JsonError};
use super::{JwtError, Verifier};

/// The longest token that is looked at.
const MAX_TOKEN: usize = 8 * 1_024;
/// The longest header, decoded.
const MAX_HEADER: usize = 1_024;

/// A token whose signature is yet to be verified. Not `Debug`: no token belongs in a log.
pub(super) struct Jws<'a> {
    header: Header,
    /// What is signed: the first two parts and the dot between them, as they came.
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// The members that are looked at. Others are ignored, as RFC 7515, section 4 has it: among them
/// `jku`, `jwk`, `x5u` and `x5c`, with which a token would bring its own key along.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default, deserialize_with = "json::present")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "json::present")]
    typ: Option<String>,
    #[serde(default, deserialize_with = "json::present")]
    crit: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "json::present")]
    b64: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "json::present")]
    enc: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "json::present")]
    zip: Option<IgnoredAny>,
}

impl<'a> Jws<'a> {
    /// Takes `token` apart.
    pub(super) fn parse(token: &'a str) -> Result<Self, JwtError> {
        if token.len() > MAX_TOKEN {
            return Err(JwtError::TooLarge);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::NotCompact)?;
        let (header, payload) = signed.split_once('.').ok_or(JwtError::NotCompact)?;
        if payload.contains('.') || signature.is_empty() {
            return Err(JwtError::NotCompact);
        }
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
        if header.len() > MAX_HEADER {
            return Err(JwtError::TooLarge);
        }
        let header: Header = json::object(&header).map_err(JwtError::Header)?;
        let extensions = [header.crit, header.b64, header.enc, header.zip];
        if extensions.iter().any(Option::is_some) {
            return Err(JwtError::Extension);
        }
        if !header.kid.as_deref().is_none_or(json::is_name) {
            return Err(JwtError::Header(JsonError::Member));
        }
        Ok(Self {
            header,
            signed,
            payload,
            signature,
        })
    }

    /// The name of the key that the token says it was signed with.
    pub(super) fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The media type that the token says it has (RFC 7515, section 4.1.9), without the
    /// `application/` that may be left out.
    pub(super) fn typ(&self) -> Option<&str> {
        const PREFIX: &str = "application/";
        let typ = self.header.typ.as_deref()?;
        match typ.split_at_checked(PREFIX.len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => Some(rest),
            _ => Some(typ),
        }
    }

    /// The payload, which anybody may have written until [`Self::verify`] has said otherwise.
    pub(super) fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// Verifies the signature with `key`.
    pub(super) fn verify(&self, key: &Verifier) -> Result<(), JwtError> {
        key.verify(&self.header.alg, self.signed.as_bytes(), &self.signature)
    }
}

/// Decodes base64url without padding. The engine refuses padding, white space and bits beyond the
/// last byte, so that bytes have one form.
fn decode(part: &str) -> Result<Vec<u8>, JwtError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_error| JwtError::Encoding)
}
