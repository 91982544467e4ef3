//! Model families: each learns from the past of all instruments together and gives one number per row, the expected
//! log return. How far off it may be is the business of [`crate::conformal`].
//!
//! To add a family: one file here with a type that is a [`Forecaster`], one variant of [`Family`], and, if it learns
//! something new, one of [`Fitted`]; the compiler then asks for the rest. Once it stands in [`Family::TRAINABLE`] it can be
//! asked for everywhere by its name, and has to pass the tests of `contract.rs`. What is trained elsewhere passes those that
//! do not ask it to learn.

pub mod boosted;
#[cfg(test)]
mod contract;
mod drift;
mod elastic_net;
mod ensemble;
mod family;
mod fitted;
mod gram;
mod instrument_drift;
mod logistic;
mod moments;
mod onnx;
mod ridge;
mod spread;
mod zero;

use crate::days;
use crate::features::{FeatureTable, Labels};

pub use boosted::{Boosted, Choices};
pub use drift::drift;
pub use ensemble::Blend;
pub use family::Family;
pub use fitted::{CLIP, Fitted, Linear};
pub use instrument_drift::InstrumentDrifts;
pub use logistic::RiseOdds;
pub use onnx::Onnx;
pub use ridge::RidgeByParts;
pub use spread::Spread;

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
    /// How many rows it needs to learn from so many features.
    fn needed_rows(&self, features: usize) -> usize;

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
    /// The family learns nothing here.
    #[error("an imported model was trained elsewhere and cannot be trained here")]
    Imported,
    /// The equations have no solution.
    #[error("the normal equations are singular; a larger penalty would help")]
    Singular,
}

fn require(found: usize, needed: usize, cutoff: i32) -> Result<(), FitError> {
    if found >= needed {
        Ok(())
    } else {
        Err(FitError::TooFewRows { before: days::date(cutoff), found, needed })
    }
}
