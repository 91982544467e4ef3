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
    /// How long it has waited, by that clock or by how long this process has seen it wait, whichever is longer: a clock that
    /// was put back hides nothing.
    pub waiting_ms: i64,
    /// The server process whose write transaction keeps the event, or one before it in its stream, from being sealed; none
    /// where nobody holds it up.
    pub blocking_pid: Option<i32>,
    /// The database of the transaction that holds it up, which may be any of the cluster. Without a process it is a
    /// prepared transaction.
    pub blocking_database: Option<String>,
}

impl Stall {
    /// What waits and why, in a sentence for people. Anybody may read it, so it names a process and no database.
    pub fn sentence(&self) -> String {
        let seconds = self.waiting_ms / 1_000;
        let why = match (self.blocking_pid, &self.blocking_database) {
            (Some(pid), _) => format!("server process {pid} holds a write transaction open"),
            (None, Some(_)) => "a prepared transaction was never ended (pg_prepared_xacts)".to_owned(),
            (None, None) => "no open transaction explains it: the sequencer does not work".to_owned(),
        };
        format!("an event waits to be sealed since {seconds} s: {why}")
    }
}

impl Sequencer {
    /// What keeps committed events from being sealed; none when nothing waits.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stall(database: &Database) -> Result<Option<Stall>, StoreError> {
        // An event is held up from outside when its own transaction is not below the oldest open one, or when that is so of
        // an event before it in its stream: a held event may have taken its id long before whoever blocks its predecessor.
        let row = sqlx::query(
            "select oldest.position, oldest.recorded_at as since,
                    greatest(0, extract(epoch from clock_timestamp() - oldest.recorded_at) * 1000)::bigint as waiting_ms,
                    blocker.pid, blocker.datname
               from (select e.position, e.recorded_at, e.aggregate_type, e.aggregate_id, e.sequence from events e
                      where (e.xid, e.position) >= (select xid_floor, position_floor from sequencer)
                        and not exists (select 1 from event_log l where l.position = e.position)
                      order by e.xid, e.position limit 1) oldest
               left join lateral (
                    select min(e.xid) as xid from events e
                     where e.aggregate_type = oldest.aggregate_type and e.aggregate_id = oldest.aggregate_id
                       and e.sequence <= oldest.sequence and e.xid >= pg_snapshot_xmin(pg_current_snapshot())
               ) held_up on true
               left join lateral (
                    select pid, datname from (
                        select pid, datname::text, age(backend_xid) as age from pg_stat_activity
                         where backend_xid is not null and pid <> pg_backend_pid()
                        union all
                        select null, database::text, age(transaction) from pg_prepared_xacts
                    ) open_one
                     where open_one.age > age(held_up.xid::xid) order by open_one.age desc limit 1
               ) blocker on true",
        )
        .fetch_optional(database.pool())
        .await?;
        let position: Option<i64> = row.as_ref().map(|row| row.try_get("position")).transpose()?;
        let seen = database.sightings().unchanged("unsealed", position.map(|position| position.to_string()));
        let seen_ms = i64::try_from(seen.as_millis()).unwrap_or(i64::MAX);
        row.map(|row| {
            Ok(Stall {
                since: row.try_get("since")?,
                waiting_ms: row.try_get::<i64, _>("waiting_ms")?.max(seen_ms),
                blocking_pid: row.try_get("pid")?,
                blocking_database: row.try_get("datname")?,
            })
        })
        .transpose()
    }
}
