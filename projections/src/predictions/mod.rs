//! Predictions and their rounds: what was published, what came of it, and what is still open.

mod bulk;
mod due;
mod keep;
mod read;
pub mod rounds;

use std::str::FromStr;

use almanac_domain::values::{
    Digest, Horizon, LogReturn, Measure, Mode, ModelName, Price, Probability, Session,
};
use almanac_store::log::{Handler, HandlerError, OnUnknown, Recorded, Rows};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::instruments::InstrumentRef;

pub use due::{OpenPrediction, OpenSlot, due, open_slots, slots_of_round};
pub use read::{Filter, find, latest, list};
pub(crate) use read::{SHOWN, shown};

/// The subscription that reads of predictions, rounds and the track record wait for.
pub const NAME: &str = "predictions";

/// What has become of a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its day has not come.
    Open,
    /// It is measured.
    Scored,
    /// It was taken out of the record by its rule.
    Voided,
    /// None was made.
    Abstained,
}

/// A text that is not a state of a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a prediction is open, scored, voided or abstained")]
pub struct BadState;

impl State {
    /// The word it is stored and shown as.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Scored => "scored",
            Self::Voided => "voided",
            Self::Abstained => "abstained",
        }
    }
}

impl FromStr for State {
    type Err = BadState;

    fn from_str(text: &str) -> Result<Self, BadState> {
        [Self::Open, Self::Scored, Self::Voided, Self::Abstained]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(BadState)
    }
}

/// A prediction, or the abstention from one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Prediction {
    /// Its id.
    pub id: Uuid,
    /// The model that made it.
    #[schema(value_type = String)]
    pub model: ModelName,
    /// The version that made it.
    pub version: u32,
    /// What it is about.
    pub instrument: InstrumentRef,
    /// The session whose close is the last thing it knew.
    #[schema(value_type = chrono::NaiveDate)]
    pub as_of: Session,
    /// Sessions ahead.
    #[schema(value_type = u32)]
    pub horizon: Horizon,
    /// The session whose close decides.
    #[schema(value_type = chrono::NaiveDate)]
    pub target: Session,
    /// When that session closes.
    pub target_closes_at: DateTime<Utc>,
    /// Real or simulated prices, by which clock.
    #[schema(value_type = String)]
    pub mode: Mode,
    /// What has become of it.
    pub state: State,
    /// When it was published or abstained from.
    pub published_at: DateTime<Utc>,
    /// The close of the as-of session.
    #[schema(value_type = Option<String>)]
    pub close: Option<Price>,
    /// What is predicted; null for an abstention.
    pub forecast: Option<Forecast>,
    /// Why none was made.
    pub abstention: Option<String>,
    /// The realised log return.
    #[schema(value_type = Option<String>)]
    pub realised: Option<LogReturn>,
    /// The close of the target session.
    #[schema(value_type = Option<String>)]
    pub target_close: Option<Price>,
    /// How well it did.
    pub score: Option<Score>,
    /// When it was measured.
    pub scored_at: Option<DateTime<Utc>>,
    /// The digest of the manifest of the data it stands on.
    #[schema(value_type = String)]
    pub dataset: Digest,
    /// The round it belongs to.
    pub round: Uuid,
    /// The place of its publication in the log.
    pub ordinal: i64,
}

/// An interval of log returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Interval {
    /// Its lower end.
    #[schema(value_type = String)]
    pub low: LogReturn,
    /// Its upper end.
    #[schema(value_type = String)]
    pub high: LogReturn,
}

/// One quantile of a predicted distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quantile {
    /// Its level.
    #[schema(value_type = String)]
    pub level: Probability,
    /// The log return at it.
    #[schema(value_type = String)]
    pub value: LogReturn,
}

/// What is predicted, in log returns from the close of the as-of session to the close of the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Forecast {
    /// The close of the as-of session.
    #[schema(value_type = String)]
    pub close: Price,
    /// The expected log return.
    #[schema(value_type = String)]
    pub expected: LogReturn,
    /// The scale the intervals are built on.
    #[schema(value_type = String)]
    pub scale: LogReturn,
    /// The probability of a rise.
    #[schema(value_type = String)]
    pub probability_up: Probability,
    /// Holds the return four times in five.
    pub interval_80: Interval,
    /// Holds the return nineteen times in twenty.
    pub interval_95: Interval,
    /// The predicted distribution, ordered by level.
    pub quantiles: Vec<Quantile>,
    /// The baseline: the mean return of the training data.
    #[schema(value_type = String)]
    pub drift: LogReturn,
    /// Half-width of the 80% interval in units of the scale.
    #[schema(value_type = String)]
    pub half_width_80: Measure,
    /// Half-width of the 95% interval in units of the scale.
    #[schema(value_type = String)]
    pub half_width_95: Measure,
    /// The standard deviation of the predicted distribution; null of predictions from before it was written down.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub volatility: Option<LogReturn>,
    /// The chances that the return lies in each fifth of those of the session's instruments, the lowest first; null where
    /// there were too few of them, and of predictions from before they were written down.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(default)]
    pub fifths: Option<[Probability; 5]>,
}

/// Squared errors of a prediction and of the guesses that need no model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Losses {
    /// Of the prediction.
    #[schema(value_type = String)]
    pub model: Measure,
    /// Of "no change".
    #[schema(value_type = String)]
    pub zero: Measure,
    /// Of "the mean return of the training data".
    #[schema(value_type = String)]
    pub drift: Measure,
}

/// How well a prediction did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Score {
    /// Squared errors.
    pub squared_error: Losses,
    /// Whether it had the sign right; null where there was no sign.
    pub hit: Option<bool>,
    /// Whether the 80% interval held the outcome.
    pub inside_80: bool,
    /// Whether the 95% interval held the outcome.
    pub inside_95: bool,
    /// Interval score of the 80% interval, in log return; lower is better.
    #[schema(value_type = String)]
    pub interval_score_80: Measure,
    /// Interval score of the 95% interval.
    #[schema(value_type = String)]
    pub interval_score_95: Measure,
    /// Brier score of the probability of a rise: 0 is perfect, 0.25 is a coin.
    #[schema(value_type = String)]
    pub brier: Measure,
    /// Mean pinball loss over the quantiles, in log return.
    #[schema(value_type = String)]
    pub pinball: Measure,
}

/// Keeps predictions and rounds.
#[derive(Debug, Clone, Copy)]
pub struct Predictions;

#[async_trait]
impl Handler for Predictions {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> i32 {
        3
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Some(include_str!("../../sql/predictions.sql"))
    }

    fn on_unknown(&self) -> OnUnknown {
        OnUnknown::StopAt(&["forecast_round", "instrument", "prediction"])
    }

    async fn apply(&self, conn: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        bulk::Bulk::of(std::slice::from_ref(event))?.write(conn).await
    }

    fn indexes_last(&self) -> bool {
        true
    }

    fn rows(&self, events: &[Recorded]) -> Result<Option<Box<dyn Rows>>, HandlerError> {
        Ok(Some(Box::new(bulk::Bulk::of(events)?)))
    }
}
