//! Sealing what the store must keep and nobody may read: AES-256-GCM under the key-encryption key.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::CryptoError;
use crate::clock::{Random, random};
use crate::store::Sealed;

/// Seals under the key-encryption key, and opens what was sealed under it or under the one before.
pub(crate) struct Sealer {
    present: LessSafeKey,
    previous: Option<LessSafeKey>,
}

impl Sealer {
    /// A sealer with this key-encryption key.
    pub(crate) fn new(key: &[u8; 32]) -> Result<Self, CryptoError> {
        Ok(Self {
            present: aead_key(key)?,
            previous: None,
        })
    }

    /// The same, which also opens what was sealed under the key-encryption key of before.
    pub(crate) fn with_previous(mut self, key: &[u8; 32]) -> Result<Self, CryptoError> {
        self.previous = Some(aead_key(key)?);
        Ok(self)
    }

    /// Whether it was given the key-encryption key of before.
    pub(crate) const fn has_previous(&self) -> bool {
        self.previous.is_some()
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
        self.present
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
        open_with(&self.present, purpose, sealed)
            .or_else(|| open_with(self.previous.as_ref()?, purpose, sealed))
            .ok_or(if self.has_previous() {
                CryptoError::UnsealEither
            } else {
                CryptoError::Unseal
            })
    }

    /// What was sealed for `purpose`, sealed again under the present key; `None` when it is sealed
    /// under that one already.
    pub(crate) fn rewrap(
        &self,
        purpose: &str,
        sealed: &Sealed,
        source: &dyn Random,
    ) -> Result<Option<Sealed>, CryptoError> {
        if open_with(&self.present, purpose, sealed).is_some() {
            return Ok(None);
        }
        self.seal(purpose, &self.open(purpose, sealed)?, source)
            .map(Some)
    }
}

fn aead_key(key: &[u8; 32]) -> Result<LessSafeKey, CryptoError> {
    UnboundKey::new(&AES_256_GCM, key)
        .map(LessSafeKey::new)
        .map_err(|_error| CryptoError::Library("take the key-encryption key"))
}

fn open_with(key: &LessSafeKey, purpose: &str, sealed: &Sealed) -> Option<Zeroizing<Vec<u8>>> {
    let mut plain = Zeroizing::new(sealed.ciphertext.clone());
    let nonce = Nonce::assume_unique_for_key(sealed.nonce);
    let length = key
        .open_in_place(nonce, Aad::from(purpose), &mut plain)
        .ok()?
        .len();
    plain.truncate(length);
    Some(plain)
}

impl Sealed {
    /// What stands in place of a secret that is needed no more. Nothing sealed is empty: there is
    /// always a tag.
    pub(crate) const fn wiped() -> Self {
        Self {
            nonce: [0; 12],
            ciphertext: Vec::new(),
        }
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

    #[test]
    fn what_was_sealed_under_the_key_of_before_opens_and_is_sealed_again_once() {
        let source = System::default();
        let old = Sealer::new(&[1; 32]).unwrap();
        let kept = old.seal("a", b"private", &source).unwrap();
        let both = Sealer::new(&[2; 32])
            .unwrap()
            .with_previous(&[1; 32])
            .unwrap();
        assert_eq!(both.open("a", &kept).unwrap().as_slice(), b"private");
        let again = both.rewrap("a", &kept, &source).unwrap().unwrap();
        assert_eq!(both.rewrap("a", &again, &source), Ok(None));
        let new = Sealer::new(&[2; 32]).unwrap();
        assert_eq!(new.open("a", &again).unwrap().as_slice(), b"private");
        assert_eq!(old.open("a", &again), Err(CryptoError::Unseal));
        let foreign = Sealer::new(&[3; 32])
            .unwrap()
            .seal("a", b"x", &source)
            .unwrap();
        assert_eq!(
            both.rewrap("a", &foreign, &source),
            Err(CryptoError::UnsealEither)
        );
    }
}
