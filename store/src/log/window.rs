//! Which committed events may be sealed now, and in which order.
//!
//! Transactions commit in another order than they begin. The window reads only events of transactions below
//! the oldest one still running, in one statement with that bound: all of them have ended, so the window can
//! never gain an event later.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::document::Document;
use super::recorded::{EventKey, key_from_row};

/// A committed event without an ordinal.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub key: EventKey,
    pub position: i64,
    pub xid: i64,
    pub event_type: String,
    pub event_version: String,
    pub payload: Document,
    pub metadata: Document,
    pub recorded_at: DateTime<Utc>,
    pub event_id: Uuid,
}

/// What one look at the table has found.
#[derive(Debug)]
pub(crate) struct Window {
    pub candidates: Vec<Candidate>,
    /// No event below this place is missing from the window.
    pub complete_below: Place,
    /// The limit was reached: there is more to read.
    pub full: bool,
    /// There are committed events that an open transaction keeps out of the window.
    pub waiting: bool,
}

/// A place in the order in which windows are read: by transaction, and inside one by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub xid: i64,
    pub position: i64,
}

impl Candidate {
    pub fn place(&self) -> Place {
        Place { xid: self.xid, position: self.position }
    }
}

/// Where to look for events.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reach {
    /// From this place up to the oldest transaction still running.
    Ended { floor: Place },
    /// Everything beyond a position, whatever its transaction id: only under a lock that keeps writers out.
    Everything { after: i64 },
}

/// Reads up to `limit` unsealed events.
///
/// Each part has an order and a limit that lead the planner to the index on (xid, position), however little
/// it knows of the table: on a guess it would read all of history.
pub(crate) async fn read(
    connection: &mut PgConnection,
    reach: Reach,
    limit: i64,
) -> Result<Window, sqlx::Error> {
    let (bounds, order, floor) = match reach {
        Reach::Ended { floor } => {
            ("(e.xid, e.position) >= ($1::text::xid8, $3) and e.xid < h.oldest", "e.xid, e.position", floor)
        }
        Reach::Everything { after } => {
            ("$1::text is not null and e.position > $3", "e.position", Place { xid: 0, position: after })
        }
    };
    let select = format!(
        "with horizon as materialized (
             select oldest, (select position from events where xid >= oldest order by xid, position limit 1) is not null as waiting
               from (select pg_snapshot_xmin(pg_current_snapshot()) as oldest) s
         )
         select h.oldest::text::bigint as oldest, h.waiting,
                c.position, c.xid::text::bigint as xid, c.aggregate_type, c.aggregate_id, c.sequence,
                c.event_type, c.event_version, c.payload, c.metadata, c.recorded_at, c.event_id
           from horizon h
           left join lateral (
                select e.* from events e
                 where {bounds} and not exists (select 1 from event_log l where l.position = e.position)
                 order by {order} limit $2
           ) c on true"
    );
    let rows = sqlx::query(&select)
        .bind(floor.xid.to_string())
        .bind(limit)
        .bind(floor.position)
        .fetch_all(connection)
        .await?;
    let (mut oldest, mut waiting) = (0, false);
    let mut candidates = Vec::with_capacity(rows.len());
    for row in &rows {
        oldest = row.try_get("oldest")?;
        waiting = row.try_get("waiting")?;
        if row.try_get::<Option<i64>, _>("position")?.is_some() {
            candidates.push(candidate(row)?);
        }
    }
    let full = candidates.len() as i64 >= limit;
    let end = Place { xid: oldest, position: 0 };
    let last_read = candidates.last().map_or(end, Candidate::place);
    Ok(Window { complete_below: if full { last_read } else { end }, candidates, full, waiting })
}

fn candidate(row: &PgRow) -> Result<Candidate, sqlx::Error> {
    Ok(Candidate {
        key: key_from_row(row)?,
        position: row.try_get("position")?,
        xid: row.try_get("xid")?,
        event_type: row.try_get("event_type")?,
        event_version: row.try_get("event_version")?,
        payload: row.try_get("payload")?,
        metadata: row.try_get("metadata")?,
        recorded_at: row.try_get("recorded_at")?,
        event_id: row.try_get("event_id")?,
    })
}

type Stream = (String, String);

fn stream_of(key: &EventKey) -> Stream {
    (key.aggregate_type.clone(), key.aggregate_id.clone())
}

/// Puts candidates into their order and tells which ones must wait for a predecessor in their own stream.
///
/// A transaction that took its id early can put version 2 of a stream into a window before version 1.
pub(crate) async fn arrange(
    connection: &mut PgConnection,
    candidates: Vec<Candidate>,
) -> Result<(Vec<Candidate>, Vec<Candidate>), sqlx::Error> {
    let mut lowest: HashMap<Stream, i64> = HashMap::new();
    for Candidate { key, .. } in &candidates {
        let known = lowest.entry(stream_of(key)).or_insert(key.sequence);
        *known = (*known).min(key.sequence);
    }
    let continued: Vec<_> = lowest.iter().filter(|(_, sequence)| **sequence > 1).collect();
    let mut orphaned: HashSet<Stream> = HashSet::new();
    if !continued.is_empty() {
        let orphans: Vec<(String, String)> = sqlx::query_as(
            "select s.aggregate_type, s.aggregate_id
               from unnest($1::text[], $2::text[], $3::bigint[]) as s (aggregate_type, aggregate_id, before)
              where not exists (select 1 from event_log l where l.aggregate_type = s.aggregate_type
                                   and l.aggregate_id = s.aggregate_id and l.sequence = s.before)",
        )
        .bind(continued.iter().map(|((aggregate_type, _), _)| aggregate_type.clone()).collect::<Vec<_>>())
        .bind(continued.iter().map(|((_, id), _)| id.clone()).collect::<Vec<_>>())
        .bind(continued.iter().map(|(_, sequence)| **sequence - 1).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        orphaned.extend(orphans);
    }
    lowest.retain(|stream, _| !orphaned.contains(stream));
    Ok(in_order(candidates, lowest))
}

/// Sorts by position and lets an event pass only after its predecessor. `next` is the sequence each stream
/// goes on with; a stream that is not in it must wait altogether.
fn in_order(
    mut candidates: Vec<Candidate>,
    mut next: HashMap<Stream, i64>,
) -> (Vec<Candidate>, Vec<Candidate>) {
    candidates.sort_by_key(|candidate| candidate.position);
    let mut ready = Vec::with_capacity(candidates.len());
    let mut early: HashMap<Stream, HashMap<i64, Candidate>> = HashMap::new();
    for candidate in candidates {
        let stream = stream_of(&candidate.key);
        match next.get_mut(&stream) {
            Some(expected) if *expected == candidate.key.sequence => {
                ready.push(candidate);
                *expected += 1;
                while let Some(follower) = early.get_mut(&stream).and_then(|waiting| waiting.remove(expected))
                {
                    ready.push(follower);
                    *expected += 1;
                }
            }
            _ => {
                early.entry(stream).or_default().insert(candidate.key.sequence, candidate);
            }
        }
    }
    (ready, early.into_values().flat_map(HashMap::into_values).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn event(stream: &str, sequence: i64, position: i64) -> Candidate {
        Candidate {
            key: EventKey { aggregate_type: "t".into(), aggregate_id: stream.into(), sequence },
            position,
            xid: 1,
            event_type: String::new(),
            event_version: String::new(),
            payload: Value::Null.into(),
            metadata: Value::Null.into(),
            recorded_at: DateTime::UNIX_EPOCH,
            event_id: Uuid::nil(),
        }
    }

    fn order(candidates: Vec<Candidate>, next: &[(&str, i64)]) -> (Vec<(String, i64)>, usize) {
        let next = next.iter().map(|(id, sequence)| (("t".into(), (*id).into()), *sequence)).collect();
        let (ready, held) = in_order(candidates, next);
        (ready.into_iter().map(|c| (c.key.aggregate_id, c.key.sequence)).collect(), held.len())
    }

    #[test]
    fn events_pass_by_position() {
        let events = vec![event("a", 1, 3), event("b", 1, 1), event("a", 2, 5)];
        let (ready, held) = order(events, &[("a", 1), ("b", 1)]);
        assert_eq!(ready, [("b".into(), 1), ("a".into(), 1), ("a".into(), 2)]);
        assert_eq!(held, 0);
    }

    #[test]
    fn an_event_before_its_predecessor_waits_for_it_within_the_window() {
        let events = vec![event("a", 2, 1), event("a", 3, 2), event("a", 1, 9)];
        let (ready, held) = order(events, &[("a", 1)]);
        assert_eq!(ready, [("a".into(), 1), ("a".into(), 2), ("a".into(), 3)]);
        assert_eq!(held, 0);
    }

    #[test]
    fn a_stream_whose_predecessor_is_not_sealed_is_held_and_holds_up_nobody_else() {
        let events = vec![event("a", 2, 1), event("b", 7, 2), event("a", 3, 3)];
        let (ready, held) = order(events, &[("b", 7)]);
        assert_eq!(ready, [("b".into(), 7)]);
        assert_eq!(held, 2);
    }
}
