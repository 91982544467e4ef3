//! The signed heads of the log that go with an export.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use sqlx::{PgConnection, PgPool, Row};

use super::error::{ArchiveError, Damage};
use super::folder;
use crate::StoreError;
use crate::transparency::{Checkpoint, VerifierKey};

/// All of them, one a line.
pub(super) const ALL: &str = "checkpoints.jsonl";

/// The newest one, as it was published.
const NEWEST: &str = "checkpoint.txt";

/// The key that signed it, in the text form of C2SP.
const KEY: &str = "verifier-key.txt";

/// The names of the files made here.
pub(super) const NAMES: [&str; 3] = [ALL, NEWEST, KEY];

/// Those of the database that cover no more than `size` events, by size.
pub(super) async fn up_to(pool: &PgPool, size: i64) -> Result<Vec<Checkpoint>, ArchiveError> {
    let rows = sqlx::query(
        "select size, root, signed_note, made_at from log_checkpoints where size <= $1 order by size",
    )
    .bind(size)
    .fetch_all(pool)
    .await?;
    let read = rows.iter().map(|row| {
        let root: Vec<u8> = row.try_get("root")?;
        Ok::<_, sqlx::Error>(Checkpoint {
            size: row.try_get("size")?,
            root: root.try_into().map_err(|_| sqlx::Error::Decode("a root does not have 32 bytes".into()))?,
            note: row.try_get("signed_note")?,
            made_at: row.try_get("made_at")?,
        })
    });
    Ok(read.collect::<Result<_, _>>()?)
}

/// Puts them beside the segments, each file whole or not at all.
pub(super) fn write(
    folder: &Path,
    checkpoints: &[Checkpoint],
    key: Option<&VerifierKey>,
) -> Result<(), ArchiveError> {
    let mut lines = Vec::new();
    for checkpoint in checkpoints {
        serde_json::to_writer(&mut lines, checkpoint).map_err(StoreError::from)?;
        lines.push(b'\n');
    }
    folder::write(&folder.join(ALL), &lines)?;
    if let Some(newest) = checkpoints.last() {
        folder::write(&folder.join(NEWEST), newest.note.as_bytes())?;
    }
    if let Some(key) = key {
        folder::write(&folder.join(KEY), format!("{key}\n").as_bytes())?;
    }
    Ok(())
}

/// Those beside the segments; none where there is no such file.
pub(super) fn read(folder: &Path) -> Result<Vec<Checkpoint>, ArchiveError> {
    let path = folder.join(ALL);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ArchiveError::io(&path)(error)),
    };
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).zip(1..);
    lines
        .map(|(line, row)| serde_json::from_slice(line).map_err(|error| damaged(row, error.to_string())))
        .collect()
}

/// What is wrong with the `row`th of them, from 1.
pub(super) fn damaged(row: u64, reason: String) -> ArchiveError {
    ArchiveError::Damaged(Damage { file: ALL.to_owned(), row: Some(row), ordinal: None, reason })
}

/// Takes them over into a database that has the log they speak of, beside those it has.
pub(super) async fn insert(
    connection: &mut PgConnection,
    checkpoints: &[Checkpoint],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into log_checkpoints (size, root, signed_note, made_at)
         select * from unnest($1::bigint[], $2::bytea[], $3::text[], $4::timestamptz[])
         on conflict do nothing",
    )
    .bind(checkpoints.iter().map(|checkpoint| checkpoint.size).collect::<Vec<_>>())
    .bind(checkpoints.iter().map(|checkpoint| checkpoint.root.to_vec()).collect::<Vec<_>>())
    .bind(checkpoints.iter().map(|checkpoint| checkpoint.note.clone()).collect::<Vec<_>>())
    .bind(checkpoints.iter().map(|checkpoint| checkpoint.made_at).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
