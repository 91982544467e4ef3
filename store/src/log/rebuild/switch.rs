//! Letting tables beside the live ones take their place, and the other way round.

use sqlx::PgConnection;
use tokio::time::{Duration, Instant};

use super::RebuildError;
use super::build::{Build, BuildState, Place};
use super::compare::Met;
use super::request::forget;
use crate::StoreError;
use crate::error::is_passing;
use crate::log::projection_schema as schema;
use crate::log::subscription::{Step, Subscription};

/// How long a switch is tried: each time only for a moment, because whoever waits for a lock here holds up sealing.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(20);

impl Subscription {
    /// Lets a rebuild that is ready take the place of the live tables, which stay as the previous ones.
    ///
    /// # Errors
    /// When there is none, it is not compared yet, it differs and `accept_differences` is false, the tables are too
    /// busy, or the database fails.
    pub async fn switch(&self, accept_differences: bool) -> Result<(), RebuildError> {
        let name = self.name().to_owned();
        let build = self.build_at(self.database.pool(), Place::Rebuild).await?;
        let build = build.ok_or(RebuildError::Absent { name: name.clone(), what: "rebuild" })?;
        match (build.state, build.compared_at) {
            (BuildState::Ready, Some(_)) => {}
            (BuildState::Ready, None) => {
                return Err(RebuildError::NotReady { name, state: "not compared yet" });
            }
            (state, _) => return Err(RebuildError::NotReady { name, state: state.as_str() }),
        }
        if !build.differences.is_empty() && !accept_differences {
            return Err(RebuildError::Differs { name, tables: build.differences });
        }
        self.exchange_with(&build).await
    }

    /// Lets the tables that were live before the last switch be live again; those that are live become the previous
    /// ones.
    ///
    /// # Errors
    /// When there are none, they are of another version, the tables are too busy, or the database fails.
    pub async fn switch_back(&self) -> Result<(), RebuildError> {
        let (name, ours) = (self.name().to_owned(), self.handler.version());
        let build = self.build_at(self.database.pool(), Place::Previous).await?;
        let build = build.ok_or(RebuildError::Absent { name: name.clone(), what: "previous tables" })?;
        if build.version != ours {
            return Err(RebuildError::OtherVersion { name, active: build.version, ours });
        }
        if build.state != BuildState::Previous {
            return Err(RebuildError::NotReady { name, state: build.state.as_str() });
        }
        self.exchange_with(&build).await
    }

    async fn exchange_with(&self, build: &Build) -> Result<(), RebuildError> {
        let beside = self.beside(build.place);
        let began = Instant::now();
        loop {
            match beside.try_exchange(build).await {
                Ok(true) => {
                    self.database.ring_moved();
                    tracing::info!(
                        subscription = self.name(),
                        schema = build.schema,
                        "readers see other tables"
                    );
                    schema::sweep(self.database.pool(), self.name()).await?;
                    return Ok(());
                }
                Ok(false) => {}
                Err(StoreError::Database(error)) if is_passing(&error) => {}
                Err(error) => return Err(error.into()),
            }
            if began.elapsed() >= PATIENCE {
                return Err(RebuildError::Busy(self.name().to_owned()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One short transaction: both checkpoints at one ordinal, the tables between them exchanged, the views replaced.
    async fn try_exchange(&self, build: &Build) -> Result<bool, StoreError> {
        let Some(Met { mut transaction, live_version, live_schema, .. }) = self.meet_the_live_one().await?
        else {
            return Ok(false);
        };
        let name = self.name();
        // First of all, because it may have to wait for readers.
        schema::show(&mut transaction, name, &build.schema).await?;
        // A checkpoint of this version from before the active one took over would be in the way.
        sqlx::query("delete from subscriptions where name = $1 and version = $2 and not active")
            .bind(name)
            .bind(build.version)
            .execute(&mut *transaction)
            .await?;
        // Whatever the live tables stopped at, the others have come past it.
        let switched = sqlx::query(
            "update subscriptions set version = $2, schema_name = $3, generation = generation + 1, state = 'running',
                    error = null, failed_ordinal = null
              where name = $1 and active
                and exists (select 1 from projection_builds b where b.schema_name = $3 and b.state in ('ready', 'previous'))",
        )
        .bind(name)
        .bind(build.version)
        .bind(&build.schema)
        .execute(&mut *transaction)
        .await?;
        if switched.rows_affected() != 1 {
            return Ok(false);
        }
        self.keep_as_previous(&mut transaction, build, live_version, &live_schema).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// The checkpoint of `build` goes on with the tables that were live.
    async fn keep_as_previous(
        &self,
        connection: &mut PgConnection,
        build: &Build,
        version: i32,
        schema_name: &str,
    ) -> Result<(), StoreError> {
        let (name, previous) = (self.name(), Place::Previous.row_of(self.name()));
        if build.place == Place::Rebuild {
            forget(connection, name, Place::Previous).await?;
        }
        sqlx::query(
            "update subscriptions set name = $3, version = $4, schema_name = $5, generation = generation + 1
              where name = $1 and version = $2",
        )
        .bind(&self.row)
        .bind(build.version)
        .bind(&previous)
        .bind(version)
        .bind(schema_name)
        .execute(&mut *connection)
        .await?;
        sqlx::query(
            "update projection_builds set place = 'previous', state = 'previous', version = $3, schema_name = $4
              where name = $1 and place = $2",
        )
        .bind(name)
        .bind(build.place.as_str())
        .bind(version)
        .bind(schema_name)
        .execute(&mut *connection)
        .await?;
        // Parked events belong to the tables that they are missing from. By way of a third name, because both may miss
        // the same ones.
        park_under(connection, name, "", version).await?;
        park_under(connection, &self.row, name, build.version).await?;
        park_under(connection, "", &previous, version).await
    }

    /// A new version takes the place of the active one, once it has really come level with it. The tables of the
    /// older one stay as the previous ones.
    pub(crate) async fn take_over(&self) -> Result<Step, StoreError> {
        let (name, version) = (self.name(), self.handler.version());
        let met = match self.meet_the_live_one().await {
            Ok(met) => met,
            Err(StoreError::Database(error)) if is_passing(&error) => None,
            Err(error) => return Err(error),
        };
        let Some(Met { mut transaction, live_version: older, live_schema, .. }) = met else {
            return Ok(Step::Busy);
        };
        let ours: Option<String> = sqlx::query_scalar(
            "select schema_name from subscriptions where name = $1 and version = $2 and state = 'warming'",
        )
        .bind(name)
        .bind(version)
        .fetch_optional(&mut *transaction)
        .await?
        .flatten();
        let Some(ours) = ours else { return Ok(Step::Busy) };
        match schema::show(&mut transaction, name, &ours).await {
            Ok(()) => {}
            Err(StoreError::Database(error)) if is_passing(&error) => return Ok(Step::Busy),
            Err(error) => return Err(error),
        }
        for place in [Place::Rebuild, Place::Previous] {
            forget(&mut transaction, name, place).await?;
        }
        sqlx::query(
            "update subscriptions set name = $3, active = false, state = 'warming', generation = generation + 1
              where name = $1 and version = $2",
        )
        .bind(name)
        .bind(older)
        .bind(Place::Previous.row_of(name))
        .execute(&mut *transaction)
        .await?;
        park_under(&mut transaction, name, &Place::Previous.row_of(name), older).await?;
        sqlx::query(
            "insert into projection_builds (name, place, version, schema_name, state)
             values ($1, 'previous', $2, $3, 'previous')",
        )
        .bind(name)
        .bind(older)
        .bind(&live_schema)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "update subscriptions set active = true, state = 'running', generation = generation + 1
              where name = $1 and version = $2",
        )
        .bind(name)
        .bind(version)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        self.database.ring_moved();
        tracing::info!(subscription = name, from = older, to = version, "readers see another version");
        Ok(Step::Switched)
    }
}

async fn park_under(
    connection: &mut PgConnection,
    from: &str,
    to: &str,
    version: i32,
) -> Result<(), StoreError> {
    sqlx::query("update subscription_parked set name = $2, version = $3 where name = $1")
        .bind(from)
        .bind(to)
        .bind(version)
        .execute(connection)
        .await?;
    Ok(())
}
