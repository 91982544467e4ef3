//! The one place that gives out ordinals.
//!
//! One leader at a time works, chosen by an advisory lock; the lock only saves work. Correctness rests on the
//! generation: each new leader raises it and every write of a leader compares it, so a leader that was
//! deposed while it slept writes nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use super::event_hash::Hashed;
use super::inspection::FOREIGN;
use super::recorded::service_time;
use super::tree::{Frontier, Hash};
use super::window::{self, Candidate, Place, Reach};
use crate::failpoints::reach;
use crate::{Database, StoreError};

/// So many events are sealed in one transaction, which keeps it well below 50 ms.
const AT_ONCE: i64 = 2_000;

/// Committed events that wait for an open transaction are looked at this often.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(3);

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

/// The right to give out ordinals, until another sequencer takes it.
#[derive(Debug)]
pub struct Sequencer {
    pub(super) database: Database,
    pub(super) generation: i64,
}

/// The row of the sequencer.
struct Head {
    ordinal: i64,
    as_of: Option<DateTime<Utc>>,
    frontier: Frontier,
    floor: Place,
}

impl Sequencer {
    /// Takes the right to give out ordinals away from whoever has it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn seize(database: &Database) -> Result<Self, StoreError> {
        let mut transaction = database.pool().begin().await?;
        let raise = "update sequencer set generation = generation + 1 returning generation";
        let generation = sqlx::query_scalar(raise).fetch_one(&mut *transaction).await?;
        // In a statement of its own, whose snapshot is newer than whatever the update had to wait for: the floor that
        // a former leader has just written would seem to lie ahead of the counter.
        let restored: bool = sqlx::query_scalar(&format!("select {FOREIGN} from sequencer s"))
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let mut sequencer = Self { database: database.clone(), generation };
        if restored {
            tracing::warn!("the log was restored into another cluster: sealing the rest by position");
            let sealed = sequencer.seal_after_restore().await;
            if let Err(StoreError::Broken(finding)) = &sealed {
                Self::note(database, generation, Some(finding)).await?;
            }
            sealed?;
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
        let (unsealed, last) = self.look().await?;
        if !unsealed {
            self.database.ring_sealed(last);
            return Ok(Sealed { events: 0, head: last, held: 0, more: false, waiting: false });
        }
        let mut limit = AT_ONCE;
        loop {
            let mut transaction = self.database.pool().begin().await?;
            let mut head = self.lock_head(&mut transaction).await?;
            let window = window::read(&mut transaction, Reach::Ended { floor: head.floor }, limit).await?;
            let (ready, early) = window::arrange(&mut transaction, window.candidates).await?;
            reach("seal.after_read").await?;
            if ready.is_empty() && window.full {
                // Everything read waits for a predecessor that lies further on.
                limit *= 2;
                continue;
            }
            let lowest_held = early.iter().map(Candidate::place).min();
            head.floor = head
                .floor
                .max(lowest_held.map_or(window.complete_below, |held| held.min(window.complete_below)));
            let events = ready.len();
            if events > 0 {
                self.write(&mut transaction, &mut head, ready).await?;
                reach("seal.before_commit").await?;
                transaction.commit().await?;
                reach("seal.after_commit").await?;
                self.database.ring_sealed(head.ordinal);
            }
            let sealed = Sealed {
                events,
                head: head.ordinal,
                held: early.len(),
                more: window.full,
                waiting: window.waiting,
            };
            return Ok(sealed);
        }
    }

    /// Seals until every committed event has an ordinal, waiting for transactions that hold some back, and
    /// returns the last one.
    ///
    /// # Errors
    /// As [`Sequencer::seal_once`].
    pub async fn seal_all(&mut self) -> Result<i64, StoreError> {
        loop {
            let sealed = self.seal_once().await?;
            let (unsealed, head) = self.look().await?;
            if !unsealed {
                return Ok(head);
            }
            if sealed.events == 0 {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// A dump carries the transaction ids of its old cluster, so windows of them mean nothing here: whatever
    /// is unsealed is sealed by position, with writers locked out, and windows begin anew.
    async fn seal_after_restore(&mut self) -> Result<(), StoreError> {
        let mut transaction = self.database.pool().begin().await?;
        let mut head = self.lock_head(&mut transaction).await?;
        sqlx::query("lock table events in share row exclusive mode").execute(&mut *transaction).await?;
        // Each event is read once. One that stands before its predecessor is carried along until that has come.
        let (mut after, mut early) = (0, Vec::new());
        loop {
            let window = window::read(&mut transaction, Reach::Everything { after }, AT_ONCE).await?;
            let xid = sqlx::query_scalar("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
                .fetch_one(&mut *transaction)
                .await?;
            head.floor = Place { xid, position: 0 };
            after = window.candidates.last().map_or(after, |last| last.position);
            early.extend(window.candidates);
            let ready;
            (ready, early) = window::arrange(&mut transaction, early).await?;
            self.write(&mut transaction, &mut head, ready).await?;
            if !window.full {
                break;
            }
        }
        if let Some(first) = early.iter().map(|candidate| &candidate.key).min() {
            return Err(StoreError::Broken(format!(
                "the restored log lacks the event before {first}, so nothing is sealed: restore a whole dump"
            )));
        }
        forget_foreign_ids(&mut transaction).await?;
        transaction.commit().await?;
        self.database.ring_sealed(head.ordinal);
        Ok(())
    }

    /// Whether anything is unsealed, and the head, without writing anything.
    ///
    /// The order and the limit lead the planner to the index, however little it knows of the tables: without
    /// them it may read all of history only to find that nothing is new.
    async fn look(&self) -> Result<(bool, i64), StoreError> {
        Ok(sqlx::query_as(
            "select (select e.position from events e
                      where (e.xid, e.position) >= (select xid_floor, position_floor from sequencer)
                        and not exists (select 1 from event_log l where l.position = e.position)
                      order by e.xid, e.position limit 1) is not null,
                    last_ordinal from sequencer",
        )
        .fetch_one(self.database.pool())
        .await?)
    }

    async fn lock_head(&self, connection: &mut PgConnection) -> Result<Head, StoreError> {
        let row = sqlx::query(
            "select last_ordinal, last_as_of, frontier, xid_floor::text::bigint as xid, position_floor, generation
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
        Ok(Head {
            ordinal,
            as_of: row.try_get("last_as_of")?,
            frontier,
            floor: Place { xid: row.try_get("xid")?, position: row.try_get("position_floor")? },
        })
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
        reach("seal.after_insert").await?;
        let moved = sqlx::query(
            "update sequencer set last_ordinal = $1, last_as_of = $2, frontier = $3, xid_floor = $4::text::xid8, position_floor = $7
              where generation = $5 and last_ordinal = $6",
        )
        .bind(head.ordinal)
        .bind(head.as_of)
        .bind(head.frontier.roots().iter().map(|root| root.to_vec()).collect::<Vec<_>>())
        .bind(head.floor.xid.to_string())
        .bind(self.generation)
        .bind(before)
        .bind(head.floor.position)
        .execute(connection)
        .await?;
        if moved.rows_affected() == 1 {
            Ok(())
        } else {
            Err(StoreError::Broken("the head of the log moved under its lock".to_owned()))
        }
    }
}

/// Takes the old cluster's transaction ids off the events, which all have ordinals by now.
///
/// An id beyond this cluster's counter would stand in every window until the counter has passed it, for millions of
/// transactions. It is no part of what an event says or of its digest; the trigger that refuses changes is off for this
/// one statement, in this transaction only.
async fn forget_foreign_ids(connection: &mut PgConnection) -> Result<(), StoreError> {
    for statement in [
        "alter table events disable trigger events_append_only",
        "update events set xid = '0' where xid >= pg_snapshot_xmin(pg_current_snapshot())",
        "alter table events enable always trigger events_append_only",
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}
