//! Several sequencers at once, leaders that die, and leaders that only seem to live.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use almanac_store::log::Sequencer;
use almanac_store::testing::TestDatabase;
use almanac_store::{Database, StoreError};
use futures::future::join_all;
use tokio::task::JoinHandle;

use crate::counter::{Command, Counter, bus, issued, sealed};

const SOON: Duration = Duration::from_secs(20);

/// Writers that go on until they are told to stop; they answer with the keys they were promised.
fn load(database: &TestDatabase, enough: &Arc<AtomicBool>) -> Vec<JoinHandle<Vec<(String, i64)>>> {
    (0..6)
        .map(|writer| {
            let (bus, enough) = (bus(database), Arc::clone(enough));
            tokio::spawn(async move {
                let mut kept = vec![];
                for n in 0.. {
                    if enough.load(Ordering::SeqCst) {
                        break;
                    }
                    let id = format!("w{writer}-{}", n % 20);
                    // The counter refuses to count beyond 40: each has a new life after that.
                    let id = format!("{id}-{}", n / 600);
                    let done =
                        bus.execute::<Counter>(&id, Command::Count { by: 1 }, &issued()).await.unwrap();
                    kept.extend(done.events.into_iter().map(|key| (key.aggregate_id, key.sequence)));
                }
                kept
            })
        })
        .collect()
}

async fn promised(writers: Vec<JoinHandle<Vec<(String, i64)>>>) -> BTreeSet<(String, i64)> {
    join_all(writers).await.into_iter().flat_map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_07_sequencers_forced_active_past_the_lock_are_stopped_by_the_generation() {
    let database = TestDatabase::new().await;
    let enough = Arc::new(AtomicBool::new(false));
    let deposed = Arc::new(AtomicUsize::new(0));
    let sealers: Vec<_> = (0..3)
        .map(|_| {
            let (database, enough, deposed) =
                (database.database().clone(), Arc::clone(&enough), Arc::clone(&deposed));
            tokio::spawn(async move {
                // Nobody asks the advisory lock: each believes that it leads until it is told otherwise.
                while !enough.load(Ordering::SeqCst) {
                    let mut sequencer = Sequencer::seize(&database).await.unwrap();
                    for _ in 0..40 {
                        match sequencer.seal_once().await {
                            Ok(_) => tokio::task::yield_now().await,
                            Err(StoreError::Deposed { ours, theirs }) => {
                                assert!(theirs > ours);
                                deposed.fetch_add(1, Ordering::SeqCst);
                                break;
                            }
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
            })
        })
        .collect();
    let writers = load(&database, &enough);
    tokio::time::timeout(SOON, async {
        while deposed.load(Ordering::SeqCst) < 30 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("they depose each other");
    enough.store(true, Ordering::SeqCst);
    let promised = promised(writers).await;
    for sealer in sealers {
        sealer.await.unwrap();
    }
    database.seal().await;
    let sealed = sealed(&database).await;
    assert_eq!(sealed.len(), promised.len(), "no event has two places");
    assert_eq!(sealed.into_iter().collect::<BTreeSet<_>>(), promised);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_08_a_leader_whose_connection_is_ended_every_200_ms_loses_nothing_under_load() {
    let database = TestDatabase::new().await;
    let enough = Arc::new(AtomicBool::new(false));
    let mut nodes = vec![];
    for _ in 0..2 {
        let node = Database::open(database.url()).await.unwrap();
        nodes.push(tokio::spawn(Sequencer::run(node)));
    }
    let writers = load(&database, &enough);
    let mut ended = BTreeSet::new();
    for _ in 0..25 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        // The connection of the lock, and whichever is in the middle of sealing.
        let pids: Vec<i32> = sqlx::query_scalar(
            "select pid from pg_stat_activity
              where datname = current_database() and pid <> pg_backend_pid()
                and (pid in (select pid from pg_locks where locktype = 'advisory' and classid = 1634495841)
                     or (state <> 'idle' and query ilike '%event_log%'))",
        )
        .fetch_all(database.pool())
        .await
        .unwrap();
        for pid in pids {
            sqlx::query("select pg_terminate_backend($1)").bind(pid).execute(database.pool()).await.unwrap();
            ended.insert(pid);
        }
    }
    enough.store(true, Ordering::SeqCst);
    let promised = promised(writers).await;
    assert!(ended.len() >= 8, "only {} connections were ended", ended.len());
    let mut head = database.head();
    let listening = database.database().clone();
    let listener = tokio::spawn(async move { listening.listen().await });
    tokio::time::timeout(SOON, head.wait_for(|head| *head >= promised.len() as i64))
        .await
        .expect("a leader comes back by itself")
        .unwrap();
    let sealed = sealed(&database).await;
    assert_eq!(sealed.len(), promised.len());
    assert_eq!(sealed.into_iter().collect::<BTreeSet<_>>(), promised);
    listener.abort();
    for node in nodes {
        node.abort();
    }
}

#[tokio::test]
async fn a_leader_that_vanished_without_closing_its_connection_is_deposed() {
    let database = TestDatabase::new().await;
    assert_eq!(Sequencer::leader(&database).await.unwrap(), None);
    // Holds the lock as a leader does and then is never heard of again, as after a power cut.
    let vanished = Database::open(database.url()).await.unwrap();
    let mut lock = vanished.pool().acquire().await.unwrap();
    sqlx::query("select pg_advisory_lock(1634495841, 1)").execute(&mut *lock).await.unwrap();
    let leader = Sequencer::leader(&database).await.unwrap().expect("somebody has the lock");
    assert!(leader.silent < Duration::from_secs(5));
    let follower = tokio::spawn(Sequencer::run(database.database().clone()));
    crate::counter::count(&database, &["a"]).await;
    let mut head = database.head();
    tokio::time::timeout(SOON, head.wait_for(|head| *head == 1)).await.expect("it is deposed").unwrap();
    assert_ne!(Sequencer::leader(&database).await.unwrap().unwrap().pid, leader.pid);
    follower.abort();
}

#[tokio::test]
async fn a_leader_that_has_nothing_to_do_still_shows_that_it_lives() {
    let database = TestDatabase::new().await;
    let leader = tokio::spawn(Sequencer::run(database.database().clone()));
    let follower = tokio::spawn(Sequencer::run(database.database().clone()));
    let mut pids = BTreeSet::new();
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        if let Some(leader) = Sequencer::leader(&database).await.unwrap() {
            assert!(leader.silent < Duration::from_secs(4), "silent for {:?}", leader.silent);
            pids.insert(leader.pid);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(pids.len(), 1, "nobody took the lead away from it");
    leader.abort();
    follower.abort();
}
