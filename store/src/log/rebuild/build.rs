//! Tables beside the live ones, as they are recorded.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, Row};
use uuid::Uuid;

use crate::log::subscription::Subscription;
use crate::{Database, StoreError};

/// What tables beside the live ones are there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildState {
    /// They live through the log from its beginning.
    Warming,
    /// They are level with the live ones, are kept so, and can take their place.
    Ready,
    /// They were live before the last switch, and are kept level.
    Previous,
    /// An event cannot be applied to them.
    Failed,
    /// Somebody called the rebuild off.
    Cancelled,
}

impl BuildState {
    /// The word it is stored and shown as.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warming => "warming",
            Self::Ready => "ready",
            Self::Previous => "previous",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn from_stored(text: &str) -> Result<Self, StoreError> {
        [Self::Warming, Self::Ready, Self::Previous, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| StoreError::Broken(format!("a rebuild is in the unknown state `{text}`")))
    }
}

/// Tables of a projection that stand beside its live ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The projection.
    pub name: String,
    /// The version of the handler that fills them.
    pub version: i32,
    /// The schema they stand in.
    pub schema: String,
    /// What they are there for.
    pub state: BuildState,
    /// The last ordinal they hold.
    pub ordinal: i64,
    /// The administrator who asked for them; none for the command line, and for what was live before.
    pub requested_by: Option<Uuid>,
    /// The database's time of the request.
    pub requested_at: DateTime<Utc>,
    /// The database's time at which they were compared with the live ones.
    pub compared_at: Option<DateTime<Utc>>,
    /// The ordinal at which they were.
    pub compared_ordinal: Option<i64>,
    /// The tables that differed then.
    pub differences: Vec<String>,
    /// Why they have failed.
    pub error: Option<String>,
    pub(super) place: Place,
}

/// One projection has at most one of each beside its live tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Rebuild,
    Previous,
}

impl Place {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Rebuild => "rebuild",
            Self::Previous => "previous",
        }
    }

    /// The name of the checkpoint.
    pub(super) fn row_of(self, name: &str) -> String {
        format!("{name}:{}", self.as_str())
    }
}

const BUILDS: &str =
    "select b.name, b.place, b.version, b.schema_name, b.state, coalesce(s.last_ordinal, 0) as ordinal, b.requested_by,
            b.requested_at, b.compared_at, b.compared_ordinal, b.differences, coalesce(b.error, s.error) as error
       from projection_builds b left join subscriptions s on s.name = b.name || ':' || b.place";

impl Build {
    /// All tables that stand beside live ones.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all(database: &Database) -> Result<Vec<Self>, StoreError> {
        let rows = sqlx::query(&format!("{BUILDS} order by b.name, b.place desc"))
            .fetch_all(database.pool())
            .await?;
        rows.iter().map(from_row).collect()
    }
}

impl Subscription {
    /// The tables that stand beside the live ones of this projection, the rebuild before the previous ones.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn builds(&self) -> Result<Vec<Build>, StoreError> {
        self.builds_on(self.database.pool()).await
    }

    async fn builds_on(&self, connection: impl PgExecutor<'_>) -> Result<Vec<Build>, StoreError> {
        let rows = sqlx::query(&format!("{BUILDS} where b.name = $1 order by b.place desc"))
            .bind(self.name())
            .fetch_all(connection)
            .await?;
        rows.iter().map(from_row).collect()
    }

    pub(super) async fn build_at(
        &self,
        connection: impl PgExecutor<'_>,
        place: Place,
    ) -> Result<Option<Build>, StoreError> {
        Ok(self.builds_on(connection).await?.into_iter().find(|build| build.place == place))
    }

    /// A follower of the checkpoint at `place`.
    pub(super) fn beside(&self, place: Place) -> Self {
        let course = match place {
            Place::Rebuild => &self.beside[0],
            Place::Previous => &self.beside[1],
        };
        Self { row: place.row_of(self.name()), course: course.clone(), ..self.clone() }
    }
}

fn from_row(row: &PgRow) -> Result<Build, StoreError> {
    let place: &str = row.try_get("place")?;
    Ok(Build {
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        schema: row.try_get("schema_name")?,
        state: BuildState::from_stored(row.try_get("state")?)?,
        ordinal: row.try_get("ordinal")?,
        requested_by: row.try_get("requested_by")?,
        requested_at: row.try_get("requested_at")?,
        compared_at: row.try_get("compared_at")?,
        compared_ordinal: row.try_get("compared_ordinal")?,
        differences: row.try_get("differences")?,
        error: row.try_get("error")?,
        place: if place == Place::Rebuild.as_str() { Place::Rebuild } else { Place::Previous },
    })
}
