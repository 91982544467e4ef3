//! Variance of a day from its prices.

use crate::panel::Series;

/// Four times the logarithm of two: the variance of a driftless random walk is its squared log range over this
/// (Parkinson 1980).
const PARKINSON: f64 = 4.0 * std::f64::consts::LN_2;

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
            // High and low of some sources contradict the close: it counts as traded.
            let high = series.high[t].max(series.close[t]);
            let low = series.low[t].min(series.close[t]);
            let day = square(libm::log(high / low)) / PARKINSON;
            let gap = square(libm::log(series.open[t]) - log_close[t - 1]);
            let known = !(series.high[t].is_nan() || series.low[t].is_nan() || gap.is_nan());
            whole[t] = if known { day + gap } else { square(log_close[t] - log_close[t - 1]) };
            night[t] = if gap.is_nan() { 0.0 } else { gap };
        }
        Self { whole, night }
    }
}

fn square(value: f64) -> f64 {
    value * value
}
