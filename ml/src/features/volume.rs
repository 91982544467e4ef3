//! How unusual the volume is, and what it moves. Units: standard deviations; logarithms.

use std::ops::Range;

use super::window;
use crate::panel::Series;

const WINDOW: usize = 20;
/// Below this the volume counts as constant.
const CONSTANT: f64 = 1e-12;
/// Short and long windows of [`shocks`], in rows.
const SHOCKS: [(usize, usize); 2] = [(1, 20), (5, 60)];
/// Rows of [`illiquidity`].
const ILLIQUIDITY: usize = 20;
/// Prices times shares that [`illiquidity`] is per.
const TURNOVER: f64 = 1e9;
/// Added to it before its logarithm is taken.
const SMALLEST_ILLIQUIDITY: f64 = 1e-8;

/// The z-score of ln(1 + volume) over the last 20 rows, this one included, from row 19 on; 0 where the volume did not
/// change. `logs` is room for working.
pub(super) fn z_score(volume: &[f64], rows: Range<usize>, logs: &mut Vec<f64>, out: &mut [f64]) {
    let first = (rows.start + 1).saturating_sub(WINDOW);
    logs.clear();
    logs.extend(volume[first..rows.end].iter().map(|&volume| libm::log1p(volume)));
    for (out, t) in out.iter_mut().zip(rows) {
        *out = if t + 1 >= WINDOW {
            let window = &logs[t + 1 - WINDOW - first..t + 1 - first];
            let mean = window::sum(window) / WINDOW as f64;
            let spread = window::sample_std(window, mean);
            if spread <= CONSTANT { 0.0 } else { (window[WINDOW - 1] - mean) / spread }
        } else {
            f64::NAN
        };
    }
}

/// The mean of ln(1 + volume) over 1 and 5 rows less that over 20 and 60, or over as many as there are. `logs` is room for
/// working.
pub(super) fn shocks(volume: &[f64], rows: Range<usize>, logs: &mut Vec<f64>, out: [&mut [f64]; 2]) {
    let first = rows.start.saturating_sub(SHOCKS[1].1);
    logs.clear();
    logs.extend(volume[first..rows.end].iter().map(|&volume| libm::log1p(volume)));
    let mean = |window, t| window::mean_of_last(logs, window, 0, t - first);
    for ((short, long), out) in SHOCKS.into_iter().zip(out) {
        for (out, t) in out.iter_mut().zip(rows.clone()) {
            *out = mean(short, t) - mean(long, t);
        }
    }
}

/// The logarithm of how far a billion of turnover moves the price (Amihud 2002): the mean over 20 rows of the absolute daily
/// return per price times shares. `moves` is room for working.
pub(super) fn illiquidity(
    series: &Series<'_>,
    log_close: &[f64],
    rows: Range<usize>,
    moves: &mut Vec<f64>,
    out: &mut [f64],
) {
    let first = rows.start.saturating_sub(ILLIQUIDITY);
    moves.clear();
    moves.extend((first..rows.end).map(|t| {
        let daily = if t == 0 { f64::NAN } else { log_close[t] - log_close[t - 1] };
        daily.abs() / (series.close[t] * series.volume[t] + 1.0) * TURNOVER
    }));
    for (out, t) in out.iter_mut().zip(rows) {
        let mean = window::mean_of_last(moves, ILLIQUIDITY, usize::from(first == 0), t - first);
        *out = libm::log(mean + SMALLEST_ILLIQUIDITY);
    }
}
