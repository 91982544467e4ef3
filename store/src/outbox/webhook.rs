//! The outbox of webhook messages, and the attempts made to deliver them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::StoreError;
use crate::leases::interval;

/// A message somebody decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// What the receiver sees as `webhook-id`, the same in every attempt.
    pub id: Uuid,
    /// Deterministic, e.g. `subscription:ordinal:endpoint`: the same decision taken twice is one message.
    pub key: String,
    /// Where it goes.
    pub endpoint: Uuid,
    /// Whose endpoint it is.
    pub account: Uuid,
    /// The event it tells of.
    pub ordinal: i64,
    /// The public name of the kind of event.
    pub event_type: String,
    /// The body.
    pub payload: Value,
    /// When it is due, in the service's time.
    pub due_at: DateTime<Utc>,
}

/// A message with its state.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Delivery {
    /// What the receiver sees as `webhook-id`.
    pub id: Uuid,
    /// Where it goes.
    pub endpoint: Uuid,
    /// Whose endpoint it is.
    pub account: Uuid,
    /// The event it tells of.
    pub ordinal: i64,
    /// The public name of the kind of event.
    pub event_type: String,
    /// The body.
    pub payload: Value,
    /// `due`, `delivered` or `failed`.
    pub state: String,
    /// How often it was tried; for a claimed message, this attempt's number.
    pub attempts: i32,
    /// When it was decided on.
    pub created_at: DateTime<Utc>,
    /// When it is tried next.
    pub next_attempt_at: DateTime<Utc>,
    /// When the receiver took it.
    pub delivered_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// One attempt to deliver a message.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Attempt {
    /// Its number, from 1.
    pub n: i32,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// The HTTP status, if there was an answer.
    pub status: Option<i32>,
    /// What went wrong, if there was none or it was bad; none means delivered.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: i32,
    /// The beginning of the answer.
    pub response_excerpt: Option<String>,
}

const COLUMNS: &str = "id, endpoint, account, ordinal, event_type, payload, state, attempts, created_at, \
                       next_attempt_at, delivered_at, last_error";

/// Puts messages into the outbox, in the transaction of a step. Nothing happens to those whose key is known, or when the
/// step belongs to a projection that is warming up.
///
/// # Errors
/// When the database fails.
pub async fn put(connection: &mut PgConnection, deliveries: &[NewDelivery]) -> Result<(), sqlx::Error> {
    fn column<'a, T>(deliveries: &'a [NewDelivery], of: impl Fn(&'a NewDelivery) -> T) -> Vec<T> {
        deliveries.iter().map(of).collect()
    }
    sqlx::query(
        "insert into webhook_deliveries
                (id, key, endpoint, account, ordinal, event_type, payload, created_at, next_attempt_at)
         select id, key, endpoint, account, ordinal, event_type, payload, due_at, due_at
           from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::bigint[], $6::text[], $7::jsonb[],
                       $8::timestamptz[])
             as d (id, key, endpoint, account, ordinal, event_type, payload, due_at)
         on conflict do nothing",
    )
    .bind(column(deliveries, |delivery| delivery.id))
    .bind(column(deliveries, |delivery| delivery.key.as_str()))
    .bind(column(deliveries, |delivery| delivery.endpoint))
    .bind(column(deliveries, |delivery| delivery.account))
    .bind(column(deliveries, |delivery| delivery.ordinal))
    .bind(column(deliveries, |delivery| delivery.event_type.as_str()))
    .bind(column(deliveries, |delivery| &delivery.payload))
    .bind(column(deliveries, |delivery| delivery.due_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// Leases up to `limit` messages that are due at `now`, oldest first. Others do not get them until `lease`
/// has passed.
///
/// # Errors
/// When the database fails.
pub async fn claim_due(
    pool: &PgPool,
    now: DateTime<Utc>,
    limit: i64,
    lease: Duration,
) -> Result<Vec<Delivery>, StoreError> {
    let claim = format!(
        "update webhook_deliveries set attempts = attempts + 1, leased_until = clock_timestamp() + $3
          where id in (select id from webhook_deliveries
                        where state = 'due' and next_attempt_at <= $1
                          and (leased_until is null or leased_until < clock_timestamp() or leased_until > clock_timestamp() + $3)
                        order by next_attempt_at, ordinal, id limit $2 for update skip locked)
         returning {COLUMNS}"
    );
    Ok(sqlx::query_as(&claim).bind(now).bind(limit).bind(interval(lease)).fetch_all(pool).await?)
}

/// Keeps messages for another `lease`, each by its id and the number of its claim, unless somebody else has it by now.
///
/// # Errors
/// When the database fails.
pub async fn keep(pool: &PgPool, claimed: &[(Uuid, i32)], lease: Duration) -> Result<(), StoreError> {
    sqlx::query(
        "update webhook_deliveries d set leased_until = clock_timestamp() + $3
           from unnest($1::uuid[], $2::int[]) as c (id, attempts)
          where d.id = c.id and d.attempts = c.attempts and d.state = 'due' and d.leased_until is not null",
    )
    .bind(claimed.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(claimed.iter().map(|(_, attempts)| *attempts).collect::<Vec<_>>())
    .bind(interval(lease))
    .execute(pool)
    .await?;
    Ok(())
}

/// Notes an attempt: delivered when it has no error, otherwise tried again at `retry_at`, or given up without
/// one.
///
/// Returns false when the lease had run out and somebody else has the message by now.
///
/// # Errors
/// When the database fails.
pub async fn attempted(
    pool: &PgPool,
    delivery: &Delivery,
    attempt: &Attempt,
    retry_at: Option<DateTime<Utc>>,
) -> Result<bool, StoreError> {
    let state = match (&attempt.error, retry_at) {
        (None, _) => "delivered",
        (Some(_), Some(_)) => "due",
        (Some(_), None) => "failed",
    };
    let done = sqlx::query(
        "with attempt as (
             insert into webhook_attempts (delivery, n, at, status, error, duration_ms, response_excerpt)
             values ($1, $2, $5, $6, $7, $8, $9) on conflict do nothing
         )
         update webhook_deliveries set state = $3, next_attempt_at = coalesce($4, next_attempt_at), last_error = $7,
                delivered_at = case when $3 = 'delivered' then $5 end, leased_until = null
          where id = $1 and attempts = $2 and state = 'due'",
    )
    .bind(delivery.id)
    .bind(delivery.attempts)
    .bind(state)
    .bind(retry_at)
    .bind(attempt.at)
    .bind(attempt.status)
    .bind(&attempt.error)
    .bind(attempt.duration_ms)
    .bind(&attempt.response_excerpt)
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The latest messages to one endpoint, newest first.
///
/// # Errors
/// When the database fails.
pub async fn deliveries_of(pool: &PgPool, endpoint: Uuid, limit: i64) -> Result<Vec<Delivery>, StoreError> {
    let select = format!(
        "select {COLUMNS} from webhook_deliveries where endpoint = $1 order by ordinal desc, id limit $2"
    );
    Ok(sqlx::query_as(&select).bind(endpoint).bind(limit).fetch_all(pool).await?)
}

/// One message.
///
/// # Errors
/// When the database fails.
pub async fn get(pool: &PgPool, id: Uuid) -> Result<Option<Delivery>, StoreError> {
    let select = format!("select {COLUMNS} from webhook_deliveries where id = $1");
    Ok(sqlx::query_as(&select).bind(id).fetch_optional(pool).await?)
}

/// The attempts made for one message, first one first.
///
/// # Errors
/// When the database fails.
pub async fn attempts_of(pool: &PgPool, delivery: Uuid) -> Result<Vec<Attempt>, StoreError> {
    Ok(sqlx::query_as(
        "select n, at, status, error, duration_ms, response_excerpt from webhook_attempts where delivery = $1 order by n",
    )
    .bind(delivery)
    .fetch_all(pool)
    .await?)
}

/// Makes a message due again at `now`, with the same id; false when there is none.
///
/// # Errors
/// When the database fails.
pub async fn resend(pool: &PgPool, id: Uuid, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "update webhook_deliveries set state = 'due', next_attempt_at = $2, leased_until = null, delivered_at = null
          where id = $1",
    )
    .bind(id)
    .bind(now)
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}
