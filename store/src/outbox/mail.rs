//! The outbox of mails.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::StoreError;
use crate::leases::interval;

/// A mail somebody decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMail {
    /// Deterministic, e.g. `subscription:ordinal:account`: the same decision taken twice is one mail.
    pub key: String,
    /// The recipient. The address is looked up when the mail is sent.
    pub account: Uuid,
    /// Which template.
    pub kind: String,
    /// What the template says.
    pub payload: Value,
    /// The event that made it due.
    pub ordinal: i64,
    /// The `Message-ID`, the same in every attempt, so that a repetition can be recognised.
    pub message_id: String,
    /// When it is due, in the service's time.
    pub due_at: DateTime<Utc>,
}

/// A mail that is to be sent now.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct DueMail {
    /// Names the mail.
    pub key: String,
    /// The recipient.
    pub account: Uuid,
    /// Which template.
    pub kind: String,
    /// What the template says.
    pub payload: Value,
    /// The event that made it due.
    pub ordinal: i64,
    /// The `Message-ID`.
    pub message_id: String,
    /// This attempt's number, from 1; it fences a sender whose lease ran out.
    pub attempts: i32,
}

/// A mail as an administrator or a test sees it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct MailState {
    /// Names the mail.
    pub key: String,
    /// The recipient.
    pub account: Uuid,
    /// Which template.
    pub kind: String,
    /// `due`, `sent` or `failed`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i32,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was sent.
    pub sent_at: Option<DateTime<Utc>>,
}

/// Puts a mail into the outbox, in the transaction of a step. Nothing happens when its key is known, or when
/// the step belongs to a projection that is warming up.
///
/// # Errors
/// When the database fails.
pub async fn put(connection: &mut PgConnection, mail: &NewMail) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into mail_outbox (key, account, kind, payload, ordinal, message_id, next_attempt_at)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict (key) do nothing",
    )
    .bind(&mail.key)
    .bind(mail.account)
    .bind(&mail.kind)
    .bind(&mail.payload)
    .bind(mail.ordinal)
    .bind(&mail.message_id)
    .bind(mail.due_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Leases up to `limit` mails that are due at `now`, oldest first. Others do not get them until `lease` has
/// passed.
///
/// # Errors
/// When the database fails.
pub async fn claim_due(
    pool: &PgPool,
    now: DateTime<Utc>,
    limit: i64,
    lease: Duration,
) -> Result<Vec<DueMail>, StoreError> {
    Ok(sqlx::query_as(
        "update mail_outbox set attempts = attempts + 1, leased_until = clock_timestamp() + $3
          where key in (select key from mail_outbox
                         where state = 'due' and next_attempt_at <= $1
                           and (leased_until is null or leased_until < clock_timestamp() or leased_until > clock_timestamp() + $3)
                         order by next_attempt_at, ordinal, key limit $2 for update skip locked)
         returning key, account, kind, payload, ordinal, message_id, attempts",
    )
    .bind(now)
    .bind(limit)
    .bind(interval(lease))
    .fetch_all(pool)
    .await?)
}

/// Notes that a mail was sent; false when the lease had run out and somebody else has it by now.
///
/// # Errors
/// When the database fails.
pub async fn sent(pool: &PgPool, mail: &DueMail, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "update mail_outbox set state = 'sent', sent_at = $3, leased_until = null, last_error = null
          where key = $1 and attempts = $2 and state = 'due'",
    )
    .bind(&mail.key)
    .bind(mail.attempts)
    .bind(now)
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes that a mail could not be sent, and when to try again; without a time it is given up.
///
/// # Errors
/// When the database fails.
pub async fn failed(
    pool: &PgPool,
    mail: &DueMail,
    error: &str,
    retry_at: Option<DateTime<Utc>>,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "update mail_outbox set state = case when $4::timestamptz is null then 'failed' else 'due' end,
                next_attempt_at = coalesce($4, next_attempt_at), last_error = $3, leased_until = null
          where key = $1 and attempts = $2 and state = 'due'",
    )
    .bind(&mail.key)
    .bind(mail.attempts)
    .bind(error)
    .bind(retry_at)
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The latest mails, newest decision first.
///
/// # Errors
/// When the database fails.
pub async fn latest(pool: &PgPool, limit: i64) -> Result<Vec<MailState>, StoreError> {
    Ok(sqlx::query_as(
        "select key, account, kind, state, attempts, last_error, sent_at from mail_outbox
          order by ordinal desc, key limit $1",
    )
    .bind(limit)
    .fetch_all(pool)
    .await?)
}

/// When the next mail becomes due, in the service's time.
///
/// # Errors
/// When the database fails.
pub async fn next_due(pool: &PgPool) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(sqlx::query_scalar("select min(next_attempt_at) from mail_outbox where state = 'due'")
        .fetch_one(pool)
        .await?)
}
