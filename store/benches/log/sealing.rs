//! Sealing beside appending: alone, and while 32 writers give commands as fast as they can.

use std::time::{Duration, Instant};

use almanac_store::Database;
use almanac_store::log::{LogReader, Sequencer};

use crate::commands::{commands, settle};
use crate::table::{Goal, Table};

const TIME: Duration = Duration::from_secs(5);

/// So many events are sealed alone, at least.
const HISTORY: i64 = 100_000;

pub async fn measure(database: &Database, table: &mut Table) {
    fill(database).await;
    let reader = LogReader::new(database);
    let mut sequencer = Sequencer::seize(database).await.unwrap();
    let before = reader.head().await.unwrap();
    settle(database).await;
    let began = Instant::now();
    let head = sequencer.seal_all().await.unwrap();
    let alone = (head - before) as f64 / began.elapsed().as_secs_f64();

    let began = Instant::now();
    for _ in 0..20 {
        sequencer.seal_once().await.unwrap();
    }
    let look = began.elapsed() / 20;
    table.row(&format!("a look at a sealed log of {head} events"), format!("{look:.1?}"), "", Goal::TOLD);

    settle(database).await;
    let running = tokio::spawn(Sequencer::run(database.clone()));
    let began = Instant::now();
    let appended = commands(database, 32, 1, TIME).await;
    let sealed = (reader.head().await.unwrap() - head) as f64 / began.elapsed().as_secs_f64();
    running.abort();
    let _aborted = running.await;
    table.row(
        "sealing alone; commands, 32 at once, while sealing",
        format!("{alone:.0} events/s"),
        appended,
        Goal::AtLeast { value: alone / appended.rate, bound: 1.0 },
    );
    table.row(
        "sealed while they were appended; commands, 32 at once",
        format!("{sealed:.0} events/s"),
        format!("{:.0}/s", appended.rate),
        Goal::AtLeast { value: sealed / appended.rate, bound: 0.95 },
    );
}

/// Commits what is missing to `HISTORY` unsealed events in one statement.
pub async fn fill(database: &Database) {
    let unsealed: i64 =
        sqlx::query_scalar("select (select count(*) from events) - last_ordinal from sequencer")
            .fetch_one(database.pool())
            .await
            .unwrap();
    sqlx::query(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         select 'note', gen_random_uuid()::text, 1, 'Written', '1.0',
                jsonb_build_object('Written', jsonb_build_object('text', $2::text)), '{\"at\":\"2024-05-06T12:00:00Z\"}'
           from generate_series(1, $1)",
    )
    .bind(HISTORY - unsealed)
    .bind(crate::note::TEXT)
    .execute(database.pool())
    .await
    .unwrap();
}
