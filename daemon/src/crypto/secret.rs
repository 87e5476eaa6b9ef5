//! Client secrets at rest: an argon2id hash, and before it a check that costs a microsecond.
//!
//! The check is the first 32 bits of an HMAC of the secret under a key of the server's. A wrong
//! secret fails it, so a flood of guesses never reaches argon2; and 32 bits of 256 tell a thief of
//! the store nothing. A secret that argon2 has accepted is remembered as the whole HMAC, in memory
//! only, so that argon2 is asked once and not for every token.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agentidp_shared::{ClientSecret, CredentialId, OrganizationId, Timestamp};
use aws_lc_rs::{constant_time, hmac};
use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::CryptoError;
use super::argon::{Argon, Turn};
use crate::metrics::lookups::Lookups;
use crate::shares::{Share, Shares};

/// How long a verified secret is remembered before argon2 is asked again.
const REMEMBERED_FOR: Duration = Duration::from_hours(1);
/// How many verified secrets are remembered.
const REMEMBERED: usize = 100_000;
/// How many secrets that were presented may wait for argon2 before more are turned away, and how many of
/// one organization.
const VERIFYING: usize = 128;
const VERIFYING_OF_ONE: usize = VERIFYING / 2;
/// How many new secrets may wait for automation, and how many for that of one organization: a fleet may rotate
/// its own at once.
const ISSUING: usize = 64;
const ISSUING_OF_ONE: usize = 16;
/// How many new secrets may wait for operators.
const OPERATING: usize = 16;

/// For whom a new secret is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// An operator.
    Operator,
    /// The automation of an organization.
    Automation(OrganizationId),
}

const FAILED: CryptoError = CryptoError::Library("hash a secret");

/// What verifying a secret came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the credential's secret.
    Right,
    /// It is not.
    Wrong,
    /// Too many secrets are waiting to be verified.
    Overloaded,
}

/// The HMAC of a secret.
pub(crate) struct SecretMac(hmac::Tag);

impl SecretMac {
    /// The part that is stored beside the argon2 hash.
    pub(crate) fn check(&self) -> [u8; 4] {
        let mut check = [0; 4];
        check
            .iter_mut()
            .zip(self.0.as_ref())
            .for_each(|(slot, byte)| *slot = *byte);
        check
    }
}

struct Remembered {
    mac: hmac::Tag,
    /// The credential's revision: any change of it, and the secret is verified anew.
    revision: u64,
    until: Timestamp,
}

/// Hashes and verifies client secrets on a bounded pool.
pub(crate) struct SecretHasher {
    key: hmac::Key,
    argon: Argon,
    permits: Arc<Semaphore>,
    /// Those who wait: apart, so that nobody who has secrets made keeps others from using theirs.
    verifying: Shares<OrganizationId>,
    issuing: Shares<OrganizationId>,
    operating: Shares<()>,
    /// Automation's new secrets wait here for their turn to wait for a permit, one at a time.
    turn: Semaphore,
    remembered: Arc<Mutex<LruCache<CredentialId, Remembered>>>,
    most: usize,
    lookups: Lookups,
    refused: AtomicU64,
}

/// How busy argon2 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    /// How many secrets may be hashed or verified at once.
    pub(crate) most: usize,
    /// How many are.
    pub(crate) running: usize,
    /// How many may wait to be verified.
    pub(crate) most_waiting: usize,
    /// How many do.
    pub(crate) waiting: usize,
    /// How many were turned away since the start.
    pub(crate) refused: u64,
}

impl SecretHasher {
    /// A hasher whose checks are made with `check_key`.
    pub(crate) fn new(check_key: &[u8]) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        // One core stays free for everybody who is known already.
        let permits = cores.saturating_sub(1).max(1);
        let capacity = NonZeroUsize::new(REMEMBERED).unwrap_or(NonZeroUsize::MIN);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, check_key),
            argon: Argon::default(),
            permits: Arc::new(Semaphore::new(permits)),
            verifying: Shares::new(permits + VERIFYING, VERIFYING_OF_ONE),
            issuing: Shares::new(ISSUING, ISSUING_OF_ONE),
            operating: Shares::new(OPERATING, OPERATING),
            turn: Semaphore::new(1),
            remembered: Arc::new(Mutex::new(LruCache::new(capacity))),
            most: permits,
            lookups: Lookups::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// How busy argon2 is.
    pub(crate) fn load(&self) -> Load {
        let running = self.most.saturating_sub(self.permits.available_permits());
        Load {
            most: self.most,
            running,
            most_waiting: VERIFYING,
            waiting: self.verifying.taken().saturating_sub(running),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// How often a secret that was presented was remembered.
    pub(crate) const fn lookups(&self) -> &Lookups {
        &self.lookups
    }

    /// The HMAC of any text that is presented as a secret.
    pub(crate) fn mac(&self, text: &str) -> SecretMac {
        SecretMac(hmac::sign(&self.key, text.as_bytes()))
    }

    /// A place among those who wait for argon2, if there is one.
    fn place<K: Eq + Hash + Copy>(&self, places: &Shares<K>, who: K) -> Option<Share<K>> {
        let place = places.take(who, 1);
        if place.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        place
    }

    /// Hashes a new secret: its argon2id PHC string.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Overloaded`] when too many are waiting.
    pub(crate) async fn hash(
        &self,
        secret: ClientSecret,
        whose: For,
    ) -> Result<String, CryptoError> {
        // Before anything is waited for, so that the memory of one hash is kept for the next of a burst.
        let argon = self.argon.turn();
        match whose {
            For::Operator => {
                let place = self.place(&self.operating, ());
                let place = place.ok_or(CryptoError::Overloaded)?;
                self.hash_in(secret, place, argon).await
            }
            For::Automation(organization) => {
                let place = self.place(&self.issuing, organization);
                let place = place.ok_or(CryptoError::Overloaded)?;
                // Whoever presents a secret meanwhile waits for one of these, and not for all.
                let _turn = self.turn.acquire().await.map_err(|_error| FAILED)?;
                self.hash_in(secret, place, argon).await
            }
        }
    }

    async fn hash_in<K>(
        &self,
        secret: ClientSecret,
        place: Share<K>,
        argon: Turn,
    ) -> Result<String, CryptoError>
    where
        K: Eq + Hash + Copy + Send + Sync + 'static,
    {
        let permits = self.permits.clone();
        let permit = permits.acquire_owned().await.map_err(|_error| FAILED)?;
        tokio::task::spawn_blocking(move || {
            // Held here and not by the request, which may be gone before the work is done.
            let _held = (place, permit);
            argon.hash(secret.expose().as_bytes())
        })
        .await
        .map_err(|_error| FAILED)?
    }

    /// Verifies `secret`, whose HMAC is `mac`, against the stored check and hash of a credential of
    /// `organization`.
    pub(crate) async fn verify(
        &self,
        secret: &ClientSecret,
        mac: &SecretMac,
        (check, hash, revision): (&[u8; 4], &str, u64),
        organization: OrganizationId,
        now: Timestamp,
    ) -> Verdict {
        if constant_time::verify_slices_are_equal(&mac.check(), check).is_err() {
            return Verdict::Wrong;
        }
        if self.is_remembered(secret.credential_id(), mac, revision, now) {
            self.lookups.hit();
            return Verdict::Right;
        }
        self.lookups.miss();
        let Some(place) = self.place(&self.verifying, organization) else {
            return Verdict::Overloaded;
        };
        let argon = self.argon.turn();
        let Ok(permit) = self.permits.clone().acquire_owned().await else {
            return Verdict::Overloaded;
        };
        // Many requests with one new secret come at once; the first answers for the rest.
        if self.is_remembered(secret.credential_id(), mac, revision, now) {
            return Verdict::Right;
        }
        let (secret, phc, remembered) = (
            secret.clone(),
            hash.to_owned(),
            Arc::clone(&self.remembered),
        );
        let (until, mac) = (now.plus(REMEMBERED_FOR), mac.0);
        let verified = tokio::task::spawn_blocking(move || {
            // Held here and not by the request, which may be gone before the work is done.
            let _held = (place, permit);
            if !argon.is_of(secret.expose().as_bytes(), &phc) {
                return None;
            }
            let verified = Remembered {
                mac,
                revision,
                until,
            };
            remembered.lock().put(secret.credential_id(), verified);
            Some(())
        });
        match verified.await {
            Ok(Some(())) => Verdict::Right,
            _ => Verdict::Wrong,
        }
    }

    fn is_remembered(
        &self,
        id: CredentialId,
        mac: &SecretMac,
        revision: u64,
        now: Timestamp,
    ) -> bool {
        self.remembered.lock().get(&id).is_some_and(|it| {
            it.revision == revision
                && now < it.until
                && constant_time::verify_slices_are_equal(it.mac.as_ref(), mac.0.as_ref()).is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const ONE: OrganizationId = OrganizationId::from_bytes([1; 16]);

    fn secret(random: u8) -> ClientSecret {
        ClientSecret::new(CredentialId::from_bytes([9; 16]), &[random; 32])
    }

    #[tokio::test]
    async fn only_the_secret_itself_is_right_and_a_change_of_the_credential_forgets_it() {
        let hasher = SecretHasher::new(&[5; 32]);
        let (right, wrong) = (secret(1), secret(2));
        let hash = hasher.hash(right.clone(), For::Operator).await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let check = hasher.mac(right.expose()).check();
        let now = Timestamp::from_millis(0);
        let verify = async |secret: &ClientSecret, hash: &str, revision| {
            hasher
                .verify(
                    secret,
                    &hasher.mac(secret.expose()),
                    (&check, hash, revision),
                    ONE,
                    now,
                )
                .await
        };
        assert_eq!(verify(&wrong, &hash, 1).await, Verdict::Wrong);
        assert_eq!(verify(&right, &hash, 1).await, Verdict::Right);
        // Remembered: the hash is not asked any more, until the revision moves on.
        assert_eq!(verify(&right, "no hash", 1).await, Verdict::Right);
        assert_eq!(verify(&right, "no hash", 2).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn whose_secrets_are_made_and_used_in_masses_keeps_nobody_else_waiting() {
        let hasher = SecretHasher::new(&[5; 32]);
        let right = secret(1);
        let hash = hasher.hash(right.clone(), For::Operator).await.unwrap();
        let mac = hasher.mac(right.expose());
        let verify = |organization| {
            let (check, now) = (mac.check(), Timestamp::from_millis(0));
            let (hasher, right, mac, hash) = (&hasher, &right, &mac, hash.as_str());
            async move {
                let known = (&check, hash, 1);
                hasher.verify(right, mac, known, organization, now).await
            }
        };
        // As long as others work.
        let all = u32::try_from(hasher.most).unwrap();
        let working = hasher.permits.clone().acquire_many_owned(all).await;
        let issue = |number: u8| {
            let organization = OrganizationId::from_bytes([number; 16]);
            Box::pin(hasher.hash(secret(number), For::Automation(organization)))
        };
        let mut issuing = Vec::new();
        for number in 1..=4 {
            for _ in 0..ISSUING_OF_ONE {
                let mut one = issue(number);
                assert!(one.as_mut().now_or_never().is_none());
                issuing.push(one);
            }
            let refused = issue(number).await;
            assert!(matches!(refused, Err(CryptoError::Overloaded)));
        }
        assert!(issue(9).await.is_err(), "all have a bound too");
        let mut verifying: Vec<_> = (0..VERIFYING_OF_ONE)
            .map(|_| Box::pin(verify(ONE)))
            .collect();
        for one in &mut verifying {
            assert!(one.as_mut().now_or_never().is_none());
        }
        assert_eq!(verify(ONE).await, Verdict::Overloaded);
        assert_eq!(hasher.load().refused, 6);
        let mut other = Box::pin(verify(OrganizationId::from_bytes([2; 16])));
        let mut operator = Box::pin(hasher.hash(secret(3), For::Operator));
        assert!(other.as_mut().now_or_never().is_none());
        assert!(operator.as_mut().now_or_never().is_none());
        // Of those who issue one alone stands before them.
        drop((working, verifying));
        let (first, other, operator) = tokio::join!(issuing.remove(0), other, operator);
        assert!(first.is_ok() && operator.is_ok());
        assert_eq!(other, Verdict::Right);
        drop(issuing);
        assert!(issue(1).await.is_ok(), "there is room again");
        assert_eq!(hasher.load().waiting, 0);
    }

    #[tokio::test]
    async fn the_memory_of_a_hash_is_kept_for_all_that_automation_has_waiting() {
        let hasher = SecretHasher::new(&[5; 32]);
        let busy = u32::try_from(hasher.most).unwrap();
        let _busy = hasher.permits.acquire_many(busy).await.unwrap();
        let mut burst: Vec<_> = (0..3)
            .map(|random| Box::pin(hasher.hash(secret(random), For::Automation(ONE))))
            .collect();
        for waits in &mut burst {
            assert!(waits.now_or_never().is_none());
        }
        assert_eq!(hasher.argon.waiting(), 3);
    }
}
