//! Time and randomness, so that tests own them, and the time that the daemon goes by.
//!
//! The machine's clock may be put back, or forward, or be wrong from the start. [`Steady`] makes of it
//! a time that never goes back, neither while the daemon runs nor over a restart, and that no clock far
//! in the future can carry off. docs/decisions/0015 says why it is made in this way.

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use agentidp_shared::Timestamp;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};

/// Tells the time.
pub(crate) trait Clock: Send + Sync + 'static {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;

    /// How much time has passed since some moment, whatever is done to the clock.
    fn passed(&self) -> Duration;
}

/// How far the clock may be ahead of the audit log: a year in which the daemon did not run.
pub(crate) const FARTHEST_AHEAD: Duration = Duration::from_hours(366 * 24);
/// How far time may go on at once, beyond what passed, without a word: a day in which the daemon did not run,
/// or the machine slept.
const LEAP: Duration = Duration::from_hours(24);
/// How far the clock may be behind without a word: a step of NTP at a start.
pub(crate) const BEHIND_UNSAID: Duration = Duration::from_secs(5);

/// How the machine's clock stands to the time that the daemon goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClockStanding {
    /// It is what the daemon goes by.
    Believed,
    /// It is behind by this much: time goes on at half speed until the clock has caught up.
    Behind(Duration),
    /// It is ahead by this much, which is not believed: time goes on from what the log has.
    Ahead(Duration),
}

/// That time went on at once, by more than a day beyond what passed: the daemon did not run, or the clock is
/// wrong, or was. Nothing tells which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leap {
    /// By how much.
    pub(crate) by: Duration,
    /// What the time was then.
    pub(crate) to: Timestamp,
    /// When that was, by [`Clock::passed`].
    pub(crate) when: Duration,
}

/// The time that the daemon goes by.
pub(crate) struct Steady {
    clock: Arc<dyn Clock>,
    state: parking_lot::Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// The time that was told when the clock was believed last, or at the beginning.
    from: Timestamp,
    /// When that was, by [`Clock::passed`].
    since: Duration,
    standing: ClockStanding,
    /// The last leap that nobody has taken note of.
    leapt: Option<Leap>,
}

impl Steady {
    /// Time that does not go behind `newest`, the time of the newest entry of the log.
    pub(crate) fn new(clock: Arc<dyn Clock>, newest: Option<Timestamp>) -> Self {
        let state = State {
            from: newest.unwrap_or_else(|| clock.now()),
            since: clock.passed(),
            standing: ClockStanding::Believed,
            leapt: None,
        };
        Self {
            clock,
            state: parking_lot::Mutex::new(state),
        }
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.look().0
    }

    /// How the machine's clock stands to it.
    pub(crate) fn standing(&self) -> ClockStanding {
        self.look().1
    }

    /// The machine's clock.
    pub(crate) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// The last leap that is not [noted](Self::note).
    pub(crate) fn leapt(&self) -> Option<Leap> {
        self.look();
        self.state.lock().leapt
    }

    /// Forgets `leap`, which has been taken note of; another that came since stays.
    pub(crate) fn note(&self, leap: Leap) {
        let mut state = self.state.lock();
        state.leapt = state.leapt.filter(|it| *it != leap);
    }

    fn look(&self) -> (Timestamp, ClockStanding) {
        let mut state = self.state.lock();
        // Read under the lock: who was let in later must not have an earlier time.
        let (clock, passed) = (self.clock.now(), self.clock.passed());
        let elapsed = passed.saturating_sub(state.since);
        // Never faster than the clock of someone who is right, so that the gap closes.
        let slow = match state.standing {
            ClockStanding::Believed => state.from,
            ClockStanding::Behind(_) => state.from.plus(elapsed / 2),
            ClockStanding::Ahead(_) => state.from.plus(elapsed),
        };
        let likely = match state.standing {
            ClockStanding::Believed => state.from.plus(elapsed),
            ClockStanding::Behind(_) | ClockStanding::Ahead(_) => slow,
        };
        let standing = if clock > likely.plus(FARTHEST_AHEAD) {
            ClockStanding::Ahead(clock.since(slow))
        } else if clock >= slow {
            ClockStanding::Believed
        } else {
            ClockStanding::Behind(slow.since(clock))
        };
        let is_as_before =
            std::mem::discriminant(&standing) == std::mem::discriminant(&state.standing);
        let now = if standing == ClockStanding::Believed {
            clock
        } else {
            slow
        };
        if now > likely.plus(LEAP) {
            state.leapt = Some(Leap {
                by: now.since(likely),
                to: now,
                when: passed,
            });
        }
        if standing == ClockStanding::Believed || !is_as_before {
            (state.from, state.since) = (now, passed);
        }
        state.standing = standing;
        (now, standing)
    }
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

    fn passed(&self) -> Duration {
        static BEGUN: OnceLock<Instant> = OnceLock::new();
        BEGUN.get_or_init(Instant::now).elapsed()
    }
}

impl Random for System {
    fn fill(&self, bytes: &mut [u8]) {
        // The operating system's generator is seeded by the time a service starts and cannot fail
        // after that. Going on without randomness would be worse than stopping.
        assert!(self.0.fill(bytes).is_ok(), "the random generator failed");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: i64 = 1_800_000_000_000;
    const DAY: i64 = 86_400_000;

    /// A clock that is set, and a time that passes.
    struct Hands(parking_lot::Mutex<(i64, u64)>);

    impl Hands {
        fn new() -> Arc<Self> {
            Arc::new(Self(parking_lot::Mutex::new((START, 0))))
        }

        fn set(&self, millis: i64) {
            self.0.lock().0 = millis;
        }

        fn pass(&self, millis: u64) {
            let mut it = self.0.lock();
            it.0 += i64::try_from(millis).unwrap();
            it.1 += millis;
        }
    }

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.lock().0)
        }

        fn passed(&self) -> Duration {
            Duration::from_millis(self.0.lock().1)
        }
    }

    fn steady(hands: &Arc<Hands>) -> Steady {
        Steady::new(Arc::clone(hands) as _, Some(hands.now()))
    }

    fn millis(steady: &Steady) -> i64 {
        steady.now().as_millis()
    }

    #[test]
    fn a_clock_that_is_put_back_is_waited_for_at_half_speed() {
        let hands = Hands::new();
        let steady = steady(&hands);
        hands.pass(1_000);
        assert_eq!(millis(&steady), START + 1_000);
        hands.set(START - 59_000);
        assert_eq!(millis(&steady), START + 1_000);
        assert_eq!(
            steady.standing(),
            ClockStanding::Behind(Duration::from_mins(1))
        );
        // Asked however often, half of what passes.
        for _ in 0..60 {
            hands.pass(1_000);
            let _ = steady.now();
        }
        assert_eq!(millis(&steady), START + 31_000);
        hands.pass(60_000);
        assert_eq!(millis(&steady), START + 61_000, "it has caught up");
        assert_eq!(steady.standing(), ClockStanding::Believed);
        hands.pass(1_000);
        assert_eq!(millis(&steady), START + 62_000);
    }

    #[test]
    fn a_clock_from_the_far_future_is_not_believed_and_does_no_harm() {
        let hands = Hands::new();
        let steady = steady(&hands);
        hands.set(START + 70 * 365 * DAY);
        assert!(matches!(steady.standing(), ClockStanding::Ahead(_)));
        hands.pass(5_000);
        assert_eq!(millis(&steady), START + 5_000);
        // It is put right, as when the network comes up.
        hands.set(START + 6_000);
        assert_eq!(millis(&steady), START + 6_000);
        assert_eq!(steady.standing(), ClockStanding::Believed);
    }

    #[test]
    fn a_store_that_has_rested_for_months_goes_by_the_clock_at_once() {
        let hands = Hands::new();
        let newest = Timestamp::from_millis(START - 300 * DAY);
        let steady = Steady::new(Arc::clone(&hands) as _, Some(newest));
        assert_eq!(millis(&steady), START);
        let newest = Timestamp::from_millis(START - 400 * DAY);
        let steady = Steady::new(Arc::clone(&hands) as _, Some(newest));
        assert_eq!(steady.now(), newest);
        assert!(matches!(steady.standing(), ClockStanding::Ahead(_)));
    }

    #[test]
    fn a_leap_of_more_than_a_day_is_told_until_it_is_noted_and_passing_time_is_none() {
        let hands = Hands::new();
        let steady = steady(&hands);
        for _ in 0..3 {
            hands.pass(3 * 86_400_000);
            assert_eq!(steady.leapt(), None, "it passed");
        }
        let from = millis(&steady);
        hands.set(from + DAY);
        assert_eq!(steady.leapt(), None);
        hands.set(from + 101 * DAY + 1);
        let leap = steady.leapt().unwrap();
        assert_eq!(leap.by, Duration::from_millis(100 * 86_400_000 + 1));
        assert_eq!(steady.leapt(), Some(leap));
        steady.note(leap);
        assert_eq!(steady.leapt(), None);
        // A start after a rest, and a clock that was not believed and is put right.
        let newest = Timestamp::from_millis(from);
        let rested = Steady::new(Arc::clone(&hands) as _, Some(newest));
        assert_eq!(rested.leapt().map(|it| it.to), Some(hands.now()));
        let steady = Steady::new(Arc::clone(&hands) as _, Some(newest));
        hands.set(from + 500 * DAY);
        assert_eq!(steady.leapt(), None, "it is not believed");
        hands.set(from + 2 * DAY);
        assert!(steady.leapt().is_some());
    }

    #[test]
    fn time_does_not_go_behind_the_log_over_a_restart() {
        let hands = Hands::new();
        let newest = Timestamp::from_millis(START + 3_600_000);
        let steady = Steady::new(Arc::clone(&hands) as _, Some(newest));
        assert_eq!(steady.now(), newest);
    }

    proptest! {
        /// Whatever is done to the clock, and however often the daemon is started anew.
        #[test]
        fn time_never_goes_back_and_never_runs_away(
            steps in prop::collection::vec((-800 * DAY..800 * DAY, 0..100_000_u64, any::<bool>()), 1..60),
        ) {
            let hands = Hands::new();
            let mut steady = steady(&hands);
            let mut last = steady.now();
            for (jump, pass, restarts) in steps {
                let before = (last, hands.passed());
                hands.set(START.saturating_add(jump));
                hands.pass(pass);
                if restarts {
                    steady = Steady::new(Arc::clone(&hands) as _, Some(last));
                }
                let now = steady.now();
                prop_assert!(now >= last);
                let most = before.0.plus(FARTHEST_AHEAD).plus(hands.passed().saturating_sub(before.1));
                prop_assert!(now <= most);
                last = now;
            }
        }
    }
}
