//! Durations as people write and read them.

use std::fmt::Write as _;
use std::time::Duration;

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Reads a duration such as `90d`, `24h`, `15m`, `30s` or `1h30m`: the largest unit first, each
/// at most once.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let rule = || "must be a duration such as 90d, 24h, 15m, 30s or 1h30m".to_owned();
    let mut units = UNITS.iter();
    let mut rest = text;
    let mut seconds: u64 = 0;
    if rest.is_empty() {
        return Err(rule());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits).ok_or_else(rule)?;
        let mut after = after.chars();
        let unit = after.next().ok_or_else(rule)?;
        let (_, length) = units.find(|(name, _)| *name == unit).ok_or_else(rule)?;
        let number: u64 = number.parse().ok().ok_or_else(rule)?;
        seconds = number
            .checked_mul(*length)
            .and_then(|part| seconds.checked_add(part))
            // What a protobuf Duration can say: some 10,000 years.
            .filter(|total| *total <= 315_576_000_000)
            .ok_or_else(|| "is too long".to_owned())?;
        rest = after.as_str();
    }
    Ok(Duration::from_secs(seconds))
}

/// A duration in its largest unit, rounded down: `12s`, `4m`, `1h`, `19d`.
pub(crate) fn short(duration: Duration) -> String {
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
pub(crate) fn exact(duration: Duration) -> String {
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
            "",
            "90",
            "d",
            "-1d",
            "1.5h",
            "30m1h",
            "1h1h",
            "1w",
            " 1h",
            "1h ",
            "1H",
            "99999999999999999999d",
            "9999999999d",
            "1µs",
            "組",
        ] {
            assert!(parse(text).is_err(), "{text}");
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
