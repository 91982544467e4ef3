//! Why something happened and what came of it, as the administrator's page asks for it.

use almanac_tests::{Folder, Person, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::demo::{QUICK, demo_in};

/// The newest event of a type.
async fn newest(admin: &Person, event_type: &str) -> Option<Value> {
    let events = admin.get(&format!("/admin/events?type={event_type}&limit=1")).await;
    events["items"].as_array()?.first().cloned()
}

/// The first event of a type.
async fn first(admin: &Person, event_type: &str) -> Option<Value> {
    let events = admin.get(&format!("/admin/events?type={event_type}&limit=500")).await;
    events["items"].as_array()?.last().cloned()
}

async fn story(admin: &Person, event: &Value) -> Value {
    let id = event["event_id"].as_str().expect("an id");
    let story = admin.get(&format!("/admin/events/{id}/story")).await;
    assert_eq!(
        (&story["event_id"], &story["correlation_id"]),
        (&event["event_id"], &event["correlation_id"])
    );
    story
}

/// The nodes from a beginning to the event that was asked for.
fn way(nodes: &Value) -> Option<Vec<&Value>> {
    nodes.as_array()?.iter().find_map(|node| {
        let rest = if node["selected"] == true { Some(vec![]) } else { way(&node["children"]) };
        rest.map(|rest| [vec![node], rest].concat())
    })
}

fn types<'a>(nodes: impl IntoIterator<Item = &'a Value>) -> Vec<&'a str> {
    nodes.into_iter().map(|node| node["event"]["event_type"].as_str().expect("a type")).collect()
}

/// Each event names the one above it, and comes after it.
fn holds_together(nodes: &Value, above: Option<&Value>) -> usize {
    let mut events = 0;
    for node in nodes.as_array().expect("nodes") {
        let event = &node["event"];
        if let Some(above) = above {
            let text = |name: &str| above[name].as_str().expect("a text");
            let key = format!("{}:{}:{}", text("aggregate_type"), text("aggregate_id"), above["sequence"]);
            assert_eq!(event["causation_id"], key.as_str());
            assert!(event["ordinal"].as_i64() > above["ordinal"].as_i64());
        }
        events += 1 + holds_together(&node["children"], Some(event));
    }
    events
}

#[tokio::test]
async fn a_promotion_and_a_prediction_are_told_with_their_causes_and_their_effects() {
    let folder = Folder::new("stories");
    let almanac = demo_in(&folder, QUICK, &[("ALMANAC_PROMOTION", "manual")]);
    let (admin, user) = (Person::at(&almanac.address), Person::at(&almanac.address));
    let (email, password) = almanac.administrator();
    admin.sign_in(email, password).await;
    let endpoint = json!({ "url": "https://hook.invalid/stories", "event_types": ["model.promoted"] });
    admin.post("/webhook-endpoints", endpoint).await;

    // A training made the first version, and having none before it is what promoted it.
    let promoted = eventually("a promotion", || first(&admin, "ModelVersionPromoted")).await;
    let told = story(&admin, &promoted).await;
    let way_there = way(&told["root"]).expect("the event is in its story");
    assert!(
        types(way_there.clone()).ends_with(&[
            "TrainingRequested",
            "TrainingStarted",
            "ModelVersionRegistered",
            "ModelVersionPromoted"
        ]),
        "{:?}",
        types(way_there)
    );
    assert!(holds_together(&told["root"], None) >= 4);

    // An administrator is the beginning of a story, and the integrator who asked for it is told.
    eventually("a second version", || async {
        let models = admin.get("/models").await;
        (models["items"][0]["versions"].as_array()?.len() >= 2).then_some(())
    })
    .await;
    let answer = admin.post("/models/us-daily/versions/2/promote", json!({ "reason": "a story" })).await;
    admin.get(&format!("/models?after={}", answer["after"].as_str().expect("a key"))).await;
    let promoted = eventually("the promotion", || async {
        newest(&admin, "ModelVersionPromoted").await.filter(|event| event["account"].is_string())
    })
    .await;
    let told = eventually("somebody to be told", || async {
        let told = story(&admin, &promoted).await;
        (told["root"][0]["told"]["webhooks"] == 1).then_some(told)
    })
    .await;
    assert_eq!(types(way(&told["root"]).expect("it is there")), ["ModelVersionPromoted"]);

    // Bars made a round, the round a prediction, and its day the score.
    let scored = eventually("a score", || newest(&admin, "PredictionScored")).await;
    let told = story(&admin, &scored).await;
    let way_there = way(&told["root"]).expect("the event is in its story");
    assert!(
        types(way_there.clone()).ends_with(&["RoundOpened", "PredictionPublished", "PredictionScored"]),
        "{:?}",
        types(way_there)
    );
    assert!(holds_together(&told["root"], None) > 3);
    assert!(told["events"].as_i64() >= Some(4), "{told}");

    let (email, password) = &almanac.sign_ins[0];
    user.sign_in(email, password).await;
    let path = format!("/admin/events/{}/story", scored["event_id"].as_str().expect("an id"));
    assert_eq!(user.status_of(&path).await, StatusCode::FORBIDDEN, "it names who did what");
    assert_eq!(Person::at(&almanac.address).status_of(&path).await, StatusCode::UNAUTHORIZED);
    let absent = "/admin/events/00000000-0000-0000-0000-000000000000/story";
    let (status, problem) = admin.refused(Method::GET, absent, Value::Null).await;
    assert_eq!((status, &problem["type"]), (StatusCode::NOT_FOUND, &json!("/problems/not-found")));
}
