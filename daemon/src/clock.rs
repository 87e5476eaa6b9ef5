//! Time and randomness, so that tests own them.

use std::time::{SystemTime, UNIX_EPOCH};

use agentidp_shared::Timestamp;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};

/// Tells the time.
pub(crate) trait Clock: Send + Sync + 'static {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;
}

/// Gives random bytes that nobody can foresee.
pub(crate) trait Random: Send + Sync + 'static {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// `N` random bytes.
pub(crate) fn random<const N: usize>(source: &dyn Random) -> [u8; N] {
    let mut bytes = [0; N];
    source.fill(&mut bytes);
    bytes
}

/// The machine's clock and random generator.
#[derive(Debug, Default)]
pub(crate) struct System(SystemRandom);

impl Clock for System {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

impl Random for System {
    fn fill(&self, bytes: &mut [u8]) {
        // The operating system's generator is seeded by the time a service starts and cannot fail
        // after that. Going on without randomness would be worse than stopping.
        assert!(self.0.fill(bytes).is_ok(), "the random generator failed");
    }
}
