//! The way in: a command is decided on the present state and its events are written, once.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use almanac_domain::UnreadableEvent;
use almanac_domain::clock::Clock;
use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::PersistedEventStore;
use cqrs_es::{Aggregate, AggregateContext, AggregateError, EventStore};
use tokio::time::Instant;

use super::append::{Append, AppendError, Ways};
use super::canonical::Unstorable;
use super::command_log::{self, CommandRow};
use super::extras::Extras;
use super::issued::Issued;
use super::recorded::EventKey;
use super::turns::Turns;
use crate::clock::Entropy;
use crate::{Database, StoreError};

/// How often a command is decided again when somebody else was faster.
const TRIES: u32 = 10;

/// How long a command is decided again when somebody else was faster.
const PATIENCE: Duration = Duration::from_secs(2);

/// An aggregate the bus can command: one that decides without outside help. Every one that fits is one.
pub trait Commanded: Aggregate<Services = (), Command: Clone + Send + Sync, Error: Send + 'static> {}

impl<A> Commanded for A where A: Aggregate<Services = (), Command: Clone + Send + Sync, Error: Send + 'static> {}

/// What a command has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The events, in order; none when there was nothing to do.
    pub events: Vec<EventKey>,
    /// True when the command had been given before and this is its first outcome.
    pub repeated: bool,
}

impl Committed {
    /// The last event, by which a reader waits for what it has just written.
    pub fn last(&self) -> Option<&EventKey> {
        self.events.last()
    }
}

/// Why a command had no effect.
#[derive(Debug, thiserror::Error)]
pub enum CommandError<E: Error + 'static> {
    /// A rule said no.
    #[error("{0}")]
    Refused(#[source] E),
    /// Others were faster, again and again.
    #[error("somebody else is changing the same thing: try again")]
    Conflict,
    /// Something the command claims belongs to somebody else.
    #[error("the {kind} is already taken")]
    ClaimTaken {
        /// What kind of claim it is.
        kind: String,
    },
    /// The command id was used before, by another account or for another request.
    #[error("this command id was used before for another request")]
    IdempotencyMismatch,
    /// The command holds what the log cannot keep unchanged.
    #[error(transparent)]
    Unstorable(Unstorable),
    /// Ours.
    #[error(transparent)]
    Broken(StoreError),
}

impl<E: Error + 'static> From<StoreError> for CommandError<E> {
    fn from(error: StoreError) -> Self {
        Self::Broken(error)
    }
}

/// Executes commands on aggregates. Clones share one set of queues.
#[derive(Clone)]
pub struct CommandBus {
    database: Database,
    clock: Arc<dyn Clock>,
    entropy: Entropy,
    turns: Turns,
    ways: Ways,
}

impl CommandBus {
    /// A bus writing to `database`, with `clock` giving the time that stands in every event.
    pub fn new(database: Database, clock: Arc<dyn Clock>, entropy: Entropy) -> Self {
        let ways = Ways::new(&database);
        Self { database, clock, entropy, turns: Turns::default(), ways }
    }

    /// The service's clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The service's randomness.
    pub fn entropy(&self) -> &Entropy {
        &self.entropy
    }

    pub(super) fn ways(&self) -> &Ways {
        &self.ways
    }

    /// The database the bus writes to.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The present state of an aggregate; its default when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn load<A: Aggregate>(&self, id: &str) -> Result<A, StoreError> {
        let store = PersistedEventStore::<_, A>::new_event_store(Append::new(&self.ways));
        Ok(store.load_aggregate(id).await.map_err(broken)?.aggregate)
    }

    /// Decides `command` on the aggregate `id` and writes its events.
    ///
    /// # Errors
    /// When a rule refuses it, or it cannot be written; then it has had no effect.
    pub async fn execute<A: Commanded>(
        &self,
        id: &str,
        command: A::Command,
        issued: &Issued,
    ) -> Result<Committed, CommandError<A::Error>> {
        self.execute_with::<A>(id, command, issued, Extras::none()).await
    }

    /// Like [`CommandBus::execute`], with rows that stand or fall with the events.
    ///
    /// A refusal is not remembered, because it has no effect: the same command id may succeed later. The
    /// extras are applied even when the command makes no event.
    ///
    /// # Errors
    /// When a rule refuses it, or it cannot be written; then it has had no effect.
    pub async fn execute_with<A: Commanded>(
        &self,
        id: &str,
        command: A::Command,
        issued: &Issued,
        extras: Extras,
    ) -> Result<Committed, CommandError<A::Error>> {
        let _turn = self.turns.take(format!("{}:{id}", A::TYPE)).await;
        let deadline = Instant::now() + PATIENCE;
        let mut tries = 1;
        loop {
            match self.decide_once::<A>(id, command.clone(), issued, &extras).await {
                Err(CommandError::Conflict) if tries < TRIES && Instant::now() < deadline => {
                    // Up to 2, 4, 8, .. 128 ms: whoever collided here must not collide again.
                    let bound_micros = 1_000 << tries.min(7);
                    tokio::time::sleep(Duration::from_micros(self.entropy.below(bound_micros))).await;
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn decide_once<A: Commanded>(
        &self,
        id: &str,
        command: A::Command,
        issued: &Issued,
        extras: &Extras,
    ) -> Result<Committed, CommandError<A::Error>> {
        let append = Append::new(&self.ways);
        let row = match self.stage::<A>(&append, id, command, issued).await? {
            Ok(row) => row,
            // The command may be refused only because it has had its effect already.
            Err(refusal) => {
                return self.first_outcome(issued).await?.unwrap_or(Err(CommandError::Refused(refusal)));
            }
        };
        let committed = row.committed(false);
        match self.write(&append, vec![row], extras).await {
            Ok(()) => Ok(committed),
            Err(AppendError::Conflict) => Err(CommandError::Conflict),
            // Conflict, when the other one has been rolled back since.
            Err(AppendError::CommandKnown) => {
                self.first_outcome(issued).await?.unwrap_or(Err(CommandError::Conflict))
            }
            Err(AppendError::ClaimTaken { kind }) => Err(CommandError::ClaimTaken { kind }),
            Err(AppendError::Unstorable(unstorable)) => Err(CommandError::Unstorable(unstorable)),
            Err(AppendError::Database(error)) => Err(CommandError::Broken(error.into())),
        }
    }

    /// Lets the aggregate decide and stages its events in `append`.
    pub(super) async fn stage<A: Commanded>(
        &self,
        append: &Append,
        id: &str,
        command: A::Command,
        issued: &Issued,
    ) -> Result<Result<CommandRow, A::Error>, StoreError> {
        let store = PersistedEventStore::<_, A>::new_event_store(append.clone());
        let mut context = store.load_aggregate(id).await.map_err(broken)?;
        let sink = EventSink::default();
        if let Err(refusal) = context.aggregate().handle(command, &(), &sink).await {
            return Ok(Err(refusal));
        }
        let first_sequence = context.current_sequence as i64 + 1;
        let metadata = issued.metadata(self.clock.now());
        let events = store.commit(sink.collect().await, context, metadata).await.map_err(broken)?;
        Ok(Ok(CommandRow::new(issued, A::TYPE, id, first_sequence, events.len())))
    }

    /// Writes what is staged in `append` and wakes the sequencer.
    pub(super) async fn write(
        &self,
        append: &Append,
        rows: Vec<CommandRow>,
        extras: &Extras,
    ) -> Result<(), AppendError> {
        let now = self.clock.now();
        append.write(rows, extras, || self.entropy.uuid_v7(now)).await?;
        self.database.ring_appended();
        Ok(())
    }

    /// What the command did when it was given first, if it was.
    async fn first_outcome<E: Error + 'static>(
        &self,
        issued: &Issued,
    ) -> Result<Option<Result<Committed, CommandError<E>>>, StoreError> {
        let known = command_log::find(self.database.pool(), &[issued.command_id]).await?;
        Ok(known.get(&issued.command_id).map(|row| repeat(row, issued)))
    }
}

/// The answer to a command that is given again.
pub(super) fn repeat<E: Error + 'static>(
    row: &CommandRow,
    issued: &Issued,
) -> Result<Committed, CommandError<E>> {
    if row.is_of(issued) { Ok(row.committed(true)) } else { Err(CommandError::IdempotencyMismatch) }
}

/// cqrs-es hides the database's error in a box; whether it passes must stay visible.
fn broken<E: Error>(error: AggregateError<E>) -> StoreError {
    match error {
        AggregateError::DatabaseConnectionError(source)
        | AggregateError::DeserializationError(source)
        | AggregateError::UnexpectedError(source) => match source.downcast::<sqlx::Error>() {
            Ok(database) => StoreError::Database(*database),
            Err(other) => match other.downcast::<UnreadableEvent>() {
                Ok(unreadable) => StoreError::UnreadableStream(*unreadable),
                Err(other) => StoreError::Broken(format!("a stream could not be read: {other}")),
            },
        },
        AggregateError::UserError(_) | AggregateError::AggregateConflict => {
            StoreError::Broken(format!("reading a stream was refused: {error}"))
        }
    }
}
