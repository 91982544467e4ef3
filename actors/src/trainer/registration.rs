//! From a trained model to a version: objects first, then the events that name them.

use almanac_domain::ids;
use almanac_domain::model::{
    Model, ModelCommand, ModelRefusal, ModelVersionRegistered, Origin, Processor, Recipe,
};
use almanac_domain::training_run::{TrainingCompleted, TrainingPlan, TrainingRun, TrainingRunCommand};
use almanac_domain::values::{Digest, InvalidValue, ModelName, Session, StoredObject};
use almanac_ml::{ImportSpec, Trained};
use almanac_projections::models;
use almanac_store::StoreError;
use almanac_store::log::{CommandError, EventKey, Issued, LogReader};
use almanac_store::objects::ObjectRef;
use serde_json::json;
use uuid::Uuid;

use super::job::{Job, spec};
use super::{command, last_of, measures};
use crate::parts::Parts;
use crate::trade::TradeError;

/// What stands before the verdicts of a model of which nobody says what it has learned from.
const OF_UNKNOWN_AGE: &str = "It may have learnt from the very sessions it is scored on, as nobody says through when it was \
                              trained: this says nothing of its skill. ";

/// What a registration has made.
pub(super) struct Registered {
    pub(super) version: u32,
    /// SHA-256 of the artefact.
    pub(super) artefact: String,
    pub(super) last: Option<EventKey>,
}

/// What a version follows from, beside its numbers.
pub(super) struct Lineage {
    pub(super) model: ModelName,
    pub(super) run: Uuid,
    pub(super) plan: TrainingPlan,
    /// The last session of its data.
    pub(super) as_of: Session,
    /// The digest of the manifest of its data.
    pub(super) dataset: Digest,
    pub(super) origin: Origin,
}

/// Stores the artefact and the evaluation, registers the version and completes the run. None for a run that was called
/// off before it became a version.
pub(super) async fn register(
    parts: &Parts,
    job: &Job,
    trained: Trained,
) -> Result<Option<Registered>, TradeError> {
    let (run, lineage) = (job.run(), job.lineage());
    let model = lineage.model.clone();
    let registration = registration(parts, lineage, &trained).await?;
    let ended = parts.bus.load::<TrainingRun>(&run.to_string()).await? == TrainingRun::Ended;
    if ended && version_of(parts, &model, run).await?.is_none() {
        return Ok(None);
    }
    let artefact = registration.artefact.sha256.clone().into();
    let issued = Issued::new(ids::reaction("trainer", &format!("register {run}"))).correlated(run);
    let issued = issued.caused_by_any(last_of(parts, run).await?);
    let version = append(parts, registration, &issued).await?.version;
    let last = complete(parts, &model, run, version).await?;
    Ok(Some(Registered { version, artefact, last }))
}

/// Stores the artefact and the full evaluation, and says how the version they make is registered: its number is the next
/// one when it is [appended](append).
pub(super) async fn registration(
    parts: &Parts,
    lineage: Lineage,
    trained: &Trained,
) -> Result<ModelVersionRegistered, TradeError> {
    let recipe = recipe(&lineage, trained).map_err(TradeError::broken("features have no digest"))?;
    let (artefact, evaluation_object) = put(parts, trained).await?;
    Ok(ModelVersionRegistered {
        version: 0,
        mode: parts.settings.mode,
        artefact,
        evaluation_object,
        evaluation: measures::shown(trained),
        verdicts: verdicts(&lineage.origin, trained),
        leak_checks: measures::leak_checks(trained),
        code_version: trained.artefact.code_version.clone(),
        recipe: Some(recipe),
        registered_at: parts.clock.now(),
        model: lineage.model,
        training_run: lineage.run,
        plan: lineage.plan,
        trained_through: lineage.as_of,
        dataset: lineage.dataset,
        origin: lineage.origin,
    })
}

/// Stores the artefact and the full evaluation.
async fn put(parts: &Parts, trained: &Trained) -> Result<(StoredObject, StoredObject), TradeError> {
    let put = |kind: &'static str, bytes, extension| async move {
        let object = parts.objects.put(kind, bytes, extension).await.map_err(StoreError::from)?;
        stored(object).map_err(TradeError::broken("an object has no digest"))
    };
    let artefact = put("models", trained.artefact.to_bytes(), "model").await?;
    let full = json!({ "evaluation": trained.evaluation, "leak_report": trained.leak_report });
    Ok((artefact, put("evaluations", full.to_string().into_bytes(), "json").await?))
}

/// Whether it is better than its baselines, in words, for each horizon in order.
fn verdicts(origin: &Origin, trained: &Trained) -> Vec<String> {
    let verdicts = measures::verdicts(trained);
    match origin {
        Origin::Imported { learnt_through: None, .. } => {
            verdicts.into_iter().map(|verdict| format!("{OF_UNKNOWN_AGE}{verdict}")).collect()
        }
        Origin::Imported { .. } | Origin::Trained => verdicts,
    }
}

/// A version in the model's stream.
pub(super) struct Appended {
    pub(super) version: u32,
    /// The event; none when it had become a version before.
    pub(super) event: Option<EventKey>,
}

/// Registers a version under the next number there is.
pub(super) async fn append(
    parts: &Parts,
    mut registration: ModelVersionRegistered,
    issued: &Issued,
) -> Result<Appended, TradeError> {
    let stream = registration.model.clone();
    loop {
        let model = parts.bus.load::<Model>(stream.as_str()).await?;
        // A command that was answered before would be answered again, whatever number it asks for now.
        if let Some(version) = model.became(&registration) {
            return Ok(Appended { version, event: None });
        }
        registration.version = model.next_version();
        let command = ModelCommand::RegisterVersion(Box::new(registration.clone()));
        match parts.bus.execute::<Model>(stream.as_str(), command, issued).await {
            Ok(done) => {
                return Ok(Appended { version: registration.version, event: done.last().cloned() });
            }
            Err(CommandError::Refused(ModelRefusal::AlreadyRegistered(version))) => {
                return Ok(Appended { version, event: None });
            }
            // Another version came first.
            Err(CommandError::Refused(ModelRefusal::NotTheNextVersion { .. })) => {}
            Err(CommandError::Broken(error)) => return Err(error.into()),
            Err(error) => return Err(TradeError::broken("could not register a version")(error)),
        }
    }
}

/// What it takes to make it again.
fn recipe(lineage: &Lineage, trained: &Trained) -> Result<Recipe, InvalidValue> {
    let parameters = match &lineage.origin {
        Origin::Trained => spec(&lineage.plan).unwrap_or_default().parameters(),
        Origin::Imported { .. } => {
            let scale = serde_json::to_value(ImportSpec::SCALE).ok();
            let scale = scale.as_ref().and_then(|scale| scale.as_str()).unwrap_or_default();
            [("scale".to_owned(), scale.to_owned())].into()
        }
    };
    Ok(Recipe { features: trained.features_digest.parse()?, parameters, processor: processor() })
}

/// Where this process computes.
pub(super) fn processor() -> Processor {
    let present = almanac_ml::Processor::present();
    Processor {
        architecture: present.architecture.to_owned(),
        level: present.level.to_owned(),
        extensions: present.extensions.into_iter().map(str::to_owned).collect(),
    }
}

/// Completes a run that became `version` of `model`.
pub(super) async fn complete(
    parts: &Parts,
    model: &ModelName,
    run: Uuid,
    version: u32,
) -> Result<Option<EventKey>, TradeError> {
    let completed = TrainingCompleted { version, completed_at: parts.clock.now() };
    let started = last_of(parts, run).await?;
    let story = started.as_ref().and_then(|started| started.correlation_id);
    // The registration, as far as it is the last thing that happened to the model.
    let registered = LogReader::new(&parts.database).last_of("model", model.as_str()).await?;
    let cause = match registered.filter(|last| last.correlation_id == story) {
        Some(registered) => Some(registered),
        None => started,
    };
    command(parts, run, "complete", TrainingRunCommand::CompleteTraining(completed), cause).await
}

/// The version of `model` that a run became.
pub(super) async fn version_of(
    parts: &Parts,
    model: &ModelName,
    run: Uuid,
) -> Result<Option<u32>, TradeError> {
    let model = models::find(parts.database.pool(), model, i64::MAX).await?;
    let versions = model.map(|model| model.versions).unwrap_or_default();
    Ok(versions.iter().find(|version| version.training_run == run).map(|version| version.version))
}

fn stored(object: ObjectRef) -> Result<StoredObject, InvalidValue> {
    Ok(StoredObject { key: object.key, sha256: object.sha256.parse()?, bytes: object.len })
}
