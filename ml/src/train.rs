//! Training from beginning to end: features, leak sentinel, walk-forward, calibration, artefact.

use std::ops::ControlFlow;

use chrono::{Months, NaiveDate};
use serde::{Deserialize, Serialize};

use crate::artefact::{Artefact, HorizonModel};
use crate::conformal::{Calibration, NEEDED_SCORES, Scale};
use crate::days;
use crate::drift::FeatureReference;
use crate::evaluation::{
    self, CALIBRATION_QUARTERS, Evaluation, HorizonEvaluation, TestRows, Units, calibrate, quarter_start,
    quarters, quarters_after, walk_forward,
};
use crate::features::{FeatureSet, FeatureTable, Inputs, Labels};
use crate::leaks::{self, LeakCheck, LeakReport};
use crate::models::{Family, FitError, Spread, Task, drift};
use crate::panel::Panel;
use crate::volatility;

/// The share of the quarters that is used for scoring when nobody says from when on.
const TEST_SHARE: f64 = 0.25;
/// Sessions the first model of a walk-forward learns from at least, besides those its labels and the embargo take.
const LEAST_LEARNING: usize = 20;

/// The code that trains here: its version and a digest of its source, as `0.1.0+1a2b3c4d5e6f`.
const CODE: &str = env!("TRAINING_CODE");

/// What is to be trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingSpec {
    /// The model family with its choices.
    pub family: Family,
    /// The features it looks at.
    #[serde(default, skip_serializing_if = "FeatureSet::is_core")]
    pub features: FeatureSet,
    /// Rows ahead; each gets a model of its own.
    pub horizons: Vec<usize>,
    /// What the uncertainty is measured in.
    pub scale: Scale,
    /// The first day whose forecasts are scored, and the rhythm of the quarters; when absent, the first day of about
    /// the last quarter of the calendar quarters.
    pub test_start: Option<NaiveDate>,
    /// Where chance starts from.
    pub seed: u64,
    /// The code that trains, for the record.
    pub code_version: String,
}

impl Default for TrainingSpec {
    fn default() -> Self {
        Self {
            family: Family::Ridge { alpha: 1000.0 },
            features: FeatureSet::Core,
            horizons: vec![1, 5, 20],
            scale: Scale::Har,
            test_start: None,
            seed: 42,
            code_version: CODE.to_owned(),
        }
    }
}

/// What training gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The model.
    pub artefact: Artefact,
    /// How it would have done.
    pub evaluation: Evaluation,
    /// What the leak sentinel looked at; it passed.
    pub leak_report: LeakReport,
    /// SHA-256 of the table of features it learned from.
    pub features_digest: String,
}

/// How far training has come: `step` of `steps` is about to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// From 0.
    pub step: usize,
    /// The number of steps.
    pub steps: usize,
    /// What the step does.
    pub stage: Stage,
}

/// The steps of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "stage")]
pub enum Stage {
    /// Computing features.
    Features,
    /// Running the leak sentinel.
    LeakChecks,
    /// Learning for every quarter and for publication.
    Fitting {
        /// Rows ahead.
        horizon: usize,
    },
    /// Scoring and calibrating.
    Evaluating {
        /// Rows ahead.
        horizon: usize,
    },
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The caller said stop.
    #[error("the training was cancelled")]
    Cancelled,
    /// Something in the specification cannot be.
    #[error("the training cannot start: {0}")]
    BadSpec(&'static str),
    /// The history is too short to train, calibrate and score on.
    #[error("not enough data: {detail}")]
    NotEnoughData {
        /// What there is and what is needed.
        detail: String,
    },
    /// The family could not learn.
    #[error("the model could not be fitted: {0}")]
    Fit(#[from] FitError),
    /// The leak sentinel refused.
    #[error("the leak sentinel refused the training: {}", .0.failures().join("; "))]
    Leak(Box<LeakReport>),
}

/// Trains on what was known at the end of the session `as_of`. Before each step `progress` is told and may break off.
///
/// # Errors
/// When it is broken off, there is not enough data, or the leak sentinel finds that the future has a part in it.
pub fn train(
    inputs: &Inputs<'_>,
    spec: &TrainingSpec,
    as_of: NaiveDate,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Trained, TrainError> {
    train_by(&FeatureTable::compute, inputs, spec, as_of, progress)
}

/// Trains with another way of computing features.
pub(crate) fn train_by(
    compute: &dyn Fn(&Inputs<'_>) -> FeatureTable,
    inputs: &Inputs<'_>,
    spec: &TrainingSpec,
    as_of: NaiveDate,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Trained, TrainError> {
    let mut horizons = spec.horizons.clone();
    horizons.sort_unstable();
    horizons.dedup();
    if horizons.is_empty() || horizons[0] == 0 {
        return Err(TrainError::BadSpec("at least one horizon is needed, and none of them zero"));
    }
    if let Some(flaw) = spec.family.flaw() {
        return Err(TrainError::BadSpec(flaw));
    }
    let mut steps = Steps { done: 0, all: 2 + 2 * horizons.len(), progress };

    steps.next(Stage::Features)?;
    let known = inputs.looking_at(spec.features).known_at(as_of);
    let (panel, inputs) = (&known.panel, known.inputs());
    let features = compute(&inputs);
    let course = Course::of(&inputs, &features, &horizons, spec.test_start)?;

    steps.next(Stage::LeakChecks)?;
    let checks = leaks::check_features(&inputs, &features, compute, spec.seed);
    let mut report = LeakReport { checks, suspicions: Vec::new() };
    let volatility = (spec.scale == Scale::Har).then(|| volatility::table(&inputs, &features));
    if let Some(table) = &volatility {
        report.checks.extend(check_volatility(&inputs, table, spec.seed));
    }
    refuse_leaks(&report)?;

    let (mut models, mut evaluations) = (Vec::new(), Vec::new());
    for &horizon in &horizons {
        steps.next(Stage::Fitting { horizon })?;
        let labels = Labels::new(panel, &features, horizon);
        let task = Task { features: &features, labels: &labels };
        report.checks.push(leaks::check_purge(
            &features,
            &labels,
            spec.family,
            course.test_start,
            spec.seed,
        )?);
        if let Some(scales) = &volatility {
            let check = leaks::check_scale_purge(scales, &labels, course.test_start, spec.seed)?;
            report.checks.push(check);
        }
        refuse_leaks(&report)?;
        let folds = quarters(course.test_start, CALIBRATION_QUARTERS, course.last_session);
        let placebo = evaluation::placebo(panel, &task, spec.family, &folds, spec.seed)?;
        let rows = TestRows::collect(panel, &task, folds).embargoed(panel, horizon);
        // Published forecasts come from a model that knows every label ended by `as_of`.
        let everything = days::day(as_of) + 1;
        let mut walk = walk_forward(&task, &rows, spec.family, &[everything])?;

        steps.next(Stage::Evaluating { horizon })?;
        let (units, volatility) = match &volatility {
            None => (Units::of(&rows, spec.scale), None),
            Some(table) => {
                let cutoffs = [rows.cutoffs.as_slice(), &[everything]].concat();
                let mut learned = volatility::fit(table, &labels, &cutoffs)?;
                (Units::har(&rows, table, &learned), learned.pop())
            }
        };
        let mut evaluation = evaluation::evaluate(&task, &rows, &walk, &units)?;
        evaluation.placebo = Some(placebo);
        report.suspicions.extend(leaks::suspicions(&evaluation));
        let calibration = last_year(panel, &rows, &walk.predicted, &units, course.last_session)?;
        let fitted = walk.fitted.pop().ok_or(FitError::Singular)?;
        let training_rows = (0..features.len()).filter(|&row| task.labelled(row)).count();
        let drift = drift(&task, everything);
        models.push(HorizonModel { horizon, training_rows, drift, fitted, volatility, calibration });
        evaluations.push(evaluation);
    }
    let learned = Learned {
        family: spec.family,
        seed: spec.seed,
        code_version: spec.code_version.clone(),
        spread: Spread::of(&features, days::day(as_of)),
        models,
        evaluations,
        report,
    };
    Ok(learned.from(panel, &features, &course, as_of))
}

/// What a training or an import came to.
pub(crate) struct Learned {
    pub(crate) family: Family,
    pub(crate) seed: u64,
    pub(crate) code_version: String,
    /// Where the rows lay that it was learned from.
    pub(crate) spread: Spread,
    pub(crate) models: Vec<HorizonModel>,
    pub(crate) evaluations: Vec<HorizonEvaluation>,
    pub(crate) report: LeakReport,
}

impl Learned {
    /// Together with what it was learned from.
    pub(crate) fn from(
        self,
        panel: &Panel,
        features: &FeatureTable,
        course: &Course,
        as_of: NaiveDate,
    ) -> Trained {
        let artefact = Artefact {
            family: self.family,
            features: features.names().iter().map(|&name| name.to_owned()).collect(),
            models: self.models,
            trained_from: course.first_session,
            as_of,
            data_digest: panel.digest(),
            seed: self.seed,
            code_version: self.code_version,
            reference: FeatureReference::learn(features),
            spread: Some(self.spread),
        };
        let evaluation = Evaluation {
            test_start: course.test_start,
            test_end: course.last_session,
            horizons: self.evaluations,
        };
        Trained { artefact, evaluation, leak_report: self.report, features_digest: features.digest() }
    }
}

/// The columns the scale of uncertainty is learned from are held to the same demands as features.
pub(crate) fn check_volatility(inputs: &Inputs<'_>, table: &FeatureTable, seed: u64) -> Vec<LeakCheck> {
    let compute = |inputs: &Inputs<'_>| volatility::table(inputs, &FeatureTable::compute(inputs));
    let mut checks = leaks::check_table(inputs, table, &compute, seed);
    for check in &mut checks {
        check.case = format!("scale of uncertainty, {}", check.case);
    }
    checks
}

/// Tells the caller before each step.
pub(crate) struct Steps<'a> {
    pub(crate) done: usize,
    pub(crate) all: usize,
    pub(crate) progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
}

impl Steps<'_> {
    pub(crate) fn next(&mut self, stage: Stage) -> Result<(), TrainError> {
        let progress = Progress { step: self.done, steps: self.all, stage };
        self.done += 1;
        match (self.progress)(progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(TrainError::Cancelled),
        }
    }
}

pub(crate) fn refuse_leaks(report: &LeakReport) -> Result<(), TrainError> {
    if report.passed() { Ok(()) } else { Err(TrainError::Leak(Box::new(report.clone()))) }
}

/// The time line of a training.
pub(crate) struct Course {
    pub(crate) first_session: NaiveDate,
    pub(crate) last_session: NaiveDate,
    pub(crate) test_start: NaiveDate,
}

impl Course {
    /// Finds the quarters: some to learn from, four to calibrate on, the rest to score. A short history leaves fewer to score.
    pub(crate) fn of(
        inputs: &Inputs<'_>,
        features: &FeatureTable,
        horizons: &[usize],
        test_start: Option<NaiveDate>,
    ) -> Result<Self, TrainError> {
        let not_enough = |detail: String| TrainError::NotEnoughData { detail };
        let bars = inputs.panel.bars();
        let (first_session, last_session) =
            bars.sessions().ok_or_else(|| not_enough("there is not a single bar".to_owned()))?;
        let longest = horizons.last().copied().unwrap_or_default();
        let labels = Labels::new(inputs.panel, features, longest);
        let task = Task { features, labels: &labels };
        let labelled = || (0..features.len()).filter(|&row| task.labelled(row)).map(|row| bars.session[row]);
        let (Some(first), Some(last)) = (labelled().min(), labelled().max()) else {
            return Err(not_enough(format!(
                "no instrument has the {} sessions that features and a horizon of {longest} take",
                crate::features::WARM_UP_ROWS + 1 + longest
            )));
        };
        let last_quarter = quarter_start(days::date(last));
        let count = quarters(quarter_start(days::date(first)), 0, last_quarter).len();
        // What can be forecast at all: the label of the first row learned from and the embargo have to have passed.
        let sessions = inputs.panel.sessions();
        let learned = sessions.partition_point(|&session| days::day(session) < first) + LEAST_LEARNING;
        let ready = sessions.get(learned + 2 * longest).copied();
        let begins =
            ready.map(|ready| if quarter_start(ready) == ready { ready } else { next_quarter(ready) });
        let forecast = begins.map_or(0, |begins| quarters(begins, 0, last_quarter).len());
        let wanted = ((count as f64 * TEST_SHARE).round() as usize).max(1);
        let test = wanted.min(forecast.saturating_sub(CALIBRATION_QUARTERS as usize));
        if test_start.is_none() && test == 0 {
            let needed = CALIBRATION_QUARTERS + 1;
            return Err(not_enough(format!(
                "usable rows lie in {count} calendar quarters from {} to {}, and at a horizon of {longest} {forecast} of \
                 them can be forecast by what ended before; at least {needed} are needed: {CALIBRATION_QUARTERS} to \
                 calibrate on and one to score",
                days::date(first),
                days::date(last),
            )));
        }
        let test_start = test_start.unwrap_or_else(|| quarters_after(last_quarter, 1 - test as i64));
        if test_start > days::date(last) {
            return Err(not_enough(format!("nothing to score: no label starts on or after {test_start}")));
        }
        Ok(Self { first_session, last_session, test_start })
    }
}

fn next_quarter(date: NaiveDate) -> NaiveDate {
    quarters_after(quarter_start(date), 1)
}

/// Calibrates published forecasts on the out-of-sample forecasts of the last year, as long as a quarter of the
/// evaluation was calibrated on.
pub(crate) fn last_year(
    panel: &Panel,
    rows: &TestRows,
    predicted: &[f64],
    units: &Units,
    last_session: NaiveDate,
) -> Result<Calibration, TrainError> {
    let from = days::day(last_session - Months::new(3 * CALIBRATION_QUARTERS));
    let recent: Vec<usize> = (0..rows.len()).filter(|&i| rows.session[i] > from).collect();
    let found = recent.len();
    let calibrated =
        calibrate(rows, predicted, units, recent.into_iter()).ok_or_else(|| TrainError::NotEnoughData {
            detail: format!(
                "{found} forecasts of the last year to calibrate on; at least {NEEDED_SCORES} are needed"
            ),
        })?;
    let instruments = panel.keys().iter().cloned().zip(calibrated.factors).collect();
    Ok(Calibration { instruments, ..calibrated.calibration })
}
