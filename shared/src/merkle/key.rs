//! The keys that sign notes, and their verifier keys: C2SP signed-note, section "Verifier keys".

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::hash::sha256;
use crate::error::FieldError;

/// The bytes of an Ed25519 public key.
const PUBLIC_KEY_BYTES: usize = 32;
const FIELD: &str = "verifier key";

/// What a key signs, by its type byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureType {
    /// Ed25519 over the note's text (0x01): the log's own signature.
    Ed25519,
    /// A witness's timestamped Ed25519 signature of a checkpoint (0x04): C2SP tlog-cosignature.
    Cosignature,
}

impl SignatureType {
    const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::Cosignature => 4,
        }
    }
}

/// The first four bytes of a hash over a key and its name, by which a signature says whose it is.
pub type KeyId = [u8; 4];

/// What verifies the signatures of one key: its vkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    signs: SignatureType,
    public: [u8; PUBLIC_KEY_BYTES],
}

impl VerifierKey {
    /// The key `public` under `name`.
    ///
    /// # Errors
    ///
    /// When a key may not have that name.
    pub fn new(
        name: String,
        signs: SignatureType,
        public: [u8; PUBLIC_KEY_BYTES],
    ) -> Result<Self, FieldError> {
        if !is_name(&name) {
            return Err(FieldError::new(
                FIELD,
                "must have a name without spaces, control characters and plus signs",
            ));
        }
        Ok(Self {
            name,
            signs,
            public,
        })
    }

    /// The key's name; that of a log's key is the log's origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    #[must_use]
    pub const fn signs(&self) -> SignatureType {
        self.signs
    }

    /// The public key (RFC 8032).
    #[must_use]
    pub const fn public(&self) -> [u8; PUBLIC_KEY_BYTES] {
        self.public
    }

    /// The key's id in signature lines.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let input = [self.name.as_bytes(), b"\n", &self.typed_key()].concat();
        let [a, b, c, d, ..] = *sha256(&input).as_bytes();
        [a, b, c, d]
    }

    /// Whether `signature` is this key's Ed25519 signature of `message` (RFC 8032).
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public)
            .verify(message, signature)
            .is_ok()
    }

    fn typed_key(&self) -> Vec<u8> {
        [&[self.signs.byte()], self.public.as_slice()].concat()
    }
}

/// Whether a key may have this name.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.contains('+')
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c.is_ascii_control())
}

/// `NAME+ID+KEY`, as others configure it.
impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.id());
        let key = STANDARD.encode(self.typed_key());
        write!(f, "{}+{id:08x}+{key}", self.name)
    }
}

impl FromStr for VerifierKey {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let invalid = |rule| FieldError::new(FIELD, rule);
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(invalid("must be NAME+ID+KEY"));
        };
        let key = STANDARD
            .decode(key)
            .map_err(|_error| invalid("must have a key in base64"))?;
        let signs = match key.first() {
            Some(1) => SignatureType::Ed25519,
            Some(4) => SignatureType::Cosignature,
            _ => return Err(invalid("must be of an Ed25519 key (type 0x01 or 0x04)")),
        };
        let Some(Ok(public)) = key.get(1..).map(TryInto::try_into) else {
            return Err(invalid("must have a key of 32 bytes"));
        };
        let key = Self::new(name.to_owned(), signs, public)?;
        if format!("{:08x}", u32::from_be_bytes(key.id())) != id {
            return Err(invalid(
                "must have the id that follows from its name and its key; copy it again",
            ));
        }
        Ok(key)
    }
}

/// The key that a log signs its checkpoints with.
pub struct LogKey {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl LogKey {
    /// The key of the log `origin`, whose secret are these 32 random bytes (RFC 8032, section
    /// 5.1.5).
    ///
    /// # Errors
    ///
    /// When `origin` may not be the name of a key, or `seed` is not 32 bytes.
    pub fn from_seed(origin: String, seed: &[u8]) -> Result<Self, FieldError> {
        let rule = "must be made of 32 bytes";
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_error| FieldError::new("log key", rule))?;
        let mut public = [0; PUBLIC_KEY_BYTES];
        public.copy_from_slice(pair.public_key().as_ref());
        let verifier = VerifierKey::new(origin, SignatureType::Ed25519, public)?;
        Ok(Self { pair, verifier })
    }

    /// What verifies its signatures.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Its signature of `message`.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogKey({})", self.verifier)
    }
}
