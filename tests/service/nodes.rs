//! Several processes on one database: who seals, who takes over, and what the others see meanwhile.

use std::time::{Duration, Instant};

use almanac_store::Database;
use almanac_store::log::Sequencer;
use almanac_tests::{Almanac, Folder, Load, Person, Server, check_log, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, Executor};

use super::demo::{STILL, demo_in};

/// The faults `/health/ready` names at `address`; none when all is well.
pub async fn faults(address: &str) -> Option<Value> {
    let (status, body) = Person::at(address).page("/health/ready").await;
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["ready"].as_bool(), Some(status == StatusCode::OK), "{body}");
    (status != StatusCode::OK).then(|| body["faults"].clone())
}

pub async fn until_ready(address: &str) {
    eventually("a service that is ready", || async { faults(address).await.is_none().then_some(()) }).await;
}

async fn fault_of_sealing(address: &str) -> String {
    eventually("health to be red", || async {
        faults(address).await?["sequencer"].as_str().map(str::to_owned)
    })
    .await
}

/// The value of a line of `/metrics`.
pub async fn metric(address: &str, line: &str) -> Option<f64> {
    let (_, page) = Person::at(address).page("/metrics").await;
    page.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

/// Writes through the node and waits until it shows it: how long that took.
async fn write_and_read(person: &Person, name: &str) -> Duration {
    let began = Instant::now();
    let made = person.post("/watchlists", json!({ "name": name })).await;
    let after = made["after"].as_str().expect("a key").to_owned();
    eventually("one's own write", || async {
        let path = format!("/watchlists?after={after}");
        let answer = person.request(reqwest::Method::GET, &path).send().await.ok()?;
        let lists = answer.json::<Value>().await.ok()?;
        lists["items"].as_array()?.iter().any(|list| list["name"] == name).then_some(())
    })
    .await;
    began.elapsed()
}

#[tokio::test]
async fn fault_22_health_is_red_when_nobody_seals_although_every_projection_has_caught_up() {
    let (server, folder) = (Server::start("dead").await, Folder::new("dead"));
    let log = Almanac::node(&server.url(), &folder, "log", &[]);
    let api = Almanac::node(&server.url(), &folder, "api", &[]);
    until_ready(&api.address).await;
    assert_eq!(metric(&api.address, "almanac_log_leader").await, Some(1.0));
    log.kill();
    let fault = fault_of_sealing(&api.address).await;
    assert!(fault.contains("nobody has sealed the log"), "{fault}");
    let (_, page) = Person::at(&api.address).page("/metrics").await;
    let lags: Vec<&str> = page.lines().filter(|line| line.starts_with("almanac_subscription_lag{")).collect();
    assert!(
        lags.len() > 5 && lags.iter().all(|line| line.ends_with(" 0")),
        "every projection has caught up: {lags:?}"
    );
    assert_eq!(metric(&api.address, "almanac_ready").await, Some(0.0));
    let _again = Almanac::node(&server.url(), &folder, "log", &[]);
    until_ready(&api.address).await;
}

#[tokio::test]
async fn fault_22_health_is_red_when_the_leader_lives_and_cannot_seal() {
    let (server, folder) = (Server::start("unable").await, Folder::new("unable"));
    let log = Almanac::node(&server.url(), &folder, "log", &[]);
    let api = Almanac::node(&server.url(), &folder, "api", &[]);
    until_ready(&api.address).await;
    let ann = Person::at(&api.address);
    ann.register("ann@example.org", "correct horse battery").await;
    write_and_read(&ann, "before").await;
    log.kill();
    let failing = [("ALMANAC_FAILPOINTS", "seal.after_read=error")];
    let unable = Almanac::node(&server.url(), &folder, "log", &failing);
    ann.post("/watchlists", json!({ "name": "during" })).await;
    let fault = fault_of_sealing(&api.address).await;
    assert!(fault.contains("waits to be sealed") && fault.contains("the sequencer does not work"), "{fault}");
    assert_eq!(metric(&api.address, "almanac_ready").await, Some(0.0));
    unable.kill();
    let _able = Almanac::node(&server.url(), &folder, "log", &[]);
    until_ready(&api.address).await;
}

#[tokio::test]
async fn fault_17_health_is_red_while_an_actor_is_held_up_and_green_when_somebody_has_seen_to_it() {
    let (server, folder) = (Server::start("held").await, Folder::new("held"));
    let node = Almanac::node(&server.url(), &folder, "api,log", &[]);
    until_ready(&node.address).await;
    let database = Database::open(&server.url()).await.expect("it answers");
    sqlx::query("update subscriptions set state = 'stopped', generation = generation + 1, failed_ordinal = 1, error = 'held by a test' where name = 'watchlists'")
        .execute(database.pool())
        .await
        .expect("it stands still");
    let fault = eventually("health to name the actor", || async {
        faults(&node.address).await?["actor projector of watchlists"].as_str().map(str::to_owned)
    })
    .await;
    assert!(fault.contains("held by a test"), "{fault}");
    let held = "almanac_actor_held{actor=\"projector of watchlists\"}";
    assert_eq!(metric(&node.address, held).await, Some(1.0));
    let resumed = std::process::Command::new(almanac_tests::binary())
        .args(["projections", "resume", "watchlists", "--data-dir"])
        .arg(folder.path())
        .env("DATABASE_URL", server.url())
        .status();
    assert!(resumed.expect("the binary runs").success());
    until_ready(&node.address).await;
    assert_eq!(metric(&node.address, held).await, Some(0.0));
}

#[tokio::test]
async fn fault_05_health_and_metrics_name_the_process_of_another_database_that_holds_sealing_up() {
    let (server, folder) = (Server::start("held-up").await, Folder::new("held-up"));
    let node = Almanac::node(&server.url(), &folder, "api,log", &[]);
    until_ready(&node.address).await;
    let ann = Person::at(&node.address);
    ann.register("ann@example.org", "correct horse battery").await;
    write_and_read(&ann, "before").await;

    let mut blocker = server.connect("postgres").await;
    blocker.execute("begin; select pg_current_xact_id()").await.expect("begun");
    let pid: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut blocker).await.expect("a pid");
    let made = ann.post("/watchlists", json!({ "name": "during" })).await;
    let blocking = "almanac_log_blocking_pid";
    let named = eventually("the blocking process", || metric(&node.address, blocking)).await;
    assert!((named - f64::from(pid)).abs() < 0.5, "{named} for {pid}");
    let after = made["after"].as_str().expect("a key");
    let waits = ann.request(reqwest::Method::GET, &format!("/watchlists?after={after}")).send().await;
    assert_eq!(
        waits.expect("an answer").status(),
        StatusCode::ACCEPTED,
        "the command stands, and is not shown yet"
    );
    let fault = fault_of_sealing(&node.address).await;
    assert!(fault.contains(&format!("process {pid} ")) && !fault.contains("postgres"), "{fault}");

    blocker.execute("commit").await.expect("committed");
    blocker.close().await.expect("closed");
    until_ready(&node.address).await;
    assert!(ann.get(&format!("/watchlists?after={after}")).await.to_string().contains("during"));
    check_log(&Database::open(&server.url()).await.expect("it answers")).await;
}

#[tokio::test]
async fn fault_05_the_administrator_is_shown_the_process_that_holds_sealing_up() {
    let (server, folder) = (Server::start("shown-stall").await, Folder::new("shown-stall"));
    let almanac = demo_in(&folder, STILL, &[("DATABASE_URL", &server.url())]);
    let admin = Person::at(&almanac.address);
    let (email, password) = almanac.administrator();
    admin.sign_in(email, password).await;
    let mut blocker = server.connect("postgres").await;
    blocker.execute("begin; select pg_current_xact_id()").await.expect("begun");
    let pid: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut blocker).await.expect("a pid");
    admin.post("/watchlists", json!({ "name": "during" })).await;
    let stall = eventually("a stall", || async {
        Some(admin.get("/admin/log").await["stall"].clone()).filter(|stall| !stall.is_null())
    })
    .await;
    assert_eq!((&stall["blocking_pid"], &stall["blocking_database"]), (&json!(pid), &json!("postgres")));
    let shown = admin.get("/admin/log").await;
    assert!(shown["sealed_lag_ms"].as_i64() >= stall["waiting_ms"].as_i64(), "{shown}");
    blocker.execute("commit").await.expect("committed");
    eventually("nothing to wait", || async {
        let log = admin.get("/admin/log").await;
        (log["stall"].is_null() && log["sealed_lag_ms"].is_null()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_follower_takes_over_when_the_leader_is_killed_and_readers_of_a_third_node_see_their_writes() {
    let (server, folder) = (Server::start("take-over").await, Folder::new("take-over"));
    let url = server.url();
    let mut leader = Almanac::node(&url, &folder, "log", &[]);
    let api = Almanac::node(&url, &folder, "api", &[]);
    until_ready(&api.address).await;
    let database = Database::open(&url).await.expect("it answers");
    let ann = Person::at(&api.address);
    ann.register("ann@example.org", "correct horse battery").await;
    let mut usual: Vec<_> = Vec::new();
    for n in 0..15 {
        usual.push(write_and_read(&ann, &format!("usual {n}")).await);
    }
    usual.sort();
    println!(
        "written and read on a node that neither seals nor projects: p50 {:?}, slowest {:?}",
        usual[7], usual[14]
    );
    assert!(usual[7] < Duration::from_secs(2), "it hears of what others seal: {usual:?}");

    let mut took = vec![];
    for round in 0..3 {
        let follower = Almanac::node(&url, &folder, "log", &[]);
        let before = Sequencer::standing(&database).await.expect("an answer").generation;
        let led = Sequencer::leader(&database).await.expect("an answer").expect("somebody leads");
        leader.kill();
        let killed = Instant::now();
        write_and_read(&ann, &format!("after the death of leader {round}")).await;
        took.push(killed.elapsed());
        let now = Sequencer::leader(&database).await.expect("an answer").expect("somebody leads");
        assert_ne!(now.pid, led.pid);
        assert_eq!(Sequencer::standing(&database).await.expect("an answer").generation, before + 1);
        leader = follower;
    }
    took.sort();
    println!("kill -9 of the leader to the next sealed and shown write: {took:?}");
    // A machine that has much else to do may be late once; whoever waits for the silence of the dead is late each time.
    assert!(took[1] < Duration::from_secs(5) && took[2] < Duration::from_secs(20), "{took:?}");
    check_log(&database).await;
}

/// At the worst instant there is: a command is done, and nobody hears of it.
const DEATH: [(&str, &str); 1] = [("ALMANAC_FAILPOINTS", "append.after_commit=abort@25")];

#[tokio::test]
async fn fault_25_nodes_restarted_one_after_the_other_under_load_lose_and_double_nothing() {
    let (server, folder) = (Server::start("rolling").await, Folder::new("rolling"));
    let url = server.url();
    // Both at once on an empty database: one of them makes the administrator, and both start.
    let (first, second) = tokio::join!(
        tokio::task::spawn_blocking({
            let (url, folder) = (url.clone(), folder.path().to_owned());
            move || Almanac::node_in(&url, &folder, "api,log", &[])
        }),
        tokio::task::spawn_blocking({
            let (url, folder) = (url.clone(), folder.path().to_owned());
            move || Almanac::node_in(&url, &folder, "api,log", &DEATH)
        })
    );
    let mut nodes = vec![first.expect("it starts"), second.expect("it starts")];
    let addresses = |nodes: &[Almanac]| nodes.iter().map(|node| node.address.clone()).collect::<Vec<_>>();
    let load = Load::start(4, addresses(&nodes));
    for round in 0..4 {
        let before = load.done();
        eventually("more commands", || async { (load.done() >= before + 40).then_some(()) }).await;
        let leaves = nodes.remove(0);
        if round % 2 == 0 {
            load.at(addresses(&nodes));
            assert!(leaves.stop(), "it ends well");
        } else {
            leaves.dies().await;
            load.at(addresses(&nodes));
        }
        let death = if round % 2 == 0 { &[][..] } else { &DEATH };
        nodes.push(Almanac::node(&url, &folder, "api,log", death));
        load.at(addresses(&nodes));
    }
    let worked = load.end().await;
    let database = Database::open(&url).await.expect("it answers");
    eventually("everything to be sealed", || async {
        Sequencer::stall(&database).await.ok()?.is_none().then_some(())
    })
    .await;
    check_log(&database).await;
    worked.check(&database).await;
    println!(
        "{} commands, {} tries failed, the slowest took {:?}",
        worked.promised.len(),
        worked.failed,
        worked.slowest
    );
}
