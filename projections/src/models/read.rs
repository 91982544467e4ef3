//! What was known of models at an ordinal.

use std::collections::BTreeMap;

use almanac_domain::model::{self, ModelVersionRegistered};
use almanac_domain::training_run::TrainingPlan;
use almanac_domain::values::{self, Digest, Mode, ModelName, Session};
use almanac_store::StoreError;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};

use super::{EvaluationMeasure, Model, ModelVersion, Origin, Recipe, TimelineEntry, VersionStatus};
use crate::row;

/// The version that publishes, as those who publish need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Champion {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: u32,
    /// The place in the model's stream of the event that made it champion.
    pub sequence: u64,
    /// The place of that event in the log.
    pub since_ordinal: i64,
    /// When that happened.
    pub since: DateTime<Utc>,
    /// What it was asked to be.
    pub plan: TrainingPlan,
    /// The mode of the data it learnt from.
    pub mode: Mode,
    /// The last session of that data.
    pub trained_through: Session,
    /// The digest of the manifest of that data.
    pub dataset: Digest,
    /// The artefact.
    pub artefact: values::StoredObject,
    /// The full evaluation.
    pub evaluation_object: values::StoredObject,
    /// The measures that are shown first.
    pub evaluation: Vec<model::EvaluationMeasure>,
}

/// All models as they were known at the ordinal `as_of`, by name.
pub async fn list(pool: &PgPool, as_of: i64) -> Result<Vec<Model>, StoreError> {
    known(pool, None, as_of).await
}

/// One model as it was known at the ordinal `as_of`.
pub async fn find(pool: &PgPool, model: &ModelName, as_of: i64) -> Result<Option<Model>, StoreError> {
    Ok(known(pool, Some(model), as_of).await?.pop())
}

/// One version as it is known now.
pub async fn version(
    pool: &PgPool,
    model: &ModelName,
    version: u32,
) -> Result<Option<ModelVersion>, StoreError> {
    let found = find(pool, model, i64::MAX).await?;
    Ok(found.and_then(|model| model.versions.into_iter().find(|known| known.version == version)))
}

async fn known(pool: &PgPool, model: Option<&ModelName>, as_of: i64) -> Result<Vec<Model>, StoreError> {
    let registrations = sqlx::query(
        "select registration from model_versions
          where ordinal <= $1 and ($2::text is null or model = $2) order by model, version desc",
    )
    .bind(as_of)
    .bind(model.map(ModelName::as_str))
    .try_map(|row| row::json::<ModelVersionRegistered>(&row, "registration"))
    .fetch_all(pool)
    .await?;
    let decisions = sqlx::query(
        "select model, event, version, champion from model_timeline
          where ordinal <= $1 and ($2::text is null or model = $2) order by model, ordinal",
    )
    .bind(as_of)
    .bind(model.map(ModelName::as_str))
    .try_map(|row| decision(&row))
    .fetch_all(pool)
    .await?;
    let mut standings: BTreeMap<ModelName, Standing> = BTreeMap::new();
    for decision in decisions {
        standings.entry(decision.model.clone()).or_default().take_in(&decision);
    }
    let mut models: Vec<Model> = Vec::new();
    for registered in registrations {
        let standing = standings.entry(registered.model.clone()).or_default();
        let (name, champion) = (registered.model.clone(), standing.champion);
        let version = shown(registered, standing);
        match models.last_mut() {
            Some(model) if model.name == name => model.versions.push(version),
            Some(_) | None => models.push(Model { name, champion, versions: vec![version] }),
        }
    }
    Ok(models)
}

struct Decision {
    model: ModelName,
    event: String,
    version: Option<u32>,
    champion: Option<u32>,
}

fn decision(row: &PgRow) -> Result<Decision, sqlx::Error> {
    Ok(Decision {
        model: row::word(row, "model")?,
        event: row.try_get("event")?,
        version: row::number_or_none(row, "version")?,
        champion: row::number_or_none(row, "champion")?,
    })
}

/// What had been decided about a model's versions.
#[derive(Default)]
struct Standing {
    champion: Option<u32>,
    out: BTreeMap<u32, VersionStatus>,
}

impl Standing {
    fn take_in(&mut self, decision: &Decision) {
        self.champion = decision.champion.or(self.champion);
        if let Some(version) = decision.version {
            if decision.event == "ModelVersionRetired" {
                self.out.insert(version, VersionStatus::Retired);
            } else if decision.event == "ModelVersionQuarantined" {
                self.out.insert(version, VersionStatus::Quarantined);
            } else if decision.event == "ModelVersionPromoted" || decision.event == "TrialOpened" {
                // With either a person has ended the quarantine: a rule may not.
                self.out.remove(&version);
            }
        }
    }

    fn of(&self, version: u32) -> VersionStatus {
        if self.champion == Some(version) {
            return VersionStatus::Champion;
        }
        self.out.get(&version).copied().unwrap_or(VersionStatus::Able)
    }
}

fn shown(registered: ModelVersionRegistered, standing: &Standing) -> ModelVersion {
    let measure = |measure: model::EvaluationMeasure| EvaluationMeasure {
        horizon: measure.horizon,
        measure: measure.measure,
        value: measure.value,
        zero: measure.zero,
        drift: measure.drift,
    };
    ModelVersion {
        status: standing.of(registered.version),
        model: registered.model,
        version: registered.version,
        family: registered.plan.family,
        feature_set: registered.plan.feature_set,
        mode: registered.mode,
        trained_through: registered.trained_through,
        registered_at: registered.registered_at,
        training_run: registered.training_run,
        dataset: registered.dataset,
        artefact: registered.artefact.into(),
        evaluation_object: registered.evaluation_object.into(),
        horizons: registered.plan.horizons,
        sentiment: registered.plan.sentiment,
        seed: registered.plan.seed.to_string(),
        code_version: registered.code_version,
        recipe: registered.recipe.map(|recipe| Recipe {
            features: recipe.features,
            parameters: recipe.parameters,
            architecture: recipe.processor.architecture,
            processor_level: recipe.processor.level,
            processor_extensions: recipe.processor.extensions,
        }),
        origin: match registered.origin {
            model::Origin::Trained => Origin::Trained,
            model::Origin::Imported { format, files, learnt_through } => {
                Origin::Imported { format, files, learnt_through }
            }
        },
        leak_checks: registered.leak_checks,
        evaluation: registered.evaluation.into_iter().map(measure).collect(),
        verdicts: registered.verdicts,
    }
}

/// The timeline of a model up to the ordinal `as_of`, oldest first.
pub async fn timeline(
    pool: &PgPool,
    model: &ModelName,
    as_of: i64,
) -> Result<Vec<TimelineEntry>, StoreError> {
    let entry = |row: PgRow| {
        Ok(TimelineEntry {
            ordinal: row.try_get("ordinal")?,
            at: row.try_get("at")?,
            event: row.try_get("event")?,
            version: row::number_or_none(&row, "version")?,
            by: row.try_get("decider")?,
            reason: row.try_get("reason")?,
            facts: row.try_get("facts")?,
        })
    };
    let rows = sqlx::query(
        "select ordinal, at, event, version, decider, reason, facts from model_timeline
          where model = $1 and ordinal <= $2 order by ordinal",
    );
    Ok(rows.bind(model.as_str()).bind(as_of).try_map(entry).fetch_all(pool).await?)
}

/// The version of a model that published at the ordinal `as_of`.
pub async fn champion(pool: &PgPool, model: &ModelName, as_of: i64) -> Result<Option<Champion>, StoreError> {
    made_champion(pool, model, None, as_of).await
}

/// This version of a model, as it was made champion the last time up to the ordinal `as_of`, whoever is champion then.
pub async fn champion_version(
    pool: &PgPool,
    model: &ModelName,
    version: u32,
    as_of: i64,
) -> Result<Option<Champion>, StoreError> {
    made_champion(pool, model, Some(version), as_of).await
}

/// The challenger whose trial was opened at this ordinal, as those who publish need it: `sequence` and `since` are those of
/// the opening.
pub async fn on_trial(pool: &PgPool, model: &ModelName, opened: i64) -> Result<Option<Champion>, StoreError> {
    let found = sqlx::query(
        "select t.sequence, t.ordinal, t.at, v.registration
           from model_timeline t join model_versions v on v.model = t.model and v.version = t.version
          where t.model = $1 and t.ordinal = $2",
    );
    let found = found.bind(model.as_str()).bind(opened).try_map(|row| entrusted(&row));
    Ok(found.fetch_optional(pool).await?)
}

async fn made_champion(
    pool: &PgPool,
    model: &ModelName,
    version: Option<u32>,
    as_of: i64,
) -> Result<Option<Champion>, StoreError> {
    let found = sqlx::query(
        "select t.sequence, t.ordinal, t.at, v.registration
           from model_timeline t join model_versions v on v.model = t.model and v.version = t.champion
          where t.model = $1 and t.ordinal <= $2 and t.champion is not null
            and ($3::integer is null or t.champion = $3)
          order by t.ordinal desc limit 1",
    );
    let found = found.bind(model.as_str()).bind(as_of).bind(version.map(|version| version as i32));
    Ok(found.try_map(|row| entrusted(&row)).fetch_optional(pool).await?)
}

fn entrusted(row: &PgRow) -> Result<Champion, sqlx::Error> {
    let registered: ModelVersionRegistered = row::json(row, "registration")?;
    Ok(Champion {
        model: registered.model,
        version: registered.version,
        sequence: row::count(row, "sequence")?,
        since_ordinal: row.try_get("ordinal")?,
        since: row.try_get("at")?,
        plan: registered.plan,
        mode: registered.mode,
        trained_through: registered.trained_through,
        dataset: registered.dataset,
        artefact: registered.artefact,
        evaluation_object: registered.evaluation_object,
        evaluation: registered.evaluation,
    })
}
