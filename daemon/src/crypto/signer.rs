//! Signing keys: made, read, and used to sign access tokens (JWS compact form, RFC 7515).
//!
//! `jsonwebtoken::encode` parses its key on every call, which costs as much as an Ed25519
//! signature; here a key and the token's header are prepared once.

use agentidp_shared::SigningAlgorithm;
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters,
    EllipticCurveKeyType, Jwk, KeyAlgorithm, OctetKeyPairParameters, OctetKeyPairType,
    PublicKeyUse, RSAKeyParameters, RSAKeyType, ThumbprintHash,
};
use serde::Serialize;
use zeroize::Zeroizing;

use super::CryptoError;

enum Private {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

/// A signing key, ready to sign.
pub(crate) struct Signer {
    private: Private,
    random: SystemRandom,
    jwk: Jwk,
    kid: String,
    /// The encoded header and the dot after it.
    header: String,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

impl Signer {
    /// Makes a key: its PKCS#8 form (RFC 5958), to be sealed, and the key ready to sign.
    pub(crate) fn generate(
        algorithm: SigningAlgorithm,
    ) -> Result<(Zeroizing<Vec<u8>>, Self), CryptoError> {
        const FAILED: CryptoError = CryptoError::Library("make a signing key");
        let random = SystemRandom::new();
        let pkcs8 = match algorithm {
            SigningAlgorithm::Es256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
                    .map_err(|_error| FAILED)?
                    .as_ref()
                    .to_vec()
            }
            SigningAlgorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random)
                .map_err(|_error| FAILED)?
                .as_ref()
                .to_vec(),
            SigningAlgorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_error| FAILED)?;
                pair.as_der().map_err(|_error| FAILED)?.as_ref().to_vec()
            }
        };
        let pkcs8 = Zeroizing::new(pkcs8);
        let signer = Self::from_pkcs8(algorithm, &pkcs8)?;
        Ok((pkcs8, signer))
    }

    /// Reads a key from its PKCS#8 form.
    pub(crate) fn from_pkcs8(
        algorithm: SigningAlgorithm,
        pkcs8: &[u8],
    ) -> Result<Self, CryptoError> {
        const INVALID: CryptoError = CryptoError::InvalidKey;
        let private = match algorithm {
            SigningAlgorithm::Es256 => Private::Es256(
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
                    .map_err(|_error| INVALID)?,
            ),
            SigningAlgorithm::EdDsa => {
                Private::EdDsa(Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_error| INVALID)?)
            }
            SigningAlgorithm::Rs256 => {
                Private::Rs256(RsaKeyPair::from_pkcs8(pkcs8).map_err(|_error| INVALID)?)
            }
        };
        let mut jwk = public_jwk(&private).ok_or(INVALID)?;
        let kid = jwk
            .thumbprint(ThumbprintHash::SHA256)
            .map_err(|_error| INVALID)?;
        jwk.common.key_id = Some(kid.clone());
        // The type that RFC 9068, section 2.1 gives access tokens, so that no other token of the
        // issuer can be taken for one.
        let header = Header {
            alg: algorithm.as_str(),
            typ: "at+jwt",
            kid: &kid,
        };
        let mut encoded =
            URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).map_err(|_error| INVALID)?);
        encoded.push('.');
        Ok(Self {
            private,
            random: SystemRandom::new(),
            jwk,
            kid,
            header: encoded,
        })
    }

    /// The key's name: its JWK thumbprint (RFC 7638).
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half.
    pub(crate) const fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// Signs `claims` into an access token.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> Result<Zeroizing<String>, CryptoError> {
        const FAILED: CryptoError = CryptoError::Library("sign a token");
        let payload = serde_json::to_vec(claims).map_err(|_error| FAILED)?;
        let mut token = Zeroizing::new(String::with_capacity(
            self.header.len() + payload.len() * 4 / 3 + 350,
        ));
        token.push_str(&self.header);
        URL_SAFE_NO_PAD.encode_string(&payload, &mut token);
        match &self.private {
            Private::Es256(pair) => {
                let signature = pair
                    .sign(&self.random, token.as_bytes())
                    .map_err(|_error| FAILED)?;
                push_signature(&mut token, signature.as_ref());
            }
            Private::EdDsa(pair) => {
                let signature = pair.sign(token.as_bytes());
                push_signature(&mut token, signature.as_ref());
            }
            Private::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    &RSA_PKCS1_SHA256,
                    &self.random,
                    token.as_bytes(),
                    &mut signature,
                )
                .map_err(|_error| FAILED)?;
                push_signature(&mut token, &signature);
            }
        }
        Ok(token)
    }
}

fn push_signature(token: &mut String, signature: &[u8]) {
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, token);
}

fn public_jwk(private: &Private) -> Option<Jwk> {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (algorithm, parameters) = match private {
        Private::Es256(pair) => {
            // An uncompressed point (SEC 1, section 2.3.3): 4, then x and y of 32 bytes each.
            let (x, y) = pair
                .public_key()
                .as_ref()
                .strip_prefix(&[4])?
                .split_at_checked(32)?;
            let parameters = EllipticCurveKeyParameters {
                key_type: EllipticCurveKeyType::EC,
                curve: EllipticCurve::P256,
                x: encode(x),
                y: encode(y),
            };
            (
                KeyAlgorithm::ES256,
                AlgorithmParameters::EllipticCurve(parameters),
            )
        }
        Private::EdDsa(pair) => {
            let parameters = OctetKeyPairParameters {
                key_type: OctetKeyPairType::OctetKeyPair,
                curve: EllipticCurve::Ed25519,
                x: encode(pair.public_key().as_ref()),
            };
            (
                KeyAlgorithm::EdDSA,
                AlgorithmParameters::OctetKeyPair(parameters),
            )
        }
        Private::Rs256(pair) => {
            let public = pair.public_key();
            let parameters = RSAKeyParameters {
                key_type: RSAKeyType::RSA,
                n: encode(public.modulus().big_endian_without_leading_zero()),
                e: encode(public.exponent().big_endian_without_leading_zero()),
            };
            (KeyAlgorithm::RS256, AlgorithmParameters::RSA(parameters))
        }
    };
    let common = CommonParameters {
        public_key_use: Some(PublicKeyUse::Signature),
        key_algorithm: Some(algorithm),
        ..CommonParameters::default()
    };
    Some(Jwk {
        common,
        algorithm: parameters,
    })
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};

    use super::*;

    #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
    struct Claims {
        aud: String,
        exp: i64,
    }

    #[test]
    fn another_implementation_verifies_what_each_algorithm_signs() {
        for (algorithm, other) in [
            (SigningAlgorithm::Es256, Algorithm::ES256),
            (SigningAlgorithm::EdDsa, Algorithm::EdDSA),
            (SigningAlgorithm::Rs256, Algorithm::RS256),
        ] {
            let (pkcs8, signer) = Signer::generate(algorithm).unwrap();
            let again = Signer::from_pkcs8(algorithm, &pkcs8).unwrap();
            assert_eq!(again.kid(), signer.kid());
            let claims = Claims {
                aud: "a".to_owned(),
                exp: 4_000_000_000,
            };
            let token = again.sign(&claims).unwrap();
            let key = DecodingKey::from_jwk(signer.jwk()).unwrap();
            let mut validation = Validation::new(other);
            validation.set_audience(&["a"]);
            let decoded = decode::<Claims>(token.as_str(), &key, &validation).unwrap();
            assert_eq!(decoded.claims, claims);
            assert_eq!(decoded.header.typ.as_deref(), Some("at+jwt"));
            assert_eq!(decoded.header.kid.as_deref(), Some(signer.kid()));
        }
    }

    #[test]
    fn a_published_key_has_no_private_member() {
        for algorithm in SigningAlgorithm::ALL {
            let (_, signer) = Signer::generate(*algorithm).unwrap();
            let jwk = serde_json::to_value(signer.jwk()).unwrap();
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(jwk.get(private).is_none(), "{algorithm} {private}");
            }
        }
    }
}
