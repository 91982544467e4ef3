//! Rebuilds beside the live tables: nobody is told twice, nobody sees a mixture, and whatever was switched can be
//! switched back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use almanac_store::Database;
use almanac_store::log::rebuild::{Build, BuildState, RebuildError, Tended};
use almanac_store::log::{Handler, HandlerError, Recorded, Sequencer, State, Step, Subscription};
use almanac_store::outbox::mail::{self, NewMail};
use almanac_store::outbox::webhook::{self, NewDelivery};
use almanac_store::testing::{OwnServer, TestDatabase};
use async_trait::async_trait;
use sqlx::{Executor, PgConnection};

use crate::counter::{Command, Counter, Totals, an_account, bus, count, issued, noon, shown, totals};
use crate::mailing::{Mailing, mails};
use crate::victim;

/// Tells of every event by mail and webhook, under keys that name the tables whose step has written them: two
/// sets of tables that tell of one event leave two rows.
pub struct Telling;

#[async_trait]
impl Handler for Telling {
    fn name(&self) -> &'static str {
        "totals"
    }

    fn version(&self) -> i32 {
        1
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Totals { version: 1 }.schema_sql()
    }

    async fn apply(&self, connection: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        Totals { version: 1 }.apply(connection, event).await?;
        let schema: String =
            sqlx::query_scalar("select current_schema()::text").fetch_one(&mut *connection).await?;
        let (key, ordinal) = (format!("{}:{schema}", event.ordinal), event.ordinal);
        let mail = NewMail {
            key: key.clone(),
            account: an_account(),
            kind: "counted".into(),
            payload: serde_json::json!({}),
            ordinal,
            message_id: format!("<{key}@example.com>"),
            due_at: noon(),
        };
        mail::put(connection, &mail).await?;
        let delivery = NewDelivery {
            id: an_account(),
            key,
            endpoint: an_account(),
            account: an_account(),
            ordinal,
            event_type: "counted".into(),
            payload: serde_json::json!({}),
            due_at: noon(),
        };
        webhook::put(connection, &[delivery]).await?;
        Ok(())
    }
}

/// The ordinals somebody was told of, by mail and by webhook.
async fn told(database: &Database) -> [Vec<i64>; 2] {
    let mut told = [vec![], vec![]];
    for (place, outbox) in ["mail_outbox", "webhook_deliveries"].into_iter().enumerate() {
        let ordinals = format!("select ordinal from {outbox} order by ordinal");
        told[place] = sqlx::query_scalar(&ordinals).fetch_all(database.pool()).await.unwrap();
    }
    told
}

fn each_once(head: i64) -> [Vec<i64>; 2] {
    [(1..=head).collect(), (1..=head).collect()]
}

async fn many(database: &Database, events: usize) {
    let commands = (0..events).map(|n| (format!("c{}", n % 50), Command::Count { by: 0 })).collect();
    bus(database).execute_batch::<Counter>(commands, &issued()).await.unwrap();
}

async fn tend_until(subscription: &Subscription, done: impl Fn(&Build) -> bool) -> Build {
    for _ in 0..10_000 {
        let tended = subscription.tend().await.unwrap();
        if let Some(build) = subscription.builds().await.unwrap().into_iter().find(&done) {
            return build;
        }
        if tended == Tended::Level {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    panic!("never: {:?}", subscription.builds().await.unwrap());
}

async fn tend_until_compared(subscription: &Subscription) -> Build {
    tend_until(subscription, |build| build.compared_at.is_some()).await
}

async fn schemas(database: &Database) -> Vec<String> {
    let left = "select nspname::text from pg_namespace where nspname like 'p\\_totals%' order by 1";
    sqlx::query_scalar(left).fetch_all(database.pool()).await.unwrap()
}

/// Follows the log like an actor would, and keeps what stands beside the live tables level.
fn follow(subscription: &Subscription) -> [tokio::task::JoinHandle<()>; 2] {
    let (following, tending) = (subscription.clone(), subscription.clone());
    let follower = tokio::spawn(async move { following.run().await });
    let tender = tokio::spawn(async move {
        loop {
            if tending.tend().await.unwrap() == Tended::Level {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
    [follower, tender]
}

#[tokio::test]
async fn fault_19_a_rebuild_killed_in_its_warm_up_goes_on_where_it_was_and_tells_nobody() {
    let server = OwnServer::start().await;
    let live = Subscription::install(&server, Arc::new(Telling)).await.unwrap();
    many(&server, 1_500).await;
    let head = Sequencer::seize(&server).await.unwrap().seal_all().await.unwrap();
    live.run_until(head).await.unwrap();
    assert_eq!(told(&server).await, each_once(head));
    live.request_rebuild(None).await.unwrap();
    victim::run_until_it_hangs_and_kill_it(&server, server.url(), victim::WARMING_UP).await;

    let killed = live.builds().await.unwrap().remove(0);
    assert_eq!(killed.state, BuildState::Warming);
    assert!(killed.ordinal > 0 && killed.ordinal < victim::LAST_OF_THE_WARM_UP, "{killed:?}");
    assert_eq!(told(&server).await, each_once(head), "up to its death it has told nobody");
    // The first step begins where the last committed one has ended: `seen` would have rows twice otherwise.
    let ready = tend_until_compared(&live).await;
    assert_eq!((ready.state, ready.ordinal, ready.differences), (BuildState::Ready, head, vec![]));
    live.switch(false).await.unwrap();
    assert_eq!(told(&server).await, each_once(head), "nobody is told of what was lived through again");
    count(&server, &["a"]).await;
    let head = Sequencer::seize(&server).await.unwrap().seal_all().await.unwrap();
    live.run_until(head).await.unwrap();
    tend_until(&live, |build| build.ordinal == head).await;
    assert_eq!(told(&server).await, each_once(head), "the next event is told of, once");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_19_switching_to_and_fro_under_load_loses_and_doubles_no_effect() {
    let database = TestDatabase::new().await;
    let live = Subscription::install(&database, Arc::new(Telling)).await.unwrap();
    let tasks = follow(&live);
    let writing = database.database().clone();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writer = tokio::spawn(async move {
        let mut sequencer = Sequencer::seize(&writing).await.unwrap();
        while !*stopped.borrow() {
            many(&writing, 7).await;
            sequencer.seal_all().await.unwrap();
        }
    });
    for _ in 0..2 {
        live.request_rebuild(None).await.unwrap();
        let ready = eventually_compared(&live).await;
        assert_eq!(ready.differences, Vec::<String>::new(), "compared at one ordinal, under load");
        live.switch(false).await.unwrap();
        more_is_told(&live).await;
        live.switch_back().await.unwrap();
        more_is_told(&live).await;
        live.switch_back().await.unwrap();
    }
    stop.send_replace(true);
    writer.await.unwrap();
    let head = database.seal().await;
    live.run_until(head).await.unwrap();
    for task in tasks {
        task.abort();
    }
    assert_eq!(told(&database).await, each_once(head));
    let who_told: i64 = sqlx::query_scalar("select count(distinct split_part(key, ':', 2)) from mail_outbox")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert_eq!(who_told, 3, "the first tables and both rebuilds were live in their turn");
    let ordinals: Vec<i64> =
        sqlx::query_scalar("select ordinal from seen order by 1").fetch_all(database.pool()).await.unwrap();
    assert_eq!(ordinals, (1..=head).collect::<Vec<_>>());
}

/// Waits until the live tables, whichever they are now, have lived through more of the log.
async fn more_is_told(live: &Subscription) {
    let before = live.position().await.unwrap();
    for _ in 0..20_000 {
        if live.position().await.unwrap() > before + 20 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the live tables stand still at {before}");
}

/// For tests where a task of its own tends.
async fn eventually_compared(subscription: &Subscription) -> Build {
    for _ in 0..20_000 {
        let builds = subscription.builds().await.unwrap();
        let ready = |build: &Build| build.state == BuildState::Ready && build.compared_at.is_some();
        if let Some(build) = builds.into_iter().find(ready) {
            return build;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never: {:?}", subscription.builds().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_19_readers_under_load_see_one_set_of_tables_or_the_other_and_never_a_mixture() {
    let database = TestDatabase::new().await;
    let live = totals(&database).await;
    count(&database, &["a", "b", "c"]).await;
    live.run_until(database.seal().await).await.unwrap();
    live.request_rebuild(None).await.unwrap();
    let ready = tend_until_compared(&live).await;
    // Marked in both tables, so that a reader can tell them apart.
    let schema = &ready.schema;
    let mark = format!("update {schema}.totals set version = 2; insert into {schema}.seen values (-1)");
    database.pool().execute(mark.as_str()).await.unwrap();

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (reading, stopped) = (database.database().clone(), stopped.clone());
            tokio::spawn(async move {
                let mut looks = [0, 0];
                while !*stopped.borrow() {
                    let seen: (i32, i32, i64) = sqlx::query_as(
                        "select min(version), max(version), (select count(*) from seen where ordinal = -1) from totals",
                    )
                    .fetch_one(reading.pool())
                    .await
                    .unwrap();
                    assert!(matches!(seen, (1, 1, 0) | (2, 2, 1)), "a mixture: {seen:?}");
                    looks[usize::from(seen.0 == 2)] += 1;
                }
                looks
            })
        })
        .collect();
    // Readers never wait long for a switch: under much load it gives way and says so.
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut switches = 0;
    while switches < 10 && Instant::now() < deadline {
        let outcome = if switches == 0 { live.switch(false).await } else { live.switch_back().await };
        match outcome {
            Ok(()) => switches += 1,
            Err(RebuildError::Busy(_)) => {}
            Err(other) => panic!("{other}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.send_replace(true);
    let looks: Vec<[i32; 2]> =
        futures::future::join_all(readers).await.into_iter().map(Result::unwrap).collect();
    assert!(switches > 1, "{switches} switches within a minute");
    assert!((0..2).all(|side| looks.iter().any(|looks| looks[side] > 0)), "both were seen: {looks:?}");
}

#[tokio::test]
async fn fault_19_the_previous_tables_are_kept_level_so_that_switching_back_loses_nothing() {
    let database = TestDatabase::new().await;
    let live = Subscription::install(&database, Arc::new(Telling)).await.unwrap();
    count(&database, &["a", "b"]).await;
    live.run_until(database.seal().await).await.unwrap();
    live.request_rebuild(None).await.unwrap();
    tend_until_compared(&live).await;
    live.switch(false).await.unwrap();
    let refused = live.switch(false).await;
    assert!(
        matches!(refused, Err(RebuildError::Absent { .. })),
        "there is nothing left to switch to: {refused:?}"
    );
    count(&database, &["a", "c"]).await;
    let head = database.seal().await;
    live.run_until(head).await.unwrap();
    let before = shown(&database).await;
    tend_until(&live, |build| build.state == BuildState::Previous && build.ordinal == head).await;
    live.switch_back().await.unwrap();
    assert_eq!(shown(&database).await, before);
    assert_eq!(schemas(&database).await.len(), 2);
    assert_eq!(told(&database).await, each_once(head));
    live.drop_builds().await.unwrap();
    assert_eq!(schemas(&database).await, ["p_totals_v1"], "the original tables are live again");
    assert!(matches!(live.switch_back().await, Err(RebuildError::Absent { .. })));
}

#[tokio::test]
async fn a_rebuild_that_differs_is_not_switched_to_unless_somebody_accepts_it() {
    let database = TestDatabase::new().await;
    let live = totals(&database).await;
    count(&database, &["a", "b"]).await;
    live.run_until(database.seal().await).await.unwrap();
    database.pool().execute("update p_totals_v1.totals set total = 99 where id = 'a'").await.unwrap();
    live.request_rebuild(None).await.unwrap();
    let warming = live.switch(true).await;
    assert!(matches!(warming, Err(RebuildError::NotReady { state: "warming", .. })), "{warming:?}");
    assert_eq!(tend_until_compared(&live).await.differences, ["totals"]);
    let refused = live.switch(false).await;
    assert!(
        matches!(&refused, Err(RebuildError::Differs { tables, .. }) if tables == &["totals"]),
        "{refused:?}"
    );
    assert_eq!(shown(&database).await[0].1, 99);
    live.switch(true).await.unwrap();
    assert_eq!(shown(&database).await[0].1, 1);
}

#[tokio::test]
async fn a_rebuild_that_is_called_off_leaves_nothing_behind_and_another_can_be_asked_for() {
    let database = TestDatabase::new().await;
    let live = totals(&database).await;
    many(&database, 800).await;
    live.run_until(database.seal().await).await.unwrap();
    live.request_rebuild(None).await.unwrap();
    assert!(matches!(live.request_rebuild(None).await, Err(RebuildError::UnderWay(_))));
    live.tend().await.unwrap();
    live.cancel_rebuild().await.unwrap();
    assert_eq!(live.tend().await.unwrap(), Tended::Level);
    assert_eq!(live.builds().await.unwrap()[0].state, BuildState::Cancelled);
    assert_eq!(schemas(&database).await, ["p_totals_v1"]);
    assert!(matches!(live.cancel_rebuild().await, Err(RebuildError::Absent { .. })));
    live.request_rebuild(None).await.unwrap();
    assert_eq!(tend_until_compared(&live).await.differences, Vec::<String>::new());
    live.drop_builds().await.unwrap();
    assert_eq!((live.builds().await.unwrap(), schemas(&database).await.len()), (vec![], 1));
    assert!(matches!(live.drop_builds().await, Err(RebuildError::Absent { .. })));
}

/// Cannot apply the third event any more.
struct Fussy;

#[async_trait]
impl Handler for Fussy {
    fn name(&self) -> &'static str {
        "totals"
    }

    fn version(&self) -> i32 {
        1
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Totals { version: 1 }.schema_sql()
    }

    async fn apply(&self, connection: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        if event.ordinal == 3 {
            return Err(HandlerError::Unfit("it is the third".into()));
        }
        Totals { version: 1 }.apply(connection, event).await
    }
}

#[tokio::test]
async fn fault_17_a_rebuild_that_meets_poison_fails_by_itself_and_the_live_tables_go_on() {
    let database = TestDatabase::new().await;
    let live = totals(&database).await;
    count(&database, &["a", "b", "a", "c"]).await;
    live.run_until(database.seal().await).await.unwrap();
    let fussy = Subscription::install(&database, Arc::new(Fussy)).await.unwrap();
    fussy.request_rebuild(None).await.unwrap();
    let failed = tend_until(&fussy, |build| build.state == BuildState::Failed).await;
    assert_eq!(failed.ordinal, 2);
    assert_eq!(failed.error.as_deref(), Some("event 3 cannot be applied: it is the third"));
    assert_eq!(fussy.tend().await.unwrap(), Tended::Level);
    let status = live.status().await.unwrap();
    assert_eq!((status.state, status.position), (State::Running, 4));
    // After a fix, it is asked for again.
    assert_eq!(live.rebuild().await.unwrap().differences, Vec::<String>::new());
}

#[tokio::test]
async fn fault_17_a_rebuild_repairs_tables_that_stopped_at_an_event() {
    let database = TestDatabase::new().await;
    let fussy = Subscription::install(&database, Arc::new(Fussy)).await.unwrap();
    count(&database, &["a", "b", "a", "c"]).await;
    let head = database.seal().await;
    assert!(fussy.run_until(head).await.is_err());
    let mended = totals(&database).await;
    mended.rebuild().await.unwrap();
    mended.run_until(head).await.unwrap();
    assert_eq!(shown(&database).await.len(), 3);
}

#[tokio::test]
async fn fault_19_after_an_upgrade_the_older_program_can_switch_back_to_its_tables() {
    let database = TestDatabase::new().await;
    let old = Subscription::install(&database, Arc::new(Mailing(1))).await.unwrap();
    count(&database, &["a", "b"]).await;
    old.run_until(database.seal().await).await.unwrap();
    let new = Subscription::install(&database, Arc::new(Mailing(2))).await.unwrap();
    while new.step().await.unwrap() != Step::Switched {}
    count(&database, &["a"]).await;
    let head = database.seal().await;
    new.run_until(head).await.unwrap();
    assert!(matches!(new.switch_back().await, Err(RebuildError::OtherVersion { active: 1, ours: 2, .. })));
    assert_eq!(new.tend().await.unwrap(), Tended::Level, "the new program leaves the old tables alone");

    let old = Subscription::install(&database, Arc::new(Mailing(1))).await.unwrap();
    tend_until(&old, |build| build.ordinal == head).await;
    old.switch_back().await.unwrap();
    assert_eq!((old.status().await.unwrap().active, new.step().await.unwrap()), (true, Step::Retired));
    count(&database, &["b"]).await;
    old.run_until(database.seal().await).await.unwrap();
    assert_eq!(mails(&database).await, ["v1:1", "v1:2", "v2:3", "v1:4"]);
    assert_eq!(shown(&database).await, [("a".to_owned(), 2), ("b".to_owned(), 2)]);

    let again = Subscription::install(&database, Arc::new(Mailing(2))).await.unwrap();
    while again.step().await.unwrap() != Step::Switched {}
    assert_eq!(mails(&database).await.len(), 4, "a second upgrade mails nobody again");
    assert_eq!(shown(&database).await, [("a".to_owned(), 2), ("b".to_owned(), 2)]);
}

/// Whoever held the live tables still and waited for a connection would wait for those who wait for the live tables.
#[tokio::test]
async fn a_rebuild_needs_no_second_connection_while_it_holds_a_lock() {
    let database = TestDatabase::new().await;
    count(&database, &["a", "b"]).await;
    database.seal().await;
    let options = (*database.pool().connect_options()).clone();
    let narrow = Database::connect(options, 2).await.unwrap();
    let subscription = totals(&narrow).await;
    subscription.run_until(2).await.unwrap();
    let taken = narrow.pool().acquire().await.unwrap();
    subscription.request_rebuild(None).await.unwrap();
    drop(taken);
    tend_until_compared(&subscription).await;
    let taken = narrow.pool().acquire().await.unwrap();
    subscription.switch(false).await.unwrap();
    subscription.switch_back().await.unwrap();
    drop(taken);
    assert_eq!(shown(&database).await, [("a".into(), 1), ("b".into(), 1)]);
}
