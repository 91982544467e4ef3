//! A reader of the sealed log whose effects are rows, each exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::{PgExecutor, Row};

use super::handler::Handler;
use super::projection_schema as schema;
use super::read_ahead::ReadAhead;
use super::reader::LogReader;
use crate::{Database, StoreError};

/// A subscription looks for new events at least this often, even when every doorbell is lost.
const POLL: Duration = Duration::from_millis(250);

/// So many events are made into rows at once before it is known how long they take.
const FIRST_PACE: usize = 250;

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

impl Status {
    /// The database schema of its tables; none for effects only.
    pub fn schema(&self) -> Option<&str> {
        self.schema_name.as_deref()
    }
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
    /// It waits for a program that knows an event; nothing of that is remembered.
    Waits {
        /// The event.
        ordinal: i64,
        /// What is not known of it.
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
    /// The name of the row of the checkpoint: the handler's, or that of tables beside the live ones.
    pub(super) row: String,
    pub(super) course: Arc<Course>,
    /// Those of the rebuild and of the previous tables.
    pub(super) beside: [Arc<Course>; 2],
}

/// What a follower of a checkpoint has learned on its way; losing it costs time and nothing else.
#[derive(Default)]
pub(super) struct Course {
    pub(super) ahead: ReadAhead,
    /// So many events are made into rows at once: as many as take a fraction of a step. 0 before the first.
    pub(super) pace: AtomicUsize,
}

impl Course {
    /// How many events to make into rows at once.
    pub(super) fn pace(&self) -> usize {
        match self.pace.load(Ordering::Relaxed) {
            0 => FIRST_PACE,
            pace => pace,
        }
    }
}

impl Subscription {
    /// Joins `handler` to the log, creating its tables and checkpoint on first sight.
    ///
    /// A handler whose name is new is active at once and starts at the beginning of the log. A higher version
    /// of a known one builds up beside it and takes its place when it has caught up, and the older one's
    /// tables stay as the previous ones; without tables it goes on where the older one stands. A lower
    /// version than the active one is retired from the beginning.
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
            let place = match (active, handler.schema_sql()) {
                (Some((newer, _)), _) if newer > version => None,
                (None, _) => Some(("running", true, 0)),
                (Some(_), Some(_)) => Some(("warming", false, 0)),
                (Some((older, from)), None) => {
                    schema::retire(&mut transaction, name, older).await?;
                    Some(("running", true, from))
                }
            };
            if let Some((state, is_active, from)) = place {
                let schema_name = match handler.schema_sql() {
                    Some(sql) => Some(schema::create(&mut transaction, name, version, sql).await?),
                    None => None,
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
        }
        transaction.commit().await?;
        Ok(Self {
            database: database.clone(),
            reader: LogReader::new(database),
            row: name.to_owned(),
            handler,
            course: Arc::default(),
            beside: <[Arc<Course>; 2]>::default(),
        })
    }

    /// The handler's name.
    pub fn name(&self) -> &'static str {
        self.handler.name()
    }

    /// The handler's version.
    pub fn version(&self) -> i32 {
        self.handler.version()
    }

    /// What this subscription looks like from outside. Without a checkpoint, another version has its place.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn status(&self) -> Result<Status, StoreError> {
        self.status_on(self.database.pool()).await
    }

    pub(super) async fn status_on(&self, connection: impl PgExecutor<'_>) -> Result<Status, StoreError> {
        let row = sqlx::query(&format!("{STATUS} where name = $1 and version = $2"))
            .bind(&self.row)
            .bind(self.handler.version())
            .fetch_optional(connection)
            .await?;
        row.as_ref().map_or_else(|| Ok(self.replaced()), status_from)
    }

    fn replaced(&self) -> Status {
        Status {
            name: self.row.clone(),
            version: self.handler.version(),
            state: State::Retired,
            position: 0,
            active: false,
            failed_ordinal: None,
            error: None,
            generation: 0,
            schema_name: None,
        }
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

    /// Steps until everything up to `ordinal` is applied, or the subscription cannot go on.
    ///
    /// # Errors
    /// When the database fails, or the subscription is stopped or retired before.
    pub async fn run_until(&self, ordinal: i64) -> Result<(), StoreError> {
        while self.position().await? < ordinal {
            match self.step().await? {
                Step::Moved { .. } | Step::Switched => {}
                Step::Idle | Step::Busy => tokio::time::sleep(Duration::from_millis(2)).await,
                Step::Stopped { ordinal, error } | Step::Waits { ordinal, error } => {
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
                Ok(Step::Stopped { .. } | Step::Waits { .. } | Step::Retired) => {
                    tokio::time::sleep(POLL).await;
                }
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
