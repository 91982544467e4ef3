//! Models: their versions, who is champion, and the audit timeline, as of any ordinal of the log.

mod read;

use almanac_domain::Event;
use almanac_domain::model::{DecidedBy, ModelEvent, ModelVersionRegistered};
use almanac_domain::values::{Digest, Horizon, Measure, Mode, ModelName, Session};
use almanac_store::log::{Handler, HandlerError, Recorded};
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

pub use read::{Champion, champion, champion_version, find, list, timeline, version};

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
    /// The checks of the leak sentinel that passed.
    pub leak_checks: Vec<String>,
    /// The measures that are shown first.
    pub evaluation: Vec<EvaluationMeasure>,
    /// Whether it is better than its baselines, in words, for each horizon in order.
    pub verdicts: Vec<String>,
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
    /// `administrator`, or `gate: ` and the rule's name.
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
        1
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Some(include_str!("../../sql/models.sql"))
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
        ModelEvent::ModelVersionRetired(retired) => out_of_service(retired.version, retired.reason),
        ModelEvent::ModelVersionQuarantined(shut) => out_of_service(shut.version, shut.reason),
    }
}

fn out_of_service(version: u32, reason: String) -> Entry {
    Entry { version, champion: None, decider: None, reason: Some(reason), facts: json!({}) }
}

/// Who decided, without naming a person.
pub(crate) fn decider(by: &DecidedBy) -> String {
    match by {
        DecidedBy::Administrator { .. } => "administrator".to_owned(),
        DecidedBy::Gate { rule } => format!("gate: {rule}"),
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
