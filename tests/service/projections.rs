//! Rebuilding a read model while the service goes on, over HTTP and by the command line, as an administrator does.

use std::process::Command;

use almanac_tests::{Almanac, Folder, Person, Received, SmtpServer, binary, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::demo::{QUICK, STILL, demo_in};

async fn administrator(almanac: &Almanac) -> Person {
    let admin = Person::at(&almanac.address);
    let (email, password) = almanac.administrator();
    admin.sign_in(email, password).await;
    admin
}

/// The tables of `name` beside those in use that are in this state.
async fn build(admin: &Person, name: &str, state: &str) -> Option<Value> {
    let list = admin.get("/admin/projections").await;
    let projection = list["items"].as_array()?.iter().find(|one| one["name"] == name)?.clone();
    projection["builds"].as_array()?.iter().find(|build| build["state"] == state).cloned()
}

async fn compared(admin: &Person, name: &str) -> Value {
    eventually("a rebuild that is compared", || async {
        build(admin, name, "ready").await.filter(|build| !build["compared_at"].is_null())
    })
    .await
}

async fn schema_in_use(admin: &Person, name: &str) -> String {
    let list = admin.get("/admin/projections").await;
    let items = list["items"].as_array().expect("projections");
    let projection = items.iter().find(|one| one["name"] == name).expect("the projection");
    projection["schema"].as_str().expect("a schema").to_owned()
}

#[tokio::test]
async fn fault_19_the_mails_are_rebuilt_and_switched_to_and_fro_while_the_market_goes_on_and_none_comes_twice()
 {
    let (folder, smtp) = (Folder::new("rebuilt"), SmtpServer::start().await);
    let almanac = demo_in(&folder, QUICK, &[("ALMANAC_SMTP_URL", &smtp.url)]);
    let admin = administrator(&almanac).await;
    let mails = || smtp.mails().len();
    eventually("two mails", || async { (mails() >= 2).then_some(()) }).await;
    let first = schema_in_use(&admin, "mail").await;

    let asked = admin.post("/admin/projections/mail/rebuild", json!({})).await;
    assert_eq!(asked, json!({ "name": "mail", "state": "warming" }));
    let (status, problem) = admin.refused(Method::POST, "/admin/projections/mail/rebuild", json!({})).await;
    assert_eq!((status, problem["type"].as_str()), (StatusCode::CONFLICT, Some("/problems/refused")));
    let ready = compared(&admin, "mail").await;
    assert_eq!(ready["differences"], json!([]));
    admin.post("/admin/projections/mail/switch", json!({})).await;
    assert_eq!(schema_in_use(&admin, "mail").await, ready["schema"].as_str().expect("a schema"));
    let before = mails();
    eventually("two mails from the fresh tables", || async { (mails() >= before + 2).then_some(()) }).await;

    admin.post("/admin/projections/mail/switch-back", json!({})).await;
    assert_eq!(schema_in_use(&admin, "mail").await, first);
    let before = mails();
    eventually("two mails from the first tables", || async { (mails() >= before + 2).then_some(()) }).await;
    admin.post("/admin/projections/mail/drop", json!({})).await;
    assert!(build(&admin, "mail", "previous").await.is_none());

    // Mails lag behind rounds: the one about the last round that is complete by now is waited for.
    let sessions = sessions(&admin).await;
    eventually("a mail about the last round", || async {
        (mails_about(&smtp, &sessions[0]) > 0).then_some(())
    })
    .await;
    let since = sessions.iter().rposition(|session| mails_about(&smtp, session) > 0).expect("a first mail");
    assert!(since >= 3, "two mails before and two after: {sessions:?}");
    for session in &sessions[..=since] {
        assert_eq!(mails_about(&smtp, session), 1, "mails to one person about the round of {session}");
    }

    let sent = smtp.mails();
    let mut ids: Vec<_> = sent.iter().filter_map(|mail| mail.header("message-id")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), sent.len(), "no mail came twice");
}

/// The sessions whose rounds are complete, newest first.
async fn sessions(admin: &Person) -> Vec<String> {
    let events = admin.get("/admin/events?type=RoundCompleted&limit=500").await;
    let session =
        |event: &Value| event["payload"]["RoundCompleted"]["session"].as_str().expect("a session").to_owned();
    events["items"].as_array().expect("events").iter().map(session).collect()
}

/// How many mails the person who was mailed first has got about the round of a session, such as `2024-03-04`.
fn mails_about(smtp: &SmtpServer, session: &str) -> usize {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let mut numbers = session.split('-').map(|part| part.parse::<usize>().expect("a number"));
    let (year, month, day) = (numbers.next(), numbers.next(), numbers.next());
    let (year, month, day) = (year.expect("a year"), month.expect("a month"), day.expect("a day"));
    let subject = format!("forecasts after {day} {} {year}", MONTHS[month - 1]);
    let sent = smtp.mails();
    let about = |mail: &&Received| mail.header("subject").is_some_and(|words| words.contains(&subject));
    sent.iter().filter(|mail| mail.to == sent[0].to).filter(about).count()
}

#[tokio::test]
async fn a_rebuild_goes_on_after_the_service_was_killed_over_it() {
    let folder = Folder::new("rebuild-killed");
    let almanac = demo_in(&folder, STILL, &[]);
    let admin = administrator(&almanac).await;
    admin.post("/admin/projections/predictions/rebuild", json!({})).await;
    almanac.kill();

    let almanac = demo_in(&folder, STILL, &[]);
    let admin = administrator(&almanac).await;
    assert_eq!(compared(&admin, "predictions").await["differences"], json!([]));
    admin.post("/admin/projections/predictions/cancel", json!({})).await;
    assert!(build(&admin, "predictions", "cancelled").await.is_some());
}

#[tokio::test]
async fn only_an_administrator_rebuilds_and_what_is_not_there_is_said_to_be_absent() {
    let folder = Folder::new("rebuild-refused");
    let almanac = demo_in(&folder, STILL, &[]);
    let (user, admin) = (Person::at(&almanac.address), administrator(&almanac).await);
    let (email, password) = &almanac.sign_ins[0];
    user.sign_in(email, password).await;
    for what in ["rebuild", "cancel", "switch", "switch-back", "drop", "resume", "replay"] {
        let path = format!("/admin/projections/mail/{what}");
        assert_eq!(user.refused(Method::POST, &path, json!({})).await.0, StatusCode::FORBIDDEN, "{what}");
        let path = format!("/admin/projections/weather/{what}");
        assert_eq!(admin.refused(Method::POST, &path, json!({})).await.0, StatusCode::NOT_FOUND, "{what}");
    }
    for what in ["cancel", "switch", "switch-back", "drop"] {
        let path = format!("/admin/projections/mail/{what}");
        assert_eq!(admin.refused(Method::POST, &path, json!({})).await.0, StatusCode::NOT_FOUND, "{what}");
    }
}

/// Runs `almanac projections <arguments> --json` on the folder; the lines it printed, or what it failed with.
fn projections(folder: &Folder, arguments: &[&str]) -> Result<Vec<Value>, String> {
    let path = folder.path().to_str().expect("a readable path");
    let done = Command::new(binary())
        .arg("projections")
        .args(arguments)
        .args(["--json", "--data-dir", path])
        .env_remove("DATABASE_URL")
        .output()
        .expect("the binary runs");
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned());
    }
    let printed = String::from_utf8_lossy(&done.stdout);
    Ok(printed.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect())
}

#[tokio::test]
async fn the_command_line_rebuilds_with_the_service_running_and_without() {
    let folder = Folder::new("rebuild-by-hand");
    let almanac = demo_in(&folder, STILL, &[]);
    let listed = projections(&folder, &["list"]).expect("a list");
    assert!(
        listed.iter().any(|one| one["name"] == "predictions" && one["builds"] == json!([])),
        "{listed:?}"
    );
    let followed = projections(&folder, &["rebuild", "predictions", "--follow"]).expect("a rebuild");
    let last = followed.last().expect("progress");
    assert_eq!((&last["state"], &last["differences"]), (&json!("ready"), &json!([])));
    let switched = projections(&folder, &["switch", "predictions"]).expect("a switch");
    assert_eq!(switched, [json!({ "name": "predictions", "state": "switched" })]);
    assert!(almanac.stop());

    projections(&folder, &["switch-back", "predictions"]).expect("a switch back, with no service running");
    projections(&folder, &["drop", "predictions"]).expect("dropped");
    let followed =
        projections(&folder, &["rebuild", "mail", "--follow"]).expect("a rebuild done by the command");
    assert_eq!(followed.last().expect("progress")["state"], "ready");
    projections(&folder, &["cancel", "mail"]).expect("called off");
    let refused = projections(&folder, &["switch", "mail"]).expect_err("there is nothing to switch to");
    assert!(refused.contains("the rebuild of mail is not ready: it is cancelled"), "{refused}");
    assert!(
        projections(&folder, &["rebuild", "weather"]).expect_err("no such projection").contains("weather")
    );
}

/// The projection as the list shows it.
async fn listed(admin: &Person, name: &str) -> Value {
    let list = admin.get("/admin/projections").await;
    let items = list["items"].as_array().expect("projections");
    items.iter().find(|one| one["name"] == name).expect("the projection").clone()
}

async fn health(address: &str) -> (StatusCode, Value) {
    let (status, body) = Person::at(address).page("/health/ready").await;
    (status, serde_json::from_str(&body).expect("JSON"))
}

/// Lives through a program in which watchlists stop at every event and webhook endpoints set every one aside, and what
/// an administrator is shown of it; then the fixed program runs on the same data. Gives the `after` of a list that was
/// made meanwhile, and how many events are set aside.
async fn stumbled_and_fixed(folder: &Folder) -> (Almanac, Person, String, i64) {
    assert!(demo_in(folder, STILL, &[]).stop());
    let wrong = "step.poison=stop:watchlists,step.poison=park:webhook_endpoints";
    let almanac = demo_in(folder, STILL, &[("ALMANAC_FAILPOINTS", wrong)]);
    let admin = administrator(&almanac).await;
    admin.post("/watchlists", json!({ "name": "Made meanwhile" })).await;
    let endpoint = json!({ "url": "https://hook.invalid/meanwhile", "event_types": ["*"] });
    admin.post("/webhook-endpoints", endpoint).await;
    let made = admin.post("/watchlists", json!({ "name": "Made last" })).await;
    let after = made["after"].as_str().expect("a key").to_owned();
    // What is set aside counts as passed: the read waits for it and does not show it.
    let endpoints = admin.get(&format!("/webhook-endpoints?after={after}")).await;
    assert!(!endpoints.to_string().contains("hook.invalid/meanwhile"), "{endpoints}");

    let words = "a failpoint takes it for poison";
    let stopped = eventually("watchlists to stop", || async {
        Some(listed(&admin, "watchlists").await).filter(|one| one["state"] == "stopped")
    })
    .await;
    assert_eq!(stopped["error"], words);
    let at = stopped["failed_ordinal"].as_i64().expect("the event it stopped at");
    assert!(stopped["ordinal"].as_i64() < Some(at), "it stands before it: {stopped}");
    let aside = listed(&admin, "webhook_endpoints").await;
    assert_eq!((&aside["state"], &aside["parked_error"]), (&json!("running"), &json!(words)));
    let parked = aside["parked"].as_i64().expect("a number");
    assert!(parked >= 1 && aside["parked_ordinal"].as_i64() <= aside["ordinal"].as_i64(), "{aside}");
    assert!(almanac.stop());

    let almanac = demo_in(folder, STILL, &[]);
    let admin = administrator(&almanac).await;
    assert_eq!(
        listed(&admin, "watchlists").await["state"],
        "stopped",
        "a fixed program does not go on by itself"
    );
    let (status, body) = health(&almanac.address).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    let fault = body["faults"]["projection watchlists"].as_str().expect("a fault");
    assert_eq!(fault, format!("stopped at event {at}: {words}"));
    let warning = body["warnings"]["projection webhook_endpoints"].as_str().expect("a warning");
    assert!(warning.contains(words) && warning.contains("is set aside"), "{warning}");
    let metric = "almanac_subscription_parked{subscription=\"webhook_endpoints\",version=\"1\"}";
    assert_eq!(super::nodes::metric(&almanac.address, metric).await, Some(parked as f64));
    (almanac, admin, after, parked)
}

/// Both projections are as if nothing had happened.
async fn made_good(almanac: &Almanac, admin: &Person, after: &str) {
    let lists = admin.get(&format!("/watchlists?after={after}")).await.to_string();
    assert!(lists.contains("Made meanwhile") && lists.contains("Made last"), "{lists}");
    let endpoints = admin.get("/webhook-endpoints").await.to_string();
    assert!(endpoints.contains("hook.invalid/meanwhile"), "{endpoints}");
    super::nodes::until_ready(&almanac.address).await;
    let (_, body) = health(&almanac.address).await;
    assert_eq!(body["warnings"], json!({}));
    admin.post("/admin/projections/webhook_endpoints/rebuild", json!({})).await;
    assert_eq!(
        compared(admin, "webhook_endpoints").await["differences"],
        json!([]),
        "nothing is missing, nor twice"
    );
}

#[tokio::test]
async fn fault_17_after_a_fix_an_administrator_lets_what_stopped_go_on_and_replays_what_was_set_aside() {
    let folder = Folder::new("poison-over-http");
    let (almanac, admin, after, parked) = stumbled_and_fixed(&folder).await;
    let resumed = admin.post("/admin/projections/watchlists/resume", json!({})).await;
    assert_eq!(resumed, json!({ "name": "watchlists", "state": "resumed" }));
    let replayed = admin.post("/admin/projections/webhook_endpoints/replay", json!({})).await;
    assert_eq!(replayed, json!({ "name": "webhook_endpoints", "applied": parked, "parked": 0 }));
    made_good(&almanac, &admin, &after).await;

    let refused = admin.refused(Method::POST, "/admin/projections/watchlists/resume", json!({})).await;
    assert_eq!((refused.0, &refused.1["type"]), (StatusCode::CONFLICT, &json!("/problems/refused")));
    let again = admin.post("/admin/projections/webhook_endpoints/replay", json!({})).await;
    assert_eq!(again["applied"], 0, "it is replayed once");
}

#[tokio::test]
async fn fault_17_after_a_fix_the_command_line_lets_what_stopped_go_on_and_replays_what_was_set_aside() {
    let folder = Folder::new("poison-by-hand");
    let (almanac, admin, after, parked) = stumbled_and_fixed(&folder).await;
    let resumed = projections(&folder, &["resume", "watchlists"]).expect("it goes on");
    assert_eq!(resumed, [json!({ "name": "watchlists", "state": "resumed" })]);
    let replayed = projections(&folder, &["replay", "webhook_endpoints"]).expect("replayed");
    assert_eq!(replayed, [json!({ "name": "webhook_endpoints", "applied": parked, "parked": 0 })]);
    made_good(&almanac, &admin, &after).await;
    let refused = projections(&folder, &["resume", "watchlists"]).expect_err("it has not stopped");
    assert!(refused.contains("watchlists has not stopped at an event"), "{refused}");
}
