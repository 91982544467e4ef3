//! Models: their versions, who is champion, and the audit timeline, as of any ordinal of the log.

mod read;

use std::collections::BTreeMap;

use almanac_domain::Event;
use almanac_domain::model::{DecidedBy, ModelEvent, ModelVersionRegistered};
use almanac_domain::training_run::FeatureSet;
use almanac_domain::values::{Digest, Horizon, Measure, Mode, ModelName, Session};
use almanac_store::log::{Handler, HandlerError, OnUnknown, Recorded};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ingestions::StoredObject;
use crate::row;

pub use read::{Champion, champion, champion_version, find, list, on_trial, timeline, version};

/// The subscription that reads of models wait for.
pub const NAME: &str = "models";

/// A named line of versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Model {
    /// Its name.
    #[schema(value_type = String)]
    pub name: ModelName,
    /// The version that publishes.
    pub champion: Option<u32>,
    /// Its versions, newest first.
    pub versions: Vec<ModelVersion>,
}

/// What a version is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VersionStatus {
    /// It publishes.
    Champion,
    /// It may be promoted.
    Able,
    /// It serves no more.
    Retired,
    /// It is not to be trusted.
    Quarantined,
}

/// One trained version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModelVersion {
    /// The model.
    #[schema(value_type = String)]
    pub model: ModelName,
    /// Its number, from 1.
    pub version: u32,
    /// The family, such as `ridge`.
    pub family: String,
    /// What it looks at: `core` or `wide`.
    #[schema(value_type = String)]
    pub feature_set: FeatureSet,
    /// What it is good for.
    pub status: VersionStatus,
    /// The mode of the data it learnt from.
    #[schema(value_type = String)]
    pub mode: Mode,
    /// The last session of that data.
    #[schema(value_type = chrono::NaiveDate)]
    pub trained_through: Session,
    /// When it was registered.
    pub registered_at: DateTime<Utc>,
    /// The run that made it.
    pub training_run: Uuid,
    /// The digest of the manifest of that data.
    #[schema(value_type = String)]
    pub dataset: Digest,
    /// The artefact.
    pub artefact: StoredObject,
    /// The full evaluation.
    pub evaluation_object: StoredObject,
    /// The horizons it covers, in sessions.
    #[schema(value_type = Vec<u32>)]
    pub horizons: Vec<Horizon>,
    /// Whether the daily sentiment is a feature.
    pub sentiment: bool,
    /// The seed of everything that was drawn; a string, as it may exceed what JSON numbers hold.
    pub seed: String,
    /// The code that made it.
    pub code_version: String,
    /// What it takes to train it again; null for versions that did not say so yet.
    pub recipe: Option<Recipe>,
    /// Where it comes from.
    pub origin: Origin,
    /// The checks of the leak sentinel that passed.
    pub leak_checks: Vec<String>,
    /// The measures that are shown first.
    pub evaluation: Vec<EvaluationMeasure>,
    /// Whether it is better than its baselines, in words, for each horizon in order.
    pub verdicts: Vec<String>,
}

/// What it takes, beside plan, data and code, to train a version to the same bytes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Recipe {
    /// SHA-256 of the table of features it learnt from.
    #[schema(value_type = String)]
    pub features: Digest,
    /// What was chosen, by name; numbers as text.
    pub parameters: BTreeMap<String, String>,
    /// The architecture it was computed on.
    pub architecture: String,
    /// The feature level of the processor.
    pub processor_level: String,
    /// The extensions of the processor that were looked for and found.
    pub processor_extensions: Vec<String>,
}

/// Where a version comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// It was trained here.
    Trained,
    /// It was trained elsewhere and brought in.
    Imported {
        /// The format of its files, such as `onnx`.
        format: String,
        /// The SHA-256 of each file, for each horizon in order.
        #[schema(value_type = Vec<String>)]
        files: Vec<Digest>,
        /// The last session it may have learnt from, as whoever brought it says; null when nobody says so.
        #[schema(value_type = Option<chrono::NaiveDate>)]
        learnt_through: Option<Session>,
    },
}

/// One measure of a version out of sample, beside what guessing would have scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EvaluationMeasure {
    /// The horizon it was measured at.
    #[schema(value_type = u32)]
    pub horizon: Horizon,
    /// Its name.
    pub measure: String,
    /// The version's value.
    #[schema(value_type = Option<String>)]
    pub value: Option<Measure>,
    /// The value of predicting no change.
    #[schema(value_type = Option<String>)]
    pub zero: Option<Measure>,
    /// The value of predicting the mean return of the training data.
    #[schema(value_type = Option<String>)]
    pub drift: Option<Measure>,
}

/// One event on a model's timeline.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TimelineEntry {
    /// Its place in the log.
    pub ordinal: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Its stored name.
    pub event: String,
    /// The version it is about; of a rollback the one that became champion.
    pub version: Option<u32>,
    /// `administrator`, `operator` for the command line, or `gate: ` and the rule's name.
    pub by: Option<String>,
    /// The reason given.
    pub reason: Option<String>,
    /// What else the event says.
    #[schema(value_type = Object)]
    pub facts: Value,
}

/// Keeps the models.
#[derive(Debug, Clone, Copy)]
pub struct Models;

#[async_trait]
impl Handler for Models {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> i32 {
        4
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Some(include_str!("../../sql/models.sql"))
    }

    fn on_unknown(&self) -> OnUnknown {
        OnUnknown::StopAt(&["model"])
    }

    async fn apply(&self, conn: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        match row::read(event)? {
            Event::Model(happened) => {
                if let ModelEvent::ModelVersionRegistered(registered) = &happened {
                    register(conn, event, registered).await?;
                }
                note(conn, event, entry(happened)).await
            }
            Event::Account(_)
            | Event::Watchlist(_)
            | Event::Instrument(_)
            | Event::Ingestion(_)
            | Event::TrainingRun(_)
            | Event::ForecastRound(_)
            | Event::Prediction(_)
            | Event::WebhookEndpoint(_) => Ok(()),
        }
    }
}

/// What an event adds to the timeline, beyond where and when.
struct Entry {
    version: u32,
    champion: Option<u32>,
    decider: Option<String>,
    reason: Option<String>,
    facts: Value,
}

fn entry(happened: ModelEvent) -> Entry {
    match happened {
        ModelEvent::ModelVersionRegistered(registered) => Entry {
            version: registered.version,
            champion: None,
            decider: None,
            reason: None,
            facts: json!({
                "training_run": registered.training_run,
                "family": registered.plan.family,
                "feature_set": registered.plan.feature_set,
                "horizons": registered.plan.horizons,
                "sentiment": registered.plan.sentiment,
                "trained_through": registered.trained_through,
                "dataset": registered.dataset,
                "artefact": registered.artefact.sha256,
                "leak_checks": registered.leak_checks,
                "verdicts": registered.verdicts,
            }),
        },
        ModelEvent::ModelVersionPromoted(promoted) => Entry {
            version: promoted.version,
            champion: Some(promoted.version),
            decider: Some(decider(&promoted.by)),
            reason: Some(promoted.reason),
            facts: json!({}),
        },
        ModelEvent::PromotionRolledBack(back) => Entry {
            version: back.to,
            champion: Some(back.to),
            decider: Some(decider(&back.by)),
            reason: Some(back.reason),
            facts: json!({ "from": back.from, "to": back.to }),
        },
        ModelEvent::ModelVersionRetired(retired) => {
            out_of_service(retired.version, retired.by.as_ref(), retired.reason)
        }
        ModelEvent::ModelVersionQuarantined(shut) => {
            out_of_service(shut.version, shut.by.as_ref(), shut.reason)
        }
        ModelEvent::TrialOpened(opened) => Entry {
            version: opened.version,
            champion: None,
            decider: Some(decider(&opened.by)),
            reason: Some(opened.reason),
            facts: json!({ "trial": opened.trial, "champion": opened.champion, "rule": opened.rule }),
        },
        ModelEvent::TrialDecided(decided) => Entry {
            version: decided.version,
            champion: None,
            decider: decided.by.as_ref().map(decider),
            reason: Some(decided.reason),
            facts: json!({
                "trial": decided.trial,
                "champion": decided.champion,
                "outcome": decided.outcome,
                "ended_by": decided.ended_by,
                "dry_run": decided.dry_run,
                "evidence": decided.evidence,
            }),
        },
    }
}

fn out_of_service(version: u32, by: Option<&DecidedBy>, reason: String) -> Entry {
    let decider = by.map(decider);
    Entry { version, champion: None, decider, reason: Some(reason), facts: json!({}) }
}

/// Who decided, without naming a person.
pub(crate) fn decider(by: &DecidedBy) -> String {
    match by {
        DecidedBy::Administrator { .. } => "administrator".to_owned(),
        DecidedBy::Gate { rule } => format!("gate: {rule}"),
        DecidedBy::Operator => "operator".to_owned(),
    }
}

async fn register(
    conn: &mut PgConnection,
    event: &Recorded,
    registered: &ModelVersionRegistered,
) -> Result<(), HandlerError> {
    sqlx::query(
        "insert into model_versions (model, version, registration, ordinal) values ($1, $2, $3, $4)
         on conflict (model, version) do nothing",
    )
    .bind(&event.key.aggregate_id)
    .bind(registered.version as i32)
    .bind(Json(registered))
    .bind(event.ordinal)
    .execute(conn)
    .await?;
    Ok(())
}

async fn note(conn: &mut PgConnection, event: &Recorded, entry: Entry) -> Result<(), HandlerError> {
    sqlx::query(
        "insert into model_timeline
                (model, ordinal, sequence, at, event, version, champion, decider, reason, facts)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (model, ordinal) do nothing",
    )
    .bind(&event.key.aggregate_id)
    .bind(event.ordinal)
    .bind(event.key.sequence)
    .bind(event.at())
    .bind(&event.event_type)
    .bind(entry.version as i32)
    .bind(entry.champion.map(|version| version as i32))
    .bind(entry.decider)
    .bind(entry.reason)
    .bind(entry.facts)
    .execute(conn)
    .await?;
    Ok(())
}
