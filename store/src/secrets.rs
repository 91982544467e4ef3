//! Secrets of the service itself, which every node shares.

use sqlx::PgPool;

use crate::StoreError;

/// The secret named `name`; `new` where there is none yet, from now on for every node.
///
/// # Errors
/// When the database fails.
pub async fn shared(pool: &PgPool, name: &str, new: &[u8]) -> Result<Vec<u8>, StoreError> {
    // Two nodes may start at once: the second insert waits for the first and then does nothing.
    sqlx::query("insert into service_secrets (name, value) values ($1, $2) on conflict do nothing")
        .bind(name)
        .bind(new)
        .execute(pool)
        .await?;
    Ok(sqlx::query_scalar("select value from service_secrets where name = $1")
        .bind(name)
        .fetch_one(pool)
        .await?)
}
