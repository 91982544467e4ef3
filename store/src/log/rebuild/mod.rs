//! Blue/green rebuilds: tables of a projection that are built from zero beside the live ones, compared with them, and
//! let take their place, while readers see one or the other and never a mixture.
//!
//! A rebuild is a row that outlives every process ([`Subscription::request_rebuild`]). Whoever follows the log tends it
//! ([`Subscription::tend`]): in short transactions that tell nobody of what they live through, never ahead of the live
//! tables. When it is level with them it is compared as of one ordinal, and kept level from then on. A
//! [`Subscription::switch`] exchanges the tables between the two checkpoints while both stand at the same ordinal:
//! the live checkpoint, to which mails and webhooks belong, goes on from where it stands. What was live stays
//! beside it, kept level too, so that switching back is the same exchange once more.

mod build;
mod compare;
mod indexes;
mod request;
mod switch;
mod tend;

pub use build::{Build, BuildState};
pub use tend::Tended;

use std::time::Duration;

use super::subscription::Subscription;
use crate::StoreError;

/// Why a rebuild, or a switch to one, could not be done.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// A handler of effects only.
    #[error("{0} has no tables that could be rebuilt")]
    NoTables(String),
    /// The active version is not the one of this program.
    #[error(
        "{name} is at version {active} and this program has version {ours}: use the program of that version"
    )]
    OtherVersion {
        /// The projection.
        name: String,
        /// The version that readers see.
        active: i32,
        /// The version of this program.
        ours: i32,
    },
    /// There is one that warms up or is ready.
    #[error("a rebuild of {0} is under way: cancel or drop it first")]
    UnderWay(String),
    /// There is nothing of the kind.
    #[error("{name} has no {what}")]
    Absent {
        /// The projection.
        name: String,
        /// What it does not have.
        what: &'static str,
    },
    /// The rebuild is not compared yet, has failed or was called off.
    #[error("the rebuild of {name} is not ready: it is {state}")]
    NotReady {
        /// The projection.
        name: String,
        /// What it is instead.
        state: &'static str,
    },
    /// The comparison has found differences, and nobody has accepted them.
    #[error("the rebuild of {name} differs from the live tables in {}: accept the differences to switch", .tables.join(", "))]
    Differs {
        /// The projection.
        name: String,
        /// The tables.
        tables: Vec<String>,
    },
    /// It did not come level with the live tables, or readers did not leave a gap, within the time.
    #[error("the tables of {0} could not be exchanged just now: they are too busy, try again")]
    Busy(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for RebuildError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What a rebuild has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// Both were compared as of this ordinal.
    pub ordinal: i64,
    /// The tables whose rows differed from the live ones; none when the projection is what it should be.
    pub differences: Vec<String>,
}

impl Subscription {
    /// Requests a rebuild and does all of it here and now, differences accepted; the former tables are dropped.
    ///
    /// # Errors
    /// When the database fails, or the handler has no tables or cannot apply an event.
    pub async fn rebuild(&self) -> Result<Rebuilt, RebuildError> {
        let rebuilt = self.build_and_compare().await?;
        self.switch(true).await?;
        self.drop_builds().await?;
        Ok(rebuilt)
    }

    /// Builds the tables from zero and compares them with the live ones, which stay.
    ///
    /// # Errors
    /// As [`Subscription::rebuild`].
    pub async fn compare_with_fresh(&self) -> Result<Rebuilt, RebuildError> {
        let rebuilt = self.build_and_compare().await?;
        self.drop_rebuild().await?;
        Ok(rebuilt)
    }

    async fn build_and_compare(&self) -> Result<Rebuilt, RebuildError> {
        self.request_rebuild(None).await?;
        loop {
            let tended = self.tend().await?;
            let build = self.builds().await?.into_iter().find(|build| build.state != BuildState::Previous);
            match build {
                Some(Build { state: BuildState::Warming, error: None, .. }) => {}
                Some(Build { compared_ordinal: Some(ordinal), differences, .. }) => {
                    return Ok(Rebuilt { ordinal, differences });
                }
                Some(Build { error: Some(error), .. }) => return Err(StoreError::Broken(error).into()),
                Some(_) => {}
                None => {
                    return Err(RebuildError::Absent {
                        name: self.name().to_owned(),
                        what: "rebuild any more",
                    });
                }
            }
            if tended == Tended::Level {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
}
