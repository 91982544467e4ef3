//! How well distributions tell which fifth of its session an instrument's return will lie in: the ranked probability score
//! of the M6 competition (Makridakis et al. 2024; Epstein 1969).
//!
//! The chances of the fifths follow from the published distributions: the bounds between the fifths are those of all
//! instruments' distributions mixed, and an instrument's chance of a fifth is what its own distribution has between them.
//! So whoever moves more is likelier at both ends. Saying 1/5 for each scores 0.16.

use super::ranks::{NEEDED_INSTRUMENTS, average_ranks};
use crate::conformal::Calibration;

/// Into so many parts a session's returns are ranked.
const FIFTHS: usize = 5;
/// Each distribution gives so many evenly spaced quantiles to the mixture.
const MIXED: usize = 10;

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
    let n = forecasts.len();
    if n < NEEDED_INSTRUMENTS {
        return None;
    }
    let bounds = bounds(calibration, forecasts);
    let ranks = average_ranks(actual.iter().copied(), &mut Vec::new());
    let (mut score, mut uniform) = (0.0, 0.0);
    for (&(expected, scale), rank) in forecasts.iter().zip(ranks) {
        let fifth = ((rank - 0.5) / n as f64 * FIFTHS as f64) as usize;
        for (place, &bound) in bounds.iter().enumerate() {
            let below = f64::from(u8::from(fifth <= place));
            score += (calibration.cumulative(expected, scale, bound) - below).powi(2);
            uniform += ((place + 1) as f64 / FIFTHS as f64 - below).powi(2);
        }
    }
    let mean = |sum: f64| sum / (FIFTHS * n) as f64;
    Some(Ranked { score: mean(score), uniform: mean(uniform) })
}

/// The four bounds between the fifths of all distributions mixed.
fn bounds(calibration: &Calibration, forecasts: &[(f64, f64)]) -> [f64; FIFTHS - 1] {
    let scores: [f64; MIXED] =
        std::array::from_fn(|k| calibration.grid[(2 * k + 1) * calibration.grid.len() / (2 * MIXED)]);
    let mixed = forecasts.iter().flat_map(|(expected, scale)| scores.map(|score| expected + score * scale));
    let mut mixed: Vec<f64> = mixed.collect();
    let places: [usize; FIFTHS - 1] = std::array::from_fn(|k| (k + 1) * mixed.len() / FIFTHS);
    let mut from = 0;
    places.map(|place| {
        let (below, at, _) = mixed[from..].select_nth_unstable_by(place - from, f64::total_cmp);
        // Halfway to the value below it, so that distributions which are all alike are parted where they should be.
        let bound = f64::midpoint(below.iter().copied().fold(f64::NEG_INFINITY, f64::max), *at);
        from = place;
        bound
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::conformal::Scale;

    /// Uniform between −1 and 1.
    fn calibration() -> Calibration {
        let scores = (0..2001).map(|i| f64::from(i) / 1000.0 - 1.0).collect();
        Calibration::from_scores(Scale::Constant, scores).unwrap()
    }

    fn actual() -> Vec<f64> {
        (0..100).map(|i| f64::from(i * 37 % 100)).collect()
    }

    #[test]
    fn saying_one_fifth_for_each_scores_sixteen_hundredths_and_so_do_forecasts_that_are_all_alike() {
        let ranked = score(&calibration(), &[(0.0, 1.0); 100], &actual()).unwrap();
        assert!((ranked.uniform - 0.16).abs() < 1e-12);
        assert!((ranked.score - 0.16).abs() < 1e-3, "{}", ranked.score);
    }

    #[test]
    fn knowing_the_order_scores_next_to_nothing_and_the_reverse_more_than_guessing() {
        let known: Vec<(f64, f64)> = actual().iter().map(|&rank| (rank, 1e-3)).collect();
        assert!(score(&calibration(), &known, &actual()).unwrap().score < 0.01);
        let reverse: Vec<(f64, f64)> = actual().iter().map(|&rank| (-rank, 1e-3)).collect();
        assert!(score(&calibration(), &reverse, &actual()).unwrap().score > 0.3);
    }

    #[test]
    fn knowing_who_moves_more_beats_guessing_without_knowing_where_to() {
        // Half of the instruments move ten times as much as the others.
        let scale = |i: usize| if i.is_multiple_of(2) { 1.0 } else { 0.1 };
        let forecasts: Vec<(f64, f64)> = (0..100).map(|i| (0.0, scale(i))).collect();
        let actual: Vec<f64> =
            (0..100).map(|i| scale(i) * (((i / 2) * 17 % 50) as f64 / 25.0 - 0.98)).collect();
        let ranked = score(&calibration(), &forecasts, &actual).unwrap();
        assert!(ranked.score < 0.15, "{ranked:?}");
        assert_eq!(score(&calibration(), &forecasts[..19], &actual[..19]), None, "too few to rank");
    }
}
