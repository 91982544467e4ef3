//! How fast exports are made, read and brought in, printed beside `COPY` of the same events in the same run:
//! `cargo nextest run -p almanac-store --test archive --run-ignored only --no-capture speed`.

use std::fs;
use std::time::Instant;

use almanac_store::Database;
use almanac_store::archive::{Archive, ExportWish, Format, Identity, export, import};
use almanac_store::log::Sequencer;
use almanac_store::postgres::{PostgresServer, Settings};
use almanac_store::testing::ScratchFolder;
use almanac_store::transparency::verify::{self, Given};
use futures::StreamExt;
use sqlx::PgConnection;
use sqlx::postgres::PgPoolCopyExt;

const HISTORY: i64 = 300_000;

/// The most memory this process has used so far, in MB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or_default()
        / 1_024
}

fn told(what: &str, began: Instant, copied: f64) -> f64 {
    let rate = HISTORY as f64 / began.elapsed().as_secs_f64();
    println!("{what}: {rate:.0} events/s, {:.2} x the time of COPY; peak {} MB", copied / rate, peak());
    rate
}

async fn fresh(server: &PostgresServer, name: &str) -> Database {
    let mut connection: PgConnection = sqlx::Connection::connect(server.url()).await.unwrap();
    sqlx::query(&format!("create database {name}")).execute(&mut connection).await.unwrap();
    let database = Database::open(&server.url().replace("/almanac?", &format!("/{name}?"))).await.unwrap();
    database.migrate().await.unwrap();
    database
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, and needs the machine for itself"]
async fn speed_of_exports_and_imports() {
    let (folder, files) = (ScratchFolder::new(), ScratchFolder::new());
    let server = PostgresServer::start(&folder, Settings::durable()).await.unwrap();
    let database = Database::open(server.url()).await.unwrap();
    database.migrate().await.unwrap();
    sqlx::query(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         select 'prediction', md5((n % 9973)::text)::uuid::text, n / 9973 + 1, 'PredictionPublished', '1.0',
                jsonb_build_object('PredictionPublished', jsonb_build_object(
                    'slot', jsonb_build_object('instrument', md5(n::text)::uuid, 'as_of', '2024-05-06', 'horizon', 5),
                    'forecast', jsonb_build_object('expected', '0.00' || n, 'up', '0.5' || n, 'quantiles',
                        jsonb_build_array('-0.1' || n, '-0.05' || n, '0.00' || n, '0.05' || n, '0.1' || n)),
                    'version', 3, 'mode', 'live', 'digest', encode(sha256(n::text::bytea), 'hex'))),
                jsonb_build_object('at', '2024-05-06T20:00:00.000000Z', 'correlation_id', md5((n / 60)::text)::uuid,
                    'command_id', md5('c' || n)::uuid)
           from generate_series(0, $1 - 1) n order by n",
    )
    .bind(HISTORY)
    .execute(database.pool())
    .await
    .unwrap();
    Sequencer::seize(&database).await.unwrap().seal_all().await.unwrap();
    sqlx::query("vacuum analyze").execute(database.pool()).await.unwrap();

    let copy =
        "copy (select l.ordinal, l.as_of, l.event_hash, e.* from event_log l join events e using (position)
                       order by l.ordinal) to stdout";
    let mut copied = 0.0;
    for _ in 0..2 {
        let began = Instant::now();
        let mut rows = database.pool().copy_out_raw(copy).await.unwrap();
        let mut bytes = 0;
        while let Some(chunk) = rows.next().await {
            bytes += chunk.unwrap().len();
        }
        copied = HISTORY as f64 / began.elapsed().as_secs_f64();
        println!("COPY TO STDOUT: {copied:.0} events/s, {} bytes an event", bytes / HISTORY as usize);
    }
    let began = Instant::now();
    let report = verify::database(&database, Given::default(), |_| {}).await.unwrap();
    assert!(report.is_sound());
    told("verifying the database", began, copied);

    for format in [Format::Jsonl, Format::Parquet] {
        let out = files.join(format.name());
        let wish = ExportWish { format: Some(format), ..ExportWish::default() };
        let began = Instant::now();
        let done = export(&database, &out, &wish, &mut |_| {}).await.unwrap();
        told(
            &format!("exporting as {format}, {} bytes an event", done.bytes / HISTORY as u64),
            began,
            copied,
        );

        let archive = Archive::open(&out).unwrap();
        let began = Instant::now();
        let mut batches = archive.batches();
        while let Some(batch) = batches.next().await {
            batch.unwrap();
        }
        told(&format!("reading {format}"), began, copied);
        let began = Instant::now();
        let report = verify::events(archive.batches(), Given::default(), Vec::new(), |_| {}).await.unwrap();
        assert!(report.is_sound());
        told(&format!("verifying {format}"), began, copied);

        let moved = fresh(&server, format.name()).await;
        let began = Instant::now();
        import(&moved, &archive, Identity::Kept, |_| Ok(None), &mut |_| {}).await.unwrap();
        told(&format!("importing {format}"), began, copied);
    }
}
