//! From the commit of a command to the moment readers see it: 500 commands a second, given on time whether or not
//! earlier ones are done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use almanac_store::Database;
use almanac_store::log::{Handler, HandlerError, Recorded, Sequencer, Subscription};
use async_trait::async_trait;
use sqlx::PgConnection;

use crate::commands::settle;
use crate::note::{Note, Write, bus, id, issued};
use crate::table::{Goal, Table, millis, percentile};

const RATE: u32 = 500;

const COMMANDS: u32 = 10 * RATE;

/// One row for each event, as most read models have.
struct Titles;

#[async_trait]
impl Handler for Titles {
    fn name(&self) -> &'static str {
        "titles"
    }

    fn version(&self) -> i32 {
        1
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Some(
            "create table titles (id text not null, ordinal bigint not null primary key, title text not null)",
        )
    }

    async fn apply(&self, connection: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        let title = event.payload["Written"]["text"].as_str().unwrap_or_default();
        sqlx::query("insert into titles values ($1, $2, left($3, 40))")
            .bind(&event.key.aggregate_id)
            .bind(event.ordinal)
            .bind(title)
            .execute(connection)
            .await?;
        Ok(())
    }
}

pub async fn measure(database: &Database, table: &mut Table) {
    Sequencer::seize(database).await.unwrap().seal_all().await.unwrap();
    let titles = Subscription::install(database, Arc::new(Titles)).await.unwrap();
    // It begins where the log ends: catching up is another measurement.
    sqlx::query(
        "update subscriptions set last_ordinal = (select last_ordinal from sequencer) where name = 'titles'",
    )
    .execute(database.pool())
    .await
    .unwrap();
    let from = titles.position().await.unwrap();
    settle(database).await;
    let sealing = tokio::spawn(Sequencer::run(database.clone()));
    let following = titles.clone();
    let following = tokio::spawn(async move { following.run().await });
    let seen = Arc::new(Mutex::new(vec![]));
    let watching = tokio::spawn(watch(titles.clone(), Arc::clone(&seen)));
    // The leader needs a moment to take the lead.
    tokio::time::sleep(Duration::from_secs(1)).await;

    let committed = give_commands(database).await;
    let head = from + i64::from(COMMANDS);
    while titles.position().await.unwrap() < head {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for task in [sealing, following, watching] {
        task.abort();
    }
    let ordinals: HashMap<String, i64> =
        sqlx::query_as("select aggregate_id, ordinal from event_log where ordinal > $1")
            .bind(from)
            .fetch_all(database.pool())
            .await
            .unwrap()
            .into_iter()
            .collect();
    let seen = seen.lock().unwrap();
    let mut latencies: Vec<f64> = committed
        .into_iter()
        .map(|(id, at)| {
            let first = seen.partition_point(|(_, position)| *position < ordinals[&id]);
            millis(seen[first].0.saturating_duration_since(at))
        })
        .collect();
    latencies.sort_by(f64::total_cmp);
    for (percent, bound) in [(50, 15.0), (99, 60.0)] {
        let value = percentile(&latencies, percent);
        table.row(
            &format!("{RATE} commands a second: commit to visible, p{percent}"),
            format!("{value:.1} ms"),
            "wall clock, ms",
            Goal::AtMost { value, bound },
        );
    }
}

/// Gives every command at its time, and notes when each was committed.
async fn give_commands(database: &Database) -> Vec<(String, Instant)> {
    let bus = bus(database);
    let mut clock = tokio::time::interval(Duration::from_secs(1) / RATE);
    let mut commands = vec![];
    for _ in 0..COMMANDS {
        clock.tick().await;
        let bus = bus.clone();
        commands.push(tokio::spawn(async move {
            let id = id().to_string();
            bus.execute::<Note>(&id, Write(1), &issued()).await.unwrap();
            (id, Instant::now())
        }));
    }
    futures::future::join_all(commands).await.into_iter().map(Result::unwrap).collect()
}

/// Notes what a reader sees about every millisecond.
async fn watch(titles: Subscription, seen: Arc<Mutex<Vec<(Instant, i64)>>>) {
    loop {
        let position = titles.position().await.unwrap();
        seen.lock().unwrap().push((Instant::now(), position));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
