//! A training run: from the wish to train a version to the version, or to the reason there is none.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::event_sourced::{event_sourced, events};
use crate::values::{Digest, Horizon, Measure, ModelName, Session, StoredObject};

/// Why a version is to be trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrainingReason {
    /// The model has no version yet.
    FirstVersion,
    /// The champion has published for as many sessions as the schedule allows.
    Schedule,
    /// An administrator asked for it.
    Manual,
    /// The champion learnt from data that ended long ago.
    Age,
    /// The published 80% intervals have lately held too many outcomes, or too few.
    CoverageDrift,
    /// The champion's squared error has lately been above that of the average drift.
    SkillDecay,
    /// The features of late are not those the champion learnt from.
    FeatureDrift,
}

/// A figure that made a training due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrainingFigure {
    /// What was measured, such as `coverage_80 at 1`.
    pub name: String,
    /// What it came to.
    pub value: Measure,
    /// What it was held against.
    pub threshold: Measure,
    /// The sessions it was measured over.
    pub sessions: u32,
}

/// What a version looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeatureSet {
    /// An instrument's own closes, its volumes, and the weekday.
    Core,
    /// Those, and ranges, nights, distance from highs and lows, the month, and the others of the session.
    Wide,
}

impl FeatureSet {
    /// Every set.
    pub const ALL: [Self; 2] = [Self::Core, Self::Wide];

    /// The stable word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Wide => "wide",
        }
    }
}

impl FromStr for FeatureSet {
    type Err = UnknownFeatureSet;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|set| set.as_str() == text).ok_or(UnknownFeatureSet)
    }
}

/// There is no feature set of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is `core` or `wide`")]
pub struct UnknownFeatureSet;

/// What to train.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrainingPlan {
    /// The family, such as `ridge`.
    pub family: String,
    /// What the version looks at.
    pub feature_set: FeatureSet,
    /// The horizons the version will cover.
    pub horizons: Vec<Horizon>,
    /// Whether the daily sentiment, joined by first-seen time, is a feature.
    pub sentiment: bool,
    /// The seed of everything that is drawn.
    pub seed: u64,
}

/// A model trained elsewhere that a run brings in instead of training one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelImport {
    /// Its files, one for each horizon of the plan in order.
    pub files: Vec<ImportedFile>,
    /// The last session it may have learnt from, as whoever brings it in says; none when nobody says so.
    #[serde(deserialize_with = "Option::deserialize")]
    pub learnt_through: Option<Session>,
}

/// A file of a model trained elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImportedFile {
    /// The horizon it forecasts.
    pub horizon: Horizon,
    /// Where its bytes lie, and what they must hash to.
    pub object: StoredObject,
}

impl ModelImport {
    /// The horizons of its files.
    pub fn horizons(&self) -> Vec<Horizon> {
        self.files.iter().map(|file| file.horizon).collect()
    }
}

/// What can be asked of a training run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrainingRunCommand {
    /// Asks for it.
    RequestTraining(TrainingRequested),
    /// A trainer has begun.
    StartTraining(TrainingStarted),
    /// It ended with an artefact.
    CompleteTraining(TrainingCompleted),
    /// It ended without one.
    FailTraining(TrainingFailed),
    /// Somebody called it off.
    CancelTraining(TrainingCancelled),
}

/// A version is to be trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrainingRequested {
    /// The model it is for.
    pub model: ModelName,
    /// Why.
    pub reason: TrainingReason,
    /// The figures behind the reason, where there are any.
    pub figures: Vec<TrainingFigure>,
    /// What to train.
    pub plan: TrainingPlan,
    /// What to bring in instead of training; none for a training.
    #[serde(deserialize_with = "Option::deserialize")]
    pub import: Option<ModelImport>,
    /// The account that asked, if one did.
    pub requested_by: Option<Uuid>,
}

/// A trainer has begun, on exactly this data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrainingStarted {
    /// The last session of the data.
    pub as_of: Session,
    /// The digest of the manifest of all batches in it.
    pub dataset: Digest,
    /// Bars in it.
    pub rows: u64,
    /// Instruments in it.
    pub instruments: u64,
    /// When it began.
    pub started_at: DateTime<Utc>,
}

/// An artefact was made and evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrainingCompleted {
    /// The number of the version it became.
    pub version: u32,
    /// When it ended.
    pub completed_at: DateTime<Utc>,
}

/// No artefact was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrainingFailed {
    /// The reason as a stable word, such as `too_little_data` or `leak_found`.
    pub reason: String,
    /// The reason in a sentence.
    pub detail: String,
    /// When it ended.
    pub failed_at: DateTime<Utc>,
}

/// The run was called off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrainingCancelled {
    /// The account that called it off.
    pub by: Uuid,
}

events! {
    /// What happened to a training run.
    pub enum TrainingRunEvent {
        TrainingRequested = "TrainingRequested" "4.0"
            by "the Trainer, when a version is due; an administrator; `almanac train`"
            from "1.0" through without_figures from "2.0" through without_import from "3.0" through of_the_core,
        TrainingStarted = "TrainingStarted" "1.0" by "the Trainer and `almanac train`",
        TrainingCompleted = "TrainingCompleted" "1.0" by "the Trainer and `almanac train`",
        TrainingFailed = "TrainingFailed" "1.0" by "the Trainer and `almanac train`",
        TrainingCancelled = "TrainingCancelled" "1.0" by "an administrator",
    }
}

/// Before 2.0 there were no reasons that have figures.
fn without_figures(mut body: Value) -> Value {
    if let Some(fields) = body.as_object_mut() {
        fields.insert("figures".to_owned(), Value::Array(vec![]));
    }
    body
}

/// Before 3.0 every run was to train. Whoever ignored an import would train something that nobody asked for: a new major.
fn without_import(mut body: Value) -> Value {
    if let Some(fields) = body.as_object_mut() {
        fields.insert("import".to_owned(), Value::Null);
    }
    body
}

/// Before 4.0 (and before 1.2 of `ModelVersionRegistered`) a plan named no feature set, as there was one. Whoever ignored
/// it would train something that nobody asked for: a new major.
pub(crate) fn of_the_core(mut body: Value) -> Value {
    if let Some(plan) = body.get_mut("plan").and_then(Value::as_object_mut) {
        plan.insert("feature_set".to_owned(), Value::String("core".to_owned()));
    }
    body
}

/// Why a training run refuses a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrainingRunRefusal {
    /// Nobody asked for this run.
    #[error("there is no such training run")]
    Absent,
    /// It was asked for before.
    #[error("the training run was requested already")]
    AlreadyRequested,
    /// It has ended.
    #[error("the training run has ended")]
    Ended,
    /// It has not begun.
    #[error("the training run has not started")]
    NotStarted,
    /// A version needs a horizon.
    #[error("a training plan names at least one horizon")]
    NoHorizon,
    /// The files that are brought in are not those of the plan.
    #[error("an import has exactly one file for each horizon, the nearest one first")]
    NotOneFileEach,
}

impl TrainingRequested {
    /// Whether the files that are brought in, if any are, lie in the order of the plan's horizons, each of them once.
    fn has_one_file_for_each_horizon(&self) -> bool {
        self.import.as_ref().is_none_or(|import| {
            let horizons = import.horizons();
            horizons == self.plan.horizons && horizons.is_sorted_by(|near, far| near < far)
        })
    }
}

/// The present state of a training run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrainingRun {
    /// Never asked for.
    #[default]
    Absent,
    /// Waiting for a trainer.
    Requested,
    /// A trainer is at it, on the data of this digest.
    Running {
        /// The digest of its data.
        dataset: Digest,
    },
    /// Completed, failed or cancelled.
    Ended,
}

impl TrainingRun {
    /// Decides what follows from `command`. A run that was cut off is started again, on newer data if there is.
    pub fn decide(&self, command: TrainingRunCommand) -> Result<Vec<TrainingRunEvent>, TrainingRunRefusal> {
        use TrainingRunCommand as C;
        match (self, command) {
            (Self::Absent, C::RequestTraining(request)) if request.plan.horizons.is_empty() => {
                Err(TrainingRunRefusal::NoHorizon)
            }
            (Self::Absent, C::RequestTraining(request)) if !request.has_one_file_for_each_horizon() => {
                Err(TrainingRunRefusal::NotOneFileEach)
            }
            (Self::Absent, C::RequestTraining(request)) => Ok(vec![request.into()]),
            (_, C::RequestTraining(_)) => Err(TrainingRunRefusal::AlreadyRequested),
            (Self::Absent, _) => Err(TrainingRunRefusal::Absent),
            (Self::Ended, _) => Err(TrainingRunRefusal::Ended),
            (Self::Running { dataset }, C::StartTraining(start)) if *dataset == start.dataset => Ok(vec![]),
            (Self::Requested | Self::Running { .. }, C::StartTraining(start)) => Ok(vec![start.into()]),
            (Self::Requested, C::CompleteTraining(_)) => Err(TrainingRunRefusal::NotStarted),
            (Self::Running { .. }, C::CompleteTraining(completion)) => Ok(vec![completion.into()]),
            (Self::Requested | Self::Running { .. }, C::FailTraining(failure)) => Ok(vec![failure.into()]),
            (Self::Requested | Self::Running { .. }, C::CancelTraining(cancel)) => Ok(vec![cancel.into()]),
        }
    }

    /// Takes in what happened.
    pub fn apply(&mut self, event: TrainingRunEvent) {
        *self = match event {
            TrainingRunEvent::TrainingRequested(_) => Self::Requested,
            TrainingRunEvent::TrainingStarted(started) => Self::Running { dataset: started.dataset },
            TrainingRunEvent::TrainingCompleted(_)
            | TrainingRunEvent::TrainingFailed(_)
            | TrainingRunEvent::TrainingCancelled(_) => Self::Ended,
        };
    }
}

event_sourced!(TrainingRun, "training_run", TrainingRunCommand, TrainingRunEvent, TrainingRunRefusal);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_sourced::testing::given;

    fn request(horizons: Vec<Horizon>) -> TrainingRequested {
        TrainingRequested {
            model: "us-daily".parse().expect("valid"),
            reason: TrainingReason::Manual,
            plan: TrainingPlan {
                family: "ridge".into(),
                feature_set: FeatureSet::Wide,
                horizons,
                sentiment: false,
                seed: 1,
            },
            import: None,
            requested_by: None,
            figures: vec![],
        }
    }

    fn horizons(sessions: &[u32]) -> Vec<Horizon> {
        sessions.iter().map(|sessions| Horizon::new(*sessions).expect("valid")).collect()
    }

    /// Asks for an import of one file for each of `files` under a plan of `plan`.
    fn import(plan: &[u32], files: &[u32]) -> TrainingRequested {
        let sha256: Digest = "b".repeat(64).parse().expect("valid");
        let object = StoredObject { key: "imports/b".into(), sha256, bytes: 1 };
        let file = |horizon| ImportedFile { horizon, object: object.clone() };
        let files = horizons(files).into_iter().map(file).collect();
        let mut request = request(horizons(plan));
        "onnx".clone_into(&mut request.plan.family);
        request.import = Some(ModelImport { files, learnt_through: None });
        request
    }

    fn asked() -> TrainingRunEvent {
        request(vec![Horizon::new(1).expect("valid")]).into()
    }

    fn start(digit: &str) -> TrainingStarted {
        TrainingStarted {
            as_of: Session::from_ymd_opt(2024, 1, 5).expect("a date"),
            dataset: digit.repeat(64).parse().expect("valid"),
            rows: 1,
            instruments: 1,
            started_at: DateTime::UNIX_EPOCH,
        }
    }

    fn completion() -> TrainingCompleted {
        TrainingCompleted { version: 1, completed_at: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn a_plan_without_a_horizon_is_refused() {
        let refused = TrainingRun::default().decide(TrainingRunCommand::RequestTraining(request(vec![])));
        assert_eq!(refused, Err(TrainingRunRefusal::NoHorizon));
    }

    #[test]
    fn an_import_is_a_run_that_names_one_file_for_each_horizon() {
        let wanted = import(&[1, 5], &[1, 5]);
        let asked = TrainingRun::default().decide(TrainingRunCommand::RequestTraining(wanted.clone()));
        assert_eq!(asked, Ok(vec![wanted.clone().into()]));
        let running: TrainingRun = given([wanted.into(), start("a").into()]);
        let completed = running.decide(TrainingRunCommand::CompleteTraining(completion()));
        assert_eq!(completed, Ok(vec![completion().into()]));
    }

    #[test]
    fn an_import_whose_files_are_not_those_of_its_plan_is_refused() {
        for (plan, files) in [
            ([1, 5].as_slice(), [1].as_slice()),
            (&[1], &[1, 5]),
            (&[1, 5], &[1, 20]),
            (&[5, 5], &[5, 5]),
            (&[5, 1], &[5, 1]),
        ] {
            let request = TrainingRunCommand::RequestTraining(import(plan, files));
            let refused = TrainingRun::default().decide(request);
            assert_eq!(refused, Err(TrainingRunRefusal::NotOneFileEach), "{plan:?} {files:?}");
        }
        let nothing = TrainingRunCommand::RequestTraining(import(&[], &[]));
        assert_eq!(TrainingRun::default().decide(nothing), Err(TrainingRunRefusal::NoHorizon));
    }

    #[test]
    fn a_run_is_completed_only_after_it_started() {
        let requested: TrainingRun = given([asked()]);
        let complete = TrainingRunCommand::CompleteTraining(completion());
        assert_eq!(requested.decide(complete.clone()), Err(TrainingRunRefusal::NotStarted));
        let running: TrainingRun = given([asked(), start("a").into()]);
        assert_eq!(running.decide(complete), Ok(vec![completion().into()]));
    }

    #[test]
    fn a_run_that_was_cut_off_starts_again_without_a_second_event_on_the_same_data() {
        let running: TrainingRun = given([asked(), start("a").into()]);
        assert_eq!(running.decide(TrainingRunCommand::StartTraining(start("a"))), Ok(vec![]));
        assert_eq!(
            running.decide(TrainingRunCommand::StartTraining(start("b"))),
            Ok(vec![start("b").into()])
        );
    }

    #[test]
    fn an_ended_run_stays_ended() {
        let ended: TrainingRun = given([asked(), start("a").into(), completion().into()]);
        let cancel = TrainingRunCommand::CancelTraining(TrainingCancelled { by: Uuid::from_u128(1) });
        assert_eq!(ended.decide(cancel), Err(TrainingRunRefusal::Ended));
    }

    #[test]
    fn a_run_nobody_asked_for_does_not_start() {
        let refused = TrainingRun::default().decide(TrainingRunCommand::StartTraining(start("a")));
        assert_eq!(refused, Err(TrainingRunRefusal::Absent));
    }
}
