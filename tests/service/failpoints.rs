//! Real processes that die at a chosen instant: whatever was under way is there once after the next start.

use std::sync::Arc;

use almanac_domain::clock::SetClock;
use almanac_domain::watchlist::{Watchlist, WatchlistCommand};
use almanac_store::Database;
use almanac_store::clock::Entropy;
use almanac_store::log::{CommandBus, Issued};
use almanac_tests::{Almanac, Folder, Person, Server, check_log, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::demo::{STILL, demo_in};

/// More than one transaction of the sequencer holds.
const EVENTS: usize = 2_100;

fn failpoint(list: &str) -> [(&str, &str); 1] {
    [("ALMANAC_FAILPOINTS", list)]
}

#[test]
fn a_failpoint_that_does_not_exist_stops_the_start_and_is_named() {
    let folder = Folder::new("misspelt");
    let output = std::process::Command::new(almanac_tests::binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path().join("data"))
        .envs(failpoint("seal.before_comet=abort"))
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("`seal.before_comet` is not one of"), "{said}");
    assert!(!folder.path().join("data").exists(), "nothing was begun");
}

/// A database with committed events that nobody has sealed, and no more to come: the administrator is there.
async fn prepared(server: &Server, folder: &Folder) {
    assert!(Almanac::node(&server.url(), folder, "log", &[]).stop());
    let database = Database::open(&server.url()).await.expect("it answers");
    let entropy = Entropy::seeded(6);
    let clock = Arc::new(SetClock::at("2024-05-06T12:00:00Z".parse().expect("a time")));
    let bus = CommandBus::new(database.clone(), clock.clone(), entropy.clone());
    let new = || entropy.uuid_v7("2024-05-06T12:00:00Z".parse().expect("a time"));
    let batch = (0..EVENTS)
        .map(|_| (new().to_string(), WatchlistCommand::CreateWatchlist { by: new(), name: new() }));
    let made = bus.execute_batch::<Watchlist>(batch.collect(), &Issued::new(new())).await.expect("a batch");
    assert!(made.iter().all(Result::is_ok));
    database.pool().close().await;
}

async fn level(database: &Database) -> bool {
    let behind = "select (select count(*) from events) > (select count(*) from event_log)
                      or exists (select 1 from subscriptions s, sequencer q where s.last_ordinal < q.last_ordinal)";
    !sqlx::query_scalar::<_, bool>(behind).fetch_one(database.pool()).await.expect("an answer")
}

/// What the log and a read model hold, without the times of this machine.
async fn outcome(database: &Database) -> (Vec<Value>, Vec<Value>, Vec<Vec<u8>>) {
    let log =
        "select jsonb_build_array(ordinal, aggregate_type, aggregate_id, sequence, position, event_type,
                                        encode(event_hash, 'hex'), as_of) from event_log order by ordinal";
    let lists = "select to_jsonb(w) from watchlists w order by 1";
    let (log, lists) = (sqlx::query_scalar(log), sqlx::query_scalar(lists));
    (
        log.fetch_all(database.pool()).await.expect("the log"),
        lists.fetch_all(database.pool()).await.expect("the lists"),
        sqlx::query_scalar("select unnest(frontier) from sequencer")
            .fetch_all(database.pool())
            .await
            .expect("the tree"),
    )
}

async fn finished(server: &Server, folder: &Folder, name: &str) -> (Vec<Value>, Vec<Value>, Vec<Vec<u8>>) {
    let url = server.url_of(name);
    let node = Almanac::node(&url, folder, "log", &[]);
    let database = Database::open(&url).await.expect("it answers");
    eventually("the tables to be level with the log", || async { level(&database).await.then_some(()) })
        .await;
    assert!(check_log(&database).await >= EVENTS as i64);
    assert!(node.stop(), "it ends well");
    let outcome = outcome(&database).await;
    database.pool().close().await;
    outcome
}

#[tokio::test]
async fn fault_06_a_sequencer_killed_at_any_instant_leaves_the_log_of_one_that_never_was() {
    let (server, folder) = (Server::start("sealing").await, Folder::new("sealing"));
    prepared(&server, &folder).await;
    server.copy("almanac", "undisturbed").await;
    let expected = finished(&server, &folder, "undisturbed").await;
    assert_eq!(expected.1.len(), EVENTS + 1, "with the administrator's first list");
    // Every instant is met in the tests of the store; these show that a whole node gets over it.
    let deaths = ["seal.after_insert=abort@2", "seal.before_commit=abort@1", "seal.after_commit=abort@2"];
    for (number, death) in deaths.into_iter().enumerate() {
        let name = format!("killed_{number}");
        server.copy("almanac", &name).await;
        Almanac::doomed_node(&server.url_of(&name), &folder, "log", &failpoint(death));
        assert!(finished(&server, &folder, &name).await == expected, "after {death} the log is another");
    }
}

#[tokio::test]
async fn fault_15_a_projector_killed_between_apply_and_commit_or_after_it_applies_each_event_once() {
    let (server, folder) = (Server::start("stepping").await, Folder::new("stepping"));
    prepared(&server, &folder).await;
    server.copy("almanac", "undisturbed").await;
    let expected = finished(&server, &folder, "undisturbed").await;
    for (number, death) in ["step.after_apply=abort@8", "step.after_commit=abort@6"].into_iter().enumerate() {
        let name = format!("killed_{number}");
        server.copy("almanac", &name).await;
        Almanac::doomed_node(&server.url_of(&name), &folder, "log", &failpoint(death));
        assert!(finished(&server, &folder, &name).await == expected, "after {death} the tables are others");
    }
}

#[tokio::test]
async fn fault_11_a_command_cut_off_at_any_instant_and_given_again_has_one_effect() {
    let (server, folder) = (Server::start("cut-off").await, Folder::new("cut-off"));
    let url = server.url();
    let node = Almanac::node(&url, &folder, "api,log", &[]);
    let ann = json!({ "email": "ann@example.org", "password": "correct horse battery" });
    Person::at(&node.address).register("ann@example.org", "correct horse battery").await;
    assert!(node.stop());
    // The first append of a node that has its administrator is the command's.
    for death in
        ["append.before_insert=abort@1", "append.after_insert=abort@1", "append.after_commit=abort@1"]
    {
        let doomed = Almanac::node(&url, &folder, "api,log", &failpoint(death));
        let give = |address: String| {
            let ann = ann.clone();
            async move {
                let person = Person::at(&address);
                person
                    .sign_in(ann["email"].as_str().expect("text"), ann["password"].as_str().expect("text"))
                    .await;
                let create = person
                    .request(Method::POST, "/watchlists")
                    .header("idempotency-key", death)
                    .json(&json!({ "name": death }))
                    .send()
                    .await;
                (person, create)
            }
        };
        let (_, cut_off) = give(doomed.address.clone()).await;
        assert!(cut_off.is_err(), "{death}: it died and answered: {cut_off:?}");
        doomed.last_words();

        let node = Almanac::node(&url, &folder, "api,log", &[]);
        let (person, again) = give(node.address.clone()).await;
        let again = again.expect("an answer");
        assert_eq!(again.status(), StatusCode::CREATED, "{death}");
        let after = again.json::<Value>().await.expect("JSON")["after"].as_str().expect("a key").to_owned();
        let lists = person.get(&format!("/watchlists?after={after}")).await;
        let named =
            lists["items"].as_array().expect("lists").iter().filter(|list| list["name"] == death).count();
        assert_eq!(named, 1, "{death}: {lists}");
        assert!(node.stop());
    }
    check_log(&Database::open(&url).await.expect("it answers")).await;
}

#[tokio::test]
async fn a_service_killed_while_it_sets_itself_up_starts_the_next_time() {
    let folder = Folder::new("setting-up");
    let path = folder.path().to_str().expect("a readable path");
    let status = std::process::Command::new(almanac_tests::binary())
        .args(["serve", "--data-dir", path, "--listen", "127.0.0.1:0"])
        .env_remove("DATABASE_URL")
        .envs(failpoint("postgres.before_start=abort"))
        .status()
        .expect("it runs");
    assert_eq!(status.code(), None, "it was to be killed");
    assert!(Almanac::own(&folder).stop());
}

#[tokio::test]
async fn a_demo_killed_while_it_writes_down_what_it_was_begun_with_starts_the_next_time() {
    let folder = Folder::new("setting-up-a-demo");
    let path = folder.path().to_str().expect("a readable path");
    let died = Almanac::try_start(&["demo", "--data-dir", path], &failpoint("key.before_rename=abort"));
    assert!(died.is_none(), "it was to be killed");
    assert!(!folder.path().join("demo.json").exists(), "written whole or not at all");
    let almanac = demo_in(&folder, STILL, &[]);
    let kept = std::fs::read_to_string(folder.path().join("demo.json")).expect("it is kept");
    let kept: Value = serde_json::from_str(&kept).expect("it is whole");
    assert_eq!(kept["admin_password"].as_str(), Some(almanac.administrator().1));
}
