//! Questions about the sealed log.

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
        self.of_kinds_after(None, ordinal, limit).await
    }

    /// Of the `limit` events that follow `ordinal` those of some kinds of aggregate, in order; all of them without such.
    /// What is not wanted stays in the database.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn of_kinds_after(
        &self,
        kinds: Option<&[&str]>,
        ordinal: i64,
        limit: i64,
    ) -> Result<Vec<Recorded>, StoreError> {
        let last = ordinal.saturating_add(limit);
        if limit >= MANY {
            return self.many_after(kinds, ordinal, last).await;
        }
        let of_kind = if kinds.is_some() { "and l.aggregate_type = any($3)" } else { "" };
        let condition = format!("where l.ordinal > $1 and l.ordinal <= $2 {of_kind} order by l.ordinal");
        self.select(&condition, |query| {
            let query = query.bind(ordinal).bind(last);
            match kinds {
                Some(kinds) => query.bind(kinds.iter().map(ToString::to_string).collect::<Vec<_>>()),
                None => query,
            }
        })
        .await
    }

    async fn many_after(
        &self,
        kinds: Option<&[&str]>,
        ordinal: i64,
        last: i64,
    ) -> Result<Vec<Recorded>, StoreError> {
        // A copy takes no parameters; the names of aggregates stand in the program.
        let of_kind = kinds.map(|kinds| format!("and l.aggregate_type in ('{}')", kinds.join("', '")));
        let of_kind = of_kind.unwrap_or_default();
        let select = format!(
            "select {COLUMNS} {SEALED} where l.ordinal > {ordinal} and l.ordinal <= {last} {of_kind} order by l.ordinal"
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
