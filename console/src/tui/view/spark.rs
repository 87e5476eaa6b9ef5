//! Counts over time, a cell each.

use std::time::Duration;

/// How high a cell is, from nothing to the most of the line.
const LEVELS: [char; 7] = ['.', '_', '-', '=', '+', '*', '#'];

/// The counts against the largest of them. Any number that is not nothing is seen to be something.
pub(super) fn bars(counts: &[u64]) -> String {
    let peak = counts.iter().copied().max().unwrap_or_default();
    counts.iter().map(|count| level(*count, peak)).collect()
}

/// The counts themselves, as far as they have one digit: of what should not happen, one is much.
pub(super) fn digits(counts: &[u64]) -> String {
    let digit = |count: &u64| match u32::try_from(*count) {
        Ok(0) => '.',
        Ok(count) => char::from_digit(count, 10).unwrap_or('#'),
        Err(_) => '#',
    };
    counts.iter().map(digit).collect()
}

/// The last of the counts, as many as there is room for.
pub(super) fn last(counts: &[u64], room: usize) -> &[u64] {
    counts
        .get(counts.len().saturating_sub(room)..)
        .unwrap_or_default()
}

fn level(count: u64, peak: u64) -> char {
    let highest = LEVELS.len() as u128 - 1;
    let at = (u128::from(count) * highest).div_ceil(u128::from(peak.max(1)));
    LEVELS
        .get(usize::try_from(at).unwrap_or_default())
        .copied()
        .unwrap_or('#')
}

/// A short time with two digits or more: `0.45 ms`, `7.2 ms`, `12 ms`, `1.5 s`.
pub(super) fn brief(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..1_000 => format!("0.{:02} ms", micros / 10),
        1_000..10_000 => format!("{}.{} ms", micros / 1_000, micros / 100 % 10),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_little_is_not_nothing() {
        assert_eq!(bars(&[0, 1, 50, 99, 100]), "._=##");
        assert_eq!(bars(&[0]), ".");
        assert_eq!(bars(&[u64::MAX, 1]), "#_");
        assert_eq!(digits(&[0, 1, 9, 10, u64::MAX]), ".19##");
    }

    #[test]
    fn a_time_is_told_briefly() {
        for (micros, told) in [
            (0, "0.00 ms"),
            (457, "0.45 ms"),
            (7_250, "7.2 ms"),
            (12_900, "12 ms"),
            (1_540_000, "1.5 s"),
        ] {
            assert_eq!(brief(Duration::from_micros(micros)), told);
        }
    }
}
