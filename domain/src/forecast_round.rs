//! A round: all predictions of one model for one session, opened before the first and closed after the last.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event_sourced::{event_sourced, events};
use crate::values::{Digest, Horizon, Measure, Mode, ModelName, Session};

/// What a horizon's intervals were calibrated with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// The horizon.
    pub horizon: Horizon,
    /// Out-of-sample scores the quantiles were taken from.
    pub scores: u64,
    /// Half-width of the 80% interval in units of the scale.
    pub half_width_80: Measure,
    /// Half-width of the 95% interval in units of the scale.
    pub half_width_95: Measure,
    /// By what the misses of the last sessions have multiplied the scale: the state of the online correction. None where
    /// nothing was predicted, and of rounds before version 1.1, which did not say.
    #[serde(deserialize_with = "Option::deserialize")]
    pub level: Option<Measure>,
}

/// What can be asked of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForecastRoundCommand {
    /// Opens it.
    OpenRound(RoundOpened),
    /// Closes it.
    CompleteRound(RoundCompleted),
}

/// Publishing for a session has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoundOpened {
    /// The model.
    pub model: ModelName,
    /// The champion that publishes.
    pub version: u32,
    /// The session whose close is the last thing known.
    pub session: Session,
    /// The mode of its data and clock.
    pub mode: Mode,
    /// The digest of the manifest of the data it stands on.
    pub dataset: Digest,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
}

/// Every prediction of the round is published or abstained from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoundCompleted {
    /// The model.
    pub model: ModelName,
    /// The version that published.
    pub version: u32,
    /// The session.
    pub session: Session,
    /// The mode.
    pub mode: Mode,
    /// Predictions published.
    pub published: u64,
    /// Predictions abstained from.
    pub abstained: u64,
    /// The calibration that holds after the round.
    pub calibration: Vec<Calibration>,
    /// When it was closed.
    pub completed_at: DateTime<Utc>,
}

events! {
    /// What happened to a round.
    pub enum ForecastRoundEvent {
        RoundOpened = "RoundOpened" "1.0" by "the Forecaster and `almanac predict`",
        RoundCompleted = "RoundCompleted" "1.1" by "the Forecaster and `almanac predict`" from "1.0" through without_level,
    }
}

/// Before 1.1 the state of the online correction was not written down.
fn without_level(mut body: Value) -> Value {
    let calibrations = body.get_mut("calibration").and_then(Value::as_array_mut);
    for calibration in calibrations.into_iter().flatten().filter_map(Value::as_object_mut) {
        calibration.insert("level".to_owned(), Value::Null);
    }
    body
}

/// Why a round refuses a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForecastRoundRefusal {
    /// It was never opened.
    #[error("the round was not opened")]
    NotOpened,
    /// It is closed.
    #[error("the round is complete")]
    Complete,
    /// Another version began it and must finish it.
    #[error("version {0} opened this round and completes it")]
    OtherVersion(u32),
}

/// The present state of a round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForecastRound {
    /// Not opened.
    #[default]
    Absent,
    /// Being published by this version.
    Open {
        /// The version that opened it.
        version: u32,
    },
    /// Closed.
    Complete,
}

impl ForecastRound {
    /// Decides what follows from `command`. Opening an open round with the same version again changes nothing.
    pub fn decide(
        &self,
        command: ForecastRoundCommand,
    ) -> Result<Vec<ForecastRoundEvent>, ForecastRoundRefusal> {
        use ForecastRoundCommand as C;
        match (self, command) {
            (Self::Absent, C::OpenRound(opening)) => Ok(vec![opening.into()]),
            (Self::Open { version }, C::OpenRound(opening)) if *version == opening.version => Ok(vec![]),
            (Self::Open { version }, C::OpenRound(_)) => Err(ForecastRoundRefusal::OtherVersion(*version)),
            (Self::Absent, C::CompleteRound(_)) => Err(ForecastRoundRefusal::NotOpened),
            (Self::Open { version }, C::CompleteRound(completion)) if *version == completion.version => {
                Ok(vec![completion.into()])
            }
            (Self::Open { version }, C::CompleteRound(_)) => {
                Err(ForecastRoundRefusal::OtherVersion(*version))
            }
            (Self::Complete, _) => Err(ForecastRoundRefusal::Complete),
        }
    }

    /// Takes in what happened.
    pub fn apply(&mut self, event: ForecastRoundEvent) {
        *self = match event {
            ForecastRoundEvent::RoundOpened(opened) => Self::Open { version: opened.version },
            ForecastRoundEvent::RoundCompleted(_) => Self::Complete,
        };
    }
}

event_sourced!(
    ForecastRound,
    "forecast_round",
    ForecastRoundCommand,
    ForecastRoundEvent,
    ForecastRoundRefusal
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_sourced::testing::given;

    fn opened(version: u32) -> RoundOpened {
        RoundOpened {
            model: "us-daily".parse().expect("valid"),
            version,
            session: Session::from_ymd_opt(2024, 1, 5).expect("a date"),
            mode: Mode::Live,
            dataset: "a".repeat(64).parse().expect("valid"),
            opened_at: DateTime::UNIX_EPOCH,
        }
    }

    fn completed(version: u32) -> RoundCompleted {
        RoundCompleted {
            model: opened(1).model,
            version,
            session: opened(1).session,
            mode: Mode::Live,
            published: 1,
            abstained: 0,
            calibration: vec![],
            completed_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_round_is_opened_before_it_is_completed() {
        let complete = ForecastRoundCommand::CompleteRound(completed(1));
        assert_eq!(ForecastRound::default().decide(complete), Err(ForecastRoundRefusal::NotOpened));
    }

    #[test]
    fn the_version_that_opened_a_round_completes_it() {
        let open: ForecastRound = given([opened(1).into()]);
        let other = ForecastRoundCommand::CompleteRound(completed(2));
        assert_eq!(open.decide(other), Err(ForecastRoundRefusal::OtherVersion(1)));
        assert!(open.decide(ForecastRoundCommand::CompleteRound(completed(1))).is_ok());
    }

    #[test]
    fn a_round_cut_off_is_opened_again_without_a_second_event() {
        let open: ForecastRound = given([opened(1).into()]);
        assert_eq!(open.decide(ForecastRoundCommand::OpenRound(opened(1))), Ok(vec![]));
        let other = ForecastRoundCommand::OpenRound(opened(2));
        assert_eq!(open.decide(other), Err(ForecastRoundRefusal::OtherVersion(1)));
    }

    #[test]
    fn a_complete_round_is_complete() {
        let done: ForecastRound = given([opened(1).into(), completed(1).into()]);
        let open = ForecastRoundCommand::OpenRound(opened(1));
        assert_eq!(done.decide(open), Err(ForecastRoundRefusal::Complete));
    }
}
