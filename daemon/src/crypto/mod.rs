//! Keys and secrets: signing, sealing, hashing. All of it on aws-lc-rs, but for argon2.

pub(crate) mod jose;
pub(crate) mod keyring;
pub(crate) mod seal;
pub(crate) mod secret;
pub(crate) mod signer;

pub(crate) use keyring::Keyring;
pub(crate) use seal::Sealer;
pub(crate) use secret::SecretHasher;
pub(crate) use signer::Signer;

/// A cryptographic operation failed that fails only when something is badly wrong: a key of the
/// store is damaged, or was sealed under another key-encryption key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CryptoError {
    /// What was sealed does not open.
    #[error(
        "a key of the store cannot be opened: it was sealed under another key-encryption key, or is damaged; \
         start with the key-encryption key that the store was made with"
    )]
    Unseal,
    /// A signing key is not what its record says.
    #[error("a signing key of the store is not a valid private key")]
    InvalidKey,
    /// The library refused to make or use a key.
    #[error("the cryptographic library failed to {0}")]
    Library(&'static str),
}
