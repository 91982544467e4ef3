//! Whole databases moved by PostgreSQL's own means: what was sealed before is what is verified after.

use std::fs;
use std::path::Path;
use std::process::Command;

use almanac_store::Database;
use almanac_store::archive::Format;
use almanac_store::log::Sequencer;
use almanac_store::postgres::{PostgresServer, Programs, Settings};
use almanac_store::testing::{OwnServer, ScratchFolder, TestDatabase};
use almanac_store::transparency::verify::{self, Given, Report};

use crate::counter::{Command as Count, Counter, bus, count, issued};
use crate::lived::{self, everything, exported, folder, imported, key, publish};

/// Verifies with the key that is known from elsewhere.
async fn sound(database: &Database) -> Report {
    let given = Given { key: Some(key().verifier().clone()), ..Given::default() };
    let report = verify::database(database, given, |_| {}).await.unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert!(report.checkpoints.checked > 0);
    report
}

/// A few more commands, sealed, published and verified.
async fn goes_on(database: &Database, report: &Report) {
    count(database, &["after", "after"]).await;
    bus(database).execute::<Counter>("least", Count::Say("\u{1f600}".into()), &issued()).await.unwrap();
    publish(database).await;
    assert_eq!(sound(database).await.events, report.events + 3);
}

fn run(program: &str, arguments: &[&str]) {
    let program = Programs::find(None).unwrap().folder.join(program);
    let output = Command::new(&program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
}

/// The lived-in log on a server of its own, which a test may stop.
async fn on_a_server(url: &str) -> Database {
    let database = Database::open(url).await.unwrap();
    database.migrate().await.unwrap();
    let (lived, files) = (lived::database().await, folder());
    exported(&lived, &files, Format::Jsonl).await;
    imported(&database, &files).await.unwrap();
    database
}

#[tokio::test]
async fn fault_09_a_dump_restored_into_a_fresh_cluster_verifies_and_goes_on() {
    let (old, files) = (OwnServer::start().await, folder());
    on_a_server(old.url()).await;
    // The old cluster's counter is far ahead, and the dump holds an event that is not sealed.
    for _ in 0..50 {
        sqlx::query("select pg_current_xact_id()").execute(old.pool()).await.unwrap();
    }
    count(&old, &["unsealed"]).await;
    let before = everything(&old).await;
    let dump = files.join("dump");
    run("pg_dump", &["--format=custom", "--file", dump.to_str().unwrap(), old.url()]);

    let new = OwnServer::start().await;
    sqlx::query("create database restored template template0").execute(new.pool()).await.unwrap();
    let url = new.url().replace("/almanac?", "/restored?");
    run("pg_restore", &["--exit-on-error", "--dbname", &url, dump.to_str().unwrap()]);
    let new_database = Database::open(&url).await.unwrap();
    assert_eq!(everything(&new_database).await, before);
    assert_eq!(sound(&new_database).await.unsealed, 1);

    Sequencer::seize(&new_database).await.unwrap().seal_all().await.unwrap();
    let report = sound(&new_database).await;
    assert_eq!(report.events as usize, before.0.len() + 1, "what the dump held unsealed is sealed");
    goes_on(&new_database, &report).await;

    // And from there out of the house again.
    let out = folder();
    exported(&new_database, &out, Format::Parquet).await;
    let moved = TestDatabase::new().await;
    imported(&moved, &out).await.unwrap();
    assert_eq!(everything(&moved).await, everything(&new_database).await);
    sound(&moved).await;
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").args(["-a"]).arg(from).arg(to).status().unwrap().success());
}

#[tokio::test]
async fn a_copy_of_the_data_folder_and_a_restarted_server_verify_and_go_on() {
    let (first, second) = (ScratchFolder::new(), ScratchFolder::new());
    let server = PostgresServer::start(&first, Settings::durable()).await.unwrap();
    let database = on_a_server(server.url()).await;
    let report = sound(&database).await;
    database.pool().close().await;
    server.stop().await.unwrap();
    copy(&first.join("postgres"), &second.join("postgres"));

    for folder in [&first, &second] {
        let server = PostgresServer::start(folder, Settings::durable()).await.unwrap();
        let database = Database::open(server.url()).await.unwrap();
        assert_eq!(sound(&database).await, report);
        Sequencer::seize(&database).await.unwrap();
        goes_on(&database, &report).await;
        database.pool().close().await;
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_its_work_verifies_and_goes_on() {
    let folder = ScratchFolder::new();
    let server = PostgresServer::start(&folder, Settings::durable()).await.unwrap();
    let database = on_a_server(server.url()).await;
    let report = sound(&database).await;
    let pid = fs::read_to_string(folder.join("postgres/postmaster.pid")).unwrap();
    let pid = pid.lines().next().unwrap().to_owned();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    // The keeper of the server starts it again; until then there are errors.
    let mut again = Database::open(server.url()).await;
    for _ in 0..500 {
        if again.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        again = Database::open(server.url()).await;
    }
    let again = again.unwrap();
    assert_eq!(sound(&again).await, report);
    goes_on(&again, &report).await;
}
