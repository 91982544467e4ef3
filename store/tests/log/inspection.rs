//! Logs that were moved: dumps and copies whose transaction ids mean nothing where they are now.

use std::path::Path;
use std::process::Command;

use almanac_store::Database;
use almanac_store::log::{Inspection, LogReader, Sequencer};
use almanac_store::postgres::{PostgresServer, Programs, Settings};
use almanac_store::testing::{OwnServer, ScratchFolder, TestDatabase};
use sqlx::Executor;

use crate::counter::{count, insert, sealed};

fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let path = Programs::find(None).unwrap().folder.join(program);
    let output = Command::new(path).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Replaces everything in `to` with a logical dump of `from`.
async fn dump_and_restore(from: &str, to: &Database, to_url: &str, scratch: &Path) {
    for statement in ["drop schema public cascade", "drop schema read cascade", "create schema public"] {
        to.pool().execute(statement).await.unwrap();
    }
    let script = String::from_utf8(run("pg_dump", &[from])).unwrap().replace("CREATE SCHEMA public;", "");
    let file = scratch.join("dump.sql");
    std::fs::write(&file, script).unwrap();
    run("psql", &["--quiet", "--set=ON_ERROR_STOP=1", "--dbname", to_url, "--file", file.to_str().unwrap()]);
}

async fn burn(database: &Database, ids: usize) {
    for _ in 0..ids {
        database.pool().execute("select pg_current_xact_id()").await.unwrap();
    }
}

#[tokio::test]
async fn fault_17_a_program_that_is_older_than_the_database_starts_on_it_and_runs_no_migration_again() {
    let database = TestDatabase::new().await;
    database
        .pool()
        .execute(
            "insert into public._sqlx_migrations (version, description, success, checksum, execution_time)
             values (9999, 'of a newer program', true, 'x', 0)",
        )
        .await
        .unwrap();
    database.migrate().await.unwrap();
    database.check_migrated().await.unwrap();
    database
        .pool()
        .execute("update public._sqlx_migrations set checksum = 'y' where version = 1")
        .await
        .unwrap();
    assert!(database.migrate().await.is_err(), "one of its own that is another is refused");
}

async fn on(server: &PostgresServer) -> Database {
    let database = Database::open(server.url()).await.unwrap();
    database.migrate().await.unwrap();
    database
}

/// A cluster, and a physical copy of it taken early: the same identifier, an older counter.
struct Pair {
    original: Database,
    copy: Database,
    urls: (String, String),
    _servers: (PostgresServer, PostgresServer),
    folders: (ScratchFolder, ScratchFolder),
}

impl Pair {
    async fn start() -> Self {
        let folders = (ScratchFolder::new(), ScratchFolder::new());
        let first = PostgresServer::start(&folders.0, Settings::for_tests()).await.unwrap();
        let database = on(&first).await;
        count(&database, &["a"]).await;
        Sequencer::seize(&database).await.unwrap().seal_all().await.unwrap();
        database.pool().close().await;
        first.stop().await.unwrap();
        let (from, to) = (folders.0.join("postgres"), folders.1.join("postgres"));
        let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
        assert!(copied.success());
        let servers = (
            PostgresServer::start(&folders.0, Settings::for_tests()).await.unwrap(),
            PostgresServer::start(&folders.1, Settings::for_tests()).await.unwrap(),
        );
        let (original, copy) = (on(&servers.0).await, on(&servers.1).await);
        let urls = (servers.0.url().to_owned(), servers.1.url().to_owned());
        Self { original, copy, urls, _servers: servers, folders }
    }

    async fn move_the_log(&self) {
        dump_and_restore(&self.urls.0, &self.copy, &self.urls.1, &self.folders.1).await;
    }

    async fn goes_on(&self, expected: usize) {
        let before = sealed(&self.copy).await.len();
        let mut sequencer = Sequencer::seize(&self.copy).await.unwrap();
        count(&self.copy, &["z"]).await;
        sequencer.seal_all().await.unwrap();
        let after = sealed(&self.copy).await;
        assert_eq!(after.len(), expected, "{before} before, {after:?}");
        assert_eq!(Sequencer::inspect(&self.copy).await.unwrap(), Inspection::Sound);
        assert_eq!(Sequencer::stall(&self.copy).await.unwrap(), None);
    }
}

#[tokio::test]
async fn fault_09_a_dump_restored_onto_a_physical_copy_with_an_older_counter_goes_on() {
    let pair = Pair::start().await;
    burn(&pair.original, 80).await;
    count(&pair.original, &["b", "a"]).await;
    Sequencer::seize(&pair.original).await.unwrap().seal_all().await.unwrap();
    count(&pair.original, &["b"]).await;
    pair.move_the_log().await;
    pair.goes_on(5).await;
}

#[tokio::test]
async fn fault_09_a_dumped_event_whose_id_is_not_given_out_yet_does_not_wait_for_it() {
    let pair = Pair::start().await;
    // The copy's counter has passed the floor of the log, but not the ids of what the dump holds unsealed.
    burn(&pair.copy, 400).await;
    burn(&pair.original, 5_000).await;
    count(&pair.original, &["b", "b"]).await;
    pair.move_the_log().await;
    let floor: (bool, bool) = sqlx::query_as(
        "select xid_floor < pg_snapshot_xmax(pg_current_snapshot()),
                (select max(xid) from events) > pg_snapshot_xmax(pg_current_snapshot()) from sequencer",
    )
    .fetch_one(pair.copy.pool())
    .await
    .unwrap();
    assert_eq!(floor, (true, true), "only the ids of the events tell");
    assert_eq!(Sequencer::inspect(&pair.copy).await.unwrap(), Inspection::Foreign);
    pair.goes_on(4).await;
}

#[tokio::test]
async fn after_a_restore_the_old_cluster_s_ids_stand_in_no_window() {
    let (old, new, scratch) = (OwnServer::start().await, OwnServer::start().await, ScratchFolder::new());
    burn(&old, 3_000).await;
    for _ in 0..10 {
        count(&old, &["a", "b", "c"]).await;
    }
    Sequencer::seize(&old).await.unwrap().seal_all().await.unwrap();
    dump_and_restore(old.url(), &new, new.url(), &scratch).await;
    let mut sequencer = Sequencer::seize(&new).await.unwrap();
    let above: i64 =
        sqlx::query_scalar("select count(*) from events e, sequencer s where e.xid >= s.xid_floor")
            .fetch_one(new.pool())
            .await
            .unwrap();
    assert_eq!(above, 0, "each look would read them again");
    let refused = new.pool().execute("update events set xid = '0'").await.unwrap_err();
    assert!(refused.to_string().contains("append-only"), "{refused}");
    count(&new, &["a"]).await;
    assert!(!sequencer.seal_once().await.unwrap().waiting, "nothing but open transactions is waited for");
    assert_eq!(LogReader::new(&new).head().await.unwrap(), 31);
    assert_eq!(sealed(&new).await.len(), 31);
}

#[tokio::test]
async fn an_event_passed_over_is_found_and_named_by_the_hourly_look() {
    let database = TestDatabase::new().await;
    count(&database, &["a", "b"]).await;
    database.seal().await;
    assert_eq!(Sequencer::inspect(&database).await.unwrap(), Inspection::Sound);
    // Somebody with the owner's rights writes an event under an id of long ago.
    let mut connection = database.pool().acquire().await.unwrap();
    insert(&mut connection, "lost", 1).await;
    for statement in [
        "alter table events disable trigger events_append_only",
        "update events set xid = '3' where aggregate_id = 'lost'",
        "alter table events enable always trigger events_append_only",
    ] {
        connection.execute(statement).await.unwrap();
    }
    let Inspection::Unsound(sentence) = Sequencer::inspect(&database).await.unwrap() else {
        panic!("it was not found")
    };
    assert!(sentence.contains("1 committed event") && sentence.contains("counter:lost:1"), "{sentence}");

    let leader = tokio::spawn(Sequencer::run(database.database().clone()));
    let noted = "select finding from sequencer where inspected_at is not null";
    let began = std::time::Instant::now();
    let finding: Option<String> = loop {
        if let Some(finding) = sqlx::query_scalar(noted).fetch_optional(database.pool()).await.unwrap() {
            break finding;
        }
        assert!(began.elapsed().as_secs() < 20, "a new leader inspects at once");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(finding, Some(sentence));
    leader.abort();
}

#[tokio::test]
async fn after_a_restore_a_long_rest_is_sealed_in_order_also_where_an_event_stands_far_before_its_predecessor()
 {
    let database = TestDatabase::new().await;
    count(&database, &["a"]).await;
    database.seal().await;
    let mut connection = database.pool().acquire().await.unwrap();
    insert(&mut connection, "b", 3).await;
    insert(&mut connection, "b", 2).await;
    connection
        .execute(
            "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
             select 'counter', 'x' || n, 1, 'Counted', '1.0', '{\"Counted\": {\"by\": 1}}', '{}'
               from generate_series(1, 4500) n",
        )
        .await
        .unwrap();
    insert(&mut connection, "b", 1).await;
    connection.execute("update sequencer set cluster_identifier = 'another'").await.unwrap();
    Sequencer::seize(&database).await.unwrap();
    let order = sealed(&database).await;
    assert_eq!(order.len(), 4_504);
    let last: Vec<_> =
        order[4_501..].iter().map(|(stream, sequence)| format!("{stream} {sequence}")).collect();
    assert_eq!(last, ["b 1", "b 2", "b 3"]);
    assert_eq!(Sequencer::inspect(&database).await.unwrap(), Inspection::Sound);
}

#[tokio::test]
async fn fault_09_a_restored_log_that_lacks_an_event_says_which_until_the_event_is_there() {
    let database = TestDatabase::new().await;
    count(&database, &["a"]).await;
    database.seal().await;
    let mut connection = database.pool().acquire().await.unwrap();
    insert(&mut connection, "b", 2).await;
    connection.execute("update sequencer set cluster_identifier = 'another'").await.unwrap();
    let refused = Sequencer::seize(&database).await.unwrap_err();
    assert!(refused.to_string().contains("lacks the event before counter:b:2"), "{refused}");
    let finding = Sequencer::standing(&database).await.unwrap().finding;
    assert_eq!(finding, Some(refused.to_string()), "health has it from here");

    insert(&mut connection, "b", 1).await;
    let leader = tokio::spawn(Sequencer::run(database.database().clone()));
    let began = std::time::Instant::now();
    while Sequencer::standing(&database).await.unwrap().finding.is_some() {
        assert!(began.elapsed().as_secs() < 20, "a leader that can seal inspects at once");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(sealed(&database).await.len(), 3);
    leader.abort();
}

#[tokio::test]
async fn an_event_passed_over_is_found_also_beyond_the_first_page_of_the_log() {
    let database = TestDatabase::new().await;
    let mut connection = database.pool().acquire().await.unwrap();
    connection
        .execute(
            "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
             select 'counter', 'x' || n, 1, 'Counted', '1.0', '{\"Counted\": {\"by\": 1}}', '{}'
               from generate_series(1, 50010) n",
        )
        .await
        .unwrap();
    database.seal().await;
    assert_eq!(Sequencer::inspect(&database).await.unwrap(), Inspection::Sound);
    insert(&mut connection, "lost", 1).await;
    for statement in [
        "alter table events disable trigger events_append_only",
        "update events set xid = '3' where aggregate_id = 'lost'",
        "alter table events enable always trigger events_append_only",
    ] {
        connection.execute(statement).await.unwrap();
    }
    let Inspection::Unsound(sentence) = Sequencer::inspect(&database).await.unwrap() else {
        panic!("it was not found")
    };
    assert!(sentence.contains("1 committed event") && sentence.contains("counter:lost:1"), "{sentence}");
}
