//! Which endpoint is told of what, and in which words.

use std::collections::BTreeMap;

use almanac_domain::account::{Account, AccountCommand};
use almanac_domain::webhook_endpoint::OFFERED;
use almanac_projections::webhooks;
use almanac_store::outbox::webhook;
use almanac_store::transparency::{SigningKey, TreeHead, checkpoint};
use chrono::DateTime;
use serde_json::Value;
use uuid::Uuid;

use crate::market::{self, FIRST, id_of, session, slot};
use crate::story::{AAA, ALICE, CAROL, HOOK, Story, day};

async fn told(story: &Story, endpoint: Uuid) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for delivery in webhook::deliveries_of(story.pool(), endpoint, 1000).await.unwrap() {
        *told.entry(delivery.event_type).or_default() += 1;
    }
    told
}

fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

async fn bodies(story: &Story, endpoint: Uuid, event_type: &str) -> Vec<Value> {
    let deliveries = webhook::deliveries_of(story.pool(), endpoint, 1000).await.unwrap();
    deliveries.into_iter().filter(|one| one.event_type == event_type).map(|one| one.payload).collect()
}

#[tokio::test]
async fn an_endpoint_is_told_of_what_it_asks_for_and_of_no_trial() {
    let story = Story::told().await;
    let expected = counts(&[
        ("model.promoted", 2),
        ("prediction.published", 5),
        ("prediction.scored", 3),
        ("round.completed", 2),
    ]);
    assert_eq!(told(&story, HOOK).await, expected);
    assert_eq!(told(&story, Uuid::from_u128(0x41)).await, counts(&[]), "it was removed before");
    assert_eq!(told(&story, Uuid::from_u128(0x42)).await, counts(&[("round.completed", 2)]));
}

#[tokio::test]
async fn an_endpoint_that_asks_for_everything_is_told_of_every_offered_type() {
    let mut story = Story::begin().await;
    story.opens_account(CAROL, "carol@example.com").await;
    story.registers_endpoint(CAROL, Uuid::from_u128(0x43), &["*"]).await;
    market::market(&mut story).await;
    market::training(&mut story).await;
    market::rounds(&mut story).await;
    story.catch_up().await;
    let mut expected: Vec<&str> = OFFERED.to_vec();
    // The test message is no event: the edge puts it into the outbox itself.
    expected.retain(|name| *name != "endpoint.tested");
    expected.sort_unstable();
    let told = told(&story, Uuid::from_u128(0x43)).await;
    assert_eq!(told.keys().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_message_says_what_when_and_under_which_id_and_a_score_says_what_of() {
    let story = Story::told().await;
    let published = bodies(&story, HOOK, "prediction.published").await;
    let scored = bodies(&story, HOOK, "prediction.scored").await;
    let id = id_of(&slot(1, AAA, session(FIRST), 1)).to_string();
    let of = |bodies: &[Value]| {
        bodies.iter().find(|body| body["data"]["prediction"] == id.as_str()).cloned().unwrap()
    };
    let (published, scored) = (of(&published), of(&scored));
    assert_eq!(published["type"], "prediction.published");
    assert_eq!(published["data"]["instrument"]["symbol"], "AAA");
    assert!(published["timestamp"].as_str().unwrap().ends_with('Z'));
    let event: (Uuid,) =
        sqlx::query_as("select event_id from events where aggregate_id = $1 and sequence = 1")
            .bind(&id)
            .fetch_one(story.pool())
            .await
            .unwrap();
    assert_eq!(published["id"], event.0.to_string());
    assert_eq!(scored["data"]["forecast"], published["data"]["forecast"]);
    assert_eq!(scored["data"]["realised"], "0.0125");
    assert_eq!(scored["data"]["score"]["hit"], true);
}

#[tokio::test]
async fn a_message_carries_the_newest_signed_head_of_the_log_once_there_is_one() {
    let mut story = Story::told().await;
    assert!(
        bodies(&story, HOOK, "round.completed").await.iter().all(|body| body.get("checkpoint").is_none())
    );
    let key = SigningKey::from_seed("almanac.example", [4; 32]).unwrap();
    checkpoint::adopt_key(&story.database, key.verifier()).await.unwrap();
    let (size, root) = checkpoint::sealed(&story.database).await.unwrap();
    let note = TreeHead { origin: "almanac.example".into(), size, root }.signed(&key).unwrap();
    checkpoint::record(&story.database, &note, DateTime::UNIX_EPOCH).await.unwrap();
    market::open(&mut story, 1, day(2024, 1, 9)).await;
    market::complete(&mut story, 1, day(2024, 1, 9), 0, 0).await;
    story.catch_up().await;
    let carried = bodies(&story, HOOK, "round.completed").await;
    assert_eq!(carried.iter().filter(|body| body["checkpoint"] == note.as_str()).count(), 1);
}

#[tokio::test]
async fn no_message_holds_anything_personal() {
    let story = Story::told().await;
    let payloads: Vec<Value> =
        sqlx::query_scalar("select payload from webhook_deliveries").fetch_all(story.pool()).await.unwrap();
    assert!(!payloads.is_empty());
    let text = serde_json::to_string(&payloads).unwrap();
    for personal in [&ALICE.to_string(), "example.com", "it looks right"] {
        assert!(!text.contains(personal), "{personal}");
    }
}

#[tokio::test]
async fn the_endpoints_of_a_suspended_account_are_not_called_until_it_is_reinstated() {
    let mut story = Story::told().await;
    let before = told(&story, HOOK).await["round.completed"];
    let round = async |story: &mut Story, of| {
        market::open(story, 1, of).await;
        market::complete(story, 1, of, 0, 0).await;
        story.catch_up().await;
        told(story, HOOK).await["round.completed"]
    };
    story.does::<Account>(ALICE, AccountCommand::Suspend).await;
    assert_eq!(round(&mut story, day(2024, 1, 9)).await, before);
    story.does::<Account>(ALICE, AccountCommand::Reinstate).await;
    assert_eq!(round(&mut story, day(2024, 1, 10)).await, before + 1);
}

#[tokio::test]
async fn deliveries_and_attempts_are_shown_to_their_owner_only() {
    let story = Story::told().await;
    let pool = story.pool();
    let shown = webhooks::deliveries(pool, ALICE, HOOK, 1).await.unwrap();
    let [newest] = shown.as_slice() else { panic!("{shown:?}") };
    assert_eq!((newest.state.as_str(), newest.attempts, newest.last_status), ("pending", 0, None));
    assert!(newest.next_attempt_at.is_some());
    let claimed =
        webhook::claim_due(pool, story.now(), 100, std::time::Duration::from_secs(60)).await.unwrap();
    let delivery = claimed.iter().find(|one| one.id == newest.id).unwrap();
    let attempt = webhook::Attempt {
        n: delivery.attempts,
        at: story.now(),
        status: Some(204),
        error: None,
        duration_ms: 12,
        response_excerpt: None,
    };
    assert!(webhook::attempted(pool, delivery, &attempt, None).await.unwrap());
    let shown = webhooks::deliveries(pool, ALICE, HOOK, 1).await.unwrap();
    assert_eq!((shown[0].state.as_str(), shown[0].last_status), ("delivered", Some(204)));
    assert_eq!(shown[0].next_attempt_at, None);
    let made = webhooks::attempts(pool, ALICE, newest.id).await.unwrap().unwrap();
    assert_eq!((made.len(), made[0].status, made[0].duration_ms), (1, Some(204), 12));
    assert_eq!(webhooks::delivery_endpoint(pool, ALICE, newest.id).await.unwrap(), Some(HOOK));
    assert_eq!(webhooks::deliveries(pool, CAROL, HOOK, 1).await.unwrap(), []);
    assert_eq!(webhooks::attempts(pool, CAROL, newest.id).await.unwrap(), None);
    assert_eq!(webhooks::delivery_endpoint(pool, CAROL, newest.id).await.unwrap(), None);
}
