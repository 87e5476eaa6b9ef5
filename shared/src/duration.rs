//! Durations as people write and read them: one form for the command line, the screens and the
//! configuration.

use std::fmt::Write as _;
use std::time::Duration;

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// The longest that a protobuf `Duration` can say, in seconds: some 10,000 years.
const LONGEST: u64 = 315_576_000_000;

/// Why a text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It is not written as one.
    #[error("must be a duration such as 90d, 24h, 15m, 30s or 1h30m")]
    Form,
    /// It is more than some 10,000 years.
    #[error("is too long")]
    TooLong,
}

/// Reads a duration such as `90d`, `24h`, `15m`, `30s` or `1h30m`: the largest unit first, each
/// at most once.
///
/// # Errors
///
/// [`DurationError`].
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let form = DurationError::Form;
    let mut units = UNITS.iter();
    let mut rest = text;
    let mut seconds: u64 = 0;
    if rest.is_empty() {
        return Err(form);
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits).ok_or(form)?;
        let mut after = after.chars();
        let unit = after.next().ok_or(form)?;
        let (_, length) = units.find(|(name, _)| *name == unit).ok_or(form)?;
        if number.is_empty() {
            return Err(form);
        }
        let number = number.parse().unwrap_or(u64::MAX);
        seconds = seconds
            .saturating_add(number.saturating_mul(*length))
            .min(LONGEST + 1);
        rest = after.as_str();
    }
    if seconds > LONGEST {
        return Err(DurationError::TooLong);
    }
    Ok(Duration::from_secs(seconds))
}

/// A duration in its largest unit, rounded down: `12s`, `4m`, `1h`, `19d`.
#[must_use]
pub fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    UNITS
        .iter()
        .find(|(_, length)| seconds >= *length)
        .map_or_else(
            || "0s".to_owned(),
            |(unit, length)| format!("{}{unit}", seconds / length),
        )
}

/// A duration in all its units: `90d`, `1h30m`.
#[must_use]
pub fn exact(duration: Duration) -> String {
    let mut left = duration.as_secs();
    // Writing to a string does not fail.
    let mut text = String::new();
    for (unit, length) in UNITS {
        if left >= length {
            let _ = write!(text, "{}{unit}", left / length);
            left %= length;
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("90d", 90 * 86_400),
            ("24h", 86_400),
            ("15m", 900),
            ("30s", 30),
            ("0s", 0),
            ("1h30m", 5_400),
            ("1d2h3m4s", 93_784),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "", "90", "d", "-1d", "1.5h", "30m1h", "1h1h", "1w", " 1h", "1h ", "1H", "+1h", "h30m",
            "1µs", "組",
        ] {
            assert_eq!(parse(text), Err(DurationError::Form), "{text}");
        }
        for text in ["9999999999d", "99999999999999999999d1s"] {
            assert_eq!(parse(text), Err(DurationError::TooLong), "{text}");
        }
    }

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3_599, "59m"),
            (3_600, "1h"),
            (86_400 * 19 + 5, "19d"),
        ] {
            assert_eq!(short(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_duration_is_written_as_it_is_read() {
        for text in ["0s", "90d", "1h30m", "1d2h3m4s"] {
            assert_eq!(exact(parse(text).unwrap()), text);
        }
    }
}
