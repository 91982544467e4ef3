//! Log returns over several rows, and mean and spread of the daily ones. Unit: log return; all are differences of
//! logarithms, so that a price level never enters.

use std::ops::Range;

use super::window;

/// Look-backs of the lagged returns, in rows.
pub(super) const LAGS: [usize; 5] = [1, 2, 5, 10, 20];
/// Windows of mean and spread, in rows.
pub(super) const WINDOWS: [usize; 3] = [5, 20, 60];

/// `ln(C_t / C_{t-lag})`, from row `lag` on.
pub(super) fn lagged(log_close: &[f64], lag: usize, rows: Range<usize>, out: &mut [f64]) {
    for (out, t) in out.iter_mut().zip(rows) {
        *out = if t >= lag { log_close[t] - log_close[t - lag] } else { f64::NAN };
    }
}

/// The mean of the last `window` daily returns, from row `window` on. The sum of daily log returns telescopes.
pub(super) fn mean(log_close: &[f64], window: usize, rows: Range<usize>, out: &mut [f64]) {
    for (out, t) in out.iter_mut().zip(rows) {
        *out = if t >= window { mean_at(log_close, window, t) } else { f64::NAN };
    }
}

/// The sample standard deviation of the last `window` daily returns, from row `window` on. `daily` holds the daily
/// returns of the rows it covers, the last of them that of the last row.
pub(super) fn spread(log_close: &[f64], daily: &[f64], window: usize, rows: Range<usize>, out: &mut [f64]) {
    for (out, t) in out.iter_mut().zip(rows) {
        *out = if t >= window {
            let end = daily.len() - (log_close.len() - 1 - t);
            window::sample_std(&daily[end - window..end], mean_at(log_close, window, t))
        } else {
            f64::NAN
        };
    }
}

fn mean_at(log_close: &[f64], window: usize, t: usize) -> f64 {
    (log_close[t] - log_close[t - window]) / window as f64
}
