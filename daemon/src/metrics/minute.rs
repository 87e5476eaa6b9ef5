//! What came of the requests for tokens in the last minute, second by second, and how long it took to issue:
//! for an operator who looks now. A scraper keeps the counters of [`token`](super::token) for longer.

use std::time::Duration;

use parking_lot::Mutex;

/// How many whole seconds are told.
pub(crate) const SECONDS: usize = 60;

/// One more for the second under way, and some so that the remainder is a cheap one.
const SLOTS: u64 = 64;

/// An octave of microseconds is told apart in so many steps: a time is known to an eighth of itself.
const STEPS: u64 = 8;

/// Up to 67 seconds; what takes longer counts as that.
const TIMES: usize = 26 * 8;

/// What came of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rates {
    /// How many tokens were issued in each of the last [`SECONDS`] whole seconds, oldest first.
    pub(crate) issued: Vec<u32>,
    /// How many requests were denied.
    pub(crate) denied: Vec<u32>,
    /// The time within which 99 of 100 of those tokens were issued, at most an eighth too long; `None` if
    /// there was none.
    pub(crate) p99: Option<Duration>,
}

/// The last minute.
#[derive(Debug)]
pub(crate) struct Minute(Mutex<Box<[Second]>>);

#[derive(Debug, Clone)]
struct Second {
    /// Which second it is; a slot that has not been used is of none.
    number: u64,
    issued: u32,
    denied: u32,
    times: [u32; TIMES],
}

const EMPTY: Second = Second {
    number: u64::MAX,
    issued: 0,
    denied: 0,
    times: [0; TIMES],
};

impl Default for Minute {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| EMPTY.clone());
        Self(Mutex::new(slots.collect()))
    }
}

impl Minute {
    /// A token was issued in this second, and that took so long.
    pub(crate) fn issued(&self, second: u64, took: Duration) {
        self.count(second, |it| {
            it.issued = it.issued.saturating_add(1);
            if let Some(count) = it.times.get_mut(step(took)) {
                *count = count.saturating_add(1);
            }
        });
    }

    /// A request was denied in this second.
    pub(crate) fn denied(&self, second: u64) {
        self.count(second, |it| it.denied = it.denied.saturating_add(1));
    }

    fn count(&self, second: u64, add: impl FnOnce(&mut Second)) {
        let mut slots = self.0.lock();
        let slot = usize::try_from(second % SLOTS).unwrap_or_default();
        let Some(slot) = slots.get_mut(slot) else {
            return;
        };
        if slot.number != second {
            *slot = EMPTY;
            slot.number = second;
        }
        add(slot);
    }

    /// What is known in the second `now`, which is not over and is not told yet.
    pub(crate) fn rates(&self, now: u64) -> Rates {
        let (mut issued, mut denied) = (vec![0; SECONDS], vec![0; SECONDS]);
        let mut times = [0_u64; TIMES];
        let slots = self.0.lock();
        for slot in slots.iter().filter(|it| it.number < now) {
            let ago = usize::try_from(now - slot.number).unwrap_or(usize::MAX);
            let Some(at) = SECONDS.checked_sub(ago) else {
                continue;
            };
            let of_second = issued.get_mut(at).zip(denied.get_mut(at));
            if let Some((issued, denied)) = of_second {
                (*issued, *denied) = (slot.issued, slot.denied);
            }
            for (sum, count) in times.iter_mut().zip(slot.times) {
                *sum += u64::from(count);
            }
        }
        drop(slots);
        Rates {
            issued,
            denied,
            p99: percentile(&times, 99),
        }
    }
}

/// The step that a time falls into.
fn step(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let octave = u64::from(micros.ilog2());
    // The three bits after the first.
    let within = if octave >= 3 {
        (micros >> (octave - 3)) % STEPS
    } else {
        (micros << (3 - octave)) % STEPS
    };
    let step = usize::try_from(octave * STEPS + within).unwrap_or(usize::MAX);
    step.min(TIMES - 1)
}

/// The time that nothing in a step reaches.
fn end(step: usize) -> Duration {
    let step = step as u64;
    let (octave, within) = (step / STEPS, step % STEPS);
    let eighths = (STEPS + within + 1) << octave;
    Duration::from_micros(eighths.div_ceil(STEPS))
}

fn percentile(times: &[u64], percent: u64) -> Option<Duration> {
    let all: u64 = times.iter().sum();
    let rank = (all * percent).div_ceil(100);
    let mut seen = 0;
    let found = times.iter().position(|count| {
        seen += count;
        seen >= rank
    });
    found.filter(|_| all > 0).map(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_of_the_last_minute_is_told_once_it_is_over() {
        let minute = Minute::default();
        let took = Duration::from_millis(3);
        minute.issued(100, took);
        minute.issued(100, took);
        minute.denied(101);
        let rates = minute.rates(101);
        assert_eq!(rates.issued.last(), Some(&2));
        assert_eq!(rates.denied.iter().sum::<u32>(), 0);
        let rates = minute.rates(102);
        assert_eq!(rates.issued.last_chunk(), Some(&[0, 2, 0]));
        assert_eq!(rates.denied.last_chunk(), Some(&[0, 0, 1]));
        assert_eq!(minute.rates(160).issued.first(), Some(&2));
        let later = minute.rates(161);
        assert_eq!((later.issued.iter().sum::<u32>(), later.p99), (0, None));
        // Another second in the place of the first.
        minute.issued(164, took);
        assert_eq!(minute.rates(165).issued.iter().sum::<u32>(), 1);
    }

    #[test]
    fn the_99th_of_100_is_known_to_an_eighth() {
        for slow in [1, 7, 900, 12_345, 2_000_000] {
            let minute = Minute::default();
            let slow = Duration::from_micros(slow);
            for number in 0..100 {
                let took = if number < 98 { Duration::ZERO } else { slow };
                minute.issued(5, took);
            }
            let p99 = minute.rates(6).p99.unwrap();
            assert!(p99 >= slow, "{p99:?} for {slow:?}");
            let most = slow + slow / 8 + Duration::from_micros(1);
            assert!(p99 <= most, "{p99:?} for {slow:?}");
            minute.issued(7, Duration::from_hours(1));
            assert!(minute.rates(8).p99.unwrap() <= most);
        }
        assert_eq!(Minute::default().rates(1).p99, None);
    }
}
