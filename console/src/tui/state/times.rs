//! How times are shown: as ages, or by a clock.

use agentidp_shared::Timestamp;
use jiff::tz::TimeZone;

use crate::duration;

/// How times are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    Age,
    Local,
    Utc,
}

impl Times {
    /// What comes after this one.
    pub(crate) const fn next(self) -> Self {
        match self {
            Self::Age => Self::Local,
            Self::Local => Self::Utc,
            Self::Utc => Self::Age,
        }
    }

    /// Its word on the screen.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Local => "local",
            Self::Utc => "UTC",
        }
    }
}

/// What time it is, and where.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    pub(crate) now: Timestamp,
    /// The zone that the operator's environment names.
    pub(crate) zone: TimeZone,
}

impl Clock {
    /// A moment in at most ten cells: its age; or its time, when it is today's, and else its day.
    pub(crate) fn short(&self, times: Times, time: Timestamp) -> String {
        if times == Times::Age {
            return duration::short(self.now.since(time));
        }
        let (shown, today) = (self.digits(times, time), self.digits(times, self.now));
        let is_today = shown.get(..10) == today.get(..10);
        let range = if is_today { 11..19 } else { 0..10 };
        shown.get(range).unwrap_or_default().to_owned()
    }

    /// A moment to the minute, with its day: sixteen cells, or its age.
    pub(crate) fn minute(&self, times: Times, time: Timestamp) -> String {
        if times == Times::Age {
            return duration::short(self.now.since(time));
        }
        let shown = self.digits(times, time);
        shown.get(..16).unwrap_or_default().to_owned()
    }

    /// A moment to the millisecond, without its day: twelve cells, or its age.
    pub(crate) fn precise(&self, times: Times, time: Timestamp) -> String {
        if times == Times::Age {
            return duration::short(self.now.since(time));
        }
        let shown = self.digits(times, time);
        shown.get(11..23).unwrap_or_default().to_owned()
    }

    /// A moment to the second, with month and day: fourteen cells.
    pub(crate) fn day(&self, times: Times, time: Timestamp) -> String {
        if times == Times::Age {
            return duration::short(self.now.since(time));
        }
        let shown = self.digits(times, time);
        shown.get(5..19).unwrap_or_default().to_owned()
    }

    /// `2026-11-21 04:43:34.000`
    fn digits(&self, times: Times, time: Timestamp) -> String {
        let zone = match times {
            Times::Local => self.zone.clone(),
            Times::Age | Times::Utc => TimeZone::UTC,
        };
        let Ok(moment) = jiff::Timestamp::from_millisecond(time.as_millis()) else {
            return time.to_string();
        };
        let shown = moment.to_zoned(zone);
        format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}",
            shown.year(),
            shown.month(),
            shown.day(),
            shown.hour(),
            shown.minute(),
            shown.second(),
            shown.millisecond(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_as_one_asks_for_it() {
        let clock = Clock {
            now: "2026-11-21T04:43:34Z".parse().unwrap(),
            zone: TimeZone::fixed(jiff::tz::offset(-5)),
        };
        let time = "2026-11-21T04:40:00.104Z".parse().unwrap();
        for (times, short, minute, precise) in [
            (Times::Age, "3m", "3m", "3m"),
            (Times::Utc, "04:40:00", "2026-11-21 04:40", "04:40:00.104"),
            (Times::Local, "23:40:00", "2026-11-20 23:40", "23:40:00.104"),
        ] {
            assert_eq!(clock.short(times, time), short);
            assert_eq!(clock.minute(times, time), minute);
            assert_eq!(clock.precise(times, time), precise);
        }
        let long_ago = "2026-10-01T08:00:00Z".parse().unwrap();
        assert_eq!(clock.short(Times::Utc, long_ago), "2026-10-01");
    }
}
