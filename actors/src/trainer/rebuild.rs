//! A version trained again from what the log and the objects say of it, and compared with what was registered.
//!
//! The event names the manifest of the data, the manifest names every batch by its digest: what has come since, and
//! what was corrected since, has no part in it. News count from the moment they were first seen, as they did then.

use almanac_domain::model::{ModelEvent, ModelVersionRegistered, Origin, Processor};
use almanac_domain::values::{Digest, ModelName, Session, StoredObject};
use almanac_ml::agreement::{Agreement, compare};
use almanac_ml::models::Fitted;
use almanac_ml::{Artefact, ImportError, ImportSpec, Inputs, Trained, TrainingSpec, import, train};
use almanac_store::StoreError;
use almanac_store::log::LogReader;
use serde::Serialize;

use super::job::{horizons, spec};
use super::registration::processor;
use super::watched::watched;
use crate::market::Manifest;
use crate::parts::Parts;
use crate::trade::TradeError;

/// How a version that was trained again agrees with the registered one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Byte for byte.
    SameBytes,
    /// To 1e-12, computed by another processor or another version of the program.
    WithinTolerance,
    /// Not.
    Different,
}

/// What training a version again has shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RebuildReport {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: u32,
    /// How it agrees.
    pub outcome: Outcome,
    /// The first difference, where there is one that counts.
    pub first_difference: Option<String>,
    /// The largest difference of two numbers; none where bytes are equal or something else differs.
    pub largest_difference: Option<f64>,
    /// The digest of the manifest of the data.
    pub dataset: Digest,
    /// The last session of the data.
    pub trained_through: Session,
    /// Bars in it.
    pub bars: usize,
    /// The digest of the registered artefact.
    pub artefact: Digest,
    /// That of the one trained again.
    pub artefact_again: String,
    /// The digest of the registered version's features; none where its record does not say.
    pub features: Option<Digest>,
    /// That of the features computed again.
    pub features_again: String,
    /// The processor that trained it; none where its record does not say.
    pub processor: Option<Processor>,
    /// The processor that trained it again.
    pub processor_again: Processor,
    /// The code that trained it.
    pub code_version: String,
    /// The code that trained it again.
    pub code_version_again: String,
}

/// Why a version could not be trained again.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The log knows no such version.
    #[error("the model {model} has no version {version}")]
    NoSuchVersion {
        /// The model.
        model: ModelName,
        /// The version.
        version: u32,
    },
    /// The record says what this version of the program does not understand, or says too little.
    #[error("version {version} cannot be trained again: {why}")]
    Beyond {
        /// The version.
        version: u32,
        /// Why.
        why: String,
    },
    /// The training did not come to its end.
    #[error("training it again failed")]
    Training(#[from] ImportError),
    /// Something is missing, damaged or broken.
    #[error(transparent)]
    Trade(#[from] TradeError),
}

/// Trains `version` of `model` again and compares. Nothing is written. The tables must be level with the log.
///
/// # Errors
/// When there is no such version, or what it was made from is not there as it was.
pub async fn rebuild(
    parts: &Parts,
    model: &ModelName,
    version: u32,
    progress: &mut (dyn FnMut(almanac_ml::Progress) + Send),
) -> Result<RebuildReport, RebuildError> {
    let registered = registered(parts, model, version).await?;
    let beyond = |why: &str| RebuildError::Beyond { version, why: why.to_owned() };
    let bytes = object(parts, &registered.artefact).await?;
    let recorded = Artefact::open(&bytes, registered.artefact.sha256.as_str())
        .map_err(TradeError::broken("the registered artefact cannot be opened"))?;
    let again = Again::of(&registered)
        .ok_or_else(|| beyond("this version of the program does not know its choices"))?;

    let manifest = parts.objects.get(&format!("datasets/{}.json", registered.dataset.as_str())).await;
    let manifest = Manifest::parse(&manifest.map_err(StoreError::from).map_err(TradeError::from)?)
        .ok_or_else(|| beyond("the list of its data cannot be read"))?;
    let view = parts.market.of_manifest(&manifest).await?;
    let news = match (registered.plan.sentiment, &manifest.headlines) {
        (false, _) => None,
        (true, Some(headlines)) => Some(parts.news.sentiment_of(headlines).await?),
        (true, None) => return Err(beyond("its record does not say which headlines it learnt from")),
    };
    let as_of = registered.trained_through;
    let work = move |watch: &super::Watch| -> Result<Rebuilt, ImportError> {
        let panel = view.panel(as_of);
        let inputs = Inputs::new(&panel, news.as_deref());
        let trained = again.make(&inputs, &recorded, as_of, watch)?;
        let agreement = compare(&recorded, &trained.artefact, &inputs);
        Ok(Rebuilt { trained, agreement, bars: panel.len() })
    };
    let rebuilt = watched(work, progress).await??;
    Ok(report(registered, rebuilt))
}

struct Rebuilt {
    trained: Trained,
    agreement: Agreement,
    bars: usize,
}

/// How a version is made again.
enum Again {
    Trained(TrainingSpec),
    /// From the files its artefact holds.
    Imported(ImportSpec),
}

impl Again {
    fn of(registered: &ModelVersionRegistered) -> Option<Self> {
        let plan = &registered.plan;
        match &registered.origin {
            Origin::Imported { learnt_through, .. } => Some(Self::Imported(ImportSpec {
                learnt_through: *learnt_through,
                seed: plan.seed,
                code_version: registered.code_version.clone(),
            })),
            Origin::Trained => {
                let spec = if let Some(recipe) = &registered.recipe {
                    TrainingSpec::with_parameters(
                        &plan.family,
                        &horizons(plan),
                        plan.seed,
                        &registered.code_version,
                        &recipe.parameters,
                    )?
                } else {
                    // Before version 1.1 of the event nothing could be chosen beside the plan, and all trees drew from one
                    // seed.
                    let spec = spec(plan)?;
                    let (family, code_version) = (spec.family.seeded(0), registered.code_version.clone());
                    TrainingSpec { family, code_version, ..spec }
                };
                Some(Self::Trained(spec))
            }
        }
    }

    fn make(
        &self,
        inputs: &Inputs<'_>,
        recorded: &Artefact,
        as_of: Session,
        watch: &super::Watch,
    ) -> Result<Trained, ImportError> {
        let mut tell = |progress| watch.tell(progress);
        match self {
            Self::Trained(spec) => Ok(train(inputs, spec, as_of, &mut tell)?),
            Self::Imported(spec) => {
                let file = |fitted: &Fitted| match fitted {
                    Fitted::Onnx(onnx) => Some(onnx.file().to_vec()),
                    _ => None,
                };
                let models = recorded.models.iter();
                let files: Vec<_> =
                    models.filter_map(|model| Some((model.horizon, file(&model.fitted)?))).collect();
                import(inputs, &files, spec, as_of, &mut tell)
            }
        }
    }
}

async fn registered(
    parts: &Parts,
    model: &ModelName,
    version: u32,
) -> Result<ModelVersionRegistered, RebuildError> {
    let stream = LogReader::new(&parts.database).stream("model", model.as_str()).await;
    for event in stream.map_err(TradeError::from)? {
        if event.event_type != "ModelVersionRegistered" {
            continue;
        }
        let happened = event.decode().map_err(TradeError::broken("the registration cannot be read"))?;
        if let ModelEvent::ModelVersionRegistered(registered) = happened
            && registered.version == version
        {
            return Ok(registered);
        }
    }
    Err(RebuildError::NoSuchVersion { model: model.clone(), version })
}

async fn object(parts: &Parts, object: &StoredObject) -> Result<Vec<u8>, TradeError> {
    Ok(parts.objects.get(&object.key).await.map_err(StoreError::from)?)
}

fn report(registered: ModelVersionRegistered, rebuilt: Rebuilt) -> RebuildReport {
    let Rebuilt { trained, agreement, bars } = rebuilt;
    let (processor_again, code_version_again) = (processor(), TrainingSpec::default().code_version);
    let features = registered.recipe.as_ref().map(|recipe| recipe.features.clone());
    let processor = registered.recipe.map(|recipe| recipe.processor);
    // Only elsewhere may the last bits be others.
    let elsewhere =
        processor.as_ref() != Some(&processor_again) || registered.code_version != code_version_again;
    let (outcome, first_difference, largest_difference) = match agreement {
        Agreement::SameBytes => (Outcome::SameBytes, None, None),
        Agreement::Within { largest } if elsewhere => (Outcome::WithinTolerance, None, Some(largest)),
        Agreement::Within { largest } => {
            let words = "the same code on the same kind of processor gave other bytes";
            (Outcome::Different, Some(words.to_owned()), Some(largest))
        }
        Agreement::Different { first } => {
            let of_features = features.as_ref().filter(|digest| digest.as_str() != trained.features_digest);
            let words = of_features.map_or(String::new(), |_| "the features are others; ".to_owned());
            (Outcome::Different, Some(words + &first), None)
        }
    };
    RebuildReport {
        model: registered.model,
        version: registered.version,
        outcome,
        first_difference,
        largest_difference,
        dataset: registered.dataset,
        trained_through: registered.trained_through,
        bars,
        artefact: registered.artefact.sha256,
        artefact_again: almanac_ml::artefact::digest(&trained.artefact.to_bytes()),
        features,
        features_again: trained.features_digest,
        processor,
        processor_again,
        code_version: registered.code_version,
        code_version_again,
    }
}
