//! The vault: everything personal, typed by a person, or secret. Events name a row's id and never its value.

use almanac_domain::account::{Account, AccountErased, AccountEvent};
use cqrs_es::{Aggregate, DomainEvent};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::log::{AppendError, Extras};
use crate::{Database, StoreError};

/// So many owners are forgotten in one transaction.
const AT_ONCE: usize = 20;

/// One value in the vault.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct VaultRow {
    /// The opaque id that events name.
    pub id: Uuid,
    /// The account it belongs to.
    pub owner: Uuid,
    /// What it is, e.g. `email`.
    pub kind: String,
    /// The value itself.
    pub value: String,
}

/// The value with this id, unless it was erased.
///
/// # Errors
/// When the database fails.
pub async fn get(pool: &PgPool, id: Uuid) -> Result<Option<VaultRow>, StoreError> {
    Ok(sqlx::query_as("select id, owner, kind, value from vault where id = $1")
        .bind(id)
        .fetch_optional(pool)
        .await?)
}

/// The values with these ids; erased ones are left out.
///
/// # Errors
/// When the database fails.
pub async fn get_many(pool: &PgPool, ids: &[Uuid]) -> Result<Vec<VaultRow>, StoreError> {
    Ok(sqlx::query_as("select id, owner, kind, value from vault where id = any($1)")
        .bind(ids)
        .fetch_all(pool)
        .await?)
}

/// All values of one kind that belong to `owner`, in the order they were put.
///
/// # Errors
/// When the database fails.
pub async fn of_owner(pool: &PgPool, owner: Uuid, kind: &str) -> Result<Vec<VaultRow>, StoreError> {
    Ok(sqlx::query_as(
        "select id, owner, kind, value from vault where owner = $1 and kind = $2 order by put_at, id",
    )
    .bind(owner)
    .bind(kind)
    .fetch_all(pool)
    .await?)
}

/// Puts a row, replacing the one with the same id if it belongs to the same owner. Of an owner who is erased it keeps
/// nothing, also when both happen at once: whoever puts waits for the erasure, and the erasure for whoever puts.
pub(crate) async fn put(connection: &mut PgConnection, row: &VaultRow) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_advisory_xact_lock_shared(hashtextextended('vault of ' || $1::text, 0))")
        .bind(row.owner)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "insert into vault (id, owner, kind, value)
         select $1, $2, $3, $4
          where not exists (select 1 from events where aggregate_type = $5 and aggregate_id = $2::text
                               and event_type = $6)
         on conflict (id) do update set value = excluded.value, kind = excluded.kind, put_at = clock_timestamp()
          where vault.owner = excluded.owner",
    )
    .bind(row.id)
    .bind(row.owner)
    .bind(&row.kind)
    .bind(&row.value)
    .bind(Account::TYPE)
    .bind(AccountEvent::from(AccountErased {}).event_type())
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn forget(connection: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("delete from vault where id = $1").bind(id).execute(connection).await?;
    Ok(())
}

pub(crate) async fn forget_all_of(connection: &mut PgConnection, owner: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('vault of ' || $1::text, 0))")
        .bind(owner)
        .execute(&mut *connection)
        .await?;
    sqlx::query("delete from vault where owner = $1").bind(owner).execute(connection).await?;
    Ok(())
}

/// The owners of rows in the vault, claims or sign-ins whose stream holds an event of the kind of `farewell`, such as
/// accounts that were erased: there is nothing of them unless a dump that is older than the log has brought it back.
///
/// # Errors
/// When the database fails.
pub async fn left_of<A: Aggregate>(
    database: &Database,
    farewell: &A::Event,
) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar(
        "select owner
           from (select owner from vault union select owner from claims union select account from sign_ins) o
          where exists (select 1 from events e where e.aggregate_type = $1 and e.aggregate_id = o.owner::text
                           and e.event_type = $2)
          order by owner",
    )
    .bind(A::TYPE)
    .bind(farewell.event_type())
    .fetch_all(database.pool())
    .await?)
}

/// Deletes what goes when an account is erased ([`Extras::erasing`]), for accounts whose event was written before.
///
/// # Errors
/// When the database fails.
pub async fn forget_again(database: &Database, owners: &[Uuid]) -> Result<(), StoreError> {
    // In short transactions: a long one would hold up sealing.
    for owners in owners.chunks(AT_ONCE) {
        let mut transaction = database.pool().begin().await?;
        for owner in owners {
            Extras::erasing(*owner).apply(&mut transaction).await.map_err(|error| match error {
                AppendError::Database(error) => error.into(),
                other => StoreError::Broken(other.to_string()),
            })?;
        }
        transaction.commit().await?;
    }
    Ok(())
}
