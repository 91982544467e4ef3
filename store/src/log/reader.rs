//! Questions about the sealed log.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::copied;
use super::recorded::{COLUMNS, EventKey, Recorded};
use crate::{Database, StoreError};

/// Joined by position, which is twice as fast as by the three-part key.
const SEALED: &str = "from event_log l join events e on e.position = l.position";

/// From so many events on it pays to ask for them by a statement of its own, which is planned each time.
const MANY: i64 = 200;

/// Reads the sealed log. Clones share the pool.
#[derive(Debug, Clone)]
pub struct LogReader {
    pool: PgPool,
}

impl LogReader {
    /// A reader of the log in `database`.
    pub fn new(database: &Database) -> Self {
        Self { pool: database.pool().clone() }
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Up to `limit` events that follow `ordinal`, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn after(&self, ordinal: i64, limit: i64) -> Result<Vec<Recorded>, StoreError> {
        if limit >= MANY {
            return self.many_after(ordinal, limit).await;
        }
        self.select("where l.ordinal > $1 and l.ordinal <= $1 + $2 order by l.ordinal", |query| {
            query.bind(ordinal).bind(limit)
        })
        .await
    }

    async fn many_after(&self, ordinal: i64, limit: i64) -> Result<Vec<Recorded>, StoreError> {
        let last = ordinal.saturating_add(limit);
        let select = format!(
            "select {COLUMNS} {SEALED} where l.ordinal > {ordinal} and l.ordinal <= {last} order by l.ordinal"
        );
        let copied = copied::rows(&self.pool, &select).await?;
        let mut fields = copied.fields()?;
        let mut events = vec![];
        while fields.next_row()? {
            events.push(Recorded::from_fields(&mut fields)?);
        }
        Ok(events)
    }

    /// The event with this ordinal.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn at_ordinal(&self, ordinal: i64) -> Result<Option<Recorded>, StoreError> {
        Ok(self.select("where l.ordinal = $1", |query| query.bind(ordinal)).await?.pop())
    }

    /// The event with this key, if it is sealed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn by_key(&self, key: &EventKey) -> Result<Option<Recorded>, StoreError> {
        match self.ordinal_of(key).await? {
            Some(ordinal) => self.at_ordinal(ordinal).await,
            None => Ok(None),
        }
    }

    /// All sealed events of one aggregate, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stream(
        &self,
        aggregate_type: &str,
        aggregate_id: &str,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.select("where l.aggregate_type = $1 and l.aggregate_id = $2 order by l.ordinal", |query| {
            query.bind(aggregate_type.to_owned()).bind(aggregate_id.to_owned())
        })
        .await
    }

    /// The ordinal of the event with this key, if it is sealed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ordinal_of(&self, key: &EventKey) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar(
            "select ordinal from event_log where aggregate_type = $1 and aggregate_id = $2 and sequence = $3",
        )
        .bind(&key.aggregate_type)
        .bind(&key.aggregate_id)
        .bind(key.sequence)
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The last sealed ordinal; 0 when nothing is sealed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn head(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("select last_ordinal from sequencer").fetch_one(&self.pool).await?)
    }

    /// The last ordinal that was known at `moment`, in the service's time; 0 when nothing was.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ordinal_as_of(&self, moment: DateTime<Utc>) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(
            "select coalesce((select ordinal from event_log where as_of <= $1 order by as_of desc, ordinal desc limit 1), 0)",
        )
        .bind(moment)
        .fetch_one(&self.pool)
        .await?)
    }

    async fn select(
        &self,
        condition: &str,
        bind: impl FnOnce(PgQuery<'_>) -> PgQuery<'_>,
    ) -> Result<Vec<Recorded>, StoreError> {
        let select = format!("select {COLUMNS} {SEALED} {condition}");
        let rows = bind(sqlx::query(&select)).fetch_all(&self.pool).await?;
        Ok(rows.iter().map(Recorded::from_row).collect::<Result<_, _>>()?)
    }
}

type PgQuery<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;
