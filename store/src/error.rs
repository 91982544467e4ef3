//! The one error of this crate for what is broken; refusals and conflicts have types of their own.

use almanac_domain::UnreadableEvent;

use crate::objects::ObjectError;
use crate::postgres::PostgresError;

/// Something below the business failed: the database, a stored row, or object storage.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database could not be reached or refused a statement.
    #[error("the database did not do what was asked")]
    Database(#[from] sqlx::Error),
    /// The migrations could not be applied.
    #[error("the database could not be migrated")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A stored row does not have the shape this version of the program expects.
    #[error("a stored value cannot be read")]
    Unreadable(#[from] serde_json::Error),
    /// A stream holds an event that this version of the program cannot read, so it decides nothing on it.
    #[error("nothing is decided on a stream that cannot be read whole: {0}")]
    UnreadableStream(#[source] UnreadableEvent),
    /// The private database server could not be started or stopped.
    #[error(transparent)]
    Server(#[from] PostgresError),
    /// Object storage failed.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// PostgreSQL is older than this program needs.
    #[error("PostgreSQL {found} is too old: version 15 or newer is needed")]
    TooOld {
        /// The version the server reports.
        found: String,
    },
    /// Another leader has taken over; what this one was about to write is void.
    #[error("another node has taken the lead: generation {ours} was replaced by {theirs}")]
    Deposed {
        /// The generation this node was given.
        ours: i64,
        /// The generation that holds now.
        theirs: i64,
    },
    /// A rule of this crate was broken by its caller or by a stored row.
    #[error("{0}")]
    Broken(String),
}

impl StoreError {
    /// True when trying again later may succeed without anybody repairing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Database(error) => is_passing(error),
            Self::Deposed { .. } => true,
            Self::Migration(_)
            | Self::Unreadable(_)
            | Self::UnreadableStream(_)
            | Self::Server(_)
            | Self::Object(_)
            | Self::TooOld { .. }
            | Self::Broken(_) => false,
        }
    }

    /// True when the database refused a value it cannot hold: U+0000 in a text, or a date it cannot read or
    /// hold.
    pub fn is_unstorable(&self) -> bool {
        let Self::Database(sqlx::Error::Database(database)) = self else { return false };
        database.code().is_some_and(|code| matches!(code.as_ref(), "22021" | "22008" | "22007"))
    }
}

/// True for lost connections, timeouts, and the database's own "try again" answers.
pub(crate) fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // 08 connection, 40 rollback (deadlock, serialization), 53 resources, 55 locks, 57 operator
        // intervention
        sqlx::Error::Database(database) => database
            .code()
            .is_some_and(|code| ["08", "40", "53", "55", "57"].iter().any(|class| code.starts_with(class))),
        _ => false,
    }
}

/// True when a lock was not to be had within the time set for it (55P03).
pub(crate) fn has_waited_in_vain(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some("55P03")
}

/// The name of the constraint a statement violated, if that is why it failed.
pub(crate) fn violated_constraint(error: &sqlx::Error) -> Option<&str> {
    match error {
        sqlx::Error::Database(database) if database.is_unique_violation() => database.constraint(),
        _ => None,
    }
}
