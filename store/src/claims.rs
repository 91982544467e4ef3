//! Claims: what no single stream can guard, such as that an e-mail address belongs to one account.

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
