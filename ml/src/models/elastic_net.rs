//! The elastic net (Zou & Hastie 2005): least squares with a penalty that sets small weights to zero, by linfa's
//! coordinate descent (Friedman, Hastie & Tibshirani 2010).
//!
//! For each cutoff: argmin ‖y − b − Z w‖² / 2n + α (ρ ‖w‖₁ + (1 − ρ) ‖w‖² / 2), b without penalty. The descent does not
//! see the n rows but the Cholesky factor of their sums of products: a few rows with the same sums, and so with the
//! same objective for every w. It costs no more than ridge.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_elasticnet::ElasticNet as Descent;
use ndarray::{Array1, Array2, ShapeBuilder};

use super::gram::{Gram, grams, needed_rows};
use super::{FitError, Fitted, Forecaster, Linear, Task};

/// Changes of weights this much smaller than the weights end the descent.
const TOLERANCE: f64 = 1e-8;
/// Far more than it ever takes.
const ROUNDS: u32 = 100_000;
/// A sum of squares this much smaller than before others were taken out of it is the rounding error of zero.
const NOTHING: f64 = 1e-12;

/// The elastic net with its penalty.
pub(super) struct ElasticNet {
    /// α.
    pub penalty: f64,
    /// ρ.
    pub l1_ratio: f64,
}

impl Forecaster for ElasticNet {
    fn needed_rows(&self, features: usize) -> usize {
        needed_rows(features)
    }

    fn fit(&self, task: &Task<'_>, cutoffs: &[i32]) -> Result<Vec<Fitted>, FitError> {
        grams(task, cutoffs)?.iter().map(|gram| Ok(Fitted::Linear(self.descend(gram)?))).collect()
    }
}

impl ElasticNet {
    fn descend(&self, gram: &Gram) -> Result<Linear, FitError> {
        let factor = factor(gram);
        let width = gram.label();
        // linfa divides by the rows it sees.
        let scale = ((width + 1) as f64 / gram.rows).sqrt();
        // Column after column, as the descent goes through them.
        let features = Array2::from_shape_fn((width + 1, width).f(), |(row, a)| scale * factor[(a, row)]);
        let label = Array1::from_shape_fn(width + 1, |row| scale * factor[(width, row)]);
        let learned = Descent::<f64>::params()
            .penalty(self.penalty)
            .l1_ratio(self.l1_ratio)
            .with_intercept(false)
            .tolerance(TOLERANCE)
            .max_iterations(ROUNDS)
            .fit(&Dataset::new(features, label))
            .map_err(|_| FitError::Singular)?;
        gram.linear(learned.hyperplane().to_vec())
    }
}

/// The lower Cholesky factor of the sums of products of features and label; where a variable is a sum of those before
/// it, nothing remains of it.
fn factor(gram: &Gram) -> Array2<f64> {
    let width = gram.label() + 1;
    let mut factor = Array2::<f64>::zeros((width, width));
    for a in 0..width {
        for b in 0..=a {
            let known: f64 = (0..b).map(|c| factor[(a, c)] * factor[(b, c)]).sum();
            let rest = gram.product(a, b) - known;
            factor[(a, b)] = if a == b {
                if rest > NOTHING * gram.product(a, a) { rest.sqrt() } else { 0.0 }
            } else if factor[(b, b)] > 0.0 {
                rest / factor[(b, b)]
            } else {
                0.0
            };
        }
    }
    factor
}
