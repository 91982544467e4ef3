//! Relative strength (Wilder 1978) and moving-average convergence (Appel 1979), in the forms that do not depend on
//! the price level. Both are recursive and so run over the whole history up to the row.

use std::ops::Range;

/// First row of [`rsi`]: fourteen changes must have been seen.
const RSI_ROWS: usize = 14;

/// (RSI14 - 50) / 50, in -1..=1, from row 14 on; 0 where nothing moved at all.
///
/// Wilder's averages of the rises and falls start at the first change and move by a fourteenth of the distance.
pub(super) fn rsi(close: &[f64], rows: Range<usize>, out: &mut [f64]) {
    let (mut rise, mut fall) = (0.0, 0.0);
    for t in 0..rows.end {
        if t > 0 {
            let change = close[t] - close[t - 1];
            let (up, down) = (change.max(0.0), (-change).max(0.0));
            if t == 1 {
                (rise, fall) = (up, down);
            } else {
                rise += (up - rise) / 14.0;
                fall += (down - fall) / 14.0;
            }
        }
        if t >= rows.start {
            let both = rise + fall;
            let rsi = if both == 0.0 { 50.0 } else { 100.0 * rise / both };
            out[t - rows.start] = if t >= RSI_ROWS { (rsi - 50.0) / 50.0 } else { f64::NAN };
        }
    }
}

/// The distance of the averages over 12 and 26 rows (exponential, started at the first close), and its distance from
/// its own average over 9; both as a share of the close, from row 0 on.
pub(super) fn macd(close: &[f64], rows: Range<usize>, out: &mut [f64], histogram: &mut [f64]) {
    let (mut fast, mut slow, mut signal) = (0.0, 0.0, 0.0);
    for (t, &close) in close[..rows.end].iter().enumerate() {
        if t == 0 {
            (fast, slow) = (close, close);
        } else {
            fast += 2.0 / 13.0 * (close - fast);
            slow += 2.0 / 27.0 * (close - slow);
        }
        let distance = fast - slow;
        signal = if t == 0 { distance } else { signal + 0.2 * (distance - signal) };
        if t >= rows.start {
            out[t - rows.start] = distance / close;
            histogram[t - rows.start] = (distance - signal) / close;
        }
    }
}
