//! The private server: one on a folder, gone with its process, and back after every kind of death.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use almanac_store::Database;
use almanac_store::postgres::{PostgresError, PostgresServer, Settings};
use almanac_store::testing::ScratchFolder;
use sqlx::Executor;

async fn start(folder: &Path) -> Result<PostgresServer, PostgresError> {
    PostgresServer::start(folder, Settings::for_tests()).await
}

fn server_pid(folder: &Path) -> Option<u32> {
    fs::read_to_string(folder.join("postgres/postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
}

fn runs(pid: u32) -> bool {
    Command::new("kill").args(["-0", &pid.to_string()]).stderr(Stdio::null()).status().unwrap().success()
}

fn kill_9(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..4_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never happened: {what}");
}

async fn rows(url: &str) -> i64 {
    let database = Database::open(url).await.unwrap();
    let rows =
        sqlx::query_scalar("select count(*) from public.kept").fetch_one(database.pool()).await.unwrap();
    database.pool().close().await;
    rows
}

async fn keep_a_row(url: &str) {
    let database = Database::open(url).await.unwrap();
    database
        .pool()
        .execute("create table public.kept (n int); insert into public.kept values (1)")
        .await
        .unwrap();
    database.pool().close().await;
}

#[tokio::test]
async fn a_server_keeps_its_data_over_a_stop_and_listens_on_no_network() {
    let folder = ScratchFolder::new();
    let server = start(&folder).await.unwrap();
    keep_a_row(server.url()).await;
    let database = Database::open(server.url()).await.unwrap();
    let listens: String =
        sqlx::query_scalar("show listen_addresses").fetch_one(database.pool()).await.unwrap();
    assert_eq!(listens, "");
    drop(database);
    let pid = server_pid(&folder).unwrap();
    server.stop().await.unwrap();
    assert!(!runs(pid) && server_pid(&folder).is_none(), "it ended in the orderly way");
    let server = start(&folder).await.unwrap();
    assert_eq!(rows(server.url()).await, 1);
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused_and_the_first_one_goes_on() {
    let folder = ScratchFolder::new();
    let first = start(&folder).await.unwrap();
    let refused = start(&folder).await.unwrap_err();
    assert!(matches!(refused, PostgresError::InUse(_)), "{refused}");
    assert!(refused.to_string().contains("another almanac is running"), "{refused}");
    keep_a_row(first.url()).await;
    assert_eq!(rows(first.url()).await, 1);
}

#[tokio::test]
async fn a_dropped_server_ends() {
    let folder = ScratchFolder::new();
    let server = start(&folder).await.unwrap();
    let pid = server_pid(&folder).unwrap();
    drop(server);
    until("the server ends", || !runs(pid)).await;
}

#[tokio::test]
async fn a_server_whose_process_was_killed_ends_and_the_next_process_goes_on_with_its_data() {
    let folder = ScratchFolder::new();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "postgres::the_victim"])
        .env("ALMANAC_VICTIM_FOLDER", folder.as_os_str())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the victim keeps its row", || folder.join("kept").exists()).await;
    let pid = server_pid(&folder).unwrap();
    assert!(
        matches!(start(&folder).await, Err(PostgresError::InUse(_))),
        "the victim still holds the folder"
    );
    victim.kill().unwrap();
    victim.wait().unwrap();

    let server = start(&folder).await.unwrap();
    assert!(!runs(pid), "the server of the victim has ended");
    assert_eq!(rows(server.url()).await, 1);
}

#[tokio::test]
#[ignore = "it is started by the test that kills it"]
async fn the_victim() {
    let folder = std::env::var_os("ALMANAC_VICTIM_FOLDER").unwrap();
    let server = start(Path::new(&folder)).await.unwrap();
    keep_a_row(server.url()).await;
    fs::write(Path::new(&folder).join("kept"), "").unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_server_that_is_killed_is_started_again_with_its_data() {
    let folder = ScratchFolder::new();
    // With the durability of the real thing: what is committed must outlive the server.
    let server = PostgresServer::start(&folder, Settings::durable()).await.unwrap();
    keep_a_row(server.url()).await;
    let killed = server_pid(&folder).unwrap();
    kill_9(killed);
    until("another server runs", || server_pid(&folder).is_some_and(|pid| pid != killed && runs(pid))).await;
    let mut database = Database::open(server.url()).await;
    for _ in 0..500 {
        if database.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        database = Database::open(server.url()).await;
    }
    drop(database.unwrap());
    assert_eq!(rows(server.url()).await, 1);
}

#[tokio::test]
async fn a_stale_pid_that_belongs_to_another_program_by_now_does_not_keep_the_server_from_starting() {
    let folder = ScratchFolder::new();
    start(&folder).await.unwrap().stop().await.unwrap();
    let mut foreign = Command::new("sleep").arg("60").spawn().unwrap();
    let stale =
        format!("{}\n{}\n1700000000\n5432\n/nowhere\n\n", foreign.id(), folder.join("postgres").display());
    fs::write(folder.join("postgres/postmaster.pid"), stale).unwrap();
    let started = start(&folder).await;
    foreign.kill().unwrap();
    foreign.wait().unwrap();
    assert!(started.is_ok(), "{}", started.unwrap_err());
}

#[tokio::test]
async fn an_interrupted_making_of_the_data_folder_is_begun_anew() {
    let folder = ScratchFolder::new();
    fs::create_dir(folder.join("postgres.unfinished")).unwrap();
    fs::write(folder.join("postgres.unfinished/PG_VERSION"), "15\n").unwrap();
    let server = start(&folder).await.unwrap();
    keep_a_row(server.url()).await;
}

#[tokio::test]
async fn a_folder_made_by_a_version_that_is_not_here_is_named() {
    let folder = ScratchFolder::new();
    fs::create_dir(folder.join("postgres")).unwrap();
    fs::write(folder.join("postgres/PG_VERSION"), "9\n").unwrap();
    let refused = start(&folder).await.unwrap_err().to_string();
    assert!(refused.contains("made by PostgreSQL 9") && !refused.contains('\n'), "{refused}");
}

#[tokio::test]
async fn as_root_a_folder_the_server_cannot_reach_is_refused_with_a_way_out() {
    let folder = ScratchFolder::new();
    fs::set_permissions(&*folder, fs::Permissions::from_mode(0o700)).unwrap();
    let started = start(&folder).await;
    let is_root = fs::metadata(&*folder).is_ok_and(|met| std::os::unix::fs::MetadataExt::uid(&met) == 0);
    if is_root {
        let refused = started.unwrap_err().to_string();
        assert!(refused.contains("/var/lib/almanac") && !refused.contains('\n'), "{refused}");
    } else {
        assert!(started.is_ok(), "a user of its own reaches its own folder");
    }
}
