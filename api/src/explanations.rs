//! `/predictions/{id}/explanation`: why a number is what it is, and that it can be made again.

use std::collections::HashMap;

use actix_web::{HttpRequest, HttpResponse, get, web};
use almanac_actors::explanations::{ExplainError, Explained, Rebuilt as Made};
use almanac_domain::values::{InvalidValue, LogReturn, Measure, Probability};
use almanac_ml::explain::{self, Case, Contribution, Reasons};
use almanac_projections::instruments::{self, InstrumentRef};
use almanac_projections::predictions::{self, Interval, Prediction};
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::{Kind, Problem};
use crate::state::State;
use crate::tagged::{self, ASK_EACH_TIME};

/// Why a prediction is what it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Explanation {
    /// The prediction.
    pub prediction: Uuid,
    /// Whether making it again gives what was published.
    pub rebuilt: Rebuilt,
    /// The digest of the artefact it was made with, as registered.
    pub artefact: String,
    /// The digest of the manifest of its data, as published.
    pub dataset: String,
    /// Why none was made, in a sentence; null where one was.
    pub abstention: Option<String>,
    /// What the number is made of; null for an abstention.
    pub reasons: Option<MadeOf>,
    /// Past sessions that looked alike, and how they ended; null for an abstention.
    pub cases: Option<Cases>,
    /// What changed since the session before; null where the same version would have abstained then.
    pub change: Option<ChangeSince>,
}

/// Whether a prediction that was made again, from the artefact and the data its event names, is the one published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rebuilt {
    /// Every number, to the last digit.
    Same,
    /// Every number but for the last digit of some, as on another kind of processor.
    Rounding,
    /// Something else came out.
    Differs,
}

/// What an expected return is made of.
#[derive(Debug, Serialize, ToSchema)]
pub struct MadeOf {
    /// The expected log return.
    #[schema(value_type = String)]
    pub expected: LogReturn,
    /// What is expected where no feature speaks for or against; with all amounts it sums up to what is expected.
    #[schema(value_type = String)]
    pub base: LogReturn,
    /// What each feature adds, in the version's order.
    pub contributions: Vec<Amount>,
}

/// What a feature adds to an expected return.
#[derive(Debug, Serialize, ToSchema)]
pub struct Amount {
    /// The feature.
    pub feature: String,
    /// The feature in words.
    pub words: String,
    /// What it is measured in.
    pub unit: FeatureUnit,
    /// Its value.
    #[schema(value_type = String)]
    pub value: Measure,
    /// How far that lies from the mean of what the version learnt from, in standard deviations.
    #[schema(value_type = String)]
    pub deviations: Measure,
    /// By how much it moves the expected log return.
    #[schema(value_type = String)]
    pub amount: LogReturn,
    /// By how much it moved that of the session before; null where there is none.
    #[schema(value_type = Option<String>)]
    pub before: Option<LogReturn>,
}

/// What a feature is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeatureUnit {
    /// A log return.
    LogReturn,
    /// Standard deviations.
    Deviations,
    /// A number between minus one and one.
    Score,
    /// A share of the price.
    ShareOfPrice,
    /// One or zero.
    YesOrNo,
    /// A number without a unit.
    Number,
}

/// The nearest past sessions of any instrument whose outcome was known by the as-of session.
#[derive(Debug, Serialize, ToSchema)]
pub struct Cases {
    /// How many they were chosen from.
    pub among: u64,
    /// The quantiles of their outcomes, ordered by level.
    pub quantiles: Vec<predictions::Quantile>,
    /// Nearest first.
    pub nearest: Vec<PastCase>,
}

/// A past session that looked alike.
#[derive(Debug, Serialize, ToSchema)]
pub struct PastCase {
    /// Of this instrument.
    pub instrument: InstrumentRef,
    /// The session.
    pub session: NaiveDate,
    /// The session on which its outcome was known.
    pub ended: NaiveDate,
    /// How far it lies away: the root of the mean squared difference of features, in standard deviations.
    #[schema(value_type = String)]
    pub distance: Measure,
    /// The log return that came.
    #[schema(value_type = String)]
    pub outcome: LogReturn,
}

/// What the same version would have said after the session before.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangeSince {
    /// The session before.
    pub session: NaiveDate,
    /// The expected log return then.
    #[schema(value_type = String)]
    pub expected: LogReturn,
    /// The 80% interval then.
    pub interval_80: Interval,
    /// The 95% interval then.
    pub interval_95: Interval,
    /// The probability of a rise then.
    #[schema(value_type = String)]
    pub probability_up: Probability,
}

impl From<Made> for Rebuilt {
    fn from(made: Made) -> Self {
        match made {
            Made::Same => Self::Same,
            Made::Rounding => Self::Rounding,
            Made::Differs => Self::Differs,
        }
    }
}

impl From<explain::Unit> for FeatureUnit {
    fn from(unit: explain::Unit) -> Self {
        match unit {
            explain::Unit::LogReturn => Self::LogReturn,
            explain::Unit::Deviations => Self::Deviations,
            explain::Unit::Score => Self::Score,
            explain::Unit::ShareOfPrice => Self::ShareOfPrice,
            explain::Unit::YesOrNo => Self::YesOrNo,
            explain::Unit::Number => Self::Number,
        }
    }
}

impl From<ExplainError> for Problem {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::Busy => Self::with(Kind::Unavailable, error.to_string()),
            ExplainError::NothingSaid => Self::with(Kind::Absent, error.to_string()),
            ExplainError::Trade(error) => error.into(),
        }
    }
}

/// Takes a prediction apart: what each feature added, past sessions that looked alike, what changed since the session
/// before. For this it is made again, and held against what was published.
#[utoipa::path(
    tag = "predictions",
    responses((status = 200, description = "The explanation", body = Explanation))
)]
#[get("/predictions/{id}/explanation")]
pub async fn get_prediction_explanation(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let pool = state.parts.database.pool();
    let found = predictions::find(pool, *id).await?;
    let prediction = found.ok_or_else(|| Problem::with(Kind::Absent, "there is no such prediction"))?;
    let explained = state.explanations.of(&state.parts, &prediction).await?;
    let cases = explained.outcome.iter().flat_map(|made| &made.cases.nearest);
    let ids: Vec<Uuid> = cases.filter_map(|case| case.key.parse().ok()).collect();
    let known = instruments::by_ids(pool, &ids).await?.into_iter();
    let named = known
        .map(|known| {
            let short = InstrumentRef { id: known.id, symbol: known.symbol, name: known.name };
            (known.id.to_string(), short)
        })
        .collect();
    let answer = answer(&prediction, &explained, &named).map_err(Problem::broken)?;
    tagged::json(&request, ASK_EACH_TIME, &answer)
}

fn answer(
    prediction: &Prediction,
    explained: &Explained,
    named: &HashMap<String, InstrumentRef>,
) -> Result<Explanation, InvalidValue> {
    let made = explained.outcome.as_ref().ok();
    let before = made.and_then(|made| made.before.as_ref());
    Ok(Explanation {
        prediction: prediction.id,
        rebuilt: explained.rebuilt.into(),
        artefact: explained.artefact.clone(),
        dataset: prediction.dataset.to_string(),
        abstention: explained.outcome.as_ref().err().map(ToString::to_string),
        reasons: made.map(|made| parts(&made.reasons, before)).transpose()?,
        cases: made.map(|made| cases(&made.cases, named)).transpose()?,
        change: before.map(change).transpose()?,
    })
}

fn parts(reasons: &Reasons, before: Option<&Reasons>) -> Result<MadeOf, InvalidValue> {
    let amount = |(place, part): (usize, &Contribution)| {
        let known = explain::meaning(&part.feature);
        let words = known.map_or(part.feature.as_str(), |meaning| meaning.words);
        let before = before.map(|before| LogReturn::from_f64(before.contributions[place].amount));
        Ok(Amount {
            feature: part.feature.clone(),
            words: words.to_owned(),
            unit: known.map_or(FeatureUnit::Number, |meaning| meaning.unit.into()),
            value: Measure::from_f64(part.value)?,
            deviations: Measure::from_f64(part.deviations)?,
            amount: LogReturn::from_f64(part.amount)?,
            before: before.transpose()?,
        })
    };
    Ok(MadeOf {
        expected: LogReturn::from_f64(reasons.predicted.expected)?,
        base: LogReturn::from_f64(reasons.base)?,
        contributions: reasons.contributions.iter().enumerate().map(amount).collect::<Result<_, _>>()?,
    })
}

fn cases(cases: &explain::Cases, named: &HashMap<String, InstrumentRef>) -> Result<Cases, InvalidValue> {
    let case = |case: &Case| {
        let instrument = named.get(&case.key)?.clone();
        let decimals = (Measure::from_f64(case.distance), LogReturn::from_f64(case.outcome));
        Some(match decimals {
            (Ok(distance), Ok(outcome)) => {
                Ok(PastCase { instrument, session: case.session, ended: case.ended, distance, outcome })
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        })
    };
    let levels = explain::CASE_LEVELS.into_iter().zip(cases.quantiles.into_iter().flatten());
    let quantile = |(level, value): (f64, f64)| {
        Ok(predictions::Quantile { level: Probability::from_f64(level)?, value: LogReturn::from_f64(value)? })
    };
    Ok(Cases {
        among: cases.among as u64,
        quantiles: levels.map(quantile).collect::<Result<_, InvalidValue>>()?,
        nearest: cases.nearest.iter().filter_map(case).collect::<Result<_, _>>()?,
    })
}

fn change(before: &Reasons) -> Result<ChangeSince, InvalidValue> {
    let interval = |(low, high): (f64, f64)| {
        Ok::<_, InvalidValue>(Interval { low: LogReturn::from_f64(low)?, high: LogReturn::from_f64(high)? })
    };
    Ok(ChangeSince {
        session: before.session,
        expected: LogReturn::from_f64(before.predicted.expected)?,
        interval_80: interval(before.predicted.interval_80)?,
        interval_95: interval(before.predicted.interval_95)?,
        probability_up: Probability::from_f64(before.predicted.probability_up)?,
    })
}
