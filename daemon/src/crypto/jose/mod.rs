//! Keys and tokens that come from outside, read strictly: JWK (RFC 7517), JWS (RFC 7515) and JWT
//! (RFC 7519) as RFC 8725 wants them.
//!
//! From the bottom up: [`json`] reads an object in which no name stands twice; [`jwk`] makes a
//! public key of one, and [`verifier`] is that key ready to verify; [`jws`] takes a token apart and
//! checks its signature; [`jwt`] adds what is common to tokens that carry claims; [`assertion`] and
//! [`access_token`] are the two kinds that this server takes. A third kind goes beside them, with a
//! `typ` of its own, so that none is ever taken for another.
//!
//! `jsonwebtoken::decode` is not used: as it comes it lets pass a `crit` that nobody understood,
//! `b64: false`, any `typ`, a `nbf` that lies ahead and a token that has just expired, and of a name
//! that stands twice it takes one.

pub(crate) mod access_token;
pub(crate) mod assertion;
pub(crate) mod jwk;
pub(crate) mod jwt;
pub(crate) mod verifier;

mod json;
mod jws;
mod roca;

#[cfg(test)]
mod tests;

pub(crate) use access_token::{AccessToken, verify_access_token};
pub(crate) use assertion::{Assertion, ClientAssertion};
pub(crate) use jwk::PublicJwk;
pub(crate) use jwt::JwtError;
pub(crate) use verifier::{JwsAlgorithm, Verifier};
