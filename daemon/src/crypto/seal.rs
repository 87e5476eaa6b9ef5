//! Sealing what the store must keep and nobody may read: AES-256-GCM under the key-encryption key.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::CryptoError;
use crate::clock::{Random, random};
use crate::store::Sealed;

/// Seals and opens under one key-encryption key.
pub(crate) struct Sealer(LessSafeKey);

impl Sealer {
    /// A sealer with this key-encryption key.
    pub(crate) fn new(key: &[u8; 32]) -> Result<Self, CryptoError> {
        let key = UnboundKey::new(&AES_256_GCM, key)
            .map_err(|_error| CryptoError::Library("take the key-encryption key"))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals `plain` for `purpose`; it opens for the same purpose only, so that one sealed thing
    /// cannot be passed off as another.
    pub(crate) fn seal(
        &self,
        purpose: &str,
        plain: &[u8],
        source: &dyn Random,
    ) -> Result<Sealed, CryptoError> {
        let nonce = random::<12>(source);
        let mut ciphertext = plain.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(purpose),
                &mut ciphertext,
            )
            .map_err(|_error| CryptoError::Library("seal a key"))?;
        Ok(Sealed { nonce, ciphertext })
    }

    /// Opens what was sealed for `purpose`.
    pub(crate) fn open(
        &self,
        purpose: &str,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let mut plain = Zeroizing::new(sealed.ciphertext.clone());
        let nonce = Nonce::assume_unique_for_key(sealed.nonce);
        let length = self
            .0
            .open_in_place(nonce, Aad::from(purpose), &mut plain)
            .map_err(|_error| CryptoError::Unseal)?
            .len();
        plain.truncate(length);
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::System;

    #[test]
    fn what_is_sealed_opens_for_its_purpose_and_key_only() {
        let source = System::default();
        let sealer = Sealer::new(&[1; 32]).unwrap();
        let kept = sealer.seal("signing-key a", b"private", &source).unwrap();
        assert_eq!(
            sealer.open("signing-key a", &kept).unwrap().as_slice(),
            b"private"
        );
        assert_eq!(
            sealer.open("signing-key b", &kept),
            Err(CryptoError::Unseal)
        );
        assert_eq!(
            Sealer::new(&[2; 32]).unwrap().open("signing-key a", &kept),
            Err(CryptoError::Unseal)
        );
    }
}
