//! Many rows at once, by `COPY .. TO STDOUT` in its binary format: half of what rows cost that come one by one.

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use sqlx::pool::PoolConnection;
use sqlx::{Executor, PgPool, Postgres};
use uuid::Uuid;

use super::document::Document;

/// What every binary copy begins with, before two numbers: flags, and the length of an extension.
pub(super) const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// PostgreSQL counts from the beginning of 2000, in microseconds.
const EPOCH: i64 = 946_684_800_000_000;

/// Reads the rows of `select`, which has no parameters, in one piece.
///
/// Rows are looked up one after the other: on a guess the planner would read all of a table for each part of it.
pub(crate) async fn rows(pool: &PgPool, select: &str) -> Result<Copied, sqlx::Error> {
    let mut connection = Unfinished(Some(pool.acquire().await?));
    let copied = connection.read(select).await?;
    // It goes back to the pool; one that was left in the middle of a copy would not know it.
    drop(connection.0.take());
    Ok(copied)
}

/// A connection that is not given back when its work fails or is given up.
struct Unfinished(Option<PoolConnection<Postgres>>);

impl Unfinished {
    async fn read(&mut self, select: &str) -> Result<Copied, sqlx::Error> {
        let connection = self.0.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        connection
            .execute("begin read only; set local enable_hashjoin = off; set local enable_mergejoin = off")
            .await?;
        let mut bytes = vec![];
        let mut parts =
            connection.copy_out_raw(&format!("copy ({select}) to stdout (format binary)")).await?;
        while let Some(part) = parts.try_next().await? {
            bytes.extend_from_slice(&part);
        }
        drop(parts);
        connection.execute("commit").await?;
        Ok(Copied(bytes))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        drop(self.0.take().map(PoolConnection::detach));
    }
}

/// Rows as they came.
pub(crate) struct Copied(Vec<u8>);

impl Copied {
    /// From the first row on.
    pub fn fields(&self) -> Result<Fields<'_>, sqlx::Error> {
        let mut fields = Fields { rest: &self.0 };
        if fields.take(SIGNATURE.len())? != SIGNATURE {
            return Err(misread("this is no copy in the binary format"));
        }
        fields.take(4)?;
        let extension = fields.number()?;
        fields.take(usize::try_from(extension).map_err(|_| misread("an extension has a length"))?)?;
        Ok(fields)
    }
}

/// The fields that follow, in the order of the columns. What is asked for must be what the column is.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Goes on to the next row; false when there is none.
    pub fn next_row(&mut self) -> Result<bool, sqlx::Error> {
        let (count, rest) = self.rest.split_first_chunk().ok_or_else(cut)?;
        self.rest = rest;
        Ok(i16::from_be_bytes(*count) >= 0)
    }

    /// Passes over so many fields.
    pub fn pass(&mut self, count: usize) -> Result<(), sqlx::Error> {
        for _ in 0..count {
            self.bytes_or_null()?;
        }
        Ok(())
    }

    pub fn bytes_or_null(&mut self) -> Result<Option<&'a [u8]>, sqlx::Error> {
        match usize::try_from(self.number()?) {
            Ok(length) => self.take(length).map(Some),
            Err(_) => Ok(None),
        }
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], sqlx::Error> {
        self.bytes_or_null()?.ok_or_else(|| misread("a field is null"))
    }

    pub fn text(&mut self) -> Result<String, sqlx::Error> {
        Ok(std::str::from_utf8(self.bytes()?).map_err(misread)?.to_owned())
    }

    pub fn truth(&mut self) -> Result<bool, sqlx::Error> {
        Ok(self.array::<1>()? != [0])
    }

    pub fn bigint(&mut self) -> Result<i64, sqlx::Error> {
        self.array().map(i64::from_be_bytes)
    }

    pub fn uuid(&mut self) -> Result<Uuid, sqlx::Error> {
        self.array().map(Uuid::from_bytes)
    }

    pub fn moment(&mut self) -> Result<DateTime<Utc>, sqlx::Error> {
        let micros = self.bigint()?.checked_add(EPOCH);
        micros.and_then(DateTime::from_timestamp_micros).ok_or_else(|| misread("a moment is out of reach"))
    }

    pub fn document(&mut self) -> Result<Document, sqlx::Error> {
        Document::read_jsonb(self.bytes()?).map_err(sqlx::Error::Decode)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], sqlx::Error> {
        self.bytes()?.try_into().map_err(|_| misread("a field has another length"))
    }

    fn number(&mut self) -> Result<i32, sqlx::Error> {
        let (number, rest) = self.rest.split_first_chunk().ok_or_else(cut)?;
        self.rest = rest;
        Ok(i32::from_be_bytes(*number))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], sqlx::Error> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(cut)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn cut() -> sqlx::Error {
    misread("a copy ends in the middle of a row")
}

fn misread(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;
    use sqlx::Row;

    use super::*;
    use crate::testing::TestDatabase;

    const VALUES: &str = "select n, 'é' || n as t, n = 2 as b, '2024-05-06 07:08:09.000001+00'::timestamptz as m,
                                 '00000000-0000-0000-0000-000000000007'::uuid as u, jsonb_build_object('z', n, 'aa', null) as j,
                                 nullif(n, 2) as gone from generate_series(1::bigint, 3) n order by n";

    #[tokio::test]
    async fn copied_fields_are_what_a_row_says() {
        let database = TestDatabase::new().await;
        let rows_one_by_one = sqlx::query(VALUES).fetch_all(database.pool()).await.unwrap();
        let copied = rows(database.pool(), VALUES).await.unwrap();
        let mut fields = copied.fields().unwrap();
        for row in &rows_one_by_one {
            assert!(fields.next_row().unwrap());
            let number = row.get::<i64, _>("n");
            assert_eq!(fields.bigint().unwrap(), number);
            assert_eq!(fields.text().unwrap(), row.get::<String, _>("t"));
            assert_eq!(fields.truth().unwrap(), row.get::<bool, _>("b"));
            assert_eq!(fields.moment().unwrap(), row.get::<DateTime<Utc>, _>("m"));
            assert_eq!(fields.uuid().unwrap(), row.get::<Uuid, _>("u"));
            assert_eq!(fields.document().unwrap(), json!({"z": number, "aa": null}));
            assert_eq!(fields.bytes_or_null().unwrap().is_none(), number == 2);
        }
        assert!(!fields.next_row().unwrap());
        assert!(fields.next_row().is_err());
    }

    #[tokio::test]
    async fn a_copy_that_fails_or_is_given_up_leaves_no_connection_that_does_not_know_it() {
        let database = TestDatabase::new().await;
        rows(database.pool(), "select 1 / (3 - n) from generate_series(1, 3) n").await.err().unwrap();
        let endless = "select repeat('x', 10000) from generate_series(1, 100000) n";
        for polls in 1..40 {
            let mut reading = Box::pin(rows(database.pool(), endless));
            for _ in 0..polls {
                assert!(futures::poll!(&mut reading).is_pending());
                tokio::task::yield_now().await;
            }
        }
        for _ in 0..40 {
            let one: i64 = sqlx::query_scalar("select 1::bigint").fetch_one(database.pool()).await.unwrap();
            assert_eq!(one, 1);
        }
    }
}
