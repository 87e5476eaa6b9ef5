//! What tokens with claims have in common (RFC 7519).

use std::fmt;
use std::time::Duration;

use agentidp_shared::Timestamp;
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer};

use super::Verifier;
use super::json;
use super::jws::Jws;

pub(crate) use super::json::JsonError;

/// Why a token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwtError {
    /// The token is longer than 8 KiB, or its header than 1 KiB.
    #[error("the token is longer than 8 KiB, or its header longer than 1 KiB")]
    TooLarge,
    /// It is not a JWS in the compact form.
    #[error("the token is not three parts with a dot between them, the last not empty")]
    NotCompact,
    /// A part is not in the one form of base64url that its bytes have.
    #[error("a part of the token is not base64url without padding")]
    Encoding,
    /// The header is not a JSON object that can be read in one way.
    #[error("the token's header {0}")]
    Header(JsonError),
    /// The header says that the token needs more than a JWS verifier: `crit`, `b64`, `enc`, `zip`.
    #[error("the token's header has crit, b64, enc or zip, none of which is supported")]
    Extension,
    /// `typ` is another kind of token's.
    #[error("the token's typ is not that of the kind of token expected here")]
    Type,
    /// The payload is not a JSON object that can be read in one way.
    #[error("the token's payload {0}")]
    Claims(JsonError),
    /// `kid` is missing or is no key of ours.
    #[error("the token names no key of this server")]
    UnknownKey,
    /// `alg` is not one that the key may be used with.
    #[error("the token's alg is not one that its key may be used with")]
    Algorithm,
    /// The signature is not one of the key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// `iss` is another server.
    #[error("the token is of another issuer")]
    Issuer,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
}

/// Which `typ` a kind of token may have (RFC 8725, section 3.11).
#[derive(Debug, Clone, Copy)]
pub(super) struct Types {
    /// The media types without `application/`; upper or lower case is all one.
    pub(super) names: &'static [&'static str],
    /// Whether a token may go without.
    pub(super) may_be_absent: bool,
}

impl Types {
    fn admit(self, typ: Option<&str>) -> bool {
        match typ {
            Some(typ) => self.names.iter().any(|name| name.eq_ignore_ascii_case(typ)),
            None => self.may_be_absent,
        }
    }
}

/// A token that is in order but for its signature, which is yet to be verified.
pub(super) struct UnverifiedJwt<'a>(Jws<'a>);

impl<'a> UnverifiedJwt<'a> {
    /// Takes a token of one of `types` apart.
    pub(super) fn parse(token: &'a str, types: Types) -> Result<Self, JwtError> {
        let jws = Jws::parse(token)?;
        if !types.admit(jws.typ()) {
            return Err(JwtError::Type);
        }
        json::check(jws.unverified_payload()).map_err(JwtError::Claims)?;
        Ok(Self(jws))
    }

    /// The name of the key that the token says it was signed with.
    pub(super) fn kid(&self) -> Option<&str> {
        self.0.kid()
    }

    /// The claims, which anybody may have written until [`Self::verify`] has said otherwise.
    pub(super) fn unverified_claims<T: DeserializeOwned>(&self) -> Result<T, JwtError> {
        json::checked(self.0.unverified_payload()).map_err(JwtError::Claims)
    }

    /// Verifies the signature with `key`.
    pub(super) fn verify(&self, key: &Verifier) -> Result<(), JwtError> {
        self.0.verify(key)
    }

    /// The claims of a token that `key` signed.
    pub(super) fn verified_claims<T: DeserializeOwned>(
        &self,
        key: &Verifier,
    ) -> Result<T, JwtError> {
        self.verify(key)?;
        self.unverified_claims()
    }
}

/// A `NumericDate` (RFC 7519, section 2): seconds since 1970, whole or with a fraction, up to the
/// year 9999. Kept to the millisecond.
#[derive(Debug, Clone, Copy)]
pub(super) struct NumericDate(pub(super) Timestamp);

impl NumericDate {
    fn after_epoch<E: serde::de::Error>(since: Duration) -> Result<Self, E> {
        // The year 10000. `Timestamp` would hold what lies beyond to the year 9999.
        const END: Duration = Duration::from_hours(70_389_528);
        if since >= END {
            return Err(E::custom("a time beyond the year 9999"));
        }
        Ok(Self(Timestamp::from_millis(0).plus(since)))
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DateVisitor;

        impl Visitor<'_> for DateVisitor {
            type Value = NumericDate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds since 1970")
            }

            fn visit_u64<E: serde::de::Error>(self, secs: u64) -> Result<NumericDate, E> {
                NumericDate::after_epoch(Duration::from_secs(secs))
            }

            fn visit_f64<E: serde::de::Error>(self, secs: f64) -> Result<NumericDate, E> {
                NumericDate::after_epoch(Duration::try_from_secs_f64(secs).map_err(E::custom)?)
            }
        }

        deserializer.deserialize_any(DateVisitor)
    }
}
