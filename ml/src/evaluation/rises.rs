//! Whether the probabilities of a rise get better when they are calibrated once more on what became of earlier ones.
//!
//! Each scored quarter is corrected by what was learned from the scored quarters before it, on outcomes known when it began:
//! by Platt's (1999) logistic curve through the log odds, or by isotonic regression (Zadrozny & Elkan 2002; pool adjacent
//! violators, Ayer et al. 1955). The first quarter has nothing to learn from and is left out for all. A correction is
//! worth keeping only if it scores better there; what it scored is published either way.

use serde::{Deserialize, Serialize};

use super::bootstrap::{Draws, Series};
use super::intervals::Published;
use super::walk::TestRows;
use crate::days;

/// Probabilities are counted in so many bins between 0 and 1.
const BINS: usize = 400;
/// No correction claims more than this.
const FARTHEST: f64 = 0.99;
/// Rows a correction is learned from at least.
const NEEDED_ROWS: f64 = 200.0;
/// Steps of Newton's method; it ends far earlier.
const STEPS: usize = 50;

/// A way of correcting probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// As the distributions give them; what is published.
    None,
    /// A logistic curve.
    Platt,
    /// A rising step function.
    Isotonic,
}

/// What a correction scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Corrected {
    /// Which.
    pub correction: Correction,
    /// Rows scored, the same for all.
    pub rows: usize,
    /// Mean squared error of the corrected probability.
    pub brier: f64,
    /// Mean of minus the logarithm of the probability given to what happened.
    pub log_score: f64,
    /// The Brier score less that without correction, lower is better, with its 95% interval where there are sessions enough.
    pub difference: f64,
    /// The lower end.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
}

/// Scores all corrections; empty where there are fewer than two quarters.
pub(super) fn corrections(
    rows: &TestRows,
    by_session: &[Vec<u32>],
    published: &Published,
    draws: &Draws,
) -> Vec<Corrected> {
    let mut fold = usize::MAX;
    let mut curves = None;
    let (mut brier, mut log_score): ([Series; 3], [Series; 3]) = Default::default();
    for day in by_session {
        let own = usize::from(rows.fold[day[0] as usize]);
        if own != fold {
            fold = own;
            curves = Curves::learn(rows, published, fold);
        }
        let (mut squared, mut logarithms) = ([0.0; 3], [0.0; 3]);
        if let Some(curves) = &curves {
            for i in day.iter().map(|&i| i as usize) {
                let rose = rows.actual[i] > 0.0;
                for (place, up) in curves.all(published.probability_up[i]).into_iter().enumerate() {
                    squared[place] += (up - f64::from(u8::from(rose))).powi(2);
                    logarithms[place] -= libm::log(if rose { up } else { 1.0 - up });
                }
            }
        }
        let weight = if curves.is_some() { day.len() as f64 } else { 0.0 };
        for (all, sums) in [(&mut brier, squared), (&mut log_score, logarithms)] {
            for (series, sum) in all.iter_mut().zip(sums) {
                series.sum.push(sum);
                series.weight.push(weight);
            }
        }
    }
    let scored = brier[0].weight.iter().sum::<f64>();
    if scored == 0.0 {
        return Vec::new();
    }
    let names = [Correction::None, Correction::Platt, Correction::Isotonic];
    let measured = names.into_iter().enumerate().map(|(place, correction)| {
        let spread = draws.spread_of_difference(&brier[place], &brier[0]);
        Corrected {
            correction,
            rows: scored as usize,
            brier: brier[place].value(),
            log_score: log_score[place].value(),
            difference: brier[place].value() - brier[0].value(),
            low: spread.map(|spread| spread.low),
            high: spread.map(|spread| spread.high),
        }
    });
    measured.collect()
}

/// What was learned before a quarter.
struct Curves {
    platt: (f64, f64),
    isotonic: Vec<f64>,
}

impl Curves {
    /// Learns from scored rows of earlier quarters whose outcome was known when the quarter began.
    fn learn(rows: &TestRows, published: &Published, fold: usize) -> Option<Self> {
        let start = days::day(rows.folds[fold].start);
        let mut bins = vec![(0.0, 0.0); BINS];
        let known = (rows.first_scored..rows.len())
            .filter(|&i| usize::from(rows.fold[i]) < fold && rows.end[i] < start);
        for i in known {
            let (count, rises) = &mut bins[bin(published.probability_up[i])];
            *count += 1.0;
            *rises += f64::from(u8::from(rows.actual[i] > 0.0));
        }
        let count: f64 = bins.iter().map(|(count, _)| count).sum();
        (count >= NEEDED_ROWS).then(|| Self { platt: platt(&bins), isotonic: isotonic(&bins) })
    }

    /// A probability as it is, and by each correction.
    fn all(&self, up: f64) -> [f64; 3] {
        let (intercept, slope) = self.platt;
        let curve = 1.0 / (1.0 + libm::exp(-(intercept + slope * log_odds(up))));
        [up, curve, self.isotonic[bin(up)]].map(|up| up.clamp(1.0 - FARTHEST, FARTHEST))
    }
}

fn bin(up: f64) -> usize {
    ((up * BINS as f64) as usize).min(BINS - 1)
}

fn centre(bin: usize) -> f64 {
    (bin as f64 + 0.5) / BINS as f64
}

fn log_odds(up: f64) -> f64 {
    libm::log(up / (1.0 - up))
}

/// Intercept and slope of the log odds of a rise on those that were given, by Newton's method; the identity where the
/// probabilities do not vary.
fn platt(bins: &[(f64, f64)]) -> (f64, f64) {
    let (mut intercept, mut slope) = (0.0, 1.0);
    for _ in 0..STEPS {
        // Gradient and curvature; a little of the latter is added so that there always is a solution.
        let (mut g0, mut g1, mut h00, mut h01, mut h11) = (0.0, 0.0, 1e-9, 0.0, 1e-9);
        for (place, &(count, rises)) in bins.iter().enumerate().filter(|(_, bin)| bin.0 > 0.0) {
            let x = log_odds(centre(place));
            let p = 1.0 / (1.0 + libm::exp(-(intercept + slope * x)));
            let (off, weight) = (rises - count * p, count * p * (1.0 - p));
            g0 += off;
            g1 += off * x;
            h00 += weight;
            h01 += weight * x;
            h11 += weight * x * x;
        }
        let determinant = h00 * h11 - h01 * h01;
        if determinant <= 1e-6 * h00 * h11 {
            return (0.0, 1.0);
        }
        let (step0, step1) = ((h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant);
        intercept += step0;
        slope += step1;
        if step0.abs() + step1.abs() < 1e-10 {
            break;
        }
    }
    (intercept, slope)
}

/// The rising step function nearest to the shares of rises, one value per bin.
fn isotonic(bins: &[(f64, f64)]) -> Vec<f64> {
    // Blocks of neighbouring bins: count, rises, bins.
    let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
    let mut waiting = 0;
    for &(count, rises) in bins {
        if count == 0.0 {
            match blocks.last_mut() {
                Some(block) => block.2 += 1,
                None => waiting += 1,
            }
            continue;
        }
        blocks.push((count, rises, 1 + std::mem::take(&mut waiting)));
        while let [.., before, last] = blocks.as_slice() {
            if before.1 / before.0 < last.1 / last.0 {
                break;
            }
            let merged = (before.0 + last.0, before.1 + last.1, before.2 + last.2);
            blocks.truncate(blocks.len() - 2);
            blocks.push(merged);
        }
    }
    blocks.into_iter().flat_map(|(count, rises, bins)| std::iter::repeat_n(rises / count, bins)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bins in which a rise is as likely as a curve says.
    fn world(rise: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..BINS).map(|place| (1000.0, 1000.0 * rise(centre(place)))).collect()
    }

    #[test]
    fn right_probabilities_are_left_alone_by_both() {
        let right = world(|said| said);
        let (intercept, slope) = platt(&right);
        assert!(intercept.abs() < 1e-6 && (slope - 1.0).abs() < 1e-6, "{intercept} {slope}");
        assert!(isotonic(&right).iter().enumerate().all(|(place, up)| (up - centre(place)).abs() < 1e-9));
    }

    #[test]
    fn probabilities_that_say_too_much_are_drawn_in() {
        let odds = |said: f64| 1.0 / (1.0 + (-(0.1 + 0.5 * log_odds(said))).exp());
        let (intercept, slope) = platt(&world(odds));
        assert!((intercept - 0.1).abs() < 1e-6 && (slope - 0.5).abs() < 1e-6, "{intercept} {slope}");
    }

    #[test]
    fn the_step_function_never_falls_and_fills_bins_that_saw_nothing() {
        let mut bins = vec![(0.0, 0.0); BINS];
        bins[190] = (10.0, 6.0);
        bins[200] = (10.0, 4.0);
        bins[210] = (10.0, 7.0);
        let steps = isotonic(&bins);
        assert_eq!(steps.len(), BINS);
        assert!(steps.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(
            (steps[0] - 0.5).abs() < 1e-12
                && (steps[205] - 0.5).abs() < 1e-12
                && (steps[399] - 0.7).abs() < 1e-12
        );
    }

    #[test]
    fn where_all_probabilities_are_equal_the_curve_is_the_identity() {
        let mut bins = vec![(0.0, 0.0); BINS];
        bins[210] = (1000.0, 900.0);
        assert_eq!(platt(&bins), (0.0, 1.0));
    }
}
