//! The log itself and those who read it, as the administrator sees them. No subscription stands between: this is
//! the sealed log as it is.

use almanac_store::StoreError;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::paging::List;

/// How far the log reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Log {
    /// The last sealed ordinal; 0 while there is none.
    pub head: i64,
    /// The service's time of the first event.
    pub first_at: Option<DateTime<Utc>>,
    /// The service's time of the last event.
    pub last_at: Option<DateTime<Utc>>,
}

/// One sealed event.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct LogEvent {
    /// Its place in the log.
    pub ordinal: i64,
    /// Its unique id.
    pub event_id: Uuid,
    /// The service's time of the decision.
    pub at: DateTime<Utc>,
    /// The database's time of writing.
    pub recorded_at: DateTime<Utc>,
    /// The kind of aggregate.
    pub aggregate_type: String,
    /// The aggregate.
    pub aggregate_id: String,
    /// The place in the aggregate's own stream, from 1.
    pub sequence: i64,
    /// Its stored name.
    pub event_type: String,
    /// The version of its shape.
    pub event_version: String,
    /// What it says, as it was stored.
    #[schema(value_type = Object)]
    pub payload: Value,
    /// Shared by all consequences of one request.
    pub correlation_id: Option<Uuid>,
    /// The key of the event it follows from.
    pub causation_id: Option<String>,
    /// The account that acted; none when the service itself did.
    pub account: Option<Uuid>,
}

impl LogEvent {
    /// Its name, as `type:id:sequence`: what its consequences have as their `causation_id`.
    pub fn key(&self) -> String {
        format!("{}:{}:{}", self.aggregate_type, self.aggregate_id, self.sequence)
    }
}

/// The columns of a [`LogEvent`], of `events e` joined with `event_log l`.
pub(crate) const COLUMNS: &str =
    "l.ordinal, e.event_id, coalesce((e.metadata ->> 'at')::timestamptz, e.recorded_at) as at,
        e.recorded_at, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version, e.payload,
        e.correlation_id, e.causation_id, e.account";

/// How far a projection has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct ProjectionState {
    /// Its name.
    pub name: String,
    /// The version of its tables and meaning.
    pub version: i32,
    /// The last ordinal it has applied.
    pub ordinal: i64,
    /// Events it has not applied yet.
    pub lag: i64,
    /// `running`, `warming`, `stopped` or `retired`.
    pub state: String,
    /// Why it stopped.
    pub error: Option<String>,
    /// The event it stopped at.
    pub failed_ordinal: Option<i64>,
    /// Events it was told to set aside because it cannot apply them; they are missing from what it shows.
    pub parked: i64,
    /// The first of them.
    pub parked_ordinal: Option<i64>,
    /// Why that one cannot be applied.
    pub parked_error: Option<String>,
}

/// How far the log reaches now.
pub async fn state(pool: &PgPool) -> Result<Log, StoreError> {
    let found = sqlx::query_as(
        "select s.last_ordinal as head, (select as_of from event_log where ordinal = 1) as first_at,
                s.last_as_of as last_at from sequencer s",
    );
    Ok(found.fetch_one(pool).await?)
}

/// Sealed events known at the ordinal `as_of`, newest first; `cursor` is the ordinal of the last one seen.
pub async fn list(
    pool: &PgPool,
    as_of: i64,
    event_type: Option<&str>,
    cursor: Option<i64>,
    limit: i64,
) -> Result<List<LogEvent>, StoreError> {
    // Two statements, because a plan that serves both would walk the whole log for a type that is rare.
    let of_type = if event_type.is_some() { "and l.event_type = $4" } else { "" };
    let select = format!(
        "select {COLUMNS} from event_log l join events e on e.position = l.position
          where l.ordinal <= $1 and l.ordinal < $2 {of_type} order by l.ordinal desc limit $3"
    );
    let rows = sqlx::query_as(&select).bind(as_of).bind(cursor.unwrap_or(i64::MAX)).bind(limit + 1);
    let rows = match event_type {
        Some(event_type) => rows.bind(event_type),
        None => rows,
    };
    Ok(List::cut(rows.fetch_all(pool).await?, limit, |last: &LogEvent| last.ordinal.to_string()))
}

/// How far every projection has come; replaced versions and tables beside the live ones are left out.
pub async fn projections(pool: &PgPool) -> Result<Vec<ProjectionState>, StoreError> {
    let rows = sqlx::query_as(
        "select p.name, p.version, p.last_ordinal as ordinal, s.last_ordinal - p.last_ordinal as lag, p.state,
                p.error, p.failed_ordinal, a.parked, a.parked_ordinal, a.parked_error
           from sequencer s, subscriptions p, lateral
                (select count(*) as parked, min(ordinal) as parked_ordinal,
                        (array_agg(error order by ordinal))[1] as parked_error
                   from subscription_parked a where a.name = p.name and a.version = p.version) a
          where p.state <> 'retired' and strpos(p.name, ':') = 0 order by p.name, p.version",
    );
    Ok(rows.fetch_all(pool).await?)
}
