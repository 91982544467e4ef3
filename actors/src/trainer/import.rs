//! A model trained elsewhere becomes a version, after the same looks as one trained here.

use almanac_domain::ids;
use almanac_domain::model::{ModelVersionRegistered, Origin, Recipe};
use almanac_domain::training_run::TrainingPlan;
use almanac_domain::values::{Digest, Horizon, InvalidValue, ModelName, Session};
use almanac_ml::{Family, ImportError, ImportSpec, Inputs, Trained, TrainingSpec, artefact, import};
use almanac_projections::models;
use almanac_store::StoreError;
use almanac_store::log::{Issued, Until, wait_for};
use serde::Serialize;

use super::registration::{append, processor, put};
use super::watched::watched;
use super::{SEEING, measures};
use crate::parts::Parts;
use crate::trade::TradeError;

/// The word for the format in events.
const FORMAT: &str = "onnx";
/// What stands before the verdicts of a model of which nobody says what it has learned from.
const WARNING: &str = "It may have learnt from the very sessions it is scored on, as nobody says through when it was \
                       trained: this says nothing of its skill. ";

/// A file with the horizon it forecasts.
#[derive(Debug, Clone)]
pub struct OnnxFile {
    /// Sessions ahead.
    pub horizon: Horizon,
    /// The file.
    pub bytes: Vec<u8>,
}

/// What an import has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// The model.
    pub model: ModelName,
    /// The number of the version.
    pub version: u32,
    /// Whether it had been brought in before.
    pub repeated: bool,
    /// The last session it may have learnt from; none when nobody says so.
    pub trained_through: Option<Session>,
    /// The first session it was scored on.
    pub scored_from: Session,
    /// The last session of the data it was scored and calibrated on.
    pub as_of: Session,
    /// Whether it is better than its baselines, in words, for each horizon in order.
    pub verdicts: Vec<String>,
    /// What looked too good to be true.
    pub suspicions: Vec<String>,
    /// SHA-256 of the artefact.
    pub artefact: Digest,
    /// SHA-256 of each file, for each horizon in order.
    pub files: Vec<Digest>,
}

/// Why a model was not brought in.
#[derive(Debug, thiserror::Error)]
pub enum ImportNowError {
    /// There are no bars.
    #[error("there are no bars to look at it with: ingest some first")]
    NoBars,
    /// The model cannot be used, or not be scored.
    #[error("the model was not brought in: {0}")]
    Refused(#[from] ImportError),
    /// Ours.
    #[error(transparent)]
    Trade(#[from] TradeError),
}

/// Brings in a model trained elsewhere as the next version of `model`. It is promoted by nobody but a person. The
/// tables must be level with the log, and kept so while it runs.
///
/// # Errors
/// When a file cannot be used, or there is too little to score and calibrate it on.
pub async fn import_onnx(
    parts: &Parts,
    model: &ModelName,
    mut files: Vec<OnnxFile>,
    trained_through: Option<Session>,
    progress: &mut (dyn FnMut(almanac_ml::Progress) + Send),
) -> Result<ImportReport, ImportNowError> {
    files.sort_by_key(|file| file.horizon);
    let view = parts.market.view().await?;
    let Some(as_of) = view.last_session() else { return Err(ImportNowError::NoBars) };
    let manifest = view.manifest();
    parts.objects.put("datasets", manifest.to_bytes(), "json").await.map_err(broken)?;
    let seed = parts.settings.training.seed;
    let code_version = TrainingSpec::default().code_version;
    let spec = ImportSpec { learnt_through: trained_through, seed, code_version };
    let horizons = files.iter().map(|file| file.horizon).collect();
    let digests = files.iter().map(|file| artefact::digest(&file.bytes).parse());
    let digests: Vec<Digest> = digests.collect::<Result<_, _>>().map_err(no_digest)?;
    let work = move |watch: &super::Watch| {
        let files: Vec<_> =
            files.into_iter().map(|file| (file.horizon.sessions() as usize, file.bytes)).collect();
        let panel = view.panel(as_of);
        import(&Inputs::of(&panel), &files, &spec, as_of, &mut |progress| watch.tell(progress))
    };
    let trained = watched(work, progress).await??;

    let (artefact, evaluation_object) = put(parts, &trained).await?;
    let verdicts = verdicts(&trained, trained_through);
    let run = ids::reaction("import", &format!("{model} {}", artefact.sha256));
    let registration = ModelVersionRegistered {
        model: model.clone(),
        version: 0,
        training_run: run,
        plan: TrainingPlan { family: Family::Onnx.name().to_owned(), horizons, sentiment: false, seed },
        mode: parts.settings.mode,
        trained_through: as_of,
        dataset: manifest.digest(),
        artefact: artefact.clone(),
        evaluation_object,
        evaluation: measures::shown(&trained),
        verdicts: verdicts.clone(),
        leak_checks: measures::leak_checks(&trained),
        code_version: trained.artefact.code_version.clone(),
        recipe: Some(recipe(&trained).map_err(no_digest)?),
        origin: Origin::Imported {
            format: FORMAT.to_owned(),
            files: digests.clone(),
            learnt_through: trained_through,
        },
        registered_at: parts.clock.now(),
    };
    let issued = Issued::new(ids::reaction("import", &format!("register {run}"))).correlated(run);
    let appended = append(parts, registration, &issued).await?;
    if let Some(event) = &appended.event {
        wait_for(&parts.database, Until::Event(event), models::NAME, SEEING)
            .await
            .map_err(TradeError::from)?;
    }
    Ok(ImportReport {
        model: model.clone(),
        version: appended.version,
        repeated: appended.event.is_none(),
        trained_through,
        scored_from: trained.evaluation.test_start,
        as_of,
        verdicts,
        suspicions: trained.leak_report.suspicions,
        artefact: artefact.sha256,
        files: digests,
    })
}

fn verdicts(trained: &Trained, trained_through: Option<Session>) -> Vec<String> {
    let mut verdicts = measures::verdicts(trained);
    if trained_through.is_none() {
        for verdict in &mut verdicts {
            verdict.insert_str(0, WARNING);
        }
    }
    verdicts
}

fn recipe(trained: &Trained) -> Result<Recipe, InvalidValue> {
    let scale = serde_json::to_value(ImportSpec::SCALE).ok();
    let scale = scale.as_ref().and_then(|scale| scale.as_str()).unwrap_or_default();
    Ok(Recipe {
        features: trained.features_digest.parse()?,
        parameters: [("scale".to_owned(), scale.to_owned())].into(),
        processor: processor(),
    })
}

fn broken(error: almanac_store::objects::ObjectError) -> TradeError {
    StoreError::from(error).into()
}

fn no_digest(error: InvalidValue) -> TradeError {
    TradeError::broken("a file has no digest")(error)
}
