//! The autoregression on ranges as a model of scale.

use super::{ScaleModel, fit, scale};
use crate::features::{FeatureTable, Labels};
use crate::models::FitError;

/// Learns from the columns of [`table`](super::table).
#[derive(Debug, Clone, Copy)]
pub struct Autoregression<'a>(pub &'a FeatureTable);

impl ScaleModel for Autoregression<'_> {
    fn scales(&self, labels: &Labels, cutoffs: &[i32]) -> Result<Vec<Vec<f64>>, FitError> {
        let mut values = Vec::new();
        let learned = fit(self.0, labels, cutoffs)?;
        let each = learned.iter().map(|learned| {
            let of = |row| {
                self.0.row(row, &mut values);
                scale(learned, &values).unwrap_or(f64::NAN)
            };
            (0..self.0.len()).map(of).collect()
        });
        Ok(each.collect())
    }
}
