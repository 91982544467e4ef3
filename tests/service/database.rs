//! A database that goes away, is full, or cannot be reached: the service comes back by itself.

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use almanac_store::Database;
use almanac_store::log::Sequencer;
use almanac_tests::{Almanac, Folder, Load, PATIENCE, Proxy, Server, check_log, eventually};
use sqlx::{Connection, PgConnection};

use super::nodes::{faults, metric, until_ready};

/// Six seconds stand for thirty in the bounded form: longer than the database is given for a simple answer.
fn partition() -> Duration {
    let seconds = std::env::var("ALMANAC_TEST_PARTITION").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(6))
}

/// A partition for this long, in which health says so all the time.
async fn parted(proxy: &Proxy, address: &str, long: Duration) {
    proxy.part();
    eventually("health to be red", || async { faults(address).await }).await;
    let began = Instant::now();
    assert!(long < PATIENCE);
    eventually("the end of the partition", || async {
        assert!(faults(address).await.is_some(), "health is red in a partition");
        (began.elapsed() >= long).then_some(())
    })
    .await;
}

/// Lets the load go on after `trouble`, and looks for everything that was promised before, during and after it.
async fn goes_on(load: Load, address: &str, server: &Server, trouble: &str) {
    let began = Instant::now();
    let before = load.done();
    eventually("commands to be answered again", || async { (load.done() >= before + 30).then_some(()) })
        .await;
    let answered = began.elapsed();
    until_ready(address).await;
    let ready = began.elapsed();
    let worked = tokio::time::timeout(PATIENCE, load.end())
        .await
        .expect("whoever waits for an answer gets one or asks again");
    let database = Database::open(&server.url()).await.expect("it answers");
    eventually("everything to be sealed", || async {
        Sequencer::stall(&database).await.ok()?.is_none().then_some(())
    })
    .await;
    check_log(&database).await;
    worked.check(&database).await;
    // Whoever had asked something when it happened has given up on the answer, and asked again.
    let behind =
        "select exists (select 1 from subscriptions s, sequencer q where s.last_ordinal < q.last_ordinal)";
    eventually("every read model to be level with the log", || async {
        (!sqlx::query_scalar::<_, bool>(behind).fetch_one(database.pool()).await.ok()?).then_some(())
    })
    .await;
    println!(
        "{trouble}: answers after {answered:?}, all well after {ready:?}; {} commands, {} tries failed, the slowest took {:?}",
        worked.promised.len(),
        worked.failed,
        worked.slowest
    );
}

async fn at_work(load: &Load) {
    eventually("commands to be answered", || async { (load.done() >= 30).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_20_the_database_is_restarted_and_then_killed_under_load() {
    let (mut server, folder) = (Server::start("restarted").await, Folder::new("restarted"));
    let node = Almanac::node(&server.url(), &folder, "api,log", &[]);
    let load = Load::start(4, vec![node.address.clone()]);
    at_work(&load).await;
    server.stop().await;
    eventually("health to be red", || async { faults(&node.address).await }).await;
    server.start_again().await;
    let before = load.done();
    eventually("commands to be answered again", || async { (load.done() >= before + 30).then_some(()) })
        .await;
    server.kill();
    goes_on(load, &node.address, &server, "a restart and a kill -9 of the database").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_20_every_connection_of_the_database_is_taken_by_others() {
    let (server, folder) = (Server::start("exhausted").await, Folder::new("exhausted"));
    let node = Almanac::node(&server.url(), &folder, "api,log", &[]);
    let load = Load::start(4, vec![node.address.clone()]);
    at_work(&load).await;
    let mut taken = vec![];
    while let Ok(connection) = PgConnection::connect(&server.url_of("postgres")).await {
        taken.push(connection);
    }
    assert!(taken.len() > 50, "only {} were free", taken.len());
    // The service has to make new ones, and cannot.
    let ended = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = 'almanac'";
    let ended: i64 = sqlx::query_scalar(ended).fetch_one(&mut taken[0]).await.expect("an answer");
    assert!(ended > 0);
    while let Ok(connection) = PgConnection::connect(&server.url_of("postgres")).await {
        taken.push(connection);
    }
    eventually("health to be red", || async { faults(&node.address).await }).await;
    drop(taken);
    goes_on(load, &node.address, &server, "all connections taken").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_20_a_partition_that_heals_is_recovered_from() {
    let (server, folder) = (Server::start("parted").await, Folder::new("parted"));
    let proxy = Proxy::start(server.socket()).await;
    let node = Almanac::node(&proxy.url(), &folder, "api,log", &[]);
    let load = Load::start(4, vec![node.address.clone()]);
    at_work(&load).await;
    parted(&proxy, &node.address, partition()).await;
    proxy.heal();
    goes_on(load, &node.address, &server, "a partition that healed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_20_a_partition_after_which_no_connection_is_heard_of_again_is_recovered_from() {
    let (server, folder) = (Server::start("forgotten").await, Folder::new("forgotten"));
    let proxy = Proxy::start(server.socket()).await;
    let node = Almanac::node(&proxy.url(), &folder, "api,log", &[]);
    let load = Load::start(4, vec![node.address.clone()]);
    at_work(&load).await;
    parted(&proxy, &node.address, partition() / 2).await;
    proxy.heal_and_forget();
    goes_on(load, &node.address, &server, "a partition that swallowed every connection").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_20_a_network_that_swallows_every_connection_and_tells_nobody_is_recovered_from() {
    let (server, folder) = (Server::start("swallowed").await, Folder::new("swallowed"));
    let proxy = Proxy::start(server.socket()).await;
    let node = Almanac::node(&proxy.url(), &folder, "api,log,worker", &[]);
    let load = Load::start(4, vec![node.address.clone()]);
    at_work(&load).await;
    proxy.heal_and_swallow();
    goes_on(load, &node.address, &server, "a network that swallowed every connection without a word").await;
    // Not one of all who use the database waits any longer on a connection that has lost a word of theirs.
    eventually("every such connection to be given up", || async { (proxy.swallowing() == 0).then_some(()) })
        .await;
}

#[tokio::test]
async fn fault_20_once_a_line_was_found_dead_the_next_ones_are_found_sooner() {
    let server = Server::start("one-by-one").await;
    let proxy = Proxy::start(server.socket()).await;
    let database = Database::open(&proxy.url()).await.expect("it answers");
    let mut lines = vec![];
    for _ in 0..3 {
        lines.push(database.pool().acquire().await.expect("a connection"));
    }
    proxy.heal_and_swallow();
    let mut found = vec![];
    for line in lines {
        let began = Instant::now();
        let mut line = line.detach();
        let lost = sqlx::query("select 1").execute(&mut line).await;
        assert!(lost.is_err(), "its answer was swallowed");
        found.push(began.elapsed());
    }
    // The first one is asked about after five seconds, and given up a second later.
    assert!(found[1..].iter().all(|after| *after < Duration::from_secs(5)), "{found:?}");
}

#[tokio::test]
async fn fault_20_whoever_only_listens_notices_that_nobody_speaks_any_more() {
    let server = Server::start("deaf").await;
    let proxy = Proxy::start(server.socket()).await;
    let database = Database::open(&proxy.url()).await.expect("it answers");
    database.migrate().await.expect("an empty database");
    let listening = tokio::spawn({
        let database = database.clone();
        async move { database.listen().await }
    });
    let direct = Database::open(&server.url()).await.expect("it answers");
    let listens =
        "select exists (select 1 from pg_stat_activity where query like 'LISTEN%' and state = 'idle')";
    eventually("it to listen", || async {
        sqlx::query_scalar::<_, bool>(listens).fetch_one(direct.pool()).await.ok()?.then_some(())
    })
    .await;
    proxy.deafen(true);
    eventually("it to speak into the void", || async { (proxy.swallowing() == 1).then_some(()) }).await;
    proxy.deafen(false);
    eventually("the deaf connection to be given up", || async { (proxy.swallowing() == 0).then_some(()) })
        .await;
    listening.abort();
}

#[tokio::test]
async fn fault_20_a_statement_that_takes_long_is_not_taken_for_a_partition() {
    let server = Server::start("patient").await;
    let proxy = Proxy::start(server.socket()).await;
    let database = Database::open(&proxy.url()).await.expect("it answers");
    // Longer than a silent line is asked about, twice.
    let slept = sqlx::query("select pg_sleep(9)").execute(database.pool()).await;
    assert!(slept.is_ok(), "{slept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_told_while_the_database_is_away() {
    let (mut server, folder) = (Server::start("metered").await, Folder::new("metered"));
    let proxy = Proxy::start(server.socket()).await;
    let node = Almanac::node(&proxy.url(), &folder, "api,log", &[]);
    until_ready(&node.address).await;
    let address = node.address.as_str();
    let until = |up: bool| {
        eventually("metrics that say whether the database answers", move || async move {
            ((metric(address, "almanac_database_up").await? > 0.5) == up).then_some(())
        })
    };
    until(true).await;
    proxy.part();
    until(false).await;
    assert_eq!(metric(&node.address, "almanac_ready").await, Some(0.0));
    assert!(
        metric(&node.address, "almanac_actor_failed{actor=\"projector of watchlists\"}").await.is_some(),
        "what the process knows by itself is told"
    );
    proxy.heal();
    until(true).await;
    server.stop().await;
    until(false).await;
    server.start_again().await;
    until(true).await;
}

/// Where the test finds a small file system when it runs in a namespace in which one was mounted for it.
const GIVEN: &str = "ALMANAC_TEST_DISK";

/// A small file system.
struct Disk {
    folder: Folder,
    is_ours: bool,
}

impl Disk {
    /// The one that was given, or one that this user may mount.
    fn there() -> Option<Self> {
        if let Some(given) = std::env::var_os(GIVEN) {
            return Some(Self { folder: Folder::at(&PathBuf::from(given).join("disk")), is_ours: false });
        }
        let folder = Folder::new("disk");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self { folder, is_ours: true })
    }

    /// Leaves no room at all.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.folder.path().join("filling")).expect("a file");
        let block = vec![0_u8; 1 << 16];
        while file.write_all(&block).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.folder.path().join("filling")).expect("it is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_ours {
            let _still_busy = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
        }
    }
}

const SIZE: &str = "size=400m,mode=0755";

/// Runs `$2...` where `$1` is a small file system: as the owner of a namespace of its own anybody may mount one. PostgreSQL
/// refuses to run as its root, so inside of it everybody is somebody else again.
const IN_A_NAMESPACE: &str = r#"user=$(id -u); [ "$user" -gt 0 ] || user=65534; export user
exec unshare --map-root-user --mount sh -c 'mount -t tmpfs -o "$0" tmpfs "$1" && export ALMANAC_TEST_DISK="$1" && shift &&
    exec unshare --user --map-user="$user" --map-group="$user" "$@"' "$@""#;

/// Runs the test of this name with a small file system in a namespace; none where this machine allows nobody to.
fn run_in_a_namespace(test: &str) -> Option<ExitStatus> {
    let folder = Folder::new("namespace");
    let run = |what: &[&OsStr]| {
        let mut command = Command::new("sh");
        command.args(["-c", IN_A_NAMESPACE, "sh", SIZE]).arg(folder.path()).args(what);
        command.status().ok()
    };
    run(&[OsStr::new("true")]).filter(ExitStatus::success)?;
    let program = std::env::current_exe().expect("a test knows its own path");
    run(&[program.as_os_str(), "--exact".as_ref(), test.as_ref(), "--nocapture".as_ref()])
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_20_a_full_disk_is_recovered_from_when_there_is_room_again() {
    let Some(disk) = Disk::there() else {
        let test = "service::database::fault_20_a_full_disk_is_recovered_from_when_there_is_room_again";
        match run_in_a_namespace(test) {
            Some(status) => assert!(status.success(), "in a namespace of its own it failed"),
            // Past the capture of passing tests: nobody shall take this for a full disk that was survived.
            None => writeln!(
                std::io::stderr(),
                "NOT TESTED: fault 20, a full disk: this user may not mount a file system to fill, nor in a namespace"
            )
            .expect("somebody hears it"),
        }
        return;
    };
    let folder = Folder::new("full");
    let server = Server::start_in(Folder::at(&disk.folder.path().join("pg"))).await;
    let node = Almanac::node(&server.url(), &folder, "api,log", &[]);
    let load = Load::start(4, vec![node.address.clone()]);
    at_work(&load).await;
    disk.fill();
    let filled = load.done();
    // What the server has set aside lasts for a while; a large write asks for more.
    let seen = std::cell::Cell::new((filled, Instant::now()));
    eventually("commands to fail", || async {
        let mut connection = PgConnection::connect(&server.url()).await.ok();
        if let Some(connection) = &mut connection {
            let big = "create table if not exists filler (x text);
                       insert into filler select repeat(md5(n::text), 60) from generate_series(1, 20000) n";
            let _refused = sqlx::raw_sql(big).execute(&mut *connection).await;
        }
        let (last, since) = seen.get();
        if load.done() != last {
            seen.set((load.done(), Instant::now()));
        }
        (load.done() == last && since.elapsed() > Duration::from_millis(500)).then_some(())
    })
    .await;
    println!("{} commands were answered on the last of the room", load.done() - filled);
    disk.make_room();
    goes_on(load, &node.address, &server, "a full disk").await;
}
