//! From a trained model to a version: objects first, then the events that name them.

use almanac_domain::ids;
use almanac_domain::model::{
    Model, ModelCommand, ModelRefusal, ModelVersionRegistered, Origin, Processor, Recipe,
};
use almanac_domain::training_run::{TrainingCompleted, TrainingRun, TrainingRunCommand};
use almanac_domain::values::{InvalidValue, StoredObject};
use almanac_ml::Trained;
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

/// What a registration has made.
pub(super) struct Registered {
    pub(super) version: u32,
    /// SHA-256 of the artefact.
    pub(super) artefact: String,
    pub(super) last: Option<EventKey>,
}

/// Stores the artefact and the evaluation, registers the version and completes the run. None for a run that was called
/// off before it became a version.
pub(super) async fn register(
    parts: &Parts,
    job: &Job,
    trained: Trained,
) -> Result<Option<Registered>, TradeError> {
    let (artefact, evaluation_object) = put(parts, &trained).await?;
    let registration = ModelVersionRegistered {
        model: parts.settings.model.clone(),
        version: 0,
        training_run: job.run(),
        plan: job.plan().clone(),
        mode: parts.settings.mode,
        trained_through: job.as_of(),
        dataset: job.dataset().clone(),
        artefact: artefact.clone(),
        evaluation_object,
        evaluation: measures::shown(&trained),
        verdicts: measures::verdicts(&trained),
        leak_checks: measures::leak_checks(&trained),
        code_version: trained.artefact.code_version.clone(),
        recipe: Some(recipe(job, &trained).map_err(TradeError::broken("features have no digest"))?),
        origin: Origin::Trained,
        registered_at: parts.clock.now(),
    };
    let ended = parts.bus.load::<TrainingRun>(&job.run().to_string()).await? == TrainingRun::Ended;
    if ended && version_of(parts, job.run()).await?.is_none() {
        return Ok(None);
    }
    let issued =
        Issued::new(ids::reaction("trainer", &format!("register {}", job.run()))).correlated(job.run());
    let issued = issued.caused_by_any(last_of(parts, job.run()).await?);
    let version = append(parts, registration, &issued).await?.version;
    let last = complete(parts, job.run(), version).await?;
    Ok(Some(Registered { version, artefact: artefact.sha256.into(), last }))
}

/// Stores the artefact and the full evaluation.
pub(super) async fn put(
    parts: &Parts,
    trained: &Trained,
) -> Result<(StoredObject, StoredObject), TradeError> {
    let put = |kind: &'static str, bytes, extension| async move {
        let object = parts.objects.put(kind, bytes, extension).await.map_err(StoreError::from)?;
        stored(object).map_err(TradeError::broken("an object has no digest"))
    };
    let artefact = put("models", trained.artefact.to_bytes(), "model").await?;
    let full = json!({ "evaluation": trained.evaluation, "leak_report": trained.leak_report });
    Ok((artefact, put("evaluations", full.to_string().into_bytes(), "json").await?))
}

/// A version in the model's stream.
pub(super) struct Appended {
    pub(super) version: u32,
    /// The event; none when its run had become a version before.
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
        if let Some(version) = model.version_of(registration.training_run) {
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

/// What it takes to train it again.
fn recipe(job: &Job, trained: &Trained) -> Result<Recipe, InvalidValue> {
    let spec = spec(job.plan()).unwrap_or_default();
    Ok(Recipe {
        features: trained.features_digest.parse()?,
        parameters: spec.parameters(),
        processor: processor(),
    })
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

/// Completes a run that became `version`.
pub(super) async fn complete(parts: &Parts, run: Uuid, version: u32) -> Result<Option<EventKey>, TradeError> {
    let completed = TrainingCompleted { version, completed_at: parts.clock.now() };
    let started = last_of(parts, run).await?;
    let story = started.as_ref().and_then(|started| started.correlation_id);
    let stream = parts.settings.model.as_str();
    // The registration, as far as it is the last thing that happened to the model.
    let registered = LogReader::new(&parts.database).last_of("model", stream).await?;
    let cause = match registered.filter(|last| last.correlation_id == story) {
        Some(registered) => Some(registered),
        None => started,
    };
    command(parts, run, "complete", TrainingRunCommand::CompleteTraining(completed), cause).await
}

/// The version that a run became.
pub(super) async fn version_of(parts: &Parts, run: Uuid) -> Result<Option<u32>, TradeError> {
    let model = models::find(parts.database.pool(), &parts.settings.model, i64::MAX).await?;
    let versions = model.map(|model| model.versions).unwrap_or_default();
    Ok(versions.iter().find(|version| version.training_run == run).map(|version| version.version))
}

fn stored(object: ObjectRef) -> Result<StoredObject, InvalidValue> {
    Ok(StoredObject { key: object.key, sha256: object.sha256.parse()?, bytes: object.len })
}
