//! A model: a named line of versions of which one at most, the champion, publishes. Its stream is the audit
//! timeline. Its trials are in [`trial`](crate::trial).

mod refusal;
#[cfg(test)]
mod tests;
mod trials;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::event_sourced::{event_sourced, events};
use crate::training_run::{TrainingPlan, of_the_core};
use crate::trial::{
    OpenTrial, TrialClosing, TrialDecided, TrialEnd, TrialEvidence, TrialOpened, TrialOpening,
};
use crate::values::{Digest, Horizon, Measure, Mode, ModelName, Session, StoredObject};

pub use refusal::ModelRefusal;

/// One measure of a version out of sample, beside what guessing would have scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EvaluationMeasure {
    /// The horizon it was measured at.
    pub horizon: Horizon,
    /// Its name, such as `rmse_return` or `coverage_80`.
    pub measure: String,
    /// The version's value; none where it is undefined.
    pub value: Option<Measure>,
    /// The value of predicting no change.
    pub zero: Option<Measure>,
    /// The value of predicting the mean return of the training data.
    pub drift: Option<Measure>,
}

/// Who or what decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DecidedBy {
    /// An administrator.
    Administrator {
        /// The account.
        account: Uuid,
    },
    /// The rule that promotes without a person, as it stood in the configuration.
    Gate {
        /// The rule's name.
        rule: String,
    },
    /// Somebody on the command line of the machine the service runs on, which knows no accounts.
    Operator,
}

/// Where a version comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// It was trained here.
    Trained,
    /// It was trained elsewhere and brought in.
    Imported {
        /// The format of its files, such as `onnx`.
        format: String,
        /// The SHA-256 of each file, for each horizon in order.
        files: Vec<Digest>,
        /// The last session it may have learnt from, as whoever brought it says; none when nobody says so.
        learnt_through: Option<Session>,
    },
}

/// What it takes, beside plan, data and code, to train a version to the same bytes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recipe {
    /// SHA-256 of the table of features it learnt from.
    pub features: Digest,
    /// What was chosen, by name; numbers as text.
    pub parameters: BTreeMap<String, String>,
    /// Where it was computed.
    pub processor: Processor,
}

/// What a processor can do, as far as it may decide the last bit of a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Processor {
    /// Its architecture, such as `x86_64`.
    pub architecture: String,
    /// Its feature level, such as `x86-64-v3`; the architecture where there are no levels.
    pub level: String,
    /// The extensions that were looked for and found.
    pub extensions: Vec<String>,
}

/// What can be asked of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelCommand {
    /// Takes a trained artefact in as the next version.
    RegisterVersion(Box<ModelVersionRegistered>),
    /// Makes a version the champion.
    PromoteVersion(ModelVersionPromoted),
    /// Makes a version champion in the place of this one, if that still is.
    SucceedChampion {
        /// Whose place it takes.
        champion: u32,
        /// The version that takes it.
        promotion: ModelVersionPromoted,
    },
    /// Makes the champion before the present one champion again.
    RollBack {
        /// Who decided.
        by: DecidedBy,
        /// Why.
        reason: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// Ends a version's service.
    RetireVersion(ModelVersionRetired),
    /// Shuts a version out as not to be trusted.
    QuarantineVersion(ModelVersionQuarantined),
    /// Puts a challenger on trial beside the champion.
    OpenTrial(Box<TrialOpening>),
    /// Ends a trial by its rule.
    DecideTrial {
        /// The trial.
        trial: Uuid,
        /// What it has shown.
        evidence: Box<TrialEvidence>,
        /// When.
        at: DateTime<Utc>,
    },
    /// Ends a trial before its time.
    CloseTrial(TrialClosing),
}

/// A trained artefact became a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelVersionRegistered {
    /// The model.
    pub model: ModelName,
    /// Its number, counted from 1 without gaps.
    pub version: u32,
    /// The run that made it.
    pub training_run: Uuid,
    /// What was asked for.
    pub plan: TrainingPlan,
    /// The mode of the data it learnt from.
    pub mode: Mode,
    /// The last session of that data.
    pub trained_through: Session,
    /// The digest of the manifest of that data.
    pub dataset: Digest,
    /// The artefact.
    pub artefact: StoredObject,
    /// The full evaluation as JSON.
    pub evaluation_object: StoredObject,
    /// The measures that are shown first.
    pub evaluation: Vec<EvaluationMeasure>,
    /// Whether it is better than its baselines, in words, for each horizon in order.
    pub verdicts: Vec<String>,
    /// The checks of the leak sentinel that passed.
    pub leak_checks: Vec<String>,
    /// The code that made it.
    pub code_version: String,
    /// What it takes to train it again; not known of events before version 1.1, which did not say.
    #[serde(deserialize_with = "Option::deserialize")]
    pub recipe: Option<Recipe>,
    /// Where it comes from.
    pub origin: Origin,
    /// When it was registered.
    pub registered_at: DateTime<Utc>,
}

/// A version became champion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelVersionPromoted {
    /// The version.
    pub version: u32,
    /// Who decided.
    pub by: DecidedBy,
    /// Why; written by an administrator, so nothing personal belongs here.
    pub reason: String,
    /// When.
    pub promoted_at: DateTime<Utc>,
}

/// The champion before became champion again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PromotionRolledBack {
    /// The champion that was.
    pub from: u32,
    /// The champion that is.
    pub to: u32,
    /// Who decided.
    pub by: DecidedBy,
    /// Why.
    pub reason: String,
    /// When.
    pub rolled_back_at: DateTime<Utc>,
}

/// A version serves no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelVersionRetired {
    /// The version.
    pub version: u32,
    /// Who decided; not known of events before version 1.1, which did not say.
    #[serde(deserialize_with = "Option::deserialize")]
    pub by: Option<DecidedBy>,
    /// Why.
    pub reason: String,
    /// When.
    pub retired_at: DateTime<Utc>,
}

/// A version is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelVersionQuarantined {
    /// The version.
    pub version: u32,
    /// Who decided; not known of events before version 1.1, which did not say.
    #[serde(deserialize_with = "Option::deserialize")]
    pub by: Option<DecidedBy>,
    /// Why.
    pub reason: String,
    /// When.
    pub quarantined_at: DateTime<Utc>,
}

events! {
    /// What happened to a model.
    pub enum ModelEvent {
        ModelVersionRegistered = "ModelVersionRegistered" "1.2"
            by "the Trainer, `almanac train` and `almanac model import-onnx`"
            from "1.0" through without_recipe from "1.1" through of_the_core,
        ModelVersionPromoted = "ModelVersionPromoted" "2.0"
            by "the gate of the Trainer, an administrator, or `almanac model promote`" from "1.0" through unchanged,
        PromotionRolledBack = "PromotionRolledBack" "2.0"
            by "an administrator, or `almanac model rollback`" from "1.0" through unchanged,
        ModelVersionRetired = "ModelVersionRetired" "2.0"
            by "an administrator, or `almanac model retire`"
            from "1.0" through without_decider from "1.1" through unchanged,
        ModelVersionQuarantined = "ModelVersionQuarantined" "2.0"
            by "the gate of the Trainer, an administrator, or `almanac model quarantine`"
            from "1.0" through without_decider from "1.1" through unchanged,
        TrialOpened = "TrialOpened" "1.0" by "the gate of the Trainer, or an administrator",
        TrialDecided = "TrialDecided" "1.0"
            by "the Umpire; an administrator who closes it; whoever promotes, retires or quarantines what it stands on",
    }
}

/// Before 1.1 nobody was named, though only administrators could decide.
fn without_decider(mut body: Value) -> Value {
    if let Some(fields) = body.as_object_mut() {
        fields.insert("by".to_owned(), Value::Null);
    }
    body
}

/// Before 1.1 there was no recipe, and nothing was brought in from elsewhere.
fn without_recipe(mut body: Value) -> Value {
    if let Some(fields) = body.as_object_mut() {
        fields.insert("recipe".to_owned(), Value::Null);
        fields.insert("origin".to_owned(), json!({ "kind": "trained" }));
    }
    body
}

/// Only the words for who decided became more.
fn unchanged(body: Value) -> Value {
    body
}

/// Whether a version may serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Service {
    /// May be promoted.
    Able,
    /// Not to be trusted, unless a person says otherwise.
    Quarantined,
    /// Retired, for good.
    Retired,
}

/// How a remark among the checks of a version begins that is no check: the search for leaks found something too good to be
/// true, and no version with one is promoted without a person.
pub const SUSPICION: &str = "suspicion: ";

/// What is remembered of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    /// The run that made it.
    run: Uuid,
    /// The digest of its artefact.
    artefact: Digest,
    service: Service,
}

/// The present state of a model; without versions it does not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    versions: BTreeMap<u32, Version>,
    /// The champions in order of promotion; the last one publishes.
    champions: Vec<u32>,
    /// The trial under way.
    trial: Option<OpenTrial>,
    /// Every trial there has been.
    trials: BTreeSet<Uuid>,
}

impl Model {
    /// The version that publishes.
    pub fn champion(&self) -> Option<u32> {
        self.champions.last().copied()
    }

    /// The trial under way.
    pub fn trial(&self) -> Option<&OpenTrial> {
        self.trial.as_ref()
    }

    /// The number the next version will get.
    pub fn next_version(&self) -> u32 {
        self.versions.last_key_value().map_or(1, |(last, _)| last + 1)
    }

    /// The version that a run became.
    pub fn version_of(&self, run: Uuid) -> Option<u32> {
        self.find(|version| version.run == run)
    }

    /// The version that `registration` has become before. Training the same twice makes two versions, for it is asked
    /// for twice; bringing the same in twice makes one, for nothing was made.
    pub fn became(&self, registration: &ModelVersionRegistered) -> Option<u32> {
        let by_run = self.version_of(registration.training_run);
        match &registration.origin {
            Origin::Trained => by_run,
            Origin::Imported { .. } => {
                by_run.or_else(|| self.find(|version| version.artefact == registration.artefact.sha256))
            }
        }
    }

    fn find(&self, sought: impl Fn(&Version) -> bool) -> Option<u32> {
        self.versions.iter().find(|(_, version)| sought(version)).map(|(number, _)| *number)
    }

    /// Decides what follows from `command`.
    pub fn decide(&self, command: ModelCommand) -> Result<Vec<ModelEvent>, ModelRefusal> {
        match command {
            ModelCommand::RegisterVersion(registration) => {
                if let Some(version) = self.became(&registration) {
                    return Err(ModelRefusal::AlreadyRegistered(version));
                }
                if registration.version != self.next_version() {
                    let (given, next) = (registration.version, self.next_version());
                    return Err(ModelRefusal::NotTheNextVersion { given, next });
                }
                if registration.leak_checks.iter().all(|check| check.starts_with(SUSPICION)) {
                    return Err(ModelRefusal::NotChecked);
                }
                Ok(vec![(*registration).into()])
            }
            ModelCommand::PromoteVersion(promotion) => {
                self.able_by(promotion.version, &promotion.by)?;
                if self.champion() == Some(promotion.version) {
                    return Err(ModelRefusal::AlreadyChampion(promotion.version));
                }
                let (by, at) = (promotion.by.clone(), promotion.promoted_at);
                let event = promotion.into();
                Ok(self.with_end_of_trial(event, None, TrialEnd::ChampionChanged, Some(by), at))
            }
            ModelCommand::SucceedChampion { champion, promotion } => {
                if self.champion() != Some(champion) {
                    return Err(ModelRefusal::NotTheChampion(champion));
                }
                self.decide(ModelCommand::PromoteVersion(promotion))
            }
            ModelCommand::RollBack { by, reason, at } => {
                let (from, to) = match self.champions.as_slice() {
                    [.., before, present] => (*present, *before),
                    _ => return Err(ModelRefusal::NothingToRollBackTo),
                };
                self.able(to)?;
                let event =
                    PromotionRolledBack { from, to, by: by.clone(), reason, rolled_back_at: at }.into();
                Ok(self.with_end_of_trial(event, None, TrialEnd::ChampionChanged, Some(by), at))
            }
            ModelCommand::RetireVersion(retirement) => {
                let version = retirement.version;
                self.not_retired(version)?;
                self.not_champion(version)?;
                let (by, at) = (retirement.by.clone(), retirement.retired_at);
                let event = retirement.into();
                Ok(self.with_end_of_trial(event, Some(version), TrialEnd::ChallengerRetired, by, at))
            }
            ModelCommand::QuarantineVersion(quarantine) => {
                let version = quarantine.version;
                self.able(version)?;
                self.not_champion(version)?;
                let (by, at) = (quarantine.by.clone(), quarantine.quarantined_at);
                let event = quarantine.into();
                Ok(self.with_end_of_trial(event, Some(version), TrialEnd::ChallengerQuarantined, by, at))
            }
            ModelCommand::OpenTrial(opening) => Ok(vec![self.open_trial(*opening)?.into()]),
            ModelCommand::DecideTrial { trial, evidence, at } => self.decide_trial(trial, *evidence, at),
            ModelCommand::CloseTrial(TrialClosing { trial, by, reason, at }) => {
                Ok(vec![self.open(trial)?.ended(TrialEnd::Closed, Some(by), reason, at).into()])
            }
        }
    }

    fn able(&self, version: u32) -> Result<(), ModelRefusal> {
        match self.not_retired(version)? {
            Service::Quarantined => Err(ModelRefusal::InQuarantine(version)),
            Service::Able | Service::Retired => Ok(()),
        }
    }

    /// A person may take a version out of quarantine by promoting it or putting it on trial; a rule may not.
    fn able_by(&self, version: u32, by: &DecidedBy) -> Result<(), ModelRefusal> {
        match by {
            DecidedBy::Administrator { .. } | DecidedBy::Operator => self.not_retired(version).map(drop),
            DecidedBy::Gate { .. } => self.able(version),
        }
    }

    fn not_retired(&self, version: u32) -> Result<Service, ModelRefusal> {
        match self.versions.get(&version).map(|known| known.service) {
            None => Err(ModelRefusal::NoSuchVersion(version)),
            Some(Service::Retired) => Err(ModelRefusal::OutOfService(version)),
            Some(service) => Ok(service),
        }
    }

    fn not_champion(&self, version: u32) -> Result<(), ModelRefusal> {
        if self.champion() == Some(version) { Err(ModelRefusal::IsChampion(version)) } else { Ok(()) }
    }

    /// Takes in what happened.
    pub fn apply(&mut self, event: ModelEvent) {
        match event {
            ModelEvent::ModelVersionRegistered(registered) => {
                let (run, artefact) = (registered.training_run, registered.artefact.sha256);
                let version = Version { run, artefact, service: Service::Able };
                self.versions.insert(registered.version, version);
            }
            ModelEvent::ModelVersionPromoted(ModelVersionPromoted { version, .. }) => {
                self.champions.push(version);
                self.serves(version, Service::Able);
            }
            ModelEvent::PromotionRolledBack(PromotionRolledBack { to, .. }) => {
                self.champions.pop();
                // Older logs go back from a version to itself: what stood below it then is not in the list any more.
                if self.champion() != Some(to) {
                    self.champions.push(to);
                }
            }
            ModelEvent::ModelVersionRetired(ModelVersionRetired { version, .. }) => {
                self.shut_out(version, Service::Retired);
            }
            ModelEvent::ModelVersionQuarantined(ModelVersionQuarantined { version, .. }) => {
                self.shut_out(version, Service::Quarantined);
            }
            ModelEvent::TrialOpened(TrialOpened { trial, version, champion, rule, .. }) => {
                self.serves(version, Service::Able);
                self.trials.insert(trial);
                self.trial = Some(OpenTrial { trial, version, champion, rule });
            }
            ModelEvent::TrialDecided(_) => self.trial = None,
        }
    }

    fn shut_out(&mut self, version: u32, service: Service) {
        self.champions.retain(|champion| *champion != version);
        // What stood on both sides of it would be gone back to from itself.
        self.champions.dedup();
        self.serves(version, service);
    }

    fn serves(&mut self, version: u32, service: Service) {
        if let Some(known) = self.versions.get_mut(&version) {
            known.service = service;
        }
    }
}

event_sourced!(Model, "model", ModelCommand, ModelEvent, ModelRefusal);
