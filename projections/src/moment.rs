//! A moment in the log: the ordinal an answer stands for, and the service's time that belongs to it.

use std::str::FromStr;

use almanac_store::StoreError;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;

/// A place in the log with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Moment {
    /// The last ordinal that is known at this moment; 0 before the first event.
    pub ordinal: i64,
    /// The service's time of that event.
    pub as_of: Option<DateTime<Utc>>,
}

/// Which moment is meant, as a reader asks for it: an ordinal, a time (RFC 3339), or the present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AsOf {
    /// The last sealed event.
    #[default]
    Now,
    /// This place in the log, or the last one where the log is shorter.
    Ordinal(i64),
    /// The last event known at this time of the service.
    Time(DateTime<Utc>),
}

/// A text that names no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is neither a time (RFC 3339) nor a place in the log")]
pub struct NoMoment;

impl FromStr for AsOf {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, NoMoment> {
        match (text, text.parse::<i64>(), text.parse::<DateTime<Utc>>()) {
            ("", ..) => Ok(Self::Now),
            (_, Ok(ordinal), _) => Ok(Self::Ordinal(ordinal)),
            (_, _, Ok(time)) => Ok(Self::Time(time)),
            _ => Err(NoMoment),
        }
    }
}

impl AsOf {
    /// The moment in this log.
    pub async fn moment(self, pool: &PgPool) -> Result<Moment, StoreError> {
        match self {
            Self::Now => now(pool).await,
            Self::Ordinal(ordinal) => at_ordinal(pool, ordinal).await,
            Self::Time(time) => at_time(pool, time).await,
        }
    }
}

/// What was known at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Known<T> {
    /// The ordinal the answer stands for: nothing later has a part in it.
    pub ordinal: i64,
    /// The service's time of that ordinal; null before the first event.
    pub as_of: Option<DateTime<Utc>>,
    /// What was known.
    pub items: Vec<T>,
}

impl<T> Known<T> {
    /// What was known at `moment`.
    pub fn of(moment: Moment, items: Vec<T>) -> Self {
        Self { ordinal: moment.ordinal, as_of: moment.as_of, items }
    }
}

const BEFORE_ALL: Moment = Moment { ordinal: 0, as_of: None };

/// The moment of `ordinal`, or of the last sealed one where the log is shorter.
pub async fn at_ordinal(pool: &PgPool, ordinal: i64) -> Result<Moment, StoreError> {
    let found = sqlx::query_as(
        "select ordinal, as_of from event_log where ordinal <= $1 order by ordinal desc limit 1",
    )
    .bind(ordinal)
    .fetch_optional(pool)
    .await?;
    Ok(found.unwrap_or(BEFORE_ALL))
}

/// The moment of the last event known at `time`.
pub async fn at_time(pool: &PgPool, time: DateTime<Utc>) -> Result<Moment, StoreError> {
    let found = sqlx::query_as(
        "select ordinal, as_of from event_log where as_of <= $1 order by as_of desc, ordinal desc limit 1",
    )
    .bind(time)
    .fetch_optional(pool)
    .await?;
    Ok(found.unwrap_or(BEFORE_ALL))
}

/// The moment of the last sealed event.
pub async fn now(pool: &PgPool) -> Result<Moment, StoreError> {
    at_ordinal(pool, i64::MAX).await
}
