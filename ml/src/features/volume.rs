//! How unusual the day's volume is. Unit: standard deviations.

use std::ops::Range;

use super::window;

const WINDOW: usize = 20;
/// Below this the volume counts as constant.
const CONSTANT: f64 = 1e-12;

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
