//! A model trained elsewhere, looked at as closely as one trained here: what it is made of, what it makes of every row,
//! how it did on sessions it cannot have seen, how far off it was, and whether that is too good to be true.

use std::ops::ControlFlow;

use chrono::{Days, Months, NaiveDate};
use serde::{Deserialize, Serialize};

use crate::artefact::HorizonModel;
use crate::conformal::Scale;
use crate::days;
use crate::evaluation::{self, CALIBRATION_QUARTERS, TestRows, Units, Walk, quarters, quarters_after};
use crate::features::{FeatureTable, Inputs, Labels};
use crate::leaks::{self, LeakReport};
use crate::models::{Family, FitError, Fitted, Onnx, Spread, Task, drift};
use crate::onnx::OnnxError;
use crate::train::{
    Course, Learned, Progress, Stage, Steps, TrainError, Trained, check_volatility, last_year, refuse_leaks,
};
use crate::volatility;

/// Forecasts this many times as large as the returns are forecasts of something else.
const MOST_TIMES: f64 = 10.0;
/// Rows that are computed a second time, each alone.
const ROWS_AGAIN: usize = 2_000;

/// What is said of a model that is brought in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportSpec {
    /// The last session it may have learned from; without it, it may have seen the rows it is scored on.
    pub learnt_through: Option<NaiveDate>,
    /// Where chance in the leak sentinel starts from.
    pub seed: u64,
    /// The code that brings it in, for the record.
    pub code_version: String,
}

/// Why a model was not brought in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file is no model that can be used.
    #[error("horizon {horizon}: {source}")]
    File {
        /// Rows ahead.
        horizon: usize,
        /// What is wrong with it.
        source: OnnxError,
    },
    /// It gives no number for a row.
    #[error("horizon {horizon}: it gives no finite number for {key} from {session}")]
    NotFinite {
        /// Rows ahead.
        horizon: usize,
        /// The instrument.
        key: String,
        /// The session.
        session: NaiveDate,
    },
    /// It gives numbers of another size.
    #[error(
        "horizon {horizon}: its forecasts are {times:.0} times as large as returns; it has to forecast log returns"
    )]
    OtherSize {
        /// Rows ahead.
        horizon: usize,
        /// The root of the mean square of its forecasts, in that of returns.
        times: f64,
    },
    /// It gives another number when it is asked again.
    #[error("horizon {horizon}: it gives another number for the same row when others come along with it")]
    NotRepeatable {
        /// Rows ahead.
        horizon: usize,
    },
    /// What is true of every training went wrong.
    #[error(transparent)]
    Training(#[from] TrainError),
}

impl From<FitError> for ImportError {
    fn from(error: FitError) -> Self {
        Self::Training(error.into())
    }
}

/// Makes a model of files, one for each horizon in rows, on what was known at the end of the session `as_of`. Before
/// each step `progress` is told and may break off.
///
/// # Errors
/// When a file cannot be used, gives no sensible numbers, or there is too little to score and calibrate it on.
pub fn import(
    inputs: &Inputs<'_>,
    files: &[(usize, Vec<u8>)],
    spec: &ImportSpec,
    as_of: NaiveDate,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Trained, ImportError> {
    let mut files: Vec<&(usize, Vec<u8>)> = files.iter().collect();
    files.sort_by_key(|(horizon, _)| *horizon);
    let horizons: Vec<usize> = files.iter().map(|(horizon, _)| *horizon).collect();
    let different = horizons.windows(2).all(|pair| pair[0] < pair[1]);
    if horizons.first().is_none_or(|&first| first == 0) || !different {
        let words = "one file for each horizon is needed, and no horizon of zero";
        return Err(TrainError::BadSpec(words).into());
    }
    let mut steps = Steps { done: 0, all: 2 + 2 * horizons.len(), progress };

    steps.next(Stage::Features)?;
    let known = inputs.known_at(as_of);
    let (panel, inputs) = (&known.panel, known.inputs());
    let features = FeatureTable::compute(&inputs);
    let scales = volatility::table(&inputs, &features);
    let first_unseen = spec.learnt_through.map(|last| last + Days::new(1));
    let mut course = Course::of(&inputs, &features, &horizons, first_unseen)?;
    let mut burn_in = CALIBRATION_QUARTERS;
    if let Some(first) = first_unseen {
        // What it has seen is of no use for calibrating either: the first quarter it has not seen serves for that, as
        // long as a month and more is left to score.
        let second = quarters_after(first, 1);
        let enough = second + Months::new(1) <= course.last_session;
        (course.test_start, burn_in) = if enough { (second, 1) } else { (first, 0) };
    }
    let seen_through = spec.learnt_through.unwrap_or(as_of);
    let spread = Spread::of(&features, days::day(seen_through));

    steps.next(Stage::LeakChecks)?;
    let checks = leaks::check_features(&inputs, &features, &FeatureTable::compute, spec.seed);
    let mut report = LeakReport { checks, suspicions: Vec::new() };
    report.checks.extend(check_volatility(&inputs, &scales, spec.seed));
    refuse_leaks(&report)?;

    let (mut models, mut evaluations) = (Vec::new(), Vec::new());
    for (horizon, file) in files {
        let horizon = *horizon;
        steps.next(Stage::Fitting { horizon })?;
        let onnx = Onnx::new(file.clone(), spread.clone());
        let onnx = onnx.map_err(|source| ImportError::File { horizon, source })?;
        let labels = Labels::new(panel, &features, horizon);
        let task = Task { features: &features, labels: &labels };
        let fitted = Fitted::Onnx(onnx);
        check_numbers(&task, &fitted)?;

        steps.next(Stage::Evaluating { horizon })?;
        let folds = quarters(course.test_start, burn_in, course.last_session);
        let rows = TestRows::collect(panel, &task, folds);
        let everywhere = vec![fitted.clone(); rows.folds.len()];
        let walk = Walk { predicted: rows.predict(&task, &everywhere), fitted: everywhere };
        let starts = rows.folds.iter().map(|fold| days::day(fold.start));
        let cutoffs: Vec<i32> = starts.chain([days::day(as_of) + 1]).collect();
        let mut learned = volatility::fit(&scales, &labels, &cutoffs)?;
        let units = Units::har(&rows, &scales, &learned);
        let evaluation = evaluation::evaluate(&task, &rows, &walk, &units)?;
        report.suspicions.extend(leaks::suspicions(&evaluation));
        let calibration = last_year(panel, &rows, &walk.predicted, &units, course.last_session)?;
        models.push(HorizonModel {
            horizon,
            training_rows: 0,
            drift: drift(&task, days::day(as_of) + 1),
            fitted,
            volatility: learned.pop(),
            calibration,
        });
        evaluations.push(evaluation);
    }
    let learned = Learned {
        family: Family::Onnx,
        seed: spec.seed,
        code_version: spec.code_version.clone(),
        spread,
        models,
        evaluations,
        report,
    };
    Ok(learned.from(panel, &features, &course, as_of))
}

impl ImportSpec {
    /// What the scale of uncertainty of an imported model is measured in.
    pub const SCALE: Scale = Scale::Har;
}

/// Makes sure that it gives one number of the size of returns for every row, and the same again for each row alone.
fn check_numbers(task: &Task<'_>, fitted: &Fitted) -> Result<(), ImportError> {
    let (features, horizon) = (task.features, task.labels.horizon());
    let rows: Vec<usize> = (0..features.len()).filter(|&row| features.usable(row)).collect();
    let (mut values, mut forecast, mut came) = (Vec::new(), 0.0, 0.0);
    let again = rows.len().div_ceil(ROWS_AGAIN).max(1);
    for (&row, expected) in rows.iter().zip(fitted.predict_in(features, &rows)) {
        if !expected.is_finite() {
            let (key, session) = (features.key(row).to_owned(), days::date(features.sessions()[row]));
            return Err(ImportError::NotFinite { horizon, key, session });
        }
        if row % again == 0 {
            features.row(row, &mut values);
            if fitted.predict_for(features.key(row), &values).to_bits() != expected.to_bits() {
                return Err(ImportError::NotRepeatable { horizon });
            }
        }
        if task.labelled(row) {
            forecast += expected * expected;
            came += task.labels.value(row) * task.labels.value(row);
        }
    }
    let times = if came > 0.0 { (forecast / came).sqrt() } else { 0.0 };
    if times > MOST_TIMES { Err(ImportError::OtherSize { horizon, times }) } else { Ok(()) }
}
