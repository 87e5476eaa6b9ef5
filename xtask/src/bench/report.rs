//! The figures, and how they are printed.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::load::Seen;
use super::server::Usage;

/// The figures of one algorithm.
pub(super) struct Row {
    algorithm: &'static str,
    tokens: u64,
    tokens_per_cpu_second: f64,
    cpu_micros_per_token: f64,
    tokens_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    resident_mib: f64,
    journal_bytes_per_token: f64,
}

impl Row {
    /// Works out the figures.
    #[expect(
        clippy::cast_precision_loss,
        reason = "figures are rounded for people, and no count here comes near 2^52"
    )]
    pub(super) fn new(algorithm: &'static str, seen: &Seen<Usage>) -> Self {
        let tokens = seen.answers as f64;
        let cpu = seen.after.cpu.saturating_sub(seen.before.cpu).as_secs_f64();
        let journal = seen.after.journal_bytes - seen.before.journal_bytes;
        Self {
            algorithm,
            tokens: seen.answers,
            tokens_per_cpu_second: tokens / cpu,
            cpu_micros_per_token: cpu * 1e6 / tokens,
            tokens_per_second: tokens / seen.elapsed.as_secs_f64(),
            p50_ms: percentile(&seen.latencies, 50),
            p99_ms: percentile(&seen.latencies, 99),
            resident_mib: seen.after.resident_kib as f64 / 1024.0,
            journal_bytes_per_token: journal as f64 / tokens,
        }
    }
}

/// A percentile in milliseconds, of sorted times.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    let time = sorted.get(rank.saturating_sub(1));
    time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// The rows as a table for people.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<9} {:>8} {:>12} {:>12} {:>9} {:>8} {:>8} {:>8} {:>13}\n",
        "algorithm",
        "tokens",
        "tokens/CPU-s",
        "CPU µs/token",
        "tokens/s",
        "p50 ms",
        "p99 ms",
        "RSS MiB",
        "journal bytes"
    );
    for row in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<9} {:>8} {:>12.0} {:>12.1} {:>9.0} {:>8.2} {:>8.2} {:>8.1} {:>13.0}",
            row.algorithm,
            row.tokens,
            row.tokens_per_cpu_second,
            row.cpu_micros_per_token,
            row.tokens_per_second,
            row.p50_ms,
            row.p99_ms,
            row.resident_mib,
            row.journal_bytes_per_token,
        );
    }
    text.push_str("CPU: user and system time of the server. Journal bytes: per token.\n");
    text
}

/// The rows as JSON, an object each.
pub(super) fn json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        json!({
            "algorithm": row.algorithm,
            "tokens": row.tokens,
            "tokens_per_cpu_second": row.tokens_per_cpu_second,
            "cpu_micros_per_token": row.cpu_micros_per_token,
            "tokens_per_second": row.tokens_per_second,
            "p50_ms": row.p50_ms,
            "p99_ms": row.p99_ms,
            "resident_mib": row.resident_mib,
            "journal_bytes_per_token": row.journal_bytes_per_token,
        })
    };
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::percentile;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert!((percentile(&times, 50) - 100.0).abs() < 1e-9);
        assert!((percentile(&times, 99) - 198.0).abs() < 1e-9);
        assert!(percentile(&[], 99).is_nan());
    }
}
