//! Signing keys, as everyone may see them. What moves them on is [`crate::key_schedule`].

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
        /// No longer published: its time was over.
        Retired = "retired",
        /// No longer published: an operator withdrew it at once, because it is compromised.
        Revoked = "revoked",
    }
}

impl KeyState {
    /// Whether a key of this state stands in the JWKS.
    #[must_use]
    pub const fn is_published(self) -> bool {
        matches!(self, Self::Pending | Self::Active | Self::Retiring)
    }
}

/// The public half of a signing key and where it stands, as it is stored.
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

/// What happens to a signing key next, if nobody steps in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextChange {
    /// The state that it comes to.
    pub state: KeyState,
    /// When.
    pub at: Timestamp,
}

/// A signing key as operators see it: with what happens to it next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScheduledKey {
    /// The key.
    #[serde(flatten)]
    pub key: SigningKey,
    /// Its next change; `None` when there is none to come.
    pub next: Option<NextChange>,
}
