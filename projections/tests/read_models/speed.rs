//! How fast the largest projection is rebuilt, beside `COPY events TO STDOUT` in the same run, printed:
//! `cargo nextest run -p almanac-projections --run-ignored only --no-capture speed`.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use almanac_projections::predictions::{self, Predictions};
use almanac_store::Database;
use almanac_store::log::rebuild::BuildState;
use almanac_store::log::{LogReader, Sequencer, Subscription};
use almanac_store::postgres::{PostgresServer, Settings};
use almanac_store::testing::ScratchFolder;
use futures::TryStreamExt;
use sqlx::postgres::PgPoolCopyExt;

use crate::story::Story;

/// Instruments that are predicted at two horizons for each session.
const INSTRUMENTS: i32 = 500;

/// Sessions lived through: 1,000 predictions and about as many scores each.
const SESSIONS: i32 = 160;

/// Publishes and scores as the service does, session after session; `$1` and `$2` are the payloads of real events.
const LIFE: &str = "
with published as (
    select s, 0 as kind, i, h, jsonb_set(jsonb_set(jsonb_set(jsonb_set(jsonb_set(jsonb_set($1,
               '{PredictionPublished,slot,instrument}', to_jsonb(md5('instrument' || i)::uuid)),
               '{PredictionPublished,slot,round}', to_jsonb(md5('round' || s)::uuid)),
               '{PredictionPublished,slot,as_of}', to_jsonb(date '2020-01-01' + s)),
               '{PredictionPublished,slot,target}', to_jsonb(date '2020-01-01' + s + h)),
               '{PredictionPublished,slot,horizon}', to_jsonb(h)),
               '{PredictionPublished,forecast,expected}', to_jsonb('0.00' || (i * 7919 + s * 104729) % 9973)) as payload
      from generate_series(0, $3 - 1) s, generate_series(0, $4 - 1) i, (values (1), (5)) as horizons (h)
), scored as (
    select s + h as s, 1 as kind, i, h, $2 as payload
      from generate_series(0, $3 - 1) s, generate_series(0, $4 - 1) i, (values (1), (5)) as horizons (h) where s + h < $3
)
insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
select 'prediction', md5('prediction' || (case kind when 0 then s else s - h end) || ' ' || i || ' ' || h)::uuid::text,
       kind + 1, case kind when 0 then 'PredictionPublished' else 'PredictionScored' end,
       case kind when 0 then '1.1' else '1.0' end, payload, $5
  from (select * from published union all select * from scored) as life order by s, kind desc, h, i";

/// The resident memory of this process, in MB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}

async fn copied(database: &Database, what: &str) -> Duration {
    let began = Instant::now();
    let mut copy = database.pool().copy_out_raw(&format!("copy {what} to stdout")).await.unwrap();
    while copy.try_next().await.unwrap().is_some() {}
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, and needs the machine for itself"]
async fn speed_of_rebuilding_the_predictions() {
    let story = Story::told().await;
    let told = LogReader::new(&story.database).after(0, 1000).await.unwrap();
    let one = |name: &str| told.iter().rev().find(|event| event.event_type == name).unwrap().clone();
    let (published, scored) = (one("PredictionPublished"), one("PredictionScored"));

    let folder = ScratchFolder::new();
    let server = PostgresServer::start(&folder, Settings::durable()).await.unwrap();
    let database = Database::open(server.url()).await.unwrap();
    database.migrate().await.unwrap();
    sqlx::query(LIFE)
        .bind(&*published.payload)
        .bind(&*scored.payload)
        .bind(SESSIONS)
        .bind(INSTRUMENTS)
        .bind(&*published.metadata)
        .execute(database.pool())
        .await
        .unwrap();
    let events = Sequencer::seize(&database).await.unwrap().seal_all().await.unwrap();
    sqlx::query("vacuum analyze").execute(database.pool()).await.unwrap();
    let bytes: i64 =
        sqlx::query_scalar("select avg(pg_column_size(e.*))::bigint from events e tablesample system (1)")
            .fetch_one(database.pool())
            .await
            .unwrap();
    println!("{events} events of {bytes} bytes");
    let rate = |took: Duration| events as f64 / took.as_secs_f64();

    let live = Subscription::install(&database, Arc::new(Predictions)).await.unwrap();
    let began = Instant::now();
    live.run_until(events).await.unwrap();
    println!("live from zero: {:.0} events/s, {} MB", rate(began.elapsed()), resident());

    for _ in 0..2 {
        let copy = copied(&database, "events").await;
        println!("COPY events TO STDOUT: {:.0} events/s", rate(copy));
        let began = Instant::now();
        live.request_rebuild(None).await.unwrap();
        while live.builds().await.unwrap()[0].state == BuildState::Warming {
            live.tend().await.unwrap();
        }
        let warm = began.elapsed();
        println!(
            "{} warmed up: {:.0} events/s, {:.1} x the time of COPY, {} MB",
            predictions::NAME,
            rate(warm),
            warm.as_secs_f64() / copy.as_secs_f64(),
            resident()
        );
        let began = Instant::now();
        live.tend().await.unwrap();
        assert_eq!(live.builds().await.unwrap()[0].differences, Vec::<String>::new());
        println!("compared in {:?}", began.elapsed());
        let began = Instant::now();
        live.switch(false).await.unwrap();
        println!("switched in {:?}", began.elapsed());
        live.drop_builds().await.unwrap();
    }
}
