//! Clocks that jump, the service's and that of a host: the order of the log and the leases do not go by them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use almanac_domain::clock::Clock;
use almanac_store::Database;
use almanac_store::clock::Entropy;
use almanac_store::leases;
use almanac_store::log::{CommandBus, LogReader, Sequencer, Until, wait_for};
use almanac_store::outbox::mail::{self, NewMail};
use almanac_store::testing::{OwnServer, TestDatabase};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::Executor;

use crate::counter::{Command, Counter, an_account, issued, noon, sealed, totals};

const LEASE: Duration = Duration::from_secs(60);

/// A machine's clock that somebody sets, also back.
#[derive(Debug)]
struct Jumping(Mutex<DateTime<Utc>>);

impl Clock for Jumping {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

fn new_mail() -> NewMail {
    NewMail {
        key: "a".into(),
        account: an_account(),
        kind: "round".into(),
        payload: serde_json::json!({}),
        ordinal: 1,
        message_id: "<a@example.com>".into(),
        due_at: noon() - TimeDelta::hours(2),
    }
}

#[tokio::test]
async fn fault_21_a_clock_that_jumps_an_hour_both_ways_changes_neither_the_order_nor_who_has_a_lease() {
    let database = TestDatabase::new().await;
    let clock = Arc::new(Jumping(Mutex::new(noon())));
    let bus = CommandBus::new(database.database().clone(), clock.clone(), Entropy::system());
    let totals = totals(&database).await;
    let (holder, other) = (an_account(), an_account());
    let held = leases::take(&database, "work", holder, LEASE).await.unwrap().expect("it is free");
    let mut connection = database.pool().acquire().await.unwrap();
    mail::put(&mut connection, &new_mail()).await.unwrap();
    let claimed = mail::claim_due(database.pool(), clock.now(), 9, LEASE).await.unwrap().remove(0);

    for (event, jump) in [0, 60, -60, 0, 60, -60].into_iter().enumerate() {
        *clock.0.lock().unwrap() = noon() + TimeDelta::minutes(jump);
        let done = bus.execute::<Counter>("a", Command::Count { by: 1 }, &issued()).await.unwrap();
        let sealed = database.seal().await;
        assert_eq!(sealed, event as i64 + 1, "what is committed is sealed at once");
        totals.run_until(sealed).await.unwrap();
        let key = done.last().unwrap();
        assert!(wait_for(&database, Until::Event(key), "totals", Duration::from_secs(5)).await.unwrap());
        assert_eq!(leases::take(&database, "work", other, LEASE).await.unwrap(), None, "{jump} minutes");
        assert!(leases::renew(database.pool(), &held, LEASE).await.unwrap(), "{jump} minutes");
        let due = mail::claim_due(database.pool(), clock.now(), 9, LEASE).await.unwrap();
        assert_eq!(due, [], "{jump} minutes: somebody has the mail in hand");
    }
    let expected: Vec<_> = (1..=6).map(|sequence| ("a".to_owned(), sequence)).collect();
    assert_eq!(sealed(&database).await, expected);
    let events = LogReader::new(&database).after(0, 9).await.unwrap();
    assert!(events.is_sorted_by_key(|event| event.as_of), "what is known once stays known");
    assert!(mail::sent(database.pool(), &claimed, clock.now()).await.unwrap());
}

/// What libfaketime calls a clock, for a host of our own.
struct Host(std::path::PathBuf);

impl Host {
    const CLOCK: &str = "FAKETIME_TIMESTAMP_FILE";

    /// The one this process runs on, if it is one whose clock can be set.
    fn here() -> Option<Self> {
        std::env::var_os(Self::CLOCK).map(|path| Self(path.into()))
    }

    /// Sets the clock so many minutes apart from the true time.
    fn jump(&self, minutes: i64) {
        // Renamed into its place: whoever reads half a line would be off by another time.
        let draft = self.0.with_extension("draft");
        std::fs::write(&draft, format!("{:+}\n", minutes * 60)).unwrap();
        std::fs::rename(&draft, &self.0).unwrap();
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Both jumps against everything that lasts for a while, in a process and with a server that live by one clock.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the test below runs it on a host of its own"]
async fn on_a_host_whose_clock_jumps() {
    let host = Host::here().expect("a host of its own");
    let server = OwnServer::start().await;
    let nodes = [Database::open(server.url()).await.unwrap(), Database::open(server.url()).await.unwrap()];
    let [leader, follower] = nodes.clone().map(|node| tokio::spawn(Sequencer::run(node)));
    until("a leader", async || Sequencer::leader(&server).await.unwrap().is_some()).await;
    let led = Sequencer::leader(&server).await.unwrap().unwrap().pid;
    let held = leases::take(&nodes[0], "work", an_account(), LEASE).await.unwrap().expect("it is free");

    let true_time: DateTime<Utc> =
        sqlx::query_scalar("select clock_timestamp()").fetch_one(server.pool()).await.unwrap();
    for (round, jump) in [60, -60].into_iter().enumerate() {
        host.jump(jump);
        let now: DateTime<Utc> =
            sqlx::query_scalar("select clock_timestamp()").fetch_one(server.pool()).await.unwrap();
        assert!((now - true_time - TimeDelta::minutes(jump)).num_seconds().abs() < 30, "it did not jump");
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(1_500) {
            let leader = Sequencer::leader(&server).await.unwrap().map(|leader| leader.pid);
            assert_eq!(leader, Some(led), "{jump} minutes: nobody deposes a leader that lives");
            let taken = leases::take(&nodes[1], "work", an_account(), LEASE).await.unwrap();
            assert_eq!(taken, None, "{jump} minutes: nobody takes the lease of one who lives");
            assert!(leases::renew(server.pool(), &held, LEASE).await.unwrap());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        crate::counter::count(&server, &["a"]).await;
        until("the event to be sealed", async || sealed(&server).await.len() == round + 1).await;
    }

    // From here on the clock stands at an hour before. Whoever held something is gone without a word.
    leader.abort();
    follower.abort();
    host.jump(0);
    let (dead, short) = (an_account(), Duration::from_secs(1));
    leases::take(&nodes[0], "other work", dead, short).await.unwrap().expect("it is free");
    let mut connection = server.pool().acquire().await.unwrap();
    mail::put(&mut connection, &new_mail()).await.unwrap();
    let claimed = mail::claim_due(server.pool(), noon(), 9, LEASE).await.unwrap().remove(0);
    let mut blocker = server.pool().begin().await.unwrap();
    blocker.execute("select pg_current_xact_id()").await.unwrap();
    crate::counter::count(&server, &["a"]).await;
    Sequencer::stall(&server).await.unwrap().expect("something waits");
    let mut lock = nodes[0].pool().acquire().await.unwrap();
    until("the lock of the leader", async || {
        let take = "select pg_try_advisory_lock(1634495841, 1)";
        sqlx::query_scalar(take).fetch_one(&mut *lock).await.unwrap()
    })
    .await;

    host.jump(-60);
    let began = Instant::now();
    until("the lease of the dead one", async || {
        leases::take(&nodes[1], "other work", an_account(), short).await.unwrap().is_some()
    })
    .await;
    assert!(began.elapsed() >= short, "it lasts as long as it was taken for");
    let again = mail::claim_due(server.pool(), noon(), 9, LEASE).await.unwrap().remove(0);
    assert_eq!((&again.message_id, again.attempts), (&claimed.message_id, 2), "it is not left for an hour");
    let waiting = Sequencer::stall(&server).await.unwrap().expect("it waits").waiting_ms;
    assert!(waiting >= 1_000, "it is seen to wait: {waiting} ms");
    blocker.rollback().await.unwrap();
    let next = tokio::spawn(Sequencer::run(nodes[1].clone()));
    until("the silent leader to be deposed", async || sealed(&server).await.len() == 3).await;
    next.abort();
}

#[test]
fn fault_21_the_clock_of_a_host_jumps_an_hour_both_ways_and_no_lease_and_no_leader_goes_by_it() {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let library = folders.map(|folder| format!("{folder}/faketime/libfaketime.so.1"));
    let Some(library) = library.iter().find(|path| std::path::Path::new(path).exists()) else {
        println!("skipped: libfaketime is not installed");
        return;
    };
    let host = Host(std::env::temp_dir().join(format!("almanac-host-{}", std::process::id())));
    host.jump(0);
    let ran = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "clocks::on_a_host_whose_clock_jumps", "--ignored", "--nocapture"])
        .env("LD_PRELOAD", library)
        .env(Host::CLOCK, &host.0)
        .envs([
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ])
        .output()
        .unwrap();
    std::fs::remove_file(&host.0).unwrap();
    let said = [ran.stdout, ran.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}
