//! How good the intervals and distributions were. Each quarter is calibrated on the four before it, on labels that had
//! ended before it began.

use serde::{Deserialize, Serialize};

use super::walk::TestRows;
use crate::conformal::{Calibration, QUANTILES, Scale, symmetric_quantile};
use crate::days;

/// Quarters whose residuals calibrate the one after them.
pub const CALIBRATION_QUARTERS: u32 = 4;
/// The levels that are scored.
pub const LEVELS: [f64; 2] = [0.80, 0.95];

/// How an interval was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The same distance to both sides, as wide for every instrument and day.
    SymmetricConstant,
    /// The same distance to both sides, in units of the 20-day volatility.
    SymmetricVolatility,
    /// Between two quantiles of the published distribution.
    Published,
}

/// Scores of the intervals of one method and level over all scored rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IntervalMetrics {
    /// How they were made.
    pub method: Method,
    /// The share of outcomes they should hold.
    pub level: f64,
    /// The share they held.
    pub coverage: f64,
    /// Mean width (log return).
    pub mean_width: f64,
    /// Mean of width plus 2 / (1 - level) times the distance of outcomes outside (Gneiting & Raftery 2007); lower is
    /// better, narrow and right are rewarded together.
    pub interval_score: f64,
    /// Coverage of the worst quarter.
    pub coverage_quarter_min: f64,
    /// Coverage of the best quarter.
    pub coverage_quarter_max: f64,
    /// The 5th percentile of coverage over instruments.
    pub coverage_instrument_p05: f64,
    /// The 95th percentile of coverage over instruments.
    pub coverage_instrument_p95: f64,
    /// Coverage of the third of rows with the lowest volatility.
    pub coverage_low_volatility: f64,
    /// Coverage of the middle third.
    pub coverage_mid_volatility: f64,
    /// Coverage of the third with the highest volatility.
    pub coverage_high_volatility: f64,
    /// Standard deviation of daily coverage; nothing with fewer than two sessions.
    pub coverage_day_std: Option<f64>,
}

/// Scores of the published distributions over all scored rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DistributionMetrics {
    /// Mean pinball loss over the published quantiles (log return); lower is better.
    pub pinball: f64,
    /// Mean squared error of the probability of a rise.
    pub brier: f64,
    /// The same for always giving the share of rises seen in calibration.
    pub brier_climatology: f64,
}

/// The lower and upper ends of each row's interval; burn-in rows hold nothing of meaning.
struct Ends {
    low: Vec<f64>,
    high: Vec<f64>,
}

/// How the scored rows are grouped, the same for every method.
pub(super) struct Groups {
    /// The positions of the rows of each session, sessions in their order.
    pub days: Vec<Vec<u32>>,
    /// The volatilities that part the rows into thirds.
    thirds: (f64, f64),
}

impl Groups {
    pub(super) fn of(rows: &TestRows) -> Self {
        let mut volatility = rows.volatility[rows.first_scored..].to_vec();
        volatility.sort_unstable_by(f64::total_cmp);
        let thirds = (quantile(&volatility, 1.0 / 3.0), quantile(&volatility, 2.0 / 3.0));
        Self { days: rows.by_session(), thirds }
    }
}

/// What the quarters were calibrated on: the positions of usable forecasts before each.
fn calibration_rows(rows: &TestRows, fold: usize) -> impl Iterator<Item = usize> {
    let start = days::day(rows.folds[fold].start);
    let from = fold.saturating_sub(CALIBRATION_QUARTERS as usize);
    (0..rows.len()).filter(move |&i| (from..fold).contains(&usize::from(rows.fold[i])) && rows.end[i] < start)
}

/// The positions of each fold that is not burn-in.
fn scored_folds(rows: &TestRows) -> Vec<(usize, std::ops::Range<usize>)> {
    let mut start = rows.first_scored;
    (0..rows.folds.len())
        .filter(|&fold| !rows.folds[fold].burn_in)
        .map(|fold| {
            let length = rows.fold[start..].partition_point(|&other| usize::from(other) == fold);
            let range = start..start + length;
            start = range.end;
            (fold, range)
        })
        .filter(|(_, range)| !range.is_empty())
        .collect()
}

/// Scores symmetric intervals as the literature and other implementations make them.
pub(super) fn symmetric(
    rows: &TestRows,
    groups: &Groups,
    predicted: &[f64],
    scale: Scale,
) -> Vec<IntervalMetrics> {
    let units: Vec<f64> =
        rows.volatility.iter().map(|&volatility| scale.of(volatility, rows.horizon)).collect();
    let score = |i: usize| (rows.actual[i] - predicted[i]).abs() / units[i];
    let mut ends = LEVELS.map(|_| Ends { low: vec![0.0; rows.len()], high: vec![0.0; rows.len()] });
    for (fold, range) in scored_folds(rows) {
        let mut scores: Vec<f64> = calibration_rows(rows, fold).map(score).collect();
        for (level, ends) in LEVELS.into_iter().zip(&mut ends) {
            let half = if scores.is_empty() { f64::INFINITY } else { symmetric_quantile(&mut scores, level) };
            for i in range.clone() {
                ends.low[i] = predicted[i] - half * units[i];
                ends.high[i] = predicted[i] + half * units[i];
            }
        }
    }
    let method = match scale {
        Scale::Constant => Method::SymmetricConstant,
        Scale::Volatility => Method::SymmetricVolatility,
    };
    LEVELS.into_iter().zip(&ends).map(|(level, ends)| measure(rows, groups, ends, method, level)).collect()
}

/// Scores the distributions that are published; nothing when a quarter could not be calibrated.
pub(super) fn published(
    rows: &TestRows,
    groups: &Groups,
    predicted: &[f64],
    scale: Scale,
) -> Option<(Vec<IntervalMetrics>, DistributionMetrics)> {
    let mut ends = LEVELS.map(|_| Ends { low: vec![0.0; rows.len()], high: vec![0.0; rows.len()] });
    let (mut pinball, mut brier, mut climatology) = (0.0, 0.0, 0.0);
    for (fold, range) in scored_folds(rows) {
        let calibrating: Vec<usize> = calibration_rows(rows, fold).collect();
        let calibration = calibrate(rows, predicted, scale, calibrating.iter().copied())?;
        let rises =
            calibrating.iter().filter(|&&i| rows.actual[i] > 0.0).count() as f64 / calibrating.len() as f64;
        for i in range {
            let unit = scale.of(rows.volatility[i], rows.horizon);
            let distribution = calibration.distribution(predicted[i], unit);
            (ends[0].low[i], ends[0].high[i]) = distribution.interval_80();
            (ends[1].low[i], ends[1].high[i]) = distribution.interval_95();
            let actual = rows.actual[i];
            for (quantile, probability) in distribution.quantiles.into_iter().zip(QUANTILES) {
                let off = actual - quantile;
                pinball += if off >= 0.0 { probability * off } else { (probability - 1.0) * off };
            }
            let rose = f64::from(actual > 0.0);
            brier += (distribution.probability_up - rose).powi(2);
            climatology += (rises - rose).powi(2);
        }
    }
    let n = (rows.len() - rows.first_scored) as f64;
    let metrics = LEVELS
        .into_iter()
        .zip(&ends)
        .map(|(level, ends)| measure(rows, groups, ends, Method::Published, level))
        .collect();
    let distribution = DistributionMetrics {
        pinball: pinball / n / QUANTILES.len() as f64,
        brier: brier / n,
        brier_climatology: climatology / n,
    };
    Some((metrics, distribution))
}

/// The calibration that some forecasts with known outcomes give.
pub(crate) fn calibrate(
    rows: &TestRows,
    predicted: &[f64],
    scale: Scale,
    from: impl Iterator<Item = usize>,
) -> Option<Calibration> {
    let score = |i: usize| (rows.actual[i] - predicted[i]) / scale.of(rows.volatility[i], rows.horizon);
    Calibration::from_scores(scale, from.map(score).collect())
}

fn measure(rows: &TestRows, groups: &Groups, ends: &Ends, method: Method, level: f64) -> IntervalMetrics {
    let scored = rows.first_scored..rows.len();
    let n = scored.len() as f64;
    let inside = |i: usize| rows.actual[i] >= ends.low[i] && rows.actual[i] <= ends.high[i];
    let (mut width, mut outside, mut held) = (0.0, 0.0, 0.0);
    let mut by_fold = vec![(0.0, 0.0); rows.folds.len()];
    let instruments = rows.instrument.iter().max().map_or(0, |&last| last as usize + 1);
    let mut by_instrument = vec![(0.0, 0.0); instruments];
    let mut by_third = [(0.0, 0.0); 3];
    let (low, high) = groups.thirds;
    for i in scored {
        let (actual, is_inside) = (rows.actual[i], f64::from(inside(i)));
        width += ends.high[i] - ends.low[i];
        outside += (ends.low[i] - actual).max(0.0) + (actual - ends.high[i]).max(0.0);
        held += is_inside;
        let third = if rows.volatility[i] <= low { 0 } else { 1 + usize::from(rows.volatility[i] > high) };
        let groups = [
            &mut by_fold[usize::from(rows.fold[i])],
            &mut by_instrument[rows.instrument[i] as usize],
            &mut by_third[third],
        ];
        for group in groups {
            group.0 += is_inside;
            group.1 += 1.0;
        }
    }
    let share = |group: &(f64, f64)| group.0 / group.1;
    let folds: Vec<f64> = by_fold.iter().filter(|group| group.1 > 0.0).map(share).collect();
    let mut instruments: Vec<f64> = by_instrument.iter().filter(|group| group.1 > 0.0).map(share).collect();
    instruments.sort_unstable_by(f64::total_cmp);
    let daily: Vec<f64> = groups
        .days
        .iter()
        .map(|day| day.iter().map(|&i| f64::from(inside(i as usize))).sum::<f64>() / day.len() as f64)
        .collect();
    IntervalMetrics {
        method,
        level,
        coverage: held / n,
        mean_width: width / n,
        interval_score: (width + 2.0 / (1.0 - level) * outside) / n,
        coverage_quarter_min: folds.iter().copied().fold(f64::INFINITY, f64::min),
        coverage_quarter_max: folds.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        coverage_instrument_p05: quantile(&instruments, 0.05),
        coverage_instrument_p95: quantile(&instruments, 0.95),
        coverage_low_volatility: share(&by_third[0]),
        coverage_mid_volatility: share(&by_third[1]),
        coverage_high_volatility: share(&by_third[2]),
        coverage_day_std: sample_std(&daily),
    }
}

/// A quantile of sorted values, linear between neighbours.
fn quantile(sorted: &[f64], probability: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = probability * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

fn sample_std(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_between_two_values_lies_between_them() {
        assert!((quantile(&[1.0, 2.0, 4.0], 0.75) - 3.0).abs() < 1e-12);
        assert!((quantile(&[1.0, 2.0, 4.0], 1.0) - 4.0).abs() < 1e-12);
        assert!((quantile(&[7.0], 0.05) - 7.0).abs() < 1e-12);
    }
}
