//! How well forecasts rank the instruments of a session.

use serde::{Deserialize, Serialize};

use super::walk::TestRows;
use crate::fifths::NEEDED_INSTRUMENTS;

/// The daily rank correlation (Spearman) of forecast and outcome over the instruments of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InformationCoefficient {
    /// Its mean over the sessions.
    pub mean: f64,
    /// The mean in units of its standard error, sessions taken as independent.
    pub t: Option<f64>,
    /// The same by the Newey-West error with lag h - 1, as outcomes of neighbouring sessions overlap.
    pub t_newey_west: Option<f64>,
    /// Sessions with enough instruments.
    pub days: usize,
    /// Share of sessions above zero.
    pub positive_share: f64,
}

/// The rank correlation of each session; nothing where there are too few instruments or all forecasts are equal.
pub(super) fn daily_correlations(rows: &TestRows, days: &[Vec<u32>], predicted: &[f64]) -> Vec<Option<f64>> {
    let mut room = Vec::new();
    days.iter()
        .map(|day| {
            let first = predicted[day[0] as usize].to_bits();
            if day.len() < NEEDED_INSTRUMENTS || day.iter().all(|&i| predicted[i as usize].to_bits() == first)
            {
                return None;
            }
            let expected = average_ranks(day.iter().map(|&i| predicted[i as usize]), &mut room);
            let actual = average_ranks(day.iter().map(|&i| rows.actual[i as usize]), &mut room);
            Some(correlation(&expected, &actual))
        })
        .collect()
}

pub(super) fn information_coefficient(
    rows: &TestRows,
    days: &[Vec<u32>],
    predicted: &[f64],
) -> Option<InformationCoefficient> {
    let daily: Vec<f64> = daily_correlations(rows, days, predicted).into_iter().flatten().collect();
    if daily.is_empty() {
        return None;
    }
    let n = daily.len() as f64;
    let mean = daily.iter().sum::<f64>() / n;
    let variance = daily.iter().map(|ic| (ic - mean) * (ic - mean)).sum::<f64>() / (n - 1.0);
    let finite = |t: f64| t.is_finite().then_some(t);
    Some(InformationCoefficient {
        mean,
        t: finite(mean / variance.sqrt() * n.sqrt()),
        t_newey_west: finite(mean / (long_run_variance(&daily, mean, rows.horizon - 1) / n).sqrt()),
        days: daily.len(),
        positive_share: daily.iter().filter(|ic| **ic > 0.0).count() as f64 / n,
    })
}

/// The Newey-West (1987) estimate with Bartlett weights: variance plus weighted autocovariances up to `lag`.
pub(crate) fn long_run_variance(values: &[f64], mean: f64, lag: usize) -> f64 {
    let n = values.len() as f64;
    let covariance = |lag: usize| {
        values.iter().skip(lag).zip(values).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / n
    };
    (1..=lag).fold(covariance(0), |sum, k| sum + 2.0 * (1.0 - k as f64 / (lag as f64 + 1.0)) * covariance(k))
}

/// Ranks from 1, equal values sharing the mean of theirs.
pub(super) fn average_ranks(values: impl Iterator<Item = f64>, room: &mut Vec<(f64, u32)>) -> Vec<f64> {
    room.clear();
    // Adding zero makes minus zero zero, so that the two tie.
    room.extend(values.map(|value| value + 0.0).zip(0..));
    room.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut ranks = vec![0.0; room.len()];
    let mut below = 0;
    for ties in room.chunk_by(|a, b| a.0.to_bits() == b.0.to_bits()) {
        let rank = below as f64 + f64::midpoint(ties.len() as f64, 1.0);
        for &(_, place) in ties {
            ranks[place as usize] = rank;
        }
        below += ties.len();
    }
    ranks
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut both, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        both += a * b;
        of_a += a * a;
        of_b += b * b;
    }
    // Outcomes that are all equal rank nothing.
    if of_b == 0.0 { 0.0 } else { both / (of_a * of_b).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_the_mean_of_their_ranks() {
        let ranks = average_ranks([3.0, 1.0, 3.0, 0.0, -0.0].into_iter(), &mut Vec::new());
        assert_eq!(ranks, [4.5, 3.0, 4.5, 1.5, 1.5]);
    }

    #[test]
    fn the_long_run_variance_of_alternating_values_is_below_their_variance() {
        let values = [1.0, -1.0, 1.0, -1.0, 1.0, -1.0];
        assert!((long_run_variance(&values, 0.0, 0) - 1.0).abs() < 1e-12);
        // 1 + 2 (1/2) (-5/6)
        assert!((long_run_variance(&values, 0.0, 1) - 1.0 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn a_perfect_order_has_correlation_one_and_the_reverse_minus_one() {
        let up = [1.0, 2.0, 3.0, 4.0];
        let down = [4.0, 3.0, 2.0, 1.0];
        assert!((correlation(&up, &up) - 1.0).abs() < 1e-12);
        assert!((correlation(&up, &down) + 1.0).abs() < 1e-12);
    }
}
