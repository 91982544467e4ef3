//! How a model would have done: walk-forward over calendar quarters, every number beside what expecting nothing,
//! expecting the drift and other ways of guessing would have scored on the same rows, with what chance may have done.

mod bootstrap;
mod distributions;
mod intervals;
mod measures;
mod placebo;
mod points;
mod ranked;
mod ranks;
mod report;
mod rises;
mod verdict;
mod walk;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::conformal::Scale;
use crate::models::{Family, FitError, Fitted, Task};
use crate::parallel::Threads;

pub use bootstrap::Bootstrap;
pub use distributions::DistributionMetrics;
pub use intervals::{CALIBRATION_QUARTERS, IntervalMetrics, LEVELS, Method, Units};
pub use measures::{Against, Baseline, Better, Measured};
pub use placebo::{Placebo, PlaceboLine, placebo};
pub use points::PointMetrics;
pub use ranks::InformationCoefficient;
pub use report::{
    CalibrationReport, InstrumentCoverage, Percentiles, PeriodCoverage, Reliability, Third, ThirdCoverage,
};
pub use rises::{Corrected, Correction};
pub use verdict::{Comparison, Verdict};
pub use walk::{Fold, TestRows, quarter_start, quarters};

use bootstrap::Draws;
pub(crate) use intervals::calibrate;
use intervals::{Groups, Published};
use measures::{Field, Scored};
pub(crate) use ranks::long_run_variance;
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
    /// How the intervals of the measures were made.
    pub bootstrap: Bootstrap,
    /// Every measure beside what guessing scores.
    pub measures: Vec<Measured>,
    /// How the published distributions are calibrated; nothing where there was too little to calibrate on.
    pub calibration: Option<CalibrationReport>,
    /// What correcting the probabilities of a rise would have changed; empty where there was too little to learn from.
    pub corrections: Vec<Corrected>,
    /// The family's skill beside that of placebos; every training has it.
    pub placebo: Option<Placebo>,
}

impl HorizonEvaluation {
    /// A measure by its name.
    pub fn measure(&self, name: &str) -> Option<&Measured> {
        self.measures.iter().find(|measured| measured.measure == name)
    }
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

impl Scores {
    /// The published interval of a level (of [`LEVELS`]); nothing when a quarter could not be calibrated.
    pub fn published(&self, level: f64) -> Option<&IntervalMetrics> {
        let of_level = |it: &&IntervalMetrics| (it.level - level).abs() < 1e-9;
        self.intervals.iter().filter(|it| it.method == Method::Published).find(of_level)
    }
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
    /// The same against expecting the drift; nothing in evaluations of the first versions.
    #[serde(default)]
    pub r2_vs_drift_pct: Option<f64>,
    /// The mean daily rank correlation of forecast and outcome; nothing where there was nothing to rank.
    #[serde(default)]
    pub ic: Option<f64>,
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
    let cutoffs: Vec<i32> = rows.cutoffs.iter().chain(later_cutoffs).copied().collect();
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
    units: &Units,
) -> Result<HorizonEvaluation, FitError> {
    let zero = walk_forward(task, rows, Family::Zero, &[])?.predicted;
    let drift = walk_forward(task, rows, Family::Drift, &[])?.predicted;
    let groups = Groups::of(rows);
    if groups.days.is_empty() {
        let before = rows.folds.last().map_or(NaiveDate::MIN, |fold| fold.end);
        return Err(FitError::TooFewRows { before, found: 0, needed: 1 });
    }
    let model = walk.predicted.as_slice();
    let (zero, drift) = (zero.as_slice(), drift.as_slice());
    // Climatology is what happened before, as wide for everyone: its calibration finds its middle.
    let before = intervals::mean_before(rows);
    let flat = Units::of(rows, Scale::Constant);
    let ways = [(model, units), (zero, units), (drift, units), (zero, &flat)];
    let publish = |way: usize| intervals::published(rows, &groups, ways[way].0, ways[way].1);
    let mut published = Threads::available().map(ways.len(), publish).into_iter();
    let [by_model, by_zero, by_drift, climatology] = [(); 4].map(|()| published.next().flatten());
    let draws = Draws::new(groups.days.len(), rows.horizon);
    let field = Field {
        rows,
        days: &groups.days,
        model: Scored { predicted: model, published: by_model.as_ref() },
        zero: Scored { predicted: zero, published: by_zero.as_ref() },
        drift: Scored { predicted: drift, published: by_drift.as_ref() },
        climatology: before
            .as_deref()
            .map(|before| Scored { predicted: before, published: climatology.as_ref() }),
    };
    let scores = |predicted, published| scores(rows, &groups, predicted, drift, published);
    Ok(HorizonEvaluation {
        horizon: rows.horizon,
        quarters: quarter_summaries(task, rows, &groups.days, model, drift),
        against_zero: verdict::compare(rows, &groups.days, model, zero, "expecting nothing"),
        against_drift: verdict::compare(rows, &groups.days, model, drift, "drift"),
        measures: measures::measure(&field, &draws),
        corrections: by_model
            .as_ref()
            .map(|published| rises::corrections(rows, &groups.days, published, &draws))
            .unwrap_or_default(),
        calibration: by_model
            .as_ref()
            .map(|published| report::report(rows, &groups, published, task.features.instruments().0)),
        model: scores(model, by_model),
        zero: scores(zero, by_zero),
        drift: scores(drift, by_drift),
        bootstrap: draws.bootstrap,
        placebo: None,
    })
}

fn scores(
    rows: &TestRows,
    groups: &Groups,
    predicted: &[f64],
    drift: &[f64],
    published: Option<Published>,
) -> Scores {
    let mut intervals = intervals::symmetric(rows, groups, predicted, Scale::Constant);
    intervals.extend(intervals::symmetric(rows, groups, predicted, Scale::Volatility));
    let (more, distribution) =
        published.map_or((Vec::new(), None), |published| (published.intervals, Some(published.distribution)));
    intervals.extend(more);
    Scores { point: points::point_metrics(rows, &groups.days, predicted, drift), intervals, distribution }
}

fn quarter_summaries(
    task: &Task<'_>,
    rows: &TestRows,
    days: &[Vec<u32>],
    predicted: &[f64],
    drift: &[f64],
) -> Vec<QuarterSummary> {
    let cutoffs = &rows.cutoffs;
    let mut entering = vec![0; cutoffs.len() + 1];
    for row in (0..task.features.len()).filter(|&row| task.labelled(row)) {
        entering[task.entry(row, cutoffs)] += 1;
    }
    let mut test = vec![(0, 0.0, 0.0, 0.0); cutoffs.len()];
    for (i, &fold) in rows.fold.iter().enumerate() {
        let sums = &mut test[usize::from(fold)];
        sums.0 += 1;
        sums.1 += (rows.actual[i] - predicted[i]).powi(2);
        sums.2 += rows.actual[i].powi(2);
        sums.3 += (rows.actual[i] - drift[i]).powi(2);
    }
    let mut ranked: Vec<Vec<f64>> = vec![Vec::new(); cutoffs.len()];
    for (day, ic) in days.iter().zip(ranks::daily_correlations(rows, days, predicted)) {
        ranked[usize::from(rows.fold[day[0] as usize])].extend(ic);
    }
    let mut train_rows = 0;
    rows.folds
        .iter()
        .zip(entering)
        .zip(test)
        .zip(ranked)
        .map(|(((fold, more), (test_rows, squared, of_zero, of_drift)), daily)| {
            train_rows += more;
            let saved = |of: f64| if of > 0.0 { (1.0 - squared / of) * 100.0 } else { 0.0 };
            (
                fold,
                QuarterSummary {
                    start: fold.start,
                    end: fold.end,
                    train_rows,
                    test_rows,
                    r2_vs_zero_pct: saved(of_zero),
                    r2_vs_drift_pct: Some(saved(of_drift)),
                    ic: (!daily.is_empty()).then(|| daily.iter().sum::<f64>() / daily.len() as f64),
                },
            )
        })
        .filter(|(fold, summary)| !fold.burn_in && summary.test_rows > 0)
        .map(|(_, summary)| summary)
        .collect()
}
