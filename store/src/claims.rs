//! Claims: what no single stream can guard, such as that an e-mail address belongs to one account.

use std::collections::HashSet;

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::StoreError;

/// Who owns (kind, value).
///
/// # Errors
/// When the database fails.
pub async fn owner_of(pool: &PgPool, kind: &str, value: &str) -> Result<Option<Uuid>, StoreError> {
    Ok(sqlx::query_scalar("select owner from claims where kind = $1 and value = $2")
        .bind(kind)
        .bind(value)
        .fetch_optional(pool)
        .await?)
}

/// Takes a claim; false when it belongs to somebody else. Taking one's own again is harmless.
pub(crate) async fn take(
    connection: &mut PgConnection,
    kind: &str,
    value: &str,
    owner: Uuid,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "insert into claims (kind, value, owner) values ($1, $2, $3)
         on conflict (kind, value) do update set owner = excluded.owner where claims.owner = excluded.owner",
    )
    .bind(kind)
    .bind(value)
    .bind(owner)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes claims that are all different; the (kind, value) of those that belong to somebody else.
pub(crate) async fn take_all(
    connection: &mut PgConnection,
    claims: &[(&str, &str, Uuid)],
) -> Result<HashSet<(String, String)>, sqlx::Error> {
    let others = sqlx::query_as(
        "with given as materialized (
             select * from unnest($1::text[], $2::text[], $3::uuid[]) as t (kind, value, owner)
         ), taken as (
             insert into claims (kind, value, owner) select kind, value, owner from given
             on conflict (kind, value) do update set owner = excluded.owner where claims.owner = excluded.owner
             returning kind, value
         )
         select kind, value from given except select kind, value from taken",
    )
    .bind(claims.iter().map(|claim| claim.0).collect::<Vec<_>>())
    .bind(claims.iter().map(|claim| claim.1).collect::<Vec<_>>())
    .bind(claims.iter().map(|claim| claim.2).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(others.into_iter().collect())
}

pub(crate) async fn release(
    connection: &mut PgConnection,
    kind: &str,
    value: &str,
    owner: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query("delete from claims where kind = $1 and value = $2 and owner = $3")
        .bind(kind)
        .bind(value)
        .bind(owner)
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn release_all_of(connection: &mut PgConnection, owner: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("delete from claims where owner = $1").bind(owner).execute(connection).await?;
    Ok(())
}

pub(crate) async fn release_all_of_any(
    connection: &mut PgConnection,
    owners: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query("delete from claims where owner = any($1)").bind(owners).execute(connection).await?;
    Ok(())
}
