//! Rows on their way into a table, by `COPY .. FROM STDIN` in its binary format: no plan, no arrays, and one entry in
//! the server's journal for a page of them.

use sqlx::encode::IsNull;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgArgumentBuffer;
use sqlx::{Connection, Encode, Executor, PgConnection, Postgres};

use super::copied::SIGNATURE;

/// Rows for one table, made away from any connection.
#[derive(Debug)]
pub struct CopyIn {
    into: &'static str,
    columns: i16,
    rows: usize,
    bytes: PgArgumentBuffer,
}

impl CopyIn {
    /// No rows yet, `into` so many columns: a table and its columns, as `COPY` names them.
    pub fn new(into: &'static str, columns: i16) -> Self {
        let mut bytes = PgArgumentBuffer::default();
        bytes.extend_from_slice(SIGNATURE);
        // No flags and no extension.
        bytes.extend_from_slice(&[0; 8]);
        Self { into, columns, rows: 0, bytes }
    }

    /// Begins a row; exactly as many values as there are columns must follow, each of the very type of its column.
    #[must_use]
    pub fn row(&mut self) -> Row<'_> {
        self.bytes.extend_from_slice(&self.columns.to_be_bytes());
        self.rows += 1;
        Row(self)
    }

    /// Writes the rows that are not there yet, as `insert .. on conflict do nothing` would. That one is there is rare:
    /// only an event that is lived through again brings it.
    ///
    /// # Errors
    /// When the database fails or refuses one of them; then none is written.
    pub async fn write_missing(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut attempt = connection.begin().await?;
        match self.write(&mut attempt).await {
            Ok(()) => return attempt.commit().await,
            Err(error) if error.as_database_error().is_some_and(DatabaseError::is_unique_violation) => {
                attempt.rollback().await?;
            }
            Err(error) => return Err(error),
        }
        let (table, columns) = self.into.split_once(' ').unwrap_or((self.into, ""));
        connection
            .execute(format!("create temporary table copied_in (like {table} including defaults)").as_str())
            .await?;
        self.send(&format!("pg_temp.copied_in {columns}"), connection).await?;
        let names = columns.trim_matches(['(', ')']);
        let missing = format!(
            "insert into {table} {columns} select {names} from pg_temp.copied_in on conflict do nothing"
        );
        connection.execute(missing.as_str()).await?;
        connection.execute("drop table pg_temp.copied_in").await?;
        Ok(())
    }

    /// Writes the rows.
    ///
    /// # Errors
    /// When the database fails or refuses one of them; then none is written.
    pub async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.send(self.into, connection).await
    }

    async fn send(&self, into: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.rows == 0 {
            return Ok(());
        }
        let statement = format!("copy {into} from stdin (format binary)");
        let mut copy = connection.copy_in_raw(&statement).await?;
        copy.send(self.bytes.as_slice()).await?;
        // What ends a copy.
        copy.send(&(-1_i16).to_be_bytes()[..]).await?;
        copy.finish().await?;
        Ok(())
    }
}

/// A row that is being made.
#[derive(Debug)]
pub struct Row<'a>(&'a mut CopyIn);

impl Row<'_> {
    /// Adds the value of the next column.
    ///
    /// # Errors
    /// When the value cannot be written in the binary format.
    pub fn with<'q>(self, value: impl Encode<'q, Postgres>) -> Result<Self, sqlx::Error> {
        let bytes = &mut self.0.bytes;
        let place = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        let length = match value.encode_by_ref(bytes).map_err(sqlx::Error::Encode)? {
            IsNull::No => {
                i32::try_from(bytes.len() - place - 4).map_err(|error| sqlx::Error::Encode(error.into()))?
            }
            IsNull::Yes => -1,
        };
        bytes[place..place + 4].copy_from_slice(&length.to_be_bytes());
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};
    use sqlx::types::Json;
    use uuid::Uuid;

    use super::*;
    use crate::testing::TestDatabase;

    #[tokio::test]
    async fn rows_arrive_as_they_were_made_and_all_or_none() {
        let database = TestDatabase::new().await;
        database
            .pool()
            .execute("create table given (n int primary key, t text, u uuid, j jsonb)")
            .await
            .unwrap();
        let row = |copy: &mut CopyIn, number: i32, text: Option<&str>| {
            let json = Json(json!({"n": number}));
            copy.row()
                .with(number)
                .unwrap()
                .with(text)
                .unwrap()
                .with(Uuid::nil())
                .unwrap()
                .with(json)
                .unwrap();
        };
        let mut connection = database.pool().acquire().await.unwrap();
        let mut copy = CopyIn::new("given (n, t, u, j)", 4);
        copy.write(&mut connection).await.unwrap();
        row(&mut copy, 1, Some("é"));
        row(&mut copy, 2, None);
        copy.write(&mut connection).await.unwrap();
        let read = "select n, t, u, j from given order by n";
        let rows: Vec<(i32, Option<String>, Uuid, Value)> =
            sqlx::query_as(read).fetch_all(&mut *connection).await.unwrap();
        let (first, second) = ((1, Some("é".into()), Uuid::nil()), (2, None, Uuid::nil()));
        let with = |(n, t, u): (i32, Option<String>, Uuid)| (n, t, u, json!({"n": n}));
        assert_eq!(rows, [with(first), with(second)]);

        let mut twice = CopyIn::new("given (n, t, u, j)", 4);
        row(&mut twice, 3, None);
        row(&mut twice, 1, None);
        let refused = twice.write(&mut connection).await.unwrap_err();
        assert!(refused.as_database_error().unwrap().is_unique_violation());
        let count: i64 =
            sqlx::query_scalar("select count(*) from given").fetch_one(&mut *connection).await.unwrap();
        assert_eq!(count, 2, "the connection goes on as if nothing had been given");
        twice.write_missing(&mut connection).await.unwrap();
        twice.write_missing(&mut connection).await.unwrap();
        let numbers: Vec<i32> =
            sqlx::query_scalar("select n from given order by n").fetch_all(&mut *connection).await.unwrap();
        assert_eq!(numbers, [1, 2, 3]);
    }
}
