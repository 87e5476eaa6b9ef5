//! Whether two samples of times may come from one distribution.

use std::f64::consts::{PI, SQRT_2};

/// Welch's t: the difference of the means in units of its own standard error.
///
/// It is not a number for fewer than two values on a side.
pub(crate) fn welch_t(first: &[f64], second: &[f64]) -> f64 {
    let (first, second) = (Moments::of(first), Moments::of(second));
    let error = (first.variance / first.count + second.variance / second.count).sqrt();
    (first.mean - second.mean) / error
}

struct Moments {
    count: f64,
    mean: f64,
    variance: f64,
}

impl Moments {
    fn of(values: &[f64]) -> Self {
        let count = count(values.len());
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self {
            count,
            mean,
            variance: squares / (count - 1.0),
        }
    }
}

/// The two-sided p-value of the Mann–Whitney U test, by its normal approximation with the correction
/// for ties: how likely ranks that differ this much are when both samples come from one distribution.
pub(crate) fn mann_whitney_p(first: &[f64], second: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> = first.iter().map(|&value| (value, true)).collect();
    all.extend(second.iter().map(|&value| (value, false)));
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));

    let (mut rank_sum, mut ties, mut before) = (0.0, 0.0, 0.0);
    for same in all.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let size = count(same.len());
        // All of the same value get the middle one of their ranks.
        let rank = before + f64::midpoint(1.0, size);
        rank_sum += rank * count(same.iter().filter(|(_, is_first)| *is_first).count());
        ties += size.powi(3) - size;
        before += size;
    }
    let (n1, n2) = (count(first.len()), count(second.len()));
    let n = n1 + n2;
    let u = rank_sum - n1 * (n1 + 1.0) / 2.0;
    let variance = n1 * n2 / 12.0 * ((n + 1.0) - ties / (n * (n - 1.0)));
    let z = (u - n1 * n2 / 2.0) / variance.sqrt();
    2.0 * upper_tail(z.abs())
}

/// How much of the standard normal distribution lies above `z`, which is not negative.
fn upper_tail(z: f64) -> f64 {
    if z < 4.0 {
        // The error function by its series; it converges fast enough here.
        let x = z / SQRT_2;
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            let n = f64::from(n);
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        return (0.5 - sum / PI.sqrt()).max(0.0);
    }
    // The first terms of the asymptotic expansion.
    let square = z * z;
    (-square / 2.0).exp() / (z * (2.0 * PI).sqrt()) * (1.0 - 1.0 / square + 3.0 / (square * square))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a number of samples does not come near 2^52"
)]
fn count(length: usize) -> f64 {
    length as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-4, "{value} is not {expected}");
    }

    #[test]
    fn the_tail_of_the_normal_distribution_is_that_of_the_tables() {
        for (z, expected) in [
            (0.0, 0.5),
            (1.0, 0.158_655),
            (1.96, 0.024_998),
            (3.0, 0.001_350),
        ] {
            assert_near(upper_tail(z), expected);
        }
        let far = upper_tail(5.0);
        assert!((far / 2.866_516e-7 - 1.0).abs() < 0.01, "{far}");
        let (below, above) = (upper_tail(3.999_999), upper_tail(4.0));
        assert!((below / above - 1.0).abs() < 0.01, "{below} {above}");
    }

    #[test]
    fn welch_t_is_what_the_formula_gives() {
        // Means 3 and 6, variances 2.5 and 10, five each: -3 / sqrt(0.5 + 2).
        let first = [1.0, 2.0, 3.0, 4.0, 5.0];
        let second = [2.0, 4.0, 6.0, 8.0, 10.0];
        assert_near(welch_t(&first, &second), -1.897_367);
        assert_near(welch_t(&first, &first), 0.0);
        assert!(welch_t(&[], &first).is_nan());
    }

    #[test]
    fn ranks_tell_samples_apart_that_are_shifted() {
        let numbers = |shift: f64| -> Vec<f64> { (0..100).map(|n| f64::from(n) + shift).collect() };
        assert_near(mann_whitney_p(&numbers(0.0), &numbers(0.0)), 1.0);
        assert!(mann_whitney_p(&numbers(0.0), &numbers(50.0)) < 1e-6);
        assert!(mann_whitney_p(&numbers(0.0), &numbers(0.5)) > 0.5);
    }

    #[test]
    fn ties_share_their_ranks() {
        // Ranks 1, 2 and 3.5: U = 0.5 of 9, so z = -4 / sqrt(9/12 * (7 - 6/30)).
        let p = mann_whitney_p(&[1.0, 2.0, 3.0], &[3.0, 4.0, 5.0]);
        assert_near(p, 2.0 * upper_tail(4.0 / (0.75_f64 * (7.0 - 0.2)).sqrt()));
    }
}
