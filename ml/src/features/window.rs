//! Sums over short windows, computed afresh for each row.
//!
//! A sliding sum would be a little faster, but its value depends on where the series started and on every outlier
//! that passed through it. Computed afresh, a row depends on its window alone: one new bar gives the same bits as the
//! whole history.

/// Four sums side by side let the processor use its vector registers without changing the order of additions.
const LANES: usize = 4;

/// The sum of the values.
pub(crate) fn sum(values: &[f64]) -> f64 {
    fold(values, |value| value)
}

/// The sample standard deviation (divisor n - 1) of the values around a mean known already.
pub(super) fn sample_std(values: &[f64], mean: f64) -> f64 {
    let squares = fold(values, |value| (value - mean) * (value - mean));
    (squares / (values.len() as f64 - 1.0)).sqrt()
}

/// The mean of the last `window` values up to the one at `t`, or of as many as there are from `first` on; NaN before it.
pub(super) fn mean_of_last(values: &[f64], window: usize, first: usize, t: usize) -> f64 {
    let first = (t + 1).saturating_sub(window).max(first);
    if first > t { f64::NAN } else { sum(&values[first..=t]) / (t + 1 - first) as f64 }
}

#[inline]
fn fold(values: &[f64], term: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let chunks = values.chunks_exact(LANES);
    let mut rest = 0.0;
    for &value in chunks.remainder() {
        rest += term(value);
    }
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += term(value);
        }
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_known_numbers_is_known() {
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0, 5.0];
        assert!((sum(&values) - 45.0).abs() < 1e-12);
        assert!((sample_std(&values, 5.0) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn a_mean_takes_what_there_is_of_its_window() {
        let values = [f64::NAN, 1.0, 2.0, 6.0];
        assert!(mean_of_last(&values, 2, 1, 0).is_nan());
        assert_eq!(
            [1, 2, 3].map(|t| mean_of_last(&values, 2, 1, t).to_bits()),
            [1.0, 1.5, 4.0].map(f64::to_bits)
        );
    }
}
