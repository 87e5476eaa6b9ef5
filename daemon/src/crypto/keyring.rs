//! The keys in use: the one that signs, and those that are published and verify.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jsonwebtoken::jwk::JwkSet;

use super::jose::{PublicJwk, Verifier};
use super::{CryptoError, Signer};

/// An immutable picture of the signing keys; replaced whole when one of them changes.
pub(crate) struct Keyring {
    active: Arc<Signer>,
    /// The published keys by `kid`, ready to verify.
    verifiers: HashMap<String, Verifier>,
    jwks: Bytes,
    etag: String,
}

impl Keyring {
    /// A keyring that signs with `active` and publishes `published`, which includes it.
    pub(crate) fn new(active: Arc<Signer>, published: &[Arc<Signer>]) -> Result<Self, CryptoError> {
        let keys = published
            .iter()
            .map(|signer| signer.jwk().clone())
            .collect();
        let jwks = serde_json::to_vec(&JwkSet { keys })
            .map_err(|_error| CryptoError::Library("write the JWKS"))?;
        let verifiers = published
            .iter()
            .map(|signer| Ok((signer.kid().to_owned(), verifier(signer)?)))
            .collect::<Result<_, CryptoError>>()?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &jwks);
        let tag = URL_SAFE_NO_PAD.encode(digest);
        Ok(Self {
            active,
            verifiers,
            jwks: jwks.into(),
            etag: format!("\"{tag}\""),
        })
    }

    /// Whether it signs with `active` and publishes just the keys of these names.
    pub(crate) fn is_of<'a>(
        &self,
        active: &str,
        published: impl IntoIterator<Item = &'a str>,
    ) -> bool {
        let mut count = 0;
        let has_all = published.into_iter().all(|kid| {
            count += 1;
            self.verifiers.contains_key(kid)
        });
        has_all && count == self.verifiers.len() && self.active.kid() == active
    }

    /// The key that signs.
    pub(crate) fn active(&self) -> &Signer {
        &self.active
    }

    /// The published key of that name, ready to verify.
    pub(crate) fn verifier(&self, kid: &str) -> Option<&Verifier> {
        self.verifiers.get(kid)
    }

    /// The JWK set (RFC 7517, section 5), encoded.
    pub(crate) fn jwks(&self) -> Bytes {
        self.jwks.clone()
    }

    /// The set's entity tag (RFC 9110, section 8.8.3).
    pub(crate) fn etag(&self) -> &str {
        &self.etag
    }
}

/// The published half of a key is read as anybody reads it, so that what verifies here is what the
/// JWKS says.
fn verifier(signer: &Signer) -> Result<Verifier, CryptoError> {
    serde_json::to_vec(signer.jwk())
        .ok()
        .and_then(|jwk| PublicJwk::parse(&jwk).ok())
        .map(PublicJwk::into_verifier)
        .ok_or(CryptoError::InvalidKey)
}
