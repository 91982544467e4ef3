//! Variance of a day from its prices.

use crate::features::parkinson;
use crate::panel::Series;

/// The variance of a day and of the night before it.
pub(super) struct DayAndNight {
    /// From the range of the day plus the squared log return of the night; the squared daily return where high, low or
    /// open are missing; NaN in the first row, and before those asked for.
    pub whole: Vec<f64>,
    /// The squared log return from the close before to the open; 0 where there is none.
    pub night: Vec<f64>,
}

impl DayAndNight {
    /// Of the rows from one on of a series with these logarithms of its closes.
    pub fn of(series: &Series<'_>, log_close: &[f64], from: usize) -> Self {
        let rows = log_close.len();
        let (mut whole, mut night) = (vec![f64::NAN; rows], vec![0.0; rows]);
        for t in from.max(1)..rows {
            let day = parkinson(series, t);
            let gap = square(libm::log(series.open[t]) - log_close[t - 1]);
            let both = day + gap;
            whole[t] = if both.is_nan() { square(log_close[t] - log_close[t - 1]) } else { both };
            night[t] = if gap.is_nan() { 0.0 } else { gap };
        }
        Self { whole, night }
    }
}

fn square(value: f64) -> f64 {
    value * value
}
