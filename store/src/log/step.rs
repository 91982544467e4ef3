//! One step of a subscription: read, apply, move the checkpoint, in one transaction.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::{PgConnection, Postgres, Transaction};
use tokio::time::Instant;

use super::handler::HandlerError;
use super::projection_schema as schema;
use super::read_ahead::Piece;
use super::recorded::Recorded;
use super::subscription::{State, Status, Step, Subscription};
use crate::error::is_passing;
use crate::{Database, StoreError, failpoints};

/// A step commits after this time at the latest: an open write transaction holds up sealing for everybody.
const LONGEST: Duration = Duration::from_millis(35);

/// So many events at most are made into rows at once.
const LARGEST_PIECE: usize = 1_000;

/// How far an attempt to apply pieces has come.
enum Applied {
    /// So many are applied and committed.
    Pieces(usize),
    /// Somebody else moved the checkpoint, or is about to.
    Busy,
    /// The piece at this place cannot be applied; nothing was.
    Stuck { place: usize, error: HandlerError },
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
            State::Stopped | State::Retired => 0,
        };
        match self.advance(&status, limit).await? {
            Step::Idle if status.state == State::Warming && self.row == self.name() => self.take_over().await,
            step => Ok(step),
        }
    }

    /// Applies the next events up to `limit`; idle when there are none.
    pub(super) async fn advance(&self, status: &Status, limit: i64) -> Result<Step, StoreError> {
        match status.state {
            State::Running | State::Warming => {}
            State::Stopped => {
                let (ordinal, error) =
                    (status.failed_ordinal.unwrap_or(0), status.error.clone().unwrap_or_default());
                return Ok(Step::Stopped { ordinal, error });
            }
            State::Retired => return Ok(Step::Retired),
        }
        if status.position >= limit {
            return Ok(Step::Idle);
        }
        let mut pieces = self.next_pieces(status.position, limit).await?;
        match self.apply(status, &pieces).await? {
            Applied::Pieces(count) => {
                let rest = pieces.split_off(count);
                self.course.ahead.give_back(rest);
                Ok(moved(status, &pieces))
            }
            Applied::Busy => {
                self.course.ahead.give_back(pieces);
                Ok(Step::Busy)
            }
            Applied::Stuck { place, error } => {
                tracing::debug!(subscription = self.row, %error, "events are applied one by one");
                let singly: Vec<Piece> = pieces[..=place].iter().flat_map(Piece::singly).collect();
                self.apply_one_by_one(status, &singly).await
            }
        }
    }

    /// Applies the events up to one that cannot be applied; when that is the first one, it is parked or stops
    /// the subscription.
    async fn apply_one_by_one(&self, status: &Status, singly: &[Piece]) -> Result<Step, StoreError> {
        match self.apply(status, singly).await? {
            Applied::Pieces(count) => Ok(moved(status, &singly[..count])),
            Applied::Busy => Ok(Step::Busy),
            Applied::Stuck { place: 0, error } => self.poisoned(status, &singly[0].events[0], error).await,
            Applied::Stuck { place, .. } => match self.apply(status, &singly[..place]).await? {
                Applied::Pieces(count) => Ok(moved(status, &singly[..count])),
                Applied::Busy => Ok(Step::Busy),
                Applied::Stuck { place, error } => {
                    self.poisoned(status, &singly[place].events[0], error).await
                }
            },
        }
    }

    /// Applies pieces as long as there is time, and moves the checkpoint behind the last one.
    async fn apply(&self, status: &Status, pieces: &[Piece]) -> Result<Applied, StoreError> {
        let Some(mut transaction) = self.lock_checkpoint(status).await? else { return Ok(Applied::Busy) };
        let quiet = status.state == State::Warming;
        schema::enter(&mut transaction, status.schema_name.as_deref(), quiet).await?;
        let began = Instant::now();
        let mut count = 0;
        for piece in pieces {
            let piece_began = Instant::now();
            match self.hand_over(&mut transaction, piece).await {
                Ok(()) => count += 1,
                Err(HandlerError::Database(error)) if is_passing(&error) => return Err(error.into()),
                Err(error) => {
                    // Not left to the drop, which answers before PostgreSQL has let go of the checkpoint: the attempt that
                    // follows would find it held by nobody else than this one.
                    transaction.rollback().await?;
                    return Ok(Applied::Stuck { place: count, error });
                }
            }
            let took = piece_began.elapsed();
            if piece.rows.is_some() {
                let pace = next_pace(self.course.pace(), piece.events.len(), took);
                self.course.pace.store(pace, Ordering::Relaxed);
            }
            if began.elapsed() + took >= LONGEST {
                break;
            }
        }
        let to = pieces[..count].last().map_or(status.position, |last| last.to);
        failpoints::reach("step.after_apply").await?;
        self.move_checkpoint(transaction, status, to).await?;
        failpoints::reach("step.after_commit").await?;
        Ok(Applied::Pieces(count))
    }

    async fn hand_over(&self, connection: &mut PgConnection, piece: &Piece) -> Result<(), HandlerError> {
        if failpoints::poison(self.name()).is_none()
            && let Some(rows) = &piece.rows
        {
            return rows.write(connection).await;
        }
        for event in &piece.events {
            self.apply_one(connection, event).await?;
        }
        Ok(())
    }

    pub(super) async fn apply_one(
        &self,
        connection: &mut PgConnection,
        event: &Recorded,
    ) -> Result<(), HandlerError> {
        if failpoints::poison(self.name()).is_some() {
            return Err(HandlerError::Unfit("a failpoint takes it for poison".to_owned()));
        }
        self.handler.apply(connection, event).await
    }

    /// Opens the step's transaction with the checkpoint locked; none when it is not where `status` says, or
    /// another node has it.
    pub(super) async fn lock_checkpoint(
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

    pub(super) async fn move_checkpoint(
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
}

/// Twice as many after a piece that took little of a step, half as many after one that took much.
fn next_pace(pace: usize, piece: usize, took: Duration) -> usize {
    if took > LONGEST / 2 {
        (pace / 2).max(1)
    } else if piece >= pace && took < LONGEST / 6 {
        (pace * 2).min(LARGEST_PIECE)
    } else {
        pace
    }
}

fn moved(status: &Status, pieces: &[Piece]) -> Step {
    Step::Moved { from: status.position, to: pieces.last().map_or(status.position, |last| last.to) }
}

/// Where the version that readers see stands.
pub(super) async fn active_position(database: &Database, name: &str) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar("select last_ordinal from subscriptions where name = $1 and active")
        .bind(name)
        .fetch_optional(database.pool())
        .await?)
}
