//! What became of each command, so that the same one given twice has one effect and one answer.

use std::collections::HashMap;

use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::bus::Committed;
use super::issued::Issued;
use super::recorded::EventKey;
use super::tree::Hash;

/// One done command, as it is written with its events.
#[derive(Debug, Clone)]
pub(crate) struct CommandRow {
    pub command_id: Uuid,
    pub account: Option<Uuid>,
    pub request_hash: Option<Hash>,
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub first_sequence: i64,
    pub events: i32,
}

impl CommandRow {
    pub fn new(
        issued: &Issued,
        aggregate_type: &str,
        aggregate_id: &str,
        first_sequence: i64,
        events: usize,
    ) -> Self {
        Self {
            command_id: issued.command_id,
            account: issued.account,
            request_hash: issued.request_hash,
            aggregate_type: aggregate_type.to_owned(),
            aggregate_id: aggregate_id.to_owned(),
            first_sequence,
            events: events as i32,
        }
    }

    pub fn committed(&self, repeated: bool) -> Committed {
        let sequences = self.first_sequence..self.first_sequence + i64::from(self.events);
        let events = sequences
            .map(|sequence| EventKey {
                aggregate_type: self.aggregate_type.clone(),
                aggregate_id: self.aggregate_id.clone(),
                sequence,
            })
            .collect();
        Committed { events, repeated }
    }

    /// True when this is the command that is being given again: same account, same request.
    pub fn is_of(&self, issued: &Issued) -> bool {
        self.account == issued.account && self.request_hash == issued.request_hash
    }
}

/// The commands among `ids` that are done.
pub(crate) async fn find(pool: &PgPool, ids: &[Uuid]) -> Result<HashMap<Uuid, CommandRow>, sqlx::Error> {
    let rows = sqlx::query(
        "select command_id, account, request_hash, aggregate_type, aggregate_id, first_sequence, events
           from command_log where command_id = any($1)",
    )
    .bind(ids)
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let request_hash: Option<Vec<u8>> = row.try_get("request_hash")?;
            let command_id = row.try_get("command_id")?;
            let found = CommandRow {
                command_id,
                account: row.try_get("account")?,
                request_hash: request_hash.and_then(|hash| hash.try_into().ok()),
                aggregate_type: row.try_get("aggregate_type")?,
                aggregate_id: row.try_get("aggregate_id")?,
                first_sequence: row.try_get("first_sequence")?,
                events: row.try_get("events")?,
            };
            Ok((command_id, found))
        })
        .collect()
}
