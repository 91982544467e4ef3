//! The tables of one version of a projection, and the views through which readers see the active one.

use sqlx::{Executor, PgConnection, PgPool};

use crate::StoreError;
use crate::error::is_passing;

/// Lower-case letters, digits and underscores, beginning with a letter: names become parts of SQL
/// identifiers.
pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    let fits = name.len() <= 40
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if fits { Ok(()) } else { Err(StoreError::Broken(format!("`{name}` cannot name a subscription"))) }
}

/// A name for a schema that nothing else has: that of the version, or, beside that one, a numbered one.
async fn unused_name(
    connection: &mut PgConnection,
    subscription: &str,
    version: i32,
) -> Result<String, sqlx::Error> {
    let first = format!("p_{subscription}_v{version}");
    let numbered: Option<i64> = sqlx::query_scalar(
        "select nextval('public.projection_builds_number') where to_regnamespace($1) is not null",
    )
    .bind(&first)
    .fetch_optional(connection)
    .await?;
    Ok(numbered.map_or_else(|| first.clone(), |number| format!("{first}_{number}")))
}

/// Keeps others from installing, switching or rebuilding the same subscription until the transaction ends.
pub(crate) async fn lock(connection: &mut PgConnection, subscription: &str) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('subscription ' || $1, 0))")
        .bind(subscription)
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes a schema with the tables of `sql` in it, beside whatever there is of this version; returns its name.
pub(crate) async fn create(
    connection: &mut PgConnection,
    subscription: &str,
    version: i32,
    sql: &str,
) -> Result<String, sqlx::Error> {
    let schema = unused_name(&mut *connection, subscription, version).await?;
    connection.execute(format!("create schema {schema}").as_str()).await?;
    enter(connection, Some(&schema), false).await?;
    connection.execute(sql).await?;
    enter(connection, None, false).await?;
    Ok(schema)
}

/// Drops the schemas that no version of `subscription` stands in any more.
///
/// It waits for nobody: what somebody still reads is dropped the next time.
pub(crate) async fn sweep(pool: &PgPool, subscription: &str) -> Result<(), StoreError> {
    let left: Vec<String> = sqlx::query_scalar(
        "select n.nspname::text from pg_namespace n
          where n.nspname ~ ('^p_' || $1 || '_v[0-9]+(_fresh|_[0-9]+)?$')
            and not exists (select 1 from subscriptions s where s.schema_name = n.nspname) order by 1",
    )
    .bind(subscription)
    .fetch_all(pool)
    .await?;
    for schema in left {
        match drop_unused(pool, subscription, &schema).await {
            Ok(()) => {}
            Err(error) if is_passing(&error) => tracing::debug!(schema, "former tables are still read"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Drops a schema unless somebody stands in it by now: between a look and a drop another node can have dropped it, and
/// made it anew for a rebuild.
async fn drop_unused(pool: &PgPool, subscription: &str, schema: &str) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    transaction.execute("set local lock_timeout = '100ms'").await?;
    lock(&mut transaction, subscription).await?;
    let used: bool =
        sqlx::query_scalar("select exists (select 1 from public.subscriptions where schema_name = $1)")
            .bind(schema)
            .fetch_one(&mut *transaction)
            .await?;
    if used {
        return transaction.rollback().await;
    }
    transaction.execute(format!("drop schema if exists {schema} cascade").as_str()).await?;
    transaction.commit().await
}

/// Lets the planner know what was written in bulk.
pub(crate) async fn analyze(connection: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    for table in tables(connection, schema).await? {
        connection.execute(format!("analyze {schema}.\"{table}\"").as_str()).await?;
    }
    Ok(())
}

/// Lets unqualified names mean the tables of `schema` until the transaction ends; without one, what readers
/// see. `quiet` makes the outboxes swallow what is written.
///
/// A quiet transaction does not wait for the disk: rows and checkpoint are lost together or not at all, and
/// nobody sees them before a switch, which does wait.
pub(crate) async fn enter(
    connection: &mut PgConnection,
    schema: Option<&str>,
    quiet: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "select set_config('search_path', $1, true), set_config('almanac.quiet', $2, true),
                set_config('synchronous_commit',
                           case $2 when 'on' then 'off' else current_setting('synchronous_commit') end, true)",
    )
    .bind(format!("{}, public", schema.unwrap_or("read")))
    .bind(if quiet { "on" } else { "off" })
    .execute(connection)
    .await?;
    Ok(())
}

/// The tables of a schema.
pub(crate) async fn tables(connection: &mut PgConnection, schema: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select c.relname::text from pg_class c
          where c.relnamespace = to_regnamespace($1) and c.relkind in ('r', 'p') and not c.relispartition order by 1",
    )
    .bind(schema)
    .fetch_all(connection)
    .await
}

/// Shows readers the tables of `schema` as those of `subscription`.
///
/// A view whose columns stay the same is replaced in place, so that statements prepared on it stay valid.
pub(crate) async fn show(
    connection: &mut PgConnection,
    subscription: &str,
    schema: &str,
) -> Result<(), StoreError> {
    let mark = format!("subscription {subscription}");
    let tables = tables(connection, schema).await?;
    let foreign: Option<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c
          where c.relname = any($1) and (c.relnamespace = 'public'::regnamespace or
                (c.relnamespace = 'read'::regnamespace and obj_description(c.oid, 'pg_class') is distinct from $2))",
    )
    .bind(&tables)
    .bind(&mark)
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(table) = foreign {
        return Err(StoreError::Broken(format!(
            "the table `{table}` of {subscription} has the name of another one: choose a different name"
        )));
    }
    let shown: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c
          where c.relnamespace = 'read'::regnamespace and c.relkind = 'v' and obj_description(c.oid, 'pg_class') = $1",
    )
    .bind(&mark)
    .fetch_all(&mut *connection)
    .await?;
    for view in &shown {
        if !tables.contains(view)
            || columns(connection, "read", view).await? != columns(connection, schema, view).await?
        {
            connection.execute(format!("drop view read.\"{view}\"").as_str()).await?;
        }
    }
    for table in &tables {
        let create = format!(
            "create or replace view read.\"{table}\" as select * from {schema}.\"{table}\";
             comment on view read.\"{table}\" is '{mark}'"
        );
        connection.execute(create.as_str()).await?;
    }
    Ok(())
}

async fn columns(
    connection: &mut PgConnection,
    schema: &str,
    table: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select a.attname || ' ' || format_type(a.atttypid, a.atttypmod) from pg_attribute a
           join pg_class c on c.oid = a.attrelid
          where c.relnamespace = to_regnamespace($1) and c.relname = $2 and a.attnum > 0 and not a.attisdropped
          order by a.attnum",
    )
    .bind(schema)
    .bind(table)
    .fetch_all(connection)
    .await
}

/// Takes a version out of service.
pub(crate) async fn retire(
    connection: &mut PgConnection,
    name: &str,
    version: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update subscriptions set active = false, state = 'retired', generation = generation + 1
          where name = $1 and version = $2",
    )
    .bind(name)
    .bind(version)
    .execute(connection)
    .await?;
    Ok(())
}

/// Names the tables whose rows differ between two schemas, whatever the order of the rows.
///
/// Each is read on a connection of its own, both at once.
pub(crate) async fn differences(
    (here, one): (&mut PgConnection, &str),
    (mut there, other): (Option<&mut PgConnection>, &str),
) -> Result<Vec<String>, sqlx::Error> {
    let mut names = tables(here, one).await?;
    names.extend(tables(here, other).await?);
    names.sort();
    names.dedup();
    let mut different = vec![];
    for name in names {
        let (one, other) = match there.as_deref_mut() {
            Some(there) => tokio::try_join!(fingerprint(here, one, &name), fingerprint(there, other, &name))?,
            None => (fingerprint(here, one, &name).await?, fingerprint(here, other, &name).await?),
        };
        if one != other {
            different.push(name);
        }
    }
    Ok(different)
}

/// The number of rows and the sum of their digests: flat in memory, and indifferent to order.
async fn fingerprint(
    connection: &mut PgConnection,
    schema: &str,
    table: &str,
) -> Result<Option<(i64, String)>, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("select to_regclass($1) is not null")
        .bind(format!("{schema}.\"{table}\""))
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(None);
    }
    let sum = format!(
        "select count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text from {schema}.\"{table}\" t"
    );
    sqlx::query_as(&sum).fetch_optional(connection).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::TestDatabase;

    /// What [`sweep`] has read may be old when it drops.
    #[tokio::test]
    async fn a_schema_that_another_node_has_just_made_anew_is_not_dropped() {
        let database = TestDatabase::new().await;
        let mut connection = database.pool().acquire().await.unwrap();
        connection.execute("create schema p_totals_v1; create table p_totals_v1.totals ()").await.unwrap();
        connection
            .execute(
                "insert into subscriptions (name, version, state, schema_name)
                 values ('totals:rebuild', 1, 'warming', 'p_totals_v1')",
            )
            .await
            .unwrap();
        drop_unused(database.pool(), "totals", "p_totals_v1").await.unwrap();
        assert_eq!(tables(&mut connection, "p_totals_v1").await.unwrap(), ["totals"]);

        // Whoever makes it anew at this moment has the lock, and cannot be seen yet.
        connection.execute("delete from subscriptions").await.unwrap();
        let mut maker = database.pool().begin().await.unwrap();
        lock(&mut maker, "totals").await.unwrap();
        let waited = drop_unused(database.pool(), "totals", "p_totals_v1").await.unwrap_err();
        assert!(is_passing(&waited), "{waited}");
        sweep(database.pool(), "totals").await.unwrap();
        assert_eq!(tables(&mut connection, "p_totals_v1").await.unwrap(), ["totals"]);
        maker.rollback().await.unwrap();
        sweep(database.pool(), "totals").await.unwrap();
        assert_eq!(tables(&mut connection, "p_totals_v1").await.unwrap(), [""; 0]);
    }

    #[test]
    fn a_name_that_could_break_out_of_an_identifier_is_refused() {
        for name in ["", "Models", "a-b", "a b", "a;drop", "1a", "_a", "a\"b", &"a".repeat(41)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name("track_record2").is_ok());
    }
}
