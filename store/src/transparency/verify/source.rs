//! The log as the database has it, also where somebody has tampered with it.

use std::collections::HashMap;

use futures::{Stream, StreamExt, stream};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};

use super::Job;
use super::walk::Seen;
use crate::log::copied::{self, Copied};
use crate::log::tree::Hash;
use crate::log::{EventKey, Recorded};
use crate::{Database, StoreError};

/// Events in a page: whole tiles, so that each page has its own.
const PAGE: i64 = 4_096;

/// Leaves in a tile.
const TILE: i64 = 256;

/// Pages asked for at once, so that the database reads one while another is on its way.
const AHEAD: usize = 2;

/// The last columns of a row, which only the event has.
const OF_EVENT: usize = 6;

/// Events that were passed over are named up to so many.
const MOST_PASSED_OVER: i64 = 100;

/// The last ordinal there is, by the sequencer or by the rows.
pub(super) async fn end(database: &Database) -> Result<i64, StoreError> {
    let end = "select greatest((select last_ordinal from sequencer), \
                               (select coalesce(max(ordinal), 0) from event_log))";
    Ok(sqlx::query_scalar(end).fetch_one(database.pool()).await?)
}

/// The events up to `end` as pages to look at.
pub(super) fn pages(
    database: &Database,
    end: i64,
) -> impl Stream<Item = Result<Job<StoreError>, StoreError>> {
    let pool = database.pool().clone();
    stream::iter((0..end).step_by(PAGE as usize))
        .map(move |after| {
            let pool = pool.clone();
            async move {
                let rows = rows(&pool, after, end).await?;
                let tiles = tiles(&pool, after).await?;
                Ok(Box::new(move || look(&rows, &tiles)) as Job<StoreError>)
            }
        })
        .buffered(AHEAD)
}

/// From the side of the log, so that a row whose event is gone is still seen; and with a comparison of what the log
/// repeats of each event, which no digest covers.
async fn rows(pool: &PgPool, after: i64, end: i64) -> Result<Copied, StoreError> {
    let last = end.min(after + PAGE);
    let rows = format!(
        "select e.position is not null as is_there,
                (l.aggregate_type, l.aggregate_id, l.sequence, l.event_type)
                    is not distinct from (e.aggregate_type, e.aggregate_id, e.sequence, e.event_type) as row_fits,
                l.ordinal, l.as_of, l.event_hash,
                coalesce(e.aggregate_type, l.aggregate_type) as aggregate_type,
                coalesce(e.aggregate_id, l.aggregate_id) as aggregate_id,
                coalesce(e.sequence, l.sequence) as sequence,
                e.event_type, e.event_version, e.payload, e.metadata, e.recorded_at, e.event_id
           from event_log l left join events e on e.position = l.position
          where l.ordinal > {after} and l.ordinal <= {last} order by l.ordinal"
    );
    Ok(copied::rows(pool, &rows).await?)
}

/// The leaves from which proofs about these events are made, by tile.
async fn tiles(pool: &PgPool, after: i64) -> Result<HashMap<i64, Vec<u8>>, StoreError> {
    let tiles =
        sqlx::query_as("select index, hashes from log_tiles where level = 0 and index >= $1 and index < $2");
    let (from, to) = (after / TILE, (after + PAGE) / TILE);
    Ok(tiles.bind(from).bind(to).fetch_all(pool).await?.into_iter().collect())
}

fn look(rows: &Copied, tiles: &HashMap<i64, Vec<u8>>) -> Result<Vec<Seen>, StoreError> {
    let mut all = Vec::with_capacity(PAGE as usize);
    let mut fields = rows.fields()?;
    while fields.next_row()? {
        let (is_there, row_fits) = (fields.truth()?, fields.truth()?);
        let mut seen = if is_there {
            Seen::event(Recorded::from_fields(&mut fields)?, row_fits)
        } else {
            let (ordinal, _as_of, hash) = (fields.bigint()?, fields.moment()?, fields.array()?);
            let (aggregate_type, aggregate_id) = (fields.text()?, fields.text()?);
            let key = EventKey { aggregate_type, aggregate_id, sequence: fields.bigint()? };
            fields.pass(OF_EVENT)?;
            Seen::lost(ordinal, key, &hash)
        };
        let ordinal = seen.ordinal;
        if let Some(tile) = tiles.get(&((ordinal - 1) / TILE)) {
            let place = ((ordinal - 1) % TILE) as usize * size_of::<Hash>();
            seen.is_in_tile = tile.get(place..place + size_of::<Hash>()) == Some(&seen.leaf()[..]);
        }
        all.push(seen);
    }
    Ok(all)
}

/// Committed events without an ordinal. The sequencer works all the time, so some are usual.
pub(super) async fn unsealed(database: &Database) -> Result<u64, StoreError> {
    let count: i64 = sqlx::query_scalar(
        "select count(*) from events e where not exists (select 1 from event_log l where l.position = e.position)",
    )
    .fetch_one(database.pool())
    .await?;
    Ok(count.unsigned_abs())
}

/// Committed events without an ordinal that the sequencer will never look at again, and the ordinal before which they
/// were written.
pub(super) async fn passed_over(database: &Database) -> Result<Vec<(i64, EventKey)>, StoreError> {
    let rows = sqlx::query(
        "select e.aggregate_type, e.aggregate_id, e.sequence,
                coalesce((select min(later.ordinal) from event_log later where later.position > e.position),
                         s.last_ordinal + 1) as before
           from events e, sequencer s
          where (e.xid, e.position) < (s.xid_floor, s.position_floor)
            and not exists (select 1 from event_log l where l.position = e.position)
          order by e.position limit $1",
    )
    .bind(MOST_PASSED_OVER)
    .fetch_all(database.pool())
    .await?;
    let read = |row: &PgRow| Ok((row.try_get("before")?, crate::log::key_from_row(row)?));
    rows.iter().map(read).collect()
}
