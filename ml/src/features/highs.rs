//! How far a price is from the highest and the lowest close of the last year.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;

/// Rows of a year.
pub(crate) const YEAR: usize = 250;

/// The log distance below the highest close of the last year, or of what there is of it; 0 at a new high.
pub(crate) fn below_high(log_close: &[f64], rows: Range<usize>, out: &mut [f64]) {
    from_extreme(log_close, rows, Ordering::Greater, out);
}

/// The log distance above the lowest close of the last year, or of what there is of it; 0 at a new low.
pub(super) fn above_low(log_close: &[f64], rows: Range<usize>, out: &mut [f64]) {
    from_extreme(log_close, rows, Ordering::Less, out);
}

/// The distance from the value of the last year that is farthest out.
fn from_extreme(log_close: &[f64], rows: Range<usize>, farther: Ordering, out: &mut [f64]) {
    // Rows of the year whose close nobody after them has reached, so the first of them is farthest out.
    let mut unreached: VecDeque<usize> = VecDeque::new();
    for t in (rows.start + 1).saturating_sub(YEAR)..rows.end {
        while unreached.back().is_some_and(|&row| log_close[row].total_cmp(&log_close[t]) != farther) {
            unreached.pop_back();
        }
        unreached.push_back(t);
        if unreached[0] + YEAR <= t {
            unreached.pop_front();
        }
        if t >= rows.start {
            out[t - rows.start] = log_close[t] - log_close[unreached[0]];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extremes_of_a_year_are_the_largest_and_the_smallest_of_its_rows() {
        let log_close: Vec<f64> = (0..700).map(|t| f64::from(t * 7919 % 509) / 509.0).collect();
        for from in [0, 5, 300, 699] {
            let mut out = [vec![f64::NAN; 700 - from], vec![f64::NAN; 700 - from]];
            below_high(&log_close, from..700, &mut out[0]);
            above_low(&log_close, from..700, &mut out[1]);
            for t in from..700 {
                let year = &log_close[(t + 1).saturating_sub(YEAR)..=t];
                let highest = year.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let lowest = year.iter().copied().fold(f64::INFINITY, f64::min);
                assert_eq!(out[0][t - from].to_bits(), (log_close[t] - highest).to_bits(), "{from}: {t}");
                assert_eq!(out[1][t - from].to_bits(), (log_close[t] - lowest).to_bits(), "{from}: {t}");
            }
        }
    }
}
