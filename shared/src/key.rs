//! Signing keys, as everyone may see them.

use serde::{Deserialize, Serialize};

use crate::text::word_enum;
use crate::time::Timestamp;

word_enum! {
    /// A JWS algorithm that tokens are signed with (RFC 7518 section 3.1, RFC 8037 section 3.1).
    SigningAlgorithm, "algorithm" {
        /// ECDSA with P-256 and SHA-256.
        Es256 = "ES256",
        /// Ed25519.
        EdDsa = "EdDSA",
        /// RSASSA-PKCS1-v1_5 with SHA-256 and a 2048-bit key.
        Rs256 = "RS256",
    }
}

word_enum! {
    /// Where a signing key stands in its life.
    KeyState, "state" {
        /// Published, and not yet signing.
        Pending = "pending",
        /// Signing.
        Active = "active",
        /// Published until the last token that it signed has expired.
        Retiring = "retiring",
        /// No longer published.
        Retired = "retired",
    }
}

/// The public half of a signing key and its place in the schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    /// The key's JWK thumbprint with SHA-256 in base64url (RFC 7638).
    pub kid: String,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
    /// Where it stands.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it began to sign.
    pub activated_at: Option<Timestamp>,
    /// When it leaves, or left, the JWKS.
    pub retires_at: Option<Timestamp>,
    /// 1 when made, one more with every change.
    pub revision: u64,
}
