//! Events that a subscription cannot apply: where it stops or sets them aside, and how it goes on after a fix.
//!
//! Both are remembered in the database and outlive the process and its upgrade: a fix does not repair what an event
//! has left undone, so somebody who knows of the fix says when to try again ([`Subscription::resume`],
//! [`Subscription::replay_parked`]).

use super::handler::{HandlerError, OnPoison};
use super::projection_schema as schema;
use super::recorded::Recorded;
use super::subscription::{State, Status, Step, Subscription};
use crate::error::is_passing;
use crate::{StoreError, failpoints};

/// What became of the events that were set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// So many are applied now.
    pub applied: u64,
    /// So many still cannot be.
    pub parked: u64,
}

impl Subscription {
    /// Lets a stopped subscription try again, after somebody has repaired what it stopped at; false when it is not
    /// stopped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resume(&self) -> Result<bool, StoreError> {
        let resumed = sqlx::query(
            "update subscriptions set state = case when active then 'running' else 'warming' end,
                    error = null, failed_ordinal = null, generation = generation + 1
              where name = $1 and version = $2 and state = 'stopped'",
        )
        .bind(&self.row)
        .bind(self.handler.version())
        .execute(self.database.pool())
        .await?;
        Ok(resumed.rows_affected() == 1)
    }

    /// Applies the parked events, in the order of the log, each in a transaction of its own, and forgets those that
    /// could be. What comes after them is applied already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replay_parked(&self) -> Result<Replayed, StoreError> {
        let parked: Vec<i64> = sqlx::query_scalar(
            "select ordinal from subscription_parked where name = $1 and version = $2 order by ordinal",
        )
        .bind(&self.row)
        .bind(self.handler.version())
        .fetch_all(self.database.pool())
        .await?;
        let mut replayed = Replayed { applied: 0, parked: 0 };
        for ordinal in parked {
            if self.replay(ordinal).await? {
                replayed.applied += 1;
            } else {
                replayed.parked += 1;
            }
        }
        Ok(replayed)
    }

    /// Whether a parked event is applied now, by this call or another one.
    async fn replay(&self, ordinal: i64) -> Result<bool, StoreError> {
        let Some(event) = self.reader.at_ordinal(ordinal).await? else { return Ok(false) };
        let mut transaction = self.database.pool().begin().await?;
        // One transaction at a time writes the tables, and a switch must not exchange them meanwhile.
        sqlx::query("select 1 from subscriptions where name = $1 and version = $2 for update")
            .bind(&self.row)
            .bind(self.handler.version())
            .execute(&mut *transaction)
            .await?;
        let status = self.status_on(&mut *transaction).await?;
        let unparked =
            sqlx::query("delete from subscription_parked where name = $1 and version = $2 and ordinal = $3")
                .bind(&self.row)
                .bind(self.handler.version())
                .bind(ordinal)
                .execute(&mut *transaction)
                .await?;
        if unparked.rows_affected() == 0 {
            return Ok(true);
        }
        schema::enter(&mut transaction, status.schema(), status.state == State::Warming).await?;
        match self.apply_one(&mut transaction, &event).await {
            Ok(()) => {
                transaction.commit().await?;
                Ok(true)
            }
            Err(HandlerError::Database(error)) if is_passing(&error) => Err(error.into()),
            Err(error) => {
                transaction.rollback().await?;
                tracing::warn!(subscription = self.row, ordinal, %error, "a parked event still cannot be applied");
                sqlx::query(
                    "update subscription_parked set error = $4 where name = $1 and version = $2 and ordinal = $3",
                )
                .bind(&self.row)
                .bind(self.handler.version())
                .bind(ordinal)
                .bind(error.to_string())
                .execute(self.database.pool())
                .await?;
                Ok(false)
            }
        }
    }

    /// Parks the event or stops, as the handler says.
    pub(super) async fn poisoned(
        &self,
        status: &Status,
        event: &Recorded,
        error: HandlerError,
    ) -> Result<Step, StoreError> {
        let (unknown, error) = (matches!(error, HandlerError::Unknown(_)), error.to_string());
        // A newer program wrote it, and will take this step. What the handler takes nothing of is not read at all.
        if unknown {
            return Ok(Step::Waits { ordinal: event.ordinal, error });
        }
        tracing::error!(
            subscription = self.row,
            ordinal = event.ordinal,
            error,
            "an event cannot be applied"
        );
        let Some(mut transaction) = self.lock_checkpoint(status).await? else { return Ok(Step::Busy) };
        let said_by_a_test = failpoints::poison(self.name());
        match said_by_a_test.unwrap_or_else(|| self.handler.on_poison()) {
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
                Ok(Step::Moved { from: status.position, to: event.ordinal })
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
}
