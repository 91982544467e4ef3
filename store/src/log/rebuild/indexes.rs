//! Indexes that a rebuild makes last.
//!
//! An index over a filled table is one long statement, but not one that holds up sealing: made concurrently, it has no
//! transaction id while it reads and sorts. It does wait for everybody who still reads in an older snapshot.

use sqlx::{Connection, Executor, PgConnection};

use crate::{Database, StoreError};

/// What has come of the next index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// There was none to make.
    All,
    /// It was made, and there may be more.
    One,
    /// Another node is at it.
    ByAnother,
}

/// Drops the indexes of fresh tables but for those that are constraints.
pub(super) async fn drop_all(connection: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    let names: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid
          where c.relnamespace = to_regnamespace($1)
            and not exists (select 1 from pg_constraint k where k.conindid = i.indexrelid)",
    )
    .bind(schema)
    .fetch_all(&mut *connection)
    .await?;
    for name in names {
        connection.execute(format!("drop index {schema}.\"{name}\"").as_str()).await?;
    }
    Ok(())
}

/// Makes one index that the live tables of `subscription` have and those in `schema` lack.
pub(super) async fn make_next(
    database: &Database,
    subscription: &str,
    schema: &str,
) -> Result<Made, StoreError> {
    let missing: Option<(String, String, String)> = sqlx::query_as(
        "select c.relname::text, n.nspname::text, pg_get_indexdef(i.indexrelid)
           from subscriptions s
           join pg_namespace n on n.nspname = s.schema_name
           join pg_class c on c.relnamespace = n.oid
           join pg_index i on i.indexrelid = c.oid
          where s.name = $1 and s.active and i.indisvalid
            and not exists (select 1 from pg_class o join pg_index oi on oi.indexrelid = o.oid
                             where o.relnamespace = to_regnamespace($2) and o.relname = c.relname and oi.indisvalid)
          order by 1 limit 1",
    )
    .bind(subscription)
    .bind(schema)
    .fetch_optional(database.pool())
    .await?;
    let Some((name, live, definition)) = missing else { return Ok(Made::All) };
    // A connection of its own, with which the lock goes however this ends.
    let mut connection = database.connect_apart().await?;
    let alone: bool =
        sqlx::query_scalar("select pg_try_advisory_lock(hashtextextended('indexes of ' || $1, 0))")
            .bind(schema)
            .fetch_one(&mut connection)
            .await?;
    if !alone {
        return Ok(Made::ByAnother);
    }
    // One that was left in the middle of its making stays invalid.
    connection.execute(format!("drop index if exists {schema}.\"{name}\"").as_str()).await?;
    let make = definition.replacen("INDEX ", "INDEX CONCURRENTLY ", 1).replacen(
        &format!(" ON {live}."),
        &format!(" ON {schema}."),
        1,
    );
    connection.execute(make.as_str()).await?;
    connection.close().await?;
    Ok(Made::One)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::TestDatabase;

    async fn indexes(database: &Database, schema: &str) -> Vec<String> {
        sqlx::query_scalar(
            "select replace(pg_get_indexdef(i.indexrelid), $1 || '.', '') from pg_index i
               join pg_class c on c.oid = i.indexrelid
              where c.relnamespace = to_regnamespace($1) and i.indisvalid order by 1",
        )
        .bind(schema)
        .fetch_all(database.pool())
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn fault_23_indexes_that_were_left_out_are_made_as_the_live_tables_have_them_also_after_a_failed_try()
     {
        let database = TestDatabase::new().await;
        let tables = "create table t (id int primary key, n int, t text);
                      create unique index t_n on t (n desc) where t <> 'x'; create index t_t on t (t, n)";
        let mut connection = database.pool().acquire().await.unwrap();
        for schema in ["p_a_v1", "p_a_v1_1"] {
            connection
                .execute(format!("create schema {schema}; set search_path = {schema}, public").as_str())
                .await
                .unwrap();
            connection.execute(tables).await.unwrap();
        }
        connection.execute("set search_path = read, public").await.unwrap();
        sqlx::query(
            "insert into subscriptions (name, version, state, active, schema_name) values ('a', 1, 'running', true, 'p_a_v1')",
        )
        .execute(&mut *connection)
        .await
        .unwrap();
        drop_all(&mut connection, "p_a_v1_1").await.unwrap();
        assert_eq!(indexes(&database, "p_a_v1_1").await.len(), 1, "the key is a constraint");
        connection.execute("insert into p_a_v1_1.t values (1, 7, ''), (2, 7, '')").await.unwrap();

        let refused = make_next(&database, "a", "p_a_v1_1").await.unwrap_err();
        assert!(matches!(refused, StoreError::Database(_)), "{refused}");
        connection.execute("update p_a_v1_1.t set n = 8 where id = 2").await.unwrap();
        for made in [Made::One, Made::One, Made::All] {
            assert_eq!(make_next(&database, "a", "p_a_v1_1").await.unwrap(), made);
        }
        assert_eq!(indexes(&database, "p_a_v1_1").await, indexes(&database, "p_a_v1").await);
    }
}
