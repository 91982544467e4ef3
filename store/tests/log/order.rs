//! Sealing: whatever transactions do to each other, every committed event gets one ordinal, in the order of
//! its stream.

use std::time::Duration;

use almanac_projections::moment;
use almanac_store::StoreError;
use almanac_store::log::{Frontier, LogReader, Sealed, Sequencer};
use almanac_store::testing::{OwnServer, TestDatabase};
use sqlx::Executor;

use crate::counter::{Command, Counter};
use crate::counter::{bus, clock, count, insert, issued, key, noon, sealed};

async fn seal_once(sequencer: &mut Sequencer) -> (usize, usize) {
    let Sealed { events, held, .. } = sequencer.seal_once().await.unwrap();
    (events, held)
}

fn pairs(expected: &[(&str, i64)]) -> Vec<(String, i64)> {
    expected.iter().map(|(id, sequence)| ((*id).to_owned(), *sequence)).collect()
}

#[tokio::test]
async fn fault_01_writers_that_commit_in_reverse_order_lose_and_double_nothing() {
    let database = OwnServer::start().await;
    let mut sequencer = Sequencer::seize(&database).await.unwrap();
    let mut writers = vec![];
    for id in ["a", "b", "c", "d", "e"] {
        let mut transaction = database.pool().begin().await.unwrap();
        insert(&mut transaction, id, 1).await;
        writers.push(transaction);
    }
    while let Some(last) = writers.pop() {
        let first_remains = !writers.is_empty();
        last.commit().await.unwrap();
        let (events, _) = seal_once(&mut sequencer).await;
        assert_eq!(events, if first_remains { 0 } else { 5 }, "with {} writers open", writers.len());
    }
    assert_eq!(sealed(&database).await, pairs(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)]));
    assert_eq!(seal_once(&mut sequencer).await, (0, 0));
}

#[tokio::test]
async fn fault_02_rolled_back_appends_leave_gaps_in_positions_and_none_in_ordinals() {
    let database = OwnServer::start().await;
    let mut sequencer = Sequencer::seize(&database).await.unwrap();
    for (id, commits) in [("a", false), ("b", true), ("c", false), ("d", false), ("e", true), ("f", false)] {
        let mut transaction = database.pool().begin().await.unwrap();
        insert(&mut transaction, id, 1).await;
        if commits { transaction.commit().await.unwrap() } else { transaction.rollback().await.unwrap() }
    }
    assert_eq!(seal_once(&mut sequencer).await, (2, 0));
    assert_eq!(sealed(&database).await, pairs(&[("b", 1), ("e", 1)]));
    let positions: Vec<i64> = sqlx::query_scalar("select position from event_log order by ordinal")
        .fetch_all(database.pool())
        .await
        .unwrap();
    assert_eq!(positions, [2, 5], "the rolled-back ones did burn positions");
}

#[tokio::test]
async fn fault_04_an_early_transaction_that_straddles_two_windows_keeps_the_order_of_its_stream() {
    let database = OwnServer::start().await;
    let mut sequencer = Sequencer::seize(&database).await.unwrap();
    // Takes its id first and writes version 2 of `s` last.
    let mut early = database.pool().begin().await.unwrap();
    early.execute("select pg_current_xact_id()").await.unwrap();
    // Stands between the two, so that a window ends here.
    let mut between = database.pool().begin().await.unwrap();
    between.execute("select pg_current_xact_id()").await.unwrap();
    let blocking: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *between).await.unwrap();
    let mut late = database.pool().begin().await.unwrap();
    insert(&mut late, "s", 1).await;
    late.commit().await.unwrap();
    insert(&mut early, "s", 2).await;
    insert(&mut early, "other", 1).await;
    early.commit().await.unwrap();

    assert_eq!(
        seal_once(&mut sequencer).await,
        (1, 1),
        "`other` passes, version 2 of `s` waits for version 1"
    );
    assert_eq!(sealed(&database).await, pairs(&[("other", 1)]));
    // The held event is older than whoever blocks it: it waits for its predecessor, and that for the open transaction.
    let stall = Sequencer::stall(&database).await.unwrap().expect("something waits");
    assert_eq!(stall.blocking_pid, Some(blocking), "{}", stall.sentence());
    between.commit().await.unwrap();
    assert_eq!(seal_once(&mut sequencer).await, (2, 0), "the held event is read again");
    assert_eq!(sealed(&database).await, pairs(&[("other", 1), ("s", 1), ("s", 2)]));
    assert_eq!(seal_once(&mut sequencer).await, (0, 0));
    let behind: i64 =
        sqlx::query_scalar("select count(*) from events e, sequencer s where (e.xid, e.position) >= (s.xid_floor, s.position_floor)")
            .fetch_one(database.pool())
            .await
            .unwrap();
    assert_eq!(behind, 0, "the floor has passed everything that is sealed");
}

#[tokio::test]
async fn fault_05_an_open_transaction_in_another_database_delays_sealing_and_is_named() {
    let database = OwnServer::start().await;
    let mut sequencer = Sequencer::seize(&database).await.unwrap();
    let elsewhere = database.url().replace("/almanac?", "/postgres?");
    let mut blocker: sqlx::PgConnection = sqlx::Connection::connect(&elsewhere).await.unwrap();
    blocker.execute("begin; select pg_current_xact_id()").await.unwrap();
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut blocker).await.unwrap();
    count(&database, &["a"]).await;

    assert_eq!(seal_once(&mut sequencer).await, (0, 0));
    let stall = Sequencer::stall(&database).await.unwrap().expect("something waits");
    assert_eq!((stall.blocking_pid, stall.blocking_database.as_deref()), (Some(pid), Some("postgres")));
    blocker.execute("commit").await.unwrap();
    assert_eq!(seal_once(&mut sequencer).await, (1, 0));
    assert_eq!(Sequencer::stall(&database).await.unwrap(), None);
}

#[tokio::test]
async fn fault_07_a_deposed_sequencer_gives_out_nothing() {
    let database = TestDatabase::new().await;
    let mut old = Sequencer::seize(&database).await.unwrap();
    let mut new = Sequencer::seize(&database).await.unwrap();
    count(&database, &["a"]).await;
    assert!(matches!(old.seal_once().await, Err(StoreError::Deposed { .. })));
    assert_eq!(new.seal_all().await.unwrap(), 1);
    assert_eq!(sealed(&database).await, pairs(&[("a", 1)]));
}

#[tokio::test]
async fn fault_09_a_log_restored_into_a_fresh_cluster_goes_on() {
    let old = OwnServer::start().await;
    count(&old, &["a", "b", "a"]).await;
    Sequencer::seize(&old).await.unwrap().seal_all().await.unwrap();
    // Pushes the old cluster's counter ahead, and leaves an event that the dump holds unsealed.
    for _ in 0..50 {
        old.pool().execute("select pg_current_xact_id()").await.unwrap();
    }
    count(&old, &["b"]).await;

    let new = OwnServer::start().await;
    let server_programs = almanac_store::postgres::Programs::find(None).unwrap().folder;
    for statement in ["drop schema public cascade", "drop schema read cascade", "create schema public"] {
        new.pool().execute(statement).await.unwrap();
    }
    let dump = std::process::Command::new(server_programs.join("pg_dump")).arg(old.url()).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let script = String::from_utf8(dump.stdout).unwrap().replace("CREATE SCHEMA public;", "");
    let file = std::env::temp_dir().join(format!("almanac-dump-{}.sql", std::process::id()));
    std::fs::write(&file, script).unwrap();
    let restored = std::process::Command::new(server_programs.join("psql"))
        .args(["--quiet", "--set=ON_ERROR_STOP=1", "--dbname", new.url(), "--file"])
        .arg(&file)
        .output()
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));

    let mut sequencer = Sequencer::seize(&new).await.unwrap();
    let restored_head = LogReader::new(&new).head().await.unwrap();
    assert_eq!(restored_head, 4, "what the dump held unsealed is sealed at once");
    count(&new, &["a"]).await;
    assert_eq!(sequencer.seal_all().await.unwrap(), 5);
    assert_eq!(sealed(&new).await, pairs(&[("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3)]));
}

#[tokio::test]
async fn many_events_are_sealed_in_short_transactions_and_the_tree_grows_with_them() {
    let database = TestDatabase::new().await;
    sqlx::query(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         select 'counter', 's' || n % 7, n / 7 + 1, 'Counted', '1.0', '{\"Counted\": {\"by\": 1}}', '{}'
           from generate_series(0, 4999) n order by n",
    )
    .execute(database.pool())
    .await
    .unwrap();
    let mut sequencer = Sequencer::seize(&database).await.unwrap();
    assert_eq!(sequencer.seal_all().await.unwrap(), 5_000);
    assert_eq!(sealed(&database).await.len(), 5_000);
    let hashes: Vec<Vec<u8>> = sqlx::query_scalar("select event_hash from event_log order by ordinal")
        .fetch_all(database.pool())
        .await
        .unwrap();
    let mut tree = Frontier::default();
    for hash in hashes {
        tree.push(&hash.try_into().unwrap());
    }
    let kept: Vec<Vec<u8>> = sqlx::query_scalar("select unnest(frontier) from sequencer")
        .fetch_all(database.pool())
        .await
        .unwrap();
    assert_eq!(kept, tree.roots().iter().map(|root| root.to_vec()).collect::<Vec<_>>());
}

#[tokio::test]
async fn as_of_never_falls_and_answers_what_was_known_at_a_moment() {
    let database = TestDatabase::new().await;
    let ahead = clock();
    ahead.advance_to(noon() + chrono::Duration::hours(5));
    let fast = almanac_store::log::CommandBus::new(
        database.database().clone(),
        ahead,
        bus(&database).entropy().clone(),
    );
    count(&database, &["a"]).await;
    fast.execute::<Counter>("a", Command::Count { by: 1 }, &issued()).await.unwrap();
    count(&database, &["b"]).await;
    database.seal().await;
    let reader = LogReader::new(&database);
    let as_of: Vec<_> =
        reader.after(0, 9).await.unwrap().iter().map(|event| (event.as_of - noon()).num_hours()).collect();
    assert_eq!(as_of, [0, 5, 5]);
    for (hours, known) in [(-1, 0), (0, 1), (4, 1), (5, 3), (99, 3)] {
        let at = noon() + chrono::Duration::hours(hours);
        assert_eq!(moment::at_time(database.pool(), at).await.unwrap().ordinal, known, "{hours} h");
    }
    assert_eq!(reader.ordinal_of(&key("b", 1)).await.unwrap(), Some(3));
    assert_eq!(reader.by_key(&key("b", 2)).await.unwrap(), None);
}

#[tokio::test]
async fn a_running_sequencer_seals_at_once_and_a_follower_takes_over() {
    let database = TestDatabase::new().await;
    let leader = tokio::spawn(Sequencer::run(database.database().clone()));
    let mut head = database.head();
    count(&database, &["a", "b"]).await;
    let soon = Duration::from_secs(10);
    tokio::time::timeout(soon, head.wait_for(|head| *head == 2)).await.expect("it seals").unwrap();
    let follower = tokio::spawn(Sequencer::run(database.database().clone()));
    leader.abort();
    count(&database, &["a"]).await;
    tokio::time::timeout(soon, head.wait_for(|head| *head == 3)).await.expect("the follower seals").unwrap();
    follower.abort();
    assert_eq!(sealed(&database).await, pairs(&[("a", 1), ("b", 1), ("a", 2)]));
}
