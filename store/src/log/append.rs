//! Writing: the events of a command, or of a batch, with everything that must stand or fall with them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cqrs_es::Aggregate;
use cqrs_es::persist::{
    PersistedEventRepository, PersistenceError, ReplayStream, SerializedEvent, SerializedSnapshot,
};
use postgres_es::PostgresEventRepository;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::canonical::{Unstorable, check_storable};
use super::command_log::CommandRow;
use super::extras::Extras;
use crate::error::violated_constraint;

/// Why a command's events could not be written.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Somebody else wrote to one of the streams first.
    #[error("the state the decision was made on has changed")]
    Conflict,
    /// One of the commands has had its effect already.
    #[error("the command is already done")]
    CommandKnown,
    /// Something the command claims belongs to somebody else.
    #[error("the {kind} is already taken")]
    ClaimTaken {
        /// What kind of claim it is.
        kind: String,
    },
    /// A payload or the metadata holds what the log cannot keep unchanged.
    #[error(transparent)]
    Unstorable(#[from] Unstorable),
    /// The database failed.
    #[error("the events could not be written")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for AppendError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        match (violated_constraint(&error), code.as_deref()) {
            (Some("events_pkey"), _) | (None, Some("40001" | "40P01")) => Self::Conflict,
            (Some("command_log_pkey"), _) => Self::CommandKnown,
            _ => Self::Database(error),
        }
    }
}

/// The repository cqrs-es works with, made for one command or one batch.
///
/// It reads through postgres-es. What cqrs-es persists is only staged; [`Append::write`] then writes it in
/// one transaction, because postgres-es would open and commit one of its own for each aggregate.
#[derive(Clone)]
pub struct Append(Arc<Inner>);

struct Inner {
    pool: PgPool,
    stored: PostgresEventRepository,
    read_ahead: HashMap<String, Vec<SerializedEvent>>,
    staged: Mutex<Vec<SerializedEvent>>,
}

impl Append {
    /// For one command.
    pub fn new(pool: &PgPool) -> Self {
        Self::after_reading(pool, HashMap::new())
    }

    /// For a batch: reads all streams of `ids` at once instead of one by one.
    pub(crate) async fn for_batch<A: Aggregate>(pool: &PgPool, ids: &[String]) -> Result<Self, sqlx::Error> {
        let rows: Vec<(String, i64, String, String, Value, Value)> = sqlx::query_as(
            "select aggregate_id, sequence, event_type, event_version, payload, metadata from events
              where aggregate_type = $1 and aggregate_id = any($2) order by aggregate_id, sequence",
        )
        .bind(A::TYPE)
        .bind(ids)
        .fetch_all(pool)
        .await?;
        let mut streams: HashMap<_, _> = ids.iter().map(|id| (id.clone(), vec![])).collect();
        for (id, sequence, event_type, event_version, payload, metadata) in rows {
            streams.entry(id.clone()).or_default().push(SerializedEvent {
                aggregate_id: id,
                sequence: sequence as usize,
                aggregate_type: A::TYPE.to_owned(),
                event_type,
                event_version,
                payload,
                metadata,
            });
        }
        Ok(Self::after_reading(pool, streams))
    }

    fn after_reading(pool: &PgPool, read_ahead: HashMap<String, Vec<SerializedEvent>>) -> Self {
        Self(Arc::new(Inner {
            pool: pool.clone(),
            stored: PostgresEventRepository::new(pool.clone()),
            read_ahead,
            staged: Mutex::default(),
        }))
    }

    /// Writes everything staged since the last call, the commands it came from, and `extras`, in one
    /// transaction.
    ///
    /// `event_id` names each event.
    pub(crate) async fn write(
        &self,
        commands: &[CommandRow],
        extras: &Extras,
        event_id: impl Fn() -> Uuid,
    ) -> Result<(), AppendError> {
        let events = std::mem::take(&mut *self.0.staged.lock().unwrap_or_else(PoisonError::into_inner));
        for event in &events {
            check_storable(&event.payload)?;
            check_storable(&event.metadata)?;
        }
        let ids = events.iter().map(|_| event_id()).collect();
        if extras.is_empty() {
            // One statement is one transaction: it spares the round trips of BEGIN and COMMIT.
            let mut connection = self.0.pool.acquire().await?;
            return insert(&mut connection, events, ids, commands).await;
        }
        let mut transaction = self.0.pool.begin().await?;
        insert(&mut transaction, events, ids, commands).await?;
        extras.apply(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }
}

/// Inserts events and commands in one statement, the events first.
async fn insert(
    connection: &mut PgConnection,
    events: Vec<SerializedEvent>,
    ids: Vec<Uuid>,
    commands: &[CommandRow],
) -> Result<(), AppendError> {
    let column = |pick: fn(&SerializedEvent) -> &str| -> Vec<String> {
        events.iter().map(|event| pick(event).to_owned()).collect()
    };
    let types = column(|event| &event.aggregate_type);
    let aggregates = column(|event| &event.aggregate_id);
    let kinds = column(|event| &event.event_type);
    let versions = column(|event| &event.event_version);
    let sequences: Vec<i64> = events.iter().map(|event| event.sequence as i64).collect();
    let (payloads, metadata): (Vec<Value>, Vec<Value>) =
        events.into_iter().map(|event| (event.payload, event.metadata)).unzip();
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
    .bind(types)
    .bind(aggregates)
    .bind(sequences)
    .bind(kinds)
    .bind(versions)
    .bind(payloads)
    .bind(metadata)
    .bind(ids)
    .bind(commands.iter().map(|row| row.command_id).collect::<Vec<_>>())
    .bind(commands.iter().map(|row| row.account).collect::<Vec<_>>())
    .bind(commands.iter().map(|row| row.request_hash.map(Vec::from)).collect::<Vec<_>>())
    .bind(commands.iter().map(|row| row.aggregate_type.clone()).collect::<Vec<_>>())
    .bind(commands.iter().map(|row| row.aggregate_id.clone()).collect::<Vec<_>>())
    .bind(commands.iter().map(|row| row.first_sequence).collect::<Vec<_>>())
    .bind(commands.iter().map(|row| row.events).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

impl PersistedEventRepository for Append {
    async fn get_events<A: Aggregate>(&self, id: &str) -> Result<Vec<SerializedEvent>, PersistenceError> {
        match self.0.read_ahead.get(id) {
            Some(events) => Ok(events.clone()),
            None => self.0.stored.get_events::<A>(id).await,
        }
    }

    async fn get_last_events<A: Aggregate>(
        &self,
        id: &str,
        last_sequence: usize,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        self.0.stored.get_last_events::<A>(id, last_sequence).await
    }

    /// There are no snapshots: with them cqrs-es applies events twice.
    async fn get_snapshot<A: Aggregate>(
        &self,
        _: &str,
    ) -> Result<Option<SerializedSnapshot>, PersistenceError> {
        Ok(None)
    }

    async fn persist<A: Aggregate>(
        &self,
        events: &[SerializedEvent],
        _: Option<(String, Value, usize)>,
    ) -> Result<(), PersistenceError> {
        self.0.staged.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(events);
        Ok(())
    }

    async fn stream_events<A: Aggregate>(&self, id: &str) -> Result<ReplayStream, PersistenceError> {
        self.0.stored.stream_events::<A>(id).await
    }

    async fn stream_all_events<A: Aggregate>(&self) -> Result<ReplayStream, PersistenceError> {
        self.0.stored.stream_all_events::<A>().await
    }
}
