//! Writing: the events of a command, or of a batch, with everything that must stand or fall with them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cqrs_es::Aggregate;
use cqrs_es::persist::{
    PersistedEventRepository, PersistenceError, ReplayStream, SerializedEvent, SerializedSnapshot,
};
use postgres_es::PostgresEventRepository;
use serde_json::Value;
use sqlx::{Executor, PgPool};
use uuid::Uuid;

use super::canonical::{Unstorable, check_storable};
use super::command_log::CommandRow;
use super::extras::Extras;
use super::lanes::Lanes;
use super::planned::{self, Planned};
use super::recorded;
use super::streams::{self, Stream};
use crate::Database;
use crate::error::{has_waited_in_vain, violated_constraint};
use crate::failpoints::reach;

/// While so many groups of streams are being read, further ones gather.
const READING_LANES: usize = 2;

/// While so many groups of events are being written, further ones gather.
const WRITING_LANES: usize = 3;

/// A command that brings rows of its own waits so long for a lock and no longer, because its events are written by then and
/// everybody else's wait with it to be sealed.
const SHORT_WAIT: &str = "set local lock_timeout = '50ms'";

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

/// The ways to the database that all commands of one bus share.
#[derive(Clone)]
pub(crate) struct Ways {
    reading: Lanes<Stream>,
    writing: Lanes<Planned>,
    stored: Arc<PostgresEventRepository>,
    alone: PgPool,
    commands: PgPool,
}

impl Ways {
    pub fn new(database: &Database) -> Self {
        Self {
            reading: Lanes::new(database, READING_LANES),
            writing: Lanes::new(database, WRITING_LANES),
            stored: Arc::new(PostgresEventRepository::new(database.pool().clone())),
            alone: database.alone().clone(),
            commands: database.commands().clone(),
        }
    }
}

/// The repository cqrs-es works with, made for one command or one batch.
///
/// It reads together with whatever other commands read at the same moment. What cqrs-es persists is only staged;
/// [`Append::write`] then writes it in one transaction, because postgres-es would open and commit one of its own for
/// each aggregate.
#[derive(Clone)]
pub struct Append(Arc<Inner>);

struct Inner {
    ways: Ways,
    read_ahead: HashMap<Stream, Vec<SerializedEvent>>,
    staged: Mutex<Vec<SerializedEvent>>,
}

impl Append {
    /// For one command.
    pub(crate) fn new(ways: &Ways) -> Self {
        Self::after_reading(ways, HashMap::new())
    }

    /// For a batch: reads all streams of `ids` at once instead of one by one.
    pub(crate) async fn for_batch<A: Aggregate>(ways: &Ways, ids: &[String]) -> Result<Self, sqlx::Error> {
        let streams: Vec<_> = ids.iter().map(|id| stream::<A>(id)).collect();
        let mut connection = ways.commands.acquire().await?;
        let mut read = streams::read(&mut connection, streams.iter()).await?;
        for stream in streams {
            read.entry(stream).or_default();
        }
        Ok(Self::after_reading(ways, read))
    }

    fn after_reading(ways: &Ways, read_ahead: HashMap<Stream, Vec<SerializedEvent>>) -> Self {
        Self(Arc::new(Inner { ways: ways.clone(), read_ahead, staged: Mutex::default() }))
    }

    /// Writes everything staged since the last call, the commands it came from, and `extras`: all or nothing.
    ///
    /// Without extras it is written together with what other commands write at the same moment. `event_id` names each
    /// event.
    pub(crate) async fn write(
        &self,
        commands: Vec<CommandRow>,
        extras: &Extras,
        event_id: impl Fn() -> Uuid,
    ) -> Result<(), AppendError> {
        let events = std::mem::take(&mut *self.0.staged.lock().unwrap_or_else(PoisonError::into_inner));
        for event in &events {
            check_storable(&event.payload)?;
            check_storable(&event.metadata)?;
        }
        let events = events.into_iter().map(|event| (event, event_id())).collect();
        let planned = Planned { events, commands };
        reach("append.before_insert").await?;
        if extras.is_empty() {
            self.0.ways.writing.done(planned).await?;
            return Ok(reach("append.after_commit").await?);
        }
        match self.write_alone(&planned, extras).await {
            // Not broken: somebody is at work on the same rows, or on the table.
            Err(AppendError::Database(error)) if has_waited_in_vain(&error) => Err(AppendError::Conflict),
            written => written,
        }
    }

    /// In a transaction of its own, which holds up sealing from the moment its events are written.
    async fn write_alone(&self, planned: &Planned, extras: &Extras) -> Result<(), AppendError> {
        let mut transaction = self.0.ways.alone.begin().await?;
        transaction.execute(SHORT_WAIT).await?;
        planned::insert(&mut transaction, &[planned]).await?;
        extras.apply(&mut transaction).await?;
        reach("append.after_insert").await?;
        transaction.commit().await?;
        Ok(reach("append.after_commit").await?)
    }
}

fn stream<A: Aggregate>(id: &str) -> Stream {
    Stream { aggregate_type: A::TYPE, aggregate_id: id.to_owned() }
}

/// Events of any version there has been, in the shape of today; refused when one of them is not known here.
fn current(mut events: Vec<SerializedEvent>) -> Result<Vec<SerializedEvent>, PersistenceError> {
    for event in &mut events {
        let (kind, version) = (&event.event_type, &event.event_version);
        let payload = recorded::current(&event.aggregate_type, kind, version, &event.payload)
            .map_err(|unreadable| PersistenceError::UnknownError(Box::new(unreadable)))?;
        if let Cow::Owned(payload) = payload {
            event.payload = payload;
        }
    }
    Ok(events)
}

fn unread(error: sqlx::Error) -> PersistenceError {
    PersistenceError::UnknownError(error.into())
}

impl PersistedEventRepository for Append {
    async fn get_events<A: Aggregate>(&self, id: &str) -> Result<Vec<SerializedEvent>, PersistenceError> {
        let stream = stream::<A>(id);
        current(match self.0.read_ahead.get(&stream) {
            Some(events) => events.clone(),
            None => self.0.ways.reading.done(stream).await.map_err(unread)?,
        })
    }

    async fn get_last_events<A: Aggregate>(
        &self,
        id: &str,
        last_sequence: usize,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        current(self.0.ways.stored.get_last_events::<A>(id, last_sequence).await?)
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
        self.0.ways.stored.stream_events::<A>(id).await
    }

    async fn stream_all_events<A: Aggregate>(&self) -> Result<ReplayStream, PersistenceError> {
        self.0.ways.stored.stream_all_events::<A>().await
    }
}
