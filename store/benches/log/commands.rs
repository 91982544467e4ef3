//! One-event commands beside pgbench inserting the same row, 32, 8 and one at once.

use std::time::{Duration, Instant};

use almanac_store::Database;
use futures::future::join_all;

use crate::cpu::Used;
use crate::note::{Note, Write, bus, id, issued};
use crate::pgbench;
use crate::table::{Goal, Table, Turn, millis};

/// How often ours and theirs take turns.
const TURNS: usize = 3;

const TIME: Duration = Duration::from_secs(3);

pub async fn measure(database: &Database, url: &str, table: &mut Table) {
    // Connections are opened and statements prepared before anything counts.
    commands(database, 32, 1, Duration::from_secs(1)).await;
    for clients in [32, 8, 1] {
        let (mut ours, mut theirs) = (vec![], vec![]);
        for _ in 0..TURNS {
            settle(database).await;
            ours.push(commands(database, clients, 1, TIME).await);
            settle(database).await;
            theirs.push(pgbench::run(database, url, clients, TIME).await);
        }
        let (ours, theirs) = (Turn::median(&ours), Turn::median(&theirs));
        let rate = ours.rate / theirs.rate;
        let what = format!("one-event commands, {clients} at once; pgbench");
        if clients == 32 {
            table.row(&what, ours, theirs, Goal::AtLeast { value: rate, bound: 0.6 });
            let (what, p99) = (format!("{what}: p99"), ours.p99 / theirs.p99);
            table.row(&what, ms(ours.p99), ms(theirs.p99), Goal::AtMost { value: p99, bound: 3.0 });
        } else {
            table.row(&what, ours, theirs, Goal::None { value: rate });
        }
    }
}

fn ms(value: f64) -> String {
    format!("{value:.1} ms")
}

/// Both begin right after a checkpoint, because the first write to a page after one costs more.
pub async fn settle(database: &Database) {
    sqlx::query("checkpoint").execute(database.pool()).await.unwrap();
}

/// `clients` tasks that each give commands of `events` events, one after the other, on fresh streams.
pub async fn commands(database: &Database, clients: usize, events: usize, time: Duration) -> Turn {
    let bus = bus(database);
    let before = Used::now(database.pool()).await;
    let began = Instant::now();
    let tasks = (0..clients).map(|_| {
        let bus = bus.clone();
        tokio::spawn(async move {
            let mut times = vec![];
            while began.elapsed() < time {
                let given = Instant::now();
                bus.execute::<Note>(&id().to_string(), Write(events), &issued()).await.unwrap();
                times.push(millis(given.elapsed()));
            }
            times
        })
    });
    let times: Vec<f64> = join_all(tasks).await.into_iter().flat_map(Result::unwrap).collect();
    let took = began.elapsed();
    let cpu = Used::now(database.pool()).await.since(before, times.len());
    Turn { cpu, ..Turn::new(times.len(), took, times) }
}
