//! Leases: who may do a long piece of work, fenced by a generation.
//!
//! A lease runs out for whoever has seen it unchanged for as long as it lasts, by the clock of its own process; see
//! [`crate::sightings`]. The column `until` says by the clock of the database when that will be, for people who look:
//! no program goes by it.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

use crate::{Database, StoreError};

/// The right to do one named piece of work until it runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The name of the work.
    pub name: String,
    /// Who holds it.
    pub holder: Uuid,
    /// Grows with each new holder; a write that compares it fences a holder that slept through the end.
    pub generation: i64,
}

/// Takes the lease `name` for `ttl`, unless somebody else holds it: somebody who has renewed it within `ttl`, as far as
/// this process can tell. It has to ask twice before it takes anything from one who is gone.
///
/// # Errors
/// When the database fails.
pub async fn take(
    database: &Database,
    name: &str,
    holder: Uuid,
    ttl: Duration,
) -> Result<Option<Lease>, StoreError> {
    // Every renewal makes another version of the row.
    let mark: Option<String> =
        sqlx::query_scalar("select xmin::text from leases where name = $1 and until <> '-infinity'")
            .bind(name)
            .fetch_optional(database.pool())
            .await?;
    let unchanged = database.sightings().unchanged(&format!("lease {name}"), mark.clone());
    let run_out = mark.filter(|_| unchanged >= ttl);
    let generation: Option<i64> = sqlx::query_scalar(
        "insert into leases as l (name, holder, generation, until) values ($1, $2, 1, clock_timestamp() + $3)
         on conflict (name) do update set holder = excluded.holder, generation = l.generation + 1, until = excluded.until
          where l.until = '-infinity' or l.xmin::text = $4
         returning generation",
    )
    .bind(name)
    .bind(holder)
    .bind(interval(ttl))
    .bind(run_out)
    .fetch_optional(database.pool())
    .await?;
    Ok(generation.map(|generation| Lease { name: name.to_owned(), holder, generation }))
}

/// Prolongs a lease, which shows that its holder lives; false when it ran out and somebody else took it.
///
/// # Errors
/// When the database fails.
pub async fn renew(pool: &PgPool, lease: &Lease, ttl: Duration) -> Result<bool, StoreError> {
    let renewed = sqlx::query(
        "update leases set until = clock_timestamp() + $4 where name = $1 and holder = $2 and generation = $3",
    )
    .bind(&lease.name)
    .bind(lease.holder)
    .bind(lease.generation)
    .bind(interval(ttl))
    .execute(pool)
    .await?;
    Ok(renewed.rows_affected() == 1)
}

/// Gives a lease back before it runs out; harmless when somebody else has it by now.
///
/// # Errors
/// When the database fails.
pub async fn release(pool: &PgPool, lease: &Lease) -> Result<(), StoreError> {
    sqlx::query("update leases set until = '-infinity' where name = $1 and holder = $2 and generation = $3")
        .bind(&lease.name)
        .bind(lease.holder)
        .bind(lease.generation)
        .execute(pool)
        .await?;
    Ok(())
}

/// A duration as PostgreSQL counts it.
pub(crate) fn interval(duration: Duration) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX) }
}
