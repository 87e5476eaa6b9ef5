//! argon2id in memory that is used again.
//!
//! Each hash takes 19 MiB, which come from the system page by page. What one takes is kept for the next that waits, and
//! given back when none does: secrets are hashed in bursts, and between them nobody should pay for that.

use std::sync::{Arc, Weak};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use parking_lot::Mutex;

use super::CryptoError;

/// How many bytes a salt has: what RFC 9106, section 3.1, recommends.
const SALT: usize = 16;
/// How many bytes a hash has.
const OUTPUT: usize = 32;

const FAILED: CryptoError = CryptoError::Library("hash a secret");

/// The memory of a hash that is done.
type Idle = Mutex<Option<Vec<Block>>>;

/// argon2id with 19 MiB, two passes and one lane (RFC 9106).
#[derive(Default)]
pub(super) struct Argon(Mutex<Weak<Idle>>);

/// What one holds from when it begins to wait until its hash is done. The last takes the memory along.
pub(super) struct Turn(Arc<Idle>);

impl Argon {
    /// A place among those who wait.
    pub(super) fn turn(&self) -> Turn {
        let mut shared = self.0.lock();
        Turn(shared.upgrade().unwrap_or_else(|| {
            let idle = Arc::default();
            *shared = Arc::downgrade(&idle);
            idle
        }))
    }

    /// How many wait or hash.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.0.lock().strong_count()
    }
}

fn params() -> Result<Params, CryptoError> {
    Params::new(19 * 1_024, 2, 1, Some(OUTPUT)).map_err(|_error| FAILED)
}

impl Turn {
    /// The PHC string of a new secret, under a salt of its own.
    pub(super) fn hash(&self, secret: &[u8]) -> Result<String, CryptoError> {
        let (params, mut salt) = (params()?, [0; SALT]);
        SystemRandom::new()
            .fill(&mut salt)
            .map_err(|_error| FAILED)?;
        let output = self.output(secret, &salt, &params)?;
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params).map_err(|_error| FAILED)?,
            salt: Some(Salt::new(&salt).map_err(|_error| FAILED)?),
            hash: Some(Output::new(&output).map_err(|_error| FAILED)?),
        };
        Ok(hash.to_string())
    }

    /// Whether `secret` is the one that `phc` was made of, by this function's own parameters.
    pub(super) fn is_of(&self, secret: &[u8], phc: &str) -> bool {
        let verify = || {
            let known = PasswordHash::new(phc).ok()?;
            let params = params().ok()?;
            let is_ours = known.algorithm == Algorithm::Argon2id.ident()
                && known.version == Some(Version::V0x13.into())
                && ParamsString::try_from(&params).is_ok_and(|ours| ours == known.params);
            let (salt, hash) = (known.salt?, known.hash?);
            let output = self
                .output(secret, &salt, &params)
                .ok()
                .filter(|_| is_ours)?;
            constant_time::verify_slices_are_equal(&output, hash.as_bytes()).ok()
        };
        verify().is_some()
    }

    fn output(
        &self,
        secret: &[u8],
        salt: &[u8],
        params: &Params,
    ) -> Result<[u8; OUTPUT], CryptoError> {
        let idle = self.0.lock().take();
        let mut memory = idle.unwrap_or_else(|| vec![Block::default(); params.block_count()]);
        let mut output = [0; OUTPUT];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let hashed =
            argon2.hash_password_into_with_memory(secret, salt, &mut output, memory.as_mut_slice());
        *self.0.lock() = Some(memory);
        hashed.map_err(|_error| FAILED)?;
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordVerifier as _;

    use super::*;

    #[test]
    fn a_hash_is_one_that_others_verify_and_memory_that_was_used_changes_nothing() {
        let argon = Argon::default().turn();
        let one = argon.hash(b"one").unwrap();
        let other = argon.hash(b"other").unwrap();
        for (secret, phc, is_of) in [
            (b"one".as_slice(), &one, true),
            (b"other", &other, true),
            (b"one", &other, false),
        ] {
            assert_eq!(argon.is_of(secret, phc), is_of);
            let library = Argon2::default().verify_password(secret, phc.as_str());
            assert_eq!(library.is_ok(), is_of);
        }
        assert!(!argon.is_of(b"one", "$argon2id$"));
        assert!(!argon.is_of(b"one", &one.replace("t=2", "t=1")));
    }

    #[test]
    fn memory_is_kept_for_those_who_wait_and_no_longer() {
        let argon = Argon::default();
        let (one, other) = (argon.turn(), argon.turn());
        one.hash(b"one").unwrap();
        drop(one);
        assert!(other.0.lock().is_some());
        drop(other);
        assert!(argon.turn().0.lock().is_none());
    }
}
