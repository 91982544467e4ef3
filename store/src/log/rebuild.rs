//! Building a projection from zero beside the live one, comparing the two, and switching.

use std::time::Duration;

use super::projection_schema as schema;
use super::subscription::{State, Step, Subscription};
use crate::StoreError;

/// What a rebuild has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// Both were compared as of this ordinal.
    pub ordinal: i64,
    /// The tables whose rows differed from the live ones; none when the projection is what it should be.
    pub differences: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Afterwards {
    Switch,
    Discard,
}

impl Subscription {
    /// Builds the tables from zero beside the live ones, compares the two, and lets the fresh ones take over.
    /// Readers see the live ones until then, and never a mixture; the outboxes stay quiet.
    ///
    /// # Errors
    /// When the database fails, or the handler has no tables or cannot apply an event.
    pub async fn rebuild(&self) -> Result<Rebuilt, StoreError> {
        self.build_afresh(Afterwards::Switch).await
    }

    /// Builds the tables from zero and compares them with the live ones, which stay.
    ///
    /// # Errors
    /// As [`Subscription::rebuild`].
    pub async fn compare_with_fresh(&self) -> Result<Rebuilt, StoreError> {
        self.build_afresh(Afterwards::Discard).await
    }

    async fn build_afresh(&self, afterwards: Afterwards) -> Result<Rebuilt, StoreError> {
        let (fresh, fresh_schema) = self.begin_afresh().await?;
        loop {
            fresh.catch_up().await?;
            let Some(rebuilt) = self.compare(&fresh_schema).await? else { continue };
            if !rebuilt.differences.is_empty() {
                tracing::error!(subscription = self.name(), tables = ?rebuilt.differences, "a projection differs from its rebuild");
            }
            if self.finish(afterwards, &fresh_schema).await? {
                return Ok(rebuilt);
            }
        }
    }

    /// Makes an empty schema and a checkpoint of its own at zero, in place of what an interrupted rebuild
    /// left behind.
    async fn begin_afresh(&self) -> Result<(Self, String), StoreError> {
        let (name, version) = (self.name(), self.handler.version());
        let status = self.status().await?;
        let (Some(live), Some(sql)) = (status.schema_name, self.handler.schema_sql()) else {
            return Err(StoreError::Broken(format!("{name} has no tables that could be rebuilt")));
        };
        if status.state != State::Running {
            return Err(StoreError::Broken(format!("{name} is not running, so it cannot be rebuilt")));
        }
        let first = schema::name_of(name, version);
        let fresh_schema = if live == first { format!("{first}_fresh") } else { first };
        let row = format!("{name}:rebuild");
        let mut transaction = self.database.pool().begin().await?;
        schema::lock(&mut transaction, name).await?;
        schema::create(&mut transaction, &fresh_schema, sql).await?;
        sqlx::query(
            "insert into subscriptions (name, version, state, schema_name) values ($1, $2, 'warming', $3)
             on conflict (name, version) do update set last_ordinal = 0, state = 'warming', error = null,
                failed_ordinal = null, schema_name = excluded.schema_name, generation = subscriptions.generation + 1",
        )
        .bind(&row)
        .bind(version)
        .bind(&fresh_schema)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok((Self { row, ..self.clone() }, fresh_schema))
    }

    async fn catch_up(&self) -> Result<(), StoreError> {
        loop {
            match self.step().await? {
                Step::Moved { .. } => {}
                Step::Idle => return Ok(()),
                Step::Busy => tokio::time::sleep(Duration::from_millis(2)).await,
                Step::Stopped { ordinal, error } => {
                    return Err(StoreError::Broken(format!(
                        "the rebuild stopped at event {ordinal}: {error}"
                    )));
                }
                Step::Switched | Step::Retired => {
                    return Err(StoreError::Broken(
                        "the rebuild was taken over by another version".to_owned(),
                    ));
                }
            }
        }
    }

    /// Compares both in one snapshot, which writes nothing and holds up nobody; none when they are not at the
    /// same ordinal.
    async fn compare(&self, fresh_schema: &str) -> Result<Option<Rebuilt>, StoreError> {
        let mut snapshot = self.database.pool().begin().await?;
        sqlx::query("set transaction isolation level repeatable read read only")
            .execute(&mut *snapshot)
            .await?;
        let both: Vec<(i64, Option<String>)> = sqlx::query_as(
            "select last_ordinal, schema_name from subscriptions
              where version = $1 and name in ($2, $2 || ':rebuild') order by name",
        )
        .bind(self.handler.version())
        .bind(self.name())
        .fetch_all(&mut *snapshot)
        .await?;
        match both.as_slice() {
            [(live_at, Some(live_schema)), (fresh_at, _)] if live_at == fresh_at => {
                let differences = schema::differences(&mut snapshot, live_schema, fresh_schema).await?;
                Ok(Some(Rebuilt { ordinal: *live_at, differences }))
            }
            [_, _] => Ok(None),
            _ => Err(StoreError::Broken("the rebuild was taken over by another one".to_owned())),
        }
    }

    /// Switches or discards; false when the live one has moved on and the fresh one must catch up first.
    async fn finish(&self, afterwards: Afterwards, fresh_schema: &str) -> Result<bool, StoreError> {
        let (name, version) = (self.name(), self.handler.version());
        let mut transaction = self.database.pool().begin().await?;
        schema::lock(&mut transaction, name).await?;
        let mut superseded = fresh_schema.to_owned();
        if afterwards == Afterwards::Switch {
            let (live_at, live_schema): (i64, Option<String>) = sqlx::query_as(
                "select last_ordinal, schema_name from subscriptions
                  where name = $1 and version = $2 and active for update",
            )
            .bind(name)
            .bind(version)
            .fetch_one(&mut *transaction)
            .await?;
            let fresh_at: i64 = sqlx::query_scalar(
                "select last_ordinal from subscriptions where name = $1 || ':rebuild' and version = $2",
            )
            .bind(name)
            .bind(version)
            .fetch_one(&mut *transaction)
            .await?;
            if fresh_at != live_at {
                return Ok(false);
            }
            sqlx::query(
                "update subscriptions set schema_name = $3, generation = generation + 1 where name = $1 and version = $2",
            )
            .bind(name)
            .bind(version)
            .bind(fresh_schema)
            .execute(&mut *transaction)
            .await?;
            schema::show(&mut transaction, name, fresh_schema).await?;
            superseded = live_schema.unwrap_or_default();
        }
        sqlx::query("delete from subscriptions where name = $1 || ':rebuild' and version = $2")
            .bind(name)
            .bind(version)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        // After the switch, in a transaction of its own: it waits for readers that still look at the old
        // tables.
        sqlx::query(&format!("drop schema if exists {superseded} cascade"))
            .execute(self.database.pool())
            .await?;
        Ok(true)
    }
}
