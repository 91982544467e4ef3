//! What a forecast is held against: the log return over the next rows of the same instrument.

use crate::features::FeatureTable;
use crate::panel::Panel;

/// Per row of a panel, `y = ln(C_{t+h} / C_t)` and the session on which it ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    horizon: usize,
    value: Vec<f64>,
    end: Vec<i32>,
}

impl Labels {
    /// The labels of all rows, `horizon` rows ahead.
    pub fn new(panel: &Panel, features: &FeatureTable, horizon: usize) -> Self {
        let mut value = vec![f64::NAN; panel.len()];
        let mut end = vec![i32::MAX; panel.len()];
        for instrument in 0..panel.keys().len() {
            let rows = panel.rows(instrument);
            let (log_close, session) =
                (&features.log_close()[rows.clone()], panel.series(instrument).session);
            for t in 0..rows.len().saturating_sub(horizon) {
                value[rows.start + t] = log_close[t + horizon] - log_close[t];
                end[rows.start + t] = session[t + horizon];
            }
        }
        Self { horizon, value, end }
    }

    /// The same labels with other values where they end on a day or later.
    #[must_use]
    pub(crate) fn with_values_from(&self, day: i32, mut value: impl FnMut() -> f64) -> Self {
        let mut changed = self.clone();
        for (old, &end) in changed.value.iter_mut().zip(&self.end) {
            if end >= day && old.is_finite() {
                *old = value();
            }
        }
        changed
    }

    /// The number of rows ahead.
    pub fn horizon(&self) -> usize {
        self.horizon
    }

    /// The log return, or NaN where the panel ends before it does.
    ///
    /// # Panics
    /// When there are not that many rows.
    pub fn value(&self, row: usize) -> f64 {
        self.value[row]
    }

    /// The session on which the label ends, as days since 1970-01-01; the largest number where there is none.
    ///
    /// # Panics
    /// When there are not that many rows.
    pub fn end(&self, row: usize) -> i32 {
        self.end[row]
    }
}
