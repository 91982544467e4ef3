//! Model families: each learns from the past of all instruments together and gives one number per row, the expected
//! log return. How far off it may be is the business of [`crate::conformal`].
//!
//! To add a family: one file here with a type that is a [`Forecaster`], one variant of [`Family`], and, if it learns
//! something new, one of [`Fitted`]; the compiler then asks for the rest, and the contract tests at the end of this
//! file run on it.

mod drift;
mod moments;
mod ridge;
mod zero;

use serde::{Deserialize, Serialize};

use crate::days;
use crate::features::{FeatureTable, Labels};

/// Standardised features are clipped to this many standard deviations, so that one bad print cannot decide.
pub const CLIP: f64 = 5.0;

/// A model family with what has to be chosen before it learns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "snake_case")]
pub enum Family {
    /// Every return is zero.
    Zero,
    /// Every return is the mean of those seen.
    Drift,
    /// Least squares on standardised features with a penalty on large coefficients.
    Ridge {
        /// The weight of the penalty, in rows.
        alpha: f64,
    },
}

impl Family {
    /// Its stable name, without the choices.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Drift => "drift",
            Self::Ridge { .. } => "ridge",
        }
    }

    /// The family as something that learns.
    pub fn forecaster(&self) -> Box<dyn Forecaster> {
        match *self {
            Self::Zero => Box::new(zero::Zero),
            Self::Drift => Box::new(drift::Drift),
            Self::Ridge { alpha } => Box::new(ridge::Ridge { alpha }),
        }
    }
}

/// Features and labels of the same rows.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// What may be looked at.
    pub features: &'a FeatureTable,
    /// What is to be forecast.
    pub labels: &'a Labels,
}

impl Task<'_> {
    /// Whether a row has all features and a label.
    pub fn labelled(&self, row: usize) -> bool {
        self.features.usable(row) && self.labels.value(row).is_finite()
    }

    /// The first of the (rising) cutoffs that the row may be learned for: its label has ended before that day. The
    /// number of cutoffs when there is none. This is the purge: no label used in training reaches into the test.
    pub fn entry(&self, row: usize, cutoffs: &[i32]) -> usize {
        let end = self.labels.end(row);
        cutoffs.partition_point(|&cutoff| cutoff <= end)
    }
}

/// Something that learns expected returns.
pub trait Forecaster {
    /// Learns once for each cutoff (days since 1970-01-01, rising) from all labelled rows whose label has ended before
    /// it. Later rows have no influence whatever. Families learn all cutoffs together because the sums they need grow
    /// from one to the next.
    ///
    /// # Errors
    /// When there are too few rows before the first cutoff, or the equations have no solution.
    fn fit(&self, task: &Task<'_>, cutoffs: &[i32]) -> Result<Vec<Fitted>, FitError>;
}

/// Why a family could not learn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// There is too little to learn from.
    #[error("only {found} rows with a label ended before {before}; at least {needed} are needed")]
    TooFewRows {
        /// The cutoff.
        before: chrono::NaiveDate,
        /// Rows there are.
        found: usize,
        /// Rows needed.
        needed: usize,
    },
    /// The equations have no solution.
    #[error("the normal equations are singular; a larger penalty would help")]
    Singular,
}

/// What a family has learned.
#[derive(Debug, Clone, PartialEq)]
pub enum Fitted {
    /// The same return for every row.
    Constant(f64),
    /// A weighted sum of standardised features.
    Linear(Linear),
}

/// A weighted sum of features, each standardised by the training rows' mean and population standard deviation and
/// clipped to ±[`CLIP`].
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// Per feature, the mean of the training rows.
    pub mean: Vec<f64>,
    /// Per feature, the population standard deviation of the training rows; 1 where it was 0.
    pub std: Vec<f64>,
    /// Per feature, the weight of its standardised value (log return).
    pub coefficient: Vec<f64>,
    /// The expected log return where all features are at their mean.
    pub intercept: f64,
}

impl Fitted {
    /// The expected log return of a row with these features.
    pub fn predict(&self, features: &[f64]) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Linear(linear) => linear.predict(features),
        }
    }
}

impl Linear {
    /// A feature's standardised and clipped value.
    ///
    /// # Panics
    /// When there are not that many features.
    pub fn standardised(&self, feature: usize, value: f64) -> f64 {
        ((value - self.mean[feature]) / self.std[feature]).clamp(-CLIP, CLIP)
    }

    fn predict(&self, features: &[f64]) -> f64 {
        let weighted = features
            .iter()
            .zip(&self.mean)
            .zip(&self.std)
            .zip(&self.coefficient)
            .map(|(((value, mean), std), weight)| weight * ((value - mean) / std).clamp(-CLIP, CLIP));
        self.intercept + weighted.sum::<f64>()
    }
}

fn require(found: usize, needed: usize, cutoff: i32) -> Result<(), FitError> {
    if found >= needed {
        Ok(())
    } else {
        Err(FitError::TooFewRows { before: days::date(cutoff), found, needed })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::features::Inputs;
    use crate::testing;

    const FAMILIES: [Family; 3] = [Family::Zero, Family::Drift, Family::Ridge { alpha: 10.0 }];

    fn bits(fitted: &Fitted) -> Vec<u64> {
        match fitted {
            Fitted::Constant(value) => vec![value.to_bits()],
            Fitted::Linear(linear) => [&linear.mean, &linear.std, &linear.coefficient]
                .into_iter()
                .flatten()
                .chain([&linear.intercept])
                .map(|value| value.to_bits())
                .collect(),
        }
    }

    #[test]
    fn every_family_learns_nothing_from_labels_that_end_at_or_after_the_cutoff() {
        let panel = testing::panel(4, 400, 7);
        let sessions = panel.sessions();
        let cutoffs = [days::day(sessions[200]), days::day(sessions[300])];
        // The same past with another future: prices from the second cutoff on are halved, day by day.
        let mut bars = panel.bars().clone();
        for row in 0..bars.len() {
            if bars.session[row] >= cutoffs[1] {
                bars.close[row] *= 1.0 + 0.5 * f64::from(bars.session[row] % 2);
            }
        }
        let other = crate::Panel::new(bars);
        for family in FAMILIES {
            let fit = |panel: &crate::Panel| {
                let features = FeatureTable::compute(&Inputs::of(panel));
                let labels = Labels::new(panel, &features, 5);
                family.forecaster().fit(&Task { features: &features, labels: &labels }, &cutoffs).unwrap()
            };
            for (a, b) in fit(&panel).iter().zip(&fit(&other)) {
                assert_eq!(bits(a), bits(b), "{}", family.name());
            }
        }
    }

    #[test]
    fn every_family_gives_one_finite_model_per_cutoff_and_the_same_when_asked_alone() {
        let panel = testing::panel(4, 400, 3);
        let features = FeatureTable::compute(&Inputs::of(&panel));
        let labels = Labels::new(&panel, &features, 1);
        let task = Task { features: &features, labels: &labels };
        let sessions = panel.sessions();
        let cutoffs: Vec<i32> = [150, 250, 399].map(|i| days::day(sessions[i])).to_vec();
        for family in FAMILIES {
            let together = family.forecaster().fit(&task, &cutoffs).unwrap();
            assert_eq!(together.len(), cutoffs.len());
            let alone = family.forecaster().fit(&task, &cutoffs[2..]).unwrap();
            let mut values = Vec::new();
            for row in (0..panel.len()).filter(|&row| features.usable(row)) {
                features.row(row, &mut values);
                let (a, b) = (together[2].predict(&values), alone[0].predict(&values));
                assert!(a.is_finite() && (a - b).abs() < 1e-13, "{}: {a} {b}", family.name());
            }
        }
    }

    #[test]
    fn families_that_learn_say_when_there_is_too_little_to_learn_from() {
        let panel = testing::panel(1, 62, 3);
        let features = FeatureTable::compute(&Inputs::of(&panel));
        let labels = Labels::new(&panel, &features, 1);
        let task = Task { features: &features, labels: &labels };
        let cutoff = [days::day(panel.sessions()[61])];
        for family in &FAMILIES[1..] {
            let refused = family.forecaster().fit(&task, &cutoff).unwrap_err();
            assert!(matches!(refused, FitError::TooFewRows { .. }), "{refused}");
        }
    }
}
