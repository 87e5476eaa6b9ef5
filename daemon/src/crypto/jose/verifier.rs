//! Public keys that are ready to verify.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256,
};

use super::JwtError;

/// A JWS algorithm that signatures of others are verified with (RFC 7518, section 3.1; RFC 8037,
/// section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JwsAlgorithm {
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// ECDSA with P-384 and SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256 and a salt of 32 bytes.
    Ps256,
}

impl JwsAlgorithm {
    /// Every algorithm, in the order in which the metadata lists them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
    ];

    /// Those that an RSA key can be used with.
    pub(super) const RSA: &'static [Self] = &[Self::Rs256, Self::Rs384, Self::Rs512, Self::Ps256];

    /// Its name in `alg`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
        }
    }
}

/// A public key, parsed once, with the algorithms that it may be used with.
#[derive(Debug, Clone)]
pub(crate) struct Verifier {
    /// One for RSA too when its JWK names an algorithm, else one for each.
    keys: Vec<(JwsAlgorithm, ParsedPublicKey)>,
}

impl Verifier {
    /// The verifier of an elliptic-curve key, from its uncompressed point (SEC 1, section 2.3.3) or,
    /// for Ed25519, its 32 bytes. [`None`] if they are no key of that algorithm.
    pub(super) fn from_point(algorithm: JwsAlgorithm, point: &[u8]) -> Option<Self> {
        let key = match algorithm {
            JwsAlgorithm::Es256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point),
            JwsAlgorithm::Es384 => ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point),
            JwsAlgorithm::EdDsa => ParsedPublicKey::new(&ED25519, point),
            _ => return None,
        };
        Some(Self {
            keys: vec![(algorithm, key.ok()?)],
        })
    }

    /// The verifier of an RSA key, from its modulus and exponent, for `algorithms`.
    pub(super) fn from_rsa(algorithms: &[JwsAlgorithm], n: &[u8], e: &[u8]) -> Option<Self> {
        let components = PublicKeyComponents { n, e };
        let keys = algorithms.iter().map(|algorithm| {
            let parameters = match algorithm {
                JwsAlgorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
                JwsAlgorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
                JwsAlgorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
                JwsAlgorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
                _ => return None,
            };
            let key = components.to_parsed_public_key(parameters).ok()?;
            Some((*algorithm, key))
        });
        Some(Self {
            keys: keys.collect::<Option<_>>()?,
        })
    }

    /// The algorithms that the key may be used with.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = JwsAlgorithm> {
        self.keys.iter().map(|(algorithm, _)| *algorithm)
    }

    /// Verifies `signature` of `message`. The key decides which algorithms there are; what the
    /// token's header says can only choose among them.
    pub(super) fn verify(
        &self,
        alg: &str,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), JwtError> {
        let (_, key) = self
            .keys
            .iter()
            .find(|(algorithm, _)| algorithm.as_str() == alg)
            .ok_or(JwtError::Algorithm)?;
        key.verify_sig(message, signature)
            .map_err(|_error| JwtError::Signature)
    }
}
