//! The figures of a load, the goals they are held to, and how both are printed.

use std::fmt::{self, Write as _};
use std::time::Duration;

use serde_json::{Value, json};

use crate::load::Seen;
use crate::server::Usage;

/// What a load cost the server.
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: &'static str,
    answers: u64,
    /// Answers per second of the server's CPU time.
    pub(crate) per_cpu_second: f64,
    cpu_micros: f64,
    per_second: f64,
    p50_ms: f64,
    /// The time that one answer in a hundred took longer than.
    pub(crate) p99_ms: f64,
    /// Memory at the end.
    pub(crate) resident_mib: f64,
    /// Bytes of the journal for each answer.
    pub(crate) journal_bytes: f64,
}

impl Row {
    /// Works out the figures.
    #[expect(
        clippy::cast_precision_loss,
        reason = "figures are rounded for people, and no count here comes near 2^52"
    )]
    pub(crate) fn new(name: &'static str, seen: &Seen<Usage>) -> Self {
        let answers = seen.answers as f64;
        let cpu = seen.after.cpu.saturating_sub(seen.before.cpu).as_secs_f64();
        let journal = seen.after.journal_bytes - seen.before.journal_bytes;
        Self {
            name,
            answers: seen.answers,
            per_cpu_second: answers / cpu,
            cpu_micros: cpu * 1e6 / answers,
            per_second: answers / seen.elapsed.as_secs_f64(),
            p50_ms: percentile(&seen.latencies, 50),
            p99_ms: percentile(&seen.latencies, 99),
            resident_mib: seen.after.resident_kib as f64 / 1024.0,
            journal_bytes: journal as f64 / answers,
        }
    }
}

/// A percentile in milliseconds, of sorted times.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    let time = sorted.get(rank.saturating_sub(1));
    time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// The middle one of some numbers.
pub(crate) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(at(half.wrapping_sub(1)), at(half))
    } else {
        at(half)
    }
}

/// The rows as a table for people. `what` is what the server was asked for, in the plural.
pub(crate) fn table(what: &str, rows: &[Row]) -> String {
    let rate = format!("{what}/CPU-s");
    let width = rate.len().max(12);
    let mut text = format!(
        "{:<9} {:>9} {rate:>width$} {:>7} {:>9} {:>8} {:>8} {:>8} {:>13}\n",
        "", "answers", "CPU µs", "answers/s", "p50 ms", "p99 ms", "RSS MiB", "journal bytes"
    );
    for row in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<9} {:>9} {:>width$.0} {:>7.1} {:>9.0} {:>8.2} {:>8.2} {:>8.1} {:>13.0}",
            row.name,
            row.answers,
            row.per_cpu_second,
            row.cpu_micros,
            row.per_second,
            row.p50_ms,
            row.p99_ms,
            row.resident_mib,
            row.journal_bytes,
        );
    }
    text.push_str(
        "CPU: user and system time of the server. CPU µs and journal bytes: per answer.\n",
    );
    text
}

/// The rows as JSON, an object each.
pub(crate) fn json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        json!({
            "name": row.name,
            "answers": row.answers,
            "per_cpu_second": row.per_cpu_second,
            "cpu_micros": row.cpu_micros,
            "per_second": row.per_second,
            "p50_ms": row.p50_ms,
            "p99_ms": row.p99_ms,
            "resident_mib": row.resident_mib,
            "journal_bytes": row.journal_bytes,
        })
    };
    rows.iter().map(row).collect()
}

/// What a figure is to reach.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

/// A figure beside its goal.
pub(crate) struct Judged {
    name: String,
    value: f64,
    unit: &'static str,
    goal: Goal,
}

/// Holds a figure to its goal.
pub(crate) fn judged(
    name: impl Into<String>,
    value: f64,
    unit: &'static str,
    goal: Goal,
) -> Judged {
    Judged {
        name: name.into(),
        value,
        unit,
        goal,
    }
}

impl Judged {
    /// Whether it is reached. What is not a number reaches nothing.
    fn is_met(&self) -> bool {
        match self.goal {
            Goal::AtLeast(least) => self.value >= least,
            Goal::AtMost(most) => self.value <= most,
        }
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, goal) = match self.goal {
            Goal::AtLeast(least) => ('≥', least),
            Goal::AtMost(most) => ('≤', most),
        };
        let verdict = if self.is_met() { "met" } else { "MISSED" };
        let value = format!("{} {}", number(self.value), self.unit);
        let goal = format!("{sign} {}", number(goal));
        write!(f, "{:<58} {value:>16}  goal {goal:<9} {verdict}", self.name)
    }
}

/// A number with as many digits as matter.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let shorter = text.strip_suffix(".00").or(text.strip_suffix(".0"));
    shorter.unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert!((percentile(&times, 50) - 100.0).abs() < 1e-9);
        assert!((percentile(&times, 99) - 198.0).abs() < 1e-9);
        assert!(percentile(&[], 99).is_nan());
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_goal_is_met_or_missed() {
        let line = |value, goal| judged("x", value, "ms", goal).to_string();
        assert!(line(20.0, Goal::AtMost(20.0)).ends_with("20 ms  goal ≤ 20      met"));
        assert!(line(1_999.4, Goal::AtLeast(2_000.0)).ends_with("MISSED"));
        assert!(line(f64::NAN, Goal::AtLeast(0.0)).ends_with("MISSED"));
    }
}
