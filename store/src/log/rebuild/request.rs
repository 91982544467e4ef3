//! Asking for a rebuild, calling it off, and clearing away what stands beside the live tables.

use sqlx::PgConnection;
use uuid::Uuid;

use super::RebuildError;
use super::build::{BuildState, Place};
use super::indexes;
use crate::StoreError;
use crate::log::projection_schema as schema;
use crate::log::subscription::Subscription;

impl Subscription {
    /// Wishes that the tables are built from zero beside the live ones. An earlier rebuild that has failed or was
    /// cancelled is replaced.
    ///
    /// # Errors
    /// When there is nothing to rebuild, a rebuild is under way, or the database fails.
    pub async fn request_rebuild(&self, requested_by: Option<Uuid>) -> Result<(), RebuildError> {
        let (name, version) = (self.name(), self.handler.version());
        let Some(sql) = self.handler.schema_sql() else {
            return Err(RebuildError::NoTables(name.to_owned()));
        };
        let mut transaction = self.database.pool().begin().await?;
        schema::lock(&mut transaction, name).await?;
        let active: i32 =
            sqlx::query_scalar("select version from subscriptions where name = $1 and active for update")
                .bind(name)
                .fetch_one(&mut *transaction)
                .await?;
        if active != version {
            return Err(RebuildError::OtherVersion { name: name.to_owned(), active, ours: version });
        }
        match self.build_at(&mut *transaction, Place::Rebuild).await?.map(|build| build.state) {
            Some(BuildState::Warming | BuildState::Ready) => {
                return Err(RebuildError::UnderWay(name.to_owned()));
            }
            Some(BuildState::Failed | BuildState::Cancelled | BuildState::Previous) | None => {}
        }
        forget(&mut transaction, name, Place::Rebuild).await?;
        let fresh = schema::create(&mut transaction, name, version, sql).await?;
        if self.handler.indexes_last() {
            indexes::drop_all(&mut transaction, &fresh).await?;
        }
        sqlx::query(
            "insert into subscriptions (name, version, state, schema_name) values ($1, $2, 'warming', $3)",
        )
        .bind(Place::Rebuild.row_of(name))
        .bind(version)
        .bind(&fresh)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "insert into projection_builds (name, place, version, schema_name, state, requested_by)
             values ($1, $2, $3, $4, 'warming', $5)",
        )
        .bind(name)
        .bind(Place::Rebuild.as_str())
        .bind(version)
        .bind(&fresh)
        .bind(requested_by)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Calls off a rebuild that warms up or is ready; its tables are dropped.
    ///
    /// # Errors
    /// When there is none, or the database fails.
    pub async fn cancel_rebuild(&self) -> Result<(), RebuildError> {
        let name = self.name();
        let mut transaction = self.database.pool().begin().await?;
        schema::lock(&mut transaction, name).await?;
        let cancelled = sqlx::query(
            "update projection_builds set state = 'cancelled'
              where name = $1 and place = $2 and state in ('warming', 'ready')",
        )
        .bind(name)
        .bind(Place::Rebuild.as_str())
        .execute(&mut *transaction)
        .await?;
        if cancelled.rows_affected() == 0 {
            return Err(RebuildError::Absent {
                name: name.to_owned(),
                what: "rebuild that could be called off",
            });
        }
        forget_checkpoint(&mut transaction, name, Place::Rebuild).await?;
        transaction.commit().await?;
        schema::sweep(self.database.pool(), name).await?;
        Ok(())
    }

    /// Drops everything that stands beside the live tables: a rebuild in whatever state, and the previous tables.
    ///
    /// # Errors
    /// When there is nothing, or the database fails.
    pub async fn drop_builds(&self) -> Result<(), RebuildError> {
        let name = self.name();
        if self.builds().await?.is_empty() {
            return Err(RebuildError::Absent { name: name.to_owned(), what: "tables beside the live ones" });
        }
        self.drop_at(&[Place::Rebuild, Place::Previous]).await
    }

    pub(super) async fn drop_rebuild(&self) -> Result<(), RebuildError> {
        self.drop_at(&[Place::Rebuild]).await
    }

    async fn drop_at(&self, places: &[Place]) -> Result<(), RebuildError> {
        let mut transaction = self.database.pool().begin().await?;
        schema::lock(&mut transaction, self.name()).await?;
        for place in places {
            forget(&mut transaction, self.name(), *place).await?;
        }
        transaction.commit().await?;
        schema::sweep(self.database.pool(), self.name()).await?;
        Ok(())
    }
}

/// Forgets the tables at `place`; the next sweep drops them.
pub(super) async fn forget(
    connection: &mut PgConnection,
    name: &str,
    place: Place,
) -> Result<(), StoreError> {
    forget_checkpoint(connection, name, place).await?;
    sqlx::query("delete from projection_builds where name = $1 and place = $2")
        .bind(name)
        .bind(place.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

async fn forget_checkpoint(
    connection: &mut PgConnection,
    name: &str,
    place: Place,
) -> Result<(), StoreError> {
    for table in ["subscriptions", "subscription_parked"] {
        sqlx::query(&format!("delete from {table} where name = $1"))
            .bind(place.row_of(name))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
