//! Subscriptions: every sealed event has its effect exactly once, whatever dies in between.

use std::sync::Arc;
use std::time::{Duration, Instant};

use almanac_store::Database;
use almanac_store::log::{
    Handler, HandlerError, OnPoison, Recorded, Replayed, Sequencer, State, Step, Subscription, Until,
    wait_for,
};
use almanac_store::testing::{OwnServer, TestDatabase};
use async_trait::async_trait;
use sqlx::{Executor, PgConnection};

use crate::counter::{Command, Counter, Totals, bus, count, issued, key, seen, shown, totals};
use crate::victim;

const SOON: Duration = Duration::from_secs(10);

/// The poll is 250 ms; a busy machine may add to it, once.
fn usually_within_the_poll(mut took: Vec<Duration>) -> bool {
    took.sort();
    took[took.len() / 2] < Duration::from_secs(2)
}

fn row(id: &str, total: i64) -> (String, i64) {
    (id.to_owned(), total)
}

#[tokio::test]
async fn a_projection_follows_the_log_and_applying_twice_changes_nothing() {
    let database = TestDatabase::new().await;
    let totals = totals(&database).await;
    count(&database, &["a", "b", "a"]).await;
    let head = database.seal().await;
    totals.run_until(head).await.unwrap();
    assert_eq!(shown(&database).await, [row("a", 2), row("b", 1)]);
    assert_eq!(totals.step().await.unwrap(), Step::Idle);
    let again = crate::counter::totals(&database).await;
    assert_eq!(again.step().await.unwrap(), Step::Idle, "installing it again changes nothing");
    assert_eq!(shown(&database).await, [row("a", 2), row("b", 1)]);
}

#[tokio::test]
async fn fault_15_a_process_killed_between_apply_and_commit_leaves_no_effect_behind() {
    let server = OwnServer::start().await;
    let totals = totals(&server).await;
    count(&server, &["a", "b", "a"]).await;
    let head = Sequencer::seize(&server).await.unwrap().seal_all().await.unwrap();
    victim::run_until_it_hangs_and_kill_it(&server, server.url(), victim::BEFORE_COMMIT).await;
    assert_eq!(totals.position().await.unwrap(), 0, "nothing was committed");
    totals.run_until(head).await.unwrap();
    assert_eq!(seen(&server).await, [1, 2, 3]);
    assert_eq!(shown(&server).await, [row("a", 2), row("b", 1)]);
}

#[tokio::test]
async fn fault_15_a_process_killed_between_commit_and_acknowledgement_repeats_no_effect() {
    let server = OwnServer::start().await;
    let totals = totals(&server).await;
    count(&server, &["a", "b", "a"]).await;
    let head = Sequencer::seize(&server).await.unwrap().seal_all().await.unwrap();
    victim::run_until_it_hangs_and_kill_it(&server, server.url(), victim::AFTER_COMMIT).await;
    assert_eq!(totals.position().await.unwrap(), head, "everything was committed");
    count(&server, &["b"]).await;
    let head = Sequencer::seize(&server).await.unwrap().seal_all().await.unwrap();
    totals.run_until(head).await.unwrap();
    assert_eq!(seen(&server).await, [1, 2, 3, 4]);
    assert_eq!(shown(&server).await, [row("a", 2), row("b", 2)]);
}

#[tokio::test]
async fn two_nodes_stepping_the_same_subscription_have_every_effect_once() {
    let database = TestDatabase::new().await;
    let nodes = [totals(&database).await, totals(&database).await, totals(&database).await];
    let ids: Vec<String> = (0..900).map(|n| format!("c{}", n % 30)).collect();
    bus(&database)
        .execute_batch::<Counter>(
            ids.into_iter().map(|id| (id, Command::Count { by: 1 })).collect(),
            &issued(),
        )
        .await
        .unwrap();
    let head = database.seal().await;
    let ended =
        futures::future::join_all(nodes.map(|node| tokio::spawn(async move { node.run_until(head).await })))
            .await;
    assert!(ended.into_iter().all(|end| end.unwrap().is_ok()));
    assert_eq!(seen(&database).await, (1..=900).collect::<Vec<_>>());
}

struct Picky(OnPoison);

#[async_trait]
impl Handler for Picky {
    fn name(&self) -> &'static str {
        "picky"
    }

    fn version(&self) -> i32 {
        1
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Totals { version: 1 }.schema_sql()
    }

    fn on_poison(&self) -> OnPoison {
        self.0
    }

    async fn apply(&self, connection: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        Totals { version: 1 }.apply(connection, event).await
    }
}

async fn poison_in_the_middle(database: &Database) {
    count(database, &["a"]).await;
    bus(database).execute::<Counter>("b", Command::Say("poison".into()), &issued()).await.unwrap();
    count(database, &["c"]).await;
}

#[tokio::test]
async fn fault_17_a_poison_event_stops_the_subscription_before_itself_until_somebody_resumes_it() {
    let database = TestDatabase::new().await;
    let picky = Subscription::install(&database, Arc::new(Picky(OnPoison::Stop))).await.unwrap();
    poison_in_the_middle(&database).await;
    let head = database.seal().await;
    assert!(picky.run_until(head).await.is_err());
    let status = picky.status().await.unwrap();
    assert_eq!((status.state, status.position, status.failed_ordinal), (State::Stopped, 1, Some(2)));
    assert_eq!(status.error.as_deref(), Some("it is poisoned"));
    assert_eq!(seen(&database).await, [1], "of the poison nothing is kept");

    let cured = Subscription::install(&database, Arc::new(Cured)).await.unwrap();
    assert!(cured.resume().await.unwrap());
    assert!(!cured.resume().await.unwrap(), "it is stopped no more");
    cured.run_until(head).await.unwrap();
    assert_eq!(seen(&database).await, [1, 2, 3]);
}

/// The same subscription after a fix.
struct Cured;

#[async_trait]
impl Handler for Cured {
    fn name(&self) -> &'static str {
        "picky"
    }

    fn version(&self) -> i32 {
        1
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Totals { version: 1 }.schema_sql()
    }

    async fn apply(&self, connection: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        sqlx::query("insert into seen values ($1)").bind(event.ordinal).execute(connection).await?;
        Ok(())
    }
}

#[tokio::test]
async fn fault_17_a_poison_event_is_parked_where_the_handler_says_so() {
    let database = TestDatabase::new().await;
    let picky = Subscription::install(&database, Arc::new(Picky(OnPoison::Park))).await.unwrap();
    poison_in_the_middle(&database).await;
    let head = database.seal().await;
    picky.run_until(head).await.unwrap();
    assert_eq!(seen(&database).await, [1, 3]);
    let parked: Vec<(i64, String)> = sqlx::query_as("select ordinal, error from subscription_parked")
        .fetch_all(database.pool())
        .await
        .unwrap();
    assert_eq!(parked, [(2, "it is poisoned".to_owned())]);

    let replayed = |applied, parked| Replayed { applied, parked };
    assert_eq!(picky.replay_parked().await.unwrap(), replayed(0, 1), "it is as poisonous as before");
    assert_eq!(seen(&database).await, [1, 3]);
    let cured = Subscription::install(&database, Arc::new(Cured)).await.unwrap();
    assert_eq!(cured.replay_parked().await.unwrap(), replayed(1, 0));
    assert_eq!(seen(&database).await, [1, 2, 3]);
    assert_eq!(cured.replay_parked().await.unwrap(), replayed(0, 0), "it is replayed once");
}

/// Another process: its doorbells ring elsewhere, and sealing by hand notifies nobody.
async fn count_and_seal_elsewhere(database: &TestDatabase) -> i64 {
    let elsewhere = Database::open(database.url()).await.unwrap();
    count(&elsewhere, &["a"]).await;
    let head = Sequencer::seize(&elsewhere).await.unwrap().seal_all().await.unwrap();
    elsewhere.pool().close().await;
    head
}

#[tokio::test]
async fn fault_18_without_any_bell_a_subscription_is_no_later_than_its_poll() {
    let database = TestDatabase::new().await;
    let totals = totals(&database).await;
    let following = totals.clone();
    let follower = tokio::spawn(async move { following.run().await });
    let mut took = vec![];
    for round in 1..=3 {
        assert_eq!(count_and_seal_elsewhere(&database).await, round);
        let sealed = Instant::now();
        let applied = wait_for(&database, Until::Ordinal(round), "totals", SOON).await.unwrap();
        assert!(applied, "round {round}: nobody rang, and nobody looked");
        took.push(sealed.elapsed());
    }
    assert!(usually_within_the_poll(took.clone()), "{took:?}");
    assert_eq!(seen(&database).await, [1, 2, 3]);
    follower.abort();
}

#[tokio::test]
async fn fault_18_without_notifications_a_process_hears_of_the_head_within_the_poll() {
    let database = TestDatabase::new().await;
    let listening = database.database().clone();
    let listener = tokio::spawn(async move { listening.listen().await });
    let mut head = database.head();
    let mut took = vec![];
    for round in 1..=3 {
        assert_eq!(count_and_seal_elsewhere(&database).await, round);
        let sealed = Instant::now();
        let waited = tokio::time::timeout(SOON, head.wait_for(|head| *head == round)).await;
        waited.expect("nobody notified, and nobody looked").unwrap();
        took.push(sealed.elapsed());
    }
    assert!(usually_within_the_poll(took.clone()), "{took:?}");
    listener.abort();
}

#[tokio::test]
async fn fault_18_a_process_whose_listening_connection_is_killed_listens_again() {
    let database = TestDatabase::new().await;
    let deaf = Database::open(database.url()).await.unwrap();
    let listening = deaf.clone();
    let listener = tokio::spawn(async move { listening.listen().await });
    let mut head = deaf.head();
    count_and_seal_elsewhere(&database).await;
    tokio::time::timeout(SOON, head.wait_for(|head| *head == 1)).await.expect("it listens").unwrap();

    // Every connection of the process is ended, and for a while it gets no other.
    let mut beside: PgConnection = sqlx::Connection::connect(&maintenance(database.url())).await.unwrap();
    let name = database.url().rsplit('/').next().unwrap().split('?').next().unwrap();
    beside.execute(format!("alter database {name} allow_connections false").as_str()).await.unwrap();
    let cut_off = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = $1";
    let ended: i64 = sqlx::query_scalar(cut_off).bind(name).fetch_one(&mut beside).await.unwrap();
    assert!(ended >= 2, "one connection listens and one looks: {ended}");
    // The one that listens is made anew when it is found lost; this is what the process must get over.
    let refused = || async { Database::open(database.url()).await.is_err() };
    assert!(refused().await);
    tokio::time::sleep(Duration::from_millis(600)).await;
    beside.execute(format!("alter database {name} allow_connections true").as_str()).await.unwrap();

    count_and_seal_elsewhere(&database).await;
    tokio::time::timeout(SOON, head.wait_for(|head| *head == 2)).await.expect("it listens again").unwrap();
    listener.abort();
}

fn maintenance(url: &str) -> String {
    let (before, after) = url.rsplit_once('/').unwrap();
    let options = after.split_once('?').map(|(_, options)| format!("?{options}")).unwrap_or_default();
    format!("{before}/postgres{options}")
}

#[tokio::test]
async fn a_reader_waits_for_its_own_write_and_not_longer_than_it_said() {
    let database = TestDatabase::new().await;
    let totals = totals(&database).await;
    count(&database, &["a"]).await;
    let key = key("a", 1);
    let short = Duration::from_millis(60);
    assert!(
        !wait_for(&database, Until::Event(&key), "totals", short).await.unwrap(),
        "it is not even sealed"
    );
    database.seal().await;
    assert!(!wait_for(&database, Until::Event(&key), "totals", short).await.unwrap(), "it is not applied");
    let (waited, stepped) =
        futures::join!(wait_for(&database, Until::Event(&key), "totals", SOON), totals.step());
    assert!(waited.unwrap());
    assert_eq!(stepped.unwrap(), Step::Moved { from: 0, to: 1 });
    assert!(!wait_for(&database, Until::Ordinal(1), "no such subscription", short).await.unwrap());
}
