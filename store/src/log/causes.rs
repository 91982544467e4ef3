//! What a reaction names as its cause. These questions go to what is written, sealed or not: an actor answers its own
//! event a moment after it has made it.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::issued::Cause;
use super::reader::LogReader;
use super::recorded::{EventKey, key_from_row};
use crate::StoreError;

impl LogReader {
    /// The event with this key as a cause, if it was written.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cause(&self, key: &EventKey) -> Result<Option<Cause>, StoreError> {
        Ok(self.causes(std::slice::from_ref(key)).await?.remove(key))
    }

    /// Those of these events that were written, as causes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn causes(&self, keys: &[EventKey]) -> Result<HashMap<EventKey, Cause>, StoreError> {
        let found = sqlx::query(
            "select e.aggregate_type, e.aggregate_id, e.sequence, e.correlation_id
               from unnest($1::text[], $2::text[], $3::bigint[]) as k (aggregate_type, aggregate_id, sequence)
               join events e using (aggregate_type, aggregate_id, sequence)",
        )
        .bind(keys.iter().map(|key| key.aggregate_type.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.aggregate_id.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.sequence).collect::<Vec<_>>())
        .try_map(|row| cause_from(&row))
        .fetch_all(self.pool())
        .await?;
        Ok(found.into_iter().map(|cause| (cause.key.clone(), cause)).collect())
    }

    /// The last event of a stream as a cause; none where there is no such stream.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_of(&self, aggregate_type: &str, id: &str) -> Result<Option<Cause>, StoreError> {
        let last = sqlx::query(
            "select aggregate_type, aggregate_id, sequence, correlation_id from events
              where aggregate_type = $1 and aggregate_id = $2 order by sequence desc limit 1",
        )
        .bind(aggregate_type)
        .bind(id)
        .try_map(|row| cause_from(&row));
        Ok(last.fetch_optional(self.pool()).await?)
    }
}

fn cause_from(row: &PgRow) -> Result<Cause, sqlx::Error> {
    Ok(Cause { key: key_from_row(row)?, correlation_id: row.try_get("correlation_id")? })
}
