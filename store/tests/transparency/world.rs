//! A log with a key, and an owner of the database who is up to no good.

use almanac_store::Database;
use almanac_store::log::{Frontier, LogReader};
use almanac_store::transparency::verify::{self, Bad, Flaw, Given, Report};
use almanac_store::transparency::{Checkpoint, SigningKey, TreeHead, checkpoint};
use sqlx::Executor;

use crate::counter::noon;

const TABLES: [&str; 4] = ["events", "event_log", "log_checkpoints", "log_tiles"];

pub fn key() -> SigningKey {
    SigningKey::from_seed("example.org", [9; 32]).unwrap()
}

/// Appends `count` events to seven streams; they are not sealed yet.
pub async fn append(database: &Database, count: i64) {
    sqlx::query(
        "with known as (select count(*) as already from events)
         insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         select 'counter', 's' || (already + n) % 7, (already + n) / 7 + 1, 'Said', '1.0',
                jsonb_build_object('Said', jsonb_build_object('text', 'number ' || already + n)), '{}'
           from known, generate_series(0, $1 - 1) n order by n",
    )
    .bind(count)
    .execute(database.pool())
    .await
    .unwrap();
}

/// Signs and records the head of the log as it is.
pub async fn publish(database: &Database) -> Checkpoint {
    let key = key();
    checkpoint::adopt_key(database, key.verifier()).await.unwrap();
    let (size, root) = checkpoint::sealed(database).await.unwrap();
    let note = TreeHead { origin: "example.org".into(), size, root }.signed(&key).unwrap();
    checkpoint::record(database, &note, noon()).await.unwrap()
}

/// Does what only the owner of the database can: changes it with the triggers off.
pub async fn forge(database: &Database, statements: &str) {
    let switch = |how: &str| {
        TABLES.map(|table| format!("alter table {table} {how} trigger {table}_append_only;")).concat()
    };
    let script = format!("{}{statements};{}", switch("disable"), switch("enable always"));
    database.pool().execute(script.as_str()).await.unwrap();
}

/// Hashes the whole log anew, as the owner would to hide a change from everyone who knows no published head.
pub async fn rehash(database: &Database) {
    let mut tree = Frontier::default();
    let mut statements = Vec::new();
    for event in LogReader::new(database).after(0, 100_000).await.unwrap() {
        let hash = event.recomputed_hash();
        tree.push(&hash);
        let (hash, ordinal) = (hex::encode(hash), event.ordinal);
        statements.push(format!("update event_log set event_hash = '\\x{hash}' where ordinal = {ordinal}"));
    }
    let roots: Vec<String> =
        tree.roots().iter().map(|root| format!("'\\x{}'::bytea", hex::encode(root))).collect();
    let (size, roots) = (tree.size(), roots.join(","));
    statements
        .push(format!("update sequencer set last_ordinal = {size}, frontier = array[{roots}]::bytea[]"));
    forge(database, &statements.join(";")).await;
}

/// Verifies the log with nothing but what it holds itself.
pub async fn verified(database: &Database) -> Report {
    verified_with(database, &[]).await
}

/// Verifies the log with heads that were kept elsewhere.
pub async fn verified_with(database: &Database, kept: &[&Checkpoint]) -> Report {
    let notes = kept.iter().map(|checkpoint| checkpoint.note.clone()).collect();
    let given = Given { key: Some(key().verifier().clone()), notes };
    let mut last = 0;
    let report = verify::database(database, given, |progress| last = progress.done).await.unwrap();
    assert_eq!(last, report.events, "the progress ends at the end");
    report
}

pub fn bad(ordinal: i64, what: Flaw) -> Bad {
    Bad { ordinal, until: None, what }
}
