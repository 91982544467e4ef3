//! Projections with the tables that stand beside their live ones, as the administrator sees them. Like [`event_log`],
//! this is no read model: it is the state of those who keep them.

use almanac_store::log::rebuild::{Build, BuildState};
use almanac_store::log::{LogReader, Subscription};
use almanac_store::{Database, StoreError};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::event_log;

/// A projection and what stands beside its live tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProjectionState)]
pub struct Projection {
    /// Its name.
    pub name: String,
    /// The version of its tables and meaning.
    pub version: i32,
    /// The last ordinal it has applied.
    pub ordinal: i64,
    /// Events it has not applied yet.
    pub lag: i64,
    /// `running`, `warming`, `stopped` or `retired`.
    pub state: String,
    /// Why it stopped.
    pub error: Option<String>,
    /// The event it stopped at.
    pub failed_ordinal: Option<i64>,
    /// Events it was told to set aside because it cannot apply them; they are missing from what it shows.
    pub parked: i64,
    /// The first of them.
    pub parked_ordinal: Option<i64>,
    /// Why that one cannot be applied.
    pub parked_error: Option<String>,
    /// The database schema of the tables; null for effects only.
    pub schema: Option<String>,
    /// The rebuild before the previous tables; at most one of each.
    pub builds: Vec<ProjectionBuild>,
}

/// Tables that stand beside the live ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProjectionBuild {
    /// The database schema of the tables.
    pub schema: String,
    /// The version of the tables and their meaning.
    pub version: i32,
    /// What they are there for.
    pub state: ProjectionBuildState,
    /// The last ordinal they hold.
    pub ordinal: i64,
    /// The last ordinal of the log.
    pub head: i64,
    /// When they were asked for, by the database's clock.
    pub requested_at: DateTime<Utc>,
    /// The administrator who asked; null for the command line.
    pub requested_by: Option<Uuid>,
    /// When they were compared with the live ones, by the database's clock; null before.
    pub compared_at: Option<DateTime<Utc>>,
    /// The ordinal at which they were; null before.
    pub compared_ordinal: Option<i64>,
    /// The tables whose rows differed then.
    pub differences: Vec<String>,
    /// Why they have failed.
    pub error: Option<String>,
}

/// What tables beside the live ones are there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProjectionBuildState {
    /// They live through the log from its beginning.
    Warming,
    /// They are level with the live ones and can take their place.
    Ready,
    /// They were live before the last switch.
    Previous,
    /// An event cannot be applied to them.
    Failed,
    /// Somebody called the rebuild off.
    Cancelled,
}

impl From<BuildState> for ProjectionBuildState {
    fn from(state: BuildState) -> Self {
        match state {
            BuildState::Warming => Self::Warming,
            BuildState::Ready => Self::Ready,
            BuildState::Previous => Self::Previous,
            BuildState::Failed => Self::Failed,
            BuildState::Cancelled => Self::Cancelled,
        }
    }
}

impl ProjectionBuild {
    fn of(build: Build, head: i64) -> Self {
        Self {
            schema: build.schema,
            version: build.version,
            state: build.state.into(),
            ordinal: build.ordinal,
            head,
            requested_at: build.requested_at,
            requested_by: build.requested_by,
            compared_at: build.compared_at,
            compared_ordinal: build.compared_ordinal,
            differences: build.differences,
            error: build.error,
        }
    }
}

/// Every projection, by name.
pub async fn list(database: &Database) -> Result<Vec<Projection>, StoreError> {
    let head = LogReader::new(database).head().await?;
    let subscriptions = Subscription::all(database).await?;
    let builds = Build::all(database).await?;
    let states = event_log::projections(database.pool()).await?;
    Ok(states
        .into_iter()
        .map(|state| {
            let followed =
                subscriptions.iter().find(|one| one.name == state.name && one.version == state.version);
            let schema = followed.and_then(|one| one.schema().map(str::to_owned));
            // What was live before stands beside what is live now, of whichever version.
            let beside = builds
                .iter()
                .filter(|build| build.name == state.name && followed.is_some_and(|one| one.active));
            let builds = beside.cloned().map(|build| ProjectionBuild::of(build, head)).collect();
            Projection {
                name: state.name,
                version: state.version,
                ordinal: state.ordinal,
                lag: state.lag,
                state: state.state,
                error: state.error,
                failed_ordinal: state.failed_ordinal,
                parked: state.parked,
                parked_ordinal: state.parked_ordinal,
                parked_error: state.parked_error,
                schema,
                builds,
            }
        })
        .collect())
}

/// The projection named `name`, as this program knows it; none when it does not.
pub async fn find(database: &Database, name: &str) -> Result<Option<Subscription>, StoreError> {
    let handler = crate::all().into_iter().find(|handler| handler.name() == name);
    match handler {
        Some(handler) => Subscription::install(database, handler).await.map(Some),
        None => Ok(None),
    }
}
