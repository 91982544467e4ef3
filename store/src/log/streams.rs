//! Reading the streams that commands are decided on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cqrs_es::persist::SerializedEvent;
use sqlx::{PgConnection, Row};

use super::lanes::Job;

/// All events of one aggregate, in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Stream {
    pub aggregate_type: &'static str,
    pub aggregate_id: String,
}

impl Job for Stream {
    type Done = Vec<SerializedEvent>;

    const AT_ONCE: usize = 500;

    fn weight(&self) -> usize {
        1
    }

    async fn do_all(
        jobs: &[Arc<Self>],
        connection: &mut PgConnection,
    ) -> Result<Vec<Self::Done>, sqlx::Error> {
        let read = read(connection, jobs.iter().map(AsRef::as_ref)).await?;
        // Two who ask for the same stream both get it.
        Ok(jobs.iter().map(|stream| read.get(stream.as_ref()).cloned().unwrap_or_default()).collect())
    }
}

/// Reads many streams in one statement; one without events is missing from the answer.
///
/// Each is looked up in the primary key by itself, however little the planner knows of the table, and only once,
/// however often it is asked for: otherwise it would have each event as often.
pub(crate) async fn read<'a>(
    connection: &mut PgConnection,
    streams: impl Iterator<Item = &'a Stream>,
) -> Result<HashMap<Stream, Vec<SerializedEvent>>, sqlx::Error> {
    let streams: Vec<&Stream> = streams.collect::<HashSet<_>>().into_iter().collect();
    let rows = sqlx::query(
        "select s.n, e.sequence, e.event_type, e.event_version, e.payload, e.metadata
           from unnest($1::text[], $2::text[]) with ordinality as s (aggregate_type, aggregate_id, n)
          cross join lateral (
                select * from events e
                 where e.aggregate_type = s.aggregate_type and e.aggregate_id = s.aggregate_id
                 order by e.sequence
          ) e
          order by s.n, e.sequence",
    )
    .bind(streams.iter().map(|stream| stream.aggregate_type).collect::<Vec<_>>())
    .bind(streams.iter().map(|stream| stream.aggregate_id.as_str()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut read: HashMap<Stream, Vec<SerializedEvent>> = HashMap::new();
    for row in rows {
        let place: i64 = row.try_get("n")?;
        let stream = streams[place as usize - 1];
        let sequence: i64 = row.try_get("sequence")?;
        let event = SerializedEvent {
            aggregate_id: stream.aggregate_id.clone(),
            sequence: sequence as usize,
            aggregate_type: stream.aggregate_type.to_owned(),
            event_type: row.try_get("event_type")?,
            event_version: row.try_get("event_version")?,
            payload: row.try_get("payload")?,
            metadata: row.try_get("metadata")?,
        };
        read.entry(stream.clone()).or_default().push(event);
    }
    Ok(read)
}
