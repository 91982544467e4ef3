//! How fast the log is, printed: `cargo nextest run -p almanac-store --run-ignored only --no-capture speed`.

use std::time::{Duration, Instant};

use almanac_store::Database;
use almanac_store::log::{Sequencer, Until, wait_for};
use almanac_store::postgres::{PostgresServer, Settings};
use almanac_store::testing::ScratchFolder;
use futures::future::join_all;

use crate::counter::{Command, Counter, bus, issued, totals};

const HISTORY: i64 = 200_000;

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, and needs the machine for itself"]
async fn speed_of_commands_sealing_and_visibility() {
    let folder = ScratchFolder::new();
    let server = PostgresServer::start(&folder, Settings::durable()).await.unwrap();
    let database = Database::open(server.url()).await.unwrap();
    database.migrate().await.unwrap();

    let began = Instant::now();
    sqlx::query(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         select 'counter', 'h' || n % 997, n / 997 + 1, 'Counted', '1.0',
                jsonb_build_object('Counted', jsonb_build_object('by', 1, 'filling', repeat('x', 600))), '{}'
           from generate_series(0, $1 - 1) n order by n",
    )
    .bind(HISTORY)
    .execute(database.pool())
    .await
    .unwrap();
    println!("one statement inserts {:.0} events/s", HISTORY as f64 / began.elapsed().as_secs_f64());

    let mut sequencer = Sequencer::seize(&database).await.unwrap();
    let began = Instant::now();
    assert_eq!(sequencer.seal_all().await.unwrap(), HISTORY);
    println!("sealing: {:.0} events/s", HISTORY as f64 / began.elapsed().as_secs_f64());
    let began = Instant::now();
    for _ in 0..20 {
        sequencer.seal_once().await.unwrap();
    }
    let idle = began.elapsed() / 20;
    println!("a look at a sealed log of {HISTORY}: {idle:?}");
    assert!(idle < Duration::from_millis(20), "it reads all of history");

    let totals = totals(&database).await;
    let began = Instant::now();
    totals.run_until(HISTORY).await.unwrap();
    println!(
        "a projection with two writes an event: {:.0} events/s",
        HISTORY as f64 / began.elapsed().as_secs_f64()
    );

    let sealing = tokio::spawn(Sequencer::run(database.clone()));
    let following = totals.clone();
    let following = tokio::spawn(async move { following.run().await });

    let bus = bus(&database);
    let began = Instant::now();
    let times = join_all((0..32).map(|writer| {
        let bus = bus.clone();
        tokio::spawn(async move {
            let mut times = vec![];
            for n in 0..100 {
                let began = Instant::now();
                let id = format!("w{writer}-{n}");
                bus.execute::<Counter>(&id, Command::Count { by: 1 }, &issued()).await.unwrap();
                times.push(began.elapsed());
            }
            times
        })
    }))
    .await;
    let rate = 3_200.0 / began.elapsed().as_secs_f64();
    let mut times: Vec<Duration> = times.into_iter().flat_map(Result::unwrap).collect();
    times.sort();
    let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
    println!("32 commands at once: {rate:.0}/s, p50 {p50:?}, p99 {p99:?}");

    let batch: Vec<_> = (0..5_000).map(|n| (format!("b{n}"), Command::Count { by: 1 })).collect();
    let began = Instant::now();
    bus.execute_batch::<Counter>(batch, &issued()).await.unwrap();
    println!("a batch of 5,000: {:.0} commands/s", 5_000.0 / began.elapsed().as_secs_f64());

    let head = HISTORY + 3_200 + 5_000;
    assert!(wait_for(&database, Until::Ordinal(head), "totals", Duration::from_secs(60)).await.unwrap());
    let mut visible = vec![];
    for n in 0..200 {
        let committed =
            bus.execute::<Counter>(&format!("v{n}"), Command::Count { by: 1 }, &issued()).await.unwrap();
        let began = Instant::now();
        let key = committed.last().unwrap();
        assert!(wait_for(&database, Until::Event(key), "totals", Duration::from_secs(10)).await.unwrap());
        visible.push(began.elapsed());
    }
    visible.sort();
    println!("commit to visible: p50 {:?}, p99 {:?}", percentile(&visible, 50), percentile(&visible, 99));
    sealing.abort();
    following.abort();
}
