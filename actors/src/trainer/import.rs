//! A model trained elsewhere becomes a version, after the same looks as one trained here: in a run that names its files
//! (`job.rs`), or at once on the command line.

use almanac_domain::ids;
use almanac_domain::model::Origin;
use almanac_domain::training_run::{FeatureSet, ModelImport, TrainingPlan};
use almanac_domain::values::{Digest, Horizon, InvalidValue, ModelName, Session};
use almanac_ml::{Family, ImportError, ImportSpec, Inputs, Panel, Trained, TrainingSpec, artefact, import};
use almanac_projections::models;
use almanac_store::StoreError;
use almanac_store::log::{Issued, Until, wait_for};
use almanac_store::objects::ObjectError;
use serde::Serialize;

use super::registration::{Lineage, append, registration};
use super::watched::watched;
use super::{SEEING, Watch};
use crate::parts::Parts;
use crate::trade::TradeError;

/// The word for the format in events.
const FORMAT: &str = "onnx";

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

/// Files by their horizon in rows.
pub(super) type Files = Vec<(usize, Vec<u8>)>;

/// A file of a run that is not there as it was stored.
pub(super) struct Lost {
    /// A stable word.
    pub(super) reason: &'static str,
    /// A sentence.
    pub(super) detail: String,
}

/// The files that a run names, each with the digest it had when it was stored.
pub(super) async fn fetch(parts: &Parts, import: &ModelImport) -> Result<Result<Files, Lost>, TradeError> {
    let mut files = Vec::new();
    for file in &import.files {
        let key = &file.object.key;
        let lost = |reason, error: ObjectError| Lost { reason, detail: error.to_string() };
        match parts.objects.get(key).await {
            Ok(bytes) if artefact::digest(&bytes) == file.object.sha256.as_str() => {
                files.push((file.horizon.sessions() as usize, bytes));
            }
            Ok(_) => return Ok(Err(lost("file_damaged", ObjectError::Damaged(key.clone())))),
            Err(error @ ObjectError::Damaged(_)) => return Ok(Err(lost("file_damaged", error))),
            Err(error @ (ObjectError::Absent(_) | ObjectError::BadKey(_))) => {
                return Ok(Err(lost("file_missing", error)));
            }
            Err(
                error @ (ObjectError::BadUrl { .. }
                | ObjectError::Contradicted(_)
                | ObjectError::Failed { .. }),
            ) => return Err(broken(error)),
        }
    }
    Ok(Ok(files))
}

/// Where a version of these files comes from.
pub(super) fn imported(files: Vec<Digest>, learnt_through: Option<Session>) -> Origin {
    Origin::Imported { format: FORMAT.to_owned(), files, learnt_through }
}

/// Looks at a model trained elsewhere as closely as at one trained here, telling `watch` how far it has come.
pub(super) fn look_at(
    panel: &Panel,
    files: &[(usize, Vec<u8>)],
    (seed, learnt_through): (u64, Option<Session>),
    as_of: Session,
    watch: &Watch,
) -> Result<Trained, ImportError> {
    let spec = ImportSpec { learnt_through, seed, code_version: TrainingSpec::default().code_version };
    import(&Inputs::of(panel), files, &spec, as_of, &mut |progress| watch.tell(progress))
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
    let horizons = files.iter().map(|file| file.horizon).collect();
    let digests = files.iter().map(|file| artefact::digest(&file.bytes).parse());
    let digests: Vec<Digest> = digests.collect::<Result<_, _>>().map_err(no_digest)?;
    let work = move |watch: &Watch| {
        let files: Vec<_> =
            files.into_iter().map(|file| (file.horizon.sessions() as usize, file.bytes)).collect();
        look_at(&view.panel(as_of), &files, (seed, trained_through), as_of, watch)
    };
    let trained = watched(work, progress).await??;

    let run = parts.entropy.uuid_v7(parts.clock.now());
    let lineage = Lineage {
        model: model.clone(),
        run,
        plan: TrainingPlan {
            family: Family::Onnx.name().to_owned(),
            feature_set: FeatureSet::Core,
            horizons,
            sentiment: false,
            seed,
        },
        as_of,
        dataset: manifest.digest(),
        origin: imported(digests.clone(), trained_through),
    };
    let registration = registration(parts, lineage, &trained).await?;
    let (verdicts, artefact) = (registration.verdicts.clone(), registration.artefact.sha256.clone());
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
        artefact,
        files: digests,
    })
}

fn broken(error: ObjectError) -> TradeError {
    StoreError::from(error).into()
}

fn no_digest(error: InvalidValue) -> TradeError {
    TradeError::broken("a file has no digest")(error)
}
