//! A log with everything in it that is hard to keep.

use std::path::Path;

use almanac_store::Database;
use almanac_store::archive::{
    Archive, ArchiveError, Claim, ExportWish, Exported, Format, Identity, Imported, Progress, export, import,
};
use almanac_store::clock::Entropy;
use almanac_store::log::{LogReader, Recorded, Sequencer};
use almanac_store::testing::{ScratchFolder, TestDatabase};
use almanac_store::transparency::{SigningKey, TreeHead, checkpoint};
use uuid::Uuid;

use crate::counter::{Command, Counter, bus, issued, noon};

/// So many events a lived-in log has at least.
pub const LIVED: i64 = 3_300;

/// The name of its owner is all that the tests know of a claim.
const OWNER: Uuid = Uuid::from_u128(7);

/// A sealed log of [`LIVED`] events and a few more, with a checkpoint over the first ten and one over all.
pub async fn database() -> TestDatabase {
    let database = TestDatabase::new().await;
    let bus = bus(&database);
    for text in
        ["", "€ \u{10ffff} \u{1f600}", "\u{1}\u{1f}\u{7f}\u{80}", "\u{fb33}\r\n\t\"\\/", "\u{2028}\u{feff}"]
    {
        bus.execute::<Counter>("ä:\"1\"", Command::Say(text.into()), &issued()).await.unwrap();
    }
    bus.execute::<Counter>("least", Command::Count { by: -((1 << 53) - 1) }, &issued()).await.unwrap();
    sqlx::query(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         select 'counter', 's' || n % 7, n / 7 + 1, 'Counted', '1.0',
                jsonb_build_object('Counted', jsonb_build_object('by', n, '\u{1f600}', jsonb_build_array(null, true, '€'), '\u{fb33}', 9007199254740991)),
                jsonb_build_object('at', '2024-05-06T13:00:00.' || lpad((n * 7919 % 1000000)::text, 6, '0') || 'Z')
           from generate_series(0, $1 - 1) n order by n",
    )
    .bind(LIVED)
    .execute(database.pool())
    .await
    .unwrap();
    publish(&database).await;
    bus.execute::<Counter>("least", Command::CountTwice, &issued()).await.unwrap();
    publish(&database).await;
    database
}

/// The key by which the tests publish.
pub fn key() -> SigningKey {
    SigningKey::from_seed("log.example.org", [5; 32]).unwrap()
}

/// Seals, and publishes the head.
pub async fn publish(database: &Database) {
    Sequencer::seize(database).await.unwrap().seal_all().await.unwrap();
    checkpoint::adopt_key(database, key().verifier()).await.unwrap();
    let (size, root) = checkpoint::sealed(database).await.unwrap();
    let head = TreeHead { origin: key().verifier().name().to_owned(), size, root };
    checkpoint::record(database, &head.signed(&key()).unwrap(), noon()).await.unwrap();
}

pub fn folder() -> ScratchFolder {
    ScratchFolder::new()
}

/// Segments small enough that a log has several.
pub fn wish(format: Format) -> ExportWish {
    ExportWish { format: Some(format), segment_events: 1_500, ..ExportWish::default() }
}

pub async fn exported(database: &Database, folder: &Path, format: Format) -> Exported {
    export(database, folder, &wish(format), &mut |_| {}).await.unwrap()
}

#[allow(clippy::unnecessary_wraps, reason = "an import takes functions of this shape")]
pub fn claim(event: &Recorded) -> Result<Option<Claim>, String> {
    Ok(match event.key.sequence {
        1 => Some(Claim::Taken {
            kind: "name".to_owned(),
            value: event.key.aggregate_id.clone(),
            owner: OWNER,
        }),
        _ => None,
    })
}

pub async fn imported(database: &Database, folder: &Path) -> Result<Imported, ArchiveError> {
    imported_with(database, folder, &mut |_| {}).await
}

pub async fn imported_with(
    database: &Database,
    folder: &Path,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Imported, ArchiveError> {
    import(database, &Archive::open(folder)?, Identity::Kept, claim, progress).await
}

/// Everything about the log that must be the same elsewhere.
pub async fn everything(database: &Database) -> (Vec<Recorded>, String, Vec<String>) {
    let events = LogReader::new(database).after(0, 100_000).await.unwrap();
    let head: String =
        sqlx::query_scalar("select concat_ws(' ', last_ordinal, last_as_of, frontier) from sequencer")
            .fetch_one(database.pool())
            .await
            .unwrap();
    let checkpoints: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', size, root, signed_note, made_at) from log_checkpoints order by size",
    )
    .fetch_all(database.pool())
    .await
    .unwrap();
    (events, head, checkpoints)
}

/// Changes what the log refuses to have changed, as its owner can.
pub async fn forge(database: &Database, statement: &str) {
    let mut connection = database.pool().acquire().await.unwrap();
    for table in ["events", "event_log"] {
        let disable = format!("alter table {table} disable trigger {table}_append_only");
        sqlx::query(&disable).execute(&mut *connection).await.unwrap();
    }
    assert!(
        sqlx::query(statement).execute(&mut *connection).await.unwrap().rows_affected() > 0,
        "{statement}"
    );
}

pub fn random() -> Entropy {
    Entropy::seeded(3)
}
