//! The database's side of an import: who may write, what is there, and the events of a batch.

use sqlx::{Connection, PgConnection, PgPool, Row};

use super::chain::Chain;
use super::checkpoints;
use super::claimed::Claimed;
use super::error::ArchiveError;
use super::manifest::Manifest;
use crate::log::leader;
use crate::log::{Frontier, Hash, Recorded};
use crate::transparency::{Checkpoint, VerifierKey};
use crate::{Database, StoreError};

/// The right to write the log of a database, taken from every sequencer.
pub(super) struct Target {
    pool: PgPool,
    generation: i64,
    /// As long as it is open, no other process becomes the one that seals.
    lead: PgConnection,
}

/// The log as the sequencer of `pool` has sealed it.
pub(super) async fn sealed(pool: &PgPool) -> Result<Chain, ArchiveError> {
    let row = sqlx::query("select last_ordinal, last_as_of, frontier from sequencer").fetch_one(pool).await?;
    chain_from(&row)
}

fn chain_from(row: &sqlx::postgres::PgRow) -> Result<Chain, ArchiveError> {
    let (size, roots): (i64, Vec<Vec<u8>>) = (row.try_get("last_ordinal")?, row.try_get("frontier")?);
    let roots: Option<Vec<Hash>> = roots.into_iter().map(|root| root.try_into().ok()).collect();
    let frontier = roots.and_then(|roots| Frontier::from_parts(size.unsigned_abs(), roots));
    let frontier = frontier
        .ok_or_else(|| StoreError::Broken("the tree over the log does not fit its size".to_owned()))?;
    Ok(Chain { frontier, as_of: row.try_get("last_as_of")? })
}

/// Checks that no import into this database was left half done: nobody may decide anything on half a log.
///
/// # Errors
/// Says what to do when one was; otherwise when the database fails.
pub async fn check_finished(database: &Database) -> Result<(), StoreError> {
    let half_done: bool =
        sqlx::query_scalar("select exists (select 1 from log_imports where finished_at is null)")
            .fetch_one(database.pool())
            .await?;
    if half_done {
        return Err(StoreError::Broken(
            "an import into this database was interrupted: run `almanac import` again until it says that it is done"
                .to_owned(),
        ));
    }
    Ok(())
}

impl Target {
    /// Takes the right to write, and tells what is there.
    pub async fn seize(database: &Database) -> Result<(Self, Chain), ArchiveError> {
        let mut lead = database.connect_apart().await?;
        if !leader::try_lock(&mut lead).await? {
            return Err(ArchiveError::Refused(
                "another process is at work on this database: stop it before importing".to_owned(),
            ));
        }
        let row = sqlx::query(
            "update sequencer set generation = generation + 1
             returning generation, last_ordinal, last_as_of, frontier",
        )
        .fetch_one(database.pool())
        .await?;
        let mut target = Self { pool: database.pool().clone(), generation: row.try_get("generation")?, lead };
        let there = chain_from(&row)?;
        let mut transaction = target.pool.clone().begin().await?;
        target.lock_head(&mut transaction, there.size()).await?;
        refuse_foreign(&mut transaction).await?;
        transaction.rollback().await?;
        Ok((target, there))
    }

    /// Whether an import was begun and not finished.
    pub async fn is_under_way(&self) -> Result<bool, ArchiveError> {
        let under_way = "select exists (select 1 from log_imports where finished_at is null)";
        Ok(sqlx::query_scalar(under_way).fetch_one(&self.pool).await?)
    }

    /// Notes that an import is under way, so that nobody works on half a log.
    ///
    /// Whoever is told of events is not told of those that came from elsewhere, up to the noted size. So a database that
    /// has lived events itself takes no import: what it still has to tell would never be told.
    pub async fn begin(&self, manifest: &Manifest, there: i64) -> Result<(), ArchiveError> {
        let brought: Option<i64> =
            sqlx::query_scalar("select size from log_imports").fetch_optional(&self.pool).await?;
        let brought = brought.unwrap_or_default();
        if there > brought {
            return Err(ArchiveError::Refused(format!(
                "the database has lived the events from {} on itself: import into an empty one",
                brought + 1
            )));
        }
        sqlx::query(
            "insert into log_imports (size, root, origin) values ($1, $2, $3)
             on conflict (only_row) do update
                set size = excluded.size, root = excluded.root, origin = excluded.origin, finished_at = null",
        )
        .bind(manifest.head.size)
        .bind(&manifest.head.root.0[..])
        .bind(&manifest.origin)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Writes events with their places in the log and moves the head to `after`, in one short transaction.
    pub async fn append(&mut self, events: &[Recorded], after: &Chain) -> Result<(), ArchiveError> {
        let before = after.size() - events.len() as i64;
        let mut transaction = self.pool.clone().begin().await?;
        let floor = self.lock_head(&mut transaction, before).await?;
        write(&mut transaction, events).await?;
        sqlx::query(
            "update sequencer set last_ordinal = $1, last_as_of = $2, frontier = $3,
                    xid_floor = greatest(xid_floor, $4::text::xid8), position_floor = 0
              where generation = $5",
        )
        .bind(after.size())
        .bind(after.as_of)
        .bind(after.frontier.roots().iter().map(|root| root.to_vec()).collect::<Vec<_>>())
        .bind(floor.to_string())
        .bind(self.generation)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Takes claims and checkpoints over and opens the database for work.
    pub async fn finish(
        mut self,
        size: i64,
        claimed: &Claimed,
        checkpoints: &[Checkpoint],
        key: Option<&VerifierKey>,
    ) -> Result<(), ArchiveError> {
        let mut transaction = self.pool.clone().begin().await?;
        self.lock_head(&mut transaction, size).await?;
        refuse_foreign(&mut transaction).await?;
        if let Some(key) = key {
            sqlx::query("insert into log_keys (verifier_key) values ($1) on conflict do nothing")
                .bind(key.to_string())
                .execute(&mut *transaction)
                .await?;
        }
        claimed.write(&mut transaction).await?;
        checkpoints::insert(&mut transaction, checkpoints).await?;
        sqlx::query("update log_imports set finished_at = clock_timestamp()")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(self.lead.close().await?)
    }

    /// Locks the head, and checks that it is ours, at `ordinal`, and that nobody else has appended anything.
    ///
    /// Returns the transaction below which everything has ended, which is where sealing goes on: seen in the same
    /// snapshot as that nothing below it is unsealed.
    async fn lock_head(&mut self, connection: &mut PgConnection, ordinal: i64) -> Result<i64, ArchiveError> {
        // So that a connection that was lost is noticed before somebody else seals.
        self.lead.ping().await?;
        let (generation, last, floor, foreign): (i64, i64, i64, bool) = sqlx::query_as(
            "select s.generation, s.last_ordinal, h.oldest::text::bigint,
                    (select e.position from events e
                      where (e.xid, e.position) >= (s.xid_floor, s.position_floor) and e.xid < h.oldest
                        and not exists (select 1 from event_log l where l.position = e.position)
                      order by e.xid, e.position limit 1) is not null
               from sequencer s, (select pg_snapshot_xmin(pg_current_snapshot()) as oldest) h
                for update of s",
        )
        .fetch_one(connection)
        .await?;
        if generation != self.generation || last != ordinal {
            return Err(ArchiveError::Refused(
                "another process has taken over the sealing of this database: stop it, then import again"
                    .to_owned(),
            ));
        }
        if foreign { Err(in_use()) } else { Ok(floor) }
    }
}

/// Refuses a database in which any event is not sealed, however young its transaction is.
async fn refuse_foreign(connection: &mut PgConnection) -> Result<(), ArchiveError> {
    let foreign: bool = sqlx::query_scalar(
        "select (select e.position from events e
                  where (e.xid, e.position) >= (select xid_floor, position_floor from sequencer)
                    and not exists (select 1 from event_log l where l.position = e.position)
                  order by e.xid, e.position limit 1) is not null",
    )
    .fetch_one(connection)
    .await?;
    if foreign { Err(in_use()) } else { Ok(()) }
}

fn in_use() -> ArchiveError {
    let words =
        "the database holds events that are not sealed: it is in use, and nothing can be imported into it";
    ArchiveError::Refused(words.to_owned())
}

/// Writes the events and their places in the log, in the order of their ordinals.
async fn write(connection: &mut PgConnection, events: &[Recorded]) -> Result<(), ArchiveError> {
    let text =
        |pick: fn(&Recorded) -> &String| events.iter().map(|event| pick(event).clone()).collect::<Vec<_>>();
    // Known before the rows are written, so that both tables are written from the same arrays without a join.
    let positions: Vec<i64> = sqlx::query_scalar(
        "select nextval(pg_get_serial_sequence('public.events', 'position')) from generate_series(1, $1)",
    )
    .bind(events.len() as i64)
    .fetch_all(&mut *connection)
    .await?;
    let written = sqlx::query(
        "with given as materialized (
             select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[],
                                  $7::text[], $8::jsonb[], $9::jsonb[], $10::timestamptz[], $11::uuid[],
                                  $12::bytea[], $13::timestamptz[])
                    as t (ordinal, position, aggregate_type, aggregate_id, sequence, event_type, event_version,
                          payload, metadata, recorded_at, event_id, event_hash, as_of)
         ), written as (
             insert into events (position, aggregate_type, aggregate_id, sequence, event_type, event_version,
                                 payload, metadata, recorded_at, event_id)
             overriding system value
             select position, aggregate_type, aggregate_id, sequence, event_type, event_version,
                    payload, metadata, recorded_at, event_id
               from given
         )
         insert into event_log
                (ordinal, aggregate_type, aggregate_id, sequence, position, event_type, event_hash, as_of)
         select ordinal, aggregate_type, aggregate_id, sequence, position, event_type, event_hash, as_of
           from given",
    )
    .bind(events.iter().map(|event| event.ordinal).collect::<Vec<_>>())
    .bind(positions)
    .bind(text(|event| &event.key.aggregate_type))
    .bind(text(|event| &event.key.aggregate_id))
    .bind(events.iter().map(|event| event.key.sequence).collect::<Vec<_>>())
    .bind(text(|event| &event.event_type))
    .bind(text(|event| &event.event_version))
    .bind(events.iter().map(|event| event.payload.clone()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.metadata.clone()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.recorded_at).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.event_id).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.event_hash.to_vec()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.as_of).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    if written.rows_affected() == events.len() as u64 {
        Ok(())
    } else {
        Err(StoreError::Broken("a batch was not written whole".to_owned()).into())
    }
}
