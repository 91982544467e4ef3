//! Heads of the log: how many events it has and the root over them, signed (C2SP `tlog-checkpoint`), and kept in the
//! order in which they were published.
//!
//! A head that was published binds the log for good. So nothing is recorded that is signed by another key, that is
//! smaller than what was published, or that the log, as it stands, contradicts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, Row};

use super::hex_text;
use super::key::{SigningKey, VerifierKey};
use super::note::{self, Note, NoteRefused};
use super::tiles::LogTree;
use crate::log::{Frontier, Hash};
use crate::{Database, StoreError};

/// Why a checkpoint is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointRefused {
    /// It is not a signed note, or not by the key of this log.
    #[error(transparent)]
    Note(#[from] NoteRefused),
    /// The text under the signature is not the head of a log.
    #[error("the text is not the head of a log: {0}")]
    Malformed(&'static str),
    /// It speaks of another log.
    #[error("it is a head of the log `{found}`, not of `{expected}`")]
    Origin {
        /// Whose head it is.
        found: String,
        /// Whose head was wanted.
        expected: String,
    },
    /// The log has no key yet.
    #[error("this log has no key yet")]
    NoKey,
    /// A larger one is published already.
    #[error("a head of {published} events is published already; one of {size} would take events back")]
    Smaller {
        /// The size of the head that was refused.
        size: i64,
        /// The size of the largest published one.
        published: i64,
    },
    /// It covers more events than the log has.
    #[error(
        "a head of {size} events is published, but the log ends at {head}: it was cut, or restored to an earlier point"
    )]
    BeyondLog {
        /// The size of the head that was refused.
        size: i64,
        /// The last ordinal of the log.
        head: i64,
    },
    /// The log has another root at that size: there are two histories.
    #[error("the log has another root at {size} events than the published head: there are two histories")]
    Forked {
        /// The size at which they part.
        size: i64,
    },
    /// Something below failed.
    #[error("the log could not be read")]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for CheckpointRefused {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The head of a log: what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeHead {
    /// The name of the log.
    pub origin: String,
    /// The number of events.
    pub size: i64,
    /// The root of the tree over them.
    pub root: Hash,
}

impl TreeHead {
    /// The signed note that publishes this head.
    ///
    /// # Errors
    /// When the origin cannot stand in a note.
    pub fn signed(&self, key: &SigningKey) -> Result<String, NoteRefused> {
        let text = format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root));
        note::sign(&text, key)
    }

    /// The head in a note that `key` has signed.
    ///
    /// # Errors
    /// When it is no such note, or the head of a log of another name than the key's.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, CheckpointRefused> {
        let note = Note::parse(note)?;
        let head = Self::parse(note.signed_by(key)?)?;
        if head.origin == key.name() {
            Ok(head)
        } else {
            Err(CheckpointRefused::Origin { found: head.origin, expected: key.name().to_owned() })
        }
    }

    /// Lines after the third are extensions, which say nothing to us.
    fn parse(text: &str) -> Result<Self, CheckpointRefused> {
        let refuse = CheckpointRefused::Malformed;
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(refuse("it has fewer than three lines"));
        };
        if origin.is_empty() {
            return Err(refuse("it names no log"));
        }
        let number: i64 = size.parse().map_err(|_| refuse("the size is not a number"))?;
        if number < 0 || number.to_string() != size {
            return Err(refuse("the size is not written plainly"));
        }
        let root = STANDARD.decode(root).map_err(|_| refuse("the root is not base64"))?;
        let root: Hash = root.try_into().map_err(|_| refuse("the root is not a digest"))?;
        if number == 0 && root != Frontier::default().root() {
            return Err(refuse("a log without events has the root of the empty tree"));
        }
        Ok(Self { origin: origin.to_owned(), size: number, root })
    }
}

/// A published head as the database keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The number of events it covers.
    pub size: i64,
    /// The root over them.
    #[serde(with = "hex_text")]
    pub root: Hash,
    /// The signed note.
    pub note: String,
    /// When it was made, in the service's time.
    pub made_at: DateTime<Utc>,
}

const SELECT: &str = "select size, root, signed_note, made_at from log_checkpoints";

fn from_row(row: &sqlx::postgres::PgRow) -> Result<Checkpoint, sqlx::Error> {
    let root: Vec<u8> = row.try_get("root")?;
    Ok(Checkpoint {
        size: row.try_get("size")?,
        root: root.try_into().map_err(|_| sqlx::Error::Decode("a root does not have 32 bytes".into()))?,
        note: row.try_get("signed_note")?,
        made_at: row.try_get("made_at")?,
    })
}

/// The published head that covers most.
///
/// # Errors
/// When the database fails.
pub async fn newest(database: impl PgExecutor<'_>) -> Result<Option<Checkpoint>, sqlx::Error> {
    let select = format!("{SELECT} order by size desc limit 1");
    let row = sqlx::query(&select).fetch_optional(database).await?;
    row.as_ref().map(from_row).transpose()
}

/// Up to `limit` published heads, newest first; `below` leaves out those of that size or more.
///
/// # Errors
/// When the database fails.
pub async fn page(
    database: impl PgExecutor<'_>,
    below: Option<i64>,
    limit: i64,
) -> Result<Vec<Checkpoint>, StoreError> {
    let select = format!("{SELECT} where $1::bigint is null or size < $1 order by size desc limit $2");
    let rows = sqlx::query(&select).bind(below).bind(limit).fetch_all(database).await?;
    Ok(rows.iter().map(from_row).collect::<Result<_, _>>()?)
}

/// The key whose heads this log publishes; none before its first start.
///
/// # Errors
/// When the database fails or holds something else.
pub async fn key_of_log(database: impl PgExecutor<'_>) -> Result<Option<VerifierKey>, StoreError> {
    let text: Option<String> =
        sqlx::query_scalar("select verifier_key from log_keys").fetch_optional(database).await?;
    let read = |text: String| {
        text.parse().map_err(|bad| StoreError::Broken(format!("the key of the log cannot be read: {bad}")))
    };
    text.map(read).transpose()
}

/// Makes `key` the key of the log unless it has one, and returns the one it has.
///
/// # Errors
/// When the database fails.
pub async fn adopt_key(database: &Database, key: &VerifierKey) -> Result<VerifierKey, StoreError> {
    sqlx::query("insert into log_keys (verifier_key) values ($1) on conflict do nothing")
        .bind(key.to_string())
        .execute(database.pool())
        .await?;
    let known = key_of_log(database.pool()).await?;
    known.ok_or_else(|| StoreError::Broken("the key of the log was not kept".to_owned()))
}

/// The log as it is sealed now: its size and its root.
///
/// # Errors
/// When the database fails.
pub async fn sealed(database: &Database) -> Result<(i64, Hash), StoreError> {
    let (size, roots): (i64, Vec<Vec<u8>>) =
        sqlx::query_as("select last_ordinal, frontier from sequencer").fetch_one(database.pool()).await?;
    let roots = roots.into_iter().map(TryInto::try_into).collect::<Result<_, _>>().ok();
    let frontier = roots.and_then(|roots| Frontier::from_parts(size.unsigned_abs(), roots));
    let frontier =
        frontier.ok_or_else(|| StoreError::Broken("the frontier does not fit its size".to_owned()))?;
    Ok((size, frontier.root()))
}

/// Whether an event of this type was sealed after the first `size` ones.
///
/// # Errors
/// When the database fails.
pub async fn has_after(database: &Database, size: i64, event_type: &str) -> Result<bool, StoreError> {
    let has = "select exists (select 1 from event_log where ordinal > $1 and event_type = $2)";
    Ok(sqlx::query_scalar(has).bind(size).bind(event_type).fetch_one(database.pool()).await?)
}

/// Checks that the log as it stands begins with what was published as `head`.
///
/// # Errors
/// [`CheckpointRefused::BeyondLog`] or [`CheckpointRefused::Forked`] when it does not.
pub async fn check_against_log(database: &Database, head: &TreeHead) -> Result<(), CheckpointRefused> {
    let (size, root) = sealed(database).await?;
    if head.size > size {
        return Err(CheckpointRefused::BeyondLog { size: head.size, head: size });
    }
    if head.size == 0 {
        let is_empty_root = head.root == Frontier::default().root();
        return if is_empty_root { Ok(()) } else { Err(CheckpointRefused::Forked { size: 0 }) };
    }
    let proof = LogTree::new(database).consistency(head.size, size).await?;
    let proof = proof.ok_or(CheckpointRefused::BeyondLog { size: head.size, head: size })?;
    // Both ends, so that neither the tiles nor the head of the sequencer can have been changed alone.
    if proof.from_root == head.root && proof.to_root == root && proof.verify().is_ok() {
        Ok(())
    } else {
        Err(CheckpointRefused::Forked { size: head.size })
    }
}

/// Records a published head of this log; one that is recorded already changes nothing.
///
/// # Errors
/// When it is signed by another key, smaller than what was published, or contradicted by the log.
pub async fn record(
    database: &Database,
    note: &str,
    made_at: DateTime<Utc>,
) -> Result<Checkpoint, CheckpointRefused> {
    let key = key_of_log(database.pool()).await?.ok_or(CheckpointRefused::NoKey)?;
    let head = TreeHead::open(note, &key)?;
    if let Some(newest) = newest(database.pool()).await? {
        if head.size < newest.size {
            return Err(CheckpointRefused::Smaller { size: head.size, published: newest.size });
        }
        if head.size == newest.size {
            return if head.root == newest.root {
                Ok(newest)
            } else {
                Err(CheckpointRefused::Forked { size: head.size })
            };
        }
        check_against_log(database, &TreeHead::open(&newest.note, &key)?).await?;
    }
    check_against_log(database, &head).await?;
    let inserted = sqlx::query(
        "insert into log_checkpoints (size, root, signed_note, made_at) values ($1, $2, $3, $4)
         on conflict do nothing",
    )
    .bind(head.size)
    .bind(&head.root[..])
    .bind(note)
    .bind(made_at)
    .execute(database.pool())
    .await?;
    if inserted.rows_affected() == 0 {
        // Another node was faster; the log agrees with both, so they are the same.
        tracing::debug!(size = head.size, "this head was recorded already");
    }
    Ok(Checkpoint { size: head.size, root: head.root, note: note.to_owned(), made_at })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn head() -> TreeHead {
        TreeHead { origin: "example.org/log".into(), size: 15_368_405, root: [7; 32] }
    }

    fn key(name: &str) -> SigningKey {
        SigningKey::from_seed(name, [5; 32]).unwrap()
    }

    #[test]
    fn a_head_reads_back_from_its_note_and_extensions_are_passed_over() {
        let key = key("example.org/log");
        let note = head().signed(&key).unwrap();
        assert!(note.starts_with("example.org/log\n15368405\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n\n\u{2014} example.org/log "), "{note}");
        assert_eq!(TreeHead::open(&note, key.verifier()).unwrap(), head());
        let text = "example.org/log\n3\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\nextended\n";
        let note = note::sign(text, &key).unwrap();
        assert_eq!(TreeHead::open(&note, key.verifier()).unwrap(), TreeHead { size: 3, ..head() });
    }

    #[test]
    fn fault_13_a_head_under_a_wrong_key_or_of_another_log_is_refused() {
        let note = head().signed(&key("example.org/log")).unwrap();
        let other = SigningKey::from_seed("example.org/log", [6; 32]).unwrap();
        let refused = TreeHead::open(&note, other.verifier());
        assert!(matches!(refused, Err(CheckpointRefused::Note(NoteRefused::NotSignedBy(_)))), "{refused:?}");
        let altered = note.replacen("\n15368405\n", "\n15368406\n", 1);
        assert_ne!(altered, note);
        let refused = TreeHead::open(&altered, key("example.org/log").verifier());
        assert!(matches!(refused, Err(CheckpointRefused::Note(NoteRefused::BadSignature(_)))), "{refused:?}");
        let elsewhere = TreeHead { origin: "example.com".into(), ..head() };
        let note = elsewhere.signed(&key("example.org/log")).unwrap();
        let refused = TreeHead::open(&note, key("example.org/log").verifier());
        assert!(matches!(refused, Err(CheckpointRefused::Origin { .. })), "{refused:?}");
    }

    #[test]
    fn what_is_not_the_head_of_a_log_is_refused() {
        let root = STANDARD.encode([7; 32]);
        for text in [
            "example.org/log\n3\n".to_owned(),
            format!("\n3\n{root}\n"),
            format!("example.org/log\n03\n{root}\n"),
            format!("example.org/log\n-3\n{root}\n"),
            format!("example.org/log\n+3\n{root}\n"),
            format!("example.org/log\nthree\n{root}\n"),
            "example.org/log\n3\nBwcH\n".to_owned(),
            "example.org/log\n3\n???\n".to_owned(),
            format!("example.org/log\n0\n{root}\n"),
        ] {
            let key = key("example.org/log");
            let refused = TreeHead::open(&note::sign(&text, &key).unwrap(), key.verifier());
            assert!(matches!(refused, Err(CheckpointRefused::Malformed(_))), "{text:?}: {refused:?}");
        }
    }

    #[test]
    fn the_head_of_an_empty_log_has_the_digest_of_nothing_as_its_root() {
        // RFC 6962 section 2.1: the root over no leaves is SHA-256 of the empty string.
        let text = "example.org/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
        let key = key("example.org/log");
        let head = TreeHead::open(&note::sign(text, &key).unwrap(), key.verifier()).unwrap();
        assert_eq!((head.size, head.root), (0, Frontier::default().root()));
    }
}
