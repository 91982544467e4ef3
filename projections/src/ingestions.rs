//! Ingestions: what came in from which source, what was wrong with it, and where it lies.

use almanac_domain::ingestion::{BarsIngested, HeadlinesIngested, IngestionEvent, IngestionFailed};
use almanac_domain::values::{Digest, Mode, Session};
use almanac_domain::{Event, values};
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

/// The subscription that reads of ingestions wait for.
pub const NAME: &str = "ingestions";

/// An object in object storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoredObject {
    /// The key below the storage's root.
    pub key: String,
    /// SHA-256 of its bytes.
    #[schema(value_type = String)]
    pub sha256: Digest,
    /// Its length.
    pub bytes: u64,
}

impl From<values::StoredObject> for StoredObject {
    fn from(object: values::StoredObject) -> Self {
        Self { key: object.key, sha256: object.sha256, bytes: object.bytes }
    }
}

/// How often something was found in a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// Its name, such as `high_below_low`.
    pub finding: String,
    /// Rows it was found in.
    pub rows: u64,
    /// Whether those rows were kept out.
    pub quarantined: bool,
}

/// One batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Ingestion {
    /// Its id.
    pub id: Uuid,
    /// `bars`, `headlines`, or `unknown` where reading failed before that was clear.
    pub kind: String,
    /// The kind of source.
    pub source: String,
    /// `recorded` or `failed`.
    pub state: String,
    /// Real or simulated, by which clock.
    #[schema(value_type = Option<String>)]
    pub mode: Option<Mode>,
    /// The first session in it; of headlines the first day.
    #[schema(value_type = Option<chrono::NaiveDate>)]
    pub first_session: Option<Session>,
    /// The last session in it; of headlines the last day.
    #[schema(value_type = Option<chrono::NaiveDate>)]
    pub last_session: Option<Session>,
    /// Good rows.
    pub rows: u64,
    /// Rows kept out.
    pub quarantined: u64,
    /// What was found, counted.
    pub findings: Vec<Finding>,
    /// When the source was read.
    pub observed_at: DateTime<Utc>,
    /// Where the good rows lie.
    pub object: Option<StoredObject>,
    /// Where every finding lies.
    pub findings_object: Option<StoredObject>,
    /// Why it failed.
    pub failure: Option<String>,
    /// The place of its event in the log.
    pub ordinal: i64,
}

/// A recorded batch as those who read its object need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its id.
    pub id: Uuid,
    /// The kind of source.
    pub source: String,
    /// Real or simulated, by which clock.
    pub mode: Mode,
    /// Where its rows lie.
    pub object: values::StoredObject,
    /// The first session in it; of headlines the first day.
    pub first_session: Session,
    /// The last session in it; of headlines the last day.
    pub last_session: Session,
    /// Rows in it.
    pub rows: u64,
    /// From when on it is known.
    pub observed_at: DateTime<Utc>,
    /// The place of its event in the log.
    pub ordinal: i64,
}

/// Keeps the ingestions.
#[derive(Debug, Clone, Copy)]
pub struct Ingestions;

#[async_trait]
impl Handler for Ingestions {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> i32 {
        1
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Some(include_str!("../sql/ingestions.sql"))
    }

    fn on_unknown(&self) -> OnUnknown {
        OnUnknown::StopAt(&["ingestion"])
    }

    async fn apply(&self, conn: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        match row::read(event)? {
            Event::Ingestion(happened) => keep(conn, &batch(row::id(event)?, event.ordinal, happened)).await,
            Event::Account(_)
            | Event::Watchlist(_)
            | Event::Instrument(_)
            | Event::TrainingRun(_)
            | Event::Model(_)
            | Event::ForecastRound(_)
            | Event::Prediction(_)
            | Event::WebhookEndpoint(_) => Ok(()),
        }
    }
}

fn batch(id: Uuid, ordinal: i64, happened: IngestionEvent) -> Ingestion {
    match happened {
        IngestionEvent::BarsIngested(bars) => of_bars(id, ordinal, bars),
        IngestionEvent::HeadlinesIngested(headlines) => of_headlines(id, ordinal, headlines),
        IngestionEvent::IngestionFailed(failure) => of_failure(id, ordinal, failure),
    }
}

fn of_bars(id: Uuid, ordinal: i64, bars: BarsIngested) -> Ingestion {
    Ingestion {
        id,
        kind: "bars".into(),
        source: bars.source,
        state: "recorded".into(),
        mode: Some(bars.mode),
        first_session: Some(bars.first_session),
        last_session: Some(bars.last_session),
        rows: bars.rows,
        quarantined: bars.quarantined,
        findings: counted(bars.findings),
        observed_at: bars.observed_at,
        object: Some(bars.object.into()),
        findings_object: bars.findings_object.map(StoredObject::from),
        failure: None,
        ordinal,
    }
}

fn of_headlines(id: Uuid, ordinal: i64, headlines: HeadlinesIngested) -> Ingestion {
    Ingestion {
        id,
        kind: "headlines".into(),
        source: headlines.source,
        state: "recorded".into(),
        mode: Some(headlines.mode),
        first_session: Some(headlines.first_published_at.date_naive()),
        last_session: Some(headlines.last_published_at.date_naive()),
        rows: headlines.rows,
        quarantined: headlines.quarantined,
        findings: counted(headlines.findings),
        observed_at: headlines.observed_at,
        object: Some(headlines.object.into()),
        findings_object: None,
        failure: None,
        ordinal,
    }
}

fn of_failure(id: Uuid, ordinal: i64, failure: IngestionFailed) -> Ingestion {
    Ingestion {
        id,
        kind: "unknown".into(),
        source: failure.source,
        state: "failed".into(),
        mode: None,
        first_session: None,
        last_session: None,
        rows: 0,
        quarantined: 0,
        findings: Vec::new(),
        observed_at: failure.failed_at,
        object: None,
        findings_object: None,
        failure: Some(format!("{}: {}", failure.reason, failure.detail)),
        ordinal,
    }
}

fn counted(findings: Vec<almanac_domain::ingestion::FindingCount>) -> Vec<Finding> {
    let finding = |found: almanac_domain::ingestion::FindingCount| Finding {
        finding: found.finding,
        rows: found.rows,
        quarantined: found.quarantined,
    };
    findings.into_iter().map(finding).collect()
}

async fn keep(conn: &mut PgConnection, batch: &Ingestion) -> Result<(), HandlerError> {
    sqlx::query(
        "insert into ingestions (id, kind, source, state, mode, first_session, last_session, rows, quarantined,
                findings, observed_at, object, findings_object, failure, ordinal)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
         on conflict (id) do update set kind = excluded.kind, source = excluded.source, state = excluded.state,
                mode = excluded.mode, first_session = excluded.first_session,
                last_session = excluded.last_session, rows = excluded.rows, quarantined = excluded.quarantined,
                findings = excluded.findings, observed_at = excluded.observed_at, object = excluded.object,
                findings_object = excluded.findings_object, failure = excluded.failure, ordinal = excluded.ordinal
          where ingestions.ordinal < excluded.ordinal",
    )
    .bind(batch.id)
    .bind(&batch.kind)
    .bind(&batch.source)
    .bind(&batch.state)
    .bind(batch.mode.map(Mode::as_str))
    .bind(batch.first_session)
    .bind(batch.last_session)
    .bind(batch.rows as i64)
    .bind(batch.quarantined as i64)
    .bind(Json(&batch.findings))
    .bind(batch.observed_at)
    .bind(batch.object.as_ref().map(Json))
    .bind(batch.findings_object.as_ref().map(Json))
    .bind(&batch.failure)
    .bind(batch.ordinal)
    .execute(conn)
    .await?;
    Ok(())
}

/// Named one by one: a statement prepared on `*` breaks when a newer version of the tables adds a column.
const SHOWN: &str =
    "select id, kind, source, state, mode, first_session, last_session, rows, quarantined, findings,
       observed_at, object, findings_object, failure, ordinal
  from ingestions";

fn shown(row: &PgRow) -> Result<Ingestion, sqlx::Error> {
    Ok(Ingestion {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        source: row.try_get("source")?,
        state: row.try_get("state")?,
        mode: row::word_or_none(row, "mode")?,
        first_session: row.try_get("first_session")?,
        last_session: row.try_get("last_session")?,
        rows: row::count(row, "rows")?,
        quarantined: row::count(row, "quarantined")?,
        findings: row::json(row, "findings")?,
        observed_at: row.try_get("observed_at")?,
        object: row::json_or_none(row, "object")?,
        findings_object: row::json_or_none(row, "findings_object")?,
        failure: row.try_get("failure")?,
        ordinal: row.try_get("ordinal")?,
    })
}

/// The batches, newest first; `cursor` is the ordinal of the last one seen.
pub async fn list(pool: &PgPool, cursor: Option<i64>, limit: i64) -> Result<List<Ingestion>, StoreError> {
    let select = format!("{SHOWN} where ordinal < $1 order by ordinal desc limit $2");
    let rows = sqlx::query(&select)
        .bind(cursor.unwrap_or(i64::MAX))
        .bind(limit + 1)
        .try_map(|row| shown(&row))
        .fetch_all(pool)
        .await?;
    Ok(List::cut(rows, limit, |last| last.ordinal.to_string()))
}

/// One batch.
pub async fn find(pool: &PgPool, id: Uuid) -> Result<Option<Ingestion>, StoreError> {
    let select = format!("{SHOWN} where id = $1");
    Ok(sqlx::query(&select).bind(id).try_map(|row| shown(&row)).fetch_optional(pool).await?)
}

/// The last session of which bars came in.
pub async fn last_bars_session(pool: &PgPool, mode: Mode) -> Result<Option<Session>, StoreError> {
    let last =
        sqlx::query_scalar("select max(last_session) from ingestions where kind = 'bars' and mode = $1");
    Ok(last.bind(mode.as_str()).fetch_one(pool).await?)
}

/// The recorded batches of bars known at the ordinal `as_of`, in log order.
pub async fn bar_batches(pool: &PgPool, mode: Mode, as_of: i64) -> Result<Vec<Batch>, StoreError> {
    batches(pool, "bars", mode, as_of).await
}

/// The recorded batches of headlines known at the ordinal `as_of`, in log order.
pub async fn headline_batches(pool: &PgPool, mode: Mode, as_of: i64) -> Result<Vec<Batch>, StoreError> {
    batches(pool, "headlines", mode, as_of).await
}

async fn batches(pool: &PgPool, kind: &str, mode: Mode, as_of: i64) -> Result<Vec<Batch>, StoreError> {
    let rows = sqlx::query(
        "select id, source, mode, object, first_session, last_session, rows, observed_at, ordinal from ingestions
          where state = 'recorded' and kind = $1 and mode = $2 and ordinal <= $3 order by ordinal",
    );
    let batch = |row: PgRow| {
        Ok(Batch {
            id: row.try_get("id")?,
            source: row.try_get("source")?,
            mode: row::word(&row, "mode")?,
            object: row::json(&row, "object")?,
            first_session: row.try_get("first_session")?,
            last_session: row.try_get("last_session")?,
            rows: row::count(&row, "rows")?,
            observed_at: row.try_get("observed_at")?,
            ordinal: row.try_get("ordinal")?,
        })
    };
    Ok(rows.bind(kind).bind(mode.as_str()).bind(as_of).try_map(batch).fetch_all(pool).await?)
}
