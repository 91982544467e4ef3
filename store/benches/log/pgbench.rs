//! pgbench, which inserts the same row and decides nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use almanac_store::Database;
use almanac_store::postgres::Programs;
use almanac_store::testing::ScratchFolder;

use crate::cpu::Used;
use crate::note::TEXT;
use crate::table::Turn;

/// The row of one event, under a stream and ids of its own as ours have. Two random ids stand for the four of ours.
fn script() -> String {
    format!(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         select 'note', id::text, 1, 'Written', '1.0', '{{\"Written\":{{\"text\":\"{TEXT}\"}}}}'::jsonb,
                ('{{\"at\":\"2024-05-06T12:00:00.000000Z\",\"command_id\":\"' || command || '\",\"correlation_id\":\"'
                 || command || '\",\"account\":\"' || id || '\"}}')::jsonb
           from (select gen_random_uuid() as id, gen_random_uuid() as command) ids;"
    )
    .replace('\n', " ")
}

/// Runs `clients` connections for `time`, each inserting one row after the other.
pub async fn run(database: &Database, url: &str, clients: usize, time: Duration) -> Turn {
    let folder = ScratchFolder::new();
    let file = folder.join("insert.sql");
    fs::write(&file, script()).unwrap();
    let before = Used::now(database.pool()).await;
    let output = Command::new(program())
        .args(["--no-vacuum", "--protocol=prepared", "--log", "--log-prefix=times"])
        .arg(format!("--client={clients}"))
        .arg(format!("--jobs={}", clients.min(2)))
        .arg(format!("--time={}", time.as_secs()))
        .arg(format!("--file={}", file.display()))
        .arg(url)
        .current_dir(&*folder)
        .env("PGOPTIONS", "-c synchronous_commit=on")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let used = Used::now(database.pool()).await;
    let times = times(&folder);
    let cpu = used.since(before, times.len());
    let turn = Turn::new(times.len(), time, times);
    // Its own count leaves out the time in which it connects.
    let said = String::from_utf8_lossy(&output.stdout);
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    Turn { rate: rate.expect("pgbench tells its rate"), cpu, ..turn }
}

/// The third word of each line of its log: microseconds.
fn times(folder: &Path) -> Vec<f64> {
    let mut times = vec![];
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("times") {
            let log = fs::read_to_string(entry.path()).unwrap();
            let micros = log.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<f64>().ok());
            times.extend(micros.map(|micros| micros / 1_000.0));
        }
    }
    times
}

fn program() -> PathBuf {
    let beside = Programs::find(None).unwrap().folder.join("pgbench");
    if beside.is_file() { beside } else { "pgbench".into() }
}
