//! Where the rows lay that a model learned from.

use crate::features::FeatureTable;

/// Per feature, mean and population standard deviation of the training rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: Vec<f64>,
    /// The deviation; 1 where it was 0.
    pub std: Vec<f64>,
}

impl Spread {
    /// Of the usable rows up to a session (days since 1970-01-01).
    pub(crate) fn of(features: &FeatureTable, last: i32) -> Self {
        let seen = |&row: &usize| features.usable(row) && features.sessions()[row] <= last;
        let rows: Vec<u32> = (0..features.len()).filter(seen).map(|row| row as u32).collect();
        let columns =
            (0..features.names().len()).map(|feature| Self::of_column(features.column(feature), &rows));
        let (mean, std) = columns.unzip();
        Self { mean, std }
    }

    /// How many deviations a value of a feature lies from the mean.
    ///
    /// # Panics
    /// When there are not that many features.
    pub(crate) fn distance(&self, feature: usize, value: f64) -> f64 {
        (value - self.mean[feature]) / self.std[feature]
    }

    /// Mean and deviation of some rows of a column.
    pub(crate) fn of_column(column: &[f64], rows: &[u32]) -> (f64, f64) {
        let count = rows.len().max(1) as f64;
        let values = || rows.iter().map(|&row| column[row as usize]);
        let mean = values().sum::<f64>() / count;
        let std = (values().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count).sqrt();
        (mean, if std > 0.0 { std } else { 1.0 })
    }
}
