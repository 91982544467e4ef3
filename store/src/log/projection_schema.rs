//! The tables of one version of a projection, and the views through which readers see the active one.

use sqlx::{Executor, PgConnection};

use crate::StoreError;

/// Lower-case letters, digits and underscores, beginning with a letter: names become parts of SQL
/// identifiers.
pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    let fits = name.len() <= 40
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if fits { Ok(()) } else { Err(StoreError::Broken(format!("`{name}` cannot name a subscription"))) }
}

/// The schema of one version.
pub(crate) fn name_of(subscription: &str, version: i32) -> String {
    format!("p_{subscription}_v{version}")
}

/// Keeps others from installing, switching or rebuilding the same subscription until the transaction ends.
pub(crate) async fn lock(connection: &mut PgConnection, subscription: &str) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('subscription ' || $1, 0))")
        .bind(subscription)
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes the schema anew and its tables in it.
pub(crate) async fn create(
    connection: &mut PgConnection,
    schema: &str,
    sql: &str,
) -> Result<(), sqlx::Error> {
    connection
        .execute(format!("drop schema if exists {schema} cascade; create schema {schema}").as_str())
        .await?;
    enter(connection, Some(schema), false).await?;
    connection.execute(sql).await?;
    leave(connection).await
}

/// Lets unqualified names mean the tables of `schema` until the transaction ends; without one, what readers
/// see. `quiet` makes the outboxes swallow what is written.
pub(crate) async fn enter(
    connection: &mut PgConnection,
    schema: Option<&str>,
    quiet: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query("select set_config('search_path', $1, true), set_config('almanac.quiet', $2, true)")
        .bind(format!("{}, public", schema.unwrap_or("read")))
        .bind(if quiet { "on" } else { "off" })
        .execute(connection)
        .await?;
    Ok(())
}

async fn leave(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    enter(connection, None, false).await
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
pub(crate) async fn differences(
    connection: &mut PgConnection,
    one: &str,
    other: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let mut names = tables(connection, one).await?;
    names.extend(tables(connection, other).await?);
    names.sort();
    names.dedup();
    let mut different = vec![];
    for name in names {
        if fingerprint(connection, one, &name).await? != fingerprint(connection, other, &name).await? {
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
    use super::*;

    #[test]
    fn a_name_that_could_break_out_of_an_identifier_is_refused() {
        for name in ["", "Models", "a-b", "a b", "a;drop", "1a", "_a", "a\"b", &"a".repeat(41)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name("track_record2").is_ok());
    }
}
