//! Keys that sign whatever a test wants signed, and a server to present it to.

use std::sync::{Arc, LazyLock};

use agentidp_shared::token::Claims;
use agentidp_shared::{
    AgentId, CredentialId, OrganizationId, SigningAlgorithm, Timestamp, TokenId,
};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::super::{PublicJwk, Verifier};
use crate::crypto::{Keyring, Signer};

pub(super) const ISSUER: &str = "https://id.example";

/// 2026-11-21T08:00:00Z, in seconds.
pub(super) const NOW: i64 = 1_795_248_000;

pub(super) fn now() -> Timestamp {
    Timestamp::from_millis(NOW * 1_000)
}

pub(super) fn agent() -> AgentId {
    AgentId::from_bytes([0xa7; 16])
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A private key that signs with any `alg` that it can, right or wrong.
pub(super) enum TestKey {
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
    Rsa(Vec<u8>),
}

pub(super) static P256: LazyLock<TestKey> =
    LazyLock::new(|| TestKey::P256(ec(&ECDSA_P256_SHA256_FIXED_SIGNING)));
pub(super) static P384: LazyLock<TestKey> =
    LazyLock::new(|| TestKey::P384(ec(&ECDSA_P384_SHA384_FIXED_SIGNING)));
pub(super) static ED25519: LazyLock<TestKey> = LazyLock::new(|| {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    TestKey::Ed25519(pkcs8.as_ref().to_vec())
});
pub(super) static RSA: LazyLock<TestKey> = LazyLock::new(|| {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    TestKey::Rsa(pair.as_der().unwrap().as_ref().to_vec())
});

fn ec(algorithm: &'static EcdsaSigningAlgorithm) -> Vec<u8> {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
    pkcs8.as_ref().to_vec()
}

impl TestKey {
    /// The public half.
    pub(super) fn jwk(&self) -> Value {
        let point = |crv: &str, point: &[u8]| {
            let (x, y) = point[1..].split_at((point.len() - 1) / 2);
            json!({"kty": "EC", "crv": crv, "x": encode(x), "y": encode(y)})
        };
        match self {
            Self::P256(pkcs8) => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8);
                point("P-256", pair.unwrap().public_key().as_ref())
            }
            Self::P384(pkcs8) => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8);
                point("P-384", pair.unwrap().public_key().as_ref())
            }
            Self::Ed25519(pkcs8) => {
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8).unwrap();
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key())})
            }
            Self::Rsa(pkcs8) => {
                let pair = RsaKeyPair::from_pkcs8(pkcs8).unwrap();
                let n = pair.public_key().modulus();
                json!({"kty": "RSA", "n": encode(n.big_endian_without_leading_zero()), "e": "AQAB"})
            }
        }
    }

    pub(super) fn verifier(&self) -> Verifier {
        let jwk = self.jwk().to_string();
        PublicJwk::parse(jwk.as_bytes()).unwrap().into_verifier()
    }

    /// The signature of `message` as `alg` has it; `DER` and `none` are names of this test's.
    pub(super) fn signature(&self, alg: &str, message: &str) -> Vec<u8> {
        let (random, message) = (SystemRandom::new(), message.as_bytes());
        let ec = |algorithm, pkcs8: &[u8]| {
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).unwrap();
            pair.sign(&random, message).unwrap().as_ref().to_vec()
        };
        match (self, alg) {
            (_, "none") => Vec::new(),
            // With the public key as the secret, as a verifier may hold it.
            (_, "HS256") => {
                let secret = hmac::Key::new(hmac::HMAC_SHA256, self.jwk().to_string().as_bytes());
                hmac::sign(&secret, message).as_ref().to_vec()
            }
            (Self::P256(pkcs8), "DER") => ec(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8),
            (Self::P256(pkcs8), _) => ec(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8),
            (Self::P384(pkcs8), _) => ec(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8),
            (Self::Ed25519(pkcs8), _) => {
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8).unwrap();
                pair.sign(message).as_ref().to_vec()
            }
            (Self::Rsa(pkcs8), alg) => {
                let pair = RsaKeyPair::from_pkcs8(pkcs8).unwrap();
                let encoding = match alg {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    /// A token of this header and payload, signed as `alg` has it.
    pub(super) fn token(&self, alg: &str, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = encode(self.signature(alg, &signed));
        format!("{signed}.{signature}")
    }
}

/// The claims of an assertion that is in order at [`NOW`].
pub(super) fn assertion_claims() -> Value {
    json!({
        "iss": agent().to_string(), "sub": agent().to_string(), "aud": ISSUER,
        "exp": NOW + 60, "iat": NOW, "jti": "a-1",
    })
}

/// A server with an Ed25519 key, published with one of each other kind, and that key to forge with.
pub(super) struct Server {
    pub(super) keyring: Keyring,
    pub(super) kid: String,
    pub(super) key: TestKey,
}

impl Server {
    pub(super) fn new() -> Self {
        let signers = SigningAlgorithm::ALL.iter().map(|algorithm| {
            let (pkcs8, signer) = Signer::generate(*algorithm).unwrap();
            (*algorithm, pkcs8, Arc::new(signer))
        });
        let signers: Vec<_> = signers.collect();
        let (_, pkcs8, active) = signers
            .iter()
            .find(|(algorithm, ..)| *algorithm == SigningAlgorithm::EdDsa)
            .unwrap();
        let published: Vec<_> = signers.iter().map(|(.., signer)| signer.clone()).collect();
        Self {
            keyring: Keyring::new(active.clone(), &published).unwrap(),
            kid: active.kid().to_owned(),
            key: TestKey::Ed25519(pkcs8.to_vec()),
        }
    }

    /// The claims of an access token that is in order at [`NOW`], as the service writes them.
    pub(super) fn claims() -> Value {
        serde_json::to_value(Claims {
            iss: ISSUER,
            sub: agent(),
            client_id: agent(),
            aud: &["https://mcp.example/".to_owned()],
            exp: NOW + 900,
            iat: NOW,
            jti: TokenId::from_bytes([1; 16]),
            scope: "agents:read resume:read",
            organization_id: OrganizationId::from_bytes([2; 16]),
            agent_type: "screener",
            agent_version: "1.0.0",
            cid: CredentialId::from_bytes([3; 16]),
        })
        .unwrap()
    }
}
