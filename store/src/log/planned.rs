//! The one statement that writes events, and the commands they came from.

use std::sync::Arc;

use cqrs_es::persist::SerializedEvent;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::command_log::CommandRow;
use super::lanes::Job;

/// Events that are decided but not written, and the commands they came from.
#[derive(Debug)]
pub(crate) struct Planned {
    pub events: Vec<(SerializedEvent, Uuid)>,
    pub commands: Vec<CommandRow>,
}

impl Job for Planned {
    type Done = ();

    /// Their transaction stays far below 50 ms.
    const AT_ONCE: usize = 500;

    fn weight(&self) -> usize {
        self.events.len() + self.commands.len()
    }

    async fn do_all(jobs: &[Arc<Self>], connection: &mut PgConnection) -> Result<Vec<()>, sqlx::Error> {
        let mut planned: Vec<&Self> = jobs.iter().map(AsRef::as_ref).collect();
        // Every process inserts streams in the same order, so that two of them cannot wait for each other.
        planned.sort_by_key(|planned| planned.stream());
        insert(connection, &planned).await?;
        Ok(jobs.iter().map(|_| ()).collect())
    }
}

impl Planned {
    fn stream(&self) -> Option<(&str, &str)> {
        self.events.first().map(|(event, _)| (event.aggregate_type.as_str(), event.aggregate_id.as_str()))
    }
}

/// Inserts events and commands in one statement, the events first. A statement is a transaction where no other is
/// open, which spares the round trips of BEGIN and COMMIT.
pub(crate) async fn insert(connection: &mut PgConnection, planned: &[&Planned]) -> Result<(), sqlx::Error> {
    let events: Vec<_> = planned.iter().flat_map(|planned| &planned.events).collect();
    let commands: Vec<_> = planned.iter().flat_map(|planned| &planned.commands).collect();
    let texts = |pick: fn(&SerializedEvent) -> &str| -> Vec<&str> {
        events.iter().map(|(event, _)| pick(event)).collect()
    };
    let values = |pick: fn(&SerializedEvent) -> &Value| -> Vec<&Value> {
        events.iter().map(|(event, _)| pick(event)).collect()
    };
    sqlx::query(
        "with logged as (
             insert into command_log (command_id, account, request_hash, aggregate_type, aggregate_id, first_sequence, events)
             select * from unnest($9::uuid[], $10::uuid[], $11::bytea[], $12::text[], $13::text[], $14::bigint[], $15::int[])
         )
         insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, event_id)
         select t.aggregate_type, t.aggregate_id, t.sequence, t.event_type, t.event_version, t.payload, t.metadata, t.event_id
           from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[], $8::uuid[])
                with ordinality
                as t (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, event_id, n)
          order by t.n",
    )
    .bind(texts(|event| &event.aggregate_type))
    .bind(texts(|event| &event.aggregate_id))
    .bind(events.iter().map(|(event, _)| event.sequence as i64).collect::<Vec<_>>())
    .bind(texts(|event| &event.event_type))
    .bind(texts(|event| &event.event_version))
    .bind(values(|event| &event.payload))
    .bind(values(|event| &event.metadata))
    .bind(events.iter().map(|(_, id)| *id).collect::<Vec<_>>())
    .bind(commands.iter().map(|row| row.command_id).collect::<Vec<_>>())
    .bind(commands.iter().map(|row| row.account).collect::<Vec<_>>())
    .bind(commands.iter().map(|row| row.request_hash.as_ref().map(<[u8; 32]>::as_slice)).collect::<Vec<_>>())
    .bind(commands.iter().map(|row| row.aggregate_type.as_str()).collect::<Vec<_>>())
    .bind(commands.iter().map(|row| row.aggregate_id.as_str()).collect::<Vec<_>>())
    .bind(commands.iter().map(|row| row.first_sequence).collect::<Vec<_>>())
    .bind(commands.iter().map(|row| row.events).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
