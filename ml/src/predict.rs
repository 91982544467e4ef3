//! Forecasts of every instrument from one session's close, or the reason why there is none.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::artefact::{Artefact, HorizonModel};
use crate::bars::{JumpKind, jumps};
use crate::days;
use crate::features::{FeatureSet, Inputs, SessionFeatures, WARM_UP_ROWS, of_the_session};
use crate::fifths::{FIFTHS, Fifths};
use crate::panel::Series;
use crate::parallel::Threads;
use crate::uncertainty::Uncertainty;

/// Features further than this many standard deviations from the mean of training mean that something else is going on
/// (a suspended stock, a wrong price) than the model has learned from.
const FARTHEST: f64 = 40.0;

/// What is said about one instrument at one horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// The instrument.
    pub key: String,
    /// The session from whose close it is made.
    pub session: NaiveDate,
    /// Rows (sessions of the instrument) ahead.
    pub horizon: usize,
    /// A forecast, or a reason.
    pub outcome: Outcome,
}

/// A forecast, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A distribution of the log return.
    Predicted(Predicted),
    /// Nothing can be said honestly.
    Abstained(Abstention),
}

/// A distribution of the log return from the session's close to the close `horizon` sessions later.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// The close it starts from.
    pub close: f64,
    /// The expected log return.
    pub expected: f64,
    /// The scale of its uncertainty (log return), level included.
    pub scale: f64,
    /// By what the misses of the last sessions have multiplied the scale: the state of the online correction; 1 where there
    /// is none.
    pub level: f64,
    /// Its quantiles at [`crate::conformal::QUANTILES`], never falling.
    pub quantiles: [f64; 7],
    /// The central 80% interval.
    pub interval_80: (f64, f64),
    /// The central 95% interval.
    pub interval_95: (f64, f64),
    /// The probability of a return above zero.
    pub probability_up: f64,
    /// The standard deviation of the distribution (log return over the horizon): [`Calibration::standard_deviation`] times
    /// the scale.
    ///
    /// [`Calibration::standard_deviation`]: crate::conformal::Calibration::standard_deviation
    pub volatility: f64,
    /// The chances that the return lies in each fifth of those of the session's instruments, the lowest first; nothing where
    /// fewer than [`NEEDED_INSTRUMENTS`](crate::fifths::NEEDED_INSTRUMENTS) are forecast.
    pub fifths: Option<[f64; FIFTHS]>,
}

/// Why nothing can be said honestly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "reason")]
#[non_exhaustive]
pub enum Abstention {
    /// The session's bar is not there; a forecast from an older one would look fresh and be stale.
    #[error("no bar at {session}; the latest before it is {}", latest.map_or("none".to_owned(), |date| date.to_string()))]
    NoBarAtSession {
        /// The session asked for.
        session: NaiveDate,
        /// The latest session before it that has a bar.
        latest: Option<NaiveDate>,
    },
    /// Features look back further than the instrument's history.
    #[error("only {rows} sessions of history; {needed} are needed")]
    TooLittleHistory {
        /// Bars up to the session.
        rows: usize,
        /// Bars needed.
        needed: usize,
    },
    /// A jump within the features' look-back looks like a split nobody has recorded.
    #[error("the price jumps at {session} like a {ratio} for 1 split that is not recorded")]
    UnresolvedSplit {
        /// The session of the jump.
        session: NaiveDate,
        /// New shares per old share.
        ratio: f64,
    },
    /// A feature is far outside of anything the model learned from.
    #[error("{feature} is {value}, far outside of what the model has learned from")]
    FeatureOutOfRange {
        /// The feature.
        feature: String,
        /// Its value.
        value: f64,
    },
}

/// Why nobody can be forecast with an artefact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PredictError {
    /// The artefact looks at other features than these inputs give.
    #[error("the model looks at [{expected}], the inputs give [{found}]")]
    OtherFeatures {
        /// Those of the artefact.
        expected: String,
        /// Those of the inputs.
        found: String,
    },
}

/// Forecasts every instrument of the panel from the close of a session, in the order of the names, horizons in the
/// artefact's order. Later bars are not looked at.
///
/// # Errors
/// When the artefact was made for other features.
pub fn forecast(
    artefact: &Artefact,
    inputs: &Inputs<'_>,
    session: NaiveDate,
) -> Result<Vec<Forecast>, PredictError> {
    forecast_on(artefact, inputs, session, Threads::available())
}

/// The same, bit by bit, on some threads.
///
/// # Errors
/// When the artefact was made for other features.
pub fn forecast_on(
    artefact: &Artefact,
    inputs: &Inputs<'_>,
    session: NaiveDate,
    threads: Threads,
) -> Result<Vec<Forecast>, PredictError> {
    let inputs = &inputs.looking_at(FeatureSet::of(&artefact.features));
    let names = inputs.names();
    if !names.iter().eq(artefact.features.iter()) {
        let (expected, found) = (artefact.features.join(", "), names.join(", "));
        return Err(PredictError::OtherFeatures { expected, found });
    }
    let uncertainty = Uncertainty::of(artefact, inputs, session, threads);
    let panel = inputs.panel;
    let known = SessionFeatures::of(inputs, days::day(session));
    let mut forecasts = Vec::with_capacity(panel.keys().len() * artefact.models.len());
    for instrument in 0..panel.keys().len() {
        let series = panel.series(instrument);
        let features = features_at(inputs, &known, instrument, &series, session);
        for (position, model) in artefact.models.iter().enumerate() {
            let outcome = match &features {
                Err(reason) => Outcome::Abstained(reason.clone()),
                Ok((t, values)) => {
                    if let Some(reason) = out_of_range(artefact, model, &names, values) {
                        Outcome::Abstained(reason)
                    } else {
                        let scale = uncertainty.scale(position, model, series.key, values);
                        let level = uncertainty.level(position);
                        let made = predict(model, series.key, series.close[*t], values, scale);
                        Outcome::Predicted(Predicted { level, ..made })
                    }
                }
            };
            forecasts.push(Forecast { key: series.key.to_owned(), session, horizon: model.horizon, outcome });
        }
    }
    for (position, model) in artefact.models.iter().enumerate() {
        rank(model, forecasts.iter_mut().skip(position).step_by(artefact.models.len()));
    }
    Ok(forecasts)
}

/// Says of all forecasts of one horizon how likely each fifth is; those that are no numbers are ranked with nobody.
fn rank<'a>(model: &HorizonModel, forecasts: impl Iterator<Item = &'a mut Forecast>) {
    let made = forecasts.filter_map(|made| match &mut made.outcome {
        Outcome::Predicted(predicted) if predicted.expected.is_finite() && predicted.scale.is_finite() => {
            Some(predicted)
        }
        Outcome::Predicted(_) | Outcome::Abstained(_) => None,
    });
    let made: Vec<&mut Predicted> = made.collect();
    let all: Vec<(f64, f64)> = made.iter().map(|predicted| (predicted.expected, predicted.scale)).collect();
    if let Some(fifths) = Fifths::of(&model.calibration, &all) {
        for predicted in made {
            predicted.fifths = Some(fifths.chances(predicted.expected, predicted.scale));
        }
    }
}

/// The row of the session and its features, or why they are of no use.
fn features_at(
    inputs: &Inputs<'_>,
    known: &SessionFeatures,
    instrument: usize,
    series: &Series<'_>,
    session: NaiveDate,
) -> Result<(usize, Vec<f64>), Abstention> {
    let wanted = days::day(session);
    let t = series.session.binary_search(&wanted).map_err(|place| Abstention::NoBarAtSession {
        session,
        latest: place.checked_sub(1).map(|before| days::date(series.session[before])),
    })?;
    let needed = WARM_UP_ROWS + 1;
    if t + 1 < needed {
        return Err(Abstention::TooLittleHistory { rows: t + 1, needed });
    }
    let window = t + 1 - needed..=t;
    for jump in jumps(&series.open[window.clone()], &series.close[window.clone()]) {
        if let JumpKind::Split { ratio } = jump.kind {
            let at = days::date(series.session[window.start() + jump.at]);
            return Err(Abstention::UnresolvedSplit { session: at, ratio });
        }
    }
    let row = inputs.panel.rows(instrument).start + t;
    let rows = row + 1 - inputs.panel.run_of(row).start;
    if rows < needed {
        return Err(Abstention::TooLittleHistory { rows, needed });
    }
    let values = known.row(instrument).ok_or(Abstention::NoBarAtSession { session, latest: None })?;
    Ok((t, values))
}

fn out_of_range(
    artefact: &Artefact,
    model: &HorizonModel,
    names: &[&str],
    values: &[f64],
) -> Option<Abstention> {
    let far = |(feature, value): (usize, &f64)| {
        // What all instruments of a session share says nothing of one of them: a wrong price among them would silence all.
        if of_the_session(names[feature]) {
            return value.is_nan();
        }
        let distance = artefact.distance(model, feature, *value);
        distance.is_nan() || distance.abs() > FARTHEST
    };
    let feature = values.iter().enumerate().position(far)?;
    Some(Abstention::FeatureOutOfRange { feature: names[feature].to_owned(), value: values[feature] })
}

fn predict(model: &HorizonModel, key: &str, close: f64, values: &[f64], scale: f64) -> Predicted {
    let expected = model.fitted.predict_for(key, values);
    let distribution = model.calibration.distribution(expected, scale);
    Predicted {
        close,
        expected,
        scale,
        level: 1.0,
        quantiles: distribution.quantiles,
        interval_80: distribution.interval_80(),
        interval_95: distribution.interval_95(),
        probability_up: distribution.probability_up,
        volatility: model.calibration.standard_deviation() * scale,
        fifths: None,
    }
}
