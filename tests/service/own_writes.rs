//! A command given twice has one effect, and every read can wait for it: on every route the document names.

use std::sync::Arc;

use almanac_store::Database;
use almanac_tests::{Almanac, Folder, Person, eventually, own_database_url};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use tokio::task::JoinSet;

use super::demo::{STILL, demo_in};

/// Reads that no projection has a part in: they show the log as soon as an event is sealed.
const OF_THE_LOG: [&str; 10] = [
    "/admin/actors",
    "/admin/events",
    "/admin/events/{event_id}/story",
    "/admin/log",
    "/admin/projections",
    "/log/checkpoint",
    "/log/checkpoints",
    "/log/consistency",
    "/log/inclusion",
    "/unsubscribe",
];

struct Things {
    instrument: String,
    list: String,
    endpoint: String,
    run: String,
}

/// A body that the operation takes, and another one; none where it takes nothing.
fn bodies(operation: &str) -> Option<(Value, Value)> {
    Some(match operation {
        "change_account" => (json!({ "session_mail": false }), json!({ "session_mail": true })),
        "erase_account" => (json!({ "password": "correct horse battery" }), json!({ "password": "?" })),
        "create_watchlist" | "rename_watchlist" => (json!({ "name": "One" }), json!({ "name": "Two" })),
        "register_endpoint" => (
            json!({ "url": "https://hook.invalid/a", "event_types": ["*"] }),
            json!({ "url": "https://hook.invalid/b", "event_types": ["*"] }),
        ),
        "change_endpoint" => {
            (json!({ "event_types": ["round.completed"] }), json!({ "event_types": ["model.promoted"] }))
        }
        "request_training" => (json!({}), json!({ "horizons": [3] })),
        "request_import" => (
            json!({ "files": [{ "horizon": 1, "onnx": "b25l" }] }),
            json!({ "files": [{ "horizon": 5, "onnx": "b25l" }] }),
        ),
        "promote_version" | "retire_version" | "quarantine_version" | "roll_back" => {
            (json!({ "reason": "one" }), json!({ "reason": "two" }))
        }
        "close_trial" => (json!({ "reason": "one" }), json!({ "reason": "two" })),
        "open_trial" => (json!({ "version": 1, "reason": "one" }), json!({ "version": 1, "reason": "two" })),
        _ => return None,
    })
}

/// The operations that take a key, in an order in which what is needed is still there.
fn in_order(document: &Value) -> Vec<(Method, String, String)> {
    let mut found = vec![];
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            if parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key") {
                let method: Method = method.to_uppercase().parse().expect("a method");
                let name = operation["operationId"].as_str().expect("a name").to_owned();
                found.push((method, path.trim_start_matches("/api/v1").to_owned(), name));
            }
        }
    }
    found.sort_by_key(|(method, path, _)| {
        let deletes = method == Method::DELETE;
        // What is inside of something is taken out of it before the thing itself goes.
        (deletes, if deletes { usize::MAX - path.len() } else { path.len() })
    });
    found
}

fn filled(path: &str, things: &Things) -> String {
    let id = match path.split('/').nth(1).unwrap_or_default() {
        "watchlists" => &things.list,
        "webhook-endpoints" => &things.endpoint,
        // There is no trial: any identity names none.
        "training-runs" | "admin" => &things.run,
        _ => "",
    };
    let path = path.replace("{id}", id).replace("{instrument}", &things.instrument);
    let path = path.replace("{name}", "us-daily").replace("{version}", "1");
    assert!(!path.contains('{'), "the test does not know how to fill {path}");
    path
}

#[tokio::test]
async fn fault_11_every_command_given_twice_has_one_answer_and_with_another_body_is_refused() {
    let folder = Folder::new("every-command");
    let almanac = demo_in(&folder, STILL, &[]);
    let person = Person::at(&almanac.address);
    let (email, password) = almanac.administrator();
    person.sign_in(email, password).await;
    let (_, document) = person.page("/openapi.json").await;
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let endpoint = json!({ "url": "https://hook.invalid/hook", "event_types": ["*"] });
    let things = Things {
        instrument: text(&person.get("/instruments?limit=1").await["items"][0]["id"]),
        list: text(&person.post("/watchlists", json!({ "name": "Mine" })).await["id"]),
        endpoint: text(&person.post("/webhook-endpoints", endpoint).await["id"]),
        run: text(&person.post("/training-runs", json!({})).await["id"]),
    };
    // Until then there is no model to command.
    eventually("the first version", async || {
        let (status, _) = person.page("/api/v1/models/us-daily").await;
        status.is_success().then_some(())
    })
    .await;
    let operations = in_order(&document);
    assert!(operations.len() > 15, "the document names {} commands only", operations.len());
    let mut deleted = String::new();
    for (method, path, operation) in operations {
        if operation == "erase_account" {
            // It ends the session that all others need: it has a test of its own.
            continue;
        }
        let path = filled(&path, &things);
        let give = async |body: Option<&Value>| {
            let request = person.request(method.clone(), &path).header("idempotency-key", &operation);
            let request = match body {
                Some(body) => request.json(body),
                None => request,
            };
            let answer = request.send().await.expect("an answer");
            (answer.status(), answer.json::<Value>().await.unwrap_or_default())
        };
        let bodies = bodies(&operation);
        let body = bodies.as_ref().map(|(body, _)| body);
        let first = give(body).await;
        assert!(
            first.0.is_success()
                || first.0 == StatusCode::CONFLICT
                || (operation == "close_trial" && first.0 == StatusCode::NOT_FOUND),
            "{operation} answered {}: {}",
            first.0,
            first.1
        );
        assert_eq!(give(body).await, first, "{operation} given again");
        if operation == "delete_watchlist" {
            deleted = text(&first.1["after"]);
        }
        // A refusal is not remembered, because it has had no effect: there is nothing another body could contradict.
        if let (Some((_, other)), true) = (&bodies, first.0.is_success()) {
            let (status, problem) = give(Some(other)).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{operation} with another body: {problem}");
            assert_eq!(problem["type"], "/problems/idempotency-key-reused", "{operation}");
        }
    }
    let lists = person.get(&format!("/watchlists?after={deleted}")).await;
    let lists = lists["items"].as_array().expect("lists");
    assert!(lists.iter().all(|list| list["id"] != things.list.as_str()), "it was deleted, and stays so");
}

#[tokio::test]
async fn fault_11_an_erasure_given_again_with_its_key_finds_nobody_signed_in_and_erases_nobody_else() {
    let folder = Folder::new("erased-twice");
    let almanac = Almanac::own(&folder);
    let (email, password) = ("ann@example.org", "correct horse battery");
    let ann = Person::at(&almanac.address);
    ann.register(email, password).await;
    let erase = async |person: &Person, password: &str| {
        let request = person.request(Method::DELETE, "/account").header("idempotency-key", "farewell");
        let answer = request.json(&json!({ "password": password })).send().await.expect("an answer");
        (answer.status(), answer.json::<Value>().await.unwrap_or_default())
    };
    let (status, problem) = erase(&ann, "another one").await;
    assert_eq!((status, &problem["type"]), (StatusCode::UNAUTHORIZED, &json!("/problems/wrong-credentials")));
    assert_eq!(erase(&ann, password).await.0, StatusCode::NO_CONTENT, "a refusal is not remembered");
    let (status, problem) = erase(&ann, password).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "the answer may have been lost: {problem}");
    assert_eq!(problem["type"], "/problems/not-signed-in");

    // The address is free again. Whoever takes it is somebody else, to whom the key means nothing.
    let again = Person::at(&almanac.address);
    again.register(email, password).await;
    assert_eq!(ann.status_of("/watchlists").await, StatusCode::UNAUTHORIZED);
    assert_eq!(again.status_of("/watchlists").await, StatusCode::OK);
    assert_eq!(erase(&again, password).await.0, StatusCode::NO_CONTENT, "a command of their own");
    let database = Database::open(&own_database_url(folder.path())).await.expect("it answers");
    let erased = "select count(*) from events where event_type = 'AccountErased'";
    let erased: i64 = sqlx::query_scalar(erased).fetch_one(database.pool()).await.expect("an answer");
    assert_eq!(erased, 2, "each once");
}

#[tokio::test]
async fn every_read_waits_for_the_event_it_is_given_and_refuses_what_is_none() {
    let folder = Folder::new("every-read");
    let almanac = demo_in(&folder, STILL, &[]);
    let person = Person::at(&almanac.address);
    let (email, password) = almanac.administrator();
    person.sign_in(email, password).await;
    let made = person.post("/watchlists", json!({ "name": "Mine" })).await;
    let after = made["after"].as_str().expect("a key");
    let (_, document) = person.page("/openapi.json").await;
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let instrument = person.get("/instruments?limit=1").await["items"][0]["id"].clone();
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let (Some(read), Some(path)) = (operations.get("get"), path.strip_prefix("/api/v1")) else {
            continue;
        };
        let parameters = read["parameters"].as_array().cloned().unwrap_or_default();
        let named = parameters.iter().filter(|parameter| parameter["name"] == "after").count();
        assert_eq!(named, 1, "GET {path} takes `after` once");
        let path = path.replace("{id}", instrument.as_str().expect("an id"));
        let path =
            path.replace("{name}", "us-daily").replace("{event_id}", instrument.as_str().expect("an id"));
        let status = person.status_of(&format!("{path}?after={after}")).await;
        assert_ne!(status, StatusCode::ACCEPTED, "{path} does not come to see {after}");
        let status = person.status_of(&format!("{path}?after=nonsense")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} with nonsense");
        asked += 1;
    }
    assert!(asked > 20, "the document names {asked} reads only");
}

/// The reads the document names, below `/api/v1`.
async fn reads(person: &Person) -> Vec<String> {
    let (_, document) = person.page("/openapi.json").await;
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let paths = document["paths"].as_object().expect("paths").iter();
    let reads = paths.filter(|(_, operations)| operations.get("get").is_some());
    reads.filter_map(|(path, _)| path.strip_prefix("/api/v1").map(str::to_owned)).collect()
}

/// Every projection stands still; a step that is under way is void.
async fn hold_every_projection(folder: &Folder) {
    let database = Database::open(&own_database_url(folder.path())).await.expect("it answers");
    sqlx::query("update subscriptions set state = 'stopped', generation = generation + 1, failed_ordinal = 1, error = 'held by a test'")
        .execute(database.pool())
        .await
        .expect("they stand still");
}

#[tokio::test]
async fn a_read_does_not_answer_before_the_projection_it_reads_has_come_to_the_event() {
    let folder = Folder::new("held-reads");
    let almanac = demo_in(&folder, STILL, &[]);
    let person = Person::at(&almanac.address);
    let (email, password) = almanac.administrator();
    person.sign_in(email, password).await;
    let reads = reads(&person).await;
    for path in OF_THE_LOG {
        assert!(reads.iter().any(|read| read == path), "{path} is a read of the document");
    }
    let instrument = person.get("/instruments?limit=1").await["items"][0]["id"].clone();
    let instrument = instrument.as_str().expect("an id").to_owned();

    hold_every_projection(&folder).await;
    let made = person.post("/watchlists", json!({ "name": "Mine" })).await;
    let after = made["after"].as_str().expect("a key").to_owned();
    let (person, mut asked) = (Arc::new(person), JoinSet::new());
    for path in reads {
        let (person, after, instrument) = (Arc::clone(&person), after.clone(), instrument.clone());
        asked.spawn(async move {
            let asked = path.replace("{id}", &instrument).replace("{event_id}", &instrument);
            let asked = asked.replace("{name}", "us-daily").replace("{version}", "1");
            (person.status_of(&format!("{asked}?after={after}")).await, path)
        });
    }
    let mut wrong = vec![];
    for (status, path) in asked.join_all().await {
        if (status == StatusCode::ACCEPTED) == OF_THE_LOG.contains(&path.as_str()) {
            wrong.push(format!("{path} answers {status}"));
        }
    }
    assert!(wrong.is_empty(), "reads that wait for the wrong projections, or for none: {wrong:?}");
}

/// As many reads may wait at once in one process; it is part of what the service promises its neighbours.
const MOST_WAITING: usize = 256;

#[tokio::test]
async fn reads_that_would_wait_beside_256_others_are_refused_at_once() {
    let folder = Folder::new("crowded");
    let almanac = Almanac::own(&folder);
    let person = Person::at(&almanac.address);
    person.register("ann@example.org", "correct horse battery").await;
    let person = Arc::new(person);
    hold_every_projection(&folder).await;
    let made = person.post("/watchlists", json!({ "name": "Mine" })).await;
    let after = made["after"].as_str().expect("a key").to_owned();
    let never = format!("watchlist:{}:1", "00000000-0000-0000-0000-000000000000");
    let read = |after: &str| {
        let (person, path) = (Arc::clone(&person), format!("/watchlists?after={after}"));
        async move { person.status_of(&path).await }
    };
    let mut asked: JoinSet<StatusCode> = (0..MOST_WAITING + 44).map(|_| read(&after)).collect();
    let first = asked.join_next().await.expect("one of them").expect("an answer");
    assert_eq!(first, StatusCode::SERVICE_UNAVAILABLE, "whoever is refused is not held first");
    assert_eq!(read(&never).await, StatusCode::ACCEPTED, "what was never committed takes nobody's room");
    let others = asked.join_all().await;
    let waited = others.iter().filter(|status| **status == StatusCode::ACCEPTED).count();
    let refused = others.iter().filter(|status| **status == StatusCode::SERVICE_UNAVAILABLE).count();
    assert_eq!(waited + refused, others.len());
    assert!(waited >= MOST_WAITING, "only {waited} waited");
    assert_eq!(read(&after).await, StatusCode::ACCEPTED, "there is room again");
}
