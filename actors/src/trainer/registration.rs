//! From a trained model to a version: objects first, then the events that name them.

use almanac_domain::ids;
use almanac_domain::model::{Model, ModelCommand, ModelRefusal, ModelVersionRegistered};
use almanac_domain::training_run::{TrainingCompleted, TrainingRun, TrainingRunCommand};
use almanac_domain::values::{InvalidValue, StoredObject};
use almanac_ml::Trained;
use almanac_projections::models;
use almanac_store::StoreError;
use almanac_store::log::{CommandError, EventKey, Issued};
use almanac_store::objects::ObjectRef;
use serde_json::json;
use uuid::Uuid;

use super::job::Job;
use super::{command, measures};
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
    let put = |kind: &'static str, bytes, extension| async move {
        let object = parts.objects.put(kind, bytes, extension).await.map_err(StoreError::from)?;
        stored(object).map_err(TradeError::broken("an object has no digest"))
    };
    let artefact = put("models", trained.artefact.to_bytes(), "model").await?;
    let full = json!({ "evaluation": trained.evaluation, "leak_report": trained.leak_report });
    let evaluation_object = put("evaluations", full.to_string().into_bytes(), "json").await?;
    let mut registration = ModelVersionRegistered {
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
        registered_at: parts.clock.now(),
    };
    let ended = parts.bus.load::<TrainingRun>(&job.run().to_string()).await? == TrainingRun::Ended;
    if ended && version_of(parts, job.run()).await?.is_none() {
        return Ok(None);
    }
    let stream = parts.settings.model.as_str();
    let issued =
        Issued::new(ids::reaction("trainer", &format!("register {}", job.run()))).correlated(job.run());
    let version = loop {
        registration.version = parts.bus.load::<Model>(stream).await?.next_version();
        let command = ModelCommand::RegisterVersion(Box::new(registration.clone()));
        match parts.bus.execute::<Model>(stream, command, &issued).await {
            Ok(_) => break registration.version,
            Err(CommandError::Refused(ModelRefusal::AlreadyRegistered(version))) => break version,
            // Another version came first.
            Err(CommandError::Refused(ModelRefusal::NotTheNextVersion { .. })) => {}
            Err(CommandError::Broken(error)) => return Err(error.into()),
            Err(error) => return Err(TradeError::broken("could not register a version")(error)),
        }
    };
    let last = complete(parts, job.run(), version).await?;
    Ok(Some(Registered { version, artefact: artefact.sha256.into(), last }))
}

/// Completes a run that became `version`.
pub(super) async fn complete(parts: &Parts, run: Uuid, version: u32) -> Result<Option<EventKey>, TradeError> {
    let completed = TrainingCompleted { version, completed_at: parts.clock.now() };
    command(parts, run, "complete", TrainingRunCommand::CompleteTraining(completed)).await
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
