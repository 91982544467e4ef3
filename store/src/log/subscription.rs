//! A reader of the sealed log whose effects are rows, each exactly once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{PgConnection, Row};

use super::projection_schema as schema;
use super::reader::LogReader;
use super::recorded::Recorded;
use crate::{Database, StoreError};

/// A subscription looks for new events at least this often, even when every doorbell is lost.
const POLL: Duration = Duration::from_millis(250);

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

    /// Applies one event, inside the transaction that moves the checkpoint. Events it does not want are
    /// skipped by returning `Ok`.
    async fn apply(&self, connection: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError>;
}

/// What to do with an event that can never be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnPoison {
    /// Stop and turn health red: nothing after it is applied until somebody has looked.
    Stop,
    /// Set it aside and go on.
    Park,
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
    /// The event does not fit what was applied before.
    #[error("{0}")]
    Unfit(String),
}

/// The state of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It follows the log.
    Running,
    /// It builds up beside an older version that readers still see.
    Warming,
    /// It met an event it cannot apply.
    Stopped,
    /// Another version has taken its place.
    Retired,
}

impl State {
    fn from_stored(text: &str) -> Result<Self, StoreError> {
        match text {
            "running" => Ok(Self::Running),
            "warming" => Ok(Self::Warming),
            "stopped" => Ok(Self::Stopped),
            "retired" => Ok(Self::Retired),
            other => Err(StoreError::Broken(format!("a subscription is in the unknown state `{other}`"))),
        }
    }
}

/// What a subscription looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: i32,
    /// Its state.
    pub state: State,
    /// The last ordinal it has applied.
    pub position: i64,
    /// Whether readers see it.
    pub active: bool,
    /// The event it stopped at.
    pub failed_ordinal: Option<i64>,
    /// Why it stopped.
    pub error: Option<String>,
    pub(super) generation: i64,
    pub(super) schema_name: Option<String>,
}

/// What one step has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// There was nothing to apply.
    Idle,
    /// It applied the events after `from`, up to `to`.
    Moved {
        /// The checkpoint before.
        from: i64,
        /// The checkpoint now.
        to: i64,
    },
    /// Another node is taking a step of this subscription.
    Busy,
    /// It has caught up with the older version and taken its place.
    Switched,
    /// It is stopped.
    Stopped {
        /// The event it cannot apply.
        ordinal: i64,
        /// Why.
        error: String,
    },
    /// Another version has taken its place.
    Retired,
}

/// One handler following the log. Clones follow the same checkpoint.
#[derive(Clone)]
pub struct Subscription {
    pub(super) database: Database,
    pub(super) reader: LogReader,
    pub(super) handler: Arc<dyn Handler>,
    /// The name of the row of the checkpoint: the handler's, or that of a rebuild in progress.
    pub(super) row: String,
}

impl Subscription {
    /// Joins `handler` to the log, creating its tables and checkpoint on first sight.
    ///
    /// A handler whose name is new is active at once and starts at the beginning of the log. A higher version
    /// of a known one builds up beside it and takes its place when it has caught up; without tables it goes
    /// on where the older one stands. A lower version than the active one stays retired.
    ///
    /// # Errors
    /// When the name is unfit, a table name collides with another one, or the database fails.
    pub async fn install(database: &Database, handler: Arc<dyn Handler>) -> Result<Self, StoreError> {
        let (name, version) = (handler.name(), handler.version());
        schema::check_name(name)?;
        let mut transaction = database.pool().begin().await?;
        schema::lock(&mut transaction, name).await?;
        let known: bool = sqlx::query_scalar(
            "select exists (select 1 from subscriptions where name = $1 and version = $2)",
        )
        .bind(name)
        .bind(version)
        .fetch_one(&mut *transaction)
        .await?;
        if !known {
            let active: Option<(i32, i64)> = sqlx::query_as(
                "select version, last_ordinal from subscriptions where name = $1 and active for update",
            )
            .bind(name)
            .fetch_optional(&mut *transaction)
            .await?;
            let schema_name = handler.schema_sql().map(|_| schema::name_of(name, version));
            if let (Some(schema_name), Some(sql)) = (&schema_name, handler.schema_sql()) {
                schema::create(&mut transaction, schema_name, sql).await?;
            }
            let (state, is_active, from) = match (active, &schema_name) {
                (None, _) => ("running", true, 0),
                (Some((older, _)), _) if older > version => ("retired", false, 0),
                (Some(_), Some(_)) => ("warming", false, 0),
                (Some((older, from)), None) => {
                    schema::retire(&mut transaction, name, older).await?;
                    ("running", true, from)
                }
            };
            sqlx::query(
                "insert into subscriptions (name, version, last_ordinal, state, active, schema_name)
                 values ($1, $2, $3, $4, $5, $6)",
            )
            .bind(name)
            .bind(version)
            .bind(from)
            .bind(state)
            .bind(is_active)
            .bind(&schema_name)
            .execute(&mut *transaction)
            .await?;
            if let (true, Some(schema_name)) = (is_active, &schema_name) {
                schema::show(&mut transaction, name, schema_name).await?;
            }
        }
        transaction.commit().await?;
        Ok(Self {
            database: database.clone(),
            reader: LogReader::new(database),
            row: name.to_owned(),
            handler,
        })
    }

    /// The handler's name.
    pub fn name(&self) -> &'static str {
        self.handler.name()
    }

    /// What this subscription looks like from outside.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn status(&self) -> Result<Status, StoreError> {
        let row = sqlx::query(&format!("{STATUS} where name = $1 and version = $2"))
            .bind(&self.row)
            .bind(self.handler.version())
            .fetch_one(self.database.pool())
            .await?;
        status_from(&row)
    }

    /// What every subscription of the database looks like, for health and the administrator.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(database: &Database) -> Result<Vec<Status>, StoreError> {
        let rows =
            sqlx::query(&format!("{STATUS} order by name, version")).fetch_all(database.pool()).await?;
        rows.iter().map(status_from).collect()
    }

    /// The last ordinal it has applied.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn position(&self) -> Result<i64, StoreError> {
        Ok(self.status().await?.position)
    }

    /// Lets a stopped subscription try again, after somebody has repaired what it stopped at.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resume(&self) -> Result<(), StoreError> {
        sqlx::query(
            "update subscriptions set state = case when active then 'running' else 'warming' end,
                    error = null, failed_ordinal = null, generation = generation + 1
              where name = $1 and version = $2 and state = 'stopped'",
        )
        .bind(&self.row)
        .bind(self.handler.version())
        .execute(self.database.pool())
        .await?;
        Ok(())
    }

    /// Steps until everything up to `ordinal` is applied, or the subscription cannot go on.
    ///
    /// # Errors
    /// When the database fails, or the subscription is stopped or retired before.
    pub async fn run_until(&self, ordinal: i64) -> Result<(), StoreError> {
        while self.position().await? < ordinal {
            match self.step().await? {
                Step::Moved { .. } | Step::Switched => {}
                Step::Idle | Step::Busy => tokio::time::sleep(Duration::from_millis(2)).await,
                Step::Stopped { ordinal, error } => {
                    return Err(StoreError::Broken(format!(
                        "{} stopped at event {ordinal}: {error}",
                        self.row
                    )));
                }
                Step::Retired => {
                    return Err(StoreError::Broken(format!(
                        "this version of {} has been replaced",
                        self.row
                    )));
                }
            }
        }
        Ok(())
    }

    /// Follows the log for as long as it is polled: woken by the sequencer, and at least every 250 ms. It
    /// never ends; dropping it at any moment is safe, because each step is one transaction.
    pub async fn run(&self) {
        let mut head = self.database.head();
        let mut back_off = Duration::from_millis(100);
        loop {
            match self.step().await {
                Ok(Step::Moved { .. } | Step::Switched) => back_off = Duration::from_millis(100),
                Ok(Step::Busy) => tokio::time::sleep(Duration::from_millis(20)).await,
                Ok(Step::Idle) => {
                    // Whether the bell rang or the time passed, the next step is the same: look.
                    let _rang = tokio::time::timeout(POLL, head.changed()).await;
                }
                Ok(Step::Stopped { .. } | Step::Retired) => tokio::time::sleep(POLL).await,
                Err(error) => {
                    tracing::warn!(
                        subscription = self.row,
                        error = &error as &dyn std::error::Error,
                        "a step failed"
                    );
                    tokio::time::sleep(back_off).await;
                    back_off = (back_off * 2).min(Duration::from_secs(5));
                }
            }
        }
    }
}

const STATUS: &str = "select name, version, state, last_ordinal, active, failed_ordinal, error, generation, schema_name \
                        from subscriptions";

fn status_from(row: &sqlx::postgres::PgRow) -> Result<Status, StoreError> {
    Ok(Status {
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        state: State::from_stored(row.try_get("state")?)?,
        position: row.try_get("last_ordinal")?,
        active: row.try_get("active")?,
        failed_ordinal: row.try_get("failed_ordinal")?,
        error: row.try_get("error")?,
        generation: row.try_get("generation")?,
        schema_name: row.try_get("schema_name")?,
    })
}
