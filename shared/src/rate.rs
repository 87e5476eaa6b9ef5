//! How often something may be asked: rates, and the arithmetic of their buckets.
//!
//! A bucket is one number, the moment when it is full again (GCRA, the virtual scheduling form of the
//! token bucket, ITU-T I.371). So it needs no timer, and one that is full need not be kept at all.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::error::FieldError;
use crate::time::Timestamp;

/// The most of a rate's count and of its burst: a microsecond between two requests.
const MAX: u32 = 1_000_000;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// So many in a second, minute or hour, and so many at once: `100/s burst 200`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    unit: Unit,
    burst: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

impl Unit {
    const fn nanos(self) -> u64 {
        1_000_000_000
            * match self {
                Self::Second => 1,
                Self::Minute => 60,
                Self::Hour => 3_600,
            }
    }
}

impl FromStr for Rate {
    type Err = FieldError;

    /// Parses `COUNT/UNIT` or `COUNT/UNIT burst BURST`. Without a burst it is as large as the count.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: FieldError = FieldError::new(
            "rate",
            "must be a rate such as 100/s, 30/m or 100/s burst 200; the unit is s, m or h, and the \
             numbers are 1 to 1000000",
        );
        // `parse` alone would take a plus sign too.
        let number = |text: &str| {
            let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let number = text.parse().ok().filter(|_| is_plain);
            number.filter(|it| (1..=MAX).contains(it)).ok_or(RULE)
        };
        let mut words = text.split_ascii_whitespace();
        let rate = words.next().ok_or(RULE)?;
        let (count, unit) = rate.split_once('/').ok_or(RULE)?;
        let count = number(count)?;
        let unit = match unit {
            "s" => Unit::Second,
            "m" => Unit::Minute,
            "h" => Unit::Hour,
            _ => return Err(RULE),
        };
        let burst = match (words.next(), words.next(), words.next()) {
            (None, ..) => count,
            (Some("burst"), Some(burst), None) => number(burst)?,
            _ => return Err(RULE),
        };
        Ok(Self { count, unit, burst })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Second => 's',
            Unit::Minute => 'm',
            Unit::Hour => 'h',
        };
        write!(f, "{}/{unit} burst {}", self.count, self.burst)
    }
}

/// What is left in somebody's bucket. A new one is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket {
    /// When it is full again, in nanoseconds since 1970.
    full_at: u64,
}

/// What somebody may still ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headroom {
    /// How many the bucket holds.
    pub limit: u32,
    /// How many are in it now.
    pub remaining: u32,
    /// In how many seconds it is full again.
    pub reset: u32,
}

impl Headroom {
    /// The one of two that will be used up first.
    #[must_use]
    pub const fn tighter(self, other: Self) -> Self {
        if other.remaining < self.remaining {
            other
        } else {
            self
        }
    }
}

/// A request found its bucket empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    /// The bucket.
    pub headroom: Headroom,
    /// In how many seconds there is one in it again; at least 1.
    pub retry_after: u32,
}

impl Rate {
    /// A rate of `count` a second, and of `burst` at once; both at least 1.
    const fn per_second(count: u32, burst: u32) -> Self {
        Self {
            count,
            unit: Unit::Second,
            burst,
        }
    }

    /// Between two requests that come as fast as they may.
    const fn interval(&self) -> u64 {
        self.unit.nanos() / self.count as u64
    }

    /// How long an empty bucket takes to be full.
    const fn window(&self) -> u64 {
        self.interval() * self.burst as u64
    }

    /// Takes one request out of `bucket` at `now`, and gives back the bucket that is left.
    ///
    /// # Errors
    ///
    /// When it is empty; then it stays as it is.
    pub fn take(&self, bucket: Bucket, now: Timestamp) -> Result<(Bucket, Headroom), Exhausted> {
        let (now, window, interval) = (nanos(now), self.window(), self.interval());
        // None needs longer than its window, unless the clock has been set back since. To wait for the
        // clock could take for ever, so it begins anew.
        let left = bucket.full_at.saturating_sub(now);
        let wait = if left > window { 0 } else { left } + interval;
        let headroom = |wait: u64| Headroom {
            limit: self.burst,
            remaining: u32::try_from(window.saturating_sub(wait) / interval).unwrap_or(MAX),
            reset: seconds(wait),
        };
        if wait > window {
            return Err(Exhausted {
                headroom: headroom(wait - interval),
                retry_after: seconds(wait - window).max(1),
            });
        }
        let full_at = now + wait;
        Ok((Bucket { full_at }, headroom(wait)))
    }

    /// Whether `bucket` is full at `now`, as one is that was never used.
    #[must_use]
    pub fn is_full(&self, bucket: Bucket, now: Timestamp) -> bool {
        let now = nanos(now);
        bucket.full_at <= now || bucket.full_at - now > self.window()
    }
}

fn nanos(time: Timestamp) -> u64 {
    // Far enough below the end of u64 for any window to be added.
    u64::try_from(time.as_millis())
        .unwrap_or(0)
        .saturating_mul(NANOS_PER_MILLI)
        .min(u64::MAX / 2)
}

/// Whole seconds, rounded up.
fn seconds(nanos: u64) -> u32 {
    let duration = Duration::from_nanos(nanos);
    let up = u64::from(duration.subsec_nanos() > 0);
    u32::try_from(duration.as_secs() + up).unwrap_or(u32::MAX)
}

/// What a request is counted as; each kind has buckets of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// It asks for a token.
    Token,
    /// It changes something.
    Write,
    /// It changes nothing.
    Read,
}

/// How often each may ask; `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// A client address.
    pub per_address: Option<Rate>,
    /// An agent.
    pub per_agent: Option<Rate>,
    /// An organization, all its agents together.
    pub per_organization: Option<Rate>,
}

/// The rates of every kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Requests for tokens.
    pub token: Rates,
    /// Requests that change something.
    pub write: Rates,
    /// Requests that change nothing.
    pub read: Rates,
}

impl RequestLimits {
    /// The rates of a kind.
    #[must_use]
    pub const fn of(&self, kind: RequestKind) -> &Rates {
        match kind {
            RequestKind::Token => &self.token,
            RequestKind::Write => &self.write,
            RequestKind::Read => &self.read,
        }
    }
}

impl Default for RequestLimits {
    /// Far above what agents need that keep their tokens as long as these live, and below what a
    /// server cannot bear.
    fn default() -> Self {
        let rates = |address: u32, agent: u32, organization: u32| Rates {
            per_address: Some(Rate::per_second(address, address * 2)),
            per_agent: Some(Rate::per_second(agent, agent * 2)),
            per_organization: Some(Rate::per_second(organization, organization * 2)),
        };
        Self {
            token: rates(1_000, 200, 5_000),
            write: rates(200, 100, 1_000),
            read: rates(2_000, 1_000, 10_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + millis)
    }

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn a_rate_is_read_as_a_person_writes_it() {
        for (text, shown) in [
            ("100/s", "100/s burst 100"),
            ("100/s burst 200", "100/s burst 200"),
            ("  30/m   burst  1 ", "30/m burst 1"),
            ("1/h", "1/h burst 1"),
            ("1000000/s burst 1000000", "1000000/s burst 1000000"),
        ] {
            assert_eq!(rate(text).to_string(), shown);
            assert_eq!(rate(shown), rate(text));
        }
        for bad in [
            "",
            "100",
            "100/d",
            "100/",
            "/s",
            "0/s",
            "+1/s",
            "1.5/s",
            "1000001/s",
            "1/s burst",
            "1/s burst 0",
            "1/s burst 1000001",
            "1/s burst 1 1",
            "1/s 5",
            "1 / s",
            "99999999999999999999/s",
        ] {
            assert!(bad.parse::<Rate>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_burst_is_served_at_once_and_then_the_rate() {
        let rate = rate("10/s burst 3");
        let mut bucket = Bucket::default();
        let mut take = |millis| {
            let taken = rate.take(bucket, at(millis));
            if let Ok((left, _)) = taken {
                bucket = left;
            }
            taken.map(|(_, headroom)| headroom.remaining)
        };
        assert_eq!([take(0), take(0), take(0)], [Ok(2), Ok(1), Ok(0)]);
        let exhausted = take(50).unwrap_err();
        assert_eq!(
            (exhausted.retry_after, exhausted.headroom.remaining),
            (1, 0)
        );
        assert_eq!(take(100), Ok(0));
        assert!(take(199).is_err());
        assert_eq!(take(10_000), Ok(2));
    }

    #[test]
    fn who_waits_as_long_as_he_is_told_is_served() {
        for text in [
            "1/h",
            "7/m burst 3",
            "1000000/s burst 1",
            "3/s burst 1000000",
        ] {
            let rate = rate(text);
            let (mut bucket, mut taken) = (Bucket::default(), 0_u32);
            let exhausted = loop {
                match rate.take(bucket, at(0)) {
                    Ok((left, _)) => (bucket, taken) = (left, taken + 1),
                    Err(exhausted) => break exhausted,
                }
            };
            assert_eq!(taken, exhausted.headroom.limit, "{text}");
            let later = at(i64::from(exhausted.retry_after) * 1_000);
            assert!(rate.take(bucket, later).is_ok(), "{text}");
            let full = at(i64::from(exhausted.headroom.reset) * 1_000);
            assert!(rate.is_full(bucket, full), "{text}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_lock_a_bucket() {
        let rate = rate("1/s burst 5");
        let (bucket, _) = rate.take(Bucket::default(), at(1_000_000_000)).unwrap();
        assert_eq!(rate.take(bucket, at(0)).unwrap().1.remaining, 4);
        assert!(rate.is_full(bucket, at(0)), "it need not be kept");
        for strange in [
            Timestamp::from_millis(i64::MIN),
            Timestamp::from_millis(i64::MAX),
        ] {
            assert!(rate.take(Bucket::default(), strange).is_ok());
            assert!(rate.take(bucket, strange).is_ok());
        }
    }
}
