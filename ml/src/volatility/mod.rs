//! How much an instrument is about to move, whichever way: the scale that a forecast's uncertainty is measured in.
//!
//! A heterogeneous autoregression of volatility (Corsi 2009) on the daily range (Parkinson 1980) with the night before
//! it, pooled over all instruments and learned as everything else is, from labels that had ended: least squares of
//! `ln(|y| + 0.001)` on means of past variance over days, weeks, months and a year, on the level of the instrument and
//! of the market, and on how far prices have fallen. [`Level`] corrects it from day to day.

mod autoregression;
mod columns;
#[cfg(test)]
mod contract;
pub mod garch;
mod level;
mod ranges;

use crate::features::{FeatureTable, Inputs, Labels};
use crate::models::{Family, FitError, Fitted, Task};
use crate::parallel::Threads;

pub use autoregression::Autoregression;
pub use garch::PooledGarch;
pub use level::Reaction;
pub(crate) use level::{Level, remembered_sessions};

/// Something that learns how far instruments move: the autoregression that is published, as trainings use it by [`fit`] and
/// [`scale()`] ([`Autoregression`]), and its rival ([`PooledGarch`]).
pub trait ScaleModel {
    /// Learns once for each cutoff (days since 1970-01-01, rising), from nothing that was not known by then, and gives for
    /// each the scale (log return over the labels' horizon) of every row of the panel; NaN where it has none.
    ///
    /// # Errors
    /// When there is too little to learn from before the first cutoff.
    fn scales(&self, labels: &Labels, cutoffs: &[i32]) -> Result<Vec<Vec<f64>>, FitError>;
}

/// What the scale is learned from, in their order; variances per day, logarithms natural.
pub const NAMES: [&str; 15] = [
    "range_1",
    "range_5",
    "range_22",
    "range_66",
    "range_250",
    "squares_94",
    "squares_97",
    "magnitude",
    "vol_z20",
    "fall_1",
    "fall_5",
    "market_range_5",
    "market_range_1",
    "below_high_250",
    "night_22",
];
/// The weight of the penalty on large coefficients, in rows: enough that columns which tell the same cannot pull
/// against each other.
const PENALTY: f64 = 10.0;
/// Added to a magnitude before its logarithm is taken, so that a day without a move says something finite.
pub(crate) const SMALLEST_MOVE: f64 = 1e-3;

/// The columns of [`NAMES`] for every row of a panel whose features are given.
pub fn table(inputs: &Inputs<'_>, features: &FeatureTable) -> FeatureTable {
    table_from(inputs, features, i32::MIN, Threads::ONE)
}

/// The same for the rows of a session (days since 1970-01-01) and of later ones alone, for which the features are there.
pub(crate) fn table_from(
    inputs: &Inputs<'_>,
    features: &FeatureTable,
    first: i32,
    threads: Threads,
) -> FeatureTable {
    let columns = columns::compute(inputs.panel, features, first, threads);
    FeatureTable::of_columns(NAMES.to_vec(), columns, features, first)
}

/// Learns the scale once for each cutoff from labels that ended before it.
///
/// # Errors
/// When there are too few rows before the first cutoff.
pub fn fit(table: &FeatureTable, labels: &Labels, cutoffs: &[i32]) -> Result<Vec<Fitted>, FitError> {
    let magnitudes = labels.magnitudes();
    let task = Task { features: table, labels: &magnitudes };
    Family::Ridge { alpha: PENALTY }.forecaster().fit(&task, cutoffs)
}

/// The scale of a row (log return over the horizon); nothing when a column has no value there.
pub fn scale(learned: &Fitted, values: &[f64]) -> Option<f64> {
    let scale = libm::exp(learned.predict(values));
    (scale.is_finite() && scale > 0.0).then_some(scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaks::check_table;
    use crate::testing;

    #[test]
    fn the_columns_look_at_nothing_later() {
        let panel = testing::panel(5, 320, 4);
        let inputs = Inputs::of(&panel);
        let compute = |inputs: &Inputs<'_>| table(inputs, &FeatureTable::compute(inputs));
        let checks = check_table(&inputs, &compute(&inputs), &compute, 3);
        assert!(checks.len() >= 4 && checks.iter().all(|check| check.failure.is_none()), "{checks:?}");
    }
}
