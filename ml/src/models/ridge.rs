//! Ridge regression (Hoerl & Kennard 1970): least squares with a penalty on large weights.
//!
//! For each cutoff: argmin ‖y − b − Z w‖² + α ‖w‖², b without penalty; solved by Cholesky from the sums of `gram.rs`.

use linfa_linalg::cholesky::SolveC;
use ndarray::Array2;

use super::gram::{Gathered, Gram, grams, needed_rows};
use super::{FitError, Fitted, Forecaster, Linear, Task};

/// Ridge regression with its penalty.
pub(super) struct Ridge {
    pub alpha: f64,
}

impl Forecaster for Ridge {
    fn needed_rows(&self, features: usize) -> usize {
        needed_rows(features)
    }

    fn fit(&self, task: &Task<'_>, cutoffs: &[i32]) -> Result<Vec<Fitted>, FitError> {
        grams(task, cutoffs)?.iter().map(|gram| Ok(Fitted::Linear(self.solve(gram)?))).collect()
    }
}

/// Ridge regression on more rows than fit into memory: tables come one after the other, each is looked at once and can
/// then be dropped. What is learned is what [`super::Family::Ridge`] learns from all of them together, but for rounding.
pub struct RidgeByParts {
    ridge: Ridge,
    cutoff: i32,
    gathered: Option<Gathered>,
}

impl RidgeByParts {
    /// Learns with a penalty from labels that ended before a cutoff (days since 1970-01-01).
    pub fn new(alpha: f64, cutoff: i32) -> Self {
        Self { ridge: Ridge { alpha }, cutoff, gathered: None }
    }

    /// Looks at the rows of another table; all have the same columns.
    ///
    /// # Errors
    /// When the first table has too few rows.
    pub fn add(&mut self, task: &Task<'_>) -> Result<(), FitError> {
        match &mut self.gathered {
            Some(gathered) => gathered.add(task, self.cutoff),
            none => *none = Some(Gathered::begin(task, self.cutoff)?),
        }
        Ok(())
    }

    /// What all tables taught.
    ///
    /// # Errors
    /// When there was no table, the first was unlike the others, or the equations have no solution.
    pub fn fit(&self) -> Result<Fitted, FitError> {
        let gram = self.gathered.as_ref().and_then(Gathered::gram).ok_or(FitError::Singular)?;
        Ok(Fitted::Linear(self.ridge.solve(&gram)?))
    }
}

impl Ridge {
    fn solve(&self, gram: &Gram) -> Result<Linear, FitError> {
        let width = gram.label();
        let mut left = Array2::from_shape_fn((width, width), |(a, b)| {
            gram.product(a, b) + if a == b { self.alpha } else { 0.0 }
        });
        let right = Array2::from_shape_fn((width, 1), |(a, _)| gram.product(a, width));
        let solution = left.solvec(&right).map_err(|_| FitError::Singular)?;
        gram.linear(solution.iter().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::features::{FeatureTable, Inputs, Labels};
    use crate::models::Family;
    use crate::{Panel, days, testing};

    fn world(panel: &Panel) -> (FeatureTable, Labels) {
        let features = FeatureTable::compute(&Inputs::of(panel));
        let labels = Labels::new(panel, &features, 1);
        (features, labels)
    }

    #[test]
    fn parts_teach_what_the_whole_teaches() {
        let panel = testing::panel(9, 500, 5);
        let cutoff = days::day(panel.sessions()[450]);
        let (features, labels) = world(&panel);
        let task = Task { features: &features, labels: &labels };
        let whole = Family::Ridge { alpha: 10.0 }.forecaster().fit(&task, &[cutoff]).unwrap();
        let mut parts = RidgeByParts::new(10.0, cutoff);
        for keys in panel.keys().chunks(4) {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let (features, labels) = world(&panel.only(&keys));
            parts.add(&Task { features: &features, labels: &labels }).unwrap();
        }
        let together = parts.fit().unwrap();
        let mut values = Vec::new();
        for row in (0..features.len()).filter(|&row| features.usable(row)) {
            features.row(row, &mut values);
            let (a, b) = (whole[0].predict(&values), together.predict(&values));
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
        assert_eq!(RidgeByParts::new(10.0, cutoff).fit(), Err(FitError::Singular));
    }
}
