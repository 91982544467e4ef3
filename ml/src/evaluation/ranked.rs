//! How well distributions tell which fifth of its session an instrument's return will lie in ([`crate::fifths`]): the
//! ranked probability score of the M6 competition (Makridakis et al. 2024; Epstein 1969). Saying 1/5 for each scores 0.16.

use super::ranks::average_ranks;
use crate::conformal::Calibration;
use crate::fifths::{FIFTHS, Fifths};

/// The scores of one session, means over its instruments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ranked {
    /// That of the distributions.
    pub score: f64,
    /// That of saying 1/5 for each fifth.
    pub uniform: f64,
}

/// Scores the distributions (expected return, scale) of a session; nothing where there are too few to be ranked.
pub(super) fn score(calibration: &Calibration, forecasts: &[(f64, f64)], actual: &[f64]) -> Option<Ranked> {
    let (fifths, n) = (Fifths::of(calibration, forecasts)?, forecasts.len());
    let ranks = average_ranks(actual.iter().copied(), &mut Vec::new());
    let (mut score, mut uniform) = (0.0, 0.0);
    for (&(expected, scale), rank) in forecasts.iter().zip(ranks) {
        let fifth = ((rank - 0.5) / n as f64 * FIFTHS as f64) as usize;
        for (place, chance) in fifths.below(expected, scale).into_iter().enumerate() {
            let below = f64::from(u8::from(fifth <= place));
            score += (chance - below).powi(2);
            uniform += ((place + 1) as f64 / FIFTHS as f64 - below).powi(2);
        }
    }
    let mean = |sum: f64| sum / (FIFTHS * n) as f64;
    Some(Ranked { score: mean(score), uniform: mean(uniform) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::uniform_calibration;

    fn actual() -> Vec<f64> {
        (0..100).map(|i| f64::from(i * 37 % 100)).collect()
    }

    #[test]
    fn saying_one_fifth_for_each_scores_sixteen_hundredths_and_so_do_forecasts_that_are_all_alike() {
        let ranked = score(&uniform_calibration(), &[(0.0, 1.0); 100], &actual()).unwrap();
        assert!((ranked.uniform - 0.16).abs() < 1e-12);
        assert!((ranked.score - 0.16).abs() < 1e-3, "{}", ranked.score);
    }

    #[test]
    fn knowing_the_order_scores_next_to_nothing_and_the_reverse_more_than_guessing() {
        let known: Vec<(f64, f64)> = actual().iter().map(|&rank| (rank, 1e-3)).collect();
        assert!(score(&uniform_calibration(), &known, &actual()).unwrap().score < 0.01);
        let reverse: Vec<(f64, f64)> = actual().iter().map(|&rank| (-rank, 1e-3)).collect();
        assert!(score(&uniform_calibration(), &reverse, &actual()).unwrap().score > 0.3);
    }

    #[test]
    fn knowing_who_moves_more_beats_guessing_without_knowing_where_to() {
        // Half of the instruments move ten times as much as the others.
        let scale = |i: usize| if i.is_multiple_of(2) { 1.0 } else { 0.1 };
        let forecasts: Vec<(f64, f64)> = (0..100).map(|i| (0.0, scale(i))).collect();
        let actual: Vec<f64> =
            (0..100).map(|i| scale(i) * (((i / 2) * 17 % 50) as f64 / 25.0 - 0.98)).collect();
        let ranked = score(&uniform_calibration(), &forecasts, &actual).unwrap();
        assert!(ranked.score < 0.15, "{ranked:?}");
        assert_eq!(score(&uniform_calibration(), &forecasts[..19], &actual[..19]), None, "too few to rank");
    }
}
