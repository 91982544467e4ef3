//! A prediction: one instrument, one horizon, made as of one session, written before its outcome is known,
//! never changed, and scored once by the rule fixed when it was published.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::event_sourced::{event_sourced, events};
use crate::scoring::{Score, score};
use crate::values::{Digest, Horizon, LogReturn, Measure, Mode, ModelName, Price, Probability, Session};

/// By so much the chances of the fifths may miss one: each is rounded to ten decimal places.
const CHANCES_OFF: Decimal = Decimal::from_parts(5, 0, 0, false, 10);

/// Whether a prediction is published or made on trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schemars(rename = "PredictionRole")]
pub enum Role {
    /// Shown to everybody.
    Published,
    /// Made by a challenger beside the champion.
    Trial {
        /// The trial.
        trial: Uuid,
    },
}

/// The slot of a prediction, and who fills it on what grounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Slot {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: u32,
    /// The place in the model's stream at which that version became champion, or its trial was opened.
    pub model_sequence: u64,
    /// Published or on trial.
    pub role: Role,
    /// The round it belongs to.
    pub round: Uuid,
    /// The instrument.
    pub instrument: Uuid,
    /// The session whose close is the last thing known.
    pub as_of: Session,
    /// Sessions ahead.
    pub horizon: Horizon,
    /// The session whose close decides.
    pub target: Session,
    /// When the target session closes.
    pub target_closes_at: DateTime<Utc>,
    /// When the first session after `as_of` opens: a live prediction is published before.
    pub next_opens_at: DateTime<Utc>,
    /// The mode of its data and clock.
    pub mode: Mode,
    /// The digest of the manifest of the data it stands on.
    pub dataset: Digest,
}

/// An interval of log returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Its lower end.
    pub low: LogReturn,
    /// Its upper end.
    pub high: LogReturn,
}

/// One quantile of the predicted distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quantile {
    /// Its level, such as 0.9.
    pub level: Probability,
    /// The log return at it.
    pub value: LogReturn,
}

/// What is predicted, all in log returns from the close of the as-of session to the close of the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Forecast {
    /// The close of the as-of session.
    pub close: Price,
    /// The expected log return.
    pub expected: LogReturn,
    /// The scale the intervals are built on.
    pub scale: LogReturn,
    /// The probability that the return is above zero.
    pub probability_up: Probability,
    /// The interval that holds the return four times in five.
    pub interval_80: Interval,
    /// The interval that holds it nineteen times in twenty.
    pub interval_95: Interval,
    /// The predicted distribution, ordered by level.
    pub quantiles: Vec<Quantile>,
    /// The baseline "mean return of the training data".
    pub drift: LogReturn,
    /// Half-width of the 80% interval in units of the scale: the calibration it used.
    pub half_width_80: Measure,
    /// Half-width of the 95% interval in units of the scale.
    pub half_width_95: Measure,
    /// The standard deviation of the predicted distribution; not known of events before version 1.1, which did not say.
    #[serde(deserialize_with = "Option::deserialize")]
    pub volatility: Option<LogReturn>,
    /// The chances that the return lies in each fifth of those of all instruments that are predicted as of the session, the
    /// lowest fifth first; none where there are too few of them, and of events before version 1.1, which did not say.
    #[serde(deserialize_with = "Option::deserialize")]
    pub fifths: Option<[Probability; 5]>,
}

/// Why no prediction was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Abstention {
    /// The instrument has no bar at the as-of session.
    StaleData,
    /// The instrument has too few bars for its features.
    TooLittleHistory,
    /// A jump looks like a split nobody has recorded.
    UnresolvedSplit,
    /// A feature lies far outside what the version was trained on.
    OutOfRange,
    /// A number that must be finite is not.
    NotFinite,
    /// The version learnt from data that ended too long ago.
    ExpiredModel,
}

/// What can be asked of a prediction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PredictionCommand {
    /// Publishes it.
    PublishPrediction(Box<PredictionPublished>),
    /// Says that none is made.
    Abstain(Box<PredictionAbstained>),
    /// Measures it.
    ScorePrediction {
        /// The session whose close is the outcome.
        session: Session,
        /// The realised log return, adjusted for splits.
        realised: LogReturn,
        /// The close of the target session.
        close: Price,
        /// The batches the outcome was read from.
        batches: Vec<Uuid>,
        /// When.
        at: DateTime<Utc>,
    },
    /// Takes it out of the record, by the rule it was published with.
    VoidPrediction {
        /// Sessions that have closed since the target without a bar of the instrument.
        sessions_without_bar: u32,
        /// When.
        at: DateTime<Utc>,
    },
}

/// A prediction was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PredictionPublished {
    /// Its slot and grounds.
    pub slot: Slot,
    /// What is predicted.
    pub forecast: Forecast,
    /// The rule it will be scored by.
    pub scoring_rule: String,
    /// It is voided after this many sessions without a bar at or after the target.
    pub void_after_sessions: u32,
    /// When it was published.
    pub published_at: DateTime<Utc>,
}

/// No prediction was made for a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PredictionAbstained {
    /// The slot left empty.
    pub slot: Slot,
    /// Why.
    pub reason: Abstention,
    /// When.
    pub abstained_at: DateTime<Utc>,
}

/// A prediction was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PredictionScored {
    /// The realised log return.
    pub realised: LogReturn,
    /// The close of the target session.
    pub close: Price,
    /// How well it did.
    pub score: Score,
    /// The batches the outcome was read from.
    pub batches: Vec<Uuid>,
    /// When.
    pub scored_at: DateTime<Utc>,
}

/// A prediction was taken out of the record, because there was nothing to measure it against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PredictionVoided {
    /// Sessions without a bar of the instrument since the target.
    pub sessions_without_bar: u32,
    /// When.
    pub voided_at: DateTime<Utc>,
}

events! {
    /// What happened to a prediction.
    pub enum PredictionEvent {
        PredictionPublished = "PredictionPublished" "1.1" by "the Forecaster and `almanac predict`"
            from "1.0" through without_fifths,
        PredictionAbstained = "PredictionAbstained" "2.0" by "the Forecaster and `almanac predict`"
            from "1.0" through with_fewer_reasons,
        PredictionScored = "PredictionScored" "1.0" by "the Scorer",
        PredictionVoided = "PredictionVoided" "1.0" by "the Scorer",
    }
}

/// Before 1.1 neither the standard deviation nor the chances of the fifths were written down.
fn without_fifths(mut body: Value) -> Value {
    if let Some(forecast) = body.get_mut("forecast").and_then(Value::as_object_mut) {
        forecast.insert("volatility".to_owned(), Value::Null);
        forecast.insert("fifths".to_owned(), Value::Null);
    }
    body
}

/// 2.0 only has one more reason.
fn with_fewer_reasons(body: Value) -> Value {
    body
}

/// Why a prediction refuses a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PredictionRefusal {
    /// The slot is filled.
    #[error("this slot is published already")]
    AlreadyPublished,
    /// Abstaining is final.
    #[error("this slot was abstained from, which is final")]
    AlreadyAbstained,
    /// A live prediction comes before the market opens.
    #[error("a live prediction is published before the next session opens at {0}")]
    TooLate(DateTime<Utc>),
    /// Its target must lie after what is known.
    #[error("the target session must lie after the as-of session")]
    TargetNotAhead,
    /// Quantiles and intervals must be ordered.
    #[error("the quantiles and intervals of a prediction are ordered")]
    Disordered,
    /// A standard deviation has no sign.
    #[error("the volatility of a prediction is not below zero")]
    NegativeVolatility,
    /// The return lies in one of the fifths.
    #[error("the chances of the fifths of a prediction add up to one, not to {0}")]
    ChancesDoNotAddUp(Decimal),
    /// There is nothing published to measure.
    #[error("nothing was published for this slot")]
    NotPublished,
    /// Its horizon has not ended.
    #[error("the prediction cannot be scored before its target session closes at {0}")]
    TooEarly(DateTime<Utc>),
    /// The outcome is of another session.
    #[error("the prediction is scored on the close of {0} and no other session")]
    OtherSession(Session),
    /// A score is never repeated.
    #[error("the prediction is scored already")]
    AlreadyScored,
    /// It was voided.
    #[error("the prediction was voided")]
    Voided,
    /// The rule it was published with does not void it yet.
    #[error("the prediction is voided after {0} sessions without a bar, not before")]
    NotVoidable(u32),
    /// Its scoring rule is not known to this program.
    #[error("the scoring rule `{0}` is not known to this version of the program")]
    UnknownRule(String),
    /// A measure is not finite.
    #[error("the outcome cannot be measured")]
    Unmeasurable,
}

/// The present state of a prediction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prediction {
    /// Nothing said.
    #[default]
    Absent,
    /// Published and open.
    Published(Box<PredictionPublished>),
    /// Left empty for good.
    Abstained,
    /// Measured.
    Scored,
    /// Taken out of the record.
    Voided,
}

impl Prediction {
    /// Decides what follows from `command`.
    pub fn decide(&self, command: PredictionCommand) -> Result<Vec<PredictionEvent>, PredictionRefusal> {
        use PredictionCommand as C;
        match (self, command) {
            (Self::Absent, C::PublishPrediction(publication)) => {
                publication.in_time(publication.published_at)?;
                publication.ordered()?;
                publication.forecast.consistent()?;
                Ok(vec![(*publication).into()])
            }
            (Self::Absent, C::Abstain(abstention)) => Ok(vec![(*abstention).into()]),
            (Self::Abstained, C::PublishPrediction(_) | C::Abstain(_)) => {
                Err(PredictionRefusal::AlreadyAbstained)
            }
            (Self::Published(_) | Self::Scored | Self::Voided, C::PublishPrediction(_) | C::Abstain(_)) => {
                Err(PredictionRefusal::AlreadyPublished)
            }
            (Self::Published(published), C::ScorePrediction { session, realised, close, batches, at }) => {
                published.scorable(session, at)?;
                let score =
                    score(&published.forecast, realised).map_err(|_| PredictionRefusal::Unmeasurable)?;
                Ok(vec![PredictionScored { realised, close, score, batches, scored_at: at }.into()])
            }
            (Self::Published(published), C::VoidPrediction { sessions_without_bar, at }) => {
                if sessions_without_bar < published.void_after_sessions {
                    return Err(PredictionRefusal::NotVoidable(published.void_after_sessions));
                }
                Ok(vec![PredictionVoided { sessions_without_bar, voided_at: at }.into()])
            }
            (Self::Absent | Self::Abstained, C::ScorePrediction { .. } | C::VoidPrediction { .. }) => {
                Err(PredictionRefusal::NotPublished)
            }
            (Self::Scored, C::ScorePrediction { .. } | C::VoidPrediction { .. }) => {
                Err(PredictionRefusal::AlreadyScored)
            }
            (Self::Voided, C::ScorePrediction { .. } | C::VoidPrediction { .. }) => {
                Err(PredictionRefusal::Voided)
            }
        }
    }

    /// Takes in what happened.
    pub fn apply(&mut self, event: PredictionEvent) {
        *self = match event {
            PredictionEvent::PredictionPublished(published) => Self::Published(Box::new(published)),
            PredictionEvent::PredictionAbstained(_) => Self::Abstained,
            PredictionEvent::PredictionScored(_) => Self::Scored,
            PredictionEvent::PredictionVoided(_) => Self::Voided,
        };
    }
}

impl Forecast {
    fn consistent(&self) -> Result<(), PredictionRefusal> {
        if self.volatility.is_some_and(|volatility| volatility < LogReturn::ZERO) {
            return Err(PredictionRefusal::NegativeVolatility);
        }
        let Some(fifths) = self.fifths else { return Ok(()) };
        let sum: Decimal = fifths.iter().map(|chance| chance.decimal()).sum();
        if (sum - Decimal::ONE).abs() > CHANCES_OFF {
            return Err(PredictionRefusal::ChancesDoNotAddUp(sum));
        }
        Ok(())
    }
}

impl PredictionPublished {
    fn in_time(&self, now: DateTime<Utc>) -> Result<(), PredictionRefusal> {
        if self.slot.target <= self.slot.as_of {
            return Err(PredictionRefusal::TargetNotAhead);
        }
        match self.slot.mode {
            Mode::Live if now >= self.slot.next_opens_at => {
                Err(PredictionRefusal::TooLate(self.slot.next_opens_at))
            }
            Mode::Live | Mode::Replayed | Mode::Simulated => Ok(()),
        }
    }

    fn ordered(&self) -> Result<(), PredictionRefusal> {
        let forecast = &self.forecast;
        let rising = forecast.quantiles.windows(2).all(|pair| match pair {
            [a, b] => a.level < b.level && a.value <= b.value,
            _ => true,
        });
        let (inner, outer) = (forecast.interval_80, forecast.interval_95);
        let nested = outer.low <= inner.low && inner.low <= inner.high && inner.high <= outer.high;
        if rising && nested { Ok(()) } else { Err(PredictionRefusal::Disordered) }
    }

    fn scorable(&self, session: Session, now: DateTime<Utc>) -> Result<(), PredictionRefusal> {
        if self.scoring_rule != crate::scoring::RULE {
            return Err(PredictionRefusal::UnknownRule(self.scoring_rule.clone()));
        }
        if session != self.slot.target {
            return Err(PredictionRefusal::OtherSession(self.slot.target));
        }
        if now < self.slot.target_closes_at {
            return Err(PredictionRefusal::TooEarly(self.slot.target_closes_at));
        }
        Ok(())
    }
}

event_sourced!(Prediction, "prediction", PredictionCommand, PredictionEvent, PredictionRefusal);

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    pub fn log_return(value: f64) -> LogReturn {
        LogReturn::from_f64(value).expect("finite")
    }

    fn interval(low: f64, high: f64) -> Interval {
        Interval { low: log_return(low), high: log_return(high) }
    }

    /// Expects +0.1%, within -1.9% and +2.1% four times in five.
    pub fn forecast() -> Forecast {
        let quantile = |level: f64, value: f64| Quantile {
            level: Probability::from_f64(level).expect("valid"),
            value: log_return(value),
        };
        Forecast {
            close: Price::from_f64(100.0).expect("finite"),
            expected: log_return(0.001),
            scale: log_return(0.015),
            probability_up: Probability::from_f64(0.52).expect("valid"),
            interval_80: interval(-0.019, 0.021),
            interval_95: interval(-0.034, 0.036),
            quantiles: vec![quantile(0.1, -0.019), quantile(0.5, 0.001), quantile(0.9, 0.021)],
            drift: log_return(0.0005),
            half_width_80: Measure::from_f64(1.3).expect("finite"),
            half_width_95: Measure::from_f64(2.3).expect("finite"),
            volatility: Some(log_return(0.017)),
            fifths: Some([0.21, 0.19, 0.18, 0.2, 0.22].map(chance)),
        }
    }

    pub fn chance(value: f64) -> Probability {
        Probability::from_f64(value).expect("valid")
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::testing::{chance, forecast, log_return};
    use super::*;
    use crate::calendar::Calendar;
    use crate::event_sourced::testing::given;

    const FRIDAY: (i32, u32, u32) = (2024, 1, 5);

    fn published(mode: Mode) -> PredictionPublished {
        let as_of = Session::from_ymd_opt(FRIDAY.0, FRIDAY.1, FRIDAY.2).expect("a date");
        let target = Calendar::UnitedStates.next(as_of);
        PredictionPublished {
            slot: Slot {
                model: "us-daily".parse().expect("valid"),
                version: 1,
                model_sequence: 2,
                role: Role::Published,
                round: Uuid::from_u128(1),
                instrument: Uuid::from_u128(2),
                as_of,
                horizon: Horizon::new(1).expect("valid"),
                target,
                target_closes_at: Calendar::UnitedStates.closes_at(target),
                next_opens_at: Calendar::UnitedStates.opens_at(target),
                mode,
                dataset: "a".repeat(64).parse().expect("valid"),
            },
            forecast: forecast(),
            scoring_rule: crate::scoring::RULE.into(),
            void_after_sessions: 10,
            published_at: Calendar::UnitedStates.closes_at(as_of),
        }
    }

    fn publish(publication: PredictionPublished) -> PredictionCommand {
        PredictionCommand::PublishPrediction(Box::new(publication))
    }

    fn abstained() -> PredictionAbstained {
        let publication = published(Mode::Live);
        PredictionAbstained {
            slot: publication.slot,
            reason: Abstention::StaleData,
            abstained_at: publication.published_at,
        }
    }

    fn scoring(at: DateTime<Utc>) -> PredictionCommand {
        PredictionCommand::ScorePrediction {
            session: published(Mode::Live).slot.target,
            realised: log_return(0.01),
            close: Price::from_f64(101.0).expect("finite"),
            batches: vec![],
            at,
        }
    }

    #[test]
    fn a_slot_is_published_once() {
        let publication = published(Mode::Live);
        let events = Prediction::default().decide(publish(publication.clone())).expect("granted");
        assert_eq!(events, vec![publication.clone().into()]);
        let filled: Prediction = given(events);
        assert_eq!(filled.decide(publish(publication)), Err(PredictionRefusal::AlreadyPublished));
    }

    #[test]
    fn a_live_prediction_is_refused_at_the_opening_of_the_next_session_and_after() {
        let mut late = published(Mode::Live);
        late.published_at = late.slot.next_opens_at;
        let refused = Prediction::default().decide(publish(late.clone()));
        assert_eq!(refused, Err(PredictionRefusal::TooLate(late.slot.next_opens_at)));
        late.published_at -= TimeDelta::seconds(1);
        assert!(Prediction::default().decide(publish(late)).is_ok());
    }

    #[test]
    fn a_replayed_prediction_has_no_deadline_on_the_wall_clock() {
        let mut later = published(Mode::Replayed);
        later.published_at += TimeDelta::days(1000);
        assert!(Prediction::default().decide(publish(later)).is_ok());
    }

    #[test]
    fn abstaining_is_final() {
        let empty: Prediction = given([abstained().into()]);
        let refused = empty.decide(publish(published(Mode::Live)));
        assert_eq!(refused, Err(PredictionRefusal::AlreadyAbstained));
        assert_eq!(
            empty.decide(scoring(published(Mode::Live).slot.target_closes_at)),
            Err(PredictionRefusal::NotPublished)
        );
    }

    #[test]
    fn a_prediction_is_not_scored_before_its_horizon_ends() {
        let open: Prediction = given([published(Mode::Live).into()]);
        let bell = published(Mode::Live).slot.target_closes_at;
        let early = open.decide(scoring(bell - TimeDelta::seconds(1)));
        assert_eq!(early, Err(PredictionRefusal::TooEarly(bell)));
        assert!(open.decide(scoring(bell)).is_ok());
    }

    #[test]
    fn a_prediction_is_scored_on_its_own_session_only() {
        let open: Prediction = given([published(Mode::Live).into()]);
        let PredictionCommand::ScorePrediction { session, realised, close, batches, at } =
            scoring(published(Mode::Live).slot.target_closes_at)
        else {
            unreachable!("scoring scores")
        };
        let session = session.succ_opt().expect("a date");
        let other = PredictionCommand::ScorePrediction { session, realised, close, batches, at };
        let target = published(Mode::Live).slot.target;
        assert_eq!(open.decide(other), Err(PredictionRefusal::OtherSession(target)));
    }

    #[test]
    fn a_score_is_never_repeated() {
        let open: Prediction = given([published(Mode::Live).into()]);
        let bell = published(Mode::Live).slot.target_closes_at;
        let mut scored = open.clone();
        for event in open.decide(scoring(bell)).expect("granted") {
            scored.apply(event);
        }
        assert_eq!(scored.decide(scoring(bell)), Err(PredictionRefusal::AlreadyScored));
    }

    #[test]
    fn a_prediction_is_voided_only_by_the_rule_it_was_published_with() {
        let open: Prediction = given([published(Mode::Live).into()]);
        let void = |sessions_without_bar| PredictionCommand::VoidPrediction {
            sessions_without_bar,
            at: DateTime::UNIX_EPOCH,
        };
        assert_eq!(open.decide(void(9)), Err(PredictionRefusal::NotVoidable(10)));
        assert!(open.decide(void(10)).is_ok());
    }

    #[test]
    fn crossing_quantiles_are_refused() {
        let mut crossed = published(Mode::Live);
        crossed.forecast.quantiles.reverse();
        assert_eq!(Prediction::default().decide(publish(crossed)), Err(PredictionRefusal::Disordered));
        let mut inverted = published(Mode::Live);
        inverted.forecast.interval_95.high = log_return(0.0);
        assert_eq!(Prediction::default().decide(publish(inverted)), Err(PredictionRefusal::Disordered));
    }

    #[test]
    fn chances_of_the_fifths_that_do_not_add_up_to_one_are_refused_beyond_rounding() {
        let with = |fifths: [f64; 5]| {
            let mut publication = published(Mode::Live);
            publication.forecast.fifths = Some(fifths.map(chance));
            Prediction::default().decide(publish(publication))
        };
        assert!(with([0.2; 5]).is_ok());
        // As far off as rounding may get.
        assert!(with([0.199_999_999_9, 0.2, 0.2, 0.2, 0.199_999_999_9]).is_ok());
        let sum = Decimal::new(9_999, 4);
        assert_eq!(with([0.2, 0.2, 0.2, 0.2, 0.1999]), Err(PredictionRefusal::ChancesDoNotAddUp(sum)));
        assert!(with([0.3, 0.2, 0.2, 0.2, 0.2]).is_err());
    }

    #[test]
    fn too_few_instruments_to_rank_leave_a_prediction_without_fifths() {
        let mut alone = published(Mode::Live);
        alone.forecast.fifths = None;
        assert!(Prediction::default().decide(publish(alone)).is_ok());
    }

    #[test]
    fn a_volatility_below_zero_is_refused() {
        let mut negative = published(Mode::Live);
        negative.forecast.volatility = Some(log_return(-0.01));
        assert_eq!(
            Prediction::default().decide(publish(negative)),
            Err(PredictionRefusal::NegativeVolatility)
        );
    }

    #[test]
    fn an_unknown_scoring_rule_is_not_guessed() {
        let mut newer = published(Mode::Live);
        newer.scoring_rule = "returns-9".into();
        let bell = newer.slot.target_closes_at;
        let open: Prediction = given([newer.into()]);
        assert_eq!(open.decide(scoring(bell)), Err(PredictionRefusal::UnknownRule("returns-9".into())));
    }
}
