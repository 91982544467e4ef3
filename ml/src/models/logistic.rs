//! Logistic regression (Cox 1958) for the probability of a rise, with a penalty as in ridge, by Newton's method on the
//! standardised and clipped features.
//!
//! For each cutoff: argmin Σ ln(1 + exp(−s (b + z w))) + α ‖w‖² / 2, s = 1 for a return above zero and −1 otherwise, b
//! without penalty. A probability says nothing of sizes; the expected return takes them from the training rows: the
//! mean of their rises with its probability, the mean of the others with the rest.

use linfa_linalg::cholesky::SolveC;
use ndarray::Array2;

use super::gram::{Gram, grams, needed_rows};
use super::moments::Moments;
use super::{FitError, Fitted, Forecaster, Linear, Task};
use crate::parallel::Threads;

/// Steps after which a solution is taken as found; three or four are the rule.
const STEPS: usize = 12;
/// A step this small is the last.
const LAST_STEP: f64 = 1e-10;
/// Rows handled at a time, so that they stay in the processor's cache.
const TILE: usize = 128;

/// Logistic regression with its penalty.
pub(super) struct Logistic {
    pub alpha: f64,
    pub threads: Threads,
}

/// The probability of a rise, and what rises and falls are worth.
#[derive(Debug, Clone, PartialEq)]
pub struct RiseOdds {
    /// The logarithm of the odds of a rise.
    pub log_odds: Linear,
    /// The mean training label above zero (log return).
    pub rise: f64,
    /// The mean of the others (log return).
    pub fall: f64,
}

impl RiseOdds {
    /// The probability of a return above zero.
    pub fn probability_up(&self, features: &[f64]) -> f64 {
        probability(self.log_odds.predict(features))
    }

    /// The expected log return.
    pub fn predict(&self, features: &[f64]) -> f64 {
        self.at(self.log_odds.predict(features))
    }

    /// The expected log return at a logarithm of the odds.
    pub(super) fn at(&self, log_odds: f64) -> f64 {
        let probability = probability(log_odds);
        probability * self.rise + (1.0 - probability) * self.fall
    }

    /// Per feature, its part of the way from where all are at their mean: along the straight line the odds change in
    /// proportion to the parts of the sum, and so does what is expected.
    pub(super) fn contributions(&self, features: &[f64]) -> Vec<f64> {
        let mut parts = self.log_odds.contributions(features);
        let way: f64 = parts.iter().sum();
        let start = self.log_odds.intercept;
        let slope = if way == 0.0 {
            let probability = probability(start);
            probability * (1.0 - probability) * (self.rise - self.fall)
        } else {
            (self.at(start + way) - self.at(start)) / way
        };
        for part in &mut parts {
            *part *= slope;
        }
        parts
    }
}

fn probability(log_odds: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-log_odds))
}

impl Forecaster for Logistic {
    fn needed_rows(&self, features: usize) -> usize {
        needed_rows(features)
    }

    fn fit(&self, task: &Task<'_>, cutoffs: &[i32]) -> Result<Vec<Fitted>, FitError> {
        let grams = grams(task, cutoffs)?;
        let fit = |at: usize| Ok(Fitted::RiseOdds(self.newton(task, cutoffs[at], &grams[at])?));
        self.threads.map(cutoffs.len(), fit).into_iter().collect()
    }
}

impl Logistic {
    fn newton(&self, task: &Task<'_>, cutoff: i32, gram: &Gram) -> Result<RiseOdds, FitError> {
        let width = gram.label();
        let known = |&row: &usize| task.labels.end(row) < cutoff && task.labelled(row);
        let rows: Vec<usize> = (0..task.features.len()).filter(known).collect();
        let (mut rises, mut of_rises, mut of_others) = (0.0, 0.0, 0.0);
        for &row in &rows {
            let label = task.labels.value(row);
            if label > 0.0 {
                rises += 1.0;
                of_rises += label;
            } else {
                of_others += label;
            }
        }
        let others = rows.len() as f64 - rises;
        if rises < 1.0 || others < 1.0 {
            return Err(FitError::Singular);
        }
        // Where all features are at their mean, the odds are those of all rows.
        let mut log_odds = gram.linear(vec![0.0; width])?;
        log_odds.intercept = libm::log(rises / others);
        for _ in 0..STEPS {
            let step = self.step(task, &rows, &log_odds)?;
            log_odds.coefficient.iter_mut().zip(&step).for_each(|(weight, step)| *weight += step);
            log_odds.intercept += step[width];
            if step.iter().any(|step| !step.is_finite()) {
                return Err(FitError::Singular);
            }
            if step.iter().all(|step| step.abs() < LAST_STEP) {
                break;
            }
        }
        Ok(RiseOdds { log_odds, rise: of_rises / rises, fall: of_others / others })
    }

    /// The change of the weights and, last, of the intercept.
    fn step(&self, task: &Task<'_>, rows: &[usize], log_odds: &Linear) -> Result<Vec<f64>, FitError> {
        let width = log_odds.coefficient.len();
        // Per row, its features, one, and the error, in units that make their products those Newton's step asks for.
        let mut moments = Moments::new(width + 2);
        let mut tile = Vec::with_capacity(TILE * (width + 2));
        for rows in rows.chunks(TILE) {
            tile.resize(rows.len() * (width + 2), 0.0);
            for feature in 0..width {
                let column = task.features.column(feature);
                for (row, place) in rows.iter().zip((feature..).step_by(width + 2)) {
                    tile[place] = log_odds.standardised(feature, column[*row]);
                }
            }
            for (&row, values) in rows.iter().zip(tile.chunks_exact_mut(width + 2)) {
                let weighted = values.iter().zip(&log_odds.coefficient).map(|(value, weight)| value * weight);
                let odds = log_odds.intercept + weighted.sum::<f64>();
                let probability = probability(odds);
                let root = (probability * (1.0 - probability)).max(f64::MIN_POSITIVE).sqrt();
                values[..width].iter_mut().for_each(|value| *value *= root);
                values[width] = root;
                let came = if task.labels.value(row) > 0.0 { 1.0 } else { 0.0 };
                values[width + 1] = (came - probability) / root;
            }
            moments.add(&tile);
        }
        let penalty = |a: usize| if a < width { self.alpha } else { 0.0 };
        let mut left = Array2::from_shape_fn((width + 1, width + 1), |(a, b)| {
            moments.product(a, b) + if a == b { penalty(a) } else { 0.0 }
        });
        let weight = |a: usize| log_odds.coefficient.get(a).copied().unwrap_or_default();
        let right = Array2::from_shape_fn((width + 1, 1), |(a, _)| {
            moments.product(a, width + 1) - penalty(a) * weight(a)
        });
        let step = left.solvec(&right).map_err(|_| FitError::Singular)?;
        Ok(step.iter().copied().collect())
    }
}
