//! What a subscription drives: how events become rows, and what to do with those that cannot.

use almanac_domain::UnreadableEvent;
use async_trait::async_trait;
use sqlx::PgConnection;

use super::recorded::Recorded;

/// Turns events into rows. Pure but for the connection: the same events give the same rows.
///
/// In [`Handler::apply`] unqualified names mean the handler's own tables, or, for a handler of effects only,
/// the views of active projections. Effects outside the database are never done here: they are written into
/// an outbox under a deterministic key.
#[async_trait]
pub trait Handler: Send + Sync {
    /// The subscription's name: lower-case letters, digits and underscores.
    fn name(&self) -> &'static str;

    /// The version of tables and meaning; a higher one is built up beside the old one and then takes its
    /// place.
    fn version(&self) -> i32;

    /// Creates the handler's tables, by unqualified names; none for a handler of effects only.
    fn schema_sql(&self) -> Option<&'static str>;

    /// What to do with an event that can never be applied.
    fn on_poison(&self) -> OnPoison {
        OnPoison::Stop
    }

    /// What to do with an event that only a newer version of the program knows.
    fn on_unknown(&self) -> OnUnknown {
        OnUnknown::Stop
    }

    /// Applies one event, inside the transaction that moves the checkpoint. Events it does not want are
    /// skipped by returning `Ok`.
    async fn apply(&self, connection: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError>;

    /// Makes the rows of events that follow each other, before there is a transaction and while others are written:
    /// writing them has the same result as [`Handler::apply`] on one event after the other. None for a handler that
    /// applies each by itself.
    ///
    /// # Errors
    /// When one of the events cannot be read. The events are applied one by one then, to find it; also when the rows
    /// cannot be written.
    fn rows(&self, _events: &[Recorded]) -> Result<Option<Box<dyn Rows>>, HandlerError> {
        Ok(None)
    }

    /// Whether its tables are filled as well without the indexes that are no constraints. A rebuild makes these last then,
    /// which costs half of keeping them while rows come.
    fn indexes_last(&self) -> bool {
        false
    }
}

/// Rows that were made from events and wait for the transaction that writes them.
#[async_trait]
pub trait Rows: Send + Sync {
    /// Writes them, inside the transaction that moves the checkpoint.
    async fn write(&self, connection: &mut PgConnection) -> Result<(), HandlerError>;
}

/// What to do with an event that can never be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnPoison {
    /// Stop and turn health red: nothing after it is applied until somebody has looked.
    Stop,
    /// Set it aside and go on.
    Park,
}

/// What to do with an event that only a newer version of the program knows, as long as that one is not running.
///
/// Stopping is not remembered: whoever knows the event, this process after its upgrade or a newer one beside it, takes
/// the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// Wait at any such event.
    Stop,
    /// Wait when it is of one of these kinds of aggregate, without which the rows would be wrong. Of the others it takes
    /// nothing: they are not even read.
    StopAt(&'static [&'static str]),
}

impl OnUnknown {
    /// The kinds of aggregate whose events are read; none where it is all of them.
    pub const fn reads(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Stop => None,
            Self::StopAt(read) => Some(read),
        }
    }
}

/// Why an event could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// The database refused a statement; a lost connection or a deadlock is tried again and is no poison.
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    /// The stored event does not have the shape this version of the program expects.
    #[error("the event cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// A newer version of the program wrote the event.
    #[error("{0}")]
    Unknown(#[source] UnreadableEvent),
    /// The event does not fit what was applied before.
    #[error("{0}")]
    Unfit(String),
}

impl From<UnreadableEvent> for HandlerError {
    fn from(error: UnreadableEvent) -> Self {
        match error {
            UnreadableEvent::Shape { source, .. } => Self::Unreadable(source),
            unknown => Self::Unknown(unknown),
        }
    }
}
