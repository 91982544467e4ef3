//! What the prices of a day say about its variance, and the night before it apart from the day.

use super::window::mean_of_last;
use crate::panel::Series;

/// Four times the logarithm of two: the variance of a driftless random walk is its squared log range over this
/// (Parkinson 1980).
const PARKINSON: f64 = 4.0 * std::f64::consts::LN_2;
/// What of the squared way from open to close is taken off half the squared range (Garman & Klass 1980).
const GARMAN_KLASS: f64 = 2.0 * std::f64::consts::LN_2 - 1.0;

/// Added to a variance before its logarithm is taken.
const SMALLEST_VARIANCE: f64 = 1e-6;

/// The logarithm of the mean variance of the last `window` rows up to the one at `t`, or of as many as there are from `first`
/// on; NaN before it.
pub(crate) fn log_mean_variance(variance: &[f64], window: usize, first: usize, t: usize) -> f64 {
    log_variance(mean_of_last(variance, window, first, t))
}

/// The logarithm of a variance.
pub(crate) fn log_variance(variance: f64) -> f64 {
    libm::log(variance + SMALLEST_VARIANCE)
}

/// The variance of a day by its range (Parkinson 1980); NaN where high or low are missing. High and low of some sources
/// contradict the close: it counts as traded.
pub(crate) fn parkinson(series: &Series<'_>, t: usize) -> f64 {
    if series.high[t].is_nan() || series.low[t].is_nan() {
        return f64::NAN;
    }
    let (high, low) = (series.high[t].max(series.close[t]), series.low[t].min(series.close[t]));
    let range = libm::log(high / low);
    range * range / PARKINSON
}

/// The variance of a day by its range and its way from open to close (Garman & Klass 1980); NaN where open, high or low
/// are missing. It is never below zero, as both ends of the day count as traded.
fn garman_klass(series: &Series<'_>, t: usize) -> f64 {
    if series.open[t].is_nan() || series.high[t].is_nan() || series.low[t].is_nan() {
        return f64::NAN;
    }
    let (open, close) = (series.open[t], series.close[t]);
    let range = libm::log(series.high[t].max(open).max(close) / series.low[t].min(open).min(close));
    let body = libm::log(close / open);
    0.5 * range * range - GARMAN_KLASS * (body * body)
}

/// The moves of the rows of a run, from one of them on; earlier rows and the first of the run have none (NaN).
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// The log return of the night, from the close before to the open; 0 where the open is missing.
    pub night: Vec<f64>,
    /// The log return of the day, from the open to the close; that of both where the open is missing.
    pub day: Vec<f64>,
    /// [`parkinson`], or the squared daily return where that is missing.
    pub parkinson: Vec<f64>,
    /// [`garman_klass`], or the squared daily return where that is missing.
    pub garman_klass: Vec<f64>,
}

impl Moves {
    /// Takes those of a run, whose closes have these logarithms, from the row `from` on to the row before `end`.
    pub fn take(&mut self, series: &Series<'_>, log_close: &[f64], from: usize, end: usize) {
        for column in [&mut self.night, &mut self.day, &mut self.parkinson, &mut self.garman_klass] {
            column.clear();
            column.resize(end, f64::NAN);
        }
        for t in from.max(1)..end {
            let whole = log_close[t] - log_close[t - 1];
            let night = libm::log(series.open[t]) - log_close[t - 1];
            self.night[t] = if night.is_nan() { 0.0 } else { night };
            self.day[t] = whole - self.night[t];
            let or_squared = |variance: f64| if variance.is_nan() { whole * whole } else { variance };
            self.parkinson[t] = or_squared(parkinson(series, t));
            self.garman_klass[t] = or_squared(garman_klass(series, t));
        }
    }
}

/// The place of the close in the range of the day, from -0.5 (the low) to 0.5 (the high); 0 where there was no range, or
/// none is known.
pub(super) fn place_in_range(series: &Series<'_>, t: usize) -> f64 {
    let (high, low) = (series.high[t].max(series.close[t]), series.low[t].min(series.close[t]));
    let known = !series.high[t].is_nan() && !series.low[t].is_nan() && high > low;
    if known { (series.close[t] - low) / (high - low) - 0.5 } else { 0.0 }
}
