//! Training runs: what is to be trained, what is being trained, and what became of the rest.

use almanac_domain::Event;
use almanac_domain::training_run::{
    FeatureSet, ModelImport, TrainingPlan, TrainingReason, TrainingRequested, TrainingRunEvent,
};
use almanac_domain::values::{Digest, Horizon, Measure, ModelName, Session};
use almanac_store::StoreError;
use almanac_store::log::{Handler, HandlerError, OnUnknown, Recorded};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Row};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::paging::List;
use crate::row;

/// The subscription that reads of training runs wait for.
pub const NAME: &str = "training_runs";

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrainingRun {
    /// Its id.
    pub id: Uuid,
    /// The model it is for.
    #[schema(value_type = String)]
    pub model: ModelName,
    /// `first_version`, `schedule`, `manual`, `age`, `coverage_drift`, `skill_decay` or `feature_drift`.
    pub reason: String,
    /// The figures behind the reason, where there are any.
    pub figures: Vec<TrainingFigure>,
    /// `requested`, `running`, `completed`, `failed` or `cancelled`.
    pub state: String,
    /// The family, such as `ridge`.
    pub family: String,
    /// What it looks at: `core` or `wide`.
    #[schema(value_type = String)]
    pub feature_set: FeatureSet,
    /// The horizons, in sessions.
    #[schema(value_type = Vec<u32>)]
    pub horizons: Vec<Horizon>,
    /// Whether the daily sentiment is a feature.
    pub sentiment: bool,
    /// What it brings in instead of training; null for a training.
    pub import: Option<TrainingImport>,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When a trainer began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended, however it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// The last session of its data.
    #[schema(value_type = Option<chrono::NaiveDate>)]
    pub as_of: Option<Session>,
    /// Bars in its data.
    pub rows: Option<u64>,
    /// Instruments in its data.
    pub instruments: Option<u64>,
    /// The version it became.
    pub version: Option<u32>,
    /// Why there is no version.
    pub failure: Option<String>,
    /// How far it has come, as a share between 0 and 1, where the trainer tells; never out of the log.
    pub progress: Option<String>,
    /// The place of its request in the log.
    pub ordinal: i64,
}

/// A figure that made a training due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrainingFigure {
    /// What was measured, such as `coverage_80 at 1`.
    pub name: String,
    /// What it came to.
    #[schema(value_type = String)]
    pub value: Measure,
    /// What it was held against.
    #[schema(value_type = String)]
    pub threshold: Measure,
    /// The sessions it was measured over.
    pub sessions: u32,
}

/// A model trained elsewhere that a run brings in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrainingImport {
    /// Its files, for each horizon in order.
    pub files: Vec<TrainingFile>,
    /// The last session it may have learnt from, as whoever brings it in says; null when nobody says so.
    #[schema(value_type = Option<chrono::NaiveDate>)]
    pub learnt_through: Option<Session>,
}

/// A file of a model trained elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrainingFile {
    /// The horizon it forecasts, in sessions.
    #[schema(value_type = u32)]
    pub horizon: Horizon,
    /// SHA-256 of its bytes.
    #[schema(value_type = String)]
    pub sha256: Digest,
    /// How many bytes it has.
    pub bytes: u64,
}

impl From<ModelImport> for TrainingImport {
    fn from(import: ModelImport) -> Self {
        let files = import.files.into_iter().map(|file| TrainingFile {
            horizon: file.horizon,
            sha256: file.object.sha256,
            bytes: file.object.bytes,
        });
        Self { files: files.collect(), learnt_through: import.learnt_through }
    }
}

/// A run that waits for a trainer, or for a trainer that died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRun {
    /// Its id.
    pub id: Uuid,
    /// The model it is for.
    pub model: ModelName,
    /// What to train.
    pub plan: TrainingPlan,
    /// What to bring in instead of training.
    pub import: Option<ModelImport>,
    /// Why.
    pub reason: TrainingReason,
    /// Whether a trainer had begun.
    pub running: bool,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// The place of its request in the log.
    pub ordinal: i64,
}

/// Keeps the training runs.
#[derive(Debug, Clone, Copy)]
pub struct TrainingRuns;

#[async_trait]
impl Handler for TrainingRuns {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> i32 {
        4
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Some(include_str!("../sql/training_runs.sql"))
    }

    fn on_unknown(&self) -> OnUnknown {
        OnUnknown::StopAt(&["training_run"])
    }

    async fn apply(&self, conn: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        match row::read(event)? {
            Event::TrainingRun(happened) => apply(conn, event, happened).await,
            Event::Account(_)
            | Event::Watchlist(_)
            | Event::Instrument(_)
            | Event::Ingestion(_)
            | Event::Model(_)
            | Event::ForecastRound(_)
            | Event::Prediction(_)
            | Event::WebhookEndpoint(_) => Ok(()),
        }
    }
}

async fn apply(
    conn: &mut PgConnection,
    event: &Recorded,
    happened: TrainingRunEvent,
) -> Result<(), HandlerError> {
    let id = row::id(event)?;
    match happened {
        TrainingRunEvent::TrainingRequested(requested) => request(conn, id, event, &requested).await,
        TrainingRunEvent::TrainingStarted(started) => {
            sqlx::query(
                "update training_runs set state = 'running', started_at = $2, as_of = $3, rows = $4, instruments = $5
                  where id = $1",
            )
            .bind(id)
            .bind(started.started_at)
            .bind(started.as_of)
            .bind(started.rows as i64)
            .bind(started.instruments as i64)
            .execute(conn)
            .await?;
            Ok(())
        }
        TrainingRunEvent::TrainingCompleted(done) => {
            end(conn, id, "completed", done.completed_at, Some(done.version), None).await
        }
        TrainingRunEvent::TrainingFailed(failed) => {
            let failure = format!("{}: {}", failed.reason, failed.detail);
            end(conn, id, "failed", failed.failed_at, None, Some(failure)).await
        }
        TrainingRunEvent::TrainingCancelled(_) => end(conn, id, "cancelled", event.at(), None, None).await,
    }
}

async fn request(
    conn: &mut PgConnection,
    id: Uuid,
    event: &Recorded,
    requested: &TrainingRequested,
) -> Result<(), HandlerError> {
    sqlx::query(
        "insert into training_runs (id, model, reason, figures, plan, import, state, requested_at, ordinal)
         values ($1, $2, $3, $7, $4, $8, 'requested', $5, $6)
         on conflict (id) do nothing",
    )
    .bind(id)
    .bind(requested.model.as_str())
    .bind(row::written(&requested.reason)?)
    .bind(Json(&requested.plan))
    .bind(event.at())
    .bind(event.ordinal)
    .bind(Json(&requested.figures))
    .bind(requested.import.as_ref().map(Json))
    .execute(conn)
    .await?;
    Ok(())
}

async fn end(
    conn: &mut PgConnection,
    id: Uuid,
    state: &str,
    at: DateTime<Utc>,
    version: Option<u32>,
    failure: Option<String>,
) -> Result<(), HandlerError> {
    sqlx::query(
        "update training_runs set state = $2, ended_at = $3, version = $4, failure = $5 where id = $1",
    )
    .bind(id)
    .bind(state)
    .bind(at)
    .bind(version.map(|version| version as i32))
    .bind(failure)
    .execute(conn)
    .await?;
    Ok(())
}

const SHOWN: &str =
    "select id, model, reason, figures, plan, import, state, requested_at, started_at, ended_at, as_of, rows,
       instruments, version, failure, ordinal
  from training_runs";

fn shown(row: &PgRow) -> Result<TrainingRun, sqlx::Error> {
    let plan: TrainingPlan = row::json(row, "plan")?;
    let import: Option<ModelImport> = row::json_or_none(row, "import")?;
    Ok(TrainingRun {
        id: row.try_get("id")?,
        model: row::word(row, "model")?,
        reason: row.try_get("reason")?,
        figures: row::json(row, "figures")?,
        state: row.try_get("state")?,
        family: plan.family,
        feature_set: plan.feature_set,
        horizons: plan.horizons,
        sentiment: plan.sentiment,
        import: import.map(Into::into),
        requested_at: row.try_get("requested_at")?,
        started_at: row.try_get("started_at")?,
        ended_at: row.try_get("ended_at")?,
        as_of: row.try_get("as_of")?,
        rows: row::count_or_none(row, "rows")?,
        instruments: row::count_or_none(row, "instruments")?,
        version: row::number_or_none(row, "version")?,
        failure: row.try_get("failure")?,
        progress: None,
        ordinal: row.try_get("ordinal")?,
    })
}

/// The runs, newest first; `cursor` is the ordinal of the last one seen.
pub async fn list(
    pool: &PgPool,
    model: Option<&ModelName>,
    cursor: Option<i64>,
    limit: i64,
) -> Result<List<TrainingRun>, StoreError> {
    let select = format!(
        "{SHOWN} where ordinal < $1 and ($2::text is null or model = $2) order by ordinal desc limit $3"
    );
    let rows = sqlx::query(&select)
        .bind(cursor.unwrap_or(i64::MAX))
        .bind(model.map(ModelName::as_str))
        .bind(limit + 1)
        .try_map(|row| shown(&row))
        .fetch_all(pool)
        .await?;
    Ok(List::cut(rows, limit, |last| last.ordinal.to_string()))
}

/// One run.
pub async fn find(pool: &PgPool, id: Uuid) -> Result<Option<TrainingRun>, StoreError> {
    let select = format!("{SHOWN} where id = $1");
    Ok(sqlx::query(&select).bind(id).try_map(|row| shown(&row)).fetch_optional(pool).await?)
}

/// The newest training of a model, whatever became of it, so that a schedule asks once. What was brought in from
/// elsewhere takes no turn of the schedule.
pub async fn last_of(pool: &PgPool, model: &ModelName) -> Result<Option<TrainingRun>, StoreError> {
    let select = format!("{SHOWN} where model = $1 and import is null order by ordinal desc limit 1");
    let newest = sqlx::query(&select).bind(model.as_str()).try_map(|row| shown(&row));
    Ok(newest.fetch_optional(pool).await?)
}

/// The runs that have not ended, oldest first.
pub async fn due(pool: &PgPool) -> Result<Vec<DueRun>, StoreError> {
    let rows = sqlx::query(
        "select id, model, plan, import, reason, state, requested_at, ordinal from training_runs
          where state in ('requested', 'running') order by ordinal",
    );
    let due = |row: PgRow| {
        let state: String = row.try_get("state")?;
        Ok(DueRun {
            id: row.try_get("id")?,
            model: row::word(&row, "model")?,
            plan: row::json(&row, "plan")?,
            import: row::json_or_none(&row, "import")?,
            reason: row::word(&row, "reason")?,
            running: state == "running",
            requested_at: row.try_get("requested_at")?,
            ordinal: row.try_get("ordinal")?,
        })
    };
    Ok(rows.try_map(due).fetch_all(pool).await?)
}
