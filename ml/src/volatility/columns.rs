//! The columns the scale is learned from. A row looks at itself and earlier rows of its instrument, and at the rows of
//! the same session of the others.

use std::ops::Range;

use super::SMALLEST_MOVE;
use super::ranges::DayAndNight;
use crate::features::{FeatureTable, Sessions, VOL_Z20, YEAR, below_high, log_mean_variance, log_variance};
use crate::panel::Panel;
use crate::parallel::{Threads, cut};

/// Windows of mean variance in rows, with the rows that must be there.
const WINDOWS: [(usize, usize); 5] = [(1, 1), (5, 5), (22, 22), (66, 60), (250, 60)];
/// How much of the day before an exponentially weighted mean keeps.
const KEPT: [f64; 2] = [0.94, 0.97];
/// Rows an exponentially weighted mean needs.
const WEIGHTED_FROM: usize = 20;
/// Rows the long memories need.
const LONG_FROM: usize = 60;
/// Rows of nights.
const NIGHTS: usize = 22;

/// One column per name, one value per row of the panel from a session (days since 1970-01-01) on; NaN where it is not
/// defined yet.
pub(super) fn compute(panel: &Panel, features: &FeatureTable, first: i32, threads: Threads) -> Vec<Vec<f64>> {
    // Rows before the session are nobody's business, and untouched memory costs nothing.
    let mut columns = vec![vec![0.0; panel.len()]; super::NAMES.len()];
    let groups = panel.groups(threads.count());
    let ends: Vec<usize> = groups.iter().map(|group| panel.rows(group.end - 1).end).collect();
    let parts = groups.into_iter().zip(cut(&mut columns, &ends));
    threads.each(parts, |(group, columns)| fill(panel, features, first, group, columns));
    let sessions = Sessions::of(&panel.bars().session, first);
    for (to, of) in [(11, 1), (12, 0)] {
        let mut medians = std::mem::take(&mut columns[to]);
        session_median(&sessions, &columns[of], &mut medians);
        columns[to] = medians;
    }
    columns
}

/// Computes what looks at an instrument alone for a group of them, which these pieces of the columns are of.
fn fill(
    panel: &Panel,
    features: &FeatureTable,
    first: i32,
    group: Range<usize>,
    mut columns: Vec<&mut [f64]>,
) {
    let start = panel.rows(group.start).start;
    let runs = group.flat_map(|instrument| panel.runs(instrument).map(move |rows| (instrument, rows)));
    for (instrument, rows) in runs {
        let series = panel.part(instrument, rows.clone());
        let from = series.session.partition_point(|&session| session < first);
        let log_close = &features.log_close()[rows.clone()];
        let variance = DayAndNight::of(&series, log_close, from.saturating_sub(YEAR));
        let wanted = rows.start + from..rows.end;
        let within = wanted.start - start..wanted.end - start;
        let mut own = columns.iter_mut().map(|column| &mut column[within.clone()]);
        let mut next = || {
            let out = own.next().unwrap_or_default();
            out.fill(f64::NAN);
            out
        };
        for (window, needed) in WINDOWS {
            mean_variance(&variance.whole, window, needed, from, next());
        }
        for kept in KEPT {
            weighted_squares(log_close, kept, from, next());
        }
        magnitude(log_close, from, next());
        next().copy_from_slice(&features.column(VOL_Z20)[wanted]);
        falls(log_close, 1, from, next());
        falls(log_close, 5, from, next());
        let (_, _) = (next(), next());
        let high_from = from.max(LONG_FROM - 1);
        if let Some(out) = next().get_mut(high_from - from..) {
            below_high(log_close, high_from..log_close.len(), out);
        }
        mean_variance(&variance.night, NIGHTS, 5, from, next());
    }
}

/// The logarithm of the mean over the last `window` rows; the first row of a series has no variance.
fn mean_variance(variance: &[f64], window: usize, needed: usize, from: usize, out: &mut [f64]) {
    let first = variance.iter().take_while(|value| value.is_nan()).count();
    for t in first.max(from)..variance.len() {
        if window.min(t + 1 - first) >= needed {
            out[t - from] = log_mean_variance(variance, window, first, t);
        }
    }
}

/// The logarithm of the exponentially weighted mean of squared daily returns.
fn weighted_squares(log_close: &[f64], kept: f64, from: usize, out: &mut [f64]) {
    let (mut sum, mut weight) = (0.0, 0.0);
    for t in 1..log_close.len() {
        let daily = log_close[t] - log_close[t - 1];
        sum = sum * kept + daily * daily;
        weight = weight * kept + 1.0;
        if t >= WEIGHTED_FROM.max(from) {
            out[t - from] = log_variance(sum / weight);
        }
    }
}

/// The mean logarithm of all daily moves so far: the instrument's own level.
fn magnitude(log_close: &[f64], from: usize, out: &mut [f64]) {
    let mut sum = 0.0;
    for t in 1..log_close.len() {
        sum += libm::log((log_close[t] - log_close[t - 1]).abs() + SMALLEST_MOVE);
        if t >= LONG_FROM.max(from) {
            out[t - from] = sum / t as f64;
        }
    }
}

/// The log return over `lag` rows where it was a fall, otherwise 0: volatility answers to falls more than to rises.
fn falls(log_close: &[f64], lag: usize, from: usize, out: &mut [f64]) {
    for t in lag.max(from)..log_close.len() {
        out[t - from] = (log_close[t] - log_close[t - lag]).min(0.0);
    }
}

/// Each row's median of its session, over the values that are defined.
fn session_median(sessions: &Sessions, column: &[f64], out: &mut [f64]) {
    let mut values = Vec::new();
    for rows in sessions.iter() {
        values.clear();
        values.extend(rows.iter().map(|&row| column[row as usize]).filter(|value| !value.is_nan()));
        let Some(median) = median(&mut values) else { continue };
        for &row in rows {
            out[row as usize] = median;
        }
    }
}

/// The middle value, or the mean of the two in the middle.
fn median(values: &mut [f64]) -> Option<f64> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let (below, middle, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    let middle = *middle;
    Some(if n % 2 == 1 {
        middle
    } else {
        f64::midpoint(below.iter().copied().fold(f64::NEG_INFINITY, f64::max), middle)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_values_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&mut [9.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(&mut []), None);
    }

    #[test]
    fn columns_from_a_session_on_are_those_of_all_rows() {
        let panel = crate::testing::panel(4, 400, 7);
        let first = crate::days::day(panel.sessions()[300]);
        let features = FeatureTable::compute(&crate::features::Inputs::of(&panel));
        let three = Threads::new(3).unwrap();
        let late = FeatureTable::compute_from(&crate::features::Inputs::of(&panel), first, three);
        let whole = compute(&panel, &features, i32::MIN, Threads::ONE);
        let part = compute(&panel, &late, first, three);
        let rows = (0..panel.len()).filter(|&row| panel.bars().session[row] >= first);
        for row in rows {
            assert!(late.usable(row) == features.usable(row));
            for (whole, part) in whole.iter().zip(&part) {
                assert_eq!(whole[row].to_bits(), part[row].to_bits());
            }
        }
    }

    #[test]
    fn a_mean_of_variance_leaves_out_the_first_row_and_waits_for_the_rows_it_needs() {
        let variance = [f64::NAN, 1.0, 3.0, 8.0];
        let mut out = [f64::NAN; 4];
        mean_variance(&variance, 3, 2, 0, &mut out);
        assert!(out[0].is_nan() && out[1].is_nan());
        assert!((out[2] - (2.0_f64 + 1e-6).ln()).abs() < 1e-12);
        assert!((out[3] - (4.0_f64 + 1e-6).ln()).abs() < 1e-12);
    }
}
