//! The baseline to beat: every instrument drifts by the mean of all returns seen so far.

use super::{FitError, Fitted, Forecaster, Task, require};

/// A mean of fewer returns says nothing.
const NEEDED_ROWS: usize = 20;

/// Expects the mean training label.
pub(super) struct Drift;

/// The mean of all labels that end before a day; nothing where there are too few.
pub fn drift(task: &Task<'_>, cutoff: i32) -> Option<f64> {
    match Drift.fit(task, &[cutoff]).as_deref() {
        Ok([Fitted::Constant(drift)]) => Some(*drift),
        Ok(_) | Err(_) => None,
    }
}

impl Forecaster for Drift {
    fn needed_rows(&self, _: usize) -> usize {
        NEEDED_ROWS
    }

    fn fit(&self, task: &Task<'_>, cutoffs: &[i32]) -> Result<Vec<Fitted>, FitError> {
        let mut entering = vec![(0_usize, 0.0_f64); cutoffs.len() + 1];
        for row in (0..task.features.len()).filter(|&row| task.labelled(row)) {
            let entry = &mut entering[task.entry(row, cutoffs)];
            entry.0 += 1;
            entry.1 += task.labels.value(row);
        }
        let (mut rows, mut sum) = (0, 0.0);
        cutoffs
            .iter()
            .zip(entering)
            .map(|(&cutoff, (more, returns))| {
                rows += more;
                sum += returns;
                require(rows, NEEDED_ROWS, cutoff)?;
                Ok(Fitted::Constant(sum / rows as f64))
            })
            .collect()
    }
}
