//! How a model would have done: walk-forward over calendar quarters, every number beside what expecting nothing and
//! expecting the drift would have scored on the same rows.

mod intervals;
mod points;
mod ranks;
mod verdict;
mod walk;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::conformal::Scale;
use crate::models::{Family, FitError, Fitted, Task};

pub use intervals::{CALIBRATION_QUARTERS, DistributionMetrics, IntervalMetrics, LEVELS, Method};
pub use points::PointMetrics;
pub use ranks::InformationCoefficient;
pub use verdict::{Comparison, Verdict};
pub use walk::{Fold, TestRows, quarter_start, quarters};

use intervals::Groups;
pub(crate) use intervals::calibrate;
pub(crate) use walk::quarters_after;

/// How a model did out of sample, for each horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The first day whose forecasts were scored.
    pub test_start: NaiveDate,
    /// The last session of the data.
    pub test_end: NaiveDate,
    /// One entry per horizon, shortest first.
    pub horizons: Vec<HorizonEvaluation>,
}

/// How a model did at one horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HorizonEvaluation {
    /// Rows ahead.
    pub horizon: usize,
    /// The scored quarters.
    pub quarters: Vec<QuarterSummary>,
    /// The model.
    pub model: Scores,
    /// Expecting nothing.
    pub zero: Scores,
    /// Expecting the mean of the past.
    pub drift: Scores,
    /// The model's squared error against that of expecting nothing.
    pub against_zero: Comparison,
    /// The model's squared error against the drift's.
    pub against_drift: Comparison,
}

/// What one way of forecasting scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// The single expected returns.
    pub point: PointMetrics,
    /// Intervals around them, by method and level.
    pub intervals: Vec<IntervalMetrics>,
    /// The published distributions; nothing when there was too little to calibrate on.
    pub distribution: Option<DistributionMetrics>,
}

/// One scored quarter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuarterSummary {
    /// Its first day.
    pub start: NaiveDate,
    /// The first day after it.
    pub end: NaiveDate,
    /// Rows whose label had ended before it.
    pub train_rows: usize,
    /// Rows forecast in it.
    pub test_rows: usize,
    /// Share of squared error the model saved against expecting nothing, in percent.
    pub r2_vs_zero_pct: f64,
}

/// A family's forecasts of a walk-forward, and the models that made them.
#[derive(Debug, Clone)]
pub struct Walk {
    /// One model per fold and, when asked for, further ones for later cutoffs.
    pub fitted: Vec<Fitted>,
    /// Per row of the [`TestRows`], the expected log return.
    pub predicted: Vec<f64>,
}

/// Learns once per fold, and once more for each later cutoff, and forecasts the folds' rows.
///
/// # Errors
/// When the family cannot learn from the rows before the first fold.
pub fn walk_forward(
    task: &Task<'_>,
    rows: &TestRows,
    family: Family,
    later_cutoffs: &[i32],
) -> Result<Walk, FitError> {
    let folds = rows.folds.iter().map(|fold| crate::days::day(fold.start));
    let cutoffs: Vec<i32> = folds.chain(later_cutoffs.iter().copied()).collect();
    let fitted = family.forecaster().fit(task, &cutoffs)?;
    let predicted = rows.predict(task, &fitted);
    Ok(Walk { fitted, predicted })
}

/// Scores a family's walk-forward beside the baselines.
///
/// # Errors
/// When there is no scored row, or the drift cannot be learned.
pub fn evaluate(
    task: &Task<'_>,
    rows: &TestRows,
    walk: &Walk,
    scale: Scale,
) -> Result<HorizonEvaluation, FitError> {
    let zero = walk_forward(task, rows, Family::Zero, &[])?.predicted;
    let drift = walk_forward(task, rows, Family::Drift, &[])?.predicted;
    let groups = Groups::of(rows);
    if groups.days.is_empty() {
        let before = rows.folds.last().map_or(NaiveDate::MIN, |fold| fold.end);
        return Err(FitError::TooFewRows { before, found: 0, needed: 1 });
    }
    let model = walk.predicted.as_slice();
    Ok(HorizonEvaluation {
        horizon: rows.horizon,
        quarters: quarter_summaries(task, rows, model),
        model: scores(rows, &groups, model, &drift, scale),
        zero: scores(rows, &groups, &zero, &drift, scale),
        drift: scores(rows, &groups, &drift, &drift, scale),
        against_zero: verdict::compare(rows, &groups.days, model, &zero, "expecting nothing"),
        against_drift: verdict::compare(rows, &groups.days, model, &drift, "drift"),
    })
}

fn scores(rows: &TestRows, groups: &Groups, predicted: &[f64], drift: &[f64], scale: Scale) -> Scores {
    let mut intervals = intervals::symmetric(rows, groups, predicted, Scale::Constant);
    intervals.extend(intervals::symmetric(rows, groups, predicted, Scale::Volatility));
    let published = intervals::published(rows, groups, predicted, scale);
    let (more, distribution) = published.map_or((Vec::new(), None), |(more, scores)| (more, Some(scores)));
    intervals.extend(more);
    Scores { point: points::point_metrics(rows, &groups.days, predicted, drift), intervals, distribution }
}

fn quarter_summaries(task: &Task<'_>, rows: &TestRows, predicted: &[f64]) -> Vec<QuarterSummary> {
    let cutoffs: Vec<i32> = rows.folds.iter().map(|fold| crate::days::day(fold.start)).collect();
    let mut entering = vec![0; cutoffs.len() + 1];
    for row in (0..task.features.len()).filter(|&row| task.labelled(row)) {
        entering[task.entry(row, &cutoffs)] += 1;
    }
    let mut test = vec![(0, 0.0, 0.0); cutoffs.len()];
    for (i, &fold) in rows.fold.iter().enumerate() {
        let sums = &mut test[usize::from(fold)];
        sums.0 += 1;
        sums.1 += (rows.actual[i] - predicted[i]).powi(2);
        sums.2 += rows.actual[i].powi(2);
    }
    let mut train_rows = 0;
    rows.folds
        .iter()
        .zip(entering)
        .zip(test)
        .map(|((fold, more), (test_rows, squared, of_zero))| {
            train_rows += more;
            let saved = if of_zero > 0.0 { (1.0 - squared / of_zero) * 100.0 } else { 0.0 };
            (
                fold,
                QuarterSummary {
                    start: fold.start,
                    end: fold.end,
                    train_rows,
                    test_rows,
                    r2_vs_zero_pct: saved,
                },
            )
        })
        .filter(|(fold, summary)| !fold.burn_in && summary.test_rows > 0)
        .map(|(_, summary)| summary)
        .collect()
}
