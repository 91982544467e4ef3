//! Carrying out what was requested, a little at a time.

use std::time::Duration;

use tokio::time::Instant;

use super::build::{Build, BuildState, Place};
use super::indexes::{self, Made};
use crate::StoreError;
use crate::error::is_passing;
use crate::log::projection_schema as schema;
use crate::log::subscription::{Step, Subscription};

/// So long at most before other projections have their turn. Each transaction in it is far shorter.
const TURN: Duration = Duration::from_millis(200);

/// What is left after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tended {
    /// There is more to do at once.
    More,
    /// Everything beside the live tables is as far as it can be.
    Level,
}

impl Subscription {
    /// Goes on with whatever stands beside the live tables, for a bounded time: warms a rebuild up, compares it when
    /// it is level, keeps it and the previous tables level, and drops tables that nobody needs.
    ///
    /// Two nodes that tend the same projection waste work and nothing else.
    ///
    /// # Errors
    /// When the database fails. A rebuild that cannot be carried out is not an error but a failed rebuild.
    pub async fn tend(&self) -> Result<Tended, StoreError> {
        let mut tended = Tended::Level;
        for build in self.builds().await? {
            if self.fills(&build) && self.tend_build(&build).await? == Tended::More {
                tended = Tended::More;
            }
        }
        schema::sweep(self.database.pool(), self.name()).await?;
        Ok(tended)
    }

    /// Whether the build is of this projection and version: the tables of another one are filled by its own program.
    pub fn fills(&self, build: &Build) -> bool {
        build.name == self.name() && build.version == self.version()
    }

    async fn tend_build(&self, build: &Build) -> Result<Tended, StoreError> {
        let step = self.follow_for_a_turn(build.place).await?;
        self.note_waiting(build, &step).await?;
        match (build.state, step) {
            (
                BuildState::Warming | BuildState::Ready | BuildState::Previous,
                Step::Stopped { ordinal, error },
            ) => {
                self.note_failure(build, &format!("event {ordinal} cannot be applied: {error}")).await?;
                Ok(Tended::Level)
            }
            (
                BuildState::Warming | BuildState::Ready | BuildState::Previous,
                Step::Moved { .. } | Step::Switched,
            ) => Ok(Tended::More),
            (BuildState::Warming, Step::Idle) => {
                match indexes::make_next(&self.database, self.name(), &build.schema).await {
                    Ok(Made::All) => {}
                    Ok(Made::One) => return Ok(Tended::More),
                    Ok(Made::ByAnother) => return Ok(Tended::Level),
                    Err(StoreError::Database(error)) if !is_passing(&error) => {
                        self.note_failure(build, &format!("an index cannot be made: {error}")).await?;
                        return Ok(Tended::Level);
                    }
                    Err(error) => return Err(error),
                }
                let mut connection = self.database.pool().acquire().await?;
                schema::analyze(&mut connection, &build.schema).await?;
                self.change_state(build, BuildState::Ready).await?;
                tracing::info!(subscription = self.name(), "a rebuild is level with the live tables");
                Ok(Tended::More)
            }
            (BuildState::Ready, Step::Idle) if build.compared_at.is_none() => {
                Ok(if self.compare(build).await? { Tended::Level } else { Tended::More })
            }
            // What waits for a newer program goes on as soon as there is one.
            (BuildState::Failed | BuildState::Cancelled, _)
            | (_, Step::Busy | Step::Waits { .. } | Step::Retired)
            | (BuildState::Ready | BuildState::Previous, Step::Idle) => Ok(Tended::Level),
        }
    }

    /// Steps until there is nothing to apply, or the turn is over; says how the last step ended.
    async fn follow_for_a_turn(&self, place: Place) -> Result<Step, StoreError> {
        let beside = self.beside(place);
        let began = Instant::now();
        loop {
            let step = beside.step().await?;
            if !matches!(step, Step::Moved { .. }) || began.elapsed() >= TURN {
                return Ok(step);
            }
        }
    }

    async fn change_state(&self, build: &Build, to: BuildState) -> Result<(), StoreError> {
        sqlx::query("update projection_builds set state = $4 where name = $1 and place = $2 and schema_name = $3 and state = $5")
            .bind(self.name())
            .bind(build.place.as_str())
            .bind(&build.schema)
            .bind(to.as_str())
            .bind(build.state.as_str())
            .execute(self.database.pool())
            .await?;
        Ok(())
    }

    /// Says of a build that waits for a newer program what it waits for, and no more once it has gone on.
    async fn note_waiting(&self, build: &Build, step: &Step) -> Result<(), StoreError> {
        let waits_for = match (build.state, step) {
            (BuildState::Failed | BuildState::Cancelled, _)
            | (_, Step::Busy | Step::Stopped { .. } | Step::Retired) => return Ok(()),
            (_, Step::Waits { ordinal, error }) => {
                Some(format!("it waits for a newer program at event {ordinal}: {error}"))
            }
            (_, Step::Moved { .. } | Step::Idle | Step::Switched) => None,
        };
        if waits_for != build.error {
            sqlx::query(
                "update projection_builds set error = $4
                  where name = $1 and place = $2 and schema_name = $3 and state not in ('failed', 'cancelled')",
            )
            .bind(self.name())
            .bind(build.place.as_str())
            .bind(&build.schema)
            .bind(waits_for)
            .execute(self.database.pool())
            .await?;
        }
        Ok(())
    }

    async fn note_failure(&self, build: &Build, error: &str) -> Result<(), StoreError> {
        if build.state != BuildState::Failed {
            sqlx::query(
                "update projection_builds set state = 'failed', error = $4
                  where name = $1 and place = $2 and schema_name = $3",
            )
            .bind(self.name())
            .bind(build.place.as_str())
            .bind(&build.schema)
            .bind(error)
            .execute(self.database.pool())
            .await?;
        }
        Ok(())
    }
}
