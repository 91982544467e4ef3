//! How good the intervals and distributions were. Each quarter is calibrated on the four before it, on labels that had
//! ended before it began.

use serde::{Deserialize, Serialize};

use super::distributions::{DistributionMetrics, Forecast, Tally, audible};
use super::ranked::{self, Ranked};
use super::walk::TestRows;
use crate::conformal::{Calibration, Crps, Scale, instrument_factors, symmetric_quantile};
use crate::days;
use crate::features::FeatureTable;
use crate::models::Fitted;
use crate::volatility::{self, Level, Reaction};

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
    /// The same distance to both sides, in units of the learned scale with its factors and corrections.
    SymmetricHar,
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

/// The lower and upper ends of each row's interval; burn-in rows hold nothing of meaning.
pub(super) struct Ends {
    pub low: Vec<f64>,
    pub high: Vec<f64>,
}

/// What was published, scored.
pub(super) struct Published {
    pub intervals: Vec<IntervalMetrics>,
    pub distribution: DistributionMetrics,
    /// Sums over the rows of each session.
    pub days: Vec<Tally>,
    /// How well the fifths of each session were told.
    pub ranked: Vec<Option<Ranked>>,
    /// The published intervals of [`LEVELS`].
    pub ends: [Ends; 2],
    /// The published probability of a rise.
    pub probability_up: Vec<f64>,
}

impl Ends {
    fn of(rows: &TestRows) -> Self {
        Self { low: vec![0.0; rows.len()], high: vec![0.0; rows.len()] }
    }
}

/// How the scored rows are grouped, the same for every method.
pub(super) struct Groups {
    /// The positions of the rows of each session, sessions in their order.
    pub days: Vec<Vec<u32>>,
    /// The volatilities that part the rows into thirds.
    thirds: (f64, f64),
}

impl Groups {
    /// The third of all rows a row's volatility is in: 0, 1 or 2.
    pub(super) fn third(&self, volatility: f64) -> usize {
        let (low, high) = self.thirds;
        if volatility <= low { 0 } else { 1 + usize::from(volatility > high) }
    }

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

/// The mean return of the quarters that each scored row is calibrated on; nothing when a quarter has none.
pub(super) fn mean_before(rows: &TestRows) -> Option<Vec<f64>> {
    let mut means = vec![0.0; rows.len()];
    for (fold, range) in scored_folds(rows) {
        let before: Vec<f64> = calibration_rows(rows, fold).map(|i| rows.actual[i]).collect();
        if before.is_empty() {
            return None;
        }
        means[range].fill(before.iter().sum::<f64>() / before.len() as f64);
    }
    Some(means)
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
    let mut ends = LEVELS.map(|_| Ends::of(rows));
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
        Scale::Volatility | Scale::Har => Method::SymmetricVolatility,
    };
    LEVELS.into_iter().zip(&ends).map(|(level, ends)| measure(rows, groups, ends, method, level)).collect()
}

/// Scores the distributions that are published; nothing when a quarter could not be calibrated.
pub(super) fn published(
    rows: &TestRows,
    groups: &Groups,
    predicted: &[f64],
    units: &Units,
) -> Option<Published> {
    let mut ends = LEVELS.map(|_| Ends::of(rows));
    let mut probability_up = vec![0.5; rows.len()];
    let mut symmetric = LEVELS.map(|_| Ends::of(rows));
    let mut folds: Vec<Option<(Calibrated, f64)>> = rows.folds.iter().map(|_| None).collect();
    for (fold, _) in scored_folds(rows) {
        let calibrating: Vec<usize> = calibration_rows(rows, fold).collect();
        let calibrated = calibrate(rows, predicted, units, calibrating.iter().copied())?;
        let rises =
            calibrating.iter().filter(|&&i| rows.actual[i] > 0.0).count() as f64 / calibrating.len() as f64;
        folds[fold] = Some((calibrated, rises));
    }
    let (mut days, mut ranked) = (Vec::with_capacity(groups.days.len()), Vec::new());
    let (mut forecasts, mut outcomes) = (Vec::new(), Vec::new());
    let crps: Vec<Option<Crps<'_>>> =
        folds.iter().map(|fold| Some(fold.as_ref()?.0.calibration.crps())).collect();
    let deviations: Vec<Option<f64>> =
        folds.iter().map(|fold| Some(fold.as_ref()?.0.calibration.standard_deviation())).collect();
    let mut level = (units.scale == Scale::Har).then(|| Level::new(rows.horizon, units.reaction));
    for day in &groups.days {
        let first = day[0] as usize;
        let fold = usize::from(rows.fold[first]);
        let (calibrated, rises) = folds[fold].as_ref()?;
        let crps = crps[fold].as_ref()?;
        let deviation = deviations[fold]?;
        let widened = level.as_mut().map_or(1.0, |level| level.at(rows.session[first]));
        let usual_end = usual_end(rows, day);
        let (mut missed, mut ended) = (0, 0);
        let mut tally = Tally::default();
        forecasts.clear();
        outcomes.clear();
        for i in day.iter().map(|&i| i as usize) {
            let unit = units.each[i] * calibrated.factor(rows.instrument[i]) * widened;
            let distribution = calibrated.calibration.distribution(predicted[i], unit);
            (ends[0].low[i], ends[0].high[i]) = distribution.interval_80();
            (ends[1].low[i], ends[1].high[i]) = distribution.interval_95();
            for (half, ends) in calibrated.halves.iter().zip(&mut symmetric) {
                (ends.low[i], ends.high[i]) = (predicted[i] - half * unit, predicted[i] + half * unit);
            }
            let actual = rows.actual[i];
            // Whoever did not trade is heard of too late.
            if rows.end[i] <= usual_end {
                ended += 1;
                missed += usize::from(actual < ends[0].low[i] || actual > ends[0].high[i]);
            }
            let forecast = Forecast {
                calibration: &calibrated.calibration,
                crps,
                expected: predicted[i],
                scale: unit,
                distribution: &distribution,
                rises: *rises,
                volatilities: [deviation * unit, Scale::Volatility.of(rows.volatility[i], rows.horizon)]
                    .map(|volatility| audible(volatility, rows.horizon)),
            };
            tally.add(&forecast, actual);
            probability_up[i] = distribution.probability_up;
            forecasts.push((predicted[i], unit));
            outcomes.push(actual);
        }
        days.push(tally);
        ranked.push(ranked::score(&calibrated.calibration, &forecasts, &outcomes));
        if let Some(level) = &mut level {
            level.record(usual_end, missed as f64 / ended as f64, ended);
        }
    }
    let mut whole = Tally::default();
    for day in &days {
        whole.absorb(day);
    }
    let mut intervals = Vec::new();
    if units.scale == Scale::Har {
        let measured = LEVELS.into_iter().zip(&symmetric);
        intervals
            .extend(measured.map(|(level, ends)| measure(rows, groups, ends, Method::SymmetricHar, level)));
    }
    let measured = LEVELS.into_iter().zip(&ends);
    intervals.extend(measured.map(|(level, ends)| measure(rows, groups, ends, Method::Published, level)));
    Some(Published { intervals, distribution: whole.metrics(), days, ranked, ends, probability_up })
}

/// The session on which the label of a day's instruments usually ends: one that did not trade holds up nobody.
fn usual_end(rows: &TestRows, day: &[u32]) -> i32 {
    let mut ends: Vec<i32> = day.iter().map(|&i| rows.end[i as usize]).collect();
    let middle = ends.len() / 2;
    *ends.select_nth_unstable(middle).1
}

/// What residuals are measured in, row by row.
#[derive(Debug, Clone)]
pub struct Units {
    scale: Scale,
    each: Vec<f64>,
    /// How the learned scale is corrected from session to session.
    reaction: Reaction,
}

impl Units {
    /// Those that need nothing learned.
    pub fn of(rows: &TestRows, scale: Scale) -> Self {
        let each = rows.volatility.iter().map(|&volatility| scale.of(volatility, rows.horizon)).collect();
        Self { scale, each, reaction: Reaction::default() }
    }

    /// What was learned for each fold ([`ScaleModel::scales`]) expects of each row; where that has no value, what the
    /// volatility of 20 days says.
    ///
    /// # Panics
    /// When fewer were learned than there are folds.
    ///
    /// [`ScaleModel::scales`]: volatility::ScaleModel::scales
    pub fn learned(rows: &TestRows, scales: &[Vec<f64>]) -> Self {
        Self::or_recent(rows, |fold, row| Some(scales[fold][row]).filter(|&scale| scale > 0.0))
    }

    /// What the autoregressions of volatility, one per fold, expect of each row.
    ///
    /// # Panics
    /// When there are fewer autoregressions than folds.
    pub fn har(rows: &TestRows, table: &FeatureTable, learned: &[Fitted]) -> Self {
        let mut values = Vec::new();
        Self::or_recent(rows, |fold, row| {
            table.row(row, &mut values);
            volatility::scale(&learned[fold], &values)
        })
    }

    /// What is expected for a fold of a row; where that is nothing, what the volatility of 20 days says.
    fn or_recent(rows: &TestRows, mut expected: impl FnMut(usize, usize) -> Option<f64>) -> Self {
        let each = (0..rows.len()).map(|i| {
            expected(usize::from(rows.fold[i]), rows.row[i] as usize)
                .unwrap_or_else(|| Scale::Har.of(rows.volatility[i], rows.horizon))
        });
        Self { scale: Scale::Har, each: each.collect(), reaction: Reaction::default() }
    }

    /// The same with another answer to what was missed.
    #[must_use]
    pub fn reacting(self, reaction: Reaction) -> Self {
        Self { reaction, ..self }
    }

    /// The unit of the row at a position.
    ///
    /// # Panics
    /// When there are not that many rows.
    pub fn at(&self, position: usize) -> f64 {
        self.each[position]
    }

    /// Half of either, on the scale of logarithms.
    ///
    /// # Panics
    /// When they are of different rows.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        assert_eq!(self.each.len(), other.each.len(), "units of the same rows");
        let each = self.each.iter().zip(&other.each).map(|(one, two)| (one * two).sqrt()).collect();
        Self { each, ..self.clone() }
    }
}

/// A calibration and, by the position of the instrument, what multiplies its unit.
pub(crate) struct Calibrated {
    pub calibration: Calibration,
    /// Empty where all are one.
    pub factors: Vec<f64>,
    /// Half the width of the symmetric interval of each level, in units.
    halves: [f64; 2],
}

impl Calibrated {
    fn factor(&self, instrument: u32) -> f64 {
        self.factors.get(instrument as usize).copied().unwrap_or(1.0)
    }
}

/// The calibration that some forecasts with known outcomes give.
pub(crate) fn calibrate(
    rows: &TestRows,
    predicted: &[f64],
    units: &Units,
    from: impl Iterator<Item = usize>,
) -> Option<Calibrated> {
    let mut scores: Vec<(u32, f64)> =
        from.map(|i| (rows.instrument[i], (rows.actual[i] - predicted[i]) / units.each[i])).collect();
    let mut factors = Vec::new();
    if units.scale == Scale::Har {
        let absolute: Vec<(u32, f64)> =
            scores.iter().map(|&(instrument, score)| (instrument, score.abs())).collect();
        let instruments = rows.instrument.iter().max().map_or(0, |&last| last as usize + 1);
        factors = instrument_factors(&absolute, instruments);
        for (instrument, score) in &mut scores {
            *score /= factors.get(*instrument as usize).copied().unwrap_or(1.0);
        }
    }
    let scores: Vec<f64> = scores.into_iter().map(|(_, score)| score).collect();
    let mut absolute: Vec<f64> = scores.iter().map(|score| score.abs()).collect();
    let calibration = Calibration::from_scores(units.scale, scores)?;
    let halves = LEVELS.map(|level| symmetric_quantile(&mut absolute, level));
    Some(Calibrated { calibration, factors, halves })
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
    for i in scored {
        let (actual, is_inside) = (rows.actual[i], f64::from(inside(i)));
        width += ends.high[i] - ends.low[i];
        outside += (ends.low[i] - actual).max(0.0) + (actual - ends.high[i]).max(0.0);
        held += is_inside;
        let third = groups.third(rows.volatility[i]);
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
pub(super) fn quantile(sorted: &[f64], probability: f64) -> f64 {
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
