//! Comparing a rebuild with the live tables, as of one ordinal.

use sqlx::{Executor, PgConnection, Postgres, Transaction};
use tokio::time::{Duration, timeout};

use super::build::{Build, BuildState, Place};
use crate::StoreError;
use crate::error::is_passing;
use crate::log::projection_schema as schema;
use crate::log::subscription::{Step, Subscription};

/// Each side has read its tables when it has; the one that is done first waits for the other with its transaction open,
/// which must not be taken for a session that was forgotten.
const ONE_SNAPSHOT: &str = "set transaction isolation level repeatable read read only;
                            set local idle_in_transaction_session_timeout = 0";

/// The live tables are held still for so long at most, in which the others come level with them.
const MEETING: Duration = Duration::from_millis(30);

/// Both tables at one ordinal, and the live ones held there until the transaction ends.
pub(super) struct Met {
    pub(super) transaction: Transaction<'static, Postgres>,
    pub(super) ordinal: i64,
    pub(super) live_version: i32,
    pub(super) live_schema: String,
}

impl Subscription {
    /// Holds the live tables where they are and lets this follower come level with them; none when that takes longer
    /// than a write transaction may be open.
    pub(super) async fn meet_the_live_one(&self) -> Result<Option<Met>, StoreError> {
        let mut transaction = self.database.pool().begin().await?;
        // Whoever waits in this transaction holds up sealing.
        sqlx::query("set local lock_timeout = '40ms'").execute(&mut *transaction).await?;
        schema::lock(&mut transaction, self.name()).await?;
        let (live_version, ordinal, live_schema): (i32, i64, Option<String>) = sqlx::query_as(
            "select version, last_ordinal, schema_name from subscriptions where name = $1 and active for update",
        )
        .bind(self.name())
        .fetch_one(&mut *transaction)
        .await?;
        let Some(live_schema) = live_schema else { return Ok(None) };
        // A step needs a connection of its own. While the pool has none to give, nobody may wait for one in here: whoever
        // has them may be waiting for what is held still.
        match timeout(MEETING, self.come_level(&mut transaction, ordinal)).await {
            Ok(Ok(true)) => Ok(Some(Met { transaction, ordinal, live_version, live_schema })),
            Ok(Ok(false)) | Err(_) => Ok(None),
            Ok(Err(error)) => Err(error),
        }
    }

    /// Steps until everything up to `ordinal` is applied; false when that cannot be.
    async fn come_level(&self, held: &mut PgConnection, ordinal: i64) -> Result<bool, StoreError> {
        loop {
            match self.advance(&self.status_on(&mut *held).await?, ordinal).await? {
                Step::Idle => return Ok(true),
                Step::Moved { .. } => {}
                Step::Busy => tokio::time::sleep(Duration::from_millis(1)).await,
                Step::Switched | Step::Stopped { .. } | Step::Waits { .. } | Step::Retired => {
                    return Ok(false);
                }
            }
        }
    }

    /// Compares the rebuild with the live tables and notes what it finds; false when they could not meet just now.
    ///
    /// Both are read in one snapshot, which is taken while both stand at one ordinal. Reading it writes nothing and
    /// holds up nobody, however long it takes.
    pub(super) async fn compare(&self, build: &Build) -> Result<bool, StoreError> {
        // Before anything is held still, because the pool may have to be waited for.
        let mut snapshot = self.database.pool().begin().await?;
        snapshot.execute(ONE_SNAPSHOT).await?;
        let met = match self.beside(Place::Rebuild).meet_the_live_one().await {
            Ok(Some(met)) => met,
            Ok(None) => return Ok(false),
            Err(StoreError::Database(error)) if is_passing(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        // The first query takes the snapshot, and lends it to another transaction, so that both tables are read at once,
        // where the pool has a connection to spare: nobody waits for one in here.
        let shared: String =
            sqlx::query_scalar("select pg_export_snapshot()").fetch_one(&mut *snapshot).await?;
        let mut second = self.database.pool().try_begin().await?;
        if let Some(second) = &mut second {
            second.execute(ONE_SNAPSHOT).await?;
            second.execute(format!("set transaction snapshot '{shared}'").as_str()).await?;
        }
        let Met { transaction, ordinal, live_schema, .. } = met;
        transaction.rollback().await?;
        let differences =
            schema::differences((&mut snapshot, &live_schema), (second.as_deref_mut(), &build.schema))
                .await?;
        drop((snapshot, second));
        if !differences.is_empty() {
            tracing::error!(subscription = self.name(), tables = ?differences, "a projection differs from its rebuild");
        }
        sqlx::query(
            "update projection_builds set compared_at = clock_timestamp(), compared_ordinal = $4, differences = $5
              where name = $1 and place = $2 and schema_name = $3 and state = $6",
        )
        .bind(self.name())
        .bind(Place::Rebuild.as_str())
        .bind(&build.schema)
        .bind(ordinal)
        .bind(&differences)
        .bind(BuildState::Ready.as_str())
        .execute(self.database.pool())
        .await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::TestDatabase;

    #[tokio::test]
    async fn fault_23_a_side_that_is_done_long_before_the_other_is_not_cut_off() {
        let database = TestDatabase::new().await;
        let mut snapshot = database.pool().begin().await.unwrap();
        snapshot.execute("set idle_in_transaction_session_timeout = '50ms'").await.unwrap();
        snapshot.execute(ONE_SNAPSHOT).await.unwrap();
        let lent: String =
            sqlx::query_scalar("select pg_export_snapshot()").fetch_one(&mut *snapshot).await.unwrap();
        let mut second = database.pool().begin().await.unwrap();
        second.execute(ONE_SNAPSHOT).await.unwrap();
        second.execute(format!("set transaction snapshot '{lent}'").as_str()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        snapshot.execute("select 1").await.expect("it was left in peace");
    }
}
