//! The keys in use: the one that signs, and those that are published.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jsonwebtoken::jwk::JwkSet;

use super::{CryptoError, Signer};

/// An immutable picture of the signing keys; replaced whole when one of them changes.
pub(crate) struct Keyring {
    active: Arc<Signer>,
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
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &jwks);
        let tag = URL_SAFE_NO_PAD.encode(digest);
        Ok(Self {
            active,
            jwks: jwks.into(),
            etag: format!("\"{tag}\""),
        })
    }

    /// The key that signs.
    pub(crate) fn active(&self) -> &Signer {
        &self.active
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
