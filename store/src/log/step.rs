//! One step of a subscription: read, apply, move the checkpoint, in one transaction.

use std::time::Duration;

use sqlx::{Postgres, Transaction};
use tokio::time::Instant;

use super::projection_schema as schema;
use super::recorded::Recorded;
use super::subscription::{HandlerError, OnPoison, State, Status, Step, Subscription};
use crate::error::is_passing;
use crate::{Database, StoreError};

/// So many events are read for one step.
const READ_AHEAD: i64 = 500;

/// A step commits after this time at the latest: an open write transaction holds up sealing for everybody.
const LONGEST: Duration = Duration::from_millis(35);

enum Applied {
    /// So many of the events are applied and committed.
    Events(usize),
    /// Somebody else moved the checkpoint, or is about to.
    Busy,
    /// The event at this place cannot be applied; nothing was.
    Poison { place: usize, error: String },
}

impl Subscription {
    /// Applies the next events, as many as fit into a short transaction.
    ///
    /// # Errors
    /// When the database fails; then nothing was applied, and the step can be taken again.
    pub async fn step(&self) -> Result<Step, StoreError> {
        let status = self.status().await?;
        let limit = match status.state {
            State::Running => self.reader.head().await?,
            // Never ahead of the version that readers see: whatever that one has told the world stays unsaid
            // here.
            State::Warming => active_position(&self.database, self.name()).await?.unwrap_or(0),
            State::Stopped => {
                let (ordinal, error) = (status.failed_ordinal.unwrap_or(0), status.error.unwrap_or_default());
                return Ok(Step::Stopped { ordinal, error });
            }
            State::Retired => return Ok(Step::Retired),
        };
        if status.position >= limit {
            let switches = status.state == State::Warming && self.row == self.name();
            return if switches { self.switch().await } else { Ok(Step::Idle) };
        }
        let ahead = (limit - status.position).min(READ_AHEAD);
        let events = self.reader.after(status.position, ahead).await?;
        match self.apply(&status, &events).await? {
            Applied::Busy => Ok(Step::Busy),
            Applied::Events(count) => Ok(moved(&status, &events[..count])),
            Applied::Poison { place: 0, error } => self.poisoned(&status, &events[0], error).await,
            Applied::Poison { place, .. } => match self.apply(&status, &events[..place]).await? {
                Applied::Events(count) => Ok(moved(&status, &events[..count])),
                Applied::Busy => Ok(Step::Busy),
                Applied::Poison { place, error } => self.poisoned(&status, &events[place], error).await,
            },
        }
    }

    async fn apply(&self, status: &Status, events: &[Recorded]) -> Result<Applied, StoreError> {
        let Some(mut transaction) = self.lock_checkpoint(status).await? else { return Ok(Applied::Busy) };
        let quiet = status.state == State::Warming;
        schema::enter(&mut transaction, status.schema_name.as_deref(), quiet).await?;
        let began = Instant::now();
        let mut count = 0;
        for event in events {
            match self.handler.apply(&mut transaction, event).await {
                Ok(()) => count += 1,
                Err(HandlerError::Database(error)) if is_passing(&error) => return Err(error.into()),
                Err(error) => return Ok(Applied::Poison { place: count, error: error.to_string() }),
            }
            if began.elapsed() >= LONGEST {
                break;
            }
        }
        let to = events.get(count.saturating_sub(1)).map_or(status.position, |last| last.ordinal);
        self.move_checkpoint(transaction, status, to).await?;
        Ok(Applied::Events(count))
    }

    /// Opens the step's transaction with the checkpoint locked; none when it is not where `status` says, or
    /// another node has it.
    async fn lock_checkpoint(
        &self,
        status: &Status,
    ) -> Result<Option<Transaction<'static, Postgres>>, StoreError> {
        let mut transaction = self.database.pool().begin().await?;
        let locked: Option<i32> = sqlx::query_scalar(
            "select 1 from subscriptions where name = $1 and version = $2 and last_ordinal = $3 and generation = $4
                for update skip locked",
        )
        .bind(&self.row)
        .bind(status.version)
        .bind(status.position)
        .bind(status.generation)
        .fetch_optional(&mut *transaction)
        .await?;
        Ok(locked.map(|_| transaction))
    }

    async fn move_checkpoint(
        &self,
        mut transaction: Transaction<'static, Postgres>,
        status: &Status,
        to: i64,
    ) -> Result<(), StoreError> {
        let done = sqlx::query(
            "update public.subscriptions set last_ordinal = $5, moved_at = clock_timestamp()
              where name = $1 and version = $2 and last_ordinal = $3 and generation = $4",
        )
        .bind(&self.row)
        .bind(status.version)
        .bind(status.position)
        .bind(status.generation)
        .bind(to)
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() != 1 {
            return Err(StoreError::Broken(format!("the checkpoint of {} moved under its lock", self.row)));
        }
        transaction.commit().await?;
        self.database.ring_moved();
        Ok(())
    }

    /// Parks the event or stops, as the handler says.
    async fn poisoned(&self, status: &Status, event: &Recorded, error: String) -> Result<Step, StoreError> {
        tracing::error!(
            subscription = self.row,
            ordinal = event.ordinal,
            error,
            "an event cannot be applied"
        );
        let Some(mut transaction) = self.lock_checkpoint(status).await? else { return Ok(Step::Busy) };
        match self.handler.on_poison() {
            OnPoison::Park => {
                sqlx::query(
                    "insert into public.subscription_parked (name, version, ordinal, error) values ($1, $2, $3, $4)
                     on conflict do nothing",
                )
                .bind(&self.row)
                .bind(status.version)
                .bind(event.ordinal)
                .bind(&error)
                .execute(&mut *transaction)
                .await?;
                self.move_checkpoint(transaction, status, event.ordinal).await?;
                Ok(moved(status, std::slice::from_ref(event)))
            }
            OnPoison::Stop => {
                sqlx::query(
                    "update public.subscriptions set state = 'stopped', error = $3, failed_ordinal = $4
                      where name = $1 and version = $2",
                )
                .bind(&self.row)
                .bind(status.version)
                .bind(&error)
                .bind(event.ordinal)
                .execute(&mut *transaction)
                .await?;
                transaction.commit().await?;
                Ok(Step::Stopped { ordinal: event.ordinal, error })
            }
        }
    }

    /// Takes the place of the active version, if it has really caught up with it.
    async fn switch(&self) -> Result<Step, StoreError> {
        let (name, version) = (self.name(), self.handler.version());
        let mut transaction = self.database.pool().begin().await?;
        schema::lock(&mut transaction, name).await?;
        let active: Option<(i32, i64)> = sqlx::query_as(
            "select version, last_ordinal from subscriptions where name = $1 and active for update",
        )
        .bind(name)
        .fetch_optional(&mut *transaction)
        .await?;
        let ours: Option<(i64, Option<String>)> = sqlx::query_as(
            "select last_ordinal, schema_name from subscriptions
              where name = $1 and version = $2 and state = 'warming' for update",
        )
        .bind(name)
        .bind(version)
        .fetch_optional(&mut *transaction)
        .await?;
        let (Some((older, theirs)), Some((ours, schema_name))) = (active, ours) else {
            return Ok(Step::Busy);
        };
        if ours < theirs {
            return Ok(Step::Busy);
        }
        schema::retire(&mut transaction, name, older).await?;
        sqlx::query(
            "update subscriptions set active = true, state = 'running', generation = generation + 1
              where name = $1 and version = $2",
        )
        .bind(name)
        .bind(version)
        .execute(&mut *transaction)
        .await?;
        if let Some(schema_name) = schema_name {
            schema::show(&mut transaction, name, &schema_name).await?;
        }
        transaction.commit().await?;
        self.database.ring_moved();
        tracing::info!(subscription = name, from = older, to = version, "readers see another version");
        Ok(Step::Switched)
    }
}

fn moved(status: &Status, events: &[Recorded]) -> Step {
    let to = events.last().map_or(status.position, |last| last.ordinal);
    Step::Moved { from: status.position, to }
}

/// Where the version that readers see stands.
pub(super) async fn active_position(database: &Database, name: &str) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar("select last_ordinal from subscriptions where name = $1 and active")
        .bind(name)
        .fetch_optional(database.pool())
        .await?)
}
