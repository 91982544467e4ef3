//! Sign-in sessions, kept on the server: signing out ends them, and the table holds no usable token.

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::clock::Entropy;
use crate::{Database, StoreError};

/// `last_seen_at` is written at most this often, so that reading a page does not write a row.
const SEEN_EVERY: TimeDelta = TimeDelta::minutes(1);

/// A live session.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SignIn {
    /// The account that is signed in.
    pub account: Uuid,
    /// When it signed in.
    pub created_at: DateTime<Utc>,
    /// When the session ends by itself.
    pub expires_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    pub last_seen_at: DateTime<Utc>,
}

/// Starts, finds and ends sessions. All times are the service's.
#[derive(Debug, Clone)]
pub struct SignIns {
    pool: PgPool,
    entropy: Entropy,
}

impl SignIns {
    /// Sessions in `database`, with tokens made from `entropy`.
    pub fn new(database: &Database, entropy: Entropy) -> Self {
        Self { pool: database.pool().clone(), entropy }
    }

    /// Signs `account` in and returns the token for its cookie: 256 random bits in hexadecimal.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(
        &self,
        account: Uuid,
        now: DateTime<Utc>,
        lifetime: TimeDelta,
    ) -> Result<String, StoreError> {
        let token = hex::encode(self.entropy.bytes::<32>());
        sqlx::query(
            "insert into sign_ins (token_hash, account, created_at, expires_at, last_seen_at)
             values ($1, $2, $3, $4, $3)",
        )
        .bind(digest(&token))
        .bind(account)
        .bind(now)
        .bind(now + lifetime)
        .execute(&self.pool)
        .await?;
        Ok(token)
    }

    /// The session of `token`, unless it has ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, token: &str, now: DateTime<Utc>) -> Result<Option<SignIn>, StoreError> {
        let found: Option<SignIn> = sqlx::query_as(
            "select account, created_at, expires_at, last_seen_at from sign_ins
              where token_hash = $1 and expires_at > $2",
        )
        .bind(digest(token))
        .bind(now)
        .fetch_optional(&self.pool)
        .await?;
        if found.as_ref().is_some_and(|sign_in| now - sign_in.last_seen_at >= SEEN_EVERY) {
            sqlx::query("update sign_ins set last_seen_at = $2 where token_hash = $1 and last_seen_at < $2")
                .bind(digest(token))
                .bind(now)
                .execute(&self.pool)
                .await?;
        }
        Ok(found)
    }

    /// Ends one session; ending it twice is harmless.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end(&self, token: &str) -> Result<(), StoreError> {
        sqlx::query("delete from sign_ins where token_hash = $1")
            .bind(digest(token))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Signs `account` out everywhere.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_all_of(&self, account: Uuid) -> Result<(), StoreError> {
        Ok(end_all_of(&mut *self.pool.acquire().await?, account).await?)
    }

    /// Deletes sessions that have expired and returns how many there were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let swept =
            sqlx::query("delete from sign_ins where expires_at <= $1").bind(now).execute(&self.pool).await?;
        Ok(swept.rows_affected())
    }
}

pub(crate) async fn end_all_of(connection: &mut PgConnection, account: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("delete from sign_ins where account = $1").bind(account).execute(connection).await?;
    Ok(())
}

fn digest(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}
