//! What was sent to an endpoint, as its owner sees it. Everything is asked for together with the owner: a delivery of
//! somebody else is as absent as one that never was.

use almanac_store::StoreError;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

/// A message to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Delivery {
    /// Its id, which the receiver sees as `webhook-id`.
    pub id: Uuid,
    /// The type of event it tells of.
    pub event_type: String,
    /// `pending`, `delivered` or `failed`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When it was decided on.
    pub created_at: DateTime<Utc>,
    /// When it is tried next.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The HTTP status of the last attempt, if there was an answer.
    pub last_status: Option<i32>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// One attempt to deliver a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Attempt {
    /// Its number, from 1.
    pub n: i32,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// The HTTP status, if there was an answer.
    pub status: Option<i32>,
    /// What went wrong; null means delivered.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: i32,
    /// The beginning of the answer.
    pub response_excerpt: Option<String>,
}

/// The latest messages to one endpoint of `account`, newest first.
pub async fn deliveries(
    pool: &PgPool,
    account: Uuid,
    endpoint: Uuid,
    limit: i64,
) -> Result<Vec<Delivery>, StoreError> {
    let found = sqlx::query_as(
        "select d.id, d.event_type, case d.state when 'due' then 'pending' else d.state end as state, d.attempts,
                d.created_at, case when d.state = 'due' then d.next_attempt_at end as next_attempt_at,
                (select a.status from webhook_attempts a where a.delivery = d.id order by a.n desc limit 1)
                    as last_status,
                d.last_error
           from (select * from webhook_deliveries where endpoint = $2 order by -ordinal, id limit $3) d
          where d.account = $1
          order by -d.ordinal, d.id",
    );
    Ok(found.bind(account).bind(endpoint).bind(limit).fetch_all(pool).await?)
}

/// The endpoint that a message of `account` goes to.
pub async fn delivery_endpoint(
    pool: &PgPool,
    account: Uuid,
    delivery: Uuid,
) -> Result<Option<Uuid>, StoreError> {
    let found = sqlx::query_scalar("select endpoint from webhook_deliveries where account = $1 and id = $2");
    Ok(found.bind(account).bind(delivery).fetch_optional(pool).await?)
}

/// The attempts made for a message of `account`, first one first; none when it has no such message.
pub async fn attempts(
    pool: &PgPool,
    account: Uuid,
    delivery: Uuid,
) -> Result<Option<Vec<Attempt>>, StoreError> {
    if delivery_endpoint(pool, account, delivery).await?.is_none() {
        return Ok(None);
    }
    let made = almanac_store::outbox::webhook::attempts_of(pool, delivery).await?;
    let shown = |attempt: almanac_store::outbox::webhook::Attempt| Attempt {
        n: attempt.n,
        at: attempt.at,
        status: attempt.status,
        error: attempt.error,
        duration_ms: attempt.duration_ms,
        response_excerpt: attempt.response_excerpt,
    };
    Ok(Some(made.into_iter().map(shown).collect()))
}
