//! Keys and secrets: signing, sealing, hashing. All of it on aws-lc-rs, but for argon2.

mod argon;
pub(crate) mod cursor;
pub(crate) mod jose;
pub(crate) mod keyring;
pub(crate) mod seal;
pub(crate) mod secret;
pub(crate) mod signer;

use aws_lc_rs::digest::{SHA256, digest};

pub(crate) use cursor::CursorKey;
pub(crate) use keyring::Keyring;
pub(crate) use seal::Sealer;
pub(crate) use secret::SecretHasher;
pub(crate) use signer::Signer;

/// SHA-256 (FIPS 180-4).
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.iter_mut()
        .zip(digest(&SHA256, bytes).as_ref())
        .for_each(|(slot, byte)| *slot = *byte);
    hash
}

/// A cryptographic operation failed that fails only when something is badly wrong: a key of the
/// store is damaged, or was sealed under another key-encryption key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CryptoError {
    /// What was sealed does not open.
    #[error(
        "a key of the store cannot be opened: it was sealed under another key-encryption key, or is damaged; \
         configure the key-encryption key that the store was last started with, or, to change to the one that is \
         configured, add the earlier one as keys.previous_key_encryption_key_file"
    )]
    Unseal,
    /// What was sealed opens with neither of two keys.
    #[error(
        "a key of the store cannot be opened, neither with the key-encryption key nor with the previous one: \
         it was sealed under a third, or is damaged; configure the one that the store was last started with \
         as keys.previous_key_encryption_key_file"
    )]
    UnsealEither,
    /// A signing key is not what its record says.
    #[error("a signing key of the store is not a valid private key")]
    InvalidKey,
    /// Too many secrets are waiting for argon2.
    #[error("too many secrets are being hashed and verified: ask again in a second")]
    Overloaded,
    /// The library refused to make or use a key.
    #[error("the cryptographic library failed to {0}")]
    Library(&'static str),
}
