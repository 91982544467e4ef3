//! The one place that gives out ordinals.
//!
//! One leader at a time works, chosen by an advisory lock; the lock only saves work. Correctness rests on the
//! generation: each new leader raises it and every write of a leader compares it, so a leader that was deposed
//! while it slept writes nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, Row};
use tokio::time::Instant;

use super::event_hash::Hashed;
use super::recorded::service_time;
use super::tree::{Frontier, Hash};
use super::window::{self, Candidate, Reach};
use crate::database::SEALED_CHANNEL;
use crate::{Database, StoreError};

/// The two-integer form of the advisory lock, apart from the single-integer ones that tools like to use.
const LEADER_LOCK: (i32, i32) = (0x616c_6d61, 1);

/// So many events are sealed in one transaction, which keeps it well below 50 ms.
const AT_ONCE: i64 = 2_000;

/// Other processes may append without ringing here, so the leader looks this often.
const LOOK: Duration = Duration::from_millis(50);

/// Committed events that wait for an open transaction are looked at this often.
const LOOK_AGAIN: Duration = Duration::from_millis(3);

/// A follower tries to become leader this often, and a leader proves that it still is.
const CAMPAIGN: Duration = Duration::from_millis(500);

/// Notifications leave at most this often.
const NOTIFY_EVERY: Duration = Duration::from_millis(10);

/// What one round of sealing has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// How many events were given an ordinal.
    pub events: usize,
    /// The last ordinal given out so far.
    pub head: i64,
    /// How many events wait for a predecessor in their own stream.
    pub held: usize,
    /// True when there may be more to seal at once.
    pub more: bool,
    /// True when committed events wait for a transaction that is still open.
    pub waiting: bool,
}

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

/// The right to give out ordinals, until another sequencer takes it.
#[derive(Debug)]
pub struct Sequencer {
    database: Database,
    generation: i64,
}

/// The row of the sequencer.
struct Head {
    ordinal: i64,
    as_of: Option<DateTime<Utc>>,
    frontier: Frontier,
    floor: i64,
}

impl Sequencer {
    /// Seals whatever is appended, for as long as it is polled, whenever this node has the lead; otherwise it waits for
    /// its turn. It never ends, and dropping it at any moment is safe.
    pub async fn run(database: Database) {
        loop {
            if let Err(error) = Self::lead(&database).await {
                tracing::warn!(%error, "sealing was interrupted");
            }
            tokio::time::sleep(CAMPAIGN).await;
        }
    }

    async fn lead(database: &Database) -> Result<(), StoreError> {
        let mut lock = database.connect_apart().await?;
        if !try_lock(&mut lock).await? {
            lock.close().await?;
            return Ok(());
        }
        let mut sequencer = Self::seize(database).await?;
        tracing::info!(generation = sequencer.generation, "this node seals the log");
        let (mut proven, mut notified) = (Instant::now(), Instant::now());
        let mut unheard = false;
        loop {
            let sealed = sequencer.seal_once().await?;
            unheard |= sealed.events > 0;
            if unheard && notified.elapsed() >= NOTIFY_EVERY {
                notify(database, sealed.head).await?;
                (unheard, notified) = (false, Instant::now());
            }
            if proven.elapsed() >= CAMPAIGN {
                lock.ping().await?;
                proven = Instant::now();
            }
            if sealed.more {
                continue;
            }
            let pause = if sealed.waiting || sealed.held > 0 || unheard { LOOK_AGAIN } else { LOOK };
            // Whether the bell rang or the time passed, the next step is the same: look.
            let _rang = tokio::time::timeout(pause, database.appended()).await;
        }
    }

    /// Takes the right to give out ordinals away from whoever has it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn seize(database: &Database) -> Result<Self, StoreError> {
        let (generation, restored): (i64, bool) = sqlx::query_as(
            "update sequencer set generation = generation + 1 returning generation,
                    coalesce(cluster_identifier <> (select system_identifier::text from pg_control_system()), false)
                    or xid_floor > pg_snapshot_xmax(pg_current_snapshot())",
        )
        .fetch_one(database.pool())
        .await?;
        let mut sequencer = Self { database: database.clone(), generation };
        if restored {
            tracing::warn!("the log was restored into another cluster: sealing the rest by position");
            sequencer.seal_after_restore().await?;
        }
        sqlx::query(
            "update sequencer set cluster_identifier = (select system_identifier::text from pg_control_system())
              where generation = $1",
        )
        .bind(generation)
        .execute(database.pool())
        .await?;
        Ok(sequencer)
    }

    /// Seals up to 2,000 events that may be sealed now.
    ///
    /// # Errors
    /// [`StoreError::Deposed`] when another sequencer has taken over; otherwise when the database fails.
    pub async fn seal_once(&mut self) -> Result<Sealed, StoreError> {
        let (anything, head) = self.look().await?;
        if !anything {
            self.database.ring_sealed(head);
            return Ok(Sealed { events: 0, head, held: 0, more: false, waiting: false });
        }
        let mut limit = AT_ONCE;
        loop {
            let mut transaction = self.database.pool().begin().await?;
            let mut head = self.lock_head(&mut transaction).await?;
            let window = window::read(&mut transaction, Reach::Ended { floor: head.floor }, limit).await?;
            let (ready, held) = window::arrange(&mut transaction, window.candidates).await?;
            if ready.is_empty() && window.full {
                // Everything read waits for a predecessor that lies further on.
                limit *= 2;
                continue;
            }
            let lowest_held = held.iter().map(|candidate| candidate.xid).min();
            head.floor = head.floor.max(lowest_held.unwrap_or(i64::MAX).min(window.complete_below));
            let events = ready.len();
            if events > 0 {
                self.write(&mut transaction, &mut head, ready).await?;
                transaction.commit().await?;
                self.database.ring_sealed(head.ordinal);
            }
            let sealed = Sealed {
                events,
                head: head.ordinal,
                held: held.len(),
                more: window.full,
                waiting: window.waiting,
            };
            return Ok(sealed);
        }
    }

    /// Seals until every event that was committed before this call has an ordinal, and returns the last one.
    ///
    /// # Errors
    /// As [`Sequencer::seal_once`].
    pub async fn seal_all(&mut self) -> Result<i64, StoreError> {
        let last: Option<i64> =
            sqlx::query_scalar("select max(position) from events").fetch_one(self.database.pool()).await?;
        loop {
            let sealed = self.seal_once().await?;
            let rest: bool = sqlx::query_scalar(
                "select exists (select 1 from events e where e.position <= $1
                                   and not exists (select 1 from event_log l where l.position = e.position))",
            )
            .bind(last.unwrap_or(0))
            .fetch_one(self.database.pool())
            .await?;
            if !rest {
                return Ok(sqlx::query_scalar("select last_ordinal from sequencer")
                    .fetch_one(self.database.pool())
                    .await?);
            }
            if sealed.events == 0 {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// What keeps committed events from being sealed; none when nothing waits.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stall(database: &Database) -> Result<Option<Stall>, StoreError> {
        let row = sqlx::query(
            "select oldest.recorded_at as since,
                    (extract(epoch from clock_timestamp() - oldest.recorded_at) * 1000)::bigint as waiting_ms,
                    blocker.pid, blocker.datname::text as datname
               from (select min(e.recorded_at) as recorded_at from events e, sequencer s
                      where e.xid >= s.xid_floor
                        and not exists (select 1 from event_log l where l.position = e.position)) oldest
               left join lateral (select pid, datname from pg_stat_activity
                      where backend_xid is not null and pid <> pg_backend_pid()
                      order by age(backend_xid) desc limit 1) blocker on true
              where oldest.recorded_at is not null",
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

    /// A dump carries the transaction ids of its old cluster, so windows of them mean nothing here: whatever is unsealed
    /// is sealed by position, with writers locked out, and windows begin anew.
    async fn seal_after_restore(&mut self) -> Result<(), StoreError> {
        let mut transaction = self.database.pool().begin().await?;
        let mut head = self.lock_head(&mut transaction).await?;
        sqlx::query("lock table events in share row exclusive mode").execute(&mut *transaction).await?;
        loop {
            let window = window::read(&mut transaction, Reach::Everything, AT_ONCE).await?;
            head.floor = sqlx::query_scalar("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
                .fetch_one(&mut *transaction)
                .await?;
            let (full, (ready, held)) =
                (window.full, window::arrange(&mut transaction, window.candidates).await?);
            let progress = !ready.is_empty();
            self.write(&mut transaction, &mut head, ready).await?;
            if !full || !progress {
                if !held.is_empty() {
                    return Err(StoreError::Broken(format!(
                        "the restored log lacks the event before {}",
                        held.iter()
                            .map(|candidate| &candidate.key)
                            .min()
                            .map(ToString::to_string)
                            .unwrap_or_default()
                    )));
                }
                transaction.commit().await?;
                self.database.ring_sealed(head.ordinal);
                return Ok(());
            }
        }
    }

    /// Whether anything is unsealed, and the head, without writing anything.
    async fn look(&self) -> Result<(bool, i64), StoreError> {
        Ok(sqlx::query_as(
            "select exists (select 1 from events e where e.xid >= s.xid_floor
                               and not exists (select 1 from event_log l where l.position = e.position)),
                    s.last_ordinal from sequencer s",
        )
        .fetch_one(self.database.pool())
        .await?)
    }

    async fn lock_head(&self, connection: &mut PgConnection) -> Result<Head, StoreError> {
        let row = sqlx::query(
            "select last_ordinal, last_as_of, frontier, xid_floor::text::bigint as floor, generation
               from sequencer for update",
        )
        .fetch_one(connection)
        .await?;
        let theirs: i64 = row.try_get("generation")?;
        if theirs != self.generation {
            return Err(StoreError::Deposed { ours: self.generation, theirs });
        }
        let ordinal: i64 = row.try_get("last_ordinal")?;
        let roots: Vec<Vec<u8>> = row.try_get("frontier")?;
        let roots: Result<Vec<Hash>, _> = roots.into_iter().map(Hash::try_from).collect();
        let frontier = roots
            .ok()
            .and_then(|roots| Frontier::from_parts(ordinal.unsigned_abs(), roots))
            .ok_or_else(|| StoreError::Broken("the tree over the log does not fit its size".to_owned()))?;
        Ok(Head { ordinal, as_of: row.try_get("last_as_of")?, frontier, floor: row.try_get("floor")? })
    }

    /// Gives `ready` the next ordinals and moves the head.
    async fn write(
        &self,
        connection: &mut PgConnection,
        head: &mut Head,
        ready: Vec<Candidate>,
    ) -> Result<(), StoreError> {
        let before = head.ordinal;
        let count = ready.len();
        let (mut hashes, mut as_ofs) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for candidate in &ready {
            head.ordinal += 1;
            let hash = Hashed {
                ordinal: head.ordinal,
                key: &candidate.key,
                event_type: &candidate.event_type,
                event_version: &candidate.event_version,
                payload: &candidate.payload,
                metadata: &candidate.metadata,
                recorded_at: candidate.recorded_at,
                event_id: candidate.event_id,
            }
            .hash();
            head.frontier.push(&hash);
            // Commit order is not clock order, and what is known once stays known.
            let at = service_time(&candidate.metadata).unwrap_or(candidate.recorded_at);
            let as_of = head.as_of.map_or(at, |latest| latest.max(at));
            head.as_of = Some(as_of);
            hashes.push(hash.to_vec());
            as_ofs.push(as_of);
        }
        sqlx::query(
            "insert into event_log
                    (ordinal, aggregate_type, aggregate_id, sequence, position, event_type, event_hash, as_of)
             select * from unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[],
                                  $7::bytea[], $8::timestamptz[])",
        )
        .bind((before + 1..=head.ordinal).collect::<Vec<_>>())
        .bind(ready.iter().map(|candidate| candidate.key.aggregate_type.clone()).collect::<Vec<_>>())
        .bind(ready.iter().map(|candidate| candidate.key.aggregate_id.clone()).collect::<Vec<_>>())
        .bind(ready.iter().map(|candidate| candidate.key.sequence).collect::<Vec<_>>())
        .bind(ready.iter().map(|candidate| candidate.position).collect::<Vec<_>>())
        .bind(ready.iter().map(|candidate| candidate.event_type.clone()).collect::<Vec<_>>())
        .bind(hashes)
        .bind(as_ofs)
        .execute(&mut *connection)
        .await?;
        let moved = sqlx::query(
            "update sequencer set last_ordinal = $1, last_as_of = $2, frontier = $3, xid_floor = $4::text::xid8
              where generation = $5 and last_ordinal = $6",
        )
        .bind(head.ordinal)
        .bind(head.as_of)
        .bind(head.frontier.roots().iter().map(|root| root.to_vec()).collect::<Vec<_>>())
        .bind(head.floor.to_string())
        .bind(self.generation)
        .bind(before)
        .execute(connection)
        .await?;
        if moved.rows_affected() == 1 {
            Ok(())
        } else {
            Err(StoreError::Broken("the head of the log moved under its lock".to_owned()))
        }
    }
}

async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select pg_try_advisory_lock($1, $2)")
        .bind(LEADER_LOCK.0)
        .bind(LEADER_LOCK.1)
        .fetch_one(connection)
        .await
}

/// In a transaction of its own: a notification takes a lock of the whole cluster when it commits.
async fn notify(database: &Database, head: i64) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_notify($1, $2)")
        .bind(SEALED_CHANNEL)
        .bind(head.to_string())
        .execute(database.pool())
        .await?;
    Ok(())
}
