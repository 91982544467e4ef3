//! The baseline that expects nothing: tomorrow's price is today's.

use super::{FitError, Fitted, Forecaster, Task};

/// Expects a return of zero.
pub(super) struct Zero;

impl Forecaster for Zero {
    fn needed_rows(&self, _: usize) -> usize {
        0
    }

    fn fit(&self, _task: &Task<'_>, cutoffs: &[i32]) -> Result<Vec<Fitted>, FitError> {
        Ok(cutoffs.iter().map(|_| Fitted::Constant(0.0)).collect())
    }
}
