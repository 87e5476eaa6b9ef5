//! How long to wait before trying again.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// Capped exponential backoff with full jitter: each delay is anything between nothing and a
/// bound that doubles, so that consoles which lost a daemon together do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    cap: Duration,
    attempts: u32,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, cap: Duration) -> Self {
        Self {
            first,
            cap,
            attempts: 0,
        }
    }

    /// The delay before the next attempt.
    pub(crate) fn next_delay(&mut self) -> Duration {
        // The standard library's hash keys are random, which is enough to spread retries.
        let random = RandomState::new().build_hasher().finish();
        self.delay(random)
    }

    fn delay(&mut self, random: u64) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.attempts.min(20));
        let bound = doubled.min(self.cap);
        self.attempts = self.attempts.saturating_add(1);
        let millis = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(random % millis.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_stay_there() {
        let mut backoff = Backoff::new(Duration::from_millis(99), Duration::from_millis(299));
        // The largest remainder is the bound itself.
        let bounds = [99_u64, 198, 299, 299, 299];
        for bound in bounds {
            assert_eq!(backoff.delay(bound), Duration::from_millis(bound));
        }
        for _ in 0..1_000 {
            assert!(backoff.next_delay() <= Duration::from_millis(299));
        }
    }
}
