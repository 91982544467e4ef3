//! Why committed events are not sealed yet, for health and the administrator.

use chrono::{DateTime, Utc};
use sqlx::Row;

use super::sequencer::Sequencer;
use crate::{Database, StoreError};

/// What keeps committed events from being sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stall {
    /// When the oldest event that waits was written, by the database's clock.
    pub since: DateTime<Utc>,
    /// How long it has waited.
    pub waiting_ms: i64,
    /// The process of the oldest open write transaction of the cluster, if there is one.
    pub blocking_pid: Option<i32>,
    /// The database that process works in.
    pub blocking_database: Option<String>,
}

impl Sequencer {
    /// What keeps committed events from being sealed; none when nothing waits.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stall(database: &Database) -> Result<Option<Stall>, StoreError> {
        let row = sqlx::query(
            "select oldest.recorded_at as since,
                    (extract(epoch from clock_timestamp() - oldest.recorded_at) * 1000)::bigint as waiting_ms,
                    blocker.pid, blocker.datname::text as datname
               from (select e.recorded_at from events e
                      where (e.xid, e.position) >= (select xid_floor, position_floor from sequencer)
                        and not exists (select 1 from event_log l where l.position = e.position)
                      order by e.xid, e.position limit 1) oldest
               left join lateral (select pid, datname from pg_stat_activity
                      where backend_xid is not null and pid <> pg_backend_pid()
                      order by age(backend_xid) desc limit 1) blocker on true",
        )
        .fetch_optional(database.pool())
        .await?;
        row.map(|row| {
            Ok(Stall {
                since: row.try_get("since")?,
                waiting_ms: row.try_get("waiting_ms")?,
                blocking_pid: row.try_get("pid")?,
                blocking_database: row.try_get("datname")?,
            })
        })
        .transpose()
    }
}
